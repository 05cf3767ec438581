/* products_peer.h: a library's matrix product, opened while the program runs. */
#ifndef TESTS_BENCH_PRODUCTS_PEER_H
#define TESTS_BENCH_PRODUCTS_PEER_H

#include "base.h"

/* C[m, n] = A B, row-major f32, C overwritten; *_transposed: A is stored k x m, B n x k. */
struct matrices {
    int m, n, k;
    bool a_transposed, b_transposed;
    const float *a, *b;
    float *c;
};

struct peer;
/* The library at `path`, known by what it exports: OpenBLAS, Intel's MKL (PyTorch's libtorch_cpu.so has it), or oneDNN.
   NULL: it cannot be opened, or is none of these; *why says which. */
struct peer *peer_open(struct arena *arena, const char *path, const char **why);
const char *peer_name(const struct peer *peer);

struct peer_product;
/* Of so many threads; whatever is decided once for a shape is decided here. NULL: the library refuses. One shape at a
 * time. */
struct peer_product *peer_prepare(struct arena *arena, struct peer *peer, const struct matrices *product, int threads);
void peer_run(struct peer_product *prepared);
void peer_release(struct peer_product *prepared);

#endif
