/* parse.c: gives the tokens to the parser, and after an error takes it to the end of the statement. */
#include "rnet.tab.h"
#include "tokens.h"

#include <stdlib.h>
#include <string.h>

int rnet_lex(struct node **value, struct range *at, struct parser *parser);

int statement_begin(const struct tokens *tokens, int place)
{
    int block = tokens->all.at[place].block;

    for (;;) {
        int before = token_before(tokens, place);
        const struct token *t = before < 0 ? NULL : &tokens->all.at[before];

        if (!t || before == block || (t->ends && t->block == block))
            return place;
        place = before;
    }
}

static int margin(const struct tokens *tokens, int place)
{
    int begin = tokens->all.at[place].at.begin, line = begin;

    while (line > 0 && tokens->source->text[line - 1] != '\n')
        line--;
    while (tokens->source->text[line] == ' ' || tokens->source->text[line] == '\t')
        line++, begin--;
    return tokens->all.at[place].at.begin - begin;
}

/* After an error, may a new statement begin behind this line end? The margin decides, not what the wrong line ends
   with: lines further in than the statement's first were meant to go on with it. */
static bool recovers_after(const struct tokens *tokens, int place, int block, int within)
{
    const struct token *t = &tokens->all.at[place];
    int next = place + 1;

    if (t->kind != TOKEN_NEWLINE || t->depth || t->block != block)
        return false;
    while (tokens->all.at[next].kind == TOKEN_NEWLINE || tokens->all.at[next].kind == TOKEN_COMMENT)
        next++;
    return !needs_left(tokens->all.at[next].kind) && margin(tokens, next) <= within;
}

/* Where the parser goes on after an error at place: the line end behind the statement, or its block's own brace. If the
   error is the first token of a line that only a dangling operator joined to the statement, that line is a statement of
   its own. again: the last error was at this place too, so it must be passed. */
static int statement_end(struct tokens *tokens, int place, bool again)
{
    int block = tokens->all.at[place].block, within = margin(tokens, statement_begin(tokens, place));

    if (again) {
        place += tokens->all.at[place].kind != 0;
    } else if (place > 0 && recovers_after(tokens, place - 1, block, within)) {
        tokens->all.at[place - 1].ends = true;
        return place - 1;
    }
    for (;; place++) {
        const struct token *t = &tokens->all.at[place];

        if (t->kind == 0 || (t->kind == '}' && block >= 0 && t->match == block))
            return place;
        if (recovers_after(tokens, place, block, within)) {
            tokens->all.at[place].ends = true;
            return place;
        }
    }
}

static const char *unescaped(struct arena *arena, const char *text, int size)
{
    char *result = arena_alloc(arena, (size_t)size + 1);
    int length = 0;

    for (int i = 0; i < size; i++) {
        if (text[i] == '\\' && i + 1 < size) {
            i++;
            result[length++] = text[i] == 'n' ? '\n' : text[i] == 't' ? '\t' : text[i];
        } else {
            result[length++] = text[i];
        }
    }
    return result;
}

/* The leaf that a token carries; NULL for signs. */
static struct node *leaf(struct parser *parser, const struct token *t)
{
    const char *begin = parser->source->text + t->at.begin;
    int size = t->at.end - t->at.begin;
    const char *text;

    switch (t->kind) {
    case TOKEN_NUMBER:
        text = arena_slice(parser->arena, begin, (size_t)size);
        return tree_new(
            parser, t->at,
            (struct node){
                .kind = NODE_NUMBER, .text = text, .number = strtod(text, NULL), .flag = strpbrk(text, ".eE") != NULL});
    case TOKEN_STRING:
        text = unescaped(parser->arena, begin + 1, size - 1 - (size > 1 && begin[size - 1] == '"'));
        return tree_new(parser, t->at, (struct node){.kind = NODE_STRING, .text = text});
    case TOKEN_NAME:
    case TOKEN_TRAIN:
    case TOKEN_REDUCE:
    case TOKEN_LAYER:
    case TOKEN_FN:
        text = arena_slice(parser->arena, begin, (size_t)size);
        return tree_new(parser, t->at, (struct node){.kind = NODE_NAME, .name = text});
    }
    return NULL;
}

int rnet_lex(struct node **value, struct range *at, struct parser *parser)
{
    const struct token *t;

    if (parser->skipping) {
        int wrong = parser->last;

        parser->last = statement_end(parser->tokens, wrong, wrong == parser->wrong);
        parser->wrong = wrong;
        parser->skipping = false;
    } else {
        parser->last = token_after(parser->tokens, parser->last);
    }
    if (parser->last < 0)
        bug("the parser reads past the end of %s", parser->source->path);
    t = &parser->tokens->all.at[parser->last];
    *at = t->at;
    *value = leaf(parser, t);
    return t->kind;
}

struct node *parse(struct arena *arena, const struct source *source, struct diagnostics *d)
{
    int errors = diagnostics_errors(d);
    struct parser parser = {.arena = arena, .source = source, .d = d, .last = -1, .wrong = -1};

    parser.tokens = tokenize(arena, source, d);
    rnet_parse(&parser);
    return diagnostics_errors(d) == errors ? parser.file : NULL;
}
