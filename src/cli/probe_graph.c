/* probe_graph.c: what can be looked at in a net, read off its equations.

   requires   the objective of a phase, before any pass
   makes      outputs of every named equation on the way to the loss, of the loss's derivative by it, and of the size of its local
              derivative where it bends
   Nothing here knows what a layer is: a value bends where its derivative by a tensor of its own shape depends on that tensor; depth
   counts sums that a parameter takes part in; a unit is what a parameter has an axis for. */
#include <math.h>
#include <string.h>

#include "autodiff.h"
#include "probe.h"

/* Of each tensor of the program, by number. */
struct graph {
    struct ir_program *p;
    struct arena *arena;
    const struct ir_tensor *loss;
    bool *varying;  /* differs from sample to sample; of a program without data, from draw to draw */
    bool *weight;   /* made of parameters */
    bool *drawn;    /* depends on a draw for each sample */
    bool *noisy;    /* depends on one that meets the sample after a parameter did; before that it is the data that vary */
    int *depth;
    bool *later;    /* a parameter takes part in a sum after it */
    bool *reaches;  /* the loss */
    bool **units;
    name_list *noise; /* of the draws that make noise */
    ir_tensor_list *masks;
};

struct read_list { LIST(const struct ir_expr *) at; struct arena *arena; };

static void note_read(const struct ir_expr *read, void *context)
{
    struct read_list *list = context;

    list_add(list->arena, list->at, read);
}

static struct read_list reads_of(struct arena *arena, const struct ir_tensor *t)
{
    struct read_list list = {.arena = arena};

    if (t->kind == IR_EQUATION)
        ir_reads(t->value, note_read, &list);
    return list;
}

/* What t reads of the step before in its recurrence is none of its operands. */
static bool is_carried(const struct ir_tensor *t, const struct ir_expr *read)
{
    return t->recurrence && read->tensor->recurrence == t->recurrence &&
           ir_form_bare(read->subscripts[read->tensor->time]) != t->axes[t->time];
}

static bool mentions_reduced(const struct ir_tensor *t, const struct ir_expr *read)
{
    for (int i = 0; i < read->tensor->rank; i++)
        for (int k = 0; k < t->reduced_count; k++)
            if (ir_form_mentions(read->subscripts[i], t->reduced[k]))
                return true;
    return false;
}

/* Chosen by data: a row of a table. */
static bool is_chosen(const struct ir_expr *read)
{
    for (int i = 0; i < read->tensor->rank; i++)
        for (int k = 0; k < read->subscripts[i]->count; k++)
            if (read->subscripts[i]->terms[k].atom->kind == IR_ATOM_VALUE)
                return true;
    return false;
}

/* Does a parameter take part in t as a matrix does in a product, or as a table? */
static bool is_layered(const struct graph *g, const struct ir_tensor *t, const struct read_list *reads)
{
    bool weighted = false;

    if (!g->varying[t->number])
        return false;
    for (int i = 0; i < reads->at.count; i++) {
        const struct ir_expr *read = reads->at.at[i];

        if (g->weight[read->tensor->number] && !g->varying[read->tensor->number])
            weighted |= (t->reduction == IR_SUM && mentions_reduced(t, read)) || is_chosen(read);
    }
    return weighted;
}

static void find_units(struct graph *g, const struct ir_tensor *t, const struct read_list *reads)
{
    bool *units = g->units[t->number] = NEW_ARRAY(g->arena, bool, t->rank + 1);

    for (int i = 0; i < reads->at.count; i++) {
        const struct ir_expr *read = reads->at.at[i];
        const struct ir_tensor *from = read->tensor;

        for (int k = 0; k < from->rank; k++) {
            const struct ir_index *index = ir_form_bare(read->subscripts[k]);

            if (!index || index->batch || !(from->kind == IR_PARAMETER || (g->units[from->number] && g->units[from->number][k])))
                continue;
            for (int a = 0; a < t->rank; a++)
                units[a] |= t->axes[a] == index;
        }
    }
}

static void note_mask(struct graph *g, struct ir_tensor *mask)
{
    for (int i = 0; i < g->masks->count; i++)
        if (g->masks->at[i] == mask)
            return;
    list_add(g->arena, *g->masks, mask);
}

static bool take_flags(struct graph *g, int to, int from)
{
    bool more = (g->varying[from] && !g->varying[to]) || (g->weight[from] && !g->weight[to]) || (g->drawn[from] && !g->drawn[to]) ||
                (g->noisy[from] && !g->noisy[to]);

    g->varying[to] |= g->varying[from];
    g->weight[to] |= g->weight[from];
    g->drawn[to] |= g->drawn[from];
    g->noisy[to] |= g->noisy[from];
    return more;
}

/* Once through the program; what recurrences carry wants another time. */
static bool spread(struct graph *g)
{
    bool more = false;

    for (int i = 0; i < g->p->tensors.count; i++) {
        const struct ir_tensor *t = g->p->tensors.at[i];
        struct read_list reads = reads_of(g->arena, t);

        for (int k = 0; k < reads.at.count; k++)
            more |= take_flags(g, i, reads.at.at[k]->tensor->number);
        for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
            more |= take_flags(g, i, t->operands[k]->number);
    }
    return more;
}

/* The draws that a mask is made of. */
static void note_draws(struct graph *g, const struct ir_tensor *mask)
{
    struct read_list reads = reads_of(g->arena, mask);

    for (int i = 0; i < g->noise->count; i++)
        if (g->noise->at[i] == mask->name)
            return;
    if (mask->kind == IR_DRAW && mask->scope == IR_PER_SAMPLE)
        list_add(g->arena, *g->noise, mask->name);
    for (int i = 0; i < reads.at.count; i++)
        if (reads.at.at[i]->tensor->number < mask->number)
            note_draws(g, reads.at.at[i]->tensor);
}

static void read_graph(struct graph *g)
{
    struct ir_program *p = g->p;
    int count = p->tensors.count;
    bool data = false;

    g->varying = NEW_ARRAY(g->arena, bool, count + 1);
    g->weight = NEW_ARRAY(g->arena, bool, count + 1);
    g->noisy = NEW_ARRAY(g->arena, bool, count + 1);
    g->drawn = NEW_ARRAY(g->arena, bool, count + 1);
    g->later = NEW_ARRAY(g->arena, bool, count + 1);
    g->reaches = NEW_ARRAY(g->arena, bool, count + 1);
    g->depth = NEW_ARRAY(g->arena, int, count + 1);
    g->units = NEW_ARRAY(g->arena, bool *, count + 1);
    for (int i = 0; i < count; i++)
        data |= p->tensors.at[i]->kind == IR_INPUT;
    for (int i = 0; i < count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        g->varying[i] = t->kind == IR_INPUT || (t->kind == IR_DRAW && !data);
        g->weight[i] = t->kind == IR_PARAMETER;
        g->drawn[i] = t->kind == IR_DRAW && t->scope == IR_PER_SAMPLE;
    }
    while (spread(g)) {}
    for (int i = 0; i < count; i++) {
        struct ir_tensor *t = p->tensors.at[i];
        struct read_list reads = reads_of(g->arena, t);

        for (int k = 0; k < reads.at.count; k++) {
            int from = reads.at.at[k]->tensor->number;

            if (from < i && !is_carried(t, reads.at.at[k]) && g->depth[from] > g->depth[i])
                g->depth[i] = g->depth[from];
        }
        for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
            if (g->depth[t->operands[k]->number] > g->depth[i])
                g->depth[i] = g->depth[t->operands[k]->number];
        g->depth[i] += is_layered(g, t, &reads);
        find_units(g, t, &reads);
    }
    for (int i = 0; i < count; i++) {
        struct read_list reads = reads_of(g->arena, p->tensors.at[i]);

        for (int k = 0; g->varying[i] && g->depth[i] && k < reads.at.count; k++) {
            int from = reads.at.at[k]->tensor->number;

            if (!g->drawn[from] || g->varying[from])
                continue;
            g->noisy[i] = true;
            note_draws(g, p->tensors.at[from]);
            note_mask(g, p->tensors.at[from]);
        }
    }
    while (spread(g)) {}
    g->reaches[g->loss->number] = true;
    for (int i = count; i-- > 0;) {
        struct read_list reads = reads_of(g->arena, p->tensors.at[i]);
        bool layered = is_layered(g, p->tensors.at[i], &reads);

        for (int k = 0; g->reaches[i] && k < reads.at.count; k++) {
            int from = reads.at.at[k]->tensor->number;

            g->reaches[from] = true;
            g->later[from] |= from < i && (g->later[i] || layered);
        }
        for (int k = 0; g->reaches[i] && p->tensors.at[i]->kind == IR_OPAQUE && k < 2 && p->tensors.at[i]->operands[k]; k++)
            g->reaches[p->tensors.at[i]->operands[k]->number] = true;
    }
}

/* ---- local derivatives ---- */

typedef void derivative(struct ir_program *p, const struct ir_expr *self, const struct ir_expr *const *arguments,
                        const struct ir_expr *g, const struct ir_expr **weights);
static derivative *const derivatives[IR_OP_COUNT] = {
#define OP(name, ...) derivative_##name,
#include "ops.def"
#undef OP
};

/* Derivative of e by the element of t that it reads; NULL: 0. */
static const struct ir_expr *derivative_by(struct ir_program *p, const struct ir_expr *e, const struct ir_tensor *t)
{
    const struct ir_expr *sum = NULL;

    if (e->kind == IR_READ)
        return e->tensor == t ? ir_real(p, 1) : NULL;
    if (e->kind != IR_APPLY)
        return NULL;
    for (int i = 0; i < ir_operators[e->op].arity; i++) {
        const struct ir_expr *inner = derivative_by(p, e->arguments[i], t), *weights[3] = {NULL};

        if (!inner || (i && e->arguments[i] == e->arguments[0] && e->op == IR_multiply))
            continue;
        derivatives[e->op](p, e, e->arguments, inner, weights);
        if (weights[i])
            sum = sum ? ir_apply(p, IR_add, sum, weights[i], NULL) : weights[i];
    }
    return sum;
}

/* Is t of e's shape, and read at e's own element alone? */
static bool is_elementwise(const struct ir_tensor *e, const struct read_list *reads, const struct ir_tensor *t)
{
    if (t->rank != e->rank || t->kind != IR_EQUATION || t->whole)
        return false;
    for (int i = 0; i < reads->at.count; i++) {
        const struct ir_expr *read = reads->at.at[i];
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

static bool has_infinity(const struct ir_expr *e)
{
    if (e->kind == IR_CONSTANT)
        return isinf(e->number);
    for (int i = 0; e->kind == IR_APPLY && i < ir_operators[e->op].arity; i++)
        if (has_infinity(e->arguments[i]))
            return true;
    return e->kind == IR_READ && e->otherwise && has_infinity(e->otherwise);
}

struct mention { const struct ir_tensor *tensor; bool found; };

static void find_mention(const struct ir_expr *read, void *context)
{
    struct mention *mention = context;

    mention->found |= read->tensor == mention->tensor;
}

/* The largest |derivative| by a tensor of its shape, if the value bends in one of them. */
static struct ir_tensor *slope_of(struct graph *g, struct ir_tensor *e, bool *exponential)
{
    struct read_list reads = reads_of(g->arena, e);
    const struct ir_expr *largest = NULL;
    bool bends = false;

    *exponential = false;
    if (e->kind != IR_EQUATION || e->reduction != IR_MAP || e->targets)
        return NULL;
    for (int i = 0; i < reads.at.count; i++) {
        const struct ir_tensor *t = reads.at.at[i]->tensor;
        struct mention mention = {t, false};
        const struct ir_expr *d;
        bool before = false;

        for (int k = 0; k < i; k++)
            before |= reads.at.at[k]->tensor == t;
        if (before || !g->varying[t->number] || !is_elementwise(e, &reads, t))
            continue;
        d = derivative_by(g->p, e->value, t);
        if (!d)
            continue;
        ir_reads(d, find_mention, &mention);
        bends |= mention.found;
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

/* "net.y.sum" of the equation net.y: a part of it that the program does not name. */
static bool is_part(const struct graph *g, const struct ir_tensor *t)
{
    char *name = arena_string(g->arena, t->name), *dot;

    while ((dot = strrchr(name, '.'))) {
        *dot = 0;
        if (ir_find(g->p, name) && ir_find(g->p, name)->kind == IR_EQUATION)
            return true;
    }
    return false;
}

/* "net.y" of net.y.sum, if the sum is all that the program's y is. */
static const char *program_name(const struct graph *g, const struct ir_tensor *t)
{
    static const char *const endings[] = {".sum", ".max", ".min", ".prod"};
    size_t length = strlen(t->name);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);

        if (t->reduction != IR_MAP && length > ending && !strcmp(t->name + length - ending, endings[i]))
            return arena_slice(g->arena, t->name, length - ending);
    }
    return t->name;
}

/* Where the program itself says it: the use of the layer, not the layer's text. */
static void place(const struct ir_tensor *t, const char **file, int *line)
{
    const struct ir_origin *found = NULL;

    for (const struct ir_origin *o = t->origin; o; o = o->caller)
        if (o->line)
            found = o;
    *file = found ? found->file : NULL;
    *line = found ? found->line : 0;
}

static struct probed look_at(const struct graph *g, struct ir_tensor *t)
{
    struct probed v = {.tensor = t, .name = program_name(g, t), .depth = g->depth[t->number], .hidden = g->later[t->number], .time = -1};
    int64_t units = 1;
    bool any = false;

    place(t, &v.file, &v.line);
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

static bool has_batch(const struct ir_tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        if (t->axes[i]->batch)
            return true;
    return false;
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
            struct read_list reads = reads_of(g->arena, p->tensors.at[n]);

            for (int k = 0; k < reads.at.count; k++)
                after[n] |= after[reads.at.at[k]->tensor->number];
            used |= after[n] && g->reaches[n] && has_batch(p->tensors.at[n]);
        }
        if (!used)
            continue;
        place(t, &pooled.file, &pooled.line);
        pooled.name = program_name(g, t);
        {
            struct read_list reads = reads_of(g->arena, t);

            for (int k = 0; k < reads.at.count; k++)
                for (int v = 0; v < probe->values.count; v++)
                    if (reads.at.at[k]->tensor == probe->values.at[v].tensor && has_batch(reads.at.at[k]->tensor) &&
                        g->noisy[reads.at.at[k]->tensor->number] && g->depth[reads.at.at[k]->tensor->number])
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
            struct mention inside = {mention->tensor, false};

            if (atom->kind == IR_ATOM_VALUE)
                ir_reads(atom->value, find_mention, &inside);
            mention->found |= inside.found;
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
    struct graph g = {.p = p,
                      .arena = probe->arena,
                      .loss = program_output(p, "objective"),
                      .noise = &(name_list){0},
                      .masks = &(ir_tensor_list){0}};

    read_graph(&g);
    for (int i = 0; i < g.masks->count; i++) {
        const struct ir_tensor *mask = g.masks->at[i];

        if (mask->recurrence)
            return arena_printf(probe->arena, "%s is made step by step, and noise is moved towards its mean as a whole", mask->name);
        if (mask->whole && (mask->kind != IR_EQUATION || mask->low < 0 || mask->high > 1 || is_subscript(p, mask)))
            return arena_printf(probe->arena, "%s chooses an element: it has no mean to be moved to", mask->name);
    }
    probe->phase->objective = ir_rebuild(p, NULL, as_real, g.masks);
    return NULL;
}

const char *probe_graph(struct probe *probe)
{
    const char *unmeant = probe->options->noise ? make_masks_real(probe) : NULL;
    struct ir_program *p = probe->phase->objective;
    struct ir_tensor *loss = (struct ir_tensor *)program_output(p, "objective");
    struct graph g = {.p = p, .arena = probe->arena, .loss = loss, .noise = &probe->noise, .masks = &probe->masks};
    struct ir_tensor **wrt, **gradients;
    struct ir_tensor *data_loss;
    const struct ir_tensor *where;
    const char *wrong;
    int count = 0, tensors = p->tensors.count;

    if (unmeant)
        return unmeant;
    read_graph(&g);
    for (int i = 0; i < tensors; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (t->kind == IR_PARAMETER && g.reaches[i]) {
            list_add(probe->arena, probe->parameters, look_at(&g, t));
        } else if (t->kind == IR_EQUATION && !t->whole && i < loss->number && g.reaches[i] && g.varying[i] && g.weight[i] && has_batch(t) && !is_part(&g, t)) {
            list_add(probe->arena, probe->values, look_at(&g, t));
            if (g.depth[i] > probe->depth)
                probe->depth = g.depth[i];
        }
    }
    find_pooled(probe, &g);
    wrt = NEW_ARRAY(probe->arena, struct ir_tensor *, tensors + 1);
    gradients = NEW_ARRAY(probe->arena, struct ir_tensor *, tensors + 1);
    for (int i = 0; i < probe->values.count; i++)
        wrt[count++] = probe->values.at[i].tensor;
    for (int i = 0; i < probe->parameters.count; i++)
        wrt[count++] = probe->parameters.at[i].tensor;
    wrong = differentiate(p, loss, wrt, count, gradients, &where);
    if (wrong)
        return arena_printf(probe->arena, "there is no such derivative: %s", wrong);
    for (int i = 0; i < probe->parameters.count; i++)
        probe->parameters.at[i].gradient = gradients[probe->values.count + i];
    for (int i = 0; i < probe->values.count; i++) {
        struct probed *v = &probe->values.at[i];
        bool exponential;

        v->gradient = gradients[i];
        v->infinite = v->tensor->kind == IR_EQUATION && has_infinity(v->tensor->value);
        v->slope = slope_of(&g, v->tensor, &exponential);
        v->judged = v->slope && !exponential && v->hidden;
    }
    add_outputs(probe, p);
    probe->answer = -1;
    for (int i = probe->values.count; i-- > 0;)
        if (!probe->values.at[i].hidden && probe->values.at[i].depth == probe->depth)
            probe->answer = i;
    data_loss = ir_find(p, "loss"); /* without penalty, if it is apart */
    data_loss = data_loss && !data_loss->rank && g.reaches[data_loss->number] ? data_loss : loss;
    ir_add_output(p, "data_loss", data_loss, false);
    return probe->options->noise ? noise_graph(probe, data_loss) : NULL;
}
