/* bench.c: what `rnetc bench` prints. Never how long anything took. */
#include "run.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define NET                                                                                                            \
    "use std\n"                                                                                                        \
    "data cloud {\n"                                                                                                   \
    "    samples = 384\n"                                                                                               \
    "    train {\n"                                                                                                    \
    "        x[i: 64] ~ normal(0, 1)\n"                                                                                \
    "        label = batch % 5\n"                                                                                      \
    "    }\n"                                                                                                          \
    "}\n"                                                                                                              \
    "let width = 128\n"                                                                                                 \
    "model net(x[i: 64]) -> logits[class: 5] { logits = x |> dense(width) |> relu |> dropout(0.2) |> dense(5) }\n"
#define TRAIN "    loss = cross_entropy(logits, label)\n    optimizer = adam(rate = 1e-3)\n    batch = 64\n    steps = 50\n"

static int enter(void **state)
{
    enter_folder();
    write_file("net.rnet", NET "train net on cloud {\n" TRAIN "}\n");
    return 0;
}

static int leave(void **state)
{
    leave_folder();
    return 0;
}

static json_t *bench_json(const char *more)
{
    struct outcome outcome = run_expecting(0, "rnetc bench net.rnet --json --passes 1 %s", more);
    json_error_t error;
    json_t *all = json_loads(outcome.out, 0, &error);

    if (!all)
        fail_msg("line %d: %s in\n%s", error.line, error.text, outcome.out);
    return all;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    if (!json_is_number(value))
        fail_msg("%s is no number", key);
    return json_number_value(value);
}

static void a_table_for_a_person(void **state)
{
    struct outcome outcome = run_expecting(0, "rnetc bench net.rnet --passes 1 --threads 1 --kernels");

    assert_contains(outcome.out, "net on cloud.train, batch 64, f32, 1 thread of ");
    assert_contains(outcome.out, "this minute's machine: multiply-adds ");
    assert_contains(outcome.out, "best of 1 pass\nat its best, as kept: multiply-adds ");
    assert_contains(outcome.out, ", all threads to begin and end ");
    assert_contains(outcome.out, "\nfused  ");
    assert_contains(outcome.out, "\nunfused  ");
    assert_contains(outcome.out, "products by OpenBLAS (");
    assert_contains(outcome.out, "memory   fused planned ");
    assert_contains(outcome.out, "data     6 batches taking turns, the program's own\n");
    assert_contains(outcome.out, "kernels of the fused step, the largest loss first");
    bool amx = strstr(outcome.out, " amx, ");
    for (const char **said = (const char *[]){" GFLOP/s, products of f32 by AMX ", "of peak   of AMX", "the higher of both peaks\n", NULL};
         *said; said++)
        if (!strstr(outcome.out, *said) == amx)
            fail_msg("AMX %s, and \"%s\" %s", amx ? "is there" : "is not there", *said, amx ? "is not" : "is");
    assert_string_equal(outcome.error, "");
}

static void a_table_for_a_program(void **state)
{
    static const char *const of_side[] = {"seconds", "flops", "bytes", "gflops", "gbytes", "of_peak", "kernels",
                                          "compile_cold_seconds", "compile_cached_seconds", "planned_bytes"};
    static const char *const sides[] = {"fused", "unfused"};
    json_t *all = bench_json("--threads 2"), *row = json_array_get(all, 0);

    assert_int_equal(json_array_size(all), 1);
    assert_true(number(row, "threads") == 2 && number(row, "batch") == 64 && number(row, "passes") == 1);
    assert_true(number(row, "peak_gflops") > 0 && number(row, "copy_gbytes") > 0);
    assert_true(json_is_null(json_object_get(row, "made_up_data")));
    assert_null(json_object_get(row, "kernels"));
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof of_side / sizeof *of_side; k++)
            if (!(number(json_object_get(row, sides[i]), of_side[k]) > 0))
                fail_msg("%s of %s is not above 0", of_side[k], sides[i]);
    assert_true(number(json_object_get(row, "fused"), "kernels") < number(json_object_get(row, "unfused"), "kernels"));
    assert_true(number(json_object_get(row, "unfused"), "blas_products") > 0);
    json_decref(all);
}

static bool is_null(const json_t *object, const char *key)
{
    return json_is_null(json_object_get(object, key));
}

/* Of f32, where this process may use it; the shares of either peak are of the same operations. */
static void a_matrix_unit_has_its_own_peak(void **state)
{
    static const char *const settings[] = {"", "RNET_AMX=off", ""};
    static const char *const more[] = {"", "", "--precision f64"};
    bool there = false;

    for (int i = 0; i < 3; i++) {
        run_expecting(0, "RNET_CACHE=$PWD/kept %s rnetc bench net.rnet --json --passes 1 --threads 1 %s >out.json", settings[i],
                      more[i]);
        json_t *all = json_load_file("out.json", 0, NULL), *row = json_array_get(all, 0);
        const json_t *fused = json_object_get(row, "fused"), *limits = json_object_get(row, "limits");
        bool amx = strstr(json_string_value(json_object_get(row, "isa")), " amx");

        if (i == 0)
            there = amx;
        assert_true(amx == (there && !*settings[i]));
        assert_true(number(row, "peak_gflops") > 0 && number(limits, "gflops") > 0);
        if (amx && !*more[i]) {
            double peak = number(row, "matrix_peak_gflops"), gflops = peak * number(fused, "of_matrix_peak");

            assert_true(peak > 0 && number(limits, "matrix_gflops") > 0);
            assert_true(gflops < 1.001 * number(fused, "gflops") && gflops > 0.999 * number(fused, "gflops"));
        } else {
            assert_true(is_null(row, "matrix_peak_gflops") && is_null(fused, "of_matrix_peak"));
            assert_true(is_null(limits, "matrix_gflops"));
        }
        json_decref(all);
    }
    /* what is kept with it is nothing without */
    run_expecting(0, "test $(ls kept/limits-* | wc -l) = %d", there ? 2 : 1);
}

/* Measured once and kept beside the compiled kernels: rates that no machine reaches stay. A file that is not whole is measured anew;
   without a cache nothing is left, and training never asks. */
static void limits_of_the_machine_are_kept(void **state)
{
    const char *bench = "RNET_CACHE=$PWD/kept rnetc bench net.rnet --json --passes 1 --threads 1 >%s.json";
    const char *same = "cat kept/limits-* | sort >%s";
    json_t *all, *limits, *copy;
    double before = 0;
    size_t i;

    run_expecting(0, "RNET_CACHE=$PWD/kept rnetc train net.rnet --out run && ! ls kept | grep limits");
    run_expecting(0, bench, "one");
    run_expecting(0, "f=$(echo kept/limits-*); sed 's/multiply_add [^ ]*/multiply_add 9e20/' $f >best && mv best $f");
    run_expecting(0, same, "first");
    run_expecting(0, bench, "two");
    run_expecting(0, same, "second");
    run_expecting(0, "cmp first second && grep -c copy first | grep -x 5");
    all = json_load_file("two.json", 0, NULL);
    limits = json_object_get(json_array_get(all, 0), "limits");
    assert_true(number(limits, "gflops") > 0 && number(limits, "fork_join_seconds") > 0);
    json_array_foreach(json_object_get(limits, "copy"), i, copy)
    {
        assert_true(number(copy, "bytes") > before && number(copy, "gbytes") > 0);
        before = number(copy, "bytes");
    }
    json_decref(all);
    run_expecting(0, "f=$(echo kept/limits-*); head -c 60 $f >part && mv part $f");
    run_expecting(0, bench, "three");
    run_expecting(0, "test $(cat kept/limits-* | grep -c copy) = 5");
    run_expecting(0, "HOME=$PWD/home RNET_CACHE=off rnetc bench net.rnet --json --passes 1 && ! ls home");
}

/* What is found depends on the machine; what is trained does not depend on what was found. */
static void ways_that_are_tried_change_no_bit(void **state)
{
    struct outcome outcome;

    run_expecting(0, "RNET_CACHE=off rnetc train net.rnet --steps 3 --out before");
    outcome = run_expecting(0, "RNET_CACHE=$PWD/kept rnetc bench net.rnet --try --threads 2");
    assert_contains(outcome.out, "with products, each cut in 8 ways, ");
    assert_contains(outcome.out, "kept for all that is compiled from now on\n");
    run_expecting(0, "RNET_CACHE=$PWD/kept rnetc train net.rnet --steps 3 --out after");
    assert_files_equal("before/checkpoint.safetensors", "after/checkpoint.safetensors");
    run_expecting(2, "rnetc bench net.rnet --try --json");
}

/* Each kernel has its line, what is beside them one; together they do what the step does. */
static void kernels_by_what_they_lose(void **state)
{
    json_t *all = bench_json("--kernels"), *row = json_array_get(all, 0), *kernels = json_object_get(row, "kernels"), *kernel;
    json_t *fused = json_object_get(row, "fused");
    double flops = 0, bytes = 0, before = 0;
    size_t i;

    assert_int_equal(json_array_size(kernels), (size_t)number(fused, "kernels") + 1);
    json_array_foreach(kernels, i, kernel)
    {
        double lost = number(kernel, "seconds") - number(kernel, "limit_seconds");

        /* what is printed has nine digits */
        if (i && lost > before + 1e-6 * number(kernel, "seconds") + 1e-6 * number(kernel, "limit_seconds"))
            fail_msg("kernel %zu loses more than the one before it", i);
        before = lost;
        flops += number(kernel, "flops");
        bytes += number(kernel, "bytes");
    }
    assert_true(flops == number(fused, "flops"));
    assert_true(bytes == number(fused, "bytes"));
    json_decref(all);
}

static void nothing_is_left_behind(void **state)
{
    run_expecting(0, "mkdir t && TMPDIR=$PWD/t rnetc bench net.rnet --passes 1 && ls t >left && ls runs 2>/dev/null >>left; true");
    size_t size;
    char *left = read_file("left", &size);

    assert_string_equal(left, "");
    free(left);
}

static void files_that_are_not_there_are_made_up(void **state)
{
    write_file("net.rnet",
               "use std\n"
               "data faces { train { image = idx(\"none.gz\") / 255, label = idx(\"no-labels.gz\") } }\n"
               "model net(image[h: 6, w: 6]) -> logits[class: 5] { logits = image |> flatten |> dense(8) |> relu |> dense(5) }\n"
               "train net on faces {\n"
               "    loss = cross_entropy(logits, label)\n    optimizer = gd(rate = 0.01)\n    batch = 4\n    epochs = 2\n}\n");
    struct outcome outcome = run_expecting(0, "rnetc bench net.rnet --passes 1");

    assert_contains(outcome.out, "32 batches taking turns, random numbers of the right kinds (");
    assert_contains(outcome.out, "none.gz");
}

static void each_phase_has_its_table(void **state)
{
    write_file("net.rnet", NET "train net on cloud {\n"
                               "    batch = 64\n    steps = 50\n"
                               "    phase first { loss = cross_entropy(logits, label), optimizer = gd(rate = 0.01) }\n"
                               "    phase second { loss = cross_entropy(logits, label), optimizer = adam(rate = 1e-3) }\n"
                               "}\n");
    json_t *all = bench_json("--precision f64");

    assert_int_equal(json_array_size(all), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(all, 0), "phase")), "first");
    assert_string_equal(json_string_value(json_object_get(json_array_get(all, 1), "phase")), "second");
    assert_string_equal(json_string_value(json_object_get(json_array_get(all, 1), "precision")), "f64");
    json_decref(all);
}

static void settings_are_taken(void **state)
{
    json_t *small = bench_json("--set width=8"), *large = bench_json("--set width=256");
    const json_t *a = json_object_get(json_array_get(small, 0), "fused"), *b = json_object_get(json_array_get(large, 0), "fused");

    assert_true(number(a, "flops") < number(b, "flops"));
    json_decref(small);
    json_decref(large);
}

/* A step that is refused is no measurement. */
static void a_step_without_finite_numbers(void **state)
{
    write_file("net.rnet", NET "train net on cloud {\n    loss = exp(1000 + logits[0]^2)\n    optimizer = gd(rate = 0.01)\n"
                               "    batch = 64\n    steps = 50\n}\n");
    assert_contains(run_expecting(5, "rnetc bench net.rnet --passes 1").error, "the first step of net leaves the finite numbers");
}

static void what_cannot_be_measured(void **state)
{
    assert_contains(run_expecting(2, "rnetc bench net.rnet --passes 0").error, "--passes 0: expected a whole number above 0");
    write_file("net.rnet", NET);
    assert_contains(run_expecting(3, "rnetc bench net.rnet").error, "there is no train block");
}

/* Programs that nothing in the suite runs. */
static void nets_of_the_peers_are_programs(void **state)
{
    struct outcome outcome = run_expecting(0, "for f in " SOURCE_FOLDER "/tests/bench/*.rnet; do rnetc check $f || exit; done");
    int count = 0;

    for (const char *at = outcome.out; (at = strstr(at, "no errors\n")); at++)
        count++;
    assert_true(count > 17); /* seventeen, and what they are made of */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_table_for_a_person, enter, leave),
        cmocka_unit_test_setup_teardown(a_table_for_a_program, enter, leave),
        cmocka_unit_test_setup_teardown(a_matrix_unit_has_its_own_peak, enter, leave),
        cmocka_unit_test_setup_teardown(limits_of_the_machine_are_kept, enter, leave),
        cmocka_unit_test_setup_teardown(ways_that_are_tried_change_no_bit, enter, leave),
        cmocka_unit_test_setup_teardown(kernels_by_what_they_lose, enter, leave),
        cmocka_unit_test_setup_teardown(nothing_is_left_behind, enter, leave),
        cmocka_unit_test_setup_teardown(files_that_are_not_there_are_made_up, enter, leave),
        cmocka_unit_test_setup_teardown(each_phase_has_its_table, enter, leave),
        cmocka_unit_test_setup_teardown(settings_are_taken, enter, leave),
        cmocka_unit_test_setup_teardown(a_step_without_finite_numbers, enter, leave),
        cmocka_unit_test_setup_teardown(what_cannot_be_measured, enter, leave),
        cmocka_unit_test_setup_teardown(nets_of_the_peers_are_programs, enter, leave),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
