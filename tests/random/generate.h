/* generate.h: what expressions and statements of a random program share. */
#ifndef TESTS_RANDOM_GENERATE_H
#define TESTS_RANDOM_GENERATE_H

#include "random.h"

enum { MAX_RANK = 4, AXES = 6, MAX_DEPTH = 3 };

/* An index variable of the body at hand: every body has six, each with one extent. */
struct axis {
    const char *name;
    int extent;
};
typedef unsigned axis_set; /* bit i: axis i */

struct value {
    const char *name;
    const char *first; /* "t - 1, ": what stands in its subscript before the axes, or "" */
    int rank;
    int extents[MAX_RANK];
    int choices; /* a whole number in 0 .. choices - 1; 0: real */
    bool sample; /* differs between samples */
    bool meets;  /* samples meet in it, so it has no derivative for each of them apart */
    bool leaf;   /* a parameter or an input */
};

/* Most programs are small: what goes wrong mostly goes wrong in few lines, and small ones cost little. */
enum size { SMALL, MEDIUM, LARGE };

struct generator {
    struct arena *arena;
    enum size size;
    bool layer; /* the body of a layer, else of a model */
    bool normalises; /* somewhere by the batch, which then has two samples or more */
    uint64_t state;
    struct text out;
    int indent;
    struct axis axes[AXES];
    LIST(struct value) values; /* visible in the body at hand */
    int names;
    /* Of the expression at hand. */
    axis_set bare;  /* indices that read an axis bare, which fixes their extents */
    bool sample, meets;
    axis_set time; /* of the recurrence at hand: normalising along it would read what is not there yet */
};

int below(struct generator *g, int count);           /* 0 .. count - 1 */
bool chance(struct generator *g, int percent);
const char *name_new(struct generator *g, const char *letter);
void line(struct generator *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct value *value_add(struct generator *g, struct value value);
/* A value with at least `rank` axes; NULL if there is none. real: no whole number; sample: one that differs between samples. */
const struct value *value_any(struct generator *g, int least, int most, bool sample);
int axis_with(struct generator *g, axis_set among, int extent); /* -1: none */
/* A real number (but for infinities and ties smooth almost everywhere, of moderate size) of the indices in `free`. */
const char *random_expression(struct generator *g, axis_set free, int depth);
/* The same, and it mentions every index of `free`. */
const char *whole_expression(struct generator *g, axis_set free);
/* v at indices of free; mostly bare. */
const char *read_value(struct generator *g, const struct value *v, axis_set free, int depth);
/* "i: 3, j: 2" in the order of a random permutation; order[] gets the axes. */
const char *written(struct generator *g, axis_set free, int *order, int *count, bool extents);
axis_set some_axes(struct generator *g, axis_set among, int count);

/* ---- statements.c ---- */

enum { ALL = (1 << AXES) - 1 };
/* The value that the expression at hand is, along those axes. */
struct value value_over(struct generator *g, const char *name, const int *order, int count);
void begin_expression(struct generator *g);
/* Declares a weight, drawn as what is summed over `in` and produced along `out`, or set if `in` is empty. */
const char *parameter(struct generator *g, axis_set in, axis_set out, const char *letter);
/* Every axis of v as an index: "i, j"; false if the body lacks such axes. taken[] gets them. */
bool whole_value(struct generator *g, const struct value *v, const char **all, int *taken);
/* An equation, a product, a selection, a composite axis, noise, statistics of the batch, another sample. */
void statement_plain(struct generator *g);
/* rank, solve, cholesky. */
void statement_opaque(struct generator *g);
/* grad, of the first and the second order. */
void statement_gradient(struct generator *g);

/* ---- recurrence.c, library.c ---- */

void statement_recurrence(struct generator *g);
void statement_library(struct generator *g);

#endif
