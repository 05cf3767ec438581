/* Each file jacobians/NAME.ir is a test of differentiate_each: its derivatives against differences, every element; each
   file recomputed/NAME.ir one of recompute: the copies against the program with the other values. The norm is |a - b| /
   (1 + |a| + |b|); differences of step 1e-5 leave 1e-8 for functions of size 1, so 1e-7 passes; copies are the same
   operations and must be equal. Comment lines:
     #e NAME 101        the tensor, and for each axis whether it is kept apart
     #wrt NAME LEAF     the derivative to NAME, by moving LEAF, which is added where NAME is defined (or is NAME)
     #within            differentiate_within: only what lies in the step of the moved element counts
     #put FROM TO N     FROM becomes TO, whose first N axes are mapped
     #wanted NAME       is compared with its copy
     #= LINE            a line of the new tensors, exactly as printed
     #no NAME           no tensor is named so */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <glob.h>
#include <math.h>

#include "autodiff.h"

enum { MOST = 8 };
static const double step = 1e-5, tolerance = 1e-7;

struct sample {
    struct arena *arena;
    char *text;
    struct ir_program *p;
    struct ir_values values;
};

static char *file_text(struct arena *arena, const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = NEW_ARRAY(arena, char, 65536);

    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

/* What follows the mark on the next line that begins with it; *from moves on. NULL: no more. */
static char *directive(struct arena *arena, const char **from, const char *mark)
{
    for (const char *line = *from; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, mark, strlen(mark))) {
            const char *begin = line + strlen(mark), *end = strchr(line, '\n');
            *from = end ? end : line + strlen(line);
            return arena_slice(arena, begin, (size_t)(end - begin));
        }
    return NULL;
}

static struct sample sample_of(const char *path)
{
    struct sample s = {.arena = arena_new()};
    const char *error;

    s.text = file_text(s.arena, path);
    s.p = ir_parse(s.arena, s.text, &error);
    if (!s.p)
        fail_msg("%s", error);
    return s;
}

static struct ir_tensor *named(const struct sample *s, const char *name)
{
    struct ir_tensor *t = ir_find(s->p, name);

    if (!t)
        fail_msg("no tensor %s", name);
    return t;
}

static void check_program(struct sample *s, int first)
{
    struct text printed = {0};
    const char *from = s->text, *error = ir_verify(s->p);
    char *line;

    if (error)
        fail_msg("no well-formed program: %s", error);
    text_add(&printed, "\n");
    for (int i = first; i < s->p->tensors.count; i++) {
        ir_print_tensor(&printed, s->p->tensors.at[i]);
        text_add(&printed, "\n");
    }
    if (getenv("RNET_SHOW"))
        fputs(printed.data, stderr);
    while ((line = directive(s->arena, &from, "#= ")))
        if (!strstr(printed.data, arena_printf(s->arena, "\n%s\n", line)))
            fail_msg("expected the line\n%s\nin%s", line, printed.data);
    for (from = s->text; (line = directive(s->arena, &from, "#no "));)
        if (ir_find(s->p, line))
            fail_msg("%s is made, but nothing wants it", line);
    text_free(&printed);
}

static void fill(struct sample *s)
{
    uint64_t state = 99;

    s->values = ir_values_new(s->arena, s->p);
    for (int i = 0; i < s->p->tensors.count; i++) {
        struct ir_tensor *t = s->p->tensors.at[i];
        for (int64_t k = 0; k < ir_elements(t); k++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            s->values.at[i][k] = t->whole
                                     ? (double)(t->low + (int64_t)((state >> 33) % (uint64_t)(t->high - t->low + 1)))
                                     : (double)(state >> 11) * 0x1p-52 - 1;
        }
    }
}

static void evaluate(struct sample *s)
{
    ir_evaluate(s->p, &s->values, (struct ir_run){.seed = 3, .step = 1});
}

/* ---- differentiate_each ---- */

/* The place of an element on the axis. */
static int64_t place(const struct ir_tensor *t, int64_t element, int axis)
{
    for (int a = t->rank - 1; a > axis; a--)
        element /= t->axes[a]->extent;
    return element % t->axes[axis]->extent;
}

/* Adds e's elements to a sum for each value of the kept axes; with at >= 0 only those at this time. */
static double *kept_sums(struct sample *s, const struct ir_tensor *e, const bool *apart, int64_t kept, int64_t at)
{
    double *sums = NEW_ARRAY(s->arena, double, kept);

    for (int64_t i = 0; i < ir_elements(e); i++) {
        int64_t row = 0;
        for (int a = 0; a < e->rank; a++)
            if (apart[a])
                row = row * e->axes[a]->extent + place(e, i, a);
        if (at < 0 || place(e, i, e->time) == at)
            sums[row] += s->values.at[e->number][i];
    }
    return sums;
}

static void compare(struct sample *s, const struct ir_tensor *e, const bool *apart, bool within, int time,
                    const struct ir_tensor *leaf, const struct ir_tensor *gradient)
{
    int64_t kept = 1, count = ir_elements(leaf);
    double *got;

    for (int a = 0; a < e->rank; a++)
        kept *= apart[a] ? e->axes[a]->extent : 1;
    assert_non_null(gradient);
    assert_int_equal(ir_elements(gradient), kept * count);
    evaluate(s);
    got = arena_copy(s->arena, s->values.at[gradient->number], sizeof(double) * (size_t)(kept * count));
    for (int64_t i = 0; i < count; i++) {
        double *x = &s->values.at[leaf->number][i], rest = *x, *above, *below;
        int64_t at = within ? place(leaf, i, time) : -1;
        *x = rest + step;
        evaluate(s);
        above = kept_sums(s, e, apart, kept, at);
        *x = rest - step;
        evaluate(s);
        below = kept_sums(s, e, apart, kept, at);
        *x = rest;
        for (int64_t row = 0; row < kept; row++) {
            double numeric = (above[row] - below[row]) / (2 * step), analytic = got[row * count + i];
            if (!(fabs(numeric - analytic) <= tolerance * (1 + fabs(numeric) + fabs(analytic))))
                fail_msg("row %lld, %s[%lld]: %.12g, but numerically %.12g", (long long)row, leaf->name, (long long)i,
                         analytic, numeric);
        }
    }
}

static void test_jacobian(void **state)
{
    struct sample s = sample_of(*state);
    struct ir_tensor *wrt[MOST], *leaves[MOST], *gradients[MOST], *e;
    const struct ir_tensor *where;
    const char *from = s.text, *error, *within;
    char name[100], bits[32] = "", leaf[100], *line;
    bool apart[MOST] = {false};
    int count = 0, before = s.p->tensors.count;

    line = directive(s.arena, &from, "#e ");
    assert_non_null(line);
    assert_true(sscanf(line, "%99s %31s", name, bits) >= 1);
    e = named(&s, name);
    assert_int_equal(strlen(bits), e->rank);
    for (int a = 0; a < e->rank; a++)
        apart[a] = bits[a] == '1';
    for (from = s.text; (line = directive(s.arena, &from, "#wrt "));) {
        assert_int_equal(sscanf(line, "%99s %99s", name, leaf), 2);
        wrt[count] = named(&s, name);
        leaves[count++] = named(&s, leaf);
    }
    assert_true(count > 0);
    from = s.text;
    within = directive(s.arena, &from, "#within");
    error = (within ? differentiate_within : differentiate_each)(s.p, e, apart, wrt, count, gradients, &where);
    if (!error && within)
        error = ir_arrange(s.p);
    if (error)
        fail_msg("%s", error);
    check_program(&s, before);
    fill(&s);
    if (within)
        apart[e->time] = false; /* it is always apart */
    for (int i = 0; i < count; i++)
        compare(&s, e, apart, within != NULL, wrt[i]->time, leaves[i], gradients[i]);
    arena_free(s.arena);
}

/* ---- recompute ---- */

static void test_recomputed(void **state)
{
    struct sample s = sample_of(*state);
    struct ir_tensor *from[MOST], *to[MOST], *wanted[MOST], *copies[MOST];
    const char *at = s.text, *error;
    char name[100], other[100], *line;
    double *copied[MOST], *values[MOST];
    int64_t blocks = 1;
    int count = 0, wanted_count = 0, extra = 0, before = s.p->tensors.count;

    while ((line = directive(s.arena, &at, "#put "))) {
        assert_int_equal(sscanf(line, "%99s %99s %d", name, other, &extra), 3);
        from[count] = named(&s, name);
        to[count++] = named(&s, other);
    }
    for (at = s.text; (line = directive(s.arena, &at, "#wanted "));)
        wanted[wanted_count++] = named(&s, line);
    assert_true(count > 0 && wanted_count > 0);
    error = recompute(s.p, from, to, count, extra, wanted, wanted_count, copies);
    if (error)
        fail_msg("%s", error);
    check_program(&s, before);
    fill(&s);
    evaluate(&s);
    for (int a = 0; a < extra; a++)
        blocks *= to[0]->axes[a]->extent;
    for (int i = 0; i < wanted_count; i++)
        copied[i] =
            arena_copy(s.arena, s.values.at[copies[i]->number], sizeof(double) * (size_t)ir_elements(copies[i]));
    for (int i = 0; i < count; i++)
        values[i] = arena_copy(s.arena, s.values.at[to[i]->number], sizeof(double) * (size_t)ir_elements(to[i]));
    for (int64_t b = 0; b < blocks; b++) {
        for (int i = 0; i < count; i++)
            memcpy(s.values.at[from[i]->number], values[i] + b * ir_elements(from[i]),
                   sizeof(double) * (size_t)ir_elements(from[i]));
        evaluate(&s);
        for (int i = 0; i < wanted_count; i++)
            for (int64_t k = 0; k < ir_elements(wanted[i]); k++) {
                double got = copied[i][copies[i] == wanted[i] ? k : b * ir_elements(wanted[i]) + k];
                if (got != s.values.at[wanted[i]->number][k])
                    fail_msg("block %lld, %s[%lld]: %.17g, but with the other values %.17g", (long long)b,
                             wanted[i]->name, (long long)k, got, s.values.at[wanted[i]->number][k]);
            }
    }
    arena_free(s.arena);
}

/* ---- a descent inside a recurrence, whose steps are gradients, differentiated ---- */

static void a_gradient_is_carried(void **state)
{
    struct arena *arena = arena_new();
    const char *error;
    struct ir_program *p = ir_parse(arena, "program descent f64\nparameter x[i: 3]\nparameter W[i: 3, j: 3]\n", &error);
    struct ir_tensor *x = ir_find(p, "x"), *W = ir_find(p, "W"), *wrt[] = {x, W}, *y, *s, *z, *e, *g, *loss;
    const struct ir_recurrence *steps = ir_recurrence(p, "steps", 4, false);
    struct ir_index *i = ir_index(p, "i", 3, false), *j = ir_index(p, "j", 3, false), *k = ir_index(p, "k", 4, false);
    struct ir_index *ki[] = {k, i}, *kj[] = {k, j};
    const struct ir_form *fi = ir_form_index(p, i), *fj = ir_form_index(p, j), *fk = ir_form_index(p, k);
    const struct ir_form *before = ir_form_add(p, fk, ir_form_constant(p, -1)), *last = ir_form_constant(p, 3);
    const struct ir_expr *read, *energy;
    const struct ir_tensor *where;
    struct ir_values values;
    struct gradcheck_result results[2];

    (void)state;
    y = ir_declare(p, "y", ki, 2, false, 0, 0, steps, 0, NULL);
    read = ir_read(p, y, (const struct ir_form *[]){before, fi}, 2, ir_read(p, x, &fi, 1, NULL));
    s = ir_equation_in(p, "s", ki, 2, steps, 0, IR_MAP, NULL, 0, read, false, NULL);
    read = ir_apply(p, IR_multiply, ir_read(p, s, (const struct ir_form *[]){fk, fi}, 2, NULL),
                    ir_read(p, W, (const struct ir_form *[]){fi, fj}, 2, NULL), NULL);
    z = ir_equation_in(p, "z", kj, 2, steps, 0, IR_SUM, &i, 1, read, false, NULL);
    energy = ir_apply(p, IR_tanh, ir_read(p, z, (const struct ir_form *[]){fk, fj}, 2, NULL), NULL, NULL);
    e = ir_equation_in(p, "e", &k, 1, steps, 0, IR_SUM, &j, 1, ir_apply(p, IR_multiply, energy, energy, NULL), false,
                       NULL);
    error = differentiate_within(p, e, (bool[]){false}, &s, 1, &g, &where);
    if (error)
        fail_msg("%s", error);
    assert_non_null(g);
    assert_ptr_equal(g->recurrence, steps);
    read = ir_apply(p, IR_multiply, ir_real(p, 0.2), ir_read(p, g, (const struct ir_form *[]){fk, fi}, 2, NULL), NULL);
    read = ir_apply(p, IR_subtract, ir_read(p, s, (const struct ir_form *[]){fk, fi}, 2, NULL), read, NULL);
    ir_define(p, y, IR_MAP, NULL, 0, read, false);
    read = ir_read(p, y, (const struct ir_form *[]){last, fi}, 2, NULL);
    loss = ir_equation(p, "loss", NULL, 0, IR_SUM, &i, 1, ir_apply(p, IR_sin, read, NULL, NULL), false, NULL);
    error = ir_arrange(p);
    if (error || (error = ir_verify(p)))
        fail_msg("%s", error);
    values = ir_values_new(arena, p);
    for (int at = 0; at < 9; at++) {
        values.at[W->number][at] = 0.3 * at - 1;
        values.at[x->number][at % 3] = 0.5 - 0.4 * (at % 3);
    }
    error = gradcheck(p, loss, wrt, 2, &values, (struct ir_run){.step = 1},
                      (struct gradcheck_options){.exhaustive = true}, results);
    if (error)
        fail_msg("%s", error);
    for (int at = 0; at < 2; at++)
        if (!results[at].passed)
            fail_msg("%s[%lld]: %.12g, but numerically %.12g", wrt[at]->name, (long long)results[at].element,
                     results[at].analytic, results[at].numeric);
    arena_free(arena);
}

int main(void)
{
    const char *const folders[] = {TEST_FOLDER "/jacobians/*.ir", TEST_FOLDER "/recomputed/*.ir"};
    const CMUnitTestFunction functions[] = {test_jacobian, test_recomputed};
    glob_t files[2];
    struct CMUnitTest *tests;
    size_t count = 1;
    int failed;

    for (int i = 0; i < 2; i++)
        if (glob(folders[i], 0, NULL, &files[i]) || !files[i].gl_pathc)
            return 1;
    tests = calloc(1 + files[0].gl_pathc + files[1].gl_pathc, sizeof *tests);
    tests[0] = (struct CMUnitTest)cmocka_unit_test(a_gradient_is_carried);
    for (int i = 0; i < 2; i++)
        for (size_t k = 0; k < files[i].gl_pathc; k++)
            tests[count++] = (struct CMUnitTest){strrchr(files[i].gl_pathv[k], '/') + 1, functions[i], NULL, NULL,
                                                 files[i].gl_pathv[k]};
    failed = _cmocka_run_group_tests("jacobians", tests, count, NULL, NULL);
    free(tests);
    for (int i = 0; i < 2; i++)
        globfree(&files[i]);
    return failed;
}
