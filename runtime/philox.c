/* philox.c: draws in bulk. The functions of philox.h, sixteen lanes at a time, compiled once for each vector width; which one
   runs is decided by the processor and never changes a bit. */
#include "philox.h"
#include "rnet.h"

#include <string.h>
#include <xxhash.h>

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

/* The numbers of sixteen blocks: 64 for a 32-bit draw, 128 for a 16-bit one, in the order of elements. */
static inline __attribute__((always_inline)) void draw_group(const struct draw *draw, uint32_t group, float *restrict out)
{
    uint32_t words[WORDS][LANES];
    for (uint32_t lane = 0; lane < LANES; lane++) {
        words[0][lane] = group * LANES + lane;
        words[1][lane] = draw->mapped;
        words[2][lane] = draw->position_low;
        words[3][lane] = draw->position_high;
    }
    for (uint32_t round = 0; round < RNET_PHILOX_ROUNDS; round++) {
        uint32_t k0 = draw->k0 + round * RNET_PHILOX_W0, k1 = draw->k1 + round * RNET_PHILOX_W1;
        for (int lane = 0; lane < LANES; lane++) {
            uint32_t c[4] = {words[0][lane], words[1][lane], words[2][lane], words[3][lane]};
            rnet_philox_round(c, k0, k1);
            words[0][lane] = c[0];
            words[1][lane] = c[1];
            words[2][lane] = c[2];
            words[3][lane] = c[3];
        }
    }
    if (draw->kind == RNET_UNIFORM16) {
        for (int word = 0; word < WORDS; word++) {
            for (int lane = 0; lane < LANES; lane++)
                out[2 * word * LANES + lane] = rnet_uniform16(words[word][lane] & 0xFFFF);
            for (int lane = 0; lane < LANES; lane++)
                out[(2 * word + 1) * LANES + lane] = rnet_uniform16(words[word][lane] >> 16);
        }
    } else if (draw->kind == RNET_UNIFORM32) {
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

static inline __attribute__((always_inline)) void draw_range(const struct draw *draw, uint64_t first, int64_t count,
                                                             float *out)
{
    int64_t size = draw->kind == RNET_UNIFORM16 ? 2 * WORDS * LANES : WORDS * LANES;
    uint64_t group = first / (uint64_t)size;
    int64_t skip = (int64_t)(first % (uint64_t)size);
    while (count > 0) {
        int64_t here = size - skip < count ? size - skip : count;
        if (here == size) {
            draw_group(draw, (uint32_t)group, out);
        } else {
            float numbers[2 * WORDS * LANES];
            draw_group(draw, (uint32_t)group, numbers);
            memcpy(out, numbers + skip, (size_t)here * sizeof *out);
        }
        out += here;
        count -= here;
        skip = 0;
        group++;
    }
}

/* The same source for three widths. */
#define DRAW_RANGE(suffix, features)                                                                                   \
    features static void draw_range_##suffix(const struct draw *draw, uint64_t first, int64_t count, float *out)       \
    {                                                                                                                  \
        struct draw copy = *draw;                                                                                      \
        if (copy.kind == RNET_UNIFORM16) {                                                                             \
            copy.kind = RNET_UNIFORM16;                                                                                \
            draw_range(&copy, first, count, out);                                                                      \
        } else if (copy.kind == RNET_UNIFORM32) {                                                                      \
            copy.kind = RNET_UNIFORM32;                                                                                \
            draw_range(&copy, first, count, out);                                                                      \
        } else {                                                                                                       \
            draw_range(&copy, first, count, out);                                                                      \
        }                                                                                                              \
    }
DRAW_RANGE(portable, )
#ifdef __x86_64__
DRAW_RANGE(avx2, __attribute__((target("avx2"))))
DRAW_RANGE(avx512, __attribute__((target("avx512f,avx512dq,avx512vl,avx512bw,prefer-vector-width=512"))))
#endif

void rnet_draw_fill(enum rnet_draw draw, uint64_t key, uint32_t mapped, uint64_t position, uint64_t first, int64_t count,
                    float *out)
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
