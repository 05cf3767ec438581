/* freeze.c: the loss as differentiate sees it. What stands under a `stop` is a constant there; so each becomes a leaf,
   filled once with the value at rest, and differences do not see through it either.

   requires: a verified program. maintains: what is there; new equations and leaves come after. */
#include "adjoint.h"

struct freezing {
    struct ir_program *p;
    struct ir_tensor *equation;
    struct node_table *done; /* expression of this equation -> what it became */
    frozen_list *frozen;
};

static const struct ir_expr *read_all(struct ir_program *p, struct ir_tensor *t)
{
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, t->rank);

    for (int i = 0; i < t->rank; i++)
        at[i] = ir_form_index(p, t->axes[i]);
    return ir_read(p, t, at, t->rank, NULL);
}

static const struct ir_expr *freeze_value(struct freezing *f, const struct ir_expr *value)
{
    const struct ir_tensor *q = f->equation;
    int rank = q->rank + q->reduced_count;
    struct ir_index **axes = NEW_ARRAY(f->p->arena, struct ir_index *, rank);
    struct frozen one;

    for (int i = 0; i < rank; i++)
        axes[i] = i < q->rank ? q->axes[i] : q->reduced[i - q->rank];
    one.source = ir_equation(f->p, "stopped", axes, rank, IR_MAP, NULL, 0, value, q->single, q->origin);
    one.leaf =
        ir_leaf(f->p, IR_STATE, "frozen", axes, rank, one.source->whole, one.source->low, one.source->high, q->origin);
    list_add(f->p->arena, *f->frozen, one);
    return read_all(f->p, one.leaf);
}

static const struct ir_expr *freeze_expr(struct freezing *f, const struct ir_expr *e)
{
    const struct ir_expr *result = node_get(f->done, e), *arguments[3] = {NULL};

    if (result)
        return result;
    result = e;
    if (e->kind == IR_READ && e->otherwise)
        result = ir_read(f->p, e->tensor, e->subscripts, e->tensor->rank, freeze_expr(f, e->otherwise));
    if (e->kind == IR_APPLY && e->op == IR_stop) {
        result = freeze_value(f, e->arguments[0]);
    } else if (e->kind == IR_APPLY) {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = freeze_expr(f, e->arguments[i]);
        result = ir_apply(f->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    node_put(f->done, e, (void *)result);
    return result;
}

static void need(const struct ir_expr *read, void *needed)
{
    ((bool *)needed)[read->tensor->number] = true;
}

struct ir_tensor *freeze_stops(struct ir_program *p, struct ir_tensor *loss, frozen_list *frozen)
{
    int count = loss->number + 1, changed = 0;
    bool *needed = NEW_ARRAY(p->arena, bool, count);
    struct ir_tensor **from = NEW_ARRAY(p->arena, struct ir_tensor *, count),
                     **to = NEW_ARRAY(p->arena, struct ir_tensor *, count);
    struct ir_tensor *result = loss;

    needed[loss->number] = true;
    for (int i = loss->number; i >= 0; i--)
        if (needed[i] && p->tensors.at[i]->kind == IR_EQUATION)
            ir_reads(p->tensors.at[i]->value, need, needed);
    for (int i = 0; i < count; i++) {
        struct ir_tensor *t = p->tensors.at[i];
        struct freezing f = {p, t, NULL, frozen};
        const struct ir_expr *value;
        if (!needed[i] || t->kind != IR_EQUATION)
            continue;
        f.done = node_table_new(p->arena);
        value = ir_retarget(p, freeze_expr(&f, t->value), from, to, changed);
        if (value == t->value)
            continue;
        from[changed] = t;
        result = to[changed++] = ir_equation(p, arena_printf(p->arena, "held_%s", t->name), t->axes, t->rank,
                                             t->reduction, t->reduced, t->reduced_count, value, t->single, t->origin);
    }
    return changed && from[changed - 1] == loss ? result : loss;
}
