/* program.h: a program from its text, lowered and evaluated by the reference evaluator. */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include "sema.h"

struct program {
    struct arena *arena;
    struct diagnostics *diagnostics;
    struct unit *unit;
    char path[64];
};
/* Writes the text to a temporary file and reads it. Ends the test if it has errors. */
struct program program_of(const char *text);
void program_end(struct program *p);
/* All diagnostics as text, in the arena. */
const char *messages(struct program *p);
struct training *training_of(struct program *p);
struct ir_program *prediction_of(struct program *p, const char *model, int64_t batch);

/* Leaves get sin-like numbers in (-1, 1) that differ from place to place; whole leaves cycle through their range. */
void fill(struct program *p, const struct ir_program *program, struct ir_values *values);
/* Values of a tensor; ends the test if there is none of that name. */
double *at(const struct ir_program *program, const struct ir_values *values, const char *name);
/* The tensor of an output. */
const struct ir_tensor *output(const struct ir_program *program, const char *name);
double *output_at(const struct ir_program *program, const struct ir_values *values, const char *name);
/* |a - b| <= tolerance * (1 + |b|): a mixed absolute and relative error, for sums of a few dozen doubles. */
void assert_near(double a, double b, double tolerance);

#endif
