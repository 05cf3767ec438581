/* place.c: places for blocks of memory that live for a while each: two that live at one time never share a byte.

   Finding the least memory is hard in general; greedy orders come near it. Each of a few orders puts a block into the
   smallest gap that fits among those placed before it that live when it does, else behind them; the best result is taken.
   The bound is what lives at one time at most: no placing needs less. */
#include "internal.h"

#include <string.h>

static double duration(const struct block *b)
{
    return b->last - b->first + 1;
}

/* Which of two blocks is placed first; equal: the one of the lower number. */
static double by_size(const struct block *b)
{
    return (double)b->bytes;
}

static double by_area(const struct block *b)
{
    return (double)b->bytes * duration(b);
}

static double by_duration(const struct block *b)
{
    return duration(b);
}

static double by_start(const struct block *b)
{
    return -b->first;
}

static double by_end(const struct block *b)
{
    return b->last;
}

static double (*const orders[])(const struct block *) = {by_size, by_area, by_duration, by_start, by_end};
enum { ORDERS = sizeof orders / sizeof *orders };

static void sort(const struct block *blocks, int count, double (*key)(const struct block *), int *order, int *scratch)
{
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int width = 1; width < count; width *= 2) {
        for (int at = 0; at < count; at += 2 * width) {
            int middle = at + width < count ? at + width : count, end = middle + width < count ? middle + width : count;
            int a = at, b = middle;

            for (int i = at; i < end; i++)
                scratch[i] = b == end || (a < middle && key(&blocks[order[a]]) >= key(&blocks[order[b]])) ? order[a++]
                                                                                                      : order[b++];
        }
        memcpy(order, scratch, sizeof *order * (size_t)count);
    }
}

/* placed: the numbers of those that have a place, by offset. */
static int64_t smallest_gap(const struct block *blocks, const int *placed, int count, const struct block *block)
{
    int64_t end = 0, best = -1, best_room = 0;

    for (int i = 0; i < count; i++) {
        const struct block *other = &blocks[placed[i]];
        int64_t room = other->offset - end;

        if (other->last < block->first || other->first > block->last)
            continue;
        if (room >= block->bytes && (best < 0 || room < best_room)) {
            best = end;
            best_room = room;
        }
        if (other->offset + other->bytes > end)
            end = other->offset + other->bytes;
    }
    return best < 0 ? end : best;
}

static int64_t place_in_order(struct block *blocks, int count, const int *order, int *placed)
{
    int64_t most = 0;

    for (int i = 0; i < count; i++) {
        struct block *block = &blocks[order[i]];
        int at = i;

        block->offset = smallest_gap(blocks, placed, i, block);
        if (block->offset + block->bytes > most)
            most = block->offset + block->bytes;
        for (; at > 0 && blocks[placed[at - 1]].offset > block->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = order[i];
    }
    return most;
}

int64_t most_alive(struct arena *arena, const struct block *blocks, int count, int kernels, int *where)
{
    int64_t *change = NEW_ARRAY(arena, int64_t, kernels + 2), alive = 0, most = 0;

    *where = 0;
    for (int i = 0; i < count; i++) {
        change[blocks[i].first] += blocks[i].bytes;
        change[blocks[i].last + 1] -= blocks[i].bytes;
    }
    for (int k = 0; k <= kernels; k++) {
        alive += change[k];
        if (alive > most) {
            most = alive;
            *where = k;
        }
    }
    return most;
}

int64_t place_blocks(struct arena *arena, struct block *blocks, int count, int64_t bound)
{
    struct block *best = NEW_ARRAY(arena, struct block, count + 1);
    int *order = NEW_ARRAY(arena, int, count + 1), *scratch = NEW_ARRAY(arena, int, count + 1);
    int64_t least = -1;

    for (int i = 0; i < ORDERS && least != bound; i++) {
        int64_t bytes;

        sort(blocks, count, orders[i], order, scratch);
        bytes = place_in_order(blocks, count, order, scratch);
        if (least >= 0 && bytes >= least)
            continue;
        least = bytes;
        memcpy(best, blocks, sizeof *blocks * (size_t)count);
    }
    memcpy(blocks, best, sizeof *blocks * (size_t)count);
    return least < 0 ? 0 : least;
}
