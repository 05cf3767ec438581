/* Products against plain loops, in every form and with extents of 0, from several threads at once. */
#include <math.h>

#include "support.h"

enum { MOST = 70 };

/* Whole numbers so small that every sum is exact: products must be equal, not near. */
static int whole(int i, int salt)
{
    return (i * 7 + salt * 13) % 11 - 5;
}

static void every_form_is_exact(void **state)
{
    static const int extents[][3] = {{1, 1, 1}, {2, 3, 4}, {17, 33, 9}, {64, 48, 70}, {0, 3, 2}, {3, 0, 2}, {3, 2, 0}};
    static float a[MOST * MOST], b[MOST * MOST], c[MOST * MOST];
    static double ad[MOST * MOST], bd[MOST * MOST], cd[MOST * MOST];
    for (size_t e = 0; e < sizeof extents / sizeof *extents; e++)
        for (int form = 0; form < 8; form++) {
            int m = extents[e][0], n = extents[e][1], k = extents[e][2];
            bool a_transposed = form & 1, b_transposed = form & 2;
            int lda = (a_transposed ? m : k), ldb = b_transposed ? k : n, ldc = n;
            float beta = form & 4 ? 2 : 0;
            for (int i = 0; i < MOST * MOST; i++) {
                ad[i] = a[i] = (float)whole(i, 1);
                bd[i] = b[i] = (float)whole(i, 2);
                cd[i] = c[i] = (float)whole(i, 3);
            }
            rnet_gemm_f32(a_transposed, b_transposed, m, n, k, 3, a, lda, b, ldb, beta, c, ldc);
            rnet_gemm_f64(a_transposed, b_transposed, m, n, k, 3, ad, lda, bd, ldb, beta, cd, ldc);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++) {
                    double sum = 0;
                    for (int l = 0; l < k; l++)
                        sum += (a_transposed ? ad[l * lda + i] : ad[i * lda + l]) *
                               (b_transposed ? bd[j * ldb + l] : bd[l * ldb + j]);
                    double wanted = 3 * sum + (double)beta * whole(i * ldc + j, 3);
                    assert_true(c[i * ldc + j] == wanted);
                    assert_true(cd[i * ldc + j] == wanted);
                }
            /* Nothing behind the result is touched. */
            for (int i = m * n; i < MOST * MOST; i++)
                assert_true(c[i] == whole(i, 3));
        }
}

static void rows_may_be_apart(void **state)
{
    const float a[] = {1, 2, 99, 3, 4, 99}, b[] = {1, 0, 99, 99, 0, 1};
    float c[] = {7, 7, 7, 7, 7, 7, 7};
    rnet_gemm_f32(false, false, 2, 2, 2, 1, a, 3, b, 4, 0, c, 4);
    const float wanted[] = {1, 2, 7, 7, 3, 4, 7};
    assert_memory_equal(c, wanted, sizeof c);
}

static void beta_0_overwrites_nan(void **state)
{
    const float a[] = {2}, b[] = {3};
    float c[] = {NAN};
    rnet_gemm_f32(false, false, 1, 1, 1, 1, a, 1, b, 1, 0, c, 1);
    assert_true(c[0] == 6);
}

enum { SIDE = 200, CALLS = 24 };
struct products {
    float a[SIDE * SIDE], b[SIDE * SIDE], c[CALLS][SIDE * SIDE];
};

static void multiply(void *context, int64_t index)
{
    struct products *products = context;
    rnet_gemm_f32(index & 1, false, SIDE, SIDE, SIDE, 1, products->a, SIDE, products->b, SIDE, 0, products->c[index],
                  SIDE);
}

static void calls_at_once_give_the_same_bits(void **state)
{
    struct products *alone = calloc(1, sizeof *alone), *together = calloc(1, sizeof *together);
    for (int i = 0; i < SIDE * SIDE; i++) {
        together->a[i] = alone->a[i] = sinf((float)i);
        together->b[i] = alone->b[i] = cosf((float)i);
    }
    struct rnet_pool *pool = rnet_pool_new(3);
    for (int64_t i = 0; i < CALLS; i++)
        multiply(alone, i);
    rnet_pool_run(pool, multiply, together, CALLS);
    assert_memory_equal(alone->c, together->c, sizeof alone->c);
    rnet_pool_free(pool);
    free(alone);
    free(together);
}

static void the_core_is_this_processors(void **state)
{
    struct rnet_machine machine;
    rnet_machine(&machine);
    if (strncmp(machine.isa, "avx512", 6) == 0)
        assert_string_equal(rnet_blas_core(), "SkylakeX");
    else if (strncmp(machine.isa, "avx2", 4) == 0)
        assert_true(strcmp(rnet_blas_core(), "Haswell") == 0 || strcmp(rnet_blas_core(), "Zen") == 0);
}

static int open_blas(void **state)
{
    unsetenv("OPENBLAS_CORETYPE");
    assert_string_equal(rnet_blas_core(), "none");
    if (!rnet_blas_open(&error)) {
        print_message("%s\n", error.message);
        return -1;
    }
    return rnet_blas_open(&error) ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_exact),         cmocka_unit_test(rows_may_be_apart),
        cmocka_unit_test(beta_0_overwrites_nan),       cmocka_unit_test(calls_at_once_give_the_same_bits),
        cmocka_unit_test(the_core_is_this_processors),
    };
    return cmocka_run_group_tests(tests, open_blas, NULL);
}
