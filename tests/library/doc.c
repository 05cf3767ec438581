/* doc.c: rnetc doc prints every entry of the standard library, each with its line, and what it gives as an example
 * checks. */
#include "run.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* The name after `layer `, `fn ` or `rule ` at the line's beginning, or NULL. */
static const char *defined_name(const char *line, char *name, size_t size)
{
    static const char *const kinds[] = {"layer ", "fn ", "rule "};

    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (strncmp(line, kinds[k], strlen(kinds[k])))
            continue;
        snprintf(name, size, "%s%.*s", kinds[k], (int)strcspn(line + strlen(kinds[k]), "([ ="),
                 line + strlen(kinds[k]));
        return name;
    }
    return NULL;
}

/* The line of the reference that begins with the definition, set in; what follows it is never empty: its comment. */
static void assert_documented(const char *reference, const char *definition)
{
    char line[240];
    const char *at = reference, *next;

    snprintf(line, sizeof line, "\n  %s", definition);
    while ((at = strstr(at, line)) && !strchr("([ =", at[strlen(line)]))
        at++;
    if (!at)
        fail_msg("rnetc doc does not say %s", definition);
    for (next = strchr(at + 1, '\n') + 1; !strncmp(next, "          ", 10) || !strncmp(next, "  }", 3);)
        next = strchr(next, '\n') + 1;
    if (strncmp(next, "      ", 6))
        fail_msg("rnetc doc has no comment on %s", definition);
}

static void every_entry_is_there(void **state)
{
    const char *reference;
    DIR *folder = opendir(SOURCE_FOLDER "/stdlib");
    int entries = 0;

    (void)state;
    assert_non_null(folder);
    enter_folder();
    reference = run_expecting(RNET_DONE, "rnetc doc").out;
    for (struct dirent *file; (file = readdir(folder));) {
        char path[400], name[200];
        char *text;

        if (!strstr(file->d_name, ".rnet"))
            continue;
        snprintf(path, sizeof path, "std/%s\n", file->d_name);
        assert_contains(reference, path);
        snprintf(path, sizeof path, SOURCE_FOLDER "/stdlib/%s", file->d_name);
        text = read_file(path, NULL);
        for (char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
            if (defined_name(line, name, sizeof name)) {
                assert_documented(reference, name);
                entries++;
            }
        free(text);
    }
    closedir(folder);
    assert_true(entries > 100);
    leave_folder();
}

/* Examples are the lines set in by ten: one whole program a line. */
static void examples_check(void **state)
{
    char *reference;
    int examples = 0;

    (void)state;
    enter_folder();
    reference = strdup(run_expecting(RNET_DONE, "rnetc doc").out);
    for (char *at = reference; (at = strstr(at, "\n          model ")); at++) {
        char program[1000];

        snprintf(program, sizeof program, "use std\n%.*s\n", (int)strcspn(at + 11, "\n"), at + 11);
        write_file("example.rnet", program);
        run_expecting(RNET_DONE, "rnetc check example.rnet");
        examples++;
    }
    assert_true(examples >= 20);
    free(reference);
    leave_folder();
}

static void one_entry_is_shown_with_its_equations(void **state)
{
    struct outcome said;

    (void)state;
    enter_folder();
    said = run_expecting(RNET_DONE, "rnetc doc relu");
    assert_contains(said.out, "std/functions.rnet:");
    assert_contains(said.out, "\n  fn relu(x) = max(x, 0)\n");
    assert_string_equal(run_expecting(RNET_USAGE, "rnetc doc rleu").error,
                        "rnetc: the standard library has no `rleu`; did you mean `relu`?\n");
    leave_folder();
}

static void a_file_is_documented_by_its_own_lines(void **state)
{
    (void)state;
    enter_folder();
    write_file("mine.rnet", "# What it is for.\n\n# ---- parts ----\n\n## Twice x.\n##\n##     model m(x[i: 3]) -> "
                            "y[i] { y = x |> twice }\n"
                            "layer twice(x[...]) -> y[...] {\n    y = 2 * x\n}\n");
    assert_string_equal(
        run_expecting(RNET_DONE, "rnetc doc ./mine.rnet").out,
        "./mine.rnet\nWhat it is for.\n\n  -- parts --\n\n  layer twice(x[...]) -> y[...]\n      Twice x.\n\n"
        "          model m(x[i: 3]) -> y[i] { y = x |> twice }\n\n");
    write_file("wrong.rnet", "layer (x) {\n");
    assert_contains(run_expecting(RNET_SOURCE, "rnetc doc wrong.rnet").error, "E0101");
    assert_contains(run_expecting(RNET_SOURCE, "rnetc doc none.rnet").error, "none.rnet: No such file");
    write_file("empty.rnet", "let a = 1\n");
    assert_contains(run_expecting(RNET_FAILED, "rnetc doc empty.rnet").error, "it defines no function");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_is_there),
        cmocka_unit_test(examples_check),
        cmocka_unit_test(one_entry_is_shown_with_its_equations),
        cmocka_unit_test(a_file_is_documented_by_its_own_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
