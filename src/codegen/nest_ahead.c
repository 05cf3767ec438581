/* nest_ahead.c: a nest's rows that leave the first cache. Where several stages go over a row, the first waits for memory to bring
   it, while a later one computes on what is at hand: that one asks for the next point's row (softmax with cross-entropy of 700
   x 10000, written over the logits: 1.1 times as fast). No number changes. */
#include "emit.h"

/* LEAST_ROW: bytes; shorter rows stay in the first cache, and the machine sees the next one coming. */
enum { LEAST_ROW = 1 << 14, LINE = 64 };

static bool is_stored(const struct ir_tensor *t)
{
    return t->kind != IR_DRAW && t->region != IR_LOCAL && t->region != IR_NOWHERE;
}

/* Does a stage go over rows, one vector loop and nothing else? */
static bool is_row(const struct stage_plan *stage)
{
    return stage->inner_count == 1 && stage->vector == 0 && stage->across < 0 && !stage->sums.together && !stage->bound;
}

/* Is the subscript of each axis but the last one of the parallel indices, in their order, and the last `along`? */
static bool is_own_row(const struct ir_kernel *kernel, const struct ir_expr *read, const struct ir_index *along)
{
    const struct ir_tensor *t = read->tensor;

    if (t->rank != kernel->parallel.count + 1 || ir_form_bare(read->subscripts[t->rank - 1]) != along)
        return false;
    for (int i = 0; i < t->rank - 1; i++)
        if (ir_form_bare(read->subscripts[i]) != kernel->parallel.at[i])
            return false;
    return true;
}

struct found {
    struct emitter *e;
    struct kernel_plan *plan;
    struct stage_plan *stage;
    const struct ir_tensor *tensor; /* of which a read is looked for in the stage */
    bool there, idle;
};

static void note_same(const struct ir_expr *read, void *context)
{
    struct found *f = context;

    f->there |= read->tensor == f->tensor && is_own_row(f->plan->kernel, read, f->stage->inner[0]);
}

/* Does a stage before this one read the tensor's row? */
static bool is_at_hand(struct found *f, const struct ir_tensor *t)
{
    struct found before = {f->e, f->plan, f->plan->stages, t, false, false};

    for (; before.stage < f->stage; before.stage++)
        for (int k = 0; is_row(before.stage) && k < before.stage->count; k++)
            ir_reads(before.stage->equations[k].tensor->value, note_same, &before);
    return before.there;
}

static bool mentions(const struct ir_expr *read, const struct ir_index *index)
{
    bool any = false;

    for (int i = 0; i < read->tensor->rank; i++)
        any |= ir_form_mentions(read->subscripts[i], index);
    return any;
}

/* What is not at hand keeps the stage waiting itself: it is not idle. What all points read stays in the caches. */
static void note_read(const struct ir_expr *read, void *context)
{
    struct found *f = context;
    const struct ir_kernel *kernel = f->plan->kernel;
    bool differs = false;

    for (int i = 0; i < kernel->parallel.count; i++)
        differs |= mentions(read, kernel->parallel.at[i]);
    if (!is_stored(read->tensor) || !differs || !mentions(read, f->stage->inner[0]))
        return;
    for (int i = 0; i < f->stage->soon.count; i++)
        if (f->stage->soon.at[i].tensor == read->tensor)
            return;
    if (is_own_row(kernel, read, f->stage->inner[0]) && is_at_hand(f, read->tensor))
        list_add(f->e->arena, f->stage->soon, (struct soon){read->tensor, read->subscripts});
    else
        f->idle = false;
}

void plan_rows_ahead(struct emitter *e, struct kernel_plan *plan)
{
    if (plan->columns || plan->one_vector || plan->kernel->time)
        return;
    for (int i = 1; i < plan->count; i++) {
        struct stage_plan *stage = &plan->stages[i];
        struct found f = {e, plan, stage, NULL, false, true};

        if (!is_row(stage) || stage->extents[0] * (e->program->precision == IR_SINGLE ? 4 : 8) < LEAST_ROW)
            continue;
        for (int k = 0; k < stage->count; k++) {
            const struct ir_tensor *t = stage->equations[k].tensor;
            f.idle &= !is_stored(t) || t->reduction != IR_MAP;
            ir_reads(t->value, note_read, &f);
        }
        if (f.idle && stage->soon.count)
            return;
        stage->soon.count = 0;
    }
}

void emit_rows_ahead(struct emitter *e, const struct stage_plan *stage)
{
    for (int i = 0; i < stage->soon.count; i++) {
        const struct soon *soon = &stage->soon.at[i];
        int64_t bytes = storage_bytes(soon->tensor->storage), row = stage->extents[0] * bytes;
        LLVMValueRef from = emit_address(e, soon->tensor, soon->subscripts);

        at_level(e, e->depth);
        for (int64_t at = 0; at < e->lanes * bytes; at += LINE) {
            LLVMValueRef prefetch[] = {offset_constant(e, from, row + at), whole_like(e->i32, 0),
                                       whole_like(e->i32, 2), whole_like(e->i32, 1)};
            intrinsic(e, "llvm.prefetch", &e->pointer, 1, prefetch, 4);
        }
    }
}
