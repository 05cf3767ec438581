/* compact_source.c: a program's text with other numbers in it.

   Which number gives an axis its extent is found by trying: with a number of the text one smaller, some axes of the parameters become
   smaller too, others do not, and a number at which a fixed axis changes, or a program that is wrong then, is left alone. So it does
   not matter how the extent is come by: a setting 2500, `let width = 2500`, 2 * width. */
#include "compact.h"
#include "edits.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct literal {
    struct span span;
    int64_t value;
    int64_t *slope; /* by shrinking: how much smaller the axis is if the number is one smaller; NULL: it cannot be used */
    int64_t less;
};
struct rewriting {
    struct compaction *c;
    const struct source *source;
    edit_list paths;
    LIST(struct literal) literals;
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

/* What a smaller number does to every axis; slope stays NULL if that is not alone to make shrinking axes smaller, each as one. */
static void find_slope(struct rewriting *r, struct literal *literal, const struct map *extents)
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
                return;
            less = class->extent - *extent;
        }
        if (less < 0 || (less && !s))
            return;
        if (less) {
            slope[s - c->shrinking.at] = less;
            any = true;
        }
    }
    literal->slope = any ? slope : NULL;
}

static int try_literals(struct rewriting *r)
{
    const char *trial = arena_printf(r->c->arena, "%s.trial", r->c->path);
    int status = RNET_DONE;

    for (int i = 0; i < r->literals.count && status == RNET_DONE; i++) {
        edit_list one = {0};
        struct map *extents;
        struct unit *unit;

        list_add(r->c->arena, one, number_edit(r->c->arena, &r->literals.at[i], 1));
        status = write_text(r, trial, &one);
        if (status == RNET_DONE && (extents = extents_of(r->c, trial, &unit)))
            find_slope(r, &r->literals.at[i], extents);
    }
    unlink(trial);
    return status;
}

/* Each number becomes as small as all axes that depend on it allow. */
static void choose_numbers(struct rewriting *r)
{
    struct compaction *c = r->c;

    for (int i = 0; i < r->literals.count; i++) {
        struct literal *literal = &r->literals.at[i];

        if (!literal->slope)
            continue;
        literal->less = literal->value - 1;
        for (int s = 0; s < c->shrinking.count; s++)
            if (literal->slope[s]) {
                int64_t room = (c->shrinking.at[s].wanted - c->shrinking.at[s].given) / literal->slope[s];

                literal->less = room < literal->less ? room : literal->less;
            }
        for (int s = 0; s < c->shrinking.count; s++)
            c->shrinking.at[s].given += literal->less * literal->slope[s];
    }
    for (int s = 0; s < c->shrinking.count; s++) {
        int found = 0;

        for (int i = 0; i < r->literals.count; i++)
            found += r->literals.at[i].slope && r->literals.at[i].slope[s];
        if (c->shrinking.at[s].given < c->shrinking.at[s].wanted)
            c->shrinking.at[s].why = found ? "the number that gives them is that of other axes too, which lose fewer"
                                           : "no number in the text is alone to give them";
    }
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
    for (int i = 0; i < r.literals.count; i++) {
        const struct literal *literal = &r.literals.at[i];
        int line, column;

        if (!literal->less)
            continue;
        list_add(c->arena, numbers, number_edit(c->arena, literal, literal->less));
        source_position(r.source, literal->span.begin, &line, &column);
        printf("%s:%d:%d: %" PRId64 " becomes %" PRId64 "\n", r.source->path, line, column, literal->value,
               literal->value - literal->less);
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
