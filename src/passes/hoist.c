/* hoist.c: what varies along few loops leaves the equations of many.

   requires: no kernels yet. maintains: every value (a part keeps its equation's precision); bit for bit but where a quotient is
   brought before a product. breaks: adds equations. exp(z[n, c] - (m[n] + log(s[n]))) takes a logarithm for each n and c;
   as an equation of its own over n it takes one a row. Of single equations every part that rounds leaves, so that what remains
   (u[n, o] < q[n]) is exact and may be repeated. */
#include "internal.h"

/* Points saved, at least, and operations of a part that is worth a tensor. */
enum { FEWER = 8, WORTH = 4 };

struct hoisting {
    struct ir_program *p;
    struct ir_tensor *equation;
    struct arena *scratch;
    struct memo gathered, done; /* what each function made of an expression */
    struct memo loops;          /* loop_bits of an expression * 2 + 1 */
};

static struct ir_tensor *new_part(struct hoisting *h, const struct ir_expr *e, ir_index_list *indices)
{
    struct ir_tensor *t = h->equation, *part;

    part = ir_equation(h->p, arena_printf(h->p->arena, "%s.part", t->name), indices->at, indices->count, IR_MAP, NULL,
                       0, e, t->single, t->origin);
    insert_before(h->p, t, part);
    return part;
}

static struct ir_index *loop_at(const struct ir_tensor *t, int i)
{
    return i < t->rank ? t->axes[i] : t->reduced[i - t->rank];
}

enum { LOOP_BITS = 63 };

/* Bit i: e varies along loop i of the equation, which has LOOP_BITS at most. */
static uint64_t loop_bits(struct hoisting *h, const struct ir_expr *e)
{
    uintptr_t known = (uintptr_t)*memo_at(&h->loops, e);
    ir_index_list found = {0};
    uint64_t bits = 0;

    if (known)
        return known >> 1;
    if (e->kind != IR_APPLY)
        ir_indices(h->scratch, e, &found);
    for (int i = 0; found.count && i < h->equation->rank + h->equation->reduced_count; i++)
        if (ir_is_among(found.at, found.count, loop_at(h->equation, i)))
            bits |= (uint64_t)1 << i;
    for (int i = 0; e->kind == IR_APPLY && i < 3 && e->arguments[i]; i++)
        bits |= loop_bits(h, e->arguments[i]);
    *memo_at(&h->loops, e) = (void *)(uintptr_t)(bits << 1 | 1);
    return bits;
}

/* The indices of e in the order of the equation's loops. */
static ir_index_list loops_of(struct hoisting *h, const struct ir_expr *e)
{
    uint64_t bits = loop_bits(h, e);
    ir_index_list loops = {0};

    for (int i = 0; bits >> i; i++)
        if (bits >> i & 1)
            list_add(h->scratch, loops, loop_at(h->equation, i));
    return loops;
}

/* Does e vary along loops, but along few? */
static bool varies_little(struct hoisting *h, const struct ir_expr *e)
{
    ir_index_list loops = loops_of(h, e);

    return loops.count && !e->whole && FEWER * ir_extent_product(loops.at, loops.count) <= iteration_points(h->equation);
}

/* a[c] * x[n, c] / b[c] as (a[c] / b[c]) * x[n, c]: the quotient is made for each c. */
static const struct ir_expr *gathered(struct hoisting *h, const struct ir_expr *e)
{
    const struct ir_expr *result, *arguments[3] = {0};

    if (e->kind != IR_APPLY || e->whole)
        return e;
    if (*memo_at(&h->gathered, e))
        return *memo_at(&h->gathered, e);
    for (int i = 0; i < 3 && e->arguments[i]; i++)
        arguments[i] = gathered(h, e->arguments[i]);
    result = ir_apply(h->p, e->op, arguments[0], arguments[1], arguments[2]);
    const struct ir_expr *a = arguments[0], *b = arguments[1];
    if (e->op == IR_divide && a->kind == IR_APPLY && a->op == IR_multiply && varies_little(h, b))
        for (int i = 0; i < 2; i++) {
            const struct ir_expr *quotient = ir_apply(h->p, IR_divide, a->arguments[i], b, NULL);

            if (varies_little(h, a->arguments[i]) && varies_little(h, quotient) && !varies_little(h, a->arguments[1 - i])) {
                result = ir_apply(h->p, IR_multiply, quotient, a->arguments[1 - i], NULL);
                break;
            }
        }
    *memo_at(&h->gathered, e) = result;
    return result;
}

static const struct ir_expr *take_out(struct hoisting *h, const struct ir_expr *e)
{
    const struct ir_tensor *t = h->equation;
    const struct ir_expr *result = e, *arguments[3] = {0};
    ir_index_list loops;

    if (e->kind != IR_APPLY)
        return e;
    if (*memo_at(&h->done, e))
        return *memo_at(&h->done, e);
    loops = loops_of(h, e);
    if (!e->whole && FEWER * ir_extent_product(loops.at, loops.count) <= iteration_points(t) &&
        (t->single ? expression_rounds(e) : expression_flops(e) >= WORTH)) {
        const struct ir_form **subscripts = NEW_ARRAY(h->p->arena, const struct ir_form *, loops.count + 1);

        for (int i = 0; i < loops.count; i++)
            subscripts[i] = ir_form_index(h->p, loops.at[i]);
        result = ir_read(h->p, new_part(h, e, &loops), subscripts, loops.count, NULL);
    } else {
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            arguments[i] = take_out(h, e->arguments[i]);
        result = ir_apply(h->p, e->op, arguments[0], arguments[1], arguments[2]);
    }
    *memo_at(&h->done, e) = result;
    return result;
}

void hoist_parts(struct ir_program *p)
{
    for (int i = 0; i < p->tensors.count; i++) {
        struct hoisting h = {.p = p, .equation = p->tensors.at[i]};

        if (!is_plain(h.equation) || iteration_points(h.equation) < FEWER ||
            h.equation->rank + h.equation->reduced_count > LOOP_BITS)
            continue;
        h.scratch = arena_new();
        memo_begin(&h.gathered);
        memo_begin(&h.done);
        memo_begin(&h.loops);
        if (!h.equation->single)
            h.equation->value = gathered(&h, h.equation->value);
        h.equation->value = take_out(&h, h.equation->value);
        i = h.equation->number; /* parts were put before it */
        memo_end(&h.loops);
        memo_end(&h.done);
        memo_end(&h.gathered);
        arena_free(h.scratch);
    }
    share(p);
}
