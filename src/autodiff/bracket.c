/* bracket.c: the adjoint of a read, dT[a] += sum (unknowns) weight * [s_1 == a_1] .. [s_k == a_k], by solving its
   brackets.

   Repeated until no bracket is left, or none that can be solved:
     S0  a bracket without unknowns becomes a guard;
     S1  a bracket with one unknown, of coefficient +-1, is substituted;
     S2  a quotient or remainder over unknowns is split: f = k q + m;
     S3  else the cheapest elimination: unit, divisible, a pair of strides, or at last a test inside the sum.
   What is left is compared if the positions are few, and else scattered; so is what was solved at too high a cost.

   requires: a weight over the summed indices alone. maintains: the value of the sum at every element of the target, in
   exact arithmetic; no guard is dropped here, even when the intervals prove it, for a later step may change the box
   that proved it. breaks: the indices summed over. */
#include "adjoint.h"

#include <string.h>

enum {
    ONE_HOT = 16,  /* the largest computed axis done as a sum over a comparison */
    MOST_WORK = 8, /* how much more than a scatter a solved system may cost */
    MOST_STEPS = 64
};

/* ---- systems ---- */

bool system_sums(const struct system *s, const struct ir_form *f)
{
    for (int i = 0; i < s->unknowns.count; i++)
        if (ir_form_mentions(f, s->unknowns.at[i].index))
            return true;
    return false;
}

int system_count(const struct system *s, const struct ir_form *f)
{
    int count = 0;

    for (int i = 0; i < s->unknowns.count; i++)
        count += ir_form_mentions(f, s->unknowns.at[i].index);
    return count;
}

static bool has_factors(const struct ir_expr *e)
{
    return e->op == IR_multiply || e->op == IR_divide || e->op == IR_negate ||
           (e->op == IR_select && (ir_is_zero(e->arguments[1]) || ir_is_zero(e->arguments[2])));
}

static void multiply(struct system *s, struct memo *sizes, const struct ir_expr *e, bool inverse, bool fresh)
{
    const struct ir_expr *const *a = e->arguments;

    if (e->kind == IR_CONSTANT || (e->kind == IR_FORM && !e->form->count)) {
        double number = e->kind == IR_CONSTANT ? e->number : (double)e->form->constant;
        s->number = inverse ? s->number / number : s->number * number;
        return;
    }
    if (e->kind == IR_READ && e->otherwise && ir_is_zero(e->otherwise) && !inverse && fresh)
        for (int i = 0; i < e->tensor->rank; i++)
            guard_add_range(s->p, &s->guards, e->subscripts[i], e->tensor->axes[i]->extent);
    if (!ir_comes_apart(sizes, e, has_factors) || (e->op == IR_select && inverse)) {
        list_add(s->p->arena, s->factors, (struct factor){e, inverse});
    } else if (e->op == IR_negate) {
        s->number = -s->number;
        multiply(s, sizes, a[0], inverse, fresh);
    } else if (e->op == IR_select) {
        bool holds = ir_is_zero(a[2]);
        guard_add(s->p, &s->guards, guard_of(s->p, a[0], holds));
        multiply(s, sizes, holds ? a[1] : a[2], false, fresh);
    } else {
        multiply(s, sizes, a[0], inverse, fresh);
        multiply(s, sizes, a[1], e->op == IR_divide ? !inverse : inverse, fresh);
    }
}

/* Multiplies the product by e, or divides it: flattened, numbers gathered. fresh: conditions that make a factor 0
   become guards; a factor that was rewritten has its guards already. */
void system_multiply(struct system *s, const struct ir_expr *e, bool inverse, bool fresh)
{
    struct memo sizes;

    memo_begin(&sizes);
    multiply(s, &sizes, e, inverse, fresh);
    memo_end(&sizes);
}

void system_rewrite(struct system *s, const struct replacement *by)
{
    struct system old = *s;

    memset(&s->factors, 0, sizeof s->factors);
    memset(&s->guards, 0, sizeof s->guards);
    for (int i = 0; i < s->brackets.count; i++)
        s->brackets.at[i] = form_rewrite(s->p, s->brackets.at[i], by);
    for (int i = 0; i < old.guards.count; i++)
        guard_add(s->p, &s->guards, guard_rewrite(s->p, old.guards.at[i], by));
    for (int i = 0; i < old.factors.count; i++)
        system_multiply(s, expr_rewrite(s->p, old.factors.at[i].value, by), old.factors.at[i].inverse, false);
}

static void forget_unknown(struct system *s, int unknown)
{
    memmove(s->unknowns.at + unknown, s->unknowns.at + unknown + 1,
            sizeof *s->unknowns.at * (size_t)(s->unknowns.count - unknown - 1));
    s->unknowns.count--;
}

void system_substitute(struct system *s, int unknown, const struct ir_form *to)
{
    struct replacement by = {.index = s->unknowns.at[unknown].index, .to = to};

    forget_unknown(s, unknown);
    system_rewrite(s, &by);
}

void system_eliminate(struct system *s, int unknown, const struct ir_form *to)
{
    if (!s->unknowns.at[unknown].implied)
        guard_add_range(s->p, &s->guards, to, s->unknowns.at[unknown].index->extent);
    system_substitute(s, unknown, to);
}

struct ir_index *system_unknown(struct system *s, const char *name, int64_t extent, bool batch, bool preferred,
                                bool implied)
{
    struct ir_index *index = ir_index(s->p, name, extent, batch);

    list_add(s->p->arena, s->unknowns, (struct unknown){index, preferred, implied});
    return index;
}

static bool is_unknown(const struct system *s, const struct ir_index *index)
{
    for (int i = 0; i < s->unknowns.count; i++)
        if (s->unknowns.at[i].index == index)
            return true;
    return false;
}

static int find_unknown(const struct system *s, const struct ir_index *index)
{
    for (int i = 0; i < s->unknowns.count; i++)
        if (s->unknowns.at[i].index == index)
            return i;
    bug("bracket: %s is no unknown", index->name);
}

/* ---- S3: eliminations ---- */

enum elimination_kind { UNIT, DIVIDE, PAIR, TEST_INSIDE };
struct elimination {
    enum elimination_kind kind;
    int bracket;
    struct ir_index *removed;    /* v */
    const struct ir_form *to;    /* v := to; of a pair: R / g */
    const struct ir_form *guard; /* must be 0, or NULL */
    struct ir_index *other;      /* of a pair: u := step * u' + residue, u' below count */
    int64_t step, count, slope;
    const struct ir_form *residue;
    double cost;
    int rank;
};

/* x with a * x == 1 modulo m, the one nearest to 0: it keeps coefficients +-1 for strides up to 4. */
static int64_t inverse_modulo(int64_t a, int64_t m)
{
    int64_t r0 = m, r1 = ((a % m) + m) % m, x0 = 0, x1 = 1;

    while (r1) {
        int64_t q = r0 / r1, r = r0 - q * r1, x = x0 - q * x1;
        r0 = r1, r1 = r;
        x0 = x1, x1 = x;
    }
    x0 = ((x0 % m) + m) % m;
    return 2 * x0 > m ? x0 - m : x0;
}

static int64_t greatest_divisor(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static const struct ir_form *index_times(struct ir_program *p, struct ir_index *index, int64_t coefficient)
{
    return ir_form_scale(p, ir_form_index(p, index), coefficient);
}

/* Is the unknown a plain term of the bracket and nowhere else in it? */
static int64_t plain_coefficient(const struct system *s, const struct ir_form *f, int unknown)
{
    const struct ir_index *index = s->unknowns.at[unknown].index;
    int64_t c = ir_form_coefficient(f, index);

    return c && !form_nests(s->p, f, index) ? c : 0;
}

static void consider(const struct system *s, struct elimination *best, bool *found, struct elimination e)
{
    const struct unknown *removed = &s->unknowns.at[find_unknown(s, e.removed)];

    if (!removed->preferred && !(e.kind == PAIR && e.count == 1))
        e.cost *= 4;
    if (*found && (e.cost > best->cost || (e.cost == best->cost && e.rank >= best->rank)))
        return;
    *best = e;
    *found = true;
}

/* c v + d u + R == 0 with |c| = k > 1: with g = gcd(k, d), u = (k / g) u' + m and v follows. */
static void consider_pair(const struct system *s, int bracket, int v, int64_t c, int u, int64_t d,
                          struct elimination *best, bool *found)
{
    struct ir_program *p = s->p;
    struct ir_index *vi = s->unknowns.at[v].index, *ui = s->unknowns.at[u].index;
    const struct ir_form *e = s->brackets.at[bracket], *rest, *solved;
    int64_t k = c < 0 ? -c : c, g = greatest_divisor(k, d), slope = c > 0 ? d : -d;
    struct elimination pair = {.kind = PAIR, .bracket = bracket, .removed = vi, .other = ui, .step = k / g, .rank = 2};

    rest = form_minus(p, form_minus(p, e, index_times(p, vi, c)), index_times(p, ui, d));
    rest = ir_form_scale(p, rest, c > 0 ? -1 : 1); /* k v = rest - slope u */
    pair.guard = ir_form_remainder(p, rest, g);
    if (system_sums(s, pair.guard))
        return;
    solved = ir_form_quotient(p, rest, g);
    pair.slope = slope / g;
    pair.residue = ir_form_constant(p, 0);
    if (pair.step > 1)
        pair.residue = ir_form_remainder(p, ir_form_scale(p, solved, inverse_modulo(pair.slope, pair.step)), pair.step);
    pair.count = (ui->extent + pair.step - 1) / pair.step;
    pair.to = solved;
    pair.cost = (double)pair.count / ((double)vi->extent * (double)ui->extent);
    if (system_sums(s, pair.residue)) {
        pair.rank = 4;
        for (int i = 0; i < s->brackets.count; i++)
            if (i != bracket && (ir_form_mentions(s->brackets.at[i], ui) || ir_form_mentions(s->brackets.at[i], vi)))
                return;
    }
    consider(s, best, found, pair);
}

/* Adds the ways to eliminate an unknown by one bracket to the choice. */
static void consider_bracket(const struct system *s, int bracket, struct elimination *best, bool *found)
{
    struct ir_program *p = s->p;
    const struct ir_form *e = s->brackets.at[bracket];

    for (int v = 0; v < s->unknowns.count; v++) {
        int64_t c = plain_coefficient(s, e, v), k = c < 0 ? -c : c;
        struct ir_index *index = s->unknowns.at[v].index;
        struct elimination one = {.bracket = bracket, .removed = index, .cost = 1 / (double)index->extent};
        const struct ir_form *rest;
        if (!c)
            continue;
        rest = ir_form_scale(p, form_minus(p, e, index_times(p, index, c)), c > 0 ? -1 : 1); /* k v = rest */
        one.to = rest;
        if (k > 1) {
            one.guard = ir_form_remainder(p, rest, k);
            one.to = ir_form_quotient(p, rest, k);
            one.kind = system_sums(s, one.guard) ? TEST_INSIDE : DIVIDE;
            one.rank = one.kind == DIVIDE ? 1 : 5;
        }
        consider(s, best, found, one);
        for (int u = 0; u < s->unknowns.count && k > 1; u++) {
            int64_t d = u == v ? 0 : plain_coefficient(s, e, u);
            if (d)
                consider_pair(s, bracket, v, c, u, d, best, found);
        }
    }
}

static void drop_bracket(struct system *s, int bracket)
{
    memmove(s->brackets.at + bracket, s->brackets.at + bracket + 1,
            sizeof *s->brackets.at * (size_t)(s->brackets.count - bracket - 1));
    s->brackets.count--;
}

static void eliminate(struct system *s, const struct elimination *e)
{
    struct ir_program *p = s->p;
    const struct ir_form *other = e->residue;
    int u;

    drop_bracket(s, e->bracket);
    if (e->guard)
        guard_add(p, &s->guards, guard_of_form(p, GUARD_ZERO, e->guard));
    if (e->kind != PAIR) {
        system_eliminate(s, find_unknown(s, e->removed), e->to);
        return;
    }
    if (e->count > 1)
        other = ir_form_add(p, other,
                            index_times(p, system_unknown(s, e->other->name, e->count, false, false, false), e->step));
    u = find_unknown(s, e->other);
    system_eliminate(s, u, other);
    system_eliminate(s, find_unknown(s, e->removed),
                     ir_form_quotient(p, form_minus(p, e->to, ir_form_scale(p, other, e->slope)), e->step));
}

/* S1 */
static bool eliminate_single(struct system *s)
{
    struct elimination best;
    bool found = false;

    for (int b = 0; b < s->brackets.count; b++) {
        struct elimination one;
        bool here = false;
        if (system_count(s, s->brackets.at[b]) != 1)
            continue;
        consider_bracket(s, b, &one, &here);
        if (here && one.kind == UNIT && (!found || one.cost < best.cost)) {
            best = one;
            found = true;
        }
    }
    if (found)
        eliminate(s, &best);
    return found;
}

static bool eliminate_cheapest(struct system *s)
{
    struct elimination best;
    bool found = false;

    for (int b = 0; b < s->brackets.count; b++)
        consider_bracket(s, b, &best, &found);
    if (found)
        eliminate(s, &best);
    return found;
}

/* ---- S2: splitting ---- */

static bool divides_unknowns(const struct system *s, const struct ir_form *f)
{
    for (int i = 0; i < s->unknowns.count; i++)
        if (form_nests(s->p, f, s->unknowns.at[i].index))
            return true;
    return false;
}

/* The innermost quotient or remainder over unknowns with the smallest divisor. */
static void find_split(const struct system *s, const struct ir_form *f, const struct ir_atom **best)
{
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        if (atom->kind != IR_ATOM_QUOTIENT && atom->kind != IR_ATOM_REMAINDER)
            continue;
        find_split(s, atom->form, best);
        if (system_sums(s, atom->form) && !divides_unknowns(s, atom->form) &&
            (!*best || atom->divisor < (*best)->divisor))
            *best = atom;
    }
}

static bool split(struct system *s)
{
    struct ir_program *p = s->p;
    const struct ir_atom *atom = NULL;
    const struct ir_form *f, *whole, *quotient, *rest;
    struct ir_index *q, *m;
    int largest = -1;
    int64_t k, first, c;

    for (int b = 0; b < s->brackets.count; b++)
        find_split(s, s->brackets.at[b], &atom);
    if (!atom)
        return false;
    f = atom->form;
    k = atom->divisor;
    first = divide_down(f->low, k);
    for (int v = 0; v < s->unknowns.count; v++) {
        c = ir_form_coefficient(f, s->unknowns.at[v].index);
        if ((c == 1 || c == -1) &&
            (largest < 0 || s->unknowns.at[v].index->extent > s->unknowns.at[largest].index->extent))
            largest = v;
    }
    bool preferred = largest >= 0 && s->unknowns.at[largest].preferred;
    q = system_unknown(s, "q", divide_down(f->high, k) - first + 1, false, preferred, largest >= 0);
    m = system_unknown(s, "m", k, false, preferred, false);
    quotient = form_plus(p, ir_form_index(p, q), first);
    whole = ir_form_add(p, ir_form_scale(p, quotient, k), ir_form_index(p, m));
    if (largest >= 0) {
        struct ir_index *v = s->unknowns.at[largest].index;
        c = ir_form_coefficient(f, v);
        rest = form_minus(p, f, index_times(p, v, c));
        system_eliminate(s, largest, ir_form_scale(p, form_minus(p, whole, rest), c));
    } else {
        struct replacement by = {.divided = f, .divisor = k, .quotient = quotient, .remainder = ir_form_index(p, m)};
        system_rewrite(s, &by);
        list_add(p->arena, s->brackets, form_minus(p, f, whole));
    }
    return true;
}

/* ---- solving ---- */

static void remove_single_points(struct system *s)
{
    for (int v = 0; v < s->unknowns.count;)
        if (s->unknowns.at[v].index->extent == 1)
            system_substitute(s, v, ir_form_constant(s->p, 0));
        else
            v++;
}

/* S0 */
static void guard_fixed_brackets(struct system *s)
{
    for (int b = 0; b < s->brackets.count;) {
        const struct ir_form *e = s->brackets.at[b];
        if (system_sums(s, e)) {
            b++;
            continue;
        }
        drop_bracket(s, b);
        guard_add(s->p, &s->guards, guard_of_form(s->p, GUARD_ZERO, e));
    }
}

/* S1 for the axis that must read no other time: within a recurrence the subscript is the time itself, or one step beside
   it, and what other axes say of the time becomes a guard. */
static void match_time(struct system *s, const struct question *q, const struct ir_form **subscripts)
{
    struct ir_program *p = s->p;
    struct ir_index *axis;
    const struct ir_form *bracket;

    if (!q->in_step || !q->target->recurrence)
        return;
    axis = q->target->axes[q->target->time];
    bracket = form_minus(p, subscripts[q->target->time], ir_form_index(p, axis));
    for (int v = 0; v < s->unknowns.count; v++)
        for (int b = 0; b < s->brackets.count && plain_coefficient(s, bracket, v) == 1; b++)
            if (s->brackets.at[b] == bracket) {
                const struct ir_form *shift = form_minus(p, bracket, ir_form_index(p, s->unknowns.at[v].index));
                drop_bracket(s, b);
                system_eliminate(s, v, ir_form_scale(p, shift, -1));
                return;
            }
}

/* S1 where the subscript is just an index as long as the axis: v := a, and nothing to guard. An axis of extent 1 keeps
   its index so. */
static void match_axes(struct system *s, struct ir_tensor *target, const struct ir_form **subscripts)
{
    struct ir_program *p = s->p;

    for (int a = 0; a < target->rank; a++) {
        struct ir_index *axis = target->axes[a], *v = ir_form_bare(subscripts[a]);
        const struct ir_form *bracket;
        if (!v || v->extent != axis->extent || !is_unknown(s, v))
            continue;
        bracket = form_minus(p, ir_form_index(p, v), ir_form_index(p, axis));
        for (int b = 0; b < s->brackets.count; b++)
            if (s->brackets.at[b] == bracket) {
                drop_bracket(s, b);
                system_substitute(s, find_unknown(s, v), ir_form_index(p, axis));
                break;
            }
    }
}

/* Leaves the brackets that it cannot solve. */
static void solve(struct system *s)
{
    remove_single_points(s);
    for (int step = 0; step < MOST_STEPS; step++) {
        guard_fixed_brackets(s);
        if (!s->brackets.count)
            return;
        if (!eliminate_single(s) && !split(s) && !eliminate_cheapest(s))
            return;
    }
    guard_fixed_brackets(s);
}

/* Positions are compared one by one: sum of .. if a == position. */
static void compare_positions(struct system *s)
{
    for (int b = 0; b < s->brackets.count; b++)
        guard_add(s->p, &s->guards, guard_of_form(s->p, GUARD_ZERO, s->brackets.at[b]));
    s->brackets.count = 0;
}

/* How many values the axes in brackets have together. */
static double positions_left(const struct system *s, const struct ir_tensor *target)
{
    double positions = 1;

    for (int a = 0; a < target->rank; a++)
        for (int b = 0; b < s->brackets.count; b++)
            if (ir_form_mentions(s->brackets.at[b], target->axes[a])) {
                positions *= (double)target->axes[a]->extent;
                break;
            }
    return positions;
}

static bool occurs(struct ir_index *index, struct ir_index *const *list, int count)
{
    for (int i = 0; i < count; i++)
        if (list[i] == index)
            return true;
    return false;
}

/* The summed indices become unknowns, under a name of their own where the target has the same index. */
static const struct ir_expr *add_unknowns(struct system *s, const struct question *q, const struct ir_form **renamed)
{
    struct ir_program *p = s->p;
    const struct ir_form **forms = NEW_ARRAY(p->arena, const struct ir_form *, q->summed_count);

    for (int i = 0; i < q->summed_count; i++) {
        struct ir_index *v = q->summed[i];
        bool preferred = occurs(v, q->preferred, q->preferred_count);
        if (occurs(v, q->target->axes, q->target->rank))
            v = ir_index(p, v->name, v->extent, v->batch);
        forms[i] = ir_form_index(p, v);
        list_add(p->arena, s->unknowns, (struct unknown){v, preferred, false});
    }
    for (int k = 0; k < q->target->rank; k++) {
        renamed[k] = ir_form_substitute(p, q->subscripts[k], q->summed, forms, q->summed_count);
        list_add(p->arena, s->brackets, form_minus(p, renamed[k], ir_form_index(p, q->target->axes[k])));
    }
    return ir_substitute(p, q->weight, q->summed, forms, q->summed_count);
}

/* What is summed over gets names apart from the axes and from one another. */
static void name_reduced(struct system *s, const struct question *q)
{
    struct ir_program *p = s->p;
    int count = 0;
    struct ir_index **all = NEW_ARRAY(p->arena, struct ir_index *, q->kept_count + q->target->rank + s->unknowns.count);

    for (int i = 0; i < q->kept_count; i++)
        all[count++] = q->kept[i];
    for (int i = 0; i < q->target->rank; i++)
        all[count++] = q->target->axes[i];
    for (int i = 0; i < s->unknowns.count; i++) {
        struct ir_index *old = s->unknowns.at[i].index, *renamed = old;
        const char *name = unused_name(p, old->name, all, count);
        if (name != old->name) {
            s->unknowns.at[i].index = renamed = ir_index(p, name, old->extent, old->batch);
            system_rewrite(s, &(struct replacement){.index = old, .to = ir_form_index(p, renamed)});
        }
        all[count++] = renamed;
    }
}

/* Finds a guard that says that an axis equals a kept index: the axis is tied to it. */
static bool tie_axis(struct system *s, const struct question *q, int *tied)
{
    struct ir_program *p = s->p;

    for (int i = 0; i < s->guards.count; i++)
        for (int k = 0; k < q->kept_count && s->guards.at[i]->kind == GUARD_ZERO; k++)
            for (int a = 0; a < q->target->rank; a++) {
                const struct ir_form *kept = ir_form_index(p, q->kept[k]);
                if (s->guards.at[i]->form != form_minus(p, kept, ir_form_index(p, q->target->axes[a])))
                    continue;
                tied[a] = k + 1;
                memmove(s->guards.at + i, s->guards.at + i + 1,
                        sizeof *s->guards.at * (size_t)(s->guards.count - i - 1));
                s->guards.count--;
                system_rewrite(s, &(struct replacement){.index = q->target->axes[a], .to = kept});
                return true;
            }
    return false;
}

/* The work is outputs times sums; that of a scatter, sources and outputs. */
static bool costly(const struct system *s, const struct question *q, const int *tied)
{
    double outputs = 1, sums = 1, sources = (double)ir_extent_product(q->summed, q->summed_count);

    for (int i = 0; i < q->target->rank; i++)
        outputs *= tied && tied[i] ? 1 : (double)q->target->axes[i]->extent;
    for (int i = 0; i < s->unknowns.count; i++)
        sums *= (double)s->unknowns.at[i].index->extent;
    return outputs * sums > MOST_WORK * (outputs + sources);
}

void adjoint_solve(struct ir_program *p, const struct question *q, struct adjoint *out)
{
    struct system s = {.p = p, .number = 1};
    const struct ir_form **renamed = NEW_ARRAY(p->arena, const struct ir_form *, q->target->rank);
    bool compared;

    *out = (struct adjoint){0};
    system_multiply(&s, add_unknowns(&s, q, renamed), false, true);
    match_time(&s, q, renamed);
    match_axes(&s, q->target, renamed);
    solve(&s);
    compared = s.brackets.count > 0;
    if (compared && !q->in_step && positions_left(&s, q->target) > ONE_HOT) {
        adjoint_scatter(p, q, out);
        return;
    }
    compare_positions(&s);
    system_tidy(&s);
    if (s.zero)
        return;
    if (q->kept_count) {
        out->tied = NEW_ARRAY(p->arena, int, q->target->rank);
        while (tie_axis(&s, q, out->tied))
            system_tidy(&s);
    }
    if (s.zero)
        return;
    if (!compared && !q->in_step && costly(&s, q, out->tied)) {
        adjoint_scatter(p, q, out);
        return;
    }
    name_reduced(&s, q);
    system_close(&s, out);
    out->count = s.unknowns.count;
    out->reduced = NEW_ARRAY(p->arena, struct ir_index *, s.unknowns.count);
    for (int i = 0; i < s.unknowns.count; i++)
        out->reduced[i] = s.unknowns.at[i].index;
    if (out->value && ir_is_zero(out->value))
        out->value = NULL;
}

struct ir_tensor *adjoint_of_read(struct ir_program *p, const char *name, struct ir_tensor *target,
                                  const struct ir_form **subscripts, struct ir_index **summed, int summed_count,
                                  struct ir_index **preferred, int preferred_count, const struct ir_expr *weight,
                                  const struct ir_origin *origin)
{
    struct question q = {.target = target,
                         .subscripts = subscripts,
                         .summed = summed,
                         .summed_count = summed_count,
                         .preferred = preferred,
                         .preferred_count = preferred_count,
                         .weight = weight};
    struct adjoint solved;

    adjoint_solve(p, &q, &solved);
    if (!solved.value)
        return NULL;
    if (solved.targets)
        return ir_scatter(p, name, target->axes, target->rank, solved.targets, solved.reduced, solved.count,
                          solved.value, origin);
    if (solved.times)
        solved.value = ir_apply(p, IR_multiply, solved.times, solved.value, NULL);
    if (solved.over)
        solved.value = ir_apply(p, IR_divide, solved.value, solved.over, NULL);
    return ir_equation(p, name, target->axes, target->rank, solved.count ? IR_SUM : IR_MAP, solved.reduced,
                       solved.count, solved.value, false, origin);
}
