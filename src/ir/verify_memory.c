/* verify_memory.c: the contract of places in the arena (passes.h, plan_memory): no value lies where another still lives, but for
   one that is written over another, element over element, after the last read; and a value of a recurrence that has room
   for one step alone is read only while it is there. Lives are measured in kernels; those of a recurrence run again and again.

   requires: kernels, as verify_kernels.c checks them. Says nothing before plan_memory: then nothing is in the arena. */
#include "verify.h"

struct made {
    int kernel, stage, position; /* kernel -1: by none */
    int first, last;             /* when it lives: kernels, inclusive */
    bool kept;                   /* an output, or the value of an update */
};
struct memory {
    struct verifier *v;
    struct made *of; /* by tensor->number */
    const struct ir_tensor *reader;
};

/* reads_of, and an opaque tensor's operands as reads without subscripts. */
static void tensor_reads(const struct ir_tensor *t, void (*visit)(const struct ir_expr *read, void *context), void *context)
{
    reads_of(t, visit, context);
    for (int i = 0; i < 2; i++)
        if (t->operands[i])
            visit(&(struct ir_expr){.kind = IR_READ, .tensor = t->operands[i]}, context);
}

static int end_of_run(const struct ir_program *p, int k, int step)
{
    while (k + step >= 0 && k + step < p->kernels.count && p->kernels.at[k]->recurrence &&
           p->kernels.at[k + step]->recurrence == p->kernels.at[k]->recurrence)
        k += step;
    return k;
}

static void note_read(const struct ir_expr *read, void *context)
{
    const struct memory *m = context;
    struct made *made = &m->of[read->tensor->number];
    int last = end_of_run(m->v->p, m->of[m->reader->number].kernel, 1);

    if (last > made->last)
        made->last = last;
}

static void find_lives(struct memory *m)
{
    const struct ir_program *p = m->v->p;

    for (int i = 0; i < p->tensors.count; i++)
        m->of[i] = (struct made){-1, 0, 0, -1, -1, false};
    for (int k = 0; k < p->kernels.count; k++)
        for (int s = 0; s < p->kernels.at[k]->stages.count; s++)
            for (int i = 0; i < p->kernels.at[k]->stages.at[s]->equations.count; i++)
                m->of[p->kernels.at[k]->stages.at[s]->equations.at[i]->number] =
                    (struct made){k, s, i, end_of_run(p, k, -1), end_of_run(p, k, 1), false};
    for (int i = 0; i < p->tensors.count; i++) {
        m->reader = p->tensors.at[i];
        if (m->of[i].kernel >= 0)
            tensor_reads(m->reader, note_read, m);
    }
    for (int i = 0; i < p->updates.count + p->outputs.count; i++) {
        struct made *made = &m->of[(i < p->updates.count ? p->updates.at[i].value
                                                         : p->outputs.at[i - p->updates.count].tensor)
                                       ->number];

        made->last = p->kernels.count;
        made->kept = true;
    }
}

static int64_t width(const struct ir_tensor *t)
{
    return t->storage == IR_U8 ? 1 : t->storage == IR_F64 ? 8 : 4;
}

static int64_t bytes_of(const struct ir_tensor *t)
{
    return ir_elements(t) * width(t) / (t->one_step ? t->axes[t->one_step - 1]->extent : 1);
}

static bool in_parallel(const struct ir_kernel *kernel, const struct ir_index *index)
{
    return index_in(kernel->parallel.at, kernel->parallel.count, index);
}

/* Is what the read takes of one step's values taken before `value` is written there in that step? skip: the axis that is the
   time, when the read is of the step before; -1: none. */
static bool taken_before(const struct memory *m, const struct ir_tensor *reader, const struct ir_expr *read,
                         const struct ir_tensor *value, int skip)
{
    const struct made *r = &m->of[reader->number], *w = &m->of[value->number];

    if (r->kernel != w->kernel)
        return r->kernel < w->kernel;
    if (r->stage > w->stage || (r->stage == w->stage && r->position > w->position) || reader->kind != IR_EQUATION)
        return false;
    for (int i = 0; i < value->rank; i++)
        if (i != skip && (r->stage == w->stage || in_parallel(m->v->p->kernels.at[w->kernel], value->axes[i])) &&
            ir_form_bare(read->subscripts[i]) != value->axes[i])
            return false;
    return true;
}

struct pair {
    struct memory *m;
    const struct ir_tensor *reader, *old, *value;
    bool fine;
};

static void check_replaced_read(const struct ir_expr *read, void *context)
{
    struct pair *pair = context;
    const struct ir_tensor *reader = pair->reader, *value = pair->value;

    if (read->tensor != pair->old)
        return;
    if (!taken_before(pair->m, reader, read, value, -1))
        pair->fine = false;
    else if (value->recurrence && reader->recurrence == value->recurrence &&
             (!read->subscripts || ir_form_bare(read->subscripts[value->time]) != reader->axes[reader->time]))
        pair->fine = false;
}

/* A nest; or a tile kernel, of which it is the map that the frame is made of (ir.h): an image at a time, each point once. */
static bool goes_point_by_point(const struct memory *m, const struct ir_tensor *value)
{
    const struct ir_kernel *kernel = m->v->p->kernels.at[m->of[value->number].kernel];

    return kernel->kind == IR_NEST ||
           (kernel->kind == IR_TILE_KERNEL && kernel->stages.at[m->of[value->number].stage]->inner.count > 0);
}

static bool may_replace(struct memory *m, const struct ir_tensor *old, const struct ir_tensor *value)
{
    const struct ir_program *p = m->v->p;
    struct pair pair = {m, NULL, old, value, true};

    if (m->of[old->number].kept || old->offset != value->offset || width(old) != width(value) || old->rank != value->rank ||
        value->kind != IR_EQUATION || value->targets || value->reduction != IR_MAP || old->one_step || value->one_step ||
        !goes_point_by_point(m, value) ||
        m->of[old->number].kernel >= m->of[value->number].kernel)
        return false;
    for (int i = 0; i < old->rank; i++)
        if (old->axes[i]->extent != value->axes[i]->extent)
            return false;
    for (int i = 0; i < p->tensors.count && pair.fine; i++) {
        pair.reader = p->tensors.at[i];
        if (m->of[i].kernel >= 0)
            tensor_reads(pair.reader, check_replaced_read, &pair);
    }
    return pair.fine;
}

static bool check_pair(struct memory *m, const struct ir_tensor *a, const struct ir_tensor *b)
{
    const struct made *x = &m->of[a->number], *y = &m->of[b->number];

    if (x->last < y->first || y->last < x->first || a->offset >= b->offset + bytes_of(b) ||
        b->offset >= a->offset + bytes_of(a) || may_replace(m, a, b) || may_replace(m, b, a))
        return true;
    return broken(m->v, "%s lies in the arena where %s still lives", b->name, a->name);
}

/* ---- room for one step ---- */

static void check_step_read(const struct ir_expr *read, void *context)
{
    struct memory *m = context;
    const struct ir_tensor *t = read->tensor, *reader = m->reader;
    int64_t shift;

    if (!t->one_step)
        return;
    if (reader->recurrence != t->recurrence || reader->kind != IR_EQUATION || !time_shift(reader, read, &shift))
        broken(m->v, "%s reads %s, of which one step alone has room", reader->name, t->name);
    else if (shift && !taken_before(m, reader, read, t, t->time))
        broken(m->v, "%s reads %s of the step before where this step's may have been written over it", reader->name,
               t->name);
}

static bool check_one_step(struct memory *m, const struct ir_tensor *t)
{
    enum ir_kernel_kind kind = m->v->p->kernels.at[m->of[t->number].kernel]->kind;

    return (t->recurrence && t->one_step == t->time + 1 && t->kind == IR_EQUATION && !t->targets && kind != IR_SCATTER_KERNEL && !m->of[t->number].kept) ||
           broken(m->v, "%s has room for one step, but is wanted as a whole", t->name);
}

bool verify_memory(struct verifier *v)
{
    const struct ir_program *p = v->p;
    struct memory m = {.v = v, .of = NEW_ARRAY(p->arena, struct made, p->tensors.count + 1)};
    LIST(const struct ir_tensor *) there = {0};

    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->region == IR_IN_ARENA)
            list_add(p->arena, there, p->tensors.at[i]);
    if (!there.count)
        return true;
    find_lives(&m);
    for (int i = 0; i < there.count; i++) {
        const struct ir_tensor *t = there.at[i];

        if (m.of[t->number].kernel < 0)
            return broken(v, "%s is in the arena, but no kernel computes it", t->name);
        if (t->offset < 0 || t->offset + bytes_of(t) > p->arena_bytes)
            return broken(v, "%s does not lie inside of the arena of %lld bytes", t->name, (long long)p->arena_bytes);
        if (t->one_step && !check_one_step(&m, t))
            return false;
        for (int j = 0; j < i; j++)
            if (!check_pair(&m, there.at[j], t))
                return false;
    }
    for (int i = 0; i < p->tensors.count && !v->message; i++) {
        m.reader = p->tensors.at[i];
        if (m.of[i].kernel >= 0)
            tensor_reads(m.reader, check_step_read, &m);
    }
    return !v->message;
}
