/* bench_try.c: `rnetc bench --try`: the step's products, cut in every way that there is, each kernel by itself; the fastest
   way is kept for it. No way changes a number, so what is kept changes nothing but time.

   All ways take turns step by step. Half of the rounds say which way is best, the other half whether it really is. */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum { LEAST_ROUNDS = 24, HALVES = 2 };
static const double least_seconds = 2; /* a busy moment is shorter */
static const double worth = 0.96;      /* of the usual time; less than that is noise */

struct candidate {
    struct bench_side side; /* the fused one, with code of its own */
    char *own_inputs;
    double *seconds[HALVES];
};

static bool candidate_new(const struct bench *bench, struct candidate *c, int way, struct rnet_error *error)
{
    const struct bench_side *fused = &bench->fused;
    const struct code_options options = {.way = way};
    const char *wrong;

    c->side = *fused;
    c->side.restarts = 0;
    c->side.compiled.code = fused->compiled.api->compile(fused->compiled.program, &options, NULL, &wrong);
    if (!c->side.compiled.code)
        return rnet_fail(error, RNET_FAILED, "program %s: %s", fused->compiled.program->name, wrong);
    instance_new(&c->side.instance, &c->side.compiled, &c->side.memory, bench->pool, bench->training->seed);
    c->own_inputs = c->side.instance.step.inputs;
    for (int half = 0; half < HALVES; half++)
        c->seconds[half] = NEW_ARRAY(bench->arena, double, fused->compiled.program->kernels.count + 1);
    return true;
}

static void candidate_release(struct candidate *c)
{
    if (!c->side.compiled.code)
        return;
    c->side.instance.step.inputs = c->own_inputs;
    instance_free(&c->side.instance);
    compiled_release(&c->side.compiled);
}

static int run_rounds(struct bench *bench, struct candidate *candidates, int ways)
{
    double begin = rnet_seconds();
    int status = RNET_DONE;

    for (int round = 0; status == RNET_DONE && (round < LEAST_ROUNDS || rnet_seconds() - begin < least_seconds); round++)
        for (int i = 0; i < ways && status == RNET_DONE; i++) {
            struct candidate *c = &candidates[round % 2 ? ways - 1 - i : i];

            c->side.kernel_seconds = c->seconds[round / 2 % HALVES];
            c->side.run = bench->fused.run;
            status = bench_run(bench, &c->side, 0, true);
            bench->fused.run = c->side.run;
            if (status == RNET_DONE && rnet_interrupt_asked())
                status = RNET_INTERRUPTED;
        }
    return status;
}

/* The fastest of one half, if the other half finds it fast too; else the first way. */
static int best_way(const struct candidate *candidates, int ways, int kernel)
{
    int best = 0;

    for (int i = 1; i < ways; i++)
        if (candidates[i].seconds[0][kernel] < candidates[best].seconds[0][kernel])
            best = i;
    for (int half = 0; half < HALVES; half++)
        if (candidates[best].seconds[half][kernel] > worth * candidates[0].seconds[half][kernel])
            return 1;
    return best + 1;
}

static void keep_best(const struct bench *bench, const struct candidate *candidates, int ways)
{
    const struct compiled *compiled = &candidates[0].side.compiled; /* the fused side's cache is gone */
    int products = 0, changed = 0;
    double gained = 0;
    bool kept = true;

    for (int k = 0; k < compiled->program->kernels.count; k++) {
        const struct ir_kernel *kernel = compiled->program->kernels.at[k];

        if (kernel->kind != IR_TILE_KERNEL)
            continue;
        int way = best_way(candidates, ways, k);
        double usual = candidates[0].seconds[1][k], found = candidates[way - 1].seconds[1][k];

        products++;
        kept = compiled->api->choose(compiled->code, k, way) && kept;
        if (way == 1)
            continue;
        changed++;
        gained += usual - found;
        printf("%-60.60s  %9.3f us, in way %d %9.3f us\n", kernel->name, 1e6 * usual, way, 1e6 * found);
    }
    if (!products) {
        printf("%s: no kernel of this step has a product that is cut into parts: there is nothing to choose\n", bench->training->model);
        return;
    }
    printf("%s: of %d kernels with products, each cut in %d ways, %d %s faster in another than the usual: %.3f us of a step; %s\n",
           bench->training->model, products, ways, changed, changed == 1 ? "is" : "are", 1e6 * gained,
           kept ? "kept for all that is compiled from now on" : "nothing is kept: there is no cache (RNET_CACHE)");
}

int bench_try(struct bench *bench)
{
    int ways = bench->fused.compiled.api->ways, status = RNET_DONE;
    struct candidate *candidates = NEW_ARRAY(bench->arena, struct candidate, ways);
    struct rnet_error error;

    for (int i = 0; i < ways && status == RNET_DONE; i++)
        if (!candidate_new(bench, &candidates[i], i + 1, &error))
            status = complain_error(&error);
    if (status == RNET_DONE)
        status = run_rounds(bench, candidates, ways);
    if (status == RNET_DONE)
        keep_best(bench, candidates, ways);
    for (int i = 0; i < ways; i++)
        candidate_release(&candidates[i]);
    return status;
}
