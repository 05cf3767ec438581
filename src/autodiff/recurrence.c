/* recurrence.c: the gradients of a recurrence's equations. A bracket t - 1 == a gives t = a + 1: what is carried
   forwards sends its gradient backwards. So all gradients are declared before they are defined, as equations of one
   recurrence that runs the other way; ir_arrange then puts outside what is not carried (ADJOINTS.md, section 5).

   requires: an arranged program; what reads the recurrence from outside has sent all. maintains: what is there. */
#include "adjoint.h"

/* ---- which axes are tied ---- */

static int batch_axis(const struct ir_tensor *t)
{
    for (int a = 0; a < t->rank; a++)
        if (t->axes[a]->batch)
            return a;
    return -1;
}

struct sample_reads {
    const struct reverse *r;
    const struct ir_tensor *reader;
    bool own; /* each sample reads itself only */
};

static void check_read(const struct ir_expr *read, void *context)
{
    struct sample_reads *s = context;
    const struct ir_tensor *t = read->tensor, *u = s->reader;
    int axis = batch_axis(t), own = batch_axis(u);

    if (t->recurrence != u->recurrence || t->number >= s->r->count || !s->r->active[t->number] || axis < 0)
        return;
    s->own &= own >= 0 && ir_form_bare(read->subscripts[axis]) == u->axes[own];
}

/* Is the gradient 0 wherever the sample is not the one that this kept index says? It is if all that arrives from
   outside says so, and each sample reads itself only. */
static bool samples_apart(const struct reverse *r, const struct ir_recurrence *recurrence, int kept)
{
    for (int i = 0; i < r->count; i++) {
        const struct ir_tensor *t = r->p->tensors.at[i];
        struct sample_reads reads = {r, t, true};
        int axis = batch_axis(t);
        if (t->recurrence != recurrence || !r->active[i])
            continue;
        for (int k = 0; k < r->summands[i].count && axis >= 0; k++) {
            const int *tied = r->summands[i].at[k].adjoint.tied;
            if (!tied || tied[axis] != kept + 1)
                return false;
        }
        if (t->kind == IR_EQUATION) /* an opaque tensor has each sample's operands */
            ir_reads(t->value, check_read, &reads);
        if (!reads.own)
            return false;
    }
    return true;
}

/* The number, from 1, of the kept index that the samples are tied to; 0: none. */
static int find_tie(const struct reverse *r, const struct ir_recurrence *recurrence)
{
    for (int k = 0; k < r->kept_count; k++)
        if (r->kept[k]->batch && samples_apart(r, recurrence, k))
            return k + 1;
    return 0;
}

/* ---- the whole ---- */

static struct gradient declare(struct reverse *r, const struct ir_tensor *t, const struct ir_recurrence *reversed,
                               int tie)
{
    struct ir_program *p = r->p;
    int *tied = NEW_ARRAY(p->arena, int, t->rank), time = 0;
    struct gradient g = {.tied = r->kept_count ? tied : NULL};
    ir_index_list axes;

    if (tie && batch_axis(t) >= 0)
        tied[batch_axis(t)] = tie;
    axes = gradient_axes(r, t, g.tied);
    while (axes.at[time] != t->axes[t->time])
        time++;
    g.made = ir_declare(p, arena_printf(p->arena, "d_%s", t->name), axes.at, axes.count, false, 0, 0, reversed, time,
                        t->origin);
    g.value = read_at(p, g.made, axes.at);
    return g;
}

/* The last equation at which something has arrived and that has not sent yet; -1: none. */
static int next_to_send(const struct reverse *r, const struct ir_recurrence *recurrence,
                        const struct gradient *gradients)
{
    for (int i = r->count - 1; i >= 0; i--)
        if (r->p->tensors.at[i]->recurrence == recurrence && r->summands[i].count && !gradients[i].made)
            return i;
    return -1;
}

bool reverse_recurrence(struct reverse *r, const struct ir_recurrence *recurrence, struct ir_tensor *const *wrt,
                        int count, struct ir_tensor **gradients, const struct ir_tensor **where)
{
    struct ir_program *p = r->p;
    struct gradient *made = NEW_ARRAY(p->arena, struct gradient, r->count);
    const struct ir_recurrence *reversed =
        ir_recurrence(p, arena_printf(p->arena, "d_%s", recurrence->name), recurrence->extent, !recurrence->down);
    int tie = find_tie(r, recurrence), number;

    while ((number = next_to_send(r, recurrence, made)) >= 0) {
        struct ir_tensor *t = p->tensors.at[number];
        made[number] = declare(r, t, reversed, tie);
        *where = t;
        if (t->kind == IR_OPAQUE ? !t->whole && !send_opaque(r, t, &made[number])
                                 : passes(&r->passing, t->value) && !send(r, t, &made[number]))
            return false;
    }
    for (int i = r->count - 1; i >= 0; i--) {
        if (p->tensors.at[i]->recurrence == recurrence)
            r->done[i] = true;
        if (!made[i].made)
            continue;
        define_gradient(r, p->tensors.at[i], &made[i]);
        set_gradients(r, p->tensors.at[i], &made[i], wrt, count, gradients);
    }
    return true;
}
