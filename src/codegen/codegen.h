/* codegen.h: kernels to machine code. The only folder that sees LLVM; built as a module of its own that the driver opens when
   it needs it, so that `check`, `fmt` and `--help` never load LLVM. */
#ifndef RNET_CODEGEN_H
#define RNET_CODEGEN_H

#include "ir.h"
#include "rnet.h"

struct code; /* compiled code of one program; owns its memory */
struct code_timing { double emit, optimize, codegen, link; }; /* seconds */
struct code_options {
    const char *dump_llvm;     /* file for the LLVM IR, or NULL */
    const char *dump_assembly; /* file, or NULL */
    bool quick;                /* less time for slower code with the same numbers: for tests of many small programs */
};
struct code_api {
    /* requires: p fused and planned. NULL on failure, *error in p's arena. */
    struct code *(*compile)(const struct ir_program *p, const struct code_options *options, struct code_timing *timing,
                            const char **error);
    rnet_step_function (*entry)(const struct code *code);
    /* Bytes that the code wants in the arena behind program->arena_bytes, for partial results. */
    int64_t (*scratch)(const struct code *code);
    /* The object file that was loaded, as `build` would write it. */
    const void *(*object)(const struct code *code, size_t *bytes);
    void (*release)(struct code *code);
    const char *(*host)(void); /* "sapphirerapids, 16 lanes of f32" */
};
/* The module's only exported symbol. */
const struct code_api *rnet_code_api(void);


#endif
