/* readers.c: files as programs read them: what is printed of them, and what is said of broken ones, with the place in the file. */
#include "run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet.h"

/* 1 x 1, gray 102 */
static const unsigned char gray[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41,
    0x54, 0x78, 0xda, 0x63, 0x48, 0x03, 0x00, 0x00, 0x68, 0x00, 0x67, 0x7e, 0x70, 0x51, 0x32, 0x00, 0x00, 0x00, 0x00, 0x49,
    0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
/* 2 x 1, gray */
static const unsigned char wide[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x02,
    0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0xd1, 0x49, 0x20, 0x56, 0x00, 0x00, 0x00, 0x0b, 0x49, 0x44, 0x41,
    0x54, 0x78, 0xda, 0x63, 0x60, 0x64, 0x02, 0x00, 0x00, 0x07, 0x00, 0x04, 0xe5, 0xed, 0x94, 0xcf, 0x00, 0x00, 0x00, 0x00,
    0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
/* 1 x 1, gray of 16 bits */
static const unsigned char deep[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x01, 0x10, 0x00, 0x00, 0x00, 0x00, 0x6a, 0xee, 0x47, 0x16, 0x00, 0x00, 0x00, 0x0b, 0x49, 0x44, 0x41,
    0x54, 0x78, 0xda, 0x63, 0x60, 0x64, 0x02, 0x00, 0x00, 0x07, 0x00, 0x04, 0xe5, 0xed, 0x94, 0xcf, 0x00, 0x00, 0x00, 0x00,
    0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82};
/* 1 x 1 with a palette: 10, 20, 30 */
static const unsigned char painted[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01,
    0x00, 0x00, 0x00, 0x01, 0x08, 0x03, 0x00, 0x00, 0x00, 0x28, 0xcb, 0x34, 0xbb, 0x00, 0x00, 0x00, 0x06, 0x50, 0x4c, 0x54,
    0x45, 0x00, 0x00, 0x00, 0x0a, 0x14, 0x1e, 0x7c, 0x51, 0xd6, 0x2f, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78,
    0xda, 0x63, 0x60, 0x04, 0x00, 0x00, 0x03, 0x00, 0x02, 0xe6, 0x7d, 0xa7, 0x67, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e,
    0x44, 0xae, 0x42, 0x60, 0x82};

static void write_bytes(const char *path, const unsigned char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file))
        fail_msg("%s cannot be written", path);
}

static struct outcome of(int status, const char *text, const char *command)
{
    write_file("net.rnet", text);
    return run_expecting(status, "%s", command);
}

static void images_and_the_names_of_their_folders(void **state)
{
    struct outcome o;

    (void)state;
    enter_folder();
    run_expecting(0, "mkdir -p tags/cat tags/dog painted");
    write_bytes("tags/cat/a.png", gray, sizeof gray);
    write_bytes("tags/dog/b.png", gray, sizeof gray);
    write_bytes("painted/c.png", painted, sizeof painted);
    o = of(RNET_DONE,
           "data d { train { (image, label) = png(\"tags\", 2), part = png(\"tags/*/*.png\") / 255 } }\n"
           "data p { train { image = png(\"painted\") } }\n",
           "rnetc predict net.rnet d && rnetc predict net.rnet p");
    assert_contains(o.out, "label \"cat\"  part 0.4");
    assert_contains(o.out, "label \"dog\"  part 0.4");
    assert_contains(o.out, "image 10 20 30\n");
    leave_folder();
}

static void images_that_cannot_be_meant_are_named(void **state)
{
    static const char *const program = "data d { train { image = png(\"folder\") } }\n";
    struct outcome o;

    (void)state;
    enter_folder();
    run_expecting(0, "mkdir folder");
    o = of(RNET_DATA, program, "rnetc predict net.rnet d");
    assert_contains(o.error, "folder");
    write_bytes("folder/a.png", gray, sizeof gray);
    write_bytes("folder/b.png", wide, sizeof wide);
    o = of(RNET_DATA, program, "rnetc predict net.rnet d");
    assert_contains(o.error, "folder/b.png");
    assert_contains(o.error, "folder/a.png");
    write_bytes("folder/b.png", painted, sizeof painted);
    o = of(RNET_DATA, program, "rnetc predict net.rnet d");
    assert_contains(o.error, "folder/b.png");
    assert_contains(o.error, "gray");
    write_bytes("folder/b.png", deep, sizeof deep);
    o = of(RNET_DATA, program, "rnetc predict net.rnet d");
    assert_contains(o.error, "folder/b.png");
    assert_contains(o.error, "16 bits");
    for (size_t size = 0; size < sizeof gray - 12; size += 7) {
        write_bytes("folder/b.png", gray, size);
        o = of(RNET_DATA, program, "rnetc predict net.rnet d");
        assert_contains(o.error, "folder/b.png: byte ");
    }
    leave_folder();
}

/* The program, the file x.txt, and what the message holds besides the file's name. */
static void broken_files_are_named_with_the_place(void **state)
{
    static const struct {
        const char *field, *text, *message;
    } cases[] = {
        {"x = words(\"x.txt\", 9)", "one t\xffwo\n", "byte 5"},
        {"x = characters(\"x.txt\", 9)", "", "byte 0"},
        {"x = sequence(characters(\"x.txt\", 9), 5)", "abcd", "5"},
        {"(x, n) = lines(\"x.txt\", 9, 3)", "ab\n\nabcd\n", "line 3"},
        {"x = csv(\"x.txt\", first = 0)", "1\n2\nthree\n", "line 3"},
        {"x = csv(\"x.txt\", first = 0, count = 2)", "1,2\n3\n", "line 2"},
        {"x = csv(\"x.txt\", \"b\")", "a,c\n1,2\n", "\"b\""},
        {"x = csv(\"x.txt\", \"a\")", "a,b,a\n1,2,3\n", "columns 1 and 3"},
        {"x = csv(\"x.txt\", \"kind\", categories = 2)", "kind,n\nred,1\n,2\n", "line 3"},
        {"x = npy(\"x.txt\")", "\x93NUMPY but not quite", "byte"},
        {"x = idx(\"x.txt\")", "idx?", "byte"},
    };

    (void)state;
    enter_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct outcome o;
        char text[300];

        snprintf(text, sizeof text, "data d { train { %s } }\n", cases[i].field);
        write_file("x.txt", cases[i].text);
        o = of(RNET_DATA, text, "rnetc predict net.rnet d");
        assert_contains(o.error, "x.txt: ");
        assert_contains(o.error, cases[i].message);
        assert_string_equal(o.out, "");
    }
    leave_folder();
}

/* More categories than the program says are an error where they are used; one that training lacked is an error that names it. */
static void categories_are_those_of_training(void **state)
{
    static const char *const program =
        "use std\n"
        "data d { train { kind = csv(\"train.csv\", \"kind\", categories = 2) }\n"
        " test { kind = csv(\"test.csv\", \"kind\", categories = 2) } }\n"
        "model m(kind in 2) -> e[c: 2] { param w[c] = 0\n e[c] = w[c] + (kind == c) }\n"
        "train m on d { loss = sum[c] e[c]^2, optimizer = gd(0.1), batch = 2, steps = 1, report = e[0] }\n";
    struct outcome o;

    (void)state;
    enter_folder();
    write_file("train.csv", "kind\r\nred\r\ngreen\r\n");
    write_file("test.csv", "kind\ngreen\nblue\n");
    o = of(RNET_DATA, program, "rnetc train net.rnet --out run");
    assert_contains(o.error, "test.csv: line 3");
    assert_contains(o.error, "blue");
    write_file("test.csv", "kind\ngreen\nred\n");
    write_file("train.csv", "kind\nred\ngreen\nblue\n");
    o = run_expecting(RNET_DATA, "rm -rf run; rnetc train net.rnet --out run");
    assert_contains(o.error, "train.csv");
    leave_folder();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_and_the_names_of_their_folders),
        cmocka_unit_test(images_that_cannot_be_meant_are_named),
        cmocka_unit_test(broken_files_are_named_with_the_place),
        cmocka_unit_test(categories_are_those_of_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
