/* statistics.c: a report over a split. The chunk program runs over the items in order; the last chunk is padded with the
   last item, and pads are not counted. The totals are doubles, summed in order. */
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double start(enum ir_reduction reduction)
{
    return reduction == IR_MAXIMUM ? -INFINITY : reduction == IR_MINIMUM ? INFINITY : 0;
}

static double joined(enum ir_reduction reduction, double total, double value)
{
    switch (reduction) {
    case IR_SUM:
        return total + value;
    case IR_MAXIMUM:
        return isnan(total) || total >= value ? total : value;
    case IR_MINIMUM:
        return isnan(total) || total <= value ? total : value;
    default:
        bug("a report cannot stream reduction %d", (int)reduction);
    }
}

void report_run(struct reporter *r, uint64_t step, scalar_source *source, void *context, struct report_result *out)
{
    const struct report *report = r->report;
    int count = report->statistics.count;
    double totals[MAX_REPORT];
    int64_t *items = malloc((size_t)report->batch * sizeof *items);
    struct arena *arena = arena_new();
    struct ir_values values = ir_values_new(arena, report->result);

    if (count > MAX_REPORT || report->result->outputs.count > MAX_REPORT)
        bug("more than %d statistics in a report", MAX_REPORT);
    for (int s = 0; s < count; s++)
        totals[s] = start(report->statistics.at[s].reduction);
    for (int64_t first = 0; first < r->dataset.items; first += report->batch) {
        int64_t real = r->dataset.items - first < report->batch ? r->dataset.items - first : report->batch;

        for (int64_t i = 0; i < report->batch; i++)
            items[i] = first + (i < real ? i : real - 1);
        dataset_gather(&r->dataset, &r->instance, items, report->batch);
        instance_run(&r->instance, (uint64_t)first, step, source, context);
        for (int s = 0; s < count; s++) {
            const struct ir_tensor *t = program_output(r->instance.compiled->program, report->statistics.at[s].output);
            const void *data = instance_data(&r->instance, t);

            for (int64_t i = 0; i < real; i++)
                totals[s] = joined(report->statistics.at[s].reduction, totals[s], stored_number(data, t->storage, i));
        }
    }
    for (int i = 0; i < report->result->tensors.count; i++) {
        const struct ir_tensor *t = report->result->tensors.at[i];

        if (t->kind != IR_SCALAR)
            continue;
        if (!strcmp(t->name, "count")) {
            values.at[i][0] = (double)r->dataset.items;
            continue;
        }
        for (int s = 0; s <= count; s++)
            if (s == count)
                values.at[i][0] = source(context, t->name);
            else if (!strcmp(t->name, report->statistics.at[s].output)) {
                values.at[i][0] = totals[s];
                break;
            }
    }
    ir_evaluate(report->result, &values, (struct ir_run){.step = step});
    out->sides = report->sides;
    out->count = report->result->outputs.count - out->sides;
    for (int i = 0; i < out->count + out->sides; i++) {
        out->at[i].name = report->result->outputs.at[i].name;
        out->at[i].value = values.at[report->result->outputs.at[i].tensor->number][0];
    }
    arena_free(arena);
    free(items);
}
