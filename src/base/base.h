/* base.h: memory, lists, text. What every folder of the compiler stands on; it knows nothing of nets. */
#ifndef RNET_BASE_H
#define RNET_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- arena.c: memory named by its lifetime; freed as a whole ---- */

/* In debug builds (RNET_TINY_ARENAS) every allocation is a malloc of its own, so that ASan sees overruns. */
struct arena;
struct arena *arena_new(void);
void arena_free(struct arena *arena);
/* Zeroed, aligned to 16 bytes; never NULL (out of memory ends the process with a message). */
void *arena_alloc(struct arena *arena, size_t bytes);
void *arena_copy(struct arena *arena, const void *from, size_t bytes);
char *arena_string(struct arena *arena, const char *text);
char *arena_slice(struct arena *arena, const char *text, size_t bytes);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define NEW(arena, type) ((type *)arena_alloc((arena), sizeof(type)))
#define NEW_ARRAY(arena, type, count) ((type *)arena_alloc((arena), sizeof(type) * (size_t)(count)))

/* ---- lists: growing arrays in an arena. LIST(int) numbers; list_add(arena, numbers, 3); numbers.at[0] ---- */

#define LIST(type) struct { type *at; int count, capacity; }
#define list_add(arena, list, ...)                                                                                     \
    (list_grow((arena), (void **)&(list).at, &(list).count, &(list).capacity, sizeof *(list).at),                      \
     (list).at[(list).count - 1] = (__VA_ARGS__))
/* Makes room for one more element and counts it. */
void list_grow(struct arena *arena, void **at, int *count, int *capacity, size_t element);

/* ---- text.c: a growing string on the heap, always terminated ---- */

struct text {
    char *data;
    size_t size, capacity;
};
void text_add(struct text *text, const char *string);
void text_add_slice(struct text *text, const char *bytes, size_t count);
void text_addf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Shortest decimal that reads back as exactly this double; inf and nan as `inf`, `nan`; whole numbers without a point. */
void text_add_number(struct text *text, double value);
void text_free(struct text *text);

/* ---- map.c: from strings to pointers ---- */

struct map;
struct map *map_new(struct arena *arena);
void *map_get(const struct map *map, const char *key);
void map_put(struct map *map, const char *key, void *value);
/* The same entries in a map of its own; with bytes, each value is a copy of so many bytes. */
struct map *map_copy(struct arena *arena, const struct map *map, size_t bytes);

/* ---- memo.c: what a walk over a DAG has met: from nodes to results. Small walks stay on the stack ---- */

struct memo_entry {
    const void *key, *value;
};
struct memo {
    struct memo_entry small[32], *at;
    size_t slots, used;
    struct arena *arena; /* once it has outgrown `small` */
};
void memo_begin(struct memo *memo);
/* One that goes with the arena and wants no end. */
struct memo *memo_new(struct arena *arena);
/* The value's place, which holds NULL for a key not met before; valid until the next call. */
const void **memo_at(struct memo *memo, const void *key);
void memo_end(struct memo *memo);

/* XXH3 of bytes. */
uint64_t hash_bytes(const void *bytes, size_t count, uint64_t seed);

/* Ends the process with status 70 and a message: a broken invariant of the compiler, never the user's fault. */
_Noreturn void bug(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
