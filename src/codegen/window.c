/* window.c: a product over windows as functions of parts. An item is an image, or a band of one:

   make its frame, if there is one
   for each block of k (what is outside of a tile's segments and runs)
       for each panel
           for each block of rows: a tile

   If images are rows, an item's rows are then done, and what follows them is made. If they are summed over, a part goes
   through some items for a group of rows; last, parts are added in a fixed tree, which rests on the shape alone. */
#include "window.h"

typedef LLVMValueRef V;

enum { ROWS_JOINED = 64, JOINED_AT_ONCE = 1 << 14 };

/* ---- one item ---- */

static void set_digits(struct emitter *e, const struct window_plan *plan, V number, struct item *item)
{
    const struct window_loop *loops = plan->product->loops;

    for (int i = plan->outer_count - 1; i >= 0; i--) {
        bool band = plan->cut.bands > 1 && plan->outer[i] == plan->cut.band;
        int64_t extent = band ? plan->cut.bands : loops[plan->outer[i]].extent;

        item->digits[i] = i ? LLVMBuildURem(e->builder, number, count_of(e, extent), "") : number;
        if (band)
            item->band_first = item->digits[i] = times(e, item->digits[i], plan->cut.band_size);
        if (i)
            number = LLVMBuildUDiv(e->builder, number, count_of(e, extent), "");
    }
}

/* Where the item begins in P: in memory, or in its frame, which holds an image. */
static V p_of_item(struct emitter *e, const struct window_plan *plan, const struct item *item, V room)
{
    const struct window_product *product = plan->product;
    V at = offset_constant(e, plan->frame ? room : tensor_base(e, product->p->tensor),
                           product->p_first * plan->tile.bytes);

    for (int i = plan->frame ? plan->cut.images : 0; i < plan->outer_count; i++)
        if (!plan->frame || product->loops[plan->outer[i]].role == WINDOW_BATCH)
            at = further(e, at, item->digits[i], product->loops[plan->outer[i]].p * plan->tile.bytes);
    return at;
}

static void place_item(struct emitter *e, const struct window_plan *plan, V number, V room, struct item *item)
{
    const struct window_product *product = plan->product;
    const struct window_axis *outermost = &plan->rows[0];

    set_digits(e, plan, number, item);
    if (plan->source)
        emit_source(e, plan, room, item->digits);
    if (plan->frame && !plan->copied)
        emit_frame(e, plan, room, item->digits, item->band_first);
    item->p = p_of_item(e, plan, item, room);
    if (plan->cut.sums) {
        item->q = offset_constant(e, tensor_base(e, product->q->tensor), product->q_first * plan->tile.bytes);
        for (int i = 0; i < plan->outer_count; i++)
            item->q = further(e, item->q, item->digits[i], product->loops[plan->outer[i]].q * plan->tile.bytes);
        return;
    }
    V batch = count_of(e, 0);
    item->element = count_of(e, 0);
    for (int i = 0; i < plan->outer_count; i++)
        item->element = plus(e, item->element, times(e, item->digits[i], product->loops[plan->outer[i]].c));
    for (int i = 0; i < product->count; i++)
        for (int k = 0; product->loops[i].role == WINDOW_BATCH && k < plan->outer_count; k++)
            if (plan->outer[k] == i)
                batch = plus(e, times(e, batch, product->loops[i].extent), item->digits[k]);
    item->q = further(e, scratch_base(e, plan->q_scratch), batch, plan->q_batch);
    item->rows = count_of(e, plan->cut.rows);
    if (outermost->banded)
        item->rows = times(e, axis_extent(e, plan, outermost, item->band_first), plan->cut.rows / outermost->extent);
    item->first_block = count_of(e, 0);
    item->end_block = count_of(e, plan->cut.rows / plan->rows[plan->row_count - 1].extent * plan->blocks);
    if (outermost->banded && plan->row_count > 1)
        item->end_block = times(e, axis_extent(e, plan, outermost, item->band_first),
                                plan->cut.rows / outermost->extent / plan->rows[plan->row_count - 1].extent *
                                    plan->blocks);
}

/* The block of rows with a number: its first row, how far that is in P, and where each loop of rows is. */
static V row_of_block(struct emitter *e, const struct window_plan *plan, V block, V *p, V *digits)
{
    const struct window_axis *last = &plan->rows[plan->row_count - 1];
    V slow = plan->blocks > 1 ? LLVMBuildUDiv(e->builder, block, count_of(e, plan->blocks), "") : block;
    V within = plan->blocks > 1 ? LLVMBuildURem(e->builder, block, count_of(e, plan->blocks), "") : count_of(e, 0);
    V row = first_row(e, &plan->tile, within), number = slow;

    *p = further(e, *p, row, last->p * plan->tile.bytes);
    row = times(e, row, last->c / plan->row_elements);
    for (int i = plan->row_count - 2; i >= 0; i--) {
        V extent = count_of(e, plan->rows[i].extent);
        digits[i] = i ? LLVMBuildURem(e->builder, number, extent, "") : number;
        *p = further(e, *p, digits[i], plan->rows[i].p * plan->tile.bytes);
        row = plus(e, row, times(e, digits[i], plan->rows[i].c / plan->row_elements));
        if (i)
            number = LLVMBuildUDiv(e->builder, number, extent, "");
    }
    return row;
}

/* The function for a block of rows: neighbours mostly want the same. */
static V tile_of_block(struct emitter *e, const struct window_plan *plan, const struct window_ahead *ahead, V block)
{
    int lines = plan->lines + ahead->a_step; /* one of them is 0 */
    struct window_shape shape = shape_of_block(plan, lines, 0);
    V function = window_tile_function(e, &plan->tile, &shape);
    V within = plan->blocks > 1 ? LLVMBuildURem(e->builder, block, count_of(e, plan->blocks), "") : NULL;

    for (int64_t i = 1; i < plan->blocks; i++) {
        struct window_shape next = shape_of_block(plan, lines, i);

        if (next.height == shape.height && next.first == shape.first && next.end == shape.end)
            continue;
        shape = next;
        V behind = LLVMBuildICmp(e->builder, LLVMIntSGE, within, count_of(e, i), "");
        function = LLVMBuildSelect(e->builder, behind, window_tile_function(e, &plan->tile, &shape), function, "");
    }
    return function;
}

/* The same of slides: for the run of k that begins at `at`. */
static V slide_of_block(struct emitter *e, const struct window_plan *plan, const struct window_ahead *ahead, V block, V at)
{
    const struct tile_plan *tile = &plan->tile;
    V within = plan->blocks > 1 ? LLVMBuildURem(e->builder, block, count_of(e, plan->blocks), "") : count_of(e, 0);
    V is_tall = LLVMBuildICmp(e->builder, LLVMIntSLT, within, count_of(e, tile->tall), ""), function = NULL;
    struct slide_shape shape = {0};

    for (int64_t k = 0; k < plan->sums[plan->sum_count - 1].extent; k += plan->run) {
        struct slide_shape next = slide_of_run(plan, tile->height, ahead->a_step, k);

        if (next.length == shape.length && next.first == shape.first && next.end == shape.end)
            continue;
        shape = next;
        V one = slide_function(e, tile, &next);
        next.height--;
        if (tile->tall < plan->blocks)
            one = LLVMBuildSelect(e->builder, is_tall, one, slide_function(e, tile, &next), "");
        V behind = LLVMBuildICmp(e->builder, LLVMIntSGE, at, count_of(e, k), "");
        function = function ? LLVMBuildSelect(e->builder, behind, one, function, "") : one;
    }
    return function;
}

/* A tile, where the block of k begins for its rows. */
static void call_tile(struct emitter *e, const struct window_plan *plan, const struct item *item, const struct k_block *k,
                      V block, V q_k, V q_segment, V c, int64_t c_row, V ahead)
{
    const struct tile_plan *tile = &plan->tile;
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];
    V segments = plan->sum_count > 1 ? k->left[plan->sum_count - 2] : count_of(e, 1);
    V p_segment = count_of(e, plan->sum_count > 1 ? last[-1].p * tile->bytes : 0);
    V scale = number_like(tile->type, plan->product->scale);

    if (plan->slides) {
        V function = slide_of_block(e, plan, &item->ahead, block, k->at[plan->sum_count - 1]);
        V arguments[] = {segments,
                         k->p,
                         p_segment,
                         k->q,
                         q_segment,
                         c,
                         count_of(e, c_row * plan->rows[plan->row_count - 1].c / plan->row_elements),
                         count_of(e, c_row * plan->tap_rows),
                         k->again,
                         scale,
                         ahead ? ahead : k->q};
        LLVMBuildCall2(e->builder, slide_type(e, tile->type), function, arguments, SLIDE_ARGUMENTS, "");
        return;
    }
    V arguments[] = {k->left[plan->sum_count - 1],
                     segments,
                     k->p,
                     count_of(e, last->p * tile->bytes),
                     p_segment,
                     k->q,
                     q_k,
                     q_segment,
                     c,
                     count_of(e, c_row),
                     k->again,
                     scale,
                     ahead ? ahead : k->q};
    LLVMBuildCall2(e->builder, window_tile_type(e, tile->type), tile_of_block(e, plan, &item->ahead, block), arguments,
                   WINDOW_TILE_ARGUMENTS, "");
}

static void emit_row_blocks(struct emitter *e, const struct window_plan *plan, const struct item *item,
                            const struct k_block *k, V panel, V q, V q_k, V q_segment)
{
    const struct tile_plan *tile = &plan->tile;
    bool whole = !plan->cut.sums && !plan->gathered;
    int64_t c_row = whole ? plan->row_elements * tile->bytes : plan->gathered_row;
    V block = loop_open(e, item->first_block, item->end_block, 1), digits[MOST_WINDOW_LOOPS];
    struct k_block here = *k;
    V row = row_of_block(e, plan, block, &here.p, digits), length = count_of(e, plan->taps);

    here.q = q;
    for (int i = plan->sum_count - 1; i >= 0 && i >= plan->sum_count - 2; i--)
        length = LLVMBuildNSWMul(e->builder, length, k->left[i], "");
    V any = clip_block(e, plan, digits, q_k, q_segment, &here);
    V c = further(e, further(e, item->c, row, c_row), panel, tile->panel_bytes);
    V ahead = emit_ahead(e, &item->ahead, q);
    if (plan->lines)
        ahead = next_lines(e, plan, item, k, panel, block, length);
    if (any)
        if_open(e, any);
    call_tile(e, plan, item, &here, block, q_k, q_segment, c, c_row, ahead);
    if (any)
        if_close(e);
    loop_close(e);
}

static void emit_panels(struct emitter *e, const struct window_plan *plan, const struct item *item,
                        const struct k_block *k)
{
    const struct tile_plan *tile = &plan->tile;
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];
    V panel = loop_open(e, count_of(e, 0), count_of(e, tile->panels), 1), q;
    V q_k = count_of(e, (plan->slides ? 1 : plan->taps) * tile->panel_bytes);
    V run = k->left[plan->sum_count - 1], segments = plan->sum_count > 1 ? k->left[plan->sum_count - 2] : count_of(e, 1);
    V q_segment = LLVMBuildNSWMul(e->builder, run, q_k, "");

    if (!plan->cut.sums) {
        q = further(e, further(e, item->q, panel, tile->depth * tile->panel_bytes), k->number, tile->panel_bytes);
    } else if (plan->q_in_place) {
        q = further(e, k->q, panel, tile->panel_bytes);
        q_k = count_of(e, last->q * tile->bytes);
        q_segment = count_of(e, plan->sum_count > 1 ? last[-1].q * tile->bytes : 0);
    } else {
        q = item->panel_room;
        emit_window_panel(e, plan, k->q, q, panel, segments, run);
    }
    emit_row_blocks(e, plan, item, k, panel, q, q_k, q_segment);
    loop_close(e);
}

/* The loops of the sum that tiles do not go through. */
static void emit_sums(struct emitter *e, const struct window_plan *plan, const struct item *item)
{
    const struct tile_plan *tile = &plan->tile;
    struct k_block k = {item->p, item->q, count_of(e, 0), item->again, {NULL}, {NULL}};
    int loops = 0;

    if (!k.again)
        k.again = count_of(e, 0);
    for (int i = 0; i < plan->sum_count; i++) {
        const struct window_axis *axis = &plan->sums[i];
        bool run = i == plan->sum_count - 1, segments = i == plan->sum_count - 2;
        int64_t by = run ? plan->run : segments ? plan->segments : 1;
        V extent = axis_extent(e, plan, axis, item->band_first);

        k.number = times(e, k.number, axis->extent);
        k.at[i] = count_of(e, 0);
        k.left[i] = extent;
        if (by < axis->extent) {
            V at = k.at[i] = loop_open(e, count_of(e, 0), extent, by);
            loops++;
            k.left[i] = LLVMBuildNSWSub(e->builder, extent, at, "");
            k.left[i] = axis->extent % by == 0 && !axis->banded ? count_of(e, by)
                                                                : lesser(e, k.left[i], count_of(e, by));
            k.p = further(e, k.p, at, axis->p * tile->bytes);
            k.q = further(e, k.q, at, axis->q * tile->bytes);
            k.number = plus(e, k.number, at);
            if (!is_clipped(plan, i))
                k.again = LLVMBuildOr(e->builder, k.again, at, "");
        }
    }
    k.number = times(e, k.number, plan->taps);
    emit_panels(e, plan, item, &k);
    while (loops--)
        loop_close(e);
    at_level(e, e->depth);
}

/* ---- images that are rows ---- */

static void bring_rows(struct emitter *e, const struct window_plan *plan, const struct item *item, V block)
{
    const struct tile_plan *tile = &plan->tile;
    V to = further(e, tensor_base(e, plan->c), item->element, tile->bytes);
    V row = loop_open(e, count_of(e, 0), item->rows, 1);

    copy_numbers(e, tile, further(e, block, row, plan->gathered_row),
                 further(e, to, row, plan->row_elements * tile->bytes), tile->columns);
    loop_close(e);
    at_level(e, e->depth);
}

static V frame_room(struct emitter *e, const struct window_plan *plan)
{
    return plan->frame ? stack_room(e, e->i8, plan->cut.frame_rows * plan->cut.frame_row * plan->tile.bytes + LINE)
                       : NULL;
}

/* How many first axes of C number items, if these are whole images and follow each other. */
static int images_of_items(const struct window_plan *plan)
{
    const struct window_cut *cut = &plan->cut;

    if (cut->bands > 1 || plan->outer_count > cut->images)
        return 0;
    for (int i = 0; i < cut->images; i++)
        if (plan->product->loops[cut->image[i]].index != plan->c->axes[i])
            return 0;
    return cut->images + 1 < plan->c->rank ? cut->images : 0;
}

static void emit_items(struct emitter *e, const struct window_plan *plan, part_functions *functions)
{
    const struct tile_plan *tile = &plan->tile;
    struct kernel_plan followers;
    bool follows = e->kernel->stages.count > product_stage(e->kernel) + 1;
    struct item item = {0};
    V block = NULL;

    emit_window_pack(e, plan, functions);
    part_open(e, arena_printf(e->arena, "kernel_%s", e->kernel->name));
    V room = frame_room(e, plan);
    if (plan->gathered)
        block = stack_room(e, e->i8, plan->cut.rows * plan->gathered_row + LANES * tile->bytes);
    if (follows) {
        plan_followers(e, e->kernel, plan->parts, &followers);
        open_partials(e, &followers);
    }
    at_level(e, 0);
    V function = e->function, first = times(e, e->part, plan->items_per_part);
    V number = loop_open(e, first,
                         lesser(e, plus(e, first, count_of(e, plan->items_per_part)), count_of(e, plan->cut.items)), 1);
    place_item(e, plan, number, room, &item);
    begin_ahead(e, plan, &item, &item.ahead);
    item.c = block ? block : further(e, tensor_base(e, plan->c), item.element, tile->bytes);
    emit_sums(e, plan, &item);
    if (block && plan->c->region != IR_LOCAL)
        bring_rows(e, plan, &item, block);
    if (follows) {
        struct follow follow = {.plan = &followers,
                                .rows = {count_of(e, 0), item.rows},
                                .columns = {count_of(e, 0), count_of(e, tile->columns)},
                                .most_columns = tile->columns,
                                .block = plan->c->region == IR_LOCAL ? block : NULL,
                                .block_row = plan->gathered_row,
                                .first = item.element,
                                .row_elements = plan->row_elements,
                                .images = images_of_items(plan)};
        emit_follow(e, tile, plan->c, &follow);
    }
    loop_close(e);
    if (follows)
        close_partials(e, &followers);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){function, plan->parts, ALWAYS});
    if (follows)
        emit_joins(e, &followers, functions);
}

/* ---- images that are summed over ---- */

/* All blocks of rows in equal groups. */
static int64_t blocks_of_group(const struct window_plan *plan)
{
    return (blocks_of_rows(plan) + plan->cut.groups - 1) / plan->cut.groups;
}

static void emit_part_sums(struct emitter *e, const struct window_plan *plan, part_functions *functions)
{
    const struct tile_plan *tile = &plan->tile;
    int64_t each = blocks_of_group(plan);
    int64_t all = blocks_of_rows(plan);
    struct item item = {0};

    part_open(e, arena_printf(e->arena, "kernel_%s", e->kernel->name));
    V room = frame_room(e, plan);
    if (!plan->q_in_place)
        item.panel_room = stack_room(e, e->i8, plan->run * plan->segments * tile->panel_bytes);
    at_level(e, 0);
    V part = e->part, group = count_of(e, 0);
    if (plan->cut.groups > 1) {
        group = LLVMBuildURem(e->builder, part, count_of(e, plan->cut.groups), "");
        part = LLVMBuildUDiv(e->builder, part, count_of(e, plan->cut.groups), "");
    }
    item.c = further(e, scratch_base(e, plan->partial), part, plan->partial_bytes);
    item.first_block = times(e, group, each);
    item.end_block = lesser(e, plus(e, item.first_block, count_of(e, each)), count_of(e, all));
    V first = times(e, part, plan->items_per_part);
    V number = loop_open(e, first,
                         lesser(e, plus(e, first, count_of(e, plan->items_per_part)), count_of(e, plan->cut.items)), 1);
    item.again = LLVMBuildNSWSub(e->builder, number, first, "");
    place_item(e, plan, number, room, &item);
    begin_ahead(e, plan, &item, &item.ahead);
    emit_sums(e, plan, &item);
    loop_close(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, plan->parts, ALWAYS});
}

static V load_partial(struct emitter *e, const struct tile_plan *tile, V from)
{
    V v = LLVMBuildLoad2(e->builder, tile->vector, from, "");

    LLVMSetAlignment(v, (unsigned)tile->bytes);
    return v;
}

/* ((0 + 1) + (2 + 3)) + ..: of parts first .. first + count - 1 at one place. */
static V tree_of_parts(struct emitter *e, const struct window_plan *plan, V from, int64_t first, int64_t count)
{
    int64_t half = 1;

    if (count == 1)
        return load_partial(e, &plan->tile, offset_constant(e, from, first * plan->partial_bytes));
    while (2 * half < count)
        half *= 2;
    V low = tree_of_parts(e, plan, from, first, half);
    return LLVMBuildFAdd(e->builder, low, tree_of_parts(e, plan, from, first + half, count - half), "");
}

/* The parts' sums to C, some rows at a time, and what follows them. */
static void emit_joined_rows(struct emitter *e, const struct window_plan *plan, part_functions *functions)
{
    const struct tile_plan *tile = &plan->tile;
    struct kernel_plan followers;
    bool follows = e->kernel->stages.count > product_stage(e->kernel) + 1, local = plan->c->region == IR_LOCAL;
    int64_t rows = plan->product->rows, each = (rows + MAX_PARTS - 1) / MAX_PARTS;
    V block = NULL;

    while (each < rows && each * plan->gathered_row * plan->cut.parts < JOINED_AT_ONCE)
        each *= 2;
    int64_t parts = (rows + each - 1) / each, at_once = each < ROWS_JOINED ? each : ROWS_JOINED;
    part_open(e, arena_printf(e->arena, "kernel_%s_join", e->kernel->name));
    if (local)
        block = stack_room(e, e->i8, at_once * plan->gathered_row + LANES * tile->bytes);
    if (follows) {
        plan_followers(e, e->kernel, parts, &followers);
        open_partials(e, &followers);
    }
    at_level(e, 0);
    V function = e->function, first = times(e, e->part, each);
    V last = lesser(e, plus(e, first, count_of(e, each)), count_of(e, rows));
    V start = loop_open(e, first, last, at_once), end = lesser(e, plus(e, start, count_of(e, at_once)), last);
    V row = loop_open(e, start, end, 1), from = further(e, scratch_base(e, plan->partial), row, plan->gathered_row);
    V to = local ? further(e, block, LLVMBuildNSWSub(e->builder, row, start, ""), plan->gathered_row)
                 : further(e, tensor_base(e, plan->c), row, plan->row_elements * tile->bytes);
    int64_t full = tile->columns / tile->lanes, wide = tile->lanes * tile->bytes;
    if (full) {
        V vector = loop_open(e, count_of(e, 0), count_of(e, full), 1);
        V sum = tree_of_parts(e, plan, further(e, from, vector, wide), 0, plan->cut.parts);
        LLVMSetAlignment(LLVMBuildStore(e->builder, sum, further(e, to, vector, wide)), (unsigned)tile->bytes);
        loop_close(e);
        at_level(e, e->depth);
    }
    if (tile->columns % tile->lanes) {
        V sum = tree_of_parts(e, plan, offset_constant(e, from, full * wide), 0, plan->cut.parts), bits[64];
        LLVMTypeRef types[] = {tile->vector, e->pointer};
        for (int i = 0; i < tile->lanes; i++)
            bits[i] = LLVMConstInt(e->i1, i < tile->columns % tile->lanes, false);
        V store[] = {sum, offset_constant(e, to, full * wide), whole_like(e->i32, tile->bytes),
                     LLVMConstVector(bits, (unsigned)tile->lanes)};
        intrinsic(e, "llvm.masked.store", types, 2, store, 4);
    }
    loop_close(e);
    at_level(e, e->depth);
    if (follows) {
        struct follow follow = {.plan = &followers,
                                .rows = {start, end},
                                .columns = {count_of(e, 0), count_of(e, tile->columns)},
                                .most_columns = tile->columns,
                                .block = block,
                                .block_row = plan->gathered_row,
                                .first = count_of(e, 0),
                                .row_elements = plan->row_elements};
        emit_follow(e, tile, plan->c, &follow);
    }
    loop_close(e);
    if (follows)
        close_partials(e, &followers);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){function, parts, ALWAYS});
    if (follows)
        emit_joins(e, &followers, functions);
}

void emit_windows(struct emitter *e, const struct window_product *product, const struct ir_tensor *t,
                  part_functions *functions)
{
    struct window_plan plan;

    plan_windows(e, product, t, &plan);
    if (plan.cut.sums) {
        emit_part_sums(e, &plan, functions);
        emit_joined_rows(e, &plan, functions);
    } else {
        emit_items(e, &plan, functions);
    }
}
