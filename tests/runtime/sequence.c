/* Rows of a stream, and the lanes in which they are read. */
#include "support.h"

static struct rnet_array stream_of(int count)
{
    struct rnet_array stream = {.type = RNET_I32, .rank = 1, .shape = {count}, .data = malloc((size_t)count * 4 + 1)};
    for (int i = 0; i < count; i++)
        ((int32_t *)stream.data)[i] = 100 + i;
    return stream;
}

static void expect_rows(int symbols, int length, int stride, int rows)
{
    struct rnet_array stream = stream_of(symbols), out;
    if (!rnet_sequence(&stream, length, stride, "text", &out, &error))
        fail_msg("%s", error.message);
    assert_int_equal(out.type, RNET_I32);
    assert_int_equal(out.rank, 2);
    assert_int_equal(out.shape[0], rows);
    assert_int_equal(out.shape[1], length);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < length; j++)
            assert_int_equal(((int32_t *)out.data)[i * length + j], 100 + i * stride + j);
    rnet_array_free(&out);
    rnet_array_free(&stream);
}

static void rows_follow_one_another(void **state)
{
    expect_rows(10, 5, 5, 2);
    expect_rows(14, 5, 5, 2);
    expect_rows(15, 5, 5, 3);
    expect_rows(10, 1, 1, 10);
    expect_rows(5, 5, 5, 1);
}

static void rows_that_share_a_symbol_predict_each_once(void **state)
{
    /* 4 k + 1 symbols: row r predicts symbols 4 r + 1 .. 4 r + 4 from those before. */
    expect_rows(13, 5, 4, 3);
    expect_rows(12, 5, 4, 2);
}

static void short_streams_are_errors(void **state)
{
    struct rnet_array stream = stream_of(4), out, none = {.type = RNET_I32, .rank = 1};
    assert_false(rnet_sequence(&stream, 5, 4, "train.txt", &out, &error));
    assert_string_equal(message_after("train.txt"), "expected at least 5 symbols, for one row, found 4");
    assert_int_equal(error.status, RNET_DATA);
    assert_null(out.data);
    assert_false(rnet_sequence(&none, 1, 1, "train.txt", &out, &error));
    assert_int_equal(error.status, RNET_DATA);
    assert_false(rnet_sequence(&stream, 1, 0, "train.txt", &out, &error));
    assert_int_equal(error.status, RNET_USAGE);
    rnet_array_free(&stream);
}

/* What a step carries in its lanes fits the next: the item after, or the first after the last. */
static void lanes_are_contiguous(void **state)
{
    static const int cases[][2] = {{10, 1}, {10, 2}, {10, 3}, {10, 10}, {7, 4}, {3, 5}, {1, 1}, {1, 4}, {1000, 80}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        int items = cases[c][0], lanes = cases[c][1];
        for (uint64_t position = 0; position < 5ull * (unsigned)(items * lanes); position++) {
            int64_t here = rnet_lane_item(items, lanes, position),
                    next = rnet_lane_item(items, lanes, position + (uint64_t)lanes);
            assert_in_range(here, 0, items - 1);
            assert_int_equal(next, (here + 1) % items);
        }
    }
}

static void lanes_share_the_items(void **state)
{
    static const int64_t starts[] = {0, 3, 6};
    for (int lane = 0; lane < 3; lane++)
        assert_int_equal(rnet_lane_item(10, 3, (uint64_t)lane), starts[lane]);
    /* One lane is the order of the data. */
    for (uint64_t position = 0; position < 30; position++)
        assert_int_equal(rnet_lane_item(10, 1, position), position % 10);
}

static void first_visits_are_one_of_each_item(void **state)
{
    for (int items = 1; items < 40; items++)
        for (int lanes = 1; lanes < 45; lanes++) {
            int seen[40] = {0}, steps = (items + lanes - 1) / lanes;
            for (uint64_t position = 0; position < (uint64_t)(3 * steps * lanes); position++) {
                bool first = rnet_lane_first(items, lanes, position);
                seen[rnet_lane_item(items, lanes, position)] += first;
                if (position >= (uint64_t)(steps * lanes))
                    assert_false(first);
            }
            for (int i = 0; i < items; i++)
                assert_int_equal(seen[i], 1);
        }
}

static void far_positions_do_not_overflow(void **state)
{
    int64_t items = 1ll << 61, lanes = 1 << 20;
    assert_int_equal(rnet_lane_item(items, lanes, (uint64_t)lanes - 1), items / lanes * (lanes - 1));
    assert_int_equal(rnet_lane_item(7, 2, UINT64_MAX), (3 + (UINT64_MAX / 2) % 7) % 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_follow_one_another),       cmocka_unit_test(rows_that_share_a_symbol_predict_each_once),
        cmocka_unit_test(short_streams_are_errors),      cmocka_unit_test(lanes_are_contiguous),
        cmocka_unit_test(lanes_share_the_items),         cmocka_unit_test(first_visits_are_one_of_each_item),
        cmocka_unit_test(far_positions_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
