/* test_apply.c: ir_apply, ir_read and ir_substitute fold only what is the same number. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "ir.h"
#include "walk.h"

/* Indices i, j, k; a whole tensor v[4] with values in -2 .. 5; a real tensor x[6] that holds every special value. */
struct world {
    struct arena *arena;
    struct ir_program *p;
    struct ir_index *index[3];
    struct ir_tensor *v, *x;
};

static double element(const struct ir_tensor *tensor, int64_t i)
{
    static const double whole[] = {3, -2, 5, 0}, real[] = {0.5, -3, INFINITY, -INFINITY, NAN, 0};

    return tensor->whole ? whole[i] : real[i];
}

static struct world world_new(void)
{
    struct world w = {.arena = arena_new()};
    struct ir_index *axis;

    w.p = ir_program_new(w.arena, "test", IR_DOUBLE);
    w.index[0] = ir_index(w.p, "i", 4, false);
    w.index[1] = ir_index(w.p, "j", 6, false);
    w.index[2] = ir_index(w.p, "k", 3, false);
    axis = ir_index(w.p, "a", 4, false);
    w.v = ir_leaf(w.p, IR_INPUT, "v", &axis, 1, true, -2, 5, NULL);
    axis = ir_index(w.p, "b", 6, false);
    w.x = ir_leaf(w.p, IR_INPUT, "x", &axis, 1, false, 0, 0, NULL);
    return w;
}

static const struct ir_expr *I(struct world *w, int i)
{
    return ir_of_form(w->p, ir_form_index(w->p, w->index[i]));
}

static const struct ir_expr *N(struct world *w, double value)
{
    return ir_number(w->p, value);
}

static const struct ir_expr *X(struct world *w)
{
    const struct ir_form *at = ir_form_index(w->p, w->index[1]);

    return ir_read(w->p, w->x, &at, 1, NULL);
}

static const struct ir_expr *V(struct world *w, const struct ir_form *at, const struct ir_expr *otherwise)
{
    return ir_read(w->p, w->v, &at, 1, otherwise);
}

static const struct ir_expr *two(struct world *w, enum ir_op op, const struct ir_expr *a, const struct ir_expr *b)
{
    return ir_apply(w->p, op, a, b, NULL);
}

static const struct ir_expr *one(struct world *w, enum ir_op op, const struct ir_expr *a)
{
    return ir_apply(w->p, op, a, NULL, NULL);
}

#define EQUAL(a, b) assert_ptr_equal((a), (b))

static void whole_arithmetic_is_a_form(void **state)
{
    struct world w = world_new();
    const struct ir_expr *e =
        two(&w, IR_add, two(&w, IR_multiply, N(&w, 3), I(&w, 0)), two(&w, IR_quotient, I(&w, 1), N(&w, 2)));

    assert_int_equal(e->kind, IR_FORM);
    assert_true(e->whole);
    assert_int_equal(e->high, 11);
    EQUAL(two(&w, IR_subtract, two(&w, IR_add, I(&w, 0), X(&w)->whole ? N(&w, 0) : I(&w, 1)), I(&w, 1)), I(&w, 0));
    EQUAL(two(&w, IR_add, N(&w, 2), N(&w, 3)), N(&w, 5));
    arena_free(w.arena);
}

static void products_of_indices_are_atoms(void **state)
{
    struct world w = world_new();
    const struct ir_expr *product = two(&w, IR_multiply, I(&w, 0), I(&w, 1));
    const struct ir_expr *sum = two(&w, IR_add, product, N(&w, 1));

    assert_int_equal(product->kind, IR_APPLY);
    assert_int_equal(product->high, 15);
    assert_int_equal(sum->kind, IR_FORM);
    assert_int_equal(sum->high, 16);
    EQUAL(two(&w, IR_subtract, sum, N(&w, 1)), product);
    arena_free(w.arena);
}

static void intervals_decide_comparisons(void **state)
{
    struct world w = world_new();

    EQUAL(two(&w, IR_less, I(&w, 0), N(&w, 4)), N(&w, 1));
    EQUAL(two(&w, IR_greater_equal, I(&w, 0), N(&w, 0)), N(&w, 1));
    EQUAL(two(&w, IR_greater, I(&w, 0), N(&w, 3)), N(&w, 0));
    EQUAL(two(&w, IR_less_equal, N(&w, 6), I(&w, 1)), N(&w, 0));
    EQUAL(two(&w, IR_equal, I(&w, 0), two(&w, IR_add, I(&w, 0), N(&w, 1))), N(&w, 0));
    EQUAL(two(&w, IR_not_equal, I(&w, 0), I(&w, 0)), N(&w, 0));
    assert_int_equal(two(&w, IR_less, I(&w, 0), N(&w, 3))->kind, IR_APPLY);
    assert_int_equal(two(&w, IR_equal, X(&w), X(&w))->kind, IR_APPLY); /* NaN */
    arena_free(w.arena);
}

static void intervals_decide_max_and_min(void **state)
{
    struct world w = world_new();
    const struct ir_expr *more = two(&w, IR_add, I(&w, 0), I(&w, 1));

    EQUAL(two(&w, IR_max, I(&w, 0), more), more);
    EQUAL(two(&w, IR_min, I(&w, 0), more), I(&w, 0));
    EQUAL(two(&w, IR_max, X(&w), X(&w)), X(&w));
    assert_int_equal(two(&w, IR_max, I(&w, 0), I(&w, 1))->high, 5);
    arena_free(w.arena);
}

static void identities_hold_for_reals_and_zero_times_x_does_not(void **state)
{
    struct world w = world_new();
    const struct ir_expr *x = X(&w);

    EQUAL(two(&w, IR_add, x, N(&w, 0)), x);
    EQUAL(two(&w, IR_add, N(&w, 0), x), x);
    EQUAL(two(&w, IR_subtract, x, N(&w, 0)), x);
    EQUAL(two(&w, IR_multiply, ir_real(w.p, 1), x), x);
    EQUAL(two(&w, IR_divide, x, N(&w, 1)), x);
    EQUAL(two(&w, IR_power, x, N(&w, 1)), x);
    EQUAL(two(&w, IR_power, x, N(&w, 0)), ir_real(w.p, 1));
    EQUAL(one(&w, IR_negate, one(&w, IR_negate, x)), x);
    assert_int_equal(two(&w, IR_multiply, x, N(&w, 0))->kind, IR_APPLY);
    assert_int_equal(two(&w, IR_subtract, x, x)->kind, IR_APPLY);
    assert_int_equal(two(&w, IR_subtract, N(&w, 0), x)->kind, IR_APPLY);
    arena_free(w.arena);
}

static void constants_are_folded_in_double(void **state)
{
    struct world w = world_new();

    EQUAL(one(&w, IR_exp, N(&w, 1)), ir_real(w.p, exp(1)));
    EQUAL(two(&w, IR_divide, N(&w, 1), N(&w, 4)), ir_real(w.p, 0.25));
    EQUAL(two(&w, IR_divide, N(&w, 6), N(&w, 2)), ir_real(w.p, 3));
    assert_ptr_not_equal(ir_real(w.p, 3), N(&w, 3));
    assert_true(isnan(two(&w, IR_divide, N(&w, 0), N(&w, 0))->number));
    EQUAL(two(&w, IR_power, N(&w, 2), N(&w, 10)), N(&w, 1024));
    EQUAL(two(&w, IR_power, N(&w, 2), N(&w, -1)), ir_real(w.p, 0.5));
    EQUAL(two(&w, IR_quotient, N(&w, -7), N(&w, 2)), N(&w, -4));
    EQUAL(two(&w, IR_remainder, N(&w, -7), N(&w, -2)), N(&w, -1));
    assert_false(N(&w, -0.0)->whole);
    arena_free(w.arena);
}

static void constant_conditions_choose(void **state)
{
    struct world w = world_new();
    const struct ir_expr *x = X(&w), *open = two(&w, IR_less, I(&w, 0), N(&w, 2));

    EQUAL(ir_apply(w.p, IR_select, N(&w, 1), x, N(&w, 0)), x);
    EQUAL(ir_apply(w.p, IR_select, two(&w, IR_less, I(&w, 0), N(&w, 0)), N(&w, 2), x), x);
    EQUAL(ir_apply(w.p, IR_select, open, x, x), x);
    EQUAL(two(&w, IR_and, open, N(&w, 1)), open);
    EQUAL(two(&w, IR_and, x, N(&w, 0)), N(&w, 0));
    EQUAL(two(&w, IR_or, open, N(&w, 3)), N(&w, 1));
    EQUAL(one(&w, IR_not, one(&w, IR_not, open)), open);
    assert_true(ir_apply(w.p, IR_select, open, I(&w, 0), I(&w, 1))->whole);
    assert_false(ir_apply(w.p, IR_select, open, I(&w, 0), x)->whole);
    arena_free(w.arena);
}

static void reads_drop_an_otherwise_that_is_never_used(void **state)
{
    struct world w = world_new();
    const struct ir_form *i = ir_form_index(w.p, w.index[0]), *j = ir_form_index(w.p, w.index[1]);

    assert_null(V(&w, i, N(&w, 7))->otherwise);
    assert_ptr_equal(V(&w, j, N(&w, 7))->otherwise, N(&w, 7));
    assert_int_equal(V(&w, j, N(&w, 7))->high, 7);
    assert_false(V(&w, j, X(&w))->whole);
    EQUAL(V(&w, ir_form_add(w.p, i, ir_form_constant(w.p, 4)), X(&w)), X(&w));
    arena_free(w.arena);
}

static void substitution_keeps_reads_inside(void **state)
{
    struct world w = world_new();
    const struct ir_form *i = ir_form_index(w.p, w.index[0]), *next = ir_form_add(w.p, i, ir_form_constant(w.p, 1));
    const struct ir_expr *moved = ir_substitute(w.p, V(&w, i, NULL), &w.index[0], &next, 1);

    EQUAL(moved, V(&w, next, N(&w, 0)));
    arena_free(w.arena);
}

static void substitution_is_simultaneous(void **state)
{
    struct world w = world_new();
    const struct ir_form *swapped[2] = {ir_form_index(w.p, w.index[1]), ir_form_index(w.p, w.index[0])};
    const struct ir_expr *e = two(&w, IR_subtract, two(&w, IR_multiply, I(&w, 0), N(&w, 2)), I(&w, 1));

    EQUAL(ir_substitute(w.p, e, w.index, swapped, 2),
          two(&w, IR_subtract, two(&w, IR_multiply, I(&w, 1), N(&w, 2)), I(&w, 0)));
    arena_free(w.arena);
}

/* 2^60 paths, 61 nodes: a walk that meets a node twice does not end. */
static void walks_meet_a_shared_node_once(void **state)
{
    struct world w = world_new();
    const struct ir_expr *e = X(&w);
    const struct ir_form *to = ir_form_constant(w.p, 2);
    ir_index_list free = {0};

    for (int i = 0; i < 60; i++)
        e = two(&w, IR_multiply, e, e);
    ir_indices(w.arena, e, &free);
    assert_int_equal(free.count, 1);
    e = ir_substitute(w.p, e, &w.index[1], &to, 1);
    free.count = 0;
    ir_indices(w.arena, e, &free);
    assert_int_equal(free.count, 0);
    arena_free(w.arena);
}

static void indices_are_found_in_order_and_everywhere(void **state)
{
    struct world w = world_new();
    const struct ir_form *k = ir_form_index(w.p, w.index[2]);
    const struct ir_form *j = ir_form_index(w.p, w.index[1]);
    const struct ir_form *computed = ir_form_quotient(w.p, ir_form_of(w.p, V(&w, k, NULL)), 2);
    const struct ir_expr *e = two(&w, IR_add, ir_read(w.p, w.x, &computed, 1, V(&w, j, I(&w, 0))), X(&w));
    ir_index_list free = {0};

    ir_indices(w.arena, e, &free);
    assert_int_equal(free.count, 3);
    assert_ptr_equal(free.at[0], w.index[2]);
    assert_ptr_equal(free.at[1], w.index[1]);
    assert_ptr_equal(free.at[2], w.index[0]);
    arena_free(w.arena);
}

static void count_read(const struct ir_expr *read, void *context)
{
    ++*(int *)context;
}

static void reads_are_visited_once_each(void **state)
{
    struct world w = world_new();
    const struct ir_form *j = ir_form_index(w.p, w.index[1]);
    const struct ir_form *computed = ir_form_of(w.p, V(&w, j, N(&w, 0)));
    const struct ir_expr *e = two(&w, IR_add, ir_read(w.p, w.x, &computed, 1, X(&w)), X(&w));
    int count = 0;

    ir_reads(e, count_read, &count);
    assert_int_equal(count, 3);
    arena_free(w.arena);
}

static void retargeting_reaches_computed_subscripts(void **state)
{
    struct world w = world_new();
    struct ir_tensor *u = ir_leaf(w.p, IR_INPUT, "u", w.v->axes, 1, true, 0, 3, NULL);
    const struct ir_form *i = ir_form_index(w.p, w.index[0]), *at = ir_form_of(w.p, V(&w, i, NULL)), *moved;
    const struct ir_expr *e = ir_read(w.p, w.v, &at, 1, N(&w, 0));

    moved = ir_form_of(w.p, ir_read(w.p, u, &i, 1, NULL));
    EQUAL(ir_retarget(w.p, e, &w.v, &u, 1), ir_read(w.p, u, &moved, 1, NULL)); /* 0 .. 3 is inside */
    arena_free(w.arena);
}

/* ---- random expressions, at every point ---- */

struct tree {
    bool leaf, whole;
    int which; /* of a leaf: 0..2 index, 3 whole, 4 real, 5 v, 6 x, 7 special; else enum ir_op */
    double number;
    const struct tree *a[3];
};

static const double specials[] = {0, 1, -1, 2, 0.5, INFINITY, -INFINITY, NAN};

/* Whole trees of operators that stay whole; real ones of every operator. */
static const struct tree *random_tree(struct world *w, uint64_t *state, int depth, bool whole)
{
    struct tree *t = NEW(w->arena, struct tree);

    t->whole = whole;
    t->leaf = depth == 0 || draw(state) % 5 == 0;
    if (t->leaf) {
        t->which = (int)draw_between(state, 0, whole ? 4 : 7);
        if (t->which == 4)
            t->which = 5;
        t->number = t->which == 7 ? specials[draw(state) % 8] : (double)draw_between(state, -4, 4);
        return t;
    }
    for (;;) {
        t->which = (int)(draw(state) % IR_OP_COUNT);
        if (whole && ir_operators[t->which].result == IR_RESULT_REAL)
            continue;
        if (whole && (t->which == IR_power || t->which == IR_multiply) && draw(state) % 4)
            continue;
        if (whole || (t->which != IR_quotient && t->which != IR_remainder))
            break;
    }
    for (int i = 0; i < ir_operators[t->which].arity; i++)
        t->a[i] = random_tree(w, state, depth - 1, whole || (draw(state) % 4 == 0));
    return t;
}

static const struct ir_expr *build(struct world *w, const struct tree *t)
{
    const struct ir_expr *a[3] = {0};
    const struct ir_form *at;

    if (!t->leaf) {
        for (int i = 0; i < 3 && t->a[i]; i++)
            a[i] = build(w, t->a[i]);
        return ir_apply(w->p, (enum ir_op)t->which, a[0], a[1], a[2]);
    }
    if (t->which < 3)
        return I(w, t->which);
    if (t->which == 5) {
        at = ir_form_add(w->p, ir_form_index(w->p, w->index[0]), ir_form_constant(w->p, (int64_t)t->number));
        return V(w, at, N(w, 1));
    }
    if (t->which == 6)
        return X(w);
    return t->which == 7 ? ir_real(w->p, t->number) : N(w, t->number);
}

static double expected(const struct world *w, const struct tree *t, const struct point *point)
{
    double a[3] = {0}, at;

    if (!t->leaf) {
        for (int i = 0; i < 3 && t->a[i]; i++)
            a[i] = expected(w, t->a[i], point);
        return ir_operate((enum ir_op)t->which, a[0], a[1], a[2]);
    }
    if (t->which < 3)
        return (double)point->at[w->index[t->which]->number];
    if (t->which == 5) {
        at = (double)point->at[w->index[0]->number] + t->number;
        return at >= 0 && at < 4 ? element(w->v, (int64_t)at) : 1;
    }
    return t->which == 6 ? element(w->x, point->at[w->index[1]->number]) : t->number;
}

/* Does a whole part of it divide by 0 or leave 2^53? There it has no value. */
static bool meaningless(const struct world *w, const struct tree *t, const struct point *point)
{
    double divisor;

    if (t->whole && !(fabs(expected(w, t, point)) < 9e15))
        return true;
    for (int i = 0; !t->leaf && i < 3 && t->a[i]; i++)
        if (meaningless(w, t->a[i], point))
            return true;
    if (t->leaf || !t->whole || (t->which != IR_quotient && t->which != IR_remainder && t->which != IR_power))
        return false;
    divisor = expected(w, t->a[1], point);
    return t->which == IR_power ? divisor < 0 || divisor != floor(divisor)
                                : divisor == 0 || divisor != floor(divisor) ||
                                      expected(w, t->a[0], point) != floor(expected(w, t->a[0], point));
}

static void random_whole_expressions_keep_their_values(void **unused)
{
    uint64_t state = 5;
    int checked = 0;

    for (int trial = 0; trial < 6000; trial++) {
        struct world w = world_new();
        struct point point = {.element = element};
        const struct tree *t = random_tree(&w, &state, 4, true);
        const struct ir_expr *e = build(&w, t);

        do {
            if (meaningless(&w, t, &point))
                continue;
            checked++;
            if (expr_at(e, &point) != expected(&w, t, &point))
                fail_msg("trial %d: %g instead of %g", trial, expr_at(e, &point), expected(&w, t, &point));
        } while (next_point(&point, w.index, 3));
        arena_free(w.arena);
    }
    assert_true(checked > 100000);
}

/* The same bits but for a zero's sign: x + 0 is x. A NaN is any NaN. */
static void random_real_expressions_keep_their_values(void **unused)
{
    uint64_t state = 6;

    for (int trial = 0; trial < 6000; trial++) {
        struct world w = world_new();
        struct point point = {.element = element};
        const struct tree *t = random_tree(&w, &state, 3, false);
        const struct ir_expr *e = build(&w, t);
        bool zero_sign = false;

        do {
            double is, wanted = expected(&w, t, &point);

            if (meaningless(&w, t, &point))
                continue;
            is = expr_at(e, &point);
            zero_sign = isinf(is) && isinf(wanted); /* 1/-0 */
            if (!(is == wanted || (isnan(is) && isnan(wanted)) || zero_sign))
                fail_msg("trial %d: %g instead of %g", trial, is, wanted);
        } while (next_point(&point, w.index, 3));
        arena_free(w.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_arithmetic_is_a_form),
        cmocka_unit_test(products_of_indices_are_atoms),
        cmocka_unit_test(intervals_decide_comparisons),
        cmocka_unit_test(intervals_decide_max_and_min),
        cmocka_unit_test(identities_hold_for_reals_and_zero_times_x_does_not),
        cmocka_unit_test(constants_are_folded_in_double),
        cmocka_unit_test(constant_conditions_choose),
        cmocka_unit_test(reads_drop_an_otherwise_that_is_never_used),
        cmocka_unit_test(substitution_keeps_reads_inside),
        cmocka_unit_test(substitution_is_simultaneous),
        cmocka_unit_test(walks_meet_a_shared_node_once),
        cmocka_unit_test(indices_are_found_in_order_and_everywhere),
        cmocka_unit_test(reads_are_visited_once_each),
        cmocka_unit_test(retargeting_reaches_computed_subscripts),
        cmocka_unit_test(random_whole_expressions_keep_their_values),
        cmocka_unit_test(random_real_expressions_keep_their_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
