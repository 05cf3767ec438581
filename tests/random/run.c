/* run.c: `run N SEED` executes N programs, from seed SEED on; `run for N hours [SEED]` as many as there is time for, from a seed
   that it makes up and prints; `run FILE...` programs that are kept, with every check.
   A program that fails is printed whole, and once more shrunk. `run print SEED` prints one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"
#include "random.h"

static char *file_text(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "r");
    struct text text = {0};
    char bytes[4096], *copy;
    size_t size;

    if (!file) {
        perror(path);
        exit(1);
    }
    while ((size = fread(bytes, 1, sizeof bytes, file)) > 0)
        text_add_slice(&text, bytes, size);
    fclose(file);
    copy = arena_string(arena, text.data ? text.data : "");
    text_free(&text);
    return copy;
}

static const char *const stages[TIMES] = {"front", "evaluator", "compiled quickly", "compiled for users", "executed"};

/* What is checked of program number n, beyond what is checked of all. */
static unsigned checks_of(uint64_t n)
{
    return (n % 10 == 0 ? CHECK_GRADIENTS : 0) | (n % 3 == 0 ? CHECK_SINGLE : 0) | (n % 8 == 1 ? CHECK_USERS : 0) |
           (n % 5 == 2 ? CHECK_PREDICTION : 0);
}

struct tally {
    int64_t failed, excused, refused;
    double seconds[TIMES];
};

static void judge(struct arena *arena, const char *what, const char *program, unsigned checks, bool kept,
                  struct verdict verdict, struct tally *tally)
{
    for (int i = 0; i < TIMES; i++)
        tally->seconds[i] += verdict.seconds[i];
    if (verdict.passed) {
        tally->excused += verdict.excused;
        return;
    }
    /* The generator does not know which values differ between samples; to reduce those that do not over the batch is refused. */
    if (!kept && !strncmp(verdict.kind, "sema E0403", 10)) {
        tally->refused++;
        return;
    }
    tally->failed++;
    printf("---- %s: %s: %s\n", what, verdict.kind, verdict.message);
    fflush(stdout);
    if (kept)
        return;
    printf("%s", program);
    program = shrink(arena, program, &verdict, checks);
    verdict = verdict_of(program, checks);
    printf("---- shrunk, %s: %s: %s\n%s----\n", what, verdict.kind, verdict.message, program);
    fflush(stdout);
}

/* Programs from seed on, or those of the files, a few at once; judged in their order. None begins after `until`. */
static int run_all(int64_t count, uint64_t seed, char **paths, double until)
{
    enum { MOST = 64 };
    struct {
        struct arena *arena;
        const char *program, *what;
        unsigned checks;
        struct trial *trial;
    } open[MOST];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t jobs = processors < 1 ? 1 : processors > MOST ? MOST : processors, next = 0;
    struct tally tally = {0};

    for (int64_t i = 0; i < count; i++) {
        if (rnet_seconds() > until)
            count = next;
        for (; next < count && next < i + jobs; next++) {
            struct arena *arena = arena_new();
            uint64_t number = seed + (uint64_t)next;
            int at = (int)(next % jobs);
            open[at].arena = arena;
            open[at].program = paths ? file_text(arena, paths[next]) : random_program(arena, number);
            open[at].what = paths ? paths[next] : arena_printf(arena, "seed %" PRIu64, number);
            open[at].checks = paths ? CHECK_ALL : checks_of(number);
            open[at].trial = trial_start(open[at].program, open[at].checks);
        }
        if (i >= count)
            break;
        int at = (int)(i % jobs);
        judge(open[at].arena, open[at].what, open[at].program, open[at].checks, paths != NULL, trial_wait(open[at].trial),
              &tally);
        arena_free(open[at].arena);
    }
    printf("%" PRId64 " programs: %" PRId64 " failed, %" PRId64 " refused, %" PRId64 " with a tensor that is all rounding\n",
           count, tally.failed, tally.refused, tally.excused);
    for (int i = 0; i < TIMES; i++)
        printf("%s%s %.1f ms a program", i ? ", " : "", stages[i], 1000 * tally.seconds[i] / (double)count);
    printf("\n");
    /* What is excused or refused is not tested: were it many, the generator would be at fault. */
    return tally.failed > 0 || (!paths && (tally.excused * 3 > count || tally.refused * 10 > count));
}

/* Kernels of all programs are kept in a folder that is made for this run: many are equal. */
static char cache[600];

static void remove_cache(void)
{
    char command[700];

    snprintf(command, sizeof command, "rm -rf '%s'", cache);
    if (system(command))
        fprintf(stderr, "%s is left\n", cache);
}

static void make_cache(void)
{
    const char *folder = getenv("TMPDIR");

    snprintf(cache, sizeof cache, "%s/rnet-random-XXXXXX", folder && *folder ? folder : "/tmp");
    if (!mkdtemp(cache)) {
        perror(cache);
        exit(1);
    }
    setenv("RNET_CACHE", cache, 1);
    atexit(remove_cache);
}

int main(int argc, char **argv)
{
    const struct code_api *api;
    struct rnet_error error;

    setenv("RNET_CODEGEN_MODULE", CODEGEN_MODULE, 0);
    setenv("RNET_CACHE", "off", 0);
    if (argc == 3 && !strcmp(argv[1], "print")) {
        fputs(random_program(arena_new(), strtoull(argv[2], NULL, 10)), stdout);
        return 0;
    }
    api = codegen_open(&error);
    if (!api) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    api->host(); /* loads LLVM once for all processes that are forked from this one */
    make_cache();
    if (argc == 3 && strspn(argv[1], "0123456789") == strlen(argv[1]))
        return run_all(strtoll(argv[1], NULL, 10), strtoull(argv[2], NULL, 10), NULL, INFINITY);
    if ((argc == 4 || argc == 5) && !strcmp(argv[1], "for") && !strcmp(argv[3], "hours")) {
        uint64_t seed = argc == 5 ? strtoull(argv[4], NULL, 10) : (uint64_t)time(NULL) * 1000;
        printf("from seed %" PRIu64 "\n", seed);
        return run_all(INT64_MAX / 2, seed, NULL, rnet_seconds() + 3600 * strtod(argv[2], NULL));
    }
    if (argc < 2) {
        fprintf(stderr, "usage: run N SEED | run for N hours [SEED] | run print SEED | run FILE...\n");
        return 2;
    }
    return run_all(argc - 1, 0, argv + 1, INFINITY);
}
