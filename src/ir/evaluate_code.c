/* evaluate_code.c: an equation's expression as a flat program over slots, one slot a node of the DAG, in an order in
   which operands come first. An instruction computes a number of lanes at once: neighbouring points of one loop.

   What a `select` or a guard leaves out must not be touched where touching it could end the process: at a subscript
   that is itself read and may be wrong. Only such expressions are lazy: one lane, and what may be left out stands in a
   thunk of its own, a stretch of the program that is run where its value is first wanted at a point. A node that
   several thunks use is a thunk too, so each node is evaluated at most once a point. In all others both branches are
   computed and one is chosen. */
#include "evaluate.h"
#include "internal.h"

#include <inttypes.h>
#include <math.h>

enum { WIDTH = 128 };

enum instruction_kind {
#define OP(name, ...) RUN_##name,
#include "ops.def"
#undef OP
    RUN_FORM,
    RUN_INSIDE, /* a read at subscripts of bare indices, inside by their extents: one address */
    RUN_READ,
    RUN_FORCE
};

/* constant + sum of coefficient * part */
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
    struct linear address; /* of RUN_INSIDE */
    int64_t stride;        /* of RUN_INSIDE, from lane to lane */
    int otherwise;         /* slot, or -1 */
};
struct instruction {
    enum instruction_kind kind;
    bool varies;      /* from lane to lane; else one is computed and repeated */
    int out, a, b, c; /* slots; of RUN_FORCE a is a thunk */
    const struct access *access;
    const struct linear *form;
};
struct node {
    const struct ir_expr *e;
    int slot, thunk; /* of a constant the thunk is of no use */
    bool head;       /* of its thunk */
    bool varies;
};
struct thunk {
    int begin, end; /* of the instructions */
    uint64_t done;  /* the point of its last run */
    int forcer;     /* the last thunk that was given a RUN_FORCE of this one */
    LIST(const struct node *) nodes;
};
struct code {
    struct memo numbers;       /* expression -> node */
    LIST(struct node *) nodes; /* by slot */
    LIST(struct thunk) thunks; /* the first is the whole */
    LIST(struct instruction) instructions;
    bool lazy;
    double **slots;       /* by slot: its lanes */
    const double **found; /* by slot: its value, in its lanes or in a tensor whose elements are read in order */
    uint64_t point;       /* counts from 1 */
    int user;             /* while compiling: the thunk whose operands are visited */
    bool met;             /* while compiling: what was looked for */
};

/* ---- nodes and thunks ---- */

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
    return (struct node *)*memo_at(&m->code->numbers, e);
}

static bool form_varies(const struct machine *m, const struct ir_form *f)
{
    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;

        if (atom->kind == IR_ATOM_INDEX ? m->lane >= 0 && atom->index == m->loops[m->lane]
                                        : atom->kind != IR_ATOM_VALUE && form_varies(m, atom->form))
            return true;
    }
    return false;
}

static void operand_varies(struct machine *m, const struct ir_expr *e, bool lazy)
{
    (void)lazy;
    m->code->met |= node_of(m, e)->varies;
}

static void add_node(struct machine *m, const struct ir_expr *e, bool lazy)
{
    struct node *node;

    (void)lazy;
    if (node_of(m, e))
        return;
    visit_operands(m, e, add_node);
    node = NEW(m->arena, struct node);
    *node = (struct node){.e = e, .slot = m->code->nodes.count, .thunk = -1};
    m->code->met = e->kind == IR_FORM && form_varies(m, e->form);
    for (int i = 0; e->kind == IR_READ && i < e->tensor->rank; i++)
        m->code->met |= form_varies(m, e->subscripts[i]);
    visit_operands(m, e, operand_varies);
    node->varies = m->code->met;
    list_add(m->arena, m->code->nodes, node);
    *memo_at(&m->code->numbers, e) = node;
}

static void look_for_lazy(struct machine *m, const struct ir_expr *e, bool lazy)
{
    (void)e;
    m->code->met |= lazy;
}

static void look_for_value(struct machine *m, const struct ir_expr *e, bool lazy)
{
    (void)e;
    m->code->met |= !lazy;
}

/* Is there something to leave out, and a value in a form, which may be wrong? */
static bool must_be_lazy(struct machine *m)
{
    bool leaves_out = false, may_fail = false;

    for (int i = 0; i < m->code->nodes.count; i++) {
        const struct ir_expr *e = m->code->nodes.at[i]->e;

        m->code->met = false;
        visit_operands(m, e, look_for_lazy);
        leaves_out |= m->code->met;
        m->code->met = false;
        if (e->kind != IR_APPLY)
            visit_operands(m, e, look_for_value);
        may_fail |= m->code->met;
    }
    return leaves_out && may_fail;
}

/* Users come before their operands here, so when a node is reached all its uses are known. */
static void use(struct machine *m, const struct ir_expr *e, bool lazy)
{
    struct node *node = node_of(m, e);

    if (m->code->lazy && (lazy || (node->thunk >= 0 && node->thunk != m->code->user)))
        node->head = true;
    node->thunk = m->code->user;
}

static void find_thunks(struct machine *m)
{
    struct code *code = m->code;

    code->nodes.at[code->nodes.count - 1]->head = true;
    for (int i = code->nodes.count - 1; i >= 0; i--) {
        struct node *node = code->nodes.at[i];

        if (node->e->kind == IR_CONSTANT) {
            node->head = false;
            continue;
        }
        if (node->head) {
            node->thunk = code->thunks.count;
            list_add(m->arena, code->thunks, (struct thunk){.forcer = -1});
        }
        code->user = node->thunk;
        visit_operands(m, node->e, use);
    }
    for (int i = 0; i < code->nodes.count; i++)
        if (code->nodes.at[i]->e->kind != IR_CONSTANT)
            list_add(m->arena, code->thunks.at[code->nodes.at[i]->thunk].nodes, code->nodes.at[i]);
}

/* ---- instructions ---- */

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
            if (part->place == m->lane)
                access->stride += part->coefficient;
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
    instruction->kind = flatten(m, access) ? RUN_INSIDE : RUN_READ;
    instruction->access = access;
}

/* Before its first use in a thunk, the value of another thunk is forced. */
static void force_operand(struct machine *m, const struct ir_expr *e, bool lazy)
{
    struct code *code = m->code;
    const struct node *node = node_of(m, e);

    if (lazy || !node->head || code->thunks.at[node->thunk].forcer == code->user)
        return;
    code->thunks.at[node->thunk].forcer = code->user;
    list_add(m->arena, code->instructions, (struct instruction){.kind = RUN_FORCE, .a = node->thunk});
}

static void compile_node(struct machine *m, const struct node *node)
{
    struct instruction instruction = {.out = node->slot, .varies = node->varies};
    int *operands[3] = {&instruction.a, &instruction.b, &instruction.c};
    struct linear *form;

    visit_operands(m, node->e, force_operand);
    switch (node->e->kind) {
    case IR_CONSTANT:
        break;
    case IR_FORM:
        form = NEW(m->arena, struct linear);
        *form = compile_form(m, node->e->form);
        instruction.kind = RUN_FORM;
        instruction.form = form;
        break;
    case IR_READ:
        compile_read(m, node->e, &instruction);
        break;
    case IR_APPLY:
        instruction.kind = (enum instruction_kind)node->e->op;
        for (int i = 0; i < ir_operators[node->e->op].arity; i++)
            *operands[i] = node_of(m, node->e->arguments[i])->slot;
        break;
    }
    list_add(m->arena, m->code->instructions, instruction);
}

static void allocate_slots(struct machine *m)
{
    struct code *code = m->code;
    int64_t extent = m->lane < 0 ? 1 : m->loops[m->lane]->extent;

    m->width = code->lazy ? 1 : extent < WIDTH ? (int)extent : WIDTH;
    code->slots = NEW_ARRAY(m->arena, double *, code->nodes.count);
    code->found = NEW_ARRAY(m->arena, const double *, code->nodes.count);
    for (int i = 0; i < code->nodes.count; i++) {
        code->found[i] = code->slots[i] = NEW_ARRAY(m->arena, double, m->width);
        for (int lane = 0; code->nodes.at[i]->e->kind == IR_CONSTANT && lane < m->width; lane++)
            code->slots[i][lane] = machine_round(m, code->nodes.at[i]->e->number);
    }
}

void machine_compile(struct machine *m)
{
    struct code *code = NEW(m->arena, struct code);

    m->code = code;
    memo_begin(&code->numbers);
    add_node(m, m->equation->value, false);
    code->lazy = must_be_lazy(m);
    find_thunks(m);
    for (int t = 0; t < code->thunks.count; t++) {
        code->thunks.at[t].begin = code->instructions.count;
        code->user = t;
        for (int i = 0; i < code->thunks.at[t].nodes.count; i++)
            compile_node(m, code->thunks.at[t].nodes.at[i]);
        code->thunks.at[t].end = code->instructions.count;
    }
    memo_end(&code->numbers);
    allocate_slots(m);
}

/* ---- running ---- */

static int64_t value_of(const struct machine *m, const struct linear *form, int lane)
{
    int64_t value = form->constant, part, remainder;
    double whole;

    for (int i = 0; i < form->count; i++) {
        const struct part *p = &form->parts[i];

        switch (p->kind) {
        case IR_ATOM_INDEX:
            value += p->coefficient * (m->at[p->place] + (p->place == m->lane ? lane : 0));
            break;
        case IR_ATOM_VALUE:
            whole = m->code->found[p->place][lane];
            if (!(fabs(whole) < 0x1p62) || whole != floor(whole))
                bug("%s: %g is used as a whole number", m->equation->name, whole);
            value += p->coefficient * (int64_t)whole;
            break;
        case IR_ATOM_QUOTIENT:
        case IR_ATOM_REMAINDER:
            part = value_of(m, p->form, lane);
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
    if (m->code->thunks.at[t].done == m->code->point)
        return;
    run(m, t);
    m->code->thunks.at[t].done = m->code->point;
}

/* A value that may stand in a thunk not yet run. */
static double forced(struct machine *m, int slot, int lane)
{
    const struct node *node = m->code->nodes.at[slot];

    if (node->head)
        force(m, node->thunk);
    return m->code->found[slot][lane];
}

static double read_at(struct machine *m, const struct access *access, int lane)
{
    const struct ir_tensor *t = access->tensor;
    int64_t address = 0;

    for (int i = 0; i < t->rank; i++) {
        int64_t subscript = value_of(m, &access->subscripts[i], lane), extent = t->axes[i]->extent;

        if (subscript < 0 || subscript >= extent) {
            if (access->otherwise >= 0)
                return forced(m, access->otherwise, lane);
            bug("%s reads %s: subscript %d is %" PRId64 ", expected 0 to %" PRId64, m->equation->name, t->name, i + 1,
                subscript, extent - 1);
        }
        address = address * extent + subscript;
    }
    return access->data[address];
}

/* Elements that stand one after the other are not copied, unless they are to be rounded. */
static void read_inside(struct machine *m, const struct instruction *at, int count)
{
    const struct access *access = at->access;
    double *out = m->code->slots[at->out];
    int64_t address = access->address.constant;

    for (int i = 0; i < access->address.count; i++)
        address += access->address.parts[i].coefficient * m->at[access->address.parts[i].place];
    m->code->found[at->out] = out;
    if (access->stride == 1 && at->varies && !m->equation->single)
        m->code->found[at->out] = access->data + address;
    else
        for (int lane = 0; lane < count; lane++)
            out[lane] = access->data[address + lane * access->stride];
}

static void run_instruction(struct machine *m, const struct instruction *at, int count)
{
    double *restrict out = m->code->slots[at->out];
    const double *as = m->code->found[at->a], *bs = m->code->found[at->b], *cs = m->code->found[at->c];

    switch (at->kind) {
#define OP(name, arity, form, symbol, level, result, laws, work, ...)                                                  \
    case RUN_##name:                                                                                                   \
        for (int lane = 0; lane < count; lane++) {                                                                     \
            const double a = as[lane], b = arity > 1 ? bs[lane] : 0, c = arity > 2 ? cs[lane] : 0;                     \
            (void)a, (void)b, (void)c;                                                                                 \
            out[lane] = __VA_ARGS__;                                                                                   \
        }                                                                                                              \
        break;
#include "ops.def"
#undef OP
    case RUN_FORM:
        for (int lane = 0; lane < count; lane++)
            out[lane] = (double)value_of(m, at->form, lane);
        break;
    case RUN_INSIDE:
        read_inside(m, at, count);
        break;
    case RUN_READ:
        for (int lane = 0; lane < count; lane++)
            out[lane] = read_at(m, at->access, lane);
        break;
    case RUN_FORCE:
        break;
    }
    if (m->equation->single)
        for (int lane = 0; lane < count; lane++)
            out[lane] = machine_round(m, out[lane]);
}

static void run(struct machine *m, int t)
{
    struct code *code = m->code;

    for (int i = code->thunks.at[t].begin; i < code->thunks.at[t].end; i++) {
        const struct instruction *at = &code->instructions.at[i];

        if (at->kind == RUN_FORCE) {
            force(m, at->a);
        } else if (at->kind == RUN_select && code->lazy) {
            code->slots[at->out][0] = forced(m, code->found[at->a][0] != 0 ? at->b : at->c, 0);
        } else {
            run_instruction(m, at, at->varies ? m->count : 1);
            for (int lane = 1; lane < m->count && !at->varies; lane++)
                code->slots[at->out][lane] = code->slots[at->out][0];
        }
    }
}

const double *machine_run(struct machine *m)
{
    m->code->point++;
    if (m->code->thunks.count)
        run(m, 0);
    return m->code->found[m->code->nodes.count - 1];
}
