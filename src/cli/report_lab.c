/* report_lab.c: what a laboratory saw, as a section of a page: expects with their margins, each experiment's claims
   with their paired gaps, its arms as table, intervals or heat maps, and curves with bands of standard errors over
   seeds. */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines of verdicts ---- */

static void begin_verdict(struct text *out, struct span span, const char *word, const char *title, const char *text)
{
    const char *kind = !strcmp(word, "met") ? "good" : !strcmp(word, "FAILED") ? "bad" : "note";
    int line, column;

    source_position(span.source, span.begin, &line, &column);
    text_addf(out, "<li><span class=\"word %s\">%s</span><div class=\"say\">", kind, word);
    if (title) {
        text_add_escaped(out, title);
        text_add(out, "<br/>");
    }
    text_add(out, "<code>");
    text_add_escaped(out, text);
    text_addf(out, "</code> <span class=\"dim\">line %d", line);
}

static void add_finding(struct text *out, const struct finding *f)
{
    const struct expect_outcome *o = &f->outcome;

    begin_verdict(out, f->expectation->span, finding_word(f), f->expectation->title, f->expectation->text);
    if (f->looked) {
        text_addf(out, "; %" PRId64 " element%s", o->elements, o->elements == 1 ? "" : "s");
        if (!o->holds)
            text_addf(out, ", %" PRId64 " of them fail", o->failed);
        text_add(out, o->holds ? ", nearest" : ", worst");
        if (*f->place) {
            text_add(out, " at ");
            text_add_escaped(out, f->place);
        }
        text_add(out, "</span><br/>");
        text_add_digits(out, o->left, 6);
        text_addf(out, " %s ",
                  o->op == '<'   ? "&lt;"
                  : o->op == 'l' ? "&lt;="
                  : o->op == '>' ? "&gt;"
                  : o->op == 'g' ? "&gt;="
                                 : operator_text(o->op));
        text_add_digits(out, o->right, 6);
        text_add(out, ": margin <b>");
        text_add_digits(out, o->miss == 0 ? 0 : -o->miss, 4);
        text_add(out, "</b>");
    } else {
        text_add(out, "</span>");
    }
    text_add(out, "</div></li>\n");
}

static void add_claim(struct text *out, const struct trial *trial, int number)
{
    const struct claim *claim = &trial->experiment->claims.at[number];
    const struct verdict *v = trial->done ? &trial->verdicts[number] : NULL;
    struct text compared = {0};

    begin_verdict(out, claim->span, verdict_word(claim, trial, v), claim->title, claim->text);
    if (v && *v->place) {
        text_add(out, "; ");
        text_add(out, v->cases > 1 ? "worst of " : "");
        if (v->cases > 1)
            text_addf(out, "%d, ", v->cases);
        text_add_escaped(out, v->place);
        if (v->cases > 1)
            text_addf(out, "; %d hold", v->cases - v->failed);
    }
    text_add(out, "</span>");
    if (v) {
        text_add_digits(&compared, v->left, 5);
        text_addf(&compared, " %s ", operator_text(v->op));
        text_add_digits(&compared, v->right, 5);
        text_add(out, "<br/>");
        text_add_escaped(out, compared.data);
        text_add(out, claim->expect ? ": margin <b>" : ": gap <b>");
        text_add_digits(out, v->gap, 4);
        text_add(out, "</b>");
        if (!claim->expect && !v->alone) {
            text_add(out, "\xC2\xA0\xC2\xB1\xC2\xA0");
            text_add_digits(out, v->error, 2);
        }
        text_add(out, v->undefined                 ? ", which is no finite difference"
                      : !claim->expect && v->alone ? "; one seed has no standard error"
                                                   : "");
        text_add(out, "</div>");
        if (!claim->expect && !v->alone && !v->undefined)
            svg_gap(out, v->gap, 2 * v->error);
        text_add(out, "</li>\n");
    } else {
        text_add(out, "</div></li>\n");
    }
    text_free(&compared);
}

/* ---- arms ---- */

static int runs_there(const struct trial *trial, int arm)
{
    int count = 0;

    for (int s = 0; s < trial->seeds; s++)
        count += !trial->there || trial->there[arm * trial->seeds + s];
    return count;
}

static void add_table(struct text *out, const struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int chosen[MOST_VARIED];

    text_add(out, "<div class=\"wide\"><table>\n<tr>");
    for (int i = 0; i < e->settings.count; i++) {
        text_add(out, "<th class=\"left\">");
        text_add_escaped(out, e->settings.at[i].name);
        text_add(out, "</th>");
    }
    if (trial->there)
        text_add(out, "<th>runs</th>");
    for (int r = 0; r < e->records.count; r++) {
        text_add(out, "<th>");
        text_add_escaped(out, e->records.at[r].name);
        text_add(out, trial->seeds > 1 ? "</th><th>\xC2\xB1</th>" : "</th>");
    }
    text_add(out, "</tr>\n");
    for (int arm = 0; arm < trial->arms; arm++) {
        arm_choice(e, arm, chosen);
        text_add(out, "<tr>");
        for (int i = 0; i < e->settings.count; i++) {
            text_add(out, "<td class=\"left\">");
            text_add_escaped(out, e->settings.at[i].values.at[chosen[i]]);
            text_add(out, "</td>");
        }
        if (trial->there)
            text_addf(out, "<td>%d</td>", runs_there(trial, arm));
        for (int r = 0; r < e->records.count; r++) {
            double mean, error;

            summarise(trial, arm, r, &mean, &error);
            page_cell(out, mean);
            if (trial->seeds > 1) {
                text_add(out, "<td>");
                text_add_digits(out, error, 2);
                text_add(out, "</td>");
            }
        }
        text_add(out, "</tr>\n");
    }
    text_add(out, "</table></div>\n");
}

static bool varies(const struct trial *trial, int record)
{
    double first, mean, error;

    summarise(trial, 0, record, &first, &error);
    for (int arm = 0; arm < trial->arms; arm++) {
        summarise(trial, arm, record, &mean, &error);
        if (mean != first || error > 0)
            return true;
    }
    return false;
}

/* "0.5, 2": the values of settings from `first` on. */
static const char *values_text(struct arena *arena, const struct experiment *e, const int *chosen, int first, int end)
{
    const char *text = "";

    for (int i = first; i < end; i++)
        text = arena_printf(arena, "%s%s%s", text, i > first ? ", " : "", e->settings.at[i].values.at[chosen[i]]);
    return text;
}

static const char *names_text(struct arena *arena, const struct experiment *e)
{
    const char *text = "";

    for (int i = 0; i < e->settings.count; i++)
        text = arena_printf(arena, "%s%s%s", text, i ? ", " : "", e->settings.at[i].name);
    return text;
}

static void add_intervals(struct text *out, struct arena *arena, const struct trial *trial, int record)
{
    const struct experiment *e = trial->experiment;
    struct svg_interval *rows = NEW_ARRAY(arena, struct svg_interval, trial->arms);
    int chosen[MOST_VARIED];

    for (int arm = 0; arm < trial->arms; arm++) {
        double error;

        arm_choice(e, arm, chosen);
        summarise(trial, arm, record, &rows[arm].mean, &error);
        rows[arm].label = values_text(arena, e, chosen, 0, e->settings.count);
        rows[arm].reach = 2 * error;
    }
    svg_intervals(out, arena_printf(arena, "%s by %s", e->records.at[record].name, names_text(arena, e)),
                  trial->seeds > 1 ? "bars: two standard errors" : "", rows, trial->arms);
}

/* One for each combination of the settings before the last two. */
static void add_heat_maps(struct text *out, struct arena *arena, const struct trial *trial, int record)
{
    const struct experiment *e = trial->experiment;
    int count = e->settings.count, chosen[MOST_VARIED];
    const struct varied *rows = &e->settings.at[count - 2], *columns = &e->settings.at[count - 1];
    int size = rows->values.count * columns->values.count;
    double *values = NEW_ARRAY(arena, double, trial->arms), *errors = NEW_ARRAY(arena, double, trial->arms),
           low = INFINITY, high = -INFINITY;

    for (int arm = 0; arm < trial->arms; arm++) {
        summarise(trial, arm, record, &values[arm], &errors[arm]);
        if (isfinite(values[arm])) {
            low = fmin(low, values[arm]);
            high = fmax(high, values[arm]);
        }
    }
    for (int map = 0; map < trial->arms / size; map++) {
        const char *title = e->records.at[record].name;

        arm_choice(e, map * size, chosen);
        for (int i = 0; i < count - 2; i++)
            title = arena_printf(arena, "%s, %s = %s", title, e->settings.at[i].name,
                                 e->settings.at[i].values.at[chosen[i]]);
        svg_heat(out, &(struct svg_heat){.title = title,
                                         .row_name = rows->name,
                                         .column_name = columns->name,
                                         .row_labels = rows->values.at,
                                         .column_labels = columns->values.at,
                                         .rows = rows->values.count,
                                         .columns = columns->values.count,
                                         .values = values + map * size,
                                         .errors = trial->seeds > 1 ? errors + map * size : NULL,
                                         .low = low,
                                         .high = high});
    }
}

static void add_arms(struct text *out, struct arena *arena, const struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int count = e->settings.count, most = 24;
    bool map = count >= 2 && e->settings.at[count - 1].values.count > 1 && e->settings.at[count - 2].values.count > 1 &&
               e->settings.at[count - 1].values.count <= 24;

    text_add(out, "<div class=\"figures\">\n");
    for (int r = 0; r < e->records.count && trial->arms > 1; r++) {
        if (!varies(trial, r))
            continue;
        if (map)
            add_heat_maps(out, arena, trial, r);
        if (trial->arms <= (map ? most / 2 : most))
            add_intervals(out, arena, trial, r);
    }
    text_add(out, "</div>\n");
}

/* ---- curves ---- */

static const struct kept_series *find_series(const struct trial *trial, int run, const struct kept_series *like)
{
    for (int i = 0; i < trial->series[run].count; i++) {
        const struct kept_series *s = &trial->series[run].at[i];

        if (s->block == like->block && !s->split == !like->split && !strcmp(s->name, like->name))
            return s;
    }
    return NULL;
}

/* Mean over the seeds that have it, and one standard error to both sides, up to where the first of them ended. */
static struct svg_curve curve_of(struct arena *arena, const struct trial *trial, int arm,
                                 const struct kept_series *like)
{
    const struct kept_series **of = NEW_ARRAY(arena, const struct kept_series *, trial->seeds);
    struct svg_curve curve = {.count = 0};
    double *x, *y, *low, *high;
    int count = 1 << 30, runs = 0;

    for (int s = 0; s < trial->seeds; s++) {
        const struct kept_series *found = find_series(trial, arm * trial->seeds + s, like);

        if (!found && trial->there)
            continue;
        of[runs++] = found;
        count = !found ? 0 : found->value.count < count ? found->value.count : count;
    }
    count = runs ? count : 0;
    x = NEW_ARRAY(arena, double, count + 1);
    y = NEW_ARRAY(arena, double, count + 1);
    low = NEW_ARRAY(arena, double, count + 1);
    high = NEW_ARRAY(arena, double, count + 1);
    for (int i = 0; i < count; i++) {
        double squares = 0, error;

        for (int s = 0; s < runs; s++) {
            x[i] += of[s]->step.at[i] / runs;
            y[i] += of[s]->value.at[i] / runs;
        }
        for (int s = 0; s < runs; s++)
            squares += (of[s]->value.at[i] - y[i]) * (of[s]->value.at[i] - y[i]);
        error = runs > 1 ? sqrt(squares / (runs - 1) / runs) : NAN;
        low[i] = y[i] - error;
        high[i] = y[i] + error;
    }
    curve.count = count;
    curve.x = x;
    curve.y = y;
    curve.low = runs > 1 ? low : NULL;
    curve.high = high;
    return curve;
}

/* So many arms a figure as are told apart, all figures with the same scale. */
static void add_series(struct text *out, struct arena *arena, const struct trial *trial, const struct kept_series *like,
                       bool models)
{
    const struct experiment *e = trial->experiment;
    struct svg_curve *curves = NEW_ARRAY(arena, struct svg_curve, trial->arms);
    int columns = e->settings.count ? e->settings.at[e->settings.count - 1].values.count : 1, chosen[MOST_VARIED];
    int each = columns <= SVG_STYLES && columns > 1 ? columns * (SVG_STYLES / columns) : SVG_STYLES, longest = 0;
    double low = INFINITY, high = -INFINITY;
    const char *title = arena_printf(arena, "%s%s%s of %s", models ? like->model : "", models ? "." : "", like->name,
                                     like->split ? like->split : "train");

    for (int arm = 0; arm < trial->arms; arm++) {
        struct svg_curve *c = &curves[arm];

        *c = curve_of(arena, trial, arm, like);
        arm_choice(e, arm, chosen);
        c->label = e->settings.count ? values_text(arena, e, chosen, 0, e->settings.count) : "all";
        c->style = arm % each;
        longest = c->count > longest ? c->count : longest;
        for (int i = 0; i < c->count; i++) {
            bool band = c->low && isfinite(c->low[i]) && (c->low[i] > 0 || c->y[i] <= 0);

            low = isfinite(c->y[i]) ? fmin(low, band ? c->low[i] : c->y[i]) : low;
            high = isfinite(c->y[i]) ? fmax(high, band ? c->high[i] : c->y[i]) : high;
        }
    }
    if (longest < 2 || !(low < high))
        return;
    if (e->settings.count)
        title = arena_printf(arena, "%s, by %s", title, names_text(arena, e));
    for (int arm = 0; arm < trial->arms; arm += each)
        svg_curves(out, &(struct svg_plot){.title = title,
                                           .x_label = "step",
                                           .note = trial->seeds > 1 ? "band: standard error" : "",
                                           .curves = curves + arm,
                                           .count = arm + each < trial->arms ? each : trial->arms - arm,
                                           .whole = true,
                                           .low = low,
                                           .high = high});
}

static bool is_known(const struct trial *trial, int run, int number)
{
    const struct kept_series *s = &trial->series[run].at[number];

    for (int before = 0; before < run; before++)
        if (find_series(trial, before, s))
            return true;
    return false;
}

static void add_curves(struct text *out, struct arena *arena, const struct trial *trial)
{
    int models = 0, runs = trial->arms * trial->seeds;

    for (int run = 0; run < runs; run++)
        for (int i = 0; i < trial->series[run].count; i++)
            models = trial->series[run].at[i].block > models ? trial->series[run].at[i].block : models;
    for (int steps = 0; steps < 2; steps++) {
        struct text figures = {0};

        for (int run = 0; run < runs; run++)
            for (int i = 0; i < trial->series[run].count; i++)
                if ((trial->series[run].at[i].split == NULL) == steps && !is_known(trial, run, i))
                    add_series(&figures, arena, trial, &trial->series[run].at[i], models > 0);
        if (figures.size) {
            bool folded = steps || trial->arms > 6 * SVG_STYLES;

            if (folded)
                text_addf(out, "<details><summary>Curves of the %s</summary>\n", steps ? "steps" : "reports");
            text_add(out, "<div class=\"figures\">\n");
            text_add_slice(out, figures.data, figures.size);
            text_add(out, folded ? "</div></details>\n" : "</div>\n");
        }
        text_free(&figures);
    }
}

/* ---- the section ---- */

static void add_trial(struct text *out, struct arena *arena, const struct trial *trial)
{
    const struct experiment *e = trial->experiment;

    page_heading(out, 3, arena_printf(arena, "Experiment %s", e->name));
    text_addf(out, "<p class=\"dim\">%d arm%s, seed%s", trial->arms, trial->arms == 1 ? "" : "s",
              trial->seeds == 1 ? "" : "s");
    for (int s = 0; s < trial->seeds && s < 20; s++)
        text_addf(out, " %" PRIu64, trial->seed[s]);
    text_add(out, trial->seeds > 20 ? " \xE2\x80\xA6" : "");
    if (trial->skipped)
        text_add(out, "; skipped");
    if (trial->missing)
        text_addf(out, "; %d of %d runs are kept, rnetc lab makes the others", trial->kept, trial->arms * trial->seeds);
    text_add(out, "</p>\n");
    if (e->claims.count) {
        text_add(out, "<ul class=\"claims\">\n");
        for (int i = 0; i < e->claims.count; i++)
            add_claim(out, trial, i);
        text_add(out, "</ul>\n");
    }
    if (trial->done)
        report_trial(out, arena, trial);
}

void report_trial(struct text *out, struct arena *arena, const struct trial *trial)
{
    if (trial->experiment->records.count) {
        add_table(out, trial);
        add_arms(out, arena, trial);
    }
    add_curves(out, arena, trial);
}

void report_lab(struct text *out, const struct lab *lab, bool alone)
{
    struct arena *arena = arena_new();
    const struct source *source = source_read(arena, lab->path);

    page_heading(out, alone ? 1 : 2, *lab->title ? arena_printf(arena, "%s: %s", lab->name, lab->title) : lab->name);
    text_addf(out, "<p>%d of %d met", lab->met, lab->total);
    if (lab->unmet)
        text_addf(out, ", %d known not to come out", lab->unmet);
    if (lab->skipped)
        text_addf(out, ", %d skipped", lab->skipped);
    text_add(out, "</p>\n");
    if (lab->status == RNET_INTERRUPTED)
        text_add(out, "<p class=\"bad\">Interrupted; rnetc lab goes on.</p>\n");
    else if (lab->status != RNET_DONE && lab->status != RNET_FAILED)
        text_addf(out, "<p class=\"bad\">Ended with an error, exit status %d.</p>\n", lab->status);
    text_add(out, "<dl>\n");
    page_fact(out, "program", lab->path);
    page_fact(out, "seed", arena_printf(arena, "%" PRIu64, lab->seed));
    for (int i = 0; i < lab->options->settings.count; i++)
        page_fact(out, arena_printf(arena, "let %s", lab->options->settings.at[i].name),
                  lab->options->settings.at[i].value);
    page_fact(out, "rnetc", RNET_VERSION);
    page_fact(out, "hash of the source", file_hash(arena, lab->path));
    text_add(out, "</dl>\n");
    if (lab->findings.count) {
        page_heading(out, 3, "Expectations");
        text_add(out, "<ul class=\"claims\">\n");
        for (int i = 0; i < lab->findings.count; i++)
            add_finding(out, &lab->findings.at[i]);
        text_add(out, "</ul>\n");
    }
    for (int i = 0; i < lab->trials.count; i++)
        if (lab->trials.at[i].arms)
            add_trial(out, arena, &lab->trials.at[i]);
    text_add(out, "<details><summary>Program</summary>\n");
    if (source)
        page_source(out, source->text);
    text_add(out, "</details>\n");
    arena_free(arena);
}
