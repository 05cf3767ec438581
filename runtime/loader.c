/* loader.c: batches are numbered from 0; batch k lies in slot k % slots. The thread fills batch `filled` as soon as its
   slot is free, that is, when fewer than `slots` batches are filled and not yet given back. The caller holds the batch
   that it took last until it takes the next. `filled`, `given_back`, `stop` and `failed` are read and written under the
   lock; what lies in a slot belongs to whoever's turn it is, so that the lock orders it too. */
#include "rnet.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct rnet_loader {
    struct rnet_loader_setup setup; /* columns and slots are copies */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t batch_filled, slot_freed;
    uint64_t filled, given_back;
    uint64_t taken; /* by the caller alone */
    bool stop, failed;
    struct rnet_error error; /* of batch `filled`, if failed */
};

/* Batch `number` into its slot; false with the loader's error. */
static bool gather(struct rnet_loader *loader, uint64_t number)
{
    const struct rnet_loader_setup *setup = &loader->setup;
    char *slot = setup->slots[number % (uint64_t)setup->slot_count];
    uint64_t first = setup->position + number * (uint64_t)setup->batch;
    for (int64_t sample = 0; sample < setup->batch; sample++) {
        uint64_t position = first + (uint64_t)sample;
        int64_t item = setup->item(setup->context, position);
        if (item < 0 || item >= setup->items)
            return rnet_fail(&loader->error, RNET_FAILED,
                             "loader: place %llu of the stream: expected an item in 0 .. %lld, found %lld",
                             (unsigned long long)position, (long long)setup->items - 1, (long long)item);
        for (int i = 0; i < setup->column_count; i++) {
            const struct rnet_loader_column *column = &setup->columns[i];
            memcpy(slot + column->offset + sample * column->row_bytes,
                   (const char *)column->rows + item * column->row_bytes, (size_t)column->row_bytes);
        }
    }
    return true;
}

static void *load(void *argument)
{
    struct rnet_loader *loader = argument;
    uint64_t slots = (uint64_t)loader->setup.slot_count;
    pthread_mutex_lock(&loader->lock);
    while (!loader->failed && (loader->setup.batches == 0 || loader->filled < loader->setup.batches)) {
        while (!loader->stop && loader->filled - loader->given_back >= slots)
            pthread_cond_wait(&loader->slot_freed, &loader->lock);
        if (loader->stop)
            break;
        uint64_t number = loader->filled;
        pthread_mutex_unlock(&loader->lock);
        bool done = gather(loader, number);
        pthread_mutex_lock(&loader->lock);
        loader->failed = !done;
        loader->filled += done;
        pthread_cond_signal(&loader->batch_filled);
    }
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

static bool check_setup(const struct rnet_loader_setup *setup, struct rnet_error *error)
{
    if (setup->items < 1 || setup->batch < 1 || setup->slot_count < 1 || setup->column_count < 0)
        return rnet_fail(error, RNET_USAGE,
                         "loader: expected items, a batch and slots of 1 or more, found %lld, %lld and %d",
                         (long long)setup->items, (long long)setup->batch, setup->slot_count);
    for (int i = 0; i < setup->column_count; i++)
        if (setup->columns[i].row_bytes < 0 || setup->columns[i].offset < 0)
            return rnet_fail(error, RNET_USAGE, "loader: column %d: expected row_bytes and offset of 0 or more", i);
    return true;
}

/* Memory of the loader without its thread. */
static void release(struct rnet_loader *loader)
{
    if (!loader)
        return;
    free((void *)loader->setup.columns);
    free((void *)loader->setup.slots);
    free(loader);
}

static struct rnet_loader *copy_setup(const struct rnet_loader_setup *setup)
{
    struct rnet_loader *loader = calloc(1, sizeof *loader);
    if (!loader)
        return NULL;
    size_t columns_size = (size_t)setup->column_count * sizeof *setup->columns,
           slots_size = (size_t)setup->slot_count * sizeof *setup->slots;
    struct rnet_loader_column *columns = malloc(columns_size + 1);
    void **slots = malloc(slots_size);
    loader->setup = *setup;
    loader->setup.columns = columns;
    loader->setup.slots = slots;
    if (!columns || !slots) {
        release(loader);
        return NULL;
    }
    if (columns_size > 0)
        memcpy(columns, setup->columns, columns_size);
    memcpy(slots, setup->slots, slots_size);
    return loader;
}

struct rnet_loader *rnet_loader_new(const struct rnet_loader_setup *setup, struct rnet_error *error)
{
    if (!check_setup(setup, error))
        return NULL;
    struct rnet_loader *loader = copy_setup(setup);
    if (!loader) {
        rnet_fail(error, RNET_FAILED, "loader: out of memory");
        return NULL;
    }
    pthread_mutex_init(&loader->lock, NULL);
    pthread_cond_init(&loader->batch_filled, NULL);
    pthread_cond_init(&loader->slot_freed, NULL);

    /* Signals are for the thread that called. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int reason = pthread_create(&loader->thread, NULL, load, loader);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (reason != 0) {
        rnet_fail(error, RNET_FAILED, "loader: cannot make a thread: %s", strerror(reason));
        release(loader);
        return NULL;
    }
    return loader;
}

void *rnet_loader_next(struct rnet_loader *loader, struct rnet_error *error)
{
    const struct rnet_loader_setup *setup = &loader->setup;
    if (setup->batches != 0 && loader->taken == setup->batches) {
        rnet_fail(error, RNET_USAGE, "loader: expected at most %llu batches to be taken",
                  (unsigned long long)setup->batches);
        return NULL;
    }
    pthread_mutex_lock(&loader->lock);
    loader->given_back = loader->taken;
    pthread_cond_signal(&loader->slot_freed);
    while (!loader->failed && loader->filled == loader->taken)
        pthread_cond_wait(&loader->batch_filled, &loader->lock);
    bool ready = loader->filled > loader->taken;
    if (!ready)
        *error = loader->error;
    pthread_mutex_unlock(&loader->lock);
    if (!ready)
        return NULL;
    return setup->slots[loader->taken++ % (uint64_t)setup->slot_count];
}

void rnet_loader_free(struct rnet_loader *loader)
{
    if (!loader)
        return;
    pthread_mutex_lock(&loader->lock);
    loader->stop = true;
    pthread_cond_signal(&loader->slot_freed);
    pthread_mutex_unlock(&loader->lock);
    pthread_join(loader->thread, NULL);
    pthread_mutex_destroy(&loader->lock);
    pthread_cond_destroy(&loader->batch_filled);
    pthread_cond_destroy(&loader->slot_freed);
    release(loader);
}
