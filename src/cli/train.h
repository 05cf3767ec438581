/* train.h: the state of `rnetc train`, shared by its files: one trainer a train block, one folder, log and store a run. */
#ifndef RNET_TRAIN_H
#define RNET_TRAIN_H

#include "cli.h"

/* One phase of the block, or the whole of it. */
struct turn {
    const struct phase *phase;
    struct compiled compiled, initial, probe_compiled;
    struct instance instance, probe_instance;
    struct dataset dataset;
    struct watch *watch;         /* NULL: without --watch */
    bool probe_due;              /* its next step is one before which the probes run */
    struct window { double steps, loss, clipped; } window; /* since the last report */
};
struct trainer;
/* Sees each step and each report of a run, which then leaves no files. */
struct watcher {
    void *context;
    void (*step)(void *context, const struct trainer *t);
    void (*report)(void *context, const struct trainer *t);
    /* NULL, or: sees the run before each step, and after it what the step returned, which is then no more looked at; what it returns
       ends the run if it is not RNET_DONE. */
    void (*before)(void *context, const struct trainer *t);
    int (*after)(void *context, struct trainer *t, int result, uint64_t position, uint64_t step);
};
struct trainer {
    struct options *options;
    const struct watcher *watcher; /* NULL: the run leaves its files */
    struct unit *unit;
    struct training *training;
    int block, blocks;           /* which of how many */
    struct data_source *source;
    struct store *store;         /* what the blocks before left, and notes */
    struct rnet_safetensors given; /* --init */
    bool resume;                 /* this is the block that the checkpoint stands in */
    const char *folder, *checkpoint_path, *source_hash, *program_hash;

    struct turn *turns, *turn;   /* the phases, and whose turn the last step was */
    int turn_count;
    struct compiled report_compiled;
    struct memory memory;
    struct account account;
    int64_t resident_before;     /* bytes of the process when all is compiled and read, and no step has its memory yet */
    struct reporter reporter;
    struct rnet_pool *pool;
    struct rnet_stream *stream;
    struct ahead *ahead;         /* NULL: batches are gathered when they are wanted */
    struct rnet_log *log;
    struct rnet_progress *progress;

    int64_t items;               /* in the split; 0: no data */
    uint64_t first_step, step;   /* steps done when the run began, and now */
    uint64_t steps, last_step;   /* the program's plan; where this run stops */
    uint64_t before;             /* steps of the blocks before */
    bool ended;                  /* this block has no more to do: all its steps, patience, or its condition to stop */
    double best;                 /* patience: the lowest loss so far, and how many reports ago it was */
    int64_t stale;
    struct scalar_context clock;

    double loss, penalty, norm;  /* of the last step */
    bool has_penalty, has_norm, clips, was_clipped;
    double window_steps, window_seconds; /* since the last report */
    struct report_result result; /* the last report */
    int missed;                  /* expectations of reports, of the blocks so far */
    uint64_t fractions;          /* which of its values have not always been whole: a bit each */

    double front_seconds, other_seconds, initial_seconds, seconds, fastest;
};

/* ---- turn.c ---- */

/* Whose turn the step is, from 1, and which of its own steps it is. */
struct turn *turn_at(const struct trainer *trainer, uint64_t step, uint64_t *own);
/* How many of the first `steps` are the turn's. */
uint64_t steps_of_turn(const struct trainer *trainer, const struct turn *turn, uint64_t steps);
/* The step programs and the report's; returns how many. requires: room for one more than there are turns. */
int turn_programs(const struct trainer *trainer, const struct ir_program **programs);
/* What the probes give before the step, each as FOLDER/NAME-STEP.npy. */
bool probe_run(struct trainer *trainer, struct turn *turn, const int64_t *items, uint64_t position, uint64_t step,
               struct rnet_error *error);

/* ---- train.c, sweep.c ---- */

/* The block and the place in it that the checkpoint in the folder stands at; the store is filled. */
int find_place(struct trainer *t);
/* Block after block, of `blocks`; requires: unit, options, store, source. What a block leaves is in the store. */
int train_blocks(struct trainer *first, struct training *const *trainings);

/* One run of the program; result: of the last report, or the last step's loss. */
int train_program(struct options *options, struct report_result *result);
/* A run for each combination of the swept values. */
int run_sweep(struct options *options);

/* ---- folder.c ---- */

/* "net" of "programs/net.rnet". */
const char *file_stem(struct arena *arena, const char *path);

/* Sets folder and checkpoint_path. Without --out: runs/NAME, or runs/NAME-2, ... if that holds a run; with --resume the last
   of these. A folder that holds a run is not written over. */
int choose_folder(struct trainer *trainer);
/* Hash of a file's text, 16 hexadecimal digits. */
const char *file_hash(struct arena *arena, const char *path);

/* ---- nonfinite.c ---- */

/* Computes the step again, one kernel an equation, and names the first equation that left the finite numbers on the way to its failure.
   requires: the step returned RNET_NONFINITE, so parameters and state are as they were before it. Returns RNET_NONFINITE. */
int explain_nonfinite(struct trainer *trainer, uint64_t position, uint64_t step);

/* ---- ahead.c ---- */

/* Begins to gather ahead of the steps that are left, where that is worth a thread. */
bool ahead_begin(struct trainer *t, struct rnet_error *error);
/* The inputs of the step whose turn it is: of these items, which are those of the stream. */
bool batch_ready(struct trainer *t, const int64_t *items, struct rnet_error *error);
void ahead_end(struct trainer *t);

/* ---- watch.c: the instruments of --watch; nothing here changes a number of the run ---- */

/* Compiles them; what comes after runs where turn->watch is there. */
bool watch_compile(struct trainer *t, struct turn *turn, struct layout *layout, struct compile_options options,
                   struct rnet_error *error);
const struct compiled *watch_compiled(const struct watch *watch);
/* When the memory is there. */
void watch_begin(struct trainer *t, struct turn *turn);
/* Before a step of the turn: looks, if this is one to look at. */
bool watch_look(struct trainer *t, struct turn *turn, const int64_t *items, uint64_t position, uint64_t step,
                struct rnet_error *error);
/* After a step: what the step itself gives. */
bool watch_step(struct trainer *t, struct turn *turn, struct rnet_error *error);
void watch_print_times(const struct watch *watch);
void watch_free(struct watch *watch);

/* ---- show.c ---- */

void show_beginning(const struct trainer *t);
void show_progress(const struct trainer *t);
void show_report(struct trainer *t);

#endif
