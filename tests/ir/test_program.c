/* test_program.c: tensors, names, inference, and programs made out of others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "ir.h"

/* x[n, i] real, label[n] in 0 .. 9, W[i, o]; h = x . W; y = h * h. */
struct world {
    struct arena *arena;
    struct ir_program *p;
    struct ir_index *n, *i, *o;
    struct ir_tensor *x, *label, *W, *h, *y;
};

static const struct ir_expr *at(struct ir_program *p, struct ir_tensor *t, struct ir_index *a, struct ir_index *b)
{
    const struct ir_form *subscripts[2] = {a ? ir_form_index(p, a) : NULL, b ? ir_form_index(p, b) : NULL};

    return ir_read(p, t, subscripts, t->rank, NULL);
}

static struct world world_new(void)
{
    struct world w = {.arena = arena_new()};
    struct ir_program *p = w.p = ir_program_new(w.arena, "test", IR_SINGLE);

    w.n = ir_index(p, "n", 8, true);
    w.i = ir_index(p, "i", 5, false);
    w.o = ir_index(p, "o", 3, false);
    w.x = ir_leaf(p, IR_INPUT, "x", (struct ir_index *[]){w.n, w.i}, 2, false, 0, 0, NULL);
    w.label = ir_leaf(p, IR_INPUT, "label", &w.n, 1, true, 0, 9, NULL);
    w.W = ir_leaf(p, IR_PARAMETER, "W", (struct ir_index *[]){w.i, w.o}, 2, false, 0, 0, NULL);
    w.h = ir_equation(p, "h", (struct ir_index *[]){w.n, w.o}, 2, IR_SUM, &w.i, 1,
                      ir_apply(p, IR_multiply, at(p, w.x, w.n, w.i), at(p, w.W, w.i, w.o), NULL), false, NULL);
    w.y = ir_equation(p, "y", (struct ir_index *[]){w.n, w.o}, 2, IR_MAP, NULL, 0,
                      ir_apply(p, IR_multiply, at(p, w.h, w.n, w.o), at(p, w.h, w.n, w.o), NULL), false, NULL);
    ir_add_output(p, "y", w.y, false);
    return w;
}

static void names_are_made_unique(void **state)
{
    struct world w = world_new();

    assert_string_equal(ir_leaf(w.p, IR_STATE, "x", NULL, 0, false, 0, 0, NULL)->name, "x_2");
    assert_string_equal(ir_leaf(w.p, IR_STATE, "x", NULL, 0, false, 0, 0, NULL)->name, "x_3");
    assert_string_equal(ir_leaf(w.p, IR_STATE, "y_2", NULL, 0, false, 0, 0, NULL)->name, "y_2");
    assert_string_equal(ir_leaf(w.p, IR_STATE, "y", NULL, 0, false, 0, 0, NULL)->name, "y_3");
    assert_ptr_equal(ir_find(w.p, "x"), w.x);
    assert_null(ir_find(w.p, "z"));
    arena_free(w.arena);
}

static void sizes_are_products_of_extents(void **state)
{
    struct world w = world_new();

    assert_int_equal(ir_elements(w.x), 40);
    assert_int_equal(ir_elements(ir_leaf(w.p, IR_SCALAR, "step", NULL, 0, false, 0, 0, NULL)), 1);
    arena_free(w.arena);
}

static struct ir_tensor *reduce(struct world *w, enum ir_reduction reduction, const struct ir_expr *value)
{
    return ir_equation(w->p, "r", NULL, 0, reduction, &w->n, reduction != IR_MAP, value, false, NULL);
}

static void reductions_of_whole_numbers_are_whole(void **state)
{
    struct world w = world_new();
    const struct ir_expr *label = at(w.p, w.label, w.n, NULL);
    struct ir_tensor *sum = reduce(&w, IR_SUM, label), *most = reduce(&w, IR_MAXIMUM, label);
    struct ir_tensor *product = reduce(&w, IR_PRODUCT, ir_apply(w.p, IR_less, label, ir_number(w.p, 3), NULL));
    struct ir_tensor *where = reduce(&w, IR_ARGMAX, ir_apply(w.p, IR_exp, label, NULL, NULL));

    assert_true(sum->whole && most->whole && product->whole && where->whole);
    assert_int_equal(sum->low, 0);
    assert_int_equal(sum->high, 72);
    assert_int_equal(most->high, 9);
    assert_int_equal(product->high, 1);
    assert_int_equal(where->low, 0);
    assert_int_equal(where->high, 7);
    assert_false(w.h->whole);
    arena_free(w.arena);
}

static void long_sums_saturate(void **state)
{
    struct world w = world_new();
    struct ir_index *many = ir_index(w.p, "many", INT64_MAX / 2, false);
    struct ir_tensor *counts = ir_leaf(w.p, IR_STATE, "counts", &w.n, 1, true, -5, 1000, NULL);
    const struct ir_form *first = ir_form_constant(w.p, 0);
    struct ir_tensor *sum =
        ir_equation(w.p, "s", NULL, 0, IR_SUM, &many, 1, ir_read(w.p, counts, &first, 1, NULL), false, NULL);

    assert_true(sum->low == INT64_MIN && sum->high == INT64_MAX);
    arena_free(w.arena);
}

static void an_unchanged_program_shares_its_tensors(void **state)
{
    struct world w = world_new();
    struct ir_program *q = ir_rebuild(w.p, NULL, NULL, NULL);

    assert_int_equal(q->tensors.count, w.p->tensors.count);
    for (int i = 0; i < q->tensors.count; i++)
        assert_ptr_equal(q->tensors.at[i], w.p->tensors.at[i]);
    assert_ptr_equal(q->outputs.at[0].tensor, w.y);
    assert_null(ir_verify(q));
    arena_free(w.arena);
}

static const struct ir_expr *halve_h(struct ir_program *to, const struct ir_tensor *t, const struct ir_expr *value,
                                     void *context)
{
    return t == context ? ir_apply(to, IR_multiply, ir_number(to, 0.5), value, NULL) : value;
}

static void a_changed_equation_changes_its_readers(void **state)
{
    struct world w = world_new();
    struct ir_program *q = ir_rebuild(w.p, NULL, halve_h, w.h);
    struct ir_tensor *h = ir_find(q, "h"), *y = ir_find(q, "y");

    assert_null(ir_verify(q));
    assert_ptr_not_equal(h, w.h);
    assert_ptr_not_equal(y, w.y);
    assert_ptr_equal(ir_find(q, "x"), w.x);
    assert_ptr_equal(y->value->arguments[0]->tensor, h);
    assert_ptr_equal(q->outputs.at[0].tensor, y);
    ir_renumber(w.p);
    assert_null(ir_verify(w.p));
    assert_ptr_equal(ir_find(w.p, "h"), w.h);
    arena_free(w.arena);
}

static void dropped_tensors_renumber_the_rest(void **state)
{
    struct world w = world_new();
    bool keep[] = {true, false, true, true, true};
    struct ir_program *q = ir_rebuild(w.p, keep, NULL, NULL);

    assert_int_equal(q->tensors.count, 4);
    assert_null(ir_find(q, "label"));
    assert_int_equal(w.y->number, 3);
    assert_null(ir_verify(q));
    arena_free(w.arena);
}

static void hashes_of_reads_do_not_depend_on_numbers(void **state)
{
    struct world w = world_new();
    uint64_t before = w.y->value->hash;
    const struct ir_expr *again;

    w.h->number = 77;
    again = ir_apply(w.p, IR_multiply, at(w.p, w.h, w.n, w.o), at(w.p, w.h, w.n, w.o), NULL);
    assert_ptr_equal(again, w.y->value);
    assert_true(again->hash == before);
    arena_free(w.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_made_unique),
        cmocka_unit_test(sizes_are_products_of_extents),
        cmocka_unit_test(reductions_of_whole_numbers_are_whole),
        cmocka_unit_test(long_sums_saturate),
        cmocka_unit_test(an_unchanged_program_shares_its_tensors),
        cmocka_unit_test(a_changed_equation_changes_its_readers),
        cmocka_unit_test(dropped_tensors_renumber_the_rest),
        cmocka_unit_test(hashes_of_reads_do_not_depend_on_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
