/* Writes one file of each kind into a folder, for tests/oracle/check_files.py. */
#include <stdio.h>
#include <stdlib.h>

#include "rnet.h"

static void set(void *data, enum rnet_type type, int64_t i, int value)
{
    switch (type) {
    case RNET_U8:
        ((uint8_t *)data)[i] = (uint8_t)value;
        break;
    case RNET_I32:
        ((int32_t *)data)[i] = value;
        break;
    case RNET_I64:
        ((int64_t *)data)[i] = value;
        break;
    case RNET_F32:
        ((float *)data)[i] = (float)value;
        break;
    case RNET_F64:
        ((double *)data)[i] = value;
        break;
    }
}

static struct rnet_array ramp(enum rnet_type type, int rank, const int64_t *shape)
{
    struct rnet_array array = {.type = type, .rank = rank};
    for (int i = 0; i < rank; i++)
        array.shape[i] = shape[i];
    int64_t elements = rnet_array_elements(&array);
    array.data = malloc((size_t)elements * rnet_type_size(type) + 1);
    for (int64_t i = 0; i < elements; i++)
        set(array.data, type, i, (int)(3 * i + 1));
    return array;
}

static const char *folder;

static void must(bool done, const struct rnet_error *error)
{
    if (!done) {
        fprintf(stderr, "%s\n", error->message);
        exit(error->status);
    }
}

static void write_npy(const char *name, enum rnet_type type, int rank, const int64_t *shape)
{
    struct rnet_error error;
    char path[4000];
    snprintf(path, sizeof path, "%s/%s.npy", folder, name);
    struct rnet_array array = ramp(type, rank, shape);
    must(rnet_write_npy(path, &array, &error), &error);
    rnet_array_free(&array);
}

static void write_safetensors(const char *name, const struct rnet_tensor *tensors, int count,
                              const struct rnet_pair *metadata, int pairs)
{
    struct rnet_error error;
    char path[4000];
    snprintf(path, sizeof path, "%s/%s.safetensors", folder, name);
    must(rnet_safetensors_write(path, tensors, count, metadata, pairs, &error), &error);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return RNET_USAGE;
    }
    folder = argv[1];
    static const char *const kinds[] = {"u8", "i32", "i64", "f32", "f64"};
    static const char *const names[] = {"tensor.u8", "tensor.i32", "tensor.i64", "tensor.f32", "tensor.f64"};
    enum { KINDS = 5 };
    struct rnet_tensor tensors[KINDS + 2];
    struct rnet_array arrays[KINDS + 2];
    for (int i = 0; i < KINDS; i++) {
        write_npy(kinds[i], (enum rnet_type)i, 3, (int64_t[]){2, 3, 4});
        arrays[i] = ramp((enum rnet_type)i, 2, (int64_t[]){3, 5});
        tensors[i] = (struct rnet_tensor){names[i], (enum rnet_type)i, 2, {3, 5}, arrays[i].data};
    }
    write_npy("vector", RNET_F32, 1, (int64_t[]){7});
    write_npy("scalar", RNET_F64, 0, NULL);
    write_npy("empty", RNET_F32, 2, (int64_t[]){0, 3});
    write_npy("deep", RNET_U8, 8, (int64_t[]){1, 2, 1, 2, 1, 2, 1, 2});
    arrays[KINDS] = ramp(RNET_F32, 0, NULL);
    tensors[KINDS] = (struct rnet_tensor){"scalar", RNET_F32, 0, {0}, arrays[KINDS].data};
    arrays[KINDS + 1] = ramp(RNET_F64, 2, (int64_t[]){4, 0});
    tensors[KINDS + 1] = (struct rnet_tensor){"empty", RNET_F64, 2, {4, 0}, arrays[KINDS + 1].data};
    const struct rnet_pair metadata[] = {{"step", "12"}, {"text", "a \"b\" \\ \n \xC3\xBC"}};
    write_safetensors("all", tensors, KINDS + 2, metadata, 2);
    write_safetensors("none", NULL, 0, NULL, 0);
    for (int i = 0; i < KINDS + 2; i++)
        rnet_array_free(&arrays[i]);
    return RNET_DONE;
}
