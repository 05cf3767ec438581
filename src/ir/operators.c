/* operators.c: ops.def as a table and as arithmetic in double precision. */
#include "internal.h"

#include <math.h>

enum { COMMUTES = IR_COMMUTES, ASSOCIATES = IR_ASSOCIATES, IDENTITY_0 = IR_IDENTITY_0, IDENTITY_1 = IR_IDENTITY_1, POLYNOMIAL = IR_POLYNOMIAL };

const struct ir_operator ir_operators[IR_OP_COUNT] = {
#define OP(op, places, written, sign, binds, gives, holds, takes, evaluate)                                            \
    [IR_##op] = {.name = #op,                                                                                          \
                 .symbol = sign,                                                                                       \
                 .arity = places,                                                                                      \
                 .level = binds,                                                                                       \
                 .notation = IR_NOTATION_##written,                                                                    \
                 .result = IR_RESULT_##gives,                                                                          \
                 .laws = holds,                                                                                        \
                 .work = takes},
#include "ops.def"
#undef OP
};

const char *const opaque_names[4] = {
    [IR_RANK] = "rank", [IR_SOLVE] = "solve", [IR_CHOLESKY] = "cholesky", [IR_ORTHOGONAL] = "orthogonal"};
const char *const kernel_kinds[5] = {[IR_NEST] = "nest",
                                     [IR_PRODUCT_KERNEL] = "product",
                                     [IR_SCATTER_KERNEL] = "scatter",
                                     [IR_OPAQUE_KERNEL] = "opaque",
                                     [IR_TILE_KERNEL] = "tile"};

double ir_operate(enum ir_op op, double a, double b, double c)
{
    switch (op) {
#define OP(name, arity, form, symbol, level, result, laws, work, ...)                                                  \
    case IR_##name:                                                                                                    \
        return __VA_ARGS__;
#include "ops.def"
#undef OP
    case IR_OP_COUNT:
        break;
    }
    bug("operator %d", (int)op);
}
