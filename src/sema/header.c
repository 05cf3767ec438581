/* header.c: inputs, settings and outputs as a header declares them, and what a call gives for them. */
#include <math.h>
#include <string.h>

#include "internal.h"

/* A raw field whose shape nothing has settled takes that of the pattern, if its axes are known here. */
static bool settle_from_pattern(struct scope *inner, struct node *input, struct field_use *field)
{
    int64_t shape[8];
    int rank = 0;

    for (int i = 0; i < input->list.count; i++) {
        struct node *s = input->list.at[i];
        struct binding *axis = s->kind == NODE_PATH ? scope_find(inner, s->name) : NULL;
        int64_t extent;

        if (rank == 8)
            return false;
        if (s->kind == NODE_DOTS) {
            for (int k = 0; inner->has_dots && k < inner->dots.count && rank < 8; k++)
                shape[rank++] = inner->dots.at[k]->extent;
        } else if (s->kind == NODE_AXIS && evaluate_whole(inner, s->a, &extent, "an extent")) {
            shape[rank++] = extent;
        } else if (axis && axis->kind == BIND_AXIS) {
            shape[rank++] = axis->axes.at[0]->extent;
        } else {
            return false;
        }
    }
    return rank > 0 && settle_shape(inner->workspace, field, rank, shape);
}

/* What the call says for this input; NULL: it comes through a pipe. */
static const struct node *argument_of(const struct scope *inner, const struct definition *definition,
                                      const struct node *input)
{
    const struct call *call = inner->calls;
    int left = 0;

    if (!call || !call->node || strcmp(call->name, definition->name))
        return NULL;
    left = -call->piped;
    for (int i = 0; i < definition->node->list.count && definition->node->list.at[i] != input; i++)
        left++;
    for (int i = 0; left >= 0 && i < call->node->list.count; i++)
        if (!call->node->list.at[i]->name && left-- == 0)
            return call->node->list.at[i]->a;
    return NULL;
}

/* Help, if the arguments are called like the inputs and stand in another order. */
static void help_order(struct scope *inner, const struct definition *definition)
{
    const char *text = definition->name;
    int count = definition->node->list.count, moved = 0;

    for (int i = 0; i < count; i++) {
        bool found = false;

        for (int k = 0; k < count; k++) {
            const struct node *argument = argument_of(inner, definition, definition->node->list.at[k]);

            if (!argument || strcmp(text_of(inner, argument), definition->node->list.at[i]->name))
                continue;
            found = true;
            moved += i != k;
        }
        if (!found)
            return;
        text = arena_printf(inner->unit->arena, "%s%s%s", text, i ? ", " : "(", definition->node->list.at[i]->name);
    }
    if (moved)
        help(inner, "the inputs have an order: %s)", text);
}

static bool bind_pattern(struct scope *inner, struct definition *definition, struct node *input, const struct value *v,
                         struct span at)
{
    int fixed = 0, more, axis = 0;
    bool dots = false;
    ir_index_list own = v->own;

    for (int i = 0; i < input->list.count; i++) {
        if (input->list.at[i]->kind == NODE_DOTS)
            dots = true;
        else
            fixed++;
    }
    if (v->kind == VALUE_SET) {
        int64_t extent = 0;

        for (int i = 0; i < v->items.count; i++)
            extent +=
                v->items.at[i]->own.count ? ir_extent_product(v->items.at[i]->own.at, v->items.at[i]->own.count) : 1;
        own = (ir_index_list){0};
        list_add(inner->unit->arena, own, new_index(inner, "all", extent));
    }
    if (v->kind == VALUE_TENSOR && v->field && !v->field->shaped && settle_from_pattern(inner, input, v->field))
        return false;
    if (v->kind == VALUE_TENSOR && v->unshaped &&
        (settle_from_pattern(inner, input, v->unshaped) || inner->workspace->fields->changed))
        return false;
    more = own.count - fixed;
    if (more < 0 || (more > 0 && !dots)) {
        const struct node *argument = argument_of(inner, definition, input);

        fail(inner, "E0307", argument ? argument->span : at, "%s wants %s%s, and %s has %s%s", definition->name,
             text_of(inner, input), argument ? " here" : "", argument ? text_of(inner, argument) : "the value",
             own.count ? "axes " : "no axes", own.count ? shape_text(inner, &own) : "");
        if (at.begin != input->span.begin || at.source != input->span.source)
            note(inner, input->span, "%s is declared here", input->name);
        else if (v->kind == VALUE_TENSOR && v->field)
            note(inner, v->field->node->span, "%s is read here", input->name);
        help_order(inner, definition);
        return false;
    }
    for (int i = 0; i < input->list.count; i++) {
        struct node *s = input->list.at[i];
        struct binding *binding;

        if (s->kind == NODE_DOTS) {
            ir_index_list got = {0};

            for (int k = 0; k < more; k++, axis++)
                list_add(inner->unit->arena, got,
                         v->kind == VALUE_SET ? own.at[axis]
                                              : new_index(inner, own.at[axis]->name, own.at[axis]->extent));
            if (!inner->has_dots) {
                inner->has_dots = true;
                inner->dots = got;
                continue;
            }
            for (int k = 0; k < got.count || k < inner->dots.count; k++) {
                if (k < got.count && k < inner->dots.count && got.at[k]->extent == inner->dots.at[k]->extent)
                    continue;
                fail(inner, "E0301", at, "%s: `...` is %s for the first input and %s for %s", definition->name,
                     shape_text(inner, &inner->dots), shape_text(inner, &got), input->name);
                return false;
            }
            continue;
        }
        if (s->kind == NODE_AXIS && !declare_axes(inner, &s, 1, false))
            return false;
        if (!s->name) {
            fail(inner, "E0309", s->span, "the name of an axis is wanted in a header");
            return false;
        }
        binding = scope_find(inner, s->name);
        if (!binding) {
            binding = scope_bind(inner, s->name, s->span);
            binding->kind = BIND_AXIS;
            list_add(inner->unit->arena, binding->axes,
                     v->kind == VALUE_SET ? own.at[axis] : new_index(inner, s->name, own.at[axis]->extent));
        } else if (binding->kind != BIND_AXIS || binding->axes.at[0]->extent != own.at[axis]->extent) {
            fail(inner, "E0301", at, "%s: %s is %lld, and %s has %lld there", definition->name, s->name,
                 (long long)(binding->kind == BIND_AXIS ? binding->axes.at[0]->extent : 0), input->name,
                 (long long)own.at[axis]->extent);
            note(inner, binding->span, "%s gets its extent here", s->name);
            if (v->kind == VALUE_TENSOR && v->field)
                note(inner, v->field->node->span, "%s is read here", input->name);
            return false;
        }
        axis++;
    }
    return true;
}

/* The number that `in` bounds: an axis' extent or a whole number. */
bool bound_of(struct scope *scope, struct node *bound, int64_t *out)
{
    struct binding *binding =
        bound->kind == NODE_PATH || bound->kind == NODE_NAME ? scope_find(scope, bound->name) : NULL;

    if (binding && binding->kind == BIND_AXIS && binding->axes.count == 1) {
        *out = binding->axes.at[0]->extent;
        return true;
    }
    return evaluate_whole(scope, bound, out, "a bound");
}

static bool check_bound(struct scope *inner, struct definition *definition, struct node *input, const struct value *v,
                        struct span at)
{
    int64_t bound, low, high;
    bool whole;

    if (!bound_of(inner, input->a, &bound))
        return false;
    if (v->kind == VALUE_TENSOR && v->field) {
        const char *name =
            input->a->kind == NODE_PATH ? input->a->name : arena_printf(inner->unit->arena, "%lld", (long long)bound);

        if (settle_whole(inner->workspace, v->field, bound - 1, name))
            return false;
        /* An earlier use has settled it; its leaf is that of this round and still real. */
        if (inner->workspace->fields->changed && v->kind == VALUE_TENSOR && !v->expr->whole)
            return false;
    }
    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR)
        return true;
    whole = v->kind == VALUE_NUMBER ? v->whole : v->expr->whole;
    low = v->kind == VALUE_NUMBER ? (int64_t)v->number : v->expr->low;
    high = v->kind == VALUE_NUMBER ? (int64_t)v->number : v->expr->high;
    if (whole && low >= 0 && high < bound)
        return true;
    if (!whole)
        fail(inner, "E0306", at, "%s: %s is a whole number in 0..%lld, and the value is real", definition->name,
             input->name, (long long)bound - 1);
    else
        fail(inner, "E0314", at, "%s: %s may be %lld, outside 0..%lld", definition->name, input->name,
             (long long)(low < 0 ? low : high), (long long)bound - 1);
    note(inner, input->span, "%s is declared here", input->name);
    return false;
}

static bool bind_setting(struct scope *inner, struct definition *definition, struct node *setting,
                         const struct value *v, struct span at)
{
    const char *type = setting->text;

    if (!v && setting->a)
        v = evaluate(inner, setting->a);
    if (!v) {
        fail(inner, "E0207", at, "%s wants the setting `%s`", definition->name, setting->name);
        note(inner, setting->span, "it is declared here");
        return false;
    }
    if (is_poison(v))
        return false;
    if (!type) {
        if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR) {
            fail(inner, "E0206", at, "%s: %s is a number", definition->name, setting->name);
            return false;
        }
    } else if (!strcmp(type, "int")) {
        if (v->kind != VALUE_NUMBER || !v->whole) {
            fail(inner, "E0701", at, "%s: %s is a whole number known before the run", definition->name, setting->name);
            return false;
        }
        v = value_number(inner, v->number, true);
    } else if (!strcmp(type, "layer") || !strcmp(type, "fn")) {
        bool fits = type[0] == 'l' ? v->kind == VALUE_LAYER : v->kind == VALUE_FUNCTION || v->kind == VALUE_OPERATOR;

        if (!fits) {
            fail(inner, "E0206", at, "%s: %s is a %s", definition->name, setting->name,
                 type[0] == 'l' ? "layer" : "function");
            return false;
        }
    } else {
        fail(inner, "E0201", setting->span, "there is no kind `%s` of settings; there are int, layer and fn", type);
        return false;
    }
    scope_define(inner, setting->name, setting->span, v);
    return true;
}

bool bind_header(struct scope *inner, struct definition *definition, const value_list *inputs, struct map *settings,
                 struct span at)
{
    struct node *node = definition->node;
    bool fine = true;

    for (int i = 0; i < node->list.count; i++) {
        struct node *input = node->list.at[i];

        if (!bind_pattern(inner, definition, input, inputs->at[i], !inner->calls && node->kind == NODE_MODEL ? input->span : at))
            return false;
        scope_define(inner, input->name, input->name_span, inputs->at[i]);
    }
    for (int i = 0; i < node->more.count; i++) {
        struct node *setting = node->more.at[i];

        fine = bind_setting(inner, definition, setting, settings ? map_get(settings, setting->name) : NULL, at) && fine;
    }
    if (!fine)
        return false;
    for (int i = 0; node->b && i < node->b->list.count; i++)
        if (!declare_axes(inner, node->b->list.at[i]->list.at, node->b->list.at[i]->list.count, false))
            return false;
    for (int i = 0; i < node->list.count; i++)
        if (node->list.at[i]->a) {
            const struct node *argument = argument_of(inner, definition, node->list.at[i]);

            fine = check_bound(inner, definition, node->list.at[i], inputs->at[i], argument ? argument->span : at) && fine;
        }
    return fine;
}

const char *header_text(struct scope *scope, struct definition *definition)
{
    const char *text = arena_printf(scope->unit->arena, "%s(", definition->name);

    for (int i = 0; i < definition->node->list.count; i++)
        text = arena_printf(scope->unit->arena, "%s%s%s", text, i ? ", " : "", definition->node->list.at[i]->name);
    for (int i = 0; i < definition->node->more.count; i++)
        text = arena_printf(scope->unit->arena, "%s%s%s", text, i ? ", " : "; ", definition->node->more.at[i]->name);
    return arena_printf(scope->unit->arena, "%s)", text);
}

/* Whole numbers are asked for where they are given, so that the argument is what the message shows. */
static bool is_of_type(struct scope *scope, struct definition *definition, const char *name, const struct value *v,
                       struct node *argument)
{
    const struct node *setting = NULL;

    for (int i = 0; i < definition->node->more.count; i++)
        if (!strcmp(definition->node->more.at[i]->name, name))
            setting = definition->node->more.at[i];
    if (!setting || !setting->text || strcmp(setting->text, "int") || (v->kind == VALUE_NUMBER && v->whole))
        return true;
    if (v->kind != VALUE_NUMBER) {
        fail(scope, "E0701", argument->span, "%s: %s is a whole number known before the run; %s is not",
             definition->name, name, text_of(scope, argument));
    } else {
        fail(scope, "E0305", argument->span, "%s: %s is a whole number, not %s%.15g", definition->name, name,
             v->number == floor(v->number) ? "the real number " : "", v->number);
        if (argument->kind == NODE_BINARY && argument->op == '/')
            help(scope, "`//` divides whole numbers");
    }
    note(scope, setting->span, "it is declared here");
    return false;
}

struct map *evaluate_settings(struct scope *scope, struct definition *definition, struct node *const *arguments,
                              int count, int inputs, bool *training, value_list *values)
{
    struct map *settings = map_new(scope->unit->arena);
    struct node *node = definition->node;
    bool fine = true;

    for (int i = 0; i < count; i++) {
        struct node *argument = arguments[i];
        const char *name = argument->name;
        name_list names = {0};
        const struct value *v;
        bool known = false;

        if (name && training && !strcmp(name, "training")) {
            v = evaluate(scope, argument->a);
            if (is_poison(v))
                return NULL;
            if (v->kind != VALUE_NUMBER) {
                fail(scope, "E0701", argument->span, "training is known before the run: true or false");
                return NULL;
            }
            *training = v->number != 0;
            continue;
        }
        if (!name && values && values->count < inputs) {
            v = evaluate(scope, argument->a);
            if (is_poison(v))
                fine = false;
            list_add(scope->unit->arena, *values, v);
            continue;
        }
        if (!name) {
            for (int k = 0; k < node->more.count && !name; k++)
                if (!map_get(settings, node->more.at[k]->name))
                    name = node->more.at[k]->name;
            if (!name) {
                fail(scope, "E0207", argument->span, "%s takes %d input%s and %d setting%s", definition->name, inputs,
                     inputs == 1 ? "" : "s", node->more.count, node->more.count == 1 ? "" : "s");
                note(scope, node->name_span, "%s is defined here", definition->name);
                return NULL;
            }
        }
        for (int k = 0; k < node->more.count; k++) {
            if (!strcmp(node->more.at[k]->name, name))
                known = true;
            list_add(scope->unit->arena, names, node->more.at[k]->name);
        }
        if (!known) {
            fail(scope, "E0201", argument->name ? argument->name_span : argument->span, "no setting `%s` in %s", name,
                 header_text(scope, definition));
            suggest(scope->unit->diagnostics, name, &names);
            if (!nearest_name(name, names.at, names.count) && argument->a->kind == NODE_PATH && scope->workspace && !scope_find(scope, argument->a->name)) {
                v = lookup_path(scope, argument->a);
                if (v->kind == VALUE_FUNCTION || v->kind == VALUE_OPERATOR)
                    help(scope, "%s(...) |> %s", definition->name, argument->a->name);
            }
            fine = false;
            continue;
        }
        if (map_get(settings, name)) {
            fail(scope, "E0207", argument->span, "%s gets `%s` twice", definition->name, name);
            fine = false;
            continue;
        }
        v = evaluate(scope, argument->a);
        if (is_poison(v) || !is_of_type(scope, definition, name, v, argument->a))
            fine = false;
        map_put(settings, name, (void *)v);
    }
    return fine ? settings : NULL;
}
