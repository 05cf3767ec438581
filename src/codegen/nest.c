/* nest.c: a nest kernel as a function of a part, and as a second one the joining of what was made in parts.

   for each item of the part (a point of the outer loops, a block of the vector index)
       for each vector of the block (columns)
           for each stage: its loops, its equations at each point

   A reduction's accumulator is a variable of the function (a register once variables are promoted), begun where its
   home loop's body begins and finished where that ends. One made in parts lies in memory of its part while outer loops
   go round. */
#include <math.h>

#include "emit.h"

typedef LLVMValueRef V;

enum { UNROLLED_PARTS = 4 };

static V variable_type_zero(struct emitter *e, const struct equation_plan *eq)
{
    return LLVMConstNull(eq->wide ? vector_of(e, eq->type) : eq->type);
}

/* ---- accumulators ---- */

static bool is_argument(const struct ir_tensor *t)
{
    return t->reduction == IR_ARGMAX || t->reduction == IR_ARGMIN;
}

static bool is_largest(const struct ir_tensor *t)
{
    return t->reduction == IR_MAXIMUM || t->reduction == IR_ARGMAX;
}

static V identity(struct emitter *e, const struct equation_plan *eq)
{
    LLVMTypeRef type = eq->wide ? vector_of(e, eq->type) : eq->type;
    bool real = eq->type == e->f32 || eq->type == e->f64;

    switch (eq->tensor->reduction) {
    case IR_SUM:
        return LLVMConstNull(type);
    case IR_PRODUCT:
        return real ? number_like(type, 1) : whole_like(type, 1);
    default:
        if (real)
            return number_like(type, is_largest(eq->tensor) ? -INFINITY : INFINITY);
        if (eq->type == e->i32)
            return whole_like(type, is_largest(eq->tensor) ? INT32_MIN : INT32_MAX);
        return whole_like(type, is_largest(eq->tensor) ? -((int64_t)1 << 62) : (int64_t)1 << 62); /* exact in f64 */
    }
}

static V combine(struct emitter *e, V a, V b, const void *context)
{
    const struct equation_plan *eq = context;
    bool real = eq->type == e->f32 || eq->type == e->f64;

    switch (eq->tensor->reduction) {
    case IR_SUM:
        return real ? LLVMBuildFAdd(e->builder, a, b, "") : LLVMBuildAdd(e->builder, a, b, "");
    case IR_PRODUCT:
        return real ? LLVMBuildFMul(e->builder, a, b, "") : LLVMBuildMul(e->builder, a, b, "");
    default:
        return better_of(e, is_largest(eq->tensor), a, b);
    }
}

/* Is the candidate strictly better? The first NaN is better than everything. */
static V is_better(struct emitter *e, const struct equation_plan *eq, V candidate, V best)
{
    bool largest = is_largest(eq->tensor);

    if (eq->type == e->i32 || eq->type == e->i64)
        return LLVMBuildICmp(e->builder, largest ? LLVMIntSGT : LLVMIntSLT, candidate, best, "");
    V better = LLVMBuildFCmp(e->builder, largest ? LLVMRealUGT : LLVMRealULT, candidate, best, "");
    return LLVMBuildAnd(e->builder, better, LLVMBuildFCmp(e->builder, LLVMRealORD, best, best, ""), "");
}

static V get(struct emitter *e, V variable, V like)
{
    return LLVMBuildLoad2(e->builder, LLVMTypeOf(like), variable, "");
}

static void begin_reduction(struct emitter *e, struct equation_plan *eq)
{
    V zero = variable_type_zero(e, eq);

    if (!eq->accumulator)
        eq->accumulator = stack_room(e, LLVMTypeOf(zero), 1);
    if (is_argument(eq->tensor) && !eq->place)
        eq->place = stack_room(e, eq->wide ? vector_of(e, e->i32) : e->i32, 1);
    at_level(e, e->depth);
    V start = identity(e, eq);
    if (eq->in_parts && eq->home >= 0 && !eq->join) {
        struct value v = emit_load(e, eq->partial);
        at_level(e, e->depth);
        start = widen(e, v.at, eq->wide);
    }
    LLVMBuildStore(e->builder, start, eq->accumulator);
    if (eq->place) /* beyond every place: a value equal to the identity still wins over it when lanes are joined */
        LLVMBuildStore(e->builder, whole_like(eq->wide ? vector_of(e, e->i32) : e->i32, INT32_MAX), eq->place);
}

/* The number of the point among those reduced over, in written order. */
static V place_of_point(struct emitter *e, const struct equation_plan *eq)
{
    const struct ir_form *form = ir_form_constant(e->program, 0);
    int64_t stride = 1;

    for (int i = eq->tensor->reduced_count - 1; i >= 0; i--) {
        const struct ir_form *index = ir_form_index(e->program, eq->tensor->reduced[i]);
        form = ir_form_add(e->program, form, ir_form_scale(e->program, index, stride));
        stride *= eq->tensor->reduced[i]->extent;
    }
    if (stride > INT32_MAX)
        bug("codegen: %s chooses among more than 2^31 places", eq->tensor->name);
    struct value v = emit_form(e, form);
    at_level(e, e->depth);
    return widen(e, to_whole(e, v, e->i32).at, eq->wide);
}

/* What an equation computes at the point at hand. */
static const struct ir_expr *value_here(struct emitter *e, const struct ir_tensor *t)
{
    int count = e->fixed.count;
    struct ir_index **from = NEW_ARRAY(e->arena, struct ir_index *, count + 1);
    const struct ir_form **to = NEW_ARRAY(e->arena, const struct ir_form *, count + 1);

    for (int i = 0; i < count; i++) {
        from[i] = e->fixed.at[i].index;
        to[i] = e->fixed.at[i].value;
    }
    return count ? ir_substitute(e->program, t->value, from, to, count) : t->value;
}

static V as_operand(struct emitter *e, const struct equation_plan *eq, const struct ir_expr *expr)
{
    struct value v = emit_expr(e, expr);

    at_level(e, e->depth);
    bool real = eq->type == e->f32 || eq->type == e->f64;
    v = real ? to_real(e, v, eq->type) : to_whole(e, v, eq->type);
    return widen(e, v.at, eq->wide);
}

static void reduce_point(struct emitter *e, struct equation_plan *eq)
{
    const struct ir_tensor *t = eq->tensor;
    const struct ir_expr *value = value_here(e, t);
    V zero = variable_type_zero(e, eq), next;

    if (t->reduction == IR_SUM && !t->single && !t->whole && value->kind == IR_APPLY && value->op == IR_multiply) {
        V a = as_operand(e, eq, value->arguments[0]), b = as_operand(e, eq, value->arguments[1]);
        at_level(e, e->depth);
        next = call_fma(e, a, b, get(e, eq->accumulator, zero));
    } else if (is_argument(t)) {
        V candidate = as_operand(e, eq, value), place = place_of_point(e, eq);
        at_level(e, e->depth);
        V best = get(e, eq->accumulator, zero), before = get(e, eq->place, place);
        /* The first point is taken in any case, as nothing is there yet. */
        V none = LLVMBuildICmp(e->builder, LLVMIntEQ, before, whole_like(LLVMTypeOf(before), INT32_MAX), "");
        V take = LLVMBuildOr(e->builder, none, is_better(e, eq, candidate, best), "");
        if (e->mask && eq->wide)
            take = LLVMBuildAnd(e->builder, take, e->mask, "");
        LLVMBuildStore(e->builder, LLVMBuildSelect(e->builder, take, place, before, ""), eq->place);
        LLVMBuildStore(e->builder, LLVMBuildSelect(e->builder, take, candidate, best, ""), eq->accumulator);
        return;
    } else {
        V candidate = as_operand(e, eq, value);
        at_level(e, e->depth);
        next = combine(e, get(e, eq->accumulator, zero), candidate, eq);
    }
    if (e->mask && eq->join) /* else a lane that does not exist is nobody's */
        next = LLVMBuildSelect(e->builder, e->mask, next, get(e, eq->accumulator, zero), "");
    LLVMBuildStore(e->builder, next, eq->accumulator);
}

/* Lanes of (value, place) pairs in a fixed tree: equal values go to the lower place. */
static V join_places(struct emitter *e, const struct equation_plan *eq, V values, V places)
{
    for (int half = e->lanes / 2; half >= 1; half /= 2) {
        V a = lanes_slice(e, values, 0, half), b = lanes_slice(e, values, half, half);
        V at_a = lanes_slice(e, places, 0, half), at_b = lanes_slice(e, places, half, half);
        V none_a = LLVMBuildICmp(e->builder, LLVMIntEQ, at_a, whole_like(LLVMTypeOf(at_a), INT32_MAX), "");
        V some_b = LLVMBuildICmp(e->builder, LLVMIntNE, at_b, whole_like(LLVMTypeOf(at_b), INT32_MAX), "");
        V better = is_better(e, eq, b, a), worse = is_better(e, eq, a, b);
        V earlier = LLVMBuildICmp(e->builder, LLVMIntSLT, at_b, at_a, "");
        V tie = LLVMBuildAnd(e->builder, LLVMBuildNot(e->builder, worse, ""), earlier, "");
        V take = LLVMBuildAnd(e->builder, some_b,
                              LLVMBuildOr(e->builder, none_a, LLVMBuildOr(e->builder, better, tie, ""), ""), "");
        values = LLVMBuildSelect(e->builder, take, b, a, "");
        places = LLVMBuildSelect(e->builder, take, at_b, at_a, "");
    }
    return LLVMBuildExtractElement(e->builder, places, whole_like(e->i32, 0), "");
}

static bool is_real(struct emitter *e, const struct equation_plan *eq)
{
    return eq->type == e->f32 || eq->type == e->f64;
}

static bool has_memory(struct emitter *e, const struct ir_tensor *t)
{
    if (t->region == IR_NOWHERE)
        return false;
    if (t->region != IR_LOCAL)
        return true;
    for (int i = 0; i < e->locals.count; i++)
        if (e->locals.at[i].tensor == t)
            return true;
    return false;
}

void set_value(struct emitter *e, const struct ir_tensor *t, struct value v)
{
    bool single = e->single, rounded = e->rounded;

    if (has_memory(e, t))
        emit_store(e, t, v);
    if (e->fixed.count) /* at the next values of those indices it is another */
        v.level = e->depth;
    e->single = e->rounded = false; /* one key, whoever reads */
    known_put(e, t, v);
    e->single = single;
    e->rounded = rounded;
}

static void end_reduction(struct emitter *e, struct equation_plan *eq)
{
    struct value v = {NULL, is_real(e, eq) ? REAL : WHOLE, e->depth};

    at_level(e, e->depth);
    v.at = get(e, eq->accumulator, variable_type_zero(e, eq));
    if (eq->place) {
        V places = LLVMBuildLoad2(e->builder, eq->wide ? vector_of(e, e->i32) : e->i32, eq->place, "");
        v.kind = WHOLE;
        v.at = eq->join ? join_places(e, eq, v.at, places) : places;
    } else if (eq->join) {
        v.at = join_lanes(e, v.at, combine, eq);
    }
    if (!eq->in_parts) {
        set_value(e, eq->tensor, v);
        return;
    }
    if (eq->home >= 0 && eq->join) {
        struct value before = emit_load(e, eq->partial);
        at_level(e, e->depth);
        v.at = combine(e, before.at, v.at, eq);
    }
    emit_store(e, eq->partial, v);
}

void begin_point(struct emitter *e, struct stage_plan *stage)
{
    for (int i = 0; i < stage->count; i++) {
        if (!stage->equations[i].reduces || stage->equations[i].in_parts)
            continue;
        operate_as(e, stage->equations[i].tensor);
        begin_reduction(e, &stage->equations[i]);
    }
}

void end_point(struct emitter *e, struct stage_plan *stage)
{
    for (int i = 0; i < stage->count; i++) {
        if (!stage->equations[i].reduces || stage->equations[i].in_parts)
            continue;
        operate_as(e, stage->equations[i].tensor);
        end_reduction(e, &stage->equations[i]);
    }
}

/* ---- loops ---- */

static void emit_stage(struct emitter *e, struct stage_plan *stage, int opened);

static void emit_map(struct emitter *e, const struct ir_tensor *equation)
{
    operate_as(e, equation);
    struct value v = emit_expr(e, value_here(e, equation));
    at_level(e, v.level);
    if (equation->whole)
        v = to_whole(e, v, whole_type(e, equation->low, equation->high));
    else
        v = to_real(e, v, real_type(e));
    set_value(e, equation, v);
}

void emit_point(struct emitter *e, struct stage_plan *stage)
{
    for (int i = 0; i < stage->count; i++) {
        struct equation_plan *eq = &stage->equations[i];
        operate_as(e, eq->tensor);
        if (eq->reduces)
            reduce_point(e, eq);
        else
            emit_map(e, eq->tensor);
    }
}

V lanes_below(struct emitter *e, int64_t count)
{
    V lanes[WIDEST];

    for (int i = 0; i < e->lanes; i++)
        lanes[i] = LLVMConstInt(e->i1, i < count, false);
    return LLVMConstVector(lanes, (unsigned)e->lanes);
}

void emit_along_vectors(struct emitter *e, const struct ir_index *index, int64_t extent, emit_inside *inside, void *context)
{
    int64_t full = extent / e->lanes * e->lanes;

    if (full) {
        bind(e, index, loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, full), e->lanes), true);
        inside(context);
        loop_close(e);
    }
    if (full < extent) {
        if_open(e, NULL);
        bind(e, index, whole_like(e->i64, full), true);
        e->mask = lanes_below(e, extent - full);
        e->mask_level = e->depth;
        inside(context);
        e->mask = NULL;
        e->mask_level = 0;
        if_close(e);
    }
}

/* A stage within some of its loops. */
struct opened {
    struct emitter *e;
    struct stage_plan *stage;
    int opened;
};

static void emit_opened(void *context)
{
    const struct opened *within = context;

    emit_stage(within->e, within->stage, within->opened);
}

/* The stage's vector loop. */
static void emit_vector_loop(struct emitter *e, struct stage_plan *stage, int opened)
{
    const struct ir_index *index = stage->inner[opened];
    int64_t extent = stage->extents[opened];
    int rows = e->rows.count;

    for (int i = 0; i < stage->draws.count; i++)
        if (extent > 2 * LANES && draw_runs_along(e, stage->draws.at[i], index)) {
            bool bound = true;
            for (int k = opened + 1; k < stage->inner_count; k++)
                bound &= !draw_mentions(e, stage->draws.at[i], stage->inner[k]);
            if (bound)
                emit_row(e, stage->draws.at[i], index, whole_like(e->i64, 0), whole_like(e->i64, extent), extent);
        }
    emit_along_vectors(e, index, extent, emit_opened, &(struct opened){e, stage, opened + 1});
    e->rows.count = rows;
}

static void emit_stage(struct emitter *e, struct stage_plan *stage, int opened)
{
    for (int i = 0; i < stage->count; i++)
        if (stage->equations[i].reduces && stage->equations[i].home == opened) {
            operate_as(e, stage->equations[i].tensor);
            begin_reduction(e, &stage->equations[i]);
        }
    if (opened == stage->inner_count) {
        emit_point(e, stage);
        emit_rows_ahead(e, stage);
    } else if (stage->bound) {
        emit_stage(e, stage, opened + 1);
    } else if (opened == stage->vector) {
        emit_vector_loop(e, stage, opened);
    } else if (opened >= stage->unrolled) {
        for (int64_t k = 0; k < stage->extents[opened]; k++) {
            if_open(e, NULL);
            bind(e, stage->inner[opened], whole_like(e->i64, k), false);
            list_add(e->arena, e->fixed,
                     (struct fixed){stage->inner[opened], ir_form_constant(e->program, k)});
            emit_stage(e, stage, opened + 1);
            e->fixed.count--;
            if_close(e);
        }
    } else if (stage->extents[opened] == 1) {
        if_open(e, NULL);
        bind(e, stage->inner[opened], whole_like(e->i64, 0), false);
        emit_stage(e, stage, opened + 1);
        if_close(e);
    } else {
        V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, stage->extents[opened]), 1);
        bind(e, stage->inner[opened], at, false);
        emit_stage(e, stage, opened + 1);
        loop_close(e);
    }
    for (int i = 0; i < stage->count; i++)
        if (stage->equations[i].reduces && stage->equations[i].home == opened) {
            operate_as(e, stage->equations[i].tensor);
            end_reduction(e, &stage->equations[i]);
        }
}

static void emit_stages(struct emitter *e, struct kernel_plan *plan)
{
    for (int i = 0; i < plan->count; i++) {
        e->floor = e->depth;
        e->lanes = plan->stages[i].lanes;
        if (plan->stages[i].sums.together)
            emit_together(e, &plan->stages[i]);
        else if (plan->stages[i].across >= 0)
            emit_turned(e, &plan->stages[i]);
        else
            emit_stage(e, &plan->stages[i], 0);
    }
}

/* ---- scratch of a part ---- */

V of_part(struct emitter *e, int64_t offset, int64_t bytes)
{
    V skip = LLVMBuildNSWMul(e->builder, e->part, whole_like(e->i64, bytes), "");
    V base = scratch_base(e, offset);
    return offset_pointer(e, base, skip);
}

/* A local tensor that has memory. Of stages: it is made in the first, read in the last. */
struct lodger {
    const struct ir_tensor *tensor;
    int64_t bytes;
    int first, last, room;
};
typedef LIST(struct lodger) lodger_list;
struct memory_wanted {
    struct emitter *e;
    const struct kernel_plan *plan;
    int stage;
    lodger_list *lodgers;
};

static int stage_that_makes(const struct ir_kernel *kernel, const struct ir_tensor *t)
{
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            if (kernel->stages.at[i]->equations.at[k] == t)
                return i;
    bug("codegen: kernel %s does not make %s", kernel->name, t->name);
}

/* A local tensor has memory if it is read at other subscripts than its own, or in another stage than its own after
 * loops. */
static void want_memory(const struct ir_expr *read, void *context)
{
    struct memory_wanted *wanted = context;
    struct emitter *e = wanted->e;
    const struct ir_kernel *kernel = wanted->plan->kernel;
    const struct ir_tensor *t = read->tensor;
    bool own = true, reduced = t->reduction != IR_MAP, kept = false;
    int64_t elements = 1;

    if (t->region != IR_LOCAL || has_memory(e, t))
        return;
    int first = stage_that_makes(kernel, t);
    for (int i = 0; i < t->rank; i++) {
        bool parallel = is_fixed_axis(kernel, t->axes[i]);
        own &= ir_form_bare(read->subscripts[i]) == t->axes[i];
        if (!parallel) {
            kept = true;
            elements *= t->axes[i]->extent;
        }
    }
    if (own && (!kept || (first == wanted->stage && !reduced)))
        return;
    int64_t bytes = elements * storage_bytes(t->storage) * (wanted->plan->columns ? e->lanes : 1);
    list_add(e->arena, e->locals, (struct local){t, NULL, wanted->plan->columns});
    list_add(e->arena, *wanted->lodgers, (struct lodger){t, (bytes + 63) / 64 * 64, first, first, 0});
}

/* Rooms are used again when who lived there is read no more: what was written last is in the first cache. */
static void give_rooms(struct emitter *e, const struct kernel_plan *plan, lodger_list *lodgers)
{
    struct room {
        const struct lodger *of; /* the last who lives there */
        int64_t bytes;
        V base;
    } *rooms = NEW_ARRAY(e->arena, struct room, lodgers->count + 1);
    int count = 0;

    for (int stage = 0; stage < plan->count; stage++)
        for (int i = 0; i < lodgers->count; i++) {
            struct lodger *l = &lodgers->at[i];
            int best = count;
            if (l->first != stage)
                continue;
            for (int r = 0; r < count; r++) {
                const struct lodger *of = rooms[r].of;
                if (of->last < stage && (best == count || of->last > rooms[best].of->last))
                    best = r;
            }
            if (best == count)
                rooms[count++] = (struct room){0};
            rooms[best].bytes = l->bytes > rooms[best].bytes ? l->bytes : rooms[best].bytes;
            rooms[best].of = l;
            l->room = best;
        }
    for (int r = 0; r < count; r++) {
        if (rooms[r].bytes <= 8192) {
            rooms[r].base = stack_room(e, e->i8, rooms[r].bytes);
            continue;
        }
        int64_t offset = take_scratch(e, rooms[r].bytes * plan->parts);
        at_level(e, 0);
        rooms[r].base = of_part(e, offset, rooms[r].bytes);
    }
    for (int i = 0; i < lodgers->count; i++)
        for (int k = 0; k < e->locals.count; k++)
            if (e->locals.at[k].tensor == lodgers->at[i].tensor)
                e->locals.at[k].base = rooms[lodgers->at[i].room].base;
}

static void note_reading(const struct ir_expr *read, void *context)
{
    struct memory_wanted *wanted = context;

    for (int i = 0; i < wanted->lodgers->count; i++)
        if (wanted->lodgers->at[i].tensor == read->tensor && wanted->lodgers->at[i].last < wanted->stage)
            wanted->lodgers->at[i].last = wanted->stage;
}

/* Memory for what a kernel makes for itself. */
static void open_locals(struct emitter *e, const struct kernel_plan *plan)
{
    lodger_list lodgers = {0};

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < plan->count; i++) {
            struct memory_wanted wanted = {e, plan, i, &lodgers};
            const struct ir_stage *stage = plan->kernel->stages.at[i];
            for (int k = 0; k < stage->equations.count; k++)
                ir_reads(stage->equations.at[k]->value, pass ? note_reading : want_memory, &wanted);
        }
    give_rooms(e, plan, &lodgers);
}

/* Partial results: where they are; those that go through memory begin as the identity. */
void open_partials(struct emitter *e, struct kernel_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].count; k++) {
            struct equation_plan *eq = &plan->stages[i].equations[k];
            if (!eq->in_parts)
                continue;
            int64_t element = storage_bytes(eq->partial->storage);
            e->lanes = plan->stages[i].lanes;
            at_level(e, 0);
            V base = of_part(e, eq->memory, eq->partial_elements * element);
            list_add(e->arena, e->locals, (struct local){eq->partial, base, false});
            if (eq->home < 0) {
                begin_reduction(e, eq);
                continue;
            }
            struct equation_plan wide = *eq;
            wide.wide = true;
            V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, eq->partial_elements), e->lanes);
            struct value v = {identity(e, &wide), is_real(e, eq) ? REAL : WHOLE, 0};
            at_level(e, e->depth);
            if (eq->type == e->i64) /* stored as f64 */
                v = to_real(e, v, e->f64);
            V place = LLVMBuildNSWMul(e->builder, at, whole_like(e->i64, element), "");
            LLVMSetAlignment(LLVMBuildStore(e->builder, v.at, offset_pointer(e, base, place)), (unsigned)element);
            loop_close(e);
        }
}

void close_partials(struct emitter *e, struct kernel_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].count; k++)
            if (plan->stages[i].equations[k].in_parts && plan->stages[i].equations[k].home < 0) {
                operate_as(e, plan->stages[i].equations[k].tensor);
                e->lanes = plan->stages[i].lanes;
                end_reduction(e, &plan->stages[i].equations[k]);
            }
    e->lanes = LANES;
}

/* ---- joining parts ---- */

/* What part `part` made of the elements from `at` on. */
static V partial_pointer(struct emitter *e, const struct equation_plan *eq, V memory, V part, V at)
{
    int64_t element = storage_bytes(eq->partial->storage);
    V place = LLVMBuildNSWMul(e->builder, part, whole_like(e->i64, eq->partial_elements), "");

    place = LLVMBuildNSWAdd(e->builder, place, at, "");
    return offset_pointer(e, memory, LLVMBuildNSWMul(e->builder, place, whole_like(e->i64, element), ""));
}

static struct value load_partial(struct emitter *e, const struct equation_plan *eq, V pointer, bool vector)
{
    LLVMTypeRef type = storage_type(e, eq->partial->storage);
    struct value v = {NULL, is_real(e, eq) || eq->type == e->i64 ? REAL : WHOLE, e->depth};

    v.at = LLVMBuildLoad2(e->builder, vector ? vector_of(e, type) : type, pointer, "");
    LLVMSetAlignment(v.at, (unsigned)storage_bytes(eq->partial->storage));
    return eq->type == e->i64 ? to_whole(e, v, e->i64) : v;
}

/* Parts first .. first + count - 1 pairwise, in index order: the left side has the largest power of two below count. */
static struct value join_parts(struct emitter *e, const struct equation_plan *eq, V memory, V at, int64_t first,
                               int64_t count, bool vector)
{
    int64_t half = 1;

    if (count == 1)
        return load_partial(e, eq, partial_pointer(e, eq, memory, whole_like(e->i64, first), at), vector);
    while (2 * half < count)
        half *= 2;
    struct value a = join_parts(e, eq, memory, at, first, half, vector);
    struct value b = join_parts(e, eq, memory, at, first + half, count - half, vector);
    a.at = combine(e, a.at, b.at, eq);
    return a;
}

/* How many elements one run of the kernel makes. */
static int64_t partial_count(const struct ir_tensor *t)
{
    return ir_elements(t) / (t->recurrence ? t->recurrence->extent : 1);
}

/* The same tree in place, with loops: for many parts much less code. */
static void join_in_memory(struct emitter *e, const struct equation_plan *eq, int64_t parts, V memory)
{
    bool vector = partial_count(eq->tensor) > 1;
    int64_t end = vector ? eq->partial_elements : 1;

    for (int64_t apart = 1; apart < parts; apart *= 2) {
        V part = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, parts - apart), 2 * apart);
        V other = LLVMBuildNSWAdd(e->builder, part, whole_like(e->i64, apart), "");
        V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, end), LANES);
        V pointer = partial_pointer(e, eq, memory, part, at);
        struct value a = load_partial(e, eq, pointer, vector);
        struct value b = load_partial(e, eq, partial_pointer(e, eq, memory, other, at), vector);
        a.at = combine(e, a.at, b.at, eq);
        if (eq->type == e->i64)
            a = to_real(e, a, e->f64);
        LLVMSetAlignment(LLVMBuildStore(e->builder, a.at, pointer), (unsigned)storage_bytes(eq->partial->storage));
        loop_close(e);
        loop_close(e);
    }
}

/* The place of what is made now among all steps: part of it `row` (of the axes before the time), element `at` behind
 * it. */
static V place_in_time(struct emitter *e, const struct ir_tensor *t, V row, V at)
{
    if (!t->recurrence)
        return at;
    int64_t behind = ir_extent_product(t->axes + t->time + 1, t->rank - t->time - 1);
    V steps = LLVMBuildNSWMul(e->builder, row, whole_like(e->i64, t->recurrence->extent), "");
    V time = LLVMBuildNSWAdd(e->builder, steps, binding_of(e, t->axes[t->time])->scalar, "");
    V place = LLVMBuildNSWMul(e->builder, time, whole_like(e->i64, behind), "");
    return LLVMBuildNSWAdd(e->builder, place, at, "");
}

static void join_elements(struct emitter *e, const struct equation_plan *eq, int64_t parts, V memory, V row, V at,
                          bool vector)
{
    const struct ir_tensor *t = eq->tensor;
    int64_t behind = t->recurrence ? ir_extent_product(t->axes + t->time + 1, t->rank - t->time - 1) : 0;
    V skip = LLVMBuildNSWMul(e->builder, row, whole_like(e->i64, behind), "");
    V partial = LLVMBuildNSWAdd(e->builder, skip, at, "");

    emit_store_at(e, t, join_parts(e, eq, memory, partial, 0, parts, vector), place_in_time(e, t, row, at));
}

/* Elements of one row: all of them outside of recurrences. */
static void join_row(struct emitter *e, const struct equation_plan *eq, int64_t parts, V memory, V row,
                     int64_t elements)
{
    int64_t full = elements / LANES * LANES;

    if (full) {
        V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, full), LANES);
        join_elements(e, eq, parts, memory, row, at, true);
        loop_close(e);
    }
    if (elements == 1) {
        join_elements(e, eq, parts, memory, row, whole_like(e->i64, 0), false);
    } else if (full < elements) {
        e->mask = lanes_below(e, elements - full);
        join_elements(e, eq, parts, memory, row, whole_like(e->i64, full), true);
        e->mask = NULL;
    }
}

void emit_joins(struct emitter *e, struct kernel_plan *plan, part_functions *functions)
{
    bool any = false;

    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].count; k++)
            any |= plan->stages[i].equations[k].in_parts;
    if (!any)
        return;
    part_open(e, arena_printf(e->arena, "kernel_%s_join", plan->kernel->name));
    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].count; k++) {
            struct equation_plan *eq = &plan->stages[i].equations[k];
            const struct ir_tensor *t = eq->tensor;
            int64_t rows = t->recurrence ? ir_extent_product(t->axes, t->time) : 1;
            int64_t elements = ir_elements(t) / rows / (t->recurrence ? t->recurrence->extent : 1);
            if (!eq->in_parts || eq->tensor->region == IR_NOWHERE)
                continue;
            V memory = scratch_base(e, eq->memory);
            int64_t left = plan->parts;
            if (left > UNROLLED_PARTS) {
                join_in_memory(e, eq, left, memory);
                left = 1;
            }
            if (rows == 1) {
                join_row(e, eq, left, memory, whole_like(e->i64, 0), elements);
                continue;
            }
            V row = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, rows), 1);
            join_row(e, eq, left, memory, row, elements);
            loop_close(e);
        }
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, 1, ALWAYS});
}

/* ---- the kernel ---- */

static void bind_outer(struct emitter *e, const struct kernel_plan *plan, V number)
{
    for (int i = plan->outer_count - 1; i >= 0; i--) {
        int64_t extent = plan->outer_extents[i];
        if (extent == 1) {
            bind(e, plan->outer[i], whole_like(e->i64, 0), false);
            continue;
        }
        bool first = true;
        for (int k = 0; k < i; k++)
            first &= plan->outer_extents[k] == 1;
        bind(e, plan->outer[i], first ? number : LLVMBuildURem(e->builder, number, whole_like(e->i64, extent), ""),
             false);
        if (!first)
            number = LLVMBuildUDiv(e->builder, number, whole_like(e->i64, extent), "");
    }
}

/* Rows of one vector: their indices for all items. */
static void bind_rows(struct emitter *e, const struct kernel_plan *plan)
{
    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].inner_count; k++)
            bind(e, plan->stages[i].inner[k], whole_like(e->i64, 0), k == plan->stages[i].vector);
    if (plan->row < plan->lanes)
        e->mask = lanes_below(e, plan->row);
}

static V smaller(struct emitter *e, V a, V b)
{
    return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, ""), a, b, "");
}

/* One block of the vector index of columns. */
static void emit_block(struct emitter *e, struct kernel_plan *plan, V first)
{
    int64_t extent = plan->along_extent, left = extent % e->lanes;
    V end = plan->blocks == 1 ? whole_like(e->i64, extent)
                              : smaller(e, LLVMBuildNSWAdd(e->builder, first, whole_like(e->i64, plan->block), ""),
                                        whole_like(e->i64, extent));
    int rows = e->rows.count;

    for (int i = 0; i < plan->count; i++)
        for (int k = 0; k < plan->stages[i].draws.count; k++) {
            const struct ir_expr *read = plan->stages[i].draws.at[k];
            bool done = extent <= 2 * LANES || !draw_runs_along(e, read, plan->along);
            for (int r = rows; r < e->rows.count; r++)
                done |= e->rows.at[r].read == read;
            for (int n = 0; n < plan->stages[i].inner_count; n++)
                done |= draw_mentions(e, read, plan->stages[i].inner[n]);
            if (!done)
                emit_row(e, read, plan->along, first, end, plan->block < extent ? plan->block : extent);
        }
    at_level(e, e->depth);
    V full = left ? LLVMBuildAnd(e->builder, end, whole_like(e->i64, -e->lanes), "") : end;
    if (extent >= e->lanes) {
        V at = loop_open(e, first, full, e->lanes);
        bind(e, plan->along, at, true);
        emit_stages(e, plan);
        loop_close(e);
    }
    if (left) {
        if_open(e, plan->blocks == 1 ? NULL : LLVMBuildICmp(e->builder, LLVMIntSLT, full, end, ""));
        bind(e, plan->along, whole_like(e->i64, extent - left), true);
        e->mask = lanes_below(e, left);
        e->mask_level = e->depth;
        emit_stages(e, plan);
        e->mask = NULL;
        e->mask_level = 0;
        if_close(e);
    }
    e->rows.count = rows;
}

void emit_nest(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions)
{
    struct kernel_plan plan;

    e->kernel = kernel;
    plan_kernel(e, kernel, &plan);
    plan_rows_ahead(e, &plan);
    e->lanes = plan.lanes;
    part_open(e, arena_printf(e->arena, "kernel_%s", kernel->name));
    if (plan.parts == 1)
        e->part = whole_like(e->i64, 0); /* so the loop over items has known ends: often it is none */
    V function = e->function;
    open_locals(e, &plan);
    if (plan.one_vector)
        bind_rows(e, &plan);
    open_partials(e, &plan);
    at_level(e, 0);
    V first = LLVMBuildNSWMul(e->builder, e->part, whole_like(e->i64, plan.items_per_part), "");
    V end = smaller(e, LLVMBuildNSWAdd(e->builder, first, whole_like(e->i64, plan.items_per_part), ""),
                    whole_like(e->i64, plan.items));
    V item = loop_open(e, first, end, 1);
    if (!plan.columns) {
        bind_outer(e, &plan, item);
        emit_stages(e, &plan);
    } else if (plan.blocks == 1) {
        bind_outer(e, &plan, item);
        emit_block(e, &plan, whole_like(e->i64, 0));
    } else {
        V blocks = whole_like(e->i64, plan.blocks);
        bool one_row = plan.items == plan.blocks;
        V block = one_row ? item : LLVMBuildURem(e->builder, item, blocks, "");
        bind_outer(e, &plan, one_row ? whole_like(e->i64, 0) : LLVMBuildUDiv(e->builder, item, blocks, ""));
        emit_block(e, &plan, LLVMBuildNSWMul(e->builder, block, whole_like(e->i64, plan.block), ""));
    }
    loop_close(e);
    e->mask = NULL;
    close_partials(e, &plan);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){function, plan.parts, ALWAYS});
    emit_joins(e, &plan, functions);
    e->kernel = NULL;
}
