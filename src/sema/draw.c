/* draw.c: distributions over the raw draws of the IR. A draw belongs to the context indices of the place where it
   stands and to the elements it is written over; `per step` and `per run` leave the sample out. */
#include <math.h>
#include <string.h>

#include "internal.h"

/* groups: of axes in brackets; optional: the last argument may be left out. */
static const struct {
    const char *name;
    int arguments, groups;
    bool optional;
} distributions[] = {{"normal", 2, 0, false},   {"uniform", 2, 0, false},     {"bernoulli", 1, 0, false},
                     {"constant", 1, 0, false}, {"categorical", 1, 1, false}, {"exponential", 1, 0, false},
                     {"poisson", 1, 0, false},  {"orthogonal", 1, 2, true}};

/* poisson: the largest number it draws. Beyond a mean of half of it more than 1e-7 of the mass would be cut off. */
enum { MOST_EVENTS = 64 };

bool is_distribution(const char *name)
{
    for (size_t i = 0; i < sizeof distributions / sizeof *distributions; i++)
        if (!strcmp(distributions[i].name, name))
            return true;
    return false;
}

/* What is known before the run: a probability, an interval, a spread. */
static bool arguments_make_sense(struct scope *scope, const char *name, const struct value *distribution,
                                 struct node *const *arguments)
{
    const struct value *first = distribution->items.count > 0 ? distribution->items.at[0] : NULL;
    const struct value *second = distribution->items.count > 1 ? distribution->items.at[1] : NULL;

    for (int i = 0; i < distribution->items.count; i++)
        if (is_number(distribution->items.at[i]) && !isfinite(distribution->items.at[i]->number)) {
            fail(scope, "E0314", arguments[i]->span, "an argument of %s is a finite number, not %g", name,
                 distribution->items.at[i]->number);
            return false;
        }
    if (!strcmp(name, "exponential") && is_number(first) && !(first->number > 0)) {
        fail(scope, "E0314", arguments[0]->span, "exponential takes a rate above 0, not %g", first->number);
        help(scope, "its mean is 1 / rate");
        return false;
    }
    if (!strcmp(name, "categorical") && is_number(first) && !(first->number >= 0)) {
        fail(scope, "E0314", arguments[0]->span, "categorical takes weights of at least 0, not %g", first->number);
        help(scope, "a place is as likely as its weight / sum; weight 1: each alike; of logits, exp(logits[k])");
        return false;
    }
    if (!strcmp(name, "bernoulli") && is_number(first) && !(first->number >= 0 && first->number <= 1)) {
        fail(scope, "E0314", arguments[0]->span, "bernoulli takes a probability, 0 to 1, not %g", first->number);
        return false;
    }
    if (!strcmp(name, "uniform") && is_number(first) && is_number(second) && !(first->number <= second->number)) {
        fail(scope, "E0314", arguments[0]->span, "uniform takes its lower bound first, and %g is above %g",
             first->number, second->number);
        return false;
    }
    if (!strcmp(name, "normal") && is_number(second) && !(second->number >= 0)) {
        fail(scope, "E0314", arguments[1]->span, "normal takes a spread of at least 0, not %g", second->number);
        return false;
    }
    return true;
}

const struct value *make_distribution(struct scope *scope, struct node *call, const char *name,
                                      struct node *const *arguments, int count)
{
    struct value *v = value_new(scope, VALUE_DISTRIBUTION);
    struct scope *inner = scope_inner(scope);
    ir_index_list groups[2] = {{0}};
    int wanted = 0;

    v->text = name;
    for (size_t i = 0; i < sizeof distributions / sizeof *distributions; i++) {
        if (strcmp(distributions[i].name, name))
            continue;
        wanted = distributions[i].groups;
        if (count != distributions[i].arguments &&
            !(distributions[i].optional && count == distributions[i].arguments - 1))
            return fail(scope, "E0207", call->span, "%s takes %d argument%s, not %d", name, distributions[i].arguments,
                        distributions[i].arguments == 1 ? "" : "s", count);
    }
    if (call->flag && !wanted)
        return fail(scope, "E0207", call->span, "%s has no axes in brackets", name);
    if (wanted && (!scope->workspace || !declare_axes(inner, call->more.at, call->more.count, true)))
        return scope->workspace ? &poison : fail(scope, "E0701", call->span, "%s is not known before the run", name);
    for (int i = 0; i < count; i++) {
        const struct value *argument;

        if (arguments[i]->name)
            return fail(scope, "E0201", arguments[i]->span, "%s has no argument `%s`", name, arguments[i]->name);
        argument = evaluate(inner, arguments[i]->a);
        if (is_poison(argument))
            return &poison;
        if (argument->kind != VALUE_NUMBER && argument->kind != VALUE_TENSOR)
            return fail(scope, "E0206", arguments[i]->span, "an argument of %s is a number", name);
        if (argument->own.count)
            return fail(scope, "E0310", arguments[i]->span,
                        "an argument of %s is one number for each draw; this has axes %s", name,
                        shape_text(scope, &argument->own));
        if (!strcmp(name, "poisson") && argument->kind == VALUE_NUMBER && !argument->expr &&
            !(argument->number >= 0 && argument->number <= MOST_EVENTS / 2))
            return fail(scope, "E0314", arguments[i]->span,
                        "poisson draws up to %d events, so it takes a mean of 0 to %d", MOST_EVENTS, MOST_EVENTS / 2);
        list_add(scope->unit->arena, v->items, argument);
    }
    if (!arguments_make_sense(scope, name, v, arguments))
        return &poison;
    if (wanted && !axis_groups(inner, call, groups, wanted))
        return &poison;
    if (wanted == 1 && groups[0].count != 1)
        return fail(scope, "E0308", call->span, "%s draws a place along one axis", name);
    for (int i = 0; i < wanted; i++)
        for (int k = 0; k < groups[i].count; k++)
            list_add(scope->unit->arena, v->own, groups[i].at[k]);
    v->number = groups[0].count;
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

/* ---- distributions that take more than one equation ---- */

static const struct ir_expr *read_over(struct scope *scope, struct ir_tensor *t)
{
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, t->rank + 1);

    for (int i = 0; i < t->rank; i++)
        forms[i] = ir_form_index(scope->workspace->program, t->axes[i]);
    return ir_read(scope->workspace->program, t, forms, t->rank, NULL);
}

/* The number of each sample's item in its split: a field that the run fills. */
static const struct ir_expr *number_of_item(struct scope *scope, int64_t items)
{
    static const char name[] = "rnet.item";
    struct workspace *w = scope->workspace;
    struct field_use *field = NULL;

    for (int i = 0; i < w->fields->fields.count; i++)
        if (!strcmp(w->fields->fields.at[i]->name, name))
            field = w->fields->fields.at[i];
    if (!field) {
        field = NEW(w->arena, struct field_use);
        list_add(w->arena, w->fields->fields, field);
    }
    *field = (struct field_use){.name = name,
                                .node = w->sampled->data->node,
                                .source = {.split = w->sampled, .name = name},
                                .item = true,
                                .made = true,
                                .whole = true,
                                .high = items - 1,
                                .shaped = true};
    return field_value(scope, field)->expr;
}

/* What is drawn, over the axes. A draw per item is one per run for all items of the split, of which each sample reads its own. */
static const struct ir_expr *numbers_drawn(struct scope *scope, const char *site, enum ir_draw draw, enum ir_scope per,
                                           const ir_index_list *axes, int mapped, struct span span)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    const struct ir_form **forms = NEW_ARRAY(w->arena, const struct ir_form *, axes->count + 1);
    ir_index_list all = {0};
    int64_t items;

    if (per != IR_PER_ITEM)
        return read_over(scope, ir_draw_leaf(p, site, draw, per, mapped, axes->at, axes->count, origin_of(scope, span)));
    items = split_items(w->unit, w->sampled);
    site = arena_printf(w->arena, "%s@%s.%s", site, w->sampled->data->name, w->sampled->name);
    forms[0] = ir_form_of(p, number_of_item(scope, items));
    list_add(w->arena, all, new_index(scope, "item", items));
    for (int i = 1; i < axes->count; i++) {
        list_add(w->arena, all, axes->at[i]);
        forms[i] = ir_form_index(p, axes->at[i]);
    }
    return ir_read(p, ir_draw_leaf(p, site, draw, IR_PER_RUN, mapped + 1, all.at, all.count, origin_of(scope, span)),
                   forms, all.count, NULL);
}

/* argmax[k] log weight + g, g = -log(-log u) (Gumbel): k with the probability weight / sum. A weight of 0 is never
   chosen; if all are, each is as likely as the others. Equal weights need no logarithms: the largest u is as good. */
static struct ir_tensor *draw_categorical(struct scope *scope, const struct value *distribution,
                                          const struct ir_expr *weight, bool single, const char *name, const char *site,
                                          enum ir_scope per, const ir_index_list *axes, int mapped, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    struct arena *arena = scope->unit->arena;
    struct ir_index *k = distribution->own.at[0];
    const struct ir_expr *u, *least = ir_real(p, 0x1p-33), *positive, *chosen, *any, *minus_infinity;
    ir_index_list all = {0}, over = {0};
    bool equal = weight->kind == IR_CONSTANT && weight->number > 0;

    for (int i = 0; i < axes->count; i++)
        list_add(arena, all, axes->at[i]);
    if (list_has(&all, k)) {
        fail(scope, "E0312", span, "%s is the axis that categorical draws from, and stands on the left too", k->name);
        return NULL;
    }
    list_add(arena, all, k);
    list_add(arena, over, k);
    u = numbers_drawn(scope, site, IR_UNIFORM32, per, &all, mapped, span);
    if (equal)
        return equation_here(scope, arena_printf(arena, "%s.value", name), axes, IR_ARGMAX, &over, u, single, span);
    if (!single)
        weight = ir_apply(p, IR_stop, weight, NULL, NULL);
    u = ir_apply(p, IR_log, ir_apply(p, IR_max, u, least, NULL), NULL, NULL);
    u = ir_apply(p, IR_negate, ir_apply(p, IR_log, ir_apply(p, IR_negate, u, NULL, NULL), NULL, NULL), NULL, NULL);
    positive = ir_apply(p, IR_greater, weight, ir_number(p, 0), NULL);
    any = read_over(scope, equation_here(scope, arena_printf(arena, "%s.any", name), axes, IR_MAXIMUM, &over, positive,
                                         single, span));
    minus_infinity = ir_real(p, -INFINITY);
    chosen = ir_apply(p, IR_add, ir_apply(p, IR_log, weight, NULL, NULL), u, NULL);
    chosen = ir_apply(p, IR_select, positive, chosen, minus_infinity);
    chosen = ir_apply(p, IR_select, any, chosen, u);
    return equation_here(scope, arena_printf(arena, "%s.value", name), axes, IR_ARGMAX, &over, chosen, single, span);
}

/* The number of j with u >= P(at most j events), by inversion; u is in [0, 1). */
static struct ir_tensor *count_events(struct scope *scope, const struct ir_expr *mean, const struct ir_expr *u,
                                      bool single, const char *name, const ir_index_list *axes, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    struct arena *arena = scope->unit->arena;
    struct ir_index *i = new_index(scope, "events", MOST_EVENTS), *j = new_index(scope, "most", MOST_EVENTS),
                    *m = new_index(scope, "m", MOST_EVENTS);
    const struct ir_expr *at_i = ir_of_form(p, ir_form_index(p, i)), *at_j = ir_of_form(p, ir_form_index(p, j)),
                         *at_m = ir_of_form(p, ir_form_index(p, m)), *zero = ir_real(p, 0), *e;
    ir_index_list over_i = {0}, over_j = {0}, over_m = {0}, table = {0}, of_i = {0}, of_j = {0}, free = {0};
    const struct ir_expr *factorial, *mass, *below;

    list_add(arena, over_i, i);
    list_add(arena, over_j, j);
    list_add(arena, over_m, m);
    ir_indices(arena, mean, &free);
    for (int k = 0; k < axes->count; k++)
        if (list_has(&free, axes->at[k]))
            list_add(arena, table, axes->at[k]);
    for (int k = 0; k < table.count; k++) {
        list_add(arena, of_i, table.at[k]);
        list_add(arena, of_j, table.at[k]);
    }
    list_add(arena, of_i, i);
    list_add(arena, of_j, j);
    e = ir_apply(p, IR_log, ir_apply(p, IR_add, at_m, ir_number(p, 1), NULL), NULL, NULL);
    e = ir_apply(p, IR_select, ir_apply(p, IR_less, at_m, at_i, NULL), e, zero);
    factorial = read_over(scope, equation_here(scope, arena_printf(arena, "%s.log_factorial", name), &over_i, IR_SUM,
                                               &over_m, e, single, span));
    e = ir_apply(p, IR_multiply, at_i, ir_apply(p, IR_log, mean, NULL, NULL), NULL);
    e = ir_apply(p, IR_select, ir_apply(p, IR_equal, at_i, ir_number(p, 0), NULL), zero, e); /* 0 * log 0 */
    e = ir_apply(p, IR_subtract, ir_apply(p, IR_subtract, e, mean, NULL), factorial, NULL);
    mass = read_over(scope, equation_here(scope, arena_printf(arena, "%s.mass", name), &of_i, IR_MAP, NULL,
                                          ir_apply(p, IR_exp, e, NULL, NULL), single, span));
    e = ir_apply(p, IR_select, ir_apply(p, IR_less_equal, at_i, at_j, NULL), mass, zero);
    below = read_over(
        scope, equation_here(scope, arena_printf(arena, "%s.below", name), &of_j, IR_SUM, &over_i, e, single, span));
    return equation_here(scope, arena_printf(arena, "%s.value", name), axes, IR_SUM, &over_j,
                         ir_apply(p, IR_greater_equal, u, below, NULL), single, span);
}

struct ir_tensor *draw_tensor(struct scope *scope, const struct value *distribution, const char *name, const char *site,
                              enum ir_scope per, const ir_index_list *axes, int mapped, struct span span)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;
    const struct ir_origin *origin = origin_of(scope, span);
    const struct ir_expr *argument[2] = {0}, *u, *e;
    const char *kind = distribution->text;
    enum ir_draw draw = !strcmp(kind, "bernoulli") ? IR_UNIFORM16 : !strcmp(kind, "normal") ? IR_NORMAL : IR_UNIFORM32;
    struct drawn drawn = {.name = name, .span = span};
    bool single = true;

    for (int i = 0; i < distribution->items.count; i++) {
        ir_index_list free = {0};

        argument[i] = value_expr(scope, distribution->items.at[i]);
        free_indices(scope, distribution->items.at[i], &free);
        for (int k = 0; k < free.count; k++) {
            if (list_has(axes, free.at[k]) ||
                (!strcmp(kind, "categorical") && list_has(&distribution->own, free.at[k])))
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
        return equation_here(scope, name, axes, IR_MAP, NULL, argument[0], false, span);
    if (!strcmp(kind, "orthogonal")) {
        ir_index_list in = distribution->own, out = distribution->own;

        in.count = (int)distribution->number;
        out.at += in.count;
        out.count -= in.count;
        return draw_orthogonal(scope, argument[0] ? argument[0] : ir_real(p, 1), &in, &out, name,
                               numbers_drawn(scope, site, IR_NORMAL, per, axes, mapped, span), axes, span);
    }
    if (!strcmp(kind, "categorical")) {
        drawn.tensor = draw_categorical(scope, distribution, argument[0], single, name, site, per, axes, mapped, span);
        list_add(w->arena, w->draws, drawn);
        return drawn.tensor;
    }
    u = numbers_drawn(scope, site, draw, per, axes, mapped, span);
    if (!strcmp(kind, "poisson")) {
        drawn.tensor = count_events(scope, single ? argument[0] : ir_apply(p, IR_stop, argument[0], NULL, NULL), u,
                                    single, name, axes, span);
        list_add(w->arena, w->draws, drawn);
        return drawn.tensor;
    }
    if (is_literal(distribution->items.at[0], 0) && distribution->items.count == 2 &&
        is_literal(distribution->items.at[1], 1) && per != IR_PER_ITEM)
        return u->tensor;
    for (int i = 0; i < distribution->items.count; i++)
        if (!single && !argument[i]->whole && argument[i]->kind != IR_CONSTANT)
            argument[i] = ir_apply(p, IR_stop, argument[i], NULL, NULL);
    if (draw == IR_UNIFORM16) {
        e = ir_apply(p, IR_less, u, argument[0], NULL);
    } else if (draw == IR_NORMAL) {
        e = ir_apply(p, IR_multiply, argument[1], u, NULL);
        if (!is_literal(distribution->items.at[0], 0))
            e = ir_apply(p, IR_add, argument[0], e, NULL);
    } else if (!strcmp(kind, "exponential")) {
        e = ir_apply(p, IR_negate, ir_apply(p, IR_log1p, ir_apply(p, IR_negate, u, NULL, NULL), NULL, NULL), NULL,
                     NULL);
        e = ir_apply(p, IR_divide, e, argument[0], NULL);
    } else if (is_literal(distribution->items.at[0], 0)) {
        e = ir_apply(p, IR_multiply, argument[1], u, NULL);
    } else {
        e = ir_apply(p, IR_add, argument[0],
                     ir_apply(p, IR_multiply, ir_apply(p, IR_subtract, argument[1], argument[0], NULL), u, NULL), NULL);
    }
    drawn.tensor = equation_here(scope, arena_printf(w->arena, "%s.value", name), axes, IR_MAP, NULL, e, single, span);
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
        *per = scope->workspace->split ? IR_PER_SAMPLE : IR_PER_ITEM; /* in a data block each draw belongs to the item */
    else {
        fail(scope, "E0201", definition->span, "a draw is `per step`, `per run` or `per item`, not `per %s`", word);
        return false;
    }
    if (*per == IR_PER_ITEM && (scope->rule || !list_has(&scope->context, scope->workspace->batch))) {
        fail(scope, "E0403", definition->span, "there is no item here to draw for");
        return false;
    }
    if (*per == IR_PER_ITEM && !scope->workspace->sampled)
        *per = IR_PER_SAMPLE; /* without data the items are what the model is given */
    return true;
}

void run_draw(struct scope *scope, struct node *definition)
{
    struct node *left = definition->list.at[0];
    bool kept = is_kept(scope, left);
    struct node *target = kept ? at_one_step(scope, left) : left;
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

                if (index->batch && (per == IR_PER_SAMPLE || per == IR_PER_ITEM))
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
    if (!tensor && kept) {
        keep(scope, left, &poison);
        return;
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
    if (kept) {
        keep(scope, left, v);
        return;
    }
    if (target->flag)
        v = close_over(scope, target, v, true);
    scope_define(scope, target->name, target->name_span,
                 is_poison(v) ? v : materialise(scope, v, target->name, target->span));
}
