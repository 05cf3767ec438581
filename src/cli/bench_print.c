/* bench_print.c: what was measured, for a person and for a program. */
#include "bench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double giga = 1e9, mega = 1e6;

/* ---- a step, and a kernel, beside its own limit ---- */

struct row {
    const char *name;
    double seconds, flops, bytes, limit;
};

/* No step is faster than its operations at the higher peak, or its bytes at the rate of copying as many as the step has. */
static double limit_of(const struct bench *bench, double flops, double bytes)
{
    double computed = flops / fmax(bench->multiply_add, bench->matrix_unit), moved = bench->copy > 0 ? bytes / bench->copy : 0;

    return computed > moved ? computed : moved;
}

/* What a kernel reads may lie in the cache that is large enough for it: no kernel is faster than its operations at the machine's
   best, or its bytes at the best rate of copying so many. Only products in tiles may be made by the matrix unit. */
static double roof_of(const struct bench *bench, const struct ir_kernel *kernel, double flops, double bytes)
{
    const struct limits *limits = &bench->limits;
    double peak = kernel->kind == IR_TILE_KERNEL ? fmax(limits->multiply_add, limits->matrix_unit) : limits->multiply_add;
    double computed = flops / peak, moved = bytes / limits_copy(limits, bytes);

    return computed > moved ? computed : moved;
}

static double lost(const struct row *row)
{
    return row->seconds - row->limit;
}

static int by_loss(const void *a, const void *b)
{
    double left = lost(a), right = lost(b);

    return left < right ? 1 : left > right ? -1 : 0;
}

/* The fused side's kernels and what is beside them, the one first that loses most. */
static struct row *kernel_rows(const struct bench *bench, int *count)
{
    const struct bench_side *side = &bench->fused;
    const struct ir_program *p = side->compiled.program;
    struct row *rows = NEW_ARRAY(bench->arena, struct row, p->kernels.count + 1);

    for (int i = 0; i < p->kernels.count; i++) {
        rows[i] = (struct row){.name = p->kernels.at[i]->name, .seconds = side->kernel_seconds[i]};
        kernel_cost(p, p->kernels.at[i], &rows[i].flops, &rows[i].bytes);
        rows[i].limit = roof_of(bench, p->kernels.at[i], rows[i].flops, rows[i].bytes);
    }
    rows[p->kernels.count] = (struct row){.name = NULL, .seconds = side->kernel_seconds[p->kernels.count]};
    *count = p->kernels.count + 1;
    qsort(rows, (size_t)*count, sizeof *rows, by_loss);
    return rows;
}

/* How a kernel computes: a person wants to know which ones are no matrix products. */
static int products_by_blas(const struct bench_side *side)
{
    int count = 0;

    for (int i = 0; i < side->compiled.program->kernels.count; i++)
        count += side->compiled.program->kernels.at[i]->kind == IR_PRODUCT_KERNEL;
    return count;
}

/* ---- for a person ---- */

static void print_time(double seconds)
{
    if (seconds >= 1)
        printf("%8.3f s ", seconds);
    else if (seconds >= 1e-3)
        printf("%8.3f ms", 1e3 * seconds);
    else
        printf("%8.3f us", 1e6 * seconds);
}

static void print_side(const struct bench *bench, const struct bench_side *side)
{
    double limit = limit_of(bench, side->flops, side->bytes);

    printf("%-8s ", side->name);
    print_time(side->fastest);
    printf("  %9.4g  %8.1f  %5.1f %%", side->flops / giga, side->flops / side->fastest / giga,
           100 * side->flops / side->fastest / bench->multiply_add);
    if (bench->matrix_unit > 0)
        printf("  %5.1f %%", 100 * side->flops / side->fastest / bench->matrix_unit);
    printf("  %9.4g  %7.2f  %5.1f %%  %7d  %7.0f ms  %7.1f ms\n", side->bytes / mega,
           side->bytes / side->fastest / giga, 100 * limit / side->fastest, side->compiled.program->kernels.count,
           1e3 * side->cold, 1e3 * side->cached);
}

static void print_notes(const struct bench *bench)
{
    const struct bench_side *sides[] = {&bench->fused, &bench->unfused};
    int products = products_by_blas(&bench->unfused);

    if (bench->matrix_unit > 0)
        printf("of peak: of the multiply-add peak, which products by AMX may exceed; limit: operations at the higher of both peaks\n");
    printf("fused is %.2f times as fast as unfused: an equation at a time as a library does it, ",
           bench->unfused.fastest / bench->fused.fastest);
    if (products)
        printf("%d product%s by OpenBLAS (%s), loops for the rest\n", products, products == 1 ? "" : "s", rnet_blas_core());
    else
        printf("all by loops: there is no product for OpenBLAS\n");
    printf("compile  cold: nothing kept, LLVM loaded; again: from the cache; before either %.1f ms from text to equations\n",
           1e3 * bench->front);
    for (int i = 0; i < 2; i++)
        printf("%s %s planned %.1f MB, used %.1f MB", i ? ";" : "memory  ", sides[i]->name, (double)sides[i]->planned / mega,
               (double)sides[i]->used / mega);
    printf("\n         the process at most %.1f MB above its beginning until the fused step had run, data and code among them\n",
           (double)bench->peak / mega);
    printf("data     %d batch%s taking turns, %s%s%s\n", bench->fused.batch_count, bench->fused.batch_count == 1 ? "" : "es",
           bench->made_up ? "random numbers of the right kinds (" : "the program's own", bench->made_up ? bench->made_up : "",
           bench->made_up ? ")" : "");
    for (int i = 0; i < 2; i++)
        if (sides[i]->restarts)
            printf("note     %s left the finite numbers %d time%s and began anew\n", sides[i]->name, sides[i]->restarts,
                   sides[i]->restarts == 1 ? "" : "s");
}

static void print_kernels(const struct bench *bench)
{
    double sum = 0;
    int count;
    const struct row *rows = kernel_rows(bench, &count);

    printf("\nkernels of the fused step, the largest loss first; limit: the longer of operations at the machine's best and bytes at its\n"
           "best rate of copying so many%s\n",
           bench->limits.matrix_unit > 0 ? "; kernels of products in tiles: operations at the higher of both peaks" : "");
    printf("%11s  %9s  %8s  %9s  %7s  %10s  %8s  kernel\n", "time", "MFLOP", "GFLOP/s", "MB", "GB/s", "limit", "of limit");
    for (int i = 0; i < count; i++) {
        const struct row *row = &rows[i];

        sum += row->seconds;
        print_time(row->seconds);
        if (!row->name) {
            printf("  %*s  checks of the step, updates that are copied\n", 62, "");
            continue;
        }
        printf("  %9.4g  %8.1f  %9.4g  %7.2f  ", row->flops / mega, row->flops / row->seconds / giga, row->bytes / mega,
               row->bytes / row->seconds / giga);
        print_time(row->limit);
        printf("  %6.1f %%  %s\n", row->seconds > 0 ? 100 * row->limit / row->seconds : 0, row->name);
    }
    print_time(sum);
    printf("  together, each at its best\n");
}

static void print_peaks(double multiply_add, double matrix_unit)
{
    printf("multiply-adds %.1f GFLOP/s", multiply_add / giga);
    if (matrix_unit > 0)
        printf(", products of f32 by AMX %.1f GFLOP/s", matrix_unit / giga);
}

static void print_limits(const struct bench *bench)
{
    const struct limits *limits = &bench->limits;

    printf("at its best, as kept: ");
    print_peaks(limits->multiply_add, limits->matrix_unit);
    printf(", copying");
    for (int i = 0; i < COPY_SIZES; i++)
        printf("%s within %.4g MB %.1f GB/s", i ? "," : "", (double)limits->copy[i].bytes / mega, limits->copy[i].rate / giga);
    printf(", all threads to begin and end %.2f us\n\n", 1e6 * limits->fork_join);
}

void bench_print(const struct bench *bench)
{
    struct rnet_machine machine;

    rnet_machine(&machine);
    printf("%s%s%s", bench->training->model, bench->phase->name ? ", phase " : "", bench->phase->name ? bench->phase->name : "");
    if (bench->training->data)
        printf(" on %s.%s", bench->training->split.data, bench->training->split.name);
    printf(", batch %lld, %s, %d thread%s of %s (%s, %d cores)\n", (long long)bench->training->batch,
           bench->training->precision == IR_DOUBLE ? "f64" : "f32", bench->options->threads,
           bench->options->threads == 1 ? "" : "s", machine.cpu, machine.isa, machine.cores);
    printf("this minute's machine: ");
    print_peaks(bench->multiply_add, bench->matrix_unit);
    printf(" for as long as a step, copying within %.4g MB %.1f GB/s; best of %d pass%s\n", (double)bench->copied / mega,
           bench->copy / giga, bench->passes, bench->passes == 1 ? "" : "es");
    print_limits(bench);
    printf("%-8s %11s  %9s  %8s  %7s%s  %9s  %7s  %7s  %7s  %10s  %10s\n", "", "step", "GFLOP", "GFLOP/s", "of peak",
           bench->matrix_unit > 0 ? "   of AMX" : "", "MB", "GB/s", "of limit", "kernels", "compile", "again");
    print_side(bench, &bench->fused);
    print_side(bench, &bench->unfused);
    print_notes(bench);
    if (bench->options->kernels)
        print_kernels(bench);
}

/* ---- for a program ---- */

static void print_string(const char *key, const char *string)
{
    printf("\"%s\": ", key);
    if (!string) {
        printf("null, ");
        return;
    }
    putchar('"');
    for (const char *c = string; *c; c++)
        if (*c == '"' || *c == '\\')
            printf("\\%c", *c);
        else if ((unsigned char)*c < 0x20)
            printf("\\u%04x", (unsigned)*c);
        else
            putchar(*c);
    printf("\", ");
}

/* null: the machine has none. */
static void print_number_or_null(const char *key, double number)
{
    if (number > 0)
        printf("\"%s\": %.6g, ", key, number);
    else
        printf("\"%s\": null, ", key);
}

static void print_side_json(const struct bench *bench, const struct bench_side *side)
{
    printf(",\n  \"%s\": {\"seconds\": %.9g, \"flops\": %.0f, \"bytes\": %.0f, \"gflops\": %.6g, \"gbytes\": %.6g, ", side->name,
           side->fastest, side->flops, side->bytes, side->flops / side->fastest / giga, side->bytes / side->fastest / giga);
    printf("\"of_peak\": %.6g, ", side->flops / side->fastest / bench->multiply_add);
    print_number_or_null("of_matrix_peak", bench->matrix_unit > 0 ? side->flops / side->fastest / bench->matrix_unit : 0);
    printf("\"of_limit\": %.6g, \"kernels\": %d, \"blas_products\": %d, ", limit_of(bench, side->flops, side->bytes) / side->fastest,
           side->compiled.program->kernels.count, products_by_blas(side));
    printf("\"compile_cold_seconds\": %.6g, \"compile_cached_seconds\": %.6g, \"planned_bytes\": %lld, \"used_bytes\": %lld, "
           "\"restarts\": %d}",
           side->cold, side->cached, (long long)side->planned, (long long)side->used, side->restarts);
}

static void print_limits_json(const struct limits *limits)
{
    printf(",\n  \"limits\": {\"gflops\": %.6g, ", limits->multiply_add / giga);
    print_number_or_null("matrix_gflops", limits->matrix_unit / giga);
    printf("\"fork_join_seconds\": %.6g, \"copy\": [", limits->fork_join);
    for (int i = 0; i < COPY_SIZES; i++)
        printf("%s{\"bytes\": %lld, \"gbytes\": %.6g}", i ? ", " : "", (long long)limits->copy[i].bytes,
               limits->copy[i].rate / giga);
    printf("]}");
}

static void print_kernels_json(const struct bench *bench)
{
    int count;
    const struct row *rows = kernel_rows(bench, &count);

    printf(",\n  \"kernels\": [");
    for (int i = 0; i < count; i++) {
        const struct row *row = &rows[i];

        printf("%s\n    {", i ? "," : "");
        print_string("name", row->name);
        printf("\"seconds\": %.9g, \"flops\": %.0f, \"bytes\": %.0f, \"limit_seconds\": %.9g, \"of_limit\": %.6g}", row->seconds,
               row->flops, row->bytes, row->limit, row->seconds > 0 ? row->limit / row->seconds : 0);
    }
    printf("]");
}

void bench_print_json(const struct bench *bench)
{
    struct rnet_machine machine;

    rnet_machine(&machine);
    printf("{");
    print_string("file", bench->options->files.at[0]);
    print_string("model", bench->training->model);
    print_string("phase", bench->phase->name);
    print_string("rnetc", RNET_VERSION);
    print_string("cpu", machine.cpu);
    print_string("isa", machine.isa);
    print_string("blas", rnet_blas_core());
    print_string("precision", bench->training->precision == IR_DOUBLE ? "f64" : "f32");
    print_string("made_up_data", bench->made_up);
    printf("\"cores\": %d, \"threads\": %d, \"batch\": %lld, \"batches\": %d, \"passes\": %d,\n  ", machine.cores,
           bench->options->threads, (long long)bench->training->batch, bench->fused.batch_count, bench->passes);
    print_number_or_null("matrix_peak_gflops", bench->matrix_unit / giga);
    printf("\"peak_gflops\": %.6g, \"copy_gbytes\": %.6g, \"copied_bytes\": %lld, \"front_seconds\": %.6g, \"peak_bytes\": %lld",
           bench->multiply_add / giga, bench->copy / giga, (long long)bench->copied, bench->front, (long long)bench->peak);
    print_limits_json(&bench->limits);
    print_side_json(bench, &bench->fused);
    print_side_json(bench, &bench->unfused);
    if (bench->options->kernels)
        print_kernels_json(bench);
    printf("}");
}
