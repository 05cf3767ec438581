/* limits.c: what the machine gives at this moment: operations a second of multiply-adds and of the matrix unit, bytes a second of a
   copy. Others may use it too, so it is to be asked again beside whatever is compared with it, and for as long. */
#include "rnet.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    CHAINS = 16,   /* independent multiply-adds: more than latency times units of every processor so far */
    ROUNDS = 4000, /* from one look at the clock to the next: ten microseconds */
    SLICES = 6
};

/* ---- operations, for so many rounds at a time ---- */

typedef double rounds_function(const void *operands, int64_t rounds);

struct slice {
    rounds_function *run;
    const void *operands; /* for all threads */
    int64_t rounds;
    double begin, end;
    struct {
        int64_t rounds;
        volatile double result; /* so that nothing is left out */
        char own_line[64];
    } *threads;
};

static void run_slice(void *context, int64_t part)
{
    struct slice *slice = context;
    int64_t rounds = 0;

    do {
        slice->threads[part].result = slice->run(slice->operands, slice->rounds);
        rounds += slice->rounds;
    } while (rnet_seconds() < slice->end);
    slice->threads[part].rounds = rounds;
}

/* Rounds a second of all threads together. `rounds`: from one look at the clock to the next. */
static double rounds_rate(struct rnet_pool *pool, double seconds, rounds_function *run, const void *operands, int64_t rounds)
{
    int threads = rnet_pool_threads(pool);
    struct slice slice = {.run = run, .operands = operands, .rounds = rounds, .threads = calloc((size_t)threads, sizeof *slice.threads)};
    double sum = 0;

    if (!slice.threads)
        return 0;
    slice.begin = rnet_seconds();
    slice.end = slice.begin + seconds;
    rnet_pool_run(pool, run_slice, &slice, threads);
    for (int i = 0; i < threads; i++)
        sum += (double)slice.threads[i].rounds;
    free(slice.threads);
    return sum / (rnet_seconds() - slice.begin);
}

/* ---- multiply-adds ---- */

#define CHAINS_OF(name, attribute, type, lanes, set, multiply_add)                                                     \
    attribute static double name(const void *operands, int64_t rounds)                                                 \
    {                                                                                                                  \
        const type factor = set(1.0000001f), term = set(1e-9f);                                                        \
        type chain[CHAINS], sum = set(0.0f);                                                                           \
        float out[lanes];                                                                                              \
                                                                                                                       \
        _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) chain[i] = set((float)i);                            \
        for (int64_t round = 0; round < rounds; round++)                                                               \
            _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) chain[i] = multiply_add(chain[i], factor, term); \
        _Pragma("GCC unroll 16") for (int i = 0; i < CHAINS; i++) sum = sum + chain[i];                                \
        memcpy(out, &sum, sizeof out);                                                                                 \
        return out[0];                                                                                                 \
    }

typedef float four_lanes __attribute__((vector_size(16)));
#define SET_FOUR(x)                    ((four_lanes){x, x, x, x})
#define MULTIPLY_ADD_FOUR(a, b, c)     ((a) * (b) + (c))
CHAINS_OF(chains_of_four, , four_lanes, 4, SET_FOUR, MULTIPLY_ADD_FOUR)

#if defined(__x86_64__)
CHAINS_OF(chains_of_eight, __attribute__((target("avx2,fma"))), __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
CHAINS_OF(chains_of_sixteen, __attribute__((target("avx512f"))), __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
#endif

double rnet_multiply_add_rate(struct rnet_pool *pool, double seconds)
{
    rounds_function *chains = chains_of_four;
    int lanes = 4;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        chains = chains_of_sixteen;
        lanes = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        chains = chains_of_eight;
        lanes = 8;
    }
#endif
    return 2.0 * lanes * CHAINS * rounds_rate(pool, seconds, chains, NULL, ROUNDS);
}

/* ---- products of f32 by parts of bf16 ----

   Of zeros: with them the unit keeps its full rate, as with numbers of which every fourth is zero. Where none is, power may slow it
   down (to 0.83 of that where it was measured), but a rate that other numbers exceed would be no peak. */

#if defined(__x86_64__)
enum {
    SIDE = 32,            /* of C: four tiles of 16 x 16 that stay in registers; a step adds SIDE terms to each number */
    TILE = 16 * 32,       /* numbers of an operand's tile */
    STEP = 2 * 3 * TILE,  /* two tiles of each of three parts */
    STEPS = 2,            /* that there are operands for: 24 KB, half of a first cache */
    MATRIX_ROUNDS = 50    /* ten microseconds too */
};
struct matrix_operands {
    uint16_t a[STEPS * STEP], b[STEPS * STEP];
} __attribute__((aligned(64)));

/* The four products of two tiles by two, with other tiles on one side; each tile that is read is used at once. */
#define OTHER_RIGHT(right)                                                                                             \
    _tile_loadd(6, (right), 64);                                                                                       \
    _tile_dpbf16ps(0, 4, 6);                                                                                           \
    _tile_dpbf16ps(2, 5, 6);                                                                                           \
    _tile_loadd(7, (right) + TILE, 64);                                                                                \
    _tile_dpbf16ps(1, 4, 7);                                                                                           \
    _tile_dpbf16ps(3, 5, 7)
#define OTHER_LEFT(left)                                                                                               \
    _tile_loadd(4, (left), 64);                                                                                        \
    _tile_dpbf16ps(0, 4, 6);                                                                                           \
    _tile_dpbf16ps(1, 4, 7);                                                                                           \
    _tile_loadd(5, (left) + TILE, 64);                                                                                 \
    _tile_dpbf16ps(2, 5, 6);                                                                                           \
    _tile_dpbf16ps(3, 5, 7)

/* A round is STEPS steps: six products of parts, each of 2 x 2 tiles. */
__attribute__((target("amx-tile,amx-bf16"))) static double products_by_parts(const void *operands, int64_t rounds)
{
    const struct matrix_operands *all = operands;
    struct {
        uint8_t palette, first_row, none[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    float c[TILE / 2];

    for (int i = 0; i < 8; i++) {
        shape.rows[i] = 16;
        shape.row_bytes[i] = 64;
    }
    __asm__ volatile("" : : "r"(&shape), "r"(all) : "memory"); /* gcc's functions for tiles do not say what memory they read */
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < rounds * STEPS; i++) {
        const uint16_t *a = all->a + i % STEPS * STEP, *b = all->b + i % STEPS * STEP;
        /* A part that is read stays for the products that need it. */
        _tile_loadd(4, a, 64); /* h h */
        _tile_loadd(6, b, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + TILE, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        OTHER_RIGHT(b + 2 * TILE); /* h m */
        OTHER_LEFT(a + 2 * TILE);  /* m m */
        OTHER_RIGHT(b);            /* m h */
        OTHER_LEFT(a + 4 * TILE);  /* l h */
        _tile_loadd(4, a, 64);     /* h l */
        _tile_loadd(5, a + TILE, 64);
        OTHER_RIGHT(b + 4 * TILE);
    }
    _tile_stored(0, c, 64);
    _tile_release();
    __asm__ volatile("" : : "r"(c) : "memory");
    return c[0];
}
#endif

double rnet_matrix_unit_rate(struct rnet_pool *pool, double seconds)
{
#if defined(__x86_64__)
    static const struct matrix_operands zeros;

    if (!rnet_matrix_unit())
        return 0;
    return 2.0 * SIDE * SIDE * SIDE * STEPS * rounds_rate(pool, seconds, products_by_parts, &zeros, MATRIX_ROUNDS);
#else
    (void)pool, (void)seconds;
    return 0;
#endif
}

/* ---- copying ---- */

struct copy {
    char *from, *to;
    int64_t bytes;
    int threads, times;
};

static void run_copy(void *context, int64_t part)
{
    const struct copy *copy = context;
    int64_t first = copy->bytes * part / copy->threads, end = copy->bytes * (part + 1) / copy->threads;

    for (int i = 0; i < copy->times; i++) {
        memcpy(copy->to + first, copy->from + first, (size_t)(end - first));
        __asm__ volatile("" : : : "memory"); /* once more means once more */
    }
}

double rnet_copy_rate(struct rnet_pool *pool, char *memory, int64_t bytes)
{
    const int64_t half = bytes / 2, enough = 16 << 20; /* for a slice that no clock or wake-up disturbs */
    struct copy copy = {memory, memory + half, half, rnet_pool_threads(pool), 1};
    double best = 0;

    if (half < 1)
        return 0;
    copy.times = (int)(enough / half) + 1;
    for (int i = 0; i < SLICES; i++) {
        double begin = rnet_seconds(), rate;

        rnet_pool_run(pool, run_copy, &copy, copy.threads);
        rate = 2.0 * (double)half * copy.times / (rnet_seconds() - begin);
        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- threads ---- */

static void run_nothing(void *context, int64_t part)
{
    (void)context, (void)part;
}

double rnet_fork_join_seconds(struct rnet_pool *pool)
{
    enum { TOGETHER = 200 };
    int threads = rnet_pool_threads(pool);
    double best = 0;

    for (int i = 0; i < 10 * SLICES; i++) {
        double begin = rnet_seconds(), each;

        for (int k = 0; k < TOGETHER; k++)
            rnet_pool_run(pool, run_nothing, NULL, threads);
        each = (rnet_seconds() - begin) / TOGETHER;
        best = i == 0 || each < best ? each : best;
    }
    return best;
}
