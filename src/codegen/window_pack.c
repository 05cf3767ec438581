/* window_pack.c: frames, and copies of Q as tiles over windows read them: [panel][k][numbers], k in the order of the
   plan's sums, the taps innermost.

   requires: a plan of window_plan.c. */
#include "window.h"

typedef LLVMValueRef V;

enum { PACK_PARTS = 32, FEW_CHANNELS = 64 };

/* ---- frames ---- */

static void store_lanes(struct emitter *e, const struct window_plan *plan, V v, V pointer)
{
    if (e->mask) {
        LLVMTypeRef types[] = {LLVMTypeOf(v), e->pointer};
        V arguments[] = {v, pointer, whole_like(e->i32, plan->tile.bytes), e->mask};
        intrinsic(e, "llvm.masked.store", types, 2, arguments, 4);
    } else {
        LLVMSetAlignment(LLVMBuildStore(e->builder, v, pointer), (unsigned)plan->tile.bytes);
    }
}

/* The map's numbers at the vector at hand of its last axis. */
static struct value vector_of_map(struct emitter *e, const struct window_plan *plan, const struct ir_tensor *map)
{
    operate_as(e, map);
    struct value v = to_real(e, emit_expr(e, map->value), plan->tile.type);

    at_level(e, e->depth);
    v.at = widen(e, v.at, true);
    return v;
}

/* The frame's numbers at the vector that begins at `at` of its last axis. */
static void store_vector(struct emitter *e, const struct window_plan *plan, V to, V at)
{
    struct value v = vector_of_map(e, plan, plan->frame);

    store_lanes(e, plan, v.at, further(e, to, at, plan->tile.bytes));
}

/* Binds the last axis to vectors from `first` on, lanes below `count` of them (0: all). */
static void bind_vector(struct emitter *e, const struct ir_tensor *t, V first, int64_t count)
{
    bind(e, t->axes[t->rank - 1], first, true);
    if (count) {
        e->mask = lanes_below(e, count);
        e->mask_level = e->depth;
    }
}

static void release_vector(struct emitter *e)
{
    e->mask = NULL;
    e->mask_level = 0;
}

/* What is inside of the vectors of the last axis; at: where they begin. */
typedef void (*vector_body)(struct emitter *e, const struct window_plan *plan, V at, void *context);

static void along_vectors(struct emitter *e, const struct window_plan *plan, const struct ir_tensor *t, vector_body inside,
                          void *context)
{
    int64_t extent = t->axes[t->rank - 1]->extent, full = extent / LANES * LANES;

    if (full) {
        V at = full > LANES ? loop_open(e, count_of(e, 0), count_of(e, full), LANES) : count_of(e, 0);
        if (full == LANES)
            if_open(e, NULL);
        bind_vector(e, t, at, 0);
        inside(e, plan, at, context);
        if (full > LANES)
            loop_close(e);
        else
            if_close(e);
        at_level(e, e->depth);
    }
    if (full < extent) {
        if_open(e, NULL);
        bind_vector(e, t, count_of(e, full), extent - full);
        inside(e, plan, count_of(e, full), context);
        release_vector(e);
        if_close(e);
    }
}

struct frame_rows {
    V room, band_first;
};

static void emit_frame_vector(struct emitter *e, const struct window_plan *plan, V at, void *context)
{
    store_vector(e, plan, *(V *)context, at);
}

/* The loops between images and the last axis. at: where the vector of the last axis begins that is bound outside, or NULL. */
static void emit_frame_rows(struct emitter *e, const struct window_plan *plan, V at, void *context)
{
    const struct frame_rows *rows = context;
    const struct window_cut *cut = &plan->cut;
    const struct ir_tensor *frame = plan->frame;
    int64_t row = cut->frame_row;
    V room = rows->room;
    int loops = 0;

    for (int i = cut->images; i + 1 < frame->rank; i++) {
        const struct ir_index *axis = frame->axes[i];
        V end = count_of(e, axis->extent), start = NULL;

        if (i == cut->images && rows->band_first) {
            start = times(e, rows->band_first, cut->step);
            end = lesser(e, LLVMBuildNSWSub(e->builder, end, start, ""), count_of(e, cut->frame_rows));
        }
        V number = loop_open(e, count_of(e, 0), end, 1);
        bind(e, axis, start ? plus(e, start, number) : number, false);
        room = further(e, room, number, row * plan->tile.bytes);
        row /= frame->axes[i + 1]->extent;
        loops++;
    }
    if (at)
        store_vector(e, plan, room, at);
    else
        along_vectors(e, plan, frame, emit_frame_vector, &room);
    while (loops--)
        loop_close(e);
    at_level(e, e->depth);
}

/* Of few channels what is the same for all pixels (statistics, their inverses) is made before the loops over these. */
void emit_frame(struct emitter *e, const struct window_plan *plan, V room, V *digits, V band_first)
{
    const struct ir_tensor *frame = plan->frame;
    struct frame_rows rows = {room, band_first};

    if_open(e, NULL);
    for (int i = 0; i < plan->cut.images; i++)
        bind(e, frame->axes[i], digits[i], false);
    if (frame->value->kind == IR_APPLY && frame->axes[frame->rank - 1]->extent <= FEW_CHANNELS &&
        frame->rank - plan->cut.images > 1)
        along_vectors(e, plan, frame, emit_frame_rows, &rows);
    else
        emit_frame_rows(e, plan, NULL, &rows);
    if_close(e);
    at_level(e, e->depth);
}

/* ---- what frames are made of ---- */

void find_copy(struct window_plan *plan)
{
    const struct ir_expr *read = plan->frame->value;
    const struct ir_tensor *frame = plan->frame, *source = plan->source;

    if (read->kind != IR_READ || read->tensor != source || (read->otherwise && !ir_is_zero(read->otherwise)) ||
        source->rank != frame->rank)
        return;
    for (int i = 0; i < frame->rank; i++) {
        const struct ir_form *form = read->subscripts[i];
        bool inside = i >= plan->cut.images && i + 1 < frame->rank;

        plan->margin[i] = -form->constant;
        if (form->count != 1 || ir_form_coefficient(form, frame->axes[i]) != 1 || plan->margin[i] < 0 ||
            plan->margin[i] + source->axes[i]->extent > frame->axes[i]->extent ||
            (!inside && source->axes[i]->extent != frame->axes[i]->extent))
            return;
    }
    plan->copied = true;
}

/* So many zeros side by side. */
static void store_zeros(struct emitter *e, const struct window_plan *plan, V to, int64_t count)
{
    int64_t full = count / LANES * LANES;
    V zeros = LLVMConstNull(vector_of(e, plan->tile.type));

    if (full) {
        V at = loop_open(e, count_of(e, 0), count_of(e, full), LANES);
        store_lanes(e, plan, zeros, further(e, to, at, plan->tile.bytes));
        loop_close(e);
        at_level(e, e->depth);
    }
    if (full < count) {
        e->mask = lanes_below(e, count - full);
        store_lanes(e, plan, zeros, offset_constant(e, to, full * plan->tile.bytes));
        e->mask = NULL;
    }
}

/* What of the frame is no copy, from an axis on; row: elements of one step of that. */
static void emit_margins(struct emitter *e, const struct window_plan *plan, V room, int axis, int64_t row)
{
    const struct ir_tensor *frame = plan->frame;
    int64_t first = plan->margin[axis], end = first + plan->source->axes[axis]->extent, all = frame->axes[axis]->extent;

    store_zeros(e, plan, room, first * row);
    store_zeros(e, plan, offset_constant(e, room, end * row * plan->tile.bytes), (all - end) * row);
    if (axis + 2 >= frame->rank)
        return;
    V at = loop_open(e, count_of(e, first), count_of(e, end), 1);
    emit_margins(e, plan, further(e, room, at, row * plan->tile.bytes), axis + 1, row / frame->axes[axis + 1]->extent);
    loop_close(e);
    at_level(e, e->depth);
}

static void emit_source_vector(struct emitter *e, const struct window_plan *plan, V at, void *context)
{
    struct value v = vector_of_map(e, plan, plan->source);

    emit_store(e, plan->source, v);
    if (plan->copied)
        store_lanes(e, plan, v.at, further(e, *(V *)context, at, plan->tile.bytes));
}

/* at: where the vector of the last axis begins that is bound outside, or NULL. context: the frame. */
static void emit_source_pixels(struct emitter *e, const struct window_plan *plan, V at, void *context)
{
    const struct ir_tensor *t = plan->source;
    int64_t row = plan->cut.frame_row;
    V room = *(V *)context;
    int loops = 0;

    for (int i = plan->cut.images; i + 1 < t->rank; i++) {
        V number = loop_open(e, count_of(e, 0), count_of(e, t->axes[i]->extent), 1);

        bind(e, t->axes[i], number, false);
        if (plan->copied) {
            room = further(e, offset_constant(e, room, plan->margin[i] * row * plan->tile.bytes), number, row * plan->tile.bytes);
            row /= plan->frame->axes[i + 1]->extent;
        }
        loops++;
    }
    if (at)
        emit_source_vector(e, plan, at, &room);
    else
        along_vectors(e, plan, t, emit_source_vector, &room);
    while (loops--)
        loop_close(e);
    at_level(e, e->depth);
}

void emit_source(struct emitter *e, const struct window_plan *plan, V room, V *digits)
{
    const struct ir_tensor *t = plan->source;

    if_open(e, NULL);
    if (plan->copied)
        emit_margins(e, plan, room, plan->cut.images, plan->cut.frame_row);
    for (int i = 0; i < plan->cut.images; i++)
        bind(e, t->axes[i], digits[i], false);
    if (t->axes[t->rank - 1]->extent <= FEW_CHANNELS && t->rank - plan->cut.images > 1)
        along_vectors(e, plan, t, emit_source_pixels, &room);
    else
        emit_source_pixels(e, plan, NULL, &room);
    if_close(e);
    e->floor = e->depth; /* frames read it as it is now */
    at_level(e, e->depth);
}

/* ---- Q, all of it ---- */

static int64_t column_stride(const struct window_plan *plan)
{
    for (int i = 0; i < plan->product->count; i++)
        if (plan->product->loops[i].role == WINDOW_COLUMN)
            return plan->product->loops[i].q;
    return 1;
}

/* A run of k that lies side by side, columns apart: squares are turned about. */
static void copy_turned(struct emitter *e, const struct window_plan *plan, V from, V to, int64_t run, int64_t k_bytes,
                        int64_t column_bytes)
{
    const struct tile_plan *tile = &plan->tile;
    V lanes = count_of(e, tile->lanes), vectors = count_of(e, tile->vectors);
    V vector = loop_open(e, count_of(e, 0), count_of(e, (tile->columns + tile->lanes - 1) / tile->lanes), 1);
    V column = LLVMBuildNSWMul(e->builder, vector, lanes, "");
    V left = LLVMBuildNSWSub(e->builder, count_of(e, tile->columns), column, "");
    V panel = LLVMBuildUDiv(e->builder, vector, vectors, ""), within = LLVMBuildURem(e->builder, vector, vectors, "");
    V goal = further(e, further(e, to, panel, tile->depth * tile->panel_bytes), within, tile->lanes * tile->bytes);
    V source = further(e, from, column, column_bytes);
    V k = loop_open(e, count_of(e, 0), count_of(e, run), tile->lanes);

    call_turn(e, tile->type, further(e, source, k, tile->bytes), count_of(e, column_bytes), further(e, goal, k, k_bytes),
              count_of(e, k_bytes), lesser(e, left, lanes),
              lesser(e, LLVMBuildNSWSub(e->builder, count_of(e, run), k, ""), lanes));
    loop_close(e);
    loop_close(e);
    at_level(e, e->depth);
}

/* One k, columns apart, one by one. */
static void copy_apart(struct emitter *e, const struct window_plan *plan, V from, V to, int64_t column_bytes)
{
    const struct tile_plan *tile = &plan->tile;
    V width = count_of(e, tile->vectors * tile->lanes);
    V column = loop_open(e, count_of(e, 0), count_of(e, tile->columns), 1);
    V panel = LLVMBuildUDiv(e->builder, column, width, ""), within = LLVMBuildURem(e->builder, column, width, "");
    V goal = further(e, further(e, to, panel, tile->depth * tile->panel_bytes), within, tile->bytes);
    V v = LLVMBuildLoad2(e->builder, tile->type, further(e, from, column, column_bytes), "");

    LLVMSetAlignment(v, (unsigned)tile->bytes);
    LLVMSetAlignment(LLVMBuildStore(e->builder, v, goal), (unsigned)tile->bytes);
    loop_close(e);
    at_level(e, e->depth);
}

/* Loops that move Q from one copy, or one run of k, to another: batches first, then the sum's but the innermost. */
static int slow_loops(const struct window_plan *plan, struct window_axis *loops)
{
    int count = 0;

    for (int i = 0; i < plan->product->count; i++)
        if (plan->product->loops[i].role == WINDOW_BATCH)
            loops[count++] = (struct window_axis){
                .extent = plan->product->loops[i].extent, .q = plan->product->loops[i].q, .loop = i};
    for (int i = 0; i < plan->product->count; i++)
        if (plan->product->loops[i].role == WINDOW_SUM)
            loops[count++] = (struct window_axis){
                .extent = plan->product->loops[i].extent, .q = plan->product->loops[i].q, .loop = i};
    return count - 1;
}

/* Bytes of the copy from one to the next of each such loop (by), and of the innermost. */
static int64_t place_loops(const struct window_plan *plan, const struct window_axis *loops, int count, int64_t *by)
{
    int64_t k = plan->taps * plan->tile.panel_bytes, next = k * loops[count].extent, batch = plan->q_batch;

    for (int i = count - 1; i >= 0; i--) {
        bool batched = plan->product->loops[loops[i].loop].role == WINDOW_BATCH, tap = loops[i].loop == plan->tap;

        by[i] = batched ? batch : tap ? plan->tile.panel_bytes : next;
        batch *= batched ? loops[i].extent : 1;
        next *= batched || tap ? 1 : loops[i].extent;
    }
    return k;
}

void emit_window_pack(struct emitter *e, const struct window_plan *plan, part_functions *functions)
{
    const struct tile_plan *tile = &plan->tile;
    struct window_axis loops[MOST_WINDOW_LOOPS];
    int count = slow_loops(plan, loops);
    const struct window_axis *last = &loops[count];
    int64_t items = 1, column_bytes = column_stride(plan) * tile->bytes, by[MOST_WINDOW_LOOPS];
    int64_t k_bytes = place_loops(plan, loops, count, by);

    for (int i = 0; i < count; i++)
        items *= loops[i].extent;
    int64_t each = (items + PACK_PARTS - 1) / PACK_PARTS;
    part_open(e, arena_printf(e->arena, "kernel_%s_pack", e->kernel->name));
    V from = offset_constant(e, tensor_base(e, plan->product->q->tensor), plan->product->q_first * tile->bytes);
    V first = times(e, e->part, each);
    V item = loop_open(e, first, lesser(e, plus(e, first, count_of(e, each)), count_of(e, items)), 1), number = item;
    V to = scratch_base(e, plan->q_scratch);
    for (int i = count - 1; i >= 0; i--) {
        V extent = count_of(e, loops[i].extent);
        V at = i ? LLVMBuildURem(e->builder, number, extent, "") : number;
        from = further(e, from, at, loops[i].q * tile->bytes);
        to = further(e, to, at, by[i]);
        number = LLVMBuildUDiv(e->builder, number, extent, "");
    }
    if (column_bytes != tile->bytes && last->q == 1) {
        copy_turned(e, plan, from, to, last->extent, k_bytes, column_bytes);
    } else {
        V k = loop_open(e, count_of(e, 0), count_of(e, last->extent), 1);
        V source = further(e, from, k, last->q * tile->bytes), goal = further(e, to, k, k_bytes);
        if (column_bytes == tile->bytes)
            copy_columns(e, &plan->tile, source, goal);
        else
            copy_apart(e, plan, source, goal, column_bytes);
        loop_close(e);
    }
    loop_close(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, (items + each - 1) / each, ALWAYS});
}

/* ---- a panel of Q ---- */

static void copy_runs(struct emitter *e, const struct window_plan *plan, V from, V to, V segments, V run, int64_t columns)
{
    const struct window_axis *last = &plan->sums[plan->sum_count - 1];
    int64_t before = plan->sum_count > 1 ? last[-1].q : 0;
    V segment = plan->segments > 1 ? loop_open(e, count_of(e, 0), segments, 1) : NULL;

    if (segment) {
        from = further(e, from, segment, before * plan->tile.bytes);
        to = offset_pointer(e, to, times(e, LLVMBuildNSWMul(e->builder, segment, run, ""), plan->tile.panel_bytes));
    }
    V k = loop_open(e, count_of(e, 0), run, 1);
    copy_numbers(e, &plan->tile, further(e, from, k, last->q * plan->tile.bytes),
                 further(e, to, k, plan->tile.panel_bytes), columns);
    loop_close(e);
    if (segment)
        loop_close(e);
}

void emit_window_panel(struct emitter *e, const struct window_plan *plan, V from, V to, V panel, V segments, V run)
{
    const struct tile_plan *tile = &plan->tile;
    V full = count_of(e, tile->full_panels);

    from = further(e, from, panel, tile->panel_bytes);
    if (tile->full_panels) {
        if_open(e, last_columns(&plan->tile) ? LLVMBuildICmp(e->builder, LLVMIntSLT, panel, full, "") : NULL);
        copy_runs(e, plan, from, to, segments, run, tile->vectors * tile->lanes);
        if_close(e);
    }
    if (last_columns(&plan->tile)) {
        if_open(e, tile->full_panels ? LLVMBuildICmp(e->builder, LLVMIntEQ, panel, full, "") : NULL);
        copy_runs(e, plan, from, to, segments, run, last_columns(&plan->tile));
        if_close(e);
    }
    at_level(e, e->depth);
}
