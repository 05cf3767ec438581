/* residue.c: a product over windows that moves in steps, seen from what it reads: as the gradient of

       y[i] = sum[r] x[2 * i + r] * w[r]          is          dx[j] = sum[r] dy[j // 2 - r] * w[2 * r + j % 2]

   For each residue of j it is another product over windows; they become equations of their own, and what was the product
   puts them together.

   requires: no kernels yet. maintains: every value but for the order of terms, and but for terms that are 0 because a read is
   outside: such a term is dropped, where a factor that is not finite would make it NaN. breaks: adds equations. */
#include "internal.h"

enum { MOST_RESIDUES = 16, MOST_AXES = 8 };

struct residues {
    struct ir_program *p;
    struct arena *arena;
    struct ir_tensor *q;
    int64_t step[MOST_AXES]; /* of each axis: 1 if it stays whole */
    int64_t all;
    tensor_list *made;
};

/* What the index is divided by in the form; 1 if by nothing, 0 if by several or otherwise than as it is. */
static int64_t divisor_in(const struct ir_form *form, const struct ir_index *index)
{
    int64_t found = 1;

    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        struct ir_form alone = {.count = 1, .terms = &form->terms[i]};

        if (atom->kind == IR_ATOM_INDEX || !ir_form_mentions(&alone, index))
            continue;
        if (atom->kind == IR_ATOM_VALUE || (found > 1 && found != atom->divisor) || atom->form->count != 1 ||
            ir_form_coefficient(atom->form, index) != 1)
            return 0;
        found = atom->divisor;
    }
    return found;
}

static bool find_steps(struct residues *r, const struct ir_expr *const *reads)
{
    r->all = 1;
    for (int i = 0; i < r->q->rank; i++) {
        const struct ir_index *axis = r->q->axes[i];

        r->step[i] = 1;
        for (int k = 0; k < 2; k++)
            for (int j = 0; j < reads[k]->tensor->rank; j++) {
                int64_t step = divisor_in(reads[k]->subscripts[j], axis);

                if (!step || (step > 1 && r->step[i] > 1 && r->step[i] != step))
                    return false;
                if (step > 1)
                    r->step[i] = step;
            }
        if (axis->extent % r->step[i] || r->all > MOST_RESIDUES / r->step[i])
            return false;
        r->all *= r->step[i];
    }
    return r->all > 1;
}

static int64_t round_down(int64_t a, int64_t by)
{
    return a >= 0 ? a / by : -((-a + by - 1) / by);
}

/* Narrows [*low, *high] of the index to where the read may be inside. */
static void narrow(const struct ir_expr *read, const struct ir_index *index, int64_t *low, int64_t *high)
{
    if (!read->otherwise || read->otherwise->kind != IR_CONSTANT || read->otherwise->number != 0)
        return;
    for (int i = 0; i < read->tensor->rank; i++) {
        const struct ir_form *form = read->subscripts[i];
        int64_t by = ir_form_coefficient(form, index), extent = read->tensor->axes[i]->extent, first, last;

        if (form->count != 1 || by <= 0)
            continue;
        first = -round_down(form->constant, by);
        last = round_down(extent - 1 - form->constant, by);
        *low = first > *low ? first : *low;
        *high = last < *high ? last : *high;
    }
}

/* The product at one residue: an equation, or NULL where it has no terms. */
static bool make_one(struct residues *r, int64_t number, const struct ir_form **subscripts, struct ir_tensor **out)
{
    struct ir_program *p = r->p;
    struct ir_tensor *q = r->q;
    struct ir_index *from[2 * MOST_AXES], **axes = NEW_ARRAY(p->arena, struct ir_index *, q->rank),
                    **reduced = NEW_ARRAY(p->arena, struct ir_index *, q->reduced_count + 1);
    const struct ir_form *to[2 * MOST_AXES];
    const struct ir_expr *value, *reads[2];
    struct ir_tensor *frames[2];
    int count = q->rank, made;

    for (int i = q->rank - 1; i >= 0; i--) {
        const struct ir_index *axis = q->axes[i];
        int64_t at = number % r->step[i];

        number /= r->step[i];
        axes[i] = ir_index(p, axis->name, axis->extent / r->step[i], axis->batch);
        from[i] = q->axes[i];
        to[i] = ir_form_add(p, ir_form_scale(p, ir_form_index(p, axes[i]), r->step[i]), ir_form_constant(p, at));
        subscripts[i] = ir_form_quotient(p, ir_form_index(p, q->axes[i]), r->step[i]);
    }
    *out = NULL;
    value = ir_substitute(p, q->value, from, to, count);
    if (!product_operands(value, reads))
        return false;
    count = 0;
    int left = 0;
    for (int i = 0; i < q->reduced_count; i++) {
        struct ir_index *index = q->reduced[i];
        int64_t low = 0, high = index->extent - 1;

        for (int k = 0; k < 2; k++)
            narrow(reads[k], index, &low, &high);
        if (low > high)
            return true;
        from[count] = index;
        to[count] = ir_form_constant(p, low);
        if (high > low) {
            reduced[left] = ir_index(p, index->name, high - low + 1, index->batch);
            to[count] = ir_form_add(p, to[count], ir_form_index(p, reduced[left++]));
        }
        count++;
    }
    value = ir_substitute(p, value, from, to, count);
    struct ir_tensor *one = ir_equation(p, arena_printf(p->arena, "%s.residue", q->name), axes, q->rank,
                                        left ? IR_SUM : IR_MAP, reduced, left, value, false, q->origin);
    made = is_tiled(p, one) ? 0 : frame_windows(p, r->arena, one, frames);
    for (int i = 0; i < made; i++)
        list_add(p->arena, *r->made, frames[i]);
    list_add(p->arena, *r->made, one);
    *out = one;
    return is_tiled(p, one);
}

bool split_residues(struct ir_program *p, struct arena *arena, struct ir_tensor *q, tensor_list *order)
{
    const struct ir_expr *reads[2], *value = NULL;
    tensor_list made = {0};
    struct residues r = {.p = p, .arena = arena, .q = q, .made = &made};

    if (!is_plain(q) || q->reduction != IR_SUM || q->rank > MOST_AXES || q->reduced_count > MOST_AXES || q->single ||
        !product_operands(q->value, reads) || !find_steps(&r, reads))
        return false;
    for (int64_t number = r.all - 1; number >= 0; number--) {
        const struct ir_form **subscripts = NEW_ARRAY(p->arena, const struct ir_form *, q->rank);
        const struct ir_expr *here, *condition = NULL;
        struct ir_tensor *one;
        int64_t rest = number;

        if (!make_one(&r, number, subscripts, &one))
            return false;
        here = one ? ir_read(p, one, subscripts, q->rank, NULL) : ir_real(p, 0);
        for (int i = q->rank - 1; i >= 0; i--) {
            const struct ir_form *residue = ir_form_remainder(p, ir_form_index(p, q->axes[i]), r.step[i]);
            const struct ir_expr *equal;

            if (r.step[i] == 1)
                continue;
            equal = ir_apply(p, IR_equal, ir_of_form(p, residue), ir_number(p, (double)(rest % r.step[i])), NULL);
            condition = condition ? ir_apply(p, IR_and, equal, condition, NULL) : equal;
            rest /= r.step[i];
        }
        value = value ? ir_apply(p, IR_select, condition, here, value) : here;
    }
    q->value = value;
    q->reduction = IR_MAP;
    q->reduced_count = 0;
    for (int i = 0; i < made.count; i++)
        list_add(p->arena, *order, made.at[i]);
    return true;
}
