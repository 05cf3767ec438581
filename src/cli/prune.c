/* prune.c: rnetc prune: the smallest weights, or whole units, become 0.

   A unit is a position of an axis that parameters share with the values between them (axes.c): one that can shrink, and that some answer
   sums over. Of a pruned unit every parameter is 0, so that `rnetc compact` finds nothing of it in any answer. */
#include "axes.h"
#include "surgery.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chosen {
    const struct rnet_tensor *tensor;
    int64_t zeros; /* before */
    double norm;   /* mean of the squares */
};
struct pruning {
    struct options *options;
    struct axes *axes;
    LIST(struct chosen) chosen;
    int64_t units, pruned; /* by unit */
};

/* ---- which parameters ---- */

static bool drawn(const struct ir_program *initial, const struct ir_tensor *t, int depth);

struct drawing {
    const struct ir_program *initial;
    int depth;
    bool found;
};

static void note_drawn(const struct ir_expr *read, void *context)
{
    struct drawing *drawing = context;

    drawing->found = drawing->found || drawn(drawing->initial, read->tensor, drawing->depth + 1);
}

/* Does the first value depend on a draw? */
static bool drawn(const struct ir_program *initial, const struct ir_tensor *t, int depth)
{
    struct drawing drawing = {initial, depth, t->kind == IR_DRAW};

    if (depth > 32)
        return false;
    for (int k = 0; k < 2 && t->kind == IR_OPAQUE && t->operands[k]; k++)
        drawing.found = drawing.found || drawn(initial, t->operands[k], depth + 1);
    if (t->kind == IR_EQUATION)
        ir_reads(t->value, note_drawn, &drawing);
    return drawing.found;
}

/* A weight is a parameter that begins as a draw. */
static bool is_weight(const struct axes *axes, const char *name)
{
    for (int i = 0; i < axes->trainings.count; i++)
        for (int k = 0; k < axes->trainings.at[i]->phases.count; k++) {
            const struct ir_program *initial = axes->trainings.at[i]->phases.at[k].initial;

            for (int u = 0; u < initial->updates.count; u++)
                if (!strcmp(initial->updates.at[u].leaf->name, name) && drawn(initial, initial->updates.at[u].value, 0))
                    return true;
        }
    return false;
}

static bool is_selected(const struct pruning *p, const char *name)
{
    const char *selector = p->options->params ? p->options->params : "weights";

    if (!strcmp(selector, "weights") || !strcmp(selector, "biases"))
        return is_weight(p->axes, name) == (selector[0] == 'w');
    return !strcmp(selector, "params") || !fnmatch(selector, name, 0);
}

static int choose(struct pruning *p, const struct ir_tensor *t)
{
    const struct rnet_tensor *stored = rnet_safetensors_find(p->axes->file, t->name);
    struct chosen c = {.tensor = stored};

    if (!stored || (stored->type != RNET_F32 && stored->type != RNET_F64) || tensor_count(stored) != ir_elements(t))
        return complain(RNET_DATA, "%s: there is no %s as the program has it", p->options->checkpoint, t->name);
    for (int i = 0; i < p->chosen.count; i++)
        if (p->chosen.at[i].tensor == stored)
            return RNET_DONE;
    for (int64_t k = 0; k < tensor_count(stored); k++) {
        double value = tensor_number(stored, k);

        if (!isfinite(value))
            return complain(RNET_NONFINITE, "%s: %s is not finite", p->options->checkpoint, t->name);
        c.zeros += value == 0;
        c.norm += value * value / (double)tensor_count(stored);
    }
    list_add(p->options->arena, p->chosen, c);
    return RNET_DONE;
}

static int choose_all(struct pruning *p)
{
    int status = RNET_DONE;

    for (int i = 0; i < p->axes->steps.count; i++)
        for (int k = 0; k < p->axes->steps.at[i]->tensors.count && status == RNET_DONE; k++) {
            const struct ir_tensor *t = p->axes->steps.at[i]->tensors.at[k];

            if (t->kind == IR_PARAMETER && is_selected(p, t->name))
                status = choose(p, t);
        }
    if (status == RNET_DONE && !p->chosen.count)
        return complain(RNET_USAGE, "--params %s: no trained parameter is of that name; expected weights, biases, params or a "
                        "pattern as in \"net.*.W\"", p->options->params ? p->options->params : "weights");
    return status;
}

/* ---- averages ---- */

/* Is it a state of the parameter that answers read in its place: what a rule of the slot `average` leaves? */
static bool is_average(const struct pruning *p, const char *parameter, const struct rnet_tensor *t)
{
    size_t length = strlen(parameter);

    if (strncmp(t->name, parameter, length) || t->name[length] != '.')
        return false;
    for (int i = 0; i < p->axes->answers.count; i++) {
        const struct ir_tensor *read = ir_find(p->axes->answers.at[i], t->name);

        if (read && read->kind == IR_STATE)
            return true;
    }
    return false;
}

/* Answers that read an average of what was pruned read 0 too. */
static void clear_averages(const struct pruning *p, const char *name, const struct rnet_tensor *pruned)
{
    for (int i = 0; i < p->axes->file->count; i++) {
        const struct rnet_tensor *t = &p->axes->file->tensors[i];

        if (!is_average(p, name, t) || tensor_count(t) != tensor_count(pruned))
            continue;
        for (int64_t k = 0; k < tensor_count(t); k++)
            if (tensor_number(pruned, k) == 0)
                tensor_set(t, k, 0);
    }
}

/* ---- by magnitude ---- */

struct place {
    double size;
    int tensor;
    int64_t element;
};

/* Ties go by place, so that exactly the share is pruned. */
static int by_size(const void *a, const void *b)
{
    const struct place *one = a, *other = b;

    if (one->size != other->size)
        return one->size < other->size ? -1 : 1;
    if (one->tensor != other->tensor)
        return one->tensor < other->tensor ? -1 : 1;
    return (one->element > other->element) - (one->element < other->element);
}

static void prune_magnitude(struct pruning *p)
{
    int64_t all = 0, count = 0;
    struct place *places;

    for (int i = 0; i < p->chosen.count; i++)
        all += tensor_count(p->chosen.at[i].tensor);
    places = NEW_ARRAY(p->options->arena, struct place, all + 1);
    for (int i = 0; i < p->chosen.count; i++)
        for (int64_t k = 0; k < tensor_count(p->chosen.at[i].tensor); k++)
            places[count++] = (struct place){fabs(tensor_number(p->chosen.at[i].tensor, k)), i, k};
    qsort(places, (size_t)all, sizeof *places, by_size);
    count = (int64_t)floor(p->options->share * (double)all + 0.5);
    for (int64_t k = 0; k < count; k++)
        tensor_set(p->chosen.at[places[k].tensor].tensor, places[k].element, 0);
    for (int i = 0; i < p->chosen.count; i++)
        clear_averages(p, p->chosen.at[i].tensor->name, p->chosen.at[i].tensor);
}

/* ---- by unit ---- */

/* Adds the square of each number of the tensor to that of its unit, as a part of the tensor's mean. */
static bool add_squares(const struct pruning *p, const struct axis_member *member, struct place *units)
{
    const struct chosen *c = NULL;
    int64_t inner = ir_extent_product(member->tensor->axes + member->axis + 1, member->tensor->rank - member->axis - 1);
    int64_t extent = member->tensor->axes[member->axis]->extent;

    for (int i = 0; i < p->chosen.count; i++)
        if (!strcmp(p->chosen.at[i].tensor->name, member->name))
            c = &p->chosen.at[i];
    for (int64_t k = 0; c && c->norm > 0 && k < tensor_count(c->tensor); k++)
        units[k / inner % extent].size += tensor_number(c->tensor, k) * tensor_number(c->tensor, k) / c->norm;
    return c != NULL;
}

static void clear_units(const struct pruning *p, const struct axis_class *class, const bool *pruned)
{
    for (int i = 0; i < class->members.count; i++) {
        const struct axis_member *member = &class->members.at[i];
        const struct rnet_tensor *stored = rnet_safetensors_find(p->axes->file, member->name);
        int64_t inner = ir_extent_product(member->tensor->axes + member->axis + 1, member->tensor->rank - member->axis - 1);

        if (member->tensor->kind == IR_PARAMETER && stored)
            for (int64_t k = 0; k < tensor_count(stored); k++)
                if (pruned[k / inner % class->extent])
                    tensor_set(stored, k, 0);
        if (member->tensor->kind == IR_PARAMETER && stored)
            clear_averages(p, member->name, stored);
    }
}

static int prune_units(struct pruning *p)
{
    const char *why = NULL;

    for (int i = 0; i < p->axes->classes.count; i++) {
        struct axis_class *class = p->axes->classes.at[i];
        struct place *units = NEW_ARRAY(p->options->arena, struct place, class->extent + 1);
        int64_t count = (int64_t)floor(p->options->share * (double)class->extent + 0.5);
        bool any = false, *pruned = NEW_ARRAY(p->options->arena, bool, class->extent + 1);

        why = class->fixed ? class->fixed : why;
        if (class->fixed || !class->summed)
            continue;
        for (int64_t k = 0; k < class->extent; k++)
            units[k] = (struct place){.element = k};
        for (int k = 0; k < class->members.count; k++)
            if (class->members.at[k].tensor->kind == IR_PARAMETER)
                any = add_squares(p, &class->members.at[k], units) || any;
        if (!any)
            continue;
        qsort(units, (size_t)class->extent, sizeof *units, by_size);
        count = count < class->extent ? count : class->extent - 1;
        for (int64_t k = 0; k < count; k++)
            pruned[units[k].element] = true;
        clear_units(p, class, pruned);
        p->units += class->extent;
        p->pruned += count;
    }
    if (!p->units)
        return complain(RNET_SOURCE, "%s: no axis of the parameters can lose units%s%s", p->options->files.at[0],
                        why ? "; of one it is so because " : "", why ? why : "");
    return RNET_DONE;
}

/* ---- what is said ---- */

static int print_reports(const struct pruning *p, const char *when, const char *checkpoint)
{
    struct options options = *p->options;
    struct lower_options lowering = lower_options_of(p->options);
    struct diagnostics *d = diagnostics_new(p->options->arena);
    int status = RNET_DONE;

    options.checkpoint = checkpoint;
    lowering.report_split = "test";
    for (int i = 0; i < p->axes->trainings.count && status == RNET_DONE; i++) {
        /* lowered anew: what is compiled is no longer what the axes are read off */
        struct training *training = lower_training(p->axes->unit, i, lowering, d);
        struct report_result result = {0};

        if (program_wrong(&options, d) || !training)
            return RNET_SOURCE;
        if (!training->report)
            continue;
        status = evaluate_report(&options, p->axes->unit, training, false, &result);
        for (int k = 0; k < result.count && status == RNET_DONE; k++)
            printf("%s %s of %s.%s: %.6g\n", when, result.at[k].name, training->report->split.data, training->report->split.name,
                   result.at[k].value);
    }
    return status;
}

static void print_shares(const struct pruning *p)
{
    int64_t all = 0, zero = 0;

    for (int i = 0; i < p->chosen.count; i++) {
        const struct rnet_tensor *t = p->chosen.at[i].tensor;
        int64_t zeros = 0;

        for (int64_t k = 0; k < tensor_count(t); k++)
            zeros += tensor_number(t, k) == 0;
        printf("%-40s %s: %.1f %% are 0, before %.1f %%\n", t->name, tensor_shape(p->options->arena, t),
               100 * (double)zeros / (double)tensor_count(t), 100 * (double)p->chosen.at[i].zeros / (double)tensor_count(t));
        all += tensor_count(t);
        zero += zeros;
    }
    if (p->units)
        printf("%" PRId64 " of %" PRId64 " units are pruned\n", p->pruned, p->units);
    printf("%" PRId64 " of %" PRId64 " are 0: %.1f %%\n", zero, all, 100 * (double)zero / (double)all);
}

static int prune(struct pruning *p)
{
    struct options *options = p->options;
    bool units = options->by && !strcmp(options->by, "unit");
    int status = choose_all(p);

    if (status == RNET_DONE)
        status = print_reports(p, "before:", options->checkpoint);
    if (status == RNET_DONE && units)
        status = prune_units(p);
    else if (status == RNET_DONE)
        prune_magnitude(p);
    if (status != RNET_DONE)
        return status;
    print_shares(p);
    status = write_checkpoint(
        options->out, p->axes->file,
        &(struct rnet_pair){"rnet.pruned", arena_printf(options->arena, "%g by %s", options->share, units ? "unit" : "magnitude")}, 1);
    return status == RNET_DONE ? print_reports(p, "after:", options->out) : status;
}

int run_prune(struct options *options)
{
    struct pruning p = {.options = options};
    struct rnet_safetensors file;
    struct rnet_error error;
    struct diagnostics *d;
    struct unit *unit;
    int status = RNET_SOURCE;

    if (!options->checkpoint || !options->out)
        return complain(RNET_USAGE, "prune wants --checkpoint FILE and --out FILE. See rnetc prune --help");
    if (options->share < 0)
        return complain(RNET_USAGE, "prune wants --share, the part that becomes 0, from 0 to 1");
    unit = program_read(options, &d);
    if (!unit)
        return RNET_SOURCE;
    if (!rnet_safetensors_read(options->checkpoint, &file, &error))
        return complain_error(&error);
    p.axes = axes_new(options, unit, &file);
    if (p.axes)
        status = prune(&p);
    rnet_safetensors_free(&file);
    return status;
}
