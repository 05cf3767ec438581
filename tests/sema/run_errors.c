/* run_errors.c: NAME.rnet must give exactly the messages of NAME.expect. With --print they are printed instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sema.h"

static char *whole_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);

    if (!file) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    if (fread(text, 1, (1 << 20) - 1, file) == 0 && ferror(file)) exit(1);
    fclose(file);
    return text;
}

int main(int count, char **arguments)
{
    struct arena *arena = arena_new();
    struct diagnostics *d = diagnostics_new(arena);
    struct text found = {0};
    struct unit *unit;
    char expect[200], *wanted, *slash;
    const char *name = arguments[1];
    bool same;

    if (count < 2) return 2;
    slash = strrchr(arguments[1], '/');
    if (slash) {
        *slash = 0;
        if (chdir(arguments[1])) return 2;
        name = slash + 1;
    }
    unit = unit_read(arena, name, NULL, 0, d);
    if (unit) check_unit(unit, d);
    diagnostics_print(d, &found, false);
    if (count > 2) {
        fputs(found.data ? found.data : "", stdout);
        text_free(&found);
        arena_free(arena);
        return 0;
    }
    snprintf(expect, sizeof expect, "%.*s.expect", (int)(strlen(name) - strlen(".rnet")), name);
    wanted = whole_file(expect);
    same = !strcmp(wanted, found.data ? found.data : "");
    if (!same) fprintf(stderr, "%s: expected\n%s\nfound\n%s", name, wanted, found.data ? found.data : "nothing");
    free(wanted);
    text_free(&found);
    arena_free(arena);
    return same ? 0 : 1;
}
