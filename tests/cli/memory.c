/* memory.c: what `explain` says that a step needs is what the process uses for it. The nets are large enough that what is planned
   outweighs what is not (stacks, buffers of files, a page here and there): together about a megabyte. */
#include "run.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rnet.h"

/* Of the plan: what issue 4 allows. */
static const double tolerance = 0.1;

static void write_program(const char *model, int batch)
{
    char text[2000];

    snprintf(text, sizeof text,
             "use std\n"
             "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" {\n"
             "    train { x = npy(\"x.npy\"), label = npy(\"label.npy\") }\n"
             "}\n"
             "let width = 10\n"
             "model net(x[i: 12]) -> logits[class: 5] { logits = x |> %s |> dense(5) }\n"
             "train net on cloud {\n"
             "    loss = cross_entropy(logits, label)\n"
             "    clip = clip_norm(1.0)\n"
             "    optimizer = sgd(rate = 0.01, momentum = 0.9)\n"
             "    batch = %d\n"
             "    steps = 2\n"
             "}\n",
             model, batch);
    write_file("net.rnet", text);
}

static double number_of(const char *text, const char *key)
{
    char wanted[80];

    snprintf(wanted, sizeof wanted, "\"%s\":", key);
    return number_behind(text, wanted);
}

static void assert_near(const char *what, double found, double planned)
{
    if (fabs(found - planned) > tolerance * planned)
        fail_msg("%s: %.1f MB, planned were %.1f MB", what, found / 1e6, planned / 1e6);
}

/* The most memory that the process had, by the kernel's account. */
static double peak_of_run(const char *setting, const char *folder)
{
    struct rusage usage;
    int status;
    pid_t child = fork();

    if (child == 0) {
        int nowhere = open("/dev/null", O_WRONLY);

        setenv("RNET_CACHE", "off", 1); /* both compile, or neither */

        dup2(nowhere, 1);
        dup2(nowhere, 2);
        execl(RNETC, RNETC, "train", "net.rnet", "--set", setting, "--out", folder, "--threads", "2", (char *)NULL);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || !WIFEXITED(status) || WEXITSTATUS(status))
        fail_msg("rnetc train --set %s failed", setting);
    return 1024.0 * (double)usage.ru_maxrss;
}

static double planned_in(const char *folder)
{
    return number_of(run_expecting(RNET_DONE, "grep '\"event\":\"memory\"' %s/log.jsonl", folder).out, "planned_bytes");
}

static void check(const char *model, int batch, double least)
{
    double explained, planned, used, most, small, small_planned;
    struct outcome o;

    enter_folder();
    write_program(model, batch);
    o = run_expecting(RNET_DONE, "rnetc explain net.rnet --json --set width=4000 | tail -4");
    explained = number_of(o.out, "memory_bytes");
    most = peak_of_run("width=4000", "large");
    small = peak_of_run("width=10", "small");
    o = run_expecting(RNET_DONE, "grep '\"event\":\"memory\"' large/log.jsonl");
    planned = number_of(o.out, "planned_bytes");
    used = number_of(o.out, "used_bytes");
    small_planned = planned_in("small");
    if (planned < least)
        fail_msg("the net needs %.1f MB; expected at least %.1f MB, so that the test means something", planned / 1e6,
                 least / 1e6);
    assert_near("explain", explained, planned);
    assert_near("the log", used, planned);
#ifndef __SANITIZE_ADDRESS__ /* which has memory of its own for each allocation, kept after it is freed */
    assert_near("the process, less what it is with ten units", most - small, planned - small_planned);
#else
    assert_true(most > small && planned > small_planned);
#endif
    leave_folder();
}

static void parameters_gradients_and_momentum(void **state)
{
    (void)state;
    check("dense(width) |> relu |> dropout(0.2) |> dense(2000) |> relu", 16, 80e6);
}

static void activations(void **state)
{
    (void)state;
    check("dense(20 * width) |> tanh |> dropout(0.2) |> layer_norm |> sigmoid", 80, 80e6);
}

/* Of two trainings that differ in how many samples are made, one more sample costs what its numbers are in f32, once. */
static void data_that_are_made_are_held_once(void **state)
{
    const double few = 10000, many = 30000, sample = 1001 * sizeof(float);

    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "let count = 10\n"
                           "data cloud {\n"
                           "    samples = count\n"
                           "    train { x[i: 1000] ~ normal(0, 1), target[k: 1] = x[0] }\n"
                           "}\n"
                           "model net(x[i: 1000]) -> y[k: 1] { y = x |> dense(1) }\n"
                           "train net on cloud { loss = mean_square(y, target), optimizer = sgd(rate = 0.01, momentum = 0.9), batch = 8, steps = 2 }\n");
    double less = peak_of_run("count=10000", "few"), more = peak_of_run("count=30000", "many");
    assert_near("what more samples take", more - less, (many - few) * sample);
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_gradients_and_momentum),
        cmocka_unit_test(activations),
        cmocka_unit_test(data_that_are_made_are_held_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
