/* test_products.c: products of many extents, large enough for the machine's matrix unit where it has one, and too small
   for it: round multiples of its tiles' 16 rows and 32 columns and terms, in every order of the operands' strides. In
   f32, against the evaluator's f64, fused and not, with 1, 2 and 3 threads bit for bit; in f64 see test_tiles.c. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
// cmocka.h needs those before it
#include <cmocka.h>

static const struct ir_run where = {.seed = 1, .step = 1};
/* Most of what a test of many shapes takes is their compilation; the numbers are the same. */
static const struct code_options quick = {.quick = true};

/* 16 and 32: rows, columns and terms of a tile; 255 to 257: of a block of terms; 700: several of everything. */
static const int extents[] = {1, 15, 16, 17, 31, 32, 33, 47, 48, 64, 65, 100, 128, 255, 256, 257, 700};
enum { EXTENTS = sizeof extents / sizeof *extents };

/* By norm, of sums of k products in f32 in whatever order: each term is in some sqrt(k) roundings of its sum's size
   (they are of either sign), and a few more are the parts that sums are made of. 2^-24: half of a last place. */
static double rounding(int k)
{
    return 0x1p-24 * (sqrt(k) + 6);
}

static void check(const char *source, double allowed)
{
    assert_true(worst_error_with(&quick, source, source, true, NULL, NULL, where, allowed) <= allowed);
}

enum order { NN, NT, TN, TT, TURNED, ORDERS };
struct shape {
    int m, n, k;
};

/* c<number>: the product of a<number> and b<number>. */
static int add_product(char *to, size_t room, int number, enum order order, struct shape s)
{
    bool k_first = order == TN || order == TT, n_first = order == NT || order == TT, turned = order == TURNED;

    return snprintf(to, room,
                    "input a%d[%s: %d, %s: %d]\ninput b%d[%s: %d, %s: %d]\n"
                    "c%d[%s: %d, %s: %d] = sum[k: %d] a%d[%s, %s] * b%d[%s, %s]\noutput c%d\n",
                    number, k_first ? "k" : "m", k_first ? s.k : s.m, k_first ? "m" : "k", k_first ? s.m : s.k, number,
                    n_first ? "n" : "k", n_first ? s.n : s.k, n_first ? "k" : "n", n_first ? s.k : s.n, number,
                    turned ? "n" : "m", turned ? s.n : s.m, turned ? "m" : "n", turned ? s.m : s.n, s.k, number,
                    k_first ? "k" : "m", k_first ? "m" : "k", number, n_first ? "n" : "k", n_first ? "k" : "n", number);
}

/* One program with a product in each order, of the shapes in turn. */
static void check_orders(const struct shape *shapes)
{
    char source[2000];
    int length = snprintf(source, sizeof source, "program orders f32\n"), longest = 0;

    for (int order = 0; order < ORDERS; order++) {
        length += add_product(source + length, sizeof source - (size_t)length, order, (enum order)order, shapes[order]);
        longest = shapes[order].k > longest ? shapes[order].k : longest;
    }
    check(source, rounding(longest));
}

/* Each extent meets each order as the rows, the columns and the terms, every time beside others. */
static void orders_of_many_extents(void **state)
{
    (void)state;
    for (int i = 0; i < EXTENTS; i++) {
        struct shape shapes[ORDERS];

        for (int order = 0; order < ORDERS; order++)
            shapes[order] =
                (struct shape){extents[(3 * i + 5 * order) % EXTENTS], extents[(7 * i + 2 * order + 1) % EXTENTS],
                               extents[(i + 4 * order + 3) % EXTENTS]};
        check_orders(shapes);
    }
}

/* The same of extents from which on the matrix unit may be worth it, beside such that it is, by far or just so. */
static void orders_of_large_products(void **state)
{
    static const int large[] = {33, 47, 48, 64, 65, 79, 95, 97, 100, 128, 129, 255, 256, 257, 300, 513, 700};
    enum { LARGE = sizeof large / sizeof *large, PROGRAMS = 12, FEWEST = 1400000, MOST = 5000000 };

    (void)state;
    for (int i = 0; i < PROGRAMS; i++) {
        struct shape shapes[ORDERS];

        for (int order = 0; order < ORDERS; order++) {
            struct shape s = {large[(i + 3 * order) % LARGE], large[(5 * i + order) % LARGE], 0};
            int at = 2 * i + order, terms = s.m * s.n, turn = 0;

            do
                s.k = large[(at + turn++) % LARGE];
            while ((terms * s.k < FEWEST || terms * s.k > MOST) && turn < LARGE);
            shapes[order] = s;
        }
        check_orders(shapes);
    }
}

/* One less and one more than multiples of 16 and 32 in one extent, where the others are multiples. */
static void one_odd_extent(void **state)
{
    static const struct shape shapes[][ORDERS] = {
        {{129, 128, 96}, {128, 129, 96}, {128, 128, 97}, {127, 128, 96}, {128, 127, 96}},
        {{128, 128, 95}, {111, 128, 128}, {128, 111, 128}, {128, 128, 111}, {113, 128, 128}},
        {{128, 113, 128}, {128, 128, 113}, {145, 128, 96}, {128, 145, 96}, {128, 128, 81}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_orders(shapes[i]);
}

/* Sums that go on from block to block: with a last block of one term, of few, of a whole one. */
static void many_blocks_of_terms(void **state)
{
    static const struct shape shapes[][ORDERS] = {
        {{40, 70, 1025}, {65, 33, 2049}, {33, 48, 3000}, {50, 64, 1280}, {35, 40, 2600}},
        {{64, 64, 513}, {40, 36, 1537}, {130, 40, 1023}, {40, 130, 1031}, {100, 66, 1536}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        check_orders(shapes[i]);
}

static void batches(void **state)
{
    (void)state;
    check("program heads f32\ninput q[n*: 2, t: 130, h: 2, d: 95]\ninput k[n*: 2, u: 145, h: 2, d: 95]\n"
          "s[n*: 2, h: 2, t: 130, u: 145] = sum[d: 95] q[n, t, h, d] * k[n, u, h, d] * 0.25\n"
          "o[n*: 2, t: 130, h: 2, d: 95] = sum[u: 145] s[n, h, t, u] * k[n, u, h, d]\n"
          "g[n*: 2, u: 145, h: 2, d: 95] = sum[t: 130] s[n, h, t, u] * q[n, t, h, d]\n"
          "output s\noutput o\noutput g\n",
          rounding(145));
    check("program large f32\ninput a[z: 3, m: 90, k: 300]\ninput b[z: 3, k: 300, n: 70]\n"
          "c[z: 3, m: 90, n: 70] = sum[k: 300] a[z, m, k] * b[z, k, n]\n"
          "d[z: 3, k: 300, n: 70] = sum[m: 90] a[z, m, k] * c[z, m, n]\n"
          "e[z: 3, n: 70, m: 90] = sum[k: 300] a[z, m, k] * d[z, k, n]\n"
          "output c\noutput d\noutput e\n",
          rounding(300));
    check("program several f32\ninput x[n*: 16, t: 9, h: 6, w: 17]\ninput w[h: 6, w: 17, o: 10, p: 13]\n"
          "y[n*: 16, t: 9, o: 10, p: 13] = sum[h: 6, w: 17] x[n, t, h, w] * w[h, w, o, p]\n"
          "g[h: 6, w: 17, o: 10, p: 13] = sum[n*: 16, t: 9] x[n, t, h, w] * y[n, t, o, p]\n"
          "output y\noutput g\n",
          rounding(144));
}

/* Weights in both orders, several of one recurrence, two recurrences: made ready in the first step for all that follow.
   Products with zeros before the first step, with another product there, and with a leaf. */
static void steps_of_recurrences(void **state)
{
    static const struct shape shapes[] = {{.m = 97, .n = 129}, {.m = 64, .n = 161}};
    char source[2500];

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int n = shapes[i].m, u = shapes[i].n;
        snprintf(
            source, sizeof source,
            "program kept f32\ninput x[n*: %d, t: 3, u: %d]\nparameter R[v: %d, u: %d]\nparameter S[u: %d, v: %d]\n"
            "input first[n*: %d, v: %d]\n"
            "recurrence up over t: 3 up {\n"
            "  z[n*: %d, t: 3, u: %d] = sum[v: %d] (h[n, t - 1, v] else 0) * R[v, u]\n"
            "  w[n*: %d, t: 3, u: %d] = sum[v: %d] (h[n, t - 1, v] else first[n, v]) * S[u, v]\n"
            "  h[n*: %d, t: 3, u: %d] = tanh(z[n, t, u] * 0.1 + w[n, t, u] * 0.2 + x[n, t, u])\n"
            "}\n"
            "recurrence down over t: 3 down {\n"
            "  y[n*: %d, t: 3, u: %d] = sum[v: %d] (g[n, t + 1, v] else 0) * S[u, v]\n"
            "  q[n*: %d, t: 3, u: %d] = sum[v: %d] y[n, t, v] * R[v, u]\n"
            "  g[n*: %d, t: 3, u: %d] = tanh(y[n, t, u] * 0.1 + h[n, t, u] + q[n, t, u] * 0.01)\n"
            "}\n"
            "dR[v: %d, u: %d] = sum[n*: %d, t: 3] h[n, t, v] * q[n, t, u]\n"
            "output h\noutput g\noutput q\noutput dR\n",
            n, u, u, u, u, u, n, u, n, u, u, n, u, u, n, u, n, u, u, n, u, u, n, u, u, u, n);
        check(source, 4 * rounding(u)); /* of the steps before too */
    }
}

/* What follows the tiles: along rows and columns, other tensors, draws; the product wanted by others or not; as it lies
   and turned about; sums of rows, of columns and of all. */
static void maps_of_products(void **state)
{
    static const struct shape shapes[] = {{128, 129, 96}, {65, 161, 257}};
    char source[2500];

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int m = shapes[i].m, n = shapes[i].n, k = shapes[i].k;
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
                 "y2[m*: %d, n: %d] = z2[m, n] + a[m, n] * scale[m]\n"
                 "rows[m*: %d] = sum[n: %d] y2[m, n] * y2[m, n]\n"
                 "columns[n: %d] = sum[m*: %d] y2[m, n] * r[m, n]\n"
                 "all = sum[m*: %d, n: %d] y2[m, n] * y2[m, n]\n"
                 "z3[n: %d, m*: %d] = sum[k: %d] t[m, k] * v[n, k]\n"
                 "y3[n: %d, m*: %d] = z3[n, m] * 0.5 + b[n]\n"
                 "output y\noutput t\noutput z2\noutput rows\noutput columns\noutput all\noutput y3\n",
                 m, k, k, n, n, n, k, m, n, m, n, m, k, m, n, k, m, n, m, n, m, k, n, m, k, m, n, k, m, n, m, n, n, m,
                 m, n, n, m, k, n, m);
        check(source, 4 * rounding(n > k ? n : k)); /* of a product of products */
    }
}

/* The gradients of weights and their updates: plain, with momentum and decay, Adam's; the gradient wanted besides, and
 * its norm. */
static void updates_of_products(void **state)
{
    static const struct shape shapes[] = {{128, 161, 95}, {257, 159, 48}};
    char source[2500];

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int m = shapes[i].m, n = shapes[i].n, k = shapes[i].k;
        snprintf(
            source, sizeof source,
            "program updates f32\ninput x[k*: %d, m: %d]\ninput d[k*: %d, n: %d]\nparameter w[m: %d, n: %d]\n"
            "parameter w2[m: %d, n: %d]\nparameter w3[m: %d, n: %d]\nstate v[m: %d, n: %d]\nstate s[m: %d, n: %d]\n"
            "state c[m: %d, n: %d]\nscalar rate\n"
            "g[m: %d, n: %d] = sum[k*: %d] x[k, m] * d[k, n]\n"
            "g2[m: %d, n: %d] = sum[k*: %d] x[k, m] * d[k, n] * 0.5\n"
            "g3[m: %d, n: %d] = sum[k*: %d] x[k, m] * d[k, n] * -0.25\n"
            "w_new[m: %d, n: %d] = w[m, n] - rate * g[m, n]\n"
            "c_new[m: %d, n: %d] = 0.9 * c[m, n] + g2[m, n] + 0.01 * w2[m, n]\n"
            "w2_new[m: %d, n: %d] = w2[m, n] - 0.1 * c_new[m, n]\n"
            "v_new[m: %d, n: %d] = 0.9 * v[m, n] + 0.1 * g3[m, n]\n"
            "s_new[m: %d, n: %d] = 0.99 * s[m, n] + 0.01 * g3[m, n] * g3[m, n]\n"
            "w3_new[m: %d, n: %d] = w3[m, n] - 0.01 * v_new[m, n] / (sqrt(abs(s_new[m, n])) + 1e-2)\n"
            "square = sum[m: %d, n: %d] g3[m, n] * g3[m, n]\n"
            "update w <- w_new\nupdate c <- c_new\nupdate w2 <- w2_new\nupdate v <- v_new\nupdate s <- s_new\n"
            "update w3 <- w3_new\noutput square guard\n%s",
            k, m, k, n, m, n, m, n, m, n, m, n, m, n, m, n, m, n, k, m, n, k, m, n, k, m, n, m, n, m, n, m, n, m, n, m,
            n, m, n, i ? "output g\n" : "");
        check(source, rounding(k));
    }
}

/* ---- the same bits, however it is cut ---- */

static void same_bits_cut_in_every_way(void **state)
{
    static const struct shape shapes[ORDERS] = {
        {130, 100, 70}, {64, 513, 47}, {300, 70, 33}, {100, 65, 600}, {97, 130, 64}};
    struct arena *arena = arena_new();
    char source[2000];
    int length = snprintf(source, sizeof source, "program orders f32\n");
    char *first = NULL;

    (void)state;
    for (int order = 0; order < ORDERS; order++)
        length += add_product(source + length, sizeof source - (size_t)length, order, (enum order)order, shapes[order]);
    for (int way = 0; way <= code_module()->ways; way++) {
        struct ir_program *p = parse_program(arena, source);
        struct ir_values values = ir_values_new(arena, p);
        struct machine_run run;
        uint64_t random = 1;

        fuse(p, FUSE_AS_LARGE);
        plan_memory(p, layout_new(arena), false);
        for (int i = 0; i < p->tensors.count; i++)
            for (int64_t e = 0; e < ir_elements(p->tensors.at[i]); e++) {
                random = random * 6364136223846793005u + 1442695040888963407u;
                values.at[i][e] = (double)(int64_t)(random >> 11) * 0x1p-52 - 1;
            }
        machine_open(&run, p, &values, where, &(struct code_options){.quick = true, .way = way});
        machine_step(&run, 1 + way % 3);
        if (first)
            assert_memory_equal(first, run.memory[2], (size_t)p->arena_bytes);
        else
            first = memcpy(arena_alloc(arena, (size_t)p->arena_bytes), run.memory[2], (size_t)p->arena_bytes);
        machine_close(&run);
    }
    arena_free(arena);
}

/* ---- what the code is ---- */

/* The assembly of a program. */
static const char *assembly_of(struct arena *arena, const char *source)
{
    char path[] = "/tmp/rnet-assembly-XXXXXX";
    int file = mkstemp(path);
    struct ir_program *p = parse_program(arena, source);
    struct code_options options = {.quick = true, .dump_assembly = path};
    struct code_timing timing;
    struct text text = {0};
    const char *error;
    char part[4096];
    ssize_t bytes;

    assert_true(file >= 0);
    fuse(p, FUSE_AS_LARGE);
    plan_memory(p, layout_new(arena), false);
    struct code *code = code_module()->compile(p, &options, &timing, &error);
    assert_non_null(code);
    code_module()->release(code);
    while ((bytes = read(file, part, sizeof part)) > 0)
        text_add_slice(&text, part, (size_t)bytes);
    close(file);
    unlink(path);
    const char *copy = arena_string(arena, text.data ? text.data : "");
    text_free(&text);
    return copy;
}

static bool by_matrix_unit(struct arena *arena, const char *precision, enum order order, struct shape shape)
{
    char source[1000];
    int length = snprintf(source, sizeof source, "program unit %s\n", precision);

    add_product(source + length, sizeof source - (size_t)length, 0, order, shape);
    return strstr(assembly_of(arena, source), "tdpbf16ps") != NULL;
}

/* Large products of f32 where the process may use it, and none else: not in f64, nor where one extent is small. So the
   tests above and those of test_accuracy.c are of what they mean to be. */
static void the_matrix_unit_is_used_where_there_is_one(void **state)
{
    static const struct shape large = {700, 650, 700},
                              small[] = {{31, 159, 255}, {159, 31, 255}, {255, 159, 31}, {40, 40, 40}};
    struct arena *arena = arena_new();

    (void)state;
    for (int order = 0; order < ORDERS; order++)
        assert_int_equal(by_matrix_unit(arena, "f32", (enum order)order, large), rnet_matrix_unit());
    assert_false(by_matrix_unit(arena, "f64", NN, large));
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        assert_int_equal(by_matrix_unit(arena, "f32", NN, small[i]), rnet_matrix_unit_for_all());
    arena_free(arena);
}

/* The most that a function takes of the stack at once, as x86-64 writes it; 0: the processor is another. */
static int64_t largest_frame(const char *assembly)
{
    static const char take[] = "subq\t$";
    int64_t largest = 0;

    for (const char *at = assembly; (at = strstr(at, take)); at++) {
        char *end;
        int64_t bytes = strtoll(at + sizeof take - 1, &end, 10);

        if (!strncmp(end, ", %rsp", 6) && bytes > largest)
            largest = bytes;
    }
    return largest;
}

/* A thread has 8 MB of stack as a rule, and 2 where a user has no limit. */
static void parts_need_little_of_the_stack(void **state)
{
    static const struct shape shapes[] = {{700, 10000, 200}, {4096, 3072, 256}, {128, 4096, 650}};
    static const char *const follows[] = {
        "", "a[n*: %d, c: %d] = max(z[n, c] + b[c], 0)\noutput a\n",
        "a[n*: %d, c: %d] = z[n, c] + b[c]\ns[n*: %d] = sum[c: %d] a[n, c] * a[n, c]\noutput s\n"};
    enum { MOST = 1900000 };
    struct arena *arena = arena_new();
    char source[1000];

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (size_t k = 0; k < sizeof follows / sizeof *follows; k++) {
            struct shape s = shapes[i];
            int length =
                snprintf(source, sizeof source,
                         "program frames f32\ninput x[n*: %d, k: %d]\nparameter w[k: %d, c: %d]\nparameter b[c: %d]\n"
                         "z[n*: %d, c: %d] = sum[k: %d] x[n, k] * w[k, c]\n%s",
                         s.m, s.k, s.k, s.n, s.n, s.m, s.n, s.k, k ? "" : "output z\n");
            snprintf(source + length, sizeof source - (size_t)length, follows[k], s.m, s.n, s.m, s.n);
            int64_t bytes = largest_frame(assembly_of(arena, source));
            if (bytes > MOST)
                fail_msg("%s: a function takes %lld bytes of the stack", source, (long long)bytes);
        }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_of_many_extents),
        cmocka_unit_test(orders_of_large_products),
        cmocka_unit_test(one_odd_extent),
        cmocka_unit_test(many_blocks_of_terms),
        cmocka_unit_test(batches),
        cmocka_unit_test(steps_of_recurrences),
        cmocka_unit_test(maps_of_products),
        cmocka_unit_test(updates_of_products),
        cmocka_unit_test(same_bits_cut_in_every_way),
        cmocka_unit_test(the_matrix_unit_is_used_where_there_is_one),
        cmocka_unit_test(parts_need_little_of_the_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
