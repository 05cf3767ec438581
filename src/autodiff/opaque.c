/* opaque.c: adjoints of the opaque operations that have one, as equations and solves, so that they can be
   differentiated again.

     x = solve(A, b)      l = solve(A', dx);  db = l;  dA = -l x'
     C = cholesky(S)      dS = C'^-1 M C^-1 / 2 with M the symmetric matrix whose lower half is that of C' dC; what
   LAPACK reads of S is its lower half, where each element stands for two (Smith 1995; Murray 2016)

   The matrices stand last; axes before them may be tied. In a recurrence all that is made is of the recurrence that the
   gradient is of.
   requires: a gradient that is tied at most there. */
#include "adjoint.h"

struct matrices {
    struct reverse *r;
    struct ir_tensor *t;
    const int *tied;
    ir_index_list lead;        /* kept indices, and the axes before the matrices that are not tied */
    const struct ir_form **at; /* of all axes before the matrices: what to read an operand at */
    int rank;                  /* how many those are */
    const struct ir_recurrence *recurrence;
    int time; /* in it: which of the leading axes is the time */
};

static struct matrices matrices_of(struct reverse *r, struct ir_tensor *t, const struct gradient *g, int rank)
{
    const int *tied = g->tied;
    struct matrices m = {.r = r, .t = t, .tied = tied, .rank = rank};

    for (int k = 0; k < r->kept_count; k++)
        list_add(r->p->arena, m.lead, r->kept[k]);
    m.at = NEW_ARRAY(r->p->arena, const struct ir_form *, rank);
    for (int a = 0; a < rank; a++) {
        m.at[a] = axis_form(r, t, tied, a);
        if (!is_tied(tied, a))
            list_add(r->p->arena, m.lead, t->axes[a]);
    }
    m.recurrence = r->within ? r->within : t->recurrence && g->made ? g->made->recurrence : NULL;
    while (m.recurrence && m.lead.at[m.time] != t->axes[t->time])
        m.time++;
    return m;
}

/* The tensor, an operand or the result, at the leading axes and these indices. */
static const struct ir_expr *read_matrix(const struct matrices *m, struct ir_tensor *t, struct ir_index *i,
                                         struct ir_index *j)
{
    struct ir_program *p = m->r->p;
    const struct ir_form **at = NEW_ARRAY(p->arena, const struct ir_form *, m->rank + 2);

    for (int a = 0; a < m->rank; a++)
        at[a] = m->at[a];
    at[m->rank] = ir_form_index(p, i);
    if (j)
        at[m->rank + 1] = ir_form_index(p, j);
    return ir_read(p, t, at, t->rank, NULL);
}

static ir_index_list with(const struct matrices *m, struct ir_index *const *more, int count)
{
    ir_index_list axes = {0};

    for (int i = 0; i < m->lead.count; i++)
        list_add(m->r->p->arena, axes, m->lead.at[i]);
    for (int i = 0; i < count; i++)
        list_add(m->r->p->arena, axes, more[i]);
    return axes;
}

/* name[lead, more] = sum over reduced (or NULL) of value */
static struct ir_tensor *equation(const struct matrices *m, const char *name, struct ir_index *const *more, int count,
                                  struct ir_index *reduced, const struct ir_expr *value)
{
    ir_index_list axes = with(m, more, count);

    return make_equation(m->r, arena_printf(m->r->p->arena, "%s_%s", name, m->t->name), axes.at, axes.count,
                         m->recurrence, m->recurrence ? m->lead.at[m->time] : NULL, reduced ? IR_SUM : IR_MAP, &reduced,
                         reduced ? 1 : 0, value, m->t->origin);
}

/* made[lead, more] */
static const struct ir_expr *read_made(const struct matrices *m, struct ir_tensor *made, struct ir_index *const *more,
                                       int count)
{
    return read_at(m->r->p, made, with(m, more, count).at);
}

static struct ir_tensor *solved(const struct matrices *m, const char *name, struct ir_tensor *a, struct ir_tensor *b)
{
    struct ir_program *p = m->r->p;

    name = arena_printf(p->arena, "%s_%s", name, m->t->name);
    if (m->recurrence)
        return ir_opaque_in(p, name, IR_SOLVE, a, b, m->recurrence, m->time, m->t->origin);
    return ir_opaque_tensor(p, name, IR_SOLVE, a, b, m->t->origin);
}

/* The weight arrives at the operand's element at the leading axes and the indices `more`. */
static void arrive(const struct matrices *m, struct ir_tensor *operand, struct ir_index *const *more, int count,
                   const struct ir_expr *weight)
{
    struct ir_program *p = m->r->p;
    struct question q = {.target = operand, .weight = weight};
    ir_index_list summed = {0};

    if (operand->number >= m->r->count || !m->r->active[operand->number])
        return;
    if (m->r->within && operand->recurrence != m->r->within)
        return;
    q.subscripts = NEW_ARRAY(p->arena, const struct ir_form *, operand->rank);
    for (int a = 0; a < m->rank; a++)
        q.subscripts[a] = m->at[a];
    for (int i = m->r->kept_count; i < m->lead.count; i++)
        list_add(p->arena, summed, m->lead.at[i]);
    for (int i = 0; i < count; i++) {
        q.subscripts[m->rank + i] = ir_form_index(p, more[i]);
        list_add(p->arena, summed, more[i]);
    }
    q.summed = q.preferred = summed.at;
    q.summed_count = q.preferred_count = summed.count;
    deliver(m->r, &q, m->t->recurrence, m->t->origin);
}

static void send_solve(struct reverse *r, struct ir_tensor *t, const struct gradient *g)
{
    struct ir_program *p = r->p;
    struct ir_tensor *a = t->operands[0], *transposed, *right, *l;
    struct matrices m = matrices_of(r, t, g, t->rank - 1);
    struct ir_index *i = a->axes[a->rank - 2], *j = t->axes[t->rank - 1], *both[] = {i, j}, *turned[] = {j, i};
    const struct ir_expr *product;

    transposed = equation(&m, "transposed", turned, 2, NULL, read_matrix(&m, a, i, j));
    right = g->made ? g->made : equation(&m, "right", &j, 1, NULL, g->value);
    l = solved(&m, "left", transposed, right);
    arrive(&m, t->operands[1], &i, 1, read_made(&m, l, &i, 1));
    product = ir_apply(p, IR_multiply, read_made(&m, l, &i, 1), read_matrix(&m, t, j, NULL), NULL);
    arrive(&m, a, both, 2, ir_apply(p, IR_negate, product, NULL, NULL));
}

static const struct ir_expr *compare(struct ir_program *p, enum ir_op op, struct ir_index *i, struct ir_index *j)
{
    return ir_apply(p, op, ir_of_form(p, ir_form_index(p, i)), ir_of_form(p, ir_form_index(p, j)), NULL);
}

/* One index more: k, for products and as the number of a right side. */
static void send_cholesky(struct reverse *r, struct ir_tensor *t, const struct gradient *g)
{
    struct ir_program *p = r->p;
    struct matrices m = matrices_of(r, t, g, t->rank - 2);
    struct ir_index *i = t->axes[t->rank - 2], *j = t->axes[t->rank - 1], *k = ir_index(p, "k", i->extent, false);
    struct ir_index *ij[] = {i, j}, *ji[] = {j, i}, *kj[] = {k, j}, *kji[] = {k, j, i};
    struct ir_tensor *d = g->made ? g->made : equation(&m, "right", ij, 2, NULL, g->value);
    struct ir_tensor *product, *symmetric, *turned, *half, *whole;
    const struct ir_expr *weight;

    product = equation(&m, "product", ij, 2, k,
                       ir_apply(p, IR_multiply, read_matrix(&m, t, k, i), read_made(&m, d, kj, 2), NULL));
    symmetric = equation(&m, "symmetric", ij, 2, NULL,
                         ir_apply(p, IR_select, compare(p, IR_greater_equal, i, j), read_made(&m, product, ij, 2),
                                  read_made(&m, product, ji, 2)));
    turned = equation(&m, "transposed", kji, 3, NULL, read_matrix(&m, t, i, j));
    half = solved(&m, "half", turned, equation(&m, "columns", kj, 2, NULL, read_made(&m, symmetric, kj, 2)));
    whole = solved(&m, "whole", turned,
                   equation(&m, "rows", kj, 2, NULL, read_made(&m, half, (struct ir_index *[]){j, k}, 2)));
    weight = read_made(&m, whole, ij, 2);
    weight = ir_apply(p, IR_select, compare(p, IR_equal, i, j), ir_apply(p, IR_multiply, ir_real(p, 0.5), weight, NULL),
                      weight);
    weight = ir_apply(p, IR_select, compare(p, IR_greater_equal, i, j), weight, ir_real(p, 0));
    arrive(&m, t->operands[0], ij, 2, weight);
}

bool send_opaque(struct reverse *r, struct ir_tensor *t, const struct gradient *g)
{
    switch (t->opaque) {
    case IR_SOLVE:
        send_solve(r, t, g);
        return !r->error;
    case IR_CHOLESKY:
        send_cholesky(r, t, g);
        return !r->error;
    case IR_ORTHOGONAL:
        r->error = "orthogonal has no derivative here; stop(..) takes its operand as given";
        return false;
    case IR_RANK:
        break;
    }
    bug("a derivative arrived at the rank %s", t->name);
}
