/* replaced.c: a program and what `rnetc compact` or `rnetc fold` made of it, side by side: answers and times. */
#include "replaced.h"
#include "surgery.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { REPETITIONS = 12 };

struct running {
    struct compiled compiled;
    struct memory memory;
    struct dataset data;
    struct instance in;
    struct scalar_context clock;
    double flops;
};

static void running_free(struct running *r)
{
    if (r->in.arena)
        instance_free(&r->in);
    dataset_free(&r->data);
    memory_free(&r->memory);
    compiled_release(&r->compiled);
}

/* requires: program is lowered anew, as compiling changes it. */
static bool running_new(struct running *r, struct options *options, struct unit *unit, struct ir_program *program,
                        const struct split *split, const char *checkpoint, uint64_t seed, struct rnet_pool *pool,
                        struct rnet_error *error)
{
    struct compile_options compiling = {.fuse = true, .generate = true};
    struct layout *layout = layout_new(options->arena);
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    const struct ir_program *compiled;

    *r = (struct running){.clock = {.unit = unit, .step = 1, .steps = 1}};
    if (!rnet_blas_open(error) || !compile(&r->compiled, program, layout, compiling, error))
        return false;
    compiled = r->compiled.program;
    memory_new(&r->memory, layout);
    source->precision = (int)program->precision;
    source->threads = options->threads;
    if (!store_read(source->store, checkpoint, error))
        return false;
    source->seed = checkpoint_seed(source->store, seed);
    if (!checkpoint_load(checkpoint, &compiled, 1, &r->memory, true, error) ||
        !dataset_read(&r->data, split, compiled, source, error))
        return false;
    instance_new(&r->in, &r->compiled, &r->memory, pool, source->seed);
    for (int i = 0; i < compiled->kernels.count; i++) {
        double flops, bytes;

        kernel_cost(compiled, compiled->kernels.at[i], &flops, &bytes);
        r->flops += flops;
    }
    return true;
}

static void run_at(struct running *r, int64_t first, int64_t batch)
{
    int64_t *items = malloc(sizeof *items * (size_t)batch + 1), last = r->data.items - 1;

    for (int64_t i = 0; i < batch; i++)
        items[i] = first + i < last ? first + i : last < 0 ? 0 : last;
    if (r->data.count)
        dataset_gather(&r->data, &r->in, items, batch);
    free(items);
    instance_run(&r->in, (uint64_t)first, 1, scalar_value, &r->clock);
}

/* ---- answers ---- */

struct difference {
    double square, norm, most;
    int64_t numbers;
};

static bool add_outputs(const struct running *a, const struct running *b, struct difference *d)
{
    const struct ir_program *p = a->compiled.program, *q = b->compiled.program;

    for (int i = 0; i < p->outputs.count; i++) {
        const struct ir_tensor *t = p->outputs.at[i].tensor, *u = program_output(q, p->outputs.at[i].name);
        const void *one = instance_data(&a->in, t), *other = u ? instance_data(&b->in, u) : NULL;

        if (!one || !other || ir_elements(t) != ir_elements(u))
            return false;
        for (int64_t k = 0; k < ir_elements(t); k++) {
            double x = stored_number(one, t->storage, k), y = stored_number(other, u->storage, k), gap = fabs(x - y);

            d->square += gap * gap;
            d->norm += x * x;
            d->most = gap > d->most || isnan(gap) ? gap : d->most;
            d->numbers++;
        }
    }
    return true;
}

struct comparison_of {
    const struct replaced *r;
    struct rnet_pool *pool;
    int precision;
    double most;
    bool say;
};

static int compare_model(const struct comparison_of *of, const char *model, uint64_t seed)
{
    const struct replaced *r = of->r;
    struct lower_options lowering = lower_options_of(r->options);
    struct diagnostics *d = diagnostics_new(r->arena);
    struct prediction *old, *new;
    struct running a = {0}, b = {0};
    struct difference difference = {0};
    struct rnet_error error;
    int status = RNET_DONE;
    double part;

    lowering.precision = of->precision;
    old = lower_prediction(r->axes->unit, model, lowering, d);
    new = lower_prediction(r->unit, model, lowering, d);
    if (program_wrong(r->options, d) || !old || !new)
        return RNET_SOURCE;
    if (!running_new(&a, r->options, r->axes->unit, old->program, &old->split, r->options->checkpoint, seed, of->pool, &error) ||
        !running_new(&b, r->options, r->unit, new->program, &new->split, r->checkpoint, seed, of->pool, &error))
        status = complain_error(&error);
    for (int64_t first = 0; status == RNET_DONE && (first < a.data.items || !first); first += old->batch) {
        run_at(&a, first, old->batch);
        run_at(&b, first, old->batch);
        if (!add_outputs(&a, &b, &difference))
            status = complain(RNET_FAILED, "%s answers in another shape", model);
    }
    part = difference.norm > 0 ? sqrt(difference.square / difference.norm) : sqrt(difference.square);
    if (status == RNET_DONE && of->say)
        printf("%s: %" PRId64 " answers on %" PRId64 " items of %s.%s differ by %.2g of their norm, at most %.2g (in %s precision)\n",
               model, difference.numbers, a.data.items, old->split.data ? old->split.data : "no data",
               old->split.data ? old->split.name : "", part, difference.most, of->precision == IR_DOUBLE ? "double" : "single");
    if (status == RNET_DONE && !(part <= of->most))
        status = complain(RNET_FAILED, "%s: the answers differ by %.2g of their norm: %s; nothing is left", model, part, r->failing);
    running_free(&a);
    running_free(&b);
    return status;
}

int replaced_check(const struct replaced *r, int precision, double most, bool say)
{
    struct comparison_of of = {r, rnet_pool_new(r->options->threads), precision, most, say};
    struct map *seen = map_new(r->arena);
    int status = RNET_DONE;

    for (int i = 0; i < r->axes->trainings.count && status == RNET_DONE; i++) {
        struct training *training = r->axes->trainings.at[i];

        if (map_get(seen, training->model))
            continue;
        map_put(seen, training->model, training);
        status = compare_model(&of, training->model, training->seed);
    }
    rnet_pool_free(of.pool);
    return status;
}

/* ---- times ---- */

static double fastest(struct running *r)
{
    double best = INFINITY;

    for (int i = 0; i < REPETITIONS; i++) {
        double begin = rnet_seconds(), seconds;

        instance_run(&r->in, 0, 1, scalar_value, &r->clock);
        seconds = rnet_seconds() - begin;
        best = seconds < best ? seconds : best;
    }
    return best;
}

/* The two take turns, so that a busy machine is as busy for both. */
static void print_speed(const char *what, struct running *a, struct running *b, int64_t batch)
{
    double before = INFINITY, after = INFINITY;

    run_at(a, 0, batch);
    run_at(b, 0, batch);
    for (int i = 0; i < 5; i++) {
        double one = fastest(a), other = fastest(b);

        before = one < before ? one : before;
        after = other < after ? other : after;
    }
    printf("%s: %.3f ms, now %.3f ms: %.2f times as fast; its floating-point operations, %.3g, now %.3g, promise %.2f\n", what,
           1e3 * before, 1e3 * after, before / after, a->flops, b->flops, a->flops / b->flops);
}

static int measure_one(const struct replaced *c, int number, bool step, struct rnet_pool *pool)
{
    struct diagnostics *d = diagnostics_new(c->arena);
    struct training *old = lower_training(c->axes->unit, number, lower_options_of(c->options), d);
    struct training *new = lower_training(c->unit, number, lower_options_of(c->options), d);
    struct running a = {0}, b = {0};
    struct rnet_error error;
    const char *what;

    if (program_wrong(c->options, d) || !old || !new)
        return RNET_SOURCE;
    if (!step && !old->report)
        return RNET_DONE;
    what = arena_printf(c->arena, "%s of %s, %" PRId64 " items", step ? "a step" : "evaluation", old->model,
                        step ? old->batch : old->report->batch);
    if (running_new(&a, c->options, c->axes->unit, step ? old->phases.at[0].step : old->report->chunk,
                    step ? &old->phases.at[0].split : &old->report->split, c->options->checkpoint, old->seed, pool, &error) &&
        running_new(&b, c->options, c->unit, step ? new->phases.at[0].step : new->report->chunk,
                    step ? &new->phases.at[0].split : &new->report->split, c->checkpoint, old->seed, pool, &error))
        print_speed(what, &a, &b, step ? old->batch : old->report->batch);
    else
        complain(0, "%s is not measured: %s", what, error.message);
    running_free(&a);
    running_free(&b);
    return RNET_DONE;
}

int replaced_measure(const struct replaced *r, bool steps)
{
    struct rnet_pool *pool = rnet_pool_new(r->options->threads);
    int status = RNET_DONE;

    for (int i = 0; i < r->axes->trainings.count && status == RNET_DONE; i++)
        for (int step = 0; step < (steps ? 2 : 1) && status == RNET_DONE; step++)
            status = measure_one(r, i, step == 1, pool);
    rnet_pool_free(pool);
    return status;
}

/* ---- from and to where ---- */

int replacing_open(struct options *options, const char *command, struct replacing *out)
{
    struct rnet_error error;
    struct diagnostics *d;
    struct unit *unit;
    int status;

    if (!options->checkpoint || !options->out)
        return complain(RNET_USAGE, "%s wants --checkpoint FILE and --out FOLDER. See rnetc %s --help", command, command);
    unit = program_read(options, &d);
    if (!unit)
        return RNET_SOURCE;
    status = surgery_folder(options, &out->path, &out->checkpoint);
    if (status != RNET_DONE)
        return status;
    if (!rnet_safetensors_read(options->checkpoint, &out->file, &error))
        return complain_error(&error);
    out->axes = axes_new(options, unit, &out->file);
    if (out->axes)
        return RNET_DONE;
    replacing_close(out, false);
    return RNET_SOURCE;
}

void replacing_close(struct replacing *replacing, bool done)
{
    if (!done) {
        unlink(replacing->path);
        unlink(replacing->checkpoint);
    }
    rnet_safetensors_free(&replacing->file);
}
