/* probe_curvature.c: second derivatives of the objective by Hessian-vector products: of the equations, twice differentiated, exact.

   Eigenvalues by Lanczos' method without reorthogonalisation, which finds the outermost ones; what a Ritz value lacks is bounded by its
   residual. The trace of each parameter's own block by Hutchinson's sampling: E[v'Hv] with signs for v. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff.h"
#include "probe_bench.h"

enum { STEPS = 40, SIGNS = 16 };

const char *curvature_graph(struct probe *probe)
{
    struct ir_program *p = objective_again(probe);
    struct ir_tensor *loss = (struct ir_tensor *)program_output(p, "objective");
    int count = probe->parameters.count;
    struct ir_tensor **trained = trained_in(probe, p), **wrt = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1);
    struct ir_tensor **gradients = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1);
    struct ir_tensor **dots = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1), *slope;
    struct ir_tensor **products = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1);
    const struct ir_tensor *where;
    const char *wrong;
    int used = 0;

    for (int i = 0; i < count; i++)
        if (trained[i])
            wrt[used++] = trained[i];
    wrong = differentiate(p, loss, wrt, used, gradients, &where);
    for (int i = 0; i < used && !wrong; i++) {
        struct ir_tensor *v;

        if (!gradients[i])
            continue;
        v = ir_leaf(p, IR_STATE, arena_printf(probe->arena, "direction.%s", wrt[i]->name), wrt[i]->axes, wrt[i]->rank, false, 0, 0, NULL);
        dots[i] = summed_product(p, v, false, gradients[i]);
    }
    if (!wrong) {
        slope = summed(p, dots, used);
        wrong = differentiate(p, slope, wrt, used, products, &where);
    }
    if (wrong)
        return arena_printf(probe->arena, "there are no second derivatives: %s", wrong);
    p->outputs.count = 0;
    for (int i = 0, k = 0; i < count; i++) {
        if (!trained[i])
            continue;
        if (gradients[k])
            ir_add_output(p, arena_printf(probe->arena, "gradient.%d", i), gradients[k], false);
        if (products[k])
            ir_add_output(p, arena_printf(probe->arena, "product.%d", i), products[k], false);
        k++;
    }
    if (!p->outputs.count)
        return "the loss depends on no parameter that is trained";
    ir_add_output(p, "slope", slope, false);
    probe->sides[SIDE_CURVATURE] = p;
    return NULL;
}

/* ---- vectors ---- */

struct vectors {
    struct bench *b;
    int64_t count, *places;
};

static double *vector(const struct vectors *vs)
{
    double *v = memory_for(sizeof *v * (size_t)vs->count);

    memset(v, 0, sizeof *v * (size_t)vs->count);
    return v;
}

static double dot(const struct vectors *vs, const double *a, const double *b)
{
    double sum = 0;

    for (int64_t i = 0; i < vs->count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* What the side gave last under NAME.I of each parameter, times `part`, is added to out. */
static void collect(const struct vectors *vs, const char *what, double part, double *out)
{
    const struct probe *probe = vs->b->probe;

    for (int i = 0; i < probe->parameters.count; i++) {
        char name[64];
        double *numbers;

        snprintf(name, sizeof name, "%s.%d", what, i);
        numbers = is_trained(probe, i) ? numbers_of(&vs->b->side_runs[SIDE_CURVATURE], name) : NULL;
        for (int64_t k = 0; numbers && k < ir_elements(probe->parameters.at[i].tensor); k++)
            out[vs->places[i] + k] += part * numbers[k];
        free(numbers);
    }
}

/* out = H v, of the mean of so many batches' objectives. gradient: NULL, or what gets the gradient. */
static void apply(const struct vectors *vs, const double *v, int64_t batches, double *out, double *gradient)
{
    struct probe *probe = vs->b->probe;
    double part = 1 / (double)batches;

    for (int i = 0; i < probe->parameters.count; i++) {
        const struct ir_tensor *t = probe->parameters.at[i].tensor;

        if (is_trained(probe, i))
            set_stored(vs->b, arena_printf(probe->arena, "direction.%s", t->name), v + vs->places[i], ir_elements(t));
    }
    memset(out, 0, sizeof *out * (size_t)vs->count);
    for (int64_t k = 0; k < batches; k++) {
        if (probe->batches > 1)
            give_batch(vs->b, k);
        run_side(vs->b, SIDE_CURVATURE);
        collect(vs, "product", part, out);
        if (gradient)
            collect(vs, "gradient", part, gradient);
    }
    probe->curvature.products++;
}

/* ---- eigenvalues ---- */

/* How many eigenvalues of the tridiagonal matrix lie below x: negative pivots of T - x. */
static int below(const double *diagonal, const double *beside, int n, double x)
{
    double pivot = 1;
    int count = 0;

    for (int i = 0; i < n; i++) {
        pivot = diagonal[i] - x - (i ? beside[i - 1] * beside[i - 1] / pivot : 0);
        if (pivot == 0)
            pivot = -1e-300;
        count += pivot < 0;
    }
    return count;
}

/* The number-th eigenvalue, ascending. */
static double tridiagonal_eigenvalue(const double *diagonal, const double *beside, int n, int number)
{
    double reach = 0, low, high;

    for (int i = 0; i < n; i++)
        reach = fmax(reach, fabs(diagonal[i]) + (i ? fabs(beside[i - 1]) : 0) + (i + 1 < n ? fabs(beside[i]) : 0));
    low = -reach * 1.0001 - 1e-300, high = reach * 1.0001 + 1e-300;
    for (int k = 0; k < 200 && high - low > 1e-15 * reach; k++) {
        double middle = low + (high - low) / 2;

        if (below(diagonal, beside, n, middle) > number)
            high = middle;
        else
            low = middle;
    }
    return low + (high - low) / 2;
}

/* Size of the last component of the unit eigenvector of the greatest eigenvalue, or of the least: times the next `beside` it is the residual.
   Its square is the product over k of (x - minor_k) / (x - other_k), which the interlacing keeps in [0, 1]. */
static double last_component(const double *diagonal, const double *beside, int n, bool greatest)
{
    double x = tridiagonal_eigenvalue(diagonal, beside, n, greatest ? n - 1 : 0), square = 1;

    for (int k = 0; k + 1 < n; k++) {
        double minor = tridiagonal_eigenvalue(diagonal, beside, n - 1, k), other = tridiagonal_eigenvalue(diagonal, beside, n, greatest ? k : k + 1);

        square *= x != other ? fmin(1, fabs((x - minor) / (x - other))) : 0;
    }
    return sqrt(square);
}

static void find_extremes(const struct vectors *vs, struct curvature *c)
{
    double diagonal[STEPS], beside[STEPS], *v = vector(vs), *before = vector(vs), *w = vector(vs), size;
    int n = 0;

    normal_numbers("curvature", vs->b->probe->training->seed, v, vs->count);
    size = norm_of(v, vs->count);
    for (int64_t i = 0; i < vs->count; i++)
        v[i] /= size;
    while (n < STEPS && n < vs->count) {
        double *next = before, scale = 0;

        apply(vs, v, vs->b->probe->batches, w, NULL);
        diagonal[n] = dot(vs, v, w);
        show_step(vs->b, "eigenvalues", n + 1, STEPS);
        for (int64_t i = 0; i < vs->count; i++)
            w[i] -= diagonal[n] * v[i] + (n ? beside[n - 1] * before[i] : 0);
        beside[n] = norm_of(w, vs->count);
        for (int i = 0; i <= n; i++)
            scale = fmax(scale, fabs(diagonal[i]));
        n++;
        if (!isfinite(beside[n - 1]) || beside[n - 1] <= 1e-13 * scale) {
            beside[n - 1] = 0;
            break;
        }
        before = v;
        v = next;
        for (int64_t i = 0; i < vs->count; i++)
            v[i] = w[i] / beside[n - 1];
    }
    c->greatest = tridiagonal_eigenvalue(diagonal, beside, n, n - 1);
    c->least = tridiagonal_eigenvalue(diagonal, beside, n, 0);
    c->greatest_error = fmax(beside[n - 1] * last_component(diagonal, beside, n, true), 1e-14 * fabs(c->greatest));
    c->least_error = fmax(beside[n - 1] * last_component(diagonal, beside, n, false), 1e-14 * fabs(c->greatest));
    free(v);
    free(before);
    free(w);
}

static void find_traces(const struct vectors *vs, struct curvature *c)
{
    struct probe *probe = vs->b->probe;
    int count = probe->parameters.count;
    double *v = vector(vs), *w = vector(vs), *square = NEW_ARRAY(probe->arena, double, count + 1);

    c->trace = NEW_ARRAY(probe->arena, double, count + 1);
    c->trace_error = NEW_ARRAY(probe->arena, double, count + 1);
    for (int s = 1; s <= SIGNS; s++) {
        normal_numbers(arena_printf(probe->arena, "signs.%d", s), probe->training->seed, v, vs->count);
        for (int64_t i = 0; i < vs->count; i++)
            v[i] = v[i] < 0 ? -1 : 1;
        apply(vs, v, vs->b->probe->batches, w, NULL);
        show_step(vs->b, "traces", s, SIGNS);
        for (int i = 0; i < count; i++) {
            double sum = 0, off;

            for (int64_t k = 0; is_trained(probe, i) && k < ir_elements(probe->parameters.at[i].tensor); k++)
                sum += v[vs->places[i] + k] * w[vs->places[i] + k];
            off = sum - c->trace[i];
            c->trace[i] += off / s;
            square[i] += off * (sum - c->trace[i]);
        }
    }
    for (int i = 0; i < count; i++)
        c->trace_error[i] = sqrt(square[i] / (SIGNS - 1) / SIGNS);
    free(v);
    free(w);
}

/* v'Hv / v'v; NAN if v is 0. */
static double along(const struct vectors *vs, const double *v, double *w)
{
    double square = dot(vs, v, v);

    apply(vs, v, vs->b->probe->batches, w, NULL);
    return square > 0 ? dot(vs, v, w) / square : NAN;
}

void measure_curvature(struct bench *b)
{
    struct probe *probe = b->probe;
    struct curvature *c = &probe->curvature;
    struct vectors vs = {.b = b, .places = NEW_ARRAY(probe->arena, int64_t, probe->parameters.count + 1)};
    double *gradient, *step, *w;

    vs.count = vector_places(probe, vs.places);
    gradient = vector(&vs);
    step = vector(&vs);
    w = vector(&vs);
    for (int i = 0; i < probe->parameters.count; i++) {
        const struct ir_tensor *t = probe->parameters.at[i].tensor;

        for (int64_t k = 0; is_trained(probe, i) && k < ir_elements(t); k++)
            step[vs.places[i] + k] = b->after[i][k] - b->before[i][k];
        if (b->before[i])
            set_weights(b, t, b->before[i]);
    }
    apply(&vs, step, 1, w, gradient);
    c->first = dot(&vs, gradient, step);
    c->second = dot(&vs, step, w) / 2;
    memset(gradient, 0, sizeof *gradient * (size_t)vs.count);
    apply(&vs, step, probe->batches, w, gradient);
    c->along_step = dot(&vs, step, step) > 0 ? dot(&vs, step, w) / dot(&vs, step, step) : NAN;
    c->along_gradient = along(&vs, gradient, w);
    find_extremes(&vs, c);
    find_traces(&vs, c);
    for (int i = 0; i < probe->parameters.count; i++)
        if (b->after[i])
            set_weights(b, probe->parameters.at[i].tensor, b->after[i]);
    give_batch(b, 0);
    free(gradient);
    free(step);
    free(w);
}

void print_curvature(const struct probe *probe)
{
    const struct curvature *c = &probe->curvature;
    int width = 9;

    printf("\ncurvature of the objective, by %d Hessian-vector products\n"
           "  eigenvalues from %.4g (+- %.1g) to %.4g (+- %.1g); along the gradient %.4g, along the step %.4g\n", c->products, c->least, c->least_error,
           c->greatest, c->greatest_error, c->along_gradient, c->along_step);
    if (c->greatest > 0)
        printf("  descent of one rate goes down along the steepest curve while the rate is below 2 / %.4g = %.3g\n", c->greatest, 2 / c->greatest);
    printf("  the step changes the loss by g'd + d'Hd/2 = %.4g + %.4g = %.4g; measured: %.4g%s\n", c->first, c->second, c->first + c->second,
           probe->after - probe->loss, probe->batches > 1 ? " on its own batch" : "");
    for (int i = 0; i < probe->parameters.count; i++) {
        int length = (int)strlen(probe->parameters.at[i].name);

        width = is_trained(probe, i) && length > width ? length : width;
    }
    printf("  %-*s %5s %10s %10s %12s\n", width, "parameter", "line", "trace", "+-", "mean");
    for (int i = 0; i < probe->parameters.count; i++) {
        const struct probed *v = &probe->parameters.at[i];

        if (is_trained(probe, i))
            printf("  %-*s %5d %10.4g %10.1g %12.4g\n", width, v->name, v->line, c->trace[i], c->trace_error[i],
                   c->trace[i] / (double)ir_elements(v->tensor));
    }
}
