/* svg_parts.h: what the kinds of figures share. */
#ifndef RNET_SVG_PARTS_H
#define RNET_SVG_PARTS_H

#include "svg.h"

enum { TICK_TEXT = 40 };
/* Width of a character of 11 units. */
#define CHARACTER 6.7

int characters_of(const char *text);
/* Escaped; longer than `most` characters: cut, with all of it as its title. */
void add_text(struct text *out, double x, double y, const char *classes, const char *string, int most);
void add_marker(struct text *out, int style, double x, double y);
const char *tick_text(char buffer[TICK_TEXT], double tick, const double *ticks, int count);
void figure_begin(struct text *out, const char *title, const char *note, double width, double height);
void figure_end(struct text *out);
void y_axis(struct text *out, const struct svg_scale *y, double left, double right);
double y_axis_width(const struct svg_scale *y);
void x_axis(struct text *out, const struct svg_scale *x, bool whole, double bottom, const char *label);

#endif
