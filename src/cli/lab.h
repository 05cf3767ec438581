/* lab.h: the state of `rnetc lab`: one laboratory a file; a finding a statement `expect`, a trial an experiment. */
#ifndef RNET_LAB_H
#define RNET_LAB_H

#include "train.h"

/* What was seen of one `expect`, wherever it was looked at. */
struct finding {
    const struct expectation *expectation; /* as it stands in the file */
    bool looked;
    struct expect_outcome outcome;
    const char *place;                     /* of the element that decides: "item 3, k 2" or "" */
    bool skipped;                          /* it wants training, and --quick wants none */
};

/* What came out of a claim: of its comparison that decides, at the values of the settings it does not name where it is worst. */
struct verdict {
    bool holds, undefined, alone; /* undefined: a number is not finite; alone: one seed has no standard error */
    int op, cases, failed;        /* cases: combinations of free settings (times seeds, of an expect) */
    double left, right;           /* means over seeds; of an expect: that seed's */
    double gap, error;            /* mean and standard error of the paired differences */
    const char *place;            /* "depth = 4, seed 3" or "" */
};
/* What a run reported, and what its steps gave: at most 100 points, each a mean of neighbours where there were more. */
struct kept_series {
    int block;
    const char *model, *split, *name; /* split: of the report; NULL: of the steps */
    LIST(double) step, value;
};
typedef LIST(struct kept_series) kept_series_list;
struct trial {
    const struct experiment *experiment;
    int arms, seeds;
    uint64_t *seed;
    double *values;               /* of record r, arm a, seed s: [(a * seeds + s) * records + r] */
    struct verdict *verdicts;     /* of each claim */
    kept_series_list *series;     /* of arm a, seed s: [a * seeds + s] */
    int kept;                     /* runs that were there already */
    int missing;                  /* with options.kept: those that were not */
    bool skipped, done;
    bool *there;                  /* of a sweep: which runs left numbers, [a * seeds + s]; NULL: all */
};
struct lab {
    struct options *options;
    struct arena *arena;                   /* of this file */
    const char *path, *name, *title;       /* title: the file's first line of comment */
    struct unit *unit;
    struct data_source *source;            /* of the data blocks that are looked at, before any training */
    uint64_t seed;
    int precision;
    LIST(struct finding) findings;
    bool wants_training;                   /* there is something to be looked at after it */
    LIST(struct trial) trials;
    int met, total, skipped, unmet;        /* unmet: claims that are known not to come out, and do not */
    double seconds;
    int status;
};

/* ---- lab_expect.c ---- */

/* Looks at the expectations of data blocks and models: before any training at those that read no trained parameters, after it at the
   others and at those of trained models. */
int lab_expects(struct lab *lab, bool after);
void note_outcome(struct lab *lab, const struct expectation *e, const struct expect_outcome *outcome);
/* A program of a model that nothing trains runs once, its parameters as the source's store has them, else as they are initialised. */
int lab_run_model(struct lab *lab, struct unit *unit, struct data_source *source, const struct expect_program *p, int64_t items,
                  uint64_t seed, void (*see)(void *context, struct instance *in), void *context);

/* ---- lab_arm.c ---- */

/* One run of an experiment's arm: values of what is recorded, and its series. `chosen`: of each setting. */
int lab_run_arm(struct lab *lab, const struct experiment *e, const int *chosen, uint64_t seed, double *values, kept_series_list *series);

/* Trains the file as it stands, looks at what reports expect, then calls `then` with the unit and the source of data that the training
   leaves in the lab. */
int lab_train(struct lab *lab, int (*then)(struct lab *lab));

/* ---- lab_keep.c ---- */

/* The file that keeps a run's numbers; false if they are not there. */
const char *keep_path(struct lab *lab, const struct experiment *e, const int *chosen, uint64_t seed);
bool keep_read(struct lab *lab, const char *path, const struct experiment *e, double *values, kept_series_list *series);
int keep_write(struct lab *lab, const char *path, const struct experiment *e, const char *what, const double *values,
               const kept_series_list *series);
/* The same for what was seen of the file's expects after its training. */
const char *keep_path_of_training(struct lab *lab);
bool keep_read_findings(struct lab *lab, const char *path);
int keep_write_findings(struct lab *lab, const char *path);

/* ---- lab_experiment.c ---- */

int lab_experiments(struct lab *lab);
/* Value of each setting in arm number `arm`. */
void arm_choice(const struct experiment *e, int arm, int *chosen);
/* "rate=0.5 depth=2" */
const char *arm_text(struct arena *arena, const struct experiment *e, const int *chosen, const char *joint);

/* ---- lab_claim.c ---- */

void judge(struct lab *lab, struct trial *trial);
/* Operators of the tree and functions, of numbers. */
double binary_number(int op, double a, double b);
double function_number(const char *name, const double *arguments, int count);
/* Mean over seeds and its standard error; NAN where there is none. */
void summarise(const struct trial *trial, int arm, int record, double *mean, double *error);

/* ---- lab.c ---- */

/* Looks at one file; lab->arena is then the caller's to free. */
void lab_open(struct options *options, const char *path, struct lab *lab);

/* ---- lab_print.c ---- */

/* "met", "FAILED", "skipped", "unseen"; of claims that are known not to come out "finding", or "HOLDS". v: NULL if not looked at. */
const char *finding_word(const struct finding *f);
const char *verdict_word(const struct claim *claim, const struct trial *trial, const struct verdict *v);
const char *operator_text(int op);
void print_lab(const struct lab *lab, bool all);
void print_lab_json(const struct lab *lab, const char *joint);
void print_lab_csv(const struct lab *lab);
void print_trial_csv(const struct trial *trial);

#endif
