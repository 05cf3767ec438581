/* parse_expression.c: expressions of the text form, by precedence. The grammar stands at the head of parse.c. */
#include "parse.h"

#include <math.h>

enum { LEVEL_NOT = 3, LEVEL_COMPARISON = 4, LEVEL_POWER = 8 };

static expr binary(struct parser *p, int least);

struct ir_tensor *tensor(struct parser *p)
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

expr expression(struct parser *p)
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
