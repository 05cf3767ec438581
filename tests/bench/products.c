/* products.c: matrix products alone: rnet's kernel beside OpenBLAS and other libraries, taking turns within
   milliseconds, at the shapes of the nets in this folder. A machine is shared and its clock moves: what is made in the
   same moments compares.

       bench_products [--threads N] [--seconds S] [--peer LIBRARY]... [--against MODULE]... [NAME | MxKxN[:nn|nt|tn]]...

   --seconds: of each shape (0.3). --peer: oneDNN's libdnnl.so, or a library with MKL; OpenBLAS is there anyhow.
   --against: the librnet_codegen.so of another build of the same headers. NAME: shapes whose description has it. Exit
   status 1 if results differ.

   A turn: all threads asleep, one call that is not timed (of short ones), then calls for 1.5 ms. Operands are the same
   memory for all, results and copies memory of the same kind: large pages if there are any. The table, the worst first, says
   for each shape rnet's least time of all turns, everybody's GFLOP/s by the least time, and how many times as fast as the best
   peer rnet is: by the least times, and by the median of what the turns say, each side beside the one of the same moment. By
   that median somebody is ahead, if by more than 3 %; the last line counts them. */
#include "products_peer.h"

#include "driver.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST_SIDES = 8, LEAST_TURNS = 5, SPIN = 2000 };
static const double turn_seconds = 1.5e-3, sample_seconds = 20e-6, sleep_seconds = 0.3e-3, long_call = 2e-3, giga = 1e9;
/* Sums of up to 10,000 products in f32, in whatever order: of the norm. */
static const double tolerance = 1e-4;
/* Sides that differ by less are even. */
static const double noise = 0.03;

/* ---- the shapes ---- */

/* One layer's products: `batch` rows from `in` columns to `out`. Forward, data gradient, weight gradient; the first
   layer has no data gradient, and of a recurrence's step the weights' are made after the loop. */
struct layer {
    const char *nets;
    int batch, in, out, threads;
    bool first, step, alone;
};
static const struct layer layers[] = {
    {.nets = "mlp_* first_light", .batch = 128, .in = 784, .out = 2500, .first = true},
    {.nets = "mlp_* first_light", .batch = 128, .in = 2500, .out = 2500},
    {.nets = "mlp_* first_light", .batch = 128, .in = 2500, .out = 10},
    {.nets = "ln_mlp bn_mlp", .batch = 128, .in = 784, .out = 512, .first = true},
    {.nets = "ln_mlp bn_mlp", .batch = 128, .in = 512, .out = 512},
    {.nets = "ln_mlp bn_mlp", .batch = 128, .in = 512, .out = 10},
    {.nets = "srivastava_cnn", .batch = 64, .in = 4096, .out = 2048},
    {.nets = "srivastava_cnn", .batch = 64, .in = 2048, .out = 2048},
    {.nets = "srivastava_cnn", .batch = 64, .in = 2048, .out = 10},
    {.nets = "resnet20", .batch = 128, .in = 64, .out = 10},
    {.nets = "lstm650", .batch = 700, .in = 650, .out = 2600},
    {.nets = "lstm650 step", .batch = 20, .in = 650, .out = 2600, .step = true},
    {.nets = "lstm650 gru650", .batch = 700, .in = 650, .out = 10000},
    {.nets = "gru650", .batch = 700, .in = 650, .out = 1950},
    {.nets = "gru650 step", .batch = 20, .in = 650, .out = 1950, .step = true},
    {.nets = "lstm200", .batch = 700, .in = 200, .out = 800},
    {.nets = "lstm200 step", .batch = 20, .in = 200, .out = 800, .step = true},
    {.nets = "lstm200", .batch = 700, .in = 200, .out = 10000},
    {.nets = "lnlstm512", .batch = 1600, .in = 512, .out = 2048, .first = true},
    {.nets = "lnlstm512 step", .batch = 32, .in = 512, .out = 2048, .step = true},
    {.nets = "tiny_4_16_3", .batch = 16, .in = 4, .out = 16, .threads = 1, .first = true},
    {.nets = "tiny_4_16_3", .batch = 16, .in = 16, .out = 3, .threads = 1},
    {.nets = "tiny_32_64_64_10", .batch = 32, .in = 32, .out = 64, .threads = 1, .first = true},
    {.nets = "tiny_32_64_64_10", .batch = 32, .in = 64, .out = 64, .threads = 1},
    {.nets = "tiny_32_64_64_10", .batch = 32, .in = 64, .out = 10, .threads = 1},
    {.nets = "mlp_784_128_10", .batch = 64, .in = 784, .out = 128, .first = true},
    {.nets = "mlp_784_128_10", .batch = 64, .in = 128, .out = 10},
    {.nets = "mlp_784_128_10_online", .batch = 1, .in = 784, .out = 128, .first = true},
    {.nets = "mlp_784_128_10_online", .batch = 1, .in = 128, .out = 10},
    {.nets = "square", .batch = 128, .in = 2496, .out = 2496, .alone = true},
    {.nets = "square", .batch = 2048, .in = 2048, .out = 2048, .alone = true},
};

struct shape {
    const char *nets;
    int m, n, k, threads;
    bool a_transposed, b_transposed;
    const char *text;
};
typedef LIST(struct shape) shape_list;

static const char *order_of(const struct shape *s)
{
    return s->a_transposed ? "tn" : s->b_transposed ? "nt" : "nn";
}

static void add_shape(struct arena *arena, shape_list *out, struct shape s)
{
    s.text = arena_printf(arena, "%dx%dx%d:%s", s.m, s.k, s.n, order_of(&s));
    list_add(arena, *out, s);
}

static void add_layer(struct arena *arena, shape_list *out, const struct layer *l, int threads)
{
    int most = l->threads && l->threads < threads ? l->threads : threads;
    struct shape s = {.nets = l->nets, .m = l->batch, .k = l->in, .n = l->out, .threads = most};

    add_shape(arena, out, s);
    if (!l->first && !l->alone)
        add_shape(arena, out,
                  (struct shape){.nets = l->nets, .m = s.m, .k = s.n, .n = s.k, .threads = most, .b_transposed = true});
    if (!l->step && !l->alone)
        add_shape(arena, out,
                  (struct shape){.nets = l->nets, .m = s.k, .k = s.m, .n = s.n, .threads = most, .a_transposed = true});
}

/* The shapes that a word of the command asks for; false: none. */
static bool add_word(struct arena *arena, shape_list *out, const shape_list *all, const char *word, int threads)
{
    struct shape s = {.nets = "", .threads = threads};
    char order[3] = "nn";
    int before = out->count, end = 0;

    for (int i = 0; i < all->count && out->count == before; i++)
        if (!strcmp(all->at[i].text, word))
            list_add(arena, *out, all->at[i]);
    if (sscanf(word, "%dx%dx%d%n:%2s%n", &s.m, &s.k, &s.n, &end, order, &end) >= 3 && !word[end] && s.m > 0 &&
        s.n > 0 && s.k > 0 && out->count == before) {
        s.a_transposed = order[0] == 't';
        s.b_transposed = order[1] == 't';
        add_shape(arena, out, s);
    }
    for (int i = 0; i < all->count && !end; i++)
        if (strstr(all->at[i].nets, word))
            list_add(arena, *out, all->at[i]);
    return out->count > before;
}

/* ---- the sides ---- */

struct side {
    const char *name;
    const struct code_api *api; /* one of rnet's, or NULL */
    struct peer *peer;
};
struct bench {
    struct arena *arena;
    struct side sides[MOST_SIDES]; /* the first is rnet's own */
    int side_count;
    double seconds;
};
/* A side's product, ready to run. */
struct run {
    const struct side *side;
    struct code *code;
    struct rnet_step step;
    struct peer_product *prepared;
    const float *c;
    double estimate;    /* seconds of a call */
    LIST(double) turns; /* the least time of each */
};
struct result {
    const struct shape *shape;
    double least[MOST_SIDES],
        beside[MOST_SIDES]; /* seconds; of the turns' times by rnet's the median. 0: the side refused */
};

static const struct code_api *open_module(const char *path)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct code_api *(*get)(void) = NULL;

    if (module)
        *(void **)&get = dlsym(module, "rnet_code_api");
    if (!get) {
        fprintf(stderr, "bench_products: %s\n", dlerror());
        exit(1);
    }
    return get();
}

static void add_side(struct bench *bench, const char *name, const struct code_api *api, struct peer *peer)
{
    if (bench->side_count == MOST_SIDES) {
        fprintf(stderr, "bench_products: more than %d sides\n", MOST_SIDES);
        exit(2);
    }
    bench->sides[bench->side_count++] = (struct side){name, api, peer};
}

static void add_peer(struct bench *bench, const char *path)
{
    const char *why = NULL;
    struct peer *peer = peer_open(bench->arena, path, &why);

    if (!peer) {
        fprintf(stderr, "bench_products: %s\n", why);
        exit(1);
    }
    add_side(bench, peer_name(peer), NULL, peer);
}

/* ---- one shape ---- */

static struct ir_program *program_of(struct arena *arena, const struct shape *s)
{
    bool a = s->a_transposed, b = s->b_transposed;
    const char *error;
    const char *text =
        arena_printf(arena,
                     "program p f32\ninput a[%s: %d, %s: %d]\ninput b[%s: %d, %s: %d]\nc[m: %d, n: %d] = sum[k: %d] "
                     "a[%s] * b[%s]\noutput c\n",
                     a ? "k" : "m", a ? s->k : s->m, a ? "m" : "k", a ? s->m : s->k, b ? "n" : "k", b ? s->n : s->k,
                     b ? "k" : "n", b ? s->k : s->n, s->m, s->n, s->k, a ? "k, m" : "m, k", b ? "n, k" : "k, n");
    struct ir_program *p = ir_parse(arena, text, &error);

    if (!p)
        bug("%s: %s", text, error);
    return p;
}

static void run_side(struct run *r)
{
    if (r->prepared)
        peer_run(r->prepared);
    else
        r->side->api->run(r->code, &r->step);
}

static double call(struct run *r, int count)
{
    double begin = rnet_seconds();

    for (int i = 0; i < count; i++)
        run_side(r);
    return (rnet_seconds() - begin) / count;
}

static void take_turn(struct arena *arena, struct run *r)
{
    double begin = rnet_seconds(), least = INFINITY;

    while (rnet_seconds() - begin < sleep_seconds)
        ;
    if (r->estimate < long_call)
        run_side(r);
    begin = rnet_seconds();
    do {
        int count = r->estimate < sample_seconds ? (int)(sample_seconds / r->estimate) + 1 : 1;
        double each = call(r, count);

        r->estimate = each < r->estimate ? each : r->estimate;
        least = each < least ? each : least;
    } while (rnet_seconds() - begin < turn_seconds);
    list_add(arena, r->turns, least);
}

static int ascending(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return left < right ? -1 : left > right;
}

/* |found - wanted| / |wanted| in the Euclidean norm. */
static double difference(const float *found, const float *wanted, int64_t count)
{
    double apart = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        apart += (double)(found[i] - wanted[i]) * (double)(found[i] - wanted[i]);
        size += (double)wanted[i] * (double)wanted[i];
    }
    return sqrt(apart / size);
}

/* As a step's memory is (driver): with small pages a build was up to 1.05 times as slow beside itself with large ones. */
static void *room_new(int64_t bytes)
{
    enum { HUGE_PAGE = 2 << 20 };
    size_t size = ((size_t)bytes / HUGE_PAGE + 1) * HUGE_PAGE;
    void *room = aligned_alloc(HUGE_PAGE, size);

    if (!room) {
        fprintf(stderr, "bench_products: no memory for %zu bytes\n", size);
        exit(1);
    }
    madvise(room, size, MADV_HUGEPAGE);
    return room;
}

/* The instance's inputs are filled, the code of every rnet side runs on them, and so does every peer. */
static void prepare(struct bench *bench, struct arena *arena, const struct shape *s, struct instance *in,
                    const struct ir_program *p, struct run *runs)
{
    const struct ir_tensor *a = ir_find(p, "a"), *b = ir_find(p, "b"), *c = ir_find(p, "c");
    const struct ir_tensor *inputs[] = {a, b};
    uint64_t random = 1;

    for (int i = 0; i < 2; i++)
        for (int64_t e = 0; e < ir_elements(inputs[i]); e++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            ((float *)instance_data(in, inputs[i]))[e] = (float)((double)(int64_t)(random >> 11) * 0x1p-52 - 1);
        }
    for (int i = 0; i < bench->side_count; i++) {
        struct run *r = &runs[i];

        *r = (struct run){.side = &bench->sides[i], .estimate = INFINITY};
        if (r->side->api) {
            const char *error;
            struct code_timing timing;

            r->code = i ? r->side->api->compile(p, &(struct code_options){0}, &timing, &error) : in->compiled->code;
            if (!r->code)
                bug("%s: %s", r->side->name, error);
            r->step = in->step;
            if (i)
                r->step.arena = room_new(p->arena_bytes + r->side->api->scratch(r->code));
            r->c = (const float *)(void *)(r->step.arena + c->offset);
        } else {
            float *own = room_new(ir_elements(c) * (int64_t)sizeof *own);
            struct matrices product = {.m = s->m,
                                       .n = s->n,
                                       .k = s->k,
                                       .a_transposed = s->a_transposed,
                                       .b_transposed = s->b_transposed,
                                       .a = instance_data(in, a),
                                       .b = instance_data(in, b),
                                       .c = own};

            r->c = own;
            r->prepared = peer_prepare(arena, r->side->peer, &product, s->threads);
            if (!r->prepared) {
                fprintf(stderr, "bench_products: %s refuses %s\n", r->side->name, s->text);
                continue;
            }
        }
        run_side(r);
        double apart = difference(r->c, runs[0].c, ir_elements(c));
        if (!(apart <= tolerance)) {
            fprintf(stderr, "bench_products: %s: %s differs from %s by %.1e of the norm\n", s->text, r->side->name,
                    runs[0].side->name, apart);
            exit(1);
        }
        r->estimate = call(r, 1);
    }
}

static void release(const struct bench *bench, struct run *runs)
{
    for (int i = 0; i < bench->side_count; i++) {
        if (runs[i].prepared)
            peer_release(runs[i].prepared);
        if (i && runs[i].code) {
            runs[i].side->api->release(runs[i].code);
            free(runs[i].step.arena);
        } else if (!runs[i].code) {
            free((void *)(uintptr_t)runs[i].c);
        }
    }
}

static void note_turns(struct run *r, const struct run *own, double *least, double *beside)
{
    int count = r->turns.count;

    *least = INFINITY;
    for (int i = 0; i < count; i++) {
        *least = fmin(*least, r->turns.at[i]);
        r->turns.at[i] /= own->turns.at[i];
    }
    qsort(r->turns.at, (size_t)count, sizeof *r->turns.at, ascending);
    *beside = r->turns.at[count / 2];
}

static struct result measure(struct bench *bench, const struct shape *s)
{
    struct arena *arena = arena_new();
    struct run runs[MOST_SIDES];
    struct result result = {.shape = s};
    struct compiled compiled;
    struct rnet_error error;
    struct memory memory;
    struct instance in;
    struct layout *layout = layout_new(arena);
    struct rnet_pool *pool = rnet_pool_new(s->threads);
    double begin;

    if (!pool || !compile(&compiled, program_of(arena, s), layout,
                          (struct compile_options){.fuse = true, .generate = true}, &error)) {
        fprintf(stderr, "bench_products: %s\n", pool ? error.message : "no threads");
        exit(1);
    }
    memory_new(&memory, layout);
    instance_new(&in, &compiled, &memory, pool, 1);
    prepare(bench, arena, s, &in, compiled.program, runs);
    begin = rnet_seconds();
    for (int turn = 0; turn < LEAST_TURNS || rnet_seconds() - begin < bench->seconds; turn++)
        for (int i = 0; i < bench->side_count; i++) {
            int which = turn % 2 ? bench->side_count - 1 - i : i;

            if (runs[which].prepared || runs[which].code)
                take_turn(arena, &runs[which]);
        }
    for (int i = bench->side_count - 1; i >= 0; i--) /* rnet's own last: the others are seen beside it */
        if (runs[i].turns.count)
            note_turns(&runs[i], &runs[0], &result.least[i], &result.beside[i]);
    release(bench, runs);
    instance_free(&in);
    memory_free(&memory);
    compiled_release(&compiled);
    rnet_pool_free(pool);
    arena_free(arena);
    return result;
}

/* ---- the table ---- */

/* The best peer's time by rnet's; the other builds' where there is no peer. */
static double ahead(const struct bench *bench, const double *seconds)
{
    double best = INFINITY;

    for (int peers = 1; peers >= 0 && isinf(best); peers--)
        for (int i = 1; i < bench->side_count; i++)
            if ((bench->sides[i].peer != NULL) == peers && seconds[i] > 0 && seconds[i] < best)
                best = seconds[i];
    return best / seconds[0];
}

static const struct bench *sorted; /* qsort hands nothing through */

static int worst_first(const void *a, const void *b)
{
    double left = ahead(sorted, ((const struct result *)a)->beside),
           right = ahead(sorted, ((const struct result *)b)->beside);

    return left < right ? -1 : left > right;
}

/* The side that is ahead: rnet, the best peer, or NULL: they are within the noise of each other. */
static const struct side *first_of(const struct bench *bench, const struct result *r)
{
    const struct side *best = NULL;
    double least = INFINITY;

    for (int i = 1; i < bench->side_count; i++)
        if (bench->sides[i].peer && r->beside[i] > 0 && r->beside[i] < least) {
            least = r->beside[i];
            best = &bench->sides[i];
        }
    return least > 1 + noise ? &bench->sides[0] : least < 1 - noise ? best : NULL;
}

static void print_head(const struct bench *bench)
{
    printf("%-18s %7s %9s ", "m x k x n", "threads", "us");
    for (int i = 0; i < bench->side_count; i++)
        printf(" %9.9s", bench->sides[i].name);
    printf("   least  beside  %-9s nets\n", "ahead");
}

static void print_result(const struct bench *bench, const struct result *r)
{
    const struct shape *s = r->shape;
    const struct side *first = first_of(bench, r);
    double flops = 2.0 * s->m * s->n * s->k;

    printf("%-18s %7d %9.2f ", s->text, s->threads, 1e6 * r->least[0]);
    for (int i = 0; i < bench->side_count; i++)
        if (r->least[i] > 0)
            printf(" %9.1f", flops / r->least[i] / giga);
        else
            printf(" %9s", "-");
    printf("  %6.2f  %6.2f  %-9s %s\n", ahead(bench, r->least), ahead(bench, r->beside), first ? first->name : "-", s->nets);
}

/* Each side beside rnet, then who is ahead of all others how often. */
static void print_counts(const struct bench *bench, const struct result *results, int count)
{
    int even = 0;

    for (int i = 1; i < bench->side_count; i++) {
        int behind = 0, faster = 0;

        for (int k = 0; k < count; k++) {
            behind += results[k].beside[i] > 0 && results[k].beside[i] < 1 - noise;
            faster += results[k].beside[i] > 1 + noise;
        }
        printf("%-9s is more than 3 %% faster than rnet at %d of %d shapes, more than 3 %% slower at %d\n",
               bench->sides[i].name, behind, count, faster);
    }
    for (int k = 0; k < count; k++)
        even += !first_of(bench, &results[k]);
    printf("ahead of all others by more than 3 %%, of %d shapes:", count);
    for (int i = 0; i < bench->side_count; i++) {
        int firsts = 0;

        for (int k = 0; k < count; k++)
            firsts += first_of(bench, &results[k]) == &bench->sides[i];
        if (!i || bench->sides[i].peer)
            printf(" %s at %d,", bench->sides[i].name, firsts);
    }
    printf(" nobody at %d\n", even);
}

/* ---- the command ---- */

static void usage(void)
{
    fputs("usage: bench_products [--threads N] [--seconds S] [--peer LIBRARY]... [--against MODULE]... [NAME | "
          "MxKxN[:nn|nt|tn]]...\n",
          stderr);
    exit(2);
}

/* Threads that have nothing to do sleep soon: what they read when they are loaded. */
static void set_environment(int threads)
{
    char number[20];

    snprintf(number, sizeof number, "%d", threads);
    setenv("OMP_NUM_THREADS", number, 0);
    snprintf(number, sizeof number, "%d", SPIN);
    setenv("GOMP_SPINCOUNT", number, 0);
    setenv("OPENBLAS_THREAD_TIMEOUT", "18", 0); /* of cycles, as a power of 2 */
    setenv("RNET_CACHE", "off", 0);
    setenv("RNET_CODEGEN_MODULE", CODEGEN_MODULE, 0);
}

struct peaks {
    double multiply_add, matrix_unit; /* GFLOP/s; 0: there is none */
};

static void probe(struct rnet_pool *pool, struct peaks *best)
{
    for (int i = 0; i < 6; i++) {
        best->multiply_add = fmax(best->multiply_add, rnet_multiply_add_rate(pool, 1e-3) / giga);
        best->matrix_unit = fmax(best->matrix_unit, rnet_matrix_unit_rate(pool, 1e-3) / giga);
    }
}

int main(int count, char **words)
{
    struct bench bench = {.arena = arena_new(), .seconds = 0.3};
    shape_list all = {0}, chosen = {0};
    struct rnet_machine machine;
    struct rnet_error error;
    struct result *results;
    struct rnet_pool *pool;
    struct peaks peaks = {0};
    int threads, first = 1;

    rnet_machine(&machine);
    threads = machine.cores;
    for (int i = 1; i + 1 < count; i += 2)
        if (!strcmp(words[i], "--threads"))
            threads = atoi(words[i + 1]);
    if (threads < 1)
        usage();
    set_environment(threads);
    if (!rnet_blas_open(&error)) { /* with the processor's own kernels, which others are then found to be in */
        fprintf(stderr, "bench_products: %s\n", error.message);
        return 1;
    }
    add_side(&bench, "rnet", open_module(getenv("RNET_CODEGEN_MODULE")), NULL);
    for (; first < count && !strncmp(words[first], "--", 2); first += 2) {
        if (first + 1 == count)
            usage();
        if (!strcmp(words[first], "--seconds"))
            bench.seconds = atof(words[first + 1]);
        else if (!strcmp(words[first], "--peer"))
            add_peer(&bench, words[first + 1]);
        else if (!strcmp(words[first], "--against"))
            add_side(&bench, "rnet then", open_module(words[first + 1]), NULL);
        else if (strcmp(words[first], "--threads") != 0)
            usage();
    }
    add_peer(&bench, "libopenblas.so.0");
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        add_layer(bench.arena, &all, &layers[i], threads);
    for (int i = first; i < count; i++)
        if (!add_word(bench.arena, &chosen, &all, words[i], threads)) {
            fprintf(stderr, "bench_products: %s is no shape (MxKxN:nn), and no net's name has it\n", words[i]);
            return 2;
        }
    if (first == count)
        chosen = all;
    results = NEW_ARRAY(bench.arena, struct result, chosen.count);
    pool = rnet_pool_new(threads);
    probe(pool, &peaks);
    for (int i = 0; i < chosen.count; i++) {
        if (isatty(STDERR_FILENO))
            fprintf(stderr, "\r%d of %d: %-20s", i + 1, chosen.count, chosen.at[i].text);
        results[i] = measure(&bench, &chosen.at[i]);
    }
    if (isatty(STDERR_FILENO))
        fputs("\r                                \r", stderr);
    probe(pool, &peaks);
    rnet_pool_free(pool);
    sorted = &bench;
    qsort(results, (size_t)chosen.count, sizeof *results, worst_first);
    puts("GFLOP/s by the least time; the best peer's time by rnet's, of the least times and in the same moments, the worst first");
    print_head(&bench);
    for (int i = 0; i < chosen.count; i++)
        print_result(&bench, &results[i]);
    printf("\n%s, %d threads; multiply-adds on registers: %.0f GFLOP/s; ", machine.cpu, threads, peaks.multiply_add);
    if (peaks.matrix_unit > 0)
        printf("products of f32 by AMX: %.0f GFLOP/s; ", peaks.matrix_unit);
    printf("OpenBLAS as %s\n", rnet_blas_core());
    print_counts(&bench, results, chosen.count);
    arena_free(bench.arena);
    return 0;
}
