/* fmt.c: rnetc fmt. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct source *read_standard_input(struct arena *arena)
{
    struct text text = {0};
    char bytes[4096];
    size_t count;
    const struct source *source;

    text_add(&text, "");
    while ((count = fread(bytes, 1, sizeof bytes, stdin)) > 0)
        text_add_slice(&text, bytes, count);
    source = source_of_text(arena, "<stdin>", arena_slice(arena, text.data, text.size));
    text_free(&text);
    return source;
}

/* The old text stays whole until the new one is on the disk. */
static int rewrite(const char *path, const struct text *text)
{
    struct text temporary = {0};
    struct stat old;
    int status = RNET_DONE;
    FILE *file;

    text_addf(&temporary, "%s.tmp", path);
    file = fopen(temporary.data, "w");
    if (!file) {
        status = complain(RNET_FAILED, "%s: %s", temporary.data, strerror(errno));
    } else {
        bool good = fwrite(text->data, 1, text->size, file) == text->size && !fflush(file) && !fsync(fileno(file));

        if (!stat(path, &old))
            fchmod(fileno(file), old.st_mode & 07777);
        good = !fclose(file) && good;
        if (!good || rename(temporary.data, path)) {
            status = complain(RNET_FAILED, "%s: %s", path, strerror(errno));
            unlink(temporary.data);
        }
    }
    text_free(&temporary);
    return status;
}

static int format_file(struct options *options, const char *path)
{
    struct diagnostics *d = diagnostics_new(options->arena);
    bool input = !strcmp(path, "-");
    const struct source *source = input ? read_standard_input(options->arena) : source_read(options->arena, path);
    struct node *file;
    struct text text = {0};
    int status = RNET_DONE;

    if (!source)
        return complain(RNET_SOURCE, "%s: %s", path, strerror(errno));
    file = parse(options->arena, source, d);
    if (program_wrong(options, d) || !file)
        return RNET_SOURCE;
    text_add(&text, "");
    format(&text, options->arena, source, file);
    if (options->compare) {
        if (text.size != (size_t)source->size || memcmp(text.data, source->text, text.size)) {
            puts(path);
            status = RNET_FAILED;
        }
    } else if (options->in_place && !input) {
        if (text.size != (size_t)source->size || memcmp(text.data, source->text, text.size))
            status = rewrite(path, &text);
    } else {
        fputs(text.data, stdout);
    }
    text_free(&text);
    return status;
}

int run_fmt(struct options *options)
{
    int worst = RNET_DONE;

    for (int i = 0; i < options->files.count; i++) {
        int status = format_file(options, options->files.at[i]);

        if (status > worst)
            worst = status;
    }
    return worst;
}
