/* probe_standard.c: what standardising takes from the gradient (Santurkar, Tsipras, Ilyas & Madry 2018, theorem 4.1).

       |d_x L|^2 = |h|^2 - <1, h>^2 / m - <n, h>^2 / m,    n = (x - mu) / s over m elements,  h = d_y L dy/dx with mu and s held

   with equality where no epsilon stands beside the variance; with y = gain n + bias, h = gain / s d_y L. Found by what equations do: y is a
   straight function of x's own element whose slope is a statistic's too, and all statistics are made of x alone. Whether they standardise is
   measured: then nothing is left of the gradient along 1 and along n. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff.h"
#include "probe_bench.h"

enum { LINKS = 5 };       /* equations from x to y */
#define NOTHING_LEFT 0.02 /* of the part along 1 or n, for x to be standardised: an epsilon leaves a little */

/* Does all of s that differs from sample to sample come through x? */
static bool made_of(const struct graph *g, const struct ir_tensor *s, const struct ir_tensor *x, bool *seen)
{
    read_list reads;

    if (s == x || !g->varying[s->number] || seen[s->number])
        return true;
    seen[s->number] = true;
    if (s->kind != IR_EQUATION)
        return false;
    reads = graph_reads(g->arena, s);
    for (int i = 0; i < reads.count; i++)
        if (!made_of(g, reads.at[i]->tensor, x, seen))
            return false;
    return true;
}

/* The index, and how many of its neighbours the subscript does not tell apart; NULL: it is another form. */
static const struct ir_index *places_of(const struct ir_form *form, int64_t *together)
{
    const struct ir_index *index = ir_form_bare(form);

    *together = 1;
    if (index)
        return index;
    if (form->constant || form->count != 1 || form->terms[0].coefficient != 1 || form->terms[0].atom->kind != IR_ATOM_QUOTIENT)
        return NULL;
    *together = form->terms[0].atom->divisor;
    return ir_form_bare(form->terms[0].atom->form);
}

/* A tensor with some of t's axes, or groups of places along them, read at t's own indices in t's order. All statistics have the same. */
static bool is_statistic(const struct graph *g, const struct ir_tensor *t, const struct ir_expr *read, bool first, int64_t *apart)
{
    int64_t *own = NEW_ARRAY(g->arena, int64_t, t->rank + 1);
    int axis = 0;

    if (read->tensor->rank > t->rank || read->tensor->kind != IR_EQUATION)
        return false;
    for (int k = 0; k < read->tensor->rank; k++) {
        int64_t together;
        const struct ir_index *index = places_of(read->subscripts[k], &together);

        while (axis < t->rank && t->axes[axis] != index)
            axis++;
        if (axis == t->rank || !index)
            return false;
        own[axis++] = together;
    }
    if (!first)
        return !memcmp(own, apart, sizeof *own * (size_t)t->rank);
    memcpy(apart, own, sizeof *own * (size_t)t->rank);
    return true;
}

/* Is it read at t's own indices, each in its place? */
static bool is_own(const struct ir_tensor *t, const struct ir_expr *read)
{
    for (int k = 0; k < t->rank; k++)
        if (read->tensor->rank != t->rank || ir_form_bare(read->subscripts[k]) != t->axes[k])
            return false;
    return true;
}

/* From t one link back: the one tensor of its shape, axes in one order, that it is a straight function of; what else differs from sample to
   sample are statistics. NULL: there is no such link. */
static struct ir_tensor *link_back(const struct graph *g, const struct ir_tensor *t, ir_tensor_list *statistics, int64_t *apart)
{
    read_list reads = graph_reads(g->arena, t);
    struct ir_tensor *from = NULL;
    const struct ir_expr *slope;

    if (t->kind != IR_EQUATION || t->reduction != IR_MAP || t->targets || !t->rank)
        return NULL;
    for (int i = 0; i < reads.count; i++) {
        const struct ir_expr *read = reads.at[i];

        if (!g->varying[read->tensor->number])
            continue;
        if (is_own(t, read)) {
            if ((from && from != read->tensor) || read->tensor->whole)
                return NULL;
            from = read->tensor;
        } else if (is_statistic(g, t, read, !statistics->count, apart)) {
            list_add(g->arena, *statistics, read->tensor);
        } else {
            return NULL;
        }
    }
    slope = from ? derivative_by(g->p, t->value, from) : NULL;
    return slope && !is_mentioned(slope, from) ? from : NULL;
}

static bool all_made_of(const struct graph *g, const ir_tensor_list *statistics, const struct ir_tensor *x)
{
    bool *seen = NEW_ARRAY(g->arena, bool, g->count + 1);

    for (int i = 0; i < statistics->count; i++)
        if (!made_of(g, statistics->at[i], x, seen))
            return false;
    return true;
}

/* Is what y gains by x's own element told by the statistics? It is not of x - log sum exp x. */
static bool has_varying_slope(const struct graph *g, const struct standard *s)
{
    const struct ir_tensor *at = s->to;

    while (at != s->of) {
        ir_tensor_list statistics = {0};
        const struct ir_tensor *from = link_back(g, at, &statistics, NEW_ARRAY(g->arena, int64_t, at->rank + 1));
        read_list reads = graph_reads_in(g->arena, derivative_by(g->p, at->value, from));

        for (int i = 0; i < reads.count; i++)
            if (g->varying[reads.at[i]->tensor->number])
                return true;
        at = from;
    }
    return false;
}

/* The furthest x from which y comes so. */
static bool find_origin(const struct graph *g, struct ir_tensor *y, struct standard *found)
{
    ir_tensor_list statistics = {0};
    int64_t *apart = NEW_ARRAY(g->arena, int64_t, y->rank + 1);
    bool added = false;
    struct ir_tensor *at = y;

    *found = (struct standard){.to = y};
    for (int link = 0; link < LINKS && at; link++) {
        int before = statistics.count;

        at = link_back(g, at, &statistics, apart);
        added |= statistics.count > before;
        if (!at || !added || !all_made_of(g, &statistics, at))
            continue;
        added = false;
        found->of = at;
        found->statistics = statistics.count;
        found->apart = NEW_ARRAY(g->arena, int64_t, y->rank + 1);
        memcpy(found->apart, apart, sizeof *apart * (size_t)y->rank);
    }
    return found->of && has_varying_slope(g, found);
}

/* Read by nothing but what y and its statistics are made of. */
static bool is_exclusive(const struct graph *g, const struct standard *s)
{
    bool *inside = ancestors_of(g, s->to);

    for (int i = 0; i < g->count; i++) {
        read_list reads = graph_reads(g->arena, g->p->tensors.at[i]);

        for (int k = 0; k < reads.count; k++)
            if (reads.at[k]->tensor == s->of && g->reaches[i] && !inside[i])
                return false;
    }
    return true;
}

void standard_find(struct probe *probe, ir_tensor_list *list)
{
    const struct graph *g = &probe->graph;

    for (int i = 0; i < g->loss->number; i++) {
        struct ir_tensor *y = g->p->tensors.at[i];
        struct standard s;
        int k = 0;

        if (!g->varying[i] || !g->reaches[i] || !g->weight[i] || y->whole || !find_origin(g, y, &s))
            continue;
        if (y->recurrence && !is_exclusive(g, &s))
            continue; /* the steps after it would come in */
        while (k < probe->standards.count && probe->standards.at[k].of != s.of)
            k++;
        if (k < probe->standards.count && probe->standards.at[k].statistics >= s.statistics)
            continue;
        place_in_program(y, &s.file, &s.line);
        s.name = program_name(probe->arena, y);
        s.elements = 1;
        for (int a = 0; a < y->rank; a++) {
            s.elements *= s.apart[a] ? s.apart[a] : y->axes[a]->extent;
            s.batch |= !s.apart[a] && y->axes[a]->batch;
        }
        if (k < probe->standards.count)
            probe->standards.at[k] = s;
        else
            list_add(probe->arena, probe->standards, s);
    }
    for (int k = 0; k < probe->standards.count; k++) {
        list_add(probe->arena, *list, probe->standards.at[k].to);
        list_add(probe->arena, *list, probe->standards.at[k].of);
    }
}

/* The derivative of y by x's own element with the statistics held, times y's gradient. */
static struct ir_tensor *held_gradient(const struct graph *g, const struct standard *s, struct ir_tensor *gradient)
{
    struct ir_program *p = g->p;
    const struct ir_form **own = NEW_ARRAY(g->arena, const struct ir_form *, s->to->rank + 1);
    const struct ir_expr *value;
    struct ir_tensor *at = s->to;

    for (int i = 0; i < at->rank; i++)
        own[i] = ir_form_index(p, at->axes[i]);
    value = ir_read(p, gradient, own, at->rank, NULL);
    while (at != s->of) {
        ir_tensor_list statistics = {0};
        struct ir_tensor *from = link_back(g, at, &statistics, NEW_ARRAY(g->arena, int64_t, at->rank + 1));
        const struct ir_expr *slope = derivative_by(p, at->value, from);

        value = ir_apply(p, IR_multiply, value, at == s->to ? slope : ir_substitute(p, slope, at->axes, own, at->rank), NULL);
        at = from;
    }
    return ir_equation(p, arena_printf(g->arena, "held_%s", s->to->name), s->to->axes, s->to->rank, IR_MAP, NULL, 0, value, false, NULL);
}

const char *standard_graph(struct probe *probe, struct ir_tensor *const *gradients)
{
    const struct graph *g = &probe->graph;
    struct ir_program *p = g->p;
    int left = 0;

    for (int k = 0; k < probe->standards.count; k++) {
        struct standard s = probe->standards.at[k];
        struct ir_tensor *by_y = gradients[2 * k], *by_x = gradients[2 * k + 1];

        if (!by_y || !by_x)
            continue;
        s.held = held_gradient(g, &s, by_y);
        s.back = by_x;
        if (!is_exclusive(g, &s)) {
            struct ir_tensor *way = summed_product(p, by_y, true, s.to);
            const struct ir_tensor *where;
            const char *wrong = differentiate(p, way, &s.of, 1, &s.back, &where);

            if (wrong)
                return wrong;
        }
        ir_add_output(p, arena_printf(probe->arena, "standard.%d", left), s.of, false);
        ir_add_output(p, arena_printf(probe->arena, "held.%d", left), s.held, false);
        ir_add_output(p, arena_printf(probe->arena, "back.%d", left), s.back, false);
        probe->standards.at[left++] = s;
    }
    probe->standards.count = left;
    return NULL;
}

struct parts { double of, square, held, level, along, back, left_level, left_along; };

static int64_t number_groups(const struct standard *s, int64_t *group)
{
    int64_t count = ir_elements(s->of), groups = 1, below = 1;

    memset(group, 0, sizeof *group * (size_t)count);
    for (int a = s->of->rank - 1; a >= 0; below *= s->of->axes[a--]->extent) {
        if (!s->apart[a])
            continue;
        for (int64_t i = 0; i < count; i++)
            group[i] += i / below % s->of->axes[a]->extent / s->apart[a] * groups;
        groups *= (s->of->axes[a]->extent + s->apart[a] - 1) / s->apart[a];
    }
    return groups;
}

static void measure_one(struct bench *b, struct standard *s, int number)
{
    int64_t count = ir_elements(s->of), *group = memory_for(sizeof *group * (size_t)count), groups = number_groups(s, group);
    struct parts *parts = calloc((size_t)groups + 1, sizeof *parts);
    const char *const names[] = {"standard", "held", "back"};
    double *numbers[3], m = (double)s->elements, straight = 0, worst = 0;

    for (int i = 0; i < 3; i++) {
        char name[64];

        snprintf(name, sizeof name, "%s.%d", names[i], number);
        numbers[i] = numbers_of(&b->measure_run, name);
        if (!numbers[i] || !parts)
            bug("no output %s", name);
    }
    for (int64_t i = 0; i < count; i++)
        parts[group[i]].of += numbers[0][i] / m;
    for (int64_t i = 0; i < count; i++) {
        struct parts *u = &parts[group[i]];
        double off = numbers[0][i] - u->of, held = numbers[1][i], back = numbers[2][i];

        u->square += off * off;
        u->held += held * held;
        u->back += back * back;
        u->level += held;
        u->along += held * off;
        u->left_level += back;
        u->left_along += back * off;
    }
    for (int64_t g = 0; g < groups; g++) {
        struct parts *u = &parts[g];
        double norm = u->square > 0 ? u->square : 1, level = u->level * u->level / m, along = u->along * u->along / norm;

        straight += u->held;
        s->level += level;
        s->along += along;
        s->left += u->back;
        s->left_level += u->left_level * u->left_level / m;
        s->left_along += u->left_along * u->left_along / norm;
        worst = fmax(worst, u->held > 0 ? fabs(u->back - (u->held - level - along)) / u->held : 0);
    }
    s->straight += straight;
    s->worst = fmax(s->worst, worst);
    for (int i = 0; i < 3; i++)
        free(numbers[i]);
    free(parts);
    free(group);
}

void measure_standards(struct bench *b)
{
    for (int k = 0; k < b->probe->standards.count; k++)
        measure_one(b, &b->probe->standards.at[k], k);
}

bool is_standardised(const struct standard *s)
{
    return s->left_level <= NOTHING_LEFT * (s->level > 0 ? s->level : s->straight) &&
           s->left_along <= NOTHING_LEFT * (s->along > 0 ? s->along : s->straight);
}

const char *standard_over(const struct probe *probe, const struct standard *s)
{
    struct text text = {0};
    const char *out;

    for (int a = 0; a < s->to->rank; a++)
        if (s->apart[a] != 1)
            text_addf(&text, "%s%s%s", text.size ? ", " : "", s->to->axes[a]->batch ? "batch" : s->to->axes[a]->name,
                      s->apart[a] ? arena_printf(probe->arena, " by %lld", (long long)s->apart[a]) : "");
    out = arena_printf(probe->arena, "%s", text.data ? text.data : "");
    text_free(&text);
    return out;
}

void print_standards(const struct probe *probe)
{
    int width = 9, shown = 0;

    for (int k = 0; k < probe->standards.count; k++) {
        int length = (int)strlen(probe->standards.at[k].name);

        shown += is_standardised(&probe->standards.at[k]);
        width = length > width ? length : width;
    }
    if (!shown) {
        printf("\nno equation standardises what it is made of\n");
        return;
    }
    printf("\nwhat standardising takes from the gradient: |dx|^2 = |h|^2 - <1, h>^2 / m - <n, h>^2 / m, h: with mean and deviation held\n"
           "%-*s %5s %-16s %7s %9s %7s %7s %9s %9s\n", width, "equation", "line", "over", "m", "|h|", "mean", "along", "|dx|", "off by");
    for (int k = 0; k < probe->standards.count; k++) {
        const struct standard *s = &probe->standards.at[k];

        if (!is_standardised(s))
            continue;
        if (!(s->straight > 0)) {
            printf("%-*s %5d %-16s %7lld         0: no gradient comes here\n", width, s->name, s->line, standard_over(probe, s), (long long)s->elements);
            continue;
        }
        printf("%-*s %5d %-16s %7lld %9.3g %5.1f %% %5.1f %% %9.3g %9.1e\n", width, s->name, s->line, standard_over(probe, s), (long long)s->elements,
               sqrt(s->straight), 100 * s->level / s->straight, 100 * s->along / s->straight, sqrt(s->left), s->worst);
    }
}
