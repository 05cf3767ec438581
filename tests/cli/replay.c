/* replay.c: where a run's numbers left the finite ones: programs that leave them at a known step, equation and element. */
#include "run.h"

#include <stdio.h>
#include <string.h>

#include "rnet.h"

/* x[batch, i] = 40 * batch + i of eight samples in order, two a step: step 3 has the samples 4 and 5. */
static void write_net(const char *body, const char *optimizer)
{
    char text[2000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud { samples = 8\n"
             "    train { x[i: 3] = 40 * batch + i\n"
             "            label = batch %% 2 } }\n"
             "model net(x[i: 3]) -> logits[class: 2] {\n"
             "%s"
             "}\n"
             "train net on cloud {\n"
             "    loss = cross_entropy(logits, label)\n"
             "    optimizer = %s\n"
             "    batch = 2\n"
             "    order = sequential\n"
             "    steps = 30\n"
             "    report = accuracy(logits, label)\n"
             "}\n",
             body, optimizer);
    write_file("net.rnet", text);
}

/* The same words with one thread and with two, and nothing in the folder is changed. */
static struct outcome replayed(int status)
{
    struct outcome outcome;

    run_expecting(0, "cp -r run before; rnetc replay run --threads 1 > one 2> said; test $? = %d", status);
    run_expecting(0, "diff -r run before; rm -r before; cp one two");
    outcome = run_expecting(status, "rnetc replay run --threads 2 > two; status=$?; cat two; exit $status");
    assert_files_equal("one", "two");
    return outcome;
}

static struct outcome train_and_replay(const char *body, const char *optimizer)
{
    write_net(body, optimizer);
    run_expecting(RNET_NONFINITE, "rnetc train net.rnet --out run");
    return replayed(RNET_NONFINITE);
}

static void an_exponential_that_overflows_is_named_with_its_sample(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    h[i] = exp(x[i] - 100)\n    logits = h |> dense(2)\n", "gd(rate = 0.1)");
    assert_contains(o.out, "net.rnet:6:5: step 3: net.h is inf at batch = 1, i = 0\n");
    assert_contains(o.out, "that is item 5 of cloud.train\n");
    assert_contains(o.out, "exp(100) is inf\n");
    assert_contains(o.out, "min 160, max 202, 0 of 6 not finite");
    leave_folder();
}

static void a_logarithm_of_nothing_is_named(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    h[i] = log(abs(x[i] - 82))\n    logits = h |> dense(2)\n", "gd(rate = 0.1)");
    assert_contains(o.out, "net.rnet:6:5: step 2: net.h is -inf at batch = 0, i = 2\n");
    assert_contains(o.out, "item 2 of cloud.train\n");
    assert_contains(o.out, "log(0) is -inf\n");
    leave_folder();
}

static void a_division_by_nothing_is_named_though_the_quotient_is_not_what_fails(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    r[i] = 1 / (x[i] - 81)\n    h[i] = r[i] / (1 + abs(r[i]))\n    logits = h |> dense(2)\n", "gd(rate = 0.1)");
    assert_contains(o.out, "net.rnet:6:5: step 2: net.r is inf at batch = 0, i = 1\n");
    assert_contains(o.out, "1 / 0 is inf\n");
    leave_folder();
}

/* exp(1000) in f32 is inf, but 1 / (1 + inf) is 0: that is no fault. The fault comes later, in another equation. */
static void an_infinity_that_does_no_harm_is_not_what_is_named(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    e[i] = exp(10 * stop(x[i]))\n"
                         "    h[i] = 1 / (1 + e[i]) + log(abs(x[i] - 241))\n"
                         "    logits = h |> dense(2)\n",
                         "gd(rate = 0.1)");
    assert_contains(o.out, "net.rnet:7:5: step 4: net.h is -inf at batch = 0, i = 1\n");
    assert_contains(o.out, "6 not finite");
    leave_folder();
}

/* A softmax in which every place is masked: the program's own infinities are no fault, what is made of them is. */
static void an_infinity_that_the_program_writes_is_not_what_is_named(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    s[i] = if x[i] < 160 then x[i] else -inf\n"
                         "    top = max[i] s[i]\n"
                         "    p[i] = exp(s[i] - top)\n"
                         "    logits = p |> dense(2)\n",
                         "gd(rate = 0.01)");
    assert_contains(o.out, "net.rnet:8:5: step 3: net.p is nan at batch = 0, i = 0\n");
    assert_contains(o.out, "2 of 2 not finite");
    leave_folder();
}

/* The loss is finite, its derivative at 0 is not. */
static void an_adjoint_is_named(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    param w[i: 3] = 1\n"
                         "    h[i] = sqrt(w[i] * x[i])\n"
                         "    logits = h |> dense(2)\n",
                         "gd(rate = 0.0001)");
    assert_contains(o.out, "net.rnet:7:");
    assert_contains(o.out, "step 1: d_net.");
    assert_contains(o.out, "  adjoint: ");
    leave_folder();
}

/* The last report left a checkpoint at step 4; a rate that grows overflows after it. */
static void a_rate_too_large_is_named_in_the_step_that_it_spoils(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    logits = x |> dense(2)\n", "gd(rate = 1e-6 * (if step > 6 then 1e43 else 1))");
    assert_contains(o.out, "step 7: net.dense_1.");
    assert_contains(o.out, "  rule: ");
    assert_contains(o.out, "holds it after the step, whose loss was finite still\n");
    run_expecting(0, "! grep 'from the first step' said");
    o = run_expecting(RNET_NONFINITE, "rnetc replay run --fresh");
    assert_contains(o.out, "step 7: net.dense_1.");
    assert_contains(o.error, "from the first step");
    leave_folder();
}

/* h squares itself: that of the larger sample overflows earlier, though it stands behind the other. */
static void the_first_step_of_a_recurrence_is_named(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = train_and_replay("    over t: 20 from h[i: 3] = 0 { h[t, i] = h[t - 1, i]^2 + (x[i] + 10) / 10 }\n"
                         "    logits = h[19] |> dense(2)\n",
                         "gd(rate = 0.1)");
    /* sample 1: 5, 30, 905, 8.2e5, 6.7e11, 4.5e23, whose square is beyond f32 */
    assert_contains(o.out, "step 1: net.h is inf at batch = 1, t = 6, i = 0\n");
    assert_contains(o.out, "that is item 1 of cloud.train\n");
    leave_folder();
}

static void nothing_is_found_where_nothing_is_wrong(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    logits = 0.01 * x |> dense(2)\n", "gd(rate = 0.1)");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    assert_contains(replayed(RNET_DONE).out, "nothing to repeat");
    o = run_expecting(RNET_DONE, "rnetc replay run --fresh");
    assert_contains(o.out, "steps 1 to 30 were repeated: all their numbers are finite\n");
    assert_null(strstr(o.error, "in the log"));
    leave_folder();
}

/* x of step 3 is 3e19: the gradient is finite, as the derivative by logits is 2.5e-22, but x's norm squared is not in f32. However the
   step is made, it is refused; in f64 all are made. */
static void a_bound_that_overflows_refuses_the_step(void **state)
{
    static const char *const ways[] = {"", "--no-fuse", "--threads 1", "--threads 3", "--no-fuse --threads 3"};
    struct outcome o;
    char command[200];

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data cloud { samples = 8\n"
                           "    train { x[i: 3] = (if batch < 4 then 1 else 3e19) + i } }\n"
                           "model net(x[i: 3]) -> logits[class: 20] { logits = x |> dense(20) }\n"
                           "train net on cloud {\n"
                           "    loss = 1e-20 * mean[class] logits[class]\n"
                           "    optimizer = sgd(rate = 0.1, momentum = 0.9)\n"
                           "    batch = 2\n"
                           "    order = sequential\n"
                           "    steps = 4\n"
                           "}\n");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        snprintf(command, sizeof command, "rm -rf run; rnetc train net.rnet --out run %s", ways[i]);
        o = run_expecting(RNET_NONFINITE, command);
        assert_contains(o.error, "step 3: gradient_bound.sum is inf");
        assert_contains(o.error, "nothing was updated in that step");
    }
    o = replayed(RNET_NONFINITE);
    assert_contains(o.out, "3e+19 * 3e+19 is inf");
    run_expecting(0, "rnetc train net.rnet --out other --precision f64");
    leave_folder();
}

static void settings_and_seed_are_those_of_the_run(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_net("    keep[i] ~ bernoulli(if training then 0.5 else 1)\n"
              "    h[i] = if keep[i] > 0 then exp(x[i] - least) else 0\n"
              "    logits = h |> dense(2)\n",
              "gd(rate = 0.1)");
    run_expecting(0, "sed -i 's/use std/use std\\nlet least = 1000/; s/-> logits/-> random logits/; /report =/d' net.rnet");
    o = run_expecting(RNET_NONFINITE, "rnetc train net.rnet --out run --set least=100 --seed 7");
    run_expecting(0, "rnetc replay run > said; test $? = 5; head -1 said > first");
    run_expecting(0, "rnetc train net.rnet --out again --set least=100 --seed 7 2>&1 | grep -Fxf first");
    o = run_expecting(0, "cat said");
    assert_contains(o.out, "forward   net.keep.value[batch: 2, i: 3]: min 0, max 1");
    leave_folder();
}

static void what_cannot_be_repeated_is_refused(void **state)
{
    (void)state;
    enter_folder();
    assert_contains(run_expecting(RNET_DATA, "rnetc replay run").error, "wants the folder of a run");
    write_net("    h[i] = log(x[i])\n    logits = h |> dense(2)\n", "gd(rate = 0.1)");
    run_expecting(RNET_NONFINITE, "rnetc train net.rnet --out run");
    run_expecting(0, "sed 's/log/exp/' net.rnet > other.rnet");
    assert_contains(run_expecting(RNET_DATA, "rnetc replay run other.rnet").error,
                    "other.rnet is not the program that the run trained");
    run_expecting(0, "mv net.rnet moved.rnet");
    assert_contains(run_expecting(RNET_DATA, "rnetc replay run").error, "say where it is now");
    run_expecting(RNET_NONFINITE, "rnetc replay run moved.rnet");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_exponential_that_overflows_is_named_with_its_sample),
        cmocka_unit_test(a_logarithm_of_nothing_is_named),
        cmocka_unit_test(a_division_by_nothing_is_named_though_the_quotient_is_not_what_fails),
        cmocka_unit_test(an_infinity_that_does_no_harm_is_not_what_is_named),
        cmocka_unit_test(an_infinity_that_the_program_writes_is_not_what_is_named),
        cmocka_unit_test(an_adjoint_is_named),
        cmocka_unit_test(a_rate_too_large_is_named_in_the_step_that_it_spoils),
        cmocka_unit_test(the_first_step_of_a_recurrence_is_named),
        cmocka_unit_test(nothing_is_found_where_nothing_is_wrong),
        cmocka_unit_test(a_bound_that_overflows_refuses_the_step),
        cmocka_unit_test(settings_and_seed_are_those_of_the_run),
        cmocka_unit_test(what_cannot_be_repeated_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
