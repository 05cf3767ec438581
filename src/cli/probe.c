/* probe.c: rnetc probe: what one step of training does to a net, and what is wrong with it. */
#include "probe.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>

static void refuse(struct probe *probe, const char *why)
{
    if (why)
        list_add(probe->arena, probe->refused, why);
}

/* What was asked for, as equations. NULL, or what cannot be done at all; what cannot be done here alone is kept. */
static const char *instruments(struct probe *probe)
{
    const struct options *options = probe->options;
    const char *impossible = probe_graph(probe);

    if (impossible)
        return impossible;
    if (options->jacobian)
        refuse(probe, jacobian_graph(probe));
    if (options->shift)
        shift_graph(probe);
    if (options->landscape)
        refuse(probe, landscape_graph(probe));
    if (options->curvature)
        refuse(probe, curvature_graph(probe));
    if (options->fisher)
        refuse(probe, fisher_graph(probe));
    return NULL;
}

/* Of all phases that are probed. */
struct probing {
    struct options *options;
    struct unit *unit;
    struct text page;
    int number;      /* of phases so far */
    int phases;      /* that there are */
    int given;       /* that gave all that was asked for */
    bool wrong;
};

static int probe_phase(struct probing *all, const struct training *training, int block, int turn)
{
    struct options *options = all->options;
    struct probe probe = {.options = options, .arena = options->arena, .unit = all->unit, .training = training, .block = block, .turn = turn};
    fault_list faults = {0};
    const char *impossible;
    int status;

    probe.phase = (struct phase *)&training->phases.at[turn];
    probe.batches = options->batches ? options->batches : 1;
    impossible = instruments(&probe);
    if (!impossible && probe.refused.count && all->phases == 1)
        impossible = probe.refused.at[0];
    if (impossible)
        return complain(RNET_FAILED, "%s: %s", training->model, impossible);
    all->given += probe.refused.count == 0;
    for (int i = 0; i < probe.refused.count; i++)
        complain(0, "%s: %s", training->model, probe.refused.at[i]);
    status = probe_measure(&probe);
    if (status != RNET_DONE)
        return status;
    probe_judge(&probe, &faults);
    all->wrong |= faults.count > 0;
    if (options->report)
        probe_page(&all->page, &probe, &faults);
    if (options->json) {
        printf("%s", all->number ? ",\n" : "[");
        print_probe_json(&probe, &faults);
    } else if (options->csv) {
        print_probe_csv(&probe, all->number == 0);
    } else {
        if (all->number)
            printf("\n");
        print_probe(&probe, &faults);
    }
    all->number++;
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

static int write_page(struct probing *all)
{
    struct options *options = all->options;
    const struct source *source = source_read(options->arena, options->files.at[0]);
    const char *title = arena_printf(options->arena, "Probe of %s", options->files.at[0]);
    struct text page = {0};
    int status;

    page_begin(&page, title);
    page_heading(&page, 1, title);
    text_add_slice(&page, all->page.data ? all->page.data : "", all->page.size);
    page_heading(&page, 2, "Program");
    page_source(&page, source ? source->text : "");
    page_end(&page);
    status = page_write(options->report, &page);
    text_free(&page);
    return status;
}

int run_probe(struct options *options)
{
    struct diagnostics *d;
    struct probing all = {.options = options, .unit = program_read(options, &d)};
    struct lower_options lowering = lower_options_of(options);
    const struct training **trainings;
    int status = RNET_DONE, only = -1, blocks;

    if (!all.unit)
        return RNET_SOURCE;
    blocks = unit_trainings(all.unit);
    if (blocks == 0)
        return complain(RNET_SOURCE, "%s: there is no train block, so there is no step to look at", options->files.at[0]);
    lowering.batch = options->batch;
    if ((options->smoothness || options->invariances || options->noise || options->shift || options->bound || options->curvature || options->fisher) &&
        lowering.precision < 0)
        lowering.precision = IR_DOUBLE; /* differences of small changes */
    if (options->checkpoint && (status = block_of_checkpoint(options, &only)) != RNET_DONE)
        return status;
    trainings = NEW_ARRAY(options->arena, const struct training *, blocks);
    for (int i = 0; i < blocks; i++) {
        if (only >= 0 && i != only)
            continue;
        trainings[i] = lower_training(all.unit, i, lowering, d);
        if (!trainings[i])
            judge_batch(options, all.unit, i, d);
        if (program_wrong(options, d) || !trainings[i])
            return RNET_SOURCE;
        all.phases += trainings[i]->phases.count;
    }
    for (int i = 0; i < blocks; i++)
        for (int k = 0; trainings[i] && k < trainings[i]->phases.count && status == RNET_DONE; k++)
            status = probe_phase(&all, trainings[i], i, k);
    if (options->json && all.number)
        puts("]");
    if (options->report && status == RNET_DONE)
        status = write_page(&all);
    text_free(&all.page);
    if (status == RNET_DONE && !all.given)
        status = RNET_FAILED;
    return status == RNET_DONE && all.wrong ? RNET_FAILED : status;
}
