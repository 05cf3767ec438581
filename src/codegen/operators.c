/* operators.c: expressions to values; one function an operator of ops.def. Whole operands give whole results in
   integers where ops.def says so; everything else is computed in the equation's real type, each operation rounded on
   its own. */
#include <math.h>
#include <stdlib.h>

#include "emit.h"

typedef LLVMValueRef V;

/* ---- operands ---- */

static void reals(struct emitter *e, struct value *v, int count)
{
    for (int i = 0; i < count; i++)
        v[i] = to_real(e, v[i], real_type(e));
}

static bool is_i64(struct emitter *e, V v)
{
    LLVMTypeRef type = LLVMTypeOf(v);
    return (is_vector(v) ? LLVMGetElementType(type) : type) == e->i64;
}

/* In i64 if an operand or the result needs it. */
static void wholes(struct emitter *e, const struct ir_expr *expr, struct value *v, int count)
{
    LLVMTypeRef type = whole_type(e, expr->low, expr->high);

    for (int i = 0; i < count; i++)
        if (v[i].kind == WHOLE && is_i64(e, v[i].at))
            type = e->i64;
    for (int i = 0; i < count; i++)
        v[i] = to_whole(e, v[i], type);
}

static bool all_whole(const struct value *v, int count)
{
    for (int i = 0; i < count; i++)
        if (v[i].kind == REAL)
            return false;
    return true;
}

static struct value real(V at)
{
    return (struct value){at, REAL, 0};
}

static struct value whole(V at)
{
    return (struct value){at, WHOLE, 0};
}

static V zero(V like)
{
    return LLVMConstNull(LLVMTypeOf(like));
}

static V intrinsic_of(struct emitter *e, const char *name, V x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    return intrinsic(e, name, &type, 1, &x, 1);
}

/* ---- arithmetic: of wholes in integers, of reals in floating point ---- */

#define ARITHMETIC(name, count, of_wholes, of_reals)                                                                   \
    static struct value emit_##name(struct emitter *e, const struct ir_expr *expr, struct value *v)                    \
    {                                                                                                                  \
        if (expr->whole) {                                                                                             \
            wholes(e, expr, v, count);                                                                                 \
            return whole(of_wholes);                                                                                   \
        }                                                                                                              \
        reals(e, v, count);                                                                                            \
        return real(of_reals);                                                                                         \
    }
#define A (v[0].at)
#define B (v[1].at)
#define C (v[2].at)

static V rest_of(struct emitter *e, V a, V b, bool quotient)
{
    /* Rounding down. A divisor of 0 is made 1: no trap; the result is then nobody's business. */
    V safe = LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntEQ, b, zero(b), ""),
                             whole_like(LLVMTypeOf(b), 1), b, "");
    V rest = LLVMBuildSRem(e->builder, a, safe, "");
    V not_zero = LLVMBuildICmp(e->builder, LLVMIntNE, rest, zero(rest), "");
    V signs = LLVMBuildICmp(e->builder, LLVMIntSLT, LLVMBuildXor(e->builder, rest, safe, ""), zero(rest), "");
    V adjust = LLVMBuildAnd(e->builder, not_zero, signs, "");

    if (!quotient)
        return LLVMBuildSelect(e->builder, adjust, LLVMBuildAdd(e->builder, rest, safe, ""), rest, "");
    return LLVMBuildAdd(e->builder, LLVMBuildSDiv(e->builder, a, safe, ""),
                        LLVMBuildSExt(e->builder, adjust, LLVMTypeOf(a), ""), "");
}

static V real_quotient(struct emitter *e, V a, V b)
{
    return intrinsic_of(e, "llvm.floor", LLVMBuildFDiv(e->builder, a, b, ""));
}

V better_of(struct emitter *e, bool larger, V a, V b)
{
    LLVMTypeRef type = LLVMTypeOf(a);
    LLVMTypeRef element = is_vector(a) ? LLVMGetElementType(type) : type;

    if (element == e->i32 || element == e->i64)
        return LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, larger ? LLVMIntSGT : LLVMIntSLT, a, b, ""), a, b,
                               "");
    V better = LLVMBuildFCmp(e->builder, larger ? LLVMRealOGT : LLVMRealOLT, a, b, "");
    V nan = LLVMBuildFCmp(e->builder, LLVMRealUNO, a, a, "");
    return LLVMBuildSelect(e->builder, LLVMBuildOr(e->builder, better, nan, ""), a, b, "");
}

static V sign_of_whole(struct emitter *e, V a)
{
    V positive = LLVMBuildICmp(e->builder, LLVMIntSGT, a, zero(a), "");
    V negative = LLVMBuildICmp(e->builder, LLVMIntSLT, a, zero(a), "");
    return LLVMBuildAdd(e->builder, LLVMBuildZExt(e->builder, positive, LLVMTypeOf(a), ""),
                        LLVMBuildSExt(e->builder, negative, LLVMTypeOf(a), ""), "");
}

static V sign_of_real(struct emitter *e, V a)
{
    V one = number_like(LLVMTypeOf(a), 1), minus = number_like(LLVMTypeOf(a), -1);
    V negative =
        LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealOLT, a, zero(a), ""), minus, zero(a), "");
    V sign = LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealOGT, a, zero(a), ""), one, negative, "");
    return LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealUNO, a, a, ""), a, sign, "");
}

static V abs_of_whole(struct emitter *e, V a)
{
    V negative = LLVMBuildICmp(e->builder, LLVMIntSLT, a, zero(a), "");
    return LLVMBuildSelect(e->builder, negative, LLVMBuildNeg(e->builder, a, ""), a, "");
}

ARITHMETIC(add, 2, LLVMBuildAdd(e->builder, A, B, ""), LLVMBuildFAdd(e->builder, A, B, ""))
ARITHMETIC(subtract, 2, LLVMBuildSub(e->builder, A, B, ""), LLVMBuildFSub(e->builder, A, B, ""))
ARITHMETIC(multiply, 2, LLVMBuildMul(e->builder, A, B, ""), LLVMBuildFMul(e->builder, A, B, ""))
ARITHMETIC(quotient, 2, rest_of(e, A, B, true), real_quotient(e, A, B))
ARITHMETIC(remainder, 2, rest_of(e, A, B, false),
           LLVMBuildFSub(e->builder, A, LLVMBuildFMul(e->builder, B, real_quotient(e, A, B), ""), ""))
ARITHMETIC(negate, 1, LLVMBuildNeg(e->builder, A, ""), LLVMBuildFNeg(e->builder, A, ""))
ARITHMETIC(max, 2, better_of(e, true, A, B), better_of(e, true, A, B))
ARITHMETIC(min, 2, better_of(e, false, A, B), better_of(e, false, A, B))
ARITHMETIC(abs, 1, abs_of_whole(e, A), intrinsic_of(e, "llvm.fabs", A))
ARITHMETIC(sign, 1, sign_of_whole(e, A), sign_of_real(e, A))
ARITHMETIC(floor, 1, A, intrinsic_of(e, "llvm.floor", A))
ARITHMETIC(stop, 1, A, A)

static struct value emit_power(struct emitter *e, const struct ir_expr *expr, struct value *v)
{
    const struct ir_expr *exponent = expr->arguments[1];

    if (!expr->whole) {
        reals(e, v, 2);
        return real(math_power(e, A, B, exponent));
    }
    if (exponent->kind == IR_CONSTANT && exponent->number >= 0 && exponent->number <= 64) {
        wholes(e, expr, v, 1);
        V power = whole_like(LLVMTypeOf(A), 1);
        for (int i = 0; i < (int)exponent->number; i++)
            power = LLVMBuildMul(e->builder, power, A, "");
        return whole(power);
    }
    for (int i = 0; i < 2; i++)
        v[i] = to_real(e, v[i], e->f64);
    return to_whole(e, real(math_call(e, "pow", A, B)), whole_type(e, expr->low, expr->high));
}

/* ---- functions of a real number ---- */

#define FUNCTION(name, result)                                                                                         \
    static struct value emit_##name(struct emitter *e, const struct ir_expr *expr, struct value *v)                    \
    {                                                                                                                  \
        reals(e, v, 1);                                                                                                \
        return real(result);                                                                                           \
    }
FUNCTION(exp, math_exp(e, A))
FUNCTION(log, math_log(e, A))
FUNCTION(log1p, math_log1p(e, A))
FUNCTION(expm1, math_expm1(e, A))
FUNCTION(sqrt, math_sqrt(e, A))
FUNCTION(sin, math_call(e, "sin", A, NULL))
FUNCTION(cos, math_call(e, "cos", A, NULL))
FUNCTION(tanh, math_tanh(e, A))
FUNCTION(sigmoid, math_sigmoid(e, A))
FUNCTION(softplus, math_softplus(e, A))
FUNCTION(erf, math_call(e, "erf", A, NULL))

static struct value emit_divide(struct emitter *e, const struct ir_expr *expr, struct value *v)
{
    reals(e, v, 2);
    return real(LLVMBuildFDiv(e->builder, A, B, ""));
}

/* ---- truth ---- */

static struct value compare(struct emitter *e, const struct ir_expr *expr, struct value *v, LLVMIntPredicate of_wholes,
                            LLVMRealPredicate of_reals)
{
    struct value result = {NULL, TRUTH, 0};

    if (all_whole(v, 2)) {
        wholes(e, expr, v, 2);
        result.at = LLVMBuildICmp(e->builder, of_wholes, A, B, "");
    } else {
        reals(e, v, 2);
        result.at = LLVMBuildFCmp(e->builder, of_reals, A, B, "");
    }
    return result;
}

#define COMPARISON(name, of_wholes, of_reals)                                                                          \
    static struct value emit_##name(struct emitter *e, const struct ir_expr *expr, struct value *v)                    \
    {                                                                                                                  \
        return compare(e, expr, v, of_wholes, of_reals);                                                               \
    }
COMPARISON(equal, LLVMIntEQ, LLVMRealOEQ)
COMPARISON(not_equal, LLVMIntNE, LLVMRealUNE)
COMPARISON(less, LLVMIntSLT, LLVMRealOLT)
COMPARISON(less_equal, LLVMIntSLE, LLVMRealOLE)
COMPARISON(greater, LLVMIntSGT, LLVMRealOGT)
COMPARISON(greater_equal, LLVMIntSGE, LLVMRealOGE)

#define CONNECTIVE(name, count, result)                                                                                \
    static struct value emit_##name(struct emitter *e, const struct ir_expr *expr, struct value *v)                    \
    {                                                                                                                  \
        for (int i = 0; i < count; i++)                                                                                \
            v[i] = to_truth(e, v[i]);                                                                                  \
        return (struct value){result, TRUTH, 0};                                                                       \
    }
CONNECTIVE(and, 2, LLVMBuildAnd(e->builder, A, B, ""))
CONNECTIVE(or, 2, LLVMBuildOr(e->builder, A, B, ""))
CONNECTIVE(not, 1, LLVMBuildNot(e->builder, A, ""))

static struct value emit_select(struct emitter *e, const struct ir_expr *expr, struct value *v)
{
    v[0] = to_truth(e, v[0]);
    if (expr->whole)
        wholes(e, expr, v + 1, 2);
    else
        reals(e, v + 1, 2);
    return (struct value){LLVMBuildSelect(e->builder, A, B, C, ""), expr->whole ? WHOLE : REAL, 0};
}

/* ---- the table ---- */

static struct value (*const emitters[])(struct emitter *, const struct ir_expr *, struct value *) = {
#define OP(name, ...) [IR_##name] = emit_##name,
#include "ops.def"
#undef OP
};
static const int arities[] = {
#define OP(name, arity, ...) [IR_##name] = arity,
#include "ops.def"
#undef OP
};

/* Where every operation is to be the exact result rounded to f32, an approximate one is made in f64: what a draw is compared with
   has then the same bits in the evaluator and in any kernel. */
static struct value emit_rounded(struct emitter *e, const struct ir_expr *expr, struct value *v)
{
    struct value result;

    e->single = false;
    result = emitters[expr->op](e, expr, v);
    e->single = true;
    return expr->whole ? result : to_real(e, result, e->f32);
}

void operate_as(struct emitter *e, const struct ir_tensor *equation)
{
    e->single = equation->single || e->program->precision == IR_SINGLE;
    e->rounded = equation->single;
}

/* Is something built at the level made more often than what is built at the outer one? */
static bool repeats(const struct emitter *e, int outer, int level)
{
    for (int i = outer + 1; i <= level; i++)
        if (e->levels[i].counter)
            return true;
    return false;
}

/* a / b for many a and one b, which is of an outer level: multiplied by 1 / b, and what that leaves of a divided likewise: so the
   quotient is rounded as a division rounds it, but for some within 2^-21 of a unit of the middle between two numbers and
   where the rest is too small for the format; quotients that are numbers are exact. What overflows or is no number is the first
   product. */
static V divide_by_one(struct emitter *e, V a, struct value b, int level)
{
    LLVMTypeRef type = LLVMTypeOf(b.at);
    bool single = type == e->f32 || (is_vector(b.at) && LLVMGetElementType(type) == e->f32);

    at_level(e, b.level);
    /* One whose inverse would be too small is made smaller, and a with it. */
    V large = LLVMBuildFCmp(e->builder, LLVMRealOGT, intrinsic_of(e, "llvm.fabs", b.at),
                            number_like(type, single ? 0x1p125 : 0x1p1021), "");
    V scale = LLVMBuildSelect(e->builder, large, number_like(type, single ? 0x1p-64 : 0x1p-512), number_like(type, 1), "");
    V divisor = LLVMBuildFMul(e->builder, b.at, scale, "");
    V inverse = LLVMBuildFDiv(e->builder, number_like(type, 1), divisor, "");
    V minus = widen(e, LLVMBuildFNeg(e->builder, divisor, ""), true);
    scale = widen(e, scale, true);
    inverse = widen(e, inverse, true);
    at_level(e, level);
    a = LLVMBuildFMul(e->builder, a, scale, "");
    V quotient = LLVMBuildFMul(e->builder, a, inverse, "");
    V nearer = call_fma(e, call_fma(e, quotient, minus, a), inverse, quotient);
    return LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, LLVMRealUNO, nearer, nearer, ""), quotient, nearer, "");
}

/* Is b a power of two? LLVM multiplies by its inverse, which is the quotient itself. */
static bool is_power_of_two(V b)
{
    LLVMBool inexact;
    int exponent;

    return LLVMIsAConstantFP(b) && frexp(LLVMConstRealGetDouble(b, &inexact), &exponent) == 0.5 && abs(exponent) < 120;
}

static struct value emit_apply(struct emitter *e, const struct ir_expr *expr)
{
    struct value v[3], result;
    int level = 0, count = arities[expr->op];
    bool vector = false;

    for (int i = 0; i < count; i++) {
        v[i] = emit_expr(e, expr->arguments[i]);
        if (v[i].level > level)
            level = v[i].level;
        vector |= is_vector(v[i].at);
    }
    at_level(e, level);
    if (expr->op == IR_divide && !e->rounded && is_vector(v[0].at) && repeats(e, v[1].level, level)) {
        v[0] = to_real(e, v[0], real_type(e));
        at_level(e, v[1].level);
        v[1] = to_real(e, v[1], real_type(e));
        if (!is_power_of_two(v[1].at))
            return (struct value){divide_by_one(e, v[0].at, v[1], level), REAL, level};
        at_level(e, level);
    }
    for (int i = 0; i < count; i++)
        v[i].at = widen(e, v[i].at, vector);
    result = e->rounded && ir_operators[expr->op].work == IR_POLYNOMIAL ? emit_rounded(e, expr, v) : emitters[expr->op](e, expr, v);
    result.level = level;
    return result;
}

static struct value emit_constant(struct emitter *e, const struct ir_expr *expr)
{
    if (expr->whole) {
        int64_t value = (int64_t)expr->number;
        return (struct value){whole_like(whole_type(e, value, value), value), WHOLE, 0};
    }
    return (struct value){number_like(real_type(e), expr->number), REAL, 0};
}

struct value emit_expr(struct emitter *e, const struct ir_expr *expr)
{
    struct value v;

    if (expr->kind == IR_CONSTANT)
        return emit_constant(e, expr);
    if (expr->kind == IR_FORM)
        return emit_form(e, expr->form);
    if (known_get(e, expr, &v))
        return v;
    v = expr->kind == IR_READ ? emit_read(e, expr) : emit_apply(e, expr);
    known_put(e, expr, v);
    return v;
}
