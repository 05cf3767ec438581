/* probe_shift.c: internal covariate shift (Santurkar, Tsipras, Ilyas & Madry 2018): how much the gradient of a parameter changes because
   the parameters before it have made their step; same batch, same draws.

   A parameter is before another if what the other meets depends on it, and it is met by fewer sums: those of one layer move together. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe_bench.h"

/* Depth of t; of a recurrence, all of whose parameters meet its state, that of the whole. */
static int layer_of(const struct graph *g, const struct ir_tensor *t)
{
    int layer = g->depth[t->number];

    for (int i = 0; t->recurrence && i < g->count; i++)
        if (g->p->tensors.at[i]->recurrence == t->recurrence && g->depth[i] > layer)
            layer = g->depth[i];
    return layer;
}

/* What reads the parameter, or what is made of it alone, together with the sample. */
static void find_meetings(const struct graph *g, const struct ir_tensor *parameter, ir_tensor_list *meetings)
{
    bool *made = NEW_ARRAY(g->arena, bool, g->count + 1);

    made[parameter->number] = true;
    for (int i = 0; i < g->count; i++) {
        struct ir_tensor *t = g->p->tensors.at[i];
        read_list reads = graph_reads(g->arena, t);
        bool meets = false;

        for (int k = 0; k < reads.count; k++)
            meets |= made[reads.at[k]->tensor->number];
        for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
            meets |= made[t->operands[k]->number];
        if (!meets || !g->reaches[i])
            continue;
        if (g->varying[i])
            list_add(g->arena, *meetings, t);
        else
            made[i] = true;
    }
}

void shift_graph(struct probe *probe)
{
    const struct graph *g = &probe->graph;
    int count = probe->parameters.count, *layers = NEW_ARRAY(probe->arena, int, count + 1);
    ir_tensor_list *meetings = NEW_ARRAY(probe->arena, ir_tensor_list, count + 1);

    for (int i = 0; i < count; i++) {
        layers[i] = -1;
        find_meetings(g, probe->parameters.at[i].tensor, &meetings[i]);
        for (int k = 0; k < meetings[i].count; k++) {
            int layer = layer_of(g, meetings[i].at[k]);

            layers[i] = layers[i] < 0 || layer < layers[i] ? layer : layers[i];
        }
    }
    for (int i = 0; i < count; i++) {
        struct shift shift = {.parameter = i, .layer = layers[i], .earlier = NEW_ARRAY(probe->arena, bool, count + 1)};
        bool any = false;

        for (int k = 0; k < meetings[i].count; k++) {
            bool *before = ancestors_of(g, meetings[i].at[k]);

            for (int q = 0; q < count; q++)
                shift.earlier[q] |= layers[q] >= 0 && layers[q] < layers[i] && is_trained(probe, q) && before[probe->parameters.at[q].tensor->number];
        }
        for (int q = 0; q < count; q++)
            any |= shift.earlier[q];
        if (any && probe->parameters.at[i].gradient)
            list_add(probe->arena, probe->shifts, shift);
    }
}

static double *gradient_of(const struct bench *b, int parameter)
{
    char name[64];
    double *numbers;

    snprintf(name, sizeof name, "weight_gradient.%d", parameter);
    numbers = numbers_of(&b->measure_run, name);
    if (!numbers)
        bug("no output %s", name);
    return numbers;
}

static void compare(const struct bench *b, struct shift *s, const double *at_first, const double *then, double part)
{
    int64_t count = ir_elements(b->probe->parameters.at[s->parameter].tensor);
    double *change = memory_for(sizeof *change * (size_t)count), product = 0, first = norm_of(at_first, count), second = norm_of(then, count);

    for (int64_t i = 0; i < count; i++) {
        change[i] = then[i] - at_first[i];
        product += first > 0 && second > 0 ? at_first[i] / first * (then[i] / second) : 0;
    }
    s->gradient += (first - s->gradient) * part;
    s->moved += (second - s->moved) * part;
    s->change += (norm_of(change, count) - s->change) * part;
    s->cosine += (product - s->cosine) * part;
    free(change);
}

static void put(const struct bench *b, const bool *moved)
{
    for (int i = 0; i < b->probe->parameters.count; i++)
        if (b->before[i])
            set_weights(b, b->probe->parameters.at[i].tensor, moved && moved[i] ? b->after[i] : b->before[i]);
}

void measure_shifts(struct bench *b)
{
    struct probe *probe = b->probe;
    int count = probe->parameters.count;
    double **first = calloc((size_t)count + 1, sizeof *first);
    bool *all = NEW_ARRAY(probe->arena, bool, count + 1);

    for (int i = 0; i < count; i++)
        all[i] = true;
    for (int64_t k = 0; k < probe->batches && first; k++) {
        give_batch(b, k);
        put(b, NULL);
        run_measure(b);
        for (int i = 0; i < probe->shifts.count; i++)
            first[probe->shifts.at[i].parameter] = gradient_of(b, probe->shifts.at[i].parameter);
        for (int i = 0; i < probe->shifts.count; i++) {
            struct shift *s = &probe->shifts.at[i];
            double *then;

            if (!i || memcmp(s->earlier, s[-1].earlier, sizeof *s->earlier * (size_t)count)) {
                put(b, s->earlier);
                run_measure(b);
            }
            then = gradient_of(b, s->parameter);
            compare(b, s, first[s->parameter], then, 1 / (double)(k + 1));
            free(then);
        }
        for (int i = 0; i < count; i++) {
            free(first[i]);
            first[i] = NULL;
        }
    }
    free(first);
    put(b, all);
}

void print_shifts(const struct probe *probe)
{
    int width = 9;

    if (!probe->shifts.count) {
        printf("\nno parameter has another before it: there is no shift to see\n");
        return;
    }
    for (int i = 0; i < probe->shifts.count; i++) {
        int length = (int)strlen(probe->parameters.at[probe->shifts.at[i].parameter].name);

        width = length > width ? length : width;
    }
    printf("\nshift: the gradient g of each parameter, and g' when the parameters of the layers before it have made this step\n"
           "%-*s %5s %5s %9s %9s %9s %9s %9s\n", width, "parameter", "line", "layer", "|g|", "|g'|", "|g' - g|", "of |g|", "cosine");
    for (int i = 0; i < probe->shifts.count; i++) {
        const struct shift *s = &probe->shifts.at[i];
        const struct probed *v = &probe->parameters.at[s->parameter];

        printf("%-*s %5d %5d %9.3g %9.3g %9.3g %9.3g %9.4f\n", width, v->name, v->line, s->layer, s->gradient, s->moved, s->change,
               s->gradient > 0 ? s->change / s->gradient : NAN, s->cosine);
    }
}
