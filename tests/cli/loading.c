/* loading.c: which items a step gets: gathered ahead or when wanted, shuffled, in order, and in lanes. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* 64 samples of 5000 numbers are more than a megabyte, so a thread gathers them; 40 samples are not. Which rows a step reads
   shows in its loss: in a batch of its own the loss of a step depends on nothing else, as nothing is learnt. */
static const char *const large =
    "use std\n"
    "let batch_size = 64\n"
    "data rows { samples = 300\n train { place = batch * 1.0, x[i: 5000] = batch + i / 5000, common[k: 3] = k + 1.0 }\n"
    " test { place = batch * 1.0, x[i: 5000] = batch + i / 5000, common[k: 3] = k + 1.0 } }\n"
    "model net(place, x[i: 5000], common[k: 3]) -> y { param w = 0\n y = mean[i] x[i] + w * place + sum[k] common[k] }\n"
    "train net on rows { loss = y, optimizer = gd(1e-3), batch = batch_size, epochs = 4, report = y }\n";

static void gathering_ahead_changes_no_bit(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", large);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out whole");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out one --threads 1");
    assert_files_equal("whole/checkpoint.safetensors", "one/checkpoint.safetensors");
    for (int steps = 1; steps < 19; steps += 5) {
        run_expecting(RNET_DONE, "rnetc train net.rnet --out part-%d --steps %d", steps, steps);
        run_expecting(RNET_DONE, "rnetc train net.rnet --out part-%d --resume", steps);
        run_expecting(0, "cmp whole/checkpoint.safetensors part-%d/checkpoint.safetensors", steps);
    }
    leave_folder();
}

/* Each epoch has every item once: the mean of place over it is 149.5, and that of x is 0.4999 more; common adds 6. A place is the
   number of the item that x is of. */
static void what_is_gathered_ahead_belongs_together(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet",
               "use std\n"
               "data rows { samples = 320\n train { place = batch * 1.0, x[i: 5000] = batch + i / 5000, common[k: 3] = k + 1.0 } }\n"
               "model net(place, x[i: 5000], common[k: 3]) -> y { param w = 0\n"
               " y = abs(mean[i] x[i] - 0.4999 - place) + abs(sum[k] common[k] - 6) + 1e-30 * w }\n"
               "train net on rows { loss = y, optimizer = gd(1e-3), batch = 64, steps = 10, precision = f64 }\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    /* f64: what a mean of 5000 numbers below 400 may be off by rounding, 1e-10 at most; where it is not, 1e-30 w is left */
    run_expecting(0, "test $(grep -cE '\"loss\":(0,|-?[0-9.]+e-[1-9][0-9],)' run/log.jsonl) = 10");
    leave_folder();
}

/* What a lane carries is the item before: 12 items in 4 lanes of 3. Only the first step and the lanes' wraps are off. */
static void lanes_of_a_sequential_order_go_on(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet",
               "use std\n"
               "data rows { samples = 12\n train { x = batch * 1.0 } }\n"
               "model net(x) -> y { param w = 0\n state last[batch] = -1\n y = abs(x - last - 1) + 1e-30 * w\n last <- x }\n"
               "train net on rows { loss = y, optimizer = gd(0.1), batch = 4, steps = 3, order = sequential }\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(0, "grep -o '\"loss\":[0-9.]*' run/log.jsonl");
    /* The first step: lanes begin at 0, 3, 6, 9, and before each was -1: (0 + 3 + 6 + 9) / 4. */
    assert_string_equal(o.out, "\"loss\":4.5\n\"loss\":0\n\"loss\":0\n");
    leave_folder();
}

/* Without a state for each place of the batch the order is the data's. */
static void a_sequential_order_without_lanes_is_that_of_the_data(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data rows { samples = 12\n train { x = batch * 1.0 } }\n"
                           "model net(x) -> y { param w = 0\n y = x + 1e-30 * w }\n"
                           "train net on rows { loss = y, optimizer = gd(0.1), batch = 4, steps = 4, order = sequential }\n");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(0, "grep -o '\"loss\":[0-9.]*' run/log.jsonl");
    assert_string_equal(o.out, "\"loss\":1.5\n\"loss\":5.5\n\"loss\":9.5\n\"loss\":1.5\n");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gathering_ahead_changes_no_bit),
        cmocka_unit_test(what_is_gathered_ahead_belongs_together),
        cmocka_unit_test(lanes_of_a_sequential_order_go_on),
        cmocka_unit_test(a_sequential_order_without_lanes_is_that_of_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
