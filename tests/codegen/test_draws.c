/* test_draws.c: compiled draws against rnet_draw_fill, bit for bit: along rows, a number a lane, in scalars; every
   kind, scope and alignment. */
#include "harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs those before it
#include <cmocka.h>

/* The evaluator fills draws by rnet_draw_fill: equal to it is equal bit for bit. */
static void check(const char *source, struct ir_run where)
{
    for (int single = 0; single < 2; single++)
        assert_true(worst_error(source, source, single, NULL, NULL, where, 0) == 0);
}

static const char *const kinds[] = {"uniform16", "uniform32", "normal"};
static const struct ir_run runs[] = {{.seed = 1, .position = 0, .step = 1},
                                     {.seed = 99, .position = 0x123456789abcdefull, .step = 77}};

static void rows_of_samples(void **state)
{
    static const int sizes[] = {1, 15, 33, 64, 65, 129, 2048, 5000};
    char source[400];

    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            snprintf(source, sizeof source,
                     "program rows f32\ndraw u %s [n*: 3, o: %d] per sample\ny[n*: 3, o: %d] = u[n, o]\noutput y\n",
                     kinds[kind], sizes[i], sizes[i]);
            check(source, runs[i % 2]);
        }
}

static void mapped_axes_and_scopes(void **state)
{
    static const char *const scopes[] = {"sample", "step", "run", "item"};
    char source[600];

    (void)state;
    for (int kind = 0; kind < 3; kind++)
        for (int scope = 0; scope < 4; scope++) {
            const char *batch = scope == 0 || scope == 3 ? "n*: 2, " : "";
            snprintf(source, sizeof source,
                     "program mapped f32\ndraw u %s [%st: 5, h: 6, w: 28] per %s mapped 1\n"
                     "y[%st: 5, h: 6, w: 28] = u[%st, h, w]\noutput y\n",
                     kinds[kind], batch, scopes[scope], batch, *batch ? "n, " : "");
            check(source, runs[scope % 2]);
        }
}

static void read_in_other_ways(void **state)
{
    char source[900];

    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        snprintf(source, sizeof source,
                 "program others f32\n"
                 "draw u %s [n*: 40] per sample\n"
                 "draw v %s [n*: 5, h: 7, w: 50] per sample\n"
                 "draw z %s per step\n"
                 "input x[n*: 40, o: 30]\n"
                 "a[n*: 40] = u[n]\n"
                 "b[n*: 5, w: 50, h: 7] = v[n, h, w]\n"
                 "c[n*: 5, h: 7, w: 20] = v[n, h, 2 * w + 1]\n"
                 "d[n*: 5, h: 7, w: 50] = (v[n, h, w + 5] else -1)\n"
                 "e = z\n"
                 "f[n*: 5, k: 350] = v[n, k // 50, k %% 50]\n"
                 "g[n*: 40, o: 30] = u[n] + 0 * x[n, o]\n"
                 "m[n*: 5] = max[h: 7, w: 50] v[n, h, w]\n"
                 "output a\noutput b\noutput c\noutput d\noutput e\noutput f\noutput g\noutput m\n",
                 kinds[kind], kinds[kind], kinds[kind]);
        check(source, runs[kind % 2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_of_samples),
        cmocka_unit_test(mapped_axes_and_scopes),
        cmocka_unit_test(read_in_other_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
