/* over.c: recurrences. `over t from h[u] = e { }` evaluates its block once, for the step t: t is free in it and part of
   its context, so that locals, layers and draws are mapped over t like over any index. A carried name is a tensor that
   is declared before the block and defined by it.

   requires   nothing; the block may apply layers, which may hold recurrences of their own
   makes      equations with one struct ir_recurrence and the time among their outputs; nothing is unrolled
   then       the outermost `over` puts the program in order (ir_arrange), which leaves in the recurrence only what
              depends on itself

   The kind of what is carried (does it differ between samples? is it whole, in which range?) is the least one that
   holds for the start and for what a step makes of it. It is found by trying: the block is evaluated on a copy of the
   workspace, its messages unheard, until the kind no longer grows; then once for good. */
#include <string.h>

#include "internal.h"

/* A name that stands at the left with t. */
struct kept {
    const char *name;
    struct span span;
    struct over *over;
    bool carried;
    const struct value *start; /* of what is carried; own axes without the time */
    ir_index_list free;        /* of what is carried: batch and context, without the time */
    bool whole;
    int64_t low, high;
    struct ir_tensor *tensor; /* of what is carried */
    const struct value *step; /* at t, once the block has defined it; t is free */
};
struct over {
    struct over *up;
    struct scope *body; /* in which it stands */
    const char *axis;
    struct ir_index *time;
    struct ir_recurrence *recurrence;
    bool down, trying;
    LIST(struct kept *) names;
};

/* ---- equations ---- */

const struct ir_recurrence *recurrence_here(const struct scope *scope, const ir_index_list *axes, int *time)
{
    for (const struct over *o = scope->over; o; o = o->up)
        for (*time = 0; *time < axes->count; ++*time)
            if (axes->at[*time] == o->time)
                return o->recurrence;
    return NULL;
}

void add_times(const struct scope *scope, ir_index_list *axes)
{
    for (const struct over *o = scope->over; o; o = o->up)
        if (!list_has(axes, o->time))
            list_add(scope->unit->arena, *axes, o->time);
}

struct ir_tensor *equation_here(struct scope *scope, const char *name, const ir_index_list *axes,
                                enum ir_reduction reduction, const ir_index_list *reduced, const struct ir_expr *value,
                                bool single, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_origin *origin = origin_of(scope, span);
    struct ir_index **over = reduced ? reduced->at : NULL;
    int count = reduced ? reduced->count : 0, time;
    const struct ir_recurrence *recurrence = recurrence_here(scope, axes, &time);

    if (recurrence)
        return ir_equation_in(p, name, axes->at, axes->count, recurrence, time, reduction, over, count, value, single,
                              origin);
    return ir_equation(p, name, axes->at, axes->count, reduction, over, count, value, single, origin);
}

/* ---- names ---- */

bool is_time(const struct scope *scope, const char *name)
{
    for (const struct over *o = scope->over; o; o = o->up)
        if (o->body == scope->body && !strcmp(o->axis, name))
            return true;
    return false;
}

bool in_over_body(const struct scope *scope)
{
    return scope->over && scope->over->body == scope->body;
}

bool kinds_are_open(const struct scope *scope)
{
    for (const struct over *o = scope->over; o; o = o->up)
        if (o->trying)
            return true;
    return false;
}

bool is_kept(struct scope *scope, const struct node *target)
{
    const char *first = target->list.count ? bare_name(target->list.at[0]) : NULL;

    return in_over_body(scope) && first && !strcmp(first, scope->over->axis);
}

struct node *at_one_step(struct scope *scope, const struct node *target)
{
    struct node *rest = NEW(scope->unit->arena, struct node);

    *rest = *target;
    rest->list.at++;
    rest->list.count--;
    rest->flag = rest->list.count > 0;
    return rest;
}

static struct kept *kept_named(const struct over *over, const char *name)
{
    for (int i = 0; i < over->names.count; i++)
        if (!strcmp(over->names.at[i]->name, name))
            return over->names.at[i];
    return NULL;
}

static struct kept *new_kept(struct scope *scope, struct over *over, const char *name, struct span span)
{
    struct kept *kept = NEW(scope->unit->arena, struct kept);
    struct binding *binding = scope_bind(scope, name, span);

    kept->name = name;
    kept->span = span;
    kept->over = over;
    binding->kind = BIND_KEPT;
    binding->kept = kept;
    list_add(scope->unit->arena, over->names, kept);
    return kept;
}

/* The axes of the tensor of what is carried; own ones are made anew. Returns the place of the time. */
static int axes_of_carried(struct scope *scope, const struct kept *kept, const ir_index_list *own, ir_index_list *axes,
                           ir_index_list *fresh)
{
    struct arena *arena = scope->unit->arena;
    int time;

    for (int i = 0; i < kept->free.count; i++)
        list_add(arena, *axes, kept->free.at[i]);
    time = axes->count;
    list_add(arena, *axes, kept->over->time);
    for (int i = 0; i < own->count; i++) {
        list_add(arena, *fresh, new_index(scope, own->at[i]->name, own->at[i]->extent));
        list_add(arena, *axes, fresh->at[i]);
    }
    return time;
}

/* The tensor at t + shift, with own axes after the time. */
static const struct value *read_carried(struct scope *scope, const struct kept *kept, int64_t shift)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_tensor *t = kept->tensor;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, t->rank + 1);
    ir_index_list own = {0};
    const struct ir_expr *start = NULL;

    for (int i = 0; i < t->rank; i++) {
        struct ir_index *index = t->axes[i];

        if (i > t->time) {
            index = new_index(scope, index->name, index->extent);
            list_add(scope->unit->arena, own, index);
        }
        forms[i] = ir_form_index(p, index);
    }
    if (shift) {
        forms[t->time] = ir_form_add(p, forms[t->time], ir_form_constant(p, shift));
        start = with_own(scope, value_expr(scope, kept->start), &kept->start->own, &own);
    }
    return value_tensor(scope, ir_read(p, (struct ir_tensor *)t, forms, t->rank, start), &own);
}

/* How far from t a subscript is; false if it is something else. */
static bool shift_of(struct scope *scope, const struct over *over, struct node *subscript, int64_t *shift)
{
    const char *name = bare_name(subscript);
    const struct value *v;
    const struct ir_form *form;

    *shift = 0;
    if (name && !strcmp(name, over->axis))
        return true;
    v = evaluate(scope, subscript);
    if (v->kind != VALUE_TENSOR || v->own.count || !v->expr->whole)
        return false;
    form =
        ir_form_add(scope->workspace->program, ir_form_of(scope->workspace->program, v->expr),
                    ir_form_scale(scope->workspace->program, ir_form_index(scope->workspace->program, over->time), -1));
    *shift = form->constant;
    return !form->count;
}

const struct value *kept_at(struct scope *scope, struct binding *binding, struct node *read, struct span at)
{
    struct kept *kept = binding->kept;
    const struct over *over = kept->over;
    const char *t = over->axis, *name = kept->name;
    char back = over->down ? '+' : '-';
    int64_t shift;

    if (!read || !read->list.count) {
        fail(scope, "E0315", at, "%s stands without a step inside of `over %s`", name, t);
        if (kept->carried)
            help(scope, "%s[%s %c 1] is the one before; all of %s is known after the block", name, t, back, name);
        else
            help(scope, "%s[%s] is the one of this step; all of %s is known after the block", name, t, name);
        return &poison;
    }
    if (!shift_of(scope, over, read->list.at[0], &shift) || (shift && shift != (over->down ? 1 : -1))) {
        if (kept->carried && (shift == 1 || shift == -1))
            return fail(scope, "E0315", read->span, "%s is read at %s - 1 and at %s + 1; a recurrence goes one way",
                        name, t, t);
        fail(scope, "E0315", read->span, "%s reads a step that is not at hand inside of `over %s`",
             text_of(scope, read), t);
        if (kept->carried)
            help(scope, "%s[%s %c 1], or %s[%s] after its definition; to reach further back carry another name", name,
                 t, back, name, t);
        else
            help(scope, "%s[%s]; to reach another step carry it: over %s from %s = ...", name, t, t, name);
        return &poison;
    }
    if (shift && !kept->carried) {
        fail(scope, "E0315", read->span, "%s is not carried, so inside of `over %s` it is read at %s only", name, t, t);
        help(scope, "over %s from %s = ...", t, name);
        return &poison;
    }
    if (shift)
        return kept->tensor ? read_carried(scope, kept, shift) : &poison;
    if (!kept->step) {
        fail(scope, "E0315", read->span, "%s[%s] has no value yet in this step", name, t);
        help(scope, "%s[%s %c 1] is the one before", name, t, back);
        return &poison;
    }
    return kept->step;
}

static void define_carried(struct scope *scope, struct kept *kept, const struct value *v, struct node *target)
{
    struct ir_program *p = scope->workspace->program;
    struct ir_tensor *t = kept->tensor;
    ir_index_list own = {0}, free = {0};

    for (int i = 0; i < v->own.count || i < kept->start->own.count; i++) {
        if (i < v->own.count && i < kept->start->own.count && v->own.at[i]->extent == kept->start->own.at[i]->extent)
            continue;
        fail(scope, "E0302", target->span, "%s starts with axes %s and goes on with %s", kept->name,
             shape_text(scope, &kept->start->own), shape_text(scope, &v->own));
        note(scope, kept->span, "it starts here");
        kept->step = &poison;
        return;
    }
    if (kept->over->trying) {
        kept->step = v;
        return;
    }
    indices_computed(scope, v, &free);
    for (int i = 0; i < free.count; i++)
        if (free.at[i] != kept->over->time && !list_has(&kept->free, free.at[i]))
            bug("%s differs along %s, which was not found", kept->name, free.at[i]->name);
    for (int i = t->time + 1; i < t->rank; i++)
        list_add(scope->unit->arena, own, t->axes[i]);
    ir_define(p, t, IR_MAP, NULL, 0,
              constants_stored(scope, with_own(scope, value_expr(scope, v), &v->own, &own), kept->name, target->span),
              false);
    kept->step = read_carried(scope, kept, 0);
}

void keep(struct scope *scope, struct node *target, const struct value *value)
{
    struct over *over = scope->over;
    struct kept *kept = kept_named(over, target->name);
    struct node *rest = at_one_step(scope, target);

    if (!is_poison(value))
        value = value_assigned(scope, rest, value);
    if (value->kind == VALUE_NUMBER)
        value = value_tensor(scope, value_expr(scope, value), NULL);
    if (!is_poison(value) && value->kind != VALUE_TENSOR)
        value = fail(scope, "E0206", target->span, "a number is wanted on the right of %s", text_of(scope, target));
    if (kept ? kept->step != NULL : map_get(scope->names, target->name) != NULL) {
        struct binding *binding = map_get(scope->names, target->name);

        fail(scope, "E0202", target->name_span, "`%s` is defined twice in this step", target->name);
        note(scope, binding->span, "`%s` is first defined here", target->name);
        return;
    }
    if (is_predefined(target->name)) {
        scope_define(scope, target->name, target->name_span, &poison);
        return;
    }
    if (!kept)
        kept = new_kept(scope, over, target->name, target->name_span);
    if (is_poison(value))
        kept->step = value;
    else if (kept->carried)
        define_carried(scope, kept, value, target);
    else
        kept->step = value->field ? value : materialise_named(scope, value, target->name, target->span);
}

/* ---- direction ---- */

struct directions {
    const struct over *over;
    const struct node *up, *down; /* a read at t - 1, at t + 1 */
};

static void find_directions(struct directions *d, const struct node *node)
{
    if (!node)
        return;
    if (node->kind == NODE_READ && node->list.count && bare_name(node->a) && kept_named(d->over, bare_name(node->a))) {
        const struct node *s = node->list.at[0];

        if (s->kind == NODE_BINARY && bare_name(s->a) && !strcmp(bare_name(s->a), d->over->axis)) {
            if (s->op == '+')
                d->down = node;
            else if (s->op == '-')
                d->up = node;
        }
    }
    find_directions(d, node->a);
    find_directions(d, node->b);
    find_directions(d, node->c);
    for (int i = 0; i < node->list.count; i++)
        find_directions(d, node->list.at[i]);
    for (int i = 0; i < node->more.count; i++)
        find_directions(d, node->more.at[i]);
}

/* ---- the block ---- */

struct attempt {
    struct workspace workspace;
    struct ir_program program;
    struct diagnostics *diagnostics;
    struct map *warned;
};

/* What is done from here on can be taken back. */
static void begin_attempt(struct scope *scope, struct attempt *a)
{
    struct workspace *w = scope->workspace;
    struct ir_program *p = w->program;

    a->workspace = *w;
    a->program = *p;
    a->diagnostics = scope->unit->diagnostics;
    a->warned = scope->unit->warned;
    scope->unit->diagnostics = w->diagnostics = diagnostics_new(scope->unit->arena);
    scope->unit->warned = map_copy(w->arena, a->warned, 0);
    w->instances = map_copy(w->arena, w->instances, 0);
    w->counts = map_copy(w->arena, w->counts, sizeof(int));
    w->sites = map_copy(w->arena, w->sites, 0);
    w->applications = map_copy(w->arena, w->applications, sizeof(int));
    w->reductions = map_copy(w->arena, w->reductions, 0);
    w->scalars = map_copy(w->arena, w->scalars, 0);
    w->probed = map_copy(w->arena, w->probed, 0);
    p->names = map_copy(w->arena, p->names, 0);
    p->suffixes = map_copy(w->arena, p->suffixes, 0);
}

static int end_attempt(struct scope *scope, const struct attempt *a)
{
    int errors = diagnostics_errors(scope->unit->diagnostics);

    *scope->workspace = a->workspace;
    *scope->workspace->program = a->program;
    scope->unit->diagnostics = a->diagnostics;
    scope->unit->warned = a->warned;
    return errors;
}

/* A draw has the name of its path, so what is carried and drawn gives way. */
static bool is_drawn(const struct node *node, const char *name)
{
    if (!node)
        return false;
    if (node->kind == NODE_DEFINITION && node->op == '~' && !strcmp(node->list.at[0]->name, name))
        return true;
    for (int i = 0; i < node->list.count; i++)
        if (is_drawn(node->list.at[i], name))
            return true;
    return node->kind == NODE_WHEN && (is_drawn(node->b, name) || is_drawn(node->c, name));
}

/* The block, with what is carried of the kind it is known to have. */
static void run_block(struct scope *scope, struct over *over, struct node *node)
{
    struct workspace *w = scope->workspace;
    struct scope *inner = scope_inner(scope);
    int carried = over->names.count;

    over->recurrence = ir_recurrence(w->program, over->axis, over->time->extent, over->down);
    inner->over = over;
    inner->context = (ir_index_list){0};
    for (int i = 0; i < scope->context.count; i++)
        list_add(w->arena, inner->context, scope->context.at[i]);
    if (!list_has(&inner->context, over->time))
        list_add(w->arena, inner->context, over->time);
    list_add(w->arena, inner->reduced, over->axis);
    for (int i = 0; i < carried; i++) {
        struct kept *kept = over->names.at[i];
        struct binding *binding = scope_bind(inner, kept->name, kept->span);
        ir_index_list axes = {0}, fresh = {0};
        int time = axes_of_carried(scope, kept, &kept->start->own, &axes, &fresh);
        const char *name = *scope->path ? arena_printf(w->arena, "%s.%s", scope->path, kept->name) : kept->name;

        if (is_drawn(node->b, kept->name))
            name = arena_printf(w->arena, "%s.carried", name);
        binding->kind = BIND_KEPT;
        binding->kept = kept;
        kept->step = NULL;
        kept->tensor = ir_declare(w->program, name, axes.at, axes.count, kept->whole, kept->low, kept->high,
                                  over->recurrence, time, origin_of(scope, kept->span));
    }
    run_statements(inner, node->b);
}

/* Makes the kind wide enough for what a step gives. Is that news? */
static bool widen(struct scope *scope, struct kept *kept, bool again)
{
    const struct ir_expr *e = kept->step->expr;
    struct value all = {.kind = VALUE_TENSOR, .expr = e, .own = kept->step->own};
    ir_index_list free = {0}, wide = {0};
    bool news = false;

    equation_axes(scope, &all, &free);
    for (int i = 0; i < free.count; i++) {
        if (free.at[i] == kept->over->time || list_has(&kept->free, free.at[i]))
            continue;
        list_add(scope->unit->arena, kept->free, free.at[i]);
        news = true;
    }
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < kept->free.count; i++)
            if (kept->free.at[i]->batch == !pass)
                list_add(scope->unit->arena, wide, kept->free.at[i]);
    kept->free = wide;
    if (kept->whole && (!e->whole || (again && (e->low < kept->low || e->high > kept->high)))) {
        /* A range that grows from step to step is none: the value is a number like others. */
        kept->whole = false;
        kept->low = INT64_MIN;
        kept->high = INT64_MAX;
        return true;
    }
    if (kept->whole && (e->low < kept->low || e->high > kept->high)) {
        if (e->low < kept->low)
            kept->low = e->low;
        if (e->high > kept->high)
            kept->high = e->high;
        news = true;
    }
    return news;
}

static void settle_kinds(struct scope *scope, struct over *over, struct node *node)
{
    int carried = over->names.count;
    bool per_sample = false;

    over->trying = true;
    for (int round = 0;; round++) {
        struct attempt attempt;
        bool news = false, fine;

        begin_attempt(scope, &attempt);
        run_block(scope, over, node);
        fine = end_attempt(scope, &attempt) == 0;
        over->names.count = carried;
        for (int i = 0; i < carried; i++)
            fine = fine && over->names.at[i]->step && !is_poison(over->names.at[i]->step);
        for (int i = 0; i < carried && fine; i++)
            news = widen(scope, over->names.at[i], round > 1) || news;
        if (!fine && !per_sample && scope->workspace->batch) {
            /* A step may want what only a later one makes per sample. */
            for (int i = 0; i < carried; i++) {
                struct kept *kept = over->names.at[i];
                ir_index_list free = {0};

                list_add(scope->unit->arena, free, scope->workspace->batch);
                for (int k = 0; k < kept->free.count; k++)
                    if (!kept->free.at[k]->batch)
                        list_add(scope->unit->arena, free, kept->free.at[k]);
                kept->free = free;
            }
            per_sample = news = true;
        }
        if (!news)
            break;
    }
    over->trying = false;
}

/* What the block defined, with the time as an own axis, for what stands after it. */
static void export_names(struct scope *scope, const struct over *over, struct node *node)
{
    struct ir_program *p = scope->workspace->program;

    for (int i = 0; i < over->names.count; i++) {
        struct kept *kept = over->names.at[i];
        struct value *v;
        const struct ir_form *form;
        struct ir_index *time;

        if (kept->carried && !kept->step) {
            fail(scope, "E0315", node->name_span, "%s is carried, and the block does not define %s[%s]", kept->name,
                 kept->name, over->axis);
            note(scope, kept->span, "it starts here");
        }
        if (kept->carried && !kept->tensor->value)
            ir_define(p, kept->tensor, IR_MAP, NULL, 0, ir_number(p, 0), false);
        if (!kept->step || is_poison(kept->step)) {
            scope_define(scope, kept->name, kept->span, &poison);
            continue;
        }
        time = new_index(scope, over->axis, over->time->extent);
        form = ir_form_index(p, time);
        v = value_new(scope, VALUE_TENSOR);
        v->expr = ir_substitute(p, kept->step->expr, (struct ir_index *[]){over->time}, &form, 1);
        list_add(scope->unit->arena, v->own, time);
        for (int k = 0; k < kept->step->own.count; k++)
            list_add(scope->unit->arena, v->own, kept->step->own.at[k]);
        scope_define(scope, kept->name, kept->span, v);
    }
}

/* ---- the head ---- */

static struct ir_index *time_of(struct scope *scope, struct node *node)
{
    struct node axis = {
        .kind = NODE_AXIS, .name = node->name, .name_span = node->name_span, .span = node->name_span, .a = node->a};
    struct node *subscript = &axis;
    struct binding *binding;

    if (node->a && !declare_axes(scope, &subscript, 1, false))
        return NULL;
    binding = scope_find(scope, node->name);
    if (!binding || binding->kind != BIND_AXIS || binding->axes.count != 1) {
        fail(scope, "E0312", node->name_span,
             binding ? "%s is no axis that `over` could run along" : "%s has no extent", node->name);
        help(scope, "over %s: n", node->name);
        return NULL;
    }
    for (const struct over *o = scope->over; o; o = o->up) {
        if (o->time != binding->axes.at[0])
            continue;
        fail(scope, "E0202", node->name_span, "an `over %s` stands inside of another", node->name);
        return NULL;
    }
    return binding->axes.at[0];
}

static bool read_start(struct scope *scope, struct over *over, struct node *definition)
{
    struct node *target = definition->list.at[0];
    const char *outer = scope->target, *name = arena_printf(scope->unit->arena, "%s.start", target->name);
    struct kept *kept;
    const struct value *v;
    ir_index_list free = {0};

    if (definition->op != '=' || definition->list.count != 1) {
        fail(scope, "E0102", definition->span, "what is carried starts as name[axes] = value");
        return false;
    }
    if (kept_named(over, target->name)) {
        fail(scope, "E0202", target->span, "`%s` is carried twice", target->name);
        return false;
    }
    if (target->flag && !declare_axes(scope, target->list.at, target->list.count, false))
        return false;
    scope->target = target->name;
    v = evaluate(scope, definition->a);
    scope->target = outer;
    if (!is_poison(v) && v->kind == VALUE_NUMBER)
        v = value_tensor(scope, value_expr(scope, v), NULL);
    if (!is_poison(v) && v->kind != VALUE_TENSOR)
        v = fail(scope, "E0206", definition->a->span, "a number is wanted here: %s", text_of(scope, definition->a));
    if (!is_poison(v))
        v = target->flag ? close_over(scope, target, v, true) : value_assigned(scope, target, v);
    if (is_poison(v))
        return false;
    v = materialise(scope, v, name, target->span);
    kept = NEW(scope->unit->arena, struct kept);
    kept->name = target->name;
    kept->span = target->span;
    kept->over = over;
    kept->carried = true;
    kept->start = v;
    equation_axes(scope, v, &free);
    kept->free = free;
    kept->whole = v->expr->whole;
    kept->low = kept->whole ? v->expr->low : INT64_MIN;
    kept->high = kept->whole ? v->expr->high : INT64_MAX;
    list_add(scope->unit->arena, over->names, kept);
    return true;
}

/* What ir_arrange found: knots that are no recurrence. */
static void refuse_order(struct scope *scope, const struct over *over, struct node *node, const char *wrong)
{
    struct ir_program *p = scope->workspace->program;
    const char *end = strchr(wrong, ' '), *t = over->axis;
    const struct ir_tensor *whole =
        end ? ir_find(p, arena_slice(scope->unit->arena, wrong, (size_t)(end - wrong))) : NULL;

    if (whole && !whole->recurrence && whole->origin) {
        struct span here = origin_span(scope->unit, whole->origin);
        bool own = here.source == node->name_span.source;

        fail(scope, "E0315", own ? here : node->name_span,
             "a step of `over %s` wants all its steps at once, and they are made one after the other", t);
        note(scope, own ? node->name_span : here,
             own ? "the steps are those of this `over`" : "all of them are wanted here");
        for (const struct ir_origin *o = whole->origin->caller; o; o = o->caller)
            note(scope, origin_span(scope->unit, o), "reached from here");
        help(
            scope,
            "along %s only what is known before the block can be reduced or normalised; of what the steps make carry a "
            "sum, over %s from s = 0 { s[%s] = s[%s %c 1] + ... }, or work along another axis",
            t, t, t, t, over->down ? '+' : '-');
        return;
    }
    fail(scope, "E0315", node->name_span, "the steps of this `over` cannot be made one after the other: %s", wrong);
}

void run_over(struct scope *scope, struct node *node)
{
    struct over *over = NEW(scope->unit->arena, struct over);
    struct directions directions = {.over = over};
    bool fine = true;
    int errors;
    const char *wrong;

    over->up = scope->over;
    over->body = scope->body;
    over->axis = node->name;
    over->time = time_of(scope, node);
    fine = over->time != NULL;
    for (int i = 0; i < node->list.count && over->time; i++)
        fine = read_start(scope, over, node->list.at[i]) && fine;
    find_directions(&directions, node->b);
    if (directions.up && directions.down) {
        fail(scope, "E0315", directions.down->span, "a step reads both the one before and the one after it: %s",
             text_of(scope, directions.down));
        note(scope, directions.up->span, "%s is read here", text_of(scope, directions.up));
        fine = false;
    }
    over->down = directions.down != NULL;
    if (!fine) {
        poison_block(scope, node->b);
        for (int i = 0; i < node->list.count; i++)
            poison_targets(scope, node->list.at[i]);
        return;
    }
    errors = diagnostics_errors(scope->unit->diagnostics);
    scope->workspace->open_overs++;
    settle_kinds(scope, over, node);
    run_block(scope, over, node);
    scope->workspace->open_overs--;
    export_names(scope, over, node);
    if (scope->workspace->open_overs || diagnostics_errors(scope->unit->diagnostics) > errors)
        return;
    wrong = ir_arrange(scope->workspace->program);
    if (wrong)
        refuse_order(scope, over, node, wrong);
}
