/* philox.h: from counters to bits to numbers, one scalar at a time. This file is the definition: philox.c runs these
   functions sixteen lanes wide, the evaluator calls them, the code generator emits them operation by operation, and
   tests/oracle/philox.py writes them again in Python. All give the same bits.

   Floating point here is f32, to nearest, + - * sqrt only, each rounded on its own in the order written (no contraction
   to fma, no reassociation). Integers are 32 bits and wrap. No value is denormal, so flushing them changes nothing. */
#ifndef RNET_PHILOX_H
#define RNET_PHILOX_H

#include <stdint.h>

#define RNET_PHILOX_M0 0xD2511F53u
#define RNET_PHILOX_M1 0xCD9E8D57u
#define RNET_PHILOX_W0 0x9E3779B9u
#define RNET_PHILOX_W1 0xBB67AE85u
enum { RNET_PHILOX_ROUNDS = 10 };

/* One round on the counter c with the round's key (k0, k1); the key of round r is the first key + r * (W0, W1). */
static inline void rnet_philox_round(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    uint64_t product0 = (uint64_t)RNET_PHILOX_M0 * c[0];
    uint64_t product1 = (uint64_t)RNET_PHILOX_M1 * c[2];
    uint32_t c1 = c[1], c3 = c[3];
    c[0] = (uint32_t)(product1 >> 32) ^ c1 ^ k0;
    c[1] = (uint32_t)product1;
    c[2] = (uint32_t)(product0 >> 32) ^ c3 ^ k1;
    c[3] = (uint32_t)product0;
}

/* k / 65536 for a half word k < 65536: in [0, 1), exact. */
static inline float rnet_uniform16(uint32_t half)
{
    return (float)(int32_t)half * 0x1p-16f;
}

/* (w >> 8) / 2^24: in [0, 1), exact. */
static inline float rnet_uniform32(uint32_t word)
{
    return (float)(int32_t)(word >> 8) * 0x1p-24f;
}

static inline uint32_t rnet_float_bits(float value)
{
    union {
        float number;
        uint32_t bits;
    } both = {.number = value};
    return both.bits;
}

static inline float rnet_bits_float(uint32_t bits)
{
    union {
        uint32_t bits;
        float number;
    } both = {.bits = bits};
    return both.number;
}

/* log(1 + f) = f + f^2 (L0 + L1 f + ... + L7 f^7) for f in [sqrt(1/2) - 1, sqrt(2) - 1]: relative error 3e-8.
   sin(pi x / 2) = x (S0 + S1 z + S2 z^2 + S3 z^3), cos(pi x / 2) = 1 + z (C0 + C1 z + C2 z^2), z = x^2, |x| <= 1/2:
   errors 5e-9 and 3e-8. Minimax fits rounded to f32. */
#define RNET_LOG_0     -0x1.fffff4p-2f
#define RNET_LOG_1     0x1.5556e8p-2f
#define RNET_LOG_2     -0x1.0006c6p-2f
#define RNET_LOG_3     0x1.98da1cp-3f
#define RNET_LOG_4     -0x1.52fb0ep-3f
#define RNET_LOG_5     0x1.30d176p-3f
#define RNET_LOG_6     -0x1.277648p-3f
#define RNET_LOG_7     0x1.6fcc4cp-4f
#define RNET_TWO_LOG2  0x1.62e430p+0f
#define RNET_SQRT_HALF 0x3F3504F3u /* the bits of sqrt(1/2) */
#define RNET_MANTISSA  0x007FFFFFu
#define RNET_SIN_0     0x1.921fb6p+0f
#define RNET_SIN_1     -0x1.4abbbap-1f
#define RNET_SIN_2     0x1.465ec6p-4f
#define RNET_SIN_3     -0x1.2d9bb8p-8f
#define RNET_COS_0     -0x1.3bd3a2p+0f
#define RNET_COS_1     0x1.03b162p-2f
#define RNET_COS_2     -0x1.4ea9e4p-6f

/* Two independent standard normals from two words, by Box and Muller:
   radius sqrt(-2 log u1), u1 = ((a >> 8) + 1) / 2^24 in (0, 1]; angle 2 pi u2, u2 = (b >> 8) / 2^24.
   out[0] = radius cos(angle), out[1] = radius sin(angle). Within 2e-6 of the exact transform; at most 5.77 in size. */
static inline void rnet_normal_pair(uint32_t a, uint32_t b, float out[2])
{
    /* u1 = m 2^e with m in [sqrt(1/2), sqrt(2)); -2 log u1 = -e * 2 log 2 - 2 log m, e <= 0. */
    float u1 = (float)(int32_t)((a >> 8) + 1u) * 0x1p-24f;
    uint32_t offset = rnet_float_bits(u1) - RNET_SQRT_HALF;
    int32_t e = (int32_t)offset >> 23; /* arithmetic shift */
    float f = rnet_bits_float((offset & RNET_MANTISSA) + RNET_SQRT_HALF) - 1.0f;
    float p = RNET_LOG_7;
    p = p * f + RNET_LOG_6;
    p = p * f + RNET_LOG_5;
    p = p * f + RNET_LOG_4;
    p = p * f + RNET_LOG_3;
    p = p * f + RNET_LOG_2;
    p = p * f + RNET_LOG_1;
    p = p * f + RNET_LOG_0;
    float log_m = f + (f * f) * p;
    float radius = __builtin_sqrtf((float)(-e) * RNET_TWO_LOG2 - 2.0f * log_m);

    /* u2 is `quadrant` quarter turns and x of another, x in [-1/2, 1/2). */
    uint32_t k = b >> 8;
    uint32_t quadrant = (k + 0x200000u) >> 22; /* 0 .. 4 */
    float x = (float)((int32_t)k - (int32_t)(quadrant << 22)) * 0x1p-22f;
    float z = x * x;
    float s = RNET_SIN_3;
    s = s * z + RNET_SIN_2;
    s = s * z + RNET_SIN_1;
    s = s * z + RNET_SIN_0;
    s = s * x;
    float c = RNET_COS_2;
    c = c * z + RNET_COS_1;
    c = c * z + RNET_COS_0;
    c = c * z + 1.0f;

    /* Turn (c, s) by whole quadrants: exchanged in the odd ones, signs by flipping the top bit. */
    float cosine = (quadrant & 1u) ? s : c;
    float sine = (quadrant & 1u) ? c : s;
    uint32_t cosine_sign = ((quadrant + 1u) & 2u) << 30;
    uint32_t sine_sign = (quadrant & 2u) << 30;
    out[0] = radius * rnet_bits_float(rnet_float_bits(cosine) ^ cosine_sign);
    out[1] = radius * rnet_bits_float(rnet_float_bits(sine) ^ sine_sign);
}

#endif
