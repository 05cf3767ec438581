/* rebuild.c: a program made out of another. Tensors that stay as they are are shared; a changed one is a new object
   under its old name, and whatever reads it is changed with it. */
#include "internal.h"

void ir_adopt(struct ir_program *p, struct ir_tensor *tensor)
{
    if (ir_find(p, tensor->name))
        bug("program %s already has a tensor %s", p->name, tensor->name);
    list_tensor(p, tensor);
}

/* Fresh of what passes set later. Not listed. */
static struct ir_tensor *copy_tensor(struct ir_program *p, const struct ir_tensor *t)
{
    struct ir_tensor *copy = arena_copy(p->arena, t, sizeof *t);

    copy->storage = IR_F32;
    copy->region = IR_NOWHERE;
    copy->offset = 0;
    return copy;
}

struct ir_tensor *ir_remake(struct ir_program *p, struct ir_tensor *t, const struct ir_expr *value)
{
    struct ir_tensor *copy;

    if (value == t->value) {
        ir_adopt(p, t);
        return t;
    }
    copy = copy_tensor(p, t);
    copy->value = ir_retarget(p, value, &t, &copy, 1); /* an equation of a recurrence may read itself */
    if (!t->recurrence)
        infer_tensor(copy);
    ir_adopt(p, copy);
    return copy;
}

struct remaking {
    struct ir_program *to;
    struct memo made; /* from tensors of the old program to those of the new */
    ir_rewrite rewrite;
    void *context;
};

static struct ir_tensor *remade(struct ir_tensor *t, void *context)
{
    struct ir_tensor *new = (struct ir_tensor *)*memo_at(context, t);

    if (!new)
        bug("tensor %s is dropped but still read", t->name);
    return new;
}

/* Targets of a scatter as the new program reads them; the same array if nothing changes. */
static const struct ir_form **remade_targets(struct remaking *r, const struct ir_tensor *t)
{
    const struct ir_form **targets = t->targets;

    for (int i = 0; t->targets && i < t->rank; i++) {
        const struct ir_expr *target = ir_of_form(r->to, t->targets[i]);
        const struct ir_form *new = ir_form_of(r->to, retarget_by(r->to, target, remade, &r->made));

        if (new == t->targets[i])
            continue;
        if (targets == t->targets)
            targets = arena_copy(r->to->arena, t->targets, sizeof *targets * (size_t)t->rank);
        targets[i] = new;
    }
    return targets;
}

static const struct ir_expr *remade_value(struct remaking *r, const struct ir_tensor *t)
{
    const struct ir_expr *value = retarget_by(r->to, t->value, remade, &r->made);

    return r->rewrite ? r->rewrite(r->to, t, value, r->context) : value;
}

static void remake_equation(struct remaking *r, struct ir_tensor *t)
{
    const struct ir_expr *value = remade_value(r, t);
    const struct ir_form **targets = remade_targets(r, t);
    struct ir_tensor *new = t;

    if (value != t->value || targets != t->targets) {
        new = copy_tensor(r->to, t);
        new->value = value;
        new->targets = targets;
        infer_tensor(new);
    }
    ir_adopt(r->to, new);
    *memo_at(&r->made, t) = new;
}

static void remake_opaque(struct remaking *r, struct ir_tensor *t)
{
    struct ir_tensor *new = t, *operands[2] = {remade(t->operands[0], &r->made), NULL};

    if (t->operands[1])
        operands[1] = remade(t->operands[1], &r->made);
    if (operands[0] != t->operands[0] || operands[1] != t->operands[1]) {
        new = copy_tensor(r->to, t);
        new->operands[0] = operands[0];
        new->operands[1] = operands[1];
    }
    ir_adopt(r->to, new);
    *memo_at(&r->made, t) = new;
}

/* The equations of one recurrence may read each other whatever their order: copies without values are declared first.
   If none of them turns out to have another value, the old ones take their places. */
static void remake_recurrence(struct remaking *r, struct ir_tensor **old, int count, const bool *keep)
{
    struct ir_program *to = r->to;
    struct ir_tensor **from = NEW_ARRAY(to->arena, struct ir_tensor *, count);
    struct ir_tensor **copies = NEW_ARRAY(to->arena, struct ir_tensor *, count);
    bool changed = false;
    int kept = 0;

    for (int i = 0; i < count; i++) {
        if (keep && !keep[i])
            continue;
        from[kept] = old[i];
        copies[kept] = copy_tensor(to, old[i]);
        copies[kept]->value = NULL;
        *memo_at(&r->made, old[i]) = copies[kept++];
    }
    for (int i = 0; i < kept; i++) {
        const struct ir_expr *value = from[i]->kind == IR_EQUATION ? remade_value(r, from[i]) : NULL;

        copies[i]->value = value;
        changed |= value && ir_retarget(to, value, copies, from, kept) != from[i]->value;
        for (int k = 0; k < 2 && from[i]->operands[k]; k++) {
            copies[i]->operands[k] = remade(from[i]->operands[k], &r->made);
            changed |= copies[i]->operands[k] != from[i]->operands[k] &&
                       from[i]->operands[k]->recurrence != from[i]->recurrence;
        }
        ir_adopt(to, copies[i]);
    }
    for (int i = 0; i < kept && !changed; i++) {
        from[i]->number = copies[i]->number;
        to->tensors.at[from[i]->number] = from[i];
        *memo_at(&r->made, from[i]) = from[i];
    }
    to->named = to->tensors.count + 1; /* names are looked up anew: see catch_up */
}

struct ir_program *ir_rebuild(const struct ir_program *p, const bool *keep, ir_rewrite rewrite, void *context)
{
    struct remaking r = {.to = ir_program_like(p), .rewrite = rewrite, .context = context};

    memo_begin(&r.made);
    for (int i = 0, end; i < p->tensors.count; i = end) {
        struct ir_tensor *t = p->tensors.at[i];

        for (end = i + 1; t->recurrence && end < p->tensors.count; end++)
            if (p->tensors.at[end]->recurrence != t->recurrence)
                break;
        if (t->recurrence) {
            remake_recurrence(&r, p->tensors.at + i, end - i, keep ? keep + i : NULL);
        } else if (keep && !keep[i]) {
            continue;
        } else if (t->kind == IR_EQUATION) {
            remake_equation(&r, t);
        } else if (t->kind == IR_OPAQUE) {
            remake_opaque(&r, t);
        } else {
            ir_adopt(r.to, t);
            *memo_at(&r.made, t) = t;
        }
    }
    for (int i = 0; i < p->updates.count; i++)
        ir_add_update(r.to, remade(p->updates.at[i].leaf, &r.made), remade(p->updates.at[i].value, &r.made));
    for (int i = 0; i < p->outputs.count; i++)
        ir_add_output(r.to, p->outputs.at[i].name, remade(p->outputs.at[i].tensor, &r.made), p->outputs.at[i].guard);
    memo_end(&r.made);
    return r.to;
}
