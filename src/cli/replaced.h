/* replaced.h: a program with its checkpoint, and what was made of them, side by side. */
#ifndef RNET_REPLACED_H
#define RNET_REPLACED_H

#include "axes.h"

/* A program and its checkpoint, and where what is made of them goes. */
struct replacing {
    struct rnet_safetensors file;
    struct axes *axes;
    const char *path, *checkpoint;
};
/* As the options of `command` say. What fails has said why, and nothing is open then. */
int replacing_open(struct options *options, const char *command, struct replacing *out);
/* Of what is not done nothing is left. */
void replacing_close(struct replacing *replacing, bool done);

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
