/* math.c: exp, log and what follows from them as vector code, in f32 and f64, for every argument: infinities, NaN,
   overflow. Denormal numbers count as 0. Errors are below 2 units in the last place, of tanh, sigmoid and softplus
   below 4.

   The polynomials are Chebyshev fits (near minimax) on the interval that the reduction leaves:
     exp(r)     = 1 + r + r^2 P(r),                    |r| <= log(2) / 2
     log(1 + f) = f - f^2 / 2 + f^3 Q(f),              sqrt(1/2) <= 1 + f < sqrt(2)       in f32
     log(1 + f) = f - (h - s (h + z R(z))), h = f^2 / 2, s = f / (2 + f), z = s^2        in f64 */
#include <math.h>
#include <string.h>

#include "emit.h"

typedef LLVMValueRef V;

static const double exp_f32[] = {0x1.0p-1, 0x1.5554d317241a7p-3, 0x1.5555143d780b6p-5, 0x1.121582c3b5951p-7,
                                 0x1.6d1b1bf991864p-10};
static const double exp_f64[] = {0x1.0p-1,
                                 0x1.5555555555557p-3,
                                 0x1.5555555555556p-5,
                                 0x1.111111110fe17p-7,
                                 0x1.6c16c16c1613fp-10,
                                 0x1.a01a01ad6369dp-13,
                                 0x1.a01a01a7b14bbp-16,
                                 0x1.71ddfd9647581p-19,
                                 0x1.27e4d8c2b2e6cp-22,
                                 0x1.af574f448311ap-26,
                                 0x1.1f7861ab0e5c1p-29};
static const double log_f32[] = {0x1.5555539232086p-2,  -0x1.0000cf126655ap-2, 0x1.999f1d1172824p-3,
                                 -0x1.54cf95fe487d3p-3, 0x1.231b4be9f8f9ep-3,  -0x1.0a3b3872be4eap-3,
                                 0x1.0292e04a6473dp-3,  -0x1.43af43d020a54p-4};
static const double log_f64[] = {0x1.5555555555555p-1, 0x1.9999999999a3ep-2, 0x1.2492492475dbcp-2,
                                 0x1.c71c720302bd8p-3, 0x1.745cf85360411p-3, 0x1.3b1c5ae500a38p-3,
                                 0x1.0fbaab3c72fc6p-3, 0x1.0c2c748b6f13cp-3};

/* What differs between the two formats. */
struct format {
    bool single;
    LLVMTypeRef type, whole; /* as wide as the argument */
    int mantissa, bias;
    double log2_high, log2_low; /* log(2); high times a whole exponent is exact */
};

static struct format format_of(struct emitter *e, V x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    LLVMTypeRef element = is_vector(x) ? LLVMGetElementType(type) : type;

    if (element == e->f32)
        return (struct format){true, type, as_wide(e->i32, x), 23, 127, 0x1.62e4p-1, 0x1.7f7d1cp-20};
    return (struct format){false, type, as_wide(e->i64, x), 52, 1023, 0x1.62e42fefp-1, 0x1.473de6af278edp-34};
}

static V number(const struct format *f, double value)
{
    return number_like(f->type, value);
}

static V add(struct emitter *e, V a, V b)
{
    return LLVMBuildFAdd(e->builder, a, b, "");
}

static V subtract(struct emitter *e, V a, V b)
{
    return LLVMBuildFSub(e->builder, a, b, "");
}

static V multiply(struct emitter *e, V a, V b)
{
    return LLVMBuildFMul(e->builder, a, b, "");
}

static V choose(struct emitter *e, LLVMRealPredicate predicate, V a, V b, V yes, V no)
{
    return LLVMBuildSelect(e->builder, LLVMBuildFCmp(e->builder, predicate, a, b, ""), yes, no, "");
}

static unsigned size_of_real(struct emitter *e, V x)
{
    LLVMTypeRef type = LLVMTypeOf(x);

    return (is_vector(x) ? LLVMGetElementType(type) : type) == e->f32 ? 4 : 8;
}

static V unary(struct emitter *e, const char *name, V x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    return intrinsic(e, name, &type, 1, &x, 1);
}

/* coefficients[0] + x (coefficients[1] + ...) */
static V polynomial(struct emitter *e, const struct format *f, const double *coefficients, int count, V x)
{
    V sum = number(f, coefficients[count - 1]);

    for (int i = count - 2; i >= 0; i--)
        sum = call_fma(e, sum, x, number(f, coefficients[i]));
    return sum;
}

/* 2^n for whole numbers n in range of the format's exponents. */
static V power_of_two(struct emitter *e, const struct format *f, V n)
{
    V biased = LLVMBuildAdd(e->builder, n, whole_like(f->whole, f->bias), "");
    V bits = LLVMBuildShl(e->builder, biased, whole_like(f->whole, f->mantissa), "");
    return LLVMBuildBitCast(e->builder, bits, f->type, "");
}

/* A whole number, as a real one and as it is. */
struct exponent {
    V real, whole;
};

/* x = n log(2) + r; *whole = n; returns exp(r) - 1. x is NaN, or clamped by the caller. */
static V reduced_exp(struct emitter *e, const struct format *f, V x, struct exponent *n)
{
    /* So large a number has no bits behind the point: what is added to it is rounded (ties to even), and stands in its
       last bits. */
    double large = 1.5 * ldexp(1, f->mantissa);
    V shifted = add(e, multiply(e, x, number(f, 1 / M_LN2)), number(f, large)), none = number(f, large);

    n->real = subtract(e, shifted, none);
    n->whole = LLVMBuildSub(e->builder, LLVMBuildBitCast(e->builder, shifted, f->whole, ""),
                            LLVMBuildBitCast(e->builder, none, f->whole, ""), "");
    V r = call_fma(e, n->real, number(f, -f->log2_low), call_fma(e, n->real, number(f, -f->log2_high), x));
    V p = f->single ? polynomial(e, f, exp_f32, sizeof exp_f32 / sizeof *exp_f32, r)
                    : polynomial(e, f, exp_f64, sizeof exp_f64 / sizeof *exp_f64, r);

    return call_fma(e, multiply(e, r, r), p, r);
}

/* NaN stays. */
static V clamp(struct emitter *e, const struct format *f, V x, double low, double high)
{
    x = choose(e, LLVMRealOLT, x, number(f, low), number(f, low), x);
    return choose(e, LLVMRealOGT, x, number(f, high), number(f, high), x);
}

/* The processor's instruction that multiplies by a power of two, for whole registers of its. */
static bool has_scaling(struct emitter *e, V x)
{
    return is_vector(x) && vector_bytes(e) == 64 && LLVMGetVectorSize(LLVMTypeOf(x)) * size_of_real(e, x) % 64 == 0;
}

static V scale(struct emitter *e, V x, V n)
{
    bool single = size_of_real(e, x) == 4;
    int lanes = (int)LLVMGetVectorSize(LLVMTypeOf(x)), of = single ? 16 : 8;

    if (lanes > of) {
        V low = scale(e, lanes_slice(e, x, 0, lanes / 2), lanes_slice(e, n, 0, lanes / 2));
        V high = scale(e, lanes_slice(e, x, lanes / 2, lanes / 2), lanes_slice(e, n, lanes / 2, lanes / 2));

        return lanes_pair(e, low, high);
    }
    enum { AS_ELSEWHERE = 4 }; /* rounding */
    V all = LLVMConstAllOnes(single ? e->i16 : e->i8);
    V arguments[] = {x, n, x, all, whole_like(e->i32, AS_ELSEWHERE)};
    return intrinsic(e, single ? "llvm.x86.avx512.mask.scalef.ps.512" : "llvm.x86.avx512.mask.scalef.pd.512", NULL, 0,
                     arguments, 5);
}

/* exp of a number that is NaN or clamped. */
static V exp_of_clamped(struct emitter *e, const struct format *f, V x)
{
    struct exponent n;
    V p = reduced_exp(e, f, x, &n);

    if (has_scaling(e, x))
        return scale(e, add(e, p, number(f, 1)), n.real);
    /* 2^n in two factors: n = 128 and results below the normal numbers are then as they should be. */
    V half = LLVMBuildAShr(e->builder, n.whole, whole_like(f->whole, 1), "");
    V first = power_of_two(e, f, half);
    V second = power_of_two(e, f, LLVMBuildSub(e->builder, n.whole, half, ""));
    return multiply(e, call_fma(e, p, first, first), second);
}

/* Of LANES f32: the processor's guess of 1 / sqrt(x), good to 2^-14, made better twice. The same bits as its own square root for
   every argument (all were tried), which takes as long and holds the divider, where divisions wait. What is so small that
   the rest of x would be no normal number is made larger; roots of 0 and infinity are those themselves. */
static V corrected_root(struct emitter *e, V x)
{
    enum { ZERO = 2, INFINITE = 5, SOURCE = 1 }; /* of the instruction that mends: what is found, four bits each, and taken */
    LLVMTypeRef type = LLVMTypeOf(x), mask = LLVMIntTypeInContext(e->context, LANES);
    V all = LLVMConstAllOnes(mask), half = number_like(type, 0.5);
    V small = LLVMBuildFCmp(e->builder, LLVMRealOLT, x, number_like(type, 0x1p-100), "");
    V scaled = LLVMBuildSelect(e->builder, small, multiply(e, x, number_like(type, 0x1p64)), x, "");
    V guess[] = {scaled, LLVMConstNull(type), all};
    V inverse = intrinsic(e, "llvm.x86.avx512.rsqrt14.ps.512", NULL, 0, guess, 3);
    V root = multiply(e, scaled, inverse), half_inverse = multiply(e, inverse, half);
    V rest = call_fma(e, LLVMBuildFNeg(e->builder, root, ""), half_inverse, half);

    root = call_fma(e, root, rest, root);
    half_inverse = call_fma(e, half_inverse, rest, half_inverse);
    rest = call_fma(e, LLVMBuildFNeg(e->builder, root, ""), root, scaled);
    root = call_fma(e, rest, half_inverse, root);
    root = LLVMBuildSelect(e->builder, small, multiply(e, root, number_like(type, 0x1p-32)), root, "");
    V table = whole_like(as_wide(e->i32, x), SOURCE << 4 * ZERO | SOURCE << 4 * INFINITE);
    V mended[] = {root, scaled, table, whole_like(e->i32, 0), all, whole_like(e->i32, 4)}; /* 4: rounding as it is set */
    return intrinsic(e, "llvm.x86.avx512.mask.fixupimm.ps.512", NULL, 0, mended, 6);
}

V math_sqrt(struct emitter *e, V x)
{
    LLVMTypeRef type = LLVMTypeOf(x);
    V joined = NULL;

    if (!is_vector(x) || LLVMGetElementType(type) != e->f32 || vector_bytes(e) != 64 || LLVMGetVectorSize(type) % LANES)
        return unary(e, "llvm.sqrt", x);
    int pieces = (int)LLVMGetVectorSize(type) / LANES;
    V piece[WIDEST / LANES] = {0};
    for (int i = 0; i < pieces; i++)
        piece[i] = corrected_root(e, pieces == 1 ? x : lanes_slice(e, x, i * LANES, LANES));
    for (joined = piece[0]; pieces > 1; pieces /= 2, joined = piece[0])
        for (int i = 0; i < pieces / 2; i++)
            piece[i] = lanes_pair(e, piece[2 * i], piece[2 * i + 1]);
    return joined;
}

V math_exp(struct emitter *e, V x)
{
    struct format f = format_of(e, x);

    return exp_of_clamped(e, &f, clamp(e, &f, x, f.single ? -104 : -746, f.single ? 89 : 710));
}

/* expm1 of a number that is NaN or clamped; of -0 it is 0. */
static V expm1_of_clamped(struct emitter *e, const struct format *f, V x)
{
    struct exponent n;
    V p = reduced_exp(e, f, x, &n);

    /* 2^n (p + 1) - 1 = 2 (2^(n-1) p + (2^(n-1) - 1/2)), so that n = 128 does not overflow too early. Where n = 0 the sum is
       p / 2 exactly. */
    V half = power_of_two(e, f, LLVMBuildSub(e->builder, n.whole, whole_like(f->whole, 1), ""));
    V sum = call_fma(e, half, p, subtract(e, half, number(f, 0.5)));
    return add(e, sum, sum);
}

V math_expm1(struct emitter *e, V x)
{
    struct format f = format_of(e, x);
    V result = expm1_of_clamped(e, &f, clamp(e, &f, x, f.single ? -40 : -80, f.single ? 89 : 710));

    return choose(e, LLVMRealOEQ, x, number(&f, 0), x, result);
}

/* log(u (1 + c / u)) for u > 0 and finite, c tiny beside u. */
static V log_of(struct emitter *e, const struct format *f, V u, V correction)
{
    /* u = 2^k (1 + g), sqrt(1/2) <= 1 + g < sqrt(2). */
    uint64_t root_bits = f->single ? 0x3F3504F3u : 0x3FE6A09E667F3BCDu;
    V root = whole_like(f->whole, (int64_t)root_bits);
    V offset = LLVMBuildSub(e->builder, LLVMBuildBitCast(e->builder, u, f->whole, ""), root, "");
    V k = LLVMBuildAShr(e->builder, offset, whole_like(f->whole, f->mantissa), "");
    V mantissa = LLVMBuildAnd(e->builder, offset, whole_like(f->whole, ((int64_t)1 << f->mantissa) - 1), "");
    V m = LLVMBuildBitCast(e->builder, LLVMBuildAdd(e->builder, mantissa, root, ""), f->type, "");
    V g = subtract(e, m, number(f, 1));
    V exponent = LLVMBuildSIToFP(e->builder, k, f->type, "");
    V low = multiply(e, exponent, number(f, f->log2_low));

    if (correction)
        low = add(e, low, correction);
    V half_square = multiply(e, multiply(e, g, number(f, 0.5)), g);
    V minus; /* log(1 + g) = g - minus */
    if (f->single) {
        V q = polynomial(e, f, log_f32, sizeof log_f32 / sizeof *log_f32, g);
        V cube = multiply(e, multiply(e, g, g), g);
        minus = subtract(e, half_square, call_fma(e, cube, q, low));
    } else {
        V s = LLVMBuildFDiv(e->builder, g, add(e, g, number(f, 2)), "");
        V z = multiply(e, s, s);
        V r = multiply(e, z, polynomial(e, f, log_f64, sizeof log_f64 / sizeof *log_f64, z));
        minus = subtract(e, half_square, call_fma(e, s, add(e, half_square, r), low));
    }
    return call_fma(e, exponent, number(f, f->log2_high), subtract(e, g, minus));
}

static V keep_nan(struct emitter *e, V x, V result)
{
    return choose(e, LLVMRealUNO, x, x, x, result);
}

/* The result for arguments that log_of does not take: log(0) = -inf, log(inf) = inf, NaN below 0. */
static V log_ends(struct emitter *e, const struct format *f, V x, V result)
{
    double smallest = f->single ? 0x1p-126 : 0x1p-1022;

    result = choose(e, LLVMRealOLT, x, number(f, smallest), number(f, -INFINITY), result);
    result = choose(e, LLVMRealOLE, x, number(f, -smallest), number(f, NAN), result);
    result = choose(e, LLVMRealOEQ, x, number(f, INFINITY), x, result);
    return keep_nan(e, x, result);
}

V math_log(struct emitter *e, V x)
{
    struct format f = format_of(e, x);
    return log_ends(e, &f, x, log_of(e, &f, x, NULL));
}

V math_log1p(struct emitter *e, V x)
{
    struct format f = format_of(e, x);
    V u = add(e, number(&f, 1), x);
    /* What rounding 1 + x lost, whichever of the two is larger. */
    V large = choose(e, LLVMRealOGT, x, number(&f, 1), x, number(&f, 1));
    V small = choose(e, LLVMRealOGT, x, number(&f, 1), number(&f, 1), x);
    V lost = subtract(e, small, subtract(e, u, large));
    V result = log_ends(e, &f, u, log_of(e, &f, u, LLVMBuildFDiv(e->builder, lost, u, "")));

    return choose(e, LLVMRealOEQ, x, number(&f, 0), x, result);
}

V math_tanh(struct emitter *e, V x)
{
    struct format f = format_of(e, x);
    V sizes = unary(e, "llvm.fabs", x);
    /* Beyond 20 (f64: 40) the result is 1; NaN goes on. */
    V bounded = choose(e, LLVMRealOGT, sizes, number(&f, f.single ? 10 : 20), number(&f, f.single ? 10 : 20), sizes);
    V t = expm1_of_clamped(e, &f, add(e, bounded, bounded));
    V result = LLVMBuildFDiv(e->builder, t, add(e, t, number(&f, 2)), "");
    V both[] = {result, x};

    return intrinsic(e, "llvm.copysign", &f.type, 1, both, 2);
}

V math_sigmoid(struct emitter *e, V x)
{
    struct format f = format_of(e, x);
    /* What is negated after it is clamped costs nothing. */
    V bounded = clamp(e, &f, x, f.single ? -89 : -710, f.single ? 104 : 746);
    V decay = exp_of_clamped(e, &f, LLVMBuildFNeg(e->builder, bounded, ""));
    return LLVMBuildFDiv(e->builder, number(&f, 1), add(e, decay, number(&f, 1)), "");
}

V math_softplus(struct emitter *e, V x)
{
    struct format f = format_of(e, x);
    V decay = math_exp(e, LLVMBuildFNeg(e->builder, unary(e, "llvm.fabs", x), ""));
    V positive = choose(e, LLVMRealOGT, x, number(&f, 0), x, number(&f, 0));
    return add(e, positive, math_log1p(e, decay));
}

V math_call(struct emitter *e, const char *name, V a, V b)
{
    struct format f = format_of(e, a);
    LLVMTypeRef element = f.single ? e->f32 : e->f64;
    LLVMTypeRef types[] = {element, element};
    LLVMTypeRef type = LLVMFunctionType(element, types, b ? 2 : 1, false);
    char symbol[60];

    snprintf(symbol, sizeof symbol, "rnet_%s_%s", name, f.single ? "f32" : "f64");
    V function = runtime_function(e, symbol, type);
    if (!is_vector(a)) {
        V arguments[] = {a, b};
        return LLVMBuildCall2(e->builder, type, function, arguments, b ? 2 : 1, "");
    }
    V result = LLVMGetPoison(f.type);
    for (int lane = 0; lane < e->lanes; lane++) {
        V at = whole_like(e->i32, lane);
        V arguments[] = {LLVMBuildExtractElement(e->builder, a, at, ""),
                         b ? LLVMBuildExtractElement(e->builder, b, at, "") : NULL};
        V one = LLVMBuildCall2(e->builder, type, function, arguments, b ? 2 : 1, "");
        result = LLVMBuildInsertElement(e->builder, result, one, at, "");
    }
    return result;
}

/* x^count by squaring. */
static V whole_power(struct emitter *e, V x, int count)
{
    V result = NULL, square = x;

    for (; count; count >>= 1) {
        if (count & 1)
            result = result ? multiply(e, result, square) : square;
        if (count > 1)
            square = multiply(e, square, square);
    }
    return result;
}

V math_power(struct emitter *e, V x, V y, const struct ir_expr *exponent)
{
    struct format f = format_of(e, x);

    if (exponent->kind == IR_CONSTANT) {
        double n = exponent->number;
        if (n == 0)
            return number(&f, 1);
        if (n == floor(n) && fabs(n) <= 16) {
            if (n < 0) /* the inverse first: x^2 may be too small where x^-2 is not too large */
                x = LLVMBuildFDiv(e->builder, number(&f, 1), x, "");
            return whole_power(e, x, (int)fabs(n));
        }
        if (fabs(n) == 0.5) { /* unlike sqrt: pow(-0, 1/2) = 0, pow(-inf, 1/2) = inf */
            V root = add(e, math_sqrt(e, x), number(&f, 0));
            root = choose(e, LLVMRealOEQ, x, number(&f, -INFINITY), number(&f, INFINITY), root);
            return n > 0 ? root : LLVMBuildFDiv(e->builder, number(&f, 1), root, "");
        }
    }
    return math_call(e, "pow", x, y);
}
