/* svg.h: figures as inline SVG: scales with ticks at 1, 2, 5, curves with bands, intervals, heat maps, surfaces, histograms.
   Colours are classes that the page's style gives, s0 .. s5; a curve is told from the others by its dashes, its markers
   and the label at its end as well. Coordinates have one digit behind the point, so that the same numbers give the same
   bytes. */
#ifndef RNET_SVG_H
#define RNET_SVG_H

#include "base.h"

enum { SVG_STYLES = 6, SVG_MOST_TICKS = 16 };

struct svg_scale {
    double low, high; /* what is to be seen, */
    double from, to;  /* and where: low at from, high at to */
    bool logarithmic;
};
/* Room around what is to be seen; logarithmic only if all of it is above 0. */
struct svg_scale svg_scale_of(double low, double high, bool logarithmic, double from, double to);
double svg_at(const struct svg_scale *scale, double value);
/* Multiples of 1, 2 or 5 times a power of ten, about `wanted` of them; whole: none between whole numbers. Returns how
 * many. */
int svg_ticks(const struct svg_scale *scale, int wanted, bool whole, double ticks[SVG_MOST_TICKS]);

struct svg_curve {
    const char *label;
    int style, count;
    const double *x, *y;
    const double *low, *high; /* the band, or NULL */
    bool dots;                /* a marker each, and no line */
};
struct svg_plot {
    const char *title, *x_label, *note; /* note: what the band is, or NULL */
    const struct svg_curve *curves;
    int count;
    bool whole;       /* x counts something */
    double low, high; /* of y, that figures beside it have too; equal: as the curves are */
};
void svg_curves(struct text *out, const struct svg_plot *plot);

/* A row a mean, a bar `reach` to both sides. */
struct svg_interval {
    const char *label;
    double mean, reach; /* NaN: no bar */
};
void svg_intervals(struct text *out, const char *title, const char *note, const struct svg_interval *rows, int count);
/* One interval against 0, as high as a line of text. */
void svg_gap(struct text *out, double gap, double reach);

struct svg_heat {
    const char *title, *row_name, *column_name;
    const char *const *row_labels, *const *column_labels;
    int rows, columns;
    const double *values, *errors; /* errors: NULL, or NaN where there is none */
    double low, high;              /* of the shades */
};
void svg_heat(struct text *out, const struct svg_heat *heat);

/* values[row * columns + column], rows upwards; the outermost are `reach` from the middle, which is marked; reach 0: places are numbered. */
struct svg_surface {
    const char *title, *note;
    const double *values;
    int rows, columns;
    double reach;
};
void svg_surface(struct text *out, const struct svg_surface *surface);

/* Bars of `counts`; earlier: an outline of the same bins, or NULL. */
struct svg_bars {
    const char *title, *note, *label, *earlier_label;
    const double *counts, *earlier;
    int count;
    double low, high; /* of the first and the last bin */
};
void svg_histogram(struct text *out, const struct svg_bars *bars);

/* As text of HTML and of attributes: & < > " are written as entities, bytes of no UTF-8 character and control
 * characters as U+FFFD. */
void text_add_escaped(struct text *text, const char *string);
/* At most so many significant digits, without a plus or zeros in the exponent. */
void text_add_digits(struct text *text, double value, int digits);

#endif
