/* folder.c: where a run leaves its files. */
#include "train.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *file_hash(struct arena *arena, const char *path)
{
    const struct source *source = source_read(arena, path);

    return source ? arena_printf(arena, "%016" PRIx64, hash_bytes(source->text, (size_t)source->size, 0)) : "";
}

static bool holds_run(struct arena *arena, const char *folder)
{
    return !access(arena_printf(arena, "%s/checkpoint.safetensors", folder), F_OK) ||
           !access(arena_printf(arena, "%s/log.jsonl", folder), F_OK);
}

const char *file_stem(struct arena *arena, const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *point = strrchr(name, '.');

    return arena_slice(arena, name, point && point > name ? (size_t)(point - name) : strlen(name));
}

/* `runs` and what is in it; a folder that is there is fine. */
static int make_folders(struct arena *arena, const char *path)
{
    for (const char *slash = path; (slash = strchr(slash + 1, '/'));)
        mkdir(arena_slice(arena, path, (size_t)(slash - path)), 0777);
    if (mkdir(path, 0777) && errno != EEXIST)
        return complain(RNET_FAILED, "%s: %s", path, strerror(errno));
    if (access(path, W_OK | X_OK))
        return complain(RNET_FAILED, "%s: %s", path, strerror(errno));
    return RNET_DONE;
}

int choose_folder(struct trainer *t)
{
    struct arena *arena = t->options->arena;
    const char *name = file_stem(arena, t->options->files.at[0]);

    t->folder = t->options->out;
    if (!t->folder) {
        const char *last = NULL, *next = arena_printf(arena, "runs/%s", name);

        for (int i = 2; holds_run(arena, next); i++) {
            last = next;
            next = arena_printf(arena, "runs/%s-%d", name, i);
        }
        if (t->options->resume && !last)
            return complain(RNET_USAGE, "--resume: there is no run in %s; --out says where it is", next);
        t->folder = t->options->resume ? last : next;
    } else if (!t->options->resume && holds_run(arena, t->folder)) {
        return complain(RNET_USAGE, "%s holds a run already; --resume goes on with it, another --out keeps it", t->folder);
    }
    t->checkpoint_path = arena_printf(arena, "%s/checkpoint.safetensors", t->folder);
    if (t->options->resume && access(t->checkpoint_path, R_OK))
        return complain(RNET_DATA, "%s: %s", t->checkpoint_path, strerror(errno));
    return make_folders(arena, t->folder);
}
