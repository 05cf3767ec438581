/* bound.c: the norm of the gradients, and what says that it is finite before they are there.

   A step is made only if its gradient's norm is finite, and the norm is known when all of the gradient is: so no update could be
   made of a gradient's numbers while they are at hand. But a gradient that is a sum of products, g[o] = sum over r of
   a[..] * b[..], has by Cauchy and Schwarz

       sum of g^2  <=  n * (sum of a^2) * (sum of b^2)

   where n is 1 for a matrix product: the product, over a and b, of the extents of what is summed over and not mentioned
   there. Both sums are of few numbers where a is samples by inputs and b samples by outputs. Not finite where a or b is
   not; finite where it is only if the gradient is: its numbers, their squares and the sum of those. The other way round it
   may be infinite for a finite gradient: from norms of 1.8e19 over the square root of the number of samples on, in f32.

   So the guard of a step is the sum of such bounds, and of the squares themselves of gradients for which there is none that
   costs less; unless all of them are the squares themselves, or an update needs a number made of the whole gradient, as
   clipping by its norm does. */
#include "internal.h"

/* ---- bounds ---- */

struct bounding {
    struct workspace *w;
    struct scope *top;
    int64_t most; /* numbers that a bound may be made of */
};

/* The sum of e's squares over all its indices. */
static const struct ir_expr *sum_of_squares(const struct bounding *b, const struct ir_expr *e)
{
    struct ir_program *p = b->w->program;
    const struct ir_expr *square = ir_apply(p, IR_power, e, e->whole ? ir_real(p, 2) : ir_number(p, 2), NULL);
    ir_index_list indices = {0};

    ir_indices(b->w->arena, e, &indices);
    if (!indices.count)
        return square;
    return reduce_over(b->top, REDUCE_SUM, value_tensor(b->top, square, NULL), &indices, (struct span){0})->expr;
}

/* Numbers made of products: t's own, or of one of its terms. */
struct products {
    const struct ir_expr *value;
    struct ir_index *const *axes, *const *summed;
    int rank, summed_count;
};

/* NULL: it is no product, or as many numbers would have to be looked at as it has itself. */
static const struct ir_expr *bound_of_products(const struct bounding *b, const struct products *t)
{
    struct ir_program *p = b->w->program;
    ir_index_list of[2] = {{0}, {0}};
    const struct ir_expr *sums[2], *bound;
    double repeated = 1;

    if (t->value->kind != IR_APPLY || t->value->op != IR_multiply)
        return NULL;
    for (int i = 0; i < 2; i++)
        ir_indices(b->w->arena, t->value->arguments[i], &of[i]);
    if (ir_extent_product(of[0].at, of[0].count) + ir_extent_product(of[1].at, of[1].count) > b->most)
        return NULL;
    for (int i = 0; i < t->summed_count; i++)
        for (int k = 0; k < 2; k++)
            if (!ir_is_among(of[k].at, of[k].count, t->summed[i]))
                repeated *= (double)t->summed[i]->extent;
    for (int i = 0; i < t->rank; i++)
        if (!ir_is_among(of[0].at, of[0].count, t->axes[i]) && !ir_is_among(of[1].at, of[1].count, t->axes[i]))
            repeated *= (double)t->axes[i]->extent;
    for (int i = 0; i < 2; i++)
        sums[i] = sum_of_squares(b, t->value->arguments[i]);
    bound = ir_apply(p, IR_multiply, sums[0], sums[1], NULL);
    return repeated == 1 ? bound : ir_apply(p, IR_multiply, ir_number(p, repeated), bound, NULL);
}

/* Does it read each element of its tensor once, as t's axes run? */
static bool reads_all(const struct ir_expr *read, const struct ir_tensor *t)
{
    ir_index_list met = {0};
    struct arena *scratch = arena_new();
    bool all = read->tensor->rank == t->rank;

    for (int i = 0; all && i < t->rank; i++) {
        struct ir_index *index = ir_form_bare(read->subscripts[i]);

        all = index && index->extent == read->tensor->axes[i]->extent && !ir_is_among(met.at, met.count, index);
        list_add(scratch, met, index);
    }
    arena_free(scratch);
    return all;
}

static const struct ir_expr *bound_of_tensor(const struct bounding *b, const struct ir_tensor *t);

/* Of a term of t: a product, a sum of products, or a parameter times a constant, as a penalty has it that sums its squares
   anyway. */
static const struct ir_expr *bound_of_term(const struct bounding *b, const struct ir_tensor *t, const struct ir_expr *e)
{
    struct ir_program *p = b->w->program;
    const struct products product = {.value = e, .axes = t->axes, .rank = t->rank};
    const struct ir_expr *read = e;
    double factor = 1;

    if (e->kind == IR_APPLY && e->op == IR_multiply && e->arguments[0]->kind == IR_CONSTANT) {
        factor = e->arguments[0]->number;
        read = e->arguments[1];
    }
    if (read->kind != IR_READ || !reads_all(read, t))
        return bound_of_products(b, &product);
    if (read->tensor->kind == IR_PARAMETER)
        return ir_apply(p, IR_multiply, ir_real(p, factor * factor), sum_of_squares(b, read), NULL);
    return factor == 1 ? bound_of_tensor(b, read->tensor) : NULL;
}

/* Of the sum of t's squares; NULL if none is cheaper. */
static const struct ir_expr *bound_of_tensor(const struct bounding *b, const struct ir_tensor *t)
{
    struct ir_program *p = b->w->program;
    const struct products sum = {t->value, t->axes, t->reduced, t->rank, t->reduced_count};
    const struct ir_expr *terms[2];

    if (t->kind != IR_EQUATION || t->recurrence || t->targets)
        return NULL;
    if (t->reduction == IR_SUM)
        return bound_of_products(b, &sum);
    if (t->reduction != IR_MAP)
        return NULL;
    if (t->value->kind != IR_APPLY || t->value->op != IR_add)
        return bound_of_term(b, t, t->value);
    for (int i = 0; i < 2; i++)
        if (!(terms[i] = bound_of_term(b, t, t->value->arguments[i])))
            return NULL;
    /* (x + y)^2 <= 2 x^2 + 2 y^2 */
    return ir_apply(p, IR_multiply, ir_number(p, 2), ir_apply(p, IR_add, terms[0], terms[1], NULL), NULL);
}

/* ---- of all gradients ---- */

/* The sum of t's squares where each of its numbers is a product of one factor's and one of the other's, as of a single
   sample: then the bound is no more than it. NULL: t is not so. */
static const struct ir_expr *squares_of_products(struct bounding *b, const struct ir_tensor *t)
{
    const struct products product = {.value = t->value, .axes = t->axes, .rank = t->rank};
    ir_index_list of[2] = {{0}, {0}};

    if (t->kind != IR_EQUATION || t->recurrence || t->reduction != IR_MAP || t->value->kind != IR_APPLY ||
        t->value->op != IR_multiply)
        return NULL;
    for (int i = 0; i < 2; i++)
        ir_indices(b->w->arena, t->value->arguments[i], &of[i]);
    for (int i = 0; i < of[0].count; i++)
        if (ir_is_among(of[1].at, of[1].count, of[0].at[i]))
            return NULL;
    b->most = ir_elements(t);
    return bound_of_products(b, &product);
}

struct ir_tensor *norm_of_gradients(struct workspace *w, const char *name, const struct ir_expr **squares)
{
    struct ir_program *p = w->program;
    struct scope *top = scope_top(w, w->unit, w->unit->main, true);
    struct bounding b = {.w = w, .top = top};
    const struct ir_expr *total = NULL;

    top->target = name;
    for (int i = 0; i < w->parameters.count; i++) {
        const struct value *g = w->parameters.at[i]->gradient;
        struct value square = {.kind = VALUE_TENSOR};

        if (!g)
            continue;
        squares[i] = g->expr->kind == IR_READ ? squares_of_products(&b, g->expr->tensor) : NULL;
        if (!squares[i]) {
            square.expr = ir_apply(p, IR_multiply, g->expr, g->expr, NULL);
            squares[i] =
                g->own.count ? reduce_over(top, REDUCE_SUM, &square, &g->own, (struct span){0})->expr : square.expr;
        }
        total = total ? ir_apply(p, IR_add, total, squares[i], NULL) : squares[i];
    }
    return tensor_of(top, value_tensor(top, ir_apply(p, IR_sqrt, total, NULL, NULL), NULL), name, (struct span){0});
}

struct ir_tensor *bound_of_gradients(struct workspace *w, const struct ir_expr *const *squares)
{
    struct bounding b = {.w = w, .top = scope_top(w, w->unit, w->unit->main, true)};
    const struct ir_expr *total = NULL;
    bool any = false;

    b.top->target = "gradient_bound";
    for (int i = 0; i < w->parameters.count; i++) {
        const struct ir_tensor *derivative = w->parameters.at[i]->derivative;
        const struct ir_expr *bound = NULL;

        if (squares[i]) {
            b.most = ir_elements(derivative);
            bound = bound_of_tensor(&b, derivative);
        }
        any |= bound && bound != squares[i];
        bound = bound ? bound : squares[i];
        total = total && bound ? ir_apply(w->program, IR_add, total, bound, NULL) : bound ? bound : total;
    }
    return any ? tensor_of(b.top, value_tensor(b.top, total, NULL), b.top->target, (struct span){0}) : NULL;
}

/* ---- what updates need ---- */

/* By number of tensor: does it depend on a gradient; on a number made of a whole one? */
enum need { NOTHING, NUMBERS, WHOLE };
struct needing {
    const enum need *of;
    enum need most;
};

static void note_need(const struct ir_expr *read, void *context)
{
    struct needing *n = context;

    if (n->of[read->tensor->number] > n->most)
        n->most = n->of[read->tensor->number];
}

static enum need need_of(const struct ir_tensor *t, const enum need *of)
{
    struct needing n = {of, NOTHING};

    if (t->kind == IR_EQUATION)
        ir_reads(t->value, note_need, &n);
    for (int i = 0; i < 2 && t->operands[i]; i++)
        if (of[t->operands[i]->number] > n.most)
            n.most = of[t->operands[i]->number];
    return n.most == NUMBERS && !t->rank && t->reduction != IR_MAP ? WHOLE : n.most;
}

bool needs_whole_gradient(struct workspace *w, struct ir_tensor *const *changed, int count)
{
    const struct ir_program *p = w->program;
    enum need *of = NEW_ARRAY(w->arena, enum need, p->tensors.count + 1);
    bool news = true;

    for (int i = 0; i < w->parameters.count; i++)
        if (w->parameters.at[i]->derivative)
            of[w->parameters.at[i]->derivative->number] = NUMBERS;
    /* Only a carried read is of what stands later. */
    while (news) {
        news = false;
        for (int i = 0; i < p->tensors.count; i++) {
            enum need need = need_of(p->tensors.at[i], of);

            if (need <= of[i])
                continue;
            of[i] = need;
            news |= p->tensors.at[i]->recurrence != NULL;
        }
    }
    for (int i = 0; i < count; i++)
        if (of[changed[i]->number] == WHOLE)
            return true;
    return false;
}
