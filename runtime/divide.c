/* divide.c: random parts of a data set. The parts are cut one after the other from permutation 0 of the stream
   "divide NAME", then put in ascending order: a part keeps the order of the file. */
#include "file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

bool rnet_divide(const char *name, uint64_t seed, int64_t rows, const int64_t *counts, int part_count,
                 int64_t *const *parts, struct rnet_error *error)
{
    int64_t wanted = 0;
    for (int i = 0; i < part_count; i++)
        if (counts[i] < 0 || __builtin_add_overflow(wanted, counts[i], &wanted))
            return rnet_fail(error, RNET_USAGE, "%s: expected parts of 0 rows or more, found %lld", name,
                             (long long)counts[i]);
    if (wanted > rows)
        return rnet_fail(error, RNET_DATA, "%s: expected parts of at most %lld rows together, found %lld", name,
                         (long long)rows, (long long)wanted);
    if (wanted == 0)
        return true;
    char *site;
    if (asprintf(&site, "divide %s", name) < 0)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory", name);
    struct rnet_stream *stream = rnet_stream_new(site, seed, rows, 0);
    free(site);
    if (!stream)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for an order of %lld rows", name, (long long)rows);
    uint64_t position = 0;
    for (int i = 0; i < part_count; i++) {
        for (int64_t k = 0; k < counts[i]; k++)
            parts[i][k] = rnet_stream_item(stream, position++);
        if (counts[i] > 0)
            qsort(parts[i], (size_t)counts[i], sizeof *parts[i], ascending);
    }
    rnet_stream_free(stream);
    return true;
}

bool rnet_array_gather(const struct rnet_array *from, const int64_t *rows, int64_t count, struct rnet_array *out,
                       struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    if (from->rank < 1 || count < 0)
        return rnet_fail(error, RNET_USAGE, "expected rows of an array with axes, found one of rank %d", from->rank);
    struct rnet_array result = *from;
    size_t row_bytes, bytes;
    result.shape[0] = count;
    if (!rnet_shape_bytes(from->shape + 1, from->rank - 1, rnet_type_size(from->type), &row_bytes) ||
        !rnet_shape_bytes(result.shape, result.rank, rnet_type_size(from->type), &bytes) ||
        !(result.data = malloc(bytes + 1)))
        return rnet_fail(error, RNET_FAILED, "out of memory for %lld rows", (long long)count);
    for (int64_t i = 0; i < count; i++) {
        if (rows[i] < 0 || rows[i] >= from->shape[0]) {
            rnet_array_free(&result);
            return rnet_fail(error, RNET_USAGE, "expected rows in 0 .. %lld, found %lld", (long long)from->shape[0] - 1,
                             (long long)rows[i]);
        }
        memcpy((char *)result.data + (size_t)i * row_bytes, (const char *)from->data + (size_t)rows[i] * row_bytes,
               row_bytes);
    }
    *out = result;
    return true;
}
