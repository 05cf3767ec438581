/* lab_expect.c: expectations of data blocks and of models that nothing trains. Models begin as they are initialised;
   one with inputs is looked at where a data block calls it, else on the only data block that has all of its inputs. */
#include "lab.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static struct finding *finding_of(struct lab *lab, const struct expectation *e)
{
    for (int i = 0; i < lab->findings.count; i++) {
        const struct span at = lab->findings.at[i].expectation->span;

        /* Training reads the file again. */
        if (!strcmp(at.source->path, e->span.source->path) && at.begin == e->span.begin)
            return &lab->findings.at[i];
    }
    return NULL;
}

static const char *place_of(struct lab *lab, const struct expectation *e, const struct expect_outcome *o)
{
    const char *text = "";

    for (int i = 0; i < o->rank; i++) {
        const struct expect_axis *axis = &e->axes.at[i];

        if (axis->extent > 1 || o->index[i])
            text = arena_printf(lab->arena, "%s%s%s %" PRId64, text, *text ? ", " : "",
                                axis->batch ? "item" : axis->name, o->index[i]);
    }
    return text;
}

/* Whatever was seen before stays unless this is worse. */
void note_outcome(struct lab *lab, const struct expectation *e, const struct expect_outcome *outcome)
{
    struct finding *f = finding_of(lab, e);
    struct expect_outcome all = *outcome;

    if (!f)
        return; /* of a file that this one uses */
    if (f->looked) {
        bool worse = outcome->holds != f->outcome.holds ? !outcome->holds : outcome->miss > f->outcome.miss;

        if (!worse)
            all = f->outcome;
        all.elements = f->outcome.elements + outcome->elements;
        all.failed = f->outcome.failed + outcome->failed;
        if (!worse) {
            f->outcome = all;
            return;
        }
    }
    f->outcome = all;
    f->looked = true;
    f->place = place_of(lab, e, outcome);
}

static bool was_looked_at(const struct lab *lab, const char *model)
{
    for (int i = 0; i < lab->findings.count; i++)
        if (lab->findings.at[i].looked && lab->findings.at[i].expectation->model &&
            !strcmp(lab->findings.at[i].expectation->model, model))
            return true;
    return false;
}

static bool expects_of_model(const struct lab *lab, const char *model)
{
    for (int i = 0; i < lab->findings.count; i++)
        if (lab->findings.at[i].expectation->model && !strcmp(lab->findings.at[i].expectation->model, model))
            return true;
    return false;
}

static const struct expect_side *side_at(const struct expectation *e, int number)
{
    const struct comparison *c = &e->comparisons.at[number / 4];
    const struct expect_side *const sides[4] = {&c->left, &c->right, &c->first, &c->second};

    return sides[number % 4];
}

/* values(context, output) gives the numbers of an output, row-major, on the heap. */
static void look(struct lab *lab, const struct expectation *e, int64_t items, bool single,
                 double *(*values)(void *context, const char *output), void *context)
{
    int count = 4 * e->comparisons.count;
    double **sides = calloc((size_t)count + 1, sizeof *sides);
    struct expect_outcome outcome = {0};

    for (int i = 0; i < count; i++)
        if (side_at(e, i)->output)
            sides[i] = values(context, side_at(e, i)->output);
    expect_check(e, (const double *const *)sides, items, 0, single, &outcome);
    note_outcome(lab, e, &outcome);
    for (int i = 0; i < count; i++)
        free(sides[i]);
    free(sides);
}

static double *numbers_new(int64_t count)
{
    double *numbers = malloc((size_t)count * sizeof *numbers + 1);

    if (numbers)
        return numbers;
    complain(RNET_FAILED, "out of memory (%lld numbers of an expectation)", (long long)count);
    exit(RNET_FAILED);
}

/* ---- data blocks ---- */

struct made_sides {
    struct lab *lab;
    const char *data, *split;
};

static double *made_values(void *context, const char *output)
{
    struct made_sides *m = context;
    const struct rnet_array *array = data_source_made(m->lab->source, m->data, m->split, output, NULL);
    int64_t count = rnet_array_elements(array);
    double *numbers = numbers_new(count);

    for (int64_t i = 0; i < count; i++)
        numbers[i] = array_number(array, i);
    return numbers;
}

/* Until the file is trained; --quick does without. */
static int put_off(struct lab *lab, const expectation_list *expects)
{
    for (int i = 0; i < expects->count; i++) {
        struct finding *f = finding_of(lab, expects->at[i]);

        if (f)
            f->skipped = lab->options->quick;
    }
    lab->wants_training |= expects->count > 0;
    return RNET_DONE;
}

static int look_at_split(struct lab *lab, const char *data, const char *split, bool after)
{
    struct diagnostics *d = diagnostics_new(lab->arena);
    struct lower_options options = {
        .precision = lab->precision, .items = data_source_items, .items_context = lab->source};
    struct data_program *p = lower_data(lab->unit, data, split, NULL, 0, 0, options, d);
    struct made_sides made = {lab, data, split};
    struct rnet_error error;
    data_names names = {0};

    if (lab->source->failed)
        return complain_error(&lab->source->error);
    if (program_wrong(lab->options, d))
        return RNET_SOURCE;
    if (p && p->trained != after)
        return p->trained ? put_off(lab, &p->expects) : RNET_DONE;
    for (int i = 0; p && i < p->expects.count; i++)
        for (int k = 0; k < 4 * p->expects.at[i]->comparisons.count; k++)
            if (side_at(p->expects.at[i], k)->output)
                list_add(lab->arena, names, side_at(p->expects.at[i], k)->output);
    if (!names.count) {
        for (int i = 0; p && i < p->expects.count; i++)
            look(lab, p->expects.at[i], p->items, lab->precision == IR_SINGLE, NULL, NULL);
        return RNET_DONE;
    }
    if (!data_source_make(lab->source, data, split, names.at, names.count, &error))
        return complain_error(&error);
    for (int i = 0; i < p->expects.count; i++)
        look(lab, p->expects.at[i], p->items, lab->precision == IR_SINGLE, made_values, &made);
    return RNET_DONE;
}

/* ---- models ---- */

static double *computed_values(void *context, const char *output)
{
    struct instance *in = context;
    const struct ir_tensor *t = program_output(in->compiled->program, output);
    const void *data = instance_data(in, t);
    int64_t count = ir_elements(t);
    double *numbers = numbers_new(count);

    if (!data)
        instance_output(in, output, numbers); /* what rests on settings alone is a scalar of the program */
    for (int64_t i = 0; data && i < count; i++)
        numbers[i] = stored_number(data, t->storage, i);
    return numbers;
}

int lab_run_model(struct lab *lab, struct unit *unit, struct data_source *source, const struct expect_program *p,
                  int64_t items, uint64_t seed, void (*see)(void *context, struct instance *in), void *context)
{
    struct compile_options compiling = {.fuse = !lab->options->no_fuse, .generate = true};
    struct scalar_context clock = {.unit = unit, .step = 1, .steps = 1};
    struct layout *layout = layout_new(lab->arena);
    struct compiled compiled = {0}, initial = {0};
    struct memory memory = {0};
    struct dataset data = {0};
    struct instance in = {0};
    struct rnet_pool *pool = NULL;
    struct rnet_error error;
    int64_t *chosen = NULL;
    bool done = rnet_blas_open(&error) && compile(&compiled, p->program, layout, compiling, &error) &&
                (!p->initial || compile(&initial, p->initial, layout, compiling, &error));

    if (done) {
        const struct ir_program *program = compiled.program;

        memory_new(&memory, layout);
        pool = rnet_pool_new(lab->options->threads);
        if (p->initial) {
            instance_new(&in, &initial, &memory, pool, seed);
            instance_run(&in, 0, 1, scalar_value, &clock);
            instance_free(&in);
        }
        done = memory_from_store(&memory, &program, 1, source->store, NULL, 0, "", &error) &&
               dataset_read(&data, &p->split, compiled.program, source, &error);
    }
    if (done) {
        instance_new(&in, &compiled, &memory, pool, seed);
        chosen = calloc((size_t)items + 1, sizeof *chosen);
        for (int64_t i = 0; i < items; i++)
            chosen[i] = i;
        dataset_gather(&data, &in, chosen, items);
        instance_run(&in, 0, 1, scalar_value, &clock);
        see(context, &in);
        instance_free(&in);
    }
    free(chosen);
    if (pool)
        rnet_pool_free(pool);
    dataset_free(&data);
    memory_free(&memory);
    compiled_release(&compiled);
    compiled_release(&initial);
    return done ? RNET_DONE : complain_error(&error);
}

struct model_expects {
    struct lab *lab;
    const struct expect_program *p;
    int64_t items;
};

static void see_expects(void *context, struct instance *in)
{
    struct model_expects *m = context;

    for (int i = 0; i < m->p->expects.count; i++)
        look(m->lab, m->p->expects.at[i], m->items, m->p->program->precision == IR_SINGLE, computed_values, in);
}

static int look_at_model(struct lab *lab, const char *model, const char *data, const char *split, bool after)
{
    struct diagnostics *d = diagnostics_new(lab->arena);
    struct lower_options options = {
        .precision = lab->precision, .items = data_source_items, .items_context = lab->source};
    int64_t items = 1;
    struct expect_program *p;

    lab->source->failed = false;
    if (data)
        items = data_source_items(lab->source, data, split);
    if (lab->source->failed)
        return complain_error(&lab->source->error);
    p = lower_expects(lab->unit, model, data, split, items, options, d);
    if (program_wrong(lab->options, d) || !p)
        return RNET_SOURCE;
    if (p->trained != after && p->trained)
        return put_off(lab, &p->expects);
    if (!p->expects.count || p->trained != after)
        return RNET_DONE;
    return lab_run_model(lab, lab->unit, lab->source, p, items, lab->seed, see_expects,
                         &(struct model_expects){lab, p, items});
}

static int look_at_model_on_data(struct lab *lab, const char *model, bool after)
{
    const char *data = NULL;
    data_names splits = {0};
    int found = data_for_model(lab->unit, model, &data, &splits), status = RNET_DONE;

    if (found != 1)
        return complain(RNET_SOURCE, "%s: the model %s expects something, and %s; call it in a data block", lab->path,
                        model,
                        found ? "several data blocks have all of its inputs" : "no data block has all of its inputs");
    for (int i = 0; i < splits.count && status == RNET_DONE; i++)
        status = look_at_model(lab, model, data, splits.at[i], after);
    return status;
}

/* On the split that its report is of, all of it at once. */
static int look_at_trained(struct lab *lab)
{
    int status = RNET_DONE;

    for (int i = 0; i < lab->findings.count && status == RNET_DONE; i++) {
        const char *model = lab->findings.at[i].expectation->model, *data = NULL, *split = NULL;

        if (!model || !lab->findings.at[i].expectation->trained || was_looked_at(lab, model))
            continue;
        if (split_of_trained(lab->unit, model, &data, &split))
            status = look_at_model(lab, model, data, data ? split : NULL, true);
    }
    return status;
}

int lab_expects(struct lab *lab, bool after)
{
    data_names blocks = {0};
    const char *model;
    int status = RNET_DONE;
    bool inputs;

    unit_data_blocks(lab->unit, &blocks);
    for (int i = 0; i < blocks.count; i++) {
        data_names splits = {0};

        data_block_splits(lab->unit, blocks.at[i], &splits);
        for (int k = 0; k < splits.count && status == RNET_DONE; k++)
            status = look_at_split(lab, blocks.at[i], splits.at[k], after);
    }
    for (int i = 0; status == RNET_DONE && unit_models(lab->unit, i, &model, &inputs); i++) {
        if (!expects_of_model(lab, model) || was_looked_at(lab, model))
            continue;
        status = inputs ? look_at_model_on_data(lab, model, after) : look_at_model(lab, model, NULL, NULL, after);
    }
    return status == RNET_DONE && after ? look_at_trained(lab) : status;
}
