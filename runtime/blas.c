/* blas.c: products by OpenBLAS. It reads the environment when it is loaded and then takes the kernels of a Pentium on
   every processor newer than itself, so it is opened only after the environment says what this processor is. One thread
   inside each call: our own pool makes the calls. */
#include "blas.h"
#include "rnet.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As CBLAS numbers them. */
enum { ROW_MAJOR = 101, NOT_TRANSPOSED = 111, TRANSPOSED = 112 };

typedef void sgemm_function(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                            const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef void dgemm_function(int order, int transpose_a, int transpose_b, int m, int n, int k, double alpha,
                            const double *a, int lda, const double *b, int ldb, double beta, double *c, int ldc);

static struct {
    void *library;
    sgemm_function *sgemm;
    dgemm_function *dgemm;
    const char *core;
} blas = {.core = "none"};
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

/* OpenBLAS's name for the best kernels this processor runs, NULL: let it choose. */
static const char *core_of_processor(void)
{
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd"))
        return "SkylakeX";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return __builtin_cpu_is("amd") ? "Zen" : "Haswell";
    if (__builtin_cpu_supports("avx"))
        return "Sandybridge";
#endif
    return NULL;
}

static bool open_locked(struct rnet_error *error)
{
    if (blas.library)
        return true;
    const char *wanted = getenv("OPENBLAS_CORETYPE") ? NULL : core_of_processor();
    if (wanted)
        setenv("OPENBLAS_CORETYPE", wanted, 0);
    setenv("OPENBLAS_NUM_THREADS", "1", 1);
    void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return rnet_fail(error, RNET_FAILED, "cannot open OpenBLAS (Debian: libopenblas0): %s", dlerror());

    /* dlsym gives an object pointer; POSIX lets it be read as a function's. */
    char *(*core_name)(void), *(*configuration)(void);
    void (*set_threads)(int);
    sgemm_function *sgemm;
    dgemm_function *dgemm;
    *(void **)&core_name = dlsym(library, "openblas_get_corename");
    *(void **)&configuration = dlsym(library, "openblas_get_config");
    *(void **)&set_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)&sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&dgemm = dlsym(library, "cblas_dgemm");
    if (!core_name || !configuration || !set_threads || !sgemm || !dgemm) {
        dlclose(library);
        return rnet_fail(error, RNET_FAILED, "libopenblas.so.0 is not OpenBLAS with CBLAS: it lacks %s",
                         !sgemm         ? "cblas_sgemm"
                         : !dgemm       ? "cblas_dgemm"
                         : !core_name   ? "openblas_get_corename"
                         : !set_threads ? "openblas_set_num_threads"
                                        : "openblas_get_config");
    }
    set_threads(1);
    /* A library built for one processor only cannot be asked; one that chooses must have heard us. */
    if (wanted && strcmp(core_name(), wanted) != 0 && strstr(configuration(), "DYNAMIC_ARCH")) {
        rnet_fail(error, RNET_FAILED,
                  "OpenBLAS runs its %s kernels where %s was asked for (it was loaded before, or is too old for them); "
                  "set OPENBLAS_CORETYPE=%s to accept that",
                  core_name(), wanted, core_name());
        dlclose(library);
        return false;
    }
    blas.library = library;
    blas.sgemm = sgemm;
    blas.dgemm = dgemm;
    blas.core = core_name();
    return true;
}

bool rnet_blas_open(struct rnet_error *error)
{
    pthread_mutex_lock(&opening);
    bool opened = open_locked(error);
    pthread_mutex_unlock(&opening);
    return opened;
}

void *rnet_blas_function(const char *name)
{
    return dlsym(blas.library, name);
}

const char *rnet_blas_core(void)
{
    return blas.core;
}

static _Noreturn void misuse(const char *what)
{
    fprintf(stderr, "rnet runtime: gemm: %s\n", what);
    abort();
}

/* OpenBLAS would print and return without a product. */
static void check(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb,
                  int64_t ldc)
{
    if (!blas.library)
        misuse("called before rnet_blas_open");
    if (m < 0 || n < 0 || k < 0 || m > INT_MAX || n > INT_MAX || k > INT_MAX || lda > INT_MAX || ldb > INT_MAX ||
        ldc > INT_MAX)
        misuse("an extent is not in 0 .. 2^31 - 1");
    if (lda < (a_transposed ? m : k) || ldb < (b_transposed ? k : n) || ldc < n)
        misuse("a row is longer than the distance between rows");
}

/* The distance between rows of nothing may be 0 here, not in BLAS. */
static int distance(int64_t ld)
{
    return ld < 1 ? 1 : (int)ld;
}

void rnet_gemm_f32(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    check(a_transposed, b_transposed, m, n, k, lda, ldb, ldc);
    blas.sgemm(ROW_MAJOR, a_transposed ? TRANSPOSED : NOT_TRANSPOSED, b_transposed ? TRANSPOSED : NOT_TRANSPOSED,
               (int)m, (int)n, (int)k, alpha, a, distance(lda), b, distance(ldb), beta, c, distance(ldc));
}

void rnet_gemm_f64(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
                   int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc)
{
    check(a_transposed, b_transposed, m, n, k, lda, ldb, ldc);
    blas.dgemm(ROW_MAJOR, a_transposed ? TRANSPOSED : NOT_TRANSPOSED, b_transposed ? TRANSPOSED : NOT_TRANSPOSED,
               (int)m, (int)n, (int)k, alpha, a, distance(lda), b, distance(ldb), beta, c, distance(ldc));
}
