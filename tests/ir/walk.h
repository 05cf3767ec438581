/* walk.h: a little interpreter of expressions at one point, apart from evaluate.c, and random numbers; for the tests of
   form.c, apply.c and substitute.c. */
#ifndef TESTS_IR_WALK_H
#define TESTS_IR_WALK_H

#include "ir.h"

/* Values of the indices by number, and of tensors: element 0.. of a rank-1 tensor. */
struct point {
    int64_t at[32];
    double (*element)(const struct ir_tensor *tensor, int64_t element);
};
int64_t form_at(const struct ir_form *f, const struct point *point);
double expr_at(const struct ir_expr *e, const struct point *point);
/* The next point of the box of these indices, row-major; false after the last. */
bool next_point(struct point *point, struct ir_index *const *indices, int count);

/* splitmix64 */
uint64_t draw(uint64_t *state);
int64_t draw_between(uint64_t *state, int64_t low, int64_t high);

#endif
