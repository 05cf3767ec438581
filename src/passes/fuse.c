/* fuse.c: from equations to kernels.

   requires: a verified program without kernels. maintains: every value, bit for bit in the evaluator. breaks: indices
   of equations (those of a kernel share theirs) and the list of tensors (producers that are repeated where they are
   read go). The choice rests on the structure of the program alone, never on names, threads or timing. In order:

     keep        gates of recurrences, which derivatives have again (keep.c)

     hoist       parts that vary along few loops out of equations over many (hoist.c)
     pack        operands of products that neither tiles nor BLAS read as they lie (pack.c)
     turn        operands of small products that lie across (turn.c)

     mask        signs of what is stored in place of masks made again (mask.c)

     reuse       parts of equations that other equations are all of (reuse.c)

     repeat      cheap maps into what reads them (inline.c)

     chains      equations over the same loops, one reading the other

     images      sums over each image of what a product over windows makes with that product (image.c)

     rows        a reduction that a larger equation reads back (statistics of a row or a column) with that equation:
                 the loops that both share are kept, the rest runs inside

     ends        other reductions (bias gradients, norms, losses) with what makes what they sum, whole or in parts

     leftovers   chains again, then kernels over the same loops that read the same tensors

     sources     maps that the frames of products over windows read, and others too, with those products (image.c): last

     retain      parts of a kernel's stage that a later one has again (retain.c)

   A large sum of products is a tile kernel: with it go maps of its numbers (biases, activations, masks, updates) and
   sums of all of them or of each of its images, made of its tiles while those are in the caches; nothing else. Scatters
   and opaque operations are kernels of their own. The equations of a recurrence share kernels among themselves alone. */
#include "internal.h"

/* Multiply-adds below which copying operands for tiles, or a call into BLAS, costs more than it saves; up to which loops over
   sums in registers are as fast as tiles. */
enum { SMALL_PRODUCT = 1 << 14, SMALL_CONTRACTION = 1 << 18 };

static bool is_matrix_product(const struct ir_program *p, const struct ir_tensor *e)
{
    struct product product;

    return e->reduction == IR_SUM && product_match(p, e, &product) && product.m > 1 && product.n > 1 && product.k > 1;
}

bool is_product(const struct ir_program *p, const struct ir_tensor *e)
{
    return e->kind == IR_EQUATION && points_at_once(e) >= SMALL_PRODUCT && is_matrix_product(p, e);
}

bool is_contraction(const struct ir_program *p, const struct ir_tensor *e)
{
    return is_plain(e) && points_at_once(e) <= SMALL_CONTRACTION && is_matrix_product(p, e);
}

/* Does a larger equation read it back along its axes? (Through smaller ones too: mean, variance, 1 / deviation.) */
static bool is_statistic(struct fusion *f, const struct ir_tensor *e, const struct ir_tensor *t)
{
    const tensor_list *readers = &f->uses.readers[t->number];

    f->marks[t->number] = f->stamp;
    for (int i = 0; i < readers->count; i++) {
        const struct ir_tensor *r = readers->at[i];

        if (f->marks[r->number] == f->stamp || f->groups[r->number].alone)
            continue;
        if (iteration_points(r) > ir_elements(e) || (r->reduction == IR_MAP && is_statistic(f, e, r)))
            return true;
    }
    return false;
}

/* Reductions whose results nothing in their own kernel needs back. */
static bool *find_ends(struct fusion *f)
{
    int count = f->p->tensors.count;
    bool *ends = NEW_ARRAY(f->arena, bool, count + 1);

    for (int i = 0; i < count; i++) {
        const struct ir_tensor *e = f->p->tensors.at[i];

        f->stamp++;
        if (e->kind == IR_EQUATION && e->reduction != IR_MAP && !f->groups[i].alone)
            ends[i] = e->rank == 0 || !is_statistic(f, e, e);
    }
    return ends;
}

static bool holds_end(const struct fusion *f, int group, const bool *ends)
{
    const struct group *g = &f->groups[group];

    for (int i = 0; i < g->equations.count; i++)
        if (ends[g->equations.at[i]->number])
            return true;
    return false;
}

/* Tries to join each equation's group with those of what it reads, until nothing changes. ends: groups that hold one
   are left alone, unless NULL. */
static void join_chains(struct fusion *f, enum shrink shrink, const bool *ends)
{
    const char *why;
    bool changed = true;

    while (changed) {
        changed = false;
        for (int i = 0; i < f->p->tensors.count; i++) {
            if (!is_made(f->p->tensors.at[i]))
                continue;
            for (int j = 0; j < f->uses.reads[i].count; j++) {
                const struct ir_tensor *t = f->uses.reads[i].at[j]->tensor;
                int a, b = f->members[i].group;

                if (!is_made(t) || (a = f->members[t->number].group) == b)
                    continue;
                if (ends && (holds_end(f, a, ends) || holds_end(f, b, ends)))
                    continue;
                changed = join_groups(f, a, b, shrink, &why) || changed;
            }
        }
    }
}

/* Bytes of the tensors that both read. */
static double shared_bytes(struct fusion *f, int a, int b)
{
    const struct group *ga = &f->groups[a], *gb = &f->groups[b];
    double sum = 0;

    f->stamp++;
    for (int i = 0; i < ga->equations.count; i++)
        for (int j = 0; j < f->uses.reads[ga->equations.at[i]->number].count; j++)
            f->marks[f->uses.reads[ga->equations.at[i]->number].at[j]->tensor->number] = f->stamp;
    for (int i = 0; i < gb->equations.count; i++)
        for (int j = 0; j < f->uses.reads[gb->equations.at[i]->number].count; j++) {
            const struct ir_tensor *t = f->uses.reads[gb->equations.at[i]->number].at[j]->tensor;

            if (f->marks[t->number] == f->stamp && t->kind != IR_DRAW && t->kind != IR_SCALAR)
                sum += (double)stored_bytes(f->p, t);
            f->marks[t->number] = 0;
        }
    return sum;
}

static double read_bytes(struct fusion *f, int g)
{
    return shared_bytes(f, g, g);
}

/* The group with which the end saves most: what makes its operand, else who reads the same. */
static void join_end(struct fusion *f, const struct ir_tensor *e)
{
    const char *why;

    for (int i = 0; i < f->uses.reads[e->number].count; i++) {
        const struct ir_tensor *t = f->uses.reads[e->number].at[i]->tensor;

        if (is_made(t) && f->members[t->number].group != f->members[e->number].group &&
            8 * ir_elements(t) >= iteration_points(e))
            join_groups(f, f->members[t->number].group, f->members[e->number].group, SHRINK_LOOPS, &why);
    }
}

/* Times what two kernels share that the smaller one may read: of two tensors one, and beside them what is small (a norm's gain). */
static const double of_shared = 2.1;

/* Joins kernels over the same loops that share about half of what the smaller reads. */
static void join_neighbours(struct fusion *f, enum shrink shrink, const bool *only)
{
    const char *why;

    for (int i = 0; i < f->p->tensors.count; i++)
        for (int j = 0; j < i; j++) {
            double shared;
            int a = j, b = i;

            if (only && f->groups[b].product) {
                a = i;
                b = j;
            }
            if (!f->groups[a].equations.count || !f->groups[b].equations.count ||
                (f->groups[a].alone && !(only && f->groups[a].product)) || f->groups[b].alone ||
                (only && !holds_end(f, a, only) && !holds_end(f, b, only)))
                continue;
            shared = shared_bytes(f, a, b);
            if (shared >= 256 && of_shared * shared >= read_bytes(f, read_bytes(f, a) < read_bytes(f, b) ? a : b))
                join_groups(f, a, b, shrink, &why);
        }
}

/* Does the group sum along rows, over what e has an output for? */
static bool sums_rows(const struct fusion *f, const struct group *g, const struct ir_tensor *e)
{
    for (int i = 0; i < g->equations.count; i++) {
        const struct ir_tensor *q = g->equations.at[i];
        bool same = q->reduction != IR_MAP && !f->members[q->number].in_parts && q->rank == e->reduced_count &&
                    q->reduced_count == e->rank;

        for (int k = 0; same && k < e->rank; k++)
            same = q->reduced[k]->extent == e->axes[k]->extent;
        if (same)
            return true;
    }
    return false;
}

/* Sums down columns by themselves (a gain's gradient, a bias's) go, in parts, with a kernel that sums along the rows that
   they read too: behind a normaliser along rows both run over the same samples. */
static void join_rows(struct fusion *f, const struct ir_tensor *e)
{
    const char *why;

    for (int i = 0; e->rank && i < f->p->tensors.count; i++) {
        int end = f->members[e->number].group;

        if (end == i || f->groups[end].equations.count != 1 || f->groups[end].alone || f->groups[i].alone ||
            !sums_rows(f, &f->groups[i], e))
            continue;
        if (2 * shared_bytes(f, end, i) >= read_bytes(f, end))
            join_groups(f, i, end, KEEP_LOOPS, &why);
    }
}

static void explain_stops(struct fusion *f)
{
    for (int g = 0; g < f->p->tensors.count; g++) {
        struct group *group = &f->groups[g];

        for (int i = 0; i < group->equations.count && !group->stopped; i++) {
            const tensor_list *readers = &f->uses.readers[group->equations.at[i]->number];

            for (int j = 0; j < readers->count && !group->stopped; j++) {
                int other = f->members[readers->at[j]->number].group;

                if (other != g)
                    group->stopped = arena_printf(f->p->arena, "%s", why_not(f, g, other));
            }
        }
        if (group->equations.count && !group->stopped)
            group->stopped = "no other kernel reads what it makes";
    }
}

/* Of two kernels that may run: a recurrence that has begun is ended first, else the earlier equation decides. */
static bool runs_before(const struct ir_tensor *a, const struct ir_tensor *b, const struct ir_recurrence *last)
{
    bool in = last && a->recurrence == last, other = last && b->recurrence == last;

    return in != other ? in : a->number < b->number;
}

static void order_kernels(struct fusion *f)
{
    int count = f->p->tensors.count;
    int *waiting = NEW_ARRAY(f->arena, int, count + 1);
    bool *done = NEW_ARRAY(f->arena, bool, count + 1);
    const struct ir_recurrence *last = NULL;

    for (int i = 0; i < count; i++)
        for (int j = 0; j < f->after[i].count; j++)
            if (f->members[i].group != f->members[f->after[i].at[j]].group)
                waiting[f->members[f->after[i].at[j]].group]++;
    for (;;) {
        int g = -1;
        tensor_list equations;
        struct ir_kernel *kernel;

        for (int i = 0; i < count; i++)
            if (f->groups[i].equations.count && !done[i] && !waiting[i] &&
                (g < 0 || runs_before(f->groups[i].equations.at[0], f->groups[g].equations.at[0], last)))
                g = i;
        if (g < 0)
            break;
        done[g] = true;
        last = f->groups[g].equations.at[0]->recurrence;
        equations = f->groups[g].equations;
        kernel = make_kernel(f, &f->groups[g]);
        list_add(f->p->arena, f->p->kernels, kernel);
        for (int i = 0; i < equations.count; i++) {
            const number_list *after = &f->after[equations.at[i]->number];

            for (int j = 0; j < after->count; j++)
                if (f->members[after->at[j]].group != g)
                    waiting[f->members[after->at[j]].group]--;
        }
    }
    for (int i = 0; i < count; i++)
        if (f->groups[i].equations.count && !done[i])
            bug("program %s: kernels wait for each other", f->p->name);
}

/* Adds those of `wanted` to what must run after an equation that are not there yet. */
static void run_after(struct fusion *f, int equation, const number_list *wanted)
{
    f->stamp++;
    f->marks[equation] = f->stamp;
    for (int i = 0; i < f->after[equation].count; i++)
        f->marks[f->after[equation].at[i]] = f->stamp;
    for (int i = 0; i < wanted->count; i++)
        if (f->marks[wanted->at[i]] != f->stamp) {
            f->marks[wanted->at[i]] = f->stamp;
            list_add(f->arena, f->after[equation], wanted->at[i]);
        }
}

/* What a recurrence reads runs before all of it, and what reads of it after all of it. Found among the orders as they were:
   those that are added lead to no more of them, however long a chain of recurrences is. */
static void surround_recurrence(struct fusion *f, const struct ir_recurrence *recurrence, const int *known)
{
    int count = f->p->tensors.count;
    number_list inside = {0}, readers = {0}, read = {0};

    for (int i = 0; i < count; i++) {
        bool is_inside = f->p->tensors.at[i]->recurrence == recurrence, reaches = false;

        if (is_inside)
            list_add(f->arena, inside, i);
        for (int j = 0; j < known[i]; j++) {
            int next = f->after[i].at[j];
            bool next_inside = f->p->tensors.at[next]->recurrence == recurrence;

            reaches |= next_inside;
            if (is_inside && !next_inside)
                list_add(f->arena, readers, next);
        }
        if (reaches && !is_inside)
            list_add(f->arena, read, i);
    }
    for (int i = 0; i < inside.count; i++)
        run_after(f, inside.at[i], &readers);
    for (int i = 0; i < read.count; i++)
        run_after(f, read.at[i], &inside);
}

static void surround_recurrences(struct fusion *f)
{
    int count = f->p->tensors.count;
    int *known = NEW_ARRAY(f->arena, int, count + 1);

    for (int i = 0; i < count; i++)
        known[i] = f->after[i].count;
    for (int i = 0; i < count; i++) {
        const struct ir_recurrence *recurrence = f->p->tensors.at[i]->recurrence;
        bool met = !recurrence;

        for (int j = 0; j < i && !met; j++)
            met = f->p->tensors.at[j]->recurrence == recurrence;
        if (!met)
            surround_recurrence(f, recurrence, known);
    }
}

/* Larger than all it reads, and only products read it: it is to live no longer than it must. */
static bool is_window_copy(const struct fusion *f, const struct ir_tensor *e)
{
    const tensor_list *readers = &f->uses.readers[e->number];
    const expr_list *reads = &f->uses.reads[e->number];

    if (!is_plain(e) || e->reduction != IR_MAP || !readers->count || f->uses.kept[e->number])
        return false;
    for (int i = 0; i < readers->count; i++)
        if (!is_tiled(f->p, readers->at[i]))
            return false;
    for (int i = 0; i < reads->count; i++)
        if (2 * ir_elements(reads->at[i]->tensor) >= ir_elements(e))
            return false;
    return reads->count > 0;
}

/* What only a product over windows reads, and that product makes an image at a time. */
static struct ir_tensor *frame_for(const struct fusion *f, const struct window_product *w)
{
    struct ir_tensor *t = w->p->tensor;
    struct window_cut cut;

    if (!is_plain(t) || t->reduction != IR_MAP || t->single || f->uses.kept[t->number] ||
        f->uses.readers[t->number].count != 1 || t == w->q->tensor || !window_cut(w, true, &cut))
        return NULL;
    return t;
}

/* The frame goes into the group of its product. */
static void take_frame(struct fusion *f, struct group *group, struct ir_tensor *frame)
{
    group->frame = frame;
    f->members[frame->number] = (struct member){.group = f->members[group->product->number].group};
    f->groups[frame->number].equations = (tensor_list){0};
}

/* What must run after a frame must run after its product: the frame is of no kernel's equations. */
static void hand_on_orders(struct fusion *f)
{
    for (int i = 0; i < f->p->tensors.count; i++) {
        const struct ir_tensor *frame = f->groups[i].frame;
        number_list *after = frame ? &f->after[frame->number] : NULL;

        for (int j = 0; frame && j < after->count; j++)
            if (after->at[j] != i)
                list_add(f->arena, f->after[i], after->at[j]);
        if (frame)
            after->count = 0;
    }
}

static void start_product(struct fusion *f, struct group *group, struct ir_tensor *e)
{
    struct product product;
    struct window_product window;

    if (is_product(f->p, e)) {
        group->product = e;
        group->leads = !e->recurrence && product_match(f->p, e, &product) && product.row_axes == e->rank - 1;
    } else if (f->tiles && is_tiled(f->p, e) && window_match(f->p, e, &window)) {
        struct ir_tensor *frame = frame_for(f, &window);

        group->product = e;
        group->leads = window_leads(e, &window);
        if (frame)
            take_frame(f, group, frame);
    }
}

static void start(struct fusion *f, const number_list *before)
{
    struct ir_program *p = f->p;
    int count = p->tensors.count;

    f->uses = uses_of(f->arena, p);
    f->sources = memo_new(f->arena);
    f->after = NEW_ARRAY(f->arena, number_list, count + 1);
    f->overwrites = NEW_ARRAY(f->arena, const struct ir_tensor *, count + 1);
    f->guards = NEW_ARRAY(f->arena, bool, count + 1);
    f->marks = NEW_ARRAY(f->arena, int, count + 1);
    f->members = NEW_ARRAY(f->arena, struct member, count + 1);
    f->groups = NEW_ARRAY(f->arena, struct group, count + 1);
    for (int i = 0; i < count; i++) {
        struct ir_tensor *e = p->tensors.at[i];

        if (!is_made(e))
            continue;
        for (int j = 0; j < f->uses.readers[i].count; j++)
            if (!is_carried(e, f->uses.readers[i].at[j]))
                list_add(f->arena, f->after[i], f->uses.readers[i].at[j]->number);
        for (int j = 0; j < before[i].count; j++)
            list_add(f->arena, f->after[before[i].at[j]], i);
        f->members[i].group = i;
        list_add(f->arena, f->groups[i].equations, e);
        start_product(f, &f->groups[i], e);
        f->groups[i].recurrence = e->recurrence;
        f->groups[i].alone = e->kind == IR_OPAQUE   ? "an operation that is no equation"
                             : e->targets           ? "a scatter"
                             : f->groups[i].product ? "a matrix product"
                             : is_window_copy(f, e) ? "a copy for a matrix product"
                                                    : NULL;
        f->groups[i].sums_image = !f->groups[i].alone && f->tiles && sums_an_image(f, e);
        if (f->groups[i].sums_image)
            f->groups[i].alone = "a sum over images";
        choose_loops(e, f->groups[i].product == e, &f->members[i], &f->groups[i].depth);
    }
    for (int i = 0; i < p->updates.count; i++)
        if (is_plain(p->updates.at[i].value))
            f->overwrites[p->updates.at[i].value->number] = p->updates.at[i].leaf;
    hand_on_orders(f);
    surround_recurrences(f);
    for (int i = 0; i < p->outputs.count; i++)
        f->guards[p->outputs.at[i].tensor->number] = p->outputs.at[i].guard;
}

/* An update whose value is a leaf gets an equation, so that two leaves may swap. */
static void copy_leaves(struct ir_program *p)
{
    for (int i = 0; i < p->updates.count; i++) {
        struct ir_update *u = &p->updates.at[i];
        const struct ir_form **subscripts = NEW_ARRAY(p->arena, const struct ir_form *, u->leaf->rank + 1);

        if (is_made(u->value))
            continue;
        for (int j = 0; j < u->leaf->rank; j++)
            subscripts[j] = ir_form_index(p, u->leaf->axes[j]);
        u->value =
            ir_equation(p, arena_printf(p->arena, "%s_copy", u->leaf->name), u->leaf->axes, u->leaf->rank, IR_MAP, NULL,
                        0, ir_read(p, u->value, subscripts, u->leaf->rank, NULL), false, u->leaf->origin);
    }
}

void fuse(struct ir_program *p, enum fusing how)
{
    bool enabled = how != FUSE_NOTHING, small = how == FUSE_ALL && is_small_program(p);
    struct fusion f = {.p = p, .arena = arena_new(), .tiles = enabled};
    number_list *before;
    bool *ends;

    copy_leaves(p);
    if (enabled) {
        keep_parts(p);
        hoist_parts(p);
        pack_operands(p);
        if (small)
            turn_operands(p);
        mask_by_signs(p, small);
        reuse_parts(p);
        inline_producers(p, small);
        if (!small)
            sum_by_images(p);
    }
    before = order_updates(p, f.arena);
    start(&f, before);
    if (enabled) {
        ends = find_ends(&f);
        if (small)
            make_sequences(&f);
        join_chains(&f, KEEP_LOOPS, ends);
        join_chains(&f, SHRINK_LOOPS, ends);
        join_images(&f);
        ends = find_ends(&f);
        for (int i = 0; i < p->tensors.count; i++)
            if (ends[i]) {
                join_end(&f, p->tensors.at[i]);
                join_rows(&f, p->tensors.at[i]);
            }
        join_neighbours(&f, SHRINK_LOOPS, ends);
        join_chains(&f, KEEP_LOOPS, NULL);
        join_neighbours(&f, KEEP_LOOPS, NULL);
        join_sources(&f);
    }
    explain_stops(&f);
    order_kernels(&f);
    if (enabled)
        retain_parts(p);
    arena_free(f.arena);
}
