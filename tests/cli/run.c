#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[32];
static char *said[2];

const char *enter_folder(void)
{
    snprintf(folder, sizeof folder, "/tmp/rnet-test-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder))
        fail_msg("%s: %s", folder, strerror(errno));
    return folder;
}

void leave_folder(void)
{
    char command[200];

    if (chdir("/"))
        fail_msg("chdir: %s", strerror(errno));
    snprintf(command, sizeof command, "rm -rf %s %s.out %s.err", folder, folder, folder);
    if (system(command))
        fail_msg("%s failed", command);
}

char *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    size_t count = 0, room = 0, got;

    if (!file)
        fail_msg("%s: %s", path, strerror(errno));
    do {
        room = room ? 2 * room : 65536;
        data = realloc(data, room + 1);
        count += got = fread(data + count, 1, room - count, file);
    } while (count == room);
    fclose(file);
    data[count] = 0;
    if (size)
        *size = count;
    return data;
}

static struct outcome run_arguments(const char *format, va_list arguments)
{
    char body[3000], command[4000], out[80], error[80];
    int status;

    setenv("RNET_CACHE", "off", 0); /* what is tested is made here, not what a user has */
    vsnprintf(body, sizeof body, format, arguments);
    snprintf(out, sizeof out, "%s.out", folder);
    snprintf(error, sizeof error, "%s.err", folder);
    snprintf(command, sizeof command, "rnetc() { '%s' \"$@\"; }; { %s\n} >%s 2>%s </dev/null", RNETC, body, out, error);
    status = system(command);
    for (int i = 0; i < 2; i++) {
        free(said[i]);
        said[i] = read_file(i ? error : out, NULL);
    }
    return (struct outcome){WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), said[0], said[1]};
}

struct outcome run(const char *format, ...)
{
    va_list arguments;
    struct outcome outcome;

    va_start(arguments, format);
    outcome = run_arguments(format, arguments);
    va_end(arguments);
    return outcome;
}

struct outcome run_expecting(int status, const char *format, ...)
{
    va_list arguments;
    struct outcome outcome;

    va_start(arguments, format);
    outcome = run_arguments(format, arguments);
    va_end(arguments);
    if (outcome.status != status)
        fail_msg("status %d, expected %d: %s\nout: %s\nerror: %s", outcome.status, status, format, outcome.out, outcome.error);
    return outcome;
}

void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    if (!file || fputs(text, file) < 0 || fclose(file))
        fail_msg("%s: %s", path, strerror(errno));
}

void assert_files_equal(const char *a, const char *b)
{
    size_t sizes[2];
    char *data[2] = {read_file(a, &sizes[0]), read_file(b, &sizes[1])};

    if (sizes[0] != sizes[1])
        fail_msg("%s has %zu bytes, %s has %zu", a, sizes[0], b, sizes[1]);
    for (size_t i = 0; i < sizes[0]; i++)
        if (data[0][i] != data[1][i])
            fail_msg("%s and %s differ at byte %zu", a, b, i);
    free(data[0]);
    free(data[1]);
}

void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected to find\n%s\nin\n%s", part, text);
}

double number_behind(const char *text, const char *key)
{
    assert_contains(text, key);
    return strtod(strstr(text, key) + strlen(key), NULL);
}
