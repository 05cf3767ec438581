/* model.c: workspaces, and a model on the fields of a split. */
#include <string.h>

#include "internal.h"

struct workspace *workspace_new(struct unit *unit, struct diagnostics *d, const char *name, int64_t batch,
                                enum ir_precision precision)
{
    struct workspace *w = NEW(unit->arena, struct workspace);

    w->unit = unit;
    w->arena = unit->arena;
    w->diagnostics = d;
    unit->calls = 0;
    w->program = ir_program_new(unit->arena, name, precision);
    if (batch)
        w->batch = ir_index(w->program, "batch", batch, true);
    w->instances = map_new(unit->arena);
    w->counts = map_new(unit->arena);
    w->sites = map_new(unit->arena);
    w->applications = map_new(unit->arena);
    w->reductions = map_new(unit->arena);
    w->scalars = map_new(unit->arena);
    w->probed = map_new(unit->arena);
    /* Lets have their names before anything else can take them: the run fills them by name. */
    for (int i = 0; i < unit->main->definitions.count; i++)
        if (is_scalar_let(unit, unit->main->definitions.at[i]))
            scalar_leaf(w, unit->main->definitions.at[i]->name);
    return w;
}

/* The shape that a model's header gives a field, as far as it is written there. */
static void shape_from_header(struct scope *inner, struct node *input, struct field_use *field)
{
    field->rank = 0;
    for (int i = 0; i < input->list.count && field->rank < 8; i++) {
        struct node *s = input->list.at[i];
        struct binding *axis = s->kind == NODE_PATH ? scope_find(inner, s->name) : NULL;
        int64_t extent;

        if (s->kind == NODE_AXIS) {
            if (!declare_axes(inner, &s, 1, false))
                return;
            extent = scope_find(inner, s->name)->axes.at[0]->extent;
        } else if (axis && axis->kind == BIND_AXIS) {
            extent = axis->axes.at[0]->extent;
        } else {
            fail(inner, "E0301", s->span, "the extent of %s is not known: the data do not give it", text_of(inner, s));
            help(inner, "write it, %s: n", text_of(inner, s));
            return;
        }
        field->shape[field->rank++] = extent;
    }
    field->shaped = true;
}

static const struct value *input_value(struct scope *inner, struct data_split *split, struct field_table *fields,
                                       struct node *input)
{
    struct workspace *w = inner->workspace;
    struct field_use *field = NULL;
    name_list names = {0};
    const struct value *v;

    for (int i = 0; i < fields->fields.count; i++) {
        if (!strcmp(fields->fields.at[i]->name, input->name))
            field = fields->fields.at[i];
        list_add(w->arena, names, fields->fields.at[i]->name);
    }
    if (!field && fields->failed)
        return &poison;
    if (!field) {
        if (split) {
            fail(inner, "E0201", input->span, "the data %s have no field `%s`", split->data->name, input->name);
            suggest(inner->unit->diagnostics, input->name, &names);
        } else {
            fail(inner, "E0201", input->span, "there is no data to fill the input `%s`", input->name);
            help(inner, "train ... on DATA");
        }
        return &poison;
    }
    if (!field->shaped)
        shape_from_header(inner, input, field);
    if (!field->shaped)
        return &poison;
    v = field_value(inner, field);
    if (v->kind == VALUE_TENSOR && v->own.count == input->list.count && v->own.count) {
        struct value *named = value_new(inner, VALUE_TENSOR);
        const struct ir_form **forms = NEW_ARRAY(w->arena, const struct ir_form *, v->own.count);

        /* The axes of an input are called as the model calls them. */
        *named = *v;
        named->own = (ir_index_list){0};
        for (int i = 0; i < v->own.count; i++) {
            struct node *s = input->list.at[i];

            list_add(w->arena, named->own,
                     new_index(inner, s->name ? s->name : v->own.at[i]->name, v->own.at[i]->extent));
            forms[i] = ir_form_index(w->program, named->own.at[i]);
        }
        named->expr = ir_substitute(w->program, v->expr, v->own.at, forms, v->own.count);
        v = named;
    }
    return v;
}

struct scope *forward(struct workspace *w, struct definition *model, struct data_split *split, struct field_table *fields,
                      bool training, struct span at)
{
    struct scope *top = scope_top(w, w->unit, model->file, training);
    struct scope *header = scope_body(top, model->file, model->name),
                 *inner = scope_body(top, model->file, model->name);
    value_list inputs = {0};
    int *uses = NEW(w->arena, int);
    struct value *instance = value_new(top, VALUE_LAYER);

    *uses = 1;
    w->fields = fields;
    w->sampled = split;
    map_put(w->applications, model->name, uses);
    instance->layer = NEW(w->arena, struct layer);
    instance->layer->definition = model;
    instance->layer->path = model->name;
    map_put(w->instances, model->name, instance);
    for (int i = 0; i < model->node->list.count; i++) {
        const struct value *v = input_value(header, split, fields, model->node->list.at[i]);

        if (is_poison(v))
            return NULL;
        if (v->kind == VALUE_TENSOR && !v->field) {
            struct scope *named = scope_body(top, model->file, model->name);
            v = materialise_named(named, v, model->node->list.at[i]->name, model->node->list.at[i]->span);
        }
        list_add(w->arena, inputs, v);
    }
    if (!bind_header(inner, model, &inputs, NULL, at))
        return NULL;
    run_statements(inner, model->node->a);
    for (int i = 0; i < model->node->b->list.count; i++) {
        struct node *output = model->node->b->list.at[i];
        const struct value *v = layer_output(inner, model, i, &inputs);
        struct binding *binding = map_get(inner->names, output->name);

        if (is_poison(v)) {
            if (binding)
                binding->value = &poison;
            continue;
        }
        binding->value = v;
        if (!training && (v->kind == VALUE_TENSOR || v->kind == VALUE_NUMBER))
            check_evaluation_output(inner, output->name, tensor_of(inner, v, output->name, output->span),
                                    model->node->b->flag, output->span);
    }
    return inner;
}

static struct field_use *input_of_header(struct workspace *w, struct definition *model, struct node *input)
{
    const char *name = arena_printf(w->arena, "%s(%s)", model->name, input->name);
    struct field_use *field;

    for (int i = 0; i < w->fields->fields.count; i++)
        if (!strcmp(w->fields->fields.at[i]->name, name))
            return w->fields->fields.at[i];
    field = NEW(w->arena, struct field_use);
    field->name = name;
    field->node = input;
    field->raw = true;
    list_add(w->arena, w->fields->fields, field);
    return field;
}

/* Nothing that the body computes is kept: neither new values of states nor that it was applied. */
bool make_places(struct scope *scope, const struct layer *layer, struct span at)
{
    struct workspace *w = scope->workspace;
    struct definition *model = layer->definition;
    const char *key = model ? arena_printf(w->arena, "#places %s", model->name) : NULL;
    struct map *applications = w->applications;
    struct scope *top, *header, *inner;
    value_list inputs = {0};

    if (!model || model->node->kind != NODE_MODEL || strcmp(layer->path, model->name) || !w->fields ||
        map_get(w->sites, key) || map_get(applications, model->name))
        return false;
    map_put(w->sites, key, (void *)model->name);
    top = scope_top(w, w->unit, model->file, false);
    header = scope_body(top, model->file, model->name);
    inner = scope_body(top, model->file, model->name);
    w->applications = map_copy(w->arena, applications, sizeof(int));
    for (int i = 0; i < model->node->list.count; i++) {
        struct node *input = model->node->list.at[i];
        struct field_use *field = input_of_header(w, model, input);

        if (!field->shaped)
            shape_from_header(header, input, field);
        if (!field->shaped)
            break;
        list_add(w->arena, inputs, field_value(header, field));
    }
    if (inputs.count == model->node->list.count && bind_header(inner, model, &inputs, NULL, at)) {
        struct map *before = map_new(w->arena);
        int parameters = w->parameters.count;

        for (int i = 0; i < w->states.count; i++) {
            struct state *copy = NEW(w->arena, struct state);

            *copy = *w->states.at[i];
            map_put(before, copy->path, copy);
        }
        run_statements(inner, model->node->a);
        for (int i = 0; i < w->states.count; i++) {
            struct state *state = w->states.at[i], *copy = map_get(before, state->path);

            state->assigned = copy && copy->assigned;
            state->current = copy ? copy->current : value_of_tensor(inner, state->leaf, 0);
        }
        for (int i = parameters; i < w->parameters.count; i++)
            w->parameters.at[i]->aside = true;
    }
    w->applications = applications;
    return true;
}
