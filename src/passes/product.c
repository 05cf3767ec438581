/* product.c: is an equation a matrix product? Roles come from where an index occurs, never from names: in both factors
   and in the output = batched; in the output and one factor = M or N; summed, in both factors = K. What a subscript is
   (a flattened image, a slice of heads) matters only through the element's address: constant + sum of stride * index.

   requires: an equation with factors that are stored as real numbers. changes nothing. */
#include "internal.h"

enum { MOST = 8 };

/* One loop and how far each operand moves with it, in elements. */
struct dimension {
    int64_t extent, a, b, c;
};
struct dimensions {
    struct dimension at[MOST];
    int count;
};

static bool add(struct dimensions *list, struct dimension d)
{
    if (list->count == MOST)
        return false;
    list->at[list->count++] = d;
    return true;
}

/* Splits a product into reads and one number. */
static bool factors(const struct ir_expr *e, const struct ir_expr **reads, int *count, double *scale)
{
    if (e->kind == IR_CONSTANT) {
        *scale *= e->number;
        return true;
    }
    if (e->kind == IR_READ) {
        if (*count == 2)
            return false;
        reads[(*count)++] = e;
        return true;
    }
    if (e->kind != IR_APPLY)
        return false;
    if (e->op == IR_multiply)
        return factors(e->arguments[0], reads, count, scale) && factors(e->arguments[1], reads, count, scale);
    if (e->op == IR_negate) {
        *scale = -*scale;
        return factors(e->arguments[0], reads, count, scale);
    }
    if (e->op == IR_divide && e->arguments[1]->kind == IR_CONSTANT) {
        *scale /= e->arguments[1]->number;
        return factors(e->arguments[0], reads, count, scale);
    }
    return false;
}

/* The element's number as a form; NULL if it is not linear in the indices. */
static const struct ir_form *linear_address(struct ir_program *p, const struct ir_expr *read)
{
    const struct ir_form *form = read_address(p, read);

    for (int i = 0; i < form->count; i++)
        if (form->terms[i].atom->kind != IR_ATOM_INDEX || form->terms[i].coefficient < 0)
            return NULL;
    return form;
}

bool product_factors(const struct ir_expr *e, const struct ir_expr **reads, double *scale)
{
    int count = 0;

    *scale = 1;
    return factors(e, reads, &count, scale) && count == 2;
}

bool product_operands(const struct ir_expr *e, const struct ir_expr **reads)
{
    double scale;

    return product_factors(e, reads, &scale);
}

static struct ir_index *time_of(const struct ir_tensor *q)
{
    return q->recurrence ? q->axes[q->time] : NULL;
}

/* Is the read inside but for a recurrence's first step? Only its time may then be outside: one step back. */
static bool outside_first(const struct ir_tensor *q, const struct ir_expr *read)
{
    for (int i = 0; i < read->tensor->rank; i++) {
        const struct ir_form *form = read->subscripts[i];
        bool inside = form->low >= 0 && form->high < read->tensor->axes[i]->extent;

        if (!inside &&
            (form->count != 1 || form->terms[0].coefficient != 1 || form->terms[0].atom->kind != IR_ATOM_INDEX ||
             form->terms[0].atom->index != time_of(q) || read->tensor->axes[i]->extent != q->recurrence->extent ||
             form->constant != (q->recurrence->down ? 1 : -1)))
            return false;
    }
    return true;
}

static bool stored_real(const struct ir_tensor *q, const struct ir_expr *read)
{
    const struct ir_tensor *t = read->tensor;

    if (read->otherwise && !(q->recurrence && outside_first(q, read)))
        return false;
    return !t->whole && t->kind != IR_DRAW && t->kind != IR_SCALAR;
}

static const struct ir_expr *otherwise_of(struct ir_program *p, const struct ir_expr *read, void *context)
{
    (void)p;
    return read->otherwise && outside_first(context, read) ? read->otherwise : read;
}

const struct ir_expr *product_first(struct ir_program *p, const struct ir_tensor *q)
{
    return rewrite(p, q->value, NULL, NULL, 0, otherwise_of, (void *)q);
}

enum operand { OPERAND_A, OPERAND_B, OPERAND_C };
static int64_t stride(const struct dimension *d, enum operand operand)
{
    return operand == OPERAND_A ? d->a : operand == OPERAND_B ? d->b : d->c;
}

/* Sorts by the stride of y and joins neighbours that are one loop in both x and y. */
static void join(struct dimensions *list, enum operand x, enum operand y)
{
    int count = 0;

    for (int i = 1; i < list->count; i++)
        for (int j = i; j > 0 && stride(&list->at[j], y) < stride(&list->at[j - 1], y); j--) {
            struct dimension d = list->at[j];

            list->at[j] = list->at[j - 1];
            list->at[j - 1] = d;
        }
    for (int i = 0; i < list->count; i++) {
        struct dimension *last = &list->at[count ? count - 1 : 0], *d = &list->at[i];

        if (count && stride(d, x) == stride(last, x) * last->extent && stride(d, y) == stride(last, y) * last->extent)
            last->extent *= d->extent;
        else
            list->at[count++] = *d;
    }
    list->count = count;
}

/* Keeps one loop of the list, the one along which c is contiguous if there is one, else the longest; the others are
 * batched. */
static bool keep_one(struct dimensions *list, struct dimensions *batched, struct dimension *kept)
{
    int best = -1;

    *kept = (struct dimension){.extent = 1};
    for (int i = 0; i < list->count; i++)
        if (best < 0 || (list->at[best].c != 1 && (list->at[i].c == 1 || list->at[i].extent > list->at[best].extent)))
            best = i;
    for (int i = 0; i < list->count; i++)
        if (i == best)
            *kept = list->at[i];
        else if (!add(batched, list->at[i]))
            return false;
    return true;
}

/* How BLAS must be told that an operand lies: rows x columns, strides of each. A loop of extent 1 has stride 0. */
static bool lies(int64_t rows, int64_t row_stride, int64_t columns, int64_t column_stride, bool *transposed,
                 int64_t *leading)
{
    if (column_stride == 1 || columns == 1) {
        *transposed = false;
        *leading = rows == 1 ? columns : row_stride;
        return *leading >= columns;
    }
    if (row_stride == 1 || rows == 1) {
        *transposed = true;
        *leading = column_stride;
        return *leading >= rows;
    }
    return false;
}

/* See row_axes. */
static int leading_axes(const struct ir_tensor *q, int64_t columns)
{
    int64_t found = 1;
    int i = q->rank;

    while (i > 0 && found < columns) {
        if (q->axes[--i] == time_of(q))
            return -1;
        found *= q->axes[i]->extent;
    }
    return found == columns ? i : -1;
}

int product_stage(const struct ir_kernel *kernel)
{
    int s = 0;

    while (s + 1 < kernel->stages.count && kernel->stages.at[s]->equations.at[0]->reduction == IR_MAP)
        s++;
    return s;
}

bool product_match(const struct ir_program *program, const struct ir_tensor *q, struct product *out)
{
    struct ir_program *p = (struct ir_program *)program; /* forms are made in its tables */
    const struct ir_expr *reads[2];
    const struct ir_form *a, *b;
    struct dimensions m = {0}, n = {0}, k = {0}, z = {0};
    struct dimension dm, dn, dk;
    int count = 0;
    int64_t c = 1;

    *out = (struct product){.scale = 1, .batches = 1};
    if (q->kind != IR_EQUATION || q->targets || q->reduction != IR_SUM || q->whole || q->single)
        return false;
    if (!factors(q->value, reads, &count, &out->scale) || count != 2 || !stored_real(q, reads[0]) ||
        !stored_real(q, reads[1]))
        return false;
    a = linear_address(p, reads[0]);
    b = linear_address(p, reads[1]);
    if (!a || !b)
        return false;
    for (int i = q->rank - 1; i >= 0; i--) {
        struct ir_index *index = q->axes[i];
        bool moves = q->one_step != i + 1;
        struct dimension d = {index->extent, ir_form_coefficient(a, index), ir_form_coefficient(b, index), moves ? c : 0};

        c *= moves ? index->extent : 1;
        if (index == time_of(q)) {
            out->a_time = d.a;
            out->b_time = d.b;
            out->c_time = d.c;
            continue;
        }
        if (index->extent == 1)
            continue;
        if (!d.a && !d.b)
            return false;
        if (!add(d.a && d.b ? &z : d.a ? &m : &n, d))
            return false;
    }
    for (int i = 0; i < q->reduced_count; i++) {
        struct ir_index *index = q->reduced[i];
        struct dimension d = {index->extent, ir_form_coefficient(a, index), ir_form_coefficient(b, index), 0};

        if (index->extent == 1)
            continue;
        if (!d.a || !d.b || !add(&k, d))
            return false;
    }
    join(&m, OPERAND_A, OPERAND_C);
    join(&n, OPERAND_B, OPERAND_C);
    join(&k, OPERAND_A, OPERAND_B);
    if (k.count > 1 || !keep_one(&m, &z, &dm) || !keep_one(&n, &z, &dn))
        return false;
    dk = k.count ? k.at[0] : (struct dimension){.extent = 1};
    out->swapped = !(dn.c == 1 || dn.extent == 1);
    out->a = reads[out->swapped];
    out->b = reads[!out->swapped];
    out->a_first = (out->swapped ? b : a)->constant;
    out->b_first = (out->swapped ? a : b)->constant;
    out->guarded = reads[0]->otherwise || reads[1]->otherwise;
    if (out->swapped) {
        int64_t time = out->a_time;

        out->a_time = out->b_time;
        out->b_time = time;
    }
    if (out->swapped) {
        if (!(dm.c == 1 || dm.extent == 1))
            return false;
        struct dimension d = dm;

        dm = dn;
        dn = d;
    }
    out->m = dm.extent;
    out->n = dn.extent;
    out->k = dk.extent;
    if (out->m == 1 && out->n == 1)
        return false;
    out->ldc = out->m == 1 ? out->n : dm.c;
    if (out->ldc < out->n ||
        !lies(out->m, out->swapped ? dm.b : dm.a, out->k, out->swapped ? dk.b : dk.a, &out->a_transposed, &out->lda) ||
        !lies(out->k, out->swapped ? dk.a : dk.b, out->n, out->swapped ? dn.a : dn.b, &out->b_transposed, &out->ldb))
        return false;
    for (int i = 0; i < z.count; i++) {
        out->batch_extent[i] = z.at[i].extent;
        out->a_batch_stride[i] = out->swapped ? z.at[i].b : z.at[i].a;
        out->b_batch_stride[i] = out->swapped ? z.at[i].a : z.at[i].b;
        out->c_batch_stride[i] = z.at[i].c;
        out->batches *= z.at[i].extent;
    }
    out->batched_count = z.count;
    out->row_axes = leading_axes(q, out->n);
    return true;
}
