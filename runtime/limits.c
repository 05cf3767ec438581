/* limits.c: what the machine gives at this moment: operations a second on registers, bytes a second of a copy. Others may use it
   too, so each is the best of a few short slices, and is to be asked again beside whatever is compared with it. */
#include "rnet.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum {
    CHAINS = 16, /* independent multiply-adds: more than latency times units of every processor so far */
    ROUNDS = 400000,
    SLICES = 6
};

/* ---- multiply-adds ---- */

typedef double chains_function(int64_t rounds);

#define CHAINS_OF(name, attribute, type, lanes, set, multiply_add)                                                     \
    attribute static double name(int64_t rounds)                                                                       \
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

struct slice {
    chains_function *chains;
    volatile double result; /* so that nothing is left out */
};

static void run_chains(void *context, int64_t part)
{
    struct slice *slice = context;
    double result = slice->chains(ROUNDS);

    if (part == 0)
        slice->result = result;
}

double rnet_multiply_add_rate(struct rnet_pool *pool)
{
    int threads = rnet_pool_threads(pool), lanes = 4;
    struct slice slice = {.chains = chains_of_four};
    double best = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        slice.chains = chains_of_sixteen;
        lanes = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        slice.chains = chains_of_eight;
        lanes = 8;
    }
#endif
    for (int i = 0; i < SLICES; i++) {
        double begin = rnet_seconds(), rate;

        rnet_pool_run(pool, run_chains, &slice, threads);
        rate = 2.0 * lanes * CHAINS * ROUNDS * threads / (rnet_seconds() - begin);
        best = rate > best ? rate : best;
    }
    return best;
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
