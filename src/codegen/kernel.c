/* kernel.c: a kernel by its kind. */
#include "tile.h"

void emit_kernel(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions)
{
    if (kernel->kind == IR_SCATTER_KERNEL)
        emit_scatter(e, kernel, functions);
    else if (kernel->kind == IR_OPAQUE_KERNEL)
        emit_opaque(e, kernel, functions);
    else if (kernel->kind == IR_NEST || !emit_product(e, kernel, functions))
        emit_nest(e, kernel, functions);
}

bool emit_shared(struct emitter *e, const char *name)
{
    return emit_draw_function(e, name) || emit_tile_function(e, name);
}
