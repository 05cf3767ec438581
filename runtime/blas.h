/* blas.h: what the files that call OpenBLAS share. */
#ifndef RNET_BLAS_H
#define RNET_BLAS_H

/* The library's function of that name; NULL: it lacks it. Requires rnet_blas_open. */
void *rnet_blas_function(const char *name);

#endif
