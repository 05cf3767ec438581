/* limits.c: what this machine gives at its best, kept beside the compiled kernels: multiply-adds on registers, products by the
   matrix unit, copies within memory of several sizes, a fork and join of all threads. Measured when a measurement is wanted
   and none is kept, in about a third of a second, and again in a minute that is seen to be better; training never measures. A
   machine is shared, so what is kept is the best of each number. Nothing that a program computes, and no choice that could
   change it, depends on these numbers. */
#include "driver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Within the caches of all threads' cores, of most processors' last cache, in memory. */
static const int64_t sizes[COPY_SIZES] = {1 << 20, 2 << 20, 8 << 20, 32 << 20, 256 << 20};

enum { SLICES = 6 };
static const double slice_seconds = 1e-3;

static void measure(struct rnet_pool *pool, struct limits *out)
{
    int64_t most = sizes[COPY_SIZES - 1];
    char *memory = aligned_alloc(64, (size_t)most);

    for (int i = 0; i < SLICES; i++) {
        out->multiply_add = fmax(out->multiply_add, rnet_multiply_add_rate(pool, slice_seconds));
        out->matrix_unit = fmax(out->matrix_unit, rnet_matrix_unit_rate(pool, slice_seconds));
    }
    out->fork_join = rnet_fork_join_seconds(pool);
    if (memory)
        memset(memory, 1, (size_t)most);
    for (int i = 0; i < COPY_SIZES; i++) {
        out->copy[i].bytes = sizes[i];
        out->copy[i].rate = memory ? rnet_copy_rate(pool, memory, sizes[i]) : 0;
    }
    free(memory);
}

/* ---- the file ---- */

/* All that a file is good for: another processor, other instructions of it, or other threads have a file of their own. */
static bool file_of(char *path, size_t size, int threads)
{
    struct rnet_machine machine;
    char folder[4000], what[300];

    if (!rnet_cache_folder(folder, sizeof folder))
        return false;
    rnet_machine(&machine);
    snprintf(what, sizeof what, "%s, %s, %d of %d cores", machine.cpu, machine.isa, threads, machine.cores);
    return snprintf(path, size, "%s/limits-%016llx", folder, (unsigned long long)hash_bytes(what, strlen(what), 0)) < (int)size;
}

static bool above_zero(double number)
{
    return number > 0 && number < 1e30;
}

static bool read_file(const char *path, struct limits *out)
{
    FILE *file = fopen(path, "re");
    struct limits found = {0};
    bool whole;

    if (!file)
        return false;
    whole = fscanf(file, "multiply_add %lf matrix_unit %lf fork_join %lf", &found.multiply_add, &found.matrix_unit,
                   &found.fork_join) == 3 &&
            above_zero(found.multiply_add) && above_zero(found.fork_join) &&
            (rnet_matrix_unit() ? above_zero(found.matrix_unit) : found.matrix_unit == 0);
    for (int i = 0; i < COPY_SIZES && whole; i++) {
        long long bytes;

        whole = fscanf(file, " copy %lld %lf", &bytes, &found.copy[i].rate) == 2 && bytes == sizes[i] &&
                above_zero(found.copy[i].rate);
        found.copy[i].bytes = sizes[i];
    }
    fclose(file);
    if (whole)
        *out = found;
    return whole;
}

/* Under a name of its own, then renamed: who reads finds a whole file. What cannot be written is measured again. */
static void write_file(const char *path, const struct limits *limits)
{
    char own[4200];
    FILE *file;
    bool whole;

    snprintf(own, sizeof own, "%s", path);
    for (char *slash = own; (slash = strchr(slash + 1, '/')); *slash = '/') {
        *slash = 0;
        mkdir(own, 0700);
    }
    snprintf(own, sizeof own, "%s.%d", path, (int)getpid());
    if (!(file = fopen(own, "we")))
        return;
    fprintf(file, "multiply_add %.9g matrix_unit %.9g fork_join %.9g\n", limits->multiply_add, limits->matrix_unit,
            limits->fork_join);
    for (int i = 0; i < COPY_SIZES; i++)
        fprintf(file, "copy %lld %.9g\n", (long long)limits->copy[i].bytes, limits->copy[i].rate);
    whole = !ferror(file);
    if (fclose(file) || !whole || rename(own, path))
        unlink(own);
}

/* ---- the interface ---- */

void limits_of_machine(struct rnet_pool *pool, struct limits *out)
{
    char path[4100];
    bool kept = file_of(path, sizeof path, rnet_pool_threads(pool));

    if (kept && read_file(path, out))
        return;
    *out = (struct limits){0};
    measure(pool, out);
    if (kept)
        write_file(path, out);
}

void limits_seen(struct rnet_pool *pool, struct limits *limits, double multiply_add, double matrix_unit)
{
    const double worth = 1.02;
    struct limits now = {0};
    char path[4100];

    if (multiply_add <= worth * limits->multiply_add && matrix_unit <= worth * limits->matrix_unit)
        return;
    measure(pool, &now);
    limits->multiply_add = fmax(limits->multiply_add, fmax(multiply_add, now.multiply_add));
    limits->matrix_unit = fmax(limits->matrix_unit, fmax(matrix_unit, now.matrix_unit));
    limits->fork_join = fmin(limits->fork_join, now.fork_join);
    for (int i = 0; i < COPY_SIZES; i++)
        if (now.copy[i].rate > limits->copy[i].rate)
            limits->copy[i].rate = now.copy[i].rate;
    if (file_of(path, sizeof path, rnet_pool_threads(pool)))
        write_file(path, limits);
}

double limits_copy(const struct limits *limits, double bytes)
{
    double best = 0;

    for (int i = COPY_SIZES - 1; i >= 0 && bytes <= (double)limits->copy[i].bytes; i--)
        best = limits->copy[i].rate > best ? limits->copy[i].rate : best;
    return best > 0 ? best : limits->copy[COPY_SIZES - 1].rate;
}
