/* svg_surface.c: numbers of two axes: shades, and lines of equal value with their values written on them. */
#include "svg_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { WIDTH = 380, LEFT = 34, SIDE = WIDTH - LEFT - 6, TOP = 4, LEVELS = 12 };

struct surface {
    const struct svg_surface *what;
    double low, high;  /* of the shades */
    bool logarithmic;
    double wide, tall; /* between two places */
    struct point { double x, y; } labels[SVG_MOST_TICKS];
    int label_count;
};

static double shade(const struct surface *s, double value)
{
    double part = s->logarithmic ? log(value / s->low) / log(s->high / s->low) : (value - s->low) / (s->high - s->low);

    return isfinite(part) ? fmin(fmax(part, 0), 1) : 1;
}

static double value_at(const struct surface *s, int row, int column)
{
    return s->what->values[row * s->what->columns + column];
}

static double x_of(const struct surface *s, double column)
{
    return LEFT + s->wide * (column + 0.5);
}

/* Rows go up. */
static double y_of(const struct surface *s, double row)
{
    return TOP + SIDE - s->tall * (row + 0.5);
}

/* Where the level is passed between two places: how far from the first; -1: it is not. */
static double crossing(double a, double b, double level)
{
    return isfinite(a) && isfinite(b) && (a < level) != (b < level) ? (level - a) / (b - a) : -1;
}

/* The level on the four sides of a square of places; returns how many there are. */
static int sides(const struct surface *s, int r, int c, double level, struct point out[4])
{
    double a = value_at(s, r, c), b = value_at(s, r, c + 1), d = value_at(s, r + 1, c), e = value_at(s, r + 1, c + 1), at;
    int count = 0;

    if ((at = crossing(a, b, level)) >= 0)
        out[count++] = (struct point){c + at, r};
    if ((at = crossing(b, e, level)) >= 0)
        out[count++] = (struct point){c + 1, r + at};
    if ((at = crossing(d, e, level)) >= 0)
        out[count++] = (struct point){c + at, r + 1};
    if ((at = crossing(a, d, level)) >= 0)
        out[count++] = (struct point){c, r + at};
    return count;
}

/* Does a label of that width have room there? */
static bool is_free(const struct surface *s, struct point at, double width)
{
    for (int i = 0; i < s->label_count; i++)
        if (fabs(s->labels[i].x - at.x) < width + 6 && fabs(s->labels[i].y - at.y) < 17)
            return false;
    return true;
}

static void add_label(struct text *out, struct surface *s, struct point at, const char *text)
{
    double width = CHARACTER * characters_of(text);

    at.x = fmin(fmax(at.x, LEFT + width / 2 + 2), WIDTH - 8 - width / 2);
    at.y = fmin(fmax(at.y, TOP + 8), TOP + SIDE - 8);
    if (!is_free(s, at, width))
        return;
    s->labels[s->label_count++] = at;
    text_addf(out, "<rect class=\"plate\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"14\" rx=\"2\"/>\n", at.x - width / 2 - 2, at.y - 7, width + 4);
    add_text(out, at.x, at.y + 4, "label mid", text, 12);
}

/* The labels of neighbouring levels in different parts of the picture, where there is room; else there is none. */
static void add_level(struct text *out, struct surface *s, double level, const char *text, int number)
{
    static const double parts[] = {0.15, 0.4, 0.6, 0.85};
    int seen = 0, labels = s->label_count;
    struct point at[4];

    text_add(out, "<path class=\"contour\" d=\"");
    for (int r = 0; r + 1 < s->what->rows; r++)
        for (int c = 0; c + 1 < s->what->columns; c++) {
            int count = sides(s, r, c, level, at);

            seen += count > 1;
            for (int k = 0; k + 1 < count; k += 2)
                text_addf(out, "M%.1f %.1fL%.1f %.1f", x_of(s, at[k].x), y_of(s, at[k].y), x_of(s, at[k + 1].x), y_of(s, at[k + 1].y));
        }
    text_add(out, "\"/>\n");
    for (int try = 0; try < 4 && s->label_count == labels; try++) {
        int wanted = (int)((double)seen * parts[(number + try) % 4]), now = 0;

        for (int r = 0; r + 1 < s->what->rows; r++)
            for (int c = 0; c + 1 < s->what->columns; c++)
                if (sides(s, r, c, level, at) > 1 && now++ == wanted)
                    add_label(out, s, (struct point){x_of(s, (at[0].x + at[1].x) / 2), y_of(s, (at[0].y + at[1].y) / 2)}, text);
    }
}

/* From -reach to reach; else the numbers of the first place, the middle one and the last. */
static void add_axes(struct text *out, const struct surface *s)
{
    const double reach = s->what->reach;
    const int rows = s->what->rows - 1, columns = s->what->columns - 1, ticks = reach > 0 ? 4 : 1;

    for (int i = 0; i <= ticks; i++) {
        double part = (double)i / ticks, x = x_of(s, part * columns), y = y_of(s, part * rows);
        struct text across = {0}, up = {0};

        text_add_digits(&across, reach > 0 ? (2 * part - 1) * reach : part * columns, 3);
        text_add_digits(&up, reach > 0 ? (2 * part - 1) * reach : part * rows, 3);
        text_addf(out, "<path class=\"axis\" d=\"M%.1f %dv4M%d %.1fh-4\"/>\n", x, TOP + SIDE, LEFT, y);
        add_text(out, x, TOP + SIDE + 15, "tick mid", across.data, 6);
        add_text(out, LEFT - 6, y + 3.5, "tick end", up.data, 6);
        text_free(&across);
        text_free(&up);
    }
    if (reach > 0)
        text_addf(out, "<path class=\"axis\" d=\"M%.1f %.1fh10m-5 -5v10\"/>\n", x_of(s, columns / 2.0) - 5, y_of(s, rows / 2.0));
}

void svg_surface(struct text *out, const struct svg_surface *what)
{
    struct surface s = {.what = what, .low = INFINITY, .high = -INFINITY, .wide = (double)SIDE / what->columns, .tall = (double)SIDE / what->rows};
    double ticks[SVG_MOST_TICKS], finite = 0;
    struct svg_scale scale;
    int count;

    for (int i = 0; i < what->rows * what->columns; i++) {
        if (!isfinite(what->values[i]))
            continue;
        finite++;
        s.low = fmin(s.low, what->values[i]);
        s.high = fmax(s.high, what->values[i]);
    }
    s.logarithmic = s.low > 0 && s.high > 20 * s.low;
    figure_begin(out, what->title, what->note, WIDTH, TOP + SIDE + 22);
    for (int r = 0; r < what->rows; r++)
        for (int c = 0; c < what->columns; c++) {
            struct text number = {0};

            text_add_digits(&number, value_at(&s, r, c), 4);
            text_addf(out, "<rect class=\"heat\" x=\"%.3f\" y=\"%.3f\" width=\"%.3f\" height=\"%.3f\" fill-opacity=\"%.2f\"><title>%s</title></rect>\n",
                      LEFT + s.wide * c, TOP + SIDE - s.tall * (r + 1), s.wide, s.tall, 0.04 + 0.7 * (s.high > s.low ? shade(&s, value_at(&s, r, c)) : 0),
                      number.data);
            text_free(&number);
        }
    scale = svg_scale_of(s.low, s.high, s.logarithmic, 0, 1);
    count = finite && s.high > s.low ? svg_ticks(&scale, LEVELS, false, ticks) : 0;
    for (int k = 0; k < count; k++) {
        char buffer[TICK_TEXT];

        add_level(out, &s, ticks[k], tick_text(buffer, ticks[k], ticks, count), k);
    }
    add_axes(out, &s);
    figure_end(out);
}
