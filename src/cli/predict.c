/* predict.c: rnetc predict: what a model answers for each sample of a split. */
#include "cli.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One output of the model over all samples. */
struct answer {
    const char *name;
    const struct ir_tensor *tensor;
    bool by_sample; /* else it is made of parameters alone, and repeated */
    int64_t row;    /* numbers a sample */
    struct rnet_array array;
};

static void answer_new(struct answer *answer, const struct ir_output *output, int64_t items)
{
    const struct ir_tensor *t = output->tensor;
    bool by_sample = t->rank && t->axes[0]->batch;

    *answer = (struct answer){.name = output->name, .tensor = t, .by_sample = by_sample, .row = 1};
    answer->array = (struct rnet_array){.type = RNET_F64, .rank = 1, .shape = {items}};
    for (int i = by_sample; i < t->rank; i++) {
        answer->array.shape[answer->array.rank++] = t->axes[i]->extent;
        answer->row *= t->axes[i]->extent;
    }
    answer->array.data = malloc(sizeof(double) * (size_t)(items * answer->row) + 1);
    if (!answer->array.data) {
        complain(RNET_FAILED, "out of memory");
        exit(RNET_FAILED);
    }
}

static void print_answers(const struct answer *answers, int count, int64_t items)
{
    for (int64_t i = 0; i < items; i++)
        for (int a = 0; a < count; a++) {
            const double *row = (const double *)answers[a].array.data + i * answers[a].row;

            if (count > 1)
                printf("%s%s ", a ? "  " : "", answers[a].name);
            for (int64_t k = 0; k < answers[a].row; k++)
                printf("%s%.7g", k ? " " : "", row[k]);
            if (a == count - 1)
                printf("\n");
        }
}

static int check_finite(const struct answer *answers, int count, int64_t items)
{
    for (int a = 0; a < count; a++) {
        const double *numbers = answers[a].array.data;

        for (int64_t k = 0; k < items * answers[a].row; k++)
            if (!isfinite(numbers[k]))
                return complain(RNET_NONFINITE, "the output %s of sample %" PRId64 " is %g", answers[a].name,
                                k / answers[a].row, numbers[k]);
    }
    return RNET_DONE;
}

static int write_answers(const struct options *options, const struct answer *answers, int count)
{
    struct rnet_error error;

    if (count != 1)
        return complain(RNET_USAGE, "--out: the model has %d outputs; a .npy file holds one", count);
    if (!rnet_write_npy(options->out, &answers->array, &error))
        return complain_error(&error);
    return RNET_DONE;
}

static void run_batches(struct instance *in, const struct dataset *data, struct prediction *prediction,
                        struct scalar_context *clock, struct answer *answers, int count, int64_t items)
{
    int64_t *chosen = malloc((size_t)prediction->batch * sizeof *chosen);

    for (int64_t first = 0; first < items; first += prediction->batch) {
        int64_t real = items - first < prediction->batch ? items - first : prediction->batch;

        for (int64_t i = 0; i < prediction->batch; i++)
            chosen[i] = first + (i < real ? i : real - 1);
        dataset_gather(data, in, chosen, prediction->batch);
        instance_run(in, (uint64_t)first, 1, scalar_value, clock);
        for (int a = 0; a < count; a++) {
            double *to = (double *)answers[a].array.data + first * answers[a].row;
            const void *from = instance_data(in, answers[a].tensor);

            for (int64_t k = 0; k < real * answers[a].row; k++)
                to[k] = stored_number(from, answers[a].tensor->storage, answers[a].by_sample ? k : k % answers[a].row);
        }
    }
    free(chosen);
}

static int predict(struct options *options, struct unit *unit, struct prediction *prediction)
{
    struct compile_options compiling = {.fuse = !options->no_fuse, .generate = true};
    struct scalar_context clock = {.unit = unit, .step = 1, .steps = 1};
    struct layout *layout = layout_new(options->arena);
    struct dataset data = {0};
    struct answer *answers;
    bool read;
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    struct compiled compiled;
    struct memory memory;
    struct instance in;
    struct rnet_pool *pool;
    struct rnet_error error;
    const struct ir_program *program;
    int count, status = RNET_DONE;
    int64_t items;

    if (!rnet_blas_open(&error) || !compile(&compiled, prediction->program, layout, compiling, &error))
        return complain_error(&error);
    program = compiled.program;
    memory_new(&memory, layout);
    source->precision = (int)prediction->program->precision;
    source->threads = options->threads;
    source->no_fuse = options->no_fuse;
    read = store_read(source->store, options->checkpoint, &error);
    source->seed = checkpoint_seed(source->store, options->seed);
    if (!read || !checkpoint_load(options->checkpoint, &program, 1, &memory, true, &error) ||
        !dataset_read(&data, &prediction->split, program, source, &error)) {
        memory_free(&memory);
        compiled_release(&compiled);
        return complain_error(&error);
    }
    pool = rnet_pool_new(options->threads);
    instance_new(&in, &compiled, &memory, pool, options->seed);
    count = program->outputs.count;
    /* Without data every answer is made of parameters and draws: one, unless more are asked for. */
    items = prediction->split.fields.count ? data.items : options->count ? options->count : 1;
    if (options->count && options->count < items)
        items = options->count;
    answers = calloc((size_t)count + 1, sizeof *answers);
    for (int a = 0; a < count; a++)
        answer_new(&answers[a], &program->outputs.at[a], items);
    run_batches(&in, &data, prediction, &clock, answers, count, items);
    status = check_finite(answers, count, items);
    if (status == RNET_DONE && options->out)
        status = write_answers(options, answers, count);
    else if (status == RNET_DONE)
        print_answers(answers, count, items);
    for (int a = 0; a < count; a++)
        rnet_array_free(&answers[a].array);
    free(answers);
    instance_free(&in);
    rnet_pool_free(pool);
    dataset_free(&data);
    memory_free(&memory);
    compiled_release(&compiled);
    return status;
}

int run_predict(struct options *options)
{
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct prediction *prediction;
    int data;

    if (!unit)
        return RNET_SOURCE;
    if (options->files.count < 2)
        return complain(RNET_USAGE, "predict wants FILE MODEL. See rnetc predict --help");
    if ((data = predict_data(options, unit)) >= 0)
        return data;
    if (!options->checkpoint)
        return complain(RNET_USAGE, "predict wants --checkpoint FILE, as `rnetc train` leaves it in its folder");
    prediction = lower_prediction(unit, options->files.at[1], lower_options_of(options), d);
    if (program_wrong(options, d) || !prediction)
        return RNET_SOURCE;
    return predict(options, unit, prediction);
}
