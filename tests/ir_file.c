/* ir_file.c: see ir_file.h. */
#include "ir_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void ir_file_fail(const struct ir_file *file, int line, const char *format, ...)
{
    va_list arguments;

    fflush(stdout);
    fprintf(stderr, "%s:%d: ", file->path, line);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

/* ---- reading ---- */

static bool is_statement(const char *word)
{
    static const char *const words[] = {"program", "input",  "parameter", "state", "scalar", "draw",       "single",
                                        "update",  "output", "kernel",    "place", "bytes",  "recurrence", "}"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcmp(word, words[i]))
            return true;
    return false;
}

static size_t word_size(const char *c)
{
    return strcspn(c, " \t[=");
}

static struct ir_section *new_section(struct ir_file *file, const char *title, int line)
{
    struct ir_section *section = NEW(file->arena, struct ir_section);

    section->title = title;
    section->line = line;
    section->empty = true;
    list_add(file->arena, file->sections, section);
    return section;
}

static void read_line(struct ir_file *file, struct ir_section **section, struct text *program, const char *line,
                      int number)
{
    const char *start = line + strspn(line, " \t"), *word, *rest;

    if (!strncmp(start, "---", 3)) {
        (*section)->source = arena_string(file->arena, program->data);
        program->size = 0;
        for (int i = 1; i < number; i++)
            text_add(program, "\n");
        *section = new_section(file, arena_string(file->arena, start + 3 + strspn(start + 3, " ")), number);
        text_add(program, "\n");
        return;
    }
    word = arena_slice(file->arena, start, word_size(start));
    rest = start + strlen(word);
    rest += strspn(rest, " \t");
    if (*word && *word != '#' && *word != '`' && *rest != '[' && *rest != '=' && !is_statement(word)) {
        struct ir_directive directive = {word, arena_string(file->arena, rest), number};

        list_add(file->arena, (*section)->directives, directive);
    } else {
        (*section)->empty &= !*start || *start == '#';
        text_add(program, line);
    }
    text_add(program, "\n");
}

struct ir_file *ir_file_read(struct arena *arena, const char *path)
{
    struct ir_file *file = NEW(arena, struct ir_file);
    struct ir_section *section;
    struct text program = {0};
    FILE *stream = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    int number = 0;

    file->arena = arena;
    file->path = path;
    if (!stream)
        ir_file_fail(file, 0, "cannot be read");
    section = new_section(file, "", 1);
    text_add(&program, "");
    while (getline(&line, &size, stream) >= 0) {
        line[strcspn(line, "\r\n")] = 0;
        read_line(file, &section, &program, line, ++number);
    }
    section->source = arena_string(arena, program.data);
    free(line);
    text_free(&program);
    fclose(stream);
    return file;
}

const struct ir_section *ir_file_section(const struct ir_file *file, const char *title)
{
    for (int i = 0; i < file->sections.count; i++)
        if (!strcmp(file->sections.at[i]->title, title))
            return file->sections.at[i];
    return NULL;
}

/* ---- programs ---- */

static void show_difference(const struct ir_file *file, int line, const char *what, const char *expected,
                            const char *found)
{
    while (*expected || *found) {
        size_t e = strcspn(expected, "\n"), f = strcspn(found, "\n");

        if (e != f || strncmp(expected, found, e))
            ir_file_fail(file, line, "%s\n  expected: %.*s\n  found:    %.*s", what, (int)e, expected, (int)f, found);
        expected += e + (expected[e] != 0);
        found += f + (found[f] != 0);
    }
}

static const char *printed(const struct ir_file *file, const struct ir_program *program)
{
    struct text text = {0};
    const char *copy;

    ir_print(&text, program);
    copy = arena_string(file->arena, text.data);
    text_free(&text);
    return copy;
}

struct ir_program *ir_file_program(const struct ir_file *file, const struct ir_section *section)
{
    const char *error, *broken, *once;
    struct ir_program *program = ir_parse(file->arena, section->source, &error), *again;

    if (!program)
        ir_file_fail(file, section->line, "%s", error);
    broken = ir_verify(program);
    if (broken)
        ir_file_fail(file, section->line, "the verifier says: %s", broken);
    once = printed(file, program);
    again = ir_parse(file->arena, once, &error);
    if (!again)
        ir_file_fail(file, section->line, "what was printed does not parse: %s\n%s", error, once);
    show_difference(file, section->line, "printing is no fixed point", once, printed(file, again));
    return program;
}

void ir_file_same(const struct ir_file *file, const struct ir_section *expected, const struct ir_program *found)
{
    const struct ir_program *program = ir_file_program(file, expected);

    show_difference(file, expected->line, "the programs differ", printed(file, program), printed(file, found));
}

/* ---- directives ---- */

bool ir_file_at_end(const char *rest)
{
    rest += strspn(rest, " \t");
    return !*rest || *rest == '#';
}

const char *ir_file_word(const struct ir_file *file, int line, const char **rest, const char *what)
{
    const char *start;
    size_t size;

    *rest += strspn(*rest, " \t");
    start = *rest;
    size = strcspn(start, " \t#");
    if (!size)
        ir_file_fail(file, line, "expected %s, found the end of the line", what);
    *rest += size;
    return arena_slice(file->arena, start, size);
}

double ir_file_number(const struct ir_file *file, int line, const char **rest)
{
    const char *word = ir_file_word(file, line, rest, "a number");
    char *end;
    double value = strtod(word, &end);

    if (*end)
        ir_file_fail(file, line, "expected a number, found `%s`", word);
    return value;
}

const char *ir_file_string(const struct ir_file *file, int line, const char **rest)
{
    const char *start = *rest + strspn(*rest, " \t"), *end;

    end = *start == '"' ? strrchr(start + 1, '"') : NULL;
    if (!end)
        ir_file_fail(file, line, "expected a string between quotes");
    *rest = end + 1;
    return arena_slice(file->arena, start + 1, (size_t)(end - start - 1));
}

struct ir_tensor *ir_file_tensor(const struct ir_file *file, int line, const char **rest,
                                 const struct ir_program *program)
{
    const char *name = ir_file_word(file, line, rest, "a tensor");
    struct ir_tensor *tensor = ir_find(program, name);

    if (!tensor)
        ir_file_fail(file, line, "the program has no tensor `%s`", name);
    return tensor;
}

static void equals_sign(const struct ir_file *file, int line, const char **rest)
{
    const char *sign = ir_file_word(file, line, rest, "`=`");

    if (strcmp(sign, "="))
        ir_file_fail(file, line, "expected `=`, found `%s`", sign);
}

static void must_end(const struct ir_file *file, int line, const char *rest)
{
    if (!ir_file_at_end(rest))
        ir_file_fail(file, line, "expected the end of the line, found `%s`", rest);
}

static bool accept(const char **rest, const char *word)
{
    size_t size = strlen(word);

    *rest += strspn(*rest, " \t");
    if (strncmp(*rest, word, size) || ((*rest)[size] && !strchr(" \t#", (*rest)[size])))
        return false;
    *rest += size;
    return true;
}

/* splitmix64 */
static uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double *numbers(const struct ir_file *file, int line, const char *rest, const struct ir_tensor *t)
{
    int64_t count = ir_elements(t), listed = 0;
    double *values = NEW_ARRAY(file->arena, double, count), fill;
    uint64_t state, span = (uint64_t)t->high - (uint64_t)t->low + 1;
    bool ranged = t->whole && t->low != INT64_MIN && t->high != INT64_MAX;

    if (accept(&rest, "fill")) {
        fill = ir_file_number(file, line, &rest);
        for (int64_t i = 0; i < count; i++)
            values[i] = fill;
    } else if (accept(&rest, "count")) {
        for (int64_t i = 0; i < count; i++)
            values[i] = ranged ? (double)(t->low + (int64_t)((uint64_t)i % span)) : (double)i;
    } else if (accept(&rest, "random")) {
        state = (uint64_t)ir_file_number(file, line, &rest);
        for (int64_t i = 0; i < count; i++)
            values[i] = ranged ? (double)(t->low + (int64_t)(random_bits(&state) % span))
                               : (double)(random_bits(&state) >> 11) * 0x1p-52 - 1;
    } else {
        for (; !ir_file_at_end(rest); listed++) {
            double value = ir_file_number(file, line, &rest);

            if (listed < count)
                values[listed] = value;
        }
        if (listed != count)
            ir_file_fail(file, line, "`%s` has %" PRId64 " elements, found %" PRId64 " numbers", t->name, count,
                         listed);
    }
    must_end(file, line, rest);
    return values;
}

bool ir_file_before(const struct ir_file *file, const struct ir_directive *directive, const struct ir_program *program,
                    struct ir_values *values, struct ir_run *run)
{
    const char *rest = directive->rest;
    int line = directive->line;

    if (!strcmp(directive->word, "value")) {
        const struct ir_tensor *t = ir_file_tensor(file, line, &rest, program);

        if (t->kind == IR_EQUATION || t->kind == IR_DRAW || t->kind == IR_OPAQUE)
            ir_file_fail(file, line, "`%s` is computed and takes no value", t->name);
        equals_sign(file, line, &rest);
        values->at[t->number] = numbers(file, line, rest, t);
        return true;
    }
    if (!strcmp(directive->word, "run")) {
        while (!ir_file_at_end(rest)) {
            uint64_t *field = accept(&rest, "seed")       ? &run->seed
                              : accept(&rest, "position") ? &run->position
                              : accept(&rest, "step")     ? &run->step
                                                          : NULL;
            if (!field)
                ir_file_fail(file, line, "expected seed, position or step, found `%s`", rest);
            *field = strtoull(ir_file_word(file, line, &rest, "a whole number"), NULL, 10);
        }
        return true;
    }
    return false;
}

static bool close_enough(double found, double expected, double tolerance)
{
    double size = fabs(expected) > 1 ? fabs(expected) : 1;

    if (isnan(expected) || isnan(found))
        return isnan(expected) && isnan(found);
    return found == expected || fabs(found - expected) <= tolerance * size;
}

bool ir_file_after(const struct ir_file *file, const struct ir_directive *directive, const struct ir_program *program,
                   const struct ir_values *values, double *tolerance)
{
    const char *rest = directive->rest;
    int line = directive->line;

    if (!strcmp(directive->word, "tolerance")) {
        *tolerance = ir_file_number(file, line, &rest);
        must_end(file, line, rest);
        return true;
    }
    if (!strcmp(directive->word, "expect")) {
        const struct ir_tensor *t = ir_file_tensor(file, line, &rest, program);
        const double *found = values->at[t->number], *expected;

        equals_sign(file, line, &rest);
        expected = numbers(file, line, rest, t);
        for (int64_t i = 0; i < ir_elements(t); i++)
            if (!close_enough(found[i], expected[i], *tolerance))
                ir_file_fail(file, line, "element %" PRId64 " of `%s`: expected %.17g, found %.17g (tolerance %g)", i,
                             t->name, expected[i], found[i], *tolerance);
        return true;
    }
    return false;
}

struct ir_values ir_file_values(const struct ir_file *file, const struct ir_section *section,
                                const struct ir_program *program, struct ir_run *run)
{
    struct ir_values values = ir_values_new(file->arena, program), fresh = values;

    values.at = arena_copy(file->arena, fresh.at, sizeof *fresh.at * (size_t)program->tensors.count);
    *run = (struct ir_run){.seed = 1, .position = 0, .step = 1};
    for (int i = 0; i < section->directives.count; i++)
        ir_file_before(file, &section->directives.at[i], program, &values, run);
    for (int i = 0; i < program->tensors.count; i++) {
        const struct ir_tensor *t = program->tensors.at[i];

        if (t->kind != IR_EQUATION && t->kind != IR_DRAW && t->kind != IR_OPAQUE && values.at[i] == fresh.at[i])
            ir_file_fail(file, section->line, "`%s` has no value; write: value %s = ...", t->name, t->name);
    }
    return values;
}
