/* tile_plan.c: how a product is cut into tiles: which operand is spread and which runs along the vectors, what is
   copied, which tiles are made together, which of those by one part.

   Parts depend on the shape and on the machine's vectors. No number of a product depends on parts (tile.h), but sums of
   its numbers are made part by part.

   Tiles do every product that is fused, BLAS only those of unfused programs: on two cores of a Granite Rapids whose other
   threads were busy, against OpenBLAS 0.3.21 (SkylakeX), f32, GFLOP/s, taking turns of 1.5 ms, the least of each
   (tests/bench/bench_products measures anew):

       128 x 2500 x 2500  302 : 199     700 x 2600 x 650      299 : 213    its weight gradient   251 : 225
       700 x 650 x 2600 (data gradient) 285 : 274             700 x 10000 x 650  252 : 231       2048 x 2048 x 2048  288 : 267

   requires: a product as product_match finds it: of each operand one stride is an element. */
#include <math.h>
#include <stdlib.h>

#include "tile.h"
#include "unit.h"

/* SHORT_DEPTH, LONG_DEPTH: most k of a block. A short one's panel keeps to the first cache. Where both of C's extents are
   MANY, C would not stay in the second cache from block to block, and reading it again costs more than reading panels from the
   second cache does (700 x 2600 x 650 1.05 times as fast with one block for three, 2048 x 2048 x 2048 1.1 with two for eight);
   and where there are DEEP many k and one extent of C is MANY, the other SOME (700 x 10000 x 200, the last two notes together:
   1.13), or B, its k side by side, is MUCH (numbers) and comes from memory, of whose pages it then reads long runs (128 x 2500
   x 2500's data gradient 1.04; 128 x 650 x 2600 is faster with short blocks). MANY_ROWS: from there on tiles of three vectors,
   which load least for what they multiply, win over two where a core's other thread is busy (1.02 to 1.06 at 650 rows and
   more, at 64 to 128 the same within the noise). ROWS_AT_A_TIME, PANELS_AT_A_TIME: with a block of k they stay in the second
   cache, and so does what is made of them. PANELS_OF_ROWS, ROWS_OF_MAPS: maps that follow read whole rows of other tensors
   where they can, few enough to stay there too. Where k is one short block, C is written once, so few rows at a time keep to
   the first, but for a Q that each group would bring from beyond the second: LARGE (700 x 200 x 10000 1.17 times as fast with
   all rows). PAGE: addresses apart by a multiple share their places in the first cache. ROWS_OF_A_SWEEP, PANELS_OF_A_SWEEP:
   where maps follow each tile, whose panels stay in the second cache while all blocks of rows go by them; FAR_BESIDE: bytes of
   what they read beside C that do not stay there; MOST_ROWS_A_TURN: of those a tile asks for so many with a turn of k, where
   it has too few turns for one. COPIES_AGAIN: blocks of rows that a panel may be brought for anew. LARGE, NEAR_Q (which
   several groups of rows may read as it lies), CLOSE (k of P that are not copied), OWNED_BYTES (what maps read beside C and
   stays in the second caches), OWNED_GROUP (of C, with so many panels): bytes.

   Of the matrix unit, which is twice as fast as multiply-adds where both operands come from the second cache and no faster
   where one comes from beyond it: SPLIT_DEPTH: most k of a block (512 against 256 k: 700 x 2600 x 650 1.1 times as fast, 700 x 650
   x 10000 1.18). SPLIT_BYTES: of Q's panels of a group. ROWS_OF_SPLIT, ROWS_OF_SPLIT_MAPS: rows that go by them; GATHERED: bytes of C that
   maps follow, FEWEST_PANELS: of which it has so many all the same. SPLITS_AGAIN: blocks of rows for which panels may be split anew.
   SPLIT_PARTS: more parts would read P again with each. FEWEST_SPLIT: rows and columns. MOST_LINES: asked for with each SPLIT_K; FAR_C:
   bytes of a group's C that are asked for. */
enum {
    LONG_DEPTH = 1024,
    MANY = 512,
    SOME = 128,
    DEEP = 4096,
    MUCH = 1 << 22,
    MANY_ROWS = 64,
    ROWS_AT_A_TIME = 720,
    ROWS_OF_ONE_BLOCK = 56,
    ROWS_OF_MAPS = 40,
    ROWS_TURNED = 112,
    ROWS_TOGETHER = 160,
    ROWS_OF_LARGE_Q = 64,
    LARGE = 1 << 20,
    PANELS_AT_A_TIME = 10,
    PANELS_OF_ROWS = 96,
    PANELS_OF_A_RUN = 10,
    ROWS_OF_A_SWEEP = 112,
    PANELS_OF_A_SWEEP = 20,
    FAR_BESIDE = 1 << 23,
    MOST_ROWS_A_TURN = 2,
    COPIES_AGAIN = 24,
    PARTS_WANTED = 8,
    INSIDE_BYTES = 1 << 16,
    SHORT_ROWS = 64,
    CLOSE = 128,
    OWNED_BYTES = 1 << 20,
    OWNED_PANELS = 2,
    OWNED_GROUP = 1 << 14,
    NEAR_Q = 1 << 18,
    PAGE = 4096,
    SPLIT_DEPTH = 512,
    SPLIT_BYTES = 1 << 19,
    ROWS_OF_SPLIT = 4096,
    ROWS_OF_SPLIT_MAPS = 352,
    FEWEST_PANELS = 4,
    GATHERED = 1 << 18,
    SPLITS_AGAIN = 10,
    FEWEST_SPLIT = 32,
    MOST_LINES = 24,
    SPLIT_PARTS = 4,
    FAR_C = 1 << 18
};
static const double part_flops = 5e5;
/* Shares of less are over before one thread could take from another's: they had better be equal. */
static const double short_flops = 8e6;
/* So much of a product's vectors must be idle in its last panel before that has functions of its own. */
static const double least_idle = 0.015;
/* Panels of another width than two must cost so much less. */
static const double least_gain = 0.98;
/* Cycles: of copying a number before the tiles begin, of copying or turning one as they come to it, of turning one of C about, of a
   multiplication and addition on a vector, of a function that all threads take part in. */
static const double before_cycles = 0.5, copy_cycles = 0.05, turn_panel_cycles = 0.25, turn_cycles = 0.6, vector_cycles = 0.5,
                    launch_cycles = 5000;
/* Of the matrix unit: products a cycle with all that goes on beside it; cycles of splitting a number as tiles come to it or before,
   of turning it about too, of writing a large P's and reading them again, of bringing a large operand's nearer, of a number that maps
   read beside C. */
static const double matrix_unit_rate = 62, split_cycles = 0.8, split_before_cycles = 1.2, turn_split_cycles = 0.9, far_split_cycles = 1.5,
                    far_cycles = 0.8, beside_cycles = 0.75;
static const double least_split_gain = 0.77;

/* Ways of cutting, for who times them: how many times as many rows, panels and parts as is usual. */
static const struct way {
    double rows, panels, parts;
} ways[PRODUCT_WAYS] = {{1, 1, 1}, {0.5, 1, 1}, {2, 1, 1}, {1, 0.5, 1}, {1, 2, 1}, {1, 4, 1}, {1, 1, 0.25}, {1, 1, 4}};

/* Sums of what the product makes are made part by part, in the order that the usual way has. */
static struct way way_of(const struct emitter *e)
{
    for (int i = 0; i < e->kernel->stages.count; i++)
        for (int k = 0; i && k < e->kernel->stages.at[i]->equations.count; k++)
            if (e->kernel->stages.at[i]->equations.at[k]->reduction != IR_MAP)
                return ways[0];
    return ways[e->way > 1 ? e->way - 1 : 0];
}

static int64_t scaled(int64_t count, double by)
{
    return count * by > 1 ? (int64_t)((double)count * by) : 1;
}

static int64_t round_up(int64_t a, int64_t by)
{
    return (a + by - 1) / by * by;
}

static int64_t parts_of(int64_t a, int64_t by)
{
    return (a + by - 1) / by;
}

/* Rows of a tile with so many vectors: the sums, a row of Q and a number of P fill the registers. */
static int tallest(const struct emitter *e, int vectors)
{
    static const int many[] = {0, 14, 14, 9, 7}, few[] = {0, 12, 6, 4, 3};

    return vector_registers(e) == 32 ? many[vectors] : few[vectors];
}

/* Vectors of the last panel that have nothing to do, if they are worth functions of its own without them. */
static int64_t idle_vectors(int64_t columns, int lanes, int vectors)
{
    int64_t wide = vectors * lanes, panels = parts_of(columns, wide), idle = panels * vectors - parts_of(columns, lanes);

    return (double)idle > least_idle * (double)(panels * vectors) ? idle : 0;
}

static double flops_of(const struct tile_plan *plan)
{
    return 2.0 * (double)plan->rows * (double)plan->columns * (double)plan->depth;
}

/* The width of panels that costs least with what the last one wastes; one vector alone loads as much as it computes, a last one
   narrower than the others nearly so. */
static int best_vectors(const struct emitter *e, int64_t rows, int64_t columns, int lanes, double *waste)
{
    static const int order[] = {2, 3, 1};
    double three = rows >= MANY_ROWS && vector_registers(e) == 32 ? 0.96 : 1.02;
    const double price[] = {0, 1.1, 1, three}, last_price[] = {0, 1.25, 1.06, three};
    int best = 2;

    *waste = 0;
    for (int i = 0; i < 3; i++) {
        int vectors = order[i], last = vectors - (int)idle_vectors(columns, lanes, vectors);
        int64_t panels = parts_of(columns, vectors * lanes);
        double w = price[vectors] * (double)((panels - 1) * vectors) + (last < vectors ? last_price : price)[last] * last;
        w *= (double)lanes / (double)columns;
        if (i == 0 || w < least_gain * *waste) {
            *waste = w;
            best = vectors;
        }
    }
    return best;
}

static bool is_apart(int64_t stride, int64_t by)
{
    int64_t rest = stride % by;

    return rest >= 64 && rest <= by - 64;
}

bool copied_by_rows(const struct tile_plan *plan)
{
    return plan->p.k == plan->bytes;
}

/* Is what is read the same in all steps of the recurrence? What a recurrence makes is read at its time. */
static bool is_the_same(const struct ir_expr *read, const struct ir_index *time)
{
    for (int i = 0; i < read->tensor->rank; i++)
        if (ir_form_mentions(read->subscripts[i], time))
            return false;
    return true;
}

/* Extents and strides alone decide, for blocks are what a sum's order is. */
static bool has_long_blocks(const struct product *product)
{
    bool both = product->m >= MANY && product->n >= MANY;
    bool one = (product->m >= MANY || product->n >= MANY) && product->m >= SOME && product->n >= SOME;
    bool runs = !product->a_transposed && product->b_transposed && product->n * product->k >= MUCH;

    return both || (one && (product->k >= DEEP || runs));
}

/* Most k of a block. */
static int64_t most_depth(const struct product *product, const struct tile_plan *plan)
{
    return plan->split ? SPLIT_DEPTH : has_long_blocks(product) ? LONG_DEPTH : SHORT_DEPTH;
}

static void set_operands(const struct product *product, struct tile_plan *plan, bool turned)
{
    int64_t bytes = plan->bytes;
    struct tile_operand a = {.tensor = product->a->tensor,
                             .first = product->a_first,
                             .time = product->a_time,
                             .outer = (product->a_transposed ? 1 : product->lda) * bytes,
                             .k = (product->a_transposed ? product->lda : 1) * bytes,
                             .batch = product->a_batch_stride,
                             .kept = plan->time && is_the_same(product->a, plan->time)};
    struct tile_operand b = {.tensor = product->b->tensor,
                             .first = product->b_first,
                             .time = product->b_time,
                             .outer = (product->b_transposed ? product->ldb : 1) * bytes,
                             .k = (product->b_transposed ? 1 : product->ldb) * bytes,
                             .batch = product->b_batch_stride,
                             .kept = plan->time && is_the_same(product->b, plan->time)};

    plan->turned = turned;
    plan->p = turned ? b : a;
    plan->q = turned ? a : b;
    plan->rows = turned ? product->n : product->m;
    plan->columns = turned ? product->m : product->n;
    plan->depth = product->k;
    plan->k_blocks = parts_of(plan->depth, most_depth(product, plan));
    plan->block_k = plan->k_blocks > 1 ? round_up(parts_of(plan->depth, plan->k_blocks), STEPS_A_TURN) : plan->depth;
    if (plan->split) {
        plan->block_k = round_up(plan->block_k, SPLIT_K);
        plan->k_blocks = parts_of(plan->depth, plan->block_k);
    }
    plan->c_stride = product->ldc * bytes;
}

/* Are P's rows of neighbours, of which a tile reads a line or two at each k, few, near, and apart in the first cache? */
static bool is_spread(const struct tile_plan *plan)
{
    int64_t sets = PAGE;

    while (plan->p.k % sets && sets > 64)
        sets /= 2;
    return 2 * plan->depth * sets <= 8 * PAGE && plan->depth * plan->rows * plan->bytes <= NEAR_Q;
}

/* May P lie where it is? Not where many of its rows share places in the first cache, or its k are far apart. */
static bool lies_well(const struct tile_plan *plan)
{
    if (!copied_by_rows(plan))
        return plan->p.k <= CLOSE || is_spread(plan);
    return plan->depth <= SHORT_ROWS || is_apart(plan->p.outer, PAGE);
}

/* Do the maps that follow a product read so much beside it that it comes from far? Then they follow each tile (of 784 x 512 with
   three tensors, which two cores' caches nearly hold, that is .97 as fast as following groups). */
static bool follows_tiles(const struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t)
{
    const struct beside *beside = &plan->beside;
    int tensors = beside->count + !is_at_hand(t); /* and C, if it is stored */

    return beside->count && !beside->draws && tensors <= MOST_BESIDE && !plan->turned && !e->kernel->time &&
           plan->depth <= SHORT_DEPTH && plan->product->batches == 1 &&
           tensors * plan->rows * plan->c_stride >= FAR_BESIDE &&
           (plan->split || tensors * plan->height <= MOST_ROWS_A_TURN * (plan->depth / STEPS_A_TURN));
}

/* Does an operand with so many rows or columns leave the second cache before it is read again? */
static bool is_large(int64_t outer, const struct tile_plan *plan)
{
    return outer * plan->depth * plan->bytes > LARGE;
}

/* Rows that a panel is read for once, if a part has them all. */
static int64_t rows_at_a_time(const struct emitter *e, const struct tile_plan *plan)
{
    bool maps = e->kernel->stages.count > 1;
    /* Few rows are one group where Q is turned about for each group anew. */
    bool together = plan->q.k == plan->bytes && !plan->q.kept && plan->rows <= ROWS_TOGETHER;

    if (plan->split && !plan->by_tiles)
        return maps || plan->turned ? ROWS_OF_SPLIT_MAPS : ROWS_OF_SPLIT;
    if (plan->by_tiles || plan->turned)
        return plan->by_tiles ? ROWS_OF_A_SWEEP : ROWS_TURNED;
    bool near = maps || !is_large(plan->columns, plan);
    return plan->depth <= SHORT_DEPTH && near && !together ? ROWS_OF_ONE_BLOCK : ROWS_AT_A_TIME;
}

/* Is Q read by each group of rows as it lies? */
static bool is_near(const struct tile_plan *plan)
{
    return plan->q.k != plan->bytes && plan->columns * plan->depth * plan->bytes <= NEAR_Q;
}

/* What copying and turning about cost, and the lanes that are wasted. */
static double cost_of(const struct emitter *e, const struct product *product, struct tile_plan *plan, bool turned)
{
    double waste, p, q, c;
    bool p_before, q_before;

    set_operands(product, plan, turned);
    best_vectors(e, plan->rows, plan->columns, plan->lanes, &waste);
    p_before = !plan->p.kept && !lies_well(plan);
    q_before = !plan->q.kept && plan->rows > rows_at_a_time(e, plan) && !is_near(plan);
    p = p_before ? before_cycles : 0;
    q = plan->q.kept ? 0 : q_before ? before_cycles : plan->q.k == plan->bytes ? turn_panel_cycles : copy_cycles;
    c = turned ? turn_cycles : 0;
    return (double)plan->rows * (double)plan->columns * (double)plan->depth * waste * vector_cycles / plan->lanes +
           p * (double)plan->rows * (double)plan->depth + q * (double)plan->columns * (double)plan->depth +
           c * (double)plan->rows * (double)plan->columns + (p_before || q_before ? launch_cycles : 0);
}

/* Cycles of a product by the matrix unit on one core: rows, columns and k are filled up to what it takes at a time, and both operands
   are split, P before the tiles begin. */
static double split_cost(const struct emitter *e, const struct product *product, struct tile_plan *plan, bool turned)
{
    (void)e;
    set_operands(product, plan, turned);
    int64_t blocks = parts_of(plan->rows, 2 * plan->lanes), height = round_up(parts_of(plan->rows, blocks), 2);
    double rows = (double)(blocks * height), columns = (double)round_up(plan->columns, plan->lanes);
    double depth = (double)round_up(plan->depth, SPLIT_K);
    double p = split_before_cycles + (copied_by_rows(plan) ? 0 : turn_split_cycles) + (rows * depth > LARGE ? far_split_cycles : 0);
    double q = split_cycles + (plan->q.k == plan->bytes ? turn_split_cycles : 0);

    return rows * columns * depth / matrix_unit_rate + (plan->p.kept ? 0 : p * rows * depth + launch_cycles) +
           (plan->q.kept ? 0 : q * columns * depth) + (turned ? turn_cycles * rows * columns : 0);
}

/* The same by multiply-adds, with what it costs to bring a large operand nearer, which splitting counts as its own. */
static double tile_cost(const struct emitter *e, const struct product *product, struct tile_plan *plan, bool turned)
{
    double cost = cost_of(e, product, plan, turned), p = (double)plan->rows * (double)plan->depth;
    double q = (double)plan->columns * (double)plan->depth;

    return cost + far_cycles * ((p > LARGE && !plan->p.kept ? p : 0) + (q > LARGE && !plan->q.kept ? q : 0));
}

/* Extents alone decide, what the maps read, and what the machine has. Nothing is won where what is beside C takes longer to come than the
   unit's products (Adam behind a sum over 128: 1.1 times as slow). */
static bool is_split(const struct emitter *e, const struct product *product, struct tile_plan *plan)
{
    double beside = beside_cycles * (double)plan->beside.count, tiles[2], split[2];

    if (e->splits_all && plan->type == e->f32)
        return true;
    if (!e->matrix_unit || plan->type != e->f32 || product->k < SPLIT_K || product->m < FEWEST_SPLIT || product->n < FEWEST_SPLIT ||
        beside > (double)product->k / matrix_unit_rate)
        return false;
    for (int turned = 0; turned < 2; turned++) {
        plan->split = false;
        tiles[turned] = tile_cost(e, product, plan, turned);
        plan->split = true;
        split[turned] = split_cost(e, product, plan, turned);
    }
    return fmin(split[0], split[1]) < least_split_gain * fmin(tiles[0], tiles[1]);
}

/* Do maps read what lies beside C, and does that stay in the second caches from step to step? Then threads own columns of it, as
   they do where few rows are multiplied by it: an update of 784 x 128 beside the product of 64 x 784 by it, together 1.06 times
   as fast. */
static bool is_owned(const struct tile_plan *plan)
{
    return plan->beside.count && !plan->turned && plan->depth <= SHORT_DEPTH && plan->product->batches == 1 &&
           plan->beside.count * plan->rows * plan->c_stride <= OWNED_BYTES;
}

/* So many panels a group, or up to half as many again (or a third fewer, if that may be), that of two threads the one with
   more has as few as can be; of several such numbers the one nearest to what was wished. Only whole groups are taken from
   another's share: 55 panels by fives are 25 and 30, by fours 28 and 27 (700 x 2600 x 650 1.05 times as fast while both cores
   are as fast as each other). */
static int64_t even_panels(const struct tile_plan *plan, bool fewer)
{
    int64_t wished = plan->panels_each, best = wished, least = plan->panels;

    for (int64_t each = fewer ? parts_of(2 * wished, 3) : wished; 2 * each <= 3 * wished; each++) {
        int64_t first = each * (parts_of(plan->panels, each) / 2), second = plan->panels - first;
        int64_t most = first > second ? first : second;

        if (most < least || (most == least && llabs(each - wished) <= llabs(best - wished))) {
            least = most;
            best = each;
        }
    }
    return best;
}

static void cut_tiles(const struct emitter *e, struct tile_plan *plan)
{
    double waste;

    plan->vectors = plan->split ? 2 : best_vectors(e, plan->rows, plan->columns, plan->lanes, &waste);
    plan->panel_bytes = plan->vectors * plan->lanes * plan->bytes;
    plan->copy_k = plan->panel_bytes * (plan->split ? 6 : 4) / 4;
    plan->copy_depth = plan->split ? round_up(plan->depth, SPLIT_K) : plan->depth;
    plan->blocks = parts_of(plan->rows, plan->split ? 2 * plan->lanes : tallest(e, plan->vectors));
    plan->height = (int)parts_of(plan->rows, plan->blocks);
    plan->tile_rows = (plan->height + 1) / 2;
    plan->tall = plan->rows - (plan->height - 1) * plan->blocks;
    plan->panels = parts_of(plan->columns, plan->vectors * plan->lanes);
    plan->full_panels = plan->columns / (plan->vectors * plan->lanes);
    plan->last_vectors = plan->vectors - (int)idle_vectors(plan->columns, plan->lanes, plan->vectors);
}

/* Bytes of C that a group makes. */
static int64_t c_of_group(const struct tile_plan *plan)
{
    return plan->blocks_each * plan->height * plan->panels_each * plan->panel_bytes;
}

/* Panels whose copies keep to the second cache, with one of P's blocks and C. */
static int64_t split_panels(const struct tile_plan *plan)
{
    int64_t panels = SPLIT_BYTES / (plan->block_k * plan->copy_k);

    return panels < PANELS_AT_A_TIME ? panels : PANELS_AT_A_TIME;
}

static void cut_groups(const struct emitter *e, struct tile_plan *plan)
{
    double flops = flops_of(plan);
    int64_t batches = plan->product->batches, wanted;
    struct way way = way_of(e);
    bool whole_rows = e->kernel->stages.count > 1 && !plan->turned && plan->depth <= SHORT_DEPTH && !plan->by_tiles && !plan->split;

    plan->by_columns = is_owned(plan);
    plan->panels_each = scaled(plan->by_tiles     ? PANELS_OF_A_SWEEP
                               : plan->by_columns ? OWNED_PANELS
                               : whole_rows       ? PANELS_OF_ROWS
                               : plan->split      ? split_panels(plan)
                                                  : PANELS_AT_A_TIME,
                               way.panels);
    if (plan->panels_each > plan->panels)
        plan->panels_each = plan->panels;
    bool large = is_large(plan->panels_each * plan->vectors * plan->lanes, plan);
    plan->blocks_each = scaled((whole_rows && !large ? ROWS_OF_MAPS : rows_at_a_time(e, plan)) / plan->height, way.rows);
    if (plan->by_columns)
        plan->blocks_each = scaled(OWNED_GROUP / (plan->panels_each * plan->panel_bytes * plan->height), way.rows);
    if (plan->blocks_each > plan->blocks)
        plan->blocks_each = plan->blocks;
    if (plan->split && !plan->by_tiles && (plan->turned || e->kernel->stages.count > 1))
        while (plan->panels_each > FEWEST_PANELS && c_of_group(plan) > GATHERED)
            plan->panels_each--;
    wanted = (int64_t)(flops * (double)batches / part_flops);
    if (wanted > PARTS_WANTED)
        wanted = PARTS_WANTED;
    if (plan->split && wanted > SPLIT_PARTS)
        wanted = SPLIT_PARTS;
    wanted = scaled(wanted, way.parts);
    /* Where all rows are one group, parts copy Q as they come to it, each number once: its panels are parts first, but for few
       of them all of a long P would be read again with each. */
    bool long_p = plan->panels_each == plan->panels && is_large(plan->rows, plan) && plan->rows > plan->columns;
    bool few_rows = !plan->q.kept && plan->blocks_each == plan->blocks && !long_p;
    /* Each group of rows reads its panels anew, from the third cache if they do not fit the second: 28 rows at a time did so at
       160 GFLOP/s where 112 do at 235 (700 x 200 x 10000). */
    int64_t fewest = large ? parts_of(ROWS_OF_LARGE_Q, plan->height) : 1;
    for (;;) {
        plan->row_groups = parts_of(plan->blocks, plan->blocks_each);
        plan->panel_groups = parts_of(plan->panels, plan->panels_each);
        plan->items = batches * plan->row_groups * plan->panel_groups;
        if (plan->items >= wanted || (plan->blocks_each == 1 && plan->panels_each == 1))
            break;
        bool by_panels = plan->panels > 2 * plan->blocks ||
                         (few_rows && plan->panels > 1 && 2 * batches * plan->panels >= wanted);
        if (few_rows && plan->panels_each == 1 && by_panels)
            break;
        if (plan->panels_each > 1 && by_panels)
            plan->panels_each = (plan->panels_each + 1) / 2;
        else if (plan->blocks_each < 2 * fewest && 4 * plan->items >= wanted && large)
            break;
        else if (plan->blocks_each > 1)
            plan->blocks_each = (plan->blocks_each + 1) / 2;
        else
            plan->panels_each = (plan->panels_each + 1) / 2;
    }
    plan->blocks_each = parts_of(plan->blocks, plan->row_groups);
    plan->row_groups = parts_of(plan->blocks, plan->blocks_each);
    if (plan->row_groups * batches == 1)
        plan->panels_each = even_panels(plan, flops >= short_flops);
    plan->panel_groups = parts_of(plan->panels, plan->panels_each);
    plan->panels_each = parts_of(plan->panels, plan->panel_groups);
    plan->panel_groups = parts_of(plan->panels, plan->panels_each);
    plan->items = batches * plan->row_groups * plan->panel_groups;
    plan->items_per_part = parts_of(plan->items, MAX_PARTS);
    double each = flops / (double)(plan->row_groups * plan->panel_groups);
    if ((double)plan->items_per_part * each < part_flops)
        plan->items_per_part = (int64_t)(part_flops / each) + 1;
    if (plan->items_per_part > plan->items)
        plan->items_per_part = plan->items;
    plan->parts = parts_of(plan->items, plan->items_per_part);
}

static void choose_access(struct emitter *e, struct tile_plan *plan)
{
    struct tile_operand *p = &plan->p, *q = &plan->q;
    bool inside = plan->row_groups * plan->panel_groups == 1;
    int64_t batches = plan->product->batches;

    p->padded = round_up(plan->depth * plan->bytes, 64) + 64;
    if (p->padded % 1024 == 0)
        p->padded += 64;
    p->packed = copied_by_rows(plan) ? plan->rows * p->padded : plan->rows * plan->depth * plan->bytes;
    if (plan->split)
        p->packed = plan->blocks * split_block_bytes(plan);
    q->packed = plan->panels * plan->copy_depth * plan->copy_k;
    p->access = lies_well(plan) && !plan->split ? IN_PLACE : PACKED_BEFORE;
    bool again = plan->split ? plan->blocks_each >= SPLITS_AGAIN : plan->blocks_each >= COPIES_AGAIN || is_near(plan);
    bool once = !plan->by_tiles && (plan->row_groups == 1 || again);
    q->access = once && !q->kept ? PACKED_PANELS : PACKED_BEFORE;
    if (inside && p->access == PACKED_BEFORE && p->packed <= INSIDE_BYTES && !p->kept)
        p->access = PACKED_INSIDE;
    if (p->access == PACKED_BEFORE)
        p->copies = (p->kept ? take_kept : take_scratch)(e, batches * p->packed);
    if (q->access == PACKED_BEFORE)
        q->copies = (q->kept ? take_kept : take_scratch)(e, batches * q->packed);
}

/* Runs of panels as equal as they can be; the tiles of the shortest have to ask for all of the next. */
static void plan_runs(struct tile_plan *plan)
{
    int64_t depth = plan->block_k, each = plan->panels_each;
    int64_t run = parts_of(each, parts_of(each, PANELS_OF_A_RUN)), last = each - (parts_of(each, run) - 1) * run;

    if (plan->q.access != PACKED_PANELS || plan->q.k == plan->bytes || depth < STEPS_A_TURN)
        return;
    plan->run_rows = parts_of(depth, last * plan->blocks_each);
    plan->run = plan->run_rows <= STEPS_A_TURN ? run : 0;
}

/* What tiles of the matrix unit ask for with each SPLIT_K of k. Not for Q, whose lines come no sooner for it. */
static void plan_asks(struct tile_plan *plan, bool gathered)
{
    int64_t groups = plan->block_k / SPLIT_K;

    if (plan->by_tiles) {
        plan->rows_a_turn = (int)parts_of(plan->height, groups);
        return;
    }
    if (!gathered && (plan->k_blocks == 1 || c_of_group(plan) > FAR_C)) {
        plan->c_rows = (int)parts_of(plan->height, groups);
        plan->c_lines = plan->vectors + (plan->c_stride % LINE != 0);
    }
    plan->p_lines = (int)parts_of(plan->block_k * split_block_bytes(plan) / plan->copy_depth, plan->panels_each * groups * LINE);
    if (plan->p_lines > MOST_LINES)
        plan->p_lines = 0;
}

void plan_tiles(struct emitter *e, const struct product *product, const struct ir_tensor *t, enum when when,
                struct tile_plan *plan)
{
    bool single = e->program->precision == IR_SINGLE;

    *plan = (struct tile_plan){.product = product, .bytes = single ? 4 : 8, .type = single ? e->f32 : e->f64};
    plan->time = when == FIRST_STEP ? NULL : e->kernel->time;
    plan->lanes = vector_bytes(e) / (int)plan->bytes;
    plan->vector = LLVMVectorType(plan->type, (unsigned)plan->lanes);
    if (e->kernel->stages.count > 1)
        find_beside(e, t, plan->bytes, &plan->beside);
    plan->split = is_split(e, product, plan);
    double (*cost)(const struct emitter *e, const struct product *product, struct tile_plan *plan, bool turned) =
        plan->split ? split_cost : cost_of;
    set_operands(product, plan, cost(e, product, plan, true) < cost(e, product, plan, false));
    cut_tiles(e, plan);
    plan->by_tiles = follows_tiles(e, plan, t);
    if (plan->by_tiles && !is_at_hand(t))
        plan->beside.tensors[plan->beside.count++] = t;
    plan->rows_a_turn = plan->beside.count * plan->height > plan->depth / STEPS_A_TURN ? MOST_ROWS_A_TURN : 1;
    cut_groups(e, plan);
    choose_access(e, plan);
    if (plan->split)
        plan_asks(plan, plan->turned || is_at_hand(t));
    else
        plan_runs(plan);
}
