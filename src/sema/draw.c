/* draw.c: distributions over the raw draws of the IR. A draw belongs to the context indices of the place where it
   stands and to the elements it is written over; `per step` and `per run` leave the sample out. */
#include <string.h>

#include "internal.h"

static const struct {
    const char *name;
    int arguments;
    bool compiled;
} distributions[] = {{"normal", 2, true},   {"uniform", 2, true},      {"bernoulli", 1, true},
                     {"constant", 1, true}, {"categorical", 1, false}, {"exponential", 1, false},
                     {"poisson", 1, false}, {"orthogonal", 1, false}};

bool is_distribution(const char *name)
{
    for (size_t i = 0; i < sizeof distributions / sizeof *distributions; i++)
        if (!strcmp(distributions[i].name, name))
            return true;
    return false;
}

const struct value *make_distribution(struct scope *scope, struct node *call, const char *name,
                                      struct node *const *arguments, int count)
{
    struct value *v = value_new(scope, VALUE_DISTRIBUTION);

    v->text = name;
    for (size_t i = 0; i < sizeof distributions / sizeof *distributions; i++) {
        if (strcmp(distributions[i].name, name))
            continue;
        if (!distributions[i].compiled)
            return not_compiled(scope, call->span, arena_printf(scope->unit->arena, "the distribution `%s`", name));
        if (count != distributions[i].arguments)
            return fail(scope, "E0207", call->span, "%s takes %d argument%s, not %d", name, distributions[i].arguments,
                        distributions[i].arguments == 1 ? "" : "s", count);
    }
    for (int i = 0; i < count; i++) {
        const struct value *argument;

        if (arguments[i]->name)
            return fail(scope, "E0201", arguments[i]->span, "%s has no argument `%s`", name, arguments[i]->name);
        argument = evaluate(scope, arguments[i]->a);
        if (is_poison(argument))
            return &poison;
        if (argument->kind != VALUE_NUMBER && argument->kind != VALUE_TENSOR)
            return fail(scope, "E0206", arguments[i]->span, "an argument of %s is a number", name);
        if (argument->own.count)
            return fail(scope, "E0310", arguments[i]->span,
                        "an argument of %s is one number for each draw; this has axes %s", name,
                        shape_text(scope, &argument->own));
        list_add(scope->unit->arena, v->items, argument);
    }
    return v;
}

static void find_other_read(const struct ir_expr *read, void *context)
{
    const struct ir_tensor *t = read->tensor;

    if (t->kind != IR_SCALAR && t->kind != IR_DRAW && !(t->kind == IR_EQUATION && t->single))
        *(bool *)context = true;
}

/* Is it built of settings, draws and constants alone? Then it is computed in f32 in every precision. */
static bool built_of_settings(const struct ir_expr *e)
{
    bool other = false;

    ir_reads(e, find_other_read, &other);
    return !other;
}

static bool is_literal(const struct value *v, double number)
{
    return v->kind == VALUE_NUMBER && !v->expr && v->number == number;
}

struct ir_tensor *draw_tensor(struct scope *scope, const struct value *distribution, const char *name, const char *site,
                              enum ir_scope per, const ir_index_list *axes, int mapped, struct span span)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    const struct ir_origin *origin = origin_of(scope, span);
    const struct ir_form **forms = NEW_ARRAY(w->arena, const struct ir_form *, axes->count + 1);
    const struct ir_expr *argument[2] = {0}, *u, *e;
    const char *kind = distribution->text;
    enum ir_draw draw = !strcmp(kind, "bernoulli") ? IR_UNIFORM16 : !strcmp(kind, "normal") ? IR_NORMAL : IR_UNIFORM32;
    struct drawn drawn = {.name = name, .span = span};
    struct ir_tensor *leaf;
    bool single = true;

    for (int i = 0; i < distribution->items.count; i++) {
        ir_index_list free = {0};

        argument[i] = value_expr(scope, distribution->items.at[i]);
        free_indices(scope, distribution->items.at[i], &free);
        for (int k = 0; k < free.count; k++) {
            if (list_has(axes, free.at[k]))
                continue;
            if (free.at[k]->batch)
                fail(scope, "E0403", span, "one draw for all samples cannot rest on what differs between them");
            else
                fail(scope, "E0311", span, "%s is free in the distribution and not in what is drawn", free.at[k]->name);
            return NULL;
        }
        if (!built_of_settings(argument[i]))
            single = false;
        list_add(w->arena, drawn.arguments, argument[i]);
    }
    for (int i = 0; i < axes->count; i++)
        forms[i] = ir_form_index(p, axes->at[i]);
    /* An argument without an index is computed once, in the precision of the draw. */
    for (int i = 0; i < distribution->items.count && axes->count; i++) {
        ir_index_list indices = {0};

        ir_indices(w->arena, argument[i], &indices);
        if (argument[i]->kind != IR_APPLY || indices.count)
            continue;
        argument[i] = ir_read(p,
                              ir_equation(p, arena_printf(w->arena, "%s.argument", name), NULL, 0, IR_MAP, NULL, 0,
                                          argument[i], single, origin),
                              NULL, 0, NULL);
    }
    if (!strcmp(kind, "constant"))
        return ir_equation(p, name, axes->at, axes->count, IR_MAP, NULL, 0, argument[0], false, origin);
    leaf = ir_draw_leaf(p, site, draw, per, mapped, axes->at, axes->count, origin);
    u = ir_read(p, leaf, forms, axes->count, NULL);
    if (is_literal(distribution->items.at[0], 0) && distribution->items.count == 2 &&
        is_literal(distribution->items.at[1], 1))
        return leaf;
    for (int i = 0; i < distribution->items.count; i++)
        if (!single && !argument[i]->whole && argument[i]->kind != IR_CONSTANT)
            argument[i] = ir_apply(p, IR_stop, argument[i], NULL, NULL);
    if (draw == IR_UNIFORM16) {
        e = ir_apply(p, IR_less, u, argument[0], NULL);
    } else if (draw == IR_NORMAL) {
        e = ir_apply(p, IR_multiply, argument[1], u, NULL);
        if (!is_literal(distribution->items.at[0], 0))
            e = ir_apply(p, IR_add, argument[0], e, NULL);
    } else if (is_literal(distribution->items.at[0], 0)) {
        e = ir_apply(p, IR_multiply, argument[1], u, NULL);
    } else {
        e = ir_apply(p, IR_add, argument[0],
                     ir_apply(p, IR_multiply, ir_apply(p, IR_subtract, argument[1], argument[0], NULL), u, NULL), NULL);
    }
    drawn.tensor = ir_equation(p, arena_printf(w->arena, "%s.value", name), axes->at, axes->count, IR_MAP, NULL, 0, e,
                               single, origin);
    list_add(w->arena, w->draws, drawn);
    return drawn.tensor;
}

/* One value a sample of something large is legal and seldom meant. */
enum { MANY = 1 << 25 };

static void warn_of_size(struct scope *scope, const char *name, const ir_index_list *axes, struct span at)
{
    const char *product = "";

    if (!axes->count || !axes->at[0]->batch || ir_extent_product(axes->at, axes->count) < MANY)
        return;
    for (int i = 0; i < axes->count; i++)
        product = arena_printf(scope->unit->arena, "%s%s%lld", product, i ? " x " : "", (long long)axes->at[i]->extent);
    warn(scope, "W0001", at, "%s is drawn for every sample: %s numbers", name, product);
    help(scope, "`per step` draws it once for the whole batch");
}

static bool scope_of_draw(struct scope *scope, struct node *definition, enum ir_scope *per)
{
    const char *word = definition->text;

    *per = scope->rule ? IR_PER_STEP : IR_PER_SAMPLE;
    if (!word)
        return true;
    if (!strcmp(word, "step"))
        *per = IR_PER_STEP;
    else if (!strcmp(word, "run"))
        *per = IR_PER_RUN;
    else if (!strcmp(word, "item"))
        return not_compiled(scope, definition->span, "`per item`"), false;
    else {
        fail(scope, "E0201", definition->span, "a draw is `per step`, `per run` or `per item`, not `per %s`", word);
        return false;
    }
    return true;
}

void run_draw(struct scope *scope, struct node *definition)
{
    struct node *target = definition->list.at[0];
    ir_index_list axes = {0}, labels = {0};
    const char *full, *site;
    const struct value *v;
    struct ir_tensor *tensor = NULL;
    enum ir_scope per;
    const struct ir_form **forms;

    if (scope_of_draw(scope, definition, &per) && declare_axes(scope, target->list.at, target->list.count, false)) {
        v = evaluate(scope, definition->a);
        if (!is_poison(v) && v->kind != VALUE_DISTRIBUTION)
            fail(scope, "E0206", definition->a->span, "a distribution is wanted after `~`: %s",
                 text_of(scope, definition->a));
        for (int i = 0; i < target->list.count && v->kind == VALUE_DISTRIBUTION; i++) {
            struct node *s = target->list.at[i];

            if (!axes_named(scope, s->kind == NODE_COMPOSITE ? s->list.at : &s,
                            s->kind == NODE_COMPOSITE ? s->list.count : 1, &labels))
                v = &poison;
        }
        if (v->kind == VALUE_DISTRIBUTION && !axes_distinct(scope, &labels, target->span))
            v = &poison;
        if (v->kind == VALUE_DISTRIBUTION) {
            int mapped = 0;

            for (int i = 0; i < scope->context.count; i++) {
                struct ir_index *index = scope->context.at[i];

                if (index->batch && per == IR_PER_SAMPLE)
                    list_add(scope->unit->arena, axes, index);
            }
            for (int i = 0; i < scope->context.count; i++) {
                struct ir_index *index = scope->context.at[i];

                if (index->batch || list_has(&labels, index))
                    continue;
                list_add(scope->unit->arena, axes, index);
                mapped++;
            }
            if (!list_has(&axes, scope->workspace->batch) && per == IR_PER_SAMPLE)
                per = IR_PER_STEP;
            for (int i = 0; i < labels.count; i++)
                list_add(scope->unit->arena, axes, labels.at[i]);
            full = arena_printf(scope->unit->arena, "%s%s%s", scope->path, *scope->path ? "." : "", target->name);
            site = arena_printf(scope->unit->arena, "%s%s%s", scope->site, *scope->site ? "." : "", target->name);
            warn_of_size(scope, target->name, &axes, target->span);
            if (elements_fit(scope, full, &axes, target->span))
                tensor = draw_tensor(scope, v, full, site, per, &axes, mapped, target->span);
        }
    }
    if (!tensor) {
        if (!map_get(scope->names, target->name))
            scope_define(scope, target->name, target->name_span, &poison);
        return;
    }
    forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, axes.count + 1);
    for (int i = 0; i < axes.count; i++)
        forms[i] = ir_form_index(scope->workspace->program, axes.at[i]);
    v = value_tensor(scope, ir_read(scope->workspace->program, tensor, forms, axes.count, NULL), NULL);
    if (target->flag)
        v = close_over(scope, target, v, true);
    scope_define(scope, target->name, target->name_span,
                 is_poison(v) ? v : materialise(scope, v, target->name, target->span));
}
