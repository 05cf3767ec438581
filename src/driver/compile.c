/* compile.c: the whole compilation, a pass a line. Each pass is named, verified (in debug builds), timed, and can be dumped. */
#include "driver.h"

#include <stdio.h>
#include <string.h>

static void timed(struct compile_timing *timing, const char *pass, double seconds)
{
    if (timing->count == MAX_TIMED)
        bug("more than %d timed passes", MAX_TIMED);
    timing->at[timing->count].pass = pass;
    timing->at[timing->count++].seconds = seconds;
}

static void after(const char *pass, const struct ir_program *p, const struct compile_options *options)
{
#ifdef RNET_VERIFY
    const char *broken = ir_verify(p);

    if (broken)
        bug("after %s, program %s: %s", pass, p->name, broken);
#endif
    if (options->dump && (!strcmp(options->dump, pass) || !strcmp(options->dump, "all"))) {
        struct text out = {0};

        ir_print(&out, p);
        printf("# after %s\n%s", pass, out.data);
        text_free(&out);
    }
}

/* Runs the statement, which works on p, as the pass of that name. */
#define PASS(name, statement)                                                                                          \
    do {                                                                                                               \
        double begin = rnet_seconds();                                                                                 \
        statement;                                                                                                     \
        timed(&out->timing, #name, rnet_seconds() - begin);                                                            \
        after(#name, p, &options);                                                                                     \
    } while (0)

bool compile(struct compiled *out, struct ir_program *p, struct layout *layout, struct compile_options options,
             struct rnet_error *error)
{
    struct code_timing code_timing = {0};
    const char *wrong = NULL;

    *out = (struct compiled){0};
    PASS(lower, (void)p);
    PASS(simplify, p = simplify(p));
    PASS(share, p = share(p));
    PASS(schedule, p = split_schedule(p, &out->schedule));
    PASS(fuse, fuse(p, options.fuse));
    PASS(plan, plan_memory(p, layout, options.keep_all));
    out->program = p;
    if (!options.generate)
        return true;
    PASS(open, out->api = codegen_open(error));
    if (!out->api)
        return false;
    out->code = out->api->compile(p, &options.code, &code_timing, &wrong);
    timed(&out->timing, "keys", code_timing.keys);
    timed(&out->timing, "cache", code_timing.cache);
    timed(&out->timing, "generate", code_timing.generate);
    timed(&out->timing, "link", code_timing.link);
    out->timing.code = code_timing;
    if (!out->code)
        return rnet_fail(error, RNET_FAILED, "program %s: %s", p->name, wrong);
    return true;
}

void compiled_release(struct compiled *compiled)
{
    if (compiled->code)
        compiled->api->release(compiled->code);
    compiled->code = NULL;
}

double compile_seconds(const struct compile_timing *timing)
{
    double sum = 0;

    for (int i = 0; i < timing->count; i++)
        sum += timing->at[i].seconds;
    return sum;
}
