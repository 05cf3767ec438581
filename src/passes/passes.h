/* passes.h: tensor IR to tensor IR with kernels and places. One pass, one file, one contract. All work in place (the program's
   lists and the values of its equations; names stay where a tensor stays); those that return a program return p. */
#ifndef RNET_PASSES_H
#define RNET_PASSES_H

#include "ir.h"

/* simplify.c: algebra and cleaning that change no number but in rounding order that the file lists: copies read through,
   dead tensors dropped (what no output, update or guard needs), reductions over extent 1 made maps, constants folded. */
struct ir_program *simplify(struct ir_program *p);

/* share.c: equal equations become one (same outputs up to renaming, reduction, value, single). Draws are never merged. */
struct ir_program *share(struct ir_program *p);

/* schedule.c: every real rank-0 equation that depends on scalars and constants alone leaves p and becomes an IR_SCALAR leaf of it
   (such parts of other equations too), computed by *schedule: a program in f64 whose IR_SCALAR leaves are p's given ones (step, epoch, progress, settings) and
   whose outputs are named as the new leaves. The evaluator runs it before each step. */
struct ir_program *split_schedule(struct ir_program *p, struct ir_program **schedule);

/* fuse.c: groups every equation that is to run into p->kernels (in place), in an order that respects reads; renames indices so
   that a kernel shares them; marks tensors that live only in their kernel IR_LOCAL; repeats cheap producers (draws with their
   comparison) in each kernel that uses them rather than storing them. FUSE_NOTHING: one kernel an equation.
   Draws are read where they are used and never stored. Updates come after every guard. FUSE_AS_LARGE: as if nothing were so
   small that threads are not missed, for tests of what large programs get. */
enum fusing { FUSE_NOTHING, FUSE_ALL, FUSE_AS_LARGE };
void fuse(struct ir_program *p, enum fusing how);
/* Is the equation a product that BLAS does: a sum of a product of two reads (and a constant)? Roles by index. In a recurrence it is
   one of each step, the time fixed: operand a of step t begins at element a_first + t * a_time. A read of the step before may be
   outside in the first step alone, where it is its otherwise (first). */
struct product {
    const struct ir_expr *a, *b; /* reads */
    double scale;
    int64_t batches;             /* product of the extents of batched indices */
    int64_t m, n, k;
    bool a_transposed, b_transposed;
    int64_t lda, ldb, ldc;       /* in elements */
    int batched_count;
    int64_t batch_extent[8], a_batch_stride[8], b_batch_stride[8], c_batch_stride[8];
    bool swapped;                /* a and b changed sides so that c is row-major */
    int64_t a_first, b_first, a_time, b_time, c_time; /* in elements */
    bool guarded;                /* an operand has no element in the first step: see product_first */
    int row_axes;                /* so many axes of the equation, which come first, number batches and rows (and the time), the
                                    others columns, side by side; -1: they do not lie so */
};
bool product_match(const struct ir_program *p, const struct ir_tensor *equation, struct product *out);
/* Of a guarded product: the equation of the first step alone, each guarded read its otherwise. */
const struct ir_expr *product_first(struct ir_program *p, const struct ir_tensor *equation);

/* Is the equation a product over windows (window.c)? C's columns are one loop, q's numbers run along them; rows and terms are as many
   loops as there are. Each operand moves linearly with each loop; distances are in elements. */
enum { MOST_WINDOW_LOOPS = 12 };
enum window_role { WINDOW_BATCH, WINDOW_ROW, WINDOW_SUM, WINDOW_COLUMN };
struct window_loop {
    enum window_role role;
    const struct ir_index *index;
    int64_t extent, p, q, c;
};
struct window_product {
    const struct ir_expr *p, *q; /* reads without guards */
    double scale;
    int64_t p_first, q_first, rows, columns, terms;
    int count;
    struct window_loop loops[MOST_WINDOW_LOOPS]; /* batch, rows (C's farthest first), terms (p's farthest first), columns */
};
bool window_match(const struct ir_program *p, const struct ir_tensor *equation, struct window_product *out);
/* How it is made: image by image (p behind its first axes), each in bands. If images are rows an item is some rows of C. If they are
   summed over (sums), each part adds up what its images give to a group of rows, and parts are added in the end. */
struct window_cut {
    int images, image[MOST_WINDOW_LOOPS]; /* numbers of loops, by axis of p */
    bool sums;
    int band;                   /* number of the loop that is cut into bands, or -1 */
    int64_t band_size, bands, step; /* the last may be smaller; step: rows of the frame that it moves with one of the loop */
    int64_t frame_rows, frame_row; /* of a band: the first axis behind images, and elements of one of its rows */
    int64_t items;              /* images and bands, and batches that are no images */
    int64_t rows;               /* of C, of an item; of sums: all */
    int64_t groups, parts;      /* of sums: of rows, of items */
};
/* framed: p is made an image at a time. false: too large for it. */
bool window_cut(const struct window_product *w, bool framed, struct window_cut *cut);
/* Which stage of a tile kernel, or one for BLAS, has the product. */
int product_stage(const struct ir_kernel *kernel);

/* plan.c: gives every tensor that is stored a region, an offset and a storage type (in place). Parameters and states keep
   one place in all programs of a run: `layout` remembers them by name. Values of the arena that are not alive together share
   bytes; outputs live to the end. An update whose value may be written over its leaf is (no read of the old value after, and
   the kernel reads the leaf only at the element it writes, and comes after every guard). keep_all: nothing shares.
   Whole numbers are stored as u8 if their range allows, else i32. */
struct layout;
struct layout *layout_new(struct arena *arena);
int64_t layout_parameter_bytes(const struct layout *layout);
int64_t layout_state_bytes(const struct layout *layout);
void plan_memory(struct ir_program *p, struct layout *layout, bool keep_all);
/* Where a parameter or state of the run is; false if there is none of that name. */
bool layout_find(const struct layout *layout, const char *name, enum ir_region *region, int64_t *offset,
                 enum ir_storage *storage);

/* explain.c: a person's account of p after plan_memory: each kernel with its equations and source lines, why fusion stopped,
   what is stored for the backward pass, bytes and flops; totals; the memory of a step. partials: bytes that the code wants behind
   the arena; -1: not known. */
void explain(struct text *out, const struct ir_program *p, int64_t partials, bool json);
/* Floating-point operations (a fused multiply-add is two) and bytes of stored tensors read and written, of one kernel. */
void kernel_cost(const struct ir_program *p, const struct ir_kernel *kernel, double *flops, double *bytes);

#endif
