/* reach.c: what lies between a value and what it is differentiated by. */
#include "internal.h"

/* ---- what a tensor is computed from ---- */

static void mark_sources(const struct ir_tensor *t, bool *mark);

static void mark_read(const struct ir_expr *read, void *context)
{
    mark_sources(read->tensor, context);
}

static void mark_sources(const struct ir_tensor *t, bool *mark)
{
    if (mark[t->number])
        return;
    mark[t->number] = true;
    for (int i = 0; i < 2 && t->operands[i]; i++)
        mark_sources(t->operands[i], mark);
    /* What an unfinished recurrence carries has no value yet. */
    if (t->kind == IR_EQUATION && t->value)
        ir_reads(t->value, mark_read, mark);
}

static bool *sources(struct workspace *w, const struct ir_tensor *t)
{
    bool *mark = NEW_ARRAY(w->arena, bool, w->program->tensors.count + 1);

    mark_sources(t, mark);
    return mark;
}

bool depends_on(struct workspace *w, const struct ir_tensor *e, const struct ir_tensor *x)
{
    return sources(w, e)[x->number];
}

/* ---- samples that meet ---- */

struct meeting {
    const bool *reached;
    bool found;
};

static void find_other_sample(const struct ir_expr *read, void *context)
{
    struct meeting *meeting = context;

    for (int i = 0; i < read->tensor->rank; i++) {
        const struct ir_index *sample = ir_form_bare(read->subscripts[i]);

        if (read->tensor->axes[i]->batch && !(sample && sample->batch))
            meeting->found |= meeting->reached[read->tensor->number];
    }
}

const struct ir_tensor *samples_meet(struct workspace *w, const struct ir_tensor *e, const struct ir_tensor *x)
{
    struct ir_program *p = w->program;
    bool *from = sources(w, e), *reached = NEW_ARRAY(w->arena, bool, p->tensors.count + 1);
    struct meeting meeting = {reached, false};

    reached[x->number] = true;
    spread_derivative(p, reached, 0, p->tensors.count - 1);
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        if (!from[i] || !reached[i] || t == x || t->kind != IR_EQUATION || !t->value)
            continue;
        ir_reads(t->value, find_other_sample, &meeting);
        if (meeting.found || sums_samples(t))
            return t;
    }
    return NULL;
}

/* ---- draws ---- */

const struct drawn *derivative_through_draw(struct workspace *w, const struct ir_tensor *x, const struct ir_tensor *e)
{
    struct ir_program *p = w->program;
    bool *from, *reached;

    if (!w->draws.count)
        return NULL;
    from = NEW_ARRAY(w->arena, bool, p->tensors.count + 1);
    from[x->number] = true;
    spread_derivative(p, from, 0, p->tensors.count - 1);
    for (int k = 0; k < w->draws.count; k++) {
        const struct drawn *drawn = &w->draws.at[k];
        bool wanted = false;

        for (int i = 0; i < drawn->arguments.count; i++)
            wanted |= derivative_passes(drawn->arguments.at[i], from);
        /* A whole draw (Bernoulli) lets no derivative through by its kind; its probability still was meant to be
         * learnt. */
        if (!wanted)
            continue;
        reached = NEW_ARRAY(w->arena, bool, p->tensors.count + 1);
        reached[drawn->tensor->number] = true;
        spread_derivative(p, reached, 0, p->tensors.count - 1);
        if (reached[e->number])
            return drawn;
    }
    return NULL;
}
