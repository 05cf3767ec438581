/* test_recurrences.c: random recurrences, through the passes and compiled, fused and not, with 1, 2 and 3 threads, against
   the evaluator. Relative errors in the Euclidean norm: values are of order 1 and go round at most 7 times with a gain of
   order 1, so f64 1e-11, f32 1e-4. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "harness.h"

#include <stdio.h>
#include <string.h>

struct maker {
    struct text out;
    uint64_t state;
    int order; /* which of n, t, u is where */
    int n, t, u, names;
    bool down;
};

static int pick(struct maker *m, int count)
{
    m->state = m->state * 6364136223846793005u + 1442695040888963407u;
    return (int)((m->state >> 33) % (uint64_t)count);
}

/* NAME[..] with the three subscripts in the program's order of axes. */
static void add_at(struct maker *m, const char *name, int number, const char *n, const char *t, const char *u)
{
    const char *subscripts[] = {n, t, u};

    text_addf(&m->out, "%s%d[%s, %s, %s]", name, number, subscripts[m->order % 3],
              subscripts[(m->order + (m->order < 3 ? 1 : 2)) % 3], subscripts[(m->order + (m->order < 3 ? 2 : 1)) % 3]);
}

/* The head of equation NAME over n, t, u. */
static void add_head(struct maker *m, const char *name, int number)
{
    char n[20], t[20], u[20];

    snprintf(n, sizeof n, "n*: %d", m->n);
    snprintf(t, sizeof t, "t: %d", m->t);
    snprintf(u, sizeof u, "u: %d", m->u);
    add_at(m, name, number, n, t, u);
    text_add(&m->out, " = ");
}

static void add_carried(struct maker *m, const char *unit)
{
    text_add(&m->out, "(");
    add_at(m, "e", pick(m, m->names), "n", m->down ? "t + 1" : "t - 1", unit);
    text_add(&m->out, " else ");
    switch (pick(m, 4)) {
    case 0:
        text_add(&m->out, "0.0)");
        break;
    case 1:
        text_add(&m->out, "0.5)");
        break;
    case 2:
        text_addf(&m->out, "h0[%s])", unit);
        break;
    case 3:
        text_addf(&m->out, "y0[n, %s])", unit);
        break;
    }
}

/* What equation i sums: some are equations of their own, which stand before it. */
static void add_equation(struct maker *m, int i)
{
    int product = pick(m, 2), batch_mean = pick(m, 4) == 0, row = pick(m, 3) == 0;

    if (product) {
        add_head(m, "s", i);
        text_addf(&m->out, "sum[v: %d] ", m->u);
        add_carried(m, "v");
        text_addf(&m->out, " * R%d[v, u]\n", pick(m, 2));
    }
    if (row && i) {
        text_addf(&m->out, "r%d[n*: %d, t: %d] = max[v: %d] ", i, m->n, m->t, m->u);
        add_at(m, "e", pick(m, i), "n", "t", "v");
        text_add(&m->out, "\n");
    }
    if (batch_mean) {
        text_addf(&m->out, "m%d[t: %d, u: %d] = sum[n*: %d] ", i, m->t, m->u, m->n);
        add_carried(m, "u");
        text_addf(&m->out, " / %d\n", m->n);
    }
    add_head(m, "e", i);
    text_add(&m->out, "tanh(");
    add_at(m, "x", 0, "n", "t", "u");
    text_add(&m->out, " + ");
    add_carried(m, "u");
    if (i) {
        text_add(&m->out, " * ");
        add_at(m, "e", pick(m, i), "n", "t", "u");
    }
    if (product) {
        text_add(&m->out, " + 0.2 * ");
        add_at(m, "s", i, "n", "t", "u");
    }
    if (row && i)
        text_addf(&m->out, " - r%d[n, t]", i);
    if (batch_mean)
        text_addf(&m->out, " + m%d[t, u]", i);
    text_add(&m->out, ")\n");
}

static void write_program(struct maker *m)
{
    static const int batches[] = {1, 3, 20, 33}, units[] = {2, 5, 16, 40};

    m->order = pick(m, 6);
    m->n = batches[pick(m, 4)];
    m->t = 1 + pick(m, 7);
    m->u = units[pick(m, 4)];
    m->names = 1 + pick(m, 4);
    m->down = pick(m, 2);
    text_add(&m->out, "program p f64\ninput ");
    char n[20], t[20], u[20];
    snprintf(n, sizeof n, "n*: %d", m->n);
    snprintf(t, sizeof t, "t: %d", m->t);
    snprintf(u, sizeof u, "u: %d", m->u);
    add_at(m, "x", 0, n, t, u);
    text_addf(&m->out, "\ninput y0[n*: %d, u: %d]\nparameter h0[u: %d]\n", m->n, m->u, m->u);
    text_addf(&m->out, "parameter R0[v: %d, u: %d]\nparameter R1[v: %d, u: %d]\n", m->u, m->u, m->u, m->u);
    text_addf(&m->out, "recurrence r over t: %d %s {\n", m->t, m->down ? "down" : "up");
    for (int i = 0; i < m->names; i++)
        add_equation(m, i);
    text_add(&m->out, "}\n");
    char back[20];
    snprintf(back, sizeof back, "%d - t", m->t - 1);
    add_head(m, "z", 0);
    add_at(m, "e", 0, "n", back, "u");
    text_add(&m->out, " * 0.5\n");
    text_addf(&m->out, "loss = sum[n*: %d, t: %d, u: %d] ", m->n, m->t, m->u);
    add_at(m, "z", 0, "n", "t", "u");
    text_add(&m->out, "\noutput loss guard\noutput z0\n");
    for (int i = 0; i < m->names; i++)
        text_addf(&m->out, "output e%d\n", i);
}

static const char *check(const struct ir_program *p, const char *pass, struct arena *arena)
{
    const char *broken = ir_verify(p);

    return broken ? arena_printf(arena, "after %s: %s", pass, broken) : NULL;
}

/* The program arranged, simplified and shared, as text; it ends the test if a pass breaks it. */
static const char *passed(struct arena *arena, const char *source)
{
    const char *error, *wrong;
    struct ir_program *p = ir_parse(arena, source, &error), *schedule;
    struct text out = {0};

    if (!p)
        fail_msg("%s\n%s", error, source);
    if ((wrong = ir_arrange(p)) || (wrong = check(p, "arranging", arena)))
        fail_msg("%s\n%s", wrong, source);
    p = simplify(p);
    wrong = check(p, "simplify", arena);
    p = share(p);
    wrong = wrong ? wrong : check(p, "share", arena);
    p = split_schedule(p, &schedule);
    wrong = wrong ? wrong : check(p, "split_schedule", arena);
    ir_print(&out, p);
    for (int fused = 0; fused < 2 && !wrong; fused++) {
        struct ir_program *q = ir_parse(arena, out.data, &error);
        fuse(q, fused);
        wrong = check(q, fused ? "fuse" : "fuse, off", arena);
        plan_memory(q, layout_new(arena), false);
        wrong = wrong ? wrong : check(q, "plan_memory", arena);
    }
    if (wrong)
        fail_msg("%s\n%s", wrong, source);
    const char *text = arena_string(arena, out.data);
    text_free(&out);
    return text;
}

static void random_recurrences(void **state)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct arena *arena = arena_new();
        struct maker m = {.state = seed * 0x9E3779B97F4A7C15u};
        char name[40];

        write_program(&m);
        const char *source = passed(arena, m.out.data);
        snprintf(name, sizeof name, "seed %d", (int)seed);
        for (int single = 0; single < 2; single++) {
            double tolerance = single ? 1e-4 : 1e-11;
            struct ir_run where = {.seed = 1, .step = 1};
            if (worst_error(name, source, single, NULL, NULL, where, tolerance) > tolerance)
                fail_msg("seed %d:\n%s", (int)seed, source);
        }
        text_free(&m.out);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_recurrences)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
