/* Sources, diagnostics, names, and the shape of the tree. */
#include "syntax.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- a tree as brackets, so that precedence shows ---- */

static void show(struct text *out, const struct node *node)
{
    switch (node->kind) {
    case NODE_BINARY:
        text_addf(out, "(%c ", node->op);
        show(out, node->a);
        text_add(out, " ");
        show(out, node->b);
        text_add(out, ")");
        break;
    case NODE_UNARY:
    case NODE_ALL:
        text_addf(out, "(%s ", node->kind == NODE_ALL ? "all" : node->op == 'n' ? "not" : "-");
        show(out, node->a);
        text_add(out, ")");
        break;
    case NODE_REDUCE:
        text_addf(out, "(%s ", node->name);
        show(out, node->a);
        text_add(out, ")");
        break;
    case NODE_IF:
        text_add(out, "(if ");
        show(out, node->a);
        text_add(out, " ");
        show(out, node->b);
        text_add(out, " ");
        show(out, node->c);
        text_add(out, ")");
        break;
    case NODE_GROUPED:
        show(out, node->a);
        break;
    default:
        print_node(out, node);
    }
}

static const struct node *parse_text(struct arena *arena, const char *program)
{
    struct diagnostics *d = diagnostics_new(arena);
    struct node *tree = parse(arena, source_of_text(arena, "test", program), d);
    struct text text = {0};

    diagnostics_print(d, &text, false);
    if (text.size)
        print_error("%s", text.data);
    text_free(&text);
    assert_non_null(tree);
    return tree;
}

static void assert_shape(const char *expression, const char *expected)
{
    struct arena *arena = arena_new();
    const struct node *tree = parse_text(arena, arena_printf(arena, "let x = %s", expression));
    struct text text = {0};

    show(&text, tree->list.at[0]->a);
    assert_string_equal(text.data, expected);
    text_free(&text);
    arena_free(arena);
}

static void products_bind_tighter_than_sums(void **state)
{
    assert_shape("a + b * c - d", "(- (+ a (* b c)) d)");
    assert_shape("a // b % c", "(% (f a b) c)");
}

static void minus_binds_looser_than_power_and_tighter_than_product(void **state)
{
    assert_shape("-x^2", "(- (^ x 2))");
    assert_shape("-a * b", "(* (- a) b)");
    assert_shape("2^-3^2", "(^ 2 (- (^ 3 2)))");
}

static void powers_associate_to_the_right(void **state)
{
    assert_shape("a^b^c", "(^ a (^ b c))");
}

static void reductions_take_the_product_after_them(void **state)
{
    assert_shape("sum[i] a * b / c + d", "(+ (sum (/ (* a b) c)) d)");
    assert_shape("a * sum[i] b * c", "(* a (sum (* b c)))");
    assert_shape("(sum[i] a) / b", "(/ (sum a) b)");
    assert_shape("mean[i] -x", "(mean (- x))");
}

static void reduction_words_are_functions_before_a_parenthesis(void **state)
{
    assert_shape("max(a, b) * c", "(* max(a, b) c)");
}

static void comparisons_bind_looser_than_sums_and_tighter_than_and(void **state)
{
    assert_shape("a + 1 < b and not c == d or e", "(o (a (< (+ a 1) b) (not (= c d))) e)");
}

static void if_takes_all_that_follows_else(void **state)
{
    assert_shape("if a then b else c + d", "(if a b (+ c d))");
    assert_shape("if a then b else if c then d else e", "(if a b (if c d e))");
}

static void all_takes_one_operand(void **state)
{
    assert_shape("all g * h", "(* (all g) h)");
}

static void pipeline_is_one_node_with_its_stages(void **state)
{
    struct arena *arena = arena_new();
    const struct node *pipe =
        parse_text(arena, "let y = x |> f(2) |> g[c](3) |> repeat k: 4 { |> h } |> a.b")->list.at[0]->a;

    assert_int_equal(pipe->kind, NODE_PIPE);
    assert_string_equal(pipe->a->name, "x");
    assert_int_equal(pipe->list.count, 4);
    assert_int_equal(pipe->list.at[0]->kind, NODE_STAGE);
    assert_false(pipe->list.at[0]->flag);
    assert_true(pipe->list.at[1]->flag);
    assert_string_equal(pipe->list.at[1]->more.at[0]->name, "c");
    assert_int_equal(pipe->list.at[2]->kind, NODE_REPEAT);
    assert_string_equal(pipe->list.at[2]->name, "k");
    assert_null(pipe->list.at[2]->b->a);
    assert_string_equal(pipe->list.at[3]->a->name, "a.b");
    assert_int_equal(pipe->list.at[3]->a->list.count, 2);
    arena_free(arena);
}

static void grouped_pipeline_stays_apart(void **state)
{
    struct arena *arena = arena_new();
    const struct node *pipe = parse_text(arena, "let y = (x |> f) |> g")->list.at[0]->a;

    assert_int_equal(pipe->list.count, 1);
    assert_int_equal(pipe->a->kind, NODE_GROUPED);
    assert_int_equal(pipe->a->a->kind, NODE_PIPE);
    arena_free(arena);
}

static void header_keeps_inputs_settings_and_outputs(void **state)
{
    struct arena *arena = arena_new();
    const struct node *layer = parse_text(arena, "layer f(x[..., i], n in (size(i) + 1); out: int, init: fn = g, rate)"
                                                 " -> random (y[o: out], z) { y = x }")
                                   ->list.at[0];

    assert_int_equal(layer->kind, NODE_LAYER);
    assert_string_equal(layer->name, "f");
    assert_int_equal(layer->list.count, 2);
    assert_true(layer->list.at[0]->flag);
    assert_int_equal(layer->list.at[0]->list.at[0]->kind, NODE_DOTS);
    assert_false(layer->list.at[1]->flag);
    assert_int_equal(layer->list.at[1]->a->kind, NODE_GROUPED);
    assert_int_equal(layer->more.count, 3);
    assert_string_equal(layer->more.at[1]->text, "fn");
    assert_string_equal(layer->more.at[1]->a->name, "g");
    assert_null(layer->more.at[2]->text);
    assert_true(layer->b->flag);
    assert_int_equal(layer->b->list.count, 2);
    assert_int_equal(layer->b->list.at[0]->list.at[0]->kind, NODE_AXIS);
    assert_int_equal(layer->a->kind, NODE_BLOCK);
    arena_free(arena);
}

static void fn_has_brackets_with_a_semicolon_between_groups(void **state)
{
    struct arena *arena = arena_new();
    const struct node *fn = parse_text(arena, "fn he[i; o](gain = 1) = normal(0, gain)")->list.at[0];

    assert_true(fn->flag);
    assert_int_equal(fn->more.count, 3);
    assert_int_equal(fn->more.at[1]->kind, NODE_SEMICOLON);
    assert_int_equal(fn->list.count, 1);
    assert_null(fn->result);
    assert_int_equal(fn->a->kind, NODE_CALL);
    arena_free(arena);
}

static void statements_have_their_kinds(void **state)
{
    struct arena *arena = arena_new();
    const struct node *block = parse_text(arena, "layer f(x) -> y {\n"
                                                 "    param W[i, o] ~ he[i; o], b[o] = 0\n"
                                                 "    m <- m + 1\n"
                                                 "    (a, b) = g(x)\n"
                                                 "    e[u] ~ normal(0, 1) per step\n"
                                                 "    clip = c(3) on weights\n"
                                                 "    if training { y = x } else if a { y = 1 } else { y = 2 }\n"
                                                 "    over t: 9 from h = 0, c[u] = 1 { h[t] = h[t - 1] }\n"
                                                 "    report { a = 1 }\n"
                                                 "    phase judge { a = 1 }\n"
                                                 "}\n")
                                   ->list.at[0]
                                   ->a;
    struct node *const *s = block->list.at;

    assert_int_equal(block->list.count, 9);
    assert_string_equal(s[0]->text, "param");
    assert_int_equal(s[0]->list.count, 2);
    assert_int_equal(s[0]->list.at[0]->op, '~');
    assert_int_equal(s[1]->list.at[0]->op, 'u');
    assert_int_equal(s[2]->list.at[0]->list.count, 2);
    assert_string_equal(s[3]->list.at[0]->text, "step");
    assert_string_equal(s[4]->list.at[0]->b->name, "weights");
    assert_int_equal(s[5]->kind, NODE_WHEN);
    assert_int_equal(s[5]->c->kind, NODE_WHEN);
    assert_int_equal(s[5]->c->c->kind, NODE_BLOCK);
    assert_int_equal(s[6]->kind, NODE_OVER);
    assert_int_equal(s[6]->list.count, 2);
    assert_int_equal(s[6]->list.at[0]->kind, NODE_DEFINITION);
    assert_string_equal(s[7]->name, "report");
    assert_null(s[7]->text);
    assert_string_equal(s[8]->text, "judge");
    arena_free(arena);
}

static void subscripts_have_their_kinds(void **state)
{
    struct arena *arena = arena_new();
    const struct node *read =
        parse_text(arena, "let y = x[i, k: 3, ..., (g, d), (...), batch: n, (i + 1)]")->list.at[0]->a;
    const enum node_kind kinds[] = {NODE_PATH,      NODE_AXIS, NODE_DOTS,   NODE_COMPOSITE,
                                    NODE_COMPOSITE, NODE_AXIS, NODE_GROUPED};

    assert_int_equal(read->kind, NODE_READ);
    assert_int_equal(read->list.count, 7);
    for (int i = 0; i < 7; i++)
        assert_int_equal(read->list.at[i]->kind, kinds[i]);
    arena_free(arena);
}

static void strings_and_numbers_have_their_values(void **state)
{
    struct arena *arena = arena_new();
    const struct node *call = parse_text(arena, "let y = f(\"a\\\"b\\\\c\", 1e-3, 12)")->list.at[0]->a;

    assert_string_equal(call->list.at[0]->a->text, "a\"b\\c");
    assert_true(call->list.at[1]->a->number == 1e-3);
    assert_true(call->list.at[1]->a->flag);
    assert_false(call->list.at[2]->a->flag);
    arena_free(arena);
}

static void line_goes_on_where_it_cannot_end(void **state)
{
    assert_shape("a +\n b", "(+ a b)");
    assert_shape("a\n + b", "(+ a b)");
    assert_shape("if a\n then b\n\n # why\n else c", "(if a b c)");
    assert_shape("(a\n\n * b)", "(* a b)");
}

static void equality_ignores_parentheses_and_nothing_else(void **state)
{
    struct arena *arena = arena_new();

    assert_true(tree_equal(parse_text(arena, "let a = (b * (c)) + d"), parse_text(arena, "let a=b*c\n +d # e")));
    assert_false(tree_equal(parse_text(arena, "let a = b * (c + d)"), parse_text(arena, "let a = b * c + d")));
    assert_false(tree_equal(parse_text(arena, "let a = b[c]"), parse_text(arena, "let a = b(c)")));
    assert_false(tree_equal(parse_text(arena, "let a = 1"), parse_text(arena, "let a = 1.0")));
    arena_free(arena);
}

/* ---- sources ---- */

static void positions_count_characters(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "p", "ab\n\xc3\xa9\xe6\x97\xa5x\n");
    int line, column;

    source_position(source, 1, &line, &column);
    assert_int_equal(line, 1);
    assert_int_equal(column, 2);
    source_position(source, 8, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 3);
    source_position(source, 10, &line, &column);
    assert_int_equal(line, 3);
    assert_int_equal(column, 1);
    arena_free(arena);
}

static void missing_file_is_no_source(void **state)
{
    struct arena *arena = arena_new();

    assert_null(source_read(arena, TEST_FOLDER "/no such file"));
    arena_free(arena);
}

/* ---- diagnostics ---- */

static void assert_printed(const struct diagnostics *d, bool color, const char *expected)
{
    struct text text = {0};

    diagnostics_print(d, &text, color);
    assert_string_equal(text.data ? text.data : "", expected);
    text_free(&text);
}

static void error_shows_its_line_notes_and_help(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "net.rnet", "one\n    y[t] = sum[i] W[i, t]\n");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E0301", (struct span){source, 22, 29}, "x[t: %d] reads W's axis u: 6", 4);
    diagnose_note(d, (struct span){source, 0, 3}, "u: 6 is declared here");
    diagnose_note(d, (struct span){0}, "nowhere");
    diagnose_help(d, "equal extents");
    assert_int_equal(diagnostics_errors(d), 1);
    assert_printed(d, false,
                   "net.rnet:2:19: error [E0301]: x[t: 4] reads W's axis u: 6\n"
                   "2 |     y[t] = sum[i] W[i, t]\n"
                   "  |                   ^^^^^^^\n"
                   "net.rnet:1:1: note: u: 6 is declared here\n"
                   "1 | one\n"
                   "  | ^^^\n"
                   "note: nowhere\n"
                   "help: equal extents\n");
    arena_free(arena);
}

static void marks_stand_under_wide_characters_and_tabs(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "p", "\t\xe6\x97\xa5\xc3\xa9 x\tyz");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E1", (struct span){source, 1, 4}, "wide");
    diagnose(d, "E1", (struct span){source, 9, 10}, "after a tab");
    assert_printed(d, false,
                   "p:1:2: error [E1]: wide\n"
                   "1 |     \xe6\x97\xa5\xc3\xa9 x   yz\n"
                   "  |     ^^\n"
                   "\n"
                   "p:1:7: error [E1]: after a tab\n"
                   "1 |     \xe6\x97\xa5\xc3\xa9 x   yz\n"
                   "  |             ^\n");
    arena_free(arena);
}

static void range_over_lines_is_marked_to_the_end_of_its_first(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "p", "let a = f(\n    1)\n");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E1", (struct span){source, 8, 16}, "long");
    assert_printed(d, false,
                   "p:1:9: error [E1]: long\n"
                   "1 | let a = f(\n"
                   "  |         ^^\n");
    arena_free(arena);
}

static void empty_range_at_the_end_has_one_mark(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "p", "let a");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E1", (struct span){source, 5, 5}, "end");
    assert_printed(d, false,
                   "p:1:6: error [E1]: end\n"
                   "1 | let a\n"
                   "  |      ^\n");
    arena_free(arena);
}

static void second_error_at_a_place_is_dropped_with_its_notes(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "p", "abc");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E1", (struct span){source, 0, 1}, "first");
    diagnose(d, "E2", (struct span){source, 0, 1}, "second");
    diagnose_note(d, (struct span){0}, "of the second");
    diagnose_help(d, "for the second");
    assert_int_equal(diagnostics_errors(d), 1);
    assert_printed(d, false, "p:1:1: error [E1]: first\n1 | abc\n  | ^\n");
    arena_free(arena);
}

static void order_is_that_of_sources_and_bytes_and_warnings_are_no_errors(void **state)
{
    struct arena *arena = arena_new();
    const struct source *one = source_of_text(arena, "one", "abc"), *two = source_of_text(arena, "two", "abc");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E1", (struct span){two, 0, 1}, "third");
    diagnose(d, "W1", (struct span){one, 2, 3}, "second");
    diagnose(d, "E1", (struct span){one, 1, 2}, "first");
    diagnose(d, "E1", (struct span){0}, "of no file");
    assert_int_equal(diagnostics_errors(d), 3);
    assert_printed(d, false,
                   "error [E1]: of no file\n\n"
                   "one:1:2: error [E1]: first\n1 | abc\n  |  ^\n\n"
                   "one:1:3: warning [W1]: second\n1 | abc\n  |   ^\n\n"
                   "two:1:1: error [E1]: third\n1 | abc\n  | ^\n");
    arena_free(arena);
}

static void color_is_only_added(void **state)
{
    struct arena *arena = arena_new();
    const struct source *source = source_of_text(arena, "p", "abc");
    struct diagnostics *d = diagnostics_new(arena);

    diagnose(d, "E1", (struct span){source, 0, 1}, "first");
    assert_printed(d, true,
                   "\033[1mp:1:1:\033[0m \033[1;31merror [E1]:\033[0m first\n"
                   "1 | abc\n"
                   "  | \033[1;31m^\033[0m\n");
    arena_free(arena);
}

static void several_errors_are_found_in_one_run(void **state)
{
    struct arena *arena = arena_new();
    struct diagnostics *d = diagnostics_new(arena);

    assert_null(parse(
        arena,
        source_of_text(arena, "p", "let a = *\nlayer f(x) -> y {\n    y = = 1\n    z = 1\n    y = )\n}\nlet b = ,\n"),
        d));
    assert_int_equal(diagnostics_errors(d), 4);
    arena_free(arena);
}

/* ---- names ---- */

static void nearest_name_is_at_most_a_third_away(void **state)
{
    static const char *const names[] = {"dropout", "dense", "relu", "cross_entropy"};

    assert_string_equal(nearest_name("drpout", names, 4), "dropout");
    assert_string_equal(nearest_name("dnese", names, 4), "dense");
    assert_string_equal(nearest_name("crossentropy", names, 4), "cross_entropy");
    assert_null(nearest_name("tanh", names, 4));
    assert_null(nearest_name("r", names, 4));
    assert_null(nearest_name("dense", names, 0));
}

static void swapped_neighbours_are_one_step(void **state)
{
    static const char *const names[] = {"abd", "bac"};

    assert_string_equal(nearest_name("abc", names, 2), "abd");
    assert_string_equal(nearest_name("abc", names + 1, 1), "bac");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_bind_tighter_than_sums),
        cmocka_unit_test(minus_binds_looser_than_power_and_tighter_than_product),
        cmocka_unit_test(powers_associate_to_the_right),
        cmocka_unit_test(reductions_take_the_product_after_them),
        cmocka_unit_test(reduction_words_are_functions_before_a_parenthesis),
        cmocka_unit_test(comparisons_bind_looser_than_sums_and_tighter_than_and),
        cmocka_unit_test(if_takes_all_that_follows_else),
        cmocka_unit_test(all_takes_one_operand),
        cmocka_unit_test(pipeline_is_one_node_with_its_stages),
        cmocka_unit_test(grouped_pipeline_stays_apart),
        cmocka_unit_test(header_keeps_inputs_settings_and_outputs),
        cmocka_unit_test(fn_has_brackets_with_a_semicolon_between_groups),
        cmocka_unit_test(statements_have_their_kinds),
        cmocka_unit_test(subscripts_have_their_kinds),
        cmocka_unit_test(strings_and_numbers_have_their_values),
        cmocka_unit_test(line_goes_on_where_it_cannot_end),
        cmocka_unit_test(equality_ignores_parentheses_and_nothing_else),
        cmocka_unit_test(positions_count_characters),
        cmocka_unit_test(missing_file_is_no_source),
        cmocka_unit_test(error_shows_its_line_notes_and_help),
        cmocka_unit_test(marks_stand_under_wide_characters_and_tabs),
        cmocka_unit_test(range_over_lines_is_marked_to_the_end_of_its_first),
        cmocka_unit_test(empty_range_at_the_end_has_one_mark),
        cmocka_unit_test(second_error_at_a_place_is_dropped_with_its_notes),
        cmocka_unit_test(order_is_that_of_sources_and_bytes_and_warnings_are_no_errors),
        cmocka_unit_test(color_is_only_added),
        cmocka_unit_test(several_errors_are_found_in_one_run),
        cmocka_unit_test(nearest_name_is_at_most_a_third_away),
        cmocka_unit_test(swapped_neighbours_are_one_step),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
