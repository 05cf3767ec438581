/* sweep.c: rnetc train --sweep NAME=V1,V2 --sweep seed=1..5: a run for each combination, in a sub-folder of the run's
   folder, and one table with means and standard errors over the seeds. With --resume runs that are finished stay,
   others go on. */
#include "train.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct swept {
    const char *name;
    LIST(const char *) values;
};
struct one_run {
    int *chosen; /* value of each swept name */
    bool finite;
    struct report_result result;
};

/* "1,2,5" and "1..5", which may be mixed. */
static bool read_values(struct arena *arena, const struct setting *sweep, struct swept *out)
{
    const char *at = sweep->value;

    out->name = sweep->name;
    while (*at) {
        const char *end = at + strcspn(at, ","), *dots = strstr(at, "..");
        int64_t first, last;
        int read = 0;

        if (end == at)
            return false;
        if (dots && dots < end) {
            if (sscanf(at, "%" SCNd64 "..%" SCNd64 "%n", &first, &last, &read) != 2 || at + read != end ||
                last < first || last - first >= 10000)
                return false;
            for (int64_t i = first; i <= last; i++)
                list_add(arena, out->values, arena_printf(arena, "%" PRId64, i));
        } else {
            list_add(arena, out->values, arena_slice(arena, at, (size_t)(end - at)));
        }
        at = *end ? end + 1 : end;
    }
    return out->values.count > 0;
}

static const char *name_of(struct arena *arena, const struct swept *swept, int count, const int *chosen, bool seeds)
{
    const char *name = "";

    for (int i = 0; i < count; i++)
        if (seeds || strcmp(swept[i].name, "seed"))
            name =
                arena_printf(arena, "%s%s%s=%s", name, *name ? "," : "", swept[i].name, swept[i].values.at[chosen[i]]);
    return name;
}

static int run_one(const struct options *options, const char *folder, const struct swept *swept, int count,
                   struct one_run *run)
{
    struct options one = *options;
    const char *name = name_of(options->arena, swept, count, run->chosen, true);
    int status;

    one.sweeps.count = 0;
    one.quiet = true;
    one.out = arena_printf(options->arena, "%s/%s", folder, name);
    one.resume = options->resume && !access(arena_printf(options->arena, "%s/checkpoint.safetensors", one.out), R_OK);
    /* What was stopped before it had anything to keep begins anew. */
    if (options->resume && !one.resume)
        unlink(arena_printf(options->arena, "%s/log.jsonl", one.out));
    one.settings.at = NULL;
    one.settings.count = one.settings.capacity = 0;
    for (int i = 0; i < options->settings.count; i++)
        list_add(options->arena, one.settings, options->settings.at[i]);
    for (int i = 0; i < count; i++) {
        const char *value = swept[i].values.at[run->chosen[i]];
        char *end;

        if (strcmp(swept[i].name, "seed")) {
            list_add(options->arena, one.settings, (struct setting){swept[i].name, value, .option = "--sweep"});
            continue;
        }
        errno = 0;
        one.seed = strtoull(value, &end, 10);
        one.seed_given = true;
        if (*end || errno || *value == '-')
            return complain(RNET_USAGE, "--sweep seed=%s: expected whole numbers from 0", value);
    }
    fprintf(stderr, "%s\n", name);
    status = train_program(&one, &run->result);
    run->finite = status == RNET_DONE;
    return status == RNET_NONFINITE ? RNET_DONE : status;
}

struct summary {
    int runs;
    double mean, error;
};

/* Over the runs that differ from `first` in the seed alone. */
static struct summary summarise(const struct options *options, const struct swept *swept, int count,
                                const struct one_run *runs, int run_count, const struct one_run *first,
                                const char *what)
{
    const char *group = name_of(options->arena, swept, count, first->chosen, false);
    struct summary summary = {0};
    double squares = 0;

    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < run_count; i++) {
            if (!runs[i].finite || strcmp(group, name_of(options->arena, swept, count, runs[i].chosen, false)))
                continue;
            for (int k = 0; k < runs[i].result.count; k++) {
                double value = runs[i].result.at[k].value;

                if (strcmp(runs[i].result.at[k].name, what))
                    continue;
                if (pass == 0) {
                    summary.mean += value;
                    summary.runs++;
                } else {
                    squares += (value - summary.mean / summary.runs) * (value - summary.mean / summary.runs);
                }
            }
        }
    summary.mean /= summary.runs;
    summary.error = summary.runs > 1 ? sqrt(squares / (summary.runs - 1) / summary.runs) : 0;
    return summary;
}

static void print_table(const struct options *options, const struct swept *swept, int count, const struct one_run *runs,
                        int run_count)
{
    const struct report_result *names = &runs[0].result;
    const char *joint = "";

    for (int i = 0; i < run_count; i++)
        if (runs[i].finite)
            names = &runs[i].result;
    if (options->json)
        printf("[");
    for (int i = 0; i < run_count; i++) {
        const char *group = name_of(options->arena, swept, count, runs[i].chosen, false);
        bool seen = false;
        int all = 0, finite = 0;

        for (int k = 0; k < run_count; k++) {
            bool same = !strcmp(group, name_of(options->arena, swept, count, runs[k].chosen, false));

            seen |= same && k < i;
            all += same;
            finite += same && runs[k].finite;
        }
        if (seen)
            continue;
        if (options->json) {
            printf("%s{\"settings\": {", joint);
            joint = "";
            for (int k = 0; k < count; k++)
                if (strcmp(swept[k].name, "seed")) {
                    printf("%s\"%s\": \"%s\"", joint, swept[k].name, swept[k].values.at[runs[i].chosen[k]]);
                    joint = ", ";
                }
            printf("}, \"runs\": %d, \"finite\": %d", all, finite);
            joint = ",\n ";
        } else {
            printf("%s%s%d run%s", group, *group ? "  " : "", all, all == 1 ? "" : "s");
            if (finite < all)
                printf(", %d not finite", all - finite);
        }
        for (int k = 0; finite && k < names->count; k++) {
            struct summary s = summarise(options, swept, count, runs, run_count, &runs[i], names->at[k].name);

            if (options->json && s.runs > 1)
                printf(", \"%s\": {\"mean\": %.9g, \"standard_error\": %.9g}", names->at[k].name, s.mean, s.error);
            else if (options->json)
                printf(", \"%s\": {\"mean\": %.9g, \"standard_error\": null}", names->at[k].name, s.mean);
            else if (s.runs > 1)
                printf("  %s %.6g +- %.2g", names->at[k].name, s.mean, s.error);
            else
                printf("  %s %.6g", names->at[k].name, s.mean);
        }
        printf("%s", options->json ? "}" : "\n");
    }
    if (options->json)
        printf("]\n");
}

int run_sweep(struct options *options)
{
    int count = options->sweeps.count, total = 1, status = RNET_DONE;
    struct swept *swept = NEW_ARRAY(options->arena, struct swept, count);
    const char *folder = options->out;
    struct one_run *runs;

    for (int i = 0; i < count; i++) {
        if (!read_values(options->arena, &options->sweeps.at[i], &swept[i]))
            return complain(RNET_USAGE, "--sweep %s=%s: expected values apart by commas, or FIRST..LAST upwards",
                            options->sweeps.at[i].name, options->sweeps.at[i].value);
        for (int k = 0; k < swept[i].values.count; k++)
            for (int l = 0; l < k; l++)
                if (!strcmp(swept[i].values.at[k], swept[i].values.at[l]))
                    return complain(RNET_USAGE, "--sweep %s=%s: %s is given twice", swept[i].name, options->sweeps.at[i].value,
                                    swept[i].values.at[k]);
        for (int k = 0; k < i; k++)
            if (!strcmp(swept[k].name, swept[i].name))
                return complain(RNET_USAGE, "--sweep: %s is swept twice", swept[i].name);
        total *= swept[i].values.count;
        if (total > 100000)
            return complain(RNET_USAGE, "--sweep: more than 100000 runs");
    }
    if (!folder)
        folder = arena_printf(options->arena, "runs/%s-sweep", file_stem(options->arena, options->files.at[0]));
    runs = NEW_ARRAY(options->arena, struct one_run, total);
    for (int r = 0; r < total && status == RNET_DONE; r++) {
        int rest = r;

        runs[r].chosen = NEW_ARRAY(options->arena, int, count);
        for (int i = count - 1; i >= 0; i--) {
            runs[r].chosen[i] = rest % swept[i].values.count;
            rest /= swept[i].values.count;
        }
        status = run_one(options, folder, swept, count, &runs[r]);
    }
    if (status == RNET_DONE)
        print_table(options, swept, count, runs, total);
    for (int r = 0; r < total && status == RNET_DONE; r++)
        if (runs[r].finite)
            return RNET_DONE;
    return status == RNET_DONE ? complain(RNET_NONFINITE, "no run of the sweep is finite") : status;
}
