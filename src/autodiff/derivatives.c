/* derivatives.c: one derivative an operator of ops.def. A weight is the derivative to that operand times g, NULL where
   it is 0.

   Laws: an operator that stores its own value (self) reads it rather than computing it again. A condition is a select
   and never a factor 0 or 1, for 0 * inf is not 0. A select whose other side is 0 stays outside products, so that
   contractions find it. */
#include "adjoint.h"

#define DERIVATIVE(name)                                                                                               \
    void derivative_##name(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,   \
                           const struct ir_expr *g, const struct ir_expr **weights)

/* Operators whose value does not change, or jumps, where a derivative would be asked for; and stop. */
#define NO_DERIVATIVE(name, arity)                                                                                     \
    DERIVATIVE(name)                                                                                                   \
    {                                                                                                                  \
        for (int i = 0; i < (arity); i++)                                                                              \
            weights[i] = NULL;                                                                                         \
    }

static const struct ir_expr *apply1(struct ir_program *p, enum ir_op op, const struct ir_expr *a)
{
    return ir_apply(p, op, a, NULL, NULL);
}

static const struct ir_expr *apply2(struct ir_program *p, enum ir_op op, const struct ir_expr *a,
                                    const struct ir_expr *b)
{
    return ir_apply(p, op, a, b, NULL);
}

static const struct ir_expr *choose(struct ir_program *p, const struct ir_expr *condition, const struct ir_expr *yes,
                                    const struct ir_expr *no)
{
    return ir_apply(p, IR_select, condition, yes, no);
}

static const struct ir_expr *zero(struct ir_program *p)
{
    return ir_real(p, 0);
}

static bool guarded(const struct ir_expr *e)
{
    return e->kind == IR_APPLY && e->op == IR_select && (ir_is_zero(e->arguments[1]) || ir_is_zero(e->arguments[2]));
}

/* op(g, by) for a product or quotient, or op(by, g) if reversed, taken into the live side of a guarded g. */
static const struct ir_expr *scaled(struct ir_program *p, enum ir_op op, const struct ir_expr *g,
                                    const struct ir_expr *by, bool reversed)
{
    if (guarded(g)) {
        const struct ir_expr *yes = g->arguments[1], *no = g->arguments[2];
        return choose(p, g->arguments[0], ir_is_zero(yes) ? yes : scaled(p, op, yes, by, reversed),
                      ir_is_zero(no) ? no : scaled(p, op, no, by, reversed));
    }
    return reversed ? apply2(p, op, by, g) : apply2(p, op, g, by);
}

static const struct ir_expr *times(struct ir_program *p, const struct ir_expr *g, const struct ir_expr *by)
{
    return scaled(p, IR_multiply, g, by, false);
}

static const struct ir_expr *over(struct ir_program *p, const struct ir_expr *g, const struct ir_expr *by)
{
    return scaled(p, IR_divide, g, by, false);
}

static const struct ir_expr *minus(struct ir_program *p, const struct ir_expr *g)
{
    if (guarded(g)) {
        const struct ir_expr *yes = g->arguments[1], *no = g->arguments[2];
        return choose(p, g->arguments[0], ir_is_zero(yes) ? yes : minus(p, yes), ir_is_zero(no) ? no : minus(p, no));
    }
    return apply1(p, IR_negate, g);
}

DERIVATIVE(add)
{
    weights[0] = weights[1] = g;
}

DERIVATIVE(subtract)
{
    weights[0] = g;
    weights[1] = minus(p, g);
}

/* The operands keep their sides, so that the adjoint of a contraction reads like it. */
DERIVATIVE(multiply)
{
    bool square = arguments[0] == arguments[1];

    weights[0] = times(p, square ? times(p, g, ir_real(p, 2)) : g, arguments[1]);
    weights[1] = square ? NULL : scaled(p, IR_multiply, g, arguments[0], true);
}

DERIVATIVE(divide)
{
    weights[0] = over(p, g, arguments[1]);
    weights[1] = minus(p, over(p, times(p, g, self), arguments[1]));
}

static const struct ir_expr *power_base(struct ir_program *p, const struct ir_expr *self,
                                        const struct ir_expr *const *arguments, const struct ir_expr *g)
{
    const struct ir_expr *a = arguments[0], *b = arguments[1];
    const struct ir_expr *lower;

    if (b->kind == IR_CONSTANT) {
        if (b->number == 0)
            return NULL;
        if (b->number == 1)
            return g;
        if (b->number == 2)
            return times(p, times(p, g, ir_real(p, 2)), a);
        if (b->number == 0.5)
            return over(p, times(p, g, ir_real(p, 0.5)), self);
        return times(p, times(p, g, ir_real(p, b->number)), apply2(p, IR_power, a, ir_number(p, b->number - 1)));
    }
    lower = apply2(p, IR_multiply, b, apply2(p, IR_power, a, apply2(p, IR_subtract, b, ir_number(p, 1))));
    return choose(p, apply2(p, IR_equal, b, ir_number(p, 0)), zero(p), times(p, g, lower)); /* a^0 is 1 even at a = 0 */
}

DERIVATIVE(power)
{
    const struct ir_expr *a = arguments[0];

    weights[0] = power_base(p, self, arguments, g);
    /* 0^b is 0 around b > 0; below 0 the logarithm is NaN, as it must be. */
    weights[1] = arguments[1]->kind == IR_CONSTANT ? NULL
                                                   : choose(p, apply2(p, IR_equal, a, ir_number(p, 0)), zero(p),
                                                            times(p, times(p, g, self), apply1(p, IR_log, a)));
}

DERIVATIVE(negate)
{
    weights[0] = minus(p, g);
}

/* The first operand if strictly better, else the second: the same rule as the value's. */
static void extremum(struct ir_program *p, enum ir_op better, const struct ir_expr *self,
                     const struct ir_expr *const *arguments, const struct ir_expr *g, const struct ir_expr **weights)
{
    /* max(a, c) > c exactly where a > c: with the value stored, the operand need not be kept. */
    bool stored = self->kind == IR_READ && arguments[1]->kind == IR_CONSTANT;
    const struct ir_expr *first = apply2(p, better, stored ? self : arguments[0], arguments[1]);

    weights[0] = choose(p, first, g, zero(p));
    weights[1] = choose(p, first, zero(p), g);
}

DERIVATIVE(max)
{
    extremum(p, IR_greater, self, arguments, g, weights);
}

DERIVATIVE(min)
{
    extremum(p, IR_less, self, arguments, g, weights);
}

DERIVATIVE(select)
{
    weights[0] = NULL;
    weights[1] = choose(p, arguments[0], g, zero(p));
    weights[2] = choose(p, arguments[0], zero(p), g);
}

DERIVATIVE(exp)
{
    weights[0] = times(p, g, self);
}

DERIVATIVE(log)
{
    weights[0] = over(p, g, arguments[0]);
}

DERIVATIVE(log1p)
{
    weights[0] = over(p, g, apply2(p, IR_add, ir_number(p, 1), arguments[0]));
}

DERIVATIVE(expm1)
{
    weights[0] = times(p, g, apply2(p, IR_add, self, ir_number(p, 1)));
}

DERIVATIVE(sqrt)
{
    weights[0] = over(p, times(p, g, ir_real(p, 0.5)), self);
}

DERIVATIVE(sin)
{
    weights[0] = times(p, g, apply1(p, IR_cos, arguments[0]));
}

DERIVATIVE(cos)
{
    weights[0] = minus(p, times(p, g, apply1(p, IR_sin, arguments[0])));
}

DERIVATIVE(tanh)
{
    weights[0] = times(p, g, apply2(p, IR_subtract, ir_number(p, 1), apply2(p, IR_multiply, self, self)));
}

DERIVATIVE(sigmoid)
{
    weights[0] = times(p, g, apply2(p, IR_multiply, self, apply2(p, IR_subtract, ir_number(p, 1), self)));
}

DERIVATIVE(softplus)
{
    weights[0] = times(p, g, apply1(p, IR_sigmoid, arguments[0]));
}

DERIVATIVE(erf)
{
    const double two_over_root_pi = 1.1283791670955125739;
    const struct ir_expr *square = apply2(p, IR_multiply, arguments[0], arguments[0]);

    weights[0] = times(p, times(p, g, ir_real(p, two_over_root_pi)), apply1(p, IR_exp, apply1(p, IR_negate, square)));
}

/* 0 at 0. */
DERIVATIVE(abs)
{
    weights[0] = times(p, g, apply1(p, IR_sign, arguments[0]));
}

NO_DERIVATIVE(quotient, 2)
NO_DERIVATIVE(remainder, 2)
NO_DERIVATIVE(equal, 2)
NO_DERIVATIVE(not_equal, 2)
NO_DERIVATIVE(less, 2)
NO_DERIVATIVE(less_equal, 2)
NO_DERIVATIVE(greater, 2)
NO_DERIVATIVE(greater_equal, 2)
NO_DERIVATIVE(and, 2)
NO_DERIVATIVE(or, 2)
NO_DERIVATIVE(not, 1)
NO_DERIVATIVE(sign, 1)
NO_DERIVATIVE(floor, 1)
NO_DERIVATIVE(stop, 1)
