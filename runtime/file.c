/* file.c: whole files in and out. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool rnet_fail_at(struct rnet_error *error, const char *path, const struct rnet_bytes *bytes, size_t at,
                  const char *format, ...)
{
    char what[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return rnet_fail(error, RNET_DATA, "%s: byte %zu%s: %s", path, at, bytes->unpacked ? " of the unpacked data" : "",
                     what);
}

bool rnet_shape_bytes(const int64_t *shape, int rank, size_t element, size_t *bytes)
{
    uint64_t product = element;
    bool empty = false;
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return false;
        if (shape[i] == 0)
            empty = true;
        else if (__builtin_mul_overflow(product, (uint64_t)shape[i], &product) || product > INT64_MAX)
            return false;
    }
    *bytes = empty ? 0 : (size_t)product;
    return true;
}

/* ---- reading ---- */

/* malloc for whole files: large ones get large pages where there are, for touching 50 MB for the first time in pages of
   4 kB takes a fifth of the time that unpacking them does. */
static unsigned char *allocate(size_t size)
{
    const size_t page = 2 << 20;
    if (size < 2 * page)
        return malloc(size);
    size = (size + page - 1) / page * page;
    unsigned char *memory = aligned_alloc(page, size);
    if (memory)
        madvise(memory, size, MADV_HUGEPAGE);
    return memory;
}

bool rnet_file_read_raw(const char *path, struct rnet_bytes *out, struct rnet_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return rnet_fail(error, RNET_DATA, "%s: cannot open: %s", path, strerror(errno));
    struct stat status;
    if (fstat(file, &status) != 0 || S_ISDIR(status.st_mode)) {
        rnet_fail(error, RNET_DATA, "%s: cannot read: %s", path, strerror(S_ISDIR(status.st_mode) ? EISDIR : errno));
        close(file);
        return false;
    }
    /* The size is a first guess: pipes and files of /proc have none. */
    size_t capacity = (size_t)status.st_size + 1, size = 0;
    unsigned char *data = allocate(capacity);
    while (data) {
        if (size == capacity) {
            unsigned char *larger = realloc(data, capacity *= 2);
            if (!larger)
                free(data);
            data = larger;
            continue;
        }
        ssize_t got = read(file, data + size, capacity - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            rnet_fail(error, RNET_DATA, "%s: byte %zu: cannot read: %s", path, size, strerror(errno));
            free(data);
            close(file);
            return false;
        }
        if (got == 0)
            break;
        size += (size_t)got;
    }
    close(file);
    if (!data)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for the file", path);
    data[size] = 0;
    *out = (struct rnet_bytes){.data = data, .size = size};
    return true;
}

static uint32_t little32(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Bytes of the header of the gzip member at `at` (RFC 1952); 0 with an error if there is none. */
static size_t gzip_header(const char *path, const struct rnet_bytes *packed, size_t at, struct rnet_error *error)
{
    enum { CRC16 = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 0xE0, FIXED = 10 };
    const unsigned char *data = packed->data;
    size_t size = packed->size, here = at;
    if (size - here < FIXED)
        goto cut;
    if (data[here] != 0x1F || data[here + 1] != 0x8B) {
        rnet_fail_at(error, path, packed, here,
                     "expected another gzip member (1f 8b) or the end of the file, found %02x %02x and %zu bytes more",
                     data[here], data[here + 1], size - here - 2);
        return 0;
    }
    if (data[here + 2] != 8) {
        rnet_fail_at(error, path, packed, here + 2, "expected gzip method 8 (deflate), found %d", data[here + 2]);
        return 0;
    }
    int flags = data[here + 3];
    if (flags & RESERVED) {
        rnet_fail_at(error, path, packed, here + 3, "expected gzip flags below 0x20, found 0x%02x", (unsigned)flags);
        return 0;
    }
    here += FIXED;
    if (flags & EXTRA) {
        if (size - here < 2)
            goto cut;
        size_t extra = 2u + data[here] + ((size_t)data[here + 1] << 8);
        if (size - here < extra)
            goto cut;
        here += extra;
    }
    for (int text = NAME; text <= COMMENT; text *= 2) {
        if (!(flags & text))
            continue;
        const unsigned char *end = memchr(data + here, 0, size - here);
        if (!end)
            goto cut;
        here = (size_t)(end - data) + 1;
    }
    if (flags & CRC16)
        here += 2;
    if (here >= size)
        goto cut;
    return here - at;
cut:
    rnet_fail_at(error, path, packed, size,
                 "expected the rest of the gzip header that begins at byte %zu, found the end of the file", at);
    return 0;
}

/* Adds what the member at *at holds to `out`, of which `capacity` bytes are allocated, and moves *at behind it. */
static bool unpack_member(const char *path, struct libdeflate_decompressor *decompressor,
                          const struct rnet_bytes *packed, size_t *at, struct rnet_bytes *out, size_t *capacity,
                          struct rnet_error *error)
{
    enum { TRAILER = 8 };
    size_t header = gzip_header(path, packed, *at, error);
    if (header == 0)
        return false;
    size_t start = *at + header, used, made;
    for (;;) {
        enum libdeflate_result result =
            libdeflate_deflate_decompress_ex(decompressor, packed->data + start, packed->size - start,
                                             out->data + out->size, *capacity - 1 - out->size, &used, &made);
        if (result == LIBDEFLATE_SUCCESS)
            break;
        if (result != LIBDEFLATE_INSUFFICIENT_SPACE)
            return rnet_fail_at(
                error, path, packed, start,
                "expected a deflate stream, found one that is damaged, or cut short by the end of the file at "
                "byte %zu",
                packed->size);
        unsigned char *larger = realloc(out->data, *capacity * 2);
        if (!larger)
            return rnet_fail(error, RNET_FAILED, "%s: out of memory for more than %zu unpacked bytes", path, *capacity);
        out->data = larger;
        *capacity *= 2;
    }
    size_t trailer = start + used;
    if (packed->size - trailer < TRAILER)
        return rnet_fail_at(error, path, packed, packed->size,
                            "expected %zu more bytes of the checksum and length at byte %zu, found the end of the file",
                            TRAILER - (packed->size - trailer), trailer);
    uint32_t sum = libdeflate_crc32(0, out->data + out->size, made), expected = little32(packed->data + trailer);
    if (sum != expected)
        return rnet_fail_at(
            error, path, packed, trailer,
            "expected data with the checksum %08x that stands here, found data with %08x: it is damaged",
            (unsigned)expected, (unsigned)sum);
    if ((uint32_t)made != little32(packed->data + trailer + 4))
        return rnet_fail_at(error, path, packed, trailer + 4, "expected %u bytes of data as stated here, found %zu",
                            (unsigned)little32(packed->data + trailer + 4), made);
    out->size += made;
    *at = trailer + TRAILER;
    return true;
}

static bool unpack(const char *path, const struct rnet_bytes *packed, struct rnet_bytes *out, struct rnet_error *error)
{
    /* The last four bytes state the length of the last member, usually the only one; believed as far as deflate can
     * pack. */
    enum { MOST_DENSE = 1032 };
    size_t stated = packed->size < 18 ? 0 : little32(packed->data + packed->size - 4);
    if (stated / MOST_DENSE > packed->size)
        stated = packed->size;
    size_t capacity = (stated > packed->size ? stated : packed->size) + 64, at = 0;
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    *out = (struct rnet_bytes){.data = allocate(capacity), .unpacked = true};
    bool done = decompressor && out->data;
    if (!done)
        rnet_fail(error, RNET_FAILED, "%s: out of memory for %zu unpacked bytes", path, capacity);
    while (done && at < packed->size)
        done = unpack_member(path, decompressor, packed, &at, out, &capacity, error);
    libdeflate_free_decompressor(decompressor);
    if (!done) {
        free(out->data);
        return false;
    }
    out->data[out->size] = 0;
    return true;
}

bool rnet_file_read(const char *path, struct rnet_bytes *out, struct rnet_error *error)
{
    struct rnet_bytes raw = {0};
    if (!rnet_file_read_raw(path, &raw, error))
        return false;
    if (raw.size < 2 || raw.data[0] != 0x1F || raw.data[1] != 0x8B) {
        *out = raw;
        return true;
    }
    bool done = unpack(path, &raw, out, error);
    free(raw.data);
    return done;
}

/* ---- writing ---- */

bool rnet_write_all(int file, const void *bytes, size_t count)
{
    static const size_t most_at_once = 1 << 30;
    const char *next = bytes;
    while (count > 0) {
        ssize_t written = write(file, next, count < most_at_once ? count : most_at_once);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        next += written;
        count -= (size_t)written;
    }
    return true;
}

static bool writer_fails(struct rnet_writer *writer, const char *what, struct rnet_error *error)
{
    rnet_fail(error, RNET_FAILED, "%s: cannot %s: %s", writer->path, what, strerror(errno));
    rnet_writer_drop(writer);
    return false;
}

void rnet_writer_drop(struct rnet_writer *writer)
{
    if (writer->file >= 0) {
        close(writer->file);
        unlink(writer->temporary);
    }
    free(writer->temporary);
    *writer = (struct rnet_writer){.path = writer->path, .file = -1};
}

bool rnet_writer_open(struct rnet_writer *writer, const char *path, struct rnet_error *error)
{
    signal(SIGXFSZ, SIG_IGN);
    *writer = (struct rnet_writer){.path = path, .file = -1};
    for (int number = 0; writer->file < 0; number++) {
        char *temporary;
        if (asprintf(&temporary, "%s.tmp-%ld-%d", path, (long)getpid(), number) < 0)
            return rnet_fail(error, RNET_FAILED, "%s: out of memory for its name", path);
        writer->temporary = temporary;
        writer->file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->file < 0) {
            int reason = errno;
            free(temporary);
            writer->temporary = NULL;
            errno = reason;
            if (errno != EEXIST)
                return writer_fails(writer, "create a file in its folder", error);
        }
    }
    return true;
}

bool rnet_writer_add(struct rnet_writer *writer, const void *bytes, size_t count, struct rnet_error *error)
{
    return rnet_write_all(writer->file, bytes, count) || writer_fails(writer, "write", error);
}

/* Makes the new name last through a loss of power. Some file systems cannot sync a folder; by then the file itself is
   safe. */
static void sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = !slash ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    if (!folder)
        return;
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file >= 0) {
        fsync(file);
        close(file);
    }
    free(folder);
}

bool rnet_writer_close(struct rnet_writer *writer, struct rnet_error *error)
{
    if (fsync(writer->file) != 0)
        return writer_fails(writer, "write to the disk", error);
    if (rename(writer->temporary, writer->path) != 0)
        return writer_fails(writer, "rename the new file to it", error);
    /* The name is taken: from here on there is nothing to remove. */
    int closed = close(writer->file), reason = errno;
    writer->file = -1;
    const char *path = writer->path;
    rnet_writer_drop(writer);
    if (closed != 0)
        return rnet_fail(error, RNET_FAILED, "%s: cannot close: %s", path, strerror(reason));
    sync_folder_of(path);
    return true;
}
