/* Around the run: interrupts and the progress line (in children), the machine, libm's functions. */
#include <math.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

#include "rnet_math.h"
#include "support.h"

static int status_of(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_first_signal_asks(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM};
    for (int i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            rnet_interrupt_install();
            bool before = rnet_interrupt_asked();
            raise(signals[i]);
            _exit(!before && rnet_interrupt_asked() ? 7 : 1);
        }
        assert_int_equal(status_of(child), 7);
    }
}

static void the_second_signal_ends_with_130(void **state)
{
    static const int pairs[][2] = {{SIGINT, SIGINT}, {SIGINT, SIGTERM}, {SIGTERM, SIGTERM}};
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0) {
            rnet_interrupt_install();
            raise(pairs[i][0]);
            raise(pairs[i][1]);
            _exit(1);
        }
        assert_int_equal(status_of(child), RNET_INTERRUPTED);
    }
}

static void a_signal_lets_the_pool_finish(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        rnet_interrupt_install();
        struct rnet_pool *pool = rnet_pool_new(3);
        kill(getpid(), SIGINT);
        while (!rnet_interrupt_asked())
            usleep(100);
        rnet_pool_free(pool);
        _exit(7);
    }
    assert_int_equal(status_of(child), 7);
}

/* What a child prints on stderr when it shows lines; through a pipe, or a terminal of `columns`. */
static char *shown(void (*show)(struct rnet_progress *), int columns)
{
    static char output[4000];
    int ends[2];
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    struct termios plain = {0};
    if (columns)
        assert_int_equal(openpty(&ends[0], &ends[1], NULL, &plain, &size), 0);
    else
        assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        setenv("TERM", "xterm", 1);
        struct rnet_progress *progress = rnet_progress_new();
        show(progress);
        rnet_progress_free(progress);
        _exit(0);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while ((got = read(ends[0], output + length, sizeof output - 1 - length)) > 0)
        length += (size_t)got;
    output[length] = 0;
    close(ends[0]);
    assert_int_equal(status_of(child), 0);
    return output;
}

static void three_lines(struct rnet_progress *progress)
{
    rnet_progress_show(progress, "one");
    rnet_progress_show(progress, "two");
    rnet_progress_show(progress, "three");
    rnet_progress_end(progress);
    rnet_progress_end(progress);
}

static void a_pipe_gets_plain_lines_now_and_then(void **state)
{
    assert_string_equal(shown(three_lines, 0), "one\n");
}

static void a_terminal_is_redrawn_and_ends_with_the_newest(void **state)
{
    assert_string_equal(shown(three_lines, 80), "\rone\033[K\rthree\033[K\n");
}

static void lines_in_time(struct rnet_progress *progress)
{
    rnet_progress_show(progress, "one");
    usleep(120000);
    rnet_progress_show(progress, "two");
}

static void a_terminal_is_redrawn_ten_times_a_second(void **state)
{
    assert_string_equal(shown(lines_in_time, 80), "\rone\033[K\rtwo\033[K\n");
}

static void a_long_line(struct rnet_progress *progress)
{
    rnet_progress_show(progress, "\xC3\xBC"
                                 "bersicht und Einzelheiten");
}

static void a_long_line_is_cut_to_the_terminal(void **state)
{
    assert_string_equal(shown(a_long_line, 11), "\r\xC3\xBC"
                                                "bersicht \033[K\n");
}

static void the_machine_is_described(void **state)
{
    struct rnet_machine machine;
    rnet_machine(&machine);
    assert_true(strlen(machine.cpu) > 0);
    assert_true(machine.cpu[0] != ' ' && machine.cpu[strlen(machine.cpu) - 1] != ' ');
    assert_true(machine.cores >= 1 && machine.cores <= sysconf(_SC_NPROCESSORS_CONF));
    assert_true(machine.memory_bytes > 64 << 20);
#ifdef __x86_64__
    static const char *const known[] = {"avx512", "avx2", "sse2", "avx512 amx", "avx2 amx", "sse2 amx"};
    bool found = false;

    for (int i = 0; i < 6; i++)
        found = found || (strcmp(machine.isa, known[i]) == 0 && rnet_matrix_unit() == (i >= 3));
    assert_true(found);
#endif
}

static void seconds_go_forward(void **state)
{
    double start = rnet_seconds();
    usleep(2000);
    double passed = rnet_seconds() - start;
    assert_true(passed >= 0.002 && passed < 10);
}

static void functions_are_libms(void **state)
{
    for (double x = -0.9; x < 3; x += 0.37) {
        float f = (float)x;
        assert_true(rnet_erf_f64(x) == erf(x) && rnet_erf_f32(f) == erff(f));
        assert_true(rnet_sin_f64(x) == sin(x) && rnet_sin_f32(f) == sinf(f));
        assert_true(rnet_cos_f64(x) == cos(x) && rnet_cos_f32(f) == cosf(f));
        assert_true(rnet_log1p_f64(x) == log1p(x) && rnet_log1p_f32(f) == log1pf(f));
        assert_true(rnet_expm1_f64(x) == expm1(x) && rnet_expm1_f32(f) == expm1f(f));
        assert_true(rnet_pow_f64(x + 1, 2.5) == pow(x + 1, 2.5) && rnet_pow_f32(f + 1, 2.5f) == powf(f + 1, 2.5f));
    }
}

static void errors_hold_status_and_message(void **state)
{
    assert_false(rnet_fail(&error, RNET_SOURCE, "%s: %d", "x", 3));
    assert_int_equal(error.status, RNET_SOURCE);
    assert_string_equal(error.message, "x: 3");
    char text[2000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = 0;
    rnet_fail(&error, RNET_DATA, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_signal_asks),
        cmocka_unit_test(the_second_signal_ends_with_130),
        cmocka_unit_test(a_signal_lets_the_pool_finish),
        cmocka_unit_test(a_pipe_gets_plain_lines_now_and_then),
        cmocka_unit_test(a_terminal_is_redrawn_and_ends_with_the_newest),
        cmocka_unit_test(a_terminal_is_redrawn_ten_times_a_second),
        cmocka_unit_test(a_long_line_is_cut_to_the_terminal),
        cmocka_unit_test(the_machine_is_described),
        cmocka_unit_test(seconds_go_forward),
        cmocka_unit_test(functions_are_libms),
        cmocka_unit_test(errors_hold_status_and_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
