/* Every operator of ops.def in a program of its own, first and second derivatives against differences (norm and
   tolerance of gradients.c). An operator that is added is in the loop; one without a derivative does not link. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "autodiff.h"

enum { ELEMENTS = 6 };

struct operator_case {
    enum ir_op op;
    const char *name;
    int arity;
};
static const struct operator_case operators[] = {
#define OP(name, arity, ...) {IR_##name, #name, arity},
#include "ops.def"
#undef OP
};

struct setup {
    struct arena *arena;
    struct ir_program *p;
    struct ir_tensor *leaf[4], *loss;
    int leaves;
};

/* The exponent's or divisor's number, or NAN for a leaf. y[i] = op(a[i], b[i], c[i]), and the loss is sum x[i] y[i]. */
static struct setup one_operator(const struct operator_case *c, double constant)
{
    static const char *const names[] = {"a", "b", "c"};
    struct setup s = {.arena = arena_new()};
    struct ir_index *i;
    const struct ir_form *at;
    const struct ir_expr *arguments[3] = {NULL}, *product;
    struct ir_tensor *y, *x;
    bool whole = c->op == IR_quotient || c->op == IR_remainder;

    s.p = ir_program_new(s.arena, c->name, IR_DOUBLE);
    i = ir_index(s.p, "i", ELEMENTS, false);
    at = ir_form_index(s.p, i);
    for (int k = 0; k < c->arity; k++) {
        if (k == 1 && !isnan(constant)) {
            arguments[k] = ir_number(s.p, constant);
            continue;
        }
        struct ir_tensor *leaf = ir_leaf(s.p, IR_STATE, names[k], &i, 1, whole, 1, 9, NULL);
        arguments[k] = ir_read(s.p, leaf, &at, 1, NULL);
        if (!whole)
            s.leaf[s.leaves++] = leaf;
    }
    y = ir_equation(s.p, "y", &i, 1, IR_MAP, NULL, 0, ir_apply(s.p, c->op, arguments[0], arguments[1], arguments[2]),
                    false, NULL);
    x = s.leaf[s.leaves++] = ir_leaf(s.p, IR_STATE, "x", &i, 1, false, 0, 0, NULL);
    product = ir_apply(s.p, IR_multiply, ir_read(s.p, x, &at, 1, NULL), ir_read(s.p, y, &at, 1, NULL), NULL);
    s.loss = ir_equation(s.p, "loss", NULL, 0, IR_SUM, &i, 1, product, false, NULL);
    return s;
}

/* Leaf k, element i: apart from one another, between scale / 2 and 2 scale. */
static double leaf_value(int leaf, int64_t i, double scale)
{
    return scale * (0.55 + 0.17 * (double)((i * 5 + leaf * 3) % 7) + 0.031 * leaf);
}

static void check(struct setup *s, const char *name, double scale, const char *order)
{
    struct ir_values values = ir_values_new(s->arena, s->p);
    struct gradcheck_result results[4];
    const char *error;

    for (int t = 0; t < s->p->tensors.count; t++) {
        struct ir_tensor *leaf = s->p->tensors.at[t];
        for (int64_t i = 0; leaf->kind != IR_EQUATION && i < ir_elements(leaf); i++)
            values.at[t][i] =
                leaf->whole ? (double)(1 + (i * 5 + t * 3) % 9) : leaf_value(t, i, leaf->rank ? scale : 1);
    }
    error = gradcheck(s->p, s->loss, s->leaf, s->leaves, &values, (struct ir_run){.step = 1},
                      (struct gradcheck_options){.exhaustive = true, .seed = 3}, results);
    if (error)
        fail_msg("%s: %s", name, error);
    for (int k = 0; k < s->leaves; k++) {
        if (!results[k].passed)
            fail_msg("%s, %s derivative to operand %s[%d]: %.12g, but numerically %.12g", name, order,
                     results[k].tensor->name, (int)results[k].element, results[k].analytic, results[k].numeric);
        if (results[k].kinks)
            fail_msg("%s, %s derivative to operand %s: %d kinks", name, order, results[k].tensor->name,
                     results[k].kinks);
        assert_int_equal(results[k].checked, ELEMENTS);
    }
}

static void check_twice(const struct operator_case *c, double constant, double scale)
{
    struct setup s = one_operator(c, constant);
    struct ir_tensor *gradients[4];
    const struct ir_tensor *where;
    const struct ir_expr *total = ir_real(s.p, 0);

    const char *name = isnan(constant) ? c->name : arena_printf(s.arena, "%s %g", c->name, constant);

    check(&s, name, scale, "first");
    assert_null(differentiate(s.p, s.loss, s.leaf, s.leaves, gradients, &where));
    for (int k = 0; k < s.leaves; k++) {
        const struct ir_form *at;
        struct ir_tensor *sum;
        if (!gradients[k])
            continue;
        at = ir_form_index(s.p, gradients[k]->axes[0]);
        const struct ir_expr *g = ir_read(s.p, gradients[k], &at, 1, NULL);
        sum = ir_equation(s.p, "sum", NULL, 0, IR_SUM, gradients[k]->axes, 1, ir_apply(s.p, IR_multiply, g, g, NULL),
                          false, NULL);
        total = ir_apply(s.p, IR_add, total, ir_read(s.p, sum, NULL, 0, NULL), NULL);
    }
    s.loss = ir_equation(s.p, "second", NULL, 0, IR_MAP, NULL, 0, total, false, NULL);
    check(&s, name, scale, "second");
    arena_free(s.arena);
}

static bool positive_only(enum ir_op op)
{
    return op == IR_log || op == IR_sqrt || op == IR_log1p || op == IR_power;
}

static void every_operator(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof operators / sizeof *operators; k++) {
        check_twice(&operators[k], NAN, 1);
        if (!positive_only(operators[k].op))
            check_twice(&operators[k], NAN, -1);
    }
}

static void powers_with_constant_exponents(void **state)
{
    static const double exponents[] = {0, 1, 2, 3, 0.5, -1, -2, 1.7};
    struct operator_case power = {IR_power, "power", 2};

    (void)state;
    for (size_t k = 0; k < sizeof exponents / sizeof *exponents; k++) {
        check_twice(&power, exponents[k], 1);
        if (exponents[k] == floor(exponents[k]))
            check_twice(&power, exponents[k], -1);
    }
}

static const char *gradient_of(struct setup *s, const struct operator_case *c, double constant)
{
    struct ir_tensor *gradients[4];
    const struct ir_tensor *where;
    struct text text = {0};
    char *line;

    *s = one_operator(c, constant);
    assert_null(differentiate(s->p, ir_find(s->p, "loss"), s->leaf, s->leaves, gradients, &where));
    assert_non_null(gradients[0]);
    ir_print_expr(&text, gradients[0]->value);
    line = arena_string(s->arena, text.data);
    text_free(&text);
    return line;
}

static void a_square_is_two_x(void **state)
{
    struct setup s;

    (void)state;
    assert_string_equal(gradient_of(&s, &(struct operator_case){IR_power, "power", 2}, 2), "2.0 * d_y[i] * a[i]");
    arena_free(s.arena);
}

static void an_exponential_reads_its_stored_value(void **state)
{
    struct setup s;

    (void)state;
    assert_string_equal(gradient_of(&s, &(struct operator_case){IR_exp, "exp", 1}, NAN), "d_y[i] * y[i]");
    arena_free(s.arena);
}

/* max(x, 0) at 0: the second operand wins, so the derivative is 0. */
static void the_rectifier_at_zero(void **state)
{
    struct setup s = one_operator(&(struct operator_case){IR_max, "max", 2}, 0);
    struct ir_tensor *gradients[1], *y = ir_find(s.p, "y");
    const struct ir_form *at = ir_form_index(s.p, y->axes[0]);
    struct ir_tensor *loss =
        ir_equation(s.p, "total", NULL, 0, IR_SUM, y->axes, 1, ir_read(s.p, y, &at, 1, NULL), false, NULL);
    const struct ir_tensor *where;
    struct ir_values values;

    (void)state;
    assert_null(differentiate(s.p, loss, s.leaf, 1, gradients, &where));
    values = ir_values_new(s.arena, s.p);
    for (int i = 0; i < ELEMENTS; i++)
        values.at[s.leaf[0]->number][i] = i == 0 ? 0 : i == 1 ? -0.0 : i == 2 ? 1e-300 : i == 3 ? -1e-300 : i - 4.5;
    ir_evaluate(s.p, &values, (struct ir_run){.step = 1});
    for (int i = 0; i < ELEMENTS; i++)
        assert_true(values.at[gradients[0]->number][i] == (values.at[s.leaf[0]->number][i] > 0));
    arena_free(s.arena);
}

/* 0 * inf is NaN: what a condition switches off must not come back through a product. */
static void a_closed_branch_gives_zero_whatever_it_holds(void **state)
{
    const char *error, *source = "program closed f64\n"
                                 "state x[i: 3]\n"
                                 "y[i: 3] = if x[i] > 0 then 1 / x[i] * sqrt(x[i]) else 2 * x[i]\n"
                                 "loss = sum[i: 3] y[i]\n";
    struct arena *arena = arena_new();
    struct ir_program *p = ir_parse(arena, source, &error);
    struct ir_tensor *x = ir_find(p, "x"), *gradient;
    const struct ir_tensor *where;
    struct ir_values values;

    (void)state;
    assert_null(differentiate(p, ir_find(p, "loss"), &x, 1, &gradient, &where));
    values = ir_values_new(arena, p);
    values.at[x->number][0] = 0;
    values.at[x->number][1] = -1;
    values.at[x->number][2] = 4;
    ir_evaluate(p, &values, (struct ir_run){.step = 1});
    assert_true(values.at[gradient->number][0] == 2);
    assert_true(values.at[gradient->number][1] == 2);
    assert_true(fabs(values.at[gradient->number][2] - -0.5 * pow(4, -1.5)) < 1e-15);
    arena_free(arena);
}

static void stop_lets_nothing_through(void **state)
{
    struct setup s = one_operator(&(struct operator_case){IR_stop, "stop", 1}, NAN);
    struct ir_tensor *gradients[2];
    const struct ir_tensor *where;

    (void)state;
    assert_null(differentiate(s.p, s.loss, s.leaf, 2, gradients, &where));
    assert_null(gradients[0]);
    assert_non_null(gradients[1]);
    arena_free(s.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator),
        cmocka_unit_test(powers_with_constant_exponents),
        cmocka_unit_test(a_square_is_two_x),
        cmocka_unit_test(an_exponential_reads_its_stored_value),
        cmocka_unit_test(the_rectifier_at_zero),
        cmocka_unit_test(a_closed_branch_gives_zero_whatever_it_holds),
        cmocka_unit_test(stop_lets_nothing_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
