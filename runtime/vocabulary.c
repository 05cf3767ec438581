/* vocabulary.c: entries in one block of text, found through a hash table of open addressing that is kept at most half
   full. The order of the entries is that of adding: nothing depends on hashes. */
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

int rnet_utf8_length(const char *at, const char *end)
{
    const unsigned char *byte = (const unsigned char *)at;
    ptrdiff_t left = end - at;
    int length = byte[0] < 0x80   ? 1
                 : byte[0] < 0xC2 ? 0
                 : byte[0] < 0xE0 ? 2
                 : byte[0] < 0xF0 ? 3
                 : byte[0] < 0xF5 ? 4
                                  : 0;
    if (length > left)
        return 0;
    for (int i = 1; i < length; i++)
        if ((byte[i] & 0xC0) != 0x80)
            return 0;
    /* The second byte tells overlong forms, surrogates and numbers that are too large. */
    if ((byte[0] == 0xE0 && byte[1] < 0xA0) || (byte[0] == 0xED && byte[1] > 0x9F) ||
        (byte[0] == 0xF0 && byte[1] < 0x90) || (byte[0] == 0xF4 && byte[1] > 0x8F))
        return 0;
    return length;
}

const char *rnet_unknown_entry(enum rnet_unit unit)
{
    switch (unit) {
    case RNET_LABELS:
        return NULL;
    case RNET_WORDS:
        return "<unk>";
    case RNET_CHARACTERS:
    case RNET_LINES:
        return "\xEF\xBF\xBD";
    }
    abort();
}

void rnet_vocabulary_free(struct rnet_vocabulary *vocabulary)
{
    free(vocabulary->text);
    free(vocabulary->starts);
    free(vocabulary->slots);
    *vocabulary = (struct rnet_vocabulary){.unit = vocabulary->unit};
}

const char *rnet_vocabulary_entry(const struct rnet_vocabulary *vocabulary, int entry, size_t *length)
{
    size_t start = vocabulary->starts[entry];
    if (length)
        *length = vocabulary->starts[entry + 1] - 1 - start;
    return vocabulary->text + start;
}

/* The slot of that text, or the free one where it belongs. Slots hold entry + 1; 0 is free. */
static size_t find_slot(const struct rnet_vocabulary *vocabulary, const char *text, size_t length)
{
    size_t mask = vocabulary->slot_count - 1, at = (size_t)XXH3_64bits(text, length) & mask;
    for (; vocabulary->slots[at] != 0; at = (at + 1) & mask) {
        size_t found_length;
        const char *found = rnet_vocabulary_entry(vocabulary, (int)(vocabulary->slots[at] - 1), &found_length);
        if (found_length == length && memcmp(found, text, length) == 0)
            break;
    }
    return at;
}

int rnet_vocabulary_find(const struct rnet_vocabulary *vocabulary, const char *text, size_t length)
{
    if (vocabulary->count == 0)
        return -1;
    return (int)vocabulary->slots[find_slot(vocabulary, text, length)] - 1;
}

static bool grow_slots(struct rnet_vocabulary *vocabulary)
{
    enum { FIRST = 64 };
    size_t count = vocabulary->slot_count ? 2 * vocabulary->slot_count : FIRST;
    uint32_t *slots = calloc(count, sizeof *slots);
    if (!slots)
        return false;
    free(vocabulary->slots);
    vocabulary->slots = slots;
    vocabulary->slot_count = count;
    for (int i = 0; i < vocabulary->count; i++) {
        size_t length;
        const char *text = rnet_vocabulary_entry(vocabulary, i, &length);
        slots[find_slot(vocabulary, text, length)] = (uint32_t)i + 1;
    }
    return true;
}

/* Makes room for one entry more, of `length` bytes and a 0. */
static bool reserve(struct rnet_vocabulary *vocabulary, size_t length)
{
    size_t entries = (size_t)vocabulary->count, used = entries ? vocabulary->starts[entries] : 0;
    if (vocabulary->slot_count < 2 * (entries + 1) && !grow_slots(vocabulary))
        return false;
    if (vocabulary->entry_capacity < entries + 2) {
        size_t capacity = 2 * entries + 64;
        size_t *starts = realloc(vocabulary->starts, capacity * sizeof *starts);
        if (!starts)
            return false;
        starts[entries] = used;
        vocabulary->starts = starts;
        vocabulary->entry_capacity = capacity;
    }
    if (vocabulary->text_capacity < used + length + 1) {
        size_t capacity = 2 * used + length + 256;
        char *text = realloc(vocabulary->text, capacity);
        if (!text)
            return false;
        vocabulary->text = text;
        vocabulary->text_capacity = capacity;
    }
    return true;
}

int rnet_vocabulary_add(struct rnet_vocabulary *vocabulary, const char *text, size_t length)
{
    int found = rnet_vocabulary_find(vocabulary, text, length);
    if (found >= 0)
        return found;
    if (vocabulary->count == INT32_MAX || !reserve(vocabulary, length))
        return -1;
    int entry = vocabulary->count;
    size_t start = vocabulary->starts[entry];
    vocabulary->slots[find_slot(vocabulary, text, length)] = (uint32_t)entry + 1;
    memcpy(vocabulary->text + start, text, length);
    vocabulary->text[start + length] = 0;
    vocabulary->starts[entry + 1] = start + length + 1;
    vocabulary->count++;
    return entry;
}

/* ---- one string ---- */

static const char head[] = "rnet vocabulary 1";
static const char *const unit_names[] = {
    [RNET_LABELS] = "labels", [RNET_CHARACTERS] = "characters", [RNET_WORDS] = "words", [RNET_LINES] = "lines"};
enum { UNITS = sizeof unit_names / sizeof *unit_names };

/* Bytes that a line of the string cannot hold, and the letters that stand for them behind a backslash. */
static const char special[] = {'\\', '\n', '\r', '\0'}, letters[] = {'\\', 'n', 'r', '0'};

char *rnet_vocabulary_pack(const struct rnet_vocabulary *vocabulary)
{
    size_t size = vocabulary->count ? vocabulary->starts[vocabulary->count] : 0;
    char *packed = malloc(2 * size + 100); /* each byte with a backslash, and the head */
    if (!packed)
        return NULL;
    char *at = packed + sprintf(packed, "%s\n%s\n%d\n", head, unit_names[vocabulary->unit], vocabulary->count);
    for (int i = 0; i < vocabulary->count; i++) {
        size_t length;
        const char *text = rnet_vocabulary_entry(vocabulary, i, &length);
        for (size_t k = 0; k < length; k++) {
            const char *found = memchr(special, text[k], sizeof special);
            if (found)
                *at++ = '\\';
            *at++ = found ? letters[found - special] : text[k];
        }
        *at++ = '\n';
    }
    *at = 0;
    return packed;
}

struct unpacking {
    const char *from;
    const char *bytes, *at, *end;
    char *line; /* room for the longest */
    size_t length;
    int number; /* of the line, from 1 */
    struct rnet_error *error;
};

/* Takes a line and undoes its escapes. */
static bool take_line(struct unpacking *u, const char *expected)
{
    u->number++;
    u->length = 0;
    for (;; u->at++) {
        if (u->at == u->end)
            return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected %s and the end of its line, found the end",
                             u->from, u->number, expected);
        if (*u->at == '\n')
            break;
        char byte = *u->at;
        if (byte == '\\') {
            const char *found = u->at + 1 < u->end ? memchr(letters, u->at[1], sizeof letters) : NULL;
            if (!found)
                return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected \\\\, \\n, \\r or \\0 after a backslash",
                                 u->from, u->number);
            byte = special[found - letters];
            u->at++;
        } else if (memchr(special, byte, sizeof special)) {
            return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected text, found the byte %02x", u->from, u->number,
                             (unsigned)(unsigned char)byte);
        }
        u->line[u->length++] = byte;
    }
    u->at++;
    u->line[u->length] = 0;
    for (size_t i = 0; i < u->length;) {
        int length = rnet_utf8_length(u->line + i, u->line + u->length);
        if (length == 0)
            return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected UTF-8, found the byte %02x", u->from,
                             u->number, (unsigned)(unsigned char)u->line[i]);
        i += (size_t)length;
    }
    return true;
}

static bool line_is(const struct unpacking *u, const char *text)
{
    return u->length == strlen(text) && memcmp(u->line, text, u->length) == 0;
}

static bool take_entry(struct unpacking *u, struct rnet_vocabulary *out)
{
    if (!take_line(u, "an entry"))
        return false;
    bool characters = out->unit == RNET_CHARACTERS || out->unit == RNET_LINES;
    if (u->length == 0 || (characters && (size_t)rnet_utf8_length(u->line, u->line + u->length) != u->length))
        return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected %s, found %zu bytes", u->from, u->number,
                         characters ? "one character" : "a text", u->length);
    const char *unknown = rnet_unknown_entry(out->unit);
    if (out->count == 0 && unknown && !line_is(u, unknown))
        return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected %s as the first entry", u->from, u->number,
                         unknown);
    int before = out->count, entry = rnet_vocabulary_add(out, u->line, u->length);
    if (entry < 0)
        return rnet_fail(u->error, RNET_FAILED, "%s: out of memory for %d entries", u->from, before);
    if (entry < before)
        return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected a new entry, found that of line %d again", u->from,
                         u->number, entry + 4);
    return true;
}

static bool take_vocabulary(struct unpacking *u, struct rnet_vocabulary *out)
{
    if (!take_line(u, head))
        return false;
    if (!line_is(u, head))
        return rnet_fail(u->error, RNET_DATA, "%s: line 1: expected \"%s\"", u->from, head);
    if (!take_line(u, "a unit"))
        return false;
    int unit = 0;
    while (unit < UNITS && !line_is(u, unit_names[unit]))
        unit++;
    if (unit == UNITS)
        return rnet_fail(u->error, RNET_DATA, "%s: line 2: expected labels, characters, words or lines", u->from);
    out->unit = (enum rnet_unit)unit;
    if (!take_line(u, "the number of entries"))
        return false;
    char *stopped, written[20];
    long count = strtol(u->line, &stopped, 10);
    snprintf(written, sizeof written, "%ld", count);
    if (!line_is(u, written) || count < (unit == RNET_LABELS ? 0 : 1) || count > INT32_MAX)
        return rnet_fail(u->error, RNET_DATA, "%s: line 3: expected the number of entries", u->from);
    for (long i = 0; i < count; i++)
        if (!take_entry(u, out))
            return false;
    if (u->at != u->end)
        return rnet_fail(u->error, RNET_DATA, "%s: line %d: expected the end after %ld entries, found %zu bytes more",
                         u->from, u->number + 1, count, (size_t)(u->end - u->at));
    return true;
}

bool rnet_vocabulary_unpack(const char *bytes, size_t size, const char *from, struct rnet_vocabulary *out,
                            struct rnet_error *error)
{
    *out = (struct rnet_vocabulary){0};
    struct unpacking u = {
        .from = from, .bytes = bytes, .at = bytes, .end = bytes + size, .line = malloc(size + 1), .error = error};
    bool done = u.line ? take_vocabulary(&u, out) : rnet_fail(error, RNET_FAILED, "%s: out of memory", from);
    free(u.line);
    if (!done)
        rnet_vocabulary_free(out);
    return done;
}
