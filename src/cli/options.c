/* options.c: one table of options, from which parsing and help are made. */
#include "cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROGRAMS = CHECK | TRAIN | EVAL | PREDICT | GRADCHECK | EXPLAIN | LAB | PROBE | BENCH, RUNS = TRAIN | EVAL | PREDICT | LAB | PROBE | BENCH };

static const struct option_row {
    const char *name, *value, *help;
    int commands; /* that take it */
} rows[] = {
    {"set", "NAME=VALUE", "give a `let` of the program another value; may be repeated", PROGRAMS | PRUNE | COMPACT | FOLD | REPORT},
    {"sweep", "NAME=V1,V2", "a run for each value of a `let`, or `seed=1..5`; may be repeated; ends with a table", TRAIN},
    {"threads", "N", "threads to compute with (default: all cores); no number depends on it", RUNS | REPLAY | PRUNE | COMPACT | FOLD},
    {"seed", "N", "seed of every random draw (default: `let seed` of the program, else 0)", TRAIN | EVAL | PREDICT | GRADCHECK | LAB | PROBE | BENCH | REPORT},
    {"steps", "N", "stop after this many steps", TRAIN},
    {"out", "PATH", "train: folder for the checkpoint and the log; predict: a .npy (one output) or .safetensors file; lab: folder of finished runs; report: the page; average, prune: the file; compact, fold: a folder",
     TRAIN | PREDICT | LAB | AVERAGE | PRUNE | COMPACT | FOLD | REPORT},
    {"fresh", NULL, "lab: make finished runs of experiments again; replay: begin at the first step, not at the checkpoint", LAB | REPLAY},
    {"quick", NULL, "leave out what wants training, but for experiments with `quick = true`", LAB},
    {"seeds", "N", "so many seeds in every experiment", LAB | REPORT},
    {"csv", NULL, "lab: print each number that experiments record, as CSV; probe: the table; report: the numbers, and no page", LAB | PROBE | REPORT},
    {"report", "FILE", "write a page with tables and figures, FILE.html", LAB | PROBE},
    {"tensorboard", "DIR", "write a run's numbers as event files", REPORT},
    {"resume", NULL, "go on from the checkpoint in the folder of --out", TRAIN},
    {"watch", NULL, "look at gradients, updates and units now and then, log them, and say which rule is broken; no number depends on it", TRAIN},
    {"init", "FILE", "start from the parameters in this safetensors file", TRAIN},
    {"precision", "f32|f64", "number format to compute in", RUNS | EXPLAIN | REPORT},
    {"checkpoint", "FILE", "the safetensors file with the parameters", EVAL | PREDICT | PRUNE | COMPACT | FOLD | PROBE},
    {"batch", "N", "samples to look at (gradcheck: default 4; probe: as the program says)", GRADCHECK | PROBE},
    {"jacobian", "NAME", "singular values of the answer's derivative by this equation", PROBE},
    {"invariances", NULL, "try which scalings and shifts of parameters leave the answer or the loss as it is (in f64)", PROBE},
    {"noise", NULL, "what noise adds to the loss, by sampling and to second order (in f64)", PROBE},
    {"shift", NULL, "how the gradient of each parameter changes because those before it have made the step (in f64)", PROBE},
    {"bound", NULL, "what standardising takes from the gradient, beside its bound (in f64)", PROBE},
    {"curvature", NULL, "second derivatives: along the gradient and the step, eigenvalues, traces (in f64)", PROBE},
    {"fisher", "NAME", "the Fisher matrix of the answer, the block of this parameter, and the step in its metric (in f64)", PROBE},
    {"landscape", "N", "the loss at N by N places of a plane through the parameters, each filter's directions as long as the filter", PROBE},
    {"at", "N", "the samples, draws and rates of step N (default: the first, or the one after the checkpoint)", PROBE},
    {"batches", "N", "look at N batches from there: means of what they say; the step is made with the first (default 1)", PROBE},
    {"smoothness", "N", "how fast the gradient changes along N steps, against its norm, and the clipping that follows (in f64)", PROBE},
    {"count", "N", "how many samples (default: all)", PREDICT},
    {"on", "DATA.SPLIT", "what the model answers for (default: the test split of the data it is trained on)", PREDICT},
    {"numbers", NULL, "print symbols of a vocabulary as numbers", PREDICT},
    {"exhaustive", NULL, "check every element", GRADCHECK},
    {"time", NULL, "print where the time went", TRAIN | EVAL | EXPLAIN},
    {"json", NULL, "print results as JSON", TRAIN | EVAL | GRADCHECK | EXPLAIN | LAB | PROBE | BENCH},
    {"no-fuse", NULL, "compile one kernel an equation", TRAIN | EVAL | PREDICT | EXPLAIN | LAB | PROBE},
    {"no-cache", NULL, "compile everything, keep nothing on disk (RNET_CACHE=off does the same)", RUNS | GRADCHECK | LAB | REPLAY},
    {"passes", "N", "measure so many times, interleaved (default: 5)", BENCH},
    {"kernels", NULL, "each kernel by itself too", BENCH},
    {"try", NULL, "cut the products in several ways and keep the fastest of each kernel; changes no number", BENCH},
    {"dump", "PASS", "print the program after this pass (lower simplify share schedule fuse plan), or after all", TRAIN | EXPLAIN},
    {"dump-llvm", "FILE", "write the LLVM IR of the step", TRAIN},
    {"dump-assembly", "FILE", "write the assembly of the step", TRAIN},
    {"in-place", NULL, "rewrite the files", FMT},
    {"compare", NULL, "only name the files that are not in canonical form", FMT},
    {"color", "WHEN", "auto, always or never", PROGRAMS | FMT | DOC | REPLAY | AVERAGE | PRUNE | COMPACT | FOLD | REPORT},
    {"share", "PART", "which part becomes 0, from 0 to 1", PRUNE},
    {"by", "WHAT", "magnitude (default): the smallest numbers; unit: whole units", PRUNE},
    {"params", "SELECTOR", "weights (default), biases, params, or a pattern of names: \"net.*.W\"", PRUNE},
    {"help", NULL, "this text", PROGRAMS | FMT | DOC | REPLAY | AVERAGE | PRUNE | COMPACT | FOLD | REPORT},
};
enum { ROWS = sizeof rows / sizeof *rows };

int complain(int status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("rnetc: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs("\n", stderr);
    va_end(arguments);
    return status;
}

int complain_error(const struct rnet_error *error)
{
    return complain(error->status, "%s", error->message);
}

void print_csv_text(const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, stdout);
        return;
    }
    putchar('"');
    for (; *text; text++)
        if (*text == '"')
            fputs("\"\"", stdout);
        else
            putchar(*text);
    putchar('"');
}

void help_all(void)
{
    puts("rnetc: train the neural net that a .rnet file describes\n\n"
         "usage: rnetc COMMAND FILE [OPTION...]\n");
    for (const struct command *c = commands; c->name; c++)
        printf("  %-10s %s\n", c->name, c->summary);
    puts("\n  rnetc COMMAND --help   says more\n\n"
         "Results go to standard output, progress and diagnoses to standard error. Exit status: 0 done, 1 the run failed,\n"
         "2 usage, 3 error in the program, 4 error in the data, 5 numbers that are not finite, 130 interrupted.");
}

void help_command(const struct command *command)
{
    printf("usage: rnetc %s %s [OPTION...]\n\n%s%s%s\n", command->name, command->arguments, command->summary,
           *command->help ? "\n\n" : "", command->help);
    puts("\noptions:");
    for (int i = 0; i < ROWS; i++) {
        char left[40];

        if (!(rows[i].commands & (int)command->bit))
            continue;
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
        printf("  %-22s %s\n", left, rows[i].help);
    }
}

static bool whole(const char *text, int64_t low, int64_t *out)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *out >= low;
}

static int wrong_value(const char *name, const char *value, const char *expected)
{
    return complain(RNET_USAGE, "--%s %s: expected %s", name, value, expected);
}

static int take_whole(const char *name, const char *value, int64_t low, int64_t *out)
{
    if (whole(value, low, out))
        return -1;
    return wrong_value(name, value, low > 0 ? "a whole number above 0" : "a whole number from 0");
}

static int take_color(struct options *o, const char *value)
{
    const char *terminal = getenv("TERM"), *none = getenv("NO_COLOR");

    if (!strcmp(value, "auto"))
        o->color = isatty(STDERR_FILENO) && !(none && *none) && !(terminal && !strcmp(terminal, "dumb"));
    else if (!strcmp(value, "always") || !strcmp(value, "never"))
        o->color = !strcmp(value, "always");
    else
        return wrong_value("color", value, "auto, always or never");
    return -1;
}

static int take(struct options *o, const char *name, const char *value)
{
    int64_t number = 0;
    int status = -1;
    const char *equals;

    if (!strcmp(name, "sweep")) {
        if (!(equals = strchr(value, '=')) || equals == value || !equals[1])
            return wrong_value(name, value, "NAME=V1,V2 or NAME=FIRST..LAST");
        list_add(o->arena, o->sweeps,
                 (struct setting){.name = arena_slice(o->arena, value, (size_t)(equals - value)), .value = equals + 1});
    } else if (!strcmp(name, "set")) {
        if (!(equals = strchr(value, '=')) || equals == value)
            return wrong_value(name, value, "NAME=VALUE");
        list_add(o->arena, o->settings,
                 (struct setting){.name = arena_slice(o->arena, value, (size_t)(equals - value)), .value = equals + 1});
    } else if (!strcmp(name, "threads")) {
        status = take_whole(name, value, 1, &number);
        if (status < 0 && number > 1024)
            return wrong_value(name, value, "at most 1024");
        o->threads = (int)number;
    } else if (!strcmp(name, "seed")) {
        status = take_whole(name, value, 0, &number);
        o->seed = (uint64_t)number;
        o->seed_given = true;
    } else if (!strcmp(name, "steps")) {
        status = take_whole(name, value, 1, &o->steps);
    } else if (!strcmp(name, "report")) {
        o->report = value;
    } else if (!strcmp(name, "tensorboard")) {
        o->board = value;
    } else if (!strcmp(name, "seeds")) {
        status = take_whole(name, value, 1, &o->seeds);
    } else if (!strcmp(name, "passes")) {
        status = take_whole(name, value, 1, &o->passes);
    } else if (!strcmp(name, "batch")) {
        status = take_whole(name, value, 1, &o->batch);
    } else if (!strcmp(name, "smoothness")) {
        status = take_whole(name, value, 1, &o->smoothness);
    } else if (!strcmp(name, "at")) {
        status = take_whole(name, value, 1, &o->at);
    } else if (!strcmp(name, "batches")) {
        status = take_whole(name, value, 1, &o->batches);
    } else if (!strcmp(name, "landscape")) {
        status = take_whole(name, value, 3, &o->landscape);
        if (status < 0 && (o->landscape % 2 == 0 || o->landscape > 101))
            return wrong_value(name, value, "an odd number from 3 to 101, so that the parameters are in the middle");
    } else if (!strcmp(name, "fisher")) {
        o->fisher = value;
    } else if (!strcmp(name, "jacobian")) {
        o->jacobian = value;
    } else if (!strcmp(name, "count")) {
        status = take_whole(name, value, 1, &o->count);
    } else if (!strcmp(name, "precision")) {
        if (strcmp(value, "f32") && strcmp(value, "f64"))
            return wrong_value(name, value, "f32 or f64");
        o->precision = strcmp(value, "f32") ? IR_DOUBLE : IR_SINGLE;
    } else if (!strcmp(name, "no-cache")) {
        setenv("RNET_CACHE", "off", 1); /* what is compiled for data is meant too */
    } else if (!strcmp(name, "color")) {
        status = take_color(o, value);
    } else if (!strcmp(name, "out")) {
        o->out = value;
    } else if (!strcmp(name, "share")) {
        char *end;

        o->share = strtod(value, &end);
        if (end == value || *end || !(o->share >= 0 && o->share <= 1))
            return wrong_value(name, value, "a number from 0 to 1");
    } else if (!strcmp(name, "by")) {
        if (strcmp(value, "magnitude") && strcmp(value, "unit"))
            return wrong_value(name, value, "magnitude or unit");
        o->by = value;
    } else if (!strcmp(name, "params")) {
        o->params = value;
    } else if (!strcmp(name, "on")) {
        o->on = value;
    } else if (!strcmp(name, "init")) {
        o->init = value;
    } else if (!strcmp(name, "checkpoint")) {
        o->checkpoint = value;
    } else if (!strcmp(name, "dump")) {
        o->dump = value;
    } else if (!strcmp(name, "dump-llvm")) {
        o->dump_llvm = value;
    } else if (!strcmp(name, "dump-assembly")) {
        o->dump_assembly = value;
    } else {
        bool *flag = !strcmp(name, "resume")       ? &o->resume
                     : !strcmp(name, "watch")      ? &o->watch
                     : !strcmp(name, "exhaustive") ? &o->exhaustive
                     : !strcmp(name, "time")       ? &o->time
                     : !strcmp(name, "json")       ? &o->json
                     : !strcmp(name, "no-fuse")    ? &o->no_fuse
                     : !strcmp(name, "numbers")    ? &o->numbers
                     : !strcmp(name, "fresh")      ? &o->fresh
                     : !strcmp(name, "quick")      ? &o->quick
                     : !strcmp(name, "csv")        ? &o->csv
                     : !strcmp(name, "noise")      ? &o->noise
                     : !strcmp(name, "shift")      ? &o->shift
                     : !strcmp(name, "bound")      ? &o->bound
                     : !strcmp(name, "curvature")  ? &o->curvature
                     : !strcmp(name, "kernels")    ? &o->kernels
                     : !strcmp(name, "try")        ? &o->try
                     : !strcmp(name, "invariances") ? &o->invariances
                     : !strcmp(name, "in-place")   ? &o->in_place
                                                   : &o->compare;
        *flag = true;
    }
    return status;
}

static int check_dump(const struct options *o)
{
    static const char *const passes[] = {"lower", "simplify", "share", "schedule", "fuse", "plan", "all"};

    for (size_t i = 0; o->dump && i < sizeof passes / sizeof *passes; i++)
        if (!strcmp(o->dump, passes[i]))
            return -1;
    return o->dump ? wrong_value("dump", o->dump, "lower, simplify, share, schedule, fuse, plan or all") : -1;
}

/* getopt has named the option; here, which one it may have been. */
static int unknown_option(const struct command *command, const char *given)
{
    const char *names[ROWS], *near;
    char name[100];
    int count = 0;

    snprintf(name, sizeof name, "%s", given + strspn(given, "-"));
    name[strcspn(name, "=")] = 0;
    for (int i = 0; i < ROWS; i++)
        if (rows[i].commands & (int)command->bit)
            names[count++] = rows[i].name;
    near = nearest_name(name, names, count);
    return complain(RNET_USAGE, "%s has no option `%s`%s%s%s See rnetc %s --help", command->name, given,
                    near ? "; did you mean `--" : "", near ? near : "", near ? "`?" : ".", command->name);
}

int options_parse(struct options *o, const struct command *command, int count, char **arguments)
{
    struct option known[ROWS + 1] = {{0}};
    char **all = calloc((size_t)count + 2, sizeof *all);
    int used = 0, which, c, status = -1;
    bool two = command->bit == PREDICT || command->bit == REPLAY;

    *o = (struct options){.arena = arena_new(), .precision = -1, .batch = 0, .share = -1};
    take_color(o, "auto");
    for (int i = 0; i < ROWS; i++)
        if (rows[i].commands & (int)command->bit)
            known[used++] = (struct option){rows[i].name, rows[i].value ? required_argument : no_argument, NULL, i};
    all[0] = arena_printf(o->arena, "rnetc %s", command->name);
    memcpy(all + 1, arguments, (size_t)count * sizeof *all);
    opterr = 0;
    while (status < 0 && (c = getopt_long(count + 1, all, ":h", known, &which)) >= 0) {
        if (c == ':')
            status = complain(RNET_USAGE, "%s wants a value. See rnetc %s --help", all[optind - 1], command->name);
        else if (c == '?')
            status = unknown_option(command, all[optind - 1]);
        else if (c == 'h' || !strcmp(rows[c].name, "help")) {
            help_command(command);
            status = RNET_DONE;
        } else {
            status = take(o, rows[c].name, optarg);
        }
    }
    for (; status < 0 && optind <= count; optind++)
        list_add(o->arena, o->files, all[optind]);
    free(all);
    if (status < 0)
        status = check_dump(o);
    if (status < 0 && !o->files.count && command->bit != DOC)
        status = complain(RNET_USAGE, "%s wants %s. See rnetc %s --help", command->name, command->arguments, command->name);
    if (status < 0 && o->files.count > 1 + two && command->bit != FMT && command->bit != LAB &&
        command->bit != AVERAGE)
        status = complain(RNET_USAGE, "%s takes %s; `%s` is one too many", command->name, command->arguments,
                          o->files.at[1 + two]);
    if (!o->threads) {
        struct rnet_machine machine;

        rnet_machine(&machine);
        o->threads = machine.cores;
    }
    return status;
}
