/* window.h: products over windows (passes.h: struct window_product) in register tiles. window_plan.c decides, window_pack.c makes
   frames and copies of Q, window.c puts a kernel together.

   Tiles read P where it is, in memory or in a frame: rows of a tile are neighbours along the innermost loop of the rows, k runs over
   segments, the two innermost loops of the sum. What does not fit into that goes round outside.

   What bounds a tile beside multiply-adds is loads: 8 rows by 2 vectors want 10 for 16 of them. Where windows overlap, a number that
   has been loaded is multiplied for all of its taps, and then the same tile wants .28 loads each (5 x 5): forward a number of P goes
   to so many rows, in a gradient of weights ("slides") a vector of Q to so many of C. Frames' columns of zeros are then rows of P
   that a tile does not read. Measured beside the peak of the same milliseconds, on a Granite Rapids whose cores are shared: .67 of
   it before, .85 to 1 now, the zeros counted. */
#ifndef RNET_WINDOW_H
#define RNET_WINDOW_H

#include "tile.h"

/* A loop of rows or of the sum, or several that are one. Distances in elements. */
struct window_axis {
    int64_t extent, p, q, c;
    bool banded; /* of the last band less */
    int loop;    /* its number in the product, or -1: several */
};
/* Numbers of a frame that are 0 wherever they are read: of a loop of rows and one of the sum, i and j, a term is anything else
   only if first <= by_row * i + by_sum * j < end. Each i has such a j, and they are neighbours. */
struct window_clip {
    int row_loop, sum_loop; /* numbers in the product */
    int row, sum;           /* in the plan's rows and sums, or -1: it is none of them */
    int64_t by_row, by_sum, first, end;
};
enum { MOST_CLIPS = 3 };
struct window_plan {
    struct tile_plan tile; /* what functions shared with tiles want: formats, width, heights and panels */
    const struct window_product *product;
    struct window_cut cut;
    const struct ir_tensor *c, *frame, *source; /* frame: NULL if P is in memory; source: stored, made before the frame, or NULL */
    bool copied;                       /* all of the source is in the frame, the rest is 0: it is written to both places at once */
    int64_t margin[MOST_WINDOW_LOOPS]; /* of copied: where along each axis of the frame the source's first number is */
    int outer_count;                   /* loops that an item stands for: images, batches, the band */
    int outer[MOST_WINDOW_LOOPS];
    int row_count, sum_count;
    struct window_axis rows[MOST_WINDOW_LOOPS], sums[MOST_WINDOW_LOOPS]; /* innermost last */
    int clip_count;
    struct window_clip clips[MOST_CLIPS];
    int64_t blocks;                    /* of rows, along their innermost loop */
    int tap, taps; /* number of the loop whose steps are rows (of sums: terms) too and that tiles have inside each k, or
                      -1; 1 */
    bool slides;   /* taps are rows of C */
    int64_t tap_rows;               /* so many of C's rows apart */
    const struct window_clip *edge; /* of the taps and the innermost loop of rows, or of sums, or NULL */
    struct window_clip edges;
    int64_t run, segments;             /* of k, at most, that a tile goes through */
    int64_t row_elements;              /* between rows of C */
    int64_t items_per_part, parts;
    bool gathered;                     /* what an item makes is gathered on the stack */
    int64_t gathered_row;              /* bytes between its rows, as of partial sums */
    bool q_in_place;                   /* of sums: else a panel's block of k is copied */
    int64_t q_batch, q_scratch;        /* else: bytes of a copy of Q, and where copies are */
    int lines;                         /* of the next panel's block of k that a tile asks for with each k */
    int64_t partial, partial_bytes;    /* of sums: where the parts' sums are, and their bytes */
};
enum { MOST_AHEAD = 6 };
/* What is wanted next: where it begins, and its lines. Each tile asks for its share, lines of one after the other, `a_step` with
   each k, of slides with each segment: so multiply-adds go on while memory is slow. If a_step is 0, since tiles ask for Q's lines
   with their k, for some lines of each before it begins. */
struct window_ahead {
    int count, a_step;
    LLVMValueRef from[MOST_AHEAD], counter; /* counter: of tiles, on the stack */
    int64_t lines[MOST_AHEAD], tiles, share; /* share: lines of a tile, if a_step is not 0 */
};
/* What an item has at hand. */
struct item {
    LLVMValueRef digits[MOST_WINDOW_LOOPS];
    LLVMValueRef band_first;              /* NULL: no bands */
    LLVMValueRef p, q, c;                 /* where they begin: q is the copy, or where Q lies; c where sums go */
    LLVMValueRef batch;                   /* number of Q's copy */
    LLVMValueRef element, rows;           /* of C: number of the first, and how many rows */
    LLVMValueRef first_block, end_block;  /* of rows */
    LLVMValueRef again;                   /* of sums, else NULL: is not 0 where something has been added before */
    LLVMValueRef panel_room;
    struct window_ahead ahead;
};

/* A block of the sum: where operands are, how much of each loop it has from where on, and whether it is not the first. Of a loop
   that is clipped the latter says nothing: that depends on the row. */
struct k_block {
    LLVMValueRef p, q, number, again;
    LLVMValueRef at[MOST_WINDOW_LOOPS], left[MOST_WINDOW_LOOPS];
};

void plan_windows(struct emitter *e, const struct window_product *product, const struct ir_tensor *t,
                  struct window_plan *plan);
/* The tile of the block of rows with that number, of those along their innermost loop. lines: it asks for with each k. */
struct window_shape shape_of_block(const struct window_plan *plan, int lines, int64_t block);
/* The tile of so many rows, each a tap of them, for the run of k that begins at k. lines: of each segment. */
struct slide_shape slide_of_run(const struct window_plan *plan, int height, int lines, int64_t k);
/* Blocks of rows of an item. */
int64_t blocks_of_rows(const struct window_plan *plan);
/* How many of a loop there are in the band that begins at `first` (NULL: there are no bands). */
LLVMValueRef axis_extent(struct emitter *e, const struct window_plan *plan, const struct window_axis *axis, LLVMValueRef band_first);

/* ---- window_clip.c ---- */

/* Which terms of the product are 0 because the frame is: clips of loops that lie inside an item. */
void find_clips(struct window_plan *plan);
/* The clips whose loops tiles have as loops of their own, and that of rows and taps, which tiles are made for. */
void place_clips(struct window_plan *plan);
/* Is there a clip of that loop of the sum? */
bool is_clipped(const struct window_plan *plan, int sum);
/* Of the rows (of sums: the places) of P that `count` and the taps read from `row` on: which may be anything else than
 * 0. */
void clip_tile(const struct window_plan *plan, int64_t row, int count, int *first, int *end);
/* Of the sum's terms, the share that is not 0 along a loop of rows. */
double clipped_share(const struct window_plan *plan, int row_loop);
/* What is left of a block for the rows at hand: makes it so, and returns whether anything is (NULL: always). digits: of the loops of rows.
   q_k, q_segment: bytes from one to the next of the two innermost loops in Q. */
LLVMValueRef clip_block(struct emitter *e, const struct window_plan *plan, LLVMValueRef *digits, LLVMValueRef q_k,
                        LLVMValueRef q_segment, struct k_block *k);

/* ---- window_pack.c ---- */

/* The function that copies all of Q. */
void emit_window_pack(struct emitter *e, const struct window_plan *plan, part_functions *functions);
/* Copies a panel of Q, runs of k. */
void emit_window_panel(struct emitter *e, const struct window_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef panel,
                       LLVMValueRef segments, LLVMValueRef run);
/* Does the frame copy its source into zeros? Sets plan->copied. */
void find_copy(struct window_plan *plan);
/* Makes and stores what the frame of an image is made of; of a copy the frame at `room` too. digits: of the outer loops. */
void emit_source(struct emitter *e, const struct window_plan *plan, LLVMValueRef room, LLVMValueRef *digits);
/* Makes the frame of an image at `room`. digits: of the outer loops; band_first: NULL without bands. */
void emit_frame(struct emitter *e, const struct window_plan *plan, LLVMValueRef room, LLVMValueRef *digits,
                LLVMValueRef band_first);

/* ---- window_ahead.c ---- */

/* When an item has been placed; and at each of its tiles. */
void begin_ahead(struct emitter *e, const struct window_plan *plan, const struct item *item, struct window_ahead *ahead);
/* Returns where the lines begin that the tile asks for with its k, from `nothing` on if there are none left; or NULL. */
LLVMValueRef emit_ahead(struct emitter *e, const struct window_ahead *ahead, LLVMValueRef nothing);
/* Where a tile's share begins of Q's lines that are wanted after its panel's block of k (plan->lines), which is at q,
 * `length` of k. */
LLVMValueRef next_lines(struct emitter *e, const struct window_plan *plan, const struct item *item,
                        const struct k_block *k, LLVMValueRef panel, LLVMValueRef block, LLVMValueRef length);

#endif
