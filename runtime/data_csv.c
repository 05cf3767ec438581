/* data_csv.c: tables as text (RFC 4180): fields between commas, quotes around any of them, lines ended by LF or CRLF.
   Every line has as many fields as the first; empty lines are passed over. Numbers are decimal; nan, inf and
   hexadecimal are not. */
#include "text.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table {
    const char *path;
    struct rnet_error *error;
    const char *at, *end;
    int64_t line;      /* from 1 */
    int columns;       /* of the first line; 0: not known yet */
    int first, width;  /* wanted: columns first .. first + width - 1 */
    const int *places; /* or, where this is not NULL, those with a place in the row of values; -1: not wanted */
    double *values;    /* the wanted columns, line by line */
    int64_t size, capacity;
    bool all_whole;
    locale_t locale;
    struct rnet_vocabulary *labels; /* the wanted column is text */
    bool labels_fixed;
};

/* A field without its quotes: doubled quotes inside stay doubled, numbers have none. */
struct field {
    const char *text;
    size_t length;
    int64_t line; /* of its beginning: quotes may hold line ends */
    bool quoted;
    bool last; /* of its line */
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
    field->quoted = table->at < table->end && *table->at == '"';
    if (field->quoted) {
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

/* Room for the values of one line more. */
static bool reserve_row(struct table *table)
{
    if (table->size + table->width <= table->capacity)
        return true;
    int64_t capacity = 2 * table->capacity + table->width + 1024;
    double *larger = realloc(table->values, (size_t)capacity * sizeof *larger);
    if (!larger)
        return rnet_fail(table->error, RNET_FAILED, "%s: out of memory for %lld numbers", table->path,
                         (long long)capacity);
    table->values = larger;
    table->capacity = capacity;
    return true;
}

/* Place of a column in a row of values; -1: it is not wanted. */
static int place_of(const struct table *table, int column)
{
    if (table->places)
        return column < table->columns ? table->places[column] : -1;
    return column >= table->first && column - table->first < table->width ? column - table->first : -1;
}

/* The text of a field: without the spaces around it, or without its quotes and with "" as ". Shortens it where it lies.
 */
static bool settle_text(const struct table *table, int column, struct field *field)
{
    char *text = (char *)field->text;
    size_t length = 0;
    if (field->quoted) {
        for (size_t i = 0; i < field->length; i++) {
            text[length++] = text[i];
            i += text[i] == '"';
        }
    } else {
        const char *end = field->text + field->length;
        while (field->text < end && (*field->text == ' ' || *field->text == '\t'))
            field->text++;
        while (field->text < end && (end[-1] == ' ' || end[-1] == '\t'))
            end--;
        length = (size_t)(end - field->text);
    }
    field->length = length;
    for (size_t i = 0; i < length;) {
        int bytes = rnet_utf8_length(field->text + i, field->text + length);
        if (bytes == 0)
            return rnet_fail(table->error, RNET_DATA,
                             "%s: line %lld, column %d: expected text in UTF-8, found the byte %02x", table->path,
                             (long long)field->line, column + 1, (unsigned)(unsigned char)field->text[i]);
        i += (size_t)bytes;
    }
    return true;
}

static bool take_label(struct table *table, int column, struct field *field, double *out)
{
    if (!settle_text(table, column, field))
        return false;
    if (field->length == 0)
        return fail_at_column(table, field->line, column + 1, "a label", field->text, 0);
    int entry = table->labels_fixed ? rnet_vocabulary_find(table->labels, field->text, field->length)
                                    : rnet_vocabulary_add(table->labels, field->text, field->length);
    if (entry < 0 && table->labels_fixed)
        return fail_at_column(table, field->line, column + 1, "one of the labels of the data before", field->text,
                              field->length);
    if (entry < 0)
        return rnet_fail(table->error, RNET_FAILED, "%s: out of memory for its labels", table->path);
    *out = entry;
    return true;
}

static bool take_value(struct table *table, int column, int place, struct field *field)
{
    double value = 0;
    if (table->labels) {
        if (!take_label(table, column, field, &value))
            return false;
    } else if (!parse_number(table, field, &value)) {
        return fail_at_column(table, field->line, column + 1, "a finite decimal number", field->text, field->length);
    }
    table->values[table->size + place] = value;
    table->all_whole = table->all_whole && value == trunc(value) && fabs(value) <= INT32_MAX;
    return true;
}

/* Reads one line: its values, or, of a line that may be a header, only how many of its fields are numbers. */
static bool take_line(struct table *table, bool may_be_header, int *numbers)
{
    struct field field = {0};
    int column = 0;
    *numbers = 0;
    if (!may_be_header && !reserve_row(table))
        return false;
    do {
        if (!take_field(table, column + 1, &field))
            return false;
        double value;
        int place = may_be_header ? -1 : place_of(table, column);
        if (may_be_header)
            *numbers += parse_number(table, &field, &value);
        if (place >= 0 && !take_value(table, column, place, &field))
            return false;
        column++;
    } while (!field.last);
    if (table->columns == 0)
        table->columns = column;
    if (column != table->columns)
        return rnet_fail(table->error, RNET_DATA, "%s: line %lld: expected %d fields as in the first line, found %d",
                         table->path, (long long)field.line, table->columns, column);
    if (!may_be_header)
        table->size += table->width;
    return true;
}

static void skip_empty_lines(struct table *table)
{
    while (table->at < table->end && at_line_end(table))
        skip_line_end(table);
}

/* To the first line that is not empty. */
static bool begin_table(struct table *table, const char *expected)
{
    enum { BYTE_ORDER_MARK = 3 };
    if (table->end - table->at >= BYTE_ORDER_MARK && memcmp(table->at, "\xEF\xBB\xBF", BYTE_ORDER_MARK) == 0)
        table->at += BYTE_ORDER_MARK;
    skip_empty_lines(table);
    if (table->at == table->end)
        return rnet_fail(table->error, RNET_DATA, "%s: line %lld: expected %s, found the end of the file", table->path,
                         (long long)table->line, expected);
    return true;
}

static bool take_lines(struct table *table)
{
    int numbers;
    for (skip_empty_lines(table); table->at < table->end; skip_empty_lines(table))
        if (!take_line(table, false, &numbers))
            return false;
    if (table->size == 0)
        return rnet_fail(table->error, RNET_DATA,
                         "%s: line %lld: expected %s after the header, found the end of the file", table->path,
                         (long long)table->line, table->labels ? "labels" : "numbers");
    return true;
}

/* A first line without a number is a header; of labels, if the second line has one: else there would be no telling. */
static bool pass_header(struct table *table)
{
    const char *first_line = table->at;
    int64_t first_number = table->line;
    int numbers, more_numbers = 1;
    if (!take_line(table, true, &numbers))
        return false;
    int64_t last = (int64_t)table->first + table->width;
    if (last > table->columns)
        return rnet_fail(table->error, RNET_DATA,
                         "%s: line %lld: expected at least %lld fields (columns %d to %lld are wanted), found %d",
                         table->path, (long long)first_number, (long long)last, table->first, (long long)last - 1,
                         table->columns);
    if (table->labels && numbers == 0) {
        struct table second = *table;
        skip_empty_lines(&second);
        if (second.at == second.end)
            more_numbers = 0;
        else if (!take_line(&second, true, &more_numbers))
            return false;
    }
    if (numbers > 0 || more_numbers == 0) {
        table->at = first_line;
        table->line = first_number;
    }
    return true;
}

/* The columns of those names, by the first line: places[column], malloc. */
static bool find_columns(struct table *table, const char *const *names, int **places)
{
    struct field field = {0};
    char found[600] = "";
    size_t shown = 0;
    int *places_of = NULL, capacity = 0, seen = 0;
    int64_t line = table->line;
    for (table->columns = 0; !field.last; table->columns++) {
        int column = table->columns;
        if (!take_field(table, column + 1, &field) || !settle_text(table, column, &field))
            goto failed;
        if (column == capacity) {
            int *larger = realloc(places_of, (size_t)(capacity = 2 * capacity + 16) * sizeof *larger);
            if (!larger) {
                rnet_fail(table->error, RNET_FAILED, "%s: out of memory for %d columns", table->path, capacity);
                goto failed;
            }
            places_of = larger;
        }
        places_of[column] = -1;
        for (int i = 0; i < table->width; i++) {
            if (strlen(names[i]) != field.length || memcmp(names[i], field.text, field.length) != 0)
                continue;
            for (int before = 0; before < column; before++)
                if (places_of[before] == i) {
                    rnet_fail(table->error, RNET_DATA,
                              "%s: line %lld: expected one column \"%s\", found columns %d and %d", table->path,
                              (long long)line, names[i], before + 1, column + 1);
                    goto failed;
                }
            if (places_of[column] >= 0) {
                rnet_fail(table->error, RNET_USAGE, "%s: the column \"%s\" is wanted twice", table->path, names[i]);
                goto failed;
            }
            places_of[column] = i;
            seen++;
        }
        if (shown < sizeof found - 1)
            shown += (size_t)snprintf(found + shown, sizeof found - shown, "%s%.*s", column ? ", " : "",
                                      (int)(field.length < sizeof found ? field.length : sizeof found), field.text);
    }
    for (int i = 0; i < table->width && seen < table->width; i++) {
        bool there = false;
        for (int column = 0; column < table->columns; column++)
            there = there || places_of[column] == i;
        if (!there) {
            rnet_fail(table->error, RNET_DATA, "%s: line %lld: expected a column \"%s\", found %s", table->path,
                      (long long)line, names[i], found);
            goto failed;
        }
    }
    *places = places_of;
    return true;
failed:
    free(places_of);
    return false;
}

/* Reads the columns that `table` wants, those of `names` if it is not NULL, into an array of `rank`. */
static bool read_table(const char *path, struct table table, const char *const *names, int rank, struct rnet_array *out,
                       struct rnet_error *error)
{
    struct rnet_bytes bytes = {0};
    int *places = NULL;
    *out = (struct rnet_array){0};
    if (!rnet_file_read(path, &bytes, error))
        return false;
    table.path = path;
    table.error = error;
    table.at = (char *)bytes.data;
    table.end = table.at + bytes.size;
    table.line = 1;
    table.all_whole = true;
    table.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    bool done = table.locale ? begin_table(&table, names          ? "a line of names"
                                                   : table.labels ? "a line of labels"
                                                                  : "a line of numbers")
                             : rnet_fail(error, RNET_FAILED, "%s: out of memory", path);
    done = done && (names ? find_columns(&table, names, &places) : pass_header(&table));
    table.places = places;
    done = done && take_lines(&table);
    if (table.locale)
        freelocale(table.locale);
    free(places);
    free(bytes.data);
    if (!done) {
        free(table.values);
        return false;
    }
    *out = (struct rnet_array){.type = table.all_whole ? RNET_I32 : RNET_F64,
                               .rank = rank,
                               .shape = {table.size / table.width, rank == 2 ? table.width : 0},
                               .data = table.values};
    /* Narrowed where it lies: element i of the result ends before element i of the numbers. */
    if (table.all_whole)
        for (int64_t i = 0; i < table.size; i++) {
            int32_t whole = (int32_t)table.values[i];
            memcpy((char *)table.values + 4 * i, &whole, 4);
        }
    return true;
}

bool rnet_read_csv(const char *path, int first, int count, struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    if (first < 0 || count < 0)
        return rnet_fail(error, RNET_USAGE, "%s: expected columns from 0 on, found first %d, count %d", path, first,
                         count);
    struct table table = {.first = first, .width = count ? count : 1};
    return read_table(path, table, NULL, count ? 2 : 1, out, error);
}

bool rnet_read_csv_named(const char *path, const char *const *names, int count, struct rnet_array *out,
                         struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    if (count < 0)
        return rnet_fail(error, RNET_USAGE, "%s: expected names of columns, found %d of them", path, count);
    struct table table = {.width = count ? count : 1};
    return read_table(path, table, names, count ? 2 : 1, out, error);
}

bool rnet_read_csv_labels(const char *path, const char *name, int column, struct rnet_vocabulary *labels,
                          struct rnet_array *out, struct rnet_error *error)
{
    *out = (struct rnet_array){0};
    if (labels->unit != RNET_LABELS || (!name && column < 0))
        return rnet_fail(error, RNET_USAGE, "%s: expected a column from 0 on and a vocabulary of labels", path);
    struct table table = {.first = column, .width = 1, .labels = labels, .labels_fixed = labels->count > 0};
    bool done = read_table(path, table, name ? &name : NULL, 1, out, error);
    if (!done && !table.labels_fixed)
        rnet_vocabulary_free(labels);
    return done;
}
