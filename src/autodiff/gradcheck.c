/* gradcheck.c: derivatives against differences of the reference evaluator.

   The numeric slope is central, (f(x + h) - f(x - h)) / 2h with h near the cube root of the rounding unit, where
   truncation and rounding meet; wider where the slope is small beside the function. An element that disagrees is tried
   again with a wider and a narrower step: a right derivative agrees with one of them, a wrong one with none. A
   difference that rounding alone explains is none. A kink is where the slopes from left and right differ and do not
   come closer as the step shrinks, as they do where the function is smooth. Where it jumps there is none. */
#include "adjoint.h"

#include <float.h>
#include <math.h>
#include <string.h>

enum { FEW = 16 /* elements a tensor, unless all are wanted */, ROUNDINGS = 100 /* in a loss, about */, TRIES = 16 };
static const double usual_step = 6.0554544523933429e-6; /* DBL_EPSILON^(1/3) */
static const double widest_step = 0.01;
static const double usual_tolerance = 1e-6;

struct check {
    struct ir_program *p;
    struct ir_program moving; /* p, what the moved leaf does not reach taken as given */
    struct ir_tensor *loss;
    struct ir_values values;
    struct ir_run run;
    bool *wanted; /* by tensor: the loss alone */
    double tolerance, at_rest;
    uint64_t random;
};

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* In [-1, 1). */
static double random_number(uint64_t *state)
{
    return (double)(int64_t)random_bits(state) * 0x1p-63;
}

static double evaluate(struct check *c)
{
    ir_evaluate_some(&c->moving, &c->values, c->run, c->wanted);
    return c->values.at[c->loss->number][0];
}

/* ---- one slope ---- */

/* Along direction (of the tensor's size), or along one element if that is NULL. */
struct line {
    double *x;
    const double *origin, *direction;
    int64_t count, element;
};

static void move(const struct line *line, double by)
{
    if (!line->direction) {
        line->x[line->element] = line->origin[line->element] + by;
        return;
    }
    for (int64_t i = 0; i < line->count; i++)
        line->x[i] = line->origin[i] + by * line->direction[i];
}

struct slopes {
    double left, right, central, rounding; /* rounding: what it may add to each */
};

static struct slopes slopes_at(struct check *c, const struct line *line, double step)
{
    double above, below, up = step, down = step, size;

    if (!line->direction) { /* the steps that the element really takes */
        double x = line->origin[line->element];
        volatile double moved = x + step * fmax(1, fabs(x));
        up = moved - x;
        moved = x - step * fmax(1, fabs(x));
        down = x - moved;
    }
    move(line, up);
    above = evaluate(c);
    move(line, -down);
    below = evaluate(c);
    move(line, 0);
    size = fmax(fabs(c->at_rest), fmax(fabs(above), fabs(below)));
    return (struct slopes){.left = (c->at_rest - below) / down,
                           .right = (above - c->at_rest) / up,
                           .central = (above - below) / (up + down),
                           .rounding = ROUNDINGS * DBL_EPSILON * size / fmin(up, down)};
}

static double relative_error(double analytic, double numeric)
{
    double difference = fabs(analytic - numeric);

    if (difference == 0)
        return 0;
    return isfinite(difference) ? difference / (fabs(analytic) + fabs(numeric)) : INFINITY;
}

/* The wider the smaller the slope is beside the function, so that rounding stays below the tolerance. */
static double first_step(const struct check *c, double analytic)
{
    double step = 4 * DBL_EPSILON * fabs(c->at_rest) / (c->tolerance * fabs(analytic));

    return step > usual_step && isfinite(step) ? fmin(step, widest_step) : usual_step;
}

/* A kink's derivative is one of the slopes beside it, or between them. */
static bool kinked(struct check *c, const struct line *line, double analytic)
{
    struct slopes wide = slopes_at(c, line, usual_step), narrow = slopes_at(c, line, usual_step / 4);
    double jump = fabs(narrow.right - narrow.left), scale = fabs(narrow.right) + fabs(narrow.left);
    double slack = c->tolerance * scale + 2 * narrow.rounding;

    return jump > 0.5 * fabs(wide.right - wide.left) && jump > slack &&
           analytic > fmin(narrow.left, narrow.right) - slack && analytic < fmax(narrow.left, narrow.right) + slack;
}

/* Does the function move by what no slope explains, however little the element moves? It steps there, perhaps by rounding
   alone (floor of what is 0 but for rounding), and then differences of any width say nothing. */
static bool jumps(struct check *c, const struct line *line, double analytic, double numeric)
{
    static const double little = 1e-12;
    const double scale = line->direction ? 1 : fmax(1, fabs(line->origin[line->element]));
    double low = c->at_rest, high = c->at_rest, size, slope = fabs(analytic) + fabs(numeric);

    for (int n = -TRIES; n <= TRIES; n++) {
        double value;
        move(line, n * little * scale);
        value = evaluate(c);
        low = fmin(low, value);
        high = fmax(high, value);
    }
    move(line, 0);
    size = fmax(fabs(low), fabs(high));
    return high - low > 1e3 * (slope * TRIES * little * scale + ROUNDINGS * DBL_EPSILON * size);
}

static void check_line(struct check *c, const struct line *line, double analytic, struct gradcheck_result *result)
{
    static const double steps[] = {1, 16, 1.0 / 16};
    double error = INFINITY, numeric = NAN, first = first_step(c, analytic);
    bool rounding = false;

    for (int i = 0; i < 3 && !(error <= c->tolerance); i++) {
        struct slopes s = slopes_at(c, line, first * steps[i]);
        double here = relative_error(analytic, s.central);
        rounding |= fabs(analytic - s.central) <= s.rounding;
        if (i == 0 || here < error) {
            error = here;
            numeric = s.central;
        }
    }
    result->checked++;
    if (!(error <= c->tolerance) && rounding)
        error = 0;
    if (!(error <= c->tolerance) && isfinite(analytic) &&
        (kinked(c, line, analytic) || jumps(c, line, analytic, numeric))) {
        result->kinks++;
        return;
    }
    if (error > result->worst || result->checked - result->kinks == 1) {
        result->worst = error;
        result->element = line->direction ? -1 : line->element;
        result->analytic = analytic;
        result->numeric = numeric;
    }
}

/* ---- one tensor ---- */

/* From now on evaluate computes only what depends on t; everything else keeps its value at rest. */
static void move_only(struct check *c, const struct ir_tensor *t, struct arena *scratch)
{
    int count = c->p->tensors.count;
    bool *reached = NEW_ARRAY(scratch, bool, count);

    c->moving = *c->p;
    evaluate(c);
    c->moving.tensors.at = arena_copy(scratch, c->p->tensors.at, sizeof(struct ir_tensor *) * (size_t)count);
    reached[t->number] = true;
    mark_what_reads(c->p, reached, count);
    for (int i = 0; i < count; i++)
        if (!reached[i]) {
            struct ir_tensor *given = c->moving.tensors.at[i] =
                arena_copy(scratch, c->p->tensors.at[i], sizeof(struct ir_tensor));
            given->kind = IR_STATE;
            given->recurrence = NULL;
        }
}

static void check_direction(struct check *c, struct line line, const double *gradient, struct arena *scratch,
                            struct gradcheck_result *result)
{
    double *direction = NEW_ARRAY(scratch, double, line.count), analytic = 0;

    for (int64_t i = 0; i < line.count; i++) {
        direction[i] = random_number(&c->random) / sqrt((double)line.count);
        if (gradient)
            analytic += gradient[i] * direction[i];
    }
    line.direction = direction;
    check_line(c, &line, analytic, result);
}

static void check_tensor(struct check *c, const struct ir_tensor *t, const double *gradient, bool all,
                         struct arena *scratch, struct gradcheck_result *result)
{
    int64_t count = ir_elements(t), few[FEW];
    struct line line = {.x = c->values.at[t->number], .count = count};

    *result = (struct gradcheck_result){.tensor = t, .element = -1};
    move_only(c, t, scratch);
    line.origin = arena_copy(scratch, line.x, sizeof(double) * (size_t)count);
    if (!all)
        check_direction(c, line, gradient, scratch, result);
    all |= count <= FEW;
    for (int64_t i = 0; i < (all ? count : FEW); i++) {
        bool again = !all;
        line.element = i;
        while (again) {
            line.element = few[i] = (int64_t)(random_bits(&c->random) % (uint64_t)count);
            again = false;
            for (int64_t k = 0; k < i; k++)
                again |= few[k] == few[i];
        }
        check_line(c, &line, gradient ? gradient[line.element] : 0, result);
    }
    result->passed = result->worst <= c->tolerance;
}

/* ---- the whole ---- */

/* sum of loss * cotangent, with the leaf of the cotangents. */
static struct ir_tensor *contract(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor **cotangents)
{
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, loss->rank);
    const struct ir_expr *product;

    for (int i = 0; i < loss->rank; i++)
        at[i] = ir_form_index(p, loss->axes[i]);
    *cotangents = ir_leaf(p, IR_STATE, "cotangents", loss->axes, loss->rank, false, 0, 0, NULL);
    product = ir_apply(p, IR_multiply, ir_read(p, loss, at, loss->rank, NULL),
                       ir_read(p, *cotangents, at, loss->rank, NULL), NULL);
    return ir_equation(p, "contracted", NULL, 0, IR_SUM, loss->axes, loss->rank, product, false, NULL);
}

static bool is_leaf(const struct ir_tensor *t)
{
    return t->kind != IR_EQUATION && t->kind != IR_DRAW && t->kind != IR_OPAQUE;
}

/* The caller's leaves, given in the order before, the ones that are to be moved copied; room for the rest. */
static struct ir_values values_for(struct arena *arena, const struct ir_program *p, const struct ir_values *given,
                                   struct ir_tensor *const *before, int before_count, struct ir_tensor *const *wrt,
                                   int count)
{
    struct ir_values values = {NEW_ARRAY(arena, double *, p->tensors.count)};

    for (int i = 0; i < before_count; i++)
        if (is_leaf(before[i]))
            values.at[before[i]->number] = given->at[i];
    for (int i = 0; i < p->tensors.count; i++)
        if (!values.at[i])
            values.at[i] = NEW_ARRAY(arena, double, ir_elements(p->tensors.at[i]));
    for (int i = 0; i < count; i++)
        values.at[wrt[i]->number] =
            arena_copy(arena, values.at[wrt[i]->number], sizeof(double) * (size_t)ir_elements(wrt[i]));
    return values;
}

const char *gradcheck(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                      const struct ir_values *values, struct ir_run run, struct gradcheck_options options,
                      struct gradcheck_result *results)
{
    struct check c = {.p = p,
                      .loss = loss,
                      .run = run,
                      .random = options.seed,
                      .tolerance = options.tolerance > 0 ? options.tolerance : usual_tolerance};
    struct ir_tensor **gradients = NEW_ARRAY(p->arena, struct ir_tensor *, count), *cotangents = NULL;
    const struct ir_tensor *where;
    struct arena *scratch;
    const char *error;
    frozen_list frozen = {0};
    int given = p->tensors.count;
    struct ir_tensor **before = arena_copy(p->arena, p->tensors.at, sizeof(struct ir_tensor *) * (size_t)given);

    for (int i = 0; i < count; i++)
        if (!is_leaf(wrt[i]))
            return arena_printf(p->arena, "%s is computed; expected an input, a parameter, a state or a scalar",
                                wrt[i]->name);
    for (int i = 0; i < count; i++)
        if (wrt[i]->whole)
            return arena_printf(p->arena, "%s holds whole numbers; expected real ones", wrt[i]->name);
    if (loss->rank)
        c.loss = contract(p, loss, &cotangents);
    error = differentiate(p, c.loss, wrt, count, gradients, &where);
    if (error)
        return where ? arena_printf(p->arena, "%s: %s", where->name, error) : error;
    c.loss = freeze_stops(p, c.loss, &frozen);
    error = arrange_finished(p);
    if (error)
        return error;
    scratch = arena_new();
    c.values = values_for(scratch, p, values, before, given, wrt, count);
    for (int64_t i = 0; cotangents && i < ir_elements(cotangents); i++)
        c.values.at[cotangents->number][i] = random_number(&c.random);
    c.wanted = NEW_ARRAY(scratch, bool, p->tensors.count);
    for (int i = 0; i < count; i++)
        if (gradients[i])
            c.wanted[gradients[i]->number] = true;
    for (int i = 0; i < frozen.count; i++)
        c.wanted[frozen.at[i].source->number] = true;
    c.moving = *p;
    evaluate(&c);
    for (int i = 0; i < frozen.count; i++)
        memcpy(c.values.at[frozen.at[i].leaf->number], c.values.at[frozen.at[i].source->number],
               sizeof(double) * (size_t)ir_elements(frozen.at[i].leaf));
    memset(c.wanted, 0, sizeof(bool) * (size_t)p->tensors.count);
    c.wanted[c.loss->number] = true;
    c.at_rest = evaluate(&c);
    for (int i = 0; i < count; i++)
        check_tensor(&c, wrt[i], gradients[i] ? c.values.at[gradients[i]->number] : NULL, options.exhaustive, scratch,
                     &results[i]);
    arena_free(scratch);
    return NULL;
}
