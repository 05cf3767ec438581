/* memo.c: open addressing with linear probing, at most half full. Keyed by address, which is sound since nothing is ever enumerated. */
#include "base.h"

#include <string.h>

void memo_begin(struct memo *memo)
{
    memset(memo, 0, sizeof *memo);
    memo->at = memo->small;
    memo->slots = sizeof memo->small / sizeof *memo->small;
}

struct memo *memo_new(struct arena *arena)
{
    struct memo *memo = NEW(arena, struct memo);

    memo_begin(memo);
    memo->arena = arena;
    return memo;
}

static struct memo_entry *find(const struct memo *memo, const void *key)
{
    uint64_t hash = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15; /* 2^64 over the golden ratio (Knuth, 6.4) */
    size_t slot = (size_t)(hash >> 32) & (memo->slots - 1);

    while (memo->at[slot].key && memo->at[slot].key != key)
        slot = (slot + 1) & (memo->slots - 1);
    return &memo->at[slot];
}

const void **memo_at(struct memo *memo, const void *key)
{
    struct memo_entry *entry = find(memo, key);

    if (!entry->key) {
        if (2 * ++memo->used > memo->slots) {
            struct memo_entry *old = memo->at;
            size_t count = memo->slots;

            if (!memo->arena)
                memo->arena = arena_new();
            memo->slots *= 2;
            memo->at = NEW_ARRAY(memo->arena, struct memo_entry, memo->slots);
            for (size_t i = 0; i < count; i++)
                if (old[i].key)
                    *find(memo, old[i].key) = old[i];
            entry = find(memo, key);
        }
        entry->key = key;
    }
    return &entry->value;
}

void memo_end(struct memo *memo)
{
    arena_free(memo->arena);
}
