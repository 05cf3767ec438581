/* reads.c: which tensors read which, recurrences included, and where a derivative ends. */
#include "adjoint.h"

struct visiting {
    void (*visit)(struct ir_tensor *read, void *context);
    void *context;
};

static void visit_read(const struct ir_expr *read, void *context)
{
    const struct visiting *v = context;

    v->visit(read->tensor, v->context);
}

static void visit_form(const struct ir_form *f, struct visiting *v)
{
    for (int i = 0; i < f->count; i++)
        if (f->terms[i].atom->kind == IR_ATOM_VALUE)
            ir_reads(f->terms[i].atom->value, visit_read, v);
        else if (f->terms[i].atom->kind != IR_ATOM_INDEX)
            visit_form(f->terms[i].atom->form, v);
}

void tensor_reads(const struct ir_tensor *t, void (*visit)(struct ir_tensor *read, void *context), void *context)
{
    struct visiting v = {visit, context};

    if (t->value)
        ir_reads(t->value, visit_read, &v);
    for (int i = 0; t->targets && i < t->rank; i++)
        visit_form(t->targets[i], &v);
    for (int i = 0; i < 2 && t->operands[i]; i++)
        visit(t->operands[i], context);
}

struct marking {
    bool *marks;
    int count;
    bool changed, found;
};

static void mark(struct ir_tensor *read, void *context)
{
    struct marking *m = context;

    if (read->number < m->count && !m->marks[read->number])
        m->marks[read->number] = m->changed = true;
}

/* Only reads inside recurrences go forwards: one more round for each that is carried further. */
void mark_what_is_read(const struct ir_program *p, bool *marks, int count)
{
    struct marking m = {marks, count, true, false};

    while (m.changed) {
        m.changed = false;
        for (int i = count - 1; i >= 0; i--)
            if (marks[i])
                tensor_reads(p->tensors.at[i], mark, &m);
        if (!has_recurrences(p))
            return;
    }
}

static void find_mark(struct ir_tensor *read, void *context)
{
    struct marking *m = context;

    m->found |= read->number < m->count && m->marks[read->number];
}

bool reads_marked(const struct ir_tensor *t, const bool *marks, int count)
{
    struct marking m = {(bool *)marks, count, false, false};

    tensor_reads(t, find_mark, &m);
    return m.found;
}

void mark_what_reads(const struct ir_program *p, bool *marks, int count)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (int i = 0; i < count; i++)
            if (!marks[i] && reads_marked(p->tensors.at[i], marks, count))
                marks[i] = changed = true;
        if (!has_recurrences(p))
            return;
    }
}

const struct ir_form **own_subscripts(struct ir_program *p, struct ir_index *const *axes, int rank)
{
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, rank);

    for (int i = 0; i < rank; i++)
        at[i] = ir_form_index(p, axes[i]);
    return at;
}

const struct ir_expr *read_at(struct ir_program *p, struct ir_tensor *tensor, struct ir_index *const *axes)
{
    return ir_read(p, tensor, own_subscripts(p, axes, tensor->rank), tensor->rank, NULL);
}

bool has_recurrences(const struct ir_program *p)
{
    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->recurrence)
            return true;
    return false;
}

const char *arrange_finished(struct ir_program *p)
{
    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->kind == IR_EQUATION && !p->tensors.at[i]->value)
            return NULL;
    return has_recurrences(p) ? ir_arrange(p) : NULL;
}
