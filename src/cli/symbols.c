/* symbols.c: rows of numbers as a person reads them: text where they are symbols of a vocabulary, else numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

bool symbols_of(const struct store *store, const data_names *names, const char *what, struct rnet_vocabulary *out)
{
    const char *packed = NULL, *key = NULL;
    struct rnet_error error;

    *out = (struct rnet_vocabulary){0};
    for (int i = 0; i < names->count; i++) {
        char name[1000];
        const char *noted;

        snprintf(name, sizeof name, "rnet.vocabulary.%s", names->at[i]);
        noted = store_noted(store, name);
        if (noted && packed && strcmp(noted, packed)) {
            complain(0, "%s may be symbols of %s or of %s, whose limits are the same: numbers are printed (a `let` for each tells them apart)",
                     what, key, names->at[i]);
            return false;
        }
        if (noted) {
            packed = noted;
            key = names->at[i];
        }
    }
    if (!packed)
        return false;
    if (rnet_vocabulary_unpack(packed, strlen(packed), key, out, &error))
        return true;
    complain_error(&error);
    return false;
}

/* -0 is printed as 0: the sign of a zero says nothing to a reader. */
static void print_number(double value)
{
    printf("%.7g", value == 0 ? 0 : value);
}

static void put(const char *text, size_t size, bool quoted)
{
    for (size_t i = 0; i < size; i++)
        if (quoted && text[i] == '\n')
            fputs("\\n", stdout);
        else if (quoted && text[i] == '\r')
            fputs("\\r", stdout);
        else if (quoted && (text[i] == '"' || text[i] == '\\'))
            printf("\\%c", text[i]);
        else
            putchar(text[i]);
}

/* A number that the vocabulary gives to nothing stands for what is unknown; among labels nothing does. */
static const char *entry_of(const struct rnet_vocabulary *v, double value, size_t *size, char spare[40])
{
    if (value >= 0 && value < v->count)
        return rnet_vocabulary_entry(v, (int)value, size);
    if (v->unit != RNET_LABELS && v->count)
        return rnet_vocabulary_entry(v, 0, size);
    *size = (size_t)snprintf(spare, 40, "%.7g", value);
    return spare;
}

/* Words are parted by spaces; <eos> is the end of a line. */
static void put_string(const struct rnet_vocabulary *v, const double *row, int64_t count, bool quoted)
{
    bool line_begins = true;

    for (; v->unit == RNET_LINES && count && row[count - 1] == 0; count--)
        ; /* what fills a row behind its line's end */
    if (quoted)
        putchar('"');
    for (int64_t i = 0; i < count; i++) {
        char spare[40];
        size_t size;
        const char *entry = entry_of(v, row[i], &size, spare);
        bool ends = v->unit == RNET_WORDS && !strcmp(entry, "<eos>");

        if (v->unit == RNET_WORDS && !line_begins && !ends)
            putchar(' ');
        put(ends ? "\n" : entry, ends ? 1 : size, quoted);
        line_begins = ends;
    }
    if (quoted)
        putchar('"');
}

/* How many numbers make one text. */
static int64_t text_length(const struct rnet_vocabulary *v, int64_t numbers, int64_t last)
{
    return v->unit == RNET_LABELS || numbers == 0 ? 1 : last;
}

/* beside: something stands beside it, so text is in quotes on one line. */
static void print_row(const struct printed *p, int64_t item, bool beside)
{
    const double *row = p->numbers + item * p->row;
    int64_t length = p->symbols ? text_length(p->symbols, p->row, p->last) : 0;

    for (int64_t k = 0; !p->symbols && k < p->row; k++) {
        fputs(k ? " " : "", stdout);
        print_number(row[k]);
    }
    for (int64_t k = 0; p->symbols && k < p->row; k += length) {
        fputs(!k ? "" : beside || p->symbols->unit == RNET_LABELS ? " " : "\n", stdout);
        put_string(p->symbols, row + k, length, beside);
    }
}

/* May its text have line ends of its own? */
static bool has_lines(const struct printed *p)
{
    return p->symbols && p->row > 1 && (p->symbols->unit == RNET_CHARACTERS || p->symbols->unit == RNET_WORDS);
}

void print_items(const struct printed *printed, int count, int64_t items, bool named)
{
    bool alone = count == 1 && !named;

    for (int64_t item = 0; item < items; item++) {
        if (alone && item && has_lines(printed))
            printf("\n"); /* an empty line between texts */
        for (int i = 0; i < count; i++) {
            if (!alone)
                printf("%s%s ", i ? "  " : "", printed[i].name);
            print_row(&printed[i], item, !alone);
        }
        printf("\n");
    }
}

int write_outputs(const char *path, const struct rnet_tensor *tensors, int count)
{
    static const char ending[] = ".safetensors";
    size_t size = strlen(path);
    struct rnet_array array = {0};
    struct rnet_error error;

    if (size >= sizeof ending && !strcmp(path + size - strlen(ending), ending)) {
        if (!rnet_safetensors_write(path, tensors, count, NULL, 0, &error))
            return complain_error(&error);
        return RNET_DONE;
    }
    if (count != 1)
        return complain(RNET_USAGE, "--out: a .npy file holds one tensor, and there are %d; a file NAME.safetensors holds all",
                        count);
    array.type = tensors->type;
    array.rank = tensors->rank;
    memcpy(array.shape, tensors->shape, sizeof array.shape);
    array.data = tensors->data;
    return rnet_write_npy(path, &array, &error) ? RNET_DONE : complain_error(&error);
}
