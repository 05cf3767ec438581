/* window.h: products over windows (passes.h: struct window_product) in register tiles. window_plan.c decides, window_pack.c makes
   frames and copies of Q, window.c puts a kernel together.

   Tiles read P where it is, in memory or in a frame: rows of a tile are neighbours along the innermost loop of the rows, k runs over
   segments, the two innermost loops of the sum. What does not fit into that goes round outside. */
#ifndef RNET_WINDOW_H
#define RNET_WINDOW_H

#include "tile.h"

/* A loop of rows or of the sum, or several that are one. Distances in elements. */
struct window_axis {
    int64_t extent, p, q;
    bool banded; /* of the last band less */
};
struct window_plan {
    struct tile_plan tile; /* what functions shared with tiles want: formats, width, heights and panels */
    const struct window_product *product;
    struct window_cut cut;
    const struct ir_tensor *c, *frame; /* frame: NULL if P is in memory */
    int outer_count;                   /* loops that an item stands for: images, batches, the band */
    int outer[MOST_WINDOW_LOOPS];
    int row_count, sum_count;
    struct window_axis rows[MOST_WINDOW_LOOPS], sums[MOST_WINDOW_LOOPS]; /* innermost last */
    int64_t blocks;                    /* of rows, along their innermost loop */
    int64_t run, segments;             /* of k, at most, that a tile goes through */
    int64_t row_elements;              /* between rows of C */
    int64_t items_per_part, parts;
    bool gathered;                     /* what an item makes is gathered on the stack */
    int64_t gathered_row;              /* bytes between its rows, as of partial sums */
    bool q_in_place;                   /* of sums: else a panel's block of k is copied */
    int64_t q_batch, q_scratch;        /* else: bytes of a copy of Q, and where copies are */
    int64_t partial, partial_bytes;    /* of sums: where the parts' sums are, and their bytes */
};
void plan_windows(struct emitter *e, const struct window_product *product, const struct ir_tensor *t,
                  struct window_plan *plan);
/* How many of a loop there are in the band that begins at `first` (NULL: there are no bands). */
LLVMValueRef axis_extent(struct emitter *e, const struct window_plan *plan, const struct window_axis *axis, LLVMValueRef band_first);

/* ---- window_pack.c ---- */

/* The function that copies all of Q. */
void emit_window_pack(struct emitter *e, const struct window_plan *plan, part_functions *functions);
/* Copies a panel of Q, runs of k. */
void emit_window_panel(struct emitter *e, const struct window_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef panel,
                       LLVMValueRef segments, LLVMValueRef run);
/* Makes the frame of an image at `room`. digits: of the outer loops; band_first: NULL without bands. */
void emit_frame(struct emitter *e, const struct window_plan *plan, LLVMValueRef room, LLVMValueRef *digits,
                LLVMValueRef band_first);

#endif
