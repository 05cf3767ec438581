/* run.c: `run N SEED` executes N programs, from seed SEED on, in three ways each; `run FILE...` programs that are kept.
   A program that fails is printed whole, and once more shrunk. `run print SEED` prints one. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int run_files(int count, char **paths)
{
    struct arena *arena = arena_new();
    int failed = 0;

    for (int i = 0; i < count; i++) {
        struct verdict verdict = verdict_of(file_text(arena, paths[i]), CHECK_GRADIENTS | CHECK_SINGLE);
        if (verdict.passed)
            continue;
        failed++;
        fprintf(stderr, "%s: %s: %s\n", paths[i], verdict.kind, verdict.message);
    }
    arena_free(arena);
    return failed ? 1 : 0;
}

static int run_random(int64_t count, uint64_t seed)
{
    int64_t failed = 0, excused = 0, refused = 0;

    for (int64_t i = 0; i < count; i++) {
        struct arena *arena = arena_new();
        uint64_t number = seed + (uint64_t)i;
        const char *program = random_program(arena, number);
        unsigned checks = (number % 10 == 0 ? CHECK_GRADIENTS : 0) | (number % 3 == 0 ? CHECK_SINGLE : 0);
        struct verdict verdict = verdict_of(program, checks);

        excused += verdict.passed && verdict.excused;
        if (!strcmp(verdict.kind, "sema E0190")) {
            refused++;
        } else if (!verdict.passed) {
            failed++;
            printf("---- seed %" PRIu64 ": %s: %s\n%s", number, verdict.kind, verdict.message, program);
            fflush(stdout);
            program = shrink(arena, program, &verdict, checks);
            verdict = verdict_of(program, checks);
            printf("---- shrunk, seed %" PRIu64 ": %s: %s\n%s----\n", number, verdict.kind, verdict.message, program);
            fflush(stdout);
        }
        arena_free(arena);
    }
    printf("%" PRId64 " programs: %" PRId64 " failed, %" PRId64 " refused, %" PRId64 " with a tensor that is all rounding\n",
           count, failed, refused, excused);
    /* What is excused or refused is not tested: were it many, the generator would be at fault. */
    return failed > 0 || excused * 3 > count || refused * 10 > count;
}

int main(int argc, char **argv)
{
    struct rnet_error error;

    setenv("RNET_CODEGEN_MODULE", CODEGEN_MODULE, 0);
    if (argc == 3 && !strcmp(argv[1], "print")) {
        fputs(random_program(arena_new(), strtoull(argv[2], NULL, 10)), stdout);
        return 0;
    }
    if (!codegen_open(&error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (argc == 3 && strspn(argv[1], "0123456789") == strlen(argv[1]))
        return run_random(strtoll(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
    if (argc < 2) {
        fprintf(stderr, "usage: run N SEED | run print SEED | run FILE...\n");
        return 2;
    }
    return run_files(argc - 1, argv + 1);
}
