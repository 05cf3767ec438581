/* errors.c: what to say about a token that does not fit. */
#include "rnet.tab.h"
#include "tokens.h"

#include <string.h>

static bool expects(const char *const *expected, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(expected[i], name))
            return true;
    return false;
}

/* The token as a reader calls it. */
static const char *describe(struct parser *parser, const struct token *t)
{
    switch (t->kind) {
    case 0: return "end of file";
    case TOKEN_NEWLINE: return "end of line";
    case TOKEN_NAME: return "name";
    case TOKEN_NUMBER: return "number";
    case TOKEN_STRING: return "string";
    }
    if (t->at.begin == t->at.end)
        return "end of block";
    return arena_printf(parser->arena, "'%.*s'", t->at.end - t->at.begin, parser->source->text + t->at.begin);
}

struct choice {
    const char *name; /* as the grammar calls it */
    const char *said; /* to the reader */
};

/* What may stand here, put shortly. Where something may end, going on with an operator goes without saying. */
static const char *list_expected(struct parser *parser, const char *const *expected, int count)
{
    static const struct choice ends[] = {{"end of line", "end of line"}, {"end of file", "end of file"}, {"','", "','"},
                                         {"';'", "';'"}, {"')'", "')'"}, {"']'", "']'"}, {"'}'", "'}'"},
                                         {"'{'", "'{'"}, {"'='", "'='"}, {"'~'", "'~'"}, {"'<-'", "'<-'"}, {"'->'", "'->'"},
                                         {"'then'", "'then'"}, {"'else'", "'else'"}, {"'from'", "'from'"}};
    const char *said[32], *result = "";
    int size = 0;
    bool expression = expects(expected, count, "number") && expects(expected, count, "reduction");
    bool end = expects(expected, count, "end of line");

    if (expression) {
        said[size++] = "an expression";
        if (expects(expected, count, "']'") || expects(expected, count, "')'"))
            said[size++] = expects(expected, count, "')'") ? "')'" : "']'";
        if (expects(expected, count, "'...'"))
            said[size++] = "'...'";
    } else if (expects(expected, count, "'param'")) {
        said[size++] = "a statement";
        if (expects(expected, count, "'}'"))
            said[size++] = "'}'";
    } else if (expects(expected, count, "'let'")) {
        said[size++] = "an item (use, let, fn, layer, model, rule, data, train)";
    } else {
        for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
            if (expects(expected, count, ends[i].name) && !(end && !strcmp(ends[i].name, "','")) &&
                !(end && !strcmp(ends[i].name, "end of file")))
                said[size++] = ends[i].said;
        for (int i = 0; i < count && !size; i++)
            for (int k = 0; k < count && size < 5; k++)
                said[size++] = expected[k];
    }
    for (int i = 0; i < size; i++)
        result = arena_printf(parser->arena, "%s%s%s", result, !i ? "" : i + 1 < size ? ", " : " or ", said[i]);
    return result;
}

void report_syntax_error(struct parser *parser, int place, const char *const *expected, int count)
{
    const struct token *t = &parser->tokens->all.at[place];
    struct span at = {parser->source, t->at.begin, t->at.end};
    const char *wanted = list_expected(parser, expected, count);

    diagnose(parser->d, "E0101", at, "unexpected %s%s%s", describe(parser, t), *wanted ? ", expected " : "", wanted);
}
