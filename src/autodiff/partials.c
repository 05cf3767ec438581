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
    expr_list factors;          /* of rest */
    uint64_t hash;              /* of these, in whatever order */
};
struct summing {
    struct ir_program *p;
    LIST(struct product) products;
    struct memo sums, factors; /* sizes, for ir_comes_apart */
};

static bool is_product(const struct ir_expr *e)
{
    return e->op == IR_multiply;
}

static void flatten(struct summing *s, const struct ir_expr *e, struct product *product)
{
    if (ir_comes_apart(&s->factors, e, is_product)) {
        flatten(s, e->arguments[0], product);
        flatten(s, e->arguments[1], product);
    } else {
        list_add(s->p->arena, product->factors, e);
        product->hash += e->hash;
    }
}

/* The same factors, in whatever order? */
static bool same_product(struct ir_program *p, const struct product *a, const struct product *b)
{
    expr_list left = {0};

    if (a->rest == b->rest)
        return true;
    if (a->factors.count != b->factors.count || a->hash != b->hash)
        return false;
    for (int i = 0; i < a->factors.count; i++)
        list_add(p->arena, left, a->factors.at[i]);
    for (int i = 0; i < b->factors.count; i++) {
        int k = 0;
        while (k < left.count && left.at[k] != b->factors.at[i])
            k++;
        if (k == left.count)
            return false;
        left.at[k] = left.at[--left.count];
    }
    return true;
}

static void add_product(struct summing *s, double number, const struct ir_expr *rest)
{
    struct product product = {.number = number, .rest = rest};

    if (rest)
        flatten(s, rest, &product);
    for (int i = 0; i < s->products.count; i++)
        if (same_product(s->p, &s->products.at[i], &product)) {
            s->products.at[i].number += number;
            return;
        }
    list_add(s->p->arena, s->products, product);
}

static bool is_sum(const struct ir_expr *e)
{
    const struct ir_expr *const *a = e->arguments;

    return e->op == IR_add || e->op == IR_subtract || e->op == IR_negate ||
           (e->op == IR_multiply && (a[0]->kind == IR_CONSTANT || a[1]->kind == IR_CONSTANT)) ||
           (e->op == IR_divide && a[1]->kind == IR_CONSTANT);
}

/* Sums are taken apart, numbers in front of one are distributed; equal products are joined. */
static void take_apart(struct summing *s, const struct ir_expr *e, double number)
{
    const struct ir_expr *const *a = e->arguments;

    if (e->kind == IR_CONSTANT) {
        add_product(s, number * e->number, NULL);
    } else if (!ir_comes_apart(&s->sums, e, is_sum)) {
        add_product(s, number, e);
    } else if (e->op == IR_add || e->op == IR_subtract) {
        take_apart(s, a[0], number);
        take_apart(s, a[1], e->op == IR_add ? number : -number);
    } else if (e->op == IR_negate) {
        take_apart(s, a[0], -number);
    } else if (e->op == IR_divide) {
        take_apart(s, a[0], number / a[1]->number);
    } else if (a[0]->kind == IR_CONSTANT) {
        take_apart(s, a[1], number * a[0]->number);
    } else {
        take_apart(s, a[0], number * a[1]->number);
    }
}

/* Of a product of a thousand factors, each but one of them in each of a thousand summands: those stay in the sum that they share. */
enum { MOST_FACTORS = 4096 };

expr_list summands_of(struct ir_program *p, const struct ir_expr *weight)
{
    struct summing s = {.p = p};
    expr_list result = {0};
    int64_t factors = 0;

    memo_begin(&s.sums);
    memo_begin(&s.factors);
    take_apart(&s, weight, 1);
    for (int i = 0; i < s.products.count; i++)
        factors += s.products.at[i].factors.count;
    if (factors > MOST_FACTORS) {
        s.products.count = 0;
        list_add(p->arena, s.products, (struct product){.number = 1, .rest = weight});
    }
    for (int i = 0; i < s.products.count; i++) {
        const struct ir_expr *e = s.products.at[i].rest;
        double number = s.products.at[i].number;
        if (number == 0)
            continue;
        if (!e)
            e = ir_real(p, number);
        else if (number != 1)
            e = ir_apply(p, IR_multiply, ir_real(p, number), e, NULL);
        list_add(p->arena, result, e);
    }
    memo_end(&s.sums);
    memo_end(&s.factors);
    return result;
}
