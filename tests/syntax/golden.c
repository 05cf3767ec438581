/* Golden files. errors/NAME.rnet is a wrong program and NAME.expect exactly what is said about it; format/NAME.rnet is
   a badly laid out program and NAME.expect its canonical text. With RNET_REWRITE=1 in the environment the expectations
   are written. */
#include "folder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static bool rewriting(void)
{
    const char *set = getenv("RNET_REWRITE");

    return set && *set;
}

/* The first line that differs, and how. */
static void print_difference(const char *path, const char *expected, const char *actual)
{
    int line = 1;

    while (*expected && *actual) {
        size_t a = strcspn(expected, "\n"), b = strcspn(actual, "\n");

        if (a != b || strncmp(expected, actual, a))
            break;
        expected += a + (expected[a] == '\n');
        actual += b + (actual[b] == '\n');
        line++;
    }
    print_error("%s: differs in line %d\n  expected: %.*s\n  actual:   %.*s\n--- actual from there on ---\n%s\n", path,
                line, (int)strcspn(expected, "\n"), expected, (int)strcspn(actual, "\n"), actual, actual);
}

/* Returns 1 if the text is not what NAME.expect says. */
static int compare(struct arena *arena, const char *path, const struct text *text)
{
    const char *expect = arena_printf(arena, "%.*s.expect", (int)strlen(path) - 5, path);
    const char *actual = text->data ? text->data : "";
    const struct source *expected;
    FILE *file;

    if (rewriting()) {
        file = fopen(expect, "w");
        assert_non_null(file);
        fputs(actual, file);
        assert_int_equal(fclose(file), 0);
        return 0;
    }
    expected = source_read(arena, expect);
    if (!expected) {
        print_error("%s is missing\n", expect);
        return 1;
    }
    if (!strcmp(expected->text, actual))
        return 0;
    print_difference(expect, expected->text, actual);
    return 1;
}

/* A file's text under its bare name, so that messages do not depend on where the tests lie. */
static const struct source *read_as_name(struct arena *arena, const char *path)
{
    const struct source *file = source_read(arena, path);

    assert_non_null(file);
    return source_of_text(arena, strrchr(path, '/') + 1, file->text);
}

static void wrong_programs_are_told_exactly_what_is_wrong(void **state)
{
    struct arena *arena = arena_new();
    struct files files = files_of(arena, TEST_FOLDER "/errors");
    int failed = 0;

    assert_true(files.count >= 15);
    for (int i = 0; i < files.count; i++) {
        struct diagnostics *d = diagnostics_new(arena);
        struct text text = {0};

        if (parse(arena, read_as_name(arena, files.path[i]), d)) {
            print_error("%s parses\n", files.path[i]);
            failed++;
        }
        diagnostics_print(d, &text, false);
        failed += compare(arena, files.path[i], &text);
        text_free(&text);
    }
    assert_int_equal(failed, 0);
    arena_free(arena);
}

static void layouts_become_canonical(void **state)
{
    struct arena *arena = arena_new();
    struct files files = files_of(arena, TEST_FOLDER "/format");
    int failed = 0;

    assert_true(files.count >= 5);
    for (int i = 0; i < files.count; i++) {
        struct diagnostics *d = diagnostics_new(arena);
        const struct source *source = read_as_name(arena, files.path[i]);
        struct node *tree = parse(arena, source, d);
        struct text once = {0}, twice = {0};
        const struct source *again;

        assert_non_null(tree);
        format(&once, arena, source, tree);
        failed += compare(arena, files.path[i], &once);
        again = source_of_text(arena, "again", once.data ? once.data : "");
        format(&twice, arena, again, parse(arena, again, d));
        failed += compare(arena, files.path[i], &twice);
        assert_true(tree_equal(tree, parse(arena, again, d)));
        text_free(&once);
        text_free(&twice);
    }
    assert_int_equal(failed, 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_programs_are_told_exactly_what_is_wrong),
        cmocka_unit_test(layouts_become_canonical),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
