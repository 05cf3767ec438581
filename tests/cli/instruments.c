/* instruments.c: covariate shift, batch norm's bound, curvature, the Fisher matrix and the loss surface as PyTorch has them: the stored
   numbers are those of tests/oracle/torch_curvature.py. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static void write_net(const char *middle, int batch)
{
    char text[4000];

    snprintf(text, sizeof text,
             "data waves {\n"
             "    samples = 24\n"
             "    train { x[i: 4] = sin(1 + i + 3 * batch)\n"
             "        label = batch %% 3 }\n"
             "}\n"
             "model net(x[i: 4], label in 3) -> z[k: 3] {\n"
             "    param V[i, o: 6] = sin(1 + 7 * i + 3 * o), gain[o] = 1 + o / 10\n"
             "    param W[o, k: 3] = sin(2 + 5 * o + 2 * k + 3 * o * k), c[k] = 0\n"
             "    a[o] = sum[i] x[i] * V[i, o]\n"
             "%s"
             "    h[o] = tanh(y[o])\n"
             "    z[k] = (sum[o] h[o] * W[o, k]) + c[k]\n"
             "    nll = log(sum[k] exp(z[k])) - z[label]\n"
             "}\n"
             "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
             "train net on waves {\n"
             "    loss      = nll\n"
             "    optimizer = descent(rate = 0.1)\n"
             "    batch     = %d\n"
             "    steps     = 3\n"
             "    precision = f64\n"
             "}\n",
             middle, batch);
    write_file("net.rnet", text);
}

static const char *const normalised = "    if training {\n"
                                      "        m[o] = mean[batch] a[o]\n"
                                      "        s[o] = mean[batch] (a[o] - m[o])^2\n"
                                      "        y[o] = gain[o] * (a[o] - m[o]) / sqrt(s[o])\n"
                                      "    } else {\n"
                                      "        y[o] = gain[o] * a[o]\n"
                                      "    }\n";
static const char *const plain = "    y[o] = gain[o] * a[o]\n";

/* The number behind `key` behind `from`. */
static double number_of(const char *json, const char *from, const char *key)
{
    assert_contains(json, from);
    return number_behind(strstr(json, from), key);
}

/* Nine digits are printed and stored. */
static void assert_near(const char *json, const char *from, const char *key, double expected)
{
    double got = number_of(json, from, key);

    if (!(fabs(got - expected) <= 2e-8 * fabs(expected)))
        fail_msg("%s %s is %.9g, not %.9g", from, key, got, expected);
}

static void covariate_shift_is_that_of_torch(void **state)
{
    const char *json;

    (void)state;
    enter_folder();
    write_net(normalised, 24);
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --shift --json").out;
    assert_near(json, "\"parameter\": \"net.W\"", "\"gradient\": ", 0.307038034);
    assert_near(json, "\"parameter\": \"net.W\"", "\"moved\": ", 0.30402588);
    assert_near(json, "\"parameter\": \"net.W\"", "\"change\": ", 0.00462642549);
    assert_near(json, "\"parameter\": \"net.W\"", "\"cosine\": ", 0.999933952);
    assert_near(json, "\"parameter\": \"net.c\"", "\"moved\": ", 0.0335062845);
    assert_near(json, "\"parameter\": \"net.c\"", "\"change\": ", 0.0010194885);
    /* Nothing before them moves. */
    assert_null(strstr(json, "\"parameter\": \"net.V\""));
    assert_null(strstr(json, "\"parameter\": \"net.gain\""));
    leave_folder();
}

static void the_bound_is_that_of_torch_with_equality(void **state)
{
    const char *json;

    (void)state;
    enter_folder();
    write_net(normalised, 24);
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --bound --json").out;
    assert_contains(json, "{\"equation\": \"net.y\", \"line\": 13, \"over\": \"batch\", \"elements\": 24, ");
    assert_near(json, "\"bound\"", "\"held\": ", 0.032970111);
    assert_near(json, "\"bound\"", "\"mean\": ", 5.28482681e-05);
    assert_near(json, "\"bound\"", "\"along\": ", 0.00033261673);
    assert_near(json, "\"bound\"", "\"gradient\": ", 0.032584646);
    assert_true(number_of(json, "\"bound\"", "\"off\": ") < 1e-13); /* of sums of 24 squares */
    leave_folder();
}

/* Over which axes, behind which equations, is all the same; what standardises nothing is not listed. */
static void every_standardisation_is_found_and_no_softmax(void **state)
{
    const char *out;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data cloud { samples = 32\n    train { x[h: 6, w: 6, c: 1] ~ normal(0, 1)\n label = x[0, 0, 0] > 0 } }\n"
                           "model net(x[h: 6, w: 6, c: 1], label in 2) -> logits[class: 2] {\n"
                           "    a = x |> conv2d(4) |> batch_norm |> relu\n"
                           "    b = a |> conv2d(4) |> layer_norm |> relu\n"
                           "    r = b + (b |> instance_norm)\n"
                           "    g = r |> rms_norm |> group_norm(2) |> global_mean\n"
                           "    p = softmax(g)\n"
                           "    logits = p |> dense(2)\n"
                           "}\n"
                           "train net on cloud { loss = cross_entropy(logits, label)\n optimizer = gd(rate = 0.1)\n batch = 16\n steps = 3 }\n");
    out = run("rnetc probe net.rnet --bound").out;
    assert_contains(out, "\nnet.batch_norm_1.y        6 batch, ");
    assert_contains(out, "\nnet.layer_norm_1.y        7 ");
    assert_contains(out, "\nnet.instance_norm_1.y     8 h, w ");
    assert_contains(out, "\nnet.group_norm_1.n        9 h, w, g by 2 ");
    out = strstr(out, "what standardising takes");
    assert_non_null(out);
    assert_null(strstr(out, "rms_norm"));
    assert_null(strstr(out, "net.p"));
    assert_null(strstr(out, "cross_entropy"));
    write_net(plain, 24);
    assert_contains(run("rnetc probe net.rnet --bound").out, "\nno equation standardises what it is made of\n");
    leave_folder();
}

static void second_derivatives_are_those_of_torch(void **state)
{
    /* Of the blocks of V, gain, W and c. */
    static const double traces[] = {0.806572816, 0.175491217, 2.14883503, 0.610971376};
    static const char *const names[] = {"net.V", "net.gain", "net.W", "net.c"};
    const char *json;

    (void)state;
    enter_folder();
    write_net(normalised, 24);
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --curvature --json").out;
    assert_near(json, "\"curvature\"", "\"greatest\": ", 1.26193334);
    assert_near(json, "\"curvature\"", "\"least\": ", -0.336411304);
    assert_near(json, "\"curvature\"", "\"along_gradient\": ", 0.992770878);
    assert_near(json, "\"curvature\"", "\"along_step\": ", 0.992770878);
    assert_near(json, "\"curvature\"", "\"first\": ", -0.0117797049);
    assert_near(json, "\"curvature\"", "\"second\": ", 0.000584727398);
    for (int i = 0; i < 4; i++) {
        char name[40];
        double trace, error;

        snprintf(name, sizeof name, "\"parameter\": \"%s\"", names[i]);
        trace = number_of(strstr(json, "\"traces\""), name, "\"trace\": ");
        error = number_of(strstr(json, "\"traces\""), name, "\"error\": ");
        /* A mean of 16 draws with a fixed seed. */
        if (!(fabs(trace - traces[i]) < 4 * error && error < 0.6))
            fail_msg("the trace of %s is %.9g +- %.3g, not %.9g", names[i], trace, error, traces[i]);
    }
    leave_folder();
}

static void fisher_blocks_and_divergence_are_those_of_torch(void **state)
{
    const char *json;

    (void)state;
    enter_folder();
    write_net(normalised, 24);
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --fisher c --json").out;
    assert_contains(json, "\"natural\": true, ");
    assert_near(json, "\"fisher\"", "\"divergence\": ", 0.00059307506);
    assert_near(json, "\"fisher\"", "\"form\": ", 0.000589573282);
    assert_contains(json, "[[0.20825727, -0.109005933, -0.0992513362],\n    [-0.109005933, 0.206234352, -0.0972284186],\n"
                          "    [-0.0992513362, -0.0972284186, 0.196479755]]");
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --fisher net.W --json").out;
    assert_contains(json, "[[0.104058849, -0.0543906954, ");
    assert_contains(json, "\"eigenvalues\": [1.0331851, 0.933604933, 0.0907572102, ");
    /* V stands before what the batch is pooled by. */
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --fisher V --json").out;
    assert_contains(json, "\"eigenvalues\": [0.925932371, 0.276574784, 0.0978448943, ");
    /* Of a squared difference of something bent the label bends the loss. */
    run_expecting(0, "sed -i 's/nll = .*/nll = (exp(z[0]) - label)^2/' net.rnet");
    assert_contains(run("rnetc probe net.rnet --fisher c").out, "Gauss and Newton's matrix (the label bends the loss: it is not the Fisher matrix) of net.z");
    leave_folder();
}

static void a_fisher_matrix_that_is_none_is_refused(void **state)
{
    (void)state;
    enter_folder();
    write_net(normalised, 24);
    assert_contains(run_expecting(RNET_FAILED, "rnetc probe net.rnet --fisher U").error, "there is no parameter U that the step trains");
    run_expecting(0, "sed -i 's/nll = .*/nll = log(sum[k] exp(z[k])) - z[label] + sum[o] a[o]^2/' net.rnet");
    assert_contains(run_expecting(RNET_FAILED, "rnetc probe net.rnet --fisher c").error, "the loss depends on parameters in other ways than through net.z");
    run_expecting(0, "sed -i 's/nll = .*/nll = z[label]/' net.rnet");
    assert_contains(run_expecting(RNET_FAILED, "rnetc probe net.rnet --fisher c").error, "the loss is straight in net.z");
    leave_folder();
}

/* Of several train blocks those that have it show it; what none has is a failure. */
static void what_one_block_cannot_give_another_may(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("two.rnet", "data line { samples = 8\n    train { x = batch / 8 } }\n"
                           "model one(x) -> z {\n    param w = 1\n    z = w * x\n}\n"
                           "model two(x) -> z {\n    param u[o: 4] = 1 + o, v[o] = o / 4\n    z = sum[o] u[o] * v[o] * x\n}\n"
                           "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
                           "train one on line { loss = z^2\n optimizer = descent(rate = 0.1)\n batch = 4\n steps = 2 }\n"
                           "train two on line { loss = z^2\n optimizer = descent(rate = 0.01)\n batch = 4\n steps = 2 }\n");
    o = run_expecting(RNET_DONE, "rnetc probe two.rnet --fisher u");
    assert_contains(o.error, "one: there is no parameter u that the step trains");
    assert_contains(o.out, "of two.z, the block of two.u: ");
    assert_contains(o.out, "\nstep 1 of one, ");
    o = run_expecting(RNET_FAILED, "rnetc probe two.rnet --fisher none");
    assert_contains(o.error, "two: there is no parameter none that the step trains");
    leave_folder();
}

static void the_surface_is_that_of_torch(void **state)
{
    (void)state;
    enter_folder();
    write_net(normalised, 24);
    assert_contains(run_expecting(RNET_DONE, "rnetc probe net.rnet --landscape 3 --json").out,
                    "\"loss\": [3.07622961, 2.19580074, 1.32474097, 2.22722266, 1.15178503, 1.39504614, 1.86842671, 1.63601667, 2.17346362]");
    assert_contains(run_expecting(RNET_USAGE, "rnetc probe net.rnet --landscape 4").error, "expected an odd number from 3 to 101");
    leave_folder();
}

/* Where no sample meets another, two halves have the mean of the whole. */
static void the_mean_of_two_batches_is_that_of_one_of_both(void **state)
{
    const char *options = "--shift --curvature --fisher c --landscape 3 --json";
    const char *json, *const keys[] = {"\"gradient\": ", "\"along_gradient\": ", "\"greatest\": ", "\"least\": "};
    char whole[60000];

    (void)state;
    enter_folder();
    write_net(plain, 24);
    snprintf(whole, sizeof whole, "%s", run_expecting(RNET_DONE, "rnetc probe net.rnet %s", options).out);
    run_expecting(0, "sed -i 's/batch     = 24/batch     = 12/' net.rnet");
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --batches 2 %s", options).out;
    assert_near(json, "", "\"mean_loss\": ", number_of(whole, "", "\"loss\": "));
    assert_near(json, "{\"name\": \"net.V\"", "\"mean_gradient_norm\": ", number_of(whole, "{\"name\": \"net.V\"", "\"gradient_norm\": "));
    assert_near(json, "{\"name\": \"net.h\"", "\"mean\": ", number_of(whole, "{\"name\": \"net.h\"", "\"mean\": "));
    for (int i = 1; i < 4; i++)
        assert_near(json, "\"curvature\"", keys[i], number_of(whole, "\"curvature\"", keys[i]));
    assert_near(json, "\"matrix\"", "[[", number_of(whole, "\"matrix\"", "[["));
    assert_near(json, "\"landscape\"", "\"loss\": [", number_of(whole, "\"landscape\"", "\"loss\": ["));
    /* Norms are means of norms, which are larger than the norm of the mean. */
    assert_true(number_of(json, "\"shift\"", "\"gradient\": ") > 1.0001 * number_of(whole, "\"shift\"", "\"gradient\": "));
    /* One after the other. */
    snprintf(whole, sizeof whole, "%s", run_expecting(RNET_DONE, "rnetc probe net.rnet --json").out);
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --at 2 --json").out;
    assert_contains(json, "\"step\": 2, \"batches\": 1");
    {
        double first = number_of(whole, "", "\"loss\": "), second = number_of(json, "", "\"loss\": ");
        const char *both = run_expecting(RNET_DONE, "rnetc probe net.rnet --batches 2 --json").out;

        assert_true(fabs(first - second) > 1e-6);
        assert_near(both, "", "\"mean_loss\": ", (first + second) / 2);
        /* Of two numbers: half their distance. */
        assert_true(fabs(number_of(both, "", "\"loss_error\": ") - fabs(first - second) / 2) < 2e-9);
    }
    leave_folder();
}

static void a_unit_that_lives_in_one_batch_is_not_dead(void **state)
{
    const char *json;

    (void)state;
    enter_folder();
    write_file("net.rnet", "data line { samples = 8\n    train { x = batch } }\n"
                           "model net(x) -> z {\n    param w[o: 4] = 1, u[o] = 1\n"
                           "    a[o] = w[o] * x - (if o < 2 then 3.5 else 100)\n    r[o] = max(a[o], 0)\n    z = sum[o] r[o] * u[o]\n}\n"
                           "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
                           "train net on line { loss = z^2\n optimizer = descent(rate = 1e-4)\n batch = 4\n order = sequential\n steps = 2 }\n");
    json = run("rnetc probe net.rnet --json").out;
    assert_near(json, "{\"name\": \"net.r\"", "\"dead\": ", 1); /* of 0, 1, 2, 3 */
    json = run("rnetc probe net.rnet --json --batches 2").out;
    assert_near(json, "{\"name\": \"net.r\"", "\"dead\": ", 0.5);
    leave_folder();
}

/* Recurrences, tables, draws and dropout are equations, too. */
static void instruments_work_on_other_nets(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data words { samples = 32\n    train { t[s: 6] = (batch * 3 + s) % 5\n label = batch % 2 } }\n"
                           "model net(t[s: 6] in 5, label in 2) -> logits[class: 2] {\n"
                           "    e = t |> embedding(5, 3)\n    h = e |> gru(4)\n    y = last(h) |> dropout(0.3) |> layer_norm\n    logits = y |> dense(2)\n}\n"
                           "train net on words { loss = cross_entropy(logits, label)\n optimizer = adam()\n batch = 16\n steps = 3 }\n");
    o = run("rnetc probe net.rnet --shift --bound --curvature --fisher dense_1.b --landscape 3");
    assert_contains(o.out, "\nshift: the gradient g of each parameter");
    assert_contains(o.out, "\nnet.layer_norm_1.y ");
    assert_contains(o.out, "\ncurvature of the objective, by ");
    assert_contains(o.out, "\nthe Fisher matrix of net.");
    assert_contains(o.out, "\nthe loss on a plane: ");
    {
        /* The step's own: first and second order are nearly all of what it does. */
        double first, second, sum, measured;

        assert_int_equal(sscanf(strstr(o.out, "g'd + d'Hd/2 = "), "g'd + d'Hd/2 = %lf + %lf = %lf; measured: %lf", &first, &second, &sum, &measured), 4);
        assert_true(fabs(sum - measured) < 0.05 * fabs(measured));
    }
    leave_folder();
}

/* Stored: tests/oracle/scipy_statistics.py, twelve digits. */
static void divergence_and_distance_are_those_of_scipy(void **state)
{
    (void)state;
    enter_folder();
    write_file("statistics.rnet", "use std\n"
                                  "model shown() -> d {\n"
                                  "    x[n: 200] = 3 * sin(1.7 * n + 0.3 * n * n)\n"
                                  "    d = kolmogorov_smirnov[n]((1 + erf(x[n] / 2 / sqrt(2))) / 2)\n"
                                  "    chance = kolmogorov_tail(d, 200)\n"
                                  "    e = kolmogorov_smirnov[n](if x[n] < 0 then exp(x[n]) / 2 else 1 - exp(-x[n]) / 2)\n"
                                  "    p[k: 7] = softmax[k](sin(k))\n"
                                  "    q[k] = softmax[k](cos(2 * k))\n"
                                  "    expect \"normal\" abs(d - 0.183372838542) < 1e-11\n"
                                  "    expect \"its chance\" abs(chance - 2.88181001042e-6) < 1e-16\n"
                                  "    expect \"laplace\" abs(e - 0.295693035508) < 1e-11\n"
                                  "    expect \"there\" abs(kl[k](p[k], q[k]) - 0.597167399747) < 1e-11\n"
                                  "    expect \"back\" abs(kl[k](q[k], p[k]) - 0.464088046061) < 1e-11\n"
                                  "    expect \"without one\" abs(kl[k](if k == 3 then 0 else p[k], q[k]) - 0.684683741863) < 1e-11\n"
                                  "}\n");
    assert_contains(run_expecting(RNET_DONE, "rnetc lab statistics.rnet").out, "6 of 6 met");
    leave_folder();
}

static int occurrences(const char *text, const char *part)
{
    int count = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        count++;
    return count;
}

static void a_page_has_a_picture_of_each(void **state)
{
    char *page;

    (void)state;
    enter_folder();
    write_net(normalised, 24);
    run_expecting(RNET_DONE, "rnetc probe net.rnet --shift --bound --curvature --fisher W --landscape 5 --smoothness 9 --report page.html");
    page = read_file("page.html", NULL);
    assert_int_equal(occurrences(page, "<rect class=\"heat\""), 25);
    assert_true(occurrences(page, "<path class=\"contour\"") > 1);
    assert_contains(page, "<title>1.152</title>"); /* the centre */
    assert_contains(page, "<b>local smoothness along the steps</b>");
    assert_contains(page, "<b>Fisher matrix, block of net.W</b>");
    assert_contains(page, "<h3>Curvature</h3>");
    assert_contains(page, "<td class=\"left\">net.y</td><td>13</td><td>batch</td><td>24</td>");
    assert_contains(page, "<h3>Covariate shift</h3>");
    assert_int_equal(occurrences(page, "<svg"), occurrences(page, "</svg>"));
    assert_int_equal(occurrences(page, "<figure>"), occurrences(page, "</figure>"));
    free(page);
    run_expecting(RNET_FAILED, "rnetc probe net.rnet --report none/page.html");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(covariate_shift_is_that_of_torch),
        cmocka_unit_test(the_bound_is_that_of_torch_with_equality),
        cmocka_unit_test(every_standardisation_is_found_and_no_softmax),
        cmocka_unit_test(second_derivatives_are_those_of_torch),
        cmocka_unit_test(fisher_blocks_and_divergence_are_those_of_torch),
        cmocka_unit_test(a_fisher_matrix_that_is_none_is_refused),
        cmocka_unit_test(what_one_block_cannot_give_another_may),
        cmocka_unit_test(the_surface_is_that_of_torch),
        cmocka_unit_test(the_mean_of_two_batches_is_that_of_one_of_both),
        cmocka_unit_test(a_unit_that_lives_in_one_batch_is_not_dead),
        cmocka_unit_test(instruments_work_on_other_nets),
        cmocka_unit_test(a_page_has_a_picture_of_each),
        cmocka_unit_test(divergence_and_distance_are_those_of_scipy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
