/* reader.c: the calls of readers in a data block: what is known of their values before any use, and how the run is to read them. */
#include <string.h>

#include "internal.h"

static const struct {
    const char *name;
    enum reader reader;
} readers[] = {{"idx", READ_IDX},     {"npy", READ_NPY},     {"csv", READ_CSV}, {"characters", READ_CHARACTERS},
               {"words", READ_WORDS}, {"lines", READ_LINES}, {"png", READ_PNG}, {"sequence", READ_CHARACTERS}};

static int reader_kind(const char *name)
{
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i].name, name))
            return (int)i;
    return -1;
}

void find_readers(struct node *node, struct node **reader, int *count)
{
    if (!node)
        return;
    if (node->kind == NODE_CALL && node->a->kind == NODE_PATH && reader_kind(node->a->name) >= 0) {
        *reader = node;
        ++*count;
        return;
    }
    find_readers(node->a, reader, count);
    find_readers(node->b, reader, count);
    find_readers(node->c, reader, count);
    for (int i = 0; i < node->list.count; i++)
        if (node->kind != NODE_PATH)
            find_readers(node->list.at[i], reader, count);
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

/* The reader of symbols in sequence(words(...), n), else the call itself. */
static struct node *stream_of(struct scope *top, struct node *call)
{
    struct node *stream;

    if (strcmp(call->a->name, "sequence"))
        return call;
    stream = argument_named(call, "stream", 0);
    if (stream && stream->kind == NODE_CALL &&
        (!strcmp(stream->a->name, "characters") || !strcmp(stream->a->name, "words")))
        return stream;
    fail(top, "E0206", call->span, "sequence wants characters(...) or words(...), and how many of them make an item");
    help(top, "sequence(characters(\"book.txt\", 96), 129)");
    return NULL;
}

static bool whole_argument(struct scope *top, struct node *call, const char *name, int position, int64_t low, int64_t *out)
{
    struct node *node = argument_named(call, name, position);

    if (!node) {
        fail(top, "E0207", call->span, "%s wants `%s`", call->a->name, name);
        return false;
    }
    if (!evaluate_whole(top, node, out, name))
        return false;
    if (*out >= low)
        return true;
    fail(top, "E0305", node->span, "%s is %lld, expected at least %lld", name, (long long)*out, (long long)low);
    return false;
}

static void give_shape(struct field_use *field, int rank, int64_t extent)
{
    field->shaped = true;
    field->rank = rank;
    field->shape[0] = extent;
}

static void give_range(struct field_use *field, int64_t high, const char *bound)
{
    field->whole = true;
    field->low = 0;
    field->high = high;
    field->bound = bound;
}

/* Names of columns: the strings behind the file. */
static int csv_names(struct node *call)
{
    int count = 0;

    for (int i = 1; i < call->list.count; i++)
        count += !call->list.at[i]->name && call->list.at[i]->a->kind == NODE_STRING;
    return count;
}

struct node *reader_limit(struct scope *top, struct node *call, int part)
{
    struct node *stream = stream_of(top, call);

    if (!stream)
        return NULL;
    if (!strcmp(stream->a->name, "characters") || !strcmp(stream->a->name, "words"))
        return argument_named(stream, "limit", 1);
    if (!strcmp(stream->a->name, "lines"))
        return part == 0 ? argument_named(stream, "limit", 1) : NULL;
    if (!strcmp(stream->a->name, "png"))
        return part == 1 ? argument_named(stream, "classes", 1) : NULL;
    return !strcmp(stream->a->name, "csv") ? argument_named(stream, "categories", 100) : NULL;
}

/* Every name of a column stands once. */
static bool check_csv_names(struct scope *top, struct node *call)
{
    for (int i = 1; i < call->list.count; i++)
        for (int k = 1; k < i; k++) {
            struct node *name = call->list.at[i]->a, *before = call->list.at[k]->a;

            if (call->list.at[i]->name || call->list.at[k]->name || name->kind != NODE_STRING ||
                before->kind != NODE_STRING || strcmp(name->text, before->text))
                continue;
            fail(top, "E0207", name->span, "the column \"%s\" is wanted twice", name->text);
            return false;
        }
    return true;
}

void settle_reader(struct scope *top, struct field_use *field)
{
    struct node *call = field->reader, *stream = stream_of(top, call);
    int64_t limit = 0, longest = 0, n = 0;
    int parts = field->node->list.count;

    if (!stream)
        return;
    if (parts > 1 && strcmp(call->a->name, "lines") && strcmp(call->a->name, "png")) {
        fail(top, "E0207", field->node->span, "%d names for 1 value", parts);
        return;
    }
    if (parts > 2 || (parts == 1 && !strcmp(call->a->name, "lines"))) {
        fail(top, "E0207", field->node->span, "%d name%s for 2 values", parts, parts == 1 ? "" : "s");
        help(top, !strcmp(call->a->name, "lines") ? "(line, length) = lines(...)" : "(image, label) = png(...)");
        return;
    }
    if (!strcmp(call->a->name, "csv")) {
        struct node *count = argument_named(call, "count", 2 + csv_names(call)), *categories;

        if (!check_csv_names(top, call))
            return;
        categories = argument_named(call, "categories", 100);
        if (categories && whole_argument(top, call, "categories", 100, 1, &limit)) {
            give_range(field, limit - 1, "categories");
            give_shape(field, 0, 0);
        } else if (csv_names(call)) {
            give_shape(field, csv_names(call) > 1, csv_names(call));
        } else if (!count || evaluate_whole(top, count, &n, "count")) {
            give_shape(field, n ? 1 : 0, n);
        }
    } else if (!strcmp(stream->a->name, "characters") || !strcmp(stream->a->name, "words")) {
        if (whole_argument(top, stream, "limit", 1, 2, &limit))
            give_range(field, limit - 1, "limit");
        if (stream == call)
            give_shape(field, 0, 0);
        else if (whole_argument(top, call, "length", 1, 2, &n))
            give_shape(field, 1, n);
    } else if (!strcmp(call->a->name, "lines")) {
        if (!whole_argument(top, call, "limit", 1, 2, &limit) || !whole_argument(top, call, "longest", 2, 1, &longest))
            return;
        if (field->source.part == 0) {
            give_range(field, limit - 1, "limit");
            give_shape(field, 1, longest);
        } else {
            give_range(field, longest, "longest");
            give_shape(field, 0, 0);
        }
    } else if (!strcmp(call->a->name, "png") && field->source.part == 1) {
        if (whole_argument(top, call, "classes", 1, 1, &limit))
            give_range(field, limit - 1, "classes");
        give_shape(field, 0, 0);
    }
}

/* ---- for the run ---- */

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

static const char *file_of(struct scope *top, const struct definition *data, struct node *call)
{
    struct arena *arena = top->unit->arena;
    struct node *file = argument_named(call, "file", 0);
    const char *folder = folder_of(arena, data->file->source->path);
    const struct value *v;

    if (data->node->b && !data->node->flag)
        folder = joined(arena, folder, data->node->b->text);
    v = file ? evaluate(top, file) : fail(top, "E0207", call->span, "%s wants the name of a file", call->a->name);
    if (v->kind == VALUE_STRING)
        return joined(arena, folder, v->text);
    if (!is_poison(v))
        fail(top, "E0206", file->span, "the name of a file is a string");
    return NULL;
}

/* A vocabulary is made of the training split: of what the field of that name is read from there. */
static const char *vocabulary_file(struct scope *top, const struct field_use *use, const char *own)
{
    struct data_split *train = data_split(top->unit, use->source.split->data, "train");
    struct data_field field;
    struct node *reader = NULL, *stream;
    const char *file;
    int count = 0;

    if (!train || train->of || !find_data_field(top->unit, train, use->source.name, &field))
        return own;
    find_readers(field.definition->a, &reader, &count);
    stream = reader ? stream_of(top, reader) : NULL;
    file = stream ? file_of(top, field.split->data, stream) : NULL;
    return file ? file : own;
}

static void describe_csv(struct scope *top, struct node *call, const struct field_use *use, struct field *out)
{
    struct node *first = argument_named(call, "first", 1 + csv_names(call));
    int64_t number = 0;

    out->column_count = csv_names(call);
    out->columns = NEW_ARRAY(top->unit->arena, const char *, out->column_count + 1);
    for (int i = 1, k = 0; i < call->list.count; i++)
        if (!call->list.at[i]->name && call->list.at[i]->a->kind == NODE_STRING)
            out->columns[k++] = call->list.at[i]->a->text;
    if (first && evaluate_whole(top, first, &number, "first"))
        out->first = (int)number;
    out->count = use->rank ? (int)use->shape[0] : 0;
    if (argument_named(call, "categories", 100))
        out->reader = READ_LABELS;
    if (out->reader == READ_LABELS && out->column_count > 1)
        fail(top, "E0207", call->span, "categories are of one column, not of %d", out->column_count);
}

bool describe_field(struct scope *scope, const struct field_use *use, struct field *out)
{
    struct definition *data = use->source.split ? use->source.split->data : NULL;
    struct scope *top;
    struct node *stream;

    *out = (struct field){.name = use->name,
                          .whole = use->whole,
                          .low = use->low,
                          .high = use->high,
                          .bound = use->bound,
                          .rank = use->rank,
                          .rows = use->source.rows,
                          .shared = use->shared};
    if (!data)
        return false;
    for (int k = 0; k < use->rank; k++)
        out->shape[k] = use->shape[k];
    out->data = data->name;
    out->split = use->source.split->name;
    out->field = use->source.name;
    if (use->item) {
        out->reader = READ_ITEM;
        out->span = use->node->span;
        out->file = arena_printf(scope->unit->arena, "%s.%s", out->data, out->split);
        return true;
    }
    out->span = use->made ? use->node->span : use->reader->span;
    if (use->made) {
        out->reader = READ_MADE;
        out->file = arena_printf(scope->unit->arena, "%s.%s", out->data, out->split);
        return true;
    }
    top = scope_top(NULL, scope->unit, data->file, false);
    stream = stream_of(top, use->reader);
    if (!stream)
        return false;
    out->reader = readers[reader_kind(stream->a->name)].reader;
    out->file = file_of(top, data, stream);
    if (!out->file)
        return false;
    if (stream != use->reader)
        out->length = use->shape[0];
    if (out->reader == READ_CSV)
        describe_csv(top, stream, use, out);
    if (out->reader == READ_CHARACTERS || out->reader == READ_WORDS || out->reader == READ_LINES)
        whole_argument(top, stream, "limit", 1, 2, &out->limit);
    if (out->reader == READ_LINES) {
        whole_argument(top, stream, "longest", 2, 1, &out->longest);
        if (use->source.part == 1)
            out->reader = READ_LENGTHS;
    }
    if (out->reader == READ_PNG)
        out->labelled = use->node->list.count == 2;
    if (out->reader == READ_PNG && use->source.part == 1)
        out->reader = READ_PNG_LABELS;
    if (out->limit || out->reader == READ_LABELS || out->reader == READ_PNG_LABELS || out->labelled) {
        const char *of = use->node->list.at[0]->name;

        out->vocabulary = arena_printf(top->unit->arena, "%s.%s", out->data, of);
        out->vocabulary_file = vocabulary_file(top, use, out->file);
    }
    return true;
}
