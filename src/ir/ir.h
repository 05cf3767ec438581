/* ir.h: the tensor IR. A program is a list of tensors in an order in which each follows what it reads; a tensor is a leaf or
   an equation; an equation is one scalar expression over indices, mapped over its output indices and perhaps reduced.

       W_new[i, o] = W[i, o] - rate * g[i, o]                  a map
       z[n, o]     = sum[i: 784] x[n, i] * W[i, o]             a contraction

   Forward, backward and update are equations alike. An expression holds no reduction: sema makes each an equation of its own.
   Everything lives in the program's arena and is immutable after it is made, except the fields that a pass is said to set.
   Expressions and forms are hash-consed: equal means the same pointer, within one program. */
#ifndef RNET_IR_H
#define RNET_IR_H

#include <stdio.h>

#include "base.h"

/* ---- indices and forms ---- */

/* A loop variable 0 .. extent - 1. Identity is the pointer. The index of the samples is an ordinary one with a flag. */
struct ir_index {
    const char *name;
    int64_t extent;
    bool batch;
    int number; /* order of creation in the program */
};

/* A whole number computed from indices: constant + sum of coefficient * atom, normalised (ADJOINTS.md, section 1):
   terms are sorted by the atoms' structure, no atom occurs twice, no coefficient is 0. */
enum ir_atom_kind {
    IR_ATOM_INDEX,     /* index */
    IR_ATOM_QUOTIENT,  /* form // divisor, rounding down, divisor > 1 */
    IR_ATOM_REMAINDER, /* form % divisor, in [0, divisor) */
    IR_ATOM_VALUE      /* a whole-number expression that is no form: a read of a whole tensor, an if, a product of indices */
};
struct ir_form;
struct ir_expr;
struct ir_atom {
    enum ir_atom_kind kind;
    struct ir_index *index;
    const struct ir_form *form;
    int64_t divisor;
    const struct ir_expr *value;
    int64_t low, high; /* its interval */
};
struct ir_term {
    int64_t coefficient;
    const struct ir_atom *atom;
};
struct ir_form {
    int64_t constant;
    int count;
    const struct ir_term *terms;
    int64_t low, high; /* interval over all values of its atoms */
    uint64_t hash;
};

/* ---- expressions ---- */

enum ir_op {
#define OP(name, ...) IR_##name,
#include "ops.def"
#undef OP
    IR_OP_COUNT
};

enum ir_expr_kind {
    IR_CONSTANT, /* number */
    IR_FORM,     /* form, as a whole number */
    IR_READ,     /* tensor[forms...]; every subscript provably inside, or otherwise != NULL says the value outside */
    IR_APPLY     /* op(arguments) */
};
struct ir_tensor;
struct ir_expr {
    enum ir_expr_kind kind;
    bool whole;        /* a whole number, in [low, high]; a real one otherwise */
    int64_t low, high; /* INT64_MIN / INT64_MAX: unbounded */
    double number;
    const struct ir_form *form;
    struct ir_tensor *tensor;
    const struct ir_form **subscripts; /* one for each axis of tensor */
    const struct ir_expr *otherwise;
    enum ir_op op;
    const struct ir_expr *arguments[3];
    uint64_t hash; /* of structure: the same in every run */
};

/* ---- tensors ---- */

enum ir_kind {
    IR_INPUT,     /* a field of the data: one row a sample (first axis batch), or shared */
    IR_PARAMETER, /* trained; */
    IR_STATE,     /* kept from step to step: running statistics, moments */
    IR_SCALAR,    /* rank 0, a double filled anew for each step: step, epoch, settings, schedules */
    IR_DRAW,      /* standard random numbers, see enum ir_draw */
    IR_EQUATION,
    IR_OPAQUE     /* what no equation says: see enum ir_opaque */
};
/* Opaque operations work on the last axes of their operands, for each value of the axes before, which operands and result share in
   the same order (LAPACK does the first three):
     RANK        x[.., k] -> whole [.., k]: how many of the k come before, ascending, ties by place, NaN last
     SOLVE       A[.., i, j], b[.., i] -> x[.., j] with sum[j] A[i, j] x[j] = b[i]
                 NaN, all n of them, if A is singular
     CHOLESKY    S[.., i, j] -> C[.., i, j], lower triangular, C C' = S; only the lower triangle of S is read. NaN throughout
                 if S is not positive definite
     ORTHOGONAL  x[.., i, j] of normal numbers -> rows or columns orthonormal, whichever are fewer (columns of a square matrix): Q of
                 the QR factors with the signs of R's diagonal (Mezzadri 2007), so that R's diagonal is positive */
enum ir_opaque { IR_RANK, IR_SOLVE, IR_CHOLESKY, IR_ORTHOGONAL };
/* A draw is raw: distributions with arguments are equations over it. Bernoulli(p) is `u < p` with u of IR_UNIFORM16.
   Bits to numbers: runtime/philox.h. Each value is exact in f32. */
enum ir_draw { IR_UNIFORM16, IR_UNIFORM32, IR_NORMAL };
/* What the stream position in the Philox counter is: the sample's number, the step's number, 0, the item's number. */
enum ir_scope { IR_PER_SAMPLE, IR_PER_STEP, IR_PER_RUN, IR_PER_ITEM };
enum ir_reduction { IR_MAP, IR_SUM, IR_PRODUCT, IR_MAXIMUM, IR_MINIMUM, IR_ARGMAX, IR_ARGMIN };

/* A recurrence: equations (and opaque tensors, which read their operands at their own time) along one axis, the time, made one
   step after the other: upwards 0, 1, .., or downwards. Its equations stand together in the program, each with the time among its outputs. One reads another (or itself) at its own
   time, if that stands before it, or one step earlier (t - 1 upwards, t + 1 downwards, with an otherwise for the first step), wherever
   that stands: what is read so is carried. Every equation of a recurrence depends on itself through such a read; what does not
   stands outside (ir_arrange). Nested recurrences do not exist: ir_arrange makes one of them. */
struct ir_recurrence {
    const char *name;
    int64_t extent;
    bool down;
};

/* Where a tensor comes from, for diagnostics and explain: dotted path of the instance, source range, call chain. */
struct ir_origin {
    const char *path;              /* "classifier.dense_2" */
    const char *file;
    int line, column;              /* 1-based; 0: made by the compiler */
    int begin, end;                /* bytes */
    const struct ir_origin *caller; /* the use of the layer that this stands in, or NULL */
};

/* Where plan_memory put a tensor: a region of struct rnet_step (runtime/rnet.h) and a byte offset in it. */
enum ir_region { IR_NOWHERE, IR_LOCAL, IR_IN_ARENA, IR_IN_PARAMETERS, IR_IN_STATE, IR_IN_INPUTS, IR_IN_SCALARS };
enum ir_storage { IR_F32, IR_F64, IR_I32, IR_U8 };

struct ir_tensor {
    const char *name; /* unique in the program; parameters and states have their dotted path */
    int number;       /* place in program->tensors */
    enum ir_kind kind;
    bool whole;
    int64_t low, high;       /* range of a whole tensor */
    int rank;
    struct ir_index **axes;  /* an equation's are its output indices, in order; a leaf's are its own */
    const struct ir_origin *origin;

    enum ir_draw draw;
    enum ir_scope scope;
    int mapped;              /* of a draw: how many axes after the batch axis are linearised into counter word 1 */

    enum ir_reduction reduction;
    int reduced_count;
    struct ir_index **reduced; /* in written order, row-major for argmax */
    const struct ir_expr *value;
    bool single;             /* each operation is rounded to f32, no fma, whatever the program's precision: arguments of draws */
    /* Of a scatter (else NULL), a form for each axis over the reduced indices: the element at `axes` is the sum of value over those
       reduced indices, in increasing row-major order, whose targets equal it; 0 if there are none. reduction is IR_SUM; value
       and targets mention reduced indices only. Each target is inside its axis. */
    const struct ir_form **targets;
    const struct ir_recurrence *recurrence; /* NULL: stands outside of any */
    int time;                /* in a recurrence: which axis is the time */

    enum ir_opaque opaque;
    struct ir_tensor *operands[2];

    enum ir_storage storage; /* set by plan_memory */
    enum ir_region region;   /* set by plan_memory (IR_LOCAL by fuse: lives only inside its kernel) */
    int64_t offset;
    int one_step;            /* set by plan_memory: 1 + the axis that is the time, if all steps of its recurrence have one place; 0 */
};

struct ir_update { struct ir_tensor *leaf, *value; };            /* at the step's end: leaf <- value, same shape */
struct ir_output { const char *name; struct ir_tensor *tensor; bool guard; };
/* guard: a rank-0 output that must be finite before any leaf is written; else the step returns RNET_NONFINITE. */

/* ---- kernels: what fuse makes of a program ---- */

/* NEST: for each point of `parallel` (the outer loops, in order; none: one point), stage after stage; a stage loops over its
   inner indices (in order; none: one point) and computes its equations in order at each point. Let P be the indices of
   parallel and I those of the stage. All equations of a kernel share index objects, and each is one of
     a map                  its outputs are P and I, each once, in any order;
     an inner reduction     it reduces over some of I, its outputs are P and the rest of I. In I its outputs stand before what is
                            reduced. Its result is complete when the stage ends;
     a reduction in parts   it reduces over all of P and perhaps some of I; its outputs are the rest of I (or none). Made for each
                            part of P, then joined; complete when the kernel ends. Never argmax or argmin.
   What a kernel may read of what it makes: in a later stage a map or inner reduction of an earlier one, at any subscripts
   so long as each axis that is in P is read at that very index (so a point reads only what the same point made); in the
   same stage a map that stands before it, every axis read at that very index (its value is at hand). A reduction in parts is
   not read in its kernel. A leaf that an update of this kernel writes in place is read only at the element written, before or by
   the equation that writes it, or in earlier stages at the same point of P.
   IR_LOCAL: a map or inner reduction that only its own kernel reads, and no output or update. Read in its own stage alone it is
   a register. Else it needs scratch: the extents of its axes without P, at most IR_MOST_SCRATCH elements a point.
   Draws are read at any subscripts, wherever they are used; they have no memory.
   An index of parallel may be the one that runs along memory (columns: parallel [c], inner [n]) or inner may hold it (rows:
   parallel [n], inner [c]); the code generator vectorises along the last index of the largest tensors it touches.
   Kernels of a recurrence stand together and run in order for each step of its time; `time` is then the index object that all
   their equations have for it, neither parallel nor inner: fixed while the kernel runs. (NULL outside.)
   SCATTER: one scatter equation. OPAQUE: one opaque tensor. Their parallel and stages are empty but for the equation.
   PRODUCT: one stage with one equation that product_match accepts, lowered to BLAS; parallel = its outputs, inner = what it
   reduces. TILE: the same (or window_match accepts it), lowered to register tiles; further stages have no inner indices. Of a
   product over windows a stage may stand before it, with one local map that the product alone reads: the frame, made as it is
   wanted. Its stage's inner indices are its axes, which are nobody else's. Before that a map may stand, in the same way but stored,
   that the frame reads image by image, as it is made. Behind a product whose images are each made whole there may be
     a sum of an image     it reduces over those of P between the first ones, which number images, and the last; its outputs are
                           these. Complete when its stage ends: later stages read it at those indices. */
enum { IR_MOST_SCRATCH = 1 << 16 };
enum ir_kernel_kind { IR_NEST, IR_PRODUCT_KERNEL, IR_SCATTER_KERNEL, IR_OPAQUE_KERNEL, IR_TILE_KERNEL };
struct ir_stage {
    LIST(struct ir_index *) inner;
    LIST(struct ir_tensor *) equations;
};
struct ir_kernel {
    const char *name; /* unique, C identifier */
    enum ir_kernel_kind kind;
    LIST(struct ir_index *) parallel;
    LIST(struct ir_stage *) stages;
    const struct ir_recurrence *recurrence;
    struct ir_index *time;
    const char *stopped; /* why fusion stopped here, for explain */
};

enum ir_precision { IR_SINGLE, IR_DOUBLE };
struct ir_program {
    struct arena *arena;
    const char *name;
    enum ir_precision precision;
    LIST(struct ir_tensor *) tensors;
    LIST(struct ir_update) updates;
    LIST(struct ir_output) outputs;
    LIST(struct ir_kernel *) kernels; /* set by fuse, in order of execution */
    int64_t arena_bytes, parameter_bytes, state_bytes, input_bytes; /* set by plan_memory; scalars: 8 bytes each, by number */
    int64_t alive_bytes;          /* set by plan_memory: the most that live in the arena at one time, */
    int most_alive;               /* at this kernel (of several, the first) */
    struct ir_tables *tables; /* hash-consing */
    struct map *names, *suffixes; /* build.c's: ir_find, and the next suffix of a name */
    int named;                    /* how many of tensors are in names */
};

/* ---- build.c: the only way to make any of this ---- */

struct ir_program *ir_program_new(struct arena *arena, const char *name, enum ir_precision precision);
struct ir_index *ir_index(struct ir_program *p, const char *name, int64_t extent, bool batch);

const struct ir_form *ir_form_constant(struct ir_program *p, int64_t value);
const struct ir_form *ir_form_index(struct ir_program *p, struct ir_index *index);
const struct ir_form *ir_form_add(struct ir_program *p, const struct ir_form *a, const struct ir_form *b);
const struct ir_form *ir_form_scale(struct ir_program *p, const struct ir_form *a, int64_t by);
const struct ir_form *ir_form_quotient(struct ir_program *p, const struct ir_form *a, int64_t divisor);
const struct ir_form *ir_form_remainder(struct ir_program *p, const struct ir_form *a, int64_t divisor);
/* Any whole expression as a form: arithmetic of forms by constants is worked out, the rest becomes an atom. */
const struct ir_form *ir_form_of(struct ir_program *p, const struct ir_expr *whole);
/* The only index of a form that is just that index, else NULL. */
struct ir_index *ir_form_bare(const struct ir_form *form);
/* Coefficient of the index as a plain term; 0 if it has none. */
int64_t ir_form_coefficient(const struct ir_form *form, const struct ir_index *index);
/* The form where index n is at[n]. value: of an atom that is a value; NULL: the form has none. */
typedef double ir_value_at(void *context, const struct ir_expr *value);
int64_t ir_form_value(const struct ir_form *form, const int64_t *at, ir_value_at *value, void *context);
/* Does the index occur anywhere in it, inside quotients, remainders and values included? */
bool ir_form_mentions(const struct ir_form *form, const struct ir_index *index);

const struct ir_expr *ir_number(struct ir_program *p, double value); /* whole if it has no fraction and |value| < 2^53 */
const struct ir_expr *ir_real(struct ir_program *p, double value);
const struct ir_expr *ir_of_form(struct ir_program *p, const struct ir_form *form);
/* Is it the constant 0, real or whole? */
bool ir_is_zero(const struct ir_expr *e);
/* requires: count == tensor->rank; each subscript inside its axis by its interval, or otherwise != NULL (dropped if inside) */
const struct ir_expr *ir_read(struct ir_program *p, struct ir_tensor *tensor, const struct ir_form **subscripts, int count,
                              const struct ir_expr *otherwise);
/* Folds constants and the laws of ops.def that hold for every number, infinities and NaN included; nothing else.
   Whole arithmetic on forms with constants gives a form. */
const struct ir_expr *ir_apply(struct ir_program *p, enum ir_op op, const struct ir_expr *a, const struct ir_expr *b,
                               const struct ir_expr *c);
/* The expression with each index from[i] replaced by the form to[i], all at once. A read that was inside and is no longer proved
   to be gets `else 0`: the caller guards it. */
const struct ir_expr *ir_substitute(struct ir_program *p, const struct ir_expr *e, struct ir_index **from,
                                    const struct ir_form **to, int count);
const struct ir_form *ir_form_substitute(struct ir_program *p, const struct ir_form *f, struct ir_index **from,
                                         const struct ir_form **to, int count);
/* The expression with every read of tensor from[i] made a read of to[i] at the same subscripts. */
const struct ir_expr *ir_retarget(struct ir_program *p, const struct ir_expr *e, struct ir_tensor **from,
                                  struct ir_tensor **to, int count);
/* Adds the indices that occur free in e to the set, in order of first occurrence, each once. */
typedef LIST(struct ir_index *) ir_index_list;
void ir_indices(struct arena *arena, const struct ir_expr *e, ir_index_list *set);
/* Does it hold of e, or of a node that e is made of: arguments and else values, not what subscripts compute? Each is asked once. */
bool ir_any(const struct ir_expr *e, bool (*holds)(const struct ir_expr *node, const void *context), const void *context);
/* Taking products, sums or conditions apart; `parted` says which nodes have parts, their arguments. Is e to be taken apart? If it
   is such a node, and at most one of its arguments falls into more than IR_FEW_PARTS: a chain comes apart whatever its length, but
   x * x forty times in itself, a tree of 2^40 factors, stays the forty nodes that it is. sizes: of nodes, by the same `parted`. */
enum { IR_FEW_PARTS = 32 };
bool ir_comes_apart(struct memo *sizes, const struct ir_expr *e, bool (*parted)(const struct ir_expr *e));
/* Calls visit for every read in e (subscripts' and otherwise's reads included), each distinct node once. */
void ir_reads(const struct ir_expr *e, void (*visit)(const struct ir_expr *read, void *context), void *context);

/* Names are made unique by a suffix _2, _3, ...  */
struct ir_tensor *ir_leaf(struct ir_program *p, enum ir_kind kind, const char *name, struct ir_index **axes, int rank,
                          bool whole, int64_t low, int64_t high, const struct ir_origin *origin);
struct ir_tensor *ir_draw_leaf(struct ir_program *p, const char *site, enum ir_draw draw, enum ir_scope scope, int mapped,
                               struct ir_index **axes, int rank, const struct ir_origin *origin);
/* requires: every index of value is in outputs or reduced, each of which is distinct. */
struct ir_tensor *ir_equation(struct ir_program *p, const char *name, struct ir_index **outputs, int rank,
                              enum ir_reduction reduction, struct ir_index **reduced, int reduced_count,
                              const struct ir_expr *value, bool single, const struct ir_origin *origin);
/* A sum put where it belongs: see ir_tensor.targets. axes: fresh indices of the result's extents. */
struct ir_tensor *ir_scatter(struct ir_program *p, const char *name, struct ir_index **axes, int rank,
                             const struct ir_form **targets, struct ir_index **sources, int source_count,
                             const struct ir_expr *value, const struct ir_origin *origin);
struct ir_tensor *ir_opaque_tensor(struct ir_program *p, const char *name, enum ir_opaque opaque, struct ir_tensor *a,
                                   struct ir_tensor *b, const struct ir_origin *origin);
/* One of a recurrence. requires: its axis `time`, which operands have at the same place, is none of its matrices. */
struct ir_tensor *ir_opaque_in(struct ir_program *p, const char *name, enum ir_opaque opaque, struct ir_tensor *a,
                               struct ir_tensor *b, const struct ir_recurrence *recurrence, int time,
                               const struct ir_origin *origin);
/* An equation of a recurrence whose value comes later, because it is carried: declared, read, then defined. Kind and range of a
   whole carried value are given. ir_equation_in makes one at once. */
struct ir_recurrence *ir_recurrence(struct ir_program *p, const char *name, int64_t extent, bool down);
struct ir_tensor *ir_declare(struct ir_program *p, const char *name, struct ir_index **outputs, int rank, bool whole, int64_t low,
                             int64_t high, const struct ir_recurrence *recurrence, int time, const struct ir_origin *origin);
void ir_define(struct ir_program *p, struct ir_tensor *declared, enum ir_reduction reduction, struct ir_index **reduced,
               int reduced_count, const struct ir_expr *value, bool single);
struct ir_tensor *ir_equation_in(struct ir_program *p, const char *name, struct ir_index **outputs, int rank,
                                 const struct ir_recurrence *recurrence, int time, enum ir_reduction reduction,
                                 struct ir_index **reduced, int reduced_count, const struct ir_expr *value, bool single,
                                 const struct ir_origin *origin);
void ir_add_update(struct ir_program *p, struct ir_tensor *leaf, struct ir_tensor *value);
void ir_add_output(struct ir_program *p, const char *name, struct ir_tensor *tensor, bool guard);
struct ir_tensor *ir_find(const struct ir_program *p, const char *name);
int64_t ir_elements(const struct ir_tensor *tensor);
/* How far apart neighbours along each axis lie, in elements; returns how many elements there is room for. */
int64_t ir_strides(const struct ir_tensor *tensor, int64_t *strides);
/* Is the index one of these? */
bool ir_is_among(struct ir_index *const *indices, int count, const struct ir_index *index);
int64_t ir_extent_product(struct ir_index *const *indices, int count);

/* ---- operators.c: ops.def as data ---- */

enum ir_notation { IR_NOTATION_INFIX, IR_NOTATION_PREFIX, IR_NOTATION_CALL, IR_NOTATION_SELECT };
enum ir_result { IR_RESULT_REAL, IR_RESULT_WHOLE, IR_RESULT_TRUTH, IR_RESULT_CHOICE };
enum ir_law { IR_COMMUTES = 1, IR_ASSOCIATES = 2, IR_IDENTITY_0 = 4, IR_IDENTITY_1 = 8 };
enum { IR_POLYNOMIAL = 20 }; /* the work of a function that is approximated */
struct ir_operator {
    const char *name, *symbol;
    int arity, level;
    enum ir_notation notation;
    enum ir_result result;
    unsigned laws; /* of enum ir_law */
    int work;      /* operations of the vector code */
};
extern const struct ir_operator ir_operators[IR_OP_COUNT];
/* The value in double precision; arguments past the arity are ignored. */
double ir_operate(enum ir_op op, double a, double b, double c);

/* ---- rebuild.c: for passes that make a program out of another. The new one shares arena, indices, expressions and those
   tensors that stay as they are; only one program at a time has the numbers of a shared tensor (ir_renumber). ---- */

/* An empty program with the arena, name, precision and tables of p. */
struct ir_program *ir_program_like(const struct ir_program *p);
/* Lists a tensor of another program in p too, and numbers it. requires: its name is free in p; what it reads is listed. */
void ir_adopt(struct ir_program *p, struct ir_tensor *tensor);
/* Lists t in p with another value: t itself if the value is the same, else a copy under the same name whose range is inferred.
   A copy of an equation of a recurrence reads the copy where t read itself, and keeps its range; others that read t are the
   caller's business (ir_rebuild sees to all of them). */
struct ir_tensor *ir_remake(struct ir_program *p, struct ir_tensor *t, const struct ir_expr *value);
/* Numbers the tensors by their places in p and looks names up among them alone: after a pass changed the list itself. */
void ir_renumber(struct ir_program *p);
/* A program like p of the tensors with keep[number] (NULL: all), in their order, with p's updates and outputs, without kernels.
   Each equation's value, its reads already of the new tensors, goes through rewrite (NULL: as it is).
   In a recurrence, a read of an equation whose turn comes later is of a tensor that has no value yet (NULL); ranges of whole
   tensors stay as they were declared.
   requires: what is kept, updated or output reads only what is kept. */
typedef const struct ir_expr *(*ir_rewrite)(struct ir_program *to, const struct ir_tensor *tensor,
                                            const struct ir_expr *value, void *context);
struct ir_program *ir_rebuild(const struct ir_program *p, const bool *keep, ir_rewrite rewrite, void *context);

/* ---- isolate.c ---- */

typedef LIST(struct ir_tensor *) ir_tensor_list;
/* The kernel as a program in `arena`, with names and places of its own: equal kernels give programs that print the same. Tensor
   places.at[i] of p is what has the offset i in it: stored tensors and draws. p is only read. requires: p planned. */
struct ir_program *ir_isolate(struct arena *arena, const struct ir_program *p, const struct ir_kernel *kernel,
                              ir_tensor_list *places);

/* ---- arrange.c ---- */

/* Puts every tensor after what it reads and gives recurrences their law, in place: of each recurrence, what depends on itself
   through a carried read stays (several independent knots become several recurrences); what only feeds it goes before it, what
   only reads it after it, and both become equations outside (recurrence NULL), along the whole of time at once. A read of a
   carried name from outside is an ordinary read. Order is otherwise kept. The first knot keeps the recurrence object, further
   ones get NAME_2, NAME_3, ... What leaves a recurrence keeps the range it was declared with. NULL, or what is wrong: a read that reaches
   further than one step, in both directions, or a cycle within one step. */
const char *ir_arrange(struct ir_program *p);

/* ---- print.c, parse.c: text and back. What is printed parses to a program that prints the same. ---- */
void ir_print(struct text *out, const struct ir_program *p);
void ir_print_expr(struct text *out, const struct ir_expr *e);
void ir_print_form(struct text *out, const struct ir_form *f);
void ir_print_tensor(struct text *out, const struct ir_tensor *t); /* its defining line, without a newline */
/* NULL on an error; *error is then "line N: what was expected", in the arena. */
struct ir_program *ir_parse(struct arena *arena, const char *source, const char **error);

/* ---- verify.c: the laws of a well-formed program; NULL, or what is broken and where (in the program's arena) ---- */
const char *ir_verify(const struct ir_program *p);

/* ---- evaluate.c: the oracle. Plain loops, double precision, one equation after the other. ---- */
struct ir_values { double **at; };                      /* by tensor->number; row-major; leaves except draws set by the caller */
struct ir_run { uint64_t seed, position, step; };       /* position: number of the first sample in its stream; step from 1 */
struct ir_values ir_values_new(struct arena *arena, const struct ir_program *p); /* zeroed */
/* Evaluates every draw and equation, then carries out the updates. Traps (bug) on a read outside without an otherwise. */
void ir_evaluate(const struct ir_program *p, struct ir_values *values, struct ir_run run);
/* The same without the updates, and only what `wanted` (by number; NULL: all) depends on. */
void ir_evaluate_some(const struct ir_program *p, struct ir_values *values, struct ir_run run, const bool *wanted);

#endif
