/* expect.c: does an expectation hold for every element, and if not, by how much is it missed, and where? Numbers are
   compared as doubles. What is not a number holds nothing, whichever way it is compared. */
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a part of the formula says of one element. miss: how far the left side would have to move; below 0 if it holds.
 */
struct said {
    bool holds, undefined;
    double miss;
    int comparison; /* on which it rests */
};

struct looking {
    const struct expectation *e;
    const double *const *sides;
    const int64_t *extents, *index;
    bool single;
};

static double side_number(const struct looking *l, const struct expect_side *side, const double *values)
{
    int64_t element = 0;

    if (!side->output)
        return l->single ? (double)(float)side->number : side->number;
    for (int i = 0; i < side->axes.count; i++)
        element = element * l->extents[side->axes.at[i]] + l->index[side->axes.at[i]];
    return values[element];
}

static struct said compare(const struct looking *l, int number)
{
    const struct comparison *c = &l->e->comparisons.at[number];
    double left = side_number(l, &c->left, l->sides[4 * number]);
    double right = side_number(l, &c->right, l->sides[4 * number + 1]), distance;
    struct said said = {.comparison = number};

    if (isnan(left) || isnan(right))
        return (struct said){.undefined = true, .miss = INFINITY, .comparison = number};
    distance = left == right ? 0 : left - right;
    switch (c->op) {
    case '<':
    case 'l':
        said.holds = c->op == '<' ? left < right : left <= right;
        said.miss = distance;
        break;
    case '>':
    case 'g':
        said.holds = c->op == '>' ? left > right : left >= right;
        said.miss = -distance;
        break;
    case '=':
        said.holds = left == right;
        said.miss = fabs(distance);
        break;
    case '!':
        said.holds = left != right;
        said.miss = -fabs(distance);
        break;
    default:
        bug("no comparison '%c'", c->op);
    }
    return said;
}

/* Is a further from holding than b? */
static bool worse(struct said a, struct said b)
{
    if (a.holds != b.holds)
        return !a.holds;
    return a.miss > b.miss;
}

static struct said evaluate(const struct looking *l, struct said *stack)
{
    int top = 0;

    for (int i = 0; i < l->e->formula.count; i++) {
        int what = l->e->formula.at[i];

        if (what >= 0) {
            stack[top++] = compare(l, what);
            continue;
        }
        if (what == -'n') {
            struct said *s = &stack[top - 1];

            if (!s->undefined) {
                s->holds = !s->holds;
                s->miss = -s->miss;
            }
            continue;
        }
        top--;
        if (worse(stack[top], stack[top - 1]) == (what == -'a'))
            stack[top - 1] = stack[top];
    }
    return stack[0];
}

static void remember(struct expect_outcome *out, const struct looking *l, struct said said, int64_t first)
{
    const struct comparison *c = &l->e->comparisons.at[said.comparison];
    const double *const *sides = l->sides + 4 * said.comparison;

    out->holds = said.holds;
    out->miss = said.miss;
    out->op = c->op;
    out->parts = c->parts;
    out->left = side_number(l, &c->left, sides[0]);
    out->right = side_number(l, &c->right, sides[1]);
    if (c->parts) {
        out->first = side_number(l, &c->first, sides[2]);
        out->second = side_number(l, &c->second, sides[3]);
    }
    out->rank = l->e->axes.count < MAX_EXPECT_AXES ? l->e->axes.count : MAX_EXPECT_AXES;
    for (int i = 0; i < out->rank; i++)
        out->index[i] = l->index[i] + (l->e->axes.at[i].batch ? first : 0);
}

void expect_check(const struct expectation *e, const double *const *sides, int64_t items, int64_t first, bool single,
                  struct expect_outcome *out)
{
    struct arena *arena = arena_new();
    struct said *stack = NEW_ARRAY(arena, struct said, e->formula.count + 1);
    int64_t *extents = NEW_ARRAY(arena, int64_t, e->axes.count + 1),
            *index = NEW_ARRAY(arena, int64_t, e->axes.count + 1);
    struct looking looking = {e, sides, extents, index, single};
    int64_t elements = 1;

    for (int i = 0; i < e->axes.count; i++) {
        extents[i] = e->axes.at[i].batch ? items : e->axes.at[i].extent;
        elements *= extents[i];
    }
    for (int64_t element = 0; element < elements; element++) {
        struct said said = evaluate(&looking, stack);
        struct said worst = {.holds = out->holds, .miss = out->miss};

        if (!out->elements || worse(said, worst))
            remember(out, &looking, said, first);
        out->elements++;
        out->failed += !said.holds;
        for (int i = e->axes.count - 1; i >= 0 && ++index[i] == extents[i]; i--)
            index[i] = 0;
    }
    arena_free(arena);
}

void report_expect(const struct report *report, const struct report_result *result, const struct expectation *e,
                   struct expect_outcome *outcome)
{
    const double **sides = calloc((size_t)e->comparisons.count * 4 + 1, sizeof *sides);

    if (!sides)
        bug("no memory for %d comparisons", e->comparisons.count);
    for (int i = 0; i < 4 * e->comparisons.count; i++) {
        const struct comparison *c = &e->comparisons.at[i / 4];
        const struct expect_side *const side[4] = {&c->left, &c->right, &c->first, &c->second};

        for (int k = 0; side[i % 4]->output && k < report->sides; k++)
            if (!strcmp(result->at[result->count + k].name, side[i % 4]->output))
                sides[i] = &result->at[result->count + k].value;
    }
    *outcome = (struct expect_outcome){0};
    expect_check(e, sides, 1, 0, false, outcome);
    free(sides);
}
