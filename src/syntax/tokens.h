/* tokens.h: what scanner, parser and formatter share. Internal to this folder and to grammar/. */
#ifndef RNET_TOKENS_H
#define RNET_TOKENS_H

#include "syntax.h"

struct range {
    int begin, end;
};

/* A source is cut into tokens once: comments and line ends stay in the array, marked with what they mean. */
struct token {
    int kind; /* of the grammar; 0 at the end of the file */
    struct range at;
    int match;      /* ( [ { ) ] }: the partner's place in the array, or -1 */
    int depth;      /* closed ( and [ around it; a line end in there means nothing */
    int block;      /* place of the innermost { of a block around it, or -1; the braces of `repeat` are no block */
    bool of_repeat; /* { of `repeat`, and its } */
    bool ends;      /* a line end that ends a statement */
};
struct tokens {
    const struct source *source;
    LIST(struct token) all;
};

/* grammar/rnet.l. Appends the tokens; diagnoses what is no token (d may be NULL: keeps silent). */
void scan(struct tokens *tokens, struct arena *arena, const struct source *source, struct diagnostics *d);

/* tokens.c. scan, then brackets matched and line ends decided. A missing } is diagnosed and put in. */
struct tokens *tokenize(struct arena *arena, const struct source *source, struct diagnostics *d);
/* The line rule, once for the parser and the formatter. */
bool needs_right(int kind);
bool needs_left(int kind);
bool begins_item(int kind);
/* The neighbours that the parser sees, or -1. */
int token_before(const struct tokens *tokens, int place);
int token_after(const struct tokens *tokens, int place);

/* parse.c */
struct parser {
    struct arena *arena;
    const struct source *source;
    struct diagnostics *d;
    struct tokens *tokens;
    int last;      /* place of the token given last */
    int wrong;     /* place of the last token in error */
    bool skipping; /* after an error: to the end of the statement */
    struct node *file;
};

/* tree.c */
struct node *tree_new(struct parser *parser, struct range at, struct node fields);
struct node *tree_list(struct parser *parser, struct node *first);
struct node *tree_append(struct parser *parser, struct node *list, struct node *item);
struct node *tree_path(struct parser *parser, struct range at, struct node *path, struct node *word);
struct node *tree_pipe(struct parser *parser, struct range at, struct node *start, struct node *stage);

/* parse.c. First token of the statement that place is in. */
int statement_begin(const struct tokens *tokens, int place);

/* errors.c. E0102 for `training { }`. */
void check_named_block(struct parser *parser, const struct node *name);
/* expected: names of tokens as the grammar gives them. */
void report_syntax_error(struct parser *parser, int place, const char *const *expected, int count);

#endif
