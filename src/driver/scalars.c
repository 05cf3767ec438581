/* scalars.c: the schedule of a step, made once into a list of operations, so that a step allocates nothing.

   requires: a program of rank-0 tensors, as split_schedule makes it. A schedule that reduces (over constants) or draws is left to
   the evaluator. What is made here gives the evaluator's very numbers: the same operators in the same order, `single` equations
   rounded to f32 after each. */
#include "driver.h"

struct operation {
    const struct ir_expr *expr; /* NULL: a scalar leaf */
    bool single;
    double number;              /* of a constant */
    int arguments[3];
    int source;                 /* operation whose value this takes (a read), or -1 */
};
struct scalar_code {
    struct arena *arena;
    LIST(struct operation) operations;
    double *values;
    int *of_tensor; /* operation by number of tensor */
};

static double rounded(const struct operation *o, double value)
{
    return o->single ? (float)value : value;
}

/* The operation that computes e, made if it is not there; -1: not of the kind that this file does. */
static int operation_of(struct scalar_code *code, const struct ir_expr *e, bool single)
{
    struct operation o = {.expr = e, .single = single, .source = -1};

    for (int i = 0; i < code->operations.count; i++)
        if (code->operations.at[i].expr == e && code->operations.at[i].single == single)
            return i;
    switch (e->kind) {
    case IR_CONSTANT:
        o.number = e->number;
        break;
    case IR_FORM:
        if (e->form->count)
            return -1;
        o.number = (double)e->form->constant;
        break;
    case IR_READ:
        if (e->tensor->rank || e->otherwise)
            return -1;
        o.source = code->of_tensor[e->tensor->number];
        if (o.source < 0)
            return -1;
        break;
    case IR_APPLY:
        for (int i = 0; i < ir_operators[e->op].arity; i++)
            if ((o.arguments[i] = operation_of(code, e->arguments[i], single)) < 0)
                return -1;
        break;
    }
    list_add(code->arena, code->operations, o);
    return code->operations.count - 1;
}

struct scalar_code *scalar_code(struct arena *arena, const struct ir_program *schedule)
{
    struct scalar_code *code = NEW(arena, struct scalar_code);

    code->arena = arena;
    code->of_tensor = NEW_ARRAY(arena, int, schedule->tensors.count + 1);
    for (int i = 0; i < schedule->tensors.count; i++) {
        const struct ir_tensor *t = schedule->tensors.at[i];

        if (t->kind == IR_SCALAR) {
            list_add(arena, code->operations, (struct operation){.source = -1});
            code->of_tensor[i] = code->operations.count - 1;
            continue;
        }
        if (t->kind != IR_EQUATION || t->rank || t->reduction != IR_MAP || t->recurrence || t->targets)
            return NULL;
        code->of_tensor[i] = operation_of(code, t->value, t->single);
        if (code->of_tensor[i] < 0)
            return NULL;
    }
    code->values = NEW_ARRAY(arena, double, code->operations.count + 1);
    return code;
}

void scalar_code_set(struct scalar_code *code, int tensor, double value)
{
    code->values[code->of_tensor[tensor]] = value;
}

void scalar_code_run(struct scalar_code *code)
{
    for (int i = 0; i < code->operations.count; i++) {
        const struct operation *o = &code->operations.at[i];
        double *v = code->values;

        if (!o->expr)
            continue;
        if (o->source >= 0)
            v[i] = rounded(o, v[o->source]);
        else if (o->expr->kind == IR_APPLY)
            v[i] = rounded(o, ir_operate(o->expr->op, v[o->arguments[0]], v[o->arguments[1]], v[o->arguments[2]]));
        else
            v[i] = rounded(o, o->number);
    }
}

double scalar_code_value(const struct scalar_code *code, int tensor)
{
    return code->values[code->of_tensor[tensor]];
}
