/* adjoint.h: what the files of this folder share. */
#ifndef RNET_ADJOINT_H
#define RNET_ADJOINT_H

#include "autodiff.h"

/* ---- rewrite.c ---- */

/* A table from nodes to pointers; looked up, never walked. */
struct node_table;
struct node_table *node_table_new(struct arena *arena);
void *node_get(const struct node_table *table, const void *node);
void node_put(struct node_table *table, const void *node, void *value);

int64_t divide_down(int64_t a, int64_t b);
const struct ir_form *form_minus(struct ir_program *p, const struct ir_form *a, const struct ir_form *b);
const struct ir_form *form_plus(struct ir_program *p, const struct ir_form *a, int64_t constant);
/* Does the index occur inside a quotient, a remainder or a value of the form? */
bool form_nests(struct ir_program *p, const struct ir_form *f, const struct ir_index *index);
bool form_reads(const struct ir_form *f);
/* The name itself if none of the indices has it, else with a suffix _2, _3, ... */
const char *unused_name(struct ir_program *p, const char *name, struct ir_index *const *indices, int count);
bool is_zero(const struct ir_expr *e);

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
    struct node_table *seen;
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

/* A solved adjoint of a read: over the axes of the target, times / over * sum over reduced (none: a map) of value.
   value NULL: zero; times, over NULL: 1. */
struct adjoint {
    struct ir_index **reduced;
    int count;
    const struct ir_expr *value, *times, *over;
};
/* Sets the value, and what can stand before the sum. */
void system_close(struct system *s, struct adjoint *out);
/* See adjoint_of_read. Returns false, and why, if the brackets cannot be solved. */
bool adjoint_solve(struct ir_program *p, struct ir_tensor *target, const struct ir_form **subscripts,
                   struct ir_index **summed, int summed_count, struct ir_index **preferred, int preferred_count,
                   const struct ir_expr *weight, struct adjoint *out, const char **unsolved);

/* ---- freeze.c ---- */

struct frozen {
    struct ir_tensor *source, *leaf; /* the leaf is to hold the source's values at rest */
};
typedef LIST(struct frozen) frozen_list;
/* A loss of the same value in which each `stop` is a leaf; the loss itself if there is none. */
struct ir_tensor *freeze_stops(struct ir_program *p, struct ir_tensor *loss, frozen_list *frozen);

#endif
