/* symbols.c: what whole numbers stand for. A reader with a limit numbers symbols of a vocabulary; an output of a model with `in` of that
   limit is such symbols too, and a field that is the reader itself. */
#include <string.h>

#include "internal.h"

/* The field's vocabulary and the limit that its reader states; false: its values are numbers. */
static bool vocabulary_of(struct scope *top, const struct data_field *field, const char **name, struct node **limit)
{
    struct field_use use = {.name = field->name, .node = field->definition, .source = *field};
    struct node *reader = NULL;
    struct field described;
    int readers = 0;

    find_readers(field->definition->a, &reader, &readers);
    if (readers != 1 || reader != field->definition->a || !is_only_reader(top->unit, field))
        return false;
    use.reader = reader;
    use.raw = true;
    *limit = reader_limit(top, reader, field->part);
    if (!*limit)
        return false;
    settle_reader(top, &use);
    if (!describe_field(top, &use, &described))
        return false;
    *name = described.vocabulary;
    return *name != NULL;
}

const char *data_field_vocabulary(struct unit *unit, const char *data, const char *split_name, const char *name)
{
    struct definition *definition = map_get(unit->main->names, data);
    struct data_split *split =
        definition && definition->node->kind == NODE_DATA ? data_split(unit, definition, split_name) : NULL;
    struct data_field field = {0};
    const char *vocabulary;
    struct node *limit;

    if (!split || !find_data_field(unit, split, name, &field))
        return NULL;
    return vocabulary_of(scope_top(NULL, unit, field.split->data->file, false), &field, &vocabulary, &limit) ? vocabulary
                                                                                                            : NULL;
}

static bool equal_text(const struct node *a, const struct node *b)
{
    struct text left = {0}, right = {0};
    bool equal;

    print_node(&left, a);
    print_node(&right, b);
    equal = left.size == right.size && !memcmp(left.data, right.data, left.size);
    text_free(&left);
    text_free(&right);
    return equal;
}

static void add_once(struct unit *unit, data_names *names, const char *name)
{
    for (int i = 0; i < names->count; i++)
        if (!strcmp(names->at[i], name))
            return;
    list_add(unit->arena, *names, name);
}

/* `in` of an axis or a number as written states no name that a reader could share: there the number decides. */
static bool number_decides(struct scope *scope, const struct node *bound)
{
    struct binding *binding =
        bound->kind == NODE_PATH || bound->kind == NODE_NAME ? scope_find(scope, bound->name) : NULL;

    return bound->kind == NODE_NUMBER || (binding && binding->kind == BIND_AXIS);
}

static void symbols_of_split(struct scope *scope, struct data_split *split, struct node *bound, int64_t extent,
                             data_names *same_name, data_names *same_number)
{
    struct unit *unit = scope->unit;
    struct scope *top = scope_top(NULL, unit, split->data->file, false);
    name_list names = {0};

    data_field_names(split, unit->arena, &names);
    for (int i = 0; i < names.count; i++) {
        struct data_field field = {0};
        const char *vocabulary;
        struct node *limit;
        int64_t number;

        if (!find_data_field(unit, split, names.at[i], &field) || !vocabulary_of(top, &field, &vocabulary, &limit))
            continue;
        if (equal_text(bound, limit))
            add_once(unit, same_name, vocabulary);
        else if (number_decides(scope, bound) && evaluate_whole(top, limit, &number, "limit") && number == extent)
            add_once(unit, same_number, vocabulary);
    }
}

data_names output_symbols(struct scope *scope, struct node *output)
{
    struct unit *unit = scope->unit;
    data_names same_name = {0}, same_number = {0};
    int64_t extent;

    if (!output->a || !bound_of(scope, output->a, &extent))
        return same_name;
    for (int i = 0; i < unit->main->definitions.count; i++) {
        struct definition *data = unit->main->definitions.at[i];
        name_list splits = {0};

        if (data->node->kind != NODE_DATA)
            continue;
        data_split_names(unit, data, &splits);
        for (int k = 0; k < splits.count; k++) {
            struct data_split *split = data_split(unit, data, splits.at[k]);

            if (split)
                symbols_of_split(scope, split, output->a, extent, &same_name, &same_number);
        }
    }
    return same_name.count ? same_name : same_number;
}
