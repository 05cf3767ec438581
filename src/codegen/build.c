/* build.c: the small things from which code is built: types, constants, vectors, functions, and the levels of a loop
   nest.

   A level is a loop (or a condition) that is open. A value belongs to the innermost level that it depends on and is
   built at that level's end, before the next level begins: so it stands where it dominates all that may use it and is
   computed as seldom as can be. What has been built is known under a key until its level closes. */
#include <string.h>

#include "emit.h"

/* ---- types and constants ---- */

LLVMTypeRef real_type(const struct emitter *e)
{
    return e->single ? e->f32 : e->f64;
}

LLVMTypeRef vector_of(const struct emitter *e, LLVMTypeRef scalar)
{
    return LLVMVectorType(scalar, (unsigned)e->lanes);
}

static bool is_vector_type(LLVMTypeRef type)
{
    return LLVMGetTypeKind(type) == LLVMVectorTypeKind;
}

bool is_vector(LLVMValueRef v)
{
    return is_vector_type(LLVMTypeOf(v));
}

LLVMTypeRef as_wide(LLVMTypeRef scalar, LLVMValueRef like)
{
    LLVMTypeRef type = LLVMTypeOf(like);
    return is_vector_type(type) ? LLVMVectorType(scalar, LLVMGetVectorSize(type)) : scalar;
}

static LLVMValueRef constant_splat(LLVMTypeRef type, LLVMValueRef element)
{
    LLVMValueRef lanes[WIDEST];
    unsigned count = LLVMGetVectorSize(type);

    for (unsigned i = 0; i < count; i++)
        lanes[i] = element;
    return LLVMConstVector(lanes, count);
}

LLVMValueRef number_like(LLVMTypeRef type, double value)
{
    if (is_vector_type(type))
        return constant_splat(type, LLVMConstReal(LLVMGetElementType(type), value));
    return LLVMConstReal(type, value);
}

LLVMValueRef whole_like(LLVMTypeRef type, int64_t value)
{
    if (is_vector_type(type))
        return constant_splat(type, LLVMConstInt(LLVMGetElementType(type), (uint64_t)value, true));
    return LLVMConstInt(type, (uint64_t)value, true);
}

LLVMTypeRef storage_type(const struct emitter *e, enum ir_storage storage)
{
    switch (storage) {
    case IR_F32:
        return e->f32;
    case IR_F64:
        return e->f64;
    case IR_I32:
        return e->i32;
    case IR_U8:
        return e->i8;
    }
    bug("codegen: storage %d", (int)storage);
}

int64_t storage_bytes(enum ir_storage storage)
{
    return storage == IR_F64 ? 8 : storage == IR_U8 ? 1 : 4;
}

LLVMTypeRef whole_type(const struct emitter *e, int64_t low, int64_t high)
{
    return low >= INT32_MIN && high <= INT32_MAX ? e->i32 : e->i64;
}

/* ---- vectors ---- */

LLVMValueRef splat(struct emitter *e, LLVMValueRef scalar)
{
    LLVMTypeRef type = vector_of(e, LLVMTypeOf(scalar));

    if (LLVMIsConstant(scalar) && !LLVMIsUndef(scalar))
        return constant_splat(type, scalar);
    LLVMValueRef first = LLVMBuildInsertElement(e->builder, LLVMGetPoison(type), scalar, whole_like(e->i32, 0), "");
    return LLVMBuildShuffleVector(e->builder, first, LLVMGetPoison(type), LLVMConstNull(vector_of(e, e->i32)), "");
}

LLVMValueRef widen(struct emitter *e, LLVMValueRef v, bool vector)
{
    return vector && !is_vector(v) ? splat(e, v) : v;
}

LLVMValueRef lane_numbers(struct emitter *e, LLVMTypeRef element)
{
    LLVMValueRef lanes[WIDEST];

    for (int i = 0; i < e->lanes; i++)
        lanes[i] = LLVMConstInt(element, (uint64_t)i, false);
    return LLVMConstVector(lanes, (unsigned)e->lanes);
}

LLVMValueRef lanes_slice(struct emitter *e, LLVMValueRef vector, int first, int count)
{
    LLVMValueRef from[WIDEST];

    for (int i = 0; i < count; i++)
        from[i] = LLVMConstInt(e->i32, (uint64_t)(first + i), false);
    return LLVMBuildShuffleVector(e->builder, vector, LLVMGetPoison(LLVMTypeOf(vector)),
                                  LLVMConstVector(from, (unsigned)count), "");
}

LLVMValueRef lanes_pair(struct emitter *e, LLVMValueRef low, LLVMValueRef high)
{
    LLVMValueRef from[WIDEST];
    unsigned count = 2 * LLVMGetVectorSize(LLVMTypeOf(low));

    for (unsigned i = 0; i < count; i++)
        from[i] = LLVMConstInt(e->i32, i, false);
    return LLVMBuildShuffleVector(e->builder, low, high, LLVMConstVector(from, count), "");
}

LLVMValueRef join_lanes(struct emitter *e, LLVMValueRef vector, join_function join, const void *context)
{
    for (int half = e->lanes / 2; half > 1; half /= 2)
        vector = join(e, lanes_slice(e, vector, 0, half), lanes_slice(e, vector, half, half), context);
    return join(e, LLVMBuildExtractElement(e->builder, vector, whole_like(e->i32, 0), ""),
                LLVMBuildExtractElement(e->builder, vector, whole_like(e->i32, 1), ""), context);
}

/* ---- calls ---- */

LLVMValueRef intrinsic(struct emitter *e, const char *name, const LLVMTypeRef *types, int type_count,
                       LLVMValueRef *arguments, int count)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMTypeRef overloads[4];

    for (int i = 0; i < type_count; i++)
        overloads[i] = types[i];
    LLVMValueRef function = LLVMGetIntrinsicDeclaration(e->module, id, overloads, (size_t)type_count);
    LLVMTypeRef type = LLVMIntrinsicGetType(e->context, id, overloads, (size_t)type_count);
    return LLVMBuildCall2(e->builder, type, function, arguments, (unsigned)count, "");
}

LLVMValueRef call_fma(struct emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    LLVMValueRef arguments[] = {a, b, c};
    LLVMTypeRef type = LLVMTypeOf(a);
    return intrinsic(e, "llvm.fma", &type, 1, arguments, 3);
}

LLVMValueRef runtime_function(struct emitter *e, const char *name, LLVMTypeRef type)
{
    LLVMValueRef function = LLVMGetNamedFunction(e->module, name);
    return function ? function : LLVMAddFunction(e->module, name, type);
}

/* Not `inbounds`: the address of a guarded read may lie outside, where it is not read. */
LLVMValueRef offset_pointer(struct emitter *e, LLVMValueRef pointer, LLVMValueRef bytes)
{
    return LLVMBuildGEP2(e->builder, e->i8, pointer, &bytes, 1, "");
}

LLVMValueRef offset_constant(struct emitter *e, LLVMValueRef pointer, int64_t bytes)
{
    return bytes ? offset_pointer(e, pointer, whole_like(e->i64, bytes)) : pointer;
}

static LLVMValueRef load_at_entry(struct emitter *e, LLVMTypeRef type, LLVMValueRef from, size_t offset)
{
    LLVMValueRef bytes = whole_like(e->i64, (int64_t)offset);

    LLVMPositionBuilderBefore(e->entry_builder, LLVMGetBasicBlockTerminator(e->entry));
    if (offset)
        from = LLVMBuildGEP2(e->entry_builder, e->i8, from, &bytes, 1, "");
    return LLVMBuildLoad2(e->entry_builder, type, from, "");
}

LLVMValueRef tensor_base(struct emitter *e, const struct ir_tensor *tensor)
{
    while (e->places.count <= tensor->offset)
        list_add(e->arena, e->places, NULL);
    if (!e->places.at[tensor->offset])
        e->places.at[tensor->offset] =
            load_at_entry(e, e->pointer, e->call, offsetof(struct kernel_call, places) + 8 * (size_t)tensor->offset);
    return e->places.at[tensor->offset];
}

LLVMValueRef scratch_base(struct emitter *e, int64_t offset)
{
    if (!e->scratch_start)
        e->scratch_start = load_at_entry(e, e->pointer, e->call, offsetof(struct kernel_call, scratch));
    return offset_constant(e, e->scratch_start, offset);
}

LLVMValueRef kept_base(struct emitter *e, int64_t offset)
{
    if (!e->kept_start)
        e->kept_start = load_at_entry(e, e->pointer, e->call, offsetof(struct kernel_call, kept));
    return offset_constant(e, e->kept_start, offset);
}

LLVMValueRef first_position(struct emitter *e)
{
    if (!e->position)
        e->position = load_at_entry(e, e->i64, e->step, offsetof(struct rnet_step, position));
    return e->position;
}

LLVMValueRef step_number(struct emitter *e)
{
    if (!e->step_number)
        e->step_number = load_at_entry(e, e->i64, e->step, offsetof(struct rnet_step, step));
    return e->step_number;
}

LLVMValueRef stack_room(struct emitter *e, LLVMTypeRef type, int64_t count)
{
    LLVMPositionBuilderBefore(e->builder, LLVMGetBasicBlockTerminator(e->entry));
    LLVMValueRef room = count == 1 ? LLVMBuildAlloca(e->builder, type, "")
                                   : LLVMBuildAlloca(e->builder, LLVMArrayType2(type, (uint64_t)count), "");
    LLVMSetAlignment(room, 64);
    at_level(e, e->depth);
    return room;
}

int64_t take_scratch(struct emitter *e, int64_t bytes)
{
    int64_t at = e->scratch;

    e->scratch += (bytes + 63) / 64 * 64;
    return at;
}

int64_t take_kept(struct emitter *e, int64_t bytes)
{
    int64_t at = e->kept;

    e->kept += (bytes + 63) / 64 * 64;
    return at;
}

/* ---- conversions ---- */

struct value to_real(struct emitter *e, struct value v, LLVMTypeRef element)
{
    LLVMTypeRef type = as_wide(element, v.at);
    LLVMTypeRef from = LLVMTypeOf(v.at);

    if (v.kind == TRUTH)
        v.at = LLVMBuildSelect(e->builder, v.at, number_like(type, 1), number_like(type, 0), "");
    else if (v.kind == WHOLE)
        v.at = LLVMBuildSIToFP(e->builder, v.at, type, "");
    else if (from != type)
        v.at = element == e->f32 ? LLVMBuildFPTrunc(e->builder, v.at, type, "")
                                 : LLVMBuildFPExt(e->builder, v.at, type, "");
    v.kind = REAL;
    return v;
}

struct value to_whole(struct emitter *e, struct value v, LLVMTypeRef element)
{
    LLVMTypeRef type = as_wide(element, v.at);

    if (v.kind == TRUTH)
        v.at = LLVMBuildZExt(e->builder, v.at, type, "");
    else if (v.kind == REAL)
        v.at = LLVMBuildFPToSI(e->builder, v.at, type, "");
    else if (LLVMTypeOf(v.at) != type)
        v.at =
            element == e->i64 ? LLVMBuildSExt(e->builder, v.at, type, "") : LLVMBuildTrunc(e->builder, v.at, type, "");
    v.kind = WHOLE;
    return v;
}

struct value to_truth(struct emitter *e, struct value v)
{
    LLVMTypeRef type = LLVMTypeOf(v.at);

    if (v.kind == WHOLE)
        v.at = LLVMBuildICmp(e->builder, LLVMIntNE, v.at, LLVMConstNull(type), "");
    else if (v.kind == REAL)
        v.at = LLVMBuildFCmp(e->builder, LLVMRealUNE, v.at, LLVMConstNull(type), ""); /* NaN is not 0 */
    v.kind = TRUTH;
    return v;
}

/* ---- what is known ---- */

static int operations_mode(const struct emitter *e)
{
    return e->single + 2 * e->rounded;
}

static int *slot_of(struct emitter *e, const void *key, int mode)
{
    uint64_t mixed = ((uint64_t)(uintptr_t)key >> 4) * 4 + (uint64_t)mode;
    int mask = e->slot_count - 1;
    int at = (int)((mixed * 0x9E3779B97F4A7C15u) >> 40) & mask;

    while (e->slots[at]) {
        struct known *known = &e->known.at[e->slots[at] - 1];
        if (known->key == key && known->mode == mode)
            break;
        at = (at + 1) & mask;
    }
    return &e->slots[at];
}

static void rebuild_slots(struct emitter *e)
{
    memset(e->slots, 0, sizeof *e->slots * (size_t)e->slot_count);
    for (int i = 0; i < e->known.count; i++)
        *slot_of(e, e->known.at[i].key, e->known.at[i].mode) = i + 1;
}

bool known_get(struct emitter *e, const void *key, struct value *out)
{
    if (!e->slot_count)
        return false;
    int *slot = slot_of(e, key, operations_mode(e));
    if (!*slot)
        return false;
    *out = e->known.at[*slot - 1].value;
    return true;
}

void known_put(struct emitter *e, const void *key, struct value value)
{
    if (2 * (e->known.count + 1) >= e->slot_count) {
        e->slot_count = e->slot_count ? 2 * e->slot_count : 256;
        e->slots = NEW_ARRAY(e->arena, int, e->slot_count);
        rebuild_slots(e);
    }
    int *slot = slot_of(e, key, operations_mode(e));
    if (*slot) {
        e->known.at[*slot - 1].value = value;
        return;
    }
    list_add(e->arena, e->known, (struct known){key, operations_mode(e), value});
    *slot = e->known.count;
}

/* ---- functions ---- */

static void function_attribute(struct emitter *e, const char *key, const char *value)
{
    LLVMAttributeRef attribute =
        LLVMCreateStringAttribute(e->context, key, (unsigned)strlen(key), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(e->function, LLVMAttributeFunctionIndex, attribute);
}

void body_open(struct emitter *e, LLVMValueRef function)
{
    unsigned nounwind = LLVMGetEnumAttributeKindForName("nounwind", 8);

    e->function = function;
    LLVMSetVisibility(e->function, LLVMHiddenVisibility);
    LLVMAddAttributeAtIndex(e->function, LLVMAttributeFunctionIndex, LLVMCreateEnumAttribute(e->context, nounwind, 0));
    function_attribute(e, "target-cpu", e->cpu);
    function_attribute(e, "target-features", e->features);
    function_attribute(e, "prefer-vector-width", "512");

    e->entry = LLVMAppendBasicBlockInContext(e->context, e->function, "entry");
    e->block = LLVMAppendBasicBlockInContext(e->context, e->function, "body");
    e->depth = 0;
    e->floor = 0;
    e->mask = NULL;
    e->mask_level = 0;
    e->bindings.count = e->rows.count = e->locals.count = e->known.count = e->places.count = 0;
    e->call = e->step = e->part = e->scratch_start = e->kept_start = e->position = e->step_number = NULL;
    if (e->slot_count)
        rebuild_slots(e);

    LLVMPositionBuilderAtEnd(e->builder, e->entry);
    LLVMBuildBr(e->builder, e->block);
    at_level(e, 0);
}

void part_open(struct emitter *e, const char *name)
{
    body_open(e, LLVMAddFunction(e->module, name, e->part_type));
    e->call = LLVMGetParam(e->function, 0);
    e->part = LLVMGetParam(e->function, 1);
    e->step = load_at_entry(e, e->pointer, e->call, offsetof(struct kernel_call, step));
    if (e->kernel && e->kernel->time)
        bind(e, e->kernel->time, load_at_entry(e, e->i64, e->call, offsetof(struct kernel_call, time)), false);
    at_level(e, 0);
}

void function_close(struct emitter *e)
{
    if (e->depth)
        bug("codegen: function closed with %d levels open", e->depth);
    at_level(e, 0);
    LLVMBuildRetVoid(e->builder);
}

/* ---- levels ---- */

void at_level(struct emitter *e, int level)
{
    if (level >= e->depth)
        LLVMPositionBuilderAtEnd(e->builder, e->block);
    else
        LLVMPositionBuilderBefore(e->builder, LLVMGetBasicBlockTerminator(e->levels[level + 1].before));
}

static void level_push(struct emitter *e)
{
    if (++e->depth >= MAX_LEVELS)
        bug("codegen: more than %d levels of loops", MAX_LEVELS);
    e->levels[e->depth].before = e->block;
    e->levels[e->depth].known = e->known.count;
    e->levels[e->depth].bindings = e->bindings.count;
}

/* Forgets what depends on the level that closes. */
static void level_pop(struct emitter *e)
{
    int kept = e->levels[e->depth].known;

    e->bindings.count = e->levels[e->depth].bindings;
    e->depth--;
    for (int i = kept; i < e->known.count; i++)
        if (e->known.at[i].value.level <= e->depth)
            e->known.at[kept++] = e->known.at[i];
    if (e->known.count != kept) {
        e->known.count = kept;
        rebuild_slots(e);
    }
}

static LLVMBasicBlockRef new_block(struct emitter *e)
{
    return LLVMAppendBasicBlockInContext(e->context, e->function, "");
}

/* So often a loop is known to run; -1: it is not known. */
static int64_t known_runs(LLVMValueRef first, LLVMValueRef end, int64_t by)
{
    if (!LLVMIsAConstantInt(first) || !LLVMIsAConstantInt(end))
        return -1;
    int64_t points = LLVMConstIntGetSExtValue(end) - LLVMConstIntGetSExtValue(first);
    return points <= 0 ? 0 : (points + by - 1) / by;
}

LLVMValueRef loop_open(struct emitter *e, LLVMValueRef first, LLVMValueRef end, int64_t by)
{
    int64_t runs = known_runs(first, end, by);
    LLVMBasicBlockRef header, body;

    if (runs == 1) {
        if_open(e, NULL);
        e->levels[e->depth].counter = NULL;
        return first;
    }
    body = new_block(e);
    header = runs > 0 ? body : new_block(e);
    at_level(e, e->depth);
    LLVMBuildBr(e->builder, header);
    level_push(e);
    LLVMPositionBuilderAtEnd(e->builder, header);
    LLVMValueRef counter = LLVMBuildPhi(e->builder, e->i64, "");
    LLVMAddIncoming(counter, &first, &e->levels[e->depth].before, 1);
    e->levels[e->depth].header = header;
    e->levels[e->depth].exit = new_block(e);
    e->levels[e->depth].counter = counter;
    e->levels[e->depth].end = runs > 0 ? end : NULL;
    e->levels[e->depth].by = by;
    if (runs <= 0)
        LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, counter, end, ""), body,
                        e->levels[e->depth].exit);
    e->block = body;
    at_level(e, e->depth);
    return counter;
}

void loop_close(struct emitter *e)
{
    int level = e->depth;

    if (!e->levels[level].counter) {
        if_close(e);
        return;
    }
    at_level(e, level);
    LLVMValueRef next =
        LLVMBuildNSWAdd(e->builder, e->levels[level].counter, whole_like(e->i64, e->levels[level].by), "");
    LLVMAddIncoming(e->levels[level].counter, &next, &e->block, 1);
    if (e->levels[level].end)
        LLVMBuildCondBr(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, next, e->levels[level].end, ""),
                        e->levels[level].header, e->levels[level].exit);
    else
        LLVMBuildBr(e->builder, e->levels[level].header);
    e->block = e->levels[level].exit;
    level_pop(e);
    at_level(e, e->depth);
}

void if_open(struct emitter *e, LLVMValueRef condition)
{
    LLVMBasicBlockRef body = new_block(e), exit = new_block(e);

    at_level(e, e->depth);
    if (condition)
        LLVMBuildCondBr(e->builder, condition, body, exit);
    else
        LLVMBuildBr(e->builder, body);
    level_push(e);
    e->levels[e->depth].exit = exit;
    e->block = body;
    at_level(e, e->depth);
}

void if_close(struct emitter *e)
{
    at_level(e, e->depth);
    LLVMBuildBr(e->builder, e->levels[e->depth].exit);
    e->block = e->levels[e->depth].exit;
    level_pop(e);
    at_level(e, e->depth);
}

void bind(struct emitter *e, const struct ir_index *index, LLVMValueRef scalar, bool vector)
{
    list_add(e->arena, e->bindings,
             (struct binding){.index = index, .scalar = scalar, .vector = vector, .level = e->depth});
}

void bind_behind(struct emitter *e, const struct ir_index *index, LLVMValueRef origin, int origin_level, int64_t distance,
                 bool vector)
{
    at_level(e, e->depth);
    bind(e, index, distance ? LLVMBuildNSWAdd(e->builder, origin, whole_like(e->i64, distance), "") : origin, vector);
    struct binding *binding = &e->bindings.at[e->bindings.count - 1];
    binding->origin = origin;
    binding->origin_level = origin_level;
    binding->distance = distance;
}

struct binding *binding_of(struct emitter *e, const struct ir_index *index)
{
    for (int i = e->bindings.count - 1; i >= 0; i--)
        if (e->bindings.at[i].index == index)
            return &e->bindings.at[i];
    bug("codegen: kernel %s: index %s (%d) is not among its loops", e->kernel ? e->kernel->name : "?", index->name,
        index->number);
}
