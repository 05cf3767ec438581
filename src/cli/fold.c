/* fold.c: rnetc fold: layers that are affine maps in evaluation go into the equations beside them.

   A normaliser with running statistics is one: gain * (x - mu) / sqrt(var + eps) + bias is scale * x + shift, a scale and a shift a
   channel. Which layers are such maps is found in the equations (fold_find.c), which parameters absorb them too (fold_absorb.c); the text
   then does without them (fold_source.c), and that both programs answer the same is looked at on their data (replaced.c), first in double
   precision with unrounded parameters, else nothing is left. */
#include "fold.h"
#include "replaced.h"
#include "surgery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* As parts of the norm of all answers: the products of doubles in another order; those of floats, with parameters rounded to floats, through
   some tens of layers. */
#define ROUNDING_DOUBLE 1e-9
#define ROUNDING_SINGLE 1e-3

static void read_numbers(struct folding *f)
{
    for (int i = 0; i < f->axes->file->count; i++) {
        const struct rnet_tensor *stored = &f->axes->file->tensors[i];
        struct numbers *n;

        if (stored->type != RNET_F32 && stored->type != RNET_F64)
            continue;
        n = NEW(f->arena, struct numbers);
        n->stored = stored;
        n->at = NEW_ARRAY(f->arena, double, tensor_count(stored) + 1);
        for (int64_t k = 0; k < tensor_count(stored); k++)
            n->at[k] = tensor_number(stored, k);
        map_put(f->numbers, stored->name, n);
    }
}

/* ---- names before and after ---- */

typedef LIST(const struct ir_tensor *) leaf_list;

static void add_leaves(struct arena *arena, struct map *seen, const struct ir_program *p, const struct training *without, leaf_list *out)
{
    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *t = p->tensors.at[i];
        bool rule = false;

        if ((t->kind != IR_PARAMETER && t->kind != IR_STATE) || map_get(seen, t->name))
            continue;
        for (int k = 0; without && k < without->rule_states.count; k++)
            rule |= !strcmp(without->rule_states.at[k], t->name);
        if (rule)
            continue;
        map_put(seen, t->name, (void *)t);
        list_add(arena, *out, t);
    }
}

/* What answers read, then what steps have besides; states of rules are not kept. In the order of the text. */
static void list_leaves(struct arena *arena, const struct axes *axes, leaf_list *out)
{
    struct map *seen = map_new(arena);

    for (int i = 0; i < axes->answers.count; i++)
        add_leaves(arena, seen, axes->answers.at[i], NULL, out);
    for (int i = 0; i < axes->trainings.count; i++)
        for (int k = 0; k < axes->trainings.at[i]->phases.count; k++)
            add_leaves(arena, seen, axes->trainings.at[i]->phases.at[k].step, axes->trainings.at[i], out);
}

static bool is_folded(const struct folding *f, const char *name)
{
    for (int i = 0; i < f->uses.count; i++)
        for (int k = 0; f->uses.at[i]->folded && k < f->uses.at[i]->paths.count; k++) {
            const char *path = f->uses.at[i]->paths.at[k];

            if (!strncmp(name, path, strlen(path)) && name[strlen(path)] == '.')
                return true;
        }
    return false;
}

static bool same_leaf(const struct ir_tensor *a, const struct ir_tensor *b)
{
    const char *one = strrchr(a->name, '.'), *other = strrchr(b->name, '.');
    bool same = a->kind == b->kind && a->rank == b->rank && !strcmp(one ? one : a->name, other ? other : b->name);

    for (int i = 0; same && i < a->rank; i++)
        same = a->axes[i]->extent == b->axes[i]->extent;
    return same;
}

/* Leaving layers out keeps the order of the others, though not the numbers in their names: the second of a kind may be the first now. */
static int write_checkpoint_of(struct folding *f, const struct axes *new, bool exact)
{
    struct rnet_safetensors file = *f->axes->file;
    struct rnet_pair pair = {"rnet.program", "folded"};
    leaf_list old = {0}, now = {0};
    int at = 0;

    list_leaves(f->arena, f->axes, &old);
    list_leaves(f->arena, new, &now);
    file.tensors = NEW_ARRAY(f->arena, struct rnet_tensor, file.count + now.count + 1);
    file.count = 0;
    for (int i = 0; i < old.count; i++) {
        const struct numbers *n = map_get(f->numbers, old.at[i]->name);
        struct rnet_tensor *t = &file.tensors[file.count];

        if (is_folded(f, old.at[i]->name))
            continue;
        if (at == now.count || !same_leaf(old.at[i], now.at[at]))
            return complain(RNET_FAILED, "without the layers the program has other parameters: %s where there was %s",
                            at < now.count ? now.at[at]->name : "none", old.at[i]->name);
        if (n) {
            *t = *n->stored;
            t->name = now.at[at]->name;
            t->type = exact ? RNET_F64 : n->stored->type;
            t->data = NEW_ARRAY(f->arena, double, tensor_count(t) + 1);
            for (int64_t k = 0; k < tensor_count(t); k++)
                tensor_set(t, k, n->at[k]);
            file.count++;
        }
        at++;
    }
    if (at < now.count)
        return complain(RNET_FAILED, "without the layers the program has a parameter more: %s", now.at[at]->name);
    for (int i = 0; i < f->axes->file->count; i++)
        if (!strncmp(f->axes->file->tensors[i].name, "rnet.", 5))
            file.tensors[file.count++] = f->axes->file->tensors[i];
    return write_checkpoint(f->checkpoint, &file, &pair, 1);
}

static int64_t count_numbers(struct arena *arena, const struct axes *axes)
{
    leaf_list leaves = {0};
    int64_t count = 0;

    list_leaves(arena, axes, &leaves);
    for (int i = 0; i < leaves.count; i++)
        count += ir_elements(leaves.at[i]);
    return count;
}

/* ---- what is said ---- */

static const char *text_of_paths(struct arena *arena, const struct use *use)
{
    if (use->paths.count == 1)
        return use->paths.at[0];
    return arena_printf(arena, "%s and %d more", use->paths.at[0], use->paths.count - 1);
}

static void print_uses(const struct folding *f)
{
    for (int i = 0; i < f->uses.count; i++) {
        const struct use *use = f->uses.at[i];

        if (use->folded)
            printf("%s:%d:%d: %s %s folded\n", use->origin->file, use->origin->line, use->origin->column, text_of_paths(f->arena, use),
                   use->paths.count > 1 ? "are" : "is");
        else if (use->normaliser && use->why)
            fprintf(stderr, "%s:%d:%d: %s stays: %s\n", use->origin->file, use->origin->line, use->origin->column,
                    text_of_paths(f->arena, use), use->why);
    }
}

/* ---- the command ---- */

static int check_and_write(struct folding *f)
{
    struct options options = *f->options;
    struct diagnostics *d;
    struct replaced r = {f->options, f->arena, f->axes, NULL, f->checkpoint, "a layer that was folded is no affine map of its own after all"};
    struct axes *new;
    int status, precision = IR_SINGLE;

    options.files.at = &f->path;
    r.unit = program_read(&options, &d);
    new = r.unit ? axes_new(&options, r.unit, f->axes->file) : NULL;
    if (!new)
        return complain(RNET_SOURCE, "without these layers the program is wrong; nothing is left");
    status = write_checkpoint_of(f, new, true);
    if (status == RNET_DONE)
        status = replaced_check(&r, IR_DOUBLE, ROUNDING_DOUBLE, true);
    if (status == RNET_DONE)
        status = write_checkpoint_of(f, new, false);
    for (int i = 0; i < f->axes->trainings.count; i++)
        precision = f->axes->trainings.at[i]->precision == IR_DOUBLE ? IR_DOUBLE : precision;
    if (status == RNET_DONE && precision == IR_SINGLE)
        status = replaced_check(&r, IR_SINGLE, ROUNDING_SINGLE, true);
    if (status != RNET_DONE)
        return status;
    printf("numbers of the nets: %" PRId64 ", now %" PRId64 "\n", count_numbers(f->arena, f->axes), count_numbers(f->arena, new));
    status = replaced_measure(&r, false);
    printf("program %s, checkpoint %s\n", f->path, f->checkpoint);
    return status;
}

static int fold(struct folding *f)
{
    int status;

    f->numbers = map_new(f->arena);
    read_numbers(f);
    fold_find_uses(f);
    status = fold_plan_source(f);
    if (status != RNET_DONE)
        return status;
    fold_uses(f);
    print_uses(f);
    if (!f->folded)
        return complain(RNET_FAILED, "%s: there is no layer that can be folded", f->options->files.at[0]);
    status = fold_write_source(f);
    return status == RNET_DONE ? check_and_write(f) : status;
}

int run_fold(struct options *options)
{
    struct replacing replacing;
    struct folding f = {.options = options, .arena = options->arena};
    int status = replacing_open(options, "fold", &replacing);

    if (status != RNET_DONE)
        return status;
    f.axes = replacing.axes;
    f.path = replacing.path;
    f.checkpoint = replacing.checkpoint;
    status = fold(&f);
    replacing_close(&replacing, status == RNET_DONE);
    return status;
}
