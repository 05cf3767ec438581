/* replaced.h: a program with its checkpoint, and what was made of them, side by side. */
#ifndef RNET_REPLACED_H
#define RNET_REPLACED_H

#include "axes.h"

struct replaced {
    struct options *options;
    struct arena *arena;
    struct axes *axes;          /* of the old program; its checkpoint is options->checkpoint */
    struct unit *unit;          /* the new one */
    const char *checkpoint;
    const char *failing;        /* what it means if they do not answer the same */
};
/* The answers of both programs on their data, at most so far apart as a part of their norm; said with `say`. RNET_FAILED if they are
   further apart. precision: enum ir_precision. */
int replaced_check(const struct replaced *r, int precision, double most, bool say);
/* Prints how long an evaluation, and with steps a step, takes before and after, and what the floating-point operations promise. */
int replaced_measure(const struct replaced *r, bool steps);

#endif
