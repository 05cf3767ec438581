/* code.c: the module's interface: a program to functions that can be called. Each kernel is isolated from the program and
   printed; what prints the same is one unit. Units that the cache has are read; the others are compiled in batches, several
   at a time, by the module that links LLVM, which is not opened before it is needed. All are then loaded together.

   A unit's object depends on its text alone (and on processor, LLVM, this compiler), never on which thread made it, when,
   or what else there was to make: so neither threads nor cache can change a number. */
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rnet_math.h"
#include "unit.h"

enum { MOST_THREADS = 16, BATCH = 6, BATCHES_A_PROCESSOR = 2 };

struct code {
    struct arena *arena;
    struct cache *cache; /* NULL: nothing is kept */
    LIST(struct arena *) objects; /* of the threads that made them */
    LIST(struct unit *) units;
    struct image *image;
    struct program_run run;
};

static const struct image_symbol runtime_symbols[] = {
    {"rnet_pool_run", (void *)rnet_pool_run},
    {"rnet_gemm_f32", (void *)rnet_gemm_f32},
    {"rnet_gemm_f64", (void *)rnet_gemm_f64},
    {"rnet_erf_f32", (void *)rnet_erf_f32},
    {"rnet_erf_f64", (void *)rnet_erf_f64},
    {"rnet_sin_f32", (void *)rnet_sin_f32},
    {"rnet_sin_f64", (void *)rnet_sin_f64},
    {"rnet_cos_f32", (void *)rnet_cos_f32},
    {"rnet_cos_f64", (void *)rnet_cos_f64},
    {"rnet_pow_f32", (void *)rnet_pow_f32},
    {"rnet_pow_f64", (void *)rnet_pow_f64},
    {"rnet_rank_f32", (void *)rnet_rank_f32},
    {"rnet_rank_f64", (void *)rnet_rank_f64},
    {"rnet_solve_f32", (void *)rnet_solve_f32},
    {"rnet_solve_f64", (void *)rnet_solve_f64},
    {"rnet_cholesky_f32", (void *)rnet_cholesky_f32},
    {"rnet_cholesky_f64", (void *)rnet_cholesky_f64},
    {"rnet_orthogonal_f32", (void *)rnet_orthogonal_f32},
    {"rnet_orthogonal_f64", (void *)rnet_orthogonal_f64},
    {"memcpy", (void *)memcpy},
    {"memset", (void *)memset},
    {"memmove", (void *)memmove},
};
enum { SYMBOL_COUNT = sizeof runtime_symbols / sizeof *runtime_symbols };

static bool is_runtime_symbol(const char *name)
{
    for (int i = 0; i < SYMBOL_COUNT; i++)
        if (!strcmp(runtime_symbols[i].name, name))
            return true;
    return false;
}

/* ---- the module that links LLVM ---- */

static const struct llvm_api *open_llvm(struct arena *arena, const char **error)
{
    const char *path = llvm_module_path(arena);
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct llvm_api *(*api)(void) =
        module ? (const struct llvm_api *(*)(void))dlsym(module, "rnet_llvm_api") : NULL;

    if (!api) {
        *error = arena_printf(arena, "%s cannot be opened: %s", path, dlerror());
        return NULL;
    }
    return api();
}

/* ---- the units of a program ---- */

/* Units that share a module: what LLVM does for a module is as much work as a small kernel. */
struct batch {
    struct unit *const *units;
    int count;
};
struct building {
    struct code *code;
    struct arena *arena; /* until the code is loaded: isolated kernels, texts */
    const struct ir_program *program;
    const struct code_options *options;
    struct code_timing *timing;
    struct cache *cache;
    struct text identity; /* of all that a unit's object depends on besides its text */
    struct map *by_key;
    struct map *read; /* key -> unit that was in a file of the cache */
    const struct unit **of_kernel;
    ir_tensor_list *places;
    LIST(struct arena *) isolated;
    const char *error;

    /* What is to be compiled; from here on under the lock once threads run. */
    LIST(struct batch) queue;
    unit_list functions; /* that kernels call; made before the queue goes on */
    int next, next_function, busy;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct llvm_api *llvm;
    struct llvm_session *session;

    /* LLVM is opened in a thread of its own, while kernels are named. */
    pthread_t opener;
    bool opening;
    struct arena *opened; /* until the code is loaded; the opener's own until it is joined */
    const char *not_opened;
};

static const char *key_of(struct building *b, const char *text, size_t size)
{
    uint64_t low = hash_bytes(b->identity.data, b->identity.size, 1);
    uint64_t high = hash_bytes(b->identity.data, b->identity.size, 2);

    return arena_printf(b->code->arena, "%016llx%016llx", (unsigned long long)hash_bytes(text, size, low),
                        (unsigned long long)hash_bytes(text, size, high));
}

static void need_all(struct building *b, const struct unit *unit);

static void queue_batch(struct building *b, struct unit *const *units, int count)
{
    struct unit *const *own = arena_copy(b->arena, units, sizeof *units * (size_t)count);

    list_add(b->arena, b->queue, (struct batch){own, count});
}

/* Units that were compiled together lie in one file, which is read once. */
static bool read_unit(struct building *b, struct unit *unit)
{
    const struct unit *found = map_get(b->read, unit->key);
    unit_list units = {0};

    if (!found && b->cache && cache_read(b->cache, b->code->arena, unit->key, &units)) {
        for (int i = 0; i < units.count; i++)
            if (!map_get(b->read, units.at[i]->key))
                map_put(b->read, units.at[i]->key, units.at[i]);
        found = map_get(b->read, unit->key);
    }
    if (!found)
        return false;
    unit->object = found->object;
    unit->bytes = found->bytes;
    unit->count = found->count;
    unit->functions = found->functions;
    unit->scratch = found->scratch;
    unit->kept = found->kept;
    return true;
}

/* Lists a unit that is new; false: it is to be compiled. */
static bool list_unit(struct building *b, struct unit *unit)
{
    list_add(b->code->arena, b->code->units, unit);
    if (!read_unit(b, unit))
        return false;
    b->timing->cached++;
    need_all(b, unit);
    return true;
}

/* A function that no runtime has is a unit too. It is made next: it is more work than the small kernels that come last. */
static void need(struct building *b, const char *name)
{
    struct unit *shared;

    if (is_runtime_symbol(name) || map_get(b->by_key, name))
        return;
    shared = NEW(b->code->arena, struct unit);
    shared->symbol = arena_string(b->code->arena, name);
    shared->key = key_of(b, name, strlen(name));
    map_put(b->by_key, shared->symbol, shared);
    if (!list_unit(b, shared))
        list_add(b->arena, b->functions, shared);
}

static void need_all(struct building *b, const struct unit *unit)
{
    name_list names = {0};
    const char *wrong = object_needs(b->arena, unit, &names);

    if (wrong)
        b->error = wrong;
    for (int i = 0; i < names.count; i++)
        need(b, names.at[i]);
}

static int processors(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/* In batches that become smaller towards the end and leave every processor some, whatever the number of threads: what is in an
   object does not depend on that. */
static void queue_kernels(struct building *b, struct unit *const *units, int count)
{
    bool alone = b->options->dump_llvm || b->options->dump_assembly;
    int most = BATCHES_A_PROCESSOR * processors(), size;

    for (int i = 0; i < count; i += size) {
        size = alone || count - i < most ? 1 : (count - i) / most;
        if (size > BATCH)
            size = BATCH;
        queue_batch(b, units + i, size);
    }
}

static void *open_beside(void *context)
{
    struct building *b = context;

    b->llvm = open_llvm(b->opened, &b->not_opened);
    if (b->llvm)
        b->session = b->llvm->open(b->opened, b->options, &b->not_opened);
    return NULL;
}

static void begin_opening(struct building *b)
{
    b->opened = arena_new();
    b->opening = !pthread_create(&b->opener, NULL, open_beside, b);
}

static void end_opening(struct building *b)
{
    if (b->opening) {
        pthread_join(b->opener, NULL);
    } else {
        b->opened = b->opened ? b->opened : arena_new();
        open_beside(b);
    }
    b->opening = false;
    if (b->not_opened)
        b->error = b->not_opened;
}

struct sized {
    struct unit *unit;
    bool tiles;
    size_t size;
    int number;
};

static int larger_first(const void *left, const void *right)
{
    const struct sized *a = left, *b = right;

    if (a->tiles != b->tiles)
        return a->tiles ? -1 : 1;
    return a->size != b->size ? (a->size < b->size ? 1 : -1) : a->number - b->number;
}

/* Only products are cut in ways. */
static int way_of(const struct building *b, const struct ir_kernel *kernel, const char *plain)
{
    if (kernel->kind != IR_TILE_KERNEL)
        return 1;
    return b->options->way > 0 ? b->options->way : b->cache ? cache_way(b->cache, plain) : 1;
}

/* Kernels of tiles first, which call others' functions, then long texts: so no thread is left with much at the end. LLVM is
   opened as soon as it is known to be needed. */
static void name_kernels(struct building *b)
{
    int count = b->program->kernels.count;
    struct sized *found = NEW_ARRAY(b->arena, struct sized, count + 1);
    struct text text = {0};
    unit_list missing = {0};
    int distinct = 0;
    double start = rnet_seconds();

    /* Each kernel has an arena of its own: what emits it makes forms there, in a thread of its own. */
    b->of_kernel = NEW_ARRAY(b->arena, const struct unit *, count + 1);
    b->places = NEW_ARRAY(b->arena, ir_tensor_list, count + 1);
    for (int i = 0; i < count; i++) {
        struct arena *own = arena_new();
        struct ir_program *kernel = ir_isolate(own, b->program, b->program->kernels.at[i], &b->places[i]);

        text.size = 0;
        ir_print(&text, kernel);
        const char *plain = key_of(b, text.data, text.size), *key = plain;
        int way = way_of(b, b->program->kernels.at[i], plain);
        if (way > 1) {
            text_addf(&text, "\nway %d", way);
            key = key_of(b, text.data, text.size);
        }
        struct unit *unit = map_get(b->by_key, key);
        if (!unit) {
            unit = NEW(b->code->arena, struct unit);
            unit->key = key;
            unit->plain = plain;
            unit->way = way;
            unit->symbol = arena_printf(b->code->arena, "kernel_%s", key);
            unit->kernel = kernel;
            list_add(b->arena, b->isolated, own);
            map_put(b->by_key, key, unit);
            found[distinct] = (struct sized){unit, b->program->kernels.at[i]->kind == IR_TILE_KERNEL, text.size, distinct};
            if (!distinct++ && !read_unit(b, unit))
                begin_opening(b);
        }
        b->places[i].at = arena_copy(b->arena, b->places[i].at, sizeof *b->places[i].at * (size_t)b->places[i].count);
        if (unit->kernel != kernel)
            arena_free(own);
        b->of_kernel[i] = unit;
    }
    text_free(&text);
    qsort(found, (size_t)distinct, sizeof *found, larger_first);
    b->timing->keys = rnet_seconds() - start;
    start = rnet_seconds();
    for (int i = 0; i < distinct; i++)
        if (!list_unit(b, found[i].unit))
            list_add(b->arena, missing, found[i].unit);
    queue_kernels(b, missing.at, missing.count);
    b->timing->cache = rnet_seconds() - start;
    b->timing->kernels = count;
}

/* ---- compiling ---- */

struct thread {
    struct building *b;
    struct arena *objects;
    struct code_timing timing;
    pthread_t id;
};

static void need_now(void *context, const char *name)
{
    struct building *b = context;

    pthread_mutex_lock(&b->lock);
    need(b, name);
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* What is to be done next: functions that wait, each processor's share of them; else a batch of kernels. */
static struct batch take_batch(struct building *b)
{
    int waiting = b->functions.count - b->next_function, share = (waiting + processors() - 1) / processors();
    bool alone = b->options->dump_llvm || b->options->dump_assembly;

    if (!waiting)
        return b->queue.at[b->next++];
    int count = alone ? 1 : share < BATCH ? share : BATCH;
    struct unit *const *units = arena_copy(b->arena, b->functions.at + b->next_function, sizeof *units * (size_t)count);
    b->next_function += count;
    return (struct batch){units, count};
}

static bool is_waiting(const struct building *b)
{
    return b->next < b->queue.count || b->next_function < b->functions.count;
}

static void *compile_batches(void *context)
{
    struct thread *thread = context;
    struct building *b = thread->b;
    struct llvm_worker *worker = b->llvm->worker(b->session);

    pthread_mutex_lock(&b->lock);
    while (!b->error && (is_waiting(b) || b->busy)) {
        if (!is_waiting(b)) {
            pthread_cond_wait(&b->changed, &b->lock);
            continue;
        }
        struct batch batch = take_batch(b);
        b->busy++;
        pthread_mutex_unlock(&b->lock);
        const char *wrong = b->llvm->compile(worker, thread->objects, batch.units, batch.count, need_now, b, &thread->timing);
        if (!wrong && b->cache)
            cache_write(b->cache, batch.units, batch.count);
        pthread_mutex_lock(&b->lock);
        b->busy--;
        if (wrong)
            b->error = arena_string(b->arena, wrong);
        pthread_cond_broadcast(&b->changed);
    }
    pthread_mutex_unlock(&b->lock);
    b->llvm->worker_close(worker);
    return NULL;
}

static void compile_queue(struct building *b)
{
    int wanted = b->options->threads > 0 ? b->options->threads : processors(), made = 0;
    struct thread threads[MOST_THREADS];

    if (wanted > MOST_THREADS)
        wanted = MOST_THREADS;
    if (wanted > b->queue.count + b->functions.count)
        wanted = b->queue.count + b->functions.count;
    for (int i = 0; i < wanted; i++) {
        threads[i] = (struct thread){.b = b, .objects = arena_new()};
        list_add(b->code->arena, b->code->objects, threads[i].objects);
    }
    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    /* The caller is a thread too. One that cannot be had is done without. */
    for (int i = 1; i < wanted; i++)
        if (!pthread_create(&threads[made + 1].id, NULL, compile_batches, &threads[made + 1]))
            made++;
    compile_batches(&threads[0]);
    for (int i = 1; i <= made; i++)
        pthread_join(threads[i].id, NULL);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    for (int i = 0; i <= made; i++) {
        b->timing->emit += threads[i].timing.emit;
        b->timing->optimize += threads[i].timing.optimize;
        b->timing->codegen += threads[i].timing.codegen;
    }
    b->timing->threads = made + 1;
}

static void generate(struct building *b)
{
    double start = rnet_seconds();

    if (!is_waiting(b))
        return;
    end_opening(b);
    if (b->llvm && strcmp(b->llvm->version(), RNET_LLVM_VERSION) && b->cache) {
        fprintf(stderr, "rnetc: note: built with LLVM " RNET_LLVM_VERSION ", but %s is here: nothing is put into the cache\n",
                b->llvm->version());
        b->cache = NULL;
    }
    b->timing->load = rnet_seconds() - start;
    if (b->session) {
        compile_queue(b);
        b->llvm->close(b->session);
    }
    b->timing->generate = rnet_seconds() - start;
}

/* ---- texts for people ---- */

static const char *dump(const struct building *b, const char *path, bool assembly)
{
    FILE *file = path ? fopen(path, "w") : NULL;

    if (!path)
        return NULL;
    if (!file)
        return arena_printf(b->program->arena, "%s: cannot be written", path);
    for (int i = 0; i < b->program->kernels.count; i++)
        fprintf(file, "%s %s: %s\n", assembly ? "#" : ";", b->program->kernels.at[i]->name, b->of_kernel[i]->symbol);
    for (int i = 0; i < b->code->units.count; i++) {
        const char *text = assembly ? b->code->units.at[i]->assembly : b->code->units.at[i]->llvm;

        if (text)
            fprintf(file, "\n%s", text);
    }
    return fclose(file) ? arena_printf(b->program->arena, "%s: cannot be written", path) : NULL;
}

/* ---- all of it ---- */

/* Opens what the kernels call. */
static bool open_libraries(const struct ir_program *p, struct rnet_error *error)
{
    for (int i = 0; i < p->kernels.count; i++) {
        const struct ir_kernel *kernel = p->kernels.at[i];
        bool lapack = kernel->kind == IR_OPAQUE_KERNEL && kernel->stages.at[0]->equations.at[0]->opaque != IR_RANK;

        if ((kernel->kind == IR_PRODUCT_KERNEL && !rnet_blas_open(error)) || (lapack && !rnet_lapack_open(error)))
            return false;
    }
    return true;
}

static const char *load(struct building *b)
{
    struct code *code = b->code;
    const char *error;

    code->image = image_new(b->arena, (const struct unit *const *)code->units.at, code->units.count, runtime_symbols,
                            SYMBOL_COUNT, &error);
    if (!code->image)
        return error;
    program_run_new(code->arena, b->program, b->places, b->of_kernel, &code->run);
    for (int i = 0; i < code->run.kernel_count; i++) {
        struct kernel_run *kernel = &code->run.kernels[i];

        kernel->parts = kernel->unit->functions;
        kernel->functions = NEW_ARRAY(code->arena, part_pointer, kernel->unit->count + 1);
        for (int k = 0; k < kernel->unit->count; k++) {
            const char *name = arena_printf(b->arena, "%s_%d", kernel->unit->symbol, k);

            kernel->functions[k] = (part_pointer)image_find(code->image, name);
            if (!kernel->functions[k])
                return arena_printf(b->arena, "%s is not in its object", name);
        }
    }
    return NULL;
}

static void release(struct code *code)
{
    if (code->image)
        image_free(code->image);
    for (int i = 0; i < code->objects.count; i++)
        arena_free(code->objects.at[i]);
    arena_free(code->arena);
}

static const char *build(struct building *b)
{
    const char *error = NULL;
    double start;

    name_kernels(b);
    generate(b);
    b->timing->distinct = b->code->units.count;
    start = rnet_seconds();
    if (!b->error && !(error = dump(b, b->options->dump_llvm, false)) &&
        !(error = dump(b, b->options->dump_assembly, true)))
        error = load(b);
    b->timing->link = rnet_seconds() - start;
    for (int i = 0; i < b->code->units.count; i++)
        b->code->units.at[i]->kernel = NULL;
    return b->error ? b->error : error;
}

static struct code *compile(const struct ir_program *p, const struct code_options *options, struct code_timing *timing,
                            const char **error)
{
    static const struct code_options none;
    struct arena *own = arena_new();
    struct code *code = NEW(own, struct code);
    struct building b = {.code = code, .arena = arena_new(), .program = p, .options = options ? options : &none};
    struct code_timing unused;
    struct rnet_error library;
    bool dumps = b.options->dump_llvm || b.options->dump_assembly;

    code->arena = own;
    b.timing = timing ? timing : &unused;
    *b.timing = (struct code_timing){0};
    b.by_key = map_new(b.arena);
    b.read = map_new(b.arena);
    *error = NULL;
    text_addf(&b.identity, "quick %d", b.options->quick);
    code->cache = cache_open(own);
    b.cache = dumps ? NULL : code->cache;
    if (!host_identity(&b.identity) && b.cache) {
        fprintf(stderr, "rnetc: note: " LLVM_MODULE " has no build id: nothing is kept in the cache\n");
        b.cache = code->cache = NULL;
    }
    if (!open_libraries(p, &library))
        *error = arena_string(p->arena, library.message);
    else if ((*error = build(&b)))
        *error = arena_string(p->arena, *error);
    text_free(&b.identity);
    for (int i = 0; i < b.isolated.count; i++)
        arena_free(b.isolated.at[i]);
    arena_free(b.opened);
    arena_free(b.arena);
    if (*error) {
        release(code);
        return NULL;
    }
    return code;
}

/* ---- the interface ---- */

static int run(const struct code *code, const struct rnet_step *step)
{
    return program_run_timed(&code->run, step, NULL);
}

static int run_timed(const struct code *code, const struct rnet_step *step, double *seconds)
{
    return program_run_timed(&code->run, step, seconds);
}

static int64_t scratch(const struct code *code)
{
    return code->run.behind;
}

static bool choose(const struct code *code, int kernel, int way)
{
    return code->cache && cache_choose(code->cache, code->run.kernels[kernel].unit->plain, way);
}

static bool is_first_of_object(const struct code *code, int unit)
{
    for (int i = 0; i < unit; i++)
        if (code->units.at[i]->object == code->units.at[unit]->object)
            return false;
    return true;
}

static const void *object(const struct code *code, int number, size_t *bytes)
{
    for (int i = 0; i < code->units.count; i++)
        if (is_first_of_object(code, i) && !number--) {
            *bytes = code->units.at[i]->bytes;
            return code->units.at[i]->object;
        }
    return NULL;
}

static const char *host(void)
{
    static char name[200];
    struct arena *arena = arena_new();
    const char *error = NULL;
    const struct llvm_api *llvm = open_llvm(arena, &error);

    snprintf(name, sizeof name, "%s", llvm ? llvm->processor() : error);
    arena_free(arena);
    return name;
}

__attribute__((visibility("default"))) const struct code_api *rnet_code_api(void)
{
    static const struct code_api api = {
        .compile = compile, .run = run, .run_timed = run_timed, .scratch = scratch, .object = object, .choose = choose, .ways = PRODUCT_WAYS, .release = release, .host = host};
    return &api;
}
