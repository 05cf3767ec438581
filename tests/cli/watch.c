/* watch.c: rnetc train --watch says which rule a net breaks that is broken on purpose, says nothing of one that is not, and changes no bit
   of what is trained. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A classifier of normal numbers; the layer stands in line 8, its function (or lines that make h) in line 10, the clip or another setting in line 15, the optimizer in
   line 16. */
static void write_net(double bias, const char *function, const char *setting, const char *optimizer, int steps)
{
    char text[4000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud {\n"
             "    samples = 512\n"
             "    train { x[i: 8] ~ normal(0, 1)\n"
             "        label = x[0] + x[1] > 0 }\n"
             "}\n"
             "model net(x[i: 8], label in 2) -> logits[class: 2] {\n"
             "    param W[i: 8, u: 16] ~ normal(0, 0.5)\n"
             "    param b[u: 16] = %g\n"
             "%s%s\n"
             "    logits = h |> dense(2)\n"
             "}\n"
             "train net on cloud {\n"
             "    loss      = cross_entropy(logits, label)\n"
             "    %s\n"
             "    optimizer = %s\n"
             "    batch     = 64\n"
             "    steps     = %d\n"
             "}\n",
             bias, *function == ' ' ? "" : "    h[u] = ", function, setting, optimizer, steps);
    write_file("net.rnet", text);
}

static const char *const rectified = "relu(sum[i] x[i] * W[i, u] + b[u])";

static int count(const char *text, const char *part)
{
    int found = 0;

    for (const char *at = text; (at = strstr(at, part)); at++)
        found++;
    return found;
}

static bool is_said(const char *error)
{
    return count(error, ": step ") > 0;
}

static void a_net_in_order_breaks_no_rule(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, rectified, "", "gd(rate = 0.1)", 300);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    if (is_said(o.error))
        fail_msg("said of a net in order: %s", o.error);
    o = run_expecting(0, "grep -c '\"event\": *\"watch\"' run/log.jsonl");
    assert_int_equal(atoi(o.out), 9); /* at 1, 2, 4, .., 128, 256 and no rule */
    leave_folder();
}

static void units_that_are_0_throughout_are_dead(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(-10, rectified, "", "gd(rate = 0.1)", 40);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    assert_contains(o.error, "net.rnet:10: step 2: dead units: net.h: the share of units that are 0 for the whole batch is 1, above 0.5; ");
    assert_contains(o.error, "net.rnet:8: step 2: no gradient: net.W");
    assert_int_equal(count(o.error, ": dead units: "), 1);
    o = run_expecting(0, "grep '\"rule\": *\"dead units\"' run/log.jsonl");
    assert_contains(o.out, "net.rnet:10");
    assert_int_equal(count(o.out, "\n"), 1);
    leave_folder();
}

static void units_that_live_by_a_slope_are_not_dead(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(-10, "0.1 * (sum[i] x[i] * W[i, u] + b[u])", "", "gd(rate = 0.01)", 40);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    assert_int_equal(count(o.error, ": dead units: "), 0);
    leave_folder();
}

static void a_rate_that_is_too_large_is_said_with_the_optimizers_line(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, "(sum[i] x[i] * W[i, u] + b[u])^2", "", "gd(rate = 10)", 12);
    o = run("rnetc train net.rnet --watch --out run");
    assert_contains(o.error, "net.rnet:8: step 2: large updates: net.W");
    assert_contains(o.error, "net.rnet:16: step ");
    assert_contains(o.error, ": exploding gradient: net: the norm of the gradient over that of the first steps is ");
    assert_int_equal(count(o.error, ": exploding gradient: "), 1);
    leave_folder();
}

static void a_rate_that_is_too_small_is_said(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, rectified, "", "gd(rate = 1e-9)", 8);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run --precision f64");
    assert_contains(o.error, "net.rnet:8: step 2: small updates: net.W (and 1 more): ");
    leave_folder();
}

static void a_limit_that_always_clips_is_said(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, rectified, "clip = clip_norm(1e-2)", "gd(rate = 1)", 130);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    assert_contains(o.error, "net.rnet:15: step 128: clipped: net: the share of the last steps that were clipped is 1, above 0.5; ");
    assert_int_equal(count(o.error, "clipped: "), 1);
    leave_folder();
}

static void a_limit_that_never_clips_is_not(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, rectified, "clip = clip_norm(100)", "gd(rate = 0.1)", 130);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    if (is_said(o.error))
        fail_msg("said of a net in order: %s", o.error);
    leave_folder();
}

/* Normalised with the batch's statistics, of values so small that what is added under the root outweighs their variance. */
static void normalised_units_that_hardly_vary_have_collapsed(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, "    g[u] = 1e-5 * sum[i] x[i] * W[i, u] + b[u]\n    h = g |> batch_norm", "", "gd(rate = 0.1)", 8);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    assert_contains(o.error, "net.rnet:11: step 2: collapsed units: net.batch_norm");
    write_net(0, "    g[u] = sum[i] x[i] * W[i, u] + b[u]\n    h = g |> batch_norm", "", "gd(rate = 0.1)", 8);
    o = run_expecting(0, "rnetc train net.rnet --watch --out other");
    assert_int_equal(count(o.error, "collapsed units"), 0);
    leave_folder();
}

/* The same of values that are normalised within each sample. */
static void what_is_normalised_within_a_sample_can_collapse_too(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net(0, "    g[u] = 1e-5 * sum[i] x[i] * W[i, u] + b[u]\n    h = g |> layer_norm", "", "gd(rate = 1e-6)", 2);
    o = run_expecting(0, "rnetc train net.rnet --watch --out run");
    assert_contains(o.error, "net.rnet:11: step 2: collapsed units: net.layer_norm");
    write_net(0, "    g[u] = sum[i] x[i] * W[i, u] + b[u]\n    h = g |> layer_norm", "", "gd(rate = 0.1)", 8);
    o = run_expecting(0, "rnetc train net.rnet --watch --out other");
    assert_int_equal(count(o.error, "collapsed units"), 0);
    leave_folder();
}

/* Draws, a rule with states, clipping: all that a step has. */
static void no_bit_of_what_is_trained_depends_on_it(void **state)
{
    (void)state;
    enter_folder();
    write_net(0, "dropout(relu(sum[i] x[i] * W[i, u] + b[u]), 0.3)", "clip = clip_norm(0.5)", "adam(rate = 0.01)", 200);
    run_expecting(0, "rnetc train net.rnet --out plain --threads 1");
    run_expecting(0, "rnetc train net.rnet --watch --out one --threads 1");
    run_expecting(0, "rnetc train net.rnet --watch --out two --threads 2");
    assert_files_equal("plain/checkpoint.safetensors", "one/checkpoint.safetensors");
    assert_files_equal("plain/checkpoint.safetensors", "two/checkpoint.safetensors");
    run_expecting(0, "for r in one two; do grep '\"watch\"' $r/log.jsonl > $r.seen; done; test $(wc -l < one.seen) -ge 8");
    assert_files_equal("one.seen", "two.seen");
    run_expecting(0, "for r in plain one; do grep '\"loss\":' $r/log.jsonl | grep -v watch | sed 's/, *\"seconds\".*//' > $r.steps; done");
    assert_files_equal("plain.steps", "one.steps");
    leave_folder();
}

static void a_run_that_was_stopped_goes_on_with_the_same_looks(void **state)
{
    (void)state;
    enter_folder();
    write_net(0, rectified, "", "adam(rate = 0.01)", 130);
    run_expecting(0, "rnetc train net.rnet --watch --out whole");
    run_expecting(0, "rnetc train net.rnet --watch --out parts --steps 60 && rnetc train net.rnet --watch --out parts --resume");
    run_expecting(0, "for r in whole parts; do grep '\"watch\"' $r/log.jsonl > $r.seen; done");
    assert_files_equal("whole.seen", "parts.seen");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_net_in_order_breaks_no_rule),
        cmocka_unit_test(units_that_are_0_throughout_are_dead),
        cmocka_unit_test(units_that_live_by_a_slope_are_not_dead),
        cmocka_unit_test(a_rate_that_is_too_large_is_said_with_the_optimizers_line),
        cmocka_unit_test(a_rate_that_is_too_small_is_said),
        cmocka_unit_test(a_limit_that_always_clips_is_said),
        cmocka_unit_test(a_limit_that_never_clips_is_not),
        cmocka_unit_test(normalised_units_that_hardly_vary_have_collapsed),
        cmocka_unit_test(what_is_normalised_within_a_sample_can_collapse_too),
        cmocka_unit_test(no_bit_of_what_is_trained_depends_on_it),
        cmocka_unit_test(a_run_that_was_stopped_goes_on_with_the_same_looks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
