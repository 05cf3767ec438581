/* execute.c: a program of the language lowered, evaluated and compiled: steps of its phases in turn, then its report and what
   its model predicts. Inputs are made up here; no file is read. */
#include "execute.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 2 };

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool failed(struct verdict *out, const char *kind, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(out->message, sizeof out->message, format, arguments);
    va_end(arguments);
    snprintf(out->kind, sizeof out->kind, "%s", kind);
    out->passed = false;
    return false;
}

bool verified(const struct ir_program *p, const char *pass, struct verdict *out)
{
    const char *broken = ir_verify(p);
    char kind[60];

    if (!broken)
        return true;
    snprintf(kind, sizeof kind, "verify after %s", pass);
    return failed(out, kind, "program %s: %s", p->name, broken);
}

/* ---- lowering ---- */

/* How long the first words of a message are, but for a name that it may begin with. */
static size_t error_begins(const char *message)
{
    size_t end = 0;

    for (int words = 0; message[end] && message[end] != '\n' && words < 6; end++)
        words += message[end] == ' ';
    return end < 50 ? end : 50;
}

static bool diagnosed(struct diagnostics *d, struct verdict *out)
{
    struct text text = {0};
    const char *code;
    char kind[70] = "sema";

    if (!diagnostics_errors(d))
        return false;
    diagnostics_print(d, &text, false);
    code = text.data ? strstr(text.data, "[E") : NULL;
    if (code)
        snprintf(kind, sizeof kind, "sema %.5s%.*s", code + 1, (int)error_begins(code + 7), code + 7);
    failed(out, kind, "%s", text.data ? text.data : "no message");
    text_free(&text);
    return true;
}

struct unit *unit_open(struct arena *arena, const char *path, struct verdict *out)
{
    struct diagnostics *d = diagnostics_new(arena);
    double begin = cpu_seconds();
    struct unit *unit = unit_read(arena, path, NULL, 0, d);

    out->seconds[TIME_FRONT] += cpu_seconds() - begin;
    if (diagnosed(d, out))
        return NULL;
    if (!unit || !unit_trainings(unit)) {
        failed(out, "sema", "%s", unit ? "no training" : "not read");
        return NULL;
    }
    return unit;
}

static void add_job(struct work *work, enum job_kind kind, const char *name, int number, struct ir_program *program,
                    struct ir_program *initial)
{
    if (program)
        list_add(work->arena, work->jobs, (struct job){kind, name, number, program, initial});
}

bool work_new(struct work *work, struct unit *unit, int block, bool single, unsigned checks, struct verdict *out)
{
    uint64_t seed = SEED;
    struct lower_options options = {.precision = single ? IR_SINGLE : IR_DOUBLE, .seed = &seed};
    struct diagnostics *d;
    struct prediction *prediction = NULL;
    double begin = cpu_seconds();

    *work = (struct work){.arena = arena_new(), .unit = unit, .verdict = out};
    d = diagnostics_new(work->arena);
    work->training = lower_training(unit, block, options, d);
    if (!diagnostics_errors(d) && work->training && checks & CHECK_PREDICTION)
        prediction = lower_prediction(unit, work->training->model, options, d);
    out->seconds[TIME_FRONT] += cpu_seconds() - begin;
    if (diagnosed(d, out))
        return false;
    if (!work->training)
        return failed(out, "sema", "no training");
    for (int i = 0; i < work->training->phases.count; i++) {
        const struct phase *phase = &work->training->phases.at[i];
        const char *name = phase->name ? phase->name : "step";
        add_job(work, JOB_PROBE, arena_printf(work->arena, "probe of %s", name), i, phase->probe, phase->initial);
        add_job(work, JOB_STEP, name, i, phase->step, phase->initial);
    }
    if (work->training->report)
        add_job(work, JOB_REPORT, "report", -1, work->training->report->chunk, NULL);
    if (prediction)
        add_job(work, JOB_PREDICTION, "prediction", -1, prediction->program, NULL);
    for (int i = 0; i < work->jobs.count; i++)
        if (!verified(work->jobs.at[i].program, "sema", out) ||
            (work->jobs.at[i].initial && !verified(work->jobs.at[i].initial, "sema", out)))
            return false;
    return true;
}

void work_free(struct work *work)
{
    if (work->arena)
        arena_free(work->arena);
    work->arena = NULL;
}

/* ---- leaves ---- */

double clock_scalar(void *context, const char *name)
{
    const struct clock *clock = context;
    double steps = (double)clock->work->training->steps, value;

    if (!strcmp(name, "step"))
        return clock->step;
    if (!strcmp(name, "steps"))
        return steps;
    if (!strcmp(name, "epoch"))
        return (clock->step - 1) / 4;
    if (!strcmp(name, "progress"))
        return (clock->step - 1) / steps;
    if (unit_let(clock->work->unit, name, &value))
        return value;
    bug("no value for the scalar %s", name);
}

double input_number(const struct ir_tensor *t, int step, int64_t element)
{
    uint64_t bits = hash_bytes(&element, sizeof element, hash_bytes(t->name, strlen(t->name), (uint64_t)step));
    double number = (double)(int64_t)(bits >> 40) * 0x1p-23 - 1;

    if (!t->whole)
        return number;
    return (double)t->low + floor((number * 0.5 + 0.5) * (double)(t->high - t->low + 1));
}

bool outlives_step(const struct ir_tensor *t)
{
    return t->kind == IR_PARAMETER || t->kind == IR_STATE;
}

/* What two phases share begins as the first one has it; what only a report or a prediction has is made up. */
struct map *first_values(const struct work *work)
{
    struct map *by_name = map_new(work->arena);
    struct clock clock = {work, 1};

    for (int j = 0; j < work->jobs.count; j++) {
        const struct ir_program *initial = work->jobs.at[j].initial;
        if (!initial || work->jobs.at[j].kind != JOB_STEP)
            continue;
        struct ir_values values = ir_values_new(work->arena, initial);
        for (int i = 0; i < initial->tensors.count; i++)
            if (initial->tensors.at[i]->kind == IR_SCALAR)
                values.at[i][0] = clock_scalar(&clock, initial->tensors.at[i]->name);
        ir_evaluate(initial, &values, (struct ir_run){.seed = SEED, .step = 1});
        for (int i = 0; i < initial->tensors.count; i++) {
            const struct ir_tensor *t = initial->tensors.at[i];
            if (!outlives_step(t) || map_get(by_name, t->name))
                continue;
            for (int64_t k = 0; k < ir_elements(t); k++)
                values.at[i][k] = (double)(float)values.at[i][k];
            map_put(by_name, t->name, values.at[i]);
        }
    }
    for (int j = 0; j < work->jobs.count; j++)
        for (int i = 0; i < work->jobs.at[j].program->tensors.count; i++) {
            const struct ir_tensor *t = work->jobs.at[j].program->tensors.at[i];
            if (!outlives_step(t) || map_get(by_name, t->name))
                continue;
            double *numbers = NEW_ARRAY(work->arena, double, ir_elements(t));
            for (int64_t k = 0; k < ir_elements(t); k++)
                numbers[k] = input_number(t, 0, k);
            map_put(by_name, t->name, numbers);
        }
    return by_name;
}

/* ---- what is run, in order ---- */

/* A job's next run: at which step, with which inputs. */
struct turn {
    struct job *job;
    int number; /* of the job */
    double step;
    uint64_t position;
    const char *label;
};
typedef LIST(struct turn) turns;

static turns all_turns(const struct work *work)
{
    turns list = {0};
    uint64_t position = 0;

    for (int round = 1; round <= ROUNDS; round++)
        for (int j = 0; j < work->jobs.count; j++) {
            struct job *job = &work->jobs.at[j];
            if (job->kind != JOB_STEP && job->kind != JOB_PROBE)
                continue;
            list_add(work->arena, list,
                     (struct turn){job, j, round, position, arena_printf(work->arena, "%s %d", job->name, round)});
            position += job->kind == JOB_STEP ? (uint64_t)work->training->batch : 0;
        }
    for (int j = 0; j < work->jobs.count; j++)
        if (work->jobs.at[j].kind == JOB_REPORT || work->jobs.at[j].kind == JOB_PREDICTION)
            list_add(work->arena, list, (struct turn){&work->jobs.at[j], j, ROUNDS, 0, work->jobs.at[j].name});
    return list;
}

static void record(struct arena *arena, struct outcome *outcome, const struct ir_tensor *t, const char *name,
                   const double *numbers)
{
    struct result *result = NEW(arena, struct result);

    *result = (struct result){arena_string(arena, name), t->whole, ir_elements(t),
                              arena_copy(arena, numbers, (size_t)ir_elements(t) * sizeof *numbers)};
    list_add(arena, outcome->results, *result);
    if (!outcome->by_name)
        outcome->by_name = map_new(arena);
    map_put(outcome->by_name, result->name, result);
}

/* ---- the evaluator ---- */

void run_evaluator(const struct work *work, struct arena *keep, double moved, struct outcome *outcome)
{
    double begin = cpu_seconds();
    struct map *now = first_values(work);
    turns list = all_turns(work);
    struct map *seen = map_new(work->arena);

    for (int n = 0; n < list.count; n++) {
        const struct turn *turn = &list.at[n];
        const struct ir_program *p = turn->job->program;
        struct clock clock = {work, turn->step};
        struct ir_values values = ir_values_new(work->arena, p);
        for (int i = 0; i < p->tensors.count; i++) {
            const struct ir_tensor *t = p->tensors.at[i];
            if (t->kind == IR_SCALAR)
                values.at[i][0] = clock_scalar(&clock, t->name);
            for (int64_t k = 0; t->kind == IR_INPUT && k < ir_elements(t); k++)
                values.at[i][k] = input_number(t, (int)turn->step, k) *
                                  (t->whole ? 1 : 1 + moved * input_number(t, 99, k));
            if (!outlives_step(t))
                continue;
            const double *from = map_get(now, t->name);
            bool first = moved != 0 && !t->whole && !map_get(seen, t->name);
            for (int64_t k = 0; k < ir_elements(t); k++)
                values.at[i][k] = from[k] * (first ? 1 + moved * input_number(t, 99, k) : 1);
            map_put(seen, t->name, values.at[i]);
            map_put(now, t->name, values.at[i]);
        }
        ir_evaluate(p, &values, (struct ir_run){SEED, turn->position, (uint64_t)turn->step});
        for (int i = 0; i < p->outputs.count; i++) {
            const struct ir_tensor *t = p->outputs.at[i].tensor;
            outcome->nonfinite |= p->outputs.at[i].guard && !isfinite(values.at[t->number][0]);
            record(keep, outcome, t, arena_printf(work->arena, "%s: %s", turn->label, p->outputs.at[i].name),
                   values.at[t->number]);
        }
        if (outcome->nonfinite)
            return;
        if (n + 1 < list.count && list.at[n + 1].job->kind != JOB_REPORT && list.at[n + 1].job->kind != JOB_PREDICTION)
            continue;
        if (turn->job->kind != JOB_STEP && turn->job->kind != JOB_PROBE)
            continue;
        /* After the last step. */
        for (int j = 0; j < work->jobs.count; j++)
            for (int i = 0; work->jobs.at[j].kind == JOB_STEP && i < work->jobs.at[j].program->tensors.count; i++) {
                const struct ir_tensor *t = work->jobs.at[j].program->tensors.at[i];
                if (outlives_step(t))
                    record(keep, outcome, t, t->name, map_get(now, t->name));
            }
    }
    work->verdict->seconds[TIME_EVALUATOR] += cpu_seconds() - begin;
}

/* ---- compiled ---- */

static bool build_one(struct compiled *c, struct ir_program *p, struct layout *layout, enum fusing how, bool quick,
                      struct verdict *out)
{
    struct rnet_error error;
    struct code_timing timing;
    const char *wrong;

    *c = (struct compiled){.api = codegen_open(&error)};
    if (!c->api)
        return failed(out, "module", "%s", error.message);
    p = simplify(p);
    if (!verified(p, "simplify", out))
        return false;
    p = share(p);
    if (!verified(p, "share", out))
        return false;
    p = split_schedule(p, &c->schedule);
    if (!verified(p, "schedule", out) || !verified(c->schedule, "schedule", out))
        return false;
    fuse(p, how);
    if (!verified(p, "fuse", out))
        return false;
    plan_memory(p, layout, false);
    if (!verified(p, "plan", out))
        return false;
    c->program = p;
    c->code = c->api->compile(p, &(struct code_options){.quick = quick, .threads = 1}, &timing, &wrong);
    return c->code || failed(out, "codegen", "program %s: %s", p->name, wrong);
}

bool build_new(struct build *build, const struct work *work, enum fusing how, bool quick, struct verdict *out)
{
    double begin = cpu_seconds();

    build->layout = layout_new(work->arena);
    build->compiled = NEW_ARRAY(work->arena, struct compiled, work->jobs.count);
    for (int j = 0; j < work->jobs.count; j++)
        if (!build_one(&build->compiled[j], work->jobs.at[j].program, build->layout, how, quick, out))
            return false;
    out->seconds[quick ? TIME_QUICK : TIME_USERS] += cpu_seconds() - begin;
    return true;
}

void build_release(struct build *build, const struct work *work)
{
    for (int j = 0; build->compiled && j < work->jobs.count; j++)
        compiled_release(&build->compiled[j]);
    build->compiled = NULL;
}

static double *stored(struct arena *arena, const struct instance *in, const struct ir_tensor *t)
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
        if (t->kind != IR_INPUT || t->region == IR_NOWHERE)
            continue;
        double *numbers = NEW_ARRAY(arena, double, ir_elements(t));
        for (int64_t k = 0; k < ir_elements(t); k++)
            numbers[k] = input_number(t, step, k);
        put(in, t, numbers);
    }
}

static void fill_kept(struct instance *in, const struct map *start)
{
    const struct ir_program *p = in->compiled->program;

    for (int i = 0; i < p->tensors.count; i++)
        if (outlives_step(p->tensors.at[i]))
            put(in, p->tensors.at[i], map_get(start, p->tensors.at[i]->name));
}

static void record_kept(const struct work *work, struct arena *keep, const struct instance *instances,
                        struct outcome *outcome)
{
    for (int j = 0; j < work->jobs.count; j++) {
        const struct ir_program *p = instances[j].compiled->program;
        for (int i = 0; work->jobs.at[j].kind == JOB_STEP && i < p->tensors.count; i++)
            if (outlives_step(p->tensors.at[i]) && p->tensors.at[i]->region != IR_NOWHERE)
                record(keep, outcome, p->tensors.at[i], p->tensors.at[i]->name,
                       stored(work->arena, &instances[j], p->tensors.at[i]));
    }
}

void run_build(const struct build *build, const struct work *work, struct arena *keep, int threads,
               struct outcome *outcome)
{
    double begin = cpu_seconds();
    struct memory memory;
    struct instance *instances = NEW_ARRAY(work->arena, struct instance, work->jobs.count);
    struct rnet_pool *pool = rnet_pool_new(threads);
    struct map *start = first_values(work);
    turns list = all_turns(work);
    bool steps = true;

    memory_new(&memory, build->layout);
    for (int j = 0; j < work->jobs.count; j++) {
        instance_new(&instances[j], &build->compiled[j], &memory, pool, SEED);
        fill_kept(&instances[j], start);
    }
    for (int n = 0; n < list.count && !outcome->nonfinite; n++) {
        const struct turn *turn = &list.at[n];
        struct instance *instance = &instances[turn->number];
        struct clock clock = {work, turn->step};
        bool step = turn->job->kind == JOB_STEP || turn->job->kind == JOB_PROBE;
        if (steps && !step)
            record_kept(work, keep, instances, outcome);
        steps = step;
        fill_inputs(instance, (int)turn->step, work->arena);
        outcome->nonfinite =
            instance_run(instance, turn->position, (uint64_t)turn->step, clock_scalar, &clock) != RNET_DONE;
        const struct ir_program *p = instance->compiled->program;
        for (int i = 0; i < p->outputs.count; i++)
            record(keep, outcome, p->outputs.at[i].tensor,
                   arena_printf(work->arena, "%s: %s", turn->label, p->outputs.at[i].name),
                   stored(work->arena, instance, p->outputs.at[i].tensor));
    }
    if (steps && !outcome->nonfinite)
        record_kept(work, keep, instances, outcome);
    for (int j = 0; j < work->jobs.count; j++)
        instance_free(&instances[j]);
    memory_free(&memory);
    rnet_pool_free(pool);
    work->verdict->seconds[TIME_RUN] += cpu_seconds() - begin;
}
