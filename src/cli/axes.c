/* axes.c: the axes of a program as classes, and the units without effect.

   Two axes are one if an equation reads both at the same index. A class is fixed, and cannot shrink, if a position of it has a meaning of
   its own: it is an axis of data, of the batch, or of an answer; it is read at a computed or a certain place; something other than a
   sum reduces it; a mean over it is divided by its extent.

   A position of another class makes no difference if each sum over the class has the term 0 there. Terms are evaluated as constants,
   where they are constant for all samples: slices of parameters and states are what the checkpoint has, everything else follows
   equation by equation; 0 times anything is 0. */
#include "axes.h"
#include "surgery.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- nodes: every axis and every reduced index of every tensor, joined ---- */

struct nodes {
    int count;
    int *up;
    int64_t *extents;
    const char **fixed;
    bool *summed;
    LIST(int) first;             /* of program i: node of the first axis of its tensor 0 */
    LIST(int *) of_tensor;       /* of program i, by number of tensor: its first node */
    struct axis_class **classes; /* by root */
};

static int root(const struct nodes *n, int node)
{
    while (n->up[node] != node)
        node = n->up[node] = n->up[n->up[node]];
    return node;
}

static void fix(struct nodes *n, int node, const char *why)
{
    node = root(n, node);
    if (!n->fixed[node])
        n->fixed[node] = why;
}

static void join(struct nodes *n, int a, int b)
{
    a = root(n, a);
    b = root(n, b);
    if (a == b)
        return;
    if (b < a) {
        int other = a;

        a = b;
        b = other;
    }
    n->up[b] = a;
    if (!n->fixed[a])
        n->fixed[a] = n->fixed[b];
    n->summed[a] |= n->summed[b];
}

static int axis_node(const struct nodes *n, int program, const struct ir_tensor *t, int axis)
{
    return n->of_tensor.at[program][t->number] + axis;
}

/* The node of an index as the equation uses it; -1: none of its. */
static int index_node(const struct nodes *n, int program, const struct ir_tensor *t, const struct ir_index *index)
{
    for (int i = 0; i < t->rank; i++)
        if (t->axes[i] == index)
            return axis_node(n, program, t, i);
    for (int i = 0; i < t->reduced_count; i++)
        if (t->reduced[i] == index)
            return axis_node(n, program, t, t->rank + i);
    return -1;
}

struct walk {
    struct nodes *nodes;
    int program;
    const struct ir_tensor *equation;
    bool answer; /* else only what is the same axis is looked at */
};

static void fix_form(struct walk *w, const struct ir_form *form, const char *why)
{
    for (int i = 0; i < w->equation->rank + w->equation->reduced_count; i++) {
        const struct ir_index *index =
            i < w->equation->rank ? w->equation->axes[i] : w->equation->reduced[i - w->equation->rank];

        if (w->answer && ir_form_mentions(form, index))
            fix(w->nodes, axis_node(w->nodes, w->program, w->equation, i), why);
    }
}

static void join_read(const struct ir_expr *read, void *context)
{
    struct walk *w = context;

    for (int j = 0; j < read->tensor->rank; j++) {
        const struct ir_index *index = ir_form_bare(read->subscripts[j]);
        int at = axis_node(w->nodes, w->program, read->tensor, j);
        int from = index ? index_node(w->nodes, w->program, w->equation, index) : -1;

        if (from >= 0 && index->extent == read->tensor->axes[j]->extent) {
            join(w->nodes, at, from);
        } else if (w->answer) {
            fix(w->nodes, at, "certain or computed places of it are read");
            fix_form(w, read->subscripts[j], "places are computed from it");
        }
    }
}

/* Where the index itself is a number. */
static void fix_numbers(struct walk *w, const struct ir_expr *e)
{
    if (e->kind == IR_FORM)
        fix_form(w, e->form, "its number is computed with");
    for (int i = 0; i < 3 && e->kind == IR_APPLY && e->arguments[i]; i++)
        fix_numbers(w, e->arguments[i]);
    if (e->kind == IR_READ && e->otherwise)
        fix_numbers(w, e->otherwise);
}

static bool is_number(const struct ir_expr *e, const void *number)
{
    const double *n = number;

    return e->kind == IR_CONSTANT && (e->number == *n || e->number * *n == 1);
}

struct asked {
    const struct ir_tensor *tensor;
    bool found;
};

static void note_asked(const struct ir_expr *read, void *context)
{
    struct asked *asked = context;

    asked->found |= read->tensor == asked->tensor;
}

/* Is a sum divided by how many terms it has? */
static bool is_mean(const struct ir_program *p, const struct ir_tensor *sum, const struct ir_index *reduced)
{
    double extent = (double)reduced->extent;

    if (extent < 2)
        return false;
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        struct asked asked = {sum, t == sum};

        if (t->kind != IR_EQUATION)
            continue;
        if (!asked.found)
            ir_reads(t->value, note_asked, &asked);
        if (asked.found && ir_any(t->value, is_number, &extent))
            return true;
    }
    return false;
}

static void fix_all(struct walk *w, const struct ir_tensor *t, const char *why)
{
    for (int i = 0; i < t->rank + t->reduced_count; i++)
        fix(w->nodes, axis_node(w->nodes, w->program, t, i), why);
}

static void walk_equation(struct walk *w, const struct ir_program *p)
{
    const struct ir_tensor *t = w->equation;

    ir_reads(t->value, join_read, w);
    if (!w->answer)
        return;
    fix_numbers(w, t->value);
    if (t->targets)
        fix_all(w, t, "places of it are computed");
    for (int i = 0; i < t->reduced_count; i++) {
        int node = axis_node(w->nodes, w->program, t, t->rank + i);

        if (t->reduction != IR_SUM)
            fix(w->nodes, node, "it is reduced by other than a sum");
        else if (is_mean(p, t, t->reduced[i]))
            fix(w->nodes, node, "a mean is taken over it");
        else
            w->nodes->summed[root(w->nodes, node)] = true;
    }
}

static void walk_tensor(struct walk *w, const struct ir_program *p)
{
    const struct ir_tensor *t = w->equation;

    switch (t->kind) {
    case IR_INPUT:
        fix_all(w, t, "data have it");
        break;
    case IR_DRAW:
        if (w->answer)
            fix_all(w, t, "an answer draws along it");
        break;
    case IR_OPAQUE:
        fix_all(w, t, "a matrix as a whole has it");
        for (int k = 0; k < 2 && t->operands[k]; k++)
            for (int i = 0; i < t->operands[k]->rank; i++)
                fix(w->nodes, axis_node(w->nodes, w->program, t->operands[k], i), "a matrix as a whole has it");
        break;
    case IR_EQUATION:
        walk_equation(w, p);
        break;
    case IR_PARAMETER:
    case IR_STATE:
    case IR_SCALAR:
        break;
    }
    for (int i = 0; i < t->rank; i++)
        if (t->axes[i]->batch)
            fix(w->nodes, axis_node(w->nodes, w->program, t, i), "it is the batch");
}

/* ---- classes ---- */

static const char *member_key(struct arena *arena, const char *name, int axis)
{
    return arena_printf(arena, "%s %d", name, axis);
}

static void list_nodes(struct axes *axes, struct nodes *n, const program_list *programs)
{
    for (int i = 0; i < programs->count; i++) {
        const struct ir_program *p = programs->at[i];
        int *first = NEW_ARRAY(axes->arena, int, p->tensors.count + 1);

        for (int k = 0; k < p->tensors.count; k++) {
            first[k] = n->count;
            n->count += p->tensors.at[k]->rank + p->tensors.at[k]->reduced_count;
        }
        list_add(axes->arena, n->of_tensor, first);
    }
}

static bool is_kept(const struct ir_tensor *t)
{
    return t->kind == IR_PARAMETER || t->kind == IR_STATE;
}

static void join_program(struct axes *axes, struct nodes *n, int number, const struct ir_program *p, bool answer, struct map *names)
{
    for (int k = 0; k < p->tensors.count; k++) {
        struct walk w = {n, number, p->tensors.at[k], answer};
        const struct ir_tensor *t = w.equation;

        for (int i = 0; i < t->rank + t->reduced_count; i++)
            n->extents[axis_node(n, number, t, i)] = (i < t->rank ? t->axes[i] : t->reduced[i - t->rank])->extent;
        for (int i = 0; is_kept(t) && i < t->rank; i++) {
            const char *key = member_key(axes->arena, t->name, i);
            int *other = map_get(names, key);

            if (!other) {
                other = NEW(axes->arena, int);
                *other = axis_node(n, number, t, i);
                map_put(names, key, other);
            }
            join(n, *other, axis_node(n, number, t, i));
        }
        walk_tensor(&w, p);
    }
    for (int i = 0; answer && i < p->outputs.count; i++) {
        struct walk w = {n, number, p->outputs.at[i].tensor, true};

        for (int k = 0; k < w.equation->rank; k++)
            fix(n, axis_node(n, number, w.equation, k), "an answer has it");
    }
}

static void list_members(struct axes *axes, struct nodes *n, int number, const struct ir_program *p)
{
    for (int k = 0; k < p->tensors.count; k++) {
        const struct ir_tensor *t = p->tensors.at[k];

        for (int i = 0; is_kept(t) && i < t->rank; i++) {
            const char *key = member_key(axes->arena, t->name, i);
            int at = root(n, axis_node(n, number, t, i));
            struct axis_class *c = n->classes[at];

            if (map_get(axes->by_member, key))
                continue;
            if (!c) {
                c = n->classes[at] = NEW(axes->arena, struct axis_class);
                *c = (struct axis_class){.extent = n->extents[at], .fixed = n->fixed[at], .summed = n->summed[at]};
                c->gone = NEW_ARRAY(axes->arena, bool, c->extent + 1);
                list_add(axes->arena, axes->classes, c);
            }
            list_add(axes->arena, c->members, (struct axis_member){t->name, i, t});
            map_put(axes->by_member, key, c);
        }
    }
}

static void find_classes(struct axes *axes)
{
    struct nodes *n = NEW(axes->arena, struct nodes);
    struct map *names = map_new(axes->arena);

    list_nodes(axes, n, &axes->answers);
    list_nodes(axes, n, &axes->steps);
    n->up = NEW_ARRAY(axes->arena, int, n->count + 1);
    n->extents = NEW_ARRAY(axes->arena, int64_t, n->count + 1);
    n->fixed = NEW_ARRAY(axes->arena, const char *, n->count + 1);
    n->summed = NEW_ARRAY(axes->arena, bool, n->count + 1);
    n->classes = NEW_ARRAY(axes->arena, struct axis_class *, n->count + 1);
    for (int i = 0; i < n->count; i++)
        n->up[i] = i;
    for (int i = 0; i < axes->answers.count; i++)
        join_program(axes, n, i, axes->answers.at[i], true, names);
    for (int i = 0; i < axes->steps.count; i++)
        join_program(axes, n, axes->answers.count + i, axes->steps.at[i], false, names);
    axes->nodes = n;
    axes->by_member = map_new(axes->arena);
    for (int i = 0; i < axes->answers.count; i++)
        list_members(axes, n, i, axes->answers.at[i]);
    for (int i = 0; i < axes->steps.count; i++)
        list_members(axes, n, axes->answers.count + i, axes->steps.at[i]);
}

struct axis_class *axes_class(const struct axes *axes, const char *name, int axis)
{
    struct arena *scratch = arena_new();
    struct axis_class *c = map_get(axes->by_member, member_key(scratch, name, axis));

    arena_free(scratch);
    return c;
}

static void add_answer(struct axes *axes, struct options *options, const char *model, struct diagnostics *d)
{
    struct lower_options lowering = lower_options_of(options);
    struct prediction *prediction = lower_prediction(axes->unit, model, lowering, d);

    if (prediction)
        list_add(axes->arena, axes->answers, prediction->program);
}

struct axes *axes_new(struct options *options, struct unit *unit, struct rnet_safetensors *file)
{
    struct axes *axes = NEW(options->arena, struct axes);
    struct diagnostics *d = diagnostics_new(options->arena);
    struct map *seen = map_new(options->arena);
    const char *model;
    bool inputs;

    *axes = (struct axes){.arena = options->arena, .unit = unit, .file = file};
    for (int i = 0; i < unit_trainings(unit); i++) {
        struct training *training = lower_training(unit, i, lower_options_of(options), d);

        if (!training || diagnostics_errors(d))
            break;
        list_add(axes->arena, axes->trainings, training);
        for (int k = 0; k < training->phases.count; k++)
            list_add(axes->arena, axes->steps, training->phases.at[k].step);
        if (training->report)
            list_add(axes->arena, axes->answers, training->report->chunk);
        if (!map_get(seen, training->model)) {
            map_put(seen, training->model, training);
            add_answer(axes, options, training->model, d);
        }
    }
    for (int i = 0; !diagnostics_errors(d) && unit_models(unit, i, &model, &inputs); i++)
        add_answer(axes, options, model, d);
    if (program_wrong(options, d))
        return NULL;
    find_classes(axes);
    return axes;
}

/* ---- what is constant at a position ---- */

/* NAN: not constant. NONE: not known yet, in a recurrence. */
#define NONE INFINITY

static bool is_none(double value)
{
    return isinf(value);
}

static double both(double a, double b)
{
    return is_none(a) ? b : is_none(b) ? a : a == b ? a : NAN;
}

struct slices {
    struct axes *axes;
    const struct ir_program *p;
    int program;
    const struct axis_class *class;
    int64_t position;
    double *values;            /* by number of tensor: at the position of its only axis of the class */
    int *axis;                 /* by number: which axis that is; -1: none, or several */
    const struct ir_tensor *equation;
    const struct ir_index *at; /* the index that stands at the position */
    struct map *constants;     /* from "NAME AXIS" to an array: what each slice is */
};

/* Each slice of a parameter or state along the axis: the number that all its elements are, gone positions of other axes apart, or NAN. */
static const double *slice_values(struct slices *s, const struct ir_tensor *leaf, int axis)
{
    const char *key = member_key(s->axes->arena, leaf->name, axis);
    double *found = map_get(s->constants, key);
    const struct rnet_tensor *stored = rnet_safetensors_find(s->axes->file, leaf->name);
    int64_t count = ir_elements(leaf), inner = ir_extent_product(leaf->axes + axis + 1, leaf->rank - axis - 1);
    struct axis_class *classes[16] = {0};
    bool *begun;

    if (found || !stored || leaf->rank > 16 || tensor_count(stored) != count)
        return found;
    found = NEW_ARRAY(s->axes->arena, double, leaf->axes[axis]->extent + 1);
    begun = NEW_ARRAY(s->axes->arena, bool, leaf->axes[axis]->extent + 1);
    for (int i = 0; i < leaf->rank; i++)
        classes[i] = i == axis ? NULL : axes_class(s->axes, leaf->name, i);
    for (int64_t e = 0; e < count; e++) {
        int64_t place = e / inner % leaf->axes[axis]->extent, rest = e;
        double value = tensor_number(stored, e);
        bool gone = false;

        for (int i = leaf->rank - 1; i >= 0; i--) {
            gone |= classes[i] && classes[i]->gone_count && classes[i]->gone[rest % leaf->axes[i]->extent];
            rest /= leaf->axes[i]->extent;
        }
        if (gone)
            continue;
        found[place] = begun[place] ? (found[place] == value ? value : NAN) : value;
        begun[place] = true;
    }
    map_put(s->constants, key, found);
    return found;
}

static double constant_of(struct slices *s, const struct ir_expr *e);

static double constant_of_read(struct slices *s, const struct ir_expr *read)
{
    const struct ir_tensor *t = read->tensor;
    double value = NAN;

    for (int i = 0; i < t->rank && isnan(value); i++) {
        if (ir_form_bare(read->subscripts[i]) != s->at || t->axes[i]->extent != s->class->extent)
            continue;
        if (is_kept(t)) {
            const double *slices = slice_values(s, t, i);

            value = slices ? slices[s->position] : NAN;
        } else if (s->axis[t->number] == i) {
            value = s->values[t->number];
        }
    }
    return read->otherwise ? both(value, constant_of(s, read->otherwise)) : value;
}

static double constant_of(struct slices *s, const struct ir_expr *e)
{
    double arguments[3] = {0}, value;
    bool known = true, none = false;

    if (e->kind == IR_CONSTANT)
        return e->number;
    if (e->kind == IR_READ)
        return constant_of_read(s, e);
    if (e->kind == IR_FORM)
        return NAN;
    for (int i = 0; i < 3 && e->arguments[i]; i++) {
        arguments[i] = constant_of(s, e->arguments[i]);
        known = known && !isnan(arguments[i]);
        none = none || is_none(arguments[i]);
    }
    if (e->op == IR_select && !isnan(arguments[0]) && !is_none(arguments[0]))
        return arguments[0] != 0 ? arguments[1] : arguments[2];
    if (e->op == IR_select)
        return both(arguments[1], arguments[2]);
    if (e->op == IR_multiply && (arguments[0] == 0 || arguments[1] == 0))
        return 0;
    if (e->op == IR_divide && arguments[0] == 0)
        return 0;
    if (!known)
        return NAN;
    if (none)
        return NONE;
    value = ir_operate(e->op, arguments[0], arguments[1], arguments[2]);
    value = s->p->precision == IR_SINGLE ? (double)(float)value : value;
    return isfinite(value) ? value : NAN;
}

static double constant_of_equation(struct slices *s, const struct ir_tensor *t)
{
    double value;

    s->equation = t;
    s->at = t->axes[s->axis[t->number]];
    value = constant_of(s, t->value);
    if (t->reduction == IR_MAP || t->reduction == IR_MAXIMUM || t->reduction == IR_MINIMUM || is_none(value))
        return value;
    return t->reduction == IR_SUM && value == 0 ? 0 : NAN;
}

/* Which of the program's tensors have exactly one axis of the class. */
static void find_axes(struct slices *s)
{
    const struct nodes *n = s->axes->nodes;

    for (int i = 0; i < s->p->tensors.count; i++) {
        const struct ir_tensor *t = s->p->tensors.at[i];

        s->axis[i] = -1;
        for (int k = 0, found = 0; k < t->rank; k++)
            if (n->classes[root(n, axis_node(n, s->program, t, k))] == s->class)
                s->axis[i] = found++ ? -1 : k;
    }
}

static void find_constants(struct slices *s)
{
    bool changed = true;

    for (int i = 0; i < s->p->tensors.count; i++)
        s->values[i] = s->p->tensors.at[i]->recurrence ? NONE : NAN;
    while (changed) {
        changed = false;
        for (int i = 0; i < s->p->tensors.count; i++) {
            const struct ir_tensor *t = s->p->tensors.at[i];
            double value;

            if (t->kind != IR_EQUATION || s->axis[i] < 0 || t->targets)
                continue;
            value = constant_of_equation(s, t);
            if (t->recurrence && !is_none(s->values[i]))
                value = both(value, s->values[i]); /* only towards what is not constant, so that this ends */
            if (!(value == s->values[i] || (isnan(value) && isnan(s->values[i])))) {
                s->values[i] = value;
                changed = true;
            }
        }
    }
}

/* Is each term of each sum over the class 0 at the position? */
static bool makes_no_difference(struct slices *s)
{
    const struct nodes *n = s->axes->nodes;

    find_constants(s);
    for (int i = 0; i < s->p->tensors.count; i++) {
        const struct ir_tensor *t = s->p->tensors.at[i];

        for (int k = 0; t->kind == IR_EQUATION && k < t->reduced_count; k++) {
            if (n->classes[root(n, axis_node(n, s->program, t, t->rank + k))] != s->class)
                continue;
            s->equation = t;
            s->at = t->reduced[k];
            if (constant_of(s, t->value) != 0)
                return false;
        }
    }
    return true;
}

static bool find_in_class(struct axes *axes, struct axis_class *c, struct slices *programs)
{
    bool more = false;

    for (int i = 0; i < axes->answers.count; i++) {
        programs[i].class = c;
        find_axes(&programs[i]);
    }
    for (int64_t k = 0; k < c->extent && c->gone_count < c->extent - 1; k++) {
        bool gone = !c->gone[k];

        for (int i = 0; i < axes->answers.count && gone; i++) {
            programs[i].position = k;
            gone = makes_no_difference(&programs[i]);
        }
        if (gone) {
            c->gone[k] = true;
            c->gone_count++;
            more = true;
        }
    }
    return more;
}

void axes_find_gone(struct axes *axes)
{
    struct slices *programs = NEW_ARRAY(axes->arena, struct slices, axes->answers.count + 1);
    bool more = true;

    while (more) {
        struct map *constants = map_new(axes->arena);

        more = false;
        for (int i = 0; i < axes->answers.count; i++) {
            const struct ir_program *p = axes->answers.at[i];

            programs[i] = (struct slices){.axes = axes, .p = p, .program = i, .constants = constants};
            programs[i].values = NEW_ARRAY(axes->arena, double, p->tensors.count + 1);
            programs[i].axis = NEW_ARRAY(axes->arena, int, p->tensors.count + 1);
        }
        for (int i = 0; i < axes->classes.count; i++)
            if (!axes->classes.at[i]->fixed && axes->classes.at[i]->summed)
                more = find_in_class(axes, axes->classes.at[i], programs) || more;
    }
}
