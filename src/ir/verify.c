/* verify.c: the laws of a well-formed program. Kernels' are in verify_kernels.c, those of places in verify_memory.c.

   Tensors      numbered by place; names unique; axes distinct; whole ones have an interval
   Leaves       no value; scalars of rank 0 and real; a draw per sample has the batch first; mapped axes exist
   Equations    reduce over something unless maps; reduced indices distinct from outputs; every index of the value is
   one of these; a whole result only from what infer_equation says, inside the tensor's interval Scatters     sums;
   value and targets mention reduced indices only; a target for each axis, inside it; in no recurrence Recurrences their
   equations stand together, each with a time of the recurrence's extent; one reads another at its own time if that
   stands before it, or one step earlier, with an otherwise; each depends on itself so Opaques      operands that stand
   before, of shapes that fit; a rank is whole, the others are real Expressions  the arity of ops.def; // and % take
   whole numbers; reads are of tensors that stand before (or are of the same recurrence), inside or with an otherwise
   Updates      of parameters and states, each once, by a value of the same extents, whole in the leaf's interval if it
   is Outputs      unique names; a guard has rank 0 */
#include "verify.h"

#include <stdarg.h>
#include <stdio.h>

bool broken(struct verifier *v, const char *format, ...)
{
    va_list arguments;
    char message[1024];

    if (v->message)
        return false;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    v->message = arena_string(v->p->arena, message);
    return false;
}

bool index_in(struct ir_index *const *indices, int count, const struct ir_index *index)
{
    for (int i = 0; i < count; i++)
        if (indices[i] == index)
            return true;
    return false;
}

bool listed(const struct ir_program *p, const struct ir_tensor *t)
{
    return t && t->number >= 0 && t->number < p->tensors.count && p->tensors.at[t->number] == t;
}

/* ---- expressions ---- */

struct expression {
    struct verifier *v;
    const struct ir_tensor *equation;
    struct memo met;
};

static bool check_expr(struct expression *x, const struct ir_expr *e);

static bool check_form(struct expression *x, const struct ir_form *f)
{
    const struct ir_tensor *q = x->equation;
    const void **met = memo_at(&x->met, f);

    if (*met)
        return true;
    *met = f;
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;

        if (!f->terms[i].coefficient)
            return broken(x->v, "equation %s: a form has a term with the coefficient 0", q->name);
        if (atom->kind == IR_ATOM_INDEX && (q->targets || !index_in(q->axes, q->rank, atom->index)) &&
            !index_in(q->reduced, q->reduced_count, atom->index))
            return broken(x->v,
                          q->targets ? "scatter %s: index %s is not reduced"
                                     : "equation %s: index %s is neither an output nor reduced",
                          q->name, atom->index->name);
        if (atom->form && atom->divisor < 2)
            return broken(x->v, "equation %s: a form is divided by %lld", q->name, (long long)atom->divisor);
        if (atom->form && !check_form(x, atom->form))
            return false;
        if (atom->value && !atom->value->whole)
            return broken(x->v, "equation %s: a real number is an atom of a form", q->name);
        if (atom->value && !check_expr(x, atom->value))
            return false;
    }
    return true;
}

/* A read of an equation of the same recurrence: of its own step, or of the one before. */
static bool check_step(struct expression *x, const struct ir_expr *e)
{
    const struct ir_tensor *q = x->equation, *t = e->tensor;
    const char *time = q->axes[q->time]->name, *sign = q->recurrence->down ? "+" : "-";
    int64_t shift;

    if (!time_shift(q, e, &shift) || (shift && shift != (q->recurrence->down ? 1 : -1)))
        return broken(x->v, "equation %s reads %s of its recurrence elsewhere than at %s or %s %s 1", q->name, t->name,
                      time, time, sign);
    if (!shift && t->number >= q->number)
        return broken(x->v, "equation %s reads %s of the same step, which does not stand before it", q->name, t->name);
    if (shift && !e->otherwise)
        return broken(x->v, "equation %s reads %s at %s %s 1 without an otherwise", q->name, t->name, time, sign);
    return true;
}

static bool check_read(struct expression *x, const struct ir_expr *e)
{
    const struct ir_tensor *q = x->equation, *t = e->tensor;

    if (!listed(x->v->p, t))
        return broken(x->v, "equation %s reads %s, which is not in the program", q->name, t->name);
    if (q->recurrence && t->recurrence == q->recurrence) {
        if (!check_step(x, e))
            return false;
    } else if (t->number >= q->number) {
        return broken(x->v, "equation %s reads %s, which does not stand before it", q->name, t->name);
    }
    for (int i = 0; i < t->rank; i++) {
        if (!check_form(x, e->subscripts[i]))
            return false;
        if (!e->otherwise && subscript_place(e->subscripts[i], t->axes[i]) != INSIDE)
            return broken(x->v,
                          "equation %s: subscript %d of %s is in %lld .. %lld; expected 0 .. %lld or an otherwise",
                          q->name, i + 1, t->name, (long long)e->subscripts[i]->low, (long long)e->subscripts[i]->high,
                          (long long)t->axes[i]->extent - 1);
    }
    if (e->whole && !t->whole)
        return broken(x->v, "equation %s: a read of the real tensor %s is said to be whole", q->name, t->name);
    if (e->whole && (e->low > t->low || e->high < t->high))
        return broken(x->v, "equation %s: a read of %s has a smaller interval than %s", q->name, t->name, t->name);
    return !e->otherwise || check_expr(x, e->otherwise);
}

static bool check_apply(struct expression *x, const struct ir_expr *e)
{
    const struct ir_tensor *q = x->equation;
    const struct ir_operator *row = &ir_operators[e->op];
    struct interval range;

    for (int i = 0; i < 3; i++) {
        if ((e->arguments[i] != NULL) != (i < row->arity))
            return broken(x->v, "equation %s: %s takes %d operands", q->name, row->name, row->arity);
        if (e->arguments[i] && !check_expr(x, e->arguments[i]))
            return false;
        if ((e->op == IR_quotient || e->op == IR_remainder) && i < 2 && !e->arguments[i]->whole)
            return broken(x->v, "equation %s: an operand of %s is a real number", q->name, row->symbol);
    }
    if (e->whole && !infer_whole(e->op, e->arguments, &range))
        return broken(x->v, "equation %s: the result of %s is said to be whole", q->name, row->name);
    if (e->whole && (e->low > range.low || e->high < range.high))
        return broken(x->v, "equation %s: the interval of a result of %s is too small", q->name, row->name);
    return true;
}

static bool check_expr(struct expression *x, const struct ir_expr *e)
{
    const void **met = memo_at(&x->met, e);

    if (*met)
        return true;
    *met = e;
    switch (e->kind) {
    case IR_CONSTANT:
        return true;
    case IR_FORM:
        return check_form(x, e->form);
    case IR_READ:
        return check_read(x, e);
    case IR_APPLY:
        return check_apply(x, e);
    }
    return broken(x->v, "equation %s: an expression of kind %d", x->equation->name, (int)e->kind);
}

/* ---- tensors ---- */

static bool check_scatter(struct expression *x)
{
    struct verifier *v = x->v;
    const struct ir_tensor *t = x->equation;

    if (t->reduction != IR_SUM)
        return broken(v, "scatter %s is not a sum", t->name);
    if (t->recurrence)
        return broken(v, "scatter %s stands in a recurrence", t->name);
    if (t->single)
        return broken(v, "scatter %s is single", t->name);
    for (int i = 0; i < t->rank; i++) {
        if (!check_form(x, t->targets[i]))
            return false;
        if (subscript_place(t->targets[i], t->axes[i]) != INSIDE)
            return broken(v, "scatter %s: target %d is in %lld .. %lld; expected 0 .. %lld", t->name, i + 1,
                          (long long)t->targets[i]->low, (long long)t->targets[i]->high,
                          (long long)t->axes[i]->extent - 1);
    }
    return true;
}

static bool check_equation(struct verifier *v, const struct ir_tensor *t)
{
    struct expression x = {.v = v, .equation = t};
    struct interval range;
    bool whole, good;

    if (!t->value)
        return broken(v, "equation %s has no value", t->name);
    if ((t->reduction == IR_MAP) != (t->reduced_count == 0))
        return broken(v, "equation %s: %s", t->name, t->reduced_count ? "a map reduces" : "it reduces over no index");
    for (int i = 0; i < t->reduced_count; i++)
        if (index_in(t->reduced, i, t->reduced[i]) || index_in(t->axes, t->rank, t->reduced[i]))
            return broken(v, "equation %s: the reduced index %s occurs twice", t->name, t->reduced[i]->name);
    if (t->recurrence && (t->time < 0 || t->time >= t->rank || t->axes[t->time]->extent != t->recurrence->extent))
        return broken(v, "equation %s: axis %d is not the time of the recurrence %s", t->name, t->time + 1,
                      t->recurrence->name);
    memo_begin(&x.met);
    good = check_expr(&x, t->value) && (!t->targets || check_scatter(&x));
    memo_end(&x.met);
    if (!good)
        return false;
    whole = infer_equation(t, &range);
    if (t->whole && !whole)
        return broken(v, "equation %s is said to be whole; its value is real", t->name);
    if (t->whole && (range.low < t->low || range.high > t->high))
        return broken(v, "equation %s: its value is in %lld .. %lld, outside its %lld .. %lld", t->name,
                      (long long)range.low, (long long)range.high, (long long)t->low, (long long)t->high);
    return true;
}

static bool check_opaque(struct verifier *v, const struct ir_tensor *t)
{
    const char *misfit;

    for (int i = 0; i < 2; i++)
        if (t->operands[i] && (!listed(v->p, t->operands[i]) || t->operands[i]->number >= t->number))
            return broken(v, "the operand %s of %s does not stand before it", t->operands[i]->name, t->name);
    misfit = opaque_misfit(t->opaque, t->operands[0], t->operands[1]);
    if (misfit)
        return broken(v, "%s: %s", t->name, misfit);
    if (t->value || t->reduced_count)
        return broken(v, "%s is an opaque tensor with a value", t->name);
    if (t->recurrence && (t->time < 0 || t->time >= t->rank - opaque_own(t->opaque) ||
                          t->axes[t->time]->extent != t->recurrence->extent))
        return broken(v, "%s: axis %d is not the time of the recurrence %s", t->name, t->time + 1, t->recurrence->name);
    for (int i = 0; t->recurrence && i < 2 && t->operands[i]; i++)
        if (t->operands[i]->recurrence == t->recurrence && t->operands[i]->time != t->time)
            return broken(v, "%s and its operand %s have their time at different axes", t->name, t->operands[i]->name);
    if (t->rank != t->operands[0]->rank - (t->opaque == IR_SOLVE))
        return broken(v, "%s has the rank %d, which its operation does not give", t->name, t->rank);
    for (int i = 0; i < t->rank; i++) {
        bool last = t->opaque == IR_SOLVE && i == t->rank - 1;

        if (t->axes[i]->extent != t->operands[0]->axes[i + last]->extent)
            return broken(v, "%s differs from its operand in the extent of axis %d", t->name, i + 1);
    }
    if (t->whole != (t->opaque == IR_RANK))
        return broken(v, "%s is said to be %s", t->name, t->whole ? "whole" : "real");
    if (t->whole && (t->low > 0 || t->high < t->axes[t->rank - 1]->extent - 1))
        return broken(v, "the interval of %s is too small", t->name);
    return true;
}

/* ---- recurrences ---- */

/* The reads among the equations of one recurrence, as edges in both directions. */
struct edge {
    int reader, read;
};
struct knot {
    const struct ir_program *p;
    int first, count;
    int reader;
    LIST(struct edge) edges;
};

static void note_edge(const struct ir_expr *read, void *context)
{
    struct knot *knot = context;

    if (read->tensor->recurrence == knot->p->tensors.at[knot->first]->recurrence)
        list_add(knot->p->arena, knot->edges, (struct edge){knot->reader, read->tensor->number - knot->first});
}

/* Marks what `from` reads, itself or through others; or, backwards, what reads it. */
static bool *reached(const struct knot *knot, int from, bool backwards)
{
    bool *met = NEW_ARRAY(knot->p->arena, bool, knot->count);
    bool more = true;

    for (int i = 0; i < knot->edges.count; i++)
        if ((backwards ? knot->edges.at[i].read : knot->edges.at[i].reader) == from)
            met[backwards ? knot->edges.at[i].reader : knot->edges.at[i].read] = true;
    while (more) {
        more = false;
        for (int i = 0; i < knot->edges.count; i++) {
            struct edge edge = knot->edges.at[i];
            bool *to = &met[backwards ? edge.reader : edge.read];

            if (!*to && met[backwards ? edge.read : edge.reader])
                *to = more = true;
        }
    }
    return met;
}

/* Each depends on itself, and all on each other: from the first one all are reached, and from all the first. */
static bool check_knot(struct verifier *v, int first, int end)
{
    struct knot knot = {.p = v->p, .first = first, .count = end - first};
    const char *name = v->p->tensors.at[first]->recurrence->name;
    const bool *forwards, *backwards;

    for (knot.reader = 0; knot.reader < knot.count; knot.reader++) {
        const struct ir_tensor *t = v->p->tensors.at[first + knot.reader];

        reads_of(t, note_edge, &knot);
        for (int i = 0; i < 2 && t->operands[i]; i++)
            note_edge(&(struct ir_expr){.kind = IR_READ, .tensor = t->operands[i]}, &knot);
    }
    forwards = reached(&knot, 0, false);
    backwards = reached(&knot, 0, true);
    for (int i = 0; i < knot.count; i++) {
        if (forwards[i] && backwards[i])
            continue;
        if (!reached(&knot, i, false)[i])
            return broken(v, "equation %s of the recurrence %s does not depend on itself",
                          v->p->tensors.at[first + i]->name, name);
        return broken(v, "the recurrence %s is several: %s and %s do not depend on each other", name,
                      v->p->tensors.at[first]->name, v->p->tensors.at[first + i]->name);
    }
    return true;
}

static bool check_recurrences(struct verifier *v)
{
    const struct ir_program *p = v->p;

    for (int i = 0, end; i < p->tensors.count; i = end) {
        const struct ir_recurrence *recurrence = p->tensors.at[i]->recurrence;

        for (end = i + 1; recurrence && end < p->tensors.count; end++)
            if (p->tensors.at[end]->recurrence != recurrence)
                break;
        for (int j = end; recurrence && j < p->tensors.count; j++)
            if (p->tensors.at[j]->recurrence == recurrence)
                return broken(v, "the equations %s and %s of the recurrence %s do not stand together",
                              p->tensors.at[end - 1]->name, p->tensors.at[j]->name, recurrence->name);
        if (recurrence && !check_knot(v, i, end))
            return false;
    }
    return true;
}

static bool check_leaf(struct verifier *v, const struct ir_tensor *t)
{
    bool batch = t->rank && t->axes[0]->batch;

    if (t->value || t->reduced_count || t->targets || t->recurrence)
        return broken(v, "the leaf %s has a value", t->name);
    if (t->kind == IR_SCALAR && (t->rank || t->whole))
        return broken(v, "the scalar %s has rank %d and is %s; expected rank 0 and real", t->name, t->rank,
                      t->whole ? "whole" : "real");
    if (t->kind != IR_DRAW)
        return true;
    if (t->scope == IR_PER_SAMPLE && !batch)
        return broken(v, "the draw %s is per sample; expected the batch as its first axis", t->name);
    if (t->mapped < 0 || t->mapped > t->rank - batch)
        return broken(v, "the draw %s has %d mapped axes; expected 0 .. %d", t->name, t->mapped, t->rank - batch);
    return true;
}

static bool check_tensor(struct verifier *v, struct map *names, int place)
{
    const struct ir_tensor *t = v->p->tensors.at[place];

    if (!t->name || !*t->name)
        return broken(v, "tensor %d has no name", place);
    if (t->number != place)
        return broken(v, "tensor %s has the number %d; expected its place, %d", t->name, t->number, place);
    if (map_get(names, t->name))
        return broken(v, "two tensors are named %s", t->name);
    map_put(names, t->name, (void *)t);
    for (int i = 0; i < t->rank; i++) {
        if (index_in(t->axes, i, t->axes[i]))
            return broken(v, "tensor %s: index %s is two of its axes", t->name, t->axes[i]->name);
        if (t->axes[i]->extent < 1)
            return broken(v, "tensor %s: index %s has the extent %lld", t->name, t->axes[i]->name,
                          (long long)t->axes[i]->extent);
    }
    if (t->whole && t->low > t->high)
        return broken(v, "tensor %s has the empty interval %lld .. %lld", t->name, (long long)t->low,
                      (long long)t->high);
    if (t->kind == IR_OPAQUE)
        return check_opaque(v, t);
    return t->kind == IR_EQUATION ? check_equation(v, t) : check_leaf(v, t);
}

static bool check_updates(struct verifier *v)
{
    const struct ir_program *p = v->p;

    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_tensor *leaf = p->updates.at[i].leaf, *value = p->updates.at[i].value;

        if (!listed(p, leaf) || !listed(p, value))
            return broken(v, "update %d is of tensors that are not in the program", i + 1);
        if (leaf->kind != IR_PARAMETER && leaf->kind != IR_STATE)
            return broken(v, "%s is updated; expected a parameter or a state", leaf->name);
        for (int j = 0; j < i; j++)
            if (p->updates.at[j].leaf == leaf)
                return broken(v, "%s is updated twice", leaf->name);
        if (leaf->rank != value->rank)
            return broken(v, "%s of rank %d is updated by %s of rank %d", leaf->name, leaf->rank, value->name,
                          value->rank);
        for (int j = 0; j < leaf->rank; j++)
            if (leaf->axes[j]->extent != value->axes[j]->extent)
                return broken(v, "axis %d of %s has the extent %lld; its update %s has %lld", j + 1, leaf->name,
                              (long long)leaf->axes[j]->extent, value->name, (long long)value->axes[j]->extent);
        if (leaf->whole && (!value->whole || value->low < leaf->low || value->high > leaf->high))
            return broken(v, "%s is whole in %lld .. %lld; its update %s is not", leaf->name, (long long)leaf->low,
                          (long long)leaf->high, value->name);
    }
    return true;
}

static bool check_outputs(struct verifier *v)
{
    struct map *names = map_new(v->p->arena);

    for (int i = 0; i < v->p->outputs.count; i++) {
        const struct ir_output *output = &v->p->outputs.at[i];

        if (!listed(v->p, output->tensor))
            return broken(v, "output %s is of a tensor that is not in the program", output->name);
        if (map_get(names, output->name))
            return broken(v, "two outputs are named %s", output->name);
        map_put(names, output->name, output->tensor);
        if (output->guard && output->tensor->rank)
            return broken(v, "output %s is a guard of rank %d; expected rank 0", output->name, output->tensor->rank);
    }
    return true;
}

const char *ir_verify(const struct ir_program *p)
{
    struct verifier v = {.p = p};
    struct map *names = map_new(p->arena);

    for (int i = 0; i < p->tensors.count; i++)
        if (!check_tensor(&v, names, i))
            return v.message;
    if (check_recurrences(&v) && check_updates(&v) && check_outputs(&v) && p->kernels.count && verify_kernels(&v))
        verify_memory(&v);
    return v.message;
}
