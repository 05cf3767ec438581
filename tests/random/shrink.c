/* shrink.c: a verdict from a process of its own, and the shortest text with the same one.

   Shrinking knows the language by its looks only: names, braces, parentheses, whole numbers. It drops a statement, or every
   line with a name; makes a number smaller wherever it stands; puts a number in the place of what is in parentheses; and keeps
   what fails in the same way. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "random.h"

enum { SECONDS = 300 };

static int temporary(char *path, size_t size)
{
    const char *folder = getenv("TMPDIR");
    int file;

    snprintf(path, size, "%s/rnet-random-XXXXXX", folder && *folder ? folder : "/tmp");
    file = mkstemp(path);
    if (file < 0) {
        perror(path);
        exit(1);
    }
    return file;
}

static void died(struct verdict *verdict, int status, int messages)
{
    char text[600] = "";
    ssize_t size;

    lseek(messages, 0, SEEK_SET);
    size = read(messages, text, sizeof text - 1);
    text[size > 0 ? size : 0] = 0;
    *verdict = (struct verdict){0};
    if (WIFSIGNALED(status))
        snprintf(verdict->kind, sizeof verdict->kind, "signal %d", WTERMSIG(status));
    else
        snprintf(verdict->kind, sizeof verdict->kind, "exit %d %.40s", WEXITSTATUS(status), text);
    snprintf(verdict->message, sizeof verdict->message, "%s", text);
}

struct trial {
    char program[600], messages[600], answers[600];
    int program_file, messages_file, answers_file;
    pid_t child;
};

struct trial *trial_start(const char *text, unsigned checks)
{
    struct trial *t = malloc(sizeof *t);
    size_t size = strlen(text);

    if (!t)
        bug("out of memory");
    t->program_file = temporary(t->program, sizeof t->program);
    t->messages_file = temporary(t->messages, sizeof t->messages);
    t->answers_file = temporary(t->answers, sizeof t->answers);
    if (write(t->program_file, text, size) != (ssize_t)size) {
        perror(t->program);
        exit(1);
    }
    fflush(NULL);
    t->child = fork();
    if (t->child < 0) {
        perror("fork");
        exit(1);
    }
    if (!t->child) {
        struct verdict verdict;
        dup2(t->messages_file, STDERR_FILENO);
        alarm(SECONDS);
        compare_program(t->program, checks, &verdict);
        _exit(write(t->answers_file, &verdict, sizeof verdict) == (ssize_t)sizeof verdict ? 0 : 1);
    }
    return t;
}

struct verdict trial_wait(struct trial *t)
{
    struct verdict verdict = {0};
    int status = 0;

    while (waitpid(t->child, &status, 0) < 0 && errno == EINTR)
        ;
    if (status || pread(t->answers_file, &verdict, sizeof verdict, 0) != (ssize_t)sizeof verdict)
        died(&verdict, status, t->messages_file);
    close(t->program_file);
    close(t->messages_file);
    close(t->answers_file);
    unlink(t->program);
    unlink(t->messages);
    unlink(t->answers);
    free(t);
    return verdict;
}

struct verdict verdict_of(const char *text, unsigned checks)
{
    return trial_wait(trial_start(text, checks));
}

struct shrinking {
    struct arena *arena;
    char *text;
    const struct verdict *failure;
    unsigned checks;
    int left; /* attempts */
};

static bool try(struct shrinking *s, char *text)
{
    struct verdict verdict;

    if (s->left <= 0 || !strcmp(text, s->text))
        return false;
    s->left--;
    verdict = verdict_of(text, s->checks);
    if (verdict.passed || strcmp(verdict.kind, s->failure->kind))
        return false;
    s->text = text;
    return true;
}

static char *without(struct shrinking *s, size_t begin, size_t end, const char *instead)
{
    return arena_printf(s->arena, "%.*s%s%s", (int)begin, s->text, instead, s->text + end);
}

/* The end of the statement that begins at a line's begin: its line, or up to the brace that closes what the line opens. */
static size_t statement_end(const char *text, size_t at)
{
    int depth = 0;

    for (; text[at]; at++) {
        depth += (text[at] == '{') - (text[at] == '}');
        if (text[at] == '\n' && depth <= 0)
            return at + 1;
    }
    return at;
}

static bool drop_statements(struct shrinking *s)
{
    bool any = false;

    for (size_t at = 0; s->text[at];) {
        size_t end = statement_end(s->text, at);
        if (end > at + 1 && try(s, without(s, at, end, "")))
            any = true;
        else
            at += strcspn(s->text + at, "\n") + (s->text[at + strcspn(s->text + at, "\n")] != 0);
    }
    return any;
}

static bool name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '.';
}

static bool mentions(const char *text, size_t begin, size_t end, const char *name, size_t length)
{
    for (size_t i = begin; i + length <= end; i++)
        if (!memcmp(text + i, name, length) && (i == 0 || !name_byte(text[i - 1])) && !name_byte(text[i + length]))
            return true;
    return false;
}

/* Every statement that mentions the name, the whole of a block if its first line does. */
static char *without_name(struct shrinking *s, const char *name, size_t length)
{
    struct text out = {0};
    char *copy;

    for (size_t at = 0; s->text[at];) {
        size_t line = at + strcspn(s->text + at, "\n"), end;
        line += s->text[line] != 0;
        end = mentions(s->text, at, line, name, length) ? statement_end(s->text, at) : line;
        if (end == line && !mentions(s->text, at, line, name, length))
            text_add_slice(&out, s->text + at, line - at);
        at = end;
    }
    copy = arena_string(s->arena, out.data ? out.data : "");
    text_free(&out);
    return copy;
}

static bool drop_names(struct shrinking *s)
{
    bool any = false;

    for (size_t at = 0; s->text[at];) {
        size_t length = 0;
        while (name_byte(s->text[at + length]))
            length++;
        if (!length) {
            at++;
            continue;
        }
        if (isalpha((unsigned char)s->text[at]) && isdigit((unsigned char)s->text[at + length - 1]) &&
            try(s, without_name(s, s->text + at, length))) {
            any = true;
            at = 0;
            continue;
        }
        at += length;
    }
    return any;
}

/* Each whole number above 1, wherever it stands, one less. */
static bool shrink_numbers(struct shrinking *s)
{
    bool any = false;

    for (int number = 9; number > 1; number--) {
        struct text out = {0};
        for (size_t at = 0; s->text[at]; at++) {
            bool alone = s->text[at] == '0' + number && (at == 0 || !name_byte(s->text[at - 1])) && !name_byte(s->text[at + 1]);
            char byte = alone ? (char)('0' + number - 1) : s->text[at];
            text_add_slice(&out, &byte, 1);
        }
        any |= try(s, arena_string(s->arena, out.data ? out.data : ""));
        text_free(&out);
    }
    return any;
}

/* (...) becomes a number, or what is in the first parentheses inside it. */
static bool shrink_parentheses(struct shrinking *s)
{
    bool any = false;

    for (size_t at = 0; s->text[at]; at++) {
        int depth = 0;
        size_t end = at, begin = at;
        if (s->text[at] != '(' || (at && (s->text[at - 1] == '[' || s->text[at - 1] == ' ') && s->text[at + 1] == '.'))
            continue;
        do
            depth += (s->text[end] == '(') - (s->text[end] == ')');
        while (depth && s->text[++end]);
        if (!s->text[end])
            return any;
        while (begin && isalnum((unsigned char)s->text[begin - 1]))
            begin--;
        if (try(s, without(s, begin, end + 1, "0.5"))) {
            any = true;
            continue;
        }
        size_t inner = at + 1 + strcspn(s->text + at + 1, "("), inner_end = inner;
        if (inner >= end)
            continue;
        depth = 0;
        do
            depth += (s->text[inner_end] == '(') - (s->text[inner_end] == ')');
        while (depth && s->text[++inner_end]);
        any |= try(s, arena_printf(s->arena, "%.*s%.*s%s", (int)begin, s->text, (int)(inner_end + 1 - inner), s->text + inner,
                                   s->text + end + 1));
    }
    return any;
}

char *shrink(struct arena *arena, const char *text, const struct verdict *failure, unsigned checks)
{
    struct shrinking s = {arena, arena_string(arena, text), failure, checks, 300};
    bool any;

    do {
        any = drop_names(&s);
        any |= drop_statements(&s);
        any |= shrink_parentheses(&s);
        any |= shrink_numbers(&s);
    } while (any && s.left > 0);
    return s.text;
}
