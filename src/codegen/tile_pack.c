/* tile_pack.c: copies of operands as tiles read them.

   Q     panel by panel: for each k the panel's numbers side by side, [panel][k][numbers]
   P     block by block where its rows are neighbours, [block][k][rows of the block]; else row by row, farther apart */
#include "tile.h"

typedef LLVMValueRef V;

enum { K_AT_A_TIME = 16, PACK_PARTS = 32, PACK_BYTES = 1 << 15 };

static V mask_of_first(struct emitter *e, int64_t lanes, int64_t count)
{
    V bits[64];

    for (int64_t i = 0; i < lanes; i++)
        bits[i] = LLVMConstInt(e->i1, i < count, false);
    return LLVMConstVector(bits, (unsigned)lanes);
}

/* `count` numbers from one place to another. */
static void copy_vector(struct emitter *e, const struct tile_plan *plan, V from, V to, int64_t count)
{
    unsigned align = (unsigned)plan->bytes;

    if (count >= plan->lanes) {
        V v = LLVMBuildLoad2(e->builder, plan->vector, from, "");
        LLVMSetAlignment(v, align);
        LLVMSetAlignment(LLVMBuildStore(e->builder, v, to), align);
        return;
    }
    LLVMTypeRef types[] = {plan->vector, e->pointer};
    V mask = mask_of_first(e, plan->lanes, count), bytes = whole_like(e->i32, align);
    V load[] = {from, bytes, mask, LLVMConstNull(plan->vector)};
    V v = intrinsic(e, "llvm.masked.load", types, 2, load, 4);
    V store[] = {v, to, bytes, mask};
    intrinsic(e, "llvm.masked.store", types, 2, store, 4);
}

void copy_numbers(struct emitter *e, const struct tile_plan *plan, V from, V to, int64_t count)
{
    for (int64_t at = 0; at < count; at += plan->lanes)
        copy_vector(e, plan, offset_constant(e, from, at * plan->bytes), offset_constant(e, to, at * plan->bytes),
                    count - at);
}

int64_t last_columns(const struct tile_plan *plan)
{
    return plan->columns - plan->full_panels * plan->vectors * plan->lanes;
}

void copy_columns(struct emitter *e, const struct tile_plan *plan, V from, V to)
{
    if (plan->full_panels) {
        V panel = loop_open(e, count_of(e, 0), count_of(e, plan->full_panels), 1);
        copy_numbers(e, plan, further(e, from, panel, plan->panel_bytes),
                     further(e, to, panel, plan->depth * plan->panel_bytes), plan->vectors * plan->lanes);
        loop_close(e);
        at_level(e, e->depth);
    }
    if (last_columns(plan))
        copy_numbers(e, plan, offset_constant(e, from, plan->full_panels * plan->panel_bytes),
                     offset_constant(e, to, plan->full_panels * plan->depth * plan->panel_bytes), last_columns(plan));
}

/* Q with its columns side by side. */
static void pack_neighbours(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V end)
{
    V k = loop_open(e, first, end, 1);

    copy_columns(e, plan, further(e, from, k, plan->q.k), further(e, to, k, plan->panel_bytes));
    loop_close(e);
}

void emit_turn_panel(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V depth, V panel)
{
    V lanes = count_of(e, plan->lanes), first_vector = times(e, panel, plan->vectors);
    V behind = lesser(e, plus(e, first_vector, count_of(e, plan->vectors)),
                      count_of(e, (plan->columns + plan->lanes - 1) / plan->lanes));
    V vector = loop_open(e, first_vector, behind, 1);
    V column = times(e, vector, plan->lanes), within = LLVMBuildNSWSub(e->builder, vector, first_vector, "");
    V rows = lesser(e, LLVMBuildNSWSub(e->builder, count_of(e, plan->columns), column, ""), lanes);
    V source = further(e, further(e, from, column, plan->q.outer), first, plan->bytes);
    V goal = further(e, to, within, plan->lanes * plan->bytes);
    V k = loop_open(e, count_of(e, 0), depth, plan->lanes);
    V columns = lesser(e, LLVMBuildNSWSub(e->builder, depth, k, ""), lanes);

    call_turn(e, plan->type, further(e, source, k, plan->bytes), count_of(e, plan->q.outer),
              further(e, goal, k, plan->panel_bytes), count_of(e, plan->panel_bytes), rows, columns);
    loop_close(e);
    loop_close(e);
}

/* Q with its k side by side. */
static void pack_turned(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V end)
{
    V lanes = count_of(e, plan->lanes), vectors = count_of(e, plan->vectors);
    V vector = loop_open(e, count_of(e, 0), count_of(e, (plan->columns + plan->lanes - 1) / plan->lanes), 1);
    V column = LLVMBuildNSWMul(e->builder, vector, lanes, "");
    V rows = lesser(e, LLVMBuildNSWSub(e->builder, count_of(e, plan->columns), column, ""), lanes);
    V panel = LLVMBuildUDiv(e->builder, vector, vectors, ""), within = LLVMBuildURem(e->builder, vector, vectors, "");
    V source = further(e, from, column, plan->q.outer);
    V goal = further(e, further(e, to, panel, plan->depth * plan->panel_bytes), within, plan->lanes * plan->bytes);
    V k = loop_open(e, first, end, plan->lanes);
    V columns = lesser(e, LLVMBuildNSWSub(e->builder, end, k, ""), lanes);

    call_turn(e, plan->type, further(e, source, k, plan->bytes), count_of(e, plan->q.outer),
              further(e, goal, k, plan->panel_bytes), count_of(e, plan->panel_bytes), rows, columns);
    loop_close(e);
    loop_close(e);
}

void emit_pack_q(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V end)
{
    if (plan->split)
        emit_split_q(e, plan, from, to, first, end);
    else if (plan->q.k == plan->bytes)
        pack_turned(e, plan, from, to, first, end);
    else
        pack_neighbours(e, plan, from, to, first, end);
    at_level(e, e->depth);
}

/* Blocks first_block .. end_block - 1 of P, all of one height, at one k. */
static void pack_blocks(struct emitter *e, const struct tile_plan *plan, V from, V to, V k, int64_t first_block,
                        int64_t end_block, int64_t height)
{
    if (first_block == end_block)
        return;
    V block = loop_open(e, count_of(e, first_block), count_of(e, end_block), 1);
    V row = first_row(e, plan, block);
    V goal = further(e, further(e, to, row, plan->depth * plan->bytes), k, height * plan->bytes);
    V source = further(e, from, row, plan->p.outer);

    copy_numbers(e, plan, source, goal, height);
    loop_close(e);
    at_level(e, e->depth);
}

void emit_pack_p(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V end)
{
    if (plan->split) {
        emit_split_p(e, plan, from, to, first, end);
    } else if (copied_by_rows(plan)) {
        V bytes = times(e, LLVMBuildNSWSub(e->builder, end, first, ""), plan->bytes);
        V row = loop_open(e, count_of(e, 0), count_of(e, plan->rows), 1);
        V goal = further(e, further(e, to, row, plan->p.padded), first, plan->bytes);
        V source = further(e, further(e, from, row, plan->p.outer), first, plan->bytes);
        LLVMBuildMemCpy(e->builder, goal, (unsigned)plan->bytes, source, (unsigned)plan->bytes, bytes);
        loop_close(e);
    } else {
        V k = loop_open(e, first, end, 1);
        V source = further(e, from, k, plan->p.k);
        pack_blocks(e, plan, source, to, k, 0, plan->tall, plan->height);
        pack_blocks(e, plan, source, to, k, plan->tall, plan->blocks, plan->height - 1);
        loop_close(e);
    }
    at_level(e, e->depth);
}

static void pack_operand(struct emitter *e, const struct tile_plan *plan, const struct tile_operand *operand, V batch,
                         V first, V end)
{
    bool is_q = operand == &plan->q;
    V from = at_batch(e, plan->product, batch, operand->batch, plan->bytes, operand_base(e, operand, plan->bytes));
    V to = copies_base(e, operand);

    (is_q ? emit_pack_q : emit_pack_p)(e, plan, from, further(e, to, batch, operand->packed), first, end);
}

/* Copies P, Q or both. */
static void emit_pack_function(struct emitter *e, const struct tile_plan *plan, bool p, bool q, const char *name,
                               enum when when, part_functions *functions)
{
    int64_t batches = plan->product->batches, work, chunk, chunks, parts;

    if (!p && !q)
        return;
    work = (p ? plan->rows : 0) + (q ? plan->columns : 0);
    chunk = plan->split ? SPLIT_K : K_AT_A_TIME;
    while (chunk < plan->depth && (chunk * work * plan->bytes < PACK_BYTES || plan->depth / chunk > PACK_PARTS))
        chunk *= 2;
    chunks = (plan->depth + chunk - 1) / chunk;
    int64_t items = batches * chunks, per_part = (items + MAX_PARTS - 1) / MAX_PARTS;
    while (per_part < items && per_part * chunk * work * plan->bytes < PACK_BYTES)
        per_part *= 2;
    parts = (items + per_part - 1) / per_part;

    part_open(e, arena_printf(e->arena, "kernel_%s_%s%s", e->kernel->name, name, when == FIRST_STEP ? "_first" : ""));
    V from = times(e, e->part, per_part);
    V item = loop_open(e, from, lesser(e, plus(e, from, count_of(e, per_part)), count_of(e, items)), 1);
    V batch = batches == 1 ? count_of(e, 0) : LLVMBuildUDiv(e->builder, item, count_of(e, chunks), "");
    V number = batches == 1 ? item : LLVMBuildURem(e->builder, item, count_of(e, chunks), "");
    V first = times(e, number, chunk);
    V end = lesser(e, plus(e, first, count_of(e, chunk)), count_of(e, plan->depth));
    if (q)
        pack_operand(e, plan, &plan->q, batch, first, end);
    if (p)
        pack_operand(e, plan, &plan->p, batch, first, end);
    loop_close(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, parts, when});
}

void emit_pack_functions(struct emitter *e, const struct tile_plan *plan, part_functions *functions, enum when when)
{
    bool p = plan->p.access == PACKED_BEFORE, q = plan->q.access == PACKED_BEFORE;

    emit_pack_function(e, plan, p && plan->p.kept, q && plan->q.kept, "keep", FIRST_STEP, functions);
    emit_pack_function(e, plan, p && !plan->p.kept, q && !plan->q.kept, "pack", when, functions);
}
