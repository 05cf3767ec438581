#include "program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct program program_of(const char *text)
{
    struct program p = {.arena = arena_new()};
    FILE *file;
    int handle;

    snprintf(p.path, sizeof p.path, "%s/rnet_test_XXXXXX", P_tmpdir);
    handle = mkstemp(p.path);
    assert_true(handle >= 0);
    file = fdopen(handle, "w");
    fputs(text, file);
    fclose(file);
    p.diagnostics = diagnostics_new(p.arena);
    p.unit = unit_read(p.arena, p.path, NULL, 0, p.diagnostics);
    if (!p.unit || diagnostics_errors(p.diagnostics))
        fail_msg("%s", messages(&p));
    return p;
}

void program_end(struct program *p)
{
    unlink(p->path);
    arena_free(p->arena);
}

const char *messages(struct program *p)
{
    struct text text = {0};
    const char *copy;

    diagnostics_print(p->diagnostics, &text, false);
    copy = arena_string(p->arena, text.data ? text.data : "");
    text_free(&text);
    return copy;
}

static void verified(struct program *p, const struct ir_program *program)
{
    const char *error = ir_verify(program);
    struct text text = {0};

    (void)p;
    if (!error)
        return;
    ir_print(&text, program);
    fail_msg("%s\n%s", error, text.data);
}

struct training *training_of(struct program *p)
{
    struct training *t = lower_training(p->unit, 0, (struct lower_options){.precision = -1}, p->diagnostics);

    if (!t)
        fail_msg("%s", messages(p));
    verified(p, t->step);
    verified(p, t->initial);
    verified(p, t->objective);
    if (t->report) {
        verified(p, t->report->chunk);
        verified(p, t->report->result);
    }
    return t;
}

struct ir_program *prediction_of(struct program *p, const char *model, int64_t batch)
{
    struct prediction *prediction =
        lower_prediction(p->unit, model, (struct lower_options){.precision = -1, .batch = batch}, p->diagnostics);

    if (!prediction)
        fail_msg("%s", messages(p));
    verified(p, prediction->program);
    return prediction->program;
}

void fill(struct program *p, const struct ir_program *program, struct ir_values *values)
{
    (void)p;
    for (int i = 0; i < program->tensors.count; i++) {
        const struct ir_tensor *t = program->tensors.at[i];

        if (t->kind == IR_EQUATION || t->kind == IR_DRAW || t->kind == IR_SCALAR)
            continue;
        for (int64_t k = 0; k < ir_elements(t); k++)
            values->at[i][k] = t->whole ? (double)(t->low + k % (t->high - t->low + 1))
                                        : sin(0.7 * (double)k + 1.3 * (double)strlen(t->name));
    }
}

double *at(const struct ir_program *program, const struct ir_values *values, const char *name)
{
    const struct ir_tensor *t = ir_find(program, name);

    if (!t)
        fail_msg("the program has no tensor %s", name);
    return values->at[t->number];
}

const struct ir_tensor *output(const struct ir_program *program, const char *name)
{
    for (int i = 0; i < program->outputs.count; i++)
        if (!strcmp(program->outputs.at[i].name, name))
            return program->outputs.at[i].tensor;
    fail_msg("the program has no output %s", name);
    return NULL;
}

double *output_at(const struct ir_program *program, const struct ir_values *values, const char *name)
{
    return values->at[output(program, name)->number];
}

void assert_near(double a, double b, double tolerance)
{
    if (!(fabs(a - b) <= tolerance * (1 + fabs(b))))
        fail_msg("%.17g and %.17g differ by more than %g", a, b, tolerance);
}
