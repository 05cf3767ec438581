/* rnet.h: the runtime. What compiled code calls and what a training program needs around it: random numbers, threads, BLAS,
   data, checkpoints, logs. Knows nothing of the compiler and never links LLVM. C ABI; every name begins with rnet_.

   Errors: a function that can fail takes `struct rnet_error *`, fills it and returns false or NULL. */
#ifndef RNET_H
#define RNET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses of every command. */
enum rnet_status {
    RNET_DONE = 0,
    RNET_FAILED = 1,
    RNET_USAGE = 2,
    RNET_SOURCE = 3,
    RNET_DATA = 4,
    RNET_NONFINITE = 5,
    RNET_INTERRUPTED = 130
};

struct rnet_error {
    enum rnet_status status;
    char message[1000]; /* "train-images.gz: byte 16: expected ..., found ..." */
};
/* Always returns false. */
bool rnet_fail(struct rnet_error *error, enum rnet_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- the step: what compiled code is called with. Base pointers; every offset is a constant of the code. ---- */

struct rnet_pool;
struct rnet_step {
    char *parameters, *state, *arena, *inputs; /* 64-byte aligned */
    const double *scalars;                     /* one double for each IR_SCALAR leaf, in program order */
    const uint64_t *keys;                      /* one Philox key for each IR_DRAW leaf, in program order: rnet_draw_key */
    uint64_t position;                         /* number of the batch's first sample in its stream */
    uint64_t step;                             /* from 1 */
    struct rnet_pool *pool;
};
/* RNET_DONE, or RNET_NONFINITE with parameters and state untouched. */
typedef int (*rnet_step_function)(struct rnet_step *);

/* ---- philox.c: counter-based random numbers (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") ---- */

/* Philox4x32-10. */
void rnet_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* XXH3_64bits of the site's dotted path with the run's seed. */
uint64_t rnet_draw_key(const char *site, uint64_t seed);

enum rnet_draw { RNET_UNIFORM16, RNET_UNIFORM32, RNET_NORMAL };
/* The mapping from an element to bits. Counter: word 0 = block, word 1 = mapped (linearised time and mapped indices), words 2
   and 3 = position, low and high. Element e of a 32-bit draw: block (e / 64) * 16 + e % 16, output word (e / 16) % 4. Of a
   16-bit draw: block (e / 128) * 16 + e % 16, half h = (e / 16) % 8: word h / 2, low half first. A normal is a 32-bit draw
   whose words pair up: (0, 1) and (2, 3) of one block give two normals by Box and Muller.
   Numbers: uniform16 = k / 65536. uniform32 = (w >> 8) / 2^24. Both in [0, 1), exact in f32. Normals are computed in f32 by
   operations without contraction, so that every implementation gives the same bits; philox.h says which. A site has fewer than
   2^34 elements at one position.
   Fills out[0 .. count - 1] with elements first .. first + count - 1. */
void rnet_draw_fill(enum rnet_draw draw, uint64_t key, uint32_t mapped, uint64_t position, uint64_t first, int64_t count,
                    float *out);

/* ---- pool.c: threads that wait by spinning, then sleep. Denormals are flushed (FTZ, DAZ) in each from its creation. ---- */

/* threads >= 1, the caller included. The caller's denormals are flushed too. NULL: a thread could not be made. */
struct rnet_pool *rnet_pool_new(int threads);
void rnet_pool_free(struct rnet_pool *pool);
int rnet_pool_threads(const struct rnet_pool *pool);
/* Calls part(context, i) for every i in 0 .. parts - 1, whole parts to a thread, and waits. Never allocates. One thread calls it at
   a time; called inside a part, it runs all of its parts there and then. */
void rnet_pool_run(struct rnet_pool *pool, void (*part)(void *context, int64_t index), void *context, int64_t parts);

/* ---- blas.c: OpenBLAS, opened with the core type that this processor has; one thread inside each call ---- */

bool rnet_blas_open(struct rnet_error *error);
const char *rnet_blas_core(void); /* "SkylakeX", as OpenBLAS names what it runs; "none" before rnet_blas_open */
/* C[m, n] = alpha * A B + beta * C, row-major; a_transposed: A is stored k x m. */
void rnet_gemm_f32(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void rnet_gemm_f64(bool a_transposed, bool b_transposed, int64_t m, int64_t n, int64_t k, double alpha, const double *a,
                   int64_t lda, const double *b, int64_t ldb, double beta, double *c, int64_t ldc);

/* ---- linear.c: what no equation says, one matrix or row at a time; row-major. LAPACK's part is OpenBLAS's. ---- */

bool rnet_lapack_open(struct rnet_error *error);
/* How many of the count numbers come before each: ascending, ties by place, NaN last. scratch: count places. */
void rnet_rank_f32(int64_t count, const float *x, int32_t *rank, int32_t *scratch);
void rnet_rank_f64(int64_t count, const double *x, int32_t *rank, int32_t *scratch);
/* x with A x = b, A n x n; NaN if A is singular. scratch: n * n numbers and n of 4 bytes behind them. */
void rnet_solve_f32(int64_t n, const float *a, const float *b, float *x, float *scratch);
void rnet_solve_f64(int64_t n, const double *a, const double *b, double *x, double *scratch);
/* Lower triangular C with C C' = S, of which the lower triangle is read; NaN throughout if S is not positive definite. */
void rnet_cholesky_f32(int64_t n, const float *s, float *c);
void rnet_cholesky_f64(int64_t n, const double *s, double *c);
/* Q of the QR factors with R's diagonal positive: rows or columns orthonormal, whichever are fewer; NaN if x has too low a
   rank. scratch: rows * columns + 34 * min(rows, columns) numbers. */
void rnet_orthogonal_f32(int64_t rows, int64_t columns, const float *x, float *q, float *scratch);
void rnet_orthogonal_f64(int64_t rows, int64_t columns, const double *x, double *q, double *scratch);

/* ---- scalar functions that compiled code calls where no vector code is emitted ---- */
/* libm's, in f32 and f64: rnet_erf_f32, rnet_erf_f64, sin, cos, pow, log1p, expm1. Declared in rnet_math.h. */

/* ---- array.c: data in memory, row-major, the first axis counts samples ---- */

enum rnet_type { RNET_U8, RNET_I32, RNET_I64, RNET_F32, RNET_F64 };
size_t rnet_type_size(enum rnet_type type);
enum { RNET_MAX_RANK = 8 };
struct rnet_array {
    enum rnet_type type;
    int rank;
    int64_t shape[RNET_MAX_RANK];
    void *data;    /* malloc; freed by rnet_array_free, unless it is lent */
    bool lent;     /* it is another's, who keeps it for longer */
};
void rnet_array_free(struct rnet_array *array);
int64_t rnet_array_elements(const struct rnet_array *array);

/* ---- data.c: readers. Messages name the file and the byte, or the line. Plain files and gzip, told apart by content. ---- */

/* http://yann.lecun.com/exdb/mnist: u8, i8, i16, i32, f32, f64, big-endian. */
bool rnet_read_idx(const char *path, struct rnet_array *out, struct rnet_error *error);
/* NumPy's .npy, format 1.0 to 3.0, C or Fortran order (turned to C), little-endian u1 b1 i1 i2 i4 i8 f4 f8. */
bool rnet_read_npy(const char *path, struct rnet_array *out, struct rnet_error *error);
bool rnet_write_npy(const char *path, const struct rnet_array *array, struct rnet_error *error);
/* Columns first .. first + count - 1 (count 0: one column, rank 1). A first line that holds no number is a header.
   I32 if every value is a whole number, else F64. */
bool rnet_read_csv(const char *path, int first, int count, struct rnet_array *out, struct rnet_error *error);
/* Columns by the names that the first line gives them, in the order asked for: [rows, count], or rank 1 if count is 0 (of
   names[0]). A name that is not there, or is there twice, is an error. */
bool rnet_read_csv_named(const char *path, const char *const *names, int count, struct rnet_array *out,
                         struct rnet_error *error);
/* A column of text as whole numbers: I32, rank 1. `labels`: of no entries and then filled, in the order of first appearance;
   or filled before (by training data), and then a text that it lacks is an error. Spaces around an unquoted text are not
   part of it; an empty one is an error. `name`: of the column, in a first line that names them; NULL: by number, and then
   the first line is a header if it holds no number and the second does. */
struct rnet_vocabulary;
bool rnet_read_csv_labels(const char *path, const char *name, int column, struct rnet_vocabulary *labels,
                          struct rnet_array *out, struct rnet_error *error);

/* ---- vocabulary.c: which text each whole number stands for ---- */

enum rnet_unit {
    RNET_LABELS,     /* names of categories: nothing is unknown, the order is that of appearance */
    RNET_CHARACTERS, /* code points of a text, a line end (LF or CRLF) among them as "\n" */
    RNET_WORDS,      /* what stands between white space; each line ends with the word <eos> */
    RNET_LINES       /* code points of lines, without their ends */
};
/* Entries 0 .. count - 1. But for labels, entry 0 is what stands for all that has no entry: U+FFFD among characters, <unk>
   among words (a text that holds these means the same by them); the others go from the most frequent to the least, equally
   frequent ones by code point. All zeros: no entries. */
struct rnet_vocabulary {
    enum rnet_unit unit;
    int count;
    char *text;     /* the entries in UTF-8, each ended by a 0 */
    size_t *starts; /* count + 1: entry i is text[starts[i] .. starts[i + 1] - 2] */
    uint32_t *slots;
    size_t text_capacity, entry_capacity, slot_count;
};
void rnet_vocabulary_free(struct rnet_vocabulary *vocabulary);
/* Valid as long as the vocabulary. *length in bytes; length may be NULL, but an entry of characters may be U+0000. */
const char *rnet_vocabulary_entry(const struct rnet_vocabulary *vocabulary, int entry, size_t *length);
/* -1: it has no entry of its own. */
int rnet_vocabulary_find(const struct rnet_vocabulary *vocabulary, const char *text, size_t length);
/* From a text: at most `limit` entries, the unknown one counted, so that every number is in 0 .. limit - 1. For labels
   there is rnet_read_csv_labels. */
bool rnet_vocabulary_build(enum rnet_unit unit, const char *path, int limit, struct rnet_vocabulary *out,
                           struct rnet_error *error);
/* As one string of UTF-8 without 0 bytes, for a checkpoint: "rnet vocabulary 1", the unit, the count, then an entry a line
   with \\, \n, \r and \0 for what would end it. malloc; NULL: out of memory. */
char *rnet_vocabulary_pack(const struct rnet_vocabulary *vocabulary);
/* `bytes` need no 0 at the end; `from` is what messages name. Anything that pack does not write is an error. */
bool rnet_vocabulary_unpack(const char *bytes, size_t size, const char *from, struct rnet_vocabulary *out,
                            struct rnet_error *error);

/* ---- data_text.c: texts in UTF-8 as whole numbers. Bytes that are no UTF-8 are an error that names them; a byte order mark
   at the beginning is passed over; an empty file is an error. White space: that of ASCII. ---- */

/* A file as one stream of entries of `vocabulary` (characters or words): I32, rank 1. *unknown: how many stand for what has
   no entry. */
bool rnet_read_text(const char *path, const struct rnet_vocabulary *vocabulary, struct rnet_array *out, int64_t *unknown,
                    struct rnet_error *error);
/* Each line as a row (`vocabulary` of lines): rows I32 [lines, longest], 0 behind the line's end; lengths I32 [lines], in
   0 .. longest: an empty line is a row too, as rows belong to those of other files. A line that is longer is an error that
   names it and says how long the longest is. */
bool rnet_read_lines(const char *path, const struct rnet_vocabulary *vocabulary, int longest, struct rnet_array *rows,
                     struct rnet_array *lengths, int64_t *unknown, struct rnet_error *error);
/* Rows of `length` neighbours in a stream: row r is stream[r * stride .. r * stride + length - 1]; the last symbols, fewer
   than `stride`, that fill no row are left out. For a model that predicts each symbol from those before,
   stride = length - 1: the last symbol of a row, which is predicted, is the first of the next, which it predicts from; of
   the symbols in rows every one but the first is predicted once. I32 [rows, length]; a stream shorter than `length` is an
   error that names `from`. */
bool rnet_sequence(const struct rnet_array *stream, int64_t length, int64_t stride, const char *from,
                   struct rnet_array *out, struct rnet_error *error);

/* ---- data_png.c ---- */

/* Images of equal size, all gray or all RGB, 8 bits or fewer a channel: pixels U8 [items, height, width, 1 or 3]; gray of
   fewer bits is spread over 0 .. 255, palettes become RGB. An alpha channel and 16 bits are errors: neither can be left out
   unseen. `pattern`: a folder, meaning its files *.png, or as glob(7). Order: by folder, then by name, byte by byte.
   `labels` NULL: no labels (`label` is not used). Else the folder that an image stands in is its label, I32 [items], and
   of a folder as pattern the images in its sub-folders are read: FOLDER/LABEL/NAME.png. labels of no entries is filled, in
   the order of the names; filled before, a folder that it lacks is an error. */
bool rnet_read_images(const char *pattern, struct rnet_vocabulary *labels, struct rnet_array *pixels,
                      struct rnet_array *label, struct rnet_error *error);

/* ---- shuffle.c: the order in which samples are seen. The stream of training is permutations end to end, or lanes. ---- */

/* Item of the data at place `position` of the stream. lanes 0: position p is place p % items of permutation p / items, which
   depends only on (seed, name, p / items, items); the current permutation is kept. Else the data in their order: place p is of
   lane p % lanes in step p / lanes, and lane b begins with item floor(b * items / lanes) and goes on from there, item by item,
   round the end. So one lane is the data end to end; with a lane for each place of a batch, what a place carries from one step to
   the next fits, but for one lane an epoch that goes from the last item to the first, and no item is left out. Resuming anywhere
   gives the same items. */
struct rnet_stream;
/* NULL: items < 1, lanes < 0, or out of memory. */
struct rnet_stream *rnet_stream_new(const char *name, uint64_t seed, int64_t items, int64_t lanes);
void rnet_stream_free(struct rnet_stream *stream);
int64_t rnet_stream_item(struct rnet_stream *stream, uint64_t position);

/* ---- divide.c: random parts of one data set, the same in every run ---- */

/* parts[i], of counts[i] places, is filled with rows of 0 .. rows - 1, ascending; no row is in two parts. Depends only on
   (name, seed, rows, counts), and part i not on the counts behind it. More rows wanted than there are: an error. */
bool rnet_divide(const char *name, uint64_t seed, int64_t rows, const int64_t *counts, int part_count, int64_t *const *parts,
                 struct rnet_error *error);
/* Rows `rows` of `from` along the first axis, in that order. */
bool rnet_array_gather(const struct rnet_array *from, const int64_t *rows, int64_t count, struct rnet_array *out,
                       struct rnet_error *error);

/* ---- loader.c: a thread that gathers batches ahead of the training loop ---- */

struct rnet_loader_column {
    const void *rows; /* row i: row_bytes from rows + i * row_bytes on */
    int64_t row_bytes;
    int64_t offset; /* of the column in a slot: sample s of the batch lies at offset + s * row_bytes */
};
struct rnet_loader_setup {
    const struct rnet_loader_column *columns;
    int column_count;
    int64_t items; /* rows of every column */
    int64_t batch;
    void *const *slots; /* where batches are put in turn: 2 or 3 keep it ahead; with 1 it loads while the caller waits */
    int slot_count;
    /* The item at a place of the stream, in 0 .. items - 1. Called by the loader's thread alone, places ascending. */
    int64_t (*item)(void *context, uint64_t position);
    void *context;
    uint64_t position; /* of the first batch's first sample */
    uint64_t batches;  /* after which it ends; 0: never */
};
struct rnet_loader;
/* Copies the setup and its arrays; rows, slots' memory and context stay the caller's and must stay until rnet_loader_free.
   NULL with an error: a setup that cannot be, or no memory or thread. */
struct rnet_loader *rnet_loader_new(const struct rnet_loader_setup *setup, struct rnet_error *error);
/* The slot that holds the next batch, as if it were gathered now; waits for it. The slot is the caller's until the next
   call, which gives it back. NULL with an error: an item outside 0 .. items - 1 in this batch (those before it were given
   out), or all `batches` were taken. Never allocates. One thread calls it. */
void *rnet_loader_next(struct rnet_loader *loader, struct rnet_error *error);
/* Stops the thread, at the latest when the batch at hand is gathered, and waits for it. */
void rnet_loader_free(struct rnet_loader *loader);

/* ---- safetensors.c: https://github.com/huggingface/safetensors. Written to a temporary file, synced, renamed. ---- */

struct rnet_tensor {
    const char *name;
    enum rnet_type type; /* U8 F32 F64 I32 I64 */
    int rank;
    int64_t shape[RNET_MAX_RANK];
    void *data;
};
struct rnet_pair { const char *key, *value; };
/* On failure an earlier file of that name is as it was. Tensors in the file: descending width of type, then name. */
bool rnet_safetensors_write(const char *path, const struct rnet_tensor *tensors, int count, const struct rnet_pair *metadata,
                            int pairs, struct rnet_error *error);
struct rnet_safetensors {
    int count, pairs;
    struct rnet_tensor *tensors;
    struct rnet_pair *metadata;
    void *memory;
};
bool rnet_safetensors_read(const char *path, struct rnet_safetensors *out, struct rnet_error *error);
void rnet_safetensors_free(struct rnet_safetensors *file);
const struct rnet_tensor *rnet_safetensors_find(const struct rnet_safetensors *file, const char *name);
const char *rnet_safetensors_value(const struct rnet_safetensors *file, const char *key);

/* ---- log.c: one JSON object a line; non-finite numbers as null with a flag "NAME_nonfinite": "nan" | "inf" | "-inf" ---- */

struct rnet_log;
/* append: of a resumed run. Lines whose "step" is beyond `after_step` are cut off then (they will be written again). */
struct rnet_log *rnet_log_open(const char *path, bool append, uint64_t after_step, struct rnet_error *error);
/* The same for a run of several parts, each of which counts its steps from 1 and writes its number as "block" in its lines
   (without: part 0): lines of later parts are cut off too, those of earlier ones stay. */
struct rnet_log *rnet_log_resume(const char *path, uint64_t block, uint64_t after_step, struct rnet_error *error);
void rnet_log_begin(struct rnet_log *log);
void rnet_log_number(struct rnet_log *log, const char *key, double value);
void rnet_log_whole(struct rnet_log *log, const char *key, int64_t value);
void rnet_log_string(struct rnet_log *log, const char *key, const char *value);
bool rnet_log_end(struct rnet_log *log, struct rnet_error *error);
bool rnet_log_close(struct rnet_log *log, struct rnet_error *error);

/* ---- progress.c: a line on stderr that is redrawn on a terminal and printed now and then elsewhere ---- */

struct rnet_progress;
struct rnet_progress *rnet_progress_new(void);
/* The text without line end. Redraws at most 10 times a second on a terminal, prints at most every 5 s elsewhere. */
void rnet_progress_show(struct rnet_progress *progress, const char *line);
/* Ends the line, if one is being shown, so that other text can follow. */
void rnet_progress_end(struct rnet_progress *progress);
void rnet_progress_free(struct rnet_progress *progress);

/* ---- interrupt.c: the first SIGINT or SIGTERM asks, the second ends the process at once with status 130 ---- */

void rnet_interrupt_install(void);
bool rnet_interrupt_asked(void);

/* ---- machine.c: what numbers rest on ---- */

struct rnet_machine {
    char cpu[100]; /* "Intel(R) Xeon(R) Processor" */
    char isa[20];  /* "avx512", "avx2", "sse2"; behind it " amx" where rnet_matrix_unit() */
    int cores;     /* this process may use */
    int64_t memory_bytes;
};
void rnet_machine(struct rnet_machine *out);
/* Whether this process, all of its threads, may use AMX on bf16 (tdpbf16ps). The first call asks the kernel for it; every later one
   says the same. false: the processor has none, the kernel refuses, or RNET_AMX=off at the first call. */
bool rnet_matrix_unit(void);
/* Whether RNET_AMX=all wants every product by it that it can make, faster or not: for tests, whose products are small. */
bool rnet_matrix_unit_for_all(void);
/* What this process has in memory now, and the most since it began, in bytes; 0: the system does not say. Free memory that the
   allocator keeps is given back first. */
struct rnet_resident {
    int64_t now, peak;
};
void rnet_resident(struct rnet_resident *out);
double rnet_seconds(void); /* monotonic */
/* Where what may be made again is kept: RNET_CACHE if it is set, else $XDG_CACHE_HOME/rnet, else ~/.cache/rnet. It need not be
   there. false: nothing is to be kept (RNET_CACHE=off), or there is no place for it. */
bool rnet_cache_folder(char *out, size_t size);

/* ---- limits.c: what the machine gives just now, to all threads of the pool ---- */

/* Floating-point operations a second, for so many seconds (a millisecond at least): multiply-adds of f32 on registers, each two. A
   machine that others use too gives less for long than for a moment. 0: out of memory. */
double rnet_multiply_add_rate(struct rnet_pool *pool, double seconds);
/* The same of products of f32 by the matrix unit: each number three parts of bf16, six products of parts, operands in the first
   cache, sums in registers; a multiply-add of f32 is two operations, whatever it is made by. 0: there is no matrix unit. */
double rnet_matrix_unit_rate(struct rnet_pool *pool, double seconds);
/* Bytes a second, read and written, of copying one half of `memory` to the other: the best of a few slices of milliseconds. */
double rnet_copy_rate(struct rnet_pool *pool, char *memory, int64_t bytes);
/* Seconds for each thread of the pool to be given a part that does nothing, and to be waited for. */
double rnet_fork_join_seconds(struct rnet_pool *pool);

#endif
