/* parse.c: the text that print.c writes, back to a program. The grammar, one statement a line, `#` begins a comment:

       program    = "program" name ("f32" | "f64")
       statement  = ("input" | "parameter" | "state") name axes ["in" bound ".." bound] | "scalar" name
                  | "draw" name ("uniform16" | "uniform32" | "normal") axes
                           "per" ("sample" | "step" | "run" | "item") ["mapped" whole]
                  | ["single"] name axes "=" [reduction "[" indices "]"] [lets] expression
                  | "update" name "<-" name
                  | "output" name ["=" name] ["guard"]
                  | "kernel" name ("nest" | "product") "[" names "]" "{" { stage } "}" ["stopped" string]
                  | "place" name region whole storage
                  | "bytes" "arena" whole "parameters" whole "state" whole "inputs" whole
       reduction  = "sum" | "prod" | "max" | "min" | "argmax" | "argmin"
       lets       = "let" name "=" expression { "," name "=" expression } "in"
       stage      = "stage" "[" names "]" "{" { name } "}"
       axes       = [ "[" indices "]" ]
       indices    = index { "," index }                        index = name ["*"] ":" extent
       expression = "if" expression "then" expression "else" expression
                  | operands and operators of ops.def
       operand    = number | index's name | name [ "[" subscripts "]" ] | function "(" expressions ")"
                  | "(" expression ")" | "(" name "[" subscripts "]" "else" expression ")"

   The same name, extent and flag of an index are one object throughout. An equation sees the indices that it declares
   itself. The first error leaves the parser at once; everything lives in the program's arena. */
#include "parse.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_NOT = 3, LEVEL_COMPARISON = 4, LEVEL_POWER = 8 };

/* An index by its bare name, for kernels; NULL: several of that name. */
struct named {
    struct ir_index *index;
};
typedef const struct ir_expr *expr;

static bool is(const struct token *token, const char *text)
{
    return (token->kind == MARK || token->kind == NAME) && !strcmp(token->text, text);
}

static _Noreturn void expected(struct parser *p, const char *what)
{
    if (p->at->kind == NEWLINE || p->at->kind == END)
        parse_fail(p, p->at->line, "expected %s, found the end of the line", what);
    parse_fail(p, p->at->line, "expected %s, found `%s`", what, p->at->text);
}

static bool accept(struct parser *p, const char *text)
{
    if (!is(p->at, text))
        return false;
    p->at++;
    return true;
}

static void expect(struct parser *p, const char *text)
{
    if (!accept(p, text))
        expected(p, arena_printf(p->arena, "`%s`", text));
}

static bool is_name(const struct token *token)
{
    return token->kind == NAME || token->kind == QUOTED;
}

static const char *name(struct parser *p, const char *what)
{
    if (!is_name(p->at))
        expected(p, what);
    return (p->at++)->text;
}

/* One of the words, by number. */
static int choice(struct parser *p, const char *const *words, int count, const char *what)
{
    for (int i = 0; i < count; i++)
        if (accept(p, words[i]))
            return i;
    expected(p, what);
}

static int64_t whole(struct parser *p, const char *what)
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

/* ---- indices ---- */

static struct ir_index *declared_index(struct parser *p)
{
    const char *index_name = name(p, "an index");
    bool batch = accept(p, "*");
    struct ir_index *index;
    struct named *named;
    const char *key;
    int64_t extent;

    expect(p, ":");
    extent = whole(p, "an extent");
    if (extent < 1)
        parse_fail(p, p->at->line, "the index `%s` has extent %" PRId64 ", expected at least 1", index_name, extent);
    key = arena_printf(p->arena, "%s%s: %" PRId64, index_name, batch ? "*" : "", extent);
    index = map_get(p->indices, key);
    if (index)
        return index;
    index = ir_index(p->program, index_name, extent, batch);
    map_put(p->indices, key, index);
    named = map_get(p->by_name, index_name);
    if (named) {
        named->index = NULL;
    } else {
        named = NEW(p->arena, struct named);
        named->index = index;
        map_put(p->by_name, index_name, named);
    }
    return index;
}

/* After the opening bracket; adds to the list, in which each name may stand once. */
static void declared_indices(struct parser *p, ir_index_list *list)
{
    do {
        struct ir_index *index = declared_index(p);

        for (int i = 0; i < list->count; i++)
            if (!strcmp(list->at[i]->name, index->name))
                parse_fail(p, p->at->line, "the index `%s` stands here twice", index->name);
        list_add(p->arena, *list, index);
    } while (accept(p, ","));
    expect(p, "]");
}

static ir_index_list axes(struct parser *p)
{
    ir_index_list list = {0};

    if (accept(p, "["))
        declared_indices(p, &list);
    return list;
}

static void index_names(struct parser *p, ir_index_list *list)
{
    expect(p, "[");
    while (!accept(p, "]")) {
        const char *text;
        const struct named *named;

        if (list->count)
            expect(p, ",");
        text = name(p, "an index");
        named = map_get(p->by_name, text);
        if (!named)
            parse_fail(p, p->at->line, "no equation declares an index `%s`", text);
        if (!named->index)
            parse_fail(p, p->at->line, "several indices are named `%s`; give them distinct names to list them here",
                       text);
        list_add(p->arena, *list, named->index);
    }
}

/* ---- expressions ---- */

static expr expression(struct parser *p);
static expr binary(struct parser *p, int least);

static struct ir_tensor *tensor(struct parser *p)
{
    int line = p->at->line;
    const char *text = name(p, "a tensor");
    struct ir_tensor *found = ir_find(p->program, text);

    if (!found)
        parse_fail(p, line, "no tensor `%s` stands before this line", text);
    return found;
}

static expr apply(struct parser *p, enum ir_op op, expr a, expr b, expr c)
{
    if ((op == IR_quotient || op == IR_remainder) && (!a->whole || !b->whole))
        parse_fail(p, p->at->line, "`%s` takes whole numbers", ir_operators[op].symbol);
    return ir_apply(p->program, op, a, b, c);
}

/* Is this "(" that of a guarded read, `(x[...] else v)`? */
static bool guarded(const struct token *at)
{
    int depth = 0;

    if (!is(at, "(") || !is_name(at + 1) || !is(at + 2, "["))
        return false;
    for (at += 2; at->kind != NEWLINE; at++) {
        depth += is(at, "[") - is(at, "]");
        if (!depth)
            return is(at + 1, "else");
    }
    return false;
}

static expr read(struct parser *p, bool with_otherwise)
{
    int line = p->at->line;
    struct ir_tensor *t = tensor(p);
    const struct ir_form **subscripts = NEW_ARRAY(p->arena, const struct ir_form *, t->rank + 1);
    expr otherwise = NULL;
    int count = 0;

    expect(p, "[");
    do {
        expr subscript = expression(p);

        if (!subscript->whole)
            parse_fail(p, line, "subscript %d of `%s` is not a whole number", count + 1, t->name);
        if (count < t->rank)
            subscripts[count] = ir_form_of(p->program, subscript);
        count++;
    } while (accept(p, ","));
    expect(p, "]");
    if (count != t->rank)
        parse_fail(p, line, "`%s` has %d ax%s, found %d subscript%s", t->name, t->rank, t->rank == 1 ? "is" : "es",
                   count, count == 1 ? "" : "s");
    if (with_otherwise) {
        expect(p, "else");
        otherwise = expression(p);
    }
    for (int i = 0; i < count && !otherwise; i++)
        if (subscripts[i]->low < 0 || subscripts[i]->high >= t->axes[i]->extent)
            parse_fail(p, line,
                       "subscript %d of `%s` reaches from %" PRId64 " to %" PRId64 ", the axis from 0 to %" PRId64
                       "; write (%s[...] else value)",
                       i + 1, t->name, subscripts[i]->low, subscripts[i]->high, t->axes[i]->extent - 1, t->name);
    return ir_read(p->program, t, subscripts, count, otherwise);
}

static expr call(struct parser *p, int op)
{
    expr arguments[3] = {0};
    int line = p->at->line, count = 0;

    p->at++;
    expect(p, "(");
    do {
        expr argument = expression(p);

        if (count < 3)
            arguments[count] = argument;
        count++;
    } while (accept(p, ","));
    expect(p, ")");
    if (count != ir_operators[op].arity)
        parse_fail(p, line, "`%s` takes %d argument%s, found %d", ir_operators[op].symbol, ir_operators[op].arity,
                   ir_operators[op].arity == 1 ? "" : "s", count);
    return apply(p, (enum ir_op)op, arguments[0], arguments[1], arguments[2]);
}

/* The operator of that form which the token is; -1: none. */
static int operator_at(const struct token *token, enum ir_notation notation)
{
    for (int op = 0; op < IR_OP_COUNT; op++)
        if (ir_operators[op].notation == notation && is(token, ir_operators[op].symbol))
            return op;
    return -1;
}

/* A name without subscripts: what a let of this equation named, an index of it, or a tensor of rank 0. */
static expr bare(struct parser *p)
{
    expr named = p->lets ? map_get(p->lets, p->at->text) : NULL;
    struct ir_tensor *found;

    if (named) {
        p->at++;
        return named;
    }

    for (int i = 0; i < p->visible.count; i++)
        if (!strcmp(p->visible.at[i]->name, p->at->text)) {
            p->at++;
            return ir_of_form(p->program, ir_form_index(p->program, p->visible.at[i]));
        }
    found = ir_find(p->program, p->at->text);
    if (!found)
        parse_fail(p, p->at->line, "`%s` is no index of this equation and no tensor that stands before it",
                   p->at->text);
    if (found->rank)
        parse_fail(p, p->at->line, "`%s` has %d ax%s and is read without subscripts", found->name, found->rank,
                   found->rank == 1 ? "is" : "es");
    p->at++;
    return ir_read(p->program, found, NULL, 0, NULL);
}

static expr operand(struct parser *p)
{
    expr value;
    int op;

    if (guarded(p->at)) {
        p->at++;
        value = read(p, true);
        expect(p, ")");
        return value;
    }
    if (accept(p, "(")) {
        value = expression(p);
        expect(p, ")");
        return value;
    }
    if (p->at->kind == WHOLE) {
        int64_t number = whole(p, "a number");

        return ir_of_form(p->program, ir_form_constant(p->program, number));
    }
    if (p->at->kind == REAL)
        return ir_real(p->program, strtod((p->at++)->text, NULL));
    if (accept(p, "inf"))
        return ir_real(p->program, INFINITY);
    if (accept(p, "nan"))
        return ir_real(p->program, NAN);
    if (is(p->at + 1, "(")) {
        op = operator_at(p->at, IR_NOTATION_CALL);
        if (op >= 0)
            return call(p, op);
        if (is_name(p->at))
            parse_fail(p, p->at->line, "no function is named `%s`", p->at->text);
    }
    if (is_name(p->at))
        return is(p->at + 1, "[") ? read(p, false) : bare(p);
    expected(p, "a number, a name or `(`");
}

static expr prefix(struct parser *p)
{
    int op = operator_at(p->at, IR_NOTATION_PREFIX);
    expr value;

    if (op < 0)
        return operand(p);
    p->at++;
    value = binary(p, ir_operators[op].level == LEVEL_NOT ? LEVEL_NOT : LEVEL_POWER);
    return apply(p, (enum ir_op)op, value, NULL, NULL);
}

/* Operators that bind at least so tightly: to the left, but powers to the right and comparisons to neither side. */
static expr binary(struct parser *p, int least)
{
    expr left = prefix(p);

    for (;;) {
        int op = operator_at(p->at, IR_NOTATION_INFIX), level = op < 0 ? -1 : ir_operators[op].level;
        expr right;

        if (level < least)
            return left;
        p->at++;
        right = binary(p, level == LEVEL_POWER ? level : level + 1);
        left = apply(p, (enum ir_op)op, left, right, NULL);
        op = operator_at(p->at, IR_NOTATION_INFIX);
        if (level == LEVEL_COMPARISON && op >= 0 && ir_operators[op].level == LEVEL_COMPARISON)
            parse_fail(p, p->at->line, "comparisons do not chain; write `a < b and b < c`");
    }
}

static expr expression(struct parser *p)
{
    expr condition, then;

    if (!accept(p, "if"))
        return binary(p, 1);
    condition = expression(p);
    expect(p, "then");
    then = expression(p);
    expect(p, "else");
    return ir_apply(p->program, IR_select, condition, then, expression(p));
}

/* ---- statements ---- */

static const char *new_name(struct parser *p, const char *what)
{
    const char *text = name(p, what);

    if (ir_find(p->program, text))
        parse_fail(p, p->at->line, "`%s` is defined twice", text);
    return text;
}

static int64_t bound(struct parser *p)
{
    bool negative = accept(p, "-");
    int64_t value;

    if (accept(p, "inf"))
        return negative ? INT64_MIN : INT64_MAX;
    value = whole(p, "a bound");
    return negative ? -value : value;
}

static void leaf(struct parser *p, enum ir_kind kind)
{
    const char *text = new_name(p, "a name");
    ir_index_list list = axes(p);
    bool is_whole = accept(p, "in");
    int64_t low = INT64_MIN, high = INT64_MAX;

    if (is_whole) {
        low = bound(p);
        expect(p, "..");
        high = bound(p);
        if (low > high)
            parse_fail(p, p->at->line, "the range of `%s` is empty", text);
    }
    if (kind == IR_SCALAR && list.count)
        parse_fail(p, p->at->line, "the scalar `%s` has axes", text);
    if (kind == IR_SCALAR && is_whole)
        parse_fail(p, p->at->line, "the scalar `%s` has a range; scalars are real numbers", text);
    ir_leaf(p->program, kind, text, list.at, list.count, is_whole, low, high, NULL);
}

static void draw(struct parser *p)
{
    static const char *const draws[] = {"uniform16", "uniform32", "normal"};
    static const char *const scopes[] = {"sample", "step", "run", "item"};
    const char *text = new_name(p, "a name");
    int kind = choice(p, draws, 3, "uniform16, uniform32 or normal"), scope;
    ir_index_list list = axes(p);
    int64_t mapped = 0;

    expect(p, "per");
    scope = choice(p, scopes, 4, "sample, step, run or item");
    if (accept(p, "mapped")) {
        mapped = whole(p, "a count of axes");
        if (mapped > list.count - (list.count && list.at[0]->batch))
            parse_fail(p, p->at->line, "`%s` has no %" PRId64 " axes besides the samples' to map", text, mapped);
    }
    ir_draw_leaf(p->program, text, (enum ir_draw)kind, (enum ir_scope)scope, (int)mapped, list.at, list.count, NULL);
}

static void lets(struct parser *p)
{
    p->lets = NULL;
    if (!is(p->at, "let") || !is_name(p->at + 1) || !is(p->at + 2, "="))
        return;
    p->lets = map_new(p->arena);
    p->at++;
    do {
        const char *text = name(p, "a name");

        if (map_get(p->lets, text))
            parse_fail(p, p->at->line, "`%s` is named twice", text);
        expect(p, "=");
        map_put(p->lets, text, (void *)expression(p));
    } while (accept(p, ","));
    expect(p, "in");
}

static void equation(struct parser *p, bool single)
{
    static const char *const reductions[] = {"sum", "prod", "max", "min", "argmax", "argmin"};
    const char *text = new_name(p, "a statement");
    ir_index_list outputs = axes(p), reduced = {0}, all = outputs;
    enum ir_reduction reduction = IR_MAP;
    expr value;

    expect(p, "=");
    /* a copy, so that adding reduced indices leaves the outputs' list alone */
    all.at = arena_copy(p->arena, outputs.at, sizeof *outputs.at * (size_t)outputs.count);
    all.capacity = outputs.count;
    if (is(p->at + 1, "["))
        for (int i = 0; i < 6 && reduction == IR_MAP; i++)
            if (accept(p, reductions[i])) {
                reduction = (enum ir_reduction)(i + 1);
                p->at++;
                declared_indices(p, &all);
            }
    for (int i = outputs.count; i < all.count; i++)
        list_add(p->arena, reduced, all.at[i]);
    p->visible = all;
    lets(p);
    value = expression(p);
    p->visible = (ir_index_list){0};
    ir_equation(p->program, text, outputs.at, outputs.count, reduction, reduced.at, reduced.count, value, single, NULL);
}

static void update(struct parser *p)
{
    struct ir_tensor *target = tensor(p), *value;
    bool same;

    if (target->kind != IR_PARAMETER && target->kind != IR_STATE)
        parse_fail(p, p->at->line, "`%s` is neither a parameter nor a state", target->name);
    if (map_get(p->updated, target->name))
        parse_fail(p, p->at->line, "`%s` is updated twice", target->name);
    map_put(p->updated, target->name, target);
    expect(p, "<");
    expect(p, "-");
    value = tensor(p);
    same = value->rank == target->rank;
    for (int i = 0; i < target->rank && same; i++)
        same = value->axes[i]->extent == target->axes[i]->extent;
    if (!same)
        parse_fail(p, p->at->line, "`%s` and `%s` differ in shape", target->name, value->name);
    ir_add_update(p->program, target, value);
}

static void output(struct parser *p)
{
    const char *text = p->at->text;
    struct ir_tensor *value;
    bool guard;

    if (is(p->at + 1, "=")) {
        text = name(p, "a name");
        p->at++;
    }
    value = tensor(p);
    guard = accept(p, "guard");
    if (guard && value->rank)
        parse_fail(p, p->at->line, "the guard `%s` has axes", value->name);
    ir_add_output(p->program, text, value, guard);
}

static void kernel(struct parser *p)
{
    static const char *const kinds[] = {"nest", "product"};
    struct ir_kernel *k = NEW(p->arena, struct ir_kernel);
    ir_index_list list = {0};

    k->name = name(p, "a kernel's name");
    k->kind = choice(p, kinds, 2, "nest or product") ? IR_PRODUCT_KERNEL : IR_NEST;
    index_names(p, &list);
    for (int i = 0; i < list.count; i++)
        list_add(p->arena, k->parallel, list.at[i]);
    expect(p, "{");
    while (accept(p, "stage")) {
        struct ir_stage *stage = NEW(p->arena, struct ir_stage);

        list = (ir_index_list){0};
        index_names(p, &list);
        for (int i = 0; i < list.count; i++)
            list_add(p->arena, stage->inner, list.at[i]);
        expect(p, "{");
        while (!accept(p, "}"))
            list_add(p->arena, stage->equations, tensor(p));
        list_add(p->arena, k->stages, stage);
    }
    expect(p, "}");
    if (accept(p, "stopped")) {
        if (p->at->kind != STRING)
            expected(p, "a string");
        k->stopped = (p->at++)->text;
    }
    list_add(p->arena, p->program->kernels, k);
}

static void place(struct parser *p)
{
    static const char *const regions[] = {"nowhere", "local", "arena", "parameters", "state", "inputs", "scalars"};
    static const char *const storages[] = {"f32", "f64", "i32", "u8"};
    struct ir_tensor *t = tensor(p);

    t->region = (enum ir_region)choice(p, regions, 7, "a region");
    t->offset = whole(p, "an offset");
    t->storage = (enum ir_storage)choice(p, storages, 4, "f32, f64, i32 or u8");
}

static void bytes(struct parser *p)
{
    expect(p, "arena");
    p->program->arena_bytes = whole(p, "a count of bytes");
    expect(p, "parameters");
    p->program->parameter_bytes = whole(p, "a count of bytes");
    expect(p, "state");
    p->program->state_bytes = whole(p, "a count of bytes");
    expect(p, "inputs");
    p->program->input_bytes = whole(p, "a count of bytes");
}

/* The word begins its statement only if a name follows: `state[n: 4] = ...` and `output = 2` are equations. */
static bool begins(struct parser *p, const char *word)
{
    return is_name(p->at + 1) && accept(p, word);
}

static void statement(struct parser *p)
{
    static const char *const leaves[] = {"input", "parameter", "state", "scalar"};

    for (int kind = 0; kind < 4; kind++)
        if (begins(p, leaves[kind])) {
            leaf(p, (enum ir_kind)kind);
            return;
        }
    if (begins(p, "draw"))
        draw(p);
    else if (begins(p, "update"))
        update(p);
    else if (begins(p, "output"))
        output(p);
    else if (begins(p, "kernel"))
        kernel(p);
    else if (begins(p, "place"))
        place(p);
    else if (begins(p, "bytes"))
        bytes(p);
    else if (begins(p, "single"))
        equation(p, true);
    else
        equation(p, false);
}

static void skip_lines(struct parser *p)
{
    while (p->at->kind == NEWLINE)
        p->at++;
}

static void parse(struct parser *p, const char *source)
{
    static const char *const precisions[] = {"f32", "f64"};
    const char *program_name;

    parse_tokens(p, source);
    p->at = p->tokens.at;
    skip_lines(p);
    expect(p, "program");
    program_name = name(p, "the program's name");
    p->program = ir_program_new(p->arena, program_name, choice(p, precisions, 2, "f32 or f64") ? IR_DOUBLE : IR_SINGLE);
    while (p->at->kind != END) {
        if (p->at->kind != NEWLINE)
            expected(p, "the end of the line");
        skip_lines(p);
        if (p->at->kind != END)
            statement(p);
    }
}

struct ir_program *ir_parse(struct arena *arena, const char *source, const char **error)
{
    struct parser *p = NEW(arena, struct parser);

    p->arena = arena;
    p->updated = map_new(arena);
    p->indices = map_new(arena);
    p->by_name = map_new(arena);
    *error = NULL;
    if (setjmp(p->failed)) {
        *error = p->error;
        return NULL;
    }
    parse(p, source);
    return p->program;
}
