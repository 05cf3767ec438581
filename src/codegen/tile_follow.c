/* tile_follow.c: the maps that follow a product, and sums of them in parts, made of each group of tiles while it is in
   the caches: row by row, along the columns by vectors, as a nest would. The product itself is at hand in a block on
   the stack if nothing else wants it, else in memory.

   requires: the product's last axis is what its columns are (struct product's row_axes). */
#include "tile.h"

typedef LLVMValueRef V;

/* The number of the batch's first element in C. */
static V first_of_batch(struct emitter *e, const struct product *product, V batch)
{
    V first = count_of(e, 0);

    for (int i = product->batched_count - 1; i >= 0; i--) {
        V extent = count_of(e, product->batch_extent[i]);
        V at = i ? LLVMBuildURem(e->builder, batch, extent, "") : batch;

        first = plus(e, first, times(e, at, product->c_batch_stride[i]));
        if (i)
            batch = LLVMBuildUDiv(e->builder, batch, extent, "");
    }
    return first;
}

/* Binds the axes before the columns, of which the row's first element has the number `element`. */
static void bind_row(struct emitter *e, const struct ir_tensor *t, V element)
{
    int64_t stride = t->axes[t->rank - 1]->extent;

    for (int i = t->rank - 2; i >= 0; i--) {
        int64_t extent = t->axes[i]->extent;
        V at = LLVMBuildUDiv(e->builder, element, count_of(e, stride), "");

        bind(e, t->axes[i], i ? LLVMBuildURem(e->builder, at, count_of(e, extent), "") : at, false);
        stride *= extent;
    }
}

/* The numbers drawn along a row's columns are made first. */
static void emit_rows_of_draws(struct emitter *e, const struct kernel_plan *plan, const struct range *columns,
                               int64_t most)
{
    int known = e->rows.count;

    for (int i = 0; i < plan->count && most > 2 * LANES; i++)
        for (int k = 0; k < plan->stages[i].draws.count; k++) {
            const struct ir_expr *read = plan->stages[i].draws.at[k];
            bool done = !draw_runs_along(e, read, plan->along);

            for (int r = known; r < e->rows.count; r++)
                done |= e->rows.at[r].read == read;
            if (!done)
                emit_row(e, read, plan->along, columns->first, columns->end, most);
        }
}

/* At the vector that begins at a column. */
static void emit_followers(struct emitter *e, const struct tile_plan *plan, const struct follow *follow,
                           const struct ir_tensor *t, V block, V column)
{
    if (block) {
        V at = further(e, block, column, plan->bytes);
        struct value v = {LLVMBuildLoad2(e->builder, vector_of(e, plan->type), at, ""), REAL, e->depth};

        LLVMSetAlignment(v.at, (unsigned)plan->bytes);
        set_value(e, t, v);
    }
    e->floor = e->depth;
    for (int i = 0; i < follow->plan->count; i++)
        emit_point(e, &follow->plan->stages[i]);
}

static V lanes_left(struct emitter *e, V count)
{
    V wide = splat(e, LLVMBuildTrunc(e->builder, count, e->i32, ""));

    return LLVMBuildICmp(e->builder, LLVMIntSLT, lane_numbers(e, e->i32), wide, "");
}

/* ---- a whole image ---- */

enum { MOST_NEIGHBOURS = 4 };
struct image {
    struct emitter *e;
    const struct tile_plan *plan;
    const struct ir_tensor *t;
    const struct follow *follow;
    struct stage_plan *stage; /* as many as neighbours, which differ in accumulators */
    int neighbours;
    V block; /* the row at hand, or NULL */
    V column;
};
typedef void (*image_body)(struct image *image);

static void emit_image_point(struct image *image)
{
    struct emitter *e = image->e;

    if (image->block) {
        V at = further(e, image->block, image->column, image->plan->bytes);
        struct value v = {LLVMBuildLoad2(e->builder, vector_of(e, image->plan->type), at, ""), REAL, e->depth};

        LLVMSetAlignment(v.at, (unsigned)image->plan->bytes);
        set_value(e, image->t, v);
    }
    emit_point(e, image->stage);
}

/* Neighbours on the innermost axis are made side by side, each with sums of its own. */
static void along_pixels(struct image *image, image_body inside)
{
    struct emitter *e = image->e;
    const struct ir_tensor *t = image->t;
    V block = image->block, at = NULL;
    int loops = 0;
    int64_t rows = ir_extent_product(t->axes + image->follow->images, t->rank - 1 - image->follow->images);

    for (int i = image->follow->images; i + 1 < t->rank; i++) {
        bool last = i + 2 == t->rank;

        at = loop_open(e, count_of(e, 0), count_of(e, t->axes[i]->extent), last ? image->neighbours : 1);
        rows /= t->axes[i]->extent;
        if (!last)
            bind(e, t->axes[i], at, false);
        if (block)
            image->block = further(e, image->block, at, rows * image->follow->block_row);
        loops++;
    }
    V first = image->block;
    int level = e->depth;
    struct stage_plan *stage = image->stage;
    for (int k = 0; k < image->neighbours; k++) {
        if_open(e, NULL);
        bind_behind(e, t->axes[t->rank - 2], at, level, k, false);
        if (block)
            image->block = offset_constant(e, first, k * image->follow->block_row);
        image->stage = &stage[k];
        inside(image);
        if_close(e);
        at_level(e, e->depth);
    }
    image->stage = stage;
    while (loops--)
        loop_close(e);
    at_level(e, e->depth);
    image->block = block;
}

/* The sums of neighbours become one: ((0 + 1) + (2 + 3)). */
static void join_neighbours(struct image *image)
{
    struct emitter *e = image->e;

    for (int i = 0; i < image->stage->count; i++) {
        V sums[MOST_NEIGHBOURS];

        if (!image->stage->equations[i].reduces || image->stage->equations[i].in_parts)
            continue;
        for (int k = 0; k < image->neighbours; k++) {
            V accumulator = image->stage[k].equations[i].accumulator;
            sums[k] = LLVMBuildLoad2(e->builder, LLVMGetAllocatedType(accumulator), accumulator, "");
        }
        for (int count = image->neighbours; count > 1; count /= 2)
            for (int k = 0; k < count / 2; k++)
                sums[k] = LLVMBuildFAdd(e->builder, sums[2 * k], sums[2 * k + 1], "");
        LLVMBuildStore(e->builder, sums[0], image->stage->equations[i].accumulator);
    }
}

/* The columns by vectors; sums: which are begun and ended with each. */
static void along_columns(struct image *image, image_body inside, bool sums)
{
    struct emitter *e = image->e;
    const struct ir_index *along = image->t->axes[image->t->rank - 1];
    int64_t full = along->extent / LANES * LANES;

    for (int part = 0; part < 2; part++) {
        int64_t first = part ? full : 0, end = part ? along->extent : full;

        if (first == end)
            continue;
        if (end - first > LANES) {
            image->column = loop_open(e, count_of(e, first), count_of(e, end), LANES);
        } else {
            if_open(e, NULL);
            image->column = count_of(e, first);
        }
        bind(e, along, image->column, true);
        if (part) {
            e->mask = lanes_below(e, end - first);
            e->mask_level = e->depth;
        }
        for (int k = 0; sums && k < image->neighbours; k++)
            begin_point(e, &image->stage[k]);
        inside(image);
        if (sums) {
            join_neighbours(image);
            end_point(e, image->stage);
        }
        e->mask = NULL;
        e->mask_level = 0;
        if (end - first > LANES)
            loop_close(e);
        else
            if_close(e);
        at_level(e, e->depth);
    }
}

static void pixels_inside(struct image *image)
{
    along_pixels(image, emit_image_point);
}

static void columns_inside(struct image *image)
{
    along_columns(image, emit_image_point, false);
}

/* Stage by stage, as one may read what another sums up over the image. Sums stay in registers: columns go round outside of
   pixels. */
static void emit_image(struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t, const struct follow *follow)
{
    int64_t stride = ir_extent_product(t->axes + follow->images, t->rank - follow->images);
    V number = LLVMBuildUDiv(e->builder, follow->first, count_of(e, stride), "");

    for (int i = follow->images - 1; i >= 0; i--) {
        V extent = count_of(e, t->axes[i]->extent);

        bind(e, t->axes[i], i ? LLVMBuildURem(e->builder, number, extent, "") : number, false);
        if (i)
            number = LLVMBuildUDiv(e->builder, number, extent, "");
    }
    for (int i = 0; i < follow->plan->count; i++) {
        struct stage_plan stages[MOST_NEIGHBOURS];
        struct image image = {e, plan, t, follow, stages, 1, follow->block, NULL};
        bool sums = false;

        stages[0] = follow->plan->stages[i];
        for (int k = 0; k < stages->count; k++)
            sums |= stages->equations[k].reduces && !stages->equations[k].in_parts;
        while (sums && image.neighbours < MOST_NEIGHBOURS && t->axes[t->rank - 2]->extent % (2 * image.neighbours) == 0)
            image.neighbours *= 2;
        for (int k = 1; k < image.neighbours; k++) {
            stages[k] = stages[0];
            stages[k].equations = arena_copy(e->arena, stages->equations, sizeof *stages->equations * (size_t)stages->count);
        }
        e->floor = e->depth;
        if (sums)
            along_columns(&image, pixels_inside, true);
        else
            along_pixels(&image, columns_inside);
    }
}

/* Random numbers are drawn row by row, but for one that all share. */
static bool draws_rows(const struct kernel_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].draws.count; k++)
            if (plan->stages[i].draws.at[k]->tensor->rank > 0)
                return true;
    return false;
}

/* ---- any rows and columns ---- */

/* At all columns of a row. */
static void follow_columns(struct emitter *e, const struct tile_plan *plan, const struct follow *follow,
                           const struct ir_tensor *t, V block, V count)
{
    const struct ir_index *along = t->axes[t->rank - 1];
    V full = plus(e, follow->columns.first, LLVMBuildAnd(e->builder, count, count_of(e, -LANES), ""));
    V left = LLVMBuildNSWSub(e->builder, follow->columns.end, full, "");
    V at = loop_open(e, follow->columns.first, full, LANES);
    bind(e, along, at, true);
    emit_followers(e, plan, follow, t, block, LLVMBuildNSWSub(e->builder, at, follow->columns.first, ""));
    loop_close(e);
    at_level(e, e->depth);
    if_open(e, LLVMBuildICmp(e->builder, LLVMIntSGT, left, count_of(e, 0), ""));
    bind(e, along, full, true);
    e->mask = lanes_left(e, left);
    e->mask_level = e->depth;
    emit_followers(e, plan, follow, t, block, LLVMBuildNSWSub(e->builder, full, follow->columns.first, ""));
    e->mask = NULL;
    e->mask_level = 0;
    if_close(e);
}

/* The same of a panel: straight-line if it is full. */
static void follow_panel(struct emitter *e, const struct tile_plan *plan, const struct follow *follow,
                         const struct ir_tensor *t, V block)
{
    const struct ir_index *along = t->axes[t->rank - 1];
    int level = e->depth;

    if_open(e, follow->is_full);
    for (int64_t i = 0; i < follow->vectors; i++) {
        if_open(e, NULL);
        bind_behind(e, along, follow->columns.first, level, i * LANES, true);
        emit_followers(e, plan, follow, t, block, count_of(e, i * LANES));
        if_close(e);
    }
    if_close(e);
    at_level(e, e->depth);
    if (!follow->is_full)
        return;
    if_open(e, LLVMBuildNot(e->builder, follow->is_full, ""));
    V at = loop_open(e, follow->columns.first, follow->columns.end, LANES);
    bind(e, along, at, true);
    e->mask = lanes_left(e, LLVMBuildNSWSub(e->builder, follow->columns.end, at, ""));
    e->mask_level = e->depth;
    emit_followers(e, plan, follow, t, block, LLVMBuildNSWSub(e->builder, at, follow->columns.first, ""));
    e->mask = NULL;
    e->mask_level = 0;
    loop_close(e);
    if_close(e);
}

void emit_follow(struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t,
                 const struct follow *follow)
{
    if (follow->images && !draws_rows(follow->plan)) {
        emit_image(e, plan, t, follow);
        return;
    }
    const struct product *product = plan->product;
    int rows = e->rows.count;
    V row = loop_open(e, follow->rows.first, follow->rows.end, 1);
    V first = follow->first ? follow->first : first_of_batch(e, product, follow->batch), block = NULL;
    V element = plus(e, first, times(e, row, follow->first ? follow->row_elements : product->ldc));

    bind_row(e, t, element);
    emit_rows_of_draws(e, follow->plan, &follow->columns, follow->most_columns);
    at_level(e, e->depth);
    if (follow->block)
        block = further(e, follow->block, LLVMBuildNSWSub(e->builder, row, follow->rows.first, ""), follow->block_row);
    V count = LLVMBuildNSWSub(e->builder, follow->columns.end, follow->columns.first, "");
    if (follow->vectors)
        follow_panel(e, plan, follow, t, block);
    else
        follow_columns(e, plan, follow, t, block, count);
    e->rows.count = rows;
    loop_close(e);
    at_level(e, e->depth);
}

/* ---- what they read beside C ---- */

/* What the kernel makes itself is at hand where it is read. */
static void note_beside(const struct ir_expr *read, void *context)
{
    struct beside *beside = context;
    const struct ir_tensor *t = read->tensor, *c = beside->c;

    beside->draws |= t->kind == IR_DRAW;
    if (t->kind == IR_DRAW || t->region == IR_LOCAL || t->region == IR_NOWHERE || t->rank != c->rank ||
        computed_in(beside->kernel, t) ||
        storage_bytes(t->storage) != beside->bytes || beside->count == MOST_BESIDE)
        return;
    for (int i = 0; i < t->rank; i++)
        if (ir_form_bare(read->subscripts[i]) != c->axes[i] || t->axes[i]->extent != c->axes[i]->extent)
            return;
    for (int i = 0; i < beside->count; i++)
        if (beside->tensors[i] == t)
            return;
    beside->tensors[beside->count++] = t;
}

void find_beside(const struct emitter *e, const struct ir_tensor *t, int64_t bytes, struct beside *beside)
{
    *beside = (struct beside){.kernel = e->kernel, .c = t, .bytes = bytes};
    for (int i = product_stage(e->kernel) + 1; i < e->kernel->stages.count; i++)
        for (int k = 0; k < e->kernel->stages.at[i]->equations.count; k++)
            ir_reads(e->kernel->stages.at[i]->equations.at[k]->value, note_beside, beside);
}
