/* map.c: open addressing with linear probing, at most half full; nothing is ever removed. */
#include "base.h"

#include <string.h>
#include <xxhash.h>

struct entry {
    const char *key;
    void *value;
};
struct map {
    struct arena *arena;
    struct entry *entries;
    size_t slots, used;
};

uint64_t hash_bytes(const void *bytes, size_t count, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, count, seed);
}

struct map *map_new(struct arena *arena)
{
    struct map *map = NEW(arena, struct map);

    map->arena = arena;
    map->slots = 16;
    map->entries = NEW_ARRAY(arena, struct entry, map->slots);
    return map;
}

static struct entry *find(const struct map *map, const char *key)
{
    size_t slot = hash_bytes(key, strlen(key), 0) & (map->slots - 1);

    while (map->entries[slot].key && strcmp(map->entries[slot].key, key))
        slot = (slot + 1) & (map->slots - 1);
    return &map->entries[slot];
}

void *map_get(const struct map *map, const char *key)
{
    return find(map, key)->value;
}

void map_put(struct map *map, const char *key, void *value)
{
    struct entry *entry = find(map, key);

    if (!entry->key) {
        if (2 * ++map->used > map->slots) {
            struct entry *old = map->entries;
            size_t count = map->slots;

            map->slots *= 2;
            map->entries = NEW_ARRAY(map->arena, struct entry, map->slots);
            for (size_t i = 0; i < count; i++)
                if (old[i].key)
                    *find(map, old[i].key) = old[i];
            entry = find(map, key);
        }
        entry->key = arena_string(map->arena, key);
    }
    entry->value = value;
}

struct map *map_copy(struct arena *arena, const struct map *map, size_t bytes)
{
    struct map *copy = NEW(arena, struct map);

    *copy = *map;
    copy->arena = arena;
    copy->entries = arena_copy(arena, map->entries, map->slots * sizeof *map->entries);
    for (size_t i = 0; bytes && i < copy->slots; i++)
        if (copy->entries[i].key)
            copy->entries[i].value = arena_copy(arena, copy->entries[i].value, bytes);
    return copy;
}
