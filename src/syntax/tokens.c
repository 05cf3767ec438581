/* tokens.c: brackets and line ends. A line end separates statements unless it cannot: inside ( ) or [ ], after a token
   that needs a right neighbour, or before one that needs a left neighbour. That is the whole rule. Brackets that
   nothing closes do not count, so that one missing ) spoils one statement and not the rest of the file. */
#include "tokens.h"

#include "rnet.tab.h"

/* What a token wants beside it. What is not listed wants nothing. */
enum { RIGHT = 1, LEFT = 2, BOTH = RIGHT | LEFT };
static const struct {
    int kind, wants;
} neighbours[] = {
    {0, BOTH},
    {TOKEN_NEWLINE, BOTH},
    {'(', RIGHT},
    {'[', RIGHT},
    {'{', BOTH},
    {')', LEFT},
    {']', LEFT},
    {'}', LEFT},
    {',', BOTH},
    {';', BOTH},
    {':', RIGHT},
    {'=', BOTH},
    {'~', BOTH},
    {TOKEN_UPDATE, BOTH},
    {'+', BOTH},
    {'-', BOTH},
    {'*', BOTH},
    {'/', BOTH},
    {TOKEN_FLOORDIV, BOTH},
    {'%', BOTH},
    {'^', BOTH},
    {TOKEN_EQ, BOTH},
    {TOKEN_NE, BOTH},
    {TOKEN_LE, BOTH},
    {TOKEN_GE, BOTH},
    {'<', BOTH},
    {'>', BOTH},
    {TOKEN_PIPE, BOTH},
    {TOKEN_ARROW, BOTH},
    {TOKEN_THEN, BOTH},
    {TOKEN_ELSE, BOTH},
    {TOKEN_AND, BOTH},
    {TOKEN_OR, BOTH},
    {TOKEN_NOT, RIGHT},
    {TOKEN_ALL, RIGHT},
    {TOKEN_IN, BOTH},
    {TOKEN_ON, BOTH},
    {TOKEN_PER, BOTH},
    {TOKEN_FROM, BOTH},
};

static bool wants(int kind, int side)
{
    for (size_t i = 0; i < sizeof neighbours / sizeof *neighbours; i++)
        if (neighbours[i].kind == kind)
            return neighbours[i].wants & side;
    return false;
}

bool needs_right(int kind)
{
    return wants(kind, RIGHT);
}

bool needs_left(int kind)
{
    return wants(kind, LEFT);
}

bool begins_item(int kind)
{
    return kind >= TOKEN_USE && kind <= TOKEN_EXPERIMENT; /* the grammar lists them side by side */
}

/* ---- brackets ---- */

/* Tokens copied from the scanner's into result, with match filled in. */
struct matching {
    struct arena *arena;
    struct diagnostics *d;
    struct tokens result;
    LIST(int) open; /* places in result */
    bool margins;   /* an item at the left margin ends all that is open, and missing braces are put in */
    bool balanced;
};

/* Is the { that follows a `repeat` and its count next? Looks back over an expression. */
static bool after_repeat(const struct tokens *tokens)
{
    int nesting = 0;

    for (int i = tokens->all.count - 1; i >= 0; i--) {
        switch (tokens->all.at[i].kind) {
        case ')':
        case ']':
            nesting++;
            break;
        case '(':
        case '[':
            if (!nesting--)
                return false;
            break;
        case TOKEN_REPEAT:
            return !nesting;
        case TOKEN_PIPE:
        case '{':
        case '}':
        case '=':
        case '~':
        case TOKEN_UPDATE:
            return false;
        }
    }
    return false;
}

/* Which of the open brackets this closer closes, or -1. A ) or ] never closes across the brace of a block. */
static int find_opener(const struct matching *m, int closer)
{
    int opener = closer == ')' ? '(' : closer == ']' ? '[' : '{';

    for (int i = m->open.count - 1; i >= 0; i--) {
        const struct token *t = &m->result.all.at[m->open.at[i]];

        if (t->kind == opener)
            return i;
        if (t->kind == '{' && !t->of_repeat)
            return -1;
    }
    return -1;
}

/* Says of each open brace that it is never closed, and closes it in front of t, an item or the end of the file. */
static void close_braces(struct matching *m, struct token t)
{
    const struct source *source = m->result.source;

    while (m->open.count) {
        struct token *opener = &m->result.all.at[m->open.at[--m->open.count]];

        if (opener->kind != '{')
            continue;
        opener->match = m->result.all.count;
        if (m->d) {
            diagnose(m->d, "E0101", (struct span){source, opener->at.begin, opener->at.end},
                     "this '{' is never closed");
            if (t.kind)
                diagnose_note(m->d, (struct span){source, t.at.begin, t.at.end}, "'%.*s' begins a new item here",
                              t.at.end - t.at.begin, source->text + t.at.begin);
        }
        list_add(m->arena, m->result.all,
                 (struct token){.kind = '}', .at = {t.at.begin, t.at.begin}, .match = m->open.at[m->open.count]});
    }
    if (t.kind)
        list_add(m->arena, m->result.all,
                 (struct token){.kind = TOKEN_NEWLINE, .at = {t.at.begin, t.at.begin}, .match = -1});
}

static bool at_left_margin(const struct tokens *tokens, struct token t)
{
    return t.at.begin == 0 || tokens->source->text[t.at.begin - 1] == '\n';
}

static void match_token(struct matching *m, struct token t)
{
    int place;

    if (m->open.count && (!t.kind || (m->margins && begins_item(t.kind) && at_left_margin(&m->result, t)))) {
        m->balanced = false;
        if (m->margins)
            close_braces(m, t);
    }
    if (t.kind == '(' || t.kind == '[' || t.kind == '{') {
        t.of_repeat = t.kind == '{' && after_repeat(&m->result);
        list_add(m->arena, m->open, m->result.all.count);
    } else if (t.kind == ')' || t.kind == ']' || t.kind == '}') {
        place = find_opener(m, t.kind);
        m->balanced &= place >= 0 && place == m->open.count - 1;
        if (place >= 0) {
            t.match = m->open.at[place];
            m->result.all.at[t.match].match = m->result.all.count;
            m->open.count = place;
        }
    }
    list_add(m->arena, m->result.all, t);
}

/* Brackets as they stand; if they do not balance, once more by the margins. */
static void match_brackets(struct tokens *tokens, struct arena *arena, struct diagnostics *d)
{
    struct matching m = {.balanced = false};

    for (int attempt = 0; attempt < 2 && !m.balanced; attempt++) {
        m = (struct matching){
            .arena = arena, .d = d, .result.source = tokens->source, .margins = attempt == 1, .balanced = true};
        for (int i = 0; i < tokens->all.count; i++)
            match_token(&m, tokens->all.at[i]);
    }
    *tokens = m.result;
}

/* ---- what surrounds a token, and line ends ---- */

static void mark_depths(struct tokens *tokens)
{
    int depth = 0;

    for (int i = 0; i < tokens->all.count; i++) {
        struct token *t = &tokens->all.at[i];

        if (t->match >= 0 && (t->kind == ')' || t->kind == ']'))
            depth--;
        t->depth = depth;
        if (t->match >= 0 && (t->kind == '(' || t->kind == '['))
            depth++;
    }
}

static void mark_blocks(struct tokens *tokens, struct arena *arena)
{
    LIST(int) blocks = {0};

    for (int i = 0; i < tokens->all.count; i++) {
        struct token *t = &tokens->all.at[i];

        t->block = blocks.count ? blocks.at[blocks.count - 1] : -1;
        if (t->kind == '{' && t->match >= 0 && !t->of_repeat)
            list_add(arena, blocks, i);
        if (t->kind == '}' && t->match >= 0) {
            t->of_repeat = tokens->all.at[t->match].of_repeat;
            if (!t->of_repeat)
                blocks.count--;
        }
    }
}

/* A string behind `expect` or `claim`: what it is the title of may begin on the next line. */
static bool is_title(int before, int kind)
{
    return kind == TOKEN_STRING && (before == TOKEN_EXPECT || before == TOKEN_CLAIM);
}

static void mark_line_ends(struct tokens *tokens)
{
    int last = 0, earlier = 0; /* kinds before, comments apart */

    for (int i = 0; i < tokens->all.count; i++) {
        struct token *t = &tokens->all.at[i];
        int next = i + 1;

        if (t->kind == TOKEN_COMMENT)
            continue;
        if (t->kind == TOKEN_NEWLINE && !t->depth && !needs_right(last) && !is_title(earlier, last)) {
            while (tokens->all.at[next].kind == TOKEN_NEWLINE || tokens->all.at[next].kind == TOKEN_COMMENT)
                next++;
            t->ends = !needs_left(tokens->all.at[next].kind);
        }
        earlier = last == TOKEN_NEWLINE ? earlier : last;
        last = t->kind;
    }
}

struct tokens *tokenize(struct arena *arena, const struct source *source, struct diagnostics *d)
{
    struct tokens *tokens = NEW(arena, struct tokens);

    scan(tokens, arena, source, d);
    match_brackets(tokens, arena, d);
    mark_depths(tokens);
    mark_line_ends(tokens);
    mark_blocks(tokens, arena);
    return tokens;
}

/* ---- neighbours ---- */

static bool visible(const struct token *t)
{
    return t->kind != TOKEN_COMMENT && (t->kind != TOKEN_NEWLINE || t->ends);
}

int token_before(const struct tokens *tokens, int place)
{
    while (--place >= 0)
        if (visible(&tokens->all.at[place]))
            return place;
    return -1;
}

int token_after(const struct tokens *tokens, int place)
{
    while (++place < tokens->all.count)
        if (visible(&tokens->all.at[place]))
            return place;
    return -1;
}
