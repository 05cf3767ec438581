/* verify_kernels.c: the contract of kernels, as ir.h states it: what an equation of a kernel may be, what it may read
   of what its kernel makes, what may be local, and what may be written in place. */
#include "verify.h"

/* What ir.h calls a map, an inner reduction, a reduction in parts; a scatter or an opaque tensor. */
enum role { NOT_PLACED, A_MAP, A_FRAME, INNER_REDUCTION, IMAGE_SUM, REDUCTION_IN_PARTS, ALONE };
struct placed {
    enum role role;
    int kernel, stage, position;
};
struct kernels {
    struct verifier *v;
    struct placed *of; /* by tensor->number */
};

/* ---- where each equation is, and as what ---- */

static int count_in(struct ir_index *const *indices, int count, struct ir_index *const *among, int among_count)
{
    int in = 0;

    for (int i = 0; i < count; i++)
        in += index_in(among, among_count, indices[i]);
    return in;
}

/* Its outputs are the first of the kernel's indices and the last one, what it sums over is between them. */
static bool sums_an_image(const struct ir_kernel *kernel, const struct ir_tensor *t)
{
    int parallel = kernel->parallel.count, images = 0;

    while (images < parallel && index_in(t->axes, t->rank, kernel->parallel.at[images]))
        images++;
    return images && images + 1 == t->rank && t->axes[t->rank - 1] == kernel->parallel.at[parallel - 1];
}

static enum role role_of(const struct ir_kernel *kernel, const struct ir_stage *stage, const struct ir_tensor *t)
{
    int parallel = kernel->parallel.count, inner = stage->inner.count;
    int outer_outputs = count_in(t->axes, t->rank, kernel->parallel.at, parallel);
    int inner_outputs = count_in(t->axes, t->rank, stage->inner.at, inner);
    int outer_reduced = count_in(t->reduced, t->reduced_count, kernel->parallel.at, parallel);
    int inner_reduced = count_in(t->reduced, t->reduced_count, stage->inner.at, inner);

    if (t->targets || t->kind == IR_OPAQUE || outer_outputs + inner_outputs + (t->recurrence != NULL) != t->rank ||
        outer_reduced + inner_reduced != t->reduced_count || outer_outputs + outer_reduced != parallel ||
        inner_outputs + inner_reduced != inner)
        return NOT_PLACED;
    if (t->reduction == IR_MAP)
        return A_MAP;
    if (!outer_reduced)
        return INNER_REDUCTION;
    if (kernel->kind == IR_TILE_KERNEL && t->reduction == IR_SUM && !inner && sums_an_image(kernel, t))
        return IMAGE_SUM;
    return outer_outputs || t->reduction == IR_ARGMAX || t->reduction == IR_ARGMIN ? NOT_PLACED : REDUCTION_IN_PARTS;
}

/* In the stage's order of loops, no output stands after something reduced. */
static bool outputs_stand_first(const struct ir_stage *stage, const struct ir_tensor *t)
{
    bool reducing = false;

    for (int i = 0; i < stage->inner.count; i++) {
        bool reduced = index_in(t->reduced, t->reduced_count, stage->inner.at[i]);

        if (reducing && !reduced)
            return false;
        reducing = reduced;
    }
    return true;
}

static bool check_loops(struct verifier *v, const struct ir_kernel *kernel, const struct ir_stage *stage)
{
    for (int i = 0; i < stage->inner.count; i++)
        if (index_in(stage->inner.at, i, stage->inner.at[i]) ||
            index_in(kernel->parallel.at, kernel->parallel.count, stage->inner.at[i]))
            return broken(v, "kernel %s loops over %s twice", kernel->name, stage->inner.at[i]->name);
    return true;
}

static bool made_by_kernels(const struct ir_tensor *t)
{
    return t->kind == IR_EQUATION || t->kind == IR_OPAQUE;
}

/* The kernel that computes a scatter or an opaque tensor computes nothing else and loops over nothing. */
static bool check_alone(struct verifier *v, const struct ir_kernel *kernel)
{
    bool opaque = kernel->kind == IR_OPAQUE_KERNEL;
    const struct ir_tensor *t;

    if (kernel->parallel.count || kernel->stages.count != 1 || kernel->stages.at[0]->inner.count ||
        kernel->stages.at[0]->equations.count != 1)
        return broken(v, "kernel %s is not one %s alone, without indices", kernel->name,
                      opaque ? "opaque tensor" : "scatter");
    t = kernel->stages.at[0]->equations.at[0];
    return (opaque ? t->kind == IR_OPAQUE : t->targets != NULL) ||
           broken(v, "kernel %s: %s is no %s", kernel->name, t->name, opaque ? "opaque tensor" : "scatter");
}

/* All equations of a kernel are of its recurrence, or of none, and have its time, over which it does not loop. */
static bool check_time(struct verifier *v, const struct ir_kernel *kernel, const struct ir_tensor *t)
{
    if (t->recurrence != kernel->recurrence)
        return broken(v, "kernel %s and its equation %s are not of the same recurrence", kernel->name, t->name);
    if ((kernel->recurrence != NULL) != (kernel->time != NULL))
        return broken(v, "kernel %s has a recurrence or a time, but not both", kernel->name);
    if (t->recurrence && t->axes[t->time] != kernel->time)
        return broken(v, "kernel %s runs over %s; the time of its equation %s is another index", kernel->name,
                      kernel->time->name, t->name);
    if (kernel->time && index_in(t->reduced, t->reduced_count, kernel->time))
        return broken(v, "kernel %s: equation %s reduces over its time", kernel->name, t->name);
    return true;
}

static bool has_one_map(const struct ir_stage *stage)
{
    return stage->equations.count == 1 && stage->equations.at[0]->kind == IR_EQUATION &&
           stage->equations.at[0]->reduction == IR_MAP;
}

/* How many stages stand before the product: of the frame of one over windows, and of what that is made of. */
static int stages_before(const struct ir_kernel *kernel)
{
    int s = 0;

    while (kernel->kind == IR_TILE_KERNEL && s < 2 && s + 1 < kernel->stages.count && has_one_map(kernel->stages.at[s]))
        s++;
    return s;
}

/* Has the stage the frame, or what that is made of? */
static bool has_frame(const struct ir_kernel *kernel, const struct ir_stage *stage)
{
    for (int s = 0; s < stages_before(kernel); s++)
        if (kernel->stages.at[s] == stage)
            return true;
    return false;
}

static bool check_frame(struct verifier *v, const struct ir_kernel *kernel)
{
    int before = stages_before(kernel);

    for (int s = 0; s < before; s++) {
        const struct ir_stage *stage = kernel->stages.at[s];
        const struct ir_tensor *t = stage->equations.at[0];

        if (stage->inner.count != t->rank || count_in(t->axes, t->rank, stage->inner.at, stage->inner.count) != t->rank ||
            count_in(t->axes, t->rank, kernel->parallel.at, kernel->parallel.count) ||
            (t->region == IR_LOCAL) != (s + 1 == before))
            return broken(v, "kernel %s: the frame %s is not local, with axes of its own", kernel->name, t->name);
    }
    return true;
}

/* A sum parallel over its outputs; in a tile kernel a frame may stand before it, and stages without loops may follow. */
static bool check_product(struct verifier *v, const struct ir_kernel *kernel)
{
    int at = stages_before(kernel);
    const struct ir_stage *first = kernel->stages.count ? kernel->stages.at[at] : NULL;

    if (at && !check_frame(v, kernel))
        return false;
    if (!first || first->equations.count != 1 || first->equations.at[0]->reduction != IR_SUM ||
        kernel->parallel.count + (kernel->recurrence != NULL) != first->equations.at[0]->rank)
        return broken(v, "the product kernel %s does not begin with one sum, parallel over its outputs", kernel->name);
    if (kernel->kind == IR_PRODUCT_KERNEL && kernel->stages.count > 1)
        return broken(v, "the product kernel %s has more than its sum", kernel->name);
    for (int i = at + 1; i < kernel->stages.count; i++)
        if (kernel->stages.at[i]->inner.count)
            return broken(v, "the tile kernel %s has a stage with loops behind its sum", kernel->name);
    return true;
}

static bool place_kernel(struct kernels *k, int number)
{
    const struct ir_kernel *kernel = k->v->p->kernels.at[number];
    bool alone = kernel->kind == IR_SCATTER_KERNEL || kernel->kind == IR_OPAQUE_KERNEL;

    if (alone && !check_alone(k->v, kernel))
        return false;
    for (int i = 0; i < kernel->parallel.count; i++)
        if (index_in(kernel->parallel.at, i, kernel->parallel.at[i]))
            return broken(k->v, "kernel %s loops over %s twice", kernel->name, kernel->parallel.at[i]->name);
    for (int s = 0; s < kernel->stages.count; s++) {
        const struct ir_stage *stage = kernel->stages.at[s];

        if (!check_loops(k->v, kernel, stage))
            return false;
        for (int i = 0; i < stage->equations.count; i++) {
            const struct ir_tensor *t = stage->equations.at[i];
            struct placed *placed;

            if (!listed(k->v->p, t) || !made_by_kernels(t))
                return broken(k->v, "kernel %s computes %s, which is no equation of the program", kernel->name,
                              t->name);
            if (!check_time(k->v, kernel, t))
                return false;
            placed = &k->of[t->number];
            if (placed->role != NOT_PLACED)
                return broken(k->v, "equation %s is computed twice", t->name);
            *placed = (struct placed){alone                         ? ALONE
                                       : has_frame(kernel, stage) ? A_FRAME
                                                                  : role_of(kernel, stage, t),
                                       number, s, i};
            if (placed->role == NOT_PLACED)
                return broken(
                    k->v,
                    "kernel %s: equation %s is neither a map, an inner reduction nor a reduction in parts over "
                    "the indices of its kernel and stage",
                    kernel->name, t->name);
            if (placed->role == INNER_REDUCTION && !outputs_stand_first(stage, t))
                return broken(k->v, "kernel %s: an output of %s stands after what it reduces in its stage",
                              kernel->name, t->name);
        }
    }
    if ((kernel->kind == IR_PRODUCT_KERNEL || kernel->kind == IR_TILE_KERNEL) && !check_product(k->v, kernel))
        return false;
    return true;
}

/* ---- reads ---- */

struct reader {
    struct kernels *k;
    const struct ir_tensor *equation;
};

/* Is each axis of t (of those in `among`, if given) read at that very index? */
static bool at_own_indices(const struct ir_expr *read, struct ir_index *const *axes, const struct ir_kernel *among)
{
    for (int i = 0; i < read->tensor->rank; i++)
        if ((!among || index_in(among->parallel.at, among->parallel.count, axes[i])) &&
            ir_form_bare(read->subscripts[i]) != axes[i])
            return false;
    return true;
}

/* What the step before has made: all of it is there, but what was local is gone. */
static void check_carried_read(struct reader *reader, const struct ir_tensor *t)
{
    const struct placed *made = &reader->k->of[t->number];

    if (made->role == NOT_PLACED)
        broken(reader->k->v, "%s reads %s of the step before, which no kernel computes", reader->equation->name,
               t->name);
    else if (t->region == IR_LOCAL)
        broken(reader->k->v, "%s reads %s of the step before, which is local to kernel %s", reader->equation->name,
               t->name, reader->k->v->p->kernels.at[made->kernel]->name);
}

static void check_equation_read(struct reader *reader, const struct ir_expr *read)
{
    const struct ir_program *p = reader->k->v->p;
    const struct ir_tensor *t = read->tensor, *q = reader->equation;
    const struct placed *made = &reader->k->of[t->number], *here = &reader->k->of[q->number];
    const struct ir_kernel *kernel = p->kernels.at[here->kernel];
    int64_t shift;

    if (q->recurrence && q->recurrence == t->recurrence && time_shift(q, read, &shift) && shift) {
        check_carried_read(reader, t);
        return;
    }
    if (made->role == NOT_PLACED)
        broken(reader->k->v, "kernel %s: %s reads %s, which no kernel computes", kernel->name, q->name, t->name);
    else if (made->kernel > here->kernel)
        broken(reader->k->v, "kernel %s: %s reads %s, which a later kernel computes", kernel->name, q->name, t->name);
    else if (made->kernel < here->kernel && t->region == IR_LOCAL)
        broken(reader->k->v, "kernel %s: %s reads %s, which is local to another kernel", kernel->name, q->name,
               t->name);
    else if (made->kernel < here->kernel)
        return;
    else if (made->role == REDUCTION_IN_PARTS || made->role == ALONE)
        broken(reader->k->v, "kernel %s: %s reads %s, which is complete only when the kernel ends", kernel->name,
               q->name, t->name);
    else if (made->stage > here->stage || (made->stage == here->stage && made->position >= here->position))
        broken(reader->k->v, "kernel %s: %s reads %s, which is computed after it", kernel->name, q->name, t->name);
    else if (made->stage < here->stage && !at_own_indices(read, t->axes, kernel))
        broken(reader->k->v, "kernel %s: %s reads %s of an earlier stage at another point of its outer loops",
               kernel->name, q->name, t->name);
    else if (made->stage == here->stage && made->role != A_MAP)
        broken(reader->k->v, "kernel %s: %s reads %s, which is complete only when their stage ends", kernel->name,
               q->name, t->name);
    else if (made->stage == here->stage && !at_own_indices(read, t->axes, NULL))
        broken(reader->k->v, "kernel %s: %s reads %s of its own stage at another element", kernel->name, q->name,
               t->name);
}

/* A leaf that is written in place is read before, or by its update, at the element written alone. */
static void check_leaf_read(struct reader *reader, const struct ir_expr *read)
{
    const struct ir_program *p = reader->k->v->p;
    const struct ir_tensor *leaf = read->tensor;
    const struct placed *here = &reader->k->of[reader->equation->number], *writes;

    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_tensor *value = p->updates.at[i].value;

        if (p->updates.at[i].leaf != leaf || value == leaf || value->region == IR_NOWHERE ||
            value->region != leaf->region || value->offset != leaf->offset || value->kind != IR_EQUATION)
            continue;
        writes = &reader->k->of[value->number];
        if (here->kernel < writes->kernel)
            return;
        if (here->kernel > writes->kernel || here->stage > writes->stage ||
            (here->stage == writes->stage && here->position > writes->position) ||
            !at_own_indices(read, value->axes, here->stage < writes->stage ? p->kernels.at[here->kernel] : NULL))
            broken(reader->k->v, "%s reads %s where %s may have written over it", reader->equation->name, leaf->name,
                   value->name);
    }
}

static void check_one_read(const struct ir_expr *read, void *context)
{
    struct reader *reader = context;

    if (made_by_kernels(read->tensor))
        check_equation_read(reader, read);
    else if (read->tensor->kind == IR_PARAMETER || read->tensor->kind == IR_STATE)
        check_leaf_read(reader, read);
}

/* ---- local tensors ---- */

struct local_read {
    struct kernels *k;
    const struct ir_tensor *equation;
    bool *outside; /* by number: read in a stage other than its own */
};

static void note_stage(const struct ir_expr *read, void *context)
{
    const struct local_read *local = context;

    if (made_by_kernels(read->tensor) &&
        local->k->of[read->tensor->number].stage != local->k->of[local->equation->number].stage)
        local->outside[read->tensor->number] = true;
}

static bool check_locals(struct kernels *k)
{
    const struct ir_program *p = k->v->p;
    struct local_read local = {.k = k, .outside = NEW_ARRAY(p->arena, bool, p->tensors.count)};

    for (int i = 0; i < p->tensors.count; i++)
        if (k->of[i].role != NOT_PLACED) {
            local.equation = p->tensors.at[i];
            reads_of(local.equation, note_stage, &local);
        }
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        int64_t scratch = 1;

        if (k->of[i].role == NOT_PLACED || t->region != IR_LOCAL)
            continue;
        if (k->of[i].role == REDUCTION_IN_PARTS || k->of[i].role == ALONE)
            return broken(k->v, "%s is local and %s", t->name,
                          k->of[i].role == ALONE ? "no map or reduction" : "a reduction in parts");
        for (int a = 0; a < t->rank; a++)
            if (!(t->recurrence && a == t->time) &&
                !index_in(p->kernels.at[k->of[i].kernel]->parallel.at, p->kernels.at[k->of[i].kernel]->parallel.count,
                          t->axes[a]))
                scratch = saturating_multiply(scratch, t->axes[a]->extent);
        if (local.outside[i] && k->of[i].role != A_FRAME && scratch > IR_MOST_SCRATCH)
            return broken(k->v, "%s is local and needs %lld elements of scratch; expected at most %d", t->name,
                          (long long)scratch, IR_MOST_SCRATCH);
    }
    return true;
}

static bool check_needed(struct kernels *k)
{
    const struct ir_program *p = k->v->p;

    for (int i = 0; i < p->updates.count + p->outputs.count; i++) {
        const struct ir_tensor *t =
            i < p->updates.count ? p->updates.at[i].value : p->outputs.at[i - p->updates.count].tensor;

        if (made_by_kernels(t) && k->of[t->number].role == NOT_PLACED)
            return broken(k->v, "%s is an output or an update, but no kernel computes it", t->name);
        if (t->region == IR_LOCAL)
            return broken(k->v, "%s is an output or an update, but local to its kernel", t->name);
    }
    return true;
}

/* Of an opaque tensor: earlier kernels have made them, in memory. */
static void check_operands(struct kernels *k, const struct ir_tensor *t)
{
    for (int i = 0; i < 2 && t->operands[i]; i++) {
        const struct ir_tensor *operand = t->operands[i];
        const struct placed *made = &k->of[operand->number];

        if (made_by_kernels(operand) && (made->role == NOT_PLACED || made->kernel >= k->of[t->number].kernel))
            broken(k->v, "%s has the operand %s, which no earlier kernel computes", t->name, operand->name);
        else if (operand->region == IR_LOCAL)
            broken(k->v, "%s has the operand %s, which is local to another kernel", t->name, operand->name);
    }
}

/* The kernels of a recurrence stand together. */
static bool check_runs(struct verifier *v)
{
    const struct ir_program *p = v->p;

    for (int i = 1; i < p->kernels.count; i++)
        for (int j = 0; j < i - 1; j++)
            if (p->kernels.at[i]->recurrence && p->kernels.at[i]->recurrence == p->kernels.at[j]->recurrence &&
                p->kernels.at[i - 1]->recurrence != p->kernels.at[i]->recurrence)
                return broken(v, "the kernels %s and %s of the recurrence %s do not stand together",
                              p->kernels.at[j]->name, p->kernels.at[i]->name, p->kernels.at[i]->recurrence->name);
    return true;
}

bool verify_kernels(struct verifier *v)
{
    const struct ir_program *p = v->p;
    struct kernels k = {.v = v, .of = NEW_ARRAY(p->arena, struct placed, p->tensors.count)};
    struct map *names = map_new(p->arena);

    for (int i = 0; i < p->kernels.count; i++) {
        if (map_get(names, p->kernels.at[i]->name))
            return broken(v, "two kernels are named %s", p->kernels.at[i]->name);
        map_put(names, p->kernels.at[i]->name, p->kernels.at[i]);
        if (!place_kernel(&k, i))
            return false;
    }
    for (int i = 0; i < p->tensors.count && !v->message; i++)
        if (k.of[i].role != NOT_PLACED) {
            struct reader reader = {&k, p->tensors.at[i]};

            reads_of(reader.equation, check_one_read, &reader);
            check_operands(&k, reader.equation);
        }
    return !v->message && check_runs(v) && check_needed(&k) && check_locals(&k);
}
