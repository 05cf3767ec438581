/* run_passes.c: carries out one test file (tests/ir_file.h): all passes over its program, fused and not, the verifier
   after each. What the program computes must stay what it was, element for element, and the kernels the same under
   other names. Directives besides those of every test:

       rounds 1e-12      values may differ by so much, on |a - b| / max(1, |a|): where simplify reassociates; else 0

       fused KERNEL      the kernels after fuse, as if the program were large, all of them in order: `nest n | o: z y* | : m` is a nest (product,
                         scatter, opaque; `nest over t n` in a recurrence) parallel over n, with a stage over o of z
                         and y (local) and a stage of its own for m

       small KERNEL      the same of the small program that it is

       unfused KERNEL    the same with fusion off

       inplace NAME      the value of the leaf's update is written over the leaf

       copied NAME       it is not

       over NAME OLD     the one is written where the other lies
       apart NAME OLD    it is not
       onestep NAME      all steps of its recurrence have one place
       allsteps NAME     each has its own

       arena N           bytes of the arena, fused

       simplified N, shared N, scheduled N   how many equations the pass leaves

       explains "TEXT"   explain says this, fused; blanks stand for any space */
#include "ir_file.h"
#include "passes.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct test {
    const struct ir_file *file;
    const struct ir_section *section;
    double rounds;
};

static bool is_shared_word(const char *word)
{
    return !strcmp(word, "value") || !strcmp(word, "run") || !strcmp(word, "tolerance") || !strcmp(word, "expect");
}

static void verified(const struct test *t, const char *pass, const struct ir_program *p)
{
    const char *broken = ir_verify(p);

    if (broken) {
        struct text text = {0};

        ir_print(&text, p);
        ir_file_fail(t->file, t->section->line, "after %s: %s\n%s", pass, broken, text.data);
    }
}

static int count_equations(const struct ir_program *p)
{
    int count = 0;

    for (int i = 0; i < p->tensors.count; i++)
        count += p->tensors.at[i]->kind == IR_EQUATION;
    return count;
}

static void check_count(const struct test *t, const char *word, const struct ir_program *p)
{
    for (int i = 0; i < t->section->directives.count; i++) {
        const struct ir_directive *d = &t->section->directives.at[i];
        const char *rest = d->rest;

        if (!strcmp(d->word, word) && ir_file_number(t->file, d->line, &rest) != count_equations(p)) {
            struct text text = {0};

            ir_print(&text, p);
            ir_file_fail(t->file, d->line, "%d equations are left:\n%s", count_equations(p), text.data);
        }
    }
}

/* ---- kernels as lines ---- */

static void add_kernel(struct text *out, const struct ir_kernel *k)
{
    static const char *const kinds[] = {[IR_NEST] = "nest",
                                        [IR_PRODUCT_KERNEL] = "product",
                                        [IR_TILE_KERNEL] = "tile",
                                        [IR_SCATTER_KERNEL] = "scatter",
                                        [IR_OPAQUE_KERNEL] = "opaque"};

    text_add(out, kinds[k->kind]);
    if (k->recurrence)
        text_addf(out, " over %s", k->time->name);
    for (int i = 0; i < k->parallel.count; i++)
        text_addf(out, " %s", k->parallel.at[i]->name);
    for (int s = 0; s < k->stages.count; s++) {
        text_add(out, " |");
        for (int i = 0; i < k->stages.at[s]->inner.count; i++)
            text_addf(out, " %s", k->stages.at[s]->inner.at[i]->name);
        text_add(out, ":");
        for (int i = 0; i < k->stages.at[s]->equations.count; i++)
            text_addf(out, " %s%s", k->stages.at[s]->equations.at[i]->name,
                      k->stages.at[s]->equations.at[i]->region == IR_LOCAL ? "*" : "");
    }
}

static void check_kernels(const struct test *t, const char *word, const struct ir_program *p)
{
    struct text all = {0};
    int next = 0, line = 0, wrong = 0;

    for (int i = 0; i < p->kernels.count; i++) {
        text_addf(&all, "%s ", word);
        add_kernel(&all, p->kernels.at[i]);
        text_addf(&all, "   # %s\n", p->kernels.at[i]->stopped ? p->kernels.at[i]->stopped : "");
    }
    for (int i = 0; i < t->section->directives.count; i++) {
        const struct ir_directive *d = &t->section->directives.at[i];
        struct text found = {0};

        if (strcmp(d->word, word))
            continue;
        line = d->line;
        if (next < p->kernels.count)
            add_kernel(&found, p->kernels.at[next]);
        if (!wrong && (next == p->kernels.count || strcmp(found.data, d->rest)))
            wrong = line;
        next++;
        text_free(&found);
    }
    if (next && (wrong || next != p->kernels.count))
        ir_file_fail(t->file, wrong ? wrong : line, "the kernels are\n%s", all.data);
    text_free(&all);
}

static const struct ir_update *update_of(const struct test *t, const struct ir_program *p, const struct ir_directive *d)
{
    for (int i = 0; i < p->updates.count; i++)
        if (!strcmp(p->updates.at[i].leaf->name, d->rest))
            return &p->updates.at[i];
    ir_file_fail(t->file, d->line, "no update has the leaf %s", d->rest);
}

static const struct ir_tensor *tensor_of(const struct test *t, const struct ir_program *p, const struct ir_directive *d,
                                         const char **rest)
{
    size_t size = strcspn(*rest, " ");
    const struct ir_tensor *found = ir_find(p, arena_slice(t->file->arena, *rest, size));

    if (!found)
        ir_file_fail(t->file, d->line, "no tensor `%.*s` is left", (int)size, *rest);
    *rest += size + strspn(*rest + size, " ");
    return found;
}

/* Where values of the arena lie; false: the directive says nothing of it. */
static bool check_place(const struct test *t, const struct ir_program *p, const struct ir_directive *d)
{
    bool over = !strcmp(d->word, "over"), one = !strcmp(d->word, "onestep");
    const char *rest = d->rest;
    const struct ir_tensor *a;

    if (over || !strcmp(d->word, "apart")) {
        const struct ir_tensor *b;

        a = tensor_of(t, p, d, &rest);
        b = tensor_of(t, p, d, &rest);
        if (a->region != IR_IN_ARENA || b->region != IR_IN_ARENA || (a->offset == b->offset) != over)
            ir_file_fail(t->file, d->line, "%s lies at %lld, %s at %lld", a->name, (long long)a->offset, b->name,
                         (long long)b->offset);
        return true;
    }
    if (!one && strcmp(d->word, "allsteps"))
        return false;
    a = tensor_of(t, p, d, &rest);
    if (a->region != IR_IN_ARENA || (a->one_step == a->time + 1) != one)
        ir_file_fail(t->file, d->line, "%s has room for %s", a->name, a->one_step ? "one step" : "all steps, or none");
    return true;
}

static void squeeze(struct text *text)
{
    size_t size = 0;

    for (size_t i = 0; i < text->size; i++) {
        char c = isspace((unsigned char)text->data[i]) ? ' ' : text->data[i];

        if (c != ' ' || (size && text->data[size - 1] != ' '))
            text->data[size++] = c;
    }
    text->data[size] = 0;
    text->size = size;
}

static void check_plan(const struct test *t, const struct ir_program *p)
{
    struct text said = {0}, json = {0};

    explain(&json, p, -1, true);
    text_free(&json);
    explain(&said, p, -1, false);
    squeeze(&said);
    for (int i = 0; i < t->section->directives.count; i++) {
        const struct ir_directive *d = &t->section->directives.at[i];
        const char *rest = d->rest;
        bool in_place = !strcmp(d->word, "inplace");

        if (check_place(t, p, d))
            continue;
        if (in_place || !strcmp(d->word, "copied")) {
            const struct ir_update *u = update_of(t, p, d);

            if ((u->value->region == u->leaf->region && u->value->offset == u->leaf->offset) != in_place)
                ir_file_fail(t->file, d->line, "expected %s to be %s", u->value->name,
                             in_place ? "written over its leaf" : "elsewhere");
        } else if (!strcmp(d->word, "arena")) {
            if (ir_file_number(t->file, d->line, &rest) != (double)p->arena_bytes)
                ir_file_fail(t->file, d->line, "the arena has %lld bytes", (long long)p->arena_bytes);
        } else if (!strcmp(d->word, "explains")) {
            if (!strstr(said.data, ir_file_string(t->file, d->line, &rest))) {
                struct text whole = {0};

                explain(&whole, p, -1, false);
                ir_file_fail(t->file, d->line, "it says\n%s", whole.data);
            }
        }
    }
    text_free(&said);
}

/* ---- values ---- */

static const struct ir_tensor *output_named(const struct ir_program *p, const char *name)
{
    for (int i = 0; i < p->outputs.count; i++)
        if (!strcmp(p->outputs.at[i].name, name))
            return p->outputs.at[i].tensor;
    return NULL;
}

static void same_elements(const struct test *t, const char *what, const char *name, const double *expected,
                          const double *found, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        bool same = expected[i] == found[i] || (isnan(expected[i]) && isnan(found[i])) ||
                    fabs(expected[i] - found[i]) <= t->rounds * fmax(1, fabs(expected[i]));

        if (!same)
            ir_file_fail(t->file, t->section->line, "%s: element %lld of %s is %.17g, expected %.17g", what,
                         (long long)i, name, found[i], expected[i]);
    }
}

/* Evaluates the passed program (and its schedule before it) from the original's leaves, and compares outputs and
 * leaves. */
static void same_values(const struct test *t, const char *what, const struct ir_program *original,
                        const struct ir_program *passed, const struct ir_program *schedule)
{
    struct ir_run run, again;
    struct ir_values before = ir_file_values(t->file, t->section, original, &run);
    struct ir_values after = ir_values_new(t->file->arena, passed), scheduled;

    for (int i = 0; i < passed->tensors.count; i++) {
        const struct ir_tensor *leaf = passed->tensors.at[i], *old = ir_find(original, leaf->name);

        if (leaf->kind != IR_EQUATION && leaf->kind != IR_OPAQUE && leaf->kind != IR_DRAW && old &&
            old->kind == leaf->kind)
            memcpy(after.at[i], before.at[old->number], sizeof(double) * (size_t)ir_elements(leaf));
    }
    if (schedule) {
        scheduled = ir_file_values(t->file, t->section, original, &again);
        scheduled = ir_values_new(t->file->arena, schedule);
        for (int i = 0; i < schedule->tensors.count; i++)
            if (schedule->tensors.at[i]->kind == IR_SCALAR)
                scheduled.at[i][0] = before.at[ir_find(original, schedule->tensors.at[i]->name)->number][0];
        ir_evaluate(schedule, &scheduled, run);
        for (int i = 0; i < schedule->outputs.count; i++)
            after.at[ir_find(passed, schedule->outputs.at[i].name)->number][0] =
                scheduled.at[schedule->outputs.at[i].tensor->number][0];
    }
    ir_evaluate(original, &before, run);
    ir_evaluate(passed, &after, run);
    for (int i = 0; i < original->outputs.count; i++) {
        const struct ir_tensor *old = original->outputs.at[i].tensor;
        const struct ir_tensor *new = output_named(passed, original->outputs.at[i].name);

        if (!new)
            ir_file_fail(t->file, t->section->line, "%s: the output %s is gone", what, original->outputs.at[i].name);
        same_elements(t, what, original->outputs.at[i].name, before.at[old->number], after.at[new->number],
                      ir_elements(old));
    }
    for (int i = 0; i < original->updates.count; i++) {
        const struct ir_tensor *old = original->updates.at[i].leaf, *new = ir_find(passed, old->name);

        same_elements(t, what, old->name, before.at[old->number], after.at[new->number], ir_elements(old));
    }
}

/* ---- names do not matter ---- */

struct names {
    struct arena *arena;
    LIST(const char *) all; /* name i is q0000 .. in the renamed program, counted down, so that sorting turns round */
};

static void add_name(struct names *names, const char *name)
{
    for (int i = 0; i < names->all.count; i++)
        if (!strcmp(names->all.at[i], name))
            return;
    list_add(names->arena, names->all, name);
}

static bool name_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* The source with every word that is a name of the program's replaced. */
static char *renamed_source(const struct names *names, const char *source)
{
    struct text text = {0};
    char *copy;

    while (*source) {
        size_t size = 0;
        int found = -1;

        while (name_letter(source[size]))
            size++;
        for (int i = 0; size && i < names->all.count; i++)
            if (strlen(names->all.at[i]) == size && !strncmp(names->all.at[i], source, size))
                found = i;
        if (found >= 0)
            text_addf(&text, "q%04d", 9999 - found);
        else
            text_add_slice(&text, source, size ? size : 1);
        source += size ? size : 1;
    }
    copy = arena_string(names->arena, text.data);
    text_free(&text);
    return copy;
}

static void back(const struct names *names, struct text *text)
{
    struct text out = {0};
    const char *c = text->data;

    while (*c) {
        if (c[0] == 'q' && strspn(c + 1, "0123456789") == 4) {
            text_add(&out, names->all.at[9999 - atoi(c + 1)]);
            c += 5;
        } else {
            text_add_slice(&out, c++, 1);
        }
    }
    text_free(text);
    *text = out;
}

static struct ir_program *all_passes(struct ir_program *p, enum fusing how)
{
    struct ir_program *schedule;

    p = split_schedule(share(simplify(p)), &schedule);
    fuse(p, how);
    return p;
}

static void check_renamed(const struct test *t, enum fusing how)
{
    struct ir_program *p = ir_file_program(t->file, t->section), *renamed;
    struct names names = {.arena = t->file->arena};
    struct text expected = {0}, found = {0};
    const char *error;

    for (int i = 0; i < p->tensors.count; i++) {
        const struct ir_tensor *e = p->tensors.at[i];

        add_name(&names, e->name);
        for (int j = 0; j < e->rank; j++)
            add_name(&names, e->axes[j]->name);
        for (int j = 0; j < e->reduced_count; j++)
            add_name(&names, e->reduced[j]->name);
    }
    renamed = ir_parse(t->file->arena, renamed_source(&names, t->section->source), &error);
    if (!renamed)
        ir_file_fail(t->file, t->section->line, "the renamed program: %s", error);
    p = all_passes(p, how);
    renamed = all_passes(renamed, how);
    for (int i = 0; i < p->kernels.count; i++, text_add(&expected, "\n"))
        add_kernel(&expected, p->kernels.at[i]);
    for (int i = 0; i < renamed->kernels.count; i++, text_add(&found, "\n"))
        add_kernel(&found, renamed->kernels.at[i]);
    if (renamed->kernels.count)
        back(&names, &found);
    if (strcmp(expected.data ? expected.data : "", found.data ? found.data : ""))
        ir_file_fail(t->file, t->section->line, "under other names the kernels are\n%s", found.data);
    text_free(&expected);
    text_free(&found);
}

static void run_passes(const struct test *t, enum fusing how)
{
    static const char *const words[] = {[FUSE_NOTHING] = "unfused", [FUSE_ALL] = "small", [FUSE_AS_LARGE] = "fused"};
    struct ir_program *original = ir_file_program(t->file, t->section), *p = ir_file_program(t->file, t->section);
    struct ir_program *schedule = NULL;
    struct layout *layout = layout_new(t->file->arena);

    p = simplify(p);
    verified(t, "simplify", p);
    check_count(t, "simplified", p);
    same_values(t, "simplify", original, p, NULL);
    p = share(p);
    verified(t, "share", p);
    check_count(t, "shared", p);
    same_values(t, "share", original, p, NULL);
    p = split_schedule(p, &schedule);
    verified(t, "split_schedule", p);
    verified(t, "split_schedule", schedule);
    check_count(t, "scheduled", schedule);
    same_values(t, "split_schedule", original, p, schedule);
    fuse(p, how);
    verified(t, "fuse", p);
    same_values(t, arena_printf(t->file->arena, "fuse, %s", words[how]), original, p, schedule);
    check_kernels(t, words[how], p);
    plan_memory(p, layout, false);
    verified(t, "plan_memory", p);
    if (how == FUSE_AS_LARGE)
        check_plan(t, p);
}

int main(int count, char **arguments)
{
    static const char *const own[] = {"rounds", "fused",      "unfused", "small", "inplace",   "copied",
                                      "over",   "apart",      "onestep", "allsteps",
                                      "arena",  "simplified", "shared",  "scheduled", "explains"};

    if (count < 2) {
        fputs("usage: run_passes FILE...\n", stderr);
        return 2;
    }
    for (int i = 1; i < count; i++) {
        struct arena *arena = arena_new();
        const struct ir_file *file = ir_file_read(arena, arguments[i]);
        struct test t = {file, ir_file_section(file, ""), 0};

        for (int d = 0; d < t.section->directives.count; d++) {
            const struct ir_directive *directive = &t.section->directives.at[d];
            const char *rest = directive->rest;
            bool known = is_shared_word(directive->word);

            for (size_t w = 0; w < sizeof own / sizeof *own; w++)
                known = known || !strcmp(directive->word, own[w]);
            if (!known)
                ir_file_fail(file, directive->line, "no directive is named `%s`", directive->word);
            if (!strcmp(directive->word, "rounds"))
                t.rounds = ir_file_number(file, directive->line, &rest);
        }
        run_passes(&t, FUSE_AS_LARGE);
        run_passes(&t, FUSE_ALL);
        run_passes(&t, FUSE_NOTHING);
        check_renamed(&t, FUSE_AS_LARGE);
        check_renamed(&t, FUSE_ALL);
        arena_free(arena);
    }
    return 0;
}
