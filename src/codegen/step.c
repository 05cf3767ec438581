/* step.c: the function that is called: kernels in order, the check of the guards before anything of the run is written,
   then the updates that are not made in place. */
#include "tile.h"

typedef LLVMValueRef V;

static bool of_the_run(const struct ir_tensor *t)
{
    return t->region == IR_IN_PARAMETERS || t->region == IR_IN_STATE;
}

static bool writes_the_run(const struct ir_kernel *kernel)
{
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            if (of_the_run(kernel->stages.at[i]->equations.at[k]))
                return true;
    return false;
}

/* Returns RNET_NONFINITE from the step if a guard is not finite. */
static void emit_guards(struct emitter *e)
{
    V finite = NULL;

    at_level(e, 0);
    for (int i = 0; i < e->program->outputs.count; i++) {
        const struct ir_output *output = &e->program->outputs.at[i];
        if (!output->guard || output->tensor->whole)
            continue;
        LLVMTypeRef type = storage_type(e, output->tensor->storage);
        V value = LLVMBuildLoad2(e->builder, type, tensor_base(e, output->tensor), "");
        V size = intrinsic(e, "llvm.fabs", &type, 1, &value, 1);
        V fine = LLVMBuildFCmp(e->builder, LLVMRealOLT, size, number_like(type, __builtin_inf()), "");
        finite = finite ? LLVMBuildAnd(e->builder, finite, fine, "") : fine;
    }
    if (!finite)
        return;
    if_open(e, LLVMBuildNot(e->builder, finite, ""));
    LLVMBasicBlockRef after = e->levels[e->depth].exit;
    LLVMBuildRet(e->builder, whole_like(e->i32, RNET_NONFINITE));
    e->block = LLVMAppendBasicBlockInContext(e->context, e->function, ""); /* never reached */
    if_close(e);
    LLVMMoveBasicBlockAfter(after, e->entry);
}

/* context: the step, or a copy of it with a time. */
static void call_part(struct emitter *e, const struct part_function *part, V context)
{
    at_level(e, e->depth);
    if (part->parts == 1) {
        V arguments[] = {context, whole_like(e->i64, 0)};
        LLVMBuildCall2(e->builder, e->part_type, part->function, arguments, 2, "");
        return;
    }
    LLVMTypeRef types[] = {e->pointer, e->pointer, e->pointer, e->i64};
    LLVMTypeRef type = LLVMFunctionType(e->nothing, types, 4, false);
    V pool = LLVMBuildLoad2(e->builder, e->pointer, offset_constant(e, e->step, offsetof(struct rnet_step, pool)), "");
    V arguments[] = {pool, part->function, context, whole_like(e->i64, part->parts)};
    LLVMBuildCall2(e->builder, type, runtime_function(e, "rnet_pool_run", type), arguments, 4, "");
}

static int64_t bytes_of(const struct ir_tensor *t)
{
    return ir_elements(t) * storage_bytes(t->storage);
}

static void copy_tensor(struct emitter *e, V to, const struct ir_tensor *leaf, V from, const struct ir_tensor *value)
{
    at_level(e, 0);
    if (leaf->storage == value->storage) {
        LLVMBuildMemCpy(e->builder, to, 8, from, 8, whole_like(e->i64, bytes_of(leaf)));
        return;
    }
    V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, ir_elements(leaf)), 1);
    LLVMTypeRef type = storage_type(e, value->storage);
    struct value v = {NULL, value->storage == IR_F32 || value->storage == IR_F64 ? REAL : WHOLE, 0};
    V step = whole_like(e->i64, storage_bytes(value->storage));
    v.at = LLVMBuildLoad2(e->builder, type, offset_pointer(e, from, LLVMBuildMul(e->builder, at, step, "")), "");
    if (value->storage == IR_U8)
        v.at = LLVMBuildZExt(e->builder, v.at, e->i32, "");
    emit_store_at(e, leaf, v, at);
    loop_close(e);
}

static bool is_updated(const struct ir_program *p, const struct ir_tensor *leaf)
{
    for (int i = 0; i < p->updates.count; i++)
        if (p->updates.at[i].leaf == leaf)
            return true;
    return false;
}

/* A value that is itself a leaf with an update is saved first: all updates happen at once. */
static void emit_updates(struct emitter *e)
{
    const struct ir_program *p = e->program;
    V *saved = NEW_ARRAY(e->arena, V, p->updates.count + 1);

    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_tensor *leaf = p->updates.at[i].leaf, *value = p->updates.at[i].value;
        if (value == leaf || !of_the_run(value) || !is_updated(p, value))
            continue;
        int64_t offset = take_scratch(e, bytes_of(value));
        at_level(e, 0);
        saved[i] = scratch_base(e, offset);
        LLVMBuildMemCpy(e->builder, saved[i], 8, tensor_base(e, value), 8, whole_like(e->i64, bytes_of(value)));
    }
    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_tensor *leaf = p->updates.at[i].leaf, *value = p->updates.at[i].value;
        if (leaf->region == value->region && leaf->offset == value->offset)
            continue;
        at_level(e, 0);
        copy_tensor(e, tensor_base(e, leaf), leaf, saved[i] ? saved[i] : tensor_base(e, value), value);
    }
}

/* Kernels first .. end - 1, of one recurrence: all of them for each step of its time, in its order. */
static void emit_recurrence(struct emitter *e, const part_functions *functions, int first, int end)
{
    const struct ir_recurrence *recurrence = e->program->kernels.at[first]->recurrence;
    V steps = whole_like(e->i64, recurrence->extent);
    V context = stack_room(e, e->i8, sizeof(struct timed_step));

    at_level(e, 0);
    LLVMBuildMemCpy(e->builder, context, 8, e->step, 8, whole_like(e->i64, sizeof(struct rnet_step)));
    V count = loop_open(e, whole_like(e->i64, 0), steps, 1);
    V last = whole_like(e->i64, recurrence->extent - 1);
    V time = recurrence->down ? LLVMBuildNSWSub(e->builder, last, count, "") : count;
    LLVMBuildStore(e->builder, time, offset_constant(e, context, offsetof(struct timed_step, time)));
    V is_first = LLVMBuildICmp(e->builder, LLVMIntEQ, count, whole_like(e->i64, 0), "");
    for (int i = first; i < end; i++)
        for (int k = 0; k < functions[i].count; k++) {
            const struct part_function *part = &functions[i].at[k];
            at_level(e, e->depth);
            if (part->when != ALWAYS)
                if_open(e, part->when == FIRST_STEP ? is_first : LLVMBuildNot(e->builder, is_first, ""));
            call_part(e, part, context);
            if (part->when != ALWAYS)
                if_close(e);
        }
    loop_close(e);
}

static void emit_kernel(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions)
{
    if (kernel->kind == IR_SCATTER_KERNEL)
        emit_scatter(e, kernel, functions);
    else if (kernel->kind == IR_OPAQUE_KERNEL)
        emit_opaque(e, kernel, functions);
    else if (kernel->kind == IR_NEST || !emit_product(e, kernel, functions))
        emit_nest(e, kernel, functions);
}

void emit_step(struct emitter *e)
{
    const struct ir_program *p = e->program;
    part_functions *functions = NEW_ARRAY(e->arena, part_functions, p->kernels.count + 1);
    bool guarded = false;

    for (int i = 0; i < p->kernels.count; i++)
        emit_kernel(e, p->kernels.at[i], &functions[i]);
    function_open(e, "step", true);
    for (int i = 0; i < p->kernels.count; i++) {
        int end = i + 1;

        if (p->kernels.at[i]->recurrence) {
            while (end < p->kernels.count && p->kernels.at[end]->recurrence == p->kernels.at[i]->recurrence)
                end++;
            emit_recurrence(e, functions, i, end);
            i = end - 1;
            continue;
        }
        if (!guarded && writes_the_run(p->kernels.at[i])) {
            emit_guards(e);
            guarded = true;
        }
        for (int k = 0; k < functions[i].count; k++)
            call_part(e, &functions[i].at[k], e->step);
    }
    if (!guarded)
        emit_guards(e);
    emit_updates(e);
    at_level(e, 0);
    LLVMBuildRet(e->builder, whole_like(e->i32, RNET_DONE));
    function_close(e);
    emit_draw_functions(e);
    emit_tile_functions(e);
}
