/* turn.c: the phases of a train block in turn, each a step program of its own over the same parameters; and what their
   probes give. A block without phases has one that is always its turn. */
#include "train.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t steps_of_round(const struct trainer *t)
{
    uint64_t all = 0;

    for (int i = 0; i < t->turn_count; i++)
        all += (uint64_t)t->turns[i].phase->times;
    return all;
}

struct turn *turn_at(const struct trainer *t, uint64_t step, uint64_t *own)
{
    uint64_t all = steps_of_round(t), round = (step - 1) / all, rest = (step - 1) % all;
    int i = 0;

    for (; rest >= (uint64_t)t->turns[i].phase->times; i++)
        rest -= (uint64_t)t->turns[i].phase->times;
    *own = round * (uint64_t)t->turns[i].phase->times + rest + 1;
    return &t->turns[i];
}

uint64_t steps_of_turn(const struct trainer *t, const struct turn *turn, uint64_t steps)
{
    uint64_t all = steps_of_round(t), times = (uint64_t)turn->phase->times, rest = steps % all, before = 0;

    for (const struct turn *other = t->turns; other < turn; other++)
        before += (uint64_t)other->phase->times;
    rest = rest > before ? rest - before : 0;
    return steps / all * times + (rest < times ? rest : times);
}

int turn_programs(const struct trainer *t, const struct ir_program **programs)
{
    int count = 0;

    for (int i = 0; i < t->turn_count; i++)
        programs[count++] = t->turns[i].compiled.program;
    if (t->training->report)
        programs[count++] = t->report_compiled.program;
    return count;
}

/* ---- probes ---- */

static bool write_tensor(const struct trainer *t, const struct turn *turn, const struct ir_output *output, uint64_t step,
                         struct rnet_error *error)
{
    const struct ir_tensor *tensor = output->tensor;
    const void *data = instance_data(&turn->probe_instance, tensor);
    int64_t count = ir_elements(tensor);
    double *numbers = malloc(sizeof *numbers * (size_t)count + 1);
    struct rnet_array array = {.type = RNET_F64, .rank = tensor->rank, .data = numbers};
    const char *path = arena_printf(t->options->arena, "%s/%s%s%s%s%s-%06" PRIu64 ".npy", t->folder,
                                    t->blocks > 1 ? t->training->model : "", t->blocks > 1 ? "." : "",
                                    turn->phase->name ? turn->phase->name : "", turn->phase->name ? "." : "", output->name,
                                    step);
    bool done;

    if (!data)
        bug("output %s is not stored", output->name);
    if (!numbers) {
        complain(RNET_FAILED, "out of memory");
        exit(RNET_FAILED);
    }
    for (int i = 0; i < tensor->rank; i++)
        array.shape[i] = tensor->axes[i]->extent;
    for (int64_t i = 0; i < count; i++)
        numbers[i] = stored_number(data, tensor->storage, i);
    done = rnet_write_npy(path, &array, error);
    free(numbers);
    return done;
}

bool probe_run(struct trainer *t, struct turn *turn, const int64_t *items, uint64_t position, uint64_t step,
               struct rnet_error *error)
{
    const struct ir_program *p = turn->probe_compiled.program;

    turn->probe_due = false;
    if (!turn->phase->probe)
        return true;
    if (t->items)
        dataset_gather(&turn->dataset, &turn->probe_instance, items, t->training->batch);
    instance_run(&turn->probe_instance, position, step, scalar_value, &t->clock);
    for (int i = 0; i < p->outputs.count; i++)
        if (!write_tensor(t, turn, &p->outputs.at[i], step, error))
            return false;
    return true;
}
