/* derivatives.c: random statements with derivatives in the language, and with what no equation says. */
#include <string.h>

#include "generate.h"

static const char *subscripted(struct generator *g, const char *name, const char *indices)
{
    return *indices ? arena_printf(g->arena, "%s[%s]", name, indices) : name;
}

static bool named(const struct value *v)
{
    return !v->choices && !*v->first && !strchr(v->name, '.');
}

/* A value that a derivative can be asked by. */
static const struct value *variable(struct generator *g)
{
    for (int tries = 0; tries < 20 && g->values.count; tries++) {
        const struct value *v = &g->values.at[below(g, g->values.count)];
        if (named(v) && (v->leaf || chance(g, 40)))
            return v;
    }
    return NULL;
}

/* The number e depends on the variable by a square and by whatever value there is, and its gradient is a value: a sample's own,
   or, where samples meet on the way, of their sum. Second order: the derivative of a number made of the gradient. */
void statement_gradient(struct generator *g)
{
    const struct value *x = variable(g), *other = value_any(g, 0, 3, false);
    const char *e = name_new(g, "e"), *s = name_new(g, "e"), *d = name_new(g, "g"), *all, *all_other;
    int taken[MAX_RANK], taken_other[MAX_RANK];

    if (!x || !other || !whole_value(g, x, &all, taken) || !whole_value(g, other, &all_other, taken_other))
        return;
    struct value v = *x, o = *other;
    bool meets = v.meets || o.meets, rows = !meets && v.rank < MAX_RANK - 1 && chance(g, 20), second = !rows && chance(g, 35);
    const char *read = subscripted(g, v.name, all), *open = v.rank ? arena_printf(g->arena, "sum[%s] ", all) : "";
    const char *read_other = subscripted(g, o.name, all_other);
    const char *open_other = o.rank ? arena_printf(g->arena, "mean[%s] ", all_other) : "";
    const char *row = "";
    bool sample = v.sample || o.sample, summed = meets && sample;

    v.leaf = false;
    v.sample = meets ? x->sample : sample;
    v.meets = meets;
    if (rows) {
        axis_set used = 0;
        for (int i = 0; i < v.rank; i++)
            used |= 1u << taken[i];
        for (int i = 0; i < o.rank; i++)
            used |= 1u << taken_other[i];
        axis_set kept = some_axes(g, ALL & ~used, 1);
        for (int i = 0; i < AXES; i++)
            if (kept >> i & 1) {
                row = g->axes[i].name;
                memmove(v.extents + 1, v.extents, (size_t)v.rank * sizeof *v.extents);
                v.extents[0] = g->axes[i].extent;
                v.rank++;
                line(g, "%s[%s: %d] = (1 + %s) * (%s sin(0.7 * %s)) + (%s tanh(%s) / (1 + %s))", e, row, g->axes[i].extent, row,
                     open, read, open_other, read_other, row);
            }
        if (!*row)
            return;
        line(g, "%s[%s] = grad(%s[%s], %s)", d, row, e, row, v.name);
        v.name = d;
        value_add(g, v);
        return;
    }
    /* Samples meet only while training: in evaluation a stand-in takes the gradient's place. */
    if (meets) {
        line(g, "if training {");
        g->indent++;
    }
    line(g, "%s = 0.3 * (%s tanh(%s)^2) + (%s sin(%s))", e, open, read, open_other, read_other);
    if (summed) {
        line(g, "%s = sum[batch] %s", s, e);
        e = s;
    }
    if (second) {
        const char *first = name_new(g, "g"), *k = name_new(g, "e");
        line(g, "%s = grad(%s, %s)", first, e, v.name);
        line(g, "%s = %s (%s)^2 * %s", k, open, subscripted(g, first, all), chance(g, 50) ? "0.5" : read);
        if (summed && v.sample) {
            const char *sum = name_new(g, "e");
            line(g, "%s = sum[batch] %s", sum, k);
            k = sum;
        }
        line(g, "%s = grad(%s, %s)", d, k, v.name);
    } else {
        line(g, "%s = grad(%s, %s)", d, e, v.name);
    }
    if (meets) {
        g->indent--;
        line(g, "} else {");
        line(g, "    %s = %s", d, v.name);
        line(g, "}");
    }
    v.name = d;
    value_add(g, v);
}

/* ---- rank, solve, cholesky ---- */

void statement_opaque(struct generator *g)
{
    axis_set free = some_axes(g, ALL, below(g, 2));
    int i = below(g, AXES), j, order[AXES], count;
    const char *name = name_new(g, "v"), *left, *ii, *jj, *a, *b;
    struct value v;

    free &= ~(1u << i);
    begin_expression(g);
    ii = g->axes[i].name;
    if (chance(g, 40)) {
        name = name_new(g, "s");
        a = whole_expression(g, free | 1u << i);
        left = written(g, free | 1u << i, order, &count, true);
        line(g, "%s[%s] = rank[%s](%s)", name, left, ii, a);
        v = value_over(g, name, order, count);
        v.choices = g->axes[i].extent;
        value_add(g, v);
        return;
    }
    j = axis_with(g, ALL & ~free & ~(1u << i), g->axes[i].extent);
    if (j < 0)
        return;
    jj = g->axes[j].name;
    if (chance(g, 60)) {
        /* Its diagonal outweighs the rest of a row: 7 elements at most, 0.3 each. */
        a = random_expression(g, free | 1u << i | 1u << j, 1);
        b = whole_expression(g, free | 1u << i);
        left = written(g, free | 1u << j, order, &count, true);
        line(g, "%s[%s] = solve[%s: %d; %s](3 * (%s == %s) + 0.3 * tanh(%s), %s)", name, left, ii, g->axes[i].extent, jj, ii, jj, a,
             b);
    } else {
        const char *u = name_new(g, "u");
        b = random_expression(g, free | 1u << i, 1);
        left = written(g, free | 1u << i, order, &count, true);
        line(g, "%s[%s] = tanh(%s)", u, left, b);
        value_add(g, value_over(g, u, order, count));
        const char *at_i = "", *at_j = "";
        for (int k = 0; k < count; k++) {
            at_i = arena_printf(g->arena, "%s%s%s", at_i, k ? ", " : "", g->axes[order[k]].name);
            at_j = arena_printf(g->arena, "%s%s%s", at_j, k ? ", " : "", order[k] == i ? jj : g->axes[order[k]].name);
        }
        left = written(g, free | 1u << i | 1u << j, order, &count, true);
        line(g, "%s[%s] = cholesky[%s; %s](%s[%s] * %s[%s] + 1.5 * (%s == %s))", name, left, ii, jj, u, at_i, u, at_j, ii, jj);
    }
    value_add(g, value_over(g, name, order, count));
}
