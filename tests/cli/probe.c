/* probe.c: rnetc probe says what is wrong with nets that are broken on purpose, and measures what PyTorch measures. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* A classifier of normal numbers; a layer a line from line 9 on. */
static void write_net(const char *layers, const char *last, double rate, int batch)
{
    char text[4000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud {\n"
             "    samples = 256\n"
             "    train { x[i: 8] ~ normal(0, 1)\n"
             "        label = x[0] + x[1] > 0 }\n"
             "}\n"
             "model net(x[i: 8], label in 2) -> logits[class: 2] {\n"
             "    h = x\n"
             "%s"
             "    logits = h |> dense(2%s)\n"
             "    nll = cross_entropy(logits, label)\n"
             "}\n"
             "train net on cloud {\n"
             "    loss      = nll\n"
             "    optimizer = gd(rate = %g)\n"
             "    batch     = %d\n"
             "    steps     = 10\n"
             "}\n",
             layers, last, rate, batch);
    write_file("net.rnet", text);
}

/* What is asserted stands in the first three lines. */
static struct outcome probe(int status, const char *options)
{
    static char first[8000];
    struct outcome o = run_expecting(status, "rnetc probe net.rnet %s", options);
    const char *at = o.out;

    for (int i = 0; i < 3 && at; i++)
        at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL;
    snprintf(first, sizeof first, "%.*s", at ? (int)(at - o.out) : (int)strlen(o.out), o.out);
    o.out = first;
    return o;
}

static const char *const zero = "    |> dense(16, zero) |> relu\n    |> dense(16, zero) |> relu\n";

static void zero_weights_are_dead(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(zero, ", zero", 0.1, 64);
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:9: net: symmetry: the units of ");
    assert_contains(o.out, "; net.dense_1.W is 0 throughout: ");
    assert_contains(o.out, "no gradient reaches net.dense_1.W, net.dense_1.b, net.dense_2.W, net.dense_2.b and 1 more");
    leave_folder();
}

static void zero_weights_are_symmetric_where_gradients_come_through(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> dense(16, zero) |> sigmoid\n", "", 0.1, 64);
    probe(RNET_DONE, ""); /* the drawn weights after it break the symmetry */
    write_net("    |> dense(16, zero) |> sigmoid\n    |> dense(16, zero) |> sigmoid\n", ", zero", 0.1, 64);
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:9: net: symmetry: the units of ");
    leave_folder();
}

static void zero_weights_of_the_last_layer_are_no_fault(void **state)
{
    (void)state;
    enter_folder();
    write_net("    |> dense(16) |> relu\n    |> dense(16) |> relu\n", ", zero", 0.1, 64);
    assert_contains(probe(RNET_DONE, "").out, "healthy  net.rnet: net: nothing is wrong");
    leave_folder();
}

static void a_rate_of_100_is_too_large(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> dense(16) |> relu\n    |> dense(16) |> relu\n", "", 100, 64);
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:11: net: the step is too large: it changes net.dense_3.W by ");
    assert_contains(o.out, " times its norm and takes the loss of its own batch from 0.");
    write_net("    |> dense(16) |> relu\n    |> dense(16) |> relu\n", "", 0.1, 64);
    probe(RNET_DONE, "");
    leave_folder();
}

static void thirty_sigmoids_lose_the_gradient(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> repeat 30 { |> dense(16) |> sigmoid }\n", "", 0.1, 64);
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:9: net: the gradient vanishes on its way back: its norm is 0.");
    assert_contains(o.out, " over 29 layers (times 0.3");
    write_net("    |> repeat 30 { |> dense(16) |> relu |> batch_norm }\n", "", 0.1, 64);
    o = run("rnetc probe net.rnet");
    assert_null(strstr(o.out, "vanishes"));
    write_net("    |> repeat 30 { |> linear(16, wide) }\n", "", 0.001, 64);
    run_expecting(0, "echo 'fn wide[i; o] = normal(0, 1)' >> net.rnet");
    o = run_expecting(RNET_FAILED, "rnetc probe net.rnet");
    assert_contains(o.out, "the gradient explodes on its way back: ");
    assert_contains(o.out, "the values explode on their way: ");
    leave_folder();
}

static void so_do_thirty_steps_of_a_recurrence(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> tower\n", "", 0.1, 64);
    run_expecting(0, "printf 'layer tower(x[o]) -> y[o] {\\n param W[l: 30, i: size(o), o] ~ glorot[i; o]\\n"
                     " over l from a[o] = x[o] { a[l, o] = sigmoid(sum[i] a[l - 1, i] * W[l, i, o]) }\\n y = last(a)\\n}\\n' >> net.rnet");
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:9: net: the gradient at net.tower_1.a vanishes along l: by 10^-1");
    assert_contains(o.out, " over its 30 steps, times 0.");
    leave_folder();
}

static void a_batch_of_one_has_no_variance(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> dense(16)\n    |> batch_norm |> relu\n", "", 0.1, 1);
    o = probe(RNET_SOURCE, "");
    assert_contains(o.out, "wrong    net.rnet:10: net: net.batch_norm_1.m pools the batch, and there are no numbers with a batch of 1 sample");
    assert_contains(o.error, "error [E0404]: n - 1 is 0");
    run_expecting(0, "sed -i 's/batch     = 1/batch     = 2/' net.rnet");
    probe(RNET_DONE, "");
    /* Where a sample has several numbers, its statistics are no fault; the line is that of the others. */
    write_net("    |> pixels |> batch_norm |> relu |> mean_pixel\n    |> batch_norm |> relu\n", "", 0.1, 1);
    run_expecting(0, "printf 'layer pixels(x[i]) -> y[p: 4, c: 16] {\\n param W[i, p, c] ~ normal(0, 1)\\n y[p, c] = sum[i] x[i] * W[i, p, c]\\n}\\n"
                     "layer mean_pixel(x[p, c]) -> y[c] { y[c] = mean[p] x[p, c] }\\n' >> net.rnet");
    o = probe(RNET_SOURCE, "");
    assert_contains(o.out, "wrong    net.rnet:10: net: net.batch_norm_2.m pools the batch, and there are no numbers with a batch of 1 sample");
    /* The same without the unbiased variance, which has numbers. */
    write_net("    |> dense(16)\n    |> center |> relu\n", "", 0.1, 1);
    run_expecting(0, "printf 'layer center(x[..., c]) -> y[..., c] {\\n if training {\\n m[c] = mean[batch, ...] x[..., c]\\n"
                     " y[..., c] = x[..., c] - m[c]\\n } else { y = x }\\n}\\n' >> net.rnet");
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:10: net: net.center_1.m pools the batch, and the batch is 1 sample: ");
    run_expecting(0, "sed -i 's/batch     = 1/batch     = 64/' net.rnet");
    probe(RNET_DONE, "");
    leave_folder();
}

static void noise_before_statistics_shifts_the_variance(void **state)
{
    struct outcome o;
    double ratio;

    (void)state;
    enter_folder();
    write_net("    |> dense(16) |> relu |> dropout(0.5)\n    |> batch_norm |> relu\n", "", 0.1, 256);
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:10: net: variance shift: net.batch_norm_1.m pools net.dropout_1.y (line 9)");
    ratio = strtod(strstr(o.out, "its variance is there ") + strlen("its variance is there "), NULL);
    /* Var(2 keep x) / Var(x) = 2 + E(x)^2 / Var(x); x = max(z, 0) of a normal z of mean 0 has E(x)^2 / Var(x) = 1 / (pi - 1) = 0.47, and over
       16 units of 256 samples this comes out within a tenth. */
    assert_true(fabs(ratio - (2 + 1 / (M_PI - 1))) < 0.25);
    write_net("    |> dense(16) |> batch_norm |> relu\n    |> dropout(0.5)\n", "", 0.1, 256);
    probe(RNET_DONE, "");
    leave_folder();
}

static void dead_and_saturated_units_are_counted(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    low = h |> dense(16)\n    h2 = low - 30\n    g = relu(h2)\n    k = g |> dense(16)\n", "", 0.1, 64);
    run_expecting(0, "sed -i 's/logits = h /logits = k + low /' net.rnet");
    o = run("rnetc probe net.rnet");
    assert_contains(o.out, "net.rnet:11: net: dead units: 100 % of those of net.g have the derivative 0 for every sample");
    write_net("    far = h |> dense(16)\n    g = tanh(100 * far)\n", "", 0.001, 64);
    run_expecting(0, "sed -i 's/logits = h /logits = g /' net.rnet");
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "net.rnet:10: net: saturated: at 9");
    leave_folder();
}

static void numbers_that_are_not_finite_are_placed(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    a = h |> dense(16)\n    g = log(a)\n", "", 0.1, 64);
    run_expecting(0, "sed -i 's/logits = h /logits = g /' net.rnet");
    o = probe(RNET_FAILED, "");
    assert_contains(o.out, "wrong    net.rnet:10: net: net.g is not finite");
    leave_folder();
}

static void a_checkpoint_is_looked_at_as_it_is(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> dense(16) |> tanh\n", "", 0.1, 64);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --checkpoint run/checkpoint.safetensors");
    assert_contains(o.out, "\nstep 11 of net, batch of 64 from cloud.train, f32; loss 0.");
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --csv | head -1");
    assert_string_equal(o.out, "model,kind,name,line,depth,mean,deviation,norm,zeros,dead,saturated,gradient_norm,update\n");
    run_expecting(RNET_DATA, "rnetc probe net.rnet --batch 1000");
    /* Of several blocks, the one that the checkpoint stands in. */
    run_expecting(0, "cat net.rnet >two.rnet && sed 's/net/more/;1,/^}/d' net.rnet | sed 's/net(/more(/;s/train net/train more/' >>two.rnet");
    run_expecting(RNET_DONE, "rnetc train two.rnet --out both --steps 13");
    o = run_expecting(RNET_DONE, "rnetc probe two.rnet --checkpoint both/checkpoint.safetensors");
    assert_contains(o.out, "\nstep 4 of more, batch of 64 from cloud.train, f32; loss 0.");
    assert_null(strstr(o.out, " of net, "));
    write_file("net.rnet", "model m() -> y { param w = 1\n y = w }\n");
    o = run_expecting(RNET_SOURCE, "rnetc probe net.rnet");
    assert_contains(o.error, "net.rnet: there is no train block, so there is no step to look at");
    leave_folder();
}

/* ---- the numbers, by tests/oracle/torch_probe.py ---- */

/* The number under `key` of the entry `name`, or the number-th of its list. */
static double number_in(const char *json, const char *name, const char *key, int number)
{
    char text[200];
    const char *at, *end;

    snprintf(text, sizeof text, "{\"name\": \"%s\"", name);
    at = strstr(json, text);
    if (!at)
        fail_msg("no %s in %s", name, json);
    end = strchr(at, '}');
    snprintf(text, sizeof text, "\"%s\": ", key);
    at = strstr(at, text);
    if (!at || at > end)
        fail_msg("no %s of %s in %s", key, name, json);
    at += strlen(text);
    if (number >= 0)
        at++;
    for (; number > 0; number--)
        at = strchr(at, ',') + 1;
    return strtod(at, NULL);
}

/* Nine digits are printed and stored. */
static void assert_number(const char *json, const char *name, const char *key, int number, double expected)
{
    double got = number_in(json, name, key, number);

    if (!(fabs(got - expected) <= 2e-8 * fabs(expected)))
        fail_msg("%s of %s is %.9g, not %.9g", key, name, got, expected);
}

static const char *const rest = "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
                                "train net on waves {\n"
                                "    loss      = nll\n"
                                "    optimizer = descent(rate = 0.1)\n"
                                "    batch     = 24\n"
                                "    steps     = 3\n"
                                "    precision = f64\n"
                                "}\n";

static void a_chain_is_measured_as_by_torch(void **state)
{
    char text[4000];
    const char *json;

    (void)state;
    enter_folder();
    snprintf(text, sizeof text, "data waves {\n"
                                "    samples = 24\n"
                                "    train { x[i: 4] = sin(1 + i + 3 * batch)\n"
                                "        y = cos(2 * batch) }\n"
                                "}\n"
                                "model net(x[i: 4], y) -> z {\n"
                                "    param V[i, o: 6] = 4 * sin(1 + 7 * i + 3 * o), W[o, p: 5] = sin(2 + 5 * o + 2 * p) / 2, u[p] = cos(p), c[p] = 0\n"
                                "    a[o] = sum[i] x[i] * V[i, o]\n"
                                "    h[o] = tanh(a[o])\n"
                                "    r[p] = max(sum[o] h[o] * W[o, p] + c[p] - 1 / 2, 0)\n"
                                "    z = sum[p] r[p] * u[p]\n"
                                "    nll = (z - y)^2\n"
                                "}\n%s", rest);
    write_file("net.rnet", text);
    json = run_expecting(RNET_FAILED, "rnetc probe net.rnet --json").out;
    assert_contains(json, "\"loss\": 0.516318405, \"loss_after\": 0.511664849,");
    assert_contains(json, "dead units: 80 % of those of net.r ");
    assert_contains(json, "saturated: at 61 % of the elements of net.h ");
    assert_number(json, "net.a", "mean", -1, 0.0161762273);
    assert_number(json, "net.a", "deviation", -1, 4.96123352);
    assert_number(json, "net.a", "gradient_norm", -1, 0.0382441721);
    assert_number(json, "net.h", "norm", -1, 11.4764003);
    assert_number(json, "net.h", "gradient_norm", -1, 0.0826797921);
    assert_number(json, "net.h", "saturated", -1, 0.611111111);
    assert_number(json, "net.h", "dead", -1, 0);
    assert_number(json, "net.r", "deviation", -1, 0.0104529591);
    assert_number(json, "net.r", "zeros", -1, 0.983333333);
    assert_number(json, "net.r", "dead", -1, 0.8);
    assert_number(json, "net.r", "gradient_norm", -1, 0.49717428);
    assert_number(json, "net.z", "gradient_norm", -1, 0.293348031);
    assert_number(json, "net.V", "gradient_norm", -1, 0.0595763609);
    assert_number(json, "net.V", "update", -1, 0.000412329076);
    assert_number(json, "net.W", "update", -1, 0.00933617171);
    assert_number(json, "net.u", "update", -1, 0.000551629539);
    assert_number(json, "net.c", "gradient_norm", -1, 0.104716338);
    leave_folder();
}

static void steps_of_a_recurrence_are_measured_as_by_torch(void **state)
{
    static const double norms[] = {3.63833038, 4.91274357, 4.82127535, 4.37891453, 4.31861114, 4.23168641,
                                   4.08938087, 4.30843575, 4.36196791, 4.15744356, 4.27697736, 4.35934871};
    static const double gradients[] = {0.000151274827, 0.000329902701, 0.000974344796, 0.00176966085, 0.00241876373, 0.00457920943,
                                       0.00779553692,  0.0106135327,   0.0201664362,   0.0380675451,  0.0638541481,  0.688607447};
    char text[4000];
    const char *json;

    (void)state;
    enter_folder();
    snprintf(text, sizeof text, "data waves {\n"
                                "    samples = 24\n"
                                "    train { x[t: 12] = sin(1 + t + 3 * batch)\n"
                                "        y = cos(2 * batch) }\n"
                                "}\n"
                                "model net(x[t: 12], y) -> z {\n"
                                "    param U[u: 3, v: 3] = sin(1 + 2 * u + 5 * v) / 2, w[u] = cos(u)\n"
                                "    over t from h[u: 3] = 0 {\n"
                                "        h[t, u] = tanh(x[t] * w[u] + sum[v] h[t - 1, v] * U[u, v])\n"
                                "    }\n"
                                "    z = sum[u] h[11, u]\n"
                                "    nll = (z - y)^2\n"
                                "}\n%s", rest);
    write_file("net.rnet", text);
    assert_contains(run_expecting(RNET_DONE, "rnetc probe net.rnet").out,
                    "\nnet.h (line 8) along t: norm of the gradient, times 0.528 a step back\n  0.00015 0.00033 ");
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --json").out;
    for (int t = 0; t < 12; t++) {
        assert_number(json, "net.h", "norm_by_step", t, norms[t]);
        assert_number(json, "net.h", "gradient_norm_by_step", t, gradients[t]);
    }
    assert_number(json, "net.U", "gradient_norm", -1, 0.542733749);
    assert_number(json, "net.U", "update", -1, 0.0506113889);
    assert_number(json, "net.w", "update", -1, 0.0996033262);
    leave_folder();
}

/* ---- what is asked for besides ---- */

static void write_answering_net(void)
{
    char text[4000];

    snprintf(text, sizeof text, "data waves {\n"
                                "    samples = 24\n"
                                "    train { x[i: 4] = sin(1 + i + 3 * batch)\n"
                                "        y = cos(2 * batch) }\n"
                                "}\n"
                                "model net(x[i: 4], y) -> z[p: 5] {\n"
                                "    param V[i, o: 6] = sin(1 + 7 * i + 3 * o), W[o, p] = sin(2 + 5 * o + 2 * p + 3 * o * p) / 2, c[p] = 0\n"
                                "    a[o] = sum[i] x[i] * V[i, o]\n"
                                "    h[o] = tanh(a[o])\n"
                                "    z[p] = sum[o] h[o] * W[o, p] + c[p]\n"
                                "    nll = sum[p] (z[p] - y)^2\n"
                                "}\n%s", rest);
    write_file("net.rnet", text);
}

/* Samples come shuffled: each line is one. */
static void singular_values_are_those_of_torch(void **state)
{
    const char *json;

    (void)state;
    enter_folder();
    write_answering_net();
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --jacobian a --json").out;
    assert_number(json, "net.h", "correlation", -1, 0.898455943);
    assert_contains(json, "\"jacobian\": {\"of\": \"net.z\", \"by\": \"net.a\", \"singular\": [\n");
    assert_contains(json, "[0.648476652, 0.316709257, 0.123079772, 0.0636692717, 0.0149080431]");
    assert_contains(json, "[0.240328242, 0.150668979, 0.0719748212, 0.032773217, 0.00747404355]");
    json = run_expecting(RNET_DONE, "rnetc probe net.rnet --jacobian net.a").out;
    assert_contains(json, "\nJacobian of net.z by net.a: singular values of 24 samples, mean (least .. greatest)\n     1  0.7193 (");
    leave_folder();
}

static void a_jacobian_that_is_none_is_refused(void **state)
{
    (void)state;
    enter_folder();
    write_answering_net();
    assert_contains(run_expecting(RNET_FAILED, "rnetc probe net.rnet --jacobian b").error, "there is no equation b between the parameters and the loss");
    assert_contains(run_expecting(RNET_FAILED, "rnetc probe net.rnet --jacobian z").error, "z is the answer itself");
    write_net("    |> dense(16)\n    |> batch_norm |> relu\n", "", 0.1, 64);
    assert_contains(run_expecting(RNET_FAILED, "rnetc probe net.rnet --jacobian dense_1.y").error,
                    "net.batch_norm_1.m pools the batch: a sample's answer depends on other samples");
    leave_folder();
}

static void smoothness_of_a_cosh_grows_with_its_slope(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "data one { samples = 1\n    train { zero = 0 * batch } }\n"
                           "model net(zero) -> f {\n"
                           "    param x[i: 1] = 0.8\n"
                           "    f = (sum[i] (exp(5 * x[i]) + exp(-5 * x[i]))) / 50 + zero\n"
                           "}\n"
                           "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
                           "train net on one { loss = f\n optimizer = descent(rate = 0.01)\n batch = 1\n steps = 3 }\n");
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --smoothness 20 --json");
    assert_contains(o.out, "\"smoothness\": {\"fits\": true, \"l0\": 0.246059368, \"l1\": 4.8304552, \"explained\": 0.999986756, \"points\": [[4.15343858, 20.2613805], ");
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --smoothness 20");
    assert_contains(o.out, "L = 0.246 + 4.83 |g|, which explains 100 % of its variance\n");
    assert_contains(o.out, "rate 1 / (10 L0) = 0.406, limit min(10 L0, L0 / L1) = 0.0509\n");
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --smoothness 5");
    assert_contains(o.out, "no clipping follows: at least 8 steps that move are wanted\n");
    /* A bowl is as smooth everywhere. */
    run_expecting(0, "sed -i 's/f = .*/f = (sum[i] x[i]^2) + zero/' net.rnet");
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --smoothness 20");
    assert_contains(o.out, "no clipping follows: ");
    assert_null(strstr(o.out, "limit min"));
    leave_folder();
}

/* (z - y)^2 of a linear net whose units are dropped at 1/5: noise adds the mean of sum (1/5) / (4/5) (a u)^2, and a parabola has no more. */
static void noise_adds_what_the_parabola_says(void **state)
{
    char text[4000];
    const char *json, *noise;
    double exact = 1.161504511, added, error, second;

    (void)state;
    enter_folder();
    snprintf(text, sizeof text, "use std\ndata waves {\n"
                                "    samples = 24\n"
                                "    train { x[i: 4] = sin(1 + i + 3 * batch)\n"
                                "        y = cos(2 * batch) }\n"
                                "}\n"
                                "model net(x[i: 4], y) -> z {\n"
                                "    param V[i, o: 6] = sin(1 + 7 * i + 3 * o), u[o] = cos(o)\n"
                                "    a[o] = sum[i] x[i] * V[i, o]\n"
                                "    h = dropout(a, rate = 0.2)\n"
                                "    z = sum[o] h[o] * u[o]\n"
                                "    nll = (z - y)^2\n"
                                "}\n%s", rest);
    write_file("net.rnet", text);
    json = run("rnetc probe net.rnet --noise --json").out;
    noise = strstr(json, "\"noise\": {\"draws\": 32, ");
    assert_non_null(noise);
    added = strtod(strstr(noise, "\"added\": ") + 9, NULL);
    error = strtod(strstr(noise, "\"error\": ") + 9, NULL);
    second = strtod(strstr(noise, "\"second_order\": ") + 16, NULL);
    /* 24 * 32 draws of a square: a fifth is four standard errors. */
    assert_true(fabs(second - exact) < exact / 5);
    assert_true(fabs(added - second) < 4 * error);
    write_net("    |> dense(16) |> tanh\n", "", 0.1, 64);
    assert_contains(run_expecting(RNET_DONE, "rnetc probe net.rnet --noise").out, "\nno noise meets a sample after a parameter did\n");
    leave_folder();
}

/* The same of the rules of the standard library: at the second step what --smoothness has first. */
static void rules_of_the_library_measure_the_same(void **state)
{
    char *log;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\ndata one { samples = 1\n    train { zero = 0 * batch } }\n"
                           "model net(zero) -> f {\n"
                           "    param x[i: 1] = 0.8\n"
                           "    f = (sum[i] (exp(5 * x[i]) + exp(-5 * x[i]))) / 50 + zero\n"
                           "}\n"
                           "train net on one { loss = f\n probe = local_smoothness(rate = 0.01), probe = gradient_ratio()\n optimizer = gd(rate = 0.01)\n"
                           " batch = 1\n steps = 2\n precision = f64 }\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    log = read_file("run/log.jsonl", NULL);
    assert_contains(strstr(log, "{\"step\":2,"), "\"probe.local_smoothness.smoothness\":20.26138");
    assert_contains(strstr(log, "{\"step\":2,"), "\"probe.local_smoothness.size_of_gradient\":4.15343857");
    assert_contains(strstr(log, "{\"step\":1,"), "\"probe.gradient_ratio.ratio.net.x\":6.8224");
    free(log);
    leave_folder();
}

static void invariances_of_normalised_weights_are_found(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    |> dense(16)\n    |> batch_norm |> relu\n", "", 0.1, 64);
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --invariances");
    assert_contains(o.out, "  net.dense_1.W (line 9): times 2: the answer, ");
    assert_contains(o.out, "      so L2 on it changes nothing that the net can say: ");
    assert_contains(o.out, "  net.dense_1.W (line 9): each o times its own factor: the answer, ");
    assert_contains(o.out, "  net.dense_1.b (line 9): a constant added along o: the answer, ");
    assert_contains(o.out, "  net.dense_2.W (line 11): a constant added along o: the loss, ");
    assert_null(strstr(o.out, "net.dense_1.W (line 9): a constant added along i"));
    assert_null(strstr(o.out, "net.dense_1.W (line 9): each i times"));
    assert_null(strstr(o.out, "net.batch_norm_1.gain (line 10): "));
    assert_null(strstr(o.out, "net.dense_2.W (line 11): times 2"));
    o = run_expecting(RNET_DONE, "rnetc probe net.rnet --invariances --json");
    assert_contains(o.out, "{\"parameter\": \"net.dense_2.b\", \"change\": \"shift\", \"axis\": \"o\", \"answer\": ");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_weights_are_dead),
        cmocka_unit_test(zero_weights_are_symmetric_where_gradients_come_through),
        cmocka_unit_test(zero_weights_of_the_last_layer_are_no_fault),
        cmocka_unit_test(a_rate_of_100_is_too_large),
        cmocka_unit_test(thirty_sigmoids_lose_the_gradient),
        cmocka_unit_test(so_do_thirty_steps_of_a_recurrence),
        cmocka_unit_test(a_batch_of_one_has_no_variance),
        cmocka_unit_test(noise_before_statistics_shifts_the_variance),
        cmocka_unit_test(dead_and_saturated_units_are_counted),
        cmocka_unit_test(numbers_that_are_not_finite_are_placed),
        cmocka_unit_test(a_checkpoint_is_looked_at_as_it_is),
        cmocka_unit_test(a_chain_is_measured_as_by_torch),
        cmocka_unit_test(steps_of_a_recurrence_are_measured_as_by_torch),
        cmocka_unit_test(singular_values_are_those_of_torch),
        cmocka_unit_test(a_jacobian_that_is_none_is_refused),
        cmocka_unit_test(smoothness_of_a_cosh_grows_with_its_slope),
        cmocka_unit_test(noise_adds_what_the_parabola_says),
        cmocka_unit_test(rules_of_the_library_measure_the_same),
        cmocka_unit_test(invariances_of_normalised_weights_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
