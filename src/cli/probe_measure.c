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

enum { SEEN = 64 };

void *memory_for(size_t bytes)
{
    void *memory = malloc(bytes + 1);

    if (!memory) {
        complain(RNET_FAILED, "out of memory");
        exit(RNET_FAILED);
    }
    return memory;
}

/* The output's numbers, row-major, on the heap; NULL if there is none of that name. */
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

static double *numbered(const struct bench *b, const char *what, int number)
{
    char name[64];

    snprintf(name, sizeof name, "%s.%d", what, number);
    return numbers_of(&b->measure_run, name);
}

/* ---- numbers of one tensor ---- */

static bool all_finite(const double *numbers, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return false;
    return true;
}

/* Leaves out infinities that the program writes; returns how many numbers are left. */
static int64_t leave_out(double *numbers, int64_t count)
{
    int64_t left = 0;

    for (int64_t i = 0; i < count; i++)
        if (!isinf(numbers[i]))
            numbers[left++] = numbers[i];
    return left;
}

/* Scaled, so that squares neither vanish nor overflow. */
double norm_of(const double *numbers, int64_t count)
{
    double largest = 0, sum = 0;

    for (int64_t i = 0; i < count; i++)
        if (fabs(numbers[i]) > largest || isnan(numbers[i]))
            largest = fabs(numbers[i]);
    if (largest == 0 || !isfinite(largest))
        return largest;
    for (int64_t i = 0; i < count; i++)
        sum += numbers[i] / largest * (numbers[i] / largest);
    return largest * sqrt(sum);
}

static void moments(const double *numbers, int64_t count, struct measured *m)
{
    double zeros = 0, sum = 0, square = 0;

    for (int64_t i = 0; i < count; i++) {
        sum += numbers[i];
        zeros += numbers[i] == 0;
    }
    m->mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++)
        square += (numbers[i] - m->mean) * (numbers[i] - m->mean);
    m->deviation = sqrt(square / (double)count);
    m->zeros = zeros / (double)count;
    m->norm = norm_of(numbers, count);
    m->finite = all_finite(numbers, count);
}

int64_t number_units(const struct probed *v, int64_t *unit)
{
    const struct ir_tensor *t = v->tensor;
    int64_t count = ir_elements(t), units = 1;

    for (int64_t i = 0; i < count; i++)
        unit[i] = 0;
    for (int a = t->rank - 1; a >= 0; a--) {
        int64_t below = 1;

        for (int k = a + 1; k < t->rank; k++)
            below *= t->axes[k]->extent;
        if (!v->units[a])
            continue;
        for (int64_t i = 0; i < count; i++)
            unit[i] += i / below % t->axes[a]->extent * units;
        units *= t->axes[a]->extent;
    }
    return units;
}

/* Mean size of the correlation of two units over samples and places, of SEEN units at most. NAN if fewer than two vary. */
static double correlation_of(const struct probed *v, const double *value)
{
    int64_t count = ir_elements(v->tensor), *unit = memory_for(sizeof *unit * (size_t)count), units = number_units(v, unit), per = v->per_unit;
    int64_t seen = units < SEEN ? units : SEEN, stride = units / seen, rows = 0;
    double *table = memory_for(sizeof *table * (size_t)(seen * per)), sum = 0, pairs = 0;
    int64_t *filled = memory_for(sizeof *filled * (size_t)units);

    memset(filled, 0, sizeof *filled * (size_t)units);
    for (int64_t i = 0; i < count; i++)
        if (unit[i] % stride == 0 && unit[i] / stride < seen)
            table[unit[i] / stride * per + filled[unit[i]]++] = value[i];
    for (int64_t u = 0; u < seen; u++) {
        double mean = 0, norm = 0, *row = table + u * per, *kept = table + rows * per;

        for (int64_t i = 0; i < per; i++)
            mean += row[i] / (double)per;
        for (int64_t i = 0; i < per; i++)
            norm += (row[i] - mean) * (row[i] - mean);
        for (int64_t i = 0; i < per; i++)
            kept[i] = (row[i] - mean) / sqrt(norm);
        rows += norm > 0 && isfinite(norm);
    }
    for (int64_t u = 0; u < rows; u++)
        for (int64_t w = 0; w < u; w++, pairs++) {
            double product = 0;

            for (int64_t i = 0; i < per; i++)
                product += table[u * per + i] * table[w * per + i];
            sum += fabs(product);
        }
    free(filled);
    free(table);
    free(unit);
    return pairs ? sum / pairs : NAN;
}

static void measure_slope(struct arena *arena, struct probed *v, const double *value, const double *slope, bool keep, struct measured *m)
{
    int64_t count = ir_elements(v->tensor), *unit = memory_for(sizeof *unit * (size_t)count), units = number_units(v, unit);
    bool *alive = keep && v->alive ? v->alive : NEW_ARRAY(arena, bool, units);
    double off = 0, saturated = 0, dead = 0;

    for (int64_t i = 0; i < count; i++) {
        if (value[i] == 0 && slope[i] == 0)
            off++;
        else if (slope[i] < FLAT)
            saturated++;
        if (slope[i] != 0)
            alive[unit[i]] = true;
    }
    for (int64_t u = 0; u < units; u++)
        dead += !alive[u];
    m->off = off / (double)count;
    m->saturated = saturated / (double)count;
    m->dead = dead / (double)units;
    if (keep)
        v->alive = alive;
    free(unit);
}

/* Along one of the axes of units, is each value that of its neighbours? To rounding: they may have been summed in another order. */
static bool are_alike(const struct probed *v, const double *value)
{
    const struct ir_tensor *t = v->tensor;
    int64_t count = ir_elements(t), below = 1;

    for (int a = t->rank - 1; a >= 0; below *= t->axes[a--]->extent) {
        int64_t extent = t->axes[a]->extent;
        bool alike = v->units[a] && a != v->time && extent > 1;

        for (int64_t i = 0; alike && i < count; i++) {
            double first = value[i - i / below % extent * below];

            alike = fabs(value[i] - first) <= 1e-6 * fabs(first);
        }
        if (alike)
            return true;
    }
    return false;
}

static double *norms_by_step(struct arena *arena, const struct probed *v, const double *numbers)
{
    const struct ir_tensor *t = v->tensor;
    int64_t count = ir_elements(t), steps = t->axes[v->time]->extent, below = 1, per = count / steps;
    double *norms = NEW_ARRAY(arena, double, steps), *at = memory_for(sizeof *at * (size_t)per);

    for (int k = v->time + 1; k < t->rank; k++)
        below *= t->axes[k]->extent;
    for (int64_t s = 0; s < steps; s++) {
        for (int64_t i = 0; i < per; i++)
            at[i] = numbers[i / below * below * steps + s * below + i % below];
        norms[s] = norm_of(at, per);
    }
    free(at);
    return norms;
}

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

static void fold(double *mean, double value, double part)
{
    *mean += (value - *mean) * part;
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

/* ---- noise in what is pooled ---- */

/* With two independent draws for the same samples, the covariance of a unit's two values over them is the variance that it has without
   noise; summed over units. */
static double variance_ratio(const struct probed *v, const double *first, const double *second)
{
    int64_t count = ir_elements(v->tensor), *unit = memory_for(sizeof *unit * (size_t)count), units = number_units(v, unit);
    double *sums = memory_for(sizeof *sums * (size_t)(2 * units)), variance = 0, covariance = 0, per = (double)v->per_unit;

    memset(sums, 0, sizeof *sums * (size_t)(2 * units));
    for (int64_t i = 0; i < count; i++) {
        sums[2 * unit[i]] += first[i];
        sums[2 * unit[i] + 1] += second[i];
    }
    for (int64_t i = 0; i < count; i++) {
        double a = first[i] - sums[2 * unit[i]] / per, c = second[i] - sums[2 * unit[i] + 1] / per;

        variance += (a * a + c * c) / 2;
        covariance += a * c;
    }
    free(sums);
    free(unit);
    return covariance > 0 ? variance / covariance : INFINITY;
}

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

static bool open_programs(struct bench *b, struct data_source *source, struct rnet_error *error)
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

static bool first_weights(struct bench *b, struct rnet_error *error)
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

static bool open_stream(struct bench *b, struct rnet_error *error)
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

static void close_bench(struct bench *b)
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
