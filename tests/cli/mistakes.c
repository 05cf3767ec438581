/* mistakes.c: what a run itself can tell of a program that makes no sense: refused, with the reason and the place. */
#include "run.h"

#include <stdio.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tensor_that_no_machine_holds_is_named),
        cmocka_unit_test(labels_from_one_are_shifted_and_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
