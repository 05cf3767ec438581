/* run_ir.c: carries out one test file (tests/ir_file.h). Directives besides those of every test:
       error "line 3: ..."     the section's text is refused with exactly this message
       broken "..."            the verifier refuses the program with exactly this message
       prints TITLE            the program prints as the section of that title stands, comments and blank lines apart
       same TITLE              the program of that section prints the same as this one
       arranges TITLE          ir_arrange makes of it what prints as the section of that title; done again, nothing
   changes. The section is not verified before, and evaluated as it is then unarranged "..."        ir_arrange refuses
   the program with exactly this message A section with an `expect` is evaluated. Sections named by prints or same only
   are not run by themselves. */
#include "ir_file.h"

#include <string.h>

static const char *const own[] = {"error", "broken", "prints", "same", "arranges", "unarranged"};
enum { OWN = sizeof own / sizeof *own };
static const char *const shared[] = {"value", "run", "tolerance", "expect"};

static bool among(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(word, words[i]))
            return true;
    return false;
}

static const struct ir_directive *find(const struct ir_section *section, const char *word)
{
    for (int i = 0; i < section->directives.count; i++)
        if (!strcmp(section->directives.at[i].word, word))
            return &section->directives.at[i];
    return NULL;
}

/* The source's lines without comments, blank lines and what surrounds them. */
static const char *bare_lines(struct arena *arena, const char *source)
{
    struct text text = {0};
    const char *copy;

    while (*source) {
        size_t size = strcspn(source, "\n"), used = strcspn(source, "#\n");

        while (used && strchr(" \t", source[used - 1]))
            used--;
        if (used) {
            text_add_slice(&text, source, used);
            text_add(&text, "\n");
        }
        source += size + (source[size] != 0);
    }
    copy = arena_string(arena, text.data ? text.data : "");
    text_free(&text);
    return copy;
}

static void check_refusal(const struct ir_file *file, const struct ir_section *section)
{
    const struct ir_directive *error = find(section, "error"), *broken = find(section, "broken");
    const struct ir_directive *unarranged = find(section, "unarranged");
    const struct ir_directive *directive = error ? error : broken ? broken : unarranged;
    const char *rest = directive->rest, *message;
    struct ir_program *program = ir_parse(file->arena, section->source, &message);

    if (error && program)
        ir_file_fail(file, directive->line, "expected an error, and it parses");
    if (!error) {
        if (!program)
            ir_file_fail(file, directive->line, "expected to parse, found: %s", message);
        message = broken ? ir_verify(program) : ir_arrange(program);
        if (!message)
            ir_file_fail(file, directive->line, "expected to be refused, and it is not");
    }
    if (strcmp(message, ir_file_string(file, directive->line, &rest)))
        ir_file_fail(file, directive->line, "found instead: %s", message);
}

static const struct ir_section *named(const struct ir_file *file, const struct ir_directive *directive)
{
    const struct ir_section *section = ir_file_section(file, directive->rest);

    if (!section)
        ir_file_fail(file, directive->line, "no section has the title `%s`", directive->rest);
    return section;
}

static void check_print(const struct ir_file *file, const struct ir_directive *directive,
                        const struct ir_program *program)
{
    const char *expected = bare_lines(file->arena, named(file, directive)->source);
    struct text text = {0};

    ir_print(&text, program);
    if (strcmp(expected, text.data))
        ir_file_fail(file, directive->line, "it prints as\n%s", text.data);
    text_free(&text);
}

static struct ir_program *arranged(const struct ir_file *file, const struct ir_section *section)
{
    const struct ir_directive *directive = find(section, "arranges");
    const char *message;
    struct ir_program *program = ir_parse(file->arena, section->source, &message);

    if (!program)
        ir_file_fail(file, directive->line, "expected to parse, found: %s", message);
    for (int time = 0; time < 2; time++) {
        message = ir_arrange(program);
        if (!message)
            message = ir_verify(program);
        if (message)
            ir_file_fail(file, directive->line, "%s", message);
        check_print(file, directive, program);
    }
    return program;
}

static void check_section(const struct ir_file *file, const struct ir_section *section)
{
    struct ir_program *program;
    struct ir_values values;
    struct ir_run run;
    double tolerance = 0;

    if (find(section, "error") || find(section, "broken") || find(section, "unarranged")) {
        check_refusal(file, section);
        return;
    }
    program = find(section, "arranges") ? arranged(file, section) : ir_file_program(file, section);
    for (int i = 0; i < section->directives.count; i++) {
        const struct ir_directive *directive = &section->directives.at[i];

        if (!strcmp(directive->word, "prints"))
            check_print(file, directive, program);
        else if (!strcmp(directive->word, "same"))
            ir_file_same(file, named(file, directive), program);
    }
    if (!find(section, "expect"))
        return;
    values = ir_file_values(file, section, program, &run);
    ir_evaluate(program, &values, run);
    for (int i = 0; i < section->directives.count; i++)
        ir_file_after(file, &section->directives.at[i], program, &values, &tolerance);
}

int main(int count, char **arguments)
{
    if (count < 2) {
        fputs("usage: run_ir FILE...\n", stderr);
        return 2;
    }
    for (int i = 1; i < count; i++) {
        struct arena *arena = arena_new();
        const struct ir_file *file = ir_file_read(arena, arguments[i]);
        int checks = 0;

        for (int s = 0; s < file->sections.count; s++) {
            const struct ir_section *section = file->sections.at[s];

            for (int d = 0; d < section->directives.count; d++) {
                const char *word = section->directives.at[d].word;

                if (!among(word, own, OWN) && !among(word, shared, 4))
                    ir_file_fail(file, section->directives.at[d].line, "no directive is named `%s`", word);
                checks += among(word, own, OWN) || !strcmp(word, "expect");
            }
            if (section->directives.count)
                check_section(file, section);
        }
        if (!checks)
            ir_file_fail(file, 1, "the file expects nothing");
        arena_free(arena);
    }
    return 0;
}
