/* show.c: what a person sees while a block trains: what begins, a line that is redrawn, a row a report. */
#include "train.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Source to a callable step, pass by pass. */
void show_compile_times(double front_seconds, const struct compile_timing *timing)
{
    const struct code_timing *code = &timing->code;

    fprintf(stderr, "time: source to a callable step %.1f ms\n", 1e3 * (front_seconds + compile_seconds(timing)));
    fprintf(stderr, "  %-12s %8.2f ms\n", "front end", 1e3 * front_seconds);
    for (int i = 0; i < timing->count; i++)
        fprintf(stderr, "  %-12s %8.2f ms\n", timing->at[i].pass, 1e3 * timing->at[i].seconds);
    if (code->kernels)
        fprintf(stderr,
                "  %d kernels, %d distinct with what they share, %d of them from the cache; %d threads; LLVM loaded in %.1f ms; "
                "work: emit %.1f, optimize %.1f, codegen %.1f ms\n",
                code->kernels, code->distinct, code->cached, code->threads, 1e3 * code->load, 1e3 * code->emit,
                1e3 * code->optimize, 1e3 * code->codegen);
}

static double epochs(const struct trainer *t)
{
    return (double)t->step * (double)t->training->batch / (double)t->items;
}

/* On stderr, as it is no result. */
void show_beginning(const struct trainer *t)
{
    const struct ir_program *p = t->turns[0].compiled.program;
    int64_t parameters = 0;

    if (t->options->quiet || t->options->json || t->step >= t->last_step)
        return;
    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->kind == IR_PARAMETER)
            parameters += ir_elements(p->tensors.at[i]);
    fprintf(stderr, "%s: %" PRId64 " parameters", t->training->model, parameters);
    if (t->items)
        fprintf(stderr, ", %" PRId64 " items of %s.%s in batches of %" PRId64, t->items, t->training->split.data,
                t->training->split.name, t->training->batch);
    if (t->step)
        fprintf(stderr, ", from step %" PRIu64, t->step);
    fprintf(stderr, ", %" PRIu64 " steps\n", t->last_step - t->step);
}

/* What is shown is an average since the last report, so that one batch's luck does not flicker. */
void show_progress(const struct trainer *t)
{
    char line[300];
    double left = t->window_seconds / t->window_steps * (double)(t->last_step - t->step);
    int size = 0;

    if (t->blocks > 1)
        size += snprintf(line, sizeof line, "%.100s  ", t->training->model);
    if (t->items)
        size += snprintf(line + size, sizeof line - (size_t)size, "epoch %.2f  ", epochs(t));
    size += snprintf(line + size, sizeof line - (size_t)size, "step %" PRIu64 "/%" PRIu64 "  ", t->step, t->last_step);
    if (t->turn->phase->name)
        size += snprintf(line + size, sizeof line - (size_t)size, "%.40s ", t->turn->phase->name);
    size +=
        snprintf(line + size, sizeof line - (size_t)size, "loss %.4f", t->turn->window.loss / t->turn->window.steps);
    if (t->has_penalty)
        size += snprintf(line + size, sizeof line - (size_t)size, "  penalty %.4f", t->penalty);
    if (t->has_norm)
        size += snprintf(line + size, sizeof line - (size_t)size, "  |gradient| %.3g", t->norm);
    if (t->clips)
        size += snprintf(line + size, sizeof line - (size_t)size, "  clipped %.0f %%",
                         100 * t->turn->window.clipped / t->turn->window.steps);
    snprintf(line + size, sizeof line - (size_t)size, "  %.3g ms/step  %.0f s left",
             1e3 * t->window_seconds / t->window_steps, left);
    rnet_progress_show(t->progress, line);
}

/* Four digits behind the point, so that rows stand under each other; all of a number that those would hide. */
static void print_value(double value, bool counts)
{
    double size = fabs(value);

    if (counts)
        printf("%.0f", value == 0 ? 0 : value);
    else if (value != 0 && (size < 1e-3 || size >= 1e6))
        printf("%.4g", value);
    else
        printf("%.4f", value == 0 ? 0 : value);
}

/* The loss is that of training since the last report; the rest is of the split that is named. A value that has been whole in
   every report of the run so far is a count, and is printed as one. */
void show_report(struct trainer *t)
{
    for (int i = 0; i < t->result.count; i++) {
        double value = t->result.at[i].value;

        if (value != floor(value) || fabs(value) > 1e15)
            t->fractions |= (uint64_t)1 << i;
    }
    if (t->options->json || t->options->quiet)
        return;
    if (t->blocks > 1)
        printf("%s  ", t->training->model);
    if (t->items)
        printf("epoch %-6.2f ", epochs(t));
    printf("step %-7" PRIu64, t->step);
    for (int i = 0; i < t->turn_count; i++) {
        const struct turn *turn = &t->turns[i];

        if (turn->phase->name)
            printf(" %s", turn->phase->name);
        /* a run that was at its end has seen no loss */
        if (turn->window.steps || (!turn->phase->name && t->step > t->first_step)) {
            printf(" loss ");
            print_value(turn->window.steps ? turn->window.loss / turn->window.steps : t->loss, false);
        }
    }
    if (t->training->report)
        printf("  on %s.%s", t->training->report->split.data, t->training->report->split.name);
    for (int i = 0; t->training->report && i < t->result.count; i++) {
        printf("  %s ", t->result.at[i].name);
        print_value(t->result.at[i].value, !(t->fractions >> i & 1));
    }
    printf("\n");
    fflush(stdout);
}
