/* test_tiles.c: products as tiles, against the evaluator and BLAS: every order of the operands' strides, extents round
   the sizes of tiles, panels and blocks of k, batches, steps of a recurrence, scales. */
#include "harness.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs those before it
#include <cmocka.h>

static const struct ir_run where = {.seed = 1, .step = 1};
static bool only_single; /* for where only that is made in another way */

/* f64 to 1e-12, f32 to 1e-5 of each tensor's norm: sums of at most some thousand terms in another order. */
static void check(const char *source)
{
    assert_true(only_single || worst_error(source, source, false, NULL, NULL, where, 1e-12) <= 1e-12);
    assert_true(worst_error(source, source, true, NULL, NULL, where, 1e-5) <= 1e-5);
}

/* All four orders in one program, each m x n x k. */
static void check_orders(int m, int n, int k)
{
    char source[1500];

    snprintf(source, sizeof source,
             "program orders f32\ninput a[m: %d, k: %d]\ninput at[k: %d, m: %d]\ninput b[k: %d, n: %d]\n"
             "input bt[n: %d, k: %d]\n"
             "nn[m: %d, n: %d] = sum[k: %d] a[m, k] * b[k, n]\n"
             "nt[m: %d, n: %d] = sum[k: %d] a[m, k] * bt[n, k] * -0.5\n"
             "tn[m: %d, n: %d] = sum[k: %d] at[k, m] * b[k, n] / 3\n"
             "tt[m: %d, n: %d] = sum[k: %d] at[k, m] * bt[n, k]\n"
             "turned[n: %d, m: %d] = sum[k: %d] a[m, k] * b[k, n]\n"
             "output nn\noutput nt\noutput tn\noutput tt\noutput turned\n",
             m, k, k, m, k, n, n, k, m, n, k, m, n, k, m, n, k, m, n, k, n, m, k);
    check(source);
}

static void orders_at_every_extent_near_a_tile(void **state)
{
    static const int extents[] = {2, 3, 13, 14, 15, 16, 17, 28, 31, 32, 33, 48, 63, 65};

    (void)state;
    for (size_t i = 0; i < sizeof extents / sizeof *extents; i++) {
        check_orders(extents[i], 70, 130);
        check_orders(70, extents[i], 130);
    }
}

static void orders_at_every_length_near_a_block(void **state)
{
    static const int lengths[] = {2, 3, 15, 17, 255, 256, 257, 511, 513, 700};

    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        check_orders(45, 77, lengths[i] < 5 ? lengths[i] * 4 : lengths[i]);
}

static void many_groups_of_rows_and_panels(void **state)
{
    (void)state;
    check_orders(513, 350, 300);
    check_orders(130, 517, 64);
    check_orders(600, 10, 270);
    check_orders(10, 600, 270);
    check_orders(20, 2500, 30); /* few columns in the last of many panels */
}

/* Long blocks of k, one and two. */
static void large_on_both_sides(void **state)
{
    static const char one[] = "program one f32\ninput a[m: 513, k: 270]\ninput b[k: 270, n: 530]\n"
                              "c[m: 513, n: 530] = sum[k: 270] a[m, k] * b[k, n]\noutput c\n";
    static const char two[] = "program two f32\ninput a[m: 512, k: 1030]\ninput b[n: 514, k: 1030]\n"
                              "c[m: 512, n: 514] = sum[k: 1030] a[m, k] * b[n, k]\noutput c\n";

    (void)state;
    check(one);
    assert_true(worst_error(two, two, true, NULL, NULL, where, 1e-5) <= 1e-5);
}

/* Long blocks of k where C has few columns: groups of rows first, for all of P; and where B is much, its k side by side. */
static void long_rows(void **state)
{
    static const char deep[] = "program deep f32\ninput a[m: 515, k: 4100]\ninput b[n: 130, k: 4100]\n"
                               "c[m: 515, n: 130] = sum[k: 4100] a[m, k] * b[n, k]\noutput c\n";
    static const char runs[] = "program runs f32\ninput a[m: 128, k: 2100]\ninput b[n: 2000, k: 2100]\n"
                               "c[m: 128, n: 2000] = sum[k: 2100] a[m, k] * b[n, k]\noutput c\n";

    (void)state;
    assert_true(worst_error(deep, deep, true, NULL, NULL, where, 1e-5) <= 1e-5);
    assert_true(worst_error(runs, runs, true, NULL, NULL, where, 1e-5) <= 1e-5);
}

/* All rows are one group, for Q does not stay in the second cache; the last panel is one vector of three. */
static void many_columns_of_few_k(void **state)
{
    (void)state;
    check("program wide f32\ninput a[m: 70, k: 110]\ninput b[k: 110, n: 2600]\n"
          "c[m: 70, n: 2600] = sum[k: 110] a[m, k] * b[k, n]\n"
          "d[m: 70, k: 110] = sum[n: 2600] c[m, n] * b[k, n]\noutput c\noutput d\n");
}

/* Distances between rows that are pages: operands that lie in place elsewhere are copied. */
static void rows_a_page_apart(void **state)
{
    (void)state;
    check_orders(40, 1024, 100);
    check_orders(1024, 40, 100);
    check_orders(40, 50, 1024);
}

static void batches(void **state)
{
    (void)state;
    check("program heads f32\ninput q[n*: 6, t: 21, h: 3, d: 16]\ninput k[n*: 6, u: 21, h: 3, d: 16]\n"
          "s[n*: 6, h: 3, t: 21, u: 21] = sum[d: 16] q[n, t, h, d] * k[n, u, h, d] * 0.25\n"
          "o[n*: 6, t: 21, h: 3, d: 16] = sum[u: 21] s[n, h, t, u] * k[n, u, h, d]\n"
          "g[n*: 6, u: 21, h: 3, d: 16] = sum[t: 21] s[n, h, t, u] * q[n, t, h, d]\n"
          "output s\noutput o\noutput g\n");
    check("program large f32\ninput a[z: 3, m: 90, k: 300]\ninput b[z: 3, k: 300, n: 70]\n"
          "c[z: 3, m: 90, n: 70] = sum[k: 300] a[z, m, k] * b[z, k, n]\n"
          "d[z: 3, k: 300, n: 70] = sum[m: 90] a[z, m, k] * c[z, m, n]\n"
          "output c\noutput d\n");
}

static void several_indices_as_one(void **state)
{
    (void)state;
    check("program flat f32\ninput x[n*: 5, t: 7, h: 4, w: 9]\ninput w[h: 4, w: 9, o: 6, p: 11]\n"
          "y[n*: 5, t: 7, o: 6, p: 11] = sum[h: 4, w: 9] x[n, t, h, w] * w[h, w, o, p]\n"
          "g[h: 4, w: 9, o: 6, p: 11] = sum[n*: 5, t: 7] x[n, t, h, w] * y[n, t, o, p]\n"
          "output y\noutput g\n");
}

static void steps_of_a_recurrence(void **state)
{
    (void)state;
    check("program steps f32\ninput x[n*: 20, t: 5, i: 33]\nparameter U[i: 33, j: 33]\nparameter V[j: 33, i: 33]\n"
          "recurrence r over t: 5 up {\n"
          "  z[n*: 20, t: 5, j: 33] = sum[i: 33] (h[n, t - 1, i] else 0) * U[i, j]\n"
          "  y[n*: 20, t: 5, i: 33] = sum[j: 33] (h[n, t - 1, j] else x[n, 0, j]) * V[j, i]\n"
          "  h[n*: 20, t: 5, i: 33] = tanh(z[n, t, i] * 0.1 + y[n, t, i] * 0.2 + x[n, t, i])\n"
          "}\noutput h\noutput z\n");
}

/* Weights in both orders, several of one recurrence, two recurrences: copied in the first step for all that follow,
   each at a place of its own, while others run. */
static void operands_that_are_the_same_in_all_steps(void **state)
{
    static const int shapes[][2] = {{20, 70}, {3, 300}, {130, 40}};
    char source[2000];

    (void)state;
    for (int i = 0; i < 3; i++) {
        int n = shapes[i][0], u = shapes[i][1];
        snprintf(
            source, sizeof source,
            "program kept f32\ninput x[n*: %d, t: 4, u: %d]\nparameter R[v: %d, u: %d]\nparameter S[u: %d, v: %d]\n"
            "recurrence up over t: 4 up {\n"
            "  z[n*: %d, t: 4, u: %d] = sum[v: %d] (h[n, t - 1, v] else 0) * R[v, u]\n"
            "  h[n*: %d, t: 4, u: %d] = tanh(z[n, t, u] * 0.1 + x[n, t, u])\n"
            "}\n"
            "recurrence down over t: 4 down {\n"
            "  y[n*: %d, t: 4, u: %d] = sum[v: %d] (g[n, t + 1, v] else 0) * S[u, v]\n"
            "  q[n*: %d, t: 4, u: %d] = sum[v: %d] y[n, t, v] * R[v, u]\n"
            "  g[n*: %d, t: 4, u: %d] = tanh(y[n, t, u] * 0.1 + h[n, t, u] + q[n, t, u] * 0.01)\n"
            "}\noutput h\noutput g\noutput q\n",
            n, u, u, u, u, u, n, u, u, n, u, n, u, u, n, u, u, n, u);
        check(source);
    }
}

/* Maps of a product's tiles: what lies along rows and columns, other tensors, draws; the product wanted by others or
   not; tiles as they lie and turned about. */
static void maps_of_tiles(void **state)
{
    static const int shapes[][3] = {{37, 50, 40}, {130, 270, 300}, {20, 515, 33}, {300, 40, 600}};
    char source[1500];

    (void)state;
    for (int i = 0; i < 4; i++) {
        int m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        snprintf(source, sizeof source,
                 "program maps f32\ninput x[m*: %d, k: %d]\nparameter w[k: %d, n: %d]\nparameter b[n: %d]\n"
                 "parameter v[n: %d, k: %d]\ninput r[m*: %d, n: %d]\ndraw u uniform16[m*: %d, n: %d] per sample\n"
                 "scale[m*: %d] = sum[k: %d] x[m, k]\n"
                 "z[m*: %d, n: %d] = sum[k: %d] x[m, k] * w[k, n]\n"
                 "a[m*: %d, n: %d] = max(z[m, n] + b[n], 0) * (u[m, n] < 0.5)\n"
                 "y[m*: %d, n: %d] = a[m, n] * scale[m] + r[m, n]\n"
                 "dx[m*: %d, k: %d] = sum[n: %d] y[m, n] * w[k, n]\n"
                 "t[m*: %d, k: %d] = if x[m, k] > 0 then dx[m, k] else 0.0\n"
                 "z2[m*: %d, n: %d] = sum[k: %d] t[m, k] * v[n, k]\n"
                 "y2[m*: %d, n: %d] = z2[m, n] * a[m, n] - z[m, n]\n"
                 "output y\noutput t\noutput y2\noutput z2\n",
                 m, k, k, n, n, n, k, m, n, m, n, m, k, m, n, k, m, n, m, n, m, k, n, m, k, m, n, k, m, n);
        check(source);
    }
}

static void updates_of_tiles(void **state)
{
    (void)state;
    check("program updates f32\ninput x[m*: 32, i: 61]\ninput d[m*: 32, o: 75]\nparameter w[i: 61, o: 75]\n"
          "state v[i: 61, o: 75]\n"
          "g[i: 61, o: 75] = sum[m*: 32] x[m, i] * d[m, o]\n"
          "v_new[i: 61, o: 75] = 0.9 * v[i, o] + g[i, o] + 0.01 * w[i, o]\n"
          "w_new[i: 61, o: 75] = w[i, o] - 0.1 * v_new[i, o]\n"
          "y[m*: 32, o: 75] = sum[i: 61] x[m, i] * w[i, o]\n"
          "update v <- v_new\nupdate w <- w_new\noutput y\n");
}

/* Weights and states that come from far: maps follow each tile, which asks for them; panels that are full and not, tiles of
   two heights, fewer turns of k than there are rows to ask for; the product stored and not. */
static void updates_of_what_is_large(void **state)
{
    static const int shapes[][3] = {{880, 816, 56}, {1031, 540, 80}};
    char source[1500];

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        snprintf(source, sizeof source,
                 "program updates f32\ninput x[k*: %d, m: %d]\ninput d[k*: %d, n: %d]\nparameter w[m: %d, n: %d]\n"
                 "state v[m: %d, n: %d]\nstate s[m: %d, n: %d]\nparameter b[n: %d]\n"
                 "g[m: %d, n: %d] = sum[k*: %d] x[k, m] * d[k, n]\n"
                 "square = sum[m: %d, n: %d] g[m, n] * g[m, n]\n"
                 "v_new[m: %d, n: %d] = 0.9 * v[m, n] + g[m, n] + b[n]\n"
                 "s_new[m: %d, n: %d] = 0.99 * s[m, n] + g[m, n] * g[m, n]\n"
                 "w_new[m: %d, n: %d] = w[m, n] - 0.1 * v_new[m, n] / (1 + sqrt(abs(s_new[m, n])))\n"
                 "update v <- v_new\nupdate s <- s_new\nupdate w <- w_new\noutput square\n%s",
                 k, m, k, n, m, n, m, n, m, n, n, m, n, k, m, n, m, n, m, n, m, n, i ? "output g\n" : "");
        check(source);
    }
}

/* Sums of all of a product's numbers and of what is made of them, with the numbers stored and not. */
static void sums_of_tiles(void **state)
{
    static const int shapes[][3] = {{61, 75, 32}, {130, 270, 300}, {300, 40, 600}, {20, 515, 33}};
    char source[1200];

    (void)state;
    for (int i = 0; i < 4; i++) {
        int m = shapes[i][0], n = shapes[i][1], k = shapes[i][2];
        snprintf(source, sizeof source,
                 "program sums f32\ninput x[m: %d, k: %d]\ninput d[n: %d, k: %d]\nparameter w[m: %d, n: %d]\n"
                 "g[m: %d, n: %d] = sum[k: %d] x[m, k] * d[n, k]\n"
                 "square = sum[m: %d, n: %d] (g[m, n] + 0.01 * w[m, n]) * (g[m, n] + 0.01 * w[m, n])\n"
                 "largest = max[m: %d, n: %d] g[m, n] - w[m, n]\n"
                 "weights = sum[m: %d, n: %d] w[m, n] * w[m, n]\n"
                 "w_new[m: %d, n: %d] = w[m, n] - g[m, n] / square\n"
                 "h[m: %d, n: %d] = sum[k: %d] (x[m, k] * 2) * d[n, k]\n"
                 "a[m: %d, n: %d] = abs(h[m, n])\n"
                 "all = sum[m: %d, n: %d] a[m, n]\n"
                 "update w <- w_new\noutput square guard\noutput largest\noutput weights\noutput all\noutput a\n",
                 m, k, n, k, m, n, m, n, k, m, n, m, n, m, n, m, n, m, n, k, m, n, m, n);
        check(source);
    }
}

static void maps_of_batches(void **state)
{
    (void)state;
    check("program heads f32\ninput q[n*: 6, t: 21, h: 3, d: 16]\ninput k[n*: 6, u: 21, h: 3, d: 16]\n"
          "parameter bias[h: 3, t: 21, u: 21]\n"
          "s[n*: 6, h: 3, t: 21, u: 21] = sum[d: 16] q[n, t, h, d] * k[n, u, h, d] * 0.25\n"
          "p[n*: 6, h: 3, t: 21, u: 21] = if u <= t then s[n, h, t, u] + bias[h, t, u] else -1.0\n"
          "o[n*: 6, t: 21, h: 3, d: 16] = sum[u: 21] p[n, h, t, u] * k[n, u, h, d]\n"
          "y[n*: 6, t: 21, h: 3, d: 16] = o[n, t, h, d] + q[n, t, h, d]\n"
          "output y\n");
}

/* test_codegen_tiles [f32]: in that precision alone. */
int main(int count, char **words)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_at_every_extent_near_a_tile),
        cmocka_unit_test(orders_at_every_length_near_a_block),
        cmocka_unit_test(many_groups_of_rows_and_panels),
        cmocka_unit_test(large_on_both_sides),
        cmocka_unit_test(long_rows),
        cmocka_unit_test(many_columns_of_few_k),
        cmocka_unit_test(rows_a_page_apart),
        cmocka_unit_test(batches),
        cmocka_unit_test(several_indices_as_one),
        cmocka_unit_test(steps_of_a_recurrence),
        cmocka_unit_test(operands_that_are_the_same_in_all_steps),
        cmocka_unit_test(maps_of_tiles),
        cmocka_unit_test(updates_of_tiles),
        cmocka_unit_test(updates_of_what_is_large),
        cmocka_unit_test(sums_of_tiles),
        cmocka_unit_test(maps_of_batches),
    };

    only_single = count > 1 && !strcmp(words[1], "f32");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
