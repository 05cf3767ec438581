/* values.c: what programs compute, against numbers worked out here by plain loops. Everything is double arithmetic on a
   few dozen terms, so 1e-12 (mixed absolute and relative) is rounding; what passes a `single` equation is f32: 1e-6. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "program.h"

static const struct ir_run run_one = {.seed = 7, .position = 0, .step = 1};

static void dense_is_a_product_and_a_bias(void **state)
{
    struct program p = program_of("use std\nmodel m(x[i: 3]) -> y[o: 2] { y = x |> dense(2) }\n");
    struct ir_program *program = prediction_of(&p, "m", 4);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *W, *b, *y;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), W = at(program, &v, "m.dense_1.W"), b = at(program, &v, "m.dense_1.b"),
    y = output_at(program, &v, "y");
    for (int n = 0; n < 4; n++)
        for (int o = 0; o < 2; o++)
            assert_near(y[n * 2 + o], x[n * 3] * W[o] + x[n * 3 + 1] * W[2 + o] + x[n * 3 + 2] * W[4 + o] + b[o],
                        1e-12);
    program_end(&p);
}

static void dense_maps_over_leading_axes(void **state)
{
    struct program p = program_of("use std\nmodel m(x[t: 5, i: 3]) -> y[t, o: 2] { y = x |> dense(2) }\n");
    struct ir_program *program = prediction_of(&p, "m", 2);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *W, *b, *y;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), W = at(program, &v, "m.dense_1.W"), b = at(program, &v, "m.dense_1.b"),
    y = output_at(program, &v, "y");
    for (int r = 0; r < 10; r++)
        for (int o = 0; o < 2; o++)
            assert_near(y[r * 2 + o], x[r * 3] * W[o] + x[r * 3 + 1] * W[2 + o] + x[r * 3 + 2] * W[4 + o] + b[o],
                        1e-12);
    program_end(&p);
}

static void softmax_sums_to_one(void **state)
{
    struct program p = program_of(
        "use std\nmodel m(x[i: 5]) -> (y[i], z[i]) {\n  y = x |> softmax\n  z[i] = log_softmax[i](x[i])\n}\n");
    struct ir_program *program = prediction_of(&p, "m", 3);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *y, *z;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), y = output_at(program, &v, "y"), z = output_at(program, &v, "z");
    for (int n = 0; n < 3; n++) {
        double total = 0;

        for (int i = 0; i < 5; i++)
            total += exp(x[n * 5 + i]);
        for (int i = 0; i < 5; i++) {
            assert_near(y[n * 5 + i], exp(x[n * 5 + i]) / total, 1e-12);
            assert_near(z[n * 5 + i], x[n * 5 + i] - log(total), 1e-12);
        }
    }
    program_end(&p);
}

static void layer_norm_standardizes_the_last_axis(void **state)
{
    struct program p = program_of("use std\nmodel m(x[c: 6]) -> y[c] { y = x |> layer_norm }\n");
    struct ir_program *program = prediction_of(&p, "m", 3);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *y, *gain, *bias;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), y = output_at(program, &v, "y");
    gain = at(program, &v, "m.layer_norm_1.gain"), bias = at(program, &v, "m.layer_norm_1.bias");
    for (int n = 0; n < 3; n++) {
        double mean = 0, variance = 0;

        for (int c = 0; c < 6; c++)
            mean += x[n * 6 + c] / 6;
        for (int c = 0; c < 6; c++)
            variance += (x[n * 6 + c] - mean) * (x[n * 6 + c] - mean) / 6;
        for (int c = 0; c < 6; c++)
            assert_near(y[n * 6 + c], gain[c] * (x[n * 6 + c] - mean) / sqrt(variance + 1e-5) + bias[c], 1e-12);
    }
    program_end(&p);
}

static void group_norm_splits_and_joins_an_axis(void **state)
{
    struct program p = program_of("use std\nmodel m(x[h: 2, w: 2, c: 6]) -> y[h, w, c] { y = x |> group_norm(3) }\n");
    struct ir_program *program = prediction_of(&p, "m", 2);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *y, *gain, *bias;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), y = output_at(program, &v, "y");
    gain = at(program, &v, "m.group_norm_1.gain"), bias = at(program, &v, "m.group_norm_1.bias");
    for (int n = 0; n < 2; n++) {
        for (int g = 0; g < 3; g++) {
            double mean = 0, variance = 0;

            for (int k = 0; k < 4; k++)
                for (int d = 0; d < 2; d++)
                    mean += x[n * 24 + k * 6 + g * 2 + d] / 8;
            for (int k = 0; k < 4; k++)
                for (int d = 0; d < 2; d++)
                    variance += pow(x[n * 24 + k * 6 + g * 2 + d] - mean, 2) / 8;
            for (int k = 0; k < 4; k++)
                for (int d = 0; d < 2; d++) {
                    int c = g * 2 + d;
                    assert_near(y[n * 24 + k * 6 + c],
                                gain[c] * (x[n * 24 + k * 6 + c] - mean) / sqrt(variance + 1e-5) + bias[c], 1e-12);
                }
        }
    }
    program_end(&p);
}

static void shapes_move_as_written(void **state)
{
    struct program p =
        program_of("use std\n"
                   "model m(a[i: 2, j: 3], b[k: 4]) -> (f[n: 6], t[j, i], c[e: 7], r[k], s[g: 2], u[q: 3], o[k]) {\n"
                   "  f = a |> flatten\n  t = transpose(a)\n"
                   "  d[j] = a[1, j]\n  c = concat(b, d)\n  r[k] = b[size(k) - 1 - k]\n"
                   "  s = first(b, 2)\n  u[q: 3] = b[q + 1]\n"
                   "  one[k: 4] = 1\n  o = one\n}\n");
    struct ir_program *program = prediction_of(&p, "m", 2);
    struct ir_values v = ir_values_new(p.arena, program);
    double *a, *b;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    a = at(program, &v, "a"), b = at(program, &v, "b");
    for (int n = 0; n < 2; n++) {
        for (int k = 0; k < 6; k++)
            assert_true(output_at(program, &v, "f")[n * 6 + k] == a[n * 6 + k]);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++)
                assert_true(output_at(program, &v, "t")[n * 6 + j * 2 + i] == a[n * 6 + i * 3 + j]);
        for (int k = 0; k < 7; k++)
            assert_true(output_at(program, &v, "c")[n * 7 + k] == (k < 4 ? b[n * 4 + k] : a[n * 6 + 3 + k - 4]));
        for (int k = 0; k < 4; k++)
            assert_true(output_at(program, &v, "r")[n * 4 + k] == b[n * 4 + 3 - k]);
        for (int k = 0; k < 2; k++)
            assert_true(output_at(program, &v, "s")[n * 2 + k] == b[n * 4 + k]);
        for (int k = 0; k < 3; k++)
            assert_true(output_at(program, &v, "u")[n * 3 + k] == b[n * 4 + k + 1]);
    }
    for (int k = 0; k < 4; k++)
        assert_true(output_at(program, &v, "o")[k] == 1);
    program_end(&p);
}

static void a_convolution_pads_with_zeros(void **state)
{
    struct program p =
        program_of("use std\nmodel m(x[t: 5, c: 2]) -> y[p: 3, o: 1] { y = x |> conv1d(1, kernel = 3, stride = 2) }\n");
    struct ir_program *program = prediction_of(&p, "m", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *K, *b, *y;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), K = at(program, &v, "m.conv1d_1.K"), b = at(program, &v, "m.conv1d_1.b"),
    y = output_at(program, &v, "y");
    for (int place = 0; place < 3; place++) {
        double total = b[0];

        for (int r = 0; r < 3; r++)
            for (int c = 0; c < 2; c++)
                if (2 * place + r - 1 >= 0 && 2 * place + r - 1 < 5)
                    total += x[(2 * place + r - 1) * 2 + c] * K[r * 2 + c];
        assert_near(y[place], total, 1e-12);
    }
    program_end(&p);
}

static void repeat_makes_a_place_for_each_pass(void **state)
{
    struct program p =
        program_of("use std\nmodel m(x[i: 2]) -> y[i] { y = x |> repeat k: 3 { |> dense(2) |> scaled(k) } }\n"
                   "layer scaled(x[...]; by) -> y[...] { y = by * x }\n");
    struct ir_program *program = prediction_of(&p, "m", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double now[2], *x;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x");
    now[0] = x[0], now[1] = x[1];
    for (int k = 0; k < 3; k++) {
        char name[64];
        double *W, *b, next[2];

        snprintf(name, sizeof name, "m.repeat_1[%d].dense_1.W", k);
        W = at(program, &v, name);
        snprintf(name, sizeof name, "m.repeat_1[%d].dense_1.b", k);
        b = at(program, &v, name);
        for (int o = 0; o < 2; o++)
            next[o] = k * (now[0] * W[o] + now[1] * W[2 + o] + b[o]);
        now[0] = next[0], now[1] = next[1];
    }
    assert_near(output_at(program, &v, "y")[0], now[0], 1e-12);
    assert_near(output_at(program, &v, "y")[1], now[1], 1e-12);
    program_end(&p);
}

static void a_named_layer_applied_twice_shares(void **state)
{
    struct program p =
        program_of("use std\nmodel m(x[i: 2]) -> (y[i], z[v: 2]) {\n  f = |> linear(2)\n  a = x |> f\n  y = a |> f\n"
                   "  z[v] = sum[i] f.W[i, v] * x[i]\n}\n");
    struct ir_program *program = prediction_of(&p, "m", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *W, a[2];
    int parameters = 0;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    for (int i = 0; i < program->tensors.count; i++)
        parameters += program->tensors.at[i]->kind == IR_PARAMETER;
    assert_int_equal(parameters, 1);
    x = at(program, &v, "x"), W = at(program, &v, "m.f.W");
    for (int o = 0; o < 2; o++)
        a[o] = x[0] * W[o] + x[1] * W[2 + o];
    for (int o = 0; o < 2; o++) {
        assert_near(output_at(program, &v, "y")[o], a[0] * W[o] + a[1] * W[2 + o], 1e-12);
        assert_near(output_at(program, &v, "z")[o], a[o], 1e-12);
    }
    program_end(&p);
}

static void a_layer_argument_is_called(void **state)
{
    struct program p = program_of("use std\nmodel m(x[i: 2]) -> y[i] { y = x |> residual(|> linear(2) |> relu) }\n");
    struct ir_program *program = prediction_of(&p, "m", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *W;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), W = at(program, &v, "m.pipe_1.linear_1.W");
    for (int o = 0; o < 2; o++)
        assert_near(output_at(program, &v, "y")[o], x[o] + fmax(x[0] * W[o] + x[1] * W[2 + o], 0), 1e-12);
    program_end(&p);
}

static void an_output_of_several_values_is_taken_apart(void **state)
{
    struct program p = program_of("layer two(x[i]) -> (a[i], s) {\n  a[i] = 2 * x[i]\n  s = sum[i] x[i]\n}\n"
                                  "model m(x[i: 3]) -> (y[i], t) { (y, t) = two(x) }\n");
    struct ir_program *program = prediction_of(&p, "m", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x");
    assert_near(output_at(program, &v, "t")[0], x[0] + x[1] + x[2], 1e-12);
    assert_near(output_at(program, &v, "y")[2], 2 * x[2], 1e-12);
    program_end(&p);
}

static void a_model_is_a_layer_with_one_set_of_parameters(void **state)
{
    struct program p = program_of("use std\nmodel inner(x[i: 2]) -> y[i] { y = x |> linear(2) }\n"
                                  "model outer(x[i: 2]) -> z[i] { z = inner(inner(x)) + inner(x) }\n");
    struct ir_program *program = prediction_of(&p, "outer", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, *W, a[2];

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x"), W = at(program, &v, "inner.linear_1.W");
    for (int o = 0; o < 2; o++)
        a[o] = x[0] * W[o] + x[1] * W[2 + o];
    for (int o = 0; o < 2; o++)
        assert_near(output_at(program, &v, "z")[o], a[0] * W[o] + a[1] * W[2 + o] + a[o], 1e-12);
    program_end(&p);
}

static void arithmetic_follows_the_written_precedence(void **state)
{
    struct program p = program_of(
        "model m(x[i: 4]) -> (a, b, c, d, e[i], f) {\n"
        "  a = -x[0]^2 + 2^-1\n  b = sum[i] x[i] * x[i] / 2 + 1\n  c = 7 // 2 + 7 % 3 + (-7) // 2\n"
        "  d = argmax[i] x[i]\n  e[i] = if i % 2 == 0 then x[i] else -x[i]\n  f = prod[k: 3] (k + 1) + max(1, 2)\n}\n");
    struct ir_program *program = prediction_of(&p, "m", 1);
    struct ir_values v = ir_values_new(p.arena, program);
    double *x, sum = 0;
    int best = 0;

    (void)state;
    fill(&p, program, &v);
    ir_evaluate(program, &v, run_one);
    x = at(program, &v, "x");
    for (int i = 0; i < 4; i++)
        sum += x[i] * x[i] / 2;
    for (int i = 1; i < 4; i++)
        if (x[i] > x[best])
            best = i;
    assert_near(output_at(program, &v, "a")[0], -x[0] * x[0] + 0.5, 1e-12);
    assert_near(output_at(program, &v, "b")[0], sum + 1, 1e-12);
    assert_true(output_at(program, &v, "c")[0] == 3 + 1 - 4);
    assert_true(output_at(program, &v, "d")[0] == best);
    assert_near(output_at(program, &v, "e")[1], -x[1], 1e-12);
    assert_true(output_at(program, &v, "f")[0] == 8);
    program_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_is_a_product_and_a_bias),
        cmocka_unit_test(dense_maps_over_leading_axes),
        cmocka_unit_test(softmax_sums_to_one),
        cmocka_unit_test(layer_norm_standardizes_the_last_axis),
        cmocka_unit_test(group_norm_splits_and_joins_an_axis),
        cmocka_unit_test(shapes_move_as_written),
        cmocka_unit_test(a_convolution_pads_with_zeros),
        cmocka_unit_test(repeat_makes_a_place_for_each_pass),
        cmocka_unit_test(a_named_layer_applied_twice_shares),
        cmocka_unit_test(a_layer_argument_is_called),
        cmocka_unit_test(an_output_of_several_values_is_taken_apart),
        cmocka_unit_test(a_model_is_a_layer_with_one_set_of_parameters),
        cmocka_unit_test(arithmetic_follows_the_written_precedence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
