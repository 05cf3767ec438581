/* fold_value.c: constants of a program in evaluation, and expressions at a point. */
#include "fold.h"
#include "surgery.h"

#include <math.h>
#include <string.h>

struct ir_tensor *reading_tensor(const struct reading *r, struct ir_tensor *t)
{
    while (r->stands[t->number])
        t = r->stands[t->number];
    return t;
}

/* ---- what is read how often ---- */

static void count_tree(struct reading *r, const struct ir_expr *e)
{
    if (e->kind == IR_READ) {
        r->uses[reading_tensor(r, e->tensor)->number]++;
        if (e->otherwise)
            count_tree(r, e->otherwise);
    }
    for (int i = 0; i < 3 && e->kind == IR_APPLY && e->arguments[i]; i++)
        count_tree(r, e->arguments[i]);
}

struct hidden {
    struct reading *r;
    const struct ir_expr *in;
};

static bool is_read(const struct ir_expr *e, const void *read)
{
    return e == read;
}

/* What subscripts are computed from is read twice at least: nothing that can change. */
static void count_hidden(const struct ir_expr *read, void *context)
{
    struct hidden *hidden = context;

    if (!ir_any(hidden->in, is_read, read))
        hidden->r->uses[reading_tensor(hidden->r, read->tensor)->number] += 2;
}

void reading_update(struct reading *r)
{
    memset(r->uses, 0, sizeof *r->uses * (size_t)r->p->tensors.count);
    memset(r->values.at, 0, sizeof *r->values.at * (size_t)r->p->tensors.count);
    for (int i = 0; i < r->p->tensors.count; i++) {
        const struct ir_tensor *t = r->p->tensors.at[i];
        struct hidden hidden = {r, t->value};

        if (r->gone[i])
            continue;
        for (int k = 0; k < 2 && t->kind == IR_OPAQUE && t->operands[k]; k++)
            r->uses[reading_tensor(r, t->operands[k])->number] += 2;
        if (t->kind != IR_EQUATION)
            continue;
        count_tree(r, t->value);
        ir_reads(t->value, count_hidden, &hidden);
    }
    for (int i = 0; i < r->p->outputs.count; i++)
        r->uses[reading_tensor(r, r->p->outputs.at[i].tensor)->number] += 2;
}

/* ---- constants ---- */

static bool is_setting(const struct unit *unit, const struct ir_tensor *t, double *value)
{
    return t->kind == IR_SCALAR && unit_let(unit, t->name, value);
}

struct constancy {
    const struct reading *r;
    bool constant;
};

static void note_read(const struct ir_expr *read, void *context)
{
    struct constancy *c = context;

    c->constant = c->constant && c->r->constant[read->tensor->number];
}

static bool is_constant(const struct reading *r, const struct ir_tensor *t)
{
    struct constancy c = {r, true};
    double value;

    for (int i = 0; i < t->rank; i++)
        if (t->axes[i]->batch)
            return false;
    switch (t->kind) {
    case IR_PARAMETER:
    case IR_STATE:
        return map_get(r->numbers, t->name) != NULL;
    case IR_SCALAR:
        return is_setting(r->unit, t, &value);
    case IR_EQUATION:
        if (t->recurrence || t->targets)
            return false;
        for (int i = 0; i < t->reduced_count; i++)
            if (t->reduced[i]->batch)
                return false;
        ir_reads(t->value, note_read, &c);
        return c.constant;
    case IR_OPAQUE:
        for (int i = 0; i < 2 && t->operands[i] && c.constant; i++)
            c.constant = r->constant[t->operands[i]->number];
        return c.constant && !t->recurrence;
    case IR_INPUT:
    case IR_DRAW:
        break;
    }
    return false;
}

static void need(struct reading *r, struct ir_tensor *t, bool *wanted);

struct needing {
    struct reading *r;
    bool *wanted;
};

static void need_read(const struct ir_expr *read, void *context)
{
    struct needing *n = context;

    need(n->r, read->tensor, n->wanted);
}

/* Room for the tensor and all that it is made of; leaves are filled. */
static void need(struct reading *r, struct ir_tensor *t, bool *wanted)
{
    struct needing n = {r, wanted};
    const struct numbers *numbers;

    if (r->values.at[t->number])
        return;
    r->values.at[t->number] = NEW_ARRAY(r->arena, double, ir_elements(t) + 1);
    if (is_setting(r->unit, t, r->values.at[t->number]))
        return;
    numbers = map_get(r->numbers, t->name);
    if (t->kind == IR_PARAMETER || t->kind == IR_STATE) {
        memcpy(r->values.at[t->number], numbers->at, sizeof(double) * (size_t)ir_elements(t));
        return;
    }
    wanted[t->number] = true;
    for (int i = 0; i < 2 && t->kind == IR_OPAQUE && t->operands[i]; i++)
        need(r, t->operands[i], wanted);
    if (t->kind == IR_EQUATION)
        ir_reads(t->value, need_read, &n);
}

static const double *constant_values(struct reading *r, struct ir_tensor *t)
{
    if (!r->values.at[t->number]) {
        bool *wanted = NEW_ARRAY(r->arena, bool, r->p->tensors.count + 1);

        need(r, t, wanted);
        ir_evaluate_some(r->p, &r->values, (struct ir_run){.step = 1}, wanted);
    }
    return r->values.at[t->number];
}

struct reading *reading_new(struct arena *arena, const struct ir_program *p, const struct unit *unit, const struct map *numbers)
{
    struct reading *r = NEW(arena, struct reading);
    int most = 0;

    *r = (struct reading){.arena = arena, .p = p, .unit = unit, .numbers = numbers};
    r->gone = NEW_ARRAY(arena, bool, p->tensors.count + 1);
    r->stands = NEW_ARRAY(arena, struct ir_tensor *, p->tensors.count + 1);
    r->constant = NEW_ARRAY(arena, bool, p->tensors.count + 1);
    r->uses = NEW_ARRAY(arena, int, p->tensors.count + 1);
    r->values.at = NEW_ARRAY(arena, double *, p->tensors.count + 1);
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        r->constant[i] = is_constant(r, t);
        for (int k = 0; k < t->rank + t->reduced_count; k++) {
            int number = (k < t->rank ? t->axes[k] : t->reduced[k - t->rank])->number;

            most = number > most ? number : most;
        }
    }
    r->at = NEW_ARRAY(arena, int64_t, most + 1);
    reading_update(r);
    return r;
}

/* ---- points ---- */

static bool has_value(const struct ir_form *form)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;

        if (atom->kind == IR_ATOM_VALUE || (atom->kind != IR_ATOM_INDEX && has_value(atom->form)))
            return true;
    }
    return false;
}

static int64_t extent_of_sample(const struct ir_index *index)
{
    return index->batch ? 1 : index->extent;
}

int64_t sample_elements(const struct ir_tensor *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++)
        count *= extent_of_sample(t->axes[i]);
    return count;
}

void set_element(struct reading *r, const struct ir_tensor *t, int64_t element)
{
    for (int i = t->rank - 1; i >= 0; i--) {
        r->at[t->axes[i]->number] = element % extent_of_sample(t->axes[i]);
        element /= extent_of_sample(t->axes[i]);
    }
}

static struct pair refuse(struct point *point, const char *why)
{
    if (!point->why)
        point->why = why;
    return (struct pair){0, 0};
}

/* Does the equation read at its own place: the same axes in the same order? */
static bool reads_own_place(const struct point *point, const struct ir_expr *read)
{
    if (read->tensor->rank != point->equation->rank)
        return false;
    for (int i = 0; i < read->tensor->rank; i++)
        if (ir_form_bare(read->subscripts[i]) != point->equation->axes[i] ||
            read->tensor->axes[i]->extent != point->equation->axes[i]->extent)
            return false;
    return true;
}

static struct pair pair_of_read(struct point *point, const struct ir_expr *read)
{
    struct reading *r = point->r;
    struct ir_tensor *t = reading_tensor(r, read->tensor);
    int64_t element = 0, places[16] = {0};

    if (t->rank > 16)
        return refuse(point, "it has too many axes");
    if (!point->place && (t == point->of || (point->pairs && point->pairs[t->number]))) {
        if (!reads_own_place(point, read))
            return refuse(point, "other places of a value are read");
        if (t == point->of)
            return (struct pair){0, 1};
    } else if (t != point->of && !r->constant[t->number]) {
        return refuse(point, arena_printf(r->arena, "%s is read too, which is not constant", t->name));
    }
    for (int i = 0; i < t->rank; i++) {
        int64_t extent = extent_of_sample(t->axes[i]);

        if (has_value(read->subscripts[i]))
            return refuse(point, "computed places are read");
        places[i] = ir_form_value(read->subscripts[i], r->at, NULL, NULL);
        if (places[i] < 0 || places[i] >= extent)
            return read->otherwise ? pair_at(point, read->otherwise) : refuse(point, "a place outside is read");
        element = element * extent + places[i];
    }
    if (t == point->of) {
        element = 0;
        for (int i = 0; i < point->place->count; i++)
            element = element * point->place->extents[i] + places[point->place->axes[i]];
        return (struct pair){point->place->values[element], 0};
    }
    if (r->constant[t->number])
        return (struct pair){constant_values(r, t)[element], 0};
    return point->pairs[t->number][element];
}

static struct pair pair_of_operation(struct point *point, const struct ir_expr *e)
{
    struct pair a[3] = {{0, 0}};

    for (int i = 0; i < 3 && e->arguments[i]; i++)
        a[i] = pair_at(point, e->arguments[i]);
    if (a[0].scale == 0 && a[1].scale == 0 && a[2].scale == 0)
        return (struct pair){ir_operate(e->op, a[0].shift, a[1].shift, a[2].shift), 0};
    switch (e->op) {
    case IR_add:
        return (struct pair){a[0].shift + a[1].shift, a[0].scale + a[1].scale};
    case IR_subtract:
        return (struct pair){a[0].shift - a[1].shift, a[0].scale - a[1].scale};
    case IR_negate:
        return (struct pair){-a[0].shift, -a[0].scale};
    case IR_multiply:
        if (a[0].scale == 0)
            return (struct pair){a[0].shift * a[1].shift, a[0].shift * a[1].scale};
        if (a[1].scale == 0)
            return (struct pair){a[0].shift * a[1].shift, a[0].scale * a[1].shift};
        break;
    case IR_divide:
        if (a[1].scale == 0)
            return (struct pair){a[0].shift / a[1].shift, a[0].scale / a[1].shift};
        break;
    case IR_select:
        if (a[0].scale == 0)
            return a[0].shift != 0 ? a[1] : a[2];
        break;
    default:
        break;
    }
    return refuse(point, arena_printf(point->r->arena, "%s of a value of the sample is no affine map", ir_operators[e->op].name));
}

struct pair pair_at(struct point *point, const struct ir_expr *e)
{
    switch (e->kind) {
    case IR_CONSTANT:
        return (struct pair){e->number, 0};
    case IR_FORM:
        return has_value(e->form) ? refuse(point, "it is computed from a value") : (struct pair){(double)ir_form_value(e->form, point->r->at, NULL, NULL), 0};
    case IR_READ:
        return pair_of_read(point, e);
    case IR_APPLY:
        break;
    }
    return pair_of_operation(point, e);
}

/* ---- along which axes ---- */

static int64_t inner_of(const struct ir_tensor *t, int axis)
{
    int64_t inner = 1;

    for (int i = axis + 1; i < t->rank; i++)
        inner *= extent_of_sample(t->axes[i]);
    return inner;
}

static bool varies(const struct ir_tensor *t, int axis, const double *values)
{
    int64_t inner = inner_of(t, axis), extent = extent_of_sample(t->axes[axis]);

    for (int64_t e = 0; values && e < sample_elements(t); e++)
        if (values[e] != values[e - e / inner % extent * inner])
            return true;
    return false;
}

struct along vary(struct arena *arena, const struct ir_tensor *t, const double *values, const double *other)
{
    struct along along = {0};
    int64_t count = 1;

    for (int i = 0; i < t->rank && along.count < 16; i++)
        if (varies(t, i, values) || varies(t, i, other)) {
            along.extents[along.count] = extent_of_sample(t->axes[i]);
            along.axes[along.count++] = i;
            count *= extent_of_sample(t->axes[i]);
        }
    along.values = NEW_ARRAY(arena, double, count + 1);
    for (int64_t e = 0; e < sample_elements(t); e++) {
        int64_t at = 0;

        for (int i = 0; i < along.count; i++)
            at = at * along.extents[i] + e / inner_of(t, along.axes[i]) % along.extents[i];
        along.values[at] = values[e];
    }
    return along;
}
