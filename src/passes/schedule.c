/* schedule.c: what depends on the step's scalars alone leaves the program.

   requires: a verified program without kernels. In place; returns p. maintains: values (the schedule computes in f64,
   and what is of single precision stays so); names. Every real equation of rank 0 over scalars and constants, and every
   such subexpression of another equation that has an operator, becomes an IR_SCALAR leaf (scalars are real; a whole one
   may be a subscript, so it stays), filled before each step by *schedule, whose output has the leaf's name. Rates,
   schedules and keep probabilities are computed once a step in f64 instead of at every element. */
#include "internal.h"

struct splitting {
    struct ir_program *p, *schedule;
    struct arena *arena;
    struct ir_tensor **moved;           /* by number in p: what stands for it in the schedule */
    struct memo *there;                 /* expression -> the same in the schedule's tables */
    tensor_list made;                   /* new leaves of p, to be listed before what reads them */
    LIST(const struct ir_expr *) whats; /* subexpressions that are leaves already, with .. */
    LIST(bool) singles;                 /* .. their precision and .. */
    tensor_list whose;                  /* .. their leaves */
};

static void find_unscheduled(const struct ir_expr *read, void *context)
{
    if (read->tensor->kind != IR_SCALAR)
        *(bool *)context = false;
}

/* Depends on scalars and constants alone? Scheduled equations have become scalars by now. */
static bool scheduled(struct splitting *s, const struct ir_expr *e)
{
    ir_index_list indices = {0};
    bool yes = true;

    ir_reads(e, find_unscheduled, &yes);
    if (yes)
        ir_indices(s->arena, e, &indices);
    return yes && !indices.count;
}

static bool has_read(const struct ir_expr *e)
{
    expr_list reads = {0};
    struct arena *scratch = arena_new();
    bool any;

    collect_reads(scratch, e, &reads);
    any = reads.count > 0;
    arena_free(scratch);
    return any;
}

static const struct ir_expr *move(struct splitting *s, const struct ir_expr *e);

static const struct ir_form *move_form(struct splitting *s, const struct ir_form *form)
{
    const struct ir_form *sum = ir_form_constant(s->schedule, form->constant);

    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        const struct ir_form *part;

        if (atom->kind == IR_ATOM_VALUE)
            part = ir_form_of(s->schedule, move(s, atom->value));
        else if (atom->kind == IR_ATOM_QUOTIENT)
            part = ir_form_quotient(s->schedule, move_form(s, atom->form), atom->divisor);
        else if (atom->kind == IR_ATOM_REMAINDER)
            part = ir_form_remainder(s->schedule, move_form(s, atom->form), atom->divisor);
        else
            bug("a scheduled expression holds index %s", atom->index->name);
        sum = ir_form_add(s->schedule, sum, ir_form_scale(s->schedule, part, form->terms[i].coefficient));
    }
    return sum;
}

/* The expression in the schedule's tables. */
static const struct ir_expr *move(struct splitting *s, const struct ir_expr *e)
{
    const struct ir_expr *there = *memo_at(s->there, e), *arguments[3] = {0};

    if (there)
        return there;
    switch (e->kind) {
    case IR_CONSTANT:
        there = e->whole ? ir_number(s->schedule, e->number) : ir_real(s->schedule, e->number);
        break;
    case IR_FORM:
        there = ir_of_form(s->schedule, move_form(s, e->form));
        break;
    case IR_READ:
        if (!s->moved[e->tensor->number])
            s->moved[e->tensor->number] =
                ir_leaf(s->schedule, IR_SCALAR, e->tensor->name, NULL, 0, false, 0, 0, e->tensor->origin);
        there = ir_read(s->schedule, s->moved[e->tensor->number], NULL, 0, NULL);
        break;
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = move(s, e->arguments[i]);
        there = ir_apply(s->schedule, e->op, arguments[0], arguments[1], arguments[2]);
        break;
    }
    *memo_at(s->there, e) = there;
    return there;
}

/* A new leaf of p for a scheduled expression. */
static struct ir_tensor *schedule_it(struct splitting *s, const char *name, const struct ir_expr *e, bool single,
                                     const struct ir_origin *origin)
{
    struct ir_tensor *there, *leaf;

    for (int i = 0; i < s->whats.count; i++)
        if (s->whats.at[i] == e && s->singles.at[i] == single)
            return s->whose.at[i];
    leaf = ir_leaf(s->p, IR_SCALAR, name, NULL, 0, false, 0, 0, origin);
    there = ir_equation(s->schedule, leaf->name, NULL, 0, IR_MAP, NULL, 0, move(s, e), single, origin);
    ir_add_output(s->schedule, leaf->name, there, false);
    list_add(s->arena, s->whats, e);
    list_add(s->arena, s->singles, single);
    list_add(s->arena, s->whose, leaf);
    list_add(s->arena, s->made, leaf);
    return leaf;
}

/* e with its largest scheduled parts made leaves. Subscripts are left alone. */
static const struct ir_expr *take_parts(struct splitting *s, const struct ir_tensor *t, const struct ir_expr *e,
                                        struct memo *taken)
{
    const struct ir_expr *result = *memo_at(taken, e), *arguments[3] = {0};

    if (result || e->kind != IR_APPLY)
        return result ? result : e;
    if (!e->whole && has_read(e) && scheduled(s, e)) {
        struct ir_tensor *leaf =
            schedule_it(s, arena_printf(s->p->arena, "%s.scalar", t->name), e, t->single, t->origin);

        result = ir_read(s->p, leaf, NULL, 0, NULL);
    } else {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = take_parts(s, t, e->arguments[i], taken);
        result = ir_apply(s->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    *memo_at(taken, e) = result;
    return result;
}

/* The equation becomes the leaf itself, so that every read of it stands. */
static void become_leaf(struct splitting *s, struct ir_tensor *t)
{
    struct ir_tensor *there =
        ir_equation(s->schedule, t->name, NULL, 0, IR_MAP, NULL, 0, move(s, t->value), t->single, t->origin);

    ir_add_output(s->schedule, t->name, there, false);
    s->moved[t->number] = there;
    t->kind = IR_SCALAR;
    t->value = NULL;
    t->single = false;
}

static bool reads_scalars(const struct uses *uses, const struct ir_tensor *t)
{
    for (int i = 0; i < uses->reads[t->number].count; i++)
        if (uses->reads[t->number].at[i]->tensor->kind == IR_SCALAR)
            return true;
    return false;
}

struct ir_program *split_schedule(struct ir_program *p, struct ir_program **schedule)
{
    struct splitting s = {.p = p, .arena = arena_new()};
    struct uses uses = uses_of(s.arena, p);
    int count = p->tensors.count;
    tensor_list order = {0};

    s.schedule = ir_program_new(p->arena, arena_printf(p->arena, "%s_schedule", p->name), IR_DOUBLE);
    s.moved = NEW_ARRAY(s.arena, struct ir_tensor *, count + 1);
    s.there = memo_new(s.arena);
    for (int i = 0; i < count; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (t->kind != IR_EQUATION)
            continue;
        if (t->rank == 0 && t->reduction == IR_MAP && !t->whole && scheduled(&s, t->value))
            become_leaf(&s, t);
        else if (reads_scalars(&uses, t))
            t->value = take_parts(&s, t, t->value, memo_new(s.arena));
    }
    for (int i = 0; i < s.made.count; i++)
        list_add(s.arena, order, s.made.at[i]);
    for (int i = 0; i < count; i++)
        list_add(s.arena, order, p->tensors.at[i]);
    set_tensors(p, order.at, order.count);
    drop_dead(p);
    *schedule = s.schedule;
    arena_free(s.arena);
    return p;
}
