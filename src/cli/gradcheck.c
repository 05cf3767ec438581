/* gradcheck.c: rnetc gradcheck: the gradients of a train block against finite differences, on a small batch of real samples. */
#include "autodiff.h"
#include "cli.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 4 };

/* A plan gives the leaves a storage, which is all that reading data wants of the program. */
static bool read_samples(struct training *t, struct data_source *source, struct ir_values *values, int64_t batch,
                         struct rnet_error *error)
{
    struct dataset data;
    struct rnet_stream *stream;

    if (!t->data)
        return true;
    for (int i = 0; i < t->objective->tensors.count; i++) {
        struct ir_tensor *leaf = t->objective->tensors.at[i];

        if (leaf->kind == IR_INPUT)
            leaf->storage = leaf->whole ? IR_I32 : IR_F64;
    }
    if (!dataset_read(&data, &t->split, t->objective, source, error))
        return false;
    stream = rnet_stream_new("batch", t->seed, data.items, t->lanes);
    for (int c = 0; c < data.count; c++) {
        const struct column *column = &data.columns[c];
        const struct ir_tensor *leaf = ir_find(t->objective, column->field->name);
        int64_t row = column->row_bytes / storage_bytes(column->storage);

        for (int64_t i = 0; i < (column->stride ? batch : 1); i++)
            for (int64_t k = 0; k < row; k++)
                values->at[leaf->number][i * row + k] =
                    stored_number(column->rows, column->storage, column->stride ? rnet_stream_item(stream, (uint64_t)i) * row + k : k);
    }
    rnet_stream_free(stream);
    dataset_free(&data);
    return true;
}

/* First values of parameters and states, by the evaluator. */
static void first_values(struct training *t, struct arena *arena, struct ir_values *values, struct scalar_context *clock)
{
    struct ir_values initial = ir_values_new(arena, t->initial);

    for (int i = 0; i < t->initial->tensors.count; i++)
        if (t->initial->tensors.at[i]->kind == IR_SCALAR)
            initial.at[i][0] = scalar_value(clock, t->initial->tensors.at[i]->name);
    ir_evaluate(t->initial, &initial, (struct ir_run){.seed = t->seed, .step = 1});
    for (int i = 0; i < t->objective->tensors.count; i++) {
        const struct ir_tensor *leaf = t->objective->tensors.at[i], *from = ir_find(t->initial, leaf->name);

        if (leaf->kind == IR_SCALAR)
            values->at[i][0] = scalar_value(clock, leaf->name);
        else if ((leaf->kind == IR_PARAMETER || leaf->kind == IR_STATE) && from)
            memcpy(values->at[i], initial.at[from->number], (size_t)ir_elements(leaf) * sizeof(double));
    }
}

static void print_row(const struct options *options, const struct gradcheck_result *r, bool last)
{
    if (options->json) {
        printf("  {\"parameter\": \"%s\", \"passed\": %s, \"worst\": %.3g, \"checked\": %d, \"kinks\": %d}%s\n", r->tensor->name,
               r->passed ? "true" : "false", r->worst, r->checked, r->kinks, last ? "" : ",");
        return;
    }
    printf("%-4s %-40s relative error %.1e", r->passed ? "ok" : "BAD", r->tensor->name, r->worst);
    if (!r->passed && r->element >= 0)
        printf(" at element %" PRId64 ": %.9g, by differences %.9g", r->element, r->analytic, r->numeric);
    else if (!r->passed)
        printf(" along a random direction: %.9g, by differences %.9g", r->analytic, r->numeric);
    printf("  (%d checked", r->checked);
    if (r->kinks)
        printf(", %d at a kink", r->kinks);
    printf(")\n");
}

static int check(struct options *options, struct unit *unit, struct training *t, int64_t batch)
{
    struct ir_program *p = t->objective;
    struct ir_tensor *loss = (struct ir_tensor *)program_output(p, "objective");
    struct scalar_context clock = {.unit = unit, .step = 1, .steps = 1};
    struct ir_values values = ir_values_new(options->arena, p);
    LIST(struct ir_tensor *) parameters = {0};
    struct gradcheck_result *results;
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    struct rnet_error error;
    const char *wrong;
    int bad = 0;

    source->seed = t->seed;
    source->precision = IR_DOUBLE;
    first_values(t, options->arena, &values, &clock);
    if (!read_samples(t, source, &values, batch, &error))
        return complain_error(&error);
    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->kind == IR_PARAMETER)
            list_add(options->arena, parameters, p->tensors.at[i]);
    results = NEW_ARRAY(options->arena, struct gradcheck_result, parameters.count + 1);
    wrong = gradcheck(p, loss, parameters.at, parameters.count, &values, (struct ir_run){.seed = t->seed, .step = 1},
                      (struct gradcheck_options){.exhaustive = options->exhaustive, .seed = t->seed}, results);
    if (wrong)
        return complain(RNET_FAILED, "%s", wrong);
    if (options->json)
        puts("[");
    for (int i = 0; i < parameters.count; i++) {
        print_row(options, &results[i], i + 1 == parameters.count);
        bad += !results[i].passed;
    }
    if (options->json)
        puts("]");
    if (bad)
        return complain(RNET_FAILED, "%d of %d gradients differ from finite differences", bad, parameters.count);
    return RNET_DONE;
}

int run_gradcheck(struct options *options)
{
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    int64_t batch = options->batch ? options->batch : BATCH;
    struct lower_options lowering = lower_options_of(options);
    int status = RNET_DONE;

    if (!unit)
        return RNET_SOURCE;
    if (unit_trainings(unit) == 0)
        return complain(RNET_SOURCE, "%s: there is no train block, so there is no loss", options->files.at[0]);
    lowering.batch = batch;
    for (int i = 0; i < unit_trainings(unit) && status == RNET_DONE; i++) {
        struct training *training = lower_training(unit, i, lowering, d);

        if (program_wrong(options, d) || !training)
            return RNET_SOURCE;
        for (int k = 0; k < training->phases.count && status == RNET_DONE; k++) {
            const struct phase *phase = &training->phases.at[k];

            training->objective = phase->objective;
            training->initial = phase->initial;
            training->split = phase->split;
            if (phase->name && !options->json)
                printf("phase %s\n", phase->name);
            status = check(options, unit, training, batch);
        }
    }
    return status;
}
