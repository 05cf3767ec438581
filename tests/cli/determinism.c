/* determinism.c: the same bits at any thread count, and after any interruption. */
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "rnet.h"

/* Extents that divide nothing evenly; every kind of kernel: products, norms over rows and columns, draws, clipping, updates. */
static const char *const program =
    "use std\n"
    "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" { train { x = npy(\"x.npy\"), label = npy(\"label.npy\") } }\n"
    "model net(x[i: 12]) -> logits[class: 5] {\n"
    "    rho ~ uniform(0, 0.5)\n"
    "    logits = x |> dense(131) |> batch_norm |> relu |> dropout(rho) |> dense(67) |> layer_norm |> tanh |> dropout(0.3)\n"
    "               |> gaussian_noise(0.1) |> dense(5)\n"
    "}\n"
    "train net on cloud {\n"
    "    loss = cross_entropy(logits, label)\n"
    "    penalty = 1e-4 * l2(weights)\n"
    "    clip = clip_norm(1.0)\n"
    "    optimizer = adam(rate = cosine(1e-2))\n"
    "    batch = 17\n"
    "    steps = 400\n"
    "}\n";

static void threads_change_no_bit(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 23 --threads 1 --out one");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 23 --threads 2 --out two");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 23 --threads 3 --out three");
    assert_files_equal("one/checkpoint.safetensors", "two/checkpoint.safetensors");
    assert_files_equal("one/checkpoint.safetensors", "three/checkpoint.safetensors");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 23 --seed 1 --out other");
    run_expecting(1, "cmp -s one/checkpoint.safetensors other/checkpoint.safetensors");
    leave_folder();
}

static void threads_change_no_bit_unfused_in_f64(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 11 --no-fuse --precision f64 --threads 1 --out one");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 11 --no-fuse --precision f64 --threads 3 --out three");
    assert_files_equal("one/checkpoint.safetensors", "three/checkpoint.safetensors");
    leave_folder();
}

static void a_resumed_run_is_the_whole_run(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out whole");
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 101 --out parts");
    run_expecting(RNET_DONE, "rnetc train net.rnet --resume --threads 1 --steps 102 --out parts");
    run_expecting(RNET_DONE, "rnetc train net.rnet --resume --out parts");
    assert_files_equal("whole/checkpoint.safetensors", "parts/checkpoint.safetensors");
    leave_folder();
}

/* Lines of steps, without what a clock says. */
static char *steps_of(const char *path)
{
    char *log = read_file(path, NULL), *out = calloc(strlen(log) + 1, 1);

    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        char *seconds = strstr(line, "\"seconds\":"), *rate = strstr(line, "\"clip_rate\":");

        if (strncmp(line, "{\"step\":", 8))
            continue;
        if (rate)
            *rate = 0;
        else if (seconds)
            *seconds = 0;
        strcat(out, line);
        strcat(out, "\n");
    }
    free(log);
    return out;
}

static void an_interrupted_run_goes_on_with_the_same_bits(void **state)
{
    struct outcome outcome = {0};
    char *whole, *parts;
    int interruptions = 0;

    (void)state;
    srand((unsigned)time(NULL));
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out whole");
    for (int attempt = 0; attempt < 200; attempt++) {
        double wait = 0.05 + 0.15 * rand() / RAND_MAX;

        /* a signal before training has begun ends the process by default; then there is nothing to resume yet */
        outcome = run("timeout -s INT --preserve-status %.3f '%s' train net.rnet --out parts $(test -e parts/checkpoint.safetensors "
                      "&& echo --resume || { rm -rf parts; true; })",
                      wait, RNETC);
        if (outcome.status == RNET_DONE)
            break;
        if (outcome.status == RNET_INTERRUPTED && strstr(outcome.error, "interrupted after step"))
            interruptions++;
        else if (outcome.status != RNET_INTERRUPTED && outcome.status != 128 + SIGINT)
            fail_msg("status %d\n%s", outcome.status, outcome.error);
    }
    if (outcome.status != RNET_DONE)
        run_expecting(RNET_DONE, "rnetc train net.rnet --resume --out parts");
    assert_files_equal("whole/checkpoint.safetensors", "parts/checkpoint.safetensors");
    whole = steps_of("whole/log.jsonl");
    parts = steps_of("parts/log.jsonl");
    assert_string_equal(whole, parts);
    free(whole);
    free(parts);
    print_message("interrupted %d times\n", interruptions);
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(threads_change_no_bit_unfused_in_f64),
        cmocka_unit_test(a_resumed_run_is_the_whole_run),
        cmocka_unit_test(an_interrupted_run_goes_on_with_the_same_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
