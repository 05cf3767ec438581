/* cache.c: the cache of compiled kernels as a person meets it: it is found, it can be elsewhere or off, and no number
   depends on it. */
#include "run.h"

#include <stdio.h>

#include "rnet.h"

static const char *const program =
    "use std\n"
    "data cloud in \"" SOURCE_FOLDER "/tests/steps/data\" { train { x = npy(\"x.npy\"), label = npy(\"label.npy\") } }\n"
    "model net(x[i: 12]) -> logits[class: 5] { logits = x |> dense(16) |> dropout(0.3) |> dense(5) }\n"
    "train net on cloud {\n"
    "    loss = cross_entropy(logits, label)\n"
    "    optimizer = sgd(rate = 0.1, momentum = 0.9)\n"
    "    batch = 17\n"
    "    steps = 3\n"
    "}\n";

static void the_second_run_compiles_nothing(void **state)
{
    struct outcome said;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "RNET_CACHE=$PWD/kept; export RNET_CACHE; rnetc train net.rnet --time --out one");
    said = run_expecting(RNET_DONE, "RNET_CACHE=$PWD/kept; export RNET_CACHE; rnetc train net.rnet --time --out two");
    assert_contains(said.error, "0 threads; LLVM loaded in 0.0 ms");
    said = run_expecting(RNET_DONE, "RNET_CACHE=off; export RNET_CACHE; rnetc train net.rnet --time --out off");
    assert_contains(said.error, " 0 of them from the cache");
    said = run_expecting(RNET_DONE, "RNET_CACHE=$PWD/kept; export RNET_CACHE; rnetc train net.rnet --no-cache --time --out no");
    assert_contains(said.error, " 0 of them from the cache");
    assert_files_equal("one/checkpoint.safetensors", "two/checkpoint.safetensors");
    assert_files_equal("one/checkpoint.safetensors", "off/checkpoint.safetensors");
    assert_files_equal("one/checkpoint.safetensors", "no/checkpoint.safetensors");
    leave_folder();
}

static void it_is_where_caches_are(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "RNET_CACHE= XDG_CACHE_HOME=$PWD/xdg; export RNET_CACHE XDG_CACHE_HOME; rnetc train net.rnet --out one");
    run_expecting(RNET_DONE, "ls xdg/rnet/*/*.o");
    run_expecting(RNET_DONE, "RNET_CACHE= XDG_CACHE_HOME= HOME=$PWD/home; export RNET_CACHE XDG_CACHE_HOME HOME; rnetc train net.rnet --out two");
    run_expecting(RNET_DONE, "ls home/.cache/rnet/*/*.o");
    run_expecting(RNET_DONE, "RNET_CACHE= XDG_CACHE_HOME=$PWD/none; export RNET_CACHE XDG_CACHE_HOME; rnetc train net.rnet --no-cache --out three");
    run_expecting(2, "ls none");
    leave_folder();
}

static void damage_is_told_and_mended(void **state)
{
    struct outcome said;

    (void)state;
    enter_folder();
    write_file("net.rnet", program);
    run_expecting(RNET_DONE, "RNET_CACHE=$PWD/kept; export RNET_CACHE; rnetc train net.rnet --out one");
    run_expecting(RNET_DONE, "for file in kept/*/*.o; do echo broken > $file; done");
    said = run_expecting(RNET_DONE, "RNET_CACHE=$PWD/kept; export RNET_CACHE; rnetc train net.rnet --out two");
    assert_contains(said.error, "is damaged; it is compiled anew");
    said = run_expecting(RNET_DONE, "RNET_CACHE=$PWD/kept; export RNET_CACHE; rnetc train net.rnet --time --out three");
    assert_contains(said.error, "0 threads; LLVM loaded in 0.0 ms");
    assert_files_equal("one/checkpoint.safetensors", "two/checkpoint.safetensors");
    assert_files_equal("one/checkpoint.safetensors", "three/checkpoint.safetensors");
    leave_folder();
}

static void help_says_how_to_do_without(void **state)
{
    (void)state;
    enter_folder();
    assert_contains(run_expecting(RNET_DONE, "rnetc train --help").out, "--no-cache");
    assert_contains(run_expecting(RNET_DONE, "rnetc eval --help").out, "RNET_CACHE=off");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_run_compiles_nothing),
        cmocka_unit_test(it_is_where_caches_are),
        cmocka_unit_test(damage_is_told_and_mended),
        cmocka_unit_test(help_says_how_to_do_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
