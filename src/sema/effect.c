/* effect.c: what reaches what. Effects are properties of the equations, so they are found by walking them: what couples
   samples, what is random, what a derivative would have to pass. */
#include <string.h>

#include "autodiff.h"
#include "internal.h"

struct walk {
    struct ir_program *program;
    bool *seen;
    const struct ir_tensor *coupled; /* mixes samples */
    const struct ir_tensor *drawn;
    const struct ir_tensor *reader; /* the equation whose reads are looked at */
};

bool sums_samples(const struct ir_tensor *t)
{
    for (int i = 0; i < t->reduced_count; i++) {
        bool stays = false; /* a scatter that puts each sample's where it was */

        for (int j = 0; t->targets && j < t->rank; j++)
            stays |= t->axes[j]->batch && ir_form_bare(t->targets[j]) == t->reduced[i];
        if (t->reduced[i]->batch && !stays)
            return true;
    }
    return false;
}

static void visit(struct walk *walk, const struct ir_tensor *t);

static void visit_read(const struct ir_expr *read, void *context)
{
    struct walk *walk = context;
    const struct ir_tensor *t = read->tensor;
    const struct ir_index *sample;

    visit(walk, t);
    for (int i = 0; i < t->rank; i++) {
        sample = ir_form_bare(read->subscripts[i]);
        if (t->axes[i]->batch && !(sample && sample->batch) && !walk->coupled)
            walk->coupled = walk->reader;
    }
}

static void visit(struct walk *walk, const struct ir_tensor *t)
{
    const struct ir_tensor *outer;

    if (walk->seen[t->number])
        return;
    walk->seen[t->number] = true;
    if (t->kind == IR_DRAW && t->scope != IR_PER_RUN && !walk->drawn)
        walk->drawn = t;
    for (int i = 0; i < 2 && t->operands[i]; i++)
        visit(walk, t->operands[i]);
    if (t->kind != IR_EQUATION)
        return;
    if (!walk->coupled && sums_samples(t))
        walk->coupled = t;
    outer = walk->reader;
    walk->reader = t;
    ir_reads(t->value, visit_read, walk);
    walk->reader = outer;
}

struct span origin_span(struct unit *unit, const struct ir_origin *origin)
{
    struct span span = {0};

    if (!origin || !origin->file)
        return span;
    for (int i = 0; i < unit->files.count; i++)
        if (!strcmp(unit->files.at[i]->source->path, origin->file))
            span.source = unit->files.at[i]->source;
    for (int i = 0; i < unit->library.count; i++)
        if (!strcmp(unit->library.at[i]->source->path, origin->file))
            span.source = unit->library.at[i]->source;
    span.begin = origin->begin;
    span.end = origin->end;
    return span;
}

void check_evaluation_output(struct scope *scope, const char *name, struct ir_tensor *tensor, bool random,
                             struct span at)
{
    struct ir_program *p = scope->workspace->program;
    struct walk walk = {.program = p, .seen = NEW_ARRAY(scope->unit->arena, bool, p->tensors.count + 1)};
    bool per_sample = false;

    visit(&walk, tensor);
    for (int i = 0; i < tensor->rank; i++)
        per_sample |= tensor->axes[i]->batch;
    if (walk.drawn && !random) {
        fail(scope, "E0501", at, "%s rests on a draw in evaluation: %s", name, walk.drawn->name);
        note(scope, origin_span(scope->unit, walk.drawn->origin), "it is drawn here");
        for (const struct ir_origin *o = walk.drawn->origin->caller; o; o = o->caller)
            note(scope, origin_span(scope->unit, o), "reached from here");
        help(scope, "if training { ... }, or declare -> random %s", name);
    }
    if (walk.coupled && per_sample) {
        fail(scope, "E0402", at, "%s of one sample depends on others in evaluation: %s", name, walk.coupled->name);
        note(scope, origin_span(scope->unit, walk.coupled->origin), "samples meet here");
        for (const struct ir_origin *o = walk.coupled->origin->caller; o; o = o->caller)
            note(scope, origin_span(scope->unit, o), "reached from here");
        help(scope, "under `if training` it would be allowed");
    }
}

/* ---- derivatives through draws ---- */

struct reach {
    bool *mark; /* by number: a derivative gets here from a trainable parameter */
    bool found;
};

static bool passes(struct memo *met, const struct ir_expr *e, const bool *mark)
{
    const void **place;

    if (!e || e->whole || *(place = memo_at(met, e)))
        return false;
    *place = e;
    if (e->kind == IR_READ)
        return mark[e->tensor->number] || passes(met, e->otherwise, mark);
    for (int i = 0; e->kind == IR_APPLY && e->op != IR_stop && i < 3; i++)
        if (!(e->op == IR_select && i == 0) && passes(met, e->arguments[i], mark))
            return true;
    return false;
}

/* Is one of the tensors marked read in e where a derivative passes, that is outside `stop` and whole numbers? */
bool derivative_passes(const struct ir_expr *e, const bool *mark)
{
    struct memo met;
    bool found;

    memo_begin(&met);
    found = passes(&met, e, mark);
    memo_end(&met);
    return found;
}

/* Marks what a derivative gets to from what is marked, among the tensors from first to last. */
void spread_derivative(const struct ir_program *p, bool *mark, int first, int last)
{
    bool news = true;

    /* Only a carried read is of what stands later. */
    while (news) {
        news = false;
        for (int i = first; i <= last; i++) {
            const struct ir_tensor *t = p->tensors.at[i];
            bool reached = false;

            if (mark[i] || t->whole)
                continue;
            if (t->kind == IR_EQUATION && t->reduction != IR_ARGMAX && t->reduction != IR_ARGMIN)
                reached = derivative_passes(t->value, mark);
            for (int k = 0; k < 2 && t->operands[k]; k++)
                reached |= mark[t->operands[k]->number];
            if (reached)
                mark[i] = true;
            news |= reached && t->recurrence;
        }
    }
}

void check_derivatives_through_draws(struct scope *scope, struct ir_tensor *loss)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    bool *from = NEW_ARRAY(w->arena, bool, p->tensors.count + 1);

    if (!w->draws.count)
        return;
    for (int i = 0; i < w->parameters.count; i++)
        from[w->parameters.at[i]->leaf->number] = w->parameters.at[i]->trainable;
    spread_derivative(p, from, 0, p->tensors.count - 1);
    for (int k = 0; k < w->draws.count; k++) {
        struct drawn *drawn = &w->draws.at[k];
        bool wanted = false, *reached;

        for (int i = 0; i < drawn->arguments.count; i++)
            wanted |= derivative_passes(drawn->arguments.at[i], from);
        /* A whole draw (Bernoulli) lets no derivative through by its kind; its probability still was meant to be
         * learnt. */
        if (!wanted)
            continue;
        reached = NEW_ARRAY(w->arena, bool, p->tensors.count + 1);
        reached[drawn->tensor->number] = true;
        spread_derivative(p, reached, drawn->tensor->number + 1, loss->number);
        if (!reached[loss->number])
            continue;
        fail(scope, "E0601", drawn->span, "the loss wants a derivative through the draw %s", drawn->name);
        help(scope, "z = mu + sigma * e with e ~ normal(0, 1), or stop(...) around what the draw rests on");
    }
}

/* ---- E0602 ---- */

static bool in_library(struct unit *unit, struct span span)
{
    for (int i = 0; i < unit->library.count; i++)
        if (unit->library.at[i]->source == span.source)
            return true;
    return false;
}

/* Where the user wrote what has the parameter; *caller: what that is reached from. */
static struct span place_of_parameter(struct unit *unit, const struct parameter *parameter,
                                      const struct ir_origin **caller)
{
    struct span place = parameter->span;
    const struct ir_origin *o = parameter->leaf->origin->caller;

    for (; o && in_library(unit, place); o = o->caller)
        place = origin_span(unit, o);
    *caller = o;
    return place;
}

void say_cut_off(struct scope *scope, const parameter_list *cut_off, const struct ir_tensor *objective)
{
    struct workspace *w = scope->workspace;
    bool *said = NEW_ARRAY(w->arena, bool, cut_off->count + 1);

    for (int i = 0; i < cut_off->count; i++) {
        const struct parameter *first = cut_off->at[i];
        const struct ir_tensor *end = derivative_ends_at(w->program, first->leaf, objective);
        const struct ir_origin *caller, *other;
        struct span place = place_of_parameter(w->unit, first, &caller);
        const char *names = first->path, *last = NULL;
        bool ends = end && end != first->leaf;

        for (int k = i + 1; k < cut_off->count && !said[i]; k++) {
            const struct parameter *p = cut_off->at[k];
            const struct ir_tensor *stop = derivative_ends_at(w->program, p->leaf, objective);
            struct span here = place_of_parameter(w->unit, p, &other);

            if (here.source != place.source || here.begin != place.begin || other != caller ||
                (ends ? stop != end : stop && stop != p->leaf))
                continue;
            said[k] = true;
            if (last)
                names = arena_printf(w->arena, "%s, %s", names, last);
            last = p->path;
        }
        if (said[i])
            continue;
        if (last)
            names = arena_printf(w->arena, "%s and %s", names, last);
        fail(scope, "E0602", place, "%s cannot influence the loss%s%s", names,
             ends ? last ? ": their path ends in " : ": its path ends in " : "", ends ? end->name : "");
        for (; caller; caller = caller->caller)
            note(scope, origin_span(w->unit, caller), "it belongs to this place");
        if (ends && end->origin && end->origin->file)
            note(scope, origin_span(w->unit, end->origin), "the path ends here");
    }
}
