/* fold_absorb.c: which parameters have to change so that a value is scaled or shifted.

   A value is scaled by scaling, wherever it is a sum, each term, and of a product one factor, down to parameters; it is shifted by shifting
   one term of a sum. Whatever changes on the way must be read by nothing else. Positions are forms: scale[c] of a value is scale[o] of
   the parameter that its equation reads at W[i, o] with o = c. */
#include "fold.h"
#include "surgery.h"

#include <stdio.h>

/* The number that goes with each element of a tensor or point of an equation: values at the forms. */
struct factor {
    const struct along *along;
    const struct ir_form *forms[16];
};
struct absorbing {
    struct reading *r;
    change_list *out;
    bool term;       /* shift, not scale */
    const char *why; /* the first reason, which is the nearest to the layer */
};

static bool refuse(struct absorbing *a, const char *why)
{
    if (!a->why)
        a->why = why;
    return false;
}

static const char *place_of(struct absorbing *a, const struct ir_tensor *t)
{
    const struct ir_origin *o = t->origin;

    return o && o->line ? arena_printf(a->r->arena, "%s (%s:%d:%d)", t->name, o->file, o->line, o->column) : t->name;
}

/* ---- forms ---- */

/* The form over the indices of an equation as one over the axes of what it reads. */
static const struct ir_form *carried(struct absorbing *a, const struct ir_form *form, const struct ir_expr *read,
                                     const struct ir_tensor *t)
{
    struct ir_program *p = (struct ir_program *)a->r->p;
    struct ir_index *index = ir_form_bare(form);
    ir_index_list mentioned = {0};
    const struct ir_form **to;

    for (int q = 0; index && q < t->rank; q++) /* t[n // d, n % d] is all of n */
        for (int m = 0; m < t->rank; m++) {
            const struct ir_form *high = read->subscripts[q], *low = read->subscripts[m];
            int64_t divisor = t->axes[m]->extent;

            if (high == ir_form_quotient(p, form, divisor) && low == ir_form_remainder(p, form, divisor) && high != form)
                return ir_form_add(p, ir_form_scale(p, ir_form_index(p, t->axes[q]), divisor), ir_form_index(p, t->axes[m]));
        }
    ir_indices(a->r->arena, ir_of_form(p, form), &mentioned);
    to = NEW_ARRAY(a->r->arena, const struct ir_form *, mentioned.count + 1);
    for (int i = 0; i < mentioned.count; i++) {
        for (int k = 0; k < t->rank && !to[i]; k++)
            if (ir_form_bare(read->subscripts[k]) == mentioned.at[i] && t->axes[k]->extent == mentioned.at[i]->extent)
                to[i] = ir_form_index(p, t->axes[k]);
        if (!to[i])
            return NULL;
    }
    return ir_form_substitute(p, form, mentioned.at, to, mentioned.count);
}

static bool carry(struct absorbing *a, const struct factor *from, const struct ir_expr *read, const struct ir_tensor *t,
                  struct factor *to)
{
    to->along = from->along;
    for (int i = 0; i < from->along->count; i++)
        if (!(to->forms[i] = carried(a, from->forms[i], read, t)))
            return refuse(a, arena_printf(a->r->arena, "%s has no axis for it", place_of(a, t)));
    return true;
}

static void factor_of_axes(struct absorbing *a, const struct along *along, const struct ir_tensor *t, struct factor *out)
{
    out->along = along;
    for (int i = 0; i < along->count; i++)
        out->forms[i] = ir_form_index((struct ir_program *)a->r->p, t->axes[along->axes[i]]);
}

/* ---- down to parameters ---- */

static bool change_parameter(struct absorbing *a, const struct ir_tensor *t, const struct factor *f)
{
    struct change change = {.name = t->name};
    double *values = NEW_ARRAY(a->r->arena, double, ir_elements(t) + 1);

    for (int64_t e = 0; e < ir_elements(t); e++) {
        int64_t at = 0;

        set_element(a->r, t, e);
        for (int i = 0; i < f->along->count; i++)
            at = at * f->along->extents[i] + ir_form_value(f->forms[i], a->r->at, NULL, NULL);
        values[e] = f->along->values[at];
    }
    *(a->term ? &change.term : &change.factor) = values;
    list_add(a->r->arena, *a->out, change);
    return true;
}

static bool absorb(struct absorbing *a, const struct ir_expr *e, const struct factor *f);

/* requires: everything that reads t is meant. */
static bool absorb_tensor(struct absorbing *a, const struct ir_tensor *t, const struct factor *f)
{
    if ((t->kind == IR_PARAMETER || t->kind == IR_STATE) && map_get(a->r->numbers, t->name))
        return change_parameter(a, t, f);
    if (t->kind == IR_INPUT)
        return refuse(a, arena_printf(a->r->arena, "%s is data, and no parameter stands before it", t->name));
    if (t->kind != IR_EQUATION || t->recurrence || t->targets)
        return refuse(a, arena_printf(a->r->arena, "%s is no product of parameters", place_of(a, t)));
    if (t->reduction != IR_MAP && (a->term || t->reduction != IR_SUM))
        return refuse(a, arena_printf(a->r->arena, a->term ? "nothing is added to %s that could take the shift: it wants a bias"
                                                           : "%s is no sum", place_of(a, t)));
    if (!a->why && !a->term && t->value->kind == IR_APPLY && t->value->op != IR_add && t->value->op != IR_subtract &&
        t->value->op != IR_multiply && t->value->op != IR_divide && t->value->op != IR_negate)
        return refuse(a, arena_printf(a->r->arena, "%s stands between it and the product: it is %s, not linear", place_of(a, t),
                                      ir_operators[t->value->op].name));
    return absorb(a, t->value, f);
}

static bool absorb_read(struct absorbing *a, const struct ir_expr *read, const struct factor *f)
{
    struct ir_tensor *t = reading_tensor(a->r, read->tensor);
    struct factor there;

    if (a->r->uses[t->number] != 1)
        return refuse(a, arena_printf(a->r->arena, "%s is read elsewhere too", place_of(a, t)));
    if (read->otherwise && (a->term || !absorb(a, read->otherwise, f)))
        return refuse(a, "what is read outside counts too");
    return carry(a, f, read, t, &there) && absorb_tensor(a, t, &there);
}

static bool either(struct absorbing *a, const struct ir_expr *first, const struct ir_expr *second, const struct factor *f)
{
    int kept = a->out->count;

    if (absorb(a, first, f))
        return true;
    a->out->count = kept;
    return absorb(a, second, f);
}

static bool absorb(struct absorbing *a, const struct ir_expr *e, const struct factor *f)
{
    if (e->kind == IR_READ)
        return absorb_read(a, e, f);
    if (e->kind == IR_CONSTANT && e->number == 0 && !a->term)
        return true;
    if (e->kind != IR_APPLY)
        return refuse(a, "a number of the text would have to change");
    switch (e->op) {
    case IR_add:
        if (a->term)
            return either(a, e->arguments[1], e->arguments[0], f);
        return absorb(a, e->arguments[0], f) && absorb(a, e->arguments[1], f);
    case IR_subtract:
        return absorb(a, e->arguments[0], f) && (a->term || absorb(a, e->arguments[1], f));
    case IR_negate:
        return !a->term ? absorb(a, e->arguments[0], f) : refuse(a, "nothing is added");
    case IR_multiply:
        return !a->term ? either(a, e->arguments[1], e->arguments[0], f) : refuse(a, "nothing is added to a product");
    case IR_divide:
        return !a->term ? absorb(a, e->arguments[0], f) : refuse(a, "nothing is added to a quotient");
    case IR_select:
        return absorb(a, e->arguments[1], f) && absorb(a, e->arguments[2], f);
    default:
        return refuse(a, arena_printf(a->r->arena, "%s stands between it and the product", ir_operators[e->op].name));
    }
}

/* ---- before the layer ---- */

static bool is_all(const struct along *along, double value)
{
    int64_t count = 1;

    for (int i = 0; i < along->count; i++)
        count *= along->extents[i];
    for (int64_t i = 0; i < count; i++)
        if (along->values[i] != value)
            return false;
    return true;
}

static bool is_read_by_others(const struct absorbing *a, const struct affine *affine);

const char *absorb_before(struct reading *r, const struct affine *affine, change_list *out)
{
    struct absorbing a = {.r = r, .out = out};
    struct factor f;
    bool fine;

    if (is_read_by_others(&a, affine))
        return arena_printf(r->arena, "%s is read elsewhere too", place_of(&a, affine->x));
    factor_of_axes(&a, &affine->scale, affine->x, &f);
    fine = is_all(&affine->scale, 1) || absorb_tensor(&a, affine->x, &f);
    a.term = true;
    factor_of_axes(&a, &affine->shift, affine->x, &f);
    fine = fine && (is_all(&affine->shift, 0) || absorb_tensor(&a, affine->x, &f));
    return fine ? NULL : a.why;
}

/* ---- after the layer ---- */

struct asking {
    const struct absorbing *a;
    const struct ir_tensor *t;
    bool found;
};

static void note_asked(const struct ir_expr *read, void *context)
{
    struct asking *asking = context;

    asking->found |= reading_tensor(asking->a->r, read->tensor) == asking->t;
}

static bool mentions(const struct absorbing *a, const struct ir_expr *e, const struct ir_tensor *t)
{
    struct asking asking = {a, t, false};

    ir_reads(e, note_asked, &asking);
    return asking.found;
}

static bool reads(const struct absorbing *a, const struct ir_tensor *equation, const struct ir_tensor *t)
{
    struct asking asking = {a, t, false};

    if (equation->kind == IR_EQUATION)
        ir_reads(equation->value, note_asked, &asking);
    for (int i = 0; i < 2 && equation->kind == IR_OPAQUE && equation->operands[i]; i++)
        asking.found |= reading_tensor(a->r, equation->operands[i]) == t;
    return asking.found;
}

static bool is_output(const struct absorbing *a, const struct ir_tensor *t)
{
    for (int i = 0; i < a->r->p->outputs.count; i++)
        if (reading_tensor(a->r, a->r->p->outputs.at[i].tensor) == t)
            return true;
    return false;
}

/* By anything but the layer: what makes y has gone for a while (fold_find.c). */
static bool is_read_by_others(const struct absorbing *a, const struct affine *affine)
{
    for (int i = 0; i < a->r->p->tensors.count; i++)
        if (!a->r->gone[i] && reads(a, a->r->p->tensors.at[i], affine->x))
            return true;
    return is_output(a, affine->x);
}

/* The read of y is multiplied with what absorbs the scale. */
static bool push(struct absorbing *a, const struct ir_expr *e, const struct affine *affine)
{
    const struct ir_expr *read = NULL, *other = NULL;

    if (e->kind != IR_APPLY)
        return refuse(a, arena_printf(a->r->arena, "%s is read as it is, by no product with a parameter", place_of(a, affine->y)));
    for (int i = 0; i < 2 && e->op == IR_multiply; i++)
        if (e->arguments[i]->kind == IR_READ && reading_tensor(a->r, e->arguments[i]->tensor) == affine->y &&
            !mentions(a, e->arguments[1 - i], affine->y)) {
            read = e->arguments[i];
            other = e->arguments[1 - i];
        }
    if (read) {
        struct factor f = {.along = &affine->scale};

        if (read->otherwise && !(read->otherwise->kind == IR_CONSTANT && read->otherwise->number == 0))
            return refuse(a, "what is read outside of it is not 0");
        for (int i = 0; i < f.along->count; i++)
            f.forms[i] = read->subscripts[f.along->axes[i]];
        return absorb(a, other, &f);
    }
    switch (e->op) {
    case IR_add:
    case IR_subtract:
        return (!mentions(a, e->arguments[0], affine->y) || push(a, e->arguments[0], affine)) &&
               (!mentions(a, e->arguments[1], affine->y) || push(a, e->arguments[1], affine));
    case IR_negate:
    case IR_divide:
        return push(a, e->arguments[0], affine);
    case IR_multiply:
        if (mentions(a, e->arguments[0], affine->y) != mentions(a, e->arguments[1], affine->y))
            return push(a, e->arguments[mentions(a, e->arguments[1], affine->y)], affine);
        break;
    default:
        break;
    }
    return refuse(a, arena_printf(a->r->arena, "%s stands between it and the product", ir_operators[e->op].name));
}

/* What is added where the equation reads t, or where its only reader does. */
static bool add_behind(struct absorbing *a, const struct ir_tensor *t, const struct factor *f);

static bool add_beside(struct absorbing *a, const struct ir_expr *e, const struct ir_tensor *t, const struct factor *f)
{
    if (e->kind != IR_APPLY || (e->op != IR_add && e->op != IR_subtract))
        return false;
    for (int i = 0; i < (e->op == IR_add ? 2 : 1); i++) {
        int kept = a->out->count;

        if (mentions(a, e->arguments[1 - i], t) && !mentions(a, e->arguments[i], t) && absorb(a, e->arguments[i], f))
            return true;
        a->out->count = kept;
    }
    return add_beside(a, e->arguments[mentions(a, e->arguments[1], t)], t, f);
}

static const struct ir_expr *additive_read(const struct absorbing *a, const struct ir_expr *e, const struct ir_tensor *t)
{
    while (e->kind == IR_APPLY && (e->op == IR_add || (e->op == IR_subtract && !mentions(a, e->arguments[1], t))))
        e = e->arguments[mentions(a, e->arguments[1], t)];
    return e->kind == IR_READ && !e->otherwise ? e : NULL;
}

static bool add_behind(struct absorbing *a, const struct ir_tensor *t, const struct factor *f)
{
    const struct ir_tensor *reader = NULL;
    const struct ir_expr *read;
    struct factor there = {.along = f->along};

    for (int i = 0; i < a->r->p->tensors.count && !reader; i++)
        if (!a->r->gone[i] && reads(a, a->r->p->tensors.at[i], t))
            reader = a->r->p->tensors.at[i];
    if (!reader || a->r->uses[t->number] != 1 || reader->kind != IR_EQUATION || reader->reduction != IR_MAP || reader->recurrence ||
        !(read = additive_read(a, reader->value, t)))
        return refuse(a, arena_printf(a->r->arena, "nothing is added to %s that could take the shift: it wants a bias", place_of(a, t)));
    for (int i = 0; i < f->along->count; i++) {
        struct ir_index *index = ir_form_bare(f->forms[i]);

        for (int k = 0; k < t->rank; k++)
            if (t->axes[k] == index)
                there.forms[i] = read->subscripts[k];
        if (!there.forms[i] || !ir_form_bare(there.forms[i]))
            return refuse(a, "what is added is read at other places");
    }
    return add_beside(a, reader->value, t, &there) || add_behind(a, reader, &there);
}

/* What the reader gains at each of its elements by the shift of y; it wants to be constant along all but a few axes, those of a bias. */
static bool gain_shift(struct absorbing *a, const struct ir_tensor *t, const struct affine *affine)
{
    int64_t count = sample_elements(t), terms = ir_extent_product(t->reduced, t->reduced_count);
    double *gained = NEW_ARRAY(a->r->arena, double, count + 1);
    struct along none = affine->shift, *along = NEW(a->r->arena, struct along);
    struct factor f;

    none.values = NEW_ARRAY(a->r->arena, double, ir_elements(affine->y) + 1);
    for (int64_t e = 0; e < count; e++) {
        set_element(a->r, t, e);
        for (int64_t k = 0; k < terms; k++) {
            struct point with = {.r = a->r, .equation = t, .of = affine->y, .place = &affine->shift};
            struct point without = {.r = a->r, .equation = t, .of = affine->y, .place = &none};
            int64_t rest = k;

            for (int i = t->reduced_count - 1; i >= 0; i--) {
                a->r->at[t->reduced[i]->number] = rest % t->reduced[i]->extent;
                rest /= t->reduced[i]->extent;
            }
            gained[e] += pair_at(&with, t->value).shift - pair_at(&without, t->value).shift;
            if (with.why)
                return refuse(a, with.why);
        }
    }
    *along = vary(a->r->arena, t, gained, NULL);
    if (is_all(along, 0))
        return true;
    factor_of_axes(a, along, t, &f);
    if (add_beside(a, t->value, affine->y, &f) || add_behind(a, t, &f))
        return true;
    if (along->count > 1)
        a->why = arena_printf(a->r->arena, "%s reads 0 beyond its border, where the shift is missing: it wants windows that stay inside, or the layer behind it",
                              place_of(a, t));
    return false;
}

const char *absorb_after(struct reading *r, const struct affine *affine, change_list *out)
{
    struct absorbing a = {.r = r, .out = out};
    bool any = false;

    if (is_output(&a, affine->y))
        return arena_printf(r->arena, "%s is an answer", place_of(&a, affine->y));
    for (int i = 0; i < r->p->tensors.count && !a.why; i++) {
        const struct ir_tensor *t = r->p->tensors.at[i];

        if (r->gone[i] || !reads(&a, t, affine->y))
            continue;
        any = true;
        if (t->kind != IR_EQUATION || t->recurrence || t->targets || (t->reduction != IR_MAP && t->reduction != IR_SUM))
            return arena_printf(r->arena, "%s is no product with parameters", place_of(&a, t));
        a.term = false;
        if (!is_all(&affine->scale, 1) && !push(&a, t->value, affine))
            return a.why;
        a.term = true;
        if (!is_all(&affine->shift, 0) && !gain_shift(&a, t, affine))
            return a.why;
        a.why = NULL;
    }
    return any ? NULL : "nothing reads it";
}
