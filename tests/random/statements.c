/* statements.c: random statements that stand for themselves. Each adds the value that it defines. */
#include <string.h>

#include "generate.h"

struct value value_over(struct generator *g, const char *name, const int *order, int count)
{
    struct value v = {.name = name, .rank = count, .sample = g->sample, .meets = g->meets};

    for (int i = 0; i < count; i++)
        v.extents[i] = g->axes[order[i]].extent;
    return v;
}

void begin_expression(struct generator *g)
{
    g->bare = 0;
    g->sample = g->meets = false;
}

bool whole_value(struct generator *g, const struct value *v, const char **all, int *taken)
{
    axis_set used = 0;

    *all = "";
    for (int i = 0; i < v->rank; i++) {
        taken[i] = axis_with(g, ALL & ~used, v->extents[i]);
        if (taken[i] < 0)
            return false;
        used |= 1u << taken[i];
        *all = arena_printf(g->arena, "%s%s%s", *all, i ? ", " : "", g->axes[taken[i]].name);
    }
    return true;
}

static void equation(struct generator *g)
{
    axis_set free = some_axes(g, ALL, below(g, MAX_RANK));
    int order[AXES], count;
    const char *name = name_new(g, "v"), *left, *right;

    begin_expression(g);
    right = random_expression(g, free, 1 + below(g, g->size == SMALL ? 2 : MAX_DEPTH));
    left = written(g, free, order, &count, true);
    if (count)
        line(g, "%s[%s] = %s", name, left, right);
    else
        line(g, "%s = %s", name, right);
    value_add(g, value_over(g, name, order, count));
}

const char *parameter(struct generator *g, axis_set in, axis_set out, const char *letter)
{
    static const char *const made[] = {"he_normal", "glorot", "lecun_normal", "he_uniform", "orthogonal"};
    const char *name = name_new(g, letter), *axes, *ins, *outs;
    int order[AXES], count;

    ins = written(g, in, order, &count, false);
    outs = written(g, out, order, &count, false);
    axes = written(g, in | out, order, &count, true);
    if (!in)
        line(g, "param %s%s%s%s = 0.%d", name, count ? "[" : "", axes, count ? "]" : "", below(g, 9));
    else if (!out)
        line(g, "param %s[%s] ~ normal(0, 0.5)", name, axes);
    else
        line(g, "param %s[%s] ~ %s[%s; %s]", name, axes, made[below(g, 5)], ins, outs);
    g->sample = g->meets = false;
    value_add(g, value_over(g, name, order, count))->leaf = true;
    return name;
}

/* A sum of products in any order of axes, batched ones among them. */
static void product(struct generator *g)
{
    axis_set in = some_axes(g, ALL, 1 + below(g, 2)), out = some_axes(g, ALL & ~in, 1 + below(g, 2));
    const char *weight = parameter(g, in, out, "w"), *name, *left, *operand, *summed;
    struct value w = g->values.at[g->values.count - 1];
    const char *subscripts = "";
    const struct value *x = value_any(g, 1, MAX_RANK, true);
    axis_set taken = 0;
    int order[AXES], count;

    if (!x)
        return;
    begin_expression(g);
    operand = read_value(g, x, in | out, 0);
    for (int i = 0; i < w.rank; i++) {
        int axis = axis_with(g, (in | out) & ~taken, w.extents[i]);
        taken |= 1u << axis;
        subscripts = arena_printf(g->arena, "%s%s%s", subscripts, i ? ", " : "", g->axes[axis].name);
    }
    summed = written(g, in, order, &count, chance(g, 30));
    name = name_new(g, "v");
    left = written(g, out, order, &count, true);
    line(g, "%s[%s] = sum[%s] %s * %s[%s]", name, left, summed, operand, weight, subscripts);
    value_add(g, value_over(g, name, order, count));
}

static void selection(struct generator *g)
{
    axis_set free = some_axes(g, ALL, below(g, 3)), bound = some_axes(g, ALL & ~free, 1);
    int order[AXES], count, choices = 0;
    const char *name = name_new(g, "s"), *body, *left;
    struct value v;

    for (int i = 0; i < AXES; i++)
        if (bound >> i & 1)
            choices = g->axes[i].extent;
    begin_expression(g);
    body = whole_expression(g, free | bound);
    body = arena_printf(g->arena, "%s[%s] (%s)", chance(g, 50) ? "argmax" : "argmin", written(g, bound, order, &count, true),
                        body);
    left = written(g, free, order, &count, true);
    line(g, count ? "%s[%s] = %s" : "%s%s = %s", name, left, body);
    v = value_over(g, name, order, count);
    v.choices = choices;
    value_add(g, v);
}

static void composite(struct generator *g)
{
    axis_set two = some_axes(g, ALL, 2), free = two | some_axes(g, ALL & ~two, below(g, 2));
    int pair[AXES], order[AXES], count, pairs;
    const char *name = name_new(g, "v"), *inside, *outside, *right;
    struct value v;

    begin_expression(g);
    right = random_expression(g, free, 2);
    inside = written(g, two, pair, &pairs, true);
    outside = written(g, free & ~two, order, &count, true);
    if (pairs != 2)
        return;
    line(g, "%s[%s%s(%s)] = %s", name, outside, count ? ", " : "", inside, right);
    v = value_over(g, name, order, count);
    v.extents[v.rank++] = g->axes[pair[0]].extent * g->axes[pair[1]].extent;
    value_add(g, v);
}

/* What one number is drawn from; free: its indices. No derivative passes a draw. */
static const char *distribution(struct generator *g, axis_set free)
{
    static const char *const plain[] = {"bernoulli(0.7)", "uniform(-1, 1)", "normal(0.5, 0.3)",         "uniform(0.1, 2)",
                                        "poisson(2)",     "exponential(2)", "normal(0, 0.1 + (2 / 3))", "exponential(0.7)"};
    static const char *const dependent[] = {"bernoulli(stop(sigmoid(%s)))", "normal(stop(tanh(%s)), 0.2)",
                                            "uniform(0, stop(1 + sigmoid(%s)))", "poisson(stop(1 + 2 * sigmoid(%s)))",
                                            "exponential(stop(0.5 + sigmoid(%s)))"};

    if (chance(g, 75))
        return plain[below(g, 8)];
    return arena_printf(g->arena, dependent[below(g, 5)], random_expression(g, free, 1));
}

static void noise(struct generator *g)
{
    static const char *const scopes[] = {"", "", "", " per step", " per run", " per item"};
    const struct value *x = value_any(g, 0, 3, true);
    const char *e = name_new(g, "e"), *y = name_new(g, "v"), *all, *some = "", *extents = "";
    int taken[MAX_RANK], somes = 0;
    axis_set drawn_axes = 0;
    struct value v;

    if (!x || !whole_value(g, x, &all, taken))
        return;
    v = *x;
    v.leaf = false;
    for (int i = 0; i < v.rank; i++)
        if (chance(g, 70)) {
            const char *name = g->axes[taken[i]].name;
            drawn_axes |= 1u << taken[i];
            some = arena_printf(g->arena, "%s%s%s", some, somes ? ", " : "", name);
            extents = arena_printf(g->arena, "%s%s%s: %d", extents, somes++ ? ", " : "", name, v.extents[i]);
        }
    const char *read = v.rank ? arena_printf(g->arena, "%s[%s]", v.name, all) : v.name;
    const char *left = v.rank ? arena_printf(g->arena, "%s[%s]", y, all) : y;
    const char *drawn = somes ? arena_printf(g->arena, "%s[%s]", e, some) : e;
    const char *scope = scopes[below(g, 6)], *from;
    begin_expression(g);
    from = distribution(g, drawn_axes);
    /* What is drawn once for many samples has no argument of one sample's own. */
    if (*scope && g->sample)
        from = "normal(0.5, 0.3)";
    v.meets |= g->meets;
    line(g, "if training {");
    line(g, "    %s%s%s%s ~ %s%s", e, somes ? "[" : "", extents, somes ? "]" : "", from, scope);
    if (chance(g, 50))
        line(g, "    %s = %s * %s", left, drawn, read);
    else
        line(g, "    %s = tanh(%s) + (if %s > 0.5 then %s else 0.5)", left, drawn, drawn, read);
    line(g, "} else {");
    line(g, "    %s = %s", left, read);
    line(g, "}");
    v.name = y;
    value_add(g, v);
}

/* A place drawn, each alike or by weights, and what stands there. */
static void choice(struct generator *g)
{
    const struct value *x = value_any(g, 1, 2, true);
    axis_set free = some_axes(g, ALL, below(g, 2)), bound = some_axes(g, ALL & ~free, 1);
    const char *n = name_new(g, "n"), *y = name_new(g, "v"), *weight = "1", *left, *k;
    int order[AXES], count, taken[MAX_RANK], axis = -1;
    const char *all;

    for (int i = 0; i < AXES; i++)
        axis = bound >> i & 1 ? i : axis;
    if (!x || axis < 0 || x->extents[0] < g->axes[axis].extent || !whole_value(g, x, &all, taken))
        return;
    struct value v = *x;
    for (int i = 1; i < v.rank; i++)
        if (free >> taken[i] & 1 || taken[i] == axis)
            return;
    begin_expression(g);
    if (chance(g, 60))
        weight = arena_printf(g->arena, "stop(0.2 + sigmoid(%s + 0.1 * %s))", random_expression(g, free | bound, 1),
                              g->axes[axis].name);
    left = written(g, free, order, &count, true);
    k = arena_printf(g->arena, "%s: %d", g->axes[axis].name, g->axes[axis].extent);
    v.sample = true;
    v.meets |= g->meets;
    v.leaf = false;
    const char *bare = "";
    for (int i = 0; i < count; i++)
        bare = arena_printf(g->arena, "%s%s%s", bare, i ? ", " : "", g->axes[order[i]].name);
    const char *place = count ? arena_printf(g->arena, "%s[%s]", n, bare) : n;
    const char *rest = v.rank == 2 ? g->axes[taken[1]].name : NULL;
    const char *indices = arena_printf(g->arena, "%s%s%s", left, count && rest ? ", " : "",
                                       rest ? arena_printf(g->arena, "%s: %d", rest, v.extents[1]) : "");
    const char *mine = *indices ? arena_printf(g->arena, "%s[%s]", y, indices) : y;
    line(g, "if training {");
    line(g, "    %s%s%s%s ~ categorical[%s](%s)", n, count ? "[" : "", left, count ? "]" : "", k, weight);
    line(g, "    %s = %s[%s%s%s]", mine, v.name, place, rest ? ", " : "", rest ? rest : "");
    line(g, "} else {");
    line(g, "    %s = %s[0%s%s]", mine, v.name, rest ? ", " : "", rest ? rest : "");
    line(g, "}");
    v.name = y;
    int extent_of_rest = v.extents[1];
    v.rank = 0;
    for (int i = 0; i < count; i++)
        v.extents[v.rank++] = g->axes[order[i]].extent;
    if (rest)
        v.extents[v.rank++] = extent_of_rest;
    value_add(g, v);
}

/* The same place of another sample of the batch, while training. */
static void other_sample(struct generator *g)
{
    const struct value *x = value_any(g, 0, 3, true);
    const char *all, *y = name_new(g, "v"), *n = name_new(g, "n");
    int taken[MAX_RANK];

    if (!x || !whole_value(g, x, &all, taken))
        return;
    struct value v = *x;
    const char *read = v.rank ? arena_printf(g->arena, "%s[%s]", v.name, all) : v.name;
    const char *left = v.rank ? arena_printf(g->arena, "%s[%s]", y, all) : y;
    bool drawn = chance(g, 70);
    line(g, "if training {");
    if (drawn)
        line(g, "    %s ~ categorical[m: size(batch)](1)", n);
    line(g, "    %s = lerp(%s, %s[batch: %s%s%s], 0.3)", left, read, v.name, drawn ? n : "0", v.rank ? ", " : "", all);
    line(g, "} else {");
    line(g, "    %s = %s", left, read);
    line(g, "}");
    v.name = y;
    v.meets = true;
    v.leaf = false;
    value_add(g, v);
}

/* Statistics of the batch in training, running ones in evaluation. */
static void statistics(struct generator *g)
{
    const struct value *x = value_any(g, 1, 3, true);
    const char *s = name_new(g, "r"), *m = name_new(g, "q"), *y = name_new(g, "v"), *all = "", *kept = "", *rest = "",
               *extents = "";
    int keeps = 0;
    axis_set used = 0;
    struct value v;

    if (!x)
        return;
    v = *x;
    for (int i = 0; i < v.rank; i++) {
        int axis = axis_with(g, ALL & ~used, v.extents[i]);
        if (axis < 0)
            return;
        used |= 1u << axis;
        all = arena_printf(g->arena, "%s%s%s", all, i ? ", " : "", g->axes[axis].name);
        if (chance(g, 50)) {
            kept = arena_printf(g->arena, "%s%s%s", kept, keeps ? ", " : "", g->axes[axis].name);
            extents = arena_printf(g->arena, "%s%s%s: %d", extents, keeps++ ? ", " : "", g->axes[axis].name, v.extents[i]);
        } else {
            rest = arena_printf(g->arena, "%s, %s", rest, g->axes[axis].name);
        }
    }
    const char *open = keeps ? "[" : "", *close = keeps ? "]" : "";
    static const char *const kinds[] = {"mean", "max", "sum", "min"};
    line(g, "state %s%s%s%s = 0.5", s, open, extents, close);
    line(g, "if training {");
    line(g, "    %s%s%s%s = %s[batch%s] %s[%s]", m, open, kept, close, kinds[below(g, 4)], rest, v.name, all);
    line(g, "    %s%s%s%s <- lerp(%s%s%s%s, %s%s%s%s, 0.25)", s, open, kept, close, s, open, kept, close, m, open, kept, close);
    line(g, "    %s[%s] = %s[%s] - %s%s%s%s%s", y, all, v.name, all, m, open, kept, close,
         chance(g, 30) ? arena_printf(g->arena, " + 0.1 * %s%s%s%s", s, open, kept, close) : "");
    line(g, "} else {");
    line(g, "    %s[%s] = %s[%s] - %s%s%s%s", y, all, v.name, all, s, open, kept, close);
    line(g, "}");
    v.name = y;
    v.meets = true;
    v.leaf = false;
    value_add(g, v);
}

void statement_plain(struct generator *g)
{
    switch (below(g, 13)) {
    case 0:
    case 1:
    case 2:
        equation(g);
        break;
    case 3:
    case 4:
        product(g);
        break;
    case 5:
        selection(g);
        break;
    case 6:
        composite(g);
        break;
    case 7:
    case 8:
        noise(g);
        break;
    case 9:
        choice(g);
        break;
    case 10:
        other_sample(g);
        break;
    default:
        statistics(g);
    }
}
