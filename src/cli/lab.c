/* lab.c: rnetc lab: what files expect and claim is looked at, one file after another. */
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef LIST(const char *) path_list;

/* ---- one file ---- */

/* The first line of comment, without its marks. */
static const char *title_of(struct arena *arena, const char *text)
{
    size_t size;

    while (*text == '\n' || *text == ' ')
        text++;
    if (*text != '#')
        return "";
    text += strspn(text, "# \t");
    size = strcspn(text, "\n");
    while (size && (text[size - 1] == ' ' || text[size - 1] == '\r'))
        size--;
    return arena_slice(arena, text, size);
}

/* The seed of draws before any training: --seed, else the program's. */
static uint64_t seed_of(const struct options *options, const struct unit *unit)
{
    double seed;

    if (options->seed_given)
        return options->seed;
    return unit_let(unit, "seed", &seed) && seed >= 0 ? (uint64_t)seed : 0;
}

static void count_met(struct lab *lab)
{
    for (int i = 0; i < lab->findings.count; i++) {
        const struct finding *f = &lab->findings.at[i];

        lab->skipped += f->skipped;
        lab->total += !f->skipped;
        lab->met += !f->skipped && f->looked && f->outcome.holds;
    }
    for (int i = 0; i < lab->trials.count; i++) {
        const struct trial *trial = &lab->trials.at[i];

        for (int k = 0; k < trial->experiment->claims.count; k++) {
            bool holds = trial->done && trial->verdicts[k].holds;

            if (trial->skipped) {
                lab->skipped++;
            } else if (trial->experiment->claims.at[k].unmet && trial->done) {
                lab->unmet++;
            } else {
                lab->total++;
                lab->met += holds;
            }
        }
    }
}

static int expects_after(struct lab *lab)
{
    return lab_expects(lab, true);
}

static int look_at_expects(struct lab *lab)
{
    int status = lab_expects(lab, false);

    for (int i = 0; i < lab->findings.count; i++)
        if (lab->findings.at[i].expectation->trained) {
            lab->wants_training = true;
            lab->findings.at[i].skipped = lab->options->quick;
        }
    return status == RNET_DONE && lab->wants_training && !lab->options->quick ? lab_train(lab, expects_after) : status;
}

static int run_file(struct lab *lab)
{
    struct options options = *lab->options;
    struct diagnostics *d;
    expectation_list expects = {0};
    experiment_list experiments = {0};
    int status;

    options.arena = lab->arena;
    options.files.at = &lab->path;
    options.files.count = 1;
    lab->options = &options;
    lab->unit = program_read(&options, &d);
    if (!lab->unit)
        return RNET_SOURCE;
    check_unit(lab->unit, d);
    if (program_wrong(&options, d))
        return RNET_SOURCE;
    unit_expects(lab->unit, &expects);
    unit_experiments(lab->unit, &experiments);
    for (int i = 0; i < expects.count; i++)
        list_add(lab->arena, lab->findings, (struct finding){.expectation = expects.at[i]});
    for (int i = 0; i < experiments.count; i++)
        list_add(lab->arena, lab->trials, (struct trial){.experiment = experiments.at[i]});
    if (!expects.count && !experiments.count)
        return complain(RNET_SOURCE, "%s: nothing is expected here", lab->path);
    lab->seed = seed_of(&options, lab->unit);
    lab->precision = options.precision >= 0 ? options.precision : IR_DOUBLE;
    lab->source = data_source_new(lab->arena, lab->unit, store_new(lab->arena));
    lab->source->seed = lab->seed;
    lab->source->precision = lab->precision;
    lab->source->threads = options.threads;
    lab->source->no_fuse = options.no_fuse;
    status = look_at_expects(lab);
    if (status == RNET_DONE)
        status = lab_experiments(lab);
    count_met(lab);
    if (status == RNET_DONE && lab->met < lab->total)
        status = RNET_FAILED;
    return status;
}

/* ---- a line a file ---- */

static const char *verdict_of(int status)
{
    switch (status) {
    case RNET_DONE:
        return "met";
    case RNET_FAILED:
        return "FAILED";
    case RNET_INTERRUPTED:
        return "interrupted";
    default:
        return "ERROR";
    }
}

static void print_line(const struct lab *lab, int widest)
{
    char also[60] = "";

    if (lab->unmet)
        snprintf(also, sizeof also, " (%d unmet)", lab->unmet);
    if (lab->skipped)
        snprintf(also + strlen(also), sizeof also - strlen(also), " (%d skipped)", lab->skipped);
    printf("%-*s  %2d/%-2d  %6.2f s  %-7s %s%s\n", widest, lab->name, lab->met, lab->total, lab->seconds,
           !lab->total && lab->status == RNET_DONE && lab->skipped ? "skipped" : verdict_of(lab->status), lab->title,
           also);
}

/* ---- files and folders ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_folder(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* The .rnet files under a folder, by name. */
static bool list_folder(struct arena *arena, const char *path, path_list *out)
{
    DIR *folder = opendir(path);
    struct dirent *entry;
    path_list names = {0};

    if (!folder) {
        complain(0, "%s: %s", path, strerror(errno));
        return false;
    }
    while ((entry = readdir(folder))) {
        size_t size = strlen(entry->d_name);
        const char *full = arena_printf(arena, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", entry->d_name);

        if (entry->d_name[0] != '.' && (is_folder(full) || (size > 5 && !strcmp(entry->d_name + size - 5, ".rnet"))))
            list_add(arena, names, full);
    }
    closedir(folder);
    if (names.count)
        qsort(names.at, (size_t)names.count, sizeof *names.at, by_name);
    for (int i = 0; i < names.count; i++) {
        if (!is_folder(names.at[i]))
            list_add(arena, *out, names.at[i]);
        else if (!list_folder(arena, names.at[i], out))
            return false;
    }
    return true;
}

void lab_open(struct options *options, const char *path, struct lab *lab)
{
    const struct source *source;
    double begin = rnet_seconds();

    *lab = (struct lab){.options = options, .arena = arena_new(), .path = path, .title = ""};
    lab->name = file_stem(lab->arena, path);
    source = source_read(lab->arena, path);
    if (source)
        lab->title = title_of(lab->arena, source->text);
    lab->status = run_file(lab);
    lab->options = options;
    lab->seconds = rnet_seconds() - begin;
}

int run_lab(struct options *options)
{
    path_list files = {0};
    bool many = options->files.count > 1;
    int widest = 0, status = RNET_DONE, met = 0, total = 0, fine = 0;
    struct text page = {0};
    double seconds = 0;
    struct lab lab;

    for (int i = 0; i < options->files.count; i++) {
        if (!is_folder(options->files.at[i])) {
            list_add(options->arena, files, options->files.at[i]);
            continue;
        }
        many = true;
        if (!list_folder(options->arena, options->files.at[i], &files))
            return RNET_DATA;
    }
    if (!files.count)
        return complain(RNET_USAGE, "%s: there is no .rnet file in it", options->files.at[0]);
    for (int i = 0; i < files.count; i++) {
        int width = (int)strlen(file_stem(options->arena, files.at[i]));

        widest = width > widest ? width : widest;
    }
    if (options->report)
        page_begin(&page, many ? "rnetc lab" : file_stem(options->arena, files.at[0]));
    if (options->report && many)
        page_heading(&page, 1, "rnetc lab");
    for (int i = 0; i < files.count; i++) {
        lab_open(options, files.at[i], &lab);
        if (options->json) {
            print_lab_json(&lab, i ? ",\n " : "[");
        } else if (options->csv) {
            print_lab_csv(&lab);
        } else {
            if (many)
                print_line(&lab, widest);
            else if (*lab.title)
                printf("%s: %s\n", lab.name, lab.title);
            print_lab(&lab, !many);
        }
        fflush(stdout);
        if (options->report)
            report_lab(&page, &lab, !many);
        met += lab.met;
        total += lab.total;
        seconds += lab.seconds;
        fine += lab.status == RNET_DONE;
        if (lab.status != RNET_DONE)
            status = many && lab.status != RNET_INTERRUPTED ? RNET_FAILED : lab.status;
        arena_free(lab.arena);
        if (lab.status == RNET_INTERRUPTED)
            break;
    }
    if (options->report) {
        page_end(&page);
        if (page_write(options->report, &page) != RNET_DONE)
            status = RNET_FAILED;
        text_free(&page);
    }
    if (options->json)
        printf("]\n");
    else if (options->csv)
        return status;
    else if (many)
        printf("%d of %d files, %d of %d met, %.1f s\n", fine, files.count, met, total, seconds);
    else if (total)
        printf("%d of %d met\n", met, total);
    return status;
}
