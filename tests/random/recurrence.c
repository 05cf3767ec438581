/* recurrence.c: random recurrences: several carried values, a square weight, layers, draws, derivatives and further recurrences
   inside. */
#include "generate.h"

/* What stands in a block besides, of the carried name at the step before: " + term"s for the first carried value, "" if nothing. */
static const char *inside(struct generator *g, const char *carried, const char *cell, const char *before, const char *u, int units,
                          int steps_outside)
{
    const char *terms = "";

    if (cell) {
        const char *a = name_new(g, "a");
        line(g, "%s = %s(%s[%s])", a, cell, carried, before);
        terms = arena_printf(g->arena, "%s + 0.5 * %s[%s]", terms, a, u);
    }
    if (chance(g, 25)) {
        static const char *const drawn[] = {"normal(0, 0.3)", "bernoulli(0.6)", "uniform(-1, 1)", "exponential(2)", "poisson(1)"};
        const char *e = name_new(g, "e");
        bool each = chance(g, 70);
        line(g, "%s%s ~ %s%s", e, each ? arena_printf(g->arena, "[%s: %d]", u, units) : "", drawn[below(g, 5)],
             chance(g, 25) ? " per step" : "");
        terms = arena_printf(g->arena, "%s + (if training then %s%s else 0.4)", terms, e,
                             each ? arena_printf(g->arena, "[%s]", u) : "");
    }
    /* In the first step alone what is carried may be a number that is known, and has no name. */
    if (steps_outside > 1 && chance(g, 15)) {
        const char *r = name_new(g, "r"), *e = name_new(g, "e"), *d = name_new(g, "g");
        line(g, "%s[%s] = tanh(%s[%s, %s])", r, u, carried, before, u);
        line(g, "%s = sum[%s] %s[%s]^3", e, u, r, u);
        line(g, "%s = grad(%s, %s)", d, e, r);
        terms = arena_printf(g->arena, "%s + 0.2 * %s[%s]", terms, d, u);
    }
    if (chance(g, 8)) {
        const char *k = name_new(g, "k");
        line(g, "%s[%s] = rank[%s](%s[%s, %s] + 0.1 * sin(3 * %s))", k, u, u, carried, before, u, u);
        terms = arena_printf(g->arena, "%s + 0.1 * %s[%s]", terms, k, u);
    }
    if (chance(g, 8)) {
        const char *x = name_new(g, "f");
        line(g, "%s[k: %d] = solve[%s; k](2 * (%s == k) + 0.1 * %s[%s, k], %s[%s, %s] + 0.2 * %s)", x, units, u, u, carried, before,
             carried, before, u, u);
        terms = arena_printf(g->arena, "%s + 0.3 * %s[%s]", terms, x, u);
    }
    if (chance(g, 15)) {
        /* An inner recurrence, from what is carried or from a constant. */
        const char *q = name_new(g, "q"), *s = name_new(g, "s");
        const char *start = chance(g, 60) ? arena_printf(g->arena, "0.5 * %s[%s, %s]", carried, before, u) : "0.3";
        int steps = 1 + below(g, 4);
        line(g, "over %s: %d from %s[%s: %d] = %s {", s, steps, q, u, units, start);
        line(g, "    %s[%s, %s] = tanh(0.7 * %s[%s - 1, %s] + 0.1 * %s)", q, s, u, q, s, u, s);
        line(g, "}");
        terms = arena_printf(g->arena, "%s + %s[%d, %s]", terms, q, steps - 1, u);
    }
    return terms;
}

void statement_recurrence(struct generator *g)
{
    axis_set time = some_axes(g, ALL, 1), units = some_axes(g, ALL & ~time, 1);
    int carried = 1 + below(g, 3), order[AXES], count, first = g->values.count, t = 0, u = 0;
    const char *names[3], *starts = "", *step = chance(g, 50) ? "- 1" : "+ 1";
    bool constant[3], sample = false, meets = false; /* whether they differ between samples is not followed */
    const char *cell = NULL, *t_index, *more;

    for (int i = 0; i < AXES; i++) {
        t = time >> i & 1 ? i : t;
        u = units >> i & 1 ? i : u;
    }
    axis_set square = some_axes(g, ALL & ~(time | units), 1);
    const char *weight = NULL, *tt = g->axes[t].name, *uu = g->axes[u].name;
    for (int i = 0; i < AXES; i++)
        if (square >> i & 1 && g->axes[i].extent == g->axes[u].extent) {
            weight = parameter(g, square, 0, "w");
            first = g->values.count;
        }
    for (int i = 0; i < carried; i++) {
        names[i] = name_new(g, "h");
        constant[i] = chance(g, 60);
        begin_expression(g);
        starts = arena_printf(g->arena, "%s%s%s[%s: %d] = %s", starts, i ? ", " : "", names[i], uu, g->axes[u].extent,
                              constant[i] ? "0.1" : random_expression(g, units, 1));
    }
    for (int i = 0; i < g->values.count; i++)
        meets |= g->values.at[i].meets;
    if (chance(g, 25)) {
        static const char *const cells[] = {"|> dense(%d)", "|> dense(%d) |> layer_norm", "|> linear(%d) |> tanh", "|> glu(%d)",
                                            "|> maxout(%d) |> prelu"};
        cell = name_new(g, "c");
        line(g, "%s = %s", cell, arena_printf(g->arena, cells[below(g, 5)], g->axes[u].extent));
    }
    line(g, "over %s: %d from %s {", tt, g->axes[t].extent, starts);
    g->indent++;
    g->time = time;
    for (int i = 0; i < carried; i++)
        value_add(g, (struct value){.name = names[i],
                                    .first = arena_printf(g->arena, "%s %s, ", tt, step),
                                    .rank = 1,
                                    .extents = {g->axes[u].extent},
                                    .sample = sample,
                                    .meets = meets});
    t_index = arena_printf(g->arena, "%s %s", tt, step);
    more = inside(g, names[0], cell, t_index, uu, g->axes[u].extent, g->axes[t].extent);
    if (chance(g, 50)) {
        axis_set local = some_axes(g, ALL & ~time, 1 + below(g, 2));
        const char *z = name_new(g, "z"), *left, *right;
        begin_expression(g);
        right = random_expression(g, local | time, 2);
        left = written(g, local, order, &count, true);
        line(g, "%s[%s] = %s", z, left, right);
        value_add(g, value_over(g, z, order, count));
    }
    for (int i = 0; i < carried; i++) {
        begin_expression(g);
        const char *right = random_expression(g, time | units, 2);
        const char *product = weight ? arena_printf(g->arena, " + %s[%s %s, %s] * mean[%s: %d] %s[%s]", names[i], tt, step, uu,
                                                 g->axes[axis_with(g, square, g->axes[u].extent)].name, g->axes[u].extent,
                                                 weight, g->axes[axis_with(g, square, g->axes[u].extent)].name)
                                  : "";
        line(g, "%s[%s, %s] = tanh(%s + 0.5 * %s[%s %s, %s]%s%s)", names[i], tt, uu, right, names[below(g, carried)], tt, step, uu,
             product, i == 0 ? more : "");
    }
    g->indent--;
    g->time = 0;
    line(g, "}");
    g->values.count = first;
    for (int i = 0; i < carried; i++)
        value_add(g, (struct value){.name = names[i], .rank = 2, .extents = {g->axes[t].extent, g->axes[u].extent},
                                    .sample = sample, .meets = meets});
}

