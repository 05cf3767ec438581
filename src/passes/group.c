/* group.c: sets of equations that become one kernel, and when two of them may be joined.

   A group has `depth` parallel loops; member.slot[k] is the index of its own that an equation runs along loop k. An
   equation whose slots are outputs is made anew at each point; one whose slots are reduced is made in parts. Joining
   two groups keeps those loops that both share, found from how one reads what the other makes (or from how both read
   one tensor): a loop survives only if every such read is at the very index, so that a point needs nothing of another
   point. */
#include "internal.h"

/* Below this many points a kernel is not worth sharing among threads, so its parallel loops may be short. */
enum { SMALL_WORK = 32768, FEWEST_PARTS = 8, LANES = 16, MOST_PARTIAL = 16384 };
/* Joining saves a launch and a few bytes: of so many points, so many times the other kernel's, that is nothing. */
enum { LARGE_WORK = 1 << 20, LARGE_SHARE = 256, LONG_COLUMNS = 512, LONG_WORK = 1 << 19, OWN_WORK = 1 << 16 };

struct pairing {
    int count;
    struct {
        int a, b;
    } at[MOST_LOOPS];
    bool constrained; /* some read has restricted it; before that it stands for everything */
};

bool may_be_in_parts(const struct ir_tensor *e)
{
    return (e->reduction == IR_SUM || e->reduction == IR_PRODUCT || e->reduction == IR_MAXIMUM ||
            e->reduction == IR_MINIMUM) &&
           ir_elements(e) <= MOST_PARTIAL;
}

static void set_loops(const struct ir_tensor *e, bool in_parts, struct member *member, int *depth)
{
    *depth = in_parts ? e->reduced_count : e->rank;
    if (*depth > MOST_LOOPS)
        bug("equation %s has more than %d loops", e->name, MOST_LOOPS);
    member->in_parts = in_parts;
    for (int i = 0; i < *depth; i++)
        member->slot[i] = in_parts ? e->reduced[i] : e->axes[i];
}

/* Too few results to share among threads, each of so many numbers that parts of them pay. */
static bool is_tall(const struct ir_tensor *e)
{
    int64_t outputs = ir_elements(e), reduced = ir_extent_product(e->reduced, e->reduced_count);

    return outputs < FEWEST_PARTS * LANES && reduced >= 64 * outputs && outputs * reduced > SMALL_WORK / 4;
}

struct largest_read {
    const struct ir_expr *read;
    int64_t elements;
};

static void find_largest(const struct ir_expr *read, void *context)
{
    struct largest_read *largest = context;
    int64_t elements = read->tensor->kind == IR_DRAW ? 0 : ir_elements(read->tensor);

    if (read->tensor->rank && elements > largest->elements)
        *largest = (struct largest_read){read, elements};
}

/* Sums down many long columns: their rows lie far apart, a line or two of each is no stream. Rather whole rows, some to each
   thread. A parameter's rows too, if there are fewer of them: its update is shared by rows, so each stay in one core's cache. */
static bool has_long_columns(const struct ir_tensor *e)
{
    int64_t reduced = ir_extent_product(e->reduced, e->reduced_count);
    struct largest_read largest = {0};

    if (!e->rank || reduced < LONG_COLUMNS)
        return false;
    ir_reads(e->value, find_largest, &largest);
    return largest.read && reduced * ir_elements(e) >= (largest.read->tensor->kind == IR_PARAMETER ? OWN_WORK : LONG_WORK) &&
           ir_form_bare(largest.read->subscripts[largest.read->tensor->rank - 1]) == e->axes[e->rank - 1];
}

void choose_loops(const struct ir_tensor *e, bool product, struct member *member, int *depth)
{
    if (e->kind == IR_OPAQUE || e->targets) {
        *depth = 0;
        return;
    }
    if (e->recurrence) {
        set_loops(e, false, member, depth);
        for (int i = e->time; i + 1 < *depth; i++)
            member->slot[i] = member->slot[i + 1];
        --*depth;
        return;
    }
    bool rather = e->rank == 0 || (!product && (is_tall(e) || has_long_columns(e)));

    set_loops(e, rather && e->reduction != IR_MAP && may_be_in_parts(e), member, depth);
}

static int slot_of(const struct fusion *f, const struct ir_tensor *e, int depth, const struct ir_index *index)
{
    const struct member *m = &f->members[e->number];

    for (int i = 0; index && i < depth; i++)
        if (m->slot[i] == index)
            return i;
    return -1;
}

static void restrict_pairs(struct pairing *p, const struct pairing *to)
{
    int count = 0;

    if (!p->constrained) {
        *p = *to;
        p->constrained = true;
        return;
    }
    for (int i = 0; i < p->count; i++)
        for (int j = 0; j < to->count; j++)
            if (p->at[i].a == to->at[j].a && p->at[i].b == to->at[j].b) {
                p->at[count++] = p->at[i];
                break;
            }
    p->count = count;
}

static void add_pair(struct pairing *p, int a, int b)
{
    for (int i = 0; i < p->count; i++)
        if (p->at[i].a == a || p->at[i].b == b)
            return;
    if (a >= 0 && b >= 0) {
        p->at[p->count].a = a;
        p->at[p->count++].b = b;
    }
}

/* The loops of the writer (whose outputs are axes) at whose very index the reader reads. */
static struct pairing aligned(const struct fusion *f, const struct ir_tensor *writer, const struct ir_tensor *reader,
                              const struct ir_expr *read, bool writer_is_a)
{
    const struct group *gw = &f->groups[f->members[writer->number].group];
    const struct group *gr = &f->groups[f->members[reader->number].group];
    struct pairing p = {0};

    for (int i = 0; i < writer->rank; i++) {
        struct ir_index *index = ir_form_bare(read->subscripts[i]);
        int w = slot_of(f, writer, gw->depth, writer->axes[i]), r = slot_of(f, reader, gr->depth, index);

        if (index && index->extent == writer->axes[i]->extent)
            add_pair(&p, writer_is_a ? w : r, writer_is_a ? r : w);
    }
    return p;
}

/* What readers in group r demand of writers in group w. false: a writer is complete only when its kernel ends. */
static bool demands(const struct fusion *f, int w, int r, bool writer_is_a, struct pairing *p,
                    const struct ir_tensor **culprit)
{
    const struct group *readers = &f->groups[r], *writers = &f->groups[w];

    for (int i = 0; i < readers->equations.count; i++) {
        const struct ir_tensor *reader = readers->equations.at[i];
        const expr_list *reads = &f->uses.reads[reader->number];

        for (int j = 0; j < reads->count; j++) {
            const struct ir_tensor *t = reads->at[j]->tensor;
            struct pairing to;

            if (is_made(t) && is_carried(t, reader))
                continue;
            if (is_made(t) && f->members[t->number].group == w) {
                *culprit = t;
                if (f->members[t->number].in_parts)
                    return false;
                to = aligned(f, t, reader, reads->at[j], writer_is_a);
                restrict_pairs(p, &to);
            }
            for (int k = 0; !is_made(t) && k < writers->equations.count; k++) {
                const struct ir_tensor *writer = writers->equations.at[k];

                if (f->overwrites[writer->number] != t)
                    continue;
                *culprit = writer;
                to = aligned(f, writer, reader, reads->at[j], writer_is_a);
                restrict_pairs(p, &to);
            }
        }
    }
    return true;
}

/* With no read between them: the loops along which both read one tensor; the tensor that gives the most points. */
static struct pairing shared_reads(const struct fusion *f, const struct group *a, const struct group *b)
{
    struct pairing best = {0};
    int64_t best_points = 0;

    for (int i = 0; i < a->equations.count; i++)
        for (int j = 0; j < b->equations.count; j++) {
            const struct ir_tensor *ea = a->equations.at[i], *eb = b->equations.at[j];
            const expr_list *ra = &f->uses.reads[ea->number], *rb = &f->uses.reads[eb->number];

            for (int x = 0; x < ra->count; x++)
                for (int y = 0; y < rb->count; y++) {
                    struct pairing p = {.constrained = true};
                    const struct ir_tensor *t = ra->at[x]->tensor;
                    int64_t product = 1;

                    if (t != rb->at[y]->tensor || t->kind == IR_DRAW || t->kind == IR_SCALAR)
                        continue;
                    for (int k = 0; k < t->rank; k++) {
                        int sa = slot_of(f, ea, a->depth, ir_form_bare(ra->at[x]->subscripts[k]));
                        int sb = slot_of(f, eb, b->depth, ir_form_bare(rb->at[y]->subscripts[k]));
                        int before = p.count;

                        if (sa >= 0 && sb >= 0 &&
                            f->members[ea->number].slot[sa]->extent == f->members[eb->number].slot[sb]->extent)
                            add_pair(&p, sa, sb);
                        if (p.count > before)
                            product *= f->members[ea->number].slot[sa]->extent;
                    }
                    if (p.count && product > best_points) {
                        best = p;
                        best_points = product;
                    }
                }
        }
    return best;
}

/* Is there a way from group `from`, where `at` is now, to group `to` through a third? */
static bool walk_outside(struct fusion *f, int from, int at, int to)
{
    const struct group *g = &f->groups[at];

    for (int i = 0; i < g->equations.count; i++) {
        const number_list *after = &f->after[g->equations.at[i]->number];

        for (int j = 0; j < after->count; j++) {
            int next = f->members[after->at[j]].group;

            if (next == to && at != from)
                return true;
            if (next == from || next == to || f->marks[next] == f->stamp)
                continue;
            f->marks[next] = f->stamp;
            if (walk_outside(f, from, next, to))
                return true;
        }
    }
    return false;
}

bool way_outside(struct fusion *f, int a, int b)
{
    f->stamp++;
    return walk_outside(f, a, a, b);
}

/* The index that runs along memory in the equation with the most points: the last output, if something is read or
   written along it; else the last subscript of the largest tensor read. NULL: none does. */
static const struct ir_index *memory_index(const struct fusion *f, const struct group *g)
{
    const struct ir_tensor *largest = g->equations.at[0], *read = NULL;
    const struct ir_index *last = NULL, *output;

    for (int i = 0; i < g->equations.count; i++)
        if (iteration_points(g->equations.at[i]) > iteration_points(largest))
            largest = g->equations.at[i];
    output = largest->rank ? largest->axes[largest->rank - 1] : NULL;
    if (largest->reduction == IR_MAP)
        return output;
    for (int i = 0; i < f->uses.reads[largest->number].count; i++) {
        const struct ir_expr *r = f->uses.reads[largest->number].at[i];
        const struct ir_index *index = r->tensor->rank ? ir_form_bare(r->subscripts[r->tensor->rank - 1]) : NULL;

        if (output && index == output)
            return output;
        if (r->tensor->rank && (!read || ir_elements(r->tensor) > ir_elements(read))) {
            read = r->tensor;
            last = index;
        }
    }
    return last;
}

static double work(const struct group *g)
{
    double sum = 0;

    for (int i = 0; i < g->equations.count; i++)
        sum += (double)points_at_once(g->equations.at[i]);
    return sum;
}

/* Would the loops that are left feed every thread? */
static bool wide_enough(const struct fusion *f, const struct group *a, const struct group *b, const struct pairing *p)
{
    const struct group *larger = work(a) >= work(b) ? a : b;
    const struct ir_index *last = memory_index(f, larger);
    const struct ir_tensor *first = larger->equations.at[0];
    int64_t left = 1;
    bool along = false;

    if (work(a) + work(b) <= SMALL_WORK)
        return true;
    for (int i = 0; i < p->count; i++) {
        int slot = larger == a ? p->at[i].a : p->at[i].b;

        left *= f->members[first->number].slot[slot]->extent;
        for (int j = 0; j < larger->equations.count; j++)
            along = along || (last && f->members[larger->equations.at[j]->number].slot[slot] == last);
    }
    return left >= (along ? FEWEST_PARTS * LANES : FEWEST_PARTS);
}

static void keep_slots(struct fusion *f, struct group *g, const struct pairing *p, bool is_a)
{
    for (int i = 0; i < g->equations.count; i++) {
        struct member *m = &f->members[g->equations.at[i]->number], old = *m;

        for (int j = 0; j < p->count; j++)
            m->slot[j] = old.slot[is_a ? p->at[j].a : p->at[j].b];
    }
    g->depth = p->count;
}

/* Loops in the order of a, so that the one along memory stays last. */
static void sort_pairs(struct pairing *p)
{
    for (int i = 1; i < p->count; i++)
        for (int j = i; j > 0 && p->at[j].a < p->at[j - 1].a; j--) {
            int a = p->at[j].a, b = p->at[j].b;

            p->at[j] = p->at[j - 1];
            p->at[j - 1].a = a;
            p->at[j - 1].b = b;
        }
}

static const char *index_names(const struct fusion *f, const struct ir_tensor *t)
{
    const char *names = NULL;

    for (int i = 0; i < t->reduced_count; i++)
        names = names ? arena_printf(f->arena, "%s, %s", names, t->reduced[i]->name) : t->reduced[i]->name;
    return names;
}

static const char *reduction_verb(enum ir_reduction reduction)
{
    static const char *const verbs[] = {[IR_SUM] = "sums",
                                        [IR_PRODUCT] = "multiplies",
                                        [IR_MAXIMUM] = "takes the maximum",
                                        [IR_MINIMUM] = "takes the minimum",
                                        [IR_ARGMAX] = "takes the argmax",
                                        [IR_ARGMIN] = "takes the argmin"};

    return verbs[reduction];
}

/* The pairs of a join of a and b as they stand, or why there is none. */
static bool find_pairs(const struct fusion *f, int a, int b, struct pairing *out, const char **why)
{
    const struct ir_tensor *culprit = NULL;

    *out = (struct pairing){0};
    if (!demands(f, a, b, true, out, &culprit) || !demands(f, b, a, false, out, &culprit)) {
        *why = arena_printf(f->arena, "%s %s over %s, which the next kernel needs whole", culprit->name,
                            reduction_verb(culprit->reduction), index_names(f, culprit));
        return false;
    }
    if (!out->constrained)
        *out = shared_reads(f, &f->groups[a], &f->groups[b]);
    sort_pairs(out);
    if (out->count || (f->groups[a].depth == 0 && f->groups[b].depth == 0 && culprit))
        return true;
    if (!culprit)
        *why = "the next kernel reads nothing that this one reads or makes";
    else if (culprit->reduction != IR_MAP)
        *why = arena_printf(f->arena, "%s %s over %s, which the next kernel needs whole", culprit->name,
                            reduction_verb(culprit->reduction), index_names(f, culprit));
    else
        *why = arena_printf(f->arena, "%s is read at other points than it is made at", culprit->name);
    return false;
}

static bool survives(const struct pairing *p, int slot, bool is_a)
{
    for (int i = 0; i < p->count; i++)
        if ((is_a ? p->at[i].a : p->at[i].b) == slot)
            return true;
    return false;
}

/* Would the group draw down columns: the index along which its random numbers come in blocks in parallel, another of
   theirs inside? A block of Philox gives neighbours along a row; down a column seven of eight numbers are thrown away.
 */
static bool draws_down_columns(const struct fusion *f, const struct group *g, const struct pairing *p, bool is_a)
{
    for (int i = 0; i < g->equations.count; i++) {
        const struct ir_tensor *e = g->equations.at[i];

        for (int j = 0; j < f->uses.reads[e->number].count; j++) {
            const struct ir_expr *read = f->uses.reads[e->number].at[j];
            int rank = read->tensor->rank;
            bool inside = false;

            if (read->tensor->kind != IR_DRAW || rank < 2 ||
                !survives(p, slot_of(f, e, g->depth, ir_form_bare(read->subscripts[rank - 1])), is_a))
                continue;
            for (int k = 0; k + 1 < rank; k++) {
                const struct ir_index *index = ir_form_bare(read->subscripts[k]);

                bool is_time = e->recurrence && index == e->axes[e->time];

                inside = inside ||
                         (index && index->extent > 1 && !is_time && !survives(p, slot_of(f, e, g->depth, index), is_a));
            }
            if (inside)
                return true;
        }
    }
    return false;
}

static bool holds(const struct fusion *f, const struct group *g, bool guard)
{
    for (int i = 0; i < g->equations.count; i++)
        if (guard ? f->guards[g->equations.at[i]->number] : f->overwrites[g->equations.at[i]->number] != NULL)
            return true;
    return false;
}

bool waits_for_guards(const struct fusion *f, int a, int b)
{
    const struct group *ga = &f->groups[a], *gb = &f->groups[b];

    return (holds(f, ga, true) && holds(f, gb, false)) || (holds(f, ga, false) && holds(f, gb, true));
}

/* Would much work give up a loop, by which its points are many and near each other, for the sake of very little? */
static bool loses_loops(const struct group *large, const struct group *small, const struct pairing *p)
{
    return p->count < large->depth && work(large) > LARGE_WORK && work(large) > LARGE_SHARE * work(small);
}

/* A long sum that would run whole although it could be made in parts: of few columns, which lie side by side on the
   lanes of one thread, too. */
static bool runs_alone(const struct fusion *f, const struct group *g, const struct pairing *p, bool is_a)
{
    const struct ir_tensor *e = g->equations.at[0];
    const struct member *m = &f->members[e->number];
    const struct ir_index *last = memory_index(f, g);
    int64_t left = 1;
    bool along = false;

    if (g->equations.count > 1 || e->reduction == IR_MAP || !may_be_in_parts(e) || m->in_parts ||
        points_at_once(e) <= SMALL_WORK)
        return false;
    for (int i = 0; i < p->count; i++) {
        const struct ir_index *index = m->slot[is_a ? p->at[i].a : p->at[i].b];

        left *= index->extent;
        along = along || (last && index == last);
    }
    return left < (along && is_tall(e) ? FEWEST_PARTS * LANES : FEWEST_PARTS);
}

/* May b, maps and sums of them in parts, be made of the product's tiles in a as they are done? */
static bool may_follow(const struct fusion *f, const struct group *a, const struct group *b,
                       const struct pairing *pairs)
{
    if (!a->leads || b->product || pairs->count < a->depth || pairs->count < b->depth)
        return false;
    for (int i = 0; i < b->equations.count; i++)
        if (b->equations.at[i]->reduction != IR_MAP && !f->members[b->equations.at[i]->number].in_parts)
            return false;
    return true;
}

/* Does the frame of a's product read what b makes or writes over? */
static bool frame_reads(const struct fusion *f, const struct group *a, int b)
{
    for (int i = 0; a->frame && i < f->uses.reads[a->frame->number].count; i++) {
        const struct ir_tensor *t = f->uses.reads[a->frame->number].at[i]->tensor;

        if (is_made(t) && f->members[t->number].group == b)
            return true;
        for (int k = 0; !is_made(t) && k < f->groups[b].equations.count; k++)
            if (f->overwrites[f->groups[b].equations.at[k]->number] == t)
                return true;
    }
    return false;
}

static bool legal(struct fusion *f, int a, int b, enum shrink shrink, struct pairing *pairs, const char **why)
{
    const struct group *ga = &f->groups[a], *gb = &f->groups[b];

    if (frame_reads(f, ga, b) || frame_reads(f, gb, a)) {
        *why = "the next kernel reads windows of it";
        return false;
    }

    if ((ga->alone && !ga->product) || gb->alone) {
        *why = NULL;
        return false;
    }
    if (ga->recurrence != gb->recurrence) {
        *why = ga->recurrence ? "the recurrence ends before what reads all its steps"
                              : "the next kernel is a step of a recurrence";
        return false;
    }
    if (waits_for_guards(f, a, b)) {
        *why = "updates wait until every guarded number is known to be finite";
        return false;
    }
    if (!find_pairs(f, a, b, pairs, why))
        return false;
    if (ga->product && !may_follow(f, ga, gb, pairs)) {
        *why = "a matrix product is joined with maps of its numbers and sums of all of them alone";
        return false;
    }
    if (pairs->count < ga->depth || pairs->count < gb->depth) {
        if (shrink == KEEP_LOOPS || !wide_enough(f, ga, gb, pairs)) {
            *why = shrink == KEEP_LOOPS ? "the next kernel runs along other loops"
                                        : "too few points would be left to run in parallel";
            return false;
        }
    }
    if (loses_loops(ga, gb, pairs) || loses_loops(gb, ga, pairs)) {
        *why = "the larger kernel would run along fewer loops for very little";
        return false;
    }
    if (runs_alone(f, ga, pairs, true) || runs_alone(f, gb, pairs, false)) {
        *why = "too few points would be left to run in parallel";
        return false;
    }
    if (draws_down_columns(f, ga, pairs, true) || draws_down_columns(f, gb, pairs, false)) {
        *why = "random numbers are drawn along rows, and the next kernel runs down columns";
        return false;
    }
    if (ga->equations.count + gb->equations.count > MOST_EQUATIONS) {
        *why = arena_printf(f->arena, "a kernel has at most %d equations", MOST_EQUATIONS);
        return false;
    }
    return true;
}

/* A reduction that is alone in its group may run along its outputs or be made in parts. */
static int alternatives(const struct fusion *f, int g)
{
    const struct ir_tensor *e = f->groups[g].equations.at[0];

    return !f->groups[g].alone && !f->groups[g].recurrence && f->groups[g].equations.count == 1 &&
                   e->reduction != IR_MAP && may_be_in_parts(e)
               ? 2
               : 1;
}

static void take_alternative(struct fusion *f, int g, int alternative)
{
    const struct ir_tensor *e = f->groups[g].equations.at[0];

    if (alternatives(f, g) == 2)
        set_loops(e, alternative == 1, &f->members[e->number], &f->groups[g].depth);
}

static bool rather_in_parts(const struct fusion *f, int g, int alternative)
{
    return alternative == 0 && alternatives(f, g) == 2 && has_long_columns(f->groups[g].equations.at[0]);
}

struct choice {
    int a, b;
    struct pairing pairs;
    int64_t points;
    bool found;
};

/* Whole results before results in parts; then the loops with the most points. */
static struct choice choose(struct fusion *f, int a, int b, enum shrink shrink, const char **why)
{
    struct choice best = {0};

    for (int i = 0; i < alternatives(f, a); i++)
        for (int j = 0; j < alternatives(f, b); j++) {
            struct choice c = {.a = i, .b = j, .points = 1, .found = true};
            const struct ir_tensor *first = f->groups[a].equations.at[0];

            if (rather_in_parts(f, a, i) || rather_in_parts(f, b, j))
                continue;
            take_alternative(f, a, i);
            take_alternative(f, b, j);
            if (!legal(f, a, b, shrink, &c.pairs, why))
                continue;
            for (int k = 0; k < c.pairs.count; k++)
                c.points *= f->members[first->number].slot[c.pairs.at[k].a]->extent;
            if (!best.found)
                best = c;
        }
    return best;
}

static void merge_equations(struct fusion *f, struct group *a, struct group *b)
{
    tensor_list all = {0};
    int i = 0, j = 0;

    while (i < a->equations.count || j < b->equations.count) {
        bool from_a = j == b->equations.count ||
                      (i < a->equations.count && a->equations.at[i]->number < b->equations.at[j]->number);

        list_add(f->arena, all, from_a ? a->equations.at[i++] : b->equations.at[j++]);
    }
    a->equations = all;
    b->equations = (tensor_list){0};
}

void merge_groups(struct fusion *f, int a, int b)
{
    for (int i = 0; i < f->groups[b].equations.count; i++)
        f->members[f->groups[b].equations.at[i]->number].group = a;
    merge_equations(f, &f->groups[a], &f->groups[b]);
}

static void restore(struct fusion *f, int g)
{
    const struct ir_tensor *e = f->groups[g].equations.at[0];

    if (alternatives(f, g) == 2)
        choose_loops(e, f->groups[g].product == e, &f->members[e->number], &f->groups[g].depth);
}

bool join_groups(struct fusion *f, int a, int b, enum shrink shrink, const char **why)
{
    struct choice c = choose(f, a, b, shrink, why);

    if (c.found && (way_outside(f, a, b) || way_outside(f, b, a))) {
        *why = "another kernel must run between this one and the next";
        c.found = false;
    }
    if (!c.found) {
        restore(f, a);
        restore(f, b);
        return false;
    }
    take_alternative(f, a, c.a);
    take_alternative(f, b, c.b);
    keep_slots(f, &f->groups[a], &c.pairs, true);
    keep_slots(f, &f->groups[b], &c.pairs, false);
    merge_groups(f, a, b);
    return true;
}

const char *why_not(struct fusion *f, int a, int b)
{
    const char *why = NULL;
    struct pairing pairs;

    if (!legal(f, a, b, SHRINK_LOOPS, &pairs, &why)) {
        if (why)
            return why;
        return f->groups[a].alone
                   ? arena_printf(f->arena, "%s is a kernel of its own", f->groups[a].alone)
                   : arena_printf(f->arena, "the next kernel is %s, which is a kernel of its own", f->groups[b].alone);
    }
    if (way_outside(f, a, b) || way_outside(f, b, a))
        return "another kernel must run between this one and the next";
    return "joining would keep values alive for longer than it saves";
}
