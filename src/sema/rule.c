/* rule.c: selectors, and rules: what is done to each parameter after the backward pass. A rule runs line by line for
   all parameters of its group at once, so that `all e` sees every parameter at the same line. */
#include <string.h>

#include "internal.h"

bool glob_matches(const char *glob, const char *name)
{
    for (; *glob; glob++, name++) {
        if (*glob == '*') {
            for (;; name++) {
                if (glob_matches(glob + 1, name))
                    return true;
                if (!*name)
                    return false;
            }
        }
        if (*glob != *name)
            return false;
    }
    return !*name;
}

static bool below(const char *path, const char *name)
{
    size_t length = strlen(path);

    return !strncmp(path, name, length) && (name[length] == '.' || name[length] == '[' || !name[length]);
}

static bool nothing_selected(struct scope *scope, struct node *selector, const char *glob)
{
    struct workspace *w = scope->workspace;
    name_list names = {0};

    /* What should have made the parameters was wrong itself, and said so. */
    if (!w->parameters.count && diagnostics_errors(scope->unit->diagnostics))
        return false;
    fail(scope, "E0901", selector->span, "%s matches nothing", text_of(scope, selector));
    for (int i = 0; i < w->parameters.count; i++)
        list_add(w->arena, names, w->parameters.at[i]->path);
    list_add(w->arena, names, "weights");
    list_add(w->arena, names, "biases");
    list_add(w->arena, names, "params");
    suggest(scope->unit->diagnostics, glob, &names);
    if (w->parameters.count) {
        const char *list = "";

        for (int i = 0; i < w->parameters.count && i < 8; i++)
            list = arena_printf(w->arena, "%s%s%s", list, i ? ", " : "", w->parameters.at[i]->path);
        help(scope, "there are %s%s", list, w->parameters.count > 8 ? ", ..." : "");
    }
    return false;
}

const struct value *parameters_within(struct scope *scope, const struct value *instance)
{
    struct workspace *w = scope->workspace;
    parameter_list list = {0};

    if (instance->kind != VALUE_LAYER || !instance->layer->path)
        return NULL;
    for (int i = 0; i < w->parameters.count; i++)
        if (w->parameters.at[i]->trainable && below(instance->layer->path, w->parameters.at[i]->path))
            list_add(w->arena, list, w->parameters.at[i]);
    return list.count ? parameter_set(scope, &list) : NULL;
}

bool select_parameters(struct scope *scope, struct node *selector, parameter_list *out)
{
    struct workspace *w = scope->workspace;
    const char *full;

    while (selector->kind == NODE_GROUPED)
        selector = selector->a;
    if (selector->kind == NODE_CALL && !strcmp(selector->a->name, "params")) {
        const char *first = "";
        bool *chosen = NEW_ARRAY(w->arena, bool, w->parameters.count + 1);

        for (int k = 0; k < selector->list.count; k++) {
            struct node *glob = selector->list.at[k]->a;
            bool found = false;

            if (glob->kind != NODE_STRING) {
                fail(scope, "E0206", glob->span, "params wants strings, as in params(\"*.W\")");
                return false;
            }
            if (!k)
                first = glob->text;
            for (int i = 0; i < w->parameters.count; i++)
                if (w->parameters.at[i]->trainable && glob_matches(glob->text, w->parameters.at[i]->path))
                    chosen[i] = found = true;
            if (!found)
                return nothing_selected(scope, glob, glob->text);
        }
        for (int i = 0; i < w->parameters.count; i++)
            if (chosen[i])
                list_add(w->arena, *out, w->parameters.at[i]);
        return out->count ? true : nothing_selected(scope, selector, first);
    }
    if (selector->kind != NODE_PATH) {
        fail(scope, "E0901", selector->span, "%s selects no parameters", text_of(scope, selector));
        help(scope, "weights, biases, params, params(\"*.W\"), or the name of a model, an instance or a parameter");
        return false;
    }
    if (!strcmp(selector->name, "weights") || !strcmp(selector->name, "biases") || !strcmp(selector->name, "params")) {
        for (int i = 0; i < w->parameters.count; i++) {
            struct parameter *parameter = w->parameters.at[i];

            if (!parameter->trainable || (selector->name[0] == 'w' && !parameter->weight) ||
                (selector->name[0] == 'b' && parameter->weight))
                continue;
            list_add(w->arena, *out, parameter);
        }
        return out->count ? true : nothing_selected(scope, selector, selector->name);
    }
    {
        const char *dot = strchr(selector->name, '.');
        const char *first =
            dot ? arena_slice(w->arena, selector->name, (size_t)(dot - selector->name)) : selector->name;
        struct binding *binding = scope_find(scope, first);
        const char *base = first;

        if (binding && binding->kind == BIND_VALUE && binding->value->kind == VALUE_LAYER &&
            binding->value->layer->path)
            base = binding->value->layer->path;
        else if (binding)
            base = arena_printf(w->arena, "%s.%s", scope->path, first);
        full = arena_printf(w->arena, "%s%s", base, dot ? dot : "");
    }
    for (int i = 0; i < w->parameters.count; i++)
        if (w->parameters.at[i]->trainable && below(full, w->parameters.at[i]->path))
            list_add(w->arena, *out, w->parameters.at[i]);
    return out->count ? true : nothing_selected(scope, selector, full);
}

const struct value *parameter_set(struct scope *scope, const parameter_list *list)
{
    struct value *set = value_new(scope, VALUE_SET);

    for (int i = 0; i < list->count; i++) {
        struct parameter *parameter = list->at[i];
        list_add(scope->unit->arena, set->items,
                 parameter->current ? parameter->current : value_of_tensor(scope, parameter->leaf, 0));
    }
    return set;
}

/* ---- running a rule ---- */

struct assignment {
    struct binding *binding;
    const struct value *value;
    bool assigned;
};

static struct assignment what_stands(struct binding *binding)
{
    struct assignment a = {binding, binding->value, false};

    if (binding->kind == BIND_STATE) {
        a.value = binding->state->current;
        a.assigned = binding->state->assigned;
    }
    return a;
}

static void put_back(struct assignment a)
{
    if (a.binding->kind == BIND_STATE) {
        a.binding->state->current = a.value;
        a.binding->state->assigned = a.assigned;
    } else {
        a.binding->value = a.value;
    }
}

/* Every peer computes from what stood before the line; then all are assigned. */
static void assign_in_step(struct rule_run *run, struct node *definition)
{
    struct arena *arena = run->peers[0]->unit->arena;
    struct assignment *after = NEW_ARRAY(arena, struct assignment, run->count);
    bool unknown = false;

    for (int i = 0; i < run->count; i++) {
        struct binding *binding = scope_find(run->peers[i], definition->list.at[0]->name);
        struct assignment before;

        if (!binding) { /* an error, for each of them */
            run_definition(run->peers[i], definition);
            unknown = true;
            continue;
        }
        before = what_stands(binding);
        run_definition(run->peers[i], definition);
        after[i] = what_stands(binding);
        put_back(before);
    }
    for (int i = 0; i < run->count && !unknown; i++)
        put_back(after[i]);
}

/* Is the extent that is written the same for every parameter, of an axis that none of them has yet? */
static bool is_new_to_all(const struct rule_run *run, struct node *axis)
{
    int64_t first = 0, extent;

    for (int i = 0; i < run->count; i++) {
        if (scope_find(run->peers[i], axis->name) || !evaluate_whole(run->peers[i], axis->a, &extent, "an extent"))
            return false;
        first = i ? first : extent;
        if (extent != first)
            return false;
    }
    return true;
}

/* Axes that a definition writes with one extent for every parameter are the same for all, as those of the outputs are: what stands
   for each parameter in objective(e) may run over them. */
static void share_written_axes(struct rule_run *run, const struct node *definition)
{
    const struct node *target = definition->list.at[0];

    for (int i = 0; i < target->list.count; i++) {
        struct node *axis = target->list.at[i];

        if (axis->kind != NODE_AXIS || !strcmp(axis->name, "batch") || !is_new_to_all(run, axis) ||
            !declare_axes(run->peers[0], &axis, 1, false))
            continue;
        for (int k = 1; k < run->count; k++) {
            struct binding *binding = scope_bind(run->peers[k], axis->name, axis->span);

            binding->kind = BIND_AXIS;
            binding->axes = scope_find(run->peers[0], axis->name)->axes;
        }
    }
}

static void run_lines(struct rule_run *run, struct node *block)
{
    for (int k = 0; k < block->list.count; k++) {
        struct node *statement = block->list.at[k];

        if (statement->kind == NODE_WHEN) {
            const struct value *condition = evaluate(run->peers[0], statement->a);

            if (condition->kind != VALUE_NUMBER) {
                if (!is_poison(condition)) {
                    fail(run->peers[0], "E0701", statement->a->span,
                         "`if` as a statement wants what is known before the run; %s is not",
                         text_of(run->peers[0], statement->a));
                    help(run->peers[0], "if %s then a else b", text_of(run->peers[0], statement->a));
                }
                continue;
            }
            if (condition->number != 0)
                run_lines(run, statement->b);
            else if (statement->c) {
                struct node wrapped = {.kind = NODE_BLOCK, .span = statement->c->span};

                if (statement->c->kind == NODE_BLOCK) {
                    run_lines(run, statement->c);
                } else {
                    list_add(run->peers[0]->unit->arena, wrapped.list, statement->c);
                    run_lines(run, &wrapped);
                }
            }
            continue;
        }
        if (statement->kind != NODE_DEFINE) {
            run_statement(run->peers[0], statement);
            continue;
        }
        for (int j = 0; j < statement->list.count; j++) {
            struct node one = *statement;

            if (!statement->text && statement->list.at[j]->op == 'u') {
                assign_in_step(run, statement->list.at[j]);
                continue;
            }
            one.list.at = &statement->list.at[j];
            one.list.count = one.list.capacity = 1;
            if (!statement->text)
                share_written_axes(run, statement->list.at[j]);
            for (int i = 0; i < run->count; i++)
                run_statement(run->peers[i], &one);
        }
    }
}

static struct definition *rule_named(struct scope *scope, struct node *path, const char *slot)
{
    struct definition *rule = find_definition(scope->unit, scope->file, path->name, path->span);
    name_list all = {0}, rules = {0};

    if (rule && rule->node->kind == NODE_RULE)
        return rule;
    if (rule) {
        fail(scope, "E0801", path->span, "%s = %s: %s is no rule", slot, path->name, path->name);
        note(scope, rule->node->name_span, "%s is defined here", path->name);
        return NULL;
    }
    fail(scope, "E0201", path->span, "there is no rule `%s`", path->name);
    visible_names(scope->unit, scope->file, &all);
    for (int i = 0; i < all.count; i++) {
        struct definition *other = find_definition(scope->unit, scope->file, all.at[i], path->span);
        if (other && other->node->kind == NODE_RULE)
            list_add(scope->unit->arena, rules, all.at[i]);
    }
    suggest(scope->unit->diagnostics, path->name, &rules);
    suggest_library(scope->unit, path->name);
    return NULL;
}

/* What the call gives for a setting, named or by its place. */
static const struct node *given_for(const struct definition *rule, const struct node *call, const char *name)
{
    int place = 0;

    for (int i = 0; call->kind == NODE_CALL && i < call->list.count; i++) {
        const struct node *argument = call->list.at[i];

        if (argument->name && !strcmp(argument->name, name))
            return argument->a;
        if (argument->name)
            continue;
        if (place < rule->node->more.count && !strcmp(rule->node->more.at[place]->name, name))
            return argument->a;
        place++;
    }
    return NULL;
}

/* By their names: a limit bounds a size, and steps of a rate below 0 go uphill. */
static bool settings_make_sense(struct scope *scope, const char *slot, const struct definition *rule,
                                const struct node *call, struct map *settings)
{
    const struct value *limit = map_get(settings, "limit"), *rate = map_get(settings, "rate");
    const struct node *at;

    if (limit && is_number(limit) && !(limit->number > 0) && (at = given_for(rule, call, "limit"))) {
        fail(scope, "E0314", at->span, "%s: limit is %g; a limit is above 0", rule->name, limit->number);
        if (limit->number < 0)
            help(scope, "one below 0 would turn what it bounds round");
        else
            help(scope, "nothing would be left of what it bounds");
        return false;
    }
    if (!strcmp(slot, "optimizer") && rate && is_number(rate) && rate->number < 0 && (at = given_for(rule, call, "rate")))
        warn(scope, "W0005", at->span, "%s: rate is %g, below 0: the steps go uphill, and the loss grows", rule->name,
             rate->number);
    return true;
}

/* What an optimizer is given as its rate, for the log: one number for all parameters. */
static void note_rate(struct scope *scope, const struct definition *rule, struct map *settings, struct span at)
{
    struct workspace *w = scope->workspace;
    const struct value *rate = map_get(settings, "rate");
    struct scope *top = scope_top(w, scope->unit, scope->file, true);
    ir_index_list free = {0};
    struct probe_use use = {rule->name, NULL};

    if (!rate || (rate->kind != VALUE_NUMBER && rate->kind != VALUE_TENSOR))
        return;
    free_indices(scope, rate, &free);
    if (free.count || rate->own.count)
        return;
    use.tensor = tensor_of(top, rate, "logged_rate", at);
    list_add(w->arena, w->rates, use);
}

static bool fits(struct scope *scope, struct definition *rule, const parameter_list *group, const char *slot,
                 struct node *call)
{
    int fixed = 0;
    bool dots = false;

    for (int i = 0; i < rule->node->list.at[0]->list.count; i++) {
        if (rule->node->list.at[0]->list.at[i]->kind == NODE_DOTS)
            dots = true;
        else
            fixed++;
    }
    for (int i = 0; i < group->count; i++) {
        int rank = group->at[i]->leaf->rank;

        if (rank == fixed || (dots && rank > fixed))
            continue;
        fail(scope, "E0801", call->span, "%s wants %s%d ax%s; %s has %d", rule->name, dots ? "at least " : "", fixed,
             fixed == 1 ? "is" : "es", group->at[i]->path, rank);
        note(scope, group->at[i]->span, "%s is declared here", group->at[i]->path);
        help(scope, "%s = %s on weights", slot, text_of(scope, call));
        return false;
    }
    return true;
}

/* PARAM.RULE, in a phase PARAM.PHASE.RULE; a rule that runs for a parameter again, in another slot, has states of its own. */
static const char *rule_path(struct workspace *w, const struct parameter *parameter, const struct definition *rule)
{
    const char *path = arena_printf(w->arena, "%s%s%s.%s", parameter->path, w->phase ? "." : "", w->phase ? w->phase : "",
                                    rule->name);
    int *uses = map_get(w->applications, path);

    if (!uses) {
        uses = NEW(w->arena, int);
        map_put(w->applications, path, uses);
    }
    return ++*uses == 1 ? path : arena_printf(w->arena, "%s_%d", path, *uses);
}

/* Axes that the outputs declare are the same for every parameter. */
static void share_axes(struct scope *first, struct scope *peer, const struct node *outputs)
{
    for (int i = 0; outputs && i < outputs->list.count; i++)
        for (int k = 0; k < outputs->list.at[i]->list.count; k++) {
            const struct node *axis = outputs->list.at[i]->list.at[k];

            if (axis->kind == NODE_AXIS)
                scope_find(peer, axis->name)->axes = scope_find(first, axis->name)->axes;
        }
}

static bool assigns(const struct node *node, const char *name)
{
    if (!node)
        return false;
    if (node->kind == NODE_DEFINITION && node->op == 'u' && !strcmp(node->list.at[0]->name, name))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (assigns(node->list.at[i], name))
            return true;
    return (node->kind == NODE_WHEN || node->kind == NODE_OVER || node->kind == NODE_BLOCK) &&
           (assigns(node->b, name) || assigns(node->c, name));
}

/* A rule that leaves alone what its slot is there for was meant otherwise. */
static bool does_something(struct scope *scope, const char *slot, struct node *call, const struct definition *rule)
{
    bool weight = !strcmp(slot, "optimizer") || !strcmp(slot, "project");
    const char *name = rule->node->list.at[weight ? 0 : 1]->name;

    if ((!weight && strcmp(slot, "gradient") && strcmp(slot, "clip")) || assigns(rule->node->a, name))
        return true;
    fail(scope, "E0801", call->span, "%s = %s: the rule assigns no %s", slot, rule->name, name);
    note(scope, rule->node->name_span, "%s is defined here", rule->name);
    help(scope, "%s <- ...", name);
    return false;
}

void run_rule(struct scope *scope, const char *slot, struct node *call, const parameter_list *group,
              struct map *averages)
{
    struct arena *arena = scope->unit->arena;
    struct node *path = call->kind == NODE_CALL ? call->a : call;
    struct definition *rule;
    struct map *settings;
    struct rule_run run = {0};
    struct node *outputs;
    struct call *in = NEW(arena, struct call);

    if (path->kind != NODE_PATH || (call->kind == NODE_CALL && call->flag)) {
        fail(scope, "E0801", call->span, "a rule is wanted in the slot %s", slot);
        help(scope, "by its name with its settings: %s = %s", slot,
             !strcmp(slot, "clip") ? "clip_norm(1.0)" : !strcmp(slot, "optimizer") ? "adam(rate = 1e-3)" : "RULE(...)");
        return;
    }
    rule = rule_named(scope, path, slot);
    if (!rule)
        return;
    if (rule->node->list.count != 2) {
        fail(scope, "E0801", rule->node->span, "a rule has two inputs, the parameter and its gradient");
        return;
    }
    if (!does_something(scope, slot, call, rule))
        return;
    settings =
        evaluate_settings(scope, rule, call->list.at, call->kind == NODE_CALL ? call->list.count : 0, 0, NULL, NULL);
    if (!settings || !settings_make_sense(scope, slot, rule, call, settings) || !fits(scope, rule, group, slot, call))
        return;
    in->name = rule->name;
    in->span = call->span;
    run.count = group->count;
    run.peers = NEW_ARRAY(arena, struct scope *, group->count + 1);
    run.weight = rule->node->list.at[0]->name;
    run.gradient = rule->node->list.at[1]->name;
    for (int i = 0; i < group->count; i++) {
        struct parameter *parameter = group->at[i];
        struct scope *peer = scope_body(scope, rule->file, rule_path(scope->workspace, parameter, rule));
        value_list inputs = {0};

        peer->context = (ir_index_list){0};
        peer->training = true;
        peer->in_training_block = false;
        peer->rule = &run;
        peer->peer = parameter;
        peer->calls = in;
        peer->caller = origin_of(scope, call->span);
        run.peers[i] = peer;
        list_add(arena, inputs, parameter->current);
        list_add(arena, inputs, parameter->gradient);
        if (!bind_header(peer, rule, &inputs, settings, call->span))
            return;
        share_axes(run.peers[0], peer, rule->node->b);
    }
    if (!run.count)
        return;
    if (!strcmp(slot, "optimizer"))
        note_rate(scope, rule, settings, call->span);
    run_lines(&run, rule->node->a);
    outputs = rule->node->b;
    if (!strcmp(slot, "probe")) {
        note_probes(scope, rule, &run, group);
        return;
    }
    for (int i = 0; i < group->count; i++) {
        struct parameter *parameter = group->at[i];
        struct binding *w = scope_find(run.peers[i], run.weight), *g = scope_find(run.peers[i], run.gradient), *a;

        parameter->current = w->value;
        parameter->gradient = g->value;
        if (strcmp(slot, "average"))
            continue;
        a = outputs ? scope_find(run.peers[i], outputs->list.at[0]->name) : NULL;
        if (!a) {
            fail(scope, "E0801", call->span, "%s gives nothing that could stand for the parameter", rule->name);
            return;
        }
        if (a->kind != BIND_STATE) {
            fail(scope, "E0801", outputs->span, "what an average gives is kept: a state of %s, not a value", rule->name);
            help(scope, "state %s[...] = 0, and %s <- ...", outputs->list.at[0]->name, outputs->list.at[0]->name);
            return;
        }
        map_put(averages, parameter->path, (void *)a->state->path);
    }
}
