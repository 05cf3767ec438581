/* report.h: a run's log as numbers, and the pages that are made of runs and of experiments. */
#ifndef RNET_REPORT_H
#define RNET_REPORT_H

#include "lab.h"
#include "svg.h"

/* ---- report_log.c ---- */

struct log_field {
    const char *key, *text; /* a number that JSON lacks: inf, -inf or nan */
    bool string;
};
struct log_line {
    LIST(struct log_field) fields;
};
/* Calls `see` with each line; what it returns ends the reading if it is not RNET_DONE. A last line that was not
 * finished is left out. */
int log_each(const char *path, int (*see)(void *context, struct arena *scratch, const struct log_line *line),
             void *context);
/* NULL: the line lacks it. */
const char *log_text(const struct log_line *line, const char *key);
bool log_number(const struct log_line *line, const char *key, double *value);
/* Of a step, a report or what --watch saw, not what a run said: its numbers are series. */
bool log_has_values(const struct log_line *line);
/* A number of the line that is no place in the run; false for others. The name is without "report.". */
bool log_value(const struct log_field *field, const char **name, double *value);

struct run_series {
    bool watched;              /* of train --watch: NAME.WHAT */
    const char *phase, *split; /* phase: NULL if it has no name; split: of the report; NULL: of the steps */
    const char *name;
    LIST(double) step, value;
};
struct run_block {
    int number;
    const char *model;
    struct log_line header; /* of the last start or resumption */
    int64_t items, batch, resumed;
    LIST(struct run_series *) series;
    LIST(struct log_line) events; /* but those of beginnings and reports */
};
struct run_log {
    struct arena *arena;
    LIST(struct run_block *) blocks;
};
int run_log_read(struct arena *arena, const char *path, struct run_log *out);
/* A line each step and report. */
int run_log_csv(const char *path);

/* ---- report_page.c ---- */

void page_begin(struct text *out, const char *title);
void page_end(struct text *out);
/* <dt>name</dt><dd>value</dd>, escaped; nothing if the value is NULL or "". */
void page_fact(struct text *out, const char *name, const char *value);
void page_cell(struct text *out, double value);
/* A heading of the level, escaped. */
void page_heading(struct text *out, int level, const char *text);
void page_source(struct text *out, const char *text);
/* On the disk, whole or not at all. */
int page_write(const char *path, const struct text *page);

/* ---- report_run.c, report_probe.c, report_lab.c, report_board.c ---- */

void report_run_page(struct text *out, struct arena *arena, const char *folder, const struct run_log *log);
void report_probes(struct text *out, struct arena *arena, const char *folder);
/* A section of what the laboratory of one file saw; alone: it is the page. */
void report_lab(struct text *out, const struct lab *lab, bool alone);
/* An experiment's arms: table, figures, curves. */
void report_trial(struct text *out, struct arena *arena, const struct trial *trial);
/* ---- report_sweep.c ---- */

/* The runs within a folder as an experiment: settings that differ, and seeds. NULL: there are fewer than two, or *why they are none. */
const struct trial *sweep_read(struct arena *arena, const char *folder, const char **why, int *status);
void report_sweep_page(struct text *out, struct arena *arena, const char *folder, const struct trial *trial);
/* Event files, FOLDER/train and one for each split. */
int report_board(const char *log_path, const char *folder);

#endif
