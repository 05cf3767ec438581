/* random.h: whole programs of the language, made from a seed, executed in three ways and compared. */
#ifndef TESTS_RANDOM_H
#define TESTS_RANDOM_H

#include "base.h"

/* ---- generate.c: what a program may compute; program.c: the program around it ---- */

/* The same seed gives the same program, everywhere. */
char *random_program(struct arena *arena, uint64_t seed);

/* ---- compare.c ---- */

enum { CHECK_GRADIENTS = 1, CHECK_SINGLE = 2 };
/* What came of a program. `kind` tells failures apart: shrinking keeps it. */
struct verdict {
    bool passed;
    bool excused;      /* some tensor was compared by its own sensitivity only, or a guard was not finite */
    char kind[80];     /* "sema E0312", "fused", "verify after fuse" */
    char message[700]; /* what was expected */
};
/* Reads, lowers and compiles the program at path and compares two training steps and the report. Ends the process on what
   the compiler calls a bug: run it in a process of its own (verdict_of). */
void compare_program(const char *path, unsigned checks, struct verdict *out);

/* ---- shrink.c ---- */

/* compare_program of this text in a process of its own, with a limit of time. */
struct verdict verdict_of(const char *text, unsigned checks);
/* A shorter program that fails in the same way. */
char *shrink(struct arena *arena, const char *text, const struct verdict *failure, unsigned checks);

#endif
