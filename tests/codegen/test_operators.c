/* test_operators.c: every operator of ops.def, compiled, on a sweep of arguments, against libm in double precision. The
   measure is the error in units of the last place of the exact result; numbers below the normal ones count as 0. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs those before it
#include <cmocka.h>

enum { COUNT = 4096 };

static double flush(double x, bool single)
{
    return fabs(x) < (single ? (double)FLT_MIN : DBL_MIN) ? copysign(0, x) : x;
}

/* Specials first, then magnitudes of all sizes, then a dense stretch where functions bend. */
static void sweep(double *x, bool single, double low, double high)
{
    static const double specials[] = {0.0,   -0.0,   INFINITY, -INFINITY, NAN,       1,    -1,      0.5,
                                      -0.5,  2,      -2,       1e-10,     -1e-10,    88.7, -87.3,   88.73,
                                      89,    -104,   709.7,    -708.3,    710,       -746, 1e30,    -1e30,
                                      3e38,  -3e38,  1e300,    10,        -10,       20,   M_SQRT2, M_SQRT1_2,
                                      1e-30, -1e-30, 0.999999, 1.000001,  -0.999999, 4,    0.75,    3};
    int specials_count = sizeof specials / sizeof *specials;

    srand(7);
    for (int i = 0; i < COUNT; i++) {
        if (i < specials_count)
            x[i] = specials[i];
        else if (i < COUNT / 4)
            x[i] = copysign(exp2((double)rand() / RAND_MAX * 200 - 100), i % 2 ? 1 : -1);
        else
            x[i] = low + (high - low) * (i - COUNT / 4) / (COUNT - COUNT / 4.0);
        if (single)
            x[i] = (double)(float)x[i];
        x[i] = flush(x[i], single);
    }
}

static double ulps(double found, double exact, bool single)
{
    int exponent;

    if (isnan(exact) || isnan(found))
        return isnan(exact) && isnan(found) ? 0 : INFINITY;
    if (single && fabs(exact) > (double)FLT_MAX)
        exact = copysign(INFINITY, exact);
    if (isinf(exact) || isinf(found)) {
        /* within half a unit of the largest number either is right */
        double largest = single ? (double)FLT_MAX : DBL_MAX;
        return found == exact ||
                       (isinf(exact) && fabs(found) >= largest * (1 - 1e-6) && signbit(found) == signbit(exact))
                   ? 0
                   : INFINITY;
    }
    if (fabs(exact) < (single ? 2 * (double)FLT_MIN : 2 * DBL_MIN))
        return fabs(found) < (single ? 4 * (double)FLT_MIN : 4 * DBL_MIN) ? 0 : INFINITY;
    frexp(exact, &exponent);
    return fabs(found - exact) / ldexp(1, exponent - (single ? 24 : 53));
}

static double (*reference)(const double *v);

/* y = text of x (and w), compiled; returns the worst error in ulps. */
static double worst_ulps(const char *text, bool single, const double *x, const double *w, const char **message)
{
    struct arena *arena = arena_new();
    char source[500];
    double worst = 0;

    snprintf(source, sizeof source, "program operators %s\ninput x[i: %d]\ninput w[i: %d]\ny[i: %d] = %s\noutput y\n",
             single ? "f32" : "f64", COUNT, COUNT, COUNT, text);
    struct ir_program *p = parse_program(arena, source);
    fuse(p, true);
    plan_memory(p, layout_new(arena), true);
    struct ir_values values = ir_values_new(arena, p);
    const struct ir_tensor *tx = ir_find(p, "x"), *tw = ir_find(p, "w");
    if (tx)
        memcpy(values.at[tx->number], x, COUNT * sizeof *x);
    if (tw)
        memcpy(values.at[tw->number], w, COUNT * sizeof *w);
    struct machine_run run;
    machine_open(&run, p, &values, (struct ir_run){.step = 1}, NULL);
    machine_step(&run, 1);
    double *found = machine_numbers(arena, &run, p->outputs.at[0].tensor);
    for (int i = 0; i < COUNT; i++) {
        double v[] = {x[i], w[i]}, error = ulps(found[i], reference(v), single);
        if (error > worst) {
            worst = error;
            snprintf((char *)*message, 300, "%s in %s at %a, %a: %.17g instead of %.17g, %g ulps", text,
                     single ? "f32" : "f64", v[0], v[1], found[i], reference(v), error);
        }
    }
    machine_close(&run);
    arena_free(arena);
    return worst;
}

struct operator_case {
    const char *text;
    double (*reference)(const double *v);
    double low, high;
    double ulps_f32, ulps_f64;
};

#define REFERENCE(name, value)                                                                                         \
    static double name(const double *v)                                                                                \
    {                                                                                                                  \
        double a = v[0], b = v[1];                                                                                     \
        (void)a, (void)b;                                                                                              \
        return value;                                                                                                  \
    }
#define OP(name, arity, form, symbol, level, result, laws, work, value)                                                \
    __attribute__((unused)) static double exact_##name(const double *v)                                                \
    {                                                                                                                  \
        double a = v[0], b = v[1], c = v[0];                                                                           \
        (void)a, (void)b, (void)c;                                                                                     \
        return value;                                                                                                  \
    }
#include "ops.def"
#undef OP
REFERENCE(square, a *a)
REFERENCE(cube, a *a *a)
REFERENCE(inverse, 1 / a)
REFERENCE(inverse_square, 1 / (a * a))
REFERENCE(root, pow(a, 0.5))
REFERENCE(inverse_root, pow(a, -0.5))
REFERENCE(to_the_one_and_a_half, pow(a, 1.5))
REFERENCE(ninth, pow(a, 9))

/* Limits: half a unit is what rounding alone costs. Functions by way of expm1 or log1p and a division: 4. */
static const struct operator_case cases[] = {
    {"x[i] + w[i]", exact_add, -2, 2, 0.51, 0.51},
    {"x[i] - w[i]", exact_subtract, -2, 2, 0.51, 0.51},
    {"x[i] * w[i]", exact_multiply, -2, 2, 0.51, 0.51},
    {"x[i] / w[i]", exact_divide, -2, 2, 0.51, 0.51},
    {"x[i] ^ w[i]", exact_power, 0, 8, 1, 1},
    {"-x[i]", exact_negate, -2, 2, 0, 0},
    {"x[i] == w[i]", exact_equal, -2, 2, 0, 0},
    {"x[i] != w[i]", exact_not_equal, -2, 2, 0, 0},
    {"x[i] < w[i]", exact_less, -2, 2, 0, 0},
    {"x[i] <= w[i]", exact_less_equal, -2, 2, 0, 0},
    {"x[i] > w[i]", exact_greater, -2, 2, 0, 0},
    {"x[i] >= w[i]", exact_greater_equal, -2, 2, 0, 0},
    {"x[i] and w[i]", exact_and, -2, 2, 0, 0},
    {"x[i] or w[i]", exact_or, -2, 2, 0, 0},
    {"not x[i]", exact_not, -2, 2, 0, 0},
    {"max(x[i], w[i])", exact_max, -2, 2, 0, 0},
    {"min(x[i], w[i])", exact_min, -2, 2, 0, 0},
    {"if x[i] then w[i] else x[i]", exact_select, -2, 2, 0, 0},
    {"exp(x[i])", exact_exp, -105, 90, 2, 2},
    {"exp(x[i])", exact_exp, -2, 2, 2, 2},
    {"log(x[i])", exact_log, 0, 4, 2, 2},
    {"log(x[i])", exact_log, 0.98, 1.02, 2, 2},
    {"log1p(x[i])", exact_log1p, -1.1, 4, 3, 3},
    {"log1p(x[i])", exact_log1p, -1e-3, 1e-3, 3, 3},
    {"expm1(x[i])", exact_expm1, -3, 3, 2.5, 2.5},
    {"expm1(x[i])", exact_expm1, -1e-3, 1e-3, 2.5, 2.5},
    {"sqrt(x[i])", exact_sqrt, -1, 4, 0.51, 0.51},
    {"sin(x[i])", exact_sin, -7, 7, 1, 1},
    {"cos(x[i])", exact_cos, -7, 7, 1, 1},
    {"tanh(x[i])", exact_tanh, -4, 4, 4, 4},
    {"tanh(x[i])", exact_tanh, -1e-2, 1e-2, 4, 4},
    {"sigmoid(x[i])", exact_sigmoid, -90, 90, 3, 3},
    {"sigmoid(x[i])", exact_sigmoid, -4, 4, 3, 3},
    {"softplus(x[i])", exact_softplus, -20, 20, 4, 4},
    {"erf(x[i])", exact_erf, -4, 4, 1, 1},
    {"abs(x[i])", exact_abs, -2, 2, 0, 0},
    {"sign(x[i])", exact_sign, -2, 2, 0, 0},
    {"floor(x[i])", exact_floor, -8, 8, 0, 0},
    {"stop(x[i])", exact_stop, -2, 2, 0, 0},
    {"x[i] ^ 2", square, -2, 2, 0.51, 0.51},
    {"x[i] ^ 3", cube, -2, 2, 2, 2},
    {"x[i] ^ 9", ninth, -2, 2, 6, 6},
    {"x[i] ^ -1", inverse, -2, 2, 0.51, 0.51},
    {"x[i] ^ -2", inverse_square, -2, 2, 2.1, 2.1},
    {"x[i] ^ 0.5", root, -2, 2, 0.51, 1},
    {"x[i] ^ -0.5", inverse_root, 0, 2, 1.6, 1.6},
    {"x[i] ^ 1.5", to_the_one_and_a_half, 0, 2, 1, 1},
};

static void operators_agree_with_libm(void **state)
{
    static char text[300];
    const char *message = text;
    static double x[COUNT], w[COUNT];
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int single = 0; single < 2; single++) {
            double limit = single ? cases[i].ulps_f32 : cases[i].ulps_f64;
            sweep(x, single, cases[i].low, cases[i].high);
            for (int k = 0; k < COUNT; k++)
                w[k] = x[(k * 37 + 11) % COUNT];
            reference = cases[i].reference;
            text[0] = 0;
            double worst = worst_ulps(cases[i].text, single, x, w, &message);
            if (getenv("SHOW"))
                fprintf(stderr, "%-30s %s %g\n", cases[i].text, single ? "f32" : "f64", worst);
            if (worst > limit) {
                fprintf(stderr, "%s; limit %g\n", text, limit);
                bad++;
            }
        }
    assert_int_equal(bad, 0);
}

/* Numbers of every exponent and sign, some hundred of each, infinities and NaN among them: the same bits. */
static void square_roots_are_those_of_the_processor(void **state)
{
    enum { ROOTS = 1 << 18 };
    struct arena *arena = arena_new();
    struct ir_program *p = parse_program(arena, "program roots f32\ninput x[i: 262144]\ny[i: 262144] = sqrt(x[i])\noutput y\n");
    struct machine_run run;
    int bad = 0;

    (void)state;
    fuse(p, true);
    plan_memory(p, layout_new(arena), true);
    struct ir_values values = ir_values_new(arena, p);
    double *x = values.at[ir_find(p, "x")->number];
    for (uint32_t i = 0; i < ROOTS; i++) {
        uint32_t bits = i << 14 | (i * 2654435761u >> 18);
        float number;
        memcpy(&number, &bits, sizeof number);
        x[i] = fabsf(number) < FLT_MIN ? copysign(0, (double)number) : (double)number; /* denormal numbers count as 0 */
    }
    machine_open(&run, p, &values, (struct ir_run){.step = 1}, NULL);
    machine_step(&run, 1);
    const double *found = machine_numbers(arena, &run, p->outputs.at[0].tensor);
    for (int i = 0; i < ROOTS; i++) {
        double wanted = (double)sqrtf((float)x[i]);
        bad += isnan(wanted) ? !isnan(found[i]) : found[i] != wanted || signbit(found[i]) != signbit(wanted);
    }
    machine_close(&run);
    arena_free(arena);
    assert_int_equal(bad, 0);
}

/* One divisor for all: no division is left in the loop. Limit: rounding, and what a rest that is too small would have said. */
static void division_by_one_number_is_rounded(void **state)
{
    static const double divisors[] = {3,       -0.1,  49,        0x1.fffffep-1, 0x1.fffffffffffffp-1, 0x1.000002p0, 1e30, 3e38, -0x1p127,
                                      0x1p-126, 1e-30, 2.9e-38, 0,             INFINITY,             -INFINITY,    NAN,  1e300, 1e-300};
    static char text[300];
    const char *message = text;
    static double x[COUNT], w[COUNT];
    int bad = 0;

    (void)state;
    reference = exact_divide;
    for (size_t i = 0; i < sizeof divisors / sizeof *divisors; i++)
        for (int single = 0; single < 2; single++) {
            double divisor = single ? (double)(float)divisors[i] : divisors[i];

            sweep(x, single, -2, 2);
            for (int k = 0; k < COUNT; k++)
                w[k] = flush(divisor, single);
            if (worst_ulps("x[i] / w[0]", single, x, w, &message) > 0.51) {
                fprintf(stderr, "%s\n", text);
                bad++;
            }
        }
    for (int k = 0; k < COUNT; k++) { /* quotients that are numbers */
        w[k] = 49;
        x[k] = 49.0 * k;
    }
    for (int single = 0; single < 2; single++)
        assert_true(worst_ulps("x[i] / w[0]", single, x, w, &message) == 0);
    assert_int_equal(bad, 0);
}

/* Whole arithmetic has no libm: by the evaluator. */
static void whole_arithmetic_agrees_with_the_evaluator(void **state)
{
    static const char source[] = "program whole f64\n"
                                 "input a[i: 77] in -1000..1000\n"
                                 "input b[i: 77] in 1..9\n"
                                 "input k[i: 77] in 0..200\n"
                                 "input x[i: 77]\n"
                                 "q[i: 77] = a[i] // b[i]\n"
                                 "r[i: 77] = a[i] % b[i]\n"
                                 "s[i: 77] = a[i] + b[i] * k[i] - abs(a[i]) + sign(a[i])\n"
                                 "big[i: 77] = a[i] * a[i] * a[i] * a[i] % 1000003\n"
                                 "m[i: 77] = max(a[i], k[i]) - min(a[i], k[i])\n"
                                 "p[i: 77] = b[i] ^ 3 - a[i] ^ 2\n"
                                 "f[i: 77] = a[i] / b[i]\n"
                                 "t[i: 77] = (a[i] < b[i]) + (a[i] == k[i]) + (not a[i])\n"
                                 "i5[i: 77] = i // 5 + i % 5 - (if i > 40 then a[i] else k[i])\n"
                                 "c[i: 77] = (a[i] < 0) * x[i] + (x[i] > 0 and b[i] > 3 or k[i] == 7)\n"
                                 "output q\noutput r\noutput s\noutput big\noutput m\noutput p\noutput f\noutput t\n"
                                 "output i5\noutput c\n";

    (void)state;
    struct ir_run where = {.seed = 1, .step = 1};
    assert_true(worst_error("whole", source, false, NULL, NULL, where, 1e-15) <= 1e-15);
    assert_true(worst_error("whole", source, true, NULL, NULL, where, 1e-6) <= 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_agree_with_libm),
        cmocka_unit_test(square_roots_are_those_of_the_processor),
        cmocka_unit_test(division_by_one_number_is_rounded),
        cmocka_unit_test(whole_arithmetic_agrees_with_the_evaluator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
