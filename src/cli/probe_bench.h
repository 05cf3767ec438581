/* probe_bench.h: what a run of `rnetc probe` has open, for the files that measure. */
#ifndef RNET_PROBE_BENCH_H
#define RNET_PROBE_BENCH_H

#include "probe.h"

struct bench {
    struct probe *probe;
    struct layout *layout;
    struct compiled step, initial, measure, sides[SIDES];
    struct memory memory;
    struct rnet_pool *pool;
    struct instance step_run, measure_run, side_runs[SIDES];
    struct dataset step_data, measure_data; /* measure_data: of the sides, too */
    struct scalar_context clock;
    struct rnet_stream *stream;
    int64_t *items, count;      /* of the batch */
    uint64_t number, position;  /* of the step that the batch is that of */
    double **before, **after;   /* of each parameter, the step; NULL: it is not in memory */
    struct rnet_progress *progress;
    double begun;               /* what is shown now */
    double **gradients;         /* of each parameter, mean over the batches before the step; NULL: none */
};

/* ---- probe_numbers.c: of one tensor ---- */

/* Never NULL. */
void *memory_for(size_t bytes);
bool all_finite(const double *numbers, int64_t count);
/* Leaves out infinities that the program writes; returns how many numbers are left. */
int64_t leave_out(double *numbers, int64_t count);
/* Scaled, so that squares neither vanish nor overflow. */
double norm_of(const double *numbers, int64_t count);
void moments(const double *numbers, int64_t count, struct measured *m);
/* For each element the number of its unit among the units; returns how many there are. */
int64_t number_units(const struct probed *v, int64_t *unit);
/* Mean size of the correlation of two units over samples and places. NAN if fewer than two vary. */
double correlation_of(const struct probed *v, const double *value);
/* Shares of off, saturated and dead; keep: a unit that was alive in an earlier batch is not dead. */
void measure_slope(struct arena *arena, struct probed *v, const double *value, const double *slope, bool keep, struct measured *m);
/* Along one of the axes of units, is each value that of its neighbours? */
bool are_alike(const struct probed *v, const double *value);
/* Along the time of a recurrence. */
double *norms_by_step(struct arena *arena, const struct probed *v, const double *numbers);
/* Of two independent draws of noise for the same samples: the variance over that without noise. */
double variance_ratio(const struct probed *v, const double *first, const double *second);
/* Takes a value into a mean, of which it is that part. */
void fold(double *mean, double value, double part);
/* Its number; -1: none, -2: several. "h" is net.h, if that is one alone. */
int find_probed(const struct probed *all, int count, const char *name);

/* ---- probe_bench.c ---- */

bool open_programs(struct bench *b, struct data_source *source, struct rnet_error *error);
bool open_stream(struct bench *b, struct rnet_error *error);
/* The parameters' first values, or those of the checkpoint. */
bool first_weights(struct bench *b, struct rnet_error *error);
void close_bench(struct bench *b);
/* The output's numbers, row-major, on the heap; NULL if there is none of that name. */
double *numbers_of(const struct instance *in, const char *name);
/* A parameter as it is in memory, on the heap; NULL: the run has none of that name. */
double *weights_now(const struct bench *b, const struct ir_tensor *parameter);
void set_weights(const struct bench *b, const struct ir_tensor *parameter, const double *numbers);
/* A parameter or a state of that name; nothing if the run has none. */
void set_stored(const struct bench *b, const char *name, const double *numbers, int64_t count);
/* All parameters that the step updates as one vector: how long, and each one's place in it. */
int64_t vector_places(const struct probe *probe, int64_t *places);
/* Standard normal numbers of that name and seed. */
void normal_numbers(const char *name, uint64_t seed, double *out, int64_t count);
/* The scalars of the probe's step. */
void set_clock(struct bench *b);
/* The samples of the step so many after it, and its draws. */
void give_batch(struct bench *b, int64_t after);
void run_measure(struct bench *b);
/* False: it gave numbers that are not finite and was not made. */
bool run_step(struct bench *b);
void run_side(struct bench *b, enum side side);
/* The rank-0 output of a side, mean over the batches. */
double side_number(struct bench *b, enum side side, const char *name);
/* "landscape 7/121", on a terminal or now and then. */
void show_step(struct bench *b, const char *what, int64_t done, int64_t of);

/* ---- probe_measure.c ---- */

/* Another run of the measuring program, of the same samples: draws that make the data stay, those that make noise are others. */
void other_draws(const struct bench *b, struct instance *other, uint64_t seed);

/* ---- probe_jacobian.c ---- */

/* Of a matrix of `count` rows, descending; the rows are turned. */
void singular_values(double *rows, int64_t count, int64_t length, double *out);

/* ---- the instruments ---- */

void measure_noise_cost(struct bench *b);

void measure_jacobian(struct bench *b);
void measure_invariances(struct bench *b);
int measure_smoothness(struct bench *b);
void measure_shifts(struct bench *b);
/* Adds what the last run of the measuring program says. */
void measure_standards(struct bench *b);
void measure_landscape(struct bench *b);
void measure_curvature(struct bench *b);
void measure_fisher(struct bench *b);

#endif
