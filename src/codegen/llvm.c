/* llvm.c: the module's interface: a program to an object file in memory, and that to a function that can be called.
   What is loaded is the very object that would be written: position independent, without addresses or globals of its
   own; what it calls of the runtime is defined by name when it is loaded. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/Orc.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

#include "emit.h"
#include "rnet_math.h"

struct code {
    LLVMOrcLLJITRef jit;
    LLVMMemoryBufferRef object;
    rnet_step_function entry;
    int64_t scratch;
};

/* ---- the machine ---- */

struct host {
    char *triple, *cpu, *features;
    LLVMTargetRef target;
};

static bool host_open(struct host *host, const char **error, struct arena *arena)
{
    char *message = NULL;

    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    host->triple = LLVMGetDefaultTargetTriple();
    host->cpu = LLVMGetHostCPUName();
    host->features = LLVMGetHostCPUFeatures();
    if (LLVMGetTargetFromTriple(host->triple, &host->target, &message)) {
        *error = arena_printf(arena, "LLVM has no code generator for %s: %s", host->triple, message);
        LLVMDisposeMessage(message);
        return false;
    }
    return true;
}

static void host_close(struct host *host)
{
    LLVMDisposeMessage(host->triple);
    LLVMDisposeMessage(host->cpu);
    LLVMDisposeMessage(host->features);
}

static LLVMTargetMachineRef new_machine(const struct host *host, bool quick)
{
    return LLVMCreateTargetMachine(host->target, host->triple, host->cpu, host->features,
                                   quick ? LLVMCodeGenLevelNone : LLVMCodeGenLevelLess, LLVMRelocPIC,
                                   LLVMCodeModelSmall);
}

static const char *host_name(void)
{
    static char name[200];
    struct arena *arena = arena_new();
    struct host host;
    const char *error;

    if (host_open(&host, &error, arena)) {
        snprintf(name, sizeof name, "%s, %d lanes of f32", host.cpu, LANES);
        host_close(&host);
    } else {
        snprintf(name, sizeof name, "%s", error);
    }
    arena_free(arena);
    return name;
}

/* ---- loading ---- */

static const struct {
    const char *name;
    void *address;
} runtime_symbols[] = {
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

static const char *failed(struct arena *arena, const char *what, LLVMErrorRef error)
{
    char *message = LLVMGetErrorMessage(error);
    const char *text = arena_printf(arena, "%s: %s", what, message);

    LLVMDisposeErrorMessage(message);
    return text;
}

/* NULL, or why not. */
static const char *load_object(struct code *code, struct arena *arena)
{
    LLVMOrcCSymbolMapPair pairs[SYMBOL_COUNT];
    LLVMErrorRef error = LLVMOrcCreateLLJIT(&code->jit, NULL);
    LLVMOrcExecutorAddress address;

    if (error)
        return failed(arena, "LLVM cannot make a JIT", error);
    for (int i = 0; i < SYMBOL_COUNT; i++) {
        pairs[i].Name = LLVMOrcLLJITMangleAndIntern(code->jit, runtime_symbols[i].name);
        pairs[i].Sym.Address = (LLVMOrcExecutorAddress)runtime_symbols[i].address;
        pairs[i].Sym.Flags.GenericFlags = LLVMJITSymbolGenericFlagsExported | LLVMJITSymbolGenericFlagsCallable;
        pairs[i].Sym.Flags.TargetFlags = 0;
    }
    LLVMOrcJITDylibRef library = LLVMOrcLLJITGetMainJITDylib(code->jit);
    error = LLVMOrcJITDylibDefine(library, LLVMOrcAbsoluteSymbols(pairs, SYMBOL_COUNT));
    if (error)
        return failed(arena, "LLVM cannot define the runtime's symbols", error);
    LLVMMemoryBufferRef copy = LLVMCreateMemoryBufferWithMemoryRangeCopy(LLVMGetBufferStart(code->object),
                                                                         LLVMGetBufferSize(code->object), "step");
    error = LLVMOrcLLJITAddObjectFile(code->jit, library, copy);
    if (error)
        return failed(arena, "LLVM cannot load the object", error);
    error = LLVMOrcLLJITLookup(code->jit, &address, "step");
    if (error)
        return failed(arena, "LLVM cannot link the object", error);
    code->entry = (rnet_step_function)address;
    return NULL;
}

/* ---- compiling ---- */

static void emitter_open(struct emitter *e, struct arena *arena, const struct ir_program *p, const struct host *host,
                         bool quick)
{
    *e = (struct emitter){.arena = arena, .program = (struct ir_program *)p}; /* forms are made in its tables */
    e->context = LLVMContextCreate();
    e->module = LLVMModuleCreateWithNameInContext(p->name ? p->name : "program", e->context);
    e->machine = new_machine(host, quick);
    e->builder = LLVMCreateBuilderInContext(e->context);
    e->cpu = host->cpu;
    e->features = host->features;
    LLVMSetTarget(e->module, host->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->machine);
    LLVMSetModuleDataLayout(e->module, layout);
    LLVMDisposeTargetData(layout);
    e->i1 = LLVMInt1TypeInContext(e->context);
    e->i8 = LLVMInt8TypeInContext(e->context);
    e->i16 = LLVMInt16TypeInContext(e->context);
    e->i32 = LLVMInt32TypeInContext(e->context);
    e->i64 = LLVMInt64TypeInContext(e->context);
    e->f32 = LLVMFloatTypeInContext(e->context);
    e->f64 = LLVMDoubleTypeInContext(e->context);
    e->pointer = LLVMPointerTypeInContext(e->context, 0);
    e->nothing = LLVMVoidTypeInContext(e->context);
    LLVMTypeRef part[] = {e->pointer, e->i64};
    e->step_type = LLVMFunctionType(e->i32, &e->pointer, 1, false);
    e->part_type = LLVMFunctionType(e->nothing, part, 2, false);
}

static void emitter_close(struct emitter *e)
{
    LLVMDisposeBuilder(e->builder);
    LLVMDisposeModule(e->module);
    LLVMDisposeTargetMachine(e->machine);
    LLVMContextDispose(e->context);
}

static const char *optimize(struct emitter *e, bool quick, struct arena *arena)
{
    const char *passes =
        quick ? "function(instsimplify)" : "function(sroa,early-cse,instcombine<no-verify-fixpoint>,early-cse)";
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(e->module, passes, e->machine, options);

    LLVMDisposePassBuilderOptions(options);
    return error ? failed(arena, "LLVM's passes failed", error) : NULL;
}

static const char *dump(struct emitter *e, const struct code_options *options, struct arena *arena)
{
    char *message = NULL;

    if (options && options->dump_llvm && LLVMPrintModuleToFile(e->module, options->dump_llvm, &message))
        return arena_printf(arena, "%s: %s", options->dump_llvm, message);
    if (!options || !options->dump_assembly)
        return NULL;
    LLVMModuleRef copy = LLVMCloneModule(e->module);
    bool bad = LLVMTargetMachineEmitToFile(e->machine, copy, options->dump_assembly, LLVMAssemblyFile, &message);
    LLVMDisposeModule(copy);
    return bad ? arena_printf(arena, "%s: %s", options->dump_assembly, message) : NULL;
}

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

static const char *build_object(struct emitter *e, struct code *code, const struct code_options *options,
                                struct code_timing *timing)
{
    struct arena *arena = e->program->arena;
    double start = rnet_seconds(), now;
    char *message = NULL;
    const char *error;

    emit_step(e);
    code->scratch = e->scratch;
    now = rnet_seconds();
    timing->emit = now - start;
    start = now;
#ifdef RNET_VERIFY
    if (LLVMVerifyModule(e->module, LLVMReturnStatusAction, &message)) {
        dump(e, options, arena);
        bug("codegen: the module is not valid: %s", message);
    }
    LLVMDisposeMessage(message);
    message = NULL;
#endif
    if ((error = optimize(e, options && options->quick, arena)) || (error = dump(e, options, arena)))
        return error;
    now = rnet_seconds();
    timing->optimize = now - start;
    start = now;
    if (LLVMTargetMachineEmitToMemoryBuffer(e->machine, e->module, LLVMObjectFile, &message, &code->object)) {
        error = arena_printf(arena, "LLVM cannot make an object: %s", message);
        LLVMDisposeMessage(message);
        return error;
    }
    timing->codegen = rnet_seconds() - start;
    return NULL;
}

static void release(struct code *code)
{
    if (code->jit)
        LLVMConsumeError(LLVMOrcDisposeLLJIT(code->jit));
    if (code->object)
        LLVMDisposeMemoryBuffer(code->object);
    free(code);
}

static struct code *compile(const struct ir_program *p, const struct code_options *options, struct code_timing *timing,
                            const char **error)
{
    struct code *code = calloc(1, sizeof *code);
    struct code_timing unused;
    struct rnet_error blas;
    struct host host;
    struct arena *arena;
    struct emitter e;
    double start;

    if (!code)
        bug("codegen: out of memory");
    if (!timing)
        timing = &unused;
    *timing = (struct code_timing){0};
    *error = NULL;
    if (!open_libraries(p, &blas))
        *error = arena_string(p->arena, blas.message);
    if (!*error && host_open(&host, error, p->arena)) {
        arena = arena_new();
        emitter_open(&e, arena, p, &host, options && options->quick);
        *error = build_object(&e, code, options, timing);
        emitter_close(&e);
        arena_free(arena);
        host_close(&host);
        start = rnet_seconds();
        if (!*error)
            *error = load_object(code, p->arena);
        timing->link = rnet_seconds() - start;
    }
    if (*error) {
        release(code);
        return NULL;
    }
    return code;
}

/* ---- the interface ---- */

static rnet_step_function entry(const struct code *code)
{
    return code->entry;
}

static int64_t scratch(const struct code *code)
{
    return code->scratch;
}

static const void *object(const struct code *code, size_t *bytes)
{
    *bytes = LLVMGetBufferSize(code->object);
    return LLVMGetBufferStart(code->object);
}

__attribute__((visibility("default"))) const struct code_api *rnet_code_api(void)
{
    static const struct code_api api = {.compile = compile,
                                        .entry = entry,
                                        .scratch = scratch,
                                        .object = object,
                                        .release = release,
                                        .host = host_name};
    return &api;
}
