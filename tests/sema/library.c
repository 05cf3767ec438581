/* library.c: every layer and rule of the standard library that is compiled lowers, with its derivative, in training and
   in evaluation; and names of definitions change nothing but names. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "autodiff.h"
#include "program.h"

static const struct {
    const char *input, *layer;
} layers[] = {
    {"i: 6", "dense(3)"},
    {"t: 3, i: 6", "dense(3, init = glorot)"},
    {"i: 6", "dense(3, init = he_uniform)"},
    {"i: 6", "dense(3, init = lecun_normal)"},
    {"i: 6", "linear(3)"},
    {"i: 6", "maxout(3)"},
    {"i: 6", "glu(3)"},
    {"i: 6", "weight_norm_dense(3)"},
    {"i: 6", "drop_connect(3, 0.5)"},
    {"i: 6", "prelu"},
    {"i: 6", "relu"},
    {"i: 6", "leaky_relu"},
    {"i: 6", "elu"},
    {"i: 6", "selu"},
    {"i: 6", "gelu"},
    {"i: 6", "silu"},
    {"i: 6", "mish"},
    {"i: 6", "hard_sigmoid"},
    {"i: 6", "hard_tanh"},
    {"i: 6", "softmax"},
    {"i: 6", "log_softmax"},
    {"i: 6", "logsumexp"},
    {"i: 6", "norm"},
    {"i: 6", "variance"},
    {"i: 6", "standardize"},
    {"i: 6", "tanh"},
    {"i: 6", "dropout(0.5)"},
    {"i: 6", "dropout_unscaled(0.5)"},
    {"t: 2, i: 6", "dropout_channels(0.5)"},
    {"t: 2, i: 6", "dropout_over_time(0.5)"},
    {"i: 6", "random_dropout(0.5)"},
    {"i: 6", "dropout_batch(0.5)"},
    {"i: 6", "drop_weights(0.5)"},
    {"i: 6", "drop_path(0.5)"},
    {"i: 6", "gaussian_noise(0.5)"},
    {"i: 6", "gaussian_dropout(0.5)"},
    {"i: 6", "batch_norm"},
    {"h: 2, w: 2, c: 4", "batch_norm"},
    {"i: 6", "noisy_batch_norm"},
    {"i: 6", "layer_norm"},
    {"t: 2, i: 6", "layer_norm_all"},
    {"h: 2, w: 2, c: 4", "instance_norm"},
    {"h: 2, w: 2, c: 4", "group_norm(2)"},
    {"i: 6", "rms_norm"},
    {"t: 2, i: 6", "flatten"},
    {"i: 6", "first(2)"},
    {"i: 6", "rest(2)"},
    {"i: 2, j: 3", "transpose"},
    {"t: 4, i: 2", "backwards"},
    {"t: 4, i: 2", "last"},
    {"h: 2, w: 2, c: 2", "pad2d(1)"},
    {"h: 2, w: 2, c: 2", "upsample2d"},
    {"t: 6, c: 2", "conv1d(3)"},
    {"t: 6, c: 2", "causal_conv1d(3)"},
    {"h: 4, w: 4, c: 2", "conv2d(3)"},
    {"h: 4, w: 4, c: 2", "conv2d(3, stride = 2)"},
    {"h: 4, w: 4, c: 4", "grouped_conv2d(4, 2)"},
    {"h: 4, w: 4, c: 2", "depthwise_conv2d"},
    {"h: 4, w: 4, c: 2", "separable_conv2d(3)"},
    {"h: 3, w: 3, c: 2", "transposed_conv2d(2)"},
    {"h: 4, w: 4, c: 2", "max_pool2d"},
    {"h: 4, w: 4, c: 2", "mean_pool2d"},
    {"t: 4, c: 2", "max_pool1d"},
    {"h: 4, w: 4, c: 2", "global_mean"},
    {"h: 4, w: 4, c: 2", "global_max"},
    {"i: 6", "residual(|> dense(6) |> relu)"},
    {"h: 4, w: 4, c: 2", "basic_block(2)"},
    {"h: 4, w: 4, c: 2", "basic_block(4, stride = 2)"},
    {"h: 4, w: 4, c: 2", "grow(2)"},
    {"h: 4, w: 4, c: 4", "squeeze_excite"},
    {"t: 4, i: 4", "self_attention(2, causal = true)"},
    {"t: 4, i: 4", "add_positions"},
    {"t: 4, i: 4", "add_learned_positions"},
    {"t: 4, i: 4", "transformer_block(2, rate = 0.1)"},
    {"h: 4, w: 4", "cutout(2)"},
    {"t: 4", "random_loudness"},
    {"t: 4", "random_stretch"},
    {"h: 4, w: 4", "random_affine"},
    {"h: 4, w: 4", "random_flip"},
    {"h: 4, w: 4", "random_shift(1)"},
    {"h: 4, w: 4, c: 2", "stochastic_pool2d"},
    {"t: 4, i: 3", "rnn(4)"},
    {"t: 4, i: 3", "ln_rnn(4)"},
    {"t: 4, i: 3", "lstm(4)"},
    {"t: 4, i: 3", "lstm_equations(4)"},
    {"t: 4, i: 3", "lstm_dropped(4)"},
    {"t: 4, i: 3", "ln_lstm(4)"},
    {"t: 4, i: 3", "gru(4)"},
    {"t: 4, i: 3", "gru_backwards(4)"},
    {"t: 4, i: 3", "bidirectional_gru(4)"},
    {"t: 4, i: 3", "bn_lstm(4)"},
};

/* Analytic and numeric derivatives agree to 1e-6 (see gradcheck.c for the norm), kinks apart. */
static void derivatives_agree(struct program *p, struct training *t, const char *what)
{
    struct ir_values v = ir_values_new(p->arena, t->objective);
    struct ir_tensor *wrt[50];
    struct gradcheck_result results[50];
    const char *error;
    int count = 0;

    fill(p, t->objective, &v);
    for (int i = 0; i < t->objective->tensors.count; i++) {
        struct ir_tensor *leaf = t->objective->tensors.at[i];

        if (leaf->kind == IR_PARAMETER && count < 50)
            wrt[count++] = leaf;
        if (leaf->kind == IR_STATE || leaf->kind == IR_SCALAR)
            for (int64_t e = 0; e < ir_elements(leaf); e++)
                v.at[i][e] = 1;
    }
    error = gradcheck(t->objective, (struct ir_tensor *)output(t->objective, "objective"), wrt, count, &v,
                      (struct ir_run){.seed = 1, .step = 1}, (struct gradcheck_options){0}, results);
    if (error)
        fail_msg("%s: %s", what, error);
    for (int i = 0; i < count; i++)
        if (!results[i].passed)
            fail_msg("%s: %s: %g and %g", what, wrt[i]->name, results[i].analytic, results[i].numeric);
}

static void every_layer_lowers_in_both_modes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        char text[2000];
        struct program p;
        struct training *t;
        struct ir_values v;

        snprintf(text, sizeof text,
                 "use std\nlayer total(x[...]) -> t { t = sum[...] x[...]^2 }\n"
                 "data d { train { x = npy(\"x.npy\") }\n test { x = npy(\"y.npy\") }\n}\n"
                 "model m(x[%s]) -> r {\n param gain = 1\n a = gain * x\n y = a |> %s\n r = total(y) + gain^2\n}\n"
                 "train m on d {\n loss = r\n optimizer = gd(rate = 0.1)\n batch = 3, steps = 1, report = r\n}\n",
                 layers[i].input, layers[i].layer);
        p = program_of(text);
        t = training_of(&p);
        assert_non_null(t->report);
        v = ir_values_new(p.arena, t->step);
        fill(&p, t->step, &v);
        for (int k = 0; k < t->step->tensors.count; k++)
            if (t->step->tensors.at[k]->kind == IR_STATE)
                for (int64_t e = 0; e < ir_elements(t->step->tensors.at[k]); e++)
                    v.at[k][e] = 1;
        ir_evaluate(t->step, &v, (struct ir_run){.seed = 1, .step = 1});
        if (!isfinite(output_at(t->step, &v, "loss")[0]))
            fail_msg("%s: the loss is %g", layers[i].layer, output_at(t->step, &v, "loss")[0]);
        derivatives_agree(&p, t, layers[i].layer);
        program_end(&p);
    }
}

static const struct {
    const char *loss, *penalty;
} losses[] = {{"half_square(y, z)", NULL},
              {"mean_square(y, z)", NULL},
              {"mean_absolute(y, z)", NULL},
              {"binary_cross_entropy(y, z)", NULL},
              {"soft_cross_entropy(y, z)", NULL},
              {"cross_entropy(y, label)", NULL},
              {"hinge(y, label)", NULL},
              {"-correlation(y, z)", NULL},
              {"dot(y, z)", NULL},
              {"masked_mean(y, z)", NULL},
              {"half_square(y, z)", "0.1 * elastic(weights)"},
              {"half_square(y, z)", "l1(params) + l2(biases)"},
              {"half_square(y, z)", "group_lasso(m.dense_1.W)"},
              {"half_square(y, z)", "off_orthogonal(m.dense_1.W)"},
              {"half_square(y, z)", "norm(weights)"}};

static void every_loss_lowers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
        char text[2000];
        struct program p;

        snprintf(text, sizeof text,
                 "use std\ndata d { train { x = npy(\"x.npy\"), z = npy(\"z.npy\"), label = npy(\"l.npy\") } }\n"
                 "model m(x[i: 5]) -> y[class: 3] { y = x |> dense(3) }\n"
                 "train m on d {\n loss = %s\n %s%s\n optimizer = gd(rate = 0.1)\n batch = 3, steps = 1\n}\n",
                 losses[i].loss, losses[i].penalty ? "penalty = " : "", losses[i].penalty ? losses[i].penalty : "");
        p = program_of(text);
        derivatives_agree(&p, training_of(&p), text);
        program_end(&p);
    }
}

static const char *const rules[] = {"probe = gradient_ratio()\n optimizer = gd(rate = 0.1)",
                                    "probe = local_smoothness(rate = 0.1)\n optimizer = gd(rate = 0.1)",
                                    "gradient = gradient_noise(0.1)\n optimizer = gd(rate = 0.1)",
                                    "clip = clip_norm(1)\n optimizer = gd(rate = 0.1)",
                                    "clip = clip_each(1)\n optimizer = gd(rate = 0.1)",
                                    "clip = clip_value(1)\n optimizer = gd(rate = 0.1)",
                                    "clip = clip_adaptive() on weights\n optimizer = gd(rate = 0.1)",
                                    "optimizer = sgd(rate = 0.1, momentum = 0.9)",
                                    "optimizer = nesterov(rate = 0.1)",
                                    "optimizer = clipped_gd(rate = 0.1, gamma = 1)",
                                    "optimizer = normalized_gd(rate = 0.1, beta = 1)",
                                    "optimizer = adam()",
                                    "optimizer = adamw(decay = 0.1)",
                                    "optimizer = rmsprop()",
                                    "optimizer = adagrad()",
                                    "optimizer = lars(rate = 0.1)",
                                    "optimizer = sign_descent(rate = 0.1)",
                                    "optimizer = gd(rate = 0.1)\n project = max_norm(3) on weights",
                                    "optimizer = gd(rate = 0.1)\n project = ball(3)",
                                    "optimizer = gd(rate = 0.1)\n project = soft_threshold(rate = 0.1, strength = 0.1)",
                                    "optimizer = gd(rate = 0.1)\n project = nonnegative",
                                    "optimizer = gd(rate = 0.1)\n project = prune(every = 2) on weights",
                                    "optimizer = gd(rate = 0.1)\n average = ema()",
                                    "optimizer = gd(rate = 0.1)\n average = running_mean(start = 2)",
                                    "optimizer = adam(rate = 0.1) on weights\n optimizer = gd(rate = 0.1) on biases",
                                    "optimizer = gd(rate = cosine(0.1))",
                                    "optimizer = gd(rate = linear_decay(0.1))",
                                    "optimizer = gd(rate = step_decay(0.1, 0.5, 2))",
                                    "optimizer = gd(rate = exponential_decay(0.1, 0.5))",
                                    "optimizer = gd(rate = inverse_sqrt(0.1, 10))",
                                    "optimizer = gd(rate = ramp(0, 0.1, 10))"};

static void every_rule_lowers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        char text[2000];
        struct program p;
        struct training *t;
        struct ir_values v;

        snprintf(text, sizeof text,
                 "use std\ndata d { train { x = npy(\"x.npy\"), label = npy(\"l.npy\") } }\n"
                 "model m(x[i: 5]) -> y[class: 3] { y = x |> dense(4) |> tanh |> dense(3) }\n"
                 "train m on d {\n loss = cross_entropy(y, label)\n %s\n batch = 3, steps = 1\n}\n",
                 rules[i]);
        p = program_of(text);
        t = training_of(&p);
        v = ir_values_new(p.arena, t->step);
        fill(&p, t->step, &v);
        for (int k = 0; k < t->step->tensors.count; k++)
            if (t->step->tensors.at[k]->kind == IR_STATE)
                for (int64_t e = 0; e < ir_elements(t->step->tensors.at[k]); e++)
                    v.at[k][e] = 1;
        for (int k = 0; k < t->step->tensors.count; k++)
            if (t->step->tensors.at[k]->kind == IR_SCALAR)
                v.at[k][0] = 1;
        ir_evaluate(t->step, &v, (struct ir_run){.seed = 1, .step = 1});
        for (int k = 0; k < t->step->updates.count; k++)
            for (int64_t e = 0; e < ir_elements(t->step->updates.at[k].leaf); e++)
                if (!isfinite(v.at[t->step->updates.at[k].leaf->number][e]))
                    fail_msg("%s: %s is not finite", rules[i], t->step->updates.at[k].leaf->name);
        program_end(&p);
    }
}

/* The text of the step with one word for another, and the numbers that make names unique left out. */
static char *printed(struct program *p, const char *from, const char *to)
{
    struct training *t = training_of(p);
    struct text text = {0}, out = {0};
    char *copy;
    size_t length = strlen(from);

    ir_print(&text, t->step);
    for (const char *at = text.data; *at;) {
        if (!strncmp(at, from, length)) {
            text_add(&out, to);
            at += length;
        } else {
            text_add_slice(&out, at++, 1);
        }
    }
    copy = arena_string(p->arena, out.data);
    text_free(&text);
    text_free(&out);
    return copy;
}

static const struct {
    const char *name, *own, *definition, *use;
} copies[] = {
    {"dense", "affine",
     "layer affine(x[..., i]; out: int, init: fn = he_normal) -> y[..., o: out] {\n param W[i, o] ~ init[i; o], b[o] = "
     "0\n"
     " y[..., o] = sum[i] x[..., i] * W[i, o] + b[o]\n}\n",
     "dense(5)"},
    {"dropout", "blinded",
     "layer blinded(x[...]; rate) -> y[...] {\n if training {\n keep[...] ~ bernoulli(1 - rate)\n"
     " y[...] = keep[...] * x[...] / (1 - rate)\n } else {\n y = x\n }\n}\n",
     "dropout(0.5)"},
    {"batch_norm", "whitened",
     "layer whitened(x[..., c]; momentum = 0.1, eps = 1e-5) -> y[..., c] {\n param gain[c] = 1, bias[c] = 0\n state "
     "mu[c] = 0, var[c] = 1\n"
     " if training {\n n = size(batch, ...)\n m[c] = mean[batch, ...] x[..., c]\n v[c] = mean[batch, ...] (x[..., c] - "
     "m[c])^2\n"
     " mu[c] <- lerp(mu[c], m[c], momentum)\n var[c] <- lerp(var[c], v[c] * n / (n - 1), momentum)\n"
     " y[..., c] = gain[c] * (x[..., c] - m[c]) / sqrt(v[c] + eps) + bias[c]\n } else {\n"
     " y[..., c] = gain[c] * (x[..., c] - mu[c]) / sqrt(var[c] + eps) + bias[c]\n }\n}\n",
     "batch_norm"},
    {"adam", "eve",
     "rule eve(w[...], g[...]; rate = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8) {\n state m[...] = 0, v[...] = 0\n"
     " m <- beta1 * m + (1 - beta1) * g\n v <- beta2 * v + (1 - beta2) * g^2\n"
     " root = sqrt(1 - beta2^step)\n w <- w - rate * root / (1 - beta1^step) * m / (sqrt(v) + eps * root)\n}\n",
     NULL},
};

static void a_copy_under_another_name_is_the_same_program(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof copies / sizeof *copies; i++) {
        char text[2][4000], layer[100] = "", *result[2];
        struct program p[2];

        for (int k = 0; k < 2; k++) {
            const char *use = copies[i].use;

            if (use)
                snprintf(layer, sizeof layer, "|> %s%s", k ? copies[i].own : copies[i].name,
                         use + strlen(copies[i].name));
            snprintf(text[k], sizeof text[k],
                     "use std\n%sdata d { train { x = npy(\"x.npy\"), label = npy(\"l.npy\") } }\n"
                     "model m(x[i: 5]) -> y[class: 3] { y = x |> linear(4) %s |> tanh |> linear(3) }\n"
                     "train m on d {\n loss = cross_entropy(y, label)\n optimizer = %s(rate = 0.1)\n batch = 3, steps "
                     "= 1\n}\n",
                     copies[i].definition, layer,
                     use ? "gd"
                     : k ? copies[i].own
                         : copies[i].name);
            p[k] = program_of(text[k]);
            result[k] = printed(&p[k], copies[i].own, copies[i].name);
        }
        assert_string_equal(result[0], result[1]);
        for (int k = 0; k < 2; k++)
            program_end(&p[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_lowers_in_both_modes),
        cmocka_unit_test(every_loss_lowers),
        cmocka_unit_test(every_rule_lowers),
        cmocka_unit_test(a_copy_under_another_name_is_the_same_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
