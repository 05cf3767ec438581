/* driver.h: the whole compilation as one function, and what a run needs around compiled code: memory, data, checkpoints. */
#ifndef RNET_DRIVER_H
#define RNET_DRIVER_H

#include "codegen.h"
#include "passes.h"
#include "rnet.h"
#include "sema.h"

/* ---- load.c ---- */

/* The code generator, opened on first use: the file that RNET_CODEGEN_MODULE names, else librnet_codegen.so beside the
   executable, in ../src/codegen/ from it (the build tree) or in ../lib/rnet/ (installed). */
const struct code_api *codegen_open(struct rnet_error *error);

/* ---- compile.c ---- */

struct compile_options {
    bool fuse;             /* false: one kernel an equation */
    bool keep_all;         /* every tensor keeps its bytes to the end of the step */
    const char *dump;      /* name of a pass, or "all": its result is printed on stdout */
    struct code_options code;
    bool generate;         /* false: stop after plan_memory */
};
enum { MAX_TIMED = 16 };
struct compile_timing {
    struct { const char *pass; double seconds; } at[MAX_TIMED];
    int count;
    struct code_timing code; /* what `generate` consists of, how many kernels there were */
};
struct compiled {
    struct ir_program *program;  /* fused and planned */
    struct ir_program *schedule; /* scalars that depend on step, epoch and settings */
    const struct code_api *api;
    struct code *code;           /* NULL if not generated */
    struct compile_timing timing;
};
bool compile(struct compiled *out, struct ir_program *p, struct layout *layout, struct compile_options options,
             struct rnet_error *error);
void compiled_release(struct compiled *compiled);
double compile_seconds(const struct compile_timing *timing);

/* ---- initial.c ---- */

/* The initial program where the parameters that the file has are in memory already: it writes none, and where it read a parameter's first value
   (an average begins with it) it reads the parameter. */
struct ir_program *given_parameters(struct ir_program *initial, const struct rnet_safetensors *file);

/* ---- scalars.c: the schedule as a list of operations ---- */

struct scalar_code;
/* NULL if the schedule holds what only the evaluator can do. tensor: its number in the schedule. */
struct scalar_code *scalar_code(struct arena *arena, const struct ir_program *schedule);
void scalar_code_set(struct scalar_code *code, int tensor, double value);
void scalar_code_run(struct scalar_code *code);
double scalar_code_value(const struct scalar_code *code, int tensor);

/* ---- execute.c: memory around a compiled program ---- */

/* Parameters and state of a run, shared by its programs. */
struct memory {
    struct layout *layout;
    char *parameters, *state;
    char *arena;               /* of all instances that it is large enough for; NULL: each has its own */
    int64_t arena_bytes;
};
/* requires: every program of the run is compiled. Zeroed, aligned to 64 bytes, huge pages advised. */
void memory_new(struct memory *memory, struct layout *layout);
/* One arena for the instances of these programs: they run one at a time, and what a run made is read before the next. */
void memory_share(struct memory *memory, const struct compiled *const *programs, int count);
void memory_free(struct memory *memory);

struct instance {
    const struct compiled *compiled;
    struct rnet_step step;         /* given to the code */
    char *own_arena;               /* NULL: the memory's */
    double *scalars;
    uint64_t *keys;
    int scalar_count, draw_count;
    const char **scalar_names;
    struct arena *arena;           /* of the values below */
    struct scalar_code *code;      /* of compiled->schedule; NULL: the evaluator does it, with the values below */
    struct ir_values schedule;
    int *schedule_outputs;         /* number of the schedule's tensor that fills scalar i, or -1 */
    double *kernel_seconds;        /* NULL, or where each kernel's time is added: code_api.run_timed */
};
/* Value of a scalar leaf that is not of the schedule: step, epoch, progress, steps, a let. */
typedef double scalar_source(void *context, const char *name);
void instance_new(struct instance *instance, const struct compiled *compiled, const struct memory *memory,
                  struct rnet_pool *pool, uint64_t seed);
void instance_free(struct instance *instance);
/* Fills the scalars and runs the step: RNET_DONE or RNET_NONFINITE. */
int instance_run(struct instance *instance, uint64_t position, uint64_t step, scalar_source *source, void *context);
/* A stored tensor's bytes now (NULL if it is local to its kernel). */
void *instance_data(const struct instance *instance, const struct ir_tensor *tensor);
/* The rank-0 output of that name; false if there is none. */
bool instance_output(const struct instance *instance, const char *name, double *value);
const struct ir_tensor *program_output(const struct ir_program *p, const char *name);
double stored_number(const void *data, enum ir_storage storage, int64_t element);
int storage_bytes(enum ir_storage storage);

/* ---- account.c: the memory that steps need, as planned ---- */

/* Of programs that run one at a time over the same parameters, in one arena. */
struct account {
    int64_t parameters, state, inputs;
    int64_t arena, partials; /* of the program that needs most; partials: what code wants behind the arena */
};
/* After all programs are planned. Code that is not generated has no partials. */
void account_add(struct account *account, const struct compiled *compiled);
int64_t account_sum(const struct account *account);

/* ---- limits.c: the best that this machine was seen to give to so many threads ---- */

enum { COPY_SIZES = 5 };
struct limits {
    double multiply_add; /* floating-point operations a second: multiply-adds of f32 on registers, each two */
    double matrix_unit;  /* the same of products of f32 by AMX on bf16; 0: this process may not use it */
    double fork_join;    /* seconds for all threads to begin nothing and be done with it */
    struct {
        int64_t bytes;
        double rate;     /* bytes a second, read and written, of copying within so many */
    } copy[COPY_SIZES];  /* smaller ones first */
};
/* As kept beside the compiled kernels; measured, and kept, if they are not. */
void limits_of_machine(struct rnet_pool *pool, struct limits *out);
/* Rates that were measured now; 0: not measured. If one is better than what is kept, the machine was busy then: all is measured
   again, and the better of each kept. */
void limits_seen(struct rnet_pool *pool, struct limits *limits, double multiply_add, double matrix_unit);
/* No copy of so many bytes is faster. */
double limits_copy(const struct limits *limits, double bytes);

/* ---- source.c: where columns come from ---- */

struct store;
struct data_source {
    struct arena *arena;
    struct unit *unit;
    struct store *store;       /* vocabularies are kept in it; parameters of the models that data blocks call are found in it */
    uint64_t seed;
    int precision, threads;
    bool no_fuse;
    struct map *counts, *made; /* items of splits; fields that were made */
    struct rnet_error error;   /* of the last count that failed */
    bool failed;
};
struct data_source *data_source_new(struct arena *arena, struct unit *unit, struct store *store);
/* How many items a split has; 0: an error. For lower_options.items. */
int64_t data_source_items(void *source, const char *data, const char *split);
/* The field's rows, before any division. */
/* Says in front of an error where the program calls the reader of the field. Always returns false. */
bool data_wrong_at(const struct field *field, struct rnet_error *error);
bool data_source_read(struct data_source *source, const struct field *field, struct rnet_array *out, struct rnet_error *error);
/* Leaves the part of the array that `rows` means. */
bool data_source_part(struct data_source *source, const struct rows *rows, struct rnet_array *array, struct rnet_error *error);
/* Makes fields of a split by their program and keeps them. */
bool data_source_make(struct data_source *source, const char *data, const char *split, const char *const *fields, int count,
                      struct rnet_error *error);
/* A field that was made, or NULL; shared: one row for all items. */
const struct rnet_array *data_source_made(const struct data_source *source, const char *data, const char *split,
                                          const char *field, bool *shared);

/* ---- dataset.c: a split in memory ---- */

struct dataset {
    int64_t items;
    int count;
    struct column {
        const struct field *field;
        const char *rows;      /* items rows of row_bytes */
        int64_t row_bytes;
        int64_t stride;        /* from row to row: row_bytes, or 0 if one row is shared by all items */
        enum ir_storage storage;
        void *memory;          /* its own; NULL: rows are the source's, which keeps what programs have made */
    } *columns;
    double seconds;            /* reading and checking */
};
/* Reads the fields that `program` has leaves for, checks kinds, shapes and ranges, and converts them to the leaves' storage. */
bool dataset_read(struct dataset *out, const struct split *split, const struct ir_program *program,
                  struct data_source *source, struct rnet_error *error);
/* An element of an array, by its row-major number. */
double array_number(const struct rnet_array *array, int64_t element);
void dataset_free(struct dataset *dataset);
/* Copies items[0 .. count - 1] into the input leaves, row after row. */
void dataset_gather(const struct dataset *dataset, struct instance *instance, const int64_t *items, int64_t count);

/* ---- statistics.c: a report over a split ---- */

struct reporter {
    const struct report *report;
    struct instance instance;
    struct dataset dataset;
};
enum { MAX_REPORT = 64 };
struct report_result {
    int count;
    struct { const char *name; double value; } at[MAX_REPORT];
    int sides; /* of the report's expectations, behind the others */
};
void report_run(struct reporter *reporter, uint64_t step, scalar_source *source, void *context, struct report_result *out);

/* ---- expect.c: does what a program expects hold? ---- */

enum { MAX_EXPECT_AXES = 16 };
struct expect_outcome {
    int64_t elements, failed;
    /* Of the element that fails by most, else of the one that is nearest to failing, and of the comparison that decides there. */
    bool holds;
    double miss;                    /* how far the left side is beyond the right; at most 0 if it holds; inf: not a number */
    int op;
    double left, right;
    bool parts;                     /* a side is abs(first - second) */
    double first, second;
    int rank;
    int64_t index[MAX_EXPECT_AXES]; /* of the element, along the expectation's axes */
};
/* Adds the elements of `items` items, numbered from `first`, to the outcome. sides: left, right, first, second of each comparison,
   row-major over the side's axes; NULL where it is a number. single: sides were computed in f32. */
void expect_check(const struct expectation *e, const double *const *sides, int64_t items, int64_t first, bool single,
                  struct expect_outcome *outcome);

/* An expectation of a report, of its last result. */
void report_expect(const struct report *report, const struct report_result *result, const struct expectation *e,
                   struct expect_outcome *outcome);

/* ---- store.c: values by name that outlive a train block ---- */

struct store {
    struct arena *arena;
    LIST(struct rnet_tensor *) tensors; /* parameters and states, in order of first occurrence */
    LIST(struct rnet_pair *) notes;     /* text: vocabularies, what patience has seen */
    struct map *tensors_by_name, *notes_by_name;
};
#define STORED_STEP "rnet.step" /* name of the position in a checkpoint */
struct store *store_new(struct arena *arena);
/* Copies the tensor; what had its name is replaced. */
void store_put(struct store *store, const struct rnet_tensor *tensor);
const struct rnet_tensor *store_find(const struct store *store, const char *name);
void store_note(struct store *store, const char *key, const char *value);
const char *store_noted(const struct store *store, const char *key);
/* All that a checkpoint holds. */
bool store_read(struct store *store, const char *path, struct rnet_error *error);

/* ---- checkpoint.c ---- */

struct checkpoint {
    const char *path, *source_hash, *program_hash;
    uint64_t step, seed;
    int block;                 /* which train block of the file is being trained */
};
/* Everything in the layout by name, what the store has besides, and the position; earlier files stay intact on failure. */
bool checkpoint_write(const struct checkpoint *checkpoint, const struct ir_program *const *programs, int program_count,
                      const struct memory *memory, const struct store *store, const struct setting *lets, int let_count,
                      struct rnet_error *error);
/* Fills memory. Refuses another program, other shapes, another seed, with the reason. */
bool checkpoint_resume(struct checkpoint *checkpoint, const struct ir_program *const *programs, int program_count,
                       struct memory *memory, struct rnet_error *error);
/* Those of the programs' parameters that the file has, by name (--init); how many, and the names of the others that the store has not
   either, apart by commas. f32 and f64 are converted to what is wanted. */
bool checkpoint_parameters(const char *path, const struct rnet_safetensors *file, const struct ir_program *const *programs,
                           int program_count, struct memory *memory, const struct store *store, int *found,
                           struct text *others, struct rnet_error *error);
/* Parameters, by name (eval, predict), and with_state the states; f32 and f64 are converted to what is wanted. */
bool checkpoint_load(const char *path, const struct ir_program *const *programs, int program_count, struct memory *memory,
                     bool with_state, struct rnet_error *error);

/* Names in the store begin with `prefix` (""). Fills memory with what the store has of it, but for states whose names are among `without`; false if a shape differs. */
bool memory_from_store(struct memory *memory, const struct ir_program *const *programs, int program_count,
                       const struct store *store, const char *const *without, int without_count, const char *prefix,
                       struct rnet_error *error);
/* Copies every parameter and state of the programs into the store. */
void memory_to_store(const struct memory *memory, const struct ir_program *const *programs, int program_count,
                     struct store *store, const char *prefix);

#endif
