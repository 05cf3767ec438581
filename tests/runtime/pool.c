/* Threads: every part once, none waits while another has parts left, denormals flushed everywhere. */
#include "support.h"

#include <stdatomic.h>
#include <time.h>

static const int sizes[] = {1, 2, 3, 7};
enum { SIZES = 4, PARTS = 1000 };

struct counts {
    int calls[PARTS];
};

static void count(void *context, int64_t index)
{
    struct counts *counts = context;
    counts->calls[index]++;
}

static void every_part_runs_once(void **state)
{
    static const int64_t parts[] = {0, 1, 2, 3, 5, 8, 64, PARTS};
    for (int s = 0; s < SIZES; s++) {
        struct rnet_pool *pool = rnet_pool_new(sizes[s]);
        assert_non_null(pool);
        assert_int_equal(rnet_pool_threads(pool), sizes[s]);
        for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
            struct counts counts = {0};
            rnet_pool_run(pool, count, &counts, parts[p]);
            for (int64_t i = 0; i < PARTS; i++)
                assert_int_equal(counts.calls[i], i < parts[p]);
        }
        rnet_pool_free(pool);
    }
}

static void sleep_ms(long milliseconds)
{
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}

struct slow {
    atomic_int calls[8];
    bool helped;
};

/* The first part lasts until another thread has done the last part of its share. */
static void slow_first_part(void *context, int64_t index)
{
    struct slow *slow = context;
    for (int i = 0; index == 0 && i < 10000 && !slow->helped; i++) {
        slow->helped = atomic_load(&slow->calls[3]) > 0;
        sleep_ms(1);
    }
    if (index >= 4)
        sleep_ms(1);
    atomic_fetch_add(&slow->calls[index], 1);
}

static void parts_of_a_slow_share_are_taken_by_others(void **state)
{
    struct rnet_pool *pool = rnet_pool_new(2);
    for (int run = 0; run < 5; run++) {
        struct slow slow = {0};
        rnet_pool_run(pool, slow_first_part, &slow, 8);
        assert_true(slow.helped);
        for (int i = 0; i < 8; i++)
            assert_int_equal(atomic_load(&slow.calls[i]), 1);
    }
    rnet_pool_free(pool);
}

static void add_index(void *context, int64_t index)
{
    ((int64_t *)context)[index * 16] += index + 1;
}

static void many_runs_lose_nothing(void **state)
{
    enum { RUNS = 20000 };
    for (int s = 0; s < SIZES; s++) {
        struct rnet_pool *pool = rnet_pool_new(sizes[s]);
        int runs = sizes[s] <= 2 ? RUNS : RUNS / 20;
        int64_t sums[8 * 16] = {0};
        for (int run = 0; run < runs; run++)
            rnet_pool_run(pool, add_index, sums, 8);
        for (int64_t i = 0; i < 8; i++)
            assert_int_equal(sums[i * 16], runs * (i + 1));
        rnet_pool_free(pool);
    }
}

static void workers_that_sleep_are_woken(void **state)
{
    for (int s = 0; s < SIZES; s++) {
        struct rnet_pool *pool = rnet_pool_new(sizes[s]);
        for (int run = 0; run < 10; run++) {
            struct counts counts = {0};
            sleep_ms(2);
            rnet_pool_run(pool, count, &counts, PARTS);
            for (int64_t i = 0; i < PARTS; i++)
                assert_int_equal(counts.calls[i], 1);
        }
        rnet_pool_free(pool);
    }
}

static void slow_last_part(void *context, int64_t index)
{
    if (index == 6)
        sleep_ms(5);
    ((int *)context)[index] = 1;
}

static void the_caller_waits_for_the_slowest(void **state)
{
    for (int s = 0; s < SIZES; s++) {
        struct rnet_pool *pool = rnet_pool_new(sizes[s]);
        for (int run = 0; run < 5; run++) {
            int done[7] = {0};
            rnet_pool_run(pool, slow_last_part, done, 7);
            for (int i = 0; i < 7; i++)
                assert_int_equal(done[i], 1);
        }
        rnet_pool_free(pool);
    }
}

/* The smallest denormal survives an addition of 0 only where it is not flushed. */
static void add_denormal(void *context, int64_t index)
{
    volatile float denormal = 1e-40f;
    volatile float sum = denormal + denormal;
    ((bool *)context)[index] = sum == 0;
}

static void denormals_are_flushed_in_every_thread(void **state)
{
#if !defined(__x86_64__) && !defined(__aarch64__)
    skip();
#endif
    struct rnet_pool *pool = rnet_pool_new(3);
    bool flushed[9] = {0};
    rnet_pool_run(pool, add_denormal, flushed, 9);
    for (int i = 0; i < 9; i++)
        assert_true(flushed[i]);
    rnet_pool_free(pool);
}

struct nested {
    struct rnet_pool *pool;
    int calls[4][16];
};

static void inner(void *context, int64_t index)
{
    ((int *)context)[index]++;
}

static void outer(void *context, int64_t index)
{
    struct nested *nested = context;
    rnet_pool_run(nested->pool, inner, nested->calls[index], 16);
}

static void a_run_inside_a_part_is_done_by_its_thread(void **state)
{
    struct nested nested = {.pool = rnet_pool_new(2)};
    rnet_pool_run(nested.pool, outer, &nested, 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 16; j++)
            assert_int_equal(nested.calls[i][j], 1);
    rnet_pool_free(nested.pool);
}

static void no_threads_are_refused(void **state)
{
    assert_null(rnet_pool_new(0));
    rnet_pool_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once),
        cmocka_unit_test(parts_of_a_slow_share_are_taken_by_others),
        cmocka_unit_test(many_runs_lose_nothing),
        cmocka_unit_test(workers_that_sleep_are_woken),
        cmocka_unit_test(the_caller_waits_for_the_slowest),
        cmocka_unit_test(denormals_are_flushed_in_every_thread),
        cmocka_unit_test(a_run_inside_a_part_is_done_by_its_thread),
        cmocka_unit_test(no_threads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
