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

    if (kind == IR_DRAW || kind == IR_EQUATION)
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

static bool contains(struct ir_index *const *indices, int count, const struct ir_index *index)
{
    for (int i = 0; i < count; i++)
        if (indices[i] == index)
            return true;
    return false;
}

void infer_tensor(struct ir_tensor *equation)
{
    struct interval range;

    equation->whole =
        infer_reduction(equation->reduction, equation->reduced, equation->reduced_count, equation->value, &range);
    equation->low = range.low;
    equation->high = range.high;
}

struct ir_tensor *ir_equation(struct ir_program *p, const char *name, struct ir_index **outputs, int rank,
                              enum ir_reduction reduction, struct ir_index **reduced, int reduced_count,
                              const struct ir_expr *value, bool single, const struct ir_origin *origin)
{
    struct ir_tensor *equation;
    ir_index_list free = {0};

    ir_indices(p->arena, value, &free);
    for (int i = 0; i < free.count; i++)
        if (!contains(outputs, rank, free.at[i]) && !contains(reduced, reduced_count, free.at[i]))
            bug("equation %s: index %s occurs in its value but is neither an output nor reduced", name,
                free.at[i]->name);
    for (int i = 0; i < rank; i++)
        if (contains(outputs, i, outputs[i]) || contains(reduced, reduced_count, outputs[i]))
            bug("equation %s: index %s occurs twice among its outputs and reduced indices", name, outputs[i]->name);
    for (int i = 0; i < reduced_count; i++)
        if (contains(reduced, i, reduced[i]))
            bug("equation %s: index %s is reduced twice", name, reduced[i]->name);
    equation = new_tensor(p, IR_EQUATION, name, outputs, rank, origin);
    equation->reduction = reduction;
    equation->reduced_count = reduced_count;
    equation->reduced = copy_indices(p, reduced, reduced_count);
    equation->value = value;
    equation->single = single;
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
