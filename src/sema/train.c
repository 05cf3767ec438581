/* train.c: a train block as programs: forward, loss, derivative, rules; and what starts it, checks it and reports on
 * it. */
#include <string.h>

#include "autodiff.h"
#include "internal.h"

/* Has the use of fields settled more than was known? Then lowering starts again; two rounds do, one for kinds, one for
 * shapes. */
enum { ROUNDS = 6 };

struct lowered {
    struct workspace *w;
    struct scope *scope;
    struct ir_tensor *loss, *penalty, *objective;
    struct ir_tensor *gradient_norm, *clipped_norm, *stop;
    const struct ir_expr **squares; /* by parameter: the sum of its derivative's squares, NULL of one that is not trained */
    struct map *averages;
};

static const struct value *one_number(struct scope *scope, struct node *expression, const char *what)
{
    const struct value *v = evaluate(scope, expression);
    ir_index_list free = {0};
    const struct ir_index *left = NULL;

    if (is_poison(v))
        return v;
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR)
        return fail(scope, "E0206", expression->span, "the %s is a number", what);
    free_indices(scope, v, &free);
    for (int i = 0; i < free.count; i++)
        if (!free.at[i]->batch)
            left = free.at[i];
    if (v->own.count)
        left = v->own.at[0];
    if (left) {
        fail(scope, "E0401", expression->span, "%s has axis %s: %lld; a %s is one number a sample", what, left->name,
             (long long)left->extent, what);
        help(scope, "mean[%s] or sum[%s]", left->name, left->name);
        return &poison;
    }
    return v;
}

/* Averaged over the batch if it is one number a sample, as a tensor of rank 0. */
static struct ir_tensor *averaged(struct scope *scope, struct node *expression, const char *what)
{
    struct scope *top = scope_top(scope->workspace, scope->unit, scope->file, true);
    const char *outer = scope->target;
    const struct value *v;
    ir_index_list free = {0};

    scope->target = what;
    v = one_number(scope, expression, what);
    scope->target = outer;
    if (is_poison(v))
        return NULL;
    free_indices(scope, v, &free);
    top->target = what;
    if (free.count)
        v = reduce_over(top, REDUCE_MEAN, v, &free, expression->span);
    return tensor_of(top, v, what, expression->span);
}

static struct ir_tensor *sum_of_tensors(struct scope *top, struct ir_tensor *a, struct ir_tensor *b, const char *name,
                                        struct span at)
{
    struct ir_program *p = top->workspace->program;
    const struct ir_expr *e = ir_apply(p, IR_add, ir_read(p, a, NULL, 0, NULL), ir_read(p, b, NULL, 0, NULL), NULL);

    return tensor_of(top, value_tensor(top, e, NULL), name, at);
}

/* Is it 0 or 1 whatever happens? While kinds are open nothing is known. */
static bool is_condition(struct scope *scope, const struct value *v, struct node *expression)
{
    const struct ir_expr *e = v->kind == VALUE_TENSOR ? v->expr : NULL;

    if (e ? (e->whole && e->low >= 0 && e->high <= 1) || scope->workspace->fields->changed
          : v->whole && (v->number == 0 || v->number == 1))
        return true;
    fail(scope, "E0206", expression->span, "stop is a condition; %s is a number", text_of(scope, expression));
    help(scope, "a comparison: stop = mean[batch] nll < 0.1, or norm(grads) < 1e-3");
    return false;
}

/* `stop = condition`: one number for the whole batch. */
static struct ir_tensor *condition(struct scope *scope, struct node *expression)
{
    struct scope *top = scope_top(scope->workspace, scope->unit, scope->file, true);
    const struct value *v = one_number(scope, expression, "stop");
    ir_index_list free = {0};

    if (is_poison(v) || !is_condition(scope, v, expression))
        return NULL;
    free_indices(scope, v, &free);
    if (!free.count)
        return tensor_of(top, v, "stop", expression->span);
    fail(scope, "E0401", expression->span, "stop differs between samples: %s", text_of(scope, expression));
    help(scope, "reduce it over batch, as in mean[batch] x < 0.1");
    return NULL;
}

/* ---- derivatives ---- */

/* Of a model that this one names without calling it, what the loss does not rest on is not trained. */
static void leave_aside(struct lowered *l)
{
    struct ir_program *p = l->w->program;

    for (int i = 0; i < l->w->parameters.count; i++) {
        struct parameter *parameter = l->w->parameters.at[i];
        bool *reached;

        if (!parameter->aside)
            continue;
        reached = NEW_ARRAY(l->w->arena, bool, p->tensors.count + 1);
        reached[parameter->leaf->number] = true;
        spread_derivative(p, reached, parameter->leaf->number + 1, l->loss->number);
        parameter->trainable = reached[l->loss->number];
    }
}

static bool take_derivatives(struct lowered *l, struct train_block *block)
{
    struct workspace *w = l->w;
    parameter_list trainable = {0}, cut_off = {0};
    struct ir_tensor **wrt, **gradients;
    const struct ir_tensor *where = NULL;
    const char *error;

    for (int i = 0; i < w->parameters.count; i++)
        if (w->parameters.at[i]->trainable)
            list_add(w->arena, trainable, w->parameters.at[i]);
    wrt = NEW_ARRAY(w->arena, struct ir_tensor *, trainable.count + 1);
    gradients = NEW_ARRAY(w->arena, struct ir_tensor *, trainable.count + 1);
    for (int i = 0; i < trainable.count; i++)
        wrt[i] = trainable.at[i]->leaf;
    if (!trainable.count) {
        fail(l->scope, "E0602", block->node->name_span, "%s has no parameters to train", block->model->name);
        return false;
    }
    error = differentiate(w->program, l->objective, wrt, trainable.count, gradients, &where);
    if (error) {
        fail(l->scope, "E0601",
             where && where->origin && where->origin->file ? origin_span(w->unit, where->origin) : block->loss->span,
             "there is no such derivative: %s", error);
        return false;
    }
    w->objective = l->objective;
    for (int i = 0; i < trainable.count; i++) {
        struct parameter *parameter = trainable.at[i];

        if (gradients[i]) {
            parameter->current = value_of_tensor(l->scope, parameter->leaf, 0);
            parameter->gradient = value_of_tensor(l->scope, gradients[i], 0);
            parameter->derivative = gradients[i];
            continue;
        }
        list_add(w->arena, cut_off, parameter);
    }
    say_cut_off(l->scope, &cut_off, l->objective);
    return !cut_off.count;
}

/* ---- slots ---- */

bool parameters_of_slot(struct scope *scope, struct train_block *block, const struct slot *slot, parameter_list *out)
{
    struct workspace *w = scope->workspace;
    parameter_list others = {0};

    if (slot->definition->b)
        return select_parameters(scope, slot->definition->b, out);
    for (int i = 0; i < block->slots.count; i++) {
        const struct slot *other = &block->slots.at[i];

        if (!strcmp(other->name, slot->name) && other->definition->b &&
            !select_parameters(scope, other->definition->b, &others))
            return false;
    }
    for (int i = 0; i < w->parameters.count; i++) {
        bool taken = false;

        for (int k = 0; k < others.count; k++)
            taken |= others.at[k] == w->parameters.at[i];
        if (!taken && w->parameters.at[i]->trainable)
            list_add(w->arena, *out, w->parameters.at[i]);
    }
    if (!out->count && others.count) {
        fail(scope, "E0901", slot->definition->span, "no parameter is left for this %s: the others select all",
             slot->name);
        return false;
    }
    return true;
}

static void run_slot(struct lowered *l, struct train_block *block, const char *name)
{
    bool *taken = NEW_ARRAY(l->w->arena, bool, l->w->parameters.count + 1);

    for (int i = 0; i < block->slots.count; i++) {
        struct slot *slot = &block->slots.at[i];
        parameter_list group = {0};

        if (strcmp(slot->name, name))
            continue;
        if (!parameters_of_slot(l->scope, block, slot, &group))
            continue;
        for (int k = 0; k < l->w->parameters.count; k++) {
            bool mine = false;

            for (int j = 0; j < group.count; j++)
                mine |= group.at[j] == l->w->parameters.at[k];
            /* Probes change nothing, so several may look at the same parameters. */
            if (mine && taken[k] && strcmp(name, "probe")) {
                fail(l->scope, "E0901", slot->definition->span, "%s is in two selections of the slot %s",
                     l->w->parameters.at[k]->path, name);
                help(l->scope, "selections of one slot share no parameter; one without `on` is for the rest");
                return;
            }
            taken[k] |= mine;
        }
        run_rule(l->scope, name, slot->definition->a, &group, l->averages);
    }
}

static bool has_slot(const struct train_block *block, const char *name)
{
    for (int i = 0; i < block->slots.count; i++)
        if (!strcmp(block->slots.at[i].name, name))
            return true;
    return false;
}

/* ---- one round ---- */

static bool lower_step(struct unit *unit, struct train_block *block, struct data_split *split, struct field_table *fields,
                       int64_t batch, enum ir_precision precision, struct diagnostics *d, struct lowered *l)
{
    struct scope *model, *top;
    struct node *wanted[3] = {block->loss, block->penalty, block->stop};
    parameter_list chosen = {0};
    LIST(struct node *) settings = {0};
    int errors = diagnostics_errors(d);

    l->w = workspace_new(unit, d, block->model->name, batch, precision);
    l->w->phase = block->phase;
    if (!l->averages)
        l->averages = map_new(unit->arena);
    model = forward(l->w, block->model, split, fields, true, block->node->name_span);
    if (!model)
        return false;
    l->scope = scope_of_block(model, block, fields);
    for (int i = 0; i < 3; i++)
        if (wanted[i])
            list_add(unit->arena, settings, wanted[i]);
    for (int i = 0; i < block->slots.count; i++)
        list_add(unit->arena, settings, block->slots.at[i].definition->a);
    run_locals(l->scope, block, settings.at, settings.count);
    if (!block->loss)
        return false;
    top = scope_top(l->w, unit, unit->main, true);
    l->loss = averaged(l->scope, block->loss, "loss");
    if (l->loss)
        leave_aside(l);
    if (block->params) {
        if (!select_parameters(l->scope, block->params, &chosen))
            return false;
        for (int i = 0; i < l->w->parameters.count; i++)
            l->w->parameters.at[i]->trainable = false;
        for (int i = 0; i < chosen.count; i++)
            chosen.at[i]->trainable = true;
    }
    l->penalty = block->penalty ? averaged(l->scope, block->penalty, "penalty") : NULL;
    if (!l->loss || (block->penalty && !l->penalty) || fields->changed || diagnostics_errors(d) > errors)
        return false;
    l->objective = l->penalty ? sum_of_tensors(top, l->loss, l->penalty, "objective", block->loss->span) : l->loss;
    check_derivatives_through_draws(l->scope, l->objective);
    if (diagnostics_errors(d) > errors || !take_derivatives(l, block))
        return false;
    l->squares = NEW_ARRAY(unit->arena, const struct ir_expr *, l->w->parameters.count + 1);
    l->gradient_norm = norm_of_gradients(l->w, "gradient_norm", l->squares);
    l->stop = block->stop ? condition(l->scope, block->stop) : NULL;
    run_slot(l, block, "probe");
    run_slot(l, block, "gradient");
    if (has_slot(block, "clip")) {
        run_slot(l, block, "clip");
        l->clipped_norm =
            norm_of_gradients(l->w, "clipped_norm", NEW_ARRAY(unit->arena, const struct ir_expr *, l->w->parameters.count + 1));
    }
    run_slot(l, block, "optimizer");
    run_slot(l, block, "project");
    run_slot(l, block, "average");
    return diagnostics_errors(d) == errors && !fields->changed;
}

/* ---- programs ---- */

static struct ir_tensor *new_value(struct lowered *l, const struct value *current, const char *name)
{
    const struct ir_expr *e = current->expr;

    if (e->kind == IR_APPLY && e->op == IR_stop && e->arguments[0]->kind == IR_READ &&
        e->arguments[0]->tensor->kind == IR_EQUATION)
        return e->arguments[0]->tensor;
    return tensor_of(l->scope, current, name, (struct span){0});
}

struct change {
    struct ir_tensor *leaf, *value;
};
typedef LIST(struct change) change_list;

/* "rate"; where there are several, each with the name of its rule behind it. */
static const char *rate_name(const struct workspace *w, int number)
{
    const char *rule = w->rates.at[number].name;
    int before = 0;

    for (int i = 0; i < number; i++)
        before += !strcmp(w->rates.at[i].name, rule);
    if (w->rates.count == 1)
        return "rate";
    return before ? arena_printf(w->arena, "rate.%s_%d", rule, before + 1) : arena_printf(w->arena, "rate.%s", rule);
}

/* Of parameters and states, by the step's end. */
static change_list changes_of(struct lowered *l)
{
    struct workspace *w = l->w;
    change_list out = {0};

    for (int i = 0; i < w->parameters.count; i++) {
        struct parameter *parameter = w->parameters.at[i];
        struct change change = {parameter->leaf, NULL};

        if (!parameter->current || parameter->current->kind != VALUE_TENSOR)
            continue;
        change.value = new_value(l, parameter->current, parameter->path);
        if (change.value != change.leaf)
            list_add(w->arena, out, change);
    }
    for (int i = 0; i < w->states.count; i++) {
        struct state *state = w->states.at[i];
        struct change change = {state->leaf, NULL};

        if (!state->assigned)
            continue;
        change.value = new_value(l, state->current, state->path);
        if (change.value != change.leaf)
            list_add(w->arena, out, change);
    }
    for (int i = 0; i < out.count; i++) {
        struct ir_tensor *value = out.at[i].value;

        if (value->kind == IR_EQUATION)
            continue;
        {
            const struct value *copy = value_of_tensor(l->scope, value, 0);
            out.at[i].value = ir_equation(w->program, value->name, copy->own.at, copy->own.count, IR_MAP, NULL, 0,
                                           copy->expr, false, value->origin);
        }
    }
    return out;
}

/* What guards the step in the place of the gradient's norm, or NULL. */
static struct ir_tensor *bound_for(struct lowered *l, const change_list *changes)
{
    struct ir_tensor **values = NEW_ARRAY(l->w->arena, struct ir_tensor *, changes->count + 1);

    for (int i = 0; i < changes->count; i++)
        values[i] = changes->at[i].value;
    return l->clipped_norm || needs_whole_gradient(l->w, values, changes->count) ? NULL
                                                                                 : bound_of_gradients(l->w, l->squares);
}

static struct ir_program *step_program(struct lowered *l, enum ir_precision precision)
{
    struct workspace *w = l->w;
    change_list changes = changes_of(l);
    struct ir_tensor *bound = bound_for(l, &changes);
    struct extraction *x;
    struct ir_program *p;
    struct {
        const char *name;
        struct ir_tensor *tensor;
        bool guard;
    } outputs[] = {{"loss", l->loss, true},
                   {"penalty", l->penalty, true},
                   {"gradient_norm", l->gradient_norm, !bound},
                   {"gradient_bound", bound, true},
                   {"clipped_norm", l->clipped_norm, true},
                   {"stop", l->stop, false}};
    int output_count = sizeof outputs / sizeof *outputs;

    x = extraction_new(w->arena, w->program, w->program->name, precision);
    for (int i = 0; i < output_count; i++)
        if (outputs[i].tensor)
            extraction_want(x, outputs[i].tensor);
    for (int i = 0; i < changes.count; i++) {
        extraction_want(x, changes.at[i].leaf);
        extraction_want(x, changes.at[i].value);
    }
    for (int i = 0; i < w->probes.count; i++)
        if (!w->probes.at[i].tensor->rank)
            extraction_want(x, w->probes.at[i].tensor);
    for (int i = 0; i < w->rates.count; i++)
        extraction_want(x, w->rates.at[i].tensor);
    p = extraction_run(x);
    for (int i = 0; i < w->probes.count; i++)
        if (!w->probes.at[i].tensor->rank)
            ir_add_output(p, w->probes.at[i].name, extraction_copy(x, w->probes.at[i].tensor), false);
    for (int i = 0; i < output_count; i++)
        if (outputs[i].tensor)
            ir_add_output(p, outputs[i].name, extraction_copy(x, outputs[i].tensor), outputs[i].guard);
    for (int i = 0; i < w->rates.count; i++)
        ir_add_output(p, rate_name(w, i), extraction_copy(x, w->rates.at[i].tensor), false);
    for (int i = 0; i < changes.count; i++)
        ir_add_update(p, extraction_copy(x, changes.at[i].leaf), extraction_copy(x, changes.at[i].value));
    return p;
}

/* What probes give that is no single number; NULL if there is none. */
static struct ir_program *probe_program(struct lowered *l, enum ir_precision precision)
{
    struct workspace *w = l->w;
    struct extraction *x = extraction_new(w->arena, w->program, "probe", precision);
    struct ir_program *p;
    int count = 0;

    for (int i = 0; i < w->probes.count; i++)
        if (w->probes.at[i].tensor->rank) {
            extraction_want(x, w->probes.at[i].tensor);
            count++;
        }
    if (!count)
        return NULL;
    p = extraction_run(x);
    for (int i = 0; i < w->probes.count; i++)
        if (w->probes.at[i].tensor->rank)
            ir_add_output(p, w->probes.at[i].name, extraction_copy(x, w->probes.at[i].tensor), false);
    return p;
}

/* The step once more, for whoever looks at it: it assigns nothing, and the step's own program is as if it were not there. */
static void watch_program(struct lowered *l, enum ir_precision precision, struct phase *phase)
{
    struct workspace *w = l->w;
    struct extraction *x = extraction_new(w->arena, w->program, "watch", precision);
    LIST(struct watched_parameter) found = {0};

    for (int i = 0; i < w->parameters.count; i++) {
        struct parameter *parameter = w->parameters.at[i];
        struct watched_parameter watched = {parameter->leaf, parameter->derivative, NULL};

        if (!parameter->derivative || !parameter->current || parameter->current->kind != VALUE_TENSOR)
            continue;
        watched.value = new_value(l, parameter->current, parameter->path);
        if (watched.value != watched.leaf)
            list_add(w->arena, found, watched);
    }
    extraction_want(x, l->objective);
    for (int i = 0; i < found.count; i++) {
        extraction_want(x, found.at[i].leaf);
        extraction_want(x, found.at[i].gradient);
        extraction_want(x, found.at[i].value);
    }
    phase->watch = extraction_run(x);
    phase->watch_objective = extraction_copy(x, l->objective);
    for (int i = 0; i < found.count; i++) {
        struct watched_parameter copy = {extraction_copy(x, found.at[i].leaf), extraction_copy(x, found.at[i].gradient),
                                         extraction_copy(x, found.at[i].value)};

        list_add(w->arena, phase->watched, copy);
    }
}

static struct span span_of_slot(const struct train_block *block, const char *name)
{
    for (int i = 0; i < block->slots.count; i++)
        if (!strcmp(block->slots.at[i].name, name))
            return block->slots.at[i].definition->span;
    return (struct span){0};
}

static struct ir_tensor *leaf_like(struct ir_program *p, struct arena *arena, const struct ir_tensor *leaf)
{
    struct ir_index **axes = NEW_ARRAY(arena, struct ir_index *, leaf->rank + 1);

    for (int i = 0; i < leaf->rank; i++)
        axes[i] = ir_index(p, leaf->axes[i]->name, leaf->axes[i]->extent, false);
    return ir_leaf(p, leaf->kind, leaf->name, axes, leaf->rank, leaf->whole, leaf->low, leaf->high, leaf->origin);
}

struct ir_program *initial_program(struct workspace *w, enum ir_precision precision)
{
    struct extraction *x = extraction_new(w->arena, w->program, "initial", precision);
    struct ir_program *p;

    for (int i = 0; i < w->parameters.count; i++)
        extraction_replace(x, w->parameters.at[i]->leaf, w->parameters.at[i]->initial);
    for (int i = 0; i < w->parameters.count; i++)
        extraction_want(x, w->parameters.at[i]->initial);
    for (int i = 0; i < w->states.count; i++)
        extraction_want(x, w->states.at[i]->initial);
    p = extraction_run(x);
    for (int i = 0; i < w->parameters.count; i++)
        ir_add_update(p, leaf_like(p, w->arena, w->parameters.at[i]->leaf),
                      extraction_copy(x, w->parameters.at[i]->initial));
    for (int i = 0; i < w->states.count; i++)
        ir_add_update(p, leaf_like(p, w->arena, w->states.at[i]->leaf), extraction_copy(x, w->states.at[i]->initial));
    return p;
}

static struct ir_program *objective_program(struct lowered *l)
{
    struct extraction *x = extraction_new(l->w->arena, l->w->program, "objective", IR_DOUBLE);
    struct ir_program *p;

    extraction_want(x, l->objective);
    for (int i = 0; i < l->w->parameters.count; i++)
        if (l->w->parameters.at[i]->trainable)
            extraction_want(x, l->w->parameters.at[i]->leaf);
    p = extraction_run(x);
    ir_add_output(p, "objective", extraction_copy(x, l->objective), true);
    return p;
}

/* ---- settings of the block ---- */

static bool number_setting(struct scope *top, struct node *node, const char *what, double *out)
{
    const struct value *v;

    if (!node)
        return true;
    v = evaluate(top, node);
    if (v->kind == VALUE_NUMBER && v->number > 0) {
        *out = v->number;
        return true;
    }
    if (!is_poison(v))
        fail(top, "E0701", node->span, "%s is a number above 0, known before the run", what);
    return false;
}

static bool word_setting(struct scope *top, struct node *node, const char *what, const char *const words[2], int *out)
{
    if (!node)
        return true;
    for (int i = 0; i < 2; i++) {
        if (node->kind == NODE_PATH && !strcmp(node->name, words[i])) {
            *out = i;
            return true;
        }
    }
    fail(top, "E0201", node->span, "%s is %s or %s, not %s", what, words[0], words[1], text_of(top, node));
    return false;
}

static bool read_settings(struct unit *unit, struct train_block *block, struct training *t,
                          struct lower_options options)
{
    static const char *const orders[2] = {"shuffled", "sequential"}, *const precisions[2] = {"f32", "f64"};
    struct scope *top = scope_top(NULL, unit, unit->main, true);
    double steps = 0, batch = 0, validate = 1, patience = 0;
    int order = 0, precision = 0;
    struct definition *seed = map_get(unit->main->names, "seed");
    bool fine = number_setting(top, block->epochs, "epochs", &t->epochs);

    fine = number_setting(top, block->steps, "steps", &steps) && fine;
    fine = number_setting(top, block->batch, "batch", &batch) && fine;
    fine = word_setting(top, block->order, "order", orders, &order) && fine;
    fine = word_setting(top, block->precision, "precision", precisions, &precision) && fine;
    if (steps != (double)(int64_t)steps)
        fail(top, "E0305", block->steps->span, "steps is %g, no whole number", steps), fine = false;
    if (batch != (double)(int64_t)batch)
        fail(top, "E0305", block->batch->span, "batch is %g, no whole number", batch), fine = false;
    fine = number_setting(top, block->validate, "validate", &validate) && fine;
    fine = number_setting(top, block->patience, "patience", &patience) && fine;
    if (validate != (double)(int64_t)validate)
        fail(top, "E0305", block->validate->span, "validate is %g, no whole number", validate), fine = false;
    if (patience != (double)(int64_t)patience)
        fail(top, "E0305", block->patience->span, "patience is %g, no whole number", patience), fine = false;
    if ((block->patience || block->validate) && !evaluation_split(unit, block, false)) {
        struct node *key = block->patience ? block->patience : block->validate;

        fail(top, "E0207", key->span, "%s counts reports, and there is no split for one: validation or test",
             block->patience ? "patience" : "validate");
        fine = false;
    }
    t->validate = (int64_t)validate;
    t->patience = (int64_t)patience;
    t->steps = (int64_t)steps;
    t->batch = options.batch ? options.batch : (int64_t)batch;
    t->lanes = order == 1;
    t->precision = options.precision >= 0 ? (enum ir_precision)options.precision : precision ? IR_DOUBLE : IR_SINGLE;
    if (block->data && !t->batch &&
        (block->batch || (diagnostics_errors(unit->diagnostics) && misspelt(block, "batch")))) {
        fine = false;
    } else if (block->data && !t->batch) {
        fail(top, "E0207", block->node->name_span, "train %s does not say its batch", block->model->name);
        help(top, "batch = 128");
        fine = false;
    }
    if (!block->data)
        t->batch = 1;
    if (seed && seed->node->kind == NODE_LET && let_value(unit, seed)->kind == VALUE_NUMBER) {
        const struct value *v = let_value(unit, seed);

        if (!v->whole || v->number < 0) {
            fail(top, "E0305", seed->node->a->span, "seed is %g, no whole number from 0", v->number);
            fine = false;
        } else {
            t->seed = (uint64_t)v->number;
        }
    }
    if (options.seed)
        t->seed = *options.seed;
    return fine;
}

static void list_lets(struct unit *unit, struct training *t)
{
    for (int i = 0; i < unit->main->definitions.count; i++) {
        struct definition *let = unit->main->definitions.at[i];
        const struct value *v;
        struct setting setting = {0};
        struct text text = {0};

        if (let->node->kind != NODE_LET)
            continue;
        v = let_value(unit, let);
        if (v->kind == VALUE_NUMBER)
            text_add_number(&text, v->number);
        else if (v->kind == VALUE_STRING)
            text_add(&text, v->text);
        setting.name = let->name;
        setting.value = arena_string(unit->arena, text.data ? text.data : "");
        text_free(&text);
        list_add(unit->arena, t->lets, setting);
    }
}

static struct data_split *training_split(struct scope *top, struct train_block *block)
{
    const char *name = block->split ? block->split : "train";
    int errors = diagnostics_errors(top->unit->diagnostics);
    struct data_split *split = block->data ? data_split(top->unit, block->data, name) : NULL;

    if (split || !block->data || diagnostics_errors(top->unit->diagnostics) > errors)
        return split;
    fail(top, "E0201", block->node->b->span, "the data %s have no split `%s`", block->data->name, name);
    note(top, block->data->node->name_span, "%s is defined here", block->data->name);
    return NULL;
}

static bool times_of(struct scope *top, struct train_block *phase, int64_t *times)
{
    double number = 1;

    if (!number_setting(top, phase->times, "times", &number))
        return false;
    if (number != (double)(int64_t)number) {
        fail(top, "E0305", phase->times->span, "times is %g, no whole number", number);
        return false;
    }
    *times = (int64_t)number;
    return true;
}

/* Every phase is lowered again when one of them settles more of the fields than was known. */
static bool lower_phases(struct unit *unit, struct train_block *block, struct data_split *split, struct field_table *fields,
                         const struct training *t, struct diagnostics *d, struct lowered *lowered)
{
    int errors = diagnostics_errors(d), count = block->phases.count ? block->phases.count : 1;

    for (int round = 0; round < ROUNDS && diagnostics_errors(d) == errors; round++) {
        struct map *averages = map_new(unit->arena);
        bool done = true;

        fields->changed = false;
        for (int i = 0; i < count && !fields->changed; i++) {
            memset(&lowered[i], 0, sizeof lowered[i]);
            lowered[i].averages = averages;
            done = lower_step(unit, block->phases.count ? block->phases.at[i] : block, split, fields,
                              block->data ? t->batch : 0, t->precision, d, &lowered[i]) &&
                   done;
        }
        if (!fields->changed)
            return done;
    }
    return false;
}

static struct phase programs_of(struct unit *unit, struct train_block *block, struct data_split *split,
                                struct field_table *fields, struct training *t, bool watch, struct lowered *l)
{
    struct scope *top = scope_top(NULL, unit, unit->main, true);
    struct phase phase = {.name = block->phase, .times = 1};

    times_of(top, block, &phase.times);
    phase.step = step_program(l, t->precision);
    phase.initial = initial_program(l->w, t->precision);
    phase.objective = objective_program(l);
    phase.probe = probe_program(l, t->precision);
    phase.optimizer_span = span_of_slot(block, "optimizer");
    phase.clip_span = span_of_slot(block, "clip");
    if (watch)
        watch_program(l, t->precision, &phase);
    phase.split = describe_split(top, split, fields, phase.step, NULL);
    for (int i = 0; i < l->w->states.count; i++) {
        if (l->w->states.at[i]->rule)
            list_add(unit->arena, t->rule_states, l->w->states.at[i]->path);
        if (t->lanes && l->w->states.at[i]->lanes)
            t->lanes = t->batch;
    }
    return phase;
}

static void warn_without_split(struct scope *top, const struct train_block *block)
{
    if (block->data) {
        warn(top, "W0002", block->report->span,
             "there is no split to report on: the data %s have neither validation nor test", block->data->name);
        help(top, "(train, test) = divide(...), or a split test { ... } in %s", block->data->name);
    } else {
        warn(top, "W0002", block->report->span, "there is no split to report on: the block has no data");
        help(top, "the log has the loss of each step; a report is made of data: train %s on DATA { ... }",
             block->model->name);
    }
}

struct training *lower_training(struct unit *unit, int number, struct lower_options options, struct diagnostics *d)
{
    struct training *t = NEW(unit->arena, struct training);
    struct node *node = unit->trainings.at[number];
    struct data_split *split;
    struct scope *top = scope_top(NULL, unit, unit->main, true);
    struct field_table fields = {0};
    struct train_block *block;
    struct lowered *lowered;
    bool done;

    unit->diagnostics = d;
    block = read_train_block(unit, node);
    if (!block || !read_settings(unit, block, t, options))
        return NULL;
    split = training_split(top, block);
    if (block->data && !split)
        return NULL;
    if (split)
        data_fields(top, split, &fields);
    lowered = NEW_ARRAY(unit->arena, struct lowered, block->phases.count + 1);
    done = lower_phases(unit, block, split, &fields, t, d, lowered);
    if (block->report || block->patience)
        t->report = lower_report(unit, block, &fields, lowered->averages ? lowered->averages : map_new(unit->arena),
                                 done ? lowered->w : NULL, options, t->batch, t->precision, d);
    else if (done)
        check_evaluation(unit, block->model, options, d);
    /* An error that was reported before is not counted again: whatever is wrong, nothing is handed out. */
    if (!done || diagnostics_errors(d))
        return NULL;
    if (block->report && !evaluation_split(unit, block, false))
        warn_without_split(top, block);
    t->model = block->model->name;
    t->data = block->data ? block->data->name : NULL;
    t->span = node->span;
    t->batch_span = block->batch ? block->batch->span : node->name_span;
    for (int i = 0; i < block->phases.count || i < 1; i++)
        list_add(unit->arena, t->phases,
                 programs_of(unit, block->phases.count ? block->phases.at[i] : block, split, &fields, t, options.watch,
                             &lowered[i]));
    t->step = t->phases.at[0].step;
    t->initial = t->phases.at[0].initial;
    t->objective = t->phases.at[0].objective;
    t->probe = t->phases.at[0].probe;
    t->split = t->phases.at[0].split;
    list_lets(unit, t);
    return diagnostics_errors(d) ? NULL : t;
}
