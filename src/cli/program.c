/* program.c: what commands on a program share. */
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool program_wrong(const struct options *options, const struct diagnostics *d)
{
    struct text text = {0};

    diagnostics_print(d, &text, options->color);
    if (text.size)
        fputs(text.data, stderr);
    text_free(&text);
    return diagnostics_errors(d) > 0;
}

static struct unit *program_of(struct options *options, struct unit *unit, struct diagnostics **d)
{
    if (diagnostics_errors(*d) || !unit) {
        program_wrong(options, *d);
        return NULL;
    }
    unit_count_items(unit, data_source_items, data_source_new(options->arena, unit, store_new(options->arena)), true);
    return unit;
}

struct unit *program_read(struct options *options, struct diagnostics **d)
{
    *d = diagnostics_new(options->arena);
    return program_of(options, unit_read(options->arena, options->files.at[0], options->settings.at, options->settings.count, *d), d);
}

struct unit *program_read_again(struct options *options, const struct unit *unit, struct diagnostics **d)
{
    *d = diagnostics_new(options->arena);
    return program_of(options, unit_read_again(options->arena, unit, options->settings.at, options->settings.count, *d), d);
}

struct lower_options lower_options_of(const struct options *options)
{
    return (struct lower_options){.precision = options->precision, .seed = options->seed_given ? &options->seed : NULL,
                                  .watch = options->watch};
}

uint64_t checkpoint_seed(const struct store *store, uint64_t otherwise)
{
    const char *seed = store_noted(store, "rnet.seed");

    return seed ? strtoull(seed, NULL, 10) : otherwise;
}

const char *program_hash(struct arena *arena, const struct ir_program *p)
{
    struct text text = {0};
    const char *hash;

    ir_print(&text, p);
    hash = arena_printf(arena, "%016" PRIx64, hash_bytes(text.data, text.size, 0));
    text_free(&text);
    return hash;
}

double scalar_value(void *context, const char *name)
{
    const struct scalar_context *c = context;
    double value;

    if (!strcmp(name, "step"))
        return c->step;
    if (!strcmp(name, "steps"))
        return c->steps;
    if (!strcmp(name, "epoch"))
        return c->epoch;
    if (!strcmp(name, "progress"))
        return c->progress;
    if (unit_let(c->unit, name, &value))
        return value;
    bug("no value for the scalar %s", name);
}
