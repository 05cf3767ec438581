/* parse.c: the text that print.c writes, back to a program. The grammar, one statement a line, `#` begins a comment:

       program    = "program" name ("f32" | "f64")
       statement  = ("input" | "parameter" | "state") name axes ["in" bound ".." bound] | "scalar" name
                  | "draw" name ("uniform16" | "uniform32" | "normal") axes
                           "per" ("sample" | "step" | "run" | "item") ["mapped" whole]
                  | ["single"] name axes [range] "=" [reduction "[" indices "]"] [lets] expression
                  | name axes [range] "=" "scatter" "[" indices "]" "to" "[" expressions "]" [lets] expression
                  | name axes "=" ("rank" | "solve" | "cholesky" | "orthogonal") "(" name ["," name] ")"
                  | "recurrence" name "over" index ("up" | "down") "{" equations, a line each "}"
                  | "update" name "<-" name
                  | "output" name ["=" name] ["guard"]
                  | "kernel" name ("nest" | "product" | "tile" | "scatter" | "opaque") ["over" name] "[" names "]"
                           "{" { stage } "}"
                           ["stopped" string]
                  | "place" name region whole storage ["step" whole]
                  | "bytes" "arena" whole "parameters" whole "state" whole "inputs" whole
       reduction  = "sum" | "prod" | "max" | "min" | "argmax" | "argmin"
       lets       = "let" name "=" expression { "," name "=" expression } "in"
       stage      = "stage" "[" names "]" "{" { name } "}"
       axes       = [ "[" indices "]" ]
       indices    = index { "," index }                        index = ["time"] name ["*"] ":" extent
       range      = "in" (bound ".." bound | "real")
       expression = "if" expression "then" expression "else" expression
                  | operands and operators of ops.def
       operand    = number | index's name | name [ "[" subscripts "]" ] | function "(" expressions ")"
                  | "(" expression ")" | "(" name "[" subscripts "]" "else" expression ")"

   The same name, extent and flag of an index are one object throughout. An equation sees the indices that it declares
   itself. The equations of a recurrence are declared, all of them, before their values are parsed; the time of each is
   the axis marked `time`, or the index named in the first line. Whole ones say their range. An opaque tensor there has
   operands that stand before it. The first error leaves the
   parser at once; everything lives in the program's arena. */
#include "parse.h"

#include <inttypes.h>
#include <string.h>

/* An index by its bare name, for kernels; NULL: several of that name. */
struct named {
    struct ir_index *index;
};

/* ---- indices ---- */

static struct ir_index *declared_index(struct parser *p)
{
    const char *index_name = name(p, "an index");
    bool batch = accept(p, "*");
    struct ir_index *index;
    struct named *named;
    const char *key;
    int64_t extent;

    expect(p, ":");
    extent = whole(p, "an extent");
    if (extent < 1)
        parse_fail(p, p->at->line, "the index `%s` has extent %" PRId64 ", expected at least 1", index_name, extent);
    key = arena_printf(p->arena, "%s%s: %" PRId64, index_name, batch ? "*" : "", extent);
    index = map_get(p->indices, key);
    if (index)
        return index;
    index = ir_index(p->program, index_name, extent, batch);
    map_put(p->indices, key, index);
    named = map_get(p->by_name, index_name);
    if (named) {
        named->index = NULL;
    } else {
        named = NEW(p->arena, struct named);
        named->index = index;
        map_put(p->by_name, index_name, named);
    }
    return index;
}

/* After the opening bracket; adds to the list, in which each name may stand once. Axes in a recurrence: notes the time.
 */
static void declared_indices(struct parser *p, ir_index_list *list, bool with_time)
{
    do {
        bool time = with_time && is(p->at, "time") && is_name(p->at + 1);
        struct ir_index *index;

        p->at += time;
        index = declared_index(p);
        if (time || (with_time && p->time_axis < 0 && index == p->time))
            p->time_axis = list->count;
        for (int i = 0; i < list->count; i++)
            if (!strcmp(list->at[i]->name, index->name))
                parse_fail(p, p->at->line, "the index `%s` stands here twice", index->name);
        list_add(p->arena, *list, index);
    } while (accept(p, ","));
    expect(p, "]");
}

static ir_index_list axes(struct parser *p)
{
    ir_index_list list = {0};

    p->time_axis = -1;
    if (accept(p, "["))
        declared_indices(p, &list, p->time != NULL);
    return list;
}

static struct ir_index *index_named(struct parser *p)
{
    const char *text = name(p, "an index");
    const struct named *named = map_get(p->by_name, text);

    if (!named)
        parse_fail(p, p->at->line, "no equation declares an index `%s`", text);
    if (!named->index)
        parse_fail(p, p->at->line, "several indices are named `%s`; give them distinct names to list them here", text);
    return named->index;
}

static void index_names(struct parser *p, ir_index_list *list)
{
    expect(p, "[");
    while (!accept(p, "]")) {
        if (list->count)
            expect(p, ",");
        list_add(p->arena, *list, index_named(p));
    }
}

/* ---- statements ---- */

static const char *new_name(struct parser *p, const char *what)
{
    const char *text = name(p, what);

    if (ir_find(p->program, text))
        parse_fail(p, p->at->line, "`%s` is defined twice", text);
    return text;
}

static int64_t bound(struct parser *p)
{
    bool negative = accept(p, "-");
    int64_t value;

    if (accept(p, "inf"))
        return negative ? INT64_MIN : INT64_MAX;
    value = whole(p, "a bound");
    return negative ? -value : value;
}

static void bounds(struct parser *p, const char *of, int64_t *low, int64_t *high)
{
    *low = bound(p);
    expect(p, "..");
    *high = bound(p);
    if (*low > *high)
        parse_fail(p, p->at->line, "the range of `%s` is empty", of);
}

static void leaf(struct parser *p, enum ir_kind kind)
{
    const char *text = new_name(p, "a name");
    ir_index_list list = axes(p);
    bool is_whole = accept(p, "in");
    int64_t low = INT64_MIN, high = INT64_MAX;

    if (is_whole)
        bounds(p, text, &low, &high);
    if (kind == IR_SCALAR && list.count)
        parse_fail(p, p->at->line, "the scalar `%s` has axes", text);
    if (kind == IR_SCALAR && is_whole)
        parse_fail(p, p->at->line, "the scalar `%s` has a range; scalars are real numbers", text);
    ir_leaf(p->program, kind, text, list.at, list.count, is_whole, low, high, NULL);
}

static void draw(struct parser *p)
{
    static const char *const draws[] = {"uniform16", "uniform32", "normal"};
    static const char *const scopes[] = {"sample", "step", "run", "item"};
    const char *text = new_name(p, "a name");
    int kind = choice(p, draws, 3, "uniform16, uniform32 or normal"), scope;
    ir_index_list list = axes(p);
    int64_t mapped = 0;

    expect(p, "per");
    scope = choice(p, scopes, 4, "sample, step, run or item");
    if (accept(p, "mapped")) {
        mapped = whole(p, "a count of axes");
        if (mapped > list.count - (list.count && list.at[0]->batch))
            parse_fail(p, p->at->line, "`%s` has no %" PRId64 " axes besides the samples' to map", text, mapped);
    }
    ir_draw_leaf(p->program, text, (enum ir_draw)kind, (enum ir_scope)scope, (int)mapped, list.at, list.count, NULL);
}

static void lets(struct parser *p)
{
    p->lets = NULL;
    if (!is(p->at, "let") || !is_name(p->at + 1) || !is(p->at + 2, "="))
        return;
    p->lets = map_new(p->arena);
    p->at++;
    do {
        const char *text = name(p, "a name");

        if (map_get(p->lets, text))
            parse_fail(p, p->at->line, "`%s` is named twice", text);
        expect(p, "=");
        map_put(p->lets, text, (void *)expression(p));
    } while (accept(p, ","));
    expect(p, "in");
}

/* An equation up to its `=`, or an opaque tensor. */
struct head {
    const char *name;
    ir_index_list axes;
    bool ranged, whole;
    int64_t low, high;
};

static struct head head(struct parser *p, bool declared)
{
    struct head h = {.low = INT64_MIN, .high = INT64_MAX};

    h.name = declared ? name(p, "a statement") : new_name(p, "a statement");
    h.axes = axes(p);
    h.ranged = accept(p, "in");
    h.whole = h.ranged && !accept(p, "real");
    if (h.whole)
        bounds(p, h.name, &h.low, &h.high);
    expect(p, "=");
    return h;
}

/* What stands to the right of an equation's `=`. */
struct body {
    enum ir_reduction reduction;
    ir_index_list reduced;
    const struct ir_form **targets;
    expr value;
};

static const struct ir_form **targets(struct parser *p, const struct head *h)
{
    const struct ir_form **list = NEW_ARRAY(p->arena, const struct ir_form *, h->axes.count + 1);
    int count = 0;

    p->lets = NULL;
    expect(p, "to");
    expect(p, "[");
    while (!accept(p, "]")) {
        int line = p->at->line;
        expr target;

        if (count)
            expect(p, ",");
        target = expression(p);
        if (!target->whole)
            parse_fail(p, line, "target %d of `%s` is not a whole number", count + 1, h->name);
        if (count < h->axes.count) {
            const struct ir_form *form = list[count] = ir_form_of(p->program, target);

            if (form->low < 0 || form->high >= h->axes.at[count]->extent)
                parse_fail(p, line,
                           "target %d of `%s` reaches from %" PRId64 " to %" PRId64 ", the axis from 0 to %" PRId64,
                           count + 1, h->name, form->low, form->high, h->axes.at[count]->extent - 1);
        }
        count++;
    }
    if (count != h->axes.count)
        parse_fail(p, p->at->line, "`%s` has %d ax%s, found %d target%s", h->name, h->axes.count,
                   h->axes.count == 1 ? "is" : "es", count, count == 1 ? "" : "s");
    return list;
}

static struct body body(struct parser *p, const struct head *h)
{
    static const char *const reductions[] = {"sum", "prod", "max", "min", "argmax", "argmin"};
    ir_index_list all = h->axes;
    struct body b = {0};
    bool scatter = is(p->at, "scatter") && is(p->at + 1, "[");

    /* a copy, so that adding reduced indices leaves the outputs' list alone */
    all.at = arena_copy(p->arena, all.at, sizeof *all.at * (size_t)all.count);
    all.capacity = all.count;
    if (scatter) {
        b.reduction = IR_SUM;
        p->at += 2;
        declared_indices(p, &all, false);
    } else if (is(p->at + 1, "[")) {
        for (int i = 0; i < 6 && b.reduction == IR_MAP; i++)
            if (accept(p, reductions[i])) {
                b.reduction = (enum ir_reduction)(i + 1);
                p->at++;
                declared_indices(p, &all, false);
            }
    }
    for (int i = h->axes.count; i < all.count; i++)
        list_add(p->arena, b.reduced, all.at[i]);
    p->visible = scatter ? b.reduced : all;
    if (scatter)
        b.targets = targets(p, h);
    lets(p);
    b.value = expression(p);
    p->visible = (ir_index_list){0};
    return b;
}

static void declare_range(struct parser *p, struct ir_tensor *t, const struct head *h, int line)
{
    if (h->whole && !t->whole)
        parse_fail(p, line, "`%s` has a range, but its value is a real number", h->name);
    if (h->ranged) {
        t->whole = h->whole;
        t->low = h->low;
        t->high = h->high;
    }
}

/* The name of an opaque operation with its opening bracket: which, or -1. */
static int opaque_at(const struct token *token)
{
    for (int i = 0; i < 4 && is(token + 1, "("); i++)
        if (is(token, opaque_names[i]))
            return i;
    return -1;
}

static void opaque(struct parser *p, const struct head *h)
{
    int line = p->at->line, kind = opaque_at(p->at);
    struct ir_tensor *a, *b = NULL, *t;
    const char *wrong;

    p->at += 2;
    a = tensor(p);
    if (accept(p, ","))
        b = tensor(p);
    expect(p, ")");
    wrong = opaque_misfit((enum ir_opaque)kind, a, b);
    if (wrong)
        parse_fail(p, line, "`%s`: %s", h->name, wrong);
    if (p->recurrence &&
        (p->time_axis >= a->rank - (kind == IR_RANK ? 1 : 2) || a->axes[p->time_axis]->extent != p->time->extent))
        parse_fail(p, line, "`%s` and its operand do not have the time at the same axis", h->name);
    t = p->recurrence ? ir_opaque_in(p->program, h->name, (enum ir_opaque)kind, a, b, p->recurrence, p->time_axis, NULL)
                      : ir_opaque_tensor(p->program, h->name, (enum ir_opaque)kind, a, b, NULL);
    if (t->rank != h->axes.count)
        parse_fail(p, line, "`%s` has %d ax%s; expected %d", h->name, h->axes.count, h->axes.count == 1 ? "is" : "es",
                   t->rank);
    for (int i = 0; i < t->rank; i++) {
        if (t->axes[i]->extent != h->axes.at[i]->extent)
            parse_fail(p, line, "axis %d of `%s` has the extent %" PRId64 "; expected %" PRId64, i + 1, h->name,
                       h->axes.at[i]->extent, t->axes[i]->extent);
        t->axes[i] = h->axes.at[i];
    }
    if (h->ranged)
        parse_fail(p, line, "`%s` has a range; its operation says which", h->name);
}

static void equation(struct parser *p, bool single)
{
    int line = p->at->line;
    struct head h = head(p, false);
    struct ir_tensor *t;
    struct body b;

    if (!single && opaque_at(p->at) >= 0) {
        opaque(p, &h);
        return;
    }
    b = body(p, &h);
    if (b.targets)
        t = ir_scatter(p->program, h.name, h.axes.at, h.axes.count, b.targets, b.reduced.at, b.reduced.count, b.value,
                       NULL);
    else
        t = ir_equation(p->program, h.name, h.axes.at, h.axes.count, b.reduction, b.reduced.at, b.reduced.count,
                        b.value, single, NULL);
    if (b.targets && single)
        parse_fail(p, line, "a scatter is not single");
    declare_range(p, t, &h, line);
}

static void skip_lines(struct parser *p)
{
    while (p->at->kind == NEWLINE)
        p->at++;
}

/* Declares the equation of this line and goes to the line's end. */
static void declare(struct parser *p)
{
    int line = p->at->line;
    struct head h;

    if (is(p->at, "single") && is_name(p->at + 1))
        p->at++;
    h = head(p, false);
    if (p->time_axis < 0)
        parse_fail(p, line, "`%s` has no axis `%s: %" PRId64 "`, nor another marked `time`", h.name, p->time->name,
                   p->time->extent);
    if (h.axes.at[p->time_axis]->extent != p->time->extent)
        parse_fail(p, line, "the time of `%s` has the extent %" PRId64 "; expected %" PRId64, h.name,
                   h.axes.at[p->time_axis]->extent, p->time->extent);
    if (opaque_at(p->at) >= 0)
        opaque(p, &h);
    else
        ir_declare(p->program, h.name, h.axes.at, h.axes.count, h.whole, h.low, h.high, p->recurrence, p->time_axis,
                   NULL);
    while (p->at->kind != NEWLINE)
        p->at++;
}

static void define(struct parser *p)
{
    bool single = is(p->at, "single") && is_name(p->at + 1);
    struct ir_tensor *t;
    struct head h;
    struct body b;

    p->at += single;
    h = head(p, true);
    t = ir_find(p->program, h.name);
    if (opaque_at(p->at) >= 0) { /* declared with its operands */
        while (p->at->kind != NEWLINE)
            p->at++;
        return;
    }
    if (is(p->at, "scatter"))
        parse_fail(p, p->at->line, "`%s` stands in a recurrence; expected an equation", h.name);
    b = body(p, &h);
    if (h.whole && !b.value->whole && b.reduction != IR_ARGMAX && b.reduction != IR_ARGMIN)
        parse_fail(p, p->at->line, "`%s` has a range, but its value is a real number", h.name);
    ir_define(p->program, t, b.reduction, b.reduced.at, b.reduced.count, b.value, single);
}

static void recurrence(struct parser *p)
{
    const char *text = name(p, "a recurrence's name");
    static const char *const directions[] = {"up", "down"};
    const struct token *first;

    expect(p, "over");
    p->time = declared_index(p);
    p->recurrence = ir_recurrence(p->program, text, p->time->extent, choice(p, directions, 2, "up or down"));
    expect(p, "{");
    first = p->at;
    for (skip_lines(p); !is(p->at, "}"); skip_lines(p)) {
        if (p->at->kind == END)
            expected(p, "`}`");
        declare(p);
    }
    p->at = first;
    for (skip_lines(p); !accept(p, "}"); skip_lines(p)) {
        define(p);
        if (p->at->kind != NEWLINE)
            expected(p, "the end of the line");
    }
    p->recurrence = NULL;
    p->time = NULL;
}

static void update(struct parser *p)
{
    struct ir_tensor *target = tensor(p), *value;
    bool same;

    if (target->kind != IR_PARAMETER && target->kind != IR_STATE)
        parse_fail(p, p->at->line, "`%s` is neither a parameter nor a state", target->name);
    if (map_get(p->updated, target->name))
        parse_fail(p, p->at->line, "`%s` is updated twice", target->name);
    map_put(p->updated, target->name, target);
    expect(p, "<");
    expect(p, "-");
    value = tensor(p);
    same = value->rank == target->rank;
    for (int i = 0; i < target->rank && same; i++)
        same = value->axes[i]->extent == target->axes[i]->extent;
    if (!same)
        parse_fail(p, p->at->line, "`%s` and `%s` differ in shape", target->name, value->name);
    ir_add_update(p->program, target, value);
}

static void output(struct parser *p)
{
    const char *text = p->at->text;
    struct ir_tensor *value;
    bool guard;

    if (is(p->at + 1, "=")) {
        text = name(p, "a name");
        p->at++;
    }
    value = tensor(p);
    guard = accept(p, "guard");
    if (guard && value->rank)
        parse_fail(p, p->at->line, "the guard `%s` has axes", value->name);
    ir_add_output(p->program, text, value, guard);
}

static void kernel(struct parser *p)
{
    struct ir_kernel *k = NEW(p->arena, struct ir_kernel);
    ir_index_list list = {0};

    k->name = name(p, "a kernel's name");
    k->kind = (enum ir_kernel_kind)choice(p, kernel_kinds, 5, "nest, product, tile, scatter or opaque");
    if (accept(p, "over"))
        k->time = index_named(p);
    index_names(p, &list);
    for (int i = 0; i < list.count; i++)
        list_add(p->arena, k->parallel, list.at[i]);
    expect(p, "{");
    while (accept(p, "stage")) {
        struct ir_stage *stage = NEW(p->arena, struct ir_stage);

        list = (ir_index_list){0};
        index_names(p, &list);
        for (int i = 0; i < list.count; i++)
            list_add(p->arena, stage->inner, list.at[i]);
        expect(p, "{");
        while (!accept(p, "}"))
            list_add(p->arena, stage->equations, tensor(p));
        list_add(p->arena, k->stages, stage);
        if (k->time && stage->equations.count)
            k->recurrence = stage->equations.at[0]->recurrence;
    }
    if (k->time && !k->recurrence)
        parse_fail(p, p->at->line, "the kernel `%s` runs over `%s`, but computes no equation of a recurrence", k->name,
                   k->time->name);
    expect(p, "}");
    if (accept(p, "stopped")) {
        if (p->at->kind != STRING)
            expected(p, "a string");
        k->stopped = (p->at++)->text;
    }
    list_add(p->arena, p->program->kernels, k);
}

static void place(struct parser *p)
{
    static const char *const regions[] = {"nowhere", "local", "arena", "parameters", "state", "inputs", "scalars"};
    static const char *const storages[] = {"f32", "f64", "i32", "u8"};
    struct ir_tensor *t = tensor(p);

    t->region = (enum ir_region)choice(p, regions, 7, "a region");
    t->offset = whole(p, "an offset");
    t->storage = (enum ir_storage)choice(p, storages, 4, "f32, f64, i32 or u8");
    if (accept(p, "step")) {
        int64_t axis = whole(p, "the axis that is the time");

        if (axis < 0 || axis >= t->rank)
            parse_fail(p, p->at->line, "%s has no axis %lld", t->name, (long long)axis);
        t->one_step = (int)axis + 1;
    }
}

static void bytes(struct parser *p)
{
    expect(p, "arena");
    p->program->arena_bytes = whole(p, "a count of bytes");
    expect(p, "parameters");
    p->program->parameter_bytes = whole(p, "a count of bytes");
    expect(p, "state");
    p->program->state_bytes = whole(p, "a count of bytes");
    expect(p, "inputs");
    p->program->input_bytes = whole(p, "a count of bytes");
}

/* The word begins its statement only if a name follows: `state[n: 4] = ...` and `output = 2` are equations. */
static bool begins(struct parser *p, const char *word)
{
    return is_name(p->at + 1) && accept(p, word);
}

static void statement(struct parser *p)
{
    static const char *const leaves[] = {"input", "parameter", "state", "scalar"};

    for (int kind = 0; kind < 4; kind++)
        if (begins(p, leaves[kind])) {
            leaf(p, (enum ir_kind)kind);
            return;
        }
    if (begins(p, "draw"))
        draw(p);
    else if (begins(p, "update"))
        update(p);
    else if (begins(p, "output"))
        output(p);
    else if (begins(p, "kernel"))
        kernel(p);
    else if (begins(p, "recurrence"))
        recurrence(p);
    else if (begins(p, "place"))
        place(p);
    else if (begins(p, "bytes"))
        bytes(p);
    else if (begins(p, "single"))
        equation(p, true);
    else
        equation(p, false);
}

static void parse(struct parser *p, const char *source)
{
    static const char *const precisions[] = {"f32", "f64"};
    const char *program_name;

    parse_tokens(p, source);
    p->at = p->tokens.at;
    skip_lines(p);
    expect(p, "program");
    program_name = name(p, "the program's name");
    p->program = ir_program_new(p->arena, program_name, choice(p, precisions, 2, "f32 or f64") ? IR_DOUBLE : IR_SINGLE);
    while (p->at->kind != END) {
        if (p->at->kind != NEWLINE)
            expected(p, "the end of the line");
        skip_lines(p);
        if (p->at->kind != END)
            statement(p);
    }
}

struct ir_program *ir_parse(struct arena *arena, const char *source, const char **error)
{
    struct parser *p = NEW(arena, struct parser);

    p->arena = arena;
    p->updated = map_new(arena);
    p->indices = map_new(arena);
    p->by_name = map_new(arena);
    *error = NULL;
    if (setjmp(p->failed)) {
        *error = p->error;
        return NULL;
    }
    parse(p, source);
    return p->program;
}
