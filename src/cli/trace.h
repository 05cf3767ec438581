/* trace.h: from a number that is not finite back to where it became so. */
#ifndef RNET_TRACE_H
#define RNET_TRACE_H

#include "cli.h"

struct trace_point {
    const struct ir_tensor *tensor;
    int64_t element; /* row-major */
};
struct trace {
    struct arena *arena;
    const struct instance *in;
    uint64_t seed, position, step;         /* of the step that was run */
    const char *parameters, *state;        /* as they were before it; NULL: it changed none */
    struct ir_index **indices;             /* made by trace_new: */
    int64_t *at;                           /* value of each index, by its number */
    int index_count;
    double **draws;                        /* by number of tensor, made when first wanted */
    unsigned char **met, **declared;       /* by number of tensor: a byte an element */
    bool *after;                           /* by number: it depends on an adjoint */
    int64_t budget;                        /* how many more reads may be looked at */
    struct trace_point origin;             /* .tensor NULL: none */
};
struct trace *trace_new(struct arena *arena, const struct instance *in, uint64_t seed, uint64_t position, uint64_t step);
double trace_value(struct trace *t, const struct ir_tensor *tensor, int64_t element);
/* Is it an infinity that the program itself writes, as a mask before a softmax does, or one that follows from such alone? */
bool trace_declared(struct trace *t, struct trace_point point);
/* Follows the point's number through all that is not finite in what it read, to the first equation that made such a number of finite
   ones (or of infinities that were declared), and its first such element: origin. A leaf that is not finite is one too. */
void trace_back(struct trace *t, struct trace_point from);
/* "batch = 3, o = 1"; "" of a number. */
const char *trace_place(struct arena *arena, struct trace_point point);
/* What of the origin's equation left the finite numbers: "exp(93.2) is inf"; NULL: nothing that can be named. */
const char *trace_operation(struct trace *t);
/* The tensors that the origin's equation reads, each once, in the order of the program. */
typedef LIST(const struct ir_tensor *) trace_reads;
trace_reads trace_read(struct trace *t);
/* "input", "parameter", .., or of an equation "forward", "adjoint", "rule" (what is made of gradients) */
const char *trace_direction(const struct trace *t, const struct ir_tensor *tensor);

#endif
