/* print.c: programs as text that ir_parse reads back. One statement a line:

       program step f32
       input image[batch*: 128, h: 28] in 0..255          `*` marks the index of the samples
       draw keep uniform16[batch*: 128, c: 10] per sample mapped 1
       z[batch*: 128, o: 10] = sum[i: 4] x[batch, i] * W[i, o]
       single y[n: 4] = (x[n - 1] else 0)
       count[t: 10] in 0..100 = last[t] + 1      a range that was declared, not inferred
       recurrence r over t: 10 up {
       h[batch*: 128, t: 10] = tanh((h[batch, t - 1] else 0.0) + z[batch, t])
       g[batch*: 128, time s: 10] = h[batch, s]  the time, where its index is not the one named in the first line
       }
       dE[v: 20, d: 8] = scatter[n*: 4, d_2: 8] to [token[n], d_2] dy[n, d_2]
       x[b: 3, j: 4] = solve(A, y)
       update W <- W_new
       output loss guard
       kernel k1 nest [batch] { stage [o] { z y } } stopped "why"
       place z arena 4096 f32
       bytes arena 8192 parameters 160 state 0 inputs 0

   An index is an object, so distinct ones get distinct names: the second `n` is `n_2`. Terms of forms are sorted by the
   names of their indices, so a text with such new names is read and printed once more. A name that is not made of
   letters, digits, `_`, `.` and `'`, or that is a word of expressions, stands between backquotes. Precedence is
   ops.def's column.

   An expression is a DAG. If it is large as a tree, what it holds several times is named first, so that text is never
   much larger than the DAG:

       y[n: 4] = let _1 = exp(x[n] - m), _2 = _1 / (1 + _1) in _1 * _2 + _2 */
#include "internal.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum {
    LEVEL_SELECT = 0,
    LEVEL_COMPARISON = 4,
    LEVEL_SUM = 5,
    LEVEL_PRODUCT = 6,
    LEVEL_NEGATION = 7,
    LEVEL_POWER = 8,
    LEVEL_CALL = 9
};
struct printer {
    struct text *out;
    struct arena *arena;
    struct map *taken;                 /* names of rank-0 tensors, and of indices as they are printed */
    LIST(const char *) index_names;    /* by index->number; NULL until the index is met */
    bool renamed;                      /* some index has not its own name */
    const struct ir_index *time;       /* that the recurrence's first line names, or NULL */
    struct memo *uses;                 /* of the equation that is printed: expression -> struct use; NULL: none */
    LIST(const struct ir_expr *) used; /* operands first */
};

/* How an expression occurs in its equation. */
struct use {
    double size; /* as a tree */
    int count;
    const char *name; /* that it is printed by, or NULL */
};

static void print_at(struct printer *p, const struct ir_expr *e, int least);
static void print_form_at(struct printer *p, const struct ir_form *f, int least);

static struct printer printer_new(struct text *out)
{
    struct arena *arena = arena_new();

    return (struct printer){.out = out, .arena = arena, .taken = map_new(arena)};
}

static void print_name(struct text *out, const char *name)
{
    static const char *const reserved[] = {"if", "then", "else", "and", "or",  "not",    "inf",    "nan",    "let",
                                           "in", "sum",  "prod", "max", "min", "argmax", "argmin", "scatter"};
    bool plain = (name[0] >= 'a' && name[0] <= 'z') || (name[0] >= 'A' && name[0] <= 'Z') || name[0] == '_';

    for (const char *c = name; *c; c++)
        plain &= (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_' ||
                 *c == '\'' || (*c == '.' && c[1] && c[1] != '.');
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        plain &= strcmp(name, reserved[i]) != 0;
    if (strchr(name, '`') || strchr(name, '\n'))
        bug("the name %s cannot be printed", name);
    text_add(out, plain ? "" : "`");
    text_add(out, name);
    text_add(out, plain ? "" : "`");
}

static void print_string(struct text *out, const char *string)
{
    text_add(out, "\"");
    for (const char *c = string; *c; c++) {
        if (*c == '"' || *c == '\\')
            text_add(out, "\\");
        text_add_slice(out, *c == '\n' ? " " : c, 1);
    }
    text_add(out, "\"");
}

/* Without a number that an earlier naming put there: another o_2 becomes o_3, not o_2_2. */
static size_t base_size(const char *name)
{
    size_t size = strlen(name), digits = 0;

    while (digits < size && name[size - 1 - digits] >= '0' && name[size - 1 - digits] <= '9')
        digits++;
    return digits && digits + 1 < size && name[size - 1 - digits] == '_' ? size - digits - 1 : size;
}

static const char *index_name(struct printer *p, const struct ir_index *index)
{
    const char *name = index->name;

    while (p->index_names.count <= index->number)
        list_add(p->arena, p->index_names, NULL);
    if (p->index_names.at[index->number])
        return p->index_names.at[index->number];
    for (int suffix = 2; map_get(p->taken, name); suffix++)
        name = arena_printf(p->arena, "%.*s_%d", (int)base_size(index->name), index->name, suffix);
    map_put(p->taken, name, p->taken);
    p->renamed |= name != index->name;
    p->index_names.at[index->number] = name;
    return name;
}

static void print_index(struct printer *p, const struct ir_index *index)
{
    print_name(p->out, index_name(p, index));
}

static void print_declarations(struct printer *p, struct ir_index *const *indices, int count, int time)
{
    for (int i = 0; i < count; i++) {
        text_add(p->out, i ? ", " : "");
        text_add(p->out, i == time && indices[i] != p->time ? "time " : "");
        print_index(p, indices[i]);
        text_addf(p->out, "%s: %" PRId64, indices[i]->batch ? "*" : "", indices[i]->extent);
    }
}

static void print_axes(struct printer *p, const struct ir_tensor *t)
{
    if (!t->rank)
        return;
    text_add(p->out, "[");
    print_declarations(p, t->axes, t->rank, p->time ? t->time : -1);
    text_add(p->out, "]");
}

/* ---- what is named first ---- */

static struct use *use_of(const struct printer *p, const struct ir_expr *e)
{
    return (struct use *)*memo_at(p->uses, e);
}

static const char *name_of(const struct printer *p, const struct ir_expr *e)
{
    const struct use *use = p->uses ? use_of(p, e) : NULL;

    return use ? use->name : NULL;
}

static double count_uses(struct printer *p, const struct ir_expr *e);

static double count_form_uses(struct printer *p, const struct ir_form *f)
{
    double size = 1;

    for (int i = 0; i < f->count; i++) {
        const struct ir_atom *atom = f->terms[i].atom;

        size += atom->kind == IR_ATOM_INDEX   ? 1
                : atom->kind == IR_ATOM_VALUE ? count_uses(p, atom->value)
                                              : count_form_uses(p, atom->form);
    }
    return size;
}

/* The size of e as a tree. */
static double count_uses(struct printer *p, const struct ir_expr *e)
{
    struct use *use = use_of(p, e);

    if (use) {
        use->count++;
        return use->size;
    }
    use = NEW(p->arena, struct use);
    use->size = use->count = 1;
    if (e->kind == IR_FORM)
        use->size += count_form_uses(p, e->form);
    for (int i = 0; e->kind == IR_READ && i < e->tensor->rank; i++)
        use->size += count_form_uses(p, e->subscripts[i]);
    if (e->kind == IR_READ && e->otherwise)
        use->size += count_uses(p, e->otherwise);
    for (int i = 0; e->kind == IR_APPLY && i < ir_operators[e->op].arity; i++)
        use->size += count_uses(p, e->arguments[i]);
    *memo_at(p->uses, e) = use;
    list_add(p->arena, p->used, e);
    return use->size;
}

/* Names what occurs more than once in a large expression and is not small itself. */
static void print_lets(struct printer *p, const struct ir_expr *whole)
{
    enum { LARGE = 300, SMALL = 8, SMALL_FORM = 64 };
    int number = 0, named = 0;

    p->used.count = 0;
    if (count_uses(p, whole) < LARGE)
        return;
    for (int i = 0; i < p->used.count; i++) {
        const struct ir_expr *e = p->used.at[i];
        struct use *use = use_of(p, e);
        const char *name;

        if (use->count < 2 || use->size < (e->kind == IR_FORM ? SMALL_FORM : SMALL) || e->kind == IR_CONSTANT)
            continue;
        do /* equations may use the same names, but not those of indices */
            name = arena_printf(p->arena, "_%d", ++number);
        while (map_get(p->taken, name) && map_get(p->taken, name) != p->arena);
        map_put(p->taken, name, p->arena);
        text_addf(p->out, "%s%s = ", named++ ? ", " : "let ", name);
        print_at(p, e, LEVEL_SELECT);
        use->name = name;
    }
    text_add(p->out, named ? " in " : "");
}

/* ---- forms ---- */

static int expr_level(const struct printer *p, const struct ir_expr *e);

static int atom_level(const struct printer *p, const struct ir_atom *atom)
{
    switch (atom->kind) {
    case IR_ATOM_INDEX:
        return LEVEL_CALL;
    case IR_ATOM_QUOTIENT:
    case IR_ATOM_REMAINDER:
        return LEVEL_PRODUCT;
    case IR_ATOM_VALUE:
        return expr_level(p, atom->value);
    }
    bug("an atom of kind %d", (int)atom->kind);
}

static int form_level(const struct printer *p, const struct ir_form *f)
{
    if (f->count == 0)
        return f->constant < 0 ? LEVEL_NEGATION : LEVEL_CALL;
    if (f->count > 1 || f->constant)
        return LEVEL_SUM;
    if (f->terms[0].coefficient == 1)
        return atom_level(p, f->terms[0].atom);
    return f->terms[0].coefficient == -1 ? LEVEL_NEGATION : LEVEL_PRODUCT;
}

static void print_atom(struct printer *p, const struct ir_atom *atom, int least)
{
    bool parentheses = atom->kind != IR_ATOM_VALUE && atom_level(p, atom) < least;

    text_add(p->out, parentheses ? "(" : "");
    switch (atom->kind) {
    case IR_ATOM_INDEX:
        print_index(p, atom->index);
        break;
    case IR_ATOM_QUOTIENT:
    case IR_ATOM_REMAINDER:
        print_form_at(p, atom->form, LEVEL_PRODUCT);
        text_addf(p->out, atom->kind == IR_ATOM_QUOTIENT ? " // %" PRId64 : " %% %" PRId64, atom->divisor);
        break;
    case IR_ATOM_VALUE:
        print_at(p, atom->value, least);
        break;
    }
    text_add(p->out, parentheses ? ")" : "");
}

static void print_form_at(struct printer *p, const struct ir_form *f, int least)
{
    bool parentheses = form_level(p, f) < least;

    text_add(p->out, parentheses ? "(" : "");
    for (int i = 0; i < f->count; i++) {
        int64_t c = f->terms[i].coefficient;
        uint64_t magnitude = c < 0 ? -(uint64_t)c : (uint64_t)c;
        int level = i == 0 && c > 0 ? LEVEL_SUM : i == 0 ? LEVEL_POWER : LEVEL_PRODUCT;

        if (i)
            text_add(p->out, c < 0 ? " - " : " + ");
        else if (c < 0)
            text_add(p->out, "-");
        if (magnitude != 1) {
            text_addf(p->out, "%" PRIu64 " * ", magnitude);
            level = LEVEL_NEGATION;
        }
        print_atom(p, f->terms[i].atom, f->count == 1 && !f->constant && c == 1 ? LEVEL_SELECT : level);
    }
    if (!f->count)
        text_addf(p->out, "%" PRId64, f->constant);
    else if (f->constant)
        text_addf(p->out, f->constant < 0 ? " - %" PRIu64 : " + %" PRIu64,
                  f->constant < 0 ? -(uint64_t)f->constant : (uint64_t)f->constant);
    text_add(p->out, parentheses ? ")" : "");
}

/* ---- expressions ---- */

static int expr_level(const struct printer *p, const struct ir_expr *e)
{
    if (name_of(p, e))
        return LEVEL_CALL;
    switch (e->kind) {
    case IR_CONSTANT:
        return signbit(e->number) && !isnan(e->number) ? LEVEL_NEGATION : LEVEL_CALL;
    case IR_FORM:
        return form_level(p, e->form);
    case IR_READ:
        return LEVEL_CALL;
    case IR_APPLY:
        return ir_operators[e->op].level;
    }
    bug("an expression of kind %d", (int)e->kind);
}

static void print_constant(struct text *out, const struct ir_expr *e)
{
    size_t start = out->size;

    if (e->whole) {
        text_addf(out, "%.0f", e->number);
        return;
    }
    text_add_number(out, e->number);
    if (!strpbrk(out->data + start, ".en"))
        text_add(out, ".0");
}

static void print_read(struct printer *p, const struct ir_expr *e)
{
    if (e->otherwise)
        text_add(p->out, "(");
    print_name(p->out, e->tensor->name);
    if (e->tensor->rank)
        text_add(p->out, "[");
    for (int i = 0; i < e->tensor->rank; i++) {
        text_add(p->out, i ? ", " : "");
        print_form_at(p, e->subscripts[i], LEVEL_SELECT);
    }
    if (e->tensor->rank)
        text_add(p->out, "]");
    if (e->otherwise) {
        text_add(p->out, " else ");
        print_at(p, e->otherwise, LEVEL_SELECT);
        text_add(p->out, ")");
    }
}

static void print_apply(struct printer *p, const struct ir_expr *e)
{
    const char *symbol = ir_operators[e->op].symbol;
    int level = ir_operators[e->op].level;

    switch (ir_operators[e->op].notation) {
    case IR_NOTATION_INFIX: /* to the left, but powers to the right and comparisons to neither side */
        print_at(p, e->arguments[0], level == LEVEL_POWER || level == LEVEL_COMPARISON ? level + 1 : level);
        text_addf(p->out, " %s ", symbol);
        print_at(p, e->arguments[1], level == LEVEL_POWER ? level : level + 1);
        break;
    case IR_NOTATION_PREFIX:
        text_addf(p->out, symbol[1] ? "%s " : "%s", symbol);
        print_at(p, e->arguments[0], level + 1);
        break;
    case IR_NOTATION_CALL:
        text_addf(p->out, "%s(", symbol);
        for (int i = 0; i < 3 && e->arguments[i]; i++) {
            text_add(p->out, i ? ", " : "");
            print_at(p, e->arguments[i], LEVEL_SELECT);
        }
        text_add(p->out, ")");
        break;
    case IR_NOTATION_SELECT:
        text_add(p->out, "if ");
        print_at(p, e->arguments[0], LEVEL_SELECT);
        text_add(p->out, " then ");
        print_at(p, e->arguments[1], LEVEL_SELECT);
        text_add(p->out, " else ");
        print_at(p, e->arguments[2], LEVEL_SELECT);
        break;
    }
}

static void print_at(struct printer *p, const struct ir_expr *e, int least)
{
    bool parentheses;

    if (name_of(p, e)) {
        text_add(p->out, name_of(p, e));
        return;
    }
    if (e->kind == IR_FORM) {
        print_form_at(p, e->form, least);
        return;
    }
    parentheses = expr_level(p, e) < least;
    text_add(p->out, parentheses ? "(" : "");
    if (e->kind == IR_CONSTANT)
        print_constant(p->out, e);
    else if (e->kind == IR_READ)
        print_read(p, e);
    else
        print_apply(p, e);
    text_add(p->out, parentheses ? ")" : "");
}

static void print_whole(struct printer *p, const struct ir_expr *e)
{
    struct memo uses;

    memo_begin(&uses);
    p->uses = &uses;
    print_lets(p, e);
    print_at(p, e, LEVEL_SELECT);
    p->uses = NULL;
    memo_end(&uses);
}

/* ---- statements ---- */

static void print_bound(struct text *out, int64_t bound)
{
    if (bound == INT64_MIN)
        text_add(out, "-inf");
    else if (bound == INT64_MAX)
        text_add(out, "inf");
    else
        text_addf(out, "%" PRId64, bound);
}

static void print_range(struct text *out, const struct ir_tensor *t)
{
    text_add(out, " in ");
    print_bound(out, t->low);
    text_add(out, "..");
    print_bound(out, t->high);
}

static void print_leaf(struct printer *p, const struct ir_tensor *t)
{
    static const char *const kinds[] = {"input", "parameter", "state", "scalar"};

    text_addf(p->out, "%s ", kinds[t->kind]);
    print_name(p->out, t->name);
    print_axes(p, t);
    if (t->whole)
        print_range(p->out, t);
}

static void print_draw(struct printer *p, const struct ir_tensor *t)
{
    static const char *const draws[] = {"uniform16", "uniform32", "normal"};
    static const char *const scopes[] = {"sample", "step", "run", "item"};

    text_add(p->out, "draw ");
    print_name(p->out, t->name);
    text_addf(p->out, " %s", draws[t->draw]);
    print_axes(p, t);
    text_addf(p->out, " per %s", scopes[t->scope]);
    if (t->mapped)
        text_addf(p->out, " mapped %d", t->mapped);
}

/* Of an equation of a recurrence always, of others if it is not what their values say. */
static void print_declared_range(struct printer *p, const struct ir_tensor *t)
{
    struct interval range = {INT64_MIN, INT64_MAX};
    bool whole = !t->recurrence && infer_equation(t, &range);

    if (t->whole && !(whole && t->low == range.low && t->high == range.high))
        print_range(p->out, t);
    else if (!t->whole && whole)
        text_add(p->out, " in real");
}

static void print_equation(struct printer *p, const struct ir_tensor *t)
{
    static const char *const reductions[] = {"", "sum", "prod", "max", "min", "argmax", "argmin"};

    text_add(p->out, t->single ? "single " : "");
    print_name(p->out, t->name);
    print_axes(p, t);
    if (!t->value) {
        text_add(p->out, " is declared");
        return;
    }
    print_declared_range(p, t);
    text_add(p->out, " = ");
    if (t->reduction != IR_MAP) {
        text_addf(p->out, "%s[", t->targets ? "scatter" : reductions[t->reduction]);
        print_declarations(p, t->reduced, t->reduced_count, -1);
        text_add(p->out, "] ");
    }
    if (t->targets) {
        text_add(p->out, "to [");
        for (int i = 0; i < t->rank; i++) {
            text_add(p->out, i ? ", " : "");
            print_form_at(p, t->targets[i], LEVEL_SELECT);
        }
        text_add(p->out, "] ");
    }
    print_whole(p, t->value);
}

static void print_opaque(struct printer *p, const struct ir_tensor *t)
{
    print_name(p->out, t->name);
    print_axes(p, t);
    text_addf(p->out, " = %s(", opaque_names[t->opaque]);
    for (int i = 0; i < 2 && t->operands[i]; i++) {
        text_add(p->out, i ? ", " : "");
        print_name(p->out, t->operands[i]->name);
    }
    text_add(p->out, ")");
}

static void print_tensor(struct printer *p, const struct ir_tensor *t)
{
    if (t->kind == IR_EQUATION)
        print_equation(p, t);
    else if (t->kind == IR_OPAQUE)
        print_opaque(p, t);
    else if (t->kind == IR_DRAW)
        print_draw(p, t);
    else
        print_leaf(p, t);
}

/* Each run of equations of one recurrence stands in a block. */
static void print_tensors(struct printer *p, const struct ir_program *program)
{
    const struct ir_recurrence *recurrence = NULL;

    for (int i = 0; i < program->tensors.count; i++) {
        const struct ir_tensor *t = program->tensors.at[i];

        if (t->recurrence != recurrence) {
            text_add(p->out, recurrence ? "}\n" : "");
            recurrence = t->recurrence;
            p->time = recurrence ? t->axes[t->time] : NULL;
            if (recurrence) {
                text_add(p->out, "recurrence ");
                print_name(p->out, recurrence->name);
                text_add(p->out, " over ");
                print_declarations(p, &t->axes[t->time], 1, -1);
                text_add(p->out, recurrence->down ? " down {\n" : " up {\n");
            }
        }
        text_add(p->out, recurrence ? "  " : "");
        print_tensor(p, t);
        text_add(p->out, "\n");
    }
    text_add(p->out, recurrence ? "}\n" : "");
    p->time = NULL;
}

static void print_index_list(struct printer *p, struct ir_index *const *indices, int count)
{
    text_add(p->out, " [");
    for (int i = 0; i < count; i++) {
        text_add(p->out, i ? ", " : "");
        print_index(p, indices[i]);
    }
    text_add(p->out, "] {");
}

static void print_kernel(struct printer *p, const struct ir_kernel *k)
{
    text_add(p->out, "kernel ");
    print_name(p->out, k->name);
    text_addf(p->out, " %s", kernel_kinds[k->kind]);
    if (k->recurrence) {
        text_add(p->out, " over ");
        print_index(p, k->time);
    }
    print_index_list(p, k->parallel.at, k->parallel.count);
    for (int i = 0; i < k->stages.count; i++) {
        const struct ir_stage *stage = k->stages.at[i];

        text_add(p->out, " stage");
        print_index_list(p, stage->inner.at, stage->inner.count);
        for (int e = 0; e < stage->equations.count; e++) {
            text_add(p->out, " ");
            print_name(p->out, stage->equations.at[e]->name);
        }
        text_add(p->out, " }");
    }
    text_add(p->out, " }");
    if (k->stopped) {
        text_add(p->out, " stopped ");
        print_string(p->out, k->stopped);
    }
    text_add(p->out, "\n");
}

static void print_place(struct text *out, const struct ir_tensor *t)
{
    static const char *const regions[] = {"nowhere", "local", "arena", "parameters", "state", "inputs", "scalars"};
    static const char *const storages[] = {"f32", "f64", "i32", "u8"};

    if (t->region == IR_NOWHERE && !t->offset && t->storage == IR_F32)
        return;
    text_add(out, "place ");
    print_name(out, t->name);
    text_addf(out, " %s %" PRId64 " %s", regions[t->region], t->offset, storages[t->storage]);
    if (t->one_step)
        text_addf(out, " step %d", t->one_step - 1);
    text_add(out, "\n");
}

static void print_statements(struct printer *p, const struct ir_program *program)
{
    struct text *out = p->out;

    print_tensors(p, program);
    for (int i = 0; i < program->updates.count; i++) {
        text_add(out, "update ");
        print_name(out, program->updates.at[i].leaf->name);
        text_add(out, " <- ");
        print_name(out, program->updates.at[i].value->name);
        text_add(out, "\n");
    }
    for (int i = 0; i < program->outputs.count; i++) {
        const struct ir_output *output = &program->outputs.at[i];

        text_add(out, "output ");
        print_name(out, output->name);
        if (strcmp(output->name, output->tensor->name)) {
            text_add(out, " = ");
            print_name(out, output->tensor->name);
        }
        text_add(out, output->guard ? " guard\n" : "\n");
    }
    for (int i = 0; i < program->kernels.count; i++)
        print_kernel(p, program->kernels.at[i]);
    for (int i = 0; i < program->tensors.count; i++)
        print_place(out, program->tensors.at[i]);
    if (program->arena_bytes || program->parameter_bytes || program->state_bytes || program->input_bytes)
        text_addf(out, "bytes arena %" PRId64 " parameters %" PRId64 " state %" PRId64 " inputs %" PRId64 "\n",
                  program->arena_bytes, program->parameter_bytes, program->state_bytes, program->input_bytes);
}

/* Whether some index was printed under another name. */
static bool print_program(struct text *out, const struct ir_program *program)
{
    struct printer p = printer_new(out);

    for (int i = 0; i < program->tensors.count; i++)
        if (!program->tensors.at[i]->rank)
            map_put(p.taken, program->tensors.at[i]->name, program->tensors.at[i]);
    text_add(out, "program ");
    print_name(out, program->name);
    text_add(out, program->precision == IR_SINGLE ? " f32\n" : " f64\n");
    print_statements(&p, program);
    arena_free(p.arena);
    return p.renamed;
}

void ir_print(struct text *out, const struct ir_program *program)
{
    struct arena *arena = arena_new();
    struct text text = {0};
    const char *error;

    if (print_program(&text, program)) {
        const struct ir_program *again = ir_parse(arena, text.data, &error);

        if (again) { /* what breaks the laws of programs is printed as it is */
            text.size = 0;
            print_program(&text, again);
        }
    }
    text_add_slice(out, text.data, text.size);
    text_free(&text);
    arena_free(arena);
}

void ir_print_expr(struct text *out, const struct ir_expr *e)
{
    struct printer p = printer_new(out);

    print_whole(&p, e);
    arena_free(p.arena);
}

void ir_print_form(struct text *out, const struct ir_form *f)
{
    struct printer p = printer_new(out);

    print_form_at(&p, f, LEVEL_SELECT);
    arena_free(p.arena);
}

void ir_print_tensor(struct text *out, const struct ir_tensor *t)
{
    struct printer p = printer_new(out);

    print_tensor(&p, t);
    arena_free(p.arena);
}
