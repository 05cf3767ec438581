/* blocks.c: several train blocks in a file: one run, one checkpoint, parameters shared by name. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static const char *const program =
    "use std\n"
    "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" {\n"
    "    train { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "    validation { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "}\n"
    "model code(x[i: 12]) -> c[u: 7] { c = x |> dense(7) |> batch_norm |> tanh }\n"
    "model whole(x[i: 12]) -> back[i] { back = code(x) |> dense(12) }\n"
    "model judge(x[i: 12]) -> logits[class: 5] { logits = code(x, training = false) |> dropout(0.2) |> dense(5) }\n"
    "train whole on cloud {\n"
    "    loss = mean_square(back, x)\n"
    "    optimizer = adam(rate = 1e-2)\n"
    "    batch = 17, steps = 40\n"
    "}\n"
    "train judge on cloud {\n"
    "    loss = cross_entropy(logits, label)\n"
    "    params = params(\"judge.*\")\n"
    "    optimizer = adam(rate = 1e-2)\n"
    "    batch = 11, steps = 50\n"
    "    report = accuracy(logits, label)\n"
    "}\n"
    "train whole on cloud {\n"
    "    loss = mean_square(back, x)\n"
    "    optimizer = adam(rate = 1e-3)\n"
    "    batch = 17, steps = 30\n"
    "}\n";

static void blocks_run_in_order_and_share_parameters(void **state)
{
    struct outcome o;
    char *log;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    assert_contains(o.out, "whole  epoch");
    assert_contains(o.out, "judge  epoch");
    log = read_file("run/log.jsonl", NULL);
    assert_contains(log, "\"step\":40,\"model\":\"whole\",\"block\":0");
    assert_contains(log, "\"step\":50,\"model\":\"judge\",\"block\":1");
    assert_contains(log, "\"step\":30,\"model\":\"whole\",\"block\":2");
    free(log);
    leave_folder();
}

/* The first block alone leaves the frozen part as the second block of the whole run had it. */
static void a_frozen_part_stays_as_it_was_trained(void **state)
{
    struct rnet_safetensors one, two;
    struct rnet_error error;
    const struct rnet_tensor *a, *b;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 40 --out one");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 90 --out two");
    assert_true(rnet_safetensors_read("one/checkpoint.safetensors", &one, &error));
    assert_true(rnet_safetensors_read("two/checkpoint.safetensors", &two, &error));
    a = rnet_safetensors_find(&one, "code.dense_1.W");
    b = rnet_safetensors_find(&two, "code.dense_1.W");
    assert_non_null(a);
    assert_non_null(b);
    assert_memory_equal(a->data, b->data, 12 * 7 * sizeof(float));
    assert_null(rnet_safetensors_find(&one, "judge.dense_1.W"));
    assert_non_null(rnet_safetensors_find(&two, "judge.dense_1.W"));
    rnet_safetensors_free(&one);
    rnet_safetensors_free(&two);
    leave_folder();
}

static void resuming_in_any_block_gives_the_same_bits(void **state)
{
    static const int places[] = {13, 40, 41, 77, 90, 101};

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out whole");
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        run_expecting(RNET_DONE, "rnetc train net.rnet --steps %d --out parts-%d", places[i], places[i]);
        run_expecting(RNET_DONE, "rnetc train net.rnet --resume --threads 1 --out parts-%d", places[i]);
        run_expecting(0, "cmp whole/checkpoint.safetensors parts-%d/checkpoint.safetensors", places[i]);
    }
    leave_folder();
}

static void a_resumed_log_has_each_step_once(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 52 --out run");
    run_expecting(RNET_DONE, "rnetc train net.rnet --resume --out run");
    o = run_expecting(0, "grep -c gradient_norm run/log.jsonl");
    assert_string_equal(o.out, "120\n");
    leave_folder();
}

static void eval_says_each_report(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors --json");
    assert_contains(o.out, "{\"model\": \"judge\", \"data\": \"cloud.validation\", \"accuracy\":");
    leave_folder();
}

static const char *const patient =
    "use std\n"
    "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" {\n"
    "    train { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "    validation { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "}\n"
    "model net(x[i: 12]) -> logits[class: 5] { logits = x |> dense(5) }\n"
    "train net on cloud {\n"
    "    loss = cross_entropy(logits, label)\n"
    "    optimizer = gd(rate = %s)\n"
    "    batch = 16, epochs = 200\n"
    "    %s\n"
    "}\n";

static void patience_ends_a_block(void **state)
{
    char text[2000];
    struct outcome o;

    (void)state;
    enter_folder();
    /* With rate 0 the second report is no better than the first, nor is the third. */
    snprintf(text, sizeof text, patient, "0", "patience = 2");
    write_file("net.rnet", text);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    assert_contains(o.out, "2 reports without a lower loss: net ends at step");
    o = run_expecting(0, "grep -c report.loss run/log.jsonl");
    assert_string_equal(o.out, "3\n");
    leave_folder();
}

static void validate_spaces_reports(void **state)
{
    char text[2000];
    struct outcome o;

    (void)state;
    enter_folder();
    snprintf(text, sizeof text, patient, "0.1", "validate = 50, report = accuracy(logits, label)");
    write_file("net.rnet", text);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out run");
    o = run_expecting(0, "grep -c report.accuracy run/log.jsonl");
    assert_string_equal(o.out, "4\n");
    leave_folder();
}

static void a_condition_stops_a_block(void **state)
{
    char text[2000];
    struct outcome o;

    (void)state;
    enter_folder();
    snprintf(text, sizeof text, patient, "0.1", "stop = step == 7");
    write_file("net.rnet", text);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out run --json");
    assert_contains(o.out, "\"step\": 7,");
    leave_folder();
}

/* `reader` is never called by `other`, which names what it is made of. */
static void a_named_instance_of_another_model_is_shared(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet",
               "use std\n"
               "data strings {\n"
               "    samples = 64\n"
               "    train { source[s: 4] ~ categorical[k: 5](1) }\n"
               "    test { source[s: 4] ~ categorical[k: 5](1) }\n"
               "}\n"
               "model reader(source[s: 4] in 5) -> logits[s, k: 5] {\n"
               "    embed = |> embedding(5, 8)\n"
               "    param U[d: 8, k] ~ glorot[d; k]\n"
               "    e = embed(source)\n"
               "    logits[s, k] = sum[d] e[s, d] * U[d, k]\n"
               "}\n"
               "train reader on strings {\n"
               "    loss = mean[s] cross_entropy(logits[s], source[s]), optimizer = adam(rate = 1e-2)\n"
               "    batch = 16, steps = 20\n"
               "}\n"
               "model other(source[s: 4] in 5) -> logits[s, k: 5] {\n"
               "    e = source |> reader.embed\n"
               "    logits[s, k] = sum[d: 8] e[s, d] * reader.U[d, k]\n"
               "}\n"
               "train other on strings {\n"
               "    loss = mean[s] cross_entropy(logits[s], source[s]), optimizer = gd(rate = 0)\n"
               "    batch = 16, steps = 1\n"
               "}\n");
    run_expecting(0, "rnetc train net.rnet --out run");
    run_expecting(0, "rnetc predict net.rnet reader --checkpoint run/checkpoint.safetensors > reader.txt");
    run_expecting(0, "rnetc predict net.rnet other --checkpoint run/checkpoint.safetensors > other.txt");
    run_expecting(0, "test -s reader.txt && cmp reader.txt other.txt");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_run_in_order_and_share_parameters), cmocka_unit_test(a_frozen_part_stays_as_it_was_trained),
        cmocka_unit_test(resuming_in_any_block_gives_the_same_bits), cmocka_unit_test(a_resumed_log_has_each_step_once),
        cmocka_unit_test(eval_says_each_report), cmocka_unit_test(patience_ends_a_block), cmocka_unit_test(validate_spaces_reports),
        cmocka_unit_test(a_condition_stops_a_block),
        cmocka_unit_test(a_named_instance_of_another_model_is_shared)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
