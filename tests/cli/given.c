/* given.c: --init gives every train block the parameters that the file has by name. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static const char *const first = "data d { samples = 8\n train { x = batch * 1.0 } }\n"
                                 "model a(x) -> y { param w = %s, v = %s\n y = x * w + v }\n"
                                 "model b(x) -> z { param w = %s\n z = a(x) * w }\n"
                                 "rule none(w[...], g[...]) { w <- w - 0 * g }\n"
                                 "train a on d { loss = y, optimizer = none(), batch = 2, steps = 1 }\n"
                                 "train b on d { loss = z, optimizer = none(), batch = 2, steps = 1 }\n";

static void write_program(const char *w, const char *v, const char *of_b, bool with_b)
{
    char text[1000];

    snprintf(text, sizeof text, first, w, v, of_b);
    if (!with_b)
        *strstr(text, "train b") = 0;
    write_file("net.rnet", text);
}

static double number(const char *path, const char *name)
{
    struct rnet_safetensors file;
    struct rnet_error error;
    const struct rnet_tensor *t;
    double value;

    assert_true(rnet_safetensors_read(path, &file, &error));
    t = rnet_safetensors_find(&file, name);
    assert_non_null(t);
    assert_int_equal(t->type, RNET_F32);
    value = *(const float *)t->data;
    rnet_safetensors_free(&file);
    return value;
}

static void the_second_block_gets_its_own_too(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_program("3", "4", "5", true);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out from");
    write_program("0", "0", "0", true);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out to --init from/checkpoint.safetensors");
    assert_contains(o.error, "from/checkpoint.safetensors: 2 parameters of a");
    assert_true(number("to/checkpoint.safetensors", "a.w") == 3);
    assert_true(number("to/checkpoint.safetensors", "a.v") == 4);
    assert_true(number("to/checkpoint.safetensors", "b.w") == 5);
    leave_folder();
}

static void what_the_file_lacks_begins_as_the_program_says(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_program("3", "4", "5", false);
    run_expecting(RNET_DONE, "rnetc train net.rnet --out from");
    write_program("0", "0", "7", true);
    o = run_expecting(RNET_DONE, "rnetc train net.rnet --out to --init from/checkpoint.safetensors");
    assert_contains(o.error, "; not there: b.w");
    assert_true(number("to/checkpoint.safetensors", "a.v") == 4);
    assert_true(number("to/checkpoint.safetensors", "b.w") == 7);
    write_file("net.rnet", "data d { samples = 8\n train { x = batch * 1.0 } }\n"
                           "model c(x) -> y { param w = 1\n y = x * w }\n"
                           "rule none(w[...], g[...]) { w <- w - 0 * g }\n"
                           "train c on d { loss = y, optimizer = none(), batch = 2, steps = 1 }\n");
    o = run_expecting(RNET_DATA, "rnetc train net.rnet --out other --init from/checkpoint.safetensors");
    assert_contains(o.error, "has none of the parameters of c: c.w");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_block_gets_its_own_too),
        cmocka_unit_test(what_the_file_lacks_begins_as_the_program_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
