/* linear_of.h: the functions of linear.c for one type of number; included once for each, with REAL, LAPACK and OF set:
   the type, LAPACK's letter of it, and a name with the suffix that says it. No include guard. */

static bool OF(comes_before)(const REAL *x, int32_t a, int32_t b)
{
    if (isnan(x[a]) || isnan(x[b]))
        return isnan(x[a]) == isnan(x[b]) ? a < b : isnan(x[b]) != 0;
    return x[a] != x[b] ? x[a] < x[b] : a < b;
}

/* The places in order, by merging; the order is total, so there is one answer. */
void OF(rnet_rank)(int64_t count, const REAL *x, int32_t *rank, int32_t *scratch)
{
    int32_t *from = rank, *to = scratch;

    for (int64_t i = 0; i < count; i++)
        from[i] = (int32_t)i;
    for (int64_t width = 1; width < count; width *= 2) {
        for (int64_t begin = 0; begin < count; begin += 2 * width) {
            int64_t middle = begin + width < count ? begin + width : count;
            int64_t end = begin + 2 * width < count ? begin + 2 * width : count, a = begin, b = middle;

            for (int64_t i = begin; i < end; i++)
                to[i] = b == end || (a < middle && OF(comes_before)(x, from[a], from[b])) ? from[a++] : from[b++];
        }
        int32_t *kept = from;

        from = to;
        to = kept;
    }
    if (from == rank) {
        memcpy(scratch, rank, sizeof *rank * (size_t)count);
        from = scratch;
    }
    for (int64_t i = 0; i < count; i++)
        rank[from[i]] = (int32_t)i;
}

static void OF(fill_nan)(REAL *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        out[i] = NAN;
}

/* LAPACK's matrices are column-major: it sees A'. */
void OF(rnet_solve)(int64_t n, const REAL *a, const REAL *b, REAL *x, REAL *scratch)
{
    int size = as_int(n), one = 1, info = 0;
    int *pivots = (int *)(void *)(scratch + n * n);

    memcpy(scratch, a, sizeof *a * (size_t)(n * n));
    memcpy(x, b, sizeof *b * (size_t)n);
    lapack.OF(getrf)(&size, &size, scratch, &size, pivots, &info);
    if (info) {
        OF(fill_nan)(x, n);
        return;
    }
    lapack.OF(getrs)("T", &size, &one, scratch, &size, pivots, x, &size, &info, 1);
}

void OF(rnet_cholesky)(int64_t n, const REAL *s, REAL *c)
{
    int size = as_int(n), info = 0;

    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * n + j] = j <= i ? s[i * n + j] : 0;
    lapack.OF(potrf)("U", &size, c, &size, &info, 1);
    if (info)
        OF(fill_nan)(c, n * n);
}

/* Wide x is, read column-major, the tall matrix whose columns are wanted; tall x is transposed first. */
void OF(rnet_orthogonal)(int64_t rows, int64_t columns, const REAL *x, REAL *q, REAL *scratch)
{
    bool tall = rows >= columns;
    int64_t longer = tall ? rows : columns, fewer = tall ? columns : rows;
    int m = as_int(longer), n = as_int(fewer), info = 0, room = as_int(32 * fewer);
    REAL *factors = tall ? scratch : q, *tau = scratch + rows * columns, *signs = tau + fewer, *work = signs + fewer;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            factors[tall ? j * rows + i : i * columns + j] = x[i * columns + j];
    lapack.OF(geqrf)(&m, &n, factors, &m, tau, work, &room, &info);
    for (int64_t i = 0; i < fewer; i++) {
        REAL diagonal = factors[i * longer + i];

        signs[i] = diagonal > 0 ? 1 : diagonal < 0 ? -1 : (REAL)NAN;
    }
    lapack.OF(orgqr)(&m, &n, &n, factors, &m, tau, work, &room, &info);
    for (int64_t i = 0; i < fewer; i++)
        for (int64_t j = 0; j < longer; j++)
            q[tall ? j * columns + i : i * columns + j] = signs[i] * factors[i * longer + j];
}

#undef REAL
#undef OF
