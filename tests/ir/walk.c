/* walk.c: see walk.h. */
#include "walk.h"

#include <math.h>

int64_t form_at(const struct ir_form *f, const struct point *point)
{
    int64_t sum = f->constant, of;

    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;

        switch (atom->kind) {
        case IR_ATOM_INDEX:
            of = point->at[atom->index->number];
            break;
        case IR_ATOM_QUOTIENT:
            of = form_at(atom->form, point);
            of = (of - ((of % atom->divisor) + atom->divisor) % atom->divisor) / atom->divisor;
            break;
        case IR_ATOM_REMAINDER:
            of = form_at(atom->form, point);
            of = ((of % atom->divisor) + atom->divisor) % atom->divisor;
            break;
        default:
            of = (int64_t)expr_at(atom->value, point);
        }
        if (of < atom->low || of > atom->high)
            bug("an atom of kind %d is %lld, outside %lld .. %lld", (int)atom->kind, (long long)of,
                (long long)atom->low, (long long)atom->high);
        sum += f->terms[i].coefficient * of;
    }
    return sum;
}

static double value_at(const struct ir_expr *e, const struct point *point)
{
    double of[3] = {0};

    switch (e->kind) {
    case IR_CONSTANT:
        return e->number;
    case IR_FORM:
        return (double)form_at(e->form, point);
    case IR_READ:
        for (int i = 0; i < e->tensor->rank; i++) {
            int64_t subscript = form_at(e->subscripts[i], point);

            if (subscript >= 0 && subscript < e->tensor->axes[i]->extent) {
                of[0] = of[0] * (double)e->tensor->axes[i]->extent + (double)subscript;
            } else {
                if (!e->otherwise)
                    bug("a read of %s outside without an otherwise", e->tensor->name);
                return expr_at(e->otherwise, point);
            }
        }
        return point->element(e->tensor, (int64_t)of[0]);
    case IR_APPLY:
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            of[i] = expr_at(e->arguments[i], point);
        return ir_operate(e->op, of[0], of[1], of[2]);
    }
    return NAN;
}

double expr_at(const struct ir_expr *e, const struct point *point)
{
    double value = value_at(e, point);

    if (e->whole && !(value >= (double)e->low && value <= (double)e->high && value == floor(value)))
        bug("a whole number of %lld .. %lld is %g", (long long)e->low, (long long)e->high, value);
    return value;
}

bool next_point(struct point *point, struct ir_index *const *indices, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        int64_t *at = &point->at[indices[i]->number];

        if (++*at < indices[i]->extent)
            return true;
        *at = 0;
    }
    return false;
}

uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

int64_t draw_between(uint64_t *state, int64_t low, int64_t high)
{
    return low + (int64_t)(draw(state) % (uint64_t)(high - low + 1));
}
