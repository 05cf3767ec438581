/* train.c: rnetc train. The loop around the compiled step: batches in, parameters updated, log, reports, checkpoints.
 */
#include "train.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Notes in the checkpoint. */
#define FINISHED     "rnet.finished"
#define STEPS_BEFORE "rnet.steps_before"
#define PATIENCE     "rnet.patience"

static uint64_t total_steps(const struct trainer *t)
{
    if (t->training->steps)
        return (uint64_t)t->training->steps;
    return (uint64_t)ceil(t->training->epochs * (double)t->items / (double)t->training->batch);
}

/* `step` and `steps` of a phase are its own: what corrects a rule's start counts its steps. */
static void set_clock(struct trainer *t, uint64_t step)
{
    uint64_t own;

    t->turn = turn_at(t, step, &own);
    t->clock.step = (double)own;
    t->clock.steps = (double)steps_of_turn(t, t->turn, t->steps);
    t->clock.epoch = t->items ? (double)(step - 1) * (double)t->training->batch / (double)t->items : 0;
    t->clock.progress = (double)(step - 1) / (double)t->steps;
}

/* Whole epochs behind after `step` steps. */
static uint64_t epochs_done(const struct trainer *t, uint64_t step)
{
    return t->items ? step * (uint64_t)t->training->batch / (uint64_t)t->items : 0;
}

static bool save(struct trainer *t, struct rnet_error *error)
{
    struct checkpoint checkpoint = {.path = t->checkpoint_path,
                                    .source_hash = t->source_hash,
                                    .program_hash = t->program_hash,
                                    .step = t->step,
                                    .seed = t->training->seed,
                                    .block = t->block};
    const struct ir_program **programs = NEW_ARRAY(t->options->arena, const struct ir_program *, t->turn_count + 1);
    int count = turn_programs(t, programs);

    if (t->watcher)
        return true;
    if (t->blocks > 1) {
        store_note(t->store, FINISHED, t->ended ? "yes" : "no");
        store_note(t->store, STEPS_BEFORE, arena_printf(t->options->arena, "%" PRIu64, t->before));
    }
    if (t->training->patience)
        store_note(t->store, PATIENCE, arena_printf(t->options->arena, "%" PRId64 " %.17g", t->stale, t->best));
    return checkpoint_write(&checkpoint, programs, count, &t->memory, t->store, t->training->lets.at,
                            t->training->lets.count, error);
}

/* Which block and step a line of the log is of. */
static void log_place(struct trainer *t)
{
    rnet_log_whole(t->log, "step", (int64_t)t->step);
    rnet_log_string(t->log, "model", t->training->model);
    if (t->blocks > 1)
        rnet_log_whole(t->log, "block", t->block);
}

static void log_header(struct trainer *t)
{
    struct rnet_machine machine;

    rnet_machine(&machine);
    rnet_log_begin(t->log);
    rnet_log_string(t->log, "event", t->step ? "resume" : "start");
    rnet_log_string(t->log, "rnetc", RNET_VERSION);
    rnet_log_string(t->log, "file", t->options->files.at[0]);
    rnet_log_string(t->log, "source", t->source_hash);
    rnet_log_string(t->log, "program", t->program_hash);
    log_place(t);
    rnet_log_whole(t->log, "steps", (int64_t)t->steps);
    rnet_log_whole(t->log, "items", t->items);
    rnet_log_whole(t->log, "batch", t->training->batch);
    rnet_log_whole(t->log, "seed", (int64_t)t->training->seed);
    rnet_log_string(t->log, "precision", t->training->precision == IR_DOUBLE ? "f64" : "f32");
    rnet_log_whole(t->log, "threads", t->options->threads);
    if (t->options->no_fuse)
        rnet_log_whole(t->log, "no_fuse", 1);
    if (t->options->init)
        rnet_log_string(t->log, "init", t->options->init);
    rnet_log_string(t->log, "cpu", machine.cpu);
    rnet_log_string(t->log, "isa", machine.isa);
    rnet_log_string(t->log, "blas", rnet_blas_core());
    for (int i = 0; i < t->training->lets.count; i++) {
        char *key = arena_printf(t->options->arena, "let.%s", t->training->lets.at[i].name);

        rnet_log_string(t->log, key, t->training->lets.at[i].value);
    }
}

static bool log_step(struct trainer *t, double seconds, struct rnet_error *error)
{
    double value;

    rnet_log_begin(t->log);
    log_place(t);
    rnet_log_number(t->log, "epoch", t->clock.epoch);
    if (t->turn->phase->name)
        rnet_log_string(t->log, "phase", t->turn->phase->name);
    for (int i = 0; i < t->turn->compiled.program->outputs.count; i++) {
        const char *name = t->turn->compiled.program->outputs.at[i].name;

        if (instance_output(&t->turn->instance, name, &value))
            rnet_log_number(t->log, name, value);
    }
    if (t->clips) {
        rnet_log_whole(t->log, "clipped", t->was_clipped);
        rnet_log_number(t->log, "clip_rate", t->turn->window.clipped / t->turn->window.steps);
    }
    rnet_log_number(t->log, "seconds", seconds);
    return rnet_log_end(t->log, error);
}

/* After the last step of a run: what the plan said and what the process then has more than before it had the plan's memory. */
static bool log_memory(struct trainer *t, struct rnet_error *error)
{
    struct rnet_resident resident;

    rnet_resident(&resident);
    rnet_log_begin(t->log);
    rnet_log_string(t->log, "event", "memory");
    log_place(t);
    rnet_log_whole(t->log, "planned_bytes", account_sum(&t->account));
    rnet_log_whole(t->log, "used_bytes", resident.now - t->resident_before);
    rnet_log_whole(t->log, "process_bytes", resident.now);
    rnet_log_whole(t->log, "process_peak_bytes", resident.peak);
    return rnet_log_end(t->log, error);
}

static bool make_report(struct trainer *t, struct rnet_error *error)
{
    rnet_progress_end(t->progress);
    if (t->training->report)
        report_run(&t->reporter, t->step, scalar_value, &t->clock, &t->result);
    if (t->watcher)
        t->watcher->report(t->watcher->context, t);
    rnet_log_begin(t->log);
    rnet_log_string(t->log, "event", "report");
    log_place(t);
    if (t->training->report)
        rnet_log_string(t->log, "split", arena_printf(t->options->arena, "%s.%s", t->training->report->split.data, t->training->report->split.name));
    for (int i = 0; i < t->result.count; i++) {
        char *key = arena_printf(t->options->arena, "report.%s", t->result.at[i].name);

        rnet_log_number(t->log, key, t->result.at[i].value);
    }
    if (!rnet_log_end(t->log, error))
        return false;
    show_report(t);
    t->window_steps = t->window_seconds = 0;
    for (int i = 0; i < t->turn_count; i++)
        t->turns[i].window = (struct window){0};
    return true;
}

/* Counts reports without a lower loss. */
static void watch_patience(struct trainer *t)
{
    for (int i = 0; t->training->patience && i < t->result.count; i++) {
        double loss = t->result.at[i].value;

        if (strcmp(t->result.at[i].name, "loss"))
            continue;
        t->stale = loss < t->best ? 0 : t->stale + 1;
        t->best = loss < t->best ? loss : t->best;
        if (t->stale < t->training->patience)
            return;
        t->ended = true;
        if (!t->options->json && !t->options->quiet)
            printf("%" PRId64 " reports without a lower loss: %s ends at step %" PRIu64 "\n", t->stale,
                   t->training->model, t->step);
    }
}

/* After a step: is it the one that a report follows? */
static bool report_is_due(const struct trainer *t, uint64_t step)
{
    uint64_t every = (uint64_t)t->training->validate;

    return epochs_done(t, step) / every > epochs_done(t, step - 1) / every || step == t->steps;
}

static int interrupted(struct trainer *t, struct rnet_error *error)
{
    rnet_progress_end(t->progress);
    if (t->watcher)
        return RNET_INTERRUPTED;
    if (!save(t, error))
        return complain_error(error);
    complain(0, "interrupted after step %" PRIu64 "; `rnetc train %s --out %s --resume` goes on from there", t->step,
             t->options->files.at[0], t->folder);
    return RNET_INTERRUPTED;
}

static void note_step(struct trainer *t, double seconds)
{
    double clipped;

    instance_output(&t->turn->instance, "loss", &t->loss);
    t->has_penalty = instance_output(&t->turn->instance, "penalty", &t->penalty);
    t->has_norm = instance_output(&t->turn->instance, "gradient_norm", &t->norm);
    t->clips = instance_output(&t->turn->instance, "clipped_norm", &clipped);
    /* a clip rule scales by limit / norm, which may differ from 1 by rounding where it did nothing */
    t->was_clipped = t->clips && clipped < t->norm * (1 - 1e-5);
    t->turn->window.steps++;
    t->turn->window.loss += t->loss;
    t->turn->window.clipped += t->was_clipped;
    t->window_steps++;
    t->window_seconds += seconds;
    t->seconds += seconds;
    if (!t->fastest || seconds < t->fastest)
        t->fastest = seconds;
}

static int train_steps(struct trainer *t)
{
    int64_t batch = t->training->batch, *items = malloc((size_t)batch * sizeof *items);
    struct rnet_error error;
    int status = RNET_DONE;
    bool reported = false;

    if (!ahead_begin(t, &error))
        status = complain_error(&error);
    while (status == RNET_DONE && t->step < t->last_step && !t->ended) {
        uint64_t step = t->step + 1, position = t->step * (uint64_t)batch;
        double begin = rnet_seconds(), seconds, stop;
        int result;

        for (int64_t i = 0; t->items && i < batch; i++)
            items[i] = rnet_stream_item(t->stream, position + (uint64_t)i);
        set_clock(t, step);
        for (int i = 0; i < t->turn_count && report_is_due(t, step); i++)
            t->turns[i].probe_due = true;
        if (t->turn->probe_due && !probe_run(t, t->turn, items, position, step, &error)) {
            status = complain_error(&error);
            break;
        }
        if (t->turn->watch && !watch_look(t, t->turn, items, position, step, &error)) {
            status = complain_error(&error);
            break;
        }
        if (t->items && !batch_ready(t, items, &error)) {
            status = complain_error(&error);
            break;
        }
        if (t->watcher && t->watcher->before)
            t->watcher->before(t->watcher->context, t);
        result = instance_run(&t->turn->instance, position, step, scalar_value, &t->clock);
        seconds = rnet_seconds() - begin;
        if (t->watcher && t->watcher->after) {
            status = t->watcher->after(t->watcher->context, t, result, position, step);
            if (status != RNET_DONE)
                break;
        } else if (result == RNET_NONFINITE) {
            rnet_progress_end(t->progress);
            status = explain_nonfinite(t, position, step);
            break;
        }
        t->step = step;
        reported = false;
        note_step(t, seconds);
        if (t->watcher)
            t->watcher->step(t->watcher->context, t);
        if (!log_step(t, seconds, &error) || (t->turn->watch && !watch_step(t, t->turn, &error))) {
            status = complain_error(&error);
            break;
        }
        show_progress(t);
        if (instance_output(&t->turn->instance, "stop", &stop) && stop != 0)
            t->ended = true;
        if (report_is_due(t, step)) {
            reported = true;
            if (!make_report(t, &error))
                status = complain_error(&error);
            watch_patience(t);
            t->ended |= step == t->steps;
            if (status == RNET_DONE && !save(t, &error))
                status = complain_error(&error);
        }
        if (status == RNET_DONE && rnet_interrupt_asked() && !t->ended && step < t->last_step)
            status = interrupted(t, &error);
    }
    ahead_end(t);
    /* A block that a condition ended: the probes see what the next step would have seen. */
    if (status == RNET_DONE && !reported && t->ended) {
        uint64_t position = t->step * (uint64_t)batch;

        for (int64_t i = 0; t->items && i < batch; i++)
            items[i] = rnet_stream_item(t->stream, position + (uint64_t)i);
        set_clock(t, t->step + 1);
        if (!probe_run(t, t->turn, items, position, t->step + 1, &error))
            status = complain_error(&error);
        set_clock(t, t->step);
    }
    if (status == RNET_DONE && !log_memory(t, &error))
        status = complain_error(&error);
    if (status == RNET_DONE && !reported && (!make_report(t, &error) || !save(t, &error)))
        status = complain_error(&error);
    free(items);
    return status;
}

static void print_times(const struct trainer *t)
{
    show_compile_times(t->front_seconds, &t->turns[0].compiled.timing);
    fprintf(stderr, "time: reading data %.1f ms; compiling initialisation and report %.1f ms; initialising %.1f ms\n",
            1e3 * (t->turns[0].dataset.seconds + t->reporter.dataset.seconds), 1e3 * t->other_seconds,
            1e3 * t->initial_seconds);
    if (t->step > t->first_step)
        fprintf(stderr, "time: a step %.3f ms at least, %.3f ms on average over %" PRIu64 "\n", 1e3 * t->fastest,
                1e3 * t->seconds / (double)(t->step - t->first_step), t->step - t->first_step);
    for (int i = 0; i < t->turn_count; i++)
        if (t->turns[i].watch)
            watch_print_times(t->turns[i].watch);
}

static void print_json(const struct trainer *t)
{
    printf("{");
    if (t->blocks > 1)
        printf("\"model\": \"%s\", ", t->training->model);
    printf("\"step\": %" PRIu64 ", \"folder\": \"%s\", \"fastest_step_seconds\": %.9g", t->step, t->folder, t->fastest);
    for (int i = 0; i < t->result.count; i++) {
        printf(", \"%s\": ", t->result.at[i].name);
        if (isfinite(t->result.at[i].value))
            printf("%.9g", t->result.at[i].value);
        else
            printf("null");
    }
    printf("}\n");
}

/* Says which tensor is at fault before the memory is asked for: a size that nobody meant is mostly one number. */
static bool memory_suffices(const struct trainer *t, struct layout *layout)
{
    const double there = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE), giga = 1e9;
    const double wanted = (double)layout_parameter_bytes(layout) + (double)layout_state_bytes(layout);
    const struct ir_tensor *largest = NULL;
    const struct ir_origin *origin;
    struct text text = {0};

    if (wanted <= there)
        return true;
    for (int i = 0; i < t->turns[0].compiled.program->tensors.count; i++)
        if (!largest || ir_elements(t->turns[0].compiled.program->tensors.at[i]) > ir_elements(largest))
            largest = t->turns[0].compiled.program->tensors.at[i];
    for (int i = 0; i < largest->rank; i++)
        text_addf(&text, "%s%" PRId64, i ? ", " : "", largest->axes[i]->extent);
    origin = largest->origin;
    while (origin && origin->caller)
        origin = origin->caller;
    complain(0, "%s:%d:%d: this wants %.0f GB of memory, and the machine has %.0f GB; the largest tensor is %s[%s]",
             origin && origin->file ? origin->file : t->options->files.at[0], origin ? origin->line : 1,
             origin ? origin->column : 1, wanted / giga, there / giga, largest->name, text.data);
    text_free(&text);
    return false;
}

/* Everything before the first step; the order matters: memory needs every program planned. */
/* The programs of one phase. What is dumped is the first one's. */
static bool compile_turn(struct trainer *t, struct turn *turn, struct layout *layout, struct compile_options options,
                         struct rnet_error *error)
{
    struct compile_options quiet = {.fuse = options.fuse, .generate = true};
    struct ir_program *initial = turn->phase->initial;
    double begin;

    if (t->options->init && !t->given.tensors && !rnet_safetensors_read(t->options->init, &t->given, error))
        return false;
    if (!compile(&turn->compiled, turn->phase->step, layout, turn == t->turns ? options : quiet, error))
        return false;
    begin = rnet_seconds();
    if (!compile(&turn->initial, t->options->init ? given_parameters(initial, &t->given) : initial, layout, quiet, error) ||
        (turn->phase->probe && !compile(&turn->probe_compiled, turn->phase->probe, layout, quiet, error)))
        return false;
    if (turn->phase->watch && !watch_compile(t, turn, layout, quiet, error))
        return false;
    t->other_seconds += rnet_seconds() - begin;
    if (t->training->data &&
        !dataset_read(&turn->dataset, &turn->phase->split, turn->compiled.program, t->source, error))
        return false;
    if (turn->dataset.items)
        t->items = turn->dataset.items;
    return true;
}

/* A batch would hold an item twice. */
static int complain_of_batch(const struct trainer *t)
{
    struct diagnostics *d = diagnostics_new(t->options->arena);

    diagnose(d, "E1002", t->training->batch_span, "batch is %" PRId64 ", and %s.%s has %" PRId64 " item%s",
             t->training->batch, t->training->split.data, t->training->split.name, t->items, t->items == 1 ? "" : "s");
    diagnose_help(d, "batch = %" PRId64 " takes all of them in every step", t->items);
    program_wrong(t->options, d);
    return RNET_DATA;
}

static const char *hash_of_turns(const struct trainer *t)
{
    struct arena *arena = t->options->arena;
    const char *hash = program_hash(arena, t->turns[0].phase->step);

    for (int i = 1; i < t->turn_count; i++) {
        hash = arena_printf(arena, "%s%s*%lld", hash, program_hash(arena, t->turns[i].phase->step),
                            (long long)t->turns[i].phase->times);
        hash = arena_printf(arena, "%016" PRIx64, hash_bytes(hash, strlen(hash), 0));
    }
    return hash;
}

/* Steps, probes and reports take turns in one arena. */
static void memory_for_steps(struct trainer *t, struct layout *layout)
{
    const struct compiled **programs = NEW_ARRAY(t->options->arena, const struct compiled *, 3 * t->turn_count + 1);
    struct rnet_resident resident;
    int count = 0;

    for (int i = 0; i < t->turn_count; i++) {
        programs[count++] = &t->turns[i].compiled;
        if (t->turns[i].phase->probe)
            programs[count++] = &t->turns[i].probe_compiled;
        if (t->turns[i].watch)
            programs[count++] = watch_compiled(t->turns[i].watch);
    }
    if (t->training->report)
        programs[count++] = &t->report_compiled;
    t->account = (struct account){0};
    for (int i = 0; i < count; i++)
        account_add(&t->account, programs[i]);
    rnet_resident(&resident);
    t->resident_before = resident.now;
    memory_new(&t->memory, layout);
    memory_share(&t->memory, programs, count);
}

static int prepare(struct trainer *t, struct layout *layout)
{
    struct compile_options options = {.fuse = !t->options->no_fuse,
                                      .dump = t->options->dump,
                                      .code = {t->options->dump_llvm, t->options->dump_assembly},
                                      .generate = true};
    struct compile_options quiet = {.fuse = options.fuse, .generate = true};
    struct rnet_error error;
    double begin;

    if (!rnet_blas_open(&error))
        return complain_error(&error);
    t->source->seed = t->training->seed;
    t->source->precision = (int)t->training->precision;
    t->source->threads = t->options->threads;
    t->source->no_fuse = t->options->no_fuse;
    t->turn_count = t->training->phases.count;
    t->turns = NEW_ARRAY(t->options->arena, struct turn, t->turn_count);
    for (int i = 0; i < t->turn_count; i++)
        t->turns[i].phase = &t->training->phases.at[i];
    t->turn = t->turns;
    t->program_hash = hash_of_turns(t);
    t->items = 0;
    t->other_seconds = 0;
    for (int i = 0; i < t->turn_count; i++)
        if (!compile_turn(t, &t->turns[i], layout, options, &error))
            return complain_error(&error);
    begin = rnet_seconds();
    if (t->training->report && !compile(&t->report_compiled, t->training->report->chunk, layout, quiet, &error))
        return complain_error(&error);
    t->other_seconds += rnet_seconds() - begin;
    if (t->training->data && t->items == 0)
        return complain(RNET_DATA, "the split %s.%s is empty", t->training->split.data, t->training->split.name);
    if (t->training->data && t->items < t->training->batch)
        return complain_of_batch(t);
    if (t->training->report &&
        !dataset_read(&t->reporter.dataset, &t->training->report->split, t->report_compiled.program, t->source, &error))
        return complain_error(&error);
    t->steps = total_steps(t);
    t->last_step = t->steps;
    if (t->options->steps && (uint64_t)t->options->steps < t->before + t->steps)
        t->last_step = (uint64_t)t->options->steps - t->before;
    if (!memory_suffices(t, layout))
        return RNET_FAILED;
    memory_for_steps(t, layout);
    t->pool = rnet_pool_new(t->options->threads);
    for (int i = 0; i < t->turn_count; i++) {
        struct turn *turn = &t->turns[i];

        instance_new(&turn->instance, &turn->compiled, &t->memory, t->pool, t->training->seed);
        if (turn->phase->probe)
            instance_new(&turn->probe_instance, &turn->probe_compiled, &t->memory, t->pool, t->training->seed);
        if (turn->watch)
            watch_begin(t, turn);
    }
    if (t->training->report) {
        t->reporter.report = t->training->report;
        instance_new(&t->reporter.instance, &t->report_compiled, &t->memory, t->pool, t->training->seed);
    }
    t->stream = rnet_stream_new("batch", t->training->seed, t->items, t->training->lanes);
    return RNET_DONE;
}

/* --init: what the file has of the block's parameters; the others are drawn, or were trained by an earlier block. */
static bool take_given(struct trainer *t, const struct ir_program *const *programs, struct rnet_error *error)
{
    struct text others = {0};
    int found;
    bool fine = checkpoint_parameters(t->options->init, &t->given, programs, t->turn_count, &t->memory, t->store, &found,
                                      &others, error);

    if (fine && !found && others.data)
        fine = rnet_fail(error, RNET_DATA, "%s has none of the parameters of %s: %s", t->options->init, t->training->model,
                         others.data);
    if (fine)
        fprintf(stderr, "%s: %d parameter%s of %s%s%s\n", t->options->init, found, found == 1 ? "" : "s", t->training->model,
                others.data ? "; not there: " : "", others.data ? others.data : "");
    text_free(&others);
    return fine;
}

static int initialise(struct trainer *t)
{
    const struct ir_program **programs = NEW_ARRAY(t->options->arena, const struct ir_program *, t->turn_count + 1);
    int count = turn_programs(t, programs);
    double begin = rnet_seconds();
    struct instance instance;
    struct rnet_error error;

    if (t->options->init && !take_given(t, programs, &error))
        return complain_error(&error);
    set_clock(t, 1);
    for (int i = 0; i < t->turn_count; i++) {
        instance_new(&instance, &t->turns[i].initial, &t->memory, t->pool, t->training->seed);
        instance_run(&instance, 0, 1, scalar_value, &t->clock);
        instance_free(&instance);
        compiled_release(&t->turns[i].initial);
    }
    if (!t->resume && !memory_from_store(&t->memory, programs, count, t->store, t->training->rule_states.at,
                                         t->training->rule_states.count, "", &error))
        return complain_error(&error);
    t->best = INFINITY;
    if (t->resume) {
        struct checkpoint checkpoint = {
            .path = t->checkpoint_path, .program_hash = t->program_hash, .seed = t->training->seed};

        if (!checkpoint_resume(&checkpoint, programs, count, &t->memory, &error))
            return complain_error(&error);
        t->step = checkpoint.step;
        t->ended = t->step >= t->steps;
        if (t->training->patience && store_noted(t->store, PATIENCE)) {
            sscanf(store_noted(t->store, PATIENCE), "%" SCNd64 " %lg", &t->stale, &t->best);
            t->ended |= t->stale >= t->training->patience;
        }
    }
    t->first_step = t->step;
    t->initial_seconds = rnet_seconds() - begin;
    return RNET_DONE;
}

static void release(struct trainer *t)
{
    for (int i = 0; i < t->turn_count; i++) {
        struct turn *turn = &t->turns[i];

        if (turn->instance.arena)
            instance_free(&turn->instance);
        if (turn->probe_instance.arena)
            instance_free(&turn->probe_instance);
        if (turn->watch)
            watch_free(turn->watch);
        dataset_free(&turn->dataset);
    }
    if (t->reporter.instance.arena)
        instance_free(&t->reporter.instance);
    dataset_free(&t->reporter.dataset);
    if (t->stream)
        rnet_stream_free(t->stream);
    if (t->given.tensors)
        rnet_safetensors_free(&t->given);
    if (t->pool)
        rnet_pool_free(t->pool);
    memory_free(&t->memory);
    for (int i = 0; i < t->turn_count; i++) {
        compiled_release(&t->turns[i].compiled);
        compiled_release(&t->turns[i].initial);
        compiled_release(&t->turns[i].probe_compiled);
    }
    compiled_release(&t->report_compiled);
}

/* Of two runs that begin at once in one folder only one makes the file. */
static bool claim(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0666);

    if (file < 0) {
        if (errno == EEXIST)
            complain(0, "%s: another run has begun in this folder", path);
        else
            complain(0, "%s: %s", path, strerror(errno));
        return false;
    }
    close(file);
    return true;
}

/* What the block's report expects, of its last result; each that is missed is said. */
static int missed_expects(const struct trainer *t)
{
    const struct report *report = t->training->report;
    int missed = 0;

    for (int i = 0; report && i < report->expects.count; i++) {
        const struct expectation *e = report->expects.at[i];
        struct expect_outcome outcome;
        struct text text = {0};
        int line, column;

        report_expect(report, &t->result, e, &outcome);
        if (outcome.holds)
            continue;
        missed++;
        source_position(e->span.source, e->span.begin, &line, &column);
        text_add_missed(&text, &outcome);
        complain(0, "%s:%d:%d: expected %s%s%s: %s", e->span.source->path, line, column, e->title ? e->title : "",
                 e->title ? ": " : "", e->text, text.data);
        text_free(&text);
    }
    return missed;
}

static int train_block(struct trainer *t)
{
    const struct ir_program **programs;
    struct rnet_error error;
    int status = prepare(t, layout_new(t->options->arena));

    if (status == RNET_DONE)
        status = initialise(t);
    if (status == RNET_DONE) {
        char *path = arena_printf(t->options->arena, "%s/log.jsonl", t->folder);

        if (t->watcher)
            path = "/dev/null";
        else if (!t->log && !t->options->resume && !claim(path))
            return RNET_FAILED;
        if (!t->log)
            t->log = t->options->resume ? rnet_log_resume(path, (uint64_t)t->block, t->step, &error)
                                        : rnet_log_open(path, false, 0, &error);
        if (!t->log)
            return complain_error(&error);
        log_header(t);
        if (!rnet_log_end(t->log, &error))
            return complain_error(&error);
        if (!t->progress)
            t->progress = rnet_progress_new();
        if (t->step >= t->last_step)
            complain(0, "%s is at step %" PRIu64 " of %" PRIu64 " already", t->checkpoint_path, t->step, t->last_step);
        show_beginning(t);
        rnet_interrupt_install();
        status = train_steps(t);
        if (t->watcher || t->block + 1 < t->blocks) { /* who needs what was learnt */
            programs = NEW_ARRAY(t->options->arena, const struct ir_program *, t->turn_count + 1);
            memory_to_store(&t->memory, programs, turn_programs(t, programs), t->store, "");
        }
    }
    if (status == RNET_DONE && t->ended && !t->watcher)
        t->missed += missed_expects(t);
    if (t->options->time && t->turns && t->turns[0].compiled.code)
        print_times(t);
    if (status == RNET_DONE) {
        if (t->options->quiet)
            return status;
        if (t->options->json)
            print_json(t);
        else if (t->block + 1 == t->blocks || !t->ended)
            printf("checkpoint %s, log %s/log.jsonl\n", t->checkpoint_path, t->folder);
    }
    return status;
}

int find_place(struct trainer *t)
{
    struct rnet_error error;
    const char *block, *before, *finished;

    if (!store_read(t->store, t->checkpoint_path, &error))
        return complain_error(&error);
    block = store_noted(t->store, "rnet.train_block");
    before = store_noted(t->store, STEPS_BEFORE);
    finished = store_noted(t->store, FINISHED);
    t->block = block ? (int)strtol(block, NULL, 10) : 0;
    t->before = before ? strtoull(before, NULL, 10) : 0;
    if (t->block < 0 || t->block >= t->blocks)
        return complain(RNET_DATA, "%s: written in train block %d of a program; this one has %d", t->checkpoint_path,
                        t->block + 1, t->blocks);
    t->resume = true;
    if (finished && !strcmp(finished, "yes") && t->block + 1 < t->blocks) {
        const struct rnet_tensor *step = store_find(t->store, STORED_STEP);

        t->before += step ? (uint64_t) * (const int64_t *)step->data : 0;
        t->block++;
        t->resume = false;
    }
    return RNET_DONE;
}

/* Block after block, in one log. What one leaves goes to the next through the store. */
int train_blocks(struct trainer *first, struct training *const *trainings)
{
    struct trainer t = *first;
    int status = RNET_DONE;
    bool more = true;

    while (more && status == RNET_DONE) {
        if (t.options->steps && (uint64_t)t.options->steps <= t.before && t.block)
            break;
        t.training = trainings[t.block];
        t.result = (struct report_result){0};
        t.fractions = 0;
        status = train_block(&t);
        release(&t);
        more = t.ended && t.block + 1 < t.blocks;
        if (status == RNET_DONE && more && rnet_interrupt_asked())
            status = t.watcher ? RNET_INTERRUPTED : complain(RNET_INTERRUPTED,
                              "interrupted after %s; `rnetc train %s --out %s --resume` goes on from there",
                              t.training->model, t.options->files.at[0], t.folder);
        first->log = t.log;
        first->progress = t.progress;
        if (!t.result.count) {
            t.result.count = 1;
            t.result.at[0].name = "loss";
            t.result.at[0].value = t.loss;
        }
        first->result = t.result;
        first->missed = t.missed;
        first->block = t.block + 1;
        first->before = t.before + t.step;
        first->resume = false;
        if (more)
            t = *first;
    }
    if (first->log)
        rnet_log_close(first->log, &(struct rnet_error){0});
    if (first->progress)
        rnet_progress_free(first->progress);
    first->log = NULL;
    first->progress = NULL;
    return status;
}

int train_program(struct options *options, struct report_result *result)
{
    double begin = rnet_seconds();
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct trainer trainer = {.options = options, .unit = unit, .clock = {.unit = unit}};
    struct training **trainings;
    bool fine = true;
    int status;

    if (!unit)
        return RNET_SOURCE;
    if (options->resume && options->init)
        return complain(RNET_USAGE,
                        "--resume takes the parameters of the run, --init those of another file; choose one");
    if (unit_trainings(unit) == 0)
        return complain(RNET_SOURCE, "%s: there is no train block", options->files.at[0]);
    trainer.blocks = unit_trainings(unit);
    trainings = NEW_ARRAY(options->arena, struct training *, trainer.blocks);
    for (int i = 0; i < trainer.blocks; i++)
        fine = (trainings[i] = lower_training(unit, i, lower_options_of(options), d)) && fine;
    if (program_wrong(options, d) || !fine)
        return RNET_SOURCE;
    trainer.front_seconds = rnet_seconds() - begin;
    trainer.source_hash = file_hash(options->arena, options->files.at[0]);
    trainer.store = store_new(options->arena);
    trainer.source = data_source_new(options->arena, unit, trainer.store);
    status = choose_folder(&trainer);
    if (status == RNET_DONE && options->resume)
        status = find_place(&trainer);
    if (status == RNET_DONE)
        status = train_blocks(&trainer, trainings);
    *result = trainer.result;
    return status == RNET_DONE && trainer.missed ? RNET_FAILED : status;
}

int run_train(struct options *options)
{
    struct report_result result;

    return options->sweeps.count ? run_sweep(options) : train_program(options, &result);
}
