/* diagnostic.c: collects what is wrong and prints it with the source under it. */
#include "syntax.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ERRORS = 20, TAB_WIDTH = 4 };

struct remark { /* a note, or a help when nowhere and is_help */
    struct span at;
    const char *text;
    bool is_help;
};
struct diagnosis {
    const char *code, *text;
    struct span at;
    LIST(struct remark) remarks;
    int order; /* of arrival */
};
struct diagnostics {
    struct arena *arena;
    LIST(struct diagnosis *) all;
    struct diagnosis *current; /* what notes and helps belong to; NULL after one that was dropped */
    int errors;                /* distinct ones, those past the limit too */
};

struct diagnostics *diagnostics_new(struct arena *arena)
{
    struct diagnostics *d = NEW(arena, struct diagnostics);

    d->arena = arena;
    return d;
}

int diagnostics_errors(const struct diagnostics *d)
{
    return d->errors;
}

static bool is_warning(const char *code)
{
    return code[0] == 'W';
}

void diagnostics_keep_common(struct diagnostics *d, const struct diagnostics *other)
{
    int kept = 0;

    for (int i = 0; i < d->all.count; i++) {
        const struct diagnosis *one = d->all.at[i];
        bool common = is_warning(one->code);

        for (int k = 0; k < other->all.count && !common; k++)
            common = !strcmp(other->all.at[k]->code, one->code) && other->all.at[k]->at.begin == one->at.begin &&
                     other->all.at[k]->at.end == one->at.end;
        if (!common)
            d->errors--;
        else
            d->all.at[kept++] = d->all.at[i];
    }
    d->all.count = kept;
}

static bool same_place(struct span a, struct span b)
{
    return a.source && a.source == b.source && a.begin == b.begin && a.end == b.end;
}

static const char *formatted(struct arena *arena, const char *format, va_list arguments)
{
    va_list again;
    char *text;
    int size;

    va_copy(again, arguments);
    size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    text = arena_alloc(arena, (size_t)size + 1);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    return text;
}

void diagnose(struct diagnostics *d, const char *code, struct span at, const char *format, ...)
{
    va_list arguments;

    d->current = NULL;
    if (!is_warning(code)) {
        for (int i = 0; i < d->all.count; i++)
            if (!is_warning(d->all.at[i]->code) && same_place(d->all.at[i]->at, at))
                return;
        if (++d->errors > MOST_ERRORS)
            return;
    }
    d->current = NEW(d->arena, struct diagnosis);
    d->current->code = arena_string(d->arena, code);
    d->current->at = at;
    d->current->order = d->all.count;
    va_start(arguments, format);
    d->current->text = formatted(d->arena, format, arguments);
    va_end(arguments);
    list_add(d->arena, d->all, d->current);
}

void diagnose_note(struct diagnostics *d, struct span at, const char *format, ...)
{
    va_list arguments;

    if (!d->current)
        return;
    va_start(arguments, format);
    list_add(d->arena, d->current->remarks, (struct remark){.at = at, .text = formatted(d->arena, format, arguments)});
    va_end(arguments);
}

void diagnose_help(struct diagnostics *d, const char *format, ...)
{
    va_list arguments;

    if (!d->current)
        return;
    va_start(arguments, format);
    list_add(d->arena, d->current->remarks,
             (struct remark){.text = formatted(d->arena, format, arguments), .is_help = true});
    va_end(arguments);
}

/* ---- printing ---- */

static const char RED[] = "\033[1;31m", MAGENTA[] = "\033[1;35m", CYAN[] = "\033[1;36m", GREEN[] = "\033[1;32m",
                  BOLD[] = "\033[1m", RESET[] = "\033[0m";

static void painted(struct text *out, bool color, const char *paint, const char *text)
{
    text_addf(out, "%s%s%s", color ? paint : "", text, color ? RESET : "");
}

/* One character of UTF-8 at text, its bytes in *size; a stray byte stands for itself. */
static unsigned decode(const char *text, int left, int *size)
{
    unsigned char first = (unsigned char)text[0];
    int count = first < 0xC2 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 1;
    unsigned code = count == 1 ? first : first & (0xFFu >> (count + 1));

    for (int i = 1; i < count; i++) {
        if (i >= left || ((unsigned char)text[i] & 0xC0) != 0x80) {
            *size = 1;
            return first;
        }
        code = code << 6 | ((unsigned char)text[i] & 0x3F);
    }
    *size = count;
    return code;
}

/* Columns of a terminal: none for what combines, two for the wide East Asian blocks and pictures. */
static int display_width(unsigned code)
{
    static const struct {
        unsigned low, high;
        int width;
    } ranges[] = {
        {0x0300, 0x036F, 0},   {0x1AB0, 0x1AFF, 0},   {0x1DC0, 0x1DFF, 0},   {0x200B, 0x200F, 0}, {0x20D0, 0x20FF, 0},
        {0xFE00, 0xFE0F, 0},   {0xFE20, 0xFE2F, 0},   {0x1100, 0x115F, 2},   {0x2E80, 0x303E, 2}, {0x3041, 0xA4CF, 2},
        {0xAC00, 0xD7A3, 2},   {0xF900, 0xFAFF, 2},   {0xFE30, 0xFE6F, 2},   {0xFF00, 0xFF60, 2}, {0xFFE0, 0xFFE6, 2},
        {0x1F300, 0x1F64F, 2}, {0x1F900, 0x1F9FF, 2}, {0x20000, 0x3FFFD, 2},
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i].low && code <= ranges[i].high)
            return ranges[i].width;
    return 1;
}

/* The line of at's beginning, and marks under all of at that lies in it. */
static void print_source(struct text *out, struct span at, bool color, const char *paint)
{
    const struct source *source = at.source;
    int begin = at.begin < source->size ? at.begin : source->size, end, line, column, digits, size;
    int width = 0, from = -1, to = -1;

    source_position(source, begin, &line, &column);
    while (begin > 0 && source->text[begin - 1] != '\n')
        begin--;
    for (end = begin; end < source->size && source->text[end] != '\n' && source->text[end] != '\r'; end++)
        ;
    digits = (int)out->size;
    text_addf(out, "%d", line);
    digits = (int)out->size - digits;
    text_add(out, " | ");
    for (int i = begin; i < end; i += size) {
        unsigned code = decode(source->text + i, end - i, &size);
        int wide = code == '\t' ? TAB_WIDTH - width % TAB_WIDTH : display_width(code);

        if (from < 0 && i + size > at.begin)
            from = width;
        if (i < at.end)
            to = width + wide;
        if (code == '\t')
            text_addf(out, "%*s", wide, "");
        else if (code < 0x20 || (size == 1 && code >= 0x7F))
            text_add(out, "?"); /* what a terminal would act on */
        else
            text_add_slice(out, source->text + i, (size_t)size);
        width += wide;
    }
    if (from < 0)
        from = width;
    if (to <= from)
        to = from + 1;
    text_addf(out, "\n%*s | %*s%s", digits, "", from, "", color ? paint : "");
    for (int i = from; i < to; i++)
        text_add(out, "^");
    text_addf(out, "%s\n", color ? RESET : "");
}

static void print_place(struct text *out, struct span at, bool color)
{
    int line, column;

    if (!at.source)
        return;
    source_position(at.source, at.begin, &line, &column);
    text_addf(out, "%s%s:%d:%d:%s ", color ? BOLD : "", at.source->path, line, column, color ? RESET : "");
}

static void print_diagnosis(struct text *out, const struct diagnosis *one, bool color)
{
    const char *paint = is_warning(one->code) ? MAGENTA : RED;

    print_place(out, one->at, color);
    text_addf(out, "%s%s [%s]:%s %s\n", color ? paint : "", is_warning(one->code) ? "warning" : "error", one->code,
              color ? RESET : "", one->text);
    if (one->at.source)
        print_source(out, one->at, color, paint);
    for (int i = 0; i < one->remarks.count; i++) {
        const struct remark *remark = &one->remarks.at[i];

        print_place(out, remark->at, color);
        painted(out, color, remark->is_help ? GREEN : CYAN, remark->is_help ? "help:" : "note:");
        text_addf(out, " %s\n", remark->text);
        if (remark->at.source)
            print_source(out, remark->at, color, CYAN);
    }
}

static int compare(const void *left, const void *right)
{
    const struct diagnosis *a = *(const struct diagnosis *const *)left, *b = *(const struct diagnosis *const *)right;
    int source_a = a->at.source ? a->at.source->number : -1, source_b = b->at.source ? b->at.source->number : -1;

    if (source_a != source_b)
        return source_a < source_b ? -1 : 1;
    if (a->at.begin != b->at.begin)
        return a->at.begin < b->at.begin ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void diagnostics_print(const struct diagnostics *d, struct text *out, bool color)
{
    struct diagnosis **sorted;

    if (!d->all.count)
        return;
    sorted = NEW_ARRAY(d->arena, struct diagnosis *, d->all.count);
    memcpy(sorted, d->all.at, (size_t)d->all.count * sizeof *sorted);
    qsort(sorted, (size_t)d->all.count, sizeof *sorted, compare);
    for (int i = 0; i < d->all.count; i++) {
        if (i)
            text_add(out, "\n");
        print_diagnosis(out, sorted[i], color);
    }
    if (d->errors > MOST_ERRORS)
        text_addf(out, "\ntoo many errors: %d are shown, %d more were found\n", MOST_ERRORS, d->errors - MOST_ERRORS);
}

/* ---- names ---- */

enum { LONGEST_NAME = 63 };

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein, no substring edited twice: insert, delete, replace, or swap two neighbours. */
static int distance(const char *a, const char *b)
{
    int rows[3][LONGEST_NAME + 1], *before = rows[0], *last = rows[1], *row = rows[2], *free_row;
    int m = (int)strlen(a), n = (int)strlen(b);

    if (m > LONGEST_NAME || n > LONGEST_NAME)
        return LONGEST_NAME;
    for (int j = 0; j <= n; j++)
        last[j] = j;
    for (int i = 1; i <= m; i++) {
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            row[j] = smaller(smaller(row[j - 1], last[j]) + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        free_row = before;
        before = last;
        last = row;
        row = free_row;
    }
    return last[n];
}

/* The same but for capitals and underscores? */
static bool spelt_alike(const char *a, const char *b)
{
    for (;; a++, b++) {
        while (*a == '_')
            a++;
        while (*b == '_')
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
    }
}

const char *nearest_name(const char *name, const char *const *candidates, int count)
{
    int best = (int)strlen(name) / 3 + 1;
    const char *nearest = NULL;

    for (int i = 0; i < count; i++) {
        int away = spelt_alike(name, candidates[i]) ? 0 : distance(name, candidates[i]);

        if (away < best) {
            best = away;
            nearest = candidates[i];
        }
    }
    return nearest;
}
