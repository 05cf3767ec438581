/* layout.c: how a kernel lies on lanes and parts: which index is the vector index, which neighbours run as one loop,
   how the outer loops are cut. Everything here is a function of shapes and subscripts, never of the machine: so are the
   numbers.

   Two ways to use the lanes. Columns: the last parallel index is the vector index; all stages run for LANES of its
   values side by side. Rows: each stage has a vector index of its own among its inner indices. The cheaper one by
   memory accesses is taken.

   Vectors are longer than LANES in three cases. Sums down columns: so a row of memory is read in longer pieces, and the
   columns are as many independent sums. Sums along long rows: so that one addition need not wait for the one before. Rows of one vector with results in parts (statistics of few channels): the
   sums stay in registers for all of a part.

   requires: a kernel as ir.h describes. maintains: the IR; forms are made in its tables. */
#include "emit.h"

/* MOST_TIMES, MOST_UNROLLED: an unrolled loop's points, and the operations of all of them. FINE_PARTS: shares of a few threads
   differ little. */
enum { PART_WORK = 32768, FINE_PARTS = 16, FLOPS_AT_ONCE = 8, BLOCK = 2048, MOST_TIMES = 12, MOST_UNROLLED = 1500 };
/* What vectors cost that are folded to a number, or whose numbers are stored far apart, where loading one costs 1. */
static const double fold_cost = 8, scatter_cost = 24;

bool list_has(struct ir_index *const *indices, int count, const struct ir_index *index)
{
    for (int i = 0; i < count; i++)
        if (indices[i] == index)
            return true;
    return false;
}

bool is_fixed_axis(const struct ir_kernel *kernel, const struct ir_index *axis)
{
    return kernel && (axis == kernel->time || list_has(kernel->parallel.at, kernel->parallel.count, axis));
}

bool computed_in(const struct ir_kernel *kernel, const struct ir_tensor *tensor)
{
    if (!kernel || tensor->kind != IR_EQUATION)
        return false;
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            if (kernel->stages.at[i]->equations.at[k] == tensor)
                return true;
    return false;
}

/* ---- the distinct expressions of a kernel ---- */

typedef LIST(const struct ir_expr *) expr_list;

static void visit_expr(struct emitter *e, const struct ir_expr *expr, struct map *seen, expr_list *out);

static void visit_form(struct emitter *e, const struct ir_form *form, struct map *seen, expr_list *out)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        if (atom->kind == IR_ATOM_VALUE)
            visit_expr(e, atom->value, seen, out);
        else if (atom->kind != IR_ATOM_INDEX)
            visit_form(e, atom->form, seen, out);
    }
}

/* Adds every read and form of the expression, each node once. */
static void visit_expr(struct emitter *e, const struct ir_expr *expr, struct map *seen, expr_list *out)
{
    char key[20];

    snprintf(key, sizeof key, "%p", (const void *)expr);
    if (map_get(seen, key))
        return;
    map_put(seen, key, out);
    if (expr->kind == IR_READ || expr->kind == IR_FORM)
        list_add(e->arena, *out, expr);
    if (expr->kind == IR_FORM)
        visit_form(e, expr->form, seen, out);
    if (expr->kind == IR_READ) {
        for (int i = 0; i < expr->tensor->rank; i++)
            visit_form(e, expr->subscripts[i], seen, out);
        if (expr->otherwise)
            visit_expr(e, expr->otherwise, seen, out);
    }
    for (int i = 0; expr->kind == IR_APPLY && i < 3; i++)
        if (expr->arguments[i])
            visit_expr(e, expr->arguments[i], seen, out);
}

static expr_list reads_of(struct emitter *e, const struct ir_stage *stage)
{
    struct map *seen = map_new(e->arena);
    expr_list out = {0};

    for (int i = 0; i < stage->equations.count; i++)
        visit_expr(e, stage->equations.at[i]->value, seen, &out);
    return out;
}

/* ---- addresses in elements ---- */

static const struct ir_form *row_major(struct emitter *e, const struct ir_tensor *t,
                                       const struct ir_form *const *subscripts)
{
    int64_t *strides = NEW_ARRAY(e->arena, int64_t, t->rank + 1);

    ir_strides(t, strides);
    return linear_form(e, t, subscripts, strides);
}

static const struct ir_form *own_address(struct emitter *e, const struct ir_tensor *t)
{
    const struct ir_form **subscripts = NEW_ARRAY(e->arena, const struct ir_form *, t->rank + 1);

    for (int i = 0; i < t->rank; i++)
        subscripts[i] = ir_form_index(e->program, t->axes[i]);
    return row_major(e, t, subscripts);
}

/* Does the read have its value at hand, without memory? */
static bool at_hand(const struct ir_kernel *kernel, const struct ir_expr *read)
{
    if (!computed_in(kernel, read->tensor))
        return false;
    for (int i = 0; i < read->tensor->rank; i++)
        if (ir_form_bare(read->subscripts[i]) != read->tensor->axes[i])
            return false;
    return true;
}

/* ---- collapsing: two loops as one ---- */

/* Is the form the same function of (outer * extent of inner + inner)? */
static bool one_loop(const struct ir_form *form, const struct ir_index *outer, const struct ir_index *inner,
                     int64_t extent)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        struct ir_term term = {1, atom};
        struct ir_form alone = {.count = 1, .terms = &term};
        if (atom->kind != IR_ATOM_INDEX && (ir_form_mentions(&alone, outer) || ir_form_mentions(&alone, inner)))
            return false;
    }
    return ir_form_coefficient(form, outer) == extent * ir_form_coefficient(form, inner);
}

static bool may_collapse(struct emitter *e, const struct ir_kernel *kernel, const struct ir_stage *stage,
                         const struct ir_index *outer, const struct ir_index *inner, int64_t extent)
{
    expr_list reads = reads_of(e, stage);

    for (int i = 0; i < stage->equations.count; i++) {
        const struct ir_tensor *t = stage->equations.at[i];
        if (t->reduction == IR_ARGMAX || t->reduction == IR_ARGMIN)
            return false;
        if (list_has(t->reduced, t->reduced_count, outer) != list_has(t->reduced, t->reduced_count, inner))
            return false;
        if (!one_loop(own_address(e, t), outer, inner, extent))
            return false;
    }
    for (int i = 0; i < reads.count; i++) {
        const struct ir_expr *expr = reads.at[i];
        if (expr->kind == IR_FORM) {
            if (!one_loop(expr->form, outer, inner, extent))
                return false;
            continue;
        }
        if (expr->tensor->kind == IR_DRAW) {
            struct draw_forms forms = draw_forms(e, expr);
            if (!one_loop(forms.element, outer, inner, extent) || !one_loop(forms.mapped, outer, inner, extent) ||
                (forms.sample && !one_loop(forms.sample, outer, inner, extent)))
                return false;
        } else if (!one_loop(row_major(e, expr->tensor, expr->subscripts), outer, inner, extent)) {
            return false;
        }
        for (int k = 0; expr->otherwise && k < expr->tensor->rank; k++)
            if (!one_loop(expr->subscripts[k], outer, inner, extent))
                return false;
    }
    return true;
}

/* Makes the last indices of the list one loop, as many as can be. */
static void collapse(struct emitter *e, const struct ir_kernel *kernel, const struct ir_stage *const *stages, int count,
                     struct ir_index **indices, int64_t *extents, int length)
{
    for (int i = length - 2; i >= 0; i--) {
        struct ir_index *last = indices[length - 1];
        if (extents[i] * extents[length - 1] > INT32_MAX)
            return;
        for (int k = 0; k < count; k++)
            if (!may_collapse(e, kernel, stages[k], indices[i], last, extents[length - 1]))
                return;
        extents[length - 1] *= extents[i];
        extents[i] = 1;
    }
}

/* ---- the vector index ---- */

/* What an access costs along the index: 1 contiguous or the same for all lanes, more for a gather. */
static double access_cost(const struct ir_form *form, const struct ir_index *index)
{
    const struct ir_form *bare = form;
    int64_t coefficient = ir_form_coefficient(bare, index);
    bool elsewhere = false;

    for (int i = 0; i < form->count; i++) {
        struct ir_form alone = {.count = 1, .terms = &form->terms[i]};
        elsewhere |= form->terms[i].atom->kind != IR_ATOM_INDEX && ir_form_mentions(&alone, index);
    }
    if (elsewhere || (coefficient != 0 && coefficient != 1))
        return 12;
    return coefficient ? 1 : 0.2;
}

static double points_of(struct ir_index *const *indices, int count)
{
    return (double)ir_extent_product(indices, count);
}

/* Where nothing is parallel sums are made in registers, and what is done once with each counts for each vector that it is made
   of. */
static double stage_cost(struct emitter *e, const struct ir_kernel *kernel, const struct ir_stage *stage,
                         const struct ir_index *index)
{
    expr_list reads = reads_of(e, stage);
    double cost = 0.5;

    for (int i = 0; i < stage->equations.count; i++) {
        const struct ir_tensor *t = stage->equations.at[i];
        bool registers = !kernel->parallel.count && t->reduction != IR_MAP;
        double terms = points_of(t->reduced, t->reduced_count);
        if (list_has(t->reduced, t->reduced_count, index)) {
            double vectors = terms / (double)index->extent * (double)((index->extent + LANES - 1) / LANES);
            cost += registers ? fold_cost / vectors : 0;
            continue;
        }
        double store = access_cost(own_address(e, t), index);
        /* All of a local one is kept where nothing is parallel: what is written far apart costs. */
        if (t->region != IR_LOCAL || (!kernel->parallel.count && store > 1))
            cost += registers ? (store > 1 ? scatter_cost : store) / terms : store;
    }
    for (int i = 0; i < reads.count; i++) {
        const struct ir_expr *read = reads.at[i];
        if (read->kind != IR_READ || at_hand(kernel, read))
            continue;
        if (read->tensor->kind == IR_DRAW)
            cost += draw_runs_along(e, read, index) ? 2 : 12;
        else
            cost += access_cost(row_major(e, read->tensor, read->subscripts), index);
    }
    return cost;
}

/* Vectors that are not full cost as much as full ones. */
static double fill_cost(int64_t extent)
{
    return (double)((extent + LANES - 1) / LANES * LANES) / (double)extent;
}

/* A `single` sum or product is rounded in written order, as the evaluator does: no lanes. */
static bool keeps_order(const struct ir_stage *stage)
{
    for (int i = 0; i < stage->equations.count; i++) {
        const struct ir_tensor *t = stage->equations.at[i];
        if (t->single && (t->reduction == IR_SUM || t->reduction == IR_PRODUCT))
            return true;
    }
    return false;
}

static int best_inner(struct emitter *e, const struct ir_kernel *kernel, const struct ir_stage *stage, double *cost)
{
    int best = -1;

    *cost = 12 + 4 * stage->equations.count; /* without lanes */
    if (keeps_order(stage))
        return -1;
    for (int i = stage->inner.count - 1; i >= 0; i--) {
        struct ir_index *index = stage->inner.at[i];
        double here = stage_cost(e, kernel, stage, index) * fill_cost(index->extent);
        if (index->extent > 1 && (best < 0 || here < *cost)) {
            best = i;
            *cost = here;
        }
    }
    return best;
}

static bool choose_columns(struct emitter *e, const struct ir_kernel *kernel)
{
    double rows = 0, columns = 0, inner_points = 0;

    if (!kernel->parallel.count)
        return false;
    struct ir_index *last = kernel->parallel.at[kernel->parallel.count - 1];
    for (int i = 0; i < kernel->stages.count; i++) {
        const struct ir_stage *stage = kernel->stages.at[i];
        double points = points_of(stage->inner.at, stage->inner.count), cost;

        for (int k = 0; k < stage->equations.count; k++) {
            const struct ir_tensor *t = stage->equations.at[k];
            if (list_has(t->reduced, t->reduced_count, last) && t->rank)
                return false; /* an accumulator in memory has one place for all lanes */
        }
        best_inner(e, kernel, stage, &cost);
        rows += points * cost;
        columns += points * stage_cost(e, kernel, stage, last) * fill_cost(last->extent);
        inner_points += (double)stage->inner.count;
    }
    return inner_points == 0 || columns < rows;
}

/* ---- plans ---- */

/* Is it made in parts of the outer loops? (In a tile kernel a sum with outputs is over an image, of which all is made at a time.) */
static bool is_in_parts(const struct ir_kernel *kernel, const struct ir_tensor *t)
{
    if (kernel->kind == IR_TILE_KERNEL && t->rank)
        return false;
    for (int i = 0; i < t->reduced_count; i++)
        if (list_has(kernel->parallel.at, kernel->parallel.count, t->reduced[i]))
            return true;
    return false;
}

static void plan_equation(struct emitter *e, const struct kernel_plan *plan, const struct stage_plan *stage,
                          struct equation_plan *eq)
{
    const struct ir_kernel *kernel = plan->kernel;
    struct ir_tensor *t = eq->tensor;

    if (!eq->reduces)
        return;
    eq->in_parts = is_in_parts(kernel, t);
    for (int i = 0; i < stage->inner_count; i++)
        if (!list_has(t->reduced, t->reduced_count, stage->inner[i]))
            eq->home = i + 1;
    if (eq->in_parts && (eq->home == 0 || stage->bound))
        eq->home = -1;
    if (!eq->in_parts)
        for (int i = 0; i < eq->home; i++)
            if (list_has(t->reduced, t->reduced_count, stage->inner[i]))
                bug("codegen: kernel %s: in %s an output stands after what is reduced", kernel->name, t->name);
    bool argument = t->reduction == IR_ARGMAX || t->reduction == IR_ARGMIN;
    if (argument && eq->in_parts)
        bug("codegen: kernel %s: %s cannot be made in parts", kernel->name, t->name);
    if (plan->columns) {
        eq->wide = true;
        eq->join = eq->in_parts;
    } else {
        eq->wide = stage->vector >= 0;
        eq->join = eq->wide && list_has(t->reduced, t->reduced_count, stage->inner[stage->vector]);
    }
    bool single = t->single || e->program->precision == IR_SINGLE;
    bool whole = argument ? t->value->whole : t->whole;
    int64_t low = argument ? t->value->low : t->low, high = argument ? t->value->high : t->high;
    eq->type = whole ? whole_type(e, low, high) : single ? e->f32 : e->f64;
    if (!eq->in_parts)
        return;
    eq->partial = arena_copy(e->arena, t, sizeof *t);
    eq->partial->region = IR_LOCAL;
    eq->partial->storage = eq->type == e->f32 ? IR_F32 : eq->type == e->i32 ? IR_I32 : IR_F64;
    int64_t elements = ir_elements(t) / (t->recurrence ? t->recurrence->extent : 1);
    eq->partial_elements = (elements + stage->lanes - 1) / stage->lanes * stage->lanes;
    eq->memory = take_scratch(e, plan->parts * eq->partial_elements * storage_bytes(eq->partial->storage));
}

/* ---- longer vectors ---- */

static bool has_draws(struct emitter *e, const struct ir_kernel *kernel)
{
    for (int i = 0; i < kernel->stages.count; i++) {
        expr_list reads = reads_of(e, kernel->stages.at[i]);
        for (int k = 0; k < reads.count; k++)
            if (reads.at[k]->kind == IR_READ && reads.at[k]->tensor->kind == IR_DRAW)
                return true;
    }
    return false;
}

static double flops_per_point(struct emitter *e, const struct ir_kernel *kernel)
{
    double flops, bytes;
    int64_t points = 1;

    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++) {
            const struct ir_tensor *t = kernel->stages.at[i]->equations.at[k];
            int64_t here = ir_elements(t) * ir_extent_product(t->reduced, t->reduced_count);
            points = here > points ? here : points;
        }
    kernel_cost(e->program, kernel, &flops, &bytes);
    return flops / (double)points;
}

/* The most lanes that leave registers for what a point computes: long expressions have many numbers alive. */
static int most_lanes(struct emitter *e, const struct ir_kernel *kernel)
{
    int most = e->program->precision == IR_DOUBLE ? WIDEST / 4 : WIDEST / 2;
    double flops = flops_per_point(e, kernel);

    return flops <= 16 ? most : flops <= 32 ? most / 2 : LANES;
}

/* Of columns: as long as wastes no lanes, where there is a sum to be made. */
static int lanes_of_columns(struct emitter *e, const struct kernel_plan *plan)
{
    int64_t vectors = (plan->along_extent + LANES - 1) / LANES;
    int lanes = LANES, most = most_lanes(e, plan->kernel);
    bool sums = false;

    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].count; k++) {
            const struct ir_tensor *t = plan->stages[i].equations[k].tensor;
            sums |= t->reduction != IR_MAP && !is_in_parts(plan->kernel, t);
        }
    while (sums && 2 * lanes <= most && vectors % (2 * lanes / LANES) == 0)
        lanes *= 2;
    return lanes;
}

/* Are all rows one vector each, of equal lengths, and is something made of them in parts? Their length, or 0. */
static int64_t row_of_one_vector(const struct kernel_plan *plan)
{
    int64_t row = 0;
    bool parts = false;

    for (int i = 0; i < plan->count; i++) {
        const struct stage_plan *stage = &plan->stages[i];
        int64_t here = stage->vector < 0 ? 0 : stage->extents[stage->vector];
        for (int k = 0; k < stage->inner_count; k++)
            if (k != stage->vector && stage->extents[k] > 1)
                return 0;
        if (here && row && here != row)
            return 0;
        row = here ? here : row;
        for (int k = 0; k < stage->count; k++)
            parts |= stage->equations[k].tensor->rank > 0 && is_in_parts(plan->kernel, stage->equations[k].tensor);
    }
    return parts ? row : 0;
}

static void lengthen_rows(struct emitter *e, struct kernel_plan *plan)
{
    int64_t row = row_of_one_vector(plan);
    int lanes = LANES, most = most_lanes(e, plan->kernel);

    if (flops_per_point(e, plan->kernel) <= 4) /* little more than the sums themselves */
        most *= 2;
    while (lanes < row)
        lanes *= 2;
    if (!row || lanes > most || lanes - row >= LANES)
        return;
    plan->lanes = lanes;
    plan->one_vector = true;
    plan->row = row;
    for (int i = 0; i < plan->count; i++)
        plan->stages[i].bound = true;
}

/* Of a stage that sums along long rows. */
static int lanes_of_rows(struct emitter *e, const struct ir_kernel *kernel, const struct ir_stage *stage,
                         const struct stage_plan *plan)
{
    struct ir_kernel alone = *kernel;
    struct ir_stage *stages[] = {(struct ir_stage *)stage};
    int lanes = LANES;
    bool sums = false;

    alone.stages.at = stages;
    alone.stages.count = 1;
    for (int i = 0; i < plan->count && plan->vector >= 0; i++)
        sums |= list_has(plan->equations[i].tensor->reduced, plan->equations[i].tensor->reduced_count,
                         plan->inner[plan->vector]);
    if (sums && !has_draws(e, &alone))
        for (int most = most_lanes(e, &alone); 2 * lanes <= most && plan->extents[plan->vector] >= 8 * lanes;)
            lanes *= 2;
    return lanes;
}

static void plan_lanes(struct emitter *e, struct kernel_plan *plan)
{
    plan->lanes = LANES;
    if (!has_draws(e, plan->kernel)) { /* they are made LANES at a time */
        if (plan->columns)
            plan->lanes = lanes_of_columns(e, plan);
        else
            lengthen_rows(e, plan);
    }
    for (int i = 0; i < plan->count; i++)
        plan->stages[i].lanes = plan->columns || plan->one_vector
                                    ? plan->lanes
                                    : lanes_of_rows(e, plan->kernel, plan->kernel->stages.at[i], &plan->stages[i]);
}

/* ---- unrolled loops ---- */

/* May the stage's last loop, the vector's, go round outside of those from `first` on? */
static bool may_go_outside(struct emitter *e, const struct ir_stage *stage, const struct stage_plan *plan, int first)
{
    struct ir_index *vector = plan->inner[plan->vector];

    for (int i = 0; i < stage->equations.count; i++) {
        const struct ir_tensor *t = stage->equations.at[i];
        if (t->reduction == IR_ARGMAX || t->reduction == IR_ARGMIN) /* equal ones are met in order */
            return false;
        for (int k = first; t->reduction != IR_MAP && k < plan->vector; k++)
            if (list_has(t->reduced, t->reduced_count, vector) && !list_has(t->reduced, t->reduced_count, plan->inner[k]))
                return false;
    }
    for (int i = 0; i < plan->draws.count; i++)
        if (draw_runs_along(e, plan->draws.at[i], vector))
            return false;
    return true;
}

/* Innermost loops that go round a few times (windows, gates) are unrolled, and the vector's loop goes outside of them. */
static void unroll(struct emitter *e, const struct kernel_plan *plan, const struct ir_stage *stage,
                   struct stage_plan *out)
{
    int last = out->inner_count - 1, first;
    bool outside = out->vector >= 0 && out->vector == last;
    int64_t times = 1;

    out->unrolled = out->inner_count;
    for (int i = 0; i < stage->equations.count; i++)
        if (stage->equations.at[i]->single) /* rounded as it is written */
            return;
    for (first = outside ? last : last + 1; first > 0 && first - 1 != out->vector; first--) {
        if (times * out->extents[first - 1] > MOST_TIMES)
            break;
        times *= out->extents[first - 1];
    }
    for (int i = 0; i < out->draws.count; i++)
        for (int k = first; k < out->inner_count; k++)
            if (k != out->vector && draw_mentions(e, out->draws.at[i], out->inner[k]))
                return;
    if (times == 1 || (double)times * flops_per_point(e, plan->kernel) > MOST_UNROLLED ||
        (outside && !may_go_outside(e, stage, out, first)))
        return;
    out->unrolled = first;
    if (outside) {
        struct ir_index *vector = out->inner[last];
        int64_t extent = out->extents[last];
        for (int i = last; i > first; i--) {
            out->inner[i] = out->inner[i - 1];
            out->extents[i] = out->extents[i - 1];
        }
        out->inner[first] = vector;
        out->extents[first] = extent;
        out->vector = first;
        out->unrolled = first + 1;
    }
}

/* The index along which the only read of a map runs through memory, if that is not the vector index. */
static int index_across(struct emitter *e, const struct stage_plan *stage)
{
    const struct ir_tensor *t = stage->equations[0].tensor;
    const struct ir_expr *read = t->value;

    if (stage->count != 1 || stage->vector < 0 || t->reduction != IR_MAP || t->whole ||
        read->kind != IR_READ || read->otherwise || read->tensor->kind == IR_DRAW || read->tensor->whole)
        return -1;
    const struct ir_form *from = row_major(e, read->tensor, read->subscripts), *to = own_address(e, t);
    if (access_cost(from, stage->inner[stage->vector]) <= 1 || access_cost(to, stage->inner[stage->vector]) > 1)
        return -1;
    for (int i = 0; i < stage->inner_count; i++)
        if (stage->extents[i] != stage->inner[i]->extent) /* several loops as one */
            return -1;
    for (int i = 0; i < stage->inner_count; i++)
        if (ir_form_coefficient(from, stage->inner[i]) == 1 && access_cost(from, stage->inner[i]) <= 1)
            return i;
    return -1;
}

/* The loops of a stage, before anything is said of its equations. */
static void plan_loops(struct emitter *e, struct kernel_plan *plan, const struct ir_stage *stage,
                       struct stage_plan *out)
{
    double cost;

    out->inner_count = stage->inner.count;
    out->inner = NEW_ARRAY(e->arena, struct ir_index *, stage->inner.count + 1);
    for (int i = 0; i < stage->inner.count; i++)
        out->inner[i] = stage->inner.at[i];
    out->extents = NEW_ARRAY(e->arena, int64_t, stage->inner.count + 1);
    for (int i = 0; i < stage->inner.count; i++)
        out->extents[i] = stage->inner.at[i]->extent;
    out->vector = plan->columns ? -1 : best_inner(e, plan->kernel, stage, &cost);
    if (out->vector >= 0 && out->vector == stage->inner.count - 1)
        collapse(e, plan->kernel, &stage, 1, out->inner, out->extents, out->inner_count);
    out->count = stage->equations.count;
    out->equations = NEW_ARRAY(e->arena, struct equation_plan, out->count);
    for (int i = 0; i < out->count; i++) {
        out->equations[i].tensor = stage->equations.at[i];
        out->equations[i].reduces = stage->equations.at[i]->reduction != IR_MAP;
    }
    expr_list reads = reads_of(e, stage);
    for (int i = 0; i < reads.count; i++)
        if (reads.at[i]->kind == IR_READ && reads.at[i]->tensor->kind == IR_DRAW && !reads.at[i]->otherwise)
            list_add(e->arena, out->draws, reads.at[i]);
    unroll(e, plan, stage, out);
    out->lanes = LANES;
}

static void plan_equations(struct emitter *e, const struct kernel_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].count; k++)
            plan_equation(e, plan, &plan->stages[i], &plan->stages[i].equations[k]);
    for (int i = 0; i < plan->count; i++) {
        struct stage_plan *stage = &plan->stages[i];
        bool usual = stage->lanes == LANES && !stage->bound;
        stage->across = usual ? index_across(e, stage) : -1;
        if (usual)
            plan_sums(e, stage, &stage->sums);
    }
}

/* Work of a kernel at one point of parallel: an equation at a point, or operations that take as long. */
static double work_of(const struct emitter *e, const struct ir_kernel *kernel)
{
    double work = 0, flops, bytes, points = points_of(kernel->parallel.at, kernel->parallel.count);

    kernel_cost(e->program, kernel, &flops, &bytes);
    flops /= points * (kernel->recurrence ? (double)kernel->recurrence->extent : 1);

    for (int i = 0; i < kernel->stages.count; i++)
        work += points_of(kernel->stages.at[i]->inner.at, kernel->stages.at[i]->inner.count) *
                kernel->stages.at[i]->equations.count;
    return work > flops / FLOPS_AT_ONCE ? work : flops / FLOPS_AT_ONCE;
}

static bool anything_in_parts(const struct ir_kernel *kernel)
{
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            if (is_in_parts(kernel, kernel->stages.at[i]->equations.at[k]))
                return true;
    return false;
}

void plan_kernel(struct emitter *e, const struct ir_kernel *kernel, struct kernel_plan *plan)
{
    int parallel = kernel->parallel.count;
    int64_t *extents = NEW_ARRAY(e->arena, int64_t, parallel + 1);
    double work = work_of(e, kernel);
    bool pointwise = true, fine = !anything_in_parts(kernel); /* then no number depends on how many parts there are */

    *plan = (struct kernel_plan){.kernel = kernel, .blocks = 1, .items = 1};
    for (int i = 0; i < parallel; i++)
        extents[i] = kernel->parallel.at[i]->extent;
    for (int i = 0; i < kernel->stages.count; i++)
        pointwise &= kernel->stages.at[i]->inner.count == 0;
    plan->columns = choose_columns(e, kernel);
    if (!plan->columns || pointwise)
        collapse(e, kernel, (const struct ir_stage *const *)kernel->stages.at, kernel->stages.count,
                 kernel->parallel.at, extents, parallel);
    plan->outer_count = plan->columns ? parallel - 1 : parallel;
    plan->outer = kernel->parallel.at;
    plan->outer_extents = extents;
    if (plan->columns) {
        plan->along = kernel->parallel.at[parallel - 1];
        plan->along_extent = extents[parallel - 1];
        plan->block = (int64_t)(PART_WORK / work + 127) / 128 * 128;
        if (plan->block > BLOCK)
            plan->block = BLOCK;
        if (plan->block < 128)
            plan->block = 128;
        if (fine && plan->block < plan->along_extent) {
            int64_t block = (plan->along_extent / FINE_PARTS + 127) / 128 * 128;
            plan->block = block < plan->block ? block : plan->block;
        }
        plan->blocks = (plan->along_extent + plan->block - 1) / plan->block;
        plan->items = plan->blocks;
        work *= plan->along_extent < plan->block ? (double)plan->along_extent : (double)plan->block;
    }
    for (int i = 0; i < plan->outer_count; i++)
        plan->items *= extents[i];
    int64_t per_part = (int64_t)(PART_WORK / work);
    if (per_part < (plan->items + MAX_PARTS - 1) / MAX_PARTS)
        per_part = (plan->items + MAX_PARTS - 1) / MAX_PARTS;
    plan->items_per_part = per_part < 1 ? 1 : per_part;
    plan->parts = (plan->items + plan->items_per_part - 1) / plan->items_per_part;
    int64_t even = plan->parts > 1 && fine && plan->parts < FINE_PARTS ? FINE_PARTS : plan->parts;
    plan->items_per_part = (plan->items + even - 1) / even;
    plan->parts = (plan->items + plan->items_per_part - 1) / plan->items_per_part;

    plan->count = kernel->stages.count;
    plan->stages = NEW_ARRAY(e->arena, struct stage_plan, plan->count);
    for (int i = 0; i < plan->count; i++)
        plan_loops(e, plan, kernel->stages.at[i], &plan->stages[i]);
    plan_lanes(e, plan);
    plan_equations(e, plan);
}

void plan_followers(struct emitter *e, const struct ir_kernel *kernel, int64_t parts, struct kernel_plan *plan)
{
    *plan = (struct kernel_plan){.kernel = kernel, .columns = true, .parts = parts, .lanes = LANES};
    plan->along = kernel->parallel.at[kernel->parallel.count - 1];
    int first = product_stage(kernel) + 1;
    plan->count = kernel->stages.count - first;
    plan->stages = NEW_ARRAY(e->arena, struct stage_plan, plan->count + 1);
    for (int i = 0; i < plan->count; i++)
        plan_loops(e, plan, kernel->stages.at[first + i], &plan->stages[i]);
    plan_equations(e, plan);
}
