/* gather.c: subscripts that are known at run time only: numbers rounded down, and other samples of the batch. */
#include "internal.h"

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

const struct value *of_other_sample(struct scope *scope, const struct value *v, struct node *subscript,
                                    const struct node *read)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    const struct value *n;
    const struct ir_form *form;
    ir_index_list free = {0};

    if (!w->batch)
        return fail(scope, "E0403", subscript->span, "there is no batch here");
    if (w->streaming)
        return not_compiled(scope, subscript->span, "a read of another sample in a report, which has no batch");
    free_indices(scope, v, &free);
    if (!list_has(&free, w->batch))
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
    if (form->low < 0 || form->high >= w->batch->extent)
        return fail(scope, "E0314", subscript->span, "%s may be %lld, outside 0..%lld: the batch",
                    text_of(scope, subscript->a), (long long)(form->low < 0 ? form->low : form->high),
                    (long long)w->batch->extent - 1);
    v = value_of_whole(scope, v, scope->target ? arena_printf(w->arena, "%s.of", scope->target) : "of", read->span);
    return value_tensor(scope, ir_substitute(p, v->expr, (struct ir_index *[]){w->batch}, &form, 1), &v->own);
}
