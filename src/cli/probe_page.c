/* probe_page.c: what a probe saw, as a section of a page: what is wrong, figures of what was asked for, tables. */
#include "probe.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report.h"

static const char *named_place(const struct probe *probe, const char *file, int line)
{
    return line ? arena_printf(probe->arena, "%s:%d", file ? file : probe->options->files.at[0], line) : probe->options->files.at[0];
}

static void add_verdict(struct text *out, const struct probe *probe, const fault_list *faults)
{
    text_add(out, "<ul class=\"claims\">\n");
    for (int i = 0; i < faults->count; i++) {
        text_add(out, "<li><span class=\"word bad\">wrong</span><span class=\"say\"><code>");
        text_add_escaped(out, named_place(probe, faults->at[i].file, faults->at[i].line));
        text_add(out, "</code> ");
        text_add_escaped(out, faults->at[i].text);
        text_add(out, "</span></li>\n");
    }
    if (!faults->count)
        text_add(out, "<li><span class=\"word good\">healthy</span><span class=\"say\">numbers are finite, a gradient reaches each parameter, nothing is "
                      "wrong</span></li>\n");
    text_add(out, "</ul>\n");
}

static void add_facts(struct text *out, const struct probe *probe)
{
    struct arena *arena = probe->arena;

    text_add(out, "<dl>\n");
    page_fact(out, "step", arena_printf(arena, "%" PRIu64, probe->step));
    page_fact(out, "samples", probe->training->data ? arena_printf(arena, "%" PRId64 " of %s.%s", probe->training->batch, probe->phase->split.data,
                                                                   probe->phase->split.name)
                                                    : NULL);
    page_fact(out, "precision", probe->training->precision == IR_DOUBLE ? "f64" : "f32");
    page_fact(out, "seed", arena_printf(arena, "%" PRIu64, probe->training->seed));
    page_fact(out, "parameters from", probe->options->checkpoint ? probe->options->checkpoint : "the program");
    page_fact(out, "loss before the step", arena_printf(arena, "%.5g", probe->loss));
    page_fact(out, "after it, same samples", arena_printf(arena, "%.5g", probe->after));
    if (probe->batches > 1)
        page_fact(out, arena_printf(arena, "loss of %" PRId64 " batches", probe->batches),
                  arena_printf(arena, "%.5g \xC2\xB1 %.1g", probe->mean_loss, probe->loss_error));
    text_add(out, "</dl>\n");
}

/* ---- figures ---- */

static void add_chain(struct text *out, const struct probe *probe)
{
    const struct probed **chain = NEW_ARRAY(probe->arena, const struct probed *, probe->depth + 1);
    double *gradients = NEW_ARRAY(probe->arena, double, probe->depth + 1), *sizes = NEW_ARRAY(probe->arena, double, probe->depth + 1);
    double *depths = NEW_ARRAY(probe->arena, double, probe->depth + 1);
    int count = probe_chain(probe, chain, gradients, sizes);
    struct svg_curve curve = {.count = count, .x = depths};

    if (count < 3)
        return;
    for (int i = 0; i < count; i++)
        depths[i] = chain[i]->depth;
    curve.label = "gradient";
    curve.y = gradients;
    svg_curves(out, &(struct svg_plot){.title = "norm of the loss's derivative by the values", .x_label = "layer", .curves = &curve, .count = 1, .whole = true});
    curve.label = "values";
    curve.y = sizes;
    curve.style = 1;
    svg_curves(out, &(struct svg_plot){.title = "size of the values, root of their mean square", .x_label = "layer", .curves = &curve, .count = 1, .whole = true});
}

/* Of each recurrence its values' gradients along the time. */
static void add_times(struct text *out, const struct probe *probe)
{
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *first = &probe->values.at[i];
        struct svg_curve curves[SVG_STYLES];
        int count = 0;
        bool before = first->time < 0 || !first->before.gradient_by_step;

        for (int k = 0; k < i; k++)
            before |= probe->values.at[k].tensor->recurrence == first->tensor->recurrence && probe->values.at[k].before.gradient_by_step;
        if (before)
            continue;
        for (int k = i; k < probe->values.count && count < SVG_STYLES; k++) {
            const struct probed *v = &probe->values.at[k];
            int64_t steps = v->time >= 0 ? v->tensor->axes[v->time]->extent : 0;
            double *x = NEW_ARRAY(probe->arena, double, steps + 1);
            const char *point = strrchr(v->name, '.');

            if (v->tensor->recurrence != first->tensor->recurrence || !v->before.gradient_by_step)
                continue;
            for (int64_t s = 0; s < steps; s++)
                x[s] = (double)s;
            curves[count] = (struct svg_curve){.label = point ? point + 1 : v->name, .style = count, .count = (int)steps, .x = x, .y = v->before.gradient_by_step};
            count++;
        }
        svg_curves(out, &(struct svg_plot){.title = arena_printf(probe->arena, "norm of the gradient along %s, line %d", first->tensor->axes[first->time]->name,
                                                                 first->line),
                                           .x_label = first->tensor->axes[first->time]->name,
                                           .curves = curves,
                                           .count = count,
                                           .whole = true});
    }
}

static void add_jacobian(struct text *out, const struct probe *probe)
{
    const struct jacobian *j = &probe->jacobian;
    double *x = NEW_ARRAY(probe->arena, double, j->count + 1), *mean = NEW_ARRAY(probe->arena, double, j->count + 1);
    double *low = NEW_ARRAY(probe->arena, double, j->count + 1), *high = NEW_ARRAY(probe->arena, double, j->count + 1);
    struct svg_curve curve = {.label = "mean", .count = j->count, .x = x, .y = mean, .low = low, .high = high};

    for (int k = 0; k < j->count; k++) {
        x[k] = k + 1;
        low[k] = INFINITY;
        for (int s = 0; s < j->samples; s++) {
            double value = j->singular[s * j->count + k];

            mean[k] += value / j->samples;
            low[k] = fmin(low[k], value);
            high[k] = fmax(high[k], value);
        }
    }
    svg_curves(out, &(struct svg_plot){.title = arena_printf(probe->arena, "singular values of the derivative of %s by %s", probe->values.at[probe->answer].name, j->name),
                                       .x_label = "number",
                                       .note = arena_printf(probe->arena, "%d samples; band: least to greatest", j->samples),
                                       .curves = &curve,
                                       .count = 1,
                                       .whole = true});
}

static void add_smoothness(struct text *out, const struct probe *probe)
{
    int count = probe->smooth.count;
    double *x = NEW_ARRAY(probe->arena, double, count + 1), *y = NEW_ARRAY(probe->arena, double, count + 1);
    double *ends = NEW_ARRAY(probe->arena, double, 2), *line = NEW_ARRAY(probe->arena, double, 2);
    struct svg_curve curves[] = {{.label = "step", .count = count, .x = x, .y = y, .dots = true}, {.label = "L0 + L1 |g|", .style = 1, .count = 2, .x = ends, .y = line}};
    struct smooth_fit fit = fit_smoothness(probe);

    if (count < 2)
        return;
    ends[0] = INFINITY;
    for (int i = 0; i < count; i++) {
        x[i] = probe->smooth.at[i].gradient;
        y[i] = probe->smooth.at[i].smoothness;
        ends[0] = fmin(ends[0], x[i]);
        ends[1] = fmax(ends[1], x[i]);
    }
    for (int i = 0; i < 2; i++)
        line[i] = fit.l0 + fit.l1 * ends[i];
    svg_curves(out, &(struct svg_plot){.title = "local smoothness along the steps",
                                       .x_label = "norm of the gradient",
                                       .note = fit.fits ? arena_printf(probe->arena, "L0 = %.3g, L1 = %.3g", fit.l0, fit.l1) : "the line explains too little to clip by",
                                       .curves = curves,
                                       .count = fit.fits ? 2 : 1});
}

static void add_eigenvalues(struct text *out, const struct probe *probe)
{
    const struct fisher *f = &probe->fisher;
    double *x = NEW_ARRAY(probe->arena, double, f->elements + 1), *y = NEW_ARRAY(probe->arena, double, f->elements + 1);
    struct svg_curve curve = {.label = "eigenvalue", .x = x, .y = y};

    for (int64_t i = 0; i < f->elements && f->eigenvalues[i] > 1e-10 * f->eigenvalues[0]; i++, curve.count++) {
        x[i] = (double)(i + 1);
        y[i] = f->eigenvalues[i];
    }
    svg_curves(out, &(struct svg_plot){.title = arena_printf(probe->arena, "%s, block of %s", f->labels ? "Gauss and Newton's matrix" : "Fisher matrix",
                                                             probe->parameters.at[f->parameter].name),
                                       .x_label = "number",
                                       .note = arena_printf(probe->arena, "%d of %" PRId64 " eigenvalues are not 0", curve.count, f->elements),
                                       .curves = &curve,
                                       .count = 1,
                                       .whole = true});
}

static void add_landscape(struct text *out, const struct probe *probe)
{
    const struct landscape *l = &probe->landscape;

    svg_surface(out, &(struct svg_surface){.title = "loss on a plane through the parameters",
                                           .note = arena_printf(probe->arena, "in lengths of the filters; centre %.4g, roughness %.2g", l->loss[l->points * l->points / 2],
                                                                l->rough),
                                           .values = l->loss,
                                           .rows = l->points,
                                           .columns = l->points,
                                           .reach = l->reach});
}

/* ---- tables ---- */

static void begin_table(struct text *out, const char *const *names, int count)
{
    text_add(out, "<div class=\"wide\"><table>\n<tr>");
    for (int i = 0; i < count; i++)
        text_addf(out, "<th%s>%s</th>", i ? "" : " class=\"left\"", names[i]);
    text_add(out, "</tr>\n");
}

static void end_table(struct text *out)
{
    text_add(out, "</table></div>\n");
}

static void begin_row(struct text *out, const char *name, int line)
{
    text_add(out, "<tr><td class=\"left\">");
    text_add_escaped(out, name);
    text_addf(out, "</td><td>%d</td>", line);
}

static void add_cell(struct text *out, bool meant, double value)
{
    text_add(out, "<td>");
    if (meant && !isnan(value))
        text_add_digits(out, value, 3);
    text_add(out, "</td>");
}

static void add_percent(struct text *out, bool meant, double value)
{
    text_addf(out, meant ? "<td>%.3g %%</td>" : "<td></td>", 100 * value);
}

static void add_values(struct text *out, const struct probe *probe)
{
    static const char *const names[] = {"equation", "line", "layer", "mean", "deviation", "zeros", "dead", "saturated", "correlation", "gradient"};

    begin_table(out, names, sizeof names / sizeof *names);
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];
        const struct measured *m = &v->before;

        begin_row(out, v->name, v->line);
        text_addf(out, "<td>%d</td>", v->depth);
        add_cell(out, true, m->mean);
        add_cell(out, true, m->deviation);
        add_percent(out, true, m->zeros);
        add_percent(out, v->slope != NULL, m->dead);
        add_percent(out, v->slope != NULL, m->saturated);
        add_cell(out, true, m->correlation);
        add_cell(out, v->gradient != NULL, m->gradient_norm);
        text_add(out, "</tr>\n");
    }
    end_table(out);
}

static void add_parameters(struct text *out, const struct probe *probe)
{
    static const char *const names[] = {"parameter", "line", "elements", "mean", "deviation", "gradient", "update / norm", "trace of H"};
    bool traces = probe->curvature.trace != NULL;

    begin_table(out, names, traces ? 8 : 7);
    for (int i = 0; i < probe->parameters.count; i++) {
        const struct probed *v = &probe->parameters.at[i];

        begin_row(out, v->name, v->line);
        text_addf(out, "<td>%" PRId64 "</td>", ir_elements(v->tensor));
        add_cell(out, true, v->before.mean);
        add_cell(out, true, v->before.deviation);
        add_cell(out, v->gradient != NULL, v->before.gradient_norm);
        add_cell(out, true, v->update);
        if (traces && is_trained(probe, i))
            text_addf(out, "<td>%.3g \xC2\xB1 %.1g</td>", probe->curvature.trace[i], probe->curvature.trace_error[i]);
        else if (traces)
            text_add(out, "<td></td>");
        text_add(out, "</tr>\n");
    }
    end_table(out);
}

static void add_shifts(struct text *out, const struct probe *probe)
{
    static const char *const names[] = {"parameter", "line", "layer", "|g|", "|g'|", "|g' − g|", "of |g|", "cosine"};

    page_heading(out, 3, "Covariate shift");
    text_add(out, "<p class=\"dim\">The gradient g of each parameter, and g' when the parameters of the layers before it have made the step.</p>\n");
    begin_table(out, names, sizeof names / sizeof *names);
    for (int i = 0; i < probe->shifts.count; i++) {
        const struct shift *s = &probe->shifts.at[i];

        begin_row(out, probe->parameters.at[s->parameter].name, probe->parameters.at[s->parameter].line);
        text_addf(out, "<td>%d</td>", s->layer);
        add_cell(out, true, s->gradient);
        add_cell(out, true, s->moved);
        add_cell(out, true, s->change);
        add_cell(out, s->gradient > 0, s->change / s->gradient);
        text_addf(out, "<td>%.4f</td></tr>\n", s->cosine);
    }
    end_table(out);
}

static void add_standards(struct text *out, const struct probe *probe)
{
    static const char *const names[] = {"equation", "line", "over", "m", "|h|", "mean", "along", "|dx|", "off by"};

    page_heading(out, 3, "What standardising takes from the gradient");
    text_add(out, "<p class=\"dim\">|dx|² = |h|² − ⟨1, h⟩² / m − ⟨n, h⟩² / m, where h is the gradient with mean "
                  "and deviation held, n what is standardised.</p>\n");
    begin_table(out, names, sizeof names / sizeof *names);
    for (int k = 0; k < probe->standards.count; k++) {
        const struct standard *s = &probe->standards.at[k];

        if (!is_standardised(s))
            continue;
        begin_row(out, s->name, s->line);
        text_add(out, "<td>");
        text_add_escaped(out, standard_over(probe, s));
        text_addf(out, "</td><td>%" PRId64 "</td>", s->elements);
        add_cell(out, true, sqrt(s->straight));
        add_percent(out, s->straight > 0, s->level / s->straight);
        add_percent(out, s->straight > 0, s->along / s->straight);
        add_cell(out, true, sqrt(s->left));
        add_cell(out, true, s->worst);
        text_add(out, "</tr>\n");
    }
    end_table(out);
}

static void add_curvature(struct text *out, const struct probe *probe)
{
    const struct curvature *c = &probe->curvature;
    struct arena *arena = probe->arena;

    page_heading(out, 3, "Curvature");
    text_add(out, "<dl>\n");
    page_fact(out, "greatest eigenvalue", arena_printf(arena, "%.4g \xC2\xB1 %.1g", c->greatest, c->greatest_error));
    page_fact(out, "least", arena_printf(arena, "%.4g \xC2\xB1 %.1g", c->least, c->least_error));
    page_fact(out, "along the gradient", arena_printf(arena, "%.4g", c->along_gradient));
    page_fact(out, "along the step", arena_printf(arena, "%.4g", c->along_step));
    if (c->greatest > 0)
        page_fact(out, "descent while the rate is below", arena_printf(arena, "%.3g", 2 / c->greatest));
    page_fact(out, "what the step should change", arena_printf(arena, "%.4g + %.4g", c->first, c->second));
    page_fact(out, "what it changes", arena_printf(arena, "%.4g", probe->after - probe->loss));
    page_fact(out, "Hessian-vector products", arena_printf(arena, "%d", c->products));
    text_add(out, "</dl>\n");
}

static void add_fisher(struct text *out, const struct probe *probe)
{
    const struct fisher *f = &probe->fisher;
    double trace = 0;

    for (int64_t i = 0; i < f->elements; i++)
        trace += f->matrix[i * f->elements + i];
    page_heading(out, 3, f->labels ? "Gauss and Newton's matrix" : "Fisher matrix");
    text_add(out, "<dl>\n");
    page_fact(out, "block", probe->parameters.at[f->parameter].name);
    page_fact(out, "trace", arena_printf(probe->arena, "%.4g", trace));
    page_fact(out, f->labels ? "the step moves the answer" : "KL of the step, a sample", arena_printf(probe->arena, "%.4g", f->divergence));
    page_fact(out, "half its form", arena_printf(probe->arena, "%.4g", f->form));
    text_add(out, "</dl>\n");
}

/* The noise, which is one line. */
static void add_noise(struct text *out, const struct probe *probe)
{
    const struct noise_cost *cost = &probe->cost;

    page_heading(out, 3, "Noise");
    text_addf(out, "<p>adds %.4g \xC2\xB1 %.1g to the loss, which is %.4g with the noise at its mean; to second order %.4g</p>\n", cost->added, cost->error,
              cost->without, cost->expected);
}

void probe_page(struct text *out, const struct probe *probe, const fault_list *faults)
{
    const struct options *options = probe->options;

    page_heading(out, 2, probe->phase->name ? arena_printf(probe->arena, "%s.%s", probe->training->model, probe->phase->name) : probe->training->model);
    add_verdict(out, probe, faults);
    add_facts(out, probe);
    text_add(out, "<div class=\"figures\">\n");
    add_chain(out, probe);
    add_times(out, probe);
    if (probe->sides[SIDE_LANDSCAPE])
        add_landscape(out, probe);
    if (probe->jacobian.of)
        add_jacobian(out, probe);
    if (options->smoothness)
        add_smoothness(out, probe);
    if (probe->sides[SIDE_FISHER])
        add_eigenvalues(out, probe);
    text_add(out, "</div>\n");
    if (probe->sides[SIDE_CURVATURE])
        add_curvature(out, probe);
    if (probe->sides[SIDE_FISHER])
        add_fisher(out, probe);
    if (options->noise && probe->cost.draws)
        add_noise(out, probe);
    page_heading(out, 3, "Equations");
    add_values(out, probe);
    page_heading(out, 3, "Parameters");
    add_parameters(out, probe);
    if (options->shift && probe->shifts.count)
        add_shifts(out, probe);
    if (options->bound)
        add_standards(out, probe);
}
