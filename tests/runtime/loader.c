/* The loader against gathering on the spot. Also built with ThreadSanitizer, see CMakeLists.txt. */
#include <unistd.h>

#include "support.h"

enum { ITEMS = 103, BATCH = 8, IMAGE = 37, LABEL = 4, OFFSET = 320, SLOT = 384, SLOTS = 3 };

static unsigned char images[ITEMS * IMAGE], labels[ITEMS * LABEL];
static unsigned char memory[SLOTS + 1][SLOT];
static const struct rnet_loader_column columns[] = {{images, IMAGE, 0}, {labels, LABEL, OFFSET}};

static int fill_rows(void **state)
{
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (unsigned char)(i * 31 >> 3);
    for (size_t i = 0; i < sizeof labels; i++)
        labels[i] = (unsigned char)(i * 7);
    memset(memory, 0, sizeof memory);
    return 0;
}

static int64_t stream_item(void *context, uint64_t position)
{
    return rnet_stream_item(context, position);
}

static struct rnet_loader_setup setup_of(struct rnet_stream *stream, void *const *slots, int slot_count)
{
    return (struct rnet_loader_setup){.columns = columns,
                                      .column_count = 2,
                                      .items = ITEMS,
                                      .batch = BATCH,
                                      .slots = slots,
                                      .slot_count = slot_count,
                                      .item = stream_item,
                                      .context = stream};
}

static struct rnet_loader *load(struct rnet_loader_setup setup)
{
    struct rnet_loader *loader = rnet_loader_new(&setup, &error);
    if (!loader)
        fail_msg("%s", error.message);
    return loader;
}

/* memory[SLOTS] becomes the batch at `position`, gathered here. */
static void gather_here(struct rnet_stream *stream, uint64_t position)
{
    for (int i = 0; i < BATCH; i++) {
        int64_t item = rnet_stream_item(stream, position + (uint64_t)i);
        memcpy(memory[SLOTS] + i * IMAGE, images + item * IMAGE, IMAGE);
        memcpy(memory[SLOTS] + OFFSET + i * LABEL, labels + item * LABEL, LABEL);
    }
}

/* Either side is now and then slower than the other. */
static void batches_are_those_gathered_on_the_spot(void **state)
{
    static const bool sequential[] = {false, true};
    for (int slots = 1; slots <= SLOTS; slots++)
        for (int order = 0; order < 2; order++) {
            struct rnet_stream *ahead = rnet_stream_new("x", 1, ITEMS, sequential[order]),
                               *here = rnet_stream_new("x", 1, ITEMS, sequential[order]);
            struct rnet_loader_setup setup = setup_of(ahead, (void *[]){memory[0], memory[1], memory[2]}, slots);
            setup.position = 1000;
            struct rnet_loader *loader = load(setup);
            for (uint64_t batch = 0; batch < 200; batch++) {
                unsigned char *slot = rnet_loader_next(loader, &error);
                assert_ptr_equal(slot, memory[batch % (uint64_t)slots]);
                if (batch % 50 == 0)
                    usleep(2000);
                gather_here(here, 1000 + batch * BATCH);
                assert_memory_equal(slot, memory[SLOTS], SLOT);
                memset(slot, 0xEE, BATCH * IMAGE); /* what the caller does to its slot is gone with the next batch */
            }
            rnet_loader_free(loader);
            rnet_stream_free(ahead);
            rnet_stream_free(here);
        }
}

static void the_held_slot_is_left_alone(void **state)
{
    struct rnet_stream *stream = rnet_stream_new("x", 1, ITEMS, false);
    struct rnet_loader *loader = load(setup_of(stream, (void *[]){memory[0], memory[1]}, 2));
    unsigned char copy[SLOT];
    for (int batch = 0; batch < 5; batch++) {
        unsigned char *slot = rnet_loader_next(loader, &error);
        memcpy(copy, slot, SLOT);
        usleep(3000);
        assert_memory_equal(slot, copy, SLOT);
    }
    rnet_loader_free(loader);
    rnet_stream_free(stream);
}

struct counted {
    int64_t calls; /* atomic */
};

static int64_t count_calls(void *context, uint64_t position)
{
    struct counted *counted = context;
    __atomic_add_fetch(&counted->calls, 1, __ATOMIC_SEQ_CST);
    return (int64_t)(position % ITEMS);
}

/* Waits for that many calls, however slow the machine, then looks whether more come. */
static void expect_calls(struct counted *counted, int64_t calls)
{
    double start = rnet_seconds();
    while (__atomic_load_n(&counted->calls, __ATOMIC_SEQ_CST) < calls && rnet_seconds() - start < 30)
        usleep(1000);
    usleep(10000);
    assert_int_equal(__atomic_load_n(&counted->calls, __ATOMIC_SEQ_CST), calls);
}

static void it_keeps_ahead_by_its_slots(void **state)
{
    for (int slots = 1; slots <= SLOTS; slots++) {
        struct counted counted = {0};
        struct rnet_loader_setup setup = setup_of(NULL, (void *[]){memory[0], memory[1], memory[2]}, slots);
        setup.item = count_calls;
        setup.context = &counted;
        struct rnet_loader *loader = load(setup);
        expect_calls(&counted, slots * BATCH);
        /* The first batch is held: its slot is not free yet. */
        assert_non_null(rnet_loader_next(loader, &error));
        expect_calls(&counted, slots * BATCH);
        assert_non_null(rnet_loader_next(loader, &error));
        expect_calls(&counted, (slots + 1) * BATCH);
        rnet_loader_free(loader);
    }
}

static void it_ends_after_its_batches(void **state)
{
    struct counted counted = {0};
    struct rnet_loader_setup setup = setup_of(NULL, (void *[]){memory[0], memory[1], memory[2]}, SLOTS);
    setup.item = count_calls;
    setup.context = &counted;
    setup.batches = 5;
    struct rnet_loader *loader = load(setup);
    for (int i = 0; i < 5; i++)
        assert_non_null(rnet_loader_next(loader, &error));
    assert_null(rnet_loader_next(loader, &error));
    assert_string_equal(error.message, "loader: expected at most 5 batches to be taken");
    assert_int_equal(error.status, RNET_USAGE);
    assert_null(rnet_loader_next(loader, &error));
    rnet_loader_free(loader);
    assert_int_equal(counted.calls, 5 * BATCH);
}

static int64_t wrong_at_20(void *context, uint64_t position)
{
    return position == 20 ? *(int64_t *)context : (int64_t)position;
}

/* Batch 2 holds place 20. The batches before it come whole. */
static void a_wrong_item_is_an_error_of_its_batch(void **state)
{
    static const int64_t items[] = {ITEMS, -1};
    for (int i = 0; i < 2; i++)
        for (int slots = 1; slots <= SLOTS; slots++) {
            int64_t item = items[i];
            struct rnet_loader_setup setup = setup_of(NULL, (void *[]){memory[0], memory[1], memory[2]}, slots);
            setup.item = wrong_at_20;
            setup.context = &item;
            struct rnet_loader *loader = load(setup);
            for (int batch = 0; batch < 2; batch++) {
                unsigned char *slot = rnet_loader_next(loader, &error);
                assert_memory_equal(slot, images + batch * BATCH * IMAGE, BATCH * IMAGE);
            }
            char wanted[200];
            snprintf(wanted, sizeof wanted, "loader: place 20 of the stream: expected an item in 0 .. 102, found %lld",
                     (long long)item);
            for (int again = 0; again < 2; again++) {
                error.message[0] = 0;
                assert_null(rnet_loader_next(loader, &error));
                assert_string_equal(error.message, wanted);
                assert_int_equal(error.status, RNET_FAILED);
            }
            rnet_loader_free(loader);
        }
}

static void it_stops_at_any_time(void **state)
{
    for (int round = 0; round < 100; round++) {
        struct rnet_stream *stream = rnet_stream_new("x", 1, ITEMS, false);
        struct rnet_loader *loader =
            load(setup_of(stream, (void *[]){memory[0], memory[1], memory[2]}, 1 + round % SLOTS));
        for (int batch = 0; batch < round % 7; batch++)
            assert_non_null(rnet_loader_next(loader, &error));
        if (round % 10 == 0)
            usleep(500);
        rnet_loader_free(loader);
        rnet_stream_free(stream);
    }
    rnet_loader_free(NULL);
}

static void setups_that_cannot_be_are_refused(void **state)
{
    void *slots[] = {memory[0]};
    struct rnet_loader_setup good = setup_of(NULL, slots, 1), bad = good;
    bad.slot_count = 0;
    assert_null(rnet_loader_new(&bad, &error));
    assert_int_equal(error.status, RNET_USAGE);
    bad = good;
    bad.batch = 0;
    assert_null(rnet_loader_new(&bad, &error));
    bad = good;
    bad.items = 0;
    assert_null(rnet_loader_new(&bad, &error));
    bad = good;
    bad.columns = (struct rnet_loader_column[]){{images, -1, 0}};
    bad.column_count = 1;
    assert_null(rnet_loader_new(&bad, &error));
    assert_string_equal(error.message, "loader: column 0: expected row_bytes and offset of 0 or more");
}

static void setups_are_copied(void **state)
{
    struct counted counted = {0};
    struct rnet_loader_column changed[2] = {columns[0], columns[1]};
    void *slots[] = {memory[0], memory[1]};
    struct rnet_loader_setup setup = setup_of(NULL, slots, 2);
    setup.columns = changed;
    setup.item = count_calls;
    setup.context = &counted;
    struct rnet_loader *loader = rnet_loader_new(&setup, &error);
    memset(changed, 0xFF, sizeof changed);
    memset(slots, 0xFF, sizeof slots);
    memset(&setup, 0xFF, sizeof setup);
    for (int batch = 0; batch < 4; batch++)
        assert_memory_equal(rnet_loader_next(loader, &error), images + batch * BATCH * IMAGE, BATCH * IMAGE);
    rnet_loader_free(loader);
}

int main(void)
{
#define WITH_ROWS(test) cmocka_unit_test_setup(test, fill_rows)
    const struct CMUnitTest tests[] = {
        WITH_ROWS(batches_are_those_gathered_on_the_spot),
        WITH_ROWS(the_held_slot_is_left_alone),
        WITH_ROWS(it_keeps_ahead_by_its_slots),
        WITH_ROWS(it_ends_after_its_batches),
        WITH_ROWS(a_wrong_item_is_an_error_of_its_batch),
        WITH_ROWS(it_stops_at_any_time),
        WITH_ROWS(setups_that_cannot_be_are_refused),
        WITH_ROWS(setups_are_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
