/* join.c: what has arrived at a tensor becomes its gradient.

   A gradient is over the kept indices and the tensor's axes. An axis that is tied to a kept index is left out: there
   the gradient is 0 unless the two are equal. So the gradients of each sample's own loss are no larger than those of
   their sum.

   requires: all summands of the tensor. maintains: their order, which is that of the reads. */
#include "adjoint.h"

#include <string.h>

/* ---- axes ---- */

bool is_tied(const int *tied, int axis)
{
    return tied && tied[axis];
}

ir_index_list gradient_axes(const struct reverse *r, const struct ir_tensor *t, const int *tied)
{
    ir_index_list axes = {0};

    for (int k = 0; k < r->kept_count; k++)
        list_add(r->p->arena, axes, r->kept[k]);
    for (int a = 0; a < t->rank; a++)
        if (!is_tied(tied, a))
            list_add(r->p->arena, axes, t->axes[a]);
    return axes;
}

const struct ir_form *axis_form(const struct reverse *r, const struct ir_tensor *t, const int *tied, int axis)
{
    return ir_form_index(r->p, is_tied(tied, axis) ? r->kept[tied[axis] - 1] : t->axes[axis]);
}

const struct ir_expr *where_tied(const struct reverse *r, const struct ir_tensor *t, const int *tied, const int *but,
                                 const struct ir_expr *value)
{
    struct ir_program *p = r->p;
    const struct ir_expr *all = NULL;

    for (int a = 0; tied && a < t->rank; a++) {
        const struct ir_expr *equal;
        if (!tied[a] || (but && but[a] == tied[a]))
            continue;
        equal = ir_apply(p, IR_equal, ir_of_form(p, axis_form(r, t, but, a)),
                         ir_of_form(p, ir_form_index(p, r->kept[tied[a] - 1])), NULL);
        all = all ? ir_apply(p, IR_and, all, equal, NULL) : equal;
    }
    return all ? ir_apply(p, IR_select, all, value, ir_real(p, 0)) : value;
}

/* The ties that all summands have. What is opaque keeps the axes that its matrices have. */
static const int *common_ties(struct reverse *r, const struct ir_tensor *t, const summand_list *list)
{
    int *tied = NEW_ARRAY(r->p->arena, int, t->rank);
    int rank = t->kind != IR_OPAQUE ? t->rank : t->opaque == IR_SOLVE ? t->rank - 1 : t->rank - 2;

    if (!r->kept_count)
        return NULL;
    for (int a = 0; a < rank; a++)
        for (int i = 0; i < list->count; i++) {
            const int *its = list->at[i].adjoint.tied;
            int here = its ? its[a] : 0;
            if (i && here != tied[a])
                here = 0;
            tied[a] = here;
            if (!here)
                break;
        }
    return tied;
}

struct ir_tensor *make_equation(struct reverse *r, const char *name, struct ir_index **axes, int rank,
                                const struct ir_recurrence *recurrence, const struct ir_index *time,
                                enum ir_reduction reduction, struct ir_index **reduced, int reduced_count,
                                const struct ir_expr *value, const struct ir_origin *origin)
{
    int at = 0;

    if (!recurrence)
        return ir_equation(r->p, name, axes, rank, reduction, reduced, reduced_count, value, false, origin);
    while (at < rank && axes[at] != time)
        at++;
    return ir_equation_in(r->p, name, axes, rank, recurrence, at, reduction, reduced, reduced_count, value, false,
                          origin);
}

/* ---- joining ---- */

static bool same_summand(struct ir_program *p, int rank, const struct adjoint *a, const struct adjoint *b)
{
    const struct ir_form **to;

    if (a->count != b->count || a->times != b->times || a->over != b->over || a->targets || b->targets)
        return false;
    for (int i = 0; i < rank; i++)
        if (is_tied(a->tied, i) != is_tied(b->tied, i) || (is_tied(a->tied, i) && a->tied[i] != b->tied[i]))
            return false;
    to = NEW_ARRAY(p->arena, const struct ir_form *, a->count);
    for (int i = 0; i < a->count; i++) {
        if (a->reduced[i]->extent != b->reduced[i]->extent)
            return false;
        to[i] = ir_form_index(p, a->reduced[i]);
    }
    return a->value == ir_substitute(p, b->value, b->reduced, to, b->count);
}

/* Equal summands become one with a number in front. */
static summand_list join_equal(struct ir_program *p, int rank, const summand_list *list)
{
    summand_list result = {0};
    LIST(int) times = {0};

    for (int i = 0; i < list->count; i++) {
        int k = 0;
        while (k < result.count && !same_summand(p, rank, &result.at[k].adjoint, &list->at[i].adjoint))
            k++;
        if (k < result.count) {
            times.at[k]++;
            continue;
        }
        list_add(p->arena, result, list->at[i]);
        list_add(p->arena, times, 1);
    }
    for (int i = 0; i < result.count; i++)
        if (times.at[i] > 1)
            result.at[i].adjoint.value =
                ir_apply(p, IR_multiply, ir_real(p, times.at[i]), result.at[i].adjoint.value, NULL);
    return result;
}

/* A gradient is a real number even if only whole ones make it: storage and later derivatives depend on it. */
static const struct ir_expr *real(struct ir_program *p, const struct ir_expr *e)
{
    return e->whole ? ir_apply(p, IR_divide, e, ir_number(p, 1), NULL) : e;
}

static struct ir_tensor *sum_of(struct reverse *r, const struct ir_tensor *t, const char *name,
                                const struct ir_recurrence *recurrence, const struct summand *s)
{
    ir_index_list axes = gradient_axes(r, t, s->adjoint.tied);
    const struct ir_expr *value = real(r->p, s->adjoint.value);

    if (s->adjoint.targets)
        return ir_scatter(r->p, name, axes.at, axes.count, s->adjoint.targets, s->adjoint.reduced, s->adjoint.count,
                          value, s->origin);
    return make_equation(r, name, axes.at, axes.count, recurrence, recurrence ? t->axes[t->time] : NULL, IR_SUM,
                         s->adjoint.reduced, s->adjoint.count, value, s->origin);
}

/* The summand over the kept indices and the axes that are not tied: a sum becomes an equation. */
static const struct ir_expr *value_of(struct reverse *r, const struct ir_tensor *t, const char *name, const int *tied,
                                      const struct ir_recurrence *recurrence, const struct summand *s)
{
    struct ir_program *p = r->p;
    const struct adjoint *d = &s->adjoint;
    const struct ir_expr *value = d->value;

    if (d->count)
        value = read_at(p, sum_of(r, t, arena_printf(p->arena, "%s_part", name), recurrence, s),
                        gradient_axes(r, t, d->tied).at);
    if (d->times && d->times->kind == IR_CONSTANT && d->times->number == -1)
        value = ir_apply(p, IR_negate, value, NULL, NULL);
    else if (d->times && d->times->kind == IR_APPLY && d->times->op == IR_negate)
        value = ir_apply(p, IR_negate, ir_apply(p, IR_multiply, d->times->arguments[0], value, NULL), NULL, NULL);
    else if (d->times)
        value = ir_apply(p, IR_multiply, d->times, value, NULL);
    if (d->over)
        value = ir_apply(p, IR_divide, value, d->over, NULL);
    return where_tied(r, t, d->tied, tied, value);
}

/* Is it a number, or a number at one place and 0 elsewhere? That is cheaper to say again than to store; and a sum over
   the place then needs no sum. */
static bool repeatable(const struct ir_expr *e)
{
    const struct ir_expr *const *a = e->arguments;

    if (e->kind == IR_CONSTANT)
        return true;
    return e->kind == IR_APPLY && e->op == IR_select && a[1]->kind == IR_CONSTANT && ir_is_zero(a[2]) &&
           a[0]->kind == IR_APPLY && a[0]->op == IR_equal && a[0]->arguments[0]->whole && a[0]->arguments[1]->whole;
}

/* Is the gradient just this sum? */
static bool only_sum(const struct ir_tensor *t, const int *tied, const summand_list *list)
{
    const struct adjoint *d = &list->at[0].adjoint;

    if (list->count != 1 || !d->count || d->times || d->over)
        return false;
    for (int a = 0; a < t->rank; a++)
        if (is_tied(tied, a) != is_tied(d->tied, a) || (is_tied(tied, a) && tied[a] != d->tied[a]))
            return false;
    return true;
}

static const struct ir_expr *total_of(struct reverse *r, const struct ir_tensor *t, const char *name, const int *tied,
                                      const struct ir_recurrence *recurrence, const summand_list *list)
{
    struct ir_program *p = r->p;
    const struct ir_expr *total = NULL;

    for (int i = 0; i < list->count; i++) {
        const struct ir_expr *value = value_of(r, t, name, tied, recurrence, &list->at[i]);
        if (total && value->kind == IR_APPLY && value->op == IR_negate)
            total = ir_apply(p, IR_subtract, total, value->arguments[0], NULL);
        else
            total = total ? ir_apply(p, IR_add, total, value, NULL) : value;
    }
    return real(p, total);
}

static const struct ir_origin *origin_of(const struct ir_tensor *t, const summand_list *list)
{
    return list->count == 1 || !t->origin ? list->at[0].origin : t->origin;
}

struct gradient join(struct reverse *r, struct ir_tensor *t, bool asked)
{
    struct ir_program *p = r->p;
    summand_list list = join_equal(p, t->rank, &r->summands[t->number]);
    const char *name = arena_printf(p->arena, "d_%s", t->name);
    struct gradient g = {.tied = common_ties(r, t, &list)};
    ir_index_list axes = gradient_axes(r, t, g.tied);

    if (only_sum(t, g.tied, &list)) {
        g.made = sum_of(r, t, name, r->within, &list.at[0]);
        g.value = read_at(p, g.made, axes.at);
        return g;
    }
    g.value = total_of(r, t, name, g.tied, r->within, &list);
    if (!asked && repeatable(g.value))
        return g;
    g.made = make_equation(r, name, axes.at, axes.count, r->within, r->within ? t->axes[t->time] : NULL, IR_MAP, NULL,
                           0, g.value, origin_of(t, &list));
    if (g.value->kind != IR_CONSTANT)
        g.value = read_at(p, g.made, axes.at);
    return g;
}

void define_gradient(struct reverse *r, struct ir_tensor *t, const struct gradient *g)
{
    struct ir_program *p = r->p;
    const struct ir_recurrence *recurrence = g->made->recurrence;
    summand_list list = join_equal(p, t->rank, &r->summands[t->number]);

    g->made->origin = origin_of(t, &list);
    if (only_sum(t, g->tied, &list) && !list.at[0].adjoint.targets)
        ir_define(p, g->made, IR_SUM, list.at[0].adjoint.reduced, list.at[0].adjoint.count,
                  real(p, list.at[0].adjoint.value), false);
    else
        ir_define(p, g->made, IR_MAP, NULL, 0, total_of(r, t, g->made->name, g->tied, recurrence, &list), false);
}

struct ir_tensor *whole_gradient(struct reverse *r, struct ir_tensor *t, const struct gradient *g)
{
    ir_index_list axes = gradient_axes(r, t, NULL);
    const struct ir_expr *value = where_tied(r, t, g->tied, NULL, g->value);
    const struct ir_recurrence *recurrence = r->within;

    if (value == g->value && g->made)
        return g->made;
    return make_equation(r, arena_printf(r->p->arena, "d_%s_each", t->name), axes.at, axes.count, recurrence,
                         recurrence ? t->axes[t->time] : NULL, IR_MAP, NULL, 0, value, t->origin);
}
