/* internal.h: what the files of src/passes share and nobody else sees. */
#ifndef RNET_PASSES_INTERNAL_H
#define RNET_PASSES_INTERNAL_H

#include "passes.h"

typedef LIST(struct ir_tensor *) tensor_list;
typedef LIST(const struct ir_expr *) expr_list;

/* ---- rewrite.c: reading and rebuilding programs ---- */

/* Does the program compute it? */
static inline bool is_made(const struct ir_tensor *t)
{
    return t->kind == IR_EQUATION || t->kind == IR_OPAQUE;
}
/* An equation that is no scatter and stands outside of recurrences: what most rules are about. */
static inline bool is_plain(const struct ir_tensor *t)
{
    return t->kind == IR_EQUATION && !t->targets && !t->recurrence;
}
/* Is what the reader reads of t carried (made before the reader in time, though perhaps listed after it)? */
static inline bool is_carried(const struct ir_tensor *t, const struct ir_tensor *reader)
{
    return t->recurrence && t->recurrence == reader->recurrence && t->number >= reader->number;
}
/* Number of the element that a read reads, row-major, as a form. */
const struct ir_form *read_address(struct ir_program *p, const struct ir_expr *read);
/* Calls visit for every tensor read: a scatter's targets and an opaque operation's operands (as a read that has the tensor alone)
   included. */
void for_reads(const struct ir_tensor *t, void (*visit)(const struct ir_expr *read, void *context), void *context);
/* The distinct reads of an equation, in order of first occurrence. */
void collect_reads(struct arena *arena, const struct ir_expr *e, expr_list *out);
/* The distinct applications of operators that e is made of, those in reads left out: arguments before what they are arguments of. */
void collect_applications(struct arena *arena, const struct ir_expr *e, expr_list *out);
/* e with the part, wherever it is an operator's argument or e itself, exchanged for another; e if it has none. */
const struct ir_expr *exchange(struct ir_program *p, const struct ir_expr *e, const struct ir_expr *part, const struct ir_expr *other);

/* Who reads what, by tensor->number. */
struct uses {
    tensor_list *readers;   /* equations that read the tensor, in program order, each once */
    expr_list *reads;       /* of an equation: its distinct reads */
    bool *kept;             /* an output or the value of an update */
};
struct uses uses_of(struct arena *arena, const struct ir_program *p);
/* After the equation's value has changed: its reads, and it among the readers of what it reads (not out of those of what it no
   longer reads). */
void note_reads(struct arena *arena, struct uses *uses, struct ir_tensor *equation);

/* e with the indices from[i] made to[i] and each read, its subscripts rewritten, given to replace. A read that leaves its axes
   by the substitution gets the else value 0: the caller selects it away. */
typedef const struct ir_expr *read_replacer(struct ir_program *p, const struct ir_expr *read, void *context);
const struct ir_expr *rewrite(struct ir_program *p, const struct ir_expr *e, struct ir_index **from,
                              const struct ir_form **to, int count, read_replacer *replace, void *context);
/* What a read of the map `from` reads, as an expression of from's own reads; else values are kept. */
const struct ir_expr *inlined_read(struct ir_program *p, const struct ir_expr *read);

/* Drops the equations and draws that no output or update needs; renumbers. Other leaves stay: they have a place in files. */
void drop_dead(struct ir_program *p);
/* Sets tensors to the given order (a permutation, or a part) and their numbers. */
void set_tensors(struct ir_program *p, struct ir_tensor *const *order, int count);
/* Moves the tensor listed last to before t. */
void insert_before(struct ir_program *p, struct ir_tensor *t, struct ir_tensor *last);
/* Does any of the indices occur free in e? */
bool mentions(struct arena *arena, const struct ir_expr *e, struct ir_index *const *indices, int count);
/* Is each axis read at that very index? */
bool reads_at_axes(const struct ir_expr *read, struct ir_index *const *axes);

/* ---- cost.c ---- */

/* Floating-point operations of one evaluation of an expression; a transcendental counts as the polynomial it takes. */
double expression_flops(const struct ir_expr *e);
/* Can the value of e depend on the precision it is computed in, its reads given? */
bool expression_rounds(const struct ir_expr *e);
int64_t stored_bytes(const struct ir_program *p, const struct ir_tensor *t);
enum ir_storage storage_of(const struct ir_program *p, const struct ir_tensor *t);
int64_t iteration_points(const struct ir_tensor *equation);
/* Of a recurrence those of one step. */
int64_t points_at_once(const struct ir_tensor *equation);

/* ---- fuse.c, order.c, keep.c, hoist.c, mask.c, inline.c, group.c, sequence.c, stage.c: the parts of fuse ---- */

/* A product that is worth tiles, or a call into BLAS; one that loops over sums in registers do as well. */
bool is_product(const struct ir_program *p, const struct ir_tensor *equation);
bool is_contraction(const struct ir_program *p, const struct ir_tensor *equation);

/* product.c: the two reads that e is the product of (and of constants); false: it is no such product. */
bool product_operands(const struct ir_expr *e, const struct ir_expr **reads);
bool product_factors(const struct ir_expr *e, const struct ir_expr **reads, double *scale);

/* window.c */

/* Is it a product that tiles do, plain (product_match) or over windows (window_match)? */
bool is_tiled(const struct ir_program *p, const struct ir_tensor *e);
/* residue.c: makes q, if it moves in steps over what it reads, a map of products over windows; adds them to order. */
bool split_residues(struct ir_program *p, struct arena *arena, struct ir_tensor *q, tensor_list *order);
/* Are the columns the equation's last axis? */
bool window_leads(const struct ir_tensor *q, const struct window_product *w);
/* Makes q a product over windows, if frames of operands let it be one: returns how many it made. */
int frame_windows(struct ir_program *p, struct arena *arena, struct ir_tensor *q, struct ir_tensor *frames[2]);

/* pack.c: copies operands of sums that are products but for how they are read. */
void pack_operands(struct ir_program *p);

/* turn.c: copies operands of contractions that lie across. */
void turn_operands(struct ir_program *p);

/* order.c: puts the program into an order in which, as far as reads allow, each update's value comes after every guard and after
   every reader of its leaf. before[i]: numbers of what must run before equation i beyond what it reads. */
typedef LIST(int) number_list;
number_list *order_updates(struct ir_program *p, struct arena *arena);

/* keep.c: makes equations of what a recurrence works out with effort and others have again. */
void keep_parts(struct ir_program *p);

/* hoist.c: makes equations of the parts of equations that vary along few of their loops. */
void hoist_parts(struct ir_program *p);

/* mask.c: where gradients pass, read off what is stored anyway, not made again. */
void mask_by_signs(struct ir_program *p, bool small);

/* reuse.c: parts of equations become reads of the equations that are all of them. */
void reuse_parts(struct ir_program *p);

/* inline.c: repeats producers that are cheaper to compute again than to store. small: those of contractions stay. */
void inline_producers(struct ir_program *p, bool small);

/* group.c: sets of equations that become one kernel. */
enum { MOST_LOOPS = 16, MOST_EQUATIONS = 40 };
struct group {
    tensor_list equations; /* in program order; empty: joined into another */
    struct ir_tensor *product; /* or NULL; the others are maps of its numbers and sums of all of them */
    struct ir_tensor *frame;   /* of a product over windows: the map that it alone reads, or NULL */
    struct ir_tensor *source;  /* of its frame: a map of this group that is stored, made an image at a time before the frame, or NULL */
    bool leads;                /* they may be: its last axis is what its columns are */
    bool sequence;         /* its equations follow each other, without a parallel loop */
    bool sums_image;       /* one sum over an image of what a product over windows makes: see join_images */
    const char *alone;     /* why it is never joined with another, or NULL */
    const struct ir_recurrence *recurrence; /* of all its equations, or NULL; time is no parallel loop */
    int depth;             /* how many indices the kernel's parallel loop has */
    const char *stopped;
};
/* Of one equation in its group: which of its own indices each parallel loop is. */
struct member {
    int group;
    struct ir_index *slot[MOST_LOOPS];
    bool in_parts;         /* the parallel loops are among what it reduces */
    bool by_image;         /* some of them: what it sums over is an image, of which the product's kernel makes all at a time */
};
struct time_index {
    const struct ir_recurrence *recurrence;
    struct ir_index *index;
};
struct fusion {
    struct ir_program *p;
    struct arena *arena;
    struct uses uses;
    number_list *before, *after; /* equations that must run before, after an equation; by number; reads included */
    const struct ir_tensor **overwrites; /* by number: the leaf that this value of an update may be written over, or NULL */
    bool *guards;                /* by number: an output that must be finite before anything is overwritten */
    int *marks, stamp;           /* by number: marked in the walk at hand if marks[i] == stamp */
    struct member *members;      /* by number */
    LIST(struct time_index) times; /* of the recurrences met so far */
    struct group *groups;        /* by number of the first equation; only equations have one */
    bool tiles;                  /* products become tile kernels */
    struct memo *sources;        /* image.c's */
};
/* Whether joins may shorten the parallel loops. */
enum shrink { KEEP_LOOPS, SHRINK_LOOPS };
bool join_groups(struct fusion *f, int a, int b, enum shrink shrink, const char **why);
/* Why two groups, the second reading the first, could not be one. */
const char *why_not(struct fusion *f, int a, int b);
/* product: tiles or BLAS make it. */
void choose_loops(const struct ir_tensor *e, bool product, struct member *member, int *depth);
bool may_be_in_parts(const struct ir_tensor *e);
/* Does one guard numbers and the other overwrite what must stay if they are not finite? */
bool waits_for_guards(const struct fusion *f, int a, int b);
/* Is there a way from group a to group b through a third? */
bool way_outside(struct fusion *f, int a, int b);
/* Makes b's equations a's; their loops are those of a already. */
void merge_groups(struct fusion *f, int a, int b);

/* image.c: sums over what products over windows make become sums of each image's, and of those. */
void sum_by_images(struct ir_program *p);
/* Of a product over windows whose images are made whole, each at a time: how many of its first axes number them; else 0. framed:
   see window_cut. */
int whole_images(const struct ir_program *p, const struct ir_tensor *q, bool framed);
/* Does it sum over each image of what a product over windows makes? */
bool sums_an_image(struct fusion *f, const struct ir_tensor *e);
/* Such sums join the product's group, behind maps that have. */
void join_images(struct fusion *f);
/* Maps alone in their groups that frames read join the frames' products. */
void join_sources(struct fusion *f);

/* sequence.c: is a step of the program over before threads would pay? Its equations as kernels without a parallel loop. */
bool is_small_program(const struct ir_program *p);
void make_sequences(struct fusion *f);

/* ---- place.c ---- */

struct block {
    int first, last; /* kernels, inclusive: when it lives */
    int64_t bytes, offset;
};
/* The most bytes that live at one time; *where: the first kernel at which so many do. */
int64_t most_alive(struct arena *arena, const struct block *blocks, int count, int kernels, int *where);
/* Sets the offsets; returns the bytes of all together. bound: what most_alive says. */
int64_t place_blocks(struct arena *arena, struct block *blocks, int count, int64_t bound);

/* stage.c: a group as a kernel: stages, shared indices, locals. */
struct ir_kernel *make_kernel(struct fusion *f, const struct group *group);

/* retain.c: makes equations of kernels' own of what a stage works out with effort and a later one has again. */
void retain_parts(struct ir_program *p);

#endif
