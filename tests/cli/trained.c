/* trained.c: see trained.h. */
#include "trained.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"
#include "run.h"

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
                           const struct rnet_tensor *first, struct tolerance tolerance)
{
    double difference = 0, change = 0, largest = 0;

    if (!found)
        fail_msg("%s: the checkpoint has no %s", program, expected->name);
    assert_int_equal(elements(found), elements(expected));
    for (int64_t i = 0; i < elements(expected); i++) {
        double e = number(expected, i), f = number(found, i);

        if (!isfinite(f))
            fail_msg("%s: %s is not finite", program, expected->name);
        difference = fmax(difference, fabs(e - f));
        change = fmax(change, fabs(e - (first ? number(first, i) : 0)));
        largest = fmax(largest, fabs(e));
    }
    if (!(difference <= tolerance.of_change * change + tolerance.of_largest * largest))
        fail_msg("%s: %s differs by %.3g; its largest change is %.3g, its largest element %.3g", program,
                 expected->name, difference, change, largest);
}

/* The losses that the log holds, one a step. */
static void compare_losses(const char *program, const struct rnet_tensor *losses, struct tolerance tolerance)
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
        if (!(fabs(loss + penalty - number(losses, step - 1)) <= tolerance.of_change * number(losses, step - 1)))
            fail_msg("%s: loss and penalty of step %d are %.15g, expected %.15g", program, step, loss + penalty,
                     number(losses, step - 1));
    }
    free(log);
}

void five_steps(const char *folder, const char *name, const char *precision, const char *more,
                struct tolerance tolerance)
{
    char path[300];
    struct rnet_safetensors expected, first, found;

    run_expecting(RNET_DONE,
                  "rm -rf run; rnetc train " SOURCE_FOLDER "/%s/%s.rnet --init " SOURCE_FOLDER
                  "/%s/%s.init.safetensors --precision %s --out run %s",
                  folder, name, folder, name, precision, more);
    snprintf(path, sizeof path, SOURCE_FOLDER "/%s/%s.expected.safetensors", folder, name);
    expected = open_tensors(path);
    snprintf(path, sizeof path, SOURCE_FOLDER "/%s/%s.init.safetensors", folder, name);
    first = open_tensors(path);
    found = open_tensors("run/checkpoint.safetensors");
    for (int i = 0; i < expected.count; i++) {
        const struct rnet_tensor *e = &expected.tensors[i];

        if (strcmp(e->name, "losses"))
            compare_tensor(name, e, rnet_safetensors_find(&found, e->name), rnet_safetensors_find(&first, e->name),
                           tolerance);
        else
            compare_losses(name, e, tolerance);
    }
    rnet_safetensors_free(&expected);
    rnet_safetensors_free(&first);
    rnet_safetensors_free(&found);
}
