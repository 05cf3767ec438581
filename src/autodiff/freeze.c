/* freeze.c: the loss as differentiate sees it. What stands under a `stop` is a constant there; so each becomes a leaf,
   filled once with the value at rest, and differences do not see through it either.

   requires: a verified program. maintains: what is there; new equations and leaves come after. */
#include "adjoint.h"

struct freezing {
    struct ir_program *p;
    const struct ir_tensor *equation;
    struct memo *done; /* expression of this equation -> what it became */
    frozen_list *frozen;
};

static const struct ir_expr *freeze_value(struct freezing *f, const struct ir_expr *value)
{
    const struct ir_tensor *q = f->equation;
    int own = q->targets ? 0 : q->rank, rank = own + q->reduced_count; /* a scatter's value is over what it reduces */
    struct ir_index **axes = NEW_ARRAY(f->p->arena, struct ir_index *, rank);
    struct frozen one;

    for (int i = 0; i < rank; i++)
        axes[i] = i < own ? q->axes[i] : q->reduced[i - own];
    one.source = ir_equation(f->p, "stopped", axes, rank, IR_MAP, NULL, 0, value, q->single, q->origin);
    one.leaf =
        ir_leaf(f->p, IR_STATE, "frozen", axes, rank, one.source->whole, one.source->low, one.source->high, q->origin);
    list_add(f->p->arena, *f->frozen, one);
    return read_at(f->p, one.leaf, one.leaf->axes);
}

static const struct ir_expr *freeze_expr(struct freezing *f, const struct ir_expr *e)
{
    const struct ir_expr *result = *memo_at(f->done, e), *arguments[3] = {NULL};

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
    *memo_at(f->done, e) = result;
    return result;
}

static const struct ir_expr *freeze_equation(const struct ir_tensor *t, const struct ir_expr *value, void *context)
{
    struct freezing f = *(struct freezing *)context;

    f.equation = t;
    f.done = memo_new(f.p->arena);
    return freeze_expr(&f, value);
}

static bool holds_stop(const struct ir_expr *e, struct memo *met)
{
    bool found = e->kind == IR_APPLY && e->op == IR_stop;

    if (*memo_at(met, e))
        return false;
    *memo_at(met, e) = met;
    if (e->kind == IR_READ && e->otherwise)
        found |= holds_stop(e->otherwise, met);
    for (int i = 0; e->kind == IR_APPLY && i < 3 && e->arguments[i]; i++)
        found |= holds_stop(e->arguments[i], met);
    return found;
}

struct ir_tensor *freeze_stops(struct ir_program *p, struct ir_tensor *loss, frozen_list *frozen)
{
    int count = p->tensors.count;
    bool *needed = NEW_ARRAY(p->arena, bool, count), *changed = NEW_ARRAY(p->arena, bool, count);
    struct freezing f = {.p = p, .frozen = frozen};
    struct copying c = {
        .p = p, .count = count, .copied = changed, .prefix = "held", .rewrite = freeze_equation, .context = &f};

    needed[loss->number] = true;
    mark_what_is_read(p, needed, count);
    for (int i = 0; i < count; i++)
        changed[i] =
            needed[i] && p->tensors.at[i]->value && holds_stop(p->tensors.at[i]->value, memo_new(p->arena));
    mark_what_reads(p, changed, count);
    for (int i = 0; i < count; i++)
        changed[i] &= needed[i];
    c.copy = NEW_ARRAY(p->arena, struct ir_tensor *, count);
    copy_tensors(&c);
    return changed[loss->number] ? c.copy[loss->number] : loss;
}
