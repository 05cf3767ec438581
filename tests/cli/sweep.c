/* sweep.c: runs over settings and seeds, and the table at their end. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* With rate r the loss (w - 1)^2 has w = 1 - (1 - 2 r)^steps. The start is drawn, so that seeds differ. */
static const char *const program =
    "use std\n"
    "let rate = 0.25\n"
    "data one { samples = 4\n train { y = 1 + 0 * batch }\n test { y = 1 + 0 * batch }\n}\n"
    "model m(y) -> e { param w ~ normal(0, 1)\n e = (w - y)^2 }\n"
    "train m on one { loss = e, optimizer = gd(rate = rate), batch = 4, steps = 2, precision = f64, report = e }\n";

static void a_table_has_means_and_errors_over_seeds(void **state)
{
    struct outcome o;
    double each[3], mean = 0, squares = 0;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    for (int i = 0; i < 3; i++) {
        o = run_expecting(RNET_DONE, "rnetc train net.rnet --json --seed %d --out alone-%d", i + 1, i);
        each[i] = number_behind(o.out, "\"report\": ");
        mean += each[i] / 3;
    }
    for (int i = 0; i < 3; i++)
        squares += (each[i] - mean) * (each[i] - mean);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --sweep rate=0.25,0.1 --sweep seed=1..3 --json --out all");
    assert_contains(o.out, "{\"settings\": {\"rate\": \"0.25\"}, \"runs\": 3, \"finite\": 3, \"report\": {\"mean\": ");
    assert_contains(o.out, "{\"rate\": \"0.1\"}");
    /* Printed with 9 digits. */
    assert_true(fabs(number_behind(o.out, "\"mean\": ") - mean) <= 1e-8 * mean);
    assert_true(fabs(number_behind(o.out, "\"standard_error\": ") - sqrt(squares / 6)) <= 1e-7 * mean);
    o = run_expecting(0, "ls all | wc -l");
    assert_string_equal(o.out, "6\n");
    leave_folder();
}

static void finished_runs_are_kept(void **state)
{
    struct outcome first, second;
    char *table;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    first = run_expecting(RNET_DONE, "rnetc train net.rnet --sweep seed=1,2 --out all");
    table = strdup(first.out);
    run_expecting(0, "md5sum all/*/checkpoint.safetensors > sums && rm -r all/seed=2");
    run_expecting(RNET_USAGE, "rnetc train net.rnet --sweep seed=1,2 --out all");
    second = run_expecting(RNET_DONE, "rnetc train net.rnet --sweep seed=1,2 --out all --resume");
    assert_string_equal(table, second.out);
    run_expecting(0, "md5sum -c --quiet sums");
    free(table);
    leave_folder();
}

static void a_run_that_diverges_is_counted(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --sweep rate=0.25,1e300 --out all");
    assert_contains(o.out, "rate=0.25  1 run  report ");
    assert_contains(o.out, "rate=1e300  1 run, 1 not finite");
    leave_folder();
}

static void a_sweep_without_a_finite_run_fails(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    o = run_expecting(RNET_NONFINITE, "rnetc train net.rnet --sweep rate=1e200,1e300 --out all");
    assert_contains(o.out, "rate=1e300  1 run, 1 not finite");
    assert_contains(o.error, "no run of the sweep is finite");
    leave_folder();
}

static void wrong_values_are_named(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    o = run_expecting(RNET_USAGE, "rnetc train net.rnet --sweep seed=5..1");
    assert_contains(o.error, "--sweep seed=5..1: expected values apart by commas, or FIRST..LAST");
    o = run_expecting(RNET_USAGE, "rnetc train net.rnet --sweep rate");
    assert_contains(o.error, "--sweep rate: expected NAME=V1,V2 or NAME=FIRST..LAST");
    o = run_expecting(RNET_SOURCE, "rnetc train net.rnet --sweep rat=1");
    assert_contains(o.error, "--sweep rat=1: there is no let `rat` in net.rnet\nhelp: did you mean `rate`?");
    o = run_expecting(RNET_SOURCE, "rnetc train net.rnet --set momentum=1");
    assert_contains(o.error, "--set momentum=1: there is no let `momentum` in net.rnet\nhelp: there are rate");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_has_means_and_errors_over_seeds), cmocka_unit_test(finished_runs_are_kept),
        cmocka_unit_test(a_run_that_diverges_is_counted),
        cmocka_unit_test(a_sweep_without_a_finite_run_fails), cmocka_unit_test(wrong_values_are_named)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
