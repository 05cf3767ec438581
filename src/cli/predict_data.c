/* predict_data.c: rnetc predict FILE DATA: the fields of a data block, as they are made and read. */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A field of the split, or of that part of it. */
struct shown {
    struct rnet_array array;
    struct rnet_vocabulary vocabulary;
    bool shared, symbols;
    double *numbers; /* of the items that are printed */
};

/* The shape of a field that the text leaves open. */
static bool shape_of_file(void *context, const struct field *field, int *rank, int64_t *extents)
{
    struct data_source *source = context;
    struct rnet_array array;

    if (!data_source_read(source, field, &array, &source->error)) {
        source->failed = true;
        return false;
    }
    *rank = array.rank ? array.rank - 1 : 0;
    for (int i = 0; i < *rank; i++)
        extents[i] = array.shape[i + 1];
    rnet_array_free(&array);
    return true;
}

static bool take_field(struct shown *shown, struct data_source *source, const char *data, const char *split,
                       const char *field, const struct rows *rows, struct rnet_error *error)
{
    const struct rnet_array *made = data_source_made(source, data, split, field, &shown->shared);

    shown->array = *made;
    shown->array.lent = true;
    return shown->shared || data_source_part(source, rows, &shown->array, error);
}

static void fill_numbers(struct shown *shown, int64_t items)
{
    int64_t row = rnet_array_elements(&shown->array) / (shown->array.shape[0] ? shown->array.shape[0] : 1);

    shown->numbers = malloc((size_t)(items * row) * sizeof *shown->numbers + 1);
    if (!shown->numbers) {
        complain(RNET_FAILED, "out of memory");
        exit(RNET_FAILED);
    }
    for (int64_t k = 0; k < items * row; k++)
        shown->numbers[k] = array_number(&shown->array, k);
}

static void print_fields(const struct options *options, struct shown *shown, const data_names *names, const char *data,
                         const char *split, const char *others)
{
    struct printed *printed = calloc((size_t)names->count + 1, sizeof *printed);
    int64_t items = 0, all = 0;
    int each = 0;

    for (int i = 0; i < names->count; i++)
        if (!shown[i].shared)
            all = shown[i].array.shape[0];
    items = options->count && options->count < all ? options->count : all;
    if (items < all)
        complain(0, "the first %" PRId64 " of the %" PRId64 " items of %s.%s%s", items, all, data, split, others);
    else
        complain(0, "the %" PRId64 " items of %s.%s%s", all, data, split, others);
    for (int i = 0; i < names->count; i++) {
        const struct rnet_array *array = &shown[i].array;

        fill_numbers(&shown[i], shown[i].shared ? 1 : items);
        printed[each] = (struct printed){.name = names->at[i],
                                         .numbers = shown[i].numbers,
                                         .row = rnet_array_elements(array) / (array->shape[0] ? array->shape[0] : 1),
                                         .last = array->rank > 1 ? array->shape[array->rank - 1] : 1,
                                         .symbols = shown[i].symbols ? &shown[i].vocabulary : NULL};
        if (shown[i].shared)
            print_items(&printed[each], 1, 1, true);
        else
            each++;
    }
    if (each)
        print_items(printed, each, items, true);
    free(printed);
}

static int show(struct options *options, struct data_source *source, const char *data, const char *split, const char *others)
{
    const char *whole = data, *part = split;
    const struct rows *rows = data_block_part(source->unit, &whole, &part);
    data_names names = {0};
    struct rnet_error error;
    struct shown *shown;
    bool done;

    data_block_fields(source->unit, whole, part, &names);
    shown = calloc((size_t)names.count + 1, sizeof *shown);
    unit_read_shapes(source->unit, shape_of_file, source);
    done = data_source_make(source, whole, part, names.at, names.count, &error);
    if (!done && source->failed)
        error = source->error;
    for (int i = 0; i < names.count && done; i++) {
        const char *vocabulary = options->numbers ? NULL : data_field_vocabulary(source->unit, whole, part, names.at[i]);
        data_names one = {0};

        done = take_field(&shown[i], source, whole, part, names.at[i], rows, &error);
        if (vocabulary) {
            list_add(options->arena, one, vocabulary);
            shown[i].symbols = symbols_of(source->store, &one, names.at[i], &shown[i].vocabulary);
        }
    }
    if (done)
        print_fields(options, shown, &names, data, split, others);
    for (int i = 0; i < names.count; i++) {
        rnet_array_free(&shown[i].array);
        rnet_vocabulary_free(&shown[i].vocabulary);
        free(shown[i].numbers);
    }
    free(shown);
    return done ? RNET_DONE : complain_error(&error);
}

/* NAME or NAME.SPLIT; without a split `train`, else the first. -1: NAME is no data block. */
int predict_data(struct options *options, struct unit *unit)
{
    const char *name = options->files.at[1], *dot = strchr(name, '.'), *others = "";
    const char *data = dot ? arena_slice(options->arena, name, (size_t)(dot - name)) : name, *split = dot ? dot + 1 : NULL;
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    data_names splits = {0}, names = {0};
    struct rnet_error error;

    if (!data_block_splits(unit, data, &splits))
        return -1;
    for (int i = 0; !dot && i < splits.count; i++)
        if (!split || !strcmp(splits.at[i], "train"))
            split = splits.at[i];
    if (!split || !data_block_fields(unit, data, split, &names))
        return complain(RNET_USAGE, "the data %s have no split `%s`", data, split ? split : "train");
    for (int i = 0; !dot && i < splits.count; i++)
        if (strcmp(splits.at[i], split))
            others = arena_printf(options->arena, "%s%s%s", others, *others ? ", " : "; other splits: ", splits.at[i]);
    if (options->out || options->on)
        return complain(RNET_USAGE, "--%s is for models", options->out ? "out" : "on");
    if (options->checkpoint && !store_read(source->store, options->checkpoint, &error))
        return complain_error(&error);
    source->seed = checkpoint_seed(source->store, options->seed);
    source->precision = options->precision;
    source->threads = options->threads;
    source->no_fuse = options->no_fuse;
    return show(options, source, data, split, others);
}
