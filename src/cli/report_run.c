/* report_run.c: the page of a run: what it was, its last numbers, each number over the steps, probes, the program. */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_POINTS = 120 };

/* ---- series ---- */

static const char *curve_label(struct arena *arena, const struct run_series *s)
{
    if (s->split) {
        const char *dot = strchr(s->split, '.');

        return dot ? dot + 1 : s->split;
    }
    return s->phase ? s->phase : arena_string(arena, "train");
}

static bool is_constant(const struct run_series *s)
{
    for (int i = 1; i < s->value.count; i++)
        if (!(s->value.at[i] == s->value.at[0]))
            return false;
    return true;
}

static bool in_epochs(const struct run_block *block)
{
    double last = 0;

    for (int i = 0; i < block->series.count; i++)
        if (block->series.at[i]->step.count)
            last = fmax(last, block->series.at[i]->step.at[block->series.at[i]->step.count - 1]);
    return block->items > 0 && last * (double)block->batch >= (double)block->items;
}

/* Means of so many neighbours that a screen has room for the rest; the band is from the lowest to the highest of each.
 */
static struct svg_curve curve_of(struct arena *arena, const struct run_block *block, const struct run_series *s,
                                 const char *label, double factor, int *together)
{
    int each = (s->value.count + MOST_POINTS - 1) / MOST_POINTS, count = each ? (s->value.count + each - 1) / each : 0;
    double *x = NEW_ARRAY(arena, double, count + 1), *y = NEW_ARRAY(arena, double, count + 1),
           *low = NEW_ARRAY(arena, double, count + 1), *high = NEW_ARRAY(arena, double, count + 1),
           unit = in_epochs(block) ? (double)block->batch / (double)block->items : 1;

    for (int i = 0; i < count; i++) {
        int64_t all = s->value.count;
        int finite = 0, begin = (int)(i * all / count), end = (int)((i + 1) * all / count);

        low[i] = INFINITY;
        high[i] = -INFINITY;
        for (int k = begin; k < end; k++) {
            double value = factor * s->value.at[k];

            x[i] += unit * s->step.at[k] / (end - begin);
            if (!isfinite(value))
                continue;
            finite++;
            y[i] += value;
            low[i] = fmin(low[i], value);
            high[i] = fmax(high[i], value);
        }
        y[i] = finite ? y[i] / finite : NAN;
    }
    if (each > *together)
        *together = each;
    return (struct svg_curve){
        .label = label, .count = count, .x = x, .y = y, .low = each > 1 ? low : NULL, .high = each > 1 ? high : NULL};
}

static int not_finite(const struct run_series *s)
{
    int count = 0;

    for (int i = 0; i < s->value.count; i++)
        count += !isfinite(s->value.at[i]);
    return count;
}

/* ---- curves ---- */

/* What a name is drawn under: both norms of a gradient together, and the rates of several optimizers. */
static const char *group_of(const char *name)
{
    if (!strncmp(name, "rate.", 5))
        return "rate";
    return strcmp(name, "clipped_norm") ? name : "gradient_norm";
}

static bool is_drawn(const struct run_block *block, const struct run_series *s)
{
    if (!strcmp(s->name, "clipped"))
        for (int i = 0; i < block->series.count; i++)
            if (!strcmp(block->series.at[i]->name, "clip_rate"))
                return false;
    return s->value.count > 0 && !s->watched;
}

static void add_group(struct text *out, struct arena *arena, const struct run_block *block, const char *group)
{
    struct svg_curve curves[SVG_STYLES];
    bool seconds = !strcmp(group, "seconds"), moves = false;
    const char *note = "";
    int count = 0, together = 1, lost = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < block->series.count; i++) {
            const struct run_series *s = block->series.at[i];
            const char *label = curve_label(arena, s);

            if (strcmp(group_of(s->name), group) || !is_drawn(block, s) || (s->split != NULL) != (pass == 1) ||
                count == SVG_STYLES)
                continue;
            if (!strcmp(group, "gradient_norm") && !s->phase)
                label = strcmp(s->name, group) ? "clipped" : "gradient";
            else if (!strncmp(s->name, "rate.", 5))
                label = s->phase ? arena_printf(arena, "%s %s", s->phase, s->name + 5) : s->name + 5;
            else if (strcmp(s->name, group))
                label = arena_printf(arena, "%s clipped", label);
            curves[count] = curve_of(arena, block, s, label, seconds ? 1e3 : 1, &together);
            curves[count].style = count;
            lost += not_finite(s);
            moves |= !is_constant(s);
            count++;
        }
    if (!count || !moves)
        return;
    if (together > 1)
        note = arena_printf(arena, "mean of about %d steps; band: lowest to highest", together);
    if (lost)
        note = arena_printf(arena, "%s%s%d not finite", note, *note ? "; " : "", lost);
    svg_curves(out, &(struct svg_plot){.title = seconds                       ? "time of a step, ms"
                                                : !strcmp(group, "clip_rate") ? "clip_rate (since the last report)"
                                                                              : group,
                                       .x_label = in_epochs(block) ? "epoch" : "step",
                                       .note = note,
                                       .curves = curves,
                                       .count = count,
                                       .whole = !in_epochs(block)});
}

/* First the losses and what is reported, then the rest. */
static void add_curves(struct text *out, struct arena *arena, const struct run_block *block)
{
    text_add(out, "<div class=\"figures\">\n");
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < block->series.count; i++) {
            const char *group = group_of(block->series.at[i]->name);
            bool before = false, first = !strcmp(group, "loss");

            for (int k = 0; k < block->series.count; k++) {
                bool same = !strcmp(group_of(block->series.at[k]->name), group);

                before |= same && k < i;
                first |= same && block->series.at[k]->split != NULL;
            }
            if (!before && first == (pass == 0))
                add_group(out, arena, block, group);
        }
    text_add(out, "</div>\n");
}

/* ---- what --watch saw ---- */

/* The word behind the last point. */
static const char *what_of(const struct run_series *s)
{
    const char *point = strrchr(s->name, '.');

    return point ? point + 1 : s->name;
}

/* Of NAME.WHAT, without the model's name where it begins with that. */
static const char *watched_label(struct arena *arena, const struct run_block *block, const struct run_series *s)
{
    const char *point = strrchr(s->name, '.'), *name = s->name;
    size_t model = strlen(block->model);

    if (!strncmp(name, block->model, model) && name[model] == '.' && name + model < point)
        name += model + 1;
    name = point && point > name ? arena_slice(arena, name, (size_t)(point - name)) : name;
    return s->phase ? arena_printf(arena, "%s %s", s->phase, name) : name;
}

/* So many things a figure as are told apart. */
static void add_watched_group(struct text *out, struct arena *arena, const struct run_block *block, const char *what)
{
    struct svg_curve curves[SVG_STYLES];
    int count = 0, together = 1;

    for (int i = 0; i <= block->series.count; i++) {
        const struct run_series *s = i < block->series.count ? block->series.at[i] : NULL;

        if (count == SVG_STYLES || (!s && count)) {
            svg_curves(out, &(struct svg_plot){.title = what,
                                               .x_label = in_epochs(block) ? "epoch" : "step",
                                               .curves = curves,
                                               .count = count,
                                               .whole = !in_epochs(block)});
            count = 0;
        }
        if (!s || !s->watched || strcmp(what_of(s), what) || is_constant(s))
            continue;
        curves[count] = curve_of(arena, block, s, watched_label(arena, block, s), 1, &together);
        curves[count].style = count;
        curves[count++].low = NULL;
    }
}

static void add_watched(struct text *out, struct arena *arena, const struct run_block *block)
{
    bool begun = false;

    for (int i = 0; i < block->series.count; i++) {
        bool before = !block->series.at[i]->watched;

        for (int k = 0; k < i; k++)
            before |=
                block->series.at[k]->watched && !strcmp(what_of(block->series.at[k]), what_of(block->series.at[i]));
        if (before)
            continue;
        if (!begun)
            text_add(out, "<h3>Watched</h3>\n<div class=\"figures\">\n");
        begun = true;
        add_watched_group(out, arena, block, what_of(block->series.at[i]));
    }
    if (begun)
        text_add(out, "</div>\n");
}

/* ---- tables ---- */

static void add_numbers(struct text *out, struct arena *arena, const struct run_block *block)
{
    text_add(out, "<div class=\"wide\"><table>\n<tr><th class=\"left\">number</th><th "
                  "class=\"left\">of</th><th>last</th><th>first</th><th>lowest</th>"
                  "<th>at step</th><th>highest</th><th>at step</th><th>points</th></tr>\n");
    for (int i = 0; i < block->series.count; i++) {
        const struct run_series *s = block->series.at[i];
        int low = -1, high = -1;

        if (!s->value.count || s->watched)
            continue;
        for (int k = 0; k < s->value.count; k++) {
            low = isfinite(s->value.at[k]) && (low < 0 || s->value.at[k] < s->value.at[low]) ? k : low;
            high = isfinite(s->value.at[k]) && (high < 0 || s->value.at[k] > s->value.at[high]) ? k : high;
        }
        text_add(out, "<tr><td class=\"left\">");
        text_add_escaped(out, s->name);
        text_add(out, "</td><td class=\"left\">");
        text_add_escaped(out, s->split ? s->split : curve_label(arena, s));
        text_add(out, "</td>");
        page_cell(out, s->value.at[s->value.count - 1]);
        page_cell(out, s->value.at[0]);
        page_cell(out, low < 0 ? NAN : s->value.at[low]);
        text_addf(out, "<td>%.0f</td>", low < 0 ? 0 : s->step.at[low]);
        page_cell(out, high < 0 ? NAN : s->value.at[high]);
        text_addf(out, "<td>%.0f</td><td>%d</td></tr>\n", high < 0 ? 0 : s->step.at[high], s->value.count);
    }
    text_add(out, "</table></div>\n");
}

/* What the run said beside its numbers, as it said it. */
static void add_events(struct text *out, const struct run_block *block)
{
    bool begun = false;

    for (int i = 0; i < block->events.count; i++) {
        const struct log_line *line = &block->events.at[i];

        if (!strcmp(log_text(line, "event"), "memory"))
            continue;
        if (!begun)
            text_add(out, "<h3>Events</h3>\n<ul>\n");
        begun = true;
        text_add(out, "<li><b>");
        text_add_escaped(out, log_text(line, "event"));
        text_add(out, "</b>");
        for (int k = 0; k < line->fields.count; k++) {
            if (!strcmp(line->fields.at[k].key, "event") || !strcmp(line->fields.at[k].key, "model") ||
                !strcmp(line->fields.at[k].key, "block"))
                continue;
            text_add(out, ", ");
            text_add_escaped(out, line->fields.at[k].key);
            text_add(out, " ");
            text_add_escaped(out, line->fields.at[k].text);
        }
        text_add(out, "</li>\n");
    }
    if (begun)
        text_add(out, "</ul>\n");
}

static const char *memory_text(struct arena *arena, const struct run_block *block)
{
    const char *text = NULL;
    double used, peak;

    for (int i = 0; i < block->events.count; i++)
        if (!strcmp(log_text(&block->events.at[i], "event"), "memory") &&
            log_number(&block->events.at[i], "used_bytes", &used) &&
            log_number(&block->events.at[i], "process_peak_bytes", &peak))
            text = arena_printf(arena, "%.1f MB, process %.1f MB", used / 1e6, peak / 1e6);
    return text;
}

static void add_facts(struct text *out, struct arena *arena, const struct run_block *block)
{
    const struct log_line *h = &block->header;
    const char *items = log_text(h, "items");

    text_add(out, "<dl>\n");
    page_fact(out, "model", block->model);
    page_fact(out, "seed", log_text(h, "seed"));
    page_fact(out, "steps planned", log_text(h, "steps"));
    if (items && strcmp(items, "0"))
        page_fact(out, "items, batch",
                  arena_printf(arena, "%s, %s", items, log_text(h, "batch") ? log_text(h, "batch") : "?"));
    for (int i = 0; i < h->fields.count; i++)
        if (!strncmp(h->fields.at[i].key, "let.", 4))
            page_fact(out, arena_printf(arena, "let %s", h->fields.at[i].key + 4), h->fields.at[i].text);
    page_fact(out, "parameters from", log_text(h, "init"));
    page_fact(out, "precision", log_text(h, "precision"));
    page_fact(out, "threads", log_text(h, "threads"));
    page_fact(out, "processor", log_text(h, "cpu"));
    page_fact(out, "instructions", log_text(h, "isa"));
    page_fact(out, "BLAS", log_text(h, "blas"));
    page_fact(out, "code", log_text(h, "code"));
    page_fact(out, "memory", memory_text(arena, block));
    page_fact(out, "rnetc", log_text(h, "rnetc"));
    page_fact(out, "hash of the source", log_text(h, "source"));
    page_fact(out, "hash of the step", log_text(h, "program"));
    if (block->resumed)
        page_fact(out, "resumed", arena_printf(arena, "last after step %" PRId64, block->resumed));
    text_add(out, "</dl>\n");
}

/* ---- the page ---- */

static void add_program(struct text *out, struct arena *arena, const struct log_line *header)
{
    const char *path = log_text(header, "file"), *hash = log_text(header, "source");
    const struct source *source = source_read(arena, path);

    page_heading(out, 2, "Program");
    if (source && hash && !strcmp(file_hash(arena, path), hash)) {
        page_source(out, source->text);
        return;
    }
    text_add(out, "<p>");
    text_add_escaped(out, path);
    text_add(out, source ? " is no longer the text that this run was made from" : " is not there any more");
    text_add(out, "; its hash was ");
    text_add_escaped(out, hash ? hash : "not noted");
    text_add(out, ".</p>\n");
}

void report_run_page(struct text *out, struct arena *arena, const char *folder, const struct run_log *log)
{
    const struct log_line *header = &log->blocks.at[0]->header;
    const char *name = file_stem(arena, log_text(header, "file"));

    page_begin(out,
               arena_printf(arena, "%s, seed %s", name, log_text(header, "seed") ? log_text(header, "seed") : "?"));
    page_heading(out, 1, name);
    text_add(out, "<p class=\"dim\">A run of ");
    text_add_escaped(out, log_text(header, "file"));
    text_add(out, ", kept in ");
    text_add_escaped(out, folder);
    text_add(out, "</p>\n");
    for (int i = 0; i < log->blocks.count; i++) {
        const struct run_block *block = log->blocks.at[i];

        if (log->blocks.count > 1)
            page_heading(out, 2, arena_printf(arena, "Block %d: %s", block->number + 1, block->model));
        add_facts(out, arena, block);
        add_curves(out, arena, block);
        page_heading(out, 3, "Numbers");
        add_numbers(out, arena, block);
        add_watched(out, arena, block);
        add_events(out, block);
    }
    report_probes(out, arena, folder);
    add_program(out, arena, header);
    page_end(out);
}
