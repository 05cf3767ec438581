/* evaluate.c: the oracle. One equation after the other, plain loops, double precision; sums in increasing row-major
   order.

   Each equation's expression becomes a flat program over slots, one slot a node of the DAG, in an order in which
   operands come first. What a `select` or a guard may leave out stands in a thunk of its own: a stretch of the program
   that is run where its value is first wanted at a point, so each node is evaluated at most once a point, and what is
   not taken is never touched. A node that several thunks use is a thunk too.

   requires: a verified program; the values of all leaves but draws. A subscript outside its axis without an `else` (a
   wrong value of a whole leaf) ends the process. */
#include "internal.h"
#include "rnet.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum code {
#define OP(name, ...) CODE_##name,
#include "ops.def"
#undef OP
    CODE_FORM,
    CODE_INSIDE, /* a read at subscripts of bare indices, inside by their extents: one address */
    CODE_READ,
    CODE_FORCE
};

/* constant + sum of coefficient * part, at a point */
struct linear;
struct part {
    int64_t coefficient, divisor;
    enum ir_atom_kind kind;
    int place;           /* IR_ATOM_INDEX: which loop; IR_ATOM_VALUE: which slot */
    struct linear *form; /* of a quotient or a remainder */
};
struct linear {
    int64_t constant;
    int count;
    struct part *parts;
};
struct access {
    const struct ir_tensor *tensor;
    const double *data;
    struct linear *subscripts;
    struct linear address; /* of CODE_INSIDE */
    int otherwise;         /* slot, or -1 */
};
struct instruction {
    enum code code;
    int out, a, b, c; /* slots; of CODE_FORCE a is a thunk */
    const struct access *access;
    const struct linear *form;
};
struct thunk {
    int begin, end; /* of the code */
    uint64_t done;  /* the point of its last run */
    int forcer;     /* while compiling: the last thunk that was given a CODE_FORCE of this one */
    LIST(const struct node *) nodes;
};
struct node {
    const struct ir_expr *e;
    int slot;
    int thunk; /* that it is computed in; -1: none yet, or a constant */
    bool head; /* of its thunk */
};

struct machine {
    struct arena *arena;
    const struct ir_tensor *equation;
    const struct ir_values *values;
    struct memo numbers;       /* expression -> node */
    LIST(struct node *) nodes; /* by slot */
    LIST(struct thunk) thunks;
    LIST(struct instruction) code;
    double *slots;
    struct ir_index **loops; /* outputs, then reduced */
    int64_t *at;             /* their values */
    int loop_count;
    uint64_t point; /* counts from 1 */
    int user;       /* while finding thunks: the thunk whose node's operands are visited */
};

/* ---- compiling ---- */

typedef void (*visit_operand)(struct machine *m, const struct ir_expr *operand, bool lazy);

static void visit_form(struct machine *m, const struct ir_form *f, visit_operand visit)
{
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;

        if (atom->kind == IR_ATOM_VALUE)
            visit(m, atom->value, false);
        else if (atom->kind != IR_ATOM_INDEX)
            visit_form(m, atom->form, visit);
    }
}

static void visit_operands(struct machine *m, const struct ir_expr *e, visit_operand visit)
{
    switch (e->kind) {
    case IR_CONSTANT:
        break;
    case IR_FORM:
        visit_form(m, e->form, visit);
        break;
    case IR_READ:
        for (int i = 0; i < e->tensor->rank; i++)
            visit_form(m, e->subscripts[i], visit);
        if (e->otherwise)
            visit(m, e->otherwise, true);
        break;
    case IR_APPLY:
        for (int i = 0; i < ir_operators[e->op].arity; i++)
            visit(m, e->arguments[i], e->op == IR_select && i > 0);
        break;
    }
}

static struct node *node_of(struct machine *m, const struct ir_expr *e)
{
    return (struct node *)*memo_at(&m->numbers, e);
}

static void add_node(struct machine *m, const struct ir_expr *e, bool lazy)
{
    struct node *node;

    (void)lazy;
    if (node_of(m, e))
        return;
    visit_operands(m, e, add_node);
    node = NEW(m->arena, struct node);
    *node = (struct node){.e = e, .slot = m->nodes.count, .thunk = -1};
    list_add(m->arena, m->nodes, node);
    *memo_at(&m->numbers, e) = node;
}

/* Users come before their operands here, so when a node is reached all its uses are known. */
static void use(struct machine *m, const struct ir_expr *e, bool lazy)
{
    struct node *node = node_of(m, e);

    if (lazy || (node->thunk >= 0 && node->thunk != m->user))
        node->head = true;
    node->thunk = m->user;
}

static void find_thunks(struct machine *m)
{
    m->nodes.at[m->nodes.count - 1]->head = true;
    for (int i = m->nodes.count - 1; i >= 0; i--) {
        struct node *node = m->nodes.at[i];

        if (node->e->kind == IR_CONSTANT) {
            node->head = false;
            continue;
        }
        if (node->head) {
            node->thunk = m->thunks.count;
            list_add(m->arena, m->thunks, (struct thunk){.forcer = -1});
        }
        m->user = node->thunk;
        visit_operands(m, node->e, use);
    }
    for (int i = 0; i < m->nodes.count; i++)
        if (m->nodes.at[i]->e->kind != IR_CONSTANT)
            list_add(m->arena, m->thunks.at[m->nodes.at[i]->thunk].nodes, m->nodes.at[i]);
}

static int loop_of(const struct machine *m, const struct ir_index *index)
{
    for (int i = 0; i < m->loop_count; i++)
        if (m->loops[i] == index)
            return i;
    bug("%s: the index %s is neither an output nor reduced", m->equation->name, index->name);
}

static struct linear compile_form(struct machine *m, const struct ir_form *f)
{
    struct linear linear = {f->constant, f->count, NEW_ARRAY(m->arena, struct part, f->count)};

    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;
        struct part *part = &linear.parts[i];

        *part = (struct part){.coefficient = f->terms[i].coefficient, .divisor = atom->divisor, .kind = atom->kind};
        if (atom->kind == IR_ATOM_INDEX) {
            part->place = loop_of(m, atom->index);
        } else if (atom->kind == IR_ATOM_VALUE) {
            part->place = node_of(m, atom->value)->slot;
        } else {
            part->form = NEW(m->arena, struct linear);
            *part->form = compile_form(m, atom->form);
        }
    }
    return linear;
}

/* By the extents of the loops alone; the intervals of forms are not relied on. */
static bool inside(const struct machine *m, const struct linear *form, int64_t extent)
{
    int64_t low = form->constant, high = form->constant;

    for (int i = 0; i < form->count; i++) {
        int64_t c = form->parts[i].coefficient;

        if (form->parts[i].kind != IR_ATOM_INDEX)
            return false;
        *(c < 0 ? &low : &high) += c * (m->loops[form->parts[i].place]->extent - 1);
    }
    return low >= 0 && high < extent;
}

/* The subscripts as one row-major address; false: they need to be looked at one by one. */
static bool flatten(struct machine *m, struct access *access)
{
    const struct ir_tensor *t = access->tensor;
    int64_t stride = 1;
    int count = 0;

    for (int i = 0; i < t->rank; i++) {
        if (!inside(m, &access->subscripts[i], t->axes[i]->extent))
            return false;
        count += access->subscripts[i].count;
    }
    access->address.parts = NEW_ARRAY(m->arena, struct part, count);
    for (int i = t->rank - 1; i >= 0; stride *= t->axes[i--]->extent) {
        const struct linear *form = &access->subscripts[i];

        access->address.constant += stride * form->constant;
        for (int j = 0; j < form->count; j++) {
            struct part *part = &access->address.parts[access->address.count++];

            *part = form->parts[j];
            part->coefficient *= stride;
        }
    }
    return true;
}

static void compile_read(struct machine *m, const struct ir_expr *e, struct instruction *instruction)
{
    struct access *access = NEW(m->arena, struct access);

    access->tensor = e->tensor;
    access->data = m->values->at[e->tensor->number];
    access->subscripts = NEW_ARRAY(m->arena, struct linear, e->tensor->rank);
    access->otherwise = e->otherwise ? node_of(m, e->otherwise)->slot : -1;
    for (int i = 0; i < e->tensor->rank; i++)
        access->subscripts[i] = compile_form(m, e->subscripts[i]);
    instruction->code = flatten(m, access) ? CODE_INSIDE : CODE_READ;
    instruction->access = access;
}

/* Before its first use in a thunk, the value of another thunk is forced. */
static void force_operand(struct machine *m, const struct ir_expr *e, bool lazy)
{
    const struct node *node = node_of(m, e);

    if (lazy || !node->head || m->thunks.at[node->thunk].forcer == m->user)
        return;
    m->thunks.at[node->thunk].forcer = m->user;
    list_add(m->arena, m->code, (struct instruction){.code = CODE_FORCE, .a = node->thunk});
}

static void compile_node(struct machine *m, const struct node *node)
{
    struct instruction instruction = {.out = node->slot};
    int *operands[3] = {&instruction.a, &instruction.b, &instruction.c};
    struct linear *form;

    visit_operands(m, node->e, force_operand);
    switch (node->e->kind) {
    case IR_CONSTANT:
        break;
    case IR_FORM:
        form = NEW(m->arena, struct linear);
        *form = compile_form(m, node->e->form);
        instruction.code = CODE_FORM;
        instruction.form = form;
        break;
    case IR_READ:
        compile_read(m, node->e, &instruction);
        break;
    case IR_APPLY:
        instruction.code = (enum code)node->e->op;
        for (int i = 0; i < ir_operators[node->e->op].arity; i++)
            *operands[i] = node_of(m, node->e->arguments[i])->slot;
        break;
    }
    list_add(m->arena, m->code, instruction);
}

static double rounded(const struct machine *m, double value)
{
    return m->equation->single ? (double)(float)value : value;
}

static void compile(struct machine *m)
{
    add_node(m, m->equation->value, false);
    find_thunks(m);
    for (int t = 0; t < m->thunks.count; t++) {
        m->thunks.at[t].begin = m->code.count;
        m->user = t;
        for (int i = 0; i < m->thunks.at[t].nodes.count; i++)
            compile_node(m, m->thunks.at[t].nodes.at[i]);
        m->thunks.at[t].end = m->code.count;
    }
    m->slots = NEW_ARRAY(m->arena, double, m->nodes.count);
    for (int i = 0; i < m->nodes.count; i++)
        if (m->nodes.at[i]->e->kind == IR_CONSTANT)
            m->slots[i] = rounded(m, m->nodes.at[i]->e->number);
}

/* ---- running ---- */

static int64_t value_of(const struct machine *m, const struct linear *form)
{
    int64_t value = form->constant, part, remainder;

    for (int i = 0; i < form->count; i++) {
        const struct part *p = &form->parts[i];

        switch (p->kind) {
        case IR_ATOM_INDEX:
            value += p->coefficient * m->at[p->place];
            break;
        case IR_ATOM_VALUE:
            if (!(fabs(m->slots[p->place]) < 0x1p62) || m->slots[p->place] != floor(m->slots[p->place]))
                bug("%s: %g is used as a whole number", m->equation->name, m->slots[p->place]);
            value += p->coefficient * (int64_t)m->slots[p->place];
            break;
        case IR_ATOM_QUOTIENT:
        case IR_ATOM_REMAINDER:
            part = value_of(m, p->form);
            remainder = (part % p->divisor + p->divisor) % p->divisor;
            value += p->coefficient * (p->kind == IR_ATOM_QUOTIENT ? (part - remainder) / p->divisor : remainder);
            break;
        }
    }
    return value;
}

static void run(struct machine *m, int t);

static void force(struct machine *m, int t)
{
    if (m->thunks.at[t].done == m->point)
        return;
    run(m, t);
    m->thunks.at[t].done = m->point;
}

/* The value of a slot that may stand in a thunk not yet run. */
static double forced(struct machine *m, int slot)
{
    if (m->nodes.at[slot]->head)
        force(m, m->nodes.at[slot]->thunk);
    return m->slots[slot];
}

static double read_at(struct machine *m, const struct access *access)
{
    const struct ir_tensor *t = access->tensor;
    int64_t address = 0;

    for (int i = 0; i < t->rank; i++) {
        int64_t subscript = value_of(m, &access->subscripts[i]), extent = t->axes[i]->extent;

        if (subscript < 0 || subscript >= extent) {
            if (access->otherwise >= 0)
                return forced(m, access->otherwise);
            bug("%s reads %s: subscript %d is %" PRId64 ", expected 0 to %" PRId64, m->equation->name, t->name, i + 1,
                subscript, extent - 1);
        }
        address = address * extent + subscript;
    }
    return access->data[address];
}

static void run(struct machine *m, int t)
{
    for (int i = m->thunks.at[t].begin; i < m->thunks.at[t].end; i++) {
        const struct instruction *at = &m->code.at[i];
        double a, b, c, value = 0;
        int64_t address;

        if (at->code == CODE_FORCE) {
            force(m, at->a);
            continue;
        }
        a = m->slots[at->a];
        b = m->slots[at->b];
        c = m->slots[at->c];
        if (at->code == CODE_select) { /* not by its row: only the branch taken is evaluated */
            m->slots[at->out] = forced(m, a != 0 ? at->b : at->c);
            continue;
        }
        switch (at->code) {
#define OP(name, arity, form, symbol, level, result, laws, ...)                                                        \
    case CODE_##name:                                                                                                  \
        value = __VA_ARGS__;                                                                                           \
        break;
#include "ops.def"
#undef OP
        case CODE_FORM:
            value = (double)value_of(m, at->form);
            break;
        case CODE_INSIDE:
            address = at->access->address.constant;
            for (int j = 0; j < at->access->address.count; j++)
                address += at->access->address.parts[j].coefficient * m->at[at->access->address.parts[j].place];
            value = at->access->data[address];
            break;
        case CODE_READ:
            value = read_at(m, at->access);
            break;
        case CODE_FORCE:
            break;
        }
        m->slots[at->out] = rounded(m, value);
    }
}

static double value_at_point(struct machine *m)
{
    m->point++;
    if (m->nodes.at[m->nodes.count - 1]->head)
        run(m, 0);
    return m->slots[m->nodes.count - 1];
}

/* To the next point of loops first .. last - 1 in row-major order; false: that was the last, and all are 0 again. */
static bool advance(struct machine *m, int first, int last)
{
    for (int i = last - 1; i >= first; i--) {
        if (++m->at[i] < m->loops[i]->extent)
            return true;
        m->at[i] = 0;
    }
    return false;
}

/* Ties go to the lowest index; NaN wins, and the first one stays. */
static bool better(enum ir_reduction reduction, double candidate, double best)
{
    if (isnan(best) || isnan(candidate))
        return !isnan(best);
    return reduction == IR_MAXIMUM || reduction == IR_ARGMAX ? candidate > best : candidate < best;
}

static double reduce(struct machine *m)
{
    enum ir_reduction reduction = m->equation->reduction;
    int first = m->equation->rank;
    int64_t place = 0, best_place = 0;
    double result = value_at_point(m), value;

    if (reduction == IR_SUM)
        result += 0.0; /* a sum starts at 0, which shows in the sign of zero */
    while (advance(m, first, m->loop_count)) {
        value = value_at_point(m);
        place++;
        if (reduction == IR_SUM) {
            result = rounded(m, result + value);
        } else if (reduction == IR_PRODUCT) {
            result = rounded(m, result * value);
        } else if (better(reduction, value, result)) {
            result = value;
            best_place = place;
        }
    }
    return reduction == IR_ARGMAX || reduction == IR_ARGMIN ? (double)best_place : result;
}

static void evaluate_equation(const struct ir_tensor *t, const struct ir_values *values)
{
    struct machine m = {
        .arena = arena_new(), .equation = t, .values = values, .loop_count = t->rank + t->reduced_count};
    double *out = values->at[t->number];

    memo_begin(&m.numbers);
    m.loops = NEW_ARRAY(m.arena, struct ir_index *, m.loop_count);
    m.at = NEW_ARRAY(m.arena, int64_t, m.loop_count);
    for (int i = 0; i < m.loop_count; i++)
        m.loops[i] = i < t->rank ? t->axes[i] : t->reduced[i - t->rank];
    compile(&m);
    do
        *out++ = t->reduction == IR_MAP ? value_at_point(&m) : reduce(&m);
    while (advance(&m, 0, t->rank));
    memo_end(&m.numbers);
    arena_free(m.arena);
}

/* Axes of a draw: the samples' (if the scope has positions of samples), the mapped ones, those of the elements. */
static void evaluate_draw(const struct ir_tensor *t, double *out, struct ir_run run)
{
    static const enum rnet_draw draws[] = {
        [IR_UNIFORM16] = RNET_UNIFORM16, [IR_UNIFORM32] = RNET_UNIFORM32, [IR_NORMAL] = RNET_NORMAL};
    bool sampled = (t->scope == IR_PER_SAMPLE || t->scope == IR_PER_ITEM);
    int first = sampled && t->rank && t->axes[0]->batch ? 1 : 0;
    int64_t samples = first ? t->axes[0]->extent : 1, mapped = ir_extent_product(t->axes + first, t->mapped);
    int64_t count = ir_extent_product(t->axes + first + t->mapped, t->rank - first - t->mapped);
    uint64_t key = rnet_draw_key(t->name, run.seed), start = sampled                   ? run.position
                                                             : t->scope == IR_PER_STEP ? run.step
                                                                                       : 0;
    struct arena *scratch = arena_new();
    float *numbers = NEW_ARRAY(scratch, float, count);

    for (int64_t s = 0; s < samples; s++)
        for (int64_t i = 0; i < mapped; i++) {
            rnet_draw_fill(draws[t->draw], key, (uint32_t)i, start + (uint64_t)s, 0, count, numbers);
            for (int64_t e = 0; e < count; e++)
                *out++ = (double)numbers[e];
        }
    arena_free(scratch);
}

/* ---- programs ---- */

struct ir_values ir_values_new(struct arena *arena, const struct ir_program *p)
{
    struct ir_values values = {NEW_ARRAY(arena, double *, p->tensors.count)};

    for (int i = 0; i < p->tensors.count; i++)
        values.at[i] = NEW_ARRAY(arena, double, ir_elements(p->tensors.at[i]));
    return values;
}

static void want_read(const struct ir_expr *read, void *wanted)
{
    ((bool *)wanted)[read->tensor->number] = true;
}

void ir_evaluate_some(const struct ir_program *p, struct ir_values *values, struct ir_run run, const bool *wanted)
{
    struct arena *scratch = arena_new();
    bool *needed = NEW_ARRAY(scratch, bool, p->tensors.count);

    for (int i = p->tensors.count - 1; i >= 0; i--) {
        needed[i] |= !wanted || wanted[i];
        if (needed[i] && p->tensors.at[i]->kind == IR_EQUATION)
            ir_reads(p->tensors.at[i]->value, want_read, needed);
    }
    for (int i = 0; i < p->tensors.count; i++) {
        if (needed[i] && p->tensors.at[i]->kind == IR_DRAW)
            evaluate_draw(p->tensors.at[i], values->at[i], run);
        else if (needed[i] && p->tensors.at[i]->kind == IR_EQUATION)
            evaluate_equation(p->tensors.at[i], values);
    }
    arena_free(scratch);
}

void ir_evaluate(const struct ir_program *p, struct ir_values *values, struct ir_run run)
{
    struct arena *scratch = arena_new();
    double **before = NEW_ARRAY(scratch, double *, p->updates.count);

    ir_evaluate_some(p, values, run, NULL);
    for (int pass = 0; pass < 2; pass++) /* a value may itself be a leaf that another update writes */
        for (int i = 0; i < p->updates.count; i++) {
            const struct ir_tensor *leaf = p->updates.at[i].leaf, *value = p->updates.at[i].value;
            size_t bytes = (size_t)ir_elements(leaf) * sizeof(double);

            if (pass == 0)
                before[i] = arena_copy(scratch, values->at[value->number], bytes);
            else
                memcpy(values->at[leaf->number], before[i], bytes);
        }
    arena_free(scratch);
}
