/* harness.h: runs compiled code on values as the evaluator has them, and compares. */
#ifndef TESTS_CODEGEN_HARNESS_H
#define TESTS_CODEGEN_HARNESS_H

#include "codegen.h"
#include "passes.h"

/* The module, opened once; ends the process if it cannot be. */
const struct code_api *code_module(void);

/* A planned program, its code and its memory. */
struct machine_run {
    const struct ir_program *program;
    struct code *code;
    struct code_timing timing;
    struct rnet_step step;
    char *memory[5]; /* parameters, state, arena, inputs, scalars */
    uint64_t *keys;
    int status;
};
/* Compiles (ends the process if it cannot be) and fills the leaves from values of the program's tensors. */
void machine_open(struct machine_run *run, const struct ir_program *p, const struct ir_values *values, struct ir_run where,
                  const struct code_options *options);
void machine_fill(struct machine_run *run, const struct ir_values *values);
void machine_step(struct machine_run *run, int threads);
void machine_close(struct machine_run *run);
/* The numbers of a tensor as they lie in memory. */
double *machine_numbers(struct arena *arena, const struct machine_run *run, const struct ir_tensor *t);
/* |a - b| / |b| in the Euclidean norm over finite elements; infinite if one is NaN or infinite where the other is not. */
double relative_error(const double *a, const double *b, int64_t count);
/* Parses, ends the process with the message if it cannot be. */
struct ir_program *parse_program(struct arena *arena, const char *source);
/* Compiles source fused, fused as large and not, with 1, 2 and 3 threads, and compares every output and updated leaf with the evaluator.
   Leaves take values by name from `values` of `given` (a program with the same leaves), else random ones. single: the program
   is compiled in f32. Returns the worst relative error; prints which tensor it was if it is above tolerance.
   Threads that differ in a bit end the process. */
double worst_error(const char *name, const char *source, bool single, const struct ir_program *given,
                   const struct ir_values *values, struct ir_run where, double tolerance);
/* The same, compiled with these options. */
double worst_error_with(const struct code_options *options, const char *name, const char *source, bool single,
                        const struct ir_program *given, const struct ir_values *values, struct ir_run where,
                        double tolerance);

#endif
