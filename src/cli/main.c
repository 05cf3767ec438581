/* main.c: the commands. */
#include "cli.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

const struct command commands[] = {
    {CHECK, "check", "FILE", "read a program and say what is wrong with it",
     "Prints every diagnosis, or `FILE: no errors`. Loads no data and compiles nothing.", run_check},
    {TRAIN, "train", "FILE", "compile a program and train it",
     "Runs the train blocks in order. Leaves DIR/checkpoint.safetensors and DIR/log.jsonl. The first Ctrl-C finishes the step,\n"
     "writes the checkpoint and stops with status 130; --resume goes on from there with the same bits as if nothing had\n"
     "happened. --watch looks at steps 1, 2, 4, .., 128, 256, 384, .. of each phase: gradients, updates, dead units, variances, all\n"
     "logged; a rule that is broken is said once, with its line and what to try. A look costs about one step.",
     run_train},
    {EVAL, "eval", "FILE", "print a program's report with the parameters of a checkpoint",
     "Evaluates the report of the last train block over its split.", run_eval},
    {PREDICT, "predict", "FILE MODEL|DATA[.SPLIT]", "print what a model answers, or the items of data",
     "A model: a line a sample with its outputs, row-major, for the test split (else validation, else train) of the data that it,\n"
     "or a model with all of its inputs, is trained on; --on chooses others. An output with `in LIMIT`, the limit of a reader of\n"
     "text or of labels, is printed as that text. Data: the fields of each item of SPLIT (default: train, else the first). What\n"
     "is printed stands on stderr. --out writes numbers to a file: .npy holds one output, .safetensors all by name.",
     run_predict},
    {GRADCHECK, "gradcheck", "FILE", "compare gradients with finite differences, in double precision",
     "Draws are frozen; kinks (left and right slopes differ) are counted apart. Status 1 if a gradient is wrong.",
     run_gradcheck},
    {EXPLAIN, "explain", "FILE", "show the kernels of a training step: what is fused, stored, moved and computed", "",
     run_explain},
    {LAB, "lab", "FILE|FOLDER...", "check what programs expect and claim: every `expect`, every `experiment`",
     "A line for each expect and each claim of a file, or for each file of a folder. Data blocks and models that nothing trains are\n"
     "computed in double precision. Runs of experiments leave no checkpoints; their numbers are kept in runs/lab/NAME, so that what\n"
     "was interrupted goes on. Exit status 1 if an expect or a claim does not hold.",
     run_lab},
    {PROBE, "probe", "FILE", "say what one step of training does to a net, and what is wrong with it",
     "One batch of the program's own data, one step: for each equation mean, deviation, zeros, dead and saturated units and the norm of the\n"
     "loss's derivative by it, step by step in a recurrence; for each parameter what the step changes, as a part of its norm. The first lines\n"
     "say what is wrong; then the exit status is 1. With --checkpoint the net is that of the file. --batches N: means over N batches of what the\n"
     "equations, gradients, --shift, --bound, --curvature, --fisher's block and --landscape say, a unit being dead that is in all of them; the step,\n"
     "and --jacobian, --noise, --invariances, are of the first. Layers are no part of the language: a parameter's layer is how many sums with\n"
     "parameters what it meets has gone through.",
     run_probe},
    {REPLAY, "replay", "FOLDER [FILE]", "repeat the steps of a run and say where its numbers left the finite ones",
     "FOLDER: where `rnetc train` left its checkpoint and its log; FILE: the program, if it is no longer where the log says. The steps\n"
     "after the checkpoint are repeated with the run's seed, settings, samples and draws, up to the one after the last in the log.\n"
     "Says the first equation that made a number that is not finite of finite ones, its element and source line, and the range of\n"
     "each value that it read, also where the step ended well and left such a number in a parameter or a state. Changes no file.\n"
     "Exit status 5 if there is such an equation, 0 if all steps are finite, 4 if the run cannot be read or the program is another.",
     run_replay},
    {AVERAGE, "average", "FILE FILE...", "write the mean of checkpoints of one program",
     "Names, shapes and types must agree. Whole numbers are not averaged: they must be equal, but for the position, of which the\n"
     "furthest is taken. Notes are those of the first file.", run_average},
    {PRUNE, "prune", "FILE", "set the smallest weights, or whole units, of a checkpoint to 0",
     "Of all chosen parameters together the smallest --share becomes 0; with --by unit, of each axis that can lose units, those whose\n"
     "numbers are smallest, in every parameter that has the axis. Prints how much of each parameter is 0, and the report before and\n"
     "after. `rnetc compact` then leaves out what makes no difference.", run_prune},
    {BENCH, "bench", "FILE", "measure a step of training: fused, and an equation at a time",
     "Both take turns in one run, and so do probes of what the machine gives at that moment, multiply-adds of all threads and,\n"
     "where there is AMX, products of f32 by it, each probe as long as a step (on a machine that others use too, a moment's best is no peak\n"
     "of a longer time), and copying; the best of the passes counts. Prints time, operations and bytes a second, the shares of the\n"
     "machine's multiply-add peak and matrix-unit peak, what compiling takes with nothing and with everything kept, and memory.\n"
     "With --kernels each kernel of the fused step beside its own limit, the larger of operations at the machine's best rate (the higher\n"
     "of both peaks for products) and bytes at its best rate of copying so many; first the one that loses most. These limits are measured\n"
     "once for a machine and a number of threads and kept beside the compiled kernels. --try times the products of each kernel cut into\n"
     "parts in several ways, and keeps the fastest beside the compiled kernels: training then uses it, with the same bits. Nothing is\n"
     "trained.",
     run_bench},
    {REPORT, "report", "FOLDER", "make a page of a run, of a sweep, or of the experiments that lab keeps",
     "FOLDER: where `rnetc train` left a run's log, or those of a sweep, or runs/lab/NAME with what `rnetc lab NAME.rnet` keeps. Writes\n"
     "FOLDER/report.html, one file that wants no network and no script: curves, tables, probes, claims, the program; of a sweep means over\n"
     "seeds, by the settings that differ. --csv prints a run's numbers instead, a line each step and report, or a line a run with what a\n"
     "sweep's runs reported last or experiments recorded; --tensorboard writes event files, FOLDER/train and one for each split that is\n"
     "reported, wall times being seconds of steps. Trains nothing.",
     run_report},
    {COMPACT, "compact", "FILE", "leave out units that make no difference: a smaller program and checkpoint with the same answers",
     "A unit is a position of an axis that parameters share with the values between them. It makes no difference if all that it is multiplied\n"
     "with later is 0, or it is always 0 itself. The numbers of the text that give such axes their extents become smaller (a setting\n"
     "2500, `let width = 2500`); where one number gives several axes, all lose as many; up to four equal ones, or all, may give one\n"
     "together. --out FOLDER gets the program, under its name, and checkpoint.safetensors. Both programs answer their data, in double\n"
     "precision; if the answers differ by more than rounding nothing is left, and the status is 1. Prints what evaluation and a step gain,\n"
     "and what their floating-point operations promise.",
     run_compact},
    {FOLD, "fold", "FILE", "put normalisers with fixed statistics into their neighbours: a program without them, with the same answers",
     "A layer with parameters or states of its own that in evaluation is scale * x + shift, as a normaliser with running statistics is, is\n"
     "folded into the product before it or behind it: its scale into weights, its shift into a bias. What stays is said with the reason:\n"
     "a nonlinearity between, a statistic of the sample. --out FOLDER gets the program, under its name, and checkpoint.safetensors, for eval and predict;\n"
     "it has no optimizer's states, so --init, not --resume, trains on from it. Both programs answer their data; if the answers differ by\n"
     "more than rounding nothing is left, and the status is 1. Prints what evaluation gains.",
     run_fold},
    {FMT, "fmt", "FILE...", "print a program in canonical form",
     "`-` reads standard input. --in-place rewrites the files; --compare prints the names of files that would change and\n"
     "exits with status 1 if there are any.",
     run_fmt},
    {DOC, "doc", "[NAME|FILE]", "print the reference: the standard library, one of its entries, or a file",
     "NAME: an entry with how it is written. FILE (it has a point or a slash): what its own `##` lines say.", run_doc},
    {0},
};

struct task {
    const struct command *command;
    struct options *options;
    int status;
};

static void *run_task(void *context)
{
    struct task *task = context;

    task->status = task->command->run(task->options);
    return NULL;
}

/* Walks over programs descend as deep as a chain of equations is long, so they get a stack that the longest fits. */
static int run_command(const struct command *command, struct options *options)
{
    struct task task = {command, options, 0};
    pthread_attr_t attributes;
    pthread_t thread;
    bool started;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, (size_t)512 << 20);
    started = pthread_create(&thread, &attributes, run_task, &task) == 0;
    pthread_attr_destroy(&attributes);
    if (started)
        pthread_join(thread, NULL);
    else
        run_task(&task);
    return task.status;
}

int main(int count, char **arguments)
{
    struct options options;
    const char *names[sizeof commands / sizeof *commands];
    int known = 0, status;

    if (count < 2 || !strcmp(arguments[1], "--help") || !strcmp(arguments[1], "-h") || !strcmp(arguments[1], "help")) {
        help_all();
        return count < 2 ? RNET_USAGE : RNET_DONE;
    }
    if (!strcmp(arguments[1], "--version")) {
        puts("rnetc " RNET_VERSION);
        return RNET_DONE;
    }
    for (const struct command *c = commands; c->name; c++) {
        names[known++] = c->name;
        if (strcmp(arguments[1], c->name))
            continue;
        status = options_parse(&options, c, count - 2, arguments + 2);
        if (status < 0)
            status = run_command(c, &options);
        arena_free(options.arena);
        return status;
    }
    const char *near = nearest_name(arguments[1], names, known);
    if (near)
        return complain(RNET_USAGE, "there is no command `%s`; did you mean `%s`? See rnetc --help", arguments[1], near);
    return complain(RNET_USAGE, "there is no command `%s`. See rnetc --help", arguments[1]);
}
