/* mask.c: where a gradient passes, read off what the forward pass stores.

   requires: no kernels yet. maintains: every value, where the numbers that are not passed on are finite (they were
   multiplied by 0). breaks: values of equations. Of

       y[n, o] = keep[n, o] * r[n, o] / 0.8
       d[n, o] = 1.25 * keep[n, o] * g[n, o]
       e[n, o] = if r[n, o] > 0 then d[n, o] else 0

   a product reads y, so y is stored; y > 0 says what r > 0 and keep say together:

       d[n, o] = 1.25 * g[n, o]
       e[n, o] = if y[n, o] > 0 then d[n, o] else 0

   Now keep is drawn once, and what r is made of is not needed again. The other factors of y are 1 at least, so that no
   number but 0 becomes 0. */
#include <math.h>

#include "internal.h"

enum { MOST_MASKS = 4, DEEPEST_BOUNDS = 6 };

struct masking {
    struct ir_program *p;
    struct arena *arena;
    struct uses uses;
    bool small;
};
/* y as a product: of a read of r, of masks (0 or 1) and of factors that are 1 at least, but finite. */
struct masked {
    const struct ir_expr *r, *masks[MOST_MASKS];
    int count;
};

/* A read of a tensor with the very axes of t, at them. */
static bool reads_alike(const struct ir_expr *e, const struct ir_tensor *t)
{
    return e->kind == IR_READ && !e->otherwise && e->tensor->rank == t->rank && reads_at_axes(e, t->axes);
}

static bool is_mask(const struct ir_expr *e)
{
    return e->tensor->whole && e->tensor->low == 0 && e->tensor->high == 1;
}

struct bounds {
    double low, high;
};

/* Between what numbers e lies; of little beyond numbers and draws: rates of dropout. */
static struct bounds bounds_of(const struct ir_expr *e, int depth)
{
    const struct bounds none = {-INFINITY, INFINITY};

    if (e->kind == IR_CONSTANT)
        return (struct bounds){e->number, e->number};
    if (e->kind == IR_FORM)
        return (struct bounds){(double)e->form->low, (double)e->form->high};
    if (depth == DEEPEST_BOUNDS || (e->kind == IR_READ && e->otherwise))
        return none;
    if (e->kind == IR_READ && e->tensor->kind == IR_DRAW)
        return e->tensor->draw == IR_NORMAL ? none : (struct bounds){0, 1};
    if (e->kind == IR_READ)
        return is_plain(e->tensor) && e->tensor->reduction == IR_MAP ? bounds_of(e->tensor->value, depth + 1) : none;
    if (e->op != IR_add && e->op != IR_subtract && e->op != IR_multiply)
        return none;
    struct bounds a = bounds_of(e->arguments[0], depth + 1), b = bounds_of(e->arguments[1], depth + 1);
    if (e->op == IR_add)
        return (struct bounds){a.low + b.low, a.high + b.high};
    if (e->op == IR_subtract)
        return (struct bounds){a.low - b.high, a.high - b.low};
    return a.low >= 0 && b.low >= 0 ? (struct bounds){a.low * b.low, a.high * b.high} : none;
}

static bool has_factors(const struct ir_expr *e)
{
    return e->op == IR_multiply || e->op == IR_divide;
}

static bool find_factors(struct memo *sizes, const struct ir_tensor *y, const struct ir_expr *e, struct masked *out)
{
    if (ir_comes_apart(sizes, e, has_factors)) {
        struct bounds by = {1, 1};

        if (e->op == IR_divide)
            by = bounds_of(e->arguments[1], 0);
        return by.low > 0 && by.high <= 1 && find_factors(sizes, y, e->arguments[0], out) &&
               (e->op == IR_divide || find_factors(sizes, y, e->arguments[1], out));
    }
    if (!reads_alike(e, y))
        return bounds_of(e, 0).low >= 1;
    if (is_mask(e) && out->count < MOST_MASKS) {
        out->masks[out->count++] = e;
        return true;
    }
    if (out->r)
        return false;
    out->r = e;
    return true;
}

/* Is y such a product? */
static bool is_masked(const struct ir_tensor *y, struct masked *out)
{
    struct memo sizes;
    bool masked;

    memo_begin(&sizes);
    masked = find_factors(&sizes, y, y->value, out);
    memo_end(&sizes);
    return masked && out->count && out->r;
}

/* e, a part of t's value, without a factor that is the mask at t's axes; NULL: it has none. */
static const struct ir_expr *without(struct ir_program *p, struct memo *sizes, const struct ir_expr *e,
                                     const struct ir_tensor *mask, const struct ir_tensor *t)
{
    const struct ir_expr *a, *b;

    if (!ir_comes_apart(sizes, e, has_factors))
        return NULL;
    a = e->arguments[0];
    b = e->arguments[1];
    for (int i = 0; i < 2 && e->op == IR_multiply; i++) {
        const struct ir_expr *one = i ? b : a;

        if (reads_alike(one, t) && one->tensor == mask)
            return i ? a : b;
    }
    const struct ir_expr *less = without(p, sizes, a, mask, t);
    if (less)
        return ir_apply(p, e->op, less, b, NULL);
    if (e->op == IR_multiply && (less = without(p, sizes, b, mask, t)))
        return ir_apply(p, e->op, a, less, NULL);
    return NULL;
}

/* Is y in memory for a product's sake? */
static bool is_stored(const struct masking *m, const struct ir_tensor *y)
{
    for (int i = 0; i < m->uses.readers[y->number].count; i++) {
        const struct ir_tensor *reader = m->uses.readers[y->number].at[i];

        if (is_tiled(m->p, reader) || (m->small && is_contraction(m->p, reader)))
            return true;
    }
    return false;
}

static const struct ir_expr *without_all(struct ir_program *p, const struct ir_expr *e, const struct masked *y,
                                         const struct ir_tensor *t)
{
    struct memo sizes;

    memo_begin(&sizes);
    for (int i = 0; i < y->count && e; i++)
        e = without(p, &sizes, e, y->masks[i]->tensor, t);
    memo_end(&sizes);
    return e;
}

/* e = if r > 0 then passed else 0, and y = masks * r: the masks go out of what is passed, or of the map that it is read
   from and that nothing else reads. */
static bool use_sign(struct masking *m, struct ir_tensor *e, const struct ir_expr *r, const struct ir_expr *passed,
                     struct ir_tensor *y)
{
    struct masked found = {0};
    struct ir_tensor *d = passed->kind == IR_READ && !passed->otherwise ? passed->tensor : NULL;
    const struct ir_expr *less;

    if (!is_plain(y) || y->reduction != IR_MAP || y->single || y->number > e->number || y->rank != e->rank ||
        !is_stored(m, y) || !is_masked(y, &found) || found.r->tensor != r->tensor)
        return false;
    if (d && is_plain(d) && d->reduction == IR_MAP && reads_alike(passed, e) && !m->uses.kept[d->number] &&
        m->uses.readers[d->number].count == 1 && (less = without_all(m->p, d->value, &found, d))) {
        d->value = less;
    } else if ((less = without_all(m->p, passed, &found, e))) {
        passed = less;
    } else {
        return false;
    }
    const struct ir_expr *sign = ir_read(m->p, y, r->subscripts, y->rank, NULL), *zero = ir_real(m->p, 0);
    e->value = ir_apply(m->p, IR_select, ir_apply(m->p, IR_greater, sign, zero, NULL), passed, zero);
    return true;
}

static bool mask_by_sign(struct masking *m, struct ir_tensor *e)
{
    const struct ir_expr *v = e->value, *condition, *r;

    if (!is_plain(e) || e->reduction != IR_MAP || v->kind != IR_APPLY || v->op != IR_select ||
        !ir_is_zero(v->arguments[2]))
        return false;
    condition = v->arguments[0];
    if (condition->kind != IR_APPLY || condition->op != IR_greater || !ir_is_zero(condition->arguments[1]))
        return false;
    r = condition->arguments[0];
    if (!reads_alike(r, e))
        return false;
    for (int i = 0; i < m->uses.readers[r->tensor->number].count; i++)
        if (use_sign(m, e, r, v->arguments[1], m->uses.readers[r->tensor->number].at[i]))
            return true;
    return false;
}

void mask_by_signs(struct ir_program *p, bool small)
{
    struct masking m = {p, arena_new(), {0}, small};

    m.uses = uses_of(m.arena, p);
    for (int i = 0; i < p->tensors.count; i++)
        if (mask_by_sign(&m, p->tensors.at[i]))
            m.uses = uses_of(m.arena, p);
    drop_dead(p);
    arena_free(m.arena);
}
