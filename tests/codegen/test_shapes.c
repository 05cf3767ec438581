/* test_shapes.c: every length of tail, every kind of reduction, rows and columns, parts and their joining. */
#include "harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs those before it
#include <cmocka.h>

static const struct ir_run where = {.seed = 1, .step = 1};

/* f64 to 1e-12, f32 to 1e-5 of each tensor's norm: sums of at most some thousand terms in another order. */
static void check(const char *source)
{
    assert_true(worst_error(source, source, false, NULL, NULL, where, 1e-12) <= 1e-12);
    assert_true(worst_error(source, source, true, NULL, NULL, where, 1e-5) <= 1e-5);
}

static void tails_of_every_length(void **state)
{
    char source[900];

    (void)state;
    for (int n = 1; n <= 40; n++) {
        snprintf(source, sizeof source,
                 "program tails f32\ninput x[r: 3, c: %d]\ninput b[c: %d]\n"
                 "y[r: 3, c: %d] = x[r, c] * 2 + b[c]\n"
                 "m[r: 3] = max[c: %d] y[r, c]\n"
                 "e[r: 3, c: %d] = exp(y[r, c] - m[r])\n"
                 "s[r: 3] = sum[c: %d] e[r, c]\n"
                 "p[r: 3, c: %d] = e[r, c] / s[r]\n"
                 "k[r: 3] = argmax[c: %d] y[r, c]\n"
                 "t[c: %d] = sum[r: 3] p[r, c] * x[r, c]\n"
                 "z = sum[r: 3, c: %d] p[r, c] * x[r, c]\n"
                 "q[c: %d, r: 3] = x[r, c]\n"
                 "output p\noutput k\noutput t\noutput z\noutput q\n",
                 n, n, n, n, n, n, n, n, n, n, n);
        check(source);
    }
}

static void reductions_of_every_kind(void **state)
{
    static const char *const names[] = {"sum", "prod", "max", "min", "argmax", "argmin"};
    static const int rows[] = {1, 7, 130}, columns[] = {1, 5, 16, 67};
    char source[900];

    (void)state;
    for (int kind = 0; kind < 6; kind++)
        for (int i = 0; i < 3; i++)
            for (int k = 0; k < 4; k++) {
                int r = rows[i], c = columns[k];
                snprintf(source, sizeof source,
                         "program kinds f32\ninput x[r: %d, c: %d]\ninput w[r: %d, c: %d] in -3..3\n"
                         "a[r: %d] = %s[c: %d] x[r, c] * 0.5 + 1\n"
                         "b[c: %d] = %s[r: %d] x[r, c] * 0.5 + 1\n"
                         "d = %s[r: %d, c: %d] x[r, c] * 0.25 + 1\n"
                         "e[r: %d] = %s[c: %d] w[r, c]\n"
                         "f[c: %d] = %s[r: %d] w[r, c]\n"
                         "output a\noutput b\noutput d\n%s",
                         r, c, r, c, r, names[kind], c, c, names[kind], r, names[kind], r, c, r, names[kind], c, c,
                         names[kind], r, kind == 1 ? "" : "output e\noutput f\n");
                check(source);
            }
}

static void large_enough_for_many_parts(void **state)
{
    (void)state;
    check("program parts f32\ninput x[n*: 300, c: 1000]\ninput y[n*: 300, c: 1000]\nparameter w[c: 1000]\n"
          "s[c: 1000] = sum[n*: 300] x[n, c] * y[n, c]\n"
          "t[n*: 300] = sum[c: 1000] x[n, c] * y[n, c]\n"
          "u = sum[n*: 300, c: 1000] x[n, c] * y[n, c]\n"
          "m = max[n*: 300, c: 1000] x[n, c] * y[n, c]\n"
          "k = sum[n*: 300, c: 1000] x[n, c] > y[n, c]\n"
          "h[n*: 300, c: 1000] = max(x[n, c], 0) + w[c]\n"
          "w_new[c: 1000] = w[c] - 0.1 * s[c]\n"
          "update w <- w_new\noutput s\noutput t\noutput u guard\noutput m\noutput k\noutput h\n");
    check("program cube f32\ninput x[n*: 20, h: 30, w: 10, c: 33]\n"
          "a[c: 33] = sum[n*: 20, h: 30, w: 10] x[n, h, w, c]\n"
          "b[h: 30] = sum[n*: 20, w: 10, c: 33] x[n, h, w, c] * x[n, h, w, c]\n"
          "d[n*: 20, h: 15, w: 5, c: 33] = max[r: 2, s: 2] x[n, 2 * h + r, 2 * w + s, c]\n"
          "e[n*: 20, h: 30, w: 10, c: 33] = (x[n, h + 1, w - 1, c] else 0.5) + x[n, h, w, 32 - c]\n"
          "output a\noutput b\noutput d\noutput e\n");
}

static void products_in_strips_and_batches(void **state)
{
    (void)state;
    check("program strips f32\ninput x[n*: 128, i: 300]\nparameter W[i: 300, o: 270]\ninput g[n*: 128, o: 270]\n"
          "z[n*: 128, o: 270] = sum[i: 300] x[n, i] * W[i, o]\n"
          "dx[n*: 128, i: 300] = sum[o: 270] g[n, o] * W[i, o]\n"
          "dW[i: 300, o: 270] = sum[n*: 128] x[n, i] * g[n, o]\n"
          "output z\noutput dx\noutput dW\n");
    check("program batches f32\ninput q[n*: 6, h: 3, t: 20, d: 16]\ninput k[n*: 6, h: 3, u: 20, d: 16]\n"
          "s[n*: 6, h: 3, t: 20, u: 20] = sum[d: 16] q[n, h, t, d] * k[n, h, u, d] * 0.25\n"
          "output s\n");
}

static void guards_leave_the_run_untouched(void **state)
{
    (void)state;
    check("program guarded f32\ninput x[n*: 10]\nparameter w[n: 10]\nstate m[n: 10]\nstate other[n: 10]\n"
          "loss = sum[n*: 10] log(x[n] - x[n])\n"
          "w_new[n: 10] = w[n] * 2\nm_new[n: 10] = w[n] + m[n]\n"
          "update w <- w_new\nupdate m <- m_new\noutput loss guard\n");
    check("program swapped f32\nstate a[n: 10]\nstate b[n: 10]\nupdate a <- b\nupdate b <- a\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tails_of_every_length),          cmocka_unit_test(reductions_of_every_kind),
        cmocka_unit_test(large_enough_for_many_parts),    cmocka_unit_test(products_in_strips_and_batches),
        cmocka_unit_test(guards_leave_the_run_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
