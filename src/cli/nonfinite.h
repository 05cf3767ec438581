/* nonfinite.h: a step run again to see where its numbers left the finite ones. */
#ifndef RNET_NONFINITE_H
#define RNET_NONFINITE_H

#include <stdio.h>

#include "trace.h"
#include "train.h"

struct again {
    struct compiled compiled;
    struct instance in;
    struct trace *trace; /* its origin is found, if there is one */
};
/* Runs the step whose inputs the trainer's turn still has, one kernel an equation. parameters, state: copies of what they were before
   it, where the step may change them; NULL if it stopped before. False if it cannot be compiled. To be freed either way. */
bool step_again(struct trainer *t, uint64_t position, uint64_t step, const char *parameters, const char *state,
                struct again *again);
void again_free(struct again *again);
/* "FILE:LINE:COLUMN: step 3: net.z is inf at batch = 3, o = 1", and where that is used. */
void print_origin(FILE *to, struct trace *trace, uint64_t step);
const char *number_text(struct arena *arena, double value);

#endif
