/* opaque.c: an operation that no equation says as calls into the runtime, one for each value of the axes before its
   own, a range of them to each part; in a recurrence those of one step. An operand that is not stored as the runtime
   takes it (a draw, a whole number) is copied first. */
#include "emit.h"

typedef LLVMValueRef V;

/* One operand: where its numbers are, and how many a call takes. */
struct operand {
    const struct ir_tensor *tensor; /* NULL: in scratch */
    int64_t offset, elements;       /* bytes in scratch; of one block */
    enum ir_storage storage;
};

/* time: which axis the recurrence around runs along; -1: none. */
static void copy_operand(struct emitter *e, struct ir_tensor *t, int time, enum ir_storage storage, int64_t offset,
                         part_functions *functions)
{
    const struct ir_form **subscripts = NEW_ARRAY(e->arena, const struct ir_form *, t->rank + 1);
    int64_t *strides = NEW_ARRAY(e->arena, int64_t, t->rank + 1), stride = 1;
    struct ir_tensor copy = {.name = t->name, .storage = storage};

    for (int i = t->rank - 1; i >= 0; i--) {
        subscripts[i] = ir_form_index(e->program, t->axes[i]);
        strides[i] = stride;
        stride *= t->axes[i]->extent;
    }
    part_open(e, arena_printf(e->arena, "kernel_%s_copy_of_%d", e->kernel->name, t->number));
    for (int i = 0; i < t->rank; i++) {
        if (i == time) {
            bind(e, t->axes[i], binding_of(e, e->kernel->time)->scalar, false);
            continue;
        }
        V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, t->axes[i]->extent), 1);
        bind(e, t->axes[i], at, false);
    }
    e->single = storage == IR_F32;
    e->rounded = false;
    struct value v = emit_expr(e, ir_read(e->program, t, subscripts, t->rank, NULL));
    struct value element = emit_form(e, linear_form(e, t, subscripts, strides));
    at_level(e, e->depth);
    emit_store_from(e, scratch_base(e, offset), &copy, v, element.at);
    while (e->depth)
        loop_close(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, 1, ALWAYS});
}

static struct operand operand_of(struct emitter *e, struct ir_tensor *t, int time, int64_t blocks,
                                 enum ir_storage storage, part_functions *functions)
{
    struct operand operand = {t, 0, ir_elements(t) / blocks, storage};

    if (t->region > IR_LOCAL && t->storage == storage && t->kind != IR_SCALAR)
        return operand;
    operand.tensor = NULL;
    operand.offset = take_scratch(e, ir_elements(t) * storage_bytes(storage));
    copy_operand(e, t, time, storage, operand.offset, functions);
    return operand;
}

static V block_pointer(struct emitter *e, const struct operand *operand, V block)
{
    int64_t bytes = operand->elements * storage_bytes(operand->storage);
    V base = operand->tensor ? tensor_base(e, operand->tensor) : scratch_base(e, operand->offset);

    return offset_pointer(e, base, LLVMBuildNSWMul(e->builder, block, whole_like(e->i64, bytes), ""));
}

static void call(struct emitter *e, const char *name, bool single, const int64_t *sizes, int size_count, V *pointers,
                 int count)
{
    LLVMTypeRef types[8];
    V arguments[8];

    for (int i = 0; i < size_count; i++) {
        types[i] = e->i64;
        arguments[i] = whole_like(e->i64, sizes[i]);
    }
    for (int i = 0; i < count; i++) {
        types[size_count + i] = e->pointer;
        arguments[size_count + i] = pointers[i];
    }
    LLVMTypeRef type = LLVMFunctionType(e->nothing, types, (unsigned)(size_count + count), false);
    V function = runtime_function(e, arena_printf(e->arena, "rnet_%s_%s", name, single ? "f32" : "f64"), type);
    LLVMBuildCall2(e->builder, type, function, arguments, (unsigned)(size_count + count), "");
}

/* Ranks come as i32; stored otherwise they are copied from scratch. */
static void store_ranks(struct emitter *e, const struct ir_tensor *t, V ranks, V block, int64_t count)
{
    V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, count), 1);
    V bytes = LLVMBuildNSWMul(e->builder, at, whole_like(e->i64, 4), "");
    struct value v = {LLVMBuildLoad2(e->builder, e->i32, offset_pointer(e, ranks, bytes), ""), WHOLE, e->depth};
    V row = LLVMBuildNSWMul(e->builder, block, whole_like(e->i64, count), "");

    emit_store_at(e, t, v, LLVMBuildNSWAdd(e->builder, row, at, ""));
    loop_close(e);
}

static void emit_block(struct emitter *e, const struct ir_tensor *t, bool single, const int64_t *sizes, V a, V b, V out,
                       V scratch, V block)
{
    switch (t->opaque) {
    case IR_RANK: {
        V ranks = offset_constant(e, scratch, 4 * sizes[1]);
        V pointers[] = {a, t->storage == IR_I32 ? out : ranks, scratch};
        call(e, "rank", single, &sizes[1], 1, pointers, 3);
        if (t->storage != IR_I32)
            store_ranks(e, t, ranks, block, sizes[1]);
        return;
    }
    case IR_SOLVE:
        call(e, "solve", single, &sizes[1], 1, (V[]){a, b, out, scratch}, 4);
        return;
    case IR_CHOLESKY:
        call(e, "cholesky", single, &sizes[1], 1, (V[]){a, out}, 2);
        return;
    case IR_ORTHOGONAL:
        call(e, "orthogonal", single, sizes, 2, (V[]){a, out, scratch}, 3);
        return;
    }
}

static int64_t smaller_of(const int64_t *sizes)
{
    return sizes[0] < sizes[1] ? sizes[0] : sizes[1];
}

/* The number among all of a recurrence's blocks of one of those of a step. */
static V block_in_time(struct emitter *e, const struct ir_tensor *t, int own, V block)
{
    V behind = whole_like(e->i64, ir_extent_product(t->axes + t->time + 1, t->rank - own - t->time - 1));
    V row = LLVMBuildUDiv(e->builder, block, behind, ""), at = LLVMBuildURem(e->builder, block, behind, "");

    row = LLVMBuildNSWMul(e->builder, row, whole_like(e->i64, t->recurrence->extent), "");
    row = LLVMBuildNSWAdd(e->builder, row, binding_of(e, t->axes[t->time])->scalar, "");
    return LLVMBuildNSWAdd(e->builder, LLVMBuildNSWMul(e->builder, row, behind, ""), at, "");
}

void emit_opaque(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions)
{
    struct ir_tensor *t = kernel->stages.at[0]->equations.at[0], *x = t->operands[0];
    int own = t->opaque == IR_RANK || t->opaque == IR_SOLVE ? 1 : 2, time = t->recurrence ? t->time : -1;
    int64_t all_blocks = ir_extent_product(t->axes, t->rank - own);
    int64_t blocks = all_blocks / (t->recurrence ? t->recurrence->extent : 1);
    bool single = e->program->precision == IR_SINGLE && !(t->opaque == IR_RANK && x->whole);
    enum ir_storage storage = single ? IR_F32 : IR_F64;
    int64_t sizes[2] = {x->rank > 1 ? x->axes[x->rank - 2]->extent : 1,
                        x->axes[x->rank - 1]->extent}; /* rows, columns */
    /* Numbers of scratch for one part, with what rnet.h asks for. */
    int64_t numbers = t->opaque == IR_RANK       ? 2 * sizes[1]
                      : t->opaque == IR_SOLVE    ? sizes[1] * sizes[1] + sizes[1]
                      : t->opaque == IR_CHOLESKY ? 0
                                                 : sizes[0] * sizes[1] + 34 * smaller_of(sizes);
    int64_t each = (blocks + MAX_PARTS - 1) / MAX_PARTS, parts, bytes = (8 * numbers + 63) / 64 * 64;
    double work = (double)sizes[1] * (t->opaque == IR_RANK ? 64 : (double)sizes[0] * (double)smaller_of(sizes));

    if (t->region == IR_NOWHERE)
        return;
    if ((double)each * work < 32768)
        each = (int64_t)(32768 / work) < 1 ? 1 : (int64_t)(32768 / work);
    parts = (blocks + each - 1) / each;
    e->kernel = kernel;
    struct operand a = operand_of(e, x, time, all_blocks, storage, functions), b = {0};
    if (t->operands[1])
        b = operand_of(e, t->operands[1], time, all_blocks, storage, functions);
    struct operand out = {t, 0, ir_elements(t) / all_blocks, t->storage};
    int64_t memory = take_scratch(e, bytes * parts);

    part_open(e, arena_printf(e->arena, "kernel_%s", kernel->name));
    V scratch = of_part(e, memory, bytes);
    V first = LLVMBuildNSWMul(e->builder, e->part, whole_like(e->i64, each), "");
    V wanted = LLVMBuildNSWAdd(e->builder, first, whole_like(e->i64, each), ""), all = whole_like(e->i64, blocks);
    V end = LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, wanted, all, ""), wanted, all, "");
    V block = loop_open(e, first, end, 1);
    if (t->recurrence)
        block = block_in_time(e, t, own, block);
    emit_block(e, t, single, sizes, block_pointer(e, &a, block), b.elements ? block_pointer(e, &b, block) : NULL,
               block_pointer(e, &out, block), scratch, block);
    loop_close(e);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, parts, ALWAYS});
    e->kernel = NULL;
}
