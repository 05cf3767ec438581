/* data_csv.c: tables of numbers as text (RFC 4180): fields between commas, quotes around any of them, lines ended by LF
   or CRLF. Every line has as many fields as the first; empty lines are passed over. Numbers are decimal; nan, inf and
   hexadecimal are not. */
#include "file.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
    const char *path;
    struct rnet_error *error;
    const char *at, *end;
    int64_t line; /* from 1 */
    int columns;  /* of the first line; 0: not known yet */
    int first, count;
    double *values; /* the wanted columns, line by line */
    int64_t size, capacity;
    bool all_whole;
    locale_t locale;
};

/* A field without its quotes: doubled quotes inside stay doubled, numbers have none. */
struct field {
    const char *text;
    size_t length;
    int64_t line; /* of its beginning: quotes may hold line ends */
    bool last;    /* of its line */
};

static bool fail_at_column(const struct table *table, int64_t line, int column, const char *expected, const char *text,
                           size_t length)
{
    enum { SHOWN = 40 };
    return rnet_fail(table->error, RNET_DATA, "%s: line %lld, column %d: expected %s, found %s\"%.*s\"%s", table->path,
                     (long long)line, column, expected, length == 0 ? "nothing: " : "",
                     (int)(length < SHOWN ? length : SHOWN), text, length > SHOWN ? " and more" : "");
}

static bool at_line_end(const struct table *table)
{
    return table->at == table->end || *table->at == '\n' ||
           (*table->at == '\r' && table->at + 1 < table->end && table->at[1] == '\n');
}

static void skip_line_end(struct table *table)
{
    if (table->at < table->end && *table->at == '\r')
        table->at++;
    if (table->at < table->end)
        table->at++;
    table->line++;
}

/* Takes a field and the comma or line end behind it. `column` is from 1, for messages. */
static bool take_field(struct table *table, int column, struct field *field)
{
    field->line = table->line;
    if (table->at < table->end && *table->at == '"') {
        field->text = ++table->at;
        for (;; table->at++) {
            if (table->at == table->end)
                return fail_at_column(table, field->line, column, "a closing quote before the end of the file",
                                      field->text, (size_t)(table->end - field->text));
            if (*table->at == '\n')
                table->line++;
            if (*table->at != '"')
                continue;
            if (table->at + 1 < table->end && table->at[1] == '"')
                table->at++;
            else
                break;
        }
        field->length = (size_t)(table->at - field->text);
        table->at++;
        if (!at_line_end(table) && *table->at != ',')
            return fail_at_column(table, table->line, column, "a comma or the end of the line after the closing quote",
                                  table->at, 1);
    } else {
        field->text = table->at;
        while (!at_line_end(table) && *table->at != ',')
            table->at++;
        field->length = (size_t)(table->at - field->text);
    }
    field->last = at_line_end(table);
    if (field->last)
        skip_line_end(table);
    else
        table->at++;
    return true;
}

/* [+-] digits [. digits] [e [+-] digits], with spaces around. Up to 19 digits and a power of ten that a double holds
   are done here, exactly; the rest by strtod. */
static bool parse_number(const struct table *table, const struct field *field, double *out)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    enum { EXACT_DIGITS = 19, EXACT_TEN = 22, EXPONENT_LIMIT = 100000 };
    const char *at = field->text, *end = field->text + field->length;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (at < end && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    const char *start = at;
    bool negative = at < end && *at == '-', point = false;
    at += at < end && (*at == '-' || *at == '+');
    uint64_t digits = 0;
    int count = 0, exponent = 0, seen = 0;
    for (; at < end && ((*at >= '0' && *at <= '9') || (*at == '.' && !point)); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        seen++;
        if (count < EXACT_DIGITS)
            digits = 10 * digits + (uint64_t)(*at - '0');
        count += count > 0 || *at != '0';
        exponent -= point;
    }
    if (seen == 0)
        return false;
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        bool minus = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        const char *first = at;
        int written = 0;
        for (; at < end && *at >= '0' && *at <= '9'; at++)
            written = written < EXPONENT_LIMIT ? 10 * written + (*at - '0') : written;
        if (at == first)
            return false;
        exponent += minus ? -written : written;
    }
    if (at != end)
        return false;
    if (count <= EXACT_DIGITS && digits <= (uint64_t)1 << 53 && abs(exponent) <= EXACT_TEN) {
        double value = exponent < 0 ? (double)digits / tens[-exponent] : (double)digits * tens[exponent];
        *out = negative ? -value : value;
        return true;
    }
    char *stopped;
    char after = *end; /* the contents end with a 0 of our own: there is always a byte */
    *(char *)end = 0;
    *out = strtod_l(start, &stopped, table->locale);
    *(char *)end = after;
    return stopped == end && isfinite(*out);
}

static bool keep(struct table *table, double value)
{
    if (table->size == table->capacity) {
        table->capacity = table->capacity ? 2 * table->capacity : 1024;
        double *larger = realloc(table->values, (size_t)table->capacity * sizeof *larger);
        if (!larger)
            return rnet_fail(table->error, RNET_FAILED, "%s: out of memory for %lld numbers", table->path,
                             (long long)table->capacity);
        table->values = larger;
    }
    table->values[table->size++] = value;
    table->all_whole = table->all_whole && value == trunc(value) && fabs(value) <= INT32_MAX;
    return true;
}

static bool wanted(const struct table *table, int column)
{
    return column >= table->first && column < table->first + (table->count ? table->count : 1);
}

/* Reads one line. In the first, a field that is no number is what a header has: *numbers counts those that are. */
static bool take_line(struct table *table, bool may_be_header, int *numbers)
{
    struct field field = {0};
    int column = 0;
    *numbers = 0;
    do {
        if (!take_field(table, column + 1, &field))
            return false;
        double value;
        if (may_be_header) {
            *numbers += parse_number(table, &field, &value);
        } else if (wanted(table, column)) {
            if (!parse_number(table, &field, &value))
                return fail_at_column(table, field.line, column + 1, "a finite decimal number", field.text,
                                      field.length);
            if (!keep(table, value))
                return false;
        }
        column++;
    } while (!field.last);
    if (table->columns == 0)
        table->columns = column;
    if (column != table->columns)
        return rnet_fail(table->error, RNET_DATA, "%s: line %lld: expected %d fields as in the first line, found %d",
                         table->path, (long long)field.line, table->columns, column);
    return true;
}

static void skip_empty_lines(struct table *table)
{
    while (table->at < table->end && at_line_end(table))
        skip_line_end(table);
}

static bool take_table(struct table *table)
{
    enum { BYTE_ORDER_MARK = 3 };
    if (table->end - table->at >= BYTE_ORDER_MARK && memcmp(table->at, "\xEF\xBB\xBF", BYTE_ORDER_MARK) == 0)
        table->at += BYTE_ORDER_MARK;
    skip_empty_lines(table);
    const char *first_line = table->at;
    int64_t first_number = table->line;
    int numbers;
    if (table->at == table->end)
        return rnet_fail(table->error, RNET_DATA,
                         "%s: line %lld: expected a line of numbers, found the end of the file", table->path,
                         (long long)table->line);
    if (!take_line(table, true, &numbers))
        return false;
    int last = table->first + (table->count ? table->count : 1);
    if (last > table->columns)
        return rnet_fail(table->error, RNET_DATA,
                         "%s: line %lld: expected at least %d fields (columns %d to %d are wanted), found %d",
                         table->path, (long long)first_number, last, table->first, last - 1, table->columns);
    if (numbers > 0) {
        table->at = first_line;
        table->line = first_number;
    }
    for (skip_empty_lines(table); table->at < table->end; skip_empty_lines(table))
        if (!take_line(table, false, &numbers))
            return false;
    if (table->size == 0)
        return rnet_fail(table->error, RNET_DATA,
                         "%s: line %lld: expected numbers after the header, found the end of the file", table->path,
                         (long long)table->line);
    return true;
}

bool rnet_read_csv(const char *path, int first, int count, struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    struct rnet_bytes bytes = {0};
    if (first < 0 || count < 0)
        return rnet_fail(error, RNET_USAGE, "%s: expected columns from 0 on, found first %d, count %d", path, first,
                         count);
    if (!rnet_file_read(path, &bytes, error))
        return false;
    struct table table = {.path = path,
                          .error = error,
                          .at = (char *)bytes.data,
                          .end = (char *)bytes.data + bytes.size,
                          .line = 1,
                          .first = first,
                          .count = count,
                          .all_whole = true,
                          .locale = newlocale(LC_ALL_MASK, "C", (locale_t)0)};
    bool done = table.locale ? take_table(&table) : rnet_fail(error, RNET_FAILED, "%s: out of memory", path);
    if (table.locale)
        freelocale(table.locale);
    free(bytes.data);
    if (!done) {
        free(table.values);
        return false;
    }
    int width = count ? count : 1;
    *out = (struct rnet_array){.type = table.all_whole ? RNET_I32 : RNET_F64,
                               .rank = count ? 2 : 1,
                               .shape = {table.size / width, count},
                               .data = table.values};
    if (!count)
        out->shape[1] = 0;
    /* Narrowed where it lies: element i of the result ends before element i of the numbers. */
    if (table.all_whole)
        for (int64_t i = 0; i < table.size; i++) {
            int32_t whole = (int32_t)table.values[i];
            memcpy((char *)table.values + 4 * i, &whole, 4);
        }
    return true;
}
