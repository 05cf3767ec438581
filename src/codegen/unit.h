/* unit.h: what the two halves of the code generator share: code.c and its neighbours, which know no LLVM, and the module
   that does (llvm.c and the emitters). A unit is what is compiled, kept in the cache and loaded as one: the functions of a
   kernel, or one function that several kernels call. What it holds is a function of its text alone. Units that are compiled
   together share an object file. */
#ifndef RNET_UNIT_H
#define RNET_UNIT_H

#include "codegen.h"

/* What a kernel's functions are called with. places: the kernel's tensors, in the order of ir_isolate; of a draw its key. */
struct kernel_call {
    const struct rnet_step *step;
    int64_t time; /* of the recurrence that the kernel is in */
    char *scratch, *kept;
    char *places[];
};

/* FIRST_STEP, LATER_STEPS: of a recurrence's. */
enum when { ALWAYS, FIRST_STEP, LATER_STEPS };
struct unit_function {
    int64_t parts;
    int64_t when; /* enum when */
};
enum { PRODUCT_WAYS = 8 };
struct unit {
    const char *key;                 /* what it is known by in the cache: 32 hexadecimal digits */
    const char *plain;               /* of a kernel: the key without its way */
    int way;                         /* of cutting its products: 1 to PRODUCT_WAYS */
    const char *symbol;              /* of a kernel: its functions are void symbol_0(call, part), symbol_1, ... */
    const struct ir_program *kernel; /* ir_isolate's; NULL: the shared function that `symbol` names */
    /* Made by the compiler or read from the cache: */
    const char *object;              /* a relocatable object file; may hold other units too; NULL: not made yet */
    size_t bytes;
    int count;                       /* of a kernel's functions, in the order in which they run */
    struct unit_function *functions;
    int64_t scratch;                 /* bytes that the kernel wants while it runs */
    int64_t kept;                    /* and that are its own from the first step of its recurrence to the last */
    const char *llvm, *assembly;     /* texts, if they were asked for */
};

/* ---- the module that links LLVM, opened when something has to be compiled ---- */

typedef LIST(struct unit *) unit_list;
struct llvm_session; /* the machine; shared by all threads */
struct llvm_worker;  /* a thread's own context */
struct llvm_api {
    struct llvm_session *(*open)(struct arena *arena, const struct code_options *options, const char **error);
    struct llvm_worker *(*worker)(struct llvm_session *session);
    /* Fills the units from the arena, all with one object; adds to timing. Says what they call that none of them is as soon
       as that is known. NULL, or what went wrong. */
    const char *(*compile)(struct llvm_worker *worker, struct arena *arena, struct unit *const *units, int count,
                           void (*needs)(void *context, const char *name), void *context, struct code_timing *timing);
    void (*worker_close)(struct llvm_worker *worker);
    void (*close)(struct llvm_session *session);
    const char *(*version)(void); /* "19.1.7" */
    const char *(*processor)(void);
};
/* The module's only exported symbol. */
const struct llvm_api *rnet_llvm_api(void);
#define LLVM_MODULE "librnet_llvm.so"

/* ---- host.c: what the machine and the compiler are, found without LLVM ---- */

/* A word for each that says whether code compiled by one is good for the other. false: the cache cannot be used. */
bool host_identity(struct text *out);
/* Where LLVM_MODULE is: beside this module. */
const char *llvm_module_path(struct arena *arena);

/* ---- cache.c ---- */

struct cache;
/* NULL: none is wanted, or there is no place for it. All of these may be called by several threads and processes at a time. */
struct cache *cache_open(struct arena *arena);
/* The unit of that key and those that were compiled with it, without symbols, if the cache has them whole. */
bool cache_read(const struct cache *cache, struct arena *arena, const char *key, unit_list *units);
/* Units with one object. */
void cache_write(const struct cache *cache, struct unit *const *units, int count);
/* The way that was chosen for the kernel of that plain key; 1, which is the usual one, if none was. */
int cache_way(const struct cache *cache, const char *plain);
bool cache_choose(const struct cache *cache, const char *plain, int way);
/* Removes the oldest files of a folder until it holds at most three quarters of `most` bytes, if it holds more than that. A
   file of several names counts a part for each. */
void cache_trim(const char *folder, int64_t most);

/* ---- object.c: relocatable objects to code in memory ---- */

struct image; /* owns its memory */
struct image_symbol {
    const char *name;
    void *address;
};
/* Names that the unit's object needs and does not define. */
typedef LIST(const char *) name_list;
const char *object_needs(struct arena *arena, const struct unit *unit, name_list *names);
/* Loads their objects together, each of them once. NULL, *error in the arena. What they need is defined by one of them or is among `given`. */
struct image *image_new(struct arena *arena, const struct unit *const *units, int count, const struct image_symbol *given,
                        int given_count, const char **error);
void *image_find(const struct image *image, const char *name);
void image_free(struct image *image);

/* ---- run.c: a program's kernels in order ---- */

struct place {
    enum ir_region region; /* IR_NOWHERE: of a draw; the offset is its number among draws */
    int64_t offset;
};
typedef void (*part_pointer)(void *call, int64_t part);
struct kernel_run {
    const struct unit *unit;
    const struct ir_recurrence *recurrence; /* only compared */
    int64_t extent;
    bool down, writes_the_run;
    int place_count;
    struct place *places;
    part_pointer *functions; /* unit->count */
    const struct unit_function *parts;
    int64_t call, kept;                           /* where its struct kernel_call is, and what is its own, behind the arena */
};
struct stored {
    enum ir_region region;
    int64_t offset;
    enum ir_storage storage;
    int64_t elements;
};
struct update_run {
    struct stored leaf, value;
    int64_t saved; /* where the value is saved first, behind the arena; -1: it need not be */
};
struct program_run {
    int kernel_count, guard_count, update_count;
    struct kernel_run *kernels;
    struct stored *guards;
    struct update_run *updates;
    int64_t arena_bytes;
    int64_t behind; /* bytes wanted behind the arena: scratch, calls, what is saved */
};
/* Fills everything but functions and parts. The units' scratch is known. */
void program_run_new(struct arena *arena, const struct ir_program *p, const ir_tensor_list *places,
                     const struct unit *const *units, struct program_run *run);
/* seconds: NULL, or one for each kernel and one for the rest, to which what they took is added. */
int program_run_timed(const struct program_run *run, const struct rnet_step *step, double *seconds);

#endif
