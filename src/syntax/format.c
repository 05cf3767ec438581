/* format.c: canonical text. Works on the tokens, so that comments, parentheses and the spelling of numbers stay as they are.
   requires: the source parses.
   maintains: the tree. Of the old layout it reads where a line breaks, where a line is empty and where a comment stands, and
   writes all of it back, so formatting twice changes nothing.

   - four spaces a block; one space around operators, none around `^` and `.`, after a sign, and around `*` inside [ ];
     one empty line at most
   - a block with a line break in it has a line for each statement; one without stays on its line
   - a line that goes on inside brackets begins below what follows the bracket, or four spaces in if nothing follows;
     `|>` below the first `|>`; else below the value being defined; else eight spaces in
   - in a train block the `=` of neighbouring settings stand below each other, and so do trailing comments everywhere */
#include "rnet.tab.h"
#include "tokens.h"

#include <string.h>

enum { INDENT = 4, CONTINUED = 8, WIDEST_VALUE_COLUMN = 40 };

struct line {
    int indent;
    const char *code, *comment; /* either may be NULL */
    bool empty_before;
    int equals;     /* byte of the `=` to be aligned in code, or -1 */
    bool with_last; /* goes on a statement, and begins right of its `=` */
    int shift;      /* spaces that alignment puts before the `=` */
};

struct bracket {
    int kind;
    int column;      /* of what follows it */
    int line_indent; /* of the line it stands in */
    bool at_end;     /* a line break follows it */
    int pipe;        /* column of the first `|>` directly inside, or -1 */
};

/* A block being written, the file itself first, and the statement in it that is being written. */
struct level {
    int indent;
    bool in_train; /* the block of `train`, or of a phase in it */
    /* the statement: */
    int first; /* place of its first token */
    int value; /* column of the value being defined, or -1 */
    int pipe;  /* column of the first `|>` outside brackets, or -1 */
    int item;  /* column of what may stand after a comma */
    LIST(struct bracket) brackets;
};

struct formatter {
    struct arena *arena;
    const struct tokens *tokens;
    LIST(struct line) lines;
    LIST(struct level) levels;
    struct text code; /* of the line being written */
    const char *comment;
    int indent;
    bool empty_before, with_last;
    int equals;
    bool open; /* a line is being written */
};

static struct level *innermost(struct formatter *f)
{
    return &f->levels.at[f->levels.count - 1];
}

static const struct token *at(const struct formatter *f, int place)
{
    return &f->tokens->all.at[place];
}

static int kind_of(const struct formatter *f, int place)
{
    return place < 0 ? 0 : at(f, place)->kind;
}

/* Any token but comments and line ends, whatever they mean. */
static int word_before(const struct formatter *f, int place)
{
    while (--place >= 0 && (kind_of(f, place) == TOKEN_COMMENT || kind_of(f, place) == TOKEN_NEWLINE))
        ;
    return place;
}

static int word_after(const struct formatter *f, int place)
{
    while (kind_of(f, ++place) == TOKEN_COMMENT || kind_of(f, place) == TOKEN_NEWLINE)
        ;
    return place;
}

/* ---- lines ---- */

static int characters(const char *text, size_t size)
{
    int count = 0;

    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)text[i] & 0xC0) != 0x80;
    return count;
}

static int column(const struct formatter *f)
{
    return f->indent + characters(f->code.data, f->code.size);
}

static void end_line(struct formatter *f)
{
    if (!f->open)
        return;
    list_add(f->arena, f->lines,
             (struct line){.indent = f->indent,
                           .code = f->code.size ? arena_slice(f->arena, f->code.data, f->code.size) : NULL,
                           .comment = f->comment,
                           .empty_before = f->empty_before,
                           .equals = f->equals,
                           .with_last = f->with_last});
    f->code.size = 0;
    f->comment = NULL;
    f->open = false;
}

static void begin_line(struct formatter *f, int indent, bool empty_before)
{
    end_line(f);
    f->open = true;
    f->indent = indent;
    f->empty_before = empty_before && f->lines.count;
    f->equals = -1;
    f->with_last = false;
}

/* ---- within a line ---- */

static bool is_block(const struct formatter *f, int place)
{
    int kind = kind_of(f, place);

    return (kind == '{' || kind == '}') && !at(f, place)->of_repeat;
}

static bool closes_reduction(const struct formatter *f, int place)
{
    return kind_of(f, place) == ']' && at(f, place)->match >= 0 &&
           kind_of(f, word_before(f, at(f, place)->match)) == TOKEN_REDUCE;
}

static bool ends_operand(const struct formatter *f, int place)
{
    switch (kind_of(f, place)) {
    case TOKEN_NAME:
    case TOKEN_NUMBER:
    case TOKEN_TRAIN:
    case ')':
    case TOKEN_DOTS:
        return true;
    case ']':
        return !closes_reduction(f, place);
    }
    return false;
}

static bool is_sign(const struct formatter *f, int place)
{
    return kind_of(f, place) == '-' && !ends_operand(f, word_before(f, place));
}

static bool in_subscript(struct formatter *f)
{
    const struct level *s = innermost(f);

    for (int i = 0; i < s->brackets.count; i++)
        if (s->brackets.at[i].kind == '[')
            return true;
    return false;
}

static bool space_between(struct formatter *f, int before, int after)
{
    if ((kind_of(f, before) == '*' || kind_of(f, after) == '*') && in_subscript(f))
        return false;
    switch (kind_of(f, before)) {
    case '(':
    case '[':
    case '.':
    case '^':
        return false;
    case '{':
        return kind_of(f, after) != '}';
    }
    if (is_sign(f, before))
        return false;
    switch (kind_of(f, after)) {
    case ')':
    case ']':
    case ',':
    case ';':
    case ':':
    case '.':
    case '^':
        return false;
    case '[':
        return false;
    case '(':
        return kind_of(f, before) != TOKEN_REDUCE && !ends_operand(f, before);
    }
    return true;
}

static void write_token(struct formatter *f, int place)
{
    struct range range = at(f, place)->at;

    text_add_slice(&f->code, f->tokens->source->text + range.begin, (size_t)(range.end - range.begin));
}

/* ---- where a line that goes on begins ---- */

static int continued_indent(struct formatter *f, int place)
{
    struct level *s = innermost(f);
    int kind = kind_of(f, place);

    if (s->brackets.count) {
        struct bracket *b = &s->brackets.at[s->brackets.count - 1];

        if (b->at_end)
            return b->line_indent +
                   (at(f, place)->match >= 0 && (kind == ')' || kind == ']' || kind == '}') ? 0 : INDENT);
        return kind == TOKEN_PIPE && b->pipe >= 0 ? b->pipe : b->column;
    }
    if (is_block(f, word_before(f, place)))
        return s->indent;
    if (kind == TOKEN_PIPE && s->pipe >= 0)
        return s->pipe;
    if (kind_of(f, word_before(f, place)) == ',')
        return s->item;
    return s->value >= 0 && s->value <= WIDEST_VALUE_COLUMN ? s->value : s->indent + CONTINUED;
}

/* ---- statements ---- */

static void push_level(struct formatter *f, int indent, bool in_train)
{
    list_add(f->arena, f->levels, (struct level){.indent = indent, .in_train = in_train});
}

static void begin_statement(struct formatter *f, int place)
{
    struct level *s = innermost(f);

    *s = (struct level){.indent = s->indent,
                        .in_train = s->in_train,
                        .first = place,
                        .value = -1,
                        .pipe = -1,
                        .item = s->indent + INDENT};
}

/* A block with a line break in it, from its { or its }. */
static bool has_lines(const struct formatter *f, int place)
{
    int last = at(f, place)->match, first = place;

    if (last < first) {
        first = last;
        last = place;
    }
    for (int i = first; i < last; i++)
        if (kind_of(f, i) == TOKEN_NEWLINE || kind_of(f, i) == TOKEN_COMMENT)
            return true;
    return false;
}

static void open_block(struct formatter *f, int place)
{
    const struct level *s = innermost(f);
    int named = word_before(f, place);
    bool phase =
        s->in_train && kind_of(f, s->first) == TOKEN_NAME && kind_of(f, named) == TOKEN_NAME && named != s->first;
    bool train = f->levels.count == 1 && kind_of(f, s->first) == TOKEN_TRAIN;

    push_level(f, s->indent + (has_lines(f, place) ? INDENT : 0), train || phase);
}

/* What the token just written means for the lines that may follow. */
static void note_token(struct formatter *f, int place, int begin)
{
    struct level *s = innermost(f);
    struct bracket *b = s->brackets.count ? &s->brackets.at[s->brackets.count - 1] : NULL;
    int kind = kind_of(f, place);
    bool breaks = kind_of(f, place + 1) == TOKEN_NEWLINE || kind_of(f, place + 1) == TOKEN_COMMENT;

    switch (kind) {
    case '(':
    case '[':
    case '{':
        list_add(f->arena, s->brackets,
                 (struct bracket){.kind = kind,
                                  .column = column(f) + (kind == '{'),
                                  .line_indent = f->indent,
                                  .at_end = breaks,
                                  .pipe = -1});
        break;
    case ')':
    case ']':
    case '}':
        s->brackets.count--;
        break;
    case TOKEN_PIPE:
        if (b && b->pipe < 0)
            b->pipe = begin;
        if (!b && s->pipe < 0)
            s->pipe = begin;
        break;
    case '=':
    case '~':
    case TOKEN_UPDATE:
        if (b)
            break;
        s->value = breaks ? -1 : column(f) + 1;
        if (s->in_train && kind == '=' && word_before(f, place) == s->first)
            f->equals = (int)f->code.size - 1;
        break;
    case ',':
        if (!b)
            s->value = s->pipe = -1;
        break;
    case TOKEN_PARAM:
    case TOKEN_STATE:
        if (!b)
            s->item = column(f) + 1;
        break;
    }
}

/* ---- alignment of finished lines ---- */

static void align_equals(struct formatter *f)
{
    for (int i = 0; i < f->lines.count;) {
        int end = i + 1, widest = f->lines.at[i].equals;

        if (widest < 0) {
            i++;
            continue;
        }
        while (end < f->lines.count && !f->lines.at[end].empty_before &&
               f->lines.at[end].indent >= f->lines.at[i].indent &&
               (f->lines.at[end].equals >= 0 || f->lines.at[end].with_last)) {
            if (f->lines.at[end].equals > widest)
                widest = f->lines.at[end].equals;
            end++;
        }
        for (int shift = 0; i < end; i++) {
            struct line *line = &f->lines.at[i];

            if (line->with_last) {
                line->indent += shift;
            } else {
                shift = line->shift = widest - line->equals;
            }
        }
    }
}

static int line_width(const struct line *line)
{
    return line->indent + line->shift + characters(line->code, strlen(line->code));
}

static void print_lines(struct formatter *f, struct text *out)
{
    for (int i = 0; i < f->lines.count;) {
        int end = i, width = 0;

        while (end < f->lines.count && f->lines.at[end].comment && f->lines.at[end].code &&
               (end == i || !f->lines.at[end].empty_before)) {
            if (line_width(&f->lines.at[end]) > width)
                width = line_width(&f->lines.at[end]);
            end++;
        }
        if (end == i)
            end++;
        for (; i < end; i++) {
            const struct line *line = &f->lines.at[i];

            if (line->empty_before)
                text_add(out, "\n");
            text_addf(out, "%*s", line->indent, "");
            if (line->code && line->shift)
                text_addf(out, "%.*s%*s%s", line->equals, line->code, line->shift, "", line->code + line->equals);
            else if (line->code)
                text_add(out, line->code);
            if (line->comment)
                text_addf(out, "%*s%s", line->code ? width - line_width(line) + 2 : 0, "", line->comment);
            text_add(out, "\n");
        }
    }
}

/* ---- the walk ---- */

static const char *comment_text(struct formatter *f, int place)
{
    struct range range = at(f, place)->at;
    const char *text = f->tokens->source->text + range.begin;
    int size = range.end - range.begin;

    while (size && (text[size - 1] == ' ' || text[size - 1] == '\t' || text[size - 1] == '\r'))
        size--;
    return arena_slice(f->arena, text, (size_t)size);
}

/* What stands between the last token and this one. */
struct gap {
    int line_ends; /* since the last comment, if there is one */
    bool comment;
    bool ended; /* the statement */
};

/* Does the statement go on at this token? */
static bool goes_on(const struct formatter *f, int place, struct gap gap)
{
    int before = word_before(f, place);

    return !gap.ended && kind_of(f, place) && !(is_block(f, place) && kind_of(f, place) == '}') &&
           !(is_block(f, before) && kind_of(f, before) == '{');
}

static bool wants_line(const struct formatter *f, int place, struct gap gap)
{
    int before = word_before(f, place);

    if (is_block(f, place) && kind_of(f, place) == '}')
        return has_lines(f, place) && (gap.comment || kind_of(f, before) != '{');
    if (is_block(f, before) && kind_of(f, before) == '{')
        return has_lines(f, before);
    if (!gap.ended && (is_block(f, place) || (kind_of(f, place) == TOKEN_ELSE && is_block(f, before))))
        return gap.comment;
    return gap.ended || gap.line_ends || gap.comment;
}

static bool wants_empty_line(const struct formatter *f, int place, struct gap gap)
{
    int before = word_before(f, place);
    bool first = is_block(f, before) && kind_of(f, before) == '{' && !gap.comment;
    bool last = is_block(f, place) && kind_of(f, place) == '}';

    return gap.line_ends > 1 && !goes_on(f, place, gap) && !first && !last;
}

static void place_token(struct formatter *f, int place, struct gap gap)
{
    bool continued = goes_on(f, place, gap), block = is_block(f, place);
    int before = word_before(f, place), begin;

    if (block && kind_of(f, place) == '}')
        f->levels.count--;
    else if (!continued)
        begin_statement(f, place);
    if (!f->open || wants_line(f, place, gap)) {
        const struct level *s = innermost(f);
        int indent = continued ? continued_indent(f, place) : s->indent;

        begin_line(f, indent, wants_empty_line(f, place, gap));
        f->with_last = continued && s->in_train && s->value >= 0 && indent >= s->value;
    } else if (space_between(f, before, place)) {
        text_add(&f->code, " ");
    }
    begin = column(f);
    write_token(f, place);
    if (!block)
        note_token(f, place, begin);
    else if (kind_of(f, place) == '{')
        open_block(f, place);
}

static void place_comment(struct formatter *f, int place, struct gap gap)
{
    int next = word_after(f, place);
    bool continued = goes_on(f, next, gap);

    if (!f->open || gap.line_ends) {
        const struct level *s = innermost(f);
        int indent = continued ? continued_indent(f, next) : s->indent;
        bool empty = is_block(f, next) ? gap.line_ends > 1 && kind_of(f, word_before(f, place)) != '{'
                                       : wants_empty_line(f, next, gap);

        begin_line(f, indent, empty);
        f->with_last = continued && s->in_train && s->value >= 0 && indent >= s->value;
    }
    f->comment = comment_text(f, place);
}

void format(struct text *out, struct arena *arena, const struct source *source, const struct node *file)
{
    struct formatter f = {.arena = arena, .tokens = tokenize(arena, source, NULL), .equals = -1};
    struct gap gap = {.ended = true};

    push_level(&f, 0, false);
    for (int i = 0; kind_of(&f, i); i++) {
        const struct token *t = at(&f, i);

        if (t->kind == TOKEN_NEWLINE) {
            gap.line_ends++;
            gap.ended |= t->ends;
        } else if (t->kind == TOKEN_COMMENT) {
            place_comment(&f, i, gap);
            gap.comment = true;
            gap.line_ends = 0;
        } else {
            place_token(&f, i, gap);
            gap = (struct gap){0};
        }
    }
    end_line(&f);
    align_equals(&f);
    print_lines(&f, out);
    text_free(&f.code);
}
