/* autodiff.h: reverse mode on the tensor IR: equations in, equations out. */
#ifndef RNET_AUTODIFF_H
#define RNET_AUTODIFF_H

#include "ir.h"

/* Appends to p the equations of the gradients of the rank-0 tensor `loss` with respect to wrt[0 .. count - 1] (any tensors
   before loss; a perturbation is added where the tensor is defined). gradients[i] has wrt[i]'s axes; a tensor without a path to
   the loss gets NULL. No derivative passes through draws, states, whole numbers and `stop`.
   Returns NULL, or in p's arena what cannot be differentiated; *where is then the tensor concerned.
   requires: a verified program without kernels. maintains: what is there; order. */
const char *differentiate(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                          struct ir_tensor **gradients, const struct ir_tensor **where);

/* For a tensor without a gradient: the last tensor on a path from `from` towards `loss` that lets no derivative through, or
   the last one that nothing on the way to the loss reads (for E0602). */
const struct ir_tensor *derivative_ends_at(const struct ir_program *p, const struct ir_tensor *from, const struct ir_tensor *loss);

/* ---- derivatives.c: one row an operator of ops.def ---- */

/* weights[i] = derivative of op(arguments) to arguments[i], times g; NULL where it is 0. self is op(arguments) itself, or a
   read of the tensor that stores it. */
#define OP(name, ...)                                                                                                  \
    void derivative_##name(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,   \
                           const struct ir_expr *g, const struct ir_expr **weights);
#include "ops.def"
#undef OP

/* ---- bracket.c: the solver ---- */

/* The adjoint of a read: target[axes] = sum over the summed indices of weight * product of [subscripts[k] == axes[k]].
   Makes the equation (named name) or returns NULL if it is identically zero. preferred: output indices of the forward
   equation. bracket.c says how. *unsolved says why no equation could be made. */
struct ir_tensor *adjoint_of_read(struct ir_program *p, const char *name, struct ir_tensor *target,
                                  const struct ir_form **subscripts, struct ir_index **summed, int summed_count,
                                  struct ir_index **preferred, int preferred_count, const struct ir_expr *weight,
                                  const struct ir_origin *origin, const char **unsolved);

/* ---- gradcheck.c ---- */

struct gradcheck_options {
    bool exhaustive;      /* every element; else one random direction and sixteen elements a tensor (all of a small one) */
    uint64_t seed;
    double tolerance;     /* relative error that passes, in the norm |a - b| / (|a| + |b|), from the difference step; 0: 1e-6 */
};
struct gradcheck_result {
    const struct ir_tensor *tensor;
    double worst;          /* relative error of the worst element, kinks apart */
    int64_t element;       /* its row-major number; -1: the random direction */
    double analytic, numeric;
    int checked, kinks;    /* kinks: left and right slopes differ; not counted in worst */
    bool passed;
};
/* Compares differentiate with central differences of ir_evaluate; draws, states and what is stopped are frozen. values holds
   the leaves. The loss is contracted with random cotangents if it is not rank 0. results: one for each wrt. NULL, or why it
   cannot be done. */
const char *gradcheck(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                      const struct ir_values *values, struct ir_run run, struct gradcheck_options options,
                      struct gradcheck_result *results);

#endif
