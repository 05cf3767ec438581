/* lab_arm.c: one run of an experiment: the program with the arm's settings and seed is trained in memory, what it
   reports is kept as series, and what the experiment records is evaluated on them. Data blocks and models without
   inputs that are recorded are computed after the training, with the parameters that it left. */
#include "lab.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct series {
    int block;
    const char *model, *split, *name; /* split: of the report; NULL: of the steps */
    LIST(double) values, step, epoch;
};
/* What a report expects, at its last result. */
struct seen {
    const struct expectation *expectation;
    struct expect_outcome outcome;
};
struct arm {
    struct lab *lab;
    const struct experiment *e; /* NULL: the file as it stands */
    struct arena *arena;
    struct options options;
    struct unit *unit;
    struct data_source *source;
    uint64_t seed;
    int precision;
    LIST(struct series *) series;
    LIST(struct seen) seen;
    double *values; /* of what is recorded: so many by now */
    int recorded;
    bool failed; /* an expression could not be evaluated, which was said */
};

/* ---- what is seen ---- */

static struct series *series_of(struct arm *arm, int block, const char *model, const char *split, const char *name)
{
    struct series *s;

    for (int i = 0; i < arm->series.count; i++) {
        s = arm->series.at[i];
        if (s->block == block && !s->split == !split && !strcmp(s->name, name))
            return s;
    }
    s = NEW(arm->arena, struct series);
    s->block = block;
    s->model = arena_string(arm->arena, model);
    s->split = split ? arena_string(arm->arena, split) : NULL;
    s->name = arena_string(arm->arena, name);
    list_add(arm->arena, arm->series, s);
    return s;
}

static void add_point(struct arm *arm, struct series *s, const struct trainer *t, double value)
{
    list_add(arm->arena, s->values, value);
    list_add(arm->arena, s->step, (double)t->step);
    list_add(arm->arena, s->epoch, t->items ? (double)t->step * (double)t->training->batch / (double)t->items : 0);
}

static void see_step(void *context, const struct trainer *t)
{
    struct arm *arm = context;
    const struct ir_program *p = t->turn->compiled.program;
    double value;

    for (int i = 0; i < p->outputs.count; i++)
        if (instance_output(&t->turn->instance, p->outputs.at[i].name, &value))
            add_point(arm, series_of(arm, t->block, t->training->model, NULL, p->outputs.at[i].name), t, value);
}

/* The last report is the one that counts. */
static void see_expects(struct arm *arm, const struct trainer *t)
{
    for (int i = 0; i < t->training->report->expects.count; i++) {
        struct seen seen = {t->training->report->expects.at[i], {0}};
        int at = 0;

        report_expect(t->training->report, &t->result, seen.expectation, &seen.outcome);
        while (at < arm->seen.count && arm->seen.at[at].expectation != seen.expectation)
            at++;
        if (at == arm->seen.count)
            list_add(arm->arena, arm->seen, seen);
        else
            arm->seen.at[at] = seen;
    }
}

static void see_report(void *context, const struct trainer *t)
{
    struct arm *arm = context;

    if (!arm->e && t->training->report)
        see_expects(arm, t);
    for (int i = 0; t->training->report && i < t->result.count; i++)
        add_point(arm,
                  series_of(arm, t->block, t->training->model, t->training->report->split.name, t->result.at[i].name),
                  t, t->result.at[i].value);
}

/* ---- training ---- */

static int train_arm(struct arm *arm)
{
    struct diagnostics *d = diagnostics_new(arm->arena);
    struct watcher watcher = {.context = arm, .step = see_step, .report = see_report};
    struct trainer trainer = {
        .options = &arm->options, .unit = arm->unit, .clock = {.unit = arm->unit}, .watcher = &watcher};
    struct training **trainings = NEW_ARRAY(arm->arena, struct training *, unit_trainings(arm->unit) + 1);
    int status;

    for (int i = 0; i < unit_trainings(arm->unit); i++) {
        struct training *training;

        if (arm->e && arm->e->train && strcmp(unit_training_model(arm->unit, i), arm->e->train))
            continue;
        training = lower_training(arm->unit, i, lower_options_of(&arm->options), d);
        if (program_wrong(&arm->options, d) || !training)
            return RNET_SOURCE;
        for (int k = 0; k < training->phases.count; k++)
            training->phases.at[k].probe = NULL;
        trainings[trainer.blocks++] = training;
        arm->precision = (int)training->precision;
    }
    if (!trainer.blocks)
        return RNET_DONE;
    trainer.store = arm->source->store;
    trainer.source = arm->source;
    trainer.folder = trainer.checkpoint_path = trainer.source_hash = "";
    status = train_blocks(&trainer, trainings);
    return status;
}

/* ---- names in `record` ---- */

static double wrong(struct arm *arm, const struct node *node, const char *format, const char *detail)
{
    int line, column;

    source_position(node->span.source, node->span.begin, &line, &column);
    if (!arm->failed)
        complain(RNET_SOURCE, arena_printf(arm->arena, "%s:%d:%d: %s", arm->lab->path, line, column, format), detail);
    arm->failed = true;
    return NAN;
}

/* Of the last block that has it: a report's before the steps'. */
static struct series *find_series(const struct arm *arm, const char *name)
{
    for (int rank = 0; rank < 2; rank++)
        for (int i = arm->series.count - 1; i >= 0; i--) {
            struct series *s = arm->series.at[i];
            const char *rest = name;
            size_t model = strlen(s->model), split = s->split ? strlen(s->split) : 5;

            if ((s->split == NULL) != (rank == 1))
                continue;
            if (!strcmp(rest, s->name))
                return s;
            if (!strncmp(rest, s->model, model) && rest[model] == '.')
                rest += model + 1;
            if (!strcmp(rest, s->name))
                return s;
            if (!strncmp(rest, s->split ? s->split : "train", split) && rest[split] == '.' &&
                !strcmp(rest + split + 1, s->name))
                return s;
        }
    return NULL;
}

static struct series *longest_of_steps(const struct arm *arm)
{
    for (int i = arm->series.count - 1; i >= 0; i--)
        if (!arm->series.at[i]->split)
            return arm->series.at[i];
    return NULL;
}

/* The element that the subscripts say; -1: they do not fit. */
static int64_t element_of(struct arm *arm, const struct node *node, const int64_t *shape, int rank)
{
    int64_t element = 0;
    int count = node->kind == NODE_READ ? node->list.count : 0;

    if (count != rank)
        return -1;
    for (int i = 0; i < count; i++) {
        const struct node *n = node->list.at[i];
        double place, sign = 1;

        while (n->kind == NODE_GROUPED || (n->kind == NODE_UNARY && n->op == '-')) {
            sign = n->kind == NODE_UNARY ? -sign : sign;
            n = n->a;
        }
        place = n->kind == NODE_NUMBER ? sign * n->number : -1;
        if (n->kind == NODE_PATH && !unit_let(arm->unit, n->name, &place))
            place = -1;
        if (place < 0 || place >= (double)shape[i] || place != floor(place))
            return -1;
        element = element * shape[i] + (int64_t)place;
    }
    return element;
}

static double field_number(struct arm *arm, const struct node *node, const char *path)
{
    const char *first = strchr(path, '.'), *second = strchr(first + 1, '.');
    const char *data = arena_slice(arm->arena, path, (size_t)(first - path));
    const char *split = arena_slice(arm->arena, first + 1, (size_t)(second - first - 1)), *field = second + 1;
    const struct rnet_array *array;
    struct rnet_error error;
    bool shared = false;
    int64_t element;

    array = data_source_made(arm->source, data, split, field, &shared);
    if (!array) {
        if (!data_source_make(arm->source, data, split, &field, 1, &error))
            return wrong(arm, node, "%s", error.message);
        array = data_source_made(arm->source, data, split, field, &shared);
    }
    if (!shared)
        return wrong(arm, node, "%s differs between items; record a field that is reduced, mean[batch] ...", path);
    element = element_of(arm, node, array->shape + 1, array->rank - 1);
    if (element < 0)
        return wrong(arm, node, "%s has axes; one number is recorded, NAME[0]", path);
    return array_number(array, element);
}

struct wanted {
    struct arm *arm;
    const struct node *node;
    const char *output;
    double value;
};

static void see_output(void *context, struct instance *in)
{
    struct wanted *w = context;
    const struct ir_tensor *t = program_output(in->compiled->program, w->output);
    int64_t shape[16], element;
    int rank = 0;

    for (int i = 0; i < t->rank && rank < 16; i++)
        if (!t->axes[i]->batch)
            shape[rank++] = t->axes[i]->extent;
    element = element_of(w->arm, w->node, shape, rank);
    if (element < 0)
        w->value = wrong(w->arm, w->node, "%s has axes; one number is recorded, NAME[0]", w->output);
    else if (instance_data(in, t))
        w->value = stored_number(instance_data(in, t), t->storage, element);
    else
        instance_output(in, w->output, &w->value);
}

static double output_number(struct arm *arm, const struct node *node, const char *path)
{
    struct diagnostics *d = diagnostics_new(arm->arena);
    const char *dot = strchr(path, '.');
    const char *model = arena_slice(arm->arena, path, (size_t)(dot - path));
    struct lower_options options = {
        .precision = arm->precision, .items = data_source_items, .items_context = arm->source};
    struct expect_program *p = lower_expects(arm->unit, model, NULL, NULL, 1, options, d);
    struct wanted wanted = {arm, node, dot + 1, NAN};

    if (program_wrong(&arm->options, d) || !p)
        return wrong(arm, node, "%s cannot be computed", path);
    if (lab_run_model(arm->lab, arm->unit, arm->source, p, 1, arm->seed, see_output, &wanted) != RNET_DONE)
        arm->failed = true;
    return wanted.value;
}

/* ---- expressions ---- */

/* Where a series is looked at: the point, or the last one (-1). */
struct point {
    int at;
    const struct series *of;
};

static double number_at(struct arm *arm, const struct node *node, struct point point);

static bool is_block(const struct arm *arm, const char *name, bool model)
{
    data_names names = {0};
    const char *untrained;
    bool inputs;

    if (!model) {
        unit_data_blocks(arm->unit, &names);
        for (int i = 0; i < names.count; i++)
            if (!strcmp(names.at[i], name))
                return true;
        return false;
    }
    for (int i = 0; unit_models(arm->unit, i, &untrained, &inputs); i++)
        if (!strcmp(untrained, name))
            return true;
    return false;
}

static double path_number(struct arm *arm, const struct node *node, struct point point)
{
    const char *path = node->kind == NODE_READ ? node->a->name : node->name, *dot = strchr(path, '.');
    const char *first = dot ? arena_slice(arm->arena, path, (size_t)(dot - path)) : path;
    const struct series *s = find_series(arm, path);
    double value;

    if (s && node->kind == NODE_PATH) {
        if (point.at < 0)
            return s->values.at[s->values.count - 1];
        if (s->values.count != point.of->values.count)
            return wrong(arm, node, "%s is not reported as often as the series beside it", path);
        return s->values.at[point.at];
    }
    if (dot && is_block(arm, first, false))
        return field_number(arm, node, path);
    if (dot && is_block(arm, first, true))
        return output_number(arm, node, path);
    if (!strcmp(path, "step") || !strcmp(path, "epoch")) {
        s = point.at < 0 ? longest_of_steps(arm) : point.of;
        if (s)
            return (path[0] == 's' ? s->step : s->epoch).at[point.at < 0 ? s->values.count - 1 : point.at];
    }
    for (int i = 0; i < arm->recorded; i++)
        if (!strcmp(arm->e->records.at[i].name, path))
            return arm->values[i];
    if (!strcmp(path, "pi"))
        return M_PI;
    if (!strcmp(path, "inf"))
        return INFINITY;
    if (unit_let(arm->unit, path, &value))
        return value;
    return wrong(arm, node, "nothing reported %s", path);
}

/* The series whose points an expression is looked at. */
static const struct series *series_within(const struct arm *arm, const struct node *node)
{
    const struct series *s = NULL;

    if (!node)
        return NULL;
    if (node->kind == NODE_PATH)
        return find_series(arm, node->name);
    if (node->kind == NODE_CALL) {
        for (int i = 0; i < node->list.count && !s; i++)
            s = series_within(arm, node->list.at[i]->a);
        return s;
    }
    s = series_within(arm, node->a);
    if (!s)
        s = series_within(arm, node->b);
    return s ? s : series_within(arm, node->c);
}

/* first last min max mean of a series; first(value, condition, otherwise). */
static double of_series(struct arm *arm, const struct node *call)
{
    const char *name = call->a->name;
    bool conditional = !strcmp(name, "first") && call->list.count > 1;
    const struct series *s = series_within(arm, call->list.at[conditional]->a);
    double result = NAN;

    if (!s)
        s = longest_of_steps(arm);
    if (!s)
        return wrong(arm, call, "%s of what is no series", name);
    if (call->list.count > 2 + (conditional ? 1 : 0))
        return wrong(arm, call, "%s takes a value, a condition, and what it is if that never holds", name);
    for (int i = 0; i < s->values.count; i++) {
        struct point point = {i, s};
        double value;

        if (conditional && number_at(arm, call->list.at[1]->a, point) == 0)
            continue;
        value = number_at(arm, call->list.at[0]->a, point);
        if (!strcmp(name, "first"))
            return value;
        if (!i || !strcmp(name, "last"))
            result = value;
        else if (!strcmp(name, "min"))
            result = value < result || isnan(value) ? value : result;
        else if (!strcmp(name, "max"))
            result = value > result || isnan(value) ? value : result;
        else
            result += value;
    }
    if (conditional)
        return call->list.count > 2 ? number_at(arm, call->list.at[2]->a, (struct point){-1, NULL}) : INFINITY;
    return strcmp(name, "mean") ? result : result / s->values.count;
}

static bool is_over_series(const struct node *call)
{
    const char *name = call->a->name;

    if (!strcmp(name, "first") || !strcmp(name, "last"))
        return true;
    return call->list.count == 1 && (!strcmp(name, "min") || !strcmp(name, "max") || !strcmp(name, "mean"));
}

static double call_number(struct arm *arm, const struct node *node, struct point point)
{
    double *arguments = NEW_ARRAY(arm->arena, double, node->list.count + 1);

    if (is_over_series(node))
        return of_series(arm, node);
    for (int i = 0; i < node->list.count; i++)
        arguments[i] = number_at(arm, node->list.at[i]->a, point);
    return function_number(node->a->name, arguments, node->list.count);
}

static double number_at(struct arm *arm, const struct node *node, struct point point)
{
    switch (node->kind) {
    case NODE_NUMBER:
        return node->number;
    case NODE_GROUPED:
        return number_at(arm, node->a, point);
    case NODE_UNARY:
        return node->op == '-' ? -number_at(arm, node->a, point) : number_at(arm, node->a, point) == 0;
    case NODE_IF:
        return number_at(arm, number_at(arm, node->a, point) != 0 ? node->b : node->c, point);
    case NODE_BINARY:
        return binary_number(node->op, number_at(arm, node->a, point), number_at(arm, node->b, point));
    case NODE_CALL:
        return call_number(arm, node, point);
    default:
        return path_number(arm, node, point);
    }
}

/* ---- a run ---- */

static int begin_arm(struct arm *arm)
{
    struct diagnostics *d;

    arm->unit = program_read_again(&arm->options, arm->lab->unit, &d);
    if (!arm->unit)
        return RNET_SOURCE;
    arm->source = data_source_new(arm->arena, arm->unit, store_new(arm->arena));
    arm->source->seed = arm->seed;
    arm->source->precision = arm->precision;
    arm->source->threads = arm->options.threads;
    arm->source->no_fuse = arm->options.no_fuse;
    return train_arm(arm);
}

static int run_arm(struct arm *arm, const struct experiment *e, double *values)
{
    int status = begin_arm(arm);

    for (int r = 0; r < e->records.count; r++)
        values[r] = NAN;
    if (status == RNET_NONFINITE)
        return RNET_DONE; /* what it would have reported is not a number */
    arm->source->precision = arm->precision;
    arm->values = values;
    /* A name that is being recorded is not yet one of those recorded: `rate = rate` reads the let. */
    for (; arm->recorded < e->records.count && status == RNET_DONE && !arm->failed; arm->recorded++) {
        double value = number_at(arm, e->records.at[arm->recorded].value, (struct point){-1, NULL});

        values[arm->recorded] = value;
    }
    return status == RNET_DONE && arm->failed ? RNET_SOURCE : status;
}

static struct arm arm_new(struct lab *lab, const struct experiment *e, struct arena *arena, uint64_t seed)
{
    struct arm arm = {.lab = lab, .e = e, .arena = arena, .options = *lab->options, .seed = seed};

    arm.precision = lab->options->precision >= 0 ? lab->options->precision : IR_DOUBLE;
    arm.options.arena = arena;
    arm.options.quiet = true;
    arm.options.seed = seed;
    arm.options.seed_given = true;
    arm.options.out = arm.options.init = arm.options.dump = NULL;
    arm.options.settings.at = NULL;
    arm.options.settings.count = arm.options.settings.capacity = 0;
    for (int i = 0; i < lab->options->settings.count; i++)
        list_add(arena, arm.options.settings, lab->options->settings.at[i]);
    return arm;
}

static void keep_series(const struct arm *arm, struct arena *arena, kept_series_list *out)
{
    enum { MOST_POINTS = 100 };

    for (int i = 0; i < arm->series.count; i++) {
        const struct series *s = arm->series.at[i];
        struct kept_series kept = {.block = s->block, .model = arena_string(arena, s->model), .name = arena_string(arena, s->name)};
        int each = (s->values.count + MOST_POINTS - 1) / MOST_POINTS;

        kept.split = s->split ? arena_string(arena, s->split) : NULL;
        for (int begin = 0; begin < s->values.count; begin += each) {
            int end = begin + each < s->values.count ? begin + each : s->values.count;
            double step = 0, value = 0;

            for (int k = begin; k < end; k++) {
                step += s->step.at[k] / (end - begin);
                value += s->values.at[k] / (end - begin);
            }
            list_add(arena, kept.step, step);
            list_add(arena, kept.value, value);
        }
        list_add(arena, *out, kept);
    }
}

int lab_run_arm(struct lab *lab, const struct experiment *e, const int *chosen, uint64_t seed, double *values, kept_series_list *series)
{
    struct arm arm = arm_new(lab, e, arena_new(), seed);
    int status;

    for (int i = 0; i < e->settings.count; i++)
        list_add(arm.arena, arm.options.settings,
                 (struct setting){.name = e->settings.at[i].name, .value = e->settings.at[i].values.at[chosen[i]]});
    status = run_arm(&arm, e, values);
    keep_series(&arm, lab->arena, series);
    arena_free(arm.arena);
    return status;
}

int lab_train(struct lab *lab, int (*then)(struct lab *lab))
{
    struct arm arm = arm_new(lab, NULL, lab->arena, lab->seed);
    struct unit *unit = lab->unit;
    struct data_source *source = lab->source;
    const char *path = keep_path_of_training(lab);
    int precision = lab->precision, status;

    if (keep_read_findings(lab, path) || lab->options->kept)
        return RNET_DONE;
    fprintf(stderr, "%s: training\n", lab->name);
    status = begin_arm(&arm);
    for (int i = 0; i < arm.seen.count && status == RNET_DONE; i++)
        note_outcome(lab, arm.seen.at[i].expectation, &arm.seen.at[i].outcome);
    lab->unit = arm.unit;
    lab->source = arm.source;
    lab->precision = arm.precision;
    if (status == RNET_DONE) {
        lab->source->precision = lab->precision;
        status = then(lab);
    }
    lab->unit = unit;
    lab->source = source;
    lab->precision = precision;
    return status == RNET_DONE ? keep_write_findings(lab, path) : status;
}
