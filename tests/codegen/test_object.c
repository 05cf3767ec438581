/* test_object.c: what is promised of the object files: they need the runtime, the C library's memory functions and each
   other only, show nothing outside, have no data of their own that is written, and are the same bytes each time they are
   made, by however many threads. */
#include "harness.h"

#include <elf.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka.h needs those before it
#include <cmocka.h>

static const char source[] =
    "program object f32\n"
    "input x[n*: 128, i: 100] in 0..255\nparameter W[i: 100, o: 333]\nparameter b[o: 333]\nstate count in 0..1000000\n"
    "scalar rate\ndraw u uniform16[n*: 128, o: 333] per sample\ndraw v normal[n*: 128] per step\n"
    "h[n*: 128, i: 100] = x[n, i] / 255\n"
    "s[n*: 128, o: 333] = sum[i: 100] h[n, i] * W[i, o]\n"
    "y[n*: 128, o: 333] = (u[n, o] < rate) * tanh(s[n, o] + b[o]) * erf(v[n])\n"
    "loss = sum[n*: 128, o: 333] y[n, o] ^ 1.3\n"
    "g[o: 333] = sum[n*: 128] y[n, o]\n"
    "b_new[o: 333] = b[o] - rate * g[o]\ncount_new = min(count + 1, 1000000)\n"
    "update b <- b_new\nupdate count <- count_new\noutput loss guard\n";

static struct code *compile(struct arena *arena, int threads)
{
    struct ir_program *p = parse_program(arena, source);
    struct code_options options = {.threads = threads};
    struct code_timing timing;
    const char *error;

    fuse(p, true);
    plan_memory(p, layout_new(arena), false);
    struct code *code = code_module()->compile(p, &options, &timing, &error);
    assert_non_null(code);
    return code;
}

/* Calls `visit` for each symbol of each object. */
static void each_symbol(struct code *code, void (*visit)(const char *name, const Elf64_Sym *symbol, void *context), void *context)
{
    const char *object;
    size_t bytes;

    for (int number = 0; (object = code_module()->object(code, number, &bytes)); number++) {
        const Elf64_Ehdr *head = (const void *)object;

        assert_memory_equal(object, ELFMAG, SELFMAG);
        const Elf64_Shdr *sections = (const void *)(object + head->e_shoff);
        for (int i = 0; i < head->e_shnum; i++) {
            if (sections[i].sh_flags & SHF_WRITE)
                assert_int_equal(sections[i].sh_size, 0);
            if (sections[i].sh_type != SHT_SYMTAB)
                continue;
            const Elf64_Sym *symbols = (const void *)(object + sections[i].sh_offset);
            const char *names = object + sections[sections[i].sh_link].sh_offset;
            for (size_t k = 1; k < sections[i].sh_size / sizeof *symbols; k++)
                visit(names + symbols[k].st_name, &symbols[k], context);
        }
    }
}

struct seen {
    struct arena *arena;
    struct map *defined;
    int runtime, shown;
};

static void note_definition(const char *name, const Elf64_Sym *symbol, void *context)
{
    struct seen *seen = context;

    if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol->st_info) == STB_LOCAL)
        return;
    map_put(seen->defined, arena_string(seen->arena, name), seen);
    seen->shown += ELF64_ST_VISIBILITY(symbol->st_other) != STV_HIDDEN;
}

static void check_need(const char *name, const Elf64_Sym *symbol, void *context)
{
    struct seen *seen = context;

    if (symbol->st_shndx != SHN_UNDEF || !strcmp(name, "_GLOBAL_OFFSET_TABLE_"))
        return;
    if (!strncmp(name, "rnet_", 5) || !strcmp(name, "memcpy") || !strcmp(name, "memset") || !strcmp(name, "memmove"))
        seen->runtime++;
    else if (!map_get(seen->defined, name))
        fail_msg("an object needs %s", name);
}

static void need_the_runtime_and_each_other(void **state)
{
    struct arena *arena = arena_new();
    struct code *code = compile(arena, 0);
    struct seen seen = {.arena = arena, .defined = map_new(arena)};

    (void)state;
    each_symbol(code, note_definition, &seen);
    each_symbol(code, check_need, &seen);
    assert_int_equal(seen.shown, 0);
    assert_true(seen.runtime >= 2); /* erf, pow */
    code_module()->release(code);
    arena_free(arena);
}

static void are_the_same_each_time(void **state)
{
    struct arena *arena = arena_new();
    struct code *codes[] = {compile(arena, 1), compile(arena, 3)};
    const void *objects[2];
    size_t bytes[2] = {0};
    int compared = 0;

    (void)state;
    /* Shared functions are listed as they are met, which threads do in any order: each object has its like. */
    for (int i = 0; (objects[0] = code_module()->object(codes[0], i, &bytes[0])); i++) {
        bool found = false;

        for (int k = 0; (objects[1] = code_module()->object(codes[1], k, &bytes[1])); k++)
            found |= bytes[0] == bytes[1] && !memcmp(objects[0], objects[1], bytes[0]);
        assert_true(found);
        compared++;
    }
    assert_true(compared > 3);
    assert_null(code_module()->object(codes[1], compared, &bytes[1]));
    for (int i = 0; i < 2; i++)
        code_module()->release(codes[i]);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(need_the_runtime_and_each_other),
        cmocka_unit_test(are_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
