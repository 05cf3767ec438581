/* The order of samples: permutations, each a function of its arguments only. */
#include <math.h>

#include "support.h"

enum { ITEMS = 1000 };

static void every_epoch_is_a_permutation(void **state)
{
    struct rnet_stream *stream = rnet_stream_new("fashion.train", 1, ITEMS, 0);
    for (uint64_t epoch = 0; epoch < 5; epoch++) {
        int seen[ITEMS] = {0};
        for (uint64_t p = 0; p < ITEMS; p++)
            seen[rnet_stream_item(stream, epoch * ITEMS + p)]++;
        for (int i = 0; i < ITEMS; i++)
            assert_int_equal(seen[i], 1);
    }
    rnet_stream_free(stream);
}

/* Printed by tests/oracle/philox.py. Checkpoints name positions, which must mean the same items for ever. */
static void the_items_are_fixed(void **state)
{
    static const int64_t first[] = {49139, 15590, 59109, 41927, 50375, 17144},
                         later[] = {50816, 59903, 23305, 39551, 49319, 50110};
    struct rnet_stream *stream = rnet_stream_new("fashion.train", 7, 60000, 0);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(rnet_stream_item(stream, (uint64_t)i), first[i]);
        assert_int_equal(rnet_stream_item(stream, 60000ull * 3 + 12345 + (uint64_t)i), later[i]);
    }
    rnet_stream_free(stream);
}

static void resuming_anywhere_gives_the_same_items(void **state)
{
    struct rnet_stream *whole = rnet_stream_new("x", 3, ITEMS, 0);
    for (uint64_t start = 0; start < 3 * ITEMS; start += 777) {
        struct rnet_stream *resumed = rnet_stream_new("x", 3, ITEMS, 0);
        for (uint64_t p = start; p < start + 300; p++)
            assert_int_equal(rnet_stream_item(resumed, p), rnet_stream_item(whole, p));
        rnet_stream_free(resumed);
    }
    rnet_stream_free(whole);
}

static int common(const char *name, uint64_t seed, uint64_t epoch, const char *other_name, uint64_t other_seed,
                  uint64_t other_epoch)
{
    struct rnet_stream *a = rnet_stream_new(name, seed, ITEMS, 0),
                       *b = rnet_stream_new(other_name, other_seed, ITEMS, 0);
    int same = 0;
    for (uint64_t p = 0; p < ITEMS; p++)
        same += rnet_stream_item(a, epoch * ITEMS + p) == rnet_stream_item(b, other_epoch * ITEMS + p);
    rnet_stream_free(a);
    rnet_stream_free(b);
    return same;
}

/* Two independent permutations have one fixed place in common on average; ten has probability 1e-7. */
static void seed_name_and_epoch_matter(void **state)
{
    assert_int_equal(common("x", 1, 0, "x", 1, 0), ITEMS);
    assert_true(common("x", 1, 0, "x", 2, 0) < 10);
    assert_true(common("x", 1, 0, "y", 1, 0) < 10);
    assert_true(common("x", 1, 0, "x", 1, 1) < 10);
    assert_true(common("x", 1, 1, "x", 1, (uint64_t)1 << 32) < 10);
}

/* All 24 orders of four items, equally often: chi squared of 23 degrees of freedom above 58 has probability 1e-4. */
static void orders_are_equally_likely(void **state)
{
    enum { EPOCHS = 24000 };
    int counts[256] = {0};
    struct rnet_stream *stream = rnet_stream_new("four", 1, 4, 0);
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int code = 0;
        for (uint64_t p = 0; p < 4; p++)
            code = code * 4 + (int)rnet_stream_item(stream, epoch * 4 + p);
        counts[code]++;
    }
    rnet_stream_free(stream);
    double chi = 0;
    int orders = 0;
    for (int i = 0; i < 256; i++)
        if (counts[i] > 0) {
            orders++;
            chi += pow(counts[i] - EPOCHS / 24, 2) / (EPOCHS / 24);
        }
    assert_int_equal(orders, 24);
    assert_true(chi < 58);
}

static void a_sequential_stream_repeats_the_data(void **state)
{
    struct rnet_stream *stream = rnet_stream_new("x", 3, 7, 1);
    for (uint64_t p = 0; p < 30; p++)
        assert_int_equal(rnet_stream_item(stream, p), p % 7);
    rnet_stream_free(stream);
}

static void one_item_and_none(void **state)
{
    struct rnet_stream *stream = rnet_stream_new("x", 3, 1, 0);
    assert_int_equal(rnet_stream_item(stream, 0), 0);
    assert_int_equal(rnet_stream_item(stream, 5), 0);
    rnet_stream_free(stream);
    assert_null(rnet_stream_new("x", 3, 0, 0));
}

/* What a step carries in its lanes fits the next: the item after, or the first after the last. */
static void lanes_are_contiguous(void **state)
{
    static const int cases[][2] = {{10, 1}, {10, 2}, {10, 3}, {10, 10}, {7, 4}, {3, 5}, {1, 1}, {1, 4}, {1000, 80}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int items = cases[c][0], lanes = cases[c][1];
        struct rnet_stream *stream = rnet_stream_new("x", 3, items, lanes);
        for (uint64_t position = 0; position < 5ull * (unsigned)(items * lanes); position++) {
            int64_t here = rnet_stream_item(stream, position), next = rnet_stream_item(stream, position + (uint64_t)lanes);
            assert_in_range(here, 0, items - 1);
            assert_int_equal(next, (here + 1) % items);
        }
        rnet_stream_free(stream);
    }
}

static void lanes_share_the_items(void **state)
{
    static const int64_t starts[] = {0, 3, 6};
    struct rnet_stream *stream = rnet_stream_new("x", 3, 10, 3);
    for (int lane = 0; lane < 3; lane++)
        assert_int_equal(rnet_stream_item(stream, (uint64_t)lane), starts[lane]);
    rnet_stream_free(stream);
}

/* In ceil(items / lanes) steps every item is seen. */
static void lanes_leave_no_item_out(void **state)
{
    for (int items = 1; items < 40; items++)
        for (int lanes = 1; lanes < 45; lanes++) {
            struct rnet_stream *stream = rnet_stream_new("x", 3, items, lanes);
            bool seen[40] = {0};
            for (uint64_t position = 0; position < (uint64_t)((items + lanes - 1) / lanes * lanes); position++)
                seen[rnet_stream_item(stream, position)] = true;
            for (int i = 0; i < items; i++)
                assert_true(seen[i]);
            rnet_stream_free(stream);
        }
}

static void far_positions_do_not_overflow(void **state)
{
    int64_t items = 1ll << 61, lanes = 1 << 20;
    struct rnet_stream *far = rnet_stream_new("x", 3, items, lanes), *near = rnet_stream_new("x", 3, 7, 2);
    assert_int_equal(rnet_stream_item(far, (uint64_t)lanes - 1), items / lanes * (lanes - 1));
    assert_int_equal(rnet_stream_item(near, UINT64_MAX), (3 + (UINT64_MAX / 2) % 7) % 7);
    rnet_stream_free(far);
    rnet_stream_free(near);
    assert_null(rnet_stream_new("x", 3, 7, -1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_epoch_is_a_permutation),
        cmocka_unit_test(the_items_are_fixed),
        cmocka_unit_test(resuming_anywhere_gives_the_same_items),
        cmocka_unit_test(seed_name_and_epoch_matter),
        cmocka_unit_test(orders_are_equally_likely),
        cmocka_unit_test(a_sequential_stream_repeats_the_data),
        cmocka_unit_test(one_item_and_none),
        cmocka_unit_test(lanes_are_contiguous),
        cmocka_unit_test(lanes_share_the_items),
        cmocka_unit_test(lanes_leave_no_item_out),
        cmocka_unit_test(far_positions_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
