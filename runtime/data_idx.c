/* data_idx.c: the format of the MNIST files: two zero bytes, type, rank, extents of 4 bytes, elements; big-endian. */
#include "file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IDX_U8 = 0x08, IDX_I8 = 0x09, IDX_I16 = 0x0B, IDX_I32 = 0x0C, IDX_F32 = 0x0D, IDX_F64 = 0x0E };

static uint32_t big32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | (uint32_t)bytes[3];
}

/* Size of an element in the file, 0 for no type of idx; *type: what it becomes in memory. */
static size_t idx_width(int code, enum rnet_type *type)
{
    switch (code) {
    case IDX_U8:
        return *type = RNET_U8, 1;
    case IDX_I8:
        return *type = RNET_I32, 1;
    case IDX_I16:
        return *type = RNET_I32, 2;
    case IDX_I32:
        return *type = RNET_I32, 4;
    case IDX_F32:
        return *type = RNET_F32, 4;
    case IDX_F64:
        return *type = RNET_F64, 8;
    }
    return 0;
}

/* Header and length; *start: where the elements begin. */
static bool read_header(const char *path, const struct rnet_bytes *bytes, struct rnet_array *out, size_t *width,
                        size_t *start, struct rnet_error *error)
{
    const unsigned char *data = bytes->data;
    for (size_t i = 0; i < 4; i++) {
        if (bytes->size == i)
            return rnet_fail_at(error, path, bytes, i,
                                "expected the 4 bytes that begin an idx file, found the end of the file");
        if (i < 2 && data[i] != 0)
            return rnet_fail_at(error, path, bytes, i, "expected 00 (an idx file begins with 00 00), found %02x",
                                data[i]);
    }
    *width = idx_width(data[2], &out->type);
    if (*width == 0)
        return rnet_fail_at(error, path, bytes, 2, "expected an idx type (08, 09, 0b, 0c, 0d or 0e), found %02x",
                            data[2]);
    out->rank = data[3];
    if (out->rank < 1 || out->rank > RNET_MAX_RANK)
        return rnet_fail_at(error, path, bytes, 3, "expected a rank of 1 to %d, found %d", RNET_MAX_RANK, out->rank);
    *start = 4 + 4 * (size_t)out->rank;
    if (bytes->size < *start)
        return rnet_fail_at(error, path, bytes, bytes->size,
                            "expected %d extents up to byte %zu, found the end of the file", out->rank, *start);
    for (int i = 0; i < out->rank; i++)
        out->shape[i] = big32(data + 4 + 4 * i);
    size_t size;
    if (!rnet_shape_bytes(out->shape, out->rank, *width, &size) || size > INT64_MAX / 8)
        return rnet_fail_at(error, path, bytes, 4, "expected extents whose product fits in memory");
    if (bytes->size - *start < size)
        return rnet_fail_at(error, path, bytes, bytes->size,
                            "expected %zu bytes of elements from byte %zu on, found %zu", size, *start,
                            bytes->size - *start);
    if (bytes->size - *start > size)
        return rnet_fail_at(error, path, bytes, *start + size, "expected the end of the file, found %zu bytes more",
                            bytes->size - *start - size);
    return true;
}

bool rnet_read_idx(const char *path, struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    struct rnet_bytes bytes;
    if (!rnet_file_read(path, &bytes, error))
        return false;
    struct rnet_array array = {0};
    size_t width = 0, start = 0;
    if (!read_header(path, &bytes, &array, &width, &start, error)) {
        free(bytes.data);
        return false;
    }
    int64_t elements = rnet_array_elements(&array);
    int code = bytes.data[2];
    /* Bytes stay in the memory they were read to: the largest files are such. */
    if (code == IDX_U8) {
        memmove(bytes.data, bytes.data + start, (size_t)elements);
        array.data = bytes.data;
        *out = array;
        return true;
    }
    array.data = malloc((size_t)elements * rnet_type_size(array.type) + 1);
    if (!array.data) {
        free(bytes.data);
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for %lld elements", path, (long long)elements);
    }
    const unsigned char *from = bytes.data + start;
    for (int64_t i = 0; i < elements; i++, from += width) {
        bool nan = false;
        if (code == IDX_I8) {
            ((int32_t *)array.data)[i] = (int8_t)from[0];
        } else if (code == IDX_I16) {
            ((int32_t *)array.data)[i] = (int16_t)(from[0] << 8 | from[1]);
        } else if (width == 4) {
            uint32_t bits = big32(from);
            memcpy((char *)array.data + 4 * i, &bits, 4);
            nan = code == IDX_F32 && isnan(((float *)array.data)[i]);
        } else {
            uint64_t bits = (uint64_t)big32(from) << 32 | big32(from + 4);
            memcpy((char *)array.data + 8 * i, &bits, 8);
            nan = isnan(((double *)array.data)[i]);
        }
        if (nan) {
            rnet_fail_at(error, path, &bytes, (size_t)(from - bytes.data),
                         "expected a number, found nan (element %lld)", (long long)i);
            free(bytes.data);
            free(array.data);
            return false;
        }
    }
    free(bytes.data);
    *out = array;
    return true;
}
