/* cache.c: compiled units on disk, one file each, named by the unit's key, in 64 folders by its first bits. A file is
   written under a name of its own and then renamed, so that whoever reads finds a whole one or none; a file that is not
   whole all the same is passed over with a note and written anew. Each folder holds so much; what has not been used for
   longest is removed first.

   rnet_cache_folder says where. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

enum { FOLDERS = 64, FOLDER_BYTES = 2 << 20, USED_AGAIN_SECONDS = 3600 };
static const char magic[8] = "rnetobj";

struct cache {
    const char *path;
};
struct head {
    char magic[8];
    uint64_t check; /* of all that follows, with the key */
    int64_t scratch, kept, count, bytes;
};

struct cache *cache_open(struct arena *arena)
{
    struct cache *cache = NEW(arena, struct cache);
    char folder[4000];

    if (!rnet_cache_folder(folder, sizeof folder))
        return NULL;
    cache->path = arena_string(arena, folder);
    return cache;
}

static const char *folder_of(const struct cache *cache, struct arena *arena, const char *key)
{
    char digits[3] = {key[0], key[1], 0};

    return arena_printf(arena, "%s/%02lx", cache->path, strtoul(digits, NULL, 16) % FOLDERS);
}

static const char *file_of(const struct cache *cache, struct arena *arena, const char *key)
{
    return arena_printf(arena, "%s/%s.o", folder_of(cache, arena, key), key);
}

static uint64_t check_of(const void *file, size_t bytes, const char *key)
{
    size_t from = offsetof(struct head, scratch);

    return hash_bytes((const char *)file + from, bytes - from, hash_bytes(key, strlen(key), 0));
}

/* ---- reading ---- */

static bool whole(const char *data, size_t bytes, const char *key)
{
    const struct head *head = (const void *)data;

    return bytes >= sizeof *head && !memcmp(head->magic, magic, sizeof magic) &&
           head->check == check_of(data, bytes, key) && head->count >= 0 && head->count < 1000 &&
           bytes == sizeof *head + (size_t)head->count * sizeof(struct unit_function) + (size_t)head->bytes;
}

static char *contents(struct arena *arena, int file, size_t bytes)
{
    char *data = arena_alloc(arena, bytes + 1);
    size_t got = 0;

    while (got < bytes) {
        ssize_t more = read(file, data + got, bytes - got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    return got == bytes ? data : NULL;
}

bool cache_read(const struct cache *cache, struct arena *arena, struct unit *unit)
{
    const char *path = file_of(cache, arena, unit->key);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    char *data;

    if (file < 0)
        return false;
    if (fstat(file, &about) || !(data = contents(arena, file, (size_t)about.st_size)) ||
        !whole(data, (size_t)about.st_size, unit->key)) {
        fprintf(stderr, "rnetc: note: %s is damaged; it is compiled anew\n", path);
        close(file);
        unlink(path);
        return false;
    }
    if (time(NULL) - about.st_mtime > USED_AGAIN_SECONDS)
        futimens(file, NULL);
    close(file);
    const struct head *head = (const void *)data;
    unit->scratch = head->scratch;
    unit->kept = head->kept;
    unit->count = (int)head->count;
    unit->functions = (void *)(data + sizeof *head);
    unit->bytes = (size_t)head->bytes;
    unit->object = data + sizeof *head + (size_t)unit->count * sizeof *unit->functions;
    return true;
}

/* ---- writing ---- */

static bool make_folders(const char *path)
{
    char *copy = strdup(path);

    if (!copy)
        bug("codegen: out of memory");
    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(copy, 0700);
        *slash = '/';
    }
    bool made = !mkdir(copy, 0700) || errno == EEXIST;
    free(copy);
    return made;
}

static bool write_all(int file, const void *data, size_t bytes)
{
    const char *at = data;

    while (bytes) {
        ssize_t done = write(file, at, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        bytes -= (size_t)done;
    }
    return true;
}

/* What cannot be written is compiled again next time: no reason to stop. */
void cache_write(const struct cache *cache, const struct unit *unit)
{
    struct arena *arena = arena_new();

    size_t functions = (size_t)unit->count * sizeof *unit->functions, bytes;
    struct head head = {
        .scratch = unit->scratch, .kept = unit->kept, .count = unit->count, .bytes = (int64_t)unit->bytes};
    const char *folder = folder_of(cache, arena, unit->key), *path = file_of(cache, arena, unit->key);
    char *own = arena_printf(arena, "%s.XXXXXX", path), *data;
    int file;

    bytes = sizeof head + functions + unit->bytes;
    data = arena_alloc(arena, bytes);
    memcpy(head.magic, magic, sizeof magic);
    memcpy(data, &head, sizeof head);
    if (functions)
        memcpy(data + sizeof head, unit->functions, functions);
    memcpy(data + sizeof head + functions, unit->object, unit->bytes);
    head.check = check_of(data, bytes, unit->key);
    memcpy(data, &head, sizeof head);

    file = mkostemp(own, O_CLOEXEC);
    if (file < 0 && make_folders(folder)) {
        memcpy(own + strlen(own) - 6, "XXXXXX", 6);
        file = mkostemp(own, O_CLOEXEC);
    }
    if (file >= 0) {
        bool written = write_all(file, data, bytes);

        if (close(file) || !written || rename(own, path))
            unlink(own);
        else if (unit->key[strlen(unit->key) - 1] == '0') /* one time in sixteen: to look costs more than to write */
            cache_trim(folder, FOLDER_BYTES);
    }
    arena_free(arena);
}

/* ---- keeping within bounds ---- */

struct kept {
    const char *name;
    int64_t bytes;
    struct timespec used;
};

static int older_first(const void *left, const void *right)
{
    const struct kept *a = left, *b = right;

    if (a->used.tv_sec != b->used.tv_sec)
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    return (a->used.tv_nsec > b->used.tv_nsec) - (a->used.tv_nsec < b->used.tv_nsec);
}

void cache_trim(const char *folder, int64_t most)
{
    struct arena *arena = arena_new();
    LIST(struct kept) files = {0};
    DIR *open_folder = opendir(folder);
    struct dirent *entry;
    struct stat about;
    int64_t total = 0;

    while (open_folder && (entry = readdir(open_folder))) {
        const char *path = arena_printf(arena, "%s/%s", folder, entry->d_name);

        if (entry->d_name[0] == '.' || lstat(path, &about) || !S_ISREG(about.st_mode))
            continue;
        list_add(arena, files, (struct kept){path, about.st_size, about.st_mtim});
        total += about.st_size;
    }
    if (open_folder)
        closedir(open_folder);
    if (total > most) {
        qsort(files.at, (size_t)files.count, sizeof *files.at, older_first);
        for (int i = 0; i < files.count && total > most / 4 * 3; i++) {
            unlink(files.at[i].name);
            total -= files.at[i].bytes;
        }
    }
    arena_free(arena);
}
