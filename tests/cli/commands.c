/* commands.c: each command as a person meets it. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static const char *const program =
    "use std\n"
    "let rate = 0.1\n"
    "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" {\n"
    "    train { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "    test { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
    "}\n"
    "model net(x[i: 12]) -> logits[class: 5] { logits = x |> dense(32) |> relu |> dropout(0.2) |> dense(5) }\n"
    "train net on cloud {\n"
    "    loss = cross_entropy(logits, label)\n"
    "    penalty = 1e-4 * l2(weights)\n"
    "    clip = clip_norm(1.0)\n"
    "    optimizer = sgd(rate = rate, momentum = 0.9)\n"
    "    batch = 16\n"
    "    epochs = 20\n"
    "    report = accuracy(logits, label)\n"
    "}\n";

static void set_up(void)
{
    enter_folder();
    write_file("net.rnet", program);
}

static void no_command_shows_help_and_fails(void **state)
{
    (void)state;
    enter_folder();
    assert_contains(run_expecting(RNET_USAGE, "rnetc").out, "usage: rnetc COMMAND FILE");
    assert_contains(run_expecting(RNET_DONE, "rnetc --help").out, "Exit status: 0 done");
    assert_contains(run_expecting(RNET_DONE, "rnetc train --help").out, "--threads N");
    assert_contains(run_expecting(RNET_DONE, "rnetc --version").out, "rnetc 0.");
    leave_folder();
}

static void misspelt_words_get_a_suggestion(void **state)
{
    (void)state;
    set_up();
    assert_string_equal(run_expecting(RNET_USAGE, "rnetc trian net.rnet").error,
                        "rnetc: there is no command `trian`; did you mean `train`? See rnetc --help\n");
    assert_string_equal(run_expecting(RNET_USAGE, "rnetc train net.rnet --thread 2x").error,
                        "rnetc: --threads 2x: expected a whole number above 0\n");
    assert_string_equal(run_expecting(RNET_USAGE, "rnetc train net.rnet --threds 2").error,
                        "rnetc: train has no option `--threds`; did you mean `--threads`? See rnetc train --help\n");
    assert_string_equal(run_expecting(RNET_USAGE, "rnetc train net.rnet --precision f16").error,
                        "rnetc: --precision f16: expected f32 or f64\n");
    assert_string_equal(run_expecting(RNET_USAGE, "rnetc check net.rnet other.rnet").error,
                        "rnetc: check takes FILE; `other.rnet` is one too many\n");
    assert_contains(run_expecting(RNET_SOURCE, "rnetc check net.rnet --set rat=0.2").error, "rat");
    leave_folder();
}

static void check_says_that_nothing_is_wrong(void **state)
{
    (void)state;
    set_up();
    assert_string_equal(run_expecting(RNET_DONE, "rnetc check net.rnet").out, "net.rnet: no errors\n");
    assert_contains(run_expecting(RNET_SOURCE, "rnetc check nothing.rnet").error, "nothing.rnet");
    leave_folder();
}

/* The learnt function of 80 samples in 12 dimensions, five classes by a linear rule: 100 steps fit most of them. */
static void train_eval_predict(void **state)
{
    struct outcome outcome;
    double trained, evaluated;
    int lines = 0;

    (void)state;
    set_up();
    outcome = run_expecting(RNET_DONE, "rnetc train net.rnet --out run --json");
    trained = strtod(strstr(outcome.out, "\"accuracy\": ") + 12, NULL);
    assert_true(trained > 0.8);
    outcome = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors --json");
    assert_contains(outcome.out, "\"data\": \"cloud.test\"");
    evaluated = strtod(strstr(outcome.out, "\"accuracy\": ") + 12, NULL);
    assert_true(trained == evaluated);
    outcome = run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --count 7");
    for (char *c = outcome.out; *c; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 7);
    run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --out logits.npy");
    struct rnet_array array;
    struct rnet_error error;
    assert_true(rnet_read_npy("logits.npy", &array, &error));
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.shape[0], 80);
    assert_int_equal(array.shape[1], 5);
    rnet_array_free(&array);
    assert_contains(run_expecting(RNET_SOURCE, "rnetc predict net.rnet nett --checkpoint run/checkpoint.safetensors").error, "net");
    leave_folder();
}

static void what_does_not_differ_by_sample_is_answered_for_each(void **state)
{
    (void)state;
    set_up();
    write_file("same.rnet",
               "use std\n\ndata cloud {\n    samples = 8\n    train { x[i: 12] ~ normal(0, 1) }\n}\n\n"
               "model net(x[i: 12]) -> (y, w[k: 3]) {\n    param w[k] = 2\n    y = w[0] + x[0] - x[0]\n}\n\n"
               "model alone() -> w[k: 3] {\n    param w[k] = 3\n}\n\n"
               "train net on cloud { loss = y, optimizer = gd(rate = 0), batch = 4, steps = 1 }\n\n"
               "train alone { loss = w[0], optimizer = gd(rate = 0), steps = 1 }\n");
    run_expecting(RNET_DONE, "rnetc train same.rnet --out run");
    assert_string_equal(run_expecting(RNET_DONE, "rnetc predict same.rnet net --checkpoint run/checkpoint.safetensors --count 2").out,
                        "y 2  w 2 2 2\ny 2  w 2 2 2\n");
    assert_string_equal(run_expecting(RNET_DONE, "rnetc predict same.rnet alone --checkpoint run/checkpoint.safetensors").out,
                        "3 3 3\n");
    leave_folder();
}

static void settings_reach_the_run(void **state)
{
    (void)state;
    set_up();
    run_expecting(RNET_DONE, "rnetc train net.rnet --out a --steps 5");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out b --steps 5 --set rate=0.2");
    run_expecting(1, "cmp -s a/checkpoint.safetensors b/checkpoint.safetensors");
    assert_contains(run_expecting(RNET_DONE, "head -1 b/log.jsonl").out, "\"let.rate\":\"0.2\"");
    leave_folder();
}

static void runs_without_a_name_get_folders_of_their_own(void **state)
{
    (void)state;
    set_up();
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 2");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 2");
    run_expecting(RNET_DONE, "cmp runs/net/checkpoint.safetensors runs/net-2/checkpoint.safetensors");
    leave_folder();
}

static void the_log_holds_a_line_a_step(void **state)
{
    struct outcome outcome;

    (void)state;
    set_up();
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 12 --out run");
    outcome = run_expecting(RNET_DONE, "grep -c '^{\"step\":' run/log.jsonl");
    assert_string_equal(outcome.out, "12\n");
    outcome = run_expecting(RNET_DONE, "grep '\"step\":7,' run/log.jsonl");
    for (const char **key = (const char *[]){"loss", "penalty", "gradient_norm", "clipped_norm", "clip_rate", "seconds", NULL}; *key; key++)
        assert_contains(outcome.out, *key);
    outcome = run_expecting(RNET_DONE, "head -1 run/log.jsonl");
    for (const char **key = (const char *[]){"cpu", "isa", "blas", "threads", "seed", "source", "program", NULL}; *key; key++)
        assert_contains(outcome.out, *key);
    leave_folder();
}

static void gradcheck_passes(void **state)
{
    struct outcome outcome;

    (void)state;
    set_up();
    outcome = run_expecting(RNET_DONE, "rnetc gradcheck net.rnet");
    assert_contains(outcome.out, "ok   net.dense_1.W");
    assert_contains(outcome.out, "ok   net.dense_2.b");
    leave_folder();
}

static void explain_lists_kernels(void **state)
{
    struct outcome outcome;

    (void)state;
    set_up();
    outcome = run_expecting(RNET_DONE, "rnetc explain net.rnet");
    assert_contains(outcome.out, "flop");
    assert_contains(outcome.out, "std/dense.rnet");
    assert_contains(run_expecting(RNET_DONE, "rnetc explain net.rnet --time").error, "source to a callable step");
    run_expecting(RNET_DONE, "rnetc explain net.rnet --json | python3 -c 'import json, sys; json.load(sys.stdin)' 2>/dev/null || "
                             "rnetc explain net.rnet --json | grep -q '^[[{]'");
    leave_folder();
}

static void a_copy_of_a_layer_compiles_to_the_same_kernels(void **state)
{
    (void)state;
    set_up();
    run_expecting(RNET_DONE,
                  "sed -e 's/use std/use std\\n"
                  "layer affine(x[..., a]; width: int, init: fn = he_normal) -> z[..., e: width] {\\n"
                  "    param V[a, e] ~ init[a; e], d[e] = 0\\n"
                  "    z[..., e] = sum[a] x[..., a] * V[a, e] + d[e]\\n"
                  "}\\n/' -e 's/dense(/affine(/g' net.rnet > copy.rnet");
    run_expecting(RNET_DONE, "rnetc explain net.rnet --dump fuse | grep -c kernel > a; rnetc explain copy.rnet --dump fuse | "
                             "grep -c kernel > b; cmp a b");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 3 --json --out a1 > /dev/null && rnetc train copy.rnet --steps 3 --out b1");
    leave_folder();
}

static void dumps_parse_back(void **state)
{
    (void)state;
    set_up();
    assert_contains(run_expecting(RNET_DONE, "rnetc explain net.rnet --dump plan").out, "kernel ");
    assert_contains(run_expecting(RNET_DONE, "rnetc explain net.rnet --dump all").out, "# after simplify");
    leave_folder();
}

static void fmt_is_a_fixed_point(void **state)
{
    (void)state;
    set_up();
    run_expecting(RNET_DONE, "rnetc fmt net.rnet > once.rnet; rnetc fmt once.rnet > twice.rnet; cmp once.rnet twice.rnet");
    run_expecting(RNET_DONE, "rnetc fmt - < net.rnet | cmp - once.rnet");
    run_expecting(RNET_DONE, "rnetc fmt --in-place net.rnet; cmp net.rnet once.rnet; rnetc fmt --compare net.rnet");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_command_shows_help_and_fails),
        cmocka_unit_test(misspelt_words_get_a_suggestion),
        cmocka_unit_test(check_says_that_nothing_is_wrong),
        cmocka_unit_test(train_eval_predict),
        cmocka_unit_test(what_does_not_differ_by_sample_is_answered_for_each),
        cmocka_unit_test(settings_reach_the_run),
        cmocka_unit_test(runs_without_a_name_get_folders_of_their_own),
        cmocka_unit_test(the_log_holds_a_line_a_step),
        cmocka_unit_test(gradcheck_passes),
        cmocka_unit_test(explain_lists_kernels),
        cmocka_unit_test(a_copy_of_a_layer_compiles_to_the_same_kernels),
        cmocka_unit_test(dumps_parse_back),
        cmocka_unit_test(fmt_is_a_fixed_point),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
