/* values.c: arithmetic on values: numbers known now, tensors with own axes, parameter sets. */
#include <math.h>
#include <string.h>

#include "internal.h"

const struct value poison = {.kind = VALUE_POISON};

bool is_number(const struct value *v)
{
    return v->kind == VALUE_NUMBER;
}
bool is_poison(const struct value *v)
{
    return v->kind == VALUE_POISON;
}

bool list_has(const ir_index_list *list, const struct ir_index *index)
{
    for (int i = 0; i < list->count; i++)
        if (list->at[i] == index)
            return true;
    return false;
}

struct value *value_new(struct scope *scope, enum value_kind kind)
{
    struct value *v = NEW(scope->unit->arena, struct value);

    v->kind = kind;
    return v;
}

const struct value *value_number(struct scope *scope, double number, bool whole)
{
    struct value *v = value_new(scope, VALUE_NUMBER);

    v->number = number;
    v->whole = whole;
    return v;
}

const struct value *value_tensor(struct scope *scope, const struct ir_expr *expr, const ir_index_list *own)
{
    struct value *v = value_new(scope, VALUE_TENSOR);

    v->expr = expr;
    if (own)
        v->own = *own;
    return v;
}

const struct value *value_of_tensor(struct scope *scope, struct ir_tensor *tensor, int free_axes)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, tensor->rank + 1);
    ir_index_list own = {0};

    for (int i = 0; i < tensor->rank; i++) {
        struct ir_index *index = tensor->axes[i];

        if (i >= free_axes) {
            index = new_index(scope, index->name, index->extent);
            list_add(scope->unit->arena, own, index);
        }
        forms[i] = ir_form_index(p, index);
    }
    return value_tensor(scope, ir_read(p, tensor, forms, tensor->rank, NULL), &own);
}

const struct ir_expr *value_expr(struct scope *scope, const struct value *value)
{
    if (value->expr)
        return value->expr;
    if (value->kind != VALUE_NUMBER)
        bug("a value of kind %d has no expression", value->kind);
    if (value->whole && fabs(value->number) < 9e15)
        return ir_number(scope->workspace->program, value->number);
    return ir_real(scope->workspace->program, value->number);
}

const struct value *stating(struct scope *scope, const struct value *v, const ir_index_list *from,
                            const ir_index_list *except)
{
    ir_index_list all = {0};
    struct value *out;

    if (v->kind != VALUE_TENSOR)
        return v;
    for (int i = 0; i < v->stated.count; i++)
        list_add(scope->unit->arena, all, v->stated.at[i]);
    for (int i = 0; i < from->count; i++)
        if (!from->at[i]->batch && !list_has(&all, from->at[i]) && !(except && list_has(except, from->at[i])))
            list_add(scope->unit->arena, all, from->at[i]);
    if (all.count == v->stated.count)
        return v;
    out = value_new(scope, VALUE_TENSOR);
    *out = *v;
    out->stated = all;
    return out;
}

void free_indices(struct scope *scope, const struct value *v, ir_index_list *out)
{
    indices_computed(scope, v, out);
    for (int i = 0; i < v->stated.count; i++)
        if (!list_has(out, v->stated.at[i]))
            list_add(scope->unit->arena, *out, v->stated.at[i]);
}

void indices_computed(struct scope *scope, const struct value *v, ir_index_list *out)
{
    ir_index_list all = {0};

    if (v->kind != VALUE_TENSOR)
        return;
    ir_indices(scope->unit->arena, v->expr, &all);
    for (int i = 0; i < all.count; i++)
        if (!list_has(&v->own, all.at[i]) && !list_has(out, all.at[i]))
            list_add(scope->unit->arena, *out, all.at[i]);
}

/* ---- operators on numbers ---- */

enum { RESULT_REAL, RESULT_WHOLE, RESULT_TRUTH, RESULT_CHOICE };

static int result_of(enum ir_op op)
{
    switch (op) {
#define OP(name, arity, form, symbol, level, result, ...)                                                              \
    case IR_##name:                                                                                                    \
        return RESULT_##result;
#include "ops.def"
#undef OP
    default:
        return RESULT_REAL;
    }
}

static double evaluate_operator(enum ir_op op, double a, double b, double c)
{
    (void)c;
    switch (op) {
#define OP(name, arity, form, symbol, level, result, laws, work, ...)                                                  \
    case IR_##name:                                                                                                    \
        return __VA_ARGS__;
#include "ops.def"
#undef OP
    default:
        return NAN;
    }
}

static const struct value *apply_numbers(struct scope *scope, enum ir_op op, const struct value **a, int count)
{
    struct value *v = value_new(scope, VALUE_NUMBER);
    bool rests_on_let = false, whole = true;

    for (int i = 0; i < count; i++) {
        if (a[i]->expr)
            rests_on_let = true;
        if (!(op == IR_select && i == 0) && !a[i]->whole)
            whole = false;
    }
    v->number = evaluate_operator(op, a[0]->number, count > 1 ? a[1]->number : 0, count > 2 ? a[2]->number : 0);
    switch (result_of(op)) {
    case RESULT_TRUTH:
        v->whole = true;
        break;
    case RESULT_REAL:
        v->whole = false;
        break;
    default:
        v->whole = whole && !(op == IR_power && a[1]->number < 0) && fabs(v->number) < 9e15;
        break;
    }
    if (op == IR_floor && fabs(v->number) < 9e15)
        v->whole = true;
    if (rests_on_let && scope->workspace)
        v->expr = ir_apply(scope->workspace->program, op, value_expr(scope, a[0]),
                           count > 1 ? value_expr(scope, a[1]) : NULL, count > 2 ? value_expr(scope, a[2]) : NULL);
    return v;
}

/* ---- elementwise on tensors ---- */

/* A whole let that meets a whole tensor is the number it is now: ranges rest on it. */
static const struct ir_expr *operand(struct scope *scope, const struct value *v, bool whole_context)
{
    if (v->kind == VALUE_NUMBER && v->expr && v->whole && whole_context)
        return ir_number(scope->workspace->program, v->number);
    return value_expr(scope, v);
}

static bool other_order(const ir_index_list *a, const ir_index_list *b)
{
    bool moved = false;

    for (int i = 0; i < a->count; i++) {
        bool found = false;

        for (int k = 0; k < b->count; k++) {
            if (strcmp(a->at[i]->name, b->at[k]->name))
                continue;
            if (found)
                return false;
            found = true;
            if (i != k)
                moved = true;
        }
        if (!found)
            return false;
    }
    return moved;
}

static const char *axis_names(struct scope *scope, const ir_index_list *axes)
{
    const char *names = "";

    for (int i = 0; i < axes->count; i++)
        names = arena_printf(scope->unit->arena, "%s%s%s", names, i ? ", " : "", axes->at[i]->name);
    return names;
}

bool axes_agree(struct scope *scope, const ir_index_list *a, const ir_index_list *b, const struct node *at)
{
    bool equal = a->count == b->count;

    if (equal && a->count > 1 && other_order(a, b)) {
        fail(scope, "E0303", at->span, "axes %s meet %s: %s", axis_names(scope, a), axis_names(scope, b),
             text_of(scope, at));
        help(scope, "write the subscripts, as in y[%s] = ...", axis_names(scope, a));
        return false;
    }
    for (int i = 0; equal && i < a->count; i++)
        equal = a->at[i]->extent == b->at[i]->extent;
    if (!equal)
        fail(scope, "E0302", at->span, "axes %s and %s do not agree: %s", shape_text(scope, a), shape_text(scope, b),
             text_of(scope, at));
    return equal;
}

const struct ir_expr *with_own(struct scope *scope, const struct ir_expr *e, const ir_index_list *from,
                               const ir_index_list *to)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, from->count + 1);
    bool same = true;

    for (int i = 0; i < from->count; i++) {
        forms[i] = ir_form_index(p, to->at[i]);
        if (from->at[i] != to->at[i])
            same = false;
    }
    return same ? e : ir_substitute(p, e, from->at, forms, from->count);
}

static const char *kind_text(const struct value *v)
{
    switch (v->kind) {
    case VALUE_LAYER:
        return "a layer";
    case VALUE_FUNCTION:
    case VALUE_OPERATOR:
        return "a function";
    case VALUE_DISTRIBUTION:
        return "a distribution";
    case VALUE_STRING:
        return "a string";
    case VALUE_TUPLE:
        return "several values";
    case VALUE_DATA:
        return "a data block";
    default:
        return "no number";
    }
}

static const struct value *apply_to_sets(struct scope *scope, enum ir_op op, const struct value **a, int count,
                                         const struct node *at)
{
    const struct value *set = NULL;
    struct value *out;

    for (int i = 0; i < count; i++) {
        if (a[i]->kind == VALUE_SET) {
            if (set && (set->items.count != a[i]->items.count || !set->opened != !a[i]->opened))
                return fail(scope, "E0302", at->span, "two parameter sets that do not agree: %s", text_of(scope, at));
            set = a[i];
        } else if (a[i]->kind == VALUE_TENSOR && a[i]->own.count) {
            return fail(scope, "E0302", at->span, "a parameter set meets axes %s: %s", shape_text(scope, &a[i]->own),
                        text_of(scope, at));
        }
    }
    out = value_new(scope, VALUE_SET);
    out->opened = set->opened;
    for (int k = 0; k < set->items.count; k++) {
        const struct value *piece[3], *v;

        for (int i = 0; i < count; i++)
            piece[i] = a[i]->kind == VALUE_SET ? a[i]->items.at[k] : a[i];
        v = apply_operator(scope, op, piece, count, at);
        if (is_poison(v))
            return &poison;
        list_add(scope->unit->arena, out->items, v);
    }
    return out;
}

static bool is_whole(const struct value *v)
{
    return v->whole || (v->kind == VALUE_TENSOR && v->expr->whole);
}

/* Counts of the run (`step`) are doubles to the IR: their `//` and `%` are written out. */
static const struct ir_expr *divide_counts(struct ir_program *p, enum ir_op op, const struct ir_expr *a,
                                           const struct ir_expr *b)
{
    const struct ir_expr *q = ir_apply(p, IR_floor, ir_apply(p, IR_divide, a, b, NULL), NULL, NULL);

    return op == IR_quotient ? q : ir_apply(p, IR_subtract, a, ir_apply(p, IR_multiply, b, q, NULL), NULL);
}

const struct value *apply_operator(struct scope *scope, enum ir_op op, const struct value **a, int count,
                                   const struct node *at)
{
    bool counts = count == 2 && op != IR_divide && op != IR_power && result_of(op) == RESULT_WHOLE;
    const struct value *result;
    struct value *counted;
    struct ir_program *p;
    const struct value *shaped = NULL, *arguments[3];
    const struct ir_expr *e[3] = {0};
    bool numbers = true, sets = false, whole_context = op == IR_quotient || op == IR_remainder, whole[3] = {0};

    for (int i = 0; i < count; i++) {
        if (is_poison(a[i]))
            return &poison;
        if (a[i]->kind == VALUE_SET)
            sets = true;
        else if (a[i]->kind != VALUE_NUMBER && a[i]->kind != VALUE_TENSOR)
            return fail(scope, "E0206", at->span, "%s is wanted as a number here: %s", kind_text(a[i]),
                        text_of(scope, at));
        if (a[i]->kind != VALUE_NUMBER)
            numbers = false;
        if (a[i]->kind == VALUE_TENSOR && a[i]->expr->whole)
            whole_context = true;
        arguments[i] = a[i];
    }
    if (op == IR_quotient || op == IR_remainder) {
        for (int i = 0; i < 2; i++) {
            if (!is_whole(a[i]))
                return fail(scope, "E0306", at->span, "`%s` wants whole numbers: %s", op == IR_quotient ? "//" : "%",
                            text_of(scope, at));
        }
    }
    if ((op == IR_divide || op == IR_quotient || op == IR_remainder) && a[1]->kind == VALUE_NUMBER &&
        a[1]->number == 0) {
        const struct node *divisor = at->kind == NODE_BINARY ? at->b : at;
        while (divisor->kind == NODE_GROUPED)
            divisor = divisor->a;
        return fail(scope, "E0404", divisor->span, "%s is 0, and %s divides by it", text_of(scope, divisor),
                    text_of(scope, at));
    }
    if (sets)
        return apply_to_sets(scope, op, a, count, at);
    if (numbers)
        return apply_numbers(scope, op, arguments, count);
    p = scope->workspace->program;
    for (int i = 0; i < count; i++) {
        if (a[i]->kind != VALUE_TENSOR || !a[i]->own.count) {
            e[i] = operand(scope, a[i], whole_context);
        } else if (!shaped) {
            shaped = a[i];
            e[i] = a[i]->expr;
        } else {
            if (!axes_agree(scope, &shaped->own, &a[i]->own, at))
                return &poison;
            e[i] = with_own(scope, a[i]->expr, &a[i]->own, &shaped->own);
        }
    }
    for (int i = 0; i < count; i++) {
        counts = counts && is_whole(a[i]);
        whole[i] = e[i]->whole;
    }
    if ((op == IR_quotient || op == IR_remainder) && !(e[0]->whole && e[1]->whole))
        e[0] = divide_counts(p, op, e[0], e[1]);
    else
        e[0] = ir_apply(p, op, e[0], e[1], e[2]);
    result = value_tensor(scope, e[0], shaped ? &shaped->own : NULL);
    counts = counts && !e[0]->whole && !(whole[0] && whole[1]); /* of whole ones: it may leave 64 bits */
    for (int i = 0; i < count; i++)
        result = stating(scope, result, &a[i]->stated, NULL);
    if (!counts)
        return result;
    counted = value_new(scope, VALUE_TENSOR);
    *counted = *result;
    counted->whole = true;
    return counted;
}

/* ---- equations ---- */

/* Is e a read whose subscripts are distinct bare indices? Then it is its tensor under other names. */
static bool is_rename(const struct ir_expr *e)
{
    if (e->kind != IR_READ || e->otherwise)
        return false;
    for (int i = 0; i < e->tensor->rank; i++) {
        struct ir_index *index = ir_form_bare(e->subscripts[i]);

        if (!index || index->extent != e->tensor->axes[i]->extent)
            return false;
        for (int k = 0; k < i; k++)
            if (ir_form_bare(e->subscripts[k]) == index)
                return false;
    }
    return true;
}

static bool needs_no_equation(const struct ir_expr *e)
{
    return e->kind == IR_CONSTANT || e->kind == IR_FORM || is_rename(e);
}

/* Free indices in the order of an equation's axes: batch, the context in its order, the rest as they occur. */
void equation_axes(struct scope *scope, const struct value *v, ir_index_list *out)
{
    struct arena *arena = scope->unit->arena;
    ir_index_list free = {0};

    indices_computed(scope, v, &free);
    for (int i = 0; i < free.count; i++)
        if (free.at[i]->batch)
            list_add(arena, *out, free.at[i]);
    for (int i = 0; i < scope->context.count; i++)
        if (list_has(&free, scope->context.at[i]) && !list_has(out, scope->context.at[i]))
            list_add(arena, *out, scope->context.at[i]);
    for (int i = 0; i < free.count; i++)
        if (!list_has(out, free.at[i]))
            list_add(arena, *out, free.at[i]);
}

static const char *equation_name(struct scope *scope, const char *name)
{
    return *scope->path ? arena_printf(scope->unit->arena, "%s.%s", scope->path, name) : name;
}

static struct ir_tensor *equation(struct scope *scope, const char *name, const ir_index_list *axes,
                                  enum ir_reduction reduction, const ir_index_list *reduced,
                                  const struct ir_expr *value, struct span span);

struct storing {
    struct scope *scope;
    const char *name;
    struct span span;
    struct memo done;
};

static const struct ir_expr *stored(struct storing *s, const struct ir_expr *e)
{
    struct scope *scope = s->scope;
    struct ir_program *p = scope->workspace->program;
    const struct ir_expr *parts[3] = {0}, *result = *memo_at(&s->done, e);
    ir_index_list indices = {0}, none = {0};

    if (result || e->kind != IR_APPLY)
        return result ? result : e;
    ir_indices(scope->unit->arena, e, &indices);
    if (indices.count) {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            parts[i] = stored(s, e->arguments[i]);
        result = memcmp(parts, e->arguments, sizeof parts) ? ir_apply(p, e->op, parts[0], parts[1], parts[2]) : e;
    } else if (e->op == IR_stop && e->arguments[0]->kind == IR_READ) {
        result = e;
    } else {
        const char *part = arena_printf(scope->unit->arena, "%s.part", s->name);

        result = ir_read(p, equation(scope, part, &none, IR_MAP, NULL, e, s->span), NULL, 0, NULL);
    }
    *memo_at(&s->done, e) = result;
    return result;
}

/* The expression with every part that no index occurs in made an equation of rank 0: it is computed once and not for
   each element, and what rests on settings and the step alone can leave the program. */
const struct ir_expr *constants_stored(struct scope *scope, const struct ir_expr *e, const char *name, struct span span)
{
    struct storing s = {.scope = scope, .name = name, .span = span};
    const struct ir_expr *result;

    memo_begin(&s.done);
    result = stored(&s, e);
    memo_end(&s.done);
    return result;
}

static struct ir_tensor *equation(struct scope *scope, const char *name, const ir_index_list *axes,
                                  enum ir_reduction reduction, const ir_index_list *reduced,
                                  const struct ir_expr *value, struct span span)
{
    struct workspace *w = scope->workspace;
    const char *key;
    struct ir_tensor *tensor;

    if (axes->count || (reduced && reduced->count))
        value = constants_stored(scope, value, name, span);
    key = arena_printf(w->arena, "%p/%d", (const void *)value, reduction);
    for (int i = 0; reduced && i < reduced->count; i++)
        key = arena_printf(w->arena, "%s,%d", key, reduced->at[i]->number);
    for (int i = 0; i < axes->count; i++)
        key = arena_printf(w->arena, "%s;%d", key, axes->at[i]->number);
    tensor = map_get(w->reductions, key);
    if (tensor)
        return tensor;
    elements_fit(scope, equation_name(scope, name), axes, span);
    tensor = equation_here(scope, equation_name(scope, name), axes, reduction, reduced, value, false, span);
    map_put(w->reductions, key, tensor);
    return tensor;
}

struct ir_tensor *tensor_over(struct scope *scope, const struct ir_expr *e, const ir_index_list *axes, const char *name,
                              struct span span)
{
    bool same = is_rename(e) && e->tensor->rank == axes->count;

    for (int i = 0; i < axes->count && same; i++)
        same = ir_form_bare(e->subscripts[i]) == axes->at[i];
    return same ? e->tensor : equation(scope, name, axes, IR_MAP, NULL, e, span);
}

struct ir_tensor *tensor_of(struct scope *scope, const struct value *v, const char *name, struct span span)
{
    struct value *as_tensor;
    ir_index_list axes = {0};

    if (v->kind == VALUE_NUMBER) {
        as_tensor = value_new(scope, VALUE_TENSOR);
        as_tensor->expr = value_expr(scope, v);
        v = as_tensor;
    }
    equation_axes(scope, v, &axes);
    for (int i = 0; i < v->own.count; i++)
        list_add(scope->unit->arena, axes, v->own.at[i]);
    return tensor_over(scope, v->expr, &axes, name, span);
}

static const struct value *read_back(struct scope *scope, struct ir_tensor *tensor, const ir_index_list *free,
                                     const ir_index_list *own)
{
    struct ir_program *p = scope->workspace->program;
    const struct ir_form **forms = NEW_ARRAY(scope->unit->arena, const struct ir_form *, tensor->rank + 1);
    ir_index_list fresh = {0};
    int count = 0;

    for (int i = 0; i < free->count; i++)
        forms[count++] = ir_form_index(p, free->at[i]);
    for (int i = 0; i < own->count; i++) {
        struct ir_index *index = new_index(scope, own->at[i]->name, own->at[i]->extent);

        list_add(scope->unit->arena, fresh, index);
        forms[count++] = ir_form_index(p, index);
    }
    return value_tensor(scope, ir_read(p, tensor, forms, count, NULL), &fresh);
}

const struct value *materialise(struct scope *scope, const struct value *v, const char *name, struct span span)
{
    ir_index_list axes = {0};

    if (v->kind != VALUE_TENSOR || needs_no_equation(v->expr))
        return v;
    equation_axes(scope, v, &axes);
    return stating(scope, read_back(scope, tensor_of(scope, v, name, span), &axes, &v->own), &v->stated, NULL);
}

const struct value *materialise_named(struct scope *scope, const struct value *v, const char *name, struct span span)
{
    ir_index_list axes = {0}, all = {0};
    const struct ir_expr *e = v->expr;
    int steps;

    if (v->kind != VALUE_TENSOR || e->whole || !takes_gradient_by(scope->unit, scope->file, name))
        return materialise(scope, v, name, span);
    equation_axes(scope, v, &axes);
    steps = axes.count;
    add_times(scope, &axes);
    if (is_rename(e) && axes.count == steps)
        return v;
    for (int i = 0; i < axes.count; i++)
        list_add(scope->unit->arena, all, axes.at[i]);
    for (int i = 0; i < v->own.count; i++)
        list_add(scope->unit->arena, all, v->own.at[i]);
    if (all.count)
        e = constants_stored(scope, e, name, span);
    elements_fit(scope, equation_name(scope, name), &all, span);
    return stating(scope,
                   read_back(scope, equation_here(scope, equation_name(scope, name), &all, IR_MAP, NULL, e, false, span),
                             &axes, &v->own),
                   &v->stated, NULL);
}

const struct value *value_of_whole(struct scope *scope, const struct value *v, const char *name, struct span span)
{
    ir_index_list axes = {0};

    if (is_rename(v->expr))
        return v;
    equation_axes(scope, v, &axes);
    return read_back(scope, tensor_of(scope, v, name, span), &axes, &v->own);
}

/* ---- reductions ---- */

struct factoring {
    struct scope *scope;
    const ir_index_list *all;
    struct span span;
    struct memo done;
};

static const struct ir_expr *stored_factor(struct factoring *f, const struct ir_expr *e)
{
    struct scope *scope = f->scope;
    struct value v = {.kind = VALUE_TENSOR, .expr = e};
    const struct ir_expr *result = *memo_at(&f->done, e);
    ir_index_list indices = {0};

    if (result || e->kind != IR_APPLY)
        return result ? result : e;
    if (e->op == IR_multiply) {
        const struct ir_expr *a = stored_factor(f, e->arguments[0]), *b = stored_factor(f, e->arguments[1]);

        result = a == e->arguments[0] && b == e->arguments[1]
                     ? e
                     : ir_apply(scope->workspace->program, IR_multiply, a, b, NULL);
    } else {
        ir_indices(scope->unit->arena, e, &indices);
        result = e;
        if (indices.count && indices.count != f->all->count)
            result =
                materialise(scope, &v,
                            scope->target ? arena_printf(scope->unit->arena, "%s.factor", scope->target) : "factor",
                            f->span)
                    ->expr;
    }
    *memo_at(&f->done, e) = result;
    return result;
}

/* In a sum of a product over several index sets (a contraction), each factor that is computed becomes a tensor first:
   it is then computed once for each of its own indices, not once for each point of the product. */
static const struct ir_expr *factors_stored(struct scope *scope, const struct ir_expr *e, const ir_index_list *all,
                                            struct span span)
{
    struct factoring f = {.scope = scope, .all = all, .span = span};
    const struct ir_expr *result;

    memo_begin(&f.done);
    result = stored_factor(&f, e);
    memo_end(&f.done);
    return result;
}

static const struct value *reduce_set(struct scope *scope, enum reduce how, const struct value *v, struct span span)
{
    const struct value *total = NULL;
    struct node at = {.kind = NODE_NAME, .span = span, .name = "the parameters"};
    int64_t count = 0;

    if (how == REDUCE_ARGMAX || how == REDUCE_ARGMIN)
        return fail(scope, "E0206", span, "a place within a parameter set has no meaning");
    for (int i = 0; i < v->items.count; i++) {
        const struct value *piece = v->items.at[i], *part;
        struct value open = {.kind = VALUE_TENSOR, .expr = piece->expr};
        ir_index_list axes = piece->own;

        count += axes.count ? ir_extent_product(axes.at, axes.count) : 1;
        if (piece->kind == VALUE_NUMBER)
            open.expr = value_expr(scope, piece);
        part = axes.count ? reduce_over(scope, how == REDUCE_MEAN ? REDUCE_SUM : how, &open, &axes, span)
                          : value_tensor(scope, open.expr, NULL);
        if (!total)
            total = part;
        else {
            const struct value *both[2] = {total, part};
            enum ir_op op = how == REDUCE_MAX    ? IR_max
                            : how == REDUCE_MIN  ? IR_min
                            : how == REDUCE_PROD ? IR_multiply
                                                 : IR_add;
            total = apply_operator(scope, op, both, 2, &at);
        }
    }
    if (how == REDUCE_MEAN) {
        const struct value *both[2] = {total, value_number(scope, (double)count, false)};
        total = apply_operator(scope, IR_divide, both, 2, &at);
    }
    return total;
}

static const struct value *reduce_computed(struct scope *scope, enum reduce how, const struct value *v,
                                           const ir_index_list *over, struct span span)
{
    static const enum ir_reduction reductions[] = {IR_SUM,     IR_SUM,    IR_PRODUCT, IR_MAXIMUM,
                                                   IR_MINIMUM, IR_ARGMAX, IR_ARGMIN};
    static const char *const words[] = {"sum", "sum", "prod", "max", "min", "argmax", "argmin"};
    struct ir_program *p = scope->workspace->program;
    ir_index_list all = {0}, free = {0}, own = {0};
    struct value rest = {.kind = VALUE_TENSOR};
    const struct ir_expr *value = v->expr;
    struct ir_tensor *tensor;
    const struct value *out;

    equation_axes(scope, v, &all);
    for (int i = 0; i < all.count; i++)
        if (!list_has(over, all.at[i]))
            list_add(scope->unit->arena, free, all.at[i]);
    if (how == REDUCE_SUM || how == REDUCE_MEAN)
        value = factors_stored(scope, value, &all, span);
    tensor = equation(scope,
                      scope->target ? arena_printf(scope->unit->arena, "%s.%s", scope->target, words[how]) : words[how],
                      &free, reductions[how], over, value, span);
    out = read_back(scope, tensor, &free, &own);
    if (how == REDUCE_MEAN) {
        rest.expr =
            ir_apply(p, IR_divide, out->expr, ir_real(p, (double)ir_extent_product(over->at, over->count)), NULL);
        out = value_tensor(scope, rest.expr, NULL);
    }
    return out;
}

/* Along `constant` the value is the same, along `over` it differs. */
static const struct value *reduce_repeated(struct scope *scope, enum reduce how, const struct value *v,
                                           const ir_index_list *over, const ir_index_list *constant, struct span span)
{
    struct ir_program *p = scope->workspace->program;
    double count = (double)ir_extent_product(constant->at, constant->count);
    const struct ir_expr *e, *times;

    if (how == REDUCE_ARGMAX || how == REDUCE_ARGMIN)
        return value_tensor(scope, ir_number(p, 0), NULL);
    e = over->count ? reduce_computed(scope, how, v, over, span)->expr : v->expr;
    times = e->whole ? ir_number(p, count) : ir_real(p, count);
    if (how == REDUCE_SUM)
        e = ir_apply(p, IR_multiply, e, times, NULL);
    else if (how == REDUCE_PROD)
        e = ir_apply(p, IR_power, e, times, NULL);
    return value_tensor(scope, e, NULL);
}

const struct value *reduce_over(struct scope *scope, enum reduce how, const struct value *v, const ir_index_list *over,
                                struct span span)
{
    bool place = how == REDUCE_ARGMAX || how == REDUCE_ARGMIN;
    ir_index_list computed = {0}, differs = {0}, constant = {0};
    const struct value *out;

    if (v->kind == VALUE_SET)
        return reduce_set(scope, how, v, span);
    indices_computed(scope, v, &computed);
    for (int i = 0; i < over->count; i++) {
        if (list_has(&computed, over->at[i]))
            list_add(scope->unit->arena, differs, over->at[i]);
        else
            list_add(scope->unit->arena, constant, over->at[i]);
    }
    if (constant.count && !(place && differs.count))
        out = reduce_repeated(scope, how, v, &differs, &constant, span);
    else
        out = reduce_computed(scope, how, v, over, span);
    return stating(scope, out, &v->stated, over);
}

struct ir_tensor *scalar_leaf(struct workspace *w, const char *name)
{
    struct ir_tensor *leaf = map_get(w->scalars, name);

    if (leaf)
        return leaf;
    leaf = ir_leaf(w->program, IR_SCALAR, name, NULL, 0, false, INT64_MIN, INT64_MAX, NULL);
    map_put(w->scalars, name, leaf);
    return leaf;
}
