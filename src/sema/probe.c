/* probe.c: what a rule asks of the model at other parameters: gradient(e) and objective(e), with the same batch and the
   same draws; and what rules in the slot `probe` give.

   requires   the backward pass: the objective and each parameter's derivative stand in the workspace
   makes      copies of the forward and backward equations with e in the place of every parameter of the group; free
              indices of e are mapped axes of the copies. States are assigned by none of them. */
#include <string.h>

#include "autodiff.h"
#include "internal.h"

struct scope *peer_scope(struct scope *scope, int i)
{
    struct scope *peer = scope->rule->peers[i], *inner;

    if (scope->body == peer)
        return scope;
    inner = scope_inner(peer);
    inner->target = scope->target;
    for (const struct scope *s = scope; s && s != s->body; s = s->up)
        for (int k = 0; k < s->order.count; k++) {
            const struct binding *binding = map_get(s->names, s->order.at[k]);

            if (binding->kind != BIND_AXIS || map_get(inner->names, binding->name))
                continue;
            scope_bind(inner, binding->name, binding->span)->kind = BIND_AXIS;
            scope_find(inner, binding->name)->axes = binding->axes;
        }
    for (int k = 0; k < scope->reduced.count; k++)
        list_add(scope->unit->arena, inner->reduced, scope->reduced.at[k]);
    return inner;
}

/* ---- the model at other parameters ---- */

/* By parameter of the group: what stands in its place, over the mapped indices and its own axes. NULL: itself. */
struct replacement {
    const struct ir_expr **at;
    ir_index_list mapped, canonical;
};
struct probed {
    struct ir_tensor *objective, **derivatives;
    bool at_objective;  /* the objective has the mapped axes in front */
    bool *at_derivative;
};

static bool fits_parameter(struct scope *scope, const struct value *v, const struct ir_tensor *leaf, struct node *e)
{
    ir_index_list axes = {.at = leaf->axes, .count = leaf->rank};
    bool fits = !v->own.count || v->own.count == leaf->rank;

    for (int i = 0; i < v->own.count && fits; i++)
        fits = v->own.at[i]->extent == leaf->axes[i]->extent;
    if (!fits)
        fail(scope, "E0302", e->span, "%s stands for %s with axes %s, and has %s", text_of(scope, e), leaf->name,
             shape_text(scope, &axes), shape_text(scope, &v->own));
    return fits;
}

static struct ir_index *canonical_index(struct scope *scope, int place, const struct ir_index *index)
{
    struct workspace *w = scope->workspace;
    const char *key = arena_printf(w->arena, "#%d:%lld", place, (long long)index->extent);
    struct ir_index *canonical = map_get(w->probed, key);

    if (!canonical) {
        canonical = new_index(scope, index->name, index->extent);
        map_put(w->probed, key, canonical);
    }
    return canonical;
}

static bool is_itself(const struct ir_expr *e, const struct ir_tensor *leaf)
{
    if (e->kind != IR_READ || e->tensor != leaf)
        return false;
    for (int i = 0; i < leaf->rank; i++)
        if (ir_form_bare(e->subscripts[i]) != leaf->axes[i])
            return false;
    return true;
}

static bool evaluate_replacement(struct scope *scope, struct node *e, struct replacement *r)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    const struct rule_run *run = scope->rule;
    const struct value **values = NEW_ARRAY(w->arena, const struct value *, run->count + 1);
    const struct ir_form **forms;

    r->at = NEW_ARRAY(w->arena, const struct ir_expr *, run->count + 1);
    for (int i = 0; i < run->count; i++) {
        values[i] = evaluate(peer_scope(scope, i), e);
        if (is_poison(values[i]))
            return false;
        if (values[i]->kind != VALUE_NUMBER && values[i]->kind != VALUE_TENSOR)
            return fail(scope, "E0206", e->span, "a value for each parameter is wanted here: %s", text_of(scope, e)), false;
        if (!fits_parameter(scope, values[i], run->peers[i]->peer->leaf, e))
            return false;
        free_indices(scope, values[i], &r->mapped);
    }
    for (int k = 0; k < r->mapped.count; k++) {
        if (r->mapped.at[k]->batch)
            return fail(scope, "E0403", e->span, "%s differs between samples; a parameter is the same for all",
                        text_of(scope, e)),
                   false;
        list_add(w->arena, r->canonical, canonical_index(scope, k, r->mapped.at[k]));
    }
    for (int i = 0; i < run->count; i++) {
        struct ir_tensor *leaf = run->peers[i]->peer->leaf;
        ir_index_list from = {0};
        const struct ir_expr *value;

        forms = NEW_ARRAY(w->arena, const struct ir_form *, r->mapped.count + leaf->rank + 1);
        for (int k = 0; k < r->mapped.count; k++) {
            list_add(w->arena, from, r->mapped.at[k]);
            forms[k] = ir_form_index(p, r->canonical.at[k]);
        }
        for (int k = 0; k < values[i]->own.count; k++) {
            list_add(w->arena, from, values[i]->own.at[k]);
            forms[r->mapped.count + k] = ir_form_index(p, leaf->axes[k]);
        }
        value = ir_substitute(p, value_expr(scope, values[i]), from.at, forms, from.count);
        if (value->kind == IR_CONSTANT && value->whole)
            value = ir_real(p, value->number);
        r->at[i] = is_itself(value, leaf) ? NULL : value;
    }
    return true;
}

/* Copies for one replacement, made once: every parameter's rule asks for the same ones. */
static const struct probed *probe_at(struct scope *scope, const struct replacement *r, struct node *call)
{
    struct workspace *w = scope->workspace;
    const struct rule_run *run = scope->rule;
    struct ir_tensor **from = NEW_ARRAY(w->arena, struct ir_tensor *, run->count + 1);
    struct ir_tensor **to = NEW_ARRAY(w->arena, struct ir_tensor *, run->count + 1);
    struct ir_tensor **wanted = NEW_ARRAY(w->arena, struct ir_tensor *, run->count + 2);
    struct ir_tensor **copies = NEW_ARRAY(w->arena, struct ir_tensor *, run->count + 2);
    const char *key = "", *error;
    struct probed *probed;
    int count = 0;

    for (int k = 0; k < r->canonical.count; k++)
        key = arena_printf(w->arena, "%s:%d", key, r->canonical.at[k]->number);
    for (int i = 0; i < run->count; i++)
        key = arena_printf(w->arena, "%s/%s=%p", key, run->peers[i]->peer->path, (const void *)r->at[i]);
    probed = map_get(w->probed, key);
    if (probed)
        return probed;
    probed = NEW(w->arena, struct probed);
    for (int i = 0; i < run->count; i++) {
        struct parameter *parameter = run->peers[i]->peer;
        struct scope *top = scope_top(w, scope->unit, scope->file, true);
        ir_index_list axes = {0};

        wanted[1 + i] = parameter->derivative;
        if (!r->at[i])
            continue;
        for (int k = 0; k < r->canonical.count; k++)
            list_add(w->arena, axes, r->canonical.at[k]);
        for (int k = 0; k < parameter->leaf->rank; k++)
            list_add(w->arena, axes, parameter->leaf->axes[k]);
        from[count] = parameter->leaf;
        to[count++] = ir_equation(w->program, arena_printf(w->arena, "%s.at", parameter->path), axes.at, axes.count, IR_MAP,
                                  NULL, 0, constants_stored(top, r->at[i], "at", call->span), false,
                                  origin_of(scope, call->span));
    }
    wanted[0] = w->objective;
    for (int i = 0; i <= run->count; i++)
        copies[i] = wanted[i];
    error = count ? recompute(w->program, from, to, count, r->canonical.count, wanted, run->count + 1, copies) : NULL;
    if (error) {
        fail(scope, "E0801", call->span, "%s cannot be made: %s", text_of(scope, call), error);
        return NULL;
    }
    probed->objective = copies[0];
    probed->at_objective = copies[0] != wanted[0];
    probed->derivatives = copies + 1;
    probed->at_derivative = NEW_ARRAY(w->arena, bool, run->count + 1);
    for (int i = 0; i < run->count; i++)
        probed->at_derivative[i] = copies[1 + i] != wanted[1 + i];
    map_put(w->probed, key, probed);
    return probed;
}

/* A copy at the indices that were mapped; its further axes are own ones. */
static const struct value *read_copy(struct scope *scope, struct ir_tensor *copy, const ir_index_list *mapped, bool with)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, copy->rank + 1);
    int first = with ? mapped->count : 0;
    ir_index_list own = {0};

    for (int i = 0; i < copy->rank; i++) {
        if (i < first) {
            forms[i] = ir_form_index(p, mapped->at[i]);
            continue;
        }
        list_add(scope->unit->arena, own, new_index(scope, copy->axes[i]->name, copy->axes[i]->extent));
        forms[i] = ir_form_index(p, own.at[i - first]);
    }
    return value_tensor(scope, ir_read(p, copy, forms, copy->rank, NULL), &own);
}

static const struct value *evaluate_named(struct scope *scope, struct node *call)
{
    bool named = false;

    for (int i = 0; i < call->list.count; i++) {
        struct node *glob = call->list.at[i]->a;

        if (glob->kind != NODE_STRING)
            return fail(scope, "E0206", glob->span, "named wants strings, as in named(\"*.W\")");
        named |= glob_matches(glob->text, scope->peer->path);
    }
    if (!call->list.count)
        return fail(scope, "E0207", call->span, "named wants names of parameters, as in named(\"*.W\")");
    return value_number(scope, named, true);
}

const struct value *evaluate_probe(struct scope *scope, const char *name, struct node *call)
{
    struct replacement r = {0};
    const struct probed *probed;

    if (!scope->rule || !scope->workspace || !scope->workspace->objective)
        return fail(scope, "E0801", call->span, "`%s` belongs in a rule: there %s", name,
                    !strcmp(name, "named") ? "it asks for the parameter's name"
                                           : "it is that of the batch at other parameters");
    if (!strcmp(name, "named"))
        return evaluate_named(scope, call);
    if (call->list.count != 1 || call->list.at[0]->name)
        return fail(scope, "E0207", call->span, "%s takes 1 argument, what stands for each parameter", name);
    if (!evaluate_replacement(scope, call->list.at[0]->a, &r))
        return &poison;
    probed = probe_at(scope, &r, call);
    if (!probed)
        return &poison;
    if (!strcmp(name, "objective"))
        return read_copy(scope, probed->objective, &r.mapped, probed->at_objective);
    for (int i = 0; i < scope->rule->count; i++)
        if (scope->rule->peers[i]->peer == scope->peer)
            return read_copy(scope, probed->derivatives[i], &r.mapped, probed->at_derivative[i]);
    bug("%s is among no peers", scope->peer->path);
}

/* ---- the slot `probe` ---- */

/* Does the value of the node differ between the parameters of the group? `all` and objective(e) see every parameter. */
static bool differs(const struct node *node, const name_list *own)
{
    if (!node || node->kind == NODE_ALL)
        return false;
    if (node->kind == NODE_CALL && node->a->kind == NODE_PATH) {
        if (!strcmp(node->a->name, "objective"))
            return false;
        if (!strcmp(node->a->name, "gradient") || !strcmp(node->a->name, "named"))
            return true;
    }
    if (node->kind == NODE_PATH || node->kind == NODE_NAME)
        for (int i = 0; i < own->count; i++)
            if (!strcmp(own->at[i], node->name))
                return true;
    if (differs(node->a, own) || differs(node->b, own) || differs(node->c, own))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (differs(node->list.at[i], own))
            return true;
    for (int i = 0; i < node->more.count; i++)
        if (differs(node->more.at[i], own))
            return true;
    return false;
}

/* The names of a body that each parameter has its own of. */
static void find_own(struct arena *arena, const struct node *block, name_list *own)
{
    for (int i = 0; block && i < block->list.count; i++) {
        const struct node *statement = block->list.at[i];

        if (statement->kind == NODE_WHEN) {
            find_own(arena, statement->b, own);
            if (statement->c && statement->c->kind == NODE_BLOCK)
                find_own(arena, statement->c, own);
        }
        for (int k = 0; statement->kind == NODE_DEFINE && k < statement->list.count; k++) {
            const struct node *definition = statement->list.at[k];

            if (!statement->text && definition->op != '~' && !differs(definition->a, own))
                continue;
            for (int j = 0; j < definition->list.count; j++)
                list_add(arena, *own, definition->list.at[j]->name);
        }
    }
}

void note_probes(struct scope *scope, struct definition *rule, const struct rule_run *run, const parameter_list *group)
{
    struct workspace *w = scope->workspace;
    name_list own = {0};

    list_add(w->arena, own, run->weight);
    list_add(w->arena, own, run->gradient);
    find_own(w->arena, rule->node->a, &own);
    for (int k = 0; rule->node->b && k < rule->node->b->list.count; k++) {
        struct node *output = rule->node->b->list.at[k];
        bool each = false;

        for (int i = 0; i < own.count; i++)
            each |= !strcmp(own.at[i], output->name);
        for (int i = 0; i < (each ? run->count : 1); i++) {
            struct binding *binding = map_get(run->peers[i]->names, output->name);
            const struct value *v = !binding                      ? NULL
                                    : binding->kind == BIND_STATE ? binding->state->current
                                    : binding->kind == BIND_VALUE ? binding->value
                                                                  : NULL;
            struct probe_use use = {arena_printf(w->arena, "probe.%s.%s", rule->name, output->name), NULL};

            if (v && is_poison(v))
                return;
            if (!v || (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR)) {
                fail(run->peers[i], "E0208", output->span, "%s does not define its output `%s`", rule->name, output->name);
                return;
            }
            if (each)
                use.name = arena_printf(w->arena, "%s.%s", use.name, group->at[i]->path);
            for (int j = 0; j < w->probes.count; j++)
                if (!strcmp(w->probes.at[j].name, use.name)) {
                    fail(scope, "E0202", output->span, "two probes give %s", use.name);
                    return;
                }
            use.tensor = tensor_of(run->peers[i], v, output->name, output->span);
            list_add(w->arena, w->probes, use);
        }
    }
    if (!rule->node->b)
        fail(scope, "E0801", rule->node->name_span, "%s gives nothing that a probe could log", rule->name);
}
