/* inline.c: repeats a map in the equations that read it where that is cheaper than to store it.

   requires: no kernels yet. maintains: every value, bit for bit (where precisions differ an equation is repeated as an
   equation). breaks: the list of tensors (what nobody reads any more goes).
   A mask that is drawn reads no memory: it is drawn again by each equation that multiplies with it, forward and
   backward. A map of one tensor that must be in memory anyway (a product, a leaf) costs each reader a few operations,
   where storing it costs a write and the reads. The choice counts bytes of the tensors of full size, and rests on the
   program alone. */
#include "internal.h"

/* Operations a point that computing again may cost each reader: about the time of reading a vector from L2. */
enum { CHEAP = 24, TRIFLING = 2, MOST_NODES = 160 };

/* Counted up to one more than MOST_NODES. */
static int nodes_of(struct arena *arena, const struct ir_expr *e, expr_list *seen)
{
    if (seen->count > MOST_NODES)
        return seen->count;
    for (int i = 0; i < seen->count; i++)
        if (seen->at[i] == e)
            return seen->count;
    list_add(arena, *seen, e);
    if (e->kind == IR_APPLY)
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            nodes_of(arena, e->arguments[i], seen);
    if (e->kind == IR_READ && e->otherwise)
        nodes_of(arena, e->otherwise, seen);
    return seen->count;
}

struct inlining {
    struct ir_program *p;
    struct arena *arena;
    struct uses uses;
    bool small;
};

/* Is the equation a product, which reads each number of its operands many times? */
static bool multiplies(const struct inlining *in, const struct ir_tensor *e)
{
    return is_tiled(in->p, e) || (in->small && is_contraction(in->p, e));
}

static bool comes_from_memory(const struct ir_tensor *t)
{
    return t->kind != IR_DRAW && t->kind != IR_SCALAR;
}

/* Is the tensor in memory whatever this pass decides? Reductions end loops, so their results nearly always are. */
static bool stored_anyway(const struct inlining *in, const struct ir_tensor *t)
{
    if (t->kind != IR_EQUATION || t->reduction != IR_MAP || in->uses.kept[t->number])
        return true;
    for (int i = 0; i < in->uses.readers[t->number].count; i++)
        if (multiplies(in, in->uses.readers[t->number].at[i]))
            return true;
    return false;
}

static bool reads_tensor(const struct inlining *in, const struct ir_tensor *reader, const struct ir_tensor *t)
{
    const expr_list *reads = &in->uses.reads[reader->number];

    for (int i = 0; i < reads->count; i++)
        if (reads->at[i]->tensor == t)
            return true;
    return false;
}

/* Can the reader find it at the same point of its loops, so that it never leaves a register? */
static bool read_in_place(const struct inlining *in, const struct ir_tensor *reader, const struct ir_tensor *t)
{
    const expr_list *reads = &in->uses.reads[reader->number];

    for (int i = 0; i < reads->count; i++) {
        if (reads->at[i]->tensor != t)
            continue;
        for (int j = 0; j < t->rank; j++) {
            const struct ir_index *index = ir_form_bare(reads->at[i]->subscripts[j]);

            if (!index || index->extent != t->axes[j]->extent)
                return false;
        }
    }
    return true;
}

/* A map that only the map r reads stays in a register, unless r itself may be repeated in what reads it. */
static bool may_go_further(const struct inlining *in, const struct ir_tensor *r, double flops)
{
    const tensor_list *readers = &in->uses.readers[r->number];

    if (!is_plain(r) || r->reduction != IR_MAP || in->uses.kept[r->number] || readers->count < 2 || r->single ||
        expression_flops(r->value) + flops > CHEAP)
        return false;
    for (int i = 0; i < readers->count; i++)
        if (multiplies(in, readers->at[i]) || !is_plain(readers->at[i]))
            return false;
    return true;
}

static bool draws(const struct inlining *in, const struct ir_tensor *t)
{
    const expr_list *reads = &in->uses.reads[t->number];

    for (int i = 0; i < reads->count; i++)
        if (reads->at[i]->tensor->kind == IR_DRAW && reads->at[i]->tensor->rank > 1)
            return true;
    return false;
}

/* A reduction of t down its columns: along t's last axis it has an output. Random numbers are drawn along rows. */
static bool runs_down_columns(const struct inlining *in, const struct ir_tensor *reader, const struct ir_tensor *t)
{
    const expr_list *reads = &in->uses.reads[reader->number];

    if (reader->reduction == IR_MAP || t->rank < 2)
        return false;
    for (int i = 0; i < reads->count; i++)
        for (int j = 0; reads->at[i]->tensor == t && j < reader->rank; j++)
            if (ir_form_bare(reads->at[i]->subscripts[t->rank - 1]) == reader->axes[j])
                return true;
    return false;
}

static bool worth_repeating(const struct inlining *in, const struct ir_tensor *t)
{
    const tensor_list *readers = &in->uses.readers[t->number];
    double flops = expression_flops(t->value);
    int64_t elements = ir_elements(t), stored, repeated = 0;
    tensor_list big = {0};

    if (in->uses.kept[t->number] || t->reduction != IR_MAP || !readers->count)
        return false;
    for (int i = 0; i < readers->count; i++) {
        if (multiplies(in, readers->at[i]) || readers->at[i]->kind == IR_OPAQUE || readers->at[i]->targets)
            return false;
        if (iteration_points(readers->at[i]) > 2 * elements && flops > TRIFLING)
            return false;
        if (draws(in, t) && runs_down_columns(in, readers->at[i], t))
            return false;
    }
    /* What a small program stores is in the first cache when it is read. */
    if (flops > CHEAP || (in->small && readers->count > 1 && (flops > TRIFLING || draws(in, t))))
        return false;
    for (int i = 0; i < in->uses.reads[t->number].count; i++) {
        const struct ir_tensor *x = in->uses.reads[t->number].at[i]->tensor;
        bool known = false;

        if (!comes_from_memory(x) || 8 * ir_elements(x) < elements)
            continue;
        if (!stored_anyway(in, x))
            return false;
        for (int j = 0; j < big.count; j++)
            known = known || big.at[j] == x;
        if (!known)
            list_add(in->arena, big, (struct ir_tensor *)x);
    }
    if (!big.count)
        return true;
    if (readers->count == 1 && read_in_place(in, readers->at[0], t) && !may_go_further(in, readers->at[0], flops))
        return false;
    stored = stored_bytes(in->p, t) * readers->count;
    for (int i = 0; i < big.count; i++) {
        stored += stored_bytes(in->p, big.at[i]);
        for (int j = 0; j < readers->count; j++)
            if (!reads_tensor(in, readers->at[j], big.at[i]))
                repeated += stored_bytes(in->p, big.at[i]);
    }
    return repeated <= stored;
}

static const struct ir_expr *replace(struct ir_program *p, const struct ir_expr *read, void *context)
{
    return read->tensor == context ? inlined_read(p, read) : read;
}

static void repeat(struct inlining *in, struct ir_tensor *t)
{
    const tensor_list *readers = &in->uses.readers[t->number];
    const struct ir_expr **values = NEW_ARRAY(in->arena, const struct ir_expr *, readers->count + 1);

    for (int i = 0; i < readers->count; i++) {
        expr_list seen = {0};

        values[i] = rewrite(in->p, readers->at[i]->value, NULL, NULL, 0, replace, t);
        if (nodes_of(in->arena, values[i], &seen) > MOST_NODES)
            return;
    }
    for (int i = 0; i < readers->count; i++) {
        readers->at[i]->value = values[i];
        note_reads(in->arena, &in->uses, readers->at[i]);
    }
    in->uses.readers[t->number] = (tensor_list){0};
}

/* Can a node of a single equation's value differ between precisions? Its operands are rounded too. */
static bool differs_in_f32(const struct ir_expr *e, const void *unused)
{
    const int64_t exact = 1 << 24;

    (void)unused;
    switch (e->kind) {
    case IR_CONSTANT:
        return (double)(float)e->number != e->number;
    case IR_FORM:
        return e->low < -exact || e->high > exact;
    case IR_READ:
        return e->tensor->kind != IR_DRAW && !e->tensor->whole && !(e->tensor->kind == IR_EQUATION && e->tensor->single);
    case IR_APPLY:
        return !e->whole || e->low < -exact || e->high > exact;
    }
    return true;
}

/* May the value be computed as part of each reader's? */
static bool may_be_part(const struct inlining *in, const struct ir_tensor *t)
{
    const tensor_list *readers = &in->uses.readers[t->number];

    if (t->single && ir_any(t->value, differs_in_f32, NULL))
        return false;
    for (int i = 0; i < readers->count; i++)
        if (readers->at[i]->single && !t->single)
            return false;
    return true;
}

/* Where the precision differs each reader gets an equation of its own, which joins the reader's kernel. */
static void repeat_as_equations(struct inlining *in, struct ir_tensor *t)
{
    tensor_list readers = in->uses.readers[t->number];

    for (int i = 0; i < readers.count; i++)
        if (!read_in_place(in, readers.at[i], t) || !is_plain(readers.at[i]))
            return;
    for (int i = 1; i < readers.count; i++) {
        struct ir_tensor *again =
            ir_equation(in->p, t->name, t->axes, t->rank, IR_MAP, NULL, 0, t->value, t->single, t->origin);

        insert_before(in->p, readers.at[i], again);
        readers.at[i]->value = ir_retarget(in->p, readers.at[i]->value, &t, &again, 1);
    }
    if (readers.count > 1)
        in->uses = uses_of(in->arena, in->p);
}

void inline_producers(struct ir_program *p, bool small)
{
    struct inlining in = {p, arena_new(), {0}, small};

    in.uses = uses_of(in.arena, p);
    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (!is_plain(t) || !worth_repeating(&in, t))
            continue;
        if (may_be_part(&in, t))
            repeat(&in, t);
        else
            repeat_as_equations(&in, t);
    }
    drop_dead(p);
    arena_free(in.arena);
}
