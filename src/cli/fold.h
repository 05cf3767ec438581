/* fold.h: what the files of `rnetc fold` share.

   A layer that in evaluation is y = scale * x + shift, both constants along some axes of x, is folded into the equations before it (x is
   then made as scale * x + shift) or after it (what y is multiplied with absorbs the scale, what is added there the shift). Only parameters
   change; y is x from then on, and the text does without the layer. */
#ifndef RNET_FOLD_H
#define RNET_FOLD_H

#include "axes.h"

/* A parameter or state of the checkpoint as it is by now. */
struct numbers {
    const struct rnet_tensor *stored;
    double *at;
};

/* A program of answers, as it is being read. */
struct reading {
    struct arena *arena;
    const struct ir_program *p;
    const struct unit *unit;
    const struct map *numbers;   /* struct numbers by name */
    bool *gone;                  /* by number of tensor: of a layer that is folded */
    struct ir_tensor **stands;   /* what is read in its place, or NULL */
    bool *constant;              /* the same for every sample and step */
    int *uses;                   /* how often it is read by what is not gone, and put out */
    struct ir_values values;     /* of constants, where they were wanted; forgotten when numbers change */
    int64_t *at;                 /* by number of index: where an expression is looked at */
};
/* What varies along some axes of a value, by position. */
struct along {
    int count;
    int axes[16];
    int64_t extents[16];
    double *values;              /* row-major */
};

/* ---- fold_value.c ---- */

struct reading *reading_new(struct arena *arena, const struct ir_program *p, const struct unit *unit, const struct map *numbers);
/* After layers went, or numbers changed. */
void reading_update(struct reading *r);
struct ir_tensor *reading_tensor(const struct reading *r, struct ir_tensor *t);
/* A number that is affine in another. */
struct pair { double shift, scale; };
/* An expression of `equation` at r->at. Reads of `of` are: scale 1 if place is NULL and they are at the equation's own place, else the
   value of `place`, along axes of `of`. Pairs of other tensors that are not constant: pairs, by number, read at their own place. */
struct point {
    struct reading *r;
    const struct ir_tensor *equation, *of;
    const struct along *place;
    struct pair **pairs;
    const char *why;             /* set if it is no such expression */
};
struct pair pair_at(struct point *point, const struct ir_expr *e);
/* Number of elements of one sample; sets r->at to one of them. */
int64_t sample_elements(const struct ir_tensor *t);
void set_element(struct reading *r, const struct ir_tensor *t, int64_t element);
/* Along which axes of t the values, one an element of a sample, vary; of two, either. other: NULL or as many. */
struct along vary(struct arena *arena, const struct ir_tensor *t, const double *values, const double *other);

/* ---- fold_absorb.c ---- */

/* parameter <- factor * parameter + term; NULL: 1, 0 */
struct change {
    const char *name;
    double *factor, *term;
};
typedef LIST(struct change) change_list;
struct affine {
    struct ir_tensor *x, *y;
    struct along scale, shift;   /* along the same axes of x */
};
/* The changes that make x what y is, or y's readers what they are of y if they read x; NULL, or why there are none. */
const char *absorb_before(struct reading *r, const struct affine *a, change_list *out);
const char *absorb_after(struct reading *r, const struct affine *a, change_list *out);

/* ---- fold_find.c ---- */

/* Where the text uses a layer; and each place that has of its own there. */
struct use {
    const struct ir_origin *origin;
    int depth;                   /* how many uses stand around it */
    LIST(const char *) paths;
    bool normaliser;             /* of one value it makes another of the same shape, and sums nothing with its parameters */
    bool folded;
    const char *obstacle;        /* why the text cannot do without it, or NULL */
    const char *why;             /* why it stays */
};
struct folding {
    struct options *options;
    struct arena *arena;
    struct axes *axes;
    struct map *numbers;
    LIST(struct reading *) readings; /* of axes->answers */
    LIST(struct use *) uses;
    int folded;
    const char *path, *checkpoint;   /* what is written */
};
/* Reads axes->answers; the uses, from the outside inwards. */
void fold_find_uses(struct folding *f);
/* Changes the numbers; marks the uses that are folded. */
void fold_uses(struct folding *f);

/* ---- fold_source.c ---- */

/* Finds the obstacles. requires: before fold_uses. */
int fold_plan_source(struct folding *f);
/* Writes the text without the uses that are folded. */
int fold_write_source(struct folding *f);

#endif
