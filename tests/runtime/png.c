/* Folders of PNG files. The files are written here by hand: stored deflate blocks, no filter. */
#include <libdeflate.h>
#include <sys/stat.h>

#include "support.h"

/* ---- a writer ---- */

enum { GRAY = 0, RGB = 2, PALETTE = 3, GRAY_ALPHA = 4, RGB_ALPHA = 6 };

struct picture {
    int width, height, bits, type;
    bool interlaced;
    const uint8_t *samples; /* one a byte, row by row; of 16 bits: the high byte, the low one is 0 */
    const uint8_t *palette; /* RGB */
    int colours;
    bool transparent; /* a tRNS chunk */
    bool packed;      /* as densely as can be */
};

static unsigned char made[20000];
static size_t made_size;

static void put(const void *bytes, size_t count)
{
    assert_true(made_size + count <= sizeof made);
    memcpy(made + made_size, bytes, count);
    made_size += count;
}

static void put32(uint32_t value)
{
    put((unsigned char[]){(unsigned char)(value >> 24), (unsigned char)(value >> 16), (unsigned char)(value >> 8),
                          (unsigned char)value},
        4);
}

static void put_chunk(const char *type, const void *bytes, size_t count)
{
    put32((uint32_t)count);
    size_t start = made_size;
    put(type, 4);
    if (count > 0)
        put(bytes, count);
    uint32_t sum = ~0u;
    for (size_t i = start; i < made_size; i++) {
        sum ^= made[i];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
    }
    put32(~sum);
}

/* The rows of every x_step-th pixel of every y_step-th row, each behind its filter byte 0. */
static size_t pack_rows(const struct picture *p, int x0, int y0, int x_step, int y_step, unsigned char *out)
{
    static const int channels[] = {[GRAY] = 1, [RGB] = 3, [PALETTE] = 1, [GRAY_ALPHA] = 2, [RGB_ALPHA] = 4};
    size_t size = 0;
    int c = channels[p->type];
    if (x0 >= p->width)
        return 0;
    for (int y = y0; y < p->height; y += y_step) {
        int bit = 0;
        out[size++] = 0;
        for (int x = x0; x < p->width; x += x_step)
            for (int k = 0; k < c; k++) {
                int sample = p->samples[(y * p->width + x) * c + k];
                if (p->bits >= 8) {
                    out[size++] = (unsigned char)sample;
                    if (p->bits == 16)
                        out[size++] = 0;
                    continue;
                }
                if (bit == 0)
                    out[size++] = 0;
                out[size - 1] |= (unsigned char)(sample << (8 - p->bits - bit));
                bit = (bit + p->bits) % 8;
            }
    }
    return size;
}

static void put_pixels(const struct picture *p)
{
    static const int passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                     {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
    static unsigned char rows[60000], stream[60100];
    size_t size = 0;
    if (p->interlaced)
        for (int i = 0; i < 7; i++)
            size += pack_rows(p, passes[i][0], passes[i][1], passes[i][2], passes[i][3], rows + size);
    else
        size = pack_rows(p, 0, 0, 1, 1, rows);
    if (p->packed) {
        struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(12);
        put_chunk("IDAT", stream, libdeflate_zlib_compress(compressor, rows, size, stream, sizeof stream));
        libdeflate_free_compressor(compressor);
        return;
    }
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < size; i++) {
        a = (a + rows[i]) % 65521;
        b = (b + a) % 65521;
    }
    unsigned char head[] = {0x78,
                            0x01,
                            1,
                            (unsigned char)size,
                            (unsigned char)(size >> 8),
                            (unsigned char)~size,
                            (unsigned char)(~size >> 8)},
                  sum[] = {(unsigned char)(b >> 8), (unsigned char)b, (unsigned char)(a >> 8), (unsigned char)a};
    memcpy(stream, head, sizeof head);
    memcpy(stream + sizeof head, rows, size);
    memcpy(stream + sizeof head + size, sum, sizeof sum);
    put_chunk("IDAT", stream, sizeof head + size + sizeof sum);
}

static const char *write_png(const char *name, struct picture p)
{
    made_size = 0;
    put("\x89PNG\r\n\x1A\n", 8);
    unsigned char header[13] = {[3] = (unsigned char)p.width,
                                [7] = (unsigned char)p.height,
                                [8] = (unsigned char)p.bits,
                                [9] = (unsigned char)p.type,
                                [12] = p.interlaced};
    put_chunk("IHDR", header, sizeof header);
    if (p.palette)
        put_chunk("PLTE", p.palette, 3 * (size_t)p.colours);
    if (p.transparent)
        put_chunk("tRNS", (unsigned char[2]){0, 1}, p.palette ? 1 : 2);
    put_chunk("tEXt", "Comment\0by hand", 15);
    put_pixels(&p);
    put_chunk("IEND", NULL, 0);
    return write_bytes(name, made, made_size);
}

static uint8_t noise[4000];

static void fill_noise(void)
{
    uint32_t number = 1;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (uint8_t)((number = number * 1664525u + 1013904223u) >> 24);
}

/* ---- folders in the test's folder ---- */

static int make_noise_folder(void **state)
{
    fill_noise();
    return make_folder(state);
}

static void make_sub_folder(const char *name)
{
    assert_int_equal(mkdir(in_folder(name), 0777), 0);
}

static int remove_folders(void **state)
{
    char outer[sizeof folder];
    strcpy(outer, folder);
    DIR *open = opendir(outer);
    for (struct dirent *entry; (entry = readdir(open));) {
        struct stat status;
        if (entry->d_name[0] == '.' || fstatat(dirfd(open), entry->d_name, &status, 0) != 0 || !S_ISDIR(status.st_mode))
            continue;
        snprintf(folder, sizeof folder, "%.60s/%.30s", outer, entry->d_name);
        remove_folder(state);
    }
    closedir(open);
    strcpy(folder, outer);
    return remove_folder(state);
}

/* ---- what is read ---- */

static struct rnet_array read_images(const char *pattern)
{
    struct rnet_array pixels;
    if (!rnet_read_images(pattern, NULL, &pixels, NULL, &error))
        fail_msg("%s", error.message);
    assert_int_equal(pixels.type, RNET_U8);
    assert_int_equal(pixels.rank, 4);
    return pixels;
}

static void expect_one(struct picture picture, int channels, const uint8_t *wanted)
{
    struct rnet_array pixels = read_images(write_png("one.png", picture));
    assert_int_equal(pixels.shape[0], 1);
    assert_int_equal(pixels.shape[1], picture.height);
    assert_int_equal(pixels.shape[2], picture.width);
    assert_int_equal(pixels.shape[3], channels);
    assert_memory_equal(pixels.data, wanted, (size_t)(picture.width * picture.height * channels));
    rnet_array_free(&pixels);
}

static void gray_and_rgb_are_kept(void **state)
{
    expect_one((struct picture){.width = 5, .height = 7, .bits = 8, .type = GRAY, .samples = noise}, 1, noise);
    expect_one((struct picture){.width = 5, .height = 7, .bits = 8, .type = RGB, .samples = noise}, 3, noise);
    expect_one((struct picture){.width = 1, .height = 1, .bits = 8, .type = RGB, .samples = noise}, 3, noise);
}

static void interlaced_images_are_put_in_order(void **state)
{
    for (int size = 1; size < 12; size++) {
        expect_one(
            (struct picture){.width = size, .height = 9, .bits = 8, .type = RGB, .interlaced = true, .samples = noise},
            3, noise);
        expect_one(
            (struct picture){.width = 9, .height = size, .bits = 8, .type = GRAY, .interlaced = true, .samples = noise},
            1, noise);
    }
}

static void gray_of_few_bits_is_spread(void **state)
{
    for (int bits = 1; bits < 8; bits *= 2) {
        uint8_t samples[33], wanted[33];
        int most = (1 << bits) - 1;
        for (int i = 0; i < 33; i++) {
            samples[i] = noise[i] & most;
            wanted[i] = (uint8_t)(samples[i] * 255 / most);
        }
        expect_one((struct picture){.width = 11, .height = 3, .bits = bits, .type = GRAY, .samples = samples}, 1,
                   wanted);
    }
}

static void palettes_become_rgb(void **state)
{
    static const uint8_t palette[] = {1, 2, 3, 40, 50, 60, 255, 0, 128};
    for (int bits = 2; bits <= 8; bits *= 2) {
        uint8_t samples[20], wanted[60];
        for (int i = 0; i < 20; i++) {
            samples[i] = noise[i] % 3;
            memcpy(wanted + 3 * i, palette + 3 * samples[i], 3);
        }
        expect_one((struct picture){.width = 5,
                                    .height = 4,
                                    .bits = bits,
                                    .type = PALETTE,
                                    .samples = samples,
                                    .palette = palette,
                                    .colours = 3},
                   3, wanted);
    }
}

static void dense_files_are_believed(void **state)
{
    static const uint8_t black[240 * 240];
    struct picture p = {.width = 240, .height = 240, .bits = 8, .type = GRAY, .samples = black, .packed = true};
    expect_one(p, 1, black);
    assert_true(made_size < 240 * 240 / 200);
    p.bits = 1;
    expect_one(p, 1, black);
}

static void write_dot(const char *name, const uint8_t *gray)
{
    write_png(name, (struct picture){.width = 1, .height = 1, .bits = 8, .type = GRAY, .samples = gray});
}

static void expect_dots(const char *pattern, int count, const uint8_t *wanted)
{
    struct rnet_array pixels = read_images(pattern);
    assert_int_equal(pixels.shape[0], count);
    assert_memory_equal(pixels.data, wanted, (size_t)count);
    rnet_array_free(&pixels);
}

static void images_are_ordered_by_name(void **state)
{
    write_dot("b.png", (uint8_t[]){2});
    write_dot("a10.png", (uint8_t[]){10});
    write_dot("a9.png", (uint8_t[]){9});
    write_dot("B.PNG", (uint8_t[]){66});
    write_text("readme.txt", "no image");
    expect_dots(folder, 4, (uint8_t[]){66, 10, 9, 2});
    expect_dots(in_folder("a*.png"), 2, (uint8_t[]){10, 9});
    expect_dots(in_folder(""), 4, (uint8_t[]){66, 10, 9, 2});
    expect_dots(in_folder("[ab].png"), 1, (uint8_t[]){2});
}

static void folders_with_signs_of_patterns_are_folders(void **state)
{
    make_sub_folder("odd [1]*");
    write_dot("odd [1]*/x.png", (uint8_t[]){7});
    expect_dots(in_folder("odd [1]*"), 1, (uint8_t[]){7});
}

static void write_labelled(void)
{
    make_sub_folder("cat");
    make_sub_folder("ant");
    make_sub_folder("ant-lion");
    write_dot("cat/1.png", (uint8_t[]){31});
    write_dot("ant/2.png", (uint8_t[]){12});
    write_dot("ant/1.png", (uint8_t[]){11});
    write_dot("ant-lion/1.png", (uint8_t[]){21});
}

static void sub_folders_are_labels(void **state)
{
    struct rnet_vocabulary labels = {0};
    struct rnet_array pixels, label;
    write_labelled();
    if (!rnet_read_images(folder, &labels, &pixels, &label, &error))
        fail_msg("%s", error.message);
    assert_int_equal(labels.count, 3);
    assert_string_equal(rnet_vocabulary_entry(&labels, 0, NULL), "ant");
    assert_string_equal(rnet_vocabulary_entry(&labels, 1, NULL), "ant-lion");
    assert_string_equal(rnet_vocabulary_entry(&labels, 2, NULL), "cat");
    assert_int_equal(pixels.shape[0], 4);
    assert_int_equal(label.shape[0], 4);
    assert_int_equal(label.type, RNET_I32);
    static const uint8_t wanted[] = {11, 12, 21, 31};
    static const int32_t numbers[] = {0, 0, 1, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(((uint8_t *)pixels.data)[i], wanted[i]);
        assert_int_equal(((int32_t *)label.data)[i], numbers[i]);
    }
    rnet_array_free(&pixels);
    rnet_array_free(&label);
    /* The same by a pattern, with the labels known. */
    assert_true(rnet_read_images(in_folder("c*/*"), &labels, &pixels, &label, &error));
    assert_int_equal(((int32_t *)label.data)[0], 2);
    rnet_array_free(&pixels);
    rnet_array_free(&label);
    rnet_vocabulary_free(&labels);
}

static void unknown_sub_folders_are_errors(void **state)
{
    struct rnet_vocabulary labels = {0};
    struct rnet_array pixels, label;
    write_labelled();
    assert_true(rnet_read_images(in_folder("ant*/*"), &labels, &pixels, &label, &error));
    rnet_array_free(&pixels);
    rnet_array_free(&label);
    assert_false(rnet_read_images(folder, &labels, &pixels, &label, &error));
    assert_string_equal(message_after(in_folder("cat/1.png")),
                        "expected a folder named as one of the labels of the data before, found \"cat\"");
    assert_null(pixels.data);
    assert_null(label.data);
    assert_int_equal(labels.count, 2);
    rnet_vocabulary_free(&labels);
}

/* ---- what is refused ---- */

static const char *failure(const char *pattern, const char *path)
{
    struct rnet_array pixels;
    assert_false(rnet_read_images(pattern, NULL, &pixels, NULL, &error));
    assert_null(pixels.data);
    assert_int_equal(error.status, RNET_DATA);
    return message_after(path);
}

static void what_would_lose_something_is_refused(void **state)
{
    struct picture p = {.width = 2, .height = 2, .bits = 16, .type = GRAY, .samples = noise};
    const char *path = write_png("x.png", p);
    assert_string_equal(failure(path, path), "expected gray or RGB of at most 8 bits a channel, found 16 bits");
    p.type = RGB;
    write_png("x.png", p);
    assert_string_equal(failure(path, path), "expected gray or RGB of at most 8 bits a channel, found 16 bits");
    p.bits = 8;
    for (p.type = GRAY_ALPHA; p.type <= RGB_ALPHA; p.type += RGB_ALPHA - GRAY_ALPHA) {
        write_png("x.png", p);
        assert_string_equal(failure(path, path),
                            "expected gray or RGB of at most 8 bits a channel, found transparency");
    }
    p.type = GRAY;
    p.transparent = true;
    write_png("x.png", p);
    assert_string_equal(failure(path, path), "expected gray or RGB of at most 8 bits a channel, found transparency");
}

static void unequal_images_are_named(void **state)
{
    struct picture p = {.width = 2, .height = 3, .bits = 8, .type = GRAY, .samples = noise};
    char wanted[600];
    write_png("a.png", p);
    p.type = RGB;
    write_png("b.png", p);
    snprintf(wanted, sizeof wanted, "expected 3 x 2 pixels of gray as in %s, found 3 x 2 of RGB", in_folder("a.png"));
    assert_string_equal(failure(folder, in_folder("b.png")), wanted);
    p.type = GRAY;
    p.width = 4;
    write_png("b.png", p);
    snprintf(wanted, sizeof wanted, "expected 3 x 2 pixels of gray as in %s, found 3 x 4 of gray", in_folder("a.png"));
    assert_string_equal(failure(folder, in_folder("b.png")), wanted);
}

static void nothing_to_read_is_an_error(void **state)
{
    assert_string_equal(failure(folder, folder), "expected PNG files in this folder, found none");
    assert_string_equal(failure(in_folder("*.png"), in_folder("*.png")), "expected PNG files, found none");
    assert_string_equal(failure(in_folder("none"), in_folder("none")), "expected PNG files, found none");
    struct rnet_vocabulary labels = {0};
    struct rnet_array pixels, label;
    write_dot("x.png", noise);
    assert_false(rnet_read_images(folder, &labels, &pixels, &label, &error));
    assert_string_equal(message_after(folder), "expected PNG files in its sub-folders, found none");
}

static void other_files_are_refused(void **state)
{
    const char *path = write_text("x.png", "GIF89a, not PNG");
    assert_string_equal(failure(path, path), "byte 0: expected the 8 bytes that begin a PNG file, found others");
    write_text("x.png", "");
    assert_string_equal(failure(path, path), "byte 0: expected the 8 bytes that begin a PNG file, found fewer");
}

static void sizes_beyond_the_file_get_no_memory(void **state)
{
    made_size = 0;
    put("\x89PNG\r\n\x1A\n", 8);
    put_chunk("IHDR", "\0\x0F\x00\x00\0\x0F\x00\x00\x08\x02\0\0\0", 13);
    put_chunk("IDAT", "\x78\x01\x01\0\0\xFF\xFF", 7);
    put_chunk("IEND", NULL, 0);
    const char *path = write_bytes("x.png", made, made_size);
    assert_string_equal(failure(path, path), "expected the data of 983040 x 983040 pixels, found 64 bytes");
}

/* Everything in the file is under a checksum or counted. */
static void damaged_files_are_refused_at_every_byte(void **state)
{
    static const uint8_t palette[] = {1, 2, 3, 40, 50, 60, 255, 0, 128};
    static const uint8_t few[6] = {0, 1, 2, 2, 1, 0};
    static const unsigned char changes[] = {0x01, 0x20, 0x80, 0xFF};
    const struct picture pictures[] = {
        {.width = 5, .height = 7, .bits = 8, .type = RGB, .samples = noise},
        {.width = 5, .height = 3, .bits = 8, .type = GRAY, .interlaced = true, .samples = noise},
        {.width = 3, .height = 2, .bits = 2, .type = PALETTE, .samples = few, .palette = palette, .colours = 3}};
    for (size_t i = 0; i < sizeof pictures / sizeof *pictures; i++) {
        write_png("whole.png", pictures[i]);
        for (size_t cut = 0; cut < made_size; cut++) {
            const char *path = write_bytes("cut.png", made, cut);
            assert_true(strlen(failure(path, path)) > 10);
        }
        for (size_t at = 0; at < made_size; at++)
            for (size_t k = 0; k < sizeof changes; k++) {
                made[at] ^= changes[k];
                const char *path = write_bytes("changed.png", made, made_size);
                assert_true(strlen(failure(path, path)) > 10);
                made[at] ^= changes[k];
            }
    }
}

static void cut_files_are_named_with_the_byte(void **state)
{
    write_png("x.png", (struct picture){.width = 2, .height = 2, .bits = 8, .type = GRAY, .samples = noise});
    const char *path = write_bytes("cut.png", made, made_size - 1);
    char wanted[100];
    snprintf(wanted, sizeof wanted, "byte %zu: expected a PNG file, but: found the end of the file", made_size - 1);
    assert_string_equal(failure(path, path), wanted);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_noise_folder, remove_folders)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(gray_and_rgb_are_kept),
        IN_FOLDER(interlaced_images_are_put_in_order),
        IN_FOLDER(gray_of_few_bits_is_spread),
        IN_FOLDER(palettes_become_rgb),
        IN_FOLDER(dense_files_are_believed),
        IN_FOLDER(images_are_ordered_by_name),
        IN_FOLDER(folders_with_signs_of_patterns_are_folders),
        IN_FOLDER(sub_folders_are_labels),
        IN_FOLDER(unknown_sub_folders_are_errors),
        IN_FOLDER(what_would_lose_something_is_refused),
        IN_FOLDER(unequal_images_are_named),
        IN_FOLDER(nothing_to_read_is_an_error),
        IN_FOLDER(other_files_are_refused),
        IN_FOLDER(sizes_beyond_the_file_get_no_memory),
        IN_FOLDER(damaged_files_are_refused_at_every_byte),
        IN_FOLDER(cut_files_are_named_with_the_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
