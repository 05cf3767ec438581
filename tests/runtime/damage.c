/* Every file of data/ with every byte changed in several ways: read or refused with a message, never more (the
   sanitizers watch). */
#include "support.h"

typedef bool reader(const char *path);

static bool idx(const char *path)
{
    struct rnet_array array;
    bool read = rnet_read_idx(path, &array, &error);
    rnet_array_free(&array);
    return read;
}

static bool npy(const char *path)
{
    struct rnet_array array;
    bool read = rnet_read_npy(path, &array, &error);
    rnet_array_free(&array);
    return read;
}

static bool csv(const char *path)
{
    struct rnet_array array;
    bool read = rnet_read_csv(path, 0, 1, &array, &error);
    rnet_array_free(&array);
    return read;
}

static bool labels(const char *path)
{
    struct rnet_vocabulary names = {0};
    struct rnet_array array;
    bool read = rnet_read_csv_labels(path, NULL, 0, &names, &array, &error);
    rnet_array_free(&array);
    rnet_vocabulary_free(&names);
    return read;
}

static bool words(const char *path)
{
    struct rnet_vocabulary vocabulary;
    return rnet_vocabulary_build(RNET_WORDS, path, 100, &vocabulary, &error) &&
           (rnet_vocabulary_free(&vocabulary), true);
}

static bool safetensors(const char *path)
{
    struct rnet_safetensors file;
    bool read = rnet_safetensors_read(path, &file, &error);
    rnet_safetensors_free(&file);
    return read;
}

/* `refusals`: how many of the changed files must at least be refused. */
static void damage(const char *name, reader *read, int refusals)
{
    static const unsigned char changes[] = {0x01, 0x80, 0xFF, 0x10};
    size_t size;
    char *bytes = read_all(fixture(name), &size);
    int refused = 0;
    for (size_t at = 0; at < size; at++)
        for (size_t i = 0; i < sizeof changes; i++) {
            bytes[at] ^= (char)changes[i];
            const char *path = write_bytes("damaged", bytes, size);
            error.message[0] = 0;
            if (!read(path)) {
                refused++;
                assert_true(strlen(message_after(path)) > 10);
            }
            bytes[at] ^= (char)changes[i];
        }
    free(bytes);
    assert_true(refused >= refusals);
}

static void idx_files(void **state)
{
    /* 4 changes of each of 16 bytes of header; another type or rank needs another length, but i8 is as long as u8. */
    damage("idx_u1", idx, 63);
    damage("idx_f8", idx, 64);
    damage("idx_u1_two_members.gz", idx, 64);
    damage("idx_u1_named.gz", idx, 64);
}

static void npy_files(void **state)
{
    damage("c_f4.npy", npy, 200);
    damage("fortran_i2.npy", npy, 200);
    damage("version_3.npy", npy, 200);
}

static void safetensors_files(void **state)
{
    damage("mixed.safetensors", safetensors, 1000);
}

static void tables(void **state)
{
    /* Not tables at all: whatever the bytes are. */
    damage("mixed.safetensors", csv, 1000);
    damage("c_f4.npy", csv, 0);
    damage("c_f4.npy", labels, 400);
    damage("c_f4.npy", words, 400);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(idx_files),
        IN_FOLDER(npy_files),
        IN_FOLDER(safetensors_files),
        IN_FOLDER(tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
