/* bench.h: what `rnetc bench` measures of one step of training, shared by its files. */
#ifndef RNET_BENCH_H
#define RNET_BENCH_H

#include "cli.h"

/* The step compiled one way, with memory of its own. */
struct bench_side {
    const char *name;              /* "fused", "unfused" */
    bool fuse;
    const struct phase *phase;     /* lowered for this side: compilation works in place */
    struct layout *layout;
    struct compiled compiled, initial;
    double cold, cached;           /* seconds to compile: nothing kept before, with LLVM loaded; everything kept */
    double flops, bytes;           /* of a step, as explain says */
    struct memory memory;
    struct instance instance;
    char *own_inputs;              /* the instance's */
    char **batches;                /* what takes turns as its inputs; the first is its own */
    int batch_count;
    int64_t planned, used;         /* bytes */
    uint64_t steps, run;           /* of a whole training; run so far */
    double fastest;                /* seconds of a step */
    int restarts;                  /* its numbers left the finite ones, and it began anew */
    double *kernel_seconds;        /* the least of each kernel, and of the rest of the step behind them */
};
struct bench {
    struct options *options;
    struct arena *arena;
    struct unit *unit;
    const struct training *training;
    const struct phase *phase;     /* of the fused side */
    struct data_source *source;
    struct rnet_pool *pool;
    struct bench_side fused, unfused;
    const char *made_up;           /* why the data are random bytes; NULL: they are the program's own */
    double front;                  /* seconds from text to equations */
    int64_t resident_before;       /* bytes of the process when it began */
    int64_t peak;                  /* most bytes of the process until the fused step was warm, above that */
    double multiply_add;           /* operations a second for as long as a fused step: the best of the probes between them */
    double matrix_unit;            /* the same of products of f32 by AMX; 0: there is none, or the program is of f64 */
    double copy;                   /* bytes a second: the best of the passes */
    struct limits limits;          /* the best that the machine was seen to give */
    int64_t copied;                /* bytes within which was copied */
    int passes;
};

/* ---- bench_side.c ---- */

/* Compiles the step, and what its first values come from; sets nothing but that. */
bool bench_compile(struct bench_side *side, struct rnet_error *error);
/* Memory, first values, batches; a first step. requires: compiled. `data` NULL: random bytes. */
int bench_prepare(struct bench *bench, struct bench_side *side, const struct dataset *data);
/* Steps for so many seconds, at least one; notes the fastest, and of the fused side the best rates of operations between steps.
   kernels: each kernel by itself instead. */
int bench_run(struct bench *bench, struct bench_side *side, double seconds, bool kernels);
void bench_release(struct bench_side *side);

/* ---- bench_try.c ---- */

/* Times the fused step's products cut in every way, and keeps the fastest of each. requires: prepared. */
int bench_try(struct bench *bench);

/* ---- bench_print.c ---- */

void bench_print(const struct bench *bench);
void bench_print_json(const struct bench *bench);

#endif
