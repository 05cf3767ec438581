/* emit.h: what the files of the code generator share. Values are built in the innermost open level that they depend on, so
   whatever does not change in a loop stands before it; a value that does not change along the vector index is a scalar. */
#ifndef RNET_EMIT_H
#define RNET_EMIT_H

#include <llvm-c/Core.h>
#include <llvm-c/TargetMachine.h>

#include "passes.h"
#include "unit.h"

/* Logical lanes of a vector: on every processor the same, so that numbers are too. A nest may have a power of two more of them
   (layout.c), at most WIDEST. */
enum { LANES = 16, WIDEST = 128, MAX_LEVELS = 40, MAX_PARTS = 64 };

/* ---- values ---- */

/* Truth is i1, whole i32 or i64 (as its range asks for), real f32 or f64. */
enum value_kind { TRUTH, WHOLE, REAL };
struct value {
    LLVMValueRef at;
    enum value_kind kind;
    int level;
};

/* An index that is being looped over, or is a constant. */
struct binding {
    const struct ir_index *index;
    LLVMValueRef scalar; /* i64; of the vector index the first lane's */
    LLVMValueRef lanes32; /* of the vector index, made when first wanted */
    bool vector;
    int level;
    LLVMValueRef origin; /* of neighbours that are bound side by side: where their number, scalar, counts from, or NULL */
    int origin_level;
    int64_t distance;    /* scalar - origin */
};

/* A draw whose numbers for one run of the vector loop have been made before it. */
struct row {
    const struct ir_expr *read;
    LLVMValueRef numbers, first; /* numbers[e - first] is element e */
    int level;
};

/* Memory of a tensor that lives in its kernel alone. */
struct local {
    const struct ir_tensor *tensor;
    LLVMValueRef base; /* of the part */
    bool lanes;        /* an element is a vector: all its lanes side by side: the vector index is one of parallel */
};

/* An index of an unrolled loop has a value that is known: equations are rewritten with it, so that what does not depend on other
   indices moves out of loops, and conditions and guards vanish. */
struct fixed {
    struct ir_index *index;
    const struct ir_form *value;
};

struct known {
    const void *key;
    int mode; /* of the emitter when it was made: operations_mode */
    struct value value;
};

struct emitter {
    struct arena *arena;
    struct ir_program *program;
    LLVMContextRef context;
    LLVMModuleRef module;
    LLVMTargetMachineRef machine;
    LLVMBuilderRef builder, entry_builder; /* the second stands at the entry block's end */
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, pointer, nothing;
    LLVMTypeRef part_type; /* void (call, part) */
    int lanes;             /* of vectors: those of the nest being emitted, else LANES */
    int way;               /* of cutting products: see unit.h */
    const char *cpu, *features;
    bool matrix_unit;      /* the processor multiplies matrices of bf16 and lets us (rnet_matrix_unit) */
    bool splits_all;       /* rnet_matrix_unit_for_all */
    int64_t scratch, kept; /* bytes of the kernel's scratch given out so far, and of what it keeps through a recurrence */
    const char *error;

    /* The function being emitted. */
    LLVMValueRef function, call, step, part; /* call: struct kernel_call; step: struct rnet_step */
    LLVMBasicBlockRef entry, block; /* where allocas go; where the innermost level goes on */
    LIST(LLVMValueRef) places; /* addresses of tensors that have been asked for, by their offset; else NULL */
    LLVMValueRef scratch_start, kept_start, position, step_number; /* likewise */
    int depth;
    struct {
        LLVMBasicBlockRef before, header; /* block of the level that leads into the one inside it */
        LLVMValueRef counter, end;        /* end: of a loop that runs at least once; counter NULL: exactly once */
        LLVMBasicBlockRef exit;
        int64_t by;
        int known, bindings;
    } levels[MAX_LEVELS];
    LIST(struct binding) bindings;
    LIST(struct known) known;   /* a stack; searched by `slots` */
    int *slots;                 /* open addressing: number in known + 1 */
    int slot_count;
    LIST(struct row) rows;
    LIST(struct local) locals;
    LLVMValueRef mask; /* lanes that exist, a vector of i1, or NULL: all do */
    int mask_level;
    LIST(struct fixed) fixed;   /* indices of unrolled loops, outermost first */
    int floor;         /* no load of what this kernel writes goes above this level */
    bool single;       /* the equation's operations are f32 */
    bool rounded;      /* each is the exact result rounded, as the evaluator has it: arguments of draws (`single` equations) */
    const struct ir_kernel *kernel;
};

/* ---- build.c: levels, functions, small things ---- */

LLVMTypeRef real_type(const struct emitter *e);
LLVMTypeRef vector_of(const struct emitter *e, LLVMTypeRef scalar);
bool is_vector(LLVMValueRef v);
/* The type with the lanes of `like`. */
LLVMTypeRef as_wide(LLVMTypeRef scalar, LLVMValueRef like);
LLVMValueRef number_like(LLVMTypeRef type, double value);  /* a real constant of a type, splat if it is a vector's */
LLVMValueRef whole_like(LLVMTypeRef type, int64_t value);
LLVMValueRef splat(struct emitter *e, LLVMValueRef scalar);
LLVMValueRef widen(struct emitter *e, LLVMValueRef v, bool vector);
LLVMValueRef lane_numbers(struct emitter *e, LLVMTypeRef element); /* <0, 1, ..> */
LLVMValueRef intrinsic(struct emitter *e, const char *name, const LLVMTypeRef *types, int type_count,
                       LLVMValueRef *arguments, int count);
LLVMValueRef call_fma(struct emitter *e, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c);
/* A runtime function, declared once. */
LLVMValueRef runtime_function(struct emitter *e, const char *name, LLVMTypeRef type);
LLVMValueRef offset_pointer(struct emitter *e, LLVMValueRef pointer, LLVMValueRef bytes);
LLVMValueRef offset_constant(struct emitter *e, LLVMValueRef pointer, int64_t bytes);
LLVMValueRef stack_room(struct emitter *e, LLVMTypeRef type, int64_t count); /* in the entry block, 64-byte aligned */
int64_t take_scratch(struct emitter *e, int64_t bytes);
/* Memory that no other kernel touches from the first step of the kernel's recurrence to the last. */
int64_t take_kept(struct emitter *e, int64_t bytes);
/* The number of the first sample, and of the step. */
LLVMValueRef first_position(struct emitter *e);
LLVMValueRef step_number(struct emitter *e);
/* Where a stored tensor begins; of a draw, where its key is. Nothing else asks for regions and offsets. */
LLVMValueRef tensor_base(struct emitter *e, const struct ir_tensor *tensor);
/* What take_scratch and take_kept gave, as an address. */
LLVMValueRef scratch_base(struct emitter *e, int64_t offset);
LLVMValueRef kept_base(struct emitter *e, int64_t offset);

/* Opens the body of a function of the module's own, at level 0. */
void body_open(struct emitter *e, LLVMValueRef function);
/* Opens void name(call, part) at level 0. */
void part_open(struct emitter *e, const char *name);
void function_close(struct emitter *e);
/* Where a value of this level is to be built. */
void at_level(struct emitter *e, int level);
/* for (i = first; i < end; i += by): a level. Returns i. first and end are i64. */
LLVMValueRef loop_open(struct emitter *e, LLVMValueRef first, LLVMValueRef end, int64_t by);
void loop_close(struct emitter *e);
/* if (condition): a level. NULL: always. */
void if_open(struct emitter *e, LLVMValueRef condition);
void if_close(struct emitter *e);
void bind(struct emitter *e, const struct ir_index *index, LLVMValueRef scalar, bool vector);
/* The same to `distance` behind a number of an outer level: addresses of neighbours differ by a constant. */
void bind_behind(struct emitter *e, const struct ir_index *index, LLVMValueRef origin, int origin_level, int64_t distance,
                 bool vector);
struct binding *binding_of(struct emitter *e, const struct ir_index *index);
/* Operations from now on are those of the equation: their format, and whether each is the exact result rounded. */
void operate_as(struct emitter *e, const struct ir_tensor *equation);
bool known_get(struct emitter *e, const void *key, struct value *out);
void known_put(struct emitter *e, const void *key, struct value value);
/* Element type of a storage, and its bytes. */
LLVMTypeRef storage_type(const struct emitter *e, enum ir_storage storage);
int64_t storage_bytes(enum ir_storage storage);
/* Whole numbers in [low, high] are i32 if all fit, else i64. */
LLVMTypeRef whole_type(const struct emitter *e, int64_t low, int64_t high);
struct value to_real(struct emitter *e, struct value v, LLVMTypeRef element);
struct value to_whole(struct emitter *e, struct value v, LLVMTypeRef element);
struct value to_truth(struct emitter *e, struct value v);
/* Joins the lanes in a fixed tree: halves, quarters, .. 2, 1. */
typedef LLVMValueRef (*join_function)(struct emitter *e, LLVMValueRef a, LLVMValueRef b, const void *context);
LLVMValueRef join_lanes(struct emitter *e, LLVMValueRef vector, join_function join, const void *context);
LLVMValueRef lanes_slice(struct emitter *e, LLVMValueRef vector, int first, int count);
LLVMValueRef lanes_pair(struct emitter *e, LLVMValueRef low, LLVMValueRef high);

/* ---- math.c: vector functions. f32 or f64, scalar or vector, as x is ---- */

/* Rounded as the processor rounds it: no argument gives other bits. */
LLVMValueRef math_sqrt(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_exp(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_expm1(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_log(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_log1p(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_tanh(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_sigmoid(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_softplus(struct emitter *e, LLVMValueRef x);
LLVMValueRef math_power(struct emitter *e, LLVMValueRef x, LLVMValueRef y, const struct ir_expr *exponent);
/* Lane by lane: rnet_NAME_f32 or _f64. b: second argument or NULL. */
LLVMValueRef math_call(struct emitter *e, const char *name, LLVMValueRef a, LLVMValueRef b);

/* ---- operators.c ---- */

/* The value of an expression where it stands. */
struct value emit_expr(struct emitter *e, const struct ir_expr *expr);
/* max and min of numbers of one type, real or whole, as ops.def has them. */
LLVMValueRef better_of(struct emitter *e, bool larger, LLVMValueRef a, LLVMValueRef b);

/* ---- address.c ---- */

struct value emit_form(struct emitter *e, const struct ir_form *form);
struct value emit_read(struct emitter *e, const struct ir_expr *read);
/* Where the subscripts' element is, of the vector index that of the first lane. */
LLVMValueRef emit_address(struct emitter *e, const struct ir_tensor *tensor, const struct ir_form *const *subscripts);
/* A tensor's number at its own axes. */
struct value emit_load(struct emitter *e, const struct ir_tensor *tensor);
void emit_store(struct emitter *e, const struct ir_tensor *tensor, struct value value);
/* Adds to what stands at the subscripts; along the vector index they must be neighbours. */
void emit_increase(struct emitter *e, const struct ir_tensor *tensor, const struct ir_form *const *subscripts, struct value value);
/* At a place in row-major order (i64; of a vector the first lane's). */
void emit_store_at(struct emitter *e, const struct ir_tensor *tensor, struct value value, LLVMValueRef element_number);
/* The same in memory that begins at base, stored as the tensor is. */
void emit_store_from(struct emitter *e, LLVMValueRef base, const struct ir_tensor *tensor, struct value value,
                     LLVMValueRef element_number);
/* The element number (strides in elements) that subscripts stand for, as one form. */
const struct ir_form *linear_form(struct emitter *e, const struct ir_tensor *tensor, const struct ir_form *const *subscripts,
                                  const int64_t *strides);

/* ---- philox_emit.c ---- */

/* Which numbers a read of a draw means: element, mapped (counter word 1) and the batch subscript (NULL: none). */
struct draw_forms {
    const struct ir_form *element, *mapped, *sample;
};
struct draw_forms draw_forms(struct emitter *e, const struct ir_expr *read);
struct value emit_draw(struct emitter *e, const struct ir_expr *read);
/* Can the draw be made in a row along the index? Nothing of it but the element depends on index, with coefficient 1. */
bool draw_runs_along(struct emitter *e, const struct ir_expr *read, const struct ir_index *index);
bool draw_mentions(struct emitter *e, const struct ir_expr *read, const struct ir_index *index);
/* Functions of draws are shared by kernels: the body of that name; false if there is none. */
bool emit_draw_function(struct emitter *e, const char *name);
/* Fills a row with the elements that index = first .. end - 1 (at most `most`, from E's current level) reads. */
void emit_row(struct emitter *e, const struct ir_expr *read, const struct ir_index *index, LLVMValueRef first,
              LLVMValueRef end, int64_t most);

/* ---- layout.c: how a kernel is laid out on lanes and parts ---- */

struct equation_plan {
    struct ir_tensor *tensor;
    bool reduces, in_parts;     /* in_parts: over the parallel indices */
    int home;                   /* so many of the stage's loops are outside the accumulator; -1: all of the part is inside */
    bool join;                  /* lanes are reduced over: joined when the accumulator is done */
    bool wide;                  /* the accumulator is a vector */
    struct ir_tensor *partial;  /* of in_parts: a tensor of the accumulator's type with the outputs' axes, one for each part */
    int64_t partial_elements;   /* rounded up to whole vectors */
    int64_t memory;             /* where partials are in the scratch */
    LLVMTypeRef type;           /* of the accumulator's element */
    LLVMValueRef accumulator, place; /* allocas; place: of argmax and argmin */
};
/* Reductions of a stage that are made together: so many neighbours of inner[row] (-1: there is none), so many vectors. */
struct sums_plan {
    bool together;
    int row, rows, vectors;
};
/* What is read at each point of a stage and asked for of the next row. */
struct soon {
    const struct ir_tensor *tensor;
    const struct ir_form *const *subscripts;
};
struct stage_plan {
    int inner_count;
    struct ir_index **inner;
    int64_t *extents;           /* of collapsed indices the product, 1 for those that were swallowed */
    int vector;                 /* number of the vector index in inner, or -1 */
    int lanes;                  /* of vectors */
    int unrolled;               /* the loops from this one on are unrolled: equations are emitted for each of their values */
    bool bound;                 /* its loops are one vector, which is bound before the items: see kernel_plan.one_vector */
    int across;                 /* of a map that is read along another index: its number; else -1 */
    int count;
    struct equation_plan *equations;
    LIST(const struct ir_expr *) draws; /* distinct reads without guards */
    struct sums_plan sums;
    LIST(struct soon) soon;
};
struct kernel_plan {
    const struct ir_kernel *kernel;
    bool columns;               /* the vector index is the last of parallel */
    int lanes;                  /* of columns and of one_vector, those of all stages */
    bool one_vector;            /* rows that are one vector each: what is made in parts stays in registers for all of a part */
    int64_t row;                /* of one_vector: the numbers of a row */
    int outer_count;            /* parallel indices without the vector index of columns */
    struct ir_index **outer;
    int64_t *outer_extents;
    struct ir_index *along;     /* of columns */
    int64_t along_extent, block, blocks; /* the vector index is cut into blocks, multiples of the lanes */
    int64_t items, parts, items_per_part; /* an item: a point of outer and a block */
    int count;
    struct stage_plan *stages;
};
void plan_kernel(struct emitter *e, const struct ir_kernel *kernel, struct kernel_plan *plan);
/* Of the stages behind a tile kernel's product: columns, in as many parts as the tiles have. */
void plan_followers(struct emitter *e, const struct ir_kernel *kernel, int64_t parts, struct kernel_plan *plan);
/* Does a local tensor have no room for this axis: the kernel has one point of it at a time? */
bool is_fixed_axis(const struct ir_kernel *kernel, const struct ir_index *axis);
/* Is the tensor an equation of the kernel? */
bool computed_in(const struct ir_kernel *kernel, const struct ir_tensor *tensor);
bool list_has(struct ir_index *const *indices, int count, const struct ir_index *index);

/* ---- nest.c, product.c, scatter.c, opaque.c, kernel.c: a kernel becomes functions ---- */

struct part_function {
    LLVMValueRef function;
    int64_t parts;
    enum when when;
};
typedef LIST(struct part_function) part_functions;
void emit_nest(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions);
/* Bytes of the machine's vectors, and how many registers it has for them. */
int vector_bytes(const struct emitter *e);
int vector_registers(const struct emitter *e);
/* sums.c: which reductions of a stage are made together, and the stage whose are. */
void plan_sums(const struct emitter *e, const struct stage_plan *stage, struct sums_plan *plan);
void emit_together(struct emitter *e, const struct stage_plan *stage);
/* nest_ahead.c: which stage asks for the next row; at a point of the stage. */
void plan_rows_ahead(struct emitter *e, struct kernel_plan *plan);
void emit_rows_ahead(struct emitter *e, const struct stage_plan *stage);
/* turn.c: rows of so many lanes become columns; a stage with `across`. A stage of turning exchanges halves of `size` lanes
   between rows `size` apart; all of them from lanes / 2 down to 1 turn a square about. */
void turn_stage(struct emitter *e, LLVMValueRef *rows, int lanes, int size);
/* The first ones, of rows that are read in `count` pieces each, pieces[row][number]: what is joined while it is read lies
   lanes / count rows apart, and costs less than shuffling. Then those within pieces, which are so wide. */
enum { TURN_PIECES = 4 };
void join_pieces(struct emitter *e, LLVMValueRef (*pieces)[TURN_PIECES], LLVMValueRef *rows, int lanes, int count);
void turn_within_pieces(struct emitter *e, LLVMValueRef *rows, int lanes, int wide);
void emit_turned(struct emitter *e, struct stage_plan *stage);
/* The accumulators of all reductions of a stage but those in parts. */
void begin_point(struct emitter *e, struct stage_plan *stage);
void end_point(struct emitter *e, struct stage_plan *stage);
/* What a nest is made of: a stage at the point at hand; of reductions in parts the partial results of a part, begun before
   and ended after all points, and the function that joins them. */
void emit_point(struct emitter *e, struct stage_plan *stage);
void open_partials(struct emitter *e, struct kernel_plan *plan);
void close_partials(struct emitter *e, struct kernel_plan *plan);
void emit_joins(struct emitter *e, struct kernel_plan *plan, part_functions *functions);
/* The value of an equation at a point: at hand for what follows, and in memory if it has any. */
void set_value(struct emitter *e, const struct ir_tensor *t, struct value v);
/* false: the equation is for emit_nest after all. */
bool emit_product(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions);
void emit_scatter(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions);
void emit_opaque(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions);
/* All of a vector index: `inside` in a loop of whole vectors, then at those that are left, under a mask. */
typedef void emit_inside(void *context);
void emit_along_vectors(struct emitter *e, const struct ir_index *index, int64_t extent, emit_inside *inside, void *context);
/* The mask of the first `count` lanes. */
LLVMValueRef lanes_below(struct emitter *e, int64_t count);
/* Where the part's `bytes` of scratch, which begins at offset, lie. */
LLVMValueRef of_part(struct emitter *e, int64_t offset, int64_t bytes);
/* The functions of a kernel, or a function that kernels share. */
void emit_kernel(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions);
bool emit_shared(struct emitter *e, const char *name);

#endif
