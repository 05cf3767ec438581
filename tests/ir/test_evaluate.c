/* test_evaluate.c: what a text file cannot say of the evaluator: that it leaves alone what is not wanted, ends the
   process on a wrong label, and draws what the runtime draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ir.h"
#include "rnet.h"

static struct ir_program *parsed(struct arena *arena, const char *source)
{
    const char *error;
    struct ir_program *p = ir_parse(arena, source, &error);

    if (!p)
        fail_msg("%s", error);
    return p;
}

static double *values_of(const struct ir_values *values, const struct ir_program *p, const char *name)
{
    return values->at[ir_find(p, name)->number];
}

static void only_what_is_wanted_is_computed(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, "program p f64\n"
                                         "parameter w\n"
                                         "draw noise normal per step\n"
                                         "a = w + 1.0\n"
                                         "b = a * 2\n"
                                         "c = a + noise\n"
                                         "update w <- b\n");
    struct ir_values values = ir_values_new(arena, p);
    bool wanted[5] = {0};

    (void)state;
    for (int i = 0; i < p->tensors.count; i++)
        values.at[i][0] = 100;
    wanted[ir_find(p, "b")->number] = true;
    ir_evaluate_some(p, &values, (struct ir_run){1, 0, 1}, wanted);
    assert_true(*values_of(&values, p, "b") == 202);
    assert_true(*values_of(&values, p, "a") == 101);
    assert_true(*values_of(&values, p, "c") == 100);
    assert_true(*values_of(&values, p, "noise") == 100);
    assert_true(*values_of(&values, p, "w") == 100);
    ir_evaluate(p, &values, (struct ir_run){1, 0, 1});
    assert_true(*values_of(&values, p, "w") == 202);
    assert_true(*values_of(&values, p, "c") != 100);
    arena_free(arena);
}

/* The status of a process that evaluates with this label. */
static int status_with_label(double label)
{
    int status;
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        struct arena *arena = arena_new();
        struct ir_program *p = parsed(arena, "program p f64\n"
                                             "input label in 0..2\n"
                                             "input x[c: 3]\n"
                                             "y = x[label]\n");
        struct ir_values values = ir_values_new(arena, p);

        if (!freopen("/dev/null", "w", stderr))
            _exit(1);
        *values_of(&values, p, "label") = label;
        ir_evaluate(p, &values, (struct ir_run){1, 0, 1});
        arena_free(arena);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_wrong_label_ends_the_process(void **state)
{
    (void)state;
    assert_int_equal(status_with_label(2), 0);
    assert_int_equal(status_with_label(3), 70);
    assert_int_equal(status_with_label(-1), 70);
    assert_int_equal(status_with_label(0.5), 70);
}

static void draws_are_the_runtime_s(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, "program p f32\n"
                                         "draw net.a uniform16[n*: 3, c: 70] per sample\n"
                                         "draw net.b normal[n*: 2, t: 3, u: 2, c: 5] per item mapped 2\n"
                                         "draw net.c uniform32[t: 4, c: 6] per step mapped 1\n"
                                         "draw net.d normal[c: 7] per run\n"
                                         "draw net.e uniform16[n*: 4] per sample\n");
    struct ir_values values = ir_values_new(arena, p);
    struct ir_run run = {.seed = 9, .position = 1000, .step = 17};
    float expected[70];

    (void)state;
    ir_evaluate(p, &values, run);
    for (uint64_t n = 0; n < 3; n++) {
        rnet_draw_fill(RNET_UNIFORM16, rnet_draw_key("net.a", 9), 0, 1000 + n, 0, 70, expected);
        for (int c = 0; c < 70; c++)
            assert_true(values_of(&values, p, "net.a")[n * 70 + (uint64_t)c] == (double)expected[c]);
    }
    for (uint32_t n = 0; n < 2; n++)
        for (uint32_t m = 0; m < 6; m++) {
            rnet_draw_fill(RNET_NORMAL, rnet_draw_key("net.b", 9), m, 1000 + n, 0, 5, expected);
            for (uint32_t c = 0; c < 5; c++)
                assert_true(values_of(&values, p, "net.b")[(n * 6 + m) * 5 + c] == (double)expected[c]);
        }
    for (uint32_t t = 0; t < 4; t++) {
        rnet_draw_fill(RNET_UNIFORM32, rnet_draw_key("net.c", 9), t, 17, 0, 6, expected);
        for (uint32_t c = 0; c < 6; c++)
            assert_true(values_of(&values, p, "net.c")[t * 6 + c] == (double)expected[c]);
    }
    rnet_draw_fill(RNET_NORMAL, rnet_draw_key("net.d", 9), 0, 0, 0, 7, expected);
    for (int c = 0; c < 7; c++)
        assert_true(values_of(&values, p, "net.d")[c] == (double)expected[c]);
    for (uint64_t n = 0; n < 4; n++) {
        rnet_draw_fill(RNET_UNIFORM16, rnet_draw_key("net.e", 9), 0, 1000 + n, 0, 1, expected);
        assert_true(values_of(&values, p, "net.e")[n] == (double)expected[0]);
    }
    arena_free(arena);
}

/* Sample 1003 draws the same as place 3 of a batch from 1000 on and as place 0 of one from 1003 on. */
static void a_sample_s_draws_do_not_depend_on_its_batch(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = parsed(arena, "program p f32\ndraw keep uniform16[n*: 4, c: 9] per sample\n");
    struct ir_values first = ir_values_new(arena, p), second = ir_values_new(arena, p);

    (void)state;
    ir_evaluate(p, &first, (struct ir_run){.seed = 1, .position = 1000, .step = 1});
    ir_evaluate(p, &second, (struct ir_run){.seed = 1, .position = 1003, .step = 2});
    assert_memory_equal(first.at[0] + 3 * 9, second.at[0], 9 * sizeof(double));
    assert_memory_not_equal(first.at[0] + 2 * 9, second.at[0], 9 * sizeof(double));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_wanted_is_computed),
        cmocka_unit_test(a_wrong_label_ends_the_process),
        cmocka_unit_test(draws_are_the_runtime_s),
        cmocka_unit_test(a_sample_s_draws_do_not_depend_on_its_batch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
