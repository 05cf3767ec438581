/* test_text.c: random expressions survive printing and parsing, and they and their reductions evaluate as walk.c walks
   them; damaged text is refused or read, never worse; pieces of programs print alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "ir.h"
#include "walk.h"

enum { EXTENT_I = 20, EXTENT_J = 4, EXTENT_K = 3 };
static const double scalar_value = -0.75;

/* Leaves first, then i, j, k: the order of appearance in the text, so that indices have the same numbers after parsing.
 */
struct world {
    struct arena *arena;
    struct ir_program *p;
    struct ir_index *index[3];
    struct ir_tensor *real, *whole, *scalar;
    uint64_t random;
};

static double element(const struct ir_tensor *tensor, int64_t i)
{
    static const double reals[] = {0.5, -2, NAN, 3, 0}, wholes[] = {3, -2, 5, 0};

    return !strcmp(tensor->name, "s") ? scalar_value : tensor->whole ? wholes[i] : reals[i];
}

static struct world world_new(uint64_t seed)
{
    struct world w = {.arena = arena_new(), .random = seed};
    struct ir_index *axis;

    w.p = ir_program_new(w.arena, "test", IR_DOUBLE);
    axis = ir_index(w.p, "a", 5, false);
    w.real = ir_leaf(w.p, IR_INPUT, "x.y'", &axis, 1, false, 0, 0, NULL);
    axis = ir_index(w.p, "b", 4, false);
    w.whole = ir_leaf(w.p, IR_STATE, "v", &axis, 1, true, -2, 5, NULL);
    w.scalar = ir_leaf(w.p, IR_SCALAR, "s", NULL, 0, false, 0, 0, NULL);
    w.index[0] = ir_index(w.p, "i", EXTENT_I, false);
    w.index[1] = ir_index(w.p, "j", EXTENT_J, true);
    w.index[2] = ir_index(w.p, "k", EXTENT_K, false);
    return w;
}

/* ---- random expressions ---- */

typedef LIST(const struct ir_expr *) expressions;

static bool moderate(const struct ir_expr *e)
{
    return e->low > -1000 && e->high < 1000;
}

static const struct ir_expr *random_constant(struct world *w)
{
    static const double reals[] = {0.1, 2, -0.0, -3, 1e300, 5e-324, INFINITY, -INFINITY, NAN, 1.0 / 3, -1e-7, 1e15};

    if (draw_between(&w->random, 0, 1))
        return ir_number(w->p, (double)draw_between(&w->random, -5, 5));
    return ir_real(w->p, reals[draw_between(&w->random, 0, 11)]);
}

static const struct ir_expr *pick(struct world *w, const expressions *from)
{
    return from->at[draw_between(&w->random, 0, from->count - 1)];
}

/* A whole number that is not large, and that no number of steps makes large. */
static const struct ir_expr *pick_whole(struct world *w, const expressions *from)
{
    for (int tries = 0; tries < 20; tries++) {
        const struct ir_expr *e = pick(w, from);

        if (e->whole && moderate(e))
            return e;
    }
    return ir_of_form(w->p, ir_form_index(w->p, w->index[draw_between(&w->random, 0, 2)]));
}

static const struct ir_expr *random_read(struct world *w, const expressions *from)
{
    struct ir_tensor *tensor = draw_between(&w->random, 0, 1) ? w->real : w->whole;
    const struct ir_form *subscript = ir_form_of(w->p, pick_whole(w, from));

    return ir_read(w->p, tensor, &subscript, 1, pick(w, from));
}

static const struct ir_expr *random_apply(struct world *w, const expressions *from)
{
    enum ir_op op = (enum ir_op)draw_between(&w->random, 0, IR_OP_COUNT - 1);
    bool whole = op == IR_quotient || op == IR_remainder || draw_between(&w->random, 0, 1);
    const struct ir_expr *arguments[3] = {0}, *made;

    for (int i = 0; i < ir_operators[op].arity; i++)
        arguments[i] = whole ? pick_whole(w, from) : pick(w, from);
    if ((op == IR_quotient || op == IR_remainder) && arguments[1]->low < 1)
        arguments[1] = ir_number(w->p, (double)draw_between(&w->random, 1, 7));
    made = ir_apply(w->p, op, arguments[0], arguments[1], arguments[2]);
    return made->whole && !moderate(made) ? arguments[0] : made; /* beyond 2^53 neither side would be exact */
}

static const struct ir_expr *random_expression(struct world *w, int steps)
{
    expressions made = {0};

    for (int i = 0; i < 3; i++)
        list_add(w->arena, made, ir_of_form(w->p, ir_form_index(w->p, w->index[i])));
    list_add(w->arena, made, ir_read(w->p, w->scalar, NULL, 0, NULL));
    while (made.count < steps) {
        int64_t kind = draw_between(&w->random, 0, 9);
        const struct ir_expr *e = kind < 2   ? random_constant(w)
                                  : kind < 4 ? random_read(w, &made)
                                             : random_apply(w, &made);

        list_add(w->arena, made, e);
    }
    return made.at[made.count - 1];
}

/* ---- comparisons ---- */

static char *printed(struct arena *arena, const struct ir_program *p)
{
    struct text text = {0};
    char *copy;

    ir_print(&text, p);
    copy = arena_string(arena, text.data);
    text_free(&text);
    return copy;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static const double *evaluated(struct arena *arena, const struct ir_program *p, const char *name)
{
    struct ir_values values = ir_values_new(arena, p);

    for (int t = 0; t < 3; t++)
        for (int64_t i = 0; i < ir_elements(p->tensors.at[t]); i++)
            values.at[t][i] = element(p->tensors.at[t], i);
    ir_evaluate(p, &values, (struct ir_run){1, 0, 1});
    return values.at[ir_find(p, name)->number];
}

static void check_round_trip(struct world *w, const struct ir_tensor *equation)
{
    const char *once = printed(w->arena, w->p), *error;
    struct ir_program *again = ir_parse(w->arena, once, &error);
    const struct ir_tensor *copy;
    const double *before, *after;

    if (!again)
        fail_msg("%s in\n%s", error, once);
    assert_string_equal(printed(w->arena, again), once);
    copy = ir_find(again, equation->name);
    if (copy->value->hash != equation->value->hash)
        fail_msg("another expression was read from\n%s", once);
    assert_int_equal(copy->whole, equation->whole);
    assert_int_equal(copy->low, equation->low);
    assert_int_equal(copy->high, equation->high);
    before = evaluated(w->arena, w->p, equation->name);
    after = evaluated(w->arena, again, equation->name);
    for (int64_t i = 0; i < ir_elements(equation); i++)
        if (!same(before[i], after[i]))
            fail_msg("element %d is %.17g, then %.17g, of\n%s", (int)i, before[i], after[i], once);
}

static void check_against_walk(struct world *w, const struct ir_tensor *equation)
{
    struct point point = {.element = element};
    const double *found = evaluated(w->arena, w->p, equation->name);
    int64_t i = 0;

    do {
        double expected = expr_at(equation->value, &point);

        if (!same(found[i], expected))
            fail_msg("element %d is %.17g, expected %.17g, of\n%s", (int)i, found[i], expected,
                     printed(w->arena, w->p));
        i++;
    } while (next_point(&point, equation->axes, equation->rank));
}

static void random_expressions(void **state, int trials, int steps)
{
    (void)state;
    for (int trial = 0; trial < trials; trial++) {
        struct world w = world_new((uint64_t)(trial * 1000 + steps));
        const struct ir_expr *e = random_expression(&w, steps);
        struct ir_tensor *equation = ir_equation(w.p, "e", w.index, 3, IR_MAP, NULL, 0, e, false, NULL);

        check_round_trip(&w, equation);
        check_against_walk(&w, equation);
        arena_free(w.arena);
    }
}

/* One step of a reduction as the words of ir.h say it; place counts from 0. */
static void fold(enum ir_reduction reduction, double value, int64_t place, double *result, int64_t *best)
{
    bool more = reduction == IR_MAXIMUM || reduction == IR_ARGMAX;

    if (reduction == IR_SUM)
        *result = place ? *result + value : 0 + value;
    else if (reduction == IR_PRODUCT)
        *result = place ? *result * value : value;
    else if (!place || (!isnan(*result) && (isnan(value) || (more ? value > *result : value < *result)))) {
        *result = value;
        *best = place;
    }
}

/* The first `rank` of the indices in this order are outputs, the others reduced. */
static void check_reduction(struct world *w, enum ir_reduction reduction, const struct ir_expr *e,
                            struct ir_index **order, int rank)
{
    const struct ir_tensor *equation =
        ir_equation(w->p, "r", order, rank, reduction, order + rank, 3 - rank, e, false, NULL);
    const double *found = evaluated(w->arena, w->p, equation->name);
    struct point point = {.element = element};
    int64_t i = 0;

    do {
        double result = 0;
        int64_t place = 0, best = 0;

        do
            fold(reduction, expr_at(e, &point), place++, &result, &best);
        while (next_point(&point, order + rank, 3 - rank));
        if (reduction == IR_ARGMAX || reduction == IR_ARGMIN)
            result = (double)best;
        if (!same(found[i], result))
            fail_msg("element %d is %.17g, expected %.17g, of\n%s", (int)i, found[i], result, printed(w->arena, w->p));
        i++;
    } while (next_point(&point, order, rank));
}

static void reductions_are_plain_loops(void **state)
{
    (void)state;
    for (int trial = 0; trial < 400; trial++) {
        struct world w = world_new((uint64_t)trial + 5000000);
        const struct ir_expr *e = random_expression(&w, 14);
        int64_t turn = draw_between(&w.random, 0, 2);
        struct ir_index *order[3];

        for (int i = 0; i < 3; i++)
            order[i] = w.index[(i + turn) % 3];
        check_reduction(&w, (enum ir_reduction)draw_between(&w.random, IR_SUM, IR_ARGMIN), e, order,
                        (int)draw_between(&w.random, 0, 2));
        arena_free(w.arena);
    }
}

static void small_expressions_survive(void **state)
{
    random_expressions(state, 600, 9);
}

static void large_expressions_survive(void **state)
{
    random_expressions(state, 300, 24);
}

/* ---- damage ---- */

static const char whole_program[] =
    "program step f32\n"
    "input x[n*: 4, i: 6] in -2..5\n"
    "scalar rate\n"
    "draw keep uniform16[n*: 4, i: 6] per sample mapped 1\n"
    "single m[n*: 4, i: 6] = keep[n, i] < 1 - rate\n"
    "z[n*: 4] = sum[i: 6] (x[n, i - 1] else 0) * (if m[n, i] then -2.5e1 else x[n, i // 2])\n"
    "parameter `w 1`\n"
    "w_new = max(`w 1` ^ 2, z[3]) / 3\n"
    "update `w 1` <- w_new\n"
    "output y = w_new guard\n"
    "kernel k nest [n] { stage [i] { m z } } stopped \"why\"\n"
    "place m arena 64 u8\n"
    "bytes arena 128 parameters 4 state 0 inputs 64\n";

static void damaged_text_is_refused_or_read(void **state)
{
    static const char marks[] = "[](){}*:=<>-+/%^,.`\"#\n 09aniz";
    uint64_t random = 11;
    int refused = 0;

    (void)state;
    for (int trial = 0; trial < 3000; trial++) {
        struct arena *arena = arena_new();
        char *text = arena_string(arena, whole_program);
        const char *error;
        int64_t at = draw_between(&random, 0, (int64_t)strlen(text) - 1);
        struct ir_program *p;

        if (trial % 3 == 0)
            memmove(text + at, text + at + 1, strlen(text + at));
        else if (trial % 3 == 1)
            text[at] = marks[draw_between(&random, 0, (int64_t)sizeof marks - 2)];
        else
            text[at] = 0;
        p = ir_parse(arena, text, &error);
        if (p) {
            assert_null(error);
            assert_non_null(ir_parse(arena, printed(arena, p), &error));
        } else {
            refused++;
            assert_memory_equal(error, "line ", 5);
        }
        arena_free(arena);
    }
    assert_true(refused > 1000);
}

/* ---- pieces ---- */

static void pieces_print_alone(void **state)
{
    struct arena *arena = arena_new();
    const char *error;
    struct ir_program *p = ir_parse(arena, whole_program, &error);
    struct text text = {0};

    (void)state;
    ir_print_tensor(&text, ir_find(p, "z"));
    assert_string_equal(text.data,
                        "z[n*: 4] = sum[i: 6] (x[n, i - 1] else 0) * (if m[n, i] then -25.0 else x[n, i // 2])");
    text.size = 0;
    ir_print_expr(&text, ir_find(p, "w_new")->value);
    assert_string_equal(text.data, "max(`w 1` ^ 2, z[3]) / 3");
    text.size = 0;
    ir_print_form(&text, ir_find(p, "z")->value->arguments[0]->subscripts[1]);
    assert_string_equal(text.data, "i - 1");
    text_free(&text);
    arena_free(arena);
}

/* Two objects of one name in one subscript: the text tells them apart, and sorts the terms as their new names sort. */
static void indices_of_one_name_stay_apart(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = ir_program_new(arena, "p", IR_DOUBLE);
    struct ir_index *a = ir_index(p, "n", 40, false), *n[3];
    struct ir_tensor *x = ir_leaf(p, IR_INPUT, "x", &a, 1, false, 0, 0, NULL);
    const struct ir_form *f;
    const char *once, *error;

    (void)state;
    n[0] = ir_index(p, "n", 5, false);
    n[1] = ir_index(p, "n", 3, false);
    n[2] = ir_index(p, "n1", 2, false);
    f = ir_form_add(p, ir_form_scale(p, ir_form_index(p, n[0]), 6), ir_form_scale(p, ir_form_index(p, n[1]), 2));
    f = ir_form_add(p, f, ir_form_index(p, n[2]));
    ir_equation(p, "y", n, 3, IR_MAP, NULL, 0, ir_read(p, x, &f, 1, NULL), false, NULL);
    once = printed(arena, p);
    assert_string_equal(once, "program p f64\ninput x[n: 40]\n"
                              "y[n_2: 5, n_3: 3, n1: 2] = x[n1 + 6 * n_2 + 2 * n_3]\n");
    assert_string_equal(printed(arena, ir_parse(arena, once, &error)), once);
    arena_free(arena);
}

/* x -> x * (1 + x), sixty times over: 2^60 reads as a tree. */
static void shared_expressions_print_once(void **state)
{
    struct world w = world_new(1);
    const struct ir_expr *e = ir_read(w.p, w.scalar, NULL, 0, NULL);
    const struct ir_tensor *equation;

    (void)state;
    for (int i = 0; i < 60; i++)
        e = ir_apply(w.p, IR_multiply, e, ir_apply(w.p, IR_add, ir_real(w.p, 1), e, NULL), NULL);
    equation = ir_equation(w.p, "e", w.index, 3, IR_MAP, NULL, 0, e, false, NULL);
    check_round_trip(&w, equation);
    assert_true(strlen(printed(w.arena, w.p)) < 3000);
    arena_free(w.arena);
}

/* Whole numbers too, inside subscripts and forms; and an index that has a let's name. */
static void shared_subscripts_print_once(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = ir_program_new(arena, "p", IR_DOUBLE);
    struct ir_index *a = ir_index(p, "a", 100, false), *n = ir_index(p, "_1", 6, false);
    struct ir_tensor *x = ir_leaf(p, IR_INPUT, "x", &a, 1, true, 0, 99, NULL);
    const struct ir_form *f = ir_form_index(p, n);
    const struct ir_expr *e = NULL;
    const char *once, *error;

    (void)state;
    for (int i = 0; i < 12; i++) {
        e = ir_read(p, x, &f, 1, ir_number(p, 7));
        e = ir_apply(p, IR_max, e, ir_apply(p, IR_multiply, e, e, NULL), NULL);
        f = ir_form_remainder(p, ir_form_add(p, ir_form_scale(p, ir_form_of(p, e), 3), f), 100);
    }
    ir_equation(p, "y", &n, 1, IR_MAP, NULL, 0, e, false, NULL);
    once = printed(arena, p);
    assert_true(strlen(once) < 3000);
    assert_non_null(strstr(once, "let _2 = "));
    assert_string_equal(printed(arena, ir_parse(arena, once, &error)), once);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_are_plain_loops),
        cmocka_unit_test(small_expressions_survive),
        cmocka_unit_test(large_expressions_survive),
        cmocka_unit_test(damaged_text_is_refused_or_read),
        cmocka_unit_test(pieces_print_alone),
        cmocka_unit_test(indices_of_one_name_stay_apart),
        cmocka_unit_test(shared_expressions_print_once),
        cmocka_unit_test(shared_subscripts_print_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
