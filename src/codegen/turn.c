/* turn.c: a map that is read along one index and written along another: squares of it are computed along the first and
   turned about in registers.

   requires: a stage of one map that is in memory, without draws. */
#include "emit.h"

typedef LLVMValueRef V;

enum { QUARTERS = TURN_PIECES };

void turn_stage(struct emitter *e, V *rows, int lanes, int size)
{
    V low[LANES], high[LANES];

    for (int k = 0; k < lanes; k++) {
        bool upper = k / size % 2;
        low[k] = whole_like(e->i32, upper ? lanes + k - size : k);
        high[k] = whole_like(e->i32, upper ? lanes + k : k + size);
    }
    V low_mask = LLVMConstVector(low, (unsigned)lanes), high_mask = LLVMConstVector(high, (unsigned)lanes);
    for (int i = 0; i < lanes; i++) {
        if (i / size % 2)
            continue;
        V a = rows[i], b = rows[i + size];
        rows[i] = LLVMBuildShuffleVector(e->builder, a, b, low_mask, "");
        rows[i + size] = LLVMBuildShuffleVector(e->builder, a, b, high_mask, "");
    }
}

static V side_by_side(struct emitter *e, V a, V b)
{
    unsigned lanes = 2 * LLVMGetVectorSize(LLVMTypeOf(a));
    V from[LANES];

    for (unsigned i = 0; i < lanes; i++)
        from[i] = whole_like(e->i32, (int64_t)i);
    return LLVMBuildShuffleVector(e->builder, a, b, LLVMConstVector(from, lanes), "");
}

void join_pieces(struct emitter *e, V (*pieces)[TURN_PIECES], V *rows, int lanes, int count)
{
    int wide = lanes / count;

    for (int q = 0; q < count; q++)
        for (int i = 0; i < wide; i++) {
            V joined[TURN_PIECES];
            for (int c = 0; c < count; c++)
                joined[c] = pieces[i + c * wide][q];
            for (int left = count / 2; left >= 1; left /= 2)
                for (int c = 0; c < left; c++)
                    joined[c] = side_by_side(e, joined[2 * c], joined[2 * c + 1]);
            rows[q * wide + i] = joined[0];
        }
}

void turn_within_pieces(struct emitter *e, V *rows, int lanes, int wide)
{
    for (int size = wide / 2; size >= 1; size /= 2)
        turn_stage(e, rows, lanes, size);
}

/* Where the loops of the stage are: `across` is the index along which is read, the vector index the one along which is
   written. */
struct turn {
    struct emitter *e;
    struct stage_plan *stage;
    V first[2]; /* across, vector */
    int level[2], count[2];
};

static void begin_lanes(struct emitter *e, int count)
{
    if (count < LANES) {
        e->mask = lanes_below(e, count);
        e->mask_level = e->depth;
    }
}

static void end_lanes(struct emitter *e)
{
    e->mask = NULL;
    e->mask_level = 0;
}

/* A whole square, read in quarters of its rows. */
static void read_square(struct turn *t, V *rows)
{
    struct emitter *e = t->e;
    const struct ir_tensor *equation = t->stage->equations[0].tensor;
    const struct ir_index *across = t->stage->inner[t->stage->across], *along = t->stage->inner[t->stage->vector];
    V quarters[LANES][TURN_PIECES];

    e->lanes = LANES / QUARTERS;
    for (int i = 0; i < LANES; i++)
        for (int q = 0; q < QUARTERS; q++) {
            if_open(e, NULL);
            bind_behind(e, across, t->first[0], t->level[0], q * e->lanes, true);
            bind_behind(e, along, t->first[1], t->level[1], i, false);
            operate_as(e, equation);
            struct value v = emit_expr(e, equation->value);
            at_level(e, e->depth);
            quarters[i][q] = to_real(e, v, real_type(e)).at;
            if_close(e);
        }
    e->lanes = LANES;
    at_level(e, e->depth);
    join_pieces(e, quarters, rows, LANES, QUARTERS);
    turn_within_pieces(e, rows, LANES, LANES / QUARTERS);
}

/* The rows of a square, each along `across`; those that are not there are anything. */
static void read_rows(struct turn *t, V *rows)
{
    struct emitter *e = t->e;
    const struct ir_tensor *equation = t->stage->equations[0].tensor;
    const struct ir_index *across = t->stage->inner[t->stage->across], *along = t->stage->inner[t->stage->vector];

    for (int i = 0; i < t->count[1]; i++) {
        if_open(e, NULL);
        bind(e, across, t->first[0], true);
        begin_lanes(e, t->count[0]);
        bind_behind(e, along, t->first[1], t->level[1], i, false);
        operate_as(e, equation);
        struct value v = emit_expr(e, equation->value);
        at_level(e, e->depth);
        rows[i] = widen(e, to_real(e, v, real_type(e)).at, true);
        end_lanes(e);
        if_close(e);
    }
    for (int i = t->count[1]; i < LANES; i++)
        rows[i] = LLVMGetPoison(LLVMTypeOf(rows[0]));
    at_level(e, e->depth);
    turn_within_pieces(e, rows, LANES, LANES);
}

static void emit_square(struct turn *t)
{
    struct emitter *e = t->e;
    const struct ir_tensor *equation = t->stage->equations[0].tensor;
    const struct ir_index *across = t->stage->inner[t->stage->across], *along = t->stage->inner[t->stage->vector];
    V rows[LANES];

    if (t->count[0] == LANES && t->count[1] == LANES)
        read_square(t, rows);
    else
        read_rows(t, rows);
    for (int i = 0; i < t->count[0]; i++) {
        if_open(e, NULL);
        bind(e, along, t->first[1], true);
        begin_lanes(e, t->count[1]);
        bind_behind(e, across, t->first[0], t->level[0], i, false);
        emit_store(e, equation, (struct value){rows[i], REAL, e->depth});
        end_lanes(e);
        if_close(e);
    }
}

/* Squares along the index number `which` (0: across, 1: vector), then what is inside. */
static void emit_squares(struct turn *t, int which)
{
    struct emitter *e = t->e;
    int64_t extent = t->stage->extents[which ? t->stage->vector : t->stage->across], full = extent / LANES * LANES;

    if (which == 2) {
        emit_square(t);
        return;
    }
    if (full) {
        t->count[which] = LANES;
        t->first[which] = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, full), LANES);
        t->level[which] = e->depth;
        emit_squares(t, which + 1);
        loop_close(e);
    }
    if (full < extent) {
        t->count[which] = (int)(extent - full);
        t->first[which] = whole_like(e->i64, full);
        t->level[which] = 0;
        if_open(e, NULL);
        emit_squares(t, which + 1);
        if_close(e);
    }
}

static void emit_outside(struct turn *t, int opened)
{
    struct emitter *e = t->e;

    if (opened == t->stage->inner_count) {
        emit_squares(t, 0);
    } else if (opened == t->stage->across || opened == t->stage->vector) {
        emit_outside(t, opened + 1);
    } else {
        bind(e, t->stage->inner[opened],
             loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, t->stage->extents[opened]), 1), false);
        emit_outside(t, opened + 1);
        loop_close(e);
    }
}

void emit_turned(struct emitter *e, struct stage_plan *stage)
{
    struct turn turn = {.e = e, .stage = stage};

    emit_outside(&turn, 0);
}
