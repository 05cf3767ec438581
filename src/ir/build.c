/* build.c: programs, indices and tensors. Expressions are made in apply.c, forms in form.c. */
#include "internal.h"

#include <string.h>

struct ir_program *ir_program_like(const struct ir_program *p)
{
    struct ir_program *like = NEW(p->arena, struct ir_program);

    like->arena = p->arena;
    like->name = p->name;
    like->precision = p->precision;
    like->tables = p->tables;
    like->names = map_new(p->arena);
    like->suffixes = map_new(p->arena);
    return like;
}

struct ir_program *ir_program_new(struct arena *arena, const char *name, enum ir_precision precision)
{
    struct ir_tables *tables = NEW(arena, struct ir_tables);
    struct ir_program seed = {.arena = arena, .precision = precision, .tables = tables};

    tables->arena = arena;
    seed.name = arena_string(arena, name);
    return ir_program_like(&seed);
}

struct ir_index *ir_index(struct ir_program *p, const char *name, int64_t extent, bool batch)
{
    struct ir_index *index = NEW(p->arena, struct ir_index);

    if (extent < 1)
        bug("index %s has the extent %lld; expected at least 1", name, (long long)extent);
    index->name = arena_string(p->arena, name);
    index->extent = extent;
    index->batch = batch;
    index->number = p->tables->indices++;
    return index;
}

bool ir_is_among(struct ir_index *const *indices, int count, const struct ir_index *index)
{
    for (int i = 0; i < count; i++)
        if (indices[i] == index)
            return true;
    return false;
}

int64_t ir_extent_product(struct ir_index *const *indices, int count)
{
    int64_t product = 1;

    for (int i = 0; i < count; i++)
        product = saturating_multiply(product, indices[i]->extent);
    return product;
}

int64_t ir_elements(const struct ir_tensor *tensor)
{
    return ir_extent_product(tensor->axes, tensor->rank);
}

int64_t ir_strides(const struct ir_tensor *t, int64_t *strides)
{
    int64_t room = 1;

    for (int i = t->rank - 1; i >= 0; i--) {
        bool moves = t->one_step != i + 1;

        strides[i] = moves ? room : 0;
        room *= moves ? t->axes[i]->extent : 1;
    }
    return room;
}

/* ---- names ---- */

/* Passes append to the list themselves; the map catches up when it is asked. */
static void catch_up(struct ir_program *p)
{
    if (p->named > p->tensors.count) {
        p->names = map_new(p->arena);
        p->named = 0;
    }
    for (; p->named < p->tensors.count; p->named++)
        map_put(p->names, p->tensors.at[p->named]->name, p->tensors.at[p->named]);
}

struct ir_tensor *ir_find(const struct ir_program *p, const char *name)
{
    catch_up((struct ir_program *)p);
    return map_get(p->names, name);
}

static const char *unique_name(struct ir_program *p, const char *name)
{
    intptr_t suffix = (intptr_t)map_get(p->suffixes, name);
    const char *unique = name;

    if (suffix < 2)
        suffix = 2;
    while (ir_find(p, unique))
        unique = arena_printf(p->arena, "%s_%lld", name, (long long)suffix++);
    if (unique == name)
        return arena_string(p->arena, name);
    map_put(p->suffixes, name, (void *)suffix);
    return unique;
}

void list_tensor(struct ir_program *p, struct ir_tensor *tensor)
{
    tensor->number = p->tensors.count;
    list_add(p->arena, p->tensors, tensor);
}

void ir_renumber(struct ir_program *p)
{
    p->names = map_new(p->arena);
    p->named = 0;
    for (int i = 0; i < p->tensors.count; i++)
        p->tensors.at[i]->number = i;
}

/* ---- tensors ---- */

static struct ir_index **copy_indices(struct ir_program *p, struct ir_index *const *indices, int count)
{
    return count ? arena_copy(p->arena, indices, sizeof(struct ir_index *) * (size_t)count) : NULL;
}

static struct ir_tensor *new_tensor(struct ir_program *p, enum ir_kind kind, const char *name, struct ir_index **axes,
                                    int rank, const struct ir_origin *origin)
{
    struct ir_tensor *tensor = NEW(p->arena, struct ir_tensor);

    tensor->name = unique_name(p, name);
    tensor->kind = kind;
    tensor->low = INT64_MIN;
    tensor->high = INT64_MAX;
    tensor->rank = rank;
    tensor->axes = copy_indices(p, axes, rank);
    tensor->origin = origin;
    list_tensor(p, tensor);
    return tensor;
}

struct ir_tensor *ir_leaf(struct ir_program *p, enum ir_kind kind, const char *name, struct ir_index **axes, int rank,
                          bool whole, int64_t low, int64_t high, const struct ir_origin *origin)
{
    struct ir_tensor *leaf;

    if (kind == IR_DRAW || kind == IR_EQUATION || kind == IR_OPAQUE)
        bug("ir_leaf makes no tensor of kind %d (%s)", (int)kind, name);
    leaf = new_tensor(p, kind, name, axes, rank, origin);
    leaf->whole = whole;
    if (whole) {
        leaf->low = low;
        leaf->high = high;
    }
    return leaf;
}

struct ir_tensor *ir_draw_leaf(struct ir_program *p, const char *site, enum ir_draw draw, enum ir_scope scope,
                               int mapped, struct ir_index **axes, int rank, const struct ir_origin *origin)
{
    struct ir_tensor *leaf = new_tensor(p, IR_DRAW, site, axes, rank, origin);

    leaf->draw = draw;
    leaf->scope = scope;
    leaf->mapped = mapped;
    return leaf;
}

bool infer_equation(const struct ir_tensor *equation, struct interval *range)
{
    bool whole =
        infer_reduction(equation->reduction, equation->reduced, equation->reduced_count, equation->value, range);

    if (equation->targets && range->low > 0) /* what no source is put into is 0 */
        range->low = 0;
    if (equation->targets && range->high < 0)
        range->high = 0;
    return whole;
}

void infer_tensor(struct ir_tensor *equation)
{
    struct interval range;

    equation->whole = infer_equation(equation, &range);
    equation->low = range.low;
    equation->high = range.high;
}

int opaque_own(enum ir_opaque opaque)
{
    return opaque == IR_RANK || opaque == IR_SOLVE ? 1 : 2;
}

const char *opaque_misfit(enum ir_opaque opaque, const struct ir_tensor *a, const struct ir_tensor *b)
{
    int least = opaque == IR_RANK ? 1 : 2;

    if (!a || (opaque == IR_SOLVE) != (b != NULL))
        return opaque == IR_SOLVE ? "solve takes two operands" : "it takes one operand";
    if (a->rank < least)
        return opaque == IR_RANK ? "the operand needs an axis" : "the operand needs two axes";
    if (opaque == IR_SOLVE && b->rank != a->rank - 1)
        return "the right side of solve has one axis fewer than the matrix";
    for (int i = 0; b && i < b->rank; i++)
        if (b->axes[i]->extent != a->axes[i]->extent)
            return "the right side of solve differs from the matrix in an extent";
    if ((opaque == IR_SOLVE || opaque == IR_CHOLESKY) && a->axes[a->rank - 2]->extent != a->axes[a->rank - 1]->extent)
        return "the matrix is not square";
    return NULL;
}

/* Sets what the equation's value is. */
static void define(struct ir_program *p, struct ir_tensor *equation, enum ir_reduction reduction,
                   struct ir_index **reduced, int reduced_count, const struct ir_expr *value, bool single)
{
    const char *name = equation->name;
    ir_index_list free = {0};

    ir_indices(p->arena, value, &free);
    for (int i = 0; i < free.count; i++)
        if (!ir_is_among(equation->axes, equation->rank, free.at[i]) && !ir_is_among(reduced, reduced_count, free.at[i]))
            bug("equation %s: index %s occurs in its value but is neither an output nor reduced", name,
                free.at[i]->name);
    for (int i = 0; i < equation->rank; i++)
        if (ir_is_among(equation->axes, i, equation->axes[i]) || ir_is_among(reduced, reduced_count, equation->axes[i]))
            bug("equation %s: index %s occurs twice among its outputs and reduced indices", name,
                equation->axes[i]->name);
    for (int i = 0; i < reduced_count; i++)
        if (ir_is_among(reduced, i, reduced[i]))
            bug("equation %s: index %s is reduced twice", name, reduced[i]->name);
    equation->reduction = reduction;
    equation->reduced_count = reduced_count;
    equation->reduced = copy_indices(p, reduced, reduced_count);
    equation->value = value;
    equation->single = single;
}

struct ir_tensor *ir_equation(struct ir_program *p, const char *name, struct ir_index **outputs, int rank,
                              enum ir_reduction reduction, struct ir_index **reduced, int reduced_count,
                              const struct ir_expr *value, bool single, const struct ir_origin *origin)
{
    struct ir_tensor *equation = new_tensor(p, IR_EQUATION, name, outputs, rank, origin);

    define(p, equation, reduction, reduced, reduced_count, value, single);
    infer_tensor(equation);
    return equation;
}

struct ir_tensor *ir_scatter(struct ir_program *p, const char *name, struct ir_index **axes, int rank,
                             const struct ir_form **targets, struct ir_index **sources, int source_count,
                             const struct ir_expr *value, const struct ir_origin *origin)
{
    struct ir_tensor *scatter = new_tensor(p, IR_EQUATION, name, axes, rank, origin);

    define(p, scatter, IR_SUM, sources, source_count, value, false);
    scatter->targets = arena_copy(p->arena, targets, sizeof *targets * (size_t)rank);
    for (int i = 0; i < rank; i++)
        if (subscript_place(targets[i], axes[i]) != INSIDE)
            bug("scatter %s: target %d is in %lld .. %lld; expected 0 .. %lld", scatter->name, i + 1,
                (long long)targets[i]->low, (long long)targets[i]->high, (long long)axes[i]->extent - 1);
    infer_tensor(scatter);
    return scatter;
}

struct ir_tensor *ir_opaque_tensor(struct ir_program *p, const char *name, enum ir_opaque opaque, struct ir_tensor *a,
                                   struct ir_tensor *b, const struct ir_origin *origin)
{
    const char *wrong = opaque_misfit(opaque, a, b);
    struct ir_tensor *t;

    if (wrong)
        bug("%s: %s", name, wrong);
    t = new_tensor(p, IR_OPAQUE, name, a->axes, a->rank, origin);
    t->opaque = opaque;
    t->operands[0] = a;
    t->operands[1] = b;
    if (opaque == IR_SOLVE) { /* [.., i, j] and [.., i] to [.., j] */
        t->rank--;
        t->axes[t->rank - 1] = a->axes[a->rank - 1];
    }
    if (opaque == IR_RANK) {
        t->whole = true;
        t->low = 0;
        t->high = a->axes[a->rank - 1]->extent - 1;
    }
    return t;
}

/* ---- recurrences ---- */

struct ir_tensor *ir_opaque_in(struct ir_program *p, const char *name, enum ir_opaque opaque, struct ir_tensor *a,
                               struct ir_tensor *b, const struct ir_recurrence *recurrence, int time,
                               const struct ir_origin *origin)
{
    struct ir_tensor *t = ir_opaque_tensor(p, name, opaque, a, b, origin);

    if (time < 0 || time >= t->rank - opaque_own(opaque) || t->axes[time]->extent != recurrence->extent)
        bug("%s: axis %d is not the time of the recurrence %s", name, time + 1, recurrence->name);
    t->recurrence = recurrence;
    t->time = time;
    return t;
}

struct ir_recurrence *ir_recurrence(struct ir_program *p, const char *name, int64_t extent, bool down)
{
    struct ir_recurrence *recurrence = NEW(p->arena, struct ir_recurrence);

    *recurrence = (struct ir_recurrence){arena_string(p->arena, name), extent, down};
    return recurrence;
}

struct ir_tensor *ir_declare(struct ir_program *p, const char *name, struct ir_index **outputs, int rank, bool whole,
                             int64_t low, int64_t high, const struct ir_recurrence *recurrence, int time,
                             const struct ir_origin *origin)
{
    struct ir_tensor *equation = new_tensor(p, IR_EQUATION, name, outputs, rank, origin);

    if (time < 0 || time >= rank || outputs[time]->extent != recurrence->extent)
        bug("equation %s: axis %d is not the time of the recurrence %s", name, time + 1, recurrence->name);
    equation->recurrence = recurrence;
    equation->time = time;
    equation->whole = whole;
    if (whole) {
        equation->low = low;
        equation->high = high;
    }
    return equation;
}

void ir_define(struct ir_program *p, struct ir_tensor *declared, enum ir_reduction reduction, struct ir_index **reduced,
               int reduced_count, const struct ir_expr *value, bool single)
{
    if (declared->value || !declared->recurrence)
        bug("equation %s is defined, but was not declared", declared->name);
    define(p, declared, reduction, reduced, reduced_count, value, single);
}

struct ir_tensor *ir_equation_in(struct ir_program *p, const char *name, struct ir_index **outputs, int rank,
                                 const struct ir_recurrence *recurrence, int time, enum ir_reduction reduction,
                                 struct ir_index **reduced, int reduced_count, const struct ir_expr *value, bool single,
                                 const struct ir_origin *origin)
{
    struct ir_tensor *equation = ir_declare(p, name, outputs, rank, false, 0, 0, recurrence, time, origin);

    ir_define(p, equation, reduction, reduced, reduced_count, value, single);
    infer_tensor(equation);
    return equation;
}

void ir_add_update(struct ir_program *p, struct ir_tensor *leaf, struct ir_tensor *value)
{
    list_add(p->arena, p->updates, (struct ir_update){leaf, value});
}

void ir_add_output(struct ir_program *p, const char *name, struct ir_tensor *tensor, bool guard)
{
    list_add(p->arena, p->outputs, (struct ir_output){arena_string(p->arena, name), tensor, guard});
}
