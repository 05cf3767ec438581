/* steps.c: five training steps of every program of tests/steps against PyTorch's parameters (tests/oracle/torch_steps.py).

   Norm: the largest difference over a tensor, divided by the largest change of that tensor in the five steps. In f64 to 1e-9:
   rounding is 1e-16, the programs divide by small norms, and PyTorch sums in another order. In f32 to 1e-5: a parameter near 1
   that changed by 0.1 is rounded to 6e-8 in each step, 6e-7 of its change; gradients add their own 1e-6. */
#include "run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static double number(const struct rnet_tensor *t, int64_t i)
{
    return t->type == RNET_F32 ? ((const float *)t->data)[i] : ((const double *)t->data)[i];
}

static int64_t elements(const struct rnet_tensor *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++)
        count *= t->shape[i];
    return count;
}

static struct rnet_safetensors open_tensors(const char *path)
{
    struct rnet_safetensors file;
    struct rnet_error error;

    if (!rnet_safetensors_read(path, &file, &error))
        fail_msg("%s", error.message);
    return file;
}

static void compare_tensor(const char *program, const struct rnet_tensor *expected, const struct rnet_tensor *found,
                           const struct rnet_tensor *first, double tolerance)
{
    double difference = 0, change = 0;

    if (!found)
        fail_msg("%s: the checkpoint has no %s", program, expected->name);
    assert_int_equal(elements(found), elements(expected));
    for (int64_t i = 0; i < elements(expected); i++) {
        double e = number(expected, i), f = number(found, i);

        if (!isfinite(f))
            fail_msg("%s: %s is not finite", program, expected->name);
        difference = fmax(difference, fabs(e - f));
        change = fmax(change, fabs(e - (first ? number(first, i) : 0)));
    }
    if (!(difference <= tolerance * change))
        fail_msg("%s: %s differs by %.3g of its largest change %.3g, allowed %.1g", program, expected->name,
                 difference / change, change, tolerance);
}

/* The losses that the log holds, one a step. */
static void compare_losses(const char *program, const struct rnet_tensor *losses, double tolerance)
{
    char *log = read_file("run/log.jsonl", NULL), *at = log;

    for (int step = 1; step <= 5; step++) {
        char key[40];
        double loss, penalty = 0;
        char *end, *found;

        snprintf(key, sizeof key, "{\"step\":%d,", step);
        at = strstr(at, key);
        if (!at)
            fail_msg("%s: no line of the log begins with %s", program, key);
        end = strchr(at, '\n');
        loss = strtod(strstr(at, "\"loss\":") + 7, NULL);
        found = strstr(at, "\"penalty\":");
        if (found && found < end)
            penalty = strtod(found + 10, NULL);
        if (!(fabs(loss + penalty - number(losses, step - 1)) <= tolerance * number(losses, step - 1)))
            fail_msg("%s: loss and penalty of step %d are %.15g, expected %.15g", program, step, loss + penalty,
                     number(losses, step - 1));
    }
    free(log);
}

static void check_program(const char *name, const char *precision, const char *more, double tolerance)
{
    char path[300];
    struct rnet_safetensors expected, first, found;

    run_expecting(RNET_DONE,
                  "rm -rf run; rnetc train " SOURCE_FOLDER "/tests/steps/%s.rnet --init " SOURCE_FOLDER
                  "/tests/steps/%s.init.safetensors --precision %s --out run %s",
                  name, name, precision, more);
    snprintf(path, sizeof path, SOURCE_FOLDER "/tests/steps/%s.expected.safetensors", name);
    expected = open_tensors(path);
    snprintf(path, sizeof path, SOURCE_FOLDER "/tests/steps/%s.init.safetensors", name);
    first = open_tensors(path);
    found = open_tensors("run/checkpoint.safetensors");
    for (int i = 0; i < expected.count; i++) {
        const struct rnet_tensor *e = &expected.tensors[i];

        if (strcmp(e->name, "losses"))
            compare_tensor(name, e, rnet_safetensors_find(&found, e->name), rnet_safetensors_find(&first, e->name), tolerance);
        else
            compare_losses(name, e, tolerance);
    }
    rnet_safetensors_free(&expected);
    rnet_safetensors_free(&first);
    rnet_safetensors_free(&found);
}

static void check_all_ways(void **state)
{
    const char *name = *state;

    enter_folder();
    check_program(name, "f64", "", 1e-9);
    check_program(name, "f64", "--no-fuse", 1e-9);
    check_program(name, "f32", "", 1e-5);
    check_program(name, "f32", "--no-fuse", 1e-5);
    leave_folder();
}

#define PROGRAM(name) {#name, check_all_ways, NULL, NULL, (void *)#name}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROGRAM(gd_squared),
        PROGRAM(sgd_clip_penalty),
        PROGRAM(nesterov_layer_norm),
        PROGRAM(adam_batch_norm),
        PROGRAM(adamw_dropout),
        PROGRAM(rmsprop_gaussian_noise),
        PROGRAM(adagrad_random_dropout),
        PROGRAM(normalized_gd_drop_path),
        PROGRAM(clipped_gd_dropout_batch),
        PROGRAM(max_norm_gaussian_dropout),
        PROGRAM(noisy_batch_norm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
