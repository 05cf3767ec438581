/* arena.c: memory named by its lifetime. */
#include "base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Many arenas hold little (a memo that outgrew the stack, a kernel): each chunk has twice the room of the one before. */
enum { FIRST_CHUNK_BYTES = 4 * 1024, CHUNK_BYTES = 256 * 1024, ALIGNMENT = 16 };

struct chunk {
    struct chunk *next;
    size_t size, used;
    _Alignas(ALIGNMENT) char bytes[];
};
struct arena {
    struct chunk *chunks;
};

void bug(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("rnetc: internal error: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    exit(70);
}

static void *allocate(size_t bytes)
{
    void *memory = malloc(bytes);

    if (!memory) {
        fprintf(stderr, "rnetc: out of memory (%zu bytes)\n", bytes);
        exit(1);
    }
    return memory;
}

struct arena *arena_new(void)
{
    struct arena *arena = allocate(sizeof *arena);

    arena->chunks = NULL;
    return arena;
}

void arena_free(struct arena *arena)
{
    struct chunk *next;

    if (!arena)
        return;
    for (struct chunk *c = arena->chunks; c; c = next) {
        next = c->next;
        free(c);
    }
    free(arena);
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    size_t wanted = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    struct chunk *c = arena->chunks;

#ifdef RNET_TINY_ARENAS
    c = allocate(sizeof *c + bytes);
    c->next = arena->chunks;
    arena->chunks = c;
    return memset(c->bytes, 0, bytes);
#endif
    if (!c || c->size - c->used < wanted) {
        size_t size = !c ? FIRST_CHUNK_BYTES : c->size < CHUNK_BYTES / 2 ? 2 * c->size : CHUNK_BYTES;
        if (size < wanted)
            size = wanted;
        c = allocate(sizeof *c + size);
        c->size = size;
        c->used = 0;
        c->next = arena->chunks;
        arena->chunks = c;
    }
    c->used += wanted;
    return memset(c->bytes + c->used - wanted, 0, wanted);
}

void *arena_copy(struct arena *arena, const void *from, size_t bytes)
{
    void *memory = arena_alloc(arena, bytes);

    if (bytes)
        memcpy(memory, from, bytes);
    return memory;
}

char *arena_slice(struct arena *arena, const char *text, size_t bytes)
{
    char *copy = arena_alloc(arena, bytes + 1);

    memcpy(copy, text, bytes);
    return copy;
}

char *arena_string(struct arena *arena, const char *text)
{
    return arena_slice(arena, text, strlen(text));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list arguments, again;
    char *string, most[200];
    int size;

    va_start(arguments, format);
    va_copy(again, arguments);
    size = vsnprintf(most, sizeof most, format, arguments);
    string = arena_alloc(arena, (size_t)size + 1);
    if ((size_t)size < sizeof most)
        memcpy(string, most, (size_t)size);
    else
        vsnprintf(string, (size_t)size + 1, format, again);
    va_end(again);
    va_end(arguments);
    return string;
}

void list_grow(struct arena *arena, void **at, int *count, int *capacity, size_t element)
{
    if (*count == *capacity) {
        int larger = *capacity ? 2 * *capacity : 4;
        void *moved = arena_alloc(arena, (size_t)larger * element);

        if (*count)
            memcpy(moved, *at, (size_t)*count * element);
        *at = moved;
        *capacity = larger;
    }
    ++*count;
}
