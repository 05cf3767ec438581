/* test_windows.c: products over windows, forward and backward, against the evaluator: halos on every side, strides, dilation,
   images in bands and several at a time, groups, what follows the tiles, frames made of maps. */
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

struct shape {
    int images, height, width, channels, outputs, kernel, stride, dilation, pad;
};

/* Forward, to the weights, and at stride 1 to the data. */
static void check_shape(struct shape s)
{
    int reach = s.dilation * (s.kernel - 1) + 1;
    int p = (s.height + 2 * s.pad - reach) / s.stride + 1, q = (s.width + 2 * s.pad - reach) / s.stride + 1;
    char source[4000];
    int length = snprintf(
        source, sizeof source,
        "program windows f32\ninput x[n*: %d, h: %d, w: %d, c: %d]\nparameter k[r: %d, s: %d, c: %d, o: %d]\n"
        "input d[n*: %d, p: %d, q: %d, o: %d]\n"
        "y[n*: %d, p: %d, q: %d, o: %d] = sum[r: %d, s: %d, c: %d] "
        "(x[n, %d * p + %d * r - %d, %d * q + %d * s - %d, c] else 0) * k[r, s, c, o]\n"
        "g[r: %d, s: %d, c: %d, o: %d] = sum[n*: %d, p: %d, q: %d] "
        "(x[n, %d * p + %d * r - %d, %d * q + %d * s - %d, c] else 0) * d[n, p, q, o] * 0.5\n"
        "output y\noutput g\n",
        s.images, s.height, s.width, s.channels, s.kernel, s.kernel, s.channels, s.outputs, s.images, p, q, s.outputs,
        s.images, p, q, s.outputs, s.kernel, s.kernel, s.channels, s.stride, s.dilation, s.pad, s.stride, s.dilation,
        s.pad, s.kernel, s.kernel, s.channels, s.outputs, s.images, p, q, s.stride, s.dilation, s.pad, s.stride,
        s.dilation, s.pad);

    if (s.stride == 1)
        snprintf(source + length, sizeof source - (size_t)length,
                 "e[n*: %d, h: %d, w: %d, c: %d] = sum[o: %d, r: %d, s: %d] "
                 "(d[n, h - %d * r + %d, w - %d * s + %d, o] else 0) * k[r, s, c, o]\noutput e\n",
                 s.images, s.height, s.width, s.channels, s.outputs, s.kernel, s.kernel, s.dilation, s.pad, s.dilation,
                 s.pad);
    check(source);
}

static void halos_on_every_side(void **state)
{
    (void)state;
    check_shape((struct shape){5, 8, 8, 16, 16, 3, 1, 1, 1});
    check_shape((struct shape){3, 9, 7, 5, 12, 3, 1, 1, 1});
    check_shape((struct shape){3, 7, 9, 3, 48, 5, 1, 1, 2});
    check_shape((struct shape){2, 12, 12, 20, 33, 5, 1, 1, 4});
}

/* Terms at the edge that are not added up: in blocks of the sum, in runs, behind strides, in rows that have none. */
static void halos_are_left_out(void **state)
{
    (void)state;
    check_shape((struct shape){3, 8, 8, 32, 32, 5, 1, 1, 2});
    check_shape((struct shape){2, 70, 6, 20, 16, 5, 1, 1, 2});
    check_shape((struct shape){2, 6, 70, 130, 16, 5, 1, 1, 2});
    check_shape((struct shape){3, 13, 12, 32, 32, 5, 2, 1, 3});
    check_shape((struct shape){3, 4, 3, 40, 80, 5, 1, 1, 3});
}

/* Numbers that several taps share: blocks of rows at one edge, at both and at none, runs in parts, windows that
   move as far as they are wide apart, more taps than tiles have. */
static void taps_at_edges(void **state)
{
    (void)state;
    check_shape((struct shape){2, 3, 30, 20, 33, 5, 1, 1, 2});
    check_shape((struct shape){2, 3, 16, 70, 40, 5, 1, 1, 2});
    check_shape((struct shape){2, 8, 8, 24, 260, 5, 1, 1, 1});
    check_shape((struct shape){2, 9, 21, 12, 20, 3, 2, 2, 2});
    check_shape((struct shape){2, 8, 12, 6, 20, 7, 1, 1, 3});
    check_shape((struct shape){3, 9, 33, 1, 20, 3, 1, 1, 1});
}

static void no_halo(void **state)
{
    (void)state;
    check_shape((struct shape){4, 10, 11, 7, 18, 3, 1, 1, 0});
    check_shape((struct shape){9, 6, 6, 12, 40, 6, 1, 1, 0});
}

static void strides_and_dilation(void **state)
{
    (void)state;
    check_shape((struct shape){4, 11, 12, 8, 16, 3, 2, 1, 1});
    check_shape((struct shape){4, 16, 16, 8, 32, 1, 2, 1, 0});
    check_shape((struct shape){3, 12, 13, 6, 20, 3, 1, 2, 2});
    check_shape((struct shape){3, 17, 12, 6, 20, 3, 3, 2, 1});
}

/* To the data, where windows move in steps: a product for each residue. */
static void strided_to_the_data(void **state)
{
    (void)state;
    check("program steps f32\ninput d[n*: 6, p: 8, q: 8, o: 40]\nparameter k[r: 3, s: 3, c: 20, o: 40]\n"
          "input d3[n*: 6, p: 6, o: 40]\nparameter k3[r: 5, c: 20, o: 40]\nparameter k1[c: 20, o: 40]\n"
          "e[n*: 6, h: 16, w: 16, c: 20] = sum[o: 40, r: 2, s: 2] (d[n, (h + 1) // 2 - r, (w + 1) // 2 - s, o] else 0) * "
          "(k[2 * r + (h + 1) % 2, 2 * s + (w + 1) % 2, c, o] else 0)\n"
          "f[n*: 6, h: 18, c: 20] = sum[o: 40, r: 2] (d3[n, (h + 1) // 3 - r, o] else 0) * (k3[3 * r + (h + 1) % 3, c, o] "
          "else 0)\n"
          "g[n*: 6, h: 16, w: 8, c: 20] = sum[o: 40, r: 1] (d[n, h // 2, w, o] else 0) * (k[r + 3 * (h % 2), 1, c, o] else 0)\n"
          "y[n*: 6, h: 16, w: 16, c: 20] = e[n, h, w, c] + 1\n"
          "output y\noutput f\noutput g\n");
}

static void every_width_near_a_tile(void **state)
{
    (void)state;
    for (int width = 13; width <= 17; width++)
        check_shape((struct shape){3, 5, width, 6, 16 * (width - 12), 3, 1, 1, 1});
    check_shape((struct shape){2, 4, 29, 6, 16, 3, 1, 1, 1});
    check_shape((struct shape){30, 2, 2, 16, 70, 3, 1, 1, 1});
}

/* Runs of k longer than a block, and images too large to be made at once. */
static void long_runs_and_large_images(void **state)
{
    (void)state;
    check_shape((struct shape){2, 5, 6, 130, 24, 3, 1, 1, 1});
    check_shape((struct shape){1, 37, 40, 24, 70, 3, 1, 1, 1});
    check_shape((struct shape){2, 53, 31, 40, 16, 3, 1, 1, 1});
}

/* One dimension; channels first in part; an image that no index stands before; groups. */
static void other_layouts(void **state)
{
    (void)state;
    check("program line f32\ninput x[n*: 6, t: 50, c: 10]\nparameter k[s: 4, c: 10, o: 24]\ninput d[n*: 6, t: 50, o: 24]\n"
          "y[n*: 6, t: 50, o: 24] = sum[s: 4, c: 10] (x[n, t + s - 3, c] else 0) * k[s, c, o]\n"
          "g[s: 4, c: 10, o: 24] = sum[n*: 6, t: 50] (x[n, t + s - 3, c] else 0) * d[n, t, o]\n"
          "e[n*: 6, t: 50, c: 10] = sum[s: 4, o: 24] (d[n, t - s + 3, o] else 0) * k[s, c, o]\n"
          "output y\noutput g\noutput e\n");
    check("program alone f32\ninput x[t: 500, c: 10]\nparameter k[s: 4, c: 10, o: 24]\ninput d[t: 500, o: 24]\n"
          "y[t: 500, o: 24] = sum[s: 4, c: 10] (x[t + s - 3, c] else 0) * k[s, c, o]\n"
          "g[s: 4, c: 10, o: 24] = sum[t: 500] (x[t + s - 3, c] else 0) * d[t, o]\n"
          "output y\noutput g\n");
    check("program groups f32\ninput x[n*: 5, h: 9, w: 8, j: 3, c: 10]\nparameter k[r: 3, s: 3, j: 3, c: 10, o: 12]\n"
          "input d[n*: 5, h: 9, w: 8, j: 3, o: 12]\n"
          "y[n*: 5, h: 9, w: 8, j: 3, o: 12] = sum[r: 3, s: 3, c: 10] (x[n, h + r - 1, w + s - 1, j, c] else 0) * "
          "k[r, s, j, c, o]\n"
          "g[r: 3, s: 3, j: 3, c: 10, o: 12] = sum[n*: 5, h: 9, w: 8] (x[n, h + r - 1, w + s - 1, j, c] else 0) * "
          "d[n, h, w, j, o]\n"
          "output y\noutput g\n");
    check("program heads f32\ninput x[n*: 5, j: 3, t: 40, c: 10]\nparameter k[j: 3, s: 3, c: 10, o: 20]\n"
          "y[n*: 5, j: 3, t: 40, o: 20] = sum[s: 3, c: 10] (x[n, j, t + s - 1, c] else 0) * k[j, s, c, o]\n"
          "output y\n");
    check("program depth f32\ninput x[n*: 5, h: 12, w: 12, c: 24]\nparameter k[r: 3, s: 3, c: 24]\n"
          "y[n*: 5, h: 12, w: 12, c: 24] = sum[r: 3, s: 3] (x[n, h + r - 1, w + s - 1, c] else 0) * k[r, s, c]\n"
          "output y\n");
    check("program planes f32\ninput x[n*: 5, c: 6, h: 12, w: 11]\nparameter k[o: 18, c: 6, r: 3, s: 3]\n"
          "input d[n*: 5, o: 18, h: 12, w: 11]\n"
          "y[n*: 5, o: 18, h: 12, w: 11] = sum[c: 6, r: 3, s: 3] (x[n, c, h + r - 1, w + s - 1] else 0) * k[o, c, r, s]\n"
          "g[o: 18, c: 6, r: 3, s: 3] = sum[n*: 5, h: 12, w: 11] (x[n, c, h + r - 1, w + s - 1] else 0) * d[n, o, h, w]\n"
          "output y\noutput g\n");
}

static void windows_in_both_operands(void **state)
{
    (void)state;
    check("program both f32\ninput x[n*: 6, h: 12, w: 10, c: 8]\ninput y[h: 12, w: 10, c: 8, o: 20]\n"
          "z[n*: 6, p: 12, o: 20] = sum[s: 3, w: 10, c: 8] (x[n, p + s - 1, w, c] else 0) * (y[s + 2, w - 1, c, o] else 0)\n"
          "output z\n");
}

static void maps_and_sums_of_tiles(void **state)
{
    static const int shapes[][3] = {{8, 16, 20}, {12, 7, 16}, {33, 30, 48}};
    char source[3000];

    (void)state;
    for (int i = 0; i < 3; i++) {
        int h = shapes[i][0], c = shapes[i][1], o = shapes[i][2];
        snprintf(source, sizeof source,
                 "program maps f32\ninput x[n*: 5, h: %d, w: %d, c: %d]\nparameter k[r: 3, s: 3, c: %d, o: %d]\n"
                 "parameter b[o: %d]\ndraw u uniform16[n*: 5, h: %d, w: %d, o: %d] per sample\n"
                 "input r[n*: 5, h: %d, w: %d, o: %d]\n"
                 "z[n*: 5, h: %d, w: %d, o: %d] = sum[r: 3, s: 3, c: %d] (x[n, h + r - 1, w + s - 1, c] else 0) * "
                 "k[r, s, c, o]\n"
                 "a[n*: 5, h: %d, w: %d, o: %d] = max(z[n, h, w, o] + b[o], 0) * (u[n, h, w, o] < 0.5) + r[n, h, w, o]\n"
                 "all = sum[n*: 5, h: %d, w: %d, o: %d] a[n, h, w, o]\n"
                 "g[r: 3, s: 3, c: %d, o: %d] = sum[n*: 5, h: %d, w: %d] (x[n, h + r - 1, w + s - 1, c] else 0) * "
                 "a[n, h, w, o]\n"
                 "square = sum[r: 3, s: 3, c: %d, o: %d] g[r, s, c, o] * g[r, s, c, o]\n"
                 "k_new[r: 3, s: 3, c: %d, o: %d] = k[r, s, c, o] - 0.001 * g[r, s, c, o]\n"
                 "update k <- k_new\noutput a\noutput all\noutput square\n",
                 h, h, c, c, o, o, h, h, o, h, h, o, h, h, o, c, h, h, o, h, h, o, c, o, h, h, c, o, c, o);
        check(source);
    }
}

/* A map that the product alone reads is made image by image, draws and all. */
static void frames_of_maps(void **state)
{
    (void)state;
    check("program frames f32\ninput x[n*: 5, h: 9, w: 9, c: 12]\nparameter k[r: 3, s: 3, c: 12, o: 20]\n"
          "parameter m[c: 12]\ndraw u uniform16[n*: 5, h: 9, w: 9, c: 12] per sample\n"
          "a[n*: 5, h: 9, w: 9, c: 12] = max(x[n, h, w, c] * m[c] + 1, 0) * (u[n, h, w, c] < 0.5)\n"
          "y[n*: 5, h: 9, w: 9, o: 20] = sum[r: 3, s: 3, c: 12] (a[n, h + r - 1, w + s - 1, c] else 0) * k[r, s, c, o]\n"
          "g[r: 3, s: 3, c: 12, o: 20] = sum[n*: 5, h: 9, w: 9] (a[n, h + r - 1, w + s - 1, c] else 0) * y[n, h, w, o]\n"
          "b[n*: 5, h: 9, w: 9, o: 20] = sum[r: 3, s: 3, c: 12] (a[n, h + r - 1, w + s - 1, c] else -1.5) * k[r, s, c, o]\n"
          "output y\noutput g\noutput b\n");
}

/* What maps read beside a product, and what the next images are made of, is asked for while tiles go through k: more tensors than
   are asked for beside hardly any k, and a few beside many; the last image has none behind it. */
static void images_asked_for(void **state)
{
    static const int shapes[][2] = {{2, 16}, {24, 32}};
    char source[3000];

    (void)state;
    for (int i = 0; i < 2; i++) {
        int c = shapes[i][0], o = shapes[i][1];
        snprintf(source, sizeof source,
                 "program asked f32\ninput x[n*: 3, h: 10, w: 10, c: %1$d]\nparameter m[n*: 3, h: 10, w: 10, c: %1$d]\n"
                 "parameter k[r: 2, s: 2, c: %1$d, o: %2$d]\ninput p[n*: 3, h: 9, w: 9, o: %2$d]\n"
                 "input q[n*: 3, h: 9, w: 9, o: %2$d]\ninput t[n*: 3, h: 9, w: 9, o: %2$d]\ninput u[n*: 3, h: 9, w: 9, o: %2$d]\n"
                 "input v[n*: 3, h: 9, w: 9, o: %2$d]\ninput b[n*: 3, h: 10, w: 10, c: %1$d]\n"
                 "a[n*: 3, h: 10, w: 10, c: %1$d] = max(x[n, h, w, c] * m[n, h, w, c] - b[n, h, w, c], 0)\n"
                 "z[n*: 3, h: 9, w: 9, o: %2$d] = sum[r: 2, s: 2, c: %1$d] a[n, h + r, w + s, c] * k[r, s, c, o]\n"
                 "y[n*: 3, h: 9, w: 9, o: %2$d] = max(z[n, h, w, o] * p[n, h, w, o] + q[n, h, w, o], t[n, h, w, o]) * "
                 "u[n, h, w, o] - v[n, h, w, o]\n"
                 "g[r: 2, s: 2, c: %1$d, o: %2$d] = sum[n*: 3, h: 9, w: 9] a[n, h + r, w + s, c] * y[n, h, w, o]\n"
                 "output y\noutput g\n",
                 c, o);
        check(source);
    }
}

/* Statistics of channels and what their gradients sum, by images: in the product's kernel where images are whole, of maps too;
   parts of vectors, odd widths, images in bands, a mean far from 0. */
static void statistics_of_images(void **state)
{
    static const int shapes[][4] = {{5, 8, 16, 20}, {9, 12, 7, 16}, {4, 6, 6, 70}, {2, 53, 31, 40}};
    char source[4000];

    (void)state;
    for (int i = 0; i < 4; i++) {
        int n = shapes[i][0], h = shapes[i][1], w = shapes[i][2], o = shapes[i][3], points = n * h * w;
        snprintf(source, sizeof source,
                 "program statistics f32\ninput x[n*: %1$d, h: %2$d, w: %3$d, c: 12]\nparameter k[r: 3, s: 3, c: 12, o: %4$d]\n"
                 "parameter gain[o: %4$d]\nparameter bias[o: %4$d]\ninput dy[n*: %1$d, h: %2$d, w: %3$d, o: 12]\n"
                 "z[n*: %1$d, h: %2$d, w: %3$d, o: %4$d] = sum[r: 3, s: 3, c: 12] "
                 "(x[n, h + r - 1, w + s - 1, c] else 0.3) * k[r, s, c, o]\n"
                 "zsum[o: %4$d] = sum[n*: %1$d, h: %2$d, w: %3$d] z[n, h, w, o]\nm[o: %4$d] = zsum[o] / %5$d\n"
                 "v[o: %4$d] = sum[n*: %1$d, h: %2$d, w: %3$d] (z[n, h, w, o] - m[o]) * (z[n, h, w, o] - m[o])\n"
                 "rest[o: %4$d] = sum[n*: %1$d, h: %2$d, w: %3$d] z[n, h, w, o] - m[o]\n"
                 "a[n*: %1$d, h: %2$d, w: %3$d, o: %4$d] = "
                 "max(gain[o] * (z[n, h, w, o] - m[o]) / sqrt(v[o] / %5$d + 0.001) + bias[o], 0)\n"
                 "y[n*: %1$d, h: %2$d, w: %3$d, c: 12] = sum[r: 3, s: 3, o: %4$d] "
                 "(a[n, h + r - 1, w + s - 1, o] else 0) * k[r, s, c, o]\n"
                 "e[n*: %1$d, h: %2$d, w: %3$d, o: %4$d] = sum[r: 3, s: 3, c: 12] "
                 "(dy[n, h - r + 1, w - s + 1, c] else 0) * k[r, s, c, o]\n"
                 "f[n*: %1$d, h: %2$d, w: %3$d, o: %4$d] = if a[n, h, w, o] > 0 then e[n, h, w, o] + 0.1 else 0.0\n"
                 "dbias[o: %4$d] = sum[n*: %1$d, h: %2$d, w: %3$d] f[n, h, w, o]\n"
                 "dgain[o: %4$d] = sum[n*: %1$d, h: %2$d, w: %3$d] f[n, h, w, o] * (z[n, h, w, o] - m[o])\n"
                 "pooled[n*: %1$d, o: %4$d] = sum[h: %2$d, w: %3$d] max(e[n, h, w, o], 0)\n"
                 "g[n*: %1$d, h: %2$d, w: %3$d, o: %4$d] = f[n, h, w, o] * gain[o] + dgain[o] * z[n, h, w, o]\n"
                 "w[o: %4$d] = v[o] + rest[o]\noutput y\noutput dbias\noutput dgain\noutput pooled\noutput g\noutput w\n",
                 n, h, w, o, points);
        check(source);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halos_on_every_side),     cmocka_unit_test(halos_are_left_out),
        cmocka_unit_test(taps_at_edges),           cmocka_unit_test(no_halo),
        cmocka_unit_test(strides_and_dilation),    cmocka_unit_test(strided_to_the_data),
        cmocka_unit_test(every_width_near_a_tile), cmocka_unit_test(long_runs_and_large_images),
        cmocka_unit_test(other_layouts),           cmocka_unit_test(windows_in_both_operands),
        cmocka_unit_test(maps_and_sums_of_tiles),  cmocka_unit_test(frames_of_maps),
        cmocka_unit_test(images_asked_for),        cmocka_unit_test(statistics_of_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
