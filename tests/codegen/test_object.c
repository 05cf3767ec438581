/* test_object.c: what is promised of the object file: it needs the runtime and the C library's memory functions only,
   shows `step` alone, has no data of its own that is written, and is the same bytes each time it is made. */
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

static struct code *compile(struct arena *arena)
{
    struct ir_program *p = parse_program(arena, source);
    struct code_timing timing;
    const char *error;

    fuse(p, true);
    plan_memory(p, layout_new(arena), false);
    struct code *code = code_module()->compile(p, NULL, &timing, &error);
    assert_non_null(code);
    return code;
}

static bool allowed(const char *name)
{
    return !strncmp(name, "rnet_", 5) || !strcmp(name, "memcpy") || !strcmp(name, "memset") ||
           !strcmp(name, "memmove") || !strcmp(name, "_GLOBAL_OFFSET_TABLE_");
}

static void needs_the_runtime_and_shows_step(void **state)
{
    struct arena *arena = arena_new();
    struct code *code = compile(arena);
    size_t bytes;
    const char *object = code_module()->object(code, &bytes);
    const Elf64_Ehdr *head = (const void *)object;
    int shown = 0, needed = 0;

    (void)state;
    assert_memory_equal(object, ELFMAG, SELFMAG);
    const Elf64_Shdr *sections = (const void *)(object + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++) {
        if (sections[i].sh_flags & SHF_WRITE)
            assert_int_equal(sections[i].sh_size, 0);
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const void *)(object + sections[i].sh_offset);
        const char *names = object + sections[sections[i].sh_link].sh_offset;
        for (size_t k = 1; k < sections[i].sh_size / sizeof *symbols; k++) {
            const char *name = names + symbols[k].st_name;
            if (symbols[k].st_shndx == SHN_UNDEF) {
                if (!allowed(name))
                    fail_msg("the object needs %s", name);
                needed++;
            } else if (ELF64_ST_BIND(symbols[k].st_info) != STB_LOCAL) {
                assert_string_equal(name, "step");
                shown++;
            }
        }
    }
    assert_int_equal(shown, 1);
    assert_true(needed >= 3); /* the pool, erf, pow */
    code_module()->release(code);
    arena_free(arena);
}

static void is_the_same_each_time(void **state)
{
    struct arena *arenas[] = {arena_new(), arena_new()};
    struct code *codes[] = {compile(arenas[0]), compile(arenas[1])};
    size_t bytes[2];
    const void *objects[] = {code_module()->object(codes[0], &bytes[0]), code_module()->object(codes[1], &bytes[1])};

    (void)state;
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(objects[0], objects[1], bytes[0]);
    for (int i = 0; i < 2; i++) {
        code_module()->release(codes[i]);
        arena_free(arenas[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(needs_the_runtime_and_shows_step),
        cmocka_unit_test(is_the_same_each_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
