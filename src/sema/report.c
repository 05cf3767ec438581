/* report.c: reports and predictions: programs in evaluation mode. In a report `batch` is the whole split: reductions
   over it are statistics that the run sums up chunk by chunk, and the `result` program finishes them. */
#include <string.h>

#include "internal.h"

/* What a tensor rests on: leaves of the run's own (data, parameters, states, draws), or scalars alone. */
struct rests {
    bool *seen;
    bool data, statistic;
};

static void rests_on(struct rests *r, const struct ir_tensor *t);
static void rests_read(const struct ir_expr *read, void *context)
{
    rests_on(context, read->tensor);
}

static void rests_on(struct rests *r, const struct ir_tensor *t)
{
    if (r->seen[t->number])
        return;
    r->seen[t->number] = true;
    if (t->kind == IR_SCALAR && (!strncmp(t->name, "statistic_", 10) || !strcmp(t->name, "count")))
        r->statistic = true;
    else if (t->kind != IR_EQUATION && t->kind != IR_SCALAR)
        r->data = true;
    if (t->kind == IR_EQUATION)
        ir_reads(t->value, rests_read, r);
}

const struct value *whole_split(struct scope *scope)
{
    scope->workspace->wants_whole = true;
    return &poison;
}

struct entry {
    const char *name;
    struct node *expression;
    struct ir_tensor *result;
};
typedef LIST(struct entry) entry_list;

static void read_entries(struct scope *scope, struct node *report, entry_list *out)
{
    struct entry one = {"report", report, NULL};
    struct node *inner = report;

    if (report->kind != NODE_BLOCK) {
        while (inner->kind == NODE_GROUPED)
            inner = inner->a;
        if (inner->kind == NODE_CALL)
            one.name = inner->a->name;
        list_add(scope->unit->arena, *out, one);
        return;
    }
    for (int i = 0; i < report->list.count; i++) {
        struct node *statement = report->list.at[i];

        if (statement->kind == NODE_EXPECT)
            continue;
        if (statement->kind != NODE_DEFINE || statement->text) {
            fail(scope, "E0102", statement->span, "a report holds names, name = expression, and expects");
            continue;
        }
        for (int k = 0; k < statement->list.count; k++) {
            struct node *definition = statement->list.at[k];

            if (definition->list.count != 1 || definition->op != '=' || definition->list.at[0]->flag) {
                fail(scope, "E0102", definition->span, "a report holds names, name = expression");
                continue;
            }
            one.name = definition->list.at[0]->name;
            one.expression = definition->a;
            for (int j = 0; j < out->count; j++)
                if (!strcmp(out->at[j].name, one.name))
                    fail(scope, "E0202", definition->span, "`%s` stands twice in the report", one.name);
            list_add(scope->unit->arena, *out, one);
        }
    }
}

/* What patience watches. */
static void add_loss(struct scope *scope, struct train_block *block, entry_list *entries)
{
    struct entry loss = {"loss", block->loss, NULL};

    for (int i = 0; i < entries->count; i++)
        if (!strcmp(entries->at[i].name, loss.name))
            return;
    list_add(scope->unit->arena, *entries, loss);
}

static struct ir_tensor *number_over_the_split(struct scope *scope, struct entry *entry, const struct value *v);

/* One number over the whole split: the mean of a per-sample value, or what streamed reductions made. */
static struct ir_tensor *over_the_split(struct scope *scope, struct entry *entry)
{
    const struct value *v;

    scope->target = entry->name;
    v = evaluate(scope, entry->expression);
    scope->target = NULL;
    return is_poison(v) ? NULL : number_over_the_split(scope, entry, v);
}

static struct ir_tensor *number_over_the_split(struct scope *scope, struct entry *entry, const struct value *v)
{
    struct workspace *w = scope->workspace;
    struct scope *top = scope_top(w, scope->unit, scope->file, false);
    ir_index_list free = {0};
    struct rests rests = {0};
    struct ir_tensor *tensor;

    if (v->kind != VALUE_NUMBER && v->kind != VALUE_TENSOR) {
        fail(scope, "E0206", entry->expression->span, "a number is wanted in a report");
        return NULL;
    }
    free_indices(scope, v, &free);
    for (int i = 0; i < free.count || i < v->own.count; i++) {
        const struct ir_index *index = i < v->own.count ? v->own.at[i] : free.at[i];

        if (i >= v->own.count && index->batch)
            continue;
        fail(scope, "E0401", entry->expression->span, "%s has axis %s: %lld; a report wants one number a sample",
             entry->name, index->name, (long long)index->extent);
        help(scope, "mean[%s] or sum[%s]", index->name, index->name);
        return NULL;
    }
    tensor = tensor_of(top, v, entry->name, entry->expression->span);
    rests.seen = NEW_ARRAY(w->arena, bool, w->program->tensors.count + 1);
    rests_on(&rests, tensor);
    if (!rests.data)
        return tensor;
    if (rests.statistic) {
        whole_split(scope);
        return NULL;
    }
    if (!free.count) {
        ir_index_list axes = {0};

        if (!w->batch) {
            fail(scope, "E0403", entry->expression->span, "there are no data to report on");
            return NULL;
        }
        list_add(w->arena, axes, w->batch);
        tensor = ir_equation(w->program, entry->name, axes.at, 1, IR_MAP, NULL, 0, value_expr(scope, v), false,
                             origin_of(scope, entry->expression->span));
    }
    {
        struct statistic_use use = {0};
        const struct ir_expr *n;

        for (int i = 0; i < w->statistics.count; i++)
            if (w->statistics.at[i].tensor == tensor && w->statistics.at[i].reduction == IR_SUM)
                use = w->statistics.at[i];
        if (!use.leaf) {
            use.tensor = tensor;
            use.reduction = IR_SUM;
            use.name = arena_printf(w->arena, "statistic_%d", w->statistics.count + 1);
            use.leaf = scalar_leaf(w, use.name);
            list_add(w->arena, w->statistics, use);
        }
        n = ir_apply(w->program, IR_divide, ir_read(w->program, use.leaf, NULL, 0, NULL),
                     ir_read(w->program, scalar_leaf(w, "count"), NULL, 0, NULL), NULL);
        return tensor_of(top, value_tensor(top, n, NULL), entry->name, entry->expression->span);
    }
}

static void stand_ins(struct extraction *x, struct workspace *w, struct map *averages)
{
    for (int i = 0; i < w->parameters.count; i++) {
        const char *state = map_get(averages, w->parameters.at[i]->path);
        if (state)
            extraction_rename(x, w->parameters.at[i]->leaf, IR_STATE, state);
    }
}

static struct ir_tensor *broadcast_over_batch(struct workspace *w, struct ir_tensor *tensor)
{
    if (tensor->rank)
        return tensor;
    return ir_equation(w->program, tensor->name, &w->batch, 1, IR_MAP, NULL, 0,
                       ir_read(w->program, tensor, NULL, 0, NULL), false, tensor->origin);
}

/* What the report reads must have a first value, which only training gives. */
static void same_leaves(struct scope *scope, const struct workspace *w, const struct workspace *trained)
{
    for (int i = 0; i < w->parameters.count; i++) {
        bool known = false;

        for (int k = 0; k < trained->parameters.count; k++)
            known |= !strcmp(trained->parameters.at[k]->path, w->parameters.at[i]->path);
        if (known)
            continue;
        fail(scope, "E0502", w->parameters.at[i]->span, "the parameter %s exists in evaluation only: nothing trains it",
             w->parameters.at[i]->path);
    }
    for (int i = 0; i < w->states.count; i++) {
        bool known = false;

        for (int k = 0; k < trained->states.count; k++)
            known |= !strcmp(trained->states.at[k]->path, w->states.at[i]->path);
        if (known)
            continue;
        fail(scope, "E0502", w->states.at[i]->span, "the state %s exists in evaluation only: nothing assigns it",
             w->states.at[i]->path);
    }
}

/* Does it read x[batch: n]? */
static bool reads_another_sample(const struct node *node)
{
    bool found;

    if (!node)
        return false;
    found = node->kind == NODE_READ && node->list.count && node->list.at[0]->kind == NODE_AXIS &&
            !strcmp(node->list.at[0]->name, "batch");
    found = found || reads_another_sample(node->a) || reads_another_sample(node->b) || reads_another_sample(node->c);
    for (int i = 0; i < node->list.count && !found; i++)
        found = reads_another_sample(node->list.at[i]);
    for (int i = 0; i < node->more.count && !found; i++)
        found = reads_another_sample(node->more.at[i]);
    return found;
}

static bool may_read_another_sample(const struct train_block *block)
{
    bool found = reads_another_sample(block->report) || (block->patience && reads_another_sample(block->loss));

    for (int i = 0; i < block->locals.count && !found; i++)
        found = reads_another_sample(block->locals.at[i]);
    return found;
}

/* What the report's block expects: of its own names and of numbers of the split. */
static void run_report_expects(struct scope *scope, struct node *block, const entry_list *entries)
{
    struct scope *inner = scope_inner(scope);

    for (int i = 0; i < entries->count; i++)
        if (entries->at[i].result && !is_predefined(entries->at[i].name))
            scope_define(inner, entries->at[i].name, entries->at[i].expression->span,
                         value_of_tensor(inner, entries->at[i].result, 0));
    for (int i = 0; i < block->list.count; i++)
        if (block->list.at[i]->kind == NODE_EXPECT)
            run_expect(inner, block->list.at[i]);
}

/* Each side as a number of the split: what it is computed from may be data. */
static void finish_sides(struct scope *scope, struct expect_use *use)
{
    for (int i = 0; i < use->sides.count; i++) {
        struct entry entry = {.name = use->sides.at[i].name};
        struct node place = {.kind = NODE_NAME, .span = use->expectation.span};

        entry.expression = &place;
        if (use->sides.at[i].tensor->rank) {
            const struct ir_index *axis = use->sides.at[i].tensor->axes[0];

            fail(scope, "E0401", use->expectation.span, "this has axis %s: %lld; a report compares numbers of the whole split",
                 axis->name, (long long)axis->extent);
            help(scope, "max[%s], min[%s] or mean[%s]", axis->name, axis->name, axis->name);
            return;
        }
        use->sides.at[i].tensor =
            number_over_the_split(scope, &entry, value_of_tensor(scope, use->sides.at[i].tensor, 0));
        if (!use->sides.at[i].tensor)
            return;
    }
}

struct report *lower_report(struct unit *unit, struct train_block *block, const struct field_table *known,
                            struct map *averages, const struct workspace *trained, struct lower_options options,
                            int64_t batch, enum ir_precision precision, struct diagnostics *d)
{
    struct report *report = NEW(unit->arena, struct report);
    struct scope *top = scope_top(NULL, unit, unit->main, false), *model = NULL, *scope;
    struct data_split *split = evaluation_split(unit, block, false);
    struct field_table fields = {0};
    struct workspace *w = NULL;
    struct extraction *x;
    entry_list entries = {0};
    /* What reads other samples may be wrong in parts of the split and right in all of it: its messages are first unheard. */
    int own = 0; /* expects before those of the report: of the model */
    bool written = split != NULL, whole = false, trying = may_read_another_sample(block);
    struct diagnostics *heard = d;
    struct map *warned = unit->warned;
    int errors = diagnostics_errors(d);

    if (!split && block->data)
        split = data_split(unit, block->data, block->split ? block->split : "train");
    if (!split)
        return NULL;
    for (int i = 0; i < known->fields.count; i++) {
        struct field_use *field = NEW(unit->arena, struct field_use);

        *field = *known->fields.at[i];
        field->node = NULL;
        list_add(unit->arena, fields.fields, field);
    }
    data_fields(top, split, &fields);
    for (int i = 0; i < fields.fields.count; i++) {
        if (fields.fields.at[i]->node)
            continue;
        /* In the training split only: nothing here may read it. */
        fields.fields.at[i--] = fields.fields.at[--fields.fields.count];
    }
    report->batch = options.report_batch ? options.report_batch : batch;
    for (int round = 0; round < 8; round++) {
        fields.changed = false;
        if (trying) {
            d = diagnostics_new(unit->arena);
            unit->warned = map_copy(unit->arena, warned, 0);
        } else {
            d = heard;
            unit->warned = warned;
        }
        unit->diagnostics = d;
        entries.count = 0;
        w = workspace_new(unit, d, arena_printf(unit->arena, "%s_report", block->model->name), report->batch,
                          precision);
        model = forward(w, block->model, split, &fields, false, block->node->name_span);
        if (model) {
            LIST(struct node *) expressions = {0};

            scope = scope_of_block(model, block, &fields);
            scope->training = false;
            w->streaming = !whole;
            if (block->report)
                read_entries(scope, block->report, &entries);
            if (block->patience)
                add_loss(scope, block, &entries);
            for (int i = 0; i < entries.count; i++)
                list_add(unit->arena, expressions, entries.at[i].expression);
            for (int i = 0; block->report && block->report->kind == NODE_BLOCK && i < block->report->list.count; i++)
                if (block->report->list.at[i]->kind == NODE_EXPECT)
                    list_add(unit->arena, expressions, block->report->list.at[i]->a);
            run_locals(scope, block, expressions.at, expressions.count);
            for (int i = 0; i < entries.count; i++)
                entries.at[i].result = over_the_split(scope, &entries.at[i]);
            own = w->expects.count;
            /* What wants the whole split has no result yet in a round of parts. */
            if (block->report && block->report->kind == NODE_BLOCK && (whole || !w->wants_whole))
                run_report_expects(scope, block->report, &entries);
            for (int i = own; i < w->expects.count; i++)
                finish_sides(scope, w->expects.at[i]);
        }
        if (trying || (w->wants_whole && !whole && diagnostics_errors(d) == errors)) {
            whole |= w->wants_whole;
            trying = false;
            fields.changed = true;
            if (whole) {
                unit->items = unit->count;
                report->batch = split_items(unit, split);
            }
            continue;
        }
        if (!fields.changed || diagnostics_errors(d) > errors)
            break;
    }
    d = unit->diagnostics = heard;
    unit->warned = warned;
    if (model && trained)
        same_leaves(model, w, trained);
    if (!model || diagnostics_errors(d) || fields.changed || !written)
        return NULL;
    for (int i = 0; i < w->statistics.count; i++)
        w->statistics.at[i].tensor = broadcast_over_batch(w, w->statistics.at[i].tensor);
    x = extraction_new(unit->arena, w->program, w->program->name, precision);
    stand_ins(x, w, averages);
    for (int i = 0; i < w->statistics.count; i++)
        extraction_want(x, w->statistics.at[i].tensor);
    report->chunk = extraction_run(x);
    for (int i = 0; i < w->statistics.count; i++) {
        struct statistic statistic = {w->statistics.at[i].name, w->statistics.at[i].reduction};

        ir_add_output(report->chunk, statistic.output, extraction_copy(x, w->statistics.at[i].tensor), false);
        list_add(unit->arena, report->statistics, statistic);
    }
    x = extraction_new(unit->arena, w->program, "result", IR_DOUBLE);
    for (int i = 0; i < entries.count; i++)
        extraction_want(x, entries.at[i].result);
    for (int i = own; i < w->expects.count; i++)
        for (int k = 0; k < w->expects.at[i]->sides.count; k++)
            extraction_want(x, w->expects.at[i]->sides.at[k].tensor);
    report->result = extraction_run(x);
    for (int i = 0; i < entries.count; i++)
        ir_add_output(report->result, entries.at[i].name, extraction_copy(x, entries.at[i].result), false);
    for (int i = own; i < w->expects.count; i++) {
        list_add(unit->arena, report->expects, &w->expects.at[i]->expectation);
        for (int k = 0; k < w->expects.at[i]->sides.count; k++, report->sides++)
            ir_add_output(report->result, w->expects.at[i]->sides.at[k].name,
                          extraction_copy(x, w->expects.at[i]->sides.at[k].tensor), false);
    }
    report->split = describe_split(top, split, &fields, report->chunk, NULL);
    return report;
}

/* ---- predictions ---- */

void fields_of_header(struct scope *top, struct definition *model, struct field_table *fields)
{
    for (int i = 0; i < model->node->list.count; i++) {
        struct node *input = model->node->list.at[i];
        struct field_use *field = NEW(top->unit->arena, struct field_use);

        field->name = input->name;
        field->node = input;
        field->raw = true;
        list_add(top->unit->arena, fields->fields, field);
    }
}

void averages_of(struct unit *unit, struct train_block *block, struct workspace *w, struct map *averages)
{
    struct scope *scope = scope_top(w, unit, unit->main, false);
    parameter_list trained = {0};

    for (int i = 0; i < block->phases.count; i++)
        averages_of(unit, block->phases.at[i], w, averages);
    if (block->phases.count || (block->params && !select_parameters(scope, block->params, &trained)))
        return;
    for (int i = 0; i < block->slots.count; i++) {
        struct node *definition = block->slots.at[i].definition;
        struct node *path = definition->a->kind == NODE_CALL ? definition->a->a : definition->a;
        struct definition *rule;
        parameter_list group = {0};

        if (strcmp(block->slots.at[i].name, "average") || path->kind != NODE_PATH)
            continue;
        rule = find_definition(unit, unit->main, path->name, path->span);
        if (!rule || rule->node->kind != NODE_RULE || !rule->node->b)
            continue;
        parameters_of_slot(scope, block, &block->slots.at[i], &group);
        for (int k = 0; k < group.count; k++) {
            bool mine = !block->params;

            for (int n = 0; n < trained.count; n++)
                mine |= trained.at[n] == group.at[k];
            if (mine)
                map_put(averages, group.at[k]->path,
                        arena_printf(unit->arena, "%s%s%s.%s.%s", group.at[k]->path, block->phase ? "." : "",
                                     block->phase ? block->phase : "", rule->name, rule->node->b->list.at[0]->name));
        }
    }
}

/* The train block of a model, or NULL; errors in it are lower_training's to report. */
static struct train_block *block_of(struct unit *unit, const char *model)
{
    for (int i = 0; i < unit->trainings.count; i++)
        if (!strcmp(unit->trainings.at[i]->name, model))
            return read_train_block(unit, unit->trainings.at[i]);
    return NULL;
}

/* What a model predicts from: test, validation or else train. */
static struct data_split *split_of_block(struct unit *unit, struct train_block *block)
{
    struct data_split *split = block && block->data ? evaluation_split(unit, block, true) : NULL;

    return !split && block && block->data ? data_split(unit, block->data, block->split ? block->split : "train") : split;
}

/* given: the split to read instead of that of the model's train block, or NULL. */
static struct prediction *lower_model(struct unit *unit, struct definition *model, bool training, struct data_split *given,
                                      struct lower_options options, struct diagnostics *d)
{
    struct prediction *prediction = NEW(unit->arena, struct prediction);
    struct scope *top = scope_top(NULL, unit, unit->main, training), *scope = NULL;
    struct train_block *block = block_of(unit, model->name);
    struct data_split *split = given ? given : split_of_block(unit, block);
    struct field_table fields = {0};
    struct workspace *w = NULL;
    struct map *averages = map_new(unit->arena);
    struct extraction *x;
    enum ir_precision precision = options.precision >= 0 ? (enum ir_precision)options.precision : IR_SINGLE;
    int errors = diagnostics_errors(d);

    if (split)
        data_fields(top, split, &fields);
    else
        fields_of_header(top, model, &fields);
    if (block && block->precision && options.precision < 0 && block->precision->kind == NODE_PATH &&
        !strcmp(block->precision->name, "f64"))
        precision = IR_DOUBLE;
    prediction->batch = options.batch ? options.batch : 100;
    if (!model->node->list.count && !(training && block)) /* nothing tells its samples apart but draws: one answer */
        prediction->batch = 1;
    for (int round = 0; round < 6; round++) {
        fields.changed = false;
        w = workspace_new(unit, d, model->name, prediction->batch, precision);
        scope = forward(w, model, split, &fields, training, model->node->name_span);
        if (!fields.changed || diagnostics_errors(d) > errors)
            break;
    }
    if (!scope || diagnostics_errors(d) || fields.changed)
        return NULL;
    if (block)
        averages_of(unit, block, w, averages);
    /* What is an output without an equation of its own gets one now: an extraction knows what was there when it began. */
    for (int i = 0; i < model->node->b->list.count; i++) {
        struct node *output = model->node->b->list.at[i];
        struct binding *binding = map_get(scope->names, output->name);

        if (!binding || is_poison(binding->value))
            return NULL;
        tensor_of(scope, binding->value, output->name, output->span);
    }
    x = extraction_new(unit->arena, w->program, model->name, precision);
    if (!training)
        stand_ins(x, w, averages);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < model->node->b->list.count; i++) {
            struct node *output = model->node->b->list.at[i];
            struct binding *binding = map_get(scope->names, output->name);
            struct ir_tensor *tensor = tensor_of(scope, binding->value, output->name, output->span);

            if (!pass)
                extraction_want(x, tensor);
            else
                ir_add_output(prediction->program, output->name, extraction_copy(x, tensor), false);
        }
        if (!pass)
            prediction->program = extraction_run(x);
    }
    for (int i = 0; i < model->node->b->list.count; i++)
        list_add(unit->arena, prediction->symbols, output_symbols(scope, model->node->b->list.at[i]));
    if (split)
        prediction->split = describe_split(top, split, &fields, prediction->program, NULL);
    return diagnostics_errors(d) ? NULL : prediction;
}

void check_evaluation(struct unit *unit, struct definition *model, struct lower_options options, struct diagnostics *d)
{
    lower_model(unit, model, false, NULL, options, d);
}

static bool has_inputs(struct unit *unit, struct data_split *split, const struct definition *model)
{
    struct data_field field;
    bool has = true;

    for (int i = 0; i < model->node->list.count; i++)
        has = has && find_data_field(unit, split, model->node->list.at[i]->name, &field);
    return has;
}

/* *split NULL: the model's own. false after an error. */
static bool split_to_predict(struct unit *unit, struct definition *model, struct lower_options options,
                             struct data_split **split)
{
    struct scope *top = scope_top(NULL, unit, unit->main, false);
    struct train_block *block = block_of(unit, model->name);
    struct definition *data = block ? block->data : NULL;

    *split = NULL;
    if (options.data) {
        data = map_get(unit->main->names, options.data);
        if (!data || data->node->kind != NODE_DATA) {
            fail(top, "E0201", (struct span){0}, "there is no data block `%s`", options.data);
            return false;
        }
        for (int i = 0; i < 3 && !*split && !options.report_split; i++)
            *split = data_split(unit, data, ((const char *const[]){"test", "validation", "train"})[i]);
    }
    for (int i = 0; i < unit->trainings.count && !data && !*split && model->node->list.count; i++) {
        struct data_split *own = split_of_block(unit, read_train_block(unit, unit->trainings.at[i]));

        if (own && has_inputs(unit, own, model))
            *split = own;
    }
    if (options.report_split)
        *split = data ? data_split(unit, data, options.report_split) : NULL;
    if ((options.report_split || options.data) && !*split) {
        fail(top, "E0201", (struct span){0}, "the data %s have no split `%s`", data ? data->name : "",
             options.report_split ? options.report_split : "test");
        return false;
    }
    return true;
}

struct prediction *lower_prediction(struct unit *unit, const char *name, struct lower_options options,
                                    struct diagnostics *d)
{
    struct data_split *split;
    struct definition *model = map_get(unit->main->names, name);
    struct scope *top = scope_top(NULL, unit, unit->main, false);
    name_list names = {0};

    unit->diagnostics = d;
    if (model && model->node->kind == NODE_MODEL) {
        if (!split_to_predict(unit, model, options, &split))
            return NULL;
        return lower_model(unit, model, false, split, options, d);
    }
    fail(top, "E0201", (struct span){0}, "there is no model `%s`", name);
    for (int i = 0; i < unit->main->definitions.count; i++)
        if (unit->main->definitions.at[i]->node->kind == NODE_MODEL)
            list_add(unit->arena, names, unit->main->definitions.at[i]->name);
    suggest(d, name, &names);
    return NULL;
}

void check_unit(struct unit *unit, struct diagnostics *d)
{
    struct lower_options options = {.precision = -1};
    experiment_list experiments = {0};

    unit->diagnostics = d;
    for (int i = 0; i < unit->files.count; i++)
        if (!unit->files.at[i]->tree)
            return;
    for (int i = 0; i < unit->trainings.count; i++)
        lower_training(unit, i, options, d);
    unit_experiments(unit, &experiments);
    for (int i = 0; i < unit->main->definitions.count; i++) {
        struct definition *model = unit->main->definitions.at[i];
        bool trained = false;

        if (model->node->kind == NODE_DATA)
            check_data(unit, model, d);
        if (model->node->kind != NODE_MODEL)
            continue;
        for (int k = 0; k < unit->trainings.count; k++)
            trained |= !strcmp(unit->trainings.at[k]->name, model->name);
        if (!trained)
            lower_model(unit, model, true, NULL, options, d);
        lower_model(unit, model, false, NULL, options, d);
    }
}
