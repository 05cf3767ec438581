/* random.c: random programs through all passes. After each the program is well formed; what it computes stays the same,
   fused and not, in place and not. Rounding: simplify may reassociate sums, hence the tolerance: 1e-9 of max(1,
   |value|), values being of order 1 and sums of at most some thousand terms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "passes.h"

#include <math.h>
#include <string.h>

enum { DIMENSIONS = 4, MOST_RANK = 3 };
static const int64_t extents[DIMENSIONS] = {4, 6, 3, 32};

struct maker {
    struct arena *arena;
    struct ir_program *p;
    uint64_t state;
    LIST(struct ir_tensor *) tensors;
    struct ir_index *loops[2 * MOST_RANK];
    int loop_count;
};

static int pick(struct maker *m, int count)
{
    m->state ^= m->state << 13;
    m->state ^= m->state >> 7;
    m->state ^= m->state << 17;
    return (int)((m->state >> 20) % (uint64_t)count);
}

static struct ir_index *new_index(struct maker *m, int dimension)
{
    return ir_index(m->p, arena_printf(m->arena, "i%d", dimension), extents[dimension], dimension == 0);
}

static struct ir_index *loop_of(struct maker *m, int64_t extent)
{
    int start = m->loop_count ? pick(m, m->loop_count) : 0;

    for (int i = 0; i < m->loop_count; i++)
        if (m->loops[(start + i) % m->loop_count]->extent == extent)
            return m->loops[(start + i) % m->loop_count];
    return NULL;
}

/* Mostly the very index; at times shifted, reversed, folded or a number. */
static const struct ir_form *subscript(struct maker *m, int64_t extent)
{
    struct ir_index *index = loop_of(m, extent);
    const struct ir_form *f = index ? ir_form_index(m->p, index) : NULL;

    if (!f)
        return ir_form_constant(m->p, pick(m, (int)extent));
    switch (pick(m, 16)) {
    case 0:
        return ir_form_add(m->p, f, ir_form_constant(m->p, pick(m, 3) - 1));
    case 1:
        return ir_form_add(m->p, ir_form_scale(m->p, f, -1), ir_form_constant(m->p, extent - 1));
    case 2:
        return ir_form_quotient(m->p, f, 2);
    case 3:
        return ir_form_remainder(m->p, f, 2);
    case 4:
        return ir_form_constant(m->p, pick(m, (int)extent));
    default:
        return f;
    }
}

static const struct ir_expr *random_read(struct maker *m)
{
    int recent = m->tensors.count > 6 && pick(m, 2) ? m->tensors.count - 6 : 0;
    struct ir_tensor *t = m->tensors.at[recent + pick(m, m->tensors.count - recent)];
    const struct ir_form *subscripts[MOST_RANK];

    for (int i = 0; i < t->rank; i++)
        subscripts[i] = subscript(m, t->axes[i]->extent);
    return ir_read(m->p, t, subscripts, t->rank, t->whole ? ir_number(m->p, 1) : ir_real(m->p, 0.25));
}

static const struct ir_expr *random_expression(struct maker *m, int depth)
{
    static const enum ir_op binary[] = {IR_add, IR_subtract, IR_multiply, IR_multiply, IR_max, IR_less};

    if (depth == 0 || pick(m, 4) == 0)
        return pick(m, 8) ? random_read(m) : ir_real(m->p, pick(m, 9) / 4.0 - 1);
    switch (pick(m, 8)) {
    case 0:
        return ir_apply(m->p, IR_tanh, random_expression(m, depth - 1), NULL, NULL);
    case 1:
        return ir_apply(m->p, IR_select, random_expression(m, depth - 1), random_expression(m, depth - 1),
                        random_expression(m, depth - 1));
    case 2:
        return ir_apply(m->p, IR_power, random_expression(m, depth - 1), ir_number(m->p, 2), NULL);
    default:
        return ir_apply(m->p, binary[pick(m, 6)], random_expression(m, depth - 1), random_expression(m, depth - 1),
                        NULL);
    }
}

/* A bounded value, so that nothing grows from equation to equation. */
static const struct ir_expr *bounded(struct maker *m, const struct ir_expr *e)
{
    return ir_apply(m->p, IR_max, ir_real(m->p, -2), ir_apply(m->p, IR_min, e, ir_real(m->p, 2), NULL), NULL);
}

static void choose_loops(struct maker *m, int rank, struct ir_index *const *like)
{
    m->loop_count = 0;
    for (int i = 0; i < rank; i++)
        m->loops[m->loop_count++] =
            like ? ir_index(m->p, like[i]->name, like[i]->extent, like[i]->batch) : new_index(m, pick(m, DIMENSIONS));
}

static struct ir_tensor *random_equation(struct maker *m)
{
    static const enum ir_reduction kinds[] = {IR_SUM, IR_SUM, IR_SUM, IR_MAXIMUM, IR_ARGMAX};
    const struct ir_tensor *like = m->tensors.at[pick(m, m->tensors.count)];
    int rank, reduced;

    if (pick(m, 3)) {
        choose_loops(m, like->rank, like->axes);
        reduced = pick(m, 3) ? 0 : pick(m, like->rank + 1);
    } else {
        choose_loops(m, pick(m, MOST_RANK + 1), NULL);
        reduced = pick(m, 2) ? pick(m, m->loop_count + 1) : 0;
    }
    rank = m->loop_count - reduced;
    if (reduced && pick(m, 2)) { /* reduce the first instead of the last */
        struct ir_index *first = m->loops[0];

        m->loops[0] = m->loops[m->loop_count - 1];
        m->loops[m->loop_count - 1] = first;
    }
    if (!reduced) {
        const struct ir_expr *e = random_expression(m, 3);

        return ir_equation(m->p, "q", m->loops, rank, IR_MAP, NULL, 0, e->whole ? e : bounded(m, e), pick(m, 12) == 0,
                           NULL);
    }
    return ir_equation(m->p, "r", m->loops, rank, kinds[pick(m, 5)], m->loops + rank, reduced,
                       pick(m, 2) ? ir_apply(m->p, IR_multiply, random_read(m), random_read(m), NULL)
                                  : random_expression(m, 2),
                       false, NULL);
}

static void add_leaf(struct maker *m, enum ir_kind kind, const char *name, int rank, int first, bool whole)
{
    struct ir_index *axes[MOST_RANK];

    for (int i = 0; i < rank; i++)
        axes[i] = new_index(m, (first + i) % DIMENSIONS);
    list_add(m->arena, m->tensors, ir_leaf(m->p, kind, name, axes, rank, whole, 0, whole ? 2 : 0, NULL));
}

static struct ir_program *make(struct arena *arena, uint64_t seed)
{
    struct maker m = {.arena = arena,
                      .p = ir_program_new(arena, "random", IR_DOUBLE),
                      .state = seed * 2654435761u + 88172645463325252u};
    LIST(struct ir_tensor *) leaves = {0};
    struct ir_index *axes[2];
    int equations;

    for (int i = 0; i < 8; i++)
        pick(&m, 2);
    add_leaf(&m, IR_INPUT, "x", 2, 0, false);
    add_leaf(&m, IR_INPUT, "label", 1, 0, true);
    add_leaf(&m, IR_PARAMETER, "W", 2, 1, false);
    add_leaf(&m, IR_PARAMETER, "b", 1, 3, false);
    add_leaf(&m, IR_STATE, "s", 2, 3, false);
    add_leaf(&m, IR_STATE, "a", 1, 0, false);
    add_leaf(&m, IR_SCALAR, "rate", 0, 0, false);
    axes[0] = new_index(&m, 0);
    axes[1] = new_index(&m, 3);
    list_add(arena, m.tensors, ir_draw_leaf(m.p, "u", IR_UNIFORM16, IR_PER_SAMPLE, 0, axes, 2, NULL));
    for (int i = 2; i < 6; i++)
        list_add(arena, leaves, m.tensors.at[i]);
    equations = 4 + pick(&m, 20);
    for (int i = 0; i < equations; i++) {
        struct ir_tensor *made = random_equation(&m);

        list_add(arena, m.tensors, made);
    }
    for (int i = 0; i < leaves.count; i++) {
        struct ir_tensor *leaf = leaves.at[i], *value;
        const struct ir_form *own[2];

        if (pick(&m, 4) == 0)
            continue;
        choose_loops(&m, leaf->rank, leaf->axes);
        for (int j = 0; j < leaf->rank; j++)
            own[j] = ir_form_index(m.p, m.loops[j]);
        value = ir_equation(m.p, arena_printf(arena, "%s_new", leaf->name), m.loops, leaf->rank, IR_MAP, NULL, 0,
                            bounded(&m, ir_apply(m.p, IR_add, ir_read(m.p, leaf, own, leaf->rank, NULL),
                                                 random_expression(&m, 2), NULL)),
                            false, NULL);
        list_add(arena, m.tensors, value);
        ir_add_update(m.p, leaf, value);
    }
    for (int i = 0; i < 3; i++) {
        struct ir_tensor *t = m.tensors.at[m.tensors.count - 1 - pick(&m, m.tensors.count - 8)];

        ir_add_output(m.p, arena_printf(arena, "out%d", i), t, t->rank == 0 && t->kind == IR_EQUATION && pick(&m, 2));
    }
    return m.p;
}

static void fill(const struct ir_program *p, struct ir_values *values)
{
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        uint64_t hash = hash_bytes(t->name, strlen(t->name), 1);

        if (t->kind == IR_EQUATION || t->kind == IR_DRAW)
            continue;
        for (int64_t e = 0; e < ir_elements(t); e++) {
            hash = hash_bytes(&hash, sizeof hash, 2);
            values->at[i][e] = t->whole ? (double)(hash % 3) : (double)(hash % 2001) / 1000 - 1;
        }
    }
}

static void well_formed(const struct ir_program *p, const char *pass, uint64_t seed)
{
    const char *broken = ir_verify(p);

    if (broken) {
        struct text text = {0};

        ir_print(&text, p);
        fail_msg("seed %llu, after %s: %s\n%s", (unsigned long long)seed, pass, broken, text.data);
    }
}

static void compare(const char *name, const double *a, const double *b, int64_t count, uint64_t seed, const char *pass)
{
    for (int64_t e = 0; e < count; e++)
        if (!(fabs(a[e] - b[e]) <= 1e-9 * fmax(1, fabs(a[e]))) && !(isnan(a[e]) && isnan(b[e])))
            fail_msg("seed %llu, %s: element %lld of %s is %.17g, expected %.17g", (unsigned long long)seed, pass,
                     (long long)e, name, b[e], a[e]);
}

static void same(const struct ir_program *original, const struct ir_program *passed, const struct ir_program *schedule,
                 uint64_t seed, const char *pass)
{
    struct arena *arena = arena_new();
    struct ir_values before = ir_values_new(arena, original), after = ir_values_new(arena, passed), scalars;
    struct ir_run run = {.seed = 3, .position = 40, .step = 2};

    fill(original, &before);
    fill(passed, &after);
    if (schedule) {
        scalars = ir_values_new(arena, schedule);
        fill(schedule, &scalars);
        ir_evaluate(schedule, &scalars, run);
        for (int i = 0; i < schedule->outputs.count; i++)
            after.at[ir_find(passed, schedule->outputs.at[i].name)->number][0] =
                scalars.at[schedule->outputs.at[i].tensor->number][0];
    }
    ir_evaluate(original, &before, run);
    ir_evaluate(passed, &after, run);
    for (int i = 0; i < original->outputs.count; i++)
        compare(original->outputs.at[i].name, before.at[original->outputs.at[i].tensor->number],
                after.at[passed->outputs.at[i].tensor->number], ir_elements(original->outputs.at[i].tensor), seed,
                pass);
    for (int i = 0; i < original->updates.count; i++) {
        const struct ir_tensor *leaf = original->updates.at[i].leaf;

        compare(leaf->name, before.at[leaf->number], after.at[ir_find(passed, leaf->name)->number], ir_elements(leaf),
                seed, pass);
    }
    arena_free(arena);
}

static void run(uint64_t seed, enum fusing how)
{
    struct arena *arena = arena_new();
    struct ir_program *original = make(arena, seed), *p = make(arena, seed), *schedule;

    well_formed(original, "making", seed);
    p = simplify(p);
    well_formed(p, "simplify", seed);
    same(original, p, NULL, seed, "simplify");
    p = share(p);
    well_formed(p, "share", seed);
    same(original, p, NULL, seed, "share");
    p = split_schedule(p, &schedule);
    well_formed(p, "split_schedule", seed);
    well_formed(schedule, "split_schedule (the schedule)", seed);
    same(original, p, schedule, seed, "split_schedule");
    fuse(p, how);
    well_formed(p, how ? "fuse" : "fuse, off", seed);
    same(original, p, schedule, seed, how ? "fuse" : "fuse, off");
    plan_memory(p, layout_new(arena), seed % 2 == 0);
    well_formed(p, "plan_memory", seed);
    arena_free(arena);
}

static void programs_stay_what_they_are(void **state)
{
    for (uint64_t seed = 1; seed <= 150; seed++) {
        run(seed, FUSE_ALL);
        run(seed, FUSE_AS_LARGE);
        run(seed, FUSE_NOTHING);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(programs_stay_what_they_are)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
