/* probe.c: rnetc probe: what one step of training does to a net, and what is wrong with it. */
#include "probe.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

/* What was asked for, as equations. NULL, or what cannot be done. */
static const char *instruments(struct probe *probe)
{
    const struct options *options = probe->options;
    const char *impossible = probe_graph(probe);

    if (!impossible && options->jacobian)
        impossible = jacobian_graph(probe);
    if (!impossible && options->shift)
        shift_graph(probe);
    if (!impossible && options->landscape)
        impossible = landscape_graph(probe);
    if (!impossible && options->curvature)
        impossible = curvature_graph(probe);
    if (!impossible && options->fisher)
        impossible = fisher_graph(probe);
    return impossible;
}

static int probe_phase(struct options *options, struct unit *unit, const struct training *training, int block, int turn, int number,
                       struct text *page, bool *wrong)
{
    struct probe probe = {.options = options, .arena = options->arena, .unit = unit, .training = training, .block = block, .turn = turn};
    fault_list faults = {0};
    const char *impossible;
    int status;

    probe.phase = (struct phase *)&training->phases.at[turn];
    probe.batches = options->batches ? options->batches : 1;
    impossible = instruments(&probe);
    if (impossible)
        return complain(RNET_FAILED, "%s: %s", training->model, impossible);
    status = probe_measure(&probe);
    if (status != RNET_DONE)
        return status;
    probe_judge(&probe, &faults);
    *wrong |= faults.count > 0;
    if (options->report)
        probe_page(page, &probe, &faults);
    if (options->json) {
        printf("%s", number ? ",\n" : "[");
        print_probe_json(&probe, &faults);
    } else if (options->csv) {
        print_probe_csv(&probe, number == 0);
    } else {
        if (number)
            printf("\n");
        print_probe(&probe, &faults);
    }
    return RNET_DONE;
}

/* A program that is in error with the batch it says, and none with two: then the batch is what is wrong. */
static void judge_batch(struct options *options, struct unit *unit, int number, const struct diagnostics *d)
{
    struct lower_options lowering = lower_options_of(options);
    struct diagnostics *with_two = diagnostics_new(options->arena);
    const struct training *training;
    struct probe probe = {.options = options, .arena = options->arena, .unit = unit};

    lowering.batch = 2;
    if (options->json || options->csv || !diagnostics_errors(d) || !(training = lower_training(unit, number, lowering, with_two)) || diagnostics_errors(with_two))
        return;
    probe.training = training;
    for (int i = 0; i < training->phases.count; i++) {
        probe.phase = &training->phases.at[i];
        probe.pooled.count = 0;
        if (probe_graph(&probe))
            continue;
        for (int k = 0; k < probe.pooled.count; k++) {
            const struct pooled *pooled = &probe.pooled.at[k];

            if (pooled->elements > lowering.batch)
                continue; /* a sample has several */
            printf("wrong    %s:%d: %s: %s pools the batch, and there are no numbers with a batch of 1 sample, which is its own mean; with 2 there "
                   "are\n",
                   pooled->file ? pooled->file : options->files.at[0], pooled->line, training->model, pooled->name);
            return;
        }
    }
}

/* The train block that was under way; -1: the file does not say, as there is one alone. */
static int block_of_checkpoint(struct options *options, int *block)
{
    struct store *store = store_new(options->arena);
    struct rnet_error error;
    const char *note;

    if (!store_read(store, options->checkpoint, &error))
        return complain_error(&error);
    note = store_noted(store, "rnet.train_block");
    *block = note ? (int)strtol(note, NULL, 10) : -1;
    return RNET_DONE;
}

int run_probe(struct options *options)
{
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct lower_options lowering = lower_options_of(options);
    int status = RNET_DONE, number = 0, only = -1;
    struct text page = {0};
    bool wrong = false;

    if (!unit)
        return RNET_SOURCE;
    if (unit_trainings(unit) == 0)
        return complain(RNET_SOURCE, "%s: there is no train block, so there is no step to look at", options->files.at[0]);
    lowering.batch = options->batch;
    if ((options->smoothness || options->invariances || options->noise || options->shift || options->bound || options->curvature || options->fisher) &&
        lowering.precision < 0)
        lowering.precision = IR_DOUBLE; /* differences of small changes */
    if (options->checkpoint && (status = block_of_checkpoint(options, &only)) != RNET_DONE)
        return status;
    if (options->report) {
        page_begin(&page, arena_printf(options->arena, "probe of %s", file_stem(options->arena, options->files.at[0])));
        page_heading(&page, 1, arena_printf(options->arena, "Probe of %s", options->files.at[0]));
    }
    for (int i = 0; i < unit_trainings(unit) && status == RNET_DONE; i++) {
        const struct training *training;

        if (only >= 0 && i != only)
            continue;
        training = lower_training(unit, i, lowering, d);

        if (!training)
            judge_batch(options, unit, i, d);
        if (program_wrong(options, d) || !training)
            return RNET_SOURCE;
        for (int k = 0; k < training->phases.count && status == RNET_DONE; k++)
            status = probe_phase(options, unit, training, i, k, number++, &page, &wrong);
    }
    if (options->json && number)
        puts("]");
    if (options->report && status == RNET_DONE) {
        const struct source *source = source_read(options->arena, options->files.at[0]);

        page_heading(&page, 2, "Program");
        page_source(&page, source ? source->text : "");
        page_end(&page);
        status = page_write(options->report, &page);
    }
    text_free(&page);
    return status == RNET_DONE && wrong ? RNET_FAILED : status;
}
