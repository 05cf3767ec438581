/* run.c: a step: kernels in order, the check of the guards before anything of the run is written, then the updates that
   are not made in place. The memory that a step needs besides what plan_memory planned lies behind the arena: scratch
   of the kernel that runs (they take turns), what kernels keep from step to step of a recurrence (recurrences take
   turns), what each kernel is called with, values that are saved. */
#include <math.h>
#include <string.h>

#include "unit.h"

static bool of_the_run(const struct ir_tensor *t)
{
    return t->region == IR_IN_PARAMETERS || t->region == IR_IN_STATE;
}

static bool writes_the_run(const struct ir_kernel *kernel)
{
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            if (of_the_run(kernel->stages.at[i]->equations.at[k]))
                return true;
    return false;
}

static int64_t size_of(enum ir_storage storage)
{
    return storage == IR_F64 ? 8 : storage == IR_U8 ? 1 : 4;
}

/* ---- making ---- */

static struct stored stored(const struct ir_tensor *t)
{
    return (struct stored){t->region, t->offset, t->storage, ir_elements(t)};
}

static int64_t take(struct program_run *run, int64_t bytes)
{
    int64_t at = run->behind;

    run->behind += (bytes + 63) / 64 * 64;
    return at;
}

static int draw_number(const struct ir_program *p, const struct ir_tensor *draw)
{
    int number = 0;

    for (int i = 0; i < draw->number; i++)
        number += p->tensors.at[i]->kind == IR_DRAW;
    return number;
}

static void place_kernel(struct arena *arena, const struct ir_program *p, const struct ir_kernel *kernel,
                         const ir_tensor_list *places, struct kernel_run *out)
{
    out->recurrence = kernel->recurrence;
    if (kernel->recurrence) {
        out->extent = kernel->recurrence->extent;
        out->down = kernel->recurrence->down;
    }
    out->writes_the_run = writes_the_run(kernel);
    out->place_count = places->count;
    out->places = NEW_ARRAY(arena, struct place, places->count + 1);
    for (int i = 0; i < places->count; i++) {
        const struct ir_tensor *t = places->at[i];

        out->places[i] =
            t->kind == IR_DRAW ? (struct place){IR_NOWHERE, draw_number(p, t)} : (struct place){t->region, t->offset};
    }
}

static bool is_updated(const struct ir_program *p, const struct ir_tensor *leaf)
{
    for (int i = 0; i < p->updates.count; i++)
        if (p->updates.at[i].leaf == leaf)
            return true;
    return false;
}

static void place_updates(struct arena *arena, const struct ir_program *p, struct program_run *run)
{
    run->updates = NEW_ARRAY(arena, struct update_run, p->updates.count + 1);
    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_tensor *leaf = p->updates.at[i].leaf, *value = p->updates.at[i].value;
        struct update_run update = {stored(leaf), stored(value), -1};

        if (leaf->region == value->region && leaf->offset == value->offset)
            continue;
        /* A value that is itself a leaf with an update is saved first: all updates happen at once. */
        if (of_the_run(value) && is_updated(p, value))
            update.saved = take(run, update.value.elements * size_of(value->storage));
        run->updates[run->update_count++] = update;
    }
}

/* Gives the kernels of each recurrence what they keep, from `first` on. Returns the bytes of the recurrence that keeps
 * most. */
static int64_t place_kept(struct program_run *run, int64_t first)
{
    int64_t most = 0, at = 0;

    for (int i = 0; i < run->kernel_count; i++) {
        struct kernel_run *kernel = &run->kernels[i];

        if (i && kernel->recurrence != run->kernels[i - 1].recurrence)
            at = 0;
        kernel->kept = first + at;
        at += kernel->unit->kept;
        if (at > most)
            most = at;
    }
    return most;
}

void program_run_new(struct arena *arena, const struct ir_program *p, const ir_tensor_list *places,
                     const struct unit *const *units, struct program_run *run)
{
    int64_t scratch = 0;

    *run = (struct program_run){.kernel_count = p->kernels.count, .arena_bytes = p->arena_bytes};
    run->kernels = NEW_ARRAY(arena, struct kernel_run, p->kernels.count + 1);
    for (int i = 0; i < p->kernels.count; i++)
        if (units[i]->scratch > scratch)
            scratch = units[i]->scratch;
    take(run, scratch);
    for (int i = 0; i < p->kernels.count; i++) {
        place_kernel(arena, p, p->kernels.at[i], &places[i], &run->kernels[i]);
        run->kernels[i].unit = units[i];
        run->kernels[i].call =
            take(run, (int64_t)(sizeof(struct kernel_call) + sizeof(char *) * (size_t)places[i].count));
    }
    take(run, place_kept(run, run->behind));
    run->guards = NEW_ARRAY(arena, struct stored, p->outputs.count + 1);
    for (int i = 0; i < p->outputs.count; i++)
        if (p->outputs.at[i].guard && !p->outputs.at[i].tensor->whole)
            run->guards[run->guard_count++] = stored(p->outputs.at[i].tensor);
    place_updates(arena, p, run);
}

/* ---- running ---- */

static char *address(const struct rnet_step *step, enum ir_region region, int64_t offset)
{
    switch (region) {
    case IR_NOWHERE:
        return (char *)(step->keys + offset);
    case IR_IN_ARENA:
        return step->arena + offset;
    case IR_IN_PARAMETERS:
        return step->parameters + offset;
    case IR_IN_STATE:
        return step->state + offset;
    case IR_IN_INPUTS:
        return step->inputs + offset;
    case IR_IN_SCALARS:
        return (char *)step->scalars + offset;
    case IR_LOCAL:
        break;
    }
    bug("codegen: region %d has no address", (int)region);
}

static struct kernel_call *prepare(const struct program_run *run, const struct kernel_run *kernel,
                                   const struct rnet_step *step)
{
    char *behind = step->arena + run->arena_bytes;
    struct kernel_call *call = (struct kernel_call *)(void *)(behind + kernel->call);

    call->step = step;
    call->time = 0;
    call->scratch = behind;
    call->kept = behind + kernel->kept;
    for (int i = 0; i < kernel->place_count; i++)
        call->places[i] = address(step, kernel->places[i].region, kernel->places[i].offset);
    return call;
}

static void run_function(const struct kernel_run *kernel, int number, struct kernel_call *call)
{
    if (kernel->parts[number].parts == 1)
        kernel->functions[number](call, 0);
    else
        rnet_pool_run(call->step->pool, kernel->functions[number], call, kernel->parts[number].parts);
}

/* Adds what passed since *clock to the number, and sets the clock. NULL: nothing is timed. */
static void note_time(double *seconds, double *clock)
{
    double now;

    if (!seconds)
        return;
    now = rnet_seconds();
    *seconds += now - *clock;
    *clock = now;
}

/* Kernels first .. end - 1, of one recurrence: all of them for each step of its time, in its order. */
static void run_recurrence(const struct program_run *run, int first, int end, const struct rnet_step *step,
                           double *seconds, double *clock)
{
    int64_t extent = run->kernels[first].extent;

    for (int i = first; i < end; i++)
        prepare(run, &run->kernels[i], step);
    for (int64_t count = 0; count < extent; count++)
        for (int i = first; i < end; i++) {
            const struct kernel_run *kernel = &run->kernels[i];
            struct kernel_call *call = (struct kernel_call *)(void *)(step->arena + run->arena_bytes + kernel->call);

            call->time = kernel->down ? extent - 1 - count : count;
            for (int k = 0; k < kernel->unit->count; k++)
                if (kernel->parts[k].when == ALWAYS || (kernel->parts[k].when == FIRST_STEP) == (count == 0))
                    run_function(kernel, k, call);
            note_time(seconds ? &seconds[i] : NULL, clock);
        }
}

static bool guards_hold(const struct program_run *run, const struct rnet_step *step)
{
    for (int i = 0; i < run->guard_count; i++) {
        const char *at = address(step, run->guards[i].region, run->guards[i].offset);

        if (!(run->guards[i].storage == IR_F32 ? isfinite(*(const float *)(const void *)at)
                                               : isfinite(*(const double *)(const void *)at)))
            return false;
    }
    return true;
}

static void convert(char *to, const struct stored *leaf, const char *from, const struct stored *value)
{
    for (int64_t i = 0; i < leaf->elements; i++) {
        const char *at = from + i * size_of(value->storage);
        /* Every number of the other three is a double. */
        double number = value->storage == IR_F32   ? (double)*(const float *)(const void *)at
                        : value->storage == IR_F64 ? *(const double *)(const void *)at
                        : value->storage == IR_I32 ? (double)*(const int32_t *)(const void *)at
                                                   : (double)*(const uint8_t *)at;
        char *out = to + i * size_of(leaf->storage);

        switch (leaf->storage) {
        case IR_F32:
            *(float *)(void *)out = (float)number;
            break;
        case IR_F64:
            *(double *)(void *)out = number;
            break;
        case IR_I32:
            *(int32_t *)(void *)out = (int32_t)number;
            break;
        case IR_U8:
            *(uint8_t *)out = (uint8_t)number;
            break;
        }
    }
}

static void run_updates(const struct program_run *run, const struct rnet_step *step)
{
    char *behind = step->arena + run->arena_bytes;

    for (int i = 0; i < run->update_count; i++) {
        const struct update_run *update = &run->updates[i];

        if (update->saved >= 0)
            memcpy(behind + update->saved, address(step, update->value.region, update->value.offset),
                   (size_t)(update->value.elements * size_of(update->value.storage)));
    }
    for (int i = 0; i < run->update_count; i++) {
        const struct update_run *update = &run->updates[i];
        const char *from =
            update->saved >= 0 ? behind + update->saved : address(step, update->value.region, update->value.offset);
        char *to = address(step, update->leaf.region, update->leaf.offset);

        if (update->leaf.storage == update->value.storage)
            memcpy(to, from, (size_t)(update->leaf.elements * size_of(update->leaf.storage)));
        else
            convert(to, &update->leaf, from, &update->value);
    }
}

int program_run_timed(const struct program_run *run, const struct rnet_step *step, double *seconds)
{
    double *rest = seconds ? &seconds[run->kernel_count] : NULL, clock = seconds ? rnet_seconds() : 0;
    bool guarded = false;

    for (int i = 0; i < run->kernel_count; i++) {
        const struct kernel_run *kernel = &run->kernels[i];

        if (kernel->recurrence) {
            int end = i + 1;

            while (end < run->kernel_count && run->kernels[end].recurrence == kernel->recurrence)
                end++;
            run_recurrence(run, i, end, step, seconds, &clock);
            i = end - 1;
            continue;
        }
        if (!guarded && kernel->writes_the_run) {
            if (!guards_hold(run, step))
                return RNET_NONFINITE;
            guarded = true;
            note_time(rest, &clock);
        }
        struct kernel_call *call = prepare(run, kernel, step);
        for (int k = 0; k < kernel->unit->count; k++)
            run_function(kernel, k, call);
        note_time(seconds ? &seconds[i] : NULL, &clock);
    }
    if (!guarded && !guards_hold(run, step))
        return RNET_NONFINITE;
    run_updates(run, step);
    note_time(rest, &clock);
    return RNET_DONE;
}
