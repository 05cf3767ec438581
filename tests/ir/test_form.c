/* test_form.c: forms normalise to one node, and never change their value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ir.h"
#include "walk.h"

/* The program under test: indices i, j, k, m, n of mixed extents and a whole tensor v[4] with values in -2 .. 5. */
struct world {
    struct arena *arena;
    struct ir_program *p;
    struct ir_index *index[5];
    struct ir_tensor *v;
};

static double element(const struct ir_tensor *tensor, int64_t i)
{
    static const double values[] = {3, -2, 5, 0};

    (void)tensor;
    return values[i];
}

static struct world world_new(const int64_t *extents)
{
    static const char *const names[] = {"i", "j", "k", "m", "n"};
    struct world w = {.arena = arena_new()};
    struct ir_index *axis;

    w.p = ir_program_new(w.arena, "test", IR_DOUBLE);
    for (int i = 0; i < 5; i++)
        w.index[i] = ir_index(w.p, names[i], extents[i], false);
    axis = ir_index(w.p, "a", 4, false);
    w.v = ir_leaf(w.p, IR_INPUT, "v", &axis, 1, true, -2, 5, NULL);
    return w;
}

static const int64_t small[5] = {6, 4, 3, 2, 5}, large[5] = {60, 12, 24, 9, 50};

static const struct ir_form *I(struct world *w, int i)
{
    return ir_form_index(w->p, w->index[i]);
}

/* a*x + b*y + c */
static const struct ir_form *affine(struct world *w, int64_t a, const struct ir_form *x, int64_t b,
                                    const struct ir_form *y, int64_t c)
{
    return ir_form_add(w->p, ir_form_add(w->p, ir_form_scale(w->p, x, a), ir_form_scale(w->p, y, b)),
                       ir_form_constant(w->p, c));
}

static const struct ir_form *over(struct world *w, const struct ir_form *f, int64_t k)
{
    return ir_form_quotient(w->p, f, k);
}

static const struct ir_form *rest(struct world *w, const struct ir_form *f, int64_t k)
{
    return ir_form_remainder(w->p, f, k);
}

#define EQUAL(a, b) assert_ptr_equal((a), (b))

/* ---- the rules, one by one ---- */

static void equal_sums_are_one_node(void **state)
{
    struct world w = world_new(small);

    EQUAL(affine(&w, 2, I(&w, 0), 3, I(&w, 1), 1), affine(&w, 3, I(&w, 1), 2, I(&w, 0), 1));
    EQUAL(affine(&w, 2, I(&w, 0), -2, I(&w, 0), 0), ir_form_constant(w.p, 0));
    arena_free(w.arena);
}

static void multiples_leave_a_division(void **state)
{
    struct world w = world_new(small);

    EQUAL(over(&w, affine(&w, 6, I(&w, 0), 1, I(&w, 1), 8), 3),
          affine(&w, 2, I(&w, 0), 1, over(&w, affine(&w, 1, I(&w, 1), 0, I(&w, 0), 2), 3), 2));
    EQUAL(rest(&w, affine(&w, 6, I(&w, 0), 1, I(&w, 1), 8), 3), rest(&w, affine(&w, 1, I(&w, 1), 0, I(&w, 0), 2), 3));
    arena_free(w.arena);
}

static void an_interval_in_one_cell_decides_a_division(void **state)
{
    struct world w = world_new(small);

    EQUAL(over(&w, affine(&w, 1, I(&w, 1), 0, I(&w, 0), 4), 4), ir_form_constant(w.p, 1));
    EQUAL(rest(&w, affine(&w, 1, I(&w, 1), 0, I(&w, 0), 4), 4), I(&w, 1));
    EQUAL(over(&w, affine(&w, 1, I(&w, 1), 0, I(&w, 0), -4), 4), ir_form_constant(w.p, -1));
    arena_free(w.arena);
}

static void composite_axes_come_apart(void **state)
{
    struct world w = world_new(small);
    const struct ir_form *flat = affine(&w, 12, I(&w, 0), 1, affine(&w, 3, I(&w, 1), 1, I(&w, 2), 0), 0);

    EQUAL(over(&w, flat, 12), I(&w, 0));
    EQUAL(rest(&w, over(&w, flat, 3), 4), I(&w, 1));
    EQUAL(over(&w, rest(&w, flat, 12), 3), I(&w, 1));
    EQUAL(rest(&w, flat, 3), I(&w, 2));
    arena_free(w.arena);
}

static void a_part_below_a_divisor_leaves_a_division(void **state)
{
    struct world w = world_new(small);
    const struct ir_form *f = affine(&w, 2, I(&w, 0), 1, I(&w, 3), 0);

    EQUAL(over(&w, f, 6), over(&w, I(&w, 0), 3));
    EQUAL(rest(&w, f, 6), affine(&w, 2, rest(&w, I(&w, 0), 3), 1, I(&w, 3), 0));
    arena_free(w.arena);
}

static void quotient_and_remainder_join(void **state)
{
    struct world w = world_new(small);
    const struct ir_form *f = affine(&w, 1, I(&w, 0), -1, I(&w, 1), 1);

    EQUAL(affine(&w, 4, over(&w, f, 4), 1, rest(&w, f, 4), 0), f);
    EQUAL(affine(&w, -12, over(&w, f, 4), -3, rest(&w, f, 4), 7),
          ir_form_add(w.p, ir_form_scale(w.p, f, -3), ir_form_constant(w.p, 7)));
    EQUAL(affine(&w, 1, f, -4, over(&w, f, 4), 0), rest(&w, f, 4));
    arena_free(w.arena);
}

static void nested_quotients_are_one(void **state)
{
    struct world w = world_new((int64_t[]){100, 4, 3, 2, 5});
    const struct ir_form *f = affine(&w, 1, I(&w, 0), -1, I(&w, 1), 1);

    EQUAL(over(&w, over(&w, f, 2), 3), over(&w, f, 6));
    EQUAL(affine(&w, 1, over(&w, f, 2), -3, over(&w, f, 6), 0), rest(&w, over(&w, f, 2), 3));
    EQUAL(affine(&w, 1, rest(&w, over(&w, f, 2), 3), 3, over(&w, f, 6), 0), over(&w, f, 2));
    arena_free(w.arena);
}

static void a_remainder_opens_where_it_cancels(void **state)
{
    struct world w = world_new((int64_t[]){9, 4, 3, 2, 5});
    const struct ir_form *next = affine(&w, 1, I(&w, 0), 0, I(&w, 1), 1);
    const struct ir_form *f = affine(&w, 1, next, -1, rest(&w, next, 2), 0);

    EQUAL(over(&w, f, 2), over(&w, next, 2));
    arena_free(w.arena);
}

static void values_are_atoms(void **state)
{
    struct world w = world_new(small);
    const struct ir_form *at = I(&w, 1);
    const struct ir_expr *read = ir_read(w.p, w.v, &at, 1, NULL);
    const struct ir_form *f = ir_form_of(w.p, read);

    EQUAL(ir_of_form(w.p, f), read);
    assert_int_equal(f->low, -2);
    assert_int_equal(f->high, 5);
    assert_true(ir_form_mentions(f, w.index[1]));
    assert_false(ir_form_mentions(f, w.index[0]));
    EQUAL(over(&w, affine(&w, 8, f, 1, I(&w, 0), 0), 8), f);
    arena_free(w.arena);
}

static void terms_are_ordered_by_name(void **state)
{
    struct world w = world_new(small);
    const struct ir_form *f = affine(&w, 1, I(&w, 3), 1, affine(&w, 1, I(&w, 2), 1, I(&w, 0), 0), 0);

    assert_int_equal(f->count, 3);
    assert_ptr_equal(f->terms[0].atom->index, w.index[0]);
    assert_ptr_equal(f->terms[1].atom->index, w.index[2]);
    assert_ptr_equal(f->terms[2].atom->index, w.index[3]);
    arena_free(w.arena);
}

static void bare_indices_and_coefficients_are_found(void **state)
{
    struct world w = world_new(small);
    const struct ir_form *f = affine(&w, -2, I(&w, 0), 3, over(&w, affine(&w, 1, I(&w, 0), 1, I(&w, 1), 0), 2), 1);

    assert_ptr_equal(ir_form_bare(I(&w, 2)), w.index[2]);
    assert_null(ir_form_bare(f));
    assert_null(ir_form_bare(affine(&w, 1, I(&w, 0), 0, I(&w, 0), 1)));
    assert_int_equal(ir_form_coefficient(f, w.index[0]), -2);
    assert_int_equal(ir_form_coefficient(f, w.index[1]), 0);
    assert_true(ir_form_mentions(f, w.index[1]));
    arena_free(w.arena);
}

/* ---- every value of random forms ---- */

/* A random form together with a plain function that says what it must be. */
struct tree {
    enum { INDEX, WHOLE, VALUE, PLUS, TIMES, OVER, REST } kind;
    int64_t number; /* of the index; factor; divisor; constant */
    const struct tree *a, *b;
};

static const struct tree *random_tree(struct world *w, uint64_t *state, int depth)
{
    struct tree *t = NEW(w->arena, struct tree);
    int64_t pick = draw_between(state, 0, depth > 0 ? 9 : 3);

    t->kind = pick <= 1   ? INDEX
              : pick == 2 ? WHOLE
              : pick == 3 ? VALUE
              : pick <= 5 ? PLUS
              : pick <= 6 ? TIMES
              : pick <= 8 ? OVER
                          : REST;
    if (t->kind == VALUE && draw(state) % 4)
        t->kind = INDEX;
    t->number = t->kind == INDEX ? draw_between(state, 0, 4) : draw_between(state, -7, 7);
    if (t->kind == TIMES && draw(state) % 2)
        t->number = draw_between(state, 1, 4) * (draw(state) % 2 ? 2 : 3);
    if (t->kind == OVER || t->kind == REST)
        t->number = draw_between(state, 1, 4) * draw_between(state, 1, 3);
    if (t->kind >= PLUS)
        t->a = random_tree(w, state, depth - 1);
    if (t->kind == PLUS)
        t->b = random_tree(w, state, depth - 1);
    return t;
}

static const struct ir_form *build(struct world *w, const struct tree *t)
{
    const struct ir_form *at;

    switch (t->kind) {
    case INDEX:
        return I(w, (int)t->number);
    case WHOLE:
        return ir_form_constant(w->p, t->number);
    case VALUE:
        at = rest(w, I(w, 0), 4);
        return ir_form_of(w->p, ir_read(w->p, w->v, &at, 1, NULL));
    case PLUS:
        return ir_form_add(w->p, build(w, t->a), build(w, t->b));
    case TIMES:
        return ir_form_scale(w->p, build(w, t->a), t->number);
    case OVER:
        return over(w, build(w, t->a), t->number);
    default:
        return rest(w, build(w, t->a), t->number);
    }
}

static int64_t expected(const struct world *w, const struct tree *t, const struct point *point)
{
    int64_t a, m;

    switch (t->kind) {
    case INDEX:
        return point->at[w->index[t->number]->number];
    case WHOLE:
        return t->number;
    case VALUE:
        return (int64_t)element(w->v, point->at[w->index[0]->number] % 4);
    case PLUS:
        return expected(w, t->a, point) + expected(w, t->b, point);
    case TIMES:
        return expected(w, t->a, point) * t->number;
    default:
        a = expected(w, t->a, point);
        m = ((a % t->number) + t->number) % t->number;
        return t->kind == REST ? m : (a - m) / t->number;
    }
}

static void check_shape(const struct ir_form *f)
{
    for (int i = 0; i < f->count; i++) {
        assert_true(f->terms[i].coefficient != 0);
        for (int j = 0; j < i; j++)
            assert_ptr_not_equal(f->terms[i].atom, f->terms[j].atom);
        if (f->terms[i].atom->form) {
            assert_true(f->terms[i].atom->divisor > 1);
            assert_true(f->terms[i].atom->form->constant >= 0 || f->terms[i].atom->kind == IR_ATOM_QUOTIENT);
            check_shape(f->terms[i].atom->form);
        }
    }
}

static void random_forms_keep_their_values(void **unused)
{
    uint64_t state = 1;

    for (int trial = 0; trial < 3000; trial++) {
        int64_t extents[5];
        struct world w;
        struct point point = {.element = element};
        const struct tree *t;
        const struct ir_form *f;

        for (int i = 0; i < 5; i++)
            extents[i] = draw_between(&state, 1, 5);
        w = world_new(extents);
        t = random_tree(&w, &state, 5);
        f = build(&w, t);
        check_shape(f);
        do {
            int64_t value = form_at(f, &point);

            if (value != expected(&w, t, &point))
                fail_msg("trial %d: %lld instead of %lld", trial, (long long)value, (long long)expected(&w, t, &point));
            assert_true(f->low <= value && value <= f->high);
        } while (next_point(&point, w.index, 5));
        arena_free(w.arena);
    }
}

static void random_forms_normalise_to_themselves(void **unused)
{
    uint64_t state = 2;

    for (int trial = 0; trial < 5000; trial++) {
        struct world w = world_new(trial % 2 ? large : small);
        const struct ir_form *f = build(&w, random_tree(&w, &state, 5)), *to = ir_form_index(w.p, w.index[0]);

        EQUAL(ir_form_substitute(w.p, f, &w.index[0], &to, 1), f);
        arena_free(w.arena);
    }
}

static void substitution_in_random_forms_keeps_their_values(void **unused)
{
    uint64_t state = 3;

    for (int trial = 0; trial < 2000; trial++) {
        struct world w = world_new(small);
        const struct tree *t = random_tree(&w, &state, 4),
                          *s[2] = {random_tree(&w, &state, 2), random_tree(&w, &state, 2)};
        const struct ir_form *to[2], *f;
        struct point point = {.element = element};

        /* kept within the axes: the index in v's subscript must stay inside */
        to[0] = rest(&w, build(&w, s[0]), small[0]);
        to[1] = rest(&w, build(&w, s[1]), small[1]);
        f = ir_form_substitute(w.p, build(&w, t), w.index, to, 2);
        do {
            struct point moved = point;

            moved.at[w.index[0]->number] = form_at(to[0], &point);
            moved.at[w.index[1]->number] = form_at(to[1], &point);
            assert_int_equal(form_at(f, &point), expected(&w, t, &moved));
        } while (next_point(&point, w.index, 5));
        arena_free(w.arena);
    }
}

static void hashes_are_the_same_in_every_run(void **unused)
{
    uint64_t hashes[2];

    for (int run = 0; run < 2; run++) {
        uint64_t state = 4;
        struct world w = world_new(small);
        void *padding = test_malloc(1000 + 5000 * (size_t)run);

        hashes[run] = 0;
        for (int i = 0; i < 50; i++)
            hashes[run] = hashes[run] * 31 + build(&w, random_tree(&w, &state, 5))->hash;
        test_free(padding);
        arena_free(w.arena);
    }
    assert_true(hashes[0] == hashes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sums_are_one_node),
        cmocka_unit_test(multiples_leave_a_division),
        cmocka_unit_test(an_interval_in_one_cell_decides_a_division),
        cmocka_unit_test(composite_axes_come_apart),
        cmocka_unit_test(a_part_below_a_divisor_leaves_a_division),
        cmocka_unit_test(quotient_and_remainder_join),
        cmocka_unit_test(nested_quotients_are_one),
        cmocka_unit_test(a_remainder_opens_where_it_cancels),
        cmocka_unit_test(values_are_atoms),
        cmocka_unit_test(terms_are_ordered_by_name),
        cmocka_unit_test(bare_indices_and_coefficients_are_found),
        cmocka_unit_test(random_forms_keep_their_values),
        cmocka_unit_test(random_forms_normalise_to_themselves),
        cmocka_unit_test(substitution_in_random_forms_keeps_their_values),
        cmocka_unit_test(hashes_are_the_same_in_every_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
