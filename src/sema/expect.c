/* expect.c: `expect a < b`: comparisons, joined by and, or, not, that must hold for every element.
   requires   the statement stands in a model, a layer, a split or a report, outside of `over`
   makes      an equation for each side of each comparison, over the axes that it has; a side that is known is a number
   then       the run reads the sides and compares (driver/expect.c): so it can say by how much something is missed

   Axes that an expect names for the first time are its own. */
#include <string.h>

#include "internal.h"

struct comparing {
    struct scope *scope;
    struct workspace *w;
    struct expect_use *use;
    ir_index_list free; /* indices that are axes of the expectation, in its order, own ones left out */
    ir_index_list own;  /* axes without names of their own, of the first side that has any */
    bool computed;
};

static void add_axis(struct comparing *c, const struct ir_index *index)
{
    struct expect_axis axis = {index->name, index->extent, index->batch};

    list_add(c->w->arena, c->use->expectation.axes, axis);
}

/* Which axis of the expectation the index is. */
static int axis_of(struct comparing *c, struct ir_index *index)
{
    for (int i = 0; i < c->free.count; i++)
        if (c->free.at[i] == index)
            return i;
    bug("an index of an expectation has no axis");
}

/* Free indices of all comparisons come first, so that own axes stand behind them. */
static void collect_free(struct comparing *c, const struct value *v)
{
    ir_index_list free = {0};

    indices_computed(c->scope, v, &free);
    for (int i = 0; i < free.count; i++)
        if (!list_has(&c->free, free.at[i]))
            list_add(c->w->arena, c->free, free.at[i]);
}

/* Stored apart, whatever it is a read of: a leaf is none of the program's outputs. */
static struct ir_tensor *stored(struct comparing *c, const struct value *v, const char *name, struct span at)
{
    struct ir_program *p = c->w->program;
    ir_index_list axes = {0};

    equation_axes(c->scope, v, &axes);
    for (int i = 0; i < v->own.count; i++)
        list_add(c->w->arena, axes, v->own.at[i]);
    return ir_equation(p, name, axes.at, axes.count, IR_MAP, NULL, 0, value_expr(c->scope, v), false,
                       origin_of(c->scope, at));
}

static void add_side(struct comparing *c, struct expect_side *side, const struct value *v, const char *what,
                     struct span at)
{
    struct side_use use = {0};

    if (v->kind == VALUE_NUMBER) {
        side->number = v->number;
        c->computed |= v->expr != NULL;
        return;
    }
    c->computed = true;
    side->output = arena_printf(c->w->arena, "expect %d.%d.%s", c->w->expects.count + 1,
                                c->use->expectation.comparisons.count + 1, what);
    use.name = side->output;
    use.tensor = stored(c, v, side->output, at);
    for (int i = 0; i < use.tensor->rank - v->own.count; i++)
        list_add(c->w->arena, side->axes, axis_of(c, use.tensor->axes[i]));
    for (int i = 0; i < v->own.count; i++)
        list_add(c->w->arena, side->axes, c->free.count + i);
    list_add(c->w->arena, c->use->sides, use);
}

static const struct node *bare(const struct node *node)
{
    while (node->kind == NODE_GROUPED)
        node = node->a;
    return node;
}

static bool is_comparison(const struct node *node)
{
    return node->kind == NODE_BINARY && strchr("=!lg<>", node->op);
}

/* The difference under abs, or NULL. */
static const struct node *distance(const struct node *node)
{
    const struct node *inner;

    node = bare(node);
    if (node->kind != NODE_CALL || strcmp(node->a->name, "abs") || node->list.count != 1)
        return NULL;
    inner = bare(node->list.at[0]->a);
    return inner->kind == NODE_BINARY && inner->op == '-' ? inner : NULL;
}

/* One number for each value of its indices and own axes. */
static const struct value *side_value(struct comparing *c, struct node *node)
{
    const struct value *v = evaluate(c->scope, node);

    if (is_poison(v))
        return NULL;
    if (v->kind == VALUE_NUMBER || v->kind == VALUE_TENSOR)
        return v;
    fail(c->scope, "E0206", node->span, "a number is wanted in a comparison: %s", text_of(c->scope, node));
    return NULL;
}

static bool own_axes_fit(struct comparing *c, const struct value *v, const struct node *at)
{
    if (!v->own.count)
        return true;
    if (c->own.count)
        return axes_agree(c->scope, &c->own, &v->own, at);
    c->own = v->own;
    return true;
}

struct leaf {
    struct node *node;
    const struct value *sides[4]; /* left, right; what is subtracted under abs, on the left or on the right */
};
typedef LIST(struct leaf) leaf_list;

/* Every side is evaluated before any is stored: the axes must be known. */
static bool evaluate_leaves(struct comparing *c, struct node *node, leaf_list *leaves)
{
    struct node *inner = node;
    struct leaf leaf = {0};
    const struct node *parts;

    while (inner->kind == NODE_GROUPED)
        inner = inner->a;
    if (inner->kind == NODE_BINARY && (inner->op == 'a' || inner->op == 'o')) {
        bool first = evaluate_leaves(c, inner->a, leaves);

        return evaluate_leaves(c, inner->b, leaves) && first;
    }
    if (inner->kind == NODE_UNARY && inner->op == 'n')
        return evaluate_leaves(c, inner->a, leaves);
    if (!is_comparison(inner)) {
        fail(c->scope, "E0206", inner->span, "expect wants a comparison, not %s", text_of(c->scope, inner));
        help(c->scope, "expect a < b; comparisons are joined by and, or, not");
        return false;
    }
    leaf.node = inner;
    leaf.sides[0] = side_value(c, inner->a);
    leaf.sides[1] = side_value(c, inner->b);
    if (!leaf.sides[0] || !leaf.sides[1])
        return false;
    parts = distance(inner->a);
    if (!parts)
        parts = distance(inner->b);
    for (int i = 0; parts && i < 2; i++)
        leaf.sides[2 + i] = side_value(c, i ? parts->b : parts->a);
    for (int i = 0; i < 4 && leaf.sides[i]; i++) {
        if (!own_axes_fit(c, leaf.sides[i], inner))
            return false;
        collect_free(c, leaf.sides[i]);
    }
    list_add(c->w->arena, *leaves, leaf);
    return true;
}

/* The formula in postfix order: comparisons by number, operators as minus their letter. */
static void add_formula(struct comparing *c, const struct node *node, int *next)
{
    node = bare(node);
    if (is_comparison(node)) {
        list_add(c->w->arena, c->use->expectation.formula, (*next)++);
        return;
    }
    add_formula(c, node->a, next);
    if (node->kind == NODE_BINARY)
        add_formula(c, node->b, next);
    list_add(c->w->arena, c->use->expectation.formula, -node->op);
}

static void add_comparison(struct comparing *c, const struct leaf *leaf)
{
    static const char *const names[4] = {"left", "right", "first", "second"};
    struct comparison comparison = {.op = leaf->node->op, .parts = leaf->sides[2] != NULL};
    struct expect_side *sides[4] = {&comparison.left, &comparison.right, &comparison.first, &comparison.second};

    for (int i = 0; i < 4 && leaf->sides[i]; i++)
        add_side(c, sides[i], leaf->sides[i], names[i], leaf->node->span);
    list_add(c->w->arena, c->use->expectation.comparisons, comparison);
}

/* The model in whose text the statement stands, or NULL. */
static const char *model_around(const struct unit *unit, struct span at)
{
    for (int i = 0; i < unit->main->definitions.count; i++) {
        const struct node *node = unit->main->definitions.at[i]->node;

        if (node->kind == NODE_MODEL && node->span.source == at.source && node->span.begin <= at.begin &&
            at.end <= node->span.end)
            return node->name;
    }
    return NULL;
}

static bool is_trained(const struct unit *unit, const char *model)
{
    for (int i = 0; model && i < unit->trainings.count; i++)
        if (!strcmp(unit->trainings.at[i]->name, model))
            return true;
    return false;
}

/* In a data block all items of another split are only to be reduced. */
static bool items_are_own(struct comparing *c, struct span at)
{
    for (int i = 0; i < c->free.count; i++) {
        if (!c->free.at[i]->batch || c->free.at[i] == c->w->batch)
            continue;
        fail(c->scope, "E0402", at, "this runs over the items of %s, not over its own", c->free.at[i]->name);
        help(c->scope, "reduce it, mean[batch] ...; in a data block made from others, D.x is the same item of D");
        return false;
    }
    return true;
}

static bool may_stand_here(struct scope *scope, const struct node *statement)
{
    if (scope->function || scope->rule) {
        fail(scope, "E0102", statement->span, "%s expects nothing; a model, a layer, a split and a report do",
             scope->rule ? "a rule" : "a function");
        return false;
    }
    if (scope->over) {
        fail(scope, "E0102", statement->span, "expect inside of `over`");
        help(scope, "keep the value, y[t, ...] = ..., and write the expect after the block");
        return false;
    }
    return true;
}

void run_expect(struct scope *scope, struct node *statement)
{
    struct scope *inner = scope_inner(scope);
    struct comparing c = {.scope = inner, .w = scope->workspace};
    leaf_list leaves = {0};
    int next = 0;

    if (!may_stand_here(scope, statement))
        return;
    inner->body = inner;
    inner->target = "expect";
    c.use = NEW(c.w->arena, struct expect_use);
    c.use->expectation.title = statement->text;
    c.use->expectation.text = text_of(scope, statement->a);
    c.use->expectation.span = statement->span;
    c.use->expectation.model = model_around(scope->unit, statement->span);
    c.use->expectation.trained = is_trained(scope->unit, c.use->expectation.model);
    if (!evaluate_leaves(&c, statement->a, &leaves) || !items_are_own(&c, statement->a->span))
        return;
    for (int i = 0; i < c.free.count; i++)
        add_axis(&c, c.free.at[i]);
    for (int i = 0; i < c.own.count; i++)
        add_axis(&c, c.own.at[i]);
    for (int i = 0; i < leaves.count; i++)
        add_comparison(&c, &leaves.at[i]);
    add_formula(&c, statement->a, &next);
    if (!c.computed) {
        fail(scope, "E0206", statement->a->span, "this compares numbers that are written here: %s",
             text_of(scope, statement->a));
        help(scope, "an expect says something of what the program computes");
        return;
    }
    list_add(c.w->arena, c.w->expects, c.use);
}

struct ir_tensor *expect_side_tensor(const struct workspace *w, const char *name)
{
    for (int i = 0; i < w->expects.count; i++)
        for (int k = 0; k < w->expects.at[i]->sides.count; k++)
            if (!strcmp(w->expects.at[i]->sides.at[k].name, name))
                return w->expects.at[i]->sides.at[k].tensor;
    return NULL;
}

void list_expects(const struct workspace *w, bool trained, expectation_list *out)
{
    for (int i = 0; i < w->expects.count; i++)
        if (w->expects.at[i]->expectation.trained == trained)
            list_add(w->arena, *out, &w->expects.at[i]->expectation);
}

/* ---- what a file expects, and where it is looked at ---- */

static void find_statements(struct unit *unit, struct node *node, bool train, expectation_list *out)
{
    if (!node)
        return;
    if (node->kind == NODE_EXPECT) {
        struct expectation *e = NEW(unit->arena, struct expectation);
        struct text text = {0};

        print_node(&text, node->a);
        e->title = node->text;
        e->text = arena_string(unit->arena, text.data);
        e->span = node->span;
        e->model = model_around(unit, node->span);
        e->trained = train || is_trained(unit, e->model);
        text_free(&text);
        list_add(unit->arena, *out, e);
        return;
    }
    find_statements(unit, node->a, train, out);
    find_statements(unit, node->b, train, out);
    find_statements(unit, node->c, train, out);
    for (int i = 0; i < node->list.count; i++)
        find_statements(unit, node->list.at[i], train, out);
}

void unit_expects(struct unit *unit, expectation_list *out)
{
    for (int i = 0; unit->main->tree && i < unit->main->tree->list.count; i++)
        if (unit->main->tree->list.at[i]->kind != NODE_EXPERIMENT)
            find_statements(unit, unit->main->tree->list.at[i], unit->main->tree->list.at[i]->kind == NODE_TRAIN, out);
}

bool has_expects(const struct node *node)
{
    if (!node)
        return false;
    if (node->kind == NODE_EXPECT || has_expects(node->a) || has_expects(node->b) || has_expects(node->c))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (has_expects(node->list.at[i]))
            return true;
    return false;
}

/* ---- models that nothing trains ---- */

bool unit_models(const struct unit *unit, int number, const char **name, bool *inputs)
{
    for (int i = 0; i < unit->main->definitions.count; i++) {
        const struct node *node = unit->main->definitions.at[i]->node;

        if (node->kind != NODE_MODEL || is_trained(unit, node->name) || number--)
            continue;
        *name = node->name;
        *inputs = node->list.count > 0;
        return true;
    }
    return false;
}

void unit_data_blocks(const struct unit *unit, data_names *out)
{
    for (int i = 0; i < unit->main->definitions.count; i++)
        if (unit->main->definitions.at[i]->node->kind == NODE_DATA)
            list_add(unit->arena, *out, unit->main->definitions.at[i]->name);
}

/* Does the definition give the name a meaning of its own? */
static bool binds(const struct node *node, const char *name)
{
    if (!node)
        return false;
    if ((node->kind == NODE_TARGET || node->kind == NODE_INPUT || node->kind == NODE_SETTING) && !strcmp(node->name, name))
        return true;
    if (binds(node->a, name) || binds(node->b, name) || binds(node->c, name))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (binds(node->list.at[i], name))
            return true;
    for (int i = 0; i < node->more.count; i++)
        if (binds(node->more.at[i], name))
            return true;
    return false;
}

/* Every definition that the tree names, and those that these name in turn; `within`: the definition that the tree is of, `data`: data
   blocks too. What is neither called nor read by a path may be a name of its own. */
static void add_named(const struct unit *unit, const struct node *node, const struct node *within, bool called, bool data,
                      struct map *found)
{
    bool calls;

    if (!node)
        return;
    if (node->kind == NODE_PATH) {
        const char *name = arena_slice(unit->arena, node->name, strcspn(node->name, "."));
        struct definition *definition = map_get(unit->main->names, name);

        if (!definition || map_get(found, name) || (definition->node->kind == NODE_DATA && !data))
            return;
        if (!called && !strchr(node->name, '.') && binds(within, name))
            return;
        map_put(found, name, definition);
        add_named(unit, definition->node, definition->node, false, data, found);
        return;
    }
    calls = node->kind == NODE_CALL || node->kind == NODE_STAGE;
    add_named(unit, node->a, within, calls, data, found);
    add_named(unit, node->b, within, false, data, found);
    add_named(unit, node->c, within, false, data, found);
    for (int i = 0; i < node->list.count; i++)
        add_named(unit, node->list.at[i], within, false, data, found);
    for (int i = 0; i < node->more.count; i++)
        add_named(unit, node->more.at[i], within, false, data, found);
}

/* The models of the train blocks and those that they call: training changes their parameters. */
static struct map *models_in_training(const struct unit *unit)
{
    struct map *found = map_new(unit->arena);

    for (int i = 0; i < unit->trainings.count; i++) {
        const struct node *block = unit->trainings.at[i];
        struct definition *model = map_get(unit->main->names, block->name);

        if (model && !map_get(found, block->name)) {
            map_put(found, block->name, model);
            add_named(unit, model->node, model->node, false, false, found);
        }
        add_named(unit, block->a, block, false, false, found);
    }
    return found;
}

bool reads_trained(const struct workspace *w)
{
    struct map *trained = models_in_training(w->unit);

    for (int i = 0; i < w->parameters.count; i++) {
        const char *path = w->parameters.at[i]->path, *dot = strchr(path, '.');

        if (dot && map_get(trained, arena_slice(w->arena, path, (size_t)(dot - path))))
            return true;
    }
    return false;
}

bool data_of_trained(const struct unit *unit, const char *data)
{
    struct map *trained = models_in_training(unit), *found = map_new(unit->arena);
    struct definition *definition = map_get(unit->main->names, data);

    if (definition)
        add_named(unit, definition->node, definition->node, false, true, found);
    for (int i = 0; i < unit->main->definitions.count; i++)
        if (unit->main->definitions.at[i]->node->kind == NODE_MODEL &&
            map_get(found, unit->main->definitions.at[i]->name) &&
            map_get(trained, unit->main->definitions.at[i]->name))
            return true;
    return false;
}

bool split_of_trained(struct unit *unit, const char *model, const char **data, const char **split)
{
    for (int i = unit->trainings.count - 1; i >= 0; i--) {
        struct train_block *block;
        struct data_split *found;

        if (strcmp(unit->trainings.at[i]->name, model))
            continue;
        block = read_train_block(unit, unit->trainings.at[i]);
        found = block && block->data ? evaluation_split(unit, block, false) : NULL;
        *data = block && block->data ? block->data->name : NULL;
        *split = found ? found->name : block && block->split ? block->split : "train";
        return true;
    }
    return false;
}

static bool gives_inputs(struct unit *unit, struct definition *data, const char *name, const struct node *model)
{
    struct data_split *split = data_split(unit, data, name);

    for (int i = 0; split && i < model->list.count; i++) {
        struct data_field field;

        if (!find_data_field(unit, split, model->list.at[i]->name, &field))
            return false;
    }
    return split != NULL;
}

int data_for_model(struct unit *unit, const char *model, const char **data, data_names *splits)
{
    struct definition *definition = map_get(unit->main->names, model);
    int found = 0;

    for (int i = 0; i < unit->main->definitions.count; i++) {
        struct definition *candidate = unit->main->definitions.at[i];
        name_list names = {0};
        bool gives = false;

        if (candidate->node->kind != NODE_DATA)
            continue;
        data_split_names(unit, candidate, &names);
        for (int k = 0; k < names.count; k++) {
            if (!gives_inputs(unit, candidate, names.at[k], definition->node))
                continue;
            if (!found)
                list_add(unit->arena, *splits, names.at[k]);
            gives = true;
        }
        if (gives && !found)
            *data = candidate->name;
        found += gives;
    }
    return found;
}

struct map *averages_of_trained(struct unit *unit, const char *model, struct workspace *w)
{
    struct map *averages = map_new(unit->arena);

    for (int i = 0; i < unit->trainings.count; i++)
        if (!strcmp(unit->trainings.at[i]->name, model)) {
            struct train_block *block = read_train_block(unit, unit->trainings.at[i]);

            averages = map_new(unit->arena); /* the last block is the one that was left */
            if (block)
                averages_of(unit, block, w, averages);
        }
    return averages;
}

/* Where a train block averages parameters, evaluation is of the averages. */
static void stand_ins_of_averages(struct unit *unit, const char *model, struct workspace *w, struct extraction *x)
{
    struct map *averages = averages_of_trained(unit, model, w);

    for (int i = 0; i < w->parameters.count; i++) {
        const char *state = map_get(averages, w->parameters.at[i]->path);

        if (state)
            extraction_rename(x, w->parameters.at[i]->leaf, IR_STATE, state);
    }
}

struct expect_program *lower_expects(struct unit *unit, const char *name, const char *data_name, const char *split_name,
                                     int64_t items, struct lower_options options, struct diagnostics *d)
{
    struct expect_program *out = NEW(unit->arena, struct expect_program);
    struct definition *model = map_get(unit->main->names, name);
    struct definition *data = data_name ? map_get(unit->main->names, data_name) : NULL;
    struct data_split *split = data ? data_split(unit, data, split_name) : NULL;
    struct scope *top = scope_top(NULL, unit, unit->main, false), *scope = NULL;
    enum ir_precision precision = options.precision >= 0 ? (enum ir_precision)options.precision : IR_SINGLE;
    struct field_table fields = {0};
    struct workspace *w = NULL;
    LIST(struct side_use) sides = {0};
    struct extraction *x;
    int errors = diagnostics_errors(d);
    bool trained;

    unit->diagnostics = d;
    if (options.items) {
        unit->items = options.items;
        unit->items_context = options.items_context;
    }
    if (split)
        data_fields(top, split, &fields);
    for (int round = 0; round < 6; round++) {
        fields.changed = false;
        w = workspace_new(unit, d, name, split ? items : 1, precision);
        scope = forward(w, model, split, &fields, false, model->node->name_span);
        if (!fields.changed || diagnostics_errors(d) > errors)
            break;
    }
    if (!scope || diagnostics_errors(d) || fields.changed)
        return NULL;
    trained = is_trained(unit, name);
    out->trained = reads_trained(w) || (data_name && data_of_trained(unit, data_name));
    list_expects(w, trained, &out->expects);
    for (int i = 0; i < w->expects.count; i++)
        for (int k = 0; w->expects.at[i]->expectation.trained == trained && k < w->expects.at[i]->sides.count; k++)
            list_add(unit->arena, sides, w->expects.at[i]->sides.at[k]);
    for (int i = 0; i < model->node->b->list.count; i++) {
        struct node *output = model->node->b->list.at[i];
        struct binding *binding = map_get(scope->names, output->name);
        struct comparing c = {.scope = scope, .w = w};
        struct side_use side = {output->name, NULL};

        if (!binding || (binding->value->kind != VALUE_NUMBER && binding->value->kind != VALUE_TENSOR))
            continue;
        side.tensor = stored(&c, binding->value, output->name, output->span);
        list_add(unit->arena, sides, side);
    }
    x = extraction_new(unit->arena, w->program, name, precision);
    if (trained)
        stand_ins_of_averages(unit, name, w, x);
    for (int i = 0; i < sides.count; i++)
        extraction_want(x, sides.at[i].tensor);
    out->program = extraction_run(x);
    for (int i = 0; i < sides.count; i++)
        ir_add_output(out->program, sides.at[i].name, extraction_copy(x, sides.at[i].tensor), false);
    if (w->parameters.count || w->states.count)
        out->initial = initial_program(w, precision);
    if (split)
        out->split = describe_split(top, split, &fields, out->program, NULL);
    return out;
}
