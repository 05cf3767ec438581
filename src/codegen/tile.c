/* tile.c: a tile kernel as a function of a part. A part makes some groups of tiles, one after the other; of a group

   for each block of k
       for each panel of the group
           for each block of rows of the group: a tile

   or, where maps follow each tile (by_tiles), for each block of rows, for each panel: what is beside C goes by along its rows.
   A last panel that is not full, and everything of a product whose columns lie far apart (turned), is gathered on the
   stack and brought to C when the group is done. */
#include "tile.h"

typedef LLVMValueRef V;

/* AHEAD_BYTES: of what the maps of a group read, if it is asked for while the group's tiles are made: so much stays in the second
   cache. Of groups three times as large, from memory, the tiles became slower by more than the maps became faster. There maps
   follow each tile, and PANELS_AHEAD tiles before, while its k goes by, lines of it are asked for one by one (weight gradients
   2500 x 2500 x 128 with momentum 1.14, with Adam 1.17 times as fast; from two tiles before a little better than from one). */
enum { AHEAD_BYTES = 1 << 19, PANELS_AHEAD = 2 };

/* ---- small things ---- */

V count_of(struct emitter *e, int64_t number)
{
    return whole_like(e->i64, number);
}

V times(struct emitter *e, V v, int64_t by)
{
    return by == 1 ? v : LLVMBuildNSWMul(e->builder, v, count_of(e, by), "");
}

V plus(struct emitter *e, V a, V b)
{
    return LLVMBuildNSWAdd(e->builder, a, b, "");
}

V lesser(struct emitter *e, V a, V b)
{
    return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, ""), a, b, "");
}

V further(struct emitter *e, V pointer, V v, int64_t bytes)
{
    return bytes ? offset_pointer(e, pointer, times(e, v, bytes)) : pointer;
}

V at_batch(struct emitter *e, const struct product *product, V batch, const int64_t *strides, int64_t bytes, V pointer)
{
    for (int i = product->batched_count - 1; i >= 0; i--) {
        V extent = count_of(e, product->batch_extent[i]);

        pointer = further(e, pointer, i ? LLVMBuildURem(e->builder, batch, extent, "") : batch, strides[i] * bytes);
        if (i)
            batch = LLVMBuildUDiv(e->builder, batch, extent, "");
    }
    return pointer;
}

V operand_base(struct emitter *e, const struct tile_operand *operand, int64_t bytes)
{
    V base = offset_constant(e, tensor_base(e, operand->tensor), operand->first * bytes);

    return e->kernel->time ? further(e, base, binding_of(e, e->kernel->time)->scalar, operand->time * bytes) : base;
}

V copies_base(struct emitter *e, const struct tile_operand *operand)
{
    return (operand->kept ? kept_base : scratch_base)(e, operand->copies);
}

V first_row(struct emitter *e, const struct tile_plan *plan, V block)
{
    V row = times(e, block, plan->height - 1);

    return plus(e, row, lesser(e, block, count_of(e, plan->tall)));
}

/* ---- a group ---- */

/* What a part has at hand of the group it makes. */
struct group {
    V p, q, c;                                             /* of the batch: copies if there are any */
    V q_panel;                                             /* room on the stack for a block of k of a panel */
    V first_block, end_block, first_panel, end_panel, row; /* row: the group's first */
    V gathered;                                            /* on the stack: all of a group, or its last panel */
    int64_t gathered_row;
    V block; /* on the stack: all of a turned group, turned about */
    int64_t block_row;
    V batch;
    bool all_gathered;
    struct kernel_plan *followers; /* NULL: nothing follows */
    bool asks_beside;              /* what they read of a group is asked for while it is made */
    V addresses;                   /* by_tiles: on the stack, of what a later tile's maps read */
};

bool is_at_hand(const struct ir_tensor *t)
{
    return t->region == IR_LOCAL;
}

static V chosen(struct emitter *e, V condition, V a, V b)
{
    return LLVMBuildSelect(e->builder, condition, a, b, "");
}

static bool has_last(const struct tile_plan *plan)
{
    return plan->full_panels < plan->panels;
}

struct ahead {
    V from, within, on;
};

/* What the tiles of a block of rows bring nearer: of the next panel (or the first one's next block of k) lines at some of
   its k. Where there are tiles enough, one for each turn: more at a time would wait for each other and keep the tile's own
   loads waiting. As it lies, a panel begins inside a line, which the panel before has brought. */
static struct ahead lines_ahead(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block,
                                V panel, V k, V nothing)
{
    bool packed = plan->q.access != PACKED_PANELS, aligned = packed || plan->q.k % LINE == 0;
    int64_t k_bytes = packed ? plan->panel_bytes : plan->q.k;
    int64_t panel_bytes = packed ? plan->depth * plan->panel_bytes : plan->panel_bytes;
    int64_t lines = plan->panel_bytes / LINE, depth = plan->block_k;
    int64_t a_turn = plan->blocks_each >= STEPS_A_TURN * lines ? 1 : STEPS_A_TURN;
    int64_t tiles = STEPS_A_TURN / a_turn; /* for a line at every k */
    V here = LLVMBuildNSWSub(e->builder, block, g->first_block, ""), next = plus(e, panel, count_of(e, 1));
    V more = LLVMBuildICmp(e->builder, LLVMIntSLT, next, g->end_panel, "");
    V line = LLVMBuildUDiv(e->builder, here, count_of(e, tiles), "");
    V first_k = times(e, LLVMBuildURem(e->builder, here, count_of(e, tiles), ""), (depth + tiles - 1) / tiles);
    V mine = LLVMBuildICmp(e->builder, LLVMIntSLT, line, count_of(e, lines), "");
    V from = further(e, g->q, plus(e, first_k, chosen(e, more, k, plus(e, k, count_of(e, plan->block_k)))), k_bytes);

    from = further(e, further(e, from, chosen(e, more, next, g->first_panel), panel_bytes), line, LINE);
    if (!aligned)
        from = offset_constant(e, from, LINE);
    V none = count_of(e, 0);
    return (struct ahead){chosen(e, mine, from, nothing),
                          a_turn > 1 ? chosen(e, mine, count_of(e, k_bytes), none) : none,
                          chosen(e, mine, count_of(e, a_turn * k_bytes), none)};
}

/* Of panels that are copied as they come: lines of the next run of panels, row by row of Q, for at each k they lie side by
   side, which the machine's own prefetcher sees; behind the last block of k those of the group behind this one. */
static struct ahead run_ahead(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block, V panel,
                              V k, V nothing)
{
    int64_t depth = plan->block_k, turns = depth / STEPS_A_TURN;
    V here = LLVMBuildNSWSub(e->builder, panel, g->first_panel, ""), run = count_of(e, plan->run), zero = count_of(e, 0);
    V within = LLVMBuildURem(e->builder, here, run, "");
    V tile = plus(e, times(e, within, plan->blocks_each), LLVMBuildNSWSub(e->builder, block, g->first_block, ""));
    V next = plus(e, LLVMBuildNSWSub(e->builder, panel, within, ""), run), next_k = plus(e, k, count_of(e, plan->block_k));
    V more = LLVMBuildICmp(e->builder, LLVMIntSLT, next, g->end_panel, "");
    V deeper = LLVMBuildICmp(e->builder, LLVMIntSLT, next_k, count_of(e, plan->depth), "");
    V row = times(e, tile, plan->run_rows);
    V mine = LLVMBuildICmp(e->builder, LLVMIntSLT, row, count_of(e, depth), "");
    V from_k = chosen(e, more, k, chosen(e, deeper, next_k, zero));
    V from = further(e, g->q, plus(e, from_k, row), plan->q.k);

    from = further(e, from, chosen(e, more, next, chosen(e, deeper, g->first_panel, g->end_panel)), plan->panel_bytes);
    return (struct ahead){chosen(e, mine, from, nothing),
                          plan->run_rows > 1 ? chosen(e, mine, count_of(e, plan->q.k), zero) : zero,
                          chosen(e, mine, count_of(e, (plan->run * plan->panel_bytes + turns - 1) / turns), zero)};
}

/* Of panels that are turned about as they come: a block of k of a column of Q lies side by side in a few lines. A tile asks
   for some of them, STEPS_A_TURN, of as many columns as it has turns; so many tiles for all. */
static struct ahead columns_ahead(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block,
                                  V panel, V k, V nothing)
{
    int64_t depth = plan->block_k;
    V here = LLVMBuildNSWSub(e->builder, block, g->first_block, ""), next = plus(e, panel, count_of(e, 1));
    V more = LLVMBuildICmp(e->builder, LLVMIntSLT, next, g->end_panel, "");
    V mine = LLVMBuildICmp(e->builder, LLVMIntSLT, times(e, here, STEPS_A_TURN * LINE), count_of(e, depth * plan->bytes), "");
    V from = further(e, further(e, g->q, chosen(e, more, k, plus(e, k, count_of(e, plan->block_k))), plan->q.k), here,
                     STEPS_A_TURN * LINE);

    from = further(e, from, times(e, chosen(e, more, next, g->first_panel), plan->vectors * plan->lanes), plan->q.outer);
    return (struct ahead){chosen(e, mine, from, nothing), count_of(e, LINE),
                          chosen(e, mine, count_of(e, plan->q.outer), count_of(e, 0))};
}

/* The tile's own place in C, which its sums are added to: asked for before they are made. */
static void fetch_tile(struct emitter *e, const struct tile_plan *plan, V c, V c_row)
{
    V hints[] = {whole_like(e->i32, 1), whole_like(e->i32, 3), whole_like(e->i32, 1)};

    for (int i = 0; i < plan->height; i++) {
        for (int64_t at = 0; at < plan->panel_bytes + LINE; at += LINE) {
            V line = offset_constant(e, c, at < plan->panel_bytes ? at : plan->panel_bytes - 1);
            V prefetch[] = {line, hints[0], hints[1], hints[2]};
            intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
        }
        c = offset_pointer(e, c, c_row);
    }
}

/* Where k is one block, C is only written, and to memory: its lines are asked for while the sums are made, those of the
   block's own rows and of as many behind them as the tile has turns, but none behind the group. */
static struct ahead lines_of_c(struct emitter *e, const struct tile_plan *plan, const struct group *g, V row, V panel)
{
    int64_t turns = plan->depth / STEPS_A_TURN;
    V end = first_row(e, plan, g->end_block);
    V last = LLVMBuildNSWSub(e->builder, end, count_of(e, turns), "");

    last = chosen(e, LLVMBuildICmp(e->builder, LLVMIntSLT, last, g->row, ""), g->row, last);
    V from = further(e, further(e, g->c, lesser(e, row, last), plan->c_stride), panel, plan->panel_bytes);
    return (struct ahead){from, count_of(e, LINE), count_of(e, plan->c_stride)};
}

static int64_t group_bytes(const struct tile_plan *plan)
{
    return plan->blocks_each * plan->height * plan->c_stride;
}

/* Are the group's rows whole, so that what is read beside them is one run of memory, and does it stay in the caches? */
static bool is_asked_ahead(const struct tile_plan *plan, const struct ir_tensor *t)
{
    const struct beside *beside = &plan->beside;

    return beside->count && plan->product->batches == 1 && !plan->turned && is_at_hand(t) && plan->panel_groups == 1 &&
           plan->depth <= SHORT_DEPTH && plan->depth >= STEPS_A_TURN && beside->count * group_bytes(plan) <= AHEAD_BYTES;
}

/* What the followers will read beside C, all of the group's: a share with each tile, of one tensor after the other. */
static struct ahead beside_ahead(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block, V panel)
{
    const struct beside *beside = &plan->beside;
    int64_t steps = plan->depth / STEPS_A_TURN * STEPS_A_TURN;
    int64_t shares = (plan->blocks_each * plan->panels_each + beside->count - 1) / beside->count;
    int64_t share = (group_bytes(plan) + shares - 1) / shares, within = (share + steps - 1) / steps;
    V tile = plus(e, times(e, LLVMBuildNSWSub(e->builder, panel, g->first_panel, ""), plan->blocks_each),
                  LLVMBuildNSWSub(e->builder, block, g->first_block, ""));
    V which = LLVMBuildURem(e->builder, tile, count_of(e, beside->count), "");
    V number = LLVMBuildUDiv(e->builder, tile, count_of(e, beside->count), "");
    V from = tensor_base(e, beside->tensors[0]);

    for (int i = 1; i < beside->count; i++)
        from = chosen(e, LLVMBuildICmp(e->builder, LLVMIntEQ, which, count_of(e, i), ""),
                      tensor_base(e, beside->tensors[i]), from);
    from = further(e, further(e, from, g->row, plan->c_stride), number, share);
    return (struct ahead){from, count_of(e, within), count_of(e, within * STEPS_A_TURN)};
}

static V function_of(struct emitter *e, const struct tile_plan *plan, int height, int vectors, bool copies)
{
    return plan->split ? split_tile_function(e, plan, height, vectors) : tile_function(e, plan, height, vectors, copies);
}

/* The function for a block of rows that may be tall and a panel that may be the last. copies: for the first block of a group,
   which as a rule is tall in all of them; what is never called is not made. */
static V tile_of(struct emitter *e, const struct tile_plan *plan, V is_tall, V is_last, bool copies)
{
    bool tall = copies && (plan->row_groups - 1) * plan->blocks_each < plan->tall;
    V functions[2] = {NULL, NULL};

    for (int last = 0; last < 2; last++) {
        int vectors = last ? plan->last_vectors : plan->vectors;
        if (last && vectors == plan->vectors)
            continue;
        functions[last] = function_of(e, plan, plan->height, vectors, copies);
        if (plan->tall < plan->blocks && !tall)
            functions[last] =
                chosen(e, is_tall, functions[last], function_of(e, plan, plan->height - 1, vectors, copies));
    }
    return functions[1] ? chosen(e, is_last, functions[1], functions[0]) : functions[0];
}

struct rows_of_p {
    V first, step;
};

/* A tile's rows of P from k on, and of their two distances the one that is not a number's size. */
static struct rows_of_p rows_of_p(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block, V k,
                                  V is_tall)
{
    bool by_rows = copied_by_rows(plan);

    if (plan->split) {
        int64_t bytes = split_block_bytes(plan);
        return (struct rows_of_p){further(e, further(e, g->p, block, bytes), k, bytes / plan->copy_depth), count_of(e, 0)};
    }
    V row = first_row(e, plan, block);
    if (plan->p.access == IN_PLACE)
        return (struct rows_of_p){further(e, further(e, g->p, row, plan->p.outer), k, plan->p.k),
                                  count_of(e, by_rows ? plan->p.outer : plan->p.k)};
    if (by_rows)
        return (struct rows_of_p){further(e, further(e, g->p, row, plan->p.padded), k, plan->bytes),
                                  count_of(e, plan->p.padded)};
    V step = count_of(e, plan->height * plan->bytes);
    if (plan->tall < plan->blocks)
        step = chosen(e, is_tall, step, count_of(e, (plan->height - 1) * plan->bytes));
    V first = further(e, g->p, row, plan->depth * plan->bytes);
    return (struct rows_of_p){offset_pointer(e, first, LLVMBuildNSWMul(e->builder, k, step, "")), step};
}

/* Of the matrix unit's next block of rows, behind the last one of the next block of k's first: where what the tile asks for begins. */
static V next_of_p(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block, V panel, V k)
{
    int64_t bytes = split_block_bytes(plan), share = plan->block_k / SPLIT_K * plan->p_lines * LINE;
    V next = plus(e, block, count_of(e, 1)), more = LLVMBuildICmp(e->builder, LLVMIntSLT, next, g->end_block, "");
    V from = further(e, g->p, chosen(e, more, next, g->first_block), bytes);

    from = further(e, from, chosen(e, more, k, plus(e, k, count_of(e, plan->block_k))), bytes / plan->copy_depth);
    return further(e, from, LLVMBuildNSWSub(e->builder, panel, g->first_panel, ""), share);
}

/* Are a panel's k turned about as its tiles come to them, or copied by the first of these? */
static bool turns_panels(const struct tile_plan *plan)
{
    return plan->q.access == PACKED_PANELS && plan->q.k == plan->bytes;
}

static bool copies_panels(const struct tile_plan *plan)
{
    return plan->q.access == PACKED_PANELS && !turns_panels(plan) && !plan->split;
}

/* A tile, for one block of k. q: the panel's copy. */
static void emit_tile(struct emitter *e, const struct tile_plan *plan, const struct group *g, V panel, V block, V q, V k, V depth)
{
    V is_last = LLVMBuildICmp(e->builder, LLVMIntEQ, panel, count_of(e, plan->full_panels), "");
    V c, c_row, zero = count_of(e, 0);
    bool turns = turns_panels(plan), copies = copies_panels(plan);
    V is_tall = LLVMBuildICmp(e->builder, LLVMIntSLT, block, count_of(e, plan->tall), "");
    V row = first_row(e, plan, block), row_here = LLVMBuildNSWSub(e->builder, row, g->row, "");
    V q_here = q, function = !copies || plan->blocks_each > 1 ? tile_of(e, plan, is_tall, is_last, false) : NULL;
    V columns = count_of(e, plan->vectors * plan->lanes);
    if (copies) { /* the first block of rows, which takes the panel as it lies */
        V first = LLVMBuildICmp(e->builder, LLVMIntEQ, block, g->first_block, "");
        V copying = tile_of(e, plan, is_tall, is_last, true);
        V source = further(e, further(e, g->q, k, plan->q.k), panel, plan->panel_bytes);
        function = function ? chosen(e, first, copying, function) : copying;
        q_here = chosen(e, first, source, q);
        if (has_last(plan))
            columns = chosen(e, is_last, count_of(e, last_columns(plan)), columns);
    }
    struct rows_of_p p = rows_of_p(e, plan, g, block, k, is_tall);

    if (g->all_gathered) {
        V panel_here = LLVMBuildNSWSub(e->builder, panel, g->first_panel, "");
        c = further(e, further(e, g->gathered, row_here, g->gathered_row), panel_here, plan->panel_bytes);
        c_row = count_of(e, g->gathered_row);
    } else {
        c = further(e, further(e, g->c, row, plan->c_stride), panel, plan->panel_bytes);
        c_row = count_of(e, plan->c_stride);
        if (has_last(plan)) {
            c = chosen(e, is_last, further(e, g->gathered, row_here, g->gathered_row), c);
            c_row = chosen(e, is_last, count_of(e, g->gathered_row), c_row);
        }
    }
    V add = LLVMBuildZExt(e->builder, LLVMBuildICmp(e->builder, LLVMIntNE, k, zero, ""), e->i64, "");
    bool writes = plan->depth <= SHORT_DEPTH && !g->all_gathered;
    struct ahead ahead =
        plan->split       ? (struct ahead){q, zero, zero}
        : writes          ? lines_of_c(e, plan, g, row, panel)
        : g->asks_beside  ? beside_ahead(e, plan, g, block, panel)
        : turns           ? columns_ahead(e, plan, g, block, panel, k, q)
        : plan->run       ? run_ahead(e, plan, g, block, panel, k, q)
                          : lines_ahead(e, plan, g, block, panel, k, q);
    if (plan->k_blocks > 1 && plan->block_k <= SHORT_DEPTH && !plan->split)
        fetch_tile(e, plan, c, c_row);
    V to = plan->split ? next_of_p(e, plan, g, block, panel, k) : q;
    V arguments[] = {depth, p.first, p.step, q_here, c, c_row, add, number_like(plan->type, plan->product->scale),
                     ahead.from, ahead.on, ahead.within, to, count_of(e, plan->q.k), columns};
    LLVMBuildCall2(e->builder, tile_type(e, plan->type), function, arguments, TILE_ARGUMENTS, "");
}

static V copy_of_panel(struct emitter *e, const struct tile_plan *plan, const struct group *g, V panel, V k)
{
    return further(e, further(e, g->q, panel, plan->copy_depth * plan->copy_k), k, plan->copy_k);
}

/* The tiles of one panel for one block of k. */
static void emit_panel(struct emitter *e, const struct tile_plan *plan, const struct group *g, V panel, V k, V depth)
{
    V q = plan->q.access == PACKED_PANELS ? g->q_panel : copy_of_panel(e, plan, g, panel, k);

    if (turns_panels(plan))
        emit_turn_panel(e, plan, g->q, q, k, depth, panel);
    at_level(e, e->depth);
    emit_tile(e, plan, g, panel, loop_open(e, g->first_block, g->end_block, 1), q, k, depth);
    loop_close(e);
}

/* The tiles of a group by the matrix unit, for one block of k. It reads both operands as fast as the second cache gives: that holds all
   panels of Q, which go by each block of rows. */
static void emit_split_group(struct emitter *e, const struct tile_plan *plan, const struct group *g, V k, V depth)
{
    bool here = plan->q.access == PACKED_PANELS;
    int64_t bytes = plan->block_k * plan->copy_k;

    if (here)
        emit_split_panels(e, plan, g->q, g->q_panel, k, depth, g->first_panel, g->end_panel, bytes);
    V block = loop_open(e, g->first_block, g->end_block, 1);
    V panel = loop_open(e, g->first_panel, g->end_panel, 1);
    V q = here ? further(e, g->q_panel, LLVMBuildNSWSub(e->builder, panel, g->first_panel, ""), bytes)
               : copy_of_panel(e, plan, g, panel, k);
    emit_tile(e, plan, g, panel, block, q, k, depth);
    loop_close(e);
    loop_close(e);
    at_level(e, e->depth);
}

/* A turned group to where it belongs, rows in place of columns: squares of as many numbers as a vector has. to: where
   the group's first number goes. */
static void bring_turned(struct emitter *e, const struct tile_plan *plan, const struct group *g,
                         const struct range *rows, const struct range *columns, V to, int64_t to_row)
{
    V lanes = count_of(e, plan->lanes);
    V column = loop_open(e, count_of(e, 0), LLVMBuildNSWSub(e->builder, columns->end, columns->first, ""), plan->lanes);
    V column_count = LLVMBuildNSWSub(e->builder, columns->end, plus(e, columns->first, column), "");
    V here = further(e, g->gathered, column, plan->bytes), there = further(e, to, column, to_row);
    V row = loop_open(e, count_of(e, 0), LLVMBuildNSWSub(e->builder, rows->end, rows->first, ""), plan->lanes);
    V row_count = LLVMBuildNSWSub(e->builder, rows->end, plus(e, rows->first, row), "");

    call_turn(e, plan->type, further(e, here, row, g->gathered_row), count_of(e, g->gathered_row),
              further(e, there, row, plan->bytes), count_of(e, to_row), lesser(e, row_count, lanes),
              lesser(e, column_count, lanes));
    loop_close(e);
    loop_close(e);
    at_level(e, e->depth);
}

/* The last panel to C, if the group has it. */
static void bring_last(struct emitter *e, const struct tile_plan *plan, const struct group *g, const struct range *rows)
{
    if_open(e, LLVMBuildICmp(e->builder, LLVMIntEQ, g->end_panel, count_of(e, plan->panels), ""));
    V there = offset_constant(e, further(e, g->c, g->row, plan->c_stride), plan->full_panels * plan->panel_bytes);
    V row = loop_open(e, count_of(e, 0), LLVMBuildNSWSub(e->builder, rows->end, rows->first, ""), 1);
    copy_numbers(e, plan, further(e, g->gathered, row, g->gathered_row), further(e, there, row, plan->c_stride),
                 plan->columns - plan->full_panels * plan->vectors * plan->lanes);
    loop_close(e);
    if_close(e);
    at_level(e, e->depth);
}

/* What is left to do of a group when its tiles are done. */
static void finish_group(struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t,
                         const struct group *g)
{
    int64_t width = plan->vectors * plan->lanes;
    struct range rows = {g->row, first_row(e, plan, g->end_block)};
    struct range columns = {times(e, g->first_panel, width),
                            lesser(e, times(e, g->end_panel, width), count_of(e, plan->columns))};
    struct follow follow = {.plan = g->followers, .batch = g->batch, .rows = rows, .columns = columns,
                            .most_columns = plan->panels_each * width};

    if (plan->turned) {
        V to =
            g->block ? g->block : further(e, further(e, g->c, columns.first, plan->c_stride), rows.first, plan->bytes);
        bring_turned(e, plan, g, &rows, &columns, to, g->block ? g->block_row : plan->c_stride);
        follow = (struct follow){.plan = g->followers, .batch = g->batch, .rows = columns, .columns = rows,
                                 .most_columns = plan->blocks_each * plan->height,
                                 .block = g->block, .block_row = g->block_row};
    } else if (is_at_hand(t)) {
        follow.block = g->gathered;
        follow.block_row = g->gathered_row;
    } else if (has_last(plan)) {
        bring_last(e, plan, g, &rows);
    }
    if (g->followers)
        emit_follow(e, plan, t, &follow);
}

/* Where what is beside a tile lies that comes PANELS_AHEAD later; of the group's last tiles it is their own. */
static void set_addresses(struct emitter *e, const struct tile_plan *plan, const struct group *g, V block, V panel)
{
    V later = plus(e, panel, count_of(e, PANELS_AHEAD)), next = plus(e, block, count_of(e, 1));
    V here = LLVMBuildICmp(e->builder, LLVMIntSLT, later, g->end_panel, "");
    V last = LLVMBuildICmp(e->builder, LLVMIntSGE, next, g->end_block, "");
    V behind = plus(e, g->first_panel, LLVMBuildNSWSub(e->builder, later, g->end_panel, ""));
    V row = first_row(e, plan, chosen(e, LLVMBuildOr(e->builder, here, last, ""), block, next));

    behind = lesser(e, behind, LLVMBuildNSWSub(e->builder, g->end_panel, count_of(e, 1), ""));
    later = chosen(e, here, later, chosen(e, last, panel, behind));
    for (int i = 0; i < plan->beside.count; i++) {
        V from = further(e, tensor_base(e, plan->beside.tensors[i]), row, plan->c_stride);
        LLVMBuildStore(e->builder, further(e, from, later, plan->panel_bytes),
                       offset_constant(e, g->addresses, i * (int64_t)sizeof(void *)));
    }
}

/* The tiles of a group and what follows each of them. */
static void emit_sweep(struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t, const struct group *g)
{
    int64_t width = plan->vectors * plan->lanes;
    V zero = count_of(e, 0), one = count_of(e, 1);
    V block = loop_open(e, g->first_block, g->end_block, 1);
    V is_tall = LLVMBuildICmp(e->builder, LLVMIntSLT, block, count_of(e, plan->tall), "");
    struct range rows = {first_row(e, plan, block), first_row(e, plan, plus(e, block, one))};
    struct rows_of_p p = rows_of_p(e, plan, g, block, zero, is_tall);
    V panel = loop_open(e, g->first_panel, g->end_panel, 1);
    V is_last = LLVMBuildICmp(e->builder, LLVMIntEQ, panel, count_of(e, plan->full_panels), "");
    V q = further(e, g->q, panel, plan->copy_depth * plan->copy_k);
    V c = g->gathered, c_row = count_of(e, g->gathered_row), place = NULL;

    set_addresses(e, plan, g, block, panel);
    if (!is_at_hand(t)) {
        V stride = count_of(e, plan->c_stride);
        place = further(e, further(e, g->c, rows.first, plan->c_stride), panel, plan->panel_bytes);
        c = has_last(plan) ? chosen(e, is_last, c, place) : place;
        c_row = has_last(plan) ? chosen(e, is_last, c_row, stride) : stride;
    }
    V arguments[] = {count_of(e, plan->depth), p.first, p.step, q, c, c_row, zero,
                     number_like(plan->type, plan->product->scale), g->addresses, count_of(e, plan->c_stride), zero,
                     q, zero, zero};
    LLVMBuildCall2(e->builder, tile_type(e, plan->type), tile_of(e, plan, is_tall, is_last, false), arguments,
                   TILE_ARGUMENTS, "");
    if (place && has_last(plan)) {
        if_open(e, is_last);
        V row = loop_open(e, zero, LLVMBuildNSWSub(e->builder, rows.end, rows.first, ""), 1);
        copy_numbers(e, plan, further(e, g->gathered, row, g->gathered_row), further(e, place, row, plan->c_stride),
                     last_columns(plan));
        loop_close(e);
        if_close(e);
        at_level(e, e->depth);
    }
    struct range columns = {times(e, panel, width), lesser(e, times(e, plus(e, panel, one), width),
                                                           count_of(e, plan->columns))};
    struct follow follow = {.plan = g->followers, .batch = g->batch, .rows = rows, .columns = columns,
                            .most_columns = width, .block = place ? NULL : g->gathered,
                            .block_row = g->gathered_row, .vectors = width % LANES ? 0 : width / LANES,
                            .is_full = has_last(plan) ? LLVMBuildNot(e->builder, is_last, "") : NULL};
    emit_follow(e, plan, t, &follow);
    loop_close(e);
    loop_close(e);
    at_level(e, e->depth);
}

static void emit_group(struct emitter *e, const struct tile_plan *plan, const struct ir_tensor *t, const struct group *g)
{
    V k = count_of(e, 0), depth = count_of(e, plan->depth);
    bool loop = plan->k_blocks > 1;

    if (loop) {
        k = loop_open(e, k, depth, plan->block_k);
        depth = lesser(e, LLVMBuildNSWSub(e->builder, depth, k, ""), count_of(e, plan->block_k));
    }
    if (plan->split) {
        emit_split_group(e, plan, g, k, depth);
    } else {
        emit_panel(e, plan, g, loop_open(e, g->first_panel, g->end_panel, 1), k, depth);
        loop_close(e);
    }
    if (loop)
        loop_close(e);
    at_level(e, e->depth);
    finish_group(e, plan, t, g);
}

/* ---- the kernel ---- */

/* An operand of a batch: as it lies, or the copy of it. */
static V operand_of(struct emitter *e, const struct tile_plan *plan, const struct tile_operand *operand, V batch,
                    V room)
{
    V from, all = count_of(e, plan->depth);

    if (operand->access == PACKED_BEFORE) {
        V copies = copies_base(e, operand);
        return further(e, copies, batch, operand->packed);
    }
    from = at_batch(e, plan->product, batch, operand->batch, plan->bytes, operand_base(e, operand, plan->bytes));
    if (operand->access == IN_PLACE || operand->access == PACKED_PANELS)
        return from;
    emit_pack_p(e, plan, from, room, count_of(e, 0), all);
    return room;
}

static void emit_parts(struct emitter *e, const struct ir_tensor *t, const struct tile_plan *plan,
                       part_functions *functions, enum when when)
{
    const struct product *product = plan->product;
    struct group g = {0};
    struct kernel_plan followers;
    V p_room = NULL;

    emit_pack_functions(e, plan, functions, when);
    part_open(e, arena_printf(e->arena, "kernel_%s%s", e->kernel->name, when == FIRST_STEP ? "_first" : ""));
    if (plan->p.access == PACKED_INSIDE)
        p_room = stack_room(e, e->i8, plan->p.packed);
    if (plan->q.access == PACKED_PANELS)
        g.q_panel = stack_room(e, e->i8, (plan->split ? plan->panels_each : 1) * plan->block_k * plan->copy_k);
    g.all_gathered = plan->turned || is_at_hand(t);
    if (plan->by_tiles) {
        g.addresses = stack_room(e, e->pointer, MOST_BESIDE);
        g.gathered_row = plan->panel_bytes;
        g.gathered = stack_room(e, e->i8, plan->height * plan->panel_bytes);
    } else if (g.all_gathered || has_last(plan)) {
        g.gathered_row = plan->panel_bytes * (g.all_gathered ? plan->panels_each : 1) + LINE;
        g.gathered = stack_room(e, e->i8, plan->blocks_each * plan->height * g.gathered_row + LANES * plan->bytes);
    }
    if (plan->turned && is_at_hand(t)) {
        g.block_row = (plan->blocks_each * plan->height * plan->bytes + LINE - 1) / LINE * LINE + LINE;
        g.block =
            stack_room(e, e->i8, plan->panels_each * plan->vectors * plan->lanes * g.block_row + LANES * plan->bytes);
    }
    if (e->kernel->stages.count > 1) {
        g.followers = &followers;
        plan_followers(e, e->kernel, plan->parts, &followers);
        g.asks_beside = is_asked_ahead(plan, t);
        open_partials(e, &followers);
    }
    at_level(e, 0);
    if (plan->split)
        open_matrix_unit(e, plan);
    V function = e->function, first = times(e, e->part, plan->items_per_part);
    V end = lesser(e, plus(e, first, count_of(e, plan->items_per_part)), count_of(e, plan->items));
    V item = loop_open(e, first, end, 1), batch = count_of(e, 0), number = item;
    if (product->batches > 1) {
        V groups = count_of(e, plan->row_groups * plan->panel_groups);
        batch = LLVMBuildUDiv(e->builder, item, groups, "");
        number = LLVMBuildURem(e->builder, item, groups, "");
    }
    V row_group = count_of(e, 0), panel_group = number;
    if (plan->row_groups > 1) {
        V *outer = plan->by_columns ? &panel_group : &row_group, *inner = plan->by_columns ? &row_group : &panel_group;
        V inners = count_of(e, plan->by_columns ? plan->row_groups : plan->panel_groups);
        *outer = LLVMBuildUDiv(e->builder, number, inners, "");
        *inner = LLVMBuildURem(e->builder, number, inners, "");
    }
    g.batch = batch;
    if (!is_at_hand(t)) {
        g.c = tensor_base(e, t);
        if (e->kernel->time)
            g.c = further(e, g.c, binding_of(e, e->kernel->time)->scalar, product->c_time * plan->bytes);
        g.c = at_batch(e, product, batch, product->c_batch_stride, plan->bytes, g.c);
    }
    g.p = operand_of(e, plan, &plan->p, batch, p_room);
    at_level(e, e->depth);
    g.q = operand_of(e, plan, &plan->q, batch, NULL);
    at_level(e, e->depth);
    g.first_block = times(e, row_group, plan->blocks_each);
    g.end_block = lesser(e, plus(e, g.first_block, count_of(e, plan->blocks_each)), count_of(e, plan->blocks));
    g.first_panel = times(e, panel_group, plan->panels_each);
    g.end_panel = lesser(e, plus(e, g.first_panel, count_of(e, plan->panels_each)), count_of(e, plan->panels));
    g.row = first_row(e, plan, g.first_block);
    (plan->by_tiles ? emit_sweep : emit_group)(e, plan, t, &g);
    loop_close(e);
    if (g.followers)
        close_partials(e, &followers);
    if (plan->split)
        close_matrix_unit(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){function, plan->parts, when});
    if (g.followers)
        emit_joins(e, &followers, functions);
}

void emit_tiles(struct emitter *e, const struct product *product, const struct ir_tensor *t, enum when when,
                part_functions *functions)
{
    struct tile_plan plan;

    plan_tiles(e, product, t, when, &plan);
    emit_parts(e, t, &plan, functions, when);
}
