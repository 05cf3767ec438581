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
    if (!strcmp(name, "'='"))
        return !expects(m, "']'") && !(expects(m, "')'") && expects(m, "'+'"));
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
        said[size++] = "an item (use, let, fn, layer, model, rule, data, train, experiment)";
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

/* Does the token in error stand where a repeat is not complete? */
static bool after_repeat(const struct mistake *m)
{
    for (int i = m->place - 1; i >= m->first && kind_of(m, i) != '{' && kind_of(m, i) != TOKEN_PIPE; i--)
        if (kind_of(m, i) == TOKEN_REPEAT)
            return true;
    return false;
}

/* Is this what must hold? */
static bool after_expect(const struct mistake *m)
{
    for (int i = m->before - 1; i >= m->first; i--)
        if (kind_of(m, i) == TOKEN_EXPECT || kind_of(m, i) == TOKEN_CLAIM)
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

/* Words that begin a statement or an item in other languages, and what stands for them here. They are names. */
static const char *foreign_word(const char *word, bool item)
{
    static const struct {
        const char *word, *in_body, *in_file;
    } table[] = {
        {"return", "nothing is returned: a body defines the outputs that its header names, as in y = ...", NULL},
        {"def", NULL, "fn f(x) = ... for a formula, layer f(x[...]) -> y[...] { ... } for what has axes or parameters"},
        {"function", NULL, "fn f(x) = ... for a formula, layer f(x[...]) -> y[...] { ... } for what has axes or parameters"},
        {"class", NULL, "layer NAME(inputs; settings) -> outputs { ... }"},
        {"import", NULL, "use std, or use \"file.rnet\""},
        {"include", NULL, "use std, or use \"file.rnet\""},
        {"const", "a name is given by NAME = ...", "let NAME = ..."},
        {"var", "a name is given by NAME = ...", "let NAME = ..."},
        {"for", "an equation holds for all its indices: y[i] = ...; step after step runs over t from h[u] = 0 { ... }", NULL},
        {"while", "there is no loop of unknown length; over k: 100 from h[u] = 0 { ... } runs 100 steps", NULL},
        {"print", "what should be seen stands in `report` of a train block, or is a model's output", NULL},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].word, word))
            return item && table[i].in_file ? table[i].in_file : table[i].in_body ? table[i].in_body : table[i].in_file;
    return NULL;
}

/* Subscripts and calls belong to names. */
static void help_brackets(const struct mistake *m)
{
    struct diagnostics *d = m->parser->d;
    int open = m->tokens->all.at[m->before].match, head = open < 0 ? -1 : token_before(m->tokens, open);

    if (kind_of(m, m->place) == '(')
        diagnose_help(d, "a layer with its settings is applied by x |> f(...), or with the input first: f(x, ...)");
    else if (kind_of(m, m->before) == ']' && kind_of(m, head) == TOKEN_NAME)
        diagnose_help(d, "all subscripts stand in one pair of brackets: %s[i, j]", text_of(m, head));
    else
        diagnose_help(d, "only what has a name is read by subscripts: z = ..., then z[%s]",
                      kind_of(m, m->after) == TOKEN_NUMBER || kind_of(m, m->after) == TOKEN_NAME
                          ? text_of(m, m->after)
                          : "i");
}

/* Does a line that should be a comment end before the token in error, or hold it? */
static bool is_comment(const struct mistake *m)
{
    for (int i = m->place; i >= m->first && i >= 0; i--) {
        if (kind_of(m, i) == TOKEN_NEWLINE && i < m->before)
            return false;
        if (kind_of(m, i) == TOKEN_FLOORDIV)
            return kind_of(m, i + 1) != TOKEN_NUMBER && kind_of(m, i + 1) != '(';
    }
    return false;
}

/* Signs of other languages; false if this is none. */
static bool help_signs(const struct mistake *m)
{
    struct diagnostics *d = m->parser->d;
    int kind = kind_of(m, m->place);

    if (is_comment(m))
        diagnose_help(d, "a comment begins with #; // divides whole numbers");
    else if (kind == ':' && kind_of(m, m->after) == '=')
        diagnose_help(d, "`=` defines a name; `<-` assigns a state");
    else if (kind == ':' && expects(m, "')'") && begins_item(kind_of(m, m->first)))
        diagnose_help(d, "an input's axes stand in brackets, x[i: 3]; settings after a semicolon, (x[i: 3]; units: int)");
    else if (kind == ':' && expects(m, "']'"))
        diagnose_help(d, "a part of an axis is read by an index of its own: y[k: 2] = x[k + 1]");
    else if ((kind == '+' || kind == '-' || kind == '*' || kind == '/') && kind_of(m, m->after) == '=' &&
             expects(m, "'<-'"))
        diagnose_help(d, "a state is assigned: %s <- %s %s ...; any other name is defined once", text_of(m, m->first),
                      text_of(m, m->first), text_of(m, m->place));
    else if (kind == TOKEN_EQ && expects(m, "'='") && !expects(m, "'+'"))
        diagnose_help(d, "`=` defines, `==` compares");
    else if (kind == TOKEN_ARROW && expects(m, "'+'"))
        diagnose_help(d, "a layer is applied by |>");
    else if (kind == TOKEN_THEN && expects(m, "'{'"))
        diagnose_help(d, "y = if c then a else b, or as a statement if c { ... } else { ... }");
    else if (kind == '[' && expects(m, "number") && expects(m, "reduction"))
        diagnose_help(d, "there are no lists; an equation says each number: y[k: 2] = if k == 0 then 1 else 2");
    else if (kind_of(m, m->first) == TOKEN_TRAIN && expects(m, "'{'") && kind == TOKEN_NAME)
        diagnose_help(d, "train MODEL on DATA { ... }");
    else if (kind_of(m, m->first) == TOKEN_DATA && kind == '=')
        diagnose_help(d, "data %s { train { x = ..., label = ... } }", text_of(m, m->before));
    else if (kind_of(m, m->before) == TOKEN_REDUCE && expects(m, "'['"))
        diagnose_help(d, "%s is a reduction, %s[i] x[i], and no name for a value", text_of(m, m->before),
                      text_of(m, m->before));
    else if (kind_of(m, m->before) == TOKEN_PIPE && expects(m, "'repeat'"))
        diagnose_help(d, "what follows |> is a layer or a function, by its name");
    else if (expects(m, "'{'") && !expects(m, "'='") && after_repeat(m))
        diagnose_help(d, "repeat n { |> ... }");
    else if (kind != TOKEN_ELSE && expects(m, "'else'") && after_if(m) && !expects(m, "')'"))
        diagnose_help(d, "if c then a else b: there is always a value");
    else if (kind == TOKEN_LET && expects(m, "'param'"))
        diagnose_help(d, "inside a block a name is given by %s = ...",
                      kind_of(m, m->after) == TOKEN_NAME ? text_of(m, m->after) : "y");
    else
        return false;
    return true;
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
    if ((kind == ')' || kind == ']' || kind == '}') && m->tokens->all.at[m->place].match < 0 && open_bracket(m) < 0) {
        diagnose_help(d, "nothing is open here that '%s' could close", text_of(m, m->place));
    } else if (help_signs(m)) {
        return;
    } else if ((kind == '[' || kind == '(') && (kind_of(m, m->before) == ')' || kind_of(m, m->before) == ']') &&
               (expects(m, "'+'") || expects(m, "'|>'"))) {
        help_brackets(m);
    } else if (kind == TOKEN_UPDATE && ends_operand(kind_of(m, m->before)) && m->before != m->first) {
        diagnose_help(d, "`<-` assigns; to compare with a negative number write x < -1");
    } else if (kind == '=' && (expects(m, "'then'") || (expects(m, "'{'") && after_if(m)) || after_expect(m))) {
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
    } else if (expects(m, "'<-'") && m->first != m->place) {
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
    if (m.first >= 0 && kind_of(&m, m.first) == TOKEN_NAME) {
        const char *help = foreign_word(text_of(&m, m.first), expects(&m, "'let'"));
        int second = token_after(m.tokens, m.first);

        if (help && (m.first == place || (m.first == m.before && kind_of(&m, place) != '=') || second == m.before)) {
            diagnose(parser->d, "E0101", span_of(&m, m.first), "`%s` begins no %s", text_of(&m, m.first),
                     expects(&m, "'let'") ? "item" : "statement");
            diagnose_help(parser->d, "%s", help);
            return;
        }
    }
    if (kind_of(&m, place) == '}' && expects(&m, "'<-'") && m.first < place && line_of(&m, m.before) != line_of(&m, place)) {
        at = span_of(&m, m.first);
        at.end = span_of(&m, m.before).end;
        diagnose(parser->d, "E0101", at, "this is no statement; expected %s after it", wanted);
        diagnose_help(parser->d, "a statement gives a name to a value: y = ...");
        return;
    }
    block = open_bracket(&m);
    if (kind_of(&m, place) == '}' && block >= 0 && m.tokens->all.at[block].match < 0 &&
        line_of(&m, block) != line_of(&m, place)) {
        diagnose(parser->d, "E0101", span_of(&m, block), "this '%s' is never closed", text_of(&m, block));
        diagnose_note(parser->d, span_of(&m, place), "'%s' is missing somewhere before this",
                      kind_of(&m, block) == '(' ? ")" : "]");
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
