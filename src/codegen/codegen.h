/* codegen.h: kernels to machine code. The only folder that sees LLVM; built as modules of their own: one that the driver opens
   when it wants code, and one with LLVM that the first opens when something has to be compiled. Equal kernels are compiled
   once, several at a time, and kept on disk; no number depends on any of that. */
#ifndef RNET_CODEGEN_H
#define RNET_CODEGEN_H

#include "ir.h"
#include "rnet.h"

struct code; /* compiled code of one program; owns its memory */
struct code_timing {
    double keys, cache, generate, link;   /* seconds that passed: naming kernels, reading objects, compiling, loading them */
    double load;                          /* of generate: waiting for LLVM itself, which is opened while kernels are named */
    double emit, optimize, codegen;       /* of generate: what its threads have worked, added up */
    int kernels, distinct, cached, threads; /* distinct: with the functions that kernels share; of them cached */
};
struct code_options {
    const char *dump_llvm;     /* file for the LLVM IR, or NULL */
    const char *dump_assembly; /* file, or NULL */
    int threads;               /* to compile with; 0: one a processor */
    bool quick;                /* less time for slower code with the same numbers: for tests of many small programs */
    int way;                   /* of cutting products into parts, 1 to `ways`; 0: of each kernel the chosen one, else the first */
};
struct code_api {
    /* requires: p fused and planned. NULL on failure, *error in p's arena. */
    struct code *(*compile)(const struct ir_program *p, const struct code_options *options, struct code_timing *timing,
                            const char **error);
    /* RNET_DONE, or RNET_NONFINITE with parameters and state untouched. */
    int (*run)(const struct code *code, const struct rnet_step *step);
    /* The same; adds what each kernel of the program took to seconds[its number], and the rest (what is checked before the run's
       numbers change, what is copied) to the one behind the last. For steps that are measured: a clock is read around each kernel. */
    int (*run_timed)(const struct code *code, const struct rnet_step *step, double *seconds);
    /* Bytes that the code wants in the arena behind program->arena_bytes, for partial results and what it calls kernels with. */
    int64_t (*scratch)(const struct code *code);
    /* The object files that were loaded, one a number from 0; NULL after the last. */
    const void *(*object)(const struct code *code, int number, size_t *bytes);
    /* Programs that are compiled from now on cut the products of this kernel, the program's so-manieth, in this way. No way changes a
       number. Kept beside the kernel's object; false: nothing is kept. */
    bool (*choose)(const struct code *code, int kernel, int way);
    int ways;
    void (*release)(struct code *code);
    const char *(*host)(void); /* "sapphirerapids, 16 lanes of f32" */
};
/* The module's only exported symbol. */
const struct code_api *rnet_code_api(void);


#endif
