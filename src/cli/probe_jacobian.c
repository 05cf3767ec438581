/* probe_jacobian.c: singular values of the Jacobian of a model's answer by one of its values, sample by sample. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "autodiff.h"
#include "probe_bench.h"

enum { SAMPLES = 32, LARGEST = 512 };

static int64_t own_elements(const struct ir_tensor *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++)
        count *= t->axes[i]->batch ? 1 : t->axes[i]->extent;
    return count;
}

const char *jacobian_graph(struct probe *probe)
{
    struct ir_program *p = probe->phase->objective;
    const char *name = probe->options->jacobian, *wrong;
    int number = find_probed(probe->values.at, probe->values.count, name);
    struct ir_tensor *of, *by, *gradient = NULL;
    const struct ir_tensor *where;
    bool *apart;

    if (number == -2)
        return arena_printf(probe->arena, "%s is the end of several names: give all of it, as the table has it", name);
    if (number < 0)
        return arena_printf(probe->arena, "there is no equation %s between the parameters and the loss; the first column of the table has their names", name);
    if (probe->answer < 0 || probe->answer == number)
        return arena_printf(probe->arena, "%s is the answer itself", name);
    by = probe->values.at[number].tensor;
    of = probe->values.at[probe->answer].tensor;
    if (probe->pooled.count)
        return arena_printf(probe->arena, "%s pools the batch: a sample's answer depends on other samples and has no Jacobian of its own",
                            probe->pooled.at[0].name);
    if (own_elements(of) > LARGEST && own_elements(by) > LARGEST)
        return arena_printf(probe->arena, "the Jacobian of %s by %s is %lld by %lld; at most %d of one side are done", of->name, by->name,
                            (long long)own_elements(of), (long long)own_elements(by), LARGEST);
    apart = NEW_ARRAY(probe->arena, bool, of->rank + 1);
    for (int i = 0; i < of->rank; i++)
        apart[i] = !of->axes[i]->batch;
    wrong = differentiate_each(p, of, apart, &by, 1, &gradient, &where);
    if (wrong)
        return wrong;
    if (!gradient)
        return arena_printf(probe->arena, "%s does not depend on %s", of->name, by->name);
    ir_add_output(p, "jacobian", gradient, false);
    probe->jacobian.of = of;
    probe->jacobian.by = by;
    probe->jacobian.name = probe->values.at[number].name;
    return NULL;
}

/* One-sided Jacobi: turns pairs of rows until they are at right angles; their norms are the singular values. */
void singular_values(double *rows, int64_t count, int64_t length, double *out)
{
    bool turned = true;

    for (int sweep = 0; turned && sweep < 60; sweep++) {
        turned = false;
        for (int64_t i = 0; i < count; i++)
            for (int64_t k = i + 1; k < count; k++) {
                double *a = rows + i * length, *b = rows + k * length, aa = 0, bb = 0, ab = 0, zeta, t, c, s;

                for (int64_t j = 0; j < length; j++)
                    aa += a[j] * a[j], bb += b[j] * b[j], ab += a[j] * b[j];
                if (fabs(ab) <= 1e-14 * sqrt(aa * bb) || ab == 0)
                    continue;
                turned = true;
                zeta = (bb - aa) / (2 * ab);
                t = (zeta >= 0 ? 1 : -1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
                c = 1 / sqrt(1 + t * t);
                s = c * t;
                for (int64_t j = 0; j < length; j++) {
                    double x = a[j];

                    a[j] = c * x - s * b[j];
                    b[j] = s * x + c * b[j];
                }
            }
    }
    for (int64_t i = 0; i < count; i++) {
        double norm = norm_of(rows + i * length, length);
        int64_t at = i;

        for (; at > 0 && out[at - 1] < norm; at--)
            out[at] = out[at - 1];
        out[at] = norm;
    }
}

void measure_jacobian(struct bench *b)
{
    struct probe *probe = b->probe;
    struct jacobian *j = &probe->jacobian;
    int64_t m = own_elements(j->of), k = own_elements(j->by), whole = ir_elements(j->by), samples = whole / k, below = 1;
    double *numbers = numbers_of(&b->measure_run, "jacobian"), *rows = memory_for(sizeof *rows * (size_t)(m * k));
    bool lying = m <= k; /* rows are what there are fewer of */

    for (int i = j->by->rank - 1; i >= 0 && !j->by->axes[i]->batch; i--)
        below *= j->by->axes[i]->extent;
    if (samples == 1)
        below = k;
    j->samples = samples < SAMPLES ? (int)samples : SAMPLES;
    j->count = (int)(lying ? m : k);
    j->singular = NEW_ARRAY(probe->arena, double, j->samples * j->count);
    for (int s = 0; numbers && s < j->samples; s++) {
        for (int64_t r = 0; r < m; r++)
            for (int64_t c = 0; c < k; c++) {
                double value = numbers[r * whole + c / below * below * samples + s * below + c % below];

                rows[lying ? r * k + c : c * m + r] = value;
            }
        singular_values(rows, j->count, lying ? k : m, j->singular + (int64_t)s * j->count);
    }
    free(rows);
    free(numbers);
}

void print_jacobian(const struct probe *probe)
{
    const struct jacobian *j = &probe->jacobian;

    printf("\nJacobian of %s by %s: singular values of %d samples, mean (least .. greatest)\n", probe->values.at[probe->answer].name, j->name,
           j->samples);
    for (int k = 0; k < j->count; k++) {
        double mean = 0, least = INFINITY, greatest = 0;

        if (k == 8 && j->count > 10) {
            printf("  ..\n");
            k = j->count - 1;
        }
        for (int s = 0; s < j->samples; s++) {
            double value = j->singular[s * j->count + k];

            mean += value / j->samples;
            least = fmin(least, value);
            greatest = fmax(greatest, value);
        }
        printf("  %4d  %.4g (%.4g .. %.4g)\n", k + 1, mean, least, greatest);
    }
}
