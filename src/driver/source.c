/* source.c: where the columns of a split come from: files through the readers of the runtime, vocabularies made once and kept, parts of
   divided splits, and fields made by programs, which run when they are first wanted and are kept for the run. */
#include "driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 }; /* items at a time, of a program that may run so */

struct data_source *data_source_new(struct arena *arena, struct unit *unit, struct store *store)
{
    struct data_source *source = NEW(arena, struct data_source);

    source->arena = arena;
    source->unit = unit;
    source->store = store;
    source->precision = -1;
    source->threads = 1;
    source->counts = map_new(arena);
    source->made = map_new(arena);
    return source;
}

/* ---- vocabularies ---- */

static bool build_vocabulary(const struct field *f, struct rnet_vocabulary *out, struct rnet_error *error)
{
    struct rnet_array first = {0}, second = {0};
    bool built;

    *out = (struct rnet_vocabulary){0};
    switch (f->reader) {
    case READ_CHARACTERS:
        return rnet_vocabulary_build(RNET_CHARACTERS, f->vocabulary_file, (int)f->limit, out, error);
    case READ_WORDS:
        return rnet_vocabulary_build(RNET_WORDS, f->vocabulary_file, (int)f->limit, out, error);
    case READ_LINES:
    case READ_LENGTHS:
        return rnet_vocabulary_build(RNET_LINES, f->vocabulary_file, (int)f->limit, out, error);
    case READ_LABELS:
        built = rnet_read_csv_labels(f->vocabulary_file, f->column_count ? f->columns[0] : NULL, f->first, out, &first, error);
        break;
    case READ_PNG:
    case READ_PNG_LABELS:
        built = rnet_read_images(f->vocabulary_file, out, &first, &second, error);
        break;
    default:
        bug("no vocabulary for reader %d", (int)f->reader);
    }
    rnet_array_free(&first);
    rnet_array_free(&second);
    return built;
}

/* Of the training split, as the checkpoint keeps it. */
static bool vocabulary_of(struct data_source *source, const struct field *f, struct rnet_vocabulary *out,
                          struct rnet_error *error)
{
    const char *key = arena_printf(source->arena, "rnet.vocabulary.%s", f->vocabulary);
    const char *noted = store_noted(source->store, key);
    char *packed;

    *out = (struct rnet_vocabulary){0};
    if (noted)
        return rnet_vocabulary_unpack(noted, strlen(noted), key, out, error);
    if (!build_vocabulary(f, out, error))
        return false;
    packed = rnet_vocabulary_pack(out);
    if (!packed)
        return rnet_fail(error, RNET_FAILED, "out of memory for a vocabulary");
    store_note(source->store, key, packed);
    free(packed);
    return true;
}

/* ---- files ---- */

static bool read_text(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    struct rnet_vocabulary vocabulary;
    struct rnet_array stream = {0};
    int64_t unknown = 0;
    bool done;

    if (!vocabulary_of(source, f, &vocabulary, error))
        return false;
    done = rnet_read_text(f->file, &vocabulary, f->length ? &stream : out, &unknown, error);
    if (done && f->length)
        done = rnet_sequence(&stream, f->length, f->length - 1, f->file, out, error);
    rnet_array_free(&stream);
    rnet_vocabulary_free(&vocabulary);
    return done;
}

static bool read_pair(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    struct rnet_vocabulary vocabulary = {0};
    struct rnet_array first = {0}, second = {0};
    bool wants_second = f->reader == READ_LENGTHS || f->reader == READ_PNG_LABELS, done;
    int64_t unknown = 0;

    if (f->vocabulary && !vocabulary_of(source, f, &vocabulary, error))
        return false;
    if (f->reader == READ_LINES || f->reader == READ_LENGTHS)
        done = rnet_read_lines(f->file, &vocabulary, (int)f->longest, &first, &second, &unknown, error);
    else
        done = rnet_read_images(f->file, f->labelled ? &vocabulary : NULL, &first, &second, error);
    *out = wants_second ? second : first;
    if (wants_second)
        rnet_array_free(&first);
    else if (second.data)
        rnet_array_free(&second);
    rnet_vocabulary_free(&vocabulary);
    return done;
}

static bool read_labels(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    struct rnet_vocabulary vocabulary;
    bool done;

    if (!vocabulary_of(source, f, &vocabulary, error))
        return false;
    done = rnet_read_csv_labels(f->file, f->column_count ? f->columns[0] : NULL, f->first, &vocabulary, out, error);
    rnet_vocabulary_free(&vocabulary);
    return done;
}

/* ---- how many items ---- */

static bool read_rows(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error);

int64_t data_source_items(void *context, const char *data, const char *split)
{
    struct data_source *source = context;
    const char *key = arena_printf(source->arena, "%s.%s", data, split);
    int64_t *known = map_get(source->counts, key), items = 0;
    struct rnet_array array = {0};
    struct field field;

    if (known)
        return *known;
    if (!data_count(source->unit, data, split, &items, &field))
        return 0;
    if (!items) {
        if (!read_rows(source, &field, &array, &source->error)) {
            source->failed = true;
            return 0;
        }
        items = array.shape[0];
        rnet_array_free(&array);
    }
    known = NEW(source->arena, int64_t);
    *known = items;
    map_put(source->counts, key, known);
    return items;
}

/* ---- made fields ---- */

struct made {
    struct rnet_array array;
    bool shared;
};

static enum rnet_type type_of(enum ir_storage storage)
{
    return storage == IR_F32 ? RNET_F32 : storage == IR_F64 ? RNET_F64 : storage == IR_I32 ? RNET_I32 : RNET_U8;
}

static struct made *made_new(struct data_source *source, const struct ir_tensor *t, int64_t items)
{
    struct made *made = NEW(source->arena, struct made);
    int64_t bytes = t->kind == IR_SCALAR ? (int64_t)sizeof(double) : storage_bytes(t->storage);

    made->shared = !t->rank || !t->axes[0]->batch;
    made->array = (struct rnet_array){.type = t->kind == IR_SCALAR ? RNET_F64 : type_of(t->storage), .rank = t->rank + made->shared};
    made->array.shape[0] = made->shared ? 1 : items;
    for (int i = !made->shared; i < t->rank; i++)
        made->array.shape[i + made->shared] = t->axes[i]->extent;
    for (int i = 0; i < made->array.rank; i++)
        bytes *= made->array.shape[i];
    made->array.data = malloc((size_t)bytes + 1);
    if (!made->array.data) {
        fprintf(stderr, "rnetc: out of memory (%lld bytes of made data)\n", (long long)bytes);
        exit(RNET_FAILED);
    }
    return made;
}

static void copy_whole(const struct dataset *data, struct instance *in)
{
    for (int c = 0; c < data->count; c++) {
        const struct column *column = &data->columns[c];
        char *to = instance_data(in, ir_find(in->compiled->program, column->field->name));

        for (int64_t i = 0; i < data->items; i++)
            memcpy(to + i * column->row_bytes, column->rows + i * column->stride, (size_t)column->row_bytes);
    }
}

static double no_clock(void *context, const char *name)
{
    struct data_source *source = context;
    double value;

    if (unit_let(source->unit, name, &value))
        return value;
    return 1;
}

static void run_program(struct data_source *source, struct instance *in, const struct dataset *own,
                        const struct ir_program *p, int64_t items, int64_t chunk, struct made *const *made)
{
    int64_t *chosen = malloc((size_t)chunk * sizeof *chosen);

    for (int64_t first = 0; first < items; first += chunk) {
        int64_t real = items - first < chunk ? items - first : chunk;

        for (int64_t i = 0; i < chunk; i++)
            chosen[i] = first + (i < real ? i : real - 1);
        dataset_gather(own, in, chosen, chunk);
        instance_run(in, (uint64_t)first, 1, no_clock, source);
        for (int i = 0; i < p->outputs.count; i++) {
            const struct ir_tensor *t = p->outputs.at[i].tensor;
            size_t row = (size_t)storage_bytes(t->storage) * (size_t)ir_elements(t) / (size_t)(made[i]->shared ? 1 : chunk);

            if (t->kind == IR_SCALAR) /* it rests on settings alone */
                instance_output(in, p->outputs.at[i].name, made[i]->array.data);
            else if (made[i]->shared)
                memcpy(made[i]->array.data, instance_data(in, t), row);
            else
                memcpy((char *)made[i]->array.data + row * (size_t)first, instance_data(in, t), row * (size_t)real);
        }
    }
    free(chosen);
}

/* Memory of the models that the program calls: as they were when the data block was first used, else as the blocks before left them
   (the average, where training leaves one), else as they begin. */
static bool fill_memory(struct data_source *source, struct memory *memory, const struct data_program *p,
                        const struct compiled *program, const struct compiled *initial, const char *data,
                        struct rnet_error *error)
{
    struct store *averages = store_new(source->arena);
    const struct ir_program *programs[1] = {program->program};
    const char *prefix = arena_printf(source->arena, "rnet.data.%s/", data);

    if (initial->code) {
        struct instance in;
        struct rnet_pool *pool = rnet_pool_new(source->threads);

        instance_new(&in, initial, memory, pool, source->seed);
        instance_run(&in, 0, 1, no_clock, source);
        instance_free(&in);
        rnet_pool_free(pool);
    }
    for (int i = 0; i < p->averages.count; i++) {
        const struct rnet_tensor *average = store_find(source->store, p->averages.at[i].state);
        struct rnet_tensor copy;

        if (!average)
            continue;
        copy = *average;
        copy.name = p->averages.at[i].parameter;
        store_put(averages, &copy);
    }
    if (!memory_from_store(memory, programs, 1, source->store, NULL, 0, "", error) ||
        !memory_from_store(memory, programs, 1, averages, NULL, 0, "", error) ||
        !memory_from_store(memory, programs, 1, source->store, NULL, 0, prefix, error))
        return false;
    memory_to_store(memory, programs, 1, source->store, prefix);
    return true;
}

static bool run_data(struct data_source *source, struct data_program *p, const char *data, int64_t items,
                     struct made **made, struct rnet_error *error)
{
    struct compile_options options = {.fuse = !source->no_fuse, .generate = true};
    struct layout *layout = layout_new(source->arena);
    struct compiled compiled = {0}, initial = {0};
    struct dataset own = {0}, other = {0};
    struct memory memory = {0};
    struct instance in = {0};
    struct rnet_pool *pool = NULL;
    bool done = rnet_blas_open(error) && compile(&compiled, p->program, layout, options, error) &&
                (!p->initial || compile(&initial, p->initial, layout, options, error));

    if (done) {
        memory_new(&memory, layout);
        done = fill_memory(source, &memory, p, &compiled, &initial, data, error) &&
               dataset_read(&own, &p->split, compiled.program, source, error);
    }
    if (done) {
        pool = rnet_pool_new(source->threads);
        instance_new(&in, &compiled, &memory, pool, source->seed);
        for (int i = 0; done && i < p->others.count; i++) {
            done = dataset_read(&other, &p->others.at[i], compiled.program, source, error);
            if (done)
                copy_whole(&other, &in);
            dataset_free(&other);
        }
    }
    if (done) {
        for (int i = 0; i < compiled.program->outputs.count; i++)
            made[i] = made_new(source, compiled.program->outputs.at[i].tensor, items);
        run_program(source, &in, &own, compiled.program, items, p->items, made);
    }
    if (pool) {
        instance_free(&in);
        rnet_pool_free(pool);
    }
    dataset_free(&own);
    memory_free(&memory);
    compiled_release(&compiled);
    compiled_release(&initial);
    return done;
}

bool data_source_make(struct data_source *source, const char *data, const char *split, const char *const *fields, int count,
                      struct rnet_error *error)
{
    struct diagnostics *d = diagnostics_new(source->arena);
    struct lower_options options = {
        .precision = source->precision, .items = data_source_items, .items_context = source};
    struct made **made = NEW_ARRAY(source->arena, struct made *, count + 1);
    struct data_program *p;
    int64_t items;

    source->failed = false;
    p = lower_data(source->unit, data, split, fields, count, 0, options, d);
    if (source->failed) {
        *error = source->error;
        return false;
    }
    items = p ? p->items : 0;
    if (p && p->separable && items > CHUNK)
        p = lower_data(source->unit, data, split, fields, count, CHUNK, options, d);
    if (!p) {
        struct text text = {0};

        diagnostics_print(d, &text, false);
        rnet_fail(error, RNET_SOURCE, "%s.%s cannot be made\n%.300s", data, split, text.data ? text.data : "");
        text_free(&text);
        return false;
    }
    if (!run_data(source, p, data, items, made, error))
        return false;
    for (int i = 0; i < count; i++)
        map_put(source->made, arena_printf(source->arena, "%s.%s.%s", data, split, fields[i]), made[i]);
    return true;
}

const struct rnet_array *data_source_made(const struct data_source *source, const char *data, const char *split,
                                          const char *field, bool *shared)
{
    char key[1000];
    struct made *made;

    snprintf(key, sizeof key, "%s.%s.%s", data, split, field);
    made = map_get(source->made, key);
    if (made && shared)
        *shared = made->shared;
    return made ? &made->array : NULL;
}

static bool read_made(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    const struct rnet_array *from = data_source_made(source, f->data, f->split, f->field, NULL);

    if (!from && !data_source_make(source, f->data, f->split, &f->field, 1, error))
        return false;
    from = data_source_made(source, f->data, f->split, f->field, NULL);
    *out = *from;
    out->lent = true;
    return true;
}

static bool read_rows_of(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    switch (f->reader) {
    case READ_IDX:
        return rnet_read_idx(f->file, out, error);
    case READ_NPY:
        return rnet_read_npy(f->file, out, error);
    case READ_CSV:
        if (f->column_count)
            return rnet_read_csv_named(f->file, f->columns, f->count, out, error);
        return rnet_read_csv(f->file, f->first, f->count, out, error);
    case READ_LABELS:
        return read_labels(source, f, out, error);
    case READ_CHARACTERS:
    case READ_WORDS:
        return read_text(source, f, out, error);
    case READ_LINES:
    case READ_LENGTHS:
    case READ_PNG:
    case READ_PNG_LABELS:
        return read_pair(source, f, out, error);
    case READ_ITEM:
        bug("items are numbered where a split is read");
    case READ_MADE:
        return read_made(source, f, out, error);
    }
    bug("reader %d", (int)f->reader);
}

bool data_wrong_at(const struct field *f, struct rnet_error *error)
{
    struct rnet_error what = *error;
    int line, column;

    if (f->reader == READ_MADE || !f->span.source)
        return false;
    source_position(f->span.source, f->span.begin, &line, &column);
    return rnet_fail(error, what.status, "%s:%d:%d: %.700s", f->span.source->path, line, column, what.message);
}

static bool read_rows(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    return read_rows_of(source, f, out, error) || data_wrong_at(f, error);
}

/* ---- parts ---- */

bool data_source_part(struct data_source *source, const struct rows *rows, struct rnet_array *array, struct rnet_error *error)
{
    int64_t **parts;
    struct rnet_array chosen = {0};
    bool done;

    if (!rows)
        return true;
    if (!data_source_part(source, rows->of, array, error))
        return false;
    parts = NEW_ARRAY(source->arena, int64_t *, rows->count);
    for (int i = 0; i < rows->count; i++)
        parts[i] = malloc((size_t)rows->counts[i] * sizeof **parts + 1);
    done = rnet_divide(rows->name, source->seed, array->shape[0], rows->counts, rows->count, parts, error) &&
           rnet_array_gather(array, parts[rows->part], rows->counts[rows->part], &chosen, error);
    for (int i = 0; i < rows->count; i++)
        free(parts[i]);
    if (done) {
        rnet_array_free(array);
        *array = chosen;
    }
    return done;
}

bool data_source_read(struct data_source *source, const struct field *f, struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    return read_rows(source, f, out, error);
}
