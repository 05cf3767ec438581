/* lab.c: what programs expect, looked at by rnetc lab. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static void every_element_is_looked_at(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("powers.rnet", "# Powers of two.   [A0]\n"
                              "model m() -> y[i] {\n"
                              "    y[i: 5] = 2^i\n"
                              "    z[i] = exp(i * log(2))\n"
                              "    expect abs(y - z) < 1e-12\n"
                              "    expect \"bounded\" y[i] <= 16 and not y[i] < 1\n"
                              "    expect y[i] < 9 or i == 4\n"
                              "}\n");
    o = run_expecting(RNET_DONE, "rnetc lab powers.rnet");
    assert_contains(o.out, "powers: Powers of two.   [A0]\n");
    assert_contains(o.out, "met        5  abs(y - z) < 1e-12   5 elements; nearest at i ");
    assert_contains(o.out, "met        6  bounded: y[i] <= 16 and not y[i] < 1   5 elements; nearest at i 0: 1 < 1\n");
    assert_contains(o.out, "3 of 3 met");
    leave_folder();
}

static void what_fails_says_where_and_by_how_much(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("powers.rnet", "model m() -> y[i] {\n"
                              "    y[i: 5] = 2^i\n"
                              "    expect \"small\" abs(y[i] - 3) < 4.5\n"
                              "    expect y[i] != 8\n"
                              "    expect y[i] > sqrt(y[i] - 8)\n"
                              "}\n");
    o = run_expecting(RNET_FAILED, "rnetc lab powers.rnet");
    assert_contains(o.out, "FAILED     3  small: abs(y[i] - 3) < 4.5\n"
                           "          powers.rnet:3:5: 2 of 5 elements fail; the worst at i 4: 13 < 4.5 (of 16 and 3), missed by 8.5\n");
    assert_contains(o.out, "powers.rnet:4:5: 1 of 5 elements fails; the worst at i 3: 8 != 8, missed by 0\n");
    assert_contains(o.out, "powers.rnet:5:5: 3 of 5 elements fail; the worst at i 0: 1 > ");
    assert_contains(o.out, ", which is not a number\n");
    assert_contains(o.out, "0 of 3 met");
    leave_folder();
}

static const char *const blocks = "use std\n"
                                  "let seed = 3\n"
                                  "data cloud {\n"
                                  "    samples = 300\n"
                                  "    train { x[i: 3] ~ normal(0, 1) }\n"
                                  "    test { x[i: 3] ~ uniform(-1, 1)\n"
                                  "        expect abs(x) <= 1\n"
                                  "        m = mean[batch] x[0]\n"
                                  "        expect abs(m) < 0.2 }\n"
                                  "}\n"
                                  "data moved from cloud {\n"
                                  "    expect \"all items\" mean[batch] cloud.x[0]^2 < 1.5\n"
                                  "    y = double(cloud.x)\n"
                                  "    expect y == 2 * cloud.x\n"
                                  "}\n"
                                  "model double(x[i: 3]) -> y[i] {\n"
                                  "    y[i] = 2 * x[i]\n"
                                  "    expect y[i] - x[i] == x[i]\n"
                                  "}\n"
                                  "model shift(x[i: 3]) -> y[i] {\n"
                                  "    param w[i] ~ normal(0, 1)\n"
                                  "    y[i] = x[i] + w[i]\n"
                                  "    z[i] = mean[batch] y[i] - mean[batch] x[i]\n"
                                  "    expect abs(z[i] - w[i]) < 1e-12\n"
                                  "    expect w[i] != 0\n"
                                  "}\n";

static void data_and_models_are_looked_at(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("blocks.rnet", blocks);
    o = run_expecting(RNET_DONE, "rnetc lab blocks.rnet");
    assert_contains(o.out, "abs(x) <= 1   900 elements; nearest at item ");
    assert_contains(o.out, "abs(m) < 0.2   1 element; nearest: ");
    assert_contains(o.out, "all items: mean[batch] cloud.x[0]^2 < 1.5   2 elements; ");
    assert_contains(o.out, "y == 2 * cloud.x   1800 elements; ");
    /* In a data block that calls it, of both splits; else on the only data with its inputs. */
    assert_contains(o.out, "y[i] - x[i] == x[i]   1800 elements; ");
    assert_contains(o.out, "abs(z[i] - w[i]) < 1e-12   6 elements; ");
    assert_contains(o.out, "7 of 7 met");
    leave_folder();
}

static void seeds_and_settings_are_the_programs(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("draw.rnet", "let low = 0.0\n"
                            "let seed = 1\n"
                            "model m() -> y {\n"
                            "    param w ~ uniform(low, 1)\n"
                            "    y = w\n"
                            "    expect low == 0 or w > 5\n"
                            "    expect w > 2\n"
                            "}\n");
    o = run_expecting(RNET_FAILED, "rnetc lab draw.rnet; rnetc lab draw.rnet --seed 1; rnetc lab draw.rnet | grep worst > a; "
                                   "rnetc lab draw.rnet --seed 1 | grep worst > b; cmp a b && rnetc lab draw.rnet");
    o = run_expecting(1, "rnetc lab draw.rnet --seed 2 | grep worst > b; cmp -s a b");
    o = run_expecting(RNET_FAILED, "rnetc lab draw.rnet --set low=0.5");
    assert_contains(o.out, "low == 0 or w > 5\n");
    leave_folder();
}

static void what_nothing_computes_is_no_success(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "model m(x) -> y { y = x\n expect y == x }\n");
    o = run_expecting(RNET_SOURCE, "rnetc lab net.rnet");
    assert_contains(o.error, "net.rnet: the model m expects something, and no data block has all of its inputs; "
                             "call it in a data block\n");
    write_file("net.rnet", "model m() -> y { param w = 1\n y = w\n if training { expect w == 1 }\n }\n");
    o = run_expecting(RNET_FAILED, "rnetc lab net.rnet");
    assert_contains(o.out, "unseen");
    assert_contains(o.out, "nothing looked at this");
    write_file("net.rnet", "model m() -> y { param w = 1\n y = w }\n");
    o = run_expecting(RNET_SOURCE, "rnetc lab net.rnet");
    assert_contains(o.error, "nothing is expected here");
    leave_folder();
}

static void a_folder_has_a_line_a_file(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    run_expecting(0, "mkdir -p all/deep");
    write_file("all/good.rnet", "# Good.\nmodel m() -> y { param w = 1\n y = w\n expect y == 1 }\n");
    write_file("all/deep/bad.rnet", "# Bad.\nmodel m() -> y { param w = 1\n y = w\n expect y == 1\n expect y == 2 }\n");
    write_file("all/wrong.rnet", "model m() -> y { y = z }\n");
    o = run_expecting(RNET_FAILED, "rnetc lab all");
    assert_contains(o.out, "bad     1/2 ");
    assert_contains(o.out, "FAILED  Bad.\n");
    assert_contains(o.out, "all/deep/bad.rnet:5:2: 1 of 1 element fails; the worst: 1 == 2, missed by 1\n");
    assert_contains(o.out, "good    1/1 ");
    assert_contains(o.out, "met     Good.\n");
    assert_contains(o.out, "ERROR");
    assert_contains(o.error, "all/wrong.rnet:1:22: error [E0201]");
    assert_contains(o.out, "1 of 3 files, 2 of 3 met, ");
    o = run_expecting(RNET_DONE, "rnetc lab all/good.rnet all/good.rnet");
    assert_contains(o.out, "2 of 2 files, 2 of 2 met, ");
    leave_folder();
}

static const char *const trained = "data one {\n"
                                   "    samples = 40\n"
                                   "    train { x ~ normal(0, 1)\n        y = 2 * x }\n"
                                   "    test { x ~ normal(0, 1)\n        y = 2 * x\n        expect y == 2 * x }\n"
                                   "}\n"
                                   "model m(x) -> z {\n"
                                   "    param w = 1\n"
                                   "    z = w * x\n"
                                   "    expect \"fits\" abs(z - 2 * x) < 1e-3\n"
                                   "}\n"
                                   "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
                                   "train m on one {\n"
                                   "    loss      = (z - y)^2\n"
                                   "    optimizer = descent(rate = 0.25)\n"
                                   "    batch     = 20\n"
                                   "    steps     = 60\n"
                                   "    precision = f64\n"
                                   "    half      = 0.5\n"
                                   "    report {\n"
                                   "        error = (z - y)^2\n"
                                   "        worst = max[batch] abs(z - y)\n"
                                   "        expect error < 1e-6 and abs(m.w - 2) < half\n"
                                   "        expect \"large\" mean[batch] abs(z) > LIMIT\n"
                                   "        expect worst < 1e-3\n"
                                   "    }\n"
                                   "}\n"
                                   "model look() -> w {\n    w = m.w\n    expect abs(m.w - 2) < 1e-3\n}\n"
                                   "data judged from one {\n    z = m(one.x)\n    expect abs(z - one.y) < 1e-2\n}\n";

static void what_is_trained_is_looked_at_afterwards(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", trained);
    run_expecting(0, "sed -i s/LIMIT/0.5/ net.rnet");
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet");
    assert_contains(o.out, "fits: abs(z - 2 * x) < 1e-3   40 elements; ");
    assert_contains(o.out, "error < 1e-6 and abs(m.w - 2) < half   1 element; ");
    assert_contains(o.out, "abs(m.w - 2) < 1e-3   1 element; ");
    assert_contains(o.out, "abs(z - one.y) < 1e-2   80 elements; ");
    assert_contains(o.out, "7 of 7 met\n");
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet >first && rnetc lab net.rnet >second && cmp first second");
    assert_null(strstr(o.error, "training"));
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet --fresh >second && cmp first second");
    assert_contains(o.error, "net: training\n");
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet --quick");
    assert_contains(o.out, "skipped   12  fits");
    assert_contains(o.out, "1 of 1 met\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet");
    leave_folder();
}

/* w runs to 2 with the steps; its mean over them stays behind. */
static void averages_stand_for_parameters(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "model m() -> z {\n    param w = 0\n    z = w\n"
                           "    expect abs(z - 1.5) < 0.4\n    expect z == w\n}\n"
                           "model look() -> z {\n    z = m.w\n    expect abs(z - 2) < 1e-3\n}\n"
                           "train m {\n    loss = (z - 2)^2\n    optimizer = gd(rate = 0.25)\n    average = ema(0.97)\n"
                           "    steps = 40\n    precision = f64\n}\n");
    run_expecting(RNET_DONE, "rnetc lab net.rnet");
    leave_folder();
}

/* Data that are made by a model after its training are made by what evaluation is of. */
static void averages_stand_for_parameters_in_data(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data line {\n    samples = 4\n    train { x = 1 }\n}\n"
                           "model m(x) -> z {\n    param w = 0\n    z = w * x\n}\n"
                           "train m on line {\n    loss = (z - 2)^2\n    optimizer = gd(rate = 0.25)\n    average = ema(0.97)\n"
                           "    batch = 4\n    steps = 40\n    precision = f64\n}\n"
                           "data judged from line {\n    y = m(line.x)\n    expect \"of the average\" abs(y - 1.5) < 0.4\n}\n");
    run_expecting(RNET_DONE, "rnetc lab net.rnet");
    leave_folder();
}

static void training_fails_if_its_report_is_not_as_expected(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", trained);
    run_expecting(0, "sed -i s/LIMIT/50/ net.rnet");
    o = run_expecting(RNET_FAILED, "rnetc train net.rnet");
    assert_contains(o.error, "rnetc: net.rnet:26:9: expected large: mean[batch] abs(z) > 50: ");
    assert_contains(o.error, " > 50, missed by 48.");
    run_expecting(0, "test -s runs/net/checkpoint.safetensors");
    o = run_expecting(RNET_FAILED, "rnetc lab net.rnet");
    assert_contains(o.out, "6 of 7 met\n");
    leave_folder();
}

/* A statistic with axes is made of the whole split at once; what is expected of it waits for that. */
static void a_report_of_the_whole_split_expects(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data cloud {\n    samples = 40\n    train { x[i: 3] ~ normal(0, 1) }\n    test { x[i: 3] ~ normal(1, 2) }\n}\n"
                           "model net(x[i: 3]) -> y[i: 3] {\n    param w = 0\n    y = w * x\n}\n"
                           "train net on cloud {\n"
                           "    loss      = sum[i: 3] (y[i] - x[i])^2\n"
                           "    optimizer = gd(rate = 0.1)\n"
                           "    batch     = 8\n"
                           "    steps     = 20\n"
                           "    m[i: 3]   = mean[batch] x[i]\n"
                           "    report {\n"
                           "        error = sum[i: 3] (y[i] - x[i])^2\n"
                           "        spread = sum[i: 3] (m[i] - x[i])^2\n"
                           "        expect \"explained\" error < 0.01 * spread\n"
                           "        expect \"wide\" spread > 100\n"
                           "    }\n"
                           "}\n");
    o = run_expecting(RNET_FAILED, "rnetc lab net.rnet");
    assert_contains(o.out, "met       20  explained: error < 0.01 * spread   1 element; ");
    assert_contains(o.out, "FAILED    21  wide: spread > 100");
    assert_contains(o.out, "1 of 2 met\n");
    leave_folder();
}

/* The train block names m only: the half that m calls is trained with it, and so is whatever is made from its data. */
static void what_a_trained_model_calls_is_trained(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "data one {\n    samples = 40\n    train { x ~ normal(0, 1) }\n}\n"
                           "model half(x) -> z {\n    param w = 0\n    z = w * x\n    expect \"half\" abs(z - 2 * x) < 1e-3\n}\n"
                           "model m(x) -> z {\n    alone = half(x)\n    z = alone\n}\n"
                           "rule descent(w[...], g[...]; rate) { w <- w - rate * g }\n"
                           "train m on one {\n    loss = (z - 2 * x)^2, optimizer = descent(rate = 0.25), batch = 20, steps = 60\n"
                           "    precision = f64\n}\n"
                           "data seen from one { z = half(one.x) }\n"
                           "data again from seen {\n    y = seen.z\n    large = mean[batch] abs(seen.train.z)\n"
                           "    expect \"large\" large > 1\n}\n"
                           "model outer(y) -> u {\n    u = 2 * y\n    expect \"outer\" mean[batch] abs(u) > 1\n}\n"
                           "model alone() -> w {\n    param w = 1\n    expect \"alone\" w == 1\n}\n");
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet");
    assert_contains(o.out, "half: abs(z - 2 * x) < 1e-3   40 elements; ");
    assert_contains(o.out, "large: large > 1   1 element; ");
    assert_contains(o.out, "4 of 4 met\n");
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet --quick");
    assert_contains(o.out, "skipped    8  half");
    assert_contains(o.out, "skipped   23  large");
    assert_contains(o.out, "skipped   27  outer");
    /* A name of its own in m is no call of the model. */
    assert_contains(o.out, "1 of 1 met\n");
    leave_folder();
}

/* A side that no item changes is computed once for all, and is no tensor of the program. */
static void a_side_may_rest_on_settings_alone(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "let top = 3\n"
                           "data one {\n    samples = 4\n    train { x ~ normal(0, 1) }\n}\n"
                           "data two from one {\n    s[u: 3] = top\n    high = max[u] s[u]\n    low = min[u] s[u]\n"
                           "    expect high < 1.5 * low\n    expect high * one.x < 100\n}\n");
    o = run_expecting(RNET_DONE, "rnetc lab net.rnet");
    assert_contains(o.out, "3 < 4.5\n");
    assert_contains(o.out, "2 of 2 met\n");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_element_is_looked_at),           cmocka_unit_test(what_fails_says_where_and_by_how_much),
        cmocka_unit_test(data_and_models_are_looked_at),        cmocka_unit_test(seeds_and_settings_are_the_programs),
        cmocka_unit_test(what_nothing_computes_is_no_success),  cmocka_unit_test(a_folder_has_a_line_a_file),
        cmocka_unit_test(what_is_trained_is_looked_at_afterwards),
        cmocka_unit_test(averages_stand_for_parameters),
        cmocka_unit_test(averages_stand_for_parameters_in_data),
        cmocka_unit_test(training_fails_if_its_report_is_not_as_expected),
        cmocka_unit_test(a_report_of_the_whole_split_expects),
        cmocka_unit_test(what_a_trained_model_calls_is_trained),
        cmocka_unit_test(a_side_may_rest_on_settings_alone)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
