/* range.c: which results are whole numbers, and in which interval. One row an operator: range_NAME for every operator
   whose result can be whole (an operator of ops.def without one does not build). Intervals are right for every value of
   the operands, not always the smallest. INT64_MIN and INT64_MAX stand for no bound. What may
   leave 64 bits though its operands have bounds is a real number: (i + 1)^60 is 4e28 as one, and in 64 bits what is left of it. */
#include "internal.h"

#include <stdlib.h>

static const struct interval unbounded = {INT64_MIN, INT64_MAX};

static bool infinite(int64_t a)
{
    return a == INT64_MIN || a == INT64_MAX;
}

static bool is_bounded(struct interval a)
{
    return !infinite(a.low) && !infinite(a.high);
}

static int64_t clamped_sum(int64_t a, int64_t b)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

int64_t saturating_multiply(int64_t a, int64_t b)
{
    int64_t product;

    if (!a || !b)
        return 0;
    if (infinite(a) || infinite(b) || __builtin_mul_overflow(a, b, &product))
        return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
    return product;
}

int64_t floor_divide(int64_t a, int64_t by)
{
    if (infinite(a))
        return a;
    return a / by - (a % by < 0);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t saturating_negate(int64_t a)
{
    return a == INT64_MIN ? INT64_MAX : a == INT64_MAX ? INT64_MIN : -a;
}

struct interval interval_scale(struct interval a, int64_t by)
{
    int64_t low = saturating_multiply(a.low, by), high = saturating_multiply(a.high, by);

    return by >= 0 ? (struct interval){low, high} : (struct interval){high, low};
}

struct interval interval_add(struct interval a, struct interval b)
{
    return (struct interval){
        a.low == INT64_MIN || b.low == INT64_MIN ? INT64_MIN : clamped_sum(a.low, b.low),
        a.high == INT64_MAX || b.high == INT64_MAX ? INT64_MAX : clamped_sum(a.high, b.high),
    };
}

static struct interval hull(struct interval a, struct interval b)
{
    return (struct interval){smaller(a.low, b.low), larger(a.high, b.high)};
}

static struct interval absolute(struct interval a)
{
    int64_t low = saturating_negate(a.low);

    if (a.low >= 0)
        return a;
    if (a.high <= 0)
        return (struct interval){saturating_negate(a.high), low};
    return (struct interval){0, larger(low, a.high)};
}

/* a^n for a >= 0, n >= 0. */
static int64_t saturating_power(int64_t a, int64_t n)
{
    int64_t result = 1;

    if (a <= 1)
        return n && !a ? 0 : 1;
    while (n-- > 0 && !infinite(result))
        result = saturating_multiply(result, a);
    return result;
}

/* ---- rows ---- */

static struct interval range_add(const struct interval *a)
{
    return interval_add(a[0], a[1]);
}

static struct interval range_subtract(const struct interval *a)
{
    return interval_add(a[0], interval_scale(a[1], -1));
}

static struct interval range_negate(const struct interval *a)
{
    return interval_scale(a[0], -1);
}

static struct interval range_multiply(const struct interval *a)
{
    int64_t ll = saturating_multiply(a[0].low, a[1].low), lh = saturating_multiply(a[0].low, a[1].high);
    int64_t hl = saturating_multiply(a[0].high, a[1].low), hh = saturating_multiply(a[0].high, a[1].high);

    return (struct interval){smaller(smaller(ll, lh), smaller(hl, hh)), larger(larger(ll, lh), larger(hl, hh))};
}

static struct interval range_quotient(const struct interval *a)
{
    struct interval low, high;

    if (a[1].low <= 0)
        return unbounded;
    low = (struct interval){floor_divide(a[0].low, a[1].low), floor_divide(a[0].high, a[1].low)};
    if (a[1].high == INT64_MAX)
        return hull(low, (struct interval){a[0].low < 0 ? -1 : 0, a[0].high < 0 ? -1 : 0});
    high = (struct interval){floor_divide(a[0].low, a[1].high), floor_divide(a[0].high, a[1].high)};
    return hull(low, high);
}

static struct interval range_remainder(const struct interval *a)
{
    if (a[1].low <= 0)
        return unbounded;
    return (struct interval){0, a[1].high == INT64_MAX ? INT64_MAX : a[1].high - 1};
}

/* requires: the exponent is not negative (infer_whole sees to it) */
static struct interval range_power(const struct interval *a)
{
    struct interval size = absolute(a[0]);
    int64_t high = larger(saturating_power(size.high, a[1].high), a[1].low == 0);

    if (a[0].low >= 0)
        return (struct interval){a[0].low == 0 ? 0 : saturating_power(a[0].low, a[1].low), high};
    if (a[1].low == a[1].high && a[1].low % 2 == 0)
        return (struct interval){0, high};
    return (struct interval){saturating_negate(high), high};
}

static struct interval range_max(const struct interval *a)
{
    return (struct interval){larger(a[0].low, a[1].low), larger(a[0].high, a[1].high)};
}

static struct interval range_min(const struct interval *a)
{
    return (struct interval){smaller(a[0].low, a[1].low), smaller(a[0].high, a[1].high)};
}

static struct interval range_select(const struct interval *a)
{
    return hull(a[1], a[2]);
}

static struct interval range_abs(const struct interval *a)
{
    return absolute(a[0]);
}

static struct interval range_sign(const struct interval *a)
{
    return (struct interval){(a[0].low > 0) - (a[0].low < 0), (a[0].high > 0) - (a[0].high < 0)};
}

static struct interval range_floor(const struct interval *a)
{
    return a[0];
}

static struct interval range_stop(const struct interval *a)
{
    return a[0];
}

static struct interval range_truth(const struct interval *a)
{
    (void)a;
    return (struct interval){0, 1};
}

#define ROW_REAL(name)   NULL
#define ROW_WHOLE(name)  range_##name
#define ROW_CHOICE(name) range_##name
#define ROW_TRUTH(name)  range_truth
static struct interval (*const rows[IR_OP_COUNT])(const struct interval *) = {
#define OP(name, arity, form, symbol, level, result, laws, ...) [IR_##name] = ROW_##result(name),
#include "ops.def"
#undef OP
};

bool infer_whole(enum ir_op op, const struct ir_expr *const *arguments, struct interval *range)
{
    const struct ir_operator *row = &ir_operators[op];
    struct interval of[3] = {unbounded, unbounded, unbounded};
    int first = row->result == IR_RESULT_CHOICE ? 1 : 0;
    bool bounded = true;

    *range = unbounded;
    if (row->result == IR_RESULT_REAL)
        return false;
    for (int i = 0; i < row->arity; i++) {
        if (i >= first && row->result != IR_RESULT_TRUTH && !arguments[i]->whole)
            return false;
        of[i] = (struct interval){arguments[i]->low, arguments[i]->high};
        bounded = bounded && is_bounded(of[i]);
    }
    if (op == IR_power && of[1].low < 0)
        return false;
    *range = rows[op](of);
    if (!bounded || is_bounded(*range))
        return true;
    *range = unbounded;
    return false;
}

bool infer_reduction(enum ir_reduction reduction, struct ir_index *const *reduced, int count,
                     const struct ir_expr *value, struct interval *range)
{
    struct interval of = {value->low, value->high};
    int64_t extent = ir_extent_product(reduced, count), size;

    *range = unbounded;
    if (reduction == IR_ARGMAX || reduction == IR_ARGMIN) {
        *range = (struct interval){0, extent - 1};
        return true;
    }
    if (!value->whole)
        return false;
    switch (reduction) {
    case IR_SUM:
        *range = interval_scale(of, extent);
        break;
    case IR_PRODUCT:
        size = saturating_power(absolute(of).high, extent);
        *range = of.low >= 0 ? (struct interval){saturating_power(of.low, extent), size}
                             : (struct interval){saturating_negate(size), size};
        break;
    default:
        *range = of;
    }
    if (!is_bounded(of) || is_bounded(*range))
        return true;
    *range = unbounded;
    return false;
}
