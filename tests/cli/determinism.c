/* determinism.c: the same bits at any thread count, and after any interruption. */
#include "run.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
    "    steps = 2000\n"
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
    run_expecting(RNET_DONE, "rnetc train net.rnet --steps 1001 --out parts");
    run_expecting(RNET_DONE, "rnetc train net.rnet --resume --threads 1 --steps 1002 --out parts");
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

/* Starts a run and sends SIGINT once the log has that many bytes; the status of exit. */
static int train_until_log_has(off_t bytes, bool resume)
{
    struct stat log;
    int status;
    pid_t child = fork();

    if (child == 0) {
        if (!freopen("interrupted.out", "w", stdout) || !freopen("interrupted.err", "w", stderr))
            _exit(99);
        execl(RNETC, RNETC, "train", "net.rnet", "--out", "parts", resume ? "--resume" : NULL, NULL);
        _exit(99);
    }
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (!stat("parts/log.jsonl", &log) && log.st_size >= bytes) {
            kill(child, SIGINT);
            waitpid(child, &status, 0);
            break;
        }
        usleep(200);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void an_interrupted_run_goes_on_with_the_same_bits(void **state)
{
    struct stat log;
    char *whole, *parts;
    int interruptions = 0, status = -1;

    (void)state;
    srand((unsigned)time(NULL));
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out whole");
    if (stat("whole/log.jsonl", &log))
        fail_msg("no log");
    for (int i = 1; i <= 4 && status != RNET_DONE; i++) {
        off_t share = log.st_size / 5, at = share * i - rand() % (share / 2);

        status = train_until_log_has(at, i > 1);
        if (status == RNET_INTERRUPTED)
            interruptions++;
        else if (status != RNET_DONE)
            fail_msg("status %d\n%s", status, read_file("interrupted.err", NULL));
    }
    if (status != RNET_DONE)
        run_expecting(RNET_DONE, "rnetc train net.rnet --resume --out parts");
    if (interruptions == 0)
        fail_msg("the run was never interrupted");
    assert_files_equal("whole/checkpoint.safetensors", "parts/checkpoint.safetensors");
    whole = steps_of("whole/log.jsonl");
    parts = steps_of("parts/log.jsonl");
    assert_string_equal(whole, parts);
    free(whole);
    free(parts);
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
