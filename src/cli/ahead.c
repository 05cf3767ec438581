/* ahead.c: batches that are gathered while the step before runs. Worth it where a batch is large: then copying its rows from all
   over the data takes as long as a small net's step. What the step reads has the same bits either way. */
#include "train.h"

#include <stdlib.h>
#include <string.h>

enum { WORTH_A_THREAD = 1 << 20 }; /* bytes of a batch */

struct ahead {
    struct rnet_loader *loader;
    struct rnet_stream *stream; /* the loader's own: its thread asks it */
    struct instance *instance;
    char *own, *given;          /* where the instance's inputs lie, and the second place for them */
};

static int64_t item_of(void *context, uint64_t position)
{
    return rnet_stream_item(context, position);
}

/* Columns of the batch, and the bytes of its rows; a row shared by all samples is put into both places now. */
static int list_columns(const struct dataset *data, const struct instance *in, char *given, int64_t batch,
                        struct rnet_loader_column *columns, int64_t *bytes)
{
    int count = 0;

    *bytes = 0;
    for (int c = 0; c < data->count; c++) {
        const struct column *column = &data->columns[c];
        const struct ir_tensor *leaf = ir_find(in->compiled->program, column->field->name);
        char *to = leaf ? instance_data(in, leaf) : NULL;

        if (!to)
            continue;
        if (column->stride) {
            columns[count++] = (struct rnet_loader_column){column->rows, column->row_bytes, to - in->step.inputs};
            *bytes += batch * column->row_bytes;
        } else {
            memcpy(to, column->rows, (size_t)column->row_bytes);
            if (given)
                memcpy(given + (to - in->step.inputs), column->rows, (size_t)column->row_bytes);
        }
    }
    return count;
}

bool ahead_begin(struct trainer *t, struct rnet_error *error)
{
    struct turn *turn = t->turns;
    struct instance *in = &turn->instance;
    size_t size = (size_t)turn->compiled.program->input_bytes;
    struct rnet_loader_column *columns;
    struct rnet_loader_setup setup = {.items = t->items,
                                      .batch = t->training->batch,
                                      .slot_count = 2,
                                      .item = item_of,
                                      .position = t->step * (uint64_t)t->training->batch,
                                      .batches = t->last_step - t->step};
    struct ahead *ahead;
    int64_t bytes;

    t->ahead = NULL;
    if (t->turn_count != 1 || !t->items || t->step >= t->last_step)
        return true;
    columns = NEW_ARRAY(t->options->arena, struct rnet_loader_column, turn->dataset.count + 1);
    setup.column_count = list_columns(&turn->dataset, in, NULL, setup.batch, columns, &bytes);
    if (bytes < WORTH_A_THREAD)
        return true;
    ahead = NEW(t->options->arena, struct ahead);
    ahead->instance = in;
    ahead->own = in->step.inputs;
    ahead->given = aligned_alloc(64, (size + 63) / 64 * 64);
    ahead->stream = rnet_stream_new("batch", t->training->seed, t->items, t->training->lanes);
    t->ahead = ahead;
    if (!ahead->given || !ahead->stream) {
        ahead_end(t);
        return rnet_fail(error, RNET_FAILED, "out of memory (%zu bytes of a batch)", size);
    }
    memset(ahead->given, 0, size);
    list_columns(&turn->dataset, in, ahead->given, setup.batch, columns, &bytes);
    setup.columns = columns;
    setup.slots = (void *const[]){ahead->own, ahead->given};
    setup.context = ahead->stream;
    ahead->loader = rnet_loader_new(&setup, error);
    if (ahead->loader)
        return true;
    ahead_end(t);
    return false;
}

bool batch_ready(struct trainer *t, const int64_t *items, struct rnet_error *error)
{
    if (!t->ahead) {
        dataset_gather(&t->turn->dataset, &t->turn->instance, items, t->training->batch);
        return true;
    }
    t->turn->instance.step.inputs = rnet_loader_next(t->ahead->loader, error);
    return t->turn->instance.step.inputs != NULL;
}

void ahead_end(struct trainer *t)
{
    if (!t->ahead)
        return;
    rnet_loader_free(t->ahead->loader);
    rnet_stream_free(t->ahead->stream);
    t->ahead->instance->step.inputs = t->ahead->own;
    free(t->ahead->given);
    t->ahead = NULL;
}
