/* nested.c: functions put in place forty times in themselves, and what else of a few lines grows as a tree: it is lowered in a
   moment, and what it computes is right. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "program.h"

static const struct ir_run run_one = {.seed = 7, .position = 0, .step = 1};

/* The model m: `before` f(f(..f(argument)..)) `after`, f forty times, and the functions. Every leaf is 1. */
static struct ir_program *forty(struct program *p, const char *functions, const char *before, const char *argument,
                                const char *after, struct ir_values *v)
{
    struct text text = {0};
    struct ir_program *m;

    text_addf(&text, "%s\n%s", functions, before);
    for (int i = 0; i < 40; i++)
        text_add(&text, "f(");
    text_add(&text, argument);
    for (int i = 0; i < 40; i++)
        text_add(&text, ")");
    text_add(&text, after);
    *p = program_of(text.data);
    text_free(&text);
    m = prediction_of(p, "m", 2);
    *v = ir_values_new(p->arena, m);
    for (int i = 0; i < m->tensors.count; i++)
        for (int64_t k = 0; m->tensors.at[i]->kind != IR_EQUATION && k < ir_elements(m->tensors.at[i]); k++)
            v->at[i][k] = 1;
    ir_evaluate(m, v, run_one);
    return m;
}

static void factors_of_a_contraction(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = forty(&p, "fn f(x) = x * x",
                                 "model m(x[i: 3]) -> y {\n param u[j: 4] = 1\n y = sum[i, j] (u[j] + 1) * x[i] * ",
                                 "(x[i] * (u[j] / 2 + 0.5))", "\n}\n", &v);

    (void)state;
    assert_near(output_at(m, &v, "y")[0], 24, 0);
    program_end(&p);
}

static void derivatives_of_squares(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = forty(&p, "fn f(x) = x * x",
                                 "model m(x[i: 3]) -> (g[i], h[i]) {\n param w[i] = 1\n y = sum[i] ", "(w[i] * x[i])",
                                 "\n g[i] = grad(y, w[i])\n s = sum[i] g[i]\n h[i] = grad(s, w[i])\n}\n", &v);

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_near(output_at(m, &v, "g")[i], 0x1p40, 0);
        assert_near(output_at(m, &v, "h")[i], 0x1p80 - 0x1p40, 1e-15);
    }
    program_end(&p);
}

static void a_place_that_is_rounded(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = forty(&p, "fn f(x) = x * x", "model m(x[i: 3], s) -> y[i] {\n y[i] = (x[i + ", "floor(s)",
                                 "] else 5)\n}\n", &v);

    (void)state;
    assert_near(output_at(m, &v, "y")[0], 1, 0);
    assert_near(output_at(m, &v, "y")[2], 5, 0);
    program_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_of_a_contraction),
        cmocka_unit_test(derivatives_of_squares),
        cmocka_unit_test(a_place_that_is_rounded),
    };

    return cmocka_run_group_tests_name("sema nested", tests, NULL, NULL);
}
