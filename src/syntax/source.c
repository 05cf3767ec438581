/* source.c: a file's text and the lines in it. */
#include "syntax.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Identity and order of reading, nothing more: no result depends on the value. */
static atomic_int sources_made;

static const struct source *make(struct arena *arena, const char *path, const char *text, size_t size)
{
    struct source *source = NEW(arena, struct source);

    if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) { /* a mark of the encoding, which some editors write */
        text += 3;
        size -= 3;
    }
    source->path = arena_string(arena, path);
    source->text = text;
    source->size = (int)size;
    source->number = atomic_fetch_add(&sources_made, 1);
    return source;
}

const struct source *source_of_text(struct arena *arena, const char *path, const char *text)
{
    return make(arena, path, arena_string(arena, text), strlen(text));
}

const struct source *source_read(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "rb");
    LIST(char) bytes = {0};
    char block[4096];
    size_t count;
    int error;

    if (!file)
        return NULL;
    while ((count = fread(block, 1, sizeof block, file)) > 0) {
        if (bytes.count > INT_MAX / 4) {
            fclose(file);
            errno = EFBIG;
            return NULL;
        }
        for (size_t i = 0; i < count; i++)
            list_add(arena, bytes, block[i]);
    }
    error = ferror(file) ? errno : 0;
    fclose(file);
    if (error) {
        errno = error;
        return NULL;
    }
    return make(arena, path, bytes.count ? arena_slice(arena, bytes.at, (size_t)bytes.count) : "", (size_t)bytes.count);
}

void source_position(const struct source *source, int byte, int *line, int *column)
{
    *line = 1;
    *column = 1;
    for (int i = 0; i < byte && i < source->size; i++) {
        if (source->text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)source->text[i] & 0xC0) != 0x80) {
            ++*column;
        }
    }
}
