/* probe_numbers.c: statistics of one tensor's numbers, unit by unit and step by step. */
#include "probe_bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEEN = 64 };

void *memory_for(size_t bytes)
{
    void *memory = malloc(bytes + 1);

    if (!memory) {
        complain(RNET_FAILED, "out of memory");
        exit(RNET_FAILED);
    }
    return memory;
}

bool all_finite(const double *numbers, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return false;
    return true;
}

int64_t leave_out(double *numbers, int64_t count)
{
    int64_t left = 0;

    for (int64_t i = 0; i < count; i++)
        if (!isinf(numbers[i]))
            numbers[left++] = numbers[i];
    return left;
}

double norm_of(const double *numbers, int64_t count)
{
    double largest = 0, sum = 0;

    for (int64_t i = 0; i < count; i++)
        if (fabs(numbers[i]) > largest || isnan(numbers[i]))
            largest = fabs(numbers[i]);
    if (largest == 0 || !isfinite(largest))
        return largest;
    for (int64_t i = 0; i < count; i++)
        sum += numbers[i] / largest * (numbers[i] / largest);
    return largest * sqrt(sum);
}

void moments(const double *numbers, int64_t count, struct measured *m)
{
    double zeros = 0, sum = 0, square = 0;

    for (int64_t i = 0; i < count; i++) {
        sum += numbers[i];
        zeros += numbers[i] == 0;
    }
    m->mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++)
        square += (numbers[i] - m->mean) * (numbers[i] - m->mean);
    m->deviation = sqrt(square / (double)count);
    m->zeros = zeros / (double)count;
    m->norm = norm_of(numbers, count);
    m->finite = all_finite(numbers, count);
}

int64_t number_units(const struct probed *v, int64_t *unit)
{
    const struct ir_tensor *t = v->tensor;
    int64_t count = ir_elements(t), units = 1;

    for (int64_t i = 0; i < count; i++)
        unit[i] = 0;
    for (int a = t->rank - 1; a >= 0; a--) {
        int64_t below = 1;

        for (int k = a + 1; k < t->rank; k++)
            below *= t->axes[k]->extent;
        if (!v->units[a])
            continue;
        for (int64_t i = 0; i < count; i++)
            unit[i] += i / below % t->axes[a]->extent * units;
        units *= t->axes[a]->extent;
    }
    return units;
}

/* Mean size of the correlation of two units over samples and places, of SEEN units at most. NAN if fewer than two vary. */
double correlation_of(const struct probed *v, const double *value)
{
    int64_t count = ir_elements(v->tensor), *unit = memory_for(sizeof *unit * (size_t)count), units = number_units(v, unit), per = v->per_unit;
    int64_t seen = units < SEEN ? units : SEEN, stride = units / seen, rows = 0;
    double *table = memory_for(sizeof *table * (size_t)(seen * per)), sum = 0, pairs = 0;
    int64_t *filled = memory_for(sizeof *filled * (size_t)units);

    memset(filled, 0, sizeof *filled * (size_t)units);
    for (int64_t i = 0; i < count; i++)
        if (unit[i] % stride == 0 && unit[i] / stride < seen)
            table[unit[i] / stride * per + filled[unit[i]]++] = value[i];
    for (int64_t u = 0; u < seen; u++) {
        double mean = 0, norm = 0, *row = table + u * per, *kept = table + rows * per;

        for (int64_t i = 0; i < per; i++)
            mean += row[i] / (double)per;
        for (int64_t i = 0; i < per; i++)
            norm += (row[i] - mean) * (row[i] - mean);
        for (int64_t i = 0; i < per; i++)
            kept[i] = (row[i] - mean) / sqrt(norm);
        rows += norm > 0 && isfinite(norm);
    }
    for (int64_t u = 0; u < rows; u++)
        for (int64_t w = 0; w < u; w++, pairs++) {
            double product = 0;

            for (int64_t i = 0; i < per; i++)
                product += table[u * per + i] * table[w * per + i];
            sum += fabs(product);
        }
    free(filled);
    free(table);
    free(unit);
    return pairs ? sum / pairs : NAN;
}

void measure_slope(struct arena *arena, struct probed *v, const double *value, const double *slope, bool keep, struct measured *m)
{
    int64_t count = ir_elements(v->tensor), *unit = memory_for(sizeof *unit * (size_t)count), units = number_units(v, unit);
    bool *alive = keep && v->alive ? v->alive : NEW_ARRAY(arena, bool, units);
    double off = 0, saturated = 0, dead = 0;

    for (int64_t i = 0; i < count; i++) {
        if (value[i] == 0 && slope[i] == 0)
            off++;
        else if (slope[i] < FLAT)
            saturated++;
        if (slope[i] != 0)
            alive[unit[i]] = true;
    }
    for (int64_t u = 0; u < units; u++)
        dead += !alive[u];
    m->off = off / (double)count;
    m->saturated = saturated / (double)count;
    m->dead = dead / (double)units;
    if (keep)
        v->alive = alive;
    free(unit);
}

/* Along one of the axes of units, is each value that of its neighbours? To rounding: they may have been summed in another order. */
bool are_alike(const struct probed *v, const double *value)
{
    const struct ir_tensor *t = v->tensor;
    int64_t count = ir_elements(t), below = 1;

    for (int a = t->rank - 1; a >= 0; below *= t->axes[a--]->extent) {
        int64_t extent = t->axes[a]->extent;
        bool alike = v->units[a] && a != v->time && extent > 1;

        for (int64_t i = 0; alike && i < count; i++) {
            double first = value[i - i / below % extent * below];

            alike = fabs(value[i] - first) <= 1e-6 * fabs(first);
        }
        if (alike)
            return true;
    }
    return false;
}

double *norms_by_step(struct arena *arena, const struct probed *v, const double *numbers)
{
    const struct ir_tensor *t = v->tensor;
    int64_t count = ir_elements(t), steps = t->axes[v->time]->extent, below = 1, per = count / steps;
    double *norms = NEW_ARRAY(arena, double, steps), *at = memory_for(sizeof *at * (size_t)per);

    for (int k = v->time + 1; k < t->rank; k++)
        below *= t->axes[k]->extent;
    for (int64_t s = 0; s < steps; s++) {
        for (int64_t i = 0; i < per; i++)
            at[i] = numbers[i / below * below * steps + s * below + i % below];
        norms[s] = norm_of(at, per);
    }
    free(at);
    return norms;
}

void fold(double *mean, double value, double part)
{
    *mean += (value - *mean) * part;
}

/* With two independent draws for the same samples, the covariance of a unit's two values over them is the variance that it has without
   noise; summed over units. */
double variance_ratio(const struct probed *v, const double *first, const double *second)
{
    int64_t count = ir_elements(v->tensor), *unit = memory_for(sizeof *unit * (size_t)count), units = number_units(v, unit);
    double *sums = memory_for(sizeof *sums * (size_t)(2 * units)), variance = 0, covariance = 0, per = (double)v->per_unit;

    memset(sums, 0, sizeof *sums * (size_t)(2 * units));
    for (int64_t i = 0; i < count; i++) {
        sums[2 * unit[i]] += first[i];
        sums[2 * unit[i] + 1] += second[i];
    }
    for (int64_t i = 0; i < count; i++) {
        double a = first[i] - sums[2 * unit[i]] / per, c = second[i] - sums[2 * unit[i] + 1] / per;

        variance += (a * a + c * c) / 2;
        covariance += a * c;
    }
    free(sums);
    free(unit);
    return covariance > 0 ? variance / covariance : INFINITY;
}

int find_probed(const struct probed *all, int count, const char *name)
{
    size_t length = strlen(name);
    int found = -1;

    for (int i = 0; i < count; i++) {
        size_t full = strlen(all[i].name);

        if (!strcmp(all[i].name, name))
            return i;
        if (full > length && all[i].name[full - length - 1] == '.' && !strcmp(all[i].name + full - length, name))
            found = found == -1 ? i : -2;
    }
    return found;
}
