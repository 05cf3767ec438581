/* pack.c: operands of products as BLAS wants them.

   requires: no kernels yet. maintains: every value, bit for bit in the evaluator. breaks: adds equations.
   A large sum of products that product_match refuses for how an operand is read (a gather, a guard, a window, steps of
   a longer axis) becomes one over copies of its operands, whose axes are the indices that the read has: those of the
   output together and those summed together, in each in the order in which they run through memory, whichever holds the
   fastest last. A copy pays if each of its elements is used often. A copy of windows is larger than what it copies, so
   it is made anew for each product and lives only until that is done (fuse.c leaves it alone); none is made where
   windows overlap too much. */
#include "internal.h"

#include <stdlib.h>

enum { USES = 16, LARGER = 16, MOST_AXES = 16, MOST_ELEMENTS = 1 << 27 };

struct packing {
    struct ir_program *p;
    const struct ir_expr *from[2], *to[2];
    struct ir_tensor *copies[2];
};

static bool is_output(const struct ir_tensor *q, const struct ir_index *index)
{
    for (int i = 0; i < q->rank; i++)
        if (q->axes[i] == index)
            return true;
    return false;
}

/* The indices of the read in the order of its copy's axes. */
static ir_index_list axes_of_copy(struct ir_program *p, struct arena *arena, const struct ir_tensor *q,
                                  const struct ir_expr *read)
{
    const struct ir_form *address = read_address(p, read);
    ir_index_list found = {0}, axes = {0};
    bool fastest_summed = false;
    int64_t fastest = INT64_MAX;

    ir_indices(arena, read, &found);
    for (int i = 0; i < found.count; i++) {
        int64_t stride = llabs(ir_form_coefficient(address, found.at[i]));

        if (stride && stride < fastest && found.at[i]->extent > 1) {
            fastest = stride;
            fastest_summed = !is_output(q, found.at[i]);
        }
    }
    for (int group = 0; group < 2; group++) {
        int first = axes.count;

        for (int i = 0; i < found.count; i++) {
            int64_t stride = llabs(ir_form_coefficient(address, found.at[i]));
            int at = axes.count;

            if (is_output(q, found.at[i]) == (fastest_summed == (group == 1)))
                continue;
            list_add(arena, axes, found.at[i]);
            /* What moves by data alone has no stride: it stays where it was found, before the others. */
            for (; stride && at > first && llabs(ir_form_coefficient(address, axes.at[at - 1])) < stride &&
                   ir_form_coefficient(address, axes.at[at - 1]);
                 at--) {
                axes.at[at] = axes.at[at - 1];
                axes.at[at - 1] = found.at[i];
            }
        }
    }
    return axes;
}

static const struct ir_expr *replace(struct ir_program *p, const struct ir_expr *read, void *context)
{
    const struct packing *packing = context;

    (void)p;
    for (int i = 0; i < 2; i++)
        if (packing->to[i] && packing->from[i] == read)
            return packing->to[i];
    return read;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* May the read be copied for q? Its axes are then those of the copy. */
static bool worth_copying(struct packing *packing, struct arena *arena, const struct ir_tensor *q, int which,
                          ir_index_list *axes)
{
    const struct ir_expr *read = packing->from[which], *other = packing->from[!which];
    int64_t elements, there = larger(ir_elements(q), larger(ir_elements(read->tensor), ir_elements(other->tensor)));

    if (read->whole || read->tensor->kind == IR_SCALAR)
        return false;
    *axes = axes_of_copy(packing->p, arena, q, read);
    elements = ir_extent_product(axes->at, axes->count);
    return axes->count && axes->count <= MOST_AXES && iteration_points(q) >= USES * elements &&
           elements <= LARGER * there && elements <= MOST_ELEMENTS;
}

/* Is q a product with these operands copied (bit 0, bit 1)? */
static bool try_copies(struct packing *packing, struct arena *arena, struct ir_tensor *q, int operands)
{
    struct ir_program *p = packing->p;
    struct ir_tensor trial = *q;

    for (int i = 0; i < 2; i++) {
        const struct ir_form *subscripts[MOST_AXES];
        const struct ir_expr *read = packing->from[i];
        ir_index_list axes;

        packing->to[i] = NULL;
        packing->copies[i] = NULL;
        if (!(operands & 1 << i))
            continue;
        if (!worth_copying(packing, arena, q, i, &axes))
            return false;
        struct ir_tensor *copy = ir_equation(p, arena_printf(p->arena, "%s.packed", read->tensor->name), axes.at,
                                             axes.count, IR_MAP, NULL, 0, read, false, q->origin);
        for (int k = 0; k < axes.count; k++)
            subscripts[k] = ir_form_index(p, axes.at[k]);
        packing->copies[i] = copy;
        packing->to[i] = ir_read(p, copy, subscripts, axes.count, NULL);
    }
    trial.value = rewrite(p, q->value, NULL, NULL, 0, replace, packing);
    if (!is_product(p, &trial))
        return false;
    q->value = trial.value;
    return true;
}

void pack_operands(struct ir_program *p)
{
    struct arena *arena = arena_new();
    int count = p->tensors.count;
    tensor_list order = {0};

    for (int i = 0; i < count; i++) {
        struct ir_tensor *q = p->tensors.at[i];
        struct packing packing = {.p = p};
        struct ir_tensor *frames[2];
        bool packed = false;

        if (is_tiled(p, q)) {
            list_add(p->arena, order, q);
            continue;
        }
        for (int k = 0, made = frame_windows(p, arena, q, frames); k < made; k++) {
            list_add(p->arena, order, frames[k]);
            packed = k + 1 == made;
        }
        if (packed || split_residues(p, arena, q, &order)) {
            list_add(p->arena, order, q);
            continue;
        }
        if (is_plain(q) && q->reduction == IR_SUM && !is_product(p, q) && product_operands(q->value, packing.from) &&
            iteration_points(q) >= 1 << 16)
            for (int operands = 1; operands < 4 && !packed; operands++)
                packed = try_copies(&packing, arena, q, operands);
        for (int k = 0; packed && k < 2; k++)
            if (packing.copies[k])
                list_add(p->arena, order, packing.copies[k]);
        list_add(p->arena, order, q);
    }
    set_tensors(p, order.at, order.count);
    arena_free(arena);
}
