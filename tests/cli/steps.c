/* steps.c: five training steps of every program of tests/steps against PyTorch's parameters (tests/oracle/torch_steps.py).

   Norm: the largest difference over a tensor, divided by the largest change of that tensor in the five steps. In f64 to 1e-9:
   rounding is 1e-16, the programs divide by small norms, and PyTorch sums in another order. In f32 to 1e-5: a parameter near 1
   that changed by 0.1 is rounded to 6e-8 in each step, 6e-7 of its change; gradients add their own 1e-6. */
#include "run.h"
#include "trained.h"

static void check_all_ways(void **state)
{
    const char *name = *state;

    enter_folder();
    five_steps("tests/steps", name, "f64", "", (struct tolerance){1e-9, 0});
    five_steps("tests/steps", name, "f64", "--no-fuse", (struct tolerance){1e-9, 0});
    five_steps("tests/steps", name, "f32", "", (struct tolerance){1e-5, 0});
    five_steps("tests/steps", name, "f32", "--no-fuse", (struct tolerance){1e-5, 0});
    leave_folder();
}

#define PROGRAM(name) {#name, check_all_ways, NULL, NULL, (void *)#name}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PROGRAM(gd_squared),
        PROGRAM(sgd_clip_penalty),
        PROGRAM(nesterov_layer_norm),
        PROGRAM(adam_batch_norm),
        PROGRAM(adamw_dropout),
        PROGRAM(rmsprop_gaussian_noise),
        PROGRAM(adagrad_random_dropout),
        PROGRAM(normalized_gd_drop_path),
        PROGRAM(clipped_gd_dropout_batch),
        PROGRAM(max_norm_gaussian_dropout),
        PROGRAM(noisy_batch_norm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
