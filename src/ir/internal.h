/* internal.h: what the files of src/ir share and nobody else sees. */
#ifndef RNET_IR_INTERNAL_H
#define RNET_IR_INTERNAL_H

#include "ir.h"

/* ---- tables.c: hash-consing, and an order that comes from structure alone ---- */

struct consed {
    struct {
        uint64_t hash;
        const void *item;
    } * at;
    size_t slots, used;
};
struct ir_tables {
    struct arena *arena;
    int indices; /* how many were made */
    struct consed atoms, forms, exprs, divisions;
};

uint64_t mix(uint64_t hash, uint64_t value);
uint64_t atom_hash(const struct ir_atom *atom);
/* The one node equal to the prototype, copied to the arena if there is none yet. A form's terms and an expression's
   subscripts must live in the arena already. */
const struct ir_atom *intern_atom(struct ir_tables *tables, const struct ir_atom *prototype);
const struct ir_form *intern_form(struct ir_tables *tables, const struct ir_form *prototype);
const struct ir_expr *intern_expr(struct ir_tables *tables, const struct ir_expr *prototype);
/* What is known of form // divisor and form % divisor: NULL before the caller sets it. */
struct divided {
    const struct ir_form *form;
    int64_t divisor;
    const struct ir_form *quotient, *remainder;
};
struct divided *find_divided(struct ir_tables *tables, const struct ir_form *form, int64_t divisor);
/* Below, equal or above 0. Indices by name, extent, number; everything else by kind and parts. */
int compare_atoms(const struct ir_atom *a, const struct ir_atom *b);

/* ---- range.c ---- */

struct interval {
    int64_t low, high;
}; /* INT64_MIN, INT64_MAX: without bound */
int64_t saturating_multiply(int64_t a, int64_t b);
int64_t floor_divide(int64_t a, int64_t by); /* by > 0; what is without bound stays so */
struct interval interval_scale(struct interval a, int64_t by);
struct interval interval_add(struct interval a, struct interval b);
/* Is op(arguments) a whole number, and in which interval? */
bool infer_whole(enum ir_op op, const struct ir_expr *const *arguments, struct interval *range);
/* The same of a reduction of values of which value is one. */
bool infer_reduction(enum ir_reduction reduction, struct ir_index *const *reduced, int count,
                     const struct ir_expr *value, struct interval *range);

/* ---- apply.c ---- */

/* Provably inside, provably outside, or neither, of a subscript on its axis. */
enum place { INSIDE, OUTSIDE, UNKNOWN };
enum place subscript_place(const struct ir_form *subscript, const struct ir_index *axis);

/* ---- substitute.c ---- */

/* Reads of t become reads of what target says (t itself: unchanged). */
const struct ir_expr *retarget_by(struct ir_program *p, const struct ir_expr *e,
                                  struct ir_tensor *(*target)(struct ir_tensor *t, void *context), void *context);

/* Like ir_reads, of all that the tensor's value and targets read; nothing for a leaf. */
void reads_of(const struct ir_tensor *t, void (*visit)(const struct ir_expr *read, void *context), void *context);

/* By which constant the time of a read differs from its reader's; false: by no constant. Both are of a recurrence. */
bool time_shift(const struct ir_tensor *reader, const struct ir_expr *read, int64_t *shift);

/* ---- nest.c ---- */

/* The knot's innermost recurrences and the one around them become one; it is to be arranged anew. NULL, or why not. */
const char *flatten_nest(struct ir_program *p, struct ir_tensor *const *knot, int count);

/* ---- build.c ---- */

/* Appends a tensor as it is; its name must be free. */
void list_tensor(struct ir_program *p, struct ir_tensor *tensor);
/* Kind and range from the value. */
void infer_tensor(struct ir_tensor *equation);
/* How many axes of the result, the last ones, are its vector or matrix. */
int opaque_own(enum ir_opaque opaque);
/* What is wrong with the shapes of the operands, or NULL. */
const char *opaque_misfit(enum ir_opaque opaque, const struct ir_tensor *a, const struct ir_tensor *b);
extern const char *const opaque_names[4], *const kernel_kinds[5]; /* operators.c: as words of the text form */
/* Kind and range of the equation's value; whole numbers or not. */
bool infer_equation(const struct ir_tensor *equation, struct interval *range);

#endif
