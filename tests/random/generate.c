/* generate.c: random expressions. Every one is well-typed: subscripts are inside, or the read has an else; an index has one
   extent in a body; reductions bind indices that are not free. Values stay of moderate size, and operators are kept off the
   places where they have no derivative (log of 0, the root of 0, 1 / 0), but for the kinks of max, abs and comparisons. */
#include "generate.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t bits(struct generator *g)
{
    uint64_t z = g->state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int below(struct generator *g, int count)
{
    return (int)((bits(g) >> 33) % (uint64_t)count);
}

bool chance(struct generator *g, int percent)
{
    return below(g, 100) < percent;
}

const char *name_new(struct generator *g, const char *letter)
{
    return arena_printf(g->arena, "%s%d", letter, ++g->names);
}

void line(struct generator *g, const char *format, ...)
{
    char text[4000];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    text_addf(&g->out, "%*s%s\n", 4 * g->indent, "", text);
}

struct value *value_add(struct generator *g, struct value value)
{
    if (!value.first)
        value.first = "";
    list_add(g->arena, g->values, value);
    return &g->values.at[g->values.count - 1];
}

const struct value *value_any(struct generator *g, int least, int most, bool sample)
{
    for (int tries = 0; tries < 20 && g->values.count; tries++) {
        /* Later ones are likelier: programs should be deep. */
        int a = below(g, g->values.count), b = below(g, g->values.count);
        const struct value *v = &g->values.at[a > b ? a : b];
        if (!v->choices && v->rank >= least && v->rank <= most && (v->sample || !sample) && !*v->first)
            return v;
    }
    return NULL;
}

int axis_with(struct generator *g, axis_set among, int extent)
{
    int begin = below(g, AXES);

    for (int i = 0; i < AXES; i++) {
        int axis = (begin + i) % AXES;
        if (among >> axis & 1 && g->axes[axis].extent == extent)
            return axis;
    }
    return -1;
}

axis_set some_axes(struct generator *g, axis_set among, int count)
{
    axis_set set = 0;

    for (int tries = 0; tries < 30 && count > 0; tries++) {
        int axis = below(g, AXES);
        if (among >> axis & 1 && !(set >> axis & 1)) {
            set |= 1u << axis;
            count--;
        }
    }
    return set;
}

const char *written(struct generator *g, axis_set free, int *order, int *count, bool extents)
{
    const char *text = "";

    *count = 0;
    for (int i = 0; i < AXES; i++)
        if (free >> i & 1) {
            int place = below(g, *count + 1);
            memmove(order + place + 1, order + place, (size_t)(*count - place) * sizeof *order);
            order[place] = i;
            ++*count;
        }
    for (int i = 0; i < *count; i++) {
        const struct axis *axis = &g->axes[order[i]];
        text = arena_printf(g->arena, "%s%s%s", text, i ? ", " : "", axis->name);
        if (extents)
            text = arena_printf(g->arena, "%s: %d", text, axis->extent);
    }
    return text;
}

/* ---- reads ---- */

/* A subscript for an axis of that extent; *outside: it may leave the axis. */
static const char *subscript(struct generator *g, int extent, axis_set free, int depth, bool *outside)
{
    int bare = axis_with(g, free, extent), axis, other;

    if (bare >= 0 && chance(g, 70)) {
        g->bare |= 1u << bare;
        return g->axes[bare].name;
    }
    axis = below(g, AXES);
    other = below(g, AXES);
    if (!(free >> axis & 1))
        return arena_printf(g->arena, "%d", below(g, extent));
    const char *i = g->axes[axis].name;
    int e = g->axes[axis].extent, room = extent - e;
    switch (below(g, 9)) {
    case 0:
        if (room >= 0)
            return arena_printf(g->arena, "%s + %d", i, below(g, room + 1));
        break;
    case 1:
        if (room >= 0)
            return arena_printf(g->arena, "%d - %s", e - 1 + below(g, room + 1), i);
        break;
    case 2:
        return arena_printf(g->arena, "%s %% %d", i, extent);
    case 3:
        if ((e - 1) / 2 < extent)
            return arena_printf(g->arena, "%s // 2", i);
        break;
    case 4:
        if ((e - 1) * 2 < extent)
            return arena_printf(g->arena, "2*%s + %d", i, below(g, extent - (e - 1) * 2));
        break;
    case 5:
        if (axis != other && free >> other & 1 && e * g->axes[other].extent == extent)
            return arena_printf(g->arena, "(%s, %s)", i, g->axes[other].name);
        break;
    case 6:
        if (axis != other && free >> other & 1) {
            *outside = true;
            return arena_printf(g->arena, "%s*%d + %s*%d - %d", i, 1 + below(g, 2), g->axes[other].name, 1 + below(g, 2),
                                below(g, 3));
        }
        break;
    case 7:
        for (int k = 0; depth > 0 && k < g->values.count; k++) {
            const struct value *v = &g->values.at[k];
            if (v->choices && v->choices <= extent && chance(g, 50))
                return read_value(g, v, free, 0);
        }
        break;
    case 8:
        *outside = true;
        return arena_printf(g->arena, "%s + %d", i, below(g, 4) - 2);
    }
    return arena_printf(g->arena, "%d", below(g, extent));
}

const char *read_value(struct generator *g, const struct value *v, axis_set free, int depth)
{
    const char *text = "";
    bool outside = false;

    /* The derivative of what is carried, read at the time as a place too, is refused. */
    if (*v->first)
        free &= ~g->time;
    g->sample |= v->sample;
    g->meets |= v->meets;
    if (!v->rank && !*v->first)
        return v->name;
    for (int i = 0; i < v->rank; i++)
        text = arena_printf(g->arena, "%s%s%s", text, i ? ", " : "",
                            subscript(g, v->extents[i], free, v->choices ? 0 : depth, &outside));
    if (!v->rank)
        text = arena_printf(g->arena, "%.*s", (int)strcspn(v->first, ","), v->first);
    else
        text = arena_printf(g->arena, "%s%s", v->first, text);
    if (outside || (!v->choices && chance(g, 3))) {
        /* It may be that the else is never taken: then its samples do not count. */
        bool sample = g->sample;
        const char *otherwise = v->choices ? "0" : depth > 0 ? random_expression(g, free, 0) : "0.5";
        g->sample = sample;
        return arena_printf(g->arena, "(%s[%s] else %s)", v->name, text, otherwise);
    }
    return arena_printf(g->arena, "%s[%s]", v->name, text);
}

/* ---- expressions ---- */

static const char *leaf(struct generator *g, axis_set free, int depth)
{
    int axis = below(g, AXES);

    if (chance(g, 10))
        return arena_printf(g->arena, "%d.%d", below(g, 2), 1 + below(g, 9));
    if (chance(g, 7) && free >> axis & 1)
        return arena_printf(g->arena, "(%s / %d)", g->axes[axis].name, g->axes[axis].extent + 1);
    for (int tries = 0; tries < 10 && g->values.count; tries++) {
        const struct value *v = &g->values.at[below(g, g->values.count)];
        if (v->choices && chance(g, 70))
            continue;
        if (v->choices)
            return arena_printf(g->arena, "(%s / %d)", read_value(g, v, free, 0), v->choices + 1);
        return read_value(g, v, free, depth);
    }
    return "0.25";
}

static const char *reduction(struct generator *g, axis_set free, int depth)
{
    static const char *const kinds[] = {"sum", "mean", "max", "min", "prod", "sum", "mean"};
    axis_set bound = some_axes(g, ~free & ((1u << AXES) - 1), 1 + chance(g, 30)), before = g->bare;
    int order[AXES], count, kind = below(g, 7);
    const char *body, *indices;

    g->bare &= ~bound;

    if (!bound)
        return random_expression(g, free, depth);
    if (chance(g, 15)) {
        static const char *const along[] = {"norm", "logsumexp", "variance"};
        body = random_expression(g, bound | free, 0);
        indices = written(g, bound, order, &count, false);
        if ((g->bare & bound) == bound) {
            g->bare &= ~bound | before;
            return arena_printf(g->arena, "%s[%s](%s)", along[below(g, 3)], indices, body);
        }
        for (int i = 0; i < AXES; i++)
            if (bound >> i & 1)
                body = arena_printf(g->arena, "%s + 0.%d * %s", body, 1 + i, g->axes[i].name);
        indices = written(g, bound, order, &count, true);
        g->bare &= ~bound | before;
        return arena_printf(g->arena, "(sum[%s] (%s))", indices, body);
    }
    body = random_expression(g, free | bound, depth);
    for (int i = 0; i < AXES; i++)
        if (bound >> i & 1 && !(g->bare >> i & 1))
            body = arena_printf(g->arena, "%s + 0.%d * %s", body, 1 + i, g->axes[i].name);
    indices = written(g, bound, order, &count, (g->bare & bound) != bound || chance(g, 30));
    g->bare &= ~bound | before;
    if (kind == 4)
        return arena_printf(g->arena, "(prod[%s] (0.5 + sigmoid(%s)))", indices, body);
    if (kind < 2 && chance(g, 50))
        return arena_printf(g->arena, "(%s[%s] (%s) * %s)", kinds[kind], indices, body, "0.5");
    return arena_printf(g->arena, "(%s[%s] (%s))", kinds[kind], indices, body);
}

const char *random_expression(struct generator *g, axis_set free, int depth)
{
    static const char *const unary[] = {
        "exp(tanh(%s))", "log(0.1 + abs(%s))", "log1p((%s)^2)",  "expm1(sin(%s))", "sqrt(0.2 + (%s)^2)", "sin(%s)",
        "cos(%s)",       "tanh(%s)",           "sigmoid(%s)",    "softplus(%s)",   "erf(%s)",            "abs(%s)",
        "sign(%s)",      "floor(2.9 * tanh(%s))", "stop(%s)",      "(-(%s))",        "(tanh(%s)^3)",       "((0.1 + abs(%s))^1.5)",
        "relu(%s)",      "silu(%s)",           "gelu(%s)",       "mish(%s)",       "elu(%s)",            "selu(%s)",
        "hard_tanh(%s)", "leaky_relu(%s, 0.1)", "square(tanh(%s))", "hard_sigmoid(%s)", "(not (%s > 0.3))", "((2 + tanh(%s))^-2)",
    };
    static const char *const binary[] = {
        "(%s + %s)", "(%s - %s)", "(%s * tanh(%s))", "(%s / (1 + (%s)^2))", "max(%s, %s)", "min(%s, %s)",
        "(%s * %s)", "((0.5 + sigmoid(%s))^tanh(%s))", "lerp(%s, %s, 0.3)", "(%s > %s)", "(%s <= %s)",
        "(%s > 0 and %s < 0.5)", "(%s > 0 or %s < 0.5)",
    };
    axis_set along;
    int order[AXES], count;
    const char *a, *b;

    if (depth <= 0)
        return leaf(g, free, 1);
    switch (below(g, 10)) {
    case 0:
    case 1:
    case 2:
        a = random_expression(g, free, depth - 1);
        return arena_printf(g->arena, unary[below(g, sizeof unary / sizeof *unary)], a);
    case 3:
    case 4:
    case 5:
        a = random_expression(g, free, depth - 1);
        b = random_expression(g, free, depth - 1);
        return arena_printf(g->arena, binary[below(g, chance(g, 80) ? 9 : sizeof binary / sizeof *binary)], a, b);
    case 6:
    case 7:
        return reduction(g, free, depth - 1);
    case 8:
        a = random_expression(g, free, depth - 1);
        b = random_expression(g, free, depth - 1);
        return arena_printf(g->arena, "(if %s %s %s then %s else %s)", leaf(g, free, 1), chance(g, 50) ? ">" : "<=",
                            leaf(g, free, 1), a, b);
    case 9:
        along = some_axes(g, free & ~g->time, chance(g, 70) ? 1 : 1 + below(g, AXES));
        if (!along)
            return leaf(g, free, 1);
        a = whole_expression(g, free);
        return arena_printf(g->arena, "%s[%s](%s)",
                            chance(g, 40)   ? "softmax"
                            : chance(g, 30) ? "log_softmax"
                                            : "standardize",
                            written(g, along, order, &count, false), a);
    }
    return leaf(g, free, 1);
}

const char *whole_expression(struct generator *g, axis_set free)
{
    const char *text = arena_printf(g->arena, "%s", random_expression(g, free, 1));

    for (int i = 0; i < AXES; i++)
        if (free >> i & 1)
            text = arena_printf(g->arena, "%s + 0.%d * %s", text, 1 + i, g->axes[i].name);
    return text;
}
