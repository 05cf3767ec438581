/* compact.h: what the files of `rnetc compact` share. */
#ifndef RNET_COMPACT_H
#define RNET_COMPACT_H

#include "replaced.h"

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
    struct replaced replaced;
};

/* ---- compact_source.c ---- */

/* Finds the numbers of the text that give the shrinking axes their extents, by changing each and looking at what changes, and writes the
   program with smaller ones to c->path, files that it names still found; sets `given` and `unit`. */
int compact_source(struct compaction *c);

#endif
