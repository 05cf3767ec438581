/* evaluate_opaque.c: rank, solve, cholesky and orthogonal by plain code in double precision. Each works on the last
   axes, for each value of the axes before. A matrix without a solution, not positive definite or of too low a rank
   gives NaN. */
#include "evaluate.h"
#include "internal.h"

#include <math.h>
#include <string.h>

/* Does a stand before b: ascending, NaN last, ties by place? */
static bool ranks_before(const double *x, int64_t a, int64_t b)
{
    if (isnan(x[a]) || isnan(x[b]))
        return isnan(x[a]) == isnan(x[b]) ? a < b : isnan(x[b]);
    return x[a] != x[b] ? x[a] < x[b] : a < b;
}

static void rank(const double *x, double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        out[i] = 0;
        for (int64_t other = 0; other < count; other++)
            out[i] += other != i && ranks_before(x, other, i);
    }
}

static void fill_nan(double *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = NAN;
}

static void swap_rows(double *rows, int64_t a, int64_t b, int64_t columns)
{
    for (int64_t j = 0; a != b && j < columns; j++) {
        double kept = rows[a * columns + j];

        rows[a * columns + j] = rows[b * columns + j];
        rows[b * columns + j] = kept;
    }
}

/* Gaussian elimination with partial pivoting on a copy. */
static void solve(struct arena *arena, const double *given, const double *right, double *x, int64_t n)
{
    double *m = arena_copy(arena, given, sizeof *m * (size_t)(n * n));

    memcpy(x, right, sizeof *x * (size_t)n);
    for (int64_t k = 0; k < n; k++) {
        int64_t pivot = k;

        for (int64_t i = k + 1; i < n; i++)
            if (fabs(m[i * n + k]) > fabs(m[pivot * n + k]))
                pivot = i;
        if (m[pivot * n + k] == 0) {
            fill_nan(x, n);
            return;
        }
        swap_rows(m, k, pivot, n);
        swap_rows(x, k, pivot, 1);
        for (int64_t i = k + 1; i < n; i++) {
            double factor = m[i * n + k] / m[k * n + k];

            for (int64_t j = k; j < n; j++)
                m[i * n + j] -= factor * m[k * n + j];
            x[i] -= factor * x[k];
        }
    }
    for (int64_t i = n - 1; i >= 0; i--) {
        for (int64_t j = i + 1; j < n; j++)
            x[i] -= m[i * n + j] * x[j];
        x[i] /= m[i * n + i];
    }
}

/* Of S only what is on and below the diagonal is read. */
static void cholesky(const double *s, double *c, int64_t n)
{
    memset(c, 0, sizeof *c * (size_t)(n * n));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = s[i * n + j];

            for (int64_t k = 0; k < j; k++)
                sum -= c[i * n + k] * c[j * n + k];
            if (i == j && !(sum > 0)) {
                fill_nan(c, n * n);
                return;
            }
            c[i * n + j] = i == j ? sqrt(sum) : sum / c[j * n + j];
        }
}

/* Gram-Schmidt, each vector made orthogonal to those before it twice; the factor R then has a positive diagonal, which
   is the sign convention. Vector v is the elements v * step + i * stride. */
static void orthogonal(double *x, int64_t vectors, int64_t step, int64_t size, int64_t stride)
{
    for (int64_t v = 0; v < vectors; v++) {
        double *vector = x + v * step, norm = 0;

        for (int pass = 0; pass < 2; pass++)
            for (int64_t w = 0; w < v; w++) {
                const double *before = x + w * step;
                double product = 0;

                for (int64_t i = 0; i < size; i++)
                    product += before[i * stride] * vector[i * stride];
                for (int64_t i = 0; i < size; i++)
                    vector[i * stride] -= product * before[i * stride];
            }
        for (int64_t i = 0; i < size; i++)
            norm += vector[i * stride] * vector[i * stride];
        for (int64_t i = 0; i < size; i++)
            vector[i * stride] /= sqrt(norm);
    }
}

static void evaluate_block(struct arena *arena, const struct ir_tensor *t, const double *a, const double *b,
                           double *out)
{
    const struct ir_tensor *operand = t->operands[0];
    int64_t columns = operand->axes[operand->rank - 1]->extent;
    int64_t rows = operand->rank > 1 ? operand->axes[operand->rank - 2]->extent : 1;

    switch (t->opaque) {
    case IR_RANK:
        rank(a, out, columns);
        break;
    case IR_SOLVE:
        solve(arena, a, b, out, columns);
        break;
    case IR_CHOLESKY:
        cholesky(a, out, columns);
        break;
    case IR_ORTHOGONAL:
        memcpy(out, a, sizeof *out * (size_t)(rows * columns));
        if (rows < columns)
            orthogonal(out, rows, columns, columns, 1);
        else
            orthogonal(out, columns, 1, rows, columns);
        break;
    }
}

void evaluate_opaque(const struct ir_tensor *t, const struct ir_values *values, int64_t step)
{
    const struct ir_tensor *a = t->operands[0], *b = t->operands[1];
    int leading = t->rank - opaque_own(t->opaque);
    int64_t blocks = ir_extent_product(t->axes, leading), behind = 1, extent = 1;
    int64_t a_size = ir_elements(a) / blocks, b_size = b ? ir_elements(b) / blocks : 0, size = ir_elements(t) / blocks;

    if (t->recurrence) {
        behind = ir_extent_product(t->axes + t->time + 1, leading - t->time - 1);
        extent = t->recurrence->extent;
    }
    for (int64_t i = 0; i < blocks; i++) {
        struct arena *scratch;

        if (i / behind % extent != step)
            continue;
        scratch = arena_new();
        evaluate_block(scratch, t, values->at[a->number] + i * a_size, b ? values->at[b->number] + i * b_size : NULL,
                       values->at[t->number] + i * size);
        arena_free(scratch);
    }
}
