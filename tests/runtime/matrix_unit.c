/* Whether AMX may be used: in children, as a process asks only once. */
#include "support.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static int status_of(int (*child)(void))
{
    int status;
    pid_t id = fork();

    if (id == 0)
        _exit(child());
    assert_int_equal(waitpid(id, &status, 0), id);
    if (!WIFEXITED(status))
        fail_msg("the child ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

/* The kernel's word on it: of the processor, and of what this process holds. */
static bool processor_has_it(void)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    bool found = false;
    char line[8000];

    while (file && !found && fgets(line, sizeof line, file))
        found = !strncmp(line, "flags", 5) && strstr(line, " amx_bf16") && strstr(line, " amx_tile");
    if (file)
        fclose(file);
    return found;
}

static bool process_holds_it(void)
{
#if defined(__x86_64__)
    uint64_t states = 0;

    return syscall(SYS_arch_prctl, 0x1022, &states) == 0 && (states >> 18 & 1);
#else
    return false;
#endif
}

static bool as_the_kernel_says(void)
{
    bool unit = rnet_matrix_unit();

    return unit == (processor_has_it() && process_holds_it());
}

static int nothing_said(void)
{
    unsetenv("RNET_AMX");
    return as_the_kernel_says() ? 7 : 1;
}

static void a_process_has_it_as_the_kernel_says(void **state)
{
    assert_int_equal(status_of(nothing_said), 7);
}

static int without(void)
{
    setenv("RNET_AMX", "off", 1);
    if (rnet_matrix_unit() || process_holds_it())
        return 1;
    unsetenv("RNET_AMX"); /* too late: code may have been compiled by the first answer */
    return rnet_matrix_unit() ? 2 : 7;
}

static void it_can_be_done_without(void **state)
{
    assert_int_equal(status_of(without), 7);
}

static int another_word(void)
{
    setenv("RNET_AMX", "on", 1);
    return as_the_kernel_says() && process_holds_it() == rnet_matrix_unit() ? 7 : 1;
}

static void no_other_word_takes_it_away(void **state)
{
    assert_int_equal(status_of(another_word), 7);
}

#if defined(__x86_64__)
/* c[i][j] = sum over k of a[i][k] b[k][j], of 16 x 32 ones and 32 x 16 twos: 64. */
__attribute__((target("amx-tile,amx-bf16"))) static bool multiplies(void)
{
    enum { ONE = 0x3f80, TWO = 0x4000 };
    static const uint16_t rows[8] = {16, 16, 16};
    struct {
        uint8_t palette, start, none[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    uint16_t a[512], b[512];
    float c[256] = {0};

    for (int i = 0; i < 8; i++) {
        shape.rows[i] = (uint8_t)rows[i];
        shape.row_bytes[i] = rows[i] ? 64 : 0;
    }
    for (int i = 0; i < 512; i++) {
        a[i] = ONE;
        b[i] = TWO;
    }
    __asm__ volatile("" : : "r"(&shape), "r"(a), "r"(b), "r"(c) : "memory"); /* gcc's tile functions do not say what they read */
    _tile_loadconfig(&shape);
    _tile_zero(0);
    _tile_loadd(1, a, 64);
    _tile_loadd(2, b, 64);
    _tile_dpbf16ps(0, 1, 2);
    _tile_stored(0, c, 64);
    _tile_release();
    __asm__ volatile("" : : "r"(c) : "memory");
    for (int i = 0; i < 256; i++)
        if (c[i] != 64)
            return false;
    return true;
}
#else
static bool multiplies(void)
{
    return false;
}
#endif

struct meeting {
    pthread_barrier_t before, after;
    bool answers[3], right[3];
};

struct guest {
    struct meeting *meeting;
    int number;
};

static void *ask_and_multiply(void *context)
{
    const struct guest *guest = context;
    struct meeting *meeting = guest->meeting;

    pthread_barrier_wait(&meeting->before);
    if (guest->number)
        meeting->answers[guest->number] = rnet_matrix_unit();
    pthread_barrier_wait(&meeting->after);
    meeting->right[guest->number] = !meeting->answers[1] || multiplies(); /* number 0 never asked */
    return NULL;
}

static int threads_at_once(void)
{
    struct meeting meeting = {0};
    struct guest guests[3];
    pthread_t threads[3];

    pthread_barrier_init(&meeting.before, NULL, 3);
    pthread_barrier_init(&meeting.after, NULL, 3);
    for (int i = 0; i < 3; i++) {
        guests[i] = (struct guest){&meeting, i};
        if (pthread_create(&threads[i], NULL, ask_and_multiply, &guests[i]))
            return 1;
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    if (meeting.answers[1] != meeting.answers[2] || meeting.answers[1] != rnet_matrix_unit())
        return 2;
    return meeting.right[0] && meeting.right[1] && meeting.right[2] ? 7 : 3;
}

static void all_threads_may_multiply(void **state)
{
    assert_int_equal(status_of(threads_at_once), 7);
}

static int rate(void)
{
    struct rnet_pool *pool = rnet_pool_new(3);
    double found = rnet_matrix_unit_rate(pool, 1e-3);

    rnet_pool_free(pool);
    return rnet_matrix_unit() ? found > 1e6 : found == 0;
}

static int rate_as_it_is(void)
{
    unsetenv("RNET_AMX");
    return rate() ? 7 : 1;
}

static int rate_without(void)
{
    setenv("RNET_AMX", "off", 1);
    return rate() ? 7 : 1;
}

static void it_has_a_rate_where_it_is_used(void **state)
{
    assert_int_equal(status_of(rate_as_it_is), 7);
    assert_int_equal(status_of(rate_without), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_has_it_as_the_kernel_says),
        cmocka_unit_test(it_can_be_done_without),
        cmocka_unit_test(no_other_word_takes_it_away),
        cmocka_unit_test(all_threads_may_multiply),
        cmocka_unit_test(it_has_a_rate_where_it_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
