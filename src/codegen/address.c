/* address.c: forms to whole numbers, subscripts to addresses, loads and stores.

   A read is uniform (one element for all lanes: a scalar load), contiguous (its element's number grows by one a lane)
   or gathered. Lanes that do not exist, and lanes whose guard fails, touch no memory. */
#include <string.h>

#include "emit.h"

/* ---- forms ---- */

static LLVMValueRef binding_lanes(struct emitter *e, struct binding *b)
{
    if (!b->lanes32) {
        at_level(e, b->level);
        bool narrow = b->index->extent <= INT32_MAX;
        LLVMTypeRef element = narrow ? e->i32 : e->i64;
        LLVMValueRef first = narrow ? LLVMBuildTrunc(e->builder, b->scalar, e->i32, "") : b->scalar;
        b->lanes32 = LLVMBuildAdd(e->builder, splat(e, first), lane_numbers(e, element), "");
    }
    return b->lanes32;
}

/* The type in which to compute: i64 if uniform; of vectors i32 if the range fits. */
static LLVMTypeRef working_type(struct emitter *e, LLVMValueRef v, int64_t low, int64_t high)
{
    return is_vector(v) ? whole_type(e, low, high) : e->i64;
}

static struct value emit_atom(struct emitter *e, const struct ir_atom *atom)
{
    struct value v;

    switch (atom->kind) {
    case IR_ATOM_INDEX: {
        struct binding *b = binding_of(e, atom->index);
        return (struct value){b->vector ? binding_lanes(e, b) : b->scalar, WHOLE, b->level};
    }
    case IR_ATOM_VALUE:
        v = emit_expr(e, atom->value);
        at_level(e, v.level);
        return to_whole(e, v, working_type(e, v.at, atom->low, atom->high));
    case IR_ATOM_QUOTIENT:
    case IR_ATOM_REMAINDER:
        v = emit_form(e, atom->form);
        at_level(e, v.level);
        LLVMTypeRef type = LLVMTypeOf(v.at);
        LLVMValueRef divisor = whole_like(type, atom->divisor);
        bool quotient = atom->kind == IR_ATOM_QUOTIENT;
        if (atom->form->low >= 0) {
            v.at =
                quotient ? LLVMBuildUDiv(e->builder, v.at, divisor, "") : LLVMBuildURem(e->builder, v.at, divisor, "");
            return v;
        }
        LLVMValueRef rest = LLVMBuildSRem(e->builder, v.at, divisor, "");
        LLVMValueRef below = LLVMBuildICmp(e->builder, LLVMIntSLT, rest, LLVMConstNull(type), "");
        if (quotient)
            v.at = LLVMBuildAdd(e->builder, LLVMBuildSDiv(e->builder, v.at, divisor, ""),
                                LLVMBuildSExt(e->builder, below, type, ""), "");
        else
            v.at = LLVMBuildSelect(e->builder, below, LLVMBuildAdd(e->builder, rest, divisor, ""), rest, "");
        return v;
    }
    bug("codegen: atom %d", (int)atom->kind);
}

/* Terms in order of level, so that what changes less often is added first. */
struct scaled {
    int64_t by;
    struct value value;
};
static void sort_by_level(struct scaled *terms, int count)
{
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && terms[j].value.level < terms[j - 1].value.level; j--) {
            struct scaled t = terms[j];
            terms[j] = terms[j - 1];
            terms[j - 1] = t;
        }
}

static LLVMValueRef scale(struct emitter *e, LLVMValueRef v, int64_t by)
{
    return by == 1 ? v : LLVMBuildMul(e->builder, v, whole_like(LLVMTypeOf(v), by), "");
}

/* Sum of the terms that are scalars, from a start. */
static struct value add_uniform(struct emitter *e, LLVMValueRef start, struct scaled *terms, int count)
{
    struct value sum = {start, WHOLE, 0};

    sort_by_level(terms, count);
    for (int i = 0; i < count; i++) {
        sum.level = terms[i].value.level;
        at_level(e, sum.level);
        sum.at = LLVMBuildAdd(e->builder, sum.at, scale(e, terms[i].value.at, terms[i].by), "");
    }
    return sum;
}

struct value emit_form(struct emitter *e, const struct ir_form *form)
{
    struct scaled *uniform = NEW_ARRAY(e->arena, struct scaled, form->count + 1);
    struct scaled *varying = NEW_ARRAY(e->arena, struct scaled, form->count + 1);
    int uniforms = 0, varyings = 0;
    struct value sum;

    if (known_get(e, form, &sum))
        return sum;
    for (int i = 0; i < form->count; i++) {
        struct scaled term = {form->terms[i].coefficient, emit_atom(e, form->terms[i].atom)};
        if (is_vector(term.value.at))
            varying[varyings++] = term;
        else
            uniform[uniforms++] = term;
    }
    sum = add_uniform(e, whole_like(e->i64, form->constant), uniform, uniforms);
    if (varyings) {
        LLVMTypeRef element = whole_type(e, form->low, form->high);
        at_level(e, sum.level);
        sum = to_whole(e, sum, element);
        sum.at = splat(e, sum.at);
        sort_by_level(varying, varyings);
        for (int i = 0; i < varyings; i++) {
            if (varying[i].value.level > sum.level)
                sum.level = varying[i].value.level;
            at_level(e, sum.level);
            struct value term = to_whole(e, varying[i].value, element);
            sum.at = LLVMBuildAdd(e->builder, sum.at, scale(e, term.at, varying[i].by), "");
        }
    }
    known_put(e, form, sum);
    return sum;
}

const struct ir_form *linear_form(struct emitter *e, const struct ir_tensor *tensor,
                                  const struct ir_form *const *subscripts, const int64_t *strides)
{
    const struct ir_form *sum = ir_form_constant(e->program, 0);

    for (int i = 0; i < tensor->rank; i++)
        sum = ir_form_add(e->program, sum, ir_form_scale(e->program, subscripts[i], strides[i]));
    return sum;
}

/* ---- addresses ---- */

enum reach { UNIFORM, CONTIGUOUS, GATHERED };
struct access {
    enum reach reach;
    LLVMValueRef pointer; /* of the first lane, or where offsets count from */
    LLVMValueRef offsets; /* of GATHERED: elements */
    LLVMValueRef base;    /* some element of the tensor: safe to load from */
    int level;
};

static struct local *local_of(struct emitter *e, const struct ir_tensor *tensor)
{
    for (int i = 0; i < e->locals.count; i++)
        if (e->locals.at[i].tensor == tensor)
            return &e->locals.at[i];
    return NULL;
}

static struct access access_of(struct emitter *e, const struct ir_tensor *tensor,
                               const struct ir_form *const *subscripts)
{
    int64_t *strides = NEW_ARRAY(e->arena, int64_t, tensor->rank + 1);
    int64_t bytes = storage_bytes(tensor->storage), stride = 1;
    const struct local *local = tensor->region == IR_LOCAL ? local_of(e, tensor) : NULL;
    struct access access = {.reach = UNIFORM};

    if (tensor->region == IR_LOCAL && !local)
        bug("codegen: kernel %s: local tensor %s is read where it is not at hand", e->kernel->name, tensor->name);
    if (tensor->region == IR_NOWHERE)
        bug("codegen: tensor %s has no place", tensor->name);
    if (local && local->lanes)
        stride = e->lanes;
    for (int i = tensor->rank - 1; i >= 0; i--) {
        bool dropped = local ? is_fixed_axis(e->kernel, tensor->axes[i]) : tensor->one_step == i + 1;
        strides[i] = dropped ? 0 : stride;
        if (!dropped)
            stride *= tensor->axes[i]->extent;
    }
    const struct ir_form *form = linear_form(e, tensor, subscripts, strides);

    /* Scalar terms make the pointer, the vector index makes the reach, other varying terms a gather. The constant comes
       last, so that neighbours share the rest. */
    struct scaled *uniform = NEW_ARRAY(e->arena, struct scaled, form->count + 1);
    struct scaled *varying = NEW_ARRAY(e->arena, struct scaled, form->count + 1);
    int uniforms = 0, varyings = 0;
    int64_t along = 0, constant = form->constant;
    int level = 0; /* of neighbours bound side by side */
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        int64_t by = form->terms[i].coefficient;
        struct binding *b = atom->kind == IR_ATOM_INDEX ? binding_of(e, atom->index) : NULL;
        if (b && (b->vector || b->origin)) {
            along = b->vector ? by : along;
            constant += by * b->distance;
            level = b->level > level ? b->level : level;
            uniform[uniforms++] = (struct scaled){by * bytes, {b->origin ? b->origin : b->scalar, WHOLE,
                                                               b->origin ? b->origin_level : b->level}};
            continue;
        }
        struct value v = emit_atom(e, atom);
        if (is_vector(v.at))
            varying[varyings++] = (struct scaled){by, v};
        else
            uniform[uniforms++] = (struct scaled){by * bytes, v};
    }
    sort_by_level(uniform, uniforms);
    at_level(e, 0);
    access.base = local ? local->base : tensor_base(e, tensor);
    access.pointer = access.base;
    for (int i = 0; i < uniforms; i++) {
        access.level = uniform[i].value.level;
        at_level(e, access.level);
        access.pointer = offset_pointer(e, access.pointer, scale(e, uniform[i].value.at, uniform[i].by));
    }
    access.level = level > access.level ? level : access.level;
    at_level(e, access.level);
    access.pointer = offset_constant(e, access.pointer, constant * bytes);
    if (local && local->lanes)
        along = 1;
    if (!varyings && (along == 0 || along == 1)) {
        access.reach = along ? CONTIGUOUS : UNIFORM;
    } else {
        LLVMTypeRef element = ir_elements(tensor) < INT32_MAX ? e->i32 : e->i64;
        access.reach = GATHERED;
        access.offsets = scale(e, lane_numbers(e, element), along);
        for (int i = 0; i < varyings; i++) {
            if (varying[i].value.level > access.level)
                access.level = varying[i].value.level;
            at_level(e, access.level);
            struct value term = to_whole(e, varying[i].value, element);
            access.offsets = LLVMBuildAdd(e->builder, access.offsets, scale(e, term.at, varying[i].by), "");
        }
    }
    if (access.reach != UNIFORM && access.level < e->mask_level)
        access.level = e->mask_level;
    if (computed_in(e->kernel, tensor) && access.level < e->floor)
        access.level = e->floor;
    return access;
}

LLVMValueRef emit_address(struct emitter *e, const struct ir_tensor *tensor, const struct ir_form *const *subscripts)
{
    return access_of(e, tensor, subscripts).pointer;
}

/* ---- masks ---- */

static LLVMValueRef all_lanes(struct emitter *e)
{
    return LLVMConstAllOnes(vector_of(e, e->i1));
}

static LLVMValueRef lane_pointers(struct emitter *e, const struct access *access, LLVMTypeRef element)
{
    LLVMValueRef offsets = access->offsets;
    return LLVMBuildGEP2(e->builder, element, access->pointer, &offsets, 1, "");
}

static LLVMValueRef load_masked(struct emitter *e, const struct access *access, LLVMTypeRef element, int64_t bytes,
                                LLVMValueRef mask)
{
    LLVMTypeRef vector = vector_of(e, element);
    LLVMValueRef align = whole_like(e->i32, bytes), zero = LLVMConstNull(vector);

    if (access->reach == CONTIGUOUS) {
        LLVMTypeRef types[] = {vector, e->pointer};
        LLVMValueRef arguments[] = {access->pointer, align, mask, zero};
        return intrinsic(e, "llvm.masked.load", types, 2, arguments, 4);
    }
    LLVMTypeRef types[] = {vector, vector_of(e, e->pointer)};
    LLVMValueRef arguments[] = {lane_pointers(e, access, element), align, mask, zero};
    return intrinsic(e, "llvm.masked.gather", types, 2, arguments, 4);
}

/* Are the subscripts inside? NULL if all are by their intervals. */
static bool emit_guard(struct emitter *e, const struct ir_expr *read, struct value *inside)
{
    bool guarded = false;

    for (int i = 0; i < read->tensor->rank; i++) {
        const struct ir_form *form = read->subscripts[i];
        int64_t extent = read->tensor->axes[i]->extent;
        if (form->low >= 0 && form->high < extent)
            continue;
        struct value v = emit_form(e, form);
        at_level(e, v.level);
        LLVMTypeRef type = LLVMTypeOf(v.at);
        struct value here = {NULL, TRUTH, v.level};
        LLVMValueRef above =
            form->low >= 0 ? NULL : LLVMBuildICmp(e->builder, LLVMIntSGE, v.at, LLVMConstNull(type), "");
        LLVMValueRef below =
            form->high < extent ? NULL : LLVMBuildICmp(e->builder, LLVMIntSLT, v.at, whole_like(type, extent), "");
        here.at = above && below ? LLVMBuildAnd(e->builder, above, below, "") : above ? above : below;
        if (guarded) {
            bool vector = is_vector(here.at) || is_vector(inside->at);
            if (inside->level > here.level)
                here.level = inside->level;
            at_level(e, here.level);
            here.at = LLVMBuildAnd(e->builder, widen(e, inside->at, vector), widen(e, here.at, vector), "");
        }
        *inside = here;
        guarded = true;
    }
    return guarded;
}

/* ---- loads ---- */

static struct value stored_value(struct emitter *e, const struct ir_tensor *tensor, LLVMValueRef loaded)
{
    struct value v = {loaded, REAL, 0};

    if (tensor->storage == IR_U8)
        v.at = LLVMBuildZExt(e->builder, loaded, as_wide(e->i32, loaded), "");
    if (tensor->storage == IR_U8 || tensor->storage == IR_I32)
        v.kind = WHOLE;
    if (tensor->whole)
        return to_whole(e, v, whole_type(e, tensor->low, tensor->high));
    return to_real(e, v, real_type(e));
}

static bool is_fixed_at(const struct emitter *e, const struct ir_index *index, const struct ir_form *value)
{
    for (int i = 0; i < e->fixed.count; i++)
        if (e->fixed.at[i].index == index)
            return e->fixed.at[i].value == value;
    return false;
}

/* Is the read at the tensor's own axes? */
static bool at_axes(const struct emitter *e, const struct ir_expr *read)
{
    for (int i = 0; i < read->tensor->rank; i++)
        if (ir_form_bare(read->subscripts[i]) != read->tensor->axes[i] &&
            !is_fixed_at(e, read->tensor->axes[i], read->subscripts[i]))
            return false;
    return true;
}

/* Loads what access reaches; inside: the guard (TRUTH), or NULL. */
static struct value load(struct emitter *e, const struct ir_tensor *tensor, struct access access,
                         const struct value *inside)
{
    LLVMTypeRef element = storage_type(e, tensor->storage);
    int64_t bytes = storage_bytes(tensor->storage);
    int level = access.level;
    struct value v;

    if (inside) {
        if (inside->level > level)
            level = inside->level;
        if (is_vector(inside->at) && access.reach == UNIFORM) {
            access.reach = GATHERED;
            access.offsets = LLVMConstNull(vector_of(e, e->i32));
        }
        if (access.reach != UNIFORM && level < e->mask_level)
            level = e->mask_level;
    }
    at_level(e, level);
    if (access.reach == UNIFORM) {
        LLVMValueRef pointer = access.pointer;
        if (inside)
            pointer = LLVMBuildSelect(e->builder, inside->at, pointer, access.base, "");
        v.at = LLVMBuildLoad2(e->builder, element, pointer, "");
        LLVMSetAlignment(v.at, (unsigned)bytes);
    } else {
        LLVMValueRef mask = e->mask;
        if (inside) {
            LLVMValueRef wide = widen(e, inside->at, true);
            mask = mask ? LLVMBuildAnd(e->builder, mask, wide, "") : wide;
        }
        if (!mask && access.reach == CONTIGUOUS) {
            v.at = LLVMBuildLoad2(e->builder, vector_of(e, element), access.pointer, "");
            LLVMSetAlignment(v.at, (unsigned)bytes);
        } else {
            v.at = load_masked(e, &access, element, bytes, mask ? mask : all_lanes(e));
        }
    }
    v = stored_value(e, tensor, v.at);
    v.level = level;
    return v;
}

static const struct ir_form **own_axes(struct emitter *e, const struct ir_tensor *tensor)
{
    const struct ir_form **subscripts = NEW_ARRAY(e->arena, const struct ir_form *, tensor->rank + 1);

    for (int i = 0; i < tensor->rank; i++)
        subscripts[i] = ir_form_index(e->program, tensor->axes[i]);
    return subscripts;
}

struct value emit_load(struct emitter *e, const struct ir_tensor *tensor)
{
    return load(e, tensor, access_of(e, tensor, own_axes(e, tensor)), NULL);
}

struct value emit_read(struct emitter *e, const struct ir_expr *read)
{
    struct ir_tensor *tensor = read->tensor;
    struct value v, inside, otherwise;
    bool single = e->single, rounded = e->rounded;

    e->single = e->rounded = false;
    bool at_hand = at_axes(e, read) && known_get(e, tensor, &v);
    e->single = single;
    e->rounded = rounded;
    if (at_hand) {
        at_level(e, v.level);
        return tensor->whole ? v : to_real(e, v, real_type(e));
    }
    bool guarded = read->otherwise && emit_guard(e, read, &inside);
    if (tensor->kind == IR_DRAW)
        v = emit_draw(e, read);
    else
        v = load(e, tensor, access_of(e, tensor, read->subscripts), guarded ? &inside : NULL);
    if (!guarded)
        return v;

    otherwise = emit_expr(e, read->otherwise);
    if (inside.level > v.level)
        v.level = inside.level;
    if (otherwise.level > v.level)
        v.level = otherwise.level;
    at_level(e, v.level);
    if (read->whole) {
        LLVMTypeRef type = whole_type(e, read->low, read->high);
        v = to_whole(e, v, type);
        otherwise = to_whole(e, otherwise, type);
    } else {
        v = to_real(e, v, real_type(e));
        otherwise = to_real(e, otherwise, real_type(e));
    }
    bool vector = is_vector(v.at) || is_vector(otherwise.at) || is_vector(inside.at);
    LLVMValueRef condition = widen(e, inside.at, vector);
    v.at = LLVMBuildSelect(e->builder, condition, widen(e, v.at, vector), widen(e, otherwise.at, vector), "");
    return v;
}

/* ---- stores ---- */

enum { MOST_PIECES = 2 };

/* One vector or scalar at a pointer, as the tensor stores its numbers. */
static LLVMValueRef as_stored(struct emitter *e, const struct ir_tensor *tensor, struct value value)
{
    LLVMTypeRef element = storage_type(e, tensor->storage);

    if (tensor->storage == IR_F32 || tensor->storage == IR_F64)
        return to_real(e, value, element).at;
    value = to_whole(e, value, element == e->i8 ? e->i32 : element);
    if (element == e->i8)
        return LLVMBuildTrunc(e->builder, value.at, as_wide(e->i8, value.at), "");
    return value.at;
}

/* How many lanes a mask has if it is that of the first ones and known; else -1. */
static int count_first_lanes(LLVMValueRef mask)
{
    int count = 0, lanes = (int)LLVMGetVectorSize(LLVMTypeOf(mask));

    if (!LLVMIsConstant(mask) || LLVMIsUndef(mask))
        return -1;
    for (int i = 0; i < lanes; i++) {
        LLVMValueRef lane = LLVMGetAggregateElement(mask, (unsigned)i);
        bool set = LLVMIsAConstantInt(lane) && LLVMConstIntGetZExtValue(lane);
        if (set && count < i)
            return -1;
        count += set;
    }
    return count;
}

/* The first lanes, in pieces of 8, 4, 2, 1: a load of what lies behind them need not wait, as it would for a masked store, of
   which a processor knows that it is as long as a vector. */
static void store_pieces(struct emitter *e, LLVMValueRef number, LLVMValueRef pointer, int64_t bytes, int count)
{
    for (int size = LANES, at = 0; size; size /= 2)
        for (; count - at >= size; at += size) {
            LLVMValueRef piece = size == 1 ? LLVMBuildExtractElement(e->builder, number, whole_like(e->i32, at), "")
                                           : lanes_slice(e, number, at, size);
            LLVMSetAlignment(LLVMBuildStore(e->builder, piece, offset_constant(e, pointer, at * bytes)), (unsigned)bytes);
        }
}

static void store_contiguous(struct emitter *e, LLVMValueRef number, LLVMValueRef pointer, int64_t bytes)
{
    int count = e->mask && is_vector(number) ? count_first_lanes(e->mask) : -1;

    if (count > 0 && __builtin_popcount((unsigned)count % LANES) <= MOST_PIECES) {
        store_pieces(e, number, pointer, bytes, count);
    } else if (e->mask && is_vector(number)) {
        LLVMTypeRef types[] = {LLVMTypeOf(number), e->pointer};
        LLVMValueRef arguments[] = {number, pointer, whole_like(e->i32, bytes), e->mask};
        intrinsic(e, "llvm.masked.store", types, 2, arguments, 4);
    } else {
        LLVMSetAlignment(LLVMBuildStore(e->builder, number, pointer), (unsigned)bytes);
    }
}

void emit_store_from(struct emitter *e, LLVMValueRef base, const struct ir_tensor *tensor, struct value value,
                     LLVMValueRef element_number)
{
    int64_t bytes = storage_bytes(tensor->storage);
    LLVMValueRef pointer = offset_pointer(e, base, scale(e, element_number, bytes));

    store_contiguous(e, as_stored(e, tensor, value), pointer, bytes);
}

void emit_store_at(struct emitter *e, const struct ir_tensor *tensor, struct value value, LLVMValueRef element_number)
{
    emit_store_from(e, tensor_base(e, tensor), tensor, value, element_number);
}

void emit_store(struct emitter *e, const struct ir_tensor *tensor, struct value value)
{
    int64_t bytes = storage_bytes(tensor->storage);
    struct access access = access_of(e, tensor, own_axes(e, tensor));

    at_level(e, e->depth);
    LLVMValueRef number = as_stored(e, tensor, value);
    if (access.reach == UNIFORM) {
        if (is_vector(number))
            bug("codegen: kernel %s: %s is stored at one place by all lanes", e->kernel->name, tensor->name);
        store_contiguous(e, number, access.pointer, bytes);
        return;
    }
    number = widen(e, number, true);
    if (access.reach == CONTIGUOUS) {
        store_contiguous(e, number, access.pointer, bytes);
        return;
    }
    LLVMTypeRef element = storage_type(e, tensor->storage);
    LLVMTypeRef types[] = {vector_of(e, element), vector_of(e, e->pointer)};
    LLVMValueRef arguments[] = {number, lane_pointers(e, &access, element), whole_like(e->i32, bytes),
                                e->mask ? e->mask : all_lanes(e)};
    intrinsic(e, "llvm.masked.scatter", types, 2, arguments, 4);
}

void emit_increase(struct emitter *e, const struct ir_tensor *tensor, const struct ir_form *const *subscripts,
                   struct value value)
{
    struct access access = access_of(e, tensor, subscripts);

    if (access.reach == GATHERED)
        bug("codegen: kernel %s: lanes of %s are no neighbours", e->kernel->name, tensor->name);
    access.level = e->depth;
    struct value before = load(e, tensor, access, NULL);
    at_level(e, e->depth);
    bool vector = access.reach == CONTIGUOUS;
    if (tensor->whole) {
        LLVMTypeRef type = whole_type(e, tensor->low, tensor->high);
        LLVMValueRef term = widen(e, to_whole(e, value, type).at, vector);
        before.at = LLVMBuildAdd(e->builder, before.at, term, "");
    } else {
        LLVMValueRef term = widen(e, to_real(e, value, real_type(e)).at, vector);
        before.at = LLVMBuildFAdd(e->builder, before.at, term, "");
    }
    store_contiguous(e, as_stored(e, tensor, before), access.pointer, storage_bytes(tensor->storage));
}
