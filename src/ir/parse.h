/* parse.h: what parse.c, parse_expression.c and tokens.c share. */
#ifndef RNET_IR_PARSE_H
#define RNET_IR_PARSE_H

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum token_kind { NAME, QUOTED, WHOLE, REAL, STRING, MARK, NEWLINE, END };
struct token {
    enum token_kind kind;
    const char *text; /* a quoted name or a string without its quotes */
    int line;
};

struct parser {
    struct arena *arena;
    LIST(struct token) tokens; /* a NEWLINE ends each line, an END all */
    const char *error;
    jmp_buf failed;
    struct ir_program *program;
    const struct token *at;
    struct map *updated;                    /* leaves by name */
    struct map *indices;                    /* by "name*: extent" */
    struct map *by_name;                    /* struct named */
    ir_index_list visible;                  /* to the equation */
    struct map *lets;                       /* of the equation, or NULL */
    const struct ir_recurrence *recurrence; /* the block that is parsed, or NULL */
    const struct ir_index *time;            /* in its first line */
    int time_axis;                          /* of the axes parsed last: which is the time; -1: none */
};

/* Leaves the parser with "line N: message". */
_Noreturn void parse_fail(struct parser *p, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Fills tokens. */
void parse_tokens(struct parser *p, const char *source);

/* ---- words ---- */

static inline bool is(const struct token *token, const char *text)
{
    return (token->kind == MARK || token->kind == NAME) && !strcmp(token->text, text);
}

static inline _Noreturn void expected(struct parser *p, const char *what)
{
    if (p->at->kind == NEWLINE || p->at->kind == END)
        parse_fail(p, p->at->line, "expected %s, found the end of the line", what);
    parse_fail(p, p->at->line, "expected %s, found `%s`", what, p->at->text);
}

static inline bool accept(struct parser *p, const char *text)
{
    if (!is(p->at, text))
        return false;
    p->at++;
    return true;
}

static inline void expect(struct parser *p, const char *text)
{
    if (!accept(p, text))
        expected(p, arena_printf(p->arena, "`%s`", text));
}

static inline bool is_name(const struct token *token)
{
    return token->kind == NAME || token->kind == QUOTED;
}

static inline const char *name(struct parser *p, const char *what)
{
    if (!is_name(p->at))
        expected(p, what);
    return (p->at++)->text;
}

/* One of the words, by number. */
static inline int choice(struct parser *p, const char *const *words, int count, const char *what)
{
    for (int i = 0; i < count; i++)
        if (accept(p, words[i]))
            return i;
    expected(p, what);
}

static inline int64_t whole(struct parser *p, const char *what)
{
    int64_t value;

    if (p->at->kind != WHOLE)
        expected(p, what);
    errno = 0;
    value = strtoll(p->at->text, NULL, 10);
    if (errno)
        parse_fail(p, p->at->line, "%s has too many digits", p->at->text);
    p->at++;
    return value;
}

/* ---- parse_expression.c ---- */

typedef const struct ir_expr *expr;
/* Over the indices that are visible and the lets. */
expr expression(struct parser *p);
/* A tensor by its name. */
struct ir_tensor *tensor(struct parser *p);

#endif
