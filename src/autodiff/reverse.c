/* reverse.c: differentiate. Equations are visited from the loss backwards; each read of an equation gets a weight by
   reverse mode on its expression, each summand of a weight becomes one system of brackets (bracket.c), and what arrives
   at a tensor is joined there.

   requires: a verified program without kernels. maintains: what is there; order. Every result depends on the order of
   the program's tensors and on the structure of its expressions, on no address. */
#include "adjoint.h"

#include <string.h>

enum { MOST_FACTORS = 4096 /* of a product that is differentiated */ };

/* One summand of a tensor's gradient, over the tensor's axes. */
struct summand {
    struct adjoint adjoint;
    const struct ir_origin *origin;
};
typedef LIST(struct summand) summand_list;

struct reverse {
    struct ir_program *p;
    int count;               /* tensors up to the loss */
    bool *active;            /* by number: a derivative can pass from a tensor of wrt to it */
    summand_list *summands;  /* by number: what has arrived */
    struct node_table *lets; /* expression -> &through or &blocked */
    const char *error;
};

/* ---- what a derivative passes through ---- */

typedef void derivative(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,
                        const struct ir_expr *g, const struct ir_expr **weights);
static derivative *const derivatives[IR_OP_COUNT] = {
#define OP(name, ...) derivative_##name,
#include "ops.def"
#undef OP
};

static char through, blocked;

static bool passes(struct reverse *r, const struct ir_expr *e)
{
    const struct ir_expr *weights[3] = {NULL};
    const char *known = node_get(r->lets, e);
    bool result = false;

    if (known)
        return known == &through;
    if (e->kind == IR_READ)
        result =
            (e->tensor->number < r->count && r->active[e->tensor->number]) || (e->otherwise && passes(r, e->otherwise));
    if (e->kind == IR_APPLY) {
        derivatives[e->op](r->p, e, e->arguments, ir_real(r->p, 1), weights);
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            result |= weights[i] && passes(r, e->arguments[i]);
    }
    node_put(r->lets, e, result ? &through : &blocked);
    return result;
}

static void mark_active(struct reverse *r, struct ir_tensor *const *wrt, int count)
{
    for (int i = 0; i < count; i++)
        if (wrt[i]->number < r->count)
            r->active[wrt[i]->number] = !wrt[i]->whole;
    for (int i = 0; i < r->count; i++) {
        const struct ir_tensor *t = r->p->tensors.at[i];
        if (t->kind == IR_EQUATION && !t->whole && t->reduction != IR_ARGMAX && t->reduction != IR_ARGMIN)
            r->active[i] |= passes(r, t->value);
    }
}

static struct reverse begin(struct ir_program *p, const struct ir_tensor *loss, struct ir_tensor *const *wrt, int count)
{
    struct reverse r = {.p = p, .count = loss->number + 1, .lets = node_table_new(p->arena)};

    r.active = NEW_ARRAY(p->arena, bool, r.count);
    r.summands = NEW_ARRAY(p->arena, summand_list, r.count);
    mark_active(&r, wrt, count);
    return r;
}

/* ---- reverse mode on one expression ---- */

struct partial {
    const struct ir_expr *read, *weight;
};
typedef LIST(struct partial) partial_list;
struct node {
    const struct ir_expr *expr, *gradient;
};
struct sweep {
    struct reverse *r;
    LIST(struct node) order;    /* operands before what uses them */
    struct node_table *numbers; /* expression -> its number + 1, as a pointer */
};

static void visit(struct sweep *s, const struct ir_expr *e)
{
    struct ir_program *p = s->r->p;

    if (!passes(s->r, e) || node_get(s->numbers, e))
        return;
    node_put(s->numbers, e, (void *)1);
    for (int i = 0; e->kind == IR_APPLY && i < 3 && e->arguments[i]; i++)
        visit(s, e->arguments[i]);
    if (e->kind == IR_READ && e->otherwise)
        visit(s, e->otherwise);
    list_add(p->arena, s->order, (struct node){e, NULL});
    node_put(s->numbers, e, (void *)(intptr_t)s->order.count);
}

static void accumulate(struct sweep *s, const struct ir_expr *e, const struct ir_expr *weight)
{
    struct ir_program *p = s->r->p;
    struct node *node;

    if (!weight || is_zero(weight) || !passes(s->r, e))
        return;
    node = &s->order.at[(intptr_t)node_get(s->numbers, e) - 1];
    node->gradient = node->gradient ? ir_apply(p, IR_add, node->gradient, weight, NULL) : weight;
}

static const struct ir_expr *weight_of_otherwise(struct ir_program *p, const struct ir_expr *read,
                                                 const struct ir_expr *weight)
{
    const struct guard *inside = guard_of(p, ir_number(p, 1), true);
    guard_list ranges = {0};

    for (int k = 0; k < read->tensor->rank; k++)
        guard_add_range(p, &ranges, read->subscripts[k], read->tensor->axes[k]->extent);
    for (int i = 0; i < ranges.count; i++)
        inside = guard_join(p, GUARD_ALL, inside, ranges.at[i]);
    return ir_apply(p, IR_select, guard_condition(p, guard_simplify(p, inside)), ir_real(p, 0), weight);
}

/* The weight of each read in e when e's own is seed. stored: a read of the value of e, or NULL. */
static partial_list partials(struct reverse *r, const struct ir_expr *e, const struct ir_expr *seed,
                             const struct ir_expr *stored)
{
    struct sweep s = {.r = r, .numbers = node_table_new(r->p->arena)};
    partial_list result = {0};

    visit(&s, e);
    accumulate(&s, e, seed);
    for (int i = s.order.count - 1; i >= 0; i--) {
        const struct ir_expr *at = s.order.at[i].expr, *g = s.order.at[i].gradient, *weights[3] = {NULL};
        if (!g)
            continue;
        if (at->kind == IR_READ) {
            if (at->tensor->number < r->count && r->active[at->tensor->number])
                list_add(r->p->arena, result, (struct partial){at, g});
            if (at->otherwise)
                accumulate(&s, at->otherwise, weight_of_otherwise(r->p, at, g));
            continue;
        }
        derivatives[at->op](r->p, stored && at == e ? stored : at, at->arguments, g, weights);
        for (int k = 0; k < 3 && at->arguments[k]; k++)
            accumulate(&s, at->arguments[k], weights[k]);
    }
    return result;
}

/* ---- summands of a weight ---- */

struct product {
    double number;
    const struct ir_expr *rest; /* NULL: the number alone */
};
typedef LIST(struct product) product_list;

typedef LIST(const struct ir_expr *) expr_list;

static void flatten(struct ir_program *p, const struct ir_expr *e, expr_list *factors)
{
    if (e && e->kind == IR_APPLY && e->op == IR_multiply) {
        flatten(p, e->arguments[0], factors);
        flatten(p, e->arguments[1], factors);
    } else if (e) {
        list_add(p->arena, *factors, e);
    }
}

/* The same factors, in whatever order? */
static bool same_product(struct ir_program *p, const struct ir_expr *a, const struct ir_expr *b)
{
    expr_list left = {0}, right = {0};

    if (a == b)
        return true;
    flatten(p, a, &left);
    flatten(p, b, &right);
    if (left.count != right.count)
        return false;
    for (int i = 0; i < left.count; i++) {
        int k = 0;
        while (k < right.count && right.at[k] != left.at[i])
            k++;
        if (k == right.count)
            return false;
        right.at[k] = right.at[--right.count];
    }
    return true;
}

static void add_product(struct ir_program *p, product_list *list, double number, const struct ir_expr *rest)
{
    for (int i = 0; i < list->count; i++)
        if (same_product(p, list->at[i].rest, rest)) {
            list->at[i].number += number;
            return;
        }
    list_add(p->arena, *list, (struct product){number, rest});
}

/* Sums are taken apart, numbers in front of one are distributed; equal products are joined. */
static void take_apart(struct ir_program *p, const struct ir_expr *e, double number, product_list *list)
{
    const struct ir_expr *const *a = e->arguments;

    if (e->kind == IR_CONSTANT) {
        add_product(p, list, number * e->number, NULL);
    } else if (e->kind != IR_APPLY) {
        add_product(p, list, number, e);
    } else if (e->op == IR_add || e->op == IR_subtract) {
        take_apart(p, a[0], number, list);
        take_apart(p, a[1], e->op == IR_add ? number : -number, list);
    } else if (e->op == IR_negate) {
        take_apart(p, a[0], -number, list);
    } else if (e->op == IR_multiply && a[0]->kind == IR_CONSTANT) {
        take_apart(p, a[1], number * a[0]->number, list);
    } else if (e->op == IR_multiply && a[1]->kind == IR_CONSTANT) {
        take_apart(p, a[0], number * a[1]->number, list);
    } else if (e->op == IR_divide && a[1]->kind == IR_CONSTANT) {
        take_apart(p, a[0], number / a[1]->number, list);
    } else {
        add_product(p, list, number, e);
    }
}

/* ---- one equation ---- */

/* The weight of the reduced expression for each point that attains the extremum, by an equation for its position. */
static const struct ir_expr *extremum_seed(struct reverse *r, const struct ir_tensor *t, const struct ir_expr *g)
{
    struct ir_program *p = r->p;
    const struct ir_form *position = ir_form_constant(p, 0),
                         **at = NEW_ARRAY(p->arena, const struct ir_form *, t->rank);
    struct ir_tensor *arg = ir_equation(p, arena_printf(p->arena, "arg_%s", t->name), t->axes, t->rank,
                                        t->reduction == IR_MAXIMUM ? IR_ARGMAX : IR_ARGMIN, t->reduced,
                                        t->reduced_count, t->value, false, t->origin);

    for (int i = 0; i < t->rank; i++)
        at[i] = ir_form_index(p, t->axes[i]);
    for (int i = 0; i < t->reduced_count; i++)
        position = ir_form_add(p, ir_form_scale(p, position, t->reduced[i]->extent), ir_form_index(p, t->reduced[i]));
    return ir_apply(p, IR_select,
                    ir_apply(p, IR_equal, ir_of_form(p, position), ir_read(p, arg, at, t->rank, NULL), NULL), g,
                    ir_real(p, 0));
}

/* but[o, r] = the product of all factors but the one at r: right at zeros, and differentiable again. Its work is the
   square of theirs. */
static const struct ir_expr *product_seed(struct reverse *r, const struct ir_tensor *t, const struct ir_expr *g)
{
    struct ir_program *p = r->p;
    int rank = t->rank + t->reduced_count;
    struct ir_index **all = NEW_ARRAY(p->arena, struct ir_index *, rank + t->reduced_count), **others = all + rank;
    const struct ir_form **forms = NEW_ARRAY(p->arena, const struct ir_form *, t->reduced_count);
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, rank);
    const struct ir_expr *same = NULL, *value;
    struct ir_tensor *but;

    for (int i = 0; i < rank; i++) {
        all[i] = i < t->rank ? t->axes[i] : t->reduced[i - t->rank];
        at[i] = ir_form_index(p, all[i]);
    }
    for (int i = 0; i < t->reduced_count; i++) {
        const struct ir_expr *here;
        others[i] = ir_index(p, unused_name(p, t->reduced[i]->name, all, rank + i), t->reduced[i]->extent,
                             t->reduced[i]->batch);
        forms[i] = ir_form_index(p, others[i]);
        here = ir_apply(p, IR_equal, ir_of_form(p, forms[i]), ir_of_form(p, at[t->rank + i]), NULL);
        same = same ? ir_apply(p, IR_and, same, here, NULL) : here;
    }
    value = ir_substitute(p, t->value, t->reduced, forms, t->reduced_count);
    if (same)
        value = ir_apply(p, IR_select, same, ir_real(p, 1), value);
    but = ir_equation(p, arena_printf(p->arena, "but_%s", t->name), all, rank, IR_PRODUCT, others, t->reduced_count,
                      value, false, t->origin);
    return ir_apply(p, IR_multiply, g, ir_read(p, but, at, rank, NULL), NULL);
}

static const struct ir_expr *read_own(struct ir_program *p, struct ir_tensor *tensor, struct ir_index **axes, int rank)
{
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, rank);

    for (int i = 0; i < rank; i++)
        at[i] = ir_form_index(p, axes[i]);
    return ir_read(p, tensor, at, rank, NULL);
}

static bool refuse(struct reverse *r, const char *error)
{
    r->error = error;
    return false;
}

/* Sends what the equation's gradient g implies to the tensors that it reads. */
static bool send(struct reverse *r, struct ir_tensor *t, const struct ir_expr *g)
{
    struct ir_program *p = r->p;
    int count = t->rank + t->reduced_count;
    struct ir_index **summed = NEW_ARRAY(p->arena, struct ir_index *, count);
    const struct ir_expr *seed = g, *stored = NULL;
    int64_t factors = ir_extent_product(t->reduced, t->reduced_count);
    partial_list reads;

    for (int i = 0; i < count; i++)
        summed[i] = i < t->rank ? t->axes[i] : t->reduced[i - t->rank];
    if (t->reduction == IR_MAXIMUM || t->reduction == IR_MINIMUM)
        seed = extremum_seed(r, t, g);
    else if (t->reduction == IR_PRODUCT && factors > MOST_FACTORS)
        return refuse(r, arena_printf(p->arena, "the derivative of a product of %lld factors is not compiled yet",
                                      (long long)factors));
    else if (t->reduction == IR_PRODUCT)
        seed = product_seed(r, t, g);
    else if (t->reduction == IR_MAP)
        stored = read_own(p, t, t->axes, t->rank);
    reads = partials(r, t->value, seed, stored);
    for (int i = 0; i < reads.count; i++) {
        struct ir_tensor *target = reads.at[i].read->tensor;
        product_list products = {0};
        take_apart(p, reads.at[i].weight, 1, &products);
        for (int k = 0; k < products.count; k++) {
            const struct ir_expr *weight = products.at[k].rest;
            struct summand s = {.origin = t->origin};
            if (products.at[k].number == 0)
                continue;
            if (!weight)
                weight = ir_real(p, products.at[k].number);
            else if (products.at[k].number != 1)
                weight = ir_apply(p, IR_multiply, ir_real(p, products.at[k].number), weight, NULL);
            if (!adjoint_solve(p, target, reads.at[i].read->subscripts, summed, count, t->axes, t->rank, weight,
                               &s.adjoint, &r->error))
                return false;
            if (s.adjoint.value)
                list_add(p->arena, r->summands[target->number], s);
        }
    }
    return true;
}

/* ---- joining ---- */

static bool same_summand(struct ir_program *p, const struct adjoint *a, const struct adjoint *b)
{
    const struct ir_form **to;

    if (a->count != b->count || a->times != b->times || a->over != b->over)
        return false;
    to = NEW_ARRAY(p->arena, const struct ir_form *, a->count);
    for (int i = 0; i < a->count; i++) {
        if (a->reduced[i]->extent != b->reduced[i]->extent)
            return false;
        to[i] = ir_form_index(p, a->reduced[i]);
    }
    return a->value == ir_substitute(p, b->value, b->reduced, to, b->count);
}

/* Equal summands become one with a number in front. */
static summand_list join_equal(struct ir_program *p, const summand_list *list)
{
    summand_list result = {0};
    LIST(int) times = {0};

    for (int i = 0; i < list->count; i++) {
        int k = 0;
        while (k < result.count && !same_summand(p, &result.at[k].adjoint, &list->at[i].adjoint))
            k++;
        if (k < result.count) {
            times.at[k]++;
            continue;
        }
        list_add(p->arena, result, list->at[i]);
        list_add(p->arena, times, 1);
    }
    for (int i = 0; i < result.count; i++)
        if (times.at[i] > 1)
            result.at[i].adjoint.value =
                ir_apply(p, IR_multiply, ir_real(p, times.at[i]), result.at[i].adjoint.value, NULL);
    return result;
}

/* A gradient is a real number even if only whole ones make it: storage and later derivatives depend on it. */
static const struct ir_expr *real(struct ir_program *p, const struct ir_expr *e)
{
    return e->whole ? ir_apply(p, IR_divide, e, ir_number(p, 1), NULL) : e;
}

static struct ir_tensor *sum_of(struct ir_program *p, const struct ir_tensor *t, const char *name,
                                const struct summand *s)
{
    return ir_equation(p, name, t->axes, t->rank, IR_SUM, s->adjoint.reduced, s->adjoint.count,
                       real(p, s->adjoint.value), false, s->origin);
}

/* The summand over t's axes: a sum becomes an equation. */
static const struct ir_expr *value_of(struct ir_program *p, const struct ir_tensor *t, const char *name,
                                      const struct summand *s)
{
    const struct ir_expr *value = s->adjoint.value;

    if (s->adjoint.count)
        value = read_own(p, sum_of(p, t, arena_printf(p->arena, "%s_part", name), s), t->axes, t->rank);
    if (s->adjoint.times && s->adjoint.times->kind == IR_CONSTANT && s->adjoint.times->number == -1)
        value = ir_apply(p, IR_negate, value, NULL, NULL);
    else if (s->adjoint.times && s->adjoint.times->kind == IR_APPLY && s->adjoint.times->op == IR_negate)
        value =
            ir_apply(p, IR_negate, ir_apply(p, IR_multiply, s->adjoint.times->arguments[0], value, NULL), NULL, NULL);
    else if (s->adjoint.times)
        value = ir_apply(p, IR_multiply, s->adjoint.times, value, NULL);
    return s->adjoint.over ? ir_apply(p, IR_divide, value, s->adjoint.over, NULL) : value;
}

/* Is it a number, or a number at one place and 0 elsewhere? That is cheaper to say again than to store; and a sum over
   the place then needs no sum. */
static bool repeatable(const struct ir_expr *e)
{
    const struct ir_expr *const *a = e->arguments;

    if (e->kind == IR_CONSTANT)
        return true;
    return e->kind == IR_APPLY && e->op == IR_select && a[1]->kind == IR_CONSTANT && is_zero(a[2]) &&
           a[0]->kind == IR_APPLY && a[0]->op == IR_equal && a[0]->arguments[0]->whole && a[0]->arguments[1]->whole;
}

/* The gradient of t over its axes, as an expression; *made is the tensor that holds it, if one was made. */
static const struct ir_expr *join(struct reverse *r, struct ir_tensor *t, bool asked, struct ir_tensor **made)
{
    struct ir_program *p = r->p;
    summand_list list = join_equal(p, &r->summands[t->number]);
    const char *name = arena_printf(p->arena, "d_%s", t->name);
    const struct ir_expr *total = NULL;

    if (list.count == 1 && list.at[0].adjoint.count && !list.at[0].adjoint.times && !list.at[0].adjoint.over) {
        *made = sum_of(p, t, name, &list.at[0]);
        return read_own(p, *made, t->axes, t->rank);
    }
    for (int i = 0; i < list.count; i++) {
        const struct ir_expr *value = value_of(p, t, name, &list.at[i]);
        if (total && value->kind == IR_APPLY && value->op == IR_negate)
            total = ir_apply(p, IR_subtract, total, value->arguments[0], NULL);
        else
            total = total ? ir_apply(p, IR_add, total, value, NULL) : value;
    }
    total = real(p, total);
    if (!asked && repeatable(total))
        return total;
    *made = ir_equation(p, name, t->axes, t->rank, IR_MAP, NULL, 0, total, false,
                        list.count == 1 || !t->origin ? list.at[0].origin : t->origin);
    return total->kind == IR_CONSTANT ? total : read_own(p, *made, t->axes, t->rank);
}

const char *differentiate(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                          struct ir_tensor **gradients, const struct ir_tensor **where)
{
    struct reverse r = begin(p, loss, wrt, count);

    *where = loss;
    for (int i = 0; i < count; i++)
        gradients[i] = NULL;
    if (loss->rank)
        return arena_printf(p->arena, "a loss has no axes, but %s has %d", loss->name, loss->rank);
    if (r.active[loss->number]) {
        struct summand one = {.adjoint.value = ir_real(p, 1), .origin = loss->origin};
        list_add(p->arena, r.summands[loss->number], one);
    }
    for (int number = loss->number; number >= 0; number--) {
        struct ir_tensor *t = p->tensors.at[number], *made = NULL;
        const struct ir_expr *g;
        bool asked = false;
        if (!r.summands[number].count)
            continue;
        for (int i = 0; i < count; i++)
            asked |= wrt[i] == t;
        g = join(&r, t, asked, &made);
        for (int i = 0; i < count; i++)
            if (wrt[i] == t)
                gradients[i] = made;
        if (t->kind == IR_EQUATION && passes(&r, t->value) && !send(&r, t, g)) {
            *where = t;
            return r.error;
        }
    }
    *where = NULL;
    return NULL;
}

/* ---- where a derivative ends ---- */

struct reading {
    const bool *among;
    bool found;
    int count;
};

static void note_read(const struct ir_expr *read, void *context)
{
    struct reading *r = context;

    r->found |= read->tensor->number < r->count && r->among[read->tensor->number];
}

static bool reads_one_of(const struct ir_tensor *t, const bool *among, int count)
{
    struct reading r = {among, false, count};

    if (t->kind == IR_EQUATION)
        ir_reads(t->value, note_read, &r);
    return r.found;
}

struct marking {
    bool *marks;
    int count;
};

static void mark_read(const struct ir_expr *read, void *context)
{
    struct marking *m = context;

    if (read->tensor->number < m->count)
        m->marks[read->tensor->number] = true;
}

const struct ir_tensor *derivative_ends_at(const struct ir_program *p, const struct ir_tensor *from,
                                           const struct ir_tensor *loss)
{
    struct ir_program *program = (struct ir_program *)p; /* only its tables grow */
    struct ir_tensor *start = (struct ir_tensor *)from;
    struct reverse r = begin(program, loss, &start, 1);
    bool *leads = NEW_ARRAY(p->arena, bool, r.count), *follows = NEW_ARRAY(p->arena, bool, r.count);
    struct marking m = {leads, r.count};
    const struct ir_tensor *last = from;

    leads[loss->number] = true;
    for (int i = loss->number; i >= 0; i--)
        if (leads[i] && p->tensors.at[i]->kind == IR_EQUATION)
            ir_reads(p->tensors.at[i]->value, mark_read, &m);
    if (from->number < r.count)
        follows[from->number] = true;
    for (int i = 0; i < r.count; i++)
        follows[i] |= reads_one_of(p->tensors.at[i], follows, r.count);
    for (int i = 0; i < r.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        bool ends = follows[loss->number]
                        ? leads[i] && !r.active[i] && (t == from || reads_one_of(t, r.active, r.count))
                        : follows[i];
        if (ends)
            last = t;
    }
    return last;
}
