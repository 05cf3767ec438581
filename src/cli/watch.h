/* watch.h: the instruments of `rnetc train --watch`: one a phase of a train block. Layers and activations are nothing that the compiler
   knows; what stands for them is read off the equations (watch_graph.c). */
#ifndef RNET_WATCH_H
#define RNET_WATCH_H

#include "train.h"

/* Rules, in the order in which they are judged: what causes stands before what follows from it. The table is in watch.c. */
enum watch_rule { RULE_DEAD, RULE_COLLAPSED, RULE_NO_GRADIENT, RULE_LARGE_UPDATE, RULE_SMALL_UPDATE, RULE_EXPLODING, RULE_CLIPPED, RULES };

/* An equation with units, or a parameter. */
struct watched {
    const char *name, *file;
    int line;
    int64_t elements;          /* of a parameter */
    int rank;
    bool chosen;               /* of an equation: it chooses by a value, so that a unit may be 0 whatever the data are; else no `most` */
    bool normalised;           /* of an equation: it divides by the root of something reduced, whose axes are those of `spread` */
    int64_t per_unit, per_spread; /* of an equation: elements in a batch of each unit, of each variance */
    int streak[RULES];         /* looks in a row at which it broke the rule */
};
typedef LIST(struct watched) watched_list;

/* ---- watch_graph.c ---- */

/* Adds outputs to phase->watch. Of the number-th parameter "weight.N", "gradient.N", "update.N": sums of squares; "reached.N": how many
   elements of the gradient are not 0. Of the number-th equation "most.N" (if it is chosen): the largest size in each unit; "spread.N": sums of squares of
   what lies off the mean; "loss". */
void watch_instruments(struct arena *arena, const struct phase *phase, watched_list *parameters, watched_list *values);

#endif
