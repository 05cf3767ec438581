/* report_log.c: a run's log: lines of one flat JSON object, as numbers. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- lines ---- */

/* Behind the opening quote; leaves *at behind the closing one. NULL: there is none. */
static const char *read_string(struct arena *arena, const char **at)
{
    char *out = arena_string(arena, *at), *to = out;
    const char *from = *at;

    for (; *from && *from != '"'; from++) {
        if (*from == '\\' && from[1] == 'u' && strlen(from) > 5) {
            *to++ =
                (char)strtol(arena_slice(arena, from + 2, 4), NULL, 16); /* only control characters are written so */
            from += 5;
        } else {
            from += *from == '\\' && from[1];
            *to++ = *from;
        }
    }
    if (!*from)
        return NULL;
    *to = 0;
    *at = from + 1;
    return out;
}

static bool read_value(struct arena *arena, const char **at, struct log_field *field)
{
    char *end;

    field->string = **at == '"';
    if (field->string) {
        ++*at;
        field->text = read_string(arena, at);
        return field->text != NULL;
    }
    if (!strncmp(*at, "null", 4)) {
        field->text = "nan";
        *at += 4;
        return true;
    }
    strtod(*at, &end);
    if (end == *at || strchr("iInN", **at))
        return false;
    field->text = arena_slice(arena, *at, (size_t)(end - *at));
    *at = end;
    return true;
}

/* What stands behind null: KEY_nonfinite says which. */
static bool says_which(struct log_line *line, const struct log_field *field)
{
    struct log_field *last = line->fields.count ? &line->fields.at[line->fields.count - 1] : NULL;
    size_t size = last ? strlen(last->key) : 0;

    if (!last || strncmp(field->key, last->key, size) || strcmp(field->key + size, "_nonfinite"))
        return false;
    last->text = field->text;
    return true;
}

static bool read_line(struct arena *arena, const char *at, struct log_line *out)
{
    if (*at++ != '{')
        return false;
    while (*at != '}') {
        struct log_field field;

        if (out->fields.count && *at++ != ',')
            return false;
        at += strspn(at, " ");
        if (*at++ != '"' || !(field.key = read_string(arena, &at)) || *at++ != ':')
            return false;
        at += strspn(at, " ");
        if (!read_value(arena, &at, &field))
            return false;
        if (!says_which(out, &field))
            list_add(arena, out->fields, field);
    }
    return at[1] == '\n';
}

int log_each(const char *path, int (*see)(void *context, struct arena *scratch, const struct log_line *line),
             void *context)
{
    FILE *file = fopen(path, "r");
    int status = RNET_DONE, number = 0;
    char *text = NULL;
    size_t room = 0;
    ssize_t size;

    if (!file)
        return complain(RNET_DATA, "%s: %s", path, strerror(errno));
    while (status == RNET_DONE && (size = getline(&text, &room, file)) >= 0) {
        struct arena *scratch = arena_new();
        struct log_line line = {0};

        number++;
        if (size && text[size - 1] != '\n')
            ; /* a killed run was writing it */
        else if (strlen(text) != (size_t)size || !read_line(scratch, text, &line))
            status = complain(RNET_DATA,
                              "%s:%d: expected a JSON object of numbers and strings, as `rnetc train` writes them",
                              path, number);
        else
            status = see(context, scratch, &line);
        arena_free(scratch);
    }
    if (ferror(file))
        status = complain(RNET_DATA, "%s: %s", path, strerror(errno));
    free(text);
    fclose(file);
    return status;
}

static const struct log_field *field_of(const struct log_line *line, const char *key)
{
    for (int i = 0; i < line->fields.count; i++)
        if (!strcmp(line->fields.at[i].key, key))
            return &line->fields.at[i];
    return NULL;
}

const char *log_text(const struct log_line *line, const char *key)
{
    const struct log_field *field = field_of(line, key);

    return field ? field->text : NULL;
}

bool log_number(const struct log_line *line, const char *key, double *value)
{
    const char *text = log_text(line, key);

    if (text)
        *value = strtod(text, NULL);
    return text != NULL;
}

bool log_has_values(const struct log_line *line)
{
    const char *event = log_text(line, "event");

    return !event || !strcmp(event, "report") || (!strcmp(event, "watch") && !log_text(line, "rule"));
}

bool log_value(const struct log_field *field, const char **name, double *value)
{
    static const char *const places[] = {"step", "block", "epoch"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (!strcmp(field->key, places[i]))
            return false;
    if (field->string && strcmp(field->text, "inf") && strcmp(field->text, "-inf") && strcmp(field->text, "nan"))
        return false;
    *name = strncmp(field->key, "report.", 7) ? field->key : field->key + 7;
    *value = strtod(field->text, NULL);
    return !field->string;
}

/* ---- a run ---- */

static struct run_block *block_of(struct run_log *log, int number)
{
    struct run_block *block;

    for (int i = 0; i < log->blocks.count; i++)
        if (log->blocks.at[i]->number == number)
            return log->blocks.at[i];
    block = NEW(log->arena, struct run_block);
    block->number = number;
    block->model = "";
    list_add(log->arena, log->blocks, block);
    return block;
}

static bool same(const char *a, const char *b)
{
    return !a == !b && (!a || !strcmp(a, b));
}

static struct run_series *series_of(struct arena *arena, struct run_block *block, bool watched, const char *phase,
                                    const char *split, const char *name)
{
    struct run_series *s;

    for (int i = 0; i < block->series.count; i++) {
        s = block->series.at[i];
        if (s->watched == watched && same(s->phase, phase) && same(s->split, split) && !strcmp(s->name, name))
            return s;
    }
    s = NEW(arena, struct run_series);
    s->watched = watched;
    s->phase = phase ? arena_string(arena, phase) : NULL;
    s->split = split ? arena_string(arena, split) : NULL;
    s->name = arena_string(arena, name);
    list_add(arena, block->series, s);
    return s;
}

static struct log_line copy_line(struct arena *arena, const struct log_line *line)
{
    struct log_line copy = {0};

    for (int i = 0; i < line->fields.count; i++)
        list_add(arena, copy.fields,
                 (struct log_field){arena_string(arena, line->fields.at[i].key),
                                    arena_string(arena, line->fields.at[i].text), line->fields.at[i].string});
    return copy;
}

static void see_header(struct arena *arena, struct run_block *block, const struct log_line *line)
{
    double items = 0, batch = 0, step = 0;

    block->header = copy_line(arena, line);
    block->model = log_text(line, "model") ? arena_string(arena, log_text(line, "model")) : "";
    log_number(line, "items", &items);
    log_number(line, "batch", &batch);
    log_number(line, "step", &step);
    block->items = (int64_t)items;
    block->batch = (int64_t)batch;
    if (step > 0)
        block->resumed = (int64_t)step;
}

static int see_line(void *context, struct arena *scratch, const struct log_line *line)
{
    struct run_log *log = context;
    const char *event = log_text(line, "event"), *phase = log_text(line, "phase"), *split = NULL, *name;
    double number = 0, step = 0, value;
    struct run_block *block;

    (void)scratch;
    log_number(line, "block", &number);
    log_number(line, "step", &step);
    block = block_of(log, (int)number);
    if (event && (!strcmp(event, "start") || !strcmp(event, "resume"))) {
        see_header(log->arena, block, line);
        return RNET_DONE;
    }
    if (!log_has_values(line)) {
        list_add(log->arena, block->events, copy_line(log->arena, line));
        return RNET_DONE;
    }
    if (event && !strcmp(event, "report"))
        split = log_text(line, "split") ? log_text(line, "split") : "report";
    for (int i = 0; i < line->fields.count; i++)
        if (log_value(&line->fields.at[i], &name, &value)) {
            struct run_series *s = series_of(log->arena, block, event && !split, split ? NULL : phase, split, name);

            /* what a run says again of a step, after it was resumed at its end */
            if (s->step.count && s->step.at[s->step.count - 1] == step) {
                s->value.at[s->value.count - 1] = value;
                continue;
            }
            list_add(log->arena, s->step, step);
            list_add(log->arena, s->value, value);
        }
    return RNET_DONE;
}

int run_log_read(struct arena *arena, const char *path, struct run_log *out)
{
    int status;

    *out = (struct run_log){.arena = arena};
    status = log_each(path, see_line, out);
    if (status != RNET_DONE)
        return status;
    for (int i = 0; i < out->blocks.count; i++)
        if (!log_text(&out->blocks.at[i]->header, "file"))
            return complain(RNET_DATA, "%s: expected a line with event start for each part of the run", path);
    return out->blocks.count ? RNET_DONE : complain(RNET_DATA, "%s: there is no line in it", path);
}

/* ---- CSV ---- */

struct csv {
    struct arena *arena;
    LIST(const char *) columns;
    bool printing;
};

static int see_row(void *context, struct arena *scratch, const struct log_line *line)
{
    static const char *const places[] = {"block", "model", "step", "epoch", "phase", "split"};
    struct csv *csv = context;
    const char *event = log_text(line, "event"), *name;
    double value;

    if (!log_has_values(line))
        return RNET_DONE;
    if (csv->printing)
        fputs(event ? event : "step", stdout);
    for (size_t i = 0; csv->printing && i < sizeof places / sizeof *places; i++) {
        putchar(',');
        print_csv_text(log_text(line, places[i]) ? log_text(line, places[i]) : "");
    }
    for (int i = 0; csv->printing && i < csv->columns.count; i++) {
        const char *key = csv->columns.at[i],
                   *text = log_text(line,
                                    event && !strcmp(event, "report") ? arena_printf(scratch, "report.%s", key) : key);

        putchar(',');
        print_csv_text(text ? text : "");
    }
    if (csv->printing)
        putchar('\n');
    for (int i = 0; !csv->printing && i < line->fields.count; i++) {
        bool known = !log_value(&line->fields.at[i], &name, &value);

        for (int k = 0; !known && k < csv->columns.count; k++)
            known = !strcmp(csv->columns.at[k], name);
        if (!known)
            list_add(csv->arena, csv->columns, arena_string(csv->arena, name));
    }
    return RNET_DONE;
}

int run_log_csv(const char *path)
{
    struct csv csv = {.arena = arena_new()};
    int status = log_each(path, see_row, &csv);

    csv.printing = true;
    if (status == RNET_DONE) {
        printf("event,block,model,step,epoch,phase,split");
        for (int i = 0; i < csv.columns.count; i++) {
            putchar(',');
            print_csv_text(csv.columns.at[i]);
        }
        putchar('\n');
        status = log_each(path, see_row, &csv);
    }
    arena_free(csv.arena);
    return status;
}
