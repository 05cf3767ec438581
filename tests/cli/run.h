/* run.h: runs rnetc in a folder of its own and keeps what it said. */
#ifndef RNET_TEST_RUN_H
#define RNET_TEST_RUN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct outcome {
    int status; /* exit status, or 128 + signal */
    char *out, *error;
};
/* A fresh folder, the working directory from then on; removed by leave_folder. */
const char *enter_folder(void);
void leave_folder(void);
/* A command line of sh; `rnetc` in it is the one under test. The outcome is valid until the next run. */
struct outcome run(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Fails the test, showing what was said, unless the status is this. */
struct outcome run_expecting(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
void write_file(const char *path, const char *text);
/* Contents on the heap, terminated; fails the test if there is none. */
char *read_file(const char *path, size_t *size);
void assert_files_equal(const char *a, const char *b);
/* Fails, showing both, unless text contains part. */
void assert_contains(const char *text, const char *part);
/* What stands behind the key's first place in the text; fails unless there is one. */
double number_behind(const char *text, const char *key);

#endif
