/* tile_split.c: products of f32 numbers by the machine's matrix unit (AMX: tdpbf16ps, Intel's "Architecture Instruction Set
   Extensions", chapter 3), which multiplies bf16 and adds up f32.

   A number is split in three of bf16, x = h + m + l, exactly: each has 8 of the 24 bits. Of the nine products of parts the six
   largest are added up; what is left out is below 2^-26 of the product, less than rounding it to f32 (Henry, Tang, Heinecke:
   "Leveraging the bfloat16 Artificial Intelligence Datatype for Higher-Precision Computations", 2019: "bf16x3", six products).
   Sums are f32, of 16 pairs of k at a time. Infinities, and finite numbers that round to one (from 2^128 - 2^119 on), have no
   such parts: what they reach is no number.

   A tile of the product is `height` rows by two vectors: four tiles of the unit, of which each has half of the rows, and so is as
   high as it need be (tile_rows). Copies of both operands lie as the unit loads them, for each SPLIT_K of k part by part:

       P, of a block of rows:  [group][part][half][tile_rows][SPLIT_K numbers of bf16]
       Q, of a panel:          [group][part][vector][SPLIT_K / 2 pairs of k][lanes][2]

   What lies behind the last k is 0 in both; behind the last row or column anything, which reaches nothing. */
#include <stdio.h>

#include "tile.h"

typedef LLVMValueRef V;

enum {
    PARTS = 3,
    SIDE = 16,                     /* lanes of f32, rows of a full tile of the unit, pairs of a SPLIT_K */
    TILE_BYTES = SIDE * LINE,
    Q_PART = 2 * TILE_BYTES,
    FEW_ROWS = 32,                 /* of a tile at most */
    STEPS = 6                      /* products of parts */
};

/* Which tiles of the unit hold what: sums [half][vector], then a part of P's halves, of Q's vectors. */
enum { SUMS_TILE = 0, P_TILE = 4, Q_TILE = 6, TILES = 8 };

static V intrinsic_of(struct emitter *e, const char *name, V *arguments, int count)
{
    return intrinsic(e, name, NULL, 0, arguments, count);
}

/* ---- the unit's instructions ---- */

static V tile_number(struct emitter *e, int number)
{
    return whole_like(e->i8, number);
}

static void load_tile(struct emitter *e, int number, V from)
{
    V arguments[] = {tile_number(e, number), from, count_of(e, LINE)};

    intrinsic_of(e, "llvm.x86.tileloadd64", arguments, 3);
}

static void multiply_tiles(struct emitter *e, int half, int vector)
{
    V arguments[] = {tile_number(e, SUMS_TILE + 2 * half + vector), tile_number(e, P_TILE + half),
                     tile_number(e, Q_TILE + vector)};

    intrinsic_of(e, "llvm.x86.tdpbf16ps", arguments, 3);
}

void open_matrix_unit(struct emitter *e, const struct tile_plan *plan)
{
    enum { PALETTE = 0, BYTES_A_ROW = 16, ROWS = 48, WORDS = 8 };
    V room = stack_room(e, e->i64, WORDS);
    uint64_t words[WORDS] = {0};
    unsigned char *bytes = (unsigned char *)words;

    bytes[PALETTE] = 1;
    for (int i = 0; i < TILES; i++) {
        bytes[BYTES_A_ROW + 2 * i] = LINE;
        bytes[ROWS + i] = (unsigned char)(i < Q_TILE ? plan->tile_rows : SIDE);
    }
    for (int i = 0; i < WORDS; i++)
        LLVMBuildStore(e->builder, whole_like(e->i64, (int64_t)words[i]), offset_constant(e, room, i * 8));
    intrinsic_of(e, "llvm.x86.ldtilecfg", &room, 1);
}

void close_matrix_unit(struct emitter *e)
{
    intrinsic_of(e, "llvm.x86.tilerelease", NULL, 0);
}

/* ---- a tile ---- */

V split_tile_function(struct emitter *e, const struct tile_plan *plan, int height, int vectors)
{
    int beside = plan->by_tiles ? plan->beside.count : 0;
    const char *name = arena_printf(e->arena, "split_tile_%d_%d_%d_%d_%d_%d_%d_%d", height, plan->tile_rows, vectors, beside,
                                    beside ? plan->rows_a_turn : 0, plan->c_rows, plan->c_lines, plan->p_lines);

    return runtime_function(e, name, tile_type(e, e->f32));
}

struct split_tile {
    int height, rows, vectors, beside, rows_a_group, c_rows, c_lines, p_lines;
};

static void ask_for(struct emitter *e, V line, bool written)
{
    V prefetch[] = {line, whole_like(e->i32, written), whole_like(e->i32, written ? 3 : 2), whole_like(e->i32, 1)};

    intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
}

/* What a group of k asks for, number by number: lines of P's next block, of rows of C's next tile, of rows of what is beside a later
   one. */
struct asked {
    V p, c, beside[MOST_BESIDE]; /* the first ones */
    int p_lines, c_lines, count; /* p_lines, c_lines: where those of P and of C end */
};

static V rows_on(struct emitter *e, V from, V row, V rows)
{
    return offset_pointer(e, from, LLVMBuildMul(e->builder, rows, row, ""));
}

static struct asked asked_by_group(struct emitter *e, const struct split_tile *t, V group, V *addresses)
{
    struct asked asked = {.p_lines = t->p_lines, .c_lines = t->p_lines + t->c_rows * t->c_lines};

    asked.count = asked.c_lines + t->rows_a_group * t->beside * t->vectors;
    asked.p = further(e, argument(e, 11), group, t->p_lines * LINE);
    asked.c = rows_on(e, offset_constant(e, argument(e, 4), t->vectors * LINE), argument(e, 5), times(e, group, t->c_rows));
    for (int i = 0; i < t->beside; i++)
        asked.beside[i] = rows_on(e, addresses[i], argument(e, 9), times(e, group, t->rows_a_group));
    return asked;
}

static void ask_number(struct emitter *e, const struct split_tile *t, const struct asked *asked, int number)
{
    if (number < asked->p_lines) {
        ask_for(e, offset_constant(e, asked->p, number * LINE), false);
    } else if (number < asked->c_lines) {
        int row = (number - asked->p_lines) / t->c_lines, line = (number - asked->p_lines) % t->c_lines;
        ask_for(e, offset_constant(e, rows_on(e, asked->c, argument(e, 5), count_of(e, row)), line * LINE), true);
    } else {
        int here = number - asked->c_lines, vector = here % t->vectors, place = here / t->vectors % t->beside;
        V from = rows_on(e, asked->beside[place], argument(e, 9), count_of(e, here / t->vectors / t->beside));
        ask_for(e, offset_constant(e, from, (vector + 1) * LINE - 1), true);
    }
}

/* The products of parts (of P, of Q): the largest last, so that a short sum is rounded as a multiply-add is; and one of both stays from
   one to the next. */
static const int products[STEPS][2] = {{2, 0}, {1, 0}, {1, 1}, {0, 1}, {0, 2}, {0, 0}};

static void emit_group_of_k(struct emitter *e, const struct split_tile *t, V p, V q, const struct asked *asked)
{
    int done = 0, all = STEPS * 2 * t->vectors, next = 0;
    int p_part = -1, q_part = -1;

    for (int s = 0; s < STEPS; s++) {
        bool p_new = products[s][0] != p_part, q_new = products[s][1] != q_part;
        bool q_is_here[2] = {!q_new, !q_new};

        p_part = products[s][0];
        q_part = products[s][1];
        for (int half = 0; half < 2; half++) {
            if (p_new)
                load_tile(e, P_TILE + half, offset_constant(e, p, (p_part * 2 + half) * t->rows * LINE));
            for (int vector = 0; vector < t->vectors; vector++) {
                if (!q_is_here[vector])
                    load_tile(e, Q_TILE + vector, offset_constant(e, q, q_part * Q_PART + vector * TILE_BYTES));
                q_is_here[vector] = true;
                multiply_tiles(e, half, vector);
                for (done++; next < asked->count * done / all; next++)
                    ask_number(e, t, asked, next);
            }
        }
    }
}

static V load_sums(struct emitter *e, V from)
{
    V v = LLVMBuildLoad2(e->builder, LLVMVectorType(e->f32, SIDE), from, "");

    LLVMSetAlignment(v, LINE);
    return v;
}

/* The block's sums to C, or added to it. */
static void bring_sums(struct emitter *e, const struct split_tile *t, V sums, V scale, bool add)
{
    V row = loop_open(e, count_of(e, 0), count_of(e, t->height), 1);
    V from = further(e, sums, row, 2 * LINE);
    V to = offset_pointer(e, argument(e, 4), LLVMBuildMul(e->builder, row, argument(e, 5), ""));

    for (int i = 0; i < t->vectors; i++) {
        V at = offset_constant(e, to, i * LINE), sum = load_sums(e, offset_constant(e, from, i * LINE));
        if (add) {
            V before = LLVMBuildLoad2(e->builder, LLVMTypeOf(sum), at, "");
            LLVMSetAlignment(before, 4);
            sum = call_fma(e, sum, scale, before);
        } else {
            sum = LLVMBuildFMul(e->builder, sum, scale, "");
        }
        LLVMSetAlignment(LLVMBuildStore(e->builder, sum, at), 4);
    }
    loop_close(e);
    at_level(e, e->depth);
}

static void emit_split_tile(struct emitter *e, V function, const struct split_tile *t)
{
    V addresses[MOST_BESIDE], zero = count_of(e, 0);

    body_open(e, function);
    V sums = stack_room(e, e->i8, 2 * t->rows * 2 * LINE);
    for (int i = 0; i < t->beside; i++)
        addresses[i] = LLVMBuildLoad2(e->builder, e->pointer,
                                      offset_constant(e, argument(e, 8), i * (int64_t)sizeof(void *)), "");
    V groups = LLVMBuildLShr(e->builder, plus(e, argument(e, 0), count_of(e, SPLIT_K - 1)), count_of(e, 5), "");
    for (int half = 0; half < 2; half++)
        for (int vector = 0; vector < t->vectors; vector++) {
            V number = tile_number(e, SUMS_TILE + 2 * half + vector);
            intrinsic_of(e, "llvm.x86.tilezero", &number, 1);
        }
    V group = loop_open(e, zero, groups, 1);
    struct asked asked = asked_by_group(e, t, group, addresses);
    emit_group_of_k(e, t, further(e, argument(e, 1), group, PARTS * 2 * t->rows * LINE),
                    further(e, argument(e, 3), group, PARTS * Q_PART), &asked);
    loop_close(e);
    at_level(e, e->depth);
    for (int half = 0; half < 2; half++)
        for (int vector = 0; vector < t->vectors; vector++) {
            V arguments[] = {tile_number(e, SUMS_TILE + 2 * half + vector),
                             offset_constant(e, sums, half * t->rows * 2 * LINE + vector * LINE), count_of(e, 2 * LINE)};
            intrinsic_of(e, "llvm.x86.tilestored64", arguments, 3);
        }
    V scale = spread(e, LLVMVectorType(e->f32, SIDE), argument(e, 7)), add = LLVMBuildICmp(e->builder, LLVMIntNE, argument(e, 6), zero, "");
    if_open(e, add);
    bring_sums(e, t, sums, scale, true);
    if_close(e);
    if_open(e, LLVMBuildNot(e->builder, add, ""));
    bring_sums(e, t, sums, scale, false);
    if_close(e);
    function_close(e);
}

/* ---- copies ---- */

/* x as three numbers of bf16, each in the upper half of its lane. The first two are rounded half away from zero; what is then
   left has 8 bits. */
static void split_vector(struct emitter *e, V x, V *parts)
{
    LLVMTypeRef real = LLVMVectorType(e->f32, SIDE), whole = LLVMVectorType(e->i32, SIDE);

    for (int i = 0; i < PARTS; i++) {
        parts[i] = LLVMBuildBitCast(e->builder, x, whole, "");
        if (i + 1 < PARTS)
            parts[i] = LLVMBuildAdd(e->builder, parts[i], whole_like(whole, 0x8000), "");
        parts[i] = LLVMBuildAnd(e->builder, parts[i], whole_like(whole, (int64_t)0xffff0000), "");
        if (i + 1 < PARTS)
            x = LLVMBuildFSub(e->builder, x, LLVMBuildBitCast(e->builder, parts[i], real, ""), "");
    }
}

/* mask: NULL: all of them. */
static V load_lanes(struct emitter *e, V from, V mask)
{
    LLVMTypeRef vector = LLVMVectorType(e->f32, SIDE);

    if (mask)
        return load_some(e, vector, from, 4, mask);
    V v = LLVMBuildLoad2(e->builder, vector, from, "");
    LLVMSetAlignment(v, 4);
    return v;
}

static void store_line(struct emitter *e, V line, V to)
{
    LLVMSetAlignment(LLVMBuildStore(e->builder, line, to), LINE);
}

/* void strip(from, distance, to, part, count, depth, panel): a strip of an operand for all groups of depth. rows: its k lie side
   by side, `count` rows of them `distance` apart, at most SIDE; else at each k, `distance` apart, `count` numbers lie side by side:
   panels of `vectors`, whose copies are `panel` bytes apart. turned (of one vector): what is made of them, [row][pairs of k] or
   [pair of k][numbers], is turned about. Parts lie `part` bytes apart, groups behind each other. */
struct strip {
    bool rows, turned;
    int vectors;
};
enum { STRIP_ARGUMENTS = 7 };

static LLVMTypeRef strip_type(struct emitter *e)
{
    LLVMTypeRef types[] = {e->pointer, e->i64, e->pointer, e->i64, e->i64, e->i64, e->i64};

    return LLVMFunctionType(e->nothing, types, STRIP_ARGUMENTS, false);
}

static void call_strip(struct emitter *e, const struct strip *strip, V from, V distance, V to, V part, V count, V depth, V panel)
{
    const char *name = arena_printf(e->arena, "split_%c%c_%d", strip->rows ? 'r' : 'n', strip->turned ? 't' : 's', strip->vectors);
    V arguments[] = {from, distance, to, part, count, depth, panel};

    LLVMBuildCall2(e->builder, strip_type(e), runtime_function(e, name, strip_type(e)), arguments, STRIP_ARGUMENTS, "");
}

/* Rows: a line of each part holds a row's k. */
static void emit_rows_of_group(struct emitter *e, V from, V to, V part, V left)
{
    V first = lanes_before(e, SIDE, left), second = lanes_before(e, SIDE, LLVMBuildSub(e->builder, left, count_of(e, SIDE), ""));
    V odd[2 * SIDE];

    for (int i = 0; i < 2 * SIDE; i++)
        odd[i] = whole_like(e->i32, 2 * i + 1);
    V row = loop_open(e, count_of(e, 0), argument(e, 4), 1);
    V here = offset_pointer(e, from, LLVMBuildMul(e->builder, row, argument(e, 1), "")), low[PARTS], high[PARTS];
    V there = further(e, to, row, LINE);

    split_vector(e, load_lanes(e, here, first), low);
    split_vector(e, load_lanes(e, offset_constant(e, here, LINE), second), high);
    for (int i = 0; i < PARTS; i++) {
        LLVMTypeRef halves = LLVMVectorType(e->i16, 2 * SIDE);
        V line = LLVMBuildShuffleVector(e->builder, LLVMBuildBitCast(e->builder, low[i], halves, ""),
                                        LLVMBuildBitCast(e->builder, high[i], halves, ""), LLVMConstVector(odd, 2 * SIDE), "");
        store_line(e, line, i ? offset_pointer(e, there, times(e, part, i)) : there);
    }
    loop_close(e);
    at_level(e, e->depth);
}

/* A panel at two k, even and odd, that is there where their masks say so. */
static void emit_pair(struct emitter *e, int vectors, V even, V odd, V *even_masks, V *odd_masks, V to, V part)
{
    LLVMTypeRef whole = LLVMVectorType(e->i32, SIDE);

    for (int j = 0; j < vectors; j++) {
        V low[PARTS], high[PARTS], at = offset_constant(e, to, j * TILE_BYTES);
        split_vector(e, load_lanes(e, offset_constant(e, even, j * LINE), even_masks ? even_masks[j] : NULL), low);
        split_vector(e, load_lanes(e, offset_constant(e, odd, j * LINE), odd_masks ? odd_masks[j] : NULL), high);
        for (int i = 0; i < PARTS; i++) {
            V line = LLVMBuildOr(e->builder, LLVMBuildLShr(e->builder, low[i], whole_like(whole, 16), ""), high[i], "");
            store_line(e, line, i ? offset_pointer(e, at, times(e, part, i)) : at);
        }
    }
}

/* Where there is a k behind the last one its numbers are 0: no lane of it is read. */
static V only_if(struct emitter *e, V k, V left, V mask)
{
    V none = LLVMConstNull(LLVMTypeOf(mask));

    return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, k, left, ""), mask, none, "");
}

/* Neighbours: a line of each part holds the numbers of two k; all panels at these before the next, for they are what lies side by
   side. masks: of the last panel, if it is not full. left: NULL, or so many k are there. */
static void emit_pairs_of_group(struct emitter *e, int vectors, V *masks, V from, V to, V part, V left)
{
    int64_t width = vectors * SIDE;
    V pair = loop_open(e, count_of(e, 0), count_of(e, SIDE), 1);
    V k = times(e, pair, 2), even = offset_pointer(e, from, LLVMBuildMul(e->builder, k, argument(e, 1), ""));
    V there = further(e, to, pair, LINE), odd = offset_pointer(e, even, argument(e, 1));
    V full = LLVMBuildUDiv(e->builder, argument(e, 4), count_of(e, width), "");
    V even_masks[2], odd_masks[2], all = LLVMConstAllOnes(LLVMVectorType(e->i1, SIDE));

    if (left)
        for (int j = 0; j < vectors; j++) {
            even_masks[j] = only_if(e, k, left, all);
            odd_masks[j] = only_if(e, plus(e, k, count_of(e, 1)), left, all);
        }
    V panel = loop_open(e, count_of(e, 0), full, 1);
    V goal = offset_pointer(e, there, LLVMBuildMul(e->builder, panel, argument(e, 6), ""));
    emit_pair(e, vectors, further(e, even, panel, width * 4), further(e, odd, panel, width * 4), left ? even_masks : NULL,
              left ? odd_masks : NULL, goal, part);
    loop_close(e);
    at_level(e, e->depth);
    if_open(e, LLVMBuildICmp(e->builder, LLVMIntSLT, times(e, full, width), argument(e, 4), ""));
    for (int j = 0; j < vectors; j++) {
        even_masks[j] = left ? only_if(e, k, left, masks[j]) : masks[j];
        odd_masks[j] = left ? only_if(e, plus(e, k, count_of(e, 1)), left, masks[j]) : masks[j];
    }
    goal = offset_pointer(e, there, LLVMBuildMul(e->builder, full, argument(e, 6), ""));
    emit_pair(e, vectors, further(e, even, full, width * 4), further(e, odd, full, width * 4), even_masks, odd_masks, goal, part);
    if_close(e);
    loop_close(e);
    at_level(e, e->depth);
}

/* Squares of pairs that lie one behind the other, to where they belong. */
static void turn_squares(struct emitter *e, const struct strip *strip, V from, V to)
{
    V rows = count_of(e, SIDE), columns = strip->rows ? rows : argument(e, 4);

    for (int i = 0; i < PARTS; i++)
        call_turn(e, e->f32, offset_constant(e, from, i * TILE_BYTES), count_of(e, LINE),
                     i ? offset_pointer(e, to, times(e, argument(e, 3), i)) : to, count_of(e, LINE), rows, columns);
}

static void emit_strip_group(struct emitter *e, const struct strip *strip, V *masks, V room, V group, V left)
{
    V from = strip->rows ? further(e, argument(e, 0), group, 2 * LINE)
                         : offset_pointer(e, argument(e, 0), LLVMBuildMul(e->builder, times(e, group, SPLIT_K), argument(e, 1), ""));
    V to = offset_pointer(e, argument(e, 2), LLVMBuildMul(e->builder, times(e, group, PARTS), argument(e, 3), ""));
    V goal = strip->turned ? room : to, part = strip->turned ? count_of(e, TILE_BYTES) : argument(e, 3);

    if (strip->rows)
        emit_rows_of_group(e, from, goal, part, left ? left : count_of(e, SPLIT_K));
    else
        emit_pairs_of_group(e, strip->vectors, masks, from, goal, part, left);
    if (strip->turned)
        turn_squares(e, strip, room, to);
}

static void emit_strip(struct emitter *e, V function, const struct strip *strip)
{
    V masks[2], room = NULL;

    body_open(e, function);
    if (strip->turned)
        room = stack_room(e, e->i8, PARTS * TILE_BYTES);
    V last = LLVMBuildURem(e->builder, argument(e, 4), count_of(e, strip->vectors * SIDE), "");
    for (int i = 0; i < strip->vectors && !strip->rows; i++)
        masks[i] = lanes_before(e, SIDE, LLVMBuildSub(e->builder, last, count_of(e, i * SIDE), ""));
    V depth = argument(e, 5), whole = LLVMBuildLShr(e->builder, depth, count_of(e, 5), "");
    V group = loop_open(e, count_of(e, 0), whole, 1);
    emit_strip_group(e, strip, masks, room, group, NULL);
    loop_close(e);
    at_level(e, e->depth);
    V left = LLVMBuildAnd(e->builder, depth, count_of(e, SPLIT_K - 1), "");
    if_open(e, LLVMBuildICmp(e->builder, LLVMIntNE, left, count_of(e, 0), ""));
    emit_strip_group(e, strip, masks, room, whole, left);
    if_close(e);
    function_close(e);
}

/* ---- what is copied ---- */

int64_t split_block_bytes(const struct tile_plan *plan)
{
    return plan->copy_depth / SPLIT_K * PARTS * 2 * plan->tile_rows * LINE;
}

/* Panels first_panel .. end_panel - 1 of Q, whose copies are `step` bytes apart. */
void emit_split_panels(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V depth, V first_panel, V end_panel,
                       int64_t step)
{
    struct strip strip = {.rows = plan->q.k == plan->bytes, .turned = plan->q.k == plan->bytes, .vectors = plan->vectors};
    int64_t width = plan->vectors * plan->lanes;
    V column = times(e, first_panel, width), end = lesser(e, times(e, end_panel, width), count_of(e, plan->columns));
    V count = LLVMBuildNSWSub(e->builder, end, column, ""), part = count_of(e, Q_PART);
    V source = further(e, further(e, from, column, plan->q.outer), first, plan->q.k);

    if (!strip.rows) {
        call_strip(e, &strip, source, count_of(e, plan->q.k), to, part, count, depth, count_of(e, step));
        return;
    }
    strip.vectors = 1;
    V here = loop_open(e, count_of(e, 0), count, SIDE), left = LLVMBuildNSWSub(e->builder, count, here, "");
    V panel = LLVMBuildUDiv(e->builder, here, count_of(e, width), ""), within = LLVMBuildURem(e->builder, here, count_of(e, width), "");
    call_strip(e, &strip, further(e, source, here, plan->q.outer), count_of(e, plan->q.outer),
               further(e, further(e, to, panel, step), within, TILE_BYTES / SIDE), part, lesser(e, left, count_of(e, SIDE)), depth,
               count_of(e, 0));
    loop_close(e);
    at_level(e, e->depth);
}

void emit_split_q(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V end)
{
    emit_split_panels(e, plan, from, further(e, to, first, plan->copy_k), first, LLVMBuildNSWSub(e->builder, end, first, ""),
                      count_of(e, 0), count_of(e, plan->panels), plan->copy_depth * plan->copy_k);
}

void emit_split_p(struct emitter *e, const struct tile_plan *plan, V from, V to, V first, V end)
{
    struct strip strip = {.rows = copied_by_rows(plan), .turned = !copied_by_rows(plan), .vectors = 1};
    int64_t distance = strip.rows ? plan->p.outer : plan->p.k;
    V rows = count_of(e, plan->tile_rows), one = count_of(e, 1);
    V block = loop_open(e, count_of(e, 0), count_of(e, plan->blocks), 1);
    V row = first_row(e, plan, block), behind = first_row(e, plan, plus(e, block, one));
    V half = loop_open(e, count_of(e, 0), count_of(e, 2), 1);
    V here = plus(e, row, times(e, half, plan->tile_rows));
    V count = lesser(e, LLVMBuildNSWSub(e->builder, behind, here, ""), rows);
    V source = further(e, further(e, from, here, plan->p.outer), first, plan->p.k);
    V goal = further(e, further(e, to, block, split_block_bytes(plan)), half, plan->tile_rows * LINE);

    goal = further(e, goal, first, PARTS * 2 * plan->tile_rows * LINE / SPLIT_K);
    call_strip(e, &strip, source, count_of(e, distance), goal, count_of(e, 2 * plan->tile_rows * LINE), count,
               LLVMBuildNSWSub(e->builder, end, first, ""), count_of(e, 0));
    loop_close(e);
    loop_close(e);
    at_level(e, e->depth);
}

/* ---- functions by their names ---- */

bool emit_split_function(struct emitter *e, const char *name)
{
    struct split_tile t;
    struct strip strip;
    char order, turned, rest;

    if (sscanf(name, "split_tile_%d_%d_%d_%d_%d_%d_%d_%d%c", &t.height, &t.rows, &t.vectors, &t.beside, &t.rows_a_group,
               &t.c_rows, &t.c_lines, &t.p_lines, &rest) == 8 &&
        t.height <= FEW_ROWS && t.vectors <= 2 && t.beside <= MOST_BESIDE) {
        emit_split_tile(e, runtime_function(e, name, tile_type(e, e->f32)), &t);
        return true;
    }
    if (sscanf(name, "split_%c%c_%d%c", &order, &turned, &strip.vectors, &rest) != 3 || strip.vectors > 2)
        return false;
    strip.rows = order == 'r';
    strip.turned = turned == 't';
    emit_strip(e, runtime_function(e, name, strip_type(e)), &strip);
    return true;
}
