/* steps.c: what train blocks compute, against numbers worked out here by plain loops. Everything is double arithmetic
   on a few dozen terms, so 1e-12 (mixed absolute and relative) is rounding; what passes a `single` equation is f32:
   1e-6. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "program.h"

static const struct ir_run run_one = {.seed = 7, .position = 0, .step = 1};

#define DATA                                                                                                           \
    "data d {\n  train { x = npy(\"x.npy\"), label = npy(\"l.npy\") }\n  test { x = npy(\"y.npy\"), label = "          \
    "npy(\"k.npy\") }\n}\n"

static void cross_entropy_is_averaged_over_the_batch(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x[i: 3]) -> y[class: 4] { y = x |> dense(4) }\n"
                                  "train m on d {\n loss = cross_entropy(y, label, smoothing = 0.1)\n optimizer = "
                                  "gd(rate = 0.5)\n batch = 5, steps = 1\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);
    double *x, *W, *b, *label, loss = 0, d[5][4], before[12], scale = 1.0 / 5;

    (void)state;
    fill(&p, t->step, &v);
    memcpy(before, at(t->step, &v, "m.dense_1.W"), sizeof before);
    x = at(t->step, &v, "x"), W = before, b = at(t->step, &v, "m.dense_1.b"), label = at(t->step, &v, "label");
    for (int n = 0; n < 5; n++) {
        double z[4], total = 0;

        for (int o = 0; o < 4; o++) {
            z[o] = b[o];
            for (int i = 0; i < 3; i++)
                z[o] += x[n * 3 + i] * W[i * 4 + o];
            total += exp(z[o]);
        }
        for (int o = 0; o < 4; o++) {
            double target = (o == (int)label[n] ? 0.9 : 0) + 0.1 / 4;

            loss -= scale * target * (z[o] - log(total));
            d[n][o] = scale * (exp(z[o]) / total - target);
        }
    }
    ir_evaluate(t->step, &v, run_one);
    assert_near(output_at(t->step, &v, "loss")[0], loss, 1e-12);
    for (int i = 0; i < 3; i++)
        for (int o = 0; o < 4; o++) {
            double g = 0;

            for (int n = 0; n < 5; n++)
                g += x[n * 3 + i] * d[n][o];
            assert_near(at(t->step, &v, "m.dense_1.W")[i * 4 + o], before[i * 4 + o] - 0.5 * g, 1e-12);
        }
    program_end(&p);
}

static void a_field_bounded_by_in_is_whole(void **state)
{
    struct program p = program_of(
        "use std\n" DATA "model m(x[i: 3]) -> y[class: 4] { y = x |> dense(4) }\n"
        "train m on d {\n loss = cross_entropy(y, label)\n optimizer = gd(rate = 0.5)\n batch = 5, steps = 1\n}\n");
    struct training *t = training_of(&p);
    const struct field *x = &t->split.fields.at[0], *label = &t->split.fields.at[1];

    (void)state;
    assert_int_equal(t->split.fields.count, 2);
    assert_string_equal(x->name, "x");
    assert_int_equal(x->rank, 1);
    assert_int_equal(x->shape[0], 3);
    assert_false(x->whole);
    assert_string_equal(label->name, "label");
    assert_int_equal(label->rank, 0);
    assert_true(label->whole);
    assert_int_equal(label->low, 0);
    assert_int_equal(label->high, 3);
    assert_string_equal(label->bound, "class");
    program_end(&p);
}

/* Loss sum_i w_i c_i has the gradient c, so that rules can be followed by hand. */
#define LINEAR(body)                                                                                                   \
    "use std\ndata d { train { x = npy(\"x.npy\") } }\n"                                                               \
    "model m(x[i: 3]) -> y {\n param w[i] ~ normal(0, 1)\n y = sum[i] w[i] * x[i]\n}\n"                                \
    "train m on d {\n loss = y\n batch = 1, steps = 10\n " body "\n}\n"

static void run_linear(const char *text, void (*expect)(double *w, const double *g, int step, double *memory),
                       double tolerance)
{
    struct program p = program_of(text);
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step), first = ir_values_new(p.arena, t->initial);
    double w[3], g[3], memory[16] = {0};

    ir_evaluate(t->initial, &first, run_one);
    for (int i = 0; i < t->step->tensors.count; i++) {
        const struct ir_tensor *leaf = t->step->tensors.at[i];

        if (leaf->kind != IR_PARAMETER && leaf->kind != IR_STATE)
            continue;
        for (int64_t k = 0; k < ir_elements(leaf); k++)
            v.at[i][k] = at(t->initial, &first, leaf->name)[k];
    }
    for (int i = 0; i < 3; i++)
        w[i] = at(t->step, &v, "m.w")[i];
    for (int step = 1; step <= 3; step++) {
        for (int i = 0; i < 3; i++)
            g[i] = at(t->step, &v, "x")[i] = cos(2.0 * i + step);
        if (ir_find(t->step, "step"))
            at(t->step, &v, "step")[0] = step;
        ir_evaluate(t->step, &v, (struct ir_run){7, 0, (uint64_t)step});
        expect(w, g, step, memory);
        for (int i = 0; i < 3; i++)
            assert_near(at(t->step, &v, "m.w")[i], w[i], tolerance);
    }
    program_end(&p);
}

static double norm3(const double *g)
{
    return sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2]);
}

static void expect_sgd(double *w, const double *g, int step, double *m)
{
    (void)step;
    for (int i = 0; i < 3; i++) {
        m[i] = 0.9 * m[i] + g[i] + 0.01 * w[i];
        w[i] -= 0.1 * m[i];
    }
}
static void sgd_keeps_momentum(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = sgd(rate = 0.1, momentum = 0.9, decay = 0.01)"), expect_sgd, 1e-12);
}

static void expect_adam(double *w, const double *g, int step, double *m)
{
    for (int i = 0; i < 3; i++) {
        m[i] = 0.9 * m[i] + 0.1 * g[i];
        m[4 + i] = 0.999 * m[4 + i] + (1 - 0.999) * g[i] * g[i];
        w[i] -= 0.01 * (m[i] / (1 - pow(0.9, step))) / (sqrt(m[4 + i] / (1 - pow(0.999, step))) + 1e-8);
    }
}
static void adam_corrects_its_bias_by_the_step(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = adam(rate = 0.01)"), expect_adam, 1e-12);
}

static void expect_clipped(double *w, const double *g, int step, double *m)
{
    double scale = fmin(1, 0.3 / norm3(g));

    (void)step, (void)m;
    for (int i = 0; i < 3; i++)
        w[i] -= 0.5 * scale * g[i];
}
static void clip_norm_scales_all_gradients_together(void **state)
{
    (void)state;
    run_linear(LINEAR("clip = clip_norm(0.3)\n optimizer = gd(rate = 0.5)"), expect_clipped, 1e-12);
}

static void expect_max_norm(double *w, const double *g, int step, double *m)
{
    double scale;

    (void)step, (void)m;
    for (int i = 0; i < 3; i++)
        w[i] -= 0.5 * g[i];
    for (int i = 0; i < 3; i++) {
        scale = fmin(1, 0.2 / fabs(w[i]));
        w[i] *= scale;
    }
}
static void max_norm_bounds_what_feeds_each_unit(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = gd(rate = 0.5)\n project = max_norm(0.2) on weights"), expect_max_norm, 1e-12);
}

static void expect_schedule(double *w, const double *g, int step, double *m)
{
    (void)m;
    for (int i = 0; i < 3; i++)
        w[i] -= 0.4 * fmin(1, step / 2.0) * g[i];
}
static void a_rate_may_be_a_schedule(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = gd(rate = warmup(0.4, 2))"), expect_schedule, 1e-12);
}

static void expect_every_other(double *w, const double *g, int step, double *m)
{
    (void)m;
    for (int i = 0; i < 3; i++)
        w[i] -= (step % 2 == 0 ? 0.4 : 0.1 * (step / 2)) * g[i];
}
static void whole_arithmetic_on_the_step(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = gd(rate = if step % 2 == 0 then 0.4 else 0.1 * (step // 2))"), expect_every_other,
               1e-12);
}

static void expect_nesterov(double *w, const double *g, int step, double *m)
{
    (void)step;
    for (int i = 0; i < 3; i++) {
        m[i] = 0.9 * m[i] + g[i];
        w[i] -= 0.1 * (g[i] + 0.9 * m[i]);
    }
}
static void nesterov_looks_ahead(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = nesterov(rate = 0.1)"), expect_nesterov, 1e-12);
}

static void expect_ball(double *w, const double *g, int step, double *m)
{
    double scale;

    (void)step, (void)m;
    for (int i = 0; i < 3; i++)
        w[i] -= 0.5 * g[i];
    scale = fmin(1, 0.25 / norm3(w));
    for (int i = 0; i < 3; i++)
        w[i] *= scale;
}
static void ball_projects_all_parameters_together(void **state)
{
    (void)state;
    run_linear(LINEAR("optimizer = gd(rate = 0.5)\n project = ball(0.25)"), expect_ball, 1e-12);
}

/* Two rules read what the first assigned: m before w, line by line. */
static void expect_lockstep(double *w, const double *g, int step, double *m)
{
    double total;

    (void)step;
    for (int i = 0; i < 3; i++)
        m[i] = 0.5 * m[i] + g[i];
    total = norm3(m);
    for (int i = 0; i < 3; i++)
        w[i] -= 0.1 * m[i] / total;
}
static void a_rule_runs_line_by_line(void **state)
{
    (void)state;
    run_linear("rule mine(w[...], g[...]) {\n state m[...] = 0\n m <- 0.5 * m + g\n w <- w - 0.1 * m / norm(all "
               "m)\n}\n" LINEAR("optimizer = mine()"),
               expect_lockstep, 1e-12);
}

static void batch_norm_learns_running_statistics(void **state)
{
    struct program p =
        program_of("use std\n" DATA "model m(x[i: 2]) -> y { a = x |> batch_norm\n y = sum[i] a[i]^3\n}\n"
                   "train m on d {\n loss = y\n optimizer = gd(rate = 0)\n batch = 6, steps = 1\n report = y\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);
    double *x, mean[2] = {0}, variance[2] = {0};

    (void)state;
    fill(&p, t->step, &v);
    x = at(t->step, &v, "x");
    for (int n = 0; n < 6; n++)
        for (int i = 0; i < 2; i++)
            mean[i] += x[n * 2 + i] / 6;
    for (int n = 0; n < 6; n++)
        for (int i = 0; i < 2; i++)
            variance[i] += pow(x[n * 2 + i] - mean[i], 2) / 6;
    for (int i = 0; i < 2; i++)
        at(t->step, &v, "m.batch_norm_1.mu")[i] = 0.5, at(t->step, &v, "m.batch_norm_1.var")[i] = 2;
    ir_evaluate(t->step, &v, run_one);
    for (int i = 0; i < 2; i++) {
        assert_near(at(t->step, &v, "m.batch_norm_1.mu")[i], 0.5 + 0.1 * (mean[i] - 0.5), 1e-12);
        assert_near(at(t->step, &v, "m.batch_norm_1.var")[i], 2 + 0.1 * (variance[i] * 6 / 5 - 2), 1e-12);
    }
    assert_non_null(ir_find(t->report->chunk, "m.batch_norm_1.mu"));
    assert_int_equal(t->report->chunk->updates.count, 0);
    program_end(&p);
}

static void dropout_keeps_a_share_and_scales_it(void **state)
{
    struct program p =
        program_of("use std\n" DATA "let rate = 0.25\nmodel m(x[i: 400]) -> y[i] { y = x |> dropout(rate) }\n"
                   "train m on d {\n loss = (sum[i] y[i]) * theta\n theta = 1\n optimizer = gd(rate = 0)\n batch = 20, "
                   "steps = 1\n}\n");
    struct training *t = lower_training(p.unit, 0, (struct lower_options){.precision = -1}, p.diagnostics);

    (void)state;
    assert_null(t); /* nothing to train */
    program_end(&p);
    p = program_of(
        "use std\n" DATA
        "let rate = 0.25\nmodel m(x[i: 400]) -> y[i] {\n param s = 1\n a = s * x\n y = a |> dropout(rate)\n}\n"
        "train m on d {\n loss = sum[i] y[i]\n optimizer = gd(rate = 0)\n batch = 20, steps = 1\n}\n");
    t = training_of(&p);
    {
        struct ir_values v = ir_values_new(p.arena, t->step);
        const struct ir_tensor *y = ir_find(t->step, "m.dropout_1.y");
        int kept = 0;

        for (int k = 0; k < 20 * 400; k++)
            at(t->step, &v, "x")[k] = 1;
        at(t->step, &v, "m.s")[0] = 1;
        at(t->step, &v, "rate")[0] = 0.25;
        ir_evaluate(t->step, &v, run_one);
        for (int k = 0; k < 20 * 400; k++) {
            double value = v.at[y->number][k];

            assert_true(value == 0 || fabs(value - 1 / 0.75) < 1e-6);
            kept += value != 0;
        }
        /* 8000 draws of mean 0.75: four standard deviations are 0.02. */
        assert_true(fabs(kept / 8000.0 - 0.75) < 0.02);
    }
    program_end(&p);
}

static void an_average_stands_for_the_parameter_in_evaluation(void **state)
{
    struct program p =
        program_of("use std\n" DATA "model m(x[i: 3]) -> y {\n param w[i] ~ normal(0, 1)\n y = sum[i] w[i] * x[i]\n}\n"
                   "train m on d {\n loss = y\n optimizer = gd(rate = 1)\n average = ema(0.5)\n batch = 2, steps = 1\n "
                   "report { average = y, spread = max[batch] y }\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step), first = ir_values_new(p.arena, t->initial);
    double *x, before[3];

    (void)state;
    ir_evaluate(t->initial, &first, run_one);
    for (int i = 0; i < 3; i++)
        assert_true(at(t->initial, &first, "m.w")[i] == at(t->initial, &first, "m.w.ema.a")[i]);
    fill(&p, t->step, &v);
    x = at(t->step, &v, "x");
    memcpy(before, at(t->step, &v, "m.w"), sizeof before);
    for (int i = 0; i < 3; i++)
        at(t->step, &v, "m.w.ema.a")[i] = 10;
    ir_evaluate(t->step, &v, run_one);
    for (int i = 0; i < 3; i++) {
        double w = before[i] - (x[i] + x[3 + i]) / 2;

        assert_near(at(t->step, &v, "m.w.ema.a")[i], w + 0.5 * (10 - w), 1e-12);
    }
    assert_null(ir_find(t->report->chunk, "m.w"));
    assert_non_null(ir_find(t->report->chunk, "m.w.ema.a"));
    assert_int_equal(t->report->statistics.count, 2);
    assert_int_equal(t->report->statistics.at[1].reduction, IR_MAXIMUM);
    program_end(&p);
}

static void a_report_finishes_what_was_streamed(void **state)
{
    struct program p =
        program_of("use std\n" DATA "model m(x[i: 3]) -> y {\n param w[i] ~ normal(0, 1)\n y = sum[i] w[i] * x[i]\n}\n"
                   "train m on d {\n loss = y\n optimizer = gd(rate = 1)\n batch = 4, steps = 1\n report { perplexity "
                   "= exp(mean[batch] y) }\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->report->chunk), r = ir_values_new(p.arena, t->report->result);
    double *y, total = 0;

    (void)state;
    fill(&p, t->report->chunk, &v);
    ir_evaluate(t->report->chunk, &v, run_one);
    y = output_at(t->report->chunk, &v, t->report->statistics.at[0].output);
    for (int n = 0; n < 4; n++)
        total += y[n];
    at(t->report->result, &r, t->report->statistics.at[0].output)[0] = total;
    at(t->report->result, &r, "count")[0] = 4;
    ir_evaluate(t->report->result, &r, run_one);
    assert_near(output_at(t->report->result, &r, "perplexity")[0], exp(total / 4), 1e-12);
    program_end(&p);
}

static void a_penalty_is_added_to_the_objective(void **state)
{
    struct program p =
        program_of("use std\n" DATA
                   "model m(x[i: 3]) -> y {\n param w[i] ~ normal(0, 1), b = 0.5\n y = b + sum[i] w[i] * x[i]\n}\n"
                   "train m on d {\n loss = y\n penalty = 0.1 * l2(weights) + 0.2 * l1(params(\"*.b\")) + m.w[1]\n "
                   "optimizer = gd(rate = 1)\n batch = 4, steps = 1\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);
    double w[3], b, *x;

    (void)state;
    fill(&p, t->step, &v);
    memcpy(w, at(t->step, &v, "m.w"), sizeof w);
    b = at(t->step, &v, "m.b")[0], x = at(t->step, &v, "x");
    ir_evaluate(t->step, &v, run_one);
    assert_near(output_at(t->step, &v, "penalty")[0],
                0.1 * (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]) + 0.2 * fabs(b) + w[1], 1e-12);
    for (int i = 0; i < 3; i++) {
        double g = 0.2 * w[i] + (i == 1) + (x[i] + x[3 + i] + x[6 + i] + x[9 + i]) / 4;
        assert_near(at(t->step, &v, "m.w")[i], w[i] - g, 1e-12);
    }
    assert_near(at(t->step, &v, "m.b")[0], b - 1 - 0.2 * (b > 0 ? 1 : -1), 1e-12);
    program_end(&p);
}

static void a_penalty_of_each_sample_is_averaged(void **state)
{
    struct program p = program_of("use std\n" DATA
                                  "model m(x[i: 3]) -> y {\n param w[i] ~ normal(0, 1)\n y = sum[i] w[i] * x[i]\n}\n"
                                  "train m on d {\n loss = y\n penalty = 2 * y^2 + 0.1 * l2(weights)\n "
                                  "optimizer = gd(rate = 1)\n batch = 4, steps = 1\n}\n");
    struct training *t = training_of(&p);
    struct ir_values v = ir_values_new(p.arena, t->step);
    double w[3], *x, sum = 0;

    (void)state;
    fill(&p, t->step, &v);
    memcpy(w, at(t->step, &v, "m.w"), sizeof w);
    x = at(t->step, &v, "x");
    ir_evaluate(t->step, &v, run_one);
    for (int n = 0; n < 4; n++) {
        double y = w[0] * x[3 * n] + w[1] * x[3 * n + 1] + w[2] * x[3 * n + 2];

        sum += 2 * y * y;
    }
    assert_near(output_at(t->step, &v, "penalty")[0], sum / 4 + 0.1 * (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]), 1e-12);
    program_end(&p);
}

static void only_selected_parameters_train(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x[i: 3]) -> y[o: 2] { y = x |> dense(4) |> dense(2) }\n"
                                  "train m on d {\n loss = mean_square(y, y0)\n y0[o: 2] = 1\n params = m.dense_2\n "
                                  "optimizer = gd(rate = 1)\n batch = 4, steps = 1\n}\n");
    struct training *t = training_of(&p);

    (void)state;
    assert_int_equal(t->step->updates.count, 2);
    assert_string_equal(t->step->updates.at[0].leaf->name, "m.dense_2.W");
    assert_int_equal(t->initial->updates.count, 4);
    program_end(&p);
}

static void a_let_is_a_scalar_of_the_step(void **state)
{
    struct setting sets[] = {{.name = "strength", .value = "0.25"}};
    struct program p = program_of(
        "use std\n" DATA "let strength = 0.5\nlet units = 2\nmodel m(x[i: 3]) -> y[o: 2] { y = x |> dense(units) }\n"
        "train m on d {\n loss = strength * mean_square(y, one)\n one[o: 2] = 1\n optimizer = gd(rate = strength)\n "
        "batch = 4, steps = 1\n}\n");
    struct training *t = training_of(&p);
    double value;

    (void)state;
    assert_int_equal(ir_find(t->step, "strength")->kind, IR_SCALAR);
    assert_null(ir_find(t->step, "units"));
    assert_true(unit_let(p.unit, "strength", &value));
    assert_true(value == 0.5);
    p.unit = unit_read(p.arena, p.path, sets, 1, p.diagnostics);
    assert_true(unit_let(p.unit, "strength", &value));
    assert_true(value == 0.25);
    t = training_of(&p);
    assert_string_equal(t->lets.at[0].value, "0.25");
    program_end(&p);
}

static void a_let_keeps_its_name(void **state)
{
    struct program p = program_of(
        "use std\n" DATA
        "let loss = 0.5\nlet penalty = 1e-4\nlet count = 3\nmodel m(x[i: 3]) -> y[o: 2] { y = x |> dense(2) }\n"
        "train m on d {\n loss = mean_square(y, one)\n one[o: 2] = 1\n penalty = penalty * l2(weights)\n optimizer = "
        "gd(rate = loss / count)\n"
        " batch = 4, steps = 1\n report = count * mean_square(y, one)\n}\n");
    struct training *t = training_of(&p);

    (void)state;
    assert_int_equal(ir_find(t->step, "loss")->kind, IR_SCALAR);
    assert_int_equal(ir_find(t->step, "penalty")->kind, IR_SCALAR);
    assert_int_equal(output(t->step, "loss")->kind, IR_EQUATION);
    assert_int_equal(output(t->step, "penalty")->kind, IR_EQUATION);
    assert_null(ir_find(t->step, "count"));
    assert_int_equal(ir_find(t->report->result, "count")->kind, IR_SCALAR);
    program_end(&p);
}

static void an_unknown_setting_is_refused(void **state)
{
    struct setting sets[] = {{.name = "strenght", .value = "0.25"}}, whole[] = {{.name = "units", .value = "2.5"}};
    struct program p = program_of("let strength = 0.5\nlet units = 2\n");

    (void)state;
    unit_read(p.arena, p.path, sets, 1, p.diagnostics);
    assert_int_equal(diagnostics_errors(p.diagnostics), 1);
    assert_non_null(strstr(messages(&p), "there is no let `strenght`"));
    assert_non_null(strstr(messages(&p), "did you mean `strength`?"));
    p.diagnostics = diagnostics_new(p.arena);
    unit_read(p.arena, p.path, whole, 1, p.diagnostics);
    assert_int_equal(diagnostics_errors(p.diagnostics), 1);
    assert_non_null(strstr(messages(&p), "units is a whole number and cannot be set to 2.5"));
    program_end(&p);
}

static void a_call_in_training_mode_draws_for_each_mapped_index(void **state)
{
    struct program p = program_of("use std\nmodel net(x[i: 3]) -> y[i] { y = x |> dropout(0.5) }\n"
                                  "model spread(x[i: 3]) -> random z[m: 4, i] { z[m: 4] = net(x, training = true) }\n"
                                  "model still(x[i: 3]) -> z[i] { z = net(x, training = false) }\n");
    struct ir_program *program = prediction_of(&p, "spread", 2);
    const struct ir_tensor *z = output(program, "z"), *keep = ir_find(program, "net.dropout_1.keep");

    (void)state;
    assert_int_equal(z->rank, 3);
    assert_true(z->axes[0]->batch);
    assert_int_equal(z->axes[1]->extent, 4);
    assert_non_null(keep);
    assert_int_equal(keep->mapped, 1);
    assert_int_equal(keep->rank, 3);
    program = prediction_of(&p, "still", 2);
    for (int i = 0; i < program->tensors.count; i++)
        assert_true(program->tensors.at[i]->kind != IR_DRAW);
    program_end(&p);
}

static void a_raw_field_used_as_a_place_is_whole(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x[i: 3]) -> p[class: 4] { p = x |> dense(4) |> softmax }\n"
                                  "train m on d {\n loss = -log(p[label])\n optimizer = gd(rate = 0.5)\n batch = 5, "
                                  "steps = 1\n report = -log(p[label])\n}\n");
    struct training *t = training_of(&p);

    (void)state;
    assert_true(t->split.fields.at[1].whole);
    assert_int_equal(t->split.fields.at[1].high, 3);
    assert_string_equal(t->split.name, "train");
    assert_string_equal(t->report->split.name, "test");
    assert_non_null(strstr(t->report->split.fields.at[1].file, "k.npy"));
    program_end(&p);
}

static void a_field_takes_the_shape_of_its_use(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x[t: 2, i: 3]) -> y[t, class: 4] { y = x |> dense(4) }\n"
                                  "train m on d {\n loss = mean[t] nll[t]\n nll = cross_entropy(y, label)\n optimizer "
                                  "= gd(rate = 0.5)\n batch = 5, steps = 1\n}\n");
    struct training *t = training_of(&p);

    (void)state;
    assert_int_equal(t->split.fields.at[1].rank, 1);
    assert_int_equal(t->split.fields.at[1].shape[0], 2);
    assert_true(t->split.fields.at[1].whole);
    program_end(&p);
}

static void draws_of_one_layer_applied_twice_differ(void **state)
{
    struct program p = program_of("use std\n" DATA "model m(x[i: 3]) -> y {\n param s = 1\n f = |> dropout(0.5)\n a = "
                                  "s * x\n b = a |> f\n c = b |> f\n y = sum[i] c[i]\n}\n"
                                  "train m on d {\n loss = y\n optimizer = gd(rate = 0.5)\n batch = 5, steps = 1\n}\n");
    struct training *t = training_of(&p);

    (void)state;
    assert_non_null(ir_find(t->step, "m.f.keep"));
    assert_non_null(ir_find(t->step, "m.f(2).keep"));
    program_end(&p);
}

static void the_scope_of_a_draw_is_as_written(void **state)
{
    struct program p = program_of("model m(x[i: 3]) -> random y[i] {\n a[i] ~ normal(0, 1)\n b[i] ~ normal(0, 1) per "
                                  "step\n c[i] ~ normal(0, 1) per run\n y = x + a + b + c\n}\n");
    struct ir_program *program = prediction_of(&p, "m", 2);

    (void)state;
    assert_int_equal(ir_find(program, "m.a")->scope, IR_PER_SAMPLE);
    assert_int_equal(ir_find(program, "m.a")->rank, 2);
    assert_int_equal(ir_find(program, "m.b")->scope, IR_PER_STEP);
    assert_int_equal(ir_find(program, "m.b")->rank, 1);
    assert_int_equal(ir_find(program, "m.c")->scope, IR_PER_RUN);
    program_end(&p);
}

static void a_rule_in_two_slots_has_two_states(void **state)
{
    struct program p =
        program_of("rule smooth(w[...], g[...]; by) {\n state s[...] = 0\n s <- by * s + g\n g <- s\n}\n" LINEAR(
            "gradient = smooth(0.5)\n clip = smooth(0.25)\n optimizer = gd(rate = 1)"));
    struct training *t = training_of(&p);

    (void)state;
    assert_non_null(ir_find(t->step, "m.w.smooth.s"));
    assert_int_equal(ir_find(t->step, "m.w.smooth_2.s")->kind, IR_STATE);
    assert_int_equal(t->step->updates.count, 3);
    program_end(&p);
}

static void batch_is_the_whole_split_in_a_report(void **state)
{
    struct program p =
        program_of("use std\n" DATA "model m(x[i: 3]) -> y {\n param w[i] ~ normal(0, 1)\n y = sum[i] w[i] * x[i]\n}\n"
                   "train m on d {\n loss = y\n optimizer = gd(rate = 1)\n batch = 4, steps = 1\n"
                   " report { root = (sum[batch] y) / sqrt(size(batch)) }\n}\n");
    struct training *t = training_of(&p);
    struct ir_values r = ir_values_new(p.arena, t->report->result);

    (void)state;
    at(t->report->result, &r, t->report->statistics.at[0].output)[0] = 12;
    at(t->report->result, &r, "count")[0] = 9;
    ir_evaluate(t->report->result, &r, run_one);
    assert_near(output_at(t->report->result, &r, "root")[0], 4, 1e-12);
    program_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy_is_averaged_over_the_batch),
        cmocka_unit_test(a_field_bounded_by_in_is_whole),
        cmocka_unit_test(sgd_keeps_momentum),
        cmocka_unit_test(adam_corrects_its_bias_by_the_step),
        cmocka_unit_test(clip_norm_scales_all_gradients_together),
        cmocka_unit_test(max_norm_bounds_what_feeds_each_unit),
        cmocka_unit_test(a_rate_may_be_a_schedule),
        cmocka_unit_test(whole_arithmetic_on_the_step),
        cmocka_unit_test(nesterov_looks_ahead),
        cmocka_unit_test(ball_projects_all_parameters_together),
        cmocka_unit_test(a_rule_runs_line_by_line),
        cmocka_unit_test(batch_norm_learns_running_statistics),
        cmocka_unit_test(dropout_keeps_a_share_and_scales_it),
        cmocka_unit_test(an_average_stands_for_the_parameter_in_evaluation),
        cmocka_unit_test(a_report_finishes_what_was_streamed),
        cmocka_unit_test(a_penalty_is_added_to_the_objective),
        cmocka_unit_test(a_penalty_of_each_sample_is_averaged),
        cmocka_unit_test(only_selected_parameters_train),
        cmocka_unit_test(a_let_is_a_scalar_of_the_step),
        cmocka_unit_test(a_let_keeps_its_name),
        cmocka_unit_test(an_unknown_setting_is_refused),
        cmocka_unit_test(a_call_in_training_mode_draws_for_each_mapped_index),
        cmocka_unit_test(a_raw_field_used_as_a_place_is_whole),
        cmocka_unit_test(a_field_takes_the_shape_of_its_use),
        cmocka_unit_test(draws_of_one_layer_applied_twice_differ),
        cmocka_unit_test(the_scope_of_a_draw_is_as_written),
        cmocka_unit_test(a_rule_in_two_slots_has_two_states),
        cmocka_unit_test(batch_is_the_whole_split_in_a_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
