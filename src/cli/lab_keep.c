/* lab_keep.c: finished runs of experiments, a small file each, so that a laboratory that was interrupted goes on. The
   name is a hash of all that the numbers depend on; numbers are written so that they come back bit for bit. */
#include "lab.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t hash_text(const char *text, uint64_t hash)
{
    return hash_bytes(text, strlen(text) + 1, hash);
}

/* Of the file's text, the options' settings and the seed. */
static uint64_t hash_of_run(const struct lab *lab, uint64_t seed)
{
    const struct options *o = lab->options;
    uint64_t hash = hash_text(RNET_VERSION, unit_hash(lab->unit));
    int64_t numbers[3] = {(int64_t)seed, o->precision, o->steps};

    hash = hash_bytes(numbers, sizeof numbers, hash);
    for (int i = 0; i < o->settings.count; i++)
        hash = hash_text(o->settings.at[i].value, hash_text(o->settings.at[i].name, hash));
    return hash;
}

static const char *path_of(struct lab *lab, const char *name, uint64_t hash)
{
    return arena_printf(lab->arena, "%s/%s/%s-%016" PRIx64, lab->options->out ? lab->options->out : "runs/lab",
                        lab->name, name, hash);
}

const char *keep_path(struct lab *lab, const struct experiment *e, const int *chosen, uint64_t seed)
{
    uint64_t hash = hash_text(arm_text(lab->arena, e, chosen, " "), hash_of_run(lab, seed));

    hash = hash_text(e->train ? e->train : "", hash);
    for (int i = 0; i < e->records.count; i++) {
        struct text text = {0};

        print_node(&text, e->records.at[i].value);
        hash = hash_text(text.data, hash_text(e->records.at[i].name, hash));
        text_free(&text);
    }
    return path_of(lab, e->name, hash);
}

/* "@BLOCK MODEL SPLIT NAME STEP VALUE STEP VALUE ...", SPLIT "-" of the steps. Leaves the list as it is if the line is another. */
static void read_series(struct arena *arena, char *line, kept_series_list *out)
{
    struct kept_series s = {0};
    char *rest = NULL, *words[4], *word;

    for (int i = 0; i < 4; i++)
        if (!(words[i] = strtok_r(i ? NULL : line + 1, " ", &rest)))
            return;
    s.block = (int)strtol(words[0], NULL, 10);
    s.model = arena_string(arena, words[1]);
    s.split = strcmp(words[2], "-") ? arena_string(arena, words[2]) : NULL;
    s.name = arena_string(arena, words[3]);
    while ((word = strtok_r(NULL, " \n", &rest))) {
        char *value = strtok_r(NULL, " \n", &rest);

        if (!value)
            return;
        list_add(arena, s.step, strtod(word, NULL));
        list_add(arena, s.value, strtod(value, NULL));
    }
    list_add(arena, *out, s);
}

bool keep_read(struct lab *lab, const char *path, const struct experiment *e, double *values, kept_series_list *series)
{
    FILE *file = lab->options->fresh ? NULL : fopen(path, "r");
    bool whole = false;
    char *line = NULL;
    size_t room = 0;
    int found = 0;

    if (!file)
        return false;
    while (getline(&line, &room, file) >= 0) {
        char *space = strrchr(line, ' '), *end;

        if (!strcmp(line, "end\n"))
            whole = true;
        if (line[0] == '@')
            read_series(lab->arena, line, series);
        if (line[0] == '#' || !space || found == e->records.count)
            continue;
        *space = 0;
        if (strcmp(line, e->records.at[found].name))
            break;
        values[found++] = strtod(space + 1, &end);
        if (*end != '\n')
            break;
    }
    free(line);
    fclose(file);
    whole = whole && found == e->records.count;
    if (!whole)
        series->count = 0;
    return whole;
}

static void make_folders(struct arena *arena, const char *path)
{
    for (const char *slash = path; (slash = strchr(slash + 1, '/'));)
        mkdir(arena_slice(arena, path, (size_t)(slash - path)), 0777);
}

/* The file is there whole or not at all. */
static FILE *begin_file(struct lab *lab, const char *path, const char **draft)
{
    FILE *file;

    *draft = arena_printf(lab->arena, "%s.%ld", path, (long)getpid());
    make_folders(lab->arena, path);
    file = fopen(*draft, "w");
    if (!file)
        complain(0, "%s: %s", *draft, strerror(errno));
    return file;
}

static int end_file(FILE *file, const char *path, const char *draft)
{
    bool written = fputs("end\n", file) >= 0 && !ferror(file);

    if (!fclose(file) && written && !rename(draft, path))
        return RNET_DONE;
    complain(0, "%s: %s", path, strerror(errno));
    unlink(draft);
    return RNET_FAILED;
}

int keep_write(struct lab *lab, const char *path, const struct experiment *e, const char *what, const double *values,
               const kept_series_list *series)
{
    const char *draft;
    FILE *file = begin_file(lab, path, &draft);

    if (!file)
        return RNET_FAILED;
    fprintf(file, "# %s %s\n", lab->path, what);
    for (int i = 0; i < e->records.count; i++)
        fprintf(file, "%s %a\n", e->records.at[i].name, values[i]);
    for (int i = 0; i < series->count; i++) {
        const struct kept_series *s = &series->at[i];

        fprintf(file, "@%d %s %s %s", s->block, s->model, s->split ? s->split : "-", s->name);
        for (int n = 0; n < s->value.count; n++)
            fprintf(file, " %a %a", s->step.at[n], s->value.at[n]);
        fputs("\n", file);
    }
    return end_file(file, path, draft);
}

/* ---- what was seen after a training ---- */

const char *keep_path_of_training(struct lab *lab)
{
    return path_of(lab, "training", hash_of_run(lab, lab->seed));
}

static const char outcome_format[] = "%" PRId64 " %" PRId64 " %d %d %d %a %a %a %a %a ";

int keep_write_findings(struct lab *lab, const char *path)
{
    const char *draft;
    FILE *file = begin_file(lab, path, &draft);

    if (!file)
        return RNET_FAILED;
    for (int i = 0; i < lab->findings.count; i++) {
        const struct finding *f = &lab->findings.at[i];
        const struct expect_outcome *o = &f->outcome;

        if (!f->looked) {
            fputs("unseen\n", file);
            continue;
        }
        fprintf(file, outcome_format, o->elements, o->failed, (int)o->holds, o->op, (int)o->parts, o->miss, o->left,
                o->right, o->first, o->second);
        fprintf(file, "@%s\n", f->place);
    }
    return end_file(file, path, draft);
}

static bool read_finding(struct lab *lab, char *line, struct finding *f)
{
    struct expect_outcome *o = &f->outcome;
    char *place = strchr(line, '@');
    int holds, parts;

    if (!strcmp(line, "unseen\n"))
        return true;
    if (!place || sscanf(line, "%" SCNd64 " %" SCNd64 " %d %d %d %la %la %la %la %la", &o->elements, &o->failed, &holds,
                         &o->op, &parts, &o->miss, &o->left, &o->right, &o->first, &o->second) != 10)
        return false;
    place[strcspn(place, "\n")] = 0;
    o->holds = holds != 0;
    o->parts = parts != 0;
    f->looked = true;
    f->place = arena_string(lab->arena, place + 1);
    return true;
}

bool keep_read_findings(struct lab *lab, const char *path)
{
    struct finding *findings = NEW_ARRAY(lab->arena, struct finding, lab->findings.count + 1);
    FILE *file = lab->options->fresh ? NULL : fopen(path, "r");
    char line[2000];
    bool whole = file != NULL;

    for (int i = 0; whole && i < lab->findings.count; i++) {
        findings[i].expectation = lab->findings.at[i].expectation;
        whole = fgets(line, sizeof line, file) && read_finding(lab, line, &findings[i]);
    }
    whole = whole && fgets(line, sizeof line, file) && !strcmp(line, "end\n");
    if (file)
        fclose(file);
    for (int i = 0; whole && i < lab->findings.count; i++)
        lab->findings.at[i] = findings[i];
    return whole;
}
