/* check.c: rnetc check. */
#include "cli.h"

#include <stdio.h>

int run_check(struct options *options)
{
    struct diagnostics *d = diagnostics_new(options->arena);
    struct unit *unit = unit_read(options->arena, options->files.at[0], options->settings.at, options->settings.count, d);

    if (unit) {
        unit_count_items(unit, data_source_items, data_source_new(options->arena, unit, store_new(options->arena)), false);
        check_unit(unit, d);
    }
    if (program_wrong(options, d))
        return RNET_SOURCE;
    printf("%s: no errors\n", options->files.at[0]);
    return RNET_DONE;
}
