/* image.c: sums over what a product over windows makes, image by image: statistics of channels, and what their gradients sum.

   requires: no kernels yet. maintains: every value; sums are in another order, sums about a mean rounded otherwise. breaks: adds
   equations. A product over windows is made an image at a time (window.c). Of

       m[c] = (sum[b, p, q] z[b, p, q, c]) / 4096
       v[c] = sum[b, p, q] (z[b, p, q, c] - m[c]) * (z[b, p, q, c] - m[c])

   the image's share is summed while its z is in the caches, in the kernel that makes z (join_images); what is about the mean of
   all images first about the image's own (Chan, Golub and LeVeque 1983):

       s[b, c] = sum[p, q] z[b, p, q, c]
       u[b, c] = sum[p, q] (z[b, p, q, c] - s[b, c] / 256) * (z[b, p, q, c] - s[b, c] / 256)
       m[c]    = (sum[b] s[b, c]) / 4096
       v[c]    = sum[b] (u[b, c] + 256 * (s[b, c] / 256 - m[c]) * (s[b, c] / 256 - m[c]))

   so that z need not be read again for either. Where sums leave the range of numbers, v may be NaN that was infinite. */
#include "internal.h"

enum { FURTHEST = 4 }; /* maps between a product and a sum of what they make of it */

/* A product over windows and the axes by which it is read: of the reader, or NULL. */
struct source {
    struct ir_tensor *product;
    struct ir_index *at[MOST_LOOPS];
    int images; /* the first axes are whole images' */
};

int whole_images(const struct ir_program *p, const struct ir_tensor *q, bool framed)
{
    struct window_product w;
    struct window_cut cut;

    if (!is_plain(q) || q->reduction != IR_SUM || q->rank < 3 || is_product(p, q) || !is_tiled(p, q) ||
        !window_match(p, q, &w) || !window_leads(q, &w) || !window_cut(&w, framed, &cut) || cut.sums || cut.bands > 1)
        return 0;
    for (int i = 0; i < w.count; i++)
        if (w.loops[i].role == WINDOW_BATCH)
            return 0;
    for (int i = 0; i < cut.images; i++)
        if (w.loops[cut.image[i]].index != q->axes[i])
            return 0;
    return cut.images + 1 < q->rank ? cut.images : 0;
}

/* At an index each, of which no two are the same: a sum over them takes all of it. */
static bool reads_at_indices(const struct ir_expr *read)
{
    for (int i = 0; i < read->tensor->rank; i++) {
        const struct ir_index *index = ir_form_bare(read->subscripts[i]);

        if (!index || index->extent != read->tensor->axes[i]->extent)
            return false;
        for (int k = 0; k < i; k++)
            if (ir_form_bare(read->subscripts[k]) == index)
                return false;
    }
    return !read->otherwise;
}

/* Looks for sources. met: of tensors the sources by their own axes, or &none. */
struct origins {
    const struct ir_program *p;
    struct arena *arena;
    struct memo *met;
};
static const struct source none;

static const struct source *source_of(struct origins *o, struct ir_tensor *t);

/* Of the products over windows that t reads, itself or through maps, at its own indices, the one made last. */
static bool last_source(struct origins *o, const struct ir_tensor *t, struct source *out)
{
    expr_list reads = {0};
    bool found = false;

    collect_reads(o->arena, t->value, &reads);
    for (int i = 0; i < reads.count; i++) {
        const struct ir_expr *read = reads.at[i];
        const struct source *s;

        if (read->tensor->kind != IR_EQUATION || !reads_at_indices(read) || !(s = source_of(o, read->tensor)) ||
            (found && s->product->number <= out->product->number))
            continue;
        *out = *s;
        found = true;
        for (int k = 0; k < s->product->rank; k++)
            for (int a = 0; a < read->tensor->rank; a++)
                if (s->at[k] == read->tensor->axes[a])
                    out->at[k] = ir_form_bare(read->subscripts[a]);
    }
    return found;
}

/* A product over windows is its own source; NULL: t has none. */
static const struct source *source_of(struct origins *o, struct ir_tensor *t)
{
    const struct source *known = *memo_at(o->met, t);
    struct source *s = NULL;

    if (known)
        return known == &none ? NULL : known;
    if (is_plain(t) && t->reduction == IR_MAP) {
        s = NEW(o->arena, struct source);
        s = last_source(o, t, s) ? s : NULL;
    } else if (is_plain(t) && t->rank <= MOST_LOOPS) {
        int images = whole_images(o->p, t, true);

        if (images && whole_images(o->p, t, false) == images) {
            s = NEW(o->arena, struct source);
            s->product = t;
            s->images = images;
            for (int i = 0; i < t->rank; i++)
                s->at[i] = t->axes[i];
        }
    }
    *memo_at(o->met, t) = s ? s : &none;
    return s;
}

/* A sum over all images of a product's own numbers, and over each of them. */
struct total {
    const struct ir_tensor *all;
    struct ir_tensor *each;
    const struct ir_tensor *product;
};
struct imaging {
    struct ir_program *p;
    LIST(struct total) totals;
    struct arena *arena;
    struct origins origins;
};

/* Does e want nothing behind the product but maps of its numbers? */
static bool follows(const struct ir_program *p, struct arena *arena, const struct ir_tensor *e, const struct ir_tensor *product,
                    int depth)
{
    expr_list reads = {0};

    collect_reads(arena, e->value, &reads);
    for (int i = 0; i < reads.count; i++) {
        const struct ir_tensor *t = reads.at[i]->tensor;

        if (is_made(t) && t->number > product->number &&
            (depth == FURTHEST || !is_plain(t) || t->reduction != IR_MAP || !reads_at_indices(reads.at[i]) ||
             !follows(p, arena, t, product, depth + 1)))
            return false;
    }
    return true;
}

/* Is e a sum over all that the source has but its columns? */
static bool sums_all(const struct ir_tensor *e, const struct source *s)
{
    int rank = s->product->rank;

    if (e->rank != 1 || e->reduced_count != rank - 1 || e->axes[0] != s->at[rank - 1])
        return false;
    for (int i = 0; i + 1 < rank; i++)
        if (!ir_is_among(e->reduced, e->reduced_count, s->at[i]))
            return false;
    return true;
}

static int64_t image_points(const struct source *s)
{
    return ir_extent_product(s->at + s->images, s->product->rank - 1 - s->images);
}

/* The image's share of e with that value. */
static struct ir_tensor *add_share(struct imaging *im, struct ir_tensor *e, const struct source *s, const struct ir_expr *value)
{
    int rank = s->product->rank, inside = rank - 1 - s->images;
    struct ir_index **axes = NEW_ARRAY(im->p->arena, struct ir_index *, s->images + 1);
    struct ir_index **reduced = NEW_ARRAY(im->p->arena, struct ir_index *, inside);

    for (int i = 0; i < s->images; i++)
        axes[i] = s->at[i];
    axes[s->images] = s->at[rank - 1];
    for (int i = 0; i < inside; i++)
        reduced[i] = s->at[s->images + i];
    struct ir_tensor *share = ir_equation(im->p, arena_printf(im->p->arena, "%s.image", e->name), axes, s->images + 1, IR_SUM,
                                          reduced, inside, value, false, e->origin);
    insert_before(im->p, e, share);
    return share;
}

static const struct ir_expr *read_share(struct imaging *im, struct ir_tensor *share, const struct source *s)
{
    const struct ir_form **at = NEW_ARRAY(im->p->arena, const struct ir_form *, s->images + 1);

    for (int i = 0; i < s->images; i++)
        at[i] = ir_form_index(im->p, s->at[i]);
    at[s->images] = ir_form_index(im->p, s->at[s->product->rank - 1]);
    return ir_read(im->p, share, at, s->images + 1, NULL);
}

/* From now on e sums that over the images. */
static void sum_shares(struct imaging *im, struct ir_tensor *e, const struct source *s, const struct ir_expr *value)
{
    e->reduced = NEW_ARRAY(im->p->arena, struct ir_index *, s->images);
    e->reduced_count = s->images;
    for (int i = 0; i < s->images; i++)
        e->reduced[i] = s->at[i];
    e->value = value;
}

/* ---- about the mean ---- */

/* x - m[c], of the product's own numbers x and their mean m? *mean: the read of m; returns the sum that the mean is of. */
static const struct total *is_deviation(const struct imaging *im, const struct ir_expr *e, const struct source *s,
                                        const struct ir_expr **mean)
{
    if (e->kind != IR_APPLY || e->op != IR_subtract)
        return NULL;
    const struct ir_expr *x = e->arguments[0], *m = e->arguments[1];
    if (x->kind != IR_READ || x->tensor != s->product || m->kind != IR_READ || m->otherwise || m->tensor->rank != 1 ||
        !is_plain(m->tensor) || m->tensor->reduction != IR_MAP ||
        ir_form_bare(m->subscripts[0]) != s->at[s->product->rank - 1])
        return NULL;
    const struct ir_expr *value = m->tensor->value;
    if (value->kind != IR_APPLY || (value->op != IR_divide && value->op != IR_multiply))
        return NULL;
    bool second = value->op == IR_multiply && value->arguments[0]->kind == IR_CONSTANT;
    const struct ir_expr *sum = value->arguments[second], *count = value->arguments[!second];
    double points = (double)(ir_elements(s->product) / s->product->axes[s->product->rank - 1]->extent);
    if (sum->kind != IR_READ || sum->otherwise || count->kind != IR_CONSTANT ||
        count->number != (value->op == IR_divide ? points : 1 / points) || !reads_at_axes(sum, m->tensor->axes))
        return NULL;
    for (int i = 0; i < im->totals.count; i++)
        if (im->totals.at[i].all == sum->tensor && im->totals.at[i].product == s->product) {
            *mean = m;
            return &im->totals.at[i];
        }
    return NULL;
}

/* A sum of deviations, or of their squares, by images. */
static bool split_deviations(struct imaging *im, struct ir_tensor *e, const struct source *s)
{
    struct ir_program *p = im->p;
    bool squares = e->value->kind == IR_APPLY && e->value->op == IR_multiply && e->value->arguments[0] == e->value->arguments[1];
    const struct ir_expr *deviation = squares ? e->value->arguments[0] : e->value, *mean;
    const struct total *total = is_deviation(im, deviation, s, &mean);

    if (!total)
        return false;
    const struct ir_expr *points = ir_real(p, (double)image_points(s)), *sum = read_share(im, total->each, s);
    if (!squares) {
        sum_shares(im, e, s, ir_apply(p, IR_subtract, sum, ir_apply(p, IR_multiply, points, mean, NULL), NULL));
        return true;
    }
    const struct ir_expr *own = ir_apply(p, IR_divide, sum, points, NULL);
    const struct ir_expr *inside = ir_apply(p, IR_subtract, deviation->arguments[0], own, NULL);
    const struct ir_expr *outside = ir_apply(p, IR_subtract, own, mean, NULL);
    struct ir_tensor *share = add_share(im, e, s, ir_apply(p, IR_multiply, inside, inside, NULL));
    outside = ir_apply(p, IR_multiply, ir_apply(p, IR_multiply, points, outside, NULL), outside, NULL);
    sum_shares(im, e, s, ir_apply(p, IR_add, read_share(im, share, s), outside, NULL));
    return true;
}

/* ---- the sums ---- */

static void split_sum(struct imaging *im, struct ir_tensor *e)
{
    struct source s;

    if (!last_source(&im->origins, e, &s) || !sums_all(e, &s) || split_deviations(im, e, &s) ||
        !follows(im->p, im->arena, e, s.product, 0))
        return;
    bool own = e->value->kind == IR_READ && e->value->tensor == s.product;
    struct ir_tensor *share = add_share(im, e, &s, e->value);
    sum_shares(im, e, &s, read_share(im, share, &s));
    if (own)
        list_add(im->arena, im->totals, (struct total){e, share, s.product});
}

void sum_by_images(struct ir_program *p)
{
    struct imaging im = {.p = p, .arena = arena_new()};

    im.origins = (struct origins){p, im.arena, memo_new(im.arena)};

    for (int i = 0; i < p->tensors.count; i++) {
        struct ir_tensor *e = p->tensors.at[i];

        if (!is_plain(e) || e->reduction != IR_SUM || e->whole || e->single || e->rank != 1 || e->reduced_count < 2)
            continue;
        split_sum(&im, e);
        i = e->number; /* shares were put before it */
    }
    arena_free(im.arena);
}

/* ---- into the product's kernel ---- */

/* Is e a sum over each image of the source, for each of its columns? */
static bool sums_each(const struct ir_tensor *e, const struct source *s)
{
    int rank = s->product->rank;

    if (e->rank != s->images + 1 || e->reduced_count != rank - 1 - s->images || e->axes[s->images] != s->at[rank - 1])
        return false;
    for (int i = 0; i < s->images; i++)
        if (e->axes[i] != s->at[i])
            return false;
    for (int i = s->images; i + 1 < rank; i++)
        if (!ir_is_among(e->reduced, e->reduced_count, s->at[i]))
            return false;
    return true;
}

static bool may_sum_images(const struct ir_program *p, const struct ir_tensor *e)
{
    return is_plain(e) && e->reduction == IR_SUM && !e->whole && !e->single && e->rank > 1 && e->reduced_count &&
           !is_tiled(p, e);
}

static bool find_image(struct fusion *f, const struct ir_tensor *e, struct source *s)
{
    struct origins o = {f->p, f->arena, f->sources};

    return may_sum_images(f->p, e) && last_source(&o, e, s) && sums_each(e, s);
}

bool sums_an_image(struct fusion *f, const struct ir_tensor *e)
{
    struct source s;

    return find_image(f, e, &s);
}

static bool reads_drawn_rows(const struct fusion *f, const struct ir_tensor *e)
{
    for (int i = 0; i < f->uses.reads[e->number].count; i++) {
        const struct ir_tensor *t = f->uses.reads[e->number].at[i]->tensor;

        if (t->kind == IR_DRAW && t->rank > 0)
            return true;
    }
    return false;
}

/* Is what e reads of the product's group made where e reads it: at e's own point, or for e's own image and column? What sums of
   the image are read for goes over the image again: maps of it are gone then. */
static bool is_at_hand(const struct fusion *f, const struct member *own, const struct ir_expr *read, int depth)
{
    const struct ir_tensor *t = read->tensor;
    const struct member *m = &f->members[t->number];

    if (read->otherwise || (t->reduction != IR_MAP && t != f->groups[m->group].product && !m->by_image))
        return false;
    for (int a = 0; a < t->rank; a++) {
        int slot = 0;

        while (slot < depth && m->slot[slot] != t->axes[a])
            slot++;
        if (slot == depth || ir_form_bare(read->subscripts[a]) != own->slot[slot])
            return false;
    }
    return true;
}

static bool may_join_images(struct fusion *f, const struct ir_tensor *e, const struct source *s, struct member *own)
{
    int g = f->members[s->product->number].group, mine = f->members[e->number].group;
    const struct group *group = &f->groups[g];

    if (group->product != s->product || group->depth != s->product->rank || group->equations.count >= MOST_EQUATIONS ||
        whole_images(f->p, s->product, group->frame != NULL) != s->images || waits_for_guards(f, g, mine))
        return false;
    *own = (struct member){.group = mine, .by_image = true};
    for (int k = 0; k < group->depth; k++)
        for (int a = 0; a < s->product->rank; a++)
            if (f->members[s->product->number].slot[k] == s->product->axes[a])
                own->slot[k] = s->at[a];
    for (int i = 0; i < group->equations.count; i++)
        if (f->overwrites[group->equations.at[i]->number] || reads_drawn_rows(f, group->equations.at[i]))
            return false;
    bool maps = false, sums = false;
    for (int i = 0; i < f->uses.reads[e->number].count; i++) {
        const struct ir_expr *read = f->uses.reads[e->number].at[i];
        const struct ir_tensor *t = read->tensor;

        if (!is_made(t) || f->members[t->number].group != g)
            continue;
        if (!is_at_hand(f, own, read, group->depth))
            return false;
        maps |= t->reduction == IR_MAP;
        sums |= f->members[t->number].by_image;
    }
    return !(maps && sums) && !reads_drawn_rows(f, e) && !way_outside(f, g, mine);
}

void join_images(struct fusion *f)
{
    for (int i = 0; i < f->p->tensors.count; i++) {
        struct ir_tensor *e = f->p->tensors.at[i];
        struct member own;
        struct source s;

        if (!is_made(e) || !f->groups[i].sums_image)
            continue;
        f->groups[i].alone = NULL;
        if (!find_image(f, e, &s) || !may_join_images(f, e, &s, &own))
            continue;
        f->members[i] = own;
        merge_groups(f, f->members[s.product->number].group, i);
    }
}

/* ---- what frames are made of ---- */

struct framed {
    const struct ir_tensor *frame;
    const struct ir_tensor *source;
    int images;
    bool by_image;
};

static void check_image(const struct ir_expr *read, void *context)
{
    struct framed *framed = context;

    if (read->tensor != framed->source)
        return;
    framed->by_image &= read->tensor->rank > framed->images;
    for (int i = 0; framed->by_image && i < framed->images; i++)
        framed->by_image = ir_form_bare(read->subscripts[i]) == framed->frame->axes[i] &&
                           read->tensor->axes[i]->extent == framed->frame->axes[i]->extent;
}

static bool reads_of_group(const struct fusion *f, int g, const struct ir_tensor *t)
{
    for (int i = 0; i < f->groups[g].equations.count; i++) {
        const expr_list *reads = &f->uses.reads[f->groups[g].equations.at[i]->number];

        for (int k = 0; k < reads->count; k++)
            if (reads->at[k]->tensor == t)
                return true;
    }
    return false;
}

/* Is t, of which the frame of group g is made, a map that the group may make and store before the frame? */
static bool may_be_source(struct fusion *f, int g, struct ir_tensor *t)
{
    const struct group *group = &f->groups[g];
    int own = is_made(t) ? f->members[t->number].group : -1;
    struct framed framed = {group->frame, t, 0, true};

    if (own < 0 || own == g || !is_plain(t) || t->reduction != IR_MAP || t->whole || t->single ||
        f->groups[own].equations.count != 1 || f->groups[own].alone || f->overwrites[t->number] ||
        ir_elements(t) < ir_elements(group->product) || reads_drawn_rows(f, t) || waits_for_guards(f, g, own) ||
        group->equations.count >= MOST_EQUATIONS || reads_of_group(f, g, t))
        return false;
    framed.images = whole_images(f->p, group->product, true);
    if (!framed.images)
        return false;
    ir_reads(group->frame->value, check_image, &framed);
    for (int i = 0; i < f->uses.reads[t->number].count; i++) {
        const struct ir_expr *read = f->uses.reads[t->number].at[i];

        if (is_made(read->tensor) && f->members[read->tensor->number].group == g)
            return false;
    }
    return framed.by_image && !way_outside(f, own, g);
}

void join_sources(struct fusion *f)
{
    for (int g = 0; g < f->p->tensors.count; g++) {
        struct group *group = &f->groups[g];
        expr_list reads = {0};

        if (!group->frame || !group->equations.count)
            continue;
        collect_reads(f->arena, group->frame->value, &reads);
        for (int i = 0; i < reads.count && !group->source; i++) {
            struct ir_tensor *t = reads.at[i]->tensor;

            if (!may_be_source(f, g, t))
                continue;
            group->source = t;
            merge_groups(f, g, f->members[t->number].group);
        }
    }
}
