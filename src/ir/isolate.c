/* isolate.c: a kernel as a program of its own, under names that say nothing. Two kernels that differ in names, places and
   the order in which they were made alone give programs that print the same, and what is computed from such a program is
   good for both. It shares nothing with the program that the kernel comes from, which is only read: several threads may
   isolate from one program at a time.

   Tensors from outside become leaves (draws and scalars stay what they are, all others are states). The offset of a
   tensor that has a place, or is a draw, is its number in `places`.

   requires: a program that is fused and planned. The result holds what the code generator asks of a program and no more:
   its tensors stand in the order in which the kernel names them. */
#include "internal.h"

struct isolation {
    struct ir_program *to;
    const struct ir_kernel *kernel;
    struct memo memo; /* indices, forms, expressions, tensors, recurrences: what each has become */
    ir_tensor_list *places;
    int indices, tensors;
};

static const struct ir_form *isolated_form(struct isolation *s, const struct ir_form *f);
static const struct ir_expr *isolated_expr(struct isolation *s, const struct ir_expr *e);

static struct ir_index *isolated_index(struct isolation *s, struct ir_index *index)
{
    struct ir_index *known = (struct ir_index *)*memo_at(&s->memo, index);
    char name[24];

    if (known)
        return known;
    snprintf(name, sizeof name, "i%d", s->indices++);
    known = ir_index(s->to, name, index->extent, index->batch);
    *memo_at(&s->memo, index) = known;
    return known;
}

static struct ir_index **isolated_indices(struct isolation *s, struct ir_index *const *indices, int count)
{
    struct ir_index **own = NEW_ARRAY(s->to->arena, struct ir_index *, count + 1);

    for (int i = 0; i < count; i++)
        own[i] = isolated_index(s, indices[i]);
    return own;
}

/* ---- tensors ---- */

static bool made_here(const struct ir_kernel *kernel, const struct ir_tensor *t)
{
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            if (kernel->stages.at[i]->equations.at[k] == t)
                return true;
    return false;
}

static const struct ir_recurrence *isolated_recurrence(struct isolation *s, const struct ir_recurrence *recurrence)
{
    struct ir_recurrence *known = (struct ir_recurrence *)*memo_at(&s->memo, recurrence);

    if (known)
        return known;
    known = arena_copy(s->to->arena, recurrence, sizeof *recurrence);
    known->name = "r";
    *memo_at(&s->memo, recurrence) = known;
    return known;
}

/* Without its value: that may read what is declared later. */
static struct ir_tensor *isolated_tensor(struct isolation *s, struct ir_tensor *t)
{
    struct ir_tensor *own = (struct ir_tensor *)*memo_at(&s->memo, t);
    bool here = made_here(s->kernel, t);

    if (own)
        return own;
    own = NEW(s->to->arena, struct ir_tensor);
    *memo_at(&s->memo, t) = own;
    own->name = arena_printf(s->to->arena, "%c%d", here ? 'e' : t->kind == IR_DRAW ? 'd' : 'x', s->tensors++);
    own->kind = here || t->kind == IR_DRAW || t->kind == IR_SCALAR ? t->kind : IR_STATE;
    own->whole = t->whole;
    own->low = t->low;
    own->high = t->high;
    own->rank = t->rank;
    own->axes = isolated_indices(s, t->axes, t->rank);
    own->draw = t->draw;
    own->scope = t->scope;
    own->mapped = t->mapped;
    own->storage = t->storage;
    own->region = t->region;
    own->one_step = t->one_step;
    if (t->region > IR_LOCAL || t->kind == IR_DRAW) {
        own->region = t->kind == IR_DRAW ? IR_NOWHERE : t->kind == IR_SCALAR ? IR_IN_SCALARS : IR_IN_ARENA;
        own->offset = s->places->count;
        list_add(s->to->arena, *s->places, t);
    }
    own->number = s->to->tensors.count;
    list_add(s->to->arena, s->to->tensors, own);
    if (!here)
        return own;
    own->reduction = t->reduction;
    own->reduced_count = t->reduced_count;
    own->reduced = isolated_indices(s, t->reduced, t->reduced_count);
    own->single = t->single;
    own->time = t->time;
    own->recurrence = t->recurrence ? isolated_recurrence(s, t->recurrence) : NULL;
    own->opaque = t->opaque;
    return own;
}

static void isolate_value(struct isolation *s, struct ir_tensor *t)
{
    struct ir_tensor *own = isolated_tensor(s, t);

    if (t->targets) {
        own->targets = NEW_ARRAY(s->to->arena, const struct ir_form *, t->rank + 1);
        for (int i = 0; i < t->rank; i++)
            own->targets[i] = isolated_form(s, t->targets[i]);
    }
    for (int i = 0; i < 2; i++)
        own->operands[i] = t->operands[i] ? isolated_tensor(s, t->operands[i]) : NULL;
    own->value = t->value ? isolated_expr(s, t->value) : NULL;
}

/* ---- expressions: each node as it is, of other parts; no law of algebra is used ---- */

static const struct ir_atom *isolated_atom(struct isolation *s, const struct ir_atom *atom)
{
    struct ir_atom own = *atom;

    own.index = atom->index ? isolated_index(s, atom->index) : NULL;
    own.form = atom->form ? isolated_form(s, atom->form) : NULL;
    own.value = atom->value ? isolated_expr(s, atom->value) : NULL;
    return intern_atom(s->to->tables, &own);
}

static const struct ir_form *isolated_form(struct isolation *s, const struct ir_form *f)
{
    const struct ir_form *known = *memo_at(&s->memo, f);
    struct ir_form own = *f;

    if (known)
        return known;
    struct ir_term *terms = NEW_ARRAY(s->to->arena, struct ir_term, f->count + 1);
    for (int i = 0; i < f->count; i++) {
        struct ir_term term = {f->terms[i].coefficient, isolated_atom(s, f->terms[i].atom)};
        int at = i;

        for (; at > 0 && compare_atoms(term.atom, terms[at - 1].atom) < 0; at--)
            terms[at] = terms[at - 1];
        terms[at] = term;
    }
    own.terms = terms;
    known = intern_form(s->to->tables, &own);
    *memo_at(&s->memo, f) = known;
    return known;
}

static const struct ir_expr *isolated_expr(struct isolation *s, const struct ir_expr *e)
{
    const struct ir_expr *known = *memo_at(&s->memo, e);
    struct ir_expr own = *e;

    if (known)
        return known;
    own.form = e->form ? isolated_form(s, e->form) : NULL;
    if (e->kind == IR_READ) {
        own.tensor = isolated_tensor(s, e->tensor);
        own.subscripts = NEW_ARRAY(s->to->arena, const struct ir_form *, e->tensor->rank + 1);
        for (int i = 0; i < e->tensor->rank; i++)
            own.subscripts[i] = isolated_form(s, e->subscripts[i]);
    }
    own.otherwise = e->otherwise ? isolated_expr(s, e->otherwise) : NULL;
    for (int i = 0; i < 3; i++)
        own.arguments[i] = e->arguments[i] ? isolated_expr(s, e->arguments[i]) : NULL;
    known = intern_expr(s->to->tables, &own);
    *memo_at(&s->memo, e) = known;
    return known;
}

/* ---- the kernel ---- */

static struct ir_kernel *isolated_kernel(struct isolation *s)
{
    const struct ir_kernel *kernel = s->kernel;
    struct ir_kernel *own = NEW(s->to->arena, struct ir_kernel);

    own->name = "k";
    own->kind = kernel->kind;
    if (kernel->recurrence) {
        own->recurrence = isolated_recurrence(s, kernel->recurrence);
        own->time = isolated_index(s, kernel->time);
    }
    for (int i = 0; i < kernel->parallel.count; i++)
        list_add(s->to->arena, own->parallel, isolated_index(s, kernel->parallel.at[i]));
    for (int i = 0; i < kernel->stages.count; i++) {
        const struct ir_stage *stage = kernel->stages.at[i];
        struct ir_stage *copy = NEW(s->to->arena, struct ir_stage);

        for (int k = 0; k < stage->inner.count; k++)
            list_add(s->to->arena, copy->inner, isolated_index(s, stage->inner.at[k]));
        for (int k = 0; k < stage->equations.count; k++)
            list_add(s->to->arena, copy->equations, isolated_tensor(s, stage->equations.at[k]));
        list_add(s->to->arena, own->stages, copy);
    }
    for (int i = 0; i < kernel->stages.count; i++)
        for (int k = 0; k < kernel->stages.at[i]->equations.count; k++)
            isolate_value(s, kernel->stages.at[i]->equations.at[k]);
    return own;
}

struct ir_program *ir_isolate(struct arena *arena, const struct ir_program *p, const struct ir_kernel *kernel,
                              ir_tensor_list *places)
{
    struct isolation s = {.to = ir_program_new(arena, "kernel", p->precision), .kernel = kernel, .places = places};

    *places = (ir_tensor_list){0};
    memo_begin(&s.memo);
    list_add(arena, s.to->kernels, isolated_kernel(&s));
    memo_end(&s.memo);
    return s.to;
}
