/* probe_fisher.c: the Fisher matrix of the answer, a parameter's block of it, and how far the step moves the answer in that metric.

   G = J'HJ with J the derivative of the answer by the parameters and H that of the loss by the answer, twice; both by the equations, G v as
   J'(H (J v)). Where the loss is -log p in natural parameters (softmax with cross entropy, logistic, least squares), H does not depend on
   the label, and G is the Fisher matrix (Amari 1998; Martens 2014); else it is Gauss and Newton's. Of such a loss

       KL(p | p') = L(z') - L(z) - <dL/dz, z' - z>,   about d'F d / 2

   for the answers z before and z' after the step d: the label drops out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff.h"
#include "probe_bench.h"

enum { LARGEST = 512 };

/* Does the loss depend on what is trained by a way that does not lead through the answer? */
static bool passes_by(const struct graph *g, const struct ir_tensor *loss, const struct ir_tensor *answer, bool *seen)
{
    read_list reads;

    if (loss == answer || !g->weight[loss->number] || seen[loss->number])
        return false;
    seen[loss->number] = true;
    if (loss->kind == IR_PARAMETER)
        return true;
    reads = graph_reads(g->arena, loss);
    for (int i = 0; i < reads.count; i++)
        if (passes_by(g, reads.at[i]->tensor, answer, seen))
            return true;
    for (int k = 0; loss->kind == IR_OPAQUE && k < 2 && loss->operands[k]; k++)
        if (passes_by(g, loss->operands[k], answer, seen))
            return true;
    return false;
}

/* Is t made of data or draws by a way that leads neither through the answer nor through the other? */
static bool reads_labels(const struct graph *g, const struct ir_tensor *t, const struct ir_tensor *answer, const struct ir_tensor *other, bool *seen)
{
    read_list reads;

    if (t == answer || t == other || seen[t->number])
        return false;
    seen[t->number] = true;
    if (t->kind == IR_INPUT || (t->kind == IR_DRAW && t->scope == IR_PER_SAMPLE))
        return true;
    reads = graph_reads(g->arena, t);
    for (int i = 0; i < reads.count; i++)
        if (reads_labels(g, reads.at[i]->tensor, answer, other, seen))
            return true;
    for (int k = 0; t->kind == IR_OPAQUE && k < 2 && t->operands[k]; k++)
        if (reads_labels(g, t->operands[k], answer, other, seen))
            return true;
    return false;
}

const char *fisher_graph(struct probe *probe)
{
    struct fisher *f = &probe->fisher;
    const char *name = probe->options->fisher, *wrong;
    struct ir_program *p = objective_again(probe);
    struct graph g = graph_read(probe->arena, p, program_output(p, "objective"));
    struct ir_tensor *loss = data_loss_of(&g), *answer, *cotangent, *by_answer = NULL, *forward = NULL, *bent = NULL, *way;
    int count = probe->parameters.count, used = 0;
    struct ir_tensor **trained = trained_in(probe, p), **wrt = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1);
    struct ir_tensor **back = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1), **dots = NEW_ARRAY(probe->arena, struct ir_tensor *, count + 1);
    const struct ir_tensor *where;

    f->parameter = find_probed(probe->parameters.at, probe->parameters.count, name);
    if (f->parameter == -2)
        return arena_printf(probe->arena, "%s is the end of several parameters: give all of it, as the table has it", name);
    if (f->parameter < 0 || !is_trained(probe, f->parameter))
        return arena_printf(probe->arena, "there is no parameter %s that the step trains; the second table has their names", name);
    f->elements = ir_elements(probe->parameters.at[f->parameter].tensor);
    if (f->elements > LARGEST)
        return arena_printf(probe->arena, "%s has %lld elements; blocks of at most %d are computed", name, (long long)f->elements, LARGEST);
    if (probe->answer < 0 || !(answer = ir_find(p, probe->values.at[probe->answer].tensor->name)))
        return "there is no equation that is the answer, after which no parameter comes";
    if (passes_by(&g, loss, answer, NEW_ARRAY(probe->arena, bool, g.count + 1)))
        return arena_printf(probe->arena, "the loss depends on parameters in other ways than through %s: it is no loss of one answer",
                            probe->values.at[probe->answer].name);
    for (int i = 0; i < count; i++)
        if (trained[i])
            wrt[used++] = trained[i];
    wrong = differentiate(p, loss, &answer, 1, &by_answer, &where);
    cotangent = ir_leaf(p, IR_STATE, "fisher.cotangent", answer->axes, answer->rank, false, 0, 0, NULL);
    way = summed_product(p, cotangent, false, answer);
    if (!wrong)
        wrong = differentiate(p, way, wrt, used, back, &where);
    for (int i = 0; i < used && !wrong; i++)
        if (back[i])
            dots[i] = summed_product(
                p, ir_leaf(p, IR_STATE, arena_printf(probe->arena, "fisher.%s", wrt[i]->name), wrt[i]->axes, wrt[i]->rank, false, 0, 0, NULL), false,
                back[i]);
    if (!wrong)
        wrong = differentiate(p, summed(p, dots, used), &cotangent, 1, &forward, &where);
    if (!wrong && by_answer && forward)
        wrong = differentiate(p, summed_product(p, forward, true, by_answer), &answer, 1, &bent, &where);
    if (!wrong && bent)
        wrong = differentiate(p, summed_product(p, bent, true, answer), wrt, used, back, &where);
    if (wrong)
        return arena_printf(probe->arena, "there are no such derivatives: %s", wrong);
    if (!bent)
        return arena_printf(probe->arena, "the loss is straight in %s: its second derivative by the answer is 0", probe->values.at[probe->answer].name);
    g = graph_read(probe->arena, p, loss);
    f->labels = reads_labels(&g, bent, answer, forward, NEW_ARRAY(probe->arena, bool, g.count + 1));
    p->outputs.count = 0;
    for (int i = 0, k = 0; i < count; i++)
        if (trained[i] && back[k++])
            ir_add_output(p, arena_printf(probe->arena, "product.%d", i), back[k - 1], false);
    ir_add_output(p, "answer", answer, false);
    ir_add_output(p, "by_answer", by_answer, false);
    ir_add_output(p, "loss", loss, false);
    probe->sides[SIDE_FISHER] = p;
    return NULL;
}

/* Of the next products, the part of the direction that is of this parameter. */
static void set_direction(const struct bench *b, int parameter, const double *numbers)
{
    const struct ir_tensor *t = b->probe->parameters.at[parameter].tensor;

    set_stored(b, arena_printf(b->probe->arena, "fisher.%s", t->name), numbers, ir_elements(t));
}

static double *side_numbers(const struct bench *b, const char *name, int64_t *count)
{
    const struct ir_tensor *t = program_output(b->side_runs[SIDE_FISHER].compiled->program, name);
    double *numbers = numbers_of(&b->side_runs[SIDE_FISHER], name);

    if (count)
        *count = t ? ir_elements(t) : 0;
    return numbers;
}

static void measure_block(struct bench *b, struct fisher *f)
{
    int64_t n = f->elements;
    double *unit = memory_for(sizeof *unit * (size_t)n), *turned;
    const char *name = arena_printf(b->probe->arena, "product.%d", f->parameter);

    f->matrix = NEW_ARRAY(b->probe->arena, double, n * n);
    memset(unit, 0, sizeof *unit * (size_t)n);
    for (int64_t k = 0; k < b->probe->batches; k++) {
        give_batch(b, k);
        for (int64_t i = 0; i < n; i++) {
            double *row;

            unit[i] = 1;
            set_direction(b, f->parameter, unit);
            unit[i] = 0;
            run_side(b, SIDE_FISHER);
            row = side_numbers(b, name, NULL);
            show_step(b, "fisher", k * n + i + 1, b->probe->batches * n);
            for (int64_t j = 0; row && j < n; j++)
                f->matrix[i * n + j] += row[j] / (double)b->probe->batches;
            free(row);
        }
    }
    set_direction(b, f->parameter, unit);
    give_batch(b, 0);
    turned = memory_for(sizeof *turned * (size_t)(n * n));
    memcpy(turned, f->matrix, sizeof *turned * (size_t)(n * n));
    f->eigenvalues = NEW_ARRAY(b->probe->arena, double, n);
    singular_values(turned, n, n, f->eigenvalues); /* it has no negative ones where H has none */
    free(turned);
    free(unit);
}

/* From the answers before the step to those after it, on its own batch. */
static void measure_divergence(struct bench *b, struct fisher *f)
{
    struct probe *probe = b->probe;
    double *answer, *slope, *then, *loss, *after;
    int64_t count;

    for (int i = 0; i < probe->parameters.count; i++) {
        int64_t elements = ir_elements(probe->parameters.at[i].tensor);
        double *d;

        if (!is_trained(probe, i))
            continue;
        d = memory_for(sizeof *d * (size_t)elements);
        for (int64_t k = 0; k < elements; k++)
            d[k] = b->after[i][k] - b->before[i][k];
        set_direction(b, i, d);
        free(d);
    }
    run_side(b, SIDE_FISHER);
    answer = side_numbers(b, "answer", &count);
    slope = side_numbers(b, "by_answer", NULL);
    loss = side_numbers(b, "loss", NULL);
    for (int i = 0; i < probe->parameters.count; i++) {
        double *product = is_trained(probe, i) ? side_numbers(b, arena_printf(probe->arena, "product.%d", i), NULL) : NULL;

        for (int64_t k = 0; product && k < ir_elements(probe->parameters.at[i].tensor); k++)
            f->form += product[k] * (b->after[i][k] - b->before[i][k]) / 2;
        free(product);
        if (b->after[i])
            set_weights(b, probe->parameters.at[i].tensor, b->after[i]);
    }
    run_side(b, SIDE_FISHER);
    then = side_numbers(b, "answer", NULL);
    after = side_numbers(b, "loss", NULL);
    f->divergence = after[0] - loss[0];
    for (int64_t i = 0; i < count; i++)
        f->divergence -= slope[i] * (then[i] - answer[i]);
    free(answer), free(slope), free(then), free(loss), free(after);
}

void measure_fisher(struct bench *b)
{
    struct probe *probe = b->probe;

    for (int i = 0; i < probe->parameters.count; i++)
        if (b->before[i])
            set_weights(b, probe->parameters.at[i].tensor, b->before[i]);
    give_batch(b, 0);
    measure_block(b, &probe->fisher);
    measure_divergence(b, &probe->fisher);
}

void print_fisher(const struct probe *probe)
{
    const struct fisher *f = &probe->fisher;
    const char *name = f->labels ? "Gauss and Newton's matrix (the label bends the loss: it is not the Fisher matrix)" : "the Fisher matrix";
    double trace = 0;
    int64_t rank = 0;

    for (int64_t i = 0; i < f->elements; i++) {
        trace += f->matrix[i * f->elements + i];
        rank += f->eigenvalues[i] > 1e-10 * f->eigenvalues[0];
    }
    printf("\n%s of %s, the block of %s: trace %.4g, rank %lld of %lld, eigenvalues", name, probe->values.at[probe->answer].name,
           probe->parameters.at[f->parameter].name, trace, (long long)rank, (long long)f->elements);
    for (int64_t i = 0; i < f->elements; i++) {
        if (i == 6 && f->elements > 8) {
            printf(" ..");
            i = f->elements - 1;
        }
        printf(" %.3g", f->eigenvalues[i]);
    }
    printf("\n  the step moves the answer by %s %.4g a sample; d'Fd / 2 = %.4g\n", f->labels ? "a loss beyond its linear part of" : "KL", f->divergence,
           f->form);
}
