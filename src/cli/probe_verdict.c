/* probe_verdict.c: what is wrong with a net, in words. What causes is said before what follows from it. */
#include <math.h>
#include <string.h>

#include "probe.h"

/* Where a number becomes a fault. */
#define FAR        1e3  /* by so much gradients or values differ from one end of a chain to the other */
#define FAR_IN_TIME 1e4 /* the same along the time of a recurrence, which has more steps than nets have layers */
#define WHOLE_STEP 1.0  /* a step changes a parameter by its own norm */
#define NOISE      1.25 /* variance with noise over that without */
#define DEAD       0.5  /* share of units: random weights over positive inputs have a quarter */
#define SATURATED  0.5  /* share of elements */
enum { CHAIN = 3, ENOUGH = 16 }; /* layers that make a chain; elements by which a unit is judged */

static void blame(const struct probe *probe, fault_list *faults, const char *file, int line, const char *text)
{
    list_add(probe->arena, *faults, (struct fault){.file = file, .line = line, .text = text});
}

/* "net.h (line 12)" */
static const char *named(const struct probe *probe, const struct probed *v)
{
    return v->line ? arena_printf(probe->arena, "%s (line %d)", v->name, v->line) : v->name;
}

double growth(const double *numbers, int64_t count)
{
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;

    for (int64_t i = 0; i < count; i++) {
        double at = (double)i, number;

        if (!(numbers[i] > 0) || !isfinite(numbers[i]))
            continue;
        number = log10(numbers[i]);
        n++, x += at, y += number, xx += at * at, xy += at * number;
    }
    return n < CHAIN ? NAN : (n * xy - x * y) / (n * xx - x * x);
}

/* The last bending value of each depth, else the last one, hidden ones alone: -1 where there is none. */
static void probe_levels(const struct probe *probe, int *levels)
{
    for (int d = 0; d <= probe->depth; d++)
        levels[d] = -1;
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];

        if (!v->hidden || !v->depth || !v->gradient)
            continue;
        if (levels[v->depth] < 0 || v->slope || !probe->values.at[levels[v->depth]].slope)
            levels[v->depth] = i;
    }
}

/* ---- each fault ---- */

static bool judge_finite(const struct probe *probe, fault_list *faults)
{
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];

        if (v->before.finite)
            continue;
        blame(probe, faults, v->file, v->line,
              arena_printf(probe->arena, "%s is not finite: the first of the equations from the data to the loss", v->name));
        return true;
    }
    for (int i = probe->values.count; i-- > 0;) {
        const struct probed *v = &probe->values.at[i];

        if (v->before.gradient_finite)
            continue;
        blame(probe, faults, v->file, v->line,
              arena_printf(probe->arena, "the gradient at %s is not finite: the first on the way back from the loss", v->name));
        return true;
    }
    for (int i = 0; i < probe->parameters.count; i++)
        if (!probe->parameters.at[i].before.finite || !probe->parameters.at[i].before.gradient_finite) {
            const struct probed *v = &probe->parameters.at[i];

            blame(probe, faults, v->file, v->line,
                  arena_printf(probe->arena, "%s%s is not finite", v->before.finite ? "the gradient of " : "", v->name));
            return true;
        }
    if (!isfinite(probe->loss))
        blame(probe, faults, NULL, 0, arena_printf(probe->arena, "the loss is %g", probe->loss));
    return !isfinite(probe->loss);
}

static bool judge_pooled(const struct probe *probe, fault_list *faults)
{
    for (int i = 0; i < probe->pooled.count; i++) {
        const struct pooled *pooled = &probe->pooled.at[i];

        if (pooled->elements > 1)
            continue;
        blame(probe, faults, pooled->file, pooled->line,
              arena_printf(probe->arena,
                           "%s pools the batch, and the batch is 1 sample: one number is its own mean and its variance is 0, so that nothing "
                           "of the sample is left; take a larger batch, or reduce over axes of the sample",
                           pooled->name));
        return true;
    }
    return false;
}

static void judge_noise(const struct probe *probe, fault_list *faults)
{
    for (int i = 0; i < probe->pooled.count; i++) {
        const struct pooled *pooled = &probe->pooled.at[i];

        if (pooled->source < 0 || !(pooled->variance > NOISE) || pooled->elements < 2)
            continue;
        blame(probe, faults, pooled->file, pooled->line,
              arena_printf(probe->arena,
                           "variance shift: %s pools %s, which has noise in training: its variance is there %.3g times what it is in "
                           "evaluation, where nothing is drawn, so that the statistics kept do not fit; draw the noise after them",
                           pooled->name, named(probe, &probe->values.at[pooled->source]), pooled->variance));
        return;
    }
}

static bool is_weight(const struct probed *v)
{
    return v->tensor->rank >= 2 && v->before.deviation > 0 && isfinite(v->update);
}

static void judge_rate(const struct probe *probe, fault_list *faults)
{
    const struct probed *worst = NULL;
    bool rose = !(probe->after < probe->loss), far;
    const char *loss = arena_printf(probe->arena, "takes the loss of its own batch from %.3g to %.3g", probe->loss, probe->after);

    for (int i = 0; i < probe->parameters.count; i++) {
        const struct probed *v = &probe->parameters.at[i];

        if (is_weight(v) && (!worst || v->update > worst->update))
            worst = v;
    }
    far = !isfinite(probe->after) || probe->after > probe->loss + 10 * fabs(probe->loss);
    if (probe->nonfinite)
        return blame(probe, faults, NULL, 0, "the step gives numbers that are not finite");
    if (worst && ((worst->update > WHOLE_STEP && rose) || (far && worst->update > WHOLE_STEP / 10)))
        blame(probe, faults, worst->file, worst->line,
              arena_printf(probe->arena,
                           "the step is too large: it changes %s by %.3g times its norm and %s; a rate %.1g times smaller would change it by a "
                           "hundredth",
                           worst->name, worst->update, loss, worst->update * 100));
    else if (far && rose)
        blame(probe, faults, NULL, 0, arena_printf(probe->arena, "the step is too large: it %s", loss));
}

/* A parameter that has one value throughout, as nothing drawn has. */
static const struct probed *constant_parameter(const struct probe *probe)
{
    for (int i = 0; i < probe->parameters.count; i++) {
        const struct probed *v = &probe->parameters.at[i];

        if (v->tensor->rank >= 2 && v->before.deviation == 0)
            return v;
    }
    return NULL;
}

static void judge_symmetry(const struct probe *probe, fault_list *faults)
{
    const struct probed *first = NULL, *constant = constant_parameter(probe);
    int count = 0, silent = 0;
    struct text names = {0};

    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];
        bool alike = v->before.alike && v->after.alike;

        if (!v->hidden || !v->depth)
            continue;
        count += alike;
        first = alike && !first ? v : first;
    }
    if (first)
        blame(probe, faults, constant ? constant->file : first->file, constant ? constant->line : first->line,
              arena_printf(probe->arena, "symmetry: the units of %s are alike for every sample, and still are after the step%s%s",
                           named(probe, first), count > 1 ? arena_printf(probe->arena, " (so are those of %d more equation%s)", count - 1, count > 2 ? "s" : "") : "",
                           constant ? arena_printf(probe->arena, "; %s is %.3g throughout: units that begin alike hear the same gradient "
                                                   "and stay alike; draw it, as in ~ he_normal", constant->name, constant->before.mean) : ""));
    for (int i = 0; i < probe->parameters.count; i++) {
        const struct probed *v = &probe->parameters.at[i];

        if (!v->gradient || v->before.gradient_norm != 0 || v->after.gradient_norm != 0)
            continue;
        if (silent++ < 4)
            text_addf(&names, "%s%s", silent > 1 ? ", " : "", v->name);
    }
    if (silent)
        blame(probe, faults, NULL, 0,
              arena_printf(probe->arena, "no gradient reaches %s%s: it is exactly 0 before and after the step, so that %s not learn",
                           names.data, silent > 4 ? arena_printf(probe->arena, " and %d more", silent - 4) : "",
                           silent > 1 ? "they do" : "it does"));
    text_free(&names);
}

/* Gradients after the step where none came back before it, as from a last layer that begins at 0. */
int probe_chain(const struct probe *probe, const struct probed **chain, double *gradients, double *sizes)
{
    int *levels = NEW_ARRAY(probe->arena, int, probe->depth + 1), count = 0;
    bool later;

    probe_levels(probe, levels);
    for (int d = 1; d <= probe->depth; d++)
        if (levels[d] >= 0)
            chain[count++] = &probe->values.at[levels[d]];
    later = count && chain[count - 1]->before.gradient_norm == 0;
    for (int i = 0; i < count; i++) {
        gradients[i] = later ? chain[i]->after.gradient_norm : chain[i]->before.gradient_norm;
        sizes[i] = chain[i]->before.norm / sqrt((double)ir_elements(chain[i]->tensor));
    }
    return count;
}

static void judge_chain(const struct probe *probe, fault_list *faults)
{
    const struct probed **chain = NEW_ARRAY(probe->arena, const struct probed *, probe->depth + 1), *first, *last;
    double *gradients = NEW_ARRAY(probe->arena, double, probe->depth + 1), *sizes = NEW_ARRAY(probe->arena, double, probe->depth + 1);
    int count = probe_chain(probe, chain, gradients, sizes);
    double slope, ratio;

    if (count < CHAIN)
        return;
    first = chain[0], last = chain[count - 1];
    slope = growth(gradients, count);
    ratio = gradients[0] / gradients[count - 1];
    if (gradients[count - 1] > 0 && !isnan(slope) && (ratio * FAR < 1 || ratio > FAR))
        blame(probe, faults, first->file, first->line,
              arena_printf(probe->arena, "the gradient %s on its way back: its norm is %.2g at %s and %.2g at %s, %s over %d layers (times %.3g a layer)",
                           ratio < 1 ? "vanishes" : "explodes", gradients[count - 1], named(probe, last), gradients[0], named(probe, first),
                           ratio > 0 ? arena_printf(probe->arena, "10^%.1f", log10(ratio)) : "0 of it is left", count - 1, pow(10, -slope)));
    slope = growth(sizes, count);
    ratio = sizes[count - 1] / sizes[0];
    if (sizes[0] > 0 && !isnan(slope) && (ratio * FAR < 1 || ratio > FAR))
        blame(probe, faults, last->file, last->line,
              arena_printf(probe->arena, "the values %s on their way: their size is %.2g at %s and %.2g at %s (times %.3g a layer)",
                           ratio < 1 ? "vanish" : "explode", sizes[0], named(probe, first), sizes[count - 1], named(probe, last), pow(10, slope)));
}

/* Of a recurrence, the value whose gradient changes least: what is carried on a gentler way is carried. */
static void judge_time(const struct probe *probe, fault_list *faults)
{
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *gentlest = NULL;
        double least = 0;

        for (int k = 0; k < probe->values.count; k++) {
            const struct probed *v = &probe->values.at[k];
            int64_t steps = v->time >= 0 ? v->tensor->axes[v->time]->extent : 0;
            double total;

            if (v->tensor->recurrence != probe->values.at[i].tensor->recurrence || !steps || !v->before.gradient_by_step)
                continue;
            if (k < i)
                break;
            total = growth(v->before.gradient_by_step, steps) * (double)(steps - 1) * (v->tensor->recurrence->down ? 1 : -1);
            if (!isnan(total) && (!gentlest || fabs(total) < fabs(least)))
                gentlest = v, least = total;
        }
        if (gentlest && fabs(least) > log10(FAR_IN_TIME)) {
            const struct ir_index *time = gentlest->tensor->axes[gentlest->time];

            blame(probe, faults, gentlest->file, gentlest->line,
                  arena_printf(probe->arena, "the gradient at %s %s along %s: by 10^%.1f over its %lld steps, times %.3g a step back", gentlest->name,
                               least < 0 ? "vanishes" : "explodes", time->name, least, (long long)time->extent,
                               pow(10, least / (double)(time->extent - 1))));
        }
    }
}

static void judge_units(const struct probe *probe, fault_list *faults)
{
    const struct probed *dead = NULL, *flat = NULL;

    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];

        if (!v->judged)
            continue;
        if (v->owned && v->per_unit >= ENOUGH && v->before.dead > DEAD && (!dead || v->before.dead > dead->before.dead))
            dead = v;
        if (v->before.saturated > SATURATED && (!flat || v->before.saturated > flat->before.saturated))
            flat = v;
    }
    if (dead)
        blame(probe, faults, dead->file, dead->line,
              arena_printf(probe->arena, "dead units: %.0f %% of those of %s have the derivative 0 for every sample of the batch", 100 * dead->before.dead,
                           dead->name));
    if (flat)
        blame(probe, faults, flat->file, flat->line,
              arena_printf(probe->arena, "saturated: at %.0f %% of the elements of %s the local derivative is below %g", 100 * flat->before.saturated,
                           flat->name, FLAT));
}

void probe_judge(const struct probe *probe, fault_list *faults)
{
    bool alone = judge_pooled(probe, faults);

    if (judge_finite(probe, faults))
        return;
    judge_rate(probe, faults);
    judge_symmetry(probe, faults);
    judge_chain(probe, faults);
    judge_time(probe, faults);
    if (!alone)
        judge_noise(probe, faults);
    judge_units(probe, faults);
}
