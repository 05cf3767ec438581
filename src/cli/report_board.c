/* report_board.c: a run's numbers as event files that TensorBoard reads. A file is records: length (8 bytes,
   little-endian), its masked CRC-32C, that many bytes, their masked CRC-32C. The first holds the version, each other
   one step's numbers, as messages of protocol buffers: Event {1: wall time, double; 2: step, varint; 3: version,
   string; 5: Summary {1: Value {1: tag, string; 2: value, float}}}. Each split is a run of its own, so that the same
   name is drawn in one chart. A number that is 0 is left out but for values. The log notes no dates, so that wall times
   are the seconds that the steps had taken. */
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct writer {
    const char *split, *path;
    FILE *file;
};
struct board {
    struct arena *arena;
    const char *folder;
    double seconds;
    LIST(struct writer) writers;
};

/* ---- records ---- */

static uint32_t crc32c(const unsigned char *bytes, size_t count)
{
    uint32_t crc = ~(uint32_t)0;

    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void add_little_endian(struct text *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        text_add_slice(out, (char[]){(char)(value >> 8 * i & 0xFF)}, 1);
}

static void add_check(struct text *out, const char *bytes, size_t count)
{
    uint32_t crc = crc32c((const unsigned char *)bytes, count);

    add_little_endian(out, (crc >> 15 | crc << 17) + 0xA282EAD8u, 4);
}

static bool write_record(FILE *file, const struct text *event)
{
    struct text out = {0};
    bool written;

    add_little_endian(&out, event->size, 8);
    add_check(&out, out.data, 8);
    text_add_slice(&out, event->data, event->size);
    add_check(&out, event->data, event->size);
    written = fwrite(out.data, 1, out.size, file) == out.size;
    text_free(&out);
    return written;
}

/* ---- messages ---- */

static void add_varint(struct text *out, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        text_add_slice(out, (char[]){(char)((value & 127) | 128)}, 1);
    text_add_slice(out, (char[]){(char)value}, 1);
}

enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 };

static void add_key(struct text *out, int field, int type)
{
    add_varint(out, (uint64_t)(field << 3 | type));
}

static void add_bytes(struct text *out, int field, const char *bytes, size_t count)
{
    add_key(out, field, BYTES);
    add_varint(out, count);
    text_add_slice(out, bytes, count);
}

static void add_double(struct text *out, int field, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    add_key(out, field, EIGHT_BYTES);
    add_little_endian(out, bits, 8);
}

static void add_scalar(struct text *summary, const char *tag, double number)
{
    float narrow = (float)number;
    struct text value = {0};
    uint32_t bits;

    memcpy(&bits, &narrow, sizeof bits);
    add_bytes(&value, 1, tag, strlen(tag));
    add_key(&value, 2, FOUR_BYTES);
    add_little_endian(&value, bits, 4);
    add_bytes(summary, 1, value.data, value.size);
    text_free(&value);
}

/* ---- files ---- */

static void make_folders(struct arena *arena, const char *path)
{
    for (const char *slash = path; (slash = strchr(slash + 1, '/'));)
        mkdir(arena_slice(arena, path, (size_t)(slash - path)), 0777);
}

static FILE *writer_of(struct board *board, const char *split)
{
    struct writer writer = {.split = arena_string(board->arena, split)};
    struct text event = {0};

    for (int i = 0; i < board->writers.count; i++)
        if (!strcmp(board->writers.at[i].split, split))
            return board->writers.at[i].file;
    writer.path = arena_printf(board->arena, "%s/%s/events.out.tfevents.0000000000.rnet", board->folder, split);
    make_folders(board->arena, writer.path);
    writer.file = fopen(writer.path, "wb");
    if (!writer.file) {
        complain(0, "%s: %s", writer.path, strerror(errno));
        return NULL;
    }
    list_add(board->arena, board->writers, writer);
    add_bytes(&event, 3, "brain.Event:2", 13);
    if (!write_record(writer.file, &event)) {
        complain(0, "%s: %s", writer.path, strerror(errno));
        writer.file = NULL;
    }
    text_free(&event);
    return writer.file;
}

static int see_line(void *context, struct arena *scratch, const struct log_line *line)
{
    struct board *board = context;
    const char *event_name = log_text(line, "event"), *phase = log_text(line, "phase"),
               *block = log_text(line, "block"), *split = "train";
    struct text event = {0}, summary = {0};
    double step = 0, seconds = 0, value;
    FILE *file;

    if (!log_has_values(line))
        return RNET_DONE;
    if (event_name && !strcmp(event_name, "report")) {
        split = log_text(line, "split") ? log_text(line, "split") : "report";
        split = strchr(split, '.') ? strchr(split, '.') + 1 : split;
    } else if (log_number(line, "seconds", &seconds)) {
        board->seconds += seconds;
    }
    log_number(line, "step", &step);
    for (int i = 0; i < line->fields.count; i++) {
        const char *name;

        if (!log_value(&line->fields.at[i], &name, &value))
            continue;
        if (event_name && !strcmp(event_name, "watch"))
            name = arena_printf(scratch, "watch/%s", name);
        if (phase)
            name = arena_printf(scratch, "%s/%s", phase, name);
        if (block)
            name =
                arena_printf(scratch, "%s-%s/%s", block, log_text(line, "model") ? log_text(line, "model") : "", name);
        add_scalar(&summary, name, value);
    }
    if (!summary.size)
        return RNET_DONE;
    if (board->seconds != 0)
        add_double(&event, 1, board->seconds);
    if (step > 0) {
        add_key(&event, 2, VARINT);
        add_varint(&event, (uint64_t)step);
    }
    add_bytes(&event, 5, summary.data, summary.size);
    file = writer_of(board, split);
    if (file && !write_record(file, &event)) {
        complain(0, "%s/%s: %s", board->folder, split, strerror(errno));
        file = NULL;
    }
    text_free(&event);
    text_free(&summary);
    return file ? RNET_DONE : RNET_FAILED;
}

int report_board(const char *log_path, const char *folder)
{
    struct board board = {.arena = arena_new(), .folder = folder};
    int status = log_each(log_path, see_line, &board);

    for (int i = 0; i < board.writers.count; i++) {
        const struct writer *writer = &board.writers.at[i];

        if (fclose(writer->file) && status == RNET_DONE)
            status = complain(RNET_FAILED, "%s: %s", writer->path, strerror(errno));
        else if (status == RNET_DONE)
            printf("%s\n", writer->path);
    }
    if (status == RNET_DONE && !board.writers.count)
        status = complain(RNET_DATA, "%s: there is no step and no report in it", log_path);
    arena_free(board.arena);
    return status;
}
