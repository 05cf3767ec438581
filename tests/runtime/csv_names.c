/* Tables with names of columns, and columns of text. */
#include "support.h"

static void columns_are_found_by_name(void **state)
{
    const char *path = write_text("t.csv", " length ,\"kind, of \"\"flower\"\"\",width\n1,a,2.5\n\n3,b,4\r\n");
    struct rnet_array array;
    assert_true(rnet_read_csv_named(path, (const char *[]){"width", "length"}, 2, &array, &error));
    assert_int_equal(array.type, RNET_F64);
    assert_int_equal(array.rank, 2);
    assert_int_equal(array.shape[0], 2);
    assert_int_equal(array.shape[1], 2);
    static const double wanted[] = {2.5, 1, 4, 3};
    assert_memory_equal(array.data, wanted, sizeof wanted);
    rnet_array_free(&array);
    assert_true(rnet_read_csv_named(path, (const char *[]){"length"}, 0, &array, &error));
    assert_int_equal(array.type, RNET_I32);
    assert_int_equal(array.rank, 1);
    assert_int_equal(array.shape[0], 2);
    assert_true(element(&array, 0) == 1 && element(&array, 1) == 3);
    rnet_array_free(&array);
}

static void names_may_be_numbers(void **state)
{
    struct rnet_array array;
    assert_true(
        rnet_read_csv_named(write_text("t.csv", "2019,2020\n1,2\n"), (const char *[]){"2020"}, 1, &array, &error));
    assert_int_equal(array.shape[0], 1);
    assert_true(element(&array, 0) == 2);
    rnet_array_free(&array);
}

static const char *failure(const char *text, const char *const *names, int count)
{
    struct rnet_array array;
    const char *path = write_text("bad.csv", text);
    assert_false(rnet_read_csv_named(path, names, count, &array, &error));
    assert_null(array.data);
    return message_after(path);
}

static void names_that_are_not_there_are_errors(void **state)
{
    assert_string_equal(failure("\na,b\n1,2\n", (const char *[]){"b", "c"}, 2),
                        "line 2: expected a column \"c\", found a, b");
    assert_string_equal(failure("a,b,a\n1,2,3\n", (const char *[]){"a"}, 1),
                        "line 1: expected one column \"a\", found columns 1 and 3");
    assert_string_equal(failure("a,b\n1,2\n", (const char *[]){"b", "b"}, 2), "the column \"b\" is wanted twice");
    assert_string_equal(failure("a,b\n", (const char *[]){"b"}, 1),
                        "line 2: expected numbers after the header, found the end of the file");
    assert_string_equal(failure("", (const char *[]){"b"}, 1),
                        "line 1: expected a line of names, found the end of the file");
    assert_string_equal(failure("a,b\n1,x\n", (const char *[]){"b"}, 1),
                        "line 2, column 2: expected a finite decimal number, found \"x\"");
    assert_string_equal(failure("a,b\n1\n", (const char *[]){"b"}, 1),
                        "line 2: expected 2 fields as in the first line, found 1");
    assert_string_equal(failure("a,\xE9\n1,2\n", (const char *[]){"b"}, 1),
                        "line 1, column 2: expected text in UTF-8, found the byte e9");
    /* A long list of names is cut short. */
    char text[3000];
    size_t size = 0;
    for (int i = 0; i < 500; i++)
        size += (size_t)sprintf(text + size, "c%d,", i);
    strcpy(text + size, "\n");
    assert_memory_equal(failure(text, (const char *[]){"b"}, 1), "line 1: expected a column \"b\", found c0, c1, c2, ",
                        49);
}

static void expect_labels(const char *text, const char *name, int column, const char *entries, int count,
                          const int *numbers)
{
    struct rnet_vocabulary labels = {0};
    struct rnet_array array;
    if (!rnet_read_csv_labels(write_text("t.csv", text), name, column, &labels, &array, &error))
        fail_msg("%s", error.message);
    char found[1000] = "";
    for (int i = 0; i < labels.count; i++)
        strcat(strcat(found, i ? "|" : ""), rnet_vocabulary_entry(&labels, i, NULL));
    assert_string_equal(found, entries);
    assert_int_equal(labels.unit, RNET_LABELS);
    assert_int_equal(array.type, RNET_I32);
    assert_int_equal(array.rank, 1);
    assert_int_equal(array.shape[0], count);
    for (int i = 0; i < count; i++)
        assert_int_equal(((int32_t *)array.data)[i], numbers[i]);
    rnet_array_free(&array);
    rnet_vocabulary_free(&labels);
}

static void labels_are_numbered_as_they_appear(void **state)
{
    expect_labels("size,kind\n1,setosa\n2,virginica\n3,setosa\n", "kind", 0, "setosa|virginica", 3, (int[]){0, 1, 0});
    expect_labels("size,kind\n1,setosa\n2,virginica\n3,setosa\n", NULL, 1, "setosa|virginica", 3, (int[]){0, 1, 0});
    expect_labels("10\n9\n10\n", NULL, 0, "10|9", 3, (int[]){0, 1, 0});
}

static void headers_of_labels_need_a_number_below(void **state)
{
    expect_labels("english\nfrench\nenglish\n", NULL, 0, "english|french", 3, (int[]){0, 1, 0});
    expect_labels("english\nfrench\nenglish\n", "english", 0, "french|english", 2, (int[]){0, 1});
    expect_labels("english", NULL, 0, "english", 1, (int[]){0});
}

static void quotes_and_spaces_of_labels_are_settled(void **state)
{
    expect_labels("1, a \n2,\"a\"\n3,\" a\"\n4,\"say \"\"a\"\"\"\n5,\"\"\"\"\n", NULL, 1, "a| a|say \"a\"|\"", 5,
                  (int[]){0, 0, 1, 2, 3});
    expect_labels("1,\"two\nlines\"\n2,\xC3\xA9\n", NULL, 1, "two\nlines|\xC3\xA9", 2, (int[]){0, 1});
}

static void later_files_use_the_labels_of_the_first(void **state)
{
    struct rnet_vocabulary labels = {0};
    struct rnet_array array;
    assert_true(rnet_read_csv_labels(write_text("a.csv", "cat\ndog\n"), NULL, 0, &labels, &array, &error));
    rnet_array_free(&array);
    assert_true(rnet_read_csv_labels(write_text("b.csv", "dog\ncat\ndog\n"), NULL, 0, &labels, &array, &error));
    assert_memory_equal(array.data, ((int32_t[]){1, 0, 1}), 12);
    rnet_array_free(&array);
    const char *path = write_text("c.csv", "dog\ncow\n");
    assert_false(rnet_read_csv_labels(path, NULL, 0, &labels, &array, &error));
    assert_string_equal(message_after(path),
                        "line 2, column 1: expected one of the labels of the data before, found \"cow\"");
    assert_int_equal(labels.count, 2);
    rnet_vocabulary_free(&labels);
}

static void labels_that_are_none_are_errors(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a,1\n ,2\n", "line 2, column 1: expected a label, found nothing: \"\""},
        {"a,1\n\"\",2\n", "line 2, column 1: expected a label, found nothing: \"\""},
        {"a,1\nb\n", "line 2: expected 2 fields as in the first line, found 1"},
        {"a,1\nb\xFF,2\n", "line 2, column 1: expected text in UTF-8, found the byte ff"},
        {"", "line 1: expected a line of labels, found the end of the file"},
        {"\n\r\n", "line 3: expected a line of labels, found the end of the file"},
        {"a,1\n\"b,2\n", "line 2, column 1: expected a closing quote before the end of the file, found \"b,2\n\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rnet_vocabulary labels = {0};
        struct rnet_array array;
        const char *path = write_text("bad.csv", cases[i].text);
        assert_false(rnet_read_csv_labels(path, NULL, 0, &labels, &array, &error));
        assert_string_equal(message_after(path), cases[i].message);
        assert_int_equal(labels.count, 0);
        assert_null(array.data);
    }
}

static void columns_far_out_are_errors(void **state)
{
    struct rnet_vocabulary labels = {0};
    struct rnet_array array;
    const char *path = write_text("t.csv", "1,2\n");
    assert_false(rnet_read_csv(path, INT32_MAX, INT32_MAX, &array, &error));
    assert_string_equal(message_after(path), "line 1: expected at least 4294967294 fields (columns 2147483647 to "
                                             "4294967293 are wanted), found 2");
    assert_false(rnet_read_csv_labels(path, NULL, 2, &labels, &array, &error));
    assert_string_equal(message_after(path), "line 1: expected at least 3 fields (columns 2 to 2 are wanted), found 2");
    assert_false(rnet_read_csv_labels(path, NULL, -1, &labels, &array, &error));
    assert_int_equal(error.status, RNET_USAGE);
}

/* Cut anywhere: a shorter table, or a message with the line; the sanitizers watch. */
static void cut_tables_are_tables_or_errors(void **state)
{
    static const char text[] = "size,kind\n1,\"a \"\"b\"\"\"\n2,\xC3\xA9\r\n\n3,\"x\ny\"\n";
    for (size_t cut = 0; cut < sizeof text; cut++) {
        struct rnet_vocabulary labels = {0};
        struct rnet_array array;
        const char *path = write_bytes("cut.csv", text, cut);
        if (rnet_read_csv_labels(path, "kind", 0, &labels, &array, &error)) {
            assert_in_range(array.shape[0], 1, 3);
            assert_in_range(labels.count, 1, 3);
        } else {
            assert_memory_equal(message_after(path), "line ", 5);
            assert_int_equal(labels.count, 0);
        }
        rnet_array_free(&array);
        rnet_vocabulary_free(&labels);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(columns_are_found_by_name),
        IN_FOLDER(names_may_be_numbers),
        IN_FOLDER(names_that_are_not_there_are_errors),
        IN_FOLDER(labels_are_numbered_as_they_appear),
        IN_FOLDER(headers_of_labels_need_a_number_below),
        IN_FOLDER(quotes_and_spaces_of_labels_are_settled),
        IN_FOLDER(later_files_use_the_labels_of_the_first),
        IN_FOLDER(labels_that_are_none_are_errors),
        IN_FOLDER(columns_far_out_are_errors),
        IN_FOLDER(cut_tables_are_tables_or_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
