/* expression.c: expressions without calls: names, reads, operators, reductions, else-reads, `all`. */
#include <math.h>
#include <string.h>

#include "internal.h"

/* ---- names ---- */

static const struct value *number_of_let(struct scope *scope, struct definition *let)
{
    const struct value *known = let_value(scope->unit, let);
    struct value *v;

    /* Lets of other files cannot be set from outside: they are numbers. */
    if (known->kind != VALUE_NUMBER || !scope->workspace || !is_scalar_let(scope->unit, let)) return known;
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
    if (definition->node->kind == NODE_MODEL) v->layer->path = definition->name;
    return v;
}

static const struct value *index_value(struct scope *scope, struct ir_index *index)
{
    struct ir_program *p = scope->workspace->program;

    return value_tensor(scope, ir_of_form(p, ir_form_index(p, index)), NULL);
}

static bool is_operator(const char *name)
{
    static const char *const names[] = {
#define OP(name, arity, form, symbol, level, result, laws, ...) OPERATOR_##form(symbol)
#define OPERATOR_CALL(symbol) symbol,
#define OPERATOR_INFIX(symbol)
#define OPERATOR_PREFIX(symbol)
#define OPERATOR_SELECT(symbol)
#include "ops.def"
#undef OP
        "size", "grad", "named", "objective", "gradient", "solve", "cholesky", "rank"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], name)) return true;
    return is_distribution(name);
}

static const struct value *lookup(struct scope *scope, const char *name, struct span at)
{
    struct binding *binding = scope_find(scope, name);
    struct definition *definition;
    struct value *v;

    if (binding) {
        switch (binding->kind) {
        case BIND_VALUE: return binding->value;
        case BIND_STATE: return binding->state->current;
        case BIND_AXIS:
            if (binding->axes.count == 1) return index_value(scope, binding->axes.at[0]);
            return fail(scope, "E0206", at, "%s stands for %d axes here and is no number", name, binding->axes.count);
        }
    }
    if (!strcmp(name, "batch")) {
        if (!scope->workspace || !scope->workspace->batch) return fail(scope, "E0403", at, "there is no batch here");
        return index_value(scope, scope->workspace->batch);
    }
    if (!strcmp(name, "training")) return value_number(scope, scope->training, true);
    if (!strcmp(name, "true") || !strcmp(name, "false")) return value_number(scope, name[0] == 't', true);
    if (!strcmp(name, "pi")) return value_number(scope, M_PI, false);
    if (!strcmp(name, "inf")) return value_number(scope, INFINITY, false);
    definition = find_definition(scope->unit, scope->file, name, at);
    if (definition) {
        switch (definition->node->kind) {
        case NODE_LET: return number_of_let(scope, definition);
        case NODE_LAYER: case NODE_MODEL: return layer_value(scope, definition);
        case NODE_FN: v = value_new(scope, VALUE_FUNCTION); break;
        case NODE_DATA: v = value_new(scope, VALUE_DATA); break;
        default: return fail(scope, "E0206", at, "%s is a rule; it stands in a slot of a train block", name);
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
        if (!scope->workspace) return fail(scope, "E0701", at, "%s is not known before the run", name);
        v = value_new(scope, VALUE_TENSOR);
        v->expr = ir_read(scope->workspace->program, scalar_leaf(scope->workspace, name), NULL, 0, NULL);
        v->whole = !strncmp(name, "step", 4);
        return v;
    }
    if (!strcmp(name, "grads")) return not_compiled(scope, at, "`grads`");
    if (!strcmp(name, "weights") || !strcmp(name, "biases") || !strcmp(name, "params")) {
        struct node selector = {.kind = NODE_PATH, .name = name, .span = at};
        parameter_list list = {0};

        if (!scope->workspace) return fail(scope, "E0701", at, "%s is not known before the run", name);
        return select_parameters(scope, &selector, &list) ? parameter_set(scope, &list) : &poison;
    }
    return NULL;
}

static struct parameter *find_parameter(struct workspace *w, const char *path)
{
    for (int i = 0; i < w->parameters.count; i++)
        if (!strcmp(w->parameters.at[i]->path, path)) return w->parameters.at[i];
    return NULL;
}

static const struct value *unknown(struct scope *scope, const char *name, struct span at)
{
    name_list names = {0};

    fail(scope, "E0201", at, "there is no `%s` here", name);
    scope_names(scope, &names);
    suggest(scope->unit->diagnostics, scope->unit->arena, name, &names);
    return &poison;
}

const struct value *lookup_path(struct scope *scope, struct node *path)
{
    const char *dot = strchr(path->name, '.');
    const char *first = dot ? arena_slice(scope->unit->arena, path->name, (size_t)(dot - path->name)) : path->name;
    const struct value *v = lookup(scope, first, path->span), *instance;
    const char *full;

    if (!v) return unknown(scope, first, path->span);
    if (!dot || is_poison(v)) return v;
    if (v->kind == VALUE_DATA) return not_compiled(scope, path->span, "a split of another data block");
    if (v->kind == VALUE_LAYER && v->layer->path) {
        struct parameter *parameter;
        name_list names = {0};

        full = arena_printf(scope->unit->arena, "%s%s", v->layer->path, dot);
        parameter = find_parameter(scope->workspace, full);
        if (parameter) return parameter->current ? parameter->current : value_of_tensor(scope, parameter->leaf, 0);
        instance = map_get(scope->workspace->instances, full);
        if (instance) return instance;
        fail(scope, "E0901", path->span, "there is no parameter or instance %s", full);
        for (int i = 0; i < scope->workspace->parameters.count; i++) list_add(scope->unit->arena, names, scope->workspace->parameters.at[i]->path);
        suggest(scope->unit->diagnostics, scope->unit->arena, full, &names);
        return &poison;
    }
    return fail(scope, "E0201", path->span, "%s has no parts, so %s means nothing", first, path->name);
}

/* ---- axes ---- */

bool evaluate_whole(struct scope *scope, struct node *node, int64_t *out, const char *what)
{
    const struct value *v = evaluate(scope, node);

    if (is_poison(v)) return false;
    if (v->kind != VALUE_NUMBER) {
        fail(scope, "E0701", node->span, "%s must be known before the run; %s is not", what, text_of(scope, node));
        return false;
    }
    if (!v->whole) {
        fail(scope, "E0305", node->span, "%s is %g, no whole number", what, v->number);
        help(scope, "`//` divides whole numbers");
        return false;
    }
    *out = (int64_t)v->number;
    return true;
}

static bool declare_axis(struct scope *scope, struct node *node, bool local)
{
    struct scope *into = local ? scope : scope->body;
    struct binding *binding = local ? map_get(scope->names, node->name) : scope_find(scope, node->name);
    int64_t extent;

    if (!evaluate_whole(scope, node->a, &extent, arena_printf(scope->unit->arena, "extent of %s", node->name))) return false;
    if (extent < 1) {
        fail(scope, "E0305", node->span, "extent of %s is %lld", node->name, (long long)extent);
        return false;
    }
    if (binding && binding->kind != BIND_AXIS) {
        fail(scope, "E0202", node->span, "`%s` is a value in this body and cannot be an axis too", node->name);
        note(scope, binding->span, "`%s` is defined here", node->name);
        return false;
    }
    if (binding) {
        if (binding->axes.count == 1 && binding->axes.at[0]->extent == extent) return true;
        fail(scope, "E0301", node->span, "%s is %lld here and %lld elsewhere in this body", node->name, (long long)extent,
             (long long)(binding->axes.count == 1 ? binding->axes.at[0]->extent : 0));
        note(scope, binding->span, "%s gets its extent here", node->name);
        return false;
    }
    binding = scope_bind(into, node->name, node->span);
    binding->kind = BIND_AXIS;
    list_add(scope->unit->arena, binding->axes, new_index(scope, node->name, extent));
    return true;
}

bool declare_axes(struct scope *scope, struct node *const *subscripts, int count, bool local)
{
    bool fine = true;

    for (int i = 0; i < count; i++) {
        struct node *s = subscripts[i];

        if (s->kind == NODE_AXIS && strcmp(s->name, "batch")) fine = declare_axis(scope, s, local) && fine;
        else if (s->kind == NODE_COMPOSITE) fine = declare_axes(scope, s->list.at, s->list.count, local) && fine;
    }
    return fine;
}

/* The name of a subscript that is just a name. */
static const char *bare_name(const struct node *s)
{
    if (s->kind == NODE_PATH && !strchr(s->name, '.')) return s->name;
    if (s->kind == NODE_NAME) return s->name;
    return NULL;
}

bool axes_named(struct scope *scope, struct node *const *subscripts, int count, ir_index_list *out)
{
    for (int i = 0; i < count; i++) {
        struct node *s = subscripts[i];
        const char *name = s->kind == NODE_AXIS ? s->name : bare_name(s);
        struct binding *binding;

        if (s->kind == NODE_SEMICOLON) continue;
        if (s->kind == NODE_DOTS) {
            if (!scope->has_dots) {
                fail(scope, "E0309", s->span, "`...` stands for nothing here: no input has it");
                return false;
            }
            for (int k = 0; k < scope->dots.count; k++) list_add(scope->unit->arena, *out, scope->dots.at[k]);
            continue;
        }
        if (name && !strcmp(name, "batch")) {
            if (!scope->workspace->batch) {
                fail(scope, "E0403", s->span, "there is no batch here");
                return false;
            }
            list_add(scope->unit->arena, *out, scope->workspace->batch);
            continue;
        }
        binding = name ? scope_find(scope, name) : NULL;
        if (!binding || binding->kind != BIND_AXIS) {
            if (!name) fail(scope, "E0309", s->span, "the name of an axis is wanted here, not %s", text_of(scope, s));
            else if (binding && is_poison(binding->value)) return false;
            else {
                fail(scope, "E0312", s->span, "%s does not occur %s", name, binding ? "as an axis: it is a value" : "in any subscript here");
                if (!binding) help(scope, "declare it with its extent, %s: n", name);
            }
            return false;
        }
        for (int k = 0; k < binding->axes.count; k++) list_add(scope->unit->arena, *out, binding->axes.at[k]);
    }
    return true;
}

bool axes_distinct(struct scope *scope, const ir_index_list *axes, struct span at)
{
    for (int i = 0; i < axes->count; i++) {
        for (int k = 0; k < i; k++) {
            if (axes->at[k] != axes->at[i]) continue;
            fail(scope, "E0312", at, "%s stands here twice", axes->at[i]->name);
            return false;
        }
    }
    return true;
}

/* ---- reads ---- */

/* A name that nothing has yet: it becomes an axis with the extent it reads. */
static struct binding *axis_of(struct scope *scope, const struct node *s, const char *name, int64_t extent)
{
    struct binding *binding = scope_find(scope, name);

    if (binding) return binding->kind == BIND_AXIS ? binding : NULL;
    if (!strcmp(name, "batch") || !strcmp(name, "training") || lookup(scope, name, s->span)) return NULL;
    binding = scope_bind(scope->body, name, s->span);
    binding->kind = BIND_AXIS;
    list_add(scope->unit->arena, binding->axes, new_index(scope, name, extent));
    return binding;
}

static bool extent_error(struct scope *scope, struct node *s, struct binding *axis, const struct ir_index *own, const struct node *read)
{
    const char *what = read->a ? text_of(scope, read->a) : text_of(scope, read);

    fail(scope, "E0301", s->span, "%s: %lld reads %s's axis %s: %lld", axis->name, (long long)axis->axes.at[0]->extent, what, own->name,
         (long long)own->extent);
    note(scope, axis->span, "%s gets its extent %lld here", axis->name, (long long)axis->axes.at[0]->extent);
    help(scope, "equal extents, or %s[%s + 0] for a part of it", what, axis->name);
    return false;
}

/* (a, b, ...): one form made of several axes, row-major. At most one of them may get its extent from this read. */
static const struct ir_form *composite_form(struct scope *scope, struct node *s, const struct ir_index *own)
{
    struct ir_program *p = scope->workspace->program;
    ir_index_list axes = {0};
    const struct ir_form *form = ir_form_constant(p, 0);
    struct node *unknown_part = NULL;
    int64_t product = 1;

    if (!declare_axes(scope, &s, 1, false)) return NULL;
    for (int i = 0; i < s->list.count; i++) {
        struct node *part = s->list.at[i];
        const char *name = part->kind == NODE_AXIS ? part->name : bare_name(part);

        if (part->kind != NODE_DOTS && !name) {
            fail(scope, "E0309", part->span, "the name of an axis is wanted here, not %s", text_of(scope, part));
            return NULL;
        }
        if (name && !scope_find(scope, name)) {
            if (unknown_part) {
                fail(scope, "E0304", s->span, "neither %s nor %s has an extent yet", unknown_part->name, name);
                return NULL;
            }
            unknown_part = part;
            continue;
        }
        axes = (ir_index_list){0};
        if (!axes_named(scope, &part, 1, &axes)) return NULL;
        product *= ir_extent_product(axes.at, axes.count);
    }
    if (unknown_part) {
        if (own->extent % product) {
            fail(scope, "E0304", s->span, "%lld is no multiple of %lld: %s", (long long)own->extent, (long long)product, text_of(scope, s));
            return NULL;
        }
        axis_of(scope, unknown_part, bare_name(unknown_part), own->extent / product);
    } else if (product != own->extent) {
        fail(scope, "E0304", s->span, "axis %s: %lld is not made of %lld: %s", own->name, (long long)own->extent, (long long)product,
             text_of(scope, s));
        return NULL;
    }
    axes = (ir_index_list){0};
    if (!axes_named(scope, s->list.at, s->list.count, &axes)) return NULL;
    for (int i = 0; i < axes.count; i++)
        form = ir_form_add(p, ir_form_scale(p, form, axes.at[i]->extent), ir_form_index(p, axes.at[i]));
    return form;
}

/* Whole by being rounded down, but of a real number: no range is known. */
static bool is_rounded(const struct ir_expr *e)
{
    if (e->whole) return true;
    if (e->kind == IR_READ && e->tensor->kind == IR_EQUATION && e->tensor->reduction == IR_MAP) return is_rounded(e->tensor->value);
    if (e->kind != IR_APPLY) return false;
    if (e->op == IR_floor) return true;
    return (e->op == IR_add || e->op == IR_subtract || e->op == IR_multiply) && is_rounded(e->arguments[0]) && is_rounded(e->arguments[1]);
}

static const struct ir_form *one_subscript(struct scope *scope, struct node *s, const struct ir_index *own, bool loose, const struct node *read)
{
    struct ir_program *p = scope->workspace->program;
    const char *name = bare_name(s);
    const struct value *v;

    if (s->kind == NODE_COMPOSITE) return composite_form(scope, s, own);
    if (s->kind == NODE_AXIS) {
        if (!declare_axes(scope, &s, 1, false)) return NULL;
        name = s->name;
    }
    if (name) {
        struct binding *axis = axis_of(scope, s, name, own->extent);

        if (axis) {
            if (axis->axes.count != 1) {
                fail(scope, "E0309", s->span, "%s stands for %d axes here and reads one", name, axis->axes.count);
                return NULL;
            }
            if (axis->axes.at[0]->extent != own->extent && !loose) {
                extent_error(scope, s, axis, own, read);
                return NULL;
            }
            return ir_form_index(p, axis->axes.at[0]);
        }
    }
    v = evaluate(scope, s);
    if (is_poison(v)) return NULL;
    if (v->kind == VALUE_NUMBER && v->whole) return ir_form_constant(p, (int64_t)v->number);
    if (v->kind == VALUE_TENSOR && v->field && !v->expr->whole) {
        settle_whole(scope->workspace, v->field, own->extent - 1, own->name);
        return NULL;
    }
    if (v->kind != VALUE_TENSOR || v->own.count || !v->expr->whole) {
        if (v->kind == VALUE_TENSOR && v->own.count)
            fail(scope, "E0306", s->span, "a subscript is one number; %s has axes %s", text_of(scope, s), shape_text(scope, &v->own));
        else if (v->kind == VALUE_TENSOR && is_rounded(v->expr))
            not_compiled(scope, s->span, "a subscript rounded down from a real number");
        else
            fail(scope, "E0306", s->span, "a subscript is a whole number; %s is not", text_of(scope, s));
        return NULL;
    }
    return ir_form_of(p, v->expr);
}

static const struct value *open_set(struct scope *scope, const struct value *set, struct node *read)
{
    ir_index_list axes = {0};
    struct value *v;

    if (!axes_named(scope, read->list.at, read->list.count, &axes)) return &poison;
    if (axes.count != 1 || axes.at[0]->extent != ir_extent_product(axes.at, 1) || set->opened)
        return fail(scope, "E0309", read->span, "a parameter set is one long vector and is read whole: w[...]");
    v = value_new(scope, VALUE_SET);
    *v = *set;
    v->opened = axes.at[0];
    return v;
}

static const struct value *read_subscripts(struct scope *scope, const struct value *v, struct node *read, const struct value *otherwise)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms;
    int total = 0, axis = 0;

    if (v->kind == VALUE_SET) return open_set(scope, v, read);
    for (int i = 0; i < read->list.count; i++) {
        struct node *s = read->list.at[i];

        if (s->kind == NODE_AXIS && !strcmp(s->name, "batch")) return not_compiled(scope, s->span, "a read of another sample");
        if (s->kind == NODE_DOTS && !scope->has_dots) return fail(scope, "E0309", s->span, "`...` stands for nothing here: no input has it");
        total += s->kind == NODE_DOTS ? scope->dots.count : s->kind == NODE_SEMICOLON ? 0 : 1;
    }
    if (v->kind == VALUE_NUMBER && total == 0) return v;
    if (v->kind == VALUE_TENSOR && v->field && !v->own.count && total) {
        /* A raw field whose shape nothing has settled: indices with an extent settle it. */
        int64_t shape[8];
        ir_index_list axes = {0};

        if (total <= 8 && !v->field->shaped && axes_named(scope, read->list.at, read->list.count, &axes) && axes.count == total) {
            for (int i = 0; i < total; i++) shape[i] = axes.at[i]->extent;
            settle_shape(scope->workspace, v->field, total, shape);
            return &poison;
        }
    }
    if (v->kind != VALUE_TENSOR || total > v->own.count)
        return fail(scope, "E0307", read->span, "%d subscripts, but %s has %s%s", total, text_of(scope, read->a),
                    v->kind == VALUE_TENSOR && v->own.count ? "axes " : "no axes",
                    v->kind == VALUE_TENSOR && v->own.count ? shape_text(scope, &v->own) : "");
    forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, total + 1);
    for (int i = 0; i < read->list.count; i++) {
        struct node *s = read->list.at[i];

        if (s->kind == NODE_SEMICOLON) return fail(scope, "E0309", s->span, "`;` belongs in the brackets of a function, not of a read");
        if (s->kind == NODE_DOTS) {
            for (int k = 0; k < scope->dots.count; k++, axis++) {
                if (scope->dots.at[k]->extent != v->own.at[axis]->extent)
                    return fail(scope, "E0301", read->span, "`...` is %s here, and %s has axes %s", shape_text(scope, &scope->dots),
                                text_of(scope, read->a), shape_text(scope, &v->own));
                forms[axis] = ir_form_index(p, scope->dots.at[k]);
            }
            continue;
        }
        forms[axis] = one_subscript(scope, s, v->own.at[axis], otherwise != NULL, read);
        if (!forms[axis]) return &poison;
        axis++;
    }
    return read_at(scope, v, forms, total, otherwise, read);
}

static const struct value *evaluate_read(struct scope *scope, struct node *node, const struct value *otherwise)
{
    const struct value *v = lookup_path(scope, node->a);

    if (is_poison(v)) return v;
    if (v->kind == VALUE_FUNCTION || v->kind == VALUE_OPERATOR) {
        struct node *call = NEW(scope->unit->arena, struct node);

        *call = *node;
        call->kind = NODE_CALL;
        call->more = *(__typeof__(call->more) *)&node->list;
        call->list.count = 0;
        call->flag = true;
        return evaluate_call(scope, call, NULL);
    }
    return read_subscripts(scope, v, node, otherwise);
}

static const struct value *evaluate_else(struct scope *scope, struct node *node)
{
    struct node *read = node->a;
    const struct value *otherwise;

    while (read->kind == NODE_GROUPED) read = read->a;
    if (read->kind != NODE_READ) return evaluate(scope, read);
    otherwise = evaluate(scope, node->b);
    return is_poison(otherwise) ? &poison : evaluate_read(scope, read, otherwise);
}

/* ---- reductions ---- */

static const struct { const char *name; enum reduce how; } reductions[] = {
    {"sum", REDUCE_SUM}, {"mean", REDUCE_MEAN}, {"prod", REDUCE_PROD}, {"max", REDUCE_MAX},
    {"min", REDUCE_MIN}, {"argmax", REDUCE_ARGMAX}, {"argmin", REDUCE_ARGMIN}};

/* In a report, `batch` is the whole split: the sum over it is a statistic that the result program gets as a scalar. */
static const struct value *stream(struct scope *scope, enum reduce how, const struct value *v, const ir_index_list *over, struct node *node)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    ir_index_list inside = {0}, left = {0};
    struct statistic_use use = {0};
    const struct value *total;
    double count = 1;

    for (int i = 0; i < over->count; i++)
        if (!over->at[i]->batch) list_add(w->arena, inside, over->at[i]);
    if (how != REDUCE_SUM && how != REDUCE_MEAN && how != REDUCE_MAX && how != REDUCE_MIN)
        return not_compiled(scope, node->span, "this reduction over a whole split");
    if (inside.count) {
        count = (double)ir_extent_product(inside.at, inside.count);
        v = reduce_over(scope, how == REDUCE_MEAN ? REDUCE_SUM : how, v, &inside, node->span);
    }
    free_indices(scope, v, &left);
    if (left.count > 1 || v->own.count) return not_compiled(scope, node->span, "a statistic over a split that has axes");
    use.tensor = tensor_of(scope, v, "statistic", node->span);
    for (int i = 0; i < w->statistics.count; i++) {
        struct statistic_use *earlier = &w->statistics.at[i];
        enum ir_reduction reduction = how == REDUCE_MAX ? IR_MAXIMUM : how == REDUCE_MIN ? IR_MINIMUM : IR_SUM;
        if (earlier->tensor == use.tensor && earlier->reduction == reduction) use = *earlier;
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
        if (count != 1) n = ir_apply(p, IR_multiply, n, ir_real(p, count), NULL);
        total = value_tensor(scope, ir_apply(p, IR_divide, total->expr, n, NULL), NULL);
    }
    return total;
}

static const struct value *evaluate_reduction(struct scope *scope, struct node *node)
{
    struct scope *inner = scope_inner(scope);
    ir_index_list over = {0}, free = {0};
    const struct value *v;
    enum reduce how = REDUCE_SUM;
    bool batch = false;

    if (!scope->workspace) return fail(scope, "E0701", node->span, "a reduction is not known before the run");
    for (size_t i = 0; i < sizeof reductions / sizeof *reductions; i++)
        if (!strcmp(reductions[i].name, node->name)) how = reductions[i].how;
    if (!declare_axes(inner, node->list.at, node->list.count, true)) return &poison;
    for (int i = 0; i < node->list.count; i++) {
        struct node *s = node->list.at[i];
        const char *name = s->kind == NODE_AXIS ? s->name : bare_name(s);

        if (!name) continue;
        for (int k = 0; k < inner->reduced.count; k++) {
            if (strcmp(inner->reduced.at[k], name) || !strcmp(name, "batch")) continue;
            fail(scope, "E0313", s->span, "%s is already reduced over here: %s", name, text_of(scope, node));
            help(scope, "give the inner reduction parentheses of its own, or another index: (sum[%s] a[%s]) / (sum[%s] b[%s])", name, name, name, name);
            return &poison;
        }
        list_add(scope->unit->arena, inner->reduced, name);
    }
    v = evaluate(inner, node->a);
    if (is_poison(v)) return &poison;
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR && v->kind != VALUE_SET)
        return fail(scope, "E0206", node->a->span, "a number is wanted under %s: %s", node->name, text_of(scope, node->a));
    if (!axes_named(inner, node->list.at, node->list.count, &over) || !axes_distinct(inner, &over, node->span)) return &poison;
    if (v->kind == VALUE_SET) {
        if (over.count != 1 || over.at[0] != v->opened)
            return fail(scope, "E0309", node->span, "a parameter set is one long vector and is reduced whole: %s", text_of(scope, node));
        return reduce_over(scope, how, v, &over, node->span);
    }
    if (v->own.count) {
        fail(scope, "E0310", node->a->span, "%s has axes %s; %s wants one number for each value of its indices", text_of(scope, node->a),
             shape_text(scope, &v->own), node->name);
        help(scope, "write the subscripts");
        return &poison;
    }
    if (!over.count) return v;
    free_indices(scope, v, &free);
    for (int i = 0; i < over.count; i++) {
        if (list_has(&free, over.at[i])) {
            batch |= over.at[i]->batch;
            continue;
        }
        if (over.at[i]->batch) return fail(scope, "E0403", node->span, "the value does not differ between samples: %s", text_of(scope, node));
        return fail(scope, "E0312", node->span, "%s does not occur under %s: %s", over.at[i]->name, node->name, text_of(scope, node));
    }
    if (batch && scope->workspace->streaming) return stream(scope, how, v, &over, node);
    return reduce_over(scope, how, v, &over, node->span);
}

/* ---- the rest ---- */

static enum ir_op operator_of(int op)
{
    switch (op) {
    case '+': return IR_add;
    case '-': return IR_subtract;
    case '*': return IR_multiply;
    case '/': return IR_divide;
    case 'f': return IR_quotient;
    case '%': return IR_remainder;
    case '^': return IR_power;
    case '=': return IR_equal;
    case '!': return IR_not_equal;
    case 'l': return IR_less_equal;
    case 'g': return IR_greater_equal;
    case '<': return IR_less;
    case '>': return IR_greater;
    case 'a': return IR_and;
    case 'o': return IR_or;
    default: bug("no operator `%c`", op);
    }
}

static const struct value *evaluate_if(struct scope *scope, struct node *node)
{
    const struct value *parts[3];

    parts[0] = evaluate(scope, node->a);
    if (is_poison(parts[0])) return &poison;
    if (parts[0]->kind == VALUE_NUMBER && !parts[0]->expr) return evaluate(scope, parts[0]->number != 0 ? node->b : node->c);
    parts[1] = evaluate(scope, node->b);
    parts[2] = evaluate(scope, node->c);
    return apply_operator(scope, IR_select, parts, 3, node);
}

/* all e: e of every parameter of the rule's group, as one vector. */
static const struct value *evaluate_all(struct scope *scope, struct node *node)
{
    struct value *set;

    if (!scope->rule) return fail(scope, "E0801", node->span, "`all` belongs in a rule: there it is e of every parameter");
    set = value_new(scope, VALUE_SET);
    for (int i = 0; i < scope->rule->count; i++) {
        const struct value *v = evaluate(scope->rule->peers[i], node->a);

        if (is_poison(v)) return &poison;
        if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR) return fail(scope, "E0206", node->a->span, "a number is wanted after `all`");
        list_add(scope->unit->arena, set->items, v);
    }
    return set;
}

const struct value *evaluate(struct scope *scope, struct node *node)
{
    const struct value *a[2];
    struct value *v;

    switch (node->kind) {
    case NODE_NUMBER: return value_number(scope, node->number, !node->flag);
    case NODE_STRING:
        v = value_new(scope, VALUE_STRING);
        v->text = node->text;
        return v;
    case NODE_NAME: case NODE_PATH: return lookup_path(scope, node);
    case NODE_READ:
        if (!scope->workspace) return fail(scope, "E0701", node->span, "%s is not known before the run", text_of(scope, node));
        return evaluate_read(scope, node, NULL);
    case NODE_CALL: return evaluate_call(scope, node, NULL);
    case NODE_BINARY:
        a[0] = evaluate(scope, node->a);
        a[1] = evaluate(scope, node->b);
        return apply_operator(scope, operator_of(node->op), a, 2, node);
    case NODE_UNARY:
        a[0] = evaluate(scope, node->a);
        return apply_operator(scope, node->op == '-' ? IR_negate : IR_not, a, 1, node);
    case NODE_REDUCE: return evaluate_reduction(scope, node);
    case NODE_IF: return evaluate_if(scope, node);
    case NODE_ALL: return evaluate_all(scope, node);
    case NODE_ELSE: return evaluate_else(scope, node);
    case NODE_PIPE: return evaluate_pipe(scope, node);
    case NODE_GROUPED: return evaluate(scope, node->a);
    case NODE_DOTS: return fail(scope, "E0309", node->span, "`...` is no value");
    default: return fail(scope, "E0206", node->span, "a value is wanted here");
    }
}
