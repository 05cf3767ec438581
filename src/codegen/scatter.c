/* scatter.c: a scatter kernel as two functions: zeros everywhere, then the sums.

   Each element's sources are added in increasing order, whatever the parts: an index that is a target by itself has for
   each of its values elements of its own, so that along it parts are cut and lanes lie side by side; along the others
   one source comes after the other. With no such index there is one part. */
#include "emit.h"

typedef LLVMValueRef V;

enum { ZEROED_BYTES = 1 << 18, PART_SOURCES = 16384, LEAST_LANES = 4 * LANES };

static V least(struct emitter *e, V a, V b)
{
    return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, a, b, ""), a, b, "");
}

/* Numbers first .. end - 1 of `extent` for the part at hand, `each` of them to a part. */
static void range_of_part(struct emitter *e, int64_t extent, int64_t each, V *first, V *end)
{
    *first = LLVMBuildNSWMul(e->builder, e->part, whole_like(e->i64, each), "");
    *end = least(e, LLVMBuildNSWAdd(e->builder, *first, whole_like(e->i64, each), ""), whole_like(e->i64, extent));
}

static void emit_zeros(struct emitter *e, const struct ir_tensor *t, part_functions *functions)
{
    int64_t bytes = ir_elements(t) * storage_bytes(t->storage), each = (bytes + MAX_PARTS - 1) / MAX_PARTS;
    V first, end;

    each = each < ZEROED_BYTES ? ZEROED_BYTES : (each + 63) / 64 * 64;
    part_open(e, arena_printf(e->arena, "kernel_%s_zeros", e->kernel->name));
    range_of_part(e, bytes, each, &first, &end);
    V start = offset_pointer(e, tensor_base(e, t), first);
    LLVMBuildMemSet(e->builder, start, whole_like(e->i8, 0), LLVMBuildNSWSub(e->builder, end, first, ""), 1);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, (bytes + each - 1) / each, ALWAYS});
}

struct scattering {
    const struct ir_tensor *tensor;
    struct ir_index *lanes, *cut; /* of the sources, or NULL */
    int64_t each, parts;
    V first, end; /* of the index that is cut */
};

static void choose_indices(struct scattering *s)
{
    const struct ir_tensor *t = s->tensor;
    int64_t sources = ir_extent_product(t->reduced, t->reduced_count);
    struct ir_index *last = t->rank ? ir_form_bare(t->targets[t->rank - 1]) : NULL;

    if (last && last->extent >= LANES / 2)
        s->lanes = last;
    for (int i = 0; i < t->rank; i++) {
        struct ir_index *index = ir_form_bare(t->targets[i]);

        if (index && index != s->lanes && (!s->cut || index->extent > s->cut->extent))
            s->cut = index;
    }
    if (s->lanes && (!s->cut || s->cut->extent * LEAST_LANES < s->lanes->extent))
        s->cut = s->lanes;
    s->each = s->parts = 1;
    if (!s->cut)
        return;
    int64_t parts = sources / PART_SOURCES < 1 ? 1 : sources / PART_SOURCES;
    if (parts > MAX_PARTS)
        parts = MAX_PARTS;
    s->each = (s->cut->extent + parts - 1) / parts;
    if (s->cut == s->lanes)
        s->each = (s->each + LEAST_LANES - 1) / LEAST_LANES * LEAST_LANES;
    s->parts = (s->cut->extent + s->each - 1) / s->each;
}

static void emit_source(struct emitter *e, const struct ir_tensor *t)
{
    operate_as(e, t);
    emit_increase(e, t, t->targets, emit_expr(e, t->value));
}

static void emit_lanes(struct emitter *e, const struct scattering *s)
{
    int64_t extent = s->lanes->extent, left = extent % LANES;
    bool cut = s->cut == s->lanes && s->parts > 1;
    V first = cut ? s->first : whole_like(e->i64, 0), end = cut ? s->end : whole_like(e->i64, extent);

    at_level(e, e->depth);
    V full = left ? LLVMBuildAnd(e->builder, end, whole_like(e->i64, -LANES), "") : end;
    V at = loop_open(e, first, full, LANES);
    bind(e, s->lanes, at, true);
    emit_source(e, s->tensor);
    loop_close(e);
    if (!left)
        return;
    if_open(e, cut ? LLVMBuildICmp(e->builder, LLVMIntSLT, full, end, "") : NULL);
    bind(e, s->lanes, whole_like(e->i64, extent - left), true);
    e->mask = lanes_below(e, left);
    e->mask_level = e->depth;
    emit_source(e, s->tensor);
    e->mask = NULL;
    e->mask_level = 0;
    if_close(e);
}

void emit_scatter(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions)
{
    struct scattering s = {.tensor = kernel->stages.at[0]->equations.at[0]};
    const struct ir_tensor *t = s.tensor;

    if (t->region == IR_NOWHERE)
        return;
    e->kernel = kernel;
    choose_indices(&s);
    emit_zeros(e, t, functions);
    part_open(e, arena_printf(e->arena, "kernel_%s", kernel->name));
    if (s.cut)
        range_of_part(e, s.cut->extent, s.each, &s.first, &s.end);
    if (s.cut && s.cut != s.lanes) {
        V at = loop_open(e, s.first, s.end, 1);
        bind(e, s.cut, at, false);
    }
    for (int i = 0; i < t->reduced_count; i++) {
        struct ir_index *index = t->reduced[i];

        if (index == s.lanes || index == s.cut)
            continue;
        V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, index->extent), 1);
        bind(e, index, at, false);
    }
    if (s.lanes)
        emit_lanes(e, &s);
    else
        emit_source(e, t);
    while (e->depth)
        loop_close(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, s.parts, ALWAYS});
    e->kernel = NULL;
}
