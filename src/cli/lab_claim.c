/* lab_claim.c: do the claims of an experiment hold? A claim compares means over seeds: the difference of its sides is
   taken seed by seed, and holds if its mean is beyond two of its standard errors; `<=` and `>=` hold unless the mean is
   so far on the wrong side. An expect holds for every seed. A setting that a claim does not name means each of its
   values. */
#include "lab.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct court {
    struct lab *lab;
    const struct trial *trial;
    const struct experiment *e;
    int *chosen; /* value of each setting that is free, at the case that is judged */
    bool *free;
    int *arm; /* room for a read */
    int seed;
};

/* ---- numbers ---- */

static double value_of(const struct court *c, const int *chosen, int record)
{
    int arm = 0;

    for (int i = 0; i < c->e->settings.count; i++)
        arm = arm * c->e->settings.at[i].values.count + chosen[i];
    return c->trial->values[((size_t)arm * (size_t)c->trial->seeds + (size_t)c->seed) * (size_t)c->e->records.count +
                            (size_t)record];
}

static int setting_number(const struct experiment *e, const char *name)
{
    for (int i = 0; i < e->settings.count; i++)
        if (!strcmp(e->settings.at[i].name, name))
            return i;
    return -1;
}

static double read_number(const struct court *c, const struct node *node)
{
    const char *name = node->kind == NODE_READ ? node->a->name : node->name;

    for (int r = 0; r < c->e->records.count; r++) {
        if (strcmp(c->e->records.at[r].name, name))
            continue;
        memcpy(c->arm, c->chosen, sizeof *c->arm * (size_t)c->e->settings.count);
        for (int i = 0; node->kind == NODE_READ && i < node->list.count; i++) {
            int setting = setting_number(c->e, node->list.at[i]->name);

            c->arm[setting] = experiment_value(c->lab->unit, &c->e->settings.at[setting], node->list.at[i]->a);
        }
        return value_of(c, c->arm, r);
    }
    if (setting_number(c->e, name) >= 0) {
        int setting = setting_number(c->e, name);

        return strtod(c->e->settings.at[setting].values.at[c->chosen[setting]], NULL);
    }
    return M_PI; /* the only other name that is let through */
}

static double call_function(const struct court *c, const struct node *node);

static double number_of(const struct court *c, const struct node *node)
{
    switch (node->kind) {
    case NODE_NUMBER:
        return node->number;
    case NODE_GROUPED:
        return number_of(c, node->a);
    case NODE_UNARY:
        return node->op == '-' ? -number_of(c, node->a) : number_of(c, node->a) == 0;
    case NODE_IF:
        return number_of(c, node->a) != 0 ? number_of(c, node->b) : number_of(c, node->c);
    case NODE_BINARY:
        return binary_number(node->op, number_of(c, node->a), number_of(c, node->b));
    case NODE_CALL:
        return call_function(c, node);
    default:
        return read_number(c, node);
    }
}

double binary_number(int op, double a, double b)
{
    switch (op) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    case '/':
        return a / b;
    case 'f':
        return floor(a / b);
    case '%':
        return a - b * floor(a / b);
    case '^':
        return pow(a, b);
    case '=':
        return a == b;
    case '!':
        return a != b;
    case 'l':
        return a <= b;
    case 'g':
        return a >= b;
    case '<':
        return a < b;
    case '>':
        return a > b;
    case 'a':
        return a != 0 && b != 0;
    case 'o':
        return a != 0 || b != 0;
    }
    bug("no operator '%c'", op);
}

double function_number(const char *name, const double *a, int count)
{
    double result = a[0];

    if (!strcmp(name, "exp"))
        return exp(a[0]);
    if (!strcmp(name, "log"))
        return log(a[0]);
    if (!strcmp(name, "log1p"))
        return log1p(a[0]);
    if (!strcmp(name, "expm1"))
        return expm1(a[0]);
    if (!strcmp(name, "sqrt"))
        return sqrt(a[0]);
    if (!strcmp(name, "abs"))
        return fabs(a[0]);
    if (!strcmp(name, "floor"))
        return floor(a[0]);
    if (!strcmp(name, "mean"))
        result = a[0] / count;
    for (int i = 1; i < count; i++) {
        if (!strcmp(name, "min"))
            result = a[i] < result || isnan(a[i]) ? a[i] : result;
        else if (!strcmp(name, "max"))
            result = a[i] > result || isnan(a[i]) ? a[i] : result;
        else if (!strcmp(name, "mean"))
            result += a[i] / count;
    }
    return result;
}

static double call_function(const struct court *c, const struct node *node)
{
    double *arguments = calloc((size_t)node->list.count + 1, sizeof *arguments), result;

    for (int i = 0; i < node->list.count; i++)
        arguments[i] = number_of(c, node->list.at[i]->a);
    result = function_number(node->a->name, arguments, node->list.count);
    free(arguments);
    return result;
}

void summarise(const struct trial *trial, int arm, int record, double *mean, double *error)
{
    const double *values =
        trial->values + (size_t)arm * (size_t)trial->seeds * (size_t)trial->experiment->records.count;
    double sum = 0, squares = 0;
    int count = 0;

    for (int s = 0; s < trial->seeds; s++)
        if (!trial->there || trial->there[arm * trial->seeds + s]) {
            sum += values[s * trial->experiment->records.count + record];
            count++;
        }
    *mean = count ? sum / count : NAN;
    for (int s = 0; s < trial->seeds; s++) {
        double away = values[s * trial->experiment->records.count + record] - *mean;

        if (!trial->there || trial->there[arm * trial->seeds + s])
            squares += away * away;
    }
    *error = count > 1 ? sqrt(squares / (count - 1) / count) : NAN;
}

/* ---- which settings a claim leaves free ---- */

static void find_free(struct court *c, const struct node *node)
{
    if (!node)
        return;
    if (node->kind == NODE_PATH && setting_number(c->e, node->name) >= 0)
        c->free[setting_number(c->e, node->name)] = true;
    if (node->kind == NODE_PATH || node->kind == NODE_READ) {
        const char *name = node->kind == NODE_READ ? node->a->name : node->name;
        bool recorded = false;

        for (int i = 0; i < c->e->records.count; i++)
            recorded |= !strcmp(c->e->records.at[i].name, name);
        for (int s = 0; recorded && s < c->e->settings.count; s++) {
            bool named = false;

            for (int i = 0; node->kind == NODE_READ && i < node->list.count; i++)
                named |= setting_number(c->e, node->list.at[i]->name) == s;
            c->free[s] |= !named;
        }
        return;
    }
    find_free(c, node->a);
    find_free(c, node->b);
    find_free(c, node->c);
    for (int i = 0; i < node->list.count; i++)
        find_free(c, node->list.at[i]->kind == NODE_ARGUMENT ? node->list.at[i]->a : node->list.at[i]);
}

/* The next combination of the free settings; false after the last. */
static bool next_case(struct court *c)
{
    for (int i = c->e->settings.count - 1; i >= 0; i--) {
        if (!c->free[i])
            continue;
        if (++c->chosen[i] < c->e->settings.at[i].values.count)
            return true;
        c->chosen[i] = 0;
    }
    return false;
}

static const char *place_text(const struct court *c, bool seed)
{
    const char *text = "";

    for (int i = 0; i < c->e->settings.count; i++)
        if (c->free[i])
            text = arena_printf(c->lab->arena, "%s%s%s = %s", text, *text ? ", " : "", c->e->settings.at[i].name,
                                c->e->settings.at[i].values.at[c->chosen[i]]);
    if (seed)
        text = arena_printf(c->lab->arena, "%s%sseed %" PRIu64, text, *text ? ", " : "", c->trial->seed[c->seed]);
    return text;
}

/* ---- comparisons ---- */

/* How far a verdict is from failing. */
static double margin(const struct verdict *v)
{
    if (v->undefined)
        return -INFINITY;
    return v->op == '<' || v->op == '>' ? v->gap - 2 * v->error : v->gap + 2 * v->error;
}

static struct verdict compare_means(struct court *c, const struct node *node)
{
    struct verdict v = {.op = node->op, .alone = c->trial->seeds < 2};
    double sign = node->op == '<' || node->op == 'l' ? 1 : -1, squares = 0;
    double *gaps = calloc((size_t)c->trial->seeds, sizeof *gaps);

    for (c->seed = 0; c->seed < c->trial->seeds; c->seed++) {
        double left = number_of(c, node->a), right = number_of(c, node->b);

        gaps[c->seed] = left == right ? 0 : sign * (right - left);
        v.left += left / c->trial->seeds;
        v.right += right / c->trial->seeds;
        v.gap += gaps[c->seed] / c->trial->seeds;
    }
    for (int s = 0; s < c->trial->seeds; s++)
        squares += (gaps[s] - v.gap) * (gaps[s] - v.gap);
    v.error = v.alone ? 0 : sqrt(squares / (c->trial->seeds - 1) / c->trial->seeds);
    free(gaps);
    v.undefined = !isfinite(v.gap) || !isfinite(v.error);
    v.holds = !v.undefined && !v.alone && (v.op == '<' || v.op == '>' ? margin(&v) > 0 : margin(&v) >= 0);
    return v;
}

/* Of one seed. The gap is what is left until it fails. */
static struct verdict compare_numbers(struct court *c, const struct node *node)
{
    struct verdict v = {.op = node->op, .left = number_of(c, node->a), .right = number_of(c, node->b)};
    double distance = v.left == v.right ? 0 : v.right - v.left;

    v.undefined = isnan(v.left) || isnan(v.right);
    v.holds = !v.undefined && binary_number(node->op, v.left, v.right) != 0;
    v.gap = node->op == '<' || node->op == 'l'   ? distance
            : node->op == '>' || node->op == 'g' ? -distance
            : node->op == '='                    ? -fabs(distance)
                                                 : fabs(distance);
    return v;
}

static bool worse(const struct verdict *a, const struct verdict *b)
{
    if (a->holds != b->holds)
        return !a->holds;
    return margin(a) < margin(b);
}

static struct verdict formula_verdict(struct court *c, const struct node *node, bool expect)
{
    struct verdict a, b;

    while (node->kind == NODE_GROUPED)
        node = node->a;
    if (node->kind == NODE_UNARY) {
        a = formula_verdict(c, node->a, expect);
        a.holds = !a.holds && !a.undefined;
        a.gap = -a.gap;
        return a;
    }
    if (node->op != 'a' && node->op != 'o')
        return expect ? compare_numbers(c, node) : compare_means(c, node);
    a = formula_verdict(c, node->a, expect);
    b = formula_verdict(c, node->b, expect);
    return worse(&b, &a) == (node->op == 'a') ? b : a;
}

static void judge_claim(struct lab *lab, struct trial *trial, const struct claim *claim, struct verdict *out)
{
    const struct experiment *e = trial->experiment;
    struct court c = {.lab = lab, .trial = trial, .e = e};
    int cases = 0, failed = 0;

    c.chosen = NEW_ARRAY(lab->arena, int, e->settings.count + 1);
    c.arm = NEW_ARRAY(lab->arena, int, e->settings.count + 1);
    c.free = NEW_ARRAY(lab->arena, bool, e->settings.count + 1);
    find_free(&c, claim->formula);
    do {
        for (int s = 0; s < (claim->expect ? trial->seeds : 1); s++) {
            struct verdict v;

            c.seed = s;
            v = formula_verdict(&c, claim->formula, claim->expect);
            c.seed = s;
            v.place = place_text(&c, claim->expect);
            failed += !v.holds;
            if (!cases++ || worse(&v, out))
                *out = v;
        }
    } while (next_case(&c));
    out->cases = cases;
    out->failed = failed;
}

void judge(struct lab *lab, struct trial *trial)
{
    const struct experiment *e = trial->experiment;

    trial->verdicts = NEW_ARRAY(lab->arena, struct verdict, e->claims.count);
    for (int i = 0; i < e->claims.count; i++)
        judge_claim(lab, trial, &e->claims.at[i], &trial->verdicts[i]);
}
