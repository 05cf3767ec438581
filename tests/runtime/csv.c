/* Tables as text. */
#include <math.h>

#include "support.h"

static struct rnet_array read_text(const char *text, int first, int count)
{
    struct rnet_array array;
    if (!rnet_read_csv(write_text("table.csv", text), first, count, &array, &error))
        fail_msg("%s", error.message);
    return array;
}

static void expect(const char *text, int first, int count, enum rnet_type type, int64_t rows, const double *values)
{
    struct rnet_array array = read_text(text, first, count);
    assert_int_equal(array.type, type);
    assert_int_equal(array.rank, count ? 2 : 1);
    assert_int_equal(array.shape[0], rows);
    if (count)
        assert_int_equal(array.shape[1], count);
    for (int64_t i = 0; i < rnet_array_elements(&array); i++)
        assert_true(element(&array, i) == values[i]);
    rnet_array_free(&array);
}

static void whole_numbers_become_i32(void **state)
{
    expect("1,2,3\n4,5,6\n", 0, 3, RNET_I32, 2, (double[]){1, 2, 3, 4, 5, 6});
    expect("1,2,3\n4,-5,6", 1, 0, RNET_I32, 2, (double[]){2, -5});
    expect("2147483647\n-2147483647\n", 0, 1, RNET_I32, 2, (double[]){2147483647, -2147483647});
}

static void other_numbers_become_f64(void **state)
{
    expect("1,2.5\n3,4\n", 0, 2, RNET_F64, 2, (double[]){1, 2.5, 3, 4});
    expect("2147483648\n", 0, 1, RNET_F64, 1, (double[]){2147483648.0});
    /* Only wanted columns count. */
    expect("1,2.5\n3,4\n", 0, 1, RNET_I32, 2, (double[]){1, 3});
}

static void a_first_line_without_numbers_is_a_header(void **state)
{
    expect("a,b\n1,2\n", 0, 2, RNET_I32, 1, (double[]){1, 2});
    expect("\"the \"\"first\"\", quoted\nover two lines\",b\n1,2\n", 0, 2, RNET_I32, 1, (double[]){1, 2});
}

static void quotes_line_ends_and_spaces_are_understood(void **state)
{
    expect("\"1\", 2 \r\n\r\n3,\"4\"\r\n\n", 0, 2, RNET_I32, 2, (double[]){1, 2, 3, 4});
    expect("\xEF\xBB\xBFx\n1\n", 0, 1, RNET_I32, 1, (double[]){1});
    expect("\"name, first\",1\n\"x\ny\",2\n", 1, 1, RNET_I32, 2, (double[]){1, 2});
}

static void numbers_are_rounded_correctly(void **state)
{
    static const char *const texts[] = {"0.1",
                                        "1e22",
                                        "1e23",
                                        "9007199254740993",
                                        "123456789012345678901234567890",
                                        "1.7976931348623157e308",
                                        "5e-324",
                                        "2.2250738585072011e-308",
                                        "-0.0",
                                        "+3.",
                                        ".5",
                                        "1E+2",
                                        "0.30000000000000004",
                                        "00000000000000000000000000001.5"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s,0.5\n", texts[i]);
        struct rnet_array array = read_text(text, 0, 2);
        double wanted = strtod(texts[i], NULL), found = element(&array, 0);
        assert_memory_equal(&found, &wanted, sizeof found);
        rnet_array_free(&array);
    }
}

static const char *failure(const char *text, int first, int count)
{
    struct rnet_array array;
    const char *path = write_text("bad.csv", text);
    assert_false(rnet_read_csv(path, first, count, &array, &error));
    assert_null(array.data);
    assert_int_equal(error.status, RNET_DATA);
    return message_after(path);
}

static void what_is_no_number_is_named_by_line_and_column(void **state)
{
    assert_string_equal(failure("a,b\n1,2\n3,x\n", 0, 2),
                        "line 3, column 2: expected a finite decimal number, found \"x\"");
    assert_string_equal(failure("1,2\n\n3,nan\n", 0, 2),
                        "line 3, column 2: expected a finite decimal number, found \"nan\"");
    assert_string_equal(failure("1\ninf\n", 0, 1), "line 2, column 1: expected a finite decimal number, found \"inf\"");
    assert_string_equal(failure("1\n1e999\n", 0, 1),
                        "line 2, column 1: expected a finite decimal number, found \"1e999\"");
    assert_string_equal(failure("1\n0x10\n", 0, 1),
                        "line 2, column 1: expected a finite decimal number, found \"0x10\"");
    assert_string_equal(failure("1,2\n3,\n", 0, 2),
                        "line 2, column 2: expected a finite decimal number, found nothing: \"\"");
    assert_string_equal(failure("1,2\n3,1e\n", 0, 2),
                        "line 2, column 2: expected a finite decimal number, found \"1e\"");
    assert_string_equal(failure("1,2\n3,-\n", 0, 2), "line 2, column 2: expected a finite decimal number, found \"-\"");
    assert_string_equal(failure("1,2\n3,1.2.3\n", 0, 2),
                        "line 2, column 2: expected a finite decimal number, found \"1.2.3\"");
    /* A first line with one number is data. */
    assert_string_equal(failure("1,b\n3,4\n", 0, 2), "line 1, column 2: expected a finite decimal number, found \"b\"");
    assert_string_equal(failure("1\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", 0, 1),
                        "line 2, column 1: expected a finite decimal number, found "
                        "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" and more");
    assert_string_equal(failure("\"a\nb\",c\n1,2\n3,z\n", 0, 2),
                        "line 4, column 2: expected a finite decimal number, found \"z\"");
}

static void every_line_has_as_many_fields(void **state)
{
    assert_string_equal(failure("1,2\n3\n", 0, 1), "line 2: expected 2 fields as in the first line, found 1");
    assert_string_equal(failure("a,b\n1,2,3\n", 0, 1), "line 2: expected 2 fields as in the first line, found 3");
}

static void missing_columns_and_rows_are_errors(void **state)
{
    assert_string_equal(failure("1,2\n", 1, 3),
                        "line 1: expected at least 4 fields (columns 1 to 3 are wanted), found 2");
    assert_string_equal(failure("", 0, 1), "line 1: expected a line of numbers, found the end of the file");
    assert_string_equal(failure("a,b\n", 0, 1), "line 2: expected numbers after the header, found the end of the file");
}

static void quotes_must_close(void **state)
{
    assert_string_equal(failure("1,2\n3,\"4\n", 0, 2),
                        "line 2, column 2: expected a closing quote before the end of the file, found \"4\n\"");
    assert_string_equal(
        failure("1,2\n3,\"4\"5\n", 0, 2),
        "line 2, column 2: expected a comma or the end of the line after the closing quote, found \"5\"");
}

static void many_lines_are_read(void **state)
{
    enum { LINES = 5000 };
    char *text = malloc(LINES * 40), *at = text;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "%d,%.17g\n", i, sin(i) * pow(10, i % 40 - 20));
    struct rnet_array array = read_text(text, 0, 2);
    assert_int_equal(array.shape[0], LINES);
    for (int i = 0; i < LINES; i++) {
        assert_true(element(&array, 2 * i) == i);
        assert_true(element(&array, 2 * i + 1) == sin(i) * pow(10, i % 40 - 20));
    }
    rnet_array_free(&array);
    free(text);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(whole_numbers_become_i32),
        IN_FOLDER(other_numbers_become_f64),
        IN_FOLDER(a_first_line_without_numbers_is_a_header),
        IN_FOLDER(quotes_line_ends_and_spaces_are_understood),
        IN_FOLDER(numbers_are_rounded_correctly),
        IN_FOLDER(what_is_no_number_is_named_by_line_and_column),
        IN_FOLDER(every_line_has_as_many_fields),
        IN_FOLDER(missing_columns_and_rows_are_errors),
        IN_FOLDER(quotes_must_close),
        IN_FOLDER(many_lines_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
