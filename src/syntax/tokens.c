/* tokens.c: brackets and line ends. A line end separates statements unless it cannot: inside ( ) or [ ], after a token that
   needs a right neighbour, or before one that needs a left neighbour. That is the whole rule.
   Brackets that nothing closes do not count, so that one missing ) spoils one statement and not the rest of the file. */
#include "tokens.h"

#include "rnet.tab.h"

bool needs_right(int kind)
{
    switch (kind) {
    case 0: case TOKEN_NEWLINE: case '{': case '(': case '[': case ',': case ';': case ':': case '=': case '~': case TOKEN_UPDATE:
    case '+': case '-': case '*': case '/': case TOKEN_FLOORDIV: case '%': case '^': case TOKEN_EQ: case TOKEN_NE:
    case TOKEN_LE: case TOKEN_GE: case '<': case '>': case TOKEN_PIPE: case TOKEN_ARROW: case TOKEN_THEN: case TOKEN_ELSE:
    case TOKEN_AND: case TOKEN_OR: case TOKEN_NOT: case TOKEN_IN: case TOKEN_ON: case TOKEN_PER: case TOKEN_FROM: case TOKEN_ALL:
        return true;
    }
    return false;
}

bool needs_left(int kind)
{
    switch (kind) {
    case 0: case TOKEN_NEWLINE: case '{': case '}': case ')': case ']': case ',': case ';': case '=': case '~': case TOKEN_UPDATE:
    case '+': case '-': case '*': case '/': case TOKEN_FLOORDIV: case '%': case '^': case TOKEN_EQ: case TOKEN_NE:
    case TOKEN_LE: case TOKEN_GE: case '<': case '>': case TOKEN_PIPE: case TOKEN_ARROW: case TOKEN_THEN: case TOKEN_ELSE:
    case TOKEN_AND: case TOKEN_OR: case TOKEN_IN: case TOKEN_ON: case TOKEN_PER: case TOKEN_FROM:
        return true;
    }
    return false;
}

bool begins_item(int kind)
{
    switch (kind) {
    case TOKEN_USE: case TOKEN_LET: case TOKEN_FN: case TOKEN_LAYER: case TOKEN_MODEL: case TOKEN_RULE: case TOKEN_DATA: case TOKEN_TRAIN:
        return true;
    }
    return false;
}

/* ---- brackets ---- */

struct open_brackets {
    struct arena *arena;
    LIST(int) places;
};

static int opener_of(int closer)
{
    return closer == ')' ? '(' : closer == ']' ? '[' : '{';
}

/* Is the { that follows a `repeat` and its count next? Looks back over an expression. */
static bool after_repeat(const struct tokens *tokens)
{
    int nesting = 0;

    for (int i = tokens->all.count - 1; i >= 0; i--) {
        switch (tokens->all.at[i].kind) {
        case ')': case ']':
            nesting++;
            break;
        case '(': case '[':
            if (!nesting--)
                return false;
            break;
        case TOKEN_REPEAT:
            return !nesting;
        case TOKEN_PIPE: case '{': case '}': case '=': case '~': case TOKEN_UPDATE:
            return false;
        }
    }
    return false;
}

/* The innermost open bracket that this closer may close, or -1. A ) or ] never closes across the brace of a block. */
static int find_opener(const struct tokens *tokens, const struct open_brackets *open, int closer)
{
    for (int i = open->places.count - 1; i >= 0; i--) {
        int kind = tokens->all.at[open->places.at[i]].kind;

        if (kind == opener_of(closer))
            return i;
        if (kind == '{' && !tokens->all.at[open->places.at[i]].of_repeat)
            return -1;
    }
    return -1;
}

static bool at_line_start(const struct tokens *tokens, int place)
{
    int begin = tokens->all.at[place].at.begin;

    return begin == 0 || tokens->source->text[begin - 1] == '\n';
}

/* The file ends, or an item begins at the left margin, while braces are open: says so and closes them before the line end. */
static void close_braces(struct tokens *tokens, struct open_brackets *open, int place, struct diagnostics *d)
{
    const struct source *source = tokens->source;
    struct token here = tokens->all.at[place];

    for (int i = 0; i < open->places.count; i++) {
        struct range at = tokens->all.at[open->places.at[i]].at;

        if (tokens->all.at[open->places.at[i]].kind != '{' || !d)
            continue;
        diagnose(d, "E0101", (struct span){source, at.begin, at.end}, "this '{' is never closed");
        if (here.kind)
            diagnose_note(d, (struct span){source, here.at.begin, here.at.end}, "'%.*s' begins a new item here",
                          here.at.end - here.at.begin, source->text + here.at.begin);
    }
}

/* Fills match. pass 0 takes brackets as they are; if they do not balance, pass 1 also ends everything open where an item
   begins at the left margin, and puts in the missing braces. Returns whether all is balanced. */
static bool match_brackets(struct tokens *tokens, struct arena *arena, bool margins, struct diagnostics *d)
{
    struct open_brackets open = {.arena = arena};
    struct tokens result = {.source = tokens->source};
    bool balanced = true;

    for (int i = 0; i < tokens->all.count; i++) {
        struct token t = tokens->all.at[i];
        int place = -1;

        t.match = -1;
        if (open.places.count && (t.kind == 0 || (margins && begins_item(t.kind) && at_line_start(tokens, i)))) {
            balanced = false;
            list_add(arena, result.all, t);
            if (margins)
                close_braces(&result, &open, result.all.count - 1, d);
            result.all.count--;
            /* before the line end that stands before the item */
            for (int k = open.places.count - 1; margins && k >= 0; k--) {
                int opener = open.places.at[k];
                struct token brace = {.kind = '}', .at = {t.at.begin, t.at.begin}, .match = opener, .block = -1};

                if (result.all.at[opener].kind != '{')
                    continue;
                result.all.at[opener].match = result.all.count;
                list_add(arena, result.all, brace);
            }
            if (margins && t.kind)
                list_add(arena, result.all, (struct token){.kind = TOKEN_NEWLINE, .at = {t.at.begin, t.at.begin}, .match = -1});
            open.places.count = 0;
        }
        if (t.kind == '(' || t.kind == '[' || t.kind == '{') {
            t.of_repeat = t.kind == '{' && after_repeat(&result);
            list_add(arena, open.places, result.all.count);
        } else if (t.kind == ')' || t.kind == ']' || t.kind == '}') {
            place = find_opener(&result, &open, t.kind);
            balanced &= place >= 0 && place == open.places.count - 1;
            if (place >= 0) {
                t.match = open.places.at[place];
                result.all.at[t.match].match = result.all.count;
                open.places.count = place;
            }
        }
        list_add(arena, result.all, t);
    }
    if (balanced || margins)
        *tokens = result;
    return balanced;
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

static void mark_line_ends(struct tokens *tokens)
{
    int last = 0; /* kind before, comments apart */

    for (int i = 0; i < tokens->all.count; i++) {
        struct token *t = &tokens->all.at[i];
        int next = i + 1;

        if (t->kind == TOKEN_COMMENT)
            continue;
        if (t->kind == TOKEN_NEWLINE && !t->depth && !needs_right(last)) {
            while (tokens->all.at[next].kind == TOKEN_NEWLINE || tokens->all.at[next].kind == TOKEN_COMMENT)
                next++;
            t->ends = !needs_left(tokens->all.at[next].kind);
        }
        last = t->kind;
    }
}

struct tokens *tokenize(struct arena *arena, const struct source *source, struct diagnostics *d)
{
    struct tokens *tokens = NEW(arena, struct tokens);

    scan(tokens, arena, source, d);
    if (!match_brackets(tokens, arena, false, d))
        match_brackets(tokens, arena, true, d);
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
