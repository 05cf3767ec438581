/* substitute.c: walks over expressions: replacement of indices and tensors, free indices, reads. Expressions are DAGs;
   every walk meets a node once. */
#include "internal.h"

#include <string.h>

/* ---- replacement ---- */

struct replacement {
    struct ir_program *p;
    struct ir_index **from;
    const struct ir_form **to;
    int count;
    struct ir_tensor *(*target)(struct ir_tensor *t, void *context); /* NULL: tensors stay */
    void *context;
    struct memo memo;
};

static const struct ir_expr *replace(struct replacement *r, const struct ir_expr *e);

static const struct ir_form *replace_index(struct replacement *r, struct ir_index *index)
{
    for (int i = 0; i < r->count; i++)
        if (r->from[i] == index)
            return r->to[i];
    return ir_form_index(r->p, index);
}

static const struct ir_form *replace_in_atom(struct replacement *r, const struct ir_atom *atom);

static const struct ir_form *replace_in_form(struct replacement *r, const struct ir_form *f)
{
    const struct ir_form *known = *memo_at(&r->memo, f), *result;

    if (known)
        return known;
    result = ir_form_constant(r->p, f->constant);
    for (int i = 0; i < f->count; i++)
        result = ir_form_add(r->p, result,
                             ir_form_scale(r->p, replace_in_atom(r, f->terms[i].atom), f->terms[i].coefficient));
    *memo_at(&r->memo, f) = result;
    return result;
}

static const struct ir_form *replace_in_atom(struct replacement *r, const struct ir_atom *atom)
{
    switch (atom->kind) {
    case IR_ATOM_INDEX:
        return replace_index(r, atom->index);
    case IR_ATOM_QUOTIENT:
        return ir_form_quotient(r->p, replace_in_form(r, atom->form), atom->divisor);
    case IR_ATOM_REMAINDER:
        return ir_form_remainder(r->p, replace_in_form(r, atom->form), atom->divisor);
    case IR_ATOM_VALUE:
        return ir_form_of(r->p, replace(r, atom->value));
    }
    bug("an atom of kind %d", (int)atom->kind);
}

static const struct ir_expr *replace_in_read(struct replacement *r, const struct ir_expr *e)
{
    struct ir_tensor *tensor = r->target ? r->target(e->tensor, r->context) : e->tensor;
    const struct ir_expr *otherwise = e->otherwise ? replace(r, e->otherwise) : NULL;
    const struct ir_form **subscripts = NEW_ARRAY(r->p->arena, const struct ir_form *, e->tensor->rank);

    for (int i = 0; i < e->tensor->rank; i++) {
        subscripts[i] = replace_in_form(r, e->subscripts[i]);
        if (r->count && !otherwise && subscript_place(subscripts[i], tensor->axes[i]) != INSIDE)
            otherwise = ir_number(r->p, 0);
    }
    return ir_read(r->p, tensor, subscripts, e->tensor->rank, otherwise);
}

static const struct ir_expr *replace(struct replacement *r, const struct ir_expr *e)
{
    const struct ir_expr *known = *memo_at(&r->memo, e), *result = e, *arguments[3] = {0};

    if (known)
        return known;
    switch (e->kind) {
    case IR_CONSTANT:
        break;
    case IR_FORM:
        result = ir_of_form(r->p, replace_in_form(r, e->form));
        break;
    case IR_READ:
        result = replace_in_read(r, e);
        break;
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = replace(r, e->arguments[i]);
        if (memcmp(arguments, e->arguments, sizeof arguments))
            result = ir_apply(r->p, e->op, arguments[0], arguments[1], arguments[2]);
        break;
    }
    *memo_at(&r->memo, e) = result;
    return result;
}

const struct ir_expr *ir_substitute(struct ir_program *p, const struct ir_expr *e, struct ir_index **from,
                                    const struct ir_form **to, int count)
{
    struct replacement r = {.p = p, .from = from, .to = to, .count = count};
    const struct ir_expr *result;

    memo_begin(&r.memo);
    result = replace(&r, e);
    memo_end(&r.memo);
    return result;
}

const struct ir_form *ir_form_substitute(struct ir_program *p, const struct ir_form *f, struct ir_index **from,
                                         const struct ir_form **to, int count)
{
    struct replacement r = {.p = p, .from = from, .to = to, .count = count};
    const struct ir_form *result;

    memo_begin(&r.memo);
    result = replace_in_form(&r, f);
    memo_end(&r.memo);
    return result;
}

const struct ir_expr *retarget_by(struct ir_program *p, const struct ir_expr *e,
                                  struct ir_tensor *(*target)(struct ir_tensor *t, void *context), void *context)
{
    struct replacement r = {.p = p, .target = target, .context = context};
    const struct ir_expr *result;

    memo_begin(&r.memo);
    result = replace(&r, e);
    memo_end(&r.memo);
    return result;
}

struct tensor_pairs {
    struct ir_tensor **from, **to;
    int count;
};

static struct ir_tensor *paired(struct ir_tensor *t, void *context)
{
    const struct tensor_pairs *pairs = context;

    for (int i = 0; i < pairs->count; i++)
        if (pairs->from[i] == t)
            return pairs->to[i];
    return t;
}

const struct ir_expr *ir_retarget(struct ir_program *p, const struct ir_expr *e, struct ir_tensor **from,
                                  struct ir_tensor **to, int count)
{
    struct tensor_pairs pairs = {from, to, count};

    return retarget_by(p, e, paired, &pairs);
}

/* ---- walks ---- */

struct walk {
    void (*index)(struct ir_index *index, void *context);    /* or NULL */
    void (*read)(const struct ir_expr *read, void *context); /* or NULL */
    void *context;
    struct memo memo;
};

static void walk(struct walk *w, const struct ir_expr *e);

/* There is nothing to visit in the form. */
static bool is_plain(const struct walk *w, const struct ir_form *f)
{
    for (int i = 0; i < f->count; i++)
        if (w->index || f->terms[i].atom->kind != IR_ATOM_INDEX)
            return false;
    return true;
}

static void walk_form(struct walk *w, const struct ir_form *f)
{
    const void **met;

    if (is_plain(w, f) || *(met = memo_at(&w->memo, f)))
        return;
    *met = f;
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;

        if (atom->kind == IR_ATOM_INDEX && w->index)
            w->index(atom->index, w->context);
        if (atom->form)
            walk_form(w, atom->form);
        if (atom->value)
            walk(w, atom->value);
    }
}

static void walk(struct walk *w, const struct ir_expr *e)
{
    const void **met;

    if (e->kind == IR_CONSTANT || (e->kind == IR_FORM && is_plain(w, e->form)) || *(met = memo_at(&w->memo, e)))
        return;
    *met = e;
    switch (e->kind) {
    case IR_CONSTANT:
        break;
    case IR_FORM:
        walk_form(w, e->form);
        break;
    case IR_READ:
        if (w->read)
            w->read(e, w->context);
        for (int i = 0; i < e->tensor->rank; i++)
            walk_form(w, e->subscripts[i]);
        if (e->otherwise)
            walk(w, e->otherwise);
        break;
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            walk(w, e->arguments[i]);
        break;
    }
}

struct index_set {
    struct arena *arena;
    ir_index_list *list;
};

static void collect(struct ir_index *index, void *context)
{
    struct index_set *set = context;

    if (!ir_is_among(set->list->at, set->list->count, index))
        list_add(set->arena, *set->list, index);
}

void ir_indices(struct arena *arena, const struct ir_expr *e, ir_index_list *set)
{
    struct index_set context = {arena, set};
    struct walk w = {.index = collect, .context = &context};

    memo_begin(&w.memo);
    walk(&w, e);
    memo_end(&w.memo);
}

struct question {
    bool (*holds)(const struct ir_expr *node, const void *context);
    const void *context;
    struct memo memo;
};

static bool any(struct question *q, const struct ir_expr *e)
{
    const void **met = memo_at(&q->memo, e);
    bool found;

    if (*met)
        return false;
    *met = e;
    found = q->holds(e, q->context) || (e->kind == IR_READ && e->otherwise && any(q, e->otherwise));
    for (int i = 0; !found && e->kind == IR_APPLY && i < 3 && e->arguments[i]; i++)
        found = any(q, e->arguments[i]);
    return found;
}

bool ir_any(const struct ir_expr *e, bool (*holds)(const struct ir_expr *node, const void *context), const void *context)
{
    struct question q = {.holds = holds, .context = context};
    bool found;

    memo_begin(&q.memo);
    found = any(&q, e);
    memo_end(&q.memo);
    return found;
}

enum { MANY_PARTS = 1 << 20 };

/* As a tree, counted up to MANY_PARTS. */
static int parts_of(struct memo *sizes, const struct ir_expr *e, bool (*parted)(const struct ir_expr *e))
{
    int parts = 0;

    if (e->kind != IR_APPLY || !parted(e))
        return 1;
    if (*memo_at(sizes, e))
        return (int)(intptr_t)*memo_at(sizes, e);
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        parts += parts_of(sizes, e->arguments[i], parted);
    parts = parts < MANY_PARTS ? parts : MANY_PARTS;
    *memo_at(sizes, e) = (void *)(intptr_t)parts;
    return parts;
}

bool ir_comes_apart(struct memo *sizes, const struct ir_expr *e, bool (*parted)(const struct ir_expr *e))
{
    int large = 0;

    if (e->kind != IR_APPLY || !parted(e))
        return false;
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        large += parts_of(sizes, e->arguments[i], parted) > IR_FEW_PARTS;
    return large < 2;
}

void ir_reads(const struct ir_expr *e, void (*visit)(const struct ir_expr *read, void *context), void *context)
{
    struct walk w = {.read = visit, .context = context};

    memo_begin(&w.memo);
    walk(&w, e);
    memo_end(&w.memo);
}

void reads_of(const struct ir_tensor *t, void (*visit)(const struct ir_expr *read, void *context), void *context)
{
    struct walk w = {.read = visit, .context = context};

    memo_begin(&w.memo);
    if (t->value)
        walk(&w, t->value);
    for (int i = 0; t->targets && i < t->rank; i++)
        walk_form(&w, t->targets[i]);
    memo_end(&w.memo);
}

bool time_shift(const struct ir_tensor *reader, const struct ir_expr *read, int64_t *shift)
{
    const struct ir_form *at = read->subscripts[read->tensor->time];

    *shift = at->constant;
    return at->count == 1 && at->terms[0].coefficient == 1 && at->terms[0].atom->kind == IR_ATOM_INDEX &&
           at->terms[0].atom->index == reader->axes[reader->time];
}

struct mention {
    const struct ir_index *wanted;
    bool found;
};

static void notice(struct ir_index *index, void *context)
{
    struct mention *mention = context;

    if (index == mention->wanted)
        mention->found = true;
}

bool ir_form_mentions(const struct ir_form *form, const struct ir_index *index)
{
    struct mention mention = {.wanted = index};
    struct walk w = {.index = notice, .context = &mention};

    memo_begin(&w.memo);
    walk_form(&w, form);
    memo_end(&w.memo);
    return mention.found;
}
