/* safetensors.c: 8 bytes of length, little-endian; a JSON object of that length: name to dtype, shape and data_offsets,
   and
   "__metadata__"; then the elements. Readers are strict as the format asks: no name twice, no hole, no overlap, nothing
   behind. */
#include "file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8, HEADER_ALIGNMENT = 8, DATA_ALIGNMENT = 64, HEADER_LIMIT = 100000000 };

static const char *const type_names[] = {
    [RNET_U8] = "U8", [RNET_I32] = "I32", [RNET_I64] = "I64", [RNET_F32] = "F32", [RNET_F64] = "F64"};

/* ---- writing ---- */

/* Wide types first, so that every tensor is aligned to its type; then by name. */
static int file_order(const void *left, const void *right)
{
    const struct rnet_tensor *a = *(const struct rnet_tensor *const *)left,
                             *b = *(const struct rnet_tensor *const *)right;
    size_t a_width = rnet_type_size(a->type), b_width = rnet_type_size(b->type);
    return a_width != b_width ? (a_width > b_width ? -1 : 1) : strcmp(a->name, b->name);
}

/* Adds key: value, which it takes over; false if the key is there already or is not UTF-8. */
static bool add_once(json_t *object, const char *key, json_t *value)
{
    if (json_object_get(object, key)) {
        json_decref(value);
        return false;
    }
    return json_object_set_new(object, key, value) == 0;
}

static json_t *describe(const struct rnet_tensor *tensor, size_t begin, size_t size)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++)
        json_array_append_new(shape, json_integer(tensor->shape[i]));
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_names[tensor->type], "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + size));
}

/* The header as JSON with spaces to a multiple of 8, behind room for its length; NULL with an error. */
static char *make_header(const char *path, const struct rnet_tensor **sorted, int count,
                         const struct rnet_pair *metadata, int pairs, size_t *length, struct rnet_error *error)
{
    json_t *root = json_object();
    char *header = NULL;
    if (pairs > 0) {
        json_t *values = json_object();
        json_object_set_new(root, "__metadata__", values);
        for (int i = 0; i < pairs; i++)
            if (!add_once(values, metadata[i].key, json_string(metadata[i].value))) {
                rnet_fail(error, RNET_FAILED, "%s: cannot write the metadata %s: it is there twice, or is not UTF-8",
                          path, metadata[i].key);
                goto end;
            }
    }
    size_t begin = 0;
    for (int i = 0; i < count; i++) {
        size_t size;
        if (!rnet_shape_bytes(sorted[i]->shape, sorted[i]->rank, rnet_type_size(sorted[i]->type), &size)) {
            rnet_fail(error, RNET_FAILED, "%s: cannot write the tensor %s: its shape does not fit in memory", path,
                      sorted[i]->name);
            goto end;
        }
        if (strcmp(sorted[i]->name, "__metadata__") == 0 ||
            !add_once(root, sorted[i]->name, describe(sorted[i], begin, size))) {
            rnet_fail(error, RNET_FAILED, "%s: cannot write the tensor %s: the name is there twice, or is not UTF-8",
                      path, sorted[i]->name);
            goto end;
        }
        begin += size;
    }
    size_t written = json_dumpb(root, NULL, 0, JSON_COMPACT);
    size_t padded = (written + HEADER_ALIGNMENT - 1) / HEADER_ALIGNMENT * HEADER_ALIGNMENT;
    if (written == 0 || padded > HEADER_LIMIT) {
        rnet_fail(error, RNET_FAILED, "%s: cannot write a header of %zu bytes: the format's limit is %d", path, padded,
                  HEADER_LIMIT);
        goto end;
    }
    header = malloc(PREFIX + padded);
    if (!header) {
        rnet_fail(error, RNET_FAILED, "%s: out of memory for the header", path);
        goto end;
    }
    for (int i = 0; i < PREFIX; i++)
        header[i] = (char)(padded >> (8 * i));
    memset(header + PREFIX, ' ', padded);
    json_dumpb(root, header + PREFIX, written, JSON_COMPACT);
    *length = PREFIX + padded;
end:
    json_decref(root);
    return header;
}

bool rnet_safetensors_write(const char *path, const struct rnet_tensor *tensors, int count,
                            const struct rnet_pair *metadata, int pairs, struct rnet_error *error)
{
    const struct rnet_tensor **sorted = calloc((size_t)count + 1, sizeof *sorted);
    if (!sorted)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for %d tensors", path, count);
    for (int i = 0; i < count; i++)
        sorted[i] = &tensors[i];
    qsort(sorted, (size_t)count, sizeof *sorted, file_order);
    size_t length = 0;
    char *header = make_header(path, sorted, count, metadata, pairs, &length, error);
    struct rnet_writer writer;
    bool done = header && rnet_writer_open(&writer, path, error) && rnet_writer_add(&writer, header, length, error);
    for (int i = 0; done && i < count; i++) {
        size_t size = 0;
        rnet_shape_bytes(sorted[i]->shape, sorted[i]->rank, rnet_type_size(sorted[i]->type), &size);
        done = rnet_writer_add(&writer, sorted[i]->data, size, error);
    }
    done = done && rnet_writer_close(&writer, error);
    free(header);
    free(sorted);
    return done;
}

/* ---- reading ---- */

/* A tensor as the header describes it. */
struct entry {
    const char *name;
    enum rnet_type type;
    int rank;
    int64_t shape[RNET_MAX_RANK];
    size_t begin, end;
};

struct reader {
    const char *path;
    const struct rnet_bytes *bytes;
    struct rnet_error *error;
    size_t data; /* where the elements begin */
};

static bool fail_tensor(const struct reader *reader, const char *name, const char *expected, const json_t *found)
{
    char *shown = found ? json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    rnet_fail(reader->error, RNET_DATA, "%s: tensor %s: expected %s, found %.200s", reader->path, name, expected,
              shown ? shown : "nothing");
    free(shown);
    return false;
}

static bool read_entry(const struct reader *reader, const char *name, const json_t *json, struct entry *entry)
{
    enum { KEYS = 3 };
    *entry = (struct entry){.name = name};
    if (!json_is_object(json) || json_object_size(json) != KEYS)
        return fail_tensor(reader, name, "an object of dtype, shape and data_offsets", json);

    const json_t *type = json_object_get(json, "dtype");
    bool known = false;
    for (size_t i = 0; json_is_string(type) && i < sizeof type_names / sizeof *type_names; i++)
        if (strcmp(json_string_value(type), type_names[i]) == 0) {
            entry->type = (enum rnet_type)i;
            known = true;
        }
    if (!known)
        return fail_tensor(reader, name, "one of the types U8, I32, I64, F32, F64", type);

    const json_t *shape = json_object_get(json, "shape");
    if (!json_is_array(shape) || json_array_size(shape) > RNET_MAX_RANK)
        return fail_tensor(reader, name, "a shape of at most 8 extents", shape);
    entry->rank = (int)json_array_size(shape);
    for (int i = 0; i < entry->rank; i++) {
        const json_t *extent = json_array_get(shape, (size_t)i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return fail_tensor(reader, name, "extents that are whole numbers from 0 on", shape);
        entry->shape[i] = json_integer_value(extent);
    }

    const json_t *offsets = json_object_get(json, "data_offsets");
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    size_t available = reader->bytes->size - reader->data, size;
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return fail_tensor(reader, name, "data_offsets [begin, end]", offsets);
    entry->begin = (size_t)json_integer_value(begin);
    entry->end = (size_t)json_integer_value(end);
    if (entry->end > available)
        return rnet_fail_at(reader->error, reader->path, reader->bytes, reader->bytes->size,
                            "expected the elements of tensor %s up to byte %zu, found the end of the file", name,
                            reader->data + entry->end);
    if (!rnet_shape_bytes(entry->shape, entry->rank, rnet_type_size(entry->type), &size) ||
        size != entry->end - entry->begin)
        return fail_tensor(reader, name, "data_offsets as far apart as its shape and type need", offsets);
    return true;
}

static int by_offset(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    return a->end != b->end ? (a->end < b->end ? -1 : 1) : strcmp(a->name, b->name);
}

/* Every byte behind the header belongs to one tensor. */
static bool check_tiling(const struct reader *reader, const struct entry *entries, int count)
{
    size_t at = 0;
    for (int i = 0; i < count; i++) {
        if (entries[i].begin != at)
            return rnet_fail_at(reader->error, reader->path, reader->bytes, reader->data + at,
                                "expected the elements of tensor %s to begin here, found them at byte %zu: %s",
                                entries[i].name, reader->data + entries[i].begin,
                                entries[i].begin > at ? "a hole" : "an overlap");
        at = entries[i].end;
    }
    if (reader->data + at != reader->bytes->size)
        return rnet_fail_at(reader->error, reader->path, reader->bytes, reader->data + at,
                            "expected the end of the file, found %zu bytes more",
                            reader->bytes->size - reader->data - at);
    return true;
}

static size_t rounded(size_t size)
{
    return (size + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT;
}

static char *copy_string(char **at, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = memcpy(*at, text, size);
    *at += size;
    return copy;
}

/* One block: elements, each tensor's at a multiple of 64; tensors; metadata; strings. */
static bool fill(const struct reader *reader, const struct entry *entries, int count, const json_t *metadata,
                 struct rnet_safetensors *out)
{
    size_t size = 0, strings = 0;
    const char *key;
    json_t *value;
    for (int i = 0; i < count; i++) {
        size += rounded(entries[i].end - entries[i].begin);
        strings += strlen(entries[i].name) + 1;
    }
    json_object_foreach((json_t *)metadata, key, value) strings += strlen(key) + 1 + json_string_length(value) + 1;
    int pairs = (int)json_object_size(metadata);
    size_t tensors_at = size, pairs_at = tensors_at + (size_t)count * sizeof *out->tensors;
    size_t strings_at = pairs_at + (size_t)pairs * sizeof *out->metadata;
    char *memory = aligned_alloc(DATA_ALIGNMENT, rounded(strings_at + strings + 1));
    if (!memory)
        return rnet_fail(reader->error, RNET_FAILED, "%s: out of memory for %zu bytes", reader->path, size);

    char *data = memory, *text = memory + strings_at;
    *out = (struct rnet_safetensors){.count = count,
                                     .pairs = pairs,
                                     .tensors = (struct rnet_tensor *)(memory + tensors_at),
                                     .metadata = (struct rnet_pair *)(memory + pairs_at),
                                     .memory = memory};
    for (int i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        struct rnet_tensor *tensor = &out->tensors[i];
        *tensor = (struct rnet_tensor){
            .name = copy_string(&text, entry->name), .type = entry->type, .rank = entry->rank, .data = data};
        memcpy(tensor->shape, entry->shape, sizeof tensor->shape);
        memcpy(data, reader->bytes->data + reader->data + entry->begin, entry->end - entry->begin);
        data += rounded(entry->end - entry->begin);
    }
    int pair = 0;
    json_object_foreach((json_t *)metadata, key, value)
    {
        out->metadata[pair].key = copy_string(&text, key);
        out->metadata[pair++].value = copy_string(&text, json_string_value(value));
    }
    return true;
}

static bool read_tensors(const struct reader *reader, json_t *root, struct rnet_safetensors *out)
{
    json_t *metadata = json_object_get(root, "__metadata__"), *value;
    const char *key;
    if (metadata && !json_is_object(metadata))
        return rnet_fail(reader->error, RNET_DATA, "%s: __metadata__: expected an object of strings", reader->path);
    json_object_foreach(metadata, key, value) if (!json_is_string(value)) return rnet_fail(
        reader->error, RNET_DATA, "%s: __metadata__: %s: expected a string", reader->path, key);

    struct entry *entries = calloc(json_object_size(root) + 1, sizeof *entries);
    if (!entries)
        return rnet_fail(reader->error, RNET_FAILED, "%s: out of memory for %zu tensors", reader->path,
                         json_object_size(root));
    int count = 0;
    bool done = true;
    json_object_foreach(root, key, value)
    {
        if (value == metadata)
            continue;
        done = read_entry(reader, key, value, &entries[count]);
        if (!done)
            break;
        count++;
    }
    if (done) {
        qsort(entries, (size_t)count, sizeof *entries, by_offset);
        done = check_tiling(reader, entries, count) && fill(reader, entries, count, metadata, out);
    }
    free(entries);
    return done;
}

static bool read_bytes(const char *path, const struct rnet_bytes *bytes, struct rnet_safetensors *out,
                       struct rnet_error *error)
{
    if (bytes->size < PREFIX)
        return rnet_fail_at(error, path, bytes, bytes->size,
                            "expected the 8 bytes of the header's length, found the end of the file");
    uint64_t length = 0;
    for (int i = 0; i < PREFIX; i++)
        length |= (uint64_t)bytes->data[i] << (8 * i);
    if (length > HEADER_LIMIT)
        return rnet_fail_at(error, path, bytes, 0, "expected a header of at most %d bytes, found the length %llu: this is no safetensors file",
                            HEADER_LIMIT, (unsigned long long)length);
    if (length > bytes->size - PREFIX)
        return rnet_fail_at(error, path, bytes, bytes->size,
                            "expected a header up to byte %llu, found the end of the file",
                            (unsigned long long)length + PREFIX);
    if (length == 0 || bytes->data[PREFIX] != '{')
        return rnet_fail_at(error, path, bytes, PREFIX, "expected a header that begins with '{'");
    json_error_t problem;
    json_t *root = json_loadb((const char *)bytes->data + PREFIX, (size_t)length, JSON_REJECT_DUPLICATES, &problem);
    if (!root)
        return rnet_fail_at(error, path, bytes, PREFIX + (size_t)(problem.position > 0 ? problem.position : 0),
                            "expected a header in JSON, found: %s", problem.text);
    struct reader reader = {.path = path, .bytes = bytes, .error = error, .data = PREFIX + (size_t)length};
    bool done = read_tensors(&reader, root, out);
    json_decref(root);
    return done;
}

bool rnet_safetensors_read(const char *path, struct rnet_safetensors *out, struct rnet_error *error)
{
    *out = (struct rnet_safetensors){0};
    struct rnet_bytes bytes = {0};
    if (!rnet_file_read_raw(path, &bytes, error))
        return false;
    bool done = read_bytes(path, &bytes, out, error);
    free(bytes.data);
    return done;
}

void rnet_safetensors_free(struct rnet_safetensors *file)
{
    free(file->memory);
    *file = (struct rnet_safetensors){0};
}

const struct rnet_tensor *rnet_safetensors_find(const struct rnet_safetensors *file, const char *name)
{
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *rnet_safetensors_value(const struct rnet_safetensors *file, const char *key)
{
    for (int i = 0; i < file->pairs; i++)
        if (strcmp(file->metadata[i].key, key) == 0)
            return file->metadata[i].value;
    return NULL;
}
