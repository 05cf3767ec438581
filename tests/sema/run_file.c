/* run_file.c: NAME.rnet must give exactly the text of NAME.expect: its messages if it is wrong, else the programs of
   its train blocks, and of its models in evaluation if it has none. With --print the text is printed instead. */
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
    if (fread(text, 1, (1 << 20) - 1, file) == 0 && ferror(file))
        exit(1);
    fclose(file);
    return text;
}

static void programs(struct unit *unit, struct diagnostics *d, struct text *out)
{
    struct lower_options options = {.precision = -1, .batch = 0};

    for (int i = 0; i < unit_trainings(unit); i++) {
        struct training *t = lower_training(unit, i, options, d);
        const struct ir_program *all[4] = {0};

        if (!t)
            return;
        all[0] = t->step, all[1] = t->initial;
        if (t->report)
            all[2] = t->report->chunk, all[3] = t->report->result;
        for (int k = 0; k < 4; k++) {
            if (!all[k])
                continue;
            if (ir_verify(all[k]))
                text_addf(out, "wrong: %s\n", ir_verify(all[k]));
            ir_print(out, all[k]);
            text_add(out, "\n");
        }
    }
    if (!unit_trainings(unit)) {
        struct prediction *p = lower_prediction(unit, "m", options, d);

        if (!p)
            return;
        if (ir_verify(p->program))
            text_addf(out, "wrong: %s\n", ir_verify(p->program));
        ir_print(out, p->program);
    }
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

    if (count < 2)
        return 2;
    slash = strrchr(arguments[1], '/');
    if (slash) {
        *slash = 0;
        if (chdir(arguments[1]))
            return 2;
        name = slash + 1;
    }
    unit = unit_read(arena, name, NULL, 0, d);
    if (unit)
        check_unit(unit, d);
    if (unit && !diagnostics_errors(d))
        programs(unit, d, &found);
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
    if (!same)
        fprintf(stderr, "%s: expected\n%s\nfound\n%s", name, wanted, found.data ? found.data : "nothing");
    free(wanted);
    text_free(&found);
    arena_free(arena);
    return same ? 0 : 1;
}
