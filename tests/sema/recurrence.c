/* recurrence.c: `over`, computed subscripts, opaque operations and the distributions of several equations, against
   plain loops in double precision. 1e-12 (mixed absolute and relative) is rounding of a few dozen terms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "program.h"

static const struct ir_run run_one = {.seed = 7, .position = 0, .step = 1};

static struct ir_program *evaluated(struct program *p, const char *text, int64_t batch, struct ir_values *v)
{
    struct ir_program *program;

    *p = program_of(text);
    program = prediction_of(p, "m", batch);
    assert_null(ir_verify(program));
    *v = ir_values_new(p->arena, program);
    fill(p, program, v);
    ir_evaluate(program, v, run_one);
    return program;
}

/* h[t] = tanh(x[t] W + h[before] R) for 2 samples, 5 steps, 3 inputs, 4 units, from the start. */
static void plain_rnn(const double *x, const double *W, const double *R, double start, bool down, double *h)
{
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 5; k++) {
            int t = down ? 4 - k : k;

            for (int u = 0; u < 4; u++) {
                double sum = 0;

                for (int i = 0; i < 3; i++)
                    sum += x[(n * 5 + t) * 3 + i] * W[i * 4 + u];
                for (int j = 0; j < 4; j++)
                    sum += (k ? h[(n * 5 + t + (down ? 1 : -1)) * 4 + j] : start) * R[j * 4 + u];
                h[(n * 5 + t) * 4 + u] = tanh(sum);
            }
        }
}

static void a_recurrence_runs_in_the_direction_it_reads(void **state)
{
    (void)state;
    for (int down = 0; down < 2; down++) {
        char text[500];
        double h[40];
        struct program p;
        struct ir_values v;
        struct ir_program *program;

        snprintf(text, sizeof text,
                 "use std\nmodel m(x[t: 5, i: 3]) -> h[t, u: 4] {\n"
                 "  param W[i, u: 4] ~ glorot[i; u], R[v: 4, u] ~ orthogonal[v; u]\n"
                 "  over t from h[u] = 0.5 {\n"
                 "    a[u] = sum[i] x[t, i] * W[i, u]\n"
                 "    h[t, u] = tanh(a[u] + sum[v] h[t %c 1, v] * R[v, u])\n  }\n}\n",
                 down ? '+' : '-');
        program = evaluated(&p, text, 2, &v);
        plain_rnn(at(program, &v, "x"), at(program, &v, "m.W"), at(program, &v, "m.R"), 0.5, down, h);
        for (int i = 0; i < 40; i++)
            assert_near(output_at(program, &v, "h")[i], h[i], 1e-12);
        program_end(&p);
    }
}

static void what_is_carried_becomes_what_its_step_makes_of_it(void **state)
{
    struct program p;
    struct ir_values v;
    /* a starts shared and becomes per sample through b; c stays shared; k stays whole and is a subscript. */
    struct ir_program *program = evaluated(&p,
                                           "model m(x[t: 4]) -> (a[t], y[t]) {\n"
                                           "  over t from a = 0, b = 1, c = 2, k = 0 {\n"
                                           "    a[t] = a[t - 1] + b[t - 1]\n"
                                           "    b[t] = b[t - 1] * x[t]\n"
                                           "    c[t] = c[t - 1] * 3\n"
                                           "    k[t] = (k[t - 1] + 3) % 4\n"
                                           "    y[t] = x[k[t]] + c[t]\n  }\n}\n",
                                           3, &v);
    double *x = at(program, &v, "x"), *a = output_at(program, &v, "a"), *y = output_at(program, &v, "y");

    (void)state;
    assert_int_equal(output(program, "a")->rank, 2);
    assert_int_equal(ir_find(program, "m.c")->rank, 1);
    assert_true(ir_find(program, "m.k")->whole);
    for (int n = 0; n < 3; n++) {
        double sum = 0, b = 1, c = 2;
        int k = 0;

        for (int t = 0; t < 4; t++) {
            sum += b;
            b *= x[n * 4 + t];
            c *= 3;
            k = (k + 3) % 4;
            assert_near(a[n * 4 + t], sum, 1e-12);
            assert_near(y[n * 4 + t], x[n * 4 + k] + c, 1e-12);
        }
    }
    program_end(&p);
}

static void a_cell_of_a_layer_equals_its_equations(void **state)
{
    struct program p[2];
    double h[2][40];

    (void)state;
    for (int k = 0; k < 2; k++) {
        struct ir_values v;
        struct ir_program *program =
            evaluated(&p[k],
                      k ? "use std\nmodel m(x[t: 5, i: 3]) -> h[t, u: 4] { h = x |> lstm_equations(4) }\n"
                        : "use std\nmodel m(x[t: 5, i: 3]) -> h[t, u: 4] { h = x |> lstm(4) }\n",
                      2, &v);
        static const char *const names[] = {"W", "R", "b"};

        for (int i = 0; i < 3; i++) {
            char name[60];
            double *values;
            struct ir_tensor *t;

            snprintf(name, sizeof name, k ? "m.lstm_equations_1.%s" : "m.lstm_1.cell.%s", names[i]);
            values = at(program, &v, name);
            t = ir_find(program, name);
            for (int64_t e = 0; e < ir_elements(t); e++)
                values[e] = sin(3.0 * (double)e + i);
        }
        ir_evaluate(program, &v, run_one);
        memcpy(h[k], output_at(program, &v, "h"), sizeof h[k]);
    }
    for (int i = 0; i < 40; i++)
        assert_near(h[0][i], h[1][i], 1e-12);
    for (int k = 0; k < 2; k++)
        program_end(&p[k]);
}

static void draws_inside_differ_from_step_to_step(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program = evaluated(&p,
                                           "model m(x[t: 6]) -> random (h[t], g[t]) {\n"
                                           "  b ~ normal(0, 1)\n"
                                           "  over t from h = 0, g = 0 {\n"
                                           "    a ~ normal(0, 1)\n"
                                           "    h[t] = h[t - 1] + a + 0 * x[t]\n"
                                           "    g[t] = g[t - 1] + b + 0 * x[t]\n  }\n}\n",
                                           2, &v);
    double *h = output_at(program, &v, "h"), *g = output_at(program, &v, "g");

    (void)state;
    for (int n = 0; n < 2; n++)
        for (int t = 1; t < 6; t++) {
            assert_near(g[n * 6 + t], (t + 1) * g[n * 6], 1e-12);
            assert_true(fabs(h[n * 6 + t] - (t + 1) * h[n * 6]) > 1e-3);
        }
    assert_true(g[0] != g[6]);
    program_end(&p);
}

static void subscripts_round_down_and_read_outside_elsewhere(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program =
        evaluated(&p, "model m(x[t: 23], s[k: 40]) -> y[k] { y[k] = (x[floor(s[k])] else -7) }\n", 1, &v);
    double *x = at(program, &v, "x"), *s = at(program, &v, "s"), *y = output_at(program, &v, "y");

    (void)state;
    for (int k = 0; k < 40; k++)
        s[k] = k < 30 ? k - 3 + 0.25 * (k % 4) : k == 30 ? NAN : k == 31 ? 1e9 : k == 32 ? -1e9 : 22.999;
    ir_evaluate(program, &v, run_one);
    for (int k = 0; k < 40; k++)
        assert_near(y[k], s[k] >= 0 && s[k] < 23 ? x[(int)s[k]] : -7, 1e-12);
    program_end(&p);
}

static void another_sample_is_read_by_its_number(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program =
        evaluated(&p, "model m(x[i: 2]) -> y[k: 3, i] { y[k: 3, i] = x[batch: 3 - k, i] ^ 2 }\n", 4, &v);
    double *x = at(program, &v, "x"), *y = output_at(program, &v, "y");

    (void)state;
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < 2; i++)
            assert_near(y[k * 2 + i], x[(3 - k) * 2 + i] * x[(3 - k) * 2 + i], 1e-12);
    program_end(&p);
}

static void equations_are_solved_and_factored(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program = evaluated(&p,
                                           "model m(x[i: 3], b[i]) -> (left[i], S[i, j: 3], made[i, j], place[i]) {\n"
                                           "  A[i, j: 3] = 3 * (i == j) + x[i] - x[j]\n"
                                           "  s[j] = solve[i; j](A[i, j], b[i])\n"
                                           "  left[i] = (sum[j] A[i, j] * s[j]) - b[i]\n"
                                           "  S[i, j] = 2 * (i == j) + x[i] * x[j]\n"
                                           "  C[i, j] = cholesky[i; j](S[i, j])\n"
                                           "  made[i, j] = sum[k: 3] C[i, k] * C[j, k]\n"
                                           "  place[i] = rank[i](-x[i])\n}\n",
                                           2, &v);
    double *x = at(program, &v, "x"), *place = output_at(program, &v, "place");

    (void)state;
    for (int i = 0; i < 6; i++)
        assert_near(output_at(program, &v, "left")[i], 0, 1e-12);
    for (int i = 0; i < 18; i++)
        assert_near(output_at(program, &v, "made")[i], output_at(program, &v, "S")[i], 1e-12);
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 3; i++) {
            int larger = 0;

            for (int j = 0; j < 3; j++)
                larger += x[n * 3 + j] > x[n * 3 + i];
            assert_true(place[n * 3 + i] == larger);
        }
    program_end(&p);
}

static void an_orthogonal_weight_is_one_matrix_for_each_other_axis(void **state)
{
    struct program p = program_of("data d { train { x = npy(\"x.npy\") } }\n"
                                  "model m(x[i: 6]) -> y {\n"
                                  "  param W[i, g: 2, o: 4] ~ orthogonal[i; o](3)\n"
                                  "  y = sum[i, g, o] x[i] * W[i, g, o]\n}\n"
                                  "rule plain(w[...], g[...]) { w <- w - g }\n"
                                  "train m on d { loss = y, batch = 2, steps = 1, optimizer = plain }\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->initial);
    double *W;

    (void)state;
    ir_evaluate(t->initial, &v, run_one);
    W = at(t->initial, &v, "m.W.init.value");
    for (int g = 0; g < 2; g++)
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < 4; b++) {
                double product = 0;

                for (int i = 0; i < 6; i++)
                    product += W[(i * 2 + g) * 4 + a] * W[(i * 2 + g) * 4 + b];
                assert_near(product, a == b ? 9 : 0, 1e-12);
            }
    program_end(&p);
}

/* 20,000 draws: a share's standard error is below 0.0036, so 0.02 is beyond 5 of them. */
static void categorical_draws_in_proportion(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program = evaluated(&p,
                                           "model m(x) -> random (a, b, c) {\n"
                                           "  w[k: 4] = k * (k - 2) ^ 2 * (1 + 0 * x)\n"
                                           "  a ~ categorical[k](w[k])\n"
                                           "  b ~ categorical[k](0 * w[k])\n"
                                           "  c ~ categorical[j: 4](1)\n}\n",
                                           20000, &v);
    static const double shares[3][4] = {{0, 0.25, 0, 0.75}, {0.25, 0.25, 0.25, 0.25}, {0.25, 0.25, 0.25, 0.25}};
    static const char *const names[] = {"a", "b", "c"};

    (void)state;
    for (int d = 0; d < 3; d++) {
        double count[4] = {0}, *drawn = output_at(program, &v, names[d]);

        for (int n = 0; n < 20000; n++)
            count[(int)drawn[n]]++;
        for (int k = 0; k < 4; k++)
            assert_true(shares[d][k] == 0 ? count[k] == 0 : fabs(count[k] / 20000 - shares[d][k]) < 0.02);
    }
    program_end(&p);
}

/* Means and variances of 20,000 draws, within 6 standard errors of the distributions'. */
static void events_are_counted_and_waited_for(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program = evaluated(&p,
                                           "model m(x) -> random (a, b, c) {\n"
                                           "  a ~ poisson(3.5)\n"
                                           "  b ~ poisson(0)\n"
                                           "  c ~ exponential(2)\n}\n",
                                           20000, &v);
    double *a = output_at(program, &v, "a"), *b = output_at(program, &v, "b"), *c = output_at(program, &v, "c");
    double mean = 0, square = 0, wait = 0, none = 0;

    (void)state;
    for (int n = 0; n < 20000; n++) {
        mean += a[n] / 20000;
        square += a[n] * a[n] / 20000;
        wait += c[n] / 20000;
        none += a[n] == 0;
        assert_true(b[n] == 0 && c[n] >= 0);
    }
    assert_true(fabs(mean - 3.5) < 6 * sqrt(3.5 / 20000));
    assert_true(fabs(square - mean * mean - 3.5) < 6 * sqrt((3.5 + 2 * 3.5 * 3.5) / 20000));
    assert_true(fabs(none / 20000 - exp(-3.5)) < 6 * sqrt(exp(-3.5) / 20000));
    assert_true(fabs(wait - 0.5) < 6 * 0.5 / sqrt(20000));
    program_end(&p);
}

static void a_lane_goes_on_where_it_ended(void **state)
{
    struct program p = program_of("data d { train { x = npy(\"x.npy\") } }\n"
                                  "model m(x[t: 3]) -> y {\n"
                                  "  param w = 1\n"
                                  "  state last[batch] = 10\n"
                                  "  over t from h = last { h[t] = 0.5 * h[t - 1] + w * x[t] }\n"
                                  "  last <- h[2]\n"
                                  "  y = sum[t] h[t]\n}\n"
                                  "rule none(w[...], g[...]) { w <- w - 0 * g }\n"
                                  "train m on d { loss = y, batch = 2, steps = 1, optimizer = none }\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);
    double *x, *last, expected[2] = {10, 10};

    (void)state;
    fill(&p, t->step, &v);
    x = at(t->step, &v, "x"), last = at(t->step, &v, "m.last");
    last[0] = last[1] = 10;
    at(t->step, &v, "m.w")[0] = 1;
    for (int step = 1; step < 4; step++) {
        ir_evaluate(t->step, &v, run_one);
        for (int n = 0; n < 2; n++) {
            for (int k = 0; k < 3; k++)
                expected[n] = 0.5 * expected[n] + x[n * 3 + k];
            assert_near(last[n], expected[n], 1e-12);
        }
    }
    program_end(&p);
}

/* An outer recurrence backwards, two inner ones of different lengths and directions, reads of other places than the last. */
static void recurrences_inside_of_one_are_made_for_each_of_its_steps(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program = evaluated(&p,
                                           "model m(x[t: 3, s: 4]) -> (H[t], G[t, s], n[t]) {\n"
                                           "  over t from H = 0.2, n = 1 {\n"
                                           "    over s from g = H[t + 1] { g[s] = tanh(0.7 * g[s - 1] + x[t, s]) }\n"
                                           "    q = (sum[s] s * g[s]) / 5\n"
                                           "    over k: 2 from b = q { b[k] = b[k + 1] * g[k + 1] + x[t, k + 0] / n[t + 1] }\n"
                                           "    n[t] = (n[t + 1] + (argmax[s] g[s])) % 3 + 1\n"
                                           "    G[t, s] = g[s]\n"
                                           "    H[t] = log(0.5 + b[0]^2 + g[1]^2)\n  }\n}\n",
                                           2, &v);
    const double *x = at(program, &v, "x"), *H = output_at(program, &v, "H"), *G = output_at(program, &v, "G");
    const double *n = output_at(program, &v, "n");

    (void)state;
    for (int sample = 0; sample < 2; sample++) {
        double h = 0.2, count = 1;

        for (int t = 2; t >= 0; t--) {
            const double *row = x + (sample * 3 + t) * 4;
            double g[4], b = 0;
            int most = 0;

            for (int s = 0; s < 4; s++) {
                g[s] = tanh(0.7 * (s ? g[s - 1] : h) + row[s]);
                b += s * g[s] / 5;
                most = g[s] > g[most] ? s : most;
                assert_near(G[(sample * 3 + t) * 4 + s], g[s], 1e-12);
            }
            for (int k = 1; k >= 0; k--)
                b = b * g[k + 1] + row[k] / count;
            count = fmod(count + most, 3) + 1;
            h = log(0.5 + b * b + g[1] * g[1]);
            assert_near(n[sample * 3 + t], count, 0);
            assert_near(H[sample * 3 + t], h, 1e-12);
        }
    }
    program_end(&p);
}

static void three_recurrences_stand_inside_of_each_other(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *program = evaluated(&p,
                                           "model m(x[t: 3, s: 2]) -> (H[t], Z[t, s, k: 3]) {\n"
                                           "  over t from H = 0.2 {\n"
                                           "    over s from G = H[t - 1] {\n"
                                           "      over k: 3 from z = G[s + 1] { z[k] = sin(2 * z[k - 1] + x[t, s]) }\n"
                                           "      zs[s, k: 3] = z[k]\n"
                                           "      G[s] = z[2] + z[0] / 3\n    }\n"
                                           "    Z[t, s, k: 3] = zs[s, k]\n"
                                           "    H[t] = G[0] * x[t, 0]\n  }\n}\n",
                                           2, &v);
    const double *x = at(program, &v, "x"), *H = output_at(program, &v, "H"), *Z = output_at(program, &v, "Z");

    (void)state;
    for (int sample = 0; sample < 2; sample++) {
        double h = 0.2;

        for (int t = 0; t < 3; t++) {
            for (int s = 1; s >= 0; s--) {
                double first = 0;

                for (int k = 0; k < 3; k++) {
                    h = sin(2 * h + x[(sample * 3 + t) * 2 + s]);
                    first = k ? first : h;
                    assert_near(Z[((sample * 3 + t) * 2 + s) * 3 + k], h, 1e-12);
                }
                h += first / 3;
            }
            h *= x[(sample * 3 + t) * 2];
            assert_near(H[sample * 3 + t], h, 1e-12);
        }
    }
    program_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recurrence_runs_in_the_direction_it_reads),
        cmocka_unit_test(what_is_carried_becomes_what_its_step_makes_of_it),
        cmocka_unit_test(a_cell_of_a_layer_equals_its_equations),
        cmocka_unit_test(draws_inside_differ_from_step_to_step),
        cmocka_unit_test(subscripts_round_down_and_read_outside_elsewhere),
        cmocka_unit_test(another_sample_is_read_by_its_number),
        cmocka_unit_test(equations_are_solved_and_factored),
        cmocka_unit_test(an_orthogonal_weight_is_one_matrix_for_each_other_axis),
        cmocka_unit_test(categorical_draws_in_proportion),
        cmocka_unit_test(events_are_counted_and_waited_for),
        cmocka_unit_test(a_lane_goes_on_where_it_ended),
        cmocka_unit_test(recurrences_inside_of_one_are_made_for_each_of_its_steps),
        cmocka_unit_test(three_recurrences_stand_inside_of_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
