/* Parts of a data set. */
#include "support.h"

enum { ROWS = 1000 };

static void parts_are_disjoint_and_ascending(void **state)
{
    int64_t train[700], test[200];
    int seen[ROWS] = {0};
    assert_true(rnet_divide("digits", 1, ROWS, (int64_t[]){700, 200}, 2, (int64_t *[]){train, test}, &error));
    for (int i = 0; i < 700; i++) {
        seen[train[i]]++;
        assert_true(i == 0 || train[i - 1] < train[i]);
    }
    for (int i = 0; i < 200; i++) {
        seen[test[i]]++;
        assert_true(i == 0 || test[i - 1] < test[i]);
    }
    int total = 0;
    for (int i = 0; i < ROWS; i++) {
        assert_in_range(seen[i], 0, 1);
        total += seen[i];
    }
    assert_int_equal(total, 900);
}

/* Checkpoints rest on them for ever: computed from the permutation by other code (see shuffle.c's test of the same). */
static void parts_are_the_permutation_in_order(void **state)
{
    int64_t train[700], test[300];
    bool in_train[ROWS] = {false};
    assert_true(rnet_divide("digits", 7, ROWS, (int64_t[]){700, 300}, 2, (int64_t *[]){train, test}, &error));
    struct rnet_stream *stream = rnet_stream_new("divide digits", 7, ROWS, false);
    for (uint64_t p = 0; p < 700; p++)
        in_train[rnet_stream_item(stream, p)] = true;
    rnet_stream_free(stream);
    for (int i = 0; i < 700; i++)
        assert_true(in_train[train[i]]);
    for (int i = 0; i < 300; i++)
        assert_false(in_train[test[i]]);
}

static int common(const char *name, uint64_t seed, int count)
{
    int64_t a[100], b[100];
    assert_true(rnet_divide("digits", 1, ROWS, (int64_t[]){100, 300}, 1, (int64_t *[]){a}, &error));
    assert_true(rnet_divide(name, seed, ROWS, (int64_t[]){count}, 1, (int64_t *[]){b}, &error));
    int same = 0;
    for (int i = 0; i < 100; i++)
        for (int j = 0; j < count; j++)
            same += a[i] == b[j];
    return same;
}

/* Of 100 rows and 100 others of 1000, 10 are common on average with deviation 2.8; 40 has probability below 1e-15. */
static void name_and_seed_matter_later_parts_do_not(void **state)
{
    assert_int_equal(common("digits", 1, 100), 100);
    assert_int_equal(common("digits", 1, 50), 50);
    assert_true(common("digits", 2, 100) < 40);
    assert_true(common("letters", 1, 100) < 40);
}

static void all_rows_and_none_can_be_wanted(void **state)
{
    int64_t all[5], none[1];
    assert_true(rnet_divide("x", 1, 5, (int64_t[]){5, 0}, 2, (int64_t *[]){all, none}, &error));
    for (int i = 0; i < 5; i++)
        assert_int_equal(all[i], i);
    assert_true(rnet_divide("x", 1, 0, (int64_t[]){0}, 1, (int64_t *[]){none}, &error));
}

static void too_many_rows_are_an_error(void **state)
{
    int64_t rows[6];
    assert_false(rnet_divide("every", 1, 5, (int64_t[]){4, 2}, 2, (int64_t *[]){rows, rows}, &error));
    assert_string_equal(message_after("every"), "expected parts of at most 5 rows together, found 6");
    assert_int_equal(error.status, RNET_DATA);
    assert_false(rnet_divide("every", 1, 5, (int64_t[]){-1}, 1, (int64_t *[]){rows}, &error));
    assert_int_equal(error.status, RNET_USAGE);
    assert_false(rnet_divide("every", 1, 5, (int64_t[]){INT64_MAX, INT64_MAX}, 2, (int64_t *[]){rows, rows}, &error));
}

static void rows_are_gathered(void **state)
{
    double numbers[] = {0, 1, 10, 11, 20, 21};
    struct rnet_array from = {.type = RNET_F64, .rank = 2, .shape = {3, 2}, .data = numbers}, out;
    assert_true(rnet_array_gather(&from, (int64_t[]){2, 0, 2, 1}, 4, &out, &error));
    assert_int_equal(out.type, RNET_F64);
    assert_int_equal(out.rank, 2);
    assert_int_equal(out.shape[0], 4);
    assert_int_equal(out.shape[1], 2);
    static const double wanted[] = {20, 21, 0, 1, 20, 21, 10, 11};
    assert_memory_equal(out.data, wanted, sizeof wanted);
    rnet_array_free(&out);
    uint8_t bytes[] = {7, 8, 9};
    from = (struct rnet_array){.type = RNET_U8, .rank = 1, .shape = {3}, .data = bytes};
    assert_true(rnet_array_gather(&from, (int64_t[]){1}, 1, &out, &error));
    assert_int_equal(((uint8_t *)out.data)[0], 8);
    rnet_array_free(&out);
    assert_true(rnet_array_gather(&from, NULL, 0, &out, &error));
    assert_int_equal(out.shape[0], 0);
    rnet_array_free(&out);
}

static void rows_outside_are_errors(void **state)
{
    uint8_t bytes[] = {7, 8, 9};
    struct rnet_array from = {.type = RNET_U8, .rank = 1, .shape = {3}, .data = bytes}, out;
    assert_false(rnet_array_gather(&from, (int64_t[]){1, 3}, 2, &out, &error));
    assert_string_equal(error.message, "expected rows in 0 .. 2, found 3");
    assert_null(out.data);
    assert_false(rnet_array_gather(&from, (int64_t[]){-1}, 1, &out, &error));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_disjoint_and_ascending),
        cmocka_unit_test(parts_are_the_permutation_in_order),
        cmocka_unit_test(name_and_seed_matter_later_parts_do_not),
        cmocka_unit_test(all_rows_and_none_can_be_wanted),
        cmocka_unit_test(too_many_rows_are_an_error),
        cmocka_unit_test(rows_are_gathered),
        cmocka_unit_test(rows_outside_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
