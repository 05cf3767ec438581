/* scatter.c: the adjoint of a read whose subscripts are not solved: each source adds its weight where it read.

   requires: what adjoint_solve requires. maintains: the value; the order in which an element's contributions are added
   is the row-major order of the sources, kept indices first. breaks: nothing. */
#include "adjoint.h"

static bool any_mentions(const struct ir_form *const *forms, int count, const struct ir_index *index)
{
    for (int i = 0; i < count; i++)
        if (ir_form_mentions(forms[i], index))
            return true;
    return false;
}

/* A read outside has no target: it is put at the nearest element, and weighs nothing. */
static const struct ir_form *kept_inside(struct ir_program *p, const struct ir_form *f, int64_t extent,
                                         guard_list *guards)
{
    const struct ir_expr *e = ir_of_form(p, f);

    if (f->low >= 0 && f->high < extent)
        return f;
    guard_add_range(p, guards, f, extent);
    e = ir_apply(p, IR_min, ir_number(p, (double)extent - 1), e, NULL);
    return ir_form_of(p, ir_apply(p, IR_max, ir_number(p, 0), e, NULL));
}

/* Axes whose subscript is just a kept index are tied to it. */
static int *ties(struct ir_program *p, const struct question *q)
{
    int *tied = q->kept_count ? NEW_ARRAY(p->arena, int, q->target->rank) : NULL;

    for (int a = 0; tied && a < q->target->rank; a++)
        for (int k = 0; k < q->kept_count; k++)
            if (ir_form_bare(q->subscripts[a]) == q->kept[k] && q->kept[k]->extent == q->target->axes[a]->extent)
                tied[a] = k + 1;
    return tied;
}

static bool among(const struct ir_index *index, const ir_index_list *list)
{
    for (int i = 0; i < list->count; i++)
        if (list->at[i] == index)
            return true;
    return false;
}

/* Sums the weight over the indices that no target mentions, if there are any. */
static const struct ir_expr *sum_idle(struct ir_program *p, const struct question *q, const struct ir_form *const *at,
                                      const struct ir_expr *weight, ir_index_list *sources)
{
    ir_index_list used = {0}, idle = {0}, mentioned = {0};
    const struct ir_form **own;
    struct ir_tensor *sum;
    double times = 1;

    ir_indices(p->arena, weight, &mentioned);
    for (int i = 0; i < sources->count; i++)
        if (i < q->kept_count || any_mentions(at, q->target->rank, sources->at[i]))
            list_add(p->arena, used, sources->at[i]);
        else if (among(sources->at[i], &mentioned))
            list_add(p->arena, idle, sources->at[i]);
        else
            times *= (double)sources->at[i]->extent;
    if (times != 1)
        weight = ir_apply(p, IR_multiply, ir_real(p, times), weight, NULL);
    if (!idle.count) {
        *sources = used;
        return weight;
    }
    sum = ir_equation(p, arena_printf(p->arena, "d_%s_from", q->target->name), used.at, used.count, IR_SUM, idle.at,
                      idle.count, weight, false, q->target->origin);
    *sources = used;
    own = own_subscripts(p, used.at, used.count);
    return ir_read(p, sum, own, used.count, NULL);
}

/* The value at one place, whose subscripts are constants, and 0 elsewhere. */
static const struct ir_expr *at_one_place(struct ir_program *p, const struct ir_tensor *target,
                                          const struct ir_form *const *at, const struct ir_expr *value)
{
    const struct guard *there = guard_of(p, ir_number(p, 1), true);

    for (int a = 0; a < target->rank; a++)
        there = guard_join(p, GUARD_ALL, there,
                           guard_of_form(p, GUARD_ZERO, form_minus(p, ir_form_index(p, target->axes[a]), at[a])));
    return guard_true(there) ? value : ir_apply(p, IR_select, guard_condition(p, there), value, ir_real(p, 0));
}

void adjoint_scatter(struct ir_program *p, const struct question *q, struct adjoint *out)
{
    int count = q->kept_count + q->summed_count, rank = 0;
    struct ir_index **from = NEW_ARRAY(p->arena, struct ir_index *, count);
    const struct ir_form **to = NEW_ARRAY(p->arena, const struct ir_form *, count),
                         **at = NEW_ARRAY(p->arena, const struct ir_form *, q->target->rank);
    const struct guard *inside = guard_of(p, ir_number(p, 1), true);
    const struct ir_expr *weight;
    ir_index_list sources = {0};
    guard_list guards = {0};

    for (int i = 0; i < count; i++) {
        struct ir_index *old = from[i] = i < q->kept_count ? q->kept[i] : q->summed[i - q->kept_count];
        list_add(p->arena, sources, ir_index(p, old->name, old->extent, old->batch));
        to[i] = ir_form_index(p, sources.at[i]);
    }
    for (int a = 0; a < q->target->rank; a++)
        at[a] = kept_inside(p, ir_form_substitute(p, q->subscripts[a], from, to, count), q->target->axes[a]->extent,
                            &guards);
    for (int i = 0; i < guards.count; i++)
        inside = guard_join(p, GUARD_ALL, inside, guards.at[i]);
    weight = ir_substitute(p, q->weight, from, to, count);
    if (!guard_true(inside))
        weight = ir_apply(p, IR_select, guard_condition(p, inside), weight, ir_real(p, 0));
    *out = (struct adjoint){.tied = ties(p, q)};
    out->value = sum_idle(p, q, at, weight, &sources);
    out->reduced = sources.at;
    out->count = sources.count;
    if (!sources.count) {
        out->value = at_one_place(p, q->target, at, out->value);
        return;
    }
    out->targets = NEW_ARRAY(p->arena, const struct ir_form *, q->kept_count + q->target->rank);
    for (int k = 0; k < q->kept_count; k++)
        out->targets[rank++] = to[k];
    for (int a = 0; a < q->target->rank; a++)
        if (!is_tied(out->tied, a))
            out->targets[rank++] = at[a];
}
