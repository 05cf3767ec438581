/* report_sweep.c: the runs of a sweep, which stand in a folder each, as an experiment: an arm is a value of each setting that differs. */
#include "report.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_ARMS = 10000, POINTS = 100 };

struct sweep_run {
    const char *name;          /* of its folder */
    struct run_log log;
    uint64_t seed;
};
struct sweep {
    struct arena *arena;
    LIST(struct sweep_run) runs;
    struct experiment *experiment;
    struct trial *trial;
};

static const struct log_line *header_of(const struct sweep_run *run)
{
    return &run->log.blocks.at[0]->header;
}

static const char *value_of(const struct sweep *s, int run, const char *name)
{
    const char *value = log_text(header_of(&s->runs.at[run]), arena_printf(s->arena, "let.%s", name));

    return value ? value : "";
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct sweep_run *)left)->name, ((const struct sweep_run *)right)->name);
}

static int read_runs(struct sweep *s, const char *folder)
{
    DIR *opened = opendir(folder);
    struct dirent *entry;
    int status = RNET_DONE;

    while (opened && (entry = readdir(opened)))
        if (entry->d_name[0] != '.' && !access(arena_printf(s->arena, "%s/%s/log.jsonl", folder, entry->d_name), F_OK))
            list_add(s->arena, s->runs, (struct sweep_run){.name = arena_string(s->arena, entry->d_name)});
    if (opened)
        closedir(opened);
    if (s->runs.count < 2)
        return RNET_DONE;
    qsort(s->runs.at, (size_t)s->runs.count, sizeof *s->runs.at, by_name);
    for (int i = 0; status == RNET_DONE && i < s->runs.count; i++) {
        struct sweep_run *run = &s->runs.at[i];
        const char *seed;

        status = run_log_read(s->arena, arena_printf(s->arena, "%s/%s/log.jsonl", folder, run->name), &run->log);
        seed = status == RNET_DONE ? log_text(header_of(run), "seed") : NULL;
        run->seed = seed ? strtoull(seed, NULL, 10) : 0;
    }
    return status;
}

/* ---- settings ---- */

static bool differs(const struct sweep *s, const char *name)
{
    for (int i = 1; i < s->runs.count; i++)
        if (strcmp(value_of(s, i, name), value_of(s, 0, name)))
            return true;
    return false;
}

/* Do runs that agree in all settings chosen so far agree in this one? Then it follows from them, as `let half = rate / 2` does. */
static bool follows(const struct sweep *s, const char *name)
{
    for (int i = 0; i < s->runs.count; i++)
        for (int k = 0; k < i; k++) {
            bool same = true;

            for (int c = 0; same && c < s->experiment->settings.count; c++)
                same = !strcmp(value_of(s, i, s->experiment->settings.at[c].name), value_of(s, k, s->experiment->settings.at[c].name));
            if (same && strcmp(value_of(s, i, name), value_of(s, k, name)))
                return false;
        }
    return true;
}

/* Numbers by size, before other texts by their bytes. */
static bool comes_before(const char *a, const char *b)
{
    char *end_a, *end_b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);
    bool number_a = *a && !*end_a, number_b = *b && !*end_b;

    return number_a && number_b ? x < y : number_a != number_b ? number_a : strcmp(a, b) < 0;
}

static void choose_setting(struct sweep *s, const char *name)
{
    struct varied setting = {.name = name};

    for (int i = 0; i < s->runs.count; i++) {
        const char *value = value_of(s, i, name);
        int at = 0;

        while (at < setting.values.count && strcmp(setting.values.at[at], value))
            at++;
        if (at < setting.values.count)
            continue;
        list_add(s->arena, setting.values, value);
        for (; at > 0 && comes_before(value, setting.values.at[at - 1]); at--) {
            setting.values.at[at] = setting.values.at[at - 1];
            setting.values.at[at - 1] = value;
        }
    }
    list_add(s->arena, s->experiment->settings, setting);
}

/* First those that the folders are named by, then others that do not follow from them. */
static void choose_settings(struct sweep *s)
{
    const struct log_line *header = header_of(&s->runs.at[0]);

    for (int named = 1; named >= 0; named--)
        for (int i = 0; i < header->fields.count; i++) {
            const char *name = header->fields.at[i].key + 4;

            if (strncmp(header->fields.at[i].key, "let.", 4) || !strcmp(name, "seed") || !differs(s, name) || s->experiment->settings.count == MOST_VARIED)
                continue;
            if (named ? strstr(s->runs.at[0].name, arena_printf(s->arena, "%s=", name)) != NULL : !follows(s, name))
                choose_setting(s, name);
        }
}

static void choose_seeds(struct sweep *s)
{
    for (int i = 0; i < s->runs.count; i++) {
        uint64_t seed = s->runs.at[i].seed;
        int at = 0;

        while (at < s->experiment->seeds.count && s->experiment->seeds.at[at] != seed)
            at++;
        if (at < s->experiment->seeds.count)
            continue;
        list_add(s->arena, s->experiment->seeds, seed);
        for (; at > 0 && seed < s->experiment->seeds.at[at - 1]; at--) {
            s->experiment->seeds.at[at] = s->experiment->seeds.at[at - 1];
            s->experiment->seeds.at[at - 1] = seed;
        }
    }
}

/* ---- numbers ---- */

/* What a run leaves behind its last step: what is reported, else the loss. */
static bool is_result(const struct run_block *block, const struct run_series *series)
{
    bool reported = false;

    for (int i = 0; i < block->series.count; i++)
        reported |= block->series.at[i]->split != NULL;
    return !series->watched && series->value.count && (reported ? series->split != NULL : !strcmp(series->name, "loss"));
}

static const char *result_name(const struct sweep *s, const struct run_block *block, const struct run_series *series)
{
    return s->runs.at[0].log.blocks.count > 1 ? arena_printf(s->arena, "%s.%s", block->model, series->name) : series->name;
}

static void choose_records(struct sweep *s)
{
    for (int r = 0; r < s->runs.count; r++)
        for (int b = 0; b < s->runs.at[r].log.blocks.count; b++) {
            const struct run_block *block = s->runs.at[r].log.blocks.at[b];

            for (int i = 0; i < block->series.count; i++) {
                struct recorded record = {.name = result_name(s, block, block->series.at[i])};
                bool known = !is_result(block, block->series.at[i]);

                for (int k = 0; !known && k < s->experiment->records.count; k++)
                    known = !strcmp(s->experiment->records.at[k].name, record.name);
                if (!known)
                    list_add(s->arena, s->experiment->records, record);
            }
        }
}

/* Means of neighbours, so that there are not more than a screen has room for. */
static struct kept_series thinned(struct arena *arena, const struct run_block *block, const struct run_series *series)
{
    int count = series->value.count, points = count < POINTS ? count : POINTS;
    struct kept_series out = {.block = block->number, .model = block->model, .split = series->split, .name = series->name};

    for (int i = 0; i < points; i++) {
        int begin = (int)((int64_t)i * count / points), end = (int)((int64_t)(i + 1) * count / points);
        double step = 0, value = 0;

        for (int k = begin; k < end; k++) {
            step += series->step.at[k] / (end - begin);
            value += series->value.at[k] / (end - begin);
        }
        list_add(arena, out.step, step);
        list_add(arena, out.value, value);
    }
    return out;
}

static int arm_of(const struct sweep *s, int run)
{
    int arm = 0;

    for (int i = 0; i < s->experiment->settings.count; i++) {
        const struct varied *setting = &s->experiment->settings.at[i];
        int at = 0;

        while (strcmp(setting->values.at[at], value_of(s, run, setting->name)))
            at++;
        arm = arm * setting->values.count + at;
    }
    return arm;
}

static void take_run(struct sweep *s, int run, int place)
{
    const struct run_log *log = &s->runs.at[run].log;
    struct trial *t = s->trial;
    int records = s->experiment->records.count;

    for (int k = 0; k < records; k++)
        t->values[place * records + k] = NAN;
    for (int b = 0; b < log->blocks.count; b++)
        for (int i = 0; i < log->blocks.at[b]->series.count; i++) {
            const struct run_series *series = log->blocks.at[b]->series.at[i];

            if (series->watched || series->phase || !strcmp(series->name, "seconds") || !series->value.count)
                continue;
            list_add(s->arena, t->series[place], thinned(s->arena, log->blocks.at[b], series));
            for (int k = 0; k < records && is_result(log->blocks.at[b], series); k++)
                if (!strcmp(s->experiment->records.at[k].name, result_name(s, log->blocks.at[b], series))) {
                    t->values[place * records + k] = series->value.at[series->value.count - 1];
                    t->there[place] = true;
                }
        }
}

const struct trial *sweep_read(struct arena *arena, const char *folder, const char **why, int *status)
{
    struct sweep s = {.arena = arena, .experiment = NEW(arena, struct experiment), .trial = NEW(arena, struct trial)};
    bool *taken;
    int places = 1;

    *why = NULL;
    *status = read_runs(&s, folder);
    if (*status != RNET_DONE || s.runs.count < 2)
        return NULL;
    for (int i = 1; i < s.runs.count; i++)
        if (strcmp(log_text(header_of(&s.runs.at[i]), "file"), log_text(header_of(&s.runs.at[0]), "file"))) {
            *why = arena_printf(arena, "%s and %s are runs of two programs", s.runs.at[0].name, s.runs.at[i].name);
            return NULL;
        }
    s.experiment->name = file_stem(arena, log_text(header_of(&s.runs.at[0]), "file"));
    choose_settings(&s);
    choose_seeds(&s);
    choose_records(&s);
    for (int i = 0; i < s.experiment->settings.count && places <= MOST_ARMS; i++)
        places *= s.experiment->settings.at[i].values.count;
    *s.trial = (struct trial){.experiment = s.experiment, .arms = places, .seeds = s.experiment->seeds.count, .seed = s.experiment->seeds.at, .done = true};
    places *= s.experiment->seeds.count;
    if (places > MOST_ARMS) {
        *why = arena_printf(arena, "their settings have more than %d combinations", MOST_ARMS);
        return NULL;
    }
    s.trial->there = NEW_ARRAY(arena, bool, places + 1);
    s.trial->values = NEW_ARRAY(arena, double, (int64_t)places * s.experiment->records.count + 1);
    s.trial->series = NEW_ARRAY(arena, kept_series_list, places + 1);
    taken = NEW_ARRAY(arena, bool, places + 1);
    for (int i = 0; i < s.runs.count; i++) {
        int seed = 0, place;

        while (s.trial->seed[seed] != s.runs.at[i].seed)
            seed++;
        place = arm_of(&s, i) * s.trial->seeds + seed;
        if (taken[place]) {
            *why = arena_printf(arena, "%s has settings and seed of another", s.runs.at[i].name);
            return NULL;
        }
        taken[place] = true;
        take_run(&s, i, place);
        s.trial->kept++;
    }
    return s.trial;
}

void report_sweep_page(struct text *out, struct arena *arena, const char *folder, const struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int numbers = 0;

    for (int i = 0; i < trial->arms * trial->seeds; i++)
        numbers += trial->there[i];
    page_begin(out, arena_printf(arena, "%s, %d runs", e->name, trial->kept));
    page_heading(out, 1, e->name);
    text_addf(out, "<p class=\"dim\">%d runs in ", trial->kept);
    text_add_escaped(out, folder);
    text_addf(out, ", seed%s", trial->seeds == 1 ? "" : "s");
    for (int i = 0; i < trial->seeds && i < 20; i++)
        text_addf(out, " %" PRIu64, trial->seed[i]);
    text_add(out, trial->seeds > 20 ? " \xE2\x80\xA6" : "");
    if (numbers < trial->arms * trial->seeds)
        text_addf(out, "; of %d combinations %d have numbers: the others were not made, or left the finite ones before they reported", trial->arms * trial->seeds,
                  numbers);
    text_add(out, "</p>\n");
    report_trial(out, arena, trial);
    page_end(out);
}
