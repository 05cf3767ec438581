/* philox.c: draws in bulk. The functions of philox.h, sixteen lanes at a time, compiled once for each vector width;
   which one runs is decided by the processor and never changes a bit. */
#include "philox.h"
#include "rnet.h"

#include <string.h>
#include <xxhash.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

enum { LANES = 16, WORDS = 4 };

static inline __attribute__((always_inline)) void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
#pragma GCC unroll 10
    for (uint32_t round = 0; round < RNET_PHILOX_ROUNDS; round++)
        rnet_philox_round(c, k0 + round * RNET_PHILOX_W0, k1 + round * RNET_PHILOX_W1);
}

void rnet_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]};
    philox(c, key[0], key[1]);
    memcpy(out, c, sizeof c);
}

uint64_t rnet_draw_key(const char *site, uint64_t seed)
{
    return XXH3_64bits_withSeed(site, strlen(site), seed);
}

/* What all elements of one call share. */
struct draw {
    enum rnet_draw kind;
    uint32_t k0, k1, mapped, position_low, position_high;
};

static inline void words_portable(const struct draw *draw, uint32_t group, uint32_t words[WORDS][LANES])
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        uint32_t c[4] = {group * LANES + lane, draw->mapped, draw->position_low, draw->position_high};
        philox(c, draw->k0, draw->k1);
        for (int word = 0; word < WORDS; word++)
            words[word][lane] = c[word];
    }
}

#ifdef __x86_64__
/* Philox on lanes of 64 bits, of which the multiplication reads the low half; what stands above it is garbage until the
   end. rnet_philox_round in vectors: the compiler does not find this instruction by itself. */
#define WORDS_WIDE(suffix, features, type, narrow, lanes, register_type, multiply, ...)                                \
    typedef uint64_t type __attribute__((vector_size(8 * lanes)));                                                     \
    typedef uint32_t narrow __attribute__((vector_size(4 * lanes)));                                                   \
    features static inline void words_##suffix(const struct draw *draw, uint32_t group, uint32_t words[WORDS][LANES])  \
    {                                                                                                                  \
        const type numbers_from_0 = {__VA_ARGS__};                                                                     \
        type c[WORDS][LANES / lanes];                                                                                  \
        for (int part = 0; part < LANES / lanes; part++) {                                                             \
            c[0][part] = numbers_from_0 + (group * LANES + (uint32_t)(part * lanes));                                  \
            c[1][part] = (type){0} + draw->mapped;                                                                     \
            c[2][part] = (type){0} + draw->position_low;                                                               \
            c[3][part] = (type){0} + draw->position_high;                                                              \
        }                                                                                                              \
        _Pragma("GCC unroll 10") for (uint32_t round = 0; round < RNET_PHILOX_ROUNDS; round++)                         \
        {                                                                                                              \
            uint32_t k0 = draw->k0 + round * RNET_PHILOX_W0, k1 = draw->k1 + round * RNET_PHILOX_W1;                   \
            _Pragma("GCC unroll 4") for (int part = 0; part < LANES / lanes; part++)                                   \
            {                                                                                                          \
                type m0 = (type){0} + RNET_PHILOX_M0, m1 = (type){0} + RNET_PHILOX_M1;                                 \
                type product0 = (type)multiply((register_type)c[0][part], (register_type)m0);                          \
                type product1 = (type)multiply((register_type)c[2][part], (register_type)m1);                          \
                c[0][part] = (product1 >> 32) ^ c[1][part] ^ k0;                                                       \
                c[1][part] = product1;                                                                                 \
                c[2][part] = (product0 >> 32) ^ c[3][part] ^ k1;                                                       \
                c[3][part] = product0;                                                                                 \
            }                                                                                                          \
        }                                                                                                              \
        _Pragma("GCC unroll 4") for (int word = 0; word < WORDS; word++)                                               \
            _Pragma("GCC unroll 4") for (int part = 0; part < LANES / lanes; part++)                                   \
        {                                                                                                              \
            narrow low = __builtin_convertvector(c[word][part], narrow);                                               \
            memcpy(&words[word][part * lanes], &low, sizeof low);                                                      \
        }                                                                                                              \
    }
#define AVX2   __attribute__((target("avx2")))
#define AVX512 __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512")))
WORDS_WIDE(avx2, AVX2, wide4, narrow4, 4, __m256i, _mm256_mul_epu32, 0, 1, 2, 3)
WORDS_WIDE(avx512, AVX512, wide8, narrow8, 8, __m512i, _mm512_mul_epu32, 0, 1, 2, 3, 4, 5, 6, 7)
#endif

/* The numbers of sixteen blocks: 64 for a 32-bit draw, 128 for a 16-bit one, in the order of elements. */
static inline __attribute__((always_inline)) void numbers_of(enum rnet_draw kind, uint32_t words[WORDS][LANES],
                                                             float *restrict out)
{
    if (kind == RNET_UNIFORM16) {
        for (int word = 0; word < WORDS; word++) {
            for (int lane = 0; lane < LANES; lane++)
                out[2 * word * LANES + lane] = rnet_uniform16(words[word][lane] & 0xFFFF);
            for (int lane = 0; lane < LANES; lane++)
                out[(2 * word + 1) * LANES + lane] = rnet_uniform16(words[word][lane] >> 16);
        }
    } else if (kind == RNET_UNIFORM32) {
        for (int word = 0; word < WORDS; word++)
            for (int lane = 0; lane < LANES; lane++)
                out[word * LANES + lane] = rnet_uniform32(words[word][lane]);
    } else {
        for (int word = 0; word < WORDS; word += 2)
            for (int lane = 0; lane < LANES; lane++) {
                float pair[2];
                rnet_normal_pair(words[word][lane], words[word + 1][lane], pair);
                out[word * LANES + lane] = pair[0];
                out[(word + 1) * LANES + lane] = pair[1];
            }
    }
}

/* Whole groups straight to `out`, the ends by way of a group on the stack. */
#define DRAW_RANGE(suffix, features)                                                                                   \
    features static void draw_range_##suffix(const struct draw *draw, uint64_t first, int64_t count, float *out)       \
    {                                                                                                                  \
        int64_t size = draw->kind == RNET_UNIFORM16 ? 2 * WORDS * LANES : WORDS * LANES;                               \
        uint64_t group = first / (uint64_t)size;                                                                       \
        int64_t skip = (int64_t)(first % (uint64_t)size);                                                              \
        while (count > 0) {                                                                                            \
            uint32_t words[WORDS][LANES];                                                                              \
            float numbers[2 * WORDS * LANES];                                                                          \
            int64_t here = size - skip < count ? size - skip : count;                                                  \
            words_##suffix(draw, (uint32_t)group, words);                                                              \
            numbers_of(draw->kind, words, here == size ? out : numbers);                                               \
            if (here != size)                                                                                          \
                memcpy(out, numbers + skip, (size_t)here * sizeof *out);                                               \
            out += here;                                                                                               \
            count -= here;                                                                                             \
            skip = 0;                                                                                                  \
            group++;                                                                                                   \
        }                                                                                                              \
    }
DRAW_RANGE(portable, )
#ifdef __x86_64__
DRAW_RANGE(avx2, AVX2)
DRAW_RANGE(avx512, AVX512)
#endif

void rnet_draw_fill(enum rnet_draw draw, uint64_t key, uint32_t mapped, uint64_t position, uint64_t first,
                    int64_t count, float *out)
{
    struct draw shared = {.kind = draw,
                          .k0 = (uint32_t)key,
                          .k1 = (uint32_t)(key >> 32),
                          .mapped = mapped,
                          .position_low = (uint32_t)position,
                          .position_high = (uint32_t)(position >> 32)};
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
        draw_range_avx512(&shared, first, count, out);
    else if (__builtin_cpu_supports("avx2"))
        draw_range_avx2(&shared, first, count, out);
    else
        draw_range_portable(&shared, first, count, out);
#else
    draw_range_portable(&shared, first, count, out);
#endif
}
