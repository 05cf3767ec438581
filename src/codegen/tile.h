/* tile.h: products in register tiles. tile_plan.c decides, tile_kernel.c has the functions that compute a tile and turn one
   about, tile_pack.c copies operands as tiles read them, tile_split.c does both for tiles of the machine's matrix unit, tile.c puts
   a kernel together.

   C[r, c] = scale * sum over k of P[r, k] Q[k, c]: a tile is some rows by a panel of columns, kept in registers while k runs
   over a block of them; each number of P is spread over a vector and multiplied by a vector of Q. What a sum of each
   block comes to is added to C in the order of the blocks: so the numbers depend on the product's extents alone, neither on the
   tile's size (the machine's) nor on how the work is cut; and on whether the machine has a matrix unit that the product is for
   (split). */
#ifndef RNET_TILE_H
#define RNET_TILE_H

#include "emit.h"

/* Of k: a panel of so many keeps to the first cache. */
enum { SHORT_DEPTH = 256 };
/* k that the matrix unit takes at a time. */
enum { SPLIT_K = 32 };

/* How the tiles get at an operand. */
enum tile_access {
    IN_PLACE,      /* P: as it lies */
    PACKED_BEFORE, /* all of it is copied by a function of its own before the tiles begin */
    PACKED_PANELS, /* Q: a panel's block of k is copied to the part's stack by the first of its tiles, or turned about before it */
    PACKED_INSIDE  /* P: a part copies it onto its stack, batch by batch */
};
/* Strides are in bytes. `outer` is the row of P, the column of Q. */
struct tile_operand {
    const struct ir_tensor *tensor;
    int64_t first, time, outer, k;
    const int64_t *batch; /* in elements */
    enum tile_access access;
    int64_t packed;       /* bytes of one batch's copy */
    int64_t padded;       /* of P copied row by row: the distance between rows of the copy */
    bool kept;            /* of PACKED_BEFORE: copied in a recurrence's first step for all of them */
    int64_t copies;       /* where copies are, of PACKED_BEFORE: in what is kept, or in scratch */
};
/* What the maps that follow read of memory where C's own numbers are: tensors of its shape, as a rule those that are updated
   with it. */
enum { MOST_BESIDE = 4 };
struct beside {
    const struct ir_kernel *kernel;
    const struct ir_tensor *c, *tensors[MOST_BESIDE];
    int64_t bytes; /* of a number */
    int count;
    bool draws; /* they read draws too */
};
struct tile_plan {
    const struct product *product;
    const struct ir_index *time; /* of the recurrence through which copies are kept, or NULL */
    struct tile_operand p, q;
    LLVMTypeRef type, vector;
    int64_t bytes; /* of an element */
    int lanes;     /* of a vector of the machine */
    int vectors;   /* that a panel is wide */
    int height;    /* rows of a tile; a block of rows behind the first `tall` has one less */
    int64_t rows, columns, depth;
    int64_t block_k, k_blocks; /* k of a block, and blocks of depth */
    bool split;                /* numbers are copied as three parts of bf16, which the matrix unit multiplies (tile_split.c) */
    int tile_rows;             /* of one of its two tiles of sums above each other */
    int64_t copy_depth, copy_k; /* of a panel's copy: k it has room for, bytes of each */
    bool turned; /* C lies with its columns far apart: tiles are gathered and turned about */
    int64_t c_stride; /* between rows of C, or if turned between columns */
    int64_t blocks, tall, panels, full_panels;
    int last_vectors; /* that tiles of the last panel have */
    int64_t panel_bytes;
    bool by_columns; /* groups of the same panels are neighbours, else of the same rows */
    int64_t blocks_each, panels_each, row_groups, panel_groups; /* what is made at a time: a group of blocks and panels */
    int64_t run, run_rows; /* of PACKED_PANELS: lines of so many panels are asked for together, of so many k with each tile; or 0 */
    int64_t items, items_per_part, parts;
    struct beside beside;
    bool by_tiles;   /* maps follow each tile, which asks for what is beside a later one, its C if stored; else each group */
    int rows_a_turn; /* so many rows of it with each STEPS_A_TURN of k; split: of each tensor, with each SPLIT_K of k */
    int p_lines;         /* split: with each SPLIT_K of k so many lines of the next block of P */
    int c_rows, c_lines; /* split: so many rows of C's next tile with each SPLIT_K of k, lines of each; or 0 */
};
/* t: what the product is of. */
void plan_tiles(struct emitter *e, const struct product *product, const struct ir_tensor *t, enum when when,
                struct tile_plan *plan);
/* Is the product wanted by the maps that follow it alone? */
bool is_at_hand(const struct ir_tensor *t);
/* Is P copied row by row, as it lies but for the distance between rows (else block by block, neighbouring rows together)? */
bool copied_by_rows(const struct tile_plan *plan);
/* split: bytes of the copy of a block of rows. */
int64_t split_block_bytes(const struct tile_plan *plan);
/* The first row of a block, as a number of code. */
LLVMValueRef first_row(struct emitter *e, const struct tile_plan *plan, LLVMValueRef block);

/* ---- tile_kernel.c ---- */

/* void tile(k, p, p_step, q, c, c_row, add, scale, ahead, on, within, to, q_k, columns): C = scale * sum, or C += it if add is
   not 0. Q is packed. vectors: so many of a panel's, the first ones. p_step: of P's two distances the one that is not a number's
   size. Brings lines that are wanted later into the second cache: with each STEPS_A_TURN of k those at ahead, ahead + within ..
   and ahead goes `on` by so much. by_tiles: ahead is where the addresses are of what is beside a later tile, of as many tensors as
   there are, and `on` the distance between their rows: those lines are asked for as numbers to be written. copies: Q is as it lies,
   its k q_k bytes apart, so many columns of it; it is copied to `to`, packed. */
enum { STEPS_A_TURN = 4 };
/* LINE: bytes of a cache's line. MOST_TAPS: taps of a window that share what is loaded, each with a row of vectors in registers. */
enum { LINE = 64, MOST_TAPS = 5 };
enum { TILE_ARGUMENTS = 14 };
LLVMTypeRef tile_type(struct emitter *e, LLVMTypeRef type);
LLVMValueRef tile_function(struct emitter *e, const struct tile_plan *plan, int height, int vectors, bool copies);
/* void tile(k, segments, p, p_k, p_segment, q, q_k, q_segment, c, c_row, add, scale, ahead): the same over `segments`
   runs of k, of which each begins p_segment and q_segment behind the one before. Rows of P are p_row bytes apart. With
   taps each k of Q is as many panels' rows, of which the t-th goes with the rows of P t further on. Of the rows of P
   thus read those before `first` and from `end` on are 0: nothing is added for them. With each k it brings `lines`
   lines into the second cache, from `ahead` on. */
struct window_shape {
    int height;
    int64_t p_row;
    int taps, first, end, lines;
};
enum { WINDOW_TILE_ARGUMENTS = 13 };
LLVMTypeRef window_tile_type(struct emitter *e, LLVMTypeRef type);
/* void slide(segments, p, p_segment, q, q_segment, c, c_row, c_tap, add, scale, ahead): rows that are taps. Of each segment Q
   has `length` rows, q_k apart, and P length + taps - 1 places, p_k apart, of `height` rows each. Row t * height + i of
   the tile adds up the products of P's row i at place k + t by Q's row k: each vector of Q stays in its register for as
   many places as there are taps. P is 0 before `first` and from `end` on. With each segment it brings `lines` lines into
   the second cache, from `ahead` on. */
struct slide_shape {
    int height, taps, length, first, end, lines;
    int64_t p_row, p_k, q_k;
};
enum { SLIDE_ARGUMENTS = 11 };
LLVMTypeRef slide_type(struct emitter *e, LLVMTypeRef type);
LLVMValueRef slide_function(struct emitter *e, const struct tile_plan *plan, const struct slide_shape *shape);
LLVMValueRef window_tile_function(struct emitter *e, const struct tile_plan *plan, const struct window_shape *shape);
/* to[j][i] = from[i][j] for i < rows, j < columns, both at most the machine's lanes. Reads whole vectors of the first `columns`
   numbers; lanes behind rows are not written. Distances in bytes. */
void call_turn(struct emitter *e, LLVMTypeRef type, LLVMValueRef from, LLVMValueRef from_row, LLVMValueRef to,
               LLVMValueRef to_row, LLVMValueRef rows, LLVMValueRef columns);
/* The shared function of that name; false if it is none of tiles'. */
bool emit_tile_function(struct emitter *e, const char *name);

/* ---- tile_pack.c ---- */

/* Copies k = first .. end - 1 of the operand from a batch that begins at `from` to a copy that begins at `to`. */
void emit_pack_q(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef first,
                 LLVMValueRef end);
void emit_pack_p(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef first,
                 LLVMValueRef end);
/* Copies a panel of Q with its k side by side, `depth` of k from `first` on. */
void emit_turn_panel(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to,
                     LLVMValueRef first, LLVMValueRef depth, LLVMValueRef panel);
/* So many numbers side by side, straight-line. */
void copy_numbers(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to, int64_t count);
/* One k of Q, whose columns lie side by side, to where the panels have it. */
void copy_columns(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to);
/* Of the last panel, if it is not full; else 0. */
int64_t last_columns(const struct tile_plan *plan);
/* The functions that copy what is PACKED_BEFORE, if anything is. */
void emit_pack_functions(struct emitter *e, const struct tile_plan *plan, part_functions *functions, enum when when);

/* ---- tile_split.c ---- */

/* A tile of the matrix unit; called as those of tile_kernel.c are, which see: P and Q are split copies; p_step, q_k and columns are of
   no meaning. With each SPLIT_K of k it brings p_lines lines from `to` on, c_rows rows of C's tile to the right and, by_tiles, rows_a_turn
   of each tensor beside the later tile. requires: the unit is open. */
LLVMValueRef split_tile_function(struct emitter *e, const struct tile_plan *plan, int height, int vectors);
/* Before the first tile and behind the last one of a part. */
void open_matrix_unit(struct emitter *e, const struct tile_plan *plan);
void close_matrix_unit(struct emitter *e);
/* As emit_pack_q and emit_pack_p; `first` is a multiple of SPLIT_K. */
void emit_split_q(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef first,
                  LLVMValueRef end);
void emit_split_p(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef first,
                  LLVMValueRef end);
/* Some panels, whose copies are `step` bytes apart. */
void emit_split_panels(struct emitter *e, const struct tile_plan *plan, LLVMValueRef from, LLVMValueRef to, LLVMValueRef first,
                       LLVMValueRef depth, LLVMValueRef first_panel, LLVMValueRef end_panel, int64_t step);
bool emit_split_function(struct emitter *e, const char *name);

/* ---- tile.c ---- */

/* One product of tensor t (of a recurrence: of one step) as functions. */
void emit_tiles(struct emitter *e, const struct product *product, const struct ir_tensor *t, enum when when,
                part_functions *functions);

/* ---- window.c, window_pack.c ---- */

void emit_windows(struct emitter *e, const struct window_product *product, const struct ir_tensor *t,
                  part_functions *functions);

/* ---- tile_follow.c ---- */

struct range {
    LLVMValueRef first, end;
};
/* Of C, where maps follow the product. block: where the range's numbers lie on the stack, or NULL: in C's own place. */
struct follow {
    struct kernel_plan *plan;
    LLVMValueRef batch;
    struct range rows, columns;
    int64_t most_columns;
    LLVMValueRef block;
    int64_t block_row;
    LLVMValueRef first; /* over windows: the number of the first row's first element in C, and the distance between rows */
    int64_t row_elements;
    int images; /* over windows: so many first axes of C number images, of which the rows are one, all of it; else 0 */
    int64_t vectors; /* of LANES, that the range's columns are if it is a full panel; else 0 */
    LLVMValueRef is_full; /* NULL: always */
};
void emit_follow(struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t, const struct follow *follow);
void find_beside(const struct emitter *e, const struct ir_tensor *t, int64_t bytes, struct beside *beside);

/* ---- small things ---- */

LLVMValueRef at_batch(struct emitter *e, const struct product *product, LLVMValueRef batch, const int64_t *strides,
                      int64_t bytes, LLVMValueRef pointer);
/* Where the copies of an operand lie that is PACKED_BEFORE. */
LLVMValueRef copies_base(struct emitter *e, const struct tile_operand *operand);
/* Where an operand lies, of the step of the time if the kernel has one. */
LLVMValueRef operand_base(struct emitter *e, const struct tile_operand *operand, int64_t bytes);
LLVMValueRef count_of(struct emitter *e, int64_t number);              /* i64 */
LLVMValueRef argument(struct emitter *e, unsigned number);             /* of the function being emitted */
LLVMValueRef spread(struct emitter *e, LLVMTypeRef vector, LLVMValueRef scalar);
/* The lanes below a number, as a mask; and a vector where they are so, 0 elsewhere, of numbers of so many bytes. */
LLVMValueRef lanes_before(struct emitter *e, int lanes, LLVMValueRef count);
LLVMValueRef load_some(struct emitter *e, LLVMTypeRef vector, LLVMValueRef pointer, int64_t bytes, LLVMValueRef mask);
LLVMValueRef times(struct emitter *e, LLVMValueRef v, int64_t by);
LLVMValueRef plus(struct emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef lesser(struct emitter *e, LLVMValueRef a, LLVMValueRef b);
LLVMValueRef further(struct emitter *e, LLVMValueRef pointer, LLVMValueRef v, int64_t bytes);

#endif
