/* train_block.c: the keys of a train block, its scope, its local names. */
#include <string.h>

#include "internal.h"

static const char *const slots[] = {"probe", "gradient", "clip", "optimizer", "project", "average"};
static const char *const keys[] = {"loss",      "penalty", "params",   "epochs",   "steps", "batch", "order",
                                   "precision", "report",  "validate", "patience", "stop",  "times"};

static bool among(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i], name))
            return true;
    return false;
}

static bool mentions(const struct node *node, const char *name)
{
    size_t length = strlen(name);

    if (!node)
        return false;
    if (node->kind == NODE_PATH || node->kind == NODE_NAME)
        return !strncmp(node->name, name, length) && (!node->name[length] || node->name[length] == '.');
    if (mentions(node->a, name) || mentions(node->b, name) || mentions(node->c, name))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (mentions(node->list.at[i], name))
            return true;
    for (int i = 0; i < node->more.count; i++)
        if (mentions(node->more.at[i], name))
            return true;
    return false;
}

/* In what the definitions of a block say, not in their names. */
static bool mentions_in_block(const struct node *block, const char *name)
{
    for (int i = 0; i < block->list.count; i++)
        for (int k = 0; block->list.at[i]->kind == NODE_DEFINE && k < block->list.at[i]->list.count; k++)
            if (mentions(block->list.at[i]->list.at[k]->a, name) || mentions(block->list.at[i]->list.at[k]->b, name))
                return true;
    return false;
}

static struct node **key_place(struct train_block *block, const char *name)
{
    if (!strcmp(name, "loss"))
        return &block->loss;
    if (!strcmp(name, "penalty"))
        return &block->penalty;
    if (!strcmp(name, "params"))
        return &block->params;
    if (!strcmp(name, "epochs"))
        return &block->epochs;
    if (!strcmp(name, "steps"))
        return &block->steps;
    if (!strcmp(name, "batch"))
        return &block->batch;
    if (!strcmp(name, "order"))
        return &block->order;
    if (!strcmp(name, "precision"))
        return &block->precision;
    if (!strcmp(name, "report"))
        return &block->report;
    if (!strcmp(name, "validate"))
        return &block->validate;
    if (!strcmp(name, "patience"))
        return &block->patience;
    if (!strcmp(name, "stop"))
        return &block->stop;
    if (!strcmp(name, "times"))
        return &block->times;
    return NULL;
}

void read_block_definition(struct scope *top, struct train_block *block, struct node *definition)
{
    struct node *target = definition->list.at[0], **place;
    const char *name = target->name;

    if (definition->list.count != 1 || definition->op != '=' || target->flag ||
        !(among(name, slots, 6) || among(name, keys, 13))) {
        list_add(top->unit->arena, block->locals, definition);
        return;
    }
    if (among(name, slots, 6)) {
        struct slot slot = {name, definition};

        list_add(top->unit->arena, block->slots, slot);
        return;
    }
    if (definition->b)
        fail(top, "E0102", definition->b->span, "`on` belongs to a slot, and %s is none", name);
    place = key_place(block, name);
    if (!place)
        bug("the setting %s has no place", name);
    if (*place) {
        fail(top, "E0202", definition->span, "`%s` is set twice in this block", name);
        note(top, (*place)->span, "it is first set here");
    } else {
        *place = definition->a;
    }
}

/* What is called so elsewhere, and where it is said here. */
static const char *said_by(const char *name)
{
    static const struct {
        const char *name, *here;
    } table[] = {
        {"rate", "optimizer = gd(rate = 0.1)"},
        {"lr", "optimizer = gd(rate = 0.1)"},
        {"learning_rate", "optimizer = gd(rate = 0.1)"},
        {"momentum", "optimizer = sgd(rate = 0.1, momentum = 0.9)"},
        {"weight_decay", "penalty = 1e-4 * l2(weights)"},
        {"decay", "penalty = 1e-4 * l2(weights)"},
        {"regularizer", "penalty = 1e-4 * l2(weights)"},
        {"batch_size", "batch = 128"},
        {"batchsize", "batch = 128"},
        {"iterations", "steps = 1000"},
        {"metric", "report = accuracy(logits, label)"},
        {"metrics", "report = accuracy(logits, label)"},
        {"early_stopping", "patience = 5 ends after 5 reports without a lower loss"},
        {"shuffle", "order = sequential takes the items as they stand; else they are shuffled"},
        {"seed", "let seed = 1 outside the block, or --seed 1"},
        {"schedule", "a setting may be an expression of step, epoch and progress: optimizer = gd(rate = cosine(0.1))"},
        {"validation", "a split of the data block, validation { ... } or by divide"},
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(table[i].name, name))
            return table[i].here;
    return NULL;
}

bool unused_locals(struct scope *top, const struct train_block *block, const struct node *statements)
{
    name_list names = {0};
    bool unused = false;

    for (size_t i = 0; i < 6; i++)
        list_add(top->unit->arena, names, slots[i]);
    for (size_t i = 0; i < 13; i++)
        list_add(top->unit->arena, names, keys[i]);
    for (int i = 0; i < block->locals.count; i++) {
        struct node *local = block->locals.at[i];

        for (int k = 0; k < local->list.count; k++) {
            const char *name = local->list.at[k]->name;
            bool used = !strcmp(name, "_") || (block->report && mentions(block->report, name));

            for (int j = 0; j < statements->list.count && !used; j++) {
                struct node *statement = statements->list.at[j];

                /* A phase sees the block's names. */
                if (statement->kind == NODE_NAMED)
                    used = mentions_in_block(statement->b, name);
                for (int n = 0; statement->kind == NODE_DEFINE && n < statement->list.count && !used; n++)
                    if (statement->list.at[n] != local)
                        used = mentions(statement->list.at[n]->a, name) || mentions(statement->list.at[n]->b, name);
            }
            if (used)
                continue;
            fail(top, "E0203", local->list.at[k]->name_span, "`%s` is no setting of a train block and nothing uses it",
                 name);
            unused = true;
            if (said_by(name))
                help(top, "%s", said_by(name));
            else
                suggest(top->unit->diagnostics, name, &names);
        }
    }
    return unused;
}

bool misspelt(const struct train_block *block, const char *key)
{
    for (int i = 0; i < block->locals.count; i++)
        for (int k = 0; k < block->locals.at[i]->list.count; k++)
            if (nearest_name(block->locals.at[i]->list.at[k]->name, &key, 1) ||
                !strncmp(block->locals.at[i]->list.at[k]->name, key, strlen(key)))
                return true;
    return false;
}

/* unused: it has been said of a local name that nothing uses it. A train block wants a loss, a length and a rule. */
static void check_wanted(struct scope *top, const struct train_block *block, bool unused)
{
    const struct node *train = block->node;
    bool optimized = false;

    for (int i = 0; i < block->slots.count; i++)
        optimized |= !strcmp(block->slots.at[i].name, "optimizer");
    if (!block->loss && !block->phases.count && !(unused && misspelt(block, "loss"))) {
        fail(top, "E0207", train->name_span, "train %s has no loss", train->name);
        help(top, "loss = cross_entropy(logits, label)");
    }
    if (block->epochs && block->steps) {
        fail(top, "E0202", block->steps->span, "train %s says how long it takes twice", train->name);
        note(top, block->epochs->span, "in epochs here");
    }
    if (!block->epochs && !block->steps && !(unused && (misspelt(block, "epochs") || misspelt(block, "steps")))) {
        fail(top, "E0207", train->name_span, "train %s does not say how long it takes", train->name);
        help(top, block->data ? "epochs = 10, or steps = 1000" : "steps = 1000");
    }
    if (!optimized && !block->phases.count && !(unused && misspelt(block, "optimizer"))) {
        fail(top, "E0207", train->name_span, "train %s has no optimizer, so nothing would change", train->name);
        help(top, "optimizer = adam(rate = 1e-3)");
    }
}

struct train_block *read_train_block(struct unit *unit, struct node *train)
{
    struct scope *top = scope_top(NULL, unit, unit->main, true);
    struct train_block *block = NEW(unit->arena, struct train_block);
    name_list names = {0};

    block->node = train;
    block->model = find_definition(unit, unit->main, train->name, train->name_span);
    if (!block->model || block->model->node->kind != NODE_MODEL) {
        fail(top, "E0201", train->name_span, "there is no model `%s`", train->name);
        for (int i = 0; i < unit->main->definitions.count; i++)
            if (unit->main->definitions.at[i]->node->kind == NODE_MODEL)
                list_add(unit->arena, names, unit->main->definitions.at[i]->name);
        suggest(unit->diagnostics, train->name, &names);
        return NULL;
    }
    if (train->b) {
        const char *dot = strchr(train->b->name, '.');
        const char *name =
            dot ? arena_slice(unit->arena, train->b->name, (size_t)(dot - train->b->name)) : train->b->name;

        block->data = find_definition(unit, unit->main, name, train->b->span);
        block->split = dot ? dot + 1 : NULL;
        if (!block->data || block->data->node->kind != NODE_DATA) {
            fail(top, "E0201", train->b->span, "there is no data block `%s`", name);
            for (int i = 0; i < unit->main->definitions.count; i++)
                if (unit->main->definitions.at[i]->node->kind == NODE_DATA)
                    list_add(unit->arena, names, unit->main->definitions.at[i]->name);
            suggest(unit->diagnostics, name, &names);
            return NULL;
        }
    }
    for (int i = 0; i < train->a->list.count; i++) {
        struct node *statement = train->a->list.at[i];

        if (statement->kind == NODE_DEFINE && !statement->text) {
            for (int k = 0; k < statement->list.count; k++)
                read_block_definition(top, block, statement->list.at[k]);
        } else if (statement->kind == NODE_NAMED && !statement->text && !strcmp(statement->name, "report")) {
            if (block->report)
                fail(top, "E0202", statement->span, "`report` is set twice in this block");
            block->report = statement->b;
            if (!statement->b->list.count)
                fail(top, "E0207", statement->span, "the report is empty");
        } else if (statement->kind != NODE_NAMED || !statement->text) {
            fail(top, "E0102", statement->span, "this cannot stand in a train block");
        }
    }
    read_phases(top, block);
    check_wanted(top, block, unused_locals(top, block, block->node->a));
    return block;
}

struct scope *scope_of_block(struct scope *model, struct train_block *block, struct field_table *fields)
{
    struct scope *scope = scope_inner(model);

    scope->file = model->unit->main;
    for (int i = 0; i < fields->fields.count; i++) {
        struct field_use *field = fields->fields.at[i];
        struct binding *binding = map_get(model->names, field->name);
        bool input = false;

        for (int k = 0; k < block->model->node->list.count; k++)
            input |= !strcmp(block->model->node->list.at[k]->name, field->name);
        if (input)
            continue;
        if (binding) {
            fail(scope, "E0202", block->node->name_span, "`%s` is a field of %s and a name in %s", field->name,
                 block->data->name, block->model->name);
            note(scope, binding->span, "it is defined here");
            note(scope, field->node->span, "and read here");
            continue;
        }
        scope_define(scope, field->name, field->node->span, field_value(scope, field));
    }
    return scope;
}

void run_locals(struct scope *scope, struct train_block *block, struct node *const *expressions, int count)
{
    bool *wanted = NEW_ARRAY(scope->unit->arena, bool, block->locals.count + 1);

    /* Backwards: a definition is wanted if an expression or a later wanted definition mentions one of its names. */
    for (int i = block->locals.count - 1; i >= 0; i--) {
        struct node *local = block->locals.at[i];

        for (int k = 0; k < local->list.count; k++) {
            const char *name = local->list.at[k]->name;

            for (int j = 0; j < count; j++)
                if (expressions[j] && mentions(expressions[j], name))
                    wanted[i] = true;
            for (int j = i + 1; j < block->locals.count; j++)
                if (wanted[j] && mentions(block->locals.at[j], name))
                    wanted[i] = true;
        }
    }
    for (int i = 0; i < block->locals.count; i++)
        if (wanted[i])
            run_definition(scope, block->locals.at[i]);
}

struct data_split *evaluation_split(struct unit *unit, struct train_block *block, bool test_first)
{
    struct data_split *validation = block->data ? data_split(unit, block->data, "validation") : NULL;
    struct data_split *test = block->data ? data_split(unit, block->data, "test") : NULL;

    if (test_first)
        return test ? test : validation;
    return validation ? validation : test;
}
