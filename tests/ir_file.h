/* ir_file.h: tests that are text files. A file holds a program in the syntax of src/ir/print.c and, on lines of their
   own among its statements, directives: a word, a blank, and the rest. A line is a directive if its first word is no
   statement's and is followed by neither `[` nor `=`. A line `--- TITLE` begins a section; the first section has the
   title "". Lines keep their numbers. What a test does not know it must refuse (ir_file_fail), so that no misspelt
   directive passes.

   Directives that this file carries out itself, for every test:
       value NAME = 1 2.5 -inf      the leaf's elements, row-major
       value NAME = fill 0.5        all the same
       value NAME = count           0 1 2 ... (a whole leaf: in its range, again and again)
       value NAME = random 7        in [-1, 1), by this seed; a whole leaf: in its range
       run seed 1 position 0 step 1
       tolerance 1e-12              of the `expect`s that follow, on |found - expected| / max(1, |expected|); 0 at first
       expect NAME = 1 2 3          the tensor's elements after the evaluation, or `fill 0`; nan equals nan */
#ifndef TESTS_IR_FILE_H
#define TESTS_IR_FILE_H

#include "ir.h"

struct ir_directive {
    const char *word, *rest;
    int line;
};
struct ir_section {
    const char *title;
    int line;
    const char *source; /* the program; blank lines stand for everything else */
    bool empty;         /* no statement in it */
    LIST(struct ir_directive) directives;
};
struct ir_file {
    struct arena *arena;
    const char *path;
    LIST(struct ir_section *) sections;
};

/* Prints "path:line: message" on stderr and ends the process with status 1. */
_Noreturn void ir_file_fail(const struct ir_file *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends the process if the file cannot be read. */
struct ir_file *ir_file_read(struct arena *arena, const char *path);
/* NULL if there is none. */
const struct ir_section *ir_file_section(const struct ir_file *file, const char *title);

/* The section's program, verified; its text must be a fixed point of printing and parsing. */
struct ir_program *ir_file_program(const struct ir_file *file, const struct ir_section *section);
/* Both programs print the same; else shows the first line that differs. */
void ir_file_same(const struct ir_file *file, const struct ir_section *expected, const struct ir_program *found);

/* True if it carried the directive out: value and run before the evaluation, tolerance and expect after it. */
bool ir_file_before(const struct ir_file *file, const struct ir_directive *directive, const struct ir_program *program,
                    struct ir_values *values, struct ir_run *run);
bool ir_file_after(const struct ir_file *file, const struct ir_directive *directive, const struct ir_program *program,
                   const struct ir_values *values, double *tolerance);
/* All values and the run of a section. Every leaf but draws must have a value. */
struct ir_values ir_file_values(const struct ir_file *file, const struct ir_section *section,
                                const struct ir_program *program, struct ir_run *run);

/* The parts of a directive's rest. Each moves *rest on, or ends the process with what was expected. */
const char *ir_file_word(const struct ir_file *file, int line, const char **rest, const char *what);
double ir_file_number(const struct ir_file *file, int line, const char **rest);
const char *ir_file_string(const struct ir_file *file, int line, const char **rest); /* "between quotes" */
struct ir_tensor *ir_file_tensor(const struct ir_file *file, int line, const char **rest,
                                 const struct ir_program *program);
bool ir_file_at_end(const char *rest);

#endif
