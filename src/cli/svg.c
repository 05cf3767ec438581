/* svg.c: what figures are made of, and curves. svg_chart.c has the others. */
#include "svg_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- text ---- */

/* Bytes of the UTF-8 character that begins here; 0: none does. */
static int character_length(const unsigned char *at)
{
    int length = *at < 0x80                  ? 1
                 : *at >= 0xC2 && *at < 0xE0 ? 2
                 : *at >= 0xE0 && *at < 0xF0 ? 3
                 : *at >= 0xF0 && *at < 0xF5 ? 4
                                             : 0;

    for (int i = 1; i < length; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    if (length > 2 && ((at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xED && at[1] >= 0xA0) ||
                       (at[0] == 0xF0 && at[1] < 0x90) || (at[0] == 0xF4 && at[1] >= 0x90)))
        return 0;
    return length;
}

void text_add_escaped(struct text *text, const char *string)
{
    for (const unsigned char *at = (const unsigned char *)string; *at;) {
        int length = character_length(at);

        if (*at == '&')
            text_add(text, "&amp;");
        else if (*at == '<')
            text_add(text, "&lt;");
        else if (*at == '>')
            text_add(text, "&gt;");
        else if (*at == '"')
            text_add(text, "&quot;");
        else if (!length || (*at < ' ' && *at != '\n' && *at != '\t') || *at == 0x7F)
            text_add(text, "\xEF\xBF\xBD");
        else
            text_add_slice(text, (const char *)at, (size_t)length);
        at += length ? length : 1;
    }
}

void text_add_digits(struct text *text, double value, int digits)
{
    char number[40], *e;

    if (!isfinite(value)) {
        text_add(text, isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
        return;
    }
    snprintf(number, sizeof number, "%.*g", digits, value == 0 ? 0 : value);
    e = strchr(number, 'e');
    if (e) {
        char *digit = e + 1, *rest;

        if (*digit == '-')
            digit++;
        rest = digit + strspn(digit, "+0");
        memmove(digit, rest, strlen(rest) + 1);
    }
    text_add(text, number);
}

int characters_of(const char *text)
{
    int count = 0;

    for (; *text; text++)
        count += (*text & 0xC0) != 0x80;
    return count;
}

void add_text(struct text *out, double x, double y, const char *classes, const char *string, int most)
{
    text_addf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, classes);
    if (characters_of(string) > most) {
        struct text cut = {0};
        const char *end = string;

        for (int left = most - 1; left > 0; left--)
            end += character_length((const unsigned char *)end) ? character_length((const unsigned char *)end) : 1;
        text_add_slice(&cut, string, (size_t)(end - string));
        text_add_escaped(out, cut.data ? cut.data : "");
        text_add(out, "\xE2\x80\xA6<title>");
        text_add_escaped(out, string);
        text_add(out, "</title>");
        text_free(&cut);
    } else {
        text_add_escaped(out, string);
    }
    text_add(out, "</text>\n");
}

/* ---- scales ---- */

struct svg_scale svg_scale_of(double low, double high, bool logarithmic, double from, double to)
{
    struct svg_scale scale = {low, high, from, to, logarithmic && low > 0};

    if (low > high) { /* there is nothing to be seen */
        scale.low = 0;
        scale.high = 1;
        scale.logarithmic = false;
    } else if (scale.logarithmic) {
        double room = pow(high / low, 0.04);

        scale.low /= high > low ? room : 1.1;
        scale.high *= high > low ? room : 1.1;
    } else {
        double room = high > low ? 0.04 * (high - low) : low != 0 ? 0.05 * fabs(low) : 0.5;

        scale.low -= room;
        scale.high += room;
        if (low >= 0 && scale.low < 0)
            scale.low = 0;
    }
    return scale;
}

double svg_at(const struct svg_scale *s, double value)
{
    double part = s->logarithmic ? log(value / s->low) / log(s->high / s->low) : (value - s->low) / (s->high - s->low);

    return s->from + part * (s->to - s->from);
}

/* The least of 1, 2, 5 times a power of ten that is no smaller. */
static double round_step(double step)
{
    double power = pow(10, floor(log10(step) + 1e-9)), part = step / power;

    return power * (part <= 1 + 1e-9 ? 1 : part <= 2 + 1e-9 ? 2 : part <= 5 + 1e-9 ? 5 : 10);
}

static int logarithmic_ticks(const struct svg_scale *s, int wanted, double *ticks)
{
    static const double parts[] = {1, 2, 5};
    int first = (int)floor(log10(s->low)), last = (int)floor(log10(s->high)), decades = last - first, count = 0;
    int apart = decades > wanted ? (decades + wanted - 1) / wanted : 1, within = decades * 3 <= wanted + 2 ? 3 : 1;

    for (int power = first; power <= last; power += 1)
        for (int k = 0; k < within && power % apart == 0; k++) {
            double tick = parts[k] * pow(10, power);

            if (tick >= s->low && tick <= s->high && count < SVG_MOST_TICKS)
                ticks[count++] = tick;
        }
    return count;
}

int svg_ticks(const struct svg_scale *s, int wanted, bool whole, double ticks[SVG_MOST_TICKS])
{
    int count = s->logarithmic ? logarithmic_ticks(s, wanted, ticks) : 0;
    double step;

    if (count > 1)
        return count;
    step = round_step((s->high - s->low) / (wanted > 1 ? wanted : 1));
    if (whole && step < 1)
        step = 1;
    count = 0;
    for (double k = ceil(s->low / step - 1e-9); k * step <= s->high + 1e-9 * step && count < SVG_MOST_TICKS; k++)
        ticks[count++] = k * step;
    return count;
}

const char *tick_text(char buffer[TICK_TEXT], double tick, const double *ticks, int count)
{
    double apart = count > 1 ? ticks[1] - ticks[0] : 1, size = 0;
    int digits;

    for (int i = 1; i < count; i++)
        apart = fmin(apart, ticks[i] - ticks[i - 1]);
    for (int i = 0; i < count; i++)
        size = fmax(size, fabs(ticks[i]));
    if (size >= 1e5 || (size > 0 && size < 1e-3) || (count > 1 && size / apart > 1e6) ||
        (tick != 0 && fabs(tick) < 1e-4)) {
        struct text text = {0};

        text_add_digits(&text, fabs(tick) < 1e-9 * apart ? 0 : tick, 4);
        snprintf(buffer, TICK_TEXT, "%s", text.data);
        text_free(&text);
        return buffer;
    }
    /* as many digits behind the point as the tick needs that has most, of its own decade if they are far apart */
    digits = (int)fmax(
        0,
        -floor(log10(fmax(apart,
                          tick > 0 && count > 1 && ticks[0] > 0 && ticks[count - 1] / ticks[0] > 20 ? tick : apart)) +
               1e-9));
    snprintf(buffer, TICK_TEXT, "%.*f", digits, fabs(tick) < 1e-9 * apart ? 0 : tick);
    return buffer;
}

/* ---- figures ---- */

void figure_begin(struct text *out, const char *title, const char *note, double width, double height)
{
    text_add(out, "<figure>\n<figcaption><b>");
    text_add_escaped(out, title);
    text_add(out, "</b>");
    if (note && *note) {
        text_add(out, " <span>");
        text_add_escaped(out, note);
        text_add(out, "</span>");
    }
    text_addf(out, "</figcaption>\n<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", width, height);
    text_add_escaped(out, title);
    text_add(out, "\">\n");
}

void figure_end(struct text *out)
{
    text_add(out, "</svg>\n</figure>\n");
}

void y_axis(struct text *out, const struct svg_scale *y, double left, double right)
{
    double ticks[SVG_MOST_TICKS];
    char buffer[TICK_TEXT];
    int count = svg_ticks(y, 5, false, ticks);

    for (int i = 0; i < count; i++) {
        double at = svg_at(y, ticks[i]);

        text_addf(out, "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/>\n", left, at, right);
        add_text(out, left - 5, at + 3.5, "tick end", tick_text(buffer, ticks[i], ticks, count), 20);
    }
}

double y_axis_width(const struct svg_scale *y)
{
    double ticks[SVG_MOST_TICKS];
    char buffer[TICK_TEXT];
    int count = svg_ticks(y, 5, false, ticks), widest = 1;

    for (int i = 0; i < count; i++) {
        int size = (int)strlen(tick_text(buffer, ticks[i], ticks, count));

        widest = size > widest ? size : widest;
    }
    return 8 + CHARACTER * widest;
}

void x_axis(struct text *out, const struct svg_scale *x, bool whole, double bottom, const char *label)
{
    double ticks[SVG_MOST_TICKS], before = -INFINITY;
    char buffer[TICK_TEXT];
    int wanted = (int)((x->to - x->from) / 55), count = svg_ticks(x, wanted > 1 ? wanted : 2, whole, ticks);

    text_addf(out, "<path class=\"axis\" d=\"M%.1f %.1fH%.1f\"/>\n", x->from, bottom, x->to);
    for (int i = 0; i < count; i++) {
        const char *text = tick_text(buffer, ticks[i], ticks, count);
        double at = svg_at(x, ticks[i]), half = CHARACTER * (double)strlen(text) / 2;

        text_addf(out, "<path class=\"axis\" d=\"M%.1f %.1fv4\"/>\n", at, bottom);
        if (at - half < before + 4)
            continue;
        add_text(out, at, bottom + 15, "tick mid", text, 20);
        before = at + half;
    }
    if (label)
        add_text(out, (x->from + x->to) / 2, bottom + 29, "tick mid", label, 50);
}

/* ---- curves ---- */

enum { WIDTH = 380, HEIGHT = 236, TOP = 10, BOTTOM = HEIGHT - 38, MARKERS = 7 };

void add_marker(struct text *out, int style, double x, double y)
{
    static const char *const shapes[SVG_STYLES] = {"m-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0z",
                                                   "m-2.7 -2.7h5.4v5.4h-5.4z",
                                                   "m0 -3.6l3.3 5.8h-6.6z",
                                                   "m0 -3.9l3.9 3.9l-3.9 3.9l-3.9 -3.9z",
                                                   "m0 3.6l3.3 -5.8h-6.6z",
                                                   "m-3.4 -1h2.4v-2.4h2v2.4h2.4v2h-2.4v2.4h-2v-2.4h-2.4z"};

    text_addf(out, "<path class=\"m%d\" d=\"M%.1f %.1f%s\"/>\n", style, x, y, shapes[style]);
}

static bool seen(const struct svg_curve *c, int i, const struct svg_scale *x, const struct svg_scale *y)
{
    return isfinite(c->x[i]) && isfinite(c->y[i]) && (!y->logarithmic || c->y[i] > 0) &&
           (!x->logarithmic || c->x[i] > 0);
}

static void add_band(struct text *out, const struct svg_curve *c, const struct svg_scale *x, const struct svg_scale *y)
{
    for (int i = 0; c->low && i < c->count;) {
        int end = i;

        while (end < c->count && seen(c, end, x, y) && isfinite(c->low[end]) && isfinite(c->high[end]))
            end++;
        if (end - i > 1) {
            text_addf(out, "<path class=\"b%d\" d=\"", c->style);
            for (int k = i; k < end; k++)
                text_addf(out, "%c%.1f %.1f", k == i ? 'M' : 'L', svg_at(x, c->x[k]),
                          svg_at(y, fmin(c->high[k], y->high)));
            for (int k = end - 1; k >= i; k--)
                text_addf(out, "L%.1f %.1f", svg_at(x, c->x[k]), svg_at(y, fmax(c->low[k], y->low)));
            text_add(out, "z\"/>\n");
        }
        i = end > i ? end : i + 1;
    }
}

static void add_line(struct text *out, const struct svg_curve *c, const struct svg_scale *x, const struct svg_scale *y)
{
    int apart = c->dots ? 1 : (c->count + MARKERS - 1) / MARKERS;
    bool on = false;

    text_addf(out, "<path class=\"l%d\" d=\"", c->style);
    for (int i = 0; i < c->count && !c->dots; i++) {
        bool here = seen(c, i, x, y);

        if (here)
            text_addf(out, "%c%.1f %.1f", on ? 'L' : 'M', svg_at(x, c->x[i]), svg_at(y, c->y[i]));
        on = here;
    }
    text_add(out, "\"/>\n");
    for (int i = apart / 2; i < c->count; i += apart)
        if (seen(c, i, x, y))
            add_marker(out, c->style, svg_at(x, c->x[i]), svg_at(y, c->y[i]));
}

/* What all curves and bands need; a scale by powers of ten where the numbers go over more than a factor of 40. */
static struct svg_scale y_scale(const struct svg_plot *plot)
{
    double low = INFINITY, high = -INFINITY;

    for (int c = 0; c < plot->count; c++)
        for (int i = 0; i < plot->curves[c].count; i++) {
            const struct svg_curve *curve = &plot->curves[c];

            if (!isfinite(curve->y[i]))
                continue;
            low = fmin(low, curve->y[i]);
            high = fmax(high, curve->y[i]);
            if (curve->low && isfinite(curve->low[i]) && isfinite(curve->high[i])) {
                if (curve->low[i] > 0 || curve->y[i] <= 0 || curve->y[i] > 40 * (curve->high[i] - curve->y[i]))
                    low = fmin(low, curve->low[i]);
                high = fmax(high, curve->high[i]);
            }
        }
    if (plot->low < plot->high) {
        low = plot->low;
        high = plot->high;
    }
    return svg_scale_of(low, high, low > 0 && high > 40 * low, BOTTOM, TOP);
}

struct end_label {
    int curve;
    double at;
};

/* Labels at the ends of the curves, moved apart where they would lie on each other. */
static void add_end_labels(struct text *out, const struct svg_plot *plot, const struct svg_scale *x,
                           const struct svg_scale *y, double at, int most)
{
    struct end_label labels[SVG_STYLES * 2];
    const double apart = 13;
    int count = 0;

    for (int c = 0; c < plot->count && count < SVG_STYLES * 2; c++)
        for (int i = plot->curves[c].count - 1; i >= 0; i--)
            if (seen(&plot->curves[c], i, x, y)) {
                labels[count++] = (struct end_label){c, svg_at(y, plot->curves[c].y[i])};
                break;
            }
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && labels[k].at < labels[k - 1].at; k--) {
            struct end_label swapped = labels[k];

            labels[k] = labels[k - 1];
            labels[k - 1] = swapped;
        }
    for (int i = 0; i < count; i++)
        labels[i].at = fmax(labels[i].at, i ? labels[i - 1].at + apart : TOP + 2);
    for (int i = count - 1; i >= 0; i--)
        labels[i].at = fmin(labels[i].at, i + 1 < count ? labels[i + 1].at - apart : BOTTOM - 2);
    for (int i = 0; i < count; i++) {
        const struct svg_curve *curve = &plot->curves[labels[i].curve];
        char classes[20];

        snprintf(classes, sizeof classes, "label f%d", curve->style);
        add_marker(out, curve->style, at + 10, labels[i].at);
        add_text(out, at + 17, labels[i].at + 3.5, classes, curve->label, most);
    }
}

void svg_curves(struct text *out, const struct svg_plot *plot)
{
    struct svg_scale y = y_scale(plot), x;
    double low = INFINITY, high = -INFINITY, left = y_axis_width(&y), right;
    struct text note = {0};
    int widest = 1, most = 16;

    for (int c = 0; c < plot->count; c++) {
        int size = characters_of(plot->curves[c].label);

        widest = size > widest ? size : widest;
        for (int i = 0; i < plot->curves[c].count; i++)
            if (isfinite(plot->curves[c].y[i])) {
                low = fmin(low, plot->curves[c].x[i]);
                high = fmax(high, plot->curves[c].x[i]);
            }
    }
    widest = widest < most ? widest : most;
    right = WIDTH - 20 - CHARACTER * widest;
    x = svg_scale_of(low, high, false, left, right);
    if (low < high) {
        x.low = low;
        x.high = high;
    }
    text_addf(&note, "%s%s%s", plot->note ? plot->note : "", plot->note && *plot->note && y.logarithmic ? "; " : "",
              y.logarithmic ? "logarithmic scale" : "");
    figure_begin(out, plot->title, note.data, WIDTH, HEIGHT);
    y_axis(out, &y, left, right);
    x_axis(out, &x, plot->whole, BOTTOM, plot->x_label);
    for (int c = 0; c < plot->count; c++)
        add_band(out, &plot->curves[c], &x, &y);
    for (int c = 0; c < plot->count; c++)
        add_line(out, &plot->curves[c], &x, &y);
    add_end_labels(out, plot, &x, &y, right, most);
    figure_end(out);
    text_free(&note);
}
