/* sums.c: the reductions of a stage, many at a time: for some neighbours of an output index and some vectors of the vector
   index there are accumulators at once, and the loops that reduce run for all of them together. What they read in common
   is loaded once, and none waits for the one before.

   Each number is reduced in the order in which it would be alone: how many are made together changes none.

   requires: a stage of reductions that are begun and ended at the same loops, none in parts. */
#include "emit.h"

typedef LLVMValueRef V;

/* More vectors side by side than MOST_VECTORS make no fewer loads. FEW_ROWS: of what is a function of what is loaded, which has
   many numbers alive itself. */
enum { MOST_VECTORS = 4, MOST_ROWS = 16, FEW_ROWS = 4 };

/* Neighbours of an index: `count` from `first` on; of the last of vectors so many lanes are there (0: all). */
struct some {
    const struct ir_index *index; /* NULL: none, count is 1 */
    V first;
    int level; /* of first */
    int count;
    int64_t lanes;
};
struct sums {
    struct emitter *e;
    const struct stage_plan *stage;
    const struct sums_plan *plan;
    struct some rows, vectors;
    struct stage_plan *points; /* of each row and vector: the stage with accumulators of its own */
};

/* ---- planning ---- */

/* Accumulators that registers have room for, in vectors of LANES. */
static int64_t room(const struct emitter *e, const struct stage_plan *stage)
{
    int64_t registers = vector_registers(e) == 32 ? 24 : 12, most = 1;

    for (int i = 0; i < stage->count; i++) {
        const struct equation_plan *eq = &stage->equations[i];
        int64_t bytes = eq->type == e->f32 || eq->type == e->i32 ? 4 : 8;
        int64_t wide = eq->wide ? (LANES * bytes + vector_bytes(e) - 1) / vector_bytes(e) : 1;

        most = wide > most ? wide : most;
    }
    registers /= most * stage->count;
    return registers < 1 ? 1 : registers;
}

static bool is_function(const struct ir_expr *e, const void *unused)
{
    (void)unused;
    return e->kind == IR_APPLY && ir_operators[e->op].work == IR_POLYNOMIAL;
}

static int64_t most_rows(const struct stage_plan *stage)
{
    for (int i = 0; i < stage->count; i++)
        if (ir_any(stage->equations[i].tensor->value, is_function, NULL))
            return FEW_ROWS;
    return MOST_ROWS;
}

static int64_t even_share(int64_t extent, int64_t most)
{
    int64_t groups = (extent + most - 1) / most;

    return (extent + groups - 1) / groups;
}

void plan_sums(const struct emitter *e, const struct stage_plan *stage, struct sums_plan *plan)
{
    int64_t left, vectors = 1;

    *plan = (struct sums_plan){.row = -1, .rows = 1, .vectors = 1};
    for (int i = 0; i < stage->count; i++) {
        const struct equation_plan *eq = &stage->equations[i];

        if (!eq->reduces || eq->in_parts || eq->home < 1 || eq->home != stage->equations[0].home ||
            eq->tensor->reduction == IR_ARGMAX || eq->tensor->reduction == IR_ARGMIN)
            return;
    }
    if (!stage->count || stage->draws.count)
        return;
    int home = stage->equations[0].home;
    bool vector_outputs = stage->vector >= 0 && stage->vector < home;
    if (vector_outputs)
        vectors = (stage->extents[stage->vector] + LANES - 1) / LANES;
    for (int i = 0; i < home; i++)
        if (i != stage->vector && stage->extents[i] > 1)
            plan->row = i;
    left = room(e, stage);
    plan->vectors = (int)even_share(vectors, left < MOST_VECTORS ? left : MOST_VECTORS);
    left /= plan->vectors;
    if (plan->row >= 0)
        plan->rows = (int)even_share(stage->extents[plan->row], left < most_rows(stage) ? left : most_rows(stage));
    plan->together = plan->rows * plan->vectors > 1;
}

/* ---- some of an index ---- */

typedef void (*body)(struct sums *s, int opened);

static void bind_one(struct emitter *e, const struct some *some, int number, bool vector)
{
    if (!some->index)
        return;
    bind_behind(e, some->index, some->first, some->level, number * (vector ? LANES : 1), vector);
    if (vector && some->lanes && number == some->count - 1) {
        e->mask = lanes_below(e, some->lanes);
        e->mask_level = e->depth;
    }
}

/* At each of the points that are made together. */
static void at_points(struct sums *s, void (*action)(struct emitter *e, struct stage_plan *stage))
{
    struct emitter *e = s->e;
    V mask = e->mask;
    int mask_level = e->mask_level;

    for (int c = 0; c < s->vectors.count; c++) {
        if_open(e, NULL);
        bind_one(e, &s->vectors, c, true);
        for (int r = 0; r < s->rows.count; r++) {
            if_open(e, NULL);
            bind_one(e, &s->rows, r, false);
            action(e, &s->points[r * s->vectors.count + c]);
            if_close(e);
        }
        e->mask = mask;
        e->mask_level = mask_level;
        if_close(e);
    }
}

/* ---- what is reduced over ---- */

struct reduced {
    struct sums *s;
    int opened;
};
static void emit_reduced(void *context)
{
    const struct reduced *within = context;
    const struct stage_plan *stage = within->s->stage;
    struct reduced deeper = {within->s, within->opened + 1};
    struct emitter *e = within->s->e;

    if (within->opened == stage->inner_count) {
        at_points(within->s, emit_point);
    } else if (within->opened == stage->vector) {
        emit_along_vectors(e, stage->inner[within->opened], stage->extents[within->opened], emit_reduced, &deeper);
    } else {
        V end = whole_like(e->i64, stage->extents[within->opened]);

        bind(e, stage->inner[within->opened], loop_open(e, whole_like(e->i64, 0), end, 1), false);
        emit_reduced(&deeper);
        loop_close(e);
    }
}

static void emit_accumulators(struct sums *s, int opened)
{
    int count = s->rows.count * s->vectors.count;

    (void)opened;
    s->points = NEW_ARRAY(s->e->arena, struct stage_plan, count);
    for (int i = 0; i < count; i++) {
        s->points[i] = *s->stage;
        s->points[i].equations =
            arena_copy(s->e->arena, s->stage->equations, sizeof *s->stage->equations * (size_t)s->stage->count);
    }
    at_points(s, begin_point);
    emit_reduced(&(struct reduced){s, s->stage->equations[0].home});
    at_points(s, end_point);
}

/* ---- the outputs ---- */

/* All of the index, `count` units at a time; those that are left by themselves. */
static void emit_some(struct sums *s, struct some *some, const struct ir_index *index, int64_t extent, int64_t unit,
                      int count, body inside, int opened)
{
    struct emitter *e = s->e;
    int64_t units = (extent + unit - 1) / unit, groups = extent / unit / count, left = units - groups * count;

    *some = (struct some){index, NULL, 0, count, 0};
    if (groups) {
        some->first = loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, groups * count * unit), count * unit);
        some->level = e->depth;
        inside(s, opened);
        loop_close(e);
    }
    if (left) {
        *some = (struct some){index, whole_like(e->i64, groups * count * unit), 0, (int)left, extent % unit};
        if_open(e, NULL);
        inside(s, opened);
        if_close(e);
    }
    *some = (struct some){.count = 1};
}

static void emit_rows(struct sums *s, int opened)
{
    const struct sums_plan *plan = s->plan;

    if (plan->row < 0)
        emit_accumulators(s, opened);
    else
        emit_some(s, &s->rows, s->stage->inner[plan->row], s->stage->extents[plan->row], 1, plan->rows, emit_accumulators,
                  opened);
}

static void emit_outputs(struct sums *s, int opened)
{
    struct emitter *e = s->e;

    if (opened == s->stage->equations[0].home) {
        emit_rows(s, opened);
    } else if (opened == s->plan->row) {
        emit_outputs(s, opened + 1);
    } else if (opened == s->stage->vector) {
        emit_some(s, &s->vectors, s->stage->inner[opened], s->stage->extents[opened], LANES, s->plan->vectors,
                  emit_outputs, opened + 1);
    } else {
        bind(e, s->stage->inner[opened],
             loop_open(e, whole_like(e->i64, 0), whole_like(e->i64, s->stage->extents[opened]), 1), false);
        emit_outputs(s, opened + 1);
        loop_close(e);
    }
}

void emit_together(struct emitter *e, const struct stage_plan *stage)
{
    struct sums s = {.e = e, .stage = stage, .plan = &stage->sums, .rows = {.count = 1}, .vectors = {.count = 1}};

    emit_outputs(&s, 0);
}
