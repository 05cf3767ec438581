/* execute.c: memory around a compiled program. Nothing here allocates while a step runs. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE = 4096, HUGE_PAGE = 2 << 20 };

/* A block stands in a mapping of its own, zeroed, behind a page that says how large the mapping is. Whole huge pages of it are
   advised; what is behind the last of them gets small pages, so that the process uses what was planned and no more. */
struct mapping {
    char *at;
    size_t size;
};

static char *block_new(int64_t bytes)
{
    size_t used = (size_t)bytes, alignment = used >= HUGE_PAGE ? HUGE_PAGE : PAGE;
    size_t size = used + alignment + PAGE;
    char *mapped = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *block;

    if (mapped == MAP_FAILED) {
        fprintf(stderr, "rnetc: out of memory (%zu bytes)\n", used);
        exit(RNET_FAILED);
    }
    block = mapped + PAGE;
    block += (alignment - (uintptr_t)block % alignment) % alignment;
    if (used >= HUGE_PAGE)
        madvise(block, used / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    for (size_t i = 0; i < used; i += PAGE) /* now, not in the first step */
        block[i] = 0;
    *(struct mapping *)(block - PAGE) = (struct mapping){mapped, size};
    return block;
}

static void block_free(char *block)
{
    if (block) {
        struct mapping mapping = *(struct mapping *)(block - PAGE);

        munmap(mapping.at, mapping.size);
    }
}

void memory_new(struct memory *memory, struct layout *layout)
{
    *memory = (struct memory){.layout = layout,
                              .parameters = block_new(layout_parameter_bytes(layout)),
                              .state = block_new(layout_state_bytes(layout))};
}

static int64_t arena_of(const struct compiled *compiled)
{
    return compiled->program->arena_bytes + compiled->api->scratch(compiled->code);
}

void memory_share(struct memory *memory, const struct compiled *const *programs, int count)
{
    for (int i = 0; i < count; i++)
        if (arena_of(programs[i]) > memory->arena_bytes)
            memory->arena_bytes = arena_of(programs[i]);
    memory->arena = block_new(memory->arena_bytes);
}

void memory_free(struct memory *memory)
{
    block_free(memory->parameters);
    block_free(memory->state);
    block_free(memory->arena);
}

const struct ir_tensor *program_output(const struct ir_program *p, const char *name)
{
    for (int i = 0; i < p->outputs.count; i++)
        if (!strcmp(p->outputs.at[i].name, name))
            return p->outputs.at[i].tensor;
    return NULL;
}

void instance_new(struct instance *in, const struct compiled *compiled, const struct memory *memory, struct rnet_pool *pool,
                  uint64_t seed)
{
    const struct ir_program *p = compiled->program, *schedule = compiled->schedule;
    int scalar = 0, draw = 0;

    *in = (struct instance){.compiled = compiled, .arena = arena_new()};
    for (int i = 0; i < p->tensors.count; i++) {
        in->scalar_count += p->tensors.at[i]->kind == IR_SCALAR;
        in->draw_count += p->tensors.at[i]->kind == IR_DRAW;
    }
    in->scalars = NEW_ARRAY(in->arena, double, in->scalar_count + 1);
    in->scalar_names = NEW_ARRAY(in->arena, const char *, in->scalar_count + 1);
    in->schedule_outputs = NEW_ARRAY(in->arena, int, in->scalar_count + 1);
    in->keys = NEW_ARRAY(in->arena, uint64_t, in->draw_count + 1);
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        if (t->kind == IR_SCALAR) {
            const struct ir_tensor *filled = schedule ? program_output(schedule, t->name) : NULL;

            in->scalar_names[scalar] = t->name;
            in->schedule_outputs[scalar++] = filled ? filled->number : -1;
        } else if (t->kind == IR_DRAW) {
            in->keys[draw++] = rnet_draw_key(t->name, seed);
        }
    }
    if (schedule && !(in->code = scalar_code(in->arena, schedule)))
        in->schedule = ir_values_new(in->arena, schedule);
    if (!memory->arena || arena_of(compiled) > memory->arena_bytes)
        in->own_arena = block_new(arena_of(compiled));
    in->step = (struct rnet_step){.parameters = memory->parameters,
                                  .state = memory->state,
                                  .arena = in->own_arena ? in->own_arena : memory->arena,
                                  .inputs = block_new(p->input_bytes),
                                  .scalars = in->scalars,
                                  .keys = in->keys,
                                  .pool = pool};
}

void instance_free(struct instance *in)
{
    block_free(in->own_arena);
    block_free(in->step.inputs);
    arena_free(in->arena);
    *in = (struct instance){0};
}

static void run_schedule(struct instance *in, uint64_t step, scalar_source *source, void *context)
{
    const struct ir_program *schedule = in->compiled->schedule;

    for (int i = 0; i < schedule->tensors.count; i++) {
        const struct ir_tensor *t = schedule->tensors.at[i];

        if (t->kind != IR_SCALAR)
            continue;
        if (in->code)
            scalar_code_set(in->code, i, source(context, t->name));
        else
            in->schedule.at[i][0] = source(context, t->name);
    }
    if (in->code)
        scalar_code_run(in->code);
    else
        ir_evaluate(schedule, &in->schedule, (struct ir_run){.step = step});
}

int instance_run(struct instance *in, uint64_t position, uint64_t step, scalar_source *source, void *context)
{
    const struct ir_program *schedule = in->compiled->schedule;

    if (schedule && schedule->outputs.count)
        run_schedule(in, step, source, context);
    for (int i = 0; i < in->scalar_count; i++) {
        int from = in->schedule_outputs[i];

        if (from < 0)
            in->scalars[i] = source(context, in->scalar_names[i]);
        else
            in->scalars[i] = in->code ? scalar_code_value(in->code, from) : in->schedule.at[from][0];
    }
    in->step.position = position;
    in->step.step = step;
    if (in->kernel_seconds)
        return in->compiled->api->run_timed(in->compiled->code, &in->step, in->kernel_seconds);
    return in->compiled->api->run(in->compiled->code, &in->step);
}

void *instance_data(const struct instance *in, const struct ir_tensor *t)
{
    switch (t->region) {
    case IR_IN_ARENA:
        return in->step.arena + t->offset;
    case IR_IN_PARAMETERS:
        return in->step.parameters + t->offset;
    case IR_IN_STATE:
        return in->step.state + t->offset;
    case IR_IN_INPUTS:
        return in->step.inputs + t->offset;
    case IR_NOWHERE:
    case IR_LOCAL:
    case IR_IN_SCALARS:
        return NULL;
    }
    return NULL;
}

int storage_bytes(enum ir_storage storage)
{
    switch (storage) {
    case IR_F32:
    case IR_I32:
        return 4;
    case IR_F64:
        return 8;
    case IR_U8:
        return 1;
    }
    bug("storage %d", (int)storage);
}

double stored_number(const void *data, enum ir_storage storage, int64_t element)
{
    switch (storage) {
    case IR_F32:
        return ((const float *)data)[element];
    case IR_F64:
        return ((const double *)data)[element];
    case IR_I32:
        return ((const int32_t *)data)[element];
    case IR_U8:
        return ((const uint8_t *)data)[element];
    }
    bug("storage %d", (int)storage);
}

bool instance_output(const struct instance *in, const char *name, double *value)
{
    const struct ir_tensor *t = program_output(in->compiled->program, name);
    const void *data;

    if (!t)
        return false;
    if (t->kind == IR_SCALAR) {
        for (int i = 0; i < in->scalar_count; i++)
            if (!strcmp(in->scalar_names[i], t->name))
                *value = in->scalars[i];
        return true;
    }
    data = instance_data(in, t);
    if (!data)
        bug("output %s is not stored", name);
    *value = stored_number(data, t->storage, 0);
    return true;
}
