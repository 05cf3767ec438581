/* share.c: equal equations become one, in place; returns p.

   requires: a verified program without kernels. maintains: values, bit for bit; names of what is kept.
   Two equations are equal if they have the same outputs and reduced indices up to renaming (extents and places decide),
   the same reduction, the same precision, and the same value under that renaming. Scatters and recurrences stay as they
   are. Draws are leaves and never merged: two sites give different numbers. */
#include "internal.h"

/* One index for each place and extent, in which all equations are compared. */
struct role {
    char of; /* 'o': an output, 'r': reduced */
    int place;
    struct ir_index *index;
    const struct ir_form *form;
};
struct canon {
    struct ir_program *p;
    struct arena *arena;
    LIST(struct role) roles; /* few: programs have few extents */
};

static const struct ir_form *canonical(struct canon *c, char of, int place, const struct ir_index *index)
{
    struct role role = {.of = of, .place = place};

    for (int i = 0; i < c->roles.count; i++) {
        const struct role *known = &c->roles.at[i];

        if (known->of == of && known->place == place && known->index->extent == index->extent &&
            known->index->batch == index->batch)
            return known->form;
    }
    role.index = ir_index(c->p, arena_printf(c->p->arena, "%c%d", of, place), index->extent, index->batch);
    role.form = ir_form_index(c->p, role.index);
    list_add(c->arena, c->roles, role);
    return role.form;
}

static const struct ir_expr *canonical_value(struct canon *c, const struct ir_tensor *t)
{
    int count = t->rank + t->reduced_count;
    struct ir_index **from = NEW_ARRAY(c->arena, struct ir_index *, count + 1);
    const struct ir_form **to = NEW_ARRAY(c->arena, const struct ir_form *, count + 1);

    for (int i = 0; i < t->rank; i++) {
        from[i] = t->axes[i];
        to[i] = canonical(c, 'o', i, t->axes[i]);
    }
    for (int i = 0; i < t->reduced_count; i++) {
        from[t->rank + i] = t->reduced[i];
        to[t->rank + i] = canonical(c, 'r', i, t->reduced[i]);
    }
    return ir_substitute(c->p, t->value, from, to, count);
}

static bool same_shape(const struct ir_tensor *a, const struct ir_tensor *b)
{
    if (a->rank != b->rank || a->reduced_count != b->reduced_count || a->reduction != b->reduction ||
        a->single != b->single)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->axes[i]->extent != b->axes[i]->extent)
            return false;
    for (int i = 0; i < a->reduced_count; i++)
        if (a->reduced[i]->extent != b->reduced[i]->extent)
            return false;
    return true;
}

struct ir_program *share(struct ir_program *p)
{
    struct canon c = {.p = p, .arena = arena_new()};
    const struct ir_expr **values = NEW_ARRAY(c.arena, const struct ir_expr *, p->tensors.count + 1);
    struct ir_tensor **from = NEW_ARRAY(c.arena, struct ir_tensor *, p->tensors.count + 1);
    struct ir_tensor **to = NEW_ARRAY(c.arena, struct ir_tensor *, p->tensors.count + 1);
    int *next = NEW_ARRAY(c.arena, int, p->tensors.count + 2); /* tensors of one bucket */
    int *buckets = NEW_ARRAY(c.arena, int, p->tensors.count + 1);
    int merged = 0, slots = p->tensors.count + 1;

    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i];
        int slot, other;

        for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
            for (int j = 0; j < merged; j++)
                if (t->operands[k] == from[j])
                    t->operands[k] = to[j];
        if (t->kind != IR_EQUATION)
            continue;
        if (merged)
            t->value = ir_retarget(p, t->value, from, to, merged);
        for (int k = 0; merged && t->targets && k < t->rank; k++)
            t->targets[k] = ir_form_of(p, ir_retarget(p, ir_of_form(p, t->targets[k]), from, to, merged));
        if (!is_plain(t))
            continue;
        values[i] = canonical_value(&c, t);
        slot = (int)(values[i]->hash % (uint64_t)slots);
        for (other = buckets[slot]; other; other = next[other])
            if (values[other - 1] == values[i] && same_shape(p->tensors.at[other - 1], t))
                break;
        if (other) {
            from[merged] = t;
            to[merged++] = p->tensors.at[other - 1];
        } else {
            next[i + 1] = buckets[slot];
            buckets[slot] = i + 1;
        }
    }
    for (int k = 0; k < merged; k++) {
        for (int i = 0; i < p->outputs.count; i++)
            if (p->outputs.at[i].tensor == from[k])
                p->outputs.at[i].tensor = to[k];
        for (int i = 0; i < p->updates.count; i++)
            if (p->updates.at[i].value == from[k])
                p->updates.at[i].value = to[k];
    }
    drop_dead(p);
    arena_free(c.arena);
    return p;
}
