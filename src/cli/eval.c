/* eval.c: rnetc eval: the report of a program over its split, with the parameters of a checkpoint. */
#include "cli.h"

#include <math.h>
#include <stdio.h>

static void print_result(const struct options *options, const char *model, const struct report *report,
                         const struct report_result *result)
{
    if (options->json)
        printf("{\"model\": \"%s\", \"data\": \"%s.%s\"", model, report->split.data, report->split.name);
    for (int i = 0; i < result->count; i++) {
        if (!options->json)
            printf("%s %.6g\n", result->at[i].name, result->at[i].value == 0 ? 0 : result->at[i].value);
        else if (isfinite(result->at[i].value))
            printf(", \"%s\": %.9g", result->at[i].name, result->at[i].value);
        else
            printf(", \"%s\": null", result->at[i].name);
    }
    if (options->json)
        printf("}\n");
}

int evaluate_report(struct options *options, struct unit *unit, struct training *training, bool say, struct report_result *result)
{
    struct compile_options compiling = {.fuse = !options->no_fuse, .generate = true};
    struct layout *layout = layout_new(options->arena);
    struct scalar_context clock = {.unit = unit, .step = 1, .steps = 1};
    struct reporter reporter = {.report = training->report};
    bool read;
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    struct compiled compiled;
    struct memory memory;
    struct rnet_pool *pool;
    struct rnet_error error;
    const struct ir_program *program;
    double begin;
    int status = RNET_DONE;

    if (!rnet_blas_open(&error) || !compile(&compiled, training->report->chunk, layout, compiling, &error))
        return complain_error(&error);
    program = compiled.program;
    memory_new(&memory, layout);
    pool = rnet_pool_new(options->threads);
    instance_new(&reporter.instance, &compiled, &memory, pool, training->seed);
    source->precision = (int)training->precision;
    source->threads = options->threads;
    source->no_fuse = options->no_fuse;
    read = store_read(source->store, options->checkpoint, &error);
    source->seed = checkpoint_seed(source->store, training->seed);
    if (!read || !checkpoint_load(options->checkpoint, &program, 1, &memory, true, &error) ||
        !dataset_read(&reporter.dataset, &training->report->split, program, source, &error)) {
        status = complain_error(&error);
    } else {
        begin = rnet_seconds();
        if (say)
            complain(0, "%s on the %lld items of %s.%s", training->model, (long long)reporter.dataset.items,
                     training->report->split.data, training->report->split.name);
        report_run(&reporter, 1, scalar_value, &clock, result);
        if (say && options->time)
            fprintf(stderr, "time: compiling %.1f ms, reading data %.1f ms, %lld samples in %.1f ms\n",
                    1e3 * compile_seconds(&compiled.timing), 1e3 * reporter.dataset.seconds,
                    (long long)reporter.dataset.items, 1e3 * (rnet_seconds() - begin));
    }
    dataset_free(&reporter.dataset);
    instance_free(&reporter.instance);
    rnet_pool_free(pool);
    memory_free(&memory);
    compiled_release(&compiled);
    return status;
}

static int evaluate(struct options *options, struct unit *unit, struct training *training)
{
    struct report_result result = {0};
    int status = evaluate_report(options, unit, training, true, &result);

    if (status != RNET_DONE)
        return status;
    print_result(options, training->model, training->report, &result);
    for (int i = 0; i < result.count && status == RNET_DONE; i++)
        if (!isfinite(result.at[i].value))
            status = complain(RNET_NONFINITE, "the report %s of %s is %g", result.at[i].name, training->model,
                              result.at[i].value);
    return status;
}

int run_eval(struct options *options)
{
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct lower_options lowering = lower_options_of(options);
    struct training *training;
    LIST(struct training *) reported = {0};
    int status = RNET_DONE;

    if (!unit)
        return RNET_SOURCE;
    if (!options->checkpoint)
        return complain(RNET_USAGE, "eval wants --checkpoint FILE, as `rnetc train` leaves it in its folder");
    if (unit_trainings(unit) == 0)
        return complain(RNET_SOURCE, "%s: there is no train block, so there is no report", options->files.at[0]);
    lowering.report_split = "test";
    for (int i = 0; i < unit_trainings(unit); i++) {
        training = lower_training(unit, i, lowering, d);
        if (program_wrong(options, d) || !training)
            return RNET_SOURCE;
        if (training->report)
            list_add(options->arena, reported, training);
    }
    if (!reported.count)
        return complain(RNET_SOURCE, "%s: no train block has a report", options->files.at[0]);
    for (int i = 0; i < reported.count && status == RNET_DONE; i++) {
        if (reported.count > 1 && !options->json)
            printf("%s\n", reported.at[i]->model);
        status = evaluate(options, unit, reported.at[i]);
    }
    return status;
}
