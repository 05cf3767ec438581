/* adjoint.h: what the files of this folder share. */
#ifndef RNET_ADJOINT_H
#define RNET_ADJOINT_H

#include "autodiff.h"

/* ---- rewrite.c ---- */

int64_t divide_down(int64_t a, int64_t b);
const struct ir_form *form_minus(struct ir_program *p, const struct ir_form *a, const struct ir_form *b);
const struct ir_form *form_plus(struct ir_program *p, const struct ir_form *a, int64_t constant);
/* Does the index occur inside a quotient, a remainder or a value of the form? */
bool form_nests(struct ir_program *p, const struct ir_form *f, const struct ir_index *index);
bool form_reads(const struct ir_form *f);
/* The name itself if none of the indices has it, else with a suffix _2, _3, ... */
const char *unused_name(struct ir_program *p, const char *name, struct ir_index *const *indices, int count);

/* Either index := to, or divided // divisor := quotient and divided % divisor := remainder. */
struct replacement {
    struct ir_index *index;
    const struct ir_form *to;
    const struct ir_form *divided;
    int64_t divisor;
    const struct ir_form *quotient, *remainder;
};
/* Unlike ir_substitute these may take a read outside: it then gets an otherwise, whose value is never used because the
   guards of the system hold wherever the term counts. */
const struct ir_form *form_rewrite(struct ir_program *p, const struct ir_form *f, const struct replacement *by);
const struct ir_expr *expr_rewrite(struct ir_program *p, const struct ir_expr *e, const struct replacement *by);
/* A set of forms: all that occur in what is added, those inside computed subscripts included, each once, in order. */
struct forms {
    struct arena *arena;
    struct memo *seen;
    LIST(const struct ir_form *) list;
};
struct forms forms_new(struct arena *arena);
void forms_add(struct forms *forms, const struct ir_form *f);
void forms_add_expr(struct forms *forms, const struct ir_expr *e);

/* ---- guards.c: conditions as the solver sees them. Immutable. ---- */

enum guard_kind {
    GUARD_NOT_NEGATIVE, /* form >= 0 */
    GUARD_ZERO,         /* form == 0 */
    GUARD_NOT_ZERO,
    GUARD_TRUTH, /* a condition that is no form: the real number truth is not 0 */
    GUARD_ALL,   /* of parts; none: true */
    GUARD_ANY    /* of parts; none: false */
};
struct guard {
    enum guard_kind kind;
    const struct ir_form *form;
    const struct ir_expr *truth;
    int count;
    const struct guard **parts;
};
typedef LIST(const struct guard *) guard_list;
const struct guard *guard_of_form(struct ir_program *p, enum guard_kind kind, const struct ir_form *form);
const struct guard *guard_join(struct ir_program *p, enum guard_kind kind, const struct guard *a,
                               const struct guard *b);
/* The condition, or (holds false) that it is not so. Negation ends up at the leaves. */
const struct guard *guard_of(struct ir_program *p, const struct ir_expr *condition, bool holds);
const struct ir_expr *guard_condition(struct ir_program *p, const struct guard *g);
/* What intervals decide is decided. */
const struct guard *guard_simplify(struct ir_program *p, const struct guard *g);
const struct guard *guard_rewrite(struct ir_program *p, const struct guard *g, const struct replacement *by);
bool guard_equal(const struct guard *a, const struct guard *b);
bool guard_true(const struct guard *g);
bool guard_false(const struct guard *g);
bool guard_reads(const struct guard *g);
void guard_forms(struct forms *forms, const struct guard *g);
/* Adds g to the list, the parts of an ALL one by one, nothing twice. */
void guard_add(struct ir_program *p, guard_list *guards, const struct guard *g);
/* Adds 0 <= f and f < extent. */
void guard_add_range(struct ir_program *p, guard_list *guards, const struct ir_form *f, int64_t extent);

/* ---- bracket.c, tidy.c ---- */

/* sum over unknowns of number * product of factors, where every guard holds and every bracket is 0; elsewhere 0. */
struct unknown {
    struct ir_index *index;
    bool preferred; /* an output index of the forward equation, or split from one: the first to be eliminated */
    bool implied;   /* its range follows from a guard, because it came from a split */
};
struct factor {
    const struct ir_expr *value;
    bool inverse; /* divides */
};
struct system {
    struct ir_program *p;
    LIST(struct unknown) unknowns;
    LIST(const struct ir_form *) brackets;
    guard_list guards;
    LIST(struct factor) factors;
    double number;
    bool zero; /* a guard is false */
};
bool system_sums(const struct system *s, const struct ir_form *f); /* does it mention an unknown? */
int system_count(const struct system *s, const struct ir_form *f); /* how many unknowns it mentions */
void system_multiply(struct system *s, const struct ir_expr *e, bool inverse, bool fresh);
void system_rewrite(struct system *s, const struct replacement *by);
/* unknown := to everywhere; it is none from then on. eliminate also guards its range, unless it is implied. */
void system_substitute(struct system *s, int unknown, const struct ir_form *to);
void system_eliminate(struct system *s, int unknown, const struct ir_form *to);
struct ir_index *system_unknown(struct system *s, const char *name, int64_t extent, bool batch, bool preferred,
                                bool implied);
void system_tidy(struct system *s);

/* The question what reads of one tensor contribute to its gradient:
   target[axes] += sum over summed of weight * product of [subscripts[k] == axes[k]]. */
struct question {
    struct ir_tensor *target;
    const struct ir_form **subscripts;
    struct ir_index **summed;
    int summed_count;
    struct ir_index **preferred; /* output indices of the forward equation */
    int preferred_count;
    struct ir_index *
        *kept; /* free indices that stand before the target's axes; none of them is one of these or summed */
    int kept_count;
    const struct ir_expr *weight;
    bool in_step; /* the target's recurrence reads it: one time is made after the other, which no scatter does */
};

/* The answer, over kept and those axes of the target that are not tied: times / over * sum over reduced (none: a map)
   of value; with targets: the scatter of value from the sources `reduced`, its targets for kept and each axis that is
   not tied. value NULL: zero; times, over NULL: 1. It is 0 wherever the index of a tied axis differs from its kept
   index. */
struct adjoint {
    struct ir_index **reduced;
    int count;
    const struct ir_expr *value, *times, *over;
    const struct ir_form **targets;
    int *tied; /* for each axis of the target the number of a kept index, from 1; 0: not tied. NULL: none is */
};
/* Sets the value, and what can stand before the sum. */
void system_close(struct system *s, struct adjoint *out);
void adjoint_solve(struct ir_program *p, const struct question *q, struct adjoint *out);

/* ---- scatter.c ---- */

/* The answer as a scatter, whatever the subscripts; as a value at one place if they are constants. */
void adjoint_scatter(struct ir_program *p, const struct question *q, struct adjoint *out);

/* ---- partials.c ---- */

/* Can a derivative pass? active: by tensor->number, below count. */
struct passing {
    struct ir_program *p;
    const bool *active;
    int count;
    struct memo *lets;
};
struct passing passing_new(struct ir_program *p, const bool *active, int count);
bool passes(struct passing *s, const struct ir_expr *e);

/* The weight of each read of an active tensor in e when e's own is seed. stored: a read of the value of e, or NULL. */
struct partial {
    const struct ir_expr *read, *weight;
};
typedef LIST(struct partial) partial_list;
partial_list partials(struct passing *s, const struct ir_expr *e, const struct ir_expr *seed,
                      const struct ir_expr *stored);
/* The summands of a weight: sums are taken apart, equal products joined. */
typedef LIST(const struct ir_expr *) expr_list;
expr_list summands_of(struct ir_program *p, const struct ir_expr *weight);

/* ---- reads.c ---- */

/* Calls visit for each tensor that t reads: in its value, its targets, as an operand. */
void tensor_reads(const struct ir_tensor *t, void (*visit)(struct ir_tensor *read, void *context), void *context);
/* marks[number], for count tensors: adds what is read (reading: what reads) by what is marked, and so on. */
void mark_what_is_read(const struct ir_program *p, bool *marks, int count);
void mark_what_reads(const struct ir_program *p, bool *marks, int count);
/* Does the tensor read one of those marked? */
bool reads_marked(const struct ir_tensor *t, const bool *marks, int count);
const struct ir_form **own_subscripts(struct ir_program *p, struct ir_index *const *axes, int rank);
/* The tensor at these indices, one for each axis. */
const struct ir_expr *read_at(struct ir_program *p, struct ir_tensor *tensor, struct ir_index *const *axes);
bool has_recurrences(const struct ir_program *p);
/* ir_arrange, if there are recurrences and every equation is defined. */
const char *arrange_finished(struct ir_program *p);

/* ---- join.c, reverse.c, opaque.c ---- */

/* One summand of a tensor's gradient. */
struct summand {
    struct adjoint adjoint;
    const struct ir_origin *origin;
};
typedef LIST(struct summand) summand_list;

/* A tensor's gradient: 0 where a tied axis differs from its kept index; elsewhere value, over the kept indices and the
   axes that are not tied. */
struct gradient {
    const int *tied;
    const struct ir_expr *value;
    struct ir_tensor *made; /* that holds it, or NULL */
};

struct reverse {
    struct ir_program *p;
    int count;              /* tensors that are looked at: those up to e, or to the end of its recurrence */
    bool *active;           /* by number: a derivative can pass from a tensor of wrt to it */
    summand_list *summands; /* by number: what has arrived */
    bool *done;             /* by number: nothing may arrive any more */
    struct passing passing;
    struct ir_index **kept; /* the axes of e that are kept apart, as indices of their own */
    int kept_count;
    const struct ir_recurrence *within; /* or NULL: see differentiate_within */
    const char *error;
};

/* An equation of the recurrence, with its time among the axes, or outside (NULL). */
struct ir_tensor *make_equation(struct reverse *r, const char *name, struct ir_index **axes, int rank,
                                const struct ir_recurrence *recurrence, const struct ir_index *time,
                                enum ir_reduction reduction, struct ir_index **reduced, int reduced_count,
                                const struct ir_expr *value, const struct ir_origin *origin);
/* kept and those of t's axes that are not tied. */
ir_index_list gradient_axes(const struct reverse *r, const struct ir_tensor *t, const int *tied);
bool is_tied(const int *tied, int axis);
/* The form that stands for an axis of t: its index, or the kept index that it is tied to. */
const struct ir_form *axis_form(const struct reverse *r, const struct ir_tensor *t, const int *tied, int axis);
/* value where the tied axes equal their kept indices, 0 elsewhere; except those axes that are tied alike in `but` (or
 * NULL). */
const struct ir_expr *where_tied(const struct reverse *r, const struct ir_tensor *t, const int *tied, const int *but,
                                 const struct ir_expr *value);
/* What has arrived at t as its gradient. asked: it must be stored. */
struct gradient join(struct reverse *r, struct ir_tensor *t, bool asked);
/* Defines the declared g->made as what has arrived at t. */
void define_gradient(struct reverse *r, struct ir_tensor *t, const struct gradient *g);
/* The gradient over all axes, the tied ones too. */
struct ir_tensor *whole_gradient(struct reverse *r, struct ir_tensor *t, const struct gradient *g);
/* Sends to the question's target what reading it contributes; what is kept is filled in. recurrence: of the equation
 * that reads. */
void deliver(struct reverse *r, const struct question *question, const struct ir_recurrence *recurrence,
             const struct ir_origin *origin);
/* Sends what the equation's gradient implies to the tensors that it reads; false: r->error says why not. */
bool send(struct reverse *r, struct ir_tensor *t, const struct gradient *g);
/* The same for an opaque tensor. */
bool send_opaque(struct reverse *r, struct ir_tensor *t, const struct gradient *g);
/* gradients[i] for each wrt[i] that is t. */
void set_gradients(struct reverse *r, struct ir_tensor *t, const struct gradient *g, struct ir_tensor *const *wrt,
                   int count, struct ir_tensor **gradients);

/* ---- recurrence.c ---- */

/* The gradients of all equations of the recurrence, as a recurrence that runs the other way, and what they imply
   outside. *where: the equation that is at fault if it is false. */
bool reverse_recurrence(struct reverse *r, const struct ir_recurrence *recurrence, struct ir_tensor *const *wrt,
                        int count, struct ir_tensor **gradients, const struct ir_tensor **where);

/* ---- recompute.c ---- */

/* Copies of tensors with other values. */
struct copying {
    struct ir_program *p;
    int count;               /* tensors that are looked at */
    const bool *copied;      /* by number: is copied */
    struct ir_tensor **copy; /* by number: what to read instead, or NULL; filled */
    struct ir_index **extra; /* stand before the axes of what is read instead */
    int extra_count;
    const char *prefix; /* of the copies' names */
    const struct ir_expr *(*rewrite)(const struct ir_tensor *t, const struct ir_expr *value,
                                     void *context); /* or NULL */
    void *context;
};
void copy_tensors(struct copying *c);

/* ---- freeze.c ---- */

struct frozen {
    struct ir_tensor *source, *leaf; /* the leaf is to hold the source's values at rest */
};
typedef LIST(struct frozen) frozen_list;
/* A loss of the same value in which each `stop` is a leaf; the loss itself if there is none. */
struct ir_tensor *freeze_stops(struct ir_program *p, struct ir_tensor *loss, frozen_list *frozen);

#endif
