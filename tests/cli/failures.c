/* failures.c: bad files, bad numbers, full disks: a clear error, the documented status, earlier results intact. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static void write_program(const char *readers, const char *more)
{
    char text[2000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud { train { %s } }\n"
             "model net(x[i: 3]) -> logits[class: 2] { logits = x |> dense(2) }\n"
             "train net on cloud {\n"
             "    loss = cross_entropy(logits, label)\n"
             "    optimizer = gd(rate = 0.1)\n"
             "    batch = 2\n"
             "    steps = 3\n"
             "%s"
             "}\n",
             readers, more);
    write_file("net.rnet", text);
}

static const char *const csv = "x = csv(\"data.csv\", first = 0, count = 3), label = csv(\"data.csv\", first = 3)";

static void train_on_csv(const char *data, int status, const char *message)
{
    struct outcome outcome;

    enter_folder();
    write_program(csv, "");
    write_file("data.csv", data);
    outcome = run_expecting(status, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, message);
    run_expecting(1, "test -e run/checkpoint.safetensors");
    leave_folder();
}

static void a_good_file_trains(void **state)
{
    (void)state;
    enter_folder();
    write_program(csv, "");
    write_file("data.csv", "a,b,c,label\n1,2,3,0\n4,5,6,1\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    leave_folder();
}

static void a_label_out_of_range_is_named_with_its_row(void **state)
{
    (void)state;
    train_on_csv("1,2,3,0\n4,5,6,1\n7,8,9,2\n", RNET_DATA, "label 2 in row 2 is not in 0..1");
}

static void a_label_that_is_not_whole_is_named(void **state)
{
    (void)state;
    train_on_csv("1,2,3,0\n4,5,6,0.5\n", RNET_DATA, "label 0.5 in row 1 is not a whole number");
}

static void nan_in_data_is_named_with_its_line(void **state)
{
    (void)state;
    train_on_csv("1,2,3,0\n4,nan,6,1\n", RNET_DATA, "data.csv: line 2, column 2: expected a finite decimal number, found \"nan\"");
}

static void a_short_line_is_named(void **state)
{
    (void)state;
    train_on_csv("1,2,3,0\n4,5\n", RNET_DATA, "data.csv: line 2: expected 4 fields as in the first line, found 2");
}

static void an_empty_file_is_named(void **state)
{
    (void)state;
    train_on_csv("", RNET_DATA, "data.csv");
}

static void a_missing_file_is_named(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "data.csv: cannot open: No such file or directory");
    leave_folder();
}

/* Where the program calls the reader: line and column of what each split reads. */
static void what_is_wrong_with_a_file_has_a_place(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_file("net.rnet", "data d {\n    train { x = 2 * csv(\"none.csv\") }\n    test { x = csv(\"test.csv\") }\n}\n"
                           "model net(x) -> z { param w = 1\n z = w * x }\n"
                           "train net on d {\n loss = z^2\n optimizer = gd(0.1)\n batch = 1\n steps = 1\n"
                           " report { a = mean[batch] z }\n}\n"
                           "rule gd(w[...], g[...]; rate) { w <- w - rate * g }\n");
    write_file("test.csv", "1\nnan\n");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "net.rnet:2:21: none.csv: cannot open: No such file or directory");
    write_file("none.csv", "1\n2\n");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "net.rnet:3:16: test.csv");
    leave_folder();
}

static void wrong_shapes_say_both(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program("x = npy(\"" SOURCE_FOLDER "/tests/steps/data/x.npy\"), label = npy(\"" SOURCE_FOLDER
                  "/tests/steps/data/label.npy\")",
                  "");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "x: each sample is 12 numbers, expected 3 numbers");
    leave_folder();
}

static void fields_of_different_lengths_say_both(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program("x = csv(\"a.csv\", first = 0, count = 3), label = csv(\"b.csv\", first = 0)", "");
    write_file("a.csv", "1,2,3\n4,5,6\n");
    write_file("b.csv", "0\n1\n1\n");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "label has 3 rows, but x (");
    assert_contains(outcome.error, "has 2");
    leave_folder();
}

static void a_wrong_magic_names_the_byte(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program("x = idx(\"x.idx\"), label = csv(\"b.csv\", first = 0)", "");
    write_file("x.idx", "not an idx file");
    write_file("b.csv", "0\n1\n");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "x.idx: byte 0");
    leave_folder();
}

static void a_file_cut_short_names_the_byte(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program("x = npy(\"x.npy\"), label = csv(\"b.csv\", first = 0)", "");
    run_expecting(RNET_DONE, "head -c 1000 " SOURCE_FOLDER "/tests/steps/data/x.npy > x.npy");
    write_file("b.csv", "0\n1\n");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "x.npy: byte ");
    leave_folder();
}

static void a_full_disk_leaves_the_earlier_checkpoint(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "    order = sequential\n");
    write_file("data.csv", "1,2,3,0\n4,5,6,1\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 1 --out run; cp run/checkpoint.safetensors before");
    outcome = run_expecting(RNET_FAILED, "(ulimit -f 1; rnetc train net.rnet --out run --resume)");
    assert_contains(outcome.error, "File too large");
    assert_files_equal("before", "run/checkpoint.safetensors");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run --resume");
    leave_folder();
}

static void a_folder_that_cannot_be_written_is_named(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "");
    write_file("data.csv", "1,2,3,0\n4,5,6,1\n");
    write_file("run", "a file");
    outcome = run_expecting(RNET_FAILED, "rnetc train net.rnet --out run/inner");
    assert_contains(outcome.error, "run/inner: Not a directory");
    leave_folder();
}

static void a_run_is_not_written_over(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "");
    write_file("data.csv", "1,2,3,0\n4,5,6,1\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run; cp run/checkpoint.safetensors before");
    outcome = run_expecting(RNET_USAGE, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "run holds a run already; --resume goes on with it");
    assert_files_equal("before", "run/checkpoint.safetensors");
    leave_folder();
}

static void a_checkpoint_of_another_program_is_refused(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "");
    write_file("data.csv", "1,2,3,0\n4,5,6,1\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 1 --out run; cp run/checkpoint.safetensors before");
    run_expecting(RNET_DONE, "sed -i 's/dense(2)/dense(4) |> dense(2)/' net.rnet");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run --resume");
    assert_contains(outcome.error, "written by another program");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out other --init run/checkpoint.safetensors");
    assert_contains(outcome.error, "net.dense_1.W is F32[3, 2], expected F32[3, 4]");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out other --init data.csv");
    assert_contains(outcome.error, "data.csv: byte 0");
    assert_files_equal("before", "run/checkpoint.safetensors");
    leave_folder();
}

static void another_seed_is_refused(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "");
    write_file("data.csv", "1,2,3,0\n4,5,6,1\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 1 --out run");
    outcome = run_expecting(RNET_DATA, "rnetc train net.rnet --out run --resume --seed 5");
    assert_contains(outcome.error, "trained with seed 0, not 5");
    leave_folder();
}

static void numbers_that_are_not_finite_stop_with_the_equation(void **state)
{
    struct outcome outcome;

    (void)state;
    enter_folder();
    write_program(csv, "");
    write_file("data.csv", "1e3,2e3,3e3,0\n4e3,5e3,6e3,1\n");
    run_expecting(RNET_DONE, "sed -i 's/rate = 0.1/rate = 1e37/' net.rnet");
    outcome = run_expecting(RNET_NONFINITE, "rnetc train net.rnet --out run");
    assert_contains(outcome.error, "step 2:");
    assert_contains(outcome.error, "std/dense.rnet:");
    assert_contains(outcome.error, "nothing was updated in that step");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_trains),
        cmocka_unit_test(a_label_out_of_range_is_named_with_its_row),
        cmocka_unit_test(a_label_that_is_not_whole_is_named),
        cmocka_unit_test(nan_in_data_is_named_with_its_line),
        cmocka_unit_test(a_short_line_is_named),
        cmocka_unit_test(an_empty_file_is_named),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(what_is_wrong_with_a_file_has_a_place),
        cmocka_unit_test(wrong_shapes_say_both),
        cmocka_unit_test(fields_of_different_lengths_say_both),
        cmocka_unit_test(a_wrong_magic_names_the_byte),
        cmocka_unit_test(a_file_cut_short_names_the_byte),
        cmocka_unit_test(a_full_disk_leaves_the_earlier_checkpoint),
        cmocka_unit_test(a_folder_that_cannot_be_written_is_named),
        cmocka_unit_test(a_run_is_not_written_over),
        cmocka_unit_test(a_checkpoint_of_another_program_is_refused),
        cmocka_unit_test(another_seed_is_refused),
        cmocka_unit_test(numbers_that_are_not_finite_stop_with_the_equation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
