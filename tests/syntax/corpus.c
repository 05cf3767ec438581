/* The whole corpus: standard library, examples, and programs for many kinds of nets. */
#include "folder.h"
#include "sema.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char *const folders[] = {SOURCE_FOLDER "/stdlib", SOURCE_FOLDER "/examples", TEST_FOLDER "/corpus"};

static struct node *parse_or_print(struct arena *arena, const struct source *source)
{
    struct diagnostics *d = diagnostics_new(arena);
    struct node *tree = parse(arena, source, d);
    struct text text = {0};

    diagnostics_print(d, &text, false);
    if (text.size)
        print_error("%s", text.data);
    text_free(&text);
    assert_non_null(tree);
    return tree;
}

typedef void check(struct arena *arena, const struct source *source, const struct node *tree);

static void each_file(const char *const *in, size_t count, check *check_file)
{
    for (size_t k = 0; k < count; k++) {
        struct arena *arena = arena_new();
        struct files files = files_of(arena, in[k]);

        assert_true(files.count > 0);
        for (int i = 0; i < files.count; i++) {
            const struct source *source = source_read(arena, files.path[i]);

            assert_non_null(source);
            check_file(arena, source, parse_or_print(arena, source));
        }
        arena_free(arena);
    }
}

static void check_formatted(struct arena *arena, const struct source *source, const struct node *tree)
{
    struct text once = {0}, twice = {0};
    const struct source *again;
    struct node *same;

    format(&once, arena, source, tree);
    again = source_of_text(arena, source->path, once.data);
    same = parse_or_print(arena, again);
    format(&twice, arena, again, same);
    if (!tree_equal(tree, same))
        fail_msg("%s: formatting changed the tree", source->path);
    assert_string_equal(once.data, twice.data);
    text_free(&once);
    text_free(&twice);
}

static void formatting_keeps_the_tree_and_does_nothing_twice(void **state)
{
    each_file(folders, 3, check_formatted);
}

static void check_canonical(struct arena *arena, const struct source *source, const struct node *tree)
{
    struct text text = {0};

    format(&text, arena, source, tree);
    if (strcmp(text.data, source->text))
        fail_msg("%s is not as the formatter writes it", source->path);
    text_free(&text);
}

static void standard_library_and_examples_are_canonical(void **state)
{
    each_file(folders, 2, check_canonical);
}

/* Every node lies in its parent, within the file; names lie in their nodes. */
static void check_spans(const struct node *node, struct span outer)
{
    if (!node)
        return;
    assert_ptr_equal(node->span.source, outer.source);
    if (node->span.begin < outer.begin || node->span.end > outer.end || node->span.begin > node->span.end)
        fail_msg("%s: node of kind %d at %d..%d leaves %d..%d", outer.source->path, node->kind, node->span.begin,
                 node->span.end, outer.begin, outer.end);
    if (node->name && node->name_span.source && node->kind != NODE_PATH) {
        assert_true(node->name_span.begin >= node->span.begin && node->name_span.end <= node->span.end);
        if (node->kind != NODE_USE)
            assert_memory_equal(outer.source->text + node->name_span.begin, node->name, strlen(node->name));
    }
    check_spans(node->a, node->span);
    check_spans(node->b, node->span);
    check_spans(node->c, node->span);
    for (int i = 0; i < node->list.count; i++)
        check_spans(node->list.at[i], node->span);
    for (int i = 0; i < node->more.count; i++)
        check_spans(node->more.at[i], node->span);
}

static void check_file_spans(struct arena *arena, const struct source *source, const struct node *tree)
{
    check_spans(tree, (struct span){source, 0, source->size});
}

static void every_node_knows_its_bytes(void **state)
{
    each_file(folders, 3, check_file_spans);
}

/* A sequence of its own, so that the same programs are damaged everywhere. */
static unsigned next_random(unsigned *state, unsigned below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) % below;
}

/* The program with a few bytes taken out and signs put in. */
static char *damaged(struct arena *arena, const char *text, unsigned *state)
{
    static const char *const signs[] = {"(",  ")",    "[",          "]",  "{", "}",       "\n",
                                        "|>", "else", "repeat 2 {", "\"", "=", "\nlayer "};
    char *result = arena_string(arena, text);

    for (unsigned edits = 1 + next_random(state, 3); edits; edits--) {
        unsigned size = (unsigned)strlen(result), place = next_random(state, size);
        unsigned cut = next_random(state, 3);
        const char *sign = signs[next_random(state, sizeof signs / sizeof *signs)];

        result = arena_printf(arena, "%.*s%s%s", (int)place, result, sign,
                              result + (place + cut < size ? place + cut : size));
    }
    return result;
}

static void check_damaged(struct arena *arena, const struct source *source, const struct node *whole)
{
    unsigned state = 7;

    for (int i = 0; i < 20; i++) {
        const struct source *wrong = source_of_text(arena, source->path, damaged(arena, source->text, &state));
        struct diagnostics *d = diagnostics_new(arena);
        struct node *tree = parse(arena, wrong, d);

        assert_true((tree == NULL) == (diagnostics_errors(d) > 0));
        if (tree)
            check_formatted(arena, wrong, tree);
    }
}

static void damaged_programs_are_refused_with_a_message(void **state)
{
    each_file(folders, 3, check_damaged);
}

static void every_entry_of_the_standard_library_has_a_doc_line(void **state)
{
    struct arena *arena = arena_new();
    int entries = 0;

    for (int i = 0; standard_library[i].path; i++) {
        const struct source *source = source_of_text(arena, standard_library[i].path, standard_library[i].text);
        struct node *tree = parse_or_print(arena, source);

        for (int k = 0; k < tree->list.count; k++) {
            int line_before = tree->list.at[k]->span.begin - 1;

            assert_true(line_before > 0);
            while (line_before > 0 && source->text[line_before - 1] != '\n')
                line_before--;
            if (strncmp(source->text + line_before, "## ", 3))
                fail_msg("%s: %s has no ## line above it", source->path, tree->list.at[k]->name);
            entries++;
        }
    }
    assert_true(entries > 100);
    arena_free(arena);
}

static void embedded_files_equal_the_folder(void **state)
{
    struct arena *arena = arena_new();
    struct files files = files_of(arena, SOURCE_FOLDER "/stdlib");
    int i;

    for (i = 0; standard_library[i].path; i++) {
        assert_true(i < files.count);
        assert_string_equal(strrchr(files.path[i], '/') + 1, standard_library[i].path + strlen("std/"));
        assert_string_equal(source_read(arena, files.path[i])->text, standard_library[i].text);
    }
    assert_int_equal(i, files.count);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formatting_keeps_the_tree_and_does_nothing_twice),
        cmocka_unit_test(standard_library_and_examples_are_canonical),
        cmocka_unit_test(every_node_knows_its_bytes),
        cmocka_unit_test(damaged_programs_are_refused_with_a_message),
        cmocka_unit_test(every_entry_of_the_standard_library_has_a_doc_line),
        cmocka_unit_test(embedded_files_equal_the_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
