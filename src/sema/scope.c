/* scope.c: names in a body, places of instances, origins and errors with their chain of calls. */
#include <string.h>

#include "internal.h"

struct scope *scope_top(struct workspace *w, struct unit *unit, struct file *file, bool training)
{
    struct scope *scope = NEW(unit->arena, struct scope);

    scope->workspace = w;
    scope->unit = unit;
    scope->file = file;
    scope->path = scope->site = "";
    scope->training = training;
    scope->body = scope;
    scope->names = map_new(unit->arena);
    if (w && w->batch)
        list_add(unit->arena, scope->context, w->batch);
    return scope;
}

struct scope *scope_body(struct scope *from, struct file *file, const char *path)
{
    struct scope *scope = NEW(from->unit->arena, struct scope);

    *scope = *from;
    scope->up = NULL;
    scope->body = scope;
    scope->file = file;
    scope->path = scope->site = path;
    scope->given = scope->target = NULL;
    scope->function = false;
    scope->names = map_new(from->unit->arena);
    scope->order = (name_list){0};
    scope->context = (ir_index_list){0};
    for (int i = 0; i < from->context.count; i++)
        list_add(from->unit->arena, scope->context, from->context.at[i]);
    scope->has_dots = false;
    scope->dots = (ir_index_list){0};
    scope->reduced = (name_list){0};
    scope->statement = NULL;
    return scope;
}

struct scope *scope_inner(struct scope *up)
{
    struct scope *scope = NEW(up->unit->arena, struct scope);

    *scope = *up;
    scope->up = up;
    scope->names = map_new(up->unit->arena);
    scope->order = (name_list){0};
    scope->reduced = (name_list){0};
    for (int i = 0; i < up->reduced.count; i++)
        list_add(up->unit->arena, scope->reduced, up->reduced.at[i]);
    return scope;
}

struct binding *scope_find(struct scope *scope, const char *name)
{
    for (; scope; scope = scope->up) {
        struct binding *binding = map_get(scope->names, name);

        if (binding)
            return binding;
    }
    return NULL;
}

struct binding *scope_bind(struct scope *scope, const char *name, struct span span)
{
    struct binding *binding = NEW(scope->unit->arena, struct binding);

    binding->name = name;
    binding->span = span;
    map_put(scope->names, name, binding);
    list_add(scope->unit->arena, scope->order, name);
    return binding;
}

void scope_define(struct scope *scope, const char *name, struct span span, const struct value *value)
{
    struct binding *binding;

    if (!strcmp(name, "_"))
        return;
    if (is_predefined(name)) {
        fail(scope, "E0202", span, "`%s` is predefined and cannot be defined again", name);
        return;
    }
    binding = map_get(scope->names, name);
    if (binding) {
        if (binding->kind == BIND_AXIS)
            fail(scope, "E0202", span, "`%s` is an axis in this body and cannot be a value too", name);
        else
            fail(scope, "E0202", span, "`%s` is defined twice in this body", name);
        note(scope, binding->span, "`%s` is first defined here", name);
        return;
    }
    binding = scope_bind(scope, name, span);
    binding->value = value;
}

void scope_names(struct scope *scope, name_list *out)
{
    struct scope *s;

    for (s = scope; s; s = s->up)
        for (int i = 0; i < s->order.count; i++)
            list_add(scope->unit->arena, *out, s->order.at[i]);
    visible_names(scope->unit, scope->file, out);
}

struct ir_index *new_index(struct scope *scope, const char *name, int64_t extent)
{
    return ir_index(scope->workspace->program, name, extent, false);
}

static int counted(struct scope *scope, struct map *counts, const char *key)
{
    int *count = map_get(counts, key);

    if (!count) {
        count = NEW(scope->unit->arena, int);
        map_put(counts, key, count);
    }
    return ++*count;
}

const char *place(struct scope *scope, const struct node *node, const char *name)
{
    struct workspace *w = scope->workspace;
    const char *key = arena_printf(w->arena, "%s#%d", scope->path, node->number_of_node);
    const char *path = map_get(w->sites, key);

    if (path)
        return path;
    path = *scope->path ? arena_printf(w->arena, "%s.%s", scope->path, name) : name;
    path = arena_printf(w->arena, "%s_%d", path, counted(scope, w->counts, path));
    map_put(w->sites, key, (void *)path);
    return path;
}

const struct ir_origin *origin_of(struct scope *scope, struct span span)
{
    struct ir_origin *origin = NEW(scope->unit->arena, struct ir_origin);

    origin->path = scope->path;
    origin->caller = scope->caller;
    if (span.source) {
        origin->file = span.source->path;
        origin->begin = span.begin;
        origin->end = span.end;
        source_position(span.source, span.begin, &origin->line, &origin->column);
    }
    return origin;
}

static void chain(struct scope *scope)
{
    for (const struct call *call = scope->calls; call; call = call->up)
        diagnose_note(scope->unit->diagnostics, call->span, "in %s, used here", call->name);
}

const struct value *fail(struct scope *scope, const char *code, struct span at, const char *format, ...)
{
    va_list arguments;
    char message[600];

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    diagnose(scope->unit->diagnostics, code, at, "%s", message);
    chain(scope);
    return &poison;
}

void warn(struct scope *scope, const char *code, struct span at, const char *format, ...)
{
    va_list arguments;
    char message[600];
    const char *key;

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    /* The same place is lowered in several modes and rounds. */
    key = arena_printf(scope->unit->arena, "%s %s %d", code, at.source ? at.source->path : "", at.begin);
    if (map_get(scope->unit->warned, key))
        return;
    map_put(scope->unit->warned, key, (void *)key);
    diagnose(scope->unit->diagnostics, code, at, "%s", message);
    chain(scope);
}

void help(struct scope *scope, const char *format, ...)
{
    va_list arguments;
    char message[600];

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    diagnose_help(scope->unit->diagnostics, "%s", message);
}

void note(struct scope *scope, struct span at, const char *format, ...)
{
    va_list arguments;
    char message[600];

    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    diagnose_note(scope->unit->diagnostics, at, "%s", message);
}

const char *text_of(struct scope *scope, const struct node *node)
{
    struct text text = {0};
    char *copy;

    print_node(&text, node);
    copy = arena_string(scope->unit->arena, text.data ? text.data : "");
    text_free(&text);
    return copy;
}

const char *shape_text(struct scope *scope, const ir_index_list *axes)
{
    struct text text = {0};
    char *copy;

    text_add(&text, "[");
    for (int i = 0; i < axes->count; i++)
        text_addf(&text, "%s%lld", i ? ", " : "", (long long)axes->at[i]->extent);
    text_add(&text, "]");
    copy = arena_string(scope->unit->arena, text.data);
    text_free(&text);
    return copy;
}
