/* program.c: random bodies, layers, rules, and the train blocks around them.

   Every value of a body enters its `total`, which the loss contains, so that every parameter has a path to the loss. */
#include <stdio.h>
#include <string.h>

#include "generate.h"

static int extent(struct generator *g)
{
    static const int extents[] = {1, 2, 3, 4, 5, 6, 7, 2, 3, 5};

    return extents[below(g, sizeof extents / sizeof *extents)];
}

/* ---- bodies ---- */

static void new_axes(struct generator *g, const char *prefix)
{
    static const char *const names[AXES] = {"i", "j", "l", "m", "n", "o"};

    for (int i = 0; i < AXES; i++)
        g->axes[i] = (struct axis){arena_printf(g->arena, "%s%s", prefix, names[i]), extent(g)};
}

static void statement(struct generator *g)
{
    int kind = below(g, g->layer ? 10 : 16);

    if (kind < 8)
        statement_plain(g);
    else if (kind == 8)
        statement_opaque(g);
    else if (kind < 11)
        statement_gradient(g);
    else if (kind == 11)
        statement_recurrence(g);
    else
        statement_library(g);
}

/* `NAME = 0.5 + ...`, a term a line: the mean of something bounded for each value. */
static void total(struct generator *g, const char *name)
{
    line(g, "%s = 0.5", name);
    for (int k = 0; k < g->values.count; k++) {
        const struct value *v = &g->values.at[k];
        const char *axes = "";
        if (v->choices)
            continue;
        for (int i = 0; i < v->rank; i++)
            axes = arena_printf(g->arena, "%s%su%dx%d", axes, i ? ", " : "", i, v->extents[i]);
        if (v->rank)
            line(g, "    + (mean[%s] tanh(0.%d * %s[%s]))", axes, 1 + below(g, 9), v->name, axes);
        else
            line(g, "    + tanh(0.%d * %s)", 1 + below(g, 9), v->name);
    }
}

/* A layer of its own on values of one shape, used twice with shared parameters or apart. */
static bool own_layer(struct generator *g, const struct value *x, const char *name)
{
    bool meets = false;
    int order[AXES];
    struct value input = *x;
    const char *axes = "";

    g->values.count = 0;
    new_axes(g, "");
    for (int i = 0; i < input.rank; i++) {
        g->axes[i].extent = input.extents[i];
        order[i] = i;
        axes = arena_printf(g->arena, "%s%s%s", axes, i ? ", " : "", g->axes[i].name);
    }
    begin_expression(g);
    g->sample = true;
    input = value_over(g, "a", order, input.rank);
    input.leaf = true;
    g->layer = true;
    line(g, "layer %s(a[%s]; rate = 0.3) -> (y[%s], extra) {", name, axes, axes);
    g->indent++;
    value_add(g, input);
    for (int i = 1 + below(g, g->size == LARGE ? 4 : 2); i > 0; i--)
        statement(g);
    line(g, "y[%s] = a[%s] + rate * %s", axes, axes, random_expression(g, (1u << input.rank) - 1, 2));
    total(g, "extra");
    for (int i = 0; i < g->values.count; i++)
        meets |= g->values.at[i].meets;
    g->layer = false;
    g->indent--;
    line(g, "}");
    line(g, "%s", "");
    return meets;
}

/* ---- training ---- */

static const char *const optimizers[] = {"gd(0.1)",
                                         "sgd(rate = 0.1, momentum = 0.9)",
                                         "nesterov(0.05)",
                                         "adam(rate = 0.01)",
                                         "adamw(rate = 0.01, decay = 0.1)",
                                         "rmsprop(0.01)",
                                         "adagrad(0.05)",
                                         "clipped_gd(0.1, 0.5)",
                                         "normalized_gd(0.1, 0.3)",
                                         "lars(0.1)",
                                         "sgd(rate = cosine(0.1), momentum = 0.9, decay = 0.01)",
                                         "own_rule(0.1)",
                                         "adam(rate = 0.02 * 0.5^floor(epoch / 2))"};

static const char *optimizer(struct generator *g)
{
    return chance(g, g->size == LARGE ? 20 : 60) ? optimizers[0] : optimizers[below(g, 13)];
}

/* The settings that are a phase's own, or the block's if it has none. group: some parameters, for rules of their own. */
static void settings(struct generator *g, const char *loss, const char *group)
{
    static const char *const gradients[] = {"gradient_noise(0.01)", "sharpness_aware(0.05)", "across(0.1)"};
    static const char *const clips[] = {"clip_norm(0.1)", "clip_value(0.05)", "clip_each(0.2)"};
    static const char *const projections[] = {"ball(2.5)", "soft_threshold(0.1, 0.01)", "max_norm(0.9) on weights", "nonnegative()"};
    static const char *const penalties[] = {"1e-2 * l2(params)", "1e-3 * l1(params)", "elastic(params)", "0.1 * norm(params)"};
    static const char *const averages[] = {"ema(0.9)", "running_mean()"};

    line(g, "loss = %s", loss);
    if (chance(g, 8) && group && strcmp(group, "weights"))
        line(g, "penalty = 0.1 * l2(grad(mean[batch] total, %s))", group);
    else if (chance(g, 40))
        line(g, "penalty = %s", penalties[below(g, 4)]);
    if (chance(g, 10))
        line(g, "probe = gains(0.1)");
    if (chance(g, 12))
        line(g, "gradient = %s", gradients[below(g, 3)]);
    if (chance(g, 30))
        line(g, "clip = %s", clips[below(g, 3)]);
    if (group && chance(g, 20))
        line(g, "optimizer = %s on %s", optimizer(g), group);
    line(g, "optimizer = %s", optimizer(g));
    if (chance(g, 25))
        line(g, "project = %s", projections[below(g, 4)]);
    if (chance(g, 15))
        line(g, "average = %s", averages[below(g, 2)]);
}

/* first: a parameter of the model. */
static void train_block(struct generator *g, const char *model, const char *first)
{
    const char *group = chance(g, 50) ? "weights" : first;

    line(g, "train %s on d {", model);
    g->indent++;
    if (chance(g, 12)) {
        bool part = chance(g, 50);
        line(g, "phase fore {");
        g->indent++;
        settings(g, "total", group);
        if (chance(g, 50))
            line(g, "times = 2");
        g->indent--;
        line(g, "}");
        line(g, "phase aft {");
        g->indent++;
        settings(g, "0.7 * total^2", part ? NULL : group);
        if (part)
            line(g, "params = %s", first);
        g->indent--;
        line(g, "}");
    } else {
        settings(g, chance(g, 80) ? "total" : "total + 0.1 * sum[batch] total / size(batch)", group);
    }
    line(g, "batch = %d", chance(g, 10) && !g->normalises ? 1 : 2 + below(g, 6));
    line(g, "steps = 8");
    if (chance(g, 70))
        line(g, "report { a = total, b = %s[batch] total }", chance(g, 50) ? "mean" : chance(g, 50) ? "max" : "sum");
    g->indent--;
    line(g, "}");
}

/* Rules that a setting may name. */
static void rules(struct generator *g)
{
    line(g, "rule own_rule(w[...], g[...]; rate) {");
    line(g, "    state m[...] = w[...]");
    line(g, "    m <- lerp(m, g / (0.1 + norm(all g)), 0.3)");
    line(g, "    w <- w - rate * m / (1 + abs(w))");
    line(g, "}");
    line(g, "rule across(w[...], g[...]; rate) {");
    line(g, "    g <- 0.5 * (gradient(w + rate * tanh(g)) + gradient(0.9 * w))");
    line(g, "}");
    line(g, "rule gains(w[...], g[...]; rate) -> (gain[k: 3], size_of_gradient) {");
    line(g, "    gain[k] = objective(w) - objective(w - rate * (k + 1) / 10 * g)");
    line(g, "    size_of_gradient = norm(all g)");
    line(g, "}");
}

/* What a model is given, and the same as fields of the data. */
struct given {
    LIST(struct value) values;
    const char *header, *fields;
};

static void make_inputs(struct generator *g, struct given *given)
{
    int inputs = 1 + (g->size == SMALL ? chance(g, 30) : below(g, 3)), order[AXES], count;

    given->header = given->fields = "";
    for (int k = 0; k < inputs; k++) {
        axis_set free = some_axes(g, ALL, 1 + below(g, 3));
        const char *name = arena_printf(g->arena, "x%d", k + 4);
        begin_expression(g);
        g->sample = true;
        const char *text = written(g, free, order, &count, true);
        struct value v = value_over(g, name, order, count);
        v.leaf = true;
        given->header = arena_printf(g->arena, "%s%s%s[%s]", given->header, k ? ", " : "", name, text);
        given->fields = arena_printf(g->arena, "%s%s%s = npy(\"%s.npy\")", given->fields, k ? ", " : "", name, name);
        list_add(g->arena, given->values, v);
    }
    if (chance(g, 50)) {
        axis_set free = some_axes(g, ALL, below(g, 2));
        const char *text = written(g, free, order, &count, true);
        struct value v = value_over(g, "label", order, count);
        v.choices = 2 + below(g, 5);
        given->header = arena_printf(g->arena, "%s, label%s%s%s in (%d)", given->header, count ? "[" : "", text,
                                     count ? "]" : "", v.choices);
        given->fields = arena_printf(g->arena, "%s, label = npy(\"label.npy\")", given->fields);
        list_add(g->arena, given->values, v);
    }
}

static void begin_model(struct generator *g, const struct given *given, const char *name, const struct axis *axes)
{
    g->values.count = 0;
    memcpy(g->axes, axes, sizeof g->axes);
    line(g, "model %s(%s) -> (total, y[y0: %d]) {", name, given->header, g->axes[0].extent);
    g->indent++;
    for (int k = 0; k < given->values.count; k++)
        value_add(g, given->values.at[k]);
}

static void end_model(struct generator *g, const struct given *given)
{
    const struct value *x = &given->values.at[0];

    line(g, "y[y0: %d] = 0.1 * y0 + sum[yy] %s[%syy]", g->axes[0].extent, x->name,
         x->rank == 1   ? ""
         : x->rank == 2 ? "0, "
                        : "0, 0, ");
    total(g, "total");
    g->indent--;
    line(g, "}");
}

char *random_program(struct arena *arena, uint64_t seed)
{
    struct generator generator = {.arena = arena, .state = seed * 0x2545f4914f6cdd1du + 1}, *g = &generator;
    struct given given = {0};
    const char *layer = NULL, *first;
    bool meets = false;
    char *program;
    int kind = below(g, 100);

    g->size = kind < 78 ? SMALL : kind < 96 ? MEDIUM : LARGE;
    new_axes(g, "");
    struct axis axes[AXES];
    memcpy(axes, g->axes, sizeof axes);
    make_inputs(g, &given);
    struct value shape = given.values.at[0];
    line(g, "use std");
    line(g, "data d {");
    line(g, "    train { %s }", given.fields);
    line(g, "    test { %s }", given.fields);
    line(g, "}");
    rules(g);
    if (chance(g, g->size == SMALL ? 10 : g->size == MEDIUM ? 30 : 60)) {
        layer = "own";
        meets = own_layer(g, &shape, layer);
    }
    begin_model(g, &given, "net", axes);
    first = parameter(g, some_axes(g, ALL, 1), 0, "p");
    struct value part = g->values.at[g->values.count - 1];
    parameter(g, 0, some_axes(g, ALL, below(g, 2)), "p");
    for (int i = g->size == SMALL ? 1 + below(g, 2) : g->size == MEDIUM ? 2 + below(g, 3) : 4 + below(g, 5); i > 0; i--)
        statement(g);
    if (layer) {
        bool shared = chance(g, 50);
        const char *use = shared ? "both" : layer;
        if (shared)
            line(g, "both = |> own");
        for (int i = 0; i < 2; i++) {
            struct value v = shape, extra = {.sample = true, .meets = meets};
            v.name = name_new(g, "v");
            v.meets |= meets;
            v.leaf = false;
            extra.name = name_new(g, "v");
            line(g, "(%s, %s) = %s(%s)", v.name, extra.name, use, i ? g->values.at[g->values.count - 2].name : shape.name);
            value_add(g, v);
            value_add(g, extra);
        }
    }
    end_model(g, &given);
    bool two = chance(g, 8);
    if (two) {
        /* Another model that reads a parameter of the first. */
        begin_model(g, &given, "second", axes);
        part.name = arena_printf(arena, "net.%s", first);
        part.leaf = false;
        value_add(g, part);
        const char *own = parameter(g, some_axes(g, ALL, 1), 0, "p");
        parameter(g, 0, some_axes(g, ALL, below(g, 2)), "p");
        statement(g);
        end_model(g, &given);
        train_block(g, "net", arena_printf(arena, "net.%s", first));
        train_block(g, "second", arena_printf(arena, "second.%s", own));
    } else {
        train_block(g, "net", arena_printf(arena, "net.%s", first));
    }
    program = arena_string(arena, g->out.data);
    text_free(&g->out);
    return program;
}
