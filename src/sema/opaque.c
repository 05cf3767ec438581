/* opaque.c: rank, solve, cholesky and orthogonal, which no equation says. The IR has them as tensors over the last axes
   of tensors: what is free in the operands is in front, in one order for all of them. */
#include <string.h>

#include "internal.h"

bool is_opaque(const char *name)
{
    return !strcmp(name, "rank") || !strcmp(name, "solve") || !strcmp(name, "cholesky");
}

bool axis_groups(struct scope *scope, struct node *call, ir_index_list *groups, int wanted)
{
    int group = 0;

    for (int i = 0; i < call->more.count; i++) {
        struct node *s = call->more.at[i];

        if (s->kind == NODE_SEMICOLON) {
            group++;
            continue;
        }
        if (group >= wanted)
            break;
        if (!axes_named(scope, &s, 1, &groups[group]) || !axes_distinct(scope, &groups[group], s->span))
            return false;
    }
    if (call->flag && group == wanted - 1 && groups[0].count && (wanted == 1 || groups[1].count))
        return true;
    fail(scope, "E0207", call->span,
         wanted == 1 ? "%s wants the axis it runs along: %s[k](...)" : "%s wants two groups of axes: %s[i; j](...)",
         text_of(scope, call->a), text_of(scope, call->a));
    return false;
}

/* The tensor of e over `front`, then `last`. */
static struct ir_tensor *operand(struct scope *scope, const struct ir_expr *e, const ir_index_list *front,
                                 const ir_index_list *last, const char *name, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    ir_index_list axes = {0};

    if (e->whole) /* LAPACK takes real numbers */
        e = ir_apply(p, IR_divide, e, ir_real(p, 1.0), NULL);
    for (int i = 0; i < front->count; i++)
        list_add(scope->unit->arena, axes, front->at[i]);
    for (int i = 0; i < last->count; i++)
        list_add(scope->unit->arena, axes, last->at[i]);
    return tensor_over(scope, e, &axes, name, span);
}

static const struct value *read_of(struct scope *scope, struct ir_tensor *t, const ir_index_list *front,
                                   const ir_index_list *last)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, t->rank + 1);
    int count = 0;

    for (int i = 0; i < front->count; i++)
        forms[count++] = ir_form_index(p, front->at[i]);
    for (int i = 0; i < last->count; i++)
        forms[count++] = ir_form_index(p, last->at[i]);
    return value_tensor(scope, ir_read(p, t, forms, count, NULL), NULL);
}

static struct ir_tensor *opaque_here(struct scope *scope, const char *name, enum ir_opaque opaque,
                                     struct ir_tensor *const *operands, const ir_index_list *front, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_origin *origin = origin_of(scope, span);
    int time;
    const struct ir_recurrence *recurrence = recurrence_here(scope, front, &time);

    if (recurrence)
        return ir_opaque_in(p, name, opaque, operands[0], operands[1], recurrence, time, origin);
    return ir_opaque_tensor(p, name, opaque, operands[0], operands[1], origin);
}

const struct value *call_opaque(struct scope *scope, const char *name, struct node *call, const struct value *x)
{
    enum ir_opaque opaque = !strcmp(name, "rank") ? IR_RANK : !strcmp(name, "solve") ? IR_SOLVE : IR_CHOLESKY;
    struct scope *inner = scope_inner(scope);
    struct ir_program *p;
    int count = 0, wanted = opaque == IR_SOLVE ? 2 : 1, group_count = opaque == IR_RANK ? 1 : 2;
    const struct value *arguments[2] = {0};
    ir_index_list groups[2] = {{0}}, front = {0}, all = {0}, matrix = {0}, found = {0};
    struct value both = {.kind = VALUE_TENSOR};
    struct ir_tensor *operands[2] = {0}, *result;
    const char *target = scope->target ? arena_printf(scope->unit->arena, "%s.%s", scope->target, name) : name, *key;

    if (!scope->workspace)
        return fail(scope, "E0701", call->span, "%s is not known before the run", name);
    p = scope->workspace->program;
    if (x)
        arguments[count++] = x;
    if (count + call->list.count != wanted)
        return fail(scope, "E0207", call->span, "%s takes %d argument%s, not %d", name, wanted, wanted == 1 ? "" : "s",
                    count + call->list.count);
    if (!declare_axes(inner, call->more.at, call->more.count, true))
        return &poison;
    for (int i = 0; i < call->list.count; i++) {
        if (call->list.at[i]->name)
            return fail(scope, "E0201", call->list.at[i]->span, "%s has no argument `%s`", name,
                        call->list.at[i]->name);
        arguments[count++] = evaluate(inner, call->list.at[i]->a);
    }
    for (int i = 0; i < wanted; i++) {
        if (is_poison(arguments[i]))
            return &poison;
        if (arguments[i]->kind != VALUE_TENSOR && arguments[i]->kind != VALUE_NUMBER)
            return fail(scope, "E0206", call->span, "%s takes numbers", name);
        if (!arguments[i]->own.count)
            continue;
        fail(scope, "E0310", call->span, "the argument has axes %s; %s wants one number for each value of its indices",
             shape_text(scope, &arguments[i]->own), name);
        help(scope, "write the subscripts");
        return &poison;
    }
    if (!axis_groups(inner, call, groups, group_count))
        return &poison;
    for (int i = 0; i < group_count; i++) {
        if (groups[i].count != 1)
            return fail(scope, "E0308", call->span, "%s works along one axis%s; join several in a value of their own",
                        name, group_count > 1 ? " and another" : "");
        list_add(scope->unit->arena, matrix, groups[i].at[0]);
    }
    if (!axes_distinct(inner, &matrix, call->span))
        return &poison;
    free_indices(inner, arguments[0], &found);
    for (int i = 0; i < matrix.count; i++)
        if (!list_has(&found, matrix.at[i]))
            return fail(scope, "E0312", call->span, "%s does not occur in what %s is taken of", matrix.at[i]->name,
                        name);
    if (matrix.count == 2 && matrix.at[0]->extent != matrix.at[1]->extent)
        return fail(scope, "E0301", call->span, "%s wants a square matrix, and %s is %lld, %s %lld", name,
                    matrix.at[0]->name, (long long)matrix.at[0]->extent, matrix.at[1]->name,
                    (long long)matrix.at[1]->extent);
    if (opaque == IR_SOLVE) {
        found = (ir_index_list){0};
        free_indices(inner, arguments[1], &found);
        if (!list_has(&found, matrix.at[0]) || list_has(&found, matrix.at[1]))
            return fail(scope, "E0312", call->span, "the right side of solve[%s; %s] has the axis %s, and not %s",
                        matrix.at[0]->name, matrix.at[1]->name, matrix.at[0]->name, matrix.at[1]->name);
    }
    both.expr = value_expr(inner, arguments[0]);
    if (wanted == 2)
        both.expr = ir_apply(p, IR_add, both.expr, value_expr(inner, arguments[1]), NULL);
    equation_axes(inner, &both, &all);
    for (int i = 0; i < all.count; i++)
        if (!list_has(&matrix, all.at[i]))
            list_add(scope->unit->arena, front, all.at[i]);
    operands[0] = operand(inner, value_expr(inner, arguments[0]), &front, &matrix,
                          arena_printf(scope->unit->arena, "%s.of", target), call->span);
    matrix.count = 1;
    if (wanted == 2)
        operands[1] = operand(inner, value_expr(inner, arguments[1]), &front, &matrix,
                              arena_printf(scope->unit->arena, "%s.right", target), call->span);
    key = arena_printf(scope->unit->arena, "opaque %d %p %p", (int)opaque, (void *)operands[0], (void *)operands[1]);
    result = map_get(scope->workspace->reductions, key);
    if (!result) {
        result =
            opaque_here(scope, *scope->path ? arena_printf(scope->unit->arena, "%s.%s", scope->path, target) : target,
                        opaque, operands, &front, call->span);
        map_put(scope->workspace->reductions, key, result);
    }
    if (opaque == IR_CHOLESKY)
        matrix.count = 2;
    if (opaque == IR_SOLVE)
        matrix = groups[1];
    return read_of(inner, result, &front, &matrix);
}

/* ---- orthogonal[i; o](gain) ---- */

/* A place in the axes of a group, taken apart from one index over all of them. */
static void take_apart(struct ir_program *p, struct ir_index *joined, const ir_index_list *group,
                       const ir_index_list *axes, const struct ir_form **forms)
{
    const struct ir_form *rest = ir_form_index(p, joined);

    for (int k = group->count - 1; k >= 0; k--) {
        int at = 0;

        while (axes->at[at] != group->at[k])
            at++;
        forms[at] = k ? ir_form_remainder(p, rest, group->at[k]->extent) : rest;
        if (k)
            rest = ir_form_quotient(p, rest, group->at[k]->extent);
    }
}

static const struct ir_form *joined(struct ir_program *p, const ir_index_list *group)
{
    const struct ir_form *form = ir_form_constant(p, 0);

    for (int i = 0; i < group->count; i++)
        form = ir_form_add(p, ir_form_scale(p, form, group->at[i]->extent), ir_form_index(p, group->at[i]));
    return form;
}

struct ir_tensor *draw_orthogonal(struct scope *scope, const struct ir_expr *gain, const ir_index_list *in,
                                  const ir_index_list *out, const char *name, const struct ir_expr *normal,
                                  const ir_index_list *axes, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    struct arena *arena = scope->unit->arena;
    const struct ir_origin *origin = origin_of(scope, span);
    const struct ir_form **forms = NEW_ARRAY(arena, const struct ir_form *, axes->count + 1);
    ir_index_list matrix = {0};
    struct ir_tensor *shaped, *q;
    int count = 0;

    for (int i = 0; i < axes->count; i++) {
        if (list_has(in, axes->at[i]) || list_has(out, axes->at[i]))
            continue;
        list_add(arena, matrix, axes->at[i]);
        forms[i] = ir_form_index(p, axes->at[i]);
    }
    for (int i = 0; i < in->count + out->count; i++) {
        const struct ir_index *index = i < in->count ? in->at[i] : out->at[i - in->count];

        if (list_has(axes, index) && !(i >= in->count && list_has(in, index)))
            continue;
        fail(scope, "E0312", span, "%s does not occur on the left of what is drawn", index->name);
        return NULL;
    }
    list_add(arena, matrix, new_index(scope, "rows", ir_extent_product(in->at, in->count)));
    list_add(arena, matrix, new_index(scope, "columns", ir_extent_product(out->at, out->count)));
    take_apart(p, matrix.at[matrix.count - 2], in, axes, forms);
    take_apart(p, matrix.at[matrix.count - 1], out, axes, forms);
    shaped = equation_here(scope, arena_printf(arena, "%s.normal", name), &matrix, IR_MAP, NULL,
                           ir_substitute(p, normal, axes->at, forms, axes->count), false, span);
    q = ir_opaque_tensor(p, arena_printf(arena, "%s.orthogonal", name), IR_ORTHOGONAL, shaped, NULL, origin);
    forms = NEW_ARRAY(arena, const struct ir_form *, q->rank + 1);
    for (int i = 0; i < axes->count; i++)
        if (!list_has(in, axes->at[i]) && !list_has(out, axes->at[i]))
            forms[count++] = ir_form_index(p, axes->at[i]);
    forms[count++] = joined(p, in);
    forms[count++] = joined(p, out);
    return equation_here(scope, arena_printf(arena, "%s.value", name), axes, IR_MAP, NULL,
                         ir_apply(p, IR_multiply, ir_read(p, q, forms, count, NULL), gain, NULL), false, span);
}
