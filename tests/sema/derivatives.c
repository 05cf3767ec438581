/* derivatives.c: `grad` in models, and what rules ask of the model at other parameters, against closed forms. The
   evaluator computes in double; 1e-12 (mixed absolute and relative) is rounding of a few dozen terms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "program.h"

static const struct ir_run run_one = {.seed = 7, .position = 0, .step = 1};

/* The model m of the text, evaluated over `batch` samples with the values of fill. */
static struct ir_program *evaluated(struct program *p, const char *text, int64_t batch, struct ir_values *v)
{
    struct ir_program *m;

    *p = program_of(text);
    m = prediction_of(p, "m", batch);
    *v = ir_values_new(p->arena, m);
    fill(p, m, v);
    ir_evaluate(m, v, run_one);
    return m;
}

static void gradients_of_single_samples_and_their_fisher_block(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "model m(x[i: 3]) -> random (s[i], F[i, j: 3]) {\n param w[i] ~ normal(0, 1)\n"
                                     " eta = sum[i] x[i] * w[i]\n t ~ bernoulli(stop(sigmoid(eta)))\n"
                                     " nll = softplus(eta) - t * eta\n s = grad(nll, w)\n"
                                     " F[i, j] = mean[batch] s[i] * s[j]\n}\n",
                                     5, &v);
    const double *x = at(m, &v, "x"), *w = at(m, &v, "m.w"), *t = at(m, &v, "m.t.value");
    double F[3][3] = {{0}};

    (void)state;
    assert_int_equal(output(m, "s")->rank, 2);
    for (int n = 0; n < 5; n++) {
        double eta = 0, s[3];

        for (int i = 0; i < 3; i++)
            eta += x[3 * n + i] * w[i];
        for (int i = 0; i < 3; i++) {
            s[i] = (1 / (1 + exp(-eta)) - t[n]) * x[3 * n + i];
            assert_near(output_at(m, &v, "s")[3 * n + i], s[i], 1e-12);
        }
        for (int i = 0; i < 9; i++)
            F[i / 3][i % 3] += s[i / 3] * s[i % 3] / 5;
    }
    for (int i = 0; i < 9; i++)
        assert_near(output_at(m, &v, "F")[i], F[i / 3][i % 3], 1e-12);
    program_end(&p);
}

/* Two names of equal values are two values: what is added to one is not added to the other. Nor need a value change
   with anything to be differentiated by; in an `over` it is made at each step. */
static void gradients_are_by_one_name(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "layer product(a, b) -> g {\n e = a * b^2\n g = grad(e, a)\n}\n"
                                     "model m(x[i: 3]) -> (g[i], c[i], d[i], k[o: 2, n: 4], s[i]) {\n"
                                     " r = x[0]^2\n q = x[0]^2\n e = r * q\n slope = grad(e, r)\n"
                                     " g[i] = slope + 0 * x[i]\n"
                                     " u[i: 3] = 0.5\n E = sum[i] u[i]^3 * x[i]\n c = grad(E, u)\n"
                                     " d[i] = product(2 * x[0], 2 * x[0]) + 0 * x[i]\n"
                                     " over o: 2 from h = 0 {\n  z[n: 4] = tanh(h[o - 1] * 0 + 0.1)\n"
                                     "  y[n] = x[n % 3]\n"
                                     "  f = sum[n] z[n]^2 * y[n] + h[o - 1]\n  k[o] = grad(f, z)\n"
                                     "  by = grad(f, y)\n  h[o] = h[o - 1] + 0 * by[0]\n }\n"
                                     " over t: 1 from l[i: 3] = 0.3 {\n  w[i] = 2 * l[t + 1, i]\n"
                                     "  F = sum[i] w[i]^3\n  by_w = grad(F, w)\n"
                                     "  l[t, i] = l[t + 1, i] + by_w[i]\n }\n s[i] = l[0, i] + 0 * x[i]\n}\n",
                                     2, &v);
    const double *x = at(m, &v, "x"), z = tanh(0.1);

    (void)state;
    for (int n = 0; n < 2; n++) {
        assert_near(output_at(m, &v, "g")[3 * n], x[3 * n] * x[3 * n], 1e-12);
        assert_near(output_at(m, &v, "d")[3 * n], 4 * x[3 * n] * x[3 * n], 1e-12);
        for (int i = 0; i < 3; i++) {
            assert_near(output_at(m, &v, "c")[3 * n + i], 0.75 * x[3 * n + i], 1e-12);
            assert_near(output_at(m, &v, "s")[3 * n + i], 0.3 + 3 * 0.36, 1e-12);
        }
        for (int i = 0; i < 8; i++)
            assert_near(output_at(m, &v, "k")[8 * n + i], 2 * z * x[3 * n + i % 4 % 3], 1e-12);
    }
    program_end(&p);
}

static void products_with_the_hessian_and_its_rows(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "model m(x[i: 3], t) -> (Hv[i], H[i, j: 3]) {\n param w[i] ~ normal(0, 1)\n"
                                     " v[i] = i + 1\n eta = sum[i] x[i] * w[i]\n"
                                     " loss = mean[batch] (softplus(eta) - t * eta)\n g = grad(loss, w)\n"
                                     " along = sum[i] g[i] * v[i]\n Hv = grad(along, w)\n H[i] = grad(g[i], w)\n}\n",
                                     4, &v);
    const double *x = at(m, &v, "x"), *w = at(m, &v, "m.w");

    (void)state;
    for (int i = 0; i < 3; i++) {
        double product = 0;

        for (int j = 0; j < 3; j++) {
            double h = 0;

            for (int n = 0; n < 4; n++) {
                double q = 1 / (1 + exp(-x[3 * n] * w[0] - x[3 * n + 1] * w[1] - x[3 * n + 2] * w[2]));

                h += q * (1 - q) * x[3 * n + i] * x[3 * n + j] / 4;
            }
            assert_near(output_at(m, &v, "H")[3 * i + j], h, 1e-12);
            product += h * (j + 1);
        }
        assert_near(output_at(m, &v, "Hv")[i], product, 1e-12);
    }
    program_end(&p);
}

static void a_jacobian_and_its_diagonal(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(
        &p,
        "model m(x[i: 3]) -> (J[k: 2, i], own[k, i], zero[i]) {\n y[k: 2] = sum[i] (k + 1) * x[i]^2 * x[0]\n"
        " J[k] = grad(y[k], x)\n z[k: 2, i] = (k + 2) * x[i]\n total[k] = (sum[i] z[k, i]^2) + sum[j: 2] z[j, 0]\n"
        " row[k, i] = z[k, i]\n own[k, i] = 2 * z[k, i]\n zero = grad(stop(y[0]), x)\n}\n",
        2, &v);
    const double *x = at(m, &v, "x");

    (void)state;
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 3; i++) {
                double squares = 0, a = x[3 * n];

                for (int j = 0; j < 3; j++)
                    squares += x[3 * n + j] * x[3 * n + j];
                assert_near(output_at(m, &v, "J")[(n * 2 + k) * 3 + i],
                            (k + 1) * (2 * x[3 * n + i] * a + (i == 0 ? squares : 0)), 1e-12);
                assert_near(output_at(m, &v, "zero")[n * 3 * (output(m, "zero")->rank > 1) + i], 0, 0);
            }
    program_end(&p);
}

/* What a place that is computed reads is put back there, sample by sample, and that has a gradient too. */
static void twice_through_a_computed_place(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "model m(x[i: 3]) -> h[i] {\n c = argmax[i] x[i]\n e = x[c]^3 + x[0]^2\n"
                                     " g = grad(e, x)\n f = 0.5 * (sum[i] g[i]^2)\n h = grad(f, x)\n}\n",
                                     4, &v);
    const double *x = at(m, &v, "x");

    (void)state;
    for (int n = 0; n < 4; n++) {
        const double *own = &x[3 * n];
        int c = own[1] > own[0];

        c = own[2] > own[c] ? 2 : c;
        for (int i = 0; i < 3; i++) {
            double g = (i == c ? 3 * own[i] * own[i] : 0) + (i == 0 ? 2 * own[i] : 0);

            assert_near(output_at(m, &v, "h")[3 * n + i], g * ((i == c ? 6 * own[i] : 0) + (i == 0 ? 2 : 0)), 1e-12);
        }
    }
    program_end(&p);
}

/* Mapped over k: each value of k has an x and an e of its own, coupled by a sum over k. */
static void of_an_index_that_both_have_the_diagonal_is_taken(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "layer slope(x[i]) -> d[i] { e = sum[i] x[i]^3\n d = grad(e, x) }\n"
                                     "model m(x[i: 3]) -> d[k: 2, i] {\n y[k: 2, i] = (k + 1) * x[i]\n"
                                     " d[k] = slope(y[k])\n}\n",
                                     2, &v);
    const double *x = at(m, &v, "x");

    (void)state;
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < 3; i++)
                assert_near(output_at(m, &v, "d")[(n * 2 + k) * 3 + i], 3 * pow((k + 1) * x[3 * n + i], 2), 1e-12);
    program_end(&p);
}

/* y moves to x by (1 - 2 rate) a step. */
static void descent_on_an_input_inside_over(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "model m(x[i: 3]) -> (last[i], fall) {\n over k: 20 from y[i] = 1 {\n"
                                     "  s = y[k-1]\n  e = sum[i] (s[i] - x[i])^2\n  y[k] = s - 0.1 * grad(e, s)\n"
                                     "  distance[k] = e\n }\n last[i] = y[19, i]\n"
                                     " fall = distance[19] / distance[0]\n}\n",
                                     2, &v);
    const double *x = at(m, &v, "x");

    (void)state;
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < 3; i++)
            assert_near(output_at(m, &v, "last")[3 * n + i], x[3 * n + i] + (1 - x[3 * n + i]) * pow(0.8, 20), 1e-12);
        assert_near(output_at(m, &v, "fall")[n], pow(0.8, 38), 1e-12);
    }
    program_end(&p);
}

static void inside_repeat(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "layer down(x[i]) -> y[i] { e = sum[i] (x[i] - 1)^2\n y = x - 0.25 * grad(e, x) }\n"
                                     "model m(x[i: 3]) -> y[i] { y = x |> repeat 3 { |> down } }\n",
                                     2, &v);

    (void)state;
    for (int i = 0; i < 6; i++)
        assert_near(output_at(m, &v, "y")[i], 1 + (at(m, &v, "x")[i] - 1) / 8, 1e-12);
    program_end(&p);
}

static void the_gradient_of_what_weight_norm_scales_is_orthogonal_to_it(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "use std\nmodel m(x[i: 6]) -> (dot, size_of_gradient) {\n"
                                     " param v[i] ~ normal(0, 1), g = 2\n"
                                     " y = sum[i] x[i] * g * v[i] / norm[i](v[i])\n e = y^2\n dv = grad(e, v)\n"
                                     " dot = sum[i] v[i] * dv[i]\n size_of_gradient = norm(dv)\n}\n",
                                     3, &v);

    (void)state;
    for (int n = 0; n < 3; n++) {
        assert_near(output_at(m, &v, "dot")[n], 0, 1e-12);
        assert_true(output_at(m, &v, "size_of_gradient")[n] > 0.01);
    }
    program_end(&p);
}

/* The six equations of Ioffe & Szegedy 2015, and the bound of Santurkar et al. 2018 at equality. */
static void batch_normalisation_backwards_by_hand(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(
        &p,
        "model m(x[i: 5], gs[i]) -> (by_hand, apart, gap, sized) {\n gain[i] = 1.5 + i / 10\n m = size(batch)\n"
        " mu[i] = mean[batch] x[i]\n var[i] = mean[batch] (x[i] - mu[i])^2\n xhat[i] = (x[i] - mu[i]) / sqrt(var[i])\n"
        " y[i] = gain[i] * xhat[i] + 0.5\n l = sum[i] gs[i] * y[i]\n total = sum[batch] l\n dx = grad(total, x)\n"
        " dxhat[i] = gs[i] * gain[i]\n dvar[i] = sum[batch] dxhat[i] * (x[i] - mu[i]) * -0.5 * var[i]^-1.5\n"
        " zero[i] = dvar[i] * mean[batch] -2 * (x[i] - mu[i])\n"
        " dmu[i] = (sum[batch] -dxhat[i] / sqrt(var[i])) + zero[i]\n"
        " hand[i] = dxhat[i] / sqrt(var[i]) + dvar[i] * 2 * (x[i] - mu[i]) / m + dmu[i] / m\n"
        " by_hand = max[batch, i] abs(dx[i] - hand[i])\n sized = max[batch, i] abs(dx[i])\n"
        " left[i] = sum[batch] dx[i]^2\n"
        " right[i] = gain[i]^2 / var[i] * ((sum[batch] gs[i]^2) - (sum[batch] gs[i])^2 / m\n"
        "            - (sum[batch] gs[i] * xhat[i])^2 / m)\n"
        " gap = max[i] abs(left[i] - right[i])\n apart = max[i] left[i]\n}\n",
        16, &v);

    (void)state;
    assert_true(output_at(m, &v, "sized")[0] > 0.1);
    assert_near(output_at(m, &v, "by_hand")[0], 0, 1e-12);
    assert_near(output_at(m, &v, "gap")[0], 0, 1e-11);
    assert_true(output_at(m, &v, "apart")[0] > 0.1);
    program_end(&p);
}

/* ---- rules ---- */

#define DATA "data d { train { x = npy(\"x.npy\") } }\n"

/* f = sum_i c_i w_i^2, c = 1, 2, 3: everything is known. */
#define BOWL                                                                                                           \
    "use std\n" DATA "model m(x[i: 3]) -> f { param w[i] ~ normal(0, 1)\n f = (sum[i] (i + 1) * w[i]^2) + 0 * sum[i] x[i] }\n"

static void a_probe_logs_what_a_step_would_gain(void **state)
{
    struct program p = program_of(BOWL "rule gains(w[...], g[...]; L) -> (gain[k: 5], bound, own[...]) {\n"
                                       " gain[k] = objective(w) - objective(w - (k + 1) / L * g)\n"
                                       " bound = norm(all g)^2\n own = w + g\n}\n"
                                       "train m on d { loss = f\n optimizer = gd(rate = 0.1)\n probe = gains(20)\n"
                                       " batch = 2, steps = 3\n stop = norm(grads) < 1e-3\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step), q = ir_values_new(p.arena, t->probe);
    double w[3], g[3], square = 0, before = 0;

    (void)state;
    assert_null(ir_verify(t->probe));
    fill(&p, t->step, &v);
    fill(&p, t->probe, &q);
    for (int i = 0; i < 3; i++) {
        w[i] = at(t->step, &v, "m.w")[i];
        g[i] = 2 * (i + 1) * w[i];
        square += g[i] * g[i];
        before += (i + 1) * w[i] * w[i];
    }
    ir_evaluate(t->step, &v, run_one);
    ir_evaluate(t->probe, &q, run_one);
    assert_near(output_at(t->step, &v, "probe.gains.bound")[0], square, 1e-12);
    assert_near(output_at(t->step, &v, "stop")[0], 0, 0);
    for (int k = 0; k < 5; k++) {
        double after = 0;

        for (int i = 0; i < 3; i++)
            after += (i + 1) * pow(w[i] - (k + 1) / 20.0 * g[i], 2);
        assert_near(output_at(t->probe, &q, "probe.gains.gain")[k], before - after, 1e-12);
    }
    for (int i = 0; i < 3; i++)
        assert_near(output_at(t->probe, &q, "probe.gains.own.m.w")[i], w[i] + g[i], 1e-12);
    program_end(&p);
}

/* The gradient at w + radius g / |g|, as Foret et al. 2021; mapped over two radii, their mean. */
static void a_gradient_at_mapped_parameters(void **state)
{
    struct program p = program_of(BOWL "rule around(w[...], g[...]) {\n size_of = norm(all g)\n"
                                       " h[k: 2] = gradient(w + (k + 1) / 10 * g / size_of)\n"
                                       " g[...] <- mean[k] h[k, ...]\n}\n"
                                       "train m on d { loss = f\n gradient = around()\n optimizer = gd(rate = 0.1)\n"
                                       " batch = 2, steps = 3\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);
    double w[3], g[3], size = 0;

    (void)state;
    fill(&p, t->step, &v);
    for (int i = 0; i < 3; i++) {
        w[i] = at(t->step, &v, "m.w")[i];
        g[i] = 2 * (i + 1) * w[i];
        size += g[i] * g[i];
    }
    ir_evaluate(t->step, &v, run_one);
    for (int i = 0; i < 3; i++)
        assert_near(at(t->step, &v, "m.w")[i], w[i] - 0.1 * 2 * (i + 1) * (w[i] + 0.15 * g[i] / sqrt(size)), 1e-12);
    program_end(&p);
}

/* y = a b along its gradient, on an axis that the body of the rule writes: at (2, 3) it is (3, 2). */
static void parameters_are_mapped_over_an_axis_of_the_body(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x) -> f { param early = 2, late = 3\n f = early * late + 0 * x }\n"
                                  "rule down(w[...], g[...]) -> (lowest, steepest) {\n"
                                  " f[k: 4] = objective(w - (k + 1) / 10 * g)\n"
                                  " h[k] = gradient(w - (k + 1) / 10 * g)\n"
                                  " lowest = min[k] f[k]\n steepest = max[k] norm(all h[k])\n}\n"
                                  "train m on d { loss = f\n probe = down()\n optimizer = gd(rate = 0.1)\n"
                                  " batch = 2, steps = 3\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);

    (void)state;
    at(t->step, &v, "m.early")[0] = 2;
    at(t->step, &v, "m.late")[0] = 3;
    ir_evaluate(t->step, &v, run_one);
    assert_near(output_at(t->step, &v, "probe.down.lowest")[0], (2 - 0.4 * 3) * (3 - 0.4 * 2), 1e-12);
    assert_near(output_at(t->step, &v, "probe.down.steepest")[0], sqrt(2.8 * 2.8 + 1.7 * 1.7), 1e-12);
    program_end(&p);
}

/* ICS of Santurkar et al. 2018: the gradient after the earlier parameter has moved. y = a b: G = a + rate b for b. */
static void earlier_parameters_move_by_name(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x) -> f { param early = 2, late = 3\n f = early * late + 0 * x }\n"
                                  "rule shifted(w[...], g[...]; rate) -> shift {\n late = not named(\"*.early\")\n"
                                  " h = gradient(if late then w else w - rate * g)\n"
                                  " shift = norm(all (late * (h - g)))\n}\n"
                                  "train m on d { loss = f\n probe = shifted(0.5)\n optimizer = gd(rate = 0.1)\n"
                                  " batch = 2, steps = 3\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);

    (void)state;
    at(t->step, &v, "m.early")[0] = 2;
    at(t->step, &v, "m.late")[0] = 3;
    ir_evaluate(t->step, &v, run_one);
    assert_near(output_at(t->step, &v, "probe.shifted.shift")[0], 1.5, 1e-12);
    program_end(&p);
}

/* ---- phases and modes ---- */

static void phases_have_states_of_their_own(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x) -> f { param a = 2, b = 3\n f = a * b + 0 * x }\n"
                                  "train m on d {\n phase up { loss = -f, params = m.a, optimizer = sgd(0.1, 0.9), times = 2 }\n"
                                  " phase down { loss = f, optimizer = sgd(0.1, 0.9) }\n batch = 2, steps = 6\n}\n");
    struct training *t = training_of(&p);

    (void)state;
    assert_int_equal(t->phases.count, 2);
    assert_string_equal(t->phases.at[0].name, "up");
    assert_int_equal(t->phases.at[0].times, 2);
    assert_int_equal(t->phases.at[1].times, 1);
    assert_non_null(ir_find(t->phases.at[0].step, "m.a.up.sgd.m"));
    assert_null(ir_find(t->phases.at[0].step, "m.b.up.sgd.m"));
    assert_non_null(ir_find(t->phases.at[1].step, "m.a.down.sgd.m"));
    assert_non_null(ir_find(t->phases.at[1].step, "m.b.down.sgd.m"));
    program_end(&p);
}

/* Means over twenty masks of one clean call and of a call in training: E[mask] = 1. */
static void a_model_called_in_training_is_random_in_evaluation(void **state)
{
    struct program p;
    struct ir_values v;
    struct ir_program *m = evaluated(&p,
                                     "use std\nmodel noisy(x[i: 4]) -> y[i] { y = x |> dropout(0.5) }\n"
                                     "model m(x[i: 4]) -> random (average[i], clean[i], z[k: 20, i]) {\n"
                                     " z[k: 20] = noisy(x, training = true)\n average[i] = mean[k] z[k, i]\n"
                                     " clean = noisy(x)\n}\n",
                                     3, &v);
    const double *x = at(m, &v, "x"), *z = output_at(m, &v, "z");

    (void)state;
    for (int n = 0; n < 3; n++)
        for (int i = 0; i < 4; i++) {
            double sum = 0;
            int kept = 0;

            for (int k = 0; k < 20; k++) {
                double one = z[(n * 20 + k) * 4 + i];

                kept += one != 0;
                sum += one / 20;
                assert_true(one == 0 || fabs(one - 2 * x[n * 4 + i]) < 1e-12);
            }
            assert_in_range(kept, 2, 18);
            assert_near(output_at(m, &v, "average")[n * 4 + i], sum, 1e-12);
            assert_near(output_at(m, &v, "clean")[n * 4 + i], x[n * 4 + i], 0);
        }
    program_end(&p);
}

/* Training on with frozen statistics: no state is assigned, and samples do not meet. */
static void a_model_trained_with_frozen_statistics(void **state)
{
    struct program p = program_of("use std\n" DATA "model net(x[i: 4]) -> y[o: 2] { y = x |> linear(2) |> batch_norm }\n"
                                  "model tuned(x[i: 4]) -> y[o: 2] { y = net(x, training = false) }\n"
                                  "train tuned on d { loss = y[0]^2 + y[1]\n optimizer = gd(0.1)\n batch = 3, steps = 2 }\n");
    struct training *t = training_of(&p);
    int updates = 0;

    (void)state;
    for (int i = 0; i < t->step->updates.count; i++)
        updates += t->step->updates.at[i].leaf->kind == IR_STATE;
    assert_int_equal(updates, 0);
    assert_non_null(ir_find(t->step, "net.linear_1.W"));
    program_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_single_samples_and_their_fisher_block),
        cmocka_unit_test(gradients_are_by_one_name),
        cmocka_unit_test(products_with_the_hessian_and_its_rows),
        cmocka_unit_test(a_jacobian_and_its_diagonal),
        cmocka_unit_test(twice_through_a_computed_place),
        cmocka_unit_test(of_an_index_that_both_have_the_diagonal_is_taken),
        cmocka_unit_test(descent_on_an_input_inside_over),
        cmocka_unit_test(inside_repeat),
        cmocka_unit_test(the_gradient_of_what_weight_norm_scales_is_orthogonal_to_it),
        cmocka_unit_test(batch_normalisation_backwards_by_hand),
        cmocka_unit_test(a_probe_logs_what_a_step_would_gain),
        cmocka_unit_test(a_gradient_at_mapped_parameters),
        cmocka_unit_test(parameters_are_mapped_over_an_axis_of_the_body),
        cmocka_unit_test(earlier_parameters_move_by_name),
        cmocka_unit_test(phases_have_states_of_their_own),
        cmocka_unit_test(a_model_called_in_training_is_random_in_evaluation),
        cmocka_unit_test(a_model_trained_with_frozen_statistics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
