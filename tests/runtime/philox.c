/* Draws: published known answers, stored values of tests/oracle/philox.py, exact transforms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <xxhash.h>

#include "philox.h"
#include "rnet.h"

static const char *site = "classifier.dropout_1.keep";

/* Random123 1.14, kat_vectors, philox4x32 10. */
static void philox_gives_the_published_answers(void **state)
{
    static const uint32_t table[][10] = {{0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
                                         {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
                                          0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
                                         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
                                          0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        rnet_philox(table[i], table[i] + 4, out);
        assert_memory_equal(out, table[i] + 6, sizeof out);
    }
}

static void key_is_the_hash_of_site_and_seed(void **state)
{
    assert_int_equal(rnet_draw_key(site, 7), 0xbe39f9a59282de6f);
    assert_int_not_equal(rnet_draw_key(site, 7), rnet_draw_key(site, 8));
    assert_int_not_equal(rnet_draw_key("a", 7), rnet_draw_key("b", 7));
}

/* Printed by tests/oracle/philox.py. */
static void draws_equal_the_python_transcription(void **state)
{
    static const struct {
        enum rnet_draw draw;
        uint32_t first[8];
        uint64_t hash;
    } table[] = {{RNET_UNIFORM16,
                  {0x3ed15800, 0x3ecffc00, 0x3e359800, 0x3e92ce00, 0x3ee9d600, 0x3f2f1700, 0x3f280300, 0x3f776a00},
                  0xf33c4aa74e0fd8e0},
                 {RNET_UNIFORM32,
                  {0x3f0adf29, 0x3eb41e56, 0x3d376930, 0x3e71a4fc, 0x3f1bdc98, 0x3e2582ec, 0x3e8fe158, 0x3f4bb193},
                  0x11f3add0e4709da8},
                 {RNET_NORMAL,
                  {0x3d81e732, 0xbf136955, 0x4018affb, 0x3ffcb62a, 0xbf56a0b7, 0x3ff9e38b, 0x3f77eee9, 0xbfa17e7a},
                  0x22272ff90d141bcd}};
    for (int i = 0; i < 3; i++) {
        float numbers[1000];
        rnet_draw_fill(table[i].draw, rnet_draw_key(site, 7), 3, ((uint64_t)5 << 32) + 11, 77, 1000, numbers);
        assert_memory_equal(numbers, table[i].first, sizeof table[i].first);
        assert_int_equal(XXH3_64bits(numbers, sizeof numbers), table[i].hash);
    }
}

/* The mapping of rnet.h, written out an element at a time. */
static float element(enum rnet_draw draw, uint64_t key, uint32_t mapped, uint64_t position, uint64_t e)
{
    uint64_t group = draw == RNET_UNIFORM16 ? 128 : 64;
    uint32_t counter[4] = {(uint32_t)(e / group * 16 + e % 16), mapped, (uint32_t)position, (uint32_t)(position >> 32)};
    uint32_t words[4], pair_key[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
    rnet_philox(counter, pair_key, words);
    uint32_t place = (uint32_t)(e % group / 16);
    if (draw == RNET_UNIFORM16)
        return rnet_uniform16(place % 2 ? words[place / 2] >> 16 : words[place / 2] & 0xFFFF);
    if (draw == RNET_UNIFORM32)
        return rnet_uniform32(words[place]);
    float pair[2];
    rnet_normal_pair(words[place & 2], words[(place & 2) + 1], pair);
    return pair[place & 1];
}

static void every_range_gives_the_same_elements(void **state)
{
    uint64_t key = rnet_draw_key(site, 1);
    for (int draw = RNET_UNIFORM16; draw <= RNET_NORMAL; draw++)
        for (uint64_t first = 0; first < 300; first += 13)
            for (int64_t count = 0; count < 300; count += 37) {
                float numbers[301];
                numbers[count] = 42;
                rnet_draw_fill(draw, key, 9, 100, first, count, numbers);
                for (int64_t i = 0; i < count; i++)
                    assert_true(numbers[i] == element(draw, key, 9, 100, first + (uint64_t)i));
                assert_true(numbers[count] == 42);
            }
}

static void far_elements_use_the_right_block(void **state)
{
    uint64_t key = rnet_draw_key(site, 1), first = ((uint64_t)1 << 33) + 5;
    float numbers[100];
    rnet_draw_fill(RNET_UNIFORM32, key, 0, 0, first, 100, numbers);
    for (uint64_t i = 0; i < 100; i++)
        assert_true(numbers[i] == element(RNET_UNIFORM32, key, 0, 0, first + i));
}

/* All 2^24 radii at one angle and all 2^24 angles at the largest radius (every 31st in slow builds); largest absolute
   error, against libm in double. */
#ifdef RNET_TINY_ARENAS
enum { STRIDE = 31 };
#else
enum { STRIDE = 1 };
#endif
static void normals_follow_the_exact_transform(void **state)
{
    const double pi = 3.14159265358979323846;
    double worst = 0;
    for (uint32_t k = 0; k < 1u << 24; k += STRIDE) {
        float pair[2];
        rnet_normal_pair(k << 8 | 0x5A, 0x20000000u, pair);
        double exact = sqrt(-2 * log((k + 1) * 0x1p-24)) * sqrt(0.5);
        assert_true(isfinite(pair[0]) && isfinite(pair[1]));
        worst = fmax(worst, fmax(fabs(pair[0] - exact), fabs(pair[1] - exact)));
        rnet_normal_pair(0, k << 8 | 0x33, pair);
        double radius = sqrt(-2 * log(0x1p-24)), angle = 2 * pi * (k * 0x1p-24);
        worst = fmax(worst, fmax(fabs(pair[0] - radius * cos(angle)), fabs(pair[1] - radius * sin(angle))));
    }
    assert_true(worst < 2e-6);
}

static void normals_at_the_ends_are_finite(void **state)
{
    float pair[2];
    rnet_normal_pair(0xFFFFFFFF, 0, pair);
    assert_true(pair[0] == 0 && pair[1] == 0);
    rnet_normal_pair(0, 0, pair);
    assert_true(pair[0] > 5.76f && pair[0] < 5.78f && pair[1] == 0);
    rnet_normal_pair(0, 0xFFFFFFFF, pair);
    assert_true(pair[0] > 5.76f && pair[0] < 5.78f && pair[1] < 0 && pair[1] > -1e-5f);
}

/* Means of n independent numbers: six standard errors. */
static void moments_are_those_of_the_distributions(void **state)
{
    enum { COUNT = 1 << 20 };
    float *numbers = malloc(COUNT * sizeof *numbers);
    static const double mean[] = {0.5 - 0.5 / 65536, 0.5, 0}, variance[] = {1 / 12.0, 1 / 12.0, 1},
                        fourth[] = {1 / 80.0, 1 / 80.0, 3};
    for (int draw = RNET_UNIFORM16; draw <= RNET_NORMAL; draw++) {
        rnet_draw_fill(draw, rnet_draw_key(site, 5), 0, 1, 0, COUNT, numbers);
        double sum = 0, square = 0, lag = 0;
        for (int i = 0; i < COUNT; i++) {
            double d = numbers[i] - mean[draw];
            sum += d;
            square += d * d;
            lag += d * (numbers[(i + 16) % COUNT] - mean[draw]);
        }
        assert_true(fabs(sum / COUNT) < 6 * sqrt(variance[draw] / COUNT));
        assert_true(fabs(square / COUNT - variance[draw]) <
                    6 * sqrt((fourth[draw] - variance[draw] * variance[draw]) / COUNT));
        assert_true(fabs(lag / COUNT) < 6 * variance[draw] / sqrt(COUNT));
    }
    free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(key_is_the_hash_of_site_and_seed),
        cmocka_unit_test(draws_equal_the_python_transcription),
        cmocka_unit_test(every_range_gives_the_same_elements),
        cmocka_unit_test(far_elements_use_the_right_block),
        cmocka_unit_test(normals_follow_the_exact_transform),
        cmocka_unit_test(normals_at_the_ends_are_finite),
        cmocka_unit_test(moments_are_those_of_the_distributions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
