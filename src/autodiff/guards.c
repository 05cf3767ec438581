/* guards.c: conditions as the solver sees them.

   Laws: a comparison of whole numbers is a form against 0; a comparison of real numbers stays what it is, and its
   negation is a `not` (for NaN neither a < b nor b <= a holds). Nothing is decided before guard_simplify is asked to: a
   guard that the intervals prove today may be needed after an index has changed its box. */
#include "adjoint.h"

static const struct guard *new_guard(struct ir_program *p, struct guard g)
{
    return arena_copy(p->arena, &g, sizeof g);
}

const struct guard *guard_of_form(struct ir_program *p, enum guard_kind kind, const struct ir_form *form)
{
    return new_guard(p, (struct guard){.kind = kind, .form = form});
}

static const struct guard *of_truth(struct ir_program *p, const struct ir_expr *truth, bool holds)
{
    return new_guard(
        p, (struct guard){.kind = GUARD_TRUTH, .truth = holds ? truth : ir_apply(p, IR_not, truth, NULL, NULL)});
}

static const struct guard *decided(struct ir_program *p, bool yes)
{
    return new_guard(p, (struct guard){.kind = yes ? GUARD_ALL : GUARD_ANY});
}

const struct guard *guard_join(struct ir_program *p, enum guard_kind kind, const struct guard *a, const struct guard *b)
{
    const struct guard *both[2] = {a, b};
    struct guard g = {.kind = kind};

    g.parts = NEW_ARRAY(p->arena, const struct guard *, 2 + a->count + b->count);
    for (int i = 0; i < 2; i++) {
        if (both[i]->kind != kind)
            g.parts[g.count++] = both[i];
        else
            for (int k = 0; k < both[i]->count; k++)
                g.parts[g.count++] = both[i]->parts[k];
    }
    return new_guard(p, g);
}

bool guard_true(const struct guard *g)
{
    return g->kind == GUARD_ALL && !g->count;
}

bool guard_false(const struct guard *g)
{
    return g->kind == GUARD_ANY && !g->count;
}

bool guard_equal(const struct guard *a, const struct guard *b)
{
    if (a->kind != b->kind || a->form != b->form || a->truth != b->truth || a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (!guard_equal(a->parts[i], b->parts[i]))
            return false;
    return true;
}

/* ---- from and to expressions ---- */

static bool bounded(const struct ir_expr *e)
{
    return e->whole && e->low != INT64_MIN && e->high != INT64_MAX;
}

/* a op b as a form against 0; op is less, less_equal, equal or not_equal. */
static const struct guard *of_comparison(struct ir_program *p, enum ir_op op, const struct ir_expr *a,
                                         const struct ir_expr *b, bool holds)
{
    const struct ir_form *difference = form_minus(p, ir_form_of(p, b), ir_form_of(p, a));
    bool equal = (op == IR_equal) == holds;

    if (op == IR_equal || op == IR_not_equal)
        return guard_of_form(p, equal ? GUARD_ZERO : GUARD_NOT_ZERO, difference);
    if (op == IR_less)
        difference = form_plus(p, difference, -1);
    if (!holds)
        difference = form_plus(p, ir_form_scale(p, difference, -1), -1);
    return guard_of_form(p, GUARD_NOT_NEGATIVE, difference);
}

static bool is_logic(const struct ir_expr *e)
{
    return e->op == IR_and || e->op == IR_or || e->op == IR_not;
}

static const struct guard *of_condition(struct ir_program *p, struct memo *sizes, const struct ir_expr *condition,
                                        bool holds)
{
    const struct ir_expr *a = condition->arguments[0], *b = condition->arguments[1];

    if (condition->kind == IR_CONSTANT)
        return decided(p, (condition->number != 0) == holds);
    if (condition->kind != IR_APPLY)
        return of_truth(p, condition, holds);
    if (ir_comes_apart(sizes, condition, is_logic)) {
        if (condition->op == IR_not)
            return of_condition(p, sizes, a, !holds);
        return guard_join(p, (condition->op == IR_and) == holds ? GUARD_ALL : GUARD_ANY,
                          of_condition(p, sizes, a, holds), of_condition(p, sizes, b, holds));
    }
    switch (condition->op) {
    case IR_equal:
    case IR_not_equal:
    case IR_less:
    case IR_less_equal:
        if (bounded(a) && bounded(b))
            return of_comparison(p, condition->op, a, b, holds);
        break;
    case IR_greater:
    case IR_greater_equal:
        if (bounded(a) && bounded(b))
            return of_comparison(p, condition->op == IR_greater ? IR_less : IR_less_equal, b, a, holds);
        break;
    default:
        break;
    }
    return of_truth(p, condition, holds);
}

const struct guard *guard_of(struct ir_program *p, const struct ir_expr *condition, bool holds)
{
    struct memo sizes;
    const struct guard *g;

    memo_begin(&sizes);
    g = of_condition(p, &sizes, condition, holds);
    memo_end(&sizes);
    return g;
}

/* The part of f with coefficients of the given sign, made positive. */
static const struct ir_form *part(struct ir_program *p, const struct ir_form *f, int sign)
{
    const struct ir_form *result = ir_form_constant(p, f->constant * sign > 0 ? f->constant * sign : 0);

    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        const struct ir_form *one;
        if (f->terms[i].coefficient * sign < 0)
            continue;
        switch (atom->kind) {
        case IR_ATOM_INDEX:
            one = ir_form_index(p, atom->index);
            break;
        case IR_ATOM_QUOTIENT:
            one = ir_form_quotient(p, atom->form, atom->divisor);
            break;
        case IR_ATOM_REMAINDER:
            one = ir_form_remainder(p, atom->form, atom->divisor);
            break;
        default:
            one = ir_form_of(p, atom->value);
            break;
        }
        result = ir_form_add(p, result, ir_form_scale(p, one, f->terms[i].coefficient * sign));
    }
    return result;
}

static const struct ir_expr *compare(struct ir_program *p, enum ir_op op, const struct ir_form *f)
{
    const struct ir_expr *lower = ir_of_form(p, part(p, f, -1)), *upper = ir_of_form(p, part(p, f, 1));

    if (lower->kind == IR_CONSTANT && op != IR_less_equal)
        return ir_apply(p, op, upper, lower, NULL);
    return ir_apply(p, op, lower, upper, NULL);
}

const struct ir_expr *guard_condition(struct ir_program *p, const struct guard *g)
{
    const struct ir_expr *result = NULL;

    switch (g->kind) {
    case GUARD_NOT_NEGATIVE:
        return compare(p, IR_less_equal, g->form);
    case GUARD_ZERO:
        return compare(p, IR_equal, g->form);
    case GUARD_NOT_ZERO:
        return compare(p, IR_not_equal, g->form);
    case GUARD_TRUTH:
        return g->truth;
    case GUARD_ALL:
    case GUARD_ANY:
        for (int i = 0; i < g->count; i++) {
            const struct ir_expr *one = guard_condition(p, g->parts[i]);
            result = result ? ir_apply(p, g->kind == GUARD_ALL ? IR_and : IR_or, result, one, NULL) : one;
        }
        return result ? result : ir_number(p, g->kind == GUARD_ALL);
    }
    bug("guard_condition: a guard of kind %d", (int)g->kind);
}

/* ---- deciding and rewriting ---- */

static const struct guard *simplify_form(struct ir_program *p, const struct guard *g)
{
    int64_t low = g->form->low, high = g->form->high;
    bool zero = low == 0 && high == 0, apart = low > 0 || high < 0;

    if (g->kind == GUARD_NOT_NEGATIVE)
        return low >= 0 ? decided(p, true) : high < 0 ? decided(p, false) : g;
    if (zero || apart)
        return decided(p, zero == (g->kind == GUARD_ZERO));
    if (g->kind == GUARD_NOT_ZERO && low == 0)
        return guard_of_form(p, GUARD_NOT_NEGATIVE, form_plus(p, g->form, -1));
    if (g->kind == GUARD_NOT_ZERO && high == 0)
        return guard_of_form(p, GUARD_NOT_NEGATIVE, form_plus(p, ir_form_scale(p, g->form, -1), -1));
    return g;
}

const struct guard *guard_simplify(struct ir_program *p, const struct guard *g)
{
    guard_list parts = {0};
    bool all = g->kind == GUARD_ALL;

    if (g->kind == GUARD_TRUTH)
        return guard_of(p, g->truth, true);
    if (g->kind != GUARD_ALL && g->kind != GUARD_ANY)
        return simplify_form(p, g);
    for (int i = 0; i < g->count; i++) {
        const struct guard *one = guard_simplify(p, g->parts[i]);
        bool twice = false;
        if (all ? guard_false(one) : guard_true(one))
            return one;
        if (all ? guard_true(one) : guard_false(one))
            continue;
        for (int k = 0; k < parts.count; k++)
            twice |= guard_equal(parts.at[k], one);
        if (!twice)
            list_add(p->arena, parts, one);
    }
    if (parts.count == 1)
        return parts.at[0];
    return new_guard(p, (struct guard){.kind = g->kind, .count = parts.count, .parts = parts.at});
}

const struct guard *guard_rewrite(struct ir_program *p, const struct guard *g, const struct replacement *by)
{
    struct guard copy = *g;

    if (g->form)
        copy.form = form_rewrite(p, g->form, by);
    if (g->truth)
        return guard_of(p, expr_rewrite(p, g->truth, by), true);
    if (g->count)
        copy.parts = NEW_ARRAY(p->arena, const struct guard *, g->count);
    for (int i = 0; i < g->count; i++)
        copy.parts[i] = guard_rewrite(p, g->parts[i], by);
    return new_guard(p, copy);
}

bool guard_reads(const struct guard *g)
{
    if (g->kind == GUARD_TRUTH || (g->form && form_reads(g->form)))
        return true;
    for (int i = 0; i < g->count; i++)
        if (guard_reads(g->parts[i]))
            return true;
    return false;
}

void guard_forms(struct forms *forms, const struct guard *g)
{
    if (g->form)
        forms_add(forms, g->form);
    if (g->truth)
        forms_add_expr(forms, g->truth);
    for (int i = 0; i < g->count; i++)
        guard_forms(forms, g->parts[i]);
}

void guard_add(struct ir_program *p, guard_list *guards, const struct guard *g)
{
    if (g->kind == GUARD_ALL) {
        for (int i = 0; i < g->count; i++)
            guard_add(p, guards, g->parts[i]);
        return;
    }
    for (int i = 0; i < guards->count; i++)
        if (guard_equal(guards->at[i], g))
            return;
    list_add(p->arena, *guards, g);
}

void guard_add_range(struct ir_program *p, guard_list *guards, const struct ir_form *f, int64_t extent)
{
    guard_add(p, guards, guard_of_form(p, GUARD_NOT_NEGATIVE, f));
    guard_add(p, guards, guard_of_form(p, GUARD_NOT_NEGATIVE, form_plus(p, ir_form_scale(p, f, -1), extent - 1)));
}
