/* The bracket solver against brute force: random reads x[s_1, .., s_k] with +, *, // and %, some with a guarded factor,
   a condition or a computed subscript. What the solved equation gives at each element is compared with the sum over all
   points whose subscripts are that element. The sums have at most some thousand terms of size 1, so 1e-9 absolute is
   far above rounding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "autodiff.h"

enum { MOST = 4 };

struct system {
    struct arena *arena;
    struct ir_program *p;
    uint64_t random;
    struct ir_index *v[MOST];
    int count, rank;
    const struct ir_form *at[MOST];
    struct ir_tensor *x, *w, *g, *label;
    const struct ir_form *of_g, *of_condition[2];
    bool either; /* one of the two conditions is enough */
    bool computed;
    const struct ir_expr *weight;
};

static int pick(struct system *s, int count)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (int)((s->random >> 33) % (uint64_t)count);
}

static const struct ir_form *index_times(struct system *s, int v, int by)
{
    return ir_form_scale(s->p, ir_form_index(s->p, s->v[v]), by);
}

static const struct ir_form *random_form(struct system *s, int depth)
{
    static const int coefficients[] = {1, 1, 1, 2, 3, 4, 6, -1, -2, 5}, divisors[] = {2, 3, 4, 6},
                     later[] = {0, 1, 2, 3, 6};
    const struct ir_form *f = ir_form_constant(s->p, pick(s, 7) - 3);
    int terms = 1 + pick(s, s->count < 3 ? s->count : 3), first = pick(s, s->count);

    for (int i = 0; i < terms; i++)
        f = ir_form_add(s->p, f, index_times(s, (first + i) % s->count, coefficients[pick(s, 10)]));
    if (depth && pick(s, 5) < 2) {
        const struct ir_form *inner = random_form(s, depth - 1);
        int k = divisors[pick(s, 4)];
        f = pick(s, 2) ? ir_form_quotient(s->p, inner, k) : ir_form_remainder(s->p, inner, k);
        f = ir_form_add(s->p, f, index_times(s, pick(s, s->count), later[pick(s, 5)]));
    }
    return f;
}

/* label[v] of some index, in 0 .. 3. */
static const struct ir_form *random_value(struct system *s)
{
    const struct ir_form *at = ir_form_index(s->p, s->v[0]);

    s->computed = true;
    return ir_form_of(s->p, ir_read(s->p, s->label, &at, 1, NULL));
}

/* The weight where f >= 0 and g == 0, or where one of them holds; else 0. */
static void add_condition(struct system *s)
{
    const struct ir_expr *zero = ir_number(s->p, 0), *both;

    for (int i = 0; i < 2; i++)
        s->of_condition[i] = random_form(s, 1);
    if (pick(s, 3) == 0)
        s->of_condition[1] = ir_form_add(s->p, s->of_condition[1], random_value(s));
    s->either = pick(s, 2);
    both = ir_apply(
        s->p, s->either ? IR_or : IR_and,
        ir_apply(s->p, IR_not, ir_apply(s->p, IR_less, ir_of_form(s->p, s->of_condition[0]), zero, NULL), NULL, NULL),
        ir_apply(s->p, IR_equal, ir_of_form(s->p, s->of_condition[1]), zero, NULL), NULL);
    s->weight = ir_apply(s->p, IR_select, both, s->weight, zero);
}

static void make_system(struct system *s)
{
    struct ir_index *axes[MOST], *six;
    const struct ir_form *of_w[MOST];
    static const char *const names[] = {"i", "j", "k", "l"}, *const targets[] = {"a", "b", "c"};

    s->p = ir_program_new(s->arena, "fuzz", IR_DOUBLE);
    s->count = 1 + pick(s, MOST);
    s->rank = 1 + pick(s, 3);
    for (int i = 0; i < s->count; i++) {
        s->v[i] = ir_index(s->p, names[i], 1 + pick(s, 7), false);
        of_w[i] = ir_form_index(s->p, s->v[i]);
    }
    for (int a = 0; a < s->rank; a++) {
        s->at[a] = random_form(s, 1);
        int64_t high = s->at[a]->high < 1 ? 1 : s->at[a]->high > 12 ? 12 : s->at[a]->high;
        axes[a] = ir_index(s->p, targets[a], high + 1 + pick(s, 3), false);
    }
    s->label = ir_leaf(s->p, IR_STATE, "label", s->v, 1, true, 0, 3, NULL);
    if (pick(s, 4) == 0) {
        int a = pick(s, s->rank);
        s->at[a] = ir_form_add(s->p, s->at[a], random_value(s));
    }
    six = ir_index(s->p, "six", 6, false);
    s->x = ir_leaf(s->p, IR_STATE, "x", axes, s->rank, false, 0, 0, NULL);
    s->w = ir_leaf(s->p, IR_STATE, "w", s->v, s->count, false, 0, 0, NULL);
    s->g = ir_leaf(s->p, IR_STATE, "g", &six, 1, false, 0, 0, NULL);
    s->weight = ir_read(s->p, s->w, of_w, s->count, NULL);
    s->of_g = NULL;
    if (pick(s, 2)) {
        s->of_g = random_form(s, 1);
        s->weight = ir_apply(s->p, IR_multiply, s->weight, ir_read(s->p, s->g, &s->of_g, 1, ir_number(s->p, 0)), NULL);
    }
    if (pick(s, 3) == 0)
        add_condition(s);
}

static int64_t value_of(const struct system *s, const struct ir_values *values, const struct ir_form *f,
                        const int64_t *point)
{
    int64_t value = f->constant;

    for (int t = 0; t < f->count; t++) {
        const struct ir_atom *atom = f->terms[t].atom;
        int64_t inner = 0, k = atom->divisor;
        if (atom->kind == IR_ATOM_INDEX) {
            for (int i = 0; i < s->count; i++)
                if (s->v[i] == atom->index)
                    inner = point[i];
        } else if (atom->kind == IR_ATOM_VALUE) {
            inner = (int64_t)values->at[s->label->number][point[0]];
        } else {
            inner = value_of(s, values, atom->form, point);
            int64_t rest = ((inner % k) + k) % k;
            inner = atom->kind == IR_ATOM_REMAINDER ? rest : (inner - rest) / k;
        }
        value += f->terms[t].coefficient * inner;
    }
    return value;
}

static void brute_force(const struct system *s, const struct ir_values *values, double *sum)
{
    int64_t point[MOST], points = ir_elements(s->w);

    for (int64_t n = 0; n < points; n++) {
        int64_t rest = n, element = 0;
        double weight = values->at[s->w->number][n];
        bool inside = true;
        for (int i = s->count - 1; i >= 0; i--) {
            point[i] = rest % s->v[i]->extent;
            rest /= s->v[i]->extent;
        }
        if (s->of_g) {
            int64_t at = value_of(s, values, s->of_g, point);
            weight *= at >= 0 && at < 6 ? values->at[s->g->number][at] : 0;
        }
        if (s->of_condition[0]) {
            bool first = value_of(s, values, s->of_condition[0], point) >= 0;
            bool second = value_of(s, values, s->of_condition[1], point) == 0;
            weight = (s->either ? first || second : first && second) ? weight : 0;
        }
        for (int a = 0; a < s->rank; a++) {
            int64_t at = value_of(s, values, s->at[a], point);
            inside = inside && at >= 0 && at < s->x->axes[a]->extent;
            element = element * s->x->axes[a]->extent + at;
        }
        if (inside)
            sum[element] += weight;
    }
}

/* False if it became a scatter. */
static bool check_system(struct system *s, int number)
{
    struct ir_tensor *d =
        adjoint_of_read(s->p, "d", s->x, s->at, s->v, s->count, s->v, pick(s, s->count + 1), s->weight, NULL);
    struct ir_values values = ir_values_new(s->arena, s->p);
    int64_t elements = ir_elements(s->x);
    double *sum = NEW_ARRAY(s->arena, double, elements);

    for (int t = 0; t < 4; t++)
        for (int64_t i = 0; i < ir_elements(s->p->tensors.at[t]); i++)
            values.at[t][i] = s->p->tensors.at[t]->whole ? pick(s, 4) : pick(s, 2000) * 0.001 - 1;
    brute_force(s, &values, sum);
    if (d)
        ir_evaluate(s->p, &values, (struct ir_run){.step = 1});
    for (int64_t i = 0; i < elements; i++) {
        double got = d ? values.at[d->number][i] : 0;
        if (!(fabs(got - sum[i]) < 1e-9)) {
            struct text text = {0};
            for (int a = 0; a < s->rank; a++) {
                ir_print_form(&text, s->at[a]);
                text_add(&text, a + 1 < s->rank ? ", " : "\n");
            }
            ir_print(&text, s->p);
            fail_msg("system %d, element %d: %.12g, by brute force %.12g\nx[%s", number, (int)i, got, sum[i],
                     text.data);
        }
    }
    return !d || !d->targets;
}

static void random_systems(int first, int count)
{
    int solved = 0;

    for (int i = first; i < first + count; i++) {
        struct system s = {.arena = arena_new(), .random = (uint64_t)i * 7919 + 17};
        make_system(&s);
        solved += check_system(&s, i);
        arena_free(s.arena);
    }
    assert_true(solved > count * 19 / 20);
}

static void two_thousand_random_systems(void **state)
{
    const char *more = getenv("RNET_FUZZ");

    (void)state;
    random_systems(0, more ? atoi(more) : 2000);
}

/* dx of a 56 x 56 x 64 convolution: the work depends on the number of indices, not on extents. */
static void extents_do_not_matter(void **state)
{
    struct arena *arena = arena_new();
    struct ir_program *p = ir_program_new(arena, "large", IR_DOUBLE);
    struct ir_index *v[] = {ir_index(p, "n", 128, true), ir_index(p, "p", 28000, false), ir_index(p, "o", 128, false),
                            ir_index(p, "r", 3, false), ir_index(p, "c", 64, false)};
    struct ir_index *axes[] = {v[0], ir_index(p, "h", 56000, false), v[4]}, *outputs[] = {v[0], v[1], v[2]};
    struct ir_index *kernel[] = {v[3], v[4], v[2]};
    struct ir_tensor *x = ir_leaf(p, IR_STATE, "x", axes, 3, false, 0, 0, NULL);
    struct ir_tensor *dy = ir_leaf(p, IR_STATE, "dy", outputs, 3, false, 0, 0, NULL);
    struct ir_tensor *K = ir_leaf(p, IR_STATE, "K", kernel, 3, false, 0, 0, NULL);
    const struct ir_form *f[5], *h;
    struct text text = {0};

    (void)state;
    for (int i = 0; i < 5; i++)
        f[i] = ir_form_index(p, v[i]);
    h = ir_form_add(p, ir_form_add(p, ir_form_scale(p, f[1], 2), f[3]), ir_form_constant(p, -1));
    const struct ir_expr *weight =
        ir_apply(p, IR_multiply, ir_read(p, dy, (const struct ir_form *[]){f[0], f[1], f[2]}, 3, NULL),
                 ir_read(p, K, (const struct ir_form *[]){f[3], f[4], f[2]}, 3, NULL), NULL);
    struct ir_tensor *d =
        adjoint_of_read(p, "d_x", x, (const struct ir_form *[]){f[0], h, f[4]}, v, 5, outputs, 3, weight, NULL);
    assert_non_null(d);
    ir_print_tensor(&text, d);
    assert_string_equal(text.data,
                        "d_x[n*: 128, h: 56000, c: 64] = sum[o: 128, r: 2] (dy[n, -r + (h + 1) // 2, o] else 0) * "
                        "(K[2 * r + (h + 1) % 2, c, o] else 0)");
    text_free(&text);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_thousand_random_systems),
        cmocka_unit_test(extents_do_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
