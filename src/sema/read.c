/* read.c: axes: declared, named, fixed by a read; subscripts; reads, else-reads included. */
#include <math.h>
#include <string.h>

#include "internal.h"

/* ---- axes ---- */

bool evaluate_whole(struct scope *scope, struct node *node, int64_t *out, const char *what)
{
    const struct value *v = evaluate(scope, node);

    if (is_poison(v))
        return false;
    if (v->kind != VALUE_NUMBER) {
        fail(scope, "E0701", node->span, "%s must be known before the run; %s is not", what, text_of(scope, node));
        return false;
    }
    if (!v->whole) {
        fail(scope, "E0305", node->span, "%s is %g, no whole number", what, v->number);
        help(scope, "`//` divides whole numbers");
        return false;
    }
    if (fabs(v->number) > WIDEST) {
        fail(scope, "E0305", node->span, "%s is %.0f; the most is %lld", what, v->number, (long long)WIDEST);
        return false;
    }
    *out = (int64_t)v->number;
    return true;
}

/* A form over axes no longer than this stays within 64 bits, and so does a tensor's size in bytes. */
bool extent_fits(struct scope *scope, const char *name, int64_t extent, struct span at)
{
    if (extent <= WIDEST)
        return true;
    fail(scope, "E0305", at, "extent of %s is %lld; the most is %lld", name, (long long)extent, (long long)WIDEST);
    return false;
}

bool elements_fit(struct scope *scope, const char *name, const ir_index_list *axes, struct span at)
{
    if (ir_extent_product(axes->at, axes->count) <= MOST_ELEMENTS)
        return true;
    fail(scope, "E0305", at, "%s has axes %s; a tensor has at most 2^40 elements", name, shape_text(scope, axes));
    return false;
}

static bool declare_axis(struct scope *scope, struct node *node, bool local)
{
    struct scope *into = local ? scope : scope->body;
    struct binding *binding = local ? map_get(scope->names, node->name) : scope_find(scope, node->name);
    int64_t extent;

    if (!evaluate_whole(scope, node->a, &extent, arena_printf(scope->unit->arena, "extent of %s", node->name)))
        return false;
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
        if (binding->axes.count == 1 && binding->axes.at[0]->extent == extent)
            return true;
        fail(scope, "E0301", node->span, "%s is %lld here and %lld elsewhere in this body", node->name,
             (long long)extent, (long long)(binding->axes.count == 1 ? binding->axes.at[0]->extent : 0));
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

        if (s->kind == NODE_AXIS && strcmp(s->name, "batch"))
            fine = declare_axis(scope, s, local) && fine;
        else if (s->kind == NODE_COMPOSITE)
            fine = declare_axes(scope, s->list.at, s->list.count, local) && fine;
    }
    return fine;
}

/* The name of a subscript that is just a name. */
const char *bare_name(const struct node *s)
{
    if (s->kind == NODE_PATH && !strchr(s->name, '.'))
        return s->name;
    if (s->kind == NODE_NAME)
        return s->name;
    return NULL;
}

bool axes_named(struct scope *scope, struct node *const *subscripts, int count, ir_index_list *out)
{
    for (int i = 0; i < count; i++) {
        struct node *s = subscripts[i];
        const char *name = s->kind == NODE_AXIS ? s->name : bare_name(s);
        struct binding *binding;

        if (s->kind == NODE_SEMICOLON)
            continue;
        if (s->kind == NODE_DOTS) {
            if (!scope->has_dots) {
                fail(scope, "E0309", s->span, "`...` stands for nothing here: no input has it");
                return false;
            }
            for (int k = 0; k < scope->dots.count; k++)
                list_add(scope->unit->arena, *out, scope->dots.at[k]);
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
            if (!name)
                fail(scope, "E0309", s->span, "the name of an axis is wanted here, not %s", text_of(scope, s));
            else if (binding && is_poison(binding->value))
                return false;
            else {
                fail(scope, "E0312", s->span, "%s does not occur %s", name,
                     binding ? "as an axis: it is a value" : "in any subscript here");
                if (!binding)
                    help(scope, "declare it with its extent, %s: n", name);
            }
            return false;
        }
        for (int k = 0; k < binding->axes.count; k++)
            list_add(scope->unit->arena, *out, binding->axes.at[k]);
    }
    return true;
}

bool axes_distinct(struct scope *scope, const ir_index_list *axes, struct span at)
{
    for (int i = 0; i < axes->count; i++) {
        for (int k = 0; k < i; k++) {
            if (axes->at[k] != axes->at[i])
                continue;
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

    if (binding)
        return binding->kind == BIND_AXIS ? binding : NULL;
    if (!strcmp(name, "batch") || !strcmp(name, "training") || lookup_name(scope, name, s->span))
        return NULL;
    binding = scope_bind(scope->body, name, s->span);
    binding->kind = BIND_AXIS;
    list_add(scope->unit->arena, binding->axes, new_index(scope, name, extent));
    return binding;
}

/* Does the node give the name an extent for what stands in it alone? */
static bool declares(const struct node *node, const char *name)
{
    const struct node *const *at =
        (const struct node *const *)(node->kind == NODE_REDUCE ? node->list.at : node->more.at);
    int count = node->kind == NODE_REDUCE ? node->list.count : node->kind == NODE_CALL ? node->more.count : 0;

    for (int i = 0; i < count; i++)
        if (at[i]->kind == NODE_AXIS && !strcmp(at[i]->name, name))
            return true;
    return false;
}

/* The axis that a read has at the name; NULL: at none. */
static const struct ir_index *axis_read_at(struct scope *scope, struct node *read, const char *name)
{
    const char *base = bare_name(read->a);
    struct binding *binding = base ? scope_find(scope, base) : NULL;
    const struct value *v = NULL;
    int at = -1, axis = 0, first = 0;

    for (int i = 0; i < read->list.count && at < 0; i++) {
        const struct node *s = read->list.at[i];

        if (i == 0 && s->kind == NODE_AXIS && !strcmp(s->name, "batch"))
            continue;
        if (bare_name(s) && !strcmp(bare_name(s), name))
            at = axis;
        axis += s->kind == NODE_DOTS ? scope->dots.count : 1;
    }
    if (at < 0 || read->a->kind != NODE_PATH)
        return NULL;
    if (binding && binding->kind == BIND_KEPT) {
        v = at ? kept_at(scope, binding, read, read->span) : NULL;
        first = 1;
    } else if (lookup_name(scope, arena_slice(scope->unit->arena, read->a->name, strcspn(read->a->name, ".")),
                           read->span)) {
        v = lookup_path(scope, read->a);
    }
    return v && v->kind == VALUE_TENSOR && at - first < v->own.count ? v->own.at[at - first] : NULL;
}

static const struct ir_index *axis_in(struct scope *scope, const struct node *node, const char *name)
{
    const struct ir_index *found = NULL;

    if (!node || declares(node, name))
        return NULL;
    if (node->kind == NODE_READ)
        found = axis_read_at(scope, (struct node *)node, name);
    found = found ? found : axis_in(scope, node->a, name);
    found = found ? found : axis_in(scope, node->b, name);
    found = found ? found : axis_in(scope, node->c, name);
    for (int i = 0; i < node->list.count && !found; i++)
        found = axis_in(scope, node->list.at[i], name);
    for (int i = 0; i < node->more.count && !found; i++)
        found = axis_in(scope, node->more.at[i], name);
    return found;
}

struct binding *axis_of_statement(struct scope *scope, const char *name)
{
    const struct ir_index *axis = scope->workspace && scope->statement ? axis_in(scope, scope->statement, name) : NULL;

    return axis ? axis_of(scope, scope->statement, name, axis->extent) : NULL;
}

static bool extent_error(struct scope *scope, struct node *s, struct binding *axis, const struct ir_index *own,
                         const struct node *read)
{
    const char *what = read->a ? text_of(scope, read->a) : text_of(scope, read);

    fail(scope, "E0301", s->span, "%s: %lld reads %s's axis %s: %lld", axis->name, (long long)axis->axes.at[0]->extent,
         what, own->name, (long long)own->extent);
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

    if (!declare_axes(scope, &s, 1, false))
        return NULL;
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
        if (!axes_named(scope, &part, 1, &axes))
            return NULL;
        product *= ir_extent_product(axes.at, axes.count);
    }
    if (unknown_part) {
        if (own->extent % product) {
            fail(scope, "E0304", s->span, "%lld is no multiple of %lld: %s", (long long)own->extent, (long long)product,
                 text_of(scope, s));
            return NULL;
        }
        axis_of(scope, unknown_part, bare_name(unknown_part), own->extent / product);
    } else if (product != own->extent) {
        fail(scope, "E0304", s->span, "axis %s: %lld is not made of %lld: %s", own->name, (long long)own->extent,
             (long long)product, text_of(scope, s));
        return NULL;
    }
    axes = (ir_index_list){0};
    if (!axes_named(scope, s->list.at, s->list.count, &axes))
        return NULL;
    for (int i = 0; i < axes.count; i++)
        form = ir_form_add(p, ir_form_scale(p, form, axes.at[i]->extent), ir_form_index(p, axes.at[i]));
    return form;
}

static bool rounded(struct memo *met, const struct ir_expr *e)
{
    const void **place;

    if (e->whole || *(place = memo_at(met, e)))
        return true; /* of what was met before: it was so, or the answer is no */
    *place = e;
    if (e->kind == IR_READ && e->tensor->kind == IR_EQUATION && e->tensor->reduction == IR_MAP && e->tensor->value)
        return rounded(met, e->tensor->value);
    if (e->kind != IR_APPLY)
        return false;
    if (e->op == IR_floor)
        return true;
    return (e->op == IR_add || e->op == IR_subtract || e->op == IR_multiply) && rounded(met, e->arguments[0]) &&
           rounded(met, e->arguments[1]);
}

/* Whole by being rounded down, but of a real number: no range is known. */
static bool is_rounded(const struct ir_expr *e)
{
    struct memo met;
    bool all;

    memo_begin(&met);
    all = rounded(&met, e);
    memo_end(&met);
    return all;
}

/* stated: gets the indices that the subscript's text has. */
static const struct ir_form *one_subscript(struct scope *scope, struct node *s, const struct ir_index *own, bool loose,
                                           const struct node *read, ir_index_list *stated)
{
    struct ir_program *p = scope->workspace->program;
    const char *name = bare_name(s);
    const struct value *v;

    if (s->kind == NODE_COMPOSITE) {
        const struct ir_form *form = composite_form(scope, s, own);

        return form && axes_named(scope, s->list.at, s->list.count, stated) ? form : NULL;
    }
    if (s->kind == NODE_AXIS) {
        if (!declare_axes(scope, &s, 1, false))
            return NULL;
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
            list_add(scope->unit->arena, *stated, axis->axes.at[0]);
            return ir_form_index(p, axis->axes.at[0]);
        }
    }
    v = evaluate(scope, s);
    if (is_poison(v))
        return NULL;
    free_indices(scope, v, stated);
    if (v->kind == VALUE_NUMBER && v->whole)
        return ir_form_constant(p, (int64_t)v->number);
    if (v->kind == VALUE_TENSOR && v->field && !v->expr->whole) {
        settle_whole(scope->workspace, v->field, own->extent - 1, own->name);
        return NULL;
    }
    if (v->kind == VALUE_TENSOR && !v->own.count && !v->expr->whole && is_rounded(v->expr))
        return rounded_subscript(scope, v, own->extent, s->span);
    if (v->kind != VALUE_TENSOR || v->own.count || !v->expr->whole) {
        if (v->kind == VALUE_TENSOR && v->own.count)
            fail(scope, "E0306", s->span, "a subscript is one number; %s has axes %s", text_of(scope, s),
                 shape_text(scope, &v->own));
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

    if (!axes_named(scope, read->list.at, read->list.count, &axes))
        return &poison;
    if (axes.count != 1 || axes.at[0]->extent != ir_extent_product(axes.at, 1) || set->opened)
        return fail(scope, "E0309", read->span, "a parameter set is one long vector and is read whole: w[...]");
    v = value_new(scope, VALUE_SET);
    *v = *set;
    v->opened = axes.at[0];
    return v;
}

static const struct value *read_subscripts(struct scope *scope, const struct value *v, struct node *read,
                                           const struct value *otherwise)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms;
    ir_index_list stated = {0};
    int total = 0, axis = 0;

    if (v->kind == VALUE_SET)
        return open_set(scope, v, read);
    if (read->list.count && read->list.at[0]->kind == NODE_AXIS && !strcmp(read->list.at[0]->name, "batch") &&
        v->kind == VALUE_TENSOR) {
        struct node rest = *read;

        rest.list.at++;
        rest.list.count--;
        /* What is left settles the shape of a field first. */
        if (v->field && !v->field->shaped && rest.list.count)
            return read_subscripts(scope, v, &rest, otherwise);
        v = of_other_sample(scope, v, read->list.at[0], read);
        return is_poison(v) ? v : read_subscripts(scope, v, &rest, otherwise);
    }
    for (int i = 0; i < read->list.count; i++) {
        struct node *s = read->list.at[i];

        if (s->kind == NODE_DOTS && !scope->has_dots)
            return fail(scope, "E0309", s->span, "`...` stands for nothing here: no input has it");
        total += s->kind == NODE_DOTS ? scope->dots.count : s->kind == NODE_SEMICOLON ? 0 : 1;
    }
    if (v->kind == VALUE_NUMBER && total == 0)
        return v;
    if (v->kind == VALUE_TENSOR && (v->field || v->unshaped) && !v->own.count && total) {
        /* A raw field whose shape nothing has settled: indices with an extent settle it. */
        int64_t shape[8];
        ir_index_list axes = {0};
        struct field_use *field = v->field ? v->field : v->unshaped;

        if (field->shaped && scope->workspace->fields->changed)
            return &poison; /* settled since the value was made: the next round knows */
        if (total <= 8 && !field->shaped && axes_named(scope, read->list.at, read->list.count, &axes) &&
            axes.count == total) {
            for (int i = 0; i < total; i++)
                shape[i] = axes.at[i]->extent;
            settle_shape(scope->workspace, field, total, shape);
            return &poison;
        }
    }
    if (v->kind != VALUE_TENSOR || total > v->own.count) {
        bool samples = false;

        for (int i = 0; i < read->list.count; i++)
            samples |= bare_name(read->list.at[i]) && !strcmp(bare_name(read->list.at[i]), "batch");
        fail(scope, "E0307", read->span, "%d subscripts, but %s has %s%s", total, text_of(scope, read->a),
                    v->kind == VALUE_TENSOR && v->own.count ? "axes " : "no axes",
                    v->kind == VALUE_TENSOR && v->own.count ? shape_text(scope, &v->own) : "");
        if (samples)
            help(scope, "a value is that of each sample already; another sample's is %s[batch: n, ...]",
                 text_of(scope, read->a));
        return &poison;
    }
    forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, total + 1);
    for (int i = 0; i < read->list.count; i++) {
        struct node *s = read->list.at[i];

        if (s->kind == NODE_SEMICOLON)
            return fail(scope, "E0309", s->span, "`;` belongs in the brackets of a function, not of a read");
        if (s->kind == NODE_DOTS) {
            for (int k = 0; k < scope->dots.count; k++, axis++) {
                if (scope->dots.at[k]->extent != v->own.at[axis]->extent)
                    return fail(scope, "E0301", read->span, "`...` is %s here, and %s has axes %s",
                                shape_text(scope, &scope->dots), text_of(scope, read->a), shape_text(scope, &v->own));
                forms[axis] = ir_form_index(p, scope->dots.at[k]);
                list_add(scope->unit->arena, stated, scope->dots.at[k]);
            }
            continue;
        }
        forms[axis] = one_subscript(scope, s, v->own.at[axis], otherwise != NULL, read, &stated);
        if (!forms[axis])
            return &poison;
        axis++;
    }
    if (otherwise)
        free_indices(scope, otherwise, &stated); /* it is dropped where the read is inside */
    return stating(scope, value_read_at(scope, v, forms, total, otherwise, read), &stated, NULL);
}

const struct value *evaluate_read(struct scope *scope, struct node *node, const struct value *otherwise)
{
    const char *name = bare_name(node->a);
    struct binding *binding = name ? scope_find(scope, name) : NULL;
    const struct value *v;

    if (binding && binding->kind == BIND_KEPT) {
        struct node rest = *node;

        v = kept_at(scope, binding, node, node->span);
        rest.list.at++;
        rest.list.count--;
        return is_poison(v) ? v : read_subscripts(scope, v, &rest, otherwise);
    }
    v = lookup_path(scope, node->a);
    if (is_poison(v))
        return v;
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

const struct value *evaluate_else(struct scope *scope, struct node *node)
{
    struct node *read = node->a;
    const struct value *otherwise;

    while (read->kind == NODE_GROUPED)
        read = read->a;
    if (read->kind != NODE_READ)
        return evaluate(scope, read);
    otherwise = evaluate(scope, node->b);
    return is_poison(otherwise) ? &poison : evaluate_read(scope, read, otherwise);
}
