/* doc.c: rnetc doc: what the `##` lines say of each definition, beside its header. Lines of a doc comment that are set
   in by four spaces more are an example, a program but for `use std`. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct entry {
    const struct source *source;
    const struct node *item;
    const char *section; /* text between the dashes of a `# ---- ... ----` line that begins here, or NULL */
};
struct reference {
    struct arena *arena;
    LIST(struct entry) entries;
};

static int line_begin(const struct source *source, int byte)
{
    while (byte > 0 && source->text[byte - 1] != '\n')
        byte--;
    return byte;
}

static int line_size(const struct source *source, int begin)
{
    return (int)strcspn(source->text + begin, "\n");
}

static bool is_documented(const struct node *item)
{
    return item->kind == NODE_FN || item->kind == NODE_LAYER || item->kind == NODE_MODEL || item->kind == NODE_RULE;
}

/* The heading of the last line `# ---- heading ----` between the bytes. */
static const char *section_between(struct arena *arena, const struct source *source, int begin, int end)
{
    static const char dashes[] = "# ---- ";
    const char *found = NULL;

    for (int at = begin; at < end; at += line_size(source, at) + 1) {
        const char *line = source->text + at, *stop;
        int size = line_size(source, at);

        if (at + size > end || strncmp(line, dashes, sizeof dashes - 1))
            continue;
        line += sizeof dashes - 1;
        stop = strstr(line, " --");
        if (stop && stop < source->text + at + size)
            found = arena_slice(arena, line, (size_t)(stop - line));
    }
    return found;
}

static bool reference_add(struct reference *reference, const struct options *options, const struct source *source)
{
    struct diagnostics *d = diagnostics_new(reference->arena);
    const struct node *file = parse(reference->arena, source, d);
    int end = 0;

    if (program_wrong(options, d) || !file)
        return false;
    for (int i = 0; i < file->list.count; i++) {
        const struct node *item = file->list.at[i];

        if (is_documented(item))
            list_add(reference->arena, reference->entries,
                     (struct entry){source, item, section_between(reference->arena, source, end, item->span.begin)});
        end = item->span.end;
    }
    return true;
}

/* Bytes of text, each line after the first as it stands in the source, every line set in. */
static void print_lines(const char *text, int size, int indent)
{
    while (size > 0) {
        int length = (int)strcspn(text, "\n");

        if (length > size)
            length = size;
        printf("%*s%.*s\n", length ? indent : 0, "", length, text);
        text += length + 1;
        size -= length + 1;
    }
}

/* The header; of a function that is one line, all of it. */
static void print_signature(const struct entry *entry, int indent)
{
    const struct node *item = entry->item;
    const char *text = entry->source->text + item->span.begin;
    int size = item->span.end - item->span.begin;

    if (item->a && (item->kind != NODE_FN || memchr(text, '\n', (size_t)size))) {
        size = item->a->span.begin - item->span.begin;
        while (size && strchr(" \n{=", text[size - 1]))
            size--;
    }
    print_lines(text, size, indent);
}

/* The lines of the doc comment, which ends where the item begins. */
static void print_comment(const struct entry *entry, int indent)
{
    const struct source *source = entry->source;
    int end = line_begin(source, entry->item->span.begin), begin = end;

    while (begin > 0 && !strncmp(source->text + line_begin(source, begin - 1), "##", 2))
        begin = line_begin(source, begin - 1);
    for (int at = begin; at < end; at += line_size(source, at) + 1) {
        int size = line_size(source, at), skip = source->text[at + 2] == ' ' ? 3 : 2;

        print_lines(source->text + at + skip, size - skip, indent);
        if (size == skip)
            puts("");
    }
}

/* What the file says of itself: the comment at its top. */
static void print_file(const struct source *source)
{
    printf("%s\n", source->path);
    for (int at = 0; source->text[at] == '#' && strncmp(source->text + at, "##", 2); at += line_size(source, at) + 1) {
        int skip = source->text[at + 1] == ' ' ? 2 : 1;

        print_lines(source->text + at + skip, line_size(source, at) - skip, 0);
    }
    puts("");
}

static void print_all(const struct reference *reference)
{
    for (int i = 0; i < reference->entries.count; i++) {
        const struct entry *entry = &reference->entries.at[i];

        if (!i || entry->source != entry[-1].source)
            print_file(entry->source);
        if (entry->section)
            printf("  -- %s --\n\n", entry->section);
        print_signature(entry, 2);
        print_comment(entry, 6);
        puts("");
    }
}

/* One entry whole: its comment, where it stands, and how it is written. */
static void print_one(const struct entry *entry)
{
    const struct node *item = entry->item;
    int line, column;

    source_position(entry->source, item->span.begin, &line, &column);
    printf("%s:%d\n\n", entry->source->path, line);
    print_comment(entry, 2);
    puts("");
    print_lines(entry->source->text + item->span.begin, item->span.end - item->span.begin, 2);
}

static int print_named(const struct reference *reference, const char *name)
{
    LIST(const char *) names = {0};
    const char *near;
    bool found = false;

    for (int i = 0; i < reference->entries.count; i++) {
        const struct entry *entry = &reference->entries.at[i];

        list_add(reference->arena, names, entry->item->name);
        if (strcmp(entry->item->name, name))
            continue;
        print_one(entry);
        found = true;
    }
    if (found)
        return RNET_DONE;
    near = nearest_name(name, names.at, names.count);
    if (near)
        return complain(RNET_USAGE, "the standard library has no `%s`; did you mean `%s`?", name, near);
    return complain(RNET_USAGE, "the standard library has no `%s`. `rnetc doc` prints all that it has", name);
}

static bool is_path(const char *name)
{
    return strchr(name, '/') || strchr(name, '.');
}

int run_doc(struct options *options)
{
    struct reference reference = {.arena = options->arena};
    const char *name = options->files.count ? options->files.at[0] : NULL;

    if (name && is_path(name)) {
        const struct source *source = source_read(options->arena, name);

        if (!source)
            return complain(RNET_SOURCE, "%s: %s", name, strerror(errno));
        if (!reference_add(&reference, options, source))
            return RNET_SOURCE;
    } else {
        for (const struct embedded *e = standard_library; e->path; e++)
            if (!reference_add(&reference, options, source_of_text(options->arena, e->path, e->text)))
                return RNET_SOURCE;
    }
    if (name && !is_path(name))
        return print_named(&reference, name);
    if (!reference.entries.count)
        return complain(RNET_FAILED, "%s: it defines no function, layer, model or rule", name);
    print_all(&reference);
    return RNET_DONE;
}
