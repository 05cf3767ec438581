/* plan.c: a place in memory for every tensor that is stored.

   requires: a fused program. Sets region, offset and storage of each tensor and the program's byte counts, in place.
   maintains: everything else.
   A value of the arena lives from the kernel that makes it to the last kernel that reads it (measured in kernels); two
   that live together never share a byte, but for a value that is written over another of its size, element over element,
   by the last kernel that reads that: at each point the old element is read before. What a recurrence makes and only its own
   step reads, or the next one before it makes its own, has room for one step. Offsets are multiples of 64 bytes. */
#include "internal.h"

#include <string.h>

enum { ALIGNMENT = 64 };

static int64_t aligned(int64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int64_t room_of(const struct ir_tensor *t)
{
    int64_t elements = ir_elements(t) / (t->one_step ? t->axes[t->one_step - 1]->extent : 1);

    return elements * (t->storage == IR_U8 ? 1 : t->storage == IR_F64 ? 8 : 4);
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

/* Does the reader take every element of the old value before `value` is written there? skip: the time of `value`, if the old
   value is its own of the step before; -1. */
static bool reads_before(const struct planning *plan, const struct ir_tensor *reader, const struct ir_expr *read,
                         const struct ir_tensor *value, int skip)
{
    struct moment r = plan->made[reader->number], v = plan->made[value->number];
    const struct ir_kernel *kernel = plan->p->kernels.at[v.kernel];

    if (r.kernel != v.kernel)
        return r.kernel < v.kernel;
    if (r.stage > v.stage || (r.stage == v.stage && r.place > v.place) || read->tensor->rank != value->rank)
        return false;
    for (int i = 0; i < value->rank; i++)
        if (i != skip && (r.stage == v.stage || is_parallel(kernel, value->axes[i])) &&
            ir_form_bare(read->subscripts[i]) != value->axes[i])
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
            if (reads->at[j]->tensor == u->leaf && !reads_before(plan, readers->at[i], reads->at[j], value, -1))
                return false;
    }
    return true;
}

/* ---- the arena: room for one step ---- */

static bool one_step_kernel(const struct ir_kernel *kernel)
{
    return kernel->kind != IR_SCATTER_KERNEL && kernel->kind != IR_OPAQUE_KERNEL;
}

/* Of a value of a recurrence that only its own step, and perhaps the next, reads: is one place enough for all steps? */
static bool wants_one_step(const struct planning *plan, const struct ir_tensor *t)
{
    const struct ir_program *p = plan->p;
    const struct ir_kernel *kernel = p->kernels.at[plan->made[t->number].kernel];
    const tensor_list *readers = &plan->uses.readers[t->number];

    if (!t->recurrence || t->kind != IR_EQUATION || plan->uses.kept[t->number] || !one_step_kernel(kernel))
        return false;
    for (int i = 0; i < t->reduced_count; i++)
        if (kernel->kind == IR_NEST && is_parallel(kernel, t->reduced[i]))
            return false; /* made in parts, which are joined along the whole of time */
    for (int i = 0; i < readers->count; i++) {
        const struct ir_tensor *reader = readers->at[i];
        const expr_list *reads = &plan->uses.reads[reader->number];

        if (reader->recurrence != t->recurrence || reader->kind != IR_EQUATION ||
            !one_step_kernel(p->kernels.at[plan->made[reader->number].kernel]))
            return false;
        for (int j = 0; j < reads->count; j++)
            if (reads->at[j]->tensor == t && ir_form_bare(reads->at[j]->subscripts[t->time]) != reader->axes[reader->time] &&
                !reads_before(plan, reader, reads->at[j], t, t->time))
                return false;
    }
    return true;
}

/* ---- the arena: lives ---- */

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

/* What lives in the arena, by number of the tensor; first -1: it does not. */
struct life {
    int first, last; /* kernels, inclusive */
};

static struct life *find_lives(struct planning *plan, const bool *placed, bool keep_all)
{
    const struct ir_program *p = plan->p;
    struct life *lives = NEW_ARRAY(plan->arena, struct life, p->tensors.count + 1);

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        struct life *life = &lives[i];

        *life = (struct life){-1, -1};
        p->tensors.at[i]->one_step = 0;
        if (!is_made(t) || placed[i] || t->region == IR_LOCAL)
            continue;
        *life = (struct life){plan->made[i].kernel, plan->made[i].kernel};
        for (int j = 0; j < plan->uses.readers[i].count; j++)
            if (plan->made[plan->uses.readers[i].at[j]->number].kernel > life->last)
                life->last = plan->made[plan->uses.readers[i].at[j]->number].kernel;
        if (!keep_all && wants_one_step(plan, t))
            p->tensors.at[i]->one_step = t->time + 1;
        life->first = first_of_run(p, life->first);
        life->last = last_of_run(p, life->last);
        if (keep_all || plan->uses.kept[i])
            life->last = p->kernels.count;
        if (keep_all)
            life->first = 0;
    }
    return lives;
}

/* ---- the arena: values over values ---- */

/* Inside of its recurrence a value that is written over another may do so step by step, if each step reads of the other what
   the step overwrites, and no other step's. */
static bool reads_its_step(const struct ir_tensor *reader, const struct ir_expr *read, const struct ir_tensor *value)
{
    return !value->recurrence || reader->recurrence != value->recurrence ||
           ir_form_bare(read->subscripts[value->time]) == reader->axes[reader->time];
}

/* May `value` be written over `old`, which nothing needs after the kernel that makes `value`? */
static bool may_replace(const struct planning *plan, const struct life *lives, const struct ir_tensor *old,
                        const struct ir_tensor *value)
{
    const struct moment *v = &plan->made[value->number];
    const tensor_list *readers = &plan->uses.readers[old->number];

    if (lives[old->number].first < 0 || old->one_step || value->one_step || plan->uses.kept[old->number] ||
        old->rank != value->rank || room_of(old) != room_of(value) ||
        plan->made[old->number].kernel >= v->kernel || lives[old->number].last != last_of_run(plan->p, v->kernel))
        return false;
    for (int i = 0; i < old->rank; i++)
        if (old->axes[i]->extent != value->axes[i]->extent)
            return false; /* a point of one lies where another point of the other does */
    for (int i = 0; i < readers->count; i++) {
        const struct ir_tensor *reader = readers->at[i];
        const expr_list *reads = &plan->uses.reads[reader->number];

        if (plan->made[reader->number].kernel < v->kernel &&
            (!value->recurrence || reader->recurrence != value->recurrence))
            continue;
        if (reader->kind != IR_EQUATION || reader->targets)
            return false;
        for (int j = 0; j < reads->count; j++)
            if (reads->at[j]->tensor == old &&
                (!reads_before(plan, reader, reads->at[j], value, -1) || !reads_its_step(reader, reads->at[j], value)))
                return false;
    }
    return true;
}

/* Does the kernel make each point of the map of what it reads at that point, before anything else reads it? */
static bool goes_point_by_point(const struct ir_kernel *kernel, const struct ir_tensor *map)
{
    return kernel->kind == IR_NEST ||
           (kernel->kind == IR_TILE_KERNEL && product_stage(kernel) > 1 && kernel->stages.at[0]->equations.at[0] == map);
}

/* The first of what is read that `value` may replace, or NULL. It stands before the value, as what is placed does (place_arena). */
static struct ir_tensor *find_old(const struct planning *plan, const struct life *lives, const bool *taken,
                                  const expr_list *reads, const struct ir_tensor *value)
{
    for (int i = 0; i < reads->count; i++) {
        struct ir_tensor *old = reads->at[i]->tensor;

        if (is_made(old) && old->number < value->number && !taken[old->number] && may_replace(plan, lives, old, value))
            return old;
    }
    return NULL;
}

/* By number: the tensor over which it is written, or NULL. Each is written over by one at most. */
static struct ir_tensor **find_replaced(struct planning *plan, const struct life *lives)
{
    const struct ir_program *p = plan->p;
    struct ir_tensor **replaced = NEW_ARRAY(plan->arena, struct ir_tensor *, p->tensors.count + 1);
    bool *taken = NEW_ARRAY(plan->arena, bool, p->tensors.count + 1);

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *value = p->tensors.at[i];

        if (lives[i].first < 0 || value->kind != IR_EQUATION || value->targets || value->reduction != IR_MAP ||
            !goes_point_by_point(p->kernels.at[plan->made[i].kernel], value))
            continue;
        replaced[i] = find_old(plan, lives, taken, &plan->uses.reads[i], value);
        /* What it reads may have been kept within the kernel, made of what is stored. */
        const struct ir_kernel *kernel = p->kernels.at[plan->made[i].kernel];
        for (int s = 0; kernel->kind == IR_NEST && s <= plan->made[i].stage; s++)
            for (int k = 0; k < kernel->stages.at[s]->equations.count && !replaced[i]; k++) {
                int number = kernel->stages.at[s]->equations.at[k]->number;

                replaced[i] = find_old(plan, lives, taken, &plan->uses.reads[number], value);
            }
        if (replaced[i])
            taken[replaced[i]->number] = true;
    }
    return replaced;
}

/* ---- the arena: places ---- */

static void place_arena(struct planning *plan, const struct life *lives, bool keep_all)
{
    struct ir_program *p = plan->p;
    struct ir_tensor **replaced = keep_all ? NULL : find_replaced(plan, lives);
    struct block *blocks = NEW_ARRAY(plan->arena, struct block, p->tensors.count + 1);
    int *block_of = NEW_ARRAY(plan->arena, int, p->tensors.count + 1), count = 0;

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        struct block *block;

        if (lives[i].first < 0)
            continue;
        if (replaced && replaced[i]) {
            block_of[i] = block_of[replaced[i]->number];
            block = &blocks[block_of[i]];
            if (lives[i].last > block->last)
                block->last = lives[i].last;
            continue;
        }
        block_of[i] = count;
        blocks[count++] = (struct block){lives[i].first, lives[i].last, aligned(room_of(t)), 0};
    }
    p->alive_bytes = most_alive(plan->arena, blocks, count, p->kernels.count, &p->most_alive);
    p->arena_bytes = place_blocks(plan->arena, blocks, count, p->alive_bytes);
    for (int i = 0; i < p->tensors.count; i++) {
        if (lives[i].first < 0)
            continue;
        p->tensors.at[i]->region = IR_IN_ARENA;
        p->tensors.at[i]->offset = blocks[block_of[i]].offset;
    }
}

void plan_memory(struct ir_program *p, struct layout *layout, bool keep_all)
{
    struct planning plan = {.p = p, .arena = arena_new()};
    bool *placed = NEW_ARRAY(plan.arena, bool, p->tensors.count + 1);
    int scalars = 0;

    find_moments(&plan);
    plan.uses = uses_of(plan.arena, p);
    p->input_bytes = 0;
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
    place_arena(&plan, find_lives(&plan, placed, keep_all), keep_all);
    p->parameter_bytes = layout_parameter_bytes(layout);
    p->state_bytes = layout_state_bytes(layout);
    arena_free(plan.arena);
}
