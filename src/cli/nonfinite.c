/* nonfinite.c: a step that gave numbers that are not finite is run again, one kernel an equation, every value kept, and says
   where they began. */
#include "nonfinite.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* From guards, if the step stopped at them, and the norm that a bound may guard in the place of; else from the elements of
   parameters and states that the step made so. */
static void trace_step(struct again *again, int result)
{
    const struct ir_program *p = again->compiled.program;
    struct trace *t = again->trace;

    for (int i = 0; i < p->outputs.count && result == RNET_NONFINITE; i++)
        if (p->outputs.at[i].guard || !strcmp(p->outputs.at[i].name, "gradient_norm"))
            trace_back(t, (struct trace_point){p->outputs.at[i].tensor, 0});
    for (int i = 0; i < p->updates.count && result != RNET_NONFINITE; i++) {
        const struct ir_update *update = &p->updates.at[i];

        for (int64_t k = 0; k < ir_elements(update->leaf) && (t->budget > 0 || !t->origin.tensor); k++)
            if (isfinite(trace_value(t, update->leaf, k)))
                trace_back(t, (struct trace_point){update->value, k});
    }
}

bool step_again(struct trainer *t, uint64_t position, uint64_t step, const char *parameters, const char *state,
                struct again *again)
{
    struct compile_options options = {.keep_all = true, .generate = true};
    struct diagnostics *d = diagnostics_new(t->options->arena);
    struct training *training = lower_training(t->unit, t->block, lower_options_of(t->options), d);
    struct rnet_error error;
    int result;

    *again = (struct again){0};
    if (!training ||
        !compile(&again->compiled, training->phases.at[t->turn - t->turns].step, t->memory.layout, options, &error))
        return false;
    instance_new(&again->in, &again->compiled, &t->memory, t->pool, t->training->seed);
    memcpy(again->in.step.inputs, t->turn->instance.step.inputs, (size_t)again->compiled.program->input_bytes);
    again->trace = trace_new(t->options->arena, &again->in, t->training->seed, position, step);
    again->trace->parameters = parameters;
    again->trace->state = state;
    result = instance_run(&again->in, position, step, scalar_value, &t->clock);
    trace_step(again, result);
    return true;
}

void again_free(struct again *again)
{
    if (again->in.arena)
        instance_free(&again->in);
    compiled_release(&again->compiled);
}

const char *number_text(struct arena *arena, double value)
{
    return isnan(value) ? "nan" : isinf(value) ? value > 0 ? "inf" : "-inf" : arena_printf(arena, "%.6g", value);
}

void print_origin(FILE *to, struct trace *trace, uint64_t step)
{
    const struct ir_tensor *tensor = trace->origin.tensor;
    const char *place = trace_place(trace->arena, trace->origin);
    const struct ir_origin *o = tensor->origin;

    if (o && o->line)
        fprintf(to, "%s:%d:%d: ", o->file, o->line, o->column);
    else
        fprintf(to, "rnetc: ");
    fprintf(to, "step %" PRIu64 ": %s is %s%s%s\n", step, tensor->name,
            number_text(trace->arena, trace_value(trace, tensor, trace->origin.element)), *place ? " at " : "", place);
    for (o = o ? o->caller : NULL; o; o = o->caller)
        if (o->line)
            fprintf(to, "%s:%d:%d: note: used here\n", o->file, o->line, o->column);
}

int explain_nonfinite(struct trainer *t, uint64_t position, uint64_t step)
{
    struct again again;

    if (!step_again(t, position, step, NULL, NULL, &again)) {
        complain(0, "step %" PRIu64 ": the loss or the gradient is not finite", step);
    } else if (again.trace->origin.tensor) {
        print_origin(stderr, again.trace, step);
        if (!t->watcher)
            complain(0, "nothing was updated in that step; %s is as it was; `rnetc replay %s` says more",
                     t->checkpoint_path, t->folder);
    } else {
        complain(0,
                 "step %" PRIu64 ": the loss or the gradient is not finite with fused kernels, and is with one an equation",
                 step);
    }
    again_free(&again);
    return RNET_NONFINITE;
}
