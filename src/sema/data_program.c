/* data_program.c: fields that are more than one reader, as a program over the items of their split: draws (of the item), reductions over
   `batch` (all items), fields of other data, models in evaluation. `batch` is the split. Fields of another split than one's own
   (`cloud.train.x`) are inputs along an index of their own, which only a reduction over batch closes. */
#include <string.h>

#include "internal.h"

/* ---- what is there in other data ---- */

/* D.x: of the same split; D.S.x: of all items of split S. NULL after an error. */
static struct field_use *other_field(struct scope *scope, struct definition *data, struct node *path)
{
    struct workspace *w = scope->workspace;
    const char *first = strchr(path->name, '.') + 1, *second = strchr(first, '.');
    struct data_split *split = w->split;
    struct data_field field;
    struct field_use *use;
    name_list names = {0};

    if (!split) {
        fail(scope, "E0206", path->span, "the fields of %s can be read in a data block made from it", data->name);
        help(scope, "train ... on %s gives its fields to the model", data->name);
        return NULL;
    }
    if (second) {
        split = data_split(scope->unit, data, arena_slice(w->arena, first, (size_t)(second - first)));
        first = second + 1;
        if (!split) {
            fail(scope, "E0201", path->span, "the data %s have no split `%.*s`", data->name,
                 (int)(second - strchr(path->name, '.') - 1), strchr(path->name, '.') + 1);
            return NULL;
        }
    } else {
        split = split->from;
        if (!split || split->data != data) {
            fail(scope, "E0206", path->span, "%s is not what these data are made from", data->name);
            help(scope, "data NAME from %s { ... }, or %s.SPLIT.%s for all of a split", data->name, data->name, first);
            return NULL;
        }
    }
    if (!find_data_field(scope->unit, split, first, &field)) {
        fail(scope, "E0201", path->span, "the data %s have no field `%s`", data->name, first);
        data_field_names(split, w->arena, &names);
        suggest(scope->unit->diagnostics, first, &names);
        return NULL;
    }
    use = field_use_of(scope, w->fields, path->name, &field);
    use->other = second ? split : NULL;
    return use;
}

const struct value *data_value(struct scope *scope, struct definition *data, struct node *path)
{
    struct field_use *use = other_field(scope, data, path);

    if (!use || scope->workspace->fields->failed)
        return &poison;
    return field_value(scope, use);
}

/* ---- the program ---- */

/* An own field made of one reader: no equation, so that use may settle its shape. */
static bool bind_reader(struct scope *scope, struct data_split *split, struct node *definition)
{
    struct data_field field;
    bool bound = false;

    for (int i = 0; i < definition->list.count; i++) {
        const char *name = definition->list.at[i]->name;
        struct field_use *use;
        int readers = 0;
        struct node *reader = NULL;

        find_readers(definition->a, &reader, &readers);
        if (readers != 1 || !find_data_field(scope->unit, split, name, &field) || field.definition != definition)
            return false;
        if (!is_only_reader(scope->unit, &field))
            return false;
        use = field_use_of(scope, scope->workspace->fields, name, &field);
        scope_define(scope, name, definition->list.at[i]->name_span, field_value(scope, use));
        bound = true;
    }
    return bound;
}

/* Readers inside of an expression become names bound to their values. */
static struct node *bind_inner_readers(struct scope *scope, struct data_split *split, struct node *definition)
{
    const char *field = definition->list.at[0]->name;

    for (int k = 0;; k++) {
        struct node *reader = NULL, *alone;
        const char *name = arena_printf(scope->unit->arena, "%s.reader_%d", field, k + 1);
        struct data_field inner = {split, name, NULL, 0, NULL};
        struct field_use *use;
        int readers = 0;

        find_readers(definition->a, &reader, &readers);
        if (!readers)
            return definition;
        alone = map_get(scope->unit->warned, name);
        if (!alone) {
            alone = NEW(scope->unit->arena, struct node);
            *alone = *definition;
            alone->a = reader;
            map_put(scope->unit->warned, name, alone);
        }
        inner.definition = alone;
        use = field_use_of(scope, scope->workspace->fields, name, &inner);
        scope_define(scope, name, reader->span, field_value(scope, use));
        {
            struct node *copy = NEW(scope->unit->arena, struct node);

            *copy = *definition;
            copy->a = without_reader(scope->unit->arena, definition->a, reader, name);
            definition = copy;
        }
    }
}

static void check_own_items(struct scope *scope, struct node *definition)
{
    for (int i = 0; i < definition->list.count; i++) {
        struct binding *binding = map_get(scope->names, definition->list.at[i]->name);
        ir_index_list free = {0};

        if (!binding || binding->kind != BIND_VALUE || binding->value->kind != VALUE_TENSOR)
            continue;
        free_indices(scope, binding->value, &free);
        for (int k = 0; k < free.count; k++) {
            if (!free.at[k]->batch || free.at[k] == scope->workspace->batch)
                continue;
            fail(scope, "E0402", definition->span, "%s runs over the items of %s, not over its own",
                 definition->list.at[i]->name, free.at[k]->name);
            help(scope, "reduce it, mean[batch] ...; in a data block made from others, D.x is the same item of D");
            binding->value = &poison;
            break;
        }
    }
}

static bool form_is_same(const struct ir_form *form)
{
    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;

        if (atom->kind == IR_ATOM_INDEX && atom->index->batch)
            return false;
        if ((atom->kind == IR_ATOM_QUOTIENT || atom->kind == IR_ATOM_REMAINDER) && !form_is_same(atom->form))
            return false;
        if (atom->kind == IR_ATOM_VALUE)
            return false;
    }
    return true;
}

static bool reaches_another(const struct ir_expr *e, const void *unused)
{
    (void)unused;
    if (e->kind == IR_FORM)
        return !form_is_same(e->form);
    for (int i = 0; e->kind == IR_READ && i < e->tensor->rank; i++) {
        struct ir_index *bare = ir_form_bare(e->subscripts[i]);

        if (!(bare && bare->batch && e->tensor->axes[i]->batch) &&
            (e->tensor->axes[i]->batch || !form_is_same(e->subscripts[i])))
            return true;
    }
    return false;
}

/* Does nothing reach other items? Then it may run over a few at a time. */
static bool reaches_no_other(const struct workspace *w, const struct ir_program *p)
{
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        if (t->kind == IR_OPAQUE)
            return false;
        if (t->kind != IR_EQUATION)
            continue;
        for (int k = 0; k < t->reduced_count; k++)
            if (t->reduced[k]->batch)
                return false;
        if (t->targets || ir_any(t->value, reaches_another, NULL))
            return false;
    }
    return !w->sized;
}

static struct ir_tensor *output_tensor(struct scope *scope, const char *name, struct span at)
{
    struct binding *binding = map_get(scope->names, name);
    struct ir_tensor *tensor = expect_side_tensor(scope->workspace, name);
    const struct ir_form **forms;

    if (tensor)
        return tensor;
    if (!binding || binding->kind != BIND_VALUE || is_poison(binding->value))
        return NULL;
    if (binding->value->kind != VALUE_TENSOR && binding->value->kind != VALUE_NUMBER) {
        fail(scope, "E0206", at, "the field %s is no number", name);
        return NULL;
    }
    tensor = tensor_of(scope, binding->value, name, at);
    if (tensor->kind == IR_EQUATION)
        return tensor;
    forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, tensor->rank + 1);
    for (int i = 0; i < tensor->rank; i++)
        forms[i] = ir_form_index(scope->workspace->program, tensor->axes[i]);
    return ir_equation(scope->workspace->program, name, tensor->axes, tensor->rank, IR_MAP, NULL, 0,
                       ir_read(scope->workspace->program, tensor, forms, tensor->rank, NULL), false, tensor->origin);
}

/* Every definition; what no wanted field rests on is left behind by the extraction. */
static struct scope *run_block(struct workspace *w, struct data_split *split)
{
    struct scope *top = scope_top(w, w->unit, split->data->file, false);
    struct scope *scope = scope_body(top, split->data->file, w->program->name);

    for (int i = 0; i < split->block->list.count; i++) {
        struct node *statement = split->block->list.at[i];

        if (statement->kind == NODE_OVER)
            run_over(scope, statement);
        else if (statement->kind == NODE_EXPECT)
            run_expect(scope, statement);
        else if (statement->kind != NODE_DEFINE || statement->text)
            fail(scope, "E0102", statement->span, "a split holds fields, name = expression or name ~ distribution, and `over`");
        for (int k = 0; statement->kind == NODE_DEFINE && !statement->text && k < statement->list.count; k++) {
            struct node *definition = statement->list.at[k];

            if (bind_reader(scope, split, definition))
                continue;
            run_definition(scope, bind_inner_readers(scope, split, definition));
            check_own_items(scope, definition);
        }
    }
    return scope;
}

/* A part of a model may be all that is called: what a train block selects and is not there is no error here. */
static void list_averages(struct unit *unit, struct workspace *w, struct data_program *out)
{
    struct diagnostics *heard = unit->diagnostics, *workspace_heard = w->diagnostics;

    unit->diagnostics = w->diagnostics = diagnostics_new(unit->arena);
    for (int i = 0; i < unit->trainings.count; i++) {
        const char *model = unit->trainings.at[i]->name;
        struct map *averages = NULL;
        bool again = false;

        for (int k = 0; k < i; k++)
            again |= !strcmp(unit->trainings.at[k]->name, model);
        for (int k = 0; k < w->parameters.count && !again; k++) {
            const char *path = w->parameters.at[k]->path, *state;
            size_t length = strlen(model);

            if (strncmp(path, model, length) || path[length] != '.')
                continue;
            if (!averages)
                averages = averages_of_trained(unit, model, w);
            state = map_get(averages, path);
            if (state)
                list_add(unit->arena, out->averages, (struct stand_in){path, state});
        }
    }
    unit->diagnostics = heard;
    w->diagnostics = workspace_heard;
}

struct data_program *lower_data(struct unit *unit, const char *data, const char *name, const char *const *names, int count,
                                int64_t items, struct lower_options options, struct diagnostics *d)
{
    struct data_program *out = NEW(unit->arena, struct data_program);
    struct definition *definition = find_definition(unit, unit->main, data, (struct span){0});
    struct data_split *split = definition ? data_split(unit, definition, name) : NULL;
    struct scope *top = scope_top(NULL, unit, unit->main, false), *scope = NULL;
    enum ir_precision precision = options.precision >= 0 ? (enum ir_precision)options.precision : IR_SINGLE;
    const char *title = arena_printf(unit->arena, "%s.%s", data, name);
    struct field_table fields = {0};
    struct workspace *w = NULL;
    struct ir_tensor **tensors = NEW_ARRAY(unit->arena, struct ir_tensor *, count + 1);
    struct extraction *x;
    int errors = diagnostics_errors(d);

    unit->diagnostics = d;
    if (!split || split->of)
        return NULL;
    if (options.items) {
        unit->items = options.items;
        unit->items_context = options.items_context;
    }
    if (!items)
        items = split_items(unit, split);
    for (int round = 0; round < 6; round++) {
        fields.changed = false;
        w = workspace_new(unit, d, title, items, precision);
        w->fields = &fields;
        w->split = split;
        w->program->name = title;
        scope = run_block(w, split);
        if (!fields.changed || diagnostics_errors(d) > errors)
            break;
    }
    if (diagnostics_errors(d) || fields.changed)
        return NULL;
    x = extraction_new(unit->arena, w->program, title, precision);
    for (int i = 0; i < count; i++) {
        if (!(tensors[i] = output_tensor(scope, names[i], definition->node->name_span)))
            return NULL;
        extraction_want(x, tensors[i]);
    }
    out->program = extraction_run(x);
    for (int i = 0; i < count; i++)
        ir_add_output(out->program, names[i], extraction_copy(x, tensors[i]), false);
    if (w->parameters.count || w->states.count)
        out->initial = initial_program(w, precision);
    out->items = items;
    out->separable = reaches_no_other(w, out->program);
    list_expects(w, false, &out->expects);
    out->trained = reads_trained(w);
    list_averages(unit, w, out);
    out->split = describe_split(top, split, &fields, out->program, NULL);
    for (int i = 0; i < fields.fields.count; i++) {
        const struct data_split *other = fields.fields.at[i]->other;
        bool known = false;

        for (int k = 0; other && k < out->others.count; k++)
            known |= !strcmp(out->others.at[k].data, other->data->name) && !strcmp(out->others.at[k].name, other->name);
        out->trained |= other && data_of_trained(unit, other->data->name);
        if (other && !known)
            list_add(unit->arena, out->others, describe_split(top, (struct data_split *)other, &fields, out->program, other));
    }
    return diagnostics_errors(d) ? NULL : out;
}

bool data_count(struct unit *unit, const char *data, const char *name, int64_t *items, struct field *field)
{
    struct definition *definition = find_definition(unit, unit->main, data, (struct span){0});
    struct data_split *split = definition ? data_split(unit, definition, name) : NULL;
    struct scope *top = scope_top(NULL, unit, unit->main, false);
    name_list names = {0};

    while (split && split->from && !split->of)
        split = split->from;
    if (!split)
        return false;
    if (split->of || has_samples(split->data)) {
        *items = split_items(unit, split);
        return true;
    }
    *items = 0;
    data_field_names(split, unit->arena, &names);
    for (int i = 0; i < names.count; i++) {
        struct field_use use = {.name = names.at[i]};
        struct node *reader = NULL;
        int readers = 0;

        if (!find_data_field(unit, split, names.at[i], &use.source))
            continue;
        find_readers(use.source.definition->a, &reader, &readers);
        if (!readers)
            continue;
        use.node = use.source.definition;
        use.reader = reader;
        settle_reader(scope_top(NULL, unit, split->data->file, false), &use);
        return describe_field(top, &use, field);
    }
    fail(top, "E0207", split->data->node->name_span, "the data %s do not say how many items there are", data);
    help(top, "samples = 1000");
    return false;
}

/* ---- a field that is made, as the programs see it that read it ---- */

void settle_made(struct scope *top, struct field_table *fields, struct field_use *use)
{
    struct unit *unit = top->unit;
    struct data_split *split = use->source.split;
    const char *key = arena_printf(unit->arena, "made %s.%s.%s", split->data->name, split->name, use->source.name);
    struct field_use *known = map_get(unit->warned, key);
    struct lower_options options = {.precision = -1};
    const struct ir_tensor *tensor;
    struct data_program *p;
    int errors = diagnostics_errors(unit->diagnostics);

    if (!known) {
        known = NEW(unit->arena, struct field_use);
        map_put(unit->warned, key, known);
        p = lower_data(unit, split->data->name, split->name, &use->source.name, 1, 0, options, unit->diagnostics);
        if (p) {
            tensor = p->program->outputs.at[0].tensor;
            known->shared = !tensor->rank || !tensor->axes[0]->batch;
            known->made = true;
            known->rank = tensor->rank - !known->shared;
            for (int i = 0; i < known->rank && i < 8; i++)
                known->shape[i] = tensor->axes[i + !known->shared]->extent;
            known->whole = tensor->whole;
            known->low = tensor->low;
            known->high = tensor->high;
        } else if (diagnostics_errors(unit->diagnostics) == errors && !errors) {
            fail(top, "E0201", use->node->span, "%s is made of itself", use->source.name);
        }
    }
    use->shared = known->shared;
    use->rank = known->rank;
    for (int i = 0; i < known->rank && i < 8; i++)
        use->shape[i] = known->shape[i];
    use->whole = known->whole;
    use->low = known->low;
    use->high = known->high;
    use->shaped = true;
    use->broken = !known->made;
    if (use->broken)
        fields->failed = true;
}

void check_data(struct unit *unit, struct definition *data, struct diagnostics *d)
{
    struct lower_options options = {.precision = -1};
    name_list splits = {0};

    check_data_statements(unit, data);
    data_split_names(unit, data, &splits);
    for (int i = 0; i < splits.count; i++) {
        struct data_split *split = data_split(unit, data, splits.at[i]);
        name_list names = {0}, made = {0};

        if (!split || split->of)
            continue;
        data_field_names(split, unit->arena, &names);
        for (int k = 0; k < names.count; k++) {
            struct data_field field;

            if (find_data_field(unit, split, names.at[k], &field) && field.split == split && !is_only_reader(unit, &field))
                list_add(unit->arena, made, names.at[k]);
        }
        if (made.count || has_expects(split->block))
            lower_data(unit, data->name, splits.at[i], made.at, made.count, 0, options, d);
    }
}

bool data_block_splits(struct unit *unit, const char *data, data_names *out)
{
    struct definition *definition = map_get(unit->main->names, data);
    name_list names = {0};

    if (!definition || definition->node->kind != NODE_DATA)
        return false;
    data_split_names(unit, definition, &names);
    for (int i = 0; i < names.count; i++)
        list_add(unit->arena, *out, names.at[i]);
    return true;
}

bool data_block_fields(struct unit *unit, const char *data, const char *name, data_names *out)
{
    struct definition *definition = map_get(unit->main->names, data);
    struct data_split *split = definition && definition->node->kind == NODE_DATA ? data_split(unit, definition, name) : NULL;
    name_list names = {0};

    if (!split)
        return false;
    data_field_names(split, unit->arena, &names);
    for (int i = 0; i < names.count; i++)
        list_add(unit->arena, *out, names.at[i]);
    return true;
}

const struct rows *data_block_part(struct unit *unit, const char **data, const char **split)
{
    struct definition *definition = map_get(unit->main->names, *data);
    struct data_split *found =
        definition && definition->node->kind == NODE_DATA ? data_split(unit, definition, *split) : NULL;
    const struct rows *rows = NULL;

    for (; found && found->of; found = found->of)
        rows = rows_after(unit->arena, rows, found->rows);
    if (found) {
        *data = found->data->name;
        *split = found->name;
    }
    return rows;
}
