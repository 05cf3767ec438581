/* philox_emit.c: draws as code: the functions of runtime/philox.h, operation by operation, so that every bit is the
   same.

   Along a vector loop the numbers are made beforehand, sixteen blocks of Philox at a time, into a row that the loop
   then loads: all four output words of a block are used. Where a draw is read in another way, each lane works out its
   own block and takes the one number that it wants. Either is a function of the module, one for each kind of draw that
   is wanted. */
#include <string.h>

#include "emit.h"
#include "philox.h"

typedef LLVMValueRef V;

static V wide2(struct emitter *e, V (*build)(LLVMBuilderRef, V, V, const char *), V a, V b)
{
    bool vector = is_vector(a) || is_vector(b);
    return build(e->builder, widen(e, a, vector), widen(e, b, vector), "");
}

static V shift_right(struct emitter *e, V v, int bits)
{
    return LLVMBuildLShr(e->builder, v, whole_like(LLVMTypeOf(v), bits), "");
}

static V shift_left(struct emitter *e, V v, int bits)
{
    return LLVMBuildShl(e->builder, v, whole_like(LLVMTypeOf(v), bits), "");
}

static V mask_with(struct emitter *e, V v, int64_t mask)
{
    return LLVMBuildAnd(e->builder, v, whole_like(LLVMTypeOf(v), mask), "");
}

/* ---- bits ---- */

static void philox_round(struct emitter *e, V c[4], V k0, V k1)
{
    V low0 = mask_with(e, c[0], 0xFFFFFFFF), low2 = mask_with(e, c[2], 0xFFFFFFFF);
    V product0 = LLVMBuildMul(e->builder, low0, whole_like(LLVMTypeOf(low0), RNET_PHILOX_M0), "");
    V product1 = LLVMBuildMul(e->builder, low2, whole_like(LLVMTypeOf(low2), RNET_PHILOX_M1), "");

    c[0] = wide2(e, LLVMBuildXor, wide2(e, LLVMBuildXor, shift_right(e, product1, 32), c[1]), k0);
    c[1] = product1;
    c[2] = wide2(e, LLVMBuildXor, wide2(e, LLVMBuildXor, shift_right(e, product0, 32), c[3]), k1);
    c[3] = product0;
}

/* Counter words (all as wide as word 0) and key in i64, of which the low half counts; words[0 .. 3] in i32. On 64-bit
   lanes the multiplication is one instruction and what stands in the upper half never matters. A loop of rounds, two at
   a time: as fast as all of them in a row, and a fifth of the code. */
static void philox(struct emitter *e, V counter[4], V key, V words[4])
{
    LLVMTypeRef wide = LLVMTypeOf(counter[0]);
    V at[4], keys[2], c[4], k[2];

    for (int i = 0; i < 4; i++)
        at[i] = stack_room(e, wide, 1);
    for (int i = 0; i < 2; i++)
        keys[i] = stack_room(e, e->i64, 1);
    for (int i = 0; i < 4; i++)
        LLVMBuildStore(e->builder, widen(e, counter[i], is_vector(counter[0])), at[i]);
    LLVMBuildStore(e->builder, mask_with(e, key, 0xFFFFFFFF), keys[0]);
    LLVMBuildStore(e->builder, shift_right(e, key, 32), keys[1]);
    loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, RNET_PHILOX_ROUNDS), 2);
    for (int i = 0; i < 4; i++)
        c[i] = LLVMBuildLoad2(e->builder, wide, at[i], "");
    for (int i = 0; i < 2; i++)
        k[i] = LLVMBuildLoad2(e->builder, e->i64, keys[i], "");
    for (int round = 0; round < 2; round++) {
        philox_round(e, c, k[0], k[1]);
        k[0] = LLVMBuildAdd(e->builder, k[0], whole_like(e->i64, RNET_PHILOX_W0), "");
        k[1] = LLVMBuildAdd(e->builder, k[1], whole_like(e->i64, RNET_PHILOX_W1), "");
    }
    for (int i = 0; i < 4; i++)
        LLVMBuildStore(e->builder, c[i], at[i]);
    for (int i = 0; i < 2; i++)
        LLVMBuildStore(e->builder, k[i], keys[i]);
    loop_close(e);
    for (int i = 0; i < 4; i++)
        words[i] =
            LLVMBuildTrunc(e->builder, LLVMBuildLoad2(e->builder, wide, at[i], ""), as_wide(e->i32, counter[0]), "");
}

/* ---- numbers: philox.h ---- */

static V to_f32(struct emitter *e, V whole)
{
    return LLVMBuildSIToFP(e->builder, whole, as_wide(e->f32, whole), "");
}

static V times(struct emitter *e, V x, double by)
{
    return LLVMBuildFMul(e->builder, x, number_like(LLVMTypeOf(x), by), "");
}

static V uniform16(struct emitter *e, V half)
{
    return times(e, to_f32(e, half), 0x1p-16);
}

static V uniform32(struct emitter *e, V word)
{
    return times(e, to_f32(e, shift_right(e, word, 8)), 0x1p-24);
}

static V horner(struct emitter *e, const float *coefficients, int count, V x)
{
    V sum = number_like(LLVMTypeOf(x), (double)coefficients[count - 1]);

    for (int i = count - 2; i >= 0; i--)
        sum = LLVMBuildFAdd(e->builder, LLVMBuildFMul(e->builder, sum, x, ""),
                            number_like(LLVMTypeOf(x), (double)coefficients[i]), "");
    return sum;
}

/* rnet_normal_pair */
static void normal_pair(struct emitter *e, V a, V b, V out[2])
{
    static const float logs[] = {RNET_LOG_0, RNET_LOG_1, RNET_LOG_2, RNET_LOG_3,
                                 RNET_LOG_4, RNET_LOG_5, RNET_LOG_6, RNET_LOG_7};
    static const float sines[] = {RNET_SIN_0, RNET_SIN_1, RNET_SIN_2, RNET_SIN_3};
    static const float cosines[] = {RNET_COS_0, RNET_COS_1, RNET_COS_2};
    LLVMBuilderRef build = e->builder;
    LLVMTypeRef whole = LLVMTypeOf(a), real = as_wide(e->f32, a);

    V u1 = times(e, to_f32(e, LLVMBuildAdd(build, shift_right(e, a, 8), whole_like(whole, 1), "")), 0x1p-24);
    V offset = LLVMBuildSub(build, LLVMBuildBitCast(build, u1, whole, ""), whole_like(whole, RNET_SQRT_HALF), "");
    V exponent = LLVMBuildAShr(build, offset, whole_like(whole, 23), "");
    V mantissa = LLVMBuildAdd(build, mask_with(e, offset, RNET_MANTISSA), whole_like(whole, RNET_SQRT_HALF), "");
    V f = LLVMBuildFSub(build, LLVMBuildBitCast(build, mantissa, real, ""), number_like(real, 1), "");
    V p = horner(e, logs, 8, f);
    V log_m = LLVMBuildFAdd(build, f, LLVMBuildFMul(build, LLVMBuildFMul(build, f, f, ""), p, ""), "");
    V whole_part = times(e, to_f32(e, LLVMBuildNeg(build, exponent, "")), (double)(float)RNET_TWO_LOG2);
    V square = LLVMBuildFSub(build, whole_part, times(e, log_m, 2), "");
    V radius = math_sqrt(e, square);

    V k = shift_right(e, b, 8);
    V quadrant = shift_right(e, LLVMBuildAdd(build, k, whole_like(whole, 0x200000), ""), 22);
    V x = times(e, to_f32(e, LLVMBuildSub(build, k, shift_left(e, quadrant, 22), "")), 0x1p-22);
    V z = LLVMBuildFMul(build, x, x, "");
    V s = LLVMBuildFMul(build, horner(e, sines, 4, z), x, "");
    V c = LLVMBuildFAdd(build, LLVMBuildFMul(build, horner(e, cosines, 3, z), z, ""), number_like(real, 1), "");

    V odd = LLVMBuildICmp(build, LLVMIntNE, mask_with(e, quadrant, 1), LLVMConstNull(whole), "");
    V cosine = LLVMBuildBitCast(build, LLVMBuildSelect(build, odd, s, c, ""), whole, "");
    V sine = LLVMBuildBitCast(build, LLVMBuildSelect(build, odd, c, s, ""), whole, "");
    V cosine_sign = shift_left(e, mask_with(e, LLVMBuildAdd(build, quadrant, whole_like(whole, 1), ""), 2), 30);
    V sine_sign = shift_left(e, mask_with(e, quadrant, 2), 30);
    out[0] = LLVMBuildFMul(build, radius,
                           LLVMBuildBitCast(build, LLVMBuildXor(build, cosine, cosine_sign, ""), real, ""), "");
    out[1] =
        LLVMBuildFMul(build, radius, LLVMBuildBitCast(build, LLVMBuildXor(build, sine, sine_sign, ""), real, ""), "");
}

/* ---- which numbers ---- */

struct draw_forms draw_forms(struct emitter *e, const struct ir_expr *read)
{
    const struct ir_tensor *t = read->tensor;
    bool sampled = (t->scope == IR_PER_SAMPLE || t->scope == IR_PER_ITEM) && t->rank && t->axes[0]->batch;
    int64_t *strides = NEW_ARRAY(e->arena, int64_t, t->rank + 1);
    int first = sampled ? 1 : 0, elements = first + t->mapped;
    struct draw_forms forms = {0};
    int64_t stride = 1;

    for (int i = t->rank - 1; i >= elements; i--, stride *= t->axes[i + 1]->extent)
        strides[i] = stride;
    forms.element = linear_form(e, t, read->subscripts, strides);
    memset(strides, 0, sizeof *strides * (size_t)t->rank);
    stride = 1;
    for (int i = elements - 1; i >= first; i--, stride *= t->axes[i + 1]->extent)
        strides[i] = stride;
    forms.mapped = linear_form(e, t, read->subscripts, strides);
    forms.sample = sampled ? read->subscripts[0] : NULL;
    return forms;
}

/* What the counter and key are but for the block; level: where all of it is at hand. */
struct counter {
    V words[4], key; /* i64 */
    int level;
};

static struct value form_value(struct emitter *e, const struct ir_form *form, int *level)
{
    struct value v = emit_form(e, form);

    if (v.level > *level)
        *level = v.level;
    return v;
}

static struct counter emit_counter(struct emitter *e, const struct ir_tensor *t, const struct draw_forms *forms)
{
    struct counter counter = {.level = 0};
    struct value mapped = form_value(e, forms->mapped, &counter.level), sample = {0};

    if (forms->sample)
        sample = form_value(e, forms->sample, &counter.level);
    at_level(e, 0);
    counter.key = LLVMBuildLoad2(e->builder, e->i64, tensor_base(e, t), "");
    at_level(e, counter.level);
    V position = whole_like(e->i64, 0);
    if (t->scope == IR_PER_SAMPLE || t->scope == IR_PER_ITEM)
        position = forms->sample ? wide2(e, LLVMBuildAdd, first_position(e), to_whole(e, sample, e->i64).at) : first_position(e);
    else if (t->scope == IR_PER_STEP)
        position = step_number(e);
    counter.words[1] = to_whole(e, mapped, e->i64).at;
    counter.words[2] = mask_with(e, position, 0xFFFFFFFF);
    counter.words[3] = shift_right(e, position, 32);
    return counter;
}

/* ---- one number a lane ---- */

static V choose_word(struct emitter *e, V number, V *words, int count)
{
    V chosen = words[0];

    for (int i = 1; i < count; i++) {
        V here = LLVMBuildICmp(e->builder, LLVMIntEQ, number, whole_like(LLVMTypeOf(number), i), "");
        chosen = LLVMBuildSelect(e->builder, here, words[i], chosen, "");
    }
    return chosen;
}

static const char *const lane_names[2][3] = {
    {[IR_UNIFORM16] = "one_uniform16", [IR_UNIFORM32] = "one_uniform32", [IR_NORMAL] = "one_normal"},
    {[IR_UNIFORM16] = "lanes_uniform16", [IR_UNIFORM32] = "lanes_uniform32", [IR_NORMAL] = "lanes_normal"}};

/* number(element, counter words 1 to 3, key), of one lane or of all. */
static LLVMTypeRef lane_type(struct emitter *e, bool vector)
{
    LLVMTypeRef wide = vector ? vector_of(e, e->i64) : e->i64;
    LLVMTypeRef types[] = {vector ? vector_of(e, e->i32) : e->i32, wide, wide, wide, e->i64};
    return LLVMFunctionType(vector ? vector_of(e, e->f32) : e->f32, types, 5, false);
}

static void emit_lane(struct emitter *e, enum ir_draw draw, V function)
{
    V element = LLVMGetParam(function, 0), words[4], result;
    V counter[4] = {NULL, LLVMGetParam(function, 1), LLVMGetParam(function, 2), LLVMGetParam(function, 3)};
    bool half = draw == IR_UNIFORM16;

    body_open(e, function);
    V block =
        LLVMBuildOr(e->builder, shift_left(e, shift_right(e, element, half ? 7 : 6), 4), mask_with(e, element, 15), "");
    counter[0] = LLVMBuildZExt(e->builder, block, as_wide(e->i64, block), "");
    philox(e, counter, LLVMGetParam(function, 4), words);
    V place = mask_with(e, shift_right(e, element, 4), half ? 7 : 3);
    if (half) {
        V word = choose_word(e, shift_right(e, place, 1), words, 4);
        V upper = LLVMBuildICmp(e->builder, LLVMIntNE, mask_with(e, place, 1), LLVMConstNull(LLVMTypeOf(place)), "");
        result =
            uniform16(e, LLVMBuildSelect(e->builder, upper, shift_right(e, word, 16), mask_with(e, word, 0xFFFF), ""));
    } else if (draw == IR_UNIFORM32) {
        result = uniform32(e, choose_word(e, place, words, 4));
    } else {
        V pair = shift_right(e, place, 1), first[] = {words[0], words[2]}, second[] = {words[1], words[3]}, out[2];
        normal_pair(e, choose_word(e, pair, first, 2), choose_word(e, pair, second, 2), out);
        result = choose_word(e, mask_with(e, place, 1), out, 2);
    }
    LLVMBuildRet(e->builder, result);
}

static struct value number_of_lane(struct emitter *e, const struct ir_tensor *t, const struct draw_forms *forms)
{
    struct counter counter = emit_counter(e, t, forms);
    struct value element = form_value(e, forms->element, &counter.level);

    at_level(e, counter.level);
    bool vector = is_vector(element.at) || is_vector(counter.words[1]) || is_vector(counter.words[2]);
    V arguments[] = {widen(e, to_whole(e, element, e->i32).at, vector), widen(e, counter.words[1], vector),
                     widen(e, counter.words[2], vector), widen(e, counter.words[3], vector), counter.key};
    LLVMTypeRef type = lane_type(e, vector);
    V function = runtime_function(e, lane_names[vector][t->draw], type);
    return (struct value){LLVMBuildCall2(e->builder, type, function, arguments, 5, ""), REAL, counter.level};
}

/* ---- rows ---- */

static bool only_indices(struct emitter *e, const struct ir_form *form)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        if (atom->kind == IR_ATOM_VALUE || (atom->kind != IR_ATOM_INDEX && !only_indices(e, atom->form)))
            return false;
    }
    return true;
}

static bool without(struct emitter *e, const struct ir_form *form, const struct ir_index *index)
{
    return only_indices(e, form) && !ir_form_mentions(form, index);
}

static const struct ir_form *rest_of_element(struct emitter *e, const struct draw_forms *forms,
                                             const struct ir_index *index)
{
    const struct ir_form *bare = ir_form_index(e->program, (struct ir_index *)index);
    return ir_form_add(e->program, forms->element, ir_form_scale(e->program, bare, -1));
}

bool draw_runs_along(struct emitter *e, const struct ir_expr *read, const struct ir_index *index)
{
    struct draw_forms forms = draw_forms(e, read);

    return ir_form_coefficient(forms.element, index) == 1 && without(e, rest_of_element(e, &forms, index), index) &&
           without(e, forms.mapped, index) && (!forms.sample || without(e, forms.sample, index));
}

bool draw_mentions(struct emitter *e, const struct ir_expr *read, const struct ir_index *index)
{
    for (int i = 0; i < read->tensor->rank; i++)
        if (ir_form_mentions(read->subscripts[i], index))
            return true;
    return false;
}

static const char *const fill_names[] = {
    [IR_UNIFORM16] = "fill_uniform16", [IR_UNIFORM32] = "fill_uniform32", [IR_NORMAL] = "fill_normal"};
/* Of the others a row that is worth making ends in the second half of a group. */
static const char half_name[] = "half_uniform16";

/* Are the elements begin .. limit - 1 known to be in the first half of one group, which takes two of the four words? */
static bool within_half(V begin, V limit, int bits)
{
    int64_t first, end;

    if (!LLVMIsAConstantInt(begin) || !LLVMIsAConstantInt(limit))
        return false;
    first = LLVMConstIntGetSExtValue(begin) >> bits << bits;
    end = LLVMConstIntGetSExtValue(limit);
    return end - first <= 1 << (bits - 1);
}

static LLVMTypeRef fill_type(struct emitter *e)
{
    LLVMTypeRef types[] = {e->pointer, e->i64, e->i64, e->pointer, e->i64, e->i64, e->i64};
    return LLVMFunctionType(e->nothing, types, 7, false);
}

/* The keys of all rounds, in memory: an operation reads one from there for all its lanes. */
static V emit_keys(struct emitter *e, V key)
{
    V keys = stack_room(e, e->i64, 2 * RNET_PHILOX_ROUNDS), words[2];

    at_level(e, 0);
    words[0] = mask_with(e, key, 0xFFFFFFFF);
    words[1] = shift_right(e, key, 32);
    for (int round = 0; round < RNET_PHILOX_ROUNDS; round++)
        for (int i = 0; i < 2; i++) {
            V by = whole_like(e->i64, (int64_t)round * (i ? RNET_PHILOX_W1 : RNET_PHILOX_W0));
            V at = mask_with(e, LLVMBuildAdd(e->builder, words[i], by, ""), 0xFFFFFFFF);
            LLVMBuildStore(e->builder, at, offset_constant(e, keys, 16 * round + 8 * i));
        }
    at_level(e, e->depth);
    return keys;
}

void emit_row(struct emitter *e, const struct ir_expr *read, const struct ir_index *index, V first, V end, int64_t most)
{
    const struct ir_tensor *t = read->tensor;
    struct draw_forms forms = draw_forms(e, read);
    const struct ir_form *rest = rest_of_element(e, &forms, index);
    bool half = t->draw == IR_UNIFORM16;
    int bits = half ? 7 : 6;
    int64_t group_size = (int64_t)1 << bits;
    LLVMTypeRef element = half ? e->i16 : e->f32;
    int64_t bytes = half ? 2 : 4, room = (most + 2 * group_size + LANES) / group_size * group_size + group_size;
    V numbers;

    if (room * bytes <= 16384) {
        numbers = stack_room(e, element, room);
    } else {
        int64_t offset = take_scratch(e, room * bytes * MAX_PARTS);
        at_level(e, 0);
        V of_part = LLVMBuildMul(e->builder, e->part, whole_like(e->i64, room * bytes), "");
        numbers =
            offset_pointer(e, scratch_base(e, offset), of_part);
    }
    struct counter counter = emit_counter(e, t, &forms);
    struct value start = emit_form(e, rest);

    at_level(e, e->depth);
    V begin = LLVMBuildAdd(e->builder, start.at, first, ""), limit = LLVMBuildAdd(e->builder, start.at, end, "");
    const char *name = half && within_half(begin, limit, bits) ? half_name : fill_names[t->draw];
    V first_group = shift_right(e, begin, bits);
    V end_group = shift_right(e, LLVMBuildAdd(e->builder, limit, whole_like(e->i64, group_size - 1), ""), bits);
    struct row row = {read, numbers, shift_left(e, first_group, bits), e->depth};
    V arguments[] = {numbers,          first_group,      end_group,       emit_keys(e, counter.key),
                     counter.words[1], counter.words[2], counter.words[3]};
    LLVMBuildCall2(e->builder, fill_type(e), runtime_function(e, name, fill_type(e)), arguments, 7, "");
    list_add(e->arena, e->rows, row);
}

static V key_of(struct emitter *e, V keys, int round, int word)
{
    return LLVMBuildLoad2(e->builder, e->i64, offset_constant(e, keys, 16 * round + 8 * word), "");
}

/* Of the counter's words only the block differs from lane to lane. So does one word of each pair after the first round, and
   what only the others take part in is worked out once, for all groups, with the keys of the first rounds. */
struct common {
    V first, second, third, fourth;
};
static struct common common_words(struct emitter *e, V function)
{
    V keys = LLVMGetParam(function, 3), c1 = LLVMGetParam(function, 4), c2 = LLVMGetParam(function, 5), c3 = LLVMGetParam(function, 6);
    V product1 = LLVMBuildMul(e->builder, mask_with(e, c2, 0xFFFFFFFF), whole_like(e->i64, RNET_PHILOX_M1), "");
    V word0 = wide2(e, LLVMBuildXor, wide2(e, LLVMBuildXor, shift_right(e, product1, 32), c1), key_of(e, keys, 0, 0));
    V product0 = LLVMBuildMul(e->builder, mask_with(e, word0, 0xFFFFFFFF), whole_like(e->i64, RNET_PHILOX_M0), "");

    return (struct common){
        .first = wide2(e, LLVMBuildXor, c3, key_of(e, keys, 0, 1)),
        .second = wide2(e, LLVMBuildXor, product1, key_of(e, keys, 1, 0)),
        .third = wide2(e, LLVMBuildXor, shift_right(e, product0, 32), key_of(e, keys, 1, 1)),
        .fourth = wide2(e, LLVMBuildXor, product0, key_of(e, keys, 2, 1)),
    };
}

static void philox_group(struct emitter *e, const struct common *common, V keys, V block, V c[4])
{
    V product0 = LLVMBuildMul(e->builder, mask_with(e, block, 0xFFFFFFFF), whole_like(LLVMTypeOf(block), RNET_PHILOX_M0), "");
    V word2 = wide2(e, LLVMBuildXor, shift_right(e, product0, 32), common->first);
    V product1 = LLVMBuildMul(e->builder, mask_with(e, word2, 0xFFFFFFFF), whole_like(LLVMTypeOf(block), RNET_PHILOX_M1), "");

    c[0] = wide2(e, LLVMBuildXor, shift_right(e, product1, 32), common->second);
    c[1] = product1;
    c[2] = wide2(e, LLVMBuildXor, product0, common->third);
    c[3] = common->fourth;
    for (int round = 2; round < RNET_PHILOX_ROUNDS; round++)
        philox_round(e, c, key_of(e, keys, round, 0), round == 2 ? LLVMConstNull(e->i64) : key_of(e, keys, round, 1));
}

/* The low halves of all lanes' words, then their high halves. */
static V halves(struct emitter *e, V word)
{
    V from[2 * LANES];

    for (int i = 0; i < 2 * LANES; i++)
        from[i] = whole_like(e->i32, i % LANES * 4 + i / LANES);
    word = LLVMBuildBitCast(e->builder, word, LLVMVectorType(e->i16, 4 * LANES), "");
    return LLVMBuildShuffleVector(e->builder, word, LLVMGetPoison(LLVMTypeOf(word)), LLVMConstVector(from, 2 * LANES), "");
}

/* void fill(numbers, first group, end group, keys of all rounds, counter words 1 to 3): one for each kind of draw, whoever
   wants it. count: of a group's four words the first ones. */
static void emit_fill(struct emitter *e, enum ir_draw draw, int count, V function)
{
    bool half = draw == IR_UNIFORM16;
    int64_t bytes = half ? 2 : 4, group_size = half ? 128 : 64;
    V numbers = LLVMGetParam(function, 0), first = LLVMGetParam(function, 1), words[4];

    body_open(e, function);
    struct common common = common_words(e, function);
    V group = loop_open(e, first, LLVMGetParam(function, 2), 1);
    V block = LLVMBuildAdd(e->builder, splat(e, shift_left(e, group, 4)), lane_numbers(e, e->i64), "");
    philox_group(e, &common, LLVMGetParam(function, 3), block, words);
    V place = LLVMBuildMul(e->builder, LLVMBuildSub(e->builder, group, first, ""),
                           whole_like(e->i64, group_size * bytes), "");
    V out = offset_pointer(e, numbers, place);
    for (int i = 0; i < count; i++) {
        V here[2] = {0};
        if (half) {
            here[0] = halves(e, words[i]);
        } else {
            V word = LLVMBuildTrunc(e->builder, words[i], as_wide(e->i32, words[i]), "");
            if (draw == IR_UNIFORM32)
                here[0] = uniform32(e, word);
            else if (i % 2 == 0)
                normal_pair(e, word, LLVMBuildTrunc(e->builder, words[i + 1], as_wide(e->i32, words[i]), ""), here);
        }
        for (int k = 0; k < 2 && here[k]; k++) {
            int64_t at = LANES * (half ? 2 * i : i + k);
            LLVMSetAlignment(LLVMBuildStore(e->builder, here[k], offset_constant(e, out, at * bytes)), (unsigned)bytes);
        }
    }
    loop_close(e);
    LLVMBuildRetVoid(e->builder);
}

bool emit_draw_function(struct emitter *e, const char *name)
{
    for (int draw = IR_UNIFORM16; draw <= IR_NORMAL; draw++) {
        bool part = draw == IR_UNIFORM16 && !strcmp(name, half_name);
        if (part || !strcmp(name, fill_names[draw])) {
            emit_fill(e, (enum ir_draw)draw, part ? 2 : 4, runtime_function(e, name, fill_type(e)));
            return true;
        }
        for (int vector = 0; vector < 2; vector++)
            if (!strcmp(name, lane_names[vector][draw])) {
                emit_lane(e, (enum ir_draw)draw, runtime_function(e, name, lane_type(e, vector)));
                return true;
            }
    }
    return false;
}

static struct value number_of_row(struct emitter *e, const struct row *row, const struct ir_expr *read,
                                  const struct draw_forms *forms, const struct binding *along)
{
    bool half = read->tensor->draw == IR_UNIFORM16;
    struct value rest = emit_form(e, rest_of_element(e, forms, along->index));
    struct value v = {NULL, REAL, along->level};

    if (row->level > v.level)
        v.level = row->level;
    if (e->mask_level > v.level)
        v.level = e->mask_level;
    at_level(e, v.level);
    V at = LLVMBuildSub(e->builder, LLVMBuildAdd(e->builder, rest.at, along->scalar, ""), row->first, "");
    V from = offset_pointer(e, row->numbers, LLVMBuildMul(e->builder, at, whole_like(e->i64, half ? 2 : 4), ""));
    v.at = LLVMBuildLoad2(e->builder, vector_of(e, half ? e->i16 : e->f32), from, "");
    LLVMSetAlignment(v.at, half ? 2 : 4);
    if (half)
        v.at = uniform16(e, LLVMBuildZExt(e->builder, v.at, vector_of(e, e->i32), ""));
    return v;
}

struct value emit_draw(struct emitter *e, const struct ir_expr *read)
{
    struct draw_forms forms = draw_forms(e, read);
    const struct row *row = NULL;
    const struct binding *along = NULL;
    struct value v;

    for (int i = 0; i < e->rows.count; i++)
        if (e->rows.at[i].read == read)
            row = &e->rows.at[i];
    for (int i = 0; i < e->bindings.count; i++)
        if (e->bindings.at[i].vector)
            along = &e->bindings.at[i];
    v = row && along ? number_of_row(e, row, read, &forms, along) : number_of_lane(e, read->tensor, &forms);
    at_level(e, v.level);
    return to_real(e, v, real_type(e));
}
