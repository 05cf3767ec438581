/* Each file gradients/NAME.ir is a test. Its loss is the last tensor; its derivatives to every real leaf, first and
   second, are compared with differences, every element. The norm is |a - b| / (|a| + |b|), the tolerance 1e-6: what
   central differences of step 6e-6 give for functions of size 1. Comment lines that say more:
     #= LINE        the gradients hold this line, exactly as printed; or a recurrence: its name, down or up: its
   equations
     #! LINE        differentiate refuses, with these words
     #first         second derivatives are not checked
     #kinks N       so many elements have left and right slopes that differ (0 without this line)
     #range a LOW HIGH   the values of leaf a; otherwise -1 to 1 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <glob.h>

#include "autodiff.h"

struct sample {
    char *text;
    struct arena *arena;
    struct ir_program *p;
    struct ir_tensor *loss;
    LIST(struct ir_tensor *) wrt;
    uint64_t random;
    int kinks;
};

static char *file_text(const char *path)
{
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 65536);

    assert_non_null(file);
    assert_true(fread(text, 1, 65535, file) > 0);
    fclose(file);
    return text;
}

/* What follows the mark on the next line that begins with it; *from moves on. NULL: no more. */
static char *directive(const char **from, const char *mark)
{
    for (const char *line = *from; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (!strncmp(line, mark, strlen(mark))) {
            const char *begin = line + strlen(mark), *end = strchr(line, '\n');
            *from = end ? end : line + strlen(line);
            return strndup(begin, (size_t)((end ? end : begin + strlen(begin)) - begin));
        }
    return NULL;
}

static double random_between(uint64_t *state, double low, double high)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(*state >> 11) * 0x1p-53;
}

static void range_of(const char *text, const char *name, double *low, double *high)
{
    const char *from = text;
    char *line;

    while ((line = directive(&from, "#range "))) {
        char leaf[100];
        double a, b;
        assert_int_equal(sscanf(line, "%99s %lf %lf", leaf, &a, &b), 3);
        if (!strcmp(leaf, name)) {
            *low = a;
            *high = b;
        }
        free(line);
    }
}

static struct ir_values fill(struct sample *s)
{
    struct ir_values values = ir_values_new(s->arena, s->p);

    for (int i = 0; i < s->p->tensors.count; i++) {
        struct ir_tensor *t = s->p->tensors.at[i];
        double low = -1, high = 1;
        if (t->kind == IR_EQUATION || t->kind == IR_DRAW || t->kind == IR_OPAQUE)
            continue;
        range_of(s->text, t->name, &low, &high);
        for (int64_t k = 0; k < ir_elements(t); k++)
            values.at[i][k] =
                t->whole
                    ? (double)t->low + (double)(int64_t)random_between(&s->random, 0, (double)(t->high - t->low + 1))
                    : random_between(&s->random, low, high);
    }
    return values;
}

static void check(struct sample *s, const char *order)
{
    struct ir_values values = fill(s);
    struct gradcheck_result *results = NEW_ARRAY(s->arena, struct gradcheck_result, s->wrt.count);
    struct gradcheck_options options = {.exhaustive = true, .seed = 7};
    const char *error;

    error = gradcheck(s->p, s->loss, s->wrt.at, s->wrt.count, &values, (struct ir_run){.seed = 5, .step = 1}, options,
                      results);
    if (error)
        fail_msg("%s", error);
    for (int i = 0; i < s->wrt.count; i++) {
        s->kinks += results[i].kinks;
        if (!results[i].passed) {
            struct text text = {0};
            ir_print(&text, s->p);
            fail_msg("%s derivative to %s, element %lld: %.12g, but numerically %.12g\n%s", order,
                     results[i].tensor->name, (long long)results[i].element, results[i].analytic, results[i].numeric,
                     text.data);
        }
    }
}

/* sum over all gradients of cotangent * gradient. */
static void differentiate_again(struct sample *s)
{
    struct ir_tensor **gradients = NEW_ARRAY(s->arena, struct ir_tensor *, s->wrt.count);
    const struct ir_tensor *where;
    const struct ir_expr *total = ir_real(s->p, 0);
    const char *error;

    assert_null(differentiate(s->p, s->loss, s->wrt.at, s->wrt.count, gradients, &where));
    for (int i = 0; i < s->wrt.count; i++) {
        struct ir_tensor *g = gradients[i], *cotangents, *sum;
        const struct ir_form *at[8];
        if (!g)
            continue;
        cotangents = ir_leaf(s->p, IR_STATE, "again", g->axes, g->rank, false, 0, 0, NULL);
        for (int k = 0; k < g->rank; k++)
            at[k] = ir_form_index(s->p, g->axes[k]);
        sum = ir_equation(s->p, "pulled", NULL, 0, g->rank ? IR_SUM : IR_MAP, g->axes, g->rank,
                          ir_apply(s->p, IR_multiply, ir_read(s->p, g, at, g->rank, NULL),
                                   ir_read(s->p, cotangents, at, g->rank, NULL), NULL),
                          false, NULL);
        total = ir_apply(s->p, IR_add, total, ir_read(s->p, sum, NULL, 0, NULL), NULL);
    }
    s->loss = ir_equation(s->p, "second_loss", NULL, 0, IR_MAP, NULL, 0, total, false, NULL);
    check(s, "second");
    error = ir_verify(s->p);
    if (error)
        fail_msg("the second gradient is no well-formed program: %s", error);
}

/* The recurrence of which this is the first equation, with all of them. */
static void add_recurrence(const struct sample *s, struct text *printed, const struct ir_tensor *t)
{
    if (!t->recurrence || s->p->tensors.at[t->number - 1]->recurrence == t->recurrence)
        return;
    text_addf(printed, "%s %s:", t->recurrence->name, t->recurrence->down ? "down" : "up");
    for (int i = t->number; i < s->p->tensors.count; i++)
        if (s->p->tensors.at[i]->recurrence == t->recurrence)
            text_addf(printed, " %s", s->p->tensors.at[i]->name);
    text_add(printed, "\n");
}

static void check_lines(struct sample *s, int first)
{
    struct text printed = {0};
    const char *from = s->text;
    char *line;

    text_add(&printed, "\n");
    for (int i = first; i < s->p->tensors.count; i++) {
        ir_print_tensor(&printed, s->p->tensors.at[i]);
        text_add(&printed, "\n");
        add_recurrence(s, &printed, s->p->tensors.at[i]);
    }
    while ((line = directive(&from, "#= "))) {
        char *wanted = arena_printf(s->arena, "\n%s\n", line);
        if (!strstr(printed.data, wanted))
            fail_msg("expected the line%sin%s", wanted, printed.data);
        free(line);
    }
    if (getenv("RNET_SHOW"))
        fputs(printed.data, stderr);
    text_free(&printed);
}

static void check_refusal(struct sample *s, const char *words)
{
    struct ir_tensor *gradients[32];
    const struct ir_tensor *where;
    const char *error = differentiate(s->p, s->loss, s->wrt.at, s->wrt.count, gradients, &where);

    assert_non_null(error);
    assert_string_equal(error, words);
    assert_non_null(where);
}

static void test_file(void **state)
{
    struct sample s = {.text = file_text(*state), .arena = arena_new(), .random = 12345};
    const char *error = NULL, *from = s.text;
    char *words, *kinks;
    int forward;

    s.p = ir_parse(s.arena, s.text, &error);
    if (!s.p)
        fail_msg("%s", error);
    forward = s.p->tensors.count;
    s.loss = s.p->tensors.at[forward - 1];
    for (int i = 0; i < forward; i++) {
        struct ir_tensor *t = s.p->tensors.at[i];
        if (t->kind != IR_EQUATION && t->kind != IR_DRAW && t->kind != IR_OPAQUE && !t->whole)
            list_add(s.arena, s.wrt, t);
    }
    assert_true(s.wrt.count > 0 && s.wrt.count <= 32);
    words = directive(&from, "#! ");
    if (words) {
        check_refusal(&s, words);
        free(words);
    } else {
        check(&s, "first");
        check_lines(&s, forward);
        error = ir_verify(s.p);
        if (error)
            fail_msg("the gradient is no well-formed program: %s", error);
        from = s.text;
        kinks = directive(&from, "#kinks ");
        assert_int_equal(s.kinks, kinks ? atoi(kinks) : 0);
        free(kinks);
        from = s.text;
        kinks = directive(&from, "#first");
        if (!kinks) {
            s.loss = s.loss->rank ? ir_find(s.p, "contracted") : s.loss;
            differentiate_again(&s);
        }
        free(kinks);
    }
    arena_free(s.arena);
    free(s.text);
}

int main(void)
{
    glob_t files;
    struct CMUnitTest *tests;
    int failed;

    if (glob(TEST_FOLDER "/gradients/*.ir", 0, NULL, &files) || !files.gl_pathc)
        return 1;
    tests = calloc(files.gl_pathc, sizeof *tests);
    for (size_t i = 0; i < files.gl_pathc; i++)
        tests[i] = (struct CMUnitTest){strrchr(files.gl_pathv[i], '/') + 1, test_file, NULL, NULL, files.gl_pathv[i]};
    failed = _cmocka_run_group_tests("gradients", tests, files.gl_pathc, NULL, NULL);
    free(tests);
    globfree(&files);
    return failed;
}
