/* probe_measure.c: one step of training between two runs of the program that measures, on one batch of the program's data.

   The measuring program has the precision of the training and the same memory of parameters and states, the same samples and draws; so
   what it says is what the step sees. A third run has other draws: what the samples' values have in common with the first is what they
   are without noise. */
#include "probe_bench.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double *numbered(const struct bench *b, const char *what, int number)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%d", what, number);
    return numbers_of(&b->measure_run, name);
}

/* ---- what a run says ---- */

static void measure_gradient(struct arena *arena, const struct probed *v, const double *gradient, struct measured *m)
{
    m->gradient_finite = true;
    if (!gradient)
        return;
    m->gradient_norm = norm_of(gradient, ir_elements(v->tensor));
    m->gradient_finite = all_finite(gradient, ir_elements(v->tensor));
    if (v->time >= 0)
        m->gradient_by_step = norms_by_step(arena, v, gradient);
}

/* The means of `count` batches, the last of which is `one`. */
static void join(const struct probed *v, struct measured *m, const struct measured *one, int64_t count)
{
    double part = 1 / (double)count;

    if (count == 1) {
        *m = *one;
        return;
    }
    m->finite &= one->finite;
    m->gradient_finite &= one->gradient_finite;
    m->alike &= one->alike;
    m->dead = one->dead; /* of all so far */
    fold(&m->mean, one->mean, part);
    fold(&m->deviation, one->deviation, part);
    fold(&m->norm, one->norm, part);
    fold(&m->zeros, one->zeros, part);
    fold(&m->gradient_norm, one->gradient_norm, part);
    fold(&m->off, one->off, part);
    fold(&m->saturated, one->saturated, part);
    fold(&m->correlation, one->correlation, part);
    for (int64_t s = 0; v->time >= 0 && s < v->tensor->axes[v->time]->extent; s++) {
        if (m->by_step)
            fold(&m->by_step[s], one->by_step[s], part);
        if (m->gradient_by_step)
            fold(&m->gradient_by_step[s], one->gradient_by_step[s], part);
    }
}

static void take_value(struct bench *b, int i, bool after, struct measured *m)
{
    struct probe *probe = b->probe;
    struct probed *v = &probe->values.at[i];
    double *value = numbered(b, "value", i), *gradient = numbered(b, "gradient", i), *slope = numbered(b, "slope", i);

    if (!value)
        bug("value of %s is not stored", v->name);
    m->alike = are_alike(v, value);
    m->correlation = after || !v->owned || v->per_unit < 2 ? NAN : correlation_of(v, value);
    if (v->time >= 0)
        m->by_step = norms_by_step(probe->arena, v, value);
    if (slope)
        measure_slope(probe->arena, v, value, slope, !after, m);
    moments(value, v->infinite ? leave_out(value, ir_elements(v->tensor)) : ir_elements(v->tensor), m);
    measure_gradient(probe->arena, v, gradient, m);
    free(value);
    free(gradient);
    free(slope);
}

static void join_gradient(struct bench *b, int i, const double *gradient, int64_t batches)
{
    int64_t count = ir_elements(b->probe->parameters.at[i].tensor);

    if (!b->gradients[i]) {
        b->gradients[i] = memory_for(sizeof(double) * (size_t)count);
        memset(b->gradients[i], 0, sizeof(double) * (size_t)count);
    }
    for (int64_t k = 0; k < count; k++)
        fold(&b->gradients[i][k], gradient[k], 1 / (double)batches);
}

/* What the last run of the measuring program left: after the step, or of the batches-th batch before it. */
static void take(struct bench *b, bool after, int64_t batches)
{
    struct probe *probe = b->probe;

    for (int i = 0; i < probe->values.count; i++) {
        struct probed *v = &probe->values.at[i];
        struct measured one = {0};

        take_value(b, i, after, &one);
        join(v, after ? &v->after : &v->before, &one, batches);
    }
    for (int i = 0; i < probe->parameters.count; i++) {
        struct probed *v = &probe->parameters.at[i];
        struct measured *m = after ? &v->after : &v->before, one = *m;
        double *gradient = numbered(b, "weight_gradient", i);

        measure_gradient(probe->arena, v, gradient, &one);
        join(v, m, &one, batches);
        if (gradient && !after) {
            join_gradient(b, i, gradient, batches);
            m->mean_gradient_norm = norm_of(b->gradients[i], ir_elements(v->tensor));
        }
        free(gradient);
    }
}

static double objective_now(const struct bench *b)
{
    double *loss = numbers_of(&b->measure_run, "objective"), value = loss ? loss[0] : NAN;

    free(loss);
    return value;
}

/* ---- parameters ---- */

static void keep_weights(struct bench *b, bool after)
{
    struct probe *probe = b->probe;

    for (int i = 0; i < probe->parameters.count; i++) {
        struct probed *v = &probe->parameters.at[i];
        int64_t count = ir_elements(v->tensor);
        double *now = weights_now(b, v->tensor), *change;

        (after ? b->after : b->before)[i] = now;
        if (now)
            moments(now, count, after ? &v->after : &v->before);
        if (!after)
            continue;
        v->update = NAN;
        if (!now || !b->before[i] || !(v->before.norm > 0))
            continue;
        change = memory_for(sizeof *change * (size_t)count);
        for (int64_t k = 0; k < count; k++)
            change[k] = now[k] - b->before[i][k];
        v->update = norm_of(change, count) / v->before.norm;
        free(change);
    }
}

/* ---- noise in what is pooled ---- */

/* In evaluation too the model may draw: then both modes have the same noise. */
static bool evaluation_draws(struct bench *b)
{
    struct probe *probe = b->probe;
    struct diagnostics *d = diagnostics_new(probe->arena);
    struct lower_options lowering = lower_options_of(probe->options);
    struct prediction *prediction;

    lowering.data = probe->phase->split.data;
    lowering.report_split = probe->phase->split.name;
    prediction = lower_prediction(probe->unit, probe->training->model, lowering, d);
    for (int i = 0; prediction && i < prediction->program->tensors.count; i++)
        if (prediction->program->tensors.at[i]->kind == IR_DRAW && prediction->program->tensors.at[i]->scope == IR_PER_SAMPLE)
            return true;
    return false;
}

/* Draws that make the data, not noise, stay as they are. */
static void keep_other_draws(const struct bench *b, struct instance *other)
{
    const struct ir_program *p = b->measure.program;

    for (int i = 0, draw = 0; i < p->tensors.count; i++) {
        bool noise = false;

        if (p->tensors.at[i]->kind != IR_DRAW)
            continue;
        for (int k = 0; k < b->probe->graph.noise.count; k++)
            noise |= !strcmp(b->probe->graph.noise.at[k], p->tensors.at[i]->name);
        if (!noise)
            other->keys[draw] = b->measure_run.keys[draw];
        draw++;
    }
}

void other_draws(const struct bench *b, struct instance *other, uint64_t seed)
{
    instance_new(other, &b->measure, &b->memory, b->pool, seed);
    keep_other_draws(b, other);
    if (b->measure.program->input_bytes)
        memcpy(other->step.inputs, b->measure_run.step.inputs, (size_t)b->measure.program->input_bytes);
    instance_run(other, b->position, b->number, scalar_value, (void *)&b->clock);
}

static void measure_noise(struct bench *b)
{
    struct probe *probe = b->probe;
    struct instance other;
    double **first = NEW_ARRAY(probe->arena, double *, probe->pooled.count + 1);
    bool wanted = false;

    for (int i = 0; i < probe->pooled.count; i++) {
        first[i] = probe->pooled.at[i].source >= 0 ? numbered(b, "value", probe->pooled.at[i].source) : NULL;
        wanted |= first[i] != NULL;
    }
    if (!wanted || evaluation_draws(b)) {
        for (int i = 0; i < probe->pooled.count; i++)
            free(first[i]);
        return;
    }
    other_draws(b, &other, probe->training->seed + 1);
    for (int i = 0; i < probe->pooled.count; i++) {
        struct pooled *pooled = &probe->pooled.at[i];
        char name[64];
        double *second;

        if (!first[i])
            continue;
        snprintf(name, sizeof name, "value.%d", pooled->source);
        second = numbers_of(&other, name);
        pooled->variance = variance_ratio(&probe->values.at[pooled->source], first[i], second);
        free(second);
        free(first[i]);
    }
    instance_free(&other);
}

/* ---- the step ---- */

/* The batches before the step; the first is the step's own and stays the one at hand. */
static void look_before(struct bench *b)
{
    struct probe *probe = b->probe;
    double mean = 0, square = 0;

    for (int64_t k = 0; k < probe->batches; k++) {
        double loss, off;

        give_batch(b, k);
        run_measure(b);
        take(b, false, k + 1);
        measure_standards(b);
        loss = objective_now(b);
        probe->loss = k ? probe->loss : loss;
        off = loss - mean;
        mean += off / (double)(k + 1);
        square += off * (loss - mean);
    }
    probe->mean_loss = mean;
    probe->loss_error = probe->batches > 1 ? sqrt(square / (double)(probe->batches - 1) / (double)probe->batches) : NAN;
    if (probe->batches > 1) {
        give_batch(b, 0);
        run_measure(b);
    }
}

static void look(struct bench *b)
{
    struct probe *probe = b->probe;

    keep_weights(b, false);
    look_before(b);
    measure_noise(b);
    if (probe->options->noise)
        measure_noise_cost(b);
    if (probe->jacobian.of)
        measure_jacobian(b);
    if (probe->options->invariances)
        measure_invariances(b);
    if (probe->sides[SIDE_LANDSCAPE])
        measure_landscape(b);
    give_batch(b, 0);
    probe->nonfinite = !run_step(b);
    keep_weights(b, true);
    run_measure(b);
    probe->after = objective_now(b);
    take(b, true, 1);
    if (probe->shifts.count)
        measure_shifts(b);
    if (probe->sides[SIDE_CURVATURE])
        measure_curvature(b);
    if (probe->sides[SIDE_FISHER])
        measure_fisher(b);
}

int probe_measure(struct probe *probe)
{
    struct bench b = {.probe = probe};
    struct data_source *source = data_source_new(probe->arena, probe->unit, store_new(probe->arena));
    struct rnet_error error;
    int status = RNET_DONE;

    source->seed = probe->training->seed;
    source->precision = (int)probe->training->precision;
    source->threads = probe->options->threads;
    source->no_fuse = probe->options->no_fuse;
    probe->step = 1;
    if (probe->options->checkpoint) {
        const struct rnet_tensor *step;

        if (!store_read(source->store, probe->options->checkpoint, &error))
            return complain_error(&error);
        source->seed = checkpoint_seed(source->store, source->seed);
        step = store_find(source->store, STORED_STEP);
        probe->step = step ? (uint64_t) * (const int64_t *)step->data + 1 : 1;
    }
    if (probe->options->at)
        probe->step = (uint64_t)probe->options->at;
    b.before = NEW_ARRAY(probe->arena, double *, probe->parameters.count + 1);
    b.after = NEW_ARRAY(probe->arena, double *, probe->parameters.count + 1);
    b.gradients = NEW_ARRAY(probe->arena, double *, probe->parameters.count + 1);
    if (!open_programs(&b, source, &error)) {
        status = complain_error(&error);
    } else {
        set_clock(&b);
        if (!open_stream(&b, &error) || !first_weights(&b, &error))
            status = complain_error(&error);
        else
            look(&b);
        if (status == RNET_DONE && probe->options->smoothness)
            status = measure_smoothness(&b);
    }
    close_bench(&b);
    return status;
}
