/* evaluate.h: what evaluate.c and evaluate_code.c share. */
#ifndef RNET_IR_EVALUATE_H
#define RNET_IR_EVALUATE_H

#include "ir.h"

/* Where the evaluation of one equation stands. The values of one loop, the lanes, are computed side by side. */
struct machine {
    struct arena *arena;
    const struct ir_tensor *equation;
    const struct ir_values *values;
    struct ir_index **loops; /* outputs, then reduced, then the time if the equation is one of a recurrence */
    int outputs, last;       /* how many are outputs; where what is reduced ends */
    int loop_count;
    int64_t *at; /* the loops' values; of the lanes' loop that of lane 0 */
    int lane;    /* which loop; -1: no lanes */
    int width;   /* how many lanes at most */
    int count;   /* how many now */
    struct code *code;
};

/* requires: arena, equation, values, the loops and lane. Sets width and code. */
void machine_compile(struct machine *m);
/* The values of the expression at m->at, count of them. */
const double *machine_run(struct machine *m);
/* Rounded to f32 if the equation is single. */
static inline double machine_round(const struct machine *m, double value)
{
    return m->equation->single ? (double)(float)value : value;
}


/* evaluate_opaque.c */
/* step: of a recurrence; 0 outside. */
void evaluate_opaque(const struct ir_tensor *t, const struct ir_values *values, int64_t step);

#endif
