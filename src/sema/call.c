/* call.c: calls of operators, functions and layers; pipelines; instances and the places they have. */
#include <string.h>

#include "internal.h"

static struct call *called(struct scope *scope, const char *name, struct span at)
{
    struct call *call = NEW(scope->unit->arena, struct call);

    call->name = name;
    call->span = at;
    call->up = scope->calls;
    call->depth = scope->calls ? scope->calls->depth + 1 : 1;
    return call;
}

/* Layers and functions are put in place, so a definition that reaches itself would never end, and forty that call the one before
   twice would be 2^40 calls. Passes of a `repeat` count as calls. */
enum { DEEPEST = 100, MOST_CALLS = 100000, MOST_EQUATIONS = 100000 };

/* Counts a call; false, and an error the first time, if there are too many, or it stands too deep. */
static bool put_in_place(struct scope *scope, const char *name, struct span at)
{
    struct unit *unit = scope->unit;

    if (scope->calls && scope->calls->depth >= DEEPEST) {
        diagnose(unit->diagnostics, "E0205", at, "%s calls itself, or calls are nested more than %d deep", name,
                 DEEPEST);
        return false;
    }
    if (unit->calls > MOST_CALLS)
        return false;
    if (++unit->calls > MOST_CALLS) {
        diagnose(unit->diagnostics, "E0205", at, "%s goes beyond %d calls and passes, each of which is put in place",
                 name, MOST_CALLS);
        diagnose_help(unit->diagnostics, "what is called twice with the same arguments can be computed once, with a name");
        return false;
    }
    return true;
}

/* ---- predefined functions ---- */

static bool operator_named(const char *name, enum ir_op *op, int *arity)
{
#define OP(row, count, form, symbol, ...) OPERATOR_ROW_##form(row, count, symbol)
#define OPERATOR_ROW_CALL(row, count, symbol)                                                                          \
    if (!strcmp(name, symbol))                                                                                         \
        return *op = IR_##row, *arity = count, true;
#define OPERATOR_ROW_INFIX(row, count, symbol)
#define OPERATOR_ROW_PREFIX(row, count, symbol)
#define OPERATOR_ROW_SELECT(row, count, symbol)
#include "ops.def"
#undef OP
    return false;
}

/* size(D.S): how many items split S of the data D has. */
static const struct value *size_of_split(struct scope *scope, const struct node *path, const char *dot)
{
    struct unit *unit = scope->unit;
    const char *name = arena_slice(unit->arena, path->name, (size_t)(dot - path->name));
    struct definition *data = find_definition(unit, scope->file, name, path->span);
    struct data_split *split;

    if (!data || data->node->kind != NODE_DATA)
        return fail(scope, "E0201", path->span, "there is no data block `%s`", name);
    split = data_split(unit, data, dot + 1);
    if (!split) {
        fail(scope, "E0201", path->span, "the data %s have no split `%s`", name, dot + 1);
        suggest_split(unit, data, dot + 1, false);
        return &poison;
    }
    return value_number(scope, (double)split_items(unit, split), true);
}

/* size(D): of which split? */
static bool names_data(struct scope *scope, const struct node *path)
{
    const struct definition *data =
        path->kind == NODE_PATH && !strchr(path->name, '.') ? map_get(scope->file->names, path->name) : NULL;
    name_list splits = {0};

    if (!data || data->node->kind != NODE_DATA || scope_find(scope, path->name))
        return false;
    data_split_names(scope->unit, (struct definition *)data, &splits);
    fail(scope, "E0207", path->span, "size takes a split of data, or axes; %s is a data block", path->name);
    help(scope, "size(%s.%s)", path->name, splits.count ? splits.at[0] : "train");
    return true;
}

static const struct value *size_of(struct scope *scope, struct node *call)
{
    ir_index_list axes = {0};

    for (int i = 0; i < call->list.count; i++) {
        struct node *a = call->list.at[i]->a;
        const char *dot = a->kind == NODE_PATH ? strchr(a->name, '.') : NULL;

        if (names_data(scope, a))
            return &poison;
        if (!scope->workspace)
            break;
        if (dot && call->list.count == 1)
            return size_of_split(scope, a, dot);
        if (dot)
            return fail(scope, "E0207", a->span, "size takes one split, or axes");
        if (!axes_named(scope, &a, 1, &axes))
            return &poison;
    }
    if (!scope->workspace) {
        fail(scope, "E0701", call->span, "size is not known here");
        help(scope, "it is where models, layers, losses and reports are; here stands a number: let n = 50000");
        return &poison;
    }
    scope->workspace->sized |= list_has(&axes, scope->workspace->batch);
    if (scope->workspace->streaming && list_has(&axes, scope->workspace->batch)) {
        /* In a report `batch` is the whole split. */
        struct ir_program *p = scope->workspace->program;
        const struct ir_expr *count = ir_read(p, scalar_leaf(scope->workspace, "count"), NULL, 0, NULL);
        double others = (double)ir_extent_product(axes.at, axes.count) / (double)scope->workspace->batch->extent;

        return value_tensor(scope, ir_apply(p, IR_multiply, count, ir_real(p, others), NULL), NULL);
    }
    return value_number(scope, axes.count ? (double)ir_extent_product(axes.at, axes.count) : 1, true);
}

static const struct value *call_operator(struct scope *scope, const char *name, struct node *call,
                                         const struct value *x)
{
    const struct value *arguments[4] = {x};
    enum ir_op op;
    int arity, count = x != NULL;

    if (is_distribution(name))
        return make_distribution(scope, call, name, call->list.at, call->list.count);
    if (!strcmp(name, "grad"))
        return evaluate_grad(scope, call, x);
    if (!strcmp(name, "gradient") || !strcmp(name, "objective") || !strcmp(name, "named"))
        return evaluate_probe(scope, name, call);
    if (!strcmp(name, "size"))
        return size_of(scope, call);
    if (is_opaque(name))
        return call_opaque(scope, name, call, x);
    if (!operator_named(name, &op, &arity))
        return fail(scope, "E0206", call->span, "`%s` is no function", name);
    for (int i = 0; i < call->list.count; i++) {
        struct node *argument = call->list.at[i];

        if (argument->name)
            return fail(scope, "E0201", argument->span, "%s has no argument `%s`", name, argument->name);
        if (count == 4)
            break;
        arguments[count] = evaluate(scope, argument->a);
        if (is_poison(arguments[count++]))
            return &poison;
    }
    if (count != arity) {
        fail(scope, "E0207", call->span, "%s takes %d argument%s, not %d", name, arity, arity == 1 ? "" : "s", count);
        if (count == 1 && (op == IR_max || op == IR_min))
            help(scope, "the %s along an axis is %s[i] x[i]", op == IR_max ? "largest" : "smallest", name);
        return &poison;
    }
    return apply_operator(scope, op, arguments, arity, call);
}

/* ---- fn ---- */

/* `softmax` without brackets: along the only axis there is. */
static const struct value *open_own(struct scope *body, const struct value *v, ir_index_list *group)
{
    struct ir_program *p = body->workspace->program;
    struct value *open;
    struct ir_index *index;
    const struct ir_form *form;

    if (v->kind == VALUE_SET) {
        int64_t extent = 0;

        for (int i = 0; i < v->items.count; i++)
            extent +=
                v->items.at[i]->own.count ? ir_extent_product(v->items.at[i]->own.at, v->items.at[i]->own.count) : 1;
        open = value_new(body, VALUE_SET);
        *open = *v;
        if (!open->opened)
            open->opened = new_index(body, "all", extent);
        list_add(body->unit->arena, *group, open->opened);
        return open;
    }
    index = new_index(body, v->own.at[0]->name, v->own.at[0]->extent);
    form = ir_form_index(p, index);
    list_add(body->unit->arena, *group, index);
    return stating(body,
                   stating(body, value_tensor(body, ir_substitute(p, v->expr, v->own.at, &form, 1), NULL), group, NULL),
                   &v->stated, NULL);
}

static bool bind_groups(struct scope *inner, struct scope *body, struct definition *fn, struct node *call,
                        const value_list *arguments)
{
    int at = 0;
    struct node *name = NULL;
    struct binding *binding = NULL;
    ir_index_list free = {0};

    for (int i = 0; i < arguments->count; i++)
        free_indices(inner, arguments->at[i], &free);
    for (int i = 0; i <= fn->node->more.count; i++) {
        bool end = i == fn->node->more.count || fn->node->more.at[i]->kind == NODE_SEMICOLON;

        if (!end) {
            name = fn->node->more.at[i];
            binding = scope_bind(body, name->name, name->span);
            binding->kind = BIND_AXIS;
            continue;
        }
        for (; at < call->more.count && call->more.at[at]->kind != NODE_SEMICOLON; at++) {
            int before = binding ? binding->axes.count : 0;

            if (!binding || !axes_named(inner, &call->more.at[at], 1, &binding->axes))
                return false;
            items_of_another_split(inner, &binding->axes, &free);
            for (int k = before; k < binding->axes.count; k++) {
                if (!axes_distinct(inner, &binding->axes, call->more.at[at]->span))
                    return false;
                if (!binding->axes.at[k]->batch || !arguments->count || list_has(&free, binding->axes.at[k]))
                    continue;
                fail(inner, "E0403", call->more.at[at]->span, "the value does not differ between samples: %s",
                     text_of(inner, call));
                return false;
            }
        }
        if (i < fn->node->more.count) {
            if (at >= call->more.count) {
                fail(inner, "E0207", call->span, "%s wants more groups of axes, apart by `;`", fn->name);
                return false;
            }
            at++;
        }
    }
    if (at < call->more.count) {
        fail(inner, "E0207", call->more.at[at]->span, "%s wants fewer groups of axes", fn->name);
        return false;
    }
    return true;
}

static const struct value *function_result(struct scope *body, struct definition *fn)
{
    struct binding *result;

    if (!fn->node->result) {
        body->statement = fn->node->a;
        return evaluate(body, fn->node->a);
    }
    run_statements(body, fn->node->a);
    result = scope_find(body, fn->node->result);
    if (result && result->kind == BIND_VALUE)
        return result->value;
    return fail(body, "E0208", fn->node->name_span, "%s gives `%s`, which its body does not define", fn->name,
                fn->node->result);
}

const struct value *call_function(struct scope *scope, struct definition *fn, struct node *call, const struct value *x)
{
    struct scope *inner = scope_inner(scope), *body;
    value_list arguments = {0};
    const struct value **given = NEW_ARRAY(scope->unit->arena, const struct value *, fn->node->list.count + 1), *result;
    int position = 0;
    struct ir_index *opened = NULL;
    ir_index_list group = {0}, free = {0};
    struct value *closed;

    if (!inner->statement)
        inner->statement = call;
    if (!put_in_place(scope, fn->name, call->span))
        return &poison;
    if (call->flag && !fn->node->flag)
        return fail(scope, "E0207", call->span, "%s has no axes in brackets", fn->name);
    if (call->flag && !declare_axes(inner, call->more.at, call->more.count, true))
        return &poison;
    if (x)
        list_add(scope->unit->arena, arguments, x);
    if (x && fn->node->list.count)
        given[position++] = x;
    for (int i = 0; i < call->list.count; i++) {
        struct node *argument = call->list.at[i];
        const struct value *v = evaluate(inner, argument->a);
        int at = position;

        if (is_poison(v))
            return &poison;
        if (argument->name) {
            name_list names = {0};

            for (at = 0; at < fn->node->list.count; at++) {
                if (!strcmp(fn->node->list.at[at]->name, argument->name))
                    break;
                list_add(scope->unit->arena, names, fn->node->list.at[at]->name);
            }
            if (at == fn->node->list.count) {
                fail(scope, "E0201", argument->span, "%s has no argument `%s`", fn->name, argument->name);
                suggest(scope->unit->diagnostics, argument->name, &names);
                return &poison;
            }
        } else {
            position++;
        }
        if (at >= fn->node->list.count)
            return fail(scope, "E0207", argument->span, "%s takes %d argument%s", fn->name, fn->node->list.count,
                        fn->node->list.count == 1 ? "" : "s");
        if (given[at])
            return fail(scope, "E0207", argument->span, "%s gets `%s` twice", fn->name, fn->node->list.at[at]->name);
        given[at] = v;
        list_add(scope->unit->arena, arguments, v);
    }
    body = scope_body(scope, fn->file, scope->path);
    body->site = scope->site;
    body->target = scope->target;
    body->function = true;
    body->calls = called(scope, fn->name, call->span);
    if (call->flag) {
        if (!bind_groups(inner, body, fn, call, &arguments))
            return &poison;
    } else if (fn->node->flag) {
        struct binding *binding;

        if (fn->node->more.count != 1 || !fn->node->list.count || !given[0] ||
            !(given[0]->kind == VALUE_SET || (given[0]->kind == VALUE_TENSOR && given[0]->own.count == 1))) {
            fail(
                scope, "E0308", call->span, "%s works along an axis%s", fn->name,
                given[0] && given[0]->kind == VALUE_TENSOR && given[0]->own.count > 1
                    ? arena_printf(scope->unit->arena, ", and the value has axes %s", shape_text(scope, &given[0]->own))
                    : "");
            help(scope, "name the axis: y[i] = %s[i](x[i])", fn->name);
            return &poison;
        }
        given[0] = open_own(body, given[0], &group);
        binding = scope_bind(body, fn->node->more.at[0]->name, fn->node->more.at[0]->span);
        binding->kind = BIND_AXIS;
        binding->axes = group;
        opened = group.at[0];
    }
    for (int i = 0; i < fn->node->list.count; i++) {
        struct node *setting = fn->node->list.at[i];
        const struct value *v = given[i];

        if (!v && setting->a)
            v = evaluate(body, setting->a);
        if (!v)
            return fail(scope, "E0207", call->span, "%s wants `%s`", fn->name, setting->name);
        scope_define(body, setting->name, setting->span, v);
    }
    result = function_result(body, fn);
    if (result->kind == VALUE_SET && opened && result->opened == opened) {
        closed = value_new(scope, VALUE_SET);
        *closed = *result;
        closed->opened = NULL;
        return closed;
    }
    if (result->kind != VALUE_TENSOR || !opened)
        return result;
    free_indices(scope, result, &free);
    if (!list_has(&free, opened))
        return result;
    return stating(scope, value_tensor(scope, result->expr, &group), &result->stated, &group);
}

/* ---- layers ---- */

static const struct value *output_value(struct scope *inner, struct definition *definition, struct node *output,
                                        const value_list *inputs)
{
    struct binding *binding = map_get(inner->names, output->name);
    const struct value *v;
    ir_index_list declared = {0}, own = {0};
    struct value *out;
    const struct ir_form **forms;

    if (!binding || binding->kind != BIND_VALUE) {
        fail(inner, "E0208", output->span, "%s does not define its output `%s`%s", definition->name, output->name,
             inner->training ? " in training" : " in evaluation");
        return &poison;
    }
    v = binding->value;
    if (is_poison(v))
        return v;
    if (v->kind == VALUE_NUMBER)
        v = value_tensor(inner, value_expr(inner, v), NULL);
    if (v->kind != VALUE_TENSOR)
        return fail(inner, "E0206", output->span, "the output `%s` is no number", output->name);
    for (int i = 0; i < output->list.count; i++) {
        struct node *s = output->list.at[i];

        if (s->kind == NODE_COMPOSITE) {
            ir_index_list parts = {0};

            if (!axes_named(inner, s->list.at, s->list.count, &parts))
                return &poison;
            if (!extent_fits(inner, text_of(inner, s), ir_extent_product(parts.at, parts.count), s->span))
                return &poison;
            list_add(inner->unit->arena, declared, new_index(inner, "a", ir_extent_product(parts.at, parts.count)));
            continue;
        }
        if (s->kind == NODE_PATH && !scope_find(inner, s->name) && declared.count < v->own.count) {
            struct binding *axis = scope_bind(inner, s->name, s->span);

            axis->kind = BIND_AXIS;
            list_add(inner->unit->arena, axis->axes, new_index(inner, s->name, v->own.at[declared.count]->extent));
        }
        if (!axes_named(inner, &s, 1, &declared))
            return &poison;
    }
    for (int i = 0; i < declared.count || i < v->own.count; i++) {
        if (i < declared.count && i < v->own.count && declared.at[i]->extent == v->own.at[i]->extent)
            continue;
        fail(inner, "E0302", output->span, "%s has axes %s and is declared with %s", output->name,
             shape_text(inner, &v->own), shape_text(inner, &declared));
        note(inner, binding->span, "%s is defined here", output->name);
        return &poison;
    }
    if (output->a) {
        int64_t bound;

        if (!bound_of(inner, output->a, &bound))
            return &poison;
        if (!v->expr->whole || v->expr->low < 0 || v->expr->high >= bound)
            return fail(inner, "E0314", output->span, "the output %s is not proved to be a whole number in 0..%lld",
                        output->name, (long long)bound - 1);
    }
    /* An output axis that is an input axis keeps the caller's name. */
    if (!declared.count)
        return v;
    forms = NEW_ARRAY(inner->unit->arena, const struct ir_form *, declared.count);
    for (int i = 0; i < declared.count; i++) {
        const char *name = declared.at[i]->name;

        for (int k = 0; k < definition->node->list.count; k++) {
            struct node *input = definition->node->list.at[k];
            bool dots = false;

            for (int j = 0; j < input->list.count; j++) {
                int axis = dots ? inputs->at[k]->own.count - input->list.count + j : j;

                if (input->list.at[j]->kind == NODE_DOTS)
                    dots = true;
                else if (input->list.at[j]->name && !strcmp(input->list.at[j]->name, declared.at[i]->name) &&
                         axis < inputs->at[k]->own.count)
                    name = inputs->at[k]->own.at[axis]->name;
            }
        }
        list_add(inner->unit->arena, own, new_index(inner, name, declared.at[i]->extent));
        forms[i] = ir_form_index(inner->workspace->program, own.at[i]);
    }
    out = value_new(inner, VALUE_TENSOR);
    out->expr = ir_substitute(inner->workspace->program, v->expr, v->own.at, forms, own.count);
    out->own = own;
    out->stated = v->stated;
    return out;
}

const struct value *layer_output(struct scope *inner, struct definition *definition, int number,
                                 const value_list *inputs)
{
    return output_value(inner, definition, definition->node->b->list.at[number], inputs);
}

static void widen_context(struct scope *inner, const struct value *v)
{
    ir_index_list free = {0};

    free_indices(inner, v, &free);
    for (int i = 0; i < free.count; i++)
        if (!list_has(&inner->context, free.at[i]))
            list_add(inner->unit->arena, inner->context, free.at[i]);
}

const struct value *apply_layer(struct scope *scope, struct definition *definition, struct map *settings,
                                const char *path, const value_list *inputs, bool training, const struct node *call,
                                int piped)
{
    struct workspace *w = scope->workspace;
    struct scope *inner = scope_body(scope, definition->file, path);
    int *uses = map_get(w->applications, path);
    value_list values = {0};
    struct value *tuple;
    struct span at = call->span;
    struct call *made;

    if (!put_in_place(scope, definition->name, at))
        return &poison;
    if (w->program->tensors.count > MOST_EQUATIONS)
        return fail(scope, "E0205", at, "%s is put in place here, in a program of more than %d equations",
                    definition->name, MOST_EQUATIONS);
    if (!uses) {
        uses = NEW(w->arena, int);
        map_put(w->applications, path, uses);
    }
    inner->site = ++*uses == 1 ? path : arena_printf(w->arena, "%s(%d)", path, *uses);
    inner->training = training;
    inner->rule = NULL;
    inner->calls = made = called(scope, definition->name, at);
    made->node = call;
    made->piped = piped;
    inner->caller = origin_of(scope, at);
    for (int i = 0; i < inputs->count; i++)
        widen_context(inner, inputs->at[i]);
    for (int i = 0; i < definition->node->more.count; i++) {
        const struct value *v = settings ? map_get(settings, definition->node->more.at[i]->name) : NULL;
        if (v)
            widen_context(inner, v);
    }
    for (int i = 0; i < inputs->count; i++) {
        const struct value *v = inputs->at[i];

        if (v->kind == VALUE_TENSOR && !v->field && !v->unshaped)
            v = materialise_named(inner, v, definition->node->list.at[i]->name, at);
        list_add(w->arena, values, v);
    }
    if (!bind_header(inner, definition, &values, settings, at))
        return &poison;
    run_statements(inner, definition->node->a);
    if (definition->node->b->list.count == 1)
        return output_value(inner, definition, definition->node->b->list.at[0], &values);
    tuple = value_new(scope, VALUE_TUPLE);
    for (int i = 0; i < definition->node->b->list.count; i++)
        list_add(w->arena, tuple->items, output_value(inner, definition, definition->node->b->list.at[i], &values));
    return tuple;
}

static const struct value *run_stages(struct scope *scope, struct node *pipe, const value_list *inputs);

static const struct value *apply_pipe(struct scope *scope, struct layer *layer, const value_list *inputs, bool training,
                                      struct span at)
{
    struct scope *inner = scope_inner(layer->scope);
    const char *dot = strrchr(layer->path, '.');

    if (!put_in_place(scope, dot ? dot + 1 : layer->path, at))
        return &poison;
    inner->training = training;
    inner->in_training_block = scope->in_training_block || layer->scope->in_training_block;
    inner->path = inner->site = layer->path;
    inner->given = layer->pipe->list.count == 1 ? layer->path : NULL;
    inner->context = scope->context;
    inner->over = scope->over;
    inner->context.capacity = inner->context.count;
    inner->calls = called(scope, "this pipeline", at);
    inner->target = scope->target;
    inner->names = map_new(scope->unit->arena);
    return run_stages(inner, layer->pipe, inputs);
}

static const struct value *call_layer(struct scope *scope, const struct value *f, struct node *call,
                                      const struct value *x)
{
    struct layer *layer = f->layer;
    struct definition *definition = layer->definition;
    bool training = scope->training;
    value_list inputs = {0};
    struct map *settings;
    const char *path = layer->path;
    const char *given = scope->given;
    int wanted;
    struct value *instance;

    if (given) {
        scope = scope_inner(scope);
        scope->given = NULL;
    }
    if (!scope->workspace)
        return fail(scope, "E0701", call->span, "a layer is not known before the run");
    if (call->flag)
        return fail(scope, "E0207", call->span, "a layer has no axes in brackets; functions have");
    if (x)
        list_add(scope->unit->arena, inputs, x);
    if (!definition) {
        for (int i = 0; i < call->list.count; i++) {
            struct node *argument = call->list.at[i];
            const struct value *v = evaluate(scope, argument->a);

            if (is_poison(v))
                return &poison;
            if (argument->name && !strcmp(argument->name, "training") && v->kind == VALUE_NUMBER)
                training = v->number != 0;
            else if (argument->name)
                return fail(scope, "E0201", argument->span, "a pipeline has no setting `%s`", argument->name);
            else
                list_add(scope->unit->arena, inputs, v);
        }
        if (!inputs.count)
            return fail(scope, "E0207", call->span, "a pipeline wants an input");
        return apply_pipe(scope, layer, &inputs, training, call->span);
    }
    wanted = definition->node->list.count;
    if (x && !wanted)
        return fail(scope, "E0207", call->span, "%s has no input", definition->name);
    settings = evaluate_settings(scope, definition, call->list.at, call->list.count, wanted, &training, &inputs);
    if (!settings)
        return &poison;
    for (int i = 0; i < inputs.count; i++) {
        const struct value *set = parameters_within(scope, inputs.at[i]);

        if (set)
            inputs.at[i] = set;
        if (is_poison(inputs.at[i]))
            return &poison;
        if (inputs.at[i]->kind != VALUE_NUMBER && inputs.at[i]->kind != VALUE_TENSOR && inputs.at[i]->kind != VALUE_SET)
            return fail(scope, "E0206", call->span, "%s: the input %s is a number", definition->name,
                        definition->node->list.at[i]->name);
    }
    if (inputs.count < wanted) {
        fail(scope, "E0207", call->span, "%s wants %d inputs, and %d %s given", definition->name, wanted, inputs.count,
             inputs.count == 1 ? "is" : "are");
        note(scope, definition->node->name_span, "%s is defined here: %s", definition->name,
             header_text(scope, definition));
        return &poison;
    }
    if (layer->settings)
        settings = layer->settings;
    if (!path)
        path = given ? given : place(scope, call, definition->name);
    if (!map_get(scope->workspace->instances, path)) {
        instance = value_new(scope, VALUE_LAYER);
        instance->layer = NEW(scope->unit->arena, struct layer);
        instance->layer->definition = definition;
        instance->layer->settings = settings;
        instance->layer->path = path;
        map_put(scope->workspace->instances, path, instance);
    }
    return apply_layer(scope, definition, settings, path, &inputs, training, call, x != NULL);
}

const struct value *evaluate_call(struct scope *scope, struct node *call, const struct value *x)
{
    const struct value *f = lookup_path(scope, call->a);

    if (x && is_poison(x))
        return &poison;
    switch (f->kind) {
    case VALUE_POISON:
        return &poison;
    case VALUE_FUNCTION:
        return call_function(scope, f->definition, call, x);
    case VALUE_OPERATOR:
        if (!strcmp(f->text, "size") && x)
            return fail(scope, "E0207", call->span, "size takes axes");
        return call_operator(scope, f->text, call, x);
    case VALUE_LAYER:
        return call_layer(scope, f, call, x);
    case VALUE_SET: {
        struct node selector = {.kind = NODE_CALL,
                                .a = call->a,
                                .list = {call->list.at, call->list.count, call->list.count},
                                .span = call->span};
        parameter_list list = {0};

        if (!call->list.count || strcmp(call->a->name, "params"))
            break;
        return select_parameters(scope, &selector, &list) ? parameter_set(scope, &list) : &poison;
    }
    default:
        break;
    }
    fail(scope, "E0206", call->a->span, "%s is no function and no layer", text_of(scope, call->a));
    return &poison;
}

/* ---- pipelines ---- */

/* Passes are written out, so their number is part of the program's size. */
static const struct value *run_repeat(struct scope *scope, struct node *stage, const struct value *v)
{
    const char *base = place(scope, stage, "repeat");
    int64_t count;

    if (!evaluate_whole(scope, stage->a, &count, "the number of passes"))
        return &poison;
    if (count < 0)
        return fail(scope, "E0305", stage->a->span, "the number of passes is %lld", (long long)count);
    if (count > MOST_EQUATIONS)
        return fail(scope, "E0305", stage->a->span, "the number of passes is %lld; the most is %d", (long long)count,
                    MOST_EQUATIONS);
    if (stage->b->kind != NODE_PIPE || stage->b->a)
        return fail(scope, "E0102", stage->b->span, "repeat wants stages: repeat n { |> ... }");
    for (int64_t k = 0; k < count && !is_poison(v); k++) {
        struct scope *pass = scope_inner(scope);
        value_list inputs = {0};

        pass->path = arena_printf(scope->unit->arena, "%s[%lld]", base, (long long)k);
        pass->site = !strcmp(scope->site, scope->path)
                         ? pass->path
                         : arena_printf(scope->unit->arena, "%s%s", scope->site, pass->path + strlen(scope->path));
        pass->given = NULL;
        if (stage->name)
            scope_define(pass, stage->name, stage->name_span, value_number(scope, (double)k, true));
        list_add(scope->unit->arena, inputs, v);
        v = put_in_place(scope, "this repeat", stage->span) ? run_stages(pass, stage->b, &inputs) : &poison;
        if (scope->workspace->program->tensors.count > MOST_EQUATIONS)
            return fail(scope, "E0305", stage->a->span, "%lld passes make a program of more than %d equations",
                        (long long)k + 1, MOST_EQUATIONS);
    }
    return v;
}

/* The first stage may take several inputs. */
static const struct value *run_stages(struct scope *scope, struct node *pipe, const value_list *inputs)
{
    const struct value *v = inputs->at[0];

    for (int i = 0; i < pipe->list.count && !is_poison(v); i++) {
        struct node *stage = pipe->list.at[i];

        if (stage->kind == NODE_REPEAT) {
            v = run_repeat(scope, stage, v);
        } else if (i == 0 && inputs->count > 1) {
            /* The further inputs stand before what the stage itself says. */
            const struct value *f = lookup_path(scope, stage->a);
            struct definition *definition = f->kind == VALUE_LAYER ? f->layer->definition : NULL;
            struct map *settings;
            bool training = scope->training;
            value_list none = {0};

            if (is_poison(f))
                return &poison;
            if (!definition || definition->node->list.count != inputs->count)
                return fail(scope, "E0207", stage->span, "%s does not take %d inputs", text_of(scope, stage->a),
                            inputs->count);
            settings = evaluate_settings(scope, definition, stage->list.at, stage->list.count, 0, &training, &none);
            if (!settings)
                return &poison;
            v = apply_layer(scope, definition, settings,
                            f->layer->path ? f->layer->path
                            : scope->given ? scope->given
                                           : place(scope, stage, definition->name),
                            inputs, training, stage, inputs->count);
        } else {
            v = evaluate_call(scope, stage, v);
        }
    }
    return v;
}

const struct value *pipe_value(struct scope *scope, struct node *pipe, const char *path)
{
    struct value *v = value_new(scope, VALUE_LAYER);

    v->layer = NEW(scope->unit->arena, struct layer);
    v->layer->pipe = pipe;
    v->layer->scope = scope;
    v->layer->path = path ? path : place(scope, pipe, "pipe");
    return v;
}

const struct value *evaluate_pipe(struct scope *scope, struct node *pipe)
{
    struct scope *inner;
    value_list inputs = {0};
    const struct value *v;

    if (!scope->workspace)
        return fail(scope, "E0701", pipe->span, "a pipeline is not known before the run");
    if (!pipe->a)
        return pipe_value(scope, pipe, NULL);
    v = evaluate(scope, pipe->a);
    if (is_poison(v))
        return v;
    inner = scope_inner(scope);
    inner->given = NULL;
    list_add(scope->unit->arena, inputs, v);
    return run_stages(inner, pipe, &inputs);
}
