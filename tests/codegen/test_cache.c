/* test_cache.c: equal kernels are compiled once, objects are kept on disk, and neither changes a bit of what is computed. */
#include "harness.h"
#include "unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
// cmocka.h needs those before it
#include <cmocka.h>

/* Two layers alike: their kernels differ in names and places alone. */
static const char source[] =
    "program twins f32\n"
    "input x[n*: 32, i: 48]\nparameter V[i: 48, o: 48]\nparameter W[i: 48, o: 48]\ndraw u normal[n*: 32, o: 48] per sample\n"
    "draw v normal[n*: 32, o: 48] per sample\n"
    "a[n*: 32, o: 48] = sum[i: 48] x[n, i] * V[i, o]\n"
    "b[n*: 32, o: 48] = tanh(a[n, o]) + u[n, o]\n"
    "c[n*: 32, o: 48] = sum[i: 48] b[n, i] * W[i, o]\n"
    "d[n*: 32, o: 48] = tanh(c[n, o]) + v[n, o]\n"
    "loss = sum[n*: 32, o: 48] d[n, o] ^ 2\n"
    "output a\noutput b\noutput c\noutput d\noutput loss guard\n";

struct made {
    struct code_timing timing;
    double loss, *numbers;
};

static struct made run_program(struct arena *arena, const char *text, int threads)
{
    struct ir_program *p = parse_program(arena, text);
    struct code_options options = {.threads = threads};
    struct machine_run run;
    struct made made;

    fuse(p, false);
    plan_memory(p, layout_new(arena), false);
    struct ir_values values = ir_values_new(arena, p);
    for (int i = 0; i < p->tensors.count; i++)
        for (int64_t k = 0; values.at[i] && p->tensors.at[i]->kind <= IR_PARAMETER && k < ir_elements(p->tensors.at[i]); k++)
            values.at[i][k] = (double)((k * 7919 + i) % 1000) / 500 - 1;
    machine_open(&run, p, &values, (struct ir_run){.seed = 3, .step = 1}, &options);
    machine_step(&run, 2);
    assert_int_equal(run.status, RNET_DONE);
    made.timing = run.timing;
    made.numbers = machine_numbers(arena, &run, ir_find(p, "d"));
    made.loss = machine_numbers(arena, &run, ir_find(p, "loss"))[0];
    machine_close(&run);
    return made;
}

static struct made run_once(struct arena *arena, int threads)
{
    return run_program(arena, source, threads);
}

static void assert_same(const struct made *a, const struct made *b)
{
    assert_memory_equal(a->numbers, b->numbers, 32 * 48 * sizeof(double));
    assert_memory_equal(&a->loss, &b->loss, sizeof(double));
}

/* ---- a cache of the test's own ---- */

struct fixture {
    struct arena *arena;
    char folder[64];
};

static int open_cache(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->arena = arena_new();
    strcpy(f->folder, "test_cache.XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    setenv("RNET_CACHE", f->folder, 1);
    *state = f;
    return 0;
}

/* Calls visit for each file of the cache. */
static int each_file(const char *folder, void (*visit)(const char *path))
{
    DIR *open_folder = opendir(folder);
    struct dirent *entry;
    int count = 0;

    while (open_folder && (entry = readdir(open_folder))) {
        char path[600];
        struct stat about;

        snprintf(path, sizeof path, "%.300s/%.255s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &about))
            continue;
        if (S_ISDIR(about.st_mode)) {
            count += each_file(path, visit);
        } else {
            visit(path);
            count++;
        }
    }
    if (open_folder)
        closedir(open_folder);
    return count;
}

static void leave(const char *path)
{
    (void)path;
}

static void discard(const char *path)
{
    unlink(path);
}

static void damage(const char *path)
{
    int file = open(path, O_WRONLY);
    char byte = 'x';

    assert_true(file >= 0);
    assert_int_equal(pwrite(file, &byte, 1, 100), 1);
    close(file);
}

static void shorten(const char *path)
{
    assert_int_equal(truncate(path, 50), 0);
}

static int close_cache(void **state)
{
    struct fixture *f = *state;
    DIR *folder = opendir(f->folder);
    struct dirent *entry;

    each_file(f->folder, discard);
    while (folder && (entry = readdir(folder))) {
        char path[600];

        snprintf(path, sizeof path, "%s/%s", f->folder, entry->d_name);
        rmdir(path);
    }
    if (folder)
        closedir(folder);
    rmdir(f->folder);
    setenv("RNET_CACHE", "off", 1);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* ---- tests ---- */

static void equal_kernels_are_one(void **state)
{
    struct arena *arena = arena_new();
    struct made made = run_once(arena, 0);

    (void)state;
    assert_int_equal(made.timing.kernels, 5);
    /* The product, the map, the sum; functions that they share. */
    assert_true(made.timing.distinct >= 4);
    struct made alone = run_once(arena, 1);
    assert_int_equal(alone.timing.distinct, made.timing.distinct);
    assert_int_equal(alone.timing.cached, 0);
    assert_same(&made, &alone);
    arena_free(arena);
}

static void threads_and_cache_change_no_bit(void **state)
{
    struct fixture *f = *state;
    struct made first = run_once(f->arena, 1), again;

    assert_int_equal(first.timing.cached, 0);
    assert_int_equal(each_file(f->folder, leave), first.timing.distinct);
    again = run_once(f->arena, 3);
    assert_int_equal(again.timing.cached, first.timing.distinct);
    assert_int_equal(again.timing.threads, 0);
    assert_same(&first, &again);
    setenv("RNET_CACHE", "off", 1);
    again = run_once(f->arena, 3);
    assert_int_equal(again.timing.cached, 0);
    assert_same(&first, &again);
}

static void what_is_damaged_is_made_anew(void **state)
{
    struct fixture *f = *state;
    struct made first = run_once(f->arena, 0), again;

    each_file(f->folder, damage);
    again = run_once(f->arena, 0);
    assert_int_equal(again.timing.cached, 0);
    assert_same(&first, &again);
    each_file(f->folder, shorten);
    again = run_once(f->arena, 0);
    assert_int_equal(again.timing.cached, 0);
    assert_same(&first, &again);
    again = run_once(f->arena, 0);
    assert_int_equal(again.timing.cached, first.timing.distinct);
}

/* So many small kernels that several are compiled together, where processors are few. */
static const char *many_kernels(struct arena *arena)
{
    struct text text = {0};

    text_add(&text, "program many f32\ninput x[n*: 32, i: 48]\n");
    for (int i = 1; i <= 40; i++)
        text_addf(&text, "c%d[n*: 32, i: 48] = %s[n, i] * %d / %d\n", i, i > 1 ? arena_printf(arena, "c%d", i - 1) : "x", i + 1, i);
    text_add(&text, "d[n*: 32, i: 48] = c40[n, i]\nloss = sum[n*: 32, i: 48] d[n, i] ^ 2\noutput d\noutput loss guard\n");
    const char *copy = arena_string(arena, text.data);
    text_free(&text);
    return copy;
}

static void keep_one_name(const char *path)
{
    struct stat about;

    assert_int_equal(lstat(path, &about), 0);
    if (about.st_nlink > 1)
        unlink(path);
}

static void units_of_one_file_can_lose_their_names(void **state)
{
    struct fixture *f = *state;
    const char *text = many_kernels(f->arena);
    struct made first = run_program(f->arena, text, 2), again;

    assert_int_equal(first.timing.cached, 0);
    assert_true(first.timing.distinct > 40);
    assert_int_equal(each_file(f->folder, keep_one_name), first.timing.distinct);
    again = run_program(f->arena, text, 2);
    assert_true(again.timing.cached > 0);
    assert_same(&first, &again);
    again = run_program(f->arena, text, 2);
    assert_int_equal(again.timing.cached, first.timing.distinct);
    assert_same(&first, &again);
}

static void runs_at_the_same_time_share_it(void **state)
{
    struct fixture *f = *state;
    pid_t children[3];
    int status;

    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (!children[i]) {
            run_once(f->arena, 2);
            _exit(0);
        }
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    struct made after = run_once(f->arena, 0);
    assert_int_equal(after.timing.cached, after.timing.distinct);
    assert_int_equal(each_file(f->folder, leave), after.timing.distinct);
}

/* A folder that cannot be written is as good as none. */
static void without_a_place_all_is_compiled(void **state)
{
    struct fixture *f = *state;
    struct made first, again;

    setenv("RNET_CACHE", "/proc/rnet", 1);
    first = run_once(f->arena, 0);
    again = run_once(f->arena, 0);
    assert_int_equal(first.timing.cached + again.timing.cached, 0);
    assert_same(&first, &again);
}

/* ---- bounds: cache.c alone ---- */

static void put(const char *folder, const char *name, int bytes, int age)
{
    char path[600];
    struct timespec times[2] = {{.tv_sec = 1000000 - age}, {.tv_sec = 1000000 - age}};

    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, bytes), 0);
    assert_int_equal(futimens(file, times), 0);
    close(file);
}

static bool has(const char *folder, const char *name)
{
    char path[600];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return !access(path, F_OK);
}

static void the_oldest_goes_first(void **state)
{
    struct fixture *f = *state;

    put(f->folder, "old", 300, 30);
    put(f->folder, "older", 300, 40);
    put(f->folder, "new", 300, 10);
    put(f->folder, "middle", 300, 20);
    cache_trim(f->folder, 1200);
    assert_true(has(f->folder, "older")); /* just enough room */
    cache_trim(f->folder, 1000);          /* down to 750 */
    assert_false(has(f->folder, "older"));
    assert_false(has(f->folder, "old"));
    assert_true(has(f->folder, "middle"));
    assert_true(has(f->folder, "new"));
}

/* ---- ways of cutting products ---- */

static const char product[] = "program p f32\ninput a[m: 300, k: 280]\ninput b[k: 280, n: 420]\n"
                              "c[m: 300, n: 420] = sum[k: 280] a[m, k] * b[k, n]\n"
                              "d[m: 300, n: 420] = tanh(c[m, n])\noutput c\noutput d\n";
enum { PRODUCT_NUMBERS = 300 * 420 };

/* d, made with products cut in that way; `choose` > 0: then that way is chosen for every kernel. */
static const double *made_in_way(struct arena *arena, int way, int choose, struct code_timing *timing)
{
    struct ir_program *p = parse_program(arena, product);
    struct machine_run run;
    const double *numbers;

    fuse(p, true);
    plan_memory(p, layout_new(arena), false);
    struct ir_values values = ir_values_new(arena, p);
    for (int i = 0; i < 2; i++)
        for (int64_t k = 0; k < ir_elements(p->tensors.at[i]); k++)
            values.at[i][k] = (double)((k * 7919 + i) % 1000) / 500 - 1;
    machine_open(&run, p, &values, (struct ir_run){.step = 1}, &(struct code_options){.way = way});
    machine_step(&run, 2);
    numbers = machine_numbers(arena, &run, ir_find(p, "d"));
    *timing = run.timing;
    for (int i = 0; i < p->kernels.count && choose; i++)
        assert_true(code_module()->choose(run.code, i, choose));
    machine_close(&run);
    return numbers;
}

static void no_way_changes_a_bit(void **state)
{
    struct arena *arena = arena_new();
    struct code_timing timing;
    const double *first = made_in_way(arena, 1, 0, &timing);

    assert_true(code_module()->ways > 1);
    for (int way = 2; way <= code_module()->ways; way++)
        assert_memory_equal(made_in_way(arena, way, 0, &timing), first, PRODUCT_NUMBERS * sizeof *first);
    arena_free(arena);
}

/* That of the way alone is found in the cache, with the first way's taken away. */
static void what_is_chosen_is_compiled(void **state)
{
    struct arena *arena = arena_new();
    struct code_timing timing;

    made_in_way(arena, 3, 3, &timing);
    assert_true(timing.cached == 0);
    made_in_way(arena, 0, 1, &timing);
    assert_true(timing.cached == timing.distinct && timing.distinct > 0);
    made_in_way(arena, 0, 0, &timing);
    assert_true(timing.cached < timing.distinct);
    arena_free(arena);
}

int main(void)
{
    setenv("RNET_CACHE", "off", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_kernels_are_one),
        cmocka_unit_test_setup_teardown(threads_and_cache_change_no_bit, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(what_is_damaged_is_made_anew, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(units_of_one_file_can_lose_their_names, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(runs_at_the_same_time_share_it, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(without_a_place_all_is_compiled, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(the_oldest_goes_first, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(no_way_changes_a_bit, open_cache, close_cache),
        cmocka_unit_test_setup_teardown(what_is_chosen_is_compiled, open_cache, close_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
