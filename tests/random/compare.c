/* compare.c: one program, three executions: the evaluator, compiled with --no-fuse, compiled and fused.

   Norm: |a - b| / |b|, Euclidean, over one tensor. In f64 to 1e-10: rounding is 1e-16, sums have at most a few hundred terms,
   two steps are a few hundred operations deep, and quotients of small differences (normalisers, adam) magnify by some 1e4.
   In f32 to 2e-3 against the evaluator in f64: the same with 6e-8.
   A tensor may be worse conditioned than that: a gradient that is 0 but for rounding, a sign of such a number, a tie. Then the
   evaluator itself answers otherwise when its leaves move by a rounding, and a thousand times that movement is allowed. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff.h"
#include "driver.h"
#include "random.h"

enum { STEPS = 2, SEED = 7 };
static const double double_tolerance = 1e-10, single_tolerance = 2e-3, magnified = 1000;

/* Numbers by name, in order: outputs of each step, parameters and states after the last, outputs of the report. */
struct result {
    const char *name;
    bool whole;
    int64_t count;
    double *numbers;
};
struct outcome {
    LIST(struct result) results;
    bool nonfinite;
};

static bool fail(struct verdict *out, const char *kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
static bool fail(struct verdict *out, const char *kind, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(out->message, sizeof out->message, format, arguments);
    va_end(arguments);
    snprintf(out->kind, sizeof out->kind, "%s", kind);
    out->passed = false;
    return false;
}

/* ---- what every execution begins with ---- */

struct lowered {
    struct arena *arena;
    struct unit *unit;
    struct training *training;
    bool single;
};

static bool lower(struct lowered *l, const char *path, bool single, struct verdict *out)
{
    struct diagnostics *d;
    struct text text = {0};
    uint64_t seed = SEED;
    struct lower_options options = {.precision = single ? IR_SINGLE : IR_DOUBLE, .seed = &seed};
    const char *code;

    l->arena = arena_new();
    l->single = single;
    d = diagnostics_new(l->arena);
    l->unit = unit_read(l->arena, path, NULL, 0, d);
    if (l->unit && !diagnostics_errors(d) && unit_trainings(l->unit) == 1)
        l->training = lower_training(l->unit, 0, options, d);
    if (l->training && !diagnostics_errors(d))
        return true;
    diagnostics_print(d, &text, false);
    code = text.data ? strstr(text.data, "[E") : NULL;
    fail(out, code ? arena_printf(l->arena, "sema %.5s", code + 1) : "sema", "%s", text.data ? text.data : "no training");
    text_free(&text);
    return false;
}

static double scalar(void *context, const char *name)
{
    const struct lowered *l = ((void **)context)[0];
    double step = *(const double *)((void **)context)[1], value;

    if (!strcmp(name, "step"))
        return step;
    if (!strcmp(name, "steps"))
        return (double)l->training->steps;
    if (!strcmp(name, "epoch"))
        return (step - 1) / 4;
    if (!strcmp(name, "progress"))
        return (step - 1) / (double)l->training->steps;
    if (unit_let(l->unit, name, &value))
        return value;
    bug("no value for the scalar %s", name);
}

/* In [-1, 1), a function of name, step and element, exact in f32. */
static double input_number(const struct ir_tensor *t, int step, int64_t element)
{
    uint64_t bits = hash_bytes(&element, sizeof element, hash_bytes(t->name, strlen(t->name), (uint64_t)step));
    double number = (double)(int64_t)(bits >> 40) * 0x1p-23 - 1;

    if (!t->whole)
        return number;
    return (double)t->low + floor((number * 0.5 + 0.5) * (double)(t->high - t->low + 1));
}

static bool kept(const struct ir_tensor *t)
{
    return t->kind == IR_PARAMETER || t->kind == IR_STATE;
}

/* First values, rounded to f32 so that both precisions begin alike, by name. */
static struct map *first_values(const struct lowered *l, void *clock)
{
    const struct ir_program *initial = l->training->initial;
    struct ir_values values = ir_values_new(l->arena, initial);
    struct map *by_name = map_new(l->arena);

    for (int i = 0; i < initial->tensors.count; i++)
        if (initial->tensors.at[i]->kind == IR_SCALAR)
            values.at[i][0] = scalar(clock, initial->tensors.at[i]->name);
    ir_evaluate(initial, &values, (struct ir_run){.seed = SEED, .step = 1});
    for (int i = 0; i < initial->tensors.count; i++) {
        const struct ir_tensor *t = initial->tensors.at[i];
        for (int64_t k = 0; kept(t) && k < ir_elements(t); k++)
            values.at[i][k] = (double)(float)values.at[i][k];
        if (kept(t))
            map_put(by_name, t->name, values.at[i]);
    }
    return by_name;
}

static void record(struct arena *arena, struct outcome *outcome, const struct ir_tensor *t, const char *name,
                   const double *numbers)
{
    list_add(arena, outcome->results,
             (struct result){arena_string(arena, name), t->whole, ir_elements(t),
                             arena_copy(arena, numbers, (size_t)ir_elements(t) * sizeof *numbers)});
}

/* ---- the evaluator ---- */

/* moved: leaves are multiplied by 1 + moved * r, r in [-1, 1). */
static void evaluator(struct lowered *l, struct arena *keep, double moved, struct outcome *outcome)
{
    const struct ir_program *p = l->training->step;
    double step = 1;
    void *clock[] = {l, &step};
    struct map *start = first_values(l, clock);
    struct ir_values values = ir_values_new(l->arena, p);

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        const double *from = kept(t) ? map_get(start, t->name) : NULL;
        for (int64_t k = 0; from && k < ir_elements(t); k++)
            values.at[i][k] = t->whole ? from[k] : from[k] * (1 + moved * input_number(t, 99, k));
    }
    for (; step <= STEPS; step++) {
        for (int i = 0; i < p->tensors.count; i++) {
            const struct ir_tensor *t = p->tensors.at[i];
            if (t->kind == IR_SCALAR)
                values.at[i][0] = scalar(clock, t->name);
            for (int64_t k = 0; t->kind == IR_INPUT && k < ir_elements(t); k++) {
                double number = input_number(t, (int)step, k);
                values.at[i][k] = t->whole ? number : number * (1 + moved * input_number(t, 99, k));
            }
        }
        ir_evaluate(p, &values, (struct ir_run){SEED, (uint64_t)((step - 1) * (double)l->training->batch), (uint64_t)step});
        for (int i = 0; i < p->outputs.count; i++) {
            const struct ir_tensor *t = p->outputs.at[i].tensor;
            outcome->nonfinite |= p->outputs.at[i].guard && !isfinite(values.at[t->number][0]);
            record(keep, outcome, t, arena_printf(l->arena, "step %g: %s", step, p->outputs.at[i].name),
                   values.at[t->number]);
        }
        if (outcome->nonfinite)
            return;
    }
    for (int i = 0; i < p->tensors.count; i++)
        if (kept(p->tensors.at[i])) {
            record(keep, outcome, p->tensors.at[i], p->tensors.at[i]->name, values.at[i]);
            map_put(start, p->tensors.at[i]->name, values.at[i]);
        }
    if (!l->training->report)
        return;
    const struct ir_program *chunk = l->training->report->chunk;
    struct ir_values report = ir_values_new(l->arena, chunk);
    for (int i = 0; i < chunk->tensors.count; i++) {
        const struct ir_tensor *t = chunk->tensors.at[i];
        const double *from = kept(t) ? map_get(start, t->name) : NULL;
        for (int64_t k = 0; k < ir_elements(t) && (from || t->kind == IR_INPUT); k++)
            report.at[i][k] = from ? from[k] : input_number(t, 1, k);
        if (t->kind == IR_SCALAR)
            report.at[i][0] = scalar(clock, t->name);
    }
    ir_evaluate(chunk, &report, (struct ir_run){SEED, 0, STEPS});
    for (int i = 0; i < chunk->outputs.count; i++)
        record(keep, outcome, chunk->outputs.at[i].tensor,
               arena_printf(l->arena, "report: %s", chunk->outputs.at[i].name),
               report.at[chunk->outputs.at[i].tensor->number]);
}

/* ---- compiled ---- */

static bool verified(const struct ir_program *p, const char *pass, struct verdict *out)
{
    const char *broken = ir_verify(p);
    char kind[60];

    if (!broken)
        return true;
    snprintf(kind, sizeof kind, "verify after %s", pass);
    return fail(out, kind, "program %s: %s", p->name, broken);
}

static bool build(struct compiled *c, struct ir_program *p, struct layout *layout, bool fused, struct verdict *out)
{
    struct rnet_error error;
    struct code_timing timing;
    const char *wrong;

    *c = (struct compiled){.api = codegen_open(&error)};
    if (!c->api)
        return fail(out, "module", "%s", error.message);
    if (!verified(p, "sema", out))
        return false;
    p = simplify(p);
    if (!verified(p, "simplify", out))
        return false;
    p = share(p);
    if (!verified(p, "share", out))
        return false;
    p = split_schedule(p, &c->schedule);
    if (!verified(p, "schedule", out) || !verified(c->schedule, "schedule", out))
        return false;
    fuse(p, fused);
    if (!verified(p, "fuse", out))
        return false;
    plan_memory(p, layout, false);
    if (!verified(p, "plan", out))
        return false;
    c->program = p;
    c->code = c->api->compile(p, &(struct code_options){NULL, NULL}, &timing, &wrong);
    return c->code || fail(out, "codegen", "program %s: %s", p->name, wrong);
}

static double *stored(struct arena *arena, const struct instance *in, const struct ir_tensor *t, void *clock)
{
    double *numbers = NEW_ARRAY(arena, double, ir_elements(t));
    const void *data = instance_data(in, t);

    for (int64_t k = 0; data && k < ir_elements(t); k++)
        numbers[k] = stored_number(data, t->storage, k);
    for (int i = 0; t->kind == IR_SCALAR && i < in->scalar_count; i++)
        if (!strcmp(in->scalar_names[i], t->name))
            numbers[0] = in->scalars[i];
    return numbers;
}

static void put(struct instance *in, const struct ir_tensor *t, const double *numbers)
{
    char *at = instance_data(in, t);

    for (int64_t k = 0; at && k < ir_elements(t); k++)
        switch (t->storage) {
        case IR_F32:
            ((float *)(void *)at)[k] = (float)numbers[k];
            break;
        case IR_F64:
            ((double *)(void *)at)[k] = numbers[k];
            break;
        case IR_I32:
            ((int32_t *)(void *)at)[k] = (int32_t)numbers[k];
            break;
        case IR_U8:
            ((uint8_t *)at)[k] = (uint8_t)numbers[k];
            break;
        }
}

static void fill_inputs(struct instance *in, int step, struct arena *arena)
{
    const struct ir_program *p = in->compiled->program;

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        double *numbers = NEW_ARRAY(arena, double, ir_elements(t));
        if (t->kind != IR_INPUT || t->region == IR_NOWHERE)
            continue;
        for (int64_t k = 0; k < ir_elements(t); k++)
            numbers[k] = input_number(t, step, k);
        put(in, t, numbers);
    }
}

static void fill_kept(struct instance *in, const struct map *start)
{
    const struct ir_program *p = in->compiled->program;

    for (int i = 0; i < p->tensors.count; i++) {
        const double *from = kept(p->tensors.at[i]) ? map_get(start, p->tensors.at[i]->name) : NULL;
        if (from)
            put(in, p->tensors.at[i], from);
    }
}

/* Two steps and the report on so many threads. */
static void execute(struct lowered *l, struct arena *keep, const struct compiled *step_code,
                    const struct compiled *chunk_code, struct layout *layout, int threads, struct outcome *outcome)
{
    struct memory memory;
    struct instance step_instance, chunk_instance;
    struct rnet_pool *pool = rnet_pool_new(threads);
    const struct ir_program *p = step_code->program;
    double step = 1;
    void *clock[] = {l, &step};
    struct map *start = first_values(l, clock);

    memory_new(&memory, layout);
    instance_new(&step_instance, step_code, &memory, pool, SEED);
    fill_kept(&step_instance, start);
    if (chunk_code) {
        instance_new(&chunk_instance, chunk_code, &memory, pool, SEED);
        fill_kept(&chunk_instance, start);
    }
    for (; step <= STEPS && !outcome->nonfinite; step++) {
        fill_inputs(&step_instance, (int)step, l->arena);
        outcome->nonfinite = instance_run(&step_instance, (uint64_t)((step - 1) * (double)l->training->batch), (uint64_t)step,
                                          scalar, clock) != RNET_DONE;
        for (int i = 0; i < p->outputs.count; i++)
            record(keep, outcome, p->outputs.at[i].tensor,
                   arena_printf(l->arena, "step %g: %s", step, p->outputs.at[i].name),
                   stored(l->arena, &step_instance, p->outputs.at[i].tensor, clock));
    }
    for (int i = 0; i < p->tensors.count && !outcome->nonfinite; i++)
        if (kept(p->tensors.at[i]) && p->tensors.at[i]->region != IR_NOWHERE)
            record(keep, outcome, p->tensors.at[i], p->tensors.at[i]->name,
                   stored(l->arena, &step_instance, p->tensors.at[i], clock));
    if (chunk_code) {
        const struct ir_program *chunk = chunk_code->program;
        if (!outcome->nonfinite) {
            fill_inputs(&chunk_instance, 1, l->arena);
            instance_run(&chunk_instance, 0, STEPS, scalar, clock);
            for (int i = 0; i < chunk->outputs.count; i++)
                record(keep, outcome, chunk->outputs.at[i].tensor,
                       arena_printf(l->arena, "report: %s", chunk->outputs.at[i].name),
                       stored(l->arena, &chunk_instance, chunk->outputs.at[i].tensor, clock));
        }
        instance_free(&chunk_instance);
    }
    instance_free(&step_instance);
    memory_free(&memory);
    rnet_pool_free(pool);
}

/* ---- comparison ---- */

static double relative(const double *a, const double *b, int64_t count)
{
    double difference = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) {
            if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))))
                return INFINITY;
            continue;
        }
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return difference == 0 ? 0 : sqrt(difference) / (size > 0 ? sqrt(size) : 1);
}

static const struct result *result_find(const struct outcome *outcome, const char *name)
{
    for (int i = 0; i < outcome->results.count; i++)
        if (!strcmp(outcome->results.at[i].name, name))
            return &outcome->results.at[i];
    return NULL;
}

static bool agree(const char *path, const char *how, bool single, const struct outcome *wanted,
                  const struct outcome *found, struct outcome *moved, struct arena *keep, struct verdict *out)
{
    const double tolerance = single ? single_tolerance : double_tolerance;

    if (wanted->nonfinite != found->nonfinite && !single)
        return fail(out, how, "the guards say %s, in the evaluator %s", found->nonfinite ? "not finite" : "finite",
                    wanted->nonfinite ? "not finite" : "finite");
    if (wanted->nonfinite || found->nonfinite) {
        out->excused = true;
        return true;
    }
    for (int i = 0; i < wanted->results.count; i++) {
        const struct result *w = &wanted->results.at[i], *f = result_find(found, w->name), *m;
        double error = f ? relative(f->numbers, w->numbers, w->count) : 0, allowed = tolerance;
        int64_t worst = 0;

        if (!f || error <= tolerance)
            continue;
        if (!moved->results.count) {
            struct lowered again;
            if (!lower(&again, path, false, out))
                return false;
            evaluator(&again, keep, single ? 1e-6 : 1e-14, moved);
            arena_free(again.arena);
        }
        m = result_find(moved, w->name);
        if (m)
            allowed = fmax(tolerance, magnified * relative(m->numbers, w->numbers, w->count));
        if (error <= allowed || moved->nonfinite) {
            out->excused = true;
            continue;
        }
        for (int64_t k = 1; k < w->count; k++)
            if (!(fabs(f->numbers[k] - w->numbers[k]) <= fabs(f->numbers[worst] - w->numbers[worst])))
                worst = k;
        return fail(out, how, "%s: relative error %.3g, more than %.3g; element %" PRId64 " is %.17g, in the evaluator %.17g",
                    w->name, error, allowed, worst, f->numbers[worst], w->numbers[worst]);
    }
    return true;
}

static bool same_bits(const struct outcome *a, const struct outcome *b, const char *how, struct verdict *out)
{
    for (int i = 0; i < a->results.count; i++) {
        const struct result *x = &a->results.at[i], *y = result_find(b, x->name);
        if (!y || memcmp(x->numbers, y->numbers, (size_t)x->count * sizeof *x->numbers))
            return fail(out, "threads", "%s: %s has other bits on 3 threads than on 1", how, x->name);
    }
    return true;
}

static bool check_compiled(const char *path, bool fused, bool single, const struct outcome *wanted, struct outcome *moved,
                           struct arena *keep, struct verdict *out)
{
    const char *how = single ? (fused ? "fused, f32" : "not fused, f32") : fused ? "fused" : "not fused";
    struct outcome one = {0}, three = {0};
    struct compiled step, chunk;
    struct lowered l = {0};
    struct layout *layout;
    bool report, right;

    if (!lower(&l, path, single, out))
        return false;
    layout = layout_new(l.arena);
    report = l.training->report != NULL;
    if (!build(&step, l.training->step, layout, fused, out) ||
        (report && !build(&chunk, l.training->report->chunk, layout, fused, out)))
        return false;
    execute(&l, keep, &step, report ? &chunk : NULL, layout, 1, &one);
    execute(&l, keep, &step, report ? &chunk : NULL, layout, 3, &three);
    right = same_bits(&one, &three, how, out) && agree(path, how, single, wanted, &one, moved, keep, out);
    compiled_release(&step);
    if (report)
        compiled_release(&chunk);
    arena_free(l.arena);
    return right;
}

static bool check_gradients(const char *path, struct verdict *out)
{
    struct lowered l = {0};
    double step = 1;
    void *clock[] = {&l, &step};
    LIST(struct ir_tensor *) parameters = {0};

    if (!lower(&l, path, false, out))
        return false;
    struct ir_program *p = l.training->objective;
    struct map *start = first_values(&l, clock);
    struct ir_values values = ir_values_new(l.arena, p);
    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *t = p->tensors.at[i];
        const double *from = kept(t) ? map_get(start, t->name) : NULL;
        for (int64_t k = 0; k < ir_elements(t) && (from || t->kind == IR_INPUT); k++)
            values.at[i][k] = from ? from[k] : input_number(t, 1, k);
        if (t->kind == IR_SCALAR)
            values.at[i][0] = scalar(clock, t->name);
        if (t->kind == IR_PARAMETER)
            list_add(l.arena, parameters, t);
    }
    struct gradcheck_result *results = NEW_ARRAY(l.arena, struct gradcheck_result, parameters.count + 1);
    const char *wrong = gradcheck(p, (struct ir_tensor *)program_output(p, "objective"), parameters.at, parameters.count,
                                  &values, (struct ir_run){.seed = SEED, .step = 1}, (struct gradcheck_options){.seed = SEED},
                                  results);
    if (wrong)
        return fail(out, "gradcheck", "%s", wrong);
    for (int i = 0; i < parameters.count; i++)
        if (!results[i].passed)
            return fail(out, "gradient", "%s, element %" PRId64 ": %.12g, by differences %.12g", results[i].tensor->name,
                        results[i].element, results[i].analytic, results[i].numeric);
    arena_free(l.arena);
    return true;
}

void compare_program(const char *path, unsigned checks, struct verdict *out)
{
    struct arena *keep = arena_new();
    struct outcome wanted = {0}, moved = {0}, moved_single = {0};
    struct lowered l = {0};

    *out = (struct verdict){.passed = true};
    if (!lower(&l, path, false, out))
        return;
    if (verified(l.training->initial, "sema", out) && verified(l.training->step, "sema", out) &&
        (!l.training->report || verified(l.training->report->chunk, "sema", out))) {
        evaluator(&l, keep, 0, &wanted);
        if (check_compiled(path, false, false, &wanted, &moved, keep, out) &&
            check_compiled(path, true, false, &wanted, &moved, keep, out) &&
            (!(checks & CHECK_SINGLE) || check_compiled(path, true, true, &wanted, &moved_single, keep, out)) &&
            checks & CHECK_GRADIENTS && !wanted.nonfinite)
            check_gradients(path, out);
    }
    arena_free(l.arena);
    arena_free(keep);
}
