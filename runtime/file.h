/* file.h: whole files in and out; shared by the readers and writers of this folder. */
#ifndef RNET_FILE_H
#define RNET_FILE_H

#include "rnet.h"

#define RNET_INTERNAL __attribute__((visibility("hidden")))

/* The contents of a file, unpacked if it was gzip. */
struct rnet_bytes {
    unsigned char *data; /* malloc; one byte more than `size`, 0 */
    size_t size;
    bool unpacked; /* bytes are counted in the unpacked contents, which messages must say */
};
RNET_INTERNAL bool rnet_file_read(const char *path, struct rnet_bytes *out, struct rnet_error *error);
/* The contents as they are on disk. */
RNET_INTERNAL bool rnet_file_read_raw(const char *path, struct rnet_bytes *out, struct rnet_error *error);
/* "FILE: byte N: ..." with RNET_DATA. */
RNET_INTERNAL bool rnet_fail_at(struct rnet_error *error, const char *path, const struct rnet_bytes *bytes, size_t at,
                                const char *format, ...) __attribute__((format(printf, 5, 6)));

/* A file that appears under its name as a whole or not at all: written beside it, synced, renamed. After a failed call
   the temporary file is gone and the writer is over. */
struct rnet_writer {
    const char *path;
    char *temporary;
    int file;
};
RNET_INTERNAL bool rnet_writer_open(struct rnet_writer *writer, const char *path, struct rnet_error *error);
RNET_INTERNAL bool rnet_writer_add(struct rnet_writer *writer, const void *bytes, size_t count,
                                   struct rnet_error *error);
RNET_INTERNAL bool rnet_writer_close(struct rnet_writer *writer, struct rnet_error *error);
/* Gives up; for callers that fail for reasons of their own. */
RNET_INTERNAL void rnet_writer_drop(struct rnet_writer *writer);

/* write(2) until all is written; false with errno. */
RNET_INTERNAL bool rnet_write_all(int file, const void *bytes, size_t count);

/* Product of a shape times an element's size; false if it does not fit. */
RNET_INTERNAL bool rnet_shape_bytes(const int64_t *shape, int rank, size_t element, size_t *bytes);

#endif
