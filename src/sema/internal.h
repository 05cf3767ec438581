/* internal.h: what the files of sema share.

   A workspace is one program in the making: one mode (training or evaluation), one batch. Every statement is evaluated
   at once: a `struct value` comes out, and equations are appended to the workspace's program. When all is there,
   extract.c copies what a result needs into a program of its own, so nothing that was tried or drawn for nothing stays
   behind.

   A value has own axes (placeholders, made afresh for each value and never free) and a scalar expression over them and
   the free indices. A subscript replaces placeholders by forms; a reduction becomes an equation over what is left free,
   and a read of it comes back; `name = e` makes an equation unless it only renames. Errors give a poisoned value, which
   silences everything that touches it. */
#ifndef RNET_SEMA_INTERNAL_H
#define RNET_SEMA_INTERNAL_H

#include "sema.h"

struct scope;
struct workspace;
struct value;

/* ---- files and definitions: unit.c ---- */

struct file {
    const struct source *source;
    struct node *tree;
    struct map *names;                     /* name -> struct definition */
    LIST(struct definition *) definitions; /* in order */
    struct map *differentiated;            /* names by which it takes a gradient; NULL: not looked for yet */
    LIST(struct file *) uses;              /* what `use` brings in; not transitive */
    bool library;
};
struct definition {
    const char *name;
    struct node *node; /* NODE_LET, FN, LAYER, MODEL, RULE, DATA, TRAIN */
    struct file *file;
    const struct value *let; /* value of a let once it is evaluated */
    bool evaluating;
};
struct unit {
    struct arena *arena;
    struct file *main;
    LIST(struct file *) files;
    LIST(struct file *) library; /* the embedded files, if `use std` */
    LIST(struct setting) settings;
    LIST(struct node *) trainings; /* NODE_TRAIN */
    const struct unit *texts;    /* whose files are taken as they were read there, or NULL */
    struct diagnostics *diagnostics;
    int calls;          /* of functions, layers and passes put in place in the workspace made last */
    struct map *warned; /* places that were warned of, and what is known of them */
    int64_t (*items)(void *context, const char *data, const char *split); /* of a split in files; NULL: not known */
    void *items_context;
    bool items_must; /* it is an error if a split cannot be counted */
    int64_t (*count)(void *context, const char *data, const char *split); /* the same, for a report that turns out to need it */
    int64_t guess;   /* how many items such a split is taken to have; 0: some */
    const struct data_split *uncounted; /* the first of them, or NULL */
    bool (*shape)(void *context, const struct field *field, int *rank, int64_t *extents); /* of a field's file; NULL: not read */
    void *shape_context;
};
/* Own names first, then those of used files; an error if two used files have it. NULL if there is none. */
struct definition *find_definition(struct unit *unit, struct file *file, const char *name, struct span at);
/* Every name a file sees, for suggestions. */
typedef LIST(const char *) name_list;
void visible_names(struct unit *unit, struct file *file, name_list *out);
/* `no NAME ...` with a suggestion as help. */
void suggest(struct diagnostics *d, const char *name, const name_list *candidates);
/* Help, if the library is not used and has the name, or if it is a reduction's. */
void suggest_library(struct unit *unit, const char *name);
bool is_predefined(const char *name);
/* Is it a scalar of the programs, which --set may change without compiling again? */
bool is_scalar_let(const struct unit *unit, const struct definition *let);
const struct value *let_value(struct unit *unit, struct definition *let);
/* Names no use of a definition can mean: reported once, at the definition. */
void check_definition_names(struct unit *unit, struct definition *definition);
/* Does a `grad(e, name)` stand in the file, or one by a path that ends so? */
bool takes_gradient_by(struct unit *unit, struct file *file, const char *name);

/* ---- values ---- */

enum value_kind {
    VALUE_POISON,   /* an error was reported */
    VALUE_NUMBER,   /* known now: number, whole; expr != NULL: what to compute with at run time, if it rests on a let */
    VALUE_TENSOR,   /* own, expr */
    VALUE_SET,      /* a parameter set, one long vector: pieces; opened: its one axis is free under this name */
    VALUE_LAYER,    /* a layer or model, perhaps with settings and a path; or a pipeline without its left end */
    VALUE_FUNCTION, /* fn: definition */
    VALUE_OPERATOR, /* predefined function: name */
    VALUE_DISTRIBUTION, /* name, arguments */
    VALUE_STRING,       /* text */
    VALUE_TUPLE,        /* items: outputs of a layer with several */
    VALUE_DATA          /* a data block: definition */
};
typedef LIST(const struct value *) value_list;
struct value {
    enum value_kind kind;
    double number;
    bool whole;
    const struct ir_expr *expr;
    ir_index_list own;
    ir_index_list stated; /* free indices that the text has and the expression need not: 0 * k differs along k */
    struct ir_index *opened;
    value_list items; /* SET: pieces; TUPLE; DISTRIBUTION: arguments */
    const char *text; /* STRING; OPERATOR, DISTRIBUTION: name */
    struct definition *definition;
    struct layer *layer;
    struct field_use *field; /* a field read raw, whose kind the program may still settle */
    struct field_use *unshaped; /* a field whose shape the program may still settle */
};
/* A layer as a value. Exactly one of definition and stages. */
struct layer {
    struct definition *definition;
    struct map *settings; /* name -> struct value, given where it was made; NULL: none */
    struct node *pipe;    /* NODE_PIPE without a left end */
    struct scope *scope;  /* where the pipe stands */
    const char *path;     /* place of its parameters; NULL: each naming makes one */
};

/* ---- the workspace: one program in the making ---- */

struct parameter {
    const char *path;
    struct ir_tensor *leaf, *initial; /* initial: same axes, in the same program */
    bool weight, trainable;
    bool aside;           /* of a model that is not called: trained if the loss reads it */
    struct span span;
    struct ir_tensor *derivative; /* of the objective; NULL before the backward pass, and if it is not trained */
    const struct value *current; /* while rules run: its value so far */
    const struct value *gradient;
};
struct state {
    const char *path;
    struct ir_tensor *leaf, *initial;
    const struct value *current; /* own axes as the leaf's; a read of the leaf until it is assigned */
    bool assigned;
    struct span span;
    bool rule; /* of a rule */
    bool lanes; /* one for each place in the batch, which is the first axis of leaf and initial */
};
typedef LIST(struct parameter *) parameter_list;
/* What has been drawn, for E0601: the value and the expressions it was made from (before they were stopped). */
struct drawn {
    struct ir_tensor *tensor;
    LIST(const struct ir_expr *) arguments;
    const char *name;
    struct span span;
};
/* A split as it is written: a block of fields; that of a block made `from` another data block's split; or a part of `of`. */
struct data_split {
    struct definition *data;
    const char *name;
    struct node *block; /* NULL: divided */
    struct data_split *from, *of;
    struct rows *rows; /* of `of`; rows->of is NULL */
};
/* Where a field is defined: in a split with a block; rows: what of it is meant. */
struct data_field {
    struct data_split *split;
    const char *name;
    struct node *definition;
    int part; /* which of the definition's targets */
    const struct rows *rows;
};
/* A field of the data that the program reads. Kind and shape are settled by use; lowering starts again when a use
   settles more than was known (`changed`). */
struct field_use {
    const char *name;
    struct node *node;   /* its definition in the split's block */
    struct data_field source;
    struct node *reader; /* the reader call in it; NULL: made */
    bool raw;            /* the definition is the reader call itself */
    bool stays_whole;    /* or + - * // % of it and whole numbers: whole if what is read is */
    bool made, shared;   /* by a program of its own; once for all items */
    bool item;           /* made of nothing: the item's number */
    bool broken;         /* that program has errors, reported there */
    const struct data_split *other; /* all items of another split, along an index of their own; NULL: the same item */
    bool whole, shaped;
    int64_t low, high;
    const char *bound;
    int rank;
    int64_t shape[8];
};
/* failed: a field could not be read, so a missing one is no news. */
struct field_table {
    LIST(struct field_use *) fields;
    bool changed, failed;
};

struct statistic_use {
    const char *name;
    struct ir_tensor *tensor;
    struct ir_tensor *leaf;
    enum ir_reduction reduction;
};
/* What a probe gives in one step. */
struct probe_use {
    const char *name;
    struct ir_tensor *tensor;
};
/* An expect of the program, and the equations of its sides. */
struct side_use {
    const char *name;
    struct ir_tensor *tensor;
};
struct expect_use {
    struct expectation expectation;
    LIST(struct side_use) sides;
};
struct workspace {
    struct unit *unit;
    struct arena *arena;
    struct diagnostics *diagnostics;
    struct ir_program *program;
    struct ir_index *batch; /* NULL: nothing is per sample here */
    int open_overs;         /* `over` blocks that are being made, of any body: until the last is, recurrences are not whole */
    LIST(struct parameter *) parameters;
    LIST(struct state *) states;
    LIST(struct drawn) draws;
    struct map *instances;    /* path -> struct value (VALUE_LAYER): what a path may name */
    struct map *counts;       /* "path.layer" -> ordinals given so far */
    struct map *sites;        /* "path#node" -> path given to that place */
    struct map *applications; /* path -> how often it was applied */
    struct map *reductions;   /* content -> tensor: the same reduction is one equation */
    struct map *scalars;      /* name -> IR_SCALAR leaf */
    struct field_table *fields;
    const char *phase;           /* of a train block; NULL: it has none */
    struct ir_tensor *objective; /* that gradients are of; NULL before the backward pass */
    struct map *probed;          /* content -> copies of the objective and its gradients at other parameters */
    LIST(struct probe_use) probes;
    LIST(struct probe_use) rates; /* of the optimizers, by the names of their rules */
    struct data_split *split; /* a program of a data block: of which split */
    struct data_split *sampled; /* else: the split that the samples are of; NULL: no data are given */
    bool sized;               /* size(batch) was asked */
    bool streaming; /* a report: a reduction over batch becomes a statistic over the split */
    bool wants_whole; /* a report: it needs all of the split at once */
    LIST(struct statistic_use) statistics;
    LIST(struct expect_use *) expects;
};

/* ---- scopes: scope.c ---- */

struct call {
    const char *name;
    struct span span;
    const struct call *up;
    int depth;
    const struct node *node; /* NULL: not known. Its arguments are the inputs after the first `piped` */
    int piped;
}; /* the chain of uses, innermost first */
enum binding_kind { BIND_VALUE, BIND_AXIS, BIND_STATE, BIND_KEPT };
struct binding {
    enum binding_kind kind;
    const char *name;
    struct span span;
    const struct value *value;
    ir_index_list axes; /* AXIS: one index, or the group bound to a function's axis */
    struct state *state;
    struct kept *kept;
};
/* The parameters a rule runs for, in lockstep: rule.c. */
struct rule_run {
    struct scope **peers;
    int count;
    const char *weight, *gradient; /* names of the rule's two inputs */
};
struct scope {
    struct scope *up; /* within one body: a reduction's or function call's local axes; NULL: the body's own */
    struct scope *body;
    struct workspace *workspace; /* NULL: a let, which knows numbers only */
    struct unit *unit;
    struct file *file;
    const char *path;   /* of the instance */
    const char *site;   /* of draws: path, with the number of the application if it is not the first */
    const char *given;  /* path that the pipeline being named gives to its only stage */
    const char *target; /* the name being defined, for names of equations */
    bool training;
    bool function;          /* body of a fn: definitions are open and make no equations */
    bool in_training_block; /* under `if training` */
    struct map *names;      /* -> struct binding */
    name_list order;        /* names in order of definition */
    ir_index_list context;  /* free indices that need not be written: batch, mapped */
    bool has_dots;
    ir_index_list dots;
    name_list reduced; /* names being reduced over around here: E0313 */
    struct rule_run *rule;
    struct parameter *peer; /* which parameter this scope is of */
    const struct call *calls;
    const struct ir_origin *caller;
    struct over *over; /* the innermost recurrence around here, through calls too */
    const struct node *statement; /* in whose reads an index gets its extent, wherever in it they stand; or NULL */
};
struct scope *scope_body(struct scope *from, struct file *file, const char *path);
struct scope *scope_inner(struct scope *up);
struct binding *scope_find(struct scope *scope, const char *name);
struct binding *scope_bind(struct scope *scope, const char *name, struct span span);
void scope_define(struct scope *scope, const char *name, struct span span, const struct value *value);
/* Every name in reach, for suggestions. */
void scope_names(struct scope *scope, name_list *out);
struct ir_index *new_index(struct scope *scope, const char *name, int64_t extent);
/* The path of the place `node` in this scope: path.NAME_k, k counting in order of first use. */
const char *place(struct scope *scope, const struct node *node, const char *name);
const struct ir_origin *origin_of(struct scope *scope, struct span span);
/* An error at `at` with the chain of calls as notes; returns the poisoned value. */
const struct value *fail(struct scope *scope, const char *code, struct span at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void warn(struct scope *scope, const char *code, struct span at, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void help(struct scope *scope, const char *format, ...) __attribute__((format(printf, 2, 3)));
void note(struct scope *scope, struct span at, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Of a report that cannot be summed up part by part: it is lowered anew for the whole split at once. */
const struct value *whole_split(struct scope *scope);
const char *text_of(struct scope *scope, const struct node *node);
/* "[16, 8]" */
const char *shape_text(struct scope *scope, const ir_index_list *axes);

/* ---- values.c ---- */

extern const struct value poison;
struct value *value_new(struct scope *scope, enum value_kind kind);
const struct value *value_number(struct scope *scope, double number, bool whole);
const struct value *value_tensor(struct scope *scope, const struct ir_expr *expr, const ir_index_list *own);
/* A read of the whole tensor: the axes of `context` stay free, the rest are own. */
const struct value *value_of_tensor(struct scope *scope, struct ir_tensor *tensor, int free_axes);
const struct ir_expr *value_expr(struct scope *scope, const struct value *value); /* NUMBER or TENSOR */
bool is_number(const struct value *v);
bool is_poison(const struct value *v);
/* The free indices of a tensor as its text has them, own placeholders left out. */
void free_indices(struct scope *scope, const struct value *v, ir_index_list *out);
/* Those that its expression has. */
void indices_computed(struct scope *scope, const struct value *v, ir_index_list *out);
/* v, a tensor, with the indices that `from` states too, those in `except` (or NULL) left out. */
const struct value *stating(struct scope *scope, const struct value *v, const ir_index_list *from,
                            const ir_index_list *except);
bool list_has(const ir_index_list *list, const struct ir_index *index);
/* Elementwise, on equal own axes; maps over parameter sets. */
const struct value *apply_operator(struct scope *scope, enum ir_op op, const struct value **arguments, int count,
                                   const struct node *at);
/* Equal extents, and not the same names in another order; false after an error. */
bool axes_agree(struct scope *scope, const ir_index_list *a, const ir_index_list *b, const struct node *at);
/* Own axes replaced by forms, from the first; what is left stays own. otherwise: the value outside, or NULL. */
const struct value *value_read_at(struct scope *scope, const struct value *v, const struct ir_form **forms, int count,
                            const struct value *otherwise, const struct node *at);
/* The context among the free indices, batch first, then other free ones as they occur: axes of its equation. */
void equation_axes(struct scope *scope, const struct value *v, ir_index_list *out);
/* The expression with own axes under other indices of equal extents. */
const struct ir_expr *with_own(struct scope *scope, const struct ir_expr *e, const ir_index_list *from,
                               const ir_index_list *to);
/* An equation of it over the context it has and its own axes; what is only a read of a tensor stays as it is. */
const struct value *materialise(struct scope *scope, const struct value *v, const char *name, struct span span);
/* The same for what a name stands for. If the file takes a gradient by the name, grad adds to what this name stands for
   and to nothing that happens to be equal: an equation that no other shares, of a constant too, made at each step of the
   `over` around it. Another name of a whole tensor stays that. */
const struct value *materialise_named(struct scope *scope, const struct value *v, const char *name, struct span span);
/* The tensor whose elements are v's, with axes: context (batch first), then own. Always a tensor of its own axes'
 * order. */
struct ir_tensor *tensor_of(struct scope *scope, const struct value *v, const char *name, struct span span);
/* The tensor of e over exactly these axes: the one it reads, or an equation. */
struct ir_tensor *tensor_over(struct scope *scope, const struct ir_expr *e, const ir_index_list *axes, const char *name,
                              struct span span);
/* v as a read of a whole tensor. */
const struct value *value_of_whole(struct scope *scope, const struct value *v, const char *name, struct span span);
/* op over the indices; the mean is a sum divided by the count. */
enum reduce { REDUCE_SUM, REDUCE_MEAN, REDUCE_PROD, REDUCE_MAX, REDUCE_MIN, REDUCE_ARGMAX, REDUCE_ARGMIN };
const struct value *reduce_over(struct scope *scope, enum reduce how, const struct value *v, const ir_index_list *over,
                                struct span span);
const struct ir_expr *constants_stored(struct scope *scope, const struct ir_expr *e, const char *name,
                                       struct span span);
struct ir_tensor *scalar_leaf(struct workspace *w, const char *name);

/* ---- expression.c, read.c, call.c, header.c, statement.c, draw.c ---- */

const struct value *evaluate(struct scope *scope, struct node *node);
/* In a data block `batch` over fields of another split, D.S.x, is that split. */
void items_of_another_split(const struct scope *scope, ir_index_list *over, const ir_index_list *free);
/* A compile-time whole number; false after an error. */
bool evaluate_whole(struct scope *scope, struct node *node, int64_t *out, const char *what);
/* The largest extent, and the most elements of one tensor. */
#define WIDEST ((int64_t)INT32_MAX)
#define MOST_ELEMENTS ((int64_t)1 << 40)
/* E0305 and false for what is larger. */
bool extent_fits(struct scope *scope, const char *name, int64_t extent, struct span at);
bool elements_fit(struct scope *scope, const char *name, const ir_index_list *axes, struct span at);
/* Declares `k: n` of a list of subscripts in the scope (its body, or itself if local). */
bool declare_axes(struct scope *scope, struct node *const *subscripts, int count, bool local);
/* Axis names of a list of subscripts, groups and dots spread out; false after an error. */
/* A name that nothing has yet: an axis, if the statement around reads something at that very index. NULL: no. */
struct binding *axis_of_statement(struct scope *scope, const char *name);
bool axes_named(struct scope *scope, struct node *const *subscripts, int count, ir_index_list *out);
/* NULL: nothing has the name. */
const struct value *lookup_name(struct scope *scope, const char *name, struct span at);
const struct value *lookup_path(struct scope *scope, struct node *path);
/* The name of a subscript that is just a name, or NULL. */
const char *bare_name(const struct node *subscript);
const struct value *evaluate_read(struct scope *scope, struct node *read, const struct value *otherwise);
const struct value *evaluate_else(struct scope *scope, struct node *node);
/* No index twice; false after an error. */
bool axes_distinct(struct scope *scope, const ir_index_list *axes, struct span at);

/* x: the value from a pipeline that comes first, or NULL. */
const struct value *evaluate_call(struct scope *scope, struct node *call, const struct value *x);
const struct value *call_function(struct scope *scope, struct definition *fn, struct node *call, const struct value *x);
const struct value *evaluate_pipe(struct scope *scope, struct node *pipe);
const struct value *pipe_value(struct scope *scope, struct node *pipe, const char *path);
/* Binds the inputs and settings of a header in a fresh body; false after an error. */
bool bind_header(struct scope *inner, struct definition *definition, const value_list *inputs, struct map *settings,
                 struct span at);
/* The number that `in` bounds: an axis' extent or a whole number; false after an error. */
bool bound_of(struct scope *scope, struct node *bound, int64_t *out);
/* "name(x; out, init)" */
const char *header_text(struct scope *scope, struct definition *definition);
/* settings: name -> value; NULL after an error */
struct map *evaluate_settings(struct scope *scope, struct definition *definition, struct node *const *arguments,
                              int count, int inputs, bool *training, value_list *values);
const struct value *apply_layer(struct scope *scope, struct definition *definition, struct map *settings,
                                const char *path, const value_list *inputs, bool training, const struct node *call,
                                int piped);

/* The value of one output of a layer whose body has run, with the axes its header declares. */
const struct value *layer_output(struct scope *inner, struct definition *definition, int number,
                                 const value_list *inputs);

void run_statements(struct scope *scope, struct node *block);
/* Names of what could not be evaluated. */
void poison_targets(struct scope *scope, struct node *definition);
void poison_block(struct scope *scope, struct node *block);
void run_statement(struct scope *scope, struct node *statement);
void run_definition(struct scope *scope, struct node *definition);
/* name[subscripts] = value */
void assign(struct scope *scope, struct node *target, const struct value *value);
/* The value as the left side says it, without an equation yet: axes closed, what may not be assigned refused. */
const struct value *value_assigned(struct scope *scope, struct node *target, const struct value *value);
/* Closes the value over the left side's indices: own axes in their order, then the value's own. */
const struct value *close_over(struct scope *scope, struct node *target, const struct value *value, bool broadcast);
void declare_leaf(struct scope *scope, struct node *definition, bool parameter);
void update_state(struct scope *scope, struct node *definition);

bool is_distribution(const char *name);
const struct value *make_distribution(struct scope *scope, struct node *call, const char *name,
                                      struct node *const *arguments, int count);
void run_draw(struct scope *scope, struct node *definition);
/* The distribution drawn over the axes for a first value; PER_RUN at `site`. */
struct ir_tensor *draw_tensor(struct scope *scope, const struct value *distribution, const char *name, const char *site,
                              enum ir_scope per, const ir_index_list *axes, int mapped, struct span span);

/* ---- over.c: recurrences ---- */

struct over;
void run_over(struct scope *scope, struct node *node);
/* Does the left side begin with the time of the `over` that it stands in? Then the name is kept: visible after. */
bool is_kept(struct scope *scope, const struct node *target);
/* t alone before anything else is taken from the subscripts: what is left is written at one step. */
struct node *at_one_step(struct scope *scope, const struct node *target);
void keep(struct scope *scope, struct node *target, const struct value *value);
/* A read of a kept name inside its `over`: a value of one step, without the axis of time. */
const struct value *kept_at(struct scope *scope, struct binding *binding, struct node *read, struct span at);
/* Is the block of an `over` being tried, to find the kinds of what it carries? A carried value may still look whole. */
bool kinds_are_open(const struct scope *scope);
/* Is this the body of an `over` itself, not of a layer that is applied there? */
bool in_over_body(const struct scope *scope);
/* Is the name the time of an `over` around this, in the same body? */
bool is_time(const struct scope *scope, const char *name);
/* Adds the times of the `over` blocks around here that are not among the axes yet. */
void add_times(const struct scope *scope, ir_index_list *axes);
/* The innermost recurrence whose time is among the axes, and where; NULL: none. */
const struct ir_recurrence *recurrence_here(const struct scope *scope, const ir_index_list *axes, int *time);
/* An equation, of the innermost recurrence whose time is among its axes. */
struct ir_tensor *equation_here(struct scope *scope, const char *name, const ir_index_list *axes,
                                enum ir_reduction reduction, const ir_index_list *reduced, const struct ir_expr *value,
                                bool single, struct span span);

/* ---- expect.c ---- */

void run_expect(struct scope *scope, struct node *statement);
/* The side of that name, or NULL. */
struct ir_tensor *expect_side_tensor(const struct workspace *w, const char *name);
/* Those of models that a train block trains, or all others. */
void list_expects(const struct workspace *w, bool trained, expectation_list *out);
bool has_expects(const struct node *node);
bool reads_trained(const struct workspace *w);
bool data_of_trained(const struct unit *unit, const char *data);

/* ---- opaque.c, gather.c ---- */

bool is_opaque(const char *name);
/* rank[k](x), solve[i; j](A, b), cholesky[i; j](S) */
const struct value *call_opaque(struct scope *scope, const char *name, struct node *call, const struct value *x);
/* The axes in the brackets of a call, apart by `;`, none empty; false after an error. */
bool axis_groups(struct scope *scope, struct node *call, ir_index_list *groups, int wanted);
/* gain * an orthogonal matrix from `in` to `out` for each value of the other axes, made of normal numbers over the axes. NULL after an
   error. */
struct ir_tensor *draw_orthogonal(struct scope *scope, const struct ir_expr *gain, const ir_index_list *in,
                                  const ir_index_list *out, const char *name, const struct ir_expr *normal,
                                  const ir_index_list *axes, struct span span);
/* A number rounded down as a subscript, outside 0 .. extent - 1 wherever the number is. */
const struct ir_form *rounded_subscript(struct scope *scope, const struct value *v, int64_t extent, struct span span);
/* x[batch: n]: x of the n-th sample; own axes stay. */
const struct value *of_other_sample(struct scope *scope, const struct value *v, struct node *subscript,
                                    const struct node *read);

/* ---- effect.c: what reaches what ---- */

/* E0402, E0501 for one output of a model in evaluation. */
void check_evaluation_output(struct scope *scope, const char *name, struct ir_tensor *tensor, bool random,
                             struct span at);
struct span origin_span(struct unit *unit, const struct ir_origin *origin);
/* E0601 */
void check_derivatives_through_draws(struct scope *scope, struct ir_tensor *loss);
/* E0602 for parameters that get no derivative of the objective: one for those of one place whose paths end alike. */
void say_cut_off(struct scope *scope, const parameter_list *cut_off, const struct ir_tensor *objective);
/* Does it add up values of different samples? */
bool sums_samples(const struct ir_tensor *t);
/* Is one of the tensors marked read in e where a derivative passes, that is outside `stop` and whole numbers? */
bool derivative_passes(const struct ir_expr *e, const bool *mark);
/* Marks what a derivative gets to from what is marked, among the tensors from first to last. */
void spread_derivative(const struct ir_program *p, bool *mark, int first, int last);

/* ---- reach.c ---- */

/* Is e computed from x, in whatever way? */
bool depends_on(struct workspace *w, const struct ir_tensor *e, const struct ir_tensor *x);
/* The equation in which samples meet on the way of the derivative of e by x, or NULL. */
const struct ir_tensor *samples_meet(struct workspace *w, const struct ir_tensor *e, const struct ir_tensor *x);
/* A draw that the derivative of e by x would have to pass, or NULL. */
const struct drawn *derivative_through_draw(struct workspace *w, const struct ir_tensor *x, const struct ir_tensor *e);

/* ---- bound.c ---- */

/* squares: by parameter, filled with the sum of the squares of its gradient as it is now; NULL of one that is not trained. */
struct ir_tensor *norm_of_gradients(struct workspace *w, const char *name, const struct ir_expr **squares);
/* A number that is finite only if the norm of all derivatives of the objective by parameters is, and that rests on none of those
   for which there is such a bound made of fewer numbers. squares: by parameter, the sum of its derivative's squares, or NULL.
   NULL: there is no such bound for any. */
struct ir_tensor *bound_of_gradients(struct workspace *w, const struct ir_expr *const *squares);
/* Does one of those that are changed need a number made of a whole gradient, as its norm? */
bool needs_whole_gradient(struct workspace *w, struct ir_tensor *const *changed, int count);

/* ---- grad.c, probe.c ---- */

/* piped: the first argument, or NULL. */
const struct value *evaluate_grad(struct scope *scope, struct node *call, const struct value *piped);
/* gradient(e), objective(e), named("...") of rules. */
const struct value *evaluate_probe(struct scope *scope, const char *name, struct node *call);
/* The scope of the i-th peer of a rule with the local axes of this one. */
struct scope *peer_scope(struct scope *scope, int i);
/* What a rule in the slot `probe` gives is noted in the workspace. */
void note_probes(struct scope *scope, struct definition *rule, const struct rule_run *run, const parameter_list *group);

/* ---- extract.c ---- */

/* Copies tensors and all they read into a program of its own, in the order they have in the workspace. */
struct extraction;
struct extraction *extraction_new(struct arena *arena, struct ir_program *from, const char *name,
                                  enum ir_precision precision);
/* Reads of tensor become reads of `by`, both of the workspace. */
void extraction_replace(struct extraction *x, struct ir_tensor *tensor, struct ir_tensor *by);
/* The leaf is copied as a leaf of another kind and name. */
void extraction_rename(struct extraction *x, struct ir_tensor *leaf, enum ir_kind kind, const char *name);
void extraction_want(struct extraction *x, struct ir_tensor *tensor);
/* Copies what is wanted; then extraction_copy gives the copy of each wanted tensor. */
struct ir_program *extraction_run(struct extraction *x);
struct ir_tensor *extraction_copy(struct extraction *x, struct ir_tensor *tensor);

/* ---- model.c, train.c, rule.c, data.c, report.c ---- */

struct workspace *workspace_new(struct unit *unit, struct diagnostics *d, const char *name, int64_t batch,
                                enum ir_precision precision);
/* A scope for expressions that stand at the file's top: settings of train blocks and data. */
struct scope *scope_top(struct workspace *w, struct unit *unit, struct file *file, bool training);
/* The model on the fields: its body's scope, with its outputs bound. NULL after an error that leaves nothing to go on.
 */
struct scope *forward(struct workspace *w, struct definition *model, struct data_split *split,
                      struct field_table *fields, bool training, struct span at);

/* A model that this program has not called gets its parameters and instances, from the extents its header has. True if
   that was done now. */
bool make_places(struct scope *scope, const struct layer *layer, struct span at);

/* data.c. The split of that name, or NULL. */
struct data_split *data_split(struct unit *unit, struct definition *data, const char *name);
/* Help for a split that is not there: the nearest, and which there are; `written`: those with a block of their own. */
void suggest_split(struct unit *unit, struct definition *data, const char *name, bool written);
void data_split_names(struct unit *unit, struct definition *data, name_list *out);
void check_data_statements(struct unit *unit, struct definition *data);
int64_t split_items(struct unit *unit, const struct data_split *split);
bool has_samples(const struct definition *data);
/* What is left of the rows `first` after `last` is taken of them. */
const struct rows *rows_after(struct arena *arena, const struct rows *last, const struct rows *first);
bool find_data_field(struct unit *unit, struct data_split *split, const char *name, struct data_field *out);
void data_field_names(const struct data_split *split, struct arena *arena, name_list *out);
/* Is it made of one reader and arithmetic on it? */
bool is_only_reader(struct unit *unit, const struct data_field *field);
/* The field under a name in the table; made fields are lowered once to see what they are. */
struct field_use *field_use_of(struct scope *top, struct field_table *fields, const char *name, const struct data_field *field);
void data_fields(struct scope *top, struct data_split *split, struct field_table *fields);
struct node *without_reader(struct arena *arena, struct node *node, struct node *reader, const char *name);
const struct value *raw_field_value(struct scope *scope, struct field_use *field);
const struct value *field_value(struct scope *scope, struct field_use *field);
/* reader.c */
void find_readers(struct node *node, struct node **reader, int *count);
void settle_reader(struct scope *top, struct field_use *field);
/* What a reader of symbols numbers them below: its `limit`, `categories` or `classes`; NULL: this part of it gives numbers. */
struct node *reader_limit(struct scope *top, struct node *call, int part);
bool describe_field(struct scope *top, const struct field_use *use, struct field *out);
/* symbols.c: the vocabularies that an output may be symbols of, by what its `in` says. */
data_names output_symbols(struct scope *scope, struct node *output);
/* settle.c. May its arithmetic keep it whole? Then so it is told. */
void settle_chain(struct scope *top, struct field_use *field);
/* data_program.c. D.x and D.S.x in a data block. */
const struct value *data_value(struct scope *scope, struct definition *data, struct node *path);
void settle_made(struct scope *top, struct field_table *fields, struct field_use *use);
void check_data(struct unit *unit, struct definition *data, struct diagnostics *d);
/* train.c: first values of all parameters and states. */
struct ir_program *initial_program(struct workspace *w, enum ir_precision precision);
/* A use settles that the field is whole, in [0, high]; or its shape. True if that is news: the caller's value is poison
 * then. */
bool settle_whole(struct workspace *w, struct field_use *field, int64_t high, const char *bound);
bool settle_shape(struct workspace *w, struct field_use *field, int rank, const int64_t *shape);
/* The fields that the program has leaves for: those of the same items, or of all items of another split. */
struct split describe_split(struct scope *top, struct data_split *split, struct field_table *fields,
                            struct ir_program *program, const struct data_split *other);

/* weights, biases, params, params("glob"), a model or instance, one parameter. false after an error. */
bool select_parameters(struct scope *scope, struct node *selector, parameter_list *out);
bool glob_matches(const char *glob, const char *name);
const struct value *parameter_set(struct scope *scope, const parameter_list *list);
/* The parameters of a model or an instance as one long vector, where a number is wanted; NULL: it is none or has none. */
const struct value *parameters_within(struct scope *scope, const struct value *instance);
/* Runs the rule of one slot for a group; the parameters' current value and gradient change. outputs: of the average
 * slot. */
void run_rule(struct scope *scope, const char *slot, struct node *call, const parameter_list *group,
              struct map *averages);

/* What a train block says, key by key. */
struct slot {
    const char *name;
    struct node *definition;
};
struct train_block {
    struct node *node;
    struct definition *model, *data;
    const char *split; /* written after the data's name, or NULL */
    struct node *loss, *penalty, *params, *epochs, *steps, *batch, *order, *precision, *validate, *patience,
        *stop, *times; /* values */
    struct node *report;        /* value of the key, or NODE_BLOCK */
    LIST(struct slot) slots;    /* in written order */
    LIST(struct node *) locals; /* NODE_DEFINITION */
    const char *phase;          /* of a phase: its name */
    LIST(struct train_block *) phases;
};
/* Reads the block's keys; NULL if model or data are not there. */
struct train_block *read_train_block(struct unit *unit, struct node *train);
/* Is a local name of the block what was meant to be this setting? */
bool misspelt(const struct train_block *block, const char *key);
/* One definition of a block or a phase: a key, a slot or a local name. */
void read_block_definition(struct scope *top, struct train_block *block, struct node *definition);
/* E0203 for local names that none of the statements mentions. */
bool unused_locals(struct scope *top, const struct train_block *block, const struct node *statements);
void read_phases(struct scope *top, struct train_block *block); /* phase.c */
/* The scope of the block after forward: the model's names and the fields. */
struct scope *scope_of_block(struct scope *model, struct train_block *block, struct field_table *fields);
/* What the slot's selector names; without one the trainable parameters that no other of the same slot selects. false
 * after an error. */
bool parameters_of_slot(struct scope *scope, struct train_block *block, const struct slot *slot, parameter_list *out);
/* Runs the local definitions that the expressions rest on. */
void run_locals(struct scope *scope, struct train_block *block, struct node *const *expressions, int count);
/* The split for evaluation: test or validation first, as asked; NULL if the data have neither. */
struct data_split *evaluation_split(struct unit *unit, struct train_block *block, bool test_first);

/* trained: the workspace of the step, which gives every parameter and state its first value; NULL: it failed. */
struct report *lower_report(struct unit *unit, struct train_block *block, const struct field_table *known,
                            struct map *averages, const struct workspace *trained, struct lower_options options,
                            int64_t batch, enum ir_precision precision, struct diagnostics *d);
/* What is wrong with the model in evaluation, where no report reads it. */
void check_evaluation(struct unit *unit, struct definition *model, struct lower_options options,
                      struct diagnostics *d);
/* A model's fields where no data give them: shapes and bounds from the header. */
void fields_of_header(struct scope *top, struct definition *model, struct field_table *fields);
/* The train block's average slot without running it: parameter path -> state path. */
void averages_of(struct unit *unit, struct train_block *block, struct workspace *w, struct map *averages);
/* The same of a model, after all that trains it: path of a parameter -> state. */
struct map *averages_of_trained(struct unit *unit, const char *model, struct workspace *w);

#endif
