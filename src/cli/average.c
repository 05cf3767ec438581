/* average.c: rnetc average: the mean of checkpoints of one program. */
#include "surgery.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_form(const struct rnet_tensor *a, const struct rnet_tensor *b)
{
    return a->type == b->type && a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->rank);
}

/* Everything in the one is in the other, in the same form. */
static int check_names(struct arena *arena, const char *first, const struct rnet_safetensors *a, const char *second,
                       const struct rnet_safetensors *b)
{
    for (int i = 0; i < a->count; i++) {
        const struct rnet_tensor *other = rnet_safetensors_find(b, a->tensors[i].name);

        if (!other)
            return complain(RNET_DATA, "%s has no %s, which %s has: these are not checkpoints of one program", second,
                            a->tensors[i].name, first);
        if (!same_form(&a->tensors[i], other))
            return complain(RNET_DATA, "%s is %s in %s and %s in %s%s: these are not checkpoints of one program",
                            a->tensors[i].name, tensor_shape(arena, &a->tensors[i]), first, tensor_shape(arena, other), second,
                            a->tensors[i].type == other->type ? "" : ", of another type");
    }
    return RNET_DONE;
}

static void warn_of_note(const struct rnet_safetensors *first, const struct rnet_safetensors *other, const char *path,
                         const char *key, const char *what)
{
    const char *a = rnet_safetensors_value(first, key), *b = rnet_safetensors_value(other, key);

    if (a && b && strcmp(a, b))
        complain(0, "%s: %s is %s, in the first file %s%s", path, what, b, a,
                 strcmp(key, "rnet.seed") ? "" : "; data are divided as there");
}

/* Whole numbers have no mean: they agree, but for the position, of which the furthest is taken. */
static int take_whole(const struct rnet_tensor *to, const struct rnet_tensor *from, const char *path)
{
    int64_t count = tensor_count(to);

    if (!strcmp(to->name, STORED_STEP) && to->type == RNET_I64 && !to->rank) {
        int64_t *step = to->data, other = *(const int64_t *)from->data;

        *step = other > *step ? other : *step;
        return RNET_DONE;
    }
    if (memcmp(to->data, from->data, (size_t)count * rnet_type_size(to->type)))
        return complain(RNET_DATA, "%s: %s holds whole numbers, which have no mean, and others than in the first file", path, to->name);
    return RNET_DONE;
}

static bool real(const struct rnet_tensor *t)
{
    return t->type == RNET_F32 || t->type == RNET_F64;
}

/* The mean, into the tensors of the first file; *what: what is to be said of it. Sums are taken in the order of the files. */
static int take_mean(const struct options *options, struct rnet_safetensors *files, int count, const char **what)
{
    int64_t numbers = 0;
    double sum, first, change = 0, norm = 0;

    for (int i = 0; i < files[0].count; i++) {
        struct rnet_tensor *to = &files[0].tensors[i];
        const struct rnet_tensor **from = NEW_ARRAY(options->arena, const struct rnet_tensor *, count);

        for (int f = 0; f < count; f++) {
            from[f] = rnet_safetensors_find(&files[f], to->name);
            if (!real(to) && f && take_whole(to, from[f], options->files.at[f]) != RNET_DONE)
                return RNET_DATA;
        }
        for (int64_t k = 0; real(to) && k < tensor_count(to); k++, numbers++) {
            first = sum = tensor_number(from[0], k);
            for (int f = 1; f < count; f++)
                sum += tensor_number(from[f], k);
            change += (sum / count - first) * (sum / count - first);
            norm += first * first;
            tensor_set(to, k, sum / count);
        }
    }
    if (!isfinite(norm) || !isfinite(change))
        return complain(RNET_NONFINITE, "the checkpoints hold numbers that are not finite");
    *what = arena_printf(options->arena, "%s: the mean of %d checkpoints, %" PRId64 " numbers; from the first by %.3g of its norm", options->out,
                         count, numbers, norm > 0 ? sqrt(change / norm) : 0);
    return RNET_DONE;
}

int run_average(struct options *options)
{
    int count = options->files.count, status = RNET_DONE;
    struct rnet_safetensors *files = NEW_ARRAY(options->arena, struct rnet_safetensors, count);
    struct rnet_error error;
    const char *what = "";
    int opened = 0;

    if (!options->out)
        return complain(RNET_USAGE, "average wants --out FILE for the mean");
    if (count < 2)
        return complain(RNET_USAGE, "average wants two checkpoints or more");
    for (; opened < count && status == RNET_DONE; opened++) {
        const char *path = options->files.at[opened];

        if (!rnet_safetensors_read(path, &files[opened], &error)) {
            status = complain_error(&error);
            break;
        }
        if (!opened)
            continue;
        status = check_names(options->arena, options->files.at[0], &files[0], path, &files[opened]);
        if (status == RNET_DONE)
            status = check_names(options->arena, path, &files[opened], options->files.at[0], &files[0]);
        if (status == RNET_DONE) {
            warn_of_note(&files[0], &files[opened], path, "rnet.program", "the hash of its program");
            warn_of_note(&files[0], &files[opened], path, "rnet.seed", "its seed");
        }
    }
    if (status == RNET_DONE)
        status = take_mean(options, files, count, &what);
    if (status == RNET_DONE)
        status = write_checkpoint(options->out, &files[0],
                                  &(struct rnet_pair){"rnet.average", arena_printf(options->arena, "%d", count)}, 1);
    if (status == RNET_DONE)
        puts(what);
    for (int i = 0; i < opened; i++)
        rnet_safetensors_free(&files[i]);
    return status;
}
