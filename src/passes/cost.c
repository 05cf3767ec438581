/* cost.c: what an expression, an equation and a kernel cost. */
#include "internal.h"

struct walk {
    struct arena *arena;
    expr_list done;
    double flops;
};

static void walk(struct walk *w, const struct ir_expr *e)
{
    if (e->kind != IR_APPLY)
        return;
    for (int i = 0; i < w->done.count; i++)
        if (w->done.at[i] == e)
            return;
    list_add(w->arena, w->done, e);
    w->flops += ir_operators[e->op].work;
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        walk(w, e->arguments[i]);
}

double expression_flops(const struct ir_expr *e)
{
    struct walk w = {.arena = arena_new()};

    walk(&w, e);
    arena_free(w.arena);
    return w.flops;
}

bool expression_rounds(const struct ir_expr *e)
{
    const int64_t exact = 1 << 24; /* whole numbers up to here are the same in f32 */

    if (e->kind != IR_APPLY)
        return false;
    if (!e->whole || e->low < -exact || e->high > exact)
        return true;
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        if (expression_rounds(e->arguments[i]))
            return true;
    return false;
}

int64_t iteration_points(const struct ir_tensor *t)
{
    return (t->targets ? 1 : ir_elements(t)) * ir_extent_product(t->reduced, t->reduced_count);
}

int64_t points_at_once(const struct ir_tensor *t)
{
    return iteration_points(t) / (t->recurrence ? t->recurrence->extent : 1);
}

enum ir_storage storage_of(const struct ir_program *p, const struct ir_tensor *t)
{
    if (t->whole && t->kind != IR_PARAMETER && t->kind != IR_STATE) {
        if (t->low >= 0 && t->high <= UINT8_MAX)
            return IR_U8;
        if (t->low >= INT32_MIN && t->high <= INT32_MAX)
            return IR_I32;
    }
    return p->precision == IR_DOUBLE ? IR_F64 : IR_F32;
}

int64_t stored_bytes(const struct ir_program *p, const struct ir_tensor *t)
{
    enum ir_storage storage = storage_of(p, t);

    return ir_elements(t) * (storage == IR_U8 ? 1 : storage == IR_F64 ? 8 : 4);
}

struct touch {
    const struct ir_program *p;
    const struct ir_kernel *kernel;
    struct arena *arena;
    tensor_list read;
};

static bool makes(const struct ir_kernel *kernel, const struct ir_tensor *t)
{
    for (int i = 0; i < kernel->stages.count; i++)
        for (int j = 0; j < kernel->stages.at[i]->equations.count; j++)
            if (kernel->stages.at[i]->equations.at[j] == t)
                return true;
    return false;
}

static void touch(const struct ir_expr *read, void *context)
{
    struct touch *t = context;

    if (read->tensor->kind == IR_DRAW || read->tensor->kind == IR_SCALAR || makes(t->kernel, read->tensor))
        return;
    for (int i = 0; i < t->read.count; i++)
        if (t->read.at[i] == read->tensor)
            return;
    list_add(t->arena, t->read, read->tensor);
}

void kernel_cost(const struct ir_program *p, const struct ir_kernel *kernel, double *flops, double *bytes)
{
    struct touch t = {p, kernel, arena_new(), {0}};

    *flops = *bytes = 0;
    for (int i = 0; i < kernel->stages.count; i++)
        for (int j = 0; j < kernel->stages.at[i]->equations.count; j++) {
            const struct ir_tensor *e = kernel->stages.at[i]->equations.at[j];

            if (e->kind == IR_EQUATION)
                *flops += (double)iteration_points(e) * (expression_flops(e->value) + (e->reduction != IR_MAP));
            if (e->region != IR_LOCAL)
                *bytes += (double)stored_bytes(p, e);
            for_reads(e, touch, &t);
        }
    for (int i = 0; i < t.read.count; i++)
        *bytes += (double)stored_bytes(p, t.read.at[i]);
    arena_free(t.arena);
}
