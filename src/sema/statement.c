/* statement.c: statements of a body: definitions, assignment, `if`, parameters and states.
   A statement that fails defines its names as poison, so that what follows is checked too. */
#include <string.h>

#include "internal.h"

/* ---- names of what could not be evaluated ---- */

void poison_targets(struct scope *scope, struct node *definition)
{
    for (int i = 0; i < definition->list.count; i++) {
        struct node *target = definition->list.at[i];
        struct binding *binding = scope_find(scope, target->name);

        if (definition->op != 'u' && strcmp(target->name, "_") && !binding)
            scope_define(scope, target->name, target->name_span, &poison);
    }
}

void poison_block(struct scope *scope, struct node *block)
{
    for (int i = 0; block && i < block->list.count; i++) {
        struct node *statement = block->list.at[i];

        if (statement->kind == NODE_DEFINE)
            for (int k = 0; k < statement->list.count; k++)
                poison_targets(scope, statement->list.at[k]);
        else if (statement->kind == NODE_WHEN || statement->kind == NODE_OVER) {
            poison_block(scope, statement->b);
            if (statement->c && statement->c->kind == NODE_BLOCK)
                poison_block(scope, statement->c);
        }
    }
}

/* ---- left sides ---- */

static bool is_new_axis(struct node *s, const char *name)
{
    if (s->kind == NODE_AXIS)
        return !strcmp(s->name, name);
    for (int i = 0; s->kind == NODE_COMPOSITE && i < s->list.count; i++)
        if (is_new_axis(s->list.at[i], name))
            return true;
    return false;
}

static bool declared_on_left(struct node *target, const struct ir_index *label)
{
    for (int i = 0; i < target->list.count; i++)
        if (is_new_axis(target->list.at[i], label->name))
            return true;
    return false;
}

const struct value *close_over(struct scope *scope, struct node *target, const struct value *value, bool broadcast)
{
    struct ir_program *p = scope->workspace->program;
    ir_index_list labels = {0}, free = {0}, own = {0};
    const struct ir_form **forms;
    struct value *out = value_new(scope, VALUE_TENSOR);

    out->expr = value_expr(scope, value);
    out->own = value->own;
    out->stated = value->stated;
    for (int i = 0; i < target->list.count; i++) {
        struct node *s = target->list.at[i];
        int first = labels.count;
        int64_t extent;

        if (s->kind != NODE_COMPOSITE) {
            if (!axes_named(scope, &s, 1, &labels))
                return &poison;
            for (int k = first; k < labels.count; k++)
                list_add(scope->unit->arena, own, new_index(scope, labels.at[k]->name, labels.at[k]->extent));
            continue;
        }
        if (!axes_named(scope, s->list.at, s->list.count, &labels))
            return &poison;
        extent = labels.count > first ? ir_extent_product(labels.at + first, labels.count - first) : 1;
        if (!extent_fits(scope, text_of(scope, s), extent, s->span))
            return &poison;
        list_add(scope->unit->arena, own,
                 new_index(scope, labels.count > first ? labels.at[first]->name : "a", extent));
    }
    free_indices(scope, out, &free);
    for (int i = 0; i < labels.count; i++) {
        for (int k = 0; k < i; k++)
            if (labels.at[k] == labels.at[i])
                return fail(scope, "E0312", target->span, "%s stands twice on the left", labels.at[i]->name);
        if (broadcast || list_has(&free, labels.at[i]) || declared_on_left(target, labels.at[i]))
            continue;
        fail(scope, "E0312", target->span, "%s does not occur on the right", labels.at[i]->name);
        help(scope, "to repeat the value write %s: %lld", labels.at[i]->name, (long long)labels.at[i]->extent);
        return &poison;
    }
    for (int i = 0; i < free.count; i++) {
        if (scope->function || free.at[i]->batch || list_has(&labels, free.at[i]) ||
            list_has(&scope->context, free.at[i]))
            continue;
        fail(scope, "E0311", target->span, "%s is free on the right and not on the left", free.at[i]->name);
        help(scope, "reduce it, as in sum[%s] ..., or write it on the left too", free.at[i]->name);
        return &poison;
    }
    forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, labels.count + 1);
    for (int i = 0, label = 0, axis = 0; i < target->list.count; i++) {
        struct node *s = target->list.at[i];
        ir_index_list part = {0};
        const struct ir_form *rest;

        axes_named(scope, s->kind == NODE_COMPOSITE ? s->list.at : &s, s->kind == NODE_COMPOSITE ? s->list.count : 1,
                   &part);
        if (s->kind != NODE_COMPOSITE) {
            for (int k = 0; k < part.count; k++)
                forms[label++] = ir_form_index(p, own.at[axis++]);
            continue;
        }
        rest = ir_form_index(p, own.at[axis++]);
        for (int k = part.count - 1; k >= 0; k--) {
            forms[label + k] = k ? ir_form_remainder(p, rest, part.at[k]->extent) : rest;
            if (k)
                rest = ir_form_quotient(p, rest, part.at[k]->extent);
        }
        label += part.count;
    }
    if (labels.count)
        out->expr = ir_substitute(p, out->expr, labels.at, forms, labels.count);
    for (int i = 0; i < value->own.count; i++)
        list_add(scope->unit->arena, own, value->own.at[i]);
    out->own = own;
    out->stated = (ir_index_list){0};
    return stating(scope, out, &value->stated, &labels);
}

const struct value *value_assigned(struct scope *scope, struct node *target, const struct value *value)
{
    ir_index_list free = {0};

    if (value->kind == VALUE_TUPLE) {
        value = fail(scope, "E0207", target->span, "%d values for one name; write (a, b) = ...", value->items.count);
    } else if (target->flag) {
        if (value->kind != VALUE_NUMBER && value->kind != VALUE_TENSOR)
            value = fail(scope, "E0206", target->span, "a number is wanted on the right of %s", text_of(scope, target));
        else
            value = close_over(scope, target, value, false);
    } else if (value->kind == VALUE_DISTRIBUTION) {
        value = fail(scope, "E0206", target->span, "a distribution is drawn with `~`");
        help(scope, "%s ~ ...", target->name);
    } else if (value->kind == VALUE_TENSOR && !scope->function) {
        free_indices(scope, value, &free);
        for (int i = 0; i < free.count; i++) {
            if (free.at[i]->batch || list_has(&scope->context, free.at[i]))
                continue;
            value = fail(scope, "E0311", target->span, "%s is free on the right and not on the left", free.at[i]->name);
            help(scope, "reduce it, as in sum[%s] ..., or write it on the left too", free.at[i]->name);
            break;
        }
    }
    return value;
}

void assign(struct scope *scope, struct node *target, const struct value *value)
{
    if (is_kept(scope, target)) {
        keep(scope, target, value);
        return;
    }
    if (is_poison(value)) {
        if (!map_get(scope->names, target->name))
            scope_define(scope, target->name, target->name_span, value);
        return;
    }
    value = value_assigned(scope, target, value);
    if (!scope->function && value->kind == VALUE_TENSOR && !value->field)
        value = materialise_named(scope, value, target->name, target->span);
    scope_define(scope, target->name, target->name_span, value);
}

/* ---- definitions ---- */

/* `=` where `<-` is wanted: an error that says so. */
static bool redefines_a_state(struct scope *scope, const struct node *target)
{
    const struct binding *binding = map_get(scope->names, target->name);

    if (!binding || binding->kind != BIND_STATE || scope->function)
        return false;
    fail(scope, "E0503", target->span, "`%s` is a state; `<-` assigns it", target->name);
    note(scope, binding->span, "%s is declared here", target->name);
    help(scope, "%s <- ...", text_of(scope, target));
    return true;
}

static void define(struct scope *scope, struct node *definition)
{
    struct node *target = definition->list.at[0];
    int context = scope->context.count;
    const char *outer = scope->target;
    const struct value *v;

    if (definition->b) {
        fail(scope, "E0102", definition->b->span, "`on` belongs to a slot of a train block");
        return;
    }
    if (definition->list.count > 1) {
        v = evaluate(scope, definition->a);
        if (!is_poison(v) && (v->kind != VALUE_TUPLE || v->items.count != definition->list.count))
            v = fail(scope, "E0207", definition->span, "%d names for %d value%s", definition->list.count,
                     v->kind == VALUE_TUPLE ? v->items.count : 1,
                     v->kind == VALUE_TUPLE && v->items.count != 1 ? "s" : "");
        for (int i = 0; i < definition->list.count; i++)
            if (strcmp(definition->list.at[i]->name, "_"))
                assign(scope, definition->list.at[i], is_poison(v) ? v : v->items.at[i]);
        return;
    }
    if (redefines_a_state(scope, target))
        return;
    if (target->flag && (!scope->workspace || !declare_axes(scope, target->list.at, target->list.count, false))) {
        poison_targets(scope, definition);
        return;
    }
    /* Axes written with their extent on the left are context of the right side: what is drawn or called there is
     * mapped. */
    for (int i = 0; i < target->list.count; i++) {
        struct binding *binding =
            target->list.at[i]->kind == NODE_AXIS ? scope_find(scope, target->list.at[i]->name) : NULL;

        if (binding && binding->kind == BIND_AXIS)
            list_add(scope->unit->arena, scope->context, binding->axes.at[0]);
    }
    scope->target = target->name;
    if (definition->a->kind == NODE_PIPE && !definition->a->a && scope->workspace)
        v = pipe_value(scope, definition->a,
                       arena_printf(scope->unit->arena, "%s%s%s", scope->path, *scope->path ? "." : "", target->name));
    else
        v = evaluate(scope, definition->a);
    scope->target = outer;
    scope->context.count = context;
    if (v->kind == VALUE_LAYER && v->layer->path && !map_get(scope->workspace->instances, v->layer->path))
        map_put(scope->workspace->instances, v->layer->path, (void *)v);
    assign(scope, target, v);
}

/* A leaf has its path as its name, or some other tensor has: where there is none, nothing need be searched. */
static struct parameter *parameter_at(struct workspace *w, const char *path)
{
    if (!ir_find(w->program, path))
        return NULL;
    for (int i = 0; i < w->parameters.count; i++)
        if (!strcmp(w->parameters.at[i]->path, path))
            return w->parameters.at[i];
    return NULL;
}

static struct state *state_at(struct workspace *w, const char *path)
{
    if (!ir_find(w->program, path))
        return NULL;
    for (int i = 0; i < w->states.count; i++)
        if (!strcmp(w->states.at[i]->path, path))
            return w->states.at[i];
    return NULL;
}

static bool same_shape(const struct ir_tensor *leaf, const ir_index_list *axes)
{
    if (leaf->rank != axes->count)
        return false;
    for (int i = 0; i < axes->count; i++)
        if (leaf->axes[i]->extent != axes->at[i]->extent)
            return false;
    return true;
}

/* The first value, as a tensor over exactly the axes. NULL after an error. */
static struct ir_tensor *first_value(struct scope *scope, struct node *definition, struct node *target,
                                     const char *full, const ir_index_list *axes)
{
    const char *name = arena_printf(scope->unit->arena, "%s.init", full);
    const char *outer = scope->target;
    struct binding *weight;
    const struct value *v, *current;
    const struct ir_expr *e;
    ir_index_list free = {0};

    /* A rule's state may start from the parameter: from its first value, not from what the rules before made of it. */
    weight = scope->rule ? scope_find(scope, scope->rule->weight) : NULL;
    current = weight ? weight->value : NULL;
    if (weight)
        weight->value = value_of_tensor(scope, scope->peer->leaf, 0);
    scope->target = target->name;
    v = evaluate(scope, definition->a);
    scope->target = outer;
    if (weight)
        weight->value = current;
    if (is_poison(v))
        return NULL;
    if (definition->op == '~') {
        if (v->kind != VALUE_DISTRIBUTION) {
            fail(scope, "E0206", definition->a->span, "a distribution is wanted after `~`: %s",
                 text_of(scope, definition->a));
            if (v->kind == VALUE_FUNCTION && v->definition->node->flag)
                help(scope, "its axes stand in brackets, those summed over and those produced: %s[i; o]", v->text);
            return NULL;
        }
        return draw_tensor(scope, v, name, name, IR_PER_RUN, axes, 0, target->span);
    }
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR) {
        fail(scope, "E0206", definition->a->span,
             v->kind == VALUE_DISTRIBUTION ? "a distribution is drawn with `~`" : "a number is wanted here");
        return NULL;
    }
    if (v->own.count) {
        fail(scope, "E0310", definition->a->span, "the first value has axes %s; write its subscripts",
             shape_text(scope, &v->own));
        return NULL;
    }
    free_indices(scope, v, &free);
    for (int i = 0; i < free.count; i++) {
        if (list_has(axes, free.at[i]))
            continue;
        if (free.at[i]->batch)
            fail(scope, "E0503", definition->a->span, "the first value of %s differs between samples", target->name);
        else
            fail(scope, "E0311", target->span, "%s is free on the right and not on the left", free.at[i]->name);
        return NULL;
    }
    e = value_expr(scope, v);
    return ir_equation(scope->workspace->program, name, axes->at, axes->count, IR_MAP, NULL, 0, e, false,
                       origin_of(scope, target->span));
}

/* A tensor over lanes and its own axes, at the place in the batch. */
static const struct value *of_lane(struct scope *scope, struct ir_tensor *tensor)
{
    struct ir_program *p = scope->workspace->program;
    const struct value *all = value_of_tensor(scope, tensor, 0);
    const struct ir_form *sample = ir_form_index(p, scope->workspace->batch);
    ir_index_list own = all->own;

    own.at++;
    own.count--;
    return value_tensor(scope, ir_substitute(p, all->expr, all->own.at, &sample, 1), &own);
}

void declare_leaf(struct scope *scope, struct node *definition, bool parameter)
{
    struct workspace *w = scope->workspace;
    struct node *target = definition->list.at[0];
    const char *full = arena_printf(scope->unit->arena, "%s%s%s", scope->path, *scope->path ? "." : "", target->name);
    struct parameter *old_parameter = parameter ? parameter_at(w, full) : NULL;
    struct state *old_state = parameter ? NULL : state_at(w, full);
    bool lanes = target->list.count && bare_name(target->list.at[0]) && !strcmp(bare_name(target->list.at[0]), "batch");
    const struct ir_tensor *leaf = old_parameter ? old_parameter->leaf : old_state ? old_state->leaf : NULL;
    ir_index_list axes = {0}, first;
    struct ir_tensor *initial;
    struct binding *binding;

    if (definition->list.count != 1 || definition->op == 'u') {
        fail(scope, "E0102", definition->span, "a %s is declared as name[axes] = value or ~ distribution",
             parameter ? "parameter" : "state");
        poison_targets(scope, definition);
        return;
    }
    if (lanes && (parameter || !w->batch)) {
        fail(scope, "E0403", target->span, parameter ? "a parameter is shared by all samples" : "there is no batch here");
        poison_targets(scope, definition);
        return;
    }
    if (definition->text)
        fail(scope, "E0102", definition->span, "`per` belongs to a draw, not to a %s",
             parameter ? "parameter" : "state");
    if (!declare_axes(scope, target->list.at, target->list.count, false) ||
        !axes_named(scope, target->list.at, target->list.count, &axes) || !axes_distinct(scope, &axes, target->span)) {
        poison_targets(scope, definition);
        return;
    }
    if (!elements_fit(scope, full, &axes, target->span)) {
        poison_targets(scope, definition);
        return;
    }
    if (leaf && !same_shape(leaf, &axes)) {
        struct text text = {0};
        ir_index_list had = {.at = leaf->axes, .count = leaf->rank};

        fail(scope, "E0302", target->span, "%s has axes %s here and %s where it was made", full,
             shape_text(scope, &axes), shape_text(scope, &had));
        note(scope, old_parameter ? old_parameter->span : old_state->span, "it is made here");
        text_free(&text);
        poison_targets(scope, definition);
        return;
    }
    if (!leaf) {
        if (parameter && scope->in_training_block) {
            fail(scope, "E0502", target->span, "a parameter under `if training`: %s", full);
            help(scope, "make it before the `if`: evaluation needs it too");
            poison_targets(scope, definition);
            return;
        }
        first = axes;
        if (lanes) {
            first.at = arena_copy(w->arena, axes.at, sizeof *axes.at * (size_t)axes.count);
            first.at[0] = new_index(scope, "lane", w->batch->extent);
        }
        initial = first_value(scope, definition, target, full, &first);
        if (!initial) {
            poison_targets(scope, definition);
            return;
        }
        /* In evaluation a sample starts anew: it has no place in the stream of training, so no lane. */
        if (lanes && !scope->training)
            leaf = initial;
        else
            leaf = ir_leaf(w->program, parameter ? IR_PARAMETER : IR_STATE, full, axes.at, axes.count, false, INT64_MIN,
                       INT64_MAX, origin_of(scope, target->span));
        if (parameter) {
            old_parameter = NEW(w->arena, struct parameter);
            *old_parameter = (struct parameter){.path = full,
                                                .leaf = (struct ir_tensor *)leaf,
                                                .initial = initial,
                                                .weight = definition->op == '~',
                                                .trainable = true,
                                                .span = target->span};
            list_add(w->arena, w->parameters, old_parameter);
        } else {
            old_state = NEW(w->arena, struct state);
            *old_state = (struct state){.path = full,
                                        .leaf = (struct ir_tensor *)leaf,
                                        .initial = initial,
                                        .current = lanes ? of_lane(scope, (struct ir_tensor *)leaf)
                                                         : value_of_tensor(scope, (struct ir_tensor *)leaf, 0),
                                        .rule = scope->rule != NULL,
                                        .lanes = lanes,
                                        .span = target->span};
            list_add(w->arena, w->states, old_state);
        }
    }
    if (parameter) {
        scope_define(scope, target->name, target->name_span, value_of_tensor(scope, old_parameter->leaf, 0));
        return;
    }
    if (scope_find(scope, target->name)) {
        scope_define(scope, target->name, target->name_span, &poison);
        return;
    }
    binding = scope_bind(scope, target->name, target->name_span);
    binding->kind = BIND_STATE;
    binding->state = old_state;
}

/* The new value of a state that each lane has for itself, over the batch and its own axes: never a leaf itself. */
static struct ir_tensor *tensor_of_lanes(struct scope *scope, const struct value *v, struct node *target)
{
    struct ir_program *p = scope->workspace->program;
    ir_index_list axes = {0};
    struct ir_tensor *t;

    list_add(scope->unit->arena, axes, scope->workspace->batch);
    for (int i = 0; i < v->own.count; i++)
        list_add(scope->unit->arena, axes, v->own.at[i]);
    t = tensor_over(scope, value_expr(scope, v), &axes, target->name, target->span);
    return t->kind == IR_EQUATION ? t
                                  : ir_equation(p, target->name, axes.at, axes.count, IR_MAP, NULL, 0, v->expr, false,
                                                origin_of(scope, target->span));
}

/* The shape that an assignment keeps: of the state, or of the rule's parameter. */
static const ir_index_list *shape_before(struct binding *binding)
{
    return binding->kind == BIND_STATE ? &binding->state->current->own : &binding->value->own;
}

void update_state(struct scope *scope, struct node *definition)
{
    struct node *target = definition->list.at[0];
    struct binding *binding = scope_find(scope, target->name);
    struct ir_program *p = scope->workspace->program;
    const char *outer = scope->target;
    const struct value *v;
    const ir_index_list *shape;
    ir_index_list free = {0};
    bool of_rule, lanes;

    if (!binding) {
        name_list names = {0};

        fail(scope, "E0201", target->span, "there is no state `%s`", target->name);
        help(scope, "it is declared with its first value: state %s = 0",
             target->flag ? text_of(scope, target) : scope->rule ? arena_printf(scope->unit->arena, "%s[...]", target->name) : target->name);
        for (struct scope *s = scope; s; s = s->up)
            for (int i = 0; i < s->order.count; i++)
                list_add(scope->unit->arena, names, s->order.at[i]);
        suggest(scope->unit->diagnostics, target->name, &names);
        scope_define(scope, target->name, target->name_span, &poison);
        return;
    }
    of_rule = scope->rule && binding->kind == BIND_VALUE &&
              (!strcmp(target->name, scope->rule->weight) || !strcmp(target->name, scope->rule->gradient));
    if (binding->kind == BIND_VALUE && is_poison(binding->value))
        return;
    if (binding->kind != BIND_STATE && !of_rule) {
        fail(scope, "E0503", target->span, "`<-` assigns a state, and `%s` is none", target->name);
        note(scope, binding->span, "%s is defined here", target->name);
        return;
    }
    lanes = binding->kind == BIND_STATE && binding->state->lanes;
    if (!scope->rule && !scope->training && !lanes) {
        fail(scope, "E0503", target->span, "the state %s is assigned in evaluation", target->name);
        help(scope, "if training { ... }");
        return;
    }
    if (lanes && target->list.count && bare_name(target->list.at[0]) && !strcmp(bare_name(target->list.at[0]), "batch")) {
        const char *rest = "";

        for (int i = 1; i < target->list.count; i++)
            rest = arena_printf(scope->unit->arena, "%s%s%s", rest, i > 1 ? ", " : "", text_of(scope, target->list.at[i]));
        fail(scope, "E0503", target->span, "each sample assigns its own part of %s; `batch` is not written there",
             target->name);
        help(scope, target->list.count > 1 ? "%s[%s] <- ..." : "%s%s <- ...", target->name, rest);
        return;
    }
    if (scope->over) {
        fail(scope, "E0503", target->span, "the state %s is assigned inside of `over`", target->name);
        help(scope, "keep the value, m[t, ...] = ..., and assign after the block");
        return;
    }
    if (!declare_axes(scope, target->list.at, target->list.count, false))
        return;
    scope->target = target->name;
    v = evaluate(scope, definition->a);
    scope->target = outer;
    if (is_poison(v))
        return;
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR) {
        fail(scope, "E0206", definition->a->span, "a number is wanted here: %s", text_of(scope, definition->a));
        return;
    }
    shape = shape_before(binding);
    if (target->flag) {
        v = close_over(scope, target, v, true);
        if (is_poison(v))
            return;
    } else if (v->kind == VALUE_NUMBER || (!v->own.count && shape->count)) {
        struct value *wide = value_new(scope, VALUE_TENSOR);

        wide->expr = value_expr(scope, v);
        wide->stated = v->stated;
        for (int i = 0; i < shape->count; i++)
            list_add(scope->unit->arena, wide->own, new_index(scope, shape->at[i]->name, shape->at[i]->extent));
        v = wide;
    }
    for (int i = 0; i < shape->count || i < v->own.count; i++) {
        if (i < shape->count && i < v->own.count && shape->at[i]->extent == v->own.at[i]->extent)
            continue;
        fail(scope, "E0302", definition->span, "%s has axes %s, and its new value %s", target->name,
             shape_text(scope, shape), shape_text(scope, &v->own));
        return;
    }
    free_indices(scope, v, &free);
    if (lanes && free.count == 1 && free.at[0]->batch)
        free.count = 0;
    if (free.count) {
        fail(scope, "E0503", definition->span, "the new %s differs %s%s; reduce over %s", target->name,
             free.at[0]->batch ? "between samples" : "along ", free.at[0]->batch ? "" : free.at[0]->name,
             free.at[0]->name);
        return;
    }
    v = lanes ? of_lane(scope, tensor_of_lanes(scope, v, target))
              : value_of_tensor(scope, tensor_of(scope, v, target->name, target->span), 0);
    if (of_rule) {
        binding->value = v;
        return;
    }
    binding->state->assigned = true;
    /* A state is a constant to derivatives, before and after its assignment. */
    if (!scope->rule)
        v = value_tensor(scope, ir_apply(p, IR_stop, v->expr, NULL, NULL), &v->own);
    binding->state->current = v;
}

void run_definition(struct scope *scope, struct node *definition)
{
    if (!scope->workspace && (definition->op != '=' || definition->list.count != 1 || definition->list.at[0]->flag)) {
        fail(scope, "E0701", definition->span, "this is not known before the run");
        poison_targets(scope, definition);
        return;
    }
    scope->statement = definition->a;
    switch (definition->op) {
    case '~':
        if (scope->function) {
            fail(scope, "E0102", definition->span, "a function draws nothing; a layer does");
            poison_targets(scope, definition);
        } else {
            run_draw(scope, definition);
        }
        break;
    case 'u':
        if (scope->function)
            fail(scope, "E0102", definition->span, "a function has no state; a layer has");
        else
            update_state(scope, definition);
        break;
    default:
        define(scope, definition);
        break;
    }
    scope->statement = NULL;
}

/* ---- statements ---- */

static bool mentions_training(const struct node *node)
{
    if (!node)
        return false;
    if ((node->kind == NODE_PATH || node->kind == NODE_NAME) && !strcmp(node->name, "training"))
        return true;
    if (mentions_training(node->a) || mentions_training(node->b) || mentions_training(node->c))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (node->kind != NODE_PATH && mentions_training(node->list.at[i]))
            return true;
    return false;
}

static void run_when(struct scope *scope, struct node *when)
{
    const struct value *condition = evaluate(scope, when->a);
    bool outer = scope->in_training_block;

    if (condition->kind != VALUE_NUMBER) {
        if (!is_poison(condition)) {
            fail(scope, "E0701", when->a->span, "`if` as a statement wants what is known before the run; %s is not",
                 text_of(scope, when->a));
            help(scope, "if %s then a else b", text_of(scope, when->a));
        }
        poison_block(scope, when->b);
        if (when->c && when->c->kind == NODE_BLOCK)
            poison_block(scope, when->c);
        return;
    }
    if (mentions_training(when->a))
        scope->in_training_block = true;
    if (condition->number != 0)
        run_statements(scope, when->b);
    else if (when->c && when->c->kind == NODE_WHEN)
        run_when(scope, when->c);
    else if (when->c)
        run_statements(scope, when->c);
    scope->in_training_block = outer;
}

void run_statement(struct scope *scope, struct node *statement)
{
    switch (statement->kind) {
    case NODE_DEFINE:
        for (int i = 0; i < statement->list.count; i++) {
            struct node *definition = statement->list.at[i];

            if (!statement->text)
                run_definition(scope, definition);
            else if (scope->function)
                fail(scope, "E0102", statement->span, "a function has no %ss; a layer has",
                     !strcmp(statement->text, "param") ? "parameter" : "state");
            else if (!strcmp(statement->text, "param") && scope->rule)
                fail(scope, "E0102", statement->span, "a rule has no parameters of its own; it has states");
            else if (in_over_body(scope)) {
                fail(scope, !strcmp(statement->text, "param") ? "E0502" : "E0503", statement->span,
                     "a %s inside of `over`", !strcmp(statement->text, "param") ? "parameter" : "state");
                help(scope, "make it before the `over`: it is one for all steps");
                poison_targets(scope, definition);
            } else
                declare_leaf(scope, definition, !strcmp(statement->text, "param"));
        }
        break;
    case NODE_WHEN:
        run_when(scope, statement);
        break;
    case NODE_EXPECT:
        run_expect(scope, statement);
        break;
    case NODE_OVER:
        if (!scope->function && scope->workspace) {
            run_over(scope, statement);
            break;
        }
        fail(scope, "E0102", statement->name_span, "a function has no recurrence; a layer has");
        poison_block(scope, statement->b);
        break;
    default:
        fail(scope, "E0102", statement->span, "`%s` is not a block that may stand here",
             statement->name ? statement->name : "this");
        if (statement->name && !strcmp(statement->name, "training"))
            help(scope, "if training { ... } else { ... }");
        break;
    }
}

void run_statements(struct scope *scope, struct node *block)
{
    for (int i = 0; i < block->list.count; i++)
        run_statement(scope, block->list.at[i]);
}
