/* cost.c: what an expression, an equation and a kernel cost. */
#include "internal.h"

double expression_flops(const struct ir_expr *e)
{
    struct arena *scratch = arena_new();
    expr_list parts = {0};
    double flops = 0;

    collect_applications(scratch, e, &parts);
    for (int i = 0; i < parts.count; i++)
        flops += ir_operators[parts.at[i]->op].work;
    arena_free(scratch);
    return flops;
}

static bool rounds(const struct ir_expr *e, const void *unused)
{
    const int64_t exact = 1 << 24; /* whole numbers up to here are the same in f32 */

    (void)unused;
    return e->kind == IR_APPLY && (!e->whole || e->low < -exact || e->high > exact);
}

bool expression_rounds(const struct ir_expr *e)
{
    return ir_any(e, rounds, NULL);
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
