/* tidy.c: a solved system made small, then an expression again. Steps, the first that applies, until none does:
     T1  a guard is false: the term is 0
     T2  an unknown of extent 1 is 0
     T3  a guard v == f puts f for v
     T4  guards that bound v shrink its range
     T5  guards that leave v one value at most put it
     T6  two digits of one number, low + extent * high, become the number
     T7  an implied v gives way to the guarded subscript that it stands in
     T8  an unknown that occurs nowhere multiplies

   requires: brackets solved. maintains: the value; termination, since each step removes an unknown or shrinks an
   extent, and T7 happens once an unknown. breaks: the indices summed over. */
#include "adjoint.h"

#include <string.h>

/* An interval beyond this is taken as unbounded. */
static const int64_t FAR = (int64_t)1 << 60;

static const struct ir_form *without(struct ir_program *p, const struct ir_form *f, struct ir_index *index,
                                     int64_t coefficient)
{
    return form_minus(p, f, ir_form_scale(p, ir_form_index(p, index), coefficient));
}

static bool has_guard(const struct system *s, const struct guard *g)
{
    for (int i = 0; i < s->guards.count; i++)
        if (guard_equal(s->guards.at[i], g))
            return true;
    return false;
}

static bool has_range(const struct system *s, const struct ir_form *f, int64_t extent)
{
    struct guard lower = {.kind = GUARD_NOT_NEGATIVE, .form = f};
    struct guard upper = {.kind = GUARD_NOT_NEGATIVE, .form = form_plus(s->p, ir_form_scale(s->p, f, -1), extent - 1)};

    return has_guard(s, &lower) && has_guard(s, &upper);
}

static void drop_guard(struct system *s, int guard)
{
    memmove(s->guards.at + guard, s->guards.at + guard + 1,
            sizeof *s->guards.at * (size_t)(s->guards.count - guard - 1));
    s->guards.count--;
}

/* T1. A false guard makes the term 0. Alternatives that are decided go, the other guards stay as they are. */
static void settle_guards(struct system *s)
{
    guard_list old = s->guards;

    memset(&s->guards, 0, sizeof s->guards);
    for (int i = 0; i < old.count; i++) {
        const struct guard *g = old.at[i], *simple = guard_simplify(s->p, g);
        if (guard_false(simple))
            s->zero = true;
        if (g->kind == GUARD_ANY || g->kind == GUARD_NOT_ZERO || g->kind == GUARD_TRUTH)
            g = simple;
        guard_add(s->p, &s->guards, g);
    }
    s->zero |= s->number == 0;
}

/* T2 */
static bool one_value(struct system *s)
{
    for (int v = 0; v < s->unknowns.count; v++)
        if (s->unknowns.at[v].index->extent == 1) {
            system_substitute(s, v, ir_form_constant(s->p, 0));
            return true;
        }
    return false;
}

/* T3: a guard v == f. */
static bool one_point(struct system *s)
{
    for (int i = 0; i < s->guards.count; i++) {
        const struct ir_form *f = s->guards.at[i]->form;
        if (s->guards.at[i]->kind != GUARD_ZERO)
            continue;
        for (int v = 0; v < s->unknowns.count; v++) {
            struct ir_index *index = s->unknowns.at[v].index;
            int64_t c = ir_form_coefficient(f, index);
            if ((c != 1 && c != -1) || form_nests(s->p, f, index))
                continue;
            drop_guard(s, i);
            system_eliminate(s, v, ir_form_scale(s->p, without(s->p, f, index, c), -c));
            return true;
        }
    }
    return false;
}

/* T4: guards that bound v shrink its range, which is then shifted to 0. */
static bool trim(struct system *s)
{
    for (int v = 0; v < s->unknowns.count; v++) {
        struct unknown old = s->unknowns.at[v];
        int64_t first = 0, last = old.index->extent - 1;
        struct ir_index *index;
        for (int i = 0; i < s->guards.count; i++) {
            const struct ir_form *f = s->guards.at[i]->form;
            int64_t c = s->guards.at[i]->kind == GUARD_NOT_NEGATIVE ? ir_form_coefficient(f, old.index) : 0, most;
            if (!c || form_nests(s->p, f, old.index))
                continue;
            most = without(s->p, f, old.index, c)->high; /* c v + most >= 0 */
            if (most > FAR || most < -FAR)
                continue;
            if (c > 0 && -divide_down(most, c) > first)
                first = -divide_down(most, c);
            if (c < 0 && divide_down(most, -c) < last)
                last = divide_down(most, -c);
        }
        if (last < first) {
            s->zero = true;
            return false;
        }
        if (first == 0 && last == old.index->extent - 1)
            continue;
        index = system_unknown(s, old.index->name, last - first + 1, false, old.preferred, old.implied);
        system_substitute(s, v, form_plus(s->p, ir_form_index(s->p, index), first));
        return true;
    }
    return false;
}

/* Is there a guard H + N > c v beside the guard c v >= H, with N <= |c|? Then one v at most is left. */
static bool bounded_beside(struct system *s, const struct ir_form *f, int64_t within)
{
    for (int i = 0; i < s->guards.count; i++) {
        const struct ir_form *sum;
        if (s->guards.at[i]->kind != GUARD_NOT_NEGATIVE)
            continue;
        sum = ir_form_add(s->p, s->guards.at[i]->form, f);
        if (!sum->count && sum->constant < within)
            return true;
    }
    return false;
}

/* T5: 0 <= c v - H < N with N <= |c| and H free of unknowns. */
static bool window(struct system *s)
{
    struct ir_program *p = s->p;

    for (int i = 0; i < s->guards.count; i++) {
        const struct ir_form *f = s->guards.at[i]->form;
        if (s->guards.at[i]->kind != GUARD_NOT_NEGATIVE)
            continue;
        for (int v = 0; v < s->unknowns.count; v++) {
            struct ir_index *index = s->unknowns.at[v].index;
            int64_t c = ir_form_coefficient(f, index), k = c < 0 ? -c : c;
            const struct ir_form *h;
            if (k < 2 || form_nests(p, f, index))
                continue;
            h = ir_form_scale(p, without(p, f, index, c), c > 0 ? -1 : 1);
            if (system_sums(s, h) || !bounded_beside(s, f, k))
                continue;
            system_eliminate(s, v, ir_form_quotient(p, c > 0 ? form_plus(p, h, c - 1) : h, k));
            return true;
        }
    }
    return false;
}

static struct forms all_forms(const struct system *s)
{
    struct forms forms = forms_new(s->p->arena);

    for (int i = 0; i < s->factors.count; i++)
        forms_add_expr(&forms, s->factors.at[i].value);
    for (int i = 0; i < s->guards.count; i++)
        guard_forms(&forms, s->guards.at[i]);
    return forms;
}

static bool divided(const struct ir_form *f, const struct ir_index *index)
{
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        if ((atom->kind == IR_ATOM_QUOTIENT || atom->kind == IR_ATOM_REMAINDER) && ir_form_mentions(atom->form, index))
            return true;
    }
    return false;
}

/* Do low and high occur only as low + extent * high? */
static bool digits(const struct forms *forms, const struct ir_index *low, const struct ir_index *high)
{
    for (int i = 0; i < forms->list.count; i++) {
        const struct ir_form *f = forms->list.at[i];
        if (divided(f, low) || divided(f, high) ||
            ir_form_coefficient(f, high) != low->extent * ir_form_coefficient(f, low))
            return false;
    }
    return true;
}

/* T6 */
static bool merge(struct system *s)
{
    struct forms forms;

    if (s->unknowns.count < 2)
        return false;
    forms = all_forms(s);
    for (int low = 0; low < s->unknowns.count; low++)
        for (int high = 0; high < s->unknowns.count; high++) {
            struct unknown a = s->unknowns.at[low], b = s->unknowns.at[high];
            struct ir_index *both;
            if (low == high || !digits(&forms, a.index, b.index))
                continue;
            both = system_unknown(s, "r", a.index->extent * b.index->extent, false, a.preferred && b.preferred, false);
            system_substitute(s, high, ir_form_constant(s->p, 0));
            system_substitute(s, low - (high < low), ir_form_index(s->p, both));
            return true;
        }
    return false;
}

/* A factor that is a tensor at some place; what lies outside of it is for the guards to say. */
static bool plain_read(const struct factor *f)
{
    return f->value->kind == IR_READ && !f->inverse && (!f->value->otherwise || ir_is_zero(f->value->otherwise));
}

static bool subscript_is(const struct system *s, const struct ir_index *index)
{
    for (int i = 0; i < s->factors.count; i++) {
        const struct ir_expr *e = s->factors.at[i].value;
        for (int k = 0; e->kind == IR_READ && k < e->tensor->rank; k++)
            if (ir_form_bare(e->subscripts[k]) == index)
                return true;
    }
    return false;
}

/* v stands in a guarded subscript +-v + g(outputs) alone: where? */
static const struct ir_form *guarded_subscript(struct system *s, struct ir_index *index, int64_t *extent)
{
    for (int i = 0; i < s->factors.count; i++) {
        const struct ir_expr *e = s->factors.at[i].value;
        if (!plain_read(&s->factors.at[i]))
            continue;
        for (int k = 0; k < e->tensor->rank; k++) {
            const struct ir_form *f = e->subscripts[k];
            int64_t c = ir_form_coefficient(f, index);
            *extent = e->tensor->axes[k]->extent;
            if ((c == 1 || c == -1) && system_count(s, f) == 1 && !form_nests(s->p, f, index) &&
                *extent <= index->extent && has_range(s, f, *extent))
                return f;
        }
    }
    return NULL;
}

/* T7: that subscript becomes the index. */
static bool rebase(struct system *s)
{
    struct ir_program *p = s->p;

    for (int v = 0; v < s->unknowns.count; v++) {
        struct unknown old = s->unknowns.at[v];
        const struct ir_form *f;
        struct ir_index *index;
        int64_t extent, c;
        if (!old.implied || subscript_is(s, old.index) || !(f = guarded_subscript(s, old.index, &extent)))
            continue;
        c = ir_form_coefficient(f, old.index);
        index = system_unknown(s, old.index->name, extent, false, old.preferred, false);
        f = form_minus(p, ir_form_index(p, index), without(p, f, old.index, c));
        system_substitute(s, v, ir_form_scale(p, f, c));
        return true;
    }
    return false;
}

/* T8 */
static bool idle(struct system *s)
{
    struct forms forms = all_forms(s);

    for (int v = 0; v < s->unknowns.count; v++) {
        struct ir_index *index = s->unknowns.at[v].index;
        bool used = s->unknowns.at[v].implied;
        for (int i = 0; i < forms.list.count && !used; i++)
            used = ir_form_mentions(forms.list.at[i], index);
        if (used)
            continue;
        s->number *= (double)index->extent;
        system_substitute(s, v, ir_form_constant(s->p, 0));
        return true;
    }
    return false;
}

void system_tidy(struct system *s)
{
    do
        settle_guards(s);
    while (!s->zero &&
           (one_value(s) || one_point(s) || trim(s) || (!s->zero && (window(s) || merge(s) || rebase(s) || idle(s)))));
}

/* ---- close ---- */

/* Guards that the intervals prove go, and those that another one, apart by a constant, implies. Ranges come before what
   reads memory. */
static void last_guards(struct system *s)
{
    guard_list simple = {0}, strongest = {0};
    struct ir_program *p = s->p;

    for (int i = 0; i < s->guards.count; i++)
        guard_add(p, &simple, guard_simplify(p, s->guards.at[i]));
    for (int reads = 0; reads < 2; reads++)
        for (int i = 0; i < simple.count; i++) {
            const struct guard *g = simple.at[i];
            bool implied = false;
            for (int k = 0; k < simple.count && g->kind == GUARD_NOT_NEGATIVE; k++) {
                const struct ir_form *slack;
                if (k == i || simple.at[k]->kind != GUARD_NOT_NEGATIVE)
                    continue;
                slack = form_minus(p, g->form, simple.at[k]->form);
                implied |= !slack->count && slack->constant > 0;
            }
            if (!implied && guard_reads(g) == (reads == 1))
                guard_add(p, &strongest, g);
        }
    s->guards = strongest;
}

/* The range guards that the reads' own `else 0` says; false if one is not among the guards. */
static bool guards_of_reads(struct system *s, guard_list *said)
{
    for (int i = 0; i < s->guards.count; i++)
        if (guard_reads(s->guards.at[i]))
            return false;
    for (int i = 0; i < s->factors.count; i++) {
        const struct ir_expr *e = s->factors.at[i].value;
        guard_list needed = {0};
        if (!plain_read(&s->factors.at[i]))
            return false;
        for (int k = 0; k < e->tensor->rank; k++) {
            if (form_reads(e->subscripts[k]))
                return false;
            guard_add_range(s->p, &needed, e->subscripts[k], e->tensor->axes[k]->extent);
        }
        for (int k = 0; k < needed.count; k++) {
            const struct guard *g = guard_simplify(s->p, needed.at[k]);
            if (guard_true(g))
                continue;
            if (!has_guard(s, g))
                return false;
            guard_add(s->p, said, g);
        }
    }
    return true;
}

enum { FIXED = 1, SUMMED = 2 }; /* factors without unknowns, factors with */

static int part_of(const struct system *s, const struct factor *f)
{
    ir_index_list indices = {0};

    ir_indices(s->p->arena, f->value, &indices);
    for (int i = 0; i < indices.count; i++)
        for (int v = 0; v < s->unknowns.count; v++)
            if (indices.at[i] == s->unknowns.at[v].index)
                return SUMMED;
    return FIXED;
}

/* The product of the factors in these parts that divide or that do not; NULL: none. The number comes first: 2 * a * b.
 */
static const struct ir_expr *product(const struct system *s, int parts, bool inverse, double number)
{
    struct ir_program *p = s->p;
    const struct ir_expr *result = number == 1 || number == -1 ? NULL : ir_real(p, number);

    for (int i = 0; i < s->factors.count; i++) {
        const struct factor *f = &s->factors.at[i];
        if (f->inverse == inverse && (part_of(s, f) & parts))
            result = result ? ir_apply(p, IR_multiply, result, f->value, NULL) : f->value;
    }
    if (number != -1)
        return result;
    return result ? ir_apply(p, IR_negate, result, NULL, NULL) : ir_real(p, -1);
}

static const struct ir_expr *quotient(struct ir_program *p, const struct ir_expr *above, const struct ir_expr *below)
{
    if (!above)
        above = ir_real(p, 1);
    return below ? ir_apply(p, IR_divide, above, below, NULL) : above;
}

/* Can factors stand before the sum? It then does less at each element, is the same sum for more gradients, and waits
   for less. Not under a guard: a closed sum is 0, whatever it would have been multiplied with. */
static bool separable(const struct system *s)
{
    int parts = 0;

    for (int i = 0; i < s->factors.count; i++)
        parts |= part_of(s, &s->factors.at[i]);
    return s->unknowns.count && parts == (FIXED | SUMMED);
}

void system_close(struct system *s, struct adjoint *out)
{
    struct ir_program *p = s->p;
    guard_list said = {0};
    const struct guard *all = guard_simplify(p, &(struct guard){.kind = GUARD_ALL});

    last_guards(s);
    if (!guards_of_reads(s, &said))
        said.count = 0;
    for (int i = 0; i < s->guards.count; i++) {
        bool repeated = false;
        for (int k = 0; k < said.count; k++)
            repeated |= guard_equal(said.at[k], s->guards.at[i]);
        if (!repeated)
            all = guard_join(p, GUARD_ALL, all, s->guards.at[i]);
    }
    if (guard_false(all))
        return;
    if (guard_true(all) && separable(s)) {
        out->times = product(s, FIXED, false, s->number);
        out->over = product(s, FIXED, true, 1);
        out->value = quotient(p, product(s, SUMMED, false, 1), product(s, SUMMED, true, 1));
        return;
    }
    out->value = quotient(p, product(s, FIXED | SUMMED, false, s->number), product(s, FIXED | SUMMED, true, 1));
    if (!guard_true(all))
        out->value = ir_apply(p, IR_select, guard_condition(p, all), out->value, ir_real(p, 0));
}
