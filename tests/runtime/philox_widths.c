/* The same draws in every vector width that this processor has. The source itself is included, for its widths are
 * static. */
#include "../../runtime/philox.c"

#include "support.h"

typedef void draw_range(const struct draw *draw, uint64_t first, int64_t count, float *out);

static void compare(draw_range *range)
{
    enum { COUNT = 3000, TURNS = 40 };
    static float wanted[COUNT], found[COUNT];
    for (int turn = 0; turn < TURNS; turn++)
        for (int kind = RNET_UNIFORM16; kind <= RNET_NORMAL; kind++) {
            struct draw draw = {.kind = (enum rnet_draw)kind,
                                .k0 = 0x9E3779B9u * (uint32_t)turn,
                                .k1 = 0xDEADBEEFu ^ (uint32_t)turn,
                                .mapped = turn % 2 ? 0xFFFFFFFFu : 0,
                                .position_low = 0xFFFFFFF0u + (uint32_t)turn,
                                .position_high = (uint32_t)turn << 27};
            uint64_t first = (uint64_t)turn * 1000003 % ((uint64_t)1 << 33);
            int64_t count = COUNT - 7 * turn;
            draw_range_portable(&draw, first, count, wanted);
            range(&draw, first, count, found);
            assert_memory_equal(found, wanted, (size_t)count * sizeof *found);
        }
}

static void avx2_gives_the_portable_bits(void **state)
{
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2"))
        skip();
    compare(draw_range_avx2);
#else
    skip();
#endif
}

static void avx512_gives_the_portable_bits(void **state)
{
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512dq") ||
        !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512bw"))
        skip();
    compare(draw_range_avx512);
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(avx2_gives_the_portable_bits),
        cmocka_unit_test(avx512_gives_the_portable_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
