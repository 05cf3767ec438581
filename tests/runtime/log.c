/* Logs: every line is JSON, numbers read back, a resumed run's lines are cut off. */
#include <jansson.h>
#include <math.h>

#include "support.h"

static struct rnet_log *open_log(const char *name, bool append, uint64_t after_step)
{
    struct rnet_log *log = rnet_log_open(in_folder(name), append, after_step, &error);
    if (!log)
        fail_msg("%s", error.message);
    return log;
}

static void expect_content(const char *name, const char *wanted)
{
    char *text = read_all(in_folder(name), NULL);
    assert_string_equal(text, wanted);
    free(text);
}

static void lines_are_written_as_given(void **state)
{
    struct rnet_log *log = open_log("log", false, 0);
    rnet_log_begin(log);
    rnet_log_whole(log, "step", 1);
    rnet_log_number(log, "loss", 0.1);
    rnet_log_string(log, "note", "a \"b\" \\ \n\x01\xC3\xBC");
    assert_true(rnet_log_end(log, &error));
    rnet_log_begin(log);
    assert_true(rnet_log_end(log, &error));
    expect_content("log", "{\"step\":1,\"loss\":0.1,\"note\":\"a \\\"b\\\" \\\\ \\u000a\\u0001\xC3\xBC\"}\n{}\n");
    assert_true(rnet_log_close(log, &error));
}

static void numbers_are_short_and_read_back(void **state)
{
    static const struct {
        double value;
        const char *text;
    } table[] = {{0, "0"},
                 {-0.0, "-0"},
                 {1, "1"},
                 {-2.5, "-2.5"},
                 {0.1, "0.1"},
                 {1e300, "1e+300"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0.1 + 0.2, "0.30000000000000004"},
                 {5e-324, "4.94065645841247e-324"},
                 {123456789, "123456789"},
                 {(double)0.1f, "0.10000000149011612"}};
    struct rnet_log *log = open_log("log", false, 0);
    char wanted[1000], *at = wanted;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        rnet_log_begin(log);
        rnet_log_number(log, "x", table[i].value);
        assert_true(rnet_log_end(log, &error));
        at += sprintf(at, "{\"x\":%s}\n", table[i].text);
        assert_true(strtod(table[i].text, NULL) == table[i].value);
    }
    expect_content("log", wanted);
    assert_true(rnet_log_close(log, &error));
}

static void many_numbers_read_back(void **state)
{
    enum { COUNT = 2000 };
    struct rnet_log *log = open_log("log", false, 0);
    float bits[COUNT];
    rnet_draw_fill(RNET_NORMAL, 1, 0, 0, 0, COUNT, bits);
    for (int i = 0; i < COUNT; i++) {
        rnet_log_begin(log);
        rnet_log_number(log, "x", exp(20 * (double)bits[i]));
        assert_true(rnet_log_end(log, &error));
    }
    assert_true(rnet_log_close(log, &error));
    char *text = read_all(in_folder("log"), NULL), *line = text;
    for (int i = 0; i < COUNT; i++, line = strchr(line, '\n') + 1)
        assert_true(strtod(line + strlen("{\"x\":"), NULL) == exp(20 * (double)bits[i]));
    free(text);
}

static void what_is_not_finite_is_null_with_a_flag(void **state)
{
    struct rnet_log *log = open_log("log", false, 0);
    rnet_log_begin(log);
    rnet_log_number(log, "a", NAN);
    rnet_log_number(log, "b", INFINITY);
    rnet_log_number(log, "c \"x\"", -INFINITY);
    assert_true(rnet_log_end(log, &error));
    assert_true(rnet_log_close(log, &error));
    expect_content("log", "{\"a\":null,\"a_nonfinite\":\"nan\",\"b\":null,\"b_nonfinite\":\"inf\","
                          "\"c \\\"x\\\"\":null,\"c \\\"x\\\"_nonfinite\":\"-inf\"}\n");
}

/* Every byte that a string can hold, alone and before others. */
static void every_string_becomes_json(void **state)
{
    static const char *const texts[] = {"\x80",
                                        "\xC3",
                                        "\xC3(",
                                        "\xC0\x80",
                                        "\xE2\x82",
                                        "\xE2\x82\xAC",
                                        "\xED\xA0\x80",
                                        "\xF0\x9F\x98\x80",
                                        "\xF4\x90\x80\x80",
                                        "\xFF",
                                        "\x7F",
                                        "\xE0\x80\x80",
                                        "\xF0\x80\x80\x80"};
    struct rnet_log *log = open_log("log", false, 0);
    rnet_log_begin(log);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char key[10];
        snprintf(key, sizeof key, "k%zu", i);
        rnet_log_string(log, key, texts[i]);
    }
    char control[40];
    for (int i = 1; i < 40; i++)
        control[i - 1] = (char)i;
    control[39] = 0;
    rnet_log_string(log, "control", control);
    assert_true(rnet_log_end(log, &error));
    assert_true(rnet_log_close(log, &error));
    char *text = read_all(in_folder("log"), NULL);
    json_error_t problem;
    json_t *line = json_loads(text, 0, &problem);
    if (!line)
        fail_msg("%s at %d", problem.text, problem.position);
    assert_string_equal(json_string_value(json_object_get(line, "k5")), "\xE2\x82\xAC");
    assert_string_equal(json_string_value(json_object_get(line, "k7")), "\xF0\x9F\x98\x80");
    assert_string_equal(json_string_value(json_object_get(line, "k0")), "\xEF\xBF\xBD");
    assert_string_equal(json_string_value(json_object_get(line, "k2")), "\xEF\xBF\xBD(");
    assert_string_equal(json_string_value(json_object_get(line, "control")), control);
    json_decref(line);
    free(text);
}

static void a_resumed_run_cuts_off_what_it_will_write_again(void **state)
{
    write_text("log", "{\"program\":\"x\"}\n{\"step\":1,\"text\":\"\\\"step\\\":99\"}\n{\"step\":10,\"loss\":1}\n{"
                      "\"step\":11}\n{\"step\":12}\n");
    struct rnet_log *log = open_log("log", true, 10);
    rnet_log_begin(log);
    rnet_log_whole(log, "step", 11);
    assert_true(rnet_log_end(log, &error));
    assert_true(rnet_log_close(log, &error));
    expect_content(
        "log",
        "{\"program\":\"x\"}\n{\"step\":1,\"text\":\"\\\"step\\\":99\"}\n{\"step\":10,\"loss\":1}\n{\"step\":11}\n");
}

static void a_half_line_of_a_killed_run_is_cut_off(void **state)
{
    write_text("log", "{\"step\":1}\n{\"step\":2,\"lo");
    assert_true(rnet_log_close(open_log("log", true, 10), &error));
    expect_content("log", "{\"step\":1}\n");
}

static void opening_anew_empties_and_appending_creates(void **state)
{
    write_text("log", "{\"step\":1}\n");
    assert_true(rnet_log_close(open_log("log", false, 0), &error));
    expect_content("log", "");
    assert_true(rnet_log_close(open_log("other", true, 5), &error));
    expect_content("other", "");
}

static void each_line_is_in_the_file_when_it_ends(void **state)
{
    struct rnet_log *log = open_log("log", false, 0);
    rnet_log_begin(log);
    rnet_log_whole(log, "step", INT64_MIN);
    assert_true(rnet_log_end(log, &error));
    expect_content("log", "{\"step\":-9223372036854775808}\n");
    assert_true(rnet_log_close(log, &error));
}

static void a_log_that_cannot_be_opened_is_named(void **state)
{
    assert_null(rnet_log_open("/dev/null/log", false, 0, &error));
    assert_int_equal(error.status, RNET_FAILED);
    assert_string_equal(error.message, "/dev/null/log: cannot open for writing: Not a directory");
}

static void a_device_without_space_is_named(void **state)
{
    if (access("/dev/full", W_OK) != 0)
        skip();
    struct rnet_log *log = rnet_log_open("/dev/full", false, 0, &error);
    assert_non_null(log);
    rnet_log_begin(log);
    rnet_log_whole(log, "step", 1);
    assert_false(rnet_log_end(log, &error));
    assert_string_equal(message_after("/dev/full"), "cannot write: No space left on device");
    assert_true(rnet_log_close(log, &error));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lines_are_written_as_given),
        IN_FOLDER(numbers_are_short_and_read_back),
        IN_FOLDER(many_numbers_read_back),
        IN_FOLDER(what_is_not_finite_is_null_with_a_flag),
        IN_FOLDER(every_string_becomes_json),
        IN_FOLDER(a_resumed_run_cuts_off_what_it_will_write_again),
        IN_FOLDER(a_half_line_of_a_killed_run_is_cut_off),
        IN_FOLDER(opening_anew_empties_and_appending_creates),
        IN_FOLDER(each_line_is_in_the_file_when_it_ends),
        cmocka_unit_test(a_log_that_cannot_be_opened_is_named),
        cmocka_unit_test(a_device_without_space_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
