/* verify.h: what verify.c, verify_kernels.c and verify_memory.c share. */
#ifndef RNET_IR_VERIFY_H
#define RNET_IR_VERIFY_H

#include "internal.h"

struct verifier {
    const struct ir_program *p;
    const char *message; /* the first law broken, or NULL */
};
/* Keeps the message if it is the first; always false. */
bool broken(struct verifier *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool index_in(struct ir_index *const *indices, int count, const struct ir_index *index);
bool listed(const struct ir_program *p, const struct ir_tensor *t);

/* verify_kernels.c; requires: the tensors, updates and outputs are well-formed. */
bool verify_kernels(struct verifier *v);
/* verify_memory.c; requires: verify_kernels. */
bool verify_memory(struct verifier *v);

#endif
