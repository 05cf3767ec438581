/* idx files, plain and gzip: what tests/oracle/files.py wrote, and damaged in every place. */
#include "support.h"

static void check_ramp(const char *name, enum rnet_type type)
{
    struct rnet_array array;
    assert_true(rnet_read_idx(fixture(name), &array, &error));
    assert_int_equal(array.type, type);
    assert_int_equal(array.rank, 3);
    assert_int_equal(array.shape[0], 3);
    assert_int_equal(array.shape[1], 2);
    assert_int_equal(array.shape[2], 2);
    for (int i = 0; i < 12; i++)
        assert_true(element(&array, i) == (type == RNET_U8 ? (3 * i - 5) & 255 : 3 * i - 5));
    rnet_array_free(&array);
}

static void every_type_is_read(void **state)
{
    check_ramp("idx_u1", RNET_U8);
    check_ramp("idx_i1", RNET_I32);
    check_ramp("idx_i2", RNET_I32);
    check_ramp("idx_i4", RNET_I32);
    check_ramp("idx_f4", RNET_F32);
    check_ramp("idx_f8", RNET_F64);
}

static void gzip_is_told_by_content(void **state)
{
    check_ramp("idx_u1.gz", RNET_U8);
    check_ramp("idx_u1_named.gz", RNET_U8);
}

static void gzip_members_are_joined(void **state)
{
    check_ramp("idx_u1_two_members.gz", RNET_U8);
}

static void fashion_mnist_is_read(void **state)
{
    static const char path[] = "/usr/share/datasets/fashion-mnist/t10k-labels-idx1-ubyte.gz";
    if (access(path, R_OK) != 0)
        skip();
    struct rnet_array array;
    assert_true(rnet_read_idx(path, &array, &error));
    assert_int_equal(array.rank, 1);
    assert_int_equal(array.shape[0], 10000);
    int counts[10] = {0};
    for (int i = 0; i < 10000; i++) {
        assert_true(element(&array, i) < 10);
        counts[(int)element(&array, i)]++;
    }
    for (int label = 0; label < 10; label++)
        assert_int_equal(counts[label], 1000);
    rnet_array_free(&array);
}

/* Fails and returns the message behind the name. */
static const char *failure(const char *path)
{
    struct rnet_array array;
    assert_false(rnet_read_idx(path, &array, &error));
    assert_null(array.data);
    assert_int_equal(error.status, RNET_DATA);
    return message_after(path);
}

static void a_file_cut_anywhere_says_where(void **state)
{
    size_t size;
    char *bytes = read_all(fixture("idx_i4"), &size), expected[100];
    for (size_t cut = 0; cut < size; cut++) {
        const char *message = failure(write_bytes("cut", bytes, cut));
        snprintf(expected, sizeof expected, "byte %zu: expected ", cut);
        assert_memory_equal(message, expected, strlen(expected));
        assert_non_null(strstr(message, "found"));
    }
    free(bytes);
    assert_string_equal(failure(write_bytes("cut", "\0\0\x08\x01\0\0\0\x05\1\2\3", 11)),
                        "byte 11: expected 5 bytes of elements from byte 8 on, found 3");
}

static void a_wrong_magic_names_byte_and_value(void **state)
{
    assert_string_equal(failure(write_text("x", "hello")),
                        "byte 0: expected 00 (an idx file begins with 00 00), found 68");
    assert_string_equal(failure(write_bytes("x", "\0\1\x08\x01", 4)),
                        "byte 1: expected 00 (an idx file begins with 00 00), found 01");
    assert_string_equal(failure(write_bytes("x", "\0\0\x0A\x01", 4)),
                        "byte 2: expected an idx type (08, 09, 0b, 0c, 0d or 0e), found 0a");
    assert_string_equal(failure(write_bytes("x", "\0\0\x08\x09", 4)), "byte 3: expected a rank of 1 to 8, found 9");
    assert_string_equal(failure(write_bytes("x", "\0\0\x08\0", 4)), "byte 3: expected a rank of 1 to 8, found 0");
}

static void bytes_behind_the_elements_are_refused(void **state)
{
    assert_string_equal(failure(write_bytes("x", "\0\0\x08\x01\0\0\0\x02\1\2\3\4\5", 13)),
                        "byte 10: expected the end of the file, found 3 bytes more");
}

static void extents_that_overflow_are_refused(void **state)
{
    char bytes[4 + 8 * 4] = {0, 0, 0x0E, 8};
    memset(bytes + 4, 0xFF, 32);
    assert_string_equal(failure(write_bytes("x", bytes, sizeof bytes)),
                        "byte 4: expected extents whose product fits in memory");
}

static void nan_is_refused(void **state)
{
    assert_string_equal(failure(write_bytes("x", "\0\0\x0D\x01\0\0\0\x02\x3f\x80\0\0\x7f\xc0\0\0", 16)),
                        "byte 12: expected a number, found nan (element 1)");
}

static void gzip_cut_anywhere_fails(void **state)
{
    size_t size;
    char *bytes = read_all(fixture("idx_u1_named.gz"), &size), expected[100];
    for (size_t cut = 2; cut < size; cut++) {
        const char *message = failure(write_bytes("cut.gz", bytes, cut));
        assert_memory_equal(message, "byte ", 5);
        snprintf(expected, sizeof expected, "byte %zu", cut);
        /* The place where the file ends is in the message, whatever part of the format it fell into. */
        assert_non_null(strstr(message, expected));
    }
    free(bytes);
}

static void gzip_damage_is_found(void **state)
{
    size_t size;
    char *bytes = read_all(fixture("idx_u1.gz"), &size), expected[100];
    bytes[size - 8] ^= 1;
    snprintf(expected, sizeof expected, "byte %zu: expected data with the checksum ", size - 8);
    const char *message = failure(write_bytes("sum.gz", bytes, size));
    assert_memory_equal(message, expected, strlen(expected));
    bytes[size - 8] ^= 1;
    bytes[size - 4] ^= 1;
    snprintf(expected, sizeof expected, "byte %zu: expected 29 bytes of data as stated here, found 28", size - 4);
    assert_string_equal(failure(write_bytes("length.gz", bytes, size)), expected);
    bytes[size - 4] ^= 1;
    bytes[2] = 7;
    assert_string_equal(failure(write_bytes("method.gz", bytes, size)),
                        "byte 2: expected gzip method 8 (deflate), found 7");
    bytes[2] = 8;
    bytes[3] = 0x40;
    assert_string_equal(failure(write_bytes("flags.gz", bytes, size)),
                        "byte 3: expected gzip flags below 0x20, found 0x40");
    bytes[3] = 0;
    bytes[size] = 'x';
    snprintf(expected, sizeof expected, "byte %zu: expected the rest of the gzip header", size + 1);
    message = failure(write_bytes("behind.gz", bytes, size + 1));
    assert_memory_equal(message, expected, strlen(expected));
    free(bytes);
}

static void gzip_content_counts_unpacked_bytes(void **state)
{
    size_t size;
    char *bytes = read_all(fixture("idx_u1_two_members.gz"), &size);
    /* The first member alone holds 9 bytes of the 28. */
    size_t second = 10;
    while (memcmp(bytes + second, "\x1f\x8b", 2) != 0)
        second++;
    assert_string_equal(failure(write_bytes("half.gz", bytes, second)),
                        "byte 9 of the unpacked data: expected 3 extents up to byte 16, found the end of the file");
    free(bytes);
}

static void a_missing_file_and_a_folder_are_named(void **state)
{
    assert_string_equal(failure(in_folder("nothing")), "cannot open: No such file or directory");
    assert_string_equal(failure(folder), "cannot read: Is a directory");
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_read),
        cmocka_unit_test(gzip_is_told_by_content),
        cmocka_unit_test(gzip_members_are_joined),
        cmocka_unit_test(fashion_mnist_is_read),
        IN_FOLDER(a_file_cut_anywhere_says_where),
        IN_FOLDER(a_wrong_magic_names_byte_and_value),
        IN_FOLDER(bytes_behind_the_elements_are_refused),
        IN_FOLDER(extents_that_overflow_are_refused),
        IN_FOLDER(nan_is_refused),
        IN_FOLDER(gzip_cut_anywhere_fails),
        IN_FOLDER(gzip_damage_is_found),
        IN_FOLDER(gzip_content_counts_unpacked_bytes),
        IN_FOLDER(a_missing_file_and_a_folder_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
