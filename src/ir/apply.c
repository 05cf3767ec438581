/* apply.c: makes expressions, folding what holds for every number, infinities and NaN included: constants (in double),
   identity operands, what intervals of whole numbers decide. x*0 is not 0. Sums of whole numbers, and their products
   and divisions by constants, become forms; so equal forms are one node however they were written. */
#include "internal.h"

#include <math.h>

static const double exact_whole = 9007199254740992.0; /* 2^53: up to here a double holds every whole number */

static const struct ir_expr *constant(struct ir_program *p, double value, bool whole)
{
    struct ir_expr e = {.kind = IR_CONSTANT, .whole = whole, .low = INT64_MIN, .high = INT64_MAX};

    e.number = isnan(value) ? (double)NAN : value;
    if (whole)
        e.low = e.high = (int64_t)value;
    return intern_expr(p->tables, &e);
}

const struct ir_expr *ir_number(struct ir_program *p, double value)
{
    bool whole = value == floor(value) && fabs(value) < exact_whole && !(value == 0 && signbit(value));

    return constant(p, value, whole);
}

const struct ir_expr *ir_real(struct ir_program *p, double value)
{
    return constant(p, value, false);
}

const struct ir_expr *ir_of_form(struct ir_program *p, const struct ir_form *form)
{
    struct ir_expr e = {.kind = IR_FORM, .whole = true, .low = form->low, .high = form->high, .form = form};

    if (!form->count && fabs((double)form->constant) < exact_whole)
        return constant(p, (double)form->constant, true);
    if (form->count == 1 && !form->constant && form->terms[0].coefficient == 1 &&
        form->terms[0].atom->kind == IR_ATOM_VALUE)
        return form->terms[0].atom->value;
    return intern_expr(p->tables, &e);
}

/* ---- reads ---- */

enum place subscript_place(const struct ir_form *subscript, const struct ir_index *axis)
{
    if (subscript->low >= 0 && subscript->high < axis->extent)
        return INSIDE;
    return subscript->high < 0 || subscript->low >= axis->extent ? OUTSIDE : UNKNOWN;
}

const struct ir_expr *ir_read(struct ir_program *p, struct ir_tensor *tensor, const struct ir_form **subscripts,
                              int count, const struct ir_expr *otherwise)
{
    struct ir_expr e = {.kind = IR_READ, .tensor = tensor, .low = INT64_MIN, .high = INT64_MAX};
    bool inside = true;

    if (count != tensor->rank)
        bug("a read of %s has %d subscripts; expected %d", tensor->name, count, tensor->rank);
    for (int i = 0; i < count; i++) {
        enum place place = subscript_place(subscripts[i], tensor->axes[i]);

        if (place != INSIDE && !otherwise)
            bug("subscript %d of a read of %s is in %lld .. %lld; expected 0 .. %lld or an otherwise", i + 1,
                tensor->name, (long long)subscripts[i]->low, (long long)subscripts[i]->high,
                (long long)tensor->axes[i]->extent - 1);
        if (place == OUTSIDE)
            return otherwise;
        inside = inside && place == INSIDE;
    }
    if (!inside)
        e.otherwise = otherwise;
    e.whole = tensor->whole && (!e.otherwise || e.otherwise->whole);
    if (e.whole) {
        e.low = tensor->low;
        e.high = tensor->high;
        if (e.otherwise && e.otherwise->low < e.low)
            e.low = e.otherwise->low;
        if (e.otherwise && e.otherwise->high > e.high)
            e.high = e.otherwise->high;
    }
    e.subscripts = arena_copy(p->arena, subscripts, sizeof *subscripts * (size_t)count);
    return intern_expr(p->tables, &e);
}

/* ---- folding ---- */

static const struct ir_expr *truth(struct ir_program *p, bool value)
{
    return constant(p, value, true);
}

static bool is_constant(const struct ir_expr *e, double value)
{
    return e->kind == IR_CONSTANT && e->number == value;
}

/* Whether e != 0 is known. */
static bool known_true(const struct ir_expr *e)
{
    if (e->kind == IR_CONSTANT)
        return e->number != 0;
    return e->whole && (e->low > 0 || e->high < 0);
}

static bool known_false(const struct ir_expr *e)
{
    return is_constant(e, 0) || (e->whole && e->low == 0 && e->high == 0);
}

static const struct ir_expr *as_truth(struct ir_program *p, const struct ir_expr *e)
{
    if (e->whole && e->low >= 0 && e->high <= 1)
        return e;
    return ir_apply(p, IR_not_equal, e, ir_number(p, 0), NULL);
}

static const struct ir_form *difference(struct ir_program *p, const struct ir_expr *a, const struct ir_expr *b)
{
    return ir_form_add(p, ir_form_of(p, a), ir_form_scale(p, ir_form_of(p, b), -1));
}

/* A comparison of whole numbers that the interval of a - b decides; NULL if it does not. */
static const struct ir_expr *fold_comparison(struct ir_program *p, enum ir_op op, const struct ir_expr *a,
                                             const struct ir_expr *b)
{
    const struct ir_form *d = difference(p, a, b);
    bool below = d->high<0, above = d->low> 0, equal = d->low == 0 && d->high == 0;

    switch (op) {
    case IR_equal:
    case IR_not_equal:
        if (equal || below || above)
            return truth(p, equal == (op == IR_equal));
        return NULL;
    case IR_less:
    case IR_greater_equal:
        if (below || d->low >= 0)
            return truth(p, below == (op == IR_less));
        return NULL;
    case IR_greater:
    case IR_less_equal:
        if (above || d->high <= 0)
            return truth(p, above == (op == IR_greater));
        return NULL;
    default:
        return NULL;
    }
}

/* The value of a whole constant; false for anything else. */
static bool whole_constant(const struct ir_expr *e, int64_t *value)
{
    if (!e->whole || (e->kind != IR_CONSTANT && !(e->kind == IR_FORM && !e->form->count)))
        return false;
    *value = e->low;
    return true;
}

/* a // by and a % by for a constant by != 0 of either sign. */
static const struct ir_expr *divide_by(struct ir_program *p, enum ir_op op, const struct ir_expr *a, int64_t by)
{
    const struct ir_form *form = ir_form_of(p, a);

    if (by == INT64_MIN)
        return NULL;
    if (by < 0)
        form = ir_form_scale(p, form, -1);
    if (op == IR_quotient)
        return ir_of_form(p, ir_form_quotient(p, form, by < 0 ? -by : by));
    form = ir_form_remainder(p, form, by < 0 ? -by : by);
    return ir_of_form(p, by < 0 ? ir_form_scale(p, form, -1) : form);
}

static bool is_bounded(const struct ir_form *f)
{
    return f->low != INT64_MIN && f->high != INT64_MAX;
}

/* Are by times the constant and coefficients of a, and b's beside them, whole numbers that a double holds? */
static bool fits_in_form(const struct ir_form *a, int64_t by, const struct ir_form *b)
{
    double most = fabs((double)a->constant), other = b ? fabs((double)b->constant) : 0;

    for (int i = 0; i < a->count; i++)
        most = fmax(most, fabs((double)a->terms[i].coefficient));
    for (int i = 0; b && i < b->count; i++)
        other = fmax(other, fabs((double)b->terms[i].coefficient));
    return most * fabs((double)by) + other < exact_whole;
}

/* a + by * b (a NULL: 0). NULL, so that it stays an operator, if numbers in the form might leave 64 bits; or its value might, which
   makes it a real number (infer_whole). */
static const struct ir_expr *sum_of(struct ir_program *p, const struct ir_form *a, const struct ir_form *b, int64_t by)
{
    const struct ir_form *sum;

    if (!fits_in_form(b, by, a))
        return NULL;
    sum = ir_form_scale(p, b, by);
    if (a)
        sum = ir_form_add(p, a, sum);
    return is_bounded(sum) || (a && !is_bounded(a)) || !is_bounded(b) ? ir_of_form(p, sum) : NULL;
}

/* Operators on whole operands, as forms where they are linear, or where an interval decides; NULL if neither. */
static const struct ir_expr *fold_whole(struct ir_program *p, enum ir_op op, const struct ir_expr *a,
                                        const struct ir_expr *b)
{
    int64_t by;

    switch (op) {
    case IR_add:
        return sum_of(p, ir_form_of(p, a), ir_form_of(p, b), 1);
    case IR_subtract:
        return sum_of(p, ir_form_of(p, a), ir_form_of(p, b), -1);
    case IR_negate:
        return sum_of(p, NULL, ir_form_of(p, a), -1);
    case IR_multiply:
        if (whole_constant(b, &by))
            return sum_of(p, NULL, ir_form_of(p, a), by);
        return whole_constant(a, &by) ? sum_of(p, NULL, ir_form_of(p, b), by) : NULL;
    case IR_quotient:
    case IR_remainder:
        return whole_constant(b, &by) && by ? divide_by(p, op, a, by) : NULL;
    case IR_max:
    case IR_min: {
        const struct ir_form *d = difference(p, a, b);

        if (d->low >= 0)
            return op == IR_max ? a : b;
        if (d->high <= 0)
            return op == IR_max ? b : a;
        return NULL;
    }
    case IR_abs:
        if (a->low >= 0)
            return a;
        return a->high <= 0 ? fold_whole(p, IR_negate, a, NULL) : NULL;
    case IR_sign:
        if (a->low > 0 || a->high < 0 || (a->low == 0 && a->high == 0))
            return constant(p, (a->low > 0) - (a->high < 0), true);
        return NULL;
    case IR_floor:
    case IR_stop:
        return a;
    default:
        return NULL;
    }
}

/* and, or, not, select: laws of truth values. */
static const struct ir_expr *fold_logic(struct ir_program *p, enum ir_op op, const struct ir_expr *a,
                                        const struct ir_expr *b, const struct ir_expr *c)
{
    switch (op) {
    case IR_and:
        if (known_false(a) || known_false(b))
            return truth(p, false);
        if (known_true(a))
            return as_truth(p, b);
        return known_true(b) || a == b ? as_truth(p, a) : NULL;
    case IR_or:
        if (known_true(a) || known_true(b))
            return truth(p, true);
        if (known_false(a))
            return as_truth(p, b);
        return known_false(b) || a == b ? as_truth(p, a) : NULL;
    case IR_not:
        if (known_true(a) || known_false(a))
            return truth(p, known_false(a));
        if (a->kind == IR_APPLY && a->op == IR_not)
            return as_truth(p, a->arguments[0]);
        if (a->kind == IR_APPLY && a->op == IR_equal)
            return ir_apply(p, IR_not_equal, a->arguments[0], a->arguments[1], NULL);
        if (a->kind == IR_APPLY && a->op == IR_not_equal)
            return ir_apply(p, IR_equal, a->arguments[0], a->arguments[1], NULL);
        return NULL;
    case IR_select:
        if (known_true(a) || b == c)
            return b;
        return known_false(a) ? c : NULL;
    default:
        return NULL;
    }
}

/* An operand that changes nothing. The result stays of the kind the operator gives: 1/1 is a real number. */
static const struct ir_expr *fold_identity(enum ir_op op, const struct ir_expr *a, const struct ir_expr *b)
{
    unsigned laws = ir_operators[op].laws;
    double neutral = laws & IR_IDENTITY_1 ? 1 : 0;

    if (!(laws & (IR_IDENTITY_0 | IR_IDENTITY_1)))
        return NULL;
    if (is_constant(b, neutral) && !(ir_operators[op].result == IR_RESULT_REAL && a->whole))
        return a;
    return laws & IR_COMMUTES && is_constant(a, neutral) ? b : NULL;
}

static const struct ir_expr *fold_constants(struct ir_program *p, enum ir_op op, const struct ir_expr *const *arguments)
{
    double of[3] = {0}, value;
    struct interval range;

    for (int i = 0; i < ir_operators[op].arity; i++) {
        if (arguments[i]->kind != IR_CONSTANT)
            return NULL;
        of[i] = arguments[i]->number;
    }
    value = ir_operate(op, of[0], of[1], of[2]);
    if (!infer_whole(op, arguments, &range))
        return constant(p, value, false);
    if (!(fabs(value) < exact_whole))
        return NULL;
    return constant(p, value + 0.0, true); /* + 0.0: a whole 0 has no sign */
}

static const struct ir_expr *fold(struct ir_program *p, enum ir_op op, const struct ir_expr *const *arguments)
{
    const struct ir_operator *row = &ir_operators[op];
    const struct ir_expr *a = arguments[0], *b = arguments[1], *folded = NULL;
    bool whole = a->whole && (row->arity < 2 || b->whole);

    if (row->result == IR_RESULT_CHOICE || op == IR_and || op == IR_or || op == IR_not)
        return fold_logic(p, op, a, b, arguments[2]);
    if (whole && row->result == IR_RESULT_WHOLE)
        folded = fold_whole(p, op, a, b);
    if (!folded && whole && row->result == IR_RESULT_TRUTH)
        folded = fold_comparison(p, op, a, b);
    if (!folded)
        folded = fold_constants(p, op, arguments);
    if (!folded && row->arity == 2)
        folded = fold_identity(op, a, b);
    if (!folded && op == IR_power && is_constant(b, 0))
        folded = constant(p, 1, a->whole);
    if (!folded && op == IR_negate && a->kind == IR_APPLY && a->op == IR_negate)
        folded = a->arguments[0];
    if (!folded && (op == IR_max || op == IR_min) && a == b)
        folded = a;
    return folded;
}

const struct ir_expr *ir_apply(struct ir_program *p, enum ir_op op, const struct ir_expr *a, const struct ir_expr *b,
                               const struct ir_expr *c)
{
    struct ir_expr e = {.kind = IR_APPLY, .op = op, .arguments = {a, b, c}};
    const struct ir_expr *folded;
    struct interval range;

    for (int i = 0; i < 3; i++)
        if ((i < ir_operators[op].arity) != (e.arguments[i] != NULL))
            bug("operator %s has %d arguments", ir_operators[op].name, ir_operators[op].arity);
    folded = fold(p, op, e.arguments);
    if (folded)
        return folded;
    e.whole = infer_whole(op, e.arguments, &range);
    e.low = range.low;
    e.high = range.high;
    return intern_expr(p->tables, &e);
}
