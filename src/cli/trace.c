/* trace.c: from a number that is not finite back to where it became so.

   requires: a step that was run with one kernel an equation and every value kept, its inputs still there. An element is looked at as
   its equation made it: the expression is evaluated again at that point, of the stored values, so that only what was really read
   counts (the chosen branch of an `if`, the element that a subscript names). */
#include "trace.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { READS_LOOKED_AT = 1 << 22, DECLARED_NO = 1, DECLARED_YES = 2 };

/* ---- values ---- */

static void note_index(struct trace *t, const struct ir_index *index)
{
    if (index->number >= t->index_count)
        t->index_count = index->number + 1;
}

static bool is_adjoint(const struct ir_tensor *tensor)
{
    return !strncmp(tensor->name, "d_", 2);
}

struct readers {
    bool *after, found;
};

static void note_after(const struct ir_expr *read, void *context)
{
    struct readers *readers = context;

    readers->found |= readers->after[read->tensor->number] || is_adjoint(read->tensor);
}

/* What gradients are read for: norms, rules, what they make of the parameters. */
static void find_rules(struct trace *t)
{
    const struct ir_program *p = t->in->compiled->program;
    struct readers readers = {.after = NEW_ARRAY(t->arena, bool, p->tensors.count + 1)};

    for (int i = 0; i < p->tensors.count; i++) {
        readers.found = false;
        if (p->tensors.at[i]->kind == IR_EQUATION)
            ir_reads(p->tensors.at[i]->value, note_after, &readers);
        readers.after[i] = readers.found;
    }
    t->after = readers.after;
}

struct trace *trace_new(struct arena *arena, const struct instance *in, uint64_t seed, uint64_t position, uint64_t step)
{
    const struct ir_program *p = in->compiled->program;
    struct trace *t = NEW(arena, struct trace);

    *t = (struct trace){.arena = arena, .in = in, .seed = seed, .position = position, .step = step, .budget = READS_LOOKED_AT};
    for (int i = 0; i < p->tensors.count; i++) {
        for (int k = 0; k < p->tensors.at[i]->rank; k++)
            note_index(t, p->tensors.at[i]->axes[k]);
        for (int k = 0; k < p->tensors.at[i]->reduced_count; k++)
            note_index(t, p->tensors.at[i]->reduced[k]);
    }
    t->at = NEW_ARRAY(arena, int64_t, t->index_count + 1);
    t->draws = NEW_ARRAY(arena, double *, p->tensors.count + 1);
    t->met = NEW_ARRAY(arena, unsigned char *, p->tensors.count + 1);
    t->declared = NEW_ARRAY(arena, unsigned char *, p->tensors.count + 1);
    find_rules(t);
    return t;
}

/* The whole draw, as in src/ir/evaluate.c: axes of samples, mapped ones, those of the elements. */
static double *draw_values(struct trace *t, const struct ir_tensor *draw)
{
    static const enum rnet_draw draws[] = {
        [IR_UNIFORM16] = RNET_UNIFORM16, [IR_UNIFORM32] = RNET_UNIFORM32, [IR_NORMAL] = RNET_NORMAL};
    bool sampled = draw->scope == IR_PER_SAMPLE || draw->scope == IR_PER_ITEM;
    int first = sampled && draw->rank && draw->axes[0]->batch ? 1 : 0;
    int64_t samples = first ? draw->axes[0]->extent : 1, mapped = ir_extent_product(draw->axes + first, draw->mapped);
    int64_t count = ir_extent_product(draw->axes + first + draw->mapped, draw->rank - first - draw->mapped);
    uint64_t start = sampled ? t->position : draw->scope == IR_PER_STEP ? t->step : 0;
    double *out = NEW_ARRAY(t->arena, double, ir_elements(draw) + 1), *to = out;
    float *numbers = NEW_ARRAY(t->arena, float, count + 1);

    for (int64_t s = 0; s < samples; s++)
        for (int64_t i = 0; i < mapped; i++) {
            rnet_draw_fill(draws[draw->draw], rnet_draw_key(draw->name, t->seed), (uint32_t)i, start + (uint64_t)s, 0, count,
                           numbers);
            for (int64_t e = 0; e < count; e++)
                *to++ = (double)numbers[e];
        }
    return out;
}

static double scalar_of(const struct instance *in, const struct ir_tensor *scalar)
{
    for (int i = 0; i < in->scalar_count; i++)
        if (!strcmp(in->scalar_names[i], scalar->name))
            return in->scalars[i];
    bug("no scalar %s", scalar->name);
}

double trace_value(struct trace *t, const struct ir_tensor *tensor, int64_t element)
{
    const void *data = instance_data(t->in, tensor);

    if (tensor->kind == IR_SCALAR)
        return scalar_of(t->in, tensor);
    if (tensor->kind == IR_DRAW) {
        if (!t->draws[tensor->number])
            t->draws[tensor->number] = draw_values(t, tensor);
        return t->draws[tensor->number][element];
    }
    if (tensor->kind == IR_PARAMETER && t->parameters)
        data = t->parameters + tensor->offset;
    if (tensor->kind == IR_STATE && t->state)
        data = t->state + tensor->offset;
    return data ? stored_number(data, tensor->storage, element) : 0;
}

const char *trace_place(struct arena *arena, struct trace_point point)
{
    const struct ir_tensor *t = point.tensor;
    int64_t rest = point.element;
    const char *place = "";

    for (int i = t->rank - 1; i >= 0; i--) {
        place = arena_printf(arena, "%s = %" PRId64 "%s%s", t->axes[i]->name, rest % t->axes[i]->extent, *place ? ", " : "", place);
        rest /= t->axes[i]->extent;
    }
    return place;
}

/* ---- an expression at a point ---- */

/* What is met there. Reads that are not finite are listed, if what they go into is not; `op` is the first that is not, of arguments that are. */
struct look {
    struct trace *t;
    const struct ir_tensor *equation;
    bool list;
    LIST(struct trace_point) bad;
    bool found;
    enum ir_op op;
    double arguments[3], result;
};

static double value_at(struct look *look, const struct ir_expr *e);

static double value_of_look(void *look, const struct ir_expr *e)
{
    return value_at(look, e);
}

static int64_t place_at(struct look *look, const struct ir_form *form)
{
    return ir_form_value(form, look->t->at, value_of_look, look);
}

static double read_at_point(struct look *look, const struct ir_expr *read)
{
    int64_t element = 0;
    double value;

    for (int i = 0; i < read->tensor->rank; i++) {
        int64_t extent = read->tensor->axes[i]->extent, place = place_at(look, read->subscripts[i]);

        if (place < 0 || place >= extent)
            return read->otherwise ? value_at(look, read->otherwise) : NAN;
        element = element * extent + place;
    }
    look->t->budget--;
    value = trace_value(look->t, read->tensor, element);
    if (look->list && !isfinite(value))
        list_add(look->t->arena, look->bad, (struct trace_point){read->tensor, element});
    return value;
}

static double value_at(struct look *look, const struct ir_expr *e)
{
    const struct ir_program *p = look->t->in->compiled->program;
    double arguments[3] = {0}, value;
    bool finite = true, found = look->found;
    int bad = look->bad.count;

    switch (e->kind) {
    case IR_CONSTANT:
        return e->number;
    case IR_FORM:
        return (double)place_at(look, e->form);
    case IR_READ:
        return read_at_point(look, e);
    case IR_APPLY:
        break;
    }
    if (e->op == IR_select)
        return value_at(look, value_at(look, e->arguments[0]) != 0 ? e->arguments[1] : e->arguments[2]);
    for (int i = 0; i < 3 && e->arguments[i]; i++) {
        arguments[i] = value_at(look, e->arguments[i]);
        finite = finite && isfinite(arguments[i]);
    }
    value = ir_operate(e->op, arguments[0], arguments[1], arguments[2]);
    if (p->precision == IR_SINGLE || look->equation->single)
        value = (double)(float)value;
    if (isfinite(value)) { /* whatever is not finite in it did no harm: 1 / (1 + inf) */
        look->bad.count = bad;
        look->found = found;
    } else if (!look->found && finite) {
        look->found = true;
        look->op = e->op;
        memcpy(look->arguments, arguments, sizeof arguments);
        look->result = value;
    }
    return value;
}

static void set_place(struct trace *t, struct ir_index *const *axes, int rank, int64_t element)
{
    for (int i = rank - 1; i >= 0; i--) {
        t->at[axes[i]->number] = element % axes[i]->extent;
        element /= axes[i]->extent;
    }
}

/* Is the reduced point one that a scatter puts into the element? */
static bool hits(struct look *look, const struct ir_tensor *t, int64_t element)
{
    for (int i = t->rank - 1; i >= 0; i--) {
        if (place_at(look, t->targets[i]) != element % t->axes[i]->extent)
            return false;
        element /= t->axes[i]->extent;
    }
    return true;
}

/* Everything that the element is made of. Stops where the budget ends, or where what is wanted is found: the operation, else all. */
static void look_at(struct look *look, struct trace_point point)
{
    const struct ir_tensor *t = point.tensor;
    int64_t count = ir_extent_product(t->reduced, t->reduced_count);

    look->equation = t;
    if (t->kind == IR_OPAQUE) {
        for (int k = 0; k < 2 && t->operands[k]; k++)
            for (int64_t i = 0; i < ir_elements(t->operands[k]); i++)
                if (!isfinite(trace_value(look->t, t->operands[k], i)))
                    list_add(look->t->arena, look->bad, (struct trace_point){t->operands[k], i});
        return;
    }
    if (t->kind != IR_EQUATION)
        return;
    for (int64_t i = 0; i < count && (look->t->budget > 0 || !look->list) && (look->list || !look->found); i++) {
        if (!t->targets)
            set_place(look->t, t->axes, t->rank, point.element);
        set_place(look->t, t->reduced, t->reduced_count, i);
        if (!t->targets || hits(look, t, point.element))
            value_at(look, t->value);
    }
}

/* ---- what is no fault ---- */

/* Does the equation's text hold an infinity? */
static bool writes_infinity(const struct ir_tensor *t)
{
    struct text text = {0};
    bool found = false;

    if (t->kind != IR_EQUATION)
        return false;
    ir_print_expr(&text, t->value);
    for (const char *at = text.data; !found && (at = strstr(at, "inf")); at += 3)
        found = (at == text.data || !strchr("_.'", at[-1])) && (at == text.data || !isalnum((unsigned char)at[-1])) &&
                !isalnum((unsigned char)at[3]) && !(at[3] && strchr("_.'", at[3]));
    text_free(&text);
    return found;
}

static unsigned char *flag_of(struct trace *t, unsigned char **flags, struct trace_point point)
{
    if (!flags[point.tensor->number])
        flags[point.tensor->number] = NEW_ARRAY(t->arena, unsigned char, ir_elements(point.tensor) + 1);
    return &flags[point.tensor->number][point.element];
}

bool trace_declared(struct trace *t, struct trace_point point)
{
    unsigned char *flag = flag_of(t, t->declared, point);
    struct look look = {.t = t, .list = true};
    bool all = true;

    if (*flag)
        return *flag == DECLARED_YES;
    *flag = DECLARED_NO;
    if (!isinf(trace_value(t, point.tensor, point.element)))
        return false;
    if (point.tensor->kind == IR_STATE || writes_infinity(point.tensor)) {
        *flag = DECLARED_YES;
        return true;
    }
    look_at(&look, point);
    for (int i = 0; i < look.bad.count && all; i++)
        all = trace_declared(t, look.bad.at[i]);
    if (look.bad.count && all)
        *flag = DECLARED_YES;
    return *flag == DECLARED_YES;
}

/* ---- back ---- */

/* Which step of its recurrence the point is made in. */
static int64_t time_of(struct trace_point point)
{
    const struct ir_tensor *t = point.tensor;
    int64_t extent = t->axes[t->time]->extent;
    int64_t time = point.element / ir_extent_product(t->axes + t->time + 1, t->rank - t->time - 1) % extent;

    return t->recurrence->down ? extent - 1 - time : time;
}

static bool before(struct trace_point a, struct trace_point b)
{
    if (a.tensor->recurrence && a.tensor->recurrence == b.tensor->recurrence && time_of(a) != time_of(b))
        return time_of(a) < time_of(b);
    return a.tensor != b.tensor ? a.tensor->number < b.tensor->number : a.element < b.element;
}

/* The points still to be looked at, a heap: what stands earliest in the program comes first. */
typedef LIST(struct trace_point) point_heap;

static void put_point(struct arena *arena, point_heap *heap, struct trace_point point)
{
    int at = heap->count;

    list_add(arena, *heap, point);
    for (; at && before(point, heap->at[(at - 1) / 2]); at = (at - 1) / 2)
        heap->at[at] = heap->at[(at - 1) / 2];
    heap->at[at] = point;
}

static struct trace_point take_earliest(point_heap *heap)
{
    struct trace_point first = heap->at[0], last = heap->at[--heap->count];
    int at = 0, child;

    while ((child = 2 * at + 1) < heap->count) {
        child += child + 1 < heap->count && before(heap->at[child + 1], heap->at[child]);
        if (!before(heap->at[child], last))
            break;
        heap->at[at] = heap->at[child];
        at = child;
    }
    heap->at[at] = last;
    return first;
}

/* The first element of the origin's tensor that is one: where not every way back could be followed. */
static void first_of_tensor(struct trace *t)
{
    struct trace_point point = {t->origin.tensor, 0};

    for (; point.element < t->origin.element; point.element++) {
        struct look look = {.t = t, .list = true};
        bool bad = false;

        if (isfinite(trace_value(t, point.tensor, point.element)) || trace_declared(t, point))
            continue;
        t->budget = READS_LOOKED_AT;
        look_at(&look, point);
        for (int i = 0; i < look.bad.count && !bad; i++)
            bad = !trace_declared(t, look.bad.at[i]);
        if (!bad) {
            t->origin = point;
            return;
        }
    }
}

void trace_back(struct trace *t, struct trace_point from)
{
    point_heap waiting = {0};

    if (isfinite(trace_value(t, from.tensor, from.element)) || trace_declared(t, from))
        return;
    *flag_of(t, t->met, from) = 1;
    put_point(t->arena, &waiting, from);
    while (waiting.count && (t->budget > 0 || !t->origin.tensor)) {
        struct trace_point point = take_earliest(&waiting);
        struct look look = {.t = t, .list = true};
        bool follows = false;

        if (t->budget < 1)
            t->budget = 1; /* there is no origin yet: on, read by read */
        look_at(&look, point);
        for (int i = 0; i < look.bad.count; i++) {
            unsigned char *met = flag_of(t, t->met, look.bad.at[i]);

            if (trace_declared(t, look.bad.at[i]))
                continue;
            follows = true;
            if (!*met)
                put_point(t->arena, &waiting, look.bad.at[i]);
            *met = 1;
        }
        if (!follows && (!t->origin.tensor || before(point, t->origin)))
            t->origin = point;
    }
    if (t->budget <= 0 && t->origin.tensor)
        first_of_tensor(t);
}

/* ---- what is said of it ---- */

static const char *operation_text(struct trace *t, const struct look *look)
{
    const struct ir_operator *o = &ir_operators[look->op];
    double a = look->arguments[0], b = look->arguments[1];

    if (o->notation == IR_NOTATION_INFIX)
        return arena_printf(t->arena, "%.6g %s %.6g is %.6g", a, o->symbol, b, look->result);
    if (o->notation == IR_NOTATION_PREFIX)
        return arena_printf(t->arena, "%s %.6g is %.6g", o->symbol, a, look->result);
    return o->arity == 1 ? arena_printf(t->arena, "%s(%.6g) is %.6g", o->symbol, a, look->result)
                         : arena_printf(t->arena, "%s(%.6g, %.6g) is %.6g", o->symbol, a, b, look->result);
}

const char *trace_operation(struct trace *t)
{
    static const char *const results[] = {"RANK", "the system has no solution: the matrix is singular",
                                          "the matrix is not positive definite", "the factors of the matrix are not finite"};
    struct look look = {.t = t};
    const struct ir_tensor *origin = t->origin.tensor;

    if (origin->kind == IR_OPAQUE)
        return results[origin->opaque];
    look_at(&look, t->origin);
    if (look.found)
        return operation_text(t, &look);
    if (origin->kind == IR_EQUATION && origin->reduction != IR_MAP)
        return arena_printf(t->arena, "each of the %" PRId64 " terms is finite, their %s is not",
                            ir_extent_product(origin->reduced, origin->reduced_count),
                            origin->reduction == IR_PRODUCT ? "product" : "sum");
    return NULL;
}

struct reading {
    struct arena *arena;
    trace_reads list;
};

static void note_tensor(struct reading *reading, const struct ir_tensor *tensor)
{
    int at;

    for (int i = 0; i < reading->list.count; i++)
        if (reading->list.at[i] == tensor)
            return;
    list_add(reading->arena, reading->list, tensor);
    for (at = reading->list.count - 1; at && reading->list.at[at - 1]->number > tensor->number; at--)
        reading->list.at[at] = reading->list.at[at - 1];
    reading->list.at[at] = tensor;
}

static void note_read(const struct ir_expr *read, void *context)
{
    note_tensor(context, read->tensor);
}

trace_reads trace_read(struct trace *t)
{
    const struct ir_tensor *origin = t->origin.tensor;
    struct reading reading = {t->arena, {0}};

    for (int k = 0; k < 2 && origin->kind == IR_OPAQUE && origin->operands[k]; k++)
        note_tensor(&reading, origin->operands[k]);
    if (origin->kind == IR_EQUATION)
        ir_reads(origin->value, note_read, &reading);
    return reading.list;
}

const char *trace_direction(const struct trace *t, const struct ir_tensor *tensor)
{
    switch (tensor->kind) {
    case IR_INPUT:
        return "input";
    case IR_PARAMETER:
        return "parameter";
    case IR_STATE:
        return "state";
    case IR_SCALAR:
        return "scalar";
    case IR_DRAW:
        return "draw";
    case IR_EQUATION:
    case IR_OPAQUE:
        break;
    }
    return is_adjoint(tensor) ? "adjoint" : t->after[tensor->number] ? "rule" : "forward";
}
