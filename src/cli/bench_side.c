/* bench_side.c: one way of compiling a step: its memory, its inputs, its time. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE_MICROSECONDS = 2000, /* a clock is read around so many steps that they take about as long */
    MOST_BATCHES = 32,
    MOST_INPUT_BYTES = 64 << 20
};

bool bench_compile(struct bench_side *side, struct rnet_error *error)
{
    struct compile_options options = {.fuse = side->fuse, .generate = true};

    return compile(&side->compiled, side->phase->step, side->layout, options, error) &&
           compile(&side->initial, side->phase->initial, side->layout, options, error);
}

/* ---- inputs ---- */

/* xorshift64*: any numbers do. */
static uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static void store_number(char *at, enum ir_storage storage, int64_t element, double number)
{
    switch (storage) {
    case IR_F32:
        ((float *)(void *)at)[element] = (float)number;
        return;
    case IR_F64:
        ((double *)(void *)at)[element] = number;
        return;
    case IR_I32:
        ((int32_t *)(void *)at)[element] = (int32_t)number;
        return;
    case IR_U8:
        ((uint8_t *)at)[element] = (uint8_t)number;
        return;
    }
}

/* Whole numbers within what the program says of the field; of pictures bytes; else numbers between -1 and 1. */
static void fill_field(const struct field *field, const struct ir_tensor *leaf, char *to, uint64_t *random)
{
    bool bytes = field->reader == READ_IDX || field->reader == READ_PNG;
    bool whole = leaf->whole || bytes;
    double low = leaf->whole ? (double)leaf->low : 0, high = leaf->whole ? (double)leaf->high : 255;

    for (int64_t i = 0; i < ir_elements(leaf); i++) {
        double share = (double)(next_random(random) >> 11) / 9007199254740992.0;

        store_number(to, leaf->storage, i, whole ? low + floor(share * (high - low + 1)) : 2 * share - 1);
    }
}

static void fill_batch(const struct bench *bench, struct bench_side *side, const struct dataset *data, int number)
{
    const struct split *split = &side->phase->split;
    int64_t batch = bench->training->batch, *items = NEW_ARRAY(bench->arena, int64_t, batch + 1);
    uint64_t random = 0x9e3779b97f4a7c15u + (uint64_t)number;

    side->instance.step.inputs = side->batches[number];
    if (data) {
        for (int64_t i = 0; i < batch; i++)
            items[i] = data->items ? (number * batch + i) % data->items : 0;
        dataset_gather(data, &side->instance, items, batch);
        return;
    }
    for (int i = 0; i < split->fields.count; i++) {
        const struct ir_tensor *leaf = ir_find(side->compiled.program, split->fields.at[i].name);
        char *to = leaf ? instance_data(&side->instance, leaf) : NULL;

        if (to)
            fill_field(&split->fields.at[i], leaf, to, &random);
    }
}

/* As many as a training has, up to what is neither one batch that stays in the cache nor a burden on memory. The first is the
   instance's own. */
static int add_batches(const struct bench *bench, struct bench_side *side, const struct dataset *data)
{
    size_t bytes = ((size_t)side->compiled.program->input_bytes + 63) / 64 * 64;
    int64_t there = data ? data->items / bench->training->batch : MOST_BATCHES;
    char *first = side->batches[0];
    int count = 1;

    while (bytes && count < there && count < MOST_BATCHES && (int64_t)bytes * (count + 1) <= MOST_INPUT_BYTES)
        count++;
    side->batches = NEW_ARRAY(bench->arena, char *, count);
    side->batches[0] = first;
    for (int i = 1; i < count; i++) {
        if (!(side->batches[i] = aligned_alloc(64, bytes)))
            return complain(RNET_FAILED, "out of memory (%zu bytes of a batch)", bytes);
        side->batch_count = i + 1;
        memset(side->batches[i], 0, bytes);
        fill_batch(bench, side, data, i);
    }
    return RNET_DONE;
}

/* ---- steps ---- */

static struct scalar_context clock_at(const struct bench *bench, const struct bench_side *side, uint64_t step)
{
    return (struct scalar_context){.unit = bench->unit,
                                   .step = (double)step,
                                   .steps = (double)side->steps,
                                   .epoch = (double)(step - 1) / (double)side->steps,
                                   .progress = (double)(step - 1) / (double)side->steps};
}

static void set_first_values(const struct bench *bench, struct bench_side *side)
{
    struct scalar_context clock = clock_at(bench, side, 1);
    struct instance instance;

    instance_new(&instance, &side->initial, &side->memory, bench->pool, bench->training->seed);
    instance_run(&instance, 0, 1, scalar_value, &clock);
    instance_free(&instance);
    side->run = 0;
}

/* A training that is over begins anew, with the parameters it has: schedules stay within what they are made for. */
static int one_step(const struct bench *bench, struct bench_side *side)
{
    uint64_t step = side->run % side->steps + 1;
    struct scalar_context clock = clock_at(bench, side, step);

    side->instance.step.inputs = side->batches[side->run % (uint64_t)side->batch_count];
    side->run++;
    return instance_run(&side->instance, (step - 1) * (uint64_t)bench->training->batch, step, scalar_value, &clock);
}

/* A step that is refused does less than a step: it is no measurement, and neither are those after it. */
static int begin_anew(const struct bench *bench, struct bench_side *side)
{
    if (side->run == 1)
        return complain(RNET_NONFINITE, "the first step of %s leaves the finite numbers: `rnetc train` says where",
                        bench->training->model);
    side->restarts++;
    set_first_values(bench, side);
    return RNET_DONE;
}

/* The fused step is compared with the machine's peaks: probes take turns with it, each as long as what is timed at once, for what a
   shared machine gives for a moment it does not give for longer. Returns when it is done. */
static double probe(struct bench *bench, double seconds)
{
    bench->multiply_add = fmax(bench->multiply_add, rnet_multiply_add_rate(bench->pool, seconds));
    if (bench->training->precision == IR_SINGLE)
        bench->matrix_unit = fmax(bench->matrix_unit, rnet_matrix_unit_rate(bench->pool, seconds));
    return rnet_seconds();
}

/* `seconds`: with probes twice that, with those of a matrix unit three times. */
static int timed_steps(struct bench *bench, struct bench_side *side, double seconds)
{
    double begin = rnet_seconds(), now = begin;
    int64_t together = 1;

    do {
        double before = now, each;
        int status = RNET_DONE;

        for (int64_t i = 0; i < together && status == RNET_DONE; i++)
            status = one_step(bench, side);
        now = rnet_seconds();
        if (status == RNET_NONFINITE) {
            if ((status = begin_anew(bench, side)) != RNET_DONE)
                return status;
            continue;
        }
        each = (now - before) / (double)together;
        if (!side->fastest || each < side->fastest)
            side->fastest = each;
        together = (int64_t)(1e-6 * SLICE_MICROSECONDS / side->fastest) + 1;
        if (side == &bench->fused) {
            double after = probe(bench, side->fastest * (double)together);

            begin += after - now;
            now = after;
        }
    } while (now - begin < seconds);
    return RNET_DONE;
}

static int timed_kernels(const struct bench *bench, struct bench_side *side, double seconds)
{
    int count = side->compiled.program->kernels.count + 1;
    double begin = rnet_seconds(), *once = NEW_ARRAY(bench->arena, double, count);
    int status = RNET_DONE;

    side->instance.kernel_seconds = once;
    do {
        memset(once, 0, (size_t)count * sizeof *once);
        status = one_step(bench, side);
        if (status == RNET_NONFINITE && (status = begin_anew(bench, side)) == RNET_DONE)
            continue;
        for (int i = 0; i < count && status == RNET_DONE; i++)
            if (!side->kernel_seconds[i] || once[i] < side->kernel_seconds[i])
                side->kernel_seconds[i] = once[i];
    } while (status == RNET_DONE && rnet_seconds() - begin < seconds);
    side->instance.kernel_seconds = NULL;
    return status;
}

int bench_run(struct bench *bench, struct bench_side *side, double seconds, bool kernels)
{
    return kernels ? timed_kernels(bench, side, seconds) : timed_steps(bench, side, seconds);
}

/* ---- before the first and after the last ---- */

int bench_prepare(struct bench *bench, struct bench_side *side, const struct dataset *data)
{
    const struct compiled *programs[] = {&side->compiled};
    const struct ir_program *p = side->compiled.program;
    struct account account = {0};
    struct rnet_resident resident;

    for (int i = 0; i < p->kernels.count; i++) {
        double flops, bytes;

        kernel_cost(p, p->kernels.at[i], &flops, &bytes);
        side->flops += flops;
        side->bytes += bytes;
    }
    side->kernel_seconds = NEW_ARRAY(bench->arena, double, p->kernels.count + 1);
    account_add(&account, &side->compiled);
    side->planned = account_sum(&account);
    rnet_resident(&resident);
    side->used = resident.now;
    memory_new(&side->memory, side->layout);
    memory_share(&side->memory, programs, 1);
    instance_new(&side->instance, &side->compiled, &side->memory, bench->pool, bench->training->seed);
    set_first_values(bench, side);
    side->own_inputs = side->instance.step.inputs;
    side->batches = &side->own_inputs;
    side->batch_count = 1;
    fill_batch(bench, side, data, 0);
    if (one_step(bench, side) == RNET_NONFINITE)
        return begin_anew(bench, side);
    rnet_resident(&resident);
    side->used = resident.now - side->used;
    if (side == &bench->fused)
        bench->peak = resident.peak - bench->resident_before;
    return add_batches(bench, side, data);
}

void bench_release(struct bench_side *side)
{
    for (int i = 1; i < side->batch_count; i++)
        free(side->batches[i]);
    if (side->instance.arena) {
        side->instance.step.inputs = side->own_inputs;
        instance_free(&side->instance);
    }
    memory_free(&side->memory);
    compiled_release(&side->compiled);
    compiled_release(&side->initial);
}
