/* tokens.c: the words of the text form of programs. A comment runs from `#` to the end of the line. */
#include "parse.h"

#include <string.h>

void parse_fail(struct parser *p, int line, const char *format, ...)
{
    va_list arguments;
    char message[1000];

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    p->error = arena_printf(p->arena, "line %d: %s", line, message);
    longjmp(p->failed, 1);
}

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static void add_token(struct parser *p, enum token_kind kind, const char *text, size_t size, int line)
{
    list_add(p->arena, p->tokens, (struct token){kind, arena_slice(p->arena, text, size), line});
}

/* Digits, a point only if a digit follows (0..9 is a range), an exponent. */
static const char *scan_number(struct parser *p, const char *c, int line)
{
    const char *start = c;
    enum token_kind kind = WHOLE;

    while (digit(*c))
        c++;
    if (*c == '.' && digit(c[1])) {
        kind = REAL;
        for (c++; digit(*c); c++)
            continue;
    }
    if ((*c == 'e' || *c == 'E') && (digit(c[1]) || ((c[1] == '+' || c[1] == '-') && digit(c[2])))) {
        kind = REAL;
        for (c += 2; digit(*c); c++)
            continue;
    }
    if (letter(*c))
        parse_fail(p, line, "`%.*s` is neither a number nor a name", (int)(c + 1 - start), start);
    add_token(p, kind, start, (size_t)(c - start), line);
    return c;
}

static const char *scan_name(struct parser *p, const char *c, int line)
{
    const char *start = c;

    while (letter(*c) || digit(*c) || *c == '\'' || (*c == '.' && c[1] != '.'))
        c++;
    add_token(p, NAME, start, (size_t)(c - start), line);
    return c;
}

static const char *scan_string(struct parser *p, const char *c, int line)
{
    struct text text = {0};

    for (; *c != '"'; c++) {
        if (*c == '\\')
            c++;
        if (!*c || *c == '\n') {
            text_free(&text);
            parse_fail(p, line, "a string without its closing quote");
        }
        text_add_slice(&text, c, 1);
    }
    add_token(p, STRING, text.data ? text.data : "", text.size, line);
    text_free(&text);
    return c + 1;
}

void parse_tokens(struct parser *p, const char *source)
{
    static const char *const pairs[] = {"//", "==", "!=", "<=", ">=", ".."};
    const char *c = source;
    int line = 1;

    while (*c) {
        if (*c == ' ' || *c == '\t' || *c == '\r') {
            c++;
        } else if (*c == '#') {
            c += strcspn(c, "\n");
        } else if (*c == '\n') {
            add_token(p, NEWLINE, "", 0, line++);
            c++;
        } else if (digit(*c)) {
            c = scan_number(p, c, line);
        } else if (letter(*c)) {
            c = scan_name(p, c, line);
        } else if (*c == '`') {
            size_t size = strcspn(c + 1, "`\n");

            if (c[size + 1] != '`' || !size)
                parse_fail(p, line, "a name without its closing backquote");
            add_token(p, QUOTED, c + 1, size, line);
            c += size + 2;
        } else if (*c == '"') {
            c = scan_string(p, c + 1, line);
        } else {
            size_t size = 1;

            for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
                if (!strncmp(c, pairs[i], 2))
                    size = 2;
            if (size == 1 && !strchr("[](){},:=<>+-*/%^", *c))
                parse_fail(p, line, "`%c` (byte %d) is no part of the language", *c, (unsigned char)*c);
            add_token(p, MARK, c, size, line);
            c += size;
        }
    }
    add_token(p, NEWLINE, "", 0, line);
    add_token(p, END, "", 0, line);
}
