/* arrange.c: the order of a program with recurrences, and which equations each recurrence consists of.

   requires   every equation defined; the equations of one `over` have one recurrence object; reads in any order
   makes      each tensor stands after what it reads, carried reads apart; a recurrence's equations stand together and
              are one knot: each depends on itself through a carried read. What is in no knot stands outside
   keeps      values; the order, wherever it need not change; what already is so, entirely

   A knot of several recurrences, one inside of another, is made one first (nest.c).

   Knots are the strongly connected components of the graph of reads (Tarjan). They are found with what is read first,
   which is the order wanted; a knot's own equations are then put in the order of their reads within a step. */
#include "internal.h"

#include <stdlib.h>

struct node {
    struct ir_tensor **reads; /* distinct, by number */
    int count;
    int found, low; /* when it was found, from 1; the earliest that it reaches */
    int component;  /* from 1; 0: open */
    bool placed;    /* within its step */
    bool visiting;
};
struct arrangement {
    struct ir_program *p;
    struct arena *scratch;
    struct node *nodes; /* by number before the arrangement */
    int found, components;
    LIST(struct ir_tensor *) open;  /* Tarjan's stack */
    LIST(struct ir_tensor *) order; /* the result */
    LIST(const struct ir_recurrence *) given;
    struct ir_tensor *const *knot; /* the component that is looked at */
    int knot_count;
    const struct ir_tensor *reader; /* the equation whose reads are looked at */
    const char *wrong;
    bool nested; /* because the knot is of several recurrences */
};

static struct node *node_of(struct arrangement *a, const struct ir_tensor *t)
{
    return &a->nodes[t->number];
}

/* ---- what each tensor reads ---- */

struct read_list {
    struct arena *arena;
    LIST(struct ir_tensor *) tensors;
};

static void note_read(const struct ir_expr *read, void *context)
{
    struct read_list *list = context;

    list_add(list->arena, list->tensors, read->tensor);
}

static int by_number(const void *left, const void *right)
{
    const struct ir_tensor *a = *(struct ir_tensor *const *)left, *b = *(struct ir_tensor *const *)right;

    return (a->number > b->number) - (a->number < b->number);
}

static void find_reads(struct arrangement *a, struct ir_tensor *t)
{
    struct node *node = node_of(a, t);
    struct read_list list = {.arena = a->scratch};

    reads_of(t, note_read, &list);
    for (int i = 0; i < 2 && t->operands[i]; i++)
        list_add(list.arena, list.tensors, t->operands[i]);
    if (list.tensors.count)
        qsort(list.tensors.at, (size_t)list.tensors.count, sizeof *list.tensors.at, by_number);
    for (int i = 0; i < list.tensors.count; i++)
        if (!node->count || list.tensors.at[i] != list.tensors.at[node->count - 1])
            list.tensors.at[node->count++] = list.tensors.at[i];
    node->reads = list.tensors.at;
}

/* ---- one knot ---- */

static bool in_knot(const struct arrangement *a, const struct ir_tensor *t)
{
    return a->nodes[t->number].component == a->components;
}

static void check_read(const struct ir_expr *read, void *context)
{
    struct arrangement *a = context;
    const struct ir_recurrence *recurrence = a->reader->recurrence;
    const char *time = a->reader->axes[a->reader->time]->name;
    int64_t shift, back = recurrence->down ? 1 : -1;

    if (a->wrong || !in_knot(a, read->tensor))
        return;
    if (!time_shift(a->reader, read, &shift) || shift < -1 || shift > 1)
        a->wrong = arena_printf(a->p->arena,
                                "%s reads %s, which depends on it, further than one step away; expected %s or %s %s 1",
                                a->reader->name, read->tensor->name, time, time, back < 0 ? "-" : "+");
    else if (shift == -back)
        a->wrong = arena_printf(
            a->p->arena, "%s reads %s at %s %s 1, but the recurrence goes %s; expected %s or %s %s 1", a->reader->name,
            read->tensor->name, time, back < 0 ? "+" : "-", back < 0 ? "up" : "down", time, time, back < 0 ? "-" : "+");
}

struct step {
    struct arrangement *a;
    struct ir_tensor *reader;
};

static void place_in_step(struct arrangement *a, struct ir_tensor *t);

static void place_read(const struct ir_expr *read, void *context)
{
    struct step *step = context;
    int64_t shift;

    if (in_knot(step->a, read->tensor) && time_shift(step->reader, read, &shift) && shift == 0)
        place_in_step(step->a, read->tensor);
}

static void place_in_step(struct arrangement *a, struct ir_tensor *t)
{
    struct node *node = node_of(a, t);
    struct step step = {a, t};

    if (node->placed || a->wrong)
        return;
    if (node->visiting) {
        a->wrong =
            arena_printf(a->p->arena, "%s depends on itself within one step of %s", t->name, t->recurrence->name);
        return;
    }
    node->visiting = true;
    reads_of(t, place_read, &step);
    for (int i = 0; i < 2 && t->operands[i]; i++)
        if (in_knot(a, t->operands[i]))
            place_in_step(a, t->operands[i]);
    node->placed = true;
    list_add(a->scratch, a->order, t);
}

/* The given object for its first knot, another one like it for each more. */
static const struct ir_recurrence *recurrence_of_knot(struct arrangement *a, const struct ir_recurrence *given)
{
    const struct ir_recurrence *recurrence = given;
    int knots = 1;

    for (int i = 0; i < a->given.count; i++)
        knots += a->given.at[i] == given;
    if (knots > 1)
        recurrence =
            ir_recurrence(a->p, arena_printf(a->p->arena, "%s_%d", given->name, knots), given->extent, given->down);
    list_add(a->scratch, a->given, given);
    return recurrence;
}

static void place_knot(struct arrangement *a)
{
    struct ir_tensor *first = a->knot[0];
    const struct ir_recurrence *recurrence = first->recurrence;

    for (int i = 0; i < a->knot_count; i++) {
        if (!a->knot[i]->recurrence) {
            a->wrong = arena_printf(a->p->arena, "%s depends on itself, outside of any recurrence", a->knot[i]->name);
            return;
        }
        if (a->knot[i]->recurrence != recurrence) {
            a->wrong = arena_printf(a->p->arena, "%s and %s depend on each other, in two recurrences", first->name,
                                    a->knot[i]->name);
            a->nested = true;
        }
    }
    for (int i = 0; i < a->knot_count && !a->wrong; i++) {
        a->reader = a->knot[i];
        reads_of(a->knot[i], check_read, a);
    }
    if (a->wrong)
        return;
    for (int i = 0; i < a->knot_count; i++)
        place_in_step(a, a->knot[i]);
    if (a->wrong)
        return;
    recurrence = recurrence_of_knot(a, recurrence);
    for (int i = 0; i < a->knot_count; i++)
        a->knot[i]->recurrence = recurrence;
}

/* ---- components ---- */

static bool reads_itself(const struct node *node, const struct ir_tensor *t)
{
    for (int i = 0; i < node->count; i++)
        if (node->reads[i] == t)
            return true;
    return false;
}

/* Takes t's component from the stack. */
static void close_component(struct arrangement *a, struct ir_tensor *t)
{
    int first = a->open.count;

    a->components++;
    do
        node_of(a, a->open.at[--first])->component = a->components;
    while (a->open.at[first] != t);
    a->knot = a->open.at + first;
    a->knot_count = a->open.count - first;
    if (a->knot_count > 1 || reads_itself(node_of(a, t), t)) {
        qsort(a->open.at + first, (size_t)a->knot_count, sizeof *a->open.at, by_number);
        place_knot(a);
    } else {
        t->recurrence = NULL;
        t->time = 0;
        list_add(a->scratch, a->order, t);
    }
    a->open.count = first;
}

static void visit(struct arrangement *a, struct ir_tensor *t)
{
    struct node *node = node_of(a, t);

    node->found = node->low = ++a->found;
    list_add(a->scratch, a->open, t);
    for (int i = 0; i < node->count && !a->wrong; i++) {
        struct node *read = node_of(a, node->reads[i]);

        if (!read->found)
            visit(a, node->reads[i]);
        if (!read->component && read->low < node->low)
            node->low = read->low;
    }
    if (!a->wrong && node->low == node->found)
        close_component(a, t);
}

const char *ir_arrange(struct ir_program *p)
{
    struct arrangement a = {.p = p, .scratch = arena_new()};

    a.nodes = NEW_ARRAY(a.scratch, struct node, p->tensors.count);
    for (int i = 0; i < p->tensors.count; i++)
        p->tensors.at[i]->number = i;
    for (int i = 0; i < p->tensors.count; i++)
        find_reads(&a, p->tensors.at[i]);
    for (int i = 0; i < p->tensors.count && !a.wrong; i++)
        if (!a.nodes[i].found)
            visit(&a, p->tensors.at[i]);
    if (a.nested) {
        const char *why = flatten_nest(p, a.knot, a.knot_count);

        if (!why) {
            arena_free(a.scratch);
            return ir_arrange(p);
        }
        a.wrong = arena_printf(p->arena, "%s: %s", a.wrong, why);
    }
    for (int i = 0; i < p->tensors.count && !a.wrong; i++)
        p->tensors.at[i] = a.order.at[i];
    ir_renumber(p);
    arena_free(a.scratch);
    return a.wrong;
}
