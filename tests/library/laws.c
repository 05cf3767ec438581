/* laws.c: what the layers of the library are known for: which changes of weights and data a normaliser does not see (Ba
   et al. 2016, table 1), and identities between layers. The reference evaluator computes in double; a law that holds is
   held to 1e-10, relative to 1 + the number: sums of a few hundred terms and quotients by variances of order 1. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "program.h"

enum { CASES = 8, IN = 6, OUT = 5 };
static const struct ir_run run_one = {.seed = 7, .position = 0, .step = 1};
static const double law = 1e-10;

/* Numbers in (-1, 1) without a pattern, the same in every run. */
static void scatter(double *at, int64_t count, int seed)
{
    for (int64_t k = 0; k < count; k++) {
        double wild = sin(12.9898 * (double)(k + 1) + 78.233 * seed) * 43758.5453;

        at[k] = 2 * (wild - floor(wild)) - 1;
    }
}

static void scatter_all(const struct ir_program *program, struct ir_values *values)
{
    for (int i = 0; i < program->tensors.count; i++) {
        const struct ir_tensor *t = program->tensors.at[i];

        if ((t->kind == IR_INPUT || t->kind == IR_PARAMETER) && !t->whole)
            scatter(values->at[i], ir_elements(t), (int)hash_bytes(t->name, strlen(t->name), 0) & 1023);
    }
}

/* ---- invariances ---- */

enum change { NONE, ALL_WEIGHTS, SHIFTED_WEIGHTS, ONE_UNIT, ALL_DATA, SHIFTED_DATA, ONE_CASE };
static const char *const change_names[] = {"nothing",
                                           "all weights times 3",
                                           "one vector added to each unit's weights",
                                           "one unit's weights times 3",
                                           "all data times 3",
                                           "one vector added to all data",
                                           "one case times 3"};

/* The weights are [IN, OUT], the data [CASES, IN]. */
static void apply_change(enum change change, double *weights, double *data)
{
    for (int i = 0; i < IN; i++)
        for (int o = 0; o < OUT; o++) {
            if (change == ALL_WEIGHTS || (change == ONE_UNIT && o == 2))
                weights[i * OUT + o] *= 3;
            if (change == SHIFTED_WEIGHTS)
                weights[i * OUT + o] += cos(1.7 * i);
        }
    for (int n = 0; n < CASES; n++)
        for (int i = 0; i < IN; i++) {
            if (change == ALL_DATA || (change == ONE_CASE && n == 3))
                data[n * IN + i] *= 3;
            if (change == SHIFTED_DATA)
                data[n * IN + i] += cos(2.3 * i);
        }
}

/* The training loss against fixed targets, of a net that ends in what is normalised. */
static double loss_after(const char *net, const char *weights, enum change change)
{
    char text[600];
    struct program p;
    struct training *t;
    struct ir_values v;
    double loss;

    snprintf(text, sizeof text,
             "use std\ndata d in \"none\" { train { x = npy(\"x.npy\"), t = npy(\"t.npy\") } }\n"
             "model net(x[i: 6], t[o: 5]) -> y[o] { y = x |> %s }\n"
             "train net on d {\n  loss = half_square(y, t)\n  optimizer = gd(rate = 0.1)\n  batch = 8, steps = 1\n}\n",
             net);
    p = program_of(text);
    t = training_of(&p);
    v = ir_values_new(p.arena, t->objective);
    scatter_all(t->objective, &v);
    apply_change(change, at(t->objective, &v, weights), at(t->objective, &v, "x"));
    ir_evaluate(t->objective, &v, run_one);
    loss = output_at(t->objective, &v, "objective")[0];
    program_end(&p);
    return loss;
}

static const struct invariances {
    const char *net, *weights;
    int invariant[6]; /* under the changes, in order */
} table[] = {
    {"linear(5) |> batch_norm(eps = 0)", "net.linear_1.W", {1, 0, 1, 1, 1, 0}},
    {"weight_norm_dense(5)", "net.weight_norm_dense_1.v", {1, 0, 1, 0, 0, 0}},
    {"linear(5) |> layer_norm(eps = 0)", "net.linear_1.W", {1, 1, 0, 1, 0, 1}},
    /* Normalising what goes in gives no invariance of the weights, and the data keep theirs. */
    {"batch_norm(eps = 0) |> linear(5)", "net.linear_1.W", {0, 0, 0, 1, 1, 0}},
    {"layer_norm(eps = 0) |> linear(5)", "net.linear_1.W", {0, 0, 0, 1, 0, 1}},
};

static void a_normaliser_sees_and_does_not_see(void **state)
{
    const struct invariances *row = *state;
    double base = loss_after(row->net, row->weights, NONE);

    for (enum change change = ALL_WEIGHTS; change <= ONE_CASE; change++) {
        double difference = fabs(loss_after(row->net, row->weights, change) - base) / (1 + base);

        if (row->invariant[change - 1] ? !(difference <= law) : !(difference > 1e-3))
            fail_msg("%s: with %s the loss changes by %.3g", row->net, change_names[change], difference);
    }
}

/* W' = 3 W + 1 gamma': a' = 3 a + gamma'x, mu' = 3 mu + gamma'x, sigma' = 3 sigma, for every case. */
static void layer_statistics_follow_the_weights(void **state)
{
    struct program p = program_of("use std\nmodel m(x[i: 6], W[i, o: 5], g[i]) -> (a[o], b[o], mu, nu, s, r, shift) {\n"
                                  "  a[o] = sum[i] x[i] * W[i, o]\n  b[o] = sum[i] x[i] * (3 * W[i, o] + g[i])\n"
                                  "  mu = mean[o] a[o]\n  nu = mean[o] b[o]\n  s = sqrt(a |> variance)\n"
                                  "  r = sqrt(b |> variance)\n  shift = sum[i] g[i] * x[i]\n}\n");
    struct ir_program *program = prediction_of(&p, "m", CASES);
    struct ir_values v = ir_values_new(p.arena, program);

    (void)state;
    scatter_all(program, &v);
    ir_evaluate(program, &v, run_one);
    for (int n = 0; n < CASES; n++) {
        double shift = output_at(program, &v, "shift")[n];

        for (int o = 0; o < OUT; o++)
            assert_near(output_at(program, &v, "b")[n * OUT + o], 3 * output_at(program, &v, "a")[n * OUT + o] + shift,
                        law);
        assert_near(output_at(program, &v, "nu")[n], 3 * output_at(program, &v, "mu")[n] + shift, law);
        assert_near(output_at(program, &v, "r")[n], 3 * output_at(program, &v, "s")[n], law);
    }
    program_end(&p);
}

/* ---- identities: two outputs, a and b, that are the same numbers ---- */

static const struct identity {
    const char *name, *text;
} identities[] = {
    {"one group is layer norm", "model m(x[h: 3, w: 3, c: 6]) -> (a[h, w, c], b[h, w, c]) {\n"
                                "  a = x |> group_norm(1)\n  b = x |> layer_norm_all\n}\n"},
    {"one channel a group is instance norm", "model m(x[h: 3, w: 3, c: 6]) -> (a[h, w, c], b[h, w, c]) {\n"
                                             "  a = x |> group_norm(6)\n  b = x |> instance_norm\n}\n"},
    {"over the last axis alone layer norm is layer norm over all",
     "model m(x[c: 6]) -> (a[c], b[c]) {\n"
     "  a = x |> layer_norm\n  b = x |> layer_norm_all\n}\n"},
    /* Hinton et al. 2012: the weighted geometric mean over all masks, renormalised, is the softmax of the scaled net; p
       = 0.3. */
    {"dropout's average is exact for one layer",
     "model m(x[i: 8]) -> (a[k: 5], b[k]) {\n"
     "  f = |> dense(5)\n  bit[m: 2^8, i] = m // 2^i % 2\n"
     "  share[m] = prod[i] (if bit[m, i] == 1 then 0.3 else 0.7)\n  kept[m, i] = bit[m, i] * x[i]\n"
     "  z[m] = f(kept[m])\n  l[m, k] = log_softmax[k](z[m, k])\n"
     "  g[k] = sum[m] share[m] * l[m, k]\n  a[k] = softmax[k](g[k])\n  b = x |> dropout_unscaled(0.3) |> f |> "
     "softmax\n}\n"},
};

static void both_are_the_same(void **state)
{
    const struct identity *identity = *state;
    char text[1500];
    struct program p;
    struct ir_program *program;
    struct ir_values v;
    int64_t count;

    snprintf(text, sizeof text, "use std\n%s", identity->text);
    p = program_of(text);
    program = prediction_of(&p, "m", 4);
    v = ir_values_new(p.arena, program);
    scatter_all(program, &v);
    for (int i = 0; i < program->tensors.count; i++) { /* gains and biases of both alike */
        const struct ir_tensor *t = program->tensors.at[i];
        const char *last = strrchr(t->name, '.');

        if (t->kind == IR_PARAMETER && last && (!strcmp(last, ".gain") || !strcmp(last, ".bias")))
            scatter(v.at[i], ir_elements(t), last[1]);
    }
    ir_evaluate(program, &v, run_one);
    count = ir_elements(output(program, "a"));
    assert_int_equal(count, ir_elements(output(program, "b")));
    for (int64_t k = 0; k < count; k++)
        assert_near(output_at(program, &v, "a")[k], output_at(program, &v, "b")[k], law);
    program_end(&p);
}

/* With z = 1 a GRU copies its state, with r = z = 0 it forgets it: sigmoid(+-1000) is 1 and 0 in doubles. */
static void a_gated_unit_copies_and_forgets(void **state)
{
    struct program p = program_of("use std\nmodel m(x[i: 3], h[u: 4], k[u]) -> (a[u], b[u]) {\n  f = |> gru_cell\n"
                                  "  a = f(x, h)\n  b = f(x, k)\n}\n");
    struct ir_program *program = prediction_of(&p, "m", CASES);
    struct ir_values v = ir_values_new(p.arena, program);
    double *h = at(program, &v, "h"), *k = at(program, &v, "k"), *bias = at(program, &v, "m.f.b");

    (void)state;
    scatter_all(program, &v);
    for (int u = 0; u < 4; u++)
        bias[4 + u] = 1000;
    ir_evaluate(program, &v, run_one);
    for (int u = 0; u < CASES * 4; u++)
        assert_true(output_at(program, &v, "a")[u] == h[u] && output_at(program, &v, "b")[u] == k[u]);
    for (int u = 0; u < 8; u++)
        bias[u] = -1000;
    ir_evaluate(program, &v, run_one);
    for (int u = 0; u < CASES * 4; u++) {
        assert_true(fabs(output_at(program, &v, "a")[u] - h[u]) > 1e-6);
        assert_near(output_at(program, &v, "a")[u], output_at(program, &v, "b")[u], law);
    }
    program_end(&p);
}

/* Santurkar et al. 2018, theorem 4.1, where it is an equation: of y_hat = (y - mean) / s and z = gain y_hat,
   |dL/dy|^2 = gain^2 / s^2 (|g|^2 - <1, g>^2 / m - <g, y_hat>^2 / m), g = dL/dz, over a batch of m. */
static void the_gradient_before_a_batch_norm_meets_its_bound(void **state)
{
    struct program p = program_of("use std\nmodel m(y[n: 12], c[n]) -> (left, right) {\n"
                                  "  hat = standardize(y, 0)\n  z[n] = 1.7 * hat[n]\n"
                                  "  L = sum[n] (c[n] * z[n] + sin(2 * z[n]))\n  g = grad(L, z)\n  d = grad(L, y)\n"
                                  "  left = sum[n] d[n]^2\n"
                                  "  right = 1.7^2 / variance(y) * ((sum[n] g[n]^2) - (sum[n] g[n])^2 / 12\n"
                                  "          - (sum[n] g[n] * hat[n])^2 / 12)\n}\n");
    struct ir_program *program = prediction_of(&p, "m", CASES);
    struct ir_values v = ir_values_new(p.arena, program);

    (void)state;
    scatter_all(program, &v);
    ir_evaluate(program, &v, run_one);
    for (int n = 0; n < CASES; n++) {
        assert_true(output_at(program, &v, "left")[n] > 1);
        assert_near(output_at(program, &v, "left")[n], output_at(program, &v, "right")[n], law);
    }
    program_end(&p);
}

/* Bouthillier et al. 2015: x* such that the clean net gives what the noisy one gave of x. Where nothing is dropped it
   is x; where something is, descent moves. */
static void without_noise_the_projection_is_the_input(void **state)
{
    for (int noisy = 0; noisy <= 1; noisy++) {
        char text[900];
        struct program p;
        struct ir_program *program;
        struct ir_values v;
        double moved = 0;

        snprintf(text, sizeof text,
                 "use std\nmodel net(x[i: 6]) -> a[u: 5] { a = x |> dense(5) |> sigmoid |> dropout(%g) }\n"
                 "model m(x[i: 6]) -> random y[i] {\n  a = net(x, training = true)\n  over k: 10 from s[i] = x[i] {\n"
                 "    r = s[k - 1]\n    c = net(r, training = false)\n    e = half_square(c, a)\n"
                 "    g = grad(e, r)\n    s[k, i] = r[i] - 0.1 * g[i]\n  }\n  y = s |> last\n}\n",
                 noisy ? 0.5 : 0.0);
        p = program_of(text);
        program = prediction_of(&p, "m", CASES);
        v = ir_values_new(p.arena, program);
        scatter_all(program, &v);
        ir_evaluate(program, &v, run_one);
        for (int k = 0; k < CASES * IN; k++)
            moved = fmax(moved, fabs(output_at(program, &v, "y")[k] - at(program, &v, "x")[k]));
        if (noisy ? !(moved > 1e-3) : moved != 0)
            fail_msg("with%s noise the input moves by %g", noisy ? "" : "out", moved);
        program_end(&p);
    }
    (void)state;
}

/* ---- metrics ---- */

static void metrics_count_as_their_names_say(void **state)
{
    struct program p = program_of("use std\nmodel m(z[k: 7], label in 7, x[i: 9], y[i]) -> (a, t, r) {\n"
                                  "  a = accuracy(z, label)\n  t = top(z, label, count = 3)\n  r = correlation(x, y)\n}\n");
    struct ir_program *program = prediction_of(&p, "m", 30);
    struct ir_values v = ir_values_new(p.arena, program);
    double *z = at(program, &v, "z"), *label = at(program, &v, "label"), *x = at(program, &v, "x"), *y = at(program, &v, "y");

    (void)state;
    fill(&p, program, &v);
    scatter_all(program, &v);
    ir_evaluate(program, &v, run_one);
    for (int n = 0; n < 30; n++) {
        int larger = 0;
        double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;

        for (int k = 0; k < 7; k++)
            larger += z[n * 7 + k] > z[n * 7 + (int)label[n]];
        assert_true(output_at(program, &v, "a")[n] == (larger == 0));
        assert_true(output_at(program, &v, "t")[n] == (larger < 3));
        for (int i = 0; i < 9; i++)
            mx += x[n * 9 + i] / 9, my += y[n * 9 + i] / 9;
        for (int i = 0; i < 9; i++) {
            xx += (x[n * 9 + i] - mx) * (x[n * 9 + i] - mx);
            yy += (y[n * 9 + i] - my) * (y[n * 9 + i] - my);
            xy += (x[n * 9 + i] - mx) * (y[n * 9 + i] - my);
        }
        /* standardize adds 1e-5 to variances of 1/3 and less */
        assert_near(output_at(program, &v, "r")[n], xy / sqrt(xx * yy), 1e-4);
    }
    program_end(&p);
}

#define INVARIANCE(row) {table[row].net, a_normaliser_sees_and_does_not_see, NULL, NULL, (void *)&table[row]}
#define IDENTITY(row) {identities[row].name, both_are_the_same, NULL, NULL, (void *)&identities[row]}

int main(void)
{
    const struct CMUnitTest tests[] = {
        INVARIANCE(0),
        INVARIANCE(1),
        INVARIANCE(2),
        INVARIANCE(3),
        INVARIANCE(4),
        cmocka_unit_test(layer_statistics_follow_the_weights),
        IDENTITY(0),
        IDENTITY(1),
        IDENTITY(2),
        IDENTITY(3),
        cmocka_unit_test(a_gated_unit_copies_and_forgets),
        cmocka_unit_test(the_gradient_before_a_batch_norm_meets_its_bound),
        cmocka_unit_test(without_noise_the_projection_is_the_input),
        cmocka_unit_test(metrics_count_as_their_names_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
