/* graph.c: what stands for depth, units and noise in a program's equations. */
#include "graph.h"

#include <string.h>

struct reading {
    struct arena *arena;
    read_list list;
};

static void note_read(const struct ir_expr *read, void *context)
{
    struct reading *reading = context;

    list_add(reading->arena, reading->list, read);
}

read_list graph_reads_in(struct arena *arena, const struct ir_expr *e)
{
    struct reading reading = {.arena = arena};

    if (e)
        ir_reads(e, note_read, &reading);
    return reading.list;
}

read_list graph_reads(struct arena *arena, const struct ir_tensor *t)
{
    return graph_reads_in(arena, t->kind == IR_EQUATION ? t->value : NULL);
}

bool has_batch(const struct ir_tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        if (t->axes[i]->batch)
            return true;
    return false;
}

/* What t reads of the step before in its recurrence is none of its operands. */
static bool is_carried(const struct ir_tensor *t, const struct ir_expr *read)
{
    return t->recurrence && read->tensor->recurrence == t->recurrence &&
           ir_form_bare(read->subscripts[read->tensor->time]) != t->axes[t->time];
}

bool is_reduced_along(const struct ir_tensor *t, const struct ir_form *subscript)
{
    for (int k = 0; k < t->reduced_count; k++)
        if (ir_form_mentions(subscript, t->reduced[k]))
            return true;
    return false;
}

bool is_chosen_along(const struct ir_form *subscript)
{
    for (int k = 0; k < subscript->count; k++)
        if (subscript->terms[k].atom->kind == IR_ATOM_VALUE)
            return true;
    return false;
}

bool is_layered(const struct graph *g, const struct ir_tensor *t)
{
    read_list reads = graph_reads(g->arena, t);

    for (int i = 0; g->varying[t->number] && i < reads.count; i++) {
        const struct ir_expr *read = reads.at[i];

        if (!g->weight[read->tensor->number] || g->varying[read->tensor->number])
            continue;
        for (int k = 0; k < read->tensor->rank; k++)
            if ((t->reduction == IR_SUM && is_reduced_along(t, read->subscripts[k])) || is_chosen_along(read->subscripts[k]))
                return true;
    }
    return false;
}

static void find_units(struct graph *g, const struct ir_tensor *t)
{
    read_list reads = graph_reads(g->arena, t);
    bool *units = g->units[t->number] = NEW_ARRAY(g->arena, bool, t->rank + 1);

    for (int i = 0; i < reads.count; i++) {
        const struct ir_tensor *from = reads.at[i]->tensor;

        for (int k = 0; k < from->rank; k++) {
            const struct ir_index *index = ir_form_bare(reads.at[i]->subscripts[k]);

            if (!index || index->batch || !(from->kind == IR_PARAMETER || (g->units[from->number] && g->units[from->number][k])))
                continue;
            for (int a = 0; a < t->rank; a++)
                units[a] |= t->axes[a] == index;
        }
    }
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

    for (int i = 0; i < g->count; i++) {
        const struct ir_tensor *t = g->p->tensors.at[i];
        read_list reads = graph_reads(g->arena, t);

        for (int k = 0; k < reads.count; k++)
            more |= take_flags(g, i, reads.at[k]->tensor->number);
        for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
            more |= take_flags(g, i, t->operands[k]->number);
    }
    return more;
}

static void find_flags(struct graph *g)
{
    bool data = false;

    for (int i = 0; i < g->count; i++)
        data |= g->p->tensors.at[i]->kind == IR_INPUT;
    for (int i = 0; i < g->count; i++) {
        const struct ir_tensor *t = g->p->tensors.at[i];

        g->varying[i] = t->kind == IR_INPUT || (t->kind == IR_DRAW && !data);
        g->weight[i] = t->kind == IR_PARAMETER;
        g->drawn[i] = t->kind == IR_DRAW && t->scope == IR_PER_SAMPLE;
    }
    while (spread(g)) {}
}

static void find_depth(struct graph *g, const struct ir_tensor *t)
{
    read_list reads = graph_reads(g->arena, t);
    int i = t->number;

    for (int k = 0; k < reads.count; k++) {
        int from = reads.at[k]->tensor->number;

        if (from < i && !is_carried(t, reads.at[k]) && g->depth[from] > g->depth[i])
            g->depth[i] = g->depth[from];
    }
    for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
        if (g->depth[t->operands[k]->number] > g->depth[i])
            g->depth[i] = g->depth[t->operands[k]->number];
    g->depth[i] += is_layered(g, t);
}

/* The draws that a mask is made of. */
static void note_draws(struct graph *g, const struct ir_tensor *mask)
{
    read_list reads = graph_reads(g->arena, mask);

    for (int i = 0; i < g->noise.count; i++)
        if (g->noise.at[i] == mask->name)
            return;
    if (mask->kind == IR_DRAW && mask->scope == IR_PER_SAMPLE)
        list_add(g->arena, g->noise, mask->name);
    for (int i = 0; i < reads.count; i++)
        if (reads.at[i]->tensor->number < mask->number)
            note_draws(g, reads.at[i]->tensor);
}

static void note_mask(struct graph *g, struct ir_tensor *mask)
{
    for (int i = 0; i < g->masks.count; i++)
        if (g->masks.at[i] == mask)
            return;
    list_add(g->arena, g->masks, mask);
}

static void find_noise(struct graph *g)
{
    for (int i = 0; i < g->count; i++) {
        read_list reads = graph_reads(g->arena, g->p->tensors.at[i]);

        for (int k = 0; g->varying[i] && g->depth[i] && k < reads.count; k++) {
            int from = reads.at[k]->tensor->number;

            if (!g->drawn[from] || g->varying[from])
                continue;
            g->noisy[i] = true;
            note_draws(g, g->p->tensors.at[from]);
            note_mask(g, g->p->tensors.at[from]);
        }
    }
    while (spread(g)) {}
}

static void find_reach(struct graph *g)
{
    g->reaches[g->loss->number] = true;
    for (int i = g->count; i-- > 0;) {
        const struct ir_tensor *t = g->p->tensors.at[i];
        read_list reads = graph_reads(g->arena, t);
        bool layered = is_layered(g, t);

        for (int k = 0; g->reaches[i] && k < reads.count; k++) {
            int from = reads.at[k]->tensor->number;

            g->reaches[from] = true;
            g->later[from] |= from < i && (g->later[i] || layered);
        }
        for (int k = 0; g->reaches[i] && t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
            g->reaches[t->operands[k]->number] = true;
    }
}

struct graph graph_read(struct arena *arena, struct ir_program *p, const struct ir_tensor *loss)
{
    int count = p->tensors.count;
    struct graph g = {.p = p, .arena = arena, .loss = loss, .count = count};

    g.varying = NEW_ARRAY(arena, bool, count + 1);
    g.weight = NEW_ARRAY(arena, bool, count + 1);
    g.noisy = NEW_ARRAY(arena, bool, count + 1);
    g.drawn = NEW_ARRAY(arena, bool, count + 1);
    g.later = NEW_ARRAY(arena, bool, count + 1);
    g.reaches = NEW_ARRAY(arena, bool, count + 1);
    g.depth = NEW_ARRAY(arena, int, count + 1);
    g.units = NEW_ARRAY(arena, bool *, count + 1);
    find_flags(&g);
    for (int i = 0; i < count; i++) {
        find_depth(&g, p->tensors.at[i]);
        find_units(&g, p->tensors.at[i]);
    }
    find_noise(&g);
    find_reach(&g);
    return g;
}

bool *ancestors_of(const struct graph *g, const struct ir_tensor *t)
{
    bool *found = NEW_ARRAY(g->arena, bool, g->count + 1), more = true;

    found[t->number] = true;
    while (more) { /* what a recurrence carries stands later */
        more = false;
        for (int i = g->count; i-- > 0;) {
            const struct ir_tensor *at = g->p->tensors.at[i];
            read_list reads = graph_reads(g->arena, at);

            for (int k = 0; found[i] && k < reads.count; k++) {
                more |= reads.at[k]->tensor->number > i && !found[reads.at[k]->tensor->number];
                found[reads.at[k]->tensor->number] = true;
            }
            for (int k = 0; found[i] && at->kind == IR_OPAQUE && k < 2 && at->operands[k]; k++)
                found[at->operands[k]->number] = true;
        }
    }
    return found;
}

/* ---- names ---- */

bool is_part(const struct graph *g, const struct ir_tensor *t)
{
    char *name = arena_string(g->arena, t->name), *dot;

    while ((dot = strrchr(name, '.'))) {
        *dot = 0;
        if (ir_find(g->p, name) && ir_find(g->p, name)->kind == IR_EQUATION)
            return true;
    }
    return false;
}

const char *program_name(struct arena *arena, const struct ir_tensor *t)
{
    static const char *const endings[] = {".sum", ".max", ".min", ".prod"};
    size_t length = strlen(t->name);

    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);

        if (t->reduction != IR_MAP && length > ending && !strcmp(t->name + length - ending, endings[i]))
            return arena_slice(arena, t->name, length - ending);
    }
    return t->name;
}

void place_in_program(const struct ir_tensor *t, const char **file, int *line)
{
    const struct ir_origin *found = NULL;

    for (const struct ir_origin *o = t->origin; o; o = o->caller)
        if (o->line)
            found = o;
    *file = found ? found->file : NULL;
    *line = found ? found->line : 0;
}
