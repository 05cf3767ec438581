/* test_verify.c: each law of verify.c and verify_kernels.c, broken once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#include "ir.h"

/* x[n, i], W[i, o], s[o]; h = x . W; m[n] = sum over o of h; y[n, o] = h - m; g[i, o] = W - sum over n of y. */
struct world {
    struct arena *arena;
    struct ir_program *p;
    struct ir_index *n, *i, *o;
    struct ir_tensor *x, *W, *s, *h, *m, *y, *t, *g;
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
    w.W = ir_leaf(p, IR_PARAMETER, "W", (struct ir_index *[]){w.i, w.o}, 2, false, 0, 0, NULL);
    w.s = ir_leaf(p, IR_STATE, "s", &w.o, 1, false, 0, 0, NULL);
    w.h = ir_equation(p, "h", (struct ir_index *[]){w.n, w.o}, 2, IR_SUM, &w.i, 1,
                      ir_apply(p, IR_multiply, at(p, w.x, w.n, w.i), at(p, w.W, w.i, w.o), NULL), false, NULL);
    w.m = ir_equation(p, "m", &w.n, 1, IR_SUM, &w.o, 1, at(p, w.h, w.n, w.o), false, NULL);
    w.y = ir_equation(p, "y", (struct ir_index *[]){w.n, w.o}, 2, IR_MAP, NULL, 0,
                      ir_apply(p, IR_subtract, at(p, w.h, w.n, w.o), at(p, w.m, w.n, NULL), NULL), false, NULL);
    w.t = ir_equation(p, "t", &w.o, 1, IR_SUM, &w.n, 1, at(p, w.y, w.n, w.o), false, NULL);
    w.g = ir_equation(p, "g", (struct ir_index *[]){w.i, w.o}, 2, IR_MAP, NULL, 0,
                      ir_apply(p, IR_subtract, at(p, w.W, w.i, w.o), at(p, w.t, w.o, NULL), NULL), false, NULL);
    ir_add_update(p, w.W, w.g);
    ir_add_output(p, "y", w.y, false);
    return w;
}

#define BROKEN(w, words)                                                                                               \
    do {                                                                                                               \
        const char *message = ir_verify((w).p);                                                                        \
        if (!message)                                                                                                  \
            fail_msg("expected a message with \"%s\"", (words));                                                       \
        if (!strstr(message, (words)))                                                                                 \
            fail_msg("\"%s\" lacks \"%s\"", message, (words));                                                         \
        arena_free((w).arena);                                                                                         \
    } while (0)

static void a_sound_program_passes(void **state)
{
    struct world w = world_new();
    const char *message = ir_verify(w.p);

    if (message)
        fail_msg("%s", message);
    arena_free(w.arena);
}

static void a_read_stands_after_what_it_reads(void **state)
{
    struct world w = world_new();

    w.p->tensors.at[w.h->number] = w.y;
    w.p->tensors.at[w.y->number] = w.h;
    ir_renumber(w.p);
    BROKEN(w, "equation y reads h, which does not stand before it");
}

static void numbers_are_places(void **state)
{
    struct world w = world_new();

    w.m->number = 0;
    BROKEN(w, "has the number 0; expected its place");
}

static void names_are_unique(void **state)
{
    struct world w = world_new();

    w.m->name = "h";
    BROKEN(w, "two tensors are named h");
}

static void indices_are_outputs_or_reduced(void **state)
{
    struct world w = world_new();

    w.m->reduced[0] = w.i;
    BROKEN(w, "equation m: index o is neither an output nor reduced");
}

static void axes_are_distinct(void **state)
{
    struct world w = world_new();

    w.x->axes[1] = w.n;
    BROKEN(w, "tensor x: index n is two of its axes");
}

static void a_map_reduces_over_nothing(void **state)
{
    struct world w = world_new();

    w.h->reduction = IR_MAP;
    BROKEN(w, "equation h: a map reduces");
}

static void a_sum_reduces_over_something(void **state)
{
    struct world w = world_new();

    w.y->reduction = IR_SUM;
    BROKEN(w, "equation y: it reduces over no index");
}

static void subscripts_are_inside(void **state)
{
    struct world w = world_new();
    struct ir_index *shorter = ir_index(w.p, "i", 4, false);

    w.W->axes[0] = shorter;
    BROKEN(w, "subscript 1 of W is in 0 .. 4; expected 0 .. 3 or an otherwise");
}

static void quotients_take_whole_numbers(void **state)
{
    struct world w = world_new();
    const struct ir_expr *real = at(w.p, w.s, w.o, NULL);

    ir_equation(w.p, "q", &w.o, 1, IR_MAP, NULL, 0, ir_apply(w.p, IR_quotient, real, real, NULL), false, NULL);
    BROKEN(w, "equation q: an operand of // is a real number");
}

static void a_whole_equation_has_a_whole_value(void **state)
{
    struct world w = world_new();

    w.y->whole = true;
    BROKEN(w, "equation y is said to be whole");
}

static void an_interval_holds_the_value(void **state)
{
    struct world w = world_new();
    struct ir_tensor *c =
        ir_equation(w.p, "c", &w.o, 1, IR_MAP, NULL, 0, ir_of_form(w.p, ir_form_index(w.p, w.o)), false, NULL);

    c->high = 1;
    BROKEN(w, "equation c: its value is in 0 .. 2, outside its 0 .. 1");
}

static void scalars_have_rank_0(void **state)
{
    struct world w = world_new();

    ir_leaf(w.p, IR_SCALAR, "step", &w.o, 1, false, 0, 0, NULL);
    BROKEN(w, "the scalar step has rank 1");
}

static void draws_per_sample_have_the_batch_first(void **state)
{
    struct world w = world_new();

    ir_draw_leaf(w.p, "keep", IR_UNIFORM16, IR_PER_SAMPLE, 0, &w.o, 1, NULL);
    BROKEN(w, "the draw keep is per sample; expected the batch as its first axis");
}

static void mapped_axes_exist(void **state)
{
    struct world w = world_new();

    ir_draw_leaf(w.p, "keep", IR_UNIFORM16, IR_PER_SAMPLE, 2, (struct ir_index *[]){w.n, w.o}, 2, NULL);
    BROKEN(w, "has 2 mapped axes; expected 0 .. 1");
}

static void updates_are_of_parameters_and_states(void **state)
{
    struct world w = world_new();

    ir_add_update(w.p, w.x, w.x);
    BROKEN(w, "x is updated; expected a parameter or a state");
}

static void updates_are_unique(void **state)
{
    struct world w = world_new();

    ir_add_update(w.p, w.W, w.g);
    BROKEN(w, "W is updated twice");
}

static void updates_keep_shapes(void **state)
{
    struct world w = world_new();

    ir_add_update(w.p, w.s, w.m);
    BROKEN(w, "axis 1 of s has the extent 3; its update m has 8");
}

static void guards_have_rank_0(void **state)
{
    struct world w = world_new();

    ir_add_output(w.p, "loss", w.t, true);
    BROKEN(w, "output loss is a guard of rank 1");
}

static void output_names_are_unique(void **state)
{
    struct world w = world_new();

    ir_add_output(w.p, "y", w.t, false);
    BROKEN(w, "two outputs are named y");
}

/* ---- kernels ---- */

static struct ir_kernel *kernel(struct world *w, const char *name, struct ir_index *parallel)
{
    struct ir_kernel *k = NEW(w->arena, struct ir_kernel);

    k->name = name;
    if (parallel)
        list_add(w->arena, k->parallel, parallel);
    list_add(w->arena, w->p->kernels, k);
    return k;
}

static struct ir_stage *stage(struct world *w, struct ir_kernel *k, struct ir_index *a, struct ir_index *b,
                              struct ir_tensor *t)
{
    struct ir_stage *s = NEW(w->arena, struct ir_stage);

    if (a)
        list_add(w->arena, s->inner, a);
    if (b)
        list_add(w->arena, s->inner, b);
    list_add(w->arena, s->equations, t);
    list_add(w->arena, k->stages, s);
    return s;
}

/* Rows: for each n { h over (o, i); m over o; y over o, t in parts }; then g for each i. */
static struct world fused(void)
{
    struct world w = world_new();
    struct ir_kernel *rows = kernel(&w, "rows", w.n), *update = kernel(&w, "update", w.i);
    struct ir_stage *last;

    stage(&w, rows, w.o, w.i, w.h);
    stage(&w, rows, w.o, NULL, w.m);
    last = stage(&w, rows, w.o, NULL, w.y);
    list_add(w.arena, last->equations, w.t);
    stage(&w, update, w.o, NULL, w.g);
    w.h->region = w.m->region = IR_LOCAL;
    return w;
}

static struct ir_stage *stage_at(struct world *w, int k, int s)
{
    return w->p->kernels.at[k]->stages.at[s];
}

static void a_sound_kernel_passes(void **state)
{
    struct world w = fused();
    const char *message = ir_verify(w.p);

    if (message)
        fail_msg("%s", message);
    arena_free(w.arena);
}

static void an_equation_is_computed_once(void **state)
{
    struct world w = fused();

    list_add(w.arena, stage_at(&w, 0, 2)->equations, w.y);
    BROKEN(w, "equation y is computed twice");
}

static void an_equation_fits_its_loops(void **state)
{
    struct world w = fused();

    stage_at(&w, 0, 1)->inner.count = 0;
    BROKEN(w, "equation m is neither a map, an inner reduction nor a reduction in parts");
}

static void outputs_stand_before_what_is_reduced(void **state)
{
    struct world w = fused();

    stage_at(&w, 0, 0)->inner.at[0] = w.i;
    stage_at(&w, 0, 0)->inner.at[1] = w.o;
    BROKEN(w, "an output of h stands after what it reduces");
}

static void a_reduction_is_complete_when_its_stage_ends(void **state)
{
    struct world w = fused();

    stage_at(&w, 0, 1)->equations.at[0] = w.m;
    list_add(w.arena, stage_at(&w, 0, 1)->equations, w.y);
    stage_at(&w, 0, 2)->equations.at[0] = w.t;
    stage_at(&w, 0, 2)->equations.count = 1;
    BROKEN(w, "y reads m, which is complete only when their stage ends");
}

static void a_reduction_in_parts_is_complete_when_its_kernel_ends(void **state)
{
    struct world w = fused();
    struct ir_tensor *late = ir_equation(w.p, "late", (struct ir_index *[]){w.n, w.o}, 2, IR_MAP, NULL, 0,
                                         at(w.p, w.t, w.o, NULL), false, NULL);

    stage(&w, w.p->kernels.at[0], w.o, NULL, late);
    BROKEN(w, "late reads t, which is complete only when the kernel ends");
}

static void a_point_reads_what_it_made(void **state)
{
    struct world w = fused();
    const struct ir_form *shifted[2] = {ir_form_constant(w.p, 0), ir_form_index(w.p, w.o)};
    struct ir_tensor *late = ir_equation(w.p, "late", (struct ir_index *[]){w.n, w.o}, 2, IR_MAP, NULL, 0,
                                         ir_read(w.p, w.h, shifted, 2, NULL), false, NULL);

    stage(&w, w.p->kernels.at[0], w.o, NULL, late);
    BROKEN(w, "late reads h of an earlier stage at another point");
}

static void stages_are_in_order(void **state)
{
    struct world w = fused();
    struct ir_stage *first = stage_at(&w, 0, 0);

    w.p->kernels.at[0]->stages.at[0] = stage_at(&w, 0, 1);
    w.p->kernels.at[0]->stages.at[1] = first;
    BROKEN(w, "m reads h, which is computed after it");
}

static void local_tensors_stay_in_their_kernel(void **state)
{
    struct world w = fused();

    w.t->region = IR_LOCAL;
    BROKEN(w, "g reads t, which is local to another kernel");
}

static void outputs_are_not_local(void **state)
{
    struct world w = fused();

    w.y->region = IR_LOCAL;
    BROKEN(w, "y is an output or an update, but local to its kernel");
}

static void what_is_needed_is_computed(void **state)
{
    struct world w = fused();

    w.p->kernels.count = 1;
    BROKEN(w, "g is an output or an update, but no kernel computes it");
}

static void kernels_are_in_order(void **state)
{
    struct world w = fused();
    struct ir_kernel *first = w.p->kernels.at[0];

    w.p->kernels.at[0] = w.p->kernels.at[1];
    w.p->kernels.at[1] = first;
    BROKEN(w, "g reads t, which a later kernel computes");
}

static void nothing_reads_what_was_written_over(void **state)
{
    struct world w = fused();
    struct ir_tensor *late = ir_equation(w.p, "late", (struct ir_index *[]){w.i, w.o}, 2, IR_MAP, NULL, 0,
                                         at(w.p, w.W, w.i, w.o), false, NULL);

    w.W->region = w.g->region = IR_IN_PARAMETERS;
    stage(&w, kernel(&w, "last", w.i), w.o, NULL, late);
    BROKEN(w, "late reads W where g may have written over it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_program_passes),
        cmocka_unit_test(a_read_stands_after_what_it_reads),
        cmocka_unit_test(numbers_are_places),
        cmocka_unit_test(names_are_unique),
        cmocka_unit_test(indices_are_outputs_or_reduced),
        cmocka_unit_test(axes_are_distinct),
        cmocka_unit_test(a_map_reduces_over_nothing),
        cmocka_unit_test(a_sum_reduces_over_something),
        cmocka_unit_test(subscripts_are_inside),
        cmocka_unit_test(quotients_take_whole_numbers),
        cmocka_unit_test(a_whole_equation_has_a_whole_value),
        cmocka_unit_test(an_interval_holds_the_value),
        cmocka_unit_test(scalars_have_rank_0),
        cmocka_unit_test(draws_per_sample_have_the_batch_first),
        cmocka_unit_test(mapped_axes_exist),
        cmocka_unit_test(updates_are_of_parameters_and_states),
        cmocka_unit_test(updates_are_unique),
        cmocka_unit_test(updates_keep_shapes),
        cmocka_unit_test(guards_have_rank_0),
        cmocka_unit_test(output_names_are_unique),
        cmocka_unit_test(a_sound_kernel_passes),
        cmocka_unit_test(an_equation_is_computed_once),
        cmocka_unit_test(an_equation_fits_its_loops),
        cmocka_unit_test(outputs_stand_before_what_is_reduced),
        cmocka_unit_test(a_reduction_is_complete_when_its_stage_ends),
        cmocka_unit_test(a_reduction_in_parts_is_complete_when_its_kernel_ends),
        cmocka_unit_test(a_point_reads_what_it_made),
        cmocka_unit_test(stages_are_in_order),
        cmocka_unit_test(local_tensors_stay_in_their_kernel),
        cmocka_unit_test(outputs_are_not_local),
        cmocka_unit_test(what_is_needed_is_computed),
        cmocka_unit_test(kernels_are_in_order),
        cmocka_unit_test(nothing_reads_what_was_written_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
