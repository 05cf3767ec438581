/* unit.c: files, `use`, top-level names, lets. Names are found in a file first, then in what it uses (not transitive).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const predefined[] = {
    "batch",     "training",    "step",        "steps",   "epoch",    "progress",   "pi",     "inf",
    "true",      "false",       "params",      "weights", "biases",   "grads",      "size",   "grad",
    "named",     "objective",   "gradient",    "solve",   "cholesky", "rank",       "normal", "uniform",
    "bernoulli", "categorical", "exponential", "poisson", "constant", "orthogonal",
#define OP(name, arity, form, symbol, level, result, laws, ...) FORM_##form(symbol)
#define FORM_CALL(symbol)                                       symbol,
#define FORM_INFIX(symbol)
#define FORM_PREFIX(symbol)
#define FORM_SELECT(symbol)
#include "ops.def"
#undef OP
};

bool is_predefined(const char *name)
{
    for (size_t i = 0; i < sizeof predefined / sizeof *predefined; i++)
        if (!strcmp(predefined[i], name))
            return true;
    return false;
}

static bool is_definition(const struct node *item)
{
    switch (item->kind) {
    case NODE_LET:
    case NODE_FN:
    case NODE_LAYER:
    case NODE_MODEL:
    case NODE_RULE:
    case NODE_DATA:
        return true;
    default:
        return false;
    }
}

/* The file of that path in the unit whose texts are used. */
static const struct file *file_read(const struct unit *unit, const char *path, bool library)
{
    const struct unit *texts = unit->texts;
    int count = !texts ? 0 : library ? texts->library.count : texts->files.count;

    for (int i = 0; i < count; i++) {
        const struct file *file = (library ? texts->library.at : texts->files.at)[i];

        if (!strcmp(file->source->path, path))
            return file;
    }
    return NULL;
}

static struct file *file_of(struct unit *unit, const struct source *source, bool library)
{
    const struct file *read = file_read(unit, source->path, library);
    struct file *file = NEW(unit->arena, struct file);

    file->source = source;
    file->library = library;
    file->names = map_new(unit->arena);
    file->tree = read ? read->tree : parse(unit->arena, source, unit->diagnostics);
    if (!file->tree)
        return file;
    for (int i = 0; i < file->tree->list.count; i++) {
        struct node *item = file->tree->list.at[i];
        struct definition *definition, *earlier;

        if (!is_definition(item))
            continue;
        earlier = map_get(file->names, item->name);
        if (earlier) {
            diagnose(unit->diagnostics, "E0202", item->name_span, "`%s` is defined twice", item->name);
            diagnose_note(unit->diagnostics, earlier->node->name_span, "`%s` is first defined here", item->name);
            continue;
        }
        if (is_predefined(item->name)) {
            diagnose(unit->diagnostics, "E0202", item->name_span, "`%s` is predefined and cannot be defined again",
                     item->name);
            continue;
        }
        definition = NEW(unit->arena, struct definition);
        definition->name = item->name;
        definition->node = item;
        definition->file = file;
        map_put(file->names, item->name, definition);
        list_add(unit->arena, file->definitions, definition);
    }
    return file;
}

static void use_library(struct unit *unit)
{
    if (unit->library.count)
        return;
    for (const struct embedded *e = standard_library; e->path; e++) {
        const struct file *read = file_read(unit, e->path, true);
        struct file *file = file_of(unit, read ? read->source : source_of_text(unit->arena, e->path, e->text), true);
        list_add(unit->arena, unit->library, file);
    }
    /* The library is one namespace: each of its files sees all of them. */
    for (int i = 0; i < unit->library.count; i++) {
        for (int j = 0; j < unit->library.count; j++) {
            if (i == j)
                continue;
            list_add(unit->arena, unit->library.at[i]->uses, unit->library.at[j]);
        }
    }
}

static const char *beside(struct arena *arena, const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');

    if (name[0] == '/' || !slash)
        return name;
    return arena_printf(arena, "%.*s/%s", (int)(slash - path), path, name);
}

static struct file *load(struct unit *unit, const char *path, struct span used_at)
{
    const struct file *read = file_read(unit, path, false);
    const struct source *source;
    struct file *file;

    for (int i = 0; i < unit->files.count; i++)
        if (!strcmp(unit->files.at[i]->source->path, path))
            return unit->files.at[i];
    source = read ? read->source : source_read(unit->arena, path);
    if (!source) {
        diagnose(unit->diagnostics, "E0103", used_at, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    file = file_of(unit, source, false);
    list_add(unit->arena, unit->files, file);
    if (!file->tree)
        return file;
    for (int i = 0; i < file->tree->list.count; i++) {
        struct node *item = file->tree->list.at[i];

        if (item->kind != NODE_USE)
            continue;
        if (item->flag) {
            struct file *used = load(unit, beside(unit->arena, path, item->name), item->span);
            if (used)
                list_add(unit->arena, file->uses, used);
        } else if (!strcmp(item->name, "std")) {
            use_library(unit);
            for (int k = 0; k < unit->library.count; k++)
                list_add(unit->arena, file->uses, unit->library.at[k]);
        } else {
            diagnose(unit->diagnostics, "E0201", item->span, "there is no library `%s`", item->name);
            diagnose_help(unit->diagnostics, "use std, or use \"file.rnet\"");
        }
    }
    return file;
}

struct definition *find_definition(struct unit *unit, struct file *file, const char *name, struct span at)
{
    struct definition *found = map_get(file->names, name);

    if (found)
        return found;
    for (int i = 0; i < file->uses.count; i++) {
        struct definition *other = map_get(file->uses.at[i]->names, name);

        if (!other || other == found)
            continue;
        if (found) {
            diagnose(unit->diagnostics, "E0202", at, "`%s` is defined in two used files", name);
            diagnose_note(unit->diagnostics, found->node->name_span, "here");
            diagnose_note(unit->diagnostics, other->node->name_span, "and here");
            return found;
        }
        found = other;
    }
    return found;
}

void visible_names(struct unit *unit, struct file *file, name_list *out)
{
    for (int i = 0; i < file->definitions.count; i++)
        list_add(unit->arena, *out, file->definitions.at[i]->name);
    for (int k = 0; k < file->uses.count; k++) {
        struct file *used = file->uses.at[k];
        for (int i = 0; i < used->definitions.count; i++)
            list_add(unit->arena, *out, used->definitions.at[i]->name);
    }
    for (size_t i = 0; i < sizeof predefined / sizeof *predefined; i++)
        list_add(unit->arena, *out, predefined[i]);
}

void suggest(struct diagnostics *d, const char *name, const name_list *candidates)
{
    const char *nearest = nearest_name(name, candidates->at, candidates->count);

    if (nearest && strcmp(nearest, name))
        diagnose_help(d, "did you mean `%s`?", nearest);
}

void suggest_library(struct unit *unit, const char *name)
{
    static const char *const kinds[] = {"layer", "fn", "rule"};
    static const char *const reductions[] = {"sum", "mean", "prod", "argmax", "argmin"};

    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (!strcmp(reductions[i], name))
            diagnose_help(unit->diagnostics, "a reduction says over what: %s[i] x[i]", name);

    for (const struct embedded *e = standard_library; e->path && !unit->library.count; e++)
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 2; k++)
                if (strstr(e->text, arena_printf(unit->arena, "\n%s %s%c", kinds[i], name, "(["[k]))) {
                    diagnose_help(unit->diagnostics, "`%s` is in the standard library: use std", name);
                    return;
                }
}

/* ---- lets ---- */

static const char *set_from_outside(struct unit *unit, const struct definition *let)
{
    const char *value = NULL;

    if (let->file != unit->main)
        return NULL;
    for (int i = 0; i < unit->settings.count; i++)
        if (!strcmp(unit->settings.at[i].name, let->name))
            value = unit->settings.at[i].value;
    return value;
}

static const struct value *set_value(struct unit *unit, struct definition *let, const char *text,
                                     const struct value *written)
{
    struct value *v = NEW(unit->arena, struct value);
    char *end;
    double number;

    *v = *written;
    if (written->kind == VALUE_STRING) {
        v->text = text;
        return v;
    }
    if (!strcmp(text, "true") || !strcmp(text, "false")) {
        v->number = !strcmp(text, "true");
        v->whole = true;
        return v;
    }
    number = strtod(text, &end);
    if (end == text || *end) {
        diagnose(unit->diagnostics, "E0204", let->node->span, "%s = %s is not a number", let->name, text);
        return written;
    }
    if (!isfinite(number)) {
        diagnose(unit->diagnostics, "E0204", let->node->span, "%s = %s is not a finite number", let->name, text);
        return written;
    }
    if (written->whole && number != (double)(int64_t)number) {
        diagnose(unit->diagnostics, "E0204", let->node->span, "%s is a whole number and cannot be set to %s", let->name,
                 text);
        return written;
    }
    v->number = number;
    return v;
}

const struct value *let_value(struct unit *unit, struct definition *let)
{
    struct scope *scope;
    const char *outside;

    if (let->let)
        return let->let;
    if (let->evaluating) {
        diagnose(unit->diagnostics, "E0205", let->node->name_span, "`%s` is defined by itself", let->name);
        return let->let = &poison;
    }
    let->evaluating = true;
    scope = scope_top(NULL, unit, let->file, false);
    let->let = evaluate(scope, let->node->a);
    if (let->let->kind != VALUE_NUMBER && let->let->kind != VALUE_STRING && let->let->kind != VALUE_POISON) {
        diagnose(unit->diagnostics, "E0701", let->node->a->span, "a let is known before the run: a number or a string");
        let->let = &poison;
    }
    outside = set_from_outside(unit, let);
    if (outside && !is_poison(let->let))
        let->let = set_value(unit, let, outside, let->let);
    let->evaluating = false;
    return let->let;
}

/* `count` and `statistic_k` are what a report's result program calls its own scalars. */
bool is_scalar_let(const struct unit *unit, const struct definition *let)
{
    return let->node->kind == NODE_LET && let->file == unit->main && let->let && let->let->kind == VALUE_NUMBER &&
           strcmp(let->name, "count") && strncmp(let->name, "statistic_", 10);
}

bool unit_let(const struct unit *unit, const char *name, double *value)
{
    struct definition *let = unit->main ? map_get(unit->main->names, name) : NULL;

    if (!let || let->node->kind != NODE_LET || !let->let || let->let->kind != VALUE_NUMBER)
        return false;
    *value = let->let->number;
    return true;
}

static void list_lets(struct unit *unit, const name_list *lets)
{
    const char *list = "";

    for (int i = 0; i < lets->count && i < 8; i++)
        list = arena_printf(unit->arena, "%s%s%s", list, i ? ", " : "", lets->at[i]);
    if (lets->count)
        diagnose_help(unit->diagnostics, "there are %s%s", list, lets->count > 8 ? ", ..." : "");
    else
        diagnose_help(unit->diagnostics, "let NAME = ... in the file is what can be set");
}

static void check_settings(struct unit *unit)
{
    for (int i = 0; i < unit->settings.count; i++) {
        const char *name = unit->settings.at[i].name;
        struct definition *let = map_get(unit->main->names, name);
        name_list lets = {0};

        if (let && let->node->kind == NODE_LET)
            continue;
        for (int k = 0; k < unit->main->definitions.count; k++)
            if (unit->main->definitions.at[k]->node->kind == NODE_LET)
                list_add(unit->arena, lets, unit->main->definitions.at[k]->name);
        diagnose(unit->diagnostics, "E0201", (struct span){0}, "%s %s=%s: there is no let `%s` in %s",
                 unit->settings.at[i].option ? unit->settings.at[i].option : "--set", name, unit->settings.at[i].value,
                 name, unit->main->source->path);
        suggest(unit->diagnostics, name, &lets);
        if (!nearest_name(name, lets.at, lets.count))
            list_lets(unit, &lets);
    }
}

static struct unit *read_unit(struct arena *arena, const struct unit *texts, const char *path, const struct setting *settings, int count,
                              struct diagnostics *d)
{
    struct unit *unit = NEW(arena, struct unit);

    unit->arena = arena;
    unit->texts = texts;
    unit->diagnostics = d;
    unit->warned = map_new(arena);
    for (int i = 0; i < count; i++)
        list_add(arena, unit->settings, settings[i]);
    unit->main = load(unit, path, (struct span){0});
    if (!unit->main)
        return NULL;
    if (!unit->main->tree)
        return unit;
    check_settings(unit);
    for (int i = 0; i < unit->files.count; i++) {
        struct file *file = unit->files.at[i];

        for (int k = 0; k < file->definitions.count; k++) {
            struct definition *definition = file->definitions.at[k];

            if (definition->node->kind == NODE_LET)
                let_value(unit, definition);
            else
                check_definition_names(unit, definition);
        }
    }
    for (int i = 0; i < unit->main->tree->list.count; i++)
        if (unit->main->tree->list.at[i]->kind == NODE_TRAIN)
            list_add(arena, unit->trainings, unit->main->tree->list.at[i]);
    return unit;
}

struct unit *unit_read(struct arena *arena, const char *path, const struct setting *settings, int count, struct diagnostics *d)
{
    return read_unit(arena, NULL, path, settings, count, d);
}

struct unit *unit_read_again(struct arena *arena, const struct unit *unit, const struct setting *settings, int count,
                             struct diagnostics *d)
{
    return read_unit(arena, unit, unit->main->source->path, settings, count, d);
}

int unit_trainings(const struct unit *unit)
{
    return unit->trainings.count;
}
