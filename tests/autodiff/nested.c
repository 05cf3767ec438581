/* nested.c: what a program makes of itself forty times, f(f(..f(x)..)) with f(x) = x * x, is forty nodes and a tree of 2^40 factors.
   Its derivatives are made in a moment and are right: each function here maps 1 to 1 with a derivative that is a small whole
   number s, so that in x = 1 the first derivative, s^40, and the second, c * s^40 * (s^40 - 1) / (s * (s - 1)) with c = f''(1), are
   known. The tolerance is a relative 1e-13: sums of forty doubles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "autodiff.h"

enum { NESTINGS = 40 };

/* first, then NESTINGS times step, in which $ is what was there before; the loss is `last` with $ as all of that. */
static struct ir_program *nested(struct arena *arena, const char *leaves, const char *first, const char *step, const char *last)
{
    struct text text = {0};
    struct ir_program *p;
    const char *error;

    text_addf(&text, "program nested f64\n%sloss = let _0 = %s", leaves, first);
    for (int k = 1; k <= NESTINGS + 1; k++) {
        text_addf(&text, k <= NESTINGS ? ", _%d = " : " in ", k);
        for (const char *at = k <= NESTINGS ? step : last; *at; at++) {
            if (*at == '$')
                text_addf(&text, "_%d", k - 1);
            else
                text_add_slice(&text, at, 1);
        }
    }
    text_add(&text, "\n");
    p = ir_parse(arena, text.data, &error);
    if (!p)
        fail_msg("%s", error);
    text_free(&text);
    return p;
}

static struct ir_tensor *derivative(struct ir_program *p, struct ir_tensor *of, const char *wrt)
{
    struct ir_tensor *leaf = ir_find(p, wrt), *gradient;
    const struct ir_tensor *where;
    const char *error = differentiate(p, of, &leaf, 1, &gradient, &where);

    if (error)
        fail_msg("%s", error);
    assert_non_null(gradient);
    return gradient;
}

/* With every leaf 1. */
static double value_of(struct arena *arena, const struct ir_program *p, const struct ir_tensor *t)
{
    struct ir_values values = ir_values_new(arena, p);

    for (int i = 0; i < p->tensors.count; i++)
        for (int64_t k = 0; p->tensors.at[i]->kind == IR_PARAMETER && k < ir_elements(p->tensors.at[i]); k++)
            values.at[i][k] = 1;
    ir_evaluate(p, &values, (struct ir_run){.step = 1});
    return values.at[t->number][0];
}

static void assert_close(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-13 * fabs(expected)))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static void check(const char *step, double slope, double curvature)
{
    struct arena *arena = arena_new();
    struct ir_program *p = nested(arena, "parameter v\n", "v", step, "$");
    struct ir_tensor *first = derivative(p, ir_find(p, "loss"), "v"), *second = derivative(p, first, "v");
    double all = pow(slope, NESTINGS);

    assert_null(ir_verify(p));
    assert_close(value_of(arena, p, ir_find(p, "loss")), 1);
    assert_close(value_of(arena, p, first), all);
    assert_close(value_of(arena, p, second), curvature * all * (all - 1) / (slope * (slope - 1)));
    arena_free(arena);
}

static void squares(void **state)
{
    (void)state;
    check("$ * $", 2, 2);
}

static void squares_halved_and_doubled(void **state)
{
    (void)state;
    check("($ * $ + $ * $) / 2", 2, 2);
}

static void squares_less_twice_their_half(void **state)
{
    (void)state;
    check("2 * ($ * $) - $ * $", 2, 2);
}

static void cubes_beside_squares(void **state)
{
    (void)state;
    check("$ * ($ * $)", 3, 6);
}

static void quotients(void **state)
{
    (void)state;
    check("$ * $ * ($ * $) / ($ * $)", 2, 2);
}

static void squares_where_positive(void **state)
{
    (void)state;
    check("(if $ > 0 then $ else 0) * (if $ < 3 then $ else 0)", 2, 2);
}

static void a_sum_that_multiplies(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = nested(arena, "parameter v\nparameter w\n", "w", "$ + $", "v * $");
    double all = pow(2, NESTINGS);

    (void)state;
    assert_close(value_of(arena, p, derivative(p, ir_find(p, "loss"), "v")), all);
    assert_close(value_of(arena, p, derivative(p, ir_find(p, "loss"), "w")), all);
    assert_null(ir_verify(p));
    arena_free(arena);
}

/* Forty conditions, each of the one before twice: as a tree of guards 2^40 of them. In 1 the last holds. */
static void a_condition(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = nested(arena, "parameter v\n", "v > 0.5", "($ and v < 2) or (not $ and v > 3)",
                                  "if $ then v * v else 0");

    (void)state;
    assert_close(value_of(arena, p, derivative(p, ir_find(p, "loss"), "v")), 2);
    assert_null(ir_verify(p));
    arena_free(arena);
}

/* The product stands under a sum, and its derivative is one of rank 1. */
static void squares_summed(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p;
    struct text text = {0};
    const char *error;
    struct ir_tensor *gradient;

    (void)state;
    text_add(&text, "program nested f64\nparameter w[i: 3]\nparameter x[n: 2, i: 3]\nloss = sum[n: 2, i: 3] let _0 = w[i] * x[n, i]");
    for (int k = 1; k <= NESTINGS; k++)
        text_addf(&text, ", _%d = _%d * _%d", k, k - 1, k - 1);
    text_addf(&text, " in _%d * x[n, i]\n", NESTINGS);
    p = ir_parse(arena, text.data, &error);
    if (!p)
        fail_msg("%s", error);
    gradient = derivative(p, ir_find(p, "loss"), "w");
    assert_null(ir_verify(p));
    assert_int_equal(gradient->rank, 1);
    assert_close(value_of(arena, p, gradient), 2 * pow(2, NESTINGS));
    text_free(&text);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares),
        cmocka_unit_test(squares_halved_and_doubled),
        cmocka_unit_test(squares_less_twice_their_half),
        cmocka_unit_test(cubes_beside_squares),
        cmocka_unit_test(quotients),
        cmocka_unit_test(squares_where_positive),
        cmocka_unit_test(a_sum_that_multiplies),
        cmocka_unit_test(a_condition),
        cmocka_unit_test(squares_summed),
    };

    return cmocka_run_group_tests_name("autodiff nested", tests, NULL, NULL);
}
