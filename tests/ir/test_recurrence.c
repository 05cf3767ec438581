/* test_recurrence.c: recurrences against plain loops, random ones against a little interpreter, and what ir_arrange and
   ir_rebuild make of them. Values are compared exactly where both sides add up in the same order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "walk.h"

static const struct ir_run first_step = {1, 0, 1};

static struct ir_program *parse(struct arena *arena, const char *source)
{
    const char *error;
    struct ir_program *p = ir_parse(arena, source, &error);

    if (!p)
        fail_msg("%s in\n%s", error, source);
    return p;
}

static void sound(const struct ir_program *p)
{
    const char *message = ir_verify(p);
    struct text text = {0};

    if (!message)
        return;
    ir_print(&text, p);
    fail_msg("%s in\n%s", message, text.data);
}

static const char *printed(struct arena *arena, const struct ir_program *p)
{
    struct text text = {0};
    const char *copy;

    ir_print(&text, p);
    copy = arena_string(arena, text.data);
    text_free(&text);
    return copy;
}

static bool is_leaf(const struct ir_tensor *t)
{
    return t->kind != IR_EQUATION && t->kind != IR_OPAQUE && t->kind != IR_DRAW;
}

/* Leaves have random values in [-1, 1), the same for the same name; everything else is NaN until it is computed. */
static struct ir_values values_of(struct arena *arena, const struct ir_program *p)
{
    struct ir_values values = ir_values_new(arena, p);

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        uint64_t seed = hash_bytes(t->name, strlen(t->name), 5);

        for (int64_t e = 0; e < ir_elements(t); e++)
            values.at[i][e] = is_leaf(t) ? ldexp((double)(draw(&seed) >> 11), -52) - 1 : NAN;
    }
    return values;
}

static struct ir_values evaluated(struct arena *arena, const struct ir_program *p)
{
    struct ir_values values = values_of(arena, p);

    ir_evaluate(p, &values, first_step);
    return values;
}

static const double *by_name(const struct ir_program *p, struct ir_values values, const char *name)
{
    return values.at[ir_find(p, name)->number];
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

/* ---- against plain loops ---- */

enum { N = 3, T = 6, I = 4, U = 5 };

static const char lstm[] = "program p f64\n"
                           "input x[n*: 3, t: 6, i: 4]\n"
                           "parameter W[i: 4, g: 4, u: 5]\n"
                           "parameter R[v: 5, g: 4, u: 5]\n"
                           "state h0[n*: 3, u: 5]\n"
                           "recurrence r over t: 6 up {\n"
                           "a[n*: 3, t: 6, g: 4, u: 5] = sum[i: 4] x[n, t, i] * W[i, g, u]\n"
                           "b[n*: 3, t: 6, g: 4, u: 5] = sum[v: 5] (h[n, t - 1, v] else h0[n, v]) * R[v, g, u]\n"
                           "z[n*: 3, t: 6, g: 4, u: 5] = a[n, t, g, u] + b[n, t, g, u]\n"
                           "c[n*: 3, t: 6, u: 5] = sigmoid(z[n, t, 0, u]) * (c[n, t - 1, u] else 0.0) + "
                           "sigmoid(z[n, t, 1, u]) * tanh(z[n, t, 2, u])\n"
                           "h[n*: 3, t: 6, u: 5] = sigmoid(z[n, t, 3, u]) * tanh(c[n, t, u])\n"
                           "}\n";

static void an_lstm_is_its_loops(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, lstm);
    const double(*x)[T][I], (*W)[4][U], (*R)[4][U], (*h0)[U], (*found)[T][U];
    double h[U], c[U], z[4][U];
    struct ir_values values;

    assert_null(ir_arrange(p));
    sound(p);
    assert_null(ir_find(p, "a")->recurrence);
    values = evaluated(arena, p);
    x = (const void *)by_name(p, values, "x");
    W = (const void *)by_name(p, values, "W");
    R = (const void *)by_name(p, values, "R");
    h0 = (const void *)by_name(p, values, "h0");
    found = (const void *)by_name(p, values, "h");
    for (int n = 0; n < N; n++) {
        memcpy(h, h0[n], sizeof h);
        memset(c, 0, sizeof c);
        for (int t = 0; t < T; t++) {
            for (int g = 0; g < 4; g++)
                for (int u = 0; u < U; u++) {
                    z[g][u] = 0;
                    for (int i = 0; i < I; i++)
                        z[g][u] += x[n][t][i] * W[i][g][u];
                    for (int v = 0; v < U; v++)
                        z[g][u] += h[v] * R[v][g][u];
                }
            for (int u = 0; u < U; u++) {
                c[u] = logistic(z[0][u]) * c[u] + logistic(z[1][u]) * tanh(z[2][u]);
                h[u] = logistic(z[3][u]) * tanh(c[u]);
            }
            for (int u = 0; u < U;
                 u++) /* the two sums are added up in another order: a few roundings of numbers near 1 */
                assert_true(fabs(found[n][t][u] - h[u]) < 1e-13);
        }
    }
    arena_free(arena);
}

static const char gru[] = "program p f64\n"
                          "input a[n*: 3, t: 6, g: 3, u: 5]\n"
                          "parameter R[v: 5, g: 3, u: 5]\n"
                          "recurrence r over t: 6 down {\n"
                          "before[u: 5, n*: 3, t: 6] = (h[n, u, t + 1] else 0.5)\n"
                          "z[n*: 3, t: 6, g: 2, u: 5] = sum[v: 5] before[v, n, t] * R[v, g, u]\n"
                          "k[n*: 3, u: 5, t: 6] = sum[v: 5] sigmoid(a[n, t, 1, v] + z[n, t, 1, v]) * before[v, n, t] * "
                          "R[v, 2, u]\n"
                          "h[n*: 3, u: 5, t: 6] = sigmoid(a[n, t, 0, u] + z[n, t, 0, u]) * before[u, n, t] + "
                          "(1 - sigmoid(a[n, t, 0, u] + z[n, t, 0, u])) * tanh(a[n, t, 2, u] + k[n, u, t])\n"
                          "}\n";

static void a_backwards_gru_is_its_loops(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, gru);
    struct ir_values values = evaluated(arena, p);
    const double(*a)[T][3][U] = (const void *)by_name(p, values, "a");
    const double(*R)[3][U] = (const void *)by_name(p, values, "R");
    const double(*found)[U][T] = (const void *)by_name(p, values, "h");

    sound(p);
    for (int n = 0; n < N; n++) {
        double h[U] = {0.5, 0.5, 0.5, 0.5, 0.5}, z[U], r[U], next[U];

        for (int t = T - 1; t >= 0; t--) {
            for (int u = 0; u < U; u++) {
                z[u] = r[u] = 0;
                for (int v = 0; v < U; v++) {
                    z[u] += h[v] * R[v][0][u];
                    r[u] += h[v] * R[v][1][u];
                }
                z[u] = logistic(a[n][t][0][u] + z[u]);
                r[u] = logistic(a[n][t][1][u] + r[u]);
            }
            for (int u = 0; u < U; u++) {
                double k = 0;

                for (int v = 0; v < U; v++)
                    k += r[v] * h[v] * R[v][2][u];
                next[u] = z[u] * h[u] + (1 - z[u]) * tanh(a[n][t][2][u] + k);
            }
            memcpy(h, next, sizeof h);
            for (int u = 0; u < U; u++) /* another form of the logistic function: a few roundings of numbers near 1 */
                assert_true(fabs(found[n][u][t] - h[u]) < 1e-13);
        }
    }
    arena_free(arena);
}

static void only_what_is_wanted_is_evaluated(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, lstm);
    struct ir_values all = evaluated(arena, p), some = values_of(arena, p);
    bool *wanted = NEW_ARRAY(arena, bool, p->tensors.count);
    const struct ir_tensor *z = ir_find(p, "z"), *h = ir_find(p, "h"), *x = ir_find(p, "a");

    assert_null(ir_arrange(p));
    all = evaluated(arena, p);
    some = values_of(arena, p);
    wanted[x->number] = true;
    ir_evaluate_some(p, &some, first_step, wanted);
    assert_true(isnan(some.at[h->number][0]));
    wanted[z->number] = true; /* stands before h, which it needs */
    ir_evaluate_some(p, &some, first_step, wanted);
    for (int i = 0; i < p->tensors.count; i++)
        assert_memory_equal(some.at[i], all.at[i], sizeof(double) * (size_t)ir_elements(p->tensors.at[i]));
    arena_free(arena);
}

/* ---- rebuilding ---- */

static void an_unchanged_recurrence_keeps_its_tensors(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, lstm), *q;

    assert_null(ir_arrange(p));
    q = ir_rebuild(p, NULL, NULL, NULL);
    assert_int_equal(q->tensors.count, p->tensors.count);
    for (int i = 0; i < q->tensors.count; i++) {
        assert_ptr_equal(q->tensors.at[i], p->tensors.at[i]);
        assert_ptr_equal(ir_find(q, p->tensors.at[i]->name), p->tensors.at[i]);
    }
    sound(q);
    arena_free(arena);
}

/* Changes the equation named by the context, and no value. */
static const struct ir_expr *twice_and_half(struct ir_program *to, const struct ir_tensor *t,
                                            const struct ir_expr *value, void *context)
{
    if (context && strcmp(t->name, context) != 0)
        return value;
    value = ir_apply(to, IR_multiply, ir_real(to, 2), value, NULL);
    return ir_apply(to, IR_multiply, ir_real(to, 0.5), value, NULL);
}

static void a_changed_equation_changes_its_whole_recurrence(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, lstm), *q;
    static const char *const names[] = {"b", "z", "c", "h"};
    struct ir_values before, after;

    assert_null(ir_arrange(p));
    before = evaluated(arena, p);
    q = ir_rebuild(p, NULL, twice_and_half, "h");
    sound(q);
    assert_ptr_equal(ir_find(q, "a"), ir_find(p, "a"));
    after = evaluated(arena, q);
    for (int i = 0; i < 4; i++) {
        struct ir_tensor *new = ir_find(q, names[i]);

        assert_ptr_not_equal(new, ir_find(p, names[i]));
        assert_ptr_equal(new->recurrence, ir_find(p, names[i])->recurrence);
        assert_memory_equal(by_name(q, after, names[i]), by_name(p, before, names[i]),
                            sizeof(double) * (size_t)ir_elements(new));
    }
    ir_renumber(p);
    sound(p);
    arena_free(arena);
}

static void what_feeds_a_recurrence_changes_it(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, lstm), *q;

    assert_null(ir_arrange(p));
    q = ir_rebuild(p, NULL, twice_and_half, "a");
    sound(q);
    assert_ptr_not_equal(ir_find(q, "a"), ir_find(p, "a"));
    assert_ptr_not_equal(ir_find(q, "b"), ir_find(p, "b"));
    arena_free(arena);
}

static void scatters_and_operands_follow_what_they_read(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parse(arena, "program p f64\n"
                                        "input x[i: 4]\n"
                                        "y[i: 4] = x[i] + 1\n"
                                        "r[i: 4] = rank(y)\n"
                                        "s[v: 4] = scatter[i: 4] to [r[i]] x[i]\n");
    struct ir_values before = evaluated(arena, p), after;
    struct ir_program *q = ir_rebuild(p, NULL, twice_and_half, "y");

    sound(q);
    assert_ptr_equal(ir_find(q, "r")->operands[0], ir_find(q, "y"));
    assert_ptr_not_equal(ir_find(q, "s"), ir_find(p, "s"));
    after = evaluated(arena, q);
    assert_memory_equal(by_name(q, after, "s"), by_name(p, before, "s"), 4 * sizeof(double));
    arena_free(arena);
}

/* ---- declared and defined ---- */

static void a_declared_equation_is_read_before_it_is_defined(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = ir_program_new(arena, "p", IR_DOUBLE);
    struct ir_index *t = ir_index(p, "t", 5, false), *s = ir_index(p, "t", 5, false);
    struct ir_recurrence *r = ir_recurrence(p, "r", 5, false);
    struct ir_tensor *count = ir_declare(p, "count", &t, 1, true, 0, 5, r, 0, NULL), *next;
    const struct ir_form *before = ir_form_add(p, ir_form_index(p, s), ir_form_constant(p, -1)), *same;
    const struct ir_expr *read = ir_read(p, count, &before, 1, ir_number(p, 0));
    static const double expected[] = {1, 2, 3, 4, 5};
    struct ir_values values;

    assert_true(read->whole && read->low == 0 && read->high == 5);
    next = ir_equation_in(p, "next", &s, 1, r, 0, IR_MAP, NULL, 0,
                          ir_apply(p, IR_min, ir_apply(p, IR_add, read, ir_number(p, 1), NULL), ir_number(p, 5), NULL),
                          false, NULL);
    same = ir_form_index(p, t);
    ir_define(p, count, IR_MAP, NULL, 0, ir_read(p, next, &same, 1, NULL), false);
    assert_null(ir_arrange(p));
    sound(p);
    assert_ptr_equal(p->tensors.at[0], next);
    assert_string_equal(printed(arena, p), "program p f64\n"
                                           "recurrence r over t: 5 up {\n"
                                           "  next[t: 5] in 1..5 = min((count[t - 1] else 0) + 1, 5)\n"
                                           "  count[time t_2: 5] in 0..5 = next[t_2]\n"
                                           "}\n");
    values = evaluated(arena, p);
    assert_memory_equal(values.at[count->number], expected, sizeof expected);
    arena_free(arena);
}

static void a_cycle_through_an_equation_outside_is_refused(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = ir_program_new(arena, "p", IR_DOUBLE);
    struct ir_index *t = ir_index(p, "t", 5, false);
    struct ir_recurrence *r = ir_recurrence(p, "r", 5, false), *other = ir_recurrence(p, "q", 5, false);
    struct ir_tensor *h = ir_declare(p, "h", &t, 1, false, 0, 0, r, 0, NULL), *y;
    const struct ir_form *before = ir_form_add(p, ir_form_index(p, t), ir_form_constant(p, -1));
    const struct ir_form *same = ir_form_index(p, t);

    y = ir_equation(p, "y", &t, 1, IR_MAP, NULL, 0, ir_read(p, h, &same, 1, NULL), false, NULL);
    ir_define(p, h, IR_MAP, NULL, 0, ir_read(p, y, &before, 1, ir_real(p, 0)), false);
    assert_string_equal(ir_arrange(p), "y depends on itself, outside of any recurrence");
    y->recurrence = other;
    assert_string_equal(ir_arrange(p), "h and y depend on each other, in two recurrences: "
                                       "neither recurrence stands inside of the other");
    arena_free(arena);
}

/* ---- random recurrences ---- */

enum { EQUATIONS = 7, WIDTH = 3 };
struct random_program {
    uint64_t seed;
    struct text text;
    bool down;
    int steps;
    bool time_first[EQUATIONS]; /* [t, u], else [u, t] */
};

static void add_read(struct random_program *r, int of, const char *time, int shift, const char *unit)
{
    char at[32];

    snprintf(at, sizeof at, shift ? "%s %s 1" : "%s", time, r->down ? "+" : "-");
    text_addf(&r->text, shift ? "(e%d[%s, %s] else 0.%d)" : "e%d[%s, %s]", of, r->time_first[of] ? at : unit,
              r->time_first[of] ? unit : at, (int)draw_between(&r->seed, 0, 9));
}

static void add_term(struct random_program *r, int equation, const char *time, const char *unit)
{
    int64_t what = draw_between(&r->seed, 0, 5);

    if (what < 3)
        add_read(r, (int)draw_between(&r->seed, 0, EQUATIONS - 1), time, 1, unit);
    else if (what < 5 && equation)
        add_read(r, (int)draw_between(&r->seed, 0, equation - 1), time, 0, unit);
    else
        text_addf(&r->text, "x[%s, %s]", time, unit);
}

static void add_equation(struct random_program *r, int i)
{
    const char *time = draw_between(&r->seed, 0, 2) ? "t" : "s";
    int64_t terms = draw_between(&r->seed, 1, 3);
    bool sum = !draw_between(&r->seed, 0, 3);

    text_addf(&r->text, r->time_first[i] ? "e%d[%s%s: %d, u: 3] = " : "e%d[u: 3, %s%s: %d] = ", i,
              *time == 's' ? "time " : "", time, r->steps);
    text_add(&r->text, sum ? "sum[v: 3] R[v, u] * (" : "tanh(");
    for (int64_t k = 0; k < terms; k++) {
        text_add(&r->text, k ? draw_between(&r->seed, 0, 1) ? " + " : " * " : "");
        add_term(r, i, time, sum ? "v" : draw_between(&r->seed, 0, 3) ? "u" : "2 - u");
    }
    text_add(&r->text, ")\n");
}

static void write_program(struct random_program *r)
{
    r->down = draw_between(&r->seed, 0, 1);
    r->steps = (int)draw_between(&r->seed, 2, 5);
    text_addf(&r->text, "program p f64\ninput x[t: %d, u: 3]\ninput R[v: 3, u: 3]\n", r->steps);
    text_addf(&r->text, "recurrence r over t: %d %s {\n", r->steps, r->down ? "down" : "up");
    for (int i = 0; i < EQUATIONS; i++)
        r->time_first[i] = draw_between(&r->seed, 0, 1);
    for (int i = 0; i < EQUATIONS; i++)
        add_equation(r, i);
    text_add(&r->text, "}\n");
}

/* What the interpreter reads: element callbacks have no context. */
static struct ir_values interpreted;

static double element(const struct ir_tensor *t, int64_t e)
{
    return interpreted.at[t->number][e];
}

static double interpret_point(const struct ir_tensor *t, struct point *point)
{
    double sum = 0;

    if (t->reduction == IR_MAP)
        return expr_at(t->value, point);
    do
        sum += expr_at(t->value, point);
    while (next_point(point, t->reduced, t->reduced_count));
    return sum;
}

/* Step after step, equation after equation, element after element. */
static void interpret(const struct ir_program *p, int steps, bool down)
{
    for (int s = 0; s < steps; s++)
        for (int i = 0; i < p->tensors.count; i++) {
            const struct ir_tensor *t = p->tensors.at[i];
            struct point point = {.element = element};
            int64_t step = down ? steps - 1 - s : s;

            for (int64_t u = 0; t->kind == IR_EQUATION && u < WIDTH; u++) {
                point.at[t->axes[t->time]->number] = step;
                point.at[t->axes[!t->time]->number] = u;
                interpreted.at[i][t->time ? u * steps + step : step * WIDTH + u] = interpret_point(t, &point);
            }
        }
}

static void check_values(struct arena *arena, const struct ir_program *p, const struct ir_program *original,
                         const char *text)
{
    struct ir_values values = evaluated(arena, p), expected = interpreted;

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        int number = -1;

        for (int k = 0; k < original->tensors.count; k++)
            if (!strcmp(original->tensors.at[k]->name, t->name))
                number = k;
        for (int64_t e = 0; e < ir_elements(t); e++)
            if (values.at[i][e] != expected.at[number][e])
                fail_msg("element %d of %s is %.17g, expected %.17g, in\n%s", (int)e, t->name, values.at[i][e],
                         expected.at[number][e], text);
    }
}

static void shuffle(struct ir_program *p, uint64_t *seed)
{
    for (int i = p->tensors.count - 1; i > 0; i--) {
        int64_t k = draw_between(seed, 0, i);
        struct ir_tensor *t = p->tensors.at[i];

        p->tensors.at[i] = p->tensors.at[k];
        p->tensors.at[k] = t;
    }
    ir_renumber(p);
}

static void random_recurrences_keep_their_values(void **state)
{
    int recurrences = 0, outside = 0;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct arena *arena = arena_new();
        struct random_program r = {.seed = seed};
        struct ir_program *p, *original, *again;
        const char *text;

        write_program(&r);
        original = parse(arena, r.text.data);
        interpreted = values_of(arena, original);
        interpret(original, r.steps, r.down);
        check_values(arena, original, original, r.text.data);
        p = parse(arena, r.text.data);
        assert_null(ir_arrange(p));
        sound(p);
        check_values(arena, p, original, r.text.data);
        text = printed(arena, p);
        again = parse(arena, text);
        assert_string_equal(printed(arena, again), text);
        sound(again);
        check_values(arena, again, original, text);
        assert_null(ir_arrange(again));
        assert_string_equal(printed(arena, again), text);
        again = ir_rebuild(p, NULL, twice_and_half, NULL);
        sound(again);
        check_values(arena, again, original, text);
        shuffle(again, &r.seed);
        assert_null(ir_arrange(again));
        sound(again);
        check_values(arena, again, original, text);
        for (int i = 0; i < p->tensors.count; i++) {
            recurrences += p->tensors.at[i]->recurrence != NULL;
            outside += p->tensors.at[i]->kind == IR_EQUATION && !p->tensors.at[i]->recurrence;
        }
        text_free(&r.text);
        arena_free(arena);
    }
    assert_true(recurrences > 400 && outside > 400); /* both are met often */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_lstm_is_its_loops),
        cmocka_unit_test(a_backwards_gru_is_its_loops),
        cmocka_unit_test(only_what_is_wanted_is_evaluated),
        cmocka_unit_test(an_unchanged_recurrence_keeps_its_tensors),
        cmocka_unit_test(a_changed_equation_changes_its_whole_recurrence),
        cmocka_unit_test(what_feeds_a_recurrence_changes_it),
        cmocka_unit_test(scatters_and_operands_follow_what_they_read),
        cmocka_unit_test(a_declared_equation_is_read_before_it_is_defined),
        cmocka_unit_test(a_cycle_through_an_equation_outside_is_refused),
        cmocka_unit_test(random_recurrences_keep_their_values),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
