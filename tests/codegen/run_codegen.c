/* run_codegen.c: runs the program of one test file (tests/ir_file.h) compiled, in f64 and f32, fused and not (or with
   the kernels that the file has), with 1, 2 and 3 threads, and compares with the evaluator. Of the directives `value`
   and `run` count; the files of other folders, which say more, can be run too.

   Tolerances are relative errors in the Euclidean norm of each tensor: f64 1e-12 (sums in another order than the
   evaluator's: up to some thousand terms), f32 1e-5 (the same, 2^-24 a rounding), and nothing for whole numbers, which
   must agree. */
#include "harness.h"
#include "ir_file.h"

#include <stdio.h>
#include <string.h>

int main(int count, char **words)
{
    struct arena *arena = arena_new();
    struct ir_file *file = ir_file_read(arena, words[count - 1]);
    const struct ir_section *section = ir_file_section(file, "");
    struct ir_run where = {.seed = 1, .position = 0, .step = 1};
    bool good = true;

    if (section->empty)
        ir_file_fail(file, 1, "expected a program");
    struct ir_program *given = ir_file_program(file, section);
    struct ir_values values = ir_values_new(arena, given);
    for (int i = 0; i < section->directives.count; i++)
        ir_file_before(file, &section->directives.at[i], given, &values, &where);
    for (int single = 0; single < 2; single++) {
        double tolerance = single ? 1e-5 : 1e-12;
        good &= worst_error(file->path, section->source, single, given, &values, where, tolerance) <= tolerance;
    }
    arena_free(arena);
    return good ? 0 : 1;
}
