/* probe_invariance.c: which changes of a parameter leave the answer, or the loss, as they are; tried, not proved.

   An invariance is counted where what changes is less than NOTHING of itself: an epsilon beside a variance is not one to the last digit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "probe_bench.h"

#define NOTHING 1e-4

static double difference(const double *a, const double *b, int64_t count)
{
    double *d = memory_for(sizeof *d * (size_t)count), norm, own = norm_of(a, count);

    for (int64_t i = 0; i < count; i++)
        d[i] = b[i] - a[i];
    norm = norm_of(d, count);
    free(d);
    return own > 0 ? norm / own : norm;
}

/* Factors and constants that have no pattern: sines of the place. */
static void change(const struct ir_tensor *t, const struct invariance *how, const double *from, double *to, double size)
{
    int64_t below = 1, extent = how->axis < 0 ? 1 : t->axes[how->axis]->extent;

    for (int i = how->axis + 1; how->axis >= 0 && i < t->rank; i++)
        below *= t->axes[i]->extent;
    for (int64_t i = 0; i < ir_elements(t); i++) {
        int64_t along = i / below % extent, rest = i / (below * extent) * below + i % below;

        if (how->axis < 0)
            to[i] = 2 * from[i];
        else if (how->shift)
            to[i] = from[i] + size * sin(2.1 * (double)rest + 0.7);
        else
            to[i] = from[i] * exp2(sin(1.7 * (double)along + 0.3));
    }
}

static void try_change(struct bench *b, struct invariance how, const double *weights, const double *answer, double loss)
{
    struct probe *probe = b->probe;
    const struct ir_tensor *t = probe->parameters.at[how.parameter].tensor;
    int64_t count = ir_elements(t);
    double *changed = memory_for(sizeof *changed * (size_t)count), size = norm_of(weights, count) / sqrt((double)count), *now, *other;
    char name[64];

    change(t, &how, weights, changed, size > 0 ? size : 1);
    set_weights(b, t, changed);
    run_measure(b);
    snprintf(name, sizeof name, "value.%d", probe->answer);
    now = numbers_of(&b->measure_run, name);
    other = numbers_of(&b->measure_run, "data_loss");
    how.answer = difference(answer, now, ir_elements(probe->values.at[probe->answer].tensor));
    how.loss = other ? fabs(other[0] - loss) / (fabs(loss) > 0 ? fabs(loss) : 1) : NAN;
    list_add(probe->arena, probe->invariances, how);
    set_weights(b, t, weights);
    free(other);
    free(now);
    free(changed);
}

void measure_invariances(struct bench *b)
{
    struct probe *probe = b->probe;
    char name[64];
    double *answer, *loss = numbers_of(&b->measure_run, "data_loss");

    snprintf(name, sizeof name, "value.%d", probe->answer);
    answer = probe->answer >= 0 ? numbers_of(&b->measure_run, name) : NULL;
    for (int i = 0; answer && loss && i < probe->parameters.count; i++) {
        const struct ir_tensor *t = probe->parameters.at[i].tensor;
        double *weights = weights_now(b, t);
        bool moves = weights && norm_of(weights, ir_elements(t)) > 0;

        if (moves)
            try_change(b, (struct invariance){.parameter = i, .axis = -1}, weights, answer, loss[0]);
        for (int a = 0; weights && a < t->rank; a++) {
            if (t->axes[a]->extent < 2)
                continue;
            if (moves)
                try_change(b, (struct invariance){.parameter = i, .axis = a}, weights, answer, loss[0]);
            try_change(b, (struct invariance){.parameter = i, .axis = a, .shift = true}, weights, answer, loss[0]);
        }
        free(weights);
    }
    run_measure(b);
    free(answer);
    free(loss);
}

static const char *what(const struct probe *probe, const struct invariance *v)
{
    const struct ir_tensor *t = probe->parameters.at[v->parameter].tensor;

    if (v->axis < 0)
        return "times 2";
    return arena_printf(probe->arena, v->shift ? "a constant added along %s" : "each %s times its own factor", t->axes[v->axis]->name);
}

void print_invariances(const struct probe *probe)
{
    int found = 0;

    printf("\nchanges of a parameter that leave the answer %s as it is, or only the loss (what is left of the change):\n",
           probe->answer >= 0 ? probe->values.at[probe->answer].name : "");
    for (int i = 0; i < probe->invariances.count; i++) {
        const struct invariance *v = &probe->invariances.at[i];
        const struct probed *p = &probe->parameters.at[v->parameter];

        if (!(v->answer < NOTHING || v->loss < NOTHING))
            continue;
        found++;
        printf("  %s (line %d): %s: %s, %.1e\n", p->name, p->line, what(probe, v), v->answer < NOTHING ? "the answer" : "the loss",
               v->answer < NOTHING ? v->answer : v->loss);
        if (!v->shift && v->axis < 0 && isfinite(p->update))
            printf("      so L2 on it changes nothing that the net can say: it only sets |w|, and with it the effective rate, rate / |w|^2; this step "
                   "turns w by %.2g of |w|\n",
                   p->update);
    }
    if (!found)
        printf("  none: each of %d changes is seen\n", probe->invariances.count);
}
