/* language.c: every program of the language reference checks, and so does every example. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* Each line of a block of commands behind the program, up to the next program. */
static int run_commands(const char *from, const char *to)
{
    int count = 0;
    char line[200];

    while ((from = strstr(from, "```sh\n")) && (!to || from < to))
        for (from += strlen("```sh\n"); *from != '`'; from = strchr(from, '\n') + 1, count++) {
            snprintf(line, sizeof line, "%.*s", (int)strcspn(from, "\n"), from);
            run_expecting(RNET_DONE, "%s", line);
        }
    return count;
}

static void every_program_of_the_reference_checks(void **state)
{
    char *text = read_file(SOURCE_FOLDER "/grammar/LANGUAGE.md", NULL), *at = text, *end;
    int count = 0, commands = 0;

    (void)state;
    enter_folder();
    while ((at = strstr(at, "```rnet\n"))) {
        at += strlen("```rnet\n");
        end = strstr(at, "\n```");
        assert_non_null(end);
        end[1] = 0;
        write_file("net.rnet", at);
        run_expecting(RNET_DONE, "rnetc check net.rnet || { cat net.rnet >&2; false; }");
        run_expecting(RNET_DONE, "if grep -q '^ *expect' net.rnet; then rnetc lab net.rnet; fi");
        at = end + 2;
        count++;
        commands += run_commands(at, strstr(at, "```rnet\n"));
    }
    assert_true(count >= 6 && commands >= 4);
    free(text);
    leave_folder();
}

static void every_example_checks_and_is_in_canonical_form(void **state)
{
    (void)state;
    enter_folder();
    run_expecting(RNET_DONE, "for f in " SOURCE_FOLDER "/examples/*.rnet; do rnetc check $f && rnetc fmt --compare $f || exit 1; done");
    run_expecting(RNET_DONE, "rnetc fmt --compare " SOURCE_FOLDER "/stdlib/*.rnet");
    leave_folder();
}

/* As a tree the function has 3^32 leaves: whoever walks over an expression meets what is equal once. */
static void a_function_of_itself_takes_no_time(void **state)
{
    (void)state;
    enter_folder();
    write_file("net.rnet", "use std\n"
                           "data noise {\n    samples = 256\n"
                           "    train { x[i: 6] ~ normal(0, 1)\n        label = argmax[class: 3] x[class + 0] }\n}\n"
                           "fn one(x) = x * (1.02 - 0.02 * x * x)\nfn two(x) = one(one(x))\nfn four(x) = two(two(x))\n"
                           "fn eight(x) = four(four(x))\nfn sixteen(x) = eight(eight(x))\n"
                           "layer odd(a[i]) -> y[i] {\n    e[i] = exp(a[i] - 1)\n    s = sum[i] e[i]\n"
                           "    y[i] = exp(a[i] - 1) * sixteen(sixteen(a[i])) / s\n}\n"
                           "model net(x[i: 6]) -> logits[class: 3] { logits = x |> dense(40) |> odd |> dense(3) }\n"
                           "train net on noise {\n    loss = cross_entropy(logits, label)\n    optimizer = gd(rate = 0.02)\n"
                           "    batch = 32\n    steps = 3\n}\n");
    run_expecting(RNET_DONE, "rnetc explain net.rnet");
    run_expecting(RNET_DONE, "rnetc gradcheck net.rnet");
    run_expecting(RNET_DONE, "rnetc probe net.rnet");
    run_expecting(RNET_DONE, "rnetc train net.rnet --out a");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_program_of_the_reference_checks),
        cmocka_unit_test(a_function_of_itself_takes_no_time),
        cmocka_unit_test(every_example_checks_and_is_in_canonical_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
