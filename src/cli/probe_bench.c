/* probe_bench.c: the programs of a probe over one memory, the batches that they are given, and the parameters between their runs. */
#include "probe_bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

double *numbers_of(const struct instance *in, const char *name)
{
    const struct ir_tensor *t = program_output(in->compiled->program, name);
    const void *data = t ? instance_data(in, t) : NULL;
    int64_t count = t ? ir_elements(t) : 0;
    double *numbers;

    if (!data)
        return NULL;
    numbers = memory_for(sizeof *numbers * (size_t)count);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = stored_number(data, t->storage, i);
    return numbers;
}

static void *place_of(const struct bench *b, const char *name, enum ir_storage *storage)
{
    enum ir_region region;
    int64_t offset;

    if (!layout_find(b->layout, name, &region, &offset, storage))
        return NULL;
    return (region == IR_IN_PARAMETERS ? b->memory.parameters : b->memory.state) + offset;
}

double *weights_now(const struct bench *b, const struct ir_tensor *parameter)
{
    enum ir_storage storage;
    const void *data = place_of(b, parameter->name, &storage);
    int64_t count = ir_elements(parameter);
    double *numbers;

    if (!data)
        return NULL;
    numbers = memory_for(sizeof *numbers * (size_t)count);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = stored_number(data, storage, i);
    return numbers;
}

void set_stored(const struct bench *b, const char *name, const double *numbers, int64_t count)
{
    enum ir_storage storage;
    void *data = place_of(b, name, &storage);

    for (int64_t i = 0; data && i < count; i++)
        if (storage == IR_F64)
            ((double *)data)[i] = numbers[i];
        else
            ((float *)data)[i] = (float)numbers[i];
}

void set_weights(const struct bench *b, const struct ir_tensor *parameter, const double *numbers)
{
    set_stored(b, parameter->name, numbers, ir_elements(parameter));
}

int64_t vector_places(const struct probe *probe, int64_t *places)
{
    int64_t count = 0;

    for (int i = 0; i < probe->parameters.count; i++) {
        places[i] = count;
        count += is_trained(probe, i) ? ir_elements(probe->parameters.at[i].tensor) : 0;
    }
    return count;
}

void normal_numbers(const char *name, uint64_t seed, double *out, int64_t count)
{
    float some[1024];
    uint64_t key = rnet_draw_key(name, seed);

    for (int64_t i = 0; i < count; i += 1024) {
        int64_t now = count - i < 1024 ? count - i : 1024;

        rnet_draw_fill(RNET_NORMAL, key, 0, 0, (uint64_t)i, now, some);
        for (int64_t k = 0; k < now; k++)
            out[i + k] = some[k];
    }
}

static bool open_sides(struct bench *b, struct compile_options compiling, struct rnet_error *error)
{
    for (int s = 0; s < SIDES; s++) {
        struct ir_program *p = b->probe->sides[s];

        if (!p)
            continue;
        p->precision = b->probe->training->precision;
        if (!compile(&b->sides[s], p, b->layout, compiling, error))
            return false;
    }
    return true;
}

bool open_programs(struct bench *b, struct data_source *source, struct rnet_error *error)
{
    const struct probe *probe = b->probe;
    const struct phase *phase = probe->phase;
    struct compile_options compiling = {.fuse = !probe->options->no_fuse, .generate = true};

    b->layout = layout_new(probe->arena);
    phase->objective->precision = probe->training->precision;
    return rnet_blas_open(error) && compile(&b->step, phase->step, b->layout, compiling, error) &&
           compile(&b->initial, phase->initial, b->layout, compiling, error) &&
           compile(&b->measure, phase->objective, b->layout, compiling, error) && open_sides(b, compiling, error) &&
           (!probe->training->data || (dataset_read(&b->step_data, &phase->split, b->step.program, source, error) &&
                                       dataset_read(&b->measure_data, &phase->split, b->measure.program, source, error)));
}

bool first_weights(struct bench *b, struct rnet_error *error)
{
    const struct probe *probe = b->probe;
    const struct ir_program *programs[] = {b->step.program, b->measure.program};
    struct instance initial;

    memory_new(&b->memory, b->layout);
    b->pool = rnet_pool_new(probe->options->threads);
    instance_new(&initial, &b->initial, &b->memory, b->pool, probe->training->seed);
    instance_run(&initial, 0, 1, scalar_value, &b->clock);
    instance_free(&initial);
    if (probe->options->checkpoint &&
        !checkpoint_load(probe->options->checkpoint, programs, 2, &b->memory, true, error))
        return false;
    instance_new(&b->step_run, &b->step, &b->memory, b->pool, probe->training->seed);
    instance_new(&b->measure_run, &b->measure, &b->memory, b->pool, probe->training->seed);
    for (int s = 0; s < SIDES; s++)
        if (probe->sides[s])
            instance_new(&b->side_runs[s], &b->sides[s], &b->memory, b->pool, probe->training->seed);
    return true;
}

void set_clock(struct bench *b)
{
    const struct training *t = b->probe->training;
    double batch = (double)t->batch, items = (double)b->step_data.items, steps = (double)t->steps;

    if (!steps)
        steps = items > 0 ? ceil(t->epochs * items / batch) : 1;
    b->clock = (struct scalar_context){.unit = b->probe->unit, .step = (double)b->probe->step, .steps = steps};
    b->clock.epoch = items > 0 ? (b->clock.step - 1) * batch / items : 0;
    b->clock.progress = fmin((b->clock.step - 1) / steps, 1);
}

bool open_stream(struct bench *b, struct rnet_error *error)
{
    const struct training *t = b->probe->training;

    b->count = t->batch;
    if (!t->data)
        return true;
    if (b->step_data.items < t->batch)
        return rnet_fail(error, RNET_DATA, "batch is %" PRId64 ", and %s.%s has %" PRId64 " items", t->batch,
                         b->probe->phase->split.data, b->probe->phase->split.name, b->step_data.items);
    b->items = NEW_ARRAY(b->probe->arena, int64_t, t->batch);
    b->stream = rnet_stream_new("batch", t->seed, b->step_data.items, t->lanes);
    return true;
}

void give_batch(struct bench *b, int64_t after)
{
    b->number = b->probe->step + (uint64_t)after;
    b->position = (b->number - 1) * (uint64_t)b->count;
    if (!b->items)
        return;
    for (int64_t i = 0; i < b->count; i++)
        b->items[i] = rnet_stream_item(b->stream, b->position + (uint64_t)i);
    dataset_gather(&b->step_data, &b->step_run, b->items, b->count);
    dataset_gather(&b->measure_data, &b->measure_run, b->items, b->count);
    for (int s = 0; s < SIDES; s++)
        if (b->probe->sides[s])
            dataset_gather(&b->measure_data, &b->side_runs[s], b->items, b->count);
}

void run_measure(struct bench *b)
{
    instance_run(&b->measure_run, b->position, b->number, scalar_value, &b->clock);
}

void run_side(struct bench *b, enum side side)
{
    instance_run(&b->side_runs[side], b->position, b->number, scalar_value, &b->clock);
}

void show_step(struct bench *b, const char *what, int64_t done, int64_t of)
{
    char line[100];

    if (done == 1)
        b->begun = rnet_seconds();
    if (rnet_seconds() - b->begun < 2)
        return;
    if (!b->progress)
        b->progress = rnet_progress_new();
    snprintf(line, sizeof line, "%s %" PRId64 "/%" PRId64, what, done, of);
    rnet_progress_show(b->progress, line);
    if (done == of)
        rnet_progress_end(b->progress);
}

double side_number(struct bench *b, enum side side, const char *name)
{
    double mean = 0, value;

    for (int64_t k = 0; k < b->probe->batches; k++) {
        give_batch(b, k);
        run_side(b, side);
        if (!instance_output(&b->side_runs[side], name, &value))
            bug("no output %s", name);
        fold(&mean, value, 1 / (double)(k + 1));
    }
    return mean;
}

bool run_step(struct bench *b)
{
    return instance_run(&b->step_run, b->position, b->number, scalar_value, &b->clock) != RNET_NONFINITE;
}

void close_bench(struct bench *b)
{
    if (b->step_run.arena)
        instance_free(&b->step_run);
    if (b->measure_run.arena)
        instance_free(&b->measure_run);
    for (int s = 0; s < SIDES; s++) {
        if (b->side_runs[s].arena)
            instance_free(&b->side_runs[s]);
        compiled_release(&b->sides[s]);
    }
    for (int i = 0; i < b->probe->parameters.count; i++) {
        free(b->before[i]);
        free(b->after[i]);
        free(b->gradients[i]);
    }
    if (b->progress)
        rnet_progress_free(b->progress);
    if (b->stream)
        rnet_stream_free(b->stream);
    dataset_free(&b->step_data);
    dataset_free(&b->measure_data);
    if (b->pool)
        rnet_pool_free(b->pool);
    memory_free(&b->memory);
    compiled_release(&b->step);
    compiled_release(&b->initial);
    compiled_release(&b->measure);
}
