/* probe_print.c: what `rnetc probe` says, to be read and to be computed with. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "probe.h"

enum { SHOWN = 12 }; /* steps of a recurrence that a line has room for */

static const char *phase_name(const struct probe *probe)
{
    return probe->phase->name ? arena_printf(probe->arena, "%s.%s", probe->training->model, probe->phase->name) : probe->training->model;
}

static const char *place_of(const struct probe *probe, const char *file, int line)
{
    if (!line)
        return probe->options->files.at[0];
    return arena_printf(probe->arena, "%s:%d", file ? file : probe->options->files.at[0], line);
}

/* Three digits in nine columns; nothing for what has no meaning. */
static const char *number(const struct probe *probe, double value)
{
    return isnan(value) ? "" : value == 0 ? "0" : arena_printf(probe->arena, "%.3g", value);
}

static const char *percent(const struct probe *probe, bool meant, double value)
{
    if (!meant)
        return "";
    return arena_printf(probe->arena, value > 0 && value < 0.005 ? "<1 %%" : "%.0f %%", 100 * value);
}

static int longest(const struct probe *probe, bool parameters)
{
    int width = 9;

    for (int i = 0; i < (parameters ? probe->parameters.count : probe->values.count); i++) {
        int length = (int)strlen(parameters ? probe->parameters.at[i].name : probe->values.at[i].name);

        width = length > width ? length : width;
    }
    return width < 60 ? width : 60;
}

static void print_values(const struct probe *probe)
{
    int width = longest(probe, false);

    if (!probe->values.count)
        return;
    printf("\n%-*s %5s %5s %9s %9s %6s %6s %9s %9s %9s\n", width, "equation", "line", "depth", "mean", "deviation", "zeros", "dead", "saturated",
           "correl", "gradient");
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];
        const struct measured *m = &v->before;

        printf("%-*s %5d %5d %9s %9s %6s %6s %9s %9s %9s\n", width, v->name, v->line, v->depth, number(probe, m->mean), number(probe, m->deviation),
               percent(probe, true, m->zeros), percent(probe, v->slope != NULL, m->dead), percent(probe, v->slope != NULL, m->saturated),
               number(probe, m->correlation), number(probe, v->gradient ? m->gradient_norm : NAN));
    }
}

static void print_parameters(const struct probe *probe)
{
    int width = longest(probe, true);

    if (!probe->parameters.count)
        return;
    printf("\n%-*s %5s %9s %9s %9s %9s%s %9s\n", width, "parameter", "line", "elements", "mean", "deviation", "gradient",
           probe->batches > 1 ? "   of mean" : "", "update");
    for (int i = 0; i < probe->parameters.count; i++) {
        const struct probed *v = &probe->parameters.at[i];

        printf("%-*s %5d %9" PRId64 " %9s %9s %9s", width, v->name, v->line, ir_elements(v->tensor), number(probe, v->before.mean),
               number(probe, v->before.deviation), number(probe, v->gradient ? v->before.gradient_norm : NAN));
        if (probe->batches > 1)
            printf(" %9s", number(probe, v->gradient ? v->before.mean_gradient_norm : NAN));
        printf(" %9s\n", number(probe, v->update));
    }
}

static void print_steps(const struct probe *probe)
{
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];
        int64_t steps = v->time >= 0 ? v->tensor->axes[v->time]->extent : 0;
        double slope;

        if (!steps || !v->before.gradient_by_step)
            continue;
        slope = growth(v->before.gradient_by_step, steps);
        printf("\n%s (line %d) along %s: norm of the gradient", v->name, v->line, v->tensor->axes[v->time]->name);
        if (!isnan(slope))
            printf(", times %.3g a step back", pow(10, v->tensor->recurrence->down ? slope : -slope));
        printf("\n ");
        for (int64_t s = 0; s < steps; s++) {
            if (steps > SHOWN && s >= SHOWN / 2 && s < steps - SHOWN / 2) {
                if (s == SHOWN / 2)
                    printf(" ..");
                continue;
            }
            printf(" %.2g", v->before.gradient_by_step[s]);
        }
        printf("\n");
    }
}

static void print_chain(const struct probe *probe)
{
    const struct probed **chain = NEW_ARRAY(probe->arena, const struct probed *, probe->depth + 1);
    double *gradients = NEW_ARRAY(probe->arena, double, probe->depth + 1), *sizes = NEW_ARRAY(probe->arena, double, probe->depth + 1), back, forth;
    int count = probe_chain(probe, chain, gradients, sizes);

    back = growth(gradients, count);
    forth = growth(sizes, count);
    if (!isnan(back) && !isnan(forth))
        printf("\nover %d layers: the gradient changes by %.3g a layer back, values by %.3g a layer on\n", count, pow(10, -back), pow(10, forth));
}

static void print_healthy(const struct probe *probe)
{
    const struct probed *largest = NULL;

    for (int i = 0; i < probe->parameters.count; i++)
        if (isfinite(probe->parameters.at[i].update) && (!largest || probe->parameters.at[i].update > largest->update))
            largest = &probe->parameters.at[i];
    printf("healthy  %s: %s: nothing is wrong: numbers are finite, a gradient reaches each parameter", probe->options->files.at[0],
           phase_name(probe));
    if (largest)
        printf(", the step changes none by more than %.2g of its norm (%s)", largest->update, largest->name);
    printf("\n");
}

static const char *batch_text(const struct probe *probe)
{
    if (!probe->training->data)
        return "";
    return arena_printf(probe->arena, ", batch of %" PRId64 " from %s.%s", probe->training->batch, probe->phase->split.data,
                        probe->phase->split.name);
}

void print_probe(const struct probe *probe, const fault_list *faults)
{
    for (int i = 0; i < faults->count; i++)
        printf("wrong    %s: %s: %s\n", place_of(probe, faults->at[i].file, faults->at[i].line), phase_name(probe), faults->at[i].text);
    if (!faults->count)
        print_healthy(probe);
    printf("\nstep %" PRIu64 " of %s%s, %s; loss %.4g before it and %.4g after it, on the same batch\n", probe->step, phase_name(probe),
           batch_text(probe), probe->training->precision == IR_DOUBLE ? "f64" : "f32", probe->loss, probe->after);
    if (probe->batches > 1)
        printf("means over %" PRId64 " batches, steps %" PRIu64 " to %" PRIu64 ", before the step; loss %.4g +- %.1g; dead: in all of them\n", probe->batches,
               probe->step, probe->step + (uint64_t)probe->batches - 1, probe->mean_loss, probe->loss_error);
    print_values(probe);
    print_parameters(probe);
    print_chain(probe);
    print_steps(probe);
    if (probe->options->noise)
        print_noise(probe);
    if (probe->jacobian.of)
        print_jacobian(probe);
    if (probe->options->invariances)
        print_invariances(probe);
    if (probe->options->smoothness)
        print_smoothness(probe);
    if (probe->options->shift)
        print_shifts(probe);
    if (probe->options->bound)
        print_standards(probe);
    if (probe->sides[SIDE_CURVATURE])
        print_curvature(probe);
    if (probe->sides[SIDE_FISHER])
        print_fisher(probe);
    if (probe->sides[SIDE_LANDSCAPE])
        print_landscape(probe);
}

/* ---- JSON ---- */

static void json_string(const char *text)
{
    putchar('"');
    for (const char *at = text; *at; at++)
        if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else
            putchar(*at);
    putchar('"');
}

static void json_number(const char *name, double value)
{
    printf(", \"%s\": ", name);
    if (isfinite(value))
        printf("%.9g", value);
    else
        printf("null");
}

static void json_numbers(const char *name, const double *values, int64_t count)
{
    printf(", \"%s\": [", name);
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i]))
            printf("%s%.9g", i ? ", " : "", values[i]);
        else
            printf("%snull", i ? ", " : "");
    printf("]");
}

static void json_probed(const struct probed *v, bool parameter, const char *joint)
{
    const struct measured *m = &v->before;

    printf("%s\n    {\"name\": ", joint);
    json_string(v->name);
    printf(", \"line\": %d", v->line);
    if (!parameter)
        printf(", \"depth\": %d", v->depth);
    json_number("mean", m->mean);
    json_number("deviation", m->deviation);
    json_number("norm", m->norm);
    json_number("zeros", m->zeros);
    if (v->gradient)
        json_number("gradient_norm", m->gradient_norm);
    if (v->gradient && parameter)
        json_number("mean_gradient_norm", m->mean_gradient_norm);
    if (parameter)
        json_number("update", v->update);
    else if (!isnan(m->correlation))
        json_number("correlation", m->correlation);
    if (v->slope) {
        json_number("dead", m->dead);
        json_number("off", m->off);
        json_number("saturated", m->saturated);
    }
    if (v->time >= 0 && m->gradient_by_step) {
        json_numbers("norm_by_step", m->by_step, v->tensor->axes[v->time]->extent);
        json_numbers("gradient_norm_by_step", m->gradient_by_step, v->tensor->axes[v->time]->extent);
    }
    printf("}");
}

static void json_shifts(const struct probe *probe)
{
    printf(",\n  \"shift\": [");
    for (int i = 0; i < probe->shifts.count; i++) {
        const struct shift *s = &probe->shifts.at[i];

        printf("%s\n    {\"parameter\": ", i ? "," : "");
        json_string(probe->parameters.at[s->parameter].name);
        printf(", \"layer\": %d", s->layer);
        json_number("gradient", s->gradient);
        json_number("moved", s->moved);
        json_number("change", s->change);
        json_number("cosine", s->cosine);
        printf("}");
    }
    printf("]");
}

static void json_standards(const struct probe *probe)
{
    const char *joint = "";

    printf(",\n  \"bound\": [");
    for (int k = 0; k < probe->standards.count; k++) {
        const struct standard *s = &probe->standards.at[k];

        if (!is_standardised(s))
            continue;
        printf("%s\n    {\"equation\": ", joint);
        joint = ",";
        json_string(s->name);
        printf(", \"line\": %d, \"over\": ", s->line);
        json_string(standard_over(probe, s));
        printf(", \"elements\": %" PRId64, s->elements);
        json_number("held", s->straight);
        json_number("mean", s->level);
        json_number("along", s->along);
        json_number("gradient", s->left);
        json_number("off", s->worst);
        printf("}");
    }
    printf("]");
}

static void json_curvature(const struct probe *probe)
{
    const struct curvature *c = &probe->curvature;

    printf(",\n  \"curvature\": {\"products\": %d", c->products);
    json_number("along_gradient", c->along_gradient);
    json_number("along_step", c->along_step);
    json_number("first", c->first);
    json_number("second", c->second);
    json_number("greatest", c->greatest);
    json_number("greatest_error", c->greatest_error);
    json_number("least", c->least);
    json_number("least_error", c->least_error);
    printf(", \"traces\": [");
    for (int i = 0, k = 0; i < probe->parameters.count; i++) {
        if (!is_trained(probe, i))
            continue;
        printf("%s\n    {\"parameter\": ", k++ ? "," : "");
        json_string(probe->parameters.at[i].name);
        json_number("trace", c->trace[i]);
        json_number("error", c->trace_error[i]);
        printf("}");
    }
    printf("]}");
}

static void json_fisher(const struct probe *probe)
{
    const struct fisher *f = &probe->fisher;

    printf(",\n  \"fisher\": {\"parameter\": ");
    json_string(probe->parameters.at[f->parameter].name);
    printf(", \"natural\": %s", f->labels ? "false" : "true");
    json_number("divergence", f->divergence);
    json_number("form", f->form);
    json_numbers("eigenvalues", f->eigenvalues, f->elements);
    printf(",\n   \"matrix\": [");
    for (int64_t i = 0; i < f->elements; i++) {
        for (int64_t k = 0; k < f->elements; k++)
            printf("%s%.9g", k ? ", " : i ? "],\n    [" : "[", f->matrix[i * f->elements + k]);
    }
    printf("]]}");
}

static void json_landscape(const struct probe *probe)
{
    const struct landscape *l = &probe->landscape;

    printf(",\n  \"landscape\": {\"points\": %d", l->points);
    json_number("reach", l->reach);
    json_number("rough", l->rough);
    json_numbers("loss", l->loss, (int64_t)l->points * l->points);
    printf("}");
}

/* What was asked for besides. */
static void json_more(const struct probe *probe)
{
    const struct jacobian *j = &probe->jacobian;

    if (j->of) {
        printf(",\n  \"jacobian\": {\"of\": ");
        json_string(probe->values.at[probe->answer].name);
        printf(", \"by\": ");
        json_string(j->name);
        printf(", \"singular\": [");
        for (int s = 0; s < j->samples; s++) {
            printf("%s\n    [", s ? "," : "");
            for (int k = 0; k < j->count; k++)
                printf("%s%.9g", k ? ", " : "", j->singular[s * j->count + k]);
            printf("]");
        }
        printf("]}");
    }
    if (probe->options->noise && probe->cost.draws) {
        printf(",\n  \"noise\": {\"draws\": %d", probe->cost.draws);
        json_number("without", probe->cost.without);
        json_number("added", probe->cost.added);
        json_number("error", probe->cost.error);
        json_number("second_order", probe->cost.expected);
        printf("}");
    }
    if (probe->options->invariances) {
        printf(",\n  \"changes\": [");
        for (int i = 0; i < probe->invariances.count; i++) {
            const struct invariance *v = &probe->invariances.at[i];
            const struct probed *p = &probe->parameters.at[v->parameter];

            printf("%s\n    {\"parameter\": ", i ? "," : "");
            json_string(p->name);
            printf(", \"change\": \"%s\", \"axis\": ", v->shift ? "shift" : "scale");
            json_string(v->axis < 0 ? "" : p->tensor->axes[v->axis]->name);
            json_number("answer", v->answer);
            json_number("loss", v->loss);
            printf("}");
        }
        printf("]");
    }
    if (probe->options->smoothness) {
        struct smooth_fit fit = fit_smoothness(probe);

        printf(",\n  \"smoothness\": {\"fits\": %s", fit.fits ? "true" : "false");
        json_number("l0", fit.l0);
        json_number("l1", fit.l1);
        json_number("explained", fit.explained);
        printf(", \"points\": [");
        for (int i = 0; i < probe->smooth.count; i++)
            printf("%s[%.9g, %.9g]", i ? ", " : "", probe->smooth.at[i].gradient, probe->smooth.at[i].smoothness);
        printf("]}");
    }
    if (probe->options->shift)
        json_shifts(probe);
    if (probe->options->bound)
        json_standards(probe);
    if (probe->sides[SIDE_CURVATURE])
        json_curvature(probe);
    if (probe->sides[SIDE_FISHER])
        json_fisher(probe);
    if (probe->sides[SIDE_LANDSCAPE])
        json_landscape(probe);
}

void print_probe_json(const struct probe *probe, const fault_list *faults)
{
    printf("{\"model\": ");
    json_string(phase_name(probe));
    printf(", \"step\": %" PRIu64 ", \"batches\": %" PRId64, probe->step, probe->batches);
    json_number("mean_loss", probe->mean_loss);
    json_number("loss_error", probe->loss_error);
    json_number("loss", probe->loss);
    json_number("loss_after", probe->after);
    printf(",\n  \"wrong\": [");
    for (int i = 0; i < faults->count; i++) {
        printf("%s\n    {\"line\": %d, \"text\": ", i ? "," : "", faults->at[i].line);
        json_string(faults->at[i].text);
        printf("}");
    }
    printf("],\n  \"equations\": [");
    for (int i = 0; i < probe->values.count; i++)
        json_probed(&probe->values.at[i], false, i ? "," : "");
    printf("],\n  \"parameters\": [");
    for (int i = 0; i < probe->parameters.count; i++)
        json_probed(&probe->parameters.at[i], true, i ? "," : "");
    printf("]");
    json_more(probe);
    printf("}");
}

/* ---- CSV ---- */

static void csv_number(bool meant, double value)
{
    if (meant && !isnan(value))
        printf(",%.9g", value);
    else
        printf(",");
}

void print_probe_csv(const struct probe *probe, bool heading)
{
    if (heading)
        puts("model,kind,name,line,depth,mean,deviation,norm,zeros,dead,saturated,gradient_norm,update");
    for (int i = 0; i < probe->values.count + probe->parameters.count; i++) {
        bool parameter = i >= probe->values.count;
        const struct probed *v = parameter ? &probe->parameters.at[i - probe->values.count] : &probe->values.at[i];
        const struct measured *m = &v->before;

        print_csv_text(phase_name(probe));
        printf(",%s,", parameter ? "parameter" : "equation");
        print_csv_text(v->name);
        printf(",%d,", v->line);
        if (!parameter)
            printf("%d", v->depth);
        csv_number(true, m->mean);
        csv_number(true, m->deviation);
        csv_number(true, m->norm);
        csv_number(true, m->zeros);
        csv_number(v->slope != NULL, m->dead);
        csv_number(v->slope != NULL, m->saturated);
        csv_number(v->gradient != NULL, m->gradient_norm);
        csv_number(parameter, v->update);
        printf("\n");
    }
}
