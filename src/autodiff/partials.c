/* partials.c: reverse mode on one expression: the weight of each read in it, and the summands of a weight.

   requires: nothing. maintains: the order of everything comes from the structure of the expressions. */
#include "adjoint.h"

/* ---- what a derivative passes through ---- */

typedef void derivative(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,
                        const struct ir_expr *g, const struct ir_expr **weights);
static derivative *const derivatives[IR_OP_COUNT] = {
#define OP(name, ...) derivative_##name,
#include "ops.def"
#undef OP
};

static const char through, blocked; /* known by their addresses */

struct passing passing_new(struct ir_program *p, const bool *active, int count)
{
    return (struct passing){p, active, count, memo_new(p->arena)};
}

static bool is_active(const struct passing *s, const struct ir_tensor *t)
{
    return t->number < s->count && s->active[t->number];
}

bool passes(struct passing *r, const struct ir_expr *e)
{
    const struct ir_expr *weights[3] = {NULL};
    const char *known = *memo_at(r->lets, e);
    bool result = false;

    if (known)
        return known == &through;
    if (e->kind == IR_READ)
        result = is_active(r, e->tensor) || (e->otherwise && passes(r, e->otherwise));
    if (e->kind == IR_APPLY) {
        derivatives[e->op](r->p, e, e->arguments, ir_real(r->p, 1), weights);
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            result |= weights[i] && passes(r, e->arguments[i]);
    }
    *memo_at(r->lets, e) = (void *)(result ? &through : &blocked);
    return result;
}

/* ---- reverse mode on one expression ---- */

struct node {
    const struct ir_expr *expr, *gradient;
};
struct sweep {
    struct passing *passing;
    LIST(struct node) order;    /* operands before what uses them */
    struct memo *numbers;       /* expression -> its number + 1, as a pointer */
};

static void visit(struct sweep *s, const struct ir_expr *e)
{
    struct ir_program *p = s->passing->p;

    if (!passes(s->passing, e) || *memo_at(s->numbers, e))
        return;
    *memo_at(s->numbers, e) = (void *)1;
    for (int i = 0; e->kind == IR_APPLY && i < 3 && e->arguments[i]; i++)
        visit(s, e->arguments[i]);
    if (e->kind == IR_READ && e->otherwise)
        visit(s, e->otherwise);
    list_add(p->arena, s->order, (struct node){e, NULL});
    *memo_at(s->numbers, e) = (void *)(intptr_t)s->order.count;
}

static void accumulate(struct sweep *s, const struct ir_expr *e, const struct ir_expr *weight)
{
    struct ir_program *p = s->passing->p;
    struct node *node;

    if (!weight || ir_is_zero(weight) || !passes(s->passing, e))
        return;
    node = &s->order.at[(intptr_t)*memo_at(s->numbers, e) - 1];
    node->gradient = node->gradient ? ir_apply(p, IR_add, node->gradient, weight, NULL) : weight;
}

static const struct ir_expr *weight_of_otherwise(struct ir_program *p, const struct ir_expr *read,
                                                 const struct ir_expr *weight)
{
    const struct guard *inside = guard_of(p, ir_number(p, 1), true);
    guard_list ranges = {0};

    for (int k = 0; k < read->tensor->rank; k++)
        guard_add_range(p, &ranges, read->subscripts[k], read->tensor->axes[k]->extent);
    for (int i = 0; i < ranges.count; i++)
        inside = guard_join(p, GUARD_ALL, inside, ranges.at[i]);
    return ir_apply(p, IR_select, guard_condition(p, guard_simplify(p, inside)), ir_real(p, 0), weight);
}

/* The weight of each read in e when e's own is seed. stored: a read of the value of e, or NULL. */
partial_list partials(struct passing *r, const struct ir_expr *e, const struct ir_expr *seed,
                      const struct ir_expr *stored)
{
    struct sweep s = {.passing = r, .numbers = memo_new(r->p->arena)};
    partial_list result = {0};

    visit(&s, e);
    accumulate(&s, e, seed);
    for (int i = s.order.count - 1; i >= 0; i--) {
        const struct ir_expr *at = s.order.at[i].expr, *g = s.order.at[i].gradient, *weights[3] = {NULL};
        if (!g)
            continue;
        if (at->kind == IR_READ) {
            if (is_active(r, at->tensor))
                list_add(r->p->arena, result, (struct partial){at, g});
            if (at->otherwise)
                accumulate(&s, at->otherwise, weight_of_otherwise(r->p, at, g));
            continue;
        }
        derivatives[at->op](r->p, stored && at == e ? stored : at, at->arguments, g, weights);
        for (int k = 0; k < 3 && at->arguments[k]; k++)
            accumulate(&s, at->arguments[k], weights[k]);
    }
    return result;
}

/* ---- summands of a weight ---- */

struct product {
    double number;
    const struct ir_expr *rest; /* NULL: the number alone */
};
typedef LIST(struct product) product_list;

static void flatten(struct ir_program *p, const struct ir_expr *e, expr_list *factors)
{
    if (e && e->kind == IR_APPLY && e->op == IR_multiply) {
        flatten(p, e->arguments[0], factors);
        flatten(p, e->arguments[1], factors);
    } else if (e) {
        list_add(p->arena, *factors, e);
    }
}

/* The same factors, in whatever order? */
static bool same_product(struct ir_program *p, const struct ir_expr *a, const struct ir_expr *b)
{
    expr_list left = {0}, right = {0};

    if (a == b)
        return true;
    flatten(p, a, &left);
    flatten(p, b, &right);
    if (left.count != right.count)
        return false;
    for (int i = 0; i < left.count; i++) {
        int k = 0;
        while (k < right.count && right.at[k] != left.at[i])
            k++;
        if (k == right.count)
            return false;
        right.at[k] = right.at[--right.count];
    }
    return true;
}

static void add_product(struct ir_program *p, product_list *list, double number, const struct ir_expr *rest)
{
    for (int i = 0; i < list->count; i++)
        if (same_product(p, list->at[i].rest, rest)) {
            list->at[i].number += number;
            return;
        }
    list_add(p->arena, *list, (struct product){number, rest});
}

/* Sums are taken apart, numbers in front of one are distributed; equal products are joined. */
static void take_apart(struct ir_program *p, const struct ir_expr *e, double number, product_list *list)
{
    const struct ir_expr *const *a = e->arguments;

    if (e->kind == IR_CONSTANT) {
        add_product(p, list, number * e->number, NULL);
    } else if (e->kind != IR_APPLY) {
        add_product(p, list, number, e);
    } else if (e->op == IR_add || e->op == IR_subtract) {
        take_apart(p, a[0], number, list);
        take_apart(p, a[1], e->op == IR_add ? number : -number, list);
    } else if (e->op == IR_negate) {
        take_apart(p, a[0], -number, list);
    } else if (e->op == IR_multiply && a[0]->kind == IR_CONSTANT) {
        take_apart(p, a[1], number * a[0]->number, list);
    } else if (e->op == IR_multiply && a[1]->kind == IR_CONSTANT) {
        take_apart(p, a[0], number * a[1]->number, list);
    } else if (e->op == IR_divide && a[1]->kind == IR_CONSTANT) {
        take_apart(p, a[0], number / a[1]->number, list);
    } else {
        add_product(p, list, number, e);
    }
}

expr_list summands_of(struct ir_program *p, const struct ir_expr *weight)
{
    product_list products = {0};
    expr_list result = {0};

    take_apart(p, weight, 1, &products);
    for (int i = 0; i < products.count; i++) {
        const struct ir_expr *e = products.at[i].rest;
        if (products.at[i].number == 0)
            continue;
        if (!e)
            e = ir_real(p, products.at[i].number);
        else if (products.at[i].number != 1)
            e = ir_apply(p, IR_multiply, ir_real(p, products.at[i].number), e, NULL);
        list_add(p->arena, result, e);
    }
    return result;
}
