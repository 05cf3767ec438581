/* simplify.c: algebra and cleaning on whole programs, in place; returns p.

   requires: a verified program without kernels. maintains: the values of outputs and updates, bit for bit but for the
   two rules below that reassociate (factors, squares); names of what is kept; leaves that have a place in files.

     copies      a map that only reads another tensor is read through (views too: x[n, i // 28, i % 28])

     constants   reads of a map that is one number become the number

     extents     a reduction over an extent of 1 takes the value at 0

     factors     sum[i] a[o] * b[i] * c[i, o] = a[o] * sum[i] b[i] * c[i, o]: factors free of the summed indices
                 leave a sum of products, so that products of two reads stay what they are

     squares     x ^ 2 = x * x; and in a sum to one number, reads of a map that scales a tensor by numbers (a clipped
                 gradient) become that product, so that its factors leave and the norms before and after clipping
                 are one sum

     dead        equations and draws that no output and no update needs go

   Until nothing changes; each rule shrinks the program or moves a factor outwards, so it ends. */
#include "internal.h"

/* Can reads of the map be replaced by what it reads? With an else value only where nothing can be outside the inner
   tensor that is not outside the copy: when the copy has the same axes in some order. */
static bool reads_through(const struct ir_tensor *copy, const struct ir_expr *read)
{
    const struct ir_expr *inner = copy->value;

    if (!read->otherwise)
        return true;
    if (inner->kind != IR_READ)
        return false;
    if (inner->otherwise || inner->tensor->rank != copy->rank)
        return false;
    for (int i = 0; i < inner->tensor->rank; i++) {
        const struct ir_index *index = ir_form_bare(inner->subscripts[i]);

        if (!index || index->extent != inner->tensor->axes[i]->extent)
            return false;
        for (int j = 0; j < i; j++)
            if (ir_form_bare(inner->subscripts[j]) == index)
                return false;
    }
    return true;
}

/* Of a recurrence: of another of its equations, at its own step; who reads that at the copy's step, or one step before,
   reads the original at the same. */
static bool is_copy_in_time(const struct ir_tensor *t)
{
    const struct ir_tensor *inner = t->value->kind == IR_READ ? t->value->tensor : NULL;

    return inner && inner->kind == IR_EQUATION && inner->recurrence == t->recurrence && inner->single == t->single &&
           ir_form_bare(t->value->subscripts[inner->time]) == t->axes[t->time];
}

static bool is_copy(const struct ir_tensor *t)
{
    if (t->kind != IR_EQUATION || t->targets || t->reduction != IR_MAP || t->single ||
        (t->recurrence && !is_copy_in_time(t)))
        return false;
    return (t->value->kind == IR_READ && !t->value->otherwise) || t->value->kind == IR_CONSTANT;
}

static const struct ir_expr *through_copies(struct ir_program *p, const struct ir_expr *read, void *context)
{
    const struct ir_tensor *t = read->tensor;
    const struct ir_expr *inner = t->value;
    const struct ir_form *subscripts[16];

    if (!is_copy(t) || !reads_through(t, read))
        return read;
    if (inner->kind == IR_CONSTANT)
        return ((const struct ir_tensor *)context)->single ? read : inner; /* folding would compute in f64 */
    if (inner->tensor->rank > 16)
        return read;
    for (int i = 0; i < inner->tensor->rank; i++)
        subscripts[i] = ir_form_substitute(p, inner->subscripts[i], t->axes, read->subscripts, t->rank);
    return ir_read(p, inner->tensor, subscripts, inner->tensor->rank, read->otherwise);
}

static bool set_value(struct ir_tensor *t, const struct ir_expr *value)
{
    bool changed = t->value != value;

    t->value = value;
    return changed;
}

/* sum[i: 1] e(i) = e(0), and of several indices only the others stay. */
static bool drop_extents(struct ir_program *p, struct ir_tensor *t)
{
    const struct ir_form *zero = ir_form_constant(p, 0);
    struct ir_index **kept = NEW_ARRAY(p->arena, struct ir_index *, t->reduced_count + 1);
    int count = 0;

    if (t->reduction == IR_MAP || t->single)
        return false;
    for (int i = 0; i < t->reduced_count; i++)
        if (t->reduced[i]->extent != 1)
            kept[count++] = t->reduced[i];
    if (count == t->reduced_count)
        return false;
    for (int i = 0; i < t->reduced_count; i++)
        if (t->reduced[i]->extent == 1)
            t->value = ir_substitute(p, t->value, &t->reduced[i], &zero, 1);
    t->reduced = kept;
    t->reduced_count = count;
    if (count == 0) {
        if (t->reduction == IR_ARGMAX || t->reduction == IR_ARGMIN)
            t->value = ir_number(p, 0);
        t->reduction = IR_MAP;
    }
    return true;
}

static const struct ir_expr *without_squares(struct ir_program *p, const struct ir_expr *e, struct memo *done)
{
    const struct ir_expr *result = e, *arguments[3] = {0};

    if (e->kind != IR_APPLY)
        return e;
    if (*memo_at(done, e))
        return *memo_at(done, e);
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        arguments[i] = without_squares(p, e->arguments[i], done);
    /* A whole square has a range that the product of two unknown signs has not. */
    if (e->op == IR_power && !e->whole && arguments[1]->kind == IR_CONSTANT && arguments[1]->number == 2)
        result = ir_apply(p, IR_multiply, arguments[0], arguments[0], NULL);
    else
        result = ir_apply(p, e->op, arguments[0], arguments[1], arguments[2]);
    *memo_at(done, e) = result;
    return result;
}

static bool expand_squares(struct ir_program *p, struct ir_tensor *t)
{
    struct memo done;
    const struct ir_expr *value;

    memo_begin(&done);
    value = without_squares(p, t->value, &done);
    memo_end(&done);
    return set_value(t, value);
}

static bool has_factors(const struct ir_expr *e)
{
    return e->op == IR_multiply || e->op == IR_divide;
}

/* Is e one read, scaled by reads of tensors of rank 0 and constants? */
static bool scales(struct memo *sizes, const struct ir_expr *e, int *reads)
{
    if (ir_comes_apart(sizes, e, has_factors))
        return scales(sizes, e->arguments[0], reads) &&
               (e->op == IR_multiply ? scales(sizes, e->arguments[1], reads)
                                     : e->arguments[1]->kind == IR_CONSTANT ||
                                           (e->arguments[1]->kind == IR_READ && !e->arguments[1]->tensor->rank));
    if (e->kind == IR_READ && e->tensor->rank && !e->otherwise)
        ++*reads;
    return e->kind == IR_CONSTANT || (e->kind == IR_READ && !e->otherwise);
}

static bool is_scaling(const struct ir_expr *e)
{
    struct memo sizes;
    int reads = 0;
    bool possible;

    memo_begin(&sizes);
    possible = scales(&sizes, e, &reads);
    memo_end(&sizes);
    return possible && reads == 1;
}

static const struct ir_expr *through_scalings(struct ir_program *p, const struct ir_expr *read, void *context)
{
    const struct ir_tensor *t = read->tensor;

    if (!is_plain(t) || t->reduction != IR_MAP || t->single || t->whole || read->otherwise || !t->rank ||
        !is_scaling(t->value))
        return read;
    return inlined_read(p, read);
}

/* ---- factors that leave a sum ---- */

struct factors {
    struct arena *arena;
    expr_list inside, outside;
    struct memo sizes;
};

static void split(struct ir_program *p, struct factors *f, const struct ir_expr *e, const struct ir_tensor *t)
{
    bool apart = ir_comes_apart(&f->sizes, e, has_factors);

    if (apart && e->op == IR_multiply) {
        split(p, f, e->arguments[0], t);
        split(p, f, e->arguments[1], t);
    } else if (apart && !mentions(f->arena, e->arguments[1], t->reduced, t->reduced_count)) {
        split(p, f, e->arguments[0], t);
        list_add(f->arena, f->outside, ir_apply(p, IR_divide, ir_real(p, 1), e->arguments[1], NULL));
    } else if (mentions(f->arena, e, t->reduced, t->reduced_count)) {
        list_add(f->arena, f->inside, e);
    } else {
        list_add(f->arena, f->outside, e);
    }
}

static const struct ir_expr *product_of(struct ir_program *p, const expr_list *list)
{
    const struct ir_expr *e = list->at[0];

    for (int i = 1; i < list->count; i++)
        e = ir_apply(p, IR_multiply, e, list->at[i], NULL);
    return e;
}

/* Makes the sum without the factors a new equation before t, and t a map that multiplies. Only for products of two
   reads or more: elsewhere nothing is gained. */
static bool take_factors_out(struct ir_program *p, struct ir_tensor *t)
{
    struct factors f = {.arena = arena_new()};
    struct ir_tensor *sum;
    const struct ir_form **subscripts = NEW_ARRAY(p->arena, const struct ir_form *, t->rank + 1);
    bool possible = t->reduction == IR_SUM && !t->single && !t->whole, tensors = false;
    struct ir_index **axes = NEW_ARRAY(p->arena, struct ir_index *, t->rank + 1);

    memo_begin(&f.sizes);
    if (possible)
        split(p, &f, t->value, t);
    memo_end(&f.sizes);
    possible = possible && f.inside.count == 2 && f.inside.at[0]->kind == IR_READ && f.inside.at[1]->kind == IR_READ;
    for (int i = 0; i < f.outside.count; i++)
        tensors = tensors || f.outside.at[i]->kind != IR_CONSTANT;
    if (possible && tensors) {
        const struct ir_expr *inside = product_of(p, &f.inside), *outside = product_of(p, &f.outside);

        for (int i = 0; i < t->rank; i++) {
            axes[i] = ir_index(p, t->axes[i]->name, t->axes[i]->extent, t->axes[i]->batch);
            subscripts[i] = ir_form_index(p, axes[i]);
        }
        sum = ir_equation(p, arena_printf(p->arena, "%s_sum", t->name), axes, t->rank, IR_SUM, t->reduced,
                          t->reduced_count, ir_substitute(p, inside, t->axes, subscripts, t->rank), false, t->origin);
        for (int i = 0; i < t->rank; i++)
            subscripts[i] = ir_form_index(p, t->axes[i]);
        t->value = ir_apply(p, IR_multiply, ir_read(p, sum, subscripts, t->rank, NULL), outside, NULL);
        t->reduction = IR_MAP;
        t->reduced_count = 0;
        insert_before(p, t, sum);
    }
    arena_free(f.arena);
    return possible && tensors;
}

static bool reads_alone(struct memo *sizes, const struct ir_expr *e)
{
    if (ir_comes_apart(sizes, e, has_factors) && e->op == IR_multiply)
        return reads_alone(sizes, e->arguments[0]) && reads_alone(sizes, e->arguments[1]);
    return e->kind == IR_CONSTANT || e->kind == IR_READ;
}

/* A product of reads and numbers: what the rule of factors can take apart. */
static bool is_product_of_reads(const struct ir_expr *e)
{
    struct memo sizes;
    bool alone;

    memo_begin(&sizes);
    alone = reads_alone(&sizes, e);
    memo_end(&sizes);
    return alone;
}

struct ir_program *simplify(struct ir_program *p)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (int i = 0; i < p->tensors.count; i++) {
            struct ir_tensor *t = p->tensors.at[i];

            if (t->kind != IR_EQUATION)
                continue;
            changed = set_value(t, rewrite(p, t->value, NULL, NULL, 0, through_copies, t)) || changed;
            changed = (is_plain(t) && drop_extents(p, t)) || changed;
            changed = (!t->single && expand_squares(p, t)) || changed;
            if (!is_plain(t))
                continue;
            if (t->reduction == IR_SUM && t->rank == 0 && !t->single && is_product_of_reads(t->value))
                changed = set_value(t, rewrite(p, t->value, NULL, NULL, 0, through_scalings, NULL)) || changed;
            changed = take_factors_out(p, t) || changed;
        }
        for (int i = 0; i < p->outputs.count; i++)
            if (is_copy(p->outputs.at[i].tensor) && p->outputs.at[i].tensor->value->kind == IR_READ &&
                p->outputs.at[i].tensor->rank == p->outputs.at[i].tensor->value->tensor->rank &&
                p->outputs.at[i].tensor->value->tensor->kind == IR_EQUATION &&
                reads_at_axes(p->outputs.at[i].tensor->value, p->outputs.at[i].tensor->axes)) {
                bool whole_axes = true;
                struct ir_tensor *t = p->outputs.at[i].tensor, *inner = t->value->tensor;

                for (int j = 0; j < t->rank; j++)
                    whole_axes = whole_axes && t->axes[j]->extent == inner->axes[j]->extent;
                if (whole_axes) {
                    p->outputs.at[i].tensor = inner;
                    changed = true;
                }
            }
        drop_dead(p);
    }
    return p;
}
