/* tile_kernel.c: the functions that do the work: one that computes a tile, for each height and width wanted, and one
   that turns a square of numbers about. Kernels share them: each is a unit of its own, known by its name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tile.h"

typedef LLVMValueRef V;

/* Rows whose addresses come from one pointer: with the distance between rows as an index, doubled or not. */
enum {
    ROWS_A_POINTER = 3,
    MOST_HEIGHT = 28,
    MOST_VECTORS = 4,
    MOST_LANES = 16,
    MOST_SUMS = 32,
    PIECE_BYTES = 16,
    SOON = 16
};

static bool has_feature(const struct emitter *e, const char *feature)
{
    size_t length = strlen(feature);

    for (const char *at = e->features; (at = strstr(at, feature)); at += length)
        if (at[length] == ',' || !at[length])
            return true;
    return false;
}

int vector_bytes(const struct emitter *e)
{
    return has_feature(e, "+avx512f") ? 64 : has_feature(e, "+avx") ? 32 : 16;
}

int vector_registers(const struct emitter *e)
{
    return has_feature(e, "+avx512f") ? 32 : 16;
}

/* ---- declarations ---- */

LLVMTypeRef tile_type(struct emitter *e, LLVMTypeRef type)
{
    LLVMTypeRef types[] = {e->i64, e->pointer, e->i64, e->pointer, e->pointer, e->i64,
                           e->i64, type,       e->pointer, e->i64, e->i64,     e->pointer, e->i64, e->i64};

    return LLVMFunctionType(e->nothing, types, TILE_ARGUMENTS, false);
}

static char suffix_of(const struct emitter *e, LLVMTypeRef type)
{
    return type == e->f32 ? 's' : 'd';
}

V tile_function(struct emitter *e, const struct tile_plan *plan, int height, int vectors, bool copies)
{
    bool by_rows = copied_by_rows(plan);
    int beside = plan->by_tiles ? plan->beside.count : 0;
    const char *name = arena_printf(e->arena, "tile_%c_%d_%d_%d_%c_%d_%d", suffix_of(e, plan->type), height, vectors,
                                    plan->vectors, copies ? by_rows ? 'R' : 'N' : by_rows ? 'r' : 'n', beside,
                                    beside ? plan->rows_a_turn : 0);

    return runtime_function(e, name, tile_type(e, plan->type));
}

static LLVMTypeRef turn_type(struct emitter *e)
{
    LLVMTypeRef types[] = {e->pointer, e->i64, e->pointer, e->i64, e->i64, e->i64};

    return LLVMFunctionType(e->nothing, types, 6, false);
}

void call_turn(struct emitter *e, LLVMTypeRef type, V from, V from_row, V to, V to_row, V rows, V columns)
{
    const char *name = arena_printf(e->arena, "turn_%c", suffix_of(e, type));
    V arguments[] = {from, from_row, to, to_row, rows, columns};

    LLVMBuildCall2(e->builder, turn_type(e), runtime_function(e, name, turn_type(e)), arguments, 6, "");
}

/* ---- a tile ---- */

V argument(struct emitter *e, unsigned number)
{
    return LLVMGetParam(e->function, number);
}

static LLVMBasicBlockRef block_of(struct emitter *e)
{
    return LLVMAppendBasicBlockInContext(e->context, e->function, "");
}

static V load_vector(struct emitter *e, LLVMTypeRef vector, V pointer, int64_t bytes)
{
    V v = LLVMBuildLoad2(e->builder, vector, pointer, "");

    LLVMSetAlignment(v, (unsigned)bytes);
    return v;
}

V lanes_before(struct emitter *e, int lanes, V count)
{
    V numbers[MOST_LANES];
    LLVMTypeRef type = LLVMVectorType(e->i32, (unsigned)lanes);
    V poison = LLVMGetPoison(type), narrow = LLVMBuildTrunc(e->builder, count, e->i32, "");

    for (int i = 0; i < lanes; i++)
        numbers[i] = whole_like(e->i32, i);
    V wide = LLVMBuildInsertElement(e->builder, poison, narrow, whole_like(e->i32, 0), "");
    wide = LLVMBuildShuffleVector(e->builder, wide, poison, LLVMConstNull(type), "");
    return LLVMBuildICmp(e->builder, LLVMIntSLT, LLVMConstVector(numbers, (unsigned)lanes), wide, "");
}

V load_some(struct emitter *e, LLVMTypeRef vector, V pointer, int64_t bytes, V mask)
{
    LLVMTypeRef types[] = {vector, e->pointer};
    V arguments[] = {pointer, whole_like(e->i32, bytes), mask, LLVMConstNull(vector)};

    return intrinsic(e, "llvm.masked.load", types, 2, arguments, 4);
}

V spread(struct emitter *e, LLVMTypeRef vector, V scalar)
{
    V poison = LLVMGetPoison(vector),
      first = LLVMBuildInsertElement(e->builder, poison, scalar, whole_like(e->i32, 0), "");

    return LLVMBuildShuffleVector(e->builder, first, poison,
                                  LLVMConstNull(LLVMVectorType(e->i32, LLVMGetVectorSize(vector))), "");
}

/* a * b + c, rounded once where the machine can. */
static V multiply_add(struct emitter *e, V a, V b, V c)
{
    if (has_feature(e, "+fma") || has_feature(e, "+avx512f"))
        return call_fma(e, a, b, c);
    return LLVMBuildFAdd(e->builder, c, LLVMBuildFMul(e->builder, a, b, ""), "");
}

/* The same number, but LLVM does not know it: it would step from row to row with one pointer, each step waiting for the
   one before, or keep a pointer for each row, more than there are registers. */
static V hidden(struct emitter *e, V v)
{
    LLVMTypeRef type = LLVMTypeOf(v), function = LLVMFunctionType(type, &type, 1, false);
    static const char constraints[] = "=r,0";
    V nothing = LLVMGetInlineAsm(function, "", 0, constraints, sizeof constraints - 1, false, false,
                                 LLVMInlineAsmDialectATT, false);

    return LLVMBuildCall2(e->builder, function, nothing, &v, 1, "");
}

/* Where sums go: numbers of the arguments. Of `groups` groups of rows; c_group is of no meaning if that is 1. */
struct goal {
    unsigned c, c_row, c_group, add, scale;
    int groups, height, vectors;
};

/* The last block: sums to C. */
static void store_tile(struct emitter *e, LLVMTypeRef type, LLVMTypeRef vector, const struct goal *goal, V *sums,
                       bool add)
{
    int64_t bytes = type == e->f32 ? 4 : 8, wide = bytes * LLVMGetVectorSize(vector);
    V row = argument(e, goal->c), scale = spread(e, vector, argument(e, goal->scale)), group = row;

    for (int i = 0; i < goal->groups * goal->height; i++) {
        if (i && i % goal->height == 0)
            row = group = offset_pointer(e, group, argument(e, goal->c_group));
        for (int j = 0; j < goal->vectors; j++) {
            V at = offset_constant(e, row, j * wide), sum = sums[i * goal->vectors + j];

            sum = add ? multiply_add(e, sum, scale, load_vector(e, vector, at, bytes))
                      : LLVMBuildFMul(e->builder, sum, scale, "");
            LLVMSetAlignment(LLVMBuildStore(e->builder, sum, at), (unsigned)bytes);
        }
        row = offset_pointer(e, row, argument(e, goal->c_row));
    }
    LLVMBuildRetVoid(e->builder);
}

static void store_or_add(struct emitter *e, LLVMTypeRef type, LLVMTypeRef vector, const struct goal *goal, V *sums)
{
    LLVMBasicBlockRef fresh = block_of(e), more = block_of(e);
    V add = LLVMBuildICmp(e->builder, LLVMIntNE, argument(e, goal->add), whole_like(e->i64, 0), "");

    LLVMBuildCondBr(e->builder, add, more, fresh);
    LLVMPositionBuilderAtEnd(e->builder, fresh);
    store_tile(e, type, vector, goal, sums, false);
    LLVMPositionBuilderAtEnd(e->builder, more);
    store_tile(e, type, vector, goal, sums, true);
}

/* What a step of k goes on from: where the operands are, and the sums. */
struct steps {
    V left, q, to, ahead, rows[MOST_HEIGHT], beside[MOST_BESIDE], sums[MOST_HEIGHT * MOST_VECTORS];
};
struct tile_shape {
    LLVMTypeRef type, vector;
    int height, vectors, of, pointers, sums; /* vectors of the `of` that a panel is wide */
    int64_t bytes, wide; /* of a number, of a vector */
    bool neighbours;     /* P's rows at one k lie side by side, else a row's k */
    bool copies;         /* Q is as it lies, and is copied */
    int beside, rows_a_turn; /* tensors of which a later tile's rows are asked for, so many with each STEPS_A_TURN; or 0 */
    V there[MOST_VECTORS]; /* which of its lanes are there */
    V twice;             /* the distance between rows, doubled */
};

/* Loads stay on their side: LLVM would begin several steps' at once and run out of registers. */
static void hold_loads(struct emitter *e)
{
    LLVMTypeRef type = LLVMFunctionType(e->nothing, NULL, 0, false);
    static const char constraints[] = "~{memory}";
    V nothing = LLVMGetInlineAsm(type, "", 0, constraints, sizeof constraints - 1, true, false, LLVMInlineAsmDialectATT,
                                 false);

    LLVMBuildCall2(e->builder, type, nothing, NULL, 0, "");
}

/* Q goes on by a k. The lines of a later one are brought into the first cache: they lie too far apart for the machine to see, and
   sums wait for them. */
static void step_as_it_lies(struct emitter *e, const struct tile_shape *t, struct steps *s)
{
    V soon = offset_pointer(e, s->q, LLVMBuildMul(e->builder, argument(e, 12), whole_like(e->i64, SOON), ""));

    for (int j = 0; j <= t->vectors; j++) {
        V line = offset_constant(e, soon, j < t->vectors ? j * t->wide : j * t->wide - 1);
        V prefetch[] = {line, whole_like(e->i32, 0), whole_like(e->i32, 3), whole_like(e->i32, 1)};
        intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
    }
    s->q = offset_pointer(e, s->q, argument(e, 12));
}

/* In a turn's step: its share of the lines that the next rows of what is beside C end in, as numbers to be written. The line that
   a row begins in has come with the panel before. */
static void ask_beside(struct emitter *e, const struct tile_shape *t, struct steps *s, int step)
{
    for (int line = step; line < t->rows_a_turn * t->of; line += STEPS_A_TURN) {
        int row = line / t->of;
        V from = s->beside[row % t->beside];

        if (row >= t->beside)
            from = offset_pointer(e, from, argument(e, 9));
        V prefetch[] = {offset_constant(e, from, (line % t->of + 1) * t->wide - 1), whole_like(e->i32, 1),
                        whole_like(e->i32, 3), whole_like(e->i32, 1)};
        intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
    }
    for (int i = 0; step == STEPS_A_TURN - 1 && i < t->rows_a_turn; i++) {
        V next = offset_pointer(e, s->beside[0], argument(e, 9));

        for (int k = 1; k < t->beside; k++)
            s->beside[k - 1] = s->beside[k];
        s->beside[t->beside - 1] = next;
    }
}

/* `count` steps of k, straight-line. */
static void emit_steps(struct emitter *e, const struct tile_shape *t, struct steps *s, int count, bool asks)
{
    V p_row = t->neighbours ? NULL : argument(e, 2), p_k = t->neighbours ? argument(e, 2) : NULL, bs[MOST_VECTORS];

    for (int i = 0; i < t->pointers; i++)
        s->rows[i] = hidden(e, s->rows[i]);
    for (int step = 0; step < count; step++) {
        if (step)
            hold_loads(e);
        for (int j = 0; j < t->vectors; j++) {
            int64_t place = (step * t->of + j) * t->wide;
            if (!t->copies) {
                bs[j] = load_vector(e, t->vector, offset_constant(e, s->q, place), t->bytes);
                continue;
            }
            bs[j] = load_some(e, t->vector, offset_constant(e, s->q, j * t->wide), t->bytes, t->there[j]);
            LLVMSetAlignment(LLVMBuildStore(e->builder, bs[j], offset_constant(e, s->to, place)), (unsigned)t->bytes);
        }
        if (t->copies)
            step_as_it_lies(e, t, s);
        for (int i = 0; i < t->height; i++) {
            V at = t->neighbours ? offset_constant(e, s->rows[0], i * t->bytes) : s->rows[i / ROWS_A_POINTER];
            if (!t->neighbours) {
                at = offset_constant(e, at, step * t->bytes);
                if (i % ROWS_A_POINTER)
                    at = offset_pointer(e, at, i % ROWS_A_POINTER == 1 ? p_row : t->twice);
            }
            V a = LLVMBuildLoad2(e->builder, t->type, at, "");
            LLVMSetAlignment(a, (unsigned)t->bytes);
            a = spread(e, t->vector, a);
            for (int j = 0; j < t->vectors; j++)
                s->sums[i * t->vectors + j] = multiply_add(e, a, bs[j], s->sums[i * t->vectors + j]);
        }
        if (asks) {
            ask_beside(e, t, s, step);
        } else if (count > 1 && !t->beside) {
            V ahead = offset_pointer(e, s->ahead, LLVMBuildMul(e->builder, argument(e, 10), whole_like(e->i64, step), ""));
            V prefetch[] = {ahead, whole_like(e->i32, 0), whole_like(e->i32, 2), whole_like(e->i32, 1)};
            intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
        }
        if (t->neighbours)
            s->rows[0] = offset_pointer(e, s->rows[0], p_k);
    }
    for (int i = 0; i < t->pointers && !t->neighbours; i++)
        s->rows[i] = offset_constant(e, s->rows[i], count * t->bytes);
    if (count > 1 && !t->beside)
        s->ahead = offset_pointer(e, s->ahead, argument(e, 9));
    if (t->copies)
        s->to = offset_constant(e, s->to, count * t->of * t->wide);
    else
        s->q = offset_constant(e, s->q, count * t->of * t->wide);
    s->left = LLVMBuildSub(e->builder, s->left, whole_like(e->i64, count), "");
}

static V merge(struct emitter *e, V before, LLVMBasicBlockRef block)
{
    V phi = LLVMBuildPhi(e->builder, LLVMTypeOf(before), "");

    LLVMAddIncoming(phi, &before, &block, 1);
    return phi;
}

/* Each of the values as one of two, of which the second is known later (merge_again). */
static struct steps merge_steps(struct emitter *e, const struct tile_shape *t, const struct steps *s,
                                LLVMBasicBlockRef from)
{
    struct steps merged;

    merged.left = merge(e, s->left, from);
    merged.q = merge(e, s->q, from);
    merged.to = merge(e, s->to, from);
    merged.ahead = merge(e, s->ahead, from);
    for (int i = 0; i < t->pointers; i++)
        merged.rows[i] = merge(e, s->rows[i], from);
    for (int i = 0; i < t->beside; i++)
        merged.beside[i] = merge(e, s->beside[i], from);
    for (int i = 0; i < t->sums; i++)
        merged.sums[i] = merge(e, s->sums[i], from);
    return merged;
}

static void merge_again(const struct tile_shape *t, const struct steps *merged, struct steps *s,
                        LLVMBasicBlockRef from)
{
    LLVMAddIncoming(merged->left, &s->left, &from, 1);
    LLVMAddIncoming(merged->q, &s->q, &from, 1);
    LLVMAddIncoming(merged->to, &s->to, &from, 1);
    LLVMAddIncoming(merged->ahead, &s->ahead, &from, 1);
    for (int i = 0; i < t->pointers; i++)
        LLVMAddIncoming(merged->rows[i], &s->rows[i], &from, 1);
    for (int i = 0; i < t->beside; i++)
        LLVMAddIncoming(merged->beside[i], &s->beside[i], &from, 1);
    for (int i = 0; i < t->sums; i++)
        LLVMAddIncoming(merged->sums[i], &s->sums[i], &from, 1);
}

/* Steps by `count` while `enough` are left. */
static void emit_steps_loop(struct emitter *e, const struct tile_shape *t, struct steps *s, int count, V enough,
                            bool asks)
{
    LLVMBasicBlockRef before = e->block, loop = block_of(e), after = block_of(e);
    struct steps first = *s, last;

    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntUGE, s->left, enough, ""), loop, after);
    LLVMPositionBuilderAtEnd(e->builder, loop);
    struct steps around = merge_steps(e, t, &first, before);
    last = around;
    emit_steps(e, t, &last, count, asks);
    merge_again(t, &around, &last, loop);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntUGE, last.left, enough, ""), loop, after);
    LLVMPositionBuilderAtEnd(e->builder, after);
    *s = merge_steps(e, t, &first, before);
    merge_again(t, s, &last, loop);
    e->block = after;
}

static void emit_tile(struct emitter *e, V function, LLVMTypeRef type, int height, int vectors, int of,
                      bool neighbours, bool copies, int beside, int rows_a_turn)
{
    int64_t bytes = type == e->f32 ? 4 : 8;
    int lanes = vector_bytes(e) / (int)bytes;
    struct tile_shape t = {.type = type, .vector = LLVMVectorType(type, (unsigned)lanes), .height = height,
                           .vectors = vectors, .of = of, .sums = height * vectors, .bytes = bytes, .wide = lanes * bytes,
                           .neighbours = neighbours, .copies = copies, .beside = beside,
                           .rows_a_turn = rows_a_turn,
                           .pointers = neighbours ? 1 : (height + ROWS_A_POINTER - 1) / ROWS_A_POINTER};
    struct steps s;

    body_open(e, function);
    s.left = argument(e, 0);
    s.q = argument(e, 3);
    s.to = argument(e, 11);
    for (int j = 0; j < vectors && copies; j++)
        t.there[j] = lanes_before(e, lanes, LLVMBuildSub(e->builder, argument(e, 13), whole_like(e->i64, j * lanes), ""));
    s.ahead = argument(e, 8);
    s.rows[0] = argument(e, 1);
    if (!neighbours)
        t.twice = hidden(e, LLVMBuildShl(e->builder, argument(e, 2), whole_like(e->i64, 1), ""));
    for (int i = 1; i < t.pointers; i++)
        s.rows[i] = offset_pointer(e, s.rows[i - 1],
                                   LLVMBuildMul(e->builder, argument(e, 2), whole_like(e->i64, ROWS_A_POINTER), ""));
    for (int i = 0; i < t.sums; i++)
        s.sums[i] = LLVMConstNull(t.vector);
    V turn = whole_like(e->i64, STEPS_A_TURN);
    if (beside) { /* so many turns, if there are so many */
        int64_t turns = (beside * height + rows_a_turn - 1) / rows_a_turn;
        V enough = LLVMBuildSub(e->builder, s.left, whole_like(e->i64, (turns - 1) * STEPS_A_TURN), "");
        V least = LLVMBuildICmp(e->builder, LLVMIntSLT, enough, turn, "");
        for (int i = 0; i < beside; i++)
            s.beside[i] = LLVMBuildLoad2(e->builder, e->pointer,
                                         offset_constant(e, s.ahead, i * (int64_t)sizeof(void *)), "");
        emit_steps_loop(e, &t, &s, STEPS_A_TURN, LLVMBuildSelect(e->builder, least, turn, enough, ""), true);
    }
    emit_steps_loop(e, &t, &s, STEPS_A_TURN, turn, false);
    emit_steps_loop(e, &t, &s, 1, whole_like(e->i64, 1), false);
    store_or_add(e, type, t.vector, &(struct goal){4, 5, 0, 6, 7, 1, height, vectors}, s.sums);
}

/* ---- a tile over windows ---- */

LLVMTypeRef window_tile_type(struct emitter *e, LLVMTypeRef type)
{
    LLVMTypeRef types[] = {e->i64, e->i64,     e->pointer, e->i64, e->i64, e->pointer, e->i64,
                           e->i64, e->pointer, e->i64,     e->i64, type,   e->pointer};

    return LLVMFunctionType(e->nothing, types, WINDOW_TILE_ARGUMENTS, false);
}

V window_tile_function(struct emitter *e, const struct tile_plan *plan, const struct window_shape *shape)
{
    const char *name =
        arena_printf(e->arena, "window_%c_%d_%d_%lld_%d_%d_%d_%d", suffix_of(e, plan->type), shape->height,
                     plan->vectors, (long long)shape->p_row, shape->taps, shape->first, shape->end, shape->lines);

    return runtime_function(e, name, window_tile_type(e, plan->type));
}

static void fetch_line(struct emitter *e, V ahead, int64_t number)
{
    V prefetch[] = {offset_constant(e, ahead, number * LINE), whole_like(e->i32, 0), whole_like(e->i32, 2),
                    whole_like(e->i32, 1)};

    intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
}

/* The products of one k. */
static void emit_window_step(struct emitter *e, const struct window_shape *w, LLVMTypeRef vector, int vectors, V p, V q,
                             V *sums)
{
    LLVMTypeRef type = LLVMGetElementType(vector);
    int64_t bytes = type == e->f32 ? 4 : 8, wide = bytes * LLVMGetVectorSize(vector);
    V bs[MOST_TAPS * MOST_VECTORS];

    for (int i = 0; i < w->taps * vectors; i++)
        bs[i] = load_vector(e, vector, offset_constant(e, q, i * wide), bytes);
    for (int i = w->first; i < w->end; i++) {
        V a = LLVMBuildLoad2(e->builder, type, offset_constant(e, p, i * w->p_row), "");
        LLVMSetAlignment(a, (unsigned)bytes);
        a = spread(e, vector, a);
        for (int t = i < w->taps ? i : w->taps - 1; t >= 0; t--)
            for (int j = 0; i - t < w->height && j < vectors; j++)
                sums[(i - t) * vectors + j] = multiply_add(e, a, bs[t * vectors + j], sums[(i - t) * vectors + j]);
    }
}

/* Two loops, segments of k; all rows from one pointer. */
static void emit_window_tile(struct emitter *e, V function, LLVMTypeRef type, int vectors, const struct window_shape *w)
{
    int lanes = vector_bytes(e) / (type == e->f32 ? 4 : 8), count = w->height * vectors;
    LLVMTypeRef vector = LLVMVectorType(type, (unsigned)lanes);
    V outer[MOST_HEIGHT * MOST_VECTORS], sums[MOST_HEIGHT * MOST_VECTORS], next[MOST_HEIGHT * MOST_VECTORS];
    V zero = LLVMConstNull(vector), one = whole_like(e->i64, 1), none = whole_like(e->i64, 0);

    body_open(e, function);
    LLVMBasicBlockRef segment = block_of(e), loop = block_of(e), ended = block_of(e), done = block_of(e);
    LLVMBasicBlockRef before = e->block, begins[] = {before, ended}, steps[] = {segment, loop};
    LLVMBuildBr(e->builder, segment);
    LLVMPositionBuilderAtEnd(e->builder, segment);
    V segments = LLVMBuildPhi(e->builder, e->i64, ""), p_segment = LLVMBuildPhi(e->builder, e->pointer, "");
    V q_segment = LLVMBuildPhi(e->builder, e->pointer, ""), ahead_segment = LLVMBuildPhi(e->builder, e->pointer, "");
    for (int i = 0; i < count; i++)
        outer[i] = LLVMBuildPhi(e->builder, vector, "");
    LLVMBuildBr(e->builder, loop);
    LLVMPositionBuilderAtEnd(e->builder, loop);
    V left = LLVMBuildPhi(e->builder, e->i64, ""), p = LLVMBuildPhi(e->builder, e->pointer, "");
    V q = LLVMBuildPhi(e->builder, e->pointer, ""), ahead = LLVMBuildPhi(e->builder, e->pointer, "");
    for (int i = 0; i < count; i++)
        next[i] = sums[i] = LLVMBuildPhi(e->builder, vector, "");
    emit_window_step(e, w, vector, vectors, p, q, next);
    for (int i = 0; i < w->lines; i++)
        fetch_line(e, ahead, i);
    V less = LLVMBuildSub(e->builder, left, one, ""), ahead_next = offset_constant(e, ahead, w->lines * LINE);
    V p_next = offset_pointer(e, p, argument(e, 3)), q_next = offset_pointer(e, q, argument(e, 6));
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntNE, less, none, ""), loop, ended);
    LLVMAddIncoming(left, (V[]){argument(e, 0), less}, steps, 2);
    LLVMAddIncoming(p, (V[]){p_segment, p_next}, steps, 2);
    LLVMAddIncoming(q, (V[]){q_segment, q_next}, steps, 2);
    LLVMAddIncoming(ahead, (V[]){ahead_segment, ahead_next}, steps, 2);
    LLVMPositionBuilderAtEnd(e->builder, ended);
    V fewer = LLVMBuildSub(e->builder, segments, one, "");
    V p_after = offset_pointer(e, p_segment, argument(e, 4)), q_after = offset_pointer(e, q_segment, argument(e, 7));
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntNE, fewer, none, ""), segment, done);
    LLVMAddIncoming(segments, (V[]){argument(e, 1), fewer}, begins, 2);
    LLVMAddIncoming(p_segment, (V[]){argument(e, 2), p_after}, begins, 2);
    LLVMAddIncoming(q_segment, (V[]){argument(e, 5), q_after}, begins, 2);
    LLVMAddIncoming(ahead_segment, (V[]){argument(e, 12), ahead_next}, begins, 2);
    for (int i = 0; i < count; i++) {
        LLVMAddIncoming(sums[i], (V[]){outer[i], next[i]}, steps, 2);
        LLVMAddIncoming(outer[i], (V[]){zero, next[i]}, begins, 2);
    }
    LLVMPositionBuilderAtEnd(e->builder, done);
    store_or_add(e, type, vector, &(struct goal){8, 9, 0, 10, 11, 1, w->height, vectors}, next);
}

/* ---- rows that are taps ---- */

LLVMTypeRef slide_type(struct emitter *e, LLVMTypeRef type)
{
    LLVMTypeRef types[] = {e->i64, e->pointer, e->i64, e->pointer, e->i64,    e->pointer,
                           e->i64, e->i64,     e->i64, type,       e->pointer};

    return LLVMFunctionType(e->nothing, types, SLIDE_ARGUMENTS, false);
}

V slide_function(struct emitter *e, const struct tile_plan *plan, const struct slide_shape *s)
{
    const char *name = arena_printf(e->arena, "slide_%c_%d_%d_%d_%d_%d_%d_%lld_%lld_%lld_%d", suffix_of(e, plan->type),
                                    s->height, plan->vectors, s->taps, s->length, s->first, s->end, (long long)s->p_row,
                                    (long long)s->p_k, (long long)s->q_k, s->lines);

    return runtime_function(e, name, slide_type(e, plan->type));
}

/* The products of a segment, straight-line. */
static void emit_places(struct emitter *e, const struct slide_shape *s, LLVMTypeRef vector, int vectors, V p, V q,
                        V ahead, V *sums)
{
    LLVMTypeRef type = LLVMGetElementType(vector);
    int64_t bytes = type == e->f32 ? 4 : 8, wide = bytes * LLVMGetVectorSize(vector);
    V bs[MOST_TAPS * MOST_VECTORS];

    for (int place = 0; place < s->end; place++) {
        hold_loads(e);
        for (int i = place * s->lines / s->end; i < (place + 1) * s->lines / s->end; i++)
            fetch_line(e, ahead, i);
        for (int j = 0; place < s->length && j < vectors; j++)
            bs[place % s->taps * vectors + j] =
                load_vector(e, vector, offset_constant(e, q, place * s->q_k + j * wide), bytes);
        for (int i = 0; place >= s->first && i < s->height; i++) {
            V a = LLVMBuildLoad2(e->builder, type, offset_constant(e, p, place * s->p_k + i * s->p_row), "");
            LLVMSetAlignment(a, (unsigned)bytes);
            a = spread(e, vector, a);
            for (int t = 0; t < s->taps; t++)
                for (int j = 0, k = place - t; k >= 0 && k < s->length && j < vectors; j++) {
                    V *sum = &sums[(t * s->height + i) * vectors + j];
                    *sum = multiply_add(e, a, bs[k % s->taps * vectors + j], *sum);
                }
        }
    }
}

static void emit_slide(struct emitter *e, V function, LLVMTypeRef type, int vectors, const struct slide_shape *s)
{
    int lanes = vector_bytes(e) / (type == e->f32 ? 4 : 8), count = s->taps * s->height * vectors;
    LLVMTypeRef vector = LLVMVectorType(type, (unsigned)lanes);
    V sums[MOST_SUMS], next[MOST_SUMS], zero = LLVMConstNull(vector), none = whole_like(e->i64, 0);

    body_open(e, function);
    LLVMBasicBlockRef loop = block_of(e), done = block_of(e), from[] = {e->block, loop};
    LLVMBuildBr(e->builder, loop);
    LLVMPositionBuilderAtEnd(e->builder, loop);
    V left = LLVMBuildPhi(e->builder, e->i64, ""), p = LLVMBuildPhi(e->builder, e->pointer, "");
    V q = LLVMBuildPhi(e->builder, e->pointer, ""), ahead = LLVMBuildPhi(e->builder, e->pointer, "");
    for (int i = 0; i < count; i++)
        next[i] = sums[i] = LLVMBuildPhi(e->builder, vector, "");
    emit_places(e, s, vector, vectors, p, q, ahead, next);
    V less = LLVMBuildSub(e->builder, left, whole_like(e->i64, 1), "");
    V p_next = offset_pointer(e, p, argument(e, 2)), q_next = offset_pointer(e, q, argument(e, 4));
    V ahead_next = offset_constant(e, ahead, s->lines * LINE);
    LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntNE, less, none, ""), loop, done);
    LLVMAddIncoming(left, (V[]){argument(e, 0), less}, from, 2);
    LLVMAddIncoming(p, (V[]){argument(e, 1), p_next}, from, 2);
    LLVMAddIncoming(q, (V[]){argument(e, 3), q_next}, from, 2);
    LLVMAddIncoming(ahead, (V[]){argument(e, 10), ahead_next}, from, 2);
    for (int i = 0; i < count; i++)
        LLVMAddIncoming(sums[i], (V[]){zero, next[i]}, from, 2);
    LLVMPositionBuilderAtEnd(e->builder, done);
    store_or_add(e, type, vector, &(struct goal){5, 6, 7, 8, 9, s->taps, s->height, vectors}, next);
}

/* ---- turning a square about ---- */

/* The rows of a whole square, joined from pieces as they are read: see join_pieces. */
static void read_whole(struct emitter *e, LLVMTypeRef type, int lanes, V *rows)
{
    int count = vector_bytes(e) / PIECE_BYTES;
    int64_t bytes = type == e->f32 ? 4 : 8;
    LLVMTypeRef piece = LLVMVectorType(type, (unsigned)(lanes / count));
    V pieces[MOST_LANES][TURN_PIECES], from = argument(e, 0);

    for (int i = 0; i < lanes; i++) {
        for (int k = 0; k < count; k++)
            pieces[i][k] = load_vector(e, piece, offset_constant(e, from, k * PIECE_BYTES), bytes);
        from = offset_pointer(e, from, argument(e, 1));
    }
    join_pieces(e, pieces, rows, lanes, count);
}

static void write_whole(struct emitter *e, int64_t bytes, int lanes, V *rows)
{
    V to = argument(e, 2);

    for (int i = 0; i < lanes; i++) {
        LLVMSetAlignment(LLVMBuildStore(e->builder, rows[i], to), (unsigned)bytes);
        to = offset_pointer(e, to, argument(e, 3));
    }
}

/* pointer + the lesser of i and last * row */
static V row_at_most(struct emitter *e, V pointer, V row, int i, V last)
{
    return offset_pointer(e, pointer, LLVMBuildMul(e->builder, lesser(e, whole_like(e->i64, i), last), row, ""));
}

/* Of a square that is not whole the last row that is there stands for those behind it; so many pieces as a vector has change
   places. */
static void read_some(struct emitter *e, LLVMTypeRef vector, int64_t bytes, int lanes, V *rows)
{
    V read = lanes_before(e, lanes, argument(e, 5)), last = LLVMBuildSub(e->builder, argument(e, 4), whole_like(e->i64, 1), "");

    for (int i = 0; i < lanes; i++)
        rows[i] = load_some(e, vector, row_at_most(e, argument(e, 0), argument(e, 1), i, last), bytes, read);
    for (int size = lanes / 2; size >= lanes / (vector_bytes(e) / PIECE_BYTES); size /= 2)
        turn_stage(e, rows, lanes, size);
}

/* Those behind the last go where it goes, before it does. */
static void write_some(struct emitter *e, LLVMTypeRef vector, int64_t bytes, int lanes, V *rows)
{
    V write = lanes_before(e, lanes, argument(e, 4)), last = LLVMBuildSub(e->builder, argument(e, 5), whole_like(e->i64, 1), "");
    LLVMTypeRef types[] = {vector, e->pointer};

    for (int i = lanes - 1; i >= 0; i--) {
        V arguments[] = {rows[i], row_at_most(e, argument(e, 2), argument(e, 3), i, last), whole_like(e->i32, bytes), write};
        intrinsic(e, "llvm.masked.store", types, 2, arguments, 4);
    }
}

static void emit_turn(struct emitter *e, V function, LLVMTypeRef type)
{
    int64_t bytes = type == e->f32 ? 4 : 8;
    int lanes = vector_bytes(e) / (int)bytes;
    LLVMTypeRef vector = LLVMVectorType(type, (unsigned)lanes);
    V rows[MOST_LANES], others[MOST_LANES], whole = whole_like(e->i64, lanes);

    body_open(e, function);
    LLVMBasicBlockRef all = block_of(e), some = block_of(e), both = block_of(e), from[] = {all, some};
    LLVMBasicBlockRef to_all = block_of(e), to_some = block_of(e);
    V is_whole = LLVMBuildAnd(e->builder, LLVMBuildICmp(e->builder, LLVMIntEQ, argument(e, 4), whole, ""),
                              LLVMBuildICmp(e->builder, LLVMIntEQ, argument(e, 5), whole, ""), "");
    LLVMBuildCondBr(e->builder, is_whole, all, some);
    LLVMPositionBuilderAtEnd(e->builder, all);
    read_whole(e, type, lanes, rows);
    LLVMBuildBr(e->builder, both);
    LLVMPositionBuilderAtEnd(e->builder, some);
    read_some(e, vector, bytes, lanes, others);
    LLVMBuildBr(e->builder, both);
    LLVMPositionBuilderAtEnd(e->builder, both);
    for (int i = 0; i < lanes; i++) {
        V values[] = {rows[i], others[i]};
        rows[i] = LLVMBuildPhi(e->builder, vector, "");
        LLVMAddIncoming(rows[i], values, from, 2);
    }
    turn_within_pieces(e, rows, lanes, lanes / (vector_bytes(e) / PIECE_BYTES));
    LLVMBuildCondBr(e->builder, is_whole, to_all, to_some);
    LLVMPositionBuilderAtEnd(e->builder, to_all);
    write_whole(e, bytes, lanes, rows);
    LLVMBuildRetVoid(e->builder);
    LLVMPositionBuilderAtEnd(e->builder, to_some);
    write_some(e, vector, bytes, lanes, rows);
    LLVMBuildRetVoid(e->builder);
}

bool emit_tile_function(struct emitter *e, const char *name)
{
    char suffix, order = 'r', rest;
    int height, vectors, of, beside, rows_a_turn;
    long long p_row, p_k, q_k;
    struct window_shape w;
    struct slide_shape slide;

    if (!strncmp(name, "split_", 6))
        return emit_split_function(e, name);
    if (!strcmp(name, "turn_s") || !strcmp(name, "turn_d")) {
        emit_turn(e, runtime_function(e, name, turn_type(e)), name[5] == 's' ? e->f32 : e->f64);
        return true;
    }
    if (sscanf(name, "window_%c_%d_%d_%lld_%d_%d_%d_%d%c", &suffix, &w.height, &vectors, &p_row, &w.taps, &w.first,
               &w.end, &w.lines, &rest) == 8 &&
        w.height <= MOST_HEIGHT && vectors <= MOST_VECTORS && w.taps <= MOST_TAPS) {
        LLVMTypeRef element = suffix == 's' ? e->f32 : e->f64;
        w.p_row = p_row;
        emit_window_tile(e, runtime_function(e, name, window_tile_type(e, element)), element, vectors, &w);
        return true;
    }
    if (sscanf(name, "slide_%c_%d_%d_%d_%d_%d_%d_%lld_%lld_%lld_%d%c", &suffix, &slide.height, &vectors, &slide.taps,
               &slide.length, &slide.first, &slide.end, &p_row, &p_k, &q_k, &slide.lines, &rest) == 11 &&
        vectors <= MOST_VECTORS && slide.taps <= MOST_TAPS && slide.taps * slide.height * vectors <= MOST_SUMS) {
        LLVMTypeRef element = suffix == 's' ? e->f32 : e->f64;
        slide.p_row = p_row;
        slide.p_k = p_k;
        slide.q_k = q_k;
        emit_slide(e, runtime_function(e, name, slide_type(e, element)), element, vectors, &slide);
        return true;
    }
    if (sscanf(name, "tile_%c_%d_%d_%d_%c_%d_%d%c", &suffix, &height, &vectors, &of, &order, &beside, &rows_a_turn,
               &rest) != 7 ||
        height > MOST_HEIGHT || vectors > MOST_VECTORS || beside > MOST_BESIDE)
        return false;
    LLVMTypeRef type = suffix == 's' ? e->f32 : e->f64;
    emit_tile(e, runtime_function(e, name, tile_type(e, type)), type, height, vectors, of, order == 'n' || order == 'N',
              order == 'N' || order == 'R', beside, rows_a_turn);
    return true;
}
