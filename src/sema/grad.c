/* grad.c: `grad(e, x)`: the derivative of one number, for each value of its free indices apart, with respect to what is
   added where x is defined. The gradient's equations are appended to the workspace like any others, so it can be used,
   reduced and differentiated again.

   requires   x is a name: a parameter, an input, an intermediate value, a state, a parameter set
   makes      a value with x's own axes; free: those of e and those that x has
   batch      is summed over where both e and x have it: a sample's e depends on its own x alone, else it is E0603 */
#include "autodiff.h"
#include "internal.h"

/* Is v a tensor under a name, every axis of it read as it is? */
static bool has_a_place(const struct value *v)
{
    const struct ir_expr *e = v->expr;

    if (v->kind != VALUE_TENSOR || e->kind != IR_READ || e->otherwise)
        return false;
    for (int i = 0; i < e->tensor->rank; i++) {
        struct ir_index *index = ir_form_bare(e->subscripts[i]);

        if (!index || index->extent != e->tensor->axes[i]->extent)
            return false;
        for (int k = 0; k < i; k++)
            if (ir_form_bare(e->subscripts[k]) == index)
                return false;
    }
    return true;
}

static bool is_constant_state(const struct value *v)
{
    return v->kind == VALUE_TENSOR && v->expr->kind == IR_APPLY && v->expr->op == IR_stop &&
           v->expr->arguments[0]->kind == IR_READ;
}

static const struct value *zeros_like(struct scope *scope, const struct value *x)
{
    ir_index_list own = {0};

    for (int i = 0; i < x->own.count; i++)
        list_add(scope->unit->arena, own, new_index(scope, x->own.at[i]->name, x->own.at[i]->extent));
    return value_tensor(scope, ir_real(scope->workspace->program, 0), &own);
}

/* Where no derivative arrives: an error if something on the way lets none through and nobody said `stop`. */
static const struct value *no_gradient(struct scope *scope, struct ir_tensor *e, const struct value *x, struct node *call,
                                       struct node *wrt)
{
    const struct ir_tensor *end = derivative_ends_at(scope->workspace->program, x->expr->tensor, e);

    if (!depends_on(scope->workspace, e, x->expr->tensor)) {
        warn(scope, "W0004", call->span, "%s is 0: %s does not depend on %s", text_of(scope, call),
             text_of(scope, call->list.at[0]), text_of(scope, wrt));
        return zeros_like(scope, x);
    }
    if (!end || !end->whole)
        return zeros_like(scope, x);
    fail(scope, "E0602", call->span, "%s cannot influence %s: its path ends in %s", text_of(scope, wrt),
         text_of(scope, call->list.at[0]), end->name);
    if (end->origin && end->origin->file)
        note(scope, origin_span(scope->unit, end->origin), "the path ends here");
    return &poison;
}

static bool may_differentiate(struct scope *scope, struct ir_tensor *e, struct ir_tensor *x, bool per_sample,
                              struct node *call, struct node *wrt)
{
    const struct ir_tensor *meet = per_sample ? samples_meet(scope->workspace, e, x) : NULL;
    const struct drawn *drawn = derivative_through_draw(scope->workspace, x, e);

    if (meet) {
        fail(scope, "E0603", call->span, "grad of a per-sample value through `batch`: %s", meet->name);
        if (meet->origin && meet->origin->file)
            note(scope, origin_span(scope->unit, meet->origin), "samples meet here");
        help(scope, "grad(sum[batch] %s, %s)", text_of(scope, call->list.at[0]), text_of(scope, wrt));
        return false;
    }
    if (!drawn)
        return true;
    fail(scope, "E0601", call->span, "%s wants a derivative through the draw %s", text_of(scope, call), drawn->name);
    note(scope, drawn->span, "it is drawn here");
    help(scope, "z = mu + sigma * e with e ~ normal(0, 1), or stop(...) around what the draw rests on");
    return false;
}

/* The gradient at the indices of e and of x. Where e and x share an index it is the diagonal, which is computed without
   the rest where the gradient is no reduction. */
static const struct value *read_gradient(struct scope *scope, struct ir_tensor *gradient, struct ir_tensor *e,
                                         const ir_index_list *axes, const bool *apart, const struct value *x)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, gradient->rank + 1);
    const struct ir_expr *read = x->expr, *value;
    ir_index_list own = {0};
    bool diagonal = false;
    int count = 0;

    for (int i = 0; i < axes->count; i++)
        if (apart[i] && !(e->recurrence && i == e->time))
            forms[count++] = ir_form_index(p, axes->at[i]);
    if (count + read->tensor->rank != gradient->rank)
        bug("the gradient of %s has %d axes, not %d", read->tensor->name, gradient->rank, count + read->tensor->rank);
    for (int i = 0; i < x->own.count; i++)
        list_add(scope->unit->arena, own, new_index(scope, x->own.at[i]->name, x->own.at[i]->extent));
    for (int i = 0; i < read->tensor->rank; i++) {
        struct ir_index *index = ir_form_bare(read->subscripts[i]);

        for (int k = 0; k < x->own.count; k++)
            if (x->own.at[k] == index)
                index = own.at[k];
        for (int k = 0; k < axes->count; k++)
            diagonal |= apart[k] && axes->at[k] == index && !(e->recurrence && k == e->time);
        forms[count++] = ir_form_index(p, index);
    }
    if (diagonal && gradient->kind == IR_EQUATION && gradient->reduction == IR_MAP && !gradient->targets)
        value = ir_substitute(p, gradient->value, gradient->axes, forms, count);
    else
        value = ir_read(p, gradient, forms, count, NULL);
    return value_tensor(scope, value, &own);
}

/* While kinds are open: a real number that differs where the gradient may. */
static const struct value *some_number_of(struct scope *scope, struct ir_tensor *e, const ir_index_list *axes,
                                          const struct value *x)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, axes->count + 1);
    const struct ir_expr *sum;

    for (int i = 0; i < axes->count; i++)
        forms[i] = ir_form_index(p, axes->at[i]);
    sum = ir_apply(p, IR_add, ir_read(p, e, forms, axes->count, NULL), x->expr, NULL);
    return value_tensor(scope, ir_apply(p, IR_multiply, ir_real(p, 0.5), sum, NULL), &x->own);
}

static const struct value *gradient_of(struct scope *scope, struct ir_tensor *e, const ir_index_list *axes,
                                       const struct value *x, struct node *call, struct node *wrt)
{
    struct workspace *w = scope->workspace;
    bool *apart = NEW_ARRAY(w->arena, bool, axes->count + 1), per_sample = false;
    bool within = scope->over && e->recurrence;
    struct ir_tensor *target, *gradient = NULL;
    const struct ir_tensor *where = NULL;
    const char *error;
    ir_index_list free = {0};

    if (is_constant_state(x)) {
        warn(scope, "W0004", call->span, "%s is 0: no derivative passes a state or `stop`", text_of(scope, call));
        return zeros_like(scope, x);
    }
    if (!has_a_place(x)) {
        fail(scope, "E0206", wrt->span, "grad is taken with respect to a name; %s is computed in place",
             text_of(scope, wrt));
        help(scope, "x = %s before it, and x in what is differentiated", text_of(scope, wrt));
        return &poison;
    }
    target = x->expr->tensor;
    if (target->whole && kinds_are_open(scope))
        return some_number_of(scope, e, axes, x);
    if (target->whole)
        return fail(scope, "E0602", wrt->span, "%s is a whole number; nothing can be added to it", text_of(scope, wrt));
    free_indices(scope, x, &free);
    for (int i = 0; i < axes->count; i++) {
        apart[i] = !(axes->at[i]->batch && list_has(&free, axes->at[i]));
        per_sample |= axes->at[i]->batch;
    }
    if (within && target->recurrence != e->recurrence) {
        fail(scope, "E0603", call->span, "%s is defined outside of the `over` that %s stands in", text_of(scope, wrt),
             text_of(scope, call));
        help(scope, "after the block, grad(...) of what it gives");
        return &poison;
    }
    if (!may_differentiate(scope, e, target, per_sample, call, wrt))
        return &poison;
    error = within ? differentiate_within(w->program, e, apart, &target, 1, &gradient, &where)
                   : differentiate_each(w->program, e, apart, &target, 1, &gradient, &where);
    if (error) {
        fail(scope, "E0601", call->span, "there is no such derivative: %s", error);
        if (where && where->origin && where->origin->file)
            note(scope, origin_span(scope->unit, where->origin), "it would have to pass here");
        return &poison;
    }
    if (!gradient)
        return no_gradient(scope, e, x, call, wrt);
    return read_gradient(scope, gradient, e, axes, apart, x);
}

const struct value *evaluate_grad(struct scope *scope, struct node *call, const struct value *piped)
{
    const struct value *e = piped, *x;
    struct node *wrt;
    struct ir_tensor *tensor;
    ir_index_list axes = {0};
    struct value *set;

    if (!scope->workspace)
        return fail(scope, "E0701", call->span, "grad is not known before the run");
    for (int i = 0; i < call->list.count; i++)
        if (call->list.at[i]->name)
            return fail(scope, "E0201", call->list.at[i]->span, "grad has no argument `%s`", call->list.at[i]->name);
    if (call->list.count != (piped ? 1 : 2))
        return fail(scope, "E0207", call->span, "grad takes 2 arguments, a number and what it is differentiated by");
    if (!e)
        e = evaluate(scope, call->list.at[0]->a);
    wrt = call->list.at[call->list.count - 1]->a;
    x = evaluate(scope, wrt);
    if (is_poison(e) || is_poison(x))
        return &poison;
    if (e->kind != VALUE_NUMBER && e->kind != VALUE_TENSOR)
        return fail(scope, "E0206", call->span, "grad is taken of a number");
    if (e->own.count) {
        fail(scope, "E0310", call->span, "%s has axes %s; grad takes one number for each value of its indices",
             text_of(scope, call->list.at[0]), shape_text(scope, &e->own));
        help(scope, "write the subscripts: J[i] = grad(y[i], x)");
        return &poison;
    }
    if (x->kind == VALUE_NUMBER) {
        fail(scope, "E0206", wrt->span, "%s is a number known before the run; nothing changes with it",
             text_of(scope, wrt));
        help(scope, "grad(e, x) is taken by an input, a parameter, or a value that is computed of them");
        return &poison;
    }
    if (x->kind != VALUE_TENSOR && x->kind != VALUE_SET)
        return fail(scope, "E0206", wrt->span, "%s is no value that grad could be taken with respect to",
                    text_of(scope, wrt));
    tensor = tensor_of(scope, e, scope->target ? arena_printf(scope->unit->arena, "%s.of", scope->target) : "of",
                       call->span);
    if (e->kind == VALUE_TENSOR)
        equation_axes(scope, e, &axes);
    if (x->kind == VALUE_TENSOR)
        return gradient_of(scope, tensor, &axes, x, call, wrt);
    set = value_new(scope, VALUE_SET);
    for (int i = 0; i < x->items.count; i++) {
        const struct value *piece = gradient_of(scope, tensor, &axes, x->items.at[i], call, wrt);

        if (is_poison(piece))
            return &poison;
        list_add(scope->unit->arena, set->items, piece);
    }
    return set;
}
