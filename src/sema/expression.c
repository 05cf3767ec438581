/* expression.c: expressions without calls and reads: names, operators, reductions, `if`, `all`. */
#include <math.h>
#include <string.h>

#include "internal.h"

/* ---- names ---- */

static const struct value *number_of_let(struct scope *scope, struct definition *let)
{
    const struct value *known = let_value(scope->unit, let);
    struct value *v;

    /* Lets of other files cannot be set from outside: they are numbers. */
    if (known->kind != VALUE_NUMBER || !scope->workspace || !is_scalar_let(scope->unit, let))
        return known;
    v = value_new(scope, VALUE_NUMBER);
    *v = *known;
    v->expr = ir_read(scope->workspace->program, scalar_leaf(scope->workspace, let->name), NULL, 0, NULL);
    return v;
}

static const struct value *layer_value(struct scope *scope, struct definition *definition)
{
    struct value *v = value_new(scope, VALUE_LAYER);

    v->layer = NEW(scope->unit->arena, struct layer);
    v->layer->definition = definition;
    if (definition->node->kind == NODE_MODEL)
        v->layer->path = definition->name;
    return v;
}

static const struct value *index_value(struct scope *scope, struct ir_index *index)
{
    struct ir_program *p = scope->workspace->program;

    const ir_index_list self = {.at = &index, .count = 1};

    return stating(scope, value_tensor(scope, ir_of_form(p, ir_form_index(p, index)), NULL), &self, NULL);
}

static bool is_operator(const char *name)
{
    static const char *const names[] = {
#define OP(name, arity, form, symbol, level, result, laws, ...) OPERATOR_##form(symbol)
#define OPERATOR_CALL(symbol)                                   symbol,
#define OPERATOR_INFIX(symbol)
#define OPERATOR_PREFIX(symbol)
#define OPERATOR_SELECT(symbol)
#include "ops.def"
#undef OP
        "size", "grad", "named", "objective", "gradient", "solve", "cholesky", "rank"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name))
            return true;
    return is_distribution(name);
}

/* The gradients of the trained parameters, as they are by now, as one vector. */
static const struct value *gradients(struct scope *scope, struct span at)
{
    struct value *set = value_new(scope, VALUE_SET);

    if (!scope->workspace)
        return fail(scope, "E0701", at, "grads is not known before the run");
    for (int i = 0; i < scope->workspace->parameters.count; i++)
        if (scope->workspace->parameters.at[i]->gradient)
            list_add(scope->unit->arena, set->items, scope->workspace->parameters.at[i]->gradient);
    if (set->items.count)
        return set;
    fail(scope, "E0206", at, "grads is known after the backward pass");
    help(scope, "it stands in `stop` and in settings of rules; elsewhere grad(e, x)");
    return &poison;
}

const struct value *lookup_name(struct scope *scope, const char *name, struct span at)
{
    struct binding *binding = scope_find(scope, name);
    struct definition *definition;
    struct value *v;

    if (binding) {
        switch (binding->kind) {
        case BIND_VALUE:
            return binding->value;
        case BIND_STATE:
            return binding->state->current;
        case BIND_KEPT:
            return kept_at(scope, binding, NULL, at);
        case BIND_AXIS:
            if (binding->axes.count == 1)
                return index_value(scope, binding->axes.at[0]);
            return fail(scope, "E0206", at, "%s stands for %d axes here and is no number", name, binding->axes.count);
        }
    }
    if (!strcmp(name, "batch")) {
        if (!scope->workspace)
            return fail(scope, "E0701", at, "batch is not known before the run: it stands for the samples of a step");
        if (!scope->workspace->batch)
            return fail(scope, "E0403", at, "there is no batch here");
        return index_value(scope, scope->workspace->batch);
    }
    if (!strcmp(name, "training"))
        return value_number(scope, scope->training, true);
    if (!strcmp(name, "true") || !strcmp(name, "false"))
        return value_number(scope, name[0] == 't', true);
    if (!strcmp(name, "pi"))
        return value_number(scope, M_PI, false);
    if (!strcmp(name, "inf"))
        return value_number(scope, INFINITY, false);
    definition = find_definition(scope->unit, scope->file, name, at);
    if (definition) {
        switch (definition->node->kind) {
        case NODE_LET:
            return number_of_let(scope, definition);
        case NODE_LAYER:
        case NODE_MODEL:
            return layer_value(scope, definition);
        case NODE_FN:
            v = value_new(scope, VALUE_FUNCTION);
            break;
        case NODE_DATA:
            v = value_new(scope, VALUE_DATA);
            break;
        default:
            return fail(scope, "E0206", at, "%s is a rule; it stands in a slot of a train block", name);
        }
        v->definition = definition;
        v->text = name;
        return v;
    }
    if (is_operator(name)) {
        v = value_new(scope, VALUE_OPERATOR);
        v->text = name;
        return v;
    }
    if (!strcmp(name, "step") || !strcmp(name, "epoch") || !strcmp(name, "progress") || !strcmp(name, "steps")) {
        if (!scope->workspace)
            return fail(scope, "E0701", at, "%s is not known before the run", name);
        v = value_new(scope, VALUE_TENSOR);
        v->expr = ir_read(scope->workspace->program, scalar_leaf(scope->workspace, name), NULL, 0, NULL);
        v->whole = !strncmp(name, "step", 4);
        return v;
    }
    if (!strcmp(name, "grads"))
        return gradients(scope, at);
    if (!strcmp(name, "weights") || !strcmp(name, "biases") || !strcmp(name, "params")) {
        struct node selector = {.kind = NODE_PATH, .name = name, .span = at};
        parameter_list list = {0};

        if (!scope->workspace)
            return fail(scope, "E0701", at, "%s is not known before the run", name);
        return select_parameters(scope, &selector, &list) ? parameter_set(scope, &list) : &poison;
    }
    return NULL;
}

static struct parameter *find_parameter(struct workspace *w, const char *path)
{
    for (int i = 0; i < w->parameters.count; i++)
        if (!strcmp(w->parameters.at[i]->path, path))
            return w->parameters.at[i];
    return NULL;
}

static const struct value *unknown(struct scope *scope, const char *name, struct span at)
{
    name_list names = {0};

    fail(scope, "E0201", at, "there is no `%s` here", name);
    scope_names(scope, &names);
    suggest(scope->unit->diagnostics, name, &names);
    suggest_library(scope->unit, name);
    if (scope->workspace && scope->workspace->split)
        help(scope, "files are read by idx, npy, csv, png, characters, words, lines and sequence");
    return &poison;
}

const struct value *lookup_path(struct scope *scope, struct node *path)
{
    const char *dot = strchr(path->name, '.');
    const char *first = dot ? arena_slice(scope->unit->arena, path->name, (size_t)(dot - path->name)) : path->name;
    const struct value *v = lookup_name(scope, first, path->span), *instance;
    const char *full;

    if (!v && !dot && axis_of_statement(scope, first))
        v = lookup_name(scope, first, path->span);
    if (!v)
        return unknown(scope, first, path->span);
    if (!dot || is_poison(v))
        return v;
    if (v->kind == VALUE_DATA)
        return data_value(scope, v->definition, path);
    if (v->kind == VALUE_LAYER && v->layer->path) {
        struct parameter *parameter;
        name_list names = {0};

        full = arena_printf(scope->unit->arena, "%s%s", v->layer->path, dot);
        parameter = find_parameter(scope->workspace, full);
        if (parameter)
            return parameter->current ? parameter->current : value_of_tensor(scope, parameter->leaf, 0);
        instance = map_get(scope->workspace->instances, full);
        if (instance)
            return instance;
        if (make_places(scope, v->layer, path->span) && !scope->workspace->fields->changed)
            return lookup_path(scope, path);
        if (scope->workspace->fields && scope->workspace->fields->changed)
            return &poison; /* the next round knows more */
        fail(scope, "E0901", path->span, "there is no parameter or instance %s", full);
        for (int i = 0; i < scope->workspace->parameters.count; i++)
            list_add(scope->unit->arena, names, scope->workspace->parameters.at[i]->path);
        suggest(scope->unit->diagnostics, full, &names);
        return &poison;
    }
    return fail(scope, "E0201", path->span, "%s has no parts, so %s means nothing", first, path->name);
}

/* ---- reductions ---- */

static const struct {
    const char *name;
    enum reduce how;
} reductions[] = {{"sum", REDUCE_SUM}, {"mean", REDUCE_MEAN},     {"prod", REDUCE_PROD},    {"max", REDUCE_MAX},
                  {"min", REDUCE_MIN}, {"argmax", REDUCE_ARGMAX}, {"argmin", REDUCE_ARGMIN}};

/* In a report, `batch` is the whole split: the sum over it is a statistic that the result program gets as a scalar. */
static const struct value *stream(struct scope *scope, enum reduce how, const struct value *v,
                                  const ir_index_list *over, struct node *node)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    ir_index_list inside = {0}, left = {0};
    struct statistic_use use = {0};
    const struct value *total;
    double count = 1;

    for (int i = 0; i < over->count; i++)
        if (!over->at[i]->batch)
            list_add(w->arena, inside, over->at[i]);
    if (how != REDUCE_SUM && how != REDUCE_MEAN && how != REDUCE_MAX && how != REDUCE_MIN)
        return whole_split(scope);
    if (inside.count) {
        count = (double)ir_extent_product(inside.at, inside.count);
        v = reduce_over(scope, how == REDUCE_MEAN ? REDUCE_SUM : how, v, &inside, node->span);
    }
    free_indices(scope, v, &left);
    if (left.count > 1 || v->own.count)
        return whole_split(scope);
    use.tensor = tensor_of(scope, v, "statistic", node->span);
    for (int i = 0; i < w->statistics.count; i++) {
        struct statistic_use *earlier = &w->statistics.at[i];
        enum ir_reduction reduction = how == REDUCE_MAX ? IR_MAXIMUM : how == REDUCE_MIN ? IR_MINIMUM : IR_SUM;
        if (earlier->tensor == use.tensor && earlier->reduction == reduction)
            use = *earlier;
    }
    if (!use.leaf) {
        use.name = arena_printf(w->arena, "statistic_%d", w->statistics.count + 1);
        use.reduction = how == REDUCE_MAX ? IR_MAXIMUM : how == REDUCE_MIN ? IR_MINIMUM : IR_SUM;
        use.leaf = scalar_leaf(scope->workspace, use.name);
        list_add(w->arena, w->statistics, use);
    }
    total = value_tensor(scope, ir_read(p, use.leaf, NULL, 0, NULL), NULL);
    if (how == REDUCE_MEAN) {
        const struct ir_expr *n = ir_read(p, scalar_leaf(scope->workspace, "count"), NULL, 0, NULL);
        if (count != 1)
            n = ir_apply(p, IR_multiply, n, ir_real(p, count), NULL);
        total = value_tensor(scope, ir_apply(p, IR_divide, total->expr, n, NULL), NULL);
    }
    return total;
}

void items_of_another_split(const struct scope *scope, ir_index_list *over, const ir_index_list *free)
{
    for (int i = 0; scope->workspace->split && i < over->count; i++)
        for (int k = 0; over->at[i]->batch && k < free->count; k++)
            if (free->at[k]->batch && free->at[k] != scope->workspace->batch)
                over->at[i] = free->at[k];
}

static const struct value *evaluate_reduction(struct scope *scope, struct node *node)
{
    struct scope *inner = scope_inner(scope);
    ir_index_list over = {0}, free = {0};
    const struct value *v;
    enum reduce how = REDUCE_SUM;
    bool batch = false;

    if (!scope->workspace)
        return fail(scope, "E0701", node->span, "a reduction is not known before the run");
    if (!inner->statement)
        inner->statement = node;
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (!strcmp(reductions[i].name, node->name))
            how = reductions[i].how;
    if (!declare_axes(inner, node->list.at, node->list.count, true))
        return &poison;
    for (int i = 0; i < node->list.count; i++) {
        struct node *s = node->list.at[i];
        const char *name = s->kind == NODE_AXIS ? s->name : bare_name(s);

        if (!name)
            continue;
        for (int k = 0; k < inner->reduced.count; k++) {
            if (strcmp(inner->reduced.at[k], name) || !strcmp(name, "batch"))
                continue;
            if (is_time(scope, name)) {
                fail(scope, "E0313", s->span, "%s is the step of `over %s` here: %s", name, name, text_of(scope, node));
                help(scope, "what is known before the block is reduced before it, or over an index of another name");
                return &poison;
            }
            fail(scope, "E0313", s->span, "%s is already reduced over here: %s", name, text_of(scope, node));
            help(scope,
                 "give the inner reduction parentheses of its own, or another index: (sum[%s] a[%s]) / (sum[%s] b[%s])",
                 name, name, name, name);
            return &poison;
        }
        list_add(scope->unit->arena, inner->reduced, name);
    }
    v = evaluate(inner, node->a);
    if (is_poison(v))
        return &poison;
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR && v->kind != VALUE_SET)
        return fail(scope, "E0206", node->a->span, "a number is wanted under %s: %s", node->name,
                    text_of(scope, node->a));
    if (!axes_named(inner, node->list.at, node->list.count, &over) || !axes_distinct(inner, &over, node->span))
        return &poison;
    if (v->kind == VALUE_SET) {
        if (over.count != 1 || over.at[0] != v->opened)
            return fail(scope, "E0309", node->span, "a parameter set is one long vector and is reduced whole: %s",
                        text_of(scope, node));
        return reduce_over(scope, how, v, &over, node->span);
    }
    if (v->own.count) {
        fail(scope, "E0310", node->a->span, "%s has axes %s; %s wants one number for each value of its indices",
             text_of(scope, node->a), shape_text(scope, &v->own), node->name);
        help(scope, "write the subscripts");
        return &poison;
    }
    if (!over.count)
        return v;
    free_indices(scope, v, &free);
    items_of_another_split(scope, &over, &free);
    for (int i = 0; i < over.count; i++) {
        if (list_has(&free, over.at[i])) {
            batch |= over.at[i]->batch;
            continue;
        }
        if (over.at[i]->batch)
            return fail(scope, "E0403", node->span, "the value does not differ between samples: %s",
                        text_of(scope, node)),
                   help(scope, how == REDUCE_SUM ? "its sum over all is size(batch) times it" : "it is the same without %s[batch]",
                        node->name),
                   &poison;
        return fail(scope, "E0312", node->span, "%s does not occur under %s: %s", over.at[i]->name, node->name,
                    text_of(scope, node));
    }
    if (batch && scope->workspace->streaming)
        return stream(scope, how, v, &over, node);
    return reduce_over(scope, how, v, &over, node->span);
}

/* ---- the rest ---- */

static enum ir_op operator_of(int op)
{
    switch (op) {
    case '+':
        return IR_add;
    case '-':
        return IR_subtract;
    case '*':
        return IR_multiply;
    case '/':
        return IR_divide;
    case 'f':
        return IR_quotient;
    case '%':
        return IR_remainder;
    case '^':
        return IR_power;
    case '=':
        return IR_equal;
    case '!':
        return IR_not_equal;
    case 'l':
        return IR_less_equal;
    case 'g':
        return IR_greater_equal;
    case '<':
        return IR_less;
    case '>':
        return IR_greater;
    case 'a':
        return IR_and;
    case 'o':
        return IR_or;
    default:
        bug("no operator `%c`", op);
    }
}

static const struct value *evaluate_if(struct scope *scope, struct node *node)
{
    const struct value *parts[3];

    parts[0] = evaluate(scope, node->a);
    if (is_poison(parts[0]))
        return &poison;
    if (parts[0]->kind == VALUE_NUMBER && !parts[0]->expr)
        return evaluate(scope, parts[0]->number != 0 ? node->b : node->c);
    parts[1] = evaluate(scope, node->b);
    parts[2] = evaluate(scope, node->c);
    return apply_operator(scope, IR_select, parts, 3, node);
}

/* all e: e of every parameter of the rule's group, as one vector. */
static const struct value *evaluate_all(struct scope *scope, struct node *node)
{
    struct value *set;

    if (!scope->rule)
        return fail(scope, "E0801", node->span, "`all` belongs in a rule: there it is e of every parameter");
    set = value_new(scope, VALUE_SET);
    for (int i = 0; i < scope->rule->count; i++) {
        const struct value *v = evaluate(peer_scope(scope, i), node->a);

        if (is_poison(v))
            return &poison;
        if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR)
            return fail(scope, "E0206", node->a->span, "a number is wanted after `all`");
        list_add(scope->unit->arena, set->items, v);
    }
    return set;
}

const struct value *evaluate(struct scope *scope, struct node *node)
{
    const struct value *a[2];
    struct value *v;

    switch (node->kind) {
    case NODE_NUMBER:
        if (!node->flag && node->number > 0x1p53)
            return fail(scope, "E0305", node->span, "%s is no whole number up to 2^53; write %s.0 for a real one",
                        node->text, node->text);
        return value_number(scope, node->number, !node->flag);
    case NODE_STRING:
        v = value_new(scope, VALUE_STRING);
        v->text = node->text;
        return v;
    case NODE_NAME:
    case NODE_PATH:
        return lookup_path(scope, node);
    case NODE_READ:
        if (!scope->workspace)
            return fail(scope, "E0701", node->span, "%s is not known before the run", text_of(scope, node));
        return evaluate_read(scope, node, NULL);
    case NODE_CALL:
        return evaluate_call(scope, node, NULL);
    case NODE_BINARY:
        a[0] = evaluate(scope, node->a);
        a[1] = evaluate(scope, node->b);
        return apply_operator(scope, operator_of(node->op), a, 2, node);
    case NODE_UNARY:
        a[0] = evaluate(scope, node->a);
        return apply_operator(scope, node->op == '-' ? IR_negate : IR_not, a, 1, node);
    case NODE_REDUCE:
        return evaluate_reduction(scope, node);
    case NODE_IF:
        return evaluate_if(scope, node);
    case NODE_ALL:
        return evaluate_all(scope, node);
    case NODE_ELSE:
        return evaluate_else(scope, node);
    case NODE_PIPE:
        return evaluate_pipe(scope, node);
    case NODE_GROUPED:
        return evaluate(scope, node->a);
    case NODE_DOTS:
        return fail(scope, "E0309", node->span, "`...` is no value");
    default:
        return fail(scope, "E0206", node->span, "a value is wanted here");
    }
}
