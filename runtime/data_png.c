/* data_png.c: folders of PNG files through libpng. Decoding asks libpng for exact steps only (spreading gray of few
   bits, looking palettes up): no gamma, no colour profile, nothing rounded. */
#include "text.h"

#include <glob.h>
#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- one file ---- */

struct shape {
    int64_t height, width, channels;
};

/* What is needed while libpng may jump out. */
struct decoder {
    const char *path;
    struct rnet_bytes bytes;
    size_t at;
    struct rnet_error *error;
    png_structp png;
    png_infop info;
    png_bytep *rows;
};

static void take_bytes(png_structp png, png_bytep out, size_t count)
{
    struct decoder *decoder = png_get_io_ptr(png);
    if (count > decoder->bytes.size - decoder->at) {
        decoder->at = decoder->bytes.size;
        png_error(png, "found the end of the file");
    }
    memcpy(out, decoder->bytes.data + decoder->at, count);
    decoder->at += count;
}

static void note_error(png_structp png, png_const_charp message)
{
    struct decoder *decoder = png_get_error_ptr(png);
    rnet_fail_at(decoder->error, decoder->path, &decoder->bytes, decoder->at, "expected a PNG file, but: %s", message);
    longjmp(png_jmpbuf(png), 1);
}

/* Chunks that do not touch the pixels may be odd. */
static void pass_warning(png_structp png, png_const_charp message)
{
}

static bool refuse(struct decoder *decoder, const char *found)
{
    return rnet_fail(decoder->error, RNET_DATA, "%s: expected gray or RGB of at most 8 bits a channel, found %s",
                     decoder->path, found);
}

/* The header; leaves libpng set to make rows of 8-bit gray or RGB. */
static bool begin_image(struct decoder *decoder, struct shape *shape)
{
    enum { SIGNATURE = 8, MOST_DENSE = 1032 };
    if (decoder->bytes.size < SIGNATURE || png_sig_cmp(decoder->bytes.data, 0, SIGNATURE) != 0)
        return rnet_fail_at(decoder->error, decoder->path, &decoder->bytes, 0,
                            "expected the 8 bytes that begin a PNG file, found %s",
                            decoder->bytes.size < SIGNATURE ? "fewer" : "others");
    png_read_info(decoder->png, decoder->info);
    int bits = png_get_bit_depth(decoder->png, decoder->info), type = png_get_color_type(decoder->png, decoder->info);
    if (bits == 16)
        return refuse(decoder, "16 bits");
    if ((type & PNG_COLOR_MASK_ALPHA) || png_get_valid(decoder->png, decoder->info, PNG_INFO_tRNS))
        return refuse(decoder, "transparency");
    *shape = (struct shape){.height = png_get_image_height(decoder->png, decoder->info),
                            .width = png_get_image_width(decoder->png, decoder->info),
                            .channels = type == PNG_COLOR_TYPE_GRAY ? 1 : 3};
    /* No memory for sizes that so few bytes cannot be unpacked to. */
    if ((size_t)shape->height > decoder->bytes.size * MOST_DENSE / png_get_rowbytes(decoder->png, decoder->info))
        return rnet_fail(decoder->error, RNET_DATA, "%s: expected the data of %lld x %lld pixels, found %zu bytes",
                         decoder->path, (long long)shape->height, (long long)shape->width, decoder->bytes.size);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(decoder->png);
    if (type == PNG_COLOR_TYPE_GRAY && bits < 8)
        png_set_expand_gray_1_2_4_to_8(decoder->png);
    png_set_interlace_handling(decoder->png);
    png_read_update_info(decoder->png, decoder->info);
    return true;
}

static bool read_header(struct decoder *decoder, struct shape *shape)
{
    if (setjmp(png_jmpbuf(decoder->png)))
        return false;
    return begin_image(decoder, shape);
}

static bool read_pixels(struct decoder *decoder)
{
    if (setjmp(png_jmpbuf(decoder->png)))
        return false;
    png_read_image(decoder->png, decoder->rows);
    png_read_end(decoder->png, NULL);
    return true;
}

static void close_decoder(struct decoder *decoder)
{
    png_destroy_read_struct(&decoder->png, &decoder->info, NULL);
    free(decoder->rows);
    free(decoder->bytes.data);
}

static bool open_decoder(struct decoder *decoder, const char *path, struct rnet_error *error)
{
    *decoder = (struct decoder){.path = path, .error = error};
    if (!rnet_file_read_raw(path, &decoder->bytes, error))
        return false;
    decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, note_error, pass_warning);
    decoder->info = decoder->png ? png_create_info_struct(decoder->png) : NULL;
    if (!decoder->info) {
        close_decoder(decoder);
        return rnet_fail(error, RNET_FAILED, "%s: cannot begin to read: no memory, or another libpng than %s", path,
                         PNG_LIBPNG_VER_STRING);
    }
    png_set_read_fn(decoder->png, decoder, take_bytes);
    png_set_crc_action(decoder->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    return true;
}

/* ---- many files ---- */

struct images {
    char **paths;
    size_t count;
    struct shape shape; /* of the first */
    struct rnet_array pixels;
};

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Of the folder in a path, without the slash behind it. */
static size_t folder_length(const char *path)
{
    const char *end = file_name(path);
    while (end > path && end[-1] == '/')
        end--;
    return (size_t)(end - path);
}

/* The last folder of a path; *length: of its name. */
static const char *folder_name(const char *path, size_t *length)
{
    const char *end = path + folder_length(path), *start = end;
    while (start > path && start[-1] != '/')
        start--;
    *length = (size_t)(end - start);
    return start;
}

static int by_path(const void *left, const void *right)
{
    const char *a = *(char *const *)left, *b = *(char *const *)right;
    size_t a_folder = folder_length(a), b_folder = folder_length(b);
    int order = memcmp(a, b, a_folder < b_folder ? a_folder : b_folder);
    if (order != 0 || a_folder != b_folder)
        return order ? order : a_folder < b_folder ? -1 : 1;
    return strcmp(file_name(a), file_name(b));
}

/* Adds "FOLDER/tail" as glob finds it; what the folder's name holds is no pattern. */
static int glob_in(const char *folder, const char *tail, int flags, glob_t *found)
{
    char *pattern = malloc(2 * strlen(folder) + strlen(tail) + 2), *at = pattern;
    if (!pattern)
        return GLOB_NOSPACE;
    for (const char *from = folder; *from; from++) {
        if (strchr("*?[]\\", *from))
            *at++ = '\\';
        *at++ = *from;
    }
    if (at > pattern && at[-1] != '/')
        *at++ = '/';
    strcpy(at, tail);
    int result = glob(pattern, flags, NULL, found);
    free(pattern);
    return result;
}

static bool find_files(const char *pattern, bool labelled, glob_t *found, struct rnet_error *error)
{
    struct stat status;
    bool folder = stat(pattern, &status) == 0 && S_ISDIR(status.st_mode);
    int result = folder
                     ? glob_in(pattern, labelled ? "*/*.[pP][nN][gG]" : "*.[pP][nN][gG]", GLOB_NOSORT | GLOB_ERR, found)
                     : glob(pattern, GLOB_NOSORT | GLOB_ERR, NULL, found);
    if (result == GLOB_NOSPACE)
        return rnet_fail(error, RNET_FAILED, "%s: out of memory for its files", pattern);
    if (result == GLOB_ABORTED)
        return rnet_fail(error, RNET_DATA, "%s: cannot read a folder", pattern);
    if (result == GLOB_NOMATCH || found->gl_pathc == 0)
        return rnet_fail(error, RNET_DATA, "%s: expected PNG files%s, found none", pattern,
                         folder ? labelled ? " in its sub-folders" : " in this folder" : "");
    qsort(found->gl_pathv, found->gl_pathc, sizeof *found->gl_pathv, by_path);
    return true;
}

static bool make_room(struct images *images, struct rnet_error *error)
{
    size_t size;
    images->pixels = (struct rnet_array){
        .type = RNET_U8,
        .rank = 4,
        .shape = {(int64_t)images->count, images->shape.height, images->shape.width, images->shape.channels}};
    if (rnet_shape_bytes(images->pixels.shape, 4, 1, &size))
        images->pixels.data = malloc(size);
    return images->pixels.data ||
           rnet_fail(error, RNET_FAILED, "%s: out of memory for %zu images of %lld x %lld pixels", images->paths[0],
                     images->count, (long long)images->shape.height, (long long)images->shape.width);
}

static const char *colours(struct shape shape)
{
    return shape.channels == 1 ? "gray" : "RGB";
}

static bool take_image(struct images *images, struct decoder *decoder, size_t index)
{
    struct shape shape = {0}, first = images->shape;
    if (!read_header(decoder, &shape))
        return false;
    if (index == 0) {
        images->shape = shape;
        if (!make_room(images, decoder->error))
            return false;
    } else if (shape.height != first.height || shape.width != first.width || shape.channels != first.channels) {
        return rnet_fail(decoder->error, RNET_DATA,
                         "%s: expected %lld x %lld pixels of %s as in %s, found %lld x %lld of %s", decoder->path,
                         (long long)first.height, (long long)first.width, colours(first), images->paths[0],
                         (long long)shape.height, (long long)shape.width, colours(shape));
    }
    decoder->rows = malloc((size_t)shape.height * sizeof *decoder->rows);
    if (!decoder->rows)
        return rnet_fail(decoder->error, RNET_FAILED, "%s: out of memory", decoder->path);
    size_t row_bytes = (size_t)(shape.width * shape.channels);
    unsigned char *pixels = (unsigned char *)images->pixels.data + index * (size_t)shape.height * row_bytes;
    for (int64_t i = 0; i < shape.height; i++)
        decoder->rows[i] = pixels + (size_t)i * row_bytes;
    return read_pixels(decoder);
}

static bool take_images(struct images *images, struct rnet_error *error)
{
    for (size_t i = 0; i < images->count; i++) {
        struct decoder decoder;
        if (!open_decoder(&decoder, images->paths[i], error))
            return false;
        bool done = take_image(images, &decoder, i);
        close_decoder(&decoder);
        if (!done)
            return false;
    }
    return true;
}

/* ---- labels ---- */

struct name {
    const char *text;
    size_t length;
};

static int by_name(const void *left, const void *right)
{
    const struct name *a = left, *b = right;
    int order = memcmp(a->text, b->text, a->length < b->length ? a->length : b->length);
    return order ? order : (a->length > b->length) - (a->length < b->length);
}

static bool is_utf8(struct name name)
{
    for (size_t i = 0; i < name.length;) {
        int length = rnet_utf8_length(name.text + i, name.text + name.length);
        if (length == 0)
            return false;
        i += (size_t)length;
    }
    return true;
}

/* Adds the folders' names in their order. `names` has room for all. */
static bool collect_names(const struct images *images, struct name *names, struct rnet_vocabulary *labels)
{
    for (size_t i = 0; i < images->count; i++)
        names[i].text = folder_name(images->paths[i], &names[i].length);
    qsort(names, images->count, sizeof *names, by_name);
    for (size_t i = 0; i < images->count; i++)
        if (rnet_vocabulary_add(labels, names[i].text, names[i].length) < 0)
            return false;
    return true;
}

static bool take_labels(const struct images *images, struct rnet_vocabulary *labels, struct rnet_array *label,
                        struct rnet_error *error)
{
    bool fixed = labels->count > 0;
    struct name *names = malloc(images->count * sizeof *names);
    *label = (struct rnet_array){.type = RNET_I32,
                                 .rank = 1,
                                 .shape = {(int64_t)images->count},
                                 .data = malloc(images->count * sizeof(int32_t))};
    bool done = names && label->data && (fixed || collect_names(images, names, labels));
    if (!done)
        rnet_fail(error, RNET_FAILED, "%s: out of memory for labels", images->paths[0]);
    free(names);
    for (size_t i = 0; done && i < images->count; i++) {
        struct name name;
        name.text = folder_name(images->paths[i], &name.length);
        int entry = rnet_vocabulary_find(labels, name.text, name.length);
        if (name.length == 0 || !is_utf8(name))
            done =
                rnet_fail(error, RNET_DATA, "%s: expected a folder whose name in UTF-8 is the label", images->paths[i]);
        else if (entry < 0)
            done = rnet_fail(error, RNET_DATA,
                             "%s: expected a folder named as one of the labels of the data before, found \"%.*s\"",
                             images->paths[i], (int)name.length, name.text);
        else
            ((int32_t *)label->data)[i] = entry;
    }
    if (!done) {
        rnet_array_free(label);
        if (!fixed)
            rnet_vocabulary_free(labels);
    }
    return done;
}

bool rnet_read_images(const char *pattern, struct rnet_vocabulary *labels, struct rnet_array *pixels,
                      struct rnet_array *label, struct rnet_error *error)
{
    *pixels = (struct rnet_array){0};
    if (labels)
        *label = (struct rnet_array){0};
    if (labels && labels->unit != RNET_LABELS)
        return rnet_fail(error, RNET_USAGE, "%s: expected a vocabulary of labels", pattern);
    glob_t found = {0};
    bool done = find_files(pattern, labels != NULL, &found, error);
    struct images images = {.paths = found.gl_pathv, .count = found.gl_pathc};
    done = done && take_images(&images, error) && (!labels || take_labels(&images, labels, label, error));
    globfree(&found);
    if (!done) {
        rnet_array_free(&images.pixels);
        return false;
    }
    *pixels = images.pixels;
    return true;
}
