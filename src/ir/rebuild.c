/* rebuild.c: a program made out of another. Tensors that stay as they are are shared; a changed one is a new object
   under its old name, and whatever reads it is changed with it. */
#include "internal.h"

void ir_adopt(struct ir_program *p, struct ir_tensor *tensor)
{
    if (ir_find(p, tensor->name))
        bug("program %s already has a tensor %s", p->name, tensor->name);
    list_tensor(p, tensor);
}

struct ir_tensor *ir_remake(struct ir_program *p, struct ir_tensor *t, const struct ir_expr *value)
{
    struct ir_tensor *copy;

    if (value == t->value) {
        ir_adopt(p, t);
        return t;
    }
    copy = arena_copy(p->arena, t, sizeof *t);
    copy->value = value;
    copy->storage = IR_F32;
    copy->region = IR_NOWHERE;
    copy->offset = 0;
    infer_tensor(copy);
    ir_adopt(p, copy);
    return copy;
}

static struct ir_tensor *remade(struct ir_tensor *t, void *context)
{
    struct ir_tensor *new = (struct ir_tensor *)*memo_at(context, t);

    if (!new)
        bug("tensor %s is dropped but still read", t->name);
    return new;
}

struct ir_program *ir_rebuild(const struct ir_program *p, const bool *keep, ir_rewrite rewrite, void *context)
{
    struct ir_program *to = ir_program_like(p);
    struct memo made;

    memo_begin(&made);
    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i], *new = t;

        if (keep && !keep[i])
            continue;
        if (t->kind == IR_EQUATION) {
            const struct ir_expr *value = retarget_by(to, t->value, remade, &made);

            new = ir_remake(to, t, rewrite ? rewrite(to, t, value, context) : value);
        } else {
            ir_adopt(to, t);
        }
        *memo_at(&made, t) = new;
    }
    for (int i = 0; i < p->updates.count; i++)
        ir_add_update(to, remade(p->updates.at[i].leaf, &made), remade(p->updates.at[i].value, &made));
    for (int i = 0; i < p->outputs.count; i++)
        ir_add_output(to, p->outputs.at[i].name, remade(p->outputs.at[i].tensor, &made), p->outputs.at[i].guard);
    memo_end(&made);
    return to;
}
