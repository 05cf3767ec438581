/* compact_source.c: a program's text with other numbers in it.

   Which number gives an axis its extent is found by trying: with a number of the text one smaller, some axes of the parameters become
   smaller too, others do not, and a number at which a fixed axis changes, or a program that is wrong then, is left alone. So it does
   not matter how the extent is come by: a setting 2500, `let width = 2500`, 2 * width. Where no number does, the extent may be written
   several times: equal numbers of the text are tried two, three, four at once, and all of them. */
#include "compact.h"
#include "edits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct literal {
    struct span span;
    int64_t value;
    bool used;
};
/* Equal numbers that become smaller together. */
struct knob {
    LIST(int) literals;
    int64_t *slope; /* by shrinking: how much smaller the axis is if the numbers are one smaller */
    int64_t less;
};
enum { MOST_TRIALS = 400 }; /* of several numbers at once */
struct rewriting {
    struct compaction *c;
    const struct source *source;
    edit_list paths;
    LIST(struct literal) literals;
    LIST(struct knob) knobs;
    int trials;
};

/* ---- the text ---- */

static void find_literals(struct rewriting *r, const struct node *node)
{
    if (!node)
        return;
    if (node->kind == NODE_NUMBER && !node->flag && node->number >= 2 && node->number < 1e9)
        list_add(r->c->arena, r->literals, (struct literal){.span = node->span, .value = (int64_t)node->number});
    find_literals(r, node->a);
    find_literals(r, node->b);
    find_literals(r, node->c);
    for (int i = 0; i < node->list.count; i++)
        find_literals(r, node->list.at[i]);
    for (int i = 0; i < node->more.count; i++)
        find_literals(r, node->more.at[i]);
}

static int write_text(struct rewriting *r, const char *path, const edit_list *numbers)
{
    struct arena *scratch = arena_new();
    struct text text = {0};
    edit_list all = {0};
    int status;

    for (int i = 0; i < r->paths.count; i++)
        list_add(scratch, all, r->paths.at[i]);
    for (int i = 0; i < numbers->count; i++)
        list_add(scratch, all, numbers->at[i]);
    edits_apply(&text, r->source, 0, r->source->size, &all);
    status = edits_write(path, &text);
    text_free(&text);
    arena_free(scratch);
    return status;
}

static struct edit number_edit(struct arena *arena, const struct literal *literal, int64_t less)
{
    return (struct edit){literal->span.begin, literal->span.end, arena_printf(arena, "%" PRId64, literal->value - less)};
}

/* ---- what changes ---- */

/* Extents of parameters and states, from "NAME AXIS"; NULL: the program is wrong. */
static struct map *extents_of(struct compaction *c, const char *path, struct unit **out)
{
    struct options options = *c->options;
    struct diagnostics *d = diagnostics_new(c->arena);
    struct map *extents = map_new(c->arena);
    struct unit *unit = unit_read(c->arena, path, options.settings.at, options.settings.count, d);

    if (!unit || diagnostics_errors(d))
        return NULL;
    unit_count_items(unit, data_source_items, data_source_new(c->arena, unit, store_new(c->arena)), true);
    for (int i = 0; i < unit_trainings(unit); i++) {
        struct training *training = lower_training(unit, i, lower_options_of(&options), d);

        if (!training || diagnostics_errors(d))
            return NULL;
        for (int k = 0; k < training->phases.count; k++)
            for (int t = 0; t < training->phases.at[k].step->tensors.count; t++) {
                const struct ir_tensor *tensor = training->phases.at[k].step->tensors.at[t];

                for (int a = 0; (tensor->kind == IR_PARAMETER || tensor->kind == IR_STATE) && a < tensor->rank; a++)
                    map_put(extents, arena_printf(c->arena, "%s %d", tensor->name, a), &tensor->axes[a]->extent);
            }
    }
    *out = unit;
    return extents;
}

static const struct shrinking *shrinking_of(const struct compaction *c, const struct axis_class *class)
{
    for (int i = 0; i < c->shrinking.count; i++)
        if (c->shrinking.at[i].class == class)
            return &c->shrinking.at[i];
    return NULL;
}

/* What smaller numbers do to every axis; NULL if that is not alone to make shrinking axes smaller, each as one. */
static int64_t *slope_of(struct rewriting *r, const struct map *extents)
{
    const struct compaction *c = r->c;
    int64_t *slope = NEW_ARRAY(c->arena, int64_t, c->shrinking.count + 1);
    bool any = false;

    for (int i = 0; i < c->axes->classes.count; i++) {
        const struct axis_class *class = c->axes->classes.at[i];
        const struct shrinking *s = shrinking_of(c, class);
        int64_t less = 0;

        for (int m = 0; m < class->members.count; m++) {
            const struct axis_member *member = &class->members.at[m];
            const int64_t *extent = map_get(extents, arena_printf(c->arena, "%s %d", member->name, member->axis));

            if (!extent && member->tensor->kind == IR_STATE)
                continue;
            if (!extent || (m && class->extent - *extent != less))
                return NULL;
            less = class->extent - *extent;
        }
        if (less < 0 || (less && !s))
            return NULL;
        if (less) {
            slope[s - c->shrinking.at] = less;
            any = true;
        }
    }
    return any ? slope : NULL;
}

/* What these numbers do together; *slope NULL: they are no knob. */
static int look_together(struct rewriting *r, const int *literals, int count, int64_t **slope)
{
    const char *trial = arena_printf(r->c->arena, "%s.trial", r->c->path);
    edit_list edits = {0};
    struct map *extents;
    struct unit *unit;
    int status;

    for (int i = 0; i < count; i++)
        list_add(r->c->arena, edits, number_edit(r->c->arena, &r->literals.at[literals[i]], 1));
    status = write_text(r, trial, &edits);
    *slope = status == RNET_DONE && (extents = extents_of(r->c, trial, &unit)) ? slope_of(r, extents) : NULL;
    unlink(trial);
    return status;
}

static int try_together(struct rewriting *r, const int *literals, int count)
{
    struct knob knob = {0};
    int status = look_together(r, literals, count, &knob.slope);

    for (int i = 0; i < count && knob.slope; i++) {
        r->literals.at[literals[i]].used = true;
        list_add(r->c->arena, knob.literals, literals[i]);
    }
    if (knob.slope)
        list_add(r->c->arena, r->knobs, knob);
    return status;
}

/* All that is not needed is left as it is: a batch of as many. */
static int try_all(struct rewriting *r, int *literals, int count)
{
    int64_t *slope;
    int status = look_together(r, literals, count, &slope);

    for (int i = 0; i < count && slope && status == RNET_DONE;) {
        int *fewer = NEW_ARRAY(r->c->arena, int, count), rest = 0;
        int64_t *without;

        for (int k = 0; k < count; k++)
            if (k != i)
                fewer[rest++] = literals[k];
        status = look_together(r, fewer, rest, &without);
        if (without) {
            literals = fewer;
            count = rest;
        } else {
            i++;
        }
    }
    return slope && status == RNET_DONE ? try_together(r, literals, count) : status;
}

static bool has_knob(const struct rewriting *r, int shrinking)
{
    for (int i = 0; i < r->knobs.count; i++)
        if (r->knobs.at[i].slope[shrinking])
            return true;
    return false;
}

static bool wants_knob(const struct rewriting *r)
{
    for (int i = 0; i < r->c->shrinking.count; i++)
        if (r->c->shrinking.at[i].wanted && !has_knob(r, i))
            return true;
    return false;
}

/* Every choice of `size` of the numbers, in order, until nothing is wanting. */
static int try_choices(struct rewriting *r, const int *among, int count, int size)
{
    int place[8], chosen[8], status = RNET_DONE;

    for (int i = 0; i < size; i++)
        place[i] = i;
    while (size <= count && status == RNET_DONE && r->trials++ < MOST_TRIALS && wants_knob(r)) {
        bool free = true;
        int last = size - 1;

        for (int i = 0; i < size; i++) {
            chosen[i] = among[place[i]];
            free = free && !r->literals.at[chosen[i]].used;
        }
        if (free)
            status = try_together(r, chosen, size);
        while (last >= 0 && place[last] == count - size + last)
            last--;
        if (last < 0)
            break;
        place[last]++;
        for (int i = last + 1; i < size; i++)
            place[i] = place[i - 1] + 1;
    }
    return status;
}

/* The numbers that are equal to this one and of no use alone. */
static int try_equal(struct rewriting *r, int first, int size)
{
    int *equal = NEW_ARRAY(r->c->arena, int, r->literals.count + 1), count = 0;

    for (int i = 0; i < first; i++)
        if (r->literals.at[i].value == r->literals.at[first].value && !r->literals.at[i].used)
            return RNET_DONE; /* tried with that one */
    for (int i = first; i < r->literals.count; i++)
        if (r->literals.at[i].value == r->literals.at[first].value && !r->literals.at[i].used)
            equal[count++] = i;
    if (size)
        return try_choices(r, equal, count, size);
    return count > 4 ? try_all(r, equal, count) : RNET_DONE;
}

static int try_literals(struct rewriting *r)
{
    static const int sizes[] = {2, 3, 0, 4};
    int status = RNET_DONE;

    for (int i = 0; i < r->literals.count && status == RNET_DONE; i++)
        status = try_together(r, &i, 1);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        for (int i = 0; i < r->literals.count && status == RNET_DONE && wants_knob(r); i++)
            if (!r->literals.at[i].used)
                status = try_equal(r, i, sizes[k]);
    return status;
}

/* Each number becomes as small as all axes that depend on it allow. */
static void choose_numbers(struct rewriting *r)
{
    struct compaction *c = r->c;

    for (int i = 0; i < r->knobs.count; i++) {
        struct knob *knob = &r->knobs.at[i];

        knob->less = r->literals.at[knob->literals.at[0]].value - 1;
        for (int s = 0; s < c->shrinking.count; s++)
            if (knob->slope[s]) {
                int64_t room = (c->shrinking.at[s].wanted - c->shrinking.at[s].given) / knob->slope[s];

                knob->less = room < knob->less ? room : knob->less;
            }
        for (int s = 0; s < c->shrinking.count; s++)
            c->shrinking.at[s].given += knob->less * knob->slope[s];
    }
    for (int s = 0; s < c->shrinking.count; s++)
        if (c->shrinking.at[s].given < c->shrinking.at[s].wanted)
            c->shrinking.at[s].why = has_knob(r, s) ? "the number that gives them is that of other axes too, which lose fewer"
                                                    : "no numbers of the text give them and nothing else; `let width = ...` for "
                                                      "them alone, used wherever they are written, would";
}

/* Is every axis as it was meant to be? */
static bool as_expected(const struct compaction *c, const struct map *extents)
{
    for (int i = 0; i < c->axes->classes.count; i++) {
        const struct axis_class *class = c->axes->classes.at[i];
        const struct shrinking *s = shrinking_of(c, class);

        for (int m = 0; m < class->members.count; m++) {
            const int64_t *extent =
                map_get(extents, arena_printf(c->arena, "%s %d", class->members.at[m].name, class->members.at[m].axis));

            if (extent && *extent != class->extent - (s ? s->given : 0))
                return false;
        }
    }
    return true;
}

int compact_source(struct compaction *c)
{
    struct rewriting r = {.c = c, .source = source_read(c->arena, c->options->files.at[0])};
    struct node *tree = r.source ? parse(c->arena, r.source, diagnostics_new(c->arena)) : NULL;
    const char *folder;
    edit_list numbers = {0};
    struct map *extents;
    int status;

    if (!tree)
        return complain(RNET_SOURCE, "%s: cannot be read", c->options->files.at[0]);
    folder = edits_folder(c->arena, c->options->files.at[0]);
    if (!folder)
        return RNET_FAILED;
    edits_of_paths(c->arena, tree, folder, &r.paths);
    find_literals(&r, tree);
    status = try_literals(&r);
    if (status != RNET_DONE)
        return status;
    choose_numbers(&r);
    for (int i = 0; i < r.knobs.count; i++)
        for (int k = 0; k < r.knobs.at[i].literals.count && r.knobs.at[i].less; k++) {
            const struct literal *literal = &r.literals.at[r.knobs.at[i].literals.at[k]];
            int64_t less = r.knobs.at[i].less;
            int line, column;

            list_add(c->arena, numbers, number_edit(c->arena, literal, less));
            source_position(r.source, literal->span.begin, &line, &column);
            printf("%s:%d:%d: %" PRId64 " becomes %" PRId64 "\n", r.source->path, line, column, literal->value, literal->value - less);
        }
    c->changed = numbers.count;
    if (!c->changed)
        return RNET_DONE;
    status = write_text(&r, c->path, &numbers);
    if (status != RNET_DONE)
        return status;
    extents = extents_of(c, c->path, &c->unit);
    if (!extents || !as_expected(c, extents))
        return complain(RNET_FAILED, "%s: with these numbers the program is not the smaller one that was meant", c->path);
    return RNET_DONE;
}
