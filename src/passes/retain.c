/* retain.c: what a stage of a kernel works out with effort, and a later one works out again, is retained in memory of the
   kernel's own.

   requires: kernels. maintains: every value, bit for bit. breaks: adds equations to stages.
   Softmax's exp stands in its sum and, a loop later, in its derivative. A row of it is in the second cache when it is wanted
   again, from where it comes in a quarter of the time that it takes anew. Of a kernel without parallel loops all would be
   retained, not a row: such are small, and what they hold is in registers. */
#include "internal.h"

static bool takes_effort(const struct ir_expr *e)
{
    return e->kind == IR_APPLY && !e->whole && e->op != IR_power && ir_operators[e->op].work >= IR_POLYNOMIAL;
}

/* Does e have the part? */
static bool has(struct arena *arena, const struct ir_expr *e, const struct ir_expr *part)
{
    expr_list parts = {0};

    collect_applications(arena, e, &parts);
    for (int i = 0; i < parts.count; i++)
        if (parts.at[i] == part)
            return true;
    return false;
}

static bool same_loops(const struct ir_stage *a, const struct ir_stage *b)
{
    bool same = a->inner.count == b->inner.count && a->inner.count > 0;

    for (int i = 0; same && i < a->inner.count; i++)
        same = a->inner.at[i]->extent == b->inner.at[i]->extent;
    return same;
}

/* Does the part run along every loop of the stage? */
static bool runs_along(struct arena *arena, const struct ir_stage *stage, const struct ir_expr *part)
{
    ir_index_list indices = {0};
    int found = 0;

    ir_indices(arena, part, &indices);
    for (int i = 0; i < indices.count; i++)
        for (int j = 0; j < stage->inner.count; j++)
            found += indices.at[i] == stage->inner.at[j];
    return found == stage->inner.count;
}

/* Of the stage's equations that have the part and of `first` the one that stands first in the program, which need not be the order
   of stages. */
static struct ir_tensor *first_to_have(struct arena *arena, const struct ir_stage *stage, const struct ir_expr *part,
                                       struct ir_tensor *first)
{
    for (int i = 0; i < stage->equations.count; i++) {
        struct ir_tensor *t = stage->equations.at[i];

        if (!t->single && t->number < first->number && has(arena, t->value, part))
            first = t;
    }
    return first;
}

/* The part of the stage, which the equation has, as a tensor of the kernel's. first: of all equations that have it the one that
   stands first in the program. */
static struct ir_tensor *retained(struct ir_program *p, struct ir_kernel *kernel, struct ir_stage *stage,
                                  struct ir_tensor *equation, struct ir_tensor *first, const struct ir_expr *part)
{
    int rank = kernel->parallel.count + stage->inner.count, place = 0;
    struct ir_index **axes = NEW_ARRAY(p->arena, struct ir_index *, rank + 1);

    for (int i = 0; i < rank; i++)
        axes[i] = i < kernel->parallel.count ? kernel->parallel.at[i] : stage->inner.at[i - kernel->parallel.count];
    struct ir_tensor *t = ir_equation(p, arena_printf(p->arena, "%s.part", equation->name), axes, rank, IR_MAP, NULL, 0,
                                      part, false, equation->origin);
    insert_before(p, first, t);
    t->region = IR_LOCAL;
    while (stage->equations.at[place] != equation)
        place++;
    list_add(p->arena, stage->equations, t);
    for (int i = stage->equations.count - 1; i > place; i--)
        stage->equations.at[i] = stage->equations.at[i - 1];
    stage->equations.at[place] = t;
    return t;
}

struct retaining {
    struct ir_program *p;
    struct arena *arena;
    struct ir_kernel *kernel;
    struct ir_stage *before, *stage;
    struct ir_tensor *tensor; /* the part at hand */
};

static const struct ir_expr *read_at(const struct retaining *r, const struct ir_stage *stage)
{
    int rank = r->tensor->rank, outer = r->kernel->parallel.count;
    const struct ir_form **subscripts = NEW_ARRAY(r->p->arena, const struct ir_form *, rank + 1);

    for (int i = 0; i < rank; i++)
        subscripts[i] = ir_form_index(r->p, i < outer ? r->kernel->parallel.at[i] : stage->inner.at[i - outer]);
    return ir_read(r->p, r->tensor, subscripts, rank, NULL);
}

static void read_instead(const struct retaining *r, const struct ir_stage *stage, const struct ir_expr *part)
{
    const struct ir_expr *read = read_at(r, stage);

    for (int i = 0; i < stage->equations.count; i++) {
        struct ir_tensor *t = stage->equations.at[i];

        if (t != r->tensor && !t->single)
            t->value = exchange(r->p, t->value, part, read);
    }
}

/* Retains the part of a stage that `before` has too. */
static bool retain_part(struct retaining *r, const struct ir_expr *part)
{
    const struct ir_form **to = NEW_ARRAY(r->arena, const struct ir_form *, r->stage->inner.count + 1);

    for (int i = 0; i < r->stage->inner.count; i++)
        to[i] = ir_form_index(r->p, r->before->inner.at[i]);
    const struct ir_expr *theirs = ir_substitute(r->p, part, r->stage->inner.at, to, r->stage->inner.count);
    for (int i = 0; i < r->before->equations.count; i++) {
        struct ir_tensor *t = r->before->equations.at[i];

        if (t->single || !has(r->arena, t->value, theirs))
            continue;
        struct ir_tensor *first = first_to_have(r->arena, r->stage, part, first_to_have(r->arena, r->before, theirs, t));
        r->tensor = retained(r->p, r->kernel, r->before, t, first, theirs);
        read_instead(r, r->before, theirs);
        read_instead(r, r->stage, part);
        return true;
    }
    return false;
}

/* Outer parts first; true: one was found, and the equation no longer has it. */
static bool retain_part_of(struct retaining *r, const struct ir_tensor *t)
{
    expr_list parts = {0};

    collect_applications(r->arena, t->value, &parts);
    for (int i = parts.count - 1; i >= 0; i--)
        if (takes_effort(parts.at[i]) && runs_along(r->arena, r->stage, parts.at[i]) && retain_part(r, parts.at[i]))
            return true;
    return false;
}

static void retain_between(struct retaining *r)
{
    if (!same_loops(r->before, r->stage) || ir_extent_product(r->stage->inner.at, r->stage->inner.count) > IR_MOST_SCRATCH)
        return;
    for (int i = 0; i < r->stage->equations.count; i++) {
        const struct ir_tensor *t = r->stage->equations.at[i];

        while (!t->single && retain_part_of(r, t))
            ;
    }
}

void retain_parts(struct ir_program *p)
{
    struct arena *arena = arena_new();

    for (int k = 0; k < p->kernels.count; k++) {
        struct ir_kernel *kernel = p->kernels.at[k];

        if (kernel->kind != IR_NEST || kernel->recurrence || !kernel->parallel.count)
            continue;
        for (int i = 0; i < kernel->stages.count; i++)
            for (int j = i + 1; j < kernel->stages.count; j++) {
                struct retaining r = {p, arena, kernel, kernel->stages.at[i], kernel->stages.at[j], NULL};
                retain_between(&r);
            }
    }
    arena_free(arena);
}
