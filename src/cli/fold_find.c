/* fold_find.c: which uses of layers are affine maps along axes in evaluation, and the folding of one after the other.

   A use is folded for all of its places (each pass of a `repeat`, each call of the layer that it stands in) and in all programs of answers
   alike, or not at all. Uses are tried from the outside inwards: what is folded as a whole takes with it what it is made of. */
#include "fold.h"
#include "surgery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- uses ---- */

/* What is made for an argument of the layer stands where the layer is used, and belongs to the text around it. */
static bool is_argument(const struct ir_origin *o)
{
    return !strcmp(o->file ? o->file : "", o->caller->file ? o->caller->file : "") && o->begin == o->caller->begin && o->end == o->caller->end;
}

static struct use *use_of(struct folding *f, const struct ir_origin *at)
{
    struct use *use;

    for (int i = 0; i < f->uses.count; i++) {
        const struct ir_origin *o = f->uses.at[i]->origin;

        if (o->begin == at->begin && o->end == at->end && !strcmp(o->file, at->file))
            return f->uses.at[i];
    }
    use = NEW(f->arena, struct use);
    use->origin = at;
    for (const struct ir_origin *o = at->caller; o; o = o->caller)
        use->depth++;
    list_add(f->arena, f->uses, use);
    return use;
}

static void note_tensor(struct folding *f, const struct ir_tensor *t)
{
    for (const struct ir_origin *o = t->origin; o && o->caller; o = o->caller) {
        struct use *use;
        bool known = false;

        if (!o->caller->file || is_argument(o))
            continue;
        use = use_of(f, o->caller);
        for (int i = 0; i < use->paths.count && !known; i++)
            known = !strcmp(use->paths.at[i], o->path);
        if (!known)
            list_add(f->arena, use->paths, o->path);
    }
}

static int by_depth(const void *a, const void *b)
{
    const struct use *one = *(struct use *const *)a, *other = *(struct use *const *)b;
    int files = strcmp(one->origin->file, other->origin->file);

    if (one->depth != other->depth)
        return one->depth - other->depth;
    return files ? files : one->origin->begin - other->origin->begin;
}

/* ---- one place of a use in one program ---- */

static bool stands_under(const struct ir_tensor *t, const struct use *use, const char *path)
{
    for (const struct ir_origin *o = t->origin; o && o->caller; o = o->caller)
        if (!is_argument(o) && !strcmp(o->path, path) && o->caller->begin == use->origin->begin && o->caller->end == use->origin->end &&
            !strcmp(o->caller->file, use->origin->file))
            return true;
    return false;
}

struct layer {
    struct reading *r;
    bool *inside;               /* by number: is made by the layer */
    bool owns;                  /* a parameter or state */
    bool sums;                  /* something over an axis of them */
    struct ir_tensor *x, *y;
    bool several;
    const char *why;
};

static void note_inner_read(const struct ir_expr *read, void *context)
{
    struct layer *l = context;
    struct ir_tensor *t = reading_tensor(l->r, read->tensor);

    if (l->inside[t->number] || l->r->constant[t->number])
        return;
    l->several |= l->x && l->x != t;
    l->x = t;
}

static void note_outer_read(const struct ir_expr *read, void *context)
{
    struct layer *l = context;
    struct ir_tensor *t = reading_tensor(l->r, read->tensor);

    if (!l->inside[t->number] || l->r->constant[t->number])
        return;
    l->several |= l->y && l->y != t;
    l->y = t;
}

struct summing {
    struct layer *l;
    const struct ir_tensor *equation;
};

static void note_summed(const struct ir_expr *read, void *context)
{
    struct summing *s = context;

    for (int i = 0; i < read->tensor->rank && s->l->inside[read->tensor->number]; i++)
        for (int k = 0; k < s->equation->reduced_count; k++)
            s->l->sums |= (read->tensor->kind == IR_PARAMETER || read->tensor->kind == IR_STATE) &&
                          ir_form_mentions(read->subscripts[i], s->equation->reduced[k]);
}

static void look_at_layer(struct layer *l, const struct use *use, const char *path)
{
    const struct ir_program *p = l->r->p;

    l->inside = NEW_ARRAY(l->r->arena, bool, p->tensors.count + 1);
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];

        l->inside[i] = !l->r->gone[i] && stands_under(t, use, path);
        l->owns |= l->inside[i] && (t->kind == IR_PARAMETER || t->kind == IR_STATE);
    }
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        struct summing summing = {l, t};

        if (l->r->gone[i] || t->kind != IR_EQUATION)
            continue;
        ir_reads(t->value, l->inside[i] ? note_inner_read : note_outer_read, l);
        if (l->inside[i])
            ir_reads(t->value, note_summed, &summing);
    }
    for (int i = 0; i < p->outputs.count; i++) {
        struct ir_tensor *t = reading_tensor(l->r, p->outputs.at[i].tensor);

        if (l->inside[t->number]) {
            l->several |= l->y && l->y != t;
            l->y = t;
        }
    }
}

static bool has_batch(const struct ir_tensor *t)
{
    for (int i = 0; i < t->rank; i++)
        if (t->axes[i]->batch)
            return true;
    return false;
}

static bool same_shape(const struct ir_tensor *a, const struct ir_tensor *b)
{
    bool same = a->rank == b->rank;

    for (int i = 0; same && i < a->rank; i++)
        same = a->axes[i]->extent == b->axes[i]->extent && a->axes[i]->batch == b->axes[i]->batch;
    return same;
}

/* y as scale * x + shift, by element. */
static bool find_affine(struct layer *l, struct affine *out)
{
    const struct ir_program *p = l->r->p;
    struct arena *arena = l->r->arena;
    struct pair **pairs = NEW_ARRAY(arena, struct pair *, p->tensors.count + 1);
    double *scale, *shift, *both;
    int64_t count = sample_elements(l->y);

    for (int i = 0; i <= l->y->number; i++) {
        struct ir_tensor *t = p->tensors.at[i];

        if (!l->inside[i] || t->kind == IR_PARAMETER || t->kind == IR_STATE || l->r->constant[i])
            continue;
        if (t->kind != IR_EQUATION || t->reduction != IR_MAP || t->recurrence || t->targets || !same_shape(t, l->x)) {
            l->why = arena_printf(arena, "%s is a statistic of %s", t->name, has_batch(t) ? "the sample" : "the batch");
            return false;
        }
        pairs[i] = NEW_ARRAY(arena, struct pair, sample_elements(t) + 1);
        for (int64_t e = 0; e < sample_elements(t); e++) {
            struct point point = {.r = l->r, .equation = t, .of = l->x, .pairs = pairs};

            set_element(l->r, t, e);
            pairs[i][e] = pair_at(&point, t->value);
            if (point.why) {
                l->why = arena_printf(arena, "%s: %s", t->name, point.why);
                return false;
            }
        }
    }
    scale = NEW_ARRAY(arena, double, count + 1);
    shift = NEW_ARRAY(arena, double, count + 1);
    for (int64_t e = 0; e < count; e++) {
        scale[e] = pairs[l->y->number][e].scale;
        shift[e] = pairs[l->y->number][e].shift;
    }
    both = shift;
    *out = (struct affine){.x = l->x, .y = l->y, .scale = vary(arena, l->y, scale, both), .shift = vary(arena, l->y, shift, scale)};
    return true;
}

/* ---- changes ---- */

struct undo {
    struct numbers *numbers;
    double *was;
};
typedef LIST(struct undo) undo_list;

static void change_numbers(struct folding *f, struct numbers *n, const struct change *c, undo_list *undo)
{
    int64_t count = tensor_count(n->stored);
    double *now = NEW_ARRAY(f->arena, double, count + 1);

    for (int64_t k = 0; k < count; k++)
        now[k] = (c->factor ? c->factor[k] : 1) * n->at[k] + (c->term ? c->term[k] : 0);
    list_add(f->arena, *undo, (struct undo){n, n->at});
    n->at = now;
}

/* Where answers read a state of a parameter, its average, the parameter changes alike. */
static void apply(struct folding *f, const change_list *changes, undo_list *undo)
{
    for (int i = 0; i < changes->count; i++) {
        const struct change *c = &changes->at[i];
        struct numbers *n = map_get(f->numbers, c->name);

        change_numbers(f, n, c, undo);
        for (size_t k = strlen(c->name); k-- > 0;) {
            struct numbers *of = c->name[k] == '.' ? map_get(f->numbers, arena_slice(f->arena, c->name, k)) : NULL;

            if (of && tensor_count(of->stored) == tensor_count(n->stored))
                change_numbers(f, of, c, undo);
        }
    }
}

static bool equal_changes(const struct folding *f, const change_list *a, const change_list *b)
{
    bool equal = a->count == b->count;

    for (int i = 0; i < a->count && equal; i++) {
        const struct change *one = &a->at[i], *other = &b->at[i];
        const struct numbers *n = map_get(f->numbers, one->name);
        size_t bytes = sizeof(double) * (size_t)tensor_count(n->stored);

        equal = !strcmp(one->name, other->name) && !one->factor == !other->factor && !one->term == !other->term &&
                (!one->factor || !memcmp(one->factor, other->factor, bytes)) && (!one->term || !memcmp(one->term, other->term, bytes));
    }
    return equal;
}

static bool reads_changed(const struct reading *r, const change_list *changes)
{
    for (int i = 0; i < r->p->tensors.count; i++)
        for (int k = 0; k < changes->count; k++)
            if (!strcmp(r->p->tensors.at[i]->name, changes->at[k].name))
                return true;
    return false;
}

/* ---- folding ---- */

/* The place in one program: the changes, and y as x from then on. False: it is not there, or *why is said. */
static bool fold_in(struct folding *f, struct reading *r, struct use *use, const char *path, change_list *out, const char **why)
{
    struct layer l = {.r = r};
    struct affine affine;
    const char *before, *after;

    look_at_layer(&l, use, path);
    if (!l.y)
        return false; /* of another program, or gone with what it stands in */
    if (!l.owns || !l.x || l.several || l.sums || !same_shape(l.x, l.y)) {
        *why = "it is no map of one value to another of its shape";
        return false;
    }
    use->normaliser = true;
    if (!find_affine(&l, &affine)) {
        *why = l.why;
        return false;
    }
    for (int i = 0; i < r->p->tensors.count; i++)
        r->gone[i] |= l.inside[i];
    reading_update(r);
    before = absorb_before(r, &affine, out);
    if (before) {
        out->count = 0;
        after = absorb_after(r, &affine, out);
        if (after)
            *why = arena_printf(f->arena, "before it: %s; behind it: %s", before, after);
    }
    r->stands[affine.y->number] = affine.x;
    return !*why;
}

static const char *fold_place(struct folding *f, struct use *use, const char *path, undo_list *undo, bool *any)
{
    change_list changes = {0};
    const char *why = NULL;
    bool found = false, *has = NEW_ARRAY(f->arena, bool, f->readings.count + 1);

    for (int i = 0; i < f->readings.count && !why; i++) {
        change_list these = {0};

        has[i] = fold_in(f, f->readings.at[i], use, path, &these, &why);
        if (has[i] && found && !equal_changes(f, &changes, &these))
            return "two models want different changes of the same parameters";
        if (has[i] && !found)
            changes = these;
        found |= has[i];
    }
    for (int i = 0; i < f->readings.count && !why; i++)
        if (!has[i] && reads_changed(f->readings.at[i], &changes))
            why = arena_printf(f->arena, "%s reads the same parameters without it", f->readings.at[i]->p->name);
    if (why)
        return why;
    *any |= found;
    apply(f, &changes, undo);
    for (int i = 0; i < f->readings.count; i++)
        reading_update(f->readings.at[i]);
    return NULL;
}

static void fold_use(struct folding *f, struct use *use)
{
    undo_list undo = {0};
    bool any = false;
    struct reading *kept = NEW_ARRAY(f->arena, struct reading, f->readings.count + 1);

    for (int i = 0; i < f->readings.count; i++) {
        int count = f->readings.at[i]->p->tensors.count;

        kept[i].gone = arena_copy(f->arena, f->readings.at[i]->gone, sizeof *kept->gone * (size_t)count);
        kept[i].stands = arena_copy(f->arena, f->readings.at[i]->stands, sizeof *kept->stands * (size_t)count);
    }
    for (int i = 0; i < use->paths.count && !use->why; i++)
        use->why = fold_place(f, use, use->paths.at[i], &undo, &any);
    if (!use->why && any)
        use->why = use->obstacle;
    use->folded = !use->why && any;
    f->folded += use->folded;
    if (!use->why)
        return;
    while (undo.count--)
        undo.at[undo.count].numbers->at = undo.at[undo.count].was;
    for (int i = 0; i < f->readings.count; i++) {
        struct reading *r = f->readings.at[i];

        memcpy(r->gone, kept[i].gone, sizeof *kept->gone * (size_t)r->p->tensors.count);
        memcpy(r->stands, kept[i].stands, sizeof *kept->stands * (size_t)r->p->tensors.count);
        reading_update(r);
    }
}

void fold_find_uses(struct folding *f)
{
    for (int i = 0; i < f->axes->answers.count; i++) {
        const struct ir_program *p = f->axes->answers.at[i];

        list_add(f->arena, f->readings, reading_new(f->arena, p, f->axes->unit, f->numbers));
        for (int k = 0; k < p->tensors.count; k++)
            note_tensor(f, p->tensors.at[k]);
    }
    if (f->uses.count)
        qsort(f->uses.at, (size_t)f->uses.count, sizeof *f->uses.at, by_depth);
}

void fold_uses(struct folding *f)
{
    for (int i = 0; i < f->uses.count; i++)
        fold_use(f, f->uses.at[i]);
}
