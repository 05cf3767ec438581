/* axes.h: which axes of parameters, states and values are one and the same axis of a program, and which of its positions (units) make no
   difference to what the program answers. */
#ifndef RNET_AXES_H
#define RNET_AXES_H

#include "cli.h"

/* An axis wherever it occurs: all occurrences have one extent, and shrink together. */
struct axis_class {
    int64_t extent;
    const char *fixed;          /* why it cannot shrink, or NULL */
    bool summed;                /* an equation of an answer sums over it */
    bool *gone;                 /* positions without effect, found by axes_find_gone */
    int64_t gone_count;
    LIST(struct axis_member { const char *name; int axis; const struct ir_tensor *tensor; }) members; /* parameters and states */
};
typedef LIST(struct ir_program *) program_list;
struct axes {
    struct arena *arena;
    struct unit *unit;
    LIST(struct training *) trainings;
    program_list answers;       /* in evaluation: of each model, and the reports' */
    program_list steps;
    LIST(struct axis_class *) classes; /* that parameters have */
    struct map *by_member;      /* from "NAME 0" to its class */
    struct rnet_safetensors *file;
    struct nodes *nodes;
};
/* Lowers everything of the program; NULL after diagnoses. */
struct axes *axes_new(struct options *options, struct unit *unit, struct rnet_safetensors *file);
struct axis_class *axes_class(const struct axes *axes, const char *name, int axis);
/* Positions of axes that can shrink at which every term of every sum over them is 0, whatever is answered: its weights are, or what they
   are multiplied with is always. Of the numbers that the file has now. */
void axes_find_gone(struct axes *axes);

#endif
