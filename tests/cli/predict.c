/* predict.c: what predict prints and writes: text where numbers are symbols, data of every reader, which split. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

static struct outcome of(int status, const char *text, const char *command)
{
    write_file("net.rnet", text);
    return run_expecting(status, "%s", command);
}

/* The most frequent first, equally frequent ones by code point: unknown 0, a 1, b 2, é 3, line end 4 are all that fit into 5. */
static const char *const speller =
    "use std\n"
    "let vocab = 5\n"
    "data texts { train { text = characters(\"text.txt\", vocab) }\n test { text = characters(\"other.txt\", vocab) } }\n"
    "model echo(text in vocab) -> said in vocab { param w = 0\n said = if w > 10 then 0 else text\n loss = w^2 }\n"
    "train echo on texts { loss = (w - 1)^2, optimizer = gd(0.1), batch = 2, steps = 1 }\n";

static void write_texts(void)
{
    write_file("text.txt", "aaaaaaabbbbb\xc3\xa9\xc3\xa9\xc3\xa9\r\n\r\n");
    write_file("other.txt", "ab\xc3\xa9z\r\n");
}

/* An unknown symbol is U+FFFD; a line end of two bytes is one symbol. */
static void characters_are_printed_as_text(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_texts();
    of(RNET_DONE, speller, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet echo --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "a\nb\n\xc3\xa9\n\xef\xbf\xbd\n\n\n");
    assert_contains(o.error, "echo for the 5 items of texts.test");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet echo --checkpoint run/checkpoint.safetensors --numbers");
    assert_string_equal(o.out, "1\n2\n3\n0\n4\n");
    /* The vocabulary is the checkpoint's, also when the file is another by now. */
    write_file("text.txt", "zzzzzz");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet echo --checkpoint run/checkpoint.safetensors --count 4");
    assert_string_equal(o.out, "a\nb\n\xc3\xa9\n\xef\xbf\xbd\n");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet texts.test --checkpoint run/checkpoint.safetensors --count 2");
    assert_string_equal(o.out, "text \"a\"\ntext \"b\"\n");
    leave_folder();
}

/* Greedy decoding from a table that is trained to follow the text: after a comes b, after b c, after c a. */
static void a_model_writes_by_what_it_wrote(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("text.txt", "abcabcabcabcabcabcabcabcabcabcabc");
    of(RNET_DONE,
       "use std\n"
       "let vocab = 4\n"
       "data letters { train { pair = sequence(characters(\"text.txt\", vocab), 2) } }\n"
       "model follow(pair[k: 2] in vocab) -> nll {\n"
       "    param W[i: vocab, o: vocab] = 0\n"
       "    logits[o] = W[pair[0], o]\n"
       "    nll = cross_entropy(logits, pair[1])\n"
       "}\n"
       "train follow on letters { loss = nll, optimizer = gd(1.0), batch = 8, steps = 40 }\n"
       "model likeliest() -> text[t: 7] in vocab {\n"
       "    over t from text = 1 { next[o: vocab] = follow.W[text[t - 1], o], text[t] = argmax[o] next[o] }\n"
       "}\n"
       "model sample() -> random text[t: 60] in vocab {\n"
       "    over t from text = 1 { text[t] ~ categorical[o: vocab](exp(follow.W[text[t - 1], o] * 9)) }\n"
       "}\n",
       "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet likeliest --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "bcabcab\n");
    /* The weight of another letter is e^-9 of the likeliest's or less. */
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet sample --checkpoint run/checkpoint.safetensors --seed 3 --count 2");
    assert_int_equal(strlen(o.out), 60 + 1 + 1 + 60 + 1);
    assert_memory_equal(o.out, "bcabcabcabca", 12);
    leave_folder();
}

/* Words of a test file that training never saw are <unk>; empty lines are lines; white space is one space. */
static void words_are_parted_by_spaces(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("text.txt", "the cat  the\tdog\r\n\r\nthe cat the end\n");
    write_file("other.txt", "the cow the cat\n\nthe");
    of(RNET_DONE,
       "use std\n"
       "let vocab = 8\n"
       "data texts { train { text = sequence(words(\"text.txt\", vocab), 8) }\n test { text = sequence(words(\"other.txt\", vocab), 8) } }\n"
       "model echo(text[k: 8] in vocab) -> said[k] in vocab { param w = 0\n said[k] = if w > 10 then 0 else text[k]\n }\n"
       "train echo on texts { loss = (w - 1)^2, optimizer = gd(0.1), batch = 1, steps = 1 }\n",
       "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet echo --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "the <unk> the cat\n\nthe\n\n");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet texts.train --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "text \"the cat the dog\\n\\nthe cat\"\n");
    leave_folder();
}

/* Rows of lines end where they ended; two names for the same limit of which only one is in the checkpoint; labels by name. */
static void lines_and_labels_have_their_text(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("lines.txt", "ab\n\nbaaa\n\xc3\xa4\n");
    write_file("table.csv", "kind,weight\nred fox,1\n\"hare, \"\"grey\"\"\",-0.0\nred fox,3\nred fox,4\n");
    of(RNET_DONE,
       "use std\n"
       "let letters = 5\n"
       "data rows { train { (line, length) = lines(\"lines.txt\", letters, 6)\n kind = csv(\"table.csv\", \"kind\", categories = 3)\n"
       "    weight = csv(\"table.csv\", \"weight\") } }\n"
       "model echo(line[t: 6] in letters, kind in 3, weight) -> (said[t] in letters, what in 3, less) {\n"
       "    param w = 0\n said[t] = if w > 10 then 0 else line[t]\n what = kind\n less = weight * (1 - w)\n }\n"
       "train echo on rows { loss = (w - 1)^2, optimizer = gd(0), batch = 1, steps = 1 }\n",
       "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet echo --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "said \"ab\"  what \"red fox\"  less 1\n"
                               "said \"\"  what \"hare, \\\"grey\\\"\"  less 0\n"
                               "said \"baaa\"  what \"red fox\"  less 3\n"
                               "said \"\xc3\xa4\"  what \"red fox\"  less 4\n");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet rows");
    assert_contains(o.out, "line \"baaa\"  length 4  kind \"red fox\"  weight 3\n");
    leave_folder();
}

static const char *const two =
    "use std\n"
    "data points { samples = 6\n every { x = batch * 1.0, label = batch % 2 }\n (train, test) = divide(every, 4, 2) }\n"
    "data others { samples = 2\n train { x = batch + 100.0 } }\n"
    "model net(x) -> (twice, sum_of[k: 2]) { param w = 2\n twice = w * x\n sum_of[k] = w * k + x }\n"
    "model alone(x) -> y { y = -0.0 * x }\n"
    "train net on points { loss = 0 * label + (w - 2)^2, optimizer = gd(0.1), batch = 2, steps = 1 }\n";

static void the_split_is_said_and_chosen(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    of(RNET_DONE, two, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors");
    assert_contains(o.error, "net for the 2 items of points.test");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --on points.train --count 3");
    assert_contains(o.error, "net for the first 3 of the 4 items of points.train");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --on others");
    assert_string_equal(o.out, "twice 200  sum_of 100 102\ntwice 202  sum_of 101 103\n");
    o = run_expecting(RNET_SOURCE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --on others.test");
    assert_contains(o.error, "the data others have no split `test`");
    o = run_expecting(RNET_SOURCE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --on nothing");
    assert_contains(o.error, "there is no data block `nothing`");
    /* Nothing trains it: it answers for the data that have its inputs. -0 is 0. */
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet alone --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "0\n0\n");
    assert_contains(o.error, "alone for the 2 items of points.test");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet points");
    assert_contains(o.error, "the 4 items of points.train; other splits: every, test");
    run_expecting(0, "(rnetc predict net.rnet points.train; rnetc predict net.rnet points.test) 2>/dev/null | sort > parts.txt;"
                     " rnetc predict net.rnet points.every 2>/dev/null | sort > every.txt; cmp parts.txt every.txt");
    leave_folder();
}

static void several_outputs_go_into_one_file(void **state)
{
    struct rnet_safetensors file;
    struct rnet_error error;
    struct outcome o;
    const struct rnet_tensor *t;

    (void)state;
    enter_folder();
    of(RNET_DONE, two, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_USAGE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --out both.npy");
    assert_contains(o.error, ".safetensors");
    run_expecting(RNET_DONE, "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors --on others --out both.safetensors");
    if (!rnet_safetensors_read("both.safetensors", &file, &error))
        fail_msg("%s", error.message);
    assert_int_equal(file.count, 2);
    t = rnet_safetensors_find(&file, "sum_of");
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->shape[0], 2);
    assert_int_equal(t->shape[1], 2);
    assert_true(((const double *)t->data)[3] == 103);
    rnet_safetensors_free(&file);
    leave_folder();
}

/* Shapes that only the file has, under arithmetic too. */
static void data_of_files_without_a_stated_shape_are_printed(void **state)
{
    struct outcome o;
    double numbers[6] = {0, 1, 2, 3, 4, -0.0};
    struct rnet_array array = {.type = RNET_F64, .rank = 3, .shape = {2, 1, 3}, .data = numbers};
    struct rnet_error error;

    (void)state;
    enter_folder();
    assert_true(rnet_write_npy("x.npy", &array, &error));
    o = of(RNET_DONE, "data d { every { x = npy(\"x.npy\"), half = npy(\"x.npy\") / 2 }\n (train, test) = divide(every, 1, 1) }\n",
           "rnetc predict net.rnet d.every");
    assert_string_equal(o.out, "x 0 1 2  half 0 0.5 1\nx 3 4 0  half 1.5 2 0\n");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet d.train");
    assert_contains(o.out, "half ");
    o = of(RNET_DATA, "data d { train { x = npy(\"y.npy\") } }\n", "rnetc predict net.rnet d");
    assert_contains(o.error, "y.npy");
    leave_folder();
}

/* Which of two alphabets the output is of is not known, unless each has a limit of its own. */
static void two_vocabularies_of_one_limit_are_not_guessed(void **state)
{
    static const char *const program =
        "use std\n"
        "let vocab = 3\n"
        "let other = 3\n"
        "data texts { train { one = characters(\"a.txt\", vocab), to = characters(\"b.txt\", %s) } }\n"
        "model swap(one in vocab, to in %s) -> said in %s { param w = 0\n said = if w > 10 then 0 else to }\n"
        "train swap on texts { loss = (w - 1)^2, optimizer = gd(0.1), batch = 1, steps = 1 }\n";
    struct outcome o;
    char text[1000];

    (void)state;
    enter_folder();
    write_file("a.txt", "aabb");
    write_file("b.txt", "xyyx");
    snprintf(text, sizeof text, program, "vocab", "vocab", "vocab");
    of(RNET_DONE, text, "rnetc train net.rnet --out run");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet swap --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "1\n2\n2\n1\n");
    assert_contains(o.error, "said may be symbols of texts.one or of texts.to");
    snprintf(text, sizeof text, program, "other", "other", "other");
    of(RNET_DONE, text, "rnetc train net.rnet --out run2");
    o = run_expecting(RNET_DONE, "rnetc predict net.rnet swap --checkpoint run2/checkpoint.safetensors");
    assert_string_equal(o.out, "x\ny\ny\nx\n");
    leave_folder();
}

/* A count is printed as a whole number, a share not; both the table and eval say of which split they are. */
static void reports_name_their_split(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    o = of(RNET_DONE,
           "use std\n"
           "data d { samples = 8\n train { x = batch * 1.0 }\n test { x = batch * 1.0 } }\n"
           "model m(x) -> y { param w[k: 3] = 1\n y = sum[k] w[k] * x }\n"
           "train m on d { loss = y, optimizer = gd(1e-6), batch = 4, steps = 4\n"
           "    report { alive = sum[k] (w[k] != 0), none = -0 * mean[batch] x, share = mean[batch] (x > 6) } }\n",
           "rnetc train net.rnet --out run");
    assert_contains(o.out, "  on d.test  alive 3  none 0  share 0.1250\n");
    assert_contains(o.error, "m: 3 parameters, 8 items of d.train in batches of 4, 4 steps\n");
    o = run_expecting(RNET_DONE, "rnetc eval net.rnet --checkpoint run/checkpoint.safetensors");
    assert_string_equal(o.out, "alive 3\nnone 0\nshare 0.125\n");
    assert_contains(o.error, "m on the 8 items of d.test");
    leave_folder();
}

static void a_model_without_data_is_refused(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    of(RNET_DONE, two, "rnetc train net.rnet --out run");
    o = of(RNET_USAGE, "model net(z) -> y { param w = 2\n y = w * z }\n",
           "rnetc predict net.rnet net --checkpoint run/checkpoint.safetensors");
    assert_contains(o.error, "--on DATA.SPLIT");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(characters_are_printed_as_text),
        cmocka_unit_test(a_model_writes_by_what_it_wrote),
        cmocka_unit_test(words_are_parted_by_spaces),
        cmocka_unit_test(lines_and_labels_have_their_text),
        cmocka_unit_test(the_split_is_said_and_chosen),
        cmocka_unit_test(several_outputs_go_into_one_file),
        cmocka_unit_test(data_of_files_without_a_stated_shape_are_printed),
        cmocka_unit_test(two_vocabularies_of_one_limit_are_not_guessed),
        cmocka_unit_test(reports_name_their_split),
        cmocka_unit_test(a_model_without_data_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
