/* probe_graph.c: what can be looked at in a net, read off its equations.

   requires   the objective of a phase, before any pass
   makes      outputs of every named equation on the way to the loss, of the loss's derivative by it, and of the size of its local
              derivative where it bends
   Nothing here knows what a layer is: a value bends where its derivative by a tensor of its own shape depends on that tensor; depth
   counts sums that a parameter takes part in; a unit is what a parameter has an axis for. */
#include <math.h>
#include <string.h>

#include "autodiff.h"
#include "graph.h"
#include "probe.h"

/* ---- local derivatives ---- */

typedef void derivative(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,
                        const struct ir_expr *g, const struct ir_expr **weights);
static derivative *const derivatives[IR_OP_COUNT] = {
#define OP(name, ...) derivative_##name,
#include "ops.def"
#undef OP
};

static const struct ir_expr *derivative_of(struct ir_program *p, struct memo *done, const struct ir_expr *e, const struct ir_tensor *t)
{
    static const char none; /* in the memo: known to be NULL */
    const struct ir_expr *sum = NULL;
    const void *known = *memo_at(done, e);

    if (e->kind == IR_READ)
        return e->tensor == t ? ir_real(p, 1) : NULL;
    if (e->kind != IR_APPLY || known)
        return e->kind != IR_APPLY || known == &none ? NULL : known;
    for (int i = 0; i < ir_operators[e->op].arity; i++) {
        const struct ir_expr *inner = derivative_of(p, done, e->arguments[i], t), *weights[3] = {NULL};

        if (!inner || (i && e->arguments[i] == e->arguments[0] && e->op == IR_multiply))
            continue;
        derivatives[e->op](p, e, e->arguments, inner, weights);
        if (weights[i])
            sum = sum ? ir_apply(p, IR_add, sum, weights[i], NULL) : weights[i];
    }
    *memo_at(done, e) = sum ? (const void *)sum : &none;
    return sum;
}

const struct ir_expr *derivative_by(struct ir_program *p, const struct ir_expr *e, const struct ir_tensor *t)
{
    struct memo done;
    const struct ir_expr *result;

    memo_begin(&done);
    result = derivative_of(p, &done, e, t);
    memo_end(&done);
    return result;
}

bool is_elementwise(const struct ir_tensor *e, const read_list *reads, const struct ir_tensor *t)
{
    if (t->rank != e->rank || t->kind != IR_EQUATION || t->whole)
        return false;
    for (int i = 0; i < reads->count; i++) {
        const struct ir_expr *read = reads->at[i];
        bool seen[64] = {false};

        if (read->tensor != t)
            continue;
        for (int k = 0; k < t->rank; k++) {
            const struct ir_index *index = ir_form_bare(read->subscripts[k]);
            int axis = 0;

            while (axis < e->rank && e->axes[axis] != index)
                axis++;
            if (axis == e->rank || axis >= 64 || seen[axis])
                return false;
            seen[axis] = true;
        }
    }
    return true;
}

static bool is_infinity(const struct ir_expr *e, const void *unused)
{
    (void)unused;
    return e->kind == IR_CONSTANT && isinf(e->number);
}

struct mention { const struct ir_tensor *tensor; bool found; };

static void find_mention(const struct ir_expr *read, void *context)
{
    struct mention *mention = context;

    mention->found |= read->tensor == mention->tensor;
}

bool is_mentioned(const struct ir_expr *e, const struct ir_tensor *t)
{
    struct mention mention = {t, false};

    ir_reads(e, find_mention, &mention);
    return mention.found;
}

/* The largest |derivative| by a tensor of its shape, if the value bends in one of them. */
static struct ir_tensor *slope_of(const struct graph *g, struct ir_tensor *e, bool *exponential)
{
    read_list reads = graph_reads(g->arena, e);
    const struct ir_expr *largest = NULL;
    bool bends = false;

    *exponential = false;
    if (e->kind != IR_EQUATION || e->reduction != IR_MAP || e->targets)
        return NULL;
    for (int i = 0; i < reads.count; i++) {
        const struct ir_tensor *t = reads.at[i]->tensor;
        const struct ir_expr *d;
        bool before = false;

        for (int k = 0; k < i; k++)
            before |= reads.at[k]->tensor == t;
        if (before || !g->varying[t->number] || !is_elementwise(e, &reads, t))
            continue;
        d = derivative_by(g->p, e->value, t);
        if (!d)
            continue;
        bends |= is_mentioned(d, t);
        *exponential |= d == e->value;
        d = ir_apply(g->p, IR_abs, d, NULL, NULL);
        largest = largest ? ir_apply(g->p, IR_max, largest, d, NULL) : d;
    }
    if (!bends)
        return NULL;
    return ir_equation(g->p, arena_printf(g->arena, "slope_%s", e->name), e->axes, e->rank, IR_MAP, NULL, 0, largest, false,
                       e->origin);
}

/* ---- what is looked at ---- */

static struct probed look_at(const struct graph *g, struct ir_tensor *t)
{
    struct probed v = {.tensor = t, .name = program_name(g->arena, t), .depth = g->depth[t->number], .hidden = g->later[t->number], .time = -1};
    int64_t units = 1;
    bool any = false;

    place_in_program(t, &v.file, &v.line);
    v.units = NEW_ARRAY(g->arena, bool, t->rank + 1);
    if (t->recurrence)
        v.time = t->time;
    for (int i = 0; i < t->rank; i++)
        any |= v.units[i] = g->units[t->number] && g->units[t->number][i];
    v.owned = any;
    for (int i = 0; i < t->rank; i++) {
        if (!any)
            v.units[i] = !t->axes[i]->batch && i != v.time;
        units *= v.units[i] ? t->axes[i]->extent : 1;
    }
    v.per_unit = ir_elements(t) / (units ? units : 1);
    return v;
}

/* Reductions over the batch that some sample's value is then made with; of those that depend on one another, the first. */
static void find_pooled(struct probe *probe, const struct graph *g)
{
    const struct ir_program *p = g->p;

    for (int i = 0; i < g->loss->number; i++) {
        struct ir_tensor *t = p->tensors.at[i];
        struct pooled pooled = {.tensor = t, .name = t->name, .elements = 1, .source = -1};
        bool *after = NEW_ARRAY(g->arena, bool, p->tensors.count + 1), batch = false, used = false;

        for (int k = 0; k < t->reduced_count; k++) {
            batch |= t->reduced[k]->batch;
            pooled.elements *= t->reduced[k]->extent;
        }
        if (!batch || !g->varying[i] || !g->reaches[i] || t->targets)
            continue;
        after[i] = true;
        for (int n = i + 1; n <= g->loss->number; n++) {
            read_list reads = graph_reads(g->arena, p->tensors.at[n]);

            for (int k = 0; k < reads.count; k++)
                after[n] |= after[reads.at[k]->tensor->number];
            used |= after[n] && g->reaches[n] && has_batch(p->tensors.at[n]);
        }
        if (!used)
            continue;
        place_in_program(t, &pooled.file, &pooled.line);
        pooled.name = program_name(g->arena, t);
        {
            read_list reads = graph_reads(g->arena, t);

            for (int k = 0; k < reads.count; k++)
                for (int v = 0; v < probe->values.count; v++)
                    if (reads.at[k]->tensor == probe->values.at[v].tensor && has_batch(reads.at[k]->tensor) &&
                        g->noisy[reads.at[k]->tensor->number] && g->depth[reads.at[k]->tensor->number])
                        pooled.source = v;
        }
        list_add(g->arena, probe->pooled, pooled);
    }
}

/* No guard: numbers that are not finite are to be seen. */
static void add_outputs(struct probe *probe, struct ir_program *p)
{
    for (int i = 0; i < p->outputs.count; i++)
        p->outputs.at[i].guard = false;
    for (int i = 0; i < probe->values.count; i++) {
        const struct probed *v = &probe->values.at[i];

        ir_add_output(p, arena_printf(probe->arena, "value.%d", i), v->tensor, false);
        if (v->gradient)
            ir_add_output(p, arena_printf(probe->arena, "gradient.%d", i), v->gradient, false);
        if (v->slope)
            ir_add_output(p, arena_printf(probe->arena, "slope.%d", i), v->slope, false);
    }
    for (int i = 0; i < probe->parameters.count; i++)
        if (probe->parameters.at[i].gradient)
            ir_add_output(p, arena_printf(probe->arena, "weight_gradient.%d", i), probe->parameters.at[i].gradient, false);
}

static void find_in_subscripts(const struct ir_expr *read, void *context)
{
    struct mention *mention = context;

    for (int i = 0; i < read->tensor->rank; i++)
        for (int k = 0; k < read->subscripts[i]->count; k++) {
            const struct ir_atom *atom = read->subscripts[i]->terms[k].atom;

            mention->found |= atom->kind == IR_ATOM_VALUE && is_mentioned(atom->value, mention->tensor);
        }
}

static bool is_subscript(const struct ir_program *p, const struct ir_tensor *tensor)
{
    struct mention mention = {tensor, false};

    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->kind == IR_EQUATION)
            ir_reads(p->tensors.at[i]->value, find_in_subscripts, &mention);
    return mention.found;
}

/* Noise that is 0 or 1 as a real number, which can be moved towards its mean. */
static const struct ir_expr *as_real(struct ir_program *to, const struct ir_tensor *tensor, const struct ir_expr *value, void *context)
{
    const ir_tensor_list *masks = context;

    for (int i = 0; i < masks->count; i++)
        if (masks->at[i] == tensor && tensor->whole && tensor->reduction == IR_MAP)
            return ir_apply(to, IR_select, value, ir_real(to, 1), ir_real(to, 0));
    return value;
}

static const char *make_masks_real(struct probe *probe)
{
    struct ir_program *p = probe->phase->objective;
    struct graph g = graph_read(probe->arena, p, program_output(p, "objective"));

    for (int i = 0; i < g.masks.count; i++) {
        const struct ir_tensor *mask = g.masks.at[i];

        if (mask->recurrence)
            return arena_printf(probe->arena, "%s is made step by step, and noise is moved towards its mean as a whole", mask->name);
        if (mask->whole && (mask->kind != IR_EQUATION || mask->low < 0 || mask->high > 1 || is_subscript(p, mask)))
            return arena_printf(probe->arena, "%s chooses an element: it has no mean to be moved to", mask->name);
    }
    probe->phase->objective = ir_rebuild(p, NULL, as_real, &g.masks);
    return NULL;
}

struct ir_tensor *data_loss_of(const struct graph *g)
{
    struct ir_tensor *loss = ir_find(g->p, "loss");

    return loss && !loss->rank && g->reaches[loss->number] ? loss : (struct ir_tensor *)g->loss;
}

const char *probe_graph(struct probe *probe)
{
    const char *unmeant = probe->options->noise ? make_masks_real(probe) : NULL;
    struct ir_program *p = probe->phase->objective;
    struct ir_tensor *loss = (struct ir_tensor *)program_output(p, "objective");
    const struct graph *g = &probe->graph;
    struct ir_tensor **wrt, **gradients;
    struct ir_tensor *data_loss;
    ir_tensor_list standardised = {0};
    const struct ir_tensor *where;
    const char *wrong;
    int count = 0, tensors = p->tensors.count;

    if (unmeant)
        return unmeant;
    probe->graph = graph_read(probe->arena, p, loss);
    for (int i = 0; i < tensors; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (t->kind == IR_PARAMETER && g->reaches[i]) {
            list_add(probe->arena, probe->parameters, look_at(g, t));
        } else if (t->kind == IR_EQUATION && !t->whole && i < loss->number && g->reaches[i] && g->varying[i] && g->weight[i] && has_batch(t) && !is_part(g, t)) {
            list_add(probe->arena, probe->values, look_at(g, t));
            if (g->depth[i] > probe->depth)
                probe->depth = g->depth[i];
        }
    }
    find_pooled(probe, g);
    if (probe->options->bound)
        standard_find(probe, &standardised);
    wrt = NEW_ARRAY(probe->arena, struct ir_tensor *, 3 * tensors + 1);
    gradients = NEW_ARRAY(probe->arena, struct ir_tensor *, 3 * tensors + 1);
    for (int i = 0; i < probe->values.count; i++)
        wrt[count++] = probe->values.at[i].tensor;
    for (int i = 0; i < probe->parameters.count; i++)
        wrt[count++] = probe->parameters.at[i].tensor;
    for (int i = 0; i < standardised.count; i++)
        wrt[count++] = standardised.at[i];
    wrong = differentiate(p, loss, wrt, count, gradients, &where);
    if (wrong)
        return arena_printf(probe->arena, "there is no such derivative: %s", wrong);
    for (int i = 0; i < probe->parameters.count; i++)
        probe->parameters.at[i].gradient = gradients[probe->values.count + i];
    for (int i = 0; i < probe->values.count; i++) {
        struct probed *v = &probe->values.at[i];
        bool exponential;

        v->gradient = gradients[i];
        v->infinite = v->tensor->kind == IR_EQUATION && ir_any(v->tensor->value, is_infinity, NULL);
        v->slope = slope_of(g, v->tensor, &exponential);
        v->judged = v->slope && !exponential && v->hidden;
    }
    add_outputs(probe, p);
    wrong = standard_graph(probe, gradients + probe->values.count + probe->parameters.count);
    if (wrong)
        return wrong;
    probe->answer = -1;
    for (int i = probe->values.count; i-- > 0;)
        if (!probe->values.at[i].hidden && probe->values.at[i].depth == probe->depth)
            probe->answer = i;
    data_loss = data_loss_of(g);
    ir_add_output(p, "data_loss", data_loss, false);
    return probe->options->noise ? noise_graph(probe, data_loss) : NULL;
}
