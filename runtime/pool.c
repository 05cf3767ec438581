/* pool.c: fork and join of a fixed set of threads.

   A run is announced by a new generation number; every worker takes part in every run and counts itself out at its end,
   so that the fields of a run are never written while somebody reads them. Each thread has a share of the parts, neighbours, and
   takes them from its front; who is done with a long one takes from the ends of others' shares, for cores are not always
   equally fast. Who waits (a worker for the next run, the
   caller for the last worker) spins a while, for the next run of a training step comes within microseconds, then sleeps
   on a futex. */
#include "rnet.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { LINE = 64 };
static const double spin_seconds = 40e-6;
/* A share that took less is over for all before another's could be asked for. */
static const double long_share = 10e-6;

struct worker {
    /* What is left of the thread's share in a run, and which run: see share_of. Its own line: others look at it late, or never. */
    alignas(LINE) _Atomic uint64_t share;
    struct rnet_pool *pool;
    pthread_t thread;
    int number; /* 0 .. threads - 1; 0 is the caller, who has no thread */
};

struct rnet_pool {
    /* One line of the cache: what a worker waits for and, with it, what it then needs. The fields of a run are written
       by the caller of rnet_pool_run while no run is going on. */
    alignas(LINE) atomic_uint generation; /* of the run last announced */
    bool stop;
    bool running; /* a run inside a part is done by the part's thread alone */
    void (*part)(void *context, int64_t index);
    void *context;
    int64_t parts;
    /* Never written while threads run. */
    alignas(LINE) double spin;
    int threads;
    struct worker *workers;
    alignas(LINE) atomic_uint finished; /* shares of workers in all runs so far, modulo 2^32 */
    alignas(LINE) atomic_uint sleepers; /* workers that sleep, or are about to */
    atomic_uint caller_sleeps;
};

static void pause_a_little(void)
{
#if defined(__x86_64__)
    _mm_pause();
#else
    sched_yield();
#endif
}

static void flush_denormals(void)
{
#if defined(__x86_64__)
    enum { FLUSH_TO_ZERO = 0x8000, DENORMALS_ARE_ZERO = 0x0040 };
    _mm_setcsr(_mm_getcsr() | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
#elif defined(__aarch64__)
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    __asm__ volatile("msr fpcr, %0" : : "r"(control | (1u << 24)));
#endif
}

static void futex_wait(atomic_uint *word, unsigned expected)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* Spins until *word differs from `value`; false when the time for that is over. */
static bool spin_while(const struct rnet_pool *pool, atomic_uint *word, unsigned value)
{
    /* A pause takes up to 50 ns, as long as a run of nothing should: many looks for each. */
    enum { LOOKS_FOR_A_PAUSE = 16, LOOKS_FOR_A_CLOCK = 512 };
    double start = 0;
    for (int round = 0;; round++) {
        for (int look = 1; look <= LOOKS_FOR_A_CLOCK; look++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value)
                return true;
            if (look % LOOKS_FOR_A_PAUSE == 0)
                pause_a_little();
        }
        if (round == 0)
            start = rnet_seconds();
        else if (rnet_seconds() - start > pool->spin)
            return false;
        sched_yield(); /* who is waited for may have been put on this core */
    }
}

/* First and end of what is left, and the number of the run. */
enum { PART_BITS = 16, MOST_SHARED = 1 << PART_BITS };

static uint64_t share_of(unsigned run, int64_t first, int64_t end)
{
    return (uint64_t)run << 2 * PART_BITS | (uint64_t)first << PART_BITS | (uint64_t)end;
}

/* Takes a part of somebody's share, from its front or its end; -1 if none is left. Every thread looks at its own share in every
   run: what is there is of this run or of the last. */
static int64_t take_part(struct rnet_pool *pool, int number, unsigned run, bool front)
{
    _Atomic uint64_t *share = &pool->workers[number].share;
    uint64_t seen = atomic_load_explicit(share, memory_order_relaxed), next;
    int64_t first, end;

    do {
        first = (int64_t)(seen >> PART_BITS) & (MOST_SHARED - 1);
        end = (int64_t)seen & (MOST_SHARED - 1);
        if (seen >> 2 * PART_BITS != run) {
            first = pool->parts * number / pool->threads;
            end = pool->parts * (number + 1) / pool->threads;
        }
        next = first == end ? share_of(run, end, end) : share_of(run, first + front, end - !front);
        if (next == seen)
            return -1;
    } while (!atomic_compare_exchange_weak_explicit(share, &seen, next, memory_order_relaxed, memory_order_relaxed));
    return first == end ? -1 : front ? first : end - 1;
}

static void run_share(struct rnet_pool *pool, int number, unsigned run)
{
    int64_t part;

    if (pool->parts <= pool->threads || pool->parts >= MOST_SHARED) {
        atomic_store_explicit(&pool->workers[number].share, share_of(run, 0, 0), memory_order_relaxed);
        int64_t from = pool->parts * number / pool->threads, to = pool->parts * (number + 1) / pool->threads;
        for (part = from; part < to; part++)
            pool->part(pool->context, part);
        return;
    }
    double start = rnet_seconds();
    while ((part = take_part(pool, number, run, true)) >= 0)
        pool->part(pool->context, part);
    if (rnet_seconds() - start < long_share)
        return;
    for (int distance = 1; distance < pool->threads; distance *= 2)
        while ((part = take_part(pool, (number + distance) % pool->threads, run, false)) >= 0)
            pool->part(pool->context, part);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct rnet_pool *pool = worker->pool;
    unsigned seen = 0;
    flush_denormals();
    for (;;) {
        while (!spin_while(pool, &pool->generation, seen)) {
            /* Counted before the futex looks at the generation: the caller either sees us here or we see its run. */
            atomic_fetch_add(&pool->sleepers, 1);
            futex_wait(&pool->generation, seen);
            atomic_fetch_sub(&pool->sleepers, 1);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (pool->stop)
            return NULL;
        run_share(pool, worker->number, seen);
        atomic_fetch_add(&pool->finished, 1);
        if (atomic_load(&pool->caller_sleeps))
            futex_wake(&pool->finished);
    }
}

static void announce(struct rnet_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) != 0)
        futex_wake(&pool->generation);
}

/* Ends workers 1 .. count. */
static void stop_workers(struct rnet_pool *pool, int count)
{
    pool->stop = true;
    announce(pool);
    for (int i = 0; i < count; i++)
        pthread_join(pool->workers[i + 1].thread, NULL);
}

struct rnet_pool *rnet_pool_new(int threads)
{
    if (threads < 1)
        return NULL;
    struct rnet_pool *pool = aligned_alloc(LINE, (sizeof *pool + LINE - 1) / LINE * LINE);
    struct worker *workers = aligned_alloc(LINE, (size_t)threads * sizeof *workers);
    if (!pool || !workers) {
        free(pool);
        free(workers);
        return NULL;
    }
    memset(workers, 0, (size_t)threads * sizeof *workers);
    struct rnet_machine machine;
    rnet_machine(&machine);
    *pool = (struct rnet_pool){
        .threads = threads,
        .workers = workers,
        /* With more threads than cores, spinning only keeps the others from working. */
        .spin = threads <= machine.cores ? spin_seconds : 0,
    };
    flush_denormals();

    /* Signals are for the thread that called. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int made = 0;
    for (; made < threads - 1; made++) {
        struct worker *worker = &workers[made + 1];
        worker->pool = pool;
        worker->number = made + 1;
        if (pthread_create(&worker->thread, NULL, work, worker) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (made < threads - 1) {
        stop_workers(pool, made);
        free(workers);
        free(pool);
        return NULL;
    }
    return pool;
}

void rnet_pool_free(struct rnet_pool *pool)
{
    if (!pool)
        return;
    stop_workers(pool, pool->threads - 1);
    free(pool->workers);
    free(pool);
}

int rnet_pool_threads(const struct rnet_pool *pool)
{
    return pool->threads;
}

void rnet_pool_run(struct rnet_pool *pool, void (*part)(void *context, int64_t index), void *context, int64_t parts)
{
    if (pool->threads == 1 || parts <= 1 || pool->running) {
        for (int64_t i = 0; i < parts; i++)
            part(context, i);
        return;
    }
    pool->part = part;
    pool->context = context;
    pool->parts = parts;
    pool->running = true;
    announce(pool);
    unsigned run = atomic_load_explicit(&pool->generation, memory_order_relaxed);
    run_share(pool, 0, run);

    unsigned all = run * ((unsigned)pool->threads - 1), finished;
    while ((finished = atomic_load_explicit(&pool->finished, memory_order_acquire)) != all) {
        if (spin_while(pool, &pool->finished, finished))
            continue;
        atomic_store(&pool->caller_sleeps, 1);
        finished = atomic_load(&pool->finished);
        if (finished != all)
            futex_wait(&pool->finished, finished);
        atomic_store(&pool->caller_sleeps, 0);
    }
    pool->running = false;
}
