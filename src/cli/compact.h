/* compact.h: what the files of `rnetc compact` share. */
#ifndef RNET_COMPACT_H
#define RNET_COMPACT_H

#include "axes.h"

/* A class of axes that is to shrink. */
struct shrinking {
    struct axis_class *class;
    int64_t wanted, given;      /* positions that make no difference; how many of them the text can leave out */
    const char *why;            /* where fewer are given than wanted */
};
struct compaction {
    struct options *options;
    struct arena *arena;
    struct axes *axes;
    LIST(struct shrinking) shrinking;
    const char *path, *checkpoint; /* what is written */
    struct unit *unit;             /* of what is written */
    int changed;                   /* numbers of the text */
};

/* ---- compact_source.c ---- */

/* Finds the numbers of the text that give the shrinking axes their extents, by changing each and looking at what changes, and writes the
   program with smaller ones to c->path, files that it names still found; sets `given` and `unit`. */
int compact_source(struct compaction *c);

/* ---- compact_check.c ---- */

/* The answers of both programs on their data, in double precision: RNET_FAILED if they differ by more than rounding. */
int compact_check(struct compaction *c);
/* Prints how long an evaluation and a step take before and after, and what the floating-point operations promise. */
int compact_measure(struct compaction *c);

#endif
