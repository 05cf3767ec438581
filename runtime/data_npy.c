/* data_npy.c: NumPy's .npy: "\x93NUMPY", version, length of the header, a Python dict of descr, fortran_order and
   shape, elements. The dict is read strictly: three keys, each once, and nothing else. */
#include "file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A place in the header; every reader below fails at it. */
struct header {
    const char *path;
    const struct rnet_bytes *bytes;
    size_t at, end;
    struct rnet_error *error;
};

struct npy {
    enum rnet_type type;
    char kind; /* 'u' 'b' 'i' 'f' */
    size_t width;
    bool fortran;
    int rank;
    int64_t shape[RNET_MAX_RANK];
    bool has_type, has_order, has_shape;
};

static bool expected(struct header *header, const char *what)
{
    if (header->at >= header->end)
        return rnet_fail_at(header->error, header->path, header->bytes, header->at,
                            "expected %s, found the end of the header", what);
    unsigned char found = header->bytes->data[header->at];
    char shown[16];
    snprintf(shown, sizeof shown, found >= ' ' && found < 127 ? "'%c'" : "byte %02x", found);
    return rnet_fail_at(header->error, header->path, header->bytes, header->at, "expected %s, found %s", what, shown);
}

static void skip_spaces(struct header *header)
{
    while (header->at < header->end && strchr(" \t\n\r", header->bytes->data[header->at]) &&
           header->bytes->data[header->at])
        header->at++;
}

/* Takes `symbol` if it comes next, after spaces. */
static bool take(struct header *header, char symbol)
{
    skip_spaces(header);
    if (header->at >= header->end || header->bytes->data[header->at] != (unsigned char)symbol)
        return false;
    header->at++;
    return true;
}

/* A string without escapes in either kind of quotes. */
static bool take_string(struct header *header, char *out, size_t size, const char *what)
{
    char quote = take(header, '\'') ? '\'' : '"';
    if (quote == '"' && !take(header, '"'))
        return expected(header, what);
    size_t start = header->at, length = 0;
    for (; header->at < header->end && header->bytes->data[header->at] != (unsigned char)quote; header->at++) {
        if (length + 1 == size || header->bytes->data[header->at] == '\\') {
            header->at = start;
            return expected(header, what);
        }
        out[length++] = (char)header->bytes->data[header->at];
    }
    out[length] = 0;
    return take(header, quote) || expected(header, "a closing quote");
}

static bool take_type(struct header *header, struct npy *npy)
{
    static const struct {
        const char *name;
        enum rnet_type type;
    } types[] = {{"|u1", RNET_U8},  {"|b1", RNET_U8},  {"|i1", RNET_I32}, {"<i2", RNET_I32},
                 {"<i4", RNET_I32}, {"<i8", RNET_I64}, {"<f4", RNET_F32}, {"<f8", RNET_F64}};
    char name[12];
    skip_spaces(header);
    size_t start = header->at;
    if (!take_string(header, name, sizeof name, "a type in quotes, as '<f4'"))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0) {
            npy->type = types[i].type;
            npy->kind = name[1];
            npy->width = (size_t)(name[2] - '0');
            return true;
        }
    return rnet_fail_at(header->error, header->path, header->bytes, start,
                        "expected one of the types |u1 |b1 |i1 <i2 <i4 <i8 <f4 <f8, found '%s'", name);
}

static bool take_order(struct header *header, struct npy *npy)
{
    skip_spaces(header);
    const char *text = (const char *)header->bytes->data + header->at;
    size_t left = header->end - header->at;
    npy->fortran = left >= 4 && memcmp(text, "True", 4) == 0;
    if (!npy->fortran && !(left >= 5 && memcmp(text, "False", 5) == 0))
        return expected(header, "True or False");
    header->at += npy->fortran ? 4 : 5;
    return true;
}

static bool take_shape(struct header *header, struct npy *npy)
{
    if (!take(header, '('))
        return expected(header, "a shape in parentheses");
    bool comma = true;
    while (!take(header, ')')) {
        if (!comma)
            return expected(header, "',' or ')'");
        int64_t extent = 0;
        size_t start = header->at;
        for (; header->at < header->end; header->at++) {
            int digit = header->bytes->data[header->at] - '0';
            if (digit < 0 || digit > 9)
                break;
            if (extent > (INT64_MAX - digit) / 10) {
                header->at = start;
                return expected(header, "an extent below 2^63");
            }
            extent = 10 * extent + digit;
        }
        if (header->at == start)
            return expected(header, "an extent");
        if (npy->rank == RNET_MAX_RANK)
            return rnet_fail_at(header->error, header->path, header->bytes, start,
                                "expected at most %d extents, found more", RNET_MAX_RANK);
        npy->shape[npy->rank++] = extent;
        comma = take(header, ',');
        if (!comma && npy->rank == 1)
            return expected(header, "',' (a shape of one extent is written (N,))");
    }
    return true;
}

static bool take_entry(struct header *header, struct npy *npy)
{
    char key[20];
    skip_spaces(header);
    size_t start = header->at;
    if (!take_string(header, key, sizeof key, "'descr', 'fortran_order' or 'shape'"))
        return false;
    bool *seen = strcmp(key, "descr") == 0           ? &npy->has_type
                 : strcmp(key, "fortran_order") == 0 ? &npy->has_order
                 : strcmp(key, "shape") == 0         ? &npy->has_shape
                                                     : NULL;
    if (!seen || *seen)
        return rnet_fail_at(header->error, header->path, header->bytes, start,
                            "expected 'descr', 'fortran_order' and 'shape', each once, found %s'%s'",
                            seen ? "another " : "", key);
    *seen = true;
    if (!take(header, ':'))
        return expected(header, "':'");
    if (seen == &npy->has_type)
        return take_type(header, npy);
    return seen == &npy->has_order ? take_order(header, npy) : take_shape(header, npy);
}

static bool take_dict(struct header *header, struct npy *npy)
{
    if (!take(header, '{'))
        return expected(header, "'{'");
    bool comma = true;
    while (!take(header, '}')) {
        if (!comma)
            return expected(header, "',' or '}'");
        if (!take_entry(header, npy))
            return false;
        comma = take(header, ',');
    }
    const char *missing = !npy->has_type    ? "descr"
                          : !npy->has_order ? "fortran_order"
                          : !npy->has_shape ? "shape"
                                            : NULL;
    if (missing)
        return rnet_fail_at(header->error, header->path, header->bytes, header->at - 1, "expected '%s' before '}'",
                            missing);
    skip_spaces(header);
    return header->at == header->end || expected(header, "only spaces after '}'");
}

/* Everything before the elements. */
static bool read_header(const char *path, const struct rnet_bytes *bytes, struct npy *npy, size_t *start,
                        struct rnet_error *error)
{
    static const unsigned char magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    const unsigned char *data = bytes->data;
    for (size_t i = 0; i < sizeof magic; i++) {
        if (bytes->size == i)
            return rnet_fail_at(error, path, bytes, i,
                                "expected the 6 bytes that begin a npy file, found the end of the file");
        if (data[i] != magic[i])
            return rnet_fail_at(error, path, bytes, i,
                                "expected %02x (a npy file begins with 93 4e 55 4d 50 59), found %02x", magic[i],
                                data[i]);
    }
    if (bytes->size < 8)
        return rnet_fail_at(error, path, bytes, bytes->size, "expected the version, found the end of the file");
    int version = data[6];
    if (version < 1 || version > 3 || data[7] != 0)
        return rnet_fail_at(error, path, bytes, 6, "expected version 1.0, 2.0 or 3.0, found %d.%d", version, data[7]);
    size_t width = version == 1 ? 2 : 4, length = 0;
    if (bytes->size < 8 + width)
        return rnet_fail_at(error, path, bytes, bytes->size,
                            "expected the length of the header, found the end of the file");
    for (size_t i = 0; i < width; i++)
        length |= (size_t)data[8 + i] << (8 * i);
    *start = 8 + width + length;
    if (bytes->size < *start)
        return rnet_fail_at(error, path, bytes, bytes->size,
                            "expected a header up to byte %zu, found the end of the file", *start);
    struct header header = {.path = path, .bytes = bytes, .at = 8 + width, .end = *start, .error = error};
    return take_dict(&header, npy);
}

/* Element i of the file, widened to what it is in memory. */
static void widen(const struct npy *npy, const unsigned char *from, void *to, int64_t place)
{
    if (npy->type == RNET_I32 && npy->width < 4) {
        int16_t value = (int8_t)from[0];
        if (npy->width == 2)
            memcpy(&value, from, 2);
        ((int32_t *)to)[place] = value;
    } else if (npy->kind == 'b') {
        ((uint8_t *)to)[place] = from[0] != 0;
    } else {
        memcpy((char *)to + (size_t)place * npy->width, from, npy->width);
    }
}

/* Place in memory, with the last axis fastest, of the element at `index` of the file, with the first axis fastest. */
static int64_t place_of_fortran(const struct npy *npy, int64_t index)
{
    int64_t place = 0, stride = 1, strides[RNET_MAX_RANK];
    for (int axis = npy->rank - 1; axis >= 0; axis--) {
        strides[axis] = stride;
        stride *= npy->shape[axis];
    }
    for (int axis = 0; axis < npy->rank; axis++) {
        place += index % npy->shape[axis] * strides[axis];
        index /= npy->shape[axis];
    }
    return place;
}

bool rnet_read_npy(const char *path, struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    struct rnet_bytes bytes;
    if (!rnet_file_read(path, &bytes, error))
        return false;
    struct npy npy = {0};
    struct rnet_array array = {0};
    size_t start = 0, size = 0;
    if (!read_header(path, &bytes, &npy, &start, error))
        goto fail;
    size_t found = bytes.size - start;
    if (!rnet_shape_bytes(npy.shape, npy.rank, npy.width, &size) || size > INT64_MAX / 4) {
        rnet_fail_at(error, path, &bytes, 8, "expected a shape whose elements fit in memory");
        goto fail;
    }
    if (found < size) {
        rnet_fail_at(error, path, &bytes, bytes.size, "expected %zu bytes of elements from byte %zu on, found %zu",
                     size, start, found);
        goto fail;
    }
    if (found > size) {
        rnet_fail_at(error, path, &bytes, start + size, "expected the end of the file, found %zu bytes more",
                     found - size);
        goto fail;
    }
    array.type = npy.type;
    array.rank = npy.rank;
    memcpy(array.shape, npy.shape, sizeof array.shape);
    int64_t elements = rnet_array_elements(&array);
    array.data = malloc((size_t)elements * rnet_type_size(array.type) + 1);
    if (!array.data) {
        rnet_fail(error, RNET_FAILED, "%s: out of memory for %lld elements", path, (long long)elements);
        goto fail;
    }
    const unsigned char *from = bytes.data + start;
    for (int64_t i = 0; i < elements; i++, from += npy.width) {
        int64_t place = npy.fortran ? place_of_fortran(&npy, i) : i;
        widen(&npy, from, array.data, place);
        if ((npy.type == RNET_F32 && isnan(((float *)array.data)[place])) ||
            (npy.type == RNET_F64 && isnan(((double *)array.data)[place]))) {
            rnet_fail_at(error, path, &bytes, (size_t)(from - bytes.data),
                         "expected a number, found nan (element %lld)", (long long)i);
            goto fail;
        }
    }
    free(bytes.data);
    *out = array;
    return true;
fail:
    free(bytes.data);
    free(array.data);
    return false;
}

bool rnet_write_npy(const char *path, const struct rnet_array *array, struct rnet_error *error)
{
    static const char *const names[] = {
        [RNET_U8] = "|u1", [RNET_I32] = "<i4", [RNET_I64] = "<i8", [RNET_F32] = "<f4", [RNET_F64] = "<f8"};
    enum { ALIGNMENT = 64, PREFIX = 10 };
    char header[512] = "\x93NUMPY\x01";
    int length = PREFIX;
    length += snprintf(header + length, sizeof header - PREFIX, "{'descr': '%s', 'fortran_order': False, 'shape': (",
                       names[array->type]);
    for (int i = 0; i < array->rank; i++)
        length += snprintf(header + length, sizeof header - (size_t)length, "%s%lld", i > 0 ? ", " : "",
                           (long long)array->shape[i]);
    length += snprintf(header + length, sizeof header - (size_t)length, "%s), }", array->rank == 1 ? "," : "");
    /* Elements begin at a multiple of 64, the header ends with a line end. */
    while ((length + 1) % ALIGNMENT != 0)
        header[length++] = ' ';
    header[length++] = '\n';
    header[8] = (char)((length - PREFIX) & 0xFF);
    header[9] = (char)((length - PREFIX) >> 8);

    struct rnet_writer writer;
    return rnet_writer_open(&writer, path, error) && rnet_writer_add(&writer, header, (size_t)length, error) &&
           rnet_writer_add(&writer, array->data, (size_t)rnet_array_elements(array) * rnet_type_size(array->type),
                           error) &&
           rnet_writer_close(&writer, error);
}
