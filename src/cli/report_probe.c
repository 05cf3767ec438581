/* report_probe.c: what probes left, FOLDER/NAME-STEP.npy: how the numbers are spread, over the steps and at the last of
   them; what has two axes as a picture. */
#include "report.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct probe_file {
    const char *name, *path;
    double step;
};
struct spread {
    int64_t count, lost; /* numbers; those that are not finite */
    double quantile[5];  /* 0, 5, 50, 95, 100 % */
    double *sorted;      /* the finite ones */
};
enum { MOST_BINS = 40, MOST_STEPS = 100, LEAST_SIDE = 3, MOST_SIDE = 101 };

static int by_name_and_step(const void *left, const void *right)
{
    const struct probe_file *a = left, *b = right;
    int order = strcmp(a->name, b->name);

    return order ? order : a->step < b->step ? -1 : a->step > b->step;
}

static int by_size(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return a < b ? -1 : a > b;
}

typedef LIST(struct probe_file) probe_files;

/* NAME-000123.npy; what else there may be is not a probe's. */
static void take_file(struct arena *arena, const char *folder, const char *file, probe_files *out)
{
    size_t size = strlen(file), digits = 0;

    if (size < 12 || strcmp(file + size - 4, ".npy"))
        return;
    while (digits < size - 5 && isdigit((unsigned char)file[size - 5 - digits]))
        digits++;
    if (digits < 6 || file[size - 5 - digits] != '-' || size - 5 - digits == 0)
        return;
    list_add(arena, *out,
             (struct probe_file){arena_slice(arena, file, size - 5 - digits),
                                 arena_printf(arena, "%s/%s", folder, file), strtod(file + size - 4 - digits, NULL)});
}

static bool read_spread(struct arena *arena, const char *path, struct spread *out)
{
    struct rnet_array array = {0};
    struct rnet_error error;
    int64_t finite = 0;

    if (!rnet_read_npy(path, &array, &error)) {
        complain_error(&error);
        return false;
    }
    *out = (struct spread){.count = rnet_array_elements(&array)};
    out->sorted = NEW_ARRAY(arena, double, out->count + 1);
    for (int64_t i = 0; i < out->count; i++) {
        double value = array_number(&array, i);

        if (isfinite(value))
            out->sorted[finite++] = value;
    }
    rnet_array_free(&array);
    out->lost = out->count - finite;
    qsort(out->sorted, (size_t)finite, sizeof *out->sorted, by_size);
    for (int q = 0; q < 5; q++) {
        static const double parts[] = {0, 0.05, 0.5, 0.95, 1};

        out->quantile[q] = finite ? out->sorted[(int64_t)floor(parts[q] * (double)(finite - 1) + 0.5)] : NAN;
    }
    return true;
}

static void count_bins(const struct spread *s, double low, double high, double *bins, int count)
{
    for (int64_t i = 0; i < s->count - s->lost; i++) {
        int bin = (int)floor((s->sorted[i] - low) / (high - low) * count);

        bins[bin < 0 ? 0 : bin < count ? bin : count - 1]++;
    }
}

static void add_histogram(struct text *out, struct arena *arena, const struct probe_file *first,
                          const struct probe_file *last, const struct spread *a, const struct spread *b)
{
    bool two = first != last;
    double low = two ? fmin(a->quantile[0], b->quantile[0]) : b->quantile[0],
           high = two ? fmax(a->quantile[4], b->quantile[4]) : b->quantile[4];
    double bins[MOST_BINS] = {0}, earlier[MOST_BINS] = {0};
    int count = (int)fmin(MOST_BINS, fmax(6, ceil(2 * cbrt((double)b->count))));

    if (!isfinite(low) || !isfinite(high))
        return;
    if (low == high) {
        low -= low != 0 ? 0.1 * fabs(low) : 0.5;
        high += high != 0 ? 0.1 * fabs(high) : 0.5;
    }
    count_bins(b, low, high, bins, count);
    count_bins(a, low, high, earlier, count);
    svg_histogram(
        out, &(struct svg_bars){.title = arena_printf(arena, "%s before step %.0f", last->name, last->step),
                                .note = b->lost ? arena_printf(arena, "%lld of %lld numbers, the others are not finite",
                                                               (long long)(b->count - b->lost), (long long)b->count)
                                                : arena_printf(arena, "%lld numbers", (long long)b->count),
                                .label = arena_printf(arena, "before step %.0f", last->step),
                                .earlier_label = arena_printf(arena, "before step %.0f", first->step),
                                .counts = bins,
                                .earlier = two ? earlier : NULL,
                                .count = count,
                                .low = low,
                                .high = high});
}

/* The last array, if it has two axes that a screen has room for. */
static void add_picture(struct text *out, struct arena *arena, const struct probe_file *last)
{
    struct rnet_array array = {0};
    struct rnet_error error;
    double *values;

    if (!rnet_read_npy(last->path, &array, &error))
        return;
    if (array.rank == 2 && array.shape[0] >= LEAST_SIDE && array.shape[0] <= MOST_SIDE && array.shape[1] >= LEAST_SIDE && array.shape[1] <= MOST_SIDE) {
        values = NEW_ARRAY(arena, double, array.shape[0] * array.shape[1]);
        for (int64_t i = 0; i < array.shape[0] * array.shape[1]; i++)
            values[i] = array_number(&array, i);
        svg_surface(out, &(struct svg_surface){.title = last->name,
                                               .note = arena_printf(arena, "before step %.0f", last->step),
                                               .values = values,
                                               .rows = (int)array.shape[0],
                                               .columns = (int)array.shape[1]});
    }
    rnet_array_free(&array);
}

/* Files of one name, in order of steps; of many, so many evenly apart and the last. */
static void add_probe(struct text *out, struct arena *arena, const struct probe_file *files, int count)
{
    int apart = (count + MOST_STEPS - 1) / MOST_STEPS, points = 0, last = -1;
    double *x = NEW_ARRAY(arena, double, count + 1), *numbers = NEW_ARRAY(arena, double, 5 * (count + 1));
    struct spread first_spread = {0}, spread = {0};
    bool single = true;

    for (int i = 0; i < count; i++) {
        if (i % apart && i + 1 < count)
            continue;
        if (!read_spread(arena, files[i].path, &spread))
            return;
        if (last < 0)
            first_spread = spread;
        last = i;
        single &= spread.count == 1;
        x[points] = files[i].step;
        for (int q = 0; q < 5; q++)
            numbers[q * count + points] = spread.quantile[q];
        points++;
    }
    if (points > 1) {
        struct svg_curve curves[] = {{"95 %", 2, points, x, numbers + 3 * count, NULL, NULL, false},
                                     {"median", 0, points, x, numbers + 2 * count, numbers, numbers + 4 * count, false},
                                     {"5 %", 1, points, x, numbers + count, NULL, NULL, false}};

        curves[1].label = single ? files->name : "median";
        curves[1].low = single ? NULL : curves[1].low;
        svg_curves(out, &(struct svg_plot){.title = files->name,
                                           .x_label = "step",
                                           .note = single ? "" : "band: lowest to highest",
                                           .curves = single ? curves + 1 : curves,
                                           .count = single ? 1 : 3,
                                           .whole = true});
    }
    if (!single)
        add_picture(out, arena, files + last);
    if (!single)
        add_histogram(out, arena, files, files + last, &first_spread, &spread);
}

void report_probes(struct text *out, struct arena *arena, const char *folder)
{
    DIR *opened = opendir(folder);
    probe_files files = {0};
    struct dirent *entry;

    while (opened && (entry = readdir(opened)))
        take_file(arena, folder, entry->d_name, &files);
    if (opened)
        closedir(opened);
    if (!files.count)
        return;
    qsort(files.at, (size_t)files.count, sizeof *files.at, by_name_and_step);
    page_heading(out, 2, "Probes");
    text_add(out, "<div class=\"figures\">\n");
    for (int i = 0; i < files.count;) {
        struct arena *scratch = arena_new();
        int end = i;

        while (end < files.count && !strcmp(files.at[end].name, files.at[i].name))
            end++;
        add_probe(out, scratch, files.at + i, end - i);
        arena_free(scratch);
        i = end;
    }
    text_add(out, "</div>\n");
}
