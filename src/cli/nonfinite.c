/* nonfinite.c: after a step gave numbers that are not finite, says where they began. */
#include "train.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Does the equation's text hold an infinity, as a mask before a softmax does? */
static bool writes_infinity(const struct ir_tensor *t)
{
    struct text text = {0};
    bool found = false;

    ir_print_expr(&text, t->value);
    for (const char *at = text.data; !found && (at = strstr(at, "inf")); at += 3)
        found = (at == text.data || !strchr("_.'", at[-1])) && (at == text.data || !isalnum((unsigned char)at[-1])) &&
                !isalnum((unsigned char)at[3]) && !(at[3] && strchr("_.'", at[3]));
    text_free(&text);
    return found;
}

/* Place of the first value that is not finite, or -1. Where the program itself writes infinities they are no fault; NaN is. */
static int64_t first_bad(const struct instance *in, const struct ir_tensor *t)
{
    const void *data = instance_data(in, t);
    int64_t count = ir_elements(t), bad = -1;

    if (!data || (t->storage != IR_F32 && t->storage != IR_F64))
        return -1;
    for (int64_t i = 0; i < count && bad < 0; i++)
        if (!isfinite(stored_number(data, t->storage, i)))
            bad = i;
    if (bad < 0 || t->kind != IR_EQUATION || !writes_infinity(t))
        return bad;
    for (; bad < count; bad++)
        if (isnan(stored_number(data, t->storage, bad)))
            return bad;
    return -1;
}

static void place_text(char *out, size_t size, const struct ir_tensor *t, int64_t element)
{
    int64_t place[64], rest = element;
    size_t at = 0;

    for (int i = t->rank - 1; i >= 0; i--) {
        place[i] = rest % t->axes[i]->extent;
        rest /= t->axes[i]->extent;
    }
    out[0] = 0;
    for (int i = 0; i < t->rank && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s = %" PRId64, i ? ", " : " at ", t->axes[i]->name, place[i]);
}

static void report_place(const struct trainer *t, const struct instance *in, const struct ir_tensor *bad, int64_t element,
                         uint64_t step)
{
    char place[300];
    double value = stored_number(instance_data(in, bad), bad->storage, element);
    const char *what = isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";

    place_text(place, sizeof place, bad, element);
    if (bad->origin && bad->origin->line)
        fprintf(stderr, "%s:%d:%d: ", bad->origin->file, bad->origin->line, bad->origin->column);
    else
        fprintf(stderr, "rnetc: ");
    fprintf(stderr, "step %" PRIu64 ": %s is %s%s\n", step, bad->name, what, place);
    for (const struct ir_origin *o = bad->origin ? bad->origin->caller : NULL; o; o = o->caller)
        if (o->line)
            fprintf(stderr, "%s:%d:%d: note: used here\n", o->file, o->line, o->column);
    complain(0, "nothing was updated in that step; %s is as it was", t->checkpoint_path);
}

/* The copies below keep parameters and state as they are, should the step not fail this time. */
int explain_nonfinite(struct trainer *t, uint64_t position, uint64_t step)
{
    struct compile_options options = {.keep_all = true, .generate = true};
    struct lower_options lowering = lower_options_of(t->options);
    struct diagnostics *d = diagnostics_new(t->options->arena);
    struct training *again = lower_training(t->unit, t->block, lowering, d);
    struct compiled compiled;
    struct rnet_error error;
    struct instance in;

    if (!again || !compile(&compiled, again->phases.at[t->turn - t->turns].step, t->memory.layout, options, &error))
        return complain(RNET_NONFINITE, "step %" PRIu64 ": the loss or the gradient is not finite", step);
    instance_new(&in, &compiled, &t->memory, t->pool, t->training->seed);
    memcpy(in.step.inputs, t->turn->instance.step.inputs, (size_t)compiled.program->input_bytes);
    if (instance_run(&in, position, step, scalar_value, &t->clock) == RNET_NONFINITE) {
        bool found = false;

        for (int i = 0; i < compiled.program->kernels.count && !found; i++) {
            const struct ir_kernel *kernel = compiled.program->kernels.at[i];

            for (int s = 0; s < kernel->stages.count && !found; s++)
                for (int e = 0; e < kernel->stages.at[s]->equations.count && !found; e++) {
                    const struct ir_tensor *tensor = kernel->stages.at[s]->equations.at[e];
                    int64_t element = first_bad(&in, tensor);

                    if (element >= 0) {
                        report_place(t, &in, tensor, element, step);
                        found = true;
                    }
                }
        }
        if (!found)
            complain(0, "step %" PRIu64 ": the loss or the gradient is not finite", step);
    } else {
        complain(0, "step %" PRIu64 ": the loss or the gradient is not finite with fused kernels, and is with one an equation",
                 step);
    }
    instance_free(&in);
    compiled_release(&compiled);
    return RNET_NONFINITE;
}
