/* npy files: NumPy's own (tests/oracle/files.py), ours, and headers that are wrong in one place. */
#include "support.h"

static void check_ramp(const char *name, enum rnet_type type, int rank, const int64_t *shape)
{
    struct rnet_array array;
    if (!rnet_read_npy(fixture(name), &array, &error))
        fail_msg("%s", error.message);
    assert_int_equal(array.type, type);
    assert_int_equal(array.rank, rank);
    for (int i = 0; i < rank; i++)
        assert_int_equal(array.shape[i], shape[i]);
    for (int i = 0; i < rnet_array_elements(&array); i++)
        assert_true(element(&array, i) == (type == RNET_U8 ? (3 * i - 5) & 255 : 3 * i - 5));
    rnet_array_free(&array);
}

static void every_type_of_numpy_is_read(void **state)
{
    const int64_t shape[] = {2, 3, 4};
    check_ramp("c_u1.npy", RNET_U8, 3, shape);
    check_ramp("c_i1.npy", RNET_I32, 3, shape);
    check_ramp("c_i2.npy", RNET_I32, 3, shape);
    check_ramp("c_i4.npy", RNET_I32, 3, shape);
    check_ramp("c_i8.npy", RNET_I64, 3, shape);
    check_ramp("c_f4.npy", RNET_F32, 3, shape);
    check_ramp("c_f8.npy", RNET_F64, 3, shape);
    check_ramp("vector_i8.npy", RNET_I64, 1, (int64_t[]){7});
    check_ramp("empty_f4.npy", RNET_F32, 2, (int64_t[]){0, 3});
}

static void truth_values_are_read_as_bytes(void **state)
{
    struct rnet_array array;
    assert_true(rnet_read_npy(fixture("c_b1.npy"), &array, &error));
    assert_int_equal(array.type, RNET_U8);
    for (int i = 0; i < 24; i++)
        assert_true(element(&array, i) == ((3 * i - 5) % 2 == 0));
    rnet_array_free(&array);
}

static void fortran_order_is_turned(void **state)
{
    check_ramp("fortran_f4.npy", RNET_F32, 3, (int64_t[]){2, 3, 4});
    check_ramp("fortran_i2.npy", RNET_I32, 2, (int64_t[]){5, 3});
}

static void versions_2_and_3_are_read(void **state)
{
    check_ramp("version_2.npy", RNET_F64, 2, (int64_t[]){2, 2});
    check_ramp("version_3.npy", RNET_F64, 2, (int64_t[]){2, 2});
}

static void a_scalar_has_rank_0(void **state)
{
    struct rnet_array array;
    assert_true(rnet_read_npy(fixture("scalar_f8.npy"), &array, &error));
    assert_int_equal(array.rank, 0);
    assert_true(element(&array, 0) == 2.5);
    rnet_array_free(&array);
}

static const char *failure(const char *path)
{
    struct rnet_array array;
    assert_false(rnet_read_npy(path, &array, &error));
    assert_null(array.data);
    assert_int_equal(error.status, RNET_DATA);
    return message_after(path);
}

static void types_we_do_not_hold_are_named(void **state)
{
    assert_string_equal(failure(fixture("big_f4.npy")),
                        "byte 20: expected one of the types |u1 |b1 |i1 <i2 <i4 <i8 <f4 <f8, found '>f4'");
    assert_string_equal(failure(fixture("complex.npy")),
                        "byte 20: expected one of the types |u1 |b1 |i1 <i2 <i4 <i8 <f4 <f8, found '<c8'");
}

static void nan_is_refused(void **state)
{
    assert_string_equal(failure(fixture("nan_f4.npy")), "byte 136: expected a number, found nan (element 2)");
}

static void a_file_cut_anywhere_says_where(void **state)
{
    size_t size;
    char *bytes = read_all(fixture("fortran_i2.npy"), &size), expected[100];
    for (size_t cut = 0; cut < size; cut++) {
        const char *message = failure(write_bytes("cut", bytes, cut));
        snprintf(expected, sizeof expected, "byte %zu: expected ", cut);
        assert_memory_equal(message, expected, strlen(expected));
    }
    bytes[size] = 0;
    assert_string_equal(failure(write_bytes("long", bytes, size + 1)),
                        "byte 158: expected the end of the file, found 1 bytes more");
    free(bytes);
}

/* A file of version 1.0 with this header and 16 bytes of zeros. */
static const char *with_header(const char *header)
{
    static char bytes[1000];
    size_t length = strlen(header);
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, "\x93NUMPY\x01", 7);
    bytes[8] = (char)length;
    bytes[9] = (char)(length >> 8);
    memcpy(bytes + 10, header, length);
    return write_bytes("header.npy", bytes, 10 + length + 16);
}

static void a_header_as_others_write_it_is_read(void **state)
{
    static const char *const headers[] = {
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }  \n",
        "{'shape':(4,),'fortran_order':False,'descr':'<f4'}",
        " { \"descr\" : \"<i4\" , \"shape\" : ( 4 , ) , \"fortran_order\" : True } \n"};
    for (int i = 0; i < 3; i++) {
        struct rnet_array array;
        assert_true(rnet_read_npy(with_header(headers[i]), &array, &error));
        assert_int_equal(rnet_array_elements(&array), 4);
        rnet_array_free(&array);
    }
}

static void every_wrong_header_is_refused(void **state)
{
    static const struct {
        const char *header, *message;
    } table[] = {
        {"", "byte 10: expected '{', found the end of the header"},
        {"[1]", "byte 10: expected '{', found '['"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4,)",
         "byte 64: expected ',' or '}', found the end of the header"},
        {"{'descr': '<f4', 'fortran_order': False}", "byte 49: expected 'shape' before '}'"},
        {"{'fortran_order': False, 'shape': (4,)}", "byte 48: expected 'descr' before '}'"},
        {"{'descr': '<f4', 'shape': (4,)}", "byte 40: expected 'fortran_order' before '}'"},
        {"{'descr': '<f4', 'descr': '<f4'}",
         "byte 27: expected 'descr', 'fortran_order' and 'shape', each once, found another 'descr'"},
        {"{'order': '<f4'}", "byte 11: expected 'descr', 'fortran_order' and 'shape', each once, found 'order'"},
        {"{descr: '<f4'}", "byte 11: expected 'descr', 'fortran_order' or 'shape', found 'd'"},
        {"{'descr' '<f4'}", "byte 19: expected ':', found '''"},
        {"{'descr': [('a', '<f4')]}", "byte 20: expected a type in quotes, as '<f4', found '['"},
        {"{'descr': '<f4' 'shape'}", "byte 26: expected ',' or '}', found '''"},
        {"{'fortran_order': 0}", "byte 28: expected True or False, found '0'"},
        {"{'shape': 4}", "byte 20: expected a shape in parentheses, found '4'"},
        {"{'shape': (4)}", "byte 22: expected ',' (a shape of one extent is written (N,)), found ')'"},
        {"{'shape': (-4,)}", "byte 21: expected an extent, found '-'"},
        {"{'shape': (2, 2 2)}", "byte 26: expected ',' or ')', found '2'"},
        {"{'shape': (99999999999999999999,)}", "byte 21: expected an extent below 2^63, found '9'"},
        {"{'shape': (1,1,1,1,1,1,1,1,1)}", "byte 37: expected at most 8 extents, found more"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4,)} x",
         "byte 66: expected only spaces after '}', found 'x'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
         "byte 8: expected a shape whose elements fit in memory"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (5,)}",
         "byte 81: expected 20 bytes of elements from byte 65 on, found 16"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(failure(with_header(table[i].header)), table[i].message);
}

static void magic_and_version_are_checked(void **state)
{
    assert_string_equal(failure(write_text("x", "PK\3\4")),
                        "byte 0: expected 93 (a npy file begins with 93 4e 55 4d 50 59), found 50");
    assert_string_equal(failure(write_bytes("x", "\x93NUMPY\4\0\0\0", 10)),
                        "byte 6: expected version 1.0, 2.0 or 3.0, found 4.0");
    assert_string_equal(failure(write_bytes("x", "\x93NUMPY\1\1\0\0", 10)),
                        "byte 6: expected version 1.0, 2.0 or 3.0, found 1.1");
}

static void what_is_written_is_read(void **state)
{
    double numbers[] = {1, -2.5, 1e300, 0, 5e-324, 7};
    struct rnet_array array = {.type = RNET_F64, .rank = 2, .shape = {3, 2}, .data = numbers}, back;
    const char *path = in_folder("out.npy");
    assert_true(rnet_write_npy(path, &array, &error));
    assert_true(rnet_read_npy(path, &back, &error));
    assert_int_equal(back.type, RNET_F64);
    assert_int_equal(back.rank, 2);
    assert_int_equal(back.shape[0], 3);
    assert_int_equal(back.shape[1], 2);
    assert_memory_equal(back.data, numbers, sizeof numbers);
    rnet_array_free(&back);
    assert_int_equal(count_files(), 1);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_of_numpy_is_read),
        cmocka_unit_test(truth_values_are_read_as_bytes),
        cmocka_unit_test(fortran_order_is_turned),
        cmocka_unit_test(versions_2_and_3_are_read),
        cmocka_unit_test(a_scalar_has_rank_0),
        cmocka_unit_test(types_we_do_not_hold_are_named),
        cmocka_unit_test(nan_is_refused),
        IN_FOLDER(a_file_cut_anywhere_says_where),
        IN_FOLDER(a_header_as_others_write_it_is_read),
        IN_FOLDER(every_wrong_header_is_refused),
        IN_FOLDER(magic_and_version_are_checked),
        IN_FOLDER(what_is_written_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
