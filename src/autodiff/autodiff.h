/* autodiff.h: reverse mode on the tensor IR: equations in, equations out. */
#ifndef RNET_AUTODIFF_H
#define RNET_AUTODIFF_H

#include "ir.h"

/* Appends to p the equations of the gradients of the rank-0 tensor `loss` with respect to wrt[0 .. count - 1] (any
   tensors before loss; a perturbation is added where the tensor is defined). gradients[i] has wrt[i]'s axes; a tensor
   without a path to the loss gets NULL. No derivative passes through draws, states, whole numbers, ranks and `stop`.
   Returns NULL, or in p's arena what cannot be differentiated; *where is then the tensor concerned. requires: a
   verified program without kernels. maintains: what is there; order. */
const char *differentiate(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                          struct ir_tensor **gradients, const struct ir_tensor **where);

/* The same for a tensor e of any rank. apart[k]: e's axis k is kept apart, e.g. the rows of a Jacobian; the axes that
   are not are summed over. gradients[i] has the kept axes of e first (indices of its own, in order), then wrt[i]'s
   axes. A sample's own values cost no more than one reverse pass even if the samples are kept apart: what is 0 because
   two indices differ is not stored but in gradients[i] itself. */
const char *differentiate_each(struct ir_program *p, struct ir_tensor *e, const bool *apart,
                               struct ir_tensor *const *wrt, int count, struct ir_tensor **gradients,
                               const struct ir_tensor **where);

/* The same within one step of a recurrence, which may be unfinished: e and wrt are equations of it, each value of its
   time is apart, what is carried counts as constant. gradients[i] is an equation of the recurrence, with the kept axes
   of e (the time is none) first, then wrt[i]'s axes. Nothing is arranged; order: each new equation follows what it
   reads. */
const char *differentiate_within(struct ir_program *p, struct ir_tensor *e, const bool *apart,
                                 struct ir_tensor *const *wrt, int count, struct ir_tensor **gradients,
                                 const struct ir_tensor **where);

/* ---- recompute.c ---- */

/* Copies of the tensors wanted, appended to p, as they would be if from[i] held what to[i] holds. The first `extra`
   axes of to[i] are mapped: the copies are made for each of their values, and have them in front of their own axes; the
   rest of to[i]'s axes are from[i]'s. What does not depend on a replaced tensor is shared, draws are the same draws, a
   recurrence is copied as one of its own. copies[k] is wanted[k] itself if it depends on none, and to[i] if it is
   from[i]. requires: a verified program without kernels; to[i] does not depend on what is copied through a recurrence.
   Returns NULL, or what cannot be copied. maintains: what is there; order. */
const char *recompute(struct ir_program *p, struct ir_tensor *const *from, struct ir_tensor *const *to, int count,
                      int extra, struct ir_tensor *const *wanted, int wanted_count, struct ir_tensor **copies);

/* For a tensor without a gradient: the last tensor on a path from `from` towards `loss` that lets no derivative
   through, or the last one that nothing on the way to the loss reads (for E0602). */
const struct ir_tensor *derivative_ends_at(const struct ir_program *p, const struct ir_tensor *from,
                                           const struct ir_tensor *loss);

/* ---- derivatives.c: one row an operator of ops.def ---- */

/* weights[i] = derivative of op(arguments) to arguments[i], times g; NULL where it is 0. self is op(arguments) itself,
   or a read of the tensor that stores it. */
#define OP(name, ...)                                                                                                  \
    void derivative_##name(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,   \
                           const struct ir_expr *g, const struct ir_expr **weights);
#include "ops.def"
#undef OP

/* ---- bracket.c: the solver ---- */

/* The adjoint of a read: target[axes] = sum over the summed indices of weight * product of [subscripts[k] == axes[k]].
   Makes the equation (named name; a scatter if brackets cannot be solved) or returns NULL if it is identically zero.
   preferred: output indices of the forward equation. bracket.c says how. */
struct ir_tensor *adjoint_of_read(struct ir_program *p, const char *name, struct ir_tensor *target,
                                  const struct ir_form **subscripts, struct ir_index **summed, int summed_count,
                                  struct ir_index **preferred, int preferred_count, const struct ir_expr *weight,
                                  const struct ir_origin *origin);

/* ---- gradcheck.c ---- */

struct gradcheck_options {
    bool exhaustive; /* every element; else one random direction and sixteen elements a tensor (all of a small one) */
    uint64_t seed;
    double tolerance; /* relative error that passes, in the norm |a - b| / (|a| + |b|), from the difference step; 0:
                         1e-6 */
};
struct gradcheck_result {
    const struct ir_tensor *tensor;
    double worst;    /* relative error of the worst element, kinks apart */
    int64_t element; /* its row-major number; -1: the random direction */
    double analytic, numeric;
    int checked, kinks; /* kinks: left and right slopes differ, or a jump; not counted in worst */
    bool passed;
};
/* Compares differentiate with central differences of ir_evaluate; draws, states and what is stopped are frozen. values
   holds the leaves. The loss is contracted with random cotangents if it is not rank 0. results: one for each wrt. NULL,
   or why it cannot be done. */
const char *gradcheck(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                      const struct ir_values *values, struct ir_run run, struct gradcheck_options options,
                      struct gradcheck_result *results);

#endif
