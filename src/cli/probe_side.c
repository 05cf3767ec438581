/* probe_side.c: other programs over the parameters, samples and draws of a phase's step, for instruments that want derivatives of their
   own. Lowered once more, so that they share no tensor with the program that measures. */
#include "autodiff.h"
#include "probe.h"

#include <string.h>

struct ir_program *objective_again(const struct probe *probe)
{
    struct lower_options lowering = lower_options_of(probe->options);
    struct diagnostics *d = diagnostics_new(probe->arena);
    struct training *training;
    struct ir_program *p;

    lowering.batch = probe->options->batch;
    lowering.precision = (int)probe->training->precision;
    training = lower_training(probe->unit, probe->block, lowering, d);
    if (!training)
        bug("a train block that was lowered cannot be lowered again");
    p = training->phases.at[probe->turn].objective;
    return p;
}

/* t's indices, new where a recurrence has them: what is outside of it shares none. */
static const struct ir_expr *element_of(struct ir_program *p, struct ir_tensor *t, struct ir_index **axes)
{
    const struct ir_form **forms = NEW_ARRAY(p->arena, const struct ir_form *, t->rank + 1);

    for (int i = 0; i < t->rank; i++)
        forms[i] = ir_form_index(p, axes[i]);
    return ir_read(p, t, forms, t->rank, NULL);
}

struct ir_tensor *summed_product(struct ir_program *p, struct ir_tensor *a, bool stopped, struct ir_tensor *b)
{
    struct ir_index **axes = NEW_ARRAY(p->arena, struct ir_index *, a->rank + 1);
    const struct ir_expr *value;

    for (int i = 0; i < a->rank; i++)
        axes[i] = ir_index(p, a->axes[i]->name, a->axes[i]->extent, a->axes[i]->batch);
    value = element_of(p, a, axes);
    if (stopped)
        value = ir_apply(p, IR_stop, value, NULL, NULL);
    if (b)
        value = ir_apply(p, IR_multiply, value, element_of(p, b, axes), NULL);
    return ir_equation(p, arena_printf(p->arena, "dot_%s", a->name), NULL, 0, a->rank ? IR_SUM : IR_MAP, axes, a->rank, value, false, NULL);
}

struct ir_tensor *summed(struct ir_program *p, struct ir_tensor *const *numbers, int count)
{
    const struct ir_expr *sum = ir_real(p, 0);

    for (int i = 0; i < count; i++)
        if (numbers[i])
            sum = ir_apply(p, IR_add, sum, ir_read(p, numbers[i], NULL, 0, NULL), NULL);
    return ir_equation(p, "dots", NULL, 0, IR_MAP, NULL, 0, sum, false, NULL);
}

bool is_trained(const struct probe *probe, int parameter)
{
    const struct ir_program *step = probe->phase->step;

    for (int i = 0; i < step->updates.count; i++)
        if (!strcmp(step->updates.at[i].leaf->name, probe->parameters.at[parameter].tensor->name))
            return true;
    return false;
}

struct ir_tensor **trained_in(const struct probe *probe, struct ir_program *p)
{
    struct ir_tensor **found = NEW_ARRAY(probe->arena, struct ir_tensor *, probe->parameters.count + 1);

    for (int i = 0; i < probe->parameters.count; i++)
        if (is_trained(probe, i))
            found[i] = ir_find(p, probe->parameters.at[i].tensor->name);
    return found;
}
