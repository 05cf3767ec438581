/* mistakes.c: what a run itself can tell of a program that makes no sense: refused, with the reason and the place. */
#include "run.h"

#include <stdio.h>
#include <string.h>

#include "rnet.h"

/* data and model are lines of the program; block is the body of the train block. */
static void write_program(const char *data, const char *model, const char *block)
{
    char text[2000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud { %s }\n"
             "%s\n"
             "train net on cloud {\n%s}\n",
             data, model, block);
    write_file("net.rnet", text);
    write_file("data.csv", "1,2,3,0\n4,5,6,1\n7,8,9,1\n");
}

static const char *const fields =
    "train { x = csv(\"data.csv\", first = 0, count = 3), label = csv(\"data.csv\", first = 3) }";
static const char *const net = "model net(x[i: 3]) -> logits[class: 2] { logits = x |> dense(2) }";
static const char *const block = "    loss = cross_entropy(logits, label)\n"
                                 "    optimizer = gd(rate = 0.1)\n"
                                 "    batch = 2\n"
                                 "    steps = 3\n";

static void a_tensor_that_no_machine_holds_is_named(void **state)
{
    (void)state;
    enter_folder();
    write_program(fields, "model net(x[i: 3]) -> logits[class: 2] { logits = x |> dense(200000) |> dense(5000000) |> dense(2) }",
                  block);
    assert_contains(run_expecting(RNET_FAILED, "rnetc train net.rnet --out run").error,
                    "the largest tensor is net.dense_2.W[200000, 5000000]");
    leave_folder();
}

static void labels_from_one_are_shifted_and_checked(void **state)
{
    (void)state;
    enter_folder();
    write_program("train { x = csv(\"data.csv\", first = 0, count = 3), label = csv(\"data.csv\", first = 3) + 2 - 1 * 2 }",
                  net, block);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    write_program("train { x = csv(\"data.csv\", first = 0, count = 3), label = csv(\"data.csv\", first = 3) - 1 }", net,
                  block);
    assert_contains(run_expecting(RNET_DATA, "rnetc train net.rnet --out other").error,
                    "label 0 in row 0 is not in 1..2");
    leave_folder();
}

static void a_report_without_a_split_is_warned_of(void **state)
{
    (void)state;
    enter_folder();
    write_program(fields, net,
                  "    loss = cross_entropy(logits, label)\n    optimizer = gd(rate = 0.1)\n    batch = 2, steps = 3\n"
                  "    report = accuracy(logits, label)\n");
    assert_contains(run_expecting(RNET_DONE, "rnetc train net.rnet --out run").error,
                    "net.rnet:8:14: warning [W0002]: there is no split to report on: the data cloud have neither "
                    "validation nor test");
    leave_folder();
}

static void a_block_without_data_has_nothing_to_report_on(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\nmodel net() -> y { param w = 1\n y = w^2 }\n"
                           "train net { loss = y, optimizer = gd(0.1), steps = 3, report = y }\n");
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    assert_contains(o.error, "net.rnet:4:64: warning [W0002]: there is no split to report on: the block has no data");
    assert_contains(o.error, "help: the log has the loss of each step; a report is made of data: train net on DATA { ... }");
    leave_folder();
}

static void a_batch_larger_than_the_data_is_refused(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_program(fields, net,
                  "    loss = cross_entropy(logits, label)\n    optimizer = gd(rate = 0.1)\n    batch = 200\n"
                  "    epochs = 3\n");
    o = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(o.error, "net.rnet:7:13: error [E1002]: batch is 200, and cloud.train has 3 items\n"
                             "7 |     batch = 200\n"
                             "  |             ^^^\n"
                             "help: batch = 3 takes all of them in every step");
    leave_folder();
}

static void an_input_that_nothing_reads_is_warned_of(void **state)
{
    (void)state;
    enter_folder();
    write_program(fields, "model net(x[i: 3], label) -> logits[class: 2] { logits = x |> dense(2) }",
                  "    loss = mean[class] logits[class]^2\n    optimizer = gd(rate = 0.1)\n    batch = 2, steps = 3\n");
    assert_contains(run_expecting(RNET_DONE, "rnetc check net.rnet").error,
                    "warning [W0003]: nothing reads the input `label` of net");
    leave_folder();
}

static void a_block_that_reads_no_field_trains(void **state)
{
    (void)state;
    enter_folder();
    write_program(fields, "model net() -> b[class: 2] { param b0[class] = 1\n b[class] = b0[class] }",
                  "    loss = mean[class] b[class]^2\n    optimizer = gd(rate = 0.1)\n    batch = 2, steps = 3\n");
    assert_contains(run_expecting(RNET_DONE, "rnetc train net.rnet --out run").out, "epoch 2");
    leave_folder();
}

static void a_finished_run_invents_no_loss(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_program(fields, net, block);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run --resume");
    assert_contains(o.out, "step 3");
    assert_null(strstr(o.out, "loss"));
    leave_folder();
}

static void numbers_that_are_not_finite_end_eval_and_predict(void **state)
{
    (void)state;
    enter_folder();
    write_program("train { x = csv(\"data.csv\", first = 0, count = 3), label = csv(\"data.csv\", first = 3) }\n"
                  "test { x = csv(\"data.csv\", first = 0, count = 3), label = csv(\"data.csv\", first = 3) }",
                  "let big = 1.0\n"
                  "model net(x[i: 3]) -> logits[class: 2] { z = x |> dense(2)\n"
                  "    logits[class] = z[class] * exp(big) / exp(big) }",
                  "    loss = cross_entropy(logits, label)\n    optimizer = gd(rate = 0.1)\n    batch = 2, steps = 3\n"
                  "    report { size = mean[class] logits[class]^2 }\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    assert_contains(run_expecting(RNET_NONFINITE, "rnetc eval net.rnet --set big=1000 "
                                                  "--checkpoint run/checkpoint.safetensors").error,
                    "the report size of net is");
    assert_contains(run_expecting(RNET_NONFINITE, "rnetc predict net.rnet net --set big=1000 "
                                                  "--checkpoint run/checkpoint.safetensors").error,
                    "the output logits of sample 0 is");
    assert_contains(run_expecting(RNET_SOURCE, "rnetc check net.rnet --set big=inf").error,
                    "big = inf is not a finite number");
    leave_folder();
}

static void of_two_runs_in_one_folder_one_is_refused(void **state)
{
    (void)state;
    enter_folder();
    write_program(fields, net, block);
    run_expecting(0, "(rnetc train net.rnet --out run; echo $? > one) & (rnetc train net.rnet --out run; echo $? > two); wait;"
                     "test $(cat one) -eq 0 -o $(cat two) -eq 0");
    run_expecting(0, "test $(cat one) -ne 0 -o $(cat two) -ne 0");
    run_expecting(0, "test $(grep -c '\"step\":1,' run/log.jsonl) -eq 1");
    leave_folder();
}

static void a_mark_of_the_encoding_is_passed_over(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", "\xEF\xBB\xBFuse std\nmodel net(x[i: 3]) -> y[o: 2] { y = x |> dense(2) }\n");
    run_expecting(RNET_DONE, "rnetc check net.rnet");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_that_no_machine_holds_is_named),
        cmocka_unit_test(labels_from_one_are_shifted_and_checked),
        cmocka_unit_test(a_report_without_a_split_is_warned_of),
        cmocka_unit_test(a_block_without_data_has_nothing_to_report_on),
        cmocka_unit_test(a_batch_larger_than_the_data_is_refused),
        cmocka_unit_test(an_input_that_nothing_reads_is_warned_of),
        cmocka_unit_test(a_block_that_reads_no_field_trains),
        cmocka_unit_test(a_finished_run_invents_no_loss),
        cmocka_unit_test(numbers_that_are_not_finite_end_eval_and_predict),
        cmocka_unit_test(of_two_runs_in_one_folder_one_is_refused),
        cmocka_unit_test(a_mark_of_the_encoding_is_passed_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
