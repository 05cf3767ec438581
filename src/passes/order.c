/* order.c: the order in which updates may overwrite their leaves.

   requires: tensors in an order that respects reads. maintains: values; the order of leaves among themselves.
   The value of an update may be written over its leaf where every other reader of the leaf and every guard runs before.
   Each such wish is a constraint beyond the reads; a leaf whose wish would close a circle (two leaves that swap; a
   guard that reads the new value) is left out, and plan_memory then gives the value a place of its own. */
#include "internal.h"

struct order {
    struct arena *arena;
    number_list *after; /* by number: who must come later */
    int count;
};

static bool reaches(const struct order *o, int from, int to, bool *seen)
{
    if (from == to)
        return true;
    if (seen[from])
        return false;
    seen[from] = true;
    for (int i = 0; i < o->after[from].count; i++)
        if (reaches(o, o->after[from].at[i], to, seen))
            return true;
    return false;
}

static bool closes_circle(const struct order *o, int before, int after)
{
    struct arena *scratch = arena_new();
    bool circle = before != after && reaches(o, after, before, NEW_ARRAY(scratch, bool, o->count + 1));

    arena_free(scratch);
    return circle;
}

/* Every tensor that must have run before the update's value may overwrite the leaf. */
static void collect_earlier(const struct ir_program *p, const struct uses *uses, const struct ir_update *u,
                            struct arena *arena, number_list *out)
{
    const tensor_list *readers = &uses->readers[u->leaf->number];

    for (int i = 0; i < readers->count; i++)
        if (readers->at[i] != u->value)
            list_add(arena, *out, readers->at[i]->number);
    for (int i = 0; i < p->outputs.count; i++)
        if (p->outputs.at[i].guard && is_made(p->outputs.at[i].tensor) && p->outputs.at[i].tensor != u->value)
            list_add(arena, *out, p->outputs.at[i].tensor->number);
}

static bool reads_leaf_elsewhere(const struct uses *uses, const struct ir_update *u)
{
    const expr_list *reads = &uses->reads[u->value->number];

    for (int i = 0; i < reads->count; i++)
        if (reads->at[i]->tensor == u->leaf && !reads_at_axes(reads->at[i], u->value->axes))
            return true;
    return false;
}

/* The order itself: always the earliest equation that may run; a recurrence that has begun is ended first. */
static void sort(struct ir_program *p, const struct order *o)
{
    int *waiting = NEW_ARRAY(o->arena, int, o->count + 1), placed = 0;
    bool *done = NEW_ARRAY(o->arena, bool, o->count + 1);
    struct ir_tensor **sorted = NEW_ARRAY(o->arena, struct ir_tensor *, o->count + 1);

    for (int i = 0; i < o->count; i++)
        for (int j = 0; j < o->after[i].count; j++)
            waiting[o->after[i].at[j]]++;
    while (placed < o->count) {
        const struct ir_recurrence *r = placed ? sorted[placed - 1]->recurrence : NULL;
        int i = 0;

        while (r && i < o->count && (done[i] || waiting[i] || p->tensors.at[i]->recurrence != r))
            i++;
        if (!r || i == o->count)
            i = 0;
        while (i < o->count && (done[i] || waiting[i]))
            i++;
        if (i == o->count)
            bug("program %s: equations wait for each other", p->name);
        done[i] = true;
        sorted[placed++] = p->tensors.at[i];
        for (int j = 0; j < o->after[i].count; j++)
            waiting[o->after[i].at[j]]--;
    }
    set_tensors(p, sorted, placed);
}

number_list *order_updates(struct ir_program *p, struct arena *arena)
{
    int count = p->tensors.count;
    struct uses uses = uses_of(arena, p);
    struct order o = {arena, NEW_ARRAY(arena, number_list, count + 1), count};
    number_list *before = NEW_ARRAY(arena, number_list, count + 1), pairs = {0};
    struct ir_tensor **old = NEW_ARRAY(arena, struct ir_tensor *, count + 1);

    for (int i = 0; i < count; i++) {
        old[i] = p->tensors.at[i];
        for (int j = 0; j < uses.readers[i].count; j++)
            if (!is_carried(old[i], uses.readers[i].at[j]))
                list_add(arena, o.after[i], uses.readers[i].at[j]->number);
    }
    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_update *u = &p->updates.at[i];
        number_list earlier = {0};
        bool possible = is_plain(u->value) && !reads_leaf_elsewhere(&uses, u);

        if (!possible)
            continue;
        collect_earlier(p, &uses, u, arena, &earlier);
        for (int j = 0; j < earlier.count; j++)
            possible = possible && !closes_circle(&o, earlier.at[j], u->value->number);
        for (int j = 0; possible && j < earlier.count; j++) {
            list_add(arena, o.after[earlier.at[j]], u->value->number);
            list_add(arena, pairs, earlier.at[j]);
            list_add(arena, pairs, u->value->number);
        }
    }
    sort(p, &o);
    for (int i = 0; i < pairs.count; i += 2)
        list_add(arena, before[old[pairs.at[i + 1]]->number], old[pairs.at[i]]->number);
    return before;
}
