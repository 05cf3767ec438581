/* recompute.c: copies of tensors as they would be with other values of what they depend on.

   requires: an order in which what is not carried is read from before. maintains: what is there; draws are shared, so
   a copy sees the same ones. A copy's mapped axes stand before its own, so that each of their values is a block of
   memory. */
#include "adjoint.h"

#include <string.h>

struct copier {
    struct copying *c;
    struct ir_index **extra; /* what the mapped axes are read at */
    struct memo *done;
};

/* ---- expressions ---- */

static const struct ir_expr *copied_expr(struct copier *k, const struct ir_expr *e);

static const struct ir_form *copied_form(struct copier *k, const struct ir_form *f)
{
    struct ir_program *p = k->c->p;
    const struct ir_form *result;

    if (!form_reads(f))
        return f;
    result = ir_form_constant(p, f->constant);
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        const struct ir_form *part = NULL;
        switch (atom->kind) {
        case IR_ATOM_INDEX:
            part = ir_form_index(p, atom->index);
            break;
        case IR_ATOM_QUOTIENT:
            part = ir_form_quotient(p, copied_form(k, atom->form), atom->divisor);
            break;
        case IR_ATOM_REMAINDER:
            part = ir_form_remainder(p, copied_form(k, atom->form), atom->divisor);
            break;
        case IR_ATOM_VALUE:
            part = ir_form_of(p, copied_expr(k, atom->value));
            break;
        }
        result = ir_form_add(p, result, ir_form_scale(p, part, f->terms[i].coefficient));
    }
    return result;
}

static struct ir_tensor *copy_of(const struct copying *c, const struct ir_tensor *t)
{
    return t->number < c->count ? c->copy[t->number] : NULL;
}

static const struct ir_expr *copied_read(struct copier *k, const struct ir_expr *e)
{
    struct ir_program *p = k->c->p;
    struct ir_tensor *copy = copy_of(k->c, e->tensor);
    int extra = copy ? k->c->extra_count : 0, rank = extra + e->tensor->rank;
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, rank);

    for (int i = 0; i < extra; i++)
        at[i] = ir_form_index(p, k->extra[i]);
    for (int i = extra; i < rank; i++)
        at[i] = copied_form(k, e->subscripts[i - extra]);
    return ir_read(p, copy ? copy : e->tensor, at, rank, e->otherwise ? copied_expr(k, e->otherwise) : NULL);
}

static const struct ir_expr *copied_expr(struct copier *k, const struct ir_expr *e)
{
    const struct ir_expr *result = *memo_at(k->done, e), *arguments[3] = {NULL};

    if (result)
        return result;
    result = e;
    if (e->kind == IR_FORM) {
        result = ir_of_form(k->c->p, copied_form(k, e->form));
    } else if (e->kind == IR_READ) {
        result = copied_read(k, e);
    } else if (e->kind == IR_APPLY) {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = copied_expr(k, e->arguments[i]);
        result = ir_apply(k->c->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    *memo_at(k->done, e) = result;
    return result;
}

/* ---- tensors ---- */

static const struct ir_expr *copied_value(const struct copying *c, struct copier *k, const struct ir_tensor *t)
{
    return copied_expr(k, c->rewrite ? c->rewrite(t, t->value, c->context) : t->value);
}

static ir_index_list in_front(struct ir_program *p, struct ir_index **extra, int extra_count, struct ir_index **axes,
                              int rank)
{
    ir_index_list all = {0};

    for (int i = 0; i < extra_count; i++)
        list_add(p->arena, all, extra[i]);
    for (int i = 0; i < rank; i++)
        list_add(p->arena, all, axes[i]);
    return all;
}

static const char *copy_name(const struct copying *c, const struct ir_tensor *t)
{
    return arena_printf(c->p->arena, "%s_%s", c->prefix, t->name);
}

/* A scatter's value mentions sources only: the mapped axes become sources that go where they are. */
static struct ir_tensor *copy_scatter(struct copying *c, const struct ir_tensor *t)
{
    struct ir_program *p = c->p;
    int rank = c->extra_count + t->rank;
    struct copier k = {c, NEW_ARRAY(p->arena, struct ir_index *, c->extra_count), memo_new(p->arena)};
    const struct ir_form **targets = NEW_ARRAY(p->arena, const struct ir_form *, rank);
    ir_index_list axes = in_front(p, c->extra, c->extra_count, t->axes, t->rank), sources;

    for (int i = 0; i < c->extra_count; i++) {
        k.extra[i] = ir_index(p, c->extra[i]->name, c->extra[i]->extent, c->extra[i]->batch);
        targets[i] = ir_form_index(p, k.extra[i]);
    }
    for (int i = 0; i < t->rank; i++)
        targets[c->extra_count + i] = copied_form(&k, t->targets[i]);
    sources = in_front(p, k.extra, c->extra_count, t->reduced, t->reduced_count);
    return ir_scatter(p, copy_name(c, t), axes.at, axes.count, targets, sources.at, sources.count,
                      copied_value(c, &k, t), t->origin);
}

/* Operands share the axes before their matrices: one that is not copied is repeated. */
static struct ir_tensor *copy_operand(struct copying *c, struct ir_tensor *t)
{
    struct ir_tensor *copy = t ? copy_of(c, t) : NULL;
    ir_index_list axes;

    if (!t || copy || !c->extra_count)
        return copy ? copy : t;
    axes = in_front(c->p, c->extra, c->extra_count, t->axes, t->rank);
    return ir_equation(c->p, copy_name(c, t), axes.at, axes.count, IR_MAP, NULL, 0, read_at(c->p, t, t->axes), false,
                       t->origin);
}

static struct ir_tensor *copy_opaque(struct copying *c, const struct ir_tensor *t,
                                     const struct ir_recurrence *recurrence)
{
    struct ir_tensor *a = copy_operand(c, t->operands[0]), *b = copy_operand(c, t->operands[1]);

    if (recurrence)
        return ir_opaque_in(c->p, copy_name(c, t), t->opaque, a, b, recurrence, c->extra_count + t->time, t->origin);
    return ir_opaque_tensor(c->p, copy_name(c, t), t->opaque, a, b, t->origin);
}

static void declare_recurrence(struct copying *c, const struct ir_recurrence *old)
{
    struct ir_program *p = c->p;
    const struct ir_recurrence *new =
        ir_recurrence(p, arena_printf(p->arena, "%s_%s", c->prefix, old->name), old->extent, old->down);

    for (int i = 0; i < c->count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        ir_index_list axes;
        if (t->recurrence != old || !c->copied[i])
            continue;
        if (t->kind == IR_OPAQUE) { /* its operands stand before it */
            c->copy[i] = copy_opaque(c, t, new);
            continue;
        }
        axes = in_front(p, c->extra, c->extra_count, t->axes, t->rank);
        c->copy[i] = ir_declare(p, copy_name(c, t), axes.at, axes.count, t->whole, t->low, t->high, new,
                                c->extra_count + t->time, t->origin);
    }
}

static void copy_tensor(struct copying *c, int number)
{
    struct ir_program *p = c->p;
    struct ir_tensor *t = p->tensors.at[number];
    struct copier k = {c, c->extra, memo_new(p->arena)};
    ir_index_list axes = in_front(p, c->extra, c->extra_count, t->axes, t->rank);

    if (t->recurrence) {
        if (!c->copy[number])
            declare_recurrence(c, t->recurrence);
        if (t->kind == IR_OPAQUE)
            return;
        ir_define(p, c->copy[number], t->reduction, t->reduced, t->reduced_count, copied_value(c, &k, t), t->single);
    } else if (t->kind == IR_OPAQUE) {
        c->copy[number] = copy_opaque(c, t, NULL);
    } else if (t->targets) {
        c->copy[number] = copy_scatter(c, t);
    } else {
        c->copy[number] = ir_equation(p, copy_name(c, t), axes.at, axes.count, t->reduction, t->reduced,
                                      t->reduced_count, copied_value(c, &k, t), t->single, t->origin);
    }
}

void copy_tensors(struct copying *c)
{
    for (int i = 0; i < c->count; i++)
        if (c->copied[i])
            copy_tensor(c, i);
}

const char *recompute(struct ir_program *p, struct ir_tensor *const *from, struct ir_tensor *const *to, int count,
                      int extra, struct ir_tensor *const *wanted, int wanted_count, struct ir_tensor **copies)
{
    int tensors = p->tensors.count;
    bool *needed = NEW_ARRAY(p->arena, bool, tensors), *changed = NEW_ARRAY(p->arena, bool, tensors);
    struct copying c = {.p = p, .count = tensors, .extra_count = extra, .prefix = "again"};

    c.copy = NEW_ARRAY(p->arena, struct ir_tensor *, tensors);
    c.extra = NEW_ARRAY(p->arena, struct ir_index *, extra);
    for (int i = 0; i < extra; i++)
        c.extra[i] = ir_index(p, to[0]->axes[i]->name, to[0]->axes[i]->extent, to[0]->axes[i]->batch);
    for (int i = 0; i < count; i++) {
        if (from[i]->whole || to[i]->whole)
            return arena_printf(p->arena, "%s holds whole numbers; expected real ones", from[i]->name);
        if (to[i]->rank != extra + from[i]->rank)
            bug("recompute: %s has %d axes, but %s has %d and %d are mapped", to[i]->name, to[i]->rank, from[i]->name,
                from[i]->rank, extra);
        changed[from[i]->number] = true;
        c.copy[from[i]->number] = to[i];
    }
    for (int i = 0; i < wanted_count; i++)
        needed[wanted[i]->number] = true;
    mark_what_is_read(p, needed, tensors);
    mark_what_reads(p, changed, tensors);
    for (int i = 0; i < count; i++)
        changed[from[i]->number] = false;
    for (int i = 0; i < tensors; i++)
        changed[i] &= needed[i];
    c.copied = changed;
    copy_tensors(&c);
    for (int i = 0; i < wanted_count; i++)
        copies[i] = c.copy[wanted[i]->number] ? c.copy[wanted[i]->number] : wanted[i];
    return arrange_finished(p);
}
