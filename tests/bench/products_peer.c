/* products_peer.c: see products_peer.h. Prototypes are those of the libraries' C interfaces; their headers are not
 * needed. */
#include "products_peer.h"

#include <dlfcn.h>

/* Fortran's BLAS: columns first, everything by address. */
typedef void sgemm_function(const char *a_order, const char *b_order, const int *m, const int *n, const int *k,
                            const float *alpha, const float *a, const int *a_leading, const float *b,
                            const int *b_leading, const float *beta, float *c, const int *c_leading);
typedef void threads_function(int threads);

/* oneDNN 3: every object is a pointer, every function returns 0 when it succeeds. */
enum {
    DNNL_CPU = 1,
    DNNL_IN_ORDER = 1,
    DNNL_F32 = 3,
    DNNL_MOST_AXES = 12,
    DNNL_SOURCE = 1,
    DNNL_WEIGHTS = 33,
    DNNL_RESULT = 17
};
typedef int64_t dnnl_axes[DNNL_MOST_AXES];
struct dnnl_argument {
    int which;
    void *memory;
};
struct dnnl {
    int (*engine_create)(void **engine, int kind, size_t index);
    int (*stream_create)(void **stream, void *engine, unsigned flags);
    int (*stream_wait)(void *stream);
    int (*layout_create)(void **layout, int axes, const dnnl_axes extents, int type, const dnnl_axes strides);
    int (*layout_destroy)(void *layout);
    int (*matmul_create)(void **description, void *engine, void *source, void *weights, void *bias, void *result,
                         void *attributes);
    int (*description_destroy)(void *description);
    int (*primitive_create)(void **primitive, void *description);
    int (*primitive_execute)(void *primitive, void *stream, int count, const struct dnnl_argument *arguments);
    int (*primitive_destroy)(void *primitive);
    int (*memory_create)(void **memory, void *layout, void *engine, void *data);
    int (*memory_destroy)(void *memory);
};

struct peer {
    const char *name;
    sgemm_function *sgemm;         /* NULL: oneDNN */
    threads_function *set_threads; /* the library's own, or OpenMP's */
    struct dnnl dnnl;
    void *engine, *stream;
};
struct peer_product {
    struct peer *peer;
    struct matrices product;
    void *primitive, *memory[3];
};

/* ---- opening ---- */

static bool find(void *library, const char *name, void *function)
{
    void *found = dlsym(library, name);

    *(void **)function = found; /* POSIX lets an object pointer be read as a function's */
    return found;
}

static bool open_dnnl(struct peer *peer, void *library)
{
    struct dnnl *d = &peer->dnnl;

    return find(library, "dnnl_engine_create", &d->engine_create) &&
           find(library, "dnnl_stream_create", &d->stream_create) &&
           find(library, "dnnl_stream_wait", &d->stream_wait) &&
           find(library, "dnnl_memory_desc_create_with_strides", &d->layout_create) &&
           find(library, "dnnl_memory_desc_destroy", &d->layout_destroy) &&
           find(library, "dnnl_matmul_primitive_desc_create", &d->matmul_create) &&
           find(library, "dnnl_primitive_desc_destroy", &d->description_destroy) &&
           find(library, "dnnl_primitive_create", &d->primitive_create) &&
           find(library, "dnnl_primitive_execute", &d->primitive_execute) &&
           find(library, "dnnl_primitive_destroy", &d->primitive_destroy) &&
           find(library, "dnnl_memory_create", &d->memory_create) &&
           find(library, "dnnl_memory_destroy", &d->memory_destroy) &&
           find(library, "omp_set_num_threads", &peer->set_threads) && !d->engine_create(&peer->engine, DNNL_CPU, 0) &&
           !d->stream_create(&peer->stream, peer->engine, DNNL_IN_ORDER);
}

struct peer *peer_open(struct arena *arena, const char *path, const char **why)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    struct peer *peer = NEW(arena, struct peer);
    threads_function *set_dynamic;

    if (!library) {
        *why = dlerror();
        return NULL;
    }
    if (find(library, "openblas_set_num_threads", &peer->set_threads) && find(library, "sgemm_", &peer->sgemm))
        peer->name = "OpenBLAS";
    else if (find(library, "MKL_Set_Num_Threads_Local", &peer->set_threads) &&
             find(library, "MKL_Set_Dynamic", &set_dynamic) && find(library, "sgemm_", &peer->sgemm)) {
        set_dynamic(false); /* as PyTorch does: all the threads that it is given */
        peer->name = "MKL";
    } else if (open_dnnl(peer, library))
        peer->name = "oneDNN";
    else
        *why = arena_printf(arena, "%s exports neither OpenBLAS, nor MKL, nor oneDNN 3 with OpenMP", path);
    return peer->name ? peer : NULL;
}

const char *peer_name(const struct peer *peer)
{
    return peer->name;
}

/* ---- a product ---- */

static void *dnnl_memory(struct peer_product *p, int which, void *layout, const float *data)
{
    if (p->peer->dnnl.memory_create(&p->memory[which], layout, p->peer->engine, (void *)(uintptr_t)data))
        p->memory[which] = NULL;
    return p->memory[which];
}

static bool prepare_dnnl(struct peer_product *p)
{
    const struct matrices *x = &p->product;
    const struct dnnl *d = &p->peer->dnnl;
    const int64_t m = x->m, n = x->n, k = x->k;
    const dnnl_axes extents[3] = {{m, k}, {k, n}, {m, n}};
    const dnnl_axes strides[3] = {
        {x->a_transposed ? 1 : k, x->a_transposed ? m : 1}, {x->b_transposed ? 1 : n, x->b_transposed ? k : 1}, {n, 1}};
    const float *data[3] = {x->a, x->b, x->c};
    void *layouts[3] = {NULL}, *description = NULL;
    bool fine = true;

    for (int i = 0; i < 3; i++)
        fine = fine && !d->layout_create(&layouts[i], 2, extents[i], DNNL_F32, strides[i]) &&
               dnnl_memory(p, i, layouts[i], data[i]);
    fine = fine && !d->matmul_create(&description, p->peer->engine, layouts[0], layouts[1], NULL, layouts[2], NULL) &&
           !d->primitive_create(&p->primitive, description);
    if (description)
        d->description_destroy(description);
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            d->layout_destroy(layouts[i]);
    return fine;
}

struct peer_product *peer_prepare(struct arena *arena, struct peer *peer, const struct matrices *product, int threads)
{
    struct peer_product *prepared = NEW(arena, struct peer_product);

    *prepared = (struct peer_product){.peer = peer, .product = *product};
    peer->set_threads(threads);
    if (!peer->sgemm && !prepare_dnnl(prepared)) {
        peer_release(prepared);
        return NULL;
    }
    return prepared;
}

static void run_sgemm(const struct peer *peer, const struct matrices *x)
{
    const float one = 1, zero = 0;
    const int a_leading = x->a_transposed ? x->m : x->k, b_leading = x->b_transposed ? x->k : x->n;

    /* By columns it is the transposed product: C' = B' A'. */
    peer->sgemm(x->b_transposed ? "T" : "N", x->a_transposed ? "T" : "N", &x->n, &x->m, &x->k, &one, x->b, &b_leading,
                x->a, &a_leading, &zero, x->c, &x->n);
}

void peer_run(struct peer_product *p)
{
    if (p->peer->sgemm) {
        run_sgemm(p->peer, &p->product);
        return;
    }
    const struct dnnl_argument arguments[3] = {
        {DNNL_SOURCE, p->memory[0]}, {DNNL_WEIGHTS, p->memory[1]}, {DNNL_RESULT, p->memory[2]}};

    p->peer->dnnl.primitive_execute(p->primitive, p->peer->stream, 3, arguments);
    p->peer->dnnl.stream_wait(p->peer->stream);
}

void peer_release(struct peer_product *p)
{
    if (p->primitive)
        p->peer->dnnl.primitive_destroy(p->primitive);
    for (int i = 0; i < 3; i++)
        if (p->memory[i])
            p->peer->dnnl.memory_destroy(p->memory[i]);
}
