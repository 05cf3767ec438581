/* probe_noise.c: what noise adds to a loss: by sampling, and to second order (Wager, Wang & Liang 2013).

   With the noise m at mean + s (m - mean) the loss is L(s): L(1) - L(0) is what one draw adds; L''(0) / 2, a difference of second order,
   is what it adds where the loss is a parabola. The mean is that of the draw's own elements. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "autodiff.h"
#include "probe_bench.h"

enum { DRAWS = 32 };
#define A_LITTLE 1e-5 /* so little that hardly an element passes a kink */

/* mean + part * (mask - mean) */
static struct ir_tensor *towards_mean(struct probe *probe, struct ir_tensor *mask, double part)
{
    struct ir_program *p = probe->phase->objective;
    struct ir_index **all = NEW_ARRAY(probe->arena, struct ir_index *, mask->rank + 1);
    const struct ir_form **own = NEW_ARRAY(probe->arena, const struct ir_form *, mask->rank + 1);
    const struct ir_form **summed = NEW_ARRAY(probe->arena, const struct ir_form *, mask->rank + 1);
    const struct ir_expr *value, *mean;
    struct ir_tensor *sum;

    for (int i = 0; i < mask->rank; i++) {
        all[i] = ir_index(p, mask->axes[i]->name, mask->axes[i]->extent, mask->axes[i]->batch);
        summed[i] = ir_form_index(p, all[i]);
        own[i] = ir_form_index(p, mask->axes[i]);
    }
    sum = ir_equation(p, arena_printf(probe->arena, "sum_%s", mask->name), NULL, 0, IR_SUM, all, mask->rank,
                      ir_apply(p, IR_multiply, ir_real(p, 1 / (double)ir_elements(mask)), ir_read(p, mask, summed, mask->rank, NULL), NULL),
                      false, mask->origin);
    mean = ir_read(p, sum, NULL, 0, NULL);
    value = ir_apply(p, IR_subtract, ir_read(p, mask, own, mask->rank, NULL), mean, NULL);
    value = ir_apply(p, IR_add, mean, ir_apply(p, IR_multiply, ir_real(p, part), value, NULL), NULL);
    return ir_equation(p, arena_printf(probe->arena, "towards_%s", mask->name), mask->axes, mask->rank, IR_MAP, NULL, 0, value, false,
                       mask->origin);
}

const char *noise_graph(struct probe *probe, struct ir_tensor *loss)
{
    static const char *const names[] = {"loss_without", "loss_above", "loss_below"};
    static const double parts[] = {0, A_LITTLE, -A_LITTLE};
    struct ir_program *p = probe->phase->objective;
    struct ir_tensor **to = NEW_ARRAY(probe->arena, struct ir_tensor *, probe->graph.masks.count + 1);

    for (int k = 0; k < 3 && probe->graph.masks.count; k++) {
        struct ir_tensor *copy = loss;
        const char *wrong;

        for (int i = 0; i < probe->graph.masks.count; i++)
            to[i] = towards_mean(probe, probe->graph.masks.at[i], parts[k]);
        wrong = recompute(p, probe->graph.masks.at, to, probe->graph.masks.count, 0, &loss, 1, &copy);
        if (wrong)
            return arena_printf(probe->arena, "the loss without noise cannot be made: %s", wrong);
        ir_add_output(p, names[k], copy, false);
    }
    return NULL;
}

void measure_noise_cost(struct bench *b)
{
    struct probe *probe = b->probe;
    struct noise_cost *cost = &probe->cost;
    double square = 0;

    for (int d = 0; d < DRAWS && probe->graph.masks.count; d++) {
        struct instance other;
        double with, without, above, below, more;

        other_draws(b, &other, probe->training->seed + 1 + (uint64_t)d);
        if (!instance_output(&other, "data_loss", &with) || !instance_output(&other, "loss_without", &without) ||
            !instance_output(&other, "loss_above", &above) || !instance_output(&other, "loss_below", &below))
            bug("the measuring program has no loss without noise");
        more = with - without - cost->added;
        cost->draws++;
        cost->added += more / cost->draws;
        square += more * (with - without - cost->added);
        cost->without += (without - cost->without) / cost->draws;
        cost->expected += ((above - 2 * without + below) / (2 * A_LITTLE * A_LITTLE) - cost->expected) / cost->draws;
        instance_free(&other);
    }
    if (cost->draws > 1)
        cost->error = sqrt(square / (cost->draws - 1) / cost->draws);
}

void print_noise(const struct probe *probe)
{
    const struct noise_cost *cost = &probe->cost;

    if (!cost->draws) {
        printf("\nno noise meets a sample after a parameter did\n");
        return;
    }
    printf("\nnoise (%s%s) adds %.4g +- %.1g to the loss, which is %.4g with the noise at its mean; to second order %.4g (%d draws)\n",
           probe->graph.masks.at[0]->name, probe->graph.masks.count > 1 ? arena_printf(probe->arena, " and %d more", probe->graph.masks.count - 1) : "", cost->added,
           cost->error, cost->without, cost->expected, cost->draws);
}
