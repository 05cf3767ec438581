/* sequence.c: the equations of a small program one after another in as few kernels as the guards allow.

   requires: groups of one equation each. maintains: every value. A kernel costs a call and what it is called with; a product
   whose rows were the parallel loop of a kernel would be made a row at a time, its sums alone in their registers. So in a
   step that is over before threads would pay kernels have no parallel loop at all: each equation loops inside, along the
   index that suits it, over as many sums at once as there are registers, and what it reads of the others is in the first
   cache. Scatters, opaque operations, recurrences and products too large for that have their own kernels as elsewhere. */
#include "internal.h"

/* Points of a program that is over before threads would pay (of contractions, which run at the peak of multiply-adds, so
   many are one). NEAR: elements of a tensor that one thread can read or write in that time. */
enum { SMALL_PROGRAM = 1 << 18, CONTRACTED = 8, NEAR = 1 << 16, MOST_IN_SEQUENCE = 120 };

bool is_small_program(const struct ir_program *p)
{
    double points = 0;

    for (int i = 0; i < p->tensors.count; i++) {
        if (ir_elements(p->tensors.at[i]) > NEAR)
            return false;
        if (p->tensors.at[i]->kind == IR_EQUATION)
            points += (double)iteration_points(p->tensors.at[i]) / (is_contraction(p, p->tensors.at[i]) ? CONTRACTED : 1);
    }
    return points <= SMALL_PROGRAM;
}

static bool may_be_in_sequence(const struct fusion *f, int number)
{
    const struct group *g = &f->groups[number];

    return g->equations.count && !g->recurrence && !g->frame &&
           (g->sequence || !g->alone || is_contraction(f->p, g->equations.at[0]));
}

static void begin_sequence(struct fusion *f, int number)
{
    struct group *g = &f->groups[number];

    g->sequence = true;
    g->product = NULL;
    g->leads = false;
    g->alone = "a sequence of small loops";
    g->depth = 0;
    for (int i = 0; i < g->equations.count; i++)
        f->members[g->equations.at[i]->number].in_parts = false;
}

static bool join_sequence(struct fusion *f, int a, int b)
{
    struct group *ga = &f->groups[a], *gb = &f->groups[b];

    if (a == b || !may_be_in_sequence(f, a) || !may_be_in_sequence(f, b) ||
        ga->equations.count + gb->equations.count > MOST_IN_SEQUENCE || waits_for_guards(f, a, b) ||
        way_outside(f, a, b) || way_outside(f, b, a))
        return false;
    begin_sequence(f, a);
    begin_sequence(f, b);
    merge_groups(f, a, b);
    return true;
}

void make_sequences(struct fusion *f)
{
    const struct ir_program *p = f->p;
    int last = -1;

    for (int i = 0; i < p->tensors.count; i++) {
        if (!may_be_in_sequence(f, i))
            continue;
        if (last < 0 || !join_sequence(f, last, i)) {
            begin_sequence(f, i);
            last = i;
        }
    }
}
