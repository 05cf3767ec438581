/* evaluate.c: the oracle. One equation after the other, plain loops, double precision; the equations of a recurrence
   one after the other for each step of its time. Every sum is taken in increasing row-major order of what is reduced,
   whichever points are computed side by side.

   requires: a verified program; the values of all leaves but draws. A subscript outside its axis without an `else` (a
   wrong value of a whole leaf) ends the process. */
#include "evaluate.h"
#include "internal.h"
#include "rnet.h"

#include <math.h>
#include <string.h>

/* ---- equations ---- */

/* To the next point of loops first .. last - 1 in row-major order; false: that was the last, and all are 0 again. */
static bool advance(struct machine *m, int first, int last)
{
    for (int i = last - 1; i >= first; i--) {
        if (++m->at[i] < m->loops[i]->extent)
            return true;
        m->at[i] = 0;
    }
    return false;
}

/* Begins, or moves on to, the next lanes of their loop; false after the last, and the loop is at 0 again. */
static bool next_lanes(struct machine *m, bool begin)
{
    int64_t rest;

    if (m->lane < 0) {
        m->count = 1;
        return begin;
    }
    m->at[m->lane] = begin ? 0 : m->at[m->lane] + m->count;
    rest = m->loops[m->lane]->extent - m->at[m->lane];
    m->count = rest < m->width ? (int)rest : m->width;
    if (!rest)
        m->at[m->lane] = 0;
    return rest > 0;
}

/* What reductions have come to, a lane each; of arg-reductions the places, in row-major order, too. */
struct results {
    double *values;
    int64_t *places;
    int64_t seen; /* how many points, in each lane */
};

static struct results results_new(struct arena *arena, int width)
{
    return (struct results){.values = NEW_ARRAY(arena, double, width), .places = NEW_ARRAY(arena, int64_t, width)};
}

/* Ties go to the lowest index; NaN wins, and the first one stays. */
static bool better(enum ir_reduction reduction, double candidate, double best)
{
    if (isnan(best) || isnan(candidate))
        return !isnan(best);
    return reduction == IR_MAXIMUM || reduction == IR_ARGMAX ? candidate > best : candidate < best;
}

static void include_first(const struct machine *m, struct results *results, const double *values, int count)
{
    bool sum = m->equation->reduction == IR_SUM; /* which begins at 0: the sum of -0 is 0 */

    for (int lane = 0; lane < count; lane++) {
        results->values[lane] = sum ? 0 + values[lane] : values[lane];
        results->places[lane] = 0;
    }
}

/* values[lane] into results[lane]. */
static void include(const struct machine *m, struct results *results, const double *restrict values, int count)
{
    enum ir_reduction reduction = m->equation->reduction;
    double *restrict to = results->values;

    if (!results->seen) {
        include_first(m, results, values, count);
    } else if (reduction == IR_SUM && !m->equation->single) {
        for (int lane = 0; lane < count; lane++)
            to[lane] += values[lane];
    } else if (reduction == IR_SUM || reduction == IR_PRODUCT) {
        for (int lane = 0; lane < count; lane++)
            to[lane] = machine_round(m, reduction == IR_SUM ? to[lane] + values[lane] : to[lane] * values[lane]);
    } else {
        for (int lane = 0; lane < count; lane++)
            if (better(reduction, values[lane], to[lane])) {
                to[lane] = values[lane];
                results->places[lane] = results->seen;
            }
    }
    results->seen++;
}

static double reduced_value(const struct machine *m, const struct results *results, int lane)
{
    enum ir_reduction reduction = m->equation->reduction;

    return reduction == IR_ARGMAX || reduction == IR_ARGMIN ? (double)results->places[lane] : results->values[lane];
}

/* Lanes along the last output: each has a result of its own. */
static void evaluate_outputs(struct machine *m, double *out)
{
    const struct ir_tensor *t = m->equation;
    struct results results = results_new(m->arena, m->width);

    do
        for (bool more = next_lanes(m, true); more; more = next_lanes(m, false)) {
            if (t->reduction == IR_MAP) {
                memcpy(out, machine_run(m), sizeof *out * (size_t)m->count);
            } else {
                results.seen = 0;
                do
                    include(m, &results, machine_run(m), m->count);
                while (advance(m, m->outputs, m->last));
                for (int lane = 0; lane < m->count; lane++)
                    out[lane] = reduced_value(m, &results, lane);
            }
            out += m->count;
        }
    while (advance(m, 0, m->outputs - 1));
}

/* Lanes along what is reduced last: all go into one result, in order. */
static void evaluate_reductions(struct machine *m, double *out)
{
    struct results result = results_new(m->arena, 1);

    do {
        result.seen = 0;
        do
            for (bool more = next_lanes(m, true); more; more = next_lanes(m, false)) {
                const double *values = machine_run(m);

                for (int lane = 0; lane < m->count; lane++)
                    include(m, &result, values + lane, 1);
            }
        while (advance(m, m->outputs, m->last - 1));
        *out++ = reduced_value(m, &result, 0);
    } while (advance(m, 0, m->outputs));
}

/* How many reads jump through memory along the index. */
struct jumps {
    const struct ir_index *along;
    int count;
};

static void count_jump(const struct ir_expr *read, void *context)
{
    struct jumps *jumps = context;

    for (int i = 0; i < read->tensor->rank; i++) {
        int64_t step = ir_form_coefficient(read->subscripts[i], jumps->along);

        if (step && (step != 1 || i < read->tensor->rank - 1)) {
            jumps->count++;
            return;
        }
    }
}

/* The last output's loop, or the last reduced one where that has more points or its reads jump less. */
static int choose_lanes(const struct machine *m)
{
    enum { FEW = 8 };
    const struct ir_tensor *t = m->equation;
    struct jumps along_output = {0}, along_reduced = {0};

    if (!t->reduced_count || !m->outputs)
        return m->last - 1;
    along_output.along = m->loops[m->outputs - 1];
    along_reduced.along = m->loops[m->last - 1];
    if (along_reduced.along->extent < FEW)
        return m->outputs - 1;
    if (along_output.along->extent < FEW)
        return m->last - 1;
    ir_reads(t->value, count_jump, &along_output);
    ir_reads(t->value, count_jump, &along_reduced);
    return along_reduced.count < along_output.count ? m->last - 1 : m->outputs - 1;
}

static struct machine machine_new(struct arena *arena, const struct ir_tensor *t, const struct ir_values *values)
{
    struct machine m = {.arena = arena, .equation = t, .values = values, .loop_count = t->rank + t->reduced_count};

    m.loops = NEW_ARRAY(arena, struct ir_index *, m.loop_count);
    m.at = NEW_ARRAY(arena, int64_t, m.loop_count);
    for (int i = 0; i < t->rank; i++)
        if (!t->recurrence || i != t->time)
            m.loops[m.outputs++] = t->axes[i];
    m.last = m.outputs + t->reduced_count;
    for (int i = 0; i < t->reduced_count; i++)
        m.loops[m.outputs + i] = t->reduced[i];
    if (t->recurrence)
        m.loops[m.last] = t->axes[t->time];
    m.lane = choose_lanes(&m);
    machine_compile(&m);
    return m;
}

static void evaluate_points(struct machine *m, double *out)
{
    if (m->lane >= m->outputs)
        evaluate_reductions(m, out);
    else
        evaluate_outputs(m, out);
}

static void evaluate_equation(struct arena *arena, const struct ir_tensor *t, const struct ir_values *values)
{
    struct machine m = machine_new(arena, t, values);

    evaluate_points(&m, values->at[t->number]);
}

/* ---- recurrences ---- */

/* What an equation has made of one step goes to its places: those before the time, the step, those after. */
static void put_step(const struct ir_tensor *t, const double *made, double *out, int64_t step)
{
    int64_t before = ir_extent_product(t->axes, t->time), extent = t->axes[t->time]->extent;
    int64_t after = ir_extent_product(t->axes + t->time + 1, t->rank - t->time - 1);

    for (int64_t i = 0; i < before; i++)
        memcpy(out + (i * extent + step) * after, made + i * after, sizeof *out * (size_t)after);
}

static void evaluate_recurrence(struct arena *arena, struct ir_tensor *const *equations, int count,
                                const struct ir_values *values)
{
    const struct ir_recurrence *recurrence = equations[0]->recurrence;
    struct machine *machines = NEW_ARRAY(arena, struct machine, count);
    double **made = NEW_ARRAY(arena, double *, count);

    for (int i = 0; i < count; i++) {
        if (equations[i]->kind == IR_OPAQUE)
            continue;
        machines[i] = machine_new(arena, equations[i], values);
        made[i] = NEW_ARRAY(arena, double, ir_elements(equations[i]) / recurrence->extent);
    }
    for (int64_t s = 0; s < recurrence->extent; s++) {
        int64_t step = recurrence->down ? recurrence->extent - 1 - s : s;

        for (int i = 0; i < count; i++) {
            if (equations[i]->kind == IR_OPAQUE) {
                evaluate_opaque(equations[i], values, step);
                continue;
            }
            machines[i].at[machines[i].last] = step;
            evaluate_points(&machines[i], made[i]);
            put_step(equations[i], made[i], values->at[equations[i]->number], step);
        }
    }
}

/* ---- scatters ---- */

/* A machine for an expression over the sources alone, one point at a time. */
static struct machine source_machine(struct arena *arena, const struct ir_tensor *scatter, const struct ir_expr *e,
                                     const struct ir_values *values, int64_t *at)
{
    struct ir_tensor *over = arena_copy(arena, scatter, sizeof *scatter);
    struct machine m = {.arena = arena, .equation = over, .values = values, .loops = scatter->reduced, .lane = -1};

    over->rank = 0;
    over->value = e;
    m.last = m.loop_count = scatter->reduced_count;
    m.at = at;
    m.count = 1;
    machine_compile(&m);
    return m;
}

static void evaluate_scatter(struct arena *arena, const struct ir_tensor *t, const struct ir_values *values)
{
    int64_t *at = NEW_ARRAY(arena, int64_t, t->reduced_count);
    struct machine value = source_machine(arena, t, t->value, values, at);
    struct machine *targets = NEW_ARRAY(arena, struct machine, t->rank);
    struct ir_expr *forms = NEW_ARRAY(arena, struct ir_expr, t->rank);
    double *out = values->at[t->number];

    for (int i = 0; i < t->rank; i++) {
        forms[i] = (struct ir_expr){.kind = IR_FORM, .whole = true, .form = t->targets[i]};
        targets[i] = source_machine(arena, t, &forms[i], values, at);
    }
    memset(out, 0, sizeof *out * (size_t)ir_elements(t));
    do {
        int64_t address = 0;

        for (int i = 0; i < t->rank; i++) {
            double target = *machine_run(&targets[i]);

            if (!(target >= 0 && target < (double)t->axes[i]->extent))
                bug("%s: target %d is %g, expected 0 to %lld", t->name, i + 1, target,
                    (long long)t->axes[i]->extent - 1);
            address = address * t->axes[i]->extent + (int64_t)target;
        }
        out[address] += *machine_run(&value);
    } while (advance(&value, 0, value.last));
}

/* ---- draws ---- */

/* Axes of a draw: the samples' (if the scope has positions of samples), the mapped ones, those of the elements. */
static void evaluate_draw(const struct ir_tensor *t, double *out, struct ir_run run)
{
    static const enum rnet_draw draws[] = {
        [IR_UNIFORM16] = RNET_UNIFORM16, [IR_UNIFORM32] = RNET_UNIFORM32, [IR_NORMAL] = RNET_NORMAL};
    bool sampled = (t->scope == IR_PER_SAMPLE || t->scope == IR_PER_ITEM);
    int first = sampled && t->rank && t->axes[0]->batch ? 1 : 0;
    int64_t samples = first ? t->axes[0]->extent : 1, mapped = ir_extent_product(t->axes + first, t->mapped);
    int64_t count = ir_extent_product(t->axes + first + t->mapped, t->rank - first - t->mapped);
    uint64_t key = rnet_draw_key(t->name, run.seed), start = sampled                   ? run.position
                                                             : t->scope == IR_PER_STEP ? run.step
                                                                                       : 0;
    struct arena *scratch = arena_new();
    float *numbers = NEW_ARRAY(scratch, float, count);

    for (int64_t s = 0; s < samples; s++)
        for (int64_t i = 0; i < mapped; i++) {
            rnet_draw_fill(draws[t->draw], key, (uint32_t)i, start + (uint64_t)s, 0, count, numbers);
            for (int64_t e = 0; e < count; e++)
                *out++ = (double)numbers[e];
        }
    arena_free(scratch);
}

/* ---- programs ---- */

struct ir_values ir_values_new(struct arena *arena, const struct ir_program *p)
{
    struct ir_values values = {NEW_ARRAY(arena, double *, p->tensors.count)};

    for (int i = 0; i < p->tensors.count; i++)
        values.at[i] = NEW_ARRAY(arena, double, ir_elements(p->tensors.at[i]));
    return values;
}

static void want_read(const struct ir_expr *read, void *wanted)
{
    ((bool *)wanted)[read->tensor->number] = true;
}

/* Where the tensors that are evaluated together with tensor i end: those of its recurrence, or it alone. */
static int end_of_group(const struct ir_program *p, int i)
{
    const struct ir_recurrence *recurrence = p->tensors.at[i++]->recurrence;

    while (recurrence && i < p->tensors.count && p->tensors.at[i]->recurrence == recurrence)
        i++;
    return i;
}

/* Marks what the tensors from first up to end need, if one of them is needed: then all of them are. */
static void need_group(const struct ir_program *p, int first, int end, bool *needed)
{
    bool any = false;

    for (int i = first; i < end; i++)
        any |= needed[i];
    for (int i = first; i < end && any; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        needed[i] = true;
        reads_of(t, want_read, needed);
        for (int k = 0; k < 2 && t->operands[k]; k++)
            needed[t->operands[k]->number] = true;
    }
}

void ir_evaluate_some(const struct ir_program *p, struct ir_values *values, struct ir_run run, const bool *wanted)
{
    struct arena *scratch = arena_new();
    bool *needed = NEW_ARRAY(scratch, bool, p->tensors.count);

    for (int i = 0; i < p->tensors.count; i++)
        needed[i] = !wanted || wanted[i];
    for (int end = p->tensors.count, first; end > 0; end = first) {
        for (first = end - 1; first > 0 && end_of_group(p, first - 1) >= end; first--)
            continue;
        need_group(p, first, end, needed);
    }
    for (int i = 0, end; i < p->tensors.count; i = end) {
        const struct ir_tensor *t = p->tensors.at[i];

        end = end_of_group(p, i);
        if (!needed[i] || (t->kind != IR_DRAW && t->kind != IR_EQUATION && t->kind != IR_OPAQUE))
            continue;
        if (t->kind == IR_DRAW)
            evaluate_draw(t, values->at[i], run);
        else if (t->recurrence)
            evaluate_recurrence(scratch, p->tensors.at + i, end - i, values);
        else if (t->kind == IR_OPAQUE)
            evaluate_opaque(t, values, 0);
        else if (t->targets)
            evaluate_scatter(scratch, t, values);
        else
            evaluate_equation(scratch, t, values);
    }
    arena_free(scratch);
}

void ir_evaluate(const struct ir_program *p, struct ir_values *values, struct ir_run run)
{
    struct arena *scratch = arena_new();
    double **before = NEW_ARRAY(scratch, double *, p->updates.count);

    ir_evaluate_some(p, values, run, NULL);
    for (int pass = 0; pass < 2; pass++) /* a value may itself be a leaf that another update writes */
        for (int i = 0; i < p->updates.count; i++) {
            const struct ir_tensor *leaf = p->updates.at[i].leaf, *value = p->updates.at[i].value;
            size_t bytes = (size_t)ir_elements(leaf) * sizeof(double);

            if (pass == 0)
                before[i] = arena_copy(scratch, values->at[value->number], bytes);
            else
                memcpy(values->at[leaf->number], before[i], bytes);
        }
    arena_free(scratch);
}
