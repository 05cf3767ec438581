/* parse.h: what parse.c and tokens.c share. */
#ifndef RNET_IR_PARSE_H
#define RNET_IR_PARSE_H

#include <setjmp.h>

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

#endif
