/* test_opaque.c: scatters and opaque tensors of random numbers, by what defines them. Tolerances are absolute, of
   numbers of size 1: sums of at most a dozen products round by less than 1e-14; solutions by that times a condition
   below 1e3. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "walk.h"

enum { N = 3, ROWS = 7, COLUMNS = 4 };

struct world {
    struct arena *arena;
    struct ir_program *p;
    struct ir_values values;
};

static double number(uint64_t *seed)
{
    return ldexp((double)(draw(seed) >> 11), -52) - 1;
}

/* Parses, gives leaves random values (whole ones in their range), and evaluates. */
static struct world world_new(const char *source, uint64_t seed)
{
    struct world w = {.arena = arena_new()};
    const char *error;

    w.p = ir_parse(w.arena, source, &error);
    if (!w.p || ir_verify(w.p))
        fail_msg("%s", w.p ? ir_verify(w.p) : error);
    w.values = ir_values_new(w.arena, w.p);
    for (int i = 0; i < w.p->tensors.count; i++) {
        const struct ir_tensor *t = w.p->tensors.at[i];

        for (int64_t e = 0; t->kind == IR_INPUT && e < ir_elements(t); e++)
            w.values.at[i][e] = t->whole ? (double)draw_between(&seed, t->low, t->high) : number(&seed);
    }
    ir_evaluate(w.p, &w.values, (struct ir_run){1, 0, 1});
    return w;
}

static const void *at(struct world w, const char *name)
{
    return w.values.at[ir_find(w.p, name)->number];
}

static void near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static void a_scatter_is_its_loop(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w = world_new("program p f64\n"
                                   "input token[n: 3, t: 7] in 0..5\n"
                                   "input part[n: 3] in 0..1\n"
                                   "input dy[n: 3, t: 7, d: 4]\n"
                                   "s[v: 6, e: 4, k: 2] = scatter[n: 3, t: 7, d: 4] to [token[n, t], 3 - d, part[n]] "
                                   "dy[n, t, d] * 0.5\n",
                                   seed);
        const double(*token)[ROWS] = at(w, "token"), *part = at(w, "part");
        const double(*dy)[ROWS][COLUMNS] = at(w, "dy");
        double s[6][COLUMNS][2] = {0};

        for (int n = 0; n < N; n++)
            for (int t = 0; t < ROWS; t++)
                for (int d = 0; d < COLUMNS; d++)
                    s[(int)token[n][t]][3 - d][(int)part[n]] += dy[n][t][d] * 0.5;
        assert_memory_equal(at(w, "s"), s, sizeof s);
        arena_free(w.arena);
    }
}

static void ranks_sort(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w = world_new("program p f64\n"
                                   "input x[n: 3, k: 7] in -3..3\n"
                                   "r[n: 3, k: 7] = rank(x)\n",
                                   seed);
        const double(*x)[ROWS] = at(w, "x"), (*r)[ROWS] = at(w, "r");

        for (int n = 0; n < N; n++) {
            int order[ROWS];

            memset(order, -1, sizeof order);
            for (int k = 0; k < ROWS; k++)
                order[(int)r[n][k]] = k;
            for (int k = 0; k < ROWS; k++)
                assert_int_not_equal(order[k], -1);
            for (int k = 1; k < ROWS; k++) {
                assert_true(x[n][order[k - 1]] <= x[n][order[k]]);
                assert_true(x[n][order[k - 1]] < x[n][order[k]] || order[k - 1] < order[k]);
            }
        }
        arena_free(w.arena);
    }
}

static void solutions_solve(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        /* rows in another order, so that the pivots are not on the diagonal */
        struct world w = world_new("program p f64\n"
                                   "input a[n: 3, i: 7, j: 7]\n"
                                   "input b[n: 3, i: 7]\n"
                                   "A[n: 3, i: 7, j: 7] = a[n, i, j] + (if (i + 3) % 7 == j then 10 else 0)\n"
                                   "x[n: 3, j: 7] = solve(A, b)\n",
                                   seed);
        const double(*A)[ROWS][ROWS] = at(w, "A");
        const double(*b)[ROWS] = at(w, "b"), (*x)[ROWS] = at(w, "x");

        for (int n = 0; n < N; n++)
            for (int i = 0; i < ROWS; i++) {
                double sum = 0;

                for (int j = 0; j < ROWS; j++)
                    sum += A[n][i][j] * x[n][j];
                near(sum, b[n][i], 1e-13);
            }
        arena_free(w.arena);
    }
}

static void cholesky_factors_multiply(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w = world_new("program p f64\n"
                                   "input x[n: 3, i: 4, k: 7]\n"
                                   "S[n: 3, i: 4, j: 4] = sum[k: 7] x[n, i, k] * x[n, j, k]\n"
                                   "C[n: 3, i: 4, j: 4] = cholesky(S)\n",
                                   seed);
        const double(*S)[COLUMNS][COLUMNS] = at(w, "S"), (*C)[COLUMNS][COLUMNS] = at(w, "C");

        for (int n = 0; n < N; n++)
            for (int i = 0; i < COLUMNS; i++)
                for (int j = 0; j < COLUMNS; j++) {
                    double sum = 0;

                    for (int k = 0; k < COLUMNS; k++)
                        sum += C[n][i][k] * C[n][j][k];
                    near(sum, S[n][i][j], 1e-13);
                    assert_true(j <= i || C[n][i][j] == 0);
                    assert_true(j != i || C[n][i][j] > 0);
                }
        arena_free(w.arena);
    }
}

/* q's columns are orthonormal, and q' x is upper triangular with a positive diagonal. */
static void orthonormal_factors(void **state)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct world w = world_new("program p f64\n"
                                   "input x[n: 3, i: 7, j: 4]\n"
                                   "q[n: 3, i: 7, j: 4] = orthogonal(x)\n"
                                   "y[n: 3, i: 4, j: 7] = x[n, j, i]\n"
                                   "w[n: 3, i: 4, j: 7] = orthogonal(y)\n"
                                   "gram[n: 3, a: 4, b: 4] = sum[i: 7] q[n, i, a] * q[n, i, b]\n"
                                   "R[n: 3, a: 4, b: 4] = sum[i: 7] q[n, i, a] * x[n, i, b]\n"
                                   "difference = max[n: 3, i: 7, j: 4] abs(q[n, i, j] - w[n, j, i])\n",
                                   seed);
        const double(*gram)[COLUMNS][COLUMNS] = at(w, "gram"), (*R)[COLUMNS][COLUMNS] = at(w, "R");

        for (int n = 0; n < N; n++)
            for (int a = 0; a < COLUMNS; a++)
                for (int b = 0; b < COLUMNS; b++) {
                    near(gram[n][a][b], a == b, 1e-13);
                    if (b < a)
                        near(R[n][a][b], 0, 1e-13);
                    assert_true(a != b || R[n][a][b] > 0);
                }
        assert_true(*(const double *)at(w, "difference") == 0);
        arena_free(w.arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scatter_is_its_loop), cmocka_unit_test(ranks_sort),
        cmocka_unit_test(solutions_solve),       cmocka_unit_test(cholesky_factors_multiply),
        cmocka_unit_test(orthonormal_factors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
