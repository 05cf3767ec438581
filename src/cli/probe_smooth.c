/* probe_smooth.c: how fast the gradient changes along the steps that training makes, against the gradient's size: is the objective
   (L0, L1)-smooth there (Zhang, He, Sra & Jadbabaie 2020), and which clipping follows? */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe_bench.h"

enum { POINTS = 4, FEWEST = 8 };
#define EXPLAINED 0.7 /* of the variance, for a line to be one */

/* For each trained parameter its gradient, or its values; NULL for others. */
static void collect(const struct bench *b, double **out, bool gradients)
{
    const struct probe *probe = b->probe;

    for (int i = 0; i < probe->parameters.count; i++) {
        char name[64];

        free(out[i]);
        out[i] = NULL;
        if (!is_trained(probe, i))
            continue;
        snprintf(name, sizeof name, "weight_gradient.%d", i);
        out[i] = gradients ? numbers_of(&b->measure_run, name) : weights_now(b, probe->parameters.at[i].tensor);
    }
}

/* Norm over all of them of a - b; of a if b is NULL. */
static double distance(const struct probe *probe, double *const *a, double *const *b)
{
    double sum = 0;

    for (int i = 0; i < probe->parameters.count; i++)
        for (int64_t k = 0; a[i] && k < ir_elements(probe->parameters.at[i].tensor); k++) {
            double d = a[i][k] - (b && b[i] ? b[i][k] : 0);

            sum += d * d;
        }
    return sqrt(sum);
}

static void go_to(const struct bench *b, double *const *from, double *const *to, double part)
{
    const struct probe *probe = b->probe;

    for (int i = 0; i < probe->parameters.count; i++) {
        int64_t count = ir_elements(probe->parameters.at[i].tensor);
        double *at;

        if (!from[i])
            continue;
        at = memory_for(sizeof *at * (size_t)count);
        for (int64_t k = 0; k < count; k++)
            at[k] = part == 1 ? to[i][k] : from[i][k] + part * (to[i][k] - from[i][k]);
        set_weights(b, probe->parameters.at[i].tensor, at);
        free(at);
    }
}

int measure_smoothness(struct bench *b)
{
    struct probe *probe = b->probe;
    int count = probe->parameters.count;
    double **before = calloc((size_t)count + 1, sizeof *before), **after = calloc((size_t)count + 1, sizeof *after);
    double **gradient = calloc((size_t)count + 1, sizeof *gradient), **other = calloc((size_t)count + 1, sizeof *other);
    const uint64_t first = probe->step;
    int status = RNET_DONE;

    if (!before || !after || !gradient || !other)
        status = complain(RNET_FAILED, "out of memory");
    for (int64_t s = 1; s <= probe->options->smoothness && status == RNET_DONE; s++) {
        struct smooth_point point = {0};

        probe->step = first + (uint64_t)s;
        set_clock(b);
        give_batch(b, 0);
        run_measure(b);
        collect(b, gradient, true);
        collect(b, before, false);
        if (!run_step(b))
            break;
        collect(b, after, false);
        point.gradient = distance(probe, gradient, NULL);
        for (int k = 1; k <= POINTS && distance(probe, after, before) > 0; k++) {
            double part = (double)k / POINTS;

            go_to(b, before, after, part);
            run_measure(b);
            collect(b, other, true);
            point.smoothness = fmax(point.smoothness, distance(probe, other, gradient) / (part * distance(probe, after, before)));
        }
        go_to(b, before, after, 1);
        if (point.smoothness > 0 && isfinite(point.smoothness))
            list_add(probe->arena, probe->smooth, point);
    }
    probe->step = first;
    for (int i = 0; i < count; i++)
        free(before[i]), free(after[i]), free(gradient[i]), free(other[i]);
    free(before), free(after), free(gradient), free(other);
    return status;
}

struct smooth_fit fit_smoothness(const struct probe *probe)
{
    struct smooth_fit fit = {0};
    double n = probe->smooth.count, x = 0, y = 0, xx = 0, xy = 0, yy = 0, spread, residual = 0;

    for (int i = 0; i < probe->smooth.count; i++) {
        x += probe->smooth.at[i].gradient / n;
        y += probe->smooth.at[i].smoothness / n;
    }
    for (int i = 0; i < probe->smooth.count; i++) {
        double a = probe->smooth.at[i].gradient - x, c = probe->smooth.at[i].smoothness - y;

        xx += a * a, xy += a * c, yy += c * c;
    }
    spread = sqrt(xx / n) / x;
    if (n < 2 || !(xx > 0))
        return fit;
    fit.l1 = xy / xx;
    fit.l0 = y - fit.l1 * x;
    for (int i = 0; i < probe->smooth.count; i++) {
        double r = probe->smooth.at[i].smoothness - fit.l0 - fit.l1 * probe->smooth.at[i].gradient;

        residual += r * r;
    }
    fit.explained = yy > 0 ? 1 - residual / yy : 0;
    fit.fits = n >= FEWEST && fit.explained >= EXPLAINED && fit.l0 > 0 && fit.l1 > 0 && spread > 0.05;
    return fit;
}

void print_smoothness(const struct probe *probe)
{
    struct smooth_fit fit = fit_smoothness(probe);

    printf("\nsmoothness along %d steps against the gradient's norm:", probe->smooth.count);
    if (probe->smooth.count >= FEWEST)
        printf(" L = %.3g %c %.3g |g|, which explains %.0f %% of its variance", fit.l0, fit.l1 < 0 ? '-' : '+', fabs(fit.l1), 100 * fit.explained);
    printf("\n");
    if (fit.fits)
        printf("  clipping by (L0, L1)-smoothness: rate 1 / (10 L0) = %.3g, limit min(10 L0, L0 / L1) = %.3g\n", 1 / (10 * fit.l0),
               fmin(10 * fit.l0, fit.l0 / fit.l1));
    else
        printf("  no clipping follows: %s\n",
               probe->smooth.count < FEWEST       ? "at least 8 steps that move are wanted"
               : fit.explained < EXPLAINED        ? "the gradient's norm does not explain the smoothness"
               : fit.l1 <= 0                      ? "smoothness does not grow with the gradient"
               : fit.l0 <= 0                      ? "the line has no L0 above 0"
                                                  : "the gradient's norm hardly changes over these steps");
}
