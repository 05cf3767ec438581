/* product.c: a product kernel: tiles (tile.c), or calls into BLAS, cut into parts by its shape alone: batches whole, else columns (or
   rows, if there are more of them) in multiples of 32. Each part is one call with one thread, so the numbers do not
   depend on threads. */
#include "tile.h"

typedef LLVMValueRef V;

/* Each strip packs the other operand anew, so strips are wide if they can be. */
enum { PRODUCT_PARTS = 8, STRIP = 32, WIDE_STRIP = 512 };
static const double part_flops = 2e6;

struct cut {
    bool columns;
    int64_t size, parts; /* of the last one less */
};

static struct cut cut_of(const struct product *product)
{
    int64_t longer = product->n >= product->m ? product->n : product->m;
    double flops = 2.0 * (double)product->m * (double)product->n * (double)product->k;
    struct cut cut = {product->n >= product->m, longer, 1};
    int64_t parts = longer / WIDE_STRIP < 2 ? 2 : longer / WIDE_STRIP;

    if (parts > PRODUCT_PARTS)
        parts = PRODUCT_PARTS;
    if ((double)parts > flops / part_flops)
        parts = (int64_t)(flops / part_flops);
    if (parts > 1)
        cut.size = ((longer + parts - 1) / parts + STRIP - 1) / STRIP * STRIP;
    cut.parts = (longer + cut.size - 1) / cut.size;
    return cut;
}

static V scaled(struct emitter *e, V v, int64_t by)
{
    return LLVMBuildNSWMul(e->builder, v, whole_like(e->i64, by), "");
}

static V moved(struct emitter *e, V pointer, V v, int64_t bytes)
{
    return bytes ? offset_pointer(e, pointer, scaled(e, v, bytes)) : pointer;
}

static V operand(struct emitter *e, const struct ir_tensor *t, int64_t element)
{
    return offset_constant(e, tensor_base(e, t), element * storage_bytes(t->storage));
}

static void call_gemm(struct emitter *e, const struct product *product, bool single, V m, V n, V a, V b, V c)
{
    LLVMTypeRef real = single ? e->f32 : e->f64;
    LLVMTypeRef types[] = {e->i32, e->i32,     e->i64, e->i64, e->i64,     real,  e->pointer,
                           e->i64, e->pointer, e->i64, real,   e->pointer, e->i64};
    LLVMTypeRef type = LLVMFunctionType(e->nothing, types, 13, false);
    V function = runtime_function(e, single ? "rnet_gemm_f32" : "rnet_gemm_f64", type);
    V arguments[] = {whole_like(e->i32, product->a_transposed),
                     whole_like(e->i32, product->b_transposed),
                     m,
                     n,
                     whole_like(e->i64, product->k),
                     number_like(real, product->scale),
                     a,
                     whole_like(e->i64, product->lda),
                     b,
                     whole_like(e->i64, product->ldb),
                     number_like(real, 0),
                     c,
                     whole_like(e->i64, product->ldc)};

    LLVMBuildCall2(e->builder, type, function, arguments, 13, "");
}

/* One batch after the other, a range of them to each part. */
static int64_t emit_batches(struct emitter *e, const struct product *product, bool single, V a, V b, V c)
{
    int64_t bytes = single ? 4 : 8;
    double flops = 2.0 * (double)product->m * (double)product->n * (double)product->k;
    int64_t each = (int64_t)(part_flops / 4 / flops), least = (product->batches + MAX_PARTS - 1) / MAX_PARTS;

    if (each < least)
        each = least;
    if (each < 1)
        each = 1;
    V first = scaled(e, e->part, each);
    V wanted = LLVMBuildNSWAdd(e->builder, first, whole_like(e->i64, each), ""),
      all = whole_like(e->i64, product->batches);
    V end = LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, wanted, all, ""), wanted, all, "");
    V batch = loop_open(e, first, end, 1);
    for (int i = product->batched_count - 1; i >= 0; i--) {
        V extent = whole_like(e->i64, product->batch_extent[i]);
        V at = i ? LLVMBuildURem(e->builder, batch, extent, "") : batch;
        if (i)
            batch = LLVMBuildUDiv(e->builder, batch, extent, "");
        a = moved(e, a, at, product->a_batch_stride[i] * bytes);
        b = moved(e, b, at, product->b_batch_stride[i] * bytes);
        c = moved(e, c, at, product->c_batch_stride[i] * bytes);
    }
    call_gemm(e, product, single, whole_like(e->i64, product->m), whole_like(e->i64, product->n), a, b, c);
    loop_close(e);
    return (product->batches + each - 1) / each;
}

static int64_t emit_strip(struct emitter *e, const struct product *product, bool single, V a, V b, V c)
{
    struct cut cut = cut_of(product);
    int64_t bytes = single ? 4 : 8, longer = cut.columns ? product->n : product->m;
    V m = whole_like(e->i64, product->m), n = whole_like(e->i64, product->n);

    if (cut.parts > 1) {
        V first = scaled(e, e->part, cut.size);
        V left = LLVMBuildNSWSub(e->builder, whole_like(e->i64, longer), first, ""),
          size = whole_like(e->i64, cut.size);
        V here = LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSLT, left, size, ""), left, size, "");
        if (cut.columns) {
            n = here;
            b = moved(e, b, first, (product->b_transposed ? product->ldb : 1) * bytes);
            c = moved(e, c, first, bytes);
        } else {
            m = here;
            a = moved(e, a, first, (product->a_transposed ? 1 : product->lda) * bytes);
            c = moved(e, c, first, product->ldc * bytes);
        }
    }
    call_gemm(e, product, single, m, n, a, b, c);
    return cut.parts;
}

/* C = 0, row by row. */
static int64_t emit_zeros(struct emitter *e, const struct product *product, bool single, V c)
{
    int64_t bytes = single ? 4 : 8;

    for (int i = 0; i < product->batched_count; i++) {
        V at = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, product->batch_extent[i]), 1);
        c = moved(e, c, at, product->c_batch_stride[i] * bytes);
    }
    V row = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, product->m), 1);
    LLVMBuildMemSet(e->builder, moved(e, c, row, product->ldc * bytes), whole_like(e->i8, 0),
                    whole_like(e->i64, product->n * bytes), 4);
    while (e->depth)
        loop_close(e);
    return 1;
}

/* One call a step. first: the function of a recurrence's first step alone. */
static void emit_calls(struct emitter *e, const struct product *product, const struct ir_tensor *t, bool zero,
                       enum when when, part_functions *functions)
{
    bool single = e->program->precision == IR_SINGLE;
    int64_t bytes = single ? 4 : 8, parts;
    const char *suffix = when == FIRST_STEP ? "_first" : "";

    if (e->kernel->kind == IR_TILE_KERNEL && !zero) {
        emit_tiles(e, product, t, when, functions);
        return;
    }
    part_open(e, arena_printf(e->arena, "kernel_%s%s", e->kernel->name, suffix));
    V a = operand(e, product->a->tensor, product->a_first), b = operand(e, product->b->tensor, product->b_first);
    V c = operand(e, t, 0);
    if (e->kernel->time) {
        V time = binding_of(e, e->kernel->time)->scalar;
        a = moved(e, a, time, product->a_time * bytes);
        b = moved(e, b, time, product->b_time * bytes);
        c = moved(e, c, time, product->c_time * bytes);
    }
    if (zero)
        parts = emit_zeros(e, product, single, c);
    else if (product->batches > 1)
        parts = emit_batches(e, product, single, a, b, c);
    else
        parts = emit_strip(e, product, single, a, b, c);
    function_close(e);
    list_add(e->arena, *functions, (struct part_function){e->function, parts, when});
}

static bool stored_so(const struct product *product, enum ir_storage storage)
{
    return product->a->tensor->storage == storage && product->b->tensor->storage == storage &&
           product->a->tensor->region > IR_LOCAL && product->b->tensor->region > IR_LOCAL;
}

/* The first step of a product that reads the step before: zeros, another product, or a nest. */
static void emit_first_step(struct emitter *e, const struct ir_kernel *kernel, const struct product *product,
                            part_functions *functions)
{
    enum ir_storage storage = e->program->precision == IR_SINGLE ? IR_F32 : IR_F64;
    struct ir_tensor *t = kernel->stages.at[0]->equations.at[0];
    struct ir_tensor first = *t;
    struct product other;
    bool zero = (product->a->otherwise && ir_is_zero(product->a->otherwise)) ||
                (product->b->otherwise && ir_is_zero(product->b->otherwise));

    first.value = product_first(e->program, t);
    if (zero) {
        emit_calls(e, product, t, true, FIRST_STEP, functions);
    } else if (product_match(e->program, &first, &other) && !other.guarded && stored_so(&other, storage)) {
        emit_calls(e, &other, t, false, FIRST_STEP, functions);
    } else {
        int from = functions->count;
        struct ir_kernel nest = *kernel;

        nest.name = arena_printf(e->arena, "%s_first", kernel->name);
        emit_nest(e, &nest, functions);
        for (int i = from; i < functions->count; i++)
            functions->at[i].when = FIRST_STEP;
        e->kernel = kernel;
    }
}

bool emit_product(struct emitter *e, const struct ir_kernel *kernel, part_functions *functions)
{
    enum ir_storage storage = e->program->precision == IR_SINGLE ? IR_F32 : IR_F64;
    struct ir_tensor *t = kernel->stages.at[product_stage(kernel)]->equations.at[0];
    struct product product;
    struct window_product window;

    if (kernel->kind == IR_TILE_KERNEL && !product_match(e->program, t, &product) &&
        window_match(e->program, t, &window)) {
        e->kernel = kernel;
        emit_windows(e, &window, t, functions);
        e->kernel = NULL;
        return true;
    }
    if (!product_match(e->program, t, &product) || t->storage != storage || !stored_so(&product, storage))
        return false;
    e->kernel = kernel;
    if (product.guarded)
        emit_first_step(e, kernel, &product, functions);
    emit_calls(e, &product, t, false, product.guarded ? LATER_STEPS : ALWAYS, functions);
    e->kernel = NULL;
    return true;
}
