/* folder.h: the files of a folder, for tests that are one file each. */
#ifndef RNET_TEST_FOLDER_H
#define RNET_TEST_FOLDER_H

#include "syntax.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

struct files {
    int count;
    char *path[256];
};

static inline int not_hidden(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);

    return size > 5 && !strcmp(entry->d_name + size - 5, ".rnet");
}

/* Every .rnet file of the folder, sorted by name. */
static inline struct files files_of(struct arena *arena, const char *folder)
{
    struct files files = {0};
    struct dirent **entries;
    int count = scandir(folder, &entries, not_hidden, alphasort);

    for (int i = 0; i < count; i++) {
        if (files.count < 256)
            files.path[files.count++] = arena_printf(arena, "%s/%s", folder, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return files;
}

#endif
