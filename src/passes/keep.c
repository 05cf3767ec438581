/* keep.c: what a step of a recurrence has worked out with effort, and others work out again, becomes an equation.

   requires: no kernels yet. maintains: every value, bit for bit. breaks: adds equations to recurrences.
   The gates of a cell are parts of equations: sigmoid(z[t, 1, u]) * c[t - 1, u] + ... Their derivatives have them again, a
   step at a time, where each costs as much as ten reads. As tensors they take the place of z, which then is nobody's but
   their own. Only functions that are approximated (ops.def: POLYNOMIAL) are kept, only those whose reader stands outside of
   the recurrence; within one kernel equal parts are one in any case. */
#include "internal.h"

struct kept {
    const struct ir_expr *value; /* in the indices of `places` */
    struct ir_tensor *tensor;    /* NULL: nobody has wanted it yet */
    struct ir_tensor *equation;  /* that it is part of */
    const struct ir_expr *part;
    ir_index_list loops, order; /* of the tensor: in the order of its axes, and as they come in the part */
};
struct keeping {
    struct ir_program *p;
    struct arena *arena;
    ir_index_list places; /* indices in which parts of different equations are compared */
    LIST(struct kept) kept;
    struct memo done; /* of the equation at hand: what has been rewritten */
};

static bool takes_effort(const struct ir_expr *e)
{
    return e->kind == IR_APPLY && !e->whole && ir_operators[e->op].work >= IR_POLYNOMIAL;
}

static struct ir_index *place_for(struct keeping *k, const struct ir_index *index, int place)
{
    for (int i = 0; i < k->places.count; i++) {
        struct ir_index *found = k->places.at[i];

        if (found->extent == index->extent && found->batch == index->batch && place-- == 0)
            return found;
    }
    list_add(k->arena, k->places, ir_index(k->p, index->name, index->extent, index->batch));
    return k->places.at[k->places.count - 1];
}

/* e in the indices of `places`: equal parts of any two equations become the same expression. The index `moved` (or NULL)
   stands `by` behind what it was. */
static const struct ir_expr *comparable(struct keeping *k, const struct ir_expr *e, const ir_index_list *indices,
                                        const struct ir_index *moved, int by)
{
    const struct ir_form **to = NEW_ARRAY(k->arena, const struct ir_form *, indices->count + 1);

    for (int i = 0; i < indices->count; i++) {
        int before = 0;

        for (int j = 0; j < i; j++)
            before += indices->at[j]->extent == indices->at[i]->extent && indices->at[j]->batch == indices->at[i]->batch;
        to[i] = ir_form_index(k->p, place_for(k, indices->at[i], before));
        if (indices->at[i] == moved)
            to[i] = ir_form_add(k->p, to[i], ir_form_constant(k->p, -by));
    }
    return ir_substitute(k->p, e, indices->at, to, indices->count);
}

static void add_own(const struct ir_expr *read, void *context)
{
    struct kept *kept = context;

    if (read->tensor->recurrence == kept->equation->recurrence && read->tensor->number < kept->equation->number)
        kept->tensor = read->tensor;
}

/* Notes a part of a recurrence's equation if it could be kept: it has its time, and is made at some of its points. */
static void note_part(struct keeping *k, struct ir_tensor *t, const struct ir_expr *e)
{
    struct kept kept = {.equation = t, .part = e};

    if (!takes_effort(e))
        return;
    ir_indices(k->arena, e, &kept.order);
    for (int i = 0; i < t->rank; i++)
        if (ir_is_among(kept.order.at, kept.order.count, t->axes[i]))
            list_add(k->arena, kept.loops, t->axes[i]);
    if (kept.loops.count != kept.order.count || !ir_is_among(kept.order.at, kept.order.count, t->axes[t->time]))
        return;
    ir_reads(e, add_own, &kept);
    if (!kept.tensor) /* what depends on nothing that the step has made is no part of it */
        return;
    kept.tensor = NULL;
    kept.value = comparable(k, e, &kept.order, NULL, 0);
    for (int i = 0; i < k->kept.count; i++)
        if (k->kept.at[i].value == kept.value)
            return;
    list_add(k->arena, k->kept, kept);
}

static void note_parts(struct keeping *k, struct ir_tensor *t)
{
    expr_list parts = {0};

    collect_applications(k->arena, t->value, &parts);
    for (int i = 0; i < parts.count; i++)
        note_part(k, t, parts.at[i]);
}

static struct ir_tensor *tensor_of(struct keeping *k, struct kept *kept)
{
    const struct ir_tensor *t = kept->equation;
    struct ir_tensor *before = kept->equation;
    int time = 0;

    if (kept->tensor)
        return kept->tensor;
    for (const struct kept *outer = kept + 1; outer < k->kept.at + k->kept.count; outer++)
        if (outer->equation == t && outer->tensor && outer->tensor->number < before->number)
            before = outer->tensor;
    while (kept->loops.at[time] != t->axes[t->time])
        time++;
    kept->tensor = ir_equation_in(k->p, arena_printf(k->p->arena, "%s.part", t->name), kept->loops.at, kept->loops.count,
                                  t->recurrence, time, IR_MAP, NULL, 0, kept->part, false, t->origin);
    insert_before(k->p, before, kept->tensor);
    return kept->tensor;
}

/* The part with what guarded reads of it have outside; NULL if others could be outside without them. */
static const struct ir_expr *outside(struct keeping *k, const struct ir_expr *e)
{
    if (e->kind != IR_APPLY || e->arguments[1] || e->arguments[0]->kind != IR_READ || !e->arguments[0]->otherwise)
        return NULL;
    return ir_apply(k->p, e->op, e->arguments[0]->otherwise, NULL, NULL);
}

/* A read of the tensor at the indices that a part like it has, the time (or NULL) `by` further. */
static const struct ir_expr *read_kept(struct keeping *k, struct kept *kept, const ir_index_list *indices,
                                       const struct ir_index *time, int by, const struct ir_expr *otherwise)
{
    const struct ir_form **subscripts = NEW_ARRAY(k->p->arena, const struct ir_form *, kept->loops.count + 1);

    for (int i = 0; i < kept->loops.count; i++) {
        int place = 0;

        while (kept->order.at[place] != kept->loops.at[i])
            place++;
        subscripts[i] = ir_form_index(k->p, indices->at[place]);
        if (indices->at[place] == time)
            subscripts[i] = ir_form_add(k->p, subscripts[i], ir_form_constant(k->p, by));
    }
    return ir_read(k->p, tensor_of(k, kept), subscripts, kept->loops.count, otherwise);
}

/* What t has of a part that is kept, at its own time or one step away: a read of that. NULL: it is not kept. */
static const struct ir_expr *find_kept(struct keeping *k, const struct ir_tensor *t, const struct ir_expr *e)
{
    const struct ir_index *time = t->recurrence ? t->axes[t->time] : NULL;
    ir_index_list indices = {0};

    ir_indices(k->arena, e, &indices);
    int reach = time && ir_is_among(indices.at, indices.count, time);
    for (int by = -reach; by <= reach; by++) {
        const struct ir_expr *value = comparable(k, e, &indices, by ? time : NULL, by);
        const struct ir_expr *otherwise = by ? outside(k, e) : NULL;

        for (int i = 0; i < k->kept.count && (!by || otherwise); i++) {
            struct kept *kept = &k->kept.at[i];

            if (kept->value == value && kept->equation->recurrence != t->recurrence &&
                kept->equation->number < t->number)
                return read_kept(k, kept, &indices, time, by, otherwise);
        }
    }
    return NULL;
}

static const struct ir_expr *with_kept(struct keeping *k, const struct ir_tensor *t, const struct ir_expr *e)
{
    const struct ir_expr *result = NULL, *arguments[3] = {0};

    if (e->kind != IR_APPLY)
        return e;
    if (*memo_at(&k->done, e))
        return *memo_at(&k->done, e);
    if (takes_effort(e))
        result = find_kept(k, t, e);
    if (!result) {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = with_kept(k, t, e->arguments[i]);
        result = ir_apply(k->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    *memo_at(&k->done, e) = result;
    return result;
}

/* In the recurrence itself the part stands once, in the new equation. */
static void read_instead(struct keeping *k, struct kept *kept, struct ir_tensor *of)
{
    of->value = exchange(k->p, of->value, kept->part, read_kept(k, kept, &kept->order, NULL, 0, NULL));
}

void keep_parts(struct ir_program *p)
{
    struct keeping k = {.p = p, .arena = arena_new()};

    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (t->kind != IR_EQUATION || t->single)
            continue;
        if (k.kept.count && !t->targets) {
            memo_begin(&k.done);
            t->value = with_kept(&k, t, t->value);
            memo_end(&k.done);
        }
        if (t->recurrence && !t->whole)
            note_parts(&k, t);
        i = t->number; /* what is kept was put before it */
    }
    /* Outer parts first: then what they hold is found in their own equations too, and each stands once. */
    for (int i = k.kept.count - 1; i >= 0; i--) {
        struct kept *kept = &k.kept.at[i];

        if (!kept->tensor)
            continue;
        read_instead(&k, kept, kept->equation);
        for (int j = i + 1; j < k.kept.count; j++)
            if (k.kept.at[j].equation == kept->equation && k.kept.at[j].tensor)
                read_instead(&k, kept, k.kept.at[j].tensor);
    }
    arena_free(k.arena);
}
