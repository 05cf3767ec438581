/* llvm.c: the interface of the module that links LLVM: units to a relocatable object in memory. The object is position
   independent, without addresses or globals of its own. Threads share the machine's description and nothing else: each
   worker has a context, so that what it makes is the same whatever the others do. */
#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "emit.h"

struct llvm_session {
    char *triple, *cpu, *features;
    bool matrix_unit, splits_all;
    LLVMTargetRef target;
    const struct code_options *options;
};
struct llvm_worker {
    struct arena *arena;
    const struct llvm_session *session;
    LLVMContextRef context;
    LLVMTargetMachineRef machine;
    LLVMTargetDataRef layout;
};

/* ---- the machine ---- */

/* The levels place what varies along a loop where it belongs, and an address is a base and a scaled index, which the processor
   adds for nothing. To search for other such forms (loop strength reduction) takes a sixth of all time to compile, and the
   code is no faster for it. Masks are computed in mask registers: nothing has to be moved there from others. The rest looks for
   sums that wait for each other, moves that are better branches, bytes and words, large constants, early ends and addresses
   that are known already, of which there is nothing here: they take 1.5 % and change nothing but the order of a few lines.
   LLVM has one set of options a process; nobody else uses this copy of it. */
static void set_options(void)
{
    static const char *const options[] = {"rnet",
                                          "-disable-lsr",
                                          "-disable-x86-domain-reassignment",
                                          "-x86-machine-combiner=false",
                                          "-x86-cmov-converter=false",
                                          "-fixup-byte-word-insts=0",
                                          "-disable-constant-hoisting",
                                          "-enable-shrink-wrap=false",
                                          "-disable-x86-lea-opt"};

    LLVMParseCommandLineOptions(sizeof options / sizeof *options, options, NULL);
}

static bool machine_open(struct llvm_session *session, struct arena *arena, const char **error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char *message = NULL;

    pthread_once(&once, set_options);
    if (LLVMInitializeNativeTarget() || LLVMInitializeNativeAsmPrinter()) {
        *error = "LLVM was built without a code generator for its host";
        return false;
    }
    session->triple = LLVMGetDefaultTargetTriple();
    session->cpu = LLVMGetHostCPUName();
    session->features = LLVMGetHostCPUFeatures();
    session->matrix_unit = strstr(session->features, "+amx-bf16") && rnet_matrix_unit();
    session->splits_all = session->matrix_unit && rnet_matrix_unit_for_all();
    if (LLVMGetTargetFromTriple(session->triple, &session->target, &message)) {
        *error = arena_printf(arena, "LLVM has no code generator for %s: %s", session->triple, message);
        LLVMDisposeMessage(message);
        return false;
    }
    return true;
}

static void machine_close(struct llvm_session *session)
{
    LLVMDisposeMessage(session->triple);
    LLVMDisposeMessage(session->cpu);
    LLVMDisposeMessage(session->features);
}

static struct llvm_session *open_session(struct arena *arena, const struct code_options *options, const char **error)
{
    struct llvm_session *session = NEW(arena, struct llvm_session);

    session->options = options;
    if (machine_open(session, arena, error))
        return session;
    machine_close(session);
    return NULL;
}

static const char *processor(void)
{
    static char name[200];
    struct arena *arena = arena_new();
    struct llvm_session session = {0};
    const char *error;

    if (machine_open(&session, arena, &error))
        snprintf(name, sizeof name, "%s, %d lanes of f32", session.cpu, LANES);
    else
        snprintf(name, sizeof name, "%s", error);
    machine_close(&session);
    arena_free(arena);
    return name;
}

static const char *version(void)
{
    static char text[40];
    unsigned major, minor, patch;

    LLVMGetVersion(&major, &minor, &patch);
    snprintf(text, sizeof text, "%u.%u.%u", major, minor, patch);
    return text;
}

/* ---- workers ---- */

static struct llvm_worker *new_worker(struct llvm_session *session)
{
    struct arena *arena = arena_new();
    struct llvm_worker *worker = NEW(arena, struct llvm_worker);

    *worker = (struct llvm_worker){.arena = arena, .session = session, .context = LLVMContextCreate()};
    worker->machine = LLVMCreateTargetMachine(session->target, session->triple, session->cpu, session->features,
                                              session->options->quick ? LLVMCodeGenLevelNone : LLVMCodeGenLevelLess,
                                              LLVMRelocPIC, LLVMCodeModelSmall);
    worker->layout = LLVMCreateTargetDataLayout(worker->machine);
    return worker;
}

static void close_worker(struct llvm_worker *worker)
{
    LLVMDisposeTargetData(worker->layout);
    LLVMDisposeTargetMachine(worker->machine);
    LLVMContextDispose(worker->context);
    arena_free(worker->arena);
}

/* ---- compiling ---- */

static LLVMModuleRef new_module(const struct llvm_worker *worker, const char *name)
{
    LLVMModuleRef module = LLVMModuleCreateWithNameInContext(name, worker->context);

    LLVMSetTarget(module, worker->session->triple);
    LLVMSetModuleDataLayout(module, worker->layout);
    return module;
}

static void emitter_open(struct emitter *e, struct arena *arena, const struct llvm_worker *worker, LLVMModuleRef module,
                         const struct unit *unit)
{
    *e = (struct emitter){.arena = arena, .lanes = LANES, .way = unit->way, .program = (struct ir_program *)unit->kernel}; /* forms are made in its tables */
    e->context = worker->context;
    e->module = module;
    e->machine = worker->machine;
    e->builder = LLVMCreateBuilderInContext(e->context);
    e->entry_builder = LLVMCreateBuilderInContext(e->context);
    e->cpu = worker->session->cpu;
    e->features = worker->session->features;
    e->matrix_unit = worker->session->matrix_unit;
    e->splits_all = worker->session->splits_all;
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
    e->part_type = LLVMFunctionType(e->nothing, part, 2, false);
}

static void emitter_close(struct emitter *e)
{
    LLVMDisposeBuilder(e->entry_builder);
    LLVMDisposeBuilder(e->builder);
}

/* The kernel's functions under the names by which they are found. */
static void emit_functions(struct emitter *e, struct arena *arena, struct unit *unit)
{
    part_functions functions = {0};

    emit_kernel(e, unit->kernel->kernels.at[0], &functions);
    unit->count = functions.count;
    unit->functions = NEW_ARRAY(arena, struct unit_function, functions.count + 1);
    for (int i = 0; i < functions.count; i++) {
        const char *name = arena_printf(e->arena, "%s_%d", unit->symbol, i);

        LLVMSetValueName2(functions.at[i].function, name, strlen(name));
        unit->functions[i] = (struct unit_function){functions.at[i].parts, functions.at[i].when};
    }
    unit->scratch = e->scratch;
    unit->kept = e->kept;
}

/* Each unit is emitted by itself; they share the module, whose passes and object file would cost as much again as a small
   kernel. Nothing is moved from one function to another. */
static void emit_unit(const struct llvm_worker *worker, LLVMModuleRef module, struct arena *arena, struct unit *unit)
{
    struct arena *own = arena_new();
    struct emitter e;

    emitter_open(&e, own, worker, module, unit);
    if (unit->kernel)
        emit_functions(&e, arena, unit);
    else if (!emit_shared(&e, unit->symbol))
        bug("codegen: a kernel calls %s, which nobody makes", unit->symbol);
    emitter_close(&e);
    arena_free(own);
}

static void say_needs(LLVMModuleRef module, void (*needs)(void *context, const char *name), void *context)
{
    size_t size;

    for (LLVMValueRef f = LLVMGetFirstFunction(module); f; f = LLVMGetNextFunction(f))
        if (LLVMIsDeclaration(f) && !LLVMGetIntrinsicID(f))
            needs(context, LLVMGetValueName2(f, &size));
}

static const char *optimize(const struct llvm_worker *worker, LLVMModuleRef module, struct arena *arena)
{
    const char *passes =
        worker->session->options->quick ? "function(instsimplify)" : "function(sroa,early-cse,instcombine<no-verify-fixpoint>)";
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(module, passes, worker->machine, options);
    const char *text = NULL;

    LLVMDisposePassBuilderOptions(options);
    if (error) {
        char *message = LLVMGetErrorMessage(error);

        text = arena_printf(arena, "LLVM's passes failed: %s", message);
        LLVMDisposeErrorMessage(message);
    }
    return text;
}

static const char *generate(const struct llvm_worker *worker, LLVMModuleRef module, struct arena *arena,
                            LLVMCodeGenFileType type, const char **data, size_t *bytes)
{
    LLVMMemoryBufferRef buffer;
    LLVMModuleRef copy = type == LLVMAssemblyFile ? LLVMCloneModule(module) : NULL;
    char *message = NULL;
    const char *error = NULL;

    if (LLVMTargetMachineEmitToMemoryBuffer(worker->machine, copy ? copy : module, type, &message, &buffer)) {
        error = arena_printf(arena, "LLVM cannot make an object: %s", message);
        LLVMDisposeMessage(message);
    } else {
        *bytes = LLVMGetBufferSize(buffer);
        *data = arena_slice(arena, LLVMGetBufferStart(buffer), *bytes);
        LLVMDisposeMemoryBuffer(buffer);
    }
    if (copy)
        LLVMDisposeModule(copy);
    return error;
}

static void keep_llvm(LLVMModuleRef module, struct arena *arena, struct unit *unit)
{
    char *text = LLVMPrintModuleToString(module);

    unit->llvm = arena_string(arena, text);
    LLVMDisposeMessage(text);
}

/* Seconds that this thread has worked: others on the machine do not count. */
static double worked(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The module's functions to an object; texts, if they are asked for, go to the first unit. */
static const char *translate(const struct llvm_worker *worker, LLVMModuleRef module, struct arena *arena, struct unit *unit,
                             struct code_timing *timing)
{
    const struct code_options *options = worker->session->options;
    double start = worked(), now;
    const char *error;
    size_t bytes;

#ifdef RNET_VERIFY
    char *message = NULL;
    if (LLVMVerifyModule(module, LLVMReturnStatusAction, &message)) {
        LLVMDumpModule(module);
        bug("codegen: the module is not valid: %s", message);
    }
    LLVMDisposeMessage(message);
#endif
    if ((error = optimize(worker, module, arena)))
        return error;
    if (options->dump_llvm)
        keep_llvm(module, arena, unit);
    if (options->dump_assembly &&
        (error = generate(worker, module, arena, LLVMAssemblyFile, &unit->assembly, &bytes)))
        return error;
    now = worked();
    timing->optimize += now - start;
    start = now;
    error = generate(worker, module, arena, LLVMObjectFile, &unit->object, &unit->bytes);
    timing->codegen += worked() - start;
    return error;
}

static const char *compile(struct llvm_worker *worker, struct arena *arena, struct unit *const *units, int count,
                           void (*needs)(void *context, const char *name), void *context, struct code_timing *timing)
{
    double start = worked();
    LLVMModuleRef module = new_module(worker, units[0]->symbol);
    const char *error;

    for (int i = 0; i < count; i++)
        emit_unit(worker, module, arena, units[i]);
    say_needs(module, needs, context);
    timing->emit += worked() - start;
    error = translate(worker, module, arena, units[0], timing);
    for (int i = 1; i < count; i++) {
        units[i]->object = units[0]->object;
        units[i]->bytes = units[0]->bytes;
    }
    LLVMDisposeModule(module);
    return error;
}

/* ---- the interface ---- */

__attribute__((visibility("default"))) const struct llvm_api *rnet_llvm_api(void)
{
    static const struct llvm_api api = {.open = open_session,
                                        .worker = new_worker,
                                        .compile = compile,
                                        .worker_close = close_worker,
                                        .close = machine_close,
                                        .version = version,
                                        .processor = processor};
    return &api;
}
