/* lab_experiment.c: the runs of a file's experiments, one after another; those that are kept are not made again. */
#include "lab.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void arm_choice(const struct experiment *e, int arm, int *chosen)
{
    for (int i = e->settings.count - 1; i >= 0; i--) {
        chosen[i] = arm % e->settings.at[i].values.count;
        arm /= e->settings.at[i].values.count;
    }
}

const char *arm_text(struct arena *arena, const struct experiment *e, const int *chosen, const char *joint)
{
    const char *text = "";

    for (int i = 0; i < e->settings.count; i++)
        text = arena_printf(arena, "%s%s%s=%s", text, i ? joint : "", e->settings.at[i].name,
                            e->settings.at[i].values.at[chosen[i]]);
    return text;
}

static int run_trial(struct lab *lab, struct trial *trial)
{
    const struct experiment *e = trial->experiment;
    int *chosen = NEW_ARRAY(lab->arena, int, e->settings.count + 1), status = RNET_DONE,
        total = trial->arms * trial->seeds;

    for (int run = 0; run < total && status == RNET_DONE;) {
        double *values = trial->values + (size_t)run * (size_t)e->records.count;
        uint64_t seed = trial->seed[run % trial->seeds];
        const char *path, *what;

        arm_choice(e, run / trial->seeds, chosen);
        path = keep_path(lab, e, chosen, seed);
        what = arena_printf(lab->arena, "%s %s%sseed=%" PRIu64, e->name, arm_text(lab->arena, e, chosen, " "),
                            e->settings.count ? " " : "", seed);
        if (keep_read(lab, path, e, values, &trial->series[run])) {
            trial->kept++;
            run++;
            continue;
        }
        if (lab->options->kept) {
            trial->missing++;
            run++;
            continue;
        }
        fprintf(stderr, "%s: %s (%d of %d)\n", lab->name, what, run + 1, total);
        status = lab_run_arm(lab, e, chosen, seed, values, &trial->series[run]);
        if (status == RNET_DONE)
            status = keep_write(lab, path, e, what, values, &trial->series[run]);
        run += status == RNET_DONE;
        if (status == RNET_INTERRUPTED || (status == RNET_DONE && rnet_interrupt_asked()))
            status = complain(RNET_INTERRUPTED, "interrupted; `rnetc lab %s` goes on with %d of %d", lab->path, run + 1,
                              total);
    }
    return status;
}

static bool trains(const struct lab *lab)
{
    return unit_trainings(lab->unit) > 0;
}

int lab_experiments(struct lab *lab)
{
    int status = RNET_DONE;

    for (int i = 0; i < lab->trials.count && status == RNET_DONE; i++) {
        struct trial *trial = &lab->trials.at[i];
        const struct experiment *e = trial->experiment;

        trial->arms = 1;
        for (int k = 0; k < e->settings.count; k++)
            trial->arms *= e->settings.at[k].values.count;
        trial->seeds = lab->options->seeds ? (int)lab->options->seeds : e->seeds.count;
        trial->seed = NEW_ARRAY(lab->arena, uint64_t, trial->seeds);
        for (int k = 0; k < trial->seeds; k++)
            trial->seed[k] = k < e->seeds.count ? e->seeds.at[k] : trial->seed[k - 1] + 1;
        if (lab->options->quick && trains(lab) && !e->quick) {
            trial->skipped = true;
            continue;
        }
        trial->values =
            NEW_ARRAY(lab->arena, double, (size_t)trial->arms *(size_t)trial->seeds *(size_t)e->records.count);
        trial->series = NEW_ARRAY(lab->arena, kept_series_list, trial->arms * trial->seeds);
        status = run_trial(lab, trial);
        trial->done = status == RNET_DONE && !trial->missing;
        if (trial->done)
            judge(lab, trial);
    }
    return status;
}
