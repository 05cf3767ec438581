/* compare.c: one program in several executions: the evaluator, compiled with --no-fuse, compiled and fused.

   Norm: |a - b| / |b|, Euclidean, over one tensor. In f64 to 1e-10: rounding is 1e-16, sums have at most a few hundred terms,
   two steps are a few hundred operations deep, and quotients of small differences (normalisers, adam) magnify by some 1e4.
   In f32 to 2e-3 against the evaluator in f64: the same with 6e-8.
   A tensor may be worse conditioned than that: a gradient that is 0 but for rounding, a sign of such a number, a tie. Then the
   evaluator itself answers otherwise when its leaves move by a rounding, and a thousand times that movement is allowed: the most
   of some, since what is all rounding is one of few numbers, and may be the same after one movement. What is
   lost within (1 - y^2 where y is 1 but for the last bits) no leaf shows: of f32, ten times what the evaluator loses when it
   rounds each operation to f32 is allowed too. Finite differences say nothing where the objective jumps as leaves move by a
   rounding.
   Threads, and code made quickly against code as users get it: the same bits. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autodiff.h"
#include "execute.h"

static const double double_tolerance = 1e-10, single_tolerance = 2e-3, magnified = 1000;

enum { MOVES = 6 };
/* Of f64; of f32 as many times as large as its roundings. */
static const double moves_of_double[MOVES] = {1e-14, -1e-14, 7e-15, -5e-15, 3e-15, -2e-15}, of_single = 1e8;

struct subject {
    struct unit *unit;
    int block;
    unsigned checks;
    struct arena *keep;
    struct outcome wanted, moved[MOVES], moved_single[MOVES], rounded;
    struct verdict *out;
};

static double relative(const double *a, const double *b, int64_t count)
{
    double difference = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(a[i]) || !isfinite(b[i])) {
            if (!(a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))))
                return INFINITY;
            continue;
        }
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    return difference == 0 ? 0 : sqrt(difference) / (size > 0 ? sqrt(size) : 1);
}

static const struct result *result_find(const struct outcome *outcome, const char *name)
{
    return outcome->by_name ? map_get(outcome->by_name, name) : NULL;
}

/* The evaluator's answers when every leaf moves by a rounding, in one way and another. */
static bool move(struct subject *c, bool single, struct outcome *moved)
{
    struct work again;
    bool fine;

    if (moved[0].results.count)
        return true;
    fine = work_new(&again, c->unit, c->block, false, c->checks, c->out);
    if (fine) {
        for (int i = 0; i < MOVES; i++)
            run_evaluator(&again, c->keep, moves_of_double[i] * (single ? of_single : 1), &moved[i]);
        for (int j = 0; single && j < again.jobs.count; j++)
            for (int i = 0; i < again.jobs.at[j].program->tensors.count; i++) {
                struct ir_tensor *t = again.jobs.at[j].program->tensors.at[i];
                t->single |= t->kind == IR_EQUATION && !t->whole;
            }
        if (single)
            run_evaluator(&again, c->keep, 0, &c->rounded);
    }
    work_free(&again);
    return fine;
}

static double distance(const struct outcome *other, const struct result *w)
{
    const struct result *m = result_find(other, w->name);

    return m ? relative(m->numbers, w->numbers, w->count) : 0;
}

static bool agree(struct subject *c, const char *how, bool single, const struct outcome *found)
{
    const double tolerance = single ? single_tolerance : double_tolerance;
    const struct outcome *wanted = &c->wanted;
    struct outcome *moved = single ? c->moved_single : c->moved;

    if (wanted->nonfinite != found->nonfinite && !single)
        return failed(c->out, how, "the guards say %s, in the evaluator %s", found->nonfinite ? "not finite" : "finite",
                    wanted->nonfinite ? "not finite" : "finite");
    if (wanted->nonfinite || found->nonfinite) {
        c->out->excused = true;
        return true;
    }
    for (int i = 0; i < wanted->results.count; i++) {
        const struct result *w = &wanted->results.at[i], *f = result_find(found, w->name);
        double error = f ? relative(f->numbers, w->numbers, w->count) : 0, allowed = tolerance;
        int64_t worst = 0;

        if (!f || error <= tolerance)
            continue;
        if (!move(c, single, moved))
            return false;
        bool nonfinite = single && c->rounded.nonfinite;
        for (int k = 0; k < MOVES; k++) {
            allowed = fmax(allowed, magnified * distance(&moved[k], w));
            nonfinite |= moved[k].nonfinite;
        }
        if (single)
            allowed = fmax(allowed, 10 * distance(&c->rounded, w));
        if (error <= allowed || nonfinite) {
            c->out->excused = true;
            continue;
        }
        for (int64_t k = 1; k < w->count; k++)
            if (!(fabs(f->numbers[k] - w->numbers[k]) <= fabs(f->numbers[worst] - w->numbers[worst])))
                worst = k;
        return failed(c->out, how,
                    "%s: relative error %.3g, more than %.3g; element %" PRId64 " is %.17g, in the evaluator %.17g", w->name,
                    error, allowed, worst, f->numbers[worst], w->numbers[worst]);
    }
    return true;
}

static bool same_bits(const struct outcome *a, const struct outcome *b, const char *kind, const char *how,
                      struct verdict *out)
{
    for (int i = 0; i < a->results.count; i++) {
        const struct result *x = &a->results.at[i], *y = result_find(b, x->name);
        if (!y || memcmp(x->numbers, y->numbers, (size_t)x->count * sizeof *x->numbers))
            return failed(out, kind, "%s: %s has other bits", how, x->name);
    }
    return a->nonfinite == b->nonfinite || failed(out, kind, "%s: the guards differ", how);
}

static bool check_compiled(struct subject *c, bool fused, bool single)
{
    const char *how = single ? (fused ? "fused, f32" : "not fused, f32") : fused ? "fused" : "not fused";
    struct outcome one = {0}, three = {0}, users = {0};
    struct work work = {0};
    struct build build = {0};
    bool right;
    /* These programs are small: what large ones get is for f32. */
    enum fusing fusing = !fused ? FUSE_NOTHING : single ? FUSE_AS_LARGE : FUSE_ALL;

    right = work_new(&work, c->unit, c->block, single, c->checks, c->out) && build_new(&build, &work, fusing, true, c->out);
    if (right) {
        run_build(&build, &work, c->keep, 1, &one);
        run_build(&build, &work, c->keep, 3, &three);
        right = same_bits(&one, &three, "threads", how, c->out) && agree(c, how, single, &one);
    }
    build_release(&build, &work);
    work_free(&work);
    if (!right || !(c->checks & CHECK_USERS) || !fused)
        return right;
    right = work_new(&work, c->unit, c->block, single, c->checks, c->out) && build_new(&build, &work, fusing, false, c->out);
    if (right) {
        run_build(&build, &work, c->keep, 2, &users);
        right = same_bits(&one, &users, "quick", how, c->out);
    }
    build_release(&build, &work);
    work_free(&work);
    return right;
}

/* Does the objective jump when its leaves, among the first `count` tensors, move by so little that it should hardly change? */
static bool jumps(const struct ir_program *p, const struct ir_values *values, int count)
{
    static const double moves[] = {1e-13, 1e-9, 1e-6};
    const struct ir_tensor *objective = program_output(p, "objective");

    for (int m = 0; m < 3; m++) {
        double low = INFINITY, high = -INFINITY;
        for (int n = 0; n < 16; n++) {
            struct arena *arena = arena_new();
            struct ir_values moved = ir_values_new(arena, p);
            for (int i = 0; i < count; i++) {
                const struct ir_tensor *t = p->tensors.at[i];
                bool leaf = t->kind == IR_INPUT || t->kind == IR_SCALAR || outlives_step(t);
                for (int64_t k = 0; leaf && k < ir_elements(t); k++)
                    moved.at[i][k] = values->at[i][k] * (t->whole ? 1 : 1 + moves[m] * input_number(t, 100 + n, k));
            }
            ir_evaluate(p, &moved, (struct ir_run){.seed = SEED, .step = 1});
            low = fmin(low, moved.at[objective->number][0]);
            high = fmax(high, moved.at[objective->number][0]);
            arena_free(arena);
        }
        if (high - low > (1e3 * moves[m] + 1e-9) * (1 + fabs(high)))
            return true;
    }
    return false;
}

static bool check_gradients(struct subject *c)
{
    struct work work;
    LIST(struct ir_tensor *) parameters = {0};
    bool right = true;

    if (!work_new(&work, c->unit, c->block, false, 0, c->out)) {
        work_free(&work);
        return false;
    }
    struct map *start = first_values(&work);
    struct clock clock = {&work, 1};
    for (int n = 0; right && n < work.training->phases.count; n++) {
        struct ir_program *p = work.training->phases.at[n].objective;
        struct ir_values values = ir_values_new(work.arena, p);
        int count = p->tensors.count; /* gradcheck appends to p */
        parameters.count = 0;
        for (int i = 0; i < p->tensors.count; i++) {
            struct ir_tensor *t = p->tensors.at[i];
            const double *from = outlives_step(t) ? map_get(start, t->name) : NULL;
            for (int64_t k = 0; k < ir_elements(t) && (outlives_step(t) || t->kind == IR_INPUT); k++)
                values.at[i][k] = from ? from[k] : input_number(t, 1, k);
            if (t->kind == IR_SCALAR)
                values.at[i][0] = clock_scalar(&clock, t->name);
            if (t->kind == IR_PARAMETER)
                list_add(work.arena, parameters, t);
        }
        struct gradcheck_result *results = NEW_ARRAY(work.arena, struct gradcheck_result, parameters.count + 1);
        const char *wrong = gradcheck(p, (struct ir_tensor *)program_output(p, "objective"), parameters.at,
                                      parameters.count, &values, (struct ir_run){.seed = SEED, .step = 1},
                                      (struct gradcheck_options){.seed = SEED}, results);
        if (wrong)
            right = failed(c->out, "gradcheck", "%s", wrong);
        for (int i = 0; right && i < parameters.count; i++)
            if (!results[i].passed && jumps(p, &values, count))
                c->out->excused = true;
            else if (!results[i].passed)
                right = failed(c->out, "gradient", "%s, element %" PRId64 ": %.12g, by differences %.12g",
                             results[i].tensor->name, results[i].element, results[i].analytic, results[i].numeric);
    }
    work_free(&work);
    return right;
}

static bool compare_block(struct subject *c)
{
    struct work work;
    bool right = work_new(&work, c->unit, c->block, false, c->checks, c->out);

    if (right)
        run_evaluator(&work, c->keep, 0, &c->wanted);
    work_free(&work);
    return right && check_compiled(c, false, false) && check_compiled(c, true, false) &&
           (!(c->checks & CHECK_SINGLE) || check_compiled(c, true, true)) &&
           (!(c->checks & CHECK_GRADIENTS) || c->wanted.nonfinite || check_gradients(c));
}

void compare_program(const char *path, unsigned checks, struct verdict *out)
{
    struct arena *arena = arena_new();
    struct unit *unit;

    *out = (struct verdict){.passed = true};
    unit = unit_open(arena, path, out);
    for (int block = 0; unit && out->passed && block < unit_trainings(unit); block++) {
        struct subject c = {.unit = unit, .block = block, .checks = checks, .keep = arena_new(), .out = out};
        compare_block(&c);
        arena_free(c.keep);
    }
    arena_free(arena);
}
