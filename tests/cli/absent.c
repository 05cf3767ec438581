/* absent.c: checks of programs whose data are not there. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static const char *const program =
    "use std\n"
    "data cloud { train { x = csv(\"cloud.csv\", first = 0, count = 2), label = csv(\"cloud.csv\", first = 2) } }\n"
    "data far from cloud { z[i: 2] = cloud.train.x[batch: 150, i] - cloud.x[i], label = cloud.label }\n"
    "model net(z[i: 2]) -> logits[class: 3] {\n"
    "    w[k: size(cloud.train) // 200] = k\n"
    "    logits = z |> dense(%s) |> dense(3)\n"
    "}\n"
    "train net on far { loss = cross_entropy(logits, label), optimizer = gd(0.1), batch = 50, steps = 10 }\n";

static void write_program(const char *width)
{
    char text[1000];

    snprintf(text, sizeof text, program, width);
    write_file("net.rnet", text);
}

static void what_depends_on_the_number_of_absent_items_is_not_checked(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_program("4");
    o = run_expecting(RNET_DONE, "rnetc check net.rnet");
    assert_contains(o.error, "warning [W0006]: the files of cloud.train cannot be read");
    leave_folder();
}

static void what_does_not_is(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_program("wide");
    o = run_expecting(RNET_SOURCE, "rnetc check net.rnet");
    assert_contains(o.error, "there is no `wide` here");
    assert_null(strstr(o.error, "E0314"));
    assert_null(strstr(o.error, "E0305"));
    leave_folder();
}

static void with_the_files_the_number_is_theirs(void **state)
{
    char text[6000] = "";
    struct outcome o;

    (void)state;
    enter_folder();
    write_program("4");
    for (int i = 0; i < 250; i++)
        snprintf(text + strlen(text), 20, "%d,1,%d\n", i, i % 3);
    write_file("cloud.csv", text);
    o = run_expecting(RNET_DONE, "rnetc check net.rnet");
    assert_null(strstr(o.error, "W0006"));
    text[600] = 0;
    *(strrchr(text, '\n') + 1) = 0;
    write_file("cloud.csv", text);
    o = run_expecting(RNET_SOURCE, "rnetc check net.rnet");
    assert_contains(o.error, "150 may be 150");
    leave_folder();
}

/* More items than a batch, none of them said in the program. */
static void a_report_counts_the_items_that_it_needs_at_once(void **state)
{
    char text[6000] = "", *log;

    (void)state;
    enter_folder();
    for (int i = 0; i < 250; i++)
        snprintf(text + strlen(text), 20, "%d\n", i);
    write_file("x.csv", text);
    write_file("net.rnet", "data d { train { x = csv(\"x.csv\", first = 0) }\n test { x = csv(\"x.csv\", first = 0) } }\n"
                           "model net(x) -> z { param w = 1\n z = x * w }\n"
                           "rule none(w[...], g[...]) { w <- w - 0 * g }\n"
                           "train net on d { loss = z, optimizer = none(), batch = 5, steps = 50\n"
                           "    report { variance = mean[batch] (z - mean[batch] z)^2, most = argmax[batch] z } }\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --precision f64 --out run");
    log = read_file("run/log.jsonl", NULL);
    assert_contains(log, "\"report.variance\":5208.25,\"report.most\":249");
    free(log);
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_depends_on_the_number_of_absent_items_is_not_checked),
        cmocka_unit_test(what_does_not_is),
        cmocka_unit_test(with_the_files_the_number_is_theirs),
        cmocka_unit_test(a_report_counts_the_items_that_it_needs_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
