/* reuse.c: a part of an equation that another equation is all of is read from that.

   requires: no kernels yet. maintains: every value, bit for bit. breaks: values of equations. Where gradients branch, what
   passes a maximum is part of one branch and all of the other:

       d[n, c] = if y[n, c] > 0 then g[n, c] else 0
       h[n, c] = (if y[n, c] > 0 then g[n, c] else 0) + p[n, c]

   h reads d then, one tensor for two, and g may stay in the kernel that makes it. Only of maps that several equations read, which
   are stored as a rule; a part of fewer tensors of full size is as well made again. */
#include "internal.h"

struct reusing {
    struct ir_program *p;
    struct arena *arena;
    struct uses uses;
    struct ir_tensor *whole;   /* whose value is looked for */
    struct ir_index **indices; /* what its axes are in the part at hand */
};

static bool is_reusable(const struct reusing *r, const struct ir_tensor *t)
{
    const expr_list *reads = &r->uses.reads[t->number];
    int full = 0;

    if (!is_plain(t) || t->reduction != IR_MAP || t->whole || !t->rank || t->value->kind != IR_APPLY ||
        r->uses.readers[t->number].count < 2)
        return false;
    for (int i = 0; i < reads->count; i++) {
        bool again = false;

        for (int j = 0; j < i; j++)
            again |= reads->at[j]->tensor == reads->at[i]->tensor;
        if (reads->at[i]->tensor->kind == IR_DRAW)
            return false;
        full += !again && ir_elements(reads->at[i]->tensor) >= ir_elements(t);
    }
    return full > 1;
}

/* Notes what axes of the whole the part has elsewhere, as far as both are the same but for indices. met: of the whole; what is
   of one node in two places is the same in the part too, or it is no such part. */
static void match_indices(struct reusing *r, struct memo *met, const struct ir_expr *whole, const struct ir_expr *part)
{
    if (whole->kind != part->kind || *memo_at(met, whole))
        return;
    *memo_at(met, whole) = part;
    if (whole->kind == IR_READ && whole->tensor == part->tensor) {
        for (int i = 0; i < whole->tensor->rank; i++) {
            struct ir_index *from = ir_form_bare(whole->subscripts[i]), *to = ir_form_bare(part->subscripts[i]);

            for (int k = 0; from && to && k < r->whole->rank; k++)
                if (r->whole->axes[k] == from && from->extent == to->extent)
                    r->indices[k] = to;
        }
    } else if (whole->kind == IR_APPLY && whole->op == part->op) {
        for (int i = 0; i < 3 && whole->arguments[i]; i++)
            match_indices(r, met, whole->arguments[i], part->arguments[i]);
    }
}

/* The read of the whole that the part is, or NULL. */
static const struct ir_expr *read_for(struct reusing *r, const struct ir_expr *part)
{
    int rank = r->whole->rank;
    struct memo met;
    const struct ir_form **to = NEW_ARRAY(r->p->arena, const struct ir_form *, rank);

    if (part->op != r->whole->value->op)
        return NULL;
    for (int i = 0; i < rank; i++)
        r->indices[i] = NULL;
    memo_begin(&met);
    match_indices(r, &met, r->whole->value, part);
    memo_end(&met);
    for (int i = 0; i < rank; i++) {
        if (!r->indices[i])
            return NULL;
        to[i] = ir_form_index(r->p, r->indices[i]);
    }
    if (ir_substitute(r->p, r->whole->value, r->whole->axes, to, rank) != part)
        return NULL;
    return ir_read(r->p, r->whole, to, rank, NULL);
}

static const struct ir_expr *with_reads(struct reusing *r, struct memo *done, const struct ir_expr *e)
{
    const struct ir_expr *arguments[3] = {0}, *result;
    bool same = true;

    if (e->kind != IR_APPLY)
        return e;
    if (*memo_at(done, e))
        return *memo_at(done, e);
    result = read_for(r, e);
    if (!result) {
        for (int i = 0; i < 3 && e->arguments[i]; i++) {
            arguments[i] = with_reads(r, done, e->arguments[i]);
            same &= arguments[i] == e->arguments[i];
        }
        result = same ? e : ir_apply(r->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    *memo_at(done, e) = result;
    return result;
}

/* The largest tensor that t reads: what has t's value as a part reads it too. */
static const struct ir_tensor *largest_read(const struct reusing *r, const struct ir_tensor *t)
{
    const expr_list *reads = &r->uses.reads[t->number];
    const struct ir_tensor *largest = NULL;

    for (int i = 0; i < reads->count; i++)
        if (!largest || ir_elements(reads->at[i]->tensor) > ir_elements(largest))
            largest = reads->at[i]->tensor;
    return largest;
}

void reuse_parts(struct ir_program *p)
{
    struct reusing r = {.p = p, .arena = arena_new()};

    r.uses = uses_of(r.arena, p);
    for (int i = 0; i < p->tensors.count; i++) {
        r.whole = p->tensors.at[i];
        if (!is_reusable(&r, r.whole))
            continue;
        tensor_list readers = r.uses.readers[largest_read(&r, r.whole)->number];
        r.indices = NEW_ARRAY(r.arena, struct ir_index *, r.whole->rank);
        for (int k = 0; k < readers.count; k++) {
            struct ir_tensor *e = readers.at[k];
            const struct ir_expr *value;
            struct memo done;

            if (e->number <= r.whole->number || !is_plain(e) || e->single != r.whole->single)
                continue;
            memo_begin(&done);
            value = with_reads(&r, &done, e->value);
            memo_end(&done);
            if (value == e->value)
                continue;
            e->value = value;
            note_reads(r.arena, &r.uses, e);
        }
    }
    arena_free(r.arena);
}
