/* report.c: rnetc report: a page of a run, or of what `rnetc lab` keeps of a program's experiments. Trains nothing. */
#include "report.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Without the slashes at its end. */
static const char *folder_of(struct options *options)
{
    const char *path = options->files.at[0];
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        size--;
    return arena_slice(options->arena, path, size);
}

static int written(const char *path, const struct text *page)
{
    int status = page_write(path, page);

    if (status == RNET_DONE)
        printf("%s\n", path);
    return status;
}

static int report_training(struct options *options, const char *folder, const char *log_path)
{
    struct run_log log;
    struct text page = {0};
    int status;

    if (options->csv)
        return run_log_csv(log_path);
    status = run_log_read(options->arena, log_path, &log);
    if (status == RNET_DONE && options->board)
        status = report_board(log_path, options->board);
    if (status == RNET_DONE && (options->out || !options->board)) {
        report_run_page(&page, options->arena, folder, &log);
        status = written(options->out ? options->out : arena_printf(options->arena, "%s/report.html", folder), &page);
    }
    text_free(&page);
    return status;
}

/* The program that a kept file's first line names: "# PATH EXPERIMENT ...". */
static const char *program_of(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "r");
    char line[1000];
    const char *program = NULL, *end;

    if (file && fgets(line, sizeof line, file) && !strncmp(line, "# ", 2) && (end = strstr(line, ".rnet ")))
        program = arena_slice(arena, line + 2, (size_t)(end + 5 - line - 2));
    if (file)
        fclose(file);
    return program;
}

static const char *find_program(struct arena *arena, const char *folder, int *files)
{
    DIR *opened = opendir(folder);
    const char *program = NULL, *first = NULL;
    struct dirent *entry;

    *files = 0;
    while (opened && (entry = readdir(opened))) {
        const char *found =
            entry->d_name[0] == '.' ? NULL : program_of(arena, arena_printf(arena, "%s/%s", folder, entry->d_name));

        /* of the first by name, so that the order of the folder says nothing */
        if (found && (!first || strcmp(entry->d_name, first) < 0)) {
            first = arena_string(arena, entry->d_name);
            program = found;
        }
        *files += found != NULL;
    }
    if (opened)
        closedir(opened);
    return program;
}

static int report_kept(struct options *options, const char *folder, const char *program)
{
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder;
    struct options kept = *options;
    struct text page = {0};
    int status = RNET_DONE, found = 0;
    struct lab lab;

    if (options->board)
        return complain(RNET_USAGE, "--tensorboard wants a run, and %s holds experiments", folder);
    if (access(program, R_OK))
        return complain(RNET_DATA, "%s: %s; %s keeps experiments of it", program, strerror(errno), folder);
    if (strcmp(file_stem(options->arena, program), name))
        return complain(RNET_DATA, "%s: expected it to be named as %s, whose experiments it keeps", folder, program);
    kept.kept = true;
    kept.out = slash ? arena_slice(options->arena, folder, slash > folder ? (size_t)(slash - folder) : 1) : ".";
    lab_open(&kept, program, &lab);
    if (lab.status != RNET_DONE && lab.status != RNET_FAILED)
        status = lab.status;
    for (int i = 0; i < lab.trials.count; i++)
        found += lab.trials.at[i].kept;
    if (status == RNET_DONE && lab.trials.count && !found)
        status =
            complain(RNET_DATA,
                     "%s: no run in it is of %s as it stands, with these settings and seeds; `rnetc lab %s` makes them",
                     folder, program, program);
    if (status == RNET_DONE && options->csv)
        print_lab_csv(&lab);
    if (status == RNET_DONE && !options->csv) {
        page_begin(&page, lab.name);
        report_lab(&page, &lab, true);
        page_end(&page);
        status = written(options->out ? options->out : arena_printf(options->arena, "%s/report.html", folder), &page);
    }
    arena_free(lab.arena);
    text_free(&page);
    return status;
}

/* A run in the folder, the first by name. */
static const char *run_within(struct arena *arena, const char *folder)
{
    DIR *opened = opendir(folder);
    const char *run = NULL;
    struct dirent *entry;

    while (opened && (entry = readdir(opened))) {
        const char *path = arena_printf(arena, "%s/%s", folder, entry->d_name);

        if (entry->d_name[0] != '.' && !access(arena_printf(arena, "%s/log.jsonl", path), F_OK) &&
            (!run || strcmp(path, run) < 0))
            run = path;
    }
    if (opened)
        closedir(opened);
    return run;
}

/* Those of a sweep; `run`: one of them. */
static int report_runs(struct options *options, const char *folder, const char *run)
{
    struct text page = {0};
    const char *why;
    int status;
    const struct trial *trial = sweep_read(options->arena, folder, &why, &status);

    if (status != RNET_DONE)
        return status;
    if (!trial)
        return complain(RNET_DATA, "%s: it holds runs, and is none%s%s: rnetc report %s", folder, why ? "; nor are they of one sweep: " : "", why ? why : "", run);
    if (options->board)
        return complain(RNET_USAGE, "--tensorboard wants a run, and %s holds several: rnetc report %s", folder, run);
    if (options->csv) {
        print_trial_csv(trial);
        return RNET_DONE;
    }
    report_sweep_page(&page, options->arena, folder, trial);
    status = written(options->out ? options->out : arena_printf(options->arena, "%s/report.html", folder), &page);
    text_free(&page);
    return status;
}

int run_report(struct options *options)
{
    struct arena *arena = options->arena;
    const char *folder = folder_of(options), *log_path = arena_printf(arena, "%s/log.jsonl", folder), *program, *run;
    struct stat status;
    int files;

    if (stat(folder, &status))
        return complain(RNET_DATA, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(status.st_mode))
        return complain(RNET_DATA, "%s: expected the folder of a run, or one of what `rnetc lab` keeps", folder);
    if (!access(log_path, F_OK))
        return report_training(options, folder, log_path);
    program = find_program(arena, folder, &files);
    if (program)
        return report_kept(options, folder, program);
    run = run_within(arena, folder);
    if (run)
        return report_runs(options, folder, run);
    return complain(RNET_DATA,
                    "%s: there is neither log.jsonl, as `rnetc train` leaves it, nor a run that `rnetc lab` keeps",
                    folder);
}
