/* data_text.c: plain text as whole numbers. A file is looked through once for what is no UTF-8; after that it is cut
   into symbols, and each symbol is looked up. */
#include "text.h"

#include <stdlib.h>
#include <string.h>

static const char line_end_word[] = "<eos>";

/* ---- symbols ---- */

struct text {
    const char *path;
    struct rnet_bytes bytes;
    const char *at, *end;
    enum rnet_unit unit;
    bool inside_line; /* words: something of the line was passed, its end is to come */
};

static bool at_line_end(const struct text *text)
{
    return *text->at == '\n' || (*text->at == '\r' && text->at + 1 < text->end && text->at[1] == '\n');
}

static void skip_line_end(struct text *text)
{
    text->at += *text->at == '\r' ? 2 : 1;
}

static bool check_utf8(const struct text *text, struct rnet_error *error)
{
    int64_t line = 1;
    for (const char *at = text->at; at < text->end;) {
        int length = rnet_utf8_length(at, text->end);
        if (length == 0)
            return rnet_fail_at(error, text->path, &text->bytes, (size_t)(at - (const char *)text->bytes.data),
                                "expected text in UTF-8, found %02x, which no character begins with or which goes on "
                                "wrongly (line %lld)",
                                (unsigned)(unsigned char)*at, (long long)line);
        line += *at == '\n';
        at += length;
    }
    return true;
}

static bool open_text(struct text *text, const char *path, enum rnet_unit unit, struct rnet_error *error)
{
    enum { BYTE_ORDER_MARK = 3 };
    *text = (struct text){.path = path, .unit = unit};
    if (!rnet_file_read(path, &text->bytes, error))
        return false;
    text->at = (const char *)text->bytes.data;
    text->end = text->at + text->bytes.size;
    if (text->bytes.size >= BYTE_ORDER_MARK && memcmp(text->at, "\xEF\xBB\xBF", BYTE_ORDER_MARK) == 0)
        text->at += BYTE_ORDER_MARK;
    if (text->at == text->end)
        rnet_fail_at(error, path, &text->bytes, text->bytes.size, "expected text, found the end of the file");
    else if (check_utf8(text, error))
        return true;
    free(text->bytes.data);
    return false;
}

static void close_text(struct text *text)
{
    free(text->bytes.data);
}

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

struct symbol {
    const char *text;
    size_t length;
};

/* The next word, or the end of a line as a word. A last line needs no line end. */
static bool next_word(struct text *text, struct symbol *symbol)
{
    for (; text->at < text->end && is_space(*text->at) && *text->at != '\n'; text->at++)
        text->inside_line = true;
    if (text->at == text->end && !text->inside_line)
        return false;
    if (text->at == text->end || *text->at == '\n') {
        text->at += text->at < text->end;
        text->inside_line = false;
        *symbol = (struct symbol){line_end_word, sizeof line_end_word - 1};
        return true;
    }
    symbol->text = text->at;
    while (text->at < text->end && !is_space(*text->at))
        text->at++;
    symbol->length = (size_t)(text->at - symbol->text);
    text->inside_line = true;
    return true;
}

/* False at the end of the file. */
static bool next_symbol(struct text *text, struct symbol *symbol)
{
    if (text->unit == RNET_WORDS)
        return next_word(text, symbol);
    while (text->at < text->end && at_line_end(text)) {
        skip_line_end(text);
        if (text->unit == RNET_CHARACTERS) {
            *symbol = (struct symbol){"\n", 1};
            return true;
        }
    }
    if (text->at == text->end)
        return false;
    *symbol = (struct symbol){text->at, (size_t)rnet_utf8_length(text->at, text->end)};
    text->at += symbol->length;
    return true;
}

/* ---- the vocabulary of a text ---- */

struct candidate {
    const char *text;
    size_t length;
    int64_t count;
};

static int by_frequency(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    /* The order of UTF-8's bytes is that of the code points. */
    int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

/* Every symbol of the text in `all`, with the unknown one as entry 0; *counts of each, malloc. */
static bool count_symbols(struct text *text, struct rnet_vocabulary *all, int64_t **counts)
{
    const char *unknown = rnet_unknown_entry(text->unit);
    struct symbol symbol = {unknown, strlen(unknown)};
    size_t capacity = 0;
    do {
        int before = all->count, entry = rnet_vocabulary_add(all, symbol.text, symbol.length);
        if (entry < 0)
            return false;
        if ((size_t)all->count > capacity) {
            capacity = 2 * capacity + 256;
            int64_t *larger = realloc(*counts, capacity * sizeof *larger);
            if (!larger)
                return false;
            *counts = larger;
        }
        if (entry == before)
            (*counts)[entry] = 0;
        (*counts)[entry]++;
    } while (next_symbol(text, &symbol));
    return true;
}

/* Entry 0 of `all`, then the most frequent others. */
static bool choose(const struct rnet_vocabulary *all, const int64_t *counts, int limit, struct rnet_vocabulary *out)
{
    struct candidate *candidates = malloc((size_t)all->count * sizeof *candidates);
    if (!candidates)
        return false;
    for (int i = 0; i < all->count; i++) {
        candidates[i].text = rnet_vocabulary_entry(all, i, &candidates[i].length);
        candidates[i].count = counts[i];
    }
    qsort(candidates + 1, (size_t)all->count - 1, sizeof *candidates, by_frequency);
    bool done = true;
    for (int i = 0; done && i < all->count && i < limit; i++)
        done = rnet_vocabulary_add(out, candidates[i].text, candidates[i].length) == i;
    free(candidates);
    return done;
}

bool rnet_vocabulary_build(enum rnet_unit unit, const char *path, int limit, struct rnet_vocabulary *out,
                           struct rnet_error *error)
{
    *out = (struct rnet_vocabulary){.unit = unit};
    struct text text;
    if (unit == RNET_LABELS)
        return rnet_fail(error, RNET_USAGE, "%s: labels have no vocabulary by frequency", path);
    if (limit < 1)
        return rnet_fail(error, RNET_USAGE, "%s: expected a vocabulary of at least 1 entry, found %d", path, limit);
    if (!open_text(&text, path, unit, error))
        return false;
    struct rnet_vocabulary all = {.unit = unit};
    int64_t *counts = NULL;
    bool done = count_symbols(&text, &all, &counts) && choose(&all, counts, limit, out);
    if (!done) {
        rnet_vocabulary_free(out);
        rnet_fail(error, RNET_FAILED, "%s: out of memory for %d different symbols", path, all.count);
    }
    free(counts);
    rnet_vocabulary_free(&all);
    close_text(&text);
    return done;
}

/* ---- numbers ---- */

static int32_t look_up(const struct rnet_vocabulary *vocabulary, const struct symbol *symbol, int64_t *unknown)
{
    int entry = rnet_vocabulary_find(vocabulary, symbol->text, symbol->length);
    if (entry > 0)
        return entry;
    (*unknown)++;
    return 0;
}

bool rnet_read_text(const char *path, const struct rnet_vocabulary *vocabulary, struct rnet_array *out,
                    int64_t *unknown, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    *unknown = 0;
    struct text text;
    if (vocabulary->count == 0 || (vocabulary->unit != RNET_CHARACTERS && vocabulary->unit != RNET_WORDS))
        return rnet_fail(error, RNET_USAGE, "%s: expected a vocabulary of characters or words", path);
    if (!open_text(&text, path, vocabulary->unit, error))
        return false;
    /* Every symbol takes a byte at least, but for the end of a last line without one. */
    int32_t *numbers = malloc(((size_t)(text.end - text.at) + 1) * sizeof *numbers);
    if (!numbers) {
        close_text(&text);
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for its symbols", path);
    }
    int64_t count = 0;
    for (struct symbol symbol; next_symbol(&text, &symbol);)
        numbers[count++] = look_up(vocabulary, &symbol, unknown);
    close_text(&text);
    int32_t *smaller = realloc(numbers, (size_t)count * sizeof *numbers);
    *out = (struct rnet_array){.type = RNET_I32, .rank = 1, .shape = {count}, .data = smaller ? smaller : numbers};
    return true;
}

struct line_lengths {
    int64_t lines, longest_line;
    int64_t too_long_line, too_long; /* the first of more than the wanted length; 0: none */
    int64_t longest;
};

static struct line_lengths measure_lines(struct text text, int longest)
{
    struct line_lengths found = {0};
    while (text.at < text.end) {
        int64_t length = 0;
        for (; text.at < text.end && !at_line_end(&text); length++)
            text.at += rnet_utf8_length(text.at, text.end);
        if (text.at < text.end)
            skip_line_end(&text);
        found.lines++;
        if (length > found.longest) {
            found.longest = length;
            found.longest_line = found.lines;
        }
        if (length > longest && found.too_long_line == 0) {
            found.too_long = length;
            found.too_long_line = found.lines;
        }
    }
    return found;
}

static bool take_lines(struct text *text, const struct rnet_vocabulary *vocabulary, int longest, int64_t lines,
                       struct rnet_array *rows, struct rnet_array *lengths, int64_t *unknown, struct rnet_error *error)
{
    int64_t shape[2] = {lines, longest};
    size_t size;
    *rows = (struct rnet_array){.type = RNET_I32, .rank = 2, .shape = {lines, longest}};
    *lengths = (struct rnet_array){.type = RNET_I32, .rank = 1, .shape = {lines}};
    if (rnet_shape_bytes(shape, 2, sizeof(int32_t), &size)) {
        rows->data = calloc(size, 1);
        lengths->data = malloc((size_t)lines * sizeof(int32_t));
    }
    if (!rows->data || !lengths->data) {
        rnet_array_free(rows);
        rnet_array_free(lengths);
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for %lld lines of %d characters", text->path,
                         (long long)lines, longest);
    }
    for (int64_t i = 0; i < lines; i++) {
        int32_t *row = (int32_t *)rows->data + i * longest, length = 0;
        while (text->at < text->end && !at_line_end(text)) {
            struct symbol symbol = {text->at, (size_t)rnet_utf8_length(text->at, text->end)};
            row[length++] = look_up(vocabulary, &symbol, unknown);
            text->at += symbol.length;
        }
        if (text->at < text->end)
            skip_line_end(text);
        ((int32_t *)lengths->data)[i] = length;
    }
    return true;
}

bool rnet_read_lines(const char *path, const struct rnet_vocabulary *vocabulary, int longest, struct rnet_array *rows,
                     struct rnet_array *lengths, int64_t *unknown, struct rnet_error *error)
{
    *rows = *lengths = (struct rnet_array){0};
    *unknown = 0;
    struct text text;
    if (vocabulary->count == 0 || vocabulary->unit != RNET_LINES)
        return rnet_fail(error, RNET_USAGE, "%s: expected a vocabulary of lines", path);
    if (longest < 1)
        return rnet_fail(error, RNET_USAGE, "%s: expected lines of at least 1 character, found %d", path, longest);
    if (!open_text(&text, path, RNET_LINES, error))
        return false;
    struct line_lengths found = measure_lines(text, longest);
    bool done = found.too_long_line == 0;
    if (!done)
        rnet_fail(error, RNET_DATA,
                  "%s: line %lld: expected at most %d characters, found %lld (the longest line is %lld, of %lld)", path,
                  (long long)found.too_long_line, longest, (long long)found.too_long, (long long)found.longest_line,
                  (long long)found.longest);
    done = done && take_lines(&text, vocabulary, longest, found.lines, rows, lengths, unknown, error);
    close_text(&text);
    return done;
}

bool rnet_sequence(const struct rnet_array *stream, int64_t length, int64_t stride, const char *from,
                   struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    if (stream->type != RNET_I32 || stream->rank != 1 || length < 1 || stride < 1)
        return rnet_fail(error, RNET_USAGE,
                         "%s: expected a stream of symbols, rows of at least 1 and a stride of at least 1", from);
    int64_t count = stream->shape[0], rows = count < length ? 0 : (count - length) / stride + 1;
    if (rows == 0)
        return rnet_fail(error, RNET_DATA, "%s: expected at least %lld symbols, for one row, found %lld", from,
                         (long long)length, (long long)count);
    size_t size;
    struct rnet_array result = {.type = RNET_I32, .rank = 2, .shape = {rows, length}};
    if (rnet_shape_bytes(result.shape, 2, sizeof(int32_t), &size))
        result.data = malloc(size);
    if (!result.data)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for %lld rows of %lld symbols", from, (long long)rows,
                         (long long)length);
    const int32_t *symbols = stream->data;
    for (int64_t i = 0; i < rows; i++)
        memcpy((int32_t *)result.data + i * length, symbols + i * stride, (size_t)length * sizeof *symbols);
    *out = result;
    return true;
}
