/* sema.h: meaning. Names, axes, extents, ranges, effects; each use of a layer becomes equations of the tensor IR. */
#ifndef RNET_SEMA_H
#define RNET_SEMA_H

#include "ir.h"
#include "syntax.h"

/* --set NAME=VALUE */
struct setting {
    const char *name, *value;
    const char *option; /* what gave it, for messages; NULL: --set */
};

struct unit; /* one program file with what it uses, names resolved */
/* Reads and parses path and what it uses, resolves names, checks every definition that can be checked without a use. NULL only
   if the file cannot be read (diagnosed); otherwise look at diagnostics_errors. */
struct unit *unit_read(struct arena *arena, const char *path, const struct setting *settings, int count, struct diagnostics *d);
/* The same files with other settings, texts and trees as they are in `unit`, which must outlive it, whatever has become of the files.
   requires: unit was read without an error. */
struct unit *unit_read_again(struct arena *arena, const struct unit *unit, const struct setting *settings, int count,
                             struct diagnostics *d);

/* Where a field of the data comes from: one reader call of a data block. */
enum reader {
    READ_IDX, READ_NPY, READ_CSV,
    READ_LABELS,               /* csv: a column of text, as categories */
    READ_CHARACTERS, READ_WORDS, /* limit; length: neighbours that make an item, 0: each is one */
    READ_LINES, READ_LENGTHS,  /* limit, longest */
    READ_PNG, READ_PNG_LABELS, /* labelled: the folder's sub-folders are the labels */
    READ_ITEM,                 /* the number of the item in its split */
    READ_MADE                  /* by the program of data, split: lower_data */
};
/* Part `part` of a split divided into parts of `counts` items; of: what was divided before that. */
struct rows {
    const char *name;          /* of the data block that divides */
    int64_t *counts;
    int count, part;
    const struct rows *of;
};
struct field {
    const char *name;          /* of the IR_INPUT leaf it fills: "image" */
    enum reader reader;
    const char *file;          /* path joined with the block's folder; DATA.SPLIT if it is made */
    int first, count;          /* csv */
    const char **columns;      /* csv: names of columns, if they are given */
    int column_count;
    int64_t limit, longest, length;
    bool labelled;
    const char *vocabulary, *vocabulary_file; /* "DATA.FIELD", and what it is made from: the training split's file */
    const char *data, *split, *field; /* where it is defined */
    const struct rows *rows;   /* NULL: all of them */
    bool shared;               /* made once for all items: the leaf has no axis for the sample */
    struct span span;
    /* What the program wants of it. Whole: each value in [low, high] (checked at load; E1001 names row and axis). */
    bool whole;
    int64_t low, high;
    const char *bound;         /* "class" of `label in class`, for messages */
    int rank;                  /* axes after the sample's */
    int64_t shape[8];
};

/* One split's fields as a program reads them. A field's expression over its readers (`idx(...) / 255`) is part of the
   program; the leaves are the readers' raw values. */
struct split { const char *data, *name; LIST(struct field) fields; };

/* A statistic of a report, streamed over a split: total = reduce of a per-sample output over every sample. */
struct statistic { const char *output; enum ir_reduction reduction; }; /* IR_SUM, IR_MAXIMUM, IR_MINIMUM; "count" is given */

/* `expect a < b`: must hold for every element over all axes of its sides. Sides are outputs of the program that the statement is
   lowered with; the run compares them (expect_check), so that it can say by how much an expectation is missed. */
struct expect_side {
    const char *output;            /* NULL: `number` */
    double number;
    LIST(int) axes;                /* of the output: which axes of the expectation they are */
};
struct comparison {
    int op;                        /* of NODE_BINARY: '=' '!' 'l' 'g' '<' '>' */
    struct expect_side left, right;
    bool parts;                    /* a side is abs(first - second) */
    struct expect_side first, second;
};
struct expect_axis { const char *name; int64_t extent; bool batch; };
struct expectation {
    const char *title, *text;      /* title: NULL if it has none */
    struct span span;
    const char *model;             /* in whose text it stands, or NULL */
    bool trained;                  /* a train block trains that model, or it stands in a report */
    LIST(struct expect_axis) axes;
    LIST(struct comparison) comparisons;
    LIST(int) formula;             /* postfix: the number of a comparison, or -'a', -'o', -'n' */
};
typedef LIST(struct expectation *) expectation_list;
struct report {
    struct ir_program *chunk;      /* evaluation mode; outputs: one per-sample tensor (axis batch) for each statistic */
    LIST(struct statistic) statistics;
    struct ir_program *result;     /* IR_SCALAR leaves named as the statistics' outputs, and `count`; outputs: the report's names */
    struct split split;
    int64_t batch;                 /* of chunk */
    expectation_list expects;      /* of numbers of the split; their sides are outputs of result, behind the report's names */
    int sides;
};

/* Of a watched phase: a parameter that is trained, the derivative of the objective by it, and what it is after the step. All three are
   tensors of the phase's program `watch`. */
struct watched_parameter { struct ir_tensor *leaf, *gradient, *value; };

/* A step of a train block; each loss, its parameters and rules. Phases take turns, `times` steps each; they share parameters,
   states of the model and batches' size. A block without phases has one without a name. */
struct phase {
    const char *name;
    int64_t times;
    struct ir_program *step, *initial, *objective, *probe; /* as in struct training */
    struct split split;
    /* With lower_options.watch, else NULL: forward, backward and rules once more, without updates and without outputs, which are to be
       added by whoever looks; the objective in it. */
    struct ir_program *watch;
    struct ir_tensor *watch_objective;
    LIST(struct watched_parameter) watched;
    struct span optimizer_span, clip_span; /* of the first such slot; source NULL: there is none */
};
struct training {
    LIST(struct phase) phases;     /* the first is what this block's own fields say */
    const char *model, *data;
    struct span span, batch_span;  /* of the block; of what it says for `batch` */
    struct ir_program *step;       /* forward, backward, rules. Outputs: "loss", "penalty" (if any), "gradient_norm" and
                                      "clipped_norm" (after the clip slot), guards all; in the place of the norm "gradient_bound" is
                                      one if updates may be made before the norm is known (bound.c); "rate", or "rate.RULE" of
                                      several optimizers; "stop": training ends after the step if it is not 0; "probe.RULE.NAME": a number that a probe gives.
                                      IR_SCALAR leaves: "step", "epoch", "progress", and each let that it uses, by name */
    struct ir_program *initial;    /* updates every parameter and state of step and of the report with its first value */
    struct ir_program *objective;  /* f64: loss + penalty as rank-0 output "objective", for gradcheck; parameters as leaves */
    struct ir_program *probe;      /* what probes give besides: outputs "probe.RULE.NAME", of the batch and at the parameters
                                      of a step before it is made; or NULL */
    struct report *report;         /* or NULL */
    struct split split;
    int64_t batch;
    double epochs;                 /* 0: none given */
    int64_t steps;                 /* 0: none given */
    int64_t lanes;                 /* of the stream: 0 shuffled; order = sequential: 1, or the batch if a state is of each place in it */
    int64_t validate;              /* the report runs after every so many epochs: 1 */
    int64_t patience;              /* after so many reports without a lower "loss" in the report training ends; 0: never */
    LIST(const char *) rule_states; /* states of rules: every train block begins anew with them */
    enum ir_precision precision;
    uint64_t seed;
    LIST(struct setting) lets;     /* value, as text, of each let (after --set), for the log and the checkpoint */
};

/* The train blocks of the file, in order, checked and lowered. batch_override (0: none) is gradcheck's small batch.
   precision_override: -1 none, else enum ir_precision. seed_override: NULL none. */
/* report_split: the split that the report reads; NULL: validation if there is one, else test. */
/* items: how many a split read from files has; NULL or 0: not known yet, so anything will do. */
struct lower_options {
    int64_t batch, report_batch; int precision; const uint64_t *seed; const char *report_split, *data;
    int64_t (*items)(void *context, const char *data, const char *split);
    void *items_context;
    bool watch; /* lower_training: phases get their program `watch` */
};
/* A program that says size(D.S) needs the number of items from the start: how to find it for a split read from files. must: it
   is an error if that fails; else any number will do. Nothing changes for a program that does not ask. */
void unit_count_items(struct unit *unit, int64_t (*items)(void *context, const char *data, const char *split),
                      void *context, bool must);
/* How many items a split is taken to have that cannot be counted and need not be. */
void unit_guess_items(struct unit *unit, int64_t items);
/* Was there such a split? Then a warning says so. */
bool unit_uncounted(struct unit *unit, struct diagnostics *d);
int unit_trainings(const struct unit *unit);
const char *unit_training_model(const struct unit *unit, int number);
struct training *lower_training(struct unit *unit, int number, struct lower_options options, struct diagnostics *d);

/* Every expect of the file but those of experiments: title, text and span. */
void unit_expects(struct unit *unit, expectation_list *out);

/* ---- experiments ---- */

enum { MOST_VARIED = 32 };
struct varied {
    const char *name;
    struct span span;
    bool number;                   /* else a string */
    LIST(const char *) values;     /* as texts for a setting */
};
struct recorded { const char *name; struct node *value; };
struct claim {
    const char *title, *text;
    struct span span;
    struct node *formula;          /* comparisons joined by NODE_BINARY 'a' 'o', NODE_UNARY 'n', NODE_GROUPED */
    bool expect;                   /* holds for each seed; a claim holds on average */
    bool unmet;                    /* known not to come out */
};
struct experiment {
    const char *name;
    struct span span;
    LIST(struct varied) settings;  /* an arm is a value of each */
    LIST(uint64_t) seeds;
    const char *train;             /* model whose train blocks an arm runs; NULL: all */
    bool quick;
    LIST(struct recorded) records;
    LIST(struct claim) claims;
};
typedef LIST(struct experiment *) experiment_list;
/* The experiments of the file, checked. */
void unit_experiments(struct unit *unit, experiment_list *out);
/* Which value of the setting the expression is; -1: none. */
int experiment_value(struct unit *unit, const struct varied *setting, struct node *node);
/* Of all that a run depends on but settings and seed: text of the file and of those it uses, experiments apart. */
uint64_t unit_hash(const struct unit *unit);

/* Fields of a split that are more than one reader, as a program over its items; `batch` is the items. */
struct stand_in { const char *parameter, *state; };
struct data_program {
    struct ir_program *program;    /* outputs: the fields; per item if the first axis is batch */
    struct ir_program *initial;    /* first values of parameters and states of the models it calls, or NULL */
    struct split split;            /* what it reads of the same items */
    LIST(struct split) others;     /* what it reads of all items of other splits */
    LIST(struct stand_in) averages; /* where training leaves an average of a parameter, it stands for the parameter */
    int64_t items;                 /* extent of batch */
    bool separable;                /* nothing reaches another item: it may run over a few at a time */
    expectation_list expects;      /* of the block, and of models that it calls and nothing trains */
    bool trained;                  /* it reads parameters of a model that a train block trains */
};
/* items 0: as many as there are. A name may be that of a side of an expectation. NULL after an error. */
struct data_program *lower_data(struct unit *unit, const char *data, const char *split, const char *const *fields, int count,
                                int64_t items, struct lower_options options, struct diagnostics *d);
/* How many items a split has: *items if the program says so, else 0 and a field to read them from; false after an error. */
bool data_count(struct unit *unit, const char *data, const char *split, int64_t *items, struct field *field);
/* The splits of a data block, and the fields of a split that can be printed; false if it is no data block. */
typedef LIST(const char *) data_names;
void unit_data_blocks(const struct unit *unit, data_names *out);
bool data_block_splits(struct unit *unit, const char *data, data_names *out);
bool data_block_fields(struct unit *unit, const char *data, const char *split, data_names *out);
/* The split that a divided one is part of at the end: *data and *split become it; the part, or NULL if it is not divided. */
const struct rows *data_block_part(struct unit *unit, const char **data, const char **split);
/* The vocabulary "DATA.FIELD" whose symbols a field's numbers are, or NULL. */
const char *data_field_vocabulary(struct unit *unit, const char *data, const char *split, const char *field);
/* A field whose shape neither the text nor a use states has that of its file: how to find it. False: it cannot be read. */
void unit_read_shapes(struct unit *unit, bool (*shape)(void *context, const struct field *field, int *rank, int64_t *extents),
                      void *context);

/* A model for prediction: evaluation mode over a batch of a split; outputs: the model's, per sample. The split is
   options.data and options.report_split; without them that of the model's train block, test before validation before train; for a
   model that nothing trains the first such that has all of its inputs. */
struct prediction {
    struct ir_program *program;
    struct split split;
    int64_t batch;
    LIST(data_names) symbols; /* of each output: the vocabularies that its `in` may mean; none: it is numbers */
};
struct prediction *lower_prediction(struct unit *unit, const char *model, struct lower_options options, struct diagnostics *d);
/* The number-th model that nothing trains. */
bool unit_models(const struct unit *unit, int number, const char **name, bool *inputs);
/* The split that the model's last train block reports on, else trains on; *data NULL: it has none. False: nothing trains it. */
bool split_of_trained(struct unit *unit, const char *model, const char **data, const char **split);
/* How many data blocks have splits with all inputs of the model; the first of them and those splits. */
int data_for_model(struct unit *unit, const char *model, const char **data, data_names *splits);
/* A model in evaluation; outputs: its own, and the sides of its expectations. */
struct expect_program {
    struct ir_program *program;
    struct ir_program *initial;    /* first values of its parameters and states, or NULL */
    struct split split;
    expectation_list expects;
    bool trained;                  /* it reads parameters of a model that a train block trains */
};
/* On all items of a split at once (data NULL: no inputs). NULL after an error. */
struct expect_program *lower_expects(struct unit *unit, const char *model, const char *data, const char *split, int64_t items,
                                     struct lower_options options, struct diagnostics *d);
/* Everything that can be checked: every train block, every model in both modes. */
void check_unit(struct unit *unit, struct diagnostics *d);
/* Value of a let after --set, or false. */
bool unit_let(const struct unit *unit, const char *name, double *value);

/* ---- the standard library, embedded: generated from stdlib/ by the build ---- */
struct embedded { const char *path, *text; };
extern const struct embedded standard_library[]; /* ends with a NULL path */

#endif
