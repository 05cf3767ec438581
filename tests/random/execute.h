/* execute.h: a program of the language lowered, and the numbers of an execution of it. */
#ifndef TESTS_RANDOM_EXECUTE_H
#define TESTS_RANDOM_EXECUTE_H

#include "driver.h"
#include "random.h"

enum { SEED = 7 };

/* Numbers by name, in order: outputs of each step, parameters and states after the last, outputs of report and prediction. */
struct result {
    const char *name;
    bool whole;
    int64_t count;
    double *numbers;
};
struct outcome {
    LIST(struct result) results;
    struct map *by_name;
    bool nonfinite;
};

/* What is executed, in order: the steps of each phase, probes before theirs, for some rounds; then the rest once. */
enum job_kind { JOB_STEP, JOB_PROBE, JOB_REPORT, JOB_PREDICTION };
struct job {
    enum job_kind kind;
    const char *name;
    int number;  /* of its phase; -1: none */
    struct ir_program *program, *initial;
};
/* One train block, lowered anew: passes work in place. */
struct work {
    struct arena *arena;
    struct training *training;
    struct unit *unit;
    LIST(struct job) jobs;
    struct verdict *verdict;
};

bool failed(struct verdict *out, const char *kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool verified(const struct ir_program *p, const char *pass, struct verdict *out);
/* NULL on failure, which the verdict then says. */
struct unit *unit_open(struct arena *arena, const char *path, struct verdict *out);
bool work_new(struct work *work, struct unit *unit, int block, bool single, unsigned checks, struct verdict *out);
void work_free(struct work *work);

/* The scalar leaves at a step. */
struct clock {
    const struct work *work;
    double step;
};
double clock_scalar(void *clock, const char *name);
/* First values of parameters and states, by name, exact in f32 so that both precisions begin alike. */
struct map *first_values(const struct work *work);
/* In [-1, 1), or in the leaf's range: a function of name, step and element, exact in f32. */
double input_number(const struct ir_tensor *t, int step, int64_t element);
bool outlives_step(const struct ir_tensor *t);

/* The evaluator. moved: leaves are multiplied by 1 + moved * r, r in [-1, 1). */
void run_evaluator(const struct work *work, struct arena *keep, double moved, struct outcome *outcome);

/* The programs of a work as code. */
struct build {
    struct layout *layout;
    struct compiled *compiled; /* one for each job */
};
bool build_new(struct build *build, const struct work *work, enum fusing how, bool quick, struct verdict *out);
void build_release(struct build *build, const struct work *work);
void run_build(const struct build *build, const struct work *work, struct arena *keep, int threads,
               struct outcome *outcome);

#endif
