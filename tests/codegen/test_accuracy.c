/* test_accuracy.c: how exact products in f32 are, whatever unit of the machine makes them: against sums in f64, for
   numbers of many sizes; what must be exact; and edges: infinities, what is no number, the largest numbers and the
   smallest.

   Let |a||b| be the sum of the terms' magnitudes, of k terms. Any order of a sum in f32 has an error of at most k
   roundings of that, k 2^-24 |a||b|. As roundings are of either sign, it is rather some sqrt(k) of them: a plain loop
   of multiply-adds on numbers of either sign has 0.3 sqrt(k) by norm, of the worst of thousands of sums it has 4 times
   as much. What is demanded of any unit: (sqrt(k) / 2 + 3) 2^-24 by norm, and of each number (sqrt(k) + 6) 2^-24
   |a||b|, the constants for what a sum is made of: parts of operands, blocks of terms. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
// cmocka.h needs those before it
#include <cmocka.h>

static const struct ir_run where = {.seed = 1, .step = 1};
static const double half_place = 0x1p-24;

enum order { NN, NT, TN, TT, TURNED, ORDERS };
struct shape {
    int m, n, k;
};
/* Large enough for the matrix unit, where there is one, in all or most orders: multiples of a tile's rows, columns and
   terms and not; several blocks of terms; and two that are too small for it. */
static const struct shape shapes[] = {{128, 96, 96},  {129, 159, 95}, {63, 127, 255},
                                      {100, 65, 600}, {64, 64, 64},   {9, 20, 33}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

/* ---- one product, of numbers as one likes ---- */

/* a: m x k, b: k x n, c: m x n, row-major, however the program has them. */
struct product_run {
    struct arena *arena;
    struct shape shape;
    enum order order;
    const struct ir_tensor *at, *bt, *ct;
    struct machine_run run;
    float *a, *b, *c;
};

static const char *source_of(struct arena *arena, enum order order, struct shape s)
{
    bool k_first = order == TN || order == TT, n_first = order == NT || order == TT, turned = order == TURNED;

    return arena_printf(arena,
                        "program product f32\ninput a[%s: %d, %s: %d]\ninput b[%s: %d, %s: %d]\n"
                        "c[%s: %d, %s: %d] = sum[k: %d] a[%s, %s] * b[%s, %s]\noutput c\n",
                        k_first ? "k" : "m", k_first ? s.k : s.m, k_first ? "m" : "k", k_first ? s.m : s.k,
                        n_first ? "n" : "k", n_first ? s.n : s.k, n_first ? "k" : "n", n_first ? s.k : s.n,
                        turned ? "n" : "m", turned ? s.n : s.m, turned ? "m" : "n", turned ? s.m : s.n, s.k,
                        k_first ? "k" : "m", k_first ? "m" : "k", n_first ? "n" : "k", n_first ? "k" : "n");
}

static struct product_run *product_open(enum order order, struct shape shape)
{
    struct arena *arena = arena_new();
    struct product_run *r = NEW(arena, struct product_run);
    struct ir_program *p = parse_program(arena, source_of(arena, order, shape));
    struct ir_values zeros = ir_values_new(arena, p);

    fuse(p, FUSE_AS_LARGE);
    plan_memory(p, layout_new(arena), false);
    *r = (struct product_run){.arena = arena, .shape = shape, .order = order};
    r->at = ir_find(p, "a");
    r->bt = ir_find(p, "b");
    r->ct = ir_find(p, "c");
    r->a = NEW_ARRAY(arena, float, shape.m *shape.k);
    r->b = NEW_ARRAY(arena, float, shape.k *shape.n);
    r->c = NEW_ARRAY(arena, float, shape.m *shape.n);
    machine_open(&r->run, p, &zeros, where, &(struct code_options){.quick = true});
    return r;
}

static void product_close(struct product_run *r)
{
    machine_close(&r->run);
    arena_free(r->arena);
}

/* Rows by columns, to memory (or from it), turned about or not. */
static void move_numbers(float *ours, float *theirs, int rows, int columns, bool turned, bool to)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) {
            float *a = &ours[i * columns + j], *b = &theirs[turned ? j * rows + i : i * columns + j];

            memcpy(to ? b : a, to ? a : b, sizeof *a); /* all bits of what is no number too */
        }
}

static float *place(char *memory, const struct ir_tensor *t)
{
    return (float *)(void *)(memory + t->offset);
}

static void product_compute(struct product_run *r)
{
    struct shape s = r->shape;
    bool k_first = r->order == TN || r->order == TT, n_first = r->order == NT || r->order == TT;

    move_numbers(r->a, place(r->run.memory[3], r->at), s.m, s.k, k_first, true);
    move_numbers(r->b, place(r->run.memory[3], r->bt), s.k, s.n, n_first, true);
    machine_step(&r->run, 2);
    assert_int_equal(r->run.status, RNET_DONE);
    move_numbers(r->c, place(r->run.memory[2], r->ct), s.m, s.n, r->order == TURNED, false);
}

/* Of each shape in each order, for all tests. */
struct products {
    struct product_run *at[SHAPES * ORDERS];
};

static int open_products(void **state)
{
    struct products *products = calloc(1, sizeof *products);

    if (!products)
        return 1;
    for (int i = 0; i < SHAPES * ORDERS; i++)
        products->at[i] = product_open((enum order)(i % ORDERS), shapes[i / ORDERS]);
    *state = products;
    return 0;
}

static int close_products(void **state)
{
    struct products *products = *state;

    for (int i = 0; i < SHAPES * ORDERS; i++)
        product_close(products->at[i]);
    free(products);
    return 0;
}

static void each_product(void **state, void (*test)(struct product_run *r))
{
    const struct products *products = *state;

    for (int i = 0; i < SHAPES * ORDERS; i++)
        test(products->at[i]);
}

/* ---- numbers ---- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 11;
}

/* -1 .. 1 */
static float usual(uint64_t *state)
{
    return (float)((double)next_random(state) * 0x1p-52 - 1);
}

/* low .. high - 1 */
static int whole(uint64_t *state, int low, int high)
{
    return low + (int)(next_random(state) % (uint64_t)(high - low));
}

/* A significand of 24 bits and an exponent of low .. high - 1, of either sign. */
static float mixed(uint64_t *state, int low, int high)
{
    return ldexpf((float)(1 + (double)next_random(state) * 0x1p-53), whole(state, low, high)) *
           (next_random(state) % 2 ? 1 : -1);
}

static void fill_usual(struct product_run *r, uint64_t random)
{
    for (int i = 0; i < r->shape.m * r->shape.k; i++)
        r->a[i] = usual(&random);
    for (int i = 0; i < r->shape.k * r->shape.n; i++)
        r->b[i] = usual(&random);
}

/* ---- how exact ---- */

struct errors {
    double norm, largest; /* in half places: of the norm, of any number's |a||b| */
};

/* beside: what each number may be wrong by besides, absolutely, of the terms |a| + |b| and of the sum. */
static struct errors errors_of(const struct product_run *r, double by_term, double by_sum)
{
    enum { SUM, SIZE, BESIDE, ALL };
    struct errors errors = {0};
    struct shape s = r->shape;
    double wrong = 0, all = 0, *row[ALL];

    for (int i = 0; i < ALL; i++)
        row[i] = calloc((size_t)s.n, sizeof *row[i]);
    for (int i = 0; i < s.m; i++) {
        for (int j = 0; j < s.n; j++) {
            row[SUM][j] = row[SIZE][j] = 0;
            row[BESIDE][j] = by_sum;
        }
        for (int k = 0; k < s.k; k++)
            for (int j = 0; j < s.n; j++) {
                double a = (double)r->a[i * s.k + k], b = (double)r->b[k * s.n + j];

                row[SUM][j] += a * b;
                row[SIZE][j] += fabs(a * b);
                row[BESIDE][j] += by_term * (fabs(a) + fabs(b));
            }
        for (int j = 0; j < s.n; j++) {
            double found = (double)r->c[i * s.n + j], error = fmax(fabs(found - row[SUM][j]) - row[BESIDE][j], 0);

            if (!isfinite(found))
                error = INFINITY;
            wrong += error * error;
            all += row[SUM][j] * row[SUM][j];
            if (error > 0)
                errors.largest = fmax(errors.largest, error / row[SIZE][j] / half_place);
        }
    }
    for (int i = 0; i < ALL; i++)
        free(row[i]);
    errors.norm = wrong > 0 ? sqrt(wrong / all) / half_place : 0;
    return errors;
}

static void check_errors(const struct product_run *r, struct errors errors, double norm, double largest)
{
    if (!(errors.norm <= norm) || !(errors.largest <= largest))
        fail_msg("order %d, %d x %d x %d: of 2^-24 %g by norm (%g are allowed), %g of |a||b| (%g)", r->order,
                 r->shape.m, r->shape.k, r->shape.n, errors.norm, norm, errors.largest, largest);
}

static void check_computed(struct product_run *r)
{
    double root = sqrt(r->shape.k);

    product_compute(r);
    check_errors(r, errors_of(r, 0, 0), root / 2 + 3, root + 6);
}

static void check_usual(struct product_run *r)
{
    fill_usual(r, 1);
    check_computed(r);
}

static void usual_numbers(void **state)
{
    each_product(state, check_usual);
}

static void check_positive(struct product_run *r)
{
    fill_usual(r, 2);
    for (int i = 0; i < r->shape.m * r->shape.k; i++)
        r->a[i] = fabsf(r->a[i]);
    for (int i = 0; i < r->shape.k * r->shape.n; i++)
        r->b[i] = fabsf(r->b[i]);
    check_computed(r);
}

static void positive_numbers(void **state)
{
    each_product(state, check_positive);
}

static void check_mixed(struct product_run *r)
{
    uint64_t random = 3;

    for (int i = 0; i < r->shape.m * r->shape.k; i++)
        r->a[i] = mixed(&random, -40, 41);
    for (int i = 0; i < r->shape.k * r->shape.n; i++)
        r->b[i] = mixed(&random, -40, 41);
    check_computed(r);
}

static void numbers_of_mixed_exponents(void **state)
{
    each_product(state, check_mixed);
}

/* Each second term takes back the one before, but for 2^-12 of it: the sum is small beside its terms, and by norm
 * nothing is demanded. */
static void check_cancelled(struct product_run *r)
{
    struct shape s = r->shape;
    uint64_t random = 4;

    fill_usual(r, 5);
    for (int i = 0; i < s.m; i++)
        for (int k = 1; k < s.k; k += 2)
            r->a[i * s.k + k] = -r->a[i * s.k + k - 1] * (1 + usual(&random) * 0x1p-12f);
    for (int k = 1; k < s.k; k += 2)
        memcpy(&r->b[k * s.n], &r->b[(k - 1) * s.n], (size_t)s.n * sizeof *r->b);
    product_compute(r);
    check_errors(r, errors_of(r, 0, 0), INFINITY, sqrt(s.k) + 6);
}

static void terms_that_cancel(void **state)
{
    each_product(state, check_cancelled);
}

/* Equal terms: their errors are of one sign, and so are the roundings of their sum: k of them in any order. With
   significands that have most in what a splitting in parts of 8 bits leaves for the last parts, and others. */
static void check_equal(struct product_run *r)
{
    static const float numbers[] = {0x1.0180fep0f, 0x1.00ff7ep0f, 0x1.01fffep0f,
                                    0x1.fffffep0f, 0x1.555556p0f, 0x1.0101p0f};

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        for (int e = 0; e < r->shape.m * r->shape.k; e++)
            r->a[e] = numbers[i];
        for (int e = 0; e < r->shape.k * r->shape.n; e++)
            r->b[e] = -numbers[i];
        product_compute(r);
        check_errors(r, errors_of(r, 0, 0), r->shape.k, r->shape.k);
    }
}

static void terms_that_are_equal(void **state)
{
    each_product(state, check_equal);
}

static void many_terms(void **state)
{
    static const struct shape long_ones[ORDERS] = {
        {40, 48, 3000}, {33, 64, 2049}, {64, 40, 2500}, {32, 33, 1100}, {48, 48, 3000}};

    (void)state;
    for (int order = 0; order < ORDERS; order++) {
        struct product_run *r = product_open((enum order)order, long_ones[order]);

        check_usual(r);
        check_positive(r);
        check_mixed(r);
        product_close(r);
    }
}

/* ---- what must be exact ---- */

static void check_exact(struct product_run *r)
{
    product_compute(r);
    check_errors(r, errors_of(r, 0, 0), 0, 0);
}

/* Rows of a that have a single 1, or none; columns of b that do. */
static void check_one_hot(struct product_run *r)
{
    struct shape s = r->shape;
    uint64_t random = 6;

    for (int side = 0; side < 2; side++) {
        float *hot = side ? r->b : r->a, *other = side ? r->a : r->b;
        int count = side ? s.n : s.m, all = side ? s.m * s.k : s.k * s.n;

        memset(hot, 0, sizeof *hot * (size_t)(count * s.k));
        for (int i = 0; i < count; i++) {
            int k = i == 2 ? s.k - 1 : whole(&random, 0, s.k);
            if (i != 1)
                hot[side ? k * s.n + i : i * s.k + k] = i % 3 ? 1 : -1;
        }
        for (int i = 0; i < all; i++)
            other[i] = mixed(&random, -100, 127);
        check_exact(r);
    }
}

static void one_hot_rows_and_columns(void **state)
{
    each_product(state, check_one_hot);
}

/* Whole numbers of up to 12 bits by smaller ones, so that no sum comes to 2^23; each term's row, column and place by
   powers of two besides. */
static void check_whole(struct product_run *r)
{
    struct shape s = r->shape;
    uint64_t random = 7;

    for (int kind = 0; kind < 4; kind++) {
        int large = kind < 2 ? 1 << 12 : 180, small = kind < 2 ? (1 << 11) / s.k : 180, powers = kind % 2;
        int *by = NEW_ARRAY(r->arena, int, s.k);

        if (s.k * (large - 1) * (small - 1) >= 1 << 23)
            large = small = (int)sqrt((1 << 23) / s.k);
        for (int k = 0; k < s.k; k++)
            by[k] = powers ? whole(&random, -40, 41) : 0;
        for (int i = 0; i < s.m; i++) {
            int row = powers ? whole(&random, -8, 9) : 0;
            for (int k = 0; k < s.k; k++)
                r->a[i * s.k + k] = ldexpf((float)whole(&random, 1 - large, large), row + by[k]);
        }
        for (int j = 0; j < s.n; j++) {
            int column = powers ? whole(&random, -8, 9) : 0;
            for (int k = 0; k < s.k; k++)
                r->b[k * s.n + j] = ldexpf((float)whole(&random, 1 - small, small), column - by[k]);
        }
        check_exact(r);
    }
}

static void whole_numbers(void **state)
{
    each_product(state, check_whole);
}

/* Powers of two from 2^-60 to 2^60, whose terms are of a size in each sum. */
static void check_powers(struct product_run *r)
{
    struct shape s = r->shape;
    uint64_t random = 8;

    for (int k = 0; k < s.k; k++) {
        int by = whole(&random, -40, 41);

        for (int i = 0; i < s.m; i++)
            r->a[i * s.k + k] = ldexpf(whole(&random, 0, 2) ? 1 : -1, by + i % 21 - 10);
        for (int j = 0; j < s.n; j++)
            r->b[k * s.n + j] = ldexpf(whole(&random, 0, 2) ? 1 : -1, -by + j % 41 - 20);
    }
    check_exact(r);
}

static void powers_of_two(void **state)
{
    each_product(state, check_powers);
}

static void check_zeros(struct product_run *r)
{
    struct shape s = r->shape;

    fill_usual(r, 9);
    for (int i = 0; i < s.m; i++)
        for (int k = 0; k < s.k; k++)
            if (i % 2 || k % 2)
                r->a[i * s.k + k] = k % 3 ? 0.0f : -0.0f;
    for (int k = 0; k < s.k; k += 2)
        for (int j = 0; j < s.n; j++)
            r->b[k * s.n + j] = j % 3 ? 0.0f : -0.0f;
    check_exact(r);
}

static void zeros_of_both_signs(void **state)
{
    each_product(state, check_zeros);
}

/* ---- edges ---- */

static float bits(uint32_t pattern)
{
    float x;

    memcpy(&x, &pattern, sizeof x);
    return x;
}

/* Infinities, and what is no number, of all patterns: what they reach is not finite, all else as it is without them, in
   each bit; and nothing of them is left for the next step. */
static void check_not_finite(struct product_run *r)
{
    static const uint32_t patterns[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00000, 0xffffffff,
                                        0x7fffffff, 0x7fff8000, 0xffff8000, 0x7f800001, 0xff800001};
    struct shape s = r->shape;
    size_t bytes = sizeof *r->c * (size_t)(s.m * s.n);
    float *clean = NEW_ARRAY(r->arena, float, s.m *s.n);
    uint64_t random = 10;

    fill_usual(r, 11);
    product_compute(r);
    memcpy(clean, r->c, bytes);
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const int rows[] = {0, s.m - 1, s.m / 32 * 32 - 1, whole(&random, 0, s.m)};
        const int columns[] = {s.n - 1, 0, whole(&random, 0, s.n), s.n / 32 * 32 - 1};
        const int terms[] = {0, s.k - 1, 31, whole(&random, 0, s.k)};
        int row = rows[i % 4] < 0 ? 0 : rows[i % 4], column = columns[i % 4] < 0 ? 0 : columns[i % 4];
        float *of_a = &r->a[row * s.k + terms[i % 4]], *of_b = &r->b[terms[3 - i % 4] * s.n + column];
        float a = *of_a, b = *of_b;
        bool in_a = i % 3 != 1, in_b = i % 3 != 0;

        if (in_a)
            *of_a = bits(patterns[i]);
        if (in_b)
            *of_b = bits(patterns[i]);
        product_compute(r);
        for (int e = 0; e < s.m * s.n; e++) {
            bool reached = (in_a && e / s.n == row) || (in_b && e % s.n == column);
            if (reached ? isfinite(r->c[e]) : memcmp(&r->c[e], &clean[e], sizeof *clean) != 0)
                fail_msg("order %d, %d x %d x %d, %08x at%s%s: number %d, %d is %g, was %g", r->order, s.m, s.k, s.n,
                         patterns[i], in_a ? " a" : "", in_b ? " b" : "", e / s.n, e % s.n, (double)r->c[e],
                         (double)clean[e]);
        }
        *of_a = a;
        *of_b = b;
    }
    product_compute(r);
    assert_memory_equal(r->c, clean, bytes);
}

static void what_is_not_finite_stays_in_its_row_and_column(void **state)
{
    each_product(state, check_not_finite);
}

/* By 1 numbers of up to 2^128 - 2^120 are what they are; larger ones, which would round to 2^128 where they are split,
   are that or not finite. Terms that come near the largest and cancel are as exact as others, if no sum on the way
   comes there. */
static void check_largest(struct product_run *r)
{
    struct shape s = r->shape;
    uint64_t random = 12;

    memset(r->b, 0, sizeof *r->b * (size_t)(s.k * s.n));
    for (int j = 0; j < s.n; j++)
        r->b[whole(&random, 0, s.k) * s.n + j] = 1;
    for (int i = 0; i < s.m * s.k; i++)
        r->a[i] = i % 2 ? 0x1.fep127f : -mixed(&random, 120, 127);
    check_exact(r);
    for (int i = 0; i < s.m * s.k; i++)
        r->a[i] = FLT_MAX;
    product_compute(r);
    for (int i = 0; i < s.m * s.n; i++)
        assert_true(r->c[i] == FLT_MAX || !isfinite(r->c[i]));
    for (int i = 0; i < s.m * s.k; i++)
        r->a[i] = usual(&random) * 0x1p63f / (float)s.k;
    for (int i = 0; i < s.k * s.n; i++)
        r->b[i] = usual(&random) * 0x1p64f;
    check_computed(r);
    for (int i = 0; i < s.m * s.k; i++)
        r->a[i] = 0x1p64f;
    for (int i = 0; i < s.k * s.n; i++)
        r->b[i] = -0x1p63f;
    product_compute(r);
    for (int i = 0; i < s.m * s.n; i++)
        assert_false(isfinite(r->c[i]));
}

static void numbers_near_the_largest(void **state)
{
    each_product(state, check_largest);
}

/* Below 2^-126 all is 0: of a number each of the parts that it may be split in (below 2^-102 some are), of the sum each
   step. So it is wrong by 2^-125 of the other operand's for each term besides, and by 2^-126 for each of up to 8
   roundings that a term has. */
static void check_smallest(struct product_run *r)
{
    static const int exponents[][4] = {
        {-126, -110, -4, 4}, {-126, -90, 20, 60}, {-66, -56, -66, -56}, {-126, -100, 100, 125}};
    struct shape s = r->shape;
    uint64_t random = 13;

    for (size_t i = 0; i < sizeof exponents / sizeof *exponents; i++) {
        const int *e = exponents[i];

        for (int k = 0; k < s.m * s.k; k++)
            r->a[k] = mixed(&random, e[0], e[1]);
        for (int k = 0; k < s.k * s.n; k++)
            r->b[k] = mixed(&random, e[2], e[3]);
        product_compute(r);
        check_errors(r, errors_of(r, 0x1p-125, 8 * s.k * 0x1p-126), sqrt(s.k) / 2 + 3, sqrt(s.k) + 6);
    }
}

static void numbers_near_the_smallest(void **state)
{
    each_product(state, check_smallest);
}

/* Operands that end where memory ends, and that begin where it begins. */
static void check_borders(struct product_run *r)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = ((size_t)r->run.program->input_bytes + 63) / 64 * 64;
    size_t room = (bytes + page - 1) / page * page;
    char *memory = mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *own = r->run.memory[3];

    assert_true(memory != MAP_FAILED);
    assert_int_equal(mprotect(memory + page, room, PROT_READ | PROT_WRITE), 0);
    for (int end = 0; end < 2; end++) {
        r->run.memory[3] = r->run.step.inputs = memory + page + (end ? room - bytes : 0);
        fill_usual(r, 14);
        product_compute(r);
        r->run.memory[3] = r->run.step.inputs = own;
        check_errors(r, errors_of(r, 0, 0), sqrt(r->shape.k) / 2 + 3, sqrt(r->shape.k) + 6);
    }
    munmap(memory, room + 2 * page);
}

static void nothing_is_read_beside_the_operands(void **state)
{
    each_product(state, check_borders);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usual_numbers),
        cmocka_unit_test(positive_numbers),
        cmocka_unit_test(numbers_of_mixed_exponents),
        cmocka_unit_test(terms_that_cancel),
        cmocka_unit_test(terms_that_are_equal),
        cmocka_unit_test(many_terms),
        cmocka_unit_test(one_hot_rows_and_columns),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(powers_of_two),
        cmocka_unit_test(zeros_of_both_signs),
        cmocka_unit_test(what_is_not_finite_stays_in_its_row_and_column),
        cmocka_unit_test(numbers_near_the_largest),
        cmocka_unit_test(numbers_near_the_smallest),
        cmocka_unit_test(nothing_is_read_beside_the_operands),
    };
    return cmocka_run_group_tests(tests, open_products, close_products);
}
