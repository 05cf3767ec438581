/* check.c: rnetc check. */
#include "cli.h"

#include <stdio.h>

/* guess: how many items a split has whose files are not there. */
static struct unit *check_guessing(struct options *options, int64_t guess, struct diagnostics *d)
{
    struct unit *unit = unit_read(options->arena, options->files.at[0], options->settings.at, options->settings.count, d);

    if (!unit)
        return NULL;
    unit_guess_items(unit, guess);
    unit_count_items(unit, data_source_items, data_source_new(options->arena, unit, store_new(options->arena)), false);
    check_unit(unit, d);
    return unit;
}

int run_check(struct options *options)
{
    struct diagnostics *d = diagnostics_new(options->arena);
    struct unit *unit = check_guessing(options, 0, d);

    /* What is wrong with few items and right with many depends on their number, which is not known. */
    if (unit && diagnostics_errors(d) && unit_uncounted(unit, d)) {
        struct diagnostics *many = diagnostics_new(options->arena);

        check_guessing(options, 1 << 20, many);
        diagnostics_keep_common(d, many);
    } else if (unit && !diagnostics_errors(d)) {
        unit_uncounted(unit, d);
    }
    if (program_wrong(options, d))
        return RNET_SOURCE;
    printf("%s: no errors\n", options->files.at[0]);
    return RNET_DONE;
}
