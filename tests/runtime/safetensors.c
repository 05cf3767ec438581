/* Checkpoints: the official package's (tests/oracle/files.py), ours, and what must be refused or survive. */
#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void the_official_file_is_read(void **state)
{
    struct rnet_safetensors file;
    if (!rnet_safetensors_read(fixture("mixed.safetensors"), &file, &error))
        fail_msg("%s", error.message);
    assert_int_equal(file.count, 7);
    static const struct {
        const char *name;
        enum rnet_type type;
        int rank;
        int64_t shape[2];
    } table[] = {{"layer.W", RNET_F32, 2, {3, 2}}, {"layer.b", RNET_F64, 1, {2, 0}}, {"count", RNET_I64, 1, {1, 0}},
                 {"mask", RNET_U8, 1, {5, 0}},     {"index", RNET_I32, 2, {2, 2}},   {"empty", RNET_F32, 2, {0, 4}}};
    for (int t = 0; t < 6; t++) {
        const struct rnet_tensor *tensor = rnet_safetensors_find(&file, table[t].name);
        assert_non_null(tensor);
        assert_int_equal(tensor->type, table[t].type);
        assert_int_equal(tensor->rank, table[t].rank);
        struct rnet_array array = {.type = tensor->type, .rank = tensor->rank, .data = tensor->data};
        for (int i = 0; i < tensor->rank; i++) {
            assert_int_equal(tensor->shape[i], table[t].shape[i]);
            array.shape[i] = tensor->shape[i];
        }
        assert_int_equal((uintptr_t)tensor->data % 64, 0);
        for (int i = 0; i < rnet_array_elements(&array); i++)
            assert_true(element(&array, i) == (tensor->type == RNET_U8 ? (3 * i - 5) & 255 : 3 * i - 5));
    }
    const struct rnet_tensor *scalar = rnet_safetensors_find(&file, "scalar");
    assert_int_equal(scalar->rank, 0);
    assert_true(*(float *)scalar->data == 1.5f);
    assert_null(rnet_safetensors_find(&file, "nothing"));
    assert_string_equal(rnet_safetensors_value(&file, "step"), "17");
    assert_string_equal(rnet_safetensors_value(&file, "note"), "a \"quoted\" line\nand \xC3\xBC");
    assert_null(rnet_safetensors_value(&file, "nothing"));
    rnet_safetensors_free(&file);
}

static float weights[] = {1, 2, 3, 4, 5, 6};
static double bias[] = {7, 8};
static uint8_t bytes_of_mask[] = {1, 0, 1};
static const struct rnet_tensor three[] = {
    {"mask", RNET_U8, 1, {3}, bytes_of_mask}, {"W", RNET_F32, 2, {2, 3}, weights}, {"b", RNET_F64, 1, {2}, bias}};
static const struct rnet_pair metadata[] = {{"step", "5"}, {"program", "x.rnet"}};

static void the_bytes_are_fixed(void **state)
{
    static const char header[] = "{\"__metadata__\":{\"step\":\"5\",\"program\":\"x.rnet\"},"
                                 "\"b\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]},"
                                 "\"W\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[16,40]},"
                                 "\"mask\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[40,43]}}";
    const char *path = in_folder("x.safetensors");
    assert_true(rnet_safetensors_write(path, three, 3, metadata, 2, &error));
    size_t size, padded = (sizeof header - 1 + 7) / 8 * 8;
    char *bytes = read_all(path, &size);
    assert_int_equal(size, 8 + padded + 43);
    assert_int_equal((unsigned char)bytes[0] | (unsigned char)bytes[1] << 8, padded);
    assert_memory_equal(bytes + 8, header, sizeof header - 1);
    for (size_t i = 8 + sizeof header - 1; i < 8 + padded; i++)
        assert_int_equal(bytes[i], ' ');
    assert_memory_equal(bytes + 8 + padded, bias, 16);
    assert_memory_equal(bytes + 8 + padded + 16, weights, 24);
    assert_memory_equal(bytes + 8 + padded + 40, bytes_of_mask, 3);
    free(bytes);
    assert_int_equal(count_files(), 1);
}

static void what_is_written_is_read(void **state)
{
    const char *path = in_folder("x.safetensors");
    assert_true(rnet_safetensors_write(path, three, 3, metadata, 2, &error));
    struct rnet_safetensors file;
    assert_true(rnet_safetensors_read(path, &file, &error));
    assert_int_equal(file.count, 3);
    assert_int_equal(file.pairs, 2);
    assert_memory_equal(rnet_safetensors_find(&file, "W")->data, weights, sizeof weights);
    assert_memory_equal(rnet_safetensors_find(&file, "b")->data, bias, sizeof bias);
    assert_string_equal(rnet_safetensors_value(&file, "program"), "x.rnet");
    rnet_safetensors_free(&file);
}

static void an_empty_file_is_written_and_read(void **state)
{
    const char *path = in_folder("none.safetensors");
    assert_true(rnet_safetensors_write(path, NULL, 0, NULL, 0, &error));
    struct rnet_safetensors file;
    assert_true(rnet_safetensors_read(path, &file, &error));
    assert_int_equal(file.count, 0);
    assert_int_equal(file.pairs, 0);
    rnet_safetensors_free(&file);
}

static const char *write_failure(const struct rnet_tensor *tensors, int count, const struct rnet_pair *pairs,
                                 int pair_count)
{
    const char *path = in_folder("bad.safetensors");
    assert_false(rnet_safetensors_write(path, tensors, count, pairs, pair_count, &error));
    assert_int_equal(error.status, RNET_FAILED);
    assert_int_equal(count_files(), 0);
    return message_after(path);
}

static void names_are_written_once_and_in_utf8(void **state)
{
    struct rnet_tensor twice[] = {three[1], three[1]};
    assert_string_equal(write_failure(twice, 2, NULL, 0),
                        "cannot write the tensor W: the name is there twice, or is not UTF-8");
    twice[1].name = "\xFF";
    assert_string_equal(write_failure(twice, 2, NULL, 0),
                        "cannot write the tensor \xFF: the name is there twice, or is not UTF-8");
    twice[1].name = "__metadata__";
    assert_string_equal(write_failure(twice, 2, NULL, 0),
                        "cannot write the tensor __metadata__: the name is there twice, or is not UTF-8");
    const struct rnet_pair pairs[] = {{"a", "1"}, {"a", "2"}};
    assert_string_equal(write_failure(three, 3, pairs, 2),
                        "cannot write the metadata a: it is there twice, or is not UTF-8");
}

/* A file of this header and `size` bytes of elements. */
static const char *with_header(const char *header, size_t size)
{
    static char bytes[2000];
    memset(bytes, 0, sizeof bytes);
    bytes[0] = (char)strlen(header);
    bytes[1] = (char)(strlen(header) >> 8);
    memcpy(bytes + 8, header, strlen(header));
    return write_bytes("header.safetensors", bytes, 8 + strlen(header) + size);
}

static const char *failure(const char *path)
{
    struct rnet_safetensors file;
    assert_false(rnet_safetensors_read(path, &file, &error));
    assert_null(file.memory);
    assert_int_equal(error.status, RNET_DATA);
    return message_after(path);
}

static void every_wrong_header_is_refused(void **state)
{
#define F32(begin, end) "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[" begin "," end "]}"
    static const struct {
        const char *header;
        size_t size;
        const char *message;
    } table[] = {
        {"", 0, "byte 8: expected a header that begins with '{'"},
        {"[1]", 0, "byte 8: expected a header that begins with '{'"},
        {" {}", 0, "byte 8: expected a header that begins with '{'"},
        {"{\"a\":" F32("0", "8") ",\"a\":" F32("8", "16") "}", 16,
         "byte 65: expected a header in JSON, found: duplicate object key near '\"a\"'"},
        {"{\"a\":" F32("0", "8") "} x", 8, "byte 64: expected a header in JSON, found: end of file expected near 'x'"},
        {"{\"a\":" F32("0", "8") ",\"b\":" F32("12", "20") "}", 20,
         "byte 125: expected the elements of tensor b to begin here, found them at byte 129: a hole"},
        {"{\"a\":" F32("0", "8") ",\"b\":" F32("4", "12") "}", 12,
         "byte 124: expected the elements of tensor b to begin here, found them at byte 120: an overlap"},
        {"{\"a\":" F32("4", "12") "}", 12,
         "byte 63: expected the elements of tensor a to begin here, found them at byte 67: a hole"},
        {"{\"a\":" F32("0", "8") "}", 9, "byte 70: expected the end of the file, found 1 bytes more"},
        {"{\"a\":" F32("0", "8") "}", 7,
         "byte 69: expected the elements of tensor a up to byte 70, found the end of the file"},
        {"{\"a\":" F32("0", "4") "}", 4,
         "tensor a: expected data_offsets as far apart as its shape and type need, found [0,4]"},
        {"{\"a\":" F32("8", "0") "}", 8, "tensor a: expected data_offsets [begin, end], found [8,0]"},
        {"{\"a\":" F32("-8", "0") "}", 8, "tensor a: expected data_offsets [begin, end], found [-8,0]"},
        {"{\"a\":" F32("0.0", "8.0") "}", 8, "tensor a: expected data_offsets [begin, end], found [0.0,8.0]"},
        {"{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4,
         "tensor a: expected one of the types U8, I32, I64, F32, F64, found \"BF16\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8,
         "tensor a: expected extents that are whole numbers from 0 on, found [-2]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8,
         "tensor a: expected data_offsets as far apart as its shape and type need, found [0,8]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4,
         "tensor a: expected a shape of at most 8 extents, found [1,1,1,1,1,1,1,1,1]"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8,
         "tensor a: expected a shape of at most 8 extents, found 2"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8,
         "tensor a: expected an object of dtype, shape and data_offsets, found {\"dtype\":\"F32\",\"shape\":[2]}"},
        {"{\"a\":7}", 8, "tensor a: expected an object of dtype, shape and data_offsets, found 7"},
        {"{\"__metadata__\":[]}", 0, "__metadata__: expected an object of strings"},
        {"{\"__metadata__\":{\"step\":5}}", 0, "__metadata__: step: expected a string"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_string_equal(failure(with_header(table[i].header, table[i].size)), table[i].message);
}

static void the_length_of_the_header_is_checked(void **state)
{
    assert_string_equal(failure(write_bytes("x", "\x01\xE1\xF5\x05\0\0\0\0{}", 10)),
                        "byte 0: expected a header of at most 100000000 bytes, found the length 100000001: this is no safetensors file");
    assert_string_equal(failure(write_bytes("x", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10)),
                        "byte 0: expected a header of at most 100000000 bytes, found the length 18446744073709551615: this is no safetensors file");
    assert_string_equal(failure(write_bytes("x", "\x03\0\0\0\0\0\0\0{}", 10)),
                        "byte 10: expected a header up to byte 11, found the end of the file");
}

static void a_file_cut_anywhere_is_refused(void **state)
{
    size_t size;
    char *bytes = read_all(fixture("mixed.safetensors"), &size), expected[40];
    for (size_t cut = 0; cut < size; cut++) {
        const char *message = failure(write_bytes("cut", bytes, cut));
        snprintf(expected, sizeof expected, "byte %zu: expected ", cut);
        assert_memory_equal(message, expected, strlen(expected));
    }
    free(bytes);
}

/* The header's length may begin with the two bytes that begin a gzip file: 0x8b1f. */
static void a_header_of_35615_bytes_is_not_taken_for_gzip(void **state)
{
    enum { LENGTH = 0x8b1f };
    char *bytes = malloc(8 + LENGTH);
    memset(bytes, ' ', 8 + LENGTH);
    memcpy(bytes, "\x1f\x8b\0\0\0\0\0\0{}", 10);
    struct rnet_safetensors file;
    assert_true(rnet_safetensors_read(write_bytes("x", bytes, 8 + LENGTH), &file, &error));
    assert_int_equal(file.count, 0);
    rnet_safetensors_free(&file);
    free(bytes);
}

static void types_unknown_to_us_are_named(void **state)
{
    assert_string_equal(failure(fixture("half.safetensors")),
                        "tensor half: expected one of the types U8, I32, I64, F32, F64, found \"F16\"");
}

static void a_folder_that_is_none_is_named(void **state)
{
    static const char path[] = "/dev/null/x.safetensors";
    assert_false(rnet_safetensors_write(path, three, 3, NULL, 0, &error));
    assert_int_equal(error.status, RNET_FAILED);
    assert_string_equal(message_after(path), "cannot create a file in its folder: Not a directory");
    const char *missing = in_folder("missing/x.safetensors");
    assert_false(rnet_safetensors_write(missing, three, 3, NULL, 0, &error));
    assert_string_equal(message_after(missing), "cannot create a file in its folder: No such file or directory");
}

static void a_name_that_is_a_folder_is_refused(void **state)
{
    const char *path = in_folder("taken");
    assert_int_equal(mkdir(path, 0777), 0);
    assert_false(rnet_safetensors_write(path, three, 3, NULL, 0, &error));
    assert_string_equal(message_after(path), "cannot rename the new file to it: Is a directory");
    assert_int_equal(count_files(), 1);
    rmdir(path);
}

/* In a child with a limit on the size of files, as a full disk: the earlier file stays, the temporary one goes. */
static void a_full_disk_leaves_the_earlier_file(void **state)
{
    const char *path = in_folder("kept.safetensors");
    assert_true(rnet_safetensors_write(path, three, 3, metadata, 2, &error));
    size_t size, size_after;
    char *before = read_all(path, &size);
    for (int limit = 0; limit <= 300; limit += 100) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct rlimit file_size = {(rlim_t)limit, (rlim_t)limit};
            setrlimit(RLIMIT_FSIZE, &file_size);
            char expected[400];
            snprintf(expected, sizeof expected, "%s: cannot write: File too large", path);
            bool refused = !rnet_safetensors_write(path, three, 3, NULL, 0, &error);
            _exit(refused && error.status == RNET_FAILED && strcmp(error.message, expected) == 0 ? 0
                  : limit < 227                                                                  ? 1
                                                                                                 : 2);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        /* Without metadata the file has 227 bytes: it fits in the last limit. */
        assert_int_equal(WEXITSTATUS(status), limit < 227 ? 0 : 2);
        assert_int_equal(count_files(), 1);
        if (limit >= 227)
            continue;
        char *after = read_all(path, &size_after);
        assert_int_equal(size_after, size);
        assert_memory_equal(after, before, size);
        free(after);
    }
    free(before);
}

static void a_stale_temporary_file_is_no_obstacle(void **state)
{
    char name[100];
    snprintf(name, sizeof name, "x.safetensors.tmp-%ld-0", (long)getpid());
    write_text(name, "of an earlier run");
    assert_true(rnet_safetensors_write(in_folder("x.safetensors"), three, 3, NULL, 0, &error));
    assert_int_equal(count_files(), 2);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_official_file_is_read),
        IN_FOLDER(the_bytes_are_fixed),
        IN_FOLDER(what_is_written_is_read),
        IN_FOLDER(an_empty_file_is_written_and_read),
        IN_FOLDER(names_are_written_once_and_in_utf8),
        IN_FOLDER(every_wrong_header_is_refused),
        IN_FOLDER(the_length_of_the_header_is_checked),
        IN_FOLDER(a_file_cut_anywhere_is_refused),
        IN_FOLDER(a_header_of_35615_bytes_is_not_taken_for_gzip),
        cmocka_unit_test(types_unknown_to_us_are_named),
        IN_FOLDER(a_folder_that_is_none_is_named),
        IN_FOLDER(a_name_that_is_a_folder_is_refused),
        IN_FOLDER(a_full_disk_leaves_the_earlier_file),
        IN_FOLDER(a_stale_temporary_file_is_no_obstacle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
