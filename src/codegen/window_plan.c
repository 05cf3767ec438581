/* window_plan.c: how a product over windows is cut into tiles. What sums depend on (the order of k, blocks of it, parts) rests on
   the shape alone; the size of tiles on the machine.

   requires: a product that window_match and window_cut accept. */
#include "window.h"

/* RUN: terms that a tile adds up before they go to C. IN_PLACE_BYTES: rows of Q farther apart share places in the first cache. */
enum {
    RUN = 288,
    RUN_OF_SUMS = 144,
    MOST_PLACES = 16,
    IN_PLACE_BYTES = 256,
    LARGE_Q = 1 << 19,
    MOST_LINES = 4,
    MOST_ITEMS_WANTED = 64
};
static const double part_flops = 1e6;
/* As measured on a Sapphire Rapids beside as many multiply-adds: two are promised. */
static const double loads_a_cycle = 1.6;

static int64_t parts_of(int64_t a, int64_t by)
{
    return (a + by - 1) / by;
}

static int tallest(const struct emitter *e, int vectors, int taps)
{
    static const int many[] = {0, 28, 14, 9, 6}, few[] = {0, 12, 6, 4, 2};
    int most = vector_registers(e) == 32 ? many[vectors] : few[vectors];
    int left = (vector_registers(e) - 2) / vectors - taps;

    return taps == 1 || left > most ? most : left < 2 ? 2 : left;
}

/* Cycles of all tiles of a row's length for one k: multiply-adds two a cycle, each sum every fourth cycle. */
static double cycles_of(const struct emitter *e, int64_t length, int64_t columns, int lanes, int vectors, int taps)
{
    int64_t blocks = parts_of(length, tallest(e, vectors, taps));
    double height = (double)length / (double)blocks, panels = (double)parts_of(columns, vectors * lanes);
    double multiply = height * vectors / 2, load = (height / taps + vectors + 1) / loads_a_cycle;
    double most = multiply > load ? multiply : load;

    return panels * (double)blocks * (most > 4 ? most : 4);
}

static int best_vectors(const struct emitter *e, int64_t length, int64_t columns, int lanes, int taps)
{
    static const int order[] = {2, 3, 1, 4};
    int best = 2;

    for (int i = 1; i < 4; i++)
        if ((taps == 1 || (vector_registers(e) - 2) / order[i] - taps > 1) &&
            cycles_of(e, length, columns, lanes, order[i], taps) <
            0.99 * cycles_of(e, length, columns, lanes, best, taps))
            best = order[i];
    return best;
}

static double row_cycles(const struct emitter *e, int64_t length, int64_t columns, int lanes, int taps)
{
    return cycles_of(e, length, columns, lanes, best_vectors(e, length, columns, lanes, taps), taps);
}

/* The same of slides: registers are for the sums and as many vectors of Q as there are taps. */
static int tallest_slide(const struct emitter *e, int vectors, int taps)
{
    return (vector_registers(e) - 1) / (taps * vectors) - 1;
}

/* Cycles of all tiles for one place: multiply-adds, and loads, which are never quite hidden. */
static int best_slide(const struct emitter *e, int64_t length, int64_t columns, int lanes, int taps)
{
    double least = 0;
    int best = 0;

    for (int vectors = 1; vectors <= 4 && tallest_slide(e, vectors, taps) > 0; vectors++) {
        int64_t blocks = parts_of(length, tallest_slide(e, vectors, taps)), panels = parts_of(columns, vectors * lanes);
        double height = (double)length / (double)blocks, loads = (height + vectors) / loads_a_cycle / 2;
        double cycles = (double)(panels * blocks) * (taps * height * vectors / 2 + loads);

        if (!best || cycles < 0.99 * least) {
            best = vectors;
            least = cycles;
        }
    }
    return best;
}

static bool is_outer(const struct window_plan *plan, int loop)
{
    for (int i = 0; i < plan->outer_count; i++)
        if (plan->outer[i] == loop)
            return true;
    return false;
}

static void find_outer(struct window_plan *plan)
{
    const struct window_cut *cut = &plan->cut;

    for (int i = 0; i < cut->images; i++)
        plan->outer[plan->outer_count++] = cut->image[i];
    for (int i = 0; i < plan->product->count; i++)
        if (plan->product->loops[i].role == WINDOW_BATCH && !is_outer(plan, i))
            plan->outer[plan->outer_count++] = i;
    if (cut->bands > 1)
        plan->outer[plan->outer_count++] = cut->band;
}

/* Rows of a clipped loop make tiles of their own if these have so many fewer terms that it pays. */
static bool is_own_row(const struct emitter *e, const struct window_plan *plan, int loop, int64_t inside)
{
    const struct window_product *product = plan->product;
    int lanes = vector_bytes(e) / (e->program->precision == IR_SINGLE ? 4 : 8);
    int64_t extent = product->loops[loop].extent;
    double share = clipped_share(plan, loop), apart = 0, together = 0;

    if (share == 1)
        return false;
    apart = (double)extent * row_cycles(e, inside, product->columns, lanes, plan->taps);
    together = row_cycles(e, extent * inside, product->columns, lanes, plan->taps);
    return share * apart < together;
}

/* The loops of a role that go round inside an item, neighbours joined. */
static int inner_axes(const struct emitter *e, const struct window_plan *plan, enum window_role role, struct window_axis *axes)
{
    const struct window_product *product = plan->product;
    int count = 0;

    for (int i = 0; i < product->count; i++) {
        const struct window_loop *l = &product->loops[i];
        bool banded = plan->cut.bands > 1 && i == plan->cut.band, tap = i == plan->tap || (count && i - 1 == plan->tap);
        struct window_axis axis = {banded ? plan->cut.band_size : l->extent, l->p, l->q, l->c, banded, i};
        struct window_axis *last = &axes[count - 1];

        if (l->role != role || (is_outer(plan, i) && !banded))
            continue;
        if (count && !last->banded && !banded && !tap && last->p == axis.p * axis.extent &&
            (role == WINDOW_ROW ? !is_own_row(e, plan, i - 1, axis.extent)
                                : !plan->cut.sums || last->q == axis.q * axis.extent)) {
            last->extent *= axis.extent;
            last->loop = -1;
            last->p = axis.p;
            last->q = axis.q;
            last->c = axis.c;
        } else {
            axes[count++] = axis;
        }
    }
    if (!count)
        axes[count++] = (struct window_axis){.extent = 1, .p = 1, .q = 1, .c = plan->row_elements, .loop = -1};
    return count;
}

/* A loop of the sum that moves P by as much as a row does, just outside of the innermost: one number of P is then
   wanted by several rows, which share it. */
static void find_taps(struct window_plan *plan)
{
    const struct window_product *product = plan->product;
    int64_t row = plan->rows[plan->row_count - 1].p, inside = 1;

    plan->tap = -1;
    plan->taps = 1;
    for (int i = product->count - 1; i >= 0 && !plan->cut.sums; i--) {
        const struct window_loop *l = &product->loops[i];

        if (l->role != WINDOW_SUM)
            continue;
        if (l->p == row && inside > 1 && l->extent <= MOST_TAPS) {
            plan->tap = i;
            plan->taps = (int)l->extent;
            return;
        }
        if (inside > 1 && l->p != product->loops[i + 1].p * product->loops[i + 1].extent)
            return;
        inside *= l->extent;
    }
}

/* Of sums: a loop of rows that moves P by as much as the sum's innermost does. One vector of Q is then wanted by
   several rows, at places of P one behind the other. */
static void find_slide(const struct emitter *e, struct window_plan *plan)
{
    const struct window_product *product = plan->product;
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];

    for (int i = 0; i < product->count && !last->banded && last->loop >= 0; i++) {
        const struct window_loop *l = &product->loops[i];

        if (l->role == WINDOW_ROW && l->p == last->p && l->extent <= MOST_TAPS && !is_outer(plan, i) &&
            tallest_slide(e, 1, (int)l->extent) > 0) {
            plan->slides = true;
            plan->tap = i;
            plan->taps = (int)l->extent;
            plan->tap_rows = l->c / plan->row_elements;
        }
    }
}

/* The taps leave the rows'. */
static void take_slide(struct window_plan *plan)
{
    int count = 0;

    for (int i = 0; i < plan->row_count; i++)
        if (!plan->slides || plan->rows[i].loop != plan->tap)
            plan->rows[count++] = plan->rows[i];
    plan->row_count = count;
    if (!count)
        plan->rows[plan->row_count++] = (struct window_axis){.extent = 1, .p = 1, .c = plan->row_elements, .loop = -1};
}

/* The taps leave the sum's loops. */
static void take_taps(struct window_plan *plan)
{
    if (plan->taps == 1)
        return;
    plan->sums[plan->sum_count - 2] = plan->sums[plan->sum_count - 1];
    plan->sum_count--;
}

static void plan_tiles_of(struct emitter *e, struct window_plan *plan)
{
    struct tile_plan *tile = &plan->tile;
    int64_t length = plan->rows[plan->row_count - 1].extent, columns = plan->product->columns;

    tile->bytes = e->program->precision == IR_SINGLE ? 4 : 8;
    tile->type = tile->bytes == 4 ? e->f32 : e->f64;
    tile->lanes = vector_bytes(e) / (int)tile->bytes;
    tile->vector = LLVMVectorType(tile->type, (unsigned)tile->lanes);
    tile->vectors = plan->slides ? best_slide(e, length, columns, tile->lanes, plan->taps)
                                 : best_vectors(e, length, columns, tile->lanes, plan->taps);
    tile->panel_bytes = tile->vectors * tile->lanes * tile->bytes;
    plan->blocks = parts_of(length, plan->slides ? tallest_slide(e, tile->vectors, plan->taps)
                                                 : tallest(e, tile->vectors, plan->taps));
    tile->height = (int)parts_of(length, plan->blocks);
    tile->tall = length - (tile->height - 1) * plan->blocks;
    tile->rows = plan->cut.rows;
    tile->columns = columns;
    tile->depth = plan->product->terms;
    tile->panels = parts_of(columns, tile->vectors * tile->lanes);
    tile->full_panels = columns / (tile->vectors * tile->lanes);
}

static void plan_k(struct window_plan *plan)
{
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];
    int64_t segments = plan->sum_count > 1 ? plan->sums[plan->sum_count - 2].extent : 1;

    if (plan->slides) {
        plan->run = parts_of(last->extent, parts_of(last->extent, MOST_PLACES));
        plan->segments = parts_of(segments, parts_of(segments * plan->run, RUN_OF_SUMS));
    } else if (last->extent * plan->taps > RUN) {
        plan->run = parts_of(last->extent, parts_of(last->extent * plan->taps, RUN));
        plan->segments = 1;
    } else {
        int64_t terms = last->extent * plan->taps, most = RUN / terms < 1 ? 1 : RUN / terms;

        plan->run = last->extent;
        plan->segments = parts_of(segments, parts_of(segments, most));
    }
}

/* Of sums: can tiles read Q as it lies? */
static bool reads_q_in_place(const struct window_plan *plan)
{
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];
    const struct window_axis *before = plan->sum_count > 1 ? last - 1 : NULL;

    return plan->tile.full_panels == plan->tile.panels && last->q * plan->tile.bytes <= IN_PLACE_BYTES &&
           (plan->segments == 1 || (before && !last->banded && before->q == last->q * last->extent));
}

static void plan_parts(struct emitter *e, struct window_plan *plan)
{
    const struct window_cut *cut = &plan->cut;
    double flops = 2.0 * (double)plan->product->rows * (double)plan->product->columns * (double)plan->product->terms;
    int64_t batches = 1;

    plan->gathered_row = plan->tile.panels * plan->tile.panel_bytes;
    if (cut->sums) {
        plan->items_per_part = parts_of(cut->items, cut->parts);
        plan->cut.parts = parts_of(cut->items, plan->items_per_part);
        plan->parts = plan->cut.parts * cut->groups;
        plan->partial_bytes = plan->product->rows * plan->gathered_row;
        plan->partial = take_scratch(e, plan->cut.parts * plan->partial_bytes);
        plan->q_in_place = reads_q_in_place(plan);
        return;
    }
    for (int i = 0; i < plan->product->count; i++)
        if (plan->product->loops[i].role == WINDOW_BATCH)
            batches *= plan->product->loops[i].extent;
    flops *= (double)batches;
    plan->items_per_part = parts_of(cut->items, MOST_ITEMS_WANTED);
    while (plan->items_per_part < cut->items &&
           (double)plan->items_per_part * flops / (double)cut->items < part_flops)
        plan->items_per_part++;
    plan->parts = parts_of(cut->items, plan->items_per_part);
    plan->gathered = plan->c->region == IR_LOCAL || plan->tile.full_panels < plan->tile.panels;
    plan->q_batch = plan->tile.panels * plan->tile.depth * plan->tile.panel_bytes;
    plan->q_scratch = take_scratch(e, batches * plan->q_batch);
    if (plan->q_batch > LARGE_Q) {
        int64_t tiles = plan->cut.rows / plan->rows[plan->row_count - 1].extent * plan->blocks;

        plan->lines = (int)parts_of(4 * plan->taps * plan->tile.panel_bytes / LINE, 3 * tiles);
        plan->lines = plan->lines > MOST_LINES ? 0 : plan->lines;
    }
}

void plan_windows(struct emitter *e, const struct window_product *product, const struct ir_tensor *t,
                  struct window_plan *plan)
{
    bool framed = product->p->tensor->region == IR_LOCAL;

    *plan = (struct window_plan){.product = product, .c = t, .frame = framed ? product->p->tensor : NULL};
    if (framed && product_stage(e->kernel) > 1)
        plan->source = e->kernel->stages.at[0]->equations.at[0];
    if (!window_cut(product, framed, &plan->cut))
        bug("codegen: kernel %s: %s cannot be cut into images", e->kernel->name, t->name);
    if (plan->source)
        find_copy(plan);
    find_outer(plan);
    plan->tap = -1;
    plan->taps = 1;
    find_clips(plan);
    for (int i = 0; i < product->count; i++)
        if (product->loops[i].role == WINDOW_ROW)
            plan->row_elements = product->loops[i].c;
    if (plan->cut.sums) {
        plan->sum_count = inner_axes(e, plan, WINDOW_SUM, plan->sums);
        find_slide(e, plan);
        plan->row_count = inner_axes(e, plan, WINDOW_ROW, plan->rows);
        take_slide(plan);
    } else {
        plan->row_count = inner_axes(e, plan, WINDOW_ROW, plan->rows);
        find_taps(plan);
        plan->sum_count = inner_axes(e, plan, WINDOW_SUM, plan->sums);
        take_taps(plan);
    }
    place_clips(plan);
    plan_tiles_of(e, plan);
    plan_k(plan);
    plan_parts(e, plan);
}

struct window_shape shape_of_block(const struct window_plan *plan, int lines, int64_t block)
{
    const struct tile_plan *tile = &plan->tile;
    int64_t row = block * tile->height - (block > tile->tall ? block - tile->tall : 0);
    struct window_shape shape = {.height = tile->height - (block >= tile->tall),
                                 .p_row = plan->rows[plan->row_count - 1].p * tile->bytes,
                                 .taps = plan->taps,
                                 .lines = lines};

    clip_tile(plan, row, shape.height, &shape.first, &shape.end);
    return shape;
}

struct slide_shape slide_of_run(const struct window_plan *plan, int height, int lines, int64_t k)
{
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];
    const struct tile_plan *tile = &plan->tile;
    int64_t length = last->extent - k < plan->run ? last->extent - k : plan->run;
    struct slide_shape shape = {.height = height,
                                .taps = plan->taps,
                                .length = (int)length,
                                .lines = lines,
                                .p_row = plan->rows[plan->row_count - 1].p * tile->bytes,
                                .p_k = last->p * tile->bytes,
                                .q_k = plan->q_in_place ? last->q * tile->bytes : tile->panel_bytes};

    clip_tile(plan, k, shape.length, &shape.first, &shape.end);
    return shape;
}

int64_t blocks_of_rows(const struct window_plan *plan)
{
    int64_t all = plan->blocks;

    for (int i = 0; i + 1 < plan->row_count; i++)
        all *= plan->rows[i].extent;
    return all;
}

LLVMValueRef axis_extent(struct emitter *e, const struct window_plan *plan, const struct window_axis *axis,
                         LLVMValueRef band_first)
{
    if (!axis->banded)
        return count_of(e, axis->extent);
    int64_t all = plan->product->loops[plan->cut.band].extent;
    return lesser(e, LLVMBuildNSWSub(e->builder, count_of(e, all), band_first, ""), count_of(e, axis->extent));
}
