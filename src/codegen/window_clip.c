/* window_clip.c: terms that nobody needs to add up, because the frame is 0 there. Of

       y[p, o] = sum[r, c] frame[p + r, c] * w[r, c, o],    frame[j, c] = (x[j - 2, c] else 0)

   the rows at the edge want fewer r, and of its weights' gradient those of an outer r fewer p. Where a tile's rows have
   one p (or one r), the tile is given what is left of its block of the sum, or not made at all.

   requires: a plan of window_plan.c. maintains: every number; a term 0 * w is 0 even where w is not finite. */
#include "window.h"

typedef LLVMValueRef V;

/* ---- where a frame is 0 ---- */

struct narrowing {
    const struct ir_index *index;
    int64_t first, end;
};

/* The form is at least, or at most, a number: so is the index, if the form is it and a constant. */
static void bound(struct narrowing *n, const struct ir_form *form, bool below, int64_t number)
{
    if (form->count != 1 || ir_form_coefficient(form, n->index) != 1)
        return;
    number -= form->constant;
    if (below && number + 1 < n->end)
        n->end = number + 1;
    if (!below && number > n->first)
        n->first = number;
}

/* Where the condition may hold. */
static void narrow_condition(struct narrowing *n, const struct ir_expr *e)
{
    if (e->kind != IR_APPLY)
        return;
    const struct ir_expr *a = e->arguments[0], *b = e->arguments[1];
    if (e->op == IR_and) {
        narrow_condition(n, a);
        narrow_condition(n, b);
    }
    if ((e->op != IR_less && e->op != IR_less_equal && e->op != IR_greater && e->op != IR_greater_equal) ||
        a->kind != IR_FORM || !b->whole || b->low != b->high)
        return;
    bound(n, a->form, e->op == IR_less || e->op == IR_less_equal,
          b->low + (e->op == IR_greater) - (e->op == IR_less));
}

/* Where the value may be other than 0. */
static void narrow_value(struct narrowing *n, const struct ir_expr *e)
{
    if (e->kind == IR_READ && e->otherwise && ir_is_zero(e->otherwise)) {
        for (int i = 0; i < e->tensor->rank; i++) {
            bound(n, e->subscripts[i], false, 0);
            bound(n, e->subscripts[i], true, e->tensor->axes[i]->extent - 1);
        }
    } else if (e->kind == IR_APPLY && e->op == IR_select && ir_is_zero(e->arguments[2])) {
        narrow_condition(n, e->arguments[0]);
        narrow_value(n, e->arguments[1]);
    }
}

/* ---- clips of a product ---- */

static int loop_of(const struct window_product *product, const struct ir_index *index, enum window_role role)
{
    for (int i = 0; i < product->count; i++)
        if (product->loops[i].index == index && product->loops[i].role == role)
            return i;
    return -1;
}

static bool is_inside(const struct window_plan *plan, int loop)
{
    for (int i = 0; i < plan->outer_count; i++)
        if (plan->outer[i] == loop)
            return false;
    return loop >= 0 && loop != plan->tap;
}

static int64_t quotient_up(int64_t a, int64_t by)
{
    return a <= 0 ? 0 : (a + by - 1) / by;
}

/* The first and the end of the terms that a row has. */
static void terms_of(const struct window_clip *clip, int64_t row, int64_t extent, int64_t *first, int64_t *end)
{
    *first = quotient_up(clip->first - clip->by_row * row, clip->by_sum);
    *end = quotient_up(clip->end - clip->by_row * row, clip->by_sum);
    if (*end > extent)
        *end = extent;
}

static double share_of(const struct window_plan *plan, const struct window_clip *clip)
{
    int64_t rows = plan->product->loops[clip->row_loop].extent, extent = plan->product->loops[clip->sum_loop].extent;
    int64_t all = 0;

    for (int64_t i = 0; i < rows; i++) {
        int64_t first, end;

        terms_of(clip, i, extent, &first, &end);
        if (first >= end)
            return 1;
        all += end - first;
    }
    return (double)all / (double)(rows * extent);
}

/* The clip along an axis of the frame, if two loops meet there and nowhere else. */
static bool clip_along(const struct window_plan *plan, int axis, struct window_clip *clip)
{
    const struct window_product *product = plan->product;
    const struct ir_form *form = product->p->subscripts[axis];
    const struct ir_index *index = plan->frame->axes[axis];
    struct narrowing n = {index, 0, index->extent};
    int64_t base = form->constant;

    narrow_value(&n, plan->frame->value);
    *clip = (struct window_clip){.row_loop = -1, .sum_loop = -1, .row = -1, .sum = -1};
    if (form->count != 2 || (n.first == 0 && n.end == index->extent))
        return false;
    for (int i = 0; i < 2; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        int64_t by = form->terms[i].coefficient;

        if (atom->kind != IR_ATOM_INDEX)
            return false;
        for (int k = 0; k < product->p->tensor->rank; k++)
            if (k != axis && ir_form_mentions(product->p->subscripts[k], atom->index))
                return false;
        int row = loop_of(product, atom->index, WINDOW_ROW), sum = loop_of(product, atom->index, WINDOW_SUM);
        if (row >= 0 && by > 0) {
            clip->row_loop = row;
            clip->by_row = by;
        } else if (sum >= 0) { /* gone through so that p moves upwards */
            clip->sum_loop = sum;
            clip->by_sum = by > 0 ? by : -by;
            base += by > 0 ? 0 : by * (atom->index->extent - 1);
        }
    }
    clip->first = n.first - base;
    clip->end = n.end - base;
    return is_inside(plan, clip->row_loop) && is_inside(plan, clip->sum_loop) && share_of(plan, clip) < 1;
}

void find_clips(struct window_plan *plan)
{
    plan->clip_count = 0;
    if (!plan->frame)
        return;
    for (int i = plan->cut.images; i < plan->frame->rank && plan->clip_count < MOST_CLIPS; i++)
        plan->clip_count += clip_along(plan, i, &plan->clips[plan->clip_count]);
}

double clipped_share(const struct window_plan *plan, int row_loop)
{
    for (int i = 0; i < plan->clip_count; i++)
        if (plan->clips[i].row_loop == row_loop)
            return share_of(plan, &plan->clips[i]);
    return 1;
}

void place_clips(struct window_plan *plan)
{
    const struct window_axis *across =
        plan->slides ? &plan->sums[plan->sum_count - 1] : &plan->rows[plan->row_count - 1];
    int count = 0;

    for (int i = 0; i < plan->clip_count; i++) {
        struct window_clip *clip = &plan->clips[i];

        for (int k = 0; k + 1 < plan->row_count; k++)
            if (plan->rows[k].loop == clip->row_loop)
                clip->row = k;
        for (int k = 0; k < plan->sum_count; k++)
            if (plan->sums[k].loop == clip->sum_loop)
                clip->sum = k;
        if (plan->tap >= 0 && clip->by_row == clip->by_sum && !across->banded &&
            (plan->slides ? clip->row_loop == plan->tap && clip->sum_loop == across->loop
                          : clip->sum_loop == plan->tap && clip->row_loop == across->loop)) {
            plan->edges = *clip;
            plan->edge = &plan->edges;
        } else if (clip->row >= 0 && clip->sum >= 0) {
            plan->clips[count++] = *clip;
        }
    }
    plan->clip_count = count;
}

void clip_tile(const struct window_plan *plan, int64_t row, int count, int *first, int *end)
{
    int64_t from = 0, to = count + plan->taps - 1;

    if (plan->edge)
        terms_of(plan->edge, row, to, &from, &to);
    *first = (int)from;
    *end = (int)to;
}

bool is_clipped(const struct window_plan *plan, int sum)
{
    for (int i = 0; i < plan->clip_count; i++)
        if (plan->clips[i].sum == sum)
            return true;
    return false;
}

/* ---- code ---- */

/* quotient_up(number - by * i). */
static V term_at(struct emitter *e, const struct window_clip *clip, int64_t number, V i)
{
    V zero = count_of(e, 0), a = LLVMBuildNSWSub(e->builder, count_of(e, number), times(e, i, clip->by_row), "");

    a = LLVMBuildSelect(e->builder, LLVMBuildICmp(e->builder, LLVMIntSGT, a, zero, ""), a, zero, "");
    return clip->by_sum == 1
               ? a
               : LLVMBuildUDiv(e->builder, plus(e, a, count_of(e, clip->by_sum - 1)), count_of(e, clip->by_sum), "");
}

static void clip_one(struct emitter *e, const struct window_plan *plan, const struct window_clip *clip, V row, V by_q,
                     struct k_block *k, V *any)
{
    V at = k->at[clip->sum], end = lesser(e, plus(e, at, k->left[clip->sum]), term_at(e, clip, clip->end, row));
    V first = term_at(e, clip, clip->first, row);
    V late = LLVMBuildICmp(e->builder, LLVMIntSLT, first, at, "");
    V start = LLVMBuildSelect(e->builder, late, at, first, "");
    V some = LLVMBuildICmp(e->builder, LLVMIntSLT, start, end, "");
    V skipped = LLVMBuildNSWSub(e->builder, start, at, "");

    *any = *any ? LLVMBuildAnd(e->builder, *any, some, "") : some;
    k->again = LLVMBuildOr(e->builder, k->again, LLVMBuildZExt(e->builder, late, e->i64, ""), "");
    k->left[clip->sum] = LLVMBuildNSWSub(e->builder, end, start, "");
    k->p = further(e, k->p, skipped, plan->sums[clip->sum].p * plan->tile.bytes);
    if (by_q)
        k->q = offset_pointer(e, k->q, LLVMBuildNSWMul(e->builder, skipped, by_q, ""));
}

V clip_block(struct emitter *e, const struct window_plan *plan, V *digits, V q_k, V q_segment, struct k_block *k)
{
    V any = NULL;

    for (int i = 0; i < plan->clip_count; i++) {
        const struct window_clip *clip = &plan->clips[i];
        bool run = clip->sum == plan->sum_count - 1, segment = clip->sum == plan->sum_count - 2;

        clip_one(e, plan, clip, digits[clip->row], run ? q_k : segment ? q_segment : NULL, k, &any);
    }
    return any;
}
