/* limits.c: what the machine gives at this moment: operations a second on registers, bytes a second of a copy. Others may use it
   too, so it is to be asked again beside whatever is compared with it, and for as long. */
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
    double begin, end;
    struct {
        int64_t rounds;
        volatile double result; /* so that nothing is left out */
        char own_line[64];
    } *threads;
};

static void run_chains(void *context, int64_t part)
{
    struct slice *slice = context;
    int64_t rounds = 0;

    do {
        slice->threads[part].result = slice->chains(ROUNDS);
        rounds += ROUNDS;
    } while (rnet_seconds() < slice->end);
    slice->threads[part].rounds = rounds;
}

double rnet_multiply_add_rate(struct rnet_pool *pool, double seconds)
{
    int threads = rnet_pool_threads(pool), lanes = 4;
    struct slice slice = {.chains = chains_of_four, .threads = calloc((size_t)threads, sizeof *slice.threads)};
    double rounds = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) {
        slice.chains = chains_of_sixteen;
        lanes = 16;
    } else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        slice.chains = chains_of_eight;
        lanes = 8;
    }
#endif
    if (!slice.threads)
        return 0;
    slice.begin = rnet_seconds();
    slice.end = slice.begin + seconds;
    rnet_pool_run(pool, run_chains, &slice, threads);
    for (int i = 0; i < threads; i++)
        rounds += (double)slice.threads[i].rounds;
    free(slice.threads);
    return 2.0 * lanes * CHAINS * rounds / (rnet_seconds() - slice.begin);
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
