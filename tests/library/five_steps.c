/* five_steps.c: the standard library: every program of this folder, five training steps against PyTorch
   (tests/oracle/torch_library.py). Each layer ends in a probe whose weights' gradient is the layer's value, so values,
   gradients and steps are all compared.

   Tolerances, see trained.h. f64: 1e-9 of the change; rounding is 1e-16, and PyTorch sums in another order. f32: 1e-5
   of the change, for gradients round to some 1e-6 of the largest. Both: each of the five updates rounds a parameter to
   half a unit in its last place, which a small step does not outweigh; and the gradient of a bias before batch
   normalisation is rounding alone. */
#include "run.h"
#include "trained.h"

static void check_all_ways(void **state)
{
    const char *name = *state;

    enter_folder();
    five_steps("tests/library", name, "f64", "", (struct tolerance){1e-9, 5 * 0x1p-53});
    five_steps("tests/library", name, "f64", "--no-fuse", (struct tolerance){1e-9, 5 * 0x1p-53});
    five_steps("tests/library", name, "f32", "", (struct tolerance){1e-5, 5 * 0x1p-24});
    five_steps("tests/library", name, "f32", "--no-fuse", (struct tolerance){1e-5, 5 * 0x1p-24});
    leave_folder();
}

#define PROGRAM(name) {#name, check_all_ways, NULL, NULL, (void *)#name}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROGRAM(functions),    PROGRAM(dense),   PROGRAM(losses),    PROGRAM(norms),     PROGRAM(noise),
        PROGRAM(convolutions), PROGRAM(pooling), PROGRAM(blocks),    PROGRAM(attention), PROGRAM(shapes),
        PROGRAM(recurrences),  PROGRAM(rules),   PROGRAM(sharpness), PROGRAM(game),      PROGRAM(second),
        PROGRAM(chance),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
