/* explain.c: rnetc explain. */
#include "cli.h"

#include <stdio.h>

int run_explain(struct options *options)
{
    double begin = rnet_seconds(), front_seconds;
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct compile_options compiling = {.fuse = !options->no_fuse, .dump = options->dump, .generate = !options->dump};
    struct training *training;
    struct compiled compiled;
    struct rnet_error error;
    struct text text = {0};

    if (!unit)
        return RNET_SOURCE;
    if (unit_trainings(unit) == 0)
        return complain(RNET_SOURCE, "%s: there is no train block", options->files.at[0]);
    for (int i = 0; i < unit_trainings(unit); i++) {
        training = lower_training(unit, i, lower_options_of(options), d);
        if (program_wrong(options, d) || !training)
            return RNET_SOURCE;
        front_seconds = rnet_seconds() - begin;
        for (int k = 0; k < training->phases.count; k++) {
            if (!compile(&compiled, training->phases.at[k].step, layout_new(options->arena), compiling, &error))
                return complain_error(&error);
            if (options->dump)
                continue;
            if (options->time)
                show_compile_times(k ? 0 : front_seconds, &compiled.timing);
            explain(&text, compiled.program, compiled.api->scratch(compiled.code), options->json);
            fputs(text.data, stdout);
            text_free(&text);
            compiled_release(&compiled);
        }
        begin = rnet_seconds();
    }
    return RNET_DONE;
}
