/* verify_kernels.c: the contract of kernels, as ir.h states it: what an equation of a kernel may be, what it may read
   of what its kernel makes, what may be local, and what may be written in place. */
#include "verify.h"

/* What ir.h calls a map, an inner reduction, a reduction in parts. */
enum role { NOT_PLACED, A_MAP, INNER_REDUCTION, REDUCTION_IN_PARTS };
struct placed {
    enum role role;
    int kernel, stage, position;
};
struct kernels {
    struct verifier *v;
    struct placed *of; /* by tensor->number */
};

enum { SCRATCH_ELEMENTS = 4096 };

/* ---- where each equation is, and as what ---- */

static int count_in(struct ir_index *const *indices, int count, struct ir_index *const *among, int among_count)
{
    int in = 0;

    for (int i = 0; i < count; i++)
        in += index_in(among, among_count, indices[i]);
    return in;
}

static enum role role_of(const struct ir_kernel *kernel, const struct ir_stage *stage, const struct ir_tensor *t)
{
    int parallel = kernel->parallel.count, inner = stage->inner.count;
    int outer_outputs = count_in(t->axes, t->rank, kernel->parallel.at, parallel);
    int inner_outputs = count_in(t->axes, t->rank, stage->inner.at, inner);
    int outer_reduced = count_in(t->reduced, t->reduced_count, kernel->parallel.at, parallel);
    int inner_reduced = count_in(t->reduced, t->reduced_count, stage->inner.at, inner);

    if (outer_outputs + inner_outputs != t->rank || outer_reduced + inner_reduced != t->reduced_count ||
        outer_outputs + outer_reduced != parallel || inner_outputs + inner_reduced != inner)
        return NOT_PLACED;
    if (t->reduction == IR_MAP)
        return A_MAP;
    if (!outer_reduced)
        return INNER_REDUCTION;
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

static bool place_kernel(struct kernels *k, int number)
{
    const struct ir_kernel *kernel = k->v->p->kernels.at[number];

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

            if (!listed(k->v->p, t) || t->kind != IR_EQUATION)
                return broken(k->v, "kernel %s computes %s, which is no equation of the program", kernel->name,
                              t->name);
            placed = &k->of[t->number];
            if (placed->role != NOT_PLACED)
                return broken(k->v, "equation %s is computed twice", t->name);
            *placed = (struct placed){role_of(kernel, stage, t), number, s, i};
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
    if (kernel->kind == IR_PRODUCT_KERNEL && (kernel->stages.count != 1 || kernel->stages.at[0]->equations.count != 1 ||
                                              kernel->stages.at[0]->equations.at[0]->reduction != IR_SUM ||
                                              kernel->parallel.count != kernel->stages.at[0]->equations.at[0]->rank))
        return broken(k->v, "the product kernel %s is not one sum, parallel over its outputs", kernel->name);
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

static void check_equation_read(struct reader *reader, const struct ir_expr *read)
{
    const struct ir_program *p = reader->k->v->p;
    const struct ir_tensor *t = read->tensor, *q = reader->equation;
    const struct placed *made = &reader->k->of[t->number], *here = &reader->k->of[q->number];
    const struct ir_kernel *kernel = p->kernels.at[here->kernel];

    if (made->role == NOT_PLACED)
        broken(reader->k->v, "kernel %s: %s reads %s, which no kernel computes", kernel->name, q->name, t->name);
    else if (made->kernel > here->kernel)
        broken(reader->k->v, "kernel %s: %s reads %s, which a later kernel computes", kernel->name, q->name, t->name);
    else if (made->kernel < here->kernel && t->region == IR_LOCAL)
        broken(reader->k->v, "kernel %s: %s reads %s, which is local to another kernel", kernel->name, q->name,
               t->name);
    else if (made->kernel < here->kernel)
        return;
    else if (made->role == REDUCTION_IN_PARTS)
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

    if (read->tensor->kind == IR_EQUATION)
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

    if (read->tensor->kind == IR_EQUATION &&
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
            ir_reads(local.equation->value, note_stage, &local);
        }
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        int64_t scratch = 1;

        if (k->of[i].role == NOT_PLACED || t->region != IR_LOCAL)
            continue;
        if (k->of[i].role == REDUCTION_IN_PARTS)
            return broken(k->v, "%s is local and a reduction in parts", t->name);
        for (int a = 0; a < t->rank; a++)
            if (!index_in(p->kernels.at[k->of[i].kernel]->parallel.at, p->kernels.at[k->of[i].kernel]->parallel.count,
                          t->axes[a]))
                scratch = saturating_multiply(scratch, t->axes[a]->extent);
        if (local.outside[i] && scratch > SCRATCH_ELEMENTS)
            return broken(k->v, "%s is local and needs %lld elements of scratch; expected at most %d", t->name,
                          (long long)scratch, SCRATCH_ELEMENTS);
    }
    return true;
}

static bool check_needed(struct kernels *k)
{
    const struct ir_program *p = k->v->p;

    for (int i = 0; i < p->updates.count + p->outputs.count; i++) {
        const struct ir_tensor *t =
            i < p->updates.count ? p->updates.at[i].value : p->outputs.at[i - p->updates.count].tensor;

        if (t->kind == IR_EQUATION && k->of[t->number].role == NOT_PLACED)
            return broken(k->v, "%s is an output or an update, but no kernel computes it", t->name);
        if (t->region == IR_LOCAL)
            return broken(k->v, "%s is an output or an update, but local to its kernel", t->name);
    }
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

            ir_reads(reader.equation->value, check_one_read, &reader);
        }
    return !v->message && check_needed(&k) && check_locals(&k);
}
