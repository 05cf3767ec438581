/* data.c: data blocks: splits, fields, readers. A field's raw values are an IR_INPUT leaf; what its definition does
   with them is part of the program. What kind of number a raw field is and what shape it has is settled by its use. */
#include <string.h>

#include "internal.h"

struct node *data_split(struct definition *data, const char *name)
{
    for (int i = 0; i < data->node->a->list.count; i++) {
        struct node *statement = data->node->a->list.at[i];

        if (statement->kind == NODE_NAMED && !statement->text && !strcmp(statement->name, name))
            return statement->b;
    }
    return NULL;
}

static int reader_kind(const char *name)
{
    if (!strcmp(name, "idx"))
        return READ_IDX;
    if (!strcmp(name, "npy"))
        return READ_NPY;
    if (!strcmp(name, "csv"))
        return READ_CSV;
    return -1;
}

static bool is_other_reader(const char *name)
{
    static const char *const names[] = {"characters", "words", "lines", "sequence", "divide"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name))
            return true;
    return false;
}

static void find_readers(struct node *node, struct node **reader, int *count, struct node **other)
{
    if (!node)
        return;
    if (node->kind == NODE_CALL && node->a->kind == NODE_PATH) {
        if (reader_kind(node->a->name) >= 0) {
            *reader = node;
            ++*count;
            return;
        }
        if (is_other_reader(node->a->name))
            *other = node;
    }
    find_readers(node->a, reader, count, other);
    find_readers(node->b, reader, count, other);
    find_readers(node->c, reader, count, other);
    for (int i = 0; i < node->list.count; i++)
        if (node->kind != NODE_PATH)
            find_readers(node->list.at[i], reader, count, other);
}

static bool contains_node(const struct node *node, const struct node *wanted)
{
    bool found = node == wanted || (node->a && contains_node(node->a, wanted)) ||
                 (node->b && contains_node(node->b, wanted)) || (node->c && contains_node(node->c, wanted));

    for (int i = 0; i < node->list.count && !found; i++)
        found = contains_node(node->list.at[i], wanted);
    return found;
}

static struct field_use *field_named(struct field_table *fields, const char *name)
{
    for (int i = 0; i < fields->fields.count; i++)
        if (!strcmp(fields->fields.at[i]->name, name))
            return fields->fields.at[i];
    return NULL;
}

static struct node *argument_named(struct node *call, const char *name, int position)
{
    int at = 0;

    for (int i = 0; i < call->list.count; i++) {
        struct node *argument = call->list.at[i];

        if (argument->name ? !strcmp(argument->name, name) : at++ == position)
            return argument->a;
    }
    return NULL;
}

static void settle_csv(struct scope *top, struct field_use *field)
{
    struct node *count = argument_named(field->reader, "count", 2);
    int64_t columns = 0;

    if (strcmp(field->reader->a->name, "csv"))
        return;
    if (count && !evaluate_whole(top, count, &columns, "count"))
        return;
    field->shaped = true;
    field->rank = columns ? 1 : 0;
    field->shape[0] = columns;
}

static bool is_plain_arithmetic(const struct node *node)
{
    switch (node->kind) {
    case NODE_NUMBER:
    case NODE_PATH:
        return true;
    case NODE_GROUPED:
    case NODE_UNARY:
        return is_plain_arithmetic(node->a);
    case NODE_BINARY:
        return is_plain_arithmetic(node->a) && is_plain_arithmetic(node->b);
    default:
        return false;
    }
}

/* Which whole numbers a reader may give so that the field is in low .. high: the interval taken back through
   + - * // % with whole numbers. false: the field is made in another way. */
static bool range_of_reader(struct scope *top, struct node *node, struct node *reader, int64_t *low, int64_t *high)
{
    bool right;
    struct node *side;
    const struct value *v;
    int64_t c;

    while (node->kind == NODE_GROUPED)
        node = node->a;
    if (node == reader)
        return true;
    if (node->kind != NODE_BINARY || !strchr("+-*f%", node->op))
        return false;
    right = contains_node(node->b, reader);
    side = right ? node->a : node->b;
    if (!is_plain_arithmetic(side))
        return false;
    v = evaluate(top, side);
    if (v->kind != VALUE_NUMBER || !v->whole || v->number < -WIDEST || v->number > WIDEST)
        return false;
    c = (int64_t)v->number;
    if (node->op == '+' || (node->op == '-' && !right)) {
        *low -= node->op == '+' ? c : -c;
        *high -= node->op == '+' ? c : -c;
    } else if (node->op == '-') {
        int64_t least = c - *high;

        *high = c - *low;
        *low = least;
    } else if (c < 1 || (node->op != '*' && right)) {
        return false;
    } else if (node->op == '*') {
        *low = *low > 0 ? (*low + c - 1) / c : -(-*low / c);
        *high = *high < 0 ? -((-*high + c - 1) / c) : *high / c;
    } else if (node->op == 'f') {
        *low *= c;
        *high = *high * c + c - 1;
    } else {
        *low = -WIDEST;
        *high = WIDEST;
    }
    *low = *low < -WIDEST ? -WIDEST : *low;
    *high = *high > WIDEST ? WIDEST : *high;
    return range_of_reader(top, right ? node->b : node->a, reader, low, high);
}

/* `//` and `%` want whole numbers before any use of the field says that it is whole. */
static bool divides_whole(const struct node *node, const struct node *reader)
{
    if (node == reader)
        return false;
    return (node->kind == NODE_BINARY && (node->op == 'f' || node->op == '%')) ||
           (node->a && contains_node(node->a, reader) && divides_whole(node->a, reader)) ||
           (node->b && contains_node(node->b, reader) && divides_whole(node->b, reader));
}

static void settle_chain(struct scope *top, struct field_use *field)
{
    int64_t low = -WIDEST, high = WIDEST;

    field->stays_whole = !field->raw && range_of_reader(top, field->node->a, field->reader, &low, &high);
    if (!field->stays_whole || field->whole || !divides_whole(field->node->a, field->reader))
        return;
    field->whole = true;
    field->low = low;
    field->high = high;
}

static void add_field(struct scope *top, struct field_table *fields, struct node *definition)
{
    struct node *target = definition->list.at[0], *reader = NULL, *other = NULL;
    struct field_use *field;
    struct definition *let;
    int readers = 0;

    find_readers(definition->a, &reader, &readers, &other);
    if (definition->list.count != 1 || definition->op != '=' || target->flag || readers != 1) {
        const char *what = other                   ? arena_printf(top->unit->arena, "the reader `%s`", other->a->name)
                           : definition->op == '~' ? "a drawn field"
                                                   : "a field that is not made of one reader";
        not_compiled(top, other ? other->span : definition->span, what);
        fields->failed = true;
        return;
    }
    let = map_get(top->unit->main->names, target->name);
    if (let && let->node->kind == NODE_LET) {
        fail(top, "E0202", target->span, "`%s` is a field of the data and a let", target->name);
        note(top, let->node->name_span, "the let is defined here");
        fields->failed = true;
        return;
    }
    field = field_named(fields, target->name);
    if (!field) {
        field = NEW(top->unit->arena, struct field_use);
        field->name = target->name;
        list_add(top->unit->arena, fields->fields, field);
    }
    field->node = definition;
    field->reader = reader;
    field->raw = reader == definition->a;
    if (!field->shaped)
        settle_csv(top, field);
    settle_chain(top, field);
}

void data_fields(struct scope *top, struct definition *data, struct node *split, struct field_table *fields)
{
    if (data->node->flag) {
        not_compiled(top, data->node->name_span, "a data block made from another");
        return;
    }
    for (int i = 0; i < split->list.count; i++) {
        struct node *statement = split->list.at[i];

        if (statement->kind != NODE_DEFINE || statement->text) {
            fail(top, "E0102", statement->span, "a split holds fields, name = reader(...)");
            continue;
        }
        for (int k = 0; k < statement->list.count; k++)
            add_field(top, fields, statement->list.at[k]);
    }
}

/* The expression with the reader call replaced by a name that the field's scope binds to the raw values. */
static struct node *without_reader(struct arena *arena, struct node *node, struct node *reader)
{
    struct node *copy;

    if (!node)
        return NULL;
    copy = NEW(arena, struct node);
    if (node == reader) {
        *copy = (struct node){.kind = NODE_PATH, .span = node->span, .name_span = node->span, .name = "(reader)"};
        return copy;
    }
    *copy = *node;
    if (node->kind == NODE_PATH)
        return copy;
    copy->a = without_reader(arena, node->a, reader);
    copy->b = without_reader(arena, node->b, reader);
    copy->c = without_reader(arena, node->c, reader);
    copy->list.at = NEW_ARRAY(arena, struct node *, node->list.count + 1);
    for (int i = 0; i < node->list.count; i++)
        copy->list.at[i] = without_reader(arena, node->list.at[i], reader);
    return copy;
}

const struct value *field_value(struct scope *scope, struct definition *data, struct field_use *field)
{
    struct workspace *w = scope->workspace;
    const char *key = arena_printf(w->arena, "field %s", field->name);
    struct ir_tensor *leaf = map_get(w->scalars, key);
    struct scope *inner;
    struct value *raw = value_new(scope, VALUE_TENSOR);
    const struct value *v;

    if (!leaf) {
        ir_index_list axes = {0};

        list_add(w->arena, axes, w->batch);
        for (int i = 0; i < field->rank; i++)
            list_add(w->arena, axes, new_index(scope, arena_printf(w->arena, "a%d", i), field->shape[i]));
        leaf = ir_leaf(w->program, IR_INPUT, field->name, axes.at, axes.count, field->whole,
                       field->whole ? field->low : INT64_MIN, field->whole ? field->high : INT64_MAX,
                       origin_of(scope, field->node->span));
        map_put(w->scalars, key, leaf);
    }
    v = value_of_tensor(scope, leaf, 1);
    *raw = *v;
    raw->field = field->raw ? field : NULL;
    if (field->raw)
        return raw;
    inner = scope_top(w, scope->unit, data->file, false);
    scope_define(inner, "(reader)", field->reader->span, raw);
    v = evaluate(inner, without_reader(w->arena, field->node->a, field->reader));
    if (!field->stays_whole || v->kind != VALUE_TENSOR)
        return v;
    raw = value_new(scope, VALUE_TENSOR);
    *raw = *v;
    raw->field = field;
    return raw;
}

bool settle_whole(struct workspace *w, struct field_use *field, int64_t high, const char *bound)
{
    int64_t low = 0;

    if (field->stays_whole &&
        !range_of_reader(scope_top(NULL, w->unit, w->unit->main, true), field->node->a, field->reader, &low, &high))
        bug("the field %s is whole no more", field->name);
    if (field->whole && field->low >= low && field->high <= high)
        return false;
    field->whole = true;
    field->low = low;
    field->high = high;
    field->bound = bound;
    w->fields->changed = true;
    return true;
}

bool settle_shape(struct workspace *w, struct field_use *field, int rank, const int64_t *shape)
{
    if (field->shaped || rank > 8)
        return false;
    field->shaped = true;
    field->rank = rank;
    for (int i = 0; i < rank; i++)
        field->shape[i] = shape[i];
    w->fields->changed = true;
    return true;
}

/* Relative names are looked up from the folder of the program's file. */
static const char *joined(struct arena *arena, const char *folder, const char *name)
{
    size_t size = strlen(folder);

    if (name[0] == '/' || !size)
        return name;
    return arena_printf(arena, "%s%s%s", folder, folder[size - 1] == '/' ? "" : "/", name);
}

static const char *folder_of(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? arena_slice(arena, path, (size_t)(slash - path) + 1) : "";
}

struct split describe_split(struct scope *top, struct definition *data, struct node *split, struct field_table *fields,
                            struct ir_program *program)
{
    struct arena *arena = top->unit->arena;
    struct split out = {.data = data ? data->name : NULL};
    const char *folder;

    if (!data)
        return out;
    folder = folder_of(arena, data->file->source->path);
    if (data->node->b && !data->node->flag)
        folder = joined(arena, folder, data->node->b->text);
    for (int i = 0; i < data->node->a->list.count; i++)
        if (data->node->a->list.at[i]->kind == NODE_NAMED && data->node->a->list.at[i]->b == split)
            out.name = data->node->a->list.at[i]->name;
    for (int i = 0; i < fields->fields.count; i++) {
        struct field_use *use = fields->fields.at[i];
        struct node *file, *first;
        struct field field = {.name = use->name,
                              .span = use->reader->span,
                              .whole = use->whole,
                              .low = use->low,
                              .high = use->high,
                              .bound = use->bound,
                              .rank = use->rank};
        struct ir_tensor *leaf = ir_find(program, use->name);
        const struct value *v;
        int64_t number = 0;

        if (!leaf || leaf->kind != IR_INPUT)
            continue;
        for (int k = 0; k < use->rank; k++)
            field.shape[k] = use->shape[k];
        field.reader = (enum reader)reader_kind(use->reader->a->name);
        file = argument_named(use->reader, "file", 0);
        v = file ? evaluate(top, file)
                 : fail(top, "E0207", use->reader->span, "%s wants the name of a file", use->reader->a->name);
        if (v->kind != VALUE_STRING) {
            if (!is_poison(v))
                fail(top, "E0206", file->span, "the name of a file is a string");
            continue;
        }
        field.file = joined(arena, folder, v->text);
        first = argument_named(use->reader, "first", 1);
        if (first && evaluate_whole(top, first, &number, "first"))
            field.first = (int)number;
        field.count = use->rank && field.reader == READ_CSV ? (int)use->shape[0] : 0;
        list_add(arena, out.fields, field);
    }
    return out;
}
