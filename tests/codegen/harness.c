/* harness.c: see harness.h. */
#include "harness.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct code_api *code_module(void)
{
    static const struct code_api *api;

    if (!api) {
        setenv("RNET_CACHE", "off", 0); /* what is tested is made here, not what a user has */
        void *module = dlopen(CODEGEN_MODULE, RTLD_NOW | RTLD_LOCAL);
        const struct code_api *(*get)(void);
        if (!module) {
            fprintf(stderr, "%s\n", dlerror());
            exit(1);
        }
        *(void **)&get = dlsym(module, "rnet_code_api");
        if (!get) {
            fprintf(stderr, "%s\n", dlerror());
            exit(1);
        }
        api = get();
    }
    return api;
}

static char *zeroed(int64_t bytes)
{
    size_t size = ((size_t)bytes + 64) / 64 * 64;
    char *memory = aligned_alloc(64, size);

    if (!memory)
        exit(1);
    memset(memory, 0, size);
    return memory;
}

static char *place_of(const struct machine_run *run, const struct ir_tensor *t)
{
    static const int order[] = {
        [IR_IN_PARAMETERS] = 0, [IR_IN_STATE] = 1, [IR_IN_ARENA] = 2, [IR_IN_INPUTS] = 3, [IR_IN_SCALARS] = 4};
    if (t->region < IR_IN_ARENA) {
        fprintf(stderr, "%s has no place\n", t->name);
        exit(1);
    }
    return run->memory[order[t->region]] + t->offset;
}

static void put(const struct ir_tensor *t, char *at, const double *numbers)
{
    int64_t count = ir_elements(t);

    for (int64_t i = 0; i < count; i++)
        switch (t->storage) {
        case IR_F32:
            ((float *)at)[i] = (float)numbers[i];
            break;
        case IR_F64:
            ((double *)at)[i] = numbers[i];
            break;
        case IR_I32:
            ((int32_t *)at)[i] = (int32_t)numbers[i];
            break;
        case IR_U8:
            ((uint8_t *)at)[i] = (uint8_t)numbers[i];
            break;
        }
}

double *machine_numbers(struct arena *arena, const struct machine_run *run, const struct ir_tensor *t)
{
    int64_t count = ir_elements(t);
    double *numbers = NEW_ARRAY(arena, double, count);
    const char *at = place_of(run, t);

    for (int64_t i = 0; i < count; i++)
        numbers[i] = t->storage == IR_F32   ? (double)((const float *)at)[i]
                     : t->storage == IR_F64 ? ((const double *)at)[i]
                     : t->storage == IR_I32 ? (double)((const int32_t *)at)[i]
                                            : (double)((const uint8_t *)at)[i];
    return numbers;
}

static bool has_value(const struct ir_tensor *t)
{
    return t->kind != IR_EQUATION && t->kind != IR_OPAQUE && t->kind != IR_DRAW && t->region != IR_NOWHERE;
}

void machine_fill(struct machine_run *run, const struct ir_values *values)
{
    for (int i = 0; i < run->program->tensors.count; i++) {
        const struct ir_tensor *t = run->program->tensors.at[i];
        if (has_value(t))
            put(t, place_of(run, t), values->at[i]);
    }
}

void machine_open(struct machine_run *run, const struct ir_program *p, const struct ir_values *values,
                  struct ir_run where, const struct code_options *options)
{
    const struct code_api *api = code_module();
    const char *error;
    int draws = 0;

    *run = (struct machine_run){.program = p};
    run->code = api->compile(p, options, &run->timing, &error);
    if (!run->code) {
        fprintf(stderr, "%s\n", error);
        exit(1);
    }
    int64_t bytes[] = {p->parameter_bytes, p->state_bytes, p->arena_bytes + api->scratch(run->code), p->input_bytes,
                       8 * p->tensors.count};
    for (int i = 0; i < 5; i++)
        run->memory[i] = zeroed(bytes[i]);
    run->keys = calloc((size_t)p->tensors.count + 1, sizeof *run->keys);
    for (int i = 0; i < p->tensors.count; i++)
        if (p->tensors.at[i]->kind == IR_DRAW)
            run->keys[draws++] = rnet_draw_key(p->tensors.at[i]->name, where.seed);
    run->step = (struct rnet_step){.parameters = run->memory[0],
                                   .state = run->memory[1],
                                   .arena = run->memory[2],
                                   .inputs = run->memory[3],
                                   .scalars = (double *)(void *)run->memory[4],
                                   .keys = run->keys,
                                   .position = where.position,
                                   .step = where.step};
    machine_fill(run, values);
}

void machine_step(struct machine_run *run, int threads)
{
    run->step.pool = rnet_pool_new(threads);
    run->status = code_module()->run(run->code, &run->step);
    rnet_pool_free(run->step.pool);
}

void machine_close(struct machine_run *run)
{
    code_module()->release(run->code);
    for (int i = 0; i < 5; i++)
        free(run->memory[i]);
    free(run->keys);
}

double relative_error(const double *a, const double *b, int64_t count)
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

struct ir_program *parse_program(struct arena *arena, const char *source)
{
    const char *error, *broken;
    struct ir_program *p = ir_parse(arena, source, &error);

    if (!p || (broken = ir_verify(p))) {
        fprintf(stderr, "%s\n%s\n", source, p ? broken : error);
        exit(1);
    }
    return p;
}

/* The program with the precision in its first statement replaced. */
static const char *in_precision(struct arena *arena, const char *source, bool single)
{
    char *copy = arena_string(arena, source), *at = strstr(copy, "program ");

    for (size_t i = 0; at && at[i] && at[i] != '\n'; i++)
        if (!strncmp(at + i, " f32", 4) || !strncmp(at + i, " f64", 4)) {
            memcpy(at + i, single ? " f32" : " f64", 4);
            return copy;
        }
    fprintf(stderr, "no precision in the program\n");
    exit(1);
}

static double random_number(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(*state >> 11) * 0x1p-52 - 1;
}

/* Leaves of p by name from given, or random; rounded to f32, so that both precisions see the same numbers. */
static struct ir_values leaf_values(struct arena *arena, const struct ir_program *p, const struct ir_program *given,
                                    const struct ir_values *values)
{
    struct ir_values out = ir_values_new(arena, p);
    uint64_t state = 1;

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i], *from = given ? ir_find(given, t->name) : NULL;
        if (t->kind == IR_EQUATION || t->kind == IR_OPAQUE || t->kind == IR_DRAW)
            continue;
        int64_t count = ir_elements(t);
        for (int64_t k = 0; k < count; k++) {
            double number = from ? values->at[from->number][k] : random_number(&state);
            if (!from && t->whole)
                number = (double)t->low + floor((number * 0.5 + 0.5) * (double)(t->high - t->low + 1));
            out.at[i][k] = t->kind == IR_SCALAR ? number : (double)(float)number;
        }
    }
    return out;
}

static double compare(struct arena *arena, const char *name, const char *how, const struct machine_run *run,
                      const struct ir_tensor *t, const struct ir_tensor *oracle, const struct ir_values *expected,
                      double tolerance)
{
    double *found = machine_numbers(arena, run, t), *wanted = expected->at[oracle->number];
    double error = relative_error(found, wanted, ir_elements(oracle));

    if (oracle->whole && error > 0)
        error = INFINITY; /* whole numbers agree or they do not */

    if (error > tolerance) {
        fprintf(stderr, "%s, %s: %s: relative error %g, more than %g", name, how, t->name, error, tolerance);
        for (int64_t i = 0; i < ir_elements(oracle); i++)
            if (fabs(found[i] - wanted[i]) > tolerance * (fabs(wanted[i]) + 1e-3) ||
                isnan(found[i]) != isnan(wanted[i])) {
                fprintf(stderr, "; element %" PRId64 ": %.17g instead of %.17g", i, found[i], wanted[i]);
                break;
            }
        fprintf(stderr, "\n");
    }
    return error;
}

double worst_error_with(const struct code_options *options, const char *name, const char *source, bool single,
                        const struct ir_program *given, const struct ir_values *values, struct ir_run where,
                        double tolerance)
{
    struct arena *arena = arena_new();
    struct ir_program *oracle = parse_program(arena, in_precision(arena, source, single));
    struct ir_values start = leaf_values(arena, oracle, given, values),
                     expected = leaf_values(arena, oracle, given, values);
    struct text before = {0}; /* as the last was fused: what is the same again is not run again */
    double worst = 0;
    bool built = oracle->kernels.count > 0;

    ir_evaluate(oracle, &expected, where);
    for (int how = FUSE_NOTHING; how <= (built ? FUSE_NOTHING : FUSE_AS_LARGE); how++) {
        struct ir_program *p = parse_program(arena, in_precision(arena, source, single));
        struct machine_run run;
        char *first = NULL;
        const char *kind = arena_printf(arena, "%s, %s", single ? "f32" : "f64",
                                        built                 ? "kernels given"
                                        : how == FUSE_NOTHING ? "not fused"
                                        : how == FUSE_ALL     ? "fused"
                                                              : "fused as large");
        if (!built)
            fuse(p, (enum fusing)how);
        plan_memory(p, layout_new(arena), false);
        struct text now = {0};
        ir_print(&now, p);
        bool same_again = before.data && !strcmp(before.data, now.data);
        text_free(&before);
        before = now;
        if (same_again)
            continue;
        struct ir_values here = ir_values_new(arena, p);
        for (int i = 0; i < p->tensors.count; i++) {
            const struct ir_tensor *same = ir_find(oracle, p->tensors.at[i]->name);
            if (same && has_value(p->tensors.at[i]))
                here.at[i] = start.at[same->number];
        }
        machine_open(&run, p, &here, where, options);
        int64_t sizes[] = {p->parameter_bytes, p->state_bytes, p->arena_bytes}, total = sizes[0] + sizes[1] + sizes[2];
        for (int threads = 1; threads <= 3; threads++) {
            machine_fill(&run, &here);
            machine_step(&run, threads);
            char *all = arena_alloc(arena, (size_t)total + 1);
            memcpy(all, run.memory[0], (size_t)sizes[0]);
            memcpy(all + sizes[0], run.memory[1], (size_t)sizes[1]);
            memcpy(all + sizes[0] + sizes[1], run.memory[2], (size_t)sizes[2]);
            if (first && memcmp(first, all, (size_t)total)) {
                fprintf(stderr, "%s, %s: %d threads give other bits than one\n", name, kind, threads);
                exit(1);
            }
            first = all;
        }
        bool nonfinite = false;
        for (int i = 0; i < oracle->outputs.count; i++)
            nonfinite |= oracle->outputs.at[i].guard && !isfinite(expected.at[oracle->outputs.at[i].tensor->number][0]);
        if (run.status != (nonfinite ? RNET_NONFINITE : RNET_DONE)) {
            fprintf(stderr, "%s, %s: the step returned %d\n", name, kind, run.status);
            exit(1);
        }
        for (int i = 0; i < oracle->outputs.count; i++)
            worst = fmax(worst, compare(arena, name, kind, &run, p->outputs.at[i].tensor, oracle->outputs.at[i].tensor,
                                        &expected, tolerance));
        for (int i = 0; i < oracle->updates.count; i++)
            worst = fmax(worst, compare(arena, name, kind, &run, ir_find(p, oracle->updates.at[i].leaf->name),
                                        oracle->updates.at[i].leaf, nonfinite ? &start : &expected, tolerance));
        machine_close(&run);
    }
    text_free(&before);
    arena_free(arena);
    return worst;
}

double worst_error(const char *name, const char *source, bool single, const struct ir_program *given,
                   const struct ir_values *values, struct ir_run where, double tolerance)
{
    return worst_error_with(NULL, name, source, single, given, values, where, tolerance);
}
