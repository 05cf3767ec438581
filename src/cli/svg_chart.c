/* svg_chart.c: intervals, heat maps, histograms. */
#include "svg_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 380 };

/* ---- intervals ---- */

void svg_intervals(struct text *out, const char *title, const char *note, const struct svg_interval *rows, int count)
{
    const double row = 20, top = 4, bottom = top + row * count;
    double low = INFINITY, high = -INFINITY, left;
    struct svg_scale x;
    int widest = 1;

    for (int i = 0; i < count; i++) {
        double reach = isfinite(rows[i].reach) ? rows[i].reach : 0;
        int size = characters_of(rows[i].label);

        widest = size > widest ? size : widest;
        if (!isfinite(rows[i].mean))
            continue;
        low = fmin(low, rows[i].mean - reach);
        high = fmax(high, rows[i].mean + reach);
    }
    widest = widest < 26 ? widest : 26;
    left = 8 + CHARACTER * widest;
    x = svg_scale_of(low, high, false, left + 6, WIDTH - 62);
    figure_begin(out, title, note, WIDTH, bottom + 22);
    for (int i = 0; i < count; i++) {
        double at = top + row * (i + 0.5);
        struct text number = {0};

        add_text(out, left - 4, at + 3.5, "label end", rows[i].label, widest);
        text_addf(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", x.from, at, x.to);
        text_add_digits(&number, rows[i].mean, 4);
        add_text(out, x.to + 6, at + 3.5, "tick", number.data, 20);
        text_free(&number);
        if (!isfinite(rows[i].mean))
            continue;
        if (isfinite(rows[i].reach))
            text_addf(out, "<path class=\"bar\" d=\"M%.1f %.1fH%.1fM%.1f %.1fv8M%.1f %.1fv8\"/>\n",
                      svg_at(&x, rows[i].mean - rows[i].reach), at, svg_at(&x, rows[i].mean + rows[i].reach),
                      svg_at(&x, rows[i].mean - rows[i].reach), at - 4, svg_at(&x, rows[i].mean + rows[i].reach),
                      at - 4);
        add_marker(out, 0, svg_at(&x, rows[i].mean), at);
    }
    x_axis(out, &x, false, bottom, NULL);
    figure_end(out);
}

void svg_gap(struct text *out, double gap, double reach)
{
    struct svg_scale x = svg_scale_of(fmin(0, gap - reach), fmax(0, gap + reach), false, 6, 174);
    double zero;

    if (!isfinite(gap) || !isfinite(reach))
        return;
    zero = svg_at(&x, 0);
    text_add(out, "<svg class=\"gap\" viewBox=\"0 0 180 30\" role=\"img\" aria-label=\"gap against 0\">\n");
    text_addf(out, "<path class=\"grid\" d=\"M6 11H174\"/>\n<path class=\"axis\" d=\"M%.1f 2v16\"/>\n", zero);
    add_text(out, fmin(fmax(zero, 8), 172), 29, "tick mid", "0", 2);
    text_addf(out, "<path class=\"bar\" d=\"M%.1f 11H%.1fM%.1f 7v8M%.1f 7v8\"/>\n", svg_at(&x, gap - reach),
              svg_at(&x, gap + reach), svg_at(&x, gap - reach), svg_at(&x, gap + reach));
    add_marker(out, 0, svg_at(&x, gap), 11);
    text_add(out, "</svg>\n");
}

/* ---- heat maps ---- */

void svg_heat(struct text *out, const struct svg_heat *heat)
{
    const double cell_height = heat->errors ? 34 : 26, top = 32, bottom = top + cell_height * heat->rows;
    int widest = characters_of(heat->row_name);
    double left, width;

    for (int r = 0; r < heat->rows; r++) {
        int size = characters_of(heat->row_labels[r]);

        widest = size > widest ? size : widest;
    }
    widest = widest < 16 ? widest : 16;
    left = 8 + CHARACTER * widest;
    width = (WIDTH - left - 2) / heat->columns;
    figure_begin(out, heat->title, heat->errors ? "mean and, below it, its standard error" : "mean", WIDTH, bottom + 4);
    add_text(out, (left + WIDTH) / 2, 12, "tick mid", heat->column_name, 50);
    add_text(out, left - 6, 27, "tick end", heat->row_name, widest);
    for (int c = 0; c < heat->columns; c++)
        add_text(out, left + width * (c + 0.5), 27, "label mid", heat->column_labels[c],
                 (int)fmax(2, width / CHARACTER));
    for (int r = 0; r < heat->rows; r++) {
        add_text(out, left - 6, top + cell_height * (r + 0.5) + 3.5, "label end", heat->row_labels[r], widest);
        for (int c = 0; c < heat->columns; c++) {
            double value = heat->values[r * heat->columns + c],
                   error = heat->errors ? heat->errors[r * heat->columns + c] : NAN;
            double part = heat->high > heat->low ? (value - heat->low) / (heat->high - heat->low) : 0.3;
            double x = left + width * c, y = top + cell_height * r;
            struct text number = {0}, below = {0};

            text_add_digits(&number, value, width < 40 ? 2 : width < 55 ? 3 : 4);
            text_add_digits(&below, error, 2);
            text_addf(out,
                      "<rect class=\"heat\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" "
                      "fill-opacity=\"%.2f\"><title>",
                      x + 1, y + 1, width - 2, cell_height - 2, isfinite(part) ? 0.06 + 0.84 * part : 0);
            text_add_escaped(out, heat->row_labels[r]);
            text_add(out, ", ");
            text_add_escaped(out, heat->column_labels[c]);
            text_addf(out, ": %s", number.data);
            if (isfinite(error))
                text_addf(out, " \xC2\xB1 %s", below.data);
            text_add(out, "</title></rect>\n");
            if (width >= 26) {
                double middle = y + cell_height / 2 + (isfinite(error) ? -3 : 3.5);

                add_text(out, x + width / 2, middle, part > 0.55 ? "label mid on" : "label mid", number.data, 20);
                if (isfinite(error))
                    add_text(out, x + width / 2, middle + 13, part > 0.55 ? "small mid on" : "small mid", below.data,
                             20);
            }
            text_free(&number);
            text_free(&below);
        }
    }
    figure_end(out);
}

/* ---- histograms ---- */

void svg_histogram(struct text *out, const struct svg_bars *bars)
{
    const double top = 10, bottom = 150;
    double most = 1, left, width;
    struct svg_scale y, x;

    for (int i = 0; i < bars->count; i++)
        most = fmax(most, fmax(bars->counts[i], bars->earlier ? bars->earlier[i] : 0));
    y = svg_scale_of(0, most, false, bottom, top);
    left = y_axis_width(&y);
    x = (struct svg_scale){bars->low, bars->high, left, WIDTH - 12, false};
    width = (x.to - x.from) / bars->count;
    figure_begin(out, bars->title, bars->note, WIDTH, bottom + (bars->earlier ? 38 : 22));
    y_axis(out, &y, left, x.to);
    for (int i = 0; i < bars->count; i++)
        text_addf(out, "<path class=\"column\" d=\"M%.1f %.1fV%.1fh%.1fV%.1fz\"/>\n", x.from + width * i + 0.5, bottom,
                  svg_at(&y, bars->counts[i]), width - 1, bottom);
    if (bars->earlier) {
        text_addf(out, "<path class=\"l1\" d=\"M%.1f %.1f", x.from, bottom);
        for (int i = 0; i < bars->count; i++)
            text_addf(out, "V%.1fh%.1f", svg_at(&y, bars->earlier[i]), width);
        text_addf(out, "V%.1f\"/>\n", bottom);
    }
    x_axis(out, &x, false, bottom, NULL);
    if (bars->earlier) {
        text_addf(out, "<path class=\"column\" d=\"M%.1f %.1fh12v8h-12z\"/>\n", left, bottom + 24);
        add_text(out, left + 17, bottom + 32, "label f0", bars->label, 22);
        text_addf(out, "<path class=\"l1\" d=\"M%.1f %.1fh16\"/>\n", left + 170, bottom + 28);
        add_text(out, left + 191, bottom + 32, "label f1", bars->earlier_label, 22);
    }
    figure_end(out);
}
