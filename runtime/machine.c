/* machine.c: the processor, what this process may use of it and uses, and the clock. */
#include "rnet.h"

#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

static void processor_name(char *out, size_t size)
{
    char name[49] = "unknown";
#ifdef __x86_64__
    unsigned words[12];
    if (__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u) {
        for (unsigned i = 0; i < 3; i++)
            __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
        memcpy(name, words, sizeof words);
        name[48] = 0;
    }
#endif
    const char *start = name + strspn(name, " ");
    size_t length = strlen(start);
    while (length > 0 && start[length - 1] == ' ')
        length--;
    snprintf(out, size, "%.*s", (int)length, start);
}

static const char *widest_isa(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw"))
        return "avx512";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return "avx2";
    return "sse2";
#else
    return "portable";
#endif
}

static bool matrix_unit, matrix_unit_for_all;

/* The registers of tiles are large, so the kernel keeps them only for processes that ask (Linux, Documentation/arch/x86/xstate.rst).
   One that grants it has them enabled. */
static void ask_for_matrix_unit(void)
{
#if defined(__x86_64__) && defined(__linux__)
    enum { REQUEST_STATE = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    const char *said = getenv("RNET_AMX");
    unsigned a, b, c, d = 0;

    if ((said && !strcmp(said, "off")) || !__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return;
    matrix_unit = (d & AMX_BF16) && (d & AMX_TILE) && syscall(SYS_arch_prctl, REQUEST_STATE, TILE_DATA) == 0;
    matrix_unit_for_all = matrix_unit && said && !strcmp(said, "all");
#endif
}

bool rnet_matrix_unit(void)
{
    static pthread_once_t asked = PTHREAD_ONCE_INIT;

    pthread_once(&asked, ask_for_matrix_unit);
    return matrix_unit;
}

bool rnet_matrix_unit_for_all(void)
{
    return rnet_matrix_unit() && matrix_unit_for_all;
}

/* Processors that a container may use, from its quota of time (cgroup v2); 0: no limit. */
static int quota_cores(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (!file)
        return 0;
    long long quota = 0, period = 0;
    int found = fscanf(file, "%lld %lld", &quota, &period);
    fclose(file);
    return found == 2 && quota > 0 && period > 0 ? (int)((quota + period - 1) / period) : 0;
}

void rnet_machine(struct rnet_machine *out)
{
    *out = (struct rnet_machine){.cores = 1};
    processor_name(out->cpu, sizeof out->cpu);
    snprintf(out->isa, sizeof out->isa, "%s%s", widest_isa(), rnet_matrix_unit() ? " amx" : "");
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        out->cores = CPU_COUNT(&set);
    int quota = quota_cores();
    if (quota > 0 && quota < out->cores)
        out->cores = quota;
    out->memory_bytes = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

void rnet_resident(struct rnet_resident *out)
{
    char line[200];
    long long kilobytes;

    *out = (struct rnet_resident){0};
    malloc_trim(0);
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "VmRSS: %lld kB", &kilobytes) == 1)
            out->now = kilobytes * 1024;
        else if (sscanf(line, "VmHWM: %lld kB", &kilobytes) == 1)
            out->peak = kilobytes * 1024;
    fclose(file);
}

double rnet_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool rnet_cache_folder(char *out, size_t size)
{
    const char *said = getenv("RNET_CACHE"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;

    if (said && !strcmp(said, "off"))
        return false;
    if (said && *said)
        length = snprintf(out, size, "%s", said);
    else if (base && *base == '/')
        length = snprintf(out, size, "%s/rnet", base);
    else if (home && *home == '/')
        length = snprintf(out, size, "%s/.cache/rnet", home);
    return length > 0 && (size_t)length < size;
}
