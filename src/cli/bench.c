/* bench.c: rnetc bench: how fast a step of training is, beside the same step an equation at a time and beside what the machine
   gives in the same minutes. */
#include "bench.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_COPIED = 256 << 20, PASSES = 5 };
static const double pass_seconds = 0.3; /* of each side in each pass */

/* ---- what was compiled, kept in a folder of this command's own ---- */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static void use_cache(const char *folder)
{
    if (folder)
        setenv("RNET_CACHE", folder, 1);
    else
        unsetenv("RNET_CACHE");
}

/* What a process of its own finds: the parent then has no LLVM in its memory, and reads code from the cache as any later
   run does. */
struct cold {
    bool fine;
    double fused, unfused;
};

static void compile_cold(struct bench *bench, const char *own_cache, int out)
{
    struct cold cold = {.fine = true};
    struct dataset data;
    struct rnet_error error;

    cold.fine = bench_compile(&bench->fused, &error) && bench_compile(&bench->unfused, &error);
    if (!cold.fine)
        complain_error(&error);
    cold.fused = compile_seconds(&bench->fused.compiled.timing);
    cold.unfused = compile_seconds(&bench->unfused.compiled.timing);
    if (write(out, &cold, sizeof cold) != (ssize_t)sizeof cold)
        _exit(RNET_FAILED);
    use_cache(own_cache); /* programs that make the data are compiled here too, for the parent */
    if (cold.fine && bench->training->data)
        dataset_read(&data, &bench->phase->split, bench->fused.compiled.program, bench->source, &error);
    fflush(NULL);
    _exit(cold.fine ? RNET_DONE : RNET_FAILED);
}

static int compile_in_child(struct bench *bench, const char *own_cache)
{
    struct cold cold = {0};
    int ends[2], status;
    pid_t child;
    bool told;

    fflush(NULL);
    if (pipe(ends) || (child = fork()) < 0)
        return complain(RNET_FAILED, "no process could be made to compile in");
    if (child == 0) {
        close(ends[0]);
        compile_cold(bench, own_cache, ends[1]);
    }
    close(ends[1]);
    told = read(ends[0], &cold, sizeof cold) == (ssize_t)sizeof cold;
    close(ends[0]);
    if (waitpid(child, &status, 0) != child || !told || !cold.fine || !WIFEXITED(status) || WEXITSTATUS(status))
        return RNET_FAILED;
    bench->fused.cold = cold.fused;
    bench->unfused.cold = cold.unfused;
    return RNET_DONE;
}

static int compile_both(struct bench *bench)
{
    const char *before = getenv("RNET_CACHE"), *temporary = getenv("TMPDIR");
    const char *own = before ? arena_string(bench->arena, before) : NULL;
    char *folder = arena_printf(bench->arena, "%s/rnetc-bench-XXXXXX", temporary && *temporary ? temporary : P_tmpdir);
    struct rnet_error error;
    int status;

    if (!mkdtemp(folder))
        return complain(RNET_FAILED, "%s: no folder can be made there", folder);
    use_cache(folder);
    status = compile_in_child(bench, own);
    if (status == RNET_DONE && !(bench_compile(&bench->fused, &error) && bench_compile(&bench->unfused, &error)))
        status = complain_error(&error);
    use_cache(own);
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    bench->fused.cached = compile_seconds(&bench->fused.compiled.timing);
    bench->unfused.cached = compile_seconds(&bench->unfused.compiled.timing);
    return status;
}

/* ---- the measurement ---- */

static uint64_t steps_of(const struct training *training, const struct dataset *data)
{
    double items = data ? (double)data->items : 0;

    if (training->steps > 0)
        return (uint64_t)training->steps;
    /* Of data that are not there nobody knows how many there are. */
    return items > 0 && training->epochs > 0 ? (uint64_t)ceil(training->epochs * items / (double)training->batch) : 1000;
}

static int measure(struct bench *bench)
{
    int64_t bytes = bench->fused.planned < MOST_COPIED ? bench->fused.planned : MOST_COPIED;
    char *memory = aligned_alloc(64, ((size_t)bytes + 64) / 64 * 64);
    bool kernels = bench->options->kernels;
    int status = RNET_DONE;

    if (!memory)
        return complain(RNET_FAILED, "out of memory (%lld bytes to copy)", (long long)bytes);
    memset(memory, 0, (size_t)bytes);
    bench->copied = bytes;
    limits_of_machine(bench->pool, &bench->limits);
    for (bench->passes = 0; status == RNET_DONE && bench->passes < (int)bench->options->passes; bench->passes++) {
        bench->copy = fmax(bench->copy, rnet_copy_rate(bench->pool, memory, bytes));
        status = bench_run(bench, &bench->fused, pass_seconds, false);
        if (status == RNET_DONE && kernels)
            status = bench_run(bench, &bench->fused, pass_seconds, true);
        if (status == RNET_DONE)
            status = bench_run(bench, &bench->unfused, pass_seconds, false);
        if (status == RNET_DONE && rnet_interrupt_asked())
            status = RNET_INTERRUPTED;
    }
    limits_seen(bench->pool, &bench->limits, bench->multiply_add, bench->matrix_unit);
    if (bench->training->precision == IR_DOUBLE) { /* a vector holds half as many, and parts of bf16 are of f32 */
        bench->multiply_add /= 2;
        bench->limits.multiply_add /= 2;
        bench->limits.matrix_unit = 0;
    }
    free(memory);
    return status;
}

static int bench_step(struct bench *bench)
{
    struct dataset read = {0}, *data = NULL;
    struct rnet_error error;
    int status = compile_both(bench);

    if (status != RNET_DONE)
        return status;
    if (!bench->training->data || dataset_read(&read, &bench->phase->split, bench->fused.compiled.program, bench->source, &error))
        data = &read;
    else
        bench->made_up = arena_string(bench->arena, error.message);
    if (data && bench->training->data && read.items < bench->training->batch)
        return complain(RNET_DATA, "batch is %lld, and %s.%s has %lld items", (long long)bench->training->batch,
                        bench->training->split.data, bench->training->split.name, (long long)read.items);
    bench->fused.steps = bench->unfused.steps = steps_of(bench->training, data);
    bench->pool = rnet_pool_new(bench->options->threads);
    if (!bench->pool)
        return complain(RNET_FAILED, "%d threads could not be made", bench->options->threads);
    status = bench_prepare(bench, &bench->fused, data);
    if (status == RNET_DONE && bench->options->try)
        status = bench_try(bench);
    if (status == RNET_DONE && !bench->options->try)
        status = bench_prepare(bench, &bench->unfused, data);
    if (status == RNET_DONE && !bench->options->try)
        status = measure(bench);
    bench_release(&bench->fused);
    bench_release(&bench->unfused);
    rnet_pool_free(bench->pool);
    dataset_free(&read);
    return status;
}

/* ---- the command ---- */

static struct bench_side side_new(struct arena *arena, const char *name, bool fuse, const struct phase *phase)
{
    return (struct bench_side){.name = name, .fuse = fuse, .phase = phase, .layout = layout_new(arena)};
}

static int bench_training(struct bench *common, int number, bool *first, struct diagnostics *d)
{
    struct options *options = common->options;
    double begin = rnet_seconds();
    struct training *training = lower_training(common->unit, number, lower_options_of(options), d), *again;
    int status = RNET_DONE;

    common->front += rnet_seconds() - begin;
    again = training ? lower_training(common->unit, number, lower_options_of(options), d) : NULL;
    if (program_wrong(options, d) || !training || !again)
        return RNET_SOURCE;
    for (int i = 0; i < training->phases.count && status == RNET_DONE; i++) {
        struct bench bench = *common;

        bench.training = training;
        bench.phase = &training->phases.at[i];
        bench.fused = side_new(bench.arena, "fused", true, bench.phase);
        bench.unfused = side_new(bench.arena, "unfused", false, &again->phases.at[i]);
        bench.source->seed = training->seed;
        bench.source->precision = (int)training->precision;
        bench.source->threads = options->threads;
        status = bench_step(&bench);
        if (status != RNET_DONE)
            break;
        if (options->try)
            continue;
        if (options->json) {
            printf("%s", *first ? "[" : ",\n");
            bench_print_json(&bench);
        } else {
            printf("%s", *first ? "" : "\n");
            bench_print(&bench);
        }
        *first = false;
    }
    return status;
}

int run_bench(struct options *options)
{
    struct bench bench = {.options = options, .arena = options->arena};
    double begin = rnet_seconds();
    struct diagnostics *d;
    struct rnet_resident resident;
    struct rnet_error error;
    bool first = true;
    int status = RNET_DONE;

    if (options->try && options->json)
        return complain(RNET_USAGE, "bench --try says what it finds to a person only; see rnetc bench --help");
    if (!options->passes)
        options->passes = PASSES;
    rnet_resident(&resident);
    bench.resident_before = resident.now;
    bench.unit = program_read(options, &d);
    if (!bench.unit)
        return RNET_SOURCE;
    if (unit_trainings(bench.unit) == 0)
        return complain(RNET_SOURCE, "%s: there is no train block, so there is no step to measure", options->files.at[0]);
    bench.front = rnet_seconds() - begin;
    if (!rnet_blas_open(&error))
        return complain_error(&error);
    bench.source = data_source_new(options->arena, bench.unit, store_new(options->arena));
    rnet_interrupt_install();
    for (int i = 0; i < unit_trainings(bench.unit) && status == RNET_DONE; i++)
        status = bench_training(&bench, i, &first, d);
    if (options->json && !first)
        puts("]");
    return status;
}
