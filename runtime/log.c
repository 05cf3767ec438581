/* log.c: a run's log, one JSON object a line, each written by one call as soon as it is complete: what a killed run
   leaves is whole lines, but perhaps for the last. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rnet_log {
    char *path;
    int file;
    char *line;
    size_t size, capacity;
    bool out_of_memory; /* in this line */
};

static void add(struct rnet_log *log, const char *bytes, size_t count)
{
    if (log->capacity - log->size < count) {
        size_t capacity = log->capacity ? log->capacity : 1024;
        while (capacity - log->size < count)
            capacity *= 2;
        char *larger = realloc(log->line, capacity);
        if (!larger) {
            log->out_of_memory = true;
            return;
        }
        log->line = larger;
        log->capacity = capacity;
    }
    memcpy(log->line + log->size, bytes, count);
    log->size += count;
}

static void add_text(struct rnet_log *log, const char *text)
{
    add(log, text, strlen(text));
}

/* In quotes. Control characters are escaped; bytes of no UTF-8 character become U+FFFD, so that every line is JSON. */
static void add_string(struct rnet_log *log, const char *text)
{
    add_text(log, "\"");
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        char escape[8];
        if (*at == '"' || *at == '\\') {
            snprintf(escape, sizeof escape, "\\%c", *at++);
            add_text(log, escape);
            continue;
        }
        if (*at < ' ') {
            snprintf(escape, sizeof escape, "\\u%04x", *at++);
            add_text(log, escape);
            continue;
        }
        int length = *at < 0x80                  ? 1
                     : *at >= 0xC2 && *at < 0xE0 ? 2
                     : *at >= 0xE0 && *at < 0xF0 ? 3
                     : *at >= 0xF0 && *at < 0xF5 ? 4
                                                 : 0;
        bool valid = length > 0;
        for (int i = 1; valid && i < length; i++)
            valid = (at[i] & 0xC0) == 0x80;
        /* Not shortest, a surrogate, or beyond U+10FFFF. */
        if (valid && ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] >= 0xA0) ||
                      (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] >= 0x90)))
            valid = false;
        if (valid)
            add(log, (const char *)at, (size_t)length);
        else
            add_text(log, "\xEF\xBF\xBD");
        at += valid ? length : 1;
    }
    add_text(log, "\"");
}

/* The number behind `key` in a line, or `otherwise`. Lines are our own: a bare key in quotes is the key, for inside a string
   its quotes would be escaped. */
static uint64_t number_in(const char *line, size_t size, const char *key, uint64_t otherwise)
{
    const char *found = memmem(line, size, key, strlen(key));
    return found ? strtoull(found + strlen(key), NULL, 10) : otherwise;
}

/* Length of the lines that stay: whole, and none behind the first whose step, in this block, is beyond `after_step`, or that is
   of a later block. */
static size_t kept_length(const char *lines, size_t size, uint64_t block, uint64_t after_step)
{
    size_t at = 0;
    while (at < size) {
        const char *end = memchr(lines + at, '\n', size - at);
        if (!end)
            return at;
        size_t length = (size_t)(end - lines) - at;
        uint64_t of = number_in(lines + at, length, "\"block\":", 0);
        if (of > block || (of == block && number_in(lines + at, length, "\"step\":", 0) > after_step))
            return at;
        at = (size_t)(end - lines) + 1;
    }
    return at;
}

static bool cut_off(struct rnet_log *log, uint64_t block, uint64_t after_step, struct rnet_error *error)
{
    struct stat status;
    if (fstat(log->file, &status) != 0)
        return rnet_fail(error, RNET_FAILED, "%s: cannot read: %s", log->path, strerror(errno));
    /* Only what is regular can be read again and cut; a log may go to a pipe or /dev/null. */
    if (!S_ISREG(status.st_mode) || status.st_size == 0)
        return true;
    struct rnet_bytes bytes = {0};
    if (!rnet_file_read_raw(log->path, &bytes, error))
        return false;
    size_t kept = kept_length((const char *)bytes.data, bytes.size, block, after_step);
    free(bytes.data);
    if (ftruncate(log->file, (off_t)kept) != 0)
        return rnet_fail(error, RNET_FAILED, "%s: cannot cut off the lines after step %" PRIu64 ": %s", log->path,
                         after_step, strerror(errno));
    return true;
}

static struct rnet_log *open_log(const char *path, bool append, uint64_t block, uint64_t after_step,
                                 struct rnet_error *error)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rnet_log *log = calloc(1, sizeof *log);
    char *name = strdup(path);
    if (!log || !name) {
        free(log);
        free(name);
        rnet_fail(error, RNET_FAILED, "%s: out of memory", path);
        return NULL;
    }
    log->path = name;
    log->file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | (append ? 0 : O_TRUNC), 0666);
    if (log->file < 0)
        rnet_fail(error, RNET_FAILED, "%s: cannot open for writing: %s", path, strerror(errno));
    else if (!append || cut_off(log, block, after_step, error))
        return log;
    if (log->file >= 0)
        close(log->file);
    free(log->path);
    free(log);
    return NULL;
}

struct rnet_log *rnet_log_open(const char *path, bool append, uint64_t after_step, struct rnet_error *error)
{
    return open_log(path, append, 0, after_step, error);
}

struct rnet_log *rnet_log_resume(const char *path, uint64_t block, uint64_t after_step, struct rnet_error *error)
{
    return open_log(path, true, block, after_step, error);
}

void rnet_log_begin(struct rnet_log *log)
{
    log->size = 0;
    log->out_of_memory = false;
    add_text(log, "{");
}

static void add_key(struct rnet_log *log, const char *key, const char *suffix)
{
    if (log->size > 1)
        add_text(log, ",");
    add_string(log, key);
    if (*suffix) {
        log->size--; /* back over the closing quote */
        add_text(log, suffix);
        add_text(log, "\"");
    }
    add_text(log, ":");
}

/* The shortest decimal that reads back as this double: 15 digits always come through, 17 always suffice. */
static void shortest(double value, char *out, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

void rnet_log_number(struct rnet_log *log, const char *key, double value)
{
    add_key(log, key, "");
    if (isfinite(value)) {
        char number[40];
        shortest(value, number, sizeof number);
        add_text(log, number);
        return;
    }
    add_text(log, "null");
    add_key(log, key, "_nonfinite");
    add_text(log, isnan(value) ? "\"nan\"" : value > 0 ? "\"inf\"" : "\"-inf\"");
}

void rnet_log_whole(struct rnet_log *log, const char *key, int64_t value)
{
    char number[24];
    snprintf(number, sizeof number, "%" PRId64, value);
    add_key(log, key, "");
    add_text(log, number);
}

void rnet_log_string(struct rnet_log *log, const char *key, const char *value)
{
    add_key(log, key, "");
    add_string(log, value);
}

bool rnet_log_end(struct rnet_log *log, struct rnet_error *error)
{
    add_text(log, "}\n");
    if (log->out_of_memory)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for a line", log->path);
    if (!rnet_write_all(log->file, log->line, log->size))
        return rnet_fail(error, RNET_FAILED, "%s: cannot write: %s", log->path, strerror(errno));
    return true;
}

bool rnet_log_close(struct rnet_log *log, struct rnet_error *error)
{
    bool closed = close(log->file) == 0;
    if (!closed)
        rnet_fail(error, RNET_FAILED, "%s: cannot close: %s", log->path, strerror(errno));
    free(log->path);
    free(log->line);
    free(log);
    return closed;
}
