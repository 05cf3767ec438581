/* What differentiate, derivative_ends_at and gradcheck promise beside right numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "autodiff.h"

static struct ir_program *parsed(struct arena *arena, const char *source)
{
    const char *error;
    struct ir_program *p = ir_parse(arena, source, &error);

    if (!p)
        fail_msg("%s", error);
    return p;
}

static struct ir_tensor *gradient_of(struct ir_program *p, const char *loss, const char *wrt)
{
    struct ir_tensor *t = ir_find(p, wrt), *gradient;
    const struct ir_tensor *where;
    const char *error = differentiate(p, ir_find(p, loss), &t, 1, &gradient, &where);

    if (error)
        fail_msg("%s", error);
    return gradient;
}

static void assert_line(const struct ir_tensor *t, const char *line)
{
    struct text text = {0};

    assert_non_null(t);
    ir_print_tensor(&text, t);
    assert_string_equal(text.data, line);
    text_free(&text);
}

#define NET                                                                                                            \
    "program net f64\n"                                                                                                \
    "input x[n*: 3, i: 4]\n"                                                                                           \
    "input label[n*: 3] in 0..4\n"                                                                                     \
    "parameter W[i: 4, o: 5]\n"                                                                                        \
    "parameter unused[o: 5]\n"                                                                                         \
    "z[n*: 3, o: 5] = sum[i: 4] x[n, i] * W[i, o]\n"                                                                   \
    "h[n*: 3, o: 5] = max(z[n, o], 0)\n"                                                                               \
    "side[n*: 3, o: 5] = exp(h[n, o] + unused[o])\n"                                                                   \
    "best[n*: 3] = argmax[o: 5] h[n, o]\n"                                                                             \
    "chosen[n*: 3] = h[n, label[n]]\n"                                                                                 \
    "loss = sum[n*: 3] chosen[n]\n"                                                                                    \
    "hits = sum[n*: 3] if best[n] == label[n] then 1 else 0\n"

static void only_what_lies_between_is_made(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, NET);
    int before = p->tensors.count;
    struct ir_tensor *gradient = gradient_of(p, "loss", "W");

    (void)state;
    assert_line(gradient, "d_W[i: 4, o: 5] = sum[n*: 3] x[n, i] * d_z[n, o]");
    assert_null(ir_find(p, "d_x"));
    assert_null(ir_find(p, "d_side"));
    assert_ptr_equal(gradient, p->tensors.at[p->tensors.count - 1]);
    assert_int_equal(p->tensors.count, before + 2);
    assert_line(p->tensors.at[before], "d_z[n*: 3, o: 5] = if h[n, o] > 0 and o == label[n] then 1.0 else 0.0");
    assert_null(ir_verify(p));
    arena_free(arena);
}

static void what_has_no_path_gets_no_gradient(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, NET);
    int before = p->tensors.count;

    (void)state;
    assert_null(gradient_of(p, "loss", "unused"));
    assert_null(gradient_of(p, "loss", "label"));
    assert_null(gradient_of(p, "hits", "W"));
    assert_int_equal(p->tensors.count, before);
    arena_free(arena);
}

static void a_tensor_in_between_has_a_gradient(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, NET);
    struct ir_tensor *wrt[3] = {ir_find(p, "h"), ir_find(p, "W"), ir_find(p, "loss")}, *gradients[3];
    const struct ir_tensor *where;

    (void)state;
    assert_null(differentiate(p, ir_find(p, "loss"), wrt, 3, gradients, &where));
    assert_line(gradients[0], "d_h[n*: 3, o: 5] = if o == label[n] then 1.0 else 0.0");
    assert_line(gradients[1], "d_W[i: 4, o: 5] = sum[n*: 3] x[n, i] * d_z[n, o]");
    assert_line(gradients[2], "d_loss = 1.0");
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < wrt[i]->rank; k++)
            assert_ptr_equal(gradients[i]->axes[k], wrt[i]->axes[k]);
    arena_free(arena);
}

static void a_loss_with_axes_is_refused(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, NET);
    struct ir_tensor *W = ir_find(p, "W"), *gradient;
    const struct ir_tensor *where;

    (void)state;
    assert_string_equal(differentiate(p, ir_find(p, "h"), &W, 1, &gradient, &where), "a loss has no axes, but h has 2");
    assert_ptr_equal(where, ir_find(p, "h"));
    arena_free(arena);
}

static void a_refusal_names_the_equation(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, "program basis f64\n"
                                         "parameter a[i: 2, j: 2]\n"
                                         "y[i: 2, j: 2] = orthogonal(a)\n"
                                         "loss = sum[i: 2, j: 2] y[i, j]\n");
    struct ir_tensor *a = ir_find(p, "a"), *gradient;
    const struct ir_tensor *where;

    (void)state;
    assert_string_equal(differentiate(p, ir_find(p, "loss"), &a, 1, &gradient, &where),
                        "orthogonal has no derivative here; stop(..) takes its operand as given");
    assert_ptr_equal(where, ir_find(p, "y"));
    assert_null(gradient);
    arena_free(arena);
}

static void twice_the_same_text(void **state)
{
    struct text text[2] = {{0}, {0}};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct arena *arena = arena_new();
        struct ir_program *p = parsed(arena, NET);
        arena_alloc(arena, (size_t)i * 4096);
        gradient_of(p, "loss", "W");
        gradient_of(p, "loss", "x");
        ir_print(&text[i], p);
        arena_free(arena);
    }
    assert_string_equal(text[0].data, text[1].data);
    text_free(&text[0]);
    text_free(&text[1]);
}

static void a_gradient_keeps_the_origin_of_its_equation(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, NET);
    struct ir_origin origin = {.path = "net.z", .file = "net.rnet", .line = 3};
    struct ir_tensor *gradient;

    (void)state;
    ir_find(p, "z")->origin = &origin;
    gradient = gradient_of(p, "loss", "W");
    assert_ptr_equal(gradient->origin, &origin);
    arena_free(arena);
}

static const char *end_of(struct ir_program *p, const char *from)
{
    return derivative_ends_at(p, ir_find(p, from), ir_find(p, "loss"))->name;
}

static void where_a_derivative_ends(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, "program ends f64\n"
                                         "parameter a[i: 3]\n"
                                         "parameter b[i: 3]\n"
                                         "parameter c[i: 3]\n"
                                         "parameter d[i: 3]\n"
                                         "a2[i: 3] = 2 * a[i]\n"
                                         "where = argmax[i: 3] a2[i]\n"
                                         "b2[i: 3] = exp(b[i])\n"
                                         "b3[i: 3] = exp(stop(b2[i]))\n"
                                         "c2[i: 3] = 2 * c[i]\n"
                                         "c3[i: 3] = exp(c2[i])\n"
                                         "loss = sum[i: 3] b3[i] * where\n");

    (void)state;
    assert_string_equal(end_of(p, "a"), "where");
    assert_string_equal(end_of(p, "b"), "b3");
    assert_string_equal(end_of(p, "c"), "c3");
    assert_string_equal(end_of(p, "d"), "d");
    arena_free(arena);
}

/* ---- gradcheck ---- */

static struct gradcheck_result checked(const char *source, const char *leaf, bool exhaustive, double first, double step)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, source);
    struct ir_tensor *t = ir_find(p, leaf);
    struct ir_values values = ir_values_new(arena, p);
    struct gradcheck_result result;
    const char *error;

    for (int i = 0; i < p->tensors.count; i++)
        for (int64_t k = 0; p->tensors.at[i]->kind != IR_EQUATION && k < ir_elements(p->tensors.at[i]); k++)
            values.at[i][k] = first + step * (double)k;
    error = gradcheck(p, p->tensors.at[p->tensors.count - 1], &t, 1, &values, (struct ir_run){.step = 1},
                      (struct gradcheck_options){.exhaustive = exhaustive, .seed = 11}, &result);
    if (error)
        fail_msg("%s", error);
    for (int64_t k = 0; k < ir_elements(t); k++)
        assert_true(values.at[t->number][k] == first + step * (double)k);
    result.tensor = NULL;
    arena_free(arena);
    return result;
}

/* Steps of 1e-13 look smooth to a difference of 6e-6, but have the derivative 0: a wrong derivative, as far as one can
 * see. */
static void gradcheck_finds_a_wrong_derivative(void **state)
{
    struct gradcheck_result r = checked("program stairs f64\n"
                                        "parameter w[i: 40]\n"
                                        "loss = sum[i: 40] if i == 31 then floor(3e13 * w[i]) / 1e13 else w[i]\n",
                                        "w", true, 0.3, 0.01);

    (void)state;
    assert_false(r.passed);
    assert_int_equal(r.checked, 40);
    assert_int_equal(r.kinks, 0);
    assert_int_equal(r.element, 31);
    assert_true(r.analytic == 0);
    assert_true(fabs(r.numeric - 3) < 1e-3);
}

static void a_direction_and_sixteen_elements(void **state)
{
    struct gradcheck_result r = checked("program many f64\n"
                                        "parameter w[i: 40]\n"
                                        "loss = sum[i: 40] exp(w[i]) * w[i]\n",
                                        "w", false, 0.3, 0.01);

    (void)state;
    assert_true(r.passed);
    assert_int_equal(r.checked, 17);
    assert_true(r.worst < 1e-8);
}

static void kinks_are_apart(void **state)
{
    struct gradcheck_result r = checked("program kinks f64\n"
                                        "parameter w[i: 5]\n"
                                        "loss = sum[i: 5] max(w[i], 0)\n",
                                        "w", true, -2, 1);

    (void)state;
    assert_true(r.passed);
    assert_int_equal(r.kinks, 1);
    assert_int_equal(r.checked, 5);
}

/* The loss is large and its slope in w small: rounding alone is no error, and a true error of the same size is found.
 */
static void rounding_is_no_error(void **state)
{
    struct gradcheck_result r = checked("program large f64\n"
                                        "parameter w[i: 3]\n"
                                        "loss = sum[i: 3] 1e6 + 1e-3 * w[i] * w[i]\n",
                                        "w", true, 0.5, 0.1);

    (void)state;
    assert_true(r.passed);
}

static void computed_tensors_cannot_be_moved(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, NET);
    struct ir_tensor *h = ir_find(p, "h"), *label = ir_find(p, "label");
    struct ir_values values = ir_values_new(arena, p);
    struct gradcheck_result result;

    (void)state;
    assert_string_equal(gradcheck(p, ir_find(p, "loss"), &h, 1, &values, (struct ir_run){.step = 1},
                                  (struct gradcheck_options){0}, &result),
                        "h is computed; expected an input, a parameter, a state or a scalar");
    assert_string_equal(gradcheck(p, ir_find(p, "loss"), &label, 1, &values, (struct ir_run){.step = 1},
                                  (struct gradcheck_options){0}, &result),
                        "label holds whole numbers; expected real ones");
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_lies_between_is_made),
        cmocka_unit_test(what_has_no_path_gets_no_gradient),
        cmocka_unit_test(a_tensor_in_between_has_a_gradient),
        cmocka_unit_test(a_loss_with_axes_is_refused),
        cmocka_unit_test(a_refusal_names_the_equation),
        cmocka_unit_test(twice_the_same_text),
        cmocka_unit_test(a_gradient_keeps_the_origin_of_its_equation),
        cmocka_unit_test(where_a_derivative_ends),
        cmocka_unit_test(gradcheck_finds_a_wrong_derivative),
        cmocka_unit_test(a_direction_and_sixteen_elements),
        cmocka_unit_test(kinks_are_apart),
        cmocka_unit_test(rounding_is_no_error),
        cmocka_unit_test(computed_tensors_cannot_be_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
