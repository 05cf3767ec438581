/* errors.c: what to say about a token that does not fit: what was expected, and what the author probably meant. */
#include "rnet.tab.h"
#include "tokens.h"

#include <string.h>

struct mistake {
    struct parser *parser;
    const struct tokens *tokens;
    const char *const *expected;
    int count;
    int place, before, after, first; /* the token in error, its neighbours, the first of its statement */
};

static bool expects(const struct mistake *m, const char *name)
{
    for (int i = 0; i < m->count; i++)
        if (!strcmp(m->expected[i], name))
            return true;
    return false;
}

static int kind_of(const struct mistake *m, int place)
{
    return place < 0 ? 0 : m->tokens->all.at[place].kind;
}

static struct span span_of(const struct mistake *m, int place)
{
    struct range at = m->tokens->all.at[place].at;

    return (struct span){m->parser->source, at.begin, at.end};
}

static const char *text_of(const struct mistake *m, int place)
{
    struct span at = span_of(m, place);

    return arena_slice(m->parser->arena, at.source->text + at.begin, (size_t)(at.end - at.begin));
}

static int line_of(const struct mistake *m, int place)
{
    int line, column;

    source_position(m->parser->source, m->tokens->all.at[place].at.begin, &line, &column);
    return line;
}

/* ---- unexpected what, expected what ---- */

static const char *describe(const struct mistake *m)
{
    switch (kind_of(m, m->place)) {
    case 0:
        return "end of file";
    case TOKEN_NEWLINE:
        return "end of line";
    case TOKEN_NAME:
        return "name";
    case TOKEN_NUMBER:
        return "number";
    case TOKEN_STRING:
        return "string";
    }
    return arena_printf(m->parser->arena, "'%s'", text_of(m, m->place));
}

/* Where something may end, that going on is possible goes without saying: by an operator, by `(`, by one more of the
 * same. */
static bool worth_saying(const struct mistake *m, const char *name)
{
    bool end = expects(m, "end of line");
    bool closes = end || expects(m, "')'") || expects(m, "']'") || expects(m, "'}'");

    if (!strcmp(name, "','"))
        return !end;
    if (!strcmp(name, "';'"))
        return !expects(m, "','");
    if (!strcmp(name, "'('") || !strcmp(name, "'['"))
        return !closes && !expects(m, "'='") && !expects(m, "'+'");
    if (!strcmp(name, "name"))
        return !expects(m, "'='");
    if (!strcmp(name, "':'"))
        return !closes;
    if (!strcmp(name, "'{'"))
        return !expects(m, "'='");
    if (!strcmp(name, "end of file"))
        return !end;
    return true;
}

static const char *list_expected(const struct mistake *m)
{
    static const char *const tokens[] = {"end of line", "end of file", "name",   "number",   "string", "','",
                                         "';'",         "':'",         "'('",    "'['",      "')'",    "']'",
                                         "'{'",         "'}'",         "'='",    "'~'",      "'<-'",   "'->'",
                                         "'then'",      "'else'",      "'from'", "'repeat'", "'...'"};
    const char *said[sizeof tokens / sizeof *tokens], *list = "";
    int size = 0;

    if (expects(m, "number") && expects(m, "reduction")) {
        said[size++] = "an expression";
        if (expects(m, "')'"))
            said[size++] = "')'";
    } else if (expects(m, "'param'")) {
        said[size++] = "a statement";
        if (expects(m, "'}'"))
            said[size++] = "'}'";
    } else if (expects(m, "'let'")) {
        said[size++] = "an item (use, let, fn, layer, model, rule, data, train)";
    } else {
        for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
            if (expects(m, tokens[i]) && worth_saying(m, tokens[i]))
                said[size++] = tokens[i];
    }
    for (int i = 0; i < size; i++)
        list = arena_printf(m->parser->arena, "%s%s%s", list, !i ? "" : i + 1 < size ? ", " : " or ", said[i]);
    return list;
}

/* ---- what was probably meant ---- */

/* A word that cannot be a name; the grammar lists them side by side. `train` may be one, for a split. */
static bool is_reserved(int kind)
{
    return kind >= TOKEN_USE && kind <= TOKEN_REDUCE && kind != TOKEN_TRAIN;
}

static bool ends_operand(int kind)
{
    return kind == TOKEN_NAME || kind == TOKEN_NUMBER || kind == TOKEN_STRING || kind == ')' || kind == ']';
}

static bool begins_operand(int kind)
{
    return kind == TOKEN_NAME || kind == TOKEN_NUMBER || kind == TOKEN_STRING || kind == '(';
}

static bool is_comparison(int kind)
{
    return kind == '<' || kind == '>' || kind == TOKEN_LE || kind == TOKEN_GE || kind == TOKEN_EQ || kind == TOKEN_NE;
}

/* The innermost ( or [ of this statement that is open at the token in error, or -1. */
static int open_bracket(const struct mistake *m)
{
    for (int i = m->place - 1; i >= m->first; i--) {
        const struct token *t = &m->tokens->all.at[i];

        if ((t->kind == '(' || t->kind == '[') && (t->match < 0 || t->match >= m->place))
            return i;
    }
    return -1;
}

/* Does the statement begin with `if`, or the value being written? */
static bool after_if(const struct mistake *m)
{
    for (int i = m->place - 1; i >= m->first; i--)
        if (kind_of(m, i) == TOKEN_IF)
            return true;
    return false;
}

/* Is the { of the block that ends before the token in error headed by a name alone? Its place, or -1. */
static int named_block(const struct mistake *m)
{
    int open = kind_of(m, m->before) == '}' ? m->tokens->all.at[m->before].match : -1;
    int name = open < 0 ? -1 : token_before(m->tokens, open);

    return kind_of(m, name) == TOKEN_NAME && name == statement_begin(m->tokens, name) ? name : -1;
}

static void help_else(const struct mistake *m)
{
    struct diagnostics *d = m->parser->d;

    if (kind_of(m, m->before) == '}' || line_of(m, m->before) != line_of(m, m->place))
        diagnose_help(d, "if ... { ... } else { ... }");
    else if (ends_operand(kind_of(m, m->before)))
        diagnose_help(d, "a read that may leave its range stands in parentheses: (x[t - 1] else 0)");
}

/* Two operands side by side. */
static void help_neighbours(const struct mistake *m)
{
    struct diagnostics *d = m->parser->d;
    const char *text = text_of(m, m->place);

    if (kind_of(m, m->after) == '=' && expects(m, "end of line"))
        diagnose_note(d, (struct span){0}, "`%s` begins a new setting; put a comma or a new line before it", text);
    else if (expects(m, "','") && (kind_of(m, m->after) == '=' || !expects(m, "'*'")))
        diagnose_help(d, "put a comma before %s", text);
    else if (expects(m, "'*'") && kind_of(m, m->before) != TOKEN_STRING && kind_of(m, m->place) != TOKEN_STRING)
        diagnose_help(d, "a product is written with `*`%s", expects(m, "','") ? "; a list with commas" : "");
}

static void help_line_end(const struct mistake *m)
{
    int open = kind_of(m, m->before) == ']' ? m->tokens->all.at[m->before].match : -1;
    int reduce = open < 0 ? -1 : token_before(m->tokens, open);

    if (kind_of(m, reduce) == TOKEN_REDUCE)
        diagnose_help(m->parser->d, "what %s[...] takes begins on the same line; or put parentheses around it all",
                      text_of(m, reduce));
}

/* A line end that did not end the statement. */
static bool note_joined_lines(const struct mistake *m)
{
    for (int i = m->place; kind_of(m, m->place) && i > m->first; i--) {
        int before = token_before(m->tokens, i);

        if (line_of(m, i) != line_of(m, m->place))
            return false;
        if (before < m->first || line_of(m, before) == line_of(m, i) || m->tokens->all.at[i].depth)
            continue;
        switch (kind_of(m, before)) {
        case '(':
        case '[':
        case '{':
        case TOKEN_NEWLINE:
            continue; /* the bracket is the better thing to show */
        }
        if (needs_right(kind_of(m, before))) {
            diagnose_note(m->parser->d, span_of(m, before), "this wants a right side, so line %d goes on with it",
                          line_of(m, i));
            return true;
        }
    }
    return false;
}

static void note_open_bracket(const struct mistake *m)
{
    int open = open_bracket(m);

    if (open < 0 || !(expects(m, "')'") || expects(m, "']'")))
        return;
    if (m->tokens->all.at[open].match < 0 || line_of(m, open) != line_of(m, m->place))
        diagnose_note(m->parser->d, span_of(m, open), "'%s' is opened here", text_of(m, open));
}

static void explain(const struct mistake *m)
{
    struct diagnostics *d = m->parser->d;
    int kind = kind_of(m, m->place);

    if (note_joined_lines(m))
        return;
    note_open_bracket(m);
    if (kind == ')' || kind == ']' || kind == '}') {
        if (m->tokens->all.at[m->place].match < 0 && open_bracket(m) < 0)
            diagnose_help(d, "nothing is open here that '%s' could close", text_of(m, m->place));
    } else if (kind == TOKEN_UPDATE && ends_operand(kind_of(m, m->before)) && m->before != m->first) {
        diagnose_help(d, "`<-` assigns; to compare with a negative number write x < -1");
    } else if (kind == '=' && (expects(m, "'then'") || (expects(m, "'{'") && after_if(m)))) {
        diagnose_help(d, "`==` compares");
    } else if (kind == TOKEN_ELSE) {
        help_else(m);
    } else if (kind == TOKEN_NEWLINE) {
        help_line_end(m);
    } else if (kind == '*' && kind_of(m, m->before) == '*') {
        diagnose_help(d, "a power is written x^2");
    } else if (is_comparison(kind) && expects(m, "'and'")) {
        diagnose_help(d, "comparisons make no chain: 0 < x and x < 1");
    } else if (kind == ';' && expects(m, "end of line")) {
        diagnose_help(d, "a new line ends a statement");
    } else if (kind == TOKEN_PIPE && expects(m, "'{'")) {
        diagnose_help(d, "repeat n { |> ... }");
    } else if (is_reserved(kind) && expects(m, "name")) {
        diagnose_note(d, (struct span){0}, "`%s` is a reserved word", text_of(m, m->place));
    } else if (expects(m, "'<-'")) {
        diagnose_help(d, "a statement gives a name to a value: %s = ...", text_of(m, m->first));
    } else if (expects(m, "'->'")) {
        diagnose_help(d, kind_of(m, m->first) == TOKEN_FN ? "fn f(x) = ... or fn f(x) -> y { y = ... }"
                                                          : "the result stands after the inputs: -> y[...] { ... }");
    } else if (ends_operand(kind_of(m, m->before)) && begins_operand(kind)) {
        help_neighbours(m);
    }
}

void report_syntax_error(struct parser *parser, int place, const char *const *expected, int count)
{
    struct mistake m = {
        .parser = parser, .tokens = parser->tokens, .expected = expected, .count = count, .place = place};
    struct span at = span_of(&m, place);
    const char *wanted = list_expected(&m);
    int block;

    m.before = token_before(m.tokens, place);
    m.after = token_after(m.tokens, place);
    m.first = statement_begin(m.tokens, place);
    if (kind_of(&m, place) == TOKEN_STRAY)
        return; /* the scanner has said so */
    if (kind_of(&m, place) == TOKEN_ELSE && (block = named_block(&m)) >= 0) {
        diagnose(parser->d, "E0102", span_of(&m, block), "`%s` is not a block", text_of(&m, block));
        diagnose_help(parser->d, "if %s { ... } else { ... }", text_of(&m, block));
        return;
    }
    if (!kind_of(&m, place) && m.before >= 0)
        at.begin = at.end = m.tokens->all.at[m.before].at.end;
    diagnose(parser->d, "E0101", at, "unexpected %s%s%s", describe(&m), *wanted ? ", expected " : "", wanted);
    explain(&m);
}

void check_named_block(struct parser *parser, const struct node *name)
{
    if (strcmp(name->name, "training"))
        return;
    diagnose(parser->d, "E0102", name->span, "`training` is not a block");
    diagnose_help(parser->d, "if training { ... } else { ... }");
}
