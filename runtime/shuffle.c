/* shuffle.c: the order of samples. Permutation e of a stream is Fisher and Yates's with numbers from Philox: key of
   ("shuffle NAME", seed), counter (block, 0, e low, e high), two 64-bit numbers a block, in order. */
#include "rnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rnet_stream {
    uint64_t key;
    int64_t items;
    int64_t lanes;        /* 0: permutations */
    int64_t *permutation; /* NULL: lanes */
    uint64_t epoch;       /* of the permutation held */
    bool filled;
};

struct numbers {
    uint32_t key[2], epoch[2];
    uint32_t block;
    uint64_t ready;
    bool has_ready;
};

static uint64_t next_number(struct numbers *numbers)
{
    if (numbers->has_ready) {
        numbers->has_ready = false;
        return numbers->ready;
    }
    uint32_t counter[4] = {numbers->block++, 0, numbers->epoch[0], numbers->epoch[1]}, words[4];
    rnet_philox(counter, numbers->key, words);
    numbers->ready = (uint64_t)words[3] << 32 | words[2];
    numbers->has_ready = true;
    return (uint64_t)words[1] << 32 | words[0];
}

/* Uniform in 0 .. limit - 1 without bias: the high half of number * limit, where the low half is not among the few that
   would make some results likelier (Lemire 2019, "Fast random integer generation in an interval"). */
static uint64_t below(struct numbers *numbers, uint64_t limit)
{
    unsigned __int128 product = (unsigned __int128)next_number(numbers) * limit;
    if ((uint64_t)product < limit) {
        uint64_t excess = -limit % limit;
        while ((uint64_t)product < excess)
            product = (unsigned __int128)next_number(numbers) * limit;
    }
    return (uint64_t)(product >> 64);
}

static void permute(struct rnet_stream *stream, uint64_t epoch)
{
    struct numbers numbers = {.key = {(uint32_t)stream->key, (uint32_t)(stream->key >> 32)},
                              .epoch = {(uint32_t)epoch, (uint32_t)(epoch >> 32)}};
    for (int64_t i = 0; i < stream->items; i++)
        stream->permutation[i] = i;
    for (int64_t i = stream->items - 1; i > 0; i--) {
        int64_t j = (int64_t)below(&numbers, (uint64_t)i + 1);
        int64_t item = stream->permutation[i];
        stream->permutation[i] = stream->permutation[j];
        stream->permutation[j] = item;
    }
    stream->epoch = epoch;
    stream->filled = true;
}

/* Lane b begins with item floor(b * items / lanes). */
static int64_t lane_item(int64_t items, int64_t lanes, uint64_t position)
{
    int64_t lane = (int64_t)(position % (uint64_t)lanes);
    int64_t steps = (int64_t)(position / (uint64_t)lanes % (uint64_t)items);
    int64_t item = (int64_t)((__int128)lane * items / lanes) + steps;
    return item < items ? item : item - items;
}

struct rnet_stream *rnet_stream_new(const char *name, uint64_t seed, int64_t items, int64_t lanes)
{
    if (items < 1 || lanes < 0)
        return NULL;
    struct rnet_stream *stream = calloc(1, sizeof *stream);
    char *site = NULL;
    if (!stream || asprintf(&site, "shuffle %s", name) < 0) {
        free(stream);
        return NULL;
    }
    stream->key = rnet_draw_key(site, seed);
    free(site);
    stream->items = items;
    stream->lanes = lanes;
    if (!lanes) {
        stream->permutation = malloc((size_t)items * sizeof *stream->permutation);
        if (!stream->permutation) {
            free(stream);
            return NULL;
        }
    }
    return stream;
}

void rnet_stream_free(struct rnet_stream *stream)
{
    if (!stream)
        return;
    free(stream->permutation);
    free(stream);
}

int64_t rnet_stream_item(struct rnet_stream *stream, uint64_t position)
{
    uint64_t items = (uint64_t)stream->items;
    if (stream->lanes)
        return lane_item(stream->items, stream->lanes, position);
    if (!stream->filled || stream->epoch != position / items)
        permute(stream, position / items);
    return stream->permutation[position % items];
}
