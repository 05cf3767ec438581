/* rewrite.c: reading and rebuilding programs. */
#include "internal.h"

#include <string.h>

const struct ir_form *read_address(struct ir_program *p, const struct ir_expr *read)
{
    const struct ir_form *sum = ir_form_constant(p, 0);
    const struct ir_tensor *t = read->tensor;
    int64_t stride = 1;

    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->one_step == i + 1)
            continue;
        sum = ir_form_add(p, sum, ir_form_scale(p, read->subscripts[i], stride));
        stride *= t->axes[i]->extent;
    }
    return sum;
}

struct collector {
    struct arena *arena;
    expr_list *out;
};

static void collect(const struct ir_expr *read, void *context)
{
    struct collector *c = context;

    for (int i = 0; i < c->out->count; i++)
        if (c->out->at[i] == read)
            return;
    list_add(c->arena, *c->out, read);
}

void collect_reads(struct arena *arena, const struct ir_expr *e, expr_list *out)
{
    ir_reads(e, collect, &(struct collector){arena, out});
}

static void collect_from(struct collector *c, struct memo *met, const struct ir_expr *e)
{
    const void **place;

    if (e->kind != IR_APPLY || *(place = memo_at(met, e)))
        return;
    *place = e;
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        collect_from(c, met, e->arguments[i]);
    list_add(c->arena, *c->out, e);
}

void collect_applications(struct arena *arena, const struct ir_expr *e, expr_list *out)
{
    struct memo met;

    memo_begin(&met);
    collect_from(&(struct collector){arena, out}, &met, e);
    memo_end(&met);
}

static const struct ir_expr *exchanged(struct ir_program *p, struct memo *done, const struct ir_expr *e)
{
    const struct ir_expr *result = *memo_at(done, e), *arguments[3] = {0};

    if (result || e->kind != IR_APPLY)
        return result ? result : e;
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        arguments[i] = exchanged(p, done, e->arguments[i]);
    result = memcmp(arguments, e->arguments, sizeof arguments) ? ir_apply(p, e->op, arguments[0], arguments[1], arguments[2]) : e;
    *memo_at(done, e) = result;
    return result;
}

const struct ir_expr *exchange(struct ir_program *p, const struct ir_expr *e, const struct ir_expr *part, const struct ir_expr *other)
{
    struct memo done;
    const struct ir_expr *result;

    memo_begin(&done);
    *memo_at(&done, part) = other;
    result = exchanged(p, &done, e);
    memo_end(&done);
    return result;
}

static void form_reads(const struct ir_form *form, void (*visit)(const struct ir_expr *read, void *context),
                       void *context)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;

        if (atom->kind == IR_ATOM_VALUE)
            ir_reads(atom->value, visit, context);
        else if (atom->kind != IR_ATOM_INDEX)
            form_reads(atom->form, visit, context);
    }
}

void for_reads(const struct ir_tensor *t, void (*visit)(const struct ir_expr *read, void *context), void *context)
{
    if (t->kind == IR_EQUATION)
        ir_reads(t->value, visit, context);
    for (int i = 0; t->targets && i < t->rank; i++)
        form_reads(t->targets[i], visit, context);
    for (int i = 0; t->kind == IR_OPAQUE && i < 2 && t->operands[i]; i++)
        visit(&(struct ir_expr){.kind = IR_READ, .tensor = t->operands[i]}, context);
}

/* The reads of an equation, a scatter's targets included; an opaque operation reads its operands at all their points.
 */
static void collect_all(struct arena *arena, struct ir_program *p, const struct ir_tensor *t, expr_list *out)
{
    if (t->kind == IR_EQUATION)
        collect_reads(arena, t->value, out);
    for (int i = 0; t->targets && i < t->rank; i++)
        form_reads(t->targets[i], collect, &(struct collector){arena, out});
    for (int i = 0; t->kind == IR_OPAQUE && i < 2 && t->operands[i]; i++) {
        const struct ir_tensor *operand = t->operands[i];
        const struct ir_form **own = NEW_ARRAY(arena, const struct ir_form *, operand->rank + 1);

        for (int j = 0; j < operand->rank; j++)
            own[j] = ir_form_index(p, operand->axes[j]);
        list_add(arena, *out, ir_read(p, t->operands[i], own, operand->rank, NULL));
    }
}

struct uses uses_of(struct arena *arena, const struct ir_program *p)
{
    int count = p->tensors.count;
    struct uses uses = {NEW_ARRAY(arena, tensor_list, count + 1), NEW_ARRAY(arena, expr_list, count + 1),
                        NEW_ARRAY(arena, bool, count + 1)};

    for (int i = 0; i < count; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (!is_made(t))
            continue;
        collect_all(arena, (struct ir_program *)p, t, &uses.reads[i]);
        for (int j = 0; j < uses.reads[i].count; j++) {
            tensor_list *readers = &uses.readers[uses.reads[i].at[j]->tensor->number];

            if (!readers->count || readers->at[readers->count - 1] != t)
                list_add(arena, *readers, t);
        }
    }
    for (int i = 0; i < p->updates.count; i++)
        uses.kept[p->updates.at[i].value->number] = true;
    for (int i = 0; i < p->outputs.count; i++)
        uses.kept[p->outputs.at[i].tensor->number] = true;
    return uses;
}

void note_reads(struct arena *arena, struct uses *uses, struct ir_tensor *equation)
{
    expr_list *reads = &uses->reads[equation->number];

    *reads = (expr_list){0};
    collect_all(arena, NULL, equation, reads);
    for (int i = 0; i < reads->count; i++) {
        tensor_list *readers = &uses->readers[reads->at[i]->tensor->number];
        int j = readers->count;

        while (j > 0 && readers->at[j - 1]->number > equation->number)
            j--;
        if (j > 0 && readers->at[j - 1] == equation)
            continue;
        list_add(arena, *readers, equation);
        for (int k = readers->count - 1; k > j; k--)
            readers->at[k] = readers->at[k - 1];
        readers->at[j] = equation;
    }
}

/* ---- rewriting ---- */

struct rewriting {
    struct ir_program *p;
    struct ir_index **from;
    const struct ir_form **to;
    int count;
    read_replacer *replace;
    void *context;
    struct memo done;
};

static const struct ir_expr *rewrite_expr(struct rewriting *r, const struct ir_expr *e);

static const struct ir_form *rewrite_form(struct rewriting *r, const struct ir_form *form)
{
    const struct ir_form *sum = ir_form_constant(r->p, form->constant);

    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        const struct ir_form *part = NULL;

        switch (atom->kind) {
        case IR_ATOM_INDEX:
            for (int j = 0; j < r->count && !part; j++)
                if (r->from[j] == atom->index)
                    part = r->to[j];
            if (!part)
                part = ir_form_index(r->p, atom->index);
            break;
        case IR_ATOM_QUOTIENT:
            part = ir_form_quotient(r->p, rewrite_form(r, atom->form), atom->divisor);
            break;
        case IR_ATOM_REMAINDER:
            part = ir_form_remainder(r->p, rewrite_form(r, atom->form), atom->divisor);
            break;
        case IR_ATOM_VALUE:
            part = ir_form_of(r->p, rewrite_expr(r, atom->value));
            break;
        }
        sum = ir_form_add(r->p, sum, ir_form_scale(r->p, part, form->terms[i].coefficient));
    }
    return sum;
}

static const struct ir_expr *rewrite_read(struct rewriting *r, const struct ir_expr *e)
{
    int rank = e->tensor->rank;
    const struct ir_form **subscripts = NEW_ARRAY(r->p->arena, const struct ir_form *, rank + 1);
    const struct ir_expr *otherwise = e->otherwise ? rewrite_expr(r, e->otherwise) : NULL, *read;

    for (int i = 0; i < rank; i++) {
        const struct ir_form *s = rewrite_form(r, e->subscripts[i]);

        if ((s->low < 0 || s->high >= e->tensor->axes[i]->extent) && !otherwise)
            otherwise = e->tensor->whole ? ir_number(r->p, 0) : ir_real(r->p, 0);
        subscripts[i] = s;
    }
    read = ir_read(r->p, e->tensor, subscripts, rank, otherwise);
    return r->replace && read->kind == IR_READ ? r->replace(r->p, read, r->context) : read;
}

static const struct ir_expr *rewrite_expr(struct rewriting *r, const struct ir_expr *e)
{
    const struct ir_expr *to = e, *arguments[3] = {0};

    if (*memo_at(&r->done, e))
        return *memo_at(&r->done, e);
    if (e->kind == IR_FORM) {
        to = ir_of_form(r->p, rewrite_form(r, e->form));
    } else if (e->kind == IR_READ) {
        to = rewrite_read(r, e);
    } else if (e->kind == IR_APPLY) {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = rewrite_expr(r, e->arguments[i]);
        to = ir_apply(r->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    *memo_at(&r->done, e) = to;
    return to;
}

const struct ir_expr *rewrite(struct ir_program *p, const struct ir_expr *e, struct ir_index **from,
                              const struct ir_form **to, int count, read_replacer *replace, void *context)
{
    struct rewriting r = {.p = p, .from = from, .to = to, .count = count, .replace = replace, .context = context};
    const struct ir_expr *result;

    memo_begin(&r.done);
    result = rewrite_expr(&r, e);
    memo_end(&r.done);
    return result;
}

static const struct ir_expr *compare(struct ir_program *p, enum ir_op op, const struct ir_form *form, int64_t bound)
{
    return ir_apply(p, op, ir_of_form(p, form), ir_number(p, (double)bound), NULL);
}

const struct ir_expr *inlined_read(struct ir_program *p, const struct ir_expr *read)
{
    const struct ir_tensor *t = read->tensor;
    const struct ir_expr *inside = NULL, *value = rewrite(p, t->value, t->axes, read->subscripts, t->rank, NULL, NULL);

    for (int i = 0; i < t->rank; i++) {
        const struct ir_form *s = read->subscripts[i];
        const struct ir_expr *test;

        if (s->low < 0) {
            test = compare(p, IR_greater_equal, s, 0);
            inside = inside ? ir_apply(p, IR_and, inside, test, NULL) : test;
        }
        if (s->high >= t->axes[i]->extent) {
            test = compare(p, IR_less, s, t->axes[i]->extent);
            inside = inside ? ir_apply(p, IR_and, inside, test, NULL) : test;
        }
    }
    return inside && read->otherwise ? ir_apply(p, IR_select, inside, value, read->otherwise) : value;
}

/* ---- lists of tensors ---- */

void set_tensors(struct ir_program *p, struct ir_tensor *const *order, int count)
{
    for (int i = 0; i < count; i++)
        p->tensors.at[i] = order[i];
    p->tensors.count = count;
    ir_renumber(p);
}

void insert_before(struct ir_program *p, struct ir_tensor *t, struct ir_tensor *last)
{
    if (p->tensors.at[p->tensors.count - 1] != last)
        bug("%s is not the tensor listed last", last->name);
    ir_find(p, last->name); /* which learns the names of those listed last: all of them are known when the order changes */
    last->number = t->number;
    for (int i = p->tensors.count - 1; i > last->number; i--) {
        p->tensors.at[i] = p->tensors.at[i - 1];
        p->tensors.at[i]->number = i;
    }
    p->tensors.at[last->number] = last;
}

void drop_dead(struct ir_program *p)
{
    struct arena *scratch = arena_new();
    struct uses uses = uses_of(scratch, p);
    bool *needed = NEW_ARRAY(scratch, bool, p->tensors.count + 1);
    tensor_list kept = {0}, queue = {0};

    for (int i = 0; i < p->tensors.count; i++) {
        enum ir_kind kind = p->tensors.at[i]->kind;

        needed[i] = uses.kept[i] || kind == IR_INPUT || kind == IR_PARAMETER || kind == IR_STATE || kind == IR_SCALAR;
        if (needed[i])
            list_add(scratch, queue, p->tensors.at[i]);
    }
    for (int head = 0; head < queue.count; head++) {
        const expr_list *reads = &uses.reads[queue.at[head]->number];

        for (int i = 0; i < reads->count; i++) {
            struct ir_tensor *t = reads->at[i]->tensor;

            if (!needed[t->number])
                list_add(scratch, queue, t);
            needed[t->number] = true;
        }
    }
    for (int i = 0; i < p->tensors.count; i++)
        if (needed[i])
            list_add(scratch, kept, p->tensors.at[i]);
    set_tensors(p, kept.at, kept.count);
    arena_free(scratch);
}

bool mentions(struct arena *arena, const struct ir_expr *e, struct ir_index *const *indices, int count)
{
    ir_index_list found = {0};

    ir_indices(arena, e, &found);
    for (int i = 0; i < count; i++)
        if (ir_is_among(found.at, found.count, indices[i]))
            return true;
    return false;
}

bool reads_at_axes(const struct ir_expr *read, struct ir_index *const *axes)
{
    for (int i = 0; i < read->tensor->rank; i++)
        if (ir_form_bare(read->subscripts[i]) != axes[i])
            return false;
    return true;
}
