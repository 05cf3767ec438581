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
    struct rnet_vocabulary vocabulary;
    bool symbols;
};

static void *wanted_memory(size_t size)
{
    void *memory = malloc(size + 1);

    if (!memory) {
        complain(RNET_FAILED, "out of memory");
        exit(RNET_FAILED);
    }
    return memory;
}

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
    answer->array.data = wanted_memory(sizeof(double) * (size_t)(items * answer->row));
}

static void print_answers(const struct answer *answers, int count, int64_t items)
{
    struct printed *printed = calloc((size_t)count + 1, sizeof *printed);

    for (int a = 0; a < count; a++)
        printed[a] = (struct printed){.name = answers[a].name,
                                      .numbers = answers[a].array.data,
                                      .row = answers[a].row,
                                      .last = answers[a].array.rank > 1 ? answers[a].array.shape[answers[a].array.rank - 1] : 1,
                                      .symbols = answers[a].symbols ? &answers[a].vocabulary : NULL};
    print_items(printed, count, items, false);
    free(printed);
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
    struct rnet_tensor *tensors = calloc((size_t)count + 1, sizeof *tensors);
    int status;

    for (int a = 0; a < count; a++) {
        const struct rnet_array *array = &answers[a].array;

        tensors[a] =
            (struct rnet_tensor){.name = answers[a].name, .type = array->type, .rank = array->rank, .data = array->data};
        memcpy(tensors[a].shape, array->shape, sizeof tensors[a].shape);
    }
    status = write_outputs(options->out, tensors, count);
    free(tensors);
    return status;
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

/* On stderr, as the answers may go on to another program. */
static void say_what(const struct options *options, const struct split *split, int64_t items, int64_t all)
{
    const char *model = options->files.at[1];

    if (!split->data)
        return;
    if (items < all)
        complain(0, "%s for the first %" PRId64 " of the %" PRId64 " items of %s.%s", model, items, all, split->data, split->name);
    else
        complain(0, "%s for the %" PRId64 " items of %s.%s", model, items, split->data, split->name);
}

static int answer(struct options *options, struct prediction *prediction, struct data_source *source,
                  const struct compiled *compiled, const struct memory *memory, const struct dataset *data)
{
    struct scalar_context clock = {.unit = source->unit, .step = 1, .steps = 1};
    struct rnet_pool *pool = rnet_pool_new(options->threads);
    const struct ir_program *program = compiled->program;
    int count = program->outputs.count, status;
    struct answer *answers = calloc((size_t)count + 1, sizeof *answers);
    struct instance in;
    int64_t items;

    instance_new(&in, compiled, memory, pool, options->seed);
    /* Without data every answer is made of parameters and draws: one, unless more are asked for. */
    items = prediction->split.fields.count ? data->items : options->count ? options->count : 1;
    if (options->count && options->count < items)
        items = options->count;
    for (int a = 0; a < count; a++)
        answer_new(&answers[a], &program->outputs.at[a], items);
    run_batches(&in, data, prediction, &clock, answers, count, items);
    status = check_finite(answers, count, items);
    for (int a = 0; a < count; a++)
        answers[a].symbols = !options->numbers && symbols_of(source->store, &prediction->symbols.at[a], answers[a].name,
                                                             &answers[a].vocabulary);
    if (status == RNET_DONE)
        say_what(options, &prediction->split, items, data->items);
    if (status == RNET_DONE && options->out)
        status = write_answers(options, answers, count);
    else if (status == RNET_DONE)
        print_answers(answers, count, items);
    for (int a = 0; a < count; a++) {
        rnet_array_free(&answers[a].array);
        rnet_vocabulary_free(&answers[a].vocabulary);
    }
    free(answers);
    instance_free(&in);
    rnet_pool_free(pool);
    return status;
}

static int predict(struct options *options, struct unit *unit, struct prediction *prediction)
{
    struct compile_options compiling = {.fuse = !options->no_fuse, .generate = true};
    struct layout *layout = layout_new(options->arena);
    struct dataset data = {0};
    bool read;
    struct data_source *source = data_source_new(options->arena, unit, store_new(options->arena));
    struct compiled compiled;
    struct memory memory;
    struct rnet_error error;
    const struct ir_program *program;
    int status;

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
        !dataset_read(&data, &prediction->split, program, source, &error))
        status = complain_error(&error);
    else
        status = answer(options, prediction, source, &compiled, &memory, &data);
    dataset_free(&data);
    memory_free(&memory);
    compiled_release(&compiled);
    return status;
}

static bool reads_data(const struct ir_program *program)
{
    for (int i = 0; i < program->tensors.count; i++)
        if (program->tensors.at[i]->kind == IR_INPUT)
            return true;
    return false;
}

int run_predict(struct options *options)
{
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct lower_options lowering = lower_options_of(options);
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
    if (options->on) {
        const char *dot = strchr(options->on, '.');

        lowering.data = dot ? arena_slice(options->arena, options->on, (size_t)(dot - options->on)) : options->on;
        lowering.report_split = dot ? dot + 1 : NULL;
    }
    prediction = lower_prediction(unit, options->files.at[1], lowering, d);
    if (program_wrong(options, d) || !prediction)
        return RNET_SOURCE;
    if (!prediction->split.data && reads_data(prediction->program))
        return complain(RNET_USAGE, "no data that a model is trained on have all inputs of %s; name some: --on DATA.SPLIT",
                        options->files.at[1]);
    return predict(options, unit, prediction);
}
