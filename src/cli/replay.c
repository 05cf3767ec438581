/* replay.c: rnetc replay: the steps of a run after its last checkpoint once more, to see where the numbers left the finite ones.

   What a step computes depends on the program, the settings, the seed and the step's number alone, so that the run need have kept
   nothing but its checkpoint and its log. The log says what was trained and how far it came. */
#include "nonfinite.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the log says of the run. */
struct record {
    const char *file, *init, *precision, *seed;
    bool no_fuse;
    LIST(struct setting) lets;
    LIST(const char *) programs;           /* hash of each block's, NULL: not said */
    int block;                             /* of the last step */
    uint64_t step;
    LIST(double) losses;                   /* of the steps of `block`; NAN: not said */
};
struct replay {
    struct options options;
    struct record record;
    struct arena *arena;
    char *parameters, *state;              /* before the step */
    uint64_t first;                        /* the first step that was repeated; 0: none yet */
    int block;                             /* of the last one, */
    uint64_t step;                         /* and which */
    uint64_t differs;                      /* the first whose loss is not the log's; 0: none */
    bool reached;                          /* where the run came to */
    bool wrong_program;
};

/* ---- the log ---- */

/* The text behind "KEY": on the line, without quotes; NULL: it has none. Quotes in strings are escaped, so that a key is no part of one. */
static const char *field_of(struct arena *arena, const char *line, const char *key)
{
    const char *at = strstr(line, arena_printf(arena, "\"%s\":", key));
    char *out, *to;

    if (!at || (at[-1] != ',' && at[-1] != '{'))
        return NULL;
    at += strlen(key) + 3;
    if (*at != '"')
        return arena_slice(arena, at, strcspn(at, ",}"));
    to = out = arena_string(arena, ++at);
    for (; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1] == 'u') {
            *to++ = (char)strtol(arena_slice(arena, at + 2, 4), NULL, 16);
            at += 5;
        } else {
            at += *at == '\\';
            *to++ = *at;
        }
    }
    *to = 0;
    return out;
}

static void read_lets(struct arena *arena, const char *line, struct record *record)
{
    record->lets.count = 0;
    for (const char *at = line; (at = strstr(at, ",\"let.")); at++) {
        const char *name = arena_slice(arena, at + 6, strcspn(at + 6, "\""));

        list_add(arena, record->lets,
                 (struct setting){.name = name, .value = field_of(arena, line, arena_printf(arena, "let.%s", name))});
    }
}

static void read_header(struct arena *arena, const char *line, int block, struct record *record)
{
    record->file = field_of(arena, line, "file");
    record->init = field_of(arena, line, "init");
    record->precision = field_of(arena, line, "precision");
    record->seed = field_of(arena, line, "seed");
    record->no_fuse = field_of(arena, line, "no_fuse") != NULL;
    read_lets(arena, line, record);
    while (record->programs.count <= block)
        list_add(arena, record->programs, NULL);
    record->programs.at[block] = field_of(arena, line, "program");
}

static int read_record(struct arena *arena, const char *path, struct record *record)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;

    if (!file)
        return complain(RNET_DATA, "%s: %s; replay wants the folder of a run, as `rnetc train` leaves it", path, strerror(errno));
    while (getline(&line, &room, file) >= 0) {
        struct arena *scratch = arena_new();
        const char *event = field_of(scratch, line, "event"), *block = field_of(scratch, line, "block");
        const char *step = field_of(scratch, line, "step"), *loss = field_of(scratch, line, "loss");
        int number = block ? (int)strtol(block, NULL, 10) : 0;

        if (event && (!strcmp(event, "start") || !strcmp(event, "resume")))
            read_header(arena, line, number, record);
        if (!event && step) {
            if (number != record->block)
                record->losses.count = 0;
            record->block = number;
            record->step = strtoull(step, NULL, 10);
            while (record->losses.count <= (int)record->step)
                list_add(arena, record->losses, NAN);
            record->losses.at[record->step] = loss && strcmp(loss, "null") ? strtod(loss, NULL) : NAN;
        }
        arena_free(scratch);
    }
    free(line);
    fclose(file);
    return record->file ? RNET_DONE : complain(RNET_DATA, "%s: there is no line with event start", path);
}

/* ---- step after step ---- */

static void see_step(void *context, const struct trainer *t)
{
    (void)context;
    (void)t;
}

static void see_before(void *context, const struct trainer *t)
{
    struct replay *r = context;
    size_t parameters = (size_t)layout_parameter_bytes(t->memory.layout), state = (size_t)layout_state_bytes(t->memory.layout);

    if (!r->parameters || r->block != t->block) {
        r->parameters = arena_alloc(r->arena, parameters + 1);
        r->state = arena_alloc(r->arena, state + 1);
        r->block = t->block;
        if (t->block < r->record.programs.count && r->record.programs.at[t->block])
            r->wrong_program |= strcmp(r->record.programs.at[t->block], t->program_hash) != 0;
    }
    if (!r->first)
        r->first = t->step + 1;
    memcpy(r->parameters, t->memory.parameters, parameters);
    memcpy(r->state, t->memory.state, state);
}

static bool left(const struct ir_tensor *leaf, const char *before, const char *after)
{
    if (leaf->storage != IR_F32 && leaf->storage != IR_F64)
        return false;
    for (int64_t i = 0; i < ir_elements(leaf); i++)
        if (!isfinite(stored_number(after + leaf->offset, leaf->storage, i)) &&
            isfinite(stored_number(before + leaf->offset, leaf->storage, i)))
            return true;
    return false;
}

/* The first parameter or state that the step made so. */
static const struct ir_tensor *left_in_update(const struct replay *r, const struct trainer *t)
{
    const struct ir_program *p = t->turn->compiled.program;

    for (int i = 0; i < p->updates.count; i++) {
        const struct ir_tensor *leaf = p->updates.at[i].leaf;
        bool parameter = leaf->region == IR_IN_PARAMETERS;

        if (left(leaf, parameter ? r->parameters : r->state, parameter ? t->memory.parameters : t->memory.state))
            return leaf;
    }
    return NULL;
}

/* ---- what is said ---- */

static void print_range(struct trace *trace, const struct ir_tensor *tensor)
{
    int64_t count = ir_elements(tensor), bad = 0;
    double low = INFINITY, high = -INFINITY;
    struct text shape = {0};

    for (int64_t i = 0; i < count; i++) {
        double value = trace_value(trace, tensor, i);

        bad += !isfinite(value);
        low = isfinite(value) && value < low ? value : low;
        high = isfinite(value) && value > high ? value : high;
    }
    for (int i = 0; i < tensor->rank; i++)
        text_addf(&shape, "%s%s: %" PRId64, i ? ", " : "[", tensor->axes[i]->name, tensor->axes[i]->extent);
    printf("    %-9s %s%s%s: ", trace_direction(trace, tensor), tensor->name, shape.data ? shape.data : "", shape.data ? "]" : "");
    if (!tensor->rank)
        printf("%s", number_text(trace->arena, trace_value(trace, tensor, 0)));
    else if (bad < count)
        printf("min %.6g, max %.6g", low, high);
    if (tensor->rank)
        printf("%s%" PRId64 " of %" PRId64 " not finite", bad < count ? ", " : "", bad, count);
    if (tensor->kind == IR_EQUATION && tensor->origin && tensor->origin->line)
        printf("  (%s:%d)", tensor->origin->file, tensor->origin->line);
    printf("\n");
    text_free(&shape);
}

/* Which item of the data the element belongs to, if it belongs to one. */
static void print_item(const struct trainer *t, const struct trace *trace, uint64_t position)
{
    const struct ir_tensor *tensor = trace->origin.tensor;
    int64_t rest = trace->origin.element;

    for (int i = tensor->rank - 1; i >= 0; i--) {
        if (tensor->axes[i]->batch && t->items)
            printf("  that is item %" PRId64 " of %s.%s\n",
                   rnet_stream_item(t->stream, position + (uint64_t)(rest % tensor->axes[i]->extent)),
                   t->training->split.data, t->training->split.name);
        rest /= tensor->axes[i]->extent;
    }
}

static void print_finding(const struct trainer *t, struct trace *trace, uint64_t position, uint64_t step)
{
    const struct ir_tensor *tensor = trace->origin.tensor;
    const char *operation;
    trace_reads reads;
    struct text text = {0};

    print_origin(stdout, trace, step);
    print_item(t, trace, position);
    if (tensor->kind != IR_EQUATION && tensor->kind != IR_OPAQUE) {
        printf("  a%s %s, which no equation of the step makes\n", strchr("i", trace_direction(trace, tensor)[0]) ? "n" : "",
               trace_direction(trace, tensor));
        return;
    }
    ir_print_tensor(&text, tensor);
    printf("  %s: %s\n", trace_direction(trace, tensor), text.data);
    text_free(&text);
    operation = trace_operation(trace);
    if (operation)
        printf("  %s\n", operation);
    reads = trace_read(trace);
    printf("  it read%s\n", reads.count ? "" : " nothing");
    for (int i = 0; i < reads.count; i++)
        print_range(trace, reads.at[i]);
}

static int explain_step(struct replay *r, struct trainer *t, const struct ir_tensor *leaf, uint64_t position, uint64_t step)
{
    struct again again;

    if (leaf) {
        memcpy(t->memory.parameters, r->parameters, (size_t)layout_parameter_bytes(t->memory.layout));
        memcpy(t->memory.state, r->state, (size_t)layout_state_bytes(t->memory.layout));
    }
    if (!step_again(t, position, step, r->parameters, r->state, &again)) {
        again_free(&again);
        return complain(RNET_FAILED, "step %" PRIu64 " cannot be compiled with one kernel an equation", step);
    }
    if (again.trace->origin.tensor)
        print_finding(t, again.trace, position, step);
    else
        printf("step %" PRIu64 ": %s is not finite with fused kernels, and is with one an equation\n", step,
               leaf ? leaf->name : "the loss or the gradient");
    if (leaf && again.trace->origin.tensor)
        printf("  %s holds it after the step, whose loss was finite still\n", leaf->name);
    again_free(&again);
    return RNET_NONFINITE;
}

static int see_after(void *context, struct trainer *t, int result, uint64_t position, uint64_t step)
{
    struct replay *r = context;
    const struct ir_tensor *leaf = result == RNET_NONFINITE ? NULL : left_in_update(r, t);
    double loss;

    if (r->wrong_program)
        return complain(RNET_DATA, "%s is not the program that the run trained (its equations hash to %s, the run's to %s)",
                        r->options.files.at[0], t->program_hash, r->record.programs.at[t->block]);
    r->step = step;
    if (result != RNET_NONFINITE && t->block == r->record.block && step < (uint64_t)r->record.losses.count &&
        isfinite(r->record.losses.at[step]) && instance_output(&t->turn->instance, "loss", &loss) &&
        loss != r->record.losses.at[step] && !r->differs) {
        r->differs = step;
        complain(0, "step %" PRIu64 ": the loss is %.9g here and %.9g in the log: the data, the machine or rnetc differ", step, loss,
                 r->record.losses.at[step]);
    }
    if (result == RNET_NONFINITE || leaf)
        return explain_step(r, t, leaf, position, step);
    if (t->block > r->record.block || (t->block == r->record.block && step > r->record.step)) {
        r->reached = true;
        return RNET_INTERRUPTED;
    }
    return RNET_DONE;
}

/* ---- the run ---- */

static int say_nothing_found(const struct replay *r)
{
    if (!r->first)
        printf("nothing to repeat: the checkpoint stands behind the last step; --fresh begins at the first\n");
    else if (r->first == r->step)
        printf("step %" PRIu64 " was repeated: its numbers are finite\n", r->step);
    else
        printf("steps %" PRIu64 " to %" PRIu64 " were repeated: all their numbers are finite\n", r->first, r->step);
    return RNET_DONE;
}

static int repeat(struct replay *r, const char *folder)
{
    struct options *options = &r->options;
    struct diagnostics *d;
    struct unit *unit = program_read(options, &d);
    struct watcher watcher = {r, see_step, see_step, see_before, see_after};
    struct trainer trainer = {.options = options, .unit = unit, .clock = {.unit = unit}, .watcher = &watcher, .folder = folder};
    struct training **trainings;
    int status = RNET_DONE;

    if (!unit)
        return RNET_SOURCE;
    trainer.blocks = unit_trainings(unit);
    trainings = NEW_ARRAY(r->arena, struct training *, trainer.blocks + 1);
    for (int i = 0; i < trainer.blocks; i++) {
        trainings[i] = lower_training(unit, i, lower_options_of(options), d);
        if (program_wrong(options, d) || !trainings[i])
            return RNET_SOURCE;
        for (int k = 0; k < trainings[i]->phases.count; k++)
            trainings[i]->phases.at[k].probe = NULL;
    }
    trainer.source_hash = "";
    trainer.store = store_new(r->arena);
    trainer.source = data_source_new(r->arena, unit, trainer.store);
    trainer.checkpoint_path = arena_printf(r->arena, "%s/checkpoint.safetensors", folder);
    if (options->fresh || access(trainer.checkpoint_path, F_OK))
        fprintf(stderr, "from the first step%s\n", options->fresh ? "" : ": the run left no checkpoint");
    else
        status = find_place(&trainer);
    if (trainer.resume || trainer.before)
        options->init = NULL;
    if (status == RNET_DONE)
        status = train_blocks(&trainer, trainings);
    return status == RNET_DONE || r->reached ? say_nothing_found(r) : status;
}

/* An infinity is what the program says itself. */
static bool can_be_set(const char *value)
{
    return value && strcmp(value, "inf") && strcmp(value, "-inf");
}

int run_replay(struct options *options)
{
    struct replay r = {.options = *options, .arena = options->arena};
    const char *folder = options->files.at[0];
    int status = read_record(r.arena, arena_printf(r.arena, "%s/log.jsonl", folder), &r.record);

    if (status != RNET_DONE)
        return status;
    if (options->files.count < 2 && access(r.record.file, R_OK))
        return complain(RNET_DATA, "%s: %s; that is what the run trained: say where it is now, rnetc replay %s FILE", r.record.file,
                        strerror(errno), folder);
    r.options.files.count = 0;
    list_add(r.arena, r.options.files, options->files.count > 1 ? options->files.at[1] : r.record.file);
    for (int i = 0; i < r.record.lets.count; i++)
        if (can_be_set(r.record.lets.at[i].value))
            list_add(r.arena, r.options.settings, r.record.lets.at[i]);
    r.options.seed_given = r.record.seed != NULL;
    r.options.seed = r.record.seed ? strtoull(r.record.seed, NULL, 10) : 0;
    r.options.precision = r.record.precision && !strcmp(r.record.precision, "f64") ? IR_DOUBLE : IR_SINGLE;
    r.options.init = r.record.init;
    r.options.no_fuse = r.record.no_fuse;
    r.options.quiet = true;
    return repeat(&r, folder);
}
