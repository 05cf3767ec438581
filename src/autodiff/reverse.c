/* reverse.c: differentiate. Equations are visited from e backwards; each read of an equation gets a weight by reverse
   mode on its expression (partials.c), each summand of a weight becomes one system of brackets (bracket.c), and what
   arrives at a tensor is joined there (join.c). A recurrence is visited as a whole (recurrence.c).

   requires: a verified program without kernels. maintains: what is there; order. Every result depends on the order of
   the program's tensors and on the structure of its expressions, on no address. */
#include "adjoint.h"

#include <string.h>

/* Of a product whose derivative costs their square; more are scanned, except within one step of a recurrence. */
enum { FEW_FACTORS = 256 };

/* ---- what a derivative can reach ---- */

static bool lets_through(struct reverse *r, const struct ir_tensor *t)
{
    if (t->whole)
        return false;
    if (t->kind == IR_OPAQUE) /* ranks are whole */
        return reads_marked(t, r->active, r->count);
    return t->kind == IR_EQUATION && t->value && t->reduction != IR_ARGMAX && t->reduction != IR_ARGMIN &&
           passes(&r->passing, t->value);
}

static void mark_active(struct reverse *r, struct ir_tensor *const *wrt, int count)
{
    bool again = true;

    for (int i = 0; i < count; i++)
        if (wrt[i]->number < r->count)
            r->active[wrt[i]->number] = !wrt[i]->whole;
    while (again) {
        again = false;
        for (int i = 0; i < r->count; i++)
            if (!r->active[i] && lets_through(r, r->p->tensors.at[i]))
                again = r->active[i] = true;
        again &= has_recurrences(r->p); /* whose reads go forwards, too */
        if (again)
            r->passing = passing_new(r->p, r->active, r->count);
    }
}

static struct reverse begin(struct ir_program *p, const struct ir_tensor *e, struct ir_tensor *const *wrt, int count)
{
    struct reverse r = {.p = p, .count = e->number + 1};

    while (e->recurrence && r.count < p->tensors.count && p->tensors.at[r.count]->recurrence == e->recurrence)
        r.count++;
    r.active = NEW_ARRAY(p->arena, bool, r.count);
    r.summands = NEW_ARRAY(p->arena, summand_list, r.count);
    r.done = NEW_ARRAY(p->arena, bool, r.count);
    r.passing = passing_new(p, r.active, r.count);
    mark_active(&r, wrt, count);
    return r;
}

/* ---- one equation ---- */

/* The weight of the reduced expression for each point that attains the extremum, by an equation for its position. */
static const struct ir_expr *extremum_seed(struct reverse *r, const struct ir_tensor *t, const struct ir_expr *g)
{
    struct ir_program *p = r->p;
    const struct ir_form *position = ir_form_constant(p, 0);
    struct ir_tensor *arg = make_equation(
        r, arena_printf(p->arena, "arg_%s", t->name), t->axes, t->rank, r->within, r->within ? t->axes[t->time] : NULL,
        t->reduction == IR_MAXIMUM ? IR_ARGMAX : IR_ARGMIN, t->reduced, t->reduced_count, t->value, t->origin);

    for (int i = 0; i < t->reduced_count; i++)
        position = ir_form_add(p, ir_form_scale(p, position, t->reduced[i]->extent), ir_form_index(p, t->reduced[i]));
    return ir_apply(p, IR_select, ir_apply(p, IR_equal, ir_of_form(p, position), read_at(p, arg, t->axes), NULL), g,
                    ir_real(p, 0));
}

/* but[o, r] = the product of all factors but the one at r: right at zeros, and differentiable again. Its work is the
   square of theirs. */
static const struct ir_expr *product_seed(struct reverse *r, const struct ir_tensor *t, const struct ir_expr *g)
{
    struct ir_program *p = r->p;
    int rank = t->rank + t->reduced_count;
    struct ir_index **all = NEW_ARRAY(p->arena, struct ir_index *, rank + t->reduced_count), **others = all + rank;
    const struct ir_form **forms = NEW_ARRAY(p->arena, const struct ir_form *, t->reduced_count);
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, rank);
    const struct ir_expr *same = NULL, *value;
    struct ir_tensor *but;

    for (int i = 0; i < rank; i++) {
        all[i] = i < t->rank ? t->axes[i] : t->reduced[i - t->rank];
        at[i] = ir_form_index(p, all[i]);
    }
    for (int i = 0; i < t->reduced_count; i++) {
        const struct ir_expr *here;
        others[i] = ir_index(p, unused_name(p, t->reduced[i]->name, all, rank + i), t->reduced[i]->extent,
                             t->reduced[i]->batch);
        forms[i] = ir_form_index(p, others[i]);
        here = ir_apply(p, IR_equal, ir_of_form(p, forms[i]), ir_of_form(p, at[t->rank + i]), NULL);
        same = same ? ir_apply(p, IR_and, same, here, NULL) : here;
    }
    value = ir_substitute(p, t->value, t->reduced, forms, t->reduced_count);
    if (same)
        value = ir_apply(p, IR_select, same, ir_real(p, 1), value);
    but = make_equation(r, arena_printf(p->arena, "but_%s", t->name), all, rank, r->within,
                        r->within ? t->axes[t->time] : NULL, IR_PRODUCT, others, t->reduced_count, value, t->origin);
    return ir_apply(p, IR_multiply, g, ir_read(p, but, at, rank, NULL), NULL);
}

/* The value of t's factor at its reduced indices' place s, counted row-major. */
static const struct ir_expr *factor_at(struct ir_program *p, const struct ir_tensor *t, const struct ir_form *s)
{
    const struct ir_form **to = NEW_ARRAY(p->arena, const struct ir_form *, t->reduced_count);

    for (int i = t->reduced_count - 1; i >= 0; i--) {
        to[i] = i ? ir_form_remainder(p, s, t->reduced[i]->extent) : s;
        s = ir_form_quotient(p, s, t->reduced[i]->extent);
    }
    return ir_substitute(p, t->value, t->reduced, to, t->reduced_count);
}

/* scan[o, s] = the product of the factors before s (after it, if down): scan[s - 1] * factor[s - 1]. */
static struct ir_tensor *scan_factors(struct ir_program *p, const struct ir_tensor *t, int64_t factors, bool down)
{
    const char *name = arena_printf(p->arena, "%s_%s", down ? "after" : "before", t->name);
    const struct ir_recurrence *scan = ir_recurrence(p, name, factors, down);
    struct ir_index **axes = NEW_ARRAY(p->arena, struct ir_index *, t->rank + 1);
    const struct ir_form **at, *last, *place;
    const struct ir_expr *first, *factor;
    struct ir_tensor *product;

    memcpy(axes, t->axes, sizeof *axes * (size_t)t->rank);
    axes[t->rank] = ir_index(p, unused_name(p, "s", t->axes, t->rank), factors, false);
    product = ir_declare(p, name, axes, t->rank + 1, false, 0, 0, scan, t->rank, t->origin);
    at = own_subscripts(p, axes, t->rank + 1);
    place = at[t->rank];
    at[t->rank] = last = form_plus(p, place, down ? 1 : -1);
    first = ir_apply(p, IR_equal, ir_of_form(p, place), ir_number(p, down ? (double)factors - 1 : 0), NULL);
    factor = ir_apply(p, IR_select, first, ir_real(p, 1), factor_at(p, t, last));
    ir_define(p, product, IR_MAP, NULL, 0,
              ir_apply(p, IR_multiply, ir_read(p, product, at, t->rank + 1, ir_real(p, 1)), factor, NULL), false);
    return product;
}

/* The same in linear time, by the product of what comes before and what comes after. */
static const struct ir_expr *scanned_seed(struct reverse *r, const struct ir_tensor *t, const struct ir_expr *g,
                                          int64_t factors)
{
    struct ir_program *p = r->p;
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, t->rank + 1);
    struct ir_tensor *before = scan_factors(p, t, factors, false), *after = scan_factors(p, t, factors, true);
    const struct ir_expr *but;

    for (int i = 0; i < t->rank; i++)
        at[i] = ir_form_index(p, t->axes[i]);
    at[t->rank] = ir_form_constant(p, 0);
    for (int i = 0; i < t->reduced_count; i++)
        at[t->rank] =
            ir_form_add(p, ir_form_scale(p, at[t->rank], t->reduced[i]->extent), ir_form_index(p, t->reduced[i]));
    but = ir_apply(p, IR_multiply, ir_read(p, before, at, t->rank + 1, NULL), ir_read(p, after, at, t->rank + 1, NULL),
                   NULL);
    return ir_apply(p, IR_multiply, g, but, NULL);
}

void deliver(struct reverse *r, const struct question *question, const struct ir_recurrence *recurrence,
             const struct ir_origin *origin)
{
    expr_list weights = summands_of(r->p, question->weight);
    struct question q = *question;

    if (r->done[q.target->number]) { /* the order is wrong, as it may be while another recurrence is being built */
        r->error =
            arena_printf(r->p->arena, "%s is read before the recurrence around this is finished", q.target->name);
        return;
    }
    q.kept = r->kept;
    q.kept_count = r->kept_count;
    q.in_step = r->within || (recurrence && q.target->recurrence == recurrence);
    for (int i = 0; i < weights.count; i++) {
        struct summand s = {.origin = origin};
        q.weight = weights.at[i];
        adjoint_solve(r->p, &q, &s.adjoint);
        if (s.adjoint.value)
            list_add(r->p->arena, r->summands[q.target->number], s);
    }
}

/* The weight of the value of t at its axes and reduced indices. */
static const struct ir_expr *seed_of(struct reverse *r, const struct ir_tensor *t, const struct gradient *g)
{
    int64_t factors = ir_extent_product(t->reduced, t->reduced_count);

    if (t->targets)
        return ir_substitute(r->p, where_tied(r, t, g->tied, NULL, g->value), t->axes, t->targets, t->rank);
    if (t->reduction == IR_MAXIMUM || t->reduction == IR_MINIMUM)
        return extremum_seed(r, t, g->value);
    if (t->reduction != IR_PRODUCT)
        return g->value;
    if (factors > FEW_FACTORS && !r->within)
        return scanned_seed(r, t, g->value, factors);
    return product_seed(r, t, g->value);
}

/* Within one step: is it what the step itself makes? */
static bool same_time(const struct ir_tensor *t, const struct ir_expr *read)
{
    const struct ir_tensor *target = read->tensor;

    return target->recurrence == t->recurrence && ir_form_bare(read->subscripts[target->time]) == t->axes[t->time];
}

bool send(struct reverse *r, struct ir_tensor *t, const struct gradient *g)
{
    struct ir_program *p = r->p;
    const struct ir_form **to = NEW_ARRAY(p->arena, const struct ir_form *, t->rank);
    const struct ir_expr *seed = seed_of(r, t, g);
    ir_index_list summed = {0};
    partial_list reads;

    if (!seed)
        return false;
    for (int a = 0; a < t->rank; a++) {
        to[a] = axis_form(r, t, g->tied, a);
        if (!t->targets && !is_tied(g->tied, a))
            list_add(p->arena, summed, t->axes[a]);
    }
    for (int i = 0; i < t->reduced_count; i++)
        list_add(p->arena, summed, t->reduced[i]);
    reads = partials(&r->passing, t->value, seed, t->reduction == IR_MAP ? read_at(p, t, t->axes) : NULL);
    for (int i = 0; i < reads.count; i++) {
        const struct ir_expr *read = reads.at[i].read;
        struct question q = {.target = read->tensor,
                             .subscripts = NEW_ARRAY(p->arena, const struct ir_form *, read->tensor->rank),
                             .summed = summed.at,
                             .summed_count = summed.count,
                             .preferred = t->axes,
                             .preferred_count = t->rank,
                             .weight = ir_substitute(p, reads.at[i].weight, t->axes, to, t->rank)};
        if (r->within && !same_time(t, read))
            continue;
        for (int k = 0; k < read->tensor->rank; k++)
            q.subscripts[k] = ir_form_substitute(p, read->subscripts[k], t->axes, to, t->rank);
        deliver(r, &q, t->recurrence, t->origin);
    }
    return !r->error;
}

/* ---- the whole ---- */

static void keep_apart(struct reverse *r, const struct ir_tensor *e, const bool *apart)
{
    struct summand one = {.adjoint.value = ir_real(r->p, 1), .origin = e->origin};

    r->kept = NEW_ARRAY(r->p->arena, struct ir_index *, e->rank);
    for (int a = 0; apart && a < e->rank; a++) {
        if (!apart[a] || (r->within && a == e->time))
            continue;
        if (!one.adjoint.tied)
            one.adjoint.tied = NEW_ARRAY(r->p->arena, int, e->rank);
        r->kept[r->kept_count] = ir_index(r->p, e->axes[a]->name, e->axes[a]->extent, e->axes[a]->batch);
        one.adjoint.tied[a] = ++r->kept_count;
    }
    list_add(r->p->arena, r->summands[e->number], one);
}

void set_gradients(struct reverse *r, struct ir_tensor *t, const struct gradient *g, struct ir_tensor *const *wrt,
                   int count, struct ir_tensor **gradients)
{
    struct ir_tensor *whole = NULL;

    for (int i = 0; i < count; i++)
        if (wrt[i] == t)
            gradients[i] = whole = whole ? whole : whole_gradient(r, t, g);
}

static const char *differentiate_all(struct ir_program *p, struct ir_tensor *e, const bool *apart,
                                     const struct ir_recurrence *within, struct ir_tensor *const *wrt, int count,
                                     struct ir_tensor **gradients, const struct ir_tensor **where)
{
    const char *error = within ? NULL : arrange_finished(p);
    struct reverse r;

    *where = e;
    for (int i = 0; i < count; i++)
        gradients[i] = NULL;
    if (error)
        return error;
    r = begin(p, e, wrt, count);
    r.within = within;
    if (r.active[e->number])
        keep_apart(&r, e, apart);
    for (int number = r.count - 1; number >= 0; number--) {
        struct ir_tensor *t = p->tensors.at[number];
        struct gradient g;
        bool asked = false;
        if (r.done[number])
            continue;
        if (t->recurrence && !within) {
            if (!reverse_recurrence(&r, t->recurrence, wrt, count, gradients, where))
                return r.error;
            continue;
        }
        r.done[number] = true;
        if (!r.summands[number].count)
            continue;
        for (int i = 0; i < count; i++)
            asked |= wrt[i] == t;
        g = join(&r, t, asked);
        set_gradients(&r, t, &g, wrt, count, gradients);
        *where = t;
        if (t->kind == IR_OPAQUE && lets_through(&r, t) && !send_opaque(&r, t, &g))
            return r.error;
        if (t->kind == IR_EQUATION && t->value && passes(&r.passing, t->value) && !send(&r, t, &g))
            return r.error;
    }
    *where = NULL;
    return within ? NULL : arrange_finished(p);
}

const char *differentiate(struct ir_program *p, struct ir_tensor *loss, struct ir_tensor *const *wrt, int count,
                          struct ir_tensor **gradients, const struct ir_tensor **where)
{
    *where = loss;
    if (loss->rank)
        return arena_printf(p->arena, "a loss has no axes, but %s has %d", loss->name, loss->rank);
    return differentiate_all(p, loss, NULL, NULL, wrt, count, gradients, where);
}

const char *differentiate_each(struct ir_program *p, struct ir_tensor *e, const bool *apart,
                               struct ir_tensor *const *wrt, int count, struct ir_tensor **gradients,
                               const struct ir_tensor **where)
{
    return differentiate_all(p, e, apart, NULL, wrt, count, gradients, where);
}

const char *differentiate_within(struct ir_program *p, struct ir_tensor *e, const bool *apart,
                                 struct ir_tensor *const *wrt, int count, struct ir_tensor **gradients,
                                 const struct ir_tensor **where)
{
    *where = e;
    if (!e->recurrence)
        return arena_printf(p->arena, "%s is not in a recurrence", e->name);
    for (int i = 0; i < count; i++)
        if (wrt[i]->recurrence != e->recurrence)
            return arena_printf(p->arena, "%s is not in the recurrence of %s", wrt[i]->name, e->name);
    return differentiate_all(p, e, apart, e->recurrence, wrt, count, gradients, where);
}

/* ---- where a derivative ends ---- */

const struct ir_tensor *derivative_ends_at(const struct ir_program *p, const struct ir_tensor *from,
                                           const struct ir_tensor *loss)
{
    struct ir_program *program = (struct ir_program *)p; /* only its tables grow */
    struct ir_tensor *start = (struct ir_tensor *)from;
    struct reverse r = begin(program, loss, &start, 1);
    bool *leads = NEW_ARRAY(p->arena, bool, r.count), *follows = NEW_ARRAY(p->arena, bool, r.count);
    const struct ir_tensor *last = from;

    leads[loss->number] = true;
    mark_what_is_read(p, leads, r.count);
    if (from->number < r.count)
        follows[from->number] = true;
    mark_what_reads(p, follows, r.count);
    for (int i = 0; i < r.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        bool ends = follows[loss->number]
                        ? leads[i] && !r.active[i] && (t == from || reads_marked(t, r.active, r.count))
                        : follows[i];
        if (ends)
            last = t;
    }
    return last;
}
