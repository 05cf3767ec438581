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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_follow_one_another),       cmocka_unit_test(rows_that_share_a_symbol_predict_each_once),
        cmocka_unit_test(short_streams_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
