/* watch.c: rnetc train --watch. A program beside the step looks at gradients, updates and units before some of the steps, at the
   parameters and the batch that the step has; it writes nothing that a step reads, so the run has the same bits with it and without.
   What breaks a rule is said once a train block, with what to try; everything that was seen goes to the log. */
#include "watch.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A look costs about one step: at steps 1, 2, 4, .. of a phase up to this one, then at every so many. */
#define LOOKS_APART 128
enum {
    ENOUGH = 16,      /* elements by which a unit is judged */
    FIRST_STEPS = 16, /* whose gradient is the measure of what follows */
    CLIP_STEPS = 64   /* over which the rate of clipping is taken */
};
#define FLAT_VARIANCE 1e-2 /* of a normalised unit: by itself it has 1, times its gain squared */

/* value: what is compared; looks: so many in a row must break it, for what a step mends is no fault. */
static const struct rule {
    const char *name, *value, *advice;
    double threshold;
    bool below;       /* broken below the threshold, else above */
    int looks;
} rules[RULES] = {
    [RULE_DEAD] = {"dead units", "the share of units that are 0 for the whole batch",
                   "lower the optimizer's rate, begin with biases at 0, or take a function that is not flat on one side", 0.5, false, 2},
    [RULE_COLLAPSED] = {"collapsed units", "the share of normalised units whose variance is below 0.01",
                        "what is normalised hardly varies: give what comes before it larger values, or lower the number added under the root",
                        0.25, false, 2},
    [RULE_NO_GRADIENT] = {"no gradient", "the share of the gradient that is not 0",
                          "look for dead units behind it, and for first values of 0 in what it is multiplied with", 0, false, 2},
    [RULE_LARGE_UPDATE] = {"large updates", "the norm of the update over that of the parameter",
                           "lower the optimizer's rate", 1e-1, false, 2},
    [RULE_SMALL_UPDATE] = {"small updates", "the norm of the update over that of the parameter",
                           "raise the optimizer's rate, or look for what makes the gradient here so small", 1e-6, true, 2},
    [RULE_EXPLODING] = {"exploding gradient", "the norm of the gradient over that of the first steps",
                        "lower the optimizer's rate, or bound the gradient: clip = clip_norm(1)", 100, false, 1},
    [RULE_CLIPPED] = {"clipped", "the share of the last steps that were clipped",
                      "raise the limit, or lower the rate and clip nothing: a limit that always holds only scales the rate", 0.5, false, 2},
};

struct watch {
    struct compiled compiled;
    struct instance instance;
    watched_list parameters, values;
    bool *said;                /* by rule; of the train block */
    double first_norms;        /* sum of logarithms */
    int first_count;
    int clip_steps, clip_count, clip_streak;
    double seconds, fastest;   /* of looks */
    int looks;
};

/* ---- what is made ---- */

bool watch_compile(struct trainer *t, struct turn *turn, struct layout *layout, struct compile_options options,
                   struct rnet_error *error)
{
    struct watch *watch = turn->watch = NEW(t->options->arena, struct watch);

    watch->said = turn == t->turns ? NEW_ARRAY(t->options->arena, bool, RULES) : t->turns->watch->said;
    watch_instruments(t->options->arena, turn->phase, &watch->parameters, &watch->values);
    return compile(&watch->compiled, turn->phase->watch, layout, options, error);
}

const struct compiled *watch_compiled(const struct watch *watch)
{
    return &watch->compiled;
}

void watch_begin(struct trainer *t, struct turn *turn)
{
    instance_new(&turn->watch->instance, &turn->watch->compiled, &t->memory, t->pool, t->training->seed);
}

void watch_free(struct watch *watch)
{
    if (watch->instance.arena)
        instance_free(&watch->instance);
    compiled_release(&watch->compiled);
}

void watch_print_times(const struct watch *watch)
{
    if (watch->looks)
        fprintf(stderr, "time: a look %.3f ms at least, %.3f ms on average over %d, one in %d steps after the first\n",
                1e3 * watch->fastest, 1e3 * watch->seconds / watch->looks, watch->looks, LOOKS_APART);
}

/* ---- rules ---- */

/* Something that broke a rule at this step, and how many others did. */
struct breach {
    enum watch_rule rule;
    const char *name, *file;
    int line, others;
    double value;
};

static struct breach at_span(const struct trainer *t, enum watch_rule rule, struct span span, double value)
{
    struct breach b = {.rule = rule, .name = t->training->model, .file = t->options->files.at[0], .value = value};
    int column;

    if (span.source) {
        b.file = span.source->path;
        source_position(span.source, span.begin, &b.line, &column);
    }
    return b;
}

static void log_beginning(struct trainer *t, uint64_t step)
{
    rnet_log_begin(t->log);
    rnet_log_string(t->log, "event", "watch");
    rnet_log_whole(t->log, "step", (int64_t)step);
    rnet_log_string(t->log, "model", t->training->model);
    if (t->blocks > 1)
        rnet_log_whole(t->log, "block", t->block);
    if (t->turn->phase->name)
        rnet_log_string(t->log, "phase", t->turn->phase->name);
}

static bool say(struct trainer *t, struct watch *watch, const struct breach *b, uint64_t step, struct rnet_error *error)
{
    const struct rule *rule = &rules[b->rule];
    const char *others = b->others ? arena_printf(t->options->arena, " (and %d more)", b->others) : "";

    if (watch->said[b->rule])
        return true;
    watch->said[b->rule] = true;
    rnet_progress_end(t->progress);
    fprintf(stderr, "%s:%d: step %" PRIu64 ": %s: %s%s: %s is %.3g, %s %g; %s\n", b->file ? b->file : t->options->files.at[0],
            b->line ? b->line : 1, step, rule->name, b->name, others, rule->value, b->value,
            rule->below ? "below" : rule->threshold > 0 ? "above" : "no more than", rule->threshold, rule->advice);
    log_beginning(t, step);
    rnet_log_string(t->log, "rule", rule->name);
    rnet_log_string(t->log, "at", b->name);
    rnet_log_string(t->log, "place", arena_printf(t->options->arena, "%s:%d", b->file ? b->file : "", b->line));
    rnet_log_number(t->log, "value", b->value);
    rnet_log_number(t->log, "threshold", rule->threshold);
    rnet_log_whole(t->log, "others", b->others);
    rnet_log_string(t->log, "advice", rule->advice);
    return rnet_log_end(t->log, error);
}

/* Counts looks in a row; the first thing that has enough of them is what is said. */
static void judge(struct breach *breaches, enum watch_rule rule, struct watched *v, bool broken, double value)
{
    struct breach *b = &breaches[rule];

    v->streak[rule] = broken ? v->streak[rule] + 1 : 0;
    if (v->streak[rule] < rules[rule].looks)
        return;
    if (b->name) {
        b->others++;
        return;
    }
    *b = (struct breach){.rule = rule, .name = v->name, .file = v->file, .line = v->line, .value = value};
}

/* ---- looks ---- */

struct look {
    struct trainer *t;
    struct watch *watch;
    struct breach breaches[RULES];
};

static double measured(const struct watch *watch, const char *what, int number)
{
    char name[40];
    double value = NAN;

    snprintf(name, sizeof name, "%s.%d", what, number);
    if (!instance_output(&watch->instance, name, &value))
        bug("no output %s", name);
    return value;
}

static void log_measured(struct look *look, const struct watched *v, const char *what, double value)
{
    rnet_log_number(look->t->log, arena_printf(look->t->options->arena, "%s.%s", v->name, what), value);
}

/* What began at 0 or grows with the rate has no size yet that an update could be measured by: 1 in the first steps. */
static double largest_update(double own)
{
    return fmax(rules[RULE_LARGE_UPDATE].threshold, fmin(1, 4 / own));
}

static void look_at_parameter(struct look *look, int number)
{
    struct watched *v = &look->watch->parameters.at[number];
    double weight = sqrt(measured(look->watch, "weight", number)), gradient = sqrt(measured(look->watch, "gradient", number));
    double update = sqrt(measured(look->watch, "update", number)), reached = measured(look->watch, "reached", number);
    double ratio = update / weight;
    bool judged = v->rank >= 2 && weight > 0 && isfinite(ratio);

    log_measured(look, v, "weight", weight);
    log_measured(look, v, "gradient", gradient);
    log_measured(look, v, "update", update);
    log_measured(look, v, "zeros", 1 - reached / (double)v->elements);
    judge(look->breaches, RULE_NO_GRADIENT, v, v->rank && reached == 0, reached / (double)v->elements);
    judge(look->breaches, RULE_LARGE_UPDATE, v, judged && ratio > largest_update(look->t->clock.step), ratio);
    /* Towards the end a schedule makes the rate small on purpose; what has no gradient is said above. */
    judge(look->breaches, RULE_SMALL_UPDATE, v,
          judged && reached > 0 && look->t->clock.progress < 0.5 && ratio < rules[RULE_SMALL_UPDATE].threshold, ratio);
}

/* Of a tensor of numbers, the share that is at most this; *mean: of all. */
static double share_up_to(const struct watch *watch, const char *what, int number, double most, double *mean)
{
    char name[40];
    const struct ir_tensor *tensor;
    const void *data;
    int64_t elements, count = 0;

    snprintf(name, sizeof name, "%s.%d", what, number);
    tensor = program_output(watch->compiled.program, name);
    data = instance_data(&watch->instance, tensor);
    if (!data)
        bug("output %s is not stored", name);
    elements = ir_elements(tensor);
    *mean = 0;
    for (int64_t i = 0; i < elements; i++) {
        double value = stored_number(data, tensor->storage, i);

        count += value <= most;
        *mean += value / (double)elements;
    }
    return (double)count / (double)elements;
}

static void look_at_value(struct look *look, int number)
{
    struct watched *v = &look->watch->values.at[number];
    double mean, dead, flat;

    flat = share_up_to(look->watch, "spread", number, FLAT_VARIANCE * (double)v->per_spread, &mean);
    log_measured(look, v, "variance", mean / (double)v->per_spread);
    if (v->chosen) {
        dead = share_up_to(look->watch, "most", number, 0, &mean);
        log_measured(look, v, "dead", dead);
        judge(look->breaches, RULE_DEAD, v, v->per_unit >= ENOUGH && dead > rules[RULE_DEAD].threshold, dead);
    }
    if (!v->normalised)
        return;
    log_measured(look, v, "collapsed", flat);
    judge(look->breaches, RULE_COLLAPSED, v, v->per_spread >= ENOUGH && flat > rules[RULE_COLLAPSED].threshold, flat);
}

static bool is_due(uint64_t own)
{
    return own <= LOOKS_APART ? (own & (own - 1)) == 0 : own % LOOKS_APART == 0;
}

bool watch_look(struct trainer *t, struct turn *turn, const int64_t *items, uint64_t position, uint64_t step,
                struct rnet_error *error)
{
    struct look look = {.t = t, .watch = turn->watch};
    struct watch *watch = turn->watch;
    double loss, begin = rnet_seconds();

    if (!is_due((uint64_t)t->clock.step))
        return true;
    if (t->items)
        dataset_gather(&turn->dataset, &watch->instance, items, t->training->batch);
    instance_run(&watch->instance, position, step, scalar_value, &t->clock);
    begin = rnet_seconds() - begin;
    watch->seconds += begin;
    watch->fastest = watch->looks++ && watch->fastest < begin ? watch->fastest : begin;
    /* A step that leaves the finite numbers is explained when it is made. */
    if (instance_output(&watch->instance, "loss", &loss) && !isfinite(loss))
        return true;
    log_beginning(t, step);
    for (int i = 0; i < watch->values.count; i++)
        look_at_value(&look, i);
    for (int i = 0; i < watch->parameters.count; i++)
        look_at_parameter(&look, i);
    if (!rnet_log_end(t->log, error))
        return false;
    for (int rule = 0; rule < RULES; rule++)
        if (look.breaches[rule].name && !say(t, watch, &look.breaches[rule], step, error))
            return false;
    return true;
}

/* ---- every step ---- */

bool watch_step(struct trainer *t, struct turn *turn, struct rnet_error *error)
{
    struct watch *watch = turn->watch;
    struct breach b;
    double reference, share;

    if (t->has_norm && t->norm > 0) {
        reference = watch->first_count ? exp(watch->first_norms / watch->first_count) : t->norm;
        if (watch->first_count < FIRST_STEPS) {
            watch->first_norms += log(t->norm);
            watch->first_count++;
        }
        b = at_span(t, RULE_EXPLODING, turn->phase->optimizer_span, t->norm / reference);
        if (b.value > rules[RULE_EXPLODING].threshold && !say(t, watch, &b, t->step, error))
            return false;
    }
    if (!t->clips || (watch->clip_count += t->was_clipped, ++watch->clip_steps < CLIP_STEPS))
        return true;
    share = (double)watch->clip_count / watch->clip_steps;
    watch->clip_count = watch->clip_steps = 0;
    watch->clip_streak = share > rules[RULE_CLIPPED].threshold ? watch->clip_streak + 1 : 0;
    b = at_span(t, RULE_CLIPPED, turn->phase->clip_span, share);
    return watch->clip_streak < rules[RULE_CLIPPED].looks || say(t, watch, &b, t->step, error);
}
