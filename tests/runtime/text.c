/* Texts and their vocabularies. */
#include <libdeflate.h>

#include "support.h"

static struct rnet_vocabulary build_from(enum rnet_unit unit, const char *text, int limit)
{
    struct rnet_vocabulary vocabulary;
    if (!rnet_vocabulary_build(unit, write_text("train.txt", text), limit, &vocabulary, &error))
        fail_msg("%s", error.message);
    assert_int_equal(vocabulary.unit, unit);
    return vocabulary;
}

/* The entries with | between them. */
static void expect_entries(const struct rnet_vocabulary *vocabulary, const char *entries)
{
    char found[1000] = "";
    for (int i = 0; i < vocabulary->count; i++) {
        size_t length;
        const char *entry = rnet_vocabulary_entry(vocabulary, i, &length);
        assert_int_equal(strlen(entry), length);
        assert_int_equal(rnet_vocabulary_find(vocabulary, entry, length), i);
        strcat(strcat(found, i ? "|" : ""), entry);
    }
    assert_string_equal(found, entries);
}

static void expect_vocabulary(enum rnet_unit unit, const char *text, int limit, const char *entries)
{
    struct rnet_vocabulary vocabulary = build_from(unit, text, limit);
    expect_entries(&vocabulary, entries);
    rnet_vocabulary_free(&vocabulary);
}

/* Symbols of `text` as the vocabulary of `train` numbers them, 0 for the unknown. */
static void expect_numbers(enum rnet_unit unit, const char *train, int limit, const char *text, int count,
                           const int *numbers, int unknown)
{
    struct rnet_vocabulary vocabulary = build_from(unit, train, limit);
    struct rnet_array array;
    int64_t found_unknown;
    if (!rnet_read_text(write_text("other.txt", text), &vocabulary, &array, &found_unknown, &error))
        fail_msg("%s", error.message);
    assert_int_equal(array.type, RNET_I32);
    assert_int_equal(array.rank, 1);
    assert_int_equal(array.shape[0], count);
    for (int i = 0; i < count; i++)
        assert_int_equal(((int32_t *)array.data)[i], numbers[i]);
    assert_int_equal(found_unknown, unknown);
    rnet_array_free(&array);
    rnet_vocabulary_free(&vocabulary);
}

#define UNKNOWN "\xEF\xBF\xBD"

static void characters_go_by_frequency_then_code_point(void **state)
{
    expect_vocabulary(RNET_CHARACTERS, "banana\n", 10, UNKNOWN "|a|n|\n|b");
    expect_vocabulary(RNET_CHARACTERS, "zyx", 10, UNKNOWN "|x|y|z");
    /* U+00E9, U+20AC and U+1F600 once each, by code point; a twice. */
    expect_vocabulary(RNET_CHARACTERS,
                      "\xF0\x9F\x98\x80\xE2\x82\xAC\xC3\xA9"
                      "aa",
                      10, UNKNOWN "|a|\xC3\xA9|\xE2\x82\xAC|\xF0\x9F\x98\x80");
}

static void the_limit_counts_the_unknown(void **state)
{
    expect_vocabulary(RNET_CHARACTERS, "banana\n", 5, UNKNOWN "|a|n|\n|b");
    expect_vocabulary(RNET_CHARACTERS, "banana\n", 4, UNKNOWN "|a|n|\n");
    expect_vocabulary(RNET_CHARACTERS, "banana\n", 1, UNKNOWN);
    expect_vocabulary(RNET_WORDS, "a b b\n", 3, "<unk>|b|<eos>");
}

static void characters_beyond_the_limit_are_unknown(void **state)
{
    expect_numbers(RNET_CHARACTERS, "banana\n", 4, "nab\nx", 5, (int[]){2, 1, 0, 3, 0}, 2);
    expect_numbers(RNET_CHARACTERS, "banana\n", 5, "nab\nx", 5, (int[]){2, 1, 4, 3, 0}, 1);
}

static void the_character_for_what_is_unknown_means_that(void **state)
{
    expect_vocabulary(RNET_CHARACTERS, UNKNOWN UNKNOWN UNKNOWN "ab", 10, UNKNOWN "|a|b");
    expect_numbers(RNET_CHARACTERS, "ab", 10, "a" UNKNOWN "b", 3, (int[]){1, 0, 2}, 1);
}

static void line_ends_are_one_character(void **state)
{
    expect_numbers(RNET_CHARACTERS, "aab\n", 10, "a\r\nb\n\r\n", 5, (int[]){1, 2, 3, 2, 2}, 0);
    /* A CR alone is a character like others. */
    expect_vocabulary(RNET_CHARACTERS, "\r\r\n", 10, UNKNOWN "|\n|\r");
}

static void a_byte_order_mark_is_passed_over(void **state)
{
    expect_vocabulary(RNET_CHARACTERS,
                      "\xEF\xBB\xBF"
                      "a",
                      10, UNKNOWN "|a");
    expect_vocabulary(RNET_WORDS,
                      "\xEF\xBB\xBF"
                      "a",
                      10, "<unk>|<eos>|a");
}

static void zero_bytes_are_characters(void **state)
{
    struct rnet_vocabulary vocabulary;
    size_t length;
    assert_true(rnet_vocabulary_build(RNET_CHARACTERS, write_bytes("zero", "\0a\0", 3), 9, &vocabulary, &error));
    assert_int_equal(vocabulary.count, 3);
    assert_memory_equal(rnet_vocabulary_entry(&vocabulary, 1, &length), "\0", 2);
    assert_int_equal(length, 1);
    rnet_vocabulary_free(&vocabulary);
}

static void words_stand_between_white_space(void **state)
{
    expect_vocabulary(RNET_WORDS, "the cat\tsat \v\f on\nthe mat\n", 20, "<unk>|<eos>|the|cat|mat|on|sat");
    expect_numbers(RNET_WORDS, "the cat sat\n", 20, " sat  the dog \n", 4, (int[]){3, 4, 0, 1}, 1);
    /* Case and punctuation stay; a no-break space is no white space. */
    expect_vocabulary(RNET_WORDS,
                      "The the, a\xC2\xA0"
                      "b",
                      20,
                      "<unk>|<eos>|The|a\xC2\xA0"
                      "b|the,");
}

static void every_line_ends_with_a_word(void **state)
{
    expect_numbers(RNET_WORDS, "b\n", 9, "b\n\nb b\n", 6, (int[]){2, 1, 1, 2, 2, 1}, 0);
    /* The last line needs no end; CRLF is one. */
    expect_numbers(RNET_WORDS, "b\n", 9, "b\r\nb", 4, (int[]){2, 1, 2, 1}, 0);
    expect_numbers(RNET_WORDS, "b\n", 9, " ", 1, (int[]){1}, 0);
    expect_numbers(RNET_WORDS, "b\n", 9, "\n", 1, (int[]){1}, 0);
}

static void words_for_the_unknown_and_the_end_mean_that(void **state)
{
    expect_vocabulary(RNET_WORDS, "<unk> <unk> a <eos>\n", 9, "<unk>|<eos>|a");
    expect_numbers(RNET_WORDS, "a\n", 9, "<unk> a <eos>", 4, (int[]){0, 2, 1, 1}, 1);
}

static void many_words_keep_their_numbers(void **state)
{
    enum { WORDS = 5000 };
    char *text = malloc(WORDS * 10);
    size_t size = 0;
    for (int i = 0; i < WORDS; i++)
        size += (size_t)sprintf(text + size, "w%04d%s", i, i % 7 ? " " : "\n");
    struct rnet_vocabulary vocabulary;
    struct rnet_array array;
    int64_t unknown;
    const char *path = write_text("many.txt", text);
    assert_true(rnet_vocabulary_build(RNET_WORDS, path, 3000, &vocabulary, &error));
    assert_int_equal(vocabulary.count, 3000);
    assert_true(rnet_read_text(path, &vocabulary, &array, &unknown, &error));
    /* <unk> and <eos> take two of the 3000: the words to w2997 are in. */
    assert_int_equal(unknown, WORDS - 2998);
    int word = 0;
    for (int64_t i = 0; i < array.shape[0]; i++) {
        int number = ((int32_t *)array.data)[i];
        if (number == 1)
            continue;
        assert_int_equal(number, word < 2998 ? word + 2 : 0);
        word++;
    }
    assert_int_equal(word, WORDS);
    rnet_array_free(&array);
    rnet_vocabulary_free(&vocabulary);
    free(text);
}

static const char *failure(enum rnet_unit unit, const void *bytes, size_t size)
{
    struct rnet_vocabulary vocabulary;
    const char *path = write_bytes("bad.txt", bytes, size);
    assert_false(rnet_vocabulary_build(unit, path, 100, &vocabulary, &error));
    assert_int_equal(vocabulary.count, 0);
    assert_int_equal(error.status, RNET_DATA);
    return message_after(path);
}

static void empty_files_are_errors(void **state)
{
    for (int unit = RNET_CHARACTERS; unit <= RNET_LINES; unit++) {
        assert_string_equal(failure((enum rnet_unit)unit, "", 0), "byte 0: expected text, found the end of the file");
        assert_string_equal(failure((enum rnet_unit)unit, "\xEF\xBB\xBF", 3),
                            "byte 3: expected text, found the end of the file");
    }
}

static void what_is_no_utf8_is_named_by_byte(void **state)
{
    static const struct {
        const char *bytes;
        int at;
    } cases[] = {
        {"ab\ncd\xFF", 5},
        {"a\x80", 1},
        {"\xC0\x80", 0},
        {"\xC1\xBF", 0},
        {"a\xC3", 1},
        {"\xC3\x28", 0},
        {"\xE0\x9F\xBF", 0},
        {"\xED\xA0\x80", 0},
        {"ok\xE2\x82", 2},
        {"\xE2\x28\xA1", 0},
        {"\xF0\x8F\xBF\xBF", 0},
        {"\xF4\x90\x80\x80", 0},
        {"\xF5\x80\x80\x80", 0},
        {"\xF0\x9F\x98", 0},
        {"caf\xE9 noir", 3},
        {"\xEF\xBB\xBF\xFE", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[100];
        snprintf(wanted, sizeof wanted, "byte %d: expected text in UTF-8, found %02x,", cases[i].at,
                 (unsigned)(unsigned char)cases[i].bytes[cases[i].at]);
        for (int unit = RNET_CHARACTERS; unit <= RNET_LINES; unit++)
            assert_memory_equal(failure((enum rnet_unit)unit, cases[i].bytes, strlen(cases[i].bytes)), wanted,
                                strlen(wanted));
    }
    assert_non_null(strstr(failure(RNET_WORDS, "ab\ncd\xFF", 6), "(line 2)"));
}

static void packed_texts_are_read(void **state)
{
    static const char text[] = "to be\n";
    char packed[200];
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    size_t size = libdeflate_gzip_compress(compressor, text, strlen(text), packed, sizeof packed);
    struct rnet_vocabulary vocabulary;
    assert_true(rnet_vocabulary_build(RNET_WORDS, write_bytes("a.gz", packed, size), 9, &vocabulary, &error));
    expect_entries(&vocabulary, "<unk>|<eos>|be|to");
    rnet_vocabulary_free(&vocabulary);
    size = libdeflate_gzip_compress(compressor, "ab\xFF", 3, packed, sizeof packed);
    const char *wanted = "byte 2 of the unpacked data: expected text in UTF-8, found ff,";
    assert_memory_equal(failure(RNET_WORDS, packed, size), wanted, strlen(wanted));
    for (size_t cut = 2; cut < size; cut++)
        assert_memory_equal(failure(RNET_WORDS, packed, cut), "byte ", 5);
    libdeflate_free_compressor(compressor);
}

static void the_bounds_of_utf8_are_characters(void **state)
{
    expect_numbers(RNET_CHARACTERS,
                   "\xC2\x80\xDF\xBF\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xF0\x90\x80\x80\xF4\x8F\xBF\xBF", 100,
                   "\xF4\x8F\xBF\xBF\x7F\xC2\x80", 3, (int[]){7, 0, 1}, 1);
}

static void other_vocabularies_are_refused(void **state)
{
    struct rnet_vocabulary vocabulary = build_from(RNET_LINES, "a\n", 9), none = {.unit = RNET_WORDS};
    struct rnet_array array, lengths;
    int64_t unknown;
    const char *path = write_text("x.txt", "a\n");
    assert_false(rnet_read_text(path, &vocabulary, &array, &unknown, &error));
    assert_false(rnet_read_text(path, &none, &array, &unknown, &error));
    rnet_vocabulary_free(&vocabulary);
    vocabulary = build_from(RNET_CHARACTERS, "a\n", 9);
    assert_false(rnet_read_lines(path, &vocabulary, 9, &array, &lengths, &unknown, &error));
    assert_int_equal(error.status, RNET_USAGE);
    rnet_vocabulary_free(&vocabulary);
    assert_false(rnet_vocabulary_build(RNET_WORDS, path, 0, &vocabulary, &error));
    assert_false(rnet_vocabulary_build(RNET_LABELS, path, 9, &vocabulary, &error));
}

/* ---- one string ---- */

static void expect_same(const struct rnet_vocabulary *a, const struct rnet_vocabulary *b)
{
    assert_int_equal(a->unit, b->unit);
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        size_t a_length, b_length;
        const char *x = rnet_vocabulary_entry(a, i, &a_length), *y = rnet_vocabulary_entry(b, i, &b_length);
        assert_int_equal(a_length, b_length);
        assert_memory_equal(x, y, a_length);
        assert_int_equal(rnet_vocabulary_find(b, x, a_length), i);
    }
}

static void packing_keeps_everything(void **state)
{
    struct rnet_vocabulary vocabulary, again;
    static const char text[] = "a\\b\n\r \0\xC3\xA9\t\"";
    assert_true(
        rnet_vocabulary_build(RNET_CHARACTERS, write_bytes("odd", text, sizeof text - 1), 99, &vocabulary, &error));
    char *packed = rnet_vocabulary_pack(&vocabulary);
    assert_string_equal(packed, "rnet vocabulary 1\ncharacters\n11\n" UNKNOWN
                                "\n\\0\n\t\n\\n\n\\r\n \n\"\n\\\\\na\nb\n\xC3\xA9\n");
    if (!rnet_vocabulary_unpack(packed, strlen(packed), "vocabulary.text", &again, &error))
        fail_msg("%s", error.message);
    expect_same(&vocabulary, &again);
    rnet_vocabulary_free(&again);
    rnet_vocabulary_free(&vocabulary);
    free(packed);
}

static void a_checkpoint_can_hold_it(void **state)
{
    struct rnet_vocabulary vocabulary = build_from(RNET_WORDS, "to be or not to be\n", 9), again;
    char *packed = rnet_vocabulary_pack(&vocabulary);
    struct rnet_tensor tensor = {"text", RNET_U8, 1, {(int64_t)strlen(packed)}, packed};
    struct rnet_pair pair = {"vocabulary.text", packed};
    const char *path = in_folder("checkpoint");
    assert_true(rnet_safetensors_write(path, &tensor, 1, &pair, 1, &error));
    struct rnet_safetensors file;
    assert_true(rnet_safetensors_read(path, &file, &error));
    const char *value = rnet_safetensors_value(&file, "vocabulary.text");
    assert_true(rnet_vocabulary_unpack(value, strlen(value), path, &again, &error));
    expect_same(&vocabulary, &again);
    rnet_vocabulary_free(&again);
    const struct rnet_tensor *read = rnet_safetensors_find(&file, "text");
    assert_true(rnet_vocabulary_unpack(read->data, (size_t)read->shape[0], path, &again, &error));
    expect_same(&vocabulary, &again);
    rnet_vocabulary_free(&again);
    rnet_safetensors_free(&file);
    rnet_vocabulary_free(&vocabulary);
    free(packed);
}

/* Cut anywhere, or with any byte changed, it is refused or is another vocabulary; the sanitizers watch. */
static void damaged_strings_are_refused(void **state)
{
    struct rnet_vocabulary vocabulary = build_from(RNET_WORDS, "to be or not to be\n", 9), again;
    char *packed = rnet_vocabulary_pack(&vocabulary);
    size_t size = strlen(packed);
    for (size_t cut = 0; cut < size; cut++) {
        char *part = malloc(cut + 1);
        memcpy(part, packed, cut);
        assert_false(rnet_vocabulary_unpack(part, cut, "here", &again, &error));
        assert_true(strlen(message_after("here")) > 10);
        assert_int_equal(again.count, 0);
        free(part);
    }
    for (size_t at = 0; at < size; at++)
        for (int change = 1; change < 256; change++) {
            packed[at] ^= (char)change;
            if (rnet_vocabulary_unpack(packed, size, "here", &again, &error)) {
                char *other = rnet_vocabulary_pack(&again);
                assert_string_equal(other, packed);
                free(other);
                rnet_vocabulary_free(&again);
            }
            packed[at] ^= (char)change;
        }
    rnet_vocabulary_free(&vocabulary);
    free(packed);
}

static const char *unpack_failure(const char *text)
{
    struct rnet_vocabulary vocabulary;
    assert_false(rnet_vocabulary_unpack(text, strlen(text), "here", &vocabulary, &error));
    return message_after("here");
}

static void messages_about_strings_name_the_line(void **state)
{
    assert_string_equal(unpack_failure("rnet vocabulary 2\n"), "line 1: expected \"rnet vocabulary 1\"");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nbytes\n"),
                        "line 2: expected labels, characters, words or lines");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nlabels\n-1\n"), "line 3: expected the number of entries");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nlabels\n2\na\na\n"),
                        "line 5: expected a new entry, found that of line 4 again");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nlabels\n1\na\nb\n"),
                        "line 5: expected the end after 1 entries, found 2 bytes more");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nwords\n1\na\n"),
                        "line 4: expected <unk> as the first entry");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nlines\n2\n" UNKNOWN "\nab\n"),
                        "line 5: expected one character, found 2 bytes");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nlabels\n1\n\\a\n"),
                        "line 4: expected \\\\, \\n, \\r or \\0 after a backslash");
    assert_string_equal(unpack_failure("rnet vocabulary 1\nlabels\n1\n\xE9\n"),
                        "line 4: expected UTF-8, found the byte e9");
}

/* ---- lines ---- */

static void lines_are_rows_with_lengths(void **state)
{
    struct rnet_vocabulary vocabulary = build_from(RNET_LINES, "anna\nbo\n", 9);
    expect_entries(&vocabulary, UNKNOWN "|a|n|b|o");
    struct rnet_array rows, lengths;
    int64_t unknown;
    assert_true(rnet_read_lines(write_text("names.txt", "bob\r\n\nan\xC3\xA9n"), &vocabulary, 5, &rows, &lengths,
                                &unknown, &error));
    static const int32_t wanted[] = {3, 4, 3, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 2, 0}, wanted_lengths[] = {3, 0, 4};
    assert_int_equal(rows.rank, 2);
    assert_int_equal(rows.shape[0], 3);
    assert_int_equal(rows.shape[1], 5);
    assert_memory_equal(rows.data, wanted, sizeof wanted);
    assert_int_equal(lengths.rank, 1);
    assert_int_equal(lengths.shape[0], 3);
    assert_memory_equal(lengths.data, wanted_lengths, sizeof wanted_lengths);
    assert_int_equal(unknown, 1);
    rnet_array_free(&rows);
    rnet_array_free(&lengths);
    rnet_vocabulary_free(&vocabulary);
}

static void too_long_lines_are_named(void **state)
{
    struct rnet_vocabulary vocabulary = build_from(RNET_LINES, "anna\nbo\n", 9);
    struct rnet_array rows, lengths;
    int64_t unknown;
    const char *path = write_text("names.txt", "bo\n\xC3\xA9\xC3\xA9\xC3\xA9\nbobob\nanna\n");
    assert_false(rnet_read_lines(path, &vocabulary, 2, &rows, &lengths, &unknown, &error));
    assert_string_equal(message_after(path),
                        "line 2: expected at most 2 characters, found 3 (the longest line is 3, of 5)");
    assert_null(rows.data);
    assert_null(lengths.data);
    assert_int_equal(error.status, RNET_DATA);
    assert_true(rnet_read_lines(path, &vocabulary, 5, &rows, &lengths, &unknown, &error));
    rnet_array_free(&rows);
    rnet_array_free(&lengths);
    rnet_vocabulary_free(&vocabulary);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(characters_go_by_frequency_then_code_point),
        IN_FOLDER(the_limit_counts_the_unknown),
        IN_FOLDER(characters_beyond_the_limit_are_unknown),
        IN_FOLDER(the_character_for_what_is_unknown_means_that),
        IN_FOLDER(line_ends_are_one_character),
        IN_FOLDER(a_byte_order_mark_is_passed_over),
        IN_FOLDER(zero_bytes_are_characters),
        IN_FOLDER(words_stand_between_white_space),
        IN_FOLDER(every_line_ends_with_a_word),
        IN_FOLDER(words_for_the_unknown_and_the_end_mean_that),
        IN_FOLDER(many_words_keep_their_numbers),
        IN_FOLDER(empty_files_are_errors),
        IN_FOLDER(what_is_no_utf8_is_named_by_byte),
        IN_FOLDER(packed_texts_are_read),
        IN_FOLDER(the_bounds_of_utf8_are_characters),
        IN_FOLDER(other_vocabularies_are_refused),
        IN_FOLDER(packing_keeps_everything),
        IN_FOLDER(a_checkpoint_can_hold_it),
        IN_FOLDER(damaged_strings_are_refused),
        IN_FOLDER(messages_about_strings_name_the_line),
        IN_FOLDER(lines_are_rows_with_lengths),
        IN_FOLDER(too_long_lines_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
