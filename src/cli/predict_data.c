/* predict_data.c: rnetc predict FILE DATA: the fields of a data block, as they are made and read. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_row(const char *name, const struct rnet_array *array, int64_t row)
{
    int64_t numbers = rnet_array_elements(array) / array->shape[0];

    printf("%s", name);
    for (int64_t k = 0; k < numbers; k++)
        printf(" %.7g", array_number(array, row * numbers + k));
}

static void print_fields(const struct options *options, const struct data_source *source, const char *data,
                         const char *split, const data_names *names)
{
    int64_t items = 0;

    for (int i = 0; i < names->count; i++) {
        bool shared;
        const struct rnet_array *array = data_source_made(source, data, split, names->at[i], &shared);

        if (shared) {
            print_row(names->at[i], array, 0);
            printf("\n");
        } else {
            items = array->shape[0];
        }
    }
    if (options->count && options->count < items)
        items = options->count;
    for (int64_t item = 0; item < items; item++) {
        const char *joint = "";

        for (int i = 0; i < names->count; i++) {
            bool shared;
            const struct rnet_array *array = data_source_made(source, data, split, names->at[i], &shared);

            if (shared)
                continue;
            printf("%s", joint);
            print_row(names->at[i], array, item);
            joint = "  ";
        }
        printf("\n");
    }
}

/* NAME or NAME.SPLIT; without a split `train`, else the first. -1: NAME is no data block. */
int predict_data(struct options *options, struct unit *unit)
{
    const char *name = options->files.at[1], *dot = strchr(name, '.');
    const char *data = dot ? arena_slice(options->arena, name, (size_t)(dot - name)) : name, *split = dot ? dot + 1 : NULL;
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    data_names splits = {0}, names = {0};
    struct rnet_error error;
    int count;

    if (!data_block_splits(unit, data, &splits))
        return -1;
    for (int i = 0; !dot && i < splits.count; i++)
        if (!split || !strcmp(splits.at[i], "train"))
            split = splits.at[i];
    if (!split || !data_block_fields(unit, data, split, &names))
        return complain(RNET_USAGE, "the data %s have no split `%s`", data, split ? split : "train");
    if (options->out)
        return complain(RNET_USAGE, "--out is for the outputs of a model");
    if (options->checkpoint && !store_read(source->store, options->checkpoint, &error))
        return complain_error(&error);
    source->seed = checkpoint_seed(source->store, options->seed);
    source->precision = options->precision;
    source->threads = options->threads;
    source->no_fuse = options->no_fuse;
    count = names.count;
    if (!data_source_make(source, data, split, names.at, count, &error))
        return complain_error(&error);
    print_fields(options, source, data, split, &names);
    return RNET_DONE;
}
