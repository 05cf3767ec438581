/* turn.c: operands of contractions whose loops run along the output's last axis.

   requires: no kernels yet. maintains: every value, bit for bit. breaks: adds equations.
   The loops of a contraction (fuse.c) multiply a number of one operand with a vector of the other. If that one lies with the
   vector's numbers far apart, each vector would be gathered, again for every few rows; so it is copied first, turned about. */
#include "internal.h"

/* Rows that are made of one vector of the operand: with no more than these the copy would be read once. */
enum { ROWS_TOGETHER = 16, MOST_AXES = 16 };

struct turning {
    const struct ir_expr *from, *to;
};

static const struct ir_expr *replace(struct ir_program *p, const struct ir_expr *read, void *context)
{
    const struct turning *turning = context;

    (void)p;
    return read == turning->from ? turning->to : read;
}

/* What both operands run along, then what is summed, then what the columns run along. */
static ir_index_list axes_of_copy(struct arena *arena, const struct ir_tensor *q, const struct product *product)
{
    ir_index_list axes = {0};

    for (int i = 0; i < q->rank; i++)
        if (mentions(arena, product->b, &q->axes[i], 1) && mentions(arena, product->a, &q->axes[i], 1))
            list_add(arena, axes, q->axes[i]);
    for (int i = 0; i < q->reduced_count; i++)
        list_add(arena, axes, q->reduced[i]);
    for (int i = 0; i < q->rank; i++)
        if (mentions(arena, product->b, &q->axes[i], 1) && !mentions(arena, product->a, &q->axes[i], 1))
            list_add(arena, axes, q->axes[i]);
    return axes;
}

static void turn(struct ir_program *p, struct arena *arena, struct ir_tensor *q, const struct product *product)
{
    const struct ir_form *subscripts[MOST_AXES];
    struct turning turning = {product->b, NULL};
    ir_index_list axes = axes_of_copy(arena, q, product);
    struct ir_tensor *copy;

    if (axes.count > MOST_AXES)
        return;
    copy = ir_equation(p, arena_printf(p->arena, "%s.turned", product->b->tensor->name), axes.at, axes.count, IR_MAP, NULL,
                       0, product->b, false, q->origin);
    for (int i = 0; i < axes.count; i++)
        subscripts[i] = ir_form_index(p, axes.at[i]);
    turning.to = ir_read(p, copy, subscripts, axes.count, NULL);
    q->value = rewrite(p, q->value, NULL, NULL, 0, replace, &turning);
    insert_before(p, q, copy);
}

void turn_operands(struct ir_program *p)
{
    struct arena *arena = arena_new();

    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *q = p->tensors.at[i];
        struct product product;

        if (is_contraction(p, q) && product_match(p, q, &product) && product.b_transposed &&
            product.m > ROWS_TOGETHER && product.b->tensor->rank)
            turn(p, arena, q, &product);
        i = q->number; /* the copy was put before it */
    }
    arena_free(arena);
}
