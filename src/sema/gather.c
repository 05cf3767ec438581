/* gather.c: subscripts: what is inside, what is read outside, and what is known at run time only: numbers rounded down,
   and other samples of the batch. */
#include "internal.h"

/* ---- subscripts ---- */

static bool reads_memory(const struct ir_form *form)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;

        if (atom->kind == IR_ATOM_VALUE)
            return true;
        if ((atom->kind == IR_ATOM_QUOTIENT || atom->kind == IR_ATOM_REMAINDER) && reads_memory(atom->form))
            return true;
    }
    return false;
}

static bool inside(const struct ir_form *form, int64_t extent)
{
    return form->low >= 0 && form->high < extent;
}

const struct value *value_read_at(struct scope *scope, const struct value *v, const struct ir_form **forms, int count,
                                  const struct value *otherwise, const struct node *at)
{
    struct ir_program *p = scope->workspace->program;
    bool guarded = false, gathers = false;
    ir_index_list rest = {0};
    const struct ir_expr *e;
    const struct value *out;

    for (int i = 0; i < count; i++) {
        int64_t extent = v->own.at[i]->extent;

        if (reads_memory(forms[i]))
            gathers = true;
        if (inside(forms[i], extent))
            continue;
        guarded = true;
        if (!otherwise) {
            int64_t beyond = forms[i]->low < 0 ? forms[i]->low : forms[i]->high;
            struct text text = {0};

            if (at->kind == NODE_READ && at->list.count == count)
                text_add(&text, text_of(scope, at->list.at[i]));
            else
                ir_print_form(&text, forms[i]);
            if (!forms[i]->count)
                fail(scope, "E0314", at->span, "%s is outside 0..%lld: %s", text.data, (long long)extent - 1,
                     text_of(scope, at));
            else if (beyond == INT64_MAX || beyond == INT64_MIN)
                fail(scope, "E0314", at->span, "%s may be outside 0..%lld: %s", text.data, (long long)extent - 1,
                     text_of(scope, at));
            else
                fail(scope, "E0314", at->span, "%s may be %lld, outside 0..%lld: %s", text.data, (long long)beyond,
                     (long long)extent - 1, text_of(scope, at));
            help(scope, "(%s else 0)", text_of(scope, at));
            text_free(&text);
            return &poison;
        }
    }
    if (guarded || gathers) {
        /* What lies outside is outside a tensor of its own, not outside what a view happens to read. */
        v = value_of_whole(scope, v, scope->target ? arena_printf(scope->unit->arena, "%s.of", scope->target) : "of",
                           at->span);
    }
    for (int i = count; i < v->own.count; i++)
        list_add(scope->unit->arena, rest, v->own.at[i]);
    if (guarded) {
        const struct ir_form **subscripts =
            NEW_ARRAY(scope->unit->arena, const struct ir_form *, v->expr->tensor->rank + 1);
        const struct ir_expr *outside;

        if (otherwise->kind != VALUE_NUMBER && otherwise->kind != VALUE_TENSOR)
            return is_poison(otherwise) ? &poison : fail(scope, "E0206", at->span, "a number is wanted after `else`");
        outside = value_expr(scope, otherwise);
        if (otherwise->own.count) {
            if (!axes_agree(scope, &rest, &otherwise->own, at))
                return &poison;
            outside = with_own(scope, outside, &otherwise->own, &rest);
        }
        for (int i = 0; i < v->expr->tensor->rank; i++)
            subscripts[i] = ir_form_substitute(p, v->expr->subscripts[i], v->own.at, forms, count);
        e = ir_read(p, v->expr->tensor, subscripts, v->expr->tensor->rank, outside);
    } else {
        e = count ? ir_substitute(p, v->expr, v->own.at, forms, count) : v->expr;
    }
    out = stating(scope, value_tensor(scope, e, &rest), &v->stated, NULL);
    return guarded ? stating(scope, out, &otherwise->stated, NULL) : out;
}

/* ---- numbers rounded down ---- */

/* How many k of 0 .. count - 1 have floor(e) >= first + k * stride: a whole number that the IR knows the range of. */
static const struct ir_expr *steps_passed(struct scope *scope, const struct ir_expr *e, const struct ir_expr *first,
                                          int64_t stride, int64_t count, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    struct ir_index *k = new_index(scope, "step", count);
    ir_index_list over = {0};
    struct value v = {.kind = VALUE_TENSOR};
    const struct ir_expr *at = ir_of_form(p, ir_form_scale(p, ir_form_index(p, k), stride));

    list_add(scope->unit->arena, over, k);
    v.expr = ir_apply(p, IR_greater_equal, e, ir_apply(p, IR_add, first, at, NULL), NULL);
    return reduce_over(scope, REDUCE_SUM, &v, &over, span)->expr;
}

/* The IR rounds no real number to a whole one; it counts. With e in [0, extent) the count of the numbers 0, 1, .. that
   are not above e is floor(e) + 1; below it is 0, above at least extent + 1, and 0 for NaN: so what is outside reads
   outside. In two stages, of which each makes about the root of extent comparisons. */
const struct ir_form *rounded_subscript(struct scope *scope, const struct value *v, int64_t extent, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    const struct value *stored = materialise(scope, v, "place", span);
    const struct ir_expr *zero = ir_number(p, 0), *block, *count;
    int64_t side = 1, blocks;

    while (side * side < extent + 1)
        side++;
    blocks = (extent + side) / side; /* blocks * side >= extent + 1 */
    block = steps_passed(scope, stored->expr, zero, side, blocks, span);
    block = ir_apply(p, IR_max, ir_apply(p, IR_subtract, block, ir_number(p, 1), NULL), zero, NULL);
    block = ir_apply(p, IR_multiply, block, ir_number(p, (double)side), NULL);
    count = ir_apply(p, IR_add, block, steps_passed(scope, stored->expr, block, 1, side, span), NULL);
    v = value_tensor(scope, ir_apply(p, IR_subtract, count, ir_number(p, 1), NULL), NULL);
    return ir_form_of(p, materialise(scope, v, "place", span)->expr);
}

/* ---- other samples ---- */

const struct value *of_other_sample(struct scope *scope, const struct value *v, struct node *subscript,
                                    const struct node *read)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    const struct value *n;
    const struct ir_form *form;
    struct ir_index *samples = w->batch;
    ir_index_list free = {0};

    if (!w->batch)
        return fail(scope, "E0403", subscript->span, "there is no batch here");
    if (w->streaming)
        return whole_split(scope);
    free_indices(scope, v, &free);
    /* In a data block D.S.x runs over the items of S, along an index of their own. */
    for (int i = 0; w->split && i < free.count; i++)
        if (free.at[i]->batch && free.at[i] != w->batch)
            samples = free.at[i];
    if (!list_has(&free, samples))
        return fail(scope, "E0403", read->span, "the value does not differ between samples: %s", text_of(scope, read));
    n = evaluate(scope, subscript->a);
    if (is_poison(n))
        return &poison;
    if (n->kind == VALUE_NUMBER && n->whole)
        form = ir_form_constant(p, (int64_t)n->number);
    else if (n->kind == VALUE_TENSOR && !n->own.count && n->expr->whole)
        form = ir_form_of(p, n->expr);
    else
        return fail(scope, "E0306", subscript->span, "a subscript is a whole number; %s is not",
                    text_of(scope, subscript->a));
    if (form->low < 0 || form->high >= samples->extent)
        return fail(scope, "E0314", subscript->span, "%s may be %lld, outside 0..%lld: %s",
                    text_of(scope, subscript->a), (long long)(form->low < 0 ? form->low : form->high),
                    (long long)samples->extent - 1,
                    samples == w->batch ? "the batch" : samples->name);
    v = value_of_whole(scope, v, scope->target ? arena_printf(w->arena, "%s.of", scope->target) : "of", read->span);
    return value_tensor(scope, ir_substitute(p, v->expr, (struct ir_index *[]){samples}, &form, 1), &v->own);
}
