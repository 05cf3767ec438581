/* cli.h: the command line. One file a command; the options of all of them are one table (options.c). */
#ifndef RNET_CLI_H
#define RNET_CLI_H

#include "driver.h"

enum command_bit {
    CHECK = 1 << 0,
    TRAIN = 1 << 1,
    EVAL = 1 << 2,
    PREDICT = 1 << 3,
    GRADCHECK = 1 << 4,
    EXPLAIN = 1 << 5,
    FMT = 1 << 6,
    DOC = 1 << 7,
    LAB = 1 << 8,
    REPLAY = 1 << 9,
    PROBE = 1 << 10,
    REPORT = 1 << 21,
    BENCH = 1 << 20,
    AVERAGE = 1 << 11,
    PRUNE = 1 << 12,
    COMPACT = 1 << 13,
    FOLD = 1 << 14
};
struct options {
    struct arena *arena;
    LIST(const char *) files;          /* arguments that are no options */
    LIST(struct setting) settings;     /* --set */
    LIST(struct setting) sweeps;       /* --sweep: values apart by commas, or FIRST..LAST */
    bool quiet;                        /* a run of a sweep: nothing on stdout */
    int threads;
    bool seed_given;
    uint64_t seed;
    int64_t steps;                     /* 0: as the program says */
    const char *out, *init, *checkpoint, *dump, *dump_llvm, *dump_assembly;
    int precision;                     /* -1, or enum ir_precision */
    int64_t batch, count;
    const char *on;                    /* DATA or DATA.SPLIT that a model answers for */
    double share;                      /* prune: which part becomes 0; below 0: not given */
    const char *by, *params;           /* prune: magnitude (NULL) or unit; which parameters */
    bool numbers;                      /* symbols as numbers */
    int64_t smoothness;                /* probe: along so many steps */
    const char *jacobian, *fisher;     /* probe: of the answer by this value; block of this parameter */
    bool invariances, noise, shift, bound, curvature; /* probe */
    int64_t landscape;                 /* probe: places a side */
    int64_t at, batches;               /* probe: which step; 0: the next one; how many batches */
    int64_t seeds;                     /* lab: 0: as experiments say */
    int64_t passes;                    /* bench; 0: as the command likes */
    bool try;
    bool kernels;
    bool fresh, quick, csv;
    const char *report, *board;        /* lab: file of a page; report: folder of event files */
    bool kept;                         /* lab: nothing is trained */
    bool watch;                        /* train: instruments, and rules that are broken are said */
    bool resume, time, json, no_fuse, exhaustive, in_place, compare, color;
};
struct command {
    enum command_bit bit;
    const char *name, *arguments, *summary, *help;
    int (*run)(struct options *options);
};
extern const struct command commands[]; /* ends with a NULL name */

/* Parses what follows the command's name. A status to exit with, or -1 to go on. */
int options_parse(struct options *options, const struct command *command, int count, char **arguments);
void help_command(const struct command *command);
void help_all(void);
/* "rnetc: message" on stderr, with the status returned. */
int complain(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
int complain_error(const struct rnet_error *error);

/* As one cell of CSV: in quotes if it holds what separates cells. */
void print_csv_text(const char *text);

/* ---- program.c: what commands on a program share ---- */

/* Reads and checks the program; prints its diagnostics on stderr. NULL after errors. */
struct unit *program_read(struct options *options, struct diagnostics **d);
/* With the settings of the options, its texts as they are in `unit`. */
struct unit *program_read_again(struct options *options, const struct unit *unit, struct diagnostics **d);
/* Prints and empties what has been diagnosed since; true if there was an error. */
bool program_wrong(const struct options *options, const struct diagnostics *d);
struct lower_options lower_options_of(const struct options *options);
/* The seed that data were divided and drawn with: the run's. `otherwise`: the store is of no run. */
uint64_t checkpoint_seed(const struct store *store, uint64_t otherwise);
/* predict_data.c; -1: the name is that of no data block. */
int predict_data(struct options *options, struct unit *unit);

/* ---- symbols.c ---- */

/* What is printed of each item under a name. */
struct printed {
    const char *name;
    const double *numbers;     /* row of them an item */
    int64_t row, last;         /* last: extent of the last axis, 1 if there is none: so many symbols are a text */
    const struct rnet_vocabulary *symbols; /* NULL: numbers */
};
/* The vocabulary that one of these names has in the checkpoint; false: none, or two that differ, which is said. */
bool symbols_of(const struct store *store, const data_names *names, const char *what, struct rnet_vocabulary *out);
/* A line an item with everything under its name; one thing without name, if not `named`: then text is printed as it is. */
void print_items(const struct printed *printed, int count, int64_t items, bool named);
/* As text of the options: --out of one output to .npy, of any number to .safetensors. */
int write_outputs(const char *path, const struct rnet_tensor *tensors, int count);
/* Hash of the text of an IR program, as 16 hexadecimal digits. */
const char *program_hash(struct arena *arena, const struct ir_program *p);
/* Scalars of a step: step, epoch, progress, steps, and the lets of the unit. */
struct scalar_context {
    const struct unit *unit;
    double step, steps, epoch, progress;
};
double scalar_value(void *context, const char *name);
/* show.c: source to a callable step on stderr, pass by pass. */
void show_compile_times(double front_seconds, const struct compile_timing *timing);

int run_check(struct options *options);
int run_train(struct options *options);
int run_eval(struct options *options);
int run_predict(struct options *options);
int run_gradcheck(struct options *options);
int run_explain(struct options *options);
int run_fmt(struct options *options);
int run_doc(struct options *options);
int run_lab(struct options *options);
int run_report(struct options *options);
int run_probe(struct options *options);
int run_bench(struct options *options);
int run_replay(struct options *options);
int run_average(struct options *options);
int run_prune(struct options *options);
int run_compact(struct options *options);
int run_fold(struct options *options);
/* eval.c: the report of a train block with the parameters of options->checkpoint; say: what it is of, on stderr. */
int evaluate_report(struct options *options, struct unit *unit, struct training *training, bool say, struct report_result *result);
/* lab_print.c: the numbers that a comparison had, and by how much it is missed. */
void text_add_missed(struct text *text, const struct expect_outcome *outcome);

#endif
