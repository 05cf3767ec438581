/* lab_keep.c: finished runs of experiments, a small file each, so that a laboratory that was interrupted goes on. The name is a hash of
   all that the numbers depend on; numbers are written so that they come back bit for bit. */
#include "lab.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint64_t hash_text(const char *text, uint64_t hash)
{
    return hash_bytes(text, strlen(text) + 1, hash);
}

const char *keep_path(struct lab *lab, const struct experiment *e, const int *chosen, uint64_t seed)
{
    const struct options *o = lab->options;
    uint64_t hash = hash_text(RNET_VERSION, unit_hash(lab->unit));
    int64_t numbers[3] = {(int64_t)seed, o->precision, o->steps};

    hash = hash_bytes(numbers, sizeof numbers, hash);
    for (int i = 0; i < o->settings.count; i++)
        hash = hash_text(o->settings.at[i].value, hash_text(o->settings.at[i].name, hash));
    hash = hash_text(arm_text(lab->arena, e, chosen, " "), hash);
    hash = hash_text(e->train ? e->train : "", hash);
    for (int i = 0; i < e->records.count; i++) {
        struct text text = {0};

        print_node(&text, e->records.at[i].value);
        hash = hash_text(text.data, hash_text(e->records.at[i].name, hash));
        text_free(&text);
    }
    return arena_printf(lab->arena, "%s/%s/%s-%016" PRIx64, o->out ? o->out : "runs/lab", lab->name, e->name, hash);
}

bool keep_read(struct lab *lab, const char *path, const struct experiment *e, double *values)
{
    char line[1000];
    FILE *file = lab->options->fresh ? NULL : fopen(path, "r");
    int found = 0;
    bool whole = false;

    if (!file)
        return false;
    while (fgets(line, sizeof line, file)) {
        char *space = strrchr(line, ' '), *end;

        if (!strcmp(line, "end\n"))
            whole = true;
        if (line[0] == '#' || !space || found == e->records.count)
            continue;
        *space = 0;
        if (strcmp(line, e->records.at[found].name))
            break;
        values[found++] = strtod(space + 1, &end);
        if (*end != '\n')
            break;
    }
    fclose(file);
    return whole && found == e->records.count;
}

static void make_folders(struct arena *arena, const char *path)
{
    for (const char *slash = path; (slash = strchr(slash + 1, '/'));)
        mkdir(arena_slice(arena, path, (size_t)(slash - path)), 0777);
}

int keep_write(struct lab *lab, const char *path, const struct experiment *e, const char *what, const double *values)
{
    const char *draft = arena_printf(lab->arena, "%s.%ld", path, (long)getpid());
    FILE *file;
    bool written;

    make_folders(lab->arena, path);
    file = fopen(draft, "w");
    if (!file)
        return complain(RNET_FAILED, "%s: %s", draft, strerror(errno));
    fprintf(file, "# %s %s\n", lab->path, what);
    for (int i = 0; i < e->records.count; i++)
        fprintf(file, "%s %a\n", e->records.at[i].name, values[i]);
    fputs("end\n", file);
    written = !ferror(file);
    if (fclose(file) || !written || rename(draft, path)) {
        unlink(draft);
        return complain(RNET_FAILED, "%s: %s", path, strerror(errno));
    }
    return RNET_DONE;
}
