/* plan.c: a place in memory for every tensor that is stored.

   requires: a fused program. Sets region, offset and storage of each tensor and the program's byte counts, in place.
   maintains: everything else.
   A value of the arena lives from the kernel that makes it to the last kernel that reads it (measured in kernels); two
   that live together never share a byte. Places are given largest first, each the lowest that is free over its life:
   greedy by size, which comes near the lower bound on the programs of training. Offsets are multiples of 64 bytes. */
#include "internal.h"

#include <string.h>

enum { ALIGNMENT = 64 };

static int64_t aligned(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int64_t bytes_as(const struct ir_tensor *t, enum ir_storage storage)
{
    return ir_elements(t) * (storage == IR_U8 ? 1 : storage == IR_F64 ? 8 : 4);
}

/* ---- layout: the places of parameters and states, the same in all programs of a run ---- */

struct layout {
    struct arena *arena;
    struct map *places;
    int64_t parameter_bytes, state_bytes;
};
struct layout_place {
    enum ir_region region;
    int64_t offset, elements;
    enum ir_storage storage;
};

struct layout *layout_new(struct arena *arena)
{
    struct layout *layout = NEW(arena, struct layout);

    layout->arena = arena;
    layout->places = map_new(arena);
    return layout;
}

int64_t layout_parameter_bytes(const struct layout *layout)
{
    return layout->parameter_bytes;
}

int64_t layout_state_bytes(const struct layout *layout)
{
    return layout->state_bytes;
}

bool layout_find(const struct layout *layout, const char *name, enum ir_region *region, int64_t *offset,
                 enum ir_storage *storage)
{
    const struct layout_place *place = map_get(layout->places, name);

    if (!place)
        return false;
    *region = place->region;
    *offset = place->offset;
    *storage = place->storage;
    return true;
}

static void place_leaf(const struct ir_program *p, struct layout *layout, struct ir_tensor *t)
{
    struct layout_place *place = map_get(layout->places, t->name);
    enum ir_region region = t->kind == IR_PARAMETER ? IR_IN_PARAMETERS : IR_IN_STATE;

    if (!place) {
        int64_t *end = t->kind == IR_PARAMETER ? &layout->parameter_bytes : &layout->state_bytes;

        place = NEW(layout->arena, struct layout_place);
        *place = (struct layout_place){region, *end, ir_elements(t), storage_of(p, t)};
        *end += aligned(stored_bytes(p, t));
        map_put(layout->places, t->name, place);
    }
    if (place->region != region || place->elements != ir_elements(t) || place->storage != storage_of(p, t))
        bug("%s has another shape, kind or precision in program %s than elsewhere", t->name, p->name);
    t->region = region;
    t->offset = place->offset;
    t->storage = place->storage;
}

/* ---- where in time: kernels, stages, places in a stage ---- */

struct moment {
    int kernel, stage, place; /* kernel -1: never made */
};

struct planning {
    struct ir_program *p;
    struct arena *arena;
    struct moment *made; /* by number */
    struct uses uses;
    int last_guard; /* kernel that makes the last guard; -1: none */
};

static void find_moments(struct planning *plan)
{
    struct ir_program *p = plan->p;

    plan->made = NEW_ARRAY(plan->arena, struct moment, p->tensors.count + 1);
    for (int i = 0; i < p->tensors.count; i++)
        plan->made[i].kernel = -1;
    for (int k = 0; k < p->kernels.count; k++)
        for (int s = 0; s < p->kernels.at[k]->stages.count; s++)
            for (int i = 0; i < p->kernels.at[k]->stages.at[s]->equations.count; i++)
                plan->made[p->kernels.at[k]->stages.at[s]->equations.at[i]->number] = (struct moment){k, s, i};
    plan->last_guard = -1;
    for (int i = 0; i < p->outputs.count; i++) {
        int made = plan->made[p->outputs.at[i].tensor->number].kernel;

        if (p->outputs.at[i].guard && made > plan->last_guard)
            plan->last_guard = made;
    }
}

/* ---- updates in place ---- */

static bool is_parallel(const struct ir_kernel *kernel, const struct ir_index *index)
{
    for (int i = 0; i < kernel->parallel.count; i++)
        if (kernel->parallel.at[i] == index)
            return true;
    return false;
}

/* Does the reader take every element of the old value before it is overwritten? */
static bool reads_before(const struct planning *plan, const struct ir_tensor *reader, const struct ir_expr *read,
                         const struct ir_tensor *value)
{
    struct moment r = plan->made[reader->number], v = plan->made[value->number];
    const struct ir_kernel *kernel = plan->p->kernels.at[v.kernel];

    if (r.kernel != v.kernel)
        return r.kernel < v.kernel;
    if (r.stage > v.stage || (r.stage == v.stage && r.place > v.place))
        return false;
    if (r.stage == v.stage)
        return reads_at_axes(read, value->axes);
    for (int i = 0; i < value->rank; i++)
        if (is_parallel(kernel, value->axes[i]) && ir_form_bare(read->subscripts[i]) != value->axes[i])
            return false;
    return true;
}

/* Two states that are given one value need two places; the first update of the list gets it in place. */
static bool is_first_update(const struct ir_program *p, const struct ir_update *u)
{
    for (int i = 0; &p->updates.at[i] != u; i++)
        if (p->updates.at[i].value == u->value)
            return false;
    return true;
}

static bool is_output(const struct ir_program *p, const struct ir_tensor *t)
{
    for (int i = 0; i < p->outputs.count; i++)
        if (p->outputs.at[i].tensor == t)
            return true;
    return false;
}

static bool in_place(const struct planning *plan, const struct ir_update *u)
{
    const struct ir_program *p = plan->p;
    const struct ir_tensor *value = u->value;
    const tensor_list *readers = &plan->uses.readers[u->leaf->number];

    if (!is_plain(value) || value->reduction != IR_MAP || plan->made[value->number].kernel <= plan->last_guard)
        return false;
    if (!is_first_update(p, u) || is_output(p, u->leaf))
        return false;
    for (int i = 0; i < p->updates.count; i++)
        if (p->updates.at[i].value == u->leaf)
            return false; /* another leaf still wants the old value at the step's end */
    for (int i = 0; i < readers->count; i++) {
        const expr_list *reads = &plan->uses.reads[readers->at[i]->number];

        for (int j = 0; j < reads->count; j++)
            if (reads->at[j]->tensor == u->leaf && !reads_before(plan, readers->at[i], reads->at[j], value))
                return false;
    }
    return true;
}

/* ---- the arena ---- */

struct life {
    struct ir_tensor *tensor;
    int first, last; /* kernels, inclusive */
    int64_t bytes, offset;
};

static int64_t lowest_free(const struct life *lives, const int *placed, int count, const struct life *life)
{
    int64_t offset = 0;
    bool moved = true;

    while (moved) {
        moved = false;
        for (int i = 0; i < count; i++) {
            const struct life *other = &lives[placed[i]];

            if (other->last < life->first || other->first > life->last || offset >= other->offset + other->bytes ||
                offset + life->bytes <= other->offset)
                continue;
            offset = other->offset + other->bytes;
            moved = true;
        }
    }
    return offset;
}

static void place_lives(struct planning *plan, struct life *lives, int count)
{
    int *order = NEW_ARRAY(plan->arena, int, count + 1);

    for (int i = 0; i < count; i++) {
        int j = i;

        for (; j > 0 && lives[order[j - 1]].bytes < lives[i].bytes; j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
    for (int i = 0; i < count; i++) {
        struct life *life = &lives[order[i]];

        life->offset = life->tensor->offset = lowest_free(lives, order, i, life);
        life->tensor->region = IR_IN_ARENA;
        if (life->offset + life->bytes > plan->p->arena_bytes)
            plan->p->arena_bytes = life->offset + life->bytes;
    }
}

/* The kernels of a recurrence run again and again: what one of them makes or reads lives as long as all of them. */
static int first_of_run(const struct ir_program *p, int k)
{
    while (k > 0 && p->kernels.at[k]->recurrence && p->kernels.at[k - 1]->recurrence == p->kernels.at[k]->recurrence)
        k--;
    return k;
}

static int last_of_run(const struct ir_program *p, int k)
{
    while (k + 1 < p->kernels.count && p->kernels.at[k]->recurrence &&
           p->kernels.at[k + 1]->recurrence == p->kernels.at[k]->recurrence)
        k++;
    return k;
}

void plan_memory(struct ir_program *p, struct layout *layout, bool keep_all)
{
    struct planning plan = {.p = p, .arena = arena_new()};
    struct life *lives = NEW_ARRAY(plan.arena, struct life, p->tensors.count + 1);
    bool *placed = NEW_ARRAY(plan.arena, bool, p->tensors.count + 1);
    int count = 0, scalars = 0;

    find_moments(&plan);
    plan.uses = uses_of(plan.arena, p);
    p->arena_bytes = p->input_bytes = 0;
    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        t->storage = storage_of(p, t);
        if (t->kind == IR_PARAMETER || t->kind == IR_STATE) {
            place_leaf(p, layout, t);
        } else if (t->kind == IR_INPUT) {
            t->region = IR_IN_INPUTS;
            t->offset = p->input_bytes;
            p->input_bytes += aligned(stored_bytes(p, t));
        } else if (t->kind == IR_SCALAR) {
            t->region = IR_IN_SCALARS;
            t->storage = IR_F64;
            t->offset = 8 * scalars++;
        } else if (t->kind == IR_DRAW) {
            t->region = IR_NOWHERE;
        }
    }
    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_update *u = &p->updates.at[i];

        if (is_first_update(p, u))
            u->value->storage = u->leaf->storage; /* so that a copy at the step's end is one of bytes */
        if (in_place(&plan, u)) {
            u->value->region = u->leaf->region;
            u->value->offset = u->leaf->offset;
            placed[u->value->number] = true;
        }
    }
    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i];
        struct life life = {t, plan.made[i].kernel, plan.made[i].kernel, aligned(bytes_as(t, t->storage)), 0};

        if (!is_made(t) || placed[i] || t->region == IR_LOCAL)
            continue;
        for (int j = 0; j < plan.uses.readers[i].count; j++)
            if (plan.made[plan.uses.readers[i].at[j]->number].kernel > life.last)
                life.last = plan.made[plan.uses.readers[i].at[j]->number].kernel;
        life.first = first_of_run(p, life.first);
        life.last = last_of_run(p, life.last);
        if (keep_all || plan.uses.kept[i])
            life.last = p->kernels.count;
        if (keep_all)
            life.first = 0;
        lives[count++] = life;
    }
    place_lives(&plan, lives, count);
    p->parameter_bytes = layout_parameter_bytes(layout);
    p->state_bytes = layout_state_bytes(layout);
    arena_free(plan.arena);
}
