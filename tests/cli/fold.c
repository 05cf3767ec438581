/* fold.c: normalisers go into the products beside them, and nothing else changes. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* Pictures of three classes; `layers` from x[h: 6, w: 6, c: 2] to logits. */
static void write_net(const char *before, const char *layers, const char *precision)
{
    char text[4000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud { samples = 48\n"
             "    train { e[h: 6, w: 6, c: 2] ~ normal(0.5, 1)\n"
             "            x[h, w, c] = e[h, w, c] + (h == batch %% 3)\n"
             "            label = batch %% 3 }\n"
             "    test  { e[h: 6, w: 6, c: 2] ~ normal(0.5, 1)\n"
             "            x[h, w, c] = e[h, w, c] + (h == batch %% 3)\n"
             "            label = batch %% 3 } }\n"
             "%s"
             "model net(x[h: 6, w: 6, c: 2]) -> logits[class: 3] { logits = x %s }\n"
             "train net on cloud {\n"
             "    loss = cross_entropy(logits, label)\n"
             "    optimizer = sgd(rate = 0.1, momentum = 0.9)\n"
             "    batch = 12\n"
             "    steps = 12\n"
             "    precision = %s\n"
             "    report = accuracy(logits, label)\n"
             "}\n",
             before, layers, precision);
    write_file("net.rnet", text);
}

static struct outcome folded(int status)
{
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    return run_expecting(status, "rnetc fold net.rnet --checkpoint run/checkpoint.safetensors --out small");
}

static double number_of(const struct rnet_tensor *t, int64_t k)
{
    return t->type == RNET_F64 ? ((const double *)t->data)[k] : ((const float *)t->data)[k];
}

/* Both programs answer the test split; the norm of the difference as a part of the norm of the answers. */
static double difference(void)
{
    struct rnet_safetensors a, b;
    struct rnet_error error;
    double square = 0, norm = 0;
    int64_t count = 1;

    run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --out a.safetensors");
    run_expecting(RNET_DONE, "rnetc predict small/net.rnet net --checkpoint small/checkpoint.safetensors --out b.safetensors");
    assert_true(rnet_safetensors_read("a.safetensors", &a, &error));
    assert_true(rnet_safetensors_read("b.safetensors", &b, &error));
    for (int i = 0; i < a.tensors[0].rank; i++)
        count *= a.tensors[0].shape[i];
    for (int64_t k = 0; k < count; k++) {
        double x = number_of(&a.tensors[0], k), y = number_of(&b.tensors[0], k);

        square += (x - y) * (x - y);
        norm += x * x;
    }
    assert_true(norm > 0);
    rnet_safetensors_free(&a);
    rnet_safetensors_free(&b);
    return sqrt(square / norm);
}

/* The whole round; the statistics must have gone from the checkpoint. Doubles: sums in another order; floats: those, and the parameters
   rounded, through a few layers. */
static void folds_in(bool single, const char *before, const char *layers, const char *left)
{
    char *text;

    enter_folder();
    write_net(before, layers, single ? "f32" : "f64");
    folded(RNET_DONE);
    text = read_file("small/net.rnet", NULL);
    assert_contains(text, left);
    free(text);
    run_expecting(1, "grep -aq '\\.mu\"\\|sgd' small/checkpoint.safetensors");
    assert_true(difference() < (single ? 1e-5 : 1e-12));
    leave_folder();
}

static void folds_to(const char *before, const char *layers, const char *left)
{
    folds_in(false, before, layers, left);
}

static void into_the_product_before(void **state)
{
    (void)state;
    for (int single = 0; single < 2; single++)
        folds_in(single, "", "|> conv2d(4) |> batch_norm |> relu |> flatten |> dense(8) |> batch_norm |> tanh |> dense(3)",
                 "logits = x |> conv2d(4) |> relu |> flatten |> dense(8) |> tanh |> dense(3)");
}

static void into_the_product_behind_data(void **state)
{
    (void)state;
    folds_to("", "|> batch_norm |> conv2d(4, pad = 0) |> relu |> flatten |> dense(3)", "logits = x |> conv2d(4, pad = 0) |> relu");
}

static void behind_a_nonlinearity_into_the_product_behind(void **state)
{
    (void)state;
    folds_to("", "|> flatten |> dense(8) |> relu |> batch_norm |> dense(3)", "logits = x |> flatten |> dense(8) |> relu |> dense(3)");
}

/* The axis of the scale is two axes of the parameter, one of none that is summed, or that of a gain. */
static void whatever_the_product_is(void **state)
{
    (void)state;
    folds_to("", "|> conv2d(4) |> grouped_conv2d(6, 2) |> batch_norm |> relu |> depthwise_conv2d(3) |> batch_norm |> flatten |> "
                 "weight_norm_dense(5) |> batch_norm |> tanh |> dense(3)",
             "|> grouped_conv2d(6, 2) |> relu |> depthwise_conv2d(3) |> flatten |> weight_norm_dense(5) |> tanh |> dense(3)");
}

/* One text, several places; a layer of the library gets a copy without it. */
static void in_all_places_at_once(void **state)
{
    (void)state;
    folds_to("", "|> conv2d(4) |> repeat 2 { |> basic_block(4) } |> flatten |> dense(3)", "    body = x |> conv2d(out, stride = stride) |> relu |> conv2d(out)\n");
}

static void any_layer_that_is_affine_in_evaluation(void **state)
{
    (void)state;
    folds_to("layer settle(x[u]; speed = 0.2) -> y[u] {\n"
             "    state centre[u] = 0\n"
             "    param tilt[u] = 0.8, lift[u] = 0.1\n"
             "    if training {\n"
             "        now[u] = mean[batch] x[u]\n"
             "        centre[u] <- lerp(centre[u], now[u], speed)\n"
             "        y[u] = (x[u] - now[u]) / 2 * tilt[u] + lift[u]\n"
             "    } else {\n"
             "        away[u] = x[u] - centre[u]\n"
             "        y[u] = away[u] / 2 * tilt[u] + lift[u]\n"
             "    }\n"
             "}\n",
             "|> flatten |> dense(6) |> settle |> dense(5) |> noisy_batch_norm |> relu |> dense(3)",
             "logits = x |> flatten |> dense(6) |> dense(5) |> relu |> dense(3)");
    folds_to("layer part(x[i]; out: int) -> y[o: out] {\n"
             "    z = x |> dense(out)\n"
             "    y = relu(batch_norm(z, eps = 1e-3))\n"
             "}\n",
             "|> flatten |> part(6) |> part(5) |> dense(3)", "    y = relu(z)\n");
}

/* What stays is said with its place and reason; the names of what is left may change their numbers. */
static void what_stays_is_said(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("", "|> conv2d(4) |> batch_norm |> relu |> batch_norm |> conv2d(4) |> batch_norm |> layer_norm |> prelu |> flatten |> dense(3)", "f64");
    o = folded(RNET_DONE);
    assert_contains(o.error, "net.rnet:9:103: net.batch_norm_2 stays: before it: net.batch_norm_2.x");
    assert_contains(o.error, "stands between it and the product: it is max, not linear; behind it: net.conv2d_2.y.sum");
    assert_contains(o.error, "reads 0 beyond its border, where the shift is missing: it wants windows that stay inside");
    assert_contains(o.error, "net.layer_norm_1.m.sum is a statistic of the sample");
    assert_contains(o.error, "is no affine map");
    assert_contains(o.out, "net.batch_norm_1 is folded");
    assert_contains(o.out, "net.batch_norm_3 is folded");
    assert_true(difference() < 1e-12);
    run_expecting(0, "grep -aq net.batch_norm_1.mu small/checkpoint.safetensors");
    run_expecting(RNET_USAGE, "rnetc fold net.rnet --checkpoint run/checkpoint.safetensors --out small");
    leave_folder();
}

static void refuses(const char *before, const char *layers, const char *why)
{
    struct outcome o;

    enter_folder();
    write_net(before, layers, "f32");
    o = folded(RNET_FAILED);
    assert_contains(o.error, why);
    assert_contains(o.error, "there is no layer that can be folded");
    run_expecting(1, "test -e small/net.rnet -o -e small/checkpoint.safetensors");
    leave_folder();
}

static void what_cannot_be_folded_is_refused(void **state)
{
    (void)state;
    refuses("", "|> flatten |> linear(6) |> batch_norm |> relu |> dense(3)", "could take the shift: it wants a bias");
    refuses("", "|> residual(|> conv2d(2) |> relu) |> batch_norm |> relu |> flatten |> dense(3)", "is read elsewhere too; behind it: max stands between it and the product");
    refuses("layer held(x[i]; norm: layer) -> y[o: 5] { y = x |> dense(5) |> norm }\n", "|> flatten |> held(|> batch_norm) |> dense(3)",
            "it is a layer value by itself");
    refuses("", "|> flatten |> dense(3)", "there is no layer that can be folded");
    refuses("layer twice(x[i]) -> y[o: 5] {\n    same = |> dense(5)\n    a = same(x)\n    b = a |> batch_norm\n    y = b + same(x + 1)\n}\n",
            "|> flatten |> twice |> relu |> dense(3)", "is read elsewhere too");
}

static void a_folded_program_is_no_run_to_go_on_with(void **state)
{
    (void)state;
    enter_folder();
    write_net("", "|> flatten |> dense(6) |> batch_norm |> relu |> dense(3)", "f32");
    folded(RNET_DONE);
    run_expecting(RNET_DONE, "rnetc eval small/net.rnet --checkpoint small/checkpoint.safetensors");
    run_expecting(RNET_DONE, "rnetc train small/net.rnet --init small/checkpoint.safetensors --out more");
    run_expecting(RNET_DATA, "rnetc train small/net.rnet --out small --resume");
    run_expecting(RNET_USAGE, "rnetc fold net.rnet --out small");
    leave_folder();
}

/* Answers read averages; training goes on with what they are of. */
static void averages_are_folded_and_what_they_are_of(void **state)
{
    (void)state;
    enter_folder();
    write_net("", "|> flatten |> dense(6) |> batch_norm |> relu |> dense(3)", "f64");
    run_expecting(0, "sed -i 's/    batch = 12/    average = ema(0)\\n    batch = 12/' net.rnet");
    folded(RNET_DONE);
    assert_true(difference() < 1e-12);
    /* Averages that forget at once are what they are of. */
    run_expecting(RNET_DONE, "cp small/net.rnet averaged.rnet; sed -i '/average/d' small/net.rnet");
    assert_true(difference() < 1e-12);
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(into_the_product_before),
        cmocka_unit_test(into_the_product_behind_data),
        cmocka_unit_test(behind_a_nonlinearity_into_the_product_behind),
        cmocka_unit_test(whatever_the_product_is),
        cmocka_unit_test(in_all_places_at_once),
        cmocka_unit_test(any_layer_that_is_affine_in_evaluation),
        cmocka_unit_test(what_stays_is_said),
        cmocka_unit_test(what_cannot_be_folded_is_refused),
        cmocka_unit_test(averages_are_folded_and_what_they_are_of),
        cmocka_unit_test(a_folded_program_is_no_run_to_go_on_with),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
