/* program.c: random statements, layers, rules, and the train block around them.

   Every value of a body enters its `total`, which the loss contains, so that every parameter has a path to the loss. */
#include <stdio.h>
#include <string.h>

#include "generate.h"

enum { ALL = (1 << AXES) - 1 };

static int extent(struct generator *g)
{
    static const int extents[] = {1, 2, 3, 4, 5, 6, 7, 2, 3, 5};

    return extents[below(g, sizeof extents / sizeof *extents)];
}

static struct value value_over(struct generator *g, const char *name, const int *order, int count)
{
    struct value v = {.name = name, .rank = count, .sample = g->sample};

    for (int i = 0; i < count; i++)
        v.extents[i] = g->axes[order[i]].extent;
    return v;
}

static void begin_expression(struct generator *g)
{
    g->bare = 0;
    g->sample = false;
}

/* ---- statements ---- */

static void equation(struct generator *g)
{
    axis_set free = some_axes(g, ALL, below(g, MAX_RANK));
    int order[AXES], count;
    const char *name = name_new(g, "v"), *left, *right;

    begin_expression(g);
    right = random_expression(g, free, 1 + below(g, MAX_DEPTH));
    left = written(g, free, order, &count, true);
    if (count)
        line(g, "%s[%s] = %s", name, left, right);
    else
        line(g, "%s = %s", name, right);
    value_add(g, value_over(g, name, order, count));
}

static const char *parameter(struct generator *g, axis_set in, axis_set out, const char *letter)
{
    static const char *const made[] = {"he_normal", "glorot", "lecun_normal", "he_uniform"};
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
        line(g, "param %s[%s] ~ %s[%s; %s]", name, axes, made[below(g, 4)], ins, outs);
    g->sample = false;
    value_add(g, value_over(g, name, order, count));
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

static void noise(struct generator *g)
{
    static const char *const distributions[] = {"bernoulli(0.7)",   "uniform(-1, 1)", "normal(0.5, 0.3)",
                                                "uniform(0.1, 2)", "poisson(2)",     "normal(0, 0.1 + (2 / 3))"};
    static const char *const scopes[] = {"", "", " per step", " per run"};
    const struct value *x = value_any(g, 0, 3, true);
    const char *e = name_new(g, "e"), *y = name_new(g, "v"), *all = "", *some = "", *extents = "";
    int taken[MAX_RANK], somes = 0;
    axis_set used = 0;
    struct value v;

    if (!x)
        return;
    v = *x;
    for (int i = 0; i < v.rank; i++) {
        taken[i] = axis_with(g, ALL & ~used, v.extents[i]);
        if (taken[i] < 0)
            return;
        used |= 1u << taken[i];
        all = arena_printf(g->arena, "%s%s%s", all, i ? ", " : "", g->axes[taken[i]].name);
        if (chance(g, 70)) {
            some = arena_printf(g->arena, "%s%s%s", some, somes ? ", " : "", g->axes[taken[i]].name);
            extents = arena_printf(g->arena, "%s%s%s: %d", extents, somes++ ? ", " : "", g->axes[taken[i]].name, v.extents[i]);
        }
    }
    const char *read = v.rank ? arena_printf(g->arena, "%s[%s]", v.name, all) : v.name;
    const char *left = v.rank ? arena_printf(g->arena, "%s[%s]", y, all) : y;
    const char *drawn = somes ? arena_printf(g->arena, "%s[%s]", e, some) : e;
    line(g, "if training {");
    line(g, "    %s%s%s%s ~ %s%s", e, somes ? "[" : "", extents, somes ? "]" : "", distributions[below(g, 6)],
         scopes[below(g, 4)]);
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
    value_add(g, v);
}

static void recurrence(struct generator *g)
{
    axis_set time = some_axes(g, ALL, 1), units = some_axes(g, ALL & ~time, 1);
    int carried = 1 + below(g, 3), order[AXES], count, first = g->values.count, t = 0, u = 0;
    const char *names[3], *starts = "", *step = chance(g, 50) ? "- 1" : "+ 1";
    bool constant[3], sample = false; /* whether they differ between samples is not followed */

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
    line(g, "over %s: %d from %s {", tt, g->axes[t].extent, starts);
    g->indent++;
    g->time = time;
    for (int i = 0; i < carried; i++)
        value_add(g, (struct value){.name = names[i],
                                    .first = arena_printf(g->arena, "%s %s, ", tt, step),
                                    .rank = 1,
                                    .extents = {g->axes[u].extent},
                                    .sample = sample});
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
        const char *more = weight ? arena_printf(g->arena, " + %s[%s %s, %s] * mean[%s: %d] %s[%s]", names[i], tt, step, uu,
                                                 g->axes[axis_with(g, square, g->axes[u].extent)].name, g->axes[u].extent,
                                                 weight, g->axes[axis_with(g, square, g->axes[u].extent)].name)
                                  : "";
        line(g, "%s[%s, %s] = tanh(%s + 0.5 * %s[%s %s, %s]%s)", names[i], tt, uu, right, names[below(g, carried)], tt, step, uu,
             more);
    }
    g->indent--;
    g->time = 0;
    line(g, "}");
    g->values.count = first;
    for (int i = 0; i < carried; i++)
        value_add(g, (struct value){.name = names[i], .rank = 2, .extents = {g->axes[t].extent, g->axes[u].extent},
                                    .sample = sample});
}

/* A layer of the library on a value; what it does to the axes is said here. */
static void library(struct generator *g)
{
    static const char *const same[] = {"prelu",          "layer_norm",         "rms_norm",           "batch_norm",
                                       "dropout(0.4)",   "gaussian_noise(0.2)", "drop_path(0.3)",    "dropout_batch(0.3)",
                                       "random_dropout(0.5)", "dropout_channels(0.4)", "noisy_batch_norm", "gaussian_dropout(0.2)",
                                       "layer_norm_all", "backwards",          "dropout_over_time(0.3)", "dropout_unscaled(0.6)"};
    static const char *const last[] = {"dense",  "linear", "maxout", "glu", "weight_norm_dense", "drop_connect(%d, 0.3)"};
    static const char *const sequence[] = {"rnn", "ln_rnn", "lstm", "gru", "gru_backwards", "ln_lstm", "lstm_equations",
                                           "lstm_dropped", "bn_lstm", "bidirectional_gru"};
    static const char *const image[] = {"depthwise_conv2d", "conv2d(%d)",   "separable_conv2d(%d)", "conv2d(%d, stride = 2)",
                                        "instance_norm",    "pad2d(1)",     "upsample2d(2)",        "global_mean",
                                        "max_pool2d(2, 1)", "global_max",   "random_flip",          "conv2d(%d, dilation = 2)",
                                        "transposed_conv2d(%d)", "mean_pool2d(3, 2, 1)", "random_shift(1)", "cutout(2)"};
    const struct value *x = value_any(g, 1, 3, true);
    const char *y = name_new(g, "v"), *call = "";
    int out = 1 + below(g, 5), kind;
    struct value v;

    if (!x)
        return;
    v = *x;
    int *e = v.extents, end = v.rank - 1;
    if (v.rank == 2 && e[0] > 1 && chance(g, 50)) {
        kind = below(g, 14);
        if (kind < 10) {
            call = arena_printf(g->arena, "%s(%d)", sequence[kind], out);
            e[1] = kind == 9 ? 2 * out : out;
        } else if (kind == 10) {
            int stride = 1 + below(g, 2), dilation = 1 + below(g, 2);
            call = arena_printf(g->arena, "conv1d(%d, kernel = 3, stride = %d, dilation = %d)", out, stride, dilation);
            e[0] = (e[0] + 2 * dilation - dilation * 2 - 1) / stride + 1;
            e[1] = out;
        } else if (kind == 11) {
            call = arena_printf(g->arena, "causal_conv1d(%d, dilation = 2)", out);
            e[1] = out;
        } else if (kind == 12) {
            call = "transpose";
            int other = e[0];
            e[0] = e[1];
            e[1] = other;
        } else {
            call = "self_attention(1, causal = true)";
        }
    } else if (v.rank == 3 && chance(g, 70)) {
        kind = below(g, 16);
        if (kind == 8 && (e[0] < 2 || e[1] < 2))
            kind = 0;
        call = arena_printf(g->arena, image[kind], out);
        switch (kind) {
        case 1:
        case 2:
        case 11:
            e[2] = out;
            break;
        case 3:
            e[0] = (e[0] - 1) / 2 + 1;
            e[1] = (e[1] - 1) / 2 + 1;
            e[2] = out;
            break;
        case 5:
            e[0] += 2;
            e[1] += 2;
            break;
        case 6:
            e[0] *= 2;
            e[1] *= 2;
            break;
        case 7:
        case 9:
            e[0] = e[2];
            v.rank = 1;
            break;
        case 8:
            e[0]--;
            e[1]--;
            break;
        case 12:
            e[0] *= 2;
            e[1] *= 2;
            e[2] = out;
            break;
        case 13:
            e[0] = (e[0] - 1) / 2 + 1;
            e[1] = (e[1] - 1) / 2 + 1;
            break;
        default:
            break;
        }
    } else if (chance(g, 50)) {
        kind = below(g, 6);
        call = kind == 5 ? arena_printf(g->arena, last[kind], out) : arena_printf(g->arena, "%s(%d)", last[kind], out);
        e[end] = out;
    } else if (chance(g, 20)) {
        call = "flatten";
        for (int i = 1; i <= end; i++)
            e[0] *= e[i];
        v.rank = 1;
    } else if (chance(g, 20)) {
        call = arena_printf(g->arena, "residual(|> dense(%d) |> tanh)", e[end]);
    } else if (chance(g, 20)) {
        call = arena_printf(g->arena, "repeat k: 2 { |> dense(k + %d) |> tanh }", out);
        e[end] = out + 1;
    } else {
        call = same[below(g, sizeof same / sizeof *same)];
    }
    line(g, "%s = %s |> %s%s", y, v.name, call, chance(g, 20) ? " |> tanh" : "");
    v.name = y;
    value_add(g, v);
}

/* ---- bodies ---- */

static void new_axes(struct generator *g, const char *prefix)
{
    static const char *const names[AXES] = {"i", "j", "l", "m", "n", "o"};

    for (int i = 0; i < AXES; i++)
        g->axes[i] = (struct axis){arena_printf(g->arena, "%s%s", prefix, names[i]), extent(g)};
}

static void statement(struct generator *g, bool inside)
{
    switch (below(g, inside ? 8 : 11)) {
    case 0:
    case 1:
    case 2:
        equation(g);
        break;
    case 3:
        product(g);
        break;
    case 4:
        selection(g);
        break;
    case 5:
        composite(g);
        break;
    case 6:
        noise(g);
        break;
    case 7:
        statistics(g);
        break;
    case 8:
        recurrence(g);
        break;
    default:
        library(g);
    }
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
static void own_layer(struct generator *g, const struct value *x, const char *name)
{
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
    g->sample = true;
    input = value_over(g, "a", order, input.rank);
    line(g, "layer %s(a[%s]; rate = 0.3) -> (y[%s], extra) {", name, axes, axes);
    g->indent++;
    value_add(g, input);
    for (int i = 1 + below(g, 4); i > 0; i--)
        statement(g, true);
    line(g, "y[%s] = a[%s] + rate * %s", axes, axes, random_expression(g, (1u << input.rank) - 1, 2));
    total(g, "extra");
    g->indent--;
    line(g, "}");
    line(g, "%s", "");
}

static void train_block(struct generator *g, const char *penalised)
{
    static const char *const optimizers[] = {"gd(0.1)", "sgd(rate = 0.1, momentum = 0.9)", "nesterov(0.05)", "adam(rate = 0.01)",
                                             "adamw(rate = 0.01, decay = 0.1)", "rmsprop(0.01)", "adagrad(0.05)",
                                             "clipped_gd(0.1, 0.5)", "normalized_gd(0.1, 0.3)", "lars(0.1)",
                                             "sgd(rate = cosine(0.1), momentum = 0.9, decay = 0.01)", "own_rule(0.1)",
                                             "adam(rate = 0.02 * 0.5^floor(epoch / 2))"};
    static const char *const clips[] = {"clip_norm(0.1)", "clip_value(0.05)", "clip_each(0.2)", "gradient_noise(0.01)"};
    static const char *const projections[] = {"ball(2.5)", "soft_threshold(0.1, 0.01)", "max_norm(0.9) on weights", "nonnegative()"};
    static const char *const penalties[] = {"1e-2 * l2(params)", "1e-3 * l1(params)", "elastic(params)", "0.1 * norm(params)"};
    static const char *const averages[] = {"ema(0.9)", "running_mean()"};
    int clip = below(g, 6), project = below(g, 8), penalty = below(g, 6);

    line(g, "train net on d {");
    line(g, "    loss = %s", chance(g, 80) ? "total" : "total + 0.1 * sum[batch] total / size(batch)");
    if (penalised && penalty < 4)
        line(g, "    penalty = %s", penalties[penalty]);
    if (clip < 4)
        line(g, "    %s = %s", clip == 3 ? "gradient" : "clip", clips[clip]);
    line(g, "    optimizer = %s", optimizers[below(g, 13)]);
    if (project < 4 && !(project == 2 && !penalised))
        line(g, "    project = %s", projections[project]);
    if (chance(g, 20))
        line(g, "    average = %s", averages[below(g, 2)]);
    line(g, "    batch = %d", 2 + below(g, 6));
    line(g, "    steps = 8");
    line(g, "    report { a = total, b = %s[batch] total }", chance(g, 50) ? "mean" : chance(g, 50) ? "max" : "sum");
    line(g, "}");
}

char *random_program(struct arena *arena, uint64_t seed)
{
    struct generator generator = {.arena = arena, .state = seed * 0x2545f4914f6cdd1du + 1}, *g = &generator;
    const char *header = "", *fields = "", *layer = NULL;
    int inputs = 1 + below(g, 3), order[AXES], count;
    struct value shape = {0};
    LIST(struct value) given = {0};
    char *program;

    new_axes(g, "");
    struct axis axes[AXES];
    memcpy(axes, g->axes, sizeof axes);
    for (int k = 0; k < inputs; k++) {
        axis_set free = some_axes(g, ALL, 1 + below(g, 3));
        const char *name = arena_printf(arena, "x%d", k + 4);
        struct value v;
        g->sample = true;
        const char *text = written(g, free, order, &count, true);
        v = value_over(g, name, order, count);
        header = arena_printf(arena, "%s%s%s[%s]", header, k ? ", " : "", name, text);
        fields = arena_printf(arena, "%s%s%s = npy(\"%s.npy\")", fields, k ? ", " : "", name, name);
        list_add(arena, given, v);
        shape = v;
    }
    if (chance(g, 50)) {
        axis_set free = some_axes(g, ALL, below(g, 2));
        const char *text = written(g, free, order, &count, true);
        struct value v = value_over(g, "label", order, count);
        v.choices = 2 + below(g, 5);
        header = arena_printf(arena, "%s, label%s%s%s in (%d)", header, count ? "[" : "", text, count ? "]" : "", v.choices);
        fields = arena_printf(arena, "%s, label = npy(\"label.npy\")", fields);
        list_add(arena, given, v);
    }
    line(g, "use std");
    line(g, "data d {");
    line(g, "    train { %s }", fields);
    line(g, "    test { %s }", fields);
    line(g, "}");
    line(g, "rule own_rule(w[...], g[...]; rate) {");
    line(g, "    state m[...] = w[...]");
    line(g, "    m <- lerp(m, g / (0.1 + norm(all g)), 0.3)");
    line(g, "    w <- w - rate * m / (1 + abs(w))");
    line(g, "}");
    if (chance(g, 50)) {
        layer = "own";
        own_layer(g, &shape, layer);
    }
    g->values.count = 0;
    memcpy(g->axes, axes, sizeof axes);
    line(g, "model net(%s) -> (total, y[y0: %d]) {", header, g->axes[0].extent);
    g->indent++;
    for (int k = 0; k < given.count; k++)
        value_add(g, given.at[k]);
    parameter(g, some_axes(g, ALL, 1), 0, "p");
    for (int i = 2 + below(g, 7); i > 0; i--)
        statement(g, false);
    if (layer) {
        bool shared = chance(g, 50);
        const char *use = shared ? "both" : layer;
        if (shared)
            line(g, "both = |> own");
        for (int i = 0; i < 2; i++) {
            struct value v = shape, extra = {.sample = true};
            v.name = name_new(g, "v");
            extra.name = name_new(g, "v");
            line(g, "(%s, %s) = %s(%s)", v.name, extra.name, use, i ? g->values.at[g->values.count - 2].name : shape.name);
            value_add(g, v);
            value_add(g, extra);
        }
    }
    begin_expression(g);
    line(g, "y[y0: %d] = 0.1 * y0 + sum[yy] %s[%syy]", g->axes[0].extent, given.at[0].name,
         given.at[0].rank == 1   ? ""
         : given.at[0].rank == 2 ? "0, "
                                 : "0, 0, ");
    total(g, "total");
    g->indent--;
    line(g, "}");
    train_block(g, "params");
    program = arena_string(arena, g->out.data);
    text_free(&g->out);
    return program;
}
