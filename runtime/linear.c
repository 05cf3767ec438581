/* linear.c: ranks, solutions of linear systems, Cholesky's and QR factors. One thread inside each call; nothing is
 * allocated. */
#include "blas.h"
#include "rnet.h"

#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fortran's calls: all by reference, lengths of strings behind the rest. */
typedef void getrf_f32_function(int *, int *, float *, int *, int *, int *);
typedef void getrf_f64_function(int *, int *, double *, int *, int *, int *);
typedef void getrs_f32_function(const char *, int *, int *, float *, int *, int *, float *, int *, int *, size_t);
typedef void getrs_f64_function(const char *, int *, int *, double *, int *, int *, double *, int *, int *, size_t);
typedef void potrf_f32_function(const char *, int *, float *, int *, int *, size_t);
typedef void potrf_f64_function(const char *, int *, double *, int *, int *, size_t);
typedef void geqrf_f32_function(int *, int *, float *, int *, float *, float *, int *, int *);
typedef void geqrf_f64_function(int *, int *, double *, int *, double *, double *, int *, int *);
typedef void orgqr_f32_function(int *, int *, int *, float *, int *, float *, float *, int *, int *);
typedef void orgqr_f64_function(int *, int *, int *, double *, int *, double *, double *, int *, int *);

static struct {
    bool open;
    getrf_f32_function *getrf_f32;
    getrf_f64_function *getrf_f64;
    getrs_f32_function *getrs_f32;
    getrs_f64_function *getrs_f64;
    potrf_f32_function *potrf_f32;
    potrf_f64_function *potrf_f64;
    geqrf_f32_function *geqrf_f32;
    geqrf_f64_function *geqrf_f64;
    orgqr_f32_function *orgqr_f32;
    orgqr_f64_function *orgqr_f64;
} lapack;
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static bool open_locked(struct rnet_error *error)
{
    /* dlsym gives an object pointer; POSIX lets it be read as a function's. */
    const struct {
        const char *name;
        void **at;
    } functions[] = {
        {"sgetrf_", (void **)&lapack.getrf_f32}, {"dgetrf_", (void **)&lapack.getrf_f64},
        {"sgetrs_", (void **)&lapack.getrs_f32}, {"dgetrs_", (void **)&lapack.getrs_f64},
        {"spotrf_", (void **)&lapack.potrf_f32}, {"dpotrf_", (void **)&lapack.potrf_f64},
        {"sgeqrf_", (void **)&lapack.geqrf_f32}, {"dgeqrf_", (void **)&lapack.geqrf_f64},
        {"sorgqr_", (void **)&lapack.orgqr_f32}, {"dorgqr_", (void **)&lapack.orgqr_f64},
    };

    if (lapack.open)
        return true;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        *functions[i].at = rnet_blas_function(functions[i].name);
        if (!*functions[i].at)
            return rnet_fail(error, RNET_FAILED,
                             "libopenblas.so.0 was built without LAPACK: it lacks %s (Debian's libopenblas0 has it)",
                             functions[i].name);
    }
    lapack.open = true;
    return true;
}

bool rnet_lapack_open(struct rnet_error *error)
{
    if (!rnet_blas_open(error))
        return false;
    pthread_mutex_lock(&opening);
    bool opened = open_locked(error);
    pthread_mutex_unlock(&opening);
    return opened;
}

static int as_int(int64_t size)
{
    if (!lapack.open || size > INT_MAX) {
        fprintf(stderr, "rnet runtime: LAPACK: %s\n",
                lapack.open ? "an extent is not below 2^31" : "called before rnet_lapack_open");
        abort();
    }
    return (int)size;
}

#define REAL     float
#define OF(name) name##_f32
#include "linear_of.h"

#define REAL     double
#define OF(name) name##_f64
#include "linear_of.h"
