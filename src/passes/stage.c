/* stage.c: a group of equations as a kernel: stages, indices that all equations share, locals.

   requires: the group's loops chosen (group.c). Equations are rewritten in place: new indices, the same value at every
   point. Each equation goes to the earliest stage that its reads allow and whose loops it can share; else it gets a
   stage of its own. */
#include "internal.h"

#include <ctype.h>

enum { MOST_SCRATCH = 4096 };

struct build {
    struct fusion *f;
    const struct group *group;
    struct ir_kernel *kernel;
    int *stage_of; /* by number: stage + 1 */
    struct ir_index *parallel[MOST_LOOPS];
};

/* How the indices of one equation are renamed. */
struct renaming {
    struct ir_index *from[2 * MOST_LOOPS], *to[2 * MOST_LOOPS];
    int count, fixed; /* the first `fixed` run along parallel loops */
};

static struct ir_index *renamed(const struct renaming *r, const struct ir_index *index)
{
    for (int i = 0; index && i < r->count; i++)
        if (r->from[i] == index)
            return r->to[i];
    return NULL;
}

static bool taken(const struct renaming *r, const struct ir_index *to)
{
    for (int i = 0; i < r->count; i++)
        if (r->to[i] == to)
            return true;
    return false;
}

static void add_index(struct renaming *r, struct ir_index *from, struct ir_index *to)
{
    if (r->count == 2 * MOST_LOOPS)
        bug("an equation has more than %d indices", 2 * MOST_LOOPS);
    r->from[r->count] = from;
    r->to[r->count++] = to;
}

/* Asks that index from becomes the loop `to`. false: it is another one already. */
static bool ask(struct renaming *r, struct ir_index *from, struct ir_index *to)
{
    for (int i = 0; i < r->count; i++)
        if (r->from[i] == from) {
            if (r->to[i])
                return r->to[i] == to;
            if (from->extent != to->extent || taken(r, to))
                return false;
            r->to[i] = to;
            return true;
        }
    return false;
}

/* Can the read be at the very point at which `writer`, which stands in the stage, is made? Then its loops are asked
 * for. */
static bool same_point(const struct renaming *r, const struct ir_expr *read, struct ir_index *const *axes,
                       struct renaming *out)
{
    *out = *r;
    for (int i = 0; i < read->tensor->rank; i++) {
        struct ir_index *index = ir_form_bare(read->subscripts[i]);

        if (!index || !ask(out, index, axes[i]))
            return false;
    }
    return true;
}

static bool same_point_reversed(const struct renaming *r, const struct ir_expr *read, const struct ir_tensor *e,
                                struct renaming *out)
{
    *out = *r;
    for (int i = 0; i < read->tensor->rank; i++) {
        struct ir_index *index = ir_form_bare(read->subscripts[i]);

        if (!index || !ask(out, e->axes[i], index))
            return false;
    }
    return true;
}

static const struct ir_stage *stage_at(const struct build *b, int s)
{
    return b->kernel->stages.at[s];
}

static bool is_alone(const struct ir_program *p, const struct ir_tensor *e)
{
    return is_contraction(p, e) || (e->reduction == IR_MAP && e->value->kind == IR_READ);
}

/* Renaming that lets e run in stage s next to what is there; false if it cannot. */
static bool fits(const struct build *b, const struct ir_tensor *e, const struct renaming *start, int s,
                 struct renaming *out)
{
    const struct fusion *f = b->f;
    const struct ir_stage *stage = stage_at(b, s);
    const expr_list *reads = &f->uses.reads[e->number];
    struct renaming r = *start, next;
    int last_output = -1;

    if (stage->inner.count != r.count - r.fixed)
        return false;
    /* Its sums fill the registers; a copy may be turned about in them. */
    if (b->group->sequence && (is_alone(f->p, e) || is_alone(f->p, stage->equations.at[0])))
        return false;
    for (int i = 0; i < reads->count; i++) {
        const struct ir_tensor *t = reads->at[i]->tensor;

        if (b->stage_of[t->number] != s + 1 || is_carried(t, e))
            continue;
        if (t->reduction != IR_MAP || !same_point(&r, reads->at[i], t->axes, &next))
            return false;
        r = next;
    }
    for (int i = 0; f->overwrites[e->number] && i < stage->equations.count; i++) {
        expr_list old = {0};

        collect_reads(f->arena, stage->equations.at[i]->value, &old);
        for (int j = 0; j < old.count; j++)
            if (old.at[j]->tensor == f->overwrites[e->number]) {
                if (!same_point_reversed(&r, old.at[j], e, &next))
                    return false;
                r = next;
            }
    }
    for (int i = 0; i < stage->equations.count; i++) {
        expr_list theirs = {0};

        collect_reads(f->arena, stage->equations.at[i]->value, &theirs);
        for (int j = 0; j < theirs.count; j++)
            for (int k = 0; k < reads->count; k++)
                for (int axis = 0; reads->at[k]->tensor == theirs.at[j]->tensor && axis < theirs.at[j]->tensor->rank;
                     axis++) {
                    struct ir_index *from = ir_form_bare(reads->at[k]->subscripts[axis]);
                    struct ir_index *to = ir_form_bare(theirs.at[j]->subscripts[axis]);
                    bool inner = false;

                    for (int l = 0; l < stage->inner.count; l++)
                        inner = inner || stage->inner.at[l] == to;
                    if (from && inner)
                        ask(&r, from, to);
                }
    }
    for (int i = r.fixed; i < r.count; i++)
        for (int j = 0; j < stage->inner.count && !r.to[i]; j++)
            if (stage->inner.at[j]->extent == r.from[i]->extent && !taken(&r, stage->inner.at[j]))
                r.to[i] = stage->inner.at[j];
    for (int i = 0; i < r.count; i++)
        if (!r.to[i])
            return false;
    if (e->reduction != IR_MAP) {
        int previous = -1;

        for (int j = 0; j < stage->inner.count; j++)
            for (int i = 0; i < e->rank; i++)
                if (renamed(&r, e->axes[i]) == stage->inner.at[j])
                    last_output = j;
        for (int i = 0; i < e->reduced_count; i++)
            for (int j = 0; j < stage->inner.count; j++)
                if (renamed(&r, e->reduced[i]) == stage->inner.at[j]) {
                    if (j < last_output || j < previous)
                        return false;
                    previous = j;
                }
    }
    *out = r;
    return true;
}

/* The first stage in which all that e reads of this kernel is there. */
static int earliest_stage(const struct build *b, const struct ir_tensor *e, const struct renaming *start)
{
    const struct fusion *f = b->f;
    const expr_list *reads = &f->uses.reads[e->number];
    struct renaming next;
    int earliest = 0;

    for (int i = 0; i < reads->count; i++) {
        const struct ir_tensor *t = reads->at[i]->tensor;
        int s = is_carried(t, e) ? -1 : b->stage_of[t->number] - 1;

        if (s >= 0 && (t->reduction != IR_MAP || !same_point(start, reads->at[i], t->axes, &next)))
            s++;
        if (s > earliest)
            earliest = s;
    }
    for (int i = 0; f->overwrites[e->number] && i < b->group->equations.count; i++) {
        const struct ir_tensor *other = b->group->equations.at[i];
        int s = b->stage_of[other->number] - 1;
        expr_list old = {0};

        if (s < earliest)
            continue;
        collect_reads(f->arena, other->value, &old);
        for (int j = 0; j < old.count; j++)
            if (old.at[j]->tensor == f->overwrites[e->number])
                earliest = same_point_reversed(start, old.at[j], e, &next) ? s : s + 1;
    }
    return earliest;
}

static void rename_equation(struct ir_program *p, struct ir_tensor *e, const struct renaming *r)
{
    struct ir_index **axes = NEW_ARRAY(p->arena, struct ir_index *, e->rank + 1);
    struct ir_index **reduced = NEW_ARRAY(p->arena, struct ir_index *, e->reduced_count + 1);
    const struct ir_form *to[2 * MOST_LOOPS];
    struct ir_index *from[2 * MOST_LOOPS];

    for (int i = 0; i < r->count; i++) {
        from[i] = r->from[i];
        to[i] = ir_form_index(p, r->to[i]);
    }
    for (int i = 0; i < e->rank; i++)
        axes[i] = renamed(r, e->axes[i]);
    for (int i = 0; i < e->reduced_count; i++)
        reduced[i] = renamed(r, e->reduced[i]);
    e->value = ir_substitute(p, e->value, from, to, r->count);
    e->axes = axes;
    e->reduced = reduced;
}

static struct ir_index *fresh(struct ir_program *p, const struct ir_index *like)
{
    return ir_index(p, like->name, like->extent, like->batch);
}

static void place(struct build *b, struct ir_tensor *e)
{
    struct ir_program *p = b->f->p;
    const struct member *m = &b->f->members[e->number];
    struct renaming start = {.count = 0}, r;
    struct ir_stage *stage = NULL;
    int s;

    for (int i = 0; i < b->group->depth; i++)
        add_index(&start, m->slot[i], b->parallel[i]);
    if (e->recurrence)
        add_index(&start, e->axes[e->time], b->kernel->time);
    start.fixed = start.count;
    for (int i = 0; i < e->rank; i++)
        if (!renamed(&start, e->axes[i]))
            add_index(&start, e->axes[i], NULL);
    for (int i = 0; i < e->reduced_count; i++)
        if (!renamed(&start, e->reduced[i]))
            add_index(&start, e->reduced[i], NULL);
    for (s = earliest_stage(b, e, &start); s < b->kernel->stages.count && !stage; s++)
        if (fits(b, e, &start, s, &r))
            stage = b->kernel->stages.at[s];
    if (stage) {
        s--;
    } else {
        stage = NEW(p->arena, struct ir_stage);
        r = start;
        for (int i = r.fixed; i < r.count; i++) {
            r.to[i] = fresh(p, r.from[i]);
            list_add(p->arena, stage->inner, r.to[i]);
        }
        s = b->kernel->stages.count;
        list_add(p->arena, b->kernel->stages, stage);
    }
    rename_equation(p, e, &r);
    b->f->uses.reads[e->number] = (expr_list){0};
    collect_reads(b->f->arena, e->value, &b->f->uses.reads[e->number]);
    list_add(p->arena, stage->equations, e);
    b->stage_of[e->number] = s + 1;
}

static bool reads_another_step(const struct build *b, const struct ir_tensor *reader, const struct ir_tensor *t)
{
    const expr_list *reads = &b->f->uses.reads[reader->number];

    for (int i = 0; t->recurrence && i < reads->count; i++)
        if (reads->at[i]->tensor == t && ir_form_bare(reads->at[i]->subscripts[t->time]) != b->kernel->time)
            return true;
    return false;
}

/* Marks what never leaves the kernel. */
static void mark_local(const struct build *b, struct ir_tensor *e)
{
    const struct fusion *f = b->f;
    const tensor_list *readers = &f->uses.readers[e->number];
    int64_t scratch = 1;
    bool later = false;

    if (f->uses.kept[e->number] || e == b->group->source || f->members[e->number].in_parts ||
        f->members[e->number].by_image || !readers->count ||
        (b->group->alone && !b->group->product && !b->group->sequence))
        return;
    for (int i = 0; i < readers->count; i++) {
        if (!b->stage_of[readers->at[i]->number] || reads_another_step(b, readers->at[i], e))
            return;
        later = later || b->stage_of[readers->at[i]->number] != b->stage_of[e->number];
    }
    for (int i = 0; i < e->rank; i++) {
        bool parallel = e->recurrence && i == e->time;

        for (int j = 0; j < b->group->depth; j++)
            parallel = parallel || b->parallel[j] == e->axes[i];
        scratch *= parallel ? 1 : e->axes[i]->extent;
    }
    if (!later || scratch <= MOST_SCRATCH)
        e->region = IR_LOCAL;
}

/* A C identifier: the name of the equation with the most points that is not local, its last component. */
static const char *kernel_name(struct ir_program *p, const struct ir_kernel *kernel)
{
    const struct ir_tensor *main = NULL;
    char *name;

    for (int i = 0; i < kernel->stages.count; i++)
        for (int j = 0; j < kernel->stages.at[i]->equations.count; j++) {
            const struct ir_tensor *e = kernel->stages.at[i]->equations.at[j];

            if (!main || (e->region != IR_LOCAL && (main->region == IR_LOCAL || ir_elements(e) > ir_elements(main))))
                main = e;
        }
    name = arena_printf(p->arena, "k%d_%s", p->kernels.count + 1, main->name);
    for (char *c = name; *c; c++)
        if (!isalnum((unsigned char)*c))
            *c = '_';
    return name;
}

/* The index object that all equations of a recurrence have for its time. */
static struct ir_index *time_of(struct fusion *f, const struct ir_tensor *e)
{
    struct ir_index *index;

    for (int i = 0; i < f->times.count; i++)
        if (f->times.at[i].recurrence == e->recurrence)
            return f->times.at[i].index;
    index = fresh(f->p, e->axes[e->time]);
    list_add(f->arena, f->times, (struct time_index){e->recurrence, index});
    return index;
}

/* Scatters and opaque operations stand in their kernel as they are. */
static void place_alone(struct ir_program *p, struct ir_kernel *kernel, struct ir_tensor *t)
{
    struct ir_stage *stage = NEW(p->arena, struct ir_stage);

    if (t->recurrence) {
        t->axes = arena_copy(p->arena, t->axes, sizeof(struct ir_index *) * (size_t)t->rank);
        t->axes[t->time] = kernel->time;
    }
    kernel->kind = t->kind == IR_OPAQUE ? IR_OPAQUE_KERNEL : IR_SCATTER_KERNEL;
    list_add(p->arena, stage->equations, t);
    list_add(p->arena, kernel->stages, stage);
}

/* So has what the frame is made of, if the kernel makes that too. */
static void place_source(struct build *b, struct ir_tensor *source)
{
    struct ir_stage *stage = NEW(b->f->p->arena, struct ir_stage);
    struct renaming r = {.count = 0};

    for (int i = 0; i < source->rank; i++) {
        add_index(&r, source->axes[i], fresh(b->f->p, source->axes[i]));
        list_add(b->f->p->arena, stage->inner, r.to[i]);
    }
    rename_equation(b->f->p, source, &r);
    list_add(b->f->p->arena, stage->equations, source);
    list_add(b->f->p->arena, b->kernel->stages, stage);
    b->stage_of[source->number] = 1;
}

/* The frame of a product over windows has a stage to itself, with loops that are its own axes. */
static void place_frame(struct build *b, struct ir_tensor *frame)
{
    struct ir_program *p = b->f->p;
    struct ir_stage *stage = NEW(p->arena, struct ir_stage);

    for (int i = 0; i < frame->rank; i++)
        list_add(p->arena, stage->inner, frame->axes[i]);
    list_add(p->arena, stage->equations, frame);
    list_add(p->arena, b->kernel->stages, stage);
    b->stage_of[frame->number] = b->kernel->stages.count;
    frame->region = IR_LOCAL;
}

struct ir_kernel *make_kernel(struct fusion *f, const struct group *group)
{
    struct ir_program *p = f->p;
    struct build b = {f, group, NEW(p->arena, struct ir_kernel), NEW_ARRAY(f->arena, int, p->tensors.count + 1), {0}};

    const struct ir_tensor *first = group->product ? group->product : group->equations.at[0];

    b.kernel->kind = !group->product ? IR_NEST : f->tiles ? IR_TILE_KERNEL : IR_PRODUCT_KERNEL;
    b.kernel->stopped = group->stopped;
    for (int i = 0; i < group->depth; i++) {
        b.parallel[i] = fresh(p, f->members[first->number].slot[i]);
        list_add(p->arena, b.kernel->parallel, b.parallel[i]);
    }
    if (group->equations.at[0]->recurrence) {
        b.kernel->recurrence = group->equations.at[0]->recurrence;
        b.kernel->time = time_of(f, group->equations.at[0]);
    }
    if (group->source)
        place_source(&b, group->source);
    if (group->frame)
        place_frame(&b, group->frame);
    if (group->product)
        place(&b, group->product);
    for (int i = 0; i < group->equations.count; i++)
        if (group->equations.at[i] == group->product || group->equations.at[i] == group->source)
            continue;
        else if (group->equations.at[i]->kind == IR_EQUATION && !group->equations.at[i]->targets)
            place(&b, group->equations.at[i]);
        else
            place_alone(p, b.kernel, group->equations.at[i]);
    for (int i = 0; i < group->equations.count; i++)
        mark_local(&b, group->equations.at[i]);
    b.kernel->name = kernel_name(p, b.kernel);
    return b.kernel;
}
