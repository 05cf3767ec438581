/* probe_landscape.c: the loss on a plane through the parameters (Li, Xu, Taylor, Studer & Goldstein 2018): along two random directions,
   each filter's part as long as the filter.

   A filter is what feeds a unit: of a parameter in a sum over some of its axes, those; of a table, a row. What is in no sum and no
   table, as biases and gains, stays as it is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe_bench.h"

/* The parameter's axes within a filter; NULL: it has none. */
static bool *filter_axes(const struct graph *g, const struct ir_tensor *parameter)
{
    bool *inside = NEW_ARRAY(g->arena, bool, parameter->rank + 1), any = false;

    for (int i = 0; i < g->count; i++) {
        const struct ir_tensor *t = g->p->tensors.at[i];
        read_list reads = graph_reads(g->arena, t);

        for (int k = 0; g->varying[i] && g->reaches[i] && k < reads.count; k++) {
            bool row = false;

            if (reads.at[k]->tensor != parameter)
                continue;
            for (int a = 0; a < parameter->rank; a++)
                row |= is_chosen_along(reads.at[k]->subscripts[a]);
            for (int a = 0; a < parameter->rank; a++)
                any |= inside[a] |= row ? !is_chosen_along(reads.at[k]->subscripts[a])
                                        : t->reduction == IR_SUM && is_reduced_along(t, reads.at[k]->subscripts[a]);
        }
    }
    return any ? inside : NULL;
}

const char *landscape_graph(struct probe *probe)
{
    struct landscape *l = &probe->landscape;
    struct ir_program *p = objective_again(probe);
    struct graph g = graph_read(probe->arena, p, program_output(p, "objective"));
    struct ir_tensor **trained = trained_in(probe, p);
    bool any = false;

    l->points = (int)probe->options->landscape;
    l->reach = 1;
    l->inside = NEW_ARRAY(probe->arena, bool *, probe->parameters.count + 1);
    for (int i = 0; i < probe->parameters.count; i++)
        any |= (l->inside[i] = trained[i] ? filter_axes(&g, trained[i]) : NULL) != NULL;
    if (!any)
        return "no parameter that is trained is summed with a sample, so that there are no filters for a landscape";
    p->outputs.count = 0;
    ir_add_output(p, "loss", data_loss_of(&g), false);
    probe->sides[SIDE_LANDSCAPE] = p;
    return NULL;
}

/* Normal numbers, those of each filter as long as the filter. */
static double *direction(const struct bench *b, int parameter, int number)
{
    const struct probe *probe = b->probe;
    const struct ir_tensor *t = probe->parameters.at[parameter].tensor;
    int64_t count = ir_elements(t), *filter = memory_for(sizeof *filter * (size_t)count), filters;
    bool *outside = NEW_ARRAY(probe->arena, bool, t->rank + 1);
    struct probed as_units = {.tensor = (struct ir_tensor *)t, .units = outside};
    double *d = memory_for(sizeof *d * (size_t)count), *own, *drawn;

    for (int a = 0; a < t->rank; a++)
        outside[a] = !probe->landscape.inside[parameter][a];
    filters = number_units(&as_units, filter);
    own = calloc((size_t)filters + 1, sizeof *own);
    drawn = calloc((size_t)filters + 1, sizeof *drawn);
    if (!own || !drawn)
        bug("no memory for %lld filters", (long long)filters);
    normal_numbers(arena_printf(probe->arena, "landscape.%d.%s", number, t->name), probe->training->seed, d, count);
    for (int64_t i = 0; i < count; i++) {
        own[filter[i]] += b->before[parameter][i] * b->before[parameter][i];
        drawn[filter[i]] += d[i] * d[i];
    }
    for (int64_t i = 0; i < count; i++)
        d[i] *= drawn[filter[i]] > 0 ? sqrt(own[filter[i]] / drawn[filter[i]]) : 0;
    free(own);
    free(drawn);
    free(filter);
    return d;
}

static void go_to(const struct bench *b, double *const *first, double *const *second, double along_first, double along_second)
{
    for (int i = 0; i < b->probe->parameters.count; i++) {
        int64_t count = ir_elements(b->probe->parameters.at[i].tensor);
        double *at;

        if (!first[i])
            continue;
        at = memory_for(sizeof *at * (size_t)count);
        for (int64_t k = 0; k < count; k++)
            at[k] = b->before[i][k] + along_first * first[i][k] + along_second * second[i][k];
        set_weights(b, b->probe->parameters.at[i].tensor, at);
        free(at);
    }
}

static void add_bend(double before, double at, double after, double *hump, double *hollow)
{
    double second = before - 2 * at + after;

    if (!isfinite(second))
        return;
    *(second < 0 ? hump : hollow) += fabs(second);
}

static double roughness(const struct landscape *l)
{
    double hump = 0, hollow = 0;
    int n = l->points;

    for (int r = 0; r < n; r++)
        for (int c = 0; c < n; c++) {
            const double *at = &l->loss[r * n + c];

            if (c > 0 && c + 1 < n)
                add_bend(at[-1], at[0], at[1], &hump, &hollow);
            if (r > 0 && r + 1 < n)
                add_bend(at[-n], at[0], at[n], &hump, &hollow);
        }
    return hump + hollow > 0 ? hump / (hump + hollow) : 0;
}

void measure_landscape(struct bench *b)
{
    struct landscape *l = &b->probe->landscape;
    int count = b->probe->parameters.count, n = l->points;
    double **directions[2];

    for (int d = 0; d < 2; d++) {
        directions[d] = NEW_ARRAY(b->probe->arena, double *, count + 1);
        for (int i = 0; i < count; i++)
            directions[d][i] = l->inside[i] && b->before[i] ? direction(b, i, d + 1) : NULL;
    }
    l->loss = NEW_ARRAY(b->probe->arena, double, n * n);
    for (int r = 0; r < n; r++)
        for (int c = 0; c < n; c++) {
            go_to(b, directions[0], directions[1], l->reach * (2.0 * r / (n - 1) - 1), l->reach * (2.0 * c / (n - 1) - 1));
            l->loss[r * n + c] = side_number(b, SIDE_LANDSCAPE, "loss");
            show_step(b, "landscape", r * n + c + 1, n * n);
        }
    l->rough = roughness(l);
    for (int i = 0; i < count; i++) {
        if (b->before[i])
            set_weights(b, b->probe->parameters.at[i].tensor, b->before[i]);
        free(directions[0][i]);
        free(directions[1][i]);
    }
}

void print_landscape(const struct probe *probe)
{
    const struct landscape *l = &probe->landscape;
    double highest = -INFINITY, lowest = INFINITY;
    int n = l->points, every = n > 11 ? (n - 1) / 10 : 1;

    for (int i = 0; i < n * n; i++) {
        highest = fmax(highest, l->loss[i]);
        lowest = fmin(lowest, l->loss[i]);
    }
    printf("\nthe loss on a plane: two random directions, each filter's as long as the filter, from -%g to %g of its length; centre %.4g, lowest %.4g,\n"
           "highest %.4g; roughness %.2g (0: convex both ways)\n", l->reach, l->reach, l->loss[n * n / 2], lowest, highest, l->rough);
    for (int r = 0; r < n; r += every) {
        for (int c = 0; c < n; c += every)
            printf(" %7.3g", l->loss[r * n + c]);
        printf("\n");
    }
}
