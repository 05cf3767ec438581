/* data.c: data blocks: splits, and the fields that programs read of them. A field that is made of one reader and arithmetic on it
   stays part of the program that reads it: its leaf holds the reader's raw values, whose kind and shape use may still
   settle. Any other field is made by a program of its own (data_program.c) before the run, and its leaf holds the result. */
#include <string.h>

#include "internal.h"

/* ---- splits ---- */

static struct data_split *split_of(struct unit *unit, struct definition *data, const char *name, int depth);

static struct definition *data_named(struct scope *top, const char *name, struct span at)
{
    struct definition *data = find_definition(top->unit, top->file, name, at);

    if (data && data->node->kind == NODE_DATA)
        return data;
    fail(top, "E0201", at, "there is no data block `%s`", name);
    return NULL;
}

/* (train, test) = divide(whole, 100, 20): the part of that name. */
static struct data_split *divided(struct unit *unit, struct definition *data, struct node *definition, int part, int depth)
{
    struct scope *top = scope_top(NULL, unit, data->file, false);
    struct node *call = definition->a, *path = call->list.count ? call->list.at[0]->a : NULL;
    struct data_split *split = NEW(unit->arena, struct data_split);
    struct rows *rows = NEW(unit->arena, struct rows);
    const char *dot = path && path->kind == NODE_PATH ? strchr(path->name, '.') : NULL;

    if (!path || path->kind != NODE_PATH || call->list.count != definition->list.count + 1) {
        fail(top, "E0207", call->span, "divide takes a split and a number of items for each of the %d parts",
             definition->list.count);
        help(top, "(train, test) = divide(every, 9000, 1000)");
        return NULL;
    }
    split->data = data;
    split->name = definition->list.at[part]->name;
    rows->name = data->name;
    rows->count = definition->list.count;
    rows->part = part;
    rows->counts = NEW_ARRAY(unit->arena, int64_t, rows->count);
    for (int i = 0; i < rows->count; i++) {
        struct node *count = call->list.at[i + 1]->a;

        if (!evaluate_whole(top, count, &rows->counts[i], "a number of items"))
            return NULL;
        if (rows->counts[i] < 1) {
            fail(top, "E0305", count->span, "a part of %lld items", (long long)rows->counts[i]);
            return NULL;
        }
    }
    split->rows = rows;
    if (dot) {
        struct definition *other =
            data_named(top, arena_slice(unit->arena, path->name, (size_t)(dot - path->name)), path->span);

        if (!other)
            return NULL;
        split->of = split_of(unit, other, dot + 1, depth + 1);
    } else {
        split->of = split_of(unit, data, path->name, depth + 1);
    }
    if (!split->of) {
        fail(top, "E0201", path->span, "there is no split `%s`", path->name);
        if (!dot)
            suggest_split(unit, data, path->name, true);
    }
    return split->of ? split : NULL;
}

static struct data_split *split_of(struct unit *unit, struct definition *data, const char *name, int depth)
{
    struct scope *top = scope_top(NULL, unit, data->file, false);
    struct data_split *split = NEW(unit->arena, struct data_split);

    if (depth > 20) {
        fail(top, "E0201", data->node->name_span, "the data %s are made of themselves", data->name);
        return NULL;
    }
    split->data = data;
    split->name = name;
    if (data->node->flag) {
        struct definition *from = data_named(top, data->node->b->name, data->node->b->span);

        split->block = data->node->a;
        split->from = from ? split_of(unit, from, name, depth + 1) : NULL;
        return split->from ? split : NULL;
    }
    for (int i = 0; i < data->node->a->list.count; i++) {
        struct node *statement = data->node->a->list.at[i];

        if (statement->kind == NODE_NAMED && !statement->text && !strcmp(statement->name, name)) {
            split->block = statement->b;
            return split;
        }
        for (int k = 0; statement->kind == NODE_DEFINE && k < statement->list.count; k++) {
            struct node *definition = statement->list.at[k];

            if (definition->a->kind != NODE_CALL || strcmp(definition->a->a->name, "divide"))
                continue;
            for (int part = 0; part < definition->list.count; part++)
                if (!strcmp(definition->list.at[part]->name, name))
                    return divided(unit, data, definition, part, depth);
        }
    }
    return NULL;
}

struct data_split *data_split(struct unit *unit, struct definition *data, const char *name)
{
    return split_of(unit, data, name, 0);
}

void suggest_split(struct unit *unit, struct definition *data, const char *name, bool written)
{
    name_list names = {0};
    const char *list = "", *nearest;

    data_split_names(unit, data, &names);
    for (int i = 0; i < names.count; i++) {
        bool block = !written || data->node->flag;

        for (int k = 0; k < data->node->a->list.count && !block; k++)
            block = data->node->a->list.at[k]->kind == NODE_NAMED && !strcmp(data->node->a->list.at[k]->name, names.at[i]);
        if (block)
            list = arena_printf(unit->arena, "%s%s`%s`", list, *list ? ", " : "", names.at[i]);
    }
    nearest = nearest_name(name, names.at, names.count);
    if (nearest)
        diagnose_help(unit->diagnostics, "did you mean `%s`? %s has %s", nearest, data->name, list);
    else if (*list)
        diagnose_help(unit->diagnostics, "%s has %s", data->name, list);
}

void data_split_names(struct unit *unit, struct definition *data, name_list *out)
{
    if (data->node->flag) {
        struct scope *top = scope_top(NULL, unit, data->file, false);
        struct definition *from = data_named(top, data->node->b->name, data->node->b->span);

        if (from && from != data)
            data_split_names(unit, from, out);
        return;
    }
    for (int i = 0; i < data->node->a->list.count; i++) {
        struct node *statement = data->node->a->list.at[i];

        if (statement->kind == NODE_NAMED && !statement->text)
            list_add(unit->arena, *out, statement->name);
        for (int k = 0; statement->kind == NODE_DEFINE && k < statement->list.count; k++)
            if (statement->list.at[k]->a->kind == NODE_CALL && !strcmp(statement->list.at[k]->a->a->name, "divide"))
                for (int part = 0; part < statement->list.at[k]->list.count; part++)
                    list_add(unit->arena, *out, statement->list.at[k]->list.at[part]->name);
    }
}

/* `samples = n` of a block, or NULL. */
static struct node *samples_of(const struct definition *data)
{
    for (int i = 0; !data->node->flag && i < data->node->a->list.count; i++) {
        struct node *statement = data->node->a->list.at[i];

        for (int k = 0; statement->kind == NODE_DEFINE && k < statement->list.count; k++)
            if (statement->list.at[k]->list.count == 1 && !strcmp(statement->list.at[k]->list.at[0]->name, "samples"))
                return statement->list.at[k]->a;
    }
    return NULL;
}

bool has_samples(const struct definition *data)
{
    return samples_of(data) != NULL;
}

void check_data_statements(struct unit *unit, struct definition *data)
{
    struct scope *top = scope_top(NULL, unit, data->file, false);

    for (int i = 0; !data->node->flag && i < data->node->a->list.count; i++) {
        struct node *statement = data->node->a->list.at[i];

        if (statement->kind == NODE_NAMED && !statement->text)
            continue;
        for (int k = 0; statement->kind == NODE_DEFINE && !statement->text && k < statement->list.count; k++) {
            struct node *definition = statement->list.at[k];
            bool divides = definition->a->kind == NODE_CALL && !strcmp(definition->a->a->name, "divide");

            if (!divides && (definition->list.count != 1 || strcmp(definition->list.at[0]->name, "samples")))
                fail(top, "E0102", definition->span,
                     "a data block holds splits, name { }, `samples = n` and (name, name) = divide(...)");
        }
        if (statement->kind != NODE_DEFINE || statement->text)
            fail(top, "E0102", statement->span,
                 "a data block holds splits, name { }, `samples = n` and (name, name) = divide(...)");
    }
}

static bool has_readers(const struct node *block)
{
    struct node *reader = NULL;
    int count = 0;

    for (int i = 0; i < block->list.count; i++)
        find_readers(block->list.at[i], &reader, &count);
    return count > 0;
}

void unit_read_shapes(struct unit *unit, bool (*shape)(void *context, const struct field *field, int *rank, int64_t *extents),
                      void *context)
{
    unit->shape = shape;
    unit->shape_context = context;
}

/* Does the text ask how many items there are? */
static bool asks_size_of_split(const struct node *node)
{
    const struct node *argument;

    if (!node)
        return false;
    if (node->kind == NODE_DEFINITION && node->text && !strcmp(node->text, "item"))
        return true;
    argument = node->kind == NODE_CALL && node->list.count ? node->list.at[0]->a : NULL;
    if (argument && node->a->kind == NODE_PATH && !strcmp(node->a->name, "size") && argument->kind == NODE_PATH &&
        strchr(argument->name, '.'))
        return true;
    /* D.S.x[batch: n]: n is below that number. */
    if (node->kind == NODE_READ && node->list.count && node->list.at[0]->kind == NODE_AXIS && node->a->name &&
        strchr(node->a->name, '.') && !strcmp(node->list.at[0]->name, "batch"))
        return true;
    if (asks_size_of_split(node->a) || asks_size_of_split(node->b) || asks_size_of_split(node->c))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (asks_size_of_split(node->list.at[i]))
            return true;
    for (int i = 0; i < node->more.count; i++)
        if (asks_size_of_split(node->more.at[i]))
            return true;
    return false;
}

void unit_count_items(struct unit *unit, int64_t (*items)(void *context, const char *data, const char *split),
                      void *context, bool must)
{
    bool asks = false;

    unit->count = items;
    unit->items_context = context;
    unit->items_must = must;
    for (int i = 0; i < unit->files.count; i++)
        asks |= !unit->files.at[i]->library && asks_size_of_split(unit->files.at[i]->tree);
    if (asks)
        unit->items = items;
}

enum { PLACEHOLDER = 100 };
int64_t split_items(struct unit *unit, const struct data_split *split)
{
    struct node *samples;
    int64_t items = PLACEHOLDER;

    if (split->of)
        return split->rows->counts[split->rows->part];
    if (split->from)
        return split_items(unit, split->from);
    samples = samples_of(split->data);
    if (samples) {
        struct scope *top = scope_top(NULL, unit, split->data->file, false);

        if (!evaluate_whole(top, samples, &items, "samples"))
            return PLACEHOLDER;
        if (items > 0)
            return items;
        fail(top, "E0305", samples->span, "samples is %lld, expected at least 1", (long long)items);
        return PLACEHOLDER;
    }
    if (!has_readers(split->block)) {
        struct scope *top = scope_top(NULL, unit, split->data->file, false);

        fail(top, "E0207", split->data->node->name_span, "the data %s do not say how many items there are", split->data->name);
        help(top, "samples = 1000");
        return PLACEHOLDER;
    }
    if (unit->items)
        items = unit->items(unit->items_context, split->data->name, split->name);
    if (items <= 0 && unit->items_must) {
        const char *key = arena_printf(unit->arena, "uncounted %s.%s", split->data->name, split->name);

        if (!map_get(unit->warned, key))
            fail(scope_top(NULL, unit, split->data->file, false), "E0207", split->data->node->name_span,
                 "the files of %s.%s cannot be read to count its items", split->data->name, split->name);
        map_put(unit->warned, key, (void *)key);
    }
    if (items > 0)
        return items;
    if (unit->items && !unit->uncounted)
        unit->uncounted = split;
    return unit->guess ? unit->guess : PLACEHOLDER;
}

void unit_guess_items(struct unit *unit, int64_t items)
{
    unit->guess = items;
}

bool unit_uncounted(struct unit *unit, struct diagnostics *d)
{
    const struct data_split *split = unit->uncounted;

    if (!split)
        return false;
    diagnose(d, "W0006", split->data->node->name_span,
             "the files of %s.%s cannot be read: nothing is checked that depends on how many items there are",
             split->data->name, split->name);
    return true;
}

/* ---- fields ---- */

const struct rows *rows_after(struct arena *arena, const struct rows *last, const struct rows *first)
{
    struct rows *copy;

    if (!last || !first)
        return last ? last : first;
    copy = NEW(arena, struct rows);
    *copy = *last;
    copy->of = rows_after(arena, last->of, first);
    return copy;
}

bool find_data_field(struct unit *unit, struct data_split *split, const char *name, struct data_field *out)
{
    const struct rows *rows = NULL;

    for (; split->of; split = split->of)
        rows = rows_after(unit->arena, rows, split->rows);
    for (int i = 0; i < split->block->list.count; i++) {
        struct node *statement = split->block->list.at[i];

        for (int k = 0; statement->kind == NODE_DEFINE && !statement->text && k < statement->list.count; k++)
            for (int part = 0; part < statement->list.at[k]->list.count; part++) {
                struct node *definition = statement->list.at[k], *value = definition->a;
                struct node *target = definition->list.at[part];
                const char *dot;

                if (strcmp(target->name, name))
                    continue;
                *out = (struct data_field){split, name, definition, part, rows};
                while (value->kind == NODE_GROUPED)
                    value = value->a;
                dot = value->kind == NODE_PATH ? strchr(value->name, '.') : NULL;
                /* x = b.x is that field of b under another name. */
                if (definition->op != '=' || definition->list.count > 1 || target->flag || !split->from || !dot ||
                    strchr(dot + 1, '.') || strlen(split->from->data->name) != (size_t)(dot - value->name) ||
                    strncmp(value->name, split->from->data->name, (size_t)(dot - value->name)))
                    return true;
                if (!find_data_field(unit, split->from, dot + 1, out))
                    return false;
                out->rows = rows_after(unit->arena, rows, out->rows);
                return true;
            }
    }
    return false;
}

void data_field_names(const struct data_split *split, struct arena *arena, name_list *out)
{
    while (split->of)
        split = split->of;
    for (int i = 0; i < split->block->list.count; i++) {
        struct node *statement = split->block->list.at[i];

        for (int k = 0; statement->kind == NODE_DEFINE && !statement->text && k < statement->list.count; k++)
            for (int part = 0; part < statement->list.at[k]->list.count; part++)
                if (strcmp(statement->list.at[k]->list.at[part]->name, "_"))
                    list_add(arena, *out, statement->list.at[k]->list.at[part]->name);
    }
}

static struct field_use *field_named(struct field_table *fields, const char *name)
{
    for (int i = 0; i < fields->fields.count; i++)
        if (!strcmp(fields->fields.at[i]->name, name))
            return fields->fields.at[i];
    return NULL;
}

/* Does it rest on anything but readers, lets, functions and literals? */
static bool rests_on_more(struct unit *unit, const struct data_split *split, const struct node *node)
{
    name_list own = {0};

    if (!node)
        return false;
    if (node->kind == NODE_PATH) {
        struct definition *definition;

        data_field_names(split, unit->arena, &own);
        for (int i = 0; i < own.count; i++)
            if (!strcmp(own.at[i], node->name))
                return true;
        if (!strcmp(node->name, "batch") || strchr(node->name, '.'))
            return true;
        definition = map_get(split->data->file->names, node->name);
        return definition && definition->node->kind != NODE_LET && definition->node->kind != NODE_FN;
    }
    if (node->kind == NODE_REDUCE || node->kind == NODE_READ || node->kind == NODE_PIPE)
        return true;
    if (rests_on_more(unit, split, node->a) || rests_on_more(unit, split, node->b) || rests_on_more(unit, split, node->c))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (rests_on_more(unit, split, node->list.at[i]))
            return true;
    return false;
}

/* Made of one reader and arithmetic? Then the reader, else NULL. */
static struct node *only_reader(struct unit *unit, const struct data_field *field)
{
    struct node *definition = field->definition, *reader = NULL;
    int readers = 0;

    find_readers(definition->a, &reader, &readers);
    if (definition->op != '=' || readers != 1 || (definition->list.count > 1 && reader != definition->a))
        return NULL;
    for (int i = 0; i < definition->list.count; i++)
        if (definition->list.at[i]->flag)
            return NULL;
    return reader == definition->a || !rests_on_more(unit, field->split, definition->a) ? reader : NULL;
}

bool is_only_reader(struct unit *unit, const struct data_field *field)
{
    return only_reader(unit, field) != NULL;
}

static void shape_from_file(struct scope *top, struct field_use *use)
{
    struct field described;

    use->shaped = describe_field(top, use, &described) &&
                  top->unit->shape(top->unit->shape_context, &described, &use->rank, use->shape);
}

struct field_use *field_use_of(struct scope *top, struct field_table *fields, const char *name, const struct data_field *field)
{
    struct field_use *use = field_named(fields, name);

    if (!use) {
        use = NEW(top->unit->arena, struct field_use);
        use->name = name;
        list_add(top->unit->arena, fields->fields, use);
    } else if (use->node == field->definition) {
        return use;
    }
    use->node = field->definition;
    use->source = *field;
    use->reader = only_reader(top->unit, field);
    use->raw = use->reader && use->reader == field->definition->a;
    use->made = !use->reader;
    if (use->made)
        settle_made(top, fields, use);
    else
        settle_reader(scope_top(NULL, top->unit, field->split->data->file, false), use);
    if (use->reader && !use->shaped && top->unit->shape)
        shape_from_file(top, use);
    if (use->reader)
        settle_chain(scope_top(NULL, top->unit, field->split->data->file, false), use);
    return use;
}

void data_fields(struct scope *top, struct data_split *split, struct field_table *fields)
{
    name_list names = {0};
    struct data_split *base = split;

    while (base->of)
        base = base->of;
    for (int i = 0; i < base->block->list.count; i++) {
        struct node *statement = base->block->list.at[i];

        if (statement->kind == NODE_NAMED || (statement->kind == NODE_DEFINE && statement->text))
            fail(top, "E0102", statement->span, "a split holds fields, name = reader(...)");
    }
    data_field_names(split, top->unit->arena, &names);
    for (int i = 0; i < names.count; i++) {
        struct definition *let = map_get(top->unit->main->names, names.at[i]);
        struct data_field field = {0};

        if (!find_data_field(top->unit, split, names.at[i], &field)) {
            fail(top, "E0201", field.definition->a->span, "there is no such field in %s.%s", field.split->from->data->name,
                 field.split->name);
            fields->failed = true;
            continue;
        }
        if (let && let->node->kind == NODE_LET) {
            fail(top, "E0202", field.definition->list.at[field.part]->span, "`%s` is a field of the data and a let",
                 names.at[i]);
            note(top, let->node->name_span, "the let is defined here");
            fields->failed = true;
            continue;
        }
        field_use_of(top, fields, names.at[i], &field);
    }
}

/* The expression with the reader call replaced by a name that the field's scope binds to the raw values. */
struct node *without_reader(struct arena *arena, struct node *node, struct node *reader, const char *name)
{
    struct node *copy;

    if (!node)
        return NULL;
    copy = NEW(arena, struct node);
    if (node == reader) {
        *copy = (struct node){.kind = NODE_PATH, .span = node->span, .name_span = node->span, .name = name};
        return copy;
    }
    *copy = *node;
    if (node->kind == NODE_PATH)
        return copy;
    copy->a = without_reader(arena, node->a, reader, name);
    copy->b = without_reader(arena, node->b, reader, name);
    copy->c = without_reader(arena, node->c, reader, name);
    copy->list.at = NEW_ARRAY(arena, struct node *, node->list.count + 1);
    for (int i = 0; i < node->list.count; i++)
        copy->list.at[i] = without_reader(arena, node->list.at[i], reader, name);
    return copy;
}

/* The index that counts the items of another split, whole. */
static struct ir_index *index_of_split(struct workspace *w, const struct data_split *split)
{
    const char *name = arena_printf(w->arena, "%s.%s", split->data->name, split->name);
    const char *key = arena_printf(w->arena, "split %s", name);
    struct ir_index *index = map_get(w->scalars, key);

    if (!index) {
        index = ir_index(w->program, name, split_items(w->unit, split), true);
        map_put(w->scalars, key, index);
    }
    return index;
}

const struct value *raw_field_value(struct scope *scope, struct field_use *field)
{
    struct workspace *w = scope->workspace;
    const char *key = arena_printf(w->arena, "field %s", field->name);
    struct ir_tensor *leaf = map_get(w->scalars, key);
    struct value *raw = value_new(scope, VALUE_TENSOR);
    const struct value *v;

    if (!leaf) {
        ir_index_list axes = {0};

        if (field->other)
            list_add(w->arena, axes, index_of_split(w, field->other));
        else if (!field->shared)
            list_add(w->arena, axes, w->batch);
        for (int i = 0; i < field->rank; i++)
            list_add(w->arena, axes, new_index(scope, arena_printf(w->arena, "a%d", i), field->shape[i]));
        leaf = ir_leaf(w->program, IR_INPUT, field->name, axes.at, axes.count, field->whole,
                       field->whole ? field->low : INT64_MIN, field->whole ? field->high : INT64_MAX,
                       origin_of(scope, field->node->span));
        map_put(w->scalars, key, leaf);
    }
    v = value_of_tensor(scope, leaf, field->shared && !field->other ? 0 : 1);
    *raw = *v;
    raw->field = field->raw ? field : NULL;
    return raw;
}

const struct value *field_value(struct scope *scope, struct field_use *field)
{
    const struct value *raw = field->broken ? &poison : raw_field_value(scope, field);
    struct scope *inner;
    struct value *value;

    if (field->made || field->raw || field->broken)
        return raw;
    inner = scope_top(scope->workspace, scope->unit, field->source.split->data->file, false);
    scope_define(inner, "(reader)", field->reader->span, raw);
    raw = evaluate(inner, without_reader(scope->workspace->arena, field->node->a, field->reader, "(reader)"));
    if (raw->kind != VALUE_TENSOR)
        return raw;
    value = value_new(scope, VALUE_TENSOR);
    *value = *raw;
    value->field = field->stays_whole ? field : NULL;
    value->unshaped = field->shaped && !scope->workspace->fields->changed ? NULL : field;
    return value;
}

struct split describe_split(struct scope *top, struct data_split *split, struct field_table *fields,
                            struct ir_program *program, const struct data_split *other)
{
    struct split out = {0};

    if (!split)
        return out;
    out.data = split->data->name;
    out.name = split->name;
    for (int i = 0; i < fields->fields.count; i++) {
        struct field_use *use = fields->fields.at[i];
        struct ir_tensor *leaf = ir_find(program, use->name);
        struct field field = {0};
        bool same = use->other == other || (use->other && other && use->other->data == other->data &&
                                            !strcmp(use->other->name, other->name));

        if (leaf && leaf->kind == IR_INPUT && same && describe_field(top, use, &field))
            list_add(top->unit->arena, out.fields, field);
    }
    return out;
}
