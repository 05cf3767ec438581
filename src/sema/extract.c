/* extract.c: a part of a workspace as a program of its own.
   requires: nothing wanted reads what was made after it, replaced tensors apart. maintains: order, names, origins.
   Leaves and draws that nothing wanted reads stay behind. */
#include <stdio.h>
#include <string.h>

#include "internal.h"

struct extraction {
    struct arena *arena;
    struct ir_program *from, *to;
    struct ir_tensor **replaced; /* by number; NULL: itself */
    const char **renamed;
    enum ir_kind *kinds;
    bool *needed;
    struct ir_tensor **copies;
    LIST(struct ir_index *) index_from, index_to;
    struct map *indices, *expressions;
    int known;      /* tensors that the arrays by number have room for */
    bool recurrent; /* the copy has equations of recurrences */
};

static void *grown(struct extraction *x, const void *old, size_t element, int count)
{
    char *more = arena_alloc(x->arena, element * (size_t)count);

    if (x->known)
        memcpy(more, old, element * (size_t)x->known);
    return more;
}

/* The workspace may have made tensors since. */
static void catch_up(struct extraction *x)
{
    int count = 2 * x->from->tensors.count + 1;

    if (x->from->tensors.count <= x->known)
        return;
    x->replaced = grown(x, x->replaced, sizeof *x->replaced, count);
    x->renamed = grown(x, x->renamed, sizeof *x->renamed, count);
    x->kinds = grown(x, x->kinds, sizeof *x->kinds, count);
    x->needed = grown(x, x->needed, sizeof *x->needed, count);
    x->copies = grown(x, x->copies, sizeof *x->copies, count);
    x->known = count;
}

struct extraction *extraction_new(struct arena *arena, struct ir_program *from, const char *name,
                                  enum ir_precision precision)
{
    struct extraction *x = NEW(arena, struct extraction);

    x->arena = arena;
    x->from = from;
    x->to = ir_program_new(arena, name, precision);
    x->indices = map_new(arena);
    x->expressions = map_new(arena);
    return x;
}

void extraction_replace(struct extraction *x, struct ir_tensor *tensor, struct ir_tensor *by)
{
    catch_up(x);
    x->replaced[tensor->number] = by;
}

void extraction_rename(struct extraction *x, struct ir_tensor *leaf, enum ir_kind kind, const char *name)
{
    catch_up(x);
    x->renamed[leaf->number] = name;
    x->kinds[leaf->number] = kind;
}

static void need_read(const struct ir_expr *read, void *context)
{
    extraction_want(context, read->tensor);
}

void extraction_want(struct extraction *x, struct ir_tensor *tensor)
{
    catch_up(x);
    if (x->replaced[tensor->number]) {
        tensor = x->replaced[tensor->number];
    }
    if (x->needed[tensor->number])
        return;
    x->needed[tensor->number] = true;
    if (tensor->kind == IR_EQUATION)
        ir_reads(tensor->value, need_read, x);
    for (int i = 0; i < 2 && tensor->operands[i]; i++)
        extraction_want(x, tensor->operands[i]);
}

static struct ir_index *copy_index(struct extraction *x, struct ir_index *index)
{
    char key[32];
    struct ir_index *copy;

    snprintf(key, sizeof key, "%d", index->number);
    copy = map_get(x->indices, key);
    if (copy)
        return copy;
    copy = ir_index(x->to, index->name, index->extent, index->batch);
    map_put(x->indices, arena_string(x->arena, key), copy);
    return copy;
}

static const struct ir_expr *copy_expr(struct extraction *x, const struct ir_expr *e);

static const struct ir_form *copy_form(struct extraction *x, const struct ir_form *form)
{
    const struct ir_form *copy = ir_form_constant(x->to, form->constant);

    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        const struct ir_form *part = NULL;

        switch (atom->kind) {
        case IR_ATOM_INDEX:
            part = ir_form_index(x->to, copy_index(x, atom->index));
            break;
        case IR_ATOM_QUOTIENT:
            part = ir_form_quotient(x->to, copy_form(x, atom->form), atom->divisor);
            break;
        case IR_ATOM_REMAINDER:
            part = ir_form_remainder(x->to, copy_form(x, atom->form), atom->divisor);
            break;
        case IR_ATOM_VALUE:
            part = ir_form_of(x->to, copy_expr(x, atom->value));
            break;
        }
        copy = ir_form_add(x->to, copy, ir_form_scale(x->to, part, form->terms[i].coefficient));
    }
    return copy;
}

static struct ir_tensor *copy_tensor(struct extraction *x, struct ir_tensor *tensor);

static const struct ir_expr *copy_expr(struct extraction *x, const struct ir_expr *e)
{
    char key[32];
    const struct ir_expr *copy = NULL, *arguments[3] = {0};
    const struct ir_form **forms;

    snprintf(key, sizeof key, "%p", (const void *)e);
    copy = map_get(x->expressions, key);
    if (copy)
        return copy;
    switch (e->kind) {
    case IR_CONSTANT:
        copy = e->whole ? ir_number(x->to, e->number) : ir_real(x->to, e->number);
        break;
    case IR_FORM:
        copy = ir_of_form(x->to, copy_form(x, e->form));
        break;
    case IR_READ:
        forms = NEW_ARRAY(x->arena, const struct ir_form *, e->tensor->rank + 1);
        for (int i = 0; i < e->tensor->rank; i++)
            forms[i] = copy_form(x, e->subscripts[i]);
        copy = ir_read(x->to, copy_tensor(x, e->tensor), forms, e->tensor->rank,
                       e->otherwise ? copy_expr(x, e->otherwise) : NULL);
        break;
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = copy_expr(x, e->arguments[i]);
        copy = ir_apply(x->to, e->op, arguments[0], arguments[1], arguments[2]);
        break;
    }
    map_put(x->expressions, arena_string(x->arena, key), (void *)copy);
    return copy;
}

static struct ir_index **copy_reduced(struct extraction *x, const struct ir_tensor *tensor)
{
    struct ir_index **reduced = NEW_ARRAY(x->arena, struct ir_index *, tensor->reduced_count + 1);

    for (int i = 0; i < tensor->reduced_count; i++)
        reduced[i] = copy_index(x, tensor->reduced[i]);
    return reduced;
}

static struct ir_recurrence *copy_recurrence(struct extraction *x, const struct ir_recurrence *r)
{
    char key[32];
    struct ir_recurrence *recurrence;

    snprintf(key, sizeof key, "r%p", (const void *)r);
    recurrence = map_get(x->indices, key);
    if (!recurrence) {
        recurrence = ir_recurrence(x->to, r->name, r->extent, r->down);
        map_put(x->indices, key, recurrence);
    }
    return recurrence;
}

/* Known before its value, which may read it. */
static struct ir_tensor *copy_of_step(struct extraction *x, struct ir_tensor *tensor, struct ir_index **axes)
{
    const struct ir_recurrence *recurrence = copy_recurrence(x, tensor->recurrence);
    struct ir_tensor *copy;

    copy = ir_declare(x->to, tensor->name, axes, tensor->rank, tensor->whole, tensor->low, tensor->high, recurrence,
                      tensor->time, tensor->origin);
    x->copies[tensor->number] = copy;
    x->recurrent = true;
    ir_define(x->to, copy, tensor->reduction, copy_reduced(x, tensor), tensor->reduced_count,
              copy_expr(x, tensor->value), tensor->single);
    return copy;
}

static struct ir_tensor *copy_of_scatter(struct extraction *x, struct ir_tensor *tensor, struct ir_index **axes)
{
    const struct ir_form **targets = NEW_ARRAY(x->arena, const struct ir_form *, tensor->rank + 1);

    for (int i = 0; i < tensor->rank; i++)
        targets[i] = copy_form(x, tensor->targets[i]);
    return ir_scatter(x->to, tensor->name, axes, tensor->rank, targets, copy_reduced(x, tensor), tensor->reduced_count,
                      copy_expr(x, tensor->value), tensor->origin);
}

static struct ir_tensor *copy_of_opaque(struct extraction *x, struct ir_tensor *tensor)
{
    struct ir_tensor *second = tensor->operands[1] ? copy_tensor(x, tensor->operands[1]) : NULL;
    struct ir_tensor *first = copy_tensor(x, tensor->operands[0]);

    if (x->copies[tensor->number]) /* what it is made of read it, one step earlier */
        return x->copies[tensor->number];
    if (!tensor->recurrence)
        return ir_opaque_tensor(x->to, tensor->name, tensor->opaque, first, second, tensor->origin);
    x->recurrent = true;
    return ir_opaque_in(x->to, tensor->name, tensor->opaque, first, second, copy_recurrence(x, tensor->recurrence),
                        tensor->time, tensor->origin);
}

static struct ir_tensor *copy_tensor(struct extraction *x, struct ir_tensor *tensor)
{
    struct ir_index **axes;
    struct ir_tensor *copy;

    if (x->replaced[tensor->number])
        tensor = x->replaced[tensor->number];
    if (x->copies[tensor->number])
        return x->copies[tensor->number];
    axes = NEW_ARRAY(x->arena, struct ir_index *, tensor->rank + 1);
    for (int i = 0; i < tensor->rank; i++)
        axes[i] = copy_index(x, tensor->axes[i]);
    if (tensor->kind == IR_DRAW) {
        copy = ir_draw_leaf(x->to, tensor->name, tensor->draw, tensor->scope, tensor->mapped, axes, tensor->rank,
                            tensor->origin);
    } else if (tensor->kind == IR_OPAQUE) {
        copy = copy_of_opaque(x, tensor);
    } else if (tensor->recurrence) {
        copy = copy_of_step(x, tensor, axes);
    } else if (tensor->kind == IR_EQUATION && tensor->targets) {
        copy = copy_of_scatter(x, tensor, axes);
    } else if (tensor->kind == IR_EQUATION) {
        const struct ir_expr *value = copy_expr(x, tensor->value);

        copy = ir_equation(x->to, tensor->name, axes, tensor->rank, tensor->reduction, copy_reduced(x, tensor),
                           tensor->reduced_count, value, tensor->single, tensor->origin);
    } else {
        const char *name = x->renamed[tensor->number];

        copy = ir_leaf(x->to, name ? x->kinds[tensor->number] : tensor->kind, name ? name : tensor->name, axes,
                       tensor->rank, tensor->whole, tensor->low, tensor->high, tensor->origin);
    }
    return x->copies[tensor->number] = copy;
}

struct ir_program *extraction_run(struct extraction *x)
{
    catch_up(x);
    for (int i = 0; i < x->from->tensors.count; i++)
        if (x->needed[i])
            copy_tensor(x, x->from->tensors.at[i]);
    if (x->recurrent) {
        const char *wrong = ir_arrange(x->to);

        if (wrong)
            bug("a part of an ordered program is in disorder: %s", wrong);
    }
    return x->to;
}

struct ir_tensor *extraction_copy(struct extraction *x, struct ir_tensor *tensor)
{
    catch_up(x);
    return copy_tensor(x, tensor);
}
