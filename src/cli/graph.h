/* graph.h: what the instruments of `probe` and `train --watch` read off a program's equations. Nothing here knows what a layer is: depth
   counts sums that a parameter takes part in; a unit is what a parameter has an axis for. */
#ifndef RNET_GRAPH_H
#define RNET_GRAPH_H

#include "ir.h"

typedef LIST(const char *) name_list;
typedef LIST(const struct ir_expr *) read_list;

/* Of each tensor of the program, by number. */
struct graph {
    struct ir_program *p;
    struct arena *arena;
    const struct ir_tensor *loss;
    int count;      /* tensors when it was read: others have been added since */
    bool *varying;  /* differs from sample to sample; of a program without data, from draw to draw */
    bool *weight;   /* made of parameters */
    bool *drawn;    /* depends on a draw for each sample */
    bool *noisy;    /* depends on one that meets the sample after a parameter did; before that it is the data that vary */
    int *depth;
    bool *later;    /* a parameter takes part in a sum after it */
    bool *reaches;  /* the loss */
    bool **units;   /* by axis */
    name_list noise;      /* the draws that make noise */
    ir_tensor_list masks; /* what is made of them alone and meets the sample */
};
/* requires: no kernels. */
struct graph graph_read(struct arena *arena, struct ir_program *p, const struct ir_tensor *loss);

/* Reads of the expression; of an equation's, none for other tensors. */
read_list graph_reads_in(struct arena *arena, const struct ir_expr *e);
read_list graph_reads(struct arena *arena, const struct ir_tensor *t);
bool has_batch(const struct ir_tensor *t);
/* Does a parameter take part in t as a matrix does in a product, or as a table? */
bool is_layered(const struct graph *g, const struct ir_tensor *t);
/* Does the read's subscript mention an index that t reduces over? */
bool is_reduced_along(const struct ir_tensor *t, const struct ir_form *subscript);
/* Is the place along the axis chosen by a value, as a row of a table is? */
bool is_chosen_along(const struct ir_form *subscript);
/* For each tensor, by number: t depends on it, itself included. */
bool *ancestors_of(const struct graph *g, const struct ir_tensor *t);

/* "net.y.sum" of the equation net.y: a part of it that the program does not name. */
bool is_part(const struct graph *g, const struct ir_tensor *t);
/* "net.y" of net.y.sum, if the sum is all that the program's y is. */
const char *program_name(struct arena *arena, const struct ir_tensor *t);
/* Where the program itself says it: the use of the layer, not the layer's text. */
void place_in_program(const struct ir_tensor *t, const char **file, int *line);

#endif
