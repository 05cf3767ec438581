/* surgery.c: checkpoints as numbers by name. */
#include "surgery.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t tensor_count(const struct rnet_tensor *tensor)
{
    int64_t count = 1;

    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->shape[i];
    return count;
}

const char *tensor_shape(struct arena *arena, const struct rnet_tensor *tensor)
{
    const char *text = "[";

    for (int i = 0; i < tensor->rank; i++)
        text = arena_printf(arena, "%s%s%" PRId64, text, i ? ", " : "", tensor->shape[i]);
    return arena_printf(arena, "%s]", text);
}

double tensor_number(const struct rnet_tensor *tensor, int64_t element)
{
    switch (tensor->type) {
    case RNET_F32:
        return ((const float *)tensor->data)[element];
    case RNET_F64:
        return ((const double *)tensor->data)[element];
    case RNET_I32:
        return ((const int32_t *)tensor->data)[element];
    case RNET_I64:
        return (double)((const int64_t *)tensor->data)[element];
    case RNET_U8:
        return ((const uint8_t *)tensor->data)[element];
    }
    bug("type %d of %s", (int)tensor->type, tensor->name);
}

void tensor_set(const struct rnet_tensor *tensor, int64_t element, double value)
{
    if (tensor->type == RNET_F32)
        ((float *)tensor->data)[element] = (float)value;
    else if (tensor->type == RNET_F64)
        ((double *)tensor->data)[element] = value;
    else
        bug("%s holds whole numbers", tensor->name);
}

int write_checkpoint(const char *path, const struct rnet_safetensors *file, const struct rnet_pair *extra, int count)
{
    struct arena *arena = arena_new();
    LIST(struct rnet_pair) pairs = {0};
    struct rnet_error error;
    bool done;

    for (int i = 0; i < file->pairs; i++) {
        bool replaced = false;

        for (int k = 0; k < count; k++)
            replaced |= !strcmp(extra[k].key, file->metadata[i].key);
        if (!replaced)
            list_add(arena, pairs, file->metadata[i]);
    }
    for (int k = 0; k < count; k++)
        list_add(arena, pairs, extra[k]);
    done = rnet_safetensors_write(path, file->tensors, file->count, pairs.at, pairs.count, &error);
    arena_free(arena);
    return done ? RNET_DONE : complain_error(&error);
}

int surgery_folder(const struct options *options, const char **program, const char **checkpoint)
{
    const char *name = strrchr(options->files.at[0], '/'), *folder = options->out;

    if (mkdir(folder, 0777) && errno != EEXIST)
        return complain(RNET_FAILED, "%s: %s", folder, strerror(errno));
    *program = arena_printf(options->arena, "%s/%s", folder, name ? name + 1 : options->files.at[0]);
    *checkpoint = arena_printf(options->arena, "%s/checkpoint.safetensors", folder);
    if (!access(*program, F_OK) || !access(*checkpoint, F_OK))
        return complain(RNET_USAGE, "%s holds %s already; another --out keeps it", folder,
                        access(*program, F_OK) ? "a checkpoint" : "a program of that name");
    return RNET_DONE;
}
