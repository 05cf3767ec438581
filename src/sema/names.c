/* names.c: what can be said of a definition without a use of it: names that nothing can give a meaning. */
#include <string.h>

#include "internal.h"

struct names {
    struct unit *unit;
    struct file *file;
    struct map *introduced; /* every name that the definition itself may give a meaning */
};

static void introduce(struct names *n, const char *name)
{
    if (name)
        map_put(n->introduced, name, (void *)"");
}

/* Names in subscripts are axes that reads may fix; names on left sides, inputs and settings are given. */
static void collect(struct names *n, const struct node *node, bool subscript)
{
    if (!node)
        return;
    switch (node->kind) {
    case NODE_INPUT:
    case NODE_SETTING:
    case NODE_TARGET:
    case NODE_AXIS:
    case NODE_OVER:
    case NODE_REPEAT:
        introduce(n, node->name);
        break;
    case NODE_PATH:
    case NODE_NAME:
        if (subscript)
            introduce(n, node->name);
        return;
    default:
        break;
    }
    if (node->kind == NODE_INPUT && node->a && node->a->kind == NODE_PATH)
        introduce(n, node->a->name);
    collect(n, node->a, subscript && node->kind == NODE_GROUPED);
    collect(n, node->b, false);
    collect(n, node->c, false);
    for (int i = 0; i < node->list.count; i++)
        collect(n, node->list.at[i],
                node->kind == NODE_READ || node->kind == NODE_TARGET || node->kind == NODE_INPUT ||
                    node->kind == NODE_REDUCE || (node->kind == NODE_COMPOSITE && subscript));
    for (int i = 0; i < node->more.count; i++)
        collect(n, node->more.at[i], node->kind == NODE_CALL || node->kind == NODE_STAGE || node->kind == NODE_FN);
}

static bool is_known(struct names *n, const char *name)
{
    static const char *const readers[] = {"idx", "npy", "csv", "characters", "words", "lines", "sequence", "png", "divide"};
    name_list visible = {0};

    if (map_get(n->introduced, name))
        return true;
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (!strcmp(readers[i], name))
            return true;
    visible_names(n->unit, n->file, &visible);
    for (int i = 0; i < visible.count; i++)
        if (!strcmp(visible.at[i], name))
            return true;
    return false;
}

static void look(struct names *n, const struct node *node)
{
    if (!node)
        return;
    if (node->kind == NODE_PATH) {
        const char *dot = strchr(node->name, '.');
        const char *first = dot ? arena_slice(n->unit->arena, node->name, (size_t)(dot - node->name)) : node->name;
        name_list candidates = {0};

        if (is_known(n, first))
            return;
        diagnose(n->unit->diagnostics, "E0201", node->span, "there is no `%s` here", first);
        visible_names(n->unit, n->file, &candidates);
        suggest(n->unit->diagnostics, first, &candidates);
        suggest_library(n->unit, first);
        introduce(n, first); /* once is enough */
        return;
    }
    look(n, node->a);
    look(n, node->b);
    look(n, node->c);
    for (int i = 0; i < node->list.count; i++)
        look(n, node->list.at[i]);
    for (int i = 0; i < node->more.count; i++)
        look(n, node->more.at[i]);
}

static bool names_it(const struct node *node, const char *name)
{
    size_t length = strlen(name);

    if (!node)
        return false;
    if ((node->kind == NODE_PATH || node->kind == NODE_NAME) && !strncmp(node->name, name, length) &&
        (!node->name[length] || node->name[length] == '.'))
        return true;
    if (names_it(node->a, name) || names_it(node->b, name) || names_it(node->c, name))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (names_it(node->list.at[i], name))
            return true;
    for (int i = 0; i < node->more.count; i++)
        if (names_it(node->more.at[i], name))
            return true;
    return false;
}

/* ---- gradients ---- */

static void find_gradients(struct unit *unit, struct map *names, const struct node *node)
{
    if (!node)
        return;
    if ((node->kind == NODE_CALL || node->kind == NODE_STAGE) && node->list.count && !strcmp(node->a->name, "grad")) {
        const struct node *by = node->list.at[node->list.count - 1]->a;
        const char *dot;

        while (by && (by->kind == NODE_GROUPED || by->kind == NODE_READ))
            by = by->a;
        if (by && (by->kind == NODE_PATH || by->kind == NODE_NAME)) {
            dot = strrchr(by->name, '.');
            map_put(names, dot ? arena_string(unit->arena, dot + 1) : by->name, (void *)"");
        }
    }
    find_gradients(unit, names, node->a);
    find_gradients(unit, names, node->b);
    find_gradients(unit, names, node->c);
    for (int i = 0; i < node->list.count; i++)
        find_gradients(unit, names, node->list.at[i]);
    for (int i = 0; i < node->more.count; i++)
        find_gradients(unit, names, node->more.at[i]);
}

bool takes_gradient_by(struct unit *unit, struct file *file, const char *name)
{
    if (!file->differentiated) {
        file->differentiated = map_new(unit->arena);
        find_gradients(unit, file->differentiated, file->tree);
    }
    return map_get(file->differentiated, name) != NULL;
}

/* ---- inputs ---- */

/* An input that neither the model nor what trains it reads was forgotten somewhere. */
static void warn_of_unused_inputs(struct unit *unit, const struct definition *model)
{
    for (int i = 0; i < model->node->list.count; i++) {
        const struct node *input = model->node->list.at[i];
        bool used = names_it(model->node->a, input->name);

        for (int k = 0; unit->main->tree && k < unit->main->tree->list.count && !used; k++) {
            const struct node *item = unit->main->tree->list.at[k];

            used = item->kind == NODE_TRAIN && !strcmp(item->name, model->name) && names_it(item->a, input->name);
        }
        if (!used)
            diagnose(unit->diagnostics, "W0003", input->span, "nothing reads the input `%s` of %s", input->name,
                     model->name);
    }
}

/* A model or layer describes one sample: the batch is no axis of its inputs and outputs. */
static void check_axes(struct unit *unit, const struct node *inputs)
{
    for (int i = 0; i < inputs->list.count; i++) {
        const struct node *input = inputs->list.at[i];

        for (int k = 0; input->kind == NODE_INPUT && k < input->list.count; k++) {
            const struct node *axis = input->list.at[k];
            const char *rest = "";

            if (!axis->name || strcmp(axis->name, "batch"))
                continue;
            for (int j = 0; j < input->list.count; j++) {
                struct text text = {0};

                if (j == k)
                    continue;
                print_node(&text, input->list.at[j]);
                rest = arena_printf(unit->arena, "%s%s%s", rest, *rest ? ", " : "", text.data);
                text_free(&text);
            }
            diagnose(unit->diagnostics, "E0401", axis->span,
                     "a header describes one sample; the batch is no axis of %s", input->name);
            diagnose_help(unit->diagnostics, *rest ? "%s[%s]; the samples of a batch never meet unless `batch` is reduced over"
                                                   : "%s%s; the samples of a batch never meet unless `batch` is reduced over",
                          input->name, rest);
        }
    }
}

void check_definition_names(struct unit *unit, struct definition *definition)
{
    struct names n = {unit, definition->file, NULL};
    struct node *node = definition->node;

    if (node->kind != NODE_FN && node->kind != NODE_LAYER && node->kind != NODE_MODEL && node->kind != NODE_RULE)
        return;
    if (node->kind == NODE_MODEL && definition->file == unit->main)
        warn_of_unused_inputs(unit, definition);
    if (node->kind == NODE_LAYER || node->kind == NODE_MODEL) {
        check_axes(unit, node);
        check_axes(unit, node->b);
    }
    n.introduced = map_new(unit->arena);
    collect(&n, node, false);
    for (int i = 0; i < node->more.count; i++)
        if (node->more.at[i]->kind == NODE_SETTING)
            look(&n, node->more.at[i]->a);
    for (int i = 0; i < node->list.count; i++)
        if (node->list.at[i]->kind == NODE_SETTING)
            look(&n, node->list.at[i]->a);
    look(&n, node->a);
}
