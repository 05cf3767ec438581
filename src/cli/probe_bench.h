/* probe_bench.h: what a run of `rnetc probe` has open, for the files that measure. */
#ifndef RNET_PROBE_BENCH_H
#define RNET_PROBE_BENCH_H

#include "probe.h"

struct bench {
    struct probe *probe;
    struct layout *layout;
    struct compiled step, initial, measure;
    struct memory memory;
    struct rnet_pool *pool;
    struct instance step_run, measure_run;
    struct dataset step_data, measure_data;
    struct scalar_context clock;
    int64_t *items, count; /* of the batch */
    uint64_t position;
    double **weights;      /* of each parameter, before the step */
};

/* ---- probe_measure.c ---- */

/* Never NULL. */
void *memory_for(size_t bytes);
/* The output's numbers, row-major, on the heap; NULL if there is none of that name. */
double *numbers_of(const struct instance *in, const char *name);
double norm_of(const double *numbers, int64_t count);
/* For each element the number of its unit among the units; returns how many there are. */
int64_t number_units(const struct probed *v, int64_t *unit);
/* A parameter as it is in memory, on the heap; NULL: the run has none of that name. */
double *weights_now(const struct bench *b, const struct ir_tensor *parameter);
void set_weights(const struct bench *b, const struct ir_tensor *parameter, const double *numbers);
/* Of the probe's step: its scalars and its place in the stream; then its samples. */
void set_clock(struct bench *b);
bool choose_batch(struct bench *b, struct rnet_error *error);
void give_batch(struct bench *b);
void run_measure(struct bench *b);
/* False: it gave numbers that are not finite and was not made. */
bool run_step(struct bench *b);

/* Another run of the measuring program, of the same samples: draws that make the data stay, those that make noise are others. */
void other_draws(const struct bench *b, struct instance *other, uint64_t seed);

/* ---- probe_noise.c, probe_jacobian.c, probe_invariance.c, probe_smooth.c ---- */

void measure_noise_cost(struct bench *b);

void measure_jacobian(struct bench *b);
void measure_invariances(struct bench *b);
int measure_smoothness(struct bench *b);

#endif
