/* nest.c: recurrences inside of a recurrence that depend on it become one with it.

   requires   a knot (ir_arrange) of equations of several recurrences; the equations of an inner one have the time of
   the one around it among their axes makes      one recurrence whose time counts the steps of the inner ones within
   each step of the outer one. What was an equation of the knot stays, as a map outside that reads the new one keeps
   values, wherever anything reads them

   Let the outer recurrence have T steps and its inner ones together P, one after the other (phases). The new time k
   counts T P steps, forwards or backwards as the outer one does: the outer step is k // P, and r, from k % P, the place
   within it. An equation of the outer recurrence is made anew at each k, from the r on at which the phases that it
   needs are over; before that it is 0, so that no number is made of what is not there. What the next outer step reads
   of it is held: a further equation keeps its last value. What an equation outside of a phase reads of it at other
   places than its end is held by registers, one for a fixed place, or one for each place of the phase. */
#include "internal.h"

enum { MOST_PHASES = 62 };

struct phase {
    const struct ir_recurrence *recurrence;
    int64_t steps, offset;
    uint64_t needs; /* phases that are over before this one begins */
    bool placed;
};
enum part { OUTSIDE_OF_NEST, OUTER, INNER };
struct held_place {
    int64_t place; /* of the inner time; -1: each, as the last axis */
    struct ir_tensor *tensor;
};
struct member {
    struct ir_tensor *old, *steps, *held;
    enum part part;
    int phase, time, inner; /* axes of the outer and of the inner time */
    uint64_t needs;
    LIST(struct held_place) registers;
};
struct nest {
    struct ir_program *p;
    struct member *members; /* by number of the old tensor */
    int count;
    const struct ir_recurrence *outer, *flat;
    struct ir_index *old_time, *time;
    struct phase phases[MOST_PHASES];
    int phase_count;
    int64_t period;
    const struct ir_form *step, *place; /* k // P and r */
    bool fine;
};

/* ---- small expressions ---- */

static const struct ir_form *plus(struct nest *n, const struct ir_form *f, int64_t constant)
{
    return ir_form_add(n->p, f, ir_form_constant(n->p, constant));
}

static const struct ir_form *minus(struct nest *n, int64_t constant, const struct ir_form *f)
{
    return plus(n, ir_form_scale(n->p, f, -1), constant);
}

static const struct ir_expr *compare(struct nest *n, enum ir_op op, const struct ir_form *f, int64_t with)
{
    return ir_apply(n->p, op, ir_of_form(n->p, f), ir_number(n->p, (double)with), NULL);
}

static const struct ir_expr *both(struct nest *n, const struct ir_expr *a, const struct ir_expr *b)
{
    return a && b ? ir_apply(n->p, IR_and, a, b, NULL) : a ? a : b;
}

static const struct ir_expr *where(struct nest *n, const struct ir_expr *condition, const struct ir_expr *yes,
                                   const struct ir_expr *no)
{
    return condition ? ir_apply(n->p, IR_select, condition, yes, no) : yes;
}

/* 0, or the whole number nearest to it in the range. */
static const struct ir_expr *nothing(struct nest *n, bool whole, int64_t low, int64_t high)
{
    return whole ? ir_number(n->p, low > 0 ? (double)low : high < 0 ? (double)high : 0) : ir_real(n->p, 0);
}

static struct member *member_of(struct nest *n, const struct ir_tensor *t)
{
    struct member *m = t->number < n->count ? &n->members[t->number] : NULL;

    return m && m->old == t && m->part != OUTSIDE_OF_NEST ? m : NULL;
}

/* ---- places ---- */

/* The place within an outer step at which a phase makes its step s; of the place, the step. */
static const struct ir_form *place_of(struct nest *n, const struct phase *phase, const struct ir_form *s)
{
    return phase->recurrence->down ? minus(n, phase->offset + phase->steps - 1, s) : plus(n, s, phase->offset);
}

static const struct ir_form *step_of(struct nest *n, const struct phase *phase)
{
    const struct ir_form *at = n->place;

    if (n->phase_count > 1)
        at = ir_form_remainder(n->p, plus(n, at, -phase->offset), phase->steps);
    return phase->recurrence->down ? minus(n, phase->steps - 1, at) : at;
}

/* The new time at this outer step and place. */
static const struct ir_form *time_at(struct nest *n, const struct ir_form *step, const struct ir_form *place)
{
    return ir_form_add(n->p, ir_form_scale(n->p, step, n->period),
                       n->outer->down ? minus(n, n->period - 1, place) : place);
}

static const struct ir_form *time_before(struct nest *n)
{
    return plus(n, ir_form_index(n->p, n->time), n->outer->down ? 1 : -1);
}

static int64_t end_of(const struct phase *phase)
{
    return phase->offset + phase->steps - 1;
}

/* Where the member has its value; NULL: at each step. */
static const struct ir_expr *made_when(struct nest *n, const struct member *m)
{
    const struct phase *phase = &n->phases[m->phase];
    int64_t from = 0;

    if (m->part == INNER)
        return n->phase_count == 1 ? NULL
                                   : both(n, compare(n, IR_greater_equal, n->place, phase->offset),
                                          compare(n, IR_less_equal, n->place, end_of(phase)));
    for (int b = 0; b < n->phase_count; b++)
        if (m->needs >> b & 1 && end_of(&n->phases[b]) > from)
            from = end_of(&n->phases[b]);
    return from ? compare(n, IR_greater_equal, n->place, from) : NULL;
}

/* ---- reads of members ---- */

/* Subscripts for the new axes: the outer time is the new one, the inner one is left out; with `more` at the end. */
static const struct ir_expr *read_new(struct nest *n, struct ir_tensor *t, const struct member *m,
                                      const struct ir_form *const *old, const struct ir_form *time,
                                      const struct ir_form *more, const struct ir_expr *otherwise)
{
    const struct ir_form **at = NEW_ARRAY(n->p->arena, const struct ir_form *, t->rank + 1);
    int count = 0;

    for (int i = 0; i < m->old->rank; i++)
        if (m->part != INNER || i != m->inner)
            at[count++] = i == m->time ? time : old[i];
    if (more)
        at[count++] = more;
    for (int i = 0; i < count && !otherwise; i++)
        if (subscript_place(at[i], t->axes[i]) != INSIDE)
            otherwise = nothing(n, t->whole, t->low, t->high);
    return ir_read(n->p, t, at, count, otherwise);
}

static ir_index_list new_axes(struct nest *n, const struct member *m, struct ir_index *more)
{
    ir_index_list axes = {0};

    for (int i = 0; i < m->old->rank; i++)
        if (m->part != INNER || i != m->inner)
            list_add(n->p->arena, axes, i == m->time ? n->time : m->old->axes[i]);
    if (more)
        list_add(n->p->arena, axes, more);
    return axes;
}

static int new_time(const struct member *m)
{
    return m->time - (m->part == INNER && m->inner < m->time);
}

/* NAME: what the member makes where the condition holds, afterwards the same as before. more: an axis of its own. */
static struct ir_tensor *hold(struct nest *n, struct member *m, const char *name, const struct ir_expr *condition,
                              struct ir_index *more)
{
    struct ir_program *p = n->p;
    const struct ir_tensor *old = m->old;
    ir_index_list axes = new_axes(n, m, more);
    const struct ir_form **own = NEW_ARRAY(p->arena, const struct ir_form *, old->rank + 1), *last = NULL;
    struct ir_tensor *t = ir_declare(p, arena_printf(p->arena, "%s.%s", old->name, name), axes.at, axes.count,
                                     old->whole, old->low, old->high, n->flat, new_time(m), old->origin);
    const struct ir_expr *now, *before;

    for (int i = 0; i < old->rank; i++)
        own[i] = ir_form_index(p, old->axes[i]);
    if (more)
        last = ir_form_index(p, more);
    now = read_new(n, m->steps, m, own, ir_form_index(p, n->time), NULL, NULL);
    before = read_new(n, t, m, own, time_before(n), last, nothing(n, old->whole, old->low, old->high));
    ir_define(p, t, IR_MAP, NULL, 0, where(n, condition, now, before), false);
    return t;
}

static struct ir_tensor *held_of(struct nest *n, struct member *m)
{
    if (!m->held)
        m->held = hold(n, m, "held", compare(n, IR_equal, n->place, n->period - 1), NULL);
    return m->held;
}

static struct ir_tensor *register_of(struct nest *n, struct member *m, int64_t place)
{
    const struct phase *phase = &n->phases[m->phase];
    const struct ir_form *s = step_of(n, phase);
    const struct ir_expr *condition = made_when(n, m);
    struct ir_index *each = NULL;
    struct held_place held = {place, NULL};

    for (int i = 0; i < m->registers.count; i++)
        if (m->registers.at[i].place == place)
            return m->registers.at[i].tensor;
    if (place < 0) {
        each = ir_index(n->p, m->old->axes[m->inner]->name, phase->steps, false);
        s = ir_form_add(n->p, s, ir_form_scale(n->p, ir_form_index(n->p, each), -1));
    }
    condition = both(n, condition, compare(n, IR_equal, s, place < 0 ? 0 : place));
    held.tensor = hold(n, m, "kept", condition, each);
    list_add(n->p->arena, m->registers, held);
    return held.tensor;
}

/* Is the subscript the index, and how much more? */
static bool shifted(const struct ir_form *f, const struct ir_index *index, int64_t *shift)
{
    *shift = f->constant;
    return f->count == 1 && f->terms[0].coefficient == 1 && f->terms[0].atom->kind == IR_ATOM_INDEX &&
           f->terms[0].atom->index == index;
}

static bool is_shift(const struct ir_form *f, const struct ir_index *index, int64_t by)
{
    int64_t shift;

    return shifted(f, index, &shift) && shift == by;
}

/* ---- rewriting ---- */

struct rewriting {
    struct nest *n;
    const struct member *reader; /* NULL: stands outside of the nest */
    struct memo met;
};

static const struct ir_expr *rewrite_expr(struct rewriting *r, const struct ir_expr *e);

static const struct ir_form *rewrite_index(struct rewriting *r, struct ir_index *index)
{
    struct nest *n = r->n;

    if (r->reader && index == n->old_time)
        return n->step;
    if (r->reader && r->reader->part == INNER && index == r->reader->old->axes[r->reader->inner])
        return step_of(n, &n->phases[r->reader->phase]);
    return ir_form_index(n->p, index);
}

static const struct ir_form *rewrite_form(struct rewriting *r, const struct ir_form *f)
{
    struct ir_program *p = r->n->p;
    const struct ir_form *sum = ir_form_constant(p, f->constant);

    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        const struct ir_form *part = NULL;

        switch (atom->kind) {
        case IR_ATOM_INDEX:
            part = rewrite_index(r, atom->index);
            break;
        case IR_ATOM_QUOTIENT:
            part = ir_form_quotient(p, rewrite_form(r, atom->form), atom->divisor);
            break;
        case IR_ATOM_REMAINDER:
            part = ir_form_remainder(p, rewrite_form(r, atom->form), atom->divisor);
            break;
        case IR_ATOM_VALUE:
            part = ir_form_of(p, rewrite_expr(r, atom->value));
            break;
        }
        sum = ir_form_add(p, sum, ir_form_scale(p, part, f->terms[i].coefficient));
    }
    return sum;
}

static const struct ir_expr *inside(struct nest *n, const struct ir_form *f, int64_t extent)
{
    return both(n, f->low < 0 ? compare(n, IR_greater_equal, f, 0) : NULL,
                f->high >= extent ? compare(n, IR_less, f, extent) : NULL);
}

/* From outside of the nest: any step of it. */
static const struct ir_expr *read_any(struct nest *n, const struct member *m, const struct ir_form *const *at,
                                      const struct ir_expr *otherwise)
{
    const struct ir_form *place = ir_form_constant(n->p, n->period - 1);
    const struct ir_expr *condition = inside(n, at[m->time], n->outer->extent), *read;

    if (m->part == INNER) {
        place = place_of(n, &n->phases[m->phase], at[m->inner]);
        condition = both(n, condition, inside(n, at[m->inner], n->phases[m->phase].steps));
    }
    read = read_new(n, m->steps, m, at, time_at(n, at[m->time], place), NULL, otherwise);
    return otherwise ? where(n, condition, read, otherwise) : read;
}

/* at: the subscripts rewritten; e->subscripts as they were. */
static const struct ir_expr *read_member(struct rewriting *r, struct member *m, const struct ir_expr *e,
                                         const struct ir_form *const *at, const struct ir_expr *otherwise)
{
    struct nest *n = r->n;
    const struct ir_form *now = ir_form_index(n->p, n->time);
    const struct phase *phase = &n->phases[m->phase];
    int64_t back = n->outer->down ? 1 : -1, inner_back = m->part == INNER && phase->recurrence->down ? 1 : -1;
    const struct ir_form *s;

    if (!r->reader)
        return read_any(n, m, at, otherwise);
    if (m->part == OUTER && is_shift(e->subscripts[m->time], n->old_time, 0))
        return read_new(n, m->steps, m, at, now, NULL, otherwise);
    if (m->part == OUTER && is_shift(e->subscripts[m->time], n->old_time, back) && otherwise) {
        int64_t first = n->outer->down ? n->outer->extent - 1 : 0;

        return where(n, compare(n, IR_equal, n->step, first), otherwise,
                     read_new(n, held_of(n, m), m, at, time_before(n), NULL, otherwise));
    }
    n->fine &= m->part == INNER && is_shift(e->subscripts[m->time], n->old_time, 0);
    if (!n->fine)
        return e;
    s = e->subscripts[m->inner];
    if (r->reader->part == INNER && r->reader->phase == m->phase) {
        const struct ir_index *index = r->reader->old->axes[r->reader->inner];

        if (is_shift(s, index, 0))
            return read_new(n, m->steps, m, at, now, NULL, otherwise);
        n->fine &= is_shift(s, index, inner_back) && otherwise;
        return n->fine ? where(n, compare(n, IR_equal, n->place, phase->offset), otherwise,
                               read_new(n, m->steps, m, at, time_before(n), NULL, otherwise))
                       : e;
    }
    if (s->count)
        return read_new(n, register_of(n, m, -1), m, at, now, at[m->inner], otherwise);
    if (n->phase_count == 1 && place_of(n, phase, s)->constant == n->period - 1)
        return read_new(n, m->steps, m, at, now, NULL, otherwise);
    return read_new(n, register_of(n, m, s->constant), m, at, now, NULL, otherwise);
}

static const struct ir_expr *rewrite_read(struct rewriting *r, const struct ir_expr *e)
{
    struct ir_tensor *t = e->tensor;
    const struct ir_form **at = NEW_ARRAY(r->n->p->arena, const struct ir_form *, t->rank + 1);
    const struct ir_expr *otherwise = e->otherwise ? rewrite_expr(r, e->otherwise) : NULL;
    struct member *m = member_of(r->n, t);

    for (int i = 0; i < t->rank; i++)
        at[i] = rewrite_form(r, e->subscripts[i]);
    if (m)
        return read_member(r, m, e, at, otherwise);
    for (int i = 0; i < t->rank && !otherwise; i++)
        if (subscript_place(at[i], t->axes[i]) != INSIDE)
            otherwise = nothing(r->n, t->whole, t->low, t->high);
    return ir_read(r->n->p, t, at, t->rank, otherwise);
}

static const struct ir_expr *rewrite_expr(struct rewriting *r, const struct ir_expr *e)
{
    const struct ir_expr *to = *memo_at(&r->met, e), *arguments[3] = {0};

    if (to)
        return to;
    to = e;
    if (e->kind == IR_FORM)
        to = ir_of_form(r->n->p, rewrite_form(r, e->form));
    else if (e->kind == IR_READ)
        to = rewrite_read(r, e);
    for (int i = 0; e->kind == IR_APPLY && i < 3 && e->arguments[i]; i++)
        arguments[i] = rewrite_expr(r, e->arguments[i]);
    if (e->kind == IR_APPLY)
        to = ir_apply(r->n->p, e->op, arguments[0], arguments[1], arguments[2]);
    *memo_at(&r->met, e) = to;
    return to;
}

static const struct ir_expr *rewritten(struct nest *n, const struct member *reader, const struct ir_expr *e)
{
    struct rewriting r = {.n = n, .reader = reader};
    const struct ir_expr *to;

    memo_begin(&r.met);
    to = rewrite_expr(&r, e);
    memo_end(&r.met);
    return to;
}

/* ---- what a step needs ---- */

struct looking {
    struct nest *n;
    struct member *reader;
};

static void need(const struct ir_expr *read, void *context)
{
    struct looking *look = context;
    struct member *m = member_of(look->n, read->tensor), *reader = look->reader;

    if (!m || (m->part == OUTER && !is_shift(read->subscripts[m->time], look->n->old_time, 0)))
        return;
    reader->needs |= m->needs;
    if (m->part == INNER && (reader->part == OUTER || reader->phase != m->phase))
        reader->needs |= (uint64_t)1 << m->phase;
}

static void need_operands(struct looking *look)
{
    struct member *reader = look->reader;

    for (int i = 0; i < 2 && reader->old->operands[i]; i++) {
        struct member *m = member_of(look->n, reader->old->operands[i]);

        if (m)
            reader->needs |= m->needs;
        if (m && m->part == INNER && (reader->part == OUTER || reader->phase != m->phase))
            look->n->fine = false;
    }
}

static void find_needs(struct nest *n)
{
    bool more = true;

    while (more) {
        more = false;
        for (int i = 0; i < n->count; i++) {
            struct looking look = {n, &n->members[i]};
            uint64_t before = n->members[i].needs;

            if (n->members[i].part == OUTSIDE_OF_NEST)
                continue;
            reads_of(n->members[i].old, need, &look);
            need_operands(&look);
            more |= n->members[i].needs != before;
        }
    }
    for (int i = 0; i < n->count; i++)
        if (n->members[i].part == INNER)
            n->phases[n->members[i].phase].needs |= n->members[i].needs;
}

/* Each phase after those that it needs. */
static void place_phases(struct nest *n)
{
    uint64_t placed = 0;

    for (int turn = 0; turn < n->phase_count && n->fine; turn++) {
        int b = 0;

        while (b < n->phase_count && (n->phases[b].placed || n->phases[b].needs & ~placed))
            b++;
        n->fine = b < n->phase_count;
        if (!n->fine)
            return;
        n->phases[b].placed = true;
        n->phases[b].offset = n->period;
        n->period += n->phases[b].steps;
        placed |= (uint64_t)1 << b;
    }
}

/* ---- the new equations ---- */

static const char *steps_name(struct nest *n, const struct ir_tensor *t)
{
    return arena_printf(n->p->arena, "%s.steps", t->name);
}

static void define_steps(struct nest *n, struct member *m)
{
    struct ir_tensor *t = m->old;
    const struct ir_expr *value = rewritten(n, m, t->value);

    value = where(n, made_when(n, m), value, nothing(n, value->whole, value->low, value->high));
    ir_define(n->p, m->steps, t->reduction, t->reduced, t->reduced_count, value, t->single);
}

/* The operand at each new step; where the member has no value, a unit matrix or a vector of zeros. */
static struct ir_tensor *new_operand(struct nest *n, struct member *m, struct ir_tensor *operand, bool square)
{
    struct member *of = member_of(n, operand), shape = *m;
    const struct ir_form **own = NEW_ARRAY(n->p->arena, const struct ir_form *, operand->rank + 1);
    const struct ir_expr *condition = made_when(n, m), *value, *none;
    struct ir_index **axes = NEW_ARRAY(n->p->arena, struct ir_index *, operand->rank + 1);
    ir_index_list all;

    if (of && !condition)
        return of->steps;
    for (int i = 0; i < operand->rank; i++) {
        axes[i] = i == m->time || (m->part == INNER && i == m->inner) ? m->old->axes[i] : operand->axes[i];
        own[i] = ir_form_index(n->p, axes[i]);
    }
    shape.old = arena_copy(n->p->arena, operand, sizeof *operand);
    shape.old->axes = axes;
    value = rewritten(n, m, ir_read(n->p, operand, own, operand->rank, NULL));
    none = nothing(n, operand->whole, operand->low, operand->high);
    if (square)
        none = ir_apply(n->p, IR_select,
                        ir_apply(n->p, IR_equal, ir_of_form(n->p, own[operand->rank - 2]),
                                 ir_of_form(n->p, own[operand->rank - 1]), NULL),
                        ir_real(n->p, 1), ir_real(n->p, 0));
    all = new_axes(n, &shape, NULL);
    return ir_equation_in(n->p, arena_printf(n->p->arena, "%s.steps", operand->name), all.at, all.count, n->flat,
                          new_time(m), IR_MAP, NULL, 0, where(n, condition, value, none), false, operand->origin);
}

static void make_opaque(struct nest *n, struct member *m)
{
    struct ir_tensor *t = m->old, *operands[2] = {0};

    for (int i = 0; i < 2 && t->operands[i]; i++) {
        struct member *of = member_of(n, t->operands[i]);

        if (of && of->old->kind == IR_OPAQUE && !of->steps)
            make_opaque(n, of);
        operands[i] = new_operand(n, m, t->operands[i], i == 0 && t->opaque != IR_RANK);
    }
    m->steps =
        ir_opaque_in(n->p, steps_name(n, t), t->opaque, operands[0], operands[1], n->flat, new_time(m), t->origin);
}

/* The old one reads the new one: outside, or in the recurrence around the nest. */
static void read_from_outside(struct nest *n, struct member *m, struct ir_tensor *const *knot, int knot_count)
{
    struct ir_tensor *t = m->old;
    const struct ir_form **own = NEW_ARRAY(n->p->arena, const struct ir_form *, t->rank + 1);

    for (int i = 0; i < t->rank; i++)
        own[i] = ir_form_index(n->p, t->axes[i]);
    t->kind = IR_EQUATION;
    t->operands[0] = t->operands[1] = NULL;
    t->reduction = IR_MAP;
    t->reduced_count = 0;
    t->single = false;
    t->value = read_any(n, m, own, NULL);
    t->recurrence = NULL;
    for (int k = 0; k < knot_count && !t->recurrence; k++) {
        const struct ir_tensor *around = knot[k];

        if (around->number < n->count && n->members[around->number].part != OUTSIDE_OF_NEST)
            continue;
        for (int i = 0; i < t->rank && around->recurrence; i++)
            if (t->axes[i] == around->axes[around->time]) {
                t->recurrence = around->recurrence;
                t->time = i;
            }
    }
}

/* ---- the whole ---- */

/* Which axis of an equation of another recurrence is the time; -1: none. */
static int axis_of_time(const struct ir_tensor *t, const struct ir_index *time)
{
    for (int i = 0; i < t->rank; i++)
        if (t->axes[i] == time && i != t->time)
            return i;
    return -1;
}

static int depth_of(const struct ir_tensor *t, struct ir_tensor *const *knot, int count)
{
    int depth = 0;

    for (int i = 0; i < count; i++) {
        bool met = knot[i]->recurrence == t->recurrence;

        for (int k = 0; k < i && !met; k++)
            met = knot[k]->recurrence == knot[i]->recurrence;
        depth += !met && axis_of_time(t, knot[i]->axes[knot[i]->time]) >= 0;
    }
    return depth;
}

/* The innermost recurrences and the one around them, and which equations are of them. */
static bool find_nest(struct nest *n, struct ir_tensor *const *knot, int count)
{
    int deepest = 0;

    for (int i = 0; i < count; i++) {
        int depth = depth_of(knot[i], knot, count);

        deepest = depth > deepest ? depth : deepest;
    }
    for (int i = 0; i < count && !n->outer; i++)
        for (int k = 0; k < count && !n->outer; k++)
            if (depth_of(knot[i], knot, count) == deepest && depth_of(knot[k], knot, count) == deepest - 1 &&
                axis_of_time(knot[i], knot[k]->axes[knot[k]->time]) >= 0) {
                n->outer = knot[k]->recurrence;
                n->old_time = knot[k]->axes[knot[k]->time];
            }
    if (!n->outer)
        return false;
    for (int i = 0; i < count; i++) {
        struct member *m = &n->members[knot[i]->number];
        struct ir_tensor *t = knot[i];
        int phase = 0;

        m->old = t;
        if (t->recurrence == n->outer) {
            m->part = OUTER;
            m->time = t->time;
            if (t->axes[t->time] != n->old_time)
                return false;
            continue;
        }
        m->time = axis_of_time(t, n->old_time);
        if (m->time < 0)
            continue;
        m->part = INNER;
        m->inner = t->time;
        while (phase < n->phase_count && n->phases[phase].recurrence != t->recurrence)
            phase++;
        n->fine &= phase < MOST_PHASES;
        if (!n->fine)
            return false;
        n->phases[phase].recurrence = t->recurrence;
        n->phases[phase].steps = t->recurrence->extent;
        n->phase_count += phase == n->phase_count;
        m->phase = phase;
    }
    return true;
}

static void make_time(struct nest *n)
{
    int64_t extent = n->outer->extent * n->period;
    const struct ir_form *time;

    n->flat = ir_recurrence(n->p, n->outer->name, extent, n->outer->down);
    n->time = ir_index(n->p, n->old_time->name, extent, false);
    time = ir_form_index(n->p, n->time);
    n->step = ir_form_quotient(n->p, time, n->period);
    n->place = ir_form_remainder(n->p, time, n->period);
    if (n->outer->down)
        n->place = minus(n, n->period - 1, n->place);
}

const char *flatten_nest(struct ir_program *p, struct ir_tensor *const *knot, int count)
{
    struct nest n = {.p = p, .count = p->tensors.count, .fine = true};

    n.members = NEW_ARRAY(p->arena, struct member, n.count);
    if (!find_nest(&n, knot, count))
        return "neither recurrence stands inside of the other";
    find_needs(&n);
    place_phases(&n);
    if (!n.fine)
        return "the recurrences inside of one step wait for each other";
    if (n.period > INT32_MAX / n.outer->extent)
        return "the steps of the recurrence and of those inside of it are more than 2^31 - 1 in all";
    make_time(&n);
    for (int i = 0; i < n.count; i++) {
        struct member *m = &n.members[i];
        ir_index_list axes;

        if (m->part == OUTSIDE_OF_NEST || m->old->kind == IR_OPAQUE)
            continue;
        axes = new_axes(&n, m, NULL);
        m->steps = ir_declare(p, steps_name(&n, m->old), axes.at, axes.count, m->old->whole, m->old->low, m->old->high,
                              n.flat, new_time(m), m->old->origin);
    }
    for (int i = 0; i < n.count; i++)
        if (n.members[i].part != OUTSIDE_OF_NEST && !n.members[i].steps)
            make_opaque(&n, &n.members[i]);
    for (int i = 0; i < n.count; i++)
        if (n.members[i].part != OUTSIDE_OF_NEST && n.members[i].old->kind == IR_EQUATION)
            define_steps(&n, &n.members[i]);
    for (int i = 0; i < count && n.fine; i++)
        if (n.members[knot[i]->number].part == OUTSIDE_OF_NEST && knot[i]->kind == IR_EQUATION)
            knot[i]->value = rewritten(&n, NULL, knot[i]->value);
    for (int i = 0; i < n.count && n.fine; i++)
        if (n.members[i].part != OUTSIDE_OF_NEST)
            read_from_outside(&n, &n.members[i], knot, count);
    return n.fine ? NULL : "a step reads what another recurrence has made at other steps than its own";
}
