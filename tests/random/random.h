/* random.h: whole programs of the language, made from a seed, executed in several ways and compared. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include "base.h"

/* ---- generate.c: what a program may compute; program.c: the program around it ---- */

/* The same seed gives the same program, everywhere. */
char *random_program(struct arena *arena, uint64_t seed);

/* ---- compare.c ---- */

/* What is checked besides the evaluator against f64 with and without fusion, on 1 thread and on 3. */
enum {
    CHECK_GRADIENTS = 1,  /* finite differences */
    CHECK_SINGLE = 2,     /* f32 */
    CHECK_USERS = 4,      /* code as users get it, against code made quickly: the same bits */
    CHECK_PREDICTION = 8, /* the model's outputs in evaluation */
    CHECK_ALL = 15
};
enum { TIME_FRONT, TIME_EVALUATOR, TIME_QUICK, TIME_USERS, TIME_RUN, TIMES };
/* What came of a program. `kind` tells failures apart: shrinking keeps it. */
struct verdict {
    bool passed;
    bool excused;      /* some tensor was compared by its own sensitivity only, or a guard was not finite */
    char kind[80];     /* "sema E0312", "fused", "verify after fuse" */
    char message[700]; /* what was expected */
    double seconds[TIMES]; /* of the processor */
};
/* Reads, lowers and compiles the program at path and compares two steps of each phase, the report and what the model predicts.
   Ends the process on what the compiler calls a bug: run it in a process of its own (verdict_of). */
void compare_program(const char *path, unsigned checks, struct verdict *out);

/* ---- shrink.c ---- */

/* compare_program of this text in a process of its own, with a limit of time. */
struct verdict verdict_of(const char *text, unsigned checks);
/* The same in two parts, so that several run at once. */
struct trial;
struct trial *trial_start(const char *text, unsigned checks);
struct verdict trial_wait(struct trial *trial);
/* A shorter program that fails in the same way. */
char *shrink(struct arena *arena, const char *text, const struct verdict *failure, unsigned checks);

#endif
