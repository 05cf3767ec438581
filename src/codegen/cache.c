/* cache.c: compiled units on disk. Those that were compiled together are one file, which has each unit's key for a name, in
   64 folders by its first bits (where files cannot have several names: a copy each). A file is written under a name of its
   own and then gets the others, so that whoever reads finds a whole one or none; a file that is not whole all the same is
   passed over with a note and written anew. Each folder holds so much; what has not been used for longest is removed first.

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

enum { FOLDERS = 64, FOLDER_BYTES = 2 << 20, USED_AGAIN_SECONDS = 3600, KEY_BYTES = 32, MOST_UNITS = 1000 };
static const char magic[8] = "rnetobj";

struct cache {
    const char *path;
};
/* A file: the head, an entry for each unit, their functions in the same order, the object. */
struct head {
    char magic[8];
    uint64_t check; /* of all that follows */
    int64_t units, functions, bytes;
};
struct entry {
    char key[KEY_BYTES];
    int64_t scratch, kept, functions;
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

static uint64_t check_of(const void *file, size_t bytes)
{
    size_t from = offsetof(struct head, units);

    return hash_bytes((const char *)file + from, bytes - from, 0);
}

/* ---- reading ---- */

static bool whole(const char *data, size_t bytes)
{
    const struct head *head = (const void *)data;

    return bytes >= sizeof *head && !memcmp(head->magic, magic, sizeof magic) && head->check == check_of(data, bytes) &&
           head->units > 0 && head->units <= MOST_UNITS &&
           bytes == sizeof *head + (size_t)head->units * sizeof(struct entry) +
                        (size_t)head->functions * sizeof(struct unit_function) + (size_t)head->bytes;
}

/* What a file says of its units; false: that of the key is not among them. */
static bool units_of(struct arena *arena, char *data, const char *key, unit_list *units)
{
    const struct head *head = (const void *)data;
    const struct entry *entries = (const void *)(head + 1);
    struct unit_function *functions = (void *)(data + sizeof *head + (size_t)head->units * sizeof *entries);
    const char *object = (const char *)(functions + head->functions);
    bool found = false;

    for (int64_t i = 0; i < head->units; i++) {
        struct unit *unit = NEW(arena, struct unit);

        *unit = (struct unit){.key = arena_slice(arena, entries[i].key, KEY_BYTES), .object = object, .bytes = (size_t)head->bytes,
                              .count = (int)entries[i].functions, .functions = functions, .scratch = entries[i].scratch,
                              .kept = entries[i].kept};
        functions += entries[i].functions;
        found |= !strcmp(unit->key, key);
        list_add(arena, *units, unit);
    }
    return found && (const char *)functions == object;
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

bool cache_read(const struct cache *cache, struct arena *arena, const char *key, unit_list *units)
{
    const char *path = file_of(cache, arena, key);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat about;
    char *data;

    if (file < 0)
        return false;
    if (fstat(file, &about) || !(data = contents(arena, file, (size_t)about.st_size)) ||
        !whole(data, (size_t)about.st_size) || !units_of(arena, data, key, units)) {
        fprintf(stderr, "rnetc: note: %s is damaged; it is compiled anew\n", path);
        close(file);
        unlink(path);
        units->count = 0;
        return false;
    }
    if (time(NULL) - about.st_mtime > USED_AGAIN_SECONDS)
        futimens(file, NULL);
    close(file);
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

static char *image_of(struct arena *arena, struct unit *const *units, int count, size_t *bytes)
{
    struct head head = {.units = count, .bytes = (int64_t)units[0]->bytes};
    struct entry *entries;
    struct unit_function *functions;
    char *data;

    for (int i = 0; i < count; i++)
        head.functions += units[i]->count;
    *bytes = sizeof head + (size_t)count * sizeof *entries + (size_t)head.functions * sizeof *functions + units[0]->bytes;
    data = arena_alloc(arena, *bytes);
    entries = (void *)(data + sizeof head);
    functions = (void *)(entries + count);
    for (int i = 0; i < count; i++) {
        entries[i] = (struct entry){.scratch = units[i]->scratch, .kept = units[i]->kept, .functions = units[i]->count};
        memcpy(entries[i].key, units[i]->key, KEY_BYTES);
        if (units[i]->count)
            memcpy(functions, units[i]->functions, (size_t)units[i]->count * sizeof *functions);
        functions += units[i]->count;
    }
    memcpy(functions, units[0]->object, units[0]->bytes);
    memcpy(head.magic, magic, sizeof magic);
    memcpy(data, &head, sizeof head);
    head.check = check_of(data, *bytes);
    memcpy(data, &head, sizeof head);
    return data;
}

/* A file of its own in the folder: its name, or NULL. */
static char *write_own(struct arena *arena, const char *folder, const char *path, const char *data, size_t bytes)
{
    char *own = arena_printf(arena, "%s.XXXXXX", path);
    int file = mkostemp(own, O_CLOEXEC);

    if (file < 0 && make_folders(folder)) {
        memcpy(own + strlen(own) - 6, "XXXXXX", 6);
        file = mkostemp(own, O_CLOEXEC);
    }
    if (file < 0)
        return NULL;
    bool written = write_all(file, data, bytes);
    if (!close(file) && written)
        return own;
    unlink(own);
    return NULL;
}

static bool link_to(const char *from, const char *folder, const char *path)
{
    return !link(from, path) || errno == EEXIST || (errno == ENOENT && make_folders(folder) && !link(from, path));
}

/* What cannot be written is compiled again next time: no reason to stop. */
void cache_write(const struct cache *cache, struct unit *const *units, int count)
{
    struct arena *arena = arena_new();
    size_t bytes;
    char *data = image_of(arena, units, count, &bytes);
    const char *folder = folder_of(cache, arena, units[0]->key), *path = file_of(cache, arena, units[0]->key);
    char *first = write_own(arena, folder, path, data, bytes);

    for (int i = 1; first && i < count; i++) {
        folder = folder_of(cache, arena, units[i]->key);
        const char *other = file_of(cache, arena, units[i]->key);
        if (link_to(first, folder, other))
            continue;
        char *copy = write_own(arena, folder, other, data, bytes);
        if (copy && rename(copy, other))
            unlink(copy);
    }
    if (first && rename(first, path))
        unlink(first);
    for (int i = 0; first && i < count; i++)
        if (units[i]->key[KEY_BYTES - 1] == '0') /* one time in sixteen: to look costs more than to write */
            cache_trim(folder_of(cache, arena, units[i]->key), FOLDER_BYTES);
    arena_free(arena);
}

/* ---- chosen ways ---- */

static const char *way_file(const struct cache *cache, struct arena *arena, const char *plain)
{
    return arena_printf(arena, "%s/%s.way", folder_of(cache, arena, plain), plain);
}

int cache_way(const struct cache *cache, const char *plain)
{
    struct arena *arena = arena_new();
    FILE *file = fopen(way_file(cache, arena, plain), "re");
    int way = 0;

    if (file && fscanf(file, "%d", &way) != 1)
        way = 0;
    if (file)
        fclose(file);
    arena_free(arena);
    return way >= 1 && way <= PRODUCT_WAYS ? way : 1;
}

bool cache_choose(const struct cache *cache, const char *plain, int way)
{
    struct arena *arena = arena_new();
    const char *path = way_file(cache, arena, plain), *own = arena_printf(arena, "%s.%d", path, (int)getpid());
    bool kept = way == 1 && (!unlink(path) || errno == ENOENT);

    if (!kept && make_folders(folder_of(cache, arena, plain))) {
        FILE *file = fopen(own, "we");
        bool written = file && fprintf(file, "%d\n", way) > 0;

        kept = file && !fclose(file) && written && !rename(own, path);
        if (!kept)
            unlink(own);
    }
    arena_free(arena);
    return kept;
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
        list_add(arena, files, (struct kept){path, about.st_size / (int64_t)about.st_nlink, about.st_mtim});
        total += files.at[files.count - 1].bytes;
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
