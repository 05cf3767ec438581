/* rewrite.c: forms and expressions rewritten while a bracket is being solved, and the small arithmetic that goes with
   it.

   requires: nothing. maintains: the value wherever the guards of the system hold. breaks: elsewhere a read may be
   outside; it then has an otherwise. */
#include "adjoint.h"

#include <string.h>

/* ---- arithmetic ---- */

int64_t divide_down(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a % b < 0) != (b < 0));
}

const struct ir_form *form_minus(struct ir_program *p, const struct ir_form *a, const struct ir_form *b)
{
    return ir_form_add(p, a, ir_form_scale(p, b, -1));
}

const struct ir_form *form_plus(struct ir_program *p, const struct ir_form *a, int64_t constant)
{
    return ir_form_add(p, a, ir_form_constant(p, constant));
}

bool form_nests(struct ir_program *p, const struct ir_form *f, const struct ir_index *index)
{
    int64_t c = ir_form_coefficient(f, index);

    if (c)
        f = form_minus(p, f, ir_form_scale(p, ir_form_index(p, (struct ir_index *)index), c));
    return ir_form_mentions(f, index);
}

bool form_reads(const struct ir_form *f)
{
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        if (atom->kind == IR_ATOM_VALUE ||
            ((atom->kind == IR_ATOM_QUOTIENT || atom->kind == IR_ATOM_REMAINDER) && form_reads(atom->form)))
            return true;
    }
    return false;
}

const char *unused_name(struct ir_program *p, const char *name, struct ir_index *const *indices, int count)
{
    const char *unused = name;

    for (int suffix = 2;; suffix++) {
        bool taken = false;
        for (int i = 0; i < count; i++)
            taken |= !strcmp(indices[i]->name, unused);
        if (!taken)
            return unused;
        unused = arena_printf(p->arena, "%s_%d", name, suffix);
    }
}

/* ---- rewriting ---- */

struct rewrite {
    struct ir_program *p;
    const struct replacement *by;
    struct memo *done; /* expressions already rewritten; made when the first is */
};

static const struct ir_expr *rewrite_expr(struct rewrite *r, const struct ir_expr *e);

static const struct ir_form *rewrite_atom(struct rewrite *r, const struct ir_atom *atom);

static const struct ir_form *rewrite_form(struct rewrite *r, const struct ir_form *f)
{
    const struct ir_form *result;

    if (r->by->index && !ir_form_mentions(f, r->by->index))
        return f;
    result = ir_form_constant(r->p, f->constant);
    for (int i = 0; i < f->count; i++)
        result =
            ir_form_add(r->p, result, ir_form_scale(r->p, rewrite_atom(r, f->terms[i].atom), f->terms[i].coefficient));
    return result;
}

static const struct ir_form *rewrite_atom(struct rewrite *r, const struct ir_atom *atom)
{
    const struct replacement *by = r->by;
    bool same;

    switch (atom->kind) {
    case IR_ATOM_INDEX:
        return atom->index == by->index ? by->to : ir_form_index(r->p, atom->index);
    case IR_ATOM_QUOTIENT:
    case IR_ATOM_REMAINDER:
        same = by->divided && atom->form == by->divided && atom->divisor == by->divisor;
        if (atom->kind == IR_ATOM_QUOTIENT)
            return same ? by->quotient : ir_form_quotient(r->p, rewrite_form(r, atom->form), atom->divisor);
        return same ? by->remainder : ir_form_remainder(r->p, rewrite_form(r, atom->form), atom->divisor);
    case IR_ATOM_VALUE:
        return ir_form_of(r->p, rewrite_expr(r, atom->value));
    }
    bug("rewrite_atom: an atom of kind %d", (int)atom->kind);
}

/* What a read outside gives where no one looks: inside the tensor's range if it is whole, so that what it subscripts
   stays inside too. */
static const struct ir_expr *unused_value(struct ir_program *p, const struct ir_tensor *tensor)
{
    return ir_number(p, tensor->whole && tensor->low != INT64_MIN ? (double)tensor->low : 0);
}

static const struct ir_expr *rewrite_read(struct rewrite *r, const struct ir_expr *e)
{
    const struct ir_form **subscripts = NEW_ARRAY(r->p->arena, const struct ir_form *, e->tensor->rank);

    for (int i = 0; i < e->tensor->rank; i++)
        subscripts[i] = rewrite_form(r, e->subscripts[i]);
    return ir_read(r->p, e->tensor, subscripts, e->tensor->rank,
                   e->otherwise ? rewrite_expr(r, e->otherwise) : unused_value(r->p, e->tensor));
}

static const struct ir_expr *rewrite_expr(struct rewrite *r, const struct ir_expr *e)
{
    const struct ir_expr *result = NULL, *arguments[3] = {NULL};

    if (!r->done)
        r->done = memo_new(r->p->arena);
    else if ((result = *memo_at(r->done, e)))
        return result;
    switch (e->kind) {
    case IR_CONSTANT:
        result = e;
        break;
    case IR_FORM:
        result = ir_of_form(r->p, rewrite_form(r, e->form));
        break;
    case IR_READ:
        result = rewrite_read(r, e);
        break;
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = rewrite_expr(r, e->arguments[i]);
        result = ir_apply(r->p, e->op, arguments[0], arguments[1], arguments[2]);
        break;
    }
    *memo_at(r->done, e) = result;
    return result;
}

const struct ir_form *form_rewrite(struct ir_program *p, const struct ir_form *f, const struct replacement *by)
{
    return rewrite_form(&(struct rewrite){.p = p, .by = by}, f);
}

const struct ir_expr *expr_rewrite(struct ir_program *p, const struct ir_expr *e, const struct replacement *by)
{
    return rewrite_expr(&(struct rewrite){.p = p, .by = by}, e);
}

/* ---- every form ---- */

/* The forms in computed subscripts of f, f itself not. */
static void forms_in_values(struct forms *forms, const struct ir_form *f)
{
    for (int i = 0; i < f->count; i++)
        if (f->terms[i].atom->kind == IR_ATOM_VALUE)
            forms_add_expr(forms, f->terms[i].atom->value);
        else if (f->terms[i].atom->kind != IR_ATOM_INDEX)
            forms_in_values(forms, f->terms[i].atom->form);
}

struct forms forms_new(struct arena *arena)
{
    return (struct forms){.arena = arena, .seen = memo_new(arena)};
}

void forms_add(struct forms *forms, const struct ir_form *f)
{
    if (*memo_at(forms->seen, f))
        return;
    *memo_at(forms->seen, f) = f;
    list_add(forms->arena, forms->list, f);
    forms_in_values(forms, f);
}

void forms_add_expr(struct forms *forms, const struct ir_expr *e)
{
    if (*memo_at(forms->seen, e))
        return;
    *memo_at(forms->seen, e) = e;
    switch (e->kind) {
    case IR_CONSTANT:
        break;
    case IR_FORM:
        forms_add(forms, e->form);
        break;
    case IR_READ:
        for (int i = 0; i < e->tensor->rank; i++)
            forms_add(forms, e->subscripts[i]);
        if (e->otherwise)
            forms_add_expr(forms, e->otherwise);
        break;
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            forms_add_expr(forms, e->arguments[i]);
        break;
    }
}
