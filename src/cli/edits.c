/* edits.c: a program's text with parts of it replaced. */
#include "edits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool holds_string(const struct node *node)
{
    bool found = false;

    if (!node)
        return false;
    found = node->kind == NODE_STRING || holds_string(node->a) || holds_string(node->b) || holds_string(node->c);
    for (int i = 0; i < node->list.count && !found; i++)
        found = holds_string(node->list.at[i]);
    for (int i = 0; i < node->more.count && !found; i++)
        found = holds_string(node->more.at[i]);
    return found;
}

const char *edits_folder(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/');
    char absolute[PATH_MAX];

    if (!realpath(slash ? arena_slice(arena, path, (size_t)(slash - path) + 1) : ".", absolute)) {
        complain(0, "%s: %s", path, strerror(errno));
        return NULL;
    }
    return arena_string(arena, absolute);
}

void edits_of_paths(struct arena *arena, const struct node *file, const char *folder, edit_list *out)
{
    for (int i = 0; i < file->list.count; i++) {
        const struct node *item = file->list.at[i];

        if (item->kind == NODE_USE && item->flag && item->name[0] != '/')
            list_add(arena, *out, (struct edit){item->span.begin, item->span.end, arena_printf(arena, "use \"%s/%s\"", folder, item->name)});
        if (item->kind != NODE_DATA || item->flag)
            continue;
        if (item->b && item->b->text[0] != '/')
            list_add(arena, *out,
                     (struct edit){item->b->span.begin, item->b->span.end, arena_printf(arena, "\"%s/%s\"", folder, item->b->text)});
        else if (!item->b && holds_string(item->a))
            list_add(arena, *out, (struct edit){item->name_span.end, item->name_span.end, arena_printf(arena, " in \"%s\"", folder)});
    }
}

static int by_place(const void *a, const void *b)
{
    return ((const struct edit *)a)->begin - ((const struct edit *)b)->begin;
}

void edits_apply(struct text *out, const struct source *source, int begin, int end, const edit_list *edits)
{
    struct arena *scratch = arena_new();
    edit_list inside = {0};

    for (int i = 0; i < edits->count; i++)
        if (edits->at[i].begin >= begin && edits->at[i].end <= end)
            list_add(scratch, inside, edits->at[i]);
    if (inside.count)
        qsort(inside.at, (size_t)inside.count, sizeof *inside.at, by_place);
    for (int i = 0; i < inside.count; i++) {
        text_add_slice(out, source->text + begin, (size_t)(inside.at[i].begin - begin));
        text_add(out, inside.at[i].text);
        begin = inside.at[i].end;
    }
    text_add_slice(out, source->text + begin, (size_t)(end - begin));
    arena_free(scratch);
}

int edits_write(const char *path, const struct text *text)
{
    FILE *file = fopen(path, "w");
    bool fine = file && fwrite(text->data, 1, text->size, file) == text->size;

    fine = file && fclose(file) == 0 && fine;
    return fine ? RNET_DONE : complain(RNET_FAILED, "%s: %s", path, strerror(errno));
}
