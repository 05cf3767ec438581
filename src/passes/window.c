/* window.c: is an equation a product over windows? Rows and what is summed may then be several loops that do not join in
   memory, as those of a convolution, forward and backward. The spread operand must have an address that is linear in
   the loops: where its read has a guard, it becomes a read of a frame, a map with room for what lies outside,

       y[b, i, o]      = sum[r, c] (x[b, i + r - 1, c] else 0) * w[r, c, o]
       frame[b, j, c]  = (x[b, j - 1, c] else 0)
       y[b, i, o]      = sum[r, c] frame[b, i + r, c] * w[r, c, o]

   of which a tile kernel makes an image at a time (fuse.c): it is never in memory.

   How a product is cut into images, bands of them and parts rests on its shape alone, because sums do.

   requires: an equation with factors that are stored as real numbers. maintains: every value, bit for bit in the
   evaluator. breaks: adds equations (frame_windows). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* Of elements: a frame's image and what is made of it stay in the second cache, as do the sums of a group of rows. */
enum {
    MOST_FRAME = 1 << 16,
    MOST_AT_ONCE = 1 << 16,
    MOST_IN_GROUP = 3 << 16,
    MOST_PARTIAL_SUMS = 1 << 22, /* with fewest parts */
    CLOSE_PARTIAL_SUMS = 5 << 16,
    FEW_PARTS = 16,
    MOST_PARTS = 64,
    FEWEST_ITEMS = 8,
    LARGE = 1 << 16
};

/* ---- matching ---- */

static const struct ir_form *linear_address(struct ir_program *p, const struct ir_expr *read)
{
    const struct ir_form *form = read_address(p, read);

    for (int i = 0; i < form->count; i++)
        if (form->terms[i].atom->kind != IR_ATOM_INDEX)
            return NULL;
    return form;
}

static bool may_be_operand(const struct ir_expr *read)
{
    const struct ir_tensor *t = read->tensor;

    return !read->whole && !t->whole && t->kind != IR_DRAW && t->kind != IR_SCALAR && t->rank > 0;
}

/* Loops of one role stand together, those that move p (rows: c; the sum: p) farthest first. */
static int64_t rank_of(const struct window_loop *l)
{
    return l->role == WINDOW_ROW || l->role == WINDOW_BATCH ? l->c : l->role == WINDOW_SUM ? l->p : l->q;
}

static bool stands_before(const struct window_loop *a, const struct window_loop *b)
{
    return a->role != b->role ? a->role < b->role : rank_of(a) > rank_of(b);
}

static bool add_loop(struct window_product *w, struct window_loop loop)
{
    int at = w->count;

    if (w->count == MOST_WINDOW_LOOPS)
        return false;
    w->count++;
    for (; at > 0 && stands_before(&loop, &w->loops[at - 1]); at--)
        w->loops[at] = w->loops[at - 1];
    w->loops[at] = loop;
    return true;
}

/* The sum is gone through so that p moves upwards. */
static void turn_downward(struct window_product *w, struct window_loop *l)
{
    if (l->role != WINDOW_SUM || l->p > 0)
        return;
    w->p_first += l->p * (l->extent - 1);
    w->q_first += l->q * (l->extent - 1);
    l->p = -l->p;
    l->q = -l->q;
}

/* Do the rows lie in C one behind the other, and its columns side by side? */
static bool rows_are_consecutive(const struct window_product *w)
{
    int64_t next = 0;

    for (int i = w->count - 1; i >= 0; i--) {
        const struct window_loop *l = &w->loops[i];

        if (l->role != WINDOW_ROW)
            continue;
        if (next && l->c != next)
            return false;
        next = l->c * l->extent;
    }
    return next > 0;
}

bool window_match(const struct ir_program *program, const struct ir_tensor *q, struct window_product *out)
{
    struct ir_program *p = (struct ir_program *)program; /* forms are made in its tables */
    const struct ir_expr *reads[2];
    const struct ir_form *forms[2];
    struct window_loop found[MOST_WINDOW_LOOPS] = {0}, *column = NULL;
    int count = 0;
    int64_t c = 1;

    *out = (struct window_product){.scale = 1, .rows = 1, .columns = 1, .terms = 1};
    if (q->kind != IR_EQUATION || q->targets || q->reduction != IR_SUM || q->whole || q->single || q->recurrence ||
        !product_factors(q->value, reads, &out->scale) || q->rank + q->reduced_count > MOST_WINDOW_LOOPS)
        return false;
    for (int i = 0; i < 2; i++) {
        if (reads[i]->otherwise || !may_be_operand(reads[i]))
            return false;
        forms[i] = linear_address(p, reads[i]);
        if (!forms[i])
            return false;
    }
    for (int i = q->rank + q->reduced_count - 1; i >= 0; i--) {
        bool summed = i >= q->rank;
        const struct ir_index *index = summed ? q->reduced[i - q->rank] : q->axes[i];
        struct window_loop loop = {WINDOW_SUM, index, index->extent, ir_form_coefficient(forms[0], index),
                                   ir_form_coefficient(forms[1], index), summed ? 0 : c};

        c *= summed ? 1 : index->extent;
        if (index->extent == 1)
            continue;
        if (summed ? !loop.p || !loop.q : !loop.p && !loop.q)
            return false;
        found[count] = loop;
        if (!summed && loop.c == 1)
            column = &found[count];
        count++;
    }
    if (!column || (column->p && column->q))
        return false;
    bool swapped = column->p != 0;
    out->p = reads[swapped];
    out->q = reads[!swapped];
    out->p_first = forms[swapped]->constant;
    out->q_first = forms[!swapped]->constant;
    for (int i = 0; i < count; i++) {
        struct window_loop *l = &found[i];
        int64_t other = l->p;

        if (swapped) {
            l->p = l->q;
            l->q = other;
        }
        if (l->role == WINDOW_SUM && !l->c)
            turn_downward(out, l);
        else
            l->role = l->p && l->q ? WINDOW_BATCH : l->p ? WINDOW_ROW : WINDOW_COLUMN;
        if (l->p < 0 || (l->q < 0 && l->role != WINDOW_SUM) || (l->role == WINDOW_COLUMN && l != column) ||
            !add_loop(out, *l))
            return false;
        if (l->role == WINDOW_ROW)
            out->rows *= l->extent;
        if (l->role == WINDOW_COLUMN)
            out->columns *= l->extent;
        if (l->role == WINDOW_SUM)
            out->terms *= l->extent;
    }
    return out->rows > 1 && out->columns > 1 && out->terms > 1 && rows_are_consecutive(out);
}

/* ---- images and bands ---- */

static int loop_at(const struct window_product *w, const struct ir_index *index)
{
    for (int i = 0; i < w->count; i++)
        if (w->loops[i].index == index)
            return i;
    return -1;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t parts_of(int64_t a, int64_t by)
{
    return (a + by - 1) / by;
}

/* The axes of p that come first and are read at an index each: what is behind them is an image. */
static void find_images(const struct window_product *w, struct window_cut *cut)
{
    const struct ir_expr *read = w->p;

    while (cut->images + 1 < read->tensor->rank) {
        int at = loop_at(w, ir_form_bare(read->subscripts[cut->images]));
        enum window_role role = at < 0 ? WINDOW_COLUMN : w->loops[at].role;

        for (int i = 0; at >= 0 && i < read->tensor->rank; i++)
            if (i != cut->images && ir_form_mentions(read->subscripts[i], w->loops[at].index))
                return;
        if (at < 0 || (role == WINDOW_SUM) != (cut->images ? cut->sums : role == WINDOW_SUM))
            return;
        cut->sums = role == WINDOW_SUM;
        cut->image[cut->images++] = at;
    }
}

static bool is_image(const struct window_cut *cut, int loop)
{
    for (int i = 0; i < cut->images; i++)
        if (cut->image[i] == loop)
            return true;
    return false;
}

/* The loop that moves farthest along the image's first axis. */
static void find_band(const struct window_product *w, struct window_cut *cut)
{
    const struct ir_form *form = w->p->subscripts[cut->images];

    cut->band = -1;
    for (int i = 0; i < w->count; i++) {
        const struct window_loop *l = &w->loops[i];
        bool first = true;

        if (is_image(cut, i) || (l->role != WINDOW_ROW && l->role != WINDOW_SUM) ||
            (cut->images && (l->role == WINDOW_SUM) != cut->sums) || ir_form_coefficient(form, l->index) <= 0)
            continue;
        for (int j = cut->images + 1; j < w->p->tensor->rank; j++)
            first = first && !ir_form_mentions(w->p->subscripts[j], l->index);
        if (first && (cut->band < 0 || l->p * l->extent > w->loops[cut->band].p * w->loops[cut->band].extent))
            cut->band = i;
    }
    if (cut->band < 0)
        return;
    if (!cut->images)
        cut->sums = w->loops[cut->band].role == WINDOW_SUM;
    cut->step = ir_form_coefficient(form, w->loops[cut->band].index);
}

/* Elements of the frame that a band of so many needs. */
static int64_t frame_rows(const struct window_product *w, const struct window_cut *cut, int64_t band)
{
    int64_t all = w->p->tensor->axes[cut->images]->extent;

    return cut->band < 0 ? all : all - cut->step * (w->loops[cut->band].extent - band);
}

/* Do images and bands come first among the rows in C, so that an item's rows are neighbours? */
static bool items_are_whole(const struct window_product *w, const struct window_cut *cut)
{
    bool inside = false;

    for (int i = 0; i < w->count; i++) {
        bool outer = is_image(cut, i) || (i == cut->band && cut->bands > 1);

        if (w->loops[i].role != WINDOW_ROW)
            continue;
        if (outer && inside)
            return false;
        inside = inside || !outer || i == cut->band;
    }
    return true;
}

/* Rows of a tile run along it: its bands are all of one size. */
static bool is_innermost_row(const struct window_product *w, int loop)
{
    return loop >= 0 && w->loops[loop].role == WINDOW_ROW &&
           (loop + 1 == w->count || w->loops[loop + 1].role != WINDOW_ROW);
}

bool window_cut(const struct window_product *w, bool framed, struct window_cut *cut)
{
    int64_t row = 1, rows = w->rows, extent = 1, wide = parts_of(w->columns, 16) * 16;

    *cut = (struct window_cut){.items = 1, .bands = 1};
    find_images(w, cut);
    find_band(w, cut);
    if (framed && w->p->tensor->rank - cut->images == 1)
        cut->band = -1;
    for (int i = cut->images + 1; i < w->p->tensor->rank; i++)
        row *= w->p->tensor->axes[i]->extent;
    for (int i = 0; i < cut->images; i++) {
        const struct window_loop *l = &w->loops[cut->image[i]];

        cut->items *= l->extent;
        if (l->role == WINDOW_ROW)
            rows /= l->extent;
    }
    for (int i = 0; !cut->sums && i < w->count; i++)
        if (w->loops[i].role == WINDOW_BATCH && !is_image(cut, i))
            cut->items *= w->loops[i].extent;
    if (cut->sums)
        for (int i = 0; i < w->count; i++)
            if (w->loops[i].role == WINDOW_BATCH)
                return false;
    if (cut->band >= 0)
        extent = w->loops[cut->band].extent;
    cut->band_size = extent;
    if (!cut->sums)
        rows /= extent;
    while (cut->band_size > 1 && ((framed && frame_rows(w, cut, cut->band_size) * row > MOST_FRAME) ||
                                  (!cut->sums && cut->band_size * rows * wide > MOST_AT_ONCE) ||
                                  (cut->items * parts_of(extent, cut->band_size) < FEWEST_ITEMS)))
        cut->band_size--;
    cut->bands = parts_of(extent, cut->band_size);
    cut->band_size = parts_of(extent, cut->bands);
    while (is_innermost_row(w, cut->band) && extent % cut->band_size)
        cut->band_size--;
    cut->bands = parts_of(extent, cut->band_size);
    cut->items *= cut->bands;
    cut->frame_rows = frame_rows(w, cut, cut->band_size);
    cut->frame_row = row;
    if ((framed && cut->frame_rows * row > 2 * MOST_FRAME) || !items_are_whole(w, cut) ||
        (!cut->sums && cut->band_size * rows * wide > 2 * MOST_AT_ONCE))
        return false;
    cut->rows = cut->sums ? w->rows : rows * cut->band_size;
    cut->groups = cut->parts = 1;
    if (cut->sums) {
        int64_t all = w->rows * w->columns;

        if (all > MOST_PARTIAL_SUMS)
            return false;
        cut->groups = parts_of(all, MOST_IN_GROUP);
        cut->parts = cut->items;
        int64_t most = larger(CLOSE_PARTIAL_SUMS / all, parts_of(FEW_PARTS, cut->groups));
        if (cut->parts > MOST_PARTS / cut->groups)
            cut->parts = MOST_PARTS / cut->groups;
        if (cut->parts > most)
            cut->parts = most;
    }
    return true;
}

bool is_tiled(const struct ir_program *p, const struct ir_tensor *e)
{
    struct window_product w;
    struct window_cut cut;

    return is_product(p, e) || (e->kind == IR_EQUATION && e->reduction == IR_SUM && iteration_points(e) >= LARGE &&
                                window_match(p, e, &w) && window_cut(&w, false, &cut));
}

bool window_leads(const struct ir_tensor *q, const struct window_product *w)
{
    return q->rank > 0 && q->axes[q->rank - 1]->extent == w->columns;
}

/* ---- frames ---- */

static bool is_linear(const struct ir_form *form)
{
    for (int i = 0; i < form->count; i++)
        if (form->terms[i].atom->kind != IR_ATOM_INDEX)
            return false;
    return true;
}

static bool may_be_framed(const struct ir_expr *read)
{
    if (!may_be_operand(read) || !read->otherwise || read->otherwise->kind != IR_CONSTANT)
        return false;
    for (int i = 0; i < read->tensor->rank; i++)
        if (!is_linear(read->subscripts[i]))
            return false;
    return true;
}

struct framing {
    const struct ir_expr *from[2], *to[2];
};

static const struct ir_expr *replace(struct ir_program *p, const struct ir_expr *read, void *context)
{
    const struct framing *framing = context;

    (void)p;
    for (int i = 0; i < 2; i++)
        if (framing->to[i] && framing->from[i] == read)
            return framing->to[i];
    return read;
}

/* The frame that the read needs; *inside: the read of it. */
static struct ir_tensor *frame_of(struct ir_program *p, struct arena *arena, const struct ir_tensor *q,
                                  const struct ir_expr *read, const struct ir_expr **inside)
{
    int rank = read->tensor->rank;
    struct ir_index **axes = NEW_ARRAY(arena, struct ir_index *, rank);
    const struct ir_form **from = NEW_ARRAY(arena, const struct ir_form *, rank);
    const struct ir_form **to = NEW_ARRAY(arena, const struct ir_form *, rank);
    struct ir_tensor *frame;

    for (int i = 0; i < rank; i++) {
        const struct ir_form *form = read->subscripts[i];
        const struct ir_index *like = read->tensor->axes[i];
        int64_t low = ir_form_bare(form) ? 0 : form->low;

        axes[i] = ir_index(p, like->name, form->high - low + 1, like->batch && ir_form_bare(form));
        from[i] = ir_form_add(p, ir_form_index(p, axes[i]), ir_form_constant(p, low));
        to[i] = ir_form_add(p, form, ir_form_constant(p, -low));
    }
    frame = ir_equation(p, arena_printf(p->arena, "%s.framed", read->tensor->name), axes, rank, IR_MAP, NULL, 0,
                        ir_read(p, read->tensor, from, rank, read->otherwise), false, q->origin);
    *inside = ir_read(p, frame, to, rank, NULL);
    return frame;
}

int frame_windows(struct ir_program *p, struct arena *arena, struct ir_tensor *q, struct ir_tensor *frames[2])
{
    struct framing framing = {0};
    struct ir_tensor trial = *q;
    struct window_product w;
    struct window_cut cut;
    int count = 0;

    if (q->kind != IR_EQUATION || q->reduction != IR_SUM || q->targets || q->recurrence ||
        iteration_points(q) < LARGE || !product_operands(q->value, framing.from))
        return 0;
    for (int i = 0; i < 2; i++) {
        if (!framing.from[i]->otherwise)
            continue;
        if (!may_be_framed(framing.from[i]))
            return 0;
        frames[count++] = frame_of(p, arena, q, framing.from[i], &framing.to[i]);
    }
    if (!count)
        return 0;
    trial.value = rewrite(p, q->value, NULL, NULL, 0, replace, &framing);
    if (!window_match(p, &trial, &w) || !window_cut(&w, true, &cut))
        return 0;
    for (int i = 0; i < count; i++)
        if (frames[i] != w.p->tensor && ir_elements(frames[i]) > 2 * ir_elements(q))
            return 0;
    q->value = trial.value;
    return count;
}
