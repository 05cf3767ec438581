/* watch_graph.c: what --watch measures, as equations beside those of the step.

   requires   the program `watch` of a phase, before any pass
   makes      outputs in it: of each parameter four numbers, of each named equation with units two tensors that have an element a unit
   A unit is what a parameter has an axis for; an equation is normalised where it divides by a root of something reduced. */
#include <string.h>

#include "graph.h"
#include "watch.h"

static struct watched looked_at(struct arena *arena, const struct ir_tensor *t)
{
    struct watched v = {.name = program_name(arena, t), .elements = ir_elements(t), .rank = t->rank};

    place_in_program(t, &v.file, &v.line);
    return v;
}

/* ---- equations ---- */

/* t at indices of its own; an equation outside of a recurrence shares none of its indices. */
static const struct ir_expr *element(struct graph *g, struct ir_tensor *t, struct ir_index ***axes)
{
    const struct ir_form **forms = NEW_ARRAY(g->arena, const struct ir_form *, t->rank + 1);

    *axes = NEW_ARRAY(g->arena, struct ir_index *, t->rank + 1);
    for (int i = 0; i < t->rank; i++) {
        (*axes)[i] = t->recurrence ? ir_index(g->p, t->axes[i]->name, t->axes[i]->extent, t->axes[i]->batch) : t->axes[i];
        forms[i] = ir_form_index(g->p, (*axes)[i]);
    }
    return ir_read(g->p, t, forms, t->rank, NULL);
}

/* value over all axes that are not kept. */
static struct ir_tensor *reduced(struct graph *g, const char *name, enum ir_reduction reduction, struct ir_index **axes, int rank,
                                 const bool *kept, const struct ir_expr *value)
{
    struct ir_index **outputs = NEW_ARRAY(g->arena, struct ir_index *, rank + 1), **rest = NEW_ARRAY(g->arena, struct ir_index *, rank + 1);
    int output_count = 0, rest_count = 0;

    for (int i = 0; i < rank; i++) {
        if (kept && kept[i])
            outputs[output_count++] = axes[i];
        else
            rest[rest_count++] = axes[i];
    }
    return ir_equation(g->p, name, outputs, output_count, rest_count ? reduction : IR_MAP, rest, rest_count, value, false, NULL);
}

static void output_square(struct graph *g, const char *name, struct ir_index **axes, int rank, const struct ir_expr *e)
{
    ir_add_output(g->p, name, reduced(g, name, IR_SUM, axes, rank, NULL, ir_apply(g->p, IR_multiply, e, e, NULL)), false);
}

static void instrument_parameter(struct graph *g, const struct watched_parameter *parameter, int number)
{
    struct ir_index **axes, **own;
    const struct ir_expr *weight = element(g, parameter->leaf, &axes), *gradient = element(g, parameter->gradient, &own), *value;
    const struct ir_form **forms = NEW_ARRAY(g->arena, const struct ir_form *, parameter->leaf->rank + 1);
    const char *name = arena_printf(g->arena, "reached.%d", number);

    for (int i = 0; i < parameter->leaf->rank; i++)
        forms[i] = ir_form_index(g->p, axes[i]);
    value = ir_read(g->p, parameter->value, forms, parameter->leaf->rank, NULL);
    output_square(g, arena_printf(g->arena, "weight.%d", number), axes, parameter->leaf->rank, weight);
    output_square(g, arena_printf(g->arena, "update.%d", number), axes, parameter->leaf->rank,
                  ir_apply(g->p, IR_subtract, value, weight, NULL));
    output_square(g, arena_printf(g->arena, "gradient.%d", number), own, parameter->gradient->rank, gradient);
    value = ir_apply(g->p, IR_select, ir_apply(g->p, IR_not_equal, gradient, ir_real(g->p, 0), NULL), ir_real(g->p, 1), ir_real(g->p, 0));
    ir_add_output(g->p, name, reduced(g, name, IR_SUM, own, parameter->gradient->rank, NULL, value), false);
}

static int64_t kept_elements(const struct ir_tensor *t, const bool *kept)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++)
        count *= kept[i] ? t->axes[i]->extent : 1;
    return count;
}

static bool is_root(const struct ir_expr *e, const void *unused)
{
    (void)unused;
    return e->kind == IR_APPLY && e->op == IR_sqrt;
}

/* Is e a quotient, or made of one, whose divisor has the root of something with fewer axes than t? kept: which those are. */
static bool divides_by_root(struct graph *g, const struct ir_tensor *t, const struct ir_expr *e, bool *kept)
{
    if (e->kind != IR_APPLY)
        return false;
    if (e->op == IR_divide && ir_any(e->arguments[1], is_root, NULL)) {
        read_list reads = graph_reads_in(g->arena, e->arguments[1]);
        bool varies = false, fewer = false;

        memset(kept, 0, sizeof *kept * (size_t)t->rank);
        for (int i = 0; i < reads.count; i++) {
            varies |= reads.at[i]->tensor->kind == IR_EQUATION;
            for (int a = 0; a < t->rank; a++)
                for (int k = 0; k < reads.at[i]->tensor->rank; k++)
                    kept[a] |= ir_form_mentions(reads.at[i]->subscripts[k], t->axes[a]);
        }
        for (int a = 0; a < t->rank; a++)
            fewer |= !kept[a];
        if (varies && fewer)
            return true;
    }
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        if (divides_by_root(g, t, e->arguments[i], kept))
            return true;
    return false;
}

static bool reads_weight(const struct graph *g, const struct ir_expr *e)
{
    read_list reads = graph_reads_in(g->arena, e);

    for (int i = 0; i < reads.count; i++)
        if (g->weight[reads.at[i]->tensor->number])
            return true;
    return false;
}

/* Does it choose by a value? What places alone decide, as in a mask, is 0 on purpose. */
static bool chooses(const struct ir_expr *e, const void *context)
{
    const struct graph *g = context;

    return e->kind == IR_APPLY && (((e->op == IR_max || e->op == IR_min) && reads_weight(g, e)) ||
                                   (e->op == IR_select && reads_weight(g, e->arguments[0])));
}

static void instrument_value(struct graph *g, struct ir_tensor *t, struct watched *v, int number)
{
    struct ir_index **axes;
    const struct ir_expr *e = element(g, t, &axes), *mean;
    const bool *units = g->units[t->number];
    bool *kept = NEW_ARRAY(g->arena, bool, t->rank + 1);
    const char *most = arena_printf(g->arena, "most.%d", number), *spread = arena_printf(g->arena, "spread.%d", number);
    const struct ir_form **forms = NEW_ARRAY(g->arena, const struct ir_form *, t->rank + 1);
    struct ir_tensor *sum;
    int count = 0;

    v->normalised = divides_by_root(g, t, t->value, kept);
    if (!v->normalised)
        memcpy(kept, units, sizeof *kept * (size_t)t->rank);
    v->per_unit = ir_elements(t) / kept_elements(t, units);
    v->per_spread = ir_elements(t) / kept_elements(t, kept);
    v->chosen = t->reduction == IR_MAP && ir_any(t->value, chooses, g);
    if (v->chosen)
        ir_add_output(g->p, most, reduced(g, most, IR_MAXIMUM, axes, t->rank, units, ir_apply(g->p, IR_abs, e, NULL, NULL)), false);
    sum = reduced(g, arena_printf(g->arena, "total.%d", number), IR_SUM, axes, t->rank, kept, e);
    for (int i = 0; i < t->rank; i++)
        if (kept[i])
            forms[count++] = ir_form_index(g->p, axes[i]);
    mean = ir_apply(g->p, IR_multiply, ir_read(g->p, sum, forms, count, NULL), ir_real(g->p, 1.0 / (double)v->per_spread), NULL);
    e = ir_apply(g->p, IR_subtract, e, mean, NULL);
    ir_add_output(g->p, spread, reduced(g, spread, IR_SUM, axes, t->rank, kept, ir_apply(g->p, IR_multiply, e, e, NULL)), false);
}

static bool has_units(const struct graph *g, const struct ir_tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        if (g->units[t->number][i])
            return true;
    return false;
}

void watch_instruments(struct arena *arena, const struct phase *phase, watched_list *parameters, watched_list *values)
{
    struct graph g = graph_read(arena, phase->watch, phase->watch_objective);

    ir_add_output(g.p, "loss", phase->watch_objective, false);
    for (int i = 0; i < phase->watched.count; i++) {
        list_add(arena, *parameters, looked_at(arena, phase->watched.at[i].leaf));
        instrument_parameter(&g, &phase->watched.at[i], i);
    }
    for (int i = 0; i < phase->watch_objective->number; i++) {
        struct ir_tensor *t = g.p->tensors.at[i];
        struct watched v;

        if (t->kind != IR_EQUATION || t->whole || t->targets || !g.reaches[i] || !g.weight[i] || !has_batch(t) || !has_units(&g, t) || is_part(&g, t))
            continue;
        v = looked_at(arena, t);
        instrument_value(&g, t, &v, values->count);
        list_add(arena, *values, v);
    }
}
