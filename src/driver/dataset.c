/* dataset.c: a split in memory, in the storage that the program's leaves have, so that gathering a batch copies rows. */
#include "driver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void shape_text(char *out, size_t size, const int64_t *shape, int rank)
{
    size_t at = 0;

    out[0] = 0;
    for (int i = 0; i < rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? " x " : "", (long long)shape[i]);
}

static bool check_shape(const struct field *f, const struct rnet_array *array, struct rnet_error *error)
{
    char wanted[200], found[200];
    bool equal = array->rank == f->rank + 1;

    for (int i = 0; equal && i < f->rank; i++)
        equal = array->shape[i + 1] == f->shape[i];
    if (equal)
        return true;
    if (array->rank == 0)
        return rnet_fail(error, RNET_DATA, "%s: %s: one number, where rows of samples were expected", f->file, f->name);
    shape_text(wanted, sizeof wanted, f->shape, f->rank);
    shape_text(found, sizeof found, array->shape + 1, array->rank - 1);
    return rnet_fail(error, RNET_DATA, "%s: %s: each sample is %s%s, expected %s%s", f->file, f->name,
                     array->rank > 1 ? found : "one number", array->rank > 1 ? " numbers" : "",
                     f->rank ? wanted : "one number", f->rank ? " numbers" : "");
}

double array_number(const struct rnet_array *array, int64_t element)
{
    switch (array->type) {
    case RNET_U8:
        return ((const uint8_t *)array->data)[element];
    case RNET_I32:
        return ((const int32_t *)array->data)[element];
    case RNET_I64:
        return (double)((const int64_t *)array->data)[element];
    case RNET_F32:
        return ((const float *)array->data)[element];
    case RNET_F64:
        return ((const double *)array->data)[element];
    }
    bug("array type %d", (int)array->type);
}

static bool already(enum rnet_type type, enum ir_storage storage)
{
    return (type == RNET_U8 && storage == IR_U8) || (type == RNET_I32 && storage == IR_I32) ||
           (type == RNET_F32 && storage == IR_F32) || (type == RNET_F64 && storage == IR_F64);
}

/* Element as the row and place a person counts from 0, for messages. */
static bool wrong_element(const struct field *f, const struct rnet_array *array, int64_t element, double value,
                          struct rnet_error *error)
{
    int64_t row_elements = 1;
    char number[40], place[60] = "";

    for (int i = 1; i < array->rank; i++)
        row_elements *= array->shape[i];
    if (row_elements > 1)
        snprintf(place, sizeof place, ", number %lld of the row", (long long)(element % row_elements));
    snprintf(number, sizeof number, value == floor(value) ? "%.0f" : "%.9g", value);
    if (!f->whole)
        return rnet_fail(error, RNET_DATA, "%s: %s %s in row %lld%s is not a finite number [E1001]", f->file, f->name,
                         number, (long long)(element / row_elements), place);
    if (value != floor(value))
        return rnet_fail(error, RNET_DATA, "%s: %s %s in row %lld%s is not a whole number [E1001]", f->file, f->name,
                         number, (long long)(element / row_elements), place);
    return rnet_fail(error, RNET_DATA, "%s: %s %s in row %lld%s is not in %lld..%lld%s%s%s [E1001]", f->file, f->name,
                     number, (long long)(element / row_elements), place, (long long)f->low, (long long)f->high,
                     f->bound ? " (" : "", f->bound ? f->bound : "", f->bound ? ")" : "");
}

/* u8 data whose range is all of u8 needs no look. */
static bool check_values(const struct field *f, const struct rnet_array *array, struct rnet_error *error)
{
    int64_t count = rnet_array_elements(array);

    if (array->type == RNET_U8 && (!f->whole || (f->low <= 0 && f->high >= 255)))
        return true;
    for (int64_t i = 0; i < count; i++) {
        double value = array_number(array, i);
        bool good = f->whole ? value >= (double)f->low && value <= (double)f->high && value == floor(value) : isfinite(value);

        if (!good)
            return wrong_element(f, array, i, value, error);
    }
    return true;
}

static void *convert(const struct rnet_array *array, enum ir_storage storage)
{
    int64_t count = rnet_array_elements(array);
    void *out = malloc((size_t)count * (size_t)storage_bytes(storage) + 1);

    if (!out) {
        fprintf(stderr, "rnetc: out of memory (%lld numbers of data)\n", (long long)count);
        exit(RNET_FAILED);
    }
    for (int64_t i = 0; i < count; i++) {
        double value = array_number(array, i);

        switch (storage) {
        case IR_F32:
            ((float *)out)[i] = (float)value;
            break;
        case IR_F64:
            ((double *)out)[i] = value;
            break;
        case IR_I32:
            ((int32_t *)out)[i] = (int32_t)value;
            break;
        case IR_U8:
            ((uint8_t *)out)[i] = (uint8_t)value;
            break;
        }
    }
    return out;
}

static bool read_column(struct column *column, const struct field *f, enum ir_storage storage, int64_t *items,
                        struct data_source *source, struct rnet_error *error)
{
    struct rnet_array array = {0};

    if (!data_source_read(source, f, &array, error))
        return false;
    if (((!check_shape(f, &array, error) || (f->reader != READ_MADE && !check_values(f, &array, error))) &&
         !data_wrong_at(f, error)) ||
        (!f->shared && !data_source_part(source, f->rows, &array, error))) {
        rnet_array_free(&array);
        return false;
    }
    *items = array.shape[0];
    column->field = f;
    column->storage = storage;
    column->row_bytes = storage_bytes(storage);
    for (int i = 1; i < array.rank; i++)
        column->row_bytes *= array.shape[i];
    column->stride = f->shared ? 0 : column->row_bytes;
    if (!already(array.type, storage)) {
        column->rows = column->memory = convert(&array, storage);
        rnet_array_free(&array);
    } else {
        column->rows = array.data;
        column->memory = array.lent ? NULL : array.data;
    }
    return true;
}

/* Fields of one split that are made are made together. */
static bool make_together(const struct split *split, const struct ir_program *program, struct data_source *source,
                          struct rnet_error *error)
{
    const char **names = NEW_ARRAY(source->arena, const char *, split->fields.count + 1);

    for (int i = 0; i < split->fields.count; i++) {
        const struct field *first = &split->fields.at[i];
        int count = 0;

        if (first->reader != READ_MADE || data_source_made(source, first->data, first->split, first->field, NULL))
            continue;
        for (int k = i; k < split->fields.count; k++) {
            const struct field *f = &split->fields.at[k];

            if (f->reader == READ_MADE && ir_find(program, f->name) && !strcmp(f->data, first->data) &&
                !strcmp(f->split, first->split) && !data_source_made(source, f->data, f->split, f->field, NULL))
                names[count++] = f->field;
        }
        if (count && !data_source_make(source, first->data, first->split, names, count, error))
            return false;
    }
    return true;
}

static void number_items(struct column *column, const struct field *f, enum ir_storage storage, int64_t items)
{
    struct rnet_array array = {.type = RNET_I64, .rank = 1, .shape = {items}};
    int64_t *numbers = malloc((size_t)items * sizeof *numbers + 1);

    if (!numbers) {
        fprintf(stderr, "rnetc: out of memory (%lld numbers of items)\n", (long long)items);
        exit(RNET_FAILED);
    }
    for (int64_t i = 0; i < items; i++)
        numbers[i] = i;
    array.data = (void *)numbers;
    *column = (struct column){.field = f, .row_bytes = storage_bytes(storage), .stride = storage_bytes(storage), .storage = storage};
    column->memory = convert(&array, storage);
    column->rows = column->memory;
    free(numbers);
}

bool dataset_read(struct dataset *out, const struct split *split, const struct ir_program *program,
                  struct data_source *source, struct rnet_error *error)
{
    const struct field *per_item = NULL;
    double begin = rnet_seconds();

    *out = (struct dataset){0};
    if (!make_together(split, program, source, error))
        return false;
    out->columns = calloc((size_t)split->fields.count + 1, sizeof *out->columns);
    for (int i = 0; i < split->fields.count; i++) {
        const struct field *f = &split->fields.at[i];
        const struct ir_tensor *leaf = ir_find(program, f->name);
        int64_t items;

        if (!leaf || f->reader == READ_ITEM)
            continue;
        if (!read_column(&out->columns[out->count], f, leaf->storage, &items, source, error)) {
            dataset_free(out);
            return false;
        }
        out->count++;
        if (f->shared)
            continue;
        if (!per_item) {
            per_item = f;
            out->items = items;
        } else if (items != out->items) {
            rnet_fail(error, RNET_DATA, "%s: %s has %lld rows, but %s (%s) has %lld", f->file, f->name, (long long)items,
                      per_item->name, per_item->file, (long long)out->items);
            dataset_free(out);
            return false;
        }
    }
    if (!per_item && split->data) {
        source->failed = false;
        out->items = data_source_items(source, split->data, split->name);
        if (source->failed) {
            *error = source->error;
            dataset_free(out);
            return false;
        }
    }
    for (int i = 0; i < split->fields.count; i++) {
        const struct field *f = &split->fields.at[i];
        const struct ir_tensor *leaf = f->reader == READ_ITEM ? ir_find(program, f->name) : NULL;

        if (leaf && out->items != f->high + 1) {
            rnet_fail(error, RNET_DATA, "%s has %lld items; the program was made for %lld", f->file, (long long)out->items,
                      (long long)f->high + 1);
            dataset_free(out);
            return false;
        }
        if (leaf)
            number_items(&out->columns[out->count++], f, leaf->storage, out->items);
    }
    out->seconds = rnet_seconds() - begin;
    return true;
}

void dataset_free(struct dataset *dataset)
{
    for (int i = 0; i < dataset->count; i++)
        free(dataset->columns[i].memory);
    free(dataset->columns);
    *dataset = (struct dataset){0};
}

void dataset_gather(const struct dataset *dataset, struct instance *in, const int64_t *items, int64_t count)
{
    for (int c = 0; c < dataset->count; c++) {
        const struct column *column = &dataset->columns[c];
        const struct ir_tensor *leaf = ir_find(in->compiled->program, column->field->name);
        char *to = leaf ? instance_data(in, leaf) : NULL;

        if (leaf && leaf->storage != column->storage)
            bug("%s is stored as %d in one program and as %d in another", leaf->name, column->storage, leaf->storage);
        for (int64_t i = 0; to && i < (column->stride ? count : 1); i++)
            memcpy(to + i * column->row_bytes, column->rows + items[i] * column->stride, (size_t)column->row_bytes);
    }
}
