/* bench_products.c: products alone, as tiles and as BLAS calls, interleaved, at the shapes of nets that are trained.
       bench_products [THREADS [PASSES [M N K nn|nt|tn]]]
   Not a test: prints the least time of each, GFLOP/s, and how long compiling took. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct shape {
    int m, n, k;
    const char *order; /* whether each operand is stored transposed */
};
static const struct shape shapes[] = {
    {128, 2500, 784, "nn"},  {128, 2500, 2500, "nn"}, {128, 2496, 2496, "nn"}, {128, 2048, 2048, "nn"},
    {128, 2500, 2500, "nt"}, {2500, 2500, 128, "tn"}, {784, 2500, 128, "tn"},  {128, 10, 2500, "nn"},
    {128, 2500, 10, "nt"},   {2500, 10, 128, "tn"},   {2048, 2048, 2048, "nn"}, {1000, 1000, 1000, "nn"},
    {512, 512, 512, "nt"},   {128, 512, 784, "nn"},   {128, 512, 512, "nt"},   {512, 512, 128, "tn"},
    {64, 10, 640, "nn"},     {20, 2600, 650, "nn"},   {20, 650, 2600, "nt"},   {700, 2600, 650, "nn"},
    {650, 2600, 700, "tn"},  {700, 650, 2600, "nt"},  {700, 10000, 650, "nn"}, {32768, 32, 144, "nn"},
    {8192, 64, 576, "nn"},   {32, 64, 64, "nn"},      {64, 128, 784, "nn"},
};

static const char *program(struct arena *arena, const struct shape *s)
{
    bool a = s->order[0] == 't', b = s->order[1] == 't';

    return arena_printf(arena,
                        "program p f32\ninput a[%s: %d, %s: %d]\ninput b[%s: %d, %s: %d]\n"
                        "c[m: %d, n: %d] = sum[k: %d] a[%s] * b[%s]\noutput c\n",
                        a ? "k" : "m", a ? s->k : s->m, a ? "m" : "k", a ? s->m : s->k, b ? "n" : "k", b ? s->n : s->k,
                        b ? "k" : "n", b ? s->k : s->n, s->m, s->n, s->k, a ? "k, m" : "m, k", b ? "n, k" : "k, n");
}

/* One thread's own time, for the machine may be shared; else what the clock on the wall says. */
static double seconds(int threads)
{
    struct timespec time;

    clock_gettime(threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void measure(const struct shape *s, int threads, int passes)
{
    struct arena *arena = arena_new();
    struct machine_run runs[2];
    struct rnet_pool *pool = rnet_pool_new(threads);
    double best[2] = {1e9, 1e9}, flops = 2.0 * s->m * s->n * s->k;
    int times = (int)(2e8 / flops) + 1;

    for (int fused = 0; fused < 2; fused++) {
        struct ir_program *p = parse_program(arena, program(arena, s));
        struct ir_values values = ir_values_new(arena, p);

        for (int i = 0; i < p->tensors.count; i++)
            for (int64_t k = 0; p->tensors.at[i]->kind == IR_INPUT && k < ir_elements(p->tensors.at[i]); k++)
                values.at[i][k] = (double)((k * 7919 + i) % 1000) / 500 - 1;
        fuse(p, fused);
        plan_memory(p, layout_new(arena), false);
        machine_open(&runs[fused], p, &values, (struct ir_run){.step = 1},
                     getenv("BENCH_ASSEMBLY") && fused ? &(struct code_options){.dump_assembly = getenv("BENCH_ASSEMBLY")} : NULL);
        runs[fused].step.pool = pool;
    }
    for (int pass = 0; pass < passes; pass++)
        for (int fused = 0; fused < 2; fused++) {
            double start = seconds(threads), time;

            for (int i = 0; i < times; i++)
                code_module()->run(runs[fused].code, &runs[fused].step);
            time = (seconds(threads) - start) / times;
            if (time < best[fused])
                best[fused] = time;
        }
    printf("%5d %5d %5d %s  tiles %9.1f us %6.1f GF/s  BLAS %9.1f us %6.1f GF/s  %5.2f  compiled in %.1f ms\n", s->m,
           s->n, s->k, s->order, best[1] * 1e6, flops / best[1] / 1e9, best[0] * 1e6, flops / best[0] / 1e9,
           best[0] / best[1], 1e3 * (runs[1].timing.emit + runs[1].timing.optimize + runs[1].timing.codegen));
    machine_close(&runs[0]);
    machine_close(&runs[1]);
    rnet_pool_free(pool);
    arena_free(arena);
}

int main(int count, char **words)
{
    int threads = count > 1 ? atoi(words[1]) : 2, passes = count > 2 ? atoi(words[2]) : 7;

    if (count > 6) {
        struct shape s = {atoi(words[3]), atoi(words[4]), atoi(words[5]), words[6]};
        measure(&s, threads, passes);
        return 0;
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        measure(&shapes[i], threads, passes);
    return 0;
}
