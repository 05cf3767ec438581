/* support.h: a folder for each test, files of given bytes, and messages. Included once by each test program. */
#ifndef RNET_TEST_SUPPORT_H
#define RNET_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>
#include <unistd.h>

#include "rnet.h"

#define UNUSED __attribute__((unused))

static char folder[100];
static struct rnet_error error;

/* cmocka's setup and teardown of a test that writes files. */
UNUSED static int make_folder(void **state)
{
    strcpy(folder, "/tmp/rnet-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

UNUSED static int count_files(void)
{
    DIR *open = opendir(folder);
    assert_non_null(open);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open));)
        count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

UNUSED static int remove_folder(void **state)
{
    DIR *open = opendir(folder);
    if (!open)
        return -1;
    for (struct dirent *entry; (entry = readdir(open));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(open), entry->d_name, 0);
    closedir(open);
    return rmdir(folder);
}

/* Valid until the fourth call after. */
UNUSED static const char *in_folder(const char *name)
{
    static char paths[4][300];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

UNUSED static const char *fixture(const char *name)
{
    static char path[500];
    snprintf(path, sizeof path, "%s/data/%s", TEST_FOLDER, name);
    return path;
}

UNUSED static const char *write_bytes(const char *name, const void *bytes, size_t size)
{
    const char *path = in_folder(name);
    unlink(path); /* a new file: ext4 syncs one that is emptied and written again */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    return path;
}

UNUSED static const char *write_text(const char *name, const char *text)
{
    return write_bytes(name, text, strlen(text));
}

/* The whole file, ended by a 0; the caller frees. */
UNUSED static char *read_all(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = malloc(1 << 20);
    size_t count = fread(bytes, 1, (1 << 20) - 1, file);
    fclose(file);
    bytes[count] = 0;
    if (size)
        *size = count;
    return bytes;
}

/* The message behind the file's name. */
UNUSED static const char *message_after(const char *path)
{
    assert_memory_equal(error.message, path, strlen(path));
    assert_memory_equal(error.message + strlen(path), ": ", 2);
    return error.message + strlen(path) + 2;
}

UNUSED static double element(const struct rnet_array *array, int64_t i)
{
    switch (array->type) {
    case RNET_U8:
        return ((uint8_t *)array->data)[i];
    case RNET_I32:
        return ((int32_t *)array->data)[i];
    case RNET_I64:
        return (double)((int64_t *)array->data)[i];
    case RNET_F32:
        return (double)((float *)array->data)[i];
    case RNET_F64:
        return ((double *)array->data)[i];
    }
    fail();
    return 0;
}

#endif
