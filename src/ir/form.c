/* form.c: whole numbers computed from indices, normalised. // rounds down, so everywhere f = k*(f//k) + f%k, 0 <= f%k <
   k.

   The rules, each an identity for all values of the atoms within their intervals:
     1  (k*A + g)//k = A + g//k and (k*A + g)%k = g%k, the constant of g in [0, k);
        if the interval of g lies in one cell of k, g//k is a number and g%k affine
     2  (d*h + l)//k = h//(k/d) and (d*h + l)%k = d*(h%(k/d)) + l, for d | k and 0 <= l < d
     3  k*(f//k) + f%k = f;  f//j - k*(f//(j*k)) = (f//j)%k;  f - k*(f//k) = f%k;  (f//a)//b = f//(a*b)
     4  inside (..)//k and (..)%k: c*(g%j), k | c*j, is c*g - c*j*(g//j), if fewer terms are left
   They end: 1, 2 and 4 lower the divisor or the number of terms; each of 3 lowers the multiset of quotients at the top
   of the form, ordered by nesting. A coefficient or constant that leaves 64 bits is a bug, never a wrong number. */
#include "internal.h"

#include <stdlib.h>

static int64_t exact_multiply(int64_t a, int64_t b)
{
    int64_t product;

    if (__builtin_mul_overflow(a, b, &product))
        bug("a subscript's coefficient leaves 64 bits");
    return product;
}

static int64_t exact_add(int64_t a, int64_t b)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        bug("a subscript's coefficient leaves 64 bits");
    return sum;
}

static int64_t modulo(int64_t a, int64_t by)
{
    int64_t rest = a % by;

    return rest < 0 ? rest + by : rest;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a < 0 ? -a : a;
}

/* ---- sums under construction: no atom twice, no coefficient 0, in no order yet ---- */

struct sum {
    int64_t constant;
    LIST(struct ir_term) terms;
};

static int find_term(const struct sum *sum, const struct ir_atom *atom)
{
    for (int i = 0; i < sum->terms.count; i++)
        if (sum->terms.at[i].atom == atom)
            return i;
    return -1;
}

static void add_term(struct ir_program *p, struct sum *sum, int64_t coefficient, const struct ir_atom *atom)
{
    int i = find_term(sum, atom);

    if (!coefficient)
        return;
    if (i < 0) {
        list_add(p->arena, sum->terms, (struct ir_term){coefficient, atom});
        return;
    }
    sum->terms.at[i].coefficient = exact_add(sum->terms.at[i].coefficient, coefficient);
    if (!sum->terms.at[i].coefficient)
        sum->terms.at[i] = sum->terms.at[--sum->terms.count];
}

static void add_form(struct ir_program *p, struct sum *sum, int64_t by, const struct ir_form *form)
{
    sum->constant = exact_add(sum->constant, exact_multiply(by, form->constant));
    for (int i = 0; i < form->count; i++)
        add_term(p, sum, exact_multiply(by, form->terms[i].coefficient), form->terms[i].atom);
}

/* Does the sum stay within 64 bits if by * form is added? */
static bool stays_exact(const struct sum *sum, int64_t by, const struct ir_form *form)
{
    int64_t product, total;

    if (__builtin_mul_overflow(by, form->constant, &product) ||
        __builtin_add_overflow(sum->constant, product, &total))
        return false;
    for (int i = 0; i < form->count; i++) {
        int at = find_term(sum, form->terms[i].atom);

        if (__builtin_mul_overflow(by, form->terms[i].coefficient, &product) ||
            __builtin_add_overflow(at < 0 ? 0 : sum->terms.at[at].coefficient, product, &total))
            return false;
    }
    return true;
}

static const struct ir_form *form_of_terms(struct ir_program *p, int64_t constant, const struct ir_term *terms,
                                           int count)
{
    struct ir_form form = {.constant = constant, .count = count, .terms = terms};
    struct interval range = {constant, constant};

    for (int i = 0; i < count; i++)
        range = interval_add(
            range, interval_scale((struct interval){terms[i].atom->low, terms[i].atom->high}, terms[i].coefficient));
    form.low = range.low;
    form.high = range.high;
    return intern_form(p->tables, &form);
}

static const struct ir_form *form_of_atom(struct ir_program *p, const struct ir_atom *atom)
{
    struct ir_term *term = NEW(p->arena, struct ir_term);

    *term = (struct ir_term){1, atom};
    return form_of_terms(p, 0, term, 1);
}

/* k*(f//k) + f%k = f */
static bool join_quotient_and_remainder(struct ir_program *p, struct sum *sum)
{
    for (int i = 0; i < sum->terms.count; i++) {
        struct ir_term rest = sum->terms.at[i];
        const struct ir_form *quotient;
        int at;

        if (rest.atom->kind != IR_ATOM_REMAINDER)
            continue;
        quotient = ir_form_quotient(p, rest.atom->form, rest.atom->divisor);
        if (quotient->count != 1 || quotient->constant || quotient->terms[0].coefficient != 1)
            continue;
        at = find_term(sum, quotient->terms[0].atom);
        if (at < 0 || sum->terms.at[at].coefficient % rest.coefficient ||
            sum->terms.at[at].coefficient / rest.coefficient != rest.atom->divisor ||
            !stays_exact(sum, rest.coefficient, rest.atom->form))
            continue;
        add_term(p, sum, -sum->terms.at[at].coefficient, quotient->terms[0].atom);
        add_term(p, sum, -rest.coefficient, rest.atom);
        add_form(p, sum, rest.coefficient, rest.atom->form);
        return true;
    }
    return false;
}

/* f//j - k*(f//(j*k)) = (f//j)%k */
static bool join_quotients(struct ir_program *p, struct sum *sum)
{
    for (int i = 0; i < sum->terms.count; i++)
        for (int j = 0; j < sum->terms.count; j++) {
            struct ir_term fine = sum->terms.at[i], coarse = sum->terms.at[j];
            int64_t by;

            if (fine.atom->kind != IR_ATOM_QUOTIENT || coarse.atom->kind != IR_ATOM_QUOTIENT ||
                fine.atom->form != coarse.atom->form || coarse.atom->divisor <= fine.atom->divisor ||
                coarse.atom->divisor % fine.atom->divisor)
                continue;
            by = coarse.atom->divisor / fine.atom->divisor;
            if (coarse.coefficient % by || coarse.coefficient / by != -fine.coefficient)
                continue;
            add_term(p, sum, -fine.coefficient, fine.atom);
            add_term(p, sum, -coarse.coefficient, coarse.atom);
            add_form(p, sum, fine.coefficient, ir_form_remainder(p, form_of_atom(p, fine.atom), by));
            return true;
        }
    return false;
}

/* f - k*(f//k) = f%k, where every term of f is there in the same proportion */
static bool join_form_and_quotient(struct ir_program *p, struct sum *sum)
{
    for (int i = 0; i < sum->terms.count; i++) {
        struct ir_term quotient = sum->terms.at[i];
        const struct ir_form *f = quotient.atom->form;
        int64_t by;
        bool all = true;

        if (quotient.atom->kind != IR_ATOM_QUOTIENT || quotient.coefficient % quotient.atom->divisor)
            continue;
        by = -(quotient.coefficient / quotient.atom->divisor);
        for (int j = 0; all && j < f->count; j++) {
            int at = find_term(sum, f->terms[j].atom);
            int64_t wanted;

            all = at >= 0 && !__builtin_mul_overflow(by, f->terms[j].coefficient, &wanted) &&
                  sum->terms.at[at].coefficient == wanted;
        }
        if (!all || !stays_exact(sum, -by, f))
            continue;
        add_term(p, sum, -quotient.coefficient, quotient.atom);
        add_form(p, sum, -by, f);
        add_form(p, sum, by, ir_form_remainder(p, f, quotient.atom->divisor));
        return true;
    }
    return false;
}

static int by_atom(const void *left, const void *right)
{
    return compare_atoms(((const struct ir_term *)left)->atom, ((const struct ir_term *)right)->atom);
}

static const struct ir_form *finish(struct ir_program *p, struct sum *sum)
{
    bool nested = false;

    for (int i = 0; i < sum->terms.count; i++)
        if (sum->terms.at[i].atom->kind == IR_ATOM_QUOTIENT)
            nested = true;
    while (nested && (join_quotient_and_remainder(p, sum) || join_quotients(p, sum) || join_form_and_quotient(p, sum)))
        ;
    if (sum->terms.count > 1)
        qsort(sum->terms.at, (size_t)sum->terms.count, sizeof *sum->terms.at, by_atom);
    return form_of_terms(p, sum->constant, sum->terms.at, sum->terms.count);
}

/* ---- division ---- */

/* A division of more atoms than these is a value: x // 2 + x % 5 in itself forty times would be a form of 2^40. */
enum { MOST_ATOMS = 32 };

struct division {
    const struct ir_form *quotient, *remainder;
};

static struct division divide(struct ir_program *p, const struct ir_form *f, int64_t k);

/* f = by*outer + inner, the constant of inner in [0, by). */
static void split(struct ir_program *p, const struct ir_form *f, int64_t by, const struct ir_form **outer,
                  const struct ir_form **inner)
{
    struct sum out = {.constant = floor_divide(f->constant, by)}, in = {.constant = modulo(f->constant, by)};

    for (int i = 0; i < f->count; i++) {
        int64_t c = f->terms[i].coefficient;

        if (c % by)
            add_term(p, &in, c, f->terms[i].atom);
        else
            add_term(p, &out, c / by, f->terms[i].atom);
    }
    *outer = finish(p, &out);
    *inner = finish(p, &in);
}

static const struct ir_form *combine(struct ir_program *p, const struct ir_form *a, int64_t by, const struct ir_form *b)
{
    struct sum sum = {0};

    add_form(p, &sum, 1, a);
    add_form(p, &sum, by, b);
    return finish(p, &sum);
}

/* Rule 4: a remainder in f opened, if that leaves fewer terms. */
static bool open_remainder(struct ir_program *p, const struct ir_form *f, int64_t k, struct division *result)
{
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        int64_t c = f->terms[i].coefficient, jump;
        struct sum sum = {0};
        const struct ir_form *opened;
        bool returned = false;

        if (atom->kind != IR_ATOM_REMAINDER || __builtin_mul_overflow(c, atom->divisor, &jump) || jump % k)
            continue;
        add_form(p, &sum, 1, f);
        if (!stays_exact(&sum, c, atom->form))
            continue;
        add_term(p, &sum, -c, atom);
        add_form(p, &sum, c, atom->form);
        opened = finish(p, &sum);
        for (int j = 0; j < opened->count; j++)
            returned = returned || opened->terms[j].atom == atom;
        if (opened->count >= f->count || returned)
            continue;
        *result = divide(p, opened, k);
        result->quotient = combine(p, result->quotient, -(jump / k), ir_form_quotient(p, atom->form, atom->divisor));
        return true;
    }
    return false;
}

/* The divisors of k that rule 2 can use, largest first: k's common divisors with sets of coefficients. A smaller
   divisor that takes the same terms out works only where the larger one does. */
enum { CANDIDATES = 64 };
static int candidates(const struct ir_form *g, int64_t k, int64_t *divisors)
{
    int count = 0;

    for (int i = 0; i < g->count; i++) {
        int before = count;

        for (int j = -1; j < before; j++) {
            int64_t d = gcd(j < 0 ? k : divisors[j], g->terms[i].coefficient);
            bool known = d <= 1 || d == k;

            for (int n = 0; n < count; n++)
                known = known || divisors[n] == d;
            if (!known && count < CANDIDATES)
                divisors[count++] = d;
        }
    }
    for (int i = 1; i < count; i++)
        for (int j = i; j > 0 && divisors[j] > divisors[j - 1]; j--) {
            int64_t d = divisors[j];

            divisors[j] = divisors[j - 1];
            divisors[j - 1] = d;
        }
    return count;
}

/* Rule 2 on g: whether some d | k takes a part of g out of the division. */
static bool lower_divisor(struct ir_program *p, const struct ir_form *g, int64_t k, struct division *result)
{
    int64_t divisors[CANDIDATES];
    int count = candidates(g, k, divisors);

    for (int i = 0; i < count; i++) {
        int64_t d = divisors[i];
        const struct ir_form *high, *low;

        split(p, g, d, &high, &low);
        if (!high->count || low->low < 0 || low->high >= d)
            continue;
        *result = divide(p, high, k / d);
        result->remainder = combine(p, low, d, result->remainder);
        return true;
    }
    return false;
}

/* How many atoms the form has with those of its quotients and remainders, each as often as it is written; counted up to `most`. */
static int written_atoms(const struct ir_form *f, int most)
{
    int count = 0;

    for (int i = 0; i < f->count && count < most; i++)
        count += 1 + (f->terms[i].atom->form ? written_atoms(f->terms[i].atom->form, most - count) : 0);
    return count;
}

/* g//k or g%k as a value, which no rule looks into. */
static const struct ir_form *division_as_value(struct ir_program *p, enum ir_op op, const struct ir_form *g, int64_t k)
{
    struct ir_expr e = {.kind = IR_APPLY,
                        .op = op,
                        .arguments = {ir_of_form(p, g), ir_of_form(p, ir_form_constant(p, k))}};
    struct interval range;

    e.whole = infer_whole(op, e.arguments, &range);
    e.low = range.low;
    e.high = range.high;
    return ir_form_of(p, intern_expr(p->tables, &e));
}

static struct division divide_anew(struct ir_program *p, const struct ir_form *f, int64_t k)
{
    const struct ir_form *outer, *g;
    struct division result;
    struct ir_atom quotient, remainder;
    int64_t divisor;

    if (k == 1)
        return (struct division){f, ir_form_constant(p, 0)};
    if (open_remainder(p, f, k, &result))
        return result;
    split(p, f, k, &outer, &g);
    if (g->low != INT64_MIN && g->high != INT64_MAX && floor_divide(g->low, k) == floor_divide(g->high, k)) {
        int64_t cell = floor_divide(g->low, k);

        return (struct division){ir_form_add(p, outer, ir_form_constant(p, cell)),
                                 ir_form_add(p, g, ir_form_constant(p, -exact_multiply(cell, k)))};
    }
    if (lower_divisor(p, g, k, &result)) {
        result.quotient = ir_form_add(p, outer, result.quotient);
        return result;
    }
    if (written_atoms(g, MOST_ATOMS + 1) > MOST_ATOMS) {
        result.quotient = ir_form_add(p, outer, division_as_value(p, IR_quotient, g, k));
        result.remainder = division_as_value(p, IR_remainder, g, k);
        return result;
    }
    remainder = (struct ir_atom){.kind = IR_ATOM_REMAINDER, .form = g, .divisor = k, .low = 0, .high = k - 1};
    result.remainder = form_of_atom(p, intern_atom(p->tables, &remainder));
    if (!g->constant && g->count == 1 && g->terms[0].coefficient == 1 && g->terms[0].atom->kind == IR_ATOM_QUOTIENT &&
        !__builtin_mul_overflow(g->terms[0].atom->divisor, k, &divisor)) {
        result.quotient = divide(p, g->terms[0].atom->form, divisor).quotient;
    } else {
        quotient = (struct ir_atom){.kind = IR_ATOM_QUOTIENT,
                                    .form = g,
                                    .divisor = k,
                                    .low = floor_divide(g->low, k),
                                    .high = floor_divide(g->high, k)};
        result.quotient = form_of_atom(p, intern_atom(p->tables, &quotient));
    }
    result.quotient = ir_form_add(p, outer, result.quotient);
    return result;
}

static struct division divide(struct ir_program *p, const struct ir_form *f, int64_t k)
{
    struct divided *known = find_divided(p->tables, f, k);

    if (!known->quotient) {
        struct division result = divide_anew(p, f, k);

        known->quotient = result.quotient;
        known->remainder = result.remainder;
    }
    return (struct division){known->quotient, known->remainder};
}

/* ---- ir.h ---- */

const struct ir_form *ir_form_constant(struct ir_program *p, int64_t value)
{
    return form_of_terms(p, value, NULL, 0);
}

const struct ir_form *ir_form_index(struct ir_program *p, struct ir_index *index)
{
    struct ir_atom atom = {.kind = IR_ATOM_INDEX, .index = index, .high = index->extent - 1};

    return form_of_atom(p, intern_atom(p->tables, &atom));
}

const struct ir_form *ir_form_add(struct ir_program *p, const struct ir_form *a, const struct ir_form *b)
{
    if (!a->count && !a->constant)
        return b;
    if (!b->count && !b->constant)
        return a;
    return combine(p, a, 1, b);
}

const struct ir_form *ir_form_scale(struct ir_program *p, const struct ir_form *a, int64_t by)
{
    struct sum sum = {0};

    if (by == 1)
        return a;
    add_form(p, &sum, by, a);
    return finish(p, &sum);
}

const struct ir_form *ir_form_quotient(struct ir_program *p, const struct ir_form *a, int64_t divisor)
{
    if (divisor <= 0)
        bug("a form is divided by %lld; expected a positive number", (long long)divisor);
    return divide(p, a, divisor).quotient;
}

const struct ir_form *ir_form_remainder(struct ir_program *p, const struct ir_form *a, int64_t divisor)
{
    if (divisor <= 0)
        bug("a form is divided by %lld; expected a positive number", (long long)divisor);
    return divide(p, a, divisor).remainder;
}

const struct ir_form *ir_form_of(struct ir_program *p, const struct ir_expr *whole)
{
    struct ir_atom atom = {.kind = IR_ATOM_VALUE, .value = whole, .low = whole->low, .high = whole->high};

    if (!whole->whole)
        bug("a real number where a whole one is expected");
    if (whole->kind == IR_FORM)
        return whole->form;
    if (whole->kind == IR_CONSTANT)
        return ir_form_constant(p, (int64_t)whole->number);
    return form_of_atom(p, intern_atom(p->tables, &atom));
}

bool ir_is_zero(const struct ir_expr *e)
{
    return (e->kind == IR_CONSTANT && e->number == 0) || (e->kind == IR_FORM && !e->form->count && !e->form->constant);
}

struct ir_index *ir_form_bare(const struct ir_form *form)
{
    return form->count == 1 && !form->constant && form->terms[0].coefficient == 1 ? form->terms[0].atom->index : NULL;
}

int64_t ir_form_coefficient(const struct ir_form *form, const struct ir_index *index)
{
    for (int i = 0; i < form->count; i++)
        if (form->terms[i].atom->kind == IR_ATOM_INDEX && form->terms[i].atom->index == index)
            return form->terms[i].coefficient;
    return 0;
}

int64_t ir_form_value(const struct ir_form *form, const int64_t *at, ir_value_at *value, void *context)
{
    int64_t sum = form->constant;

    for (int i = 0; i < form->count; i++) {
        const struct ir_atom *atom = form->terms[i].atom;
        int64_t number = 0;

        switch (atom->kind) {
        case IR_ATOM_INDEX:
            number = at[atom->index->number];
            break;
        case IR_ATOM_QUOTIENT:
            number = floor_divide(ir_form_value(atom->form, at, value, context), atom->divisor);
            break;
        case IR_ATOM_REMAINDER:
            number = modulo(ir_form_value(atom->form, at, value, context), atom->divisor);
            break;
        case IR_ATOM_VALUE:
            if (!value)
                bug("a form has a value where none was expected");
            number = (int64_t)value(context, atom->value);
            break;
        }
        sum += form->terms[i].coefficient * number;
    }
    return sum;
}
