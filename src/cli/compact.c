/* compact.c: rnetc compact: units that make no difference are left out of the program and the checkpoint.

   What can go is found in the equations (axes.c), which numbers of the text give the axes their extents by trying (compact_source.c);
   that the smaller program answers the same is looked at on its data (replaced.c), else nothing is left. */
#include "compact.h"
#include "surgery.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What two sums of the same terms in another order may differ by, as a part of the norm of all answers: far above the rounding of doubles,
   far below any unit that mattered. */
#define ROUNDING 1e-9

static const struct shrinking *shrinking_at(const struct compaction *c, const char *name, int axis)
{
    const struct axis_class *class = axes_class(c->axes, name, axis);

    for (int i = 0; class && i < c->shrinking.count; i++)
        if (c->shrinking.at[i].class == class && c->shrinking.at[i].given)
            return &c->shrinking.at[i];
    return NULL;
}

/* As many of the class's positions without effect as the text leaves out, the first ones. */
static void choose_positions(struct compaction *c)
{
    for (int i = 0; i < c->shrinking.count; i++) {
        struct shrinking *s = &c->shrinking.at[i];
        int64_t rest = s->given;

        for (int64_t k = 0; k < s->class->extent; k++)
            if (s->class->gone[k] && rest-- <= 0)
                s->class->gone[k] = false;
    }
}

static struct rnet_tensor smaller(const struct compaction *c, const struct rnet_tensor *old)
{
    struct rnet_tensor new = *old;
    size_t size = rnet_type_size(old->type);
    const struct shrinking *shrinking[RNET_MAX_RANK] = {0};
    int64_t kept = 0;
    bool any = false;

    for (int i = 0; i < old->rank; i++) {
        shrinking[i] = shrinking_at(c, old->name, i);
        if (shrinking[i] && shrinking[i]->class->extent == old->shape[i]) {
            new.shape[i] -= shrinking[i]->given;
            any = true;
        }
    }
    if (!any)
        return new;
    new.data = arena_alloc(c->arena, (size_t)tensor_count(&new) * size + 1);
    for (int64_t e = 0; e < tensor_count(old); e++) {
        int64_t rest = e;
        bool gone = false;

        for (int i = old->rank - 1; i >= 0; i--) {
            gone |= shrinking[i] && shrinking[i]->class->gone[rest % old->shape[i]];
            rest /= old->shape[i];
        }
        if (!gone)
            memcpy((char *)new.data + size * (size_t)kept++, (const char *)old->data + size * (size_t)e, size);
    }
    if (kept != tensor_count(&new))
        bug("%s: %" PRId64 " numbers are kept of %" PRId64, old->name, kept, tensor_count(&new));
    return new;
}

static int write_smaller(struct compaction *c)
{
    struct rnet_safetensors file = *c->axes->file;
    struct training *training = NULL;
    struct rnet_pair pair = {"rnet.program", "compacted"};
    const char *block = rnet_safetensors_value(&file, "rnet.train_block");
    int number = block ? block[0] - '0' : 0;
    int64_t before = 0, after = 0;

    file.tensors = NEW_ARRAY(c->arena, struct rnet_tensor, file.count + 1);
    for (int i = 0; i < file.count; i++) {
        file.tensors[i] = smaller(c, &c->axes->file->tensors[i]);
        before += tensor_count(&c->axes->file->tensors[i]);
        after += tensor_count(&file.tensors[i]);
    }
    if (number >= 0 && number < unit_trainings(c->unit))
        training = lower_training(c->unit, number, lower_options_of(c->options), diagnostics_new(c->arena));
    if (training && training->phases.count == 1)
        pair.value = program_hash(c->arena, training->phases.at[0].step);
    printf("checkpoint: %" PRId64 " numbers, now %" PRId64 "\n", before, after);
    return write_checkpoint(c->checkpoint, &file, &pair, 1);
}

/* Where the class is made, as a person sees it: the use in the program's own file. */
static void print_class(const struct shrinking *s)
{
    const struct axis_member *member = &s->class->members.at[0];
    const struct ir_origin *o = member->tensor->origin;

    while (o && o->caller)
        o = o->caller;
    if (o && o->line)
        fprintf(stderr, "%s:%d:%d: ", o->file, o->line, o->column);
    fprintf(stderr, "%s, axis %s: %" PRId64 " of %" PRId64 " units make no difference, and %" PRId64 " are left out: %s\n",
            member->name, member->tensor->axes[member->axis]->name, s->wanted, s->class->extent, s->given, s->why);
}

static int compact(struct compaction *c)
{
    int status;

    axes_find_gone(c->axes);
    for (int i = 0; i < c->axes->classes.count; i++) {
        struct axis_class *class = c->axes->classes.at[i];

        if (!class->fixed)
            list_add(c->arena, c->shrinking, (struct shrinking){.class = class, .wanted = class->gone_count});
        if (class->gone_count)
            printf("%s, axis %s: %" PRId64 " of %" PRId64 " units make no difference\n", class->members.at[0].name,
                   class->members.at[0].tensor->axes[class->members.at[0].axis]->name, class->gone_count, class->extent);
    }
    status = compact_source(c);
    for (int i = 0; i < c->shrinking.count; i++)
        if (c->shrinking.at[i].given < c->shrinking.at[i].wanted)
            print_class(&c->shrinking.at[i]);
    if (status != RNET_DONE)
        return status;
    if (!c->changed)
        return complain(RNET_FAILED, "%s: there is nothing that can be left out", c->options->files.at[0]);
    choose_positions(c);
    status = write_smaller(c);
    c->replaced = (struct replaced){c->options, c->arena, c->axes, c->unit, c->checkpoint,
                                    "something divides by the extent of an axis that shrinks, or numbers its places"};
    return status == RNET_DONE ? replaced_check(&c->replaced, IR_DOUBLE, ROUNDING, true) : status;
}

int run_compact(struct options *options)
{
    struct replacing replacing;
    struct compaction c = {.options = options, .arena = options->arena};
    int status = replacing_open(options, "compact", &replacing);
    bool done;

    if (status != RNET_DONE)
        return status;
    c.axes = replacing.axes;
    c.path = replacing.path;
    c.checkpoint = replacing.checkpoint;
    status = compact(&c);
    done = status == RNET_DONE;
    if (done) {
        status = replaced_measure(&c.replaced, true);
        printf("program %s, checkpoint %s\n", c.path, c.checkpoint);
    }
    replacing_close(&replacing, done);
    return status;
}
