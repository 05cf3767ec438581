/* test_guards.c: a step whose guard is not finite changes nothing, wherever its updates are made: in a kernel of their own or of the
   tiles of the gradient that they are made of. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs those before it
#include <cmocka.h>

/* Two layers; the guard is a bound of the gradient's norm, and the norm an output. The first layer's weights are read by its
   forward, the second's by the way back to the first. */
static const char source[] =
    "program net f32\n"
    "input x[n*: 40, i: 150]\n"
    "input z[n*: 40, o: 200]\n"
    "parameter w[i: 150, h: 170]\n"
    "parameter v[h: 170, o: 200]\n"
    "state mw[i: 150, h: 170]\n"
    "state mv[h: 170, o: 200]\n"
    "y[n*: 40, h: 170] = sum[i: 150] x[n, i] * w[i, h]\n"
    "e.sum[n*: 40, o: 200] = sum[h: 170] y[n, h] * v[h, o]\n"
    "e[n*: 40, o: 200] = e.sum[n, o] - z[n, o]\n"
    "d_y[n*: 40, h: 170] = sum[o: 200] e[n, o] * v[h, o]\n"
    "d_w[i: 150, h: 170] = sum[n*: 40] x[n, i] * d_y[n, h]\n"
    "d_v[h: 170, o: 200] = sum[n*: 40] y[n, h] * e[n, o]\n"
    "norm.w = sum[i: 150, h: 170] d_w[i, h] * d_w[i, h]\n"
    "norm.v = sum[h: 170, o: 200] d_v[h, o] * d_v[h, o]\n"
    "norm = sqrt(norm.w + norm.v)\n"
    "bound.x = sum[n*: 40, i: 150] x[n, i] ^ 2\n"
    "bound.y = sum[n*: 40, h: 170] y[n, h] ^ 2\n"
    "bound.d_y = sum[n*: 40, h: 170] d_y[n, h] ^ 2\n"
    "bound.e = sum[n*: 40, o: 200] e[n, o] ^ 2\n"
    "bound = bound.x * bound.d_y + bound.y * bound.e\n"
    "mw_2[i: 150, h: 170] = 0.9 * mw[i, h] + d_w[i, h] + 0.001 * w[i, h]\n"
    "w_2[i: 150, h: 170] = w[i, h] - 0.01 * mw_2[i, h]\n"
    "mv_2[h: 170, o: 200] = 0.9 * mv[h, o] + d_v[h, o] + 0.001 * v[h, o]\n"
    "v_2[h: 170, o: 200] = v[h, o] - 0.01 * mv_2[h, o]\n"
    "update w <- w_2\n"
    "update v <- v_2\n"
    "update mw <- mw_2\n"
    "update mv <- mv_2\n"
    "output norm\n"
    "output bound guard\n";

static const struct ir_run where = {.seed = 1, .step = 1};

static struct ir_program *planned(struct arena *arena, enum fusing how, bool single)
{
    struct ir_program *p = parse_program(arena, source);

    p->precision = single ? IR_SINGLE : IR_DOUBLE;
    p = share(simplify(p));
    fuse(p, how);
    plan_memory(p, layout_new(arena), false);
    return p;
}

/* In which kind of kernel the tensor is made. */
static enum ir_kernel_kind kind_of(const struct ir_program *p, const char *name)
{
    const struct ir_tensor *t = ir_find(p, name);

    for (int k = 0; k < p->kernels.count; k++)
        for (int s = 0; s < p->kernels.at[k]->stages.count; s++)
            for (int i = 0; i < p->kernels.at[k]->stages.at[s]->equations.count; i++)
                if (p->kernels.at[k]->stages.at[s]->equations.at[i] == t)
                    return p->kernels.at[k]->kind;
    fail_msg("%s is made by no kernel", name);
    return IR_NEST;
}

static void fill(const struct ir_program *p, struct ir_values *values, double size)
{
    for (int i = 0; i < p->tensors.count; i++)
        for (int64_t k = 0; p->tensors.at[i]->kind != IR_EQUATION && k < ir_elements(p->tensors.at[i]); k++)
            values->at[i][k] = sin((double)(k * 7 + i)) * (p->tensors.at[i]->kind == IR_INPUT ? size : 0.1);
}

/* One step with inputs of that size: its status, and whether parameters and states are bit for bit what they were. */
static int step_with(enum fusing how, bool single, int threads, double size, bool *same)
{
    struct arena *arena = arena_new();
    struct ir_program *p = planned(arena, how, single);
    struct ir_values values = ir_values_new(arena, p);
    struct code_options options = {0};
    struct machine_run run;
    char *before[2];
    int status;

    fill(p, &values, size);
    machine_open(&run, p, &values, where, &options);
    if (how != FUSE_NOTHING) {
        assert_int_equal(kind_of(p, "w_2"), IR_TILE_KERNEL);
        assert_int_equal(kind_of(p, "mv_2"), IR_TILE_KERNEL);
    }
    before[0] = arena_copy(arena, run.step.parameters, (size_t)p->parameter_bytes);
    before[1] = arena_copy(arena, run.step.state, (size_t)p->state_bytes);
    machine_step(&run, threads);
    status = run.status;
    *same = !memcmp(before[0], run.step.parameters, (size_t)p->parameter_bytes) &&
            !memcmp(before[1], run.step.state, (size_t)p->state_bytes);
    machine_close(&run);
    arena_free(arena);
    return status;
}

static void check(double size, bool single, int wanted)
{
    for (int how = 0; how < 2; how++)
        for (int threads = 1; threads <= 3; threads += 2) {
            bool same;

            assert_int_equal(step_with(how ? FUSE_AS_LARGE : FUSE_NOTHING, single, threads, size, &same), wanted);
            assert_int_equal(same, wanted == RNET_NONFINITE);
        }
}

/* e and y are about 1e8 here, their norms' product 1e21: its square is too large for f32. */
static void a_bound_that_is_not_finite_refuses_the_step(void **state)
{
    (void)state;
    check(1, true, RNET_DONE);
    check(1e9, true, RNET_NONFINITE);
    check(1e9, false, RNET_DONE);
    check(1e80, false, RNET_NONFINITE);
}

static void numbers_that_are_not_refuse_the_step(void **state)
{
    (void)state;
    check(NAN, true, RNET_NONFINITE);
    check(INFINITY, true, RNET_NONFINITE);
    check(INFINITY, false, RNET_NONFINITE);
}

/* Fused, fused as large and not, with 1, 2 and 3 threads. f64 to 1e-12, f32 to 1e-5 of each tensor's norm: sums of some hundred terms. */
static void updates_in_tiles_are_the_evaluators(void **state)
{
    (void)state;
    assert_true(worst_error("updates", source, false, NULL, NULL, where, 1e-12) <= 1e-12);
    assert_true(worst_error("updates", source, true, NULL, NULL, where, 1e-5) <= 1e-5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_that_is_not_finite_refuses_the_step),
        cmocka_unit_test(numbers_that_are_not_refuse_the_step),
        cmocka_unit_test(updates_in_tiles_are_the_evaluators),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
