/* progress.c: one line on stderr that says how far a run is. */
#include "rnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const double terminal_interval = 0.1, plain_interval = 5;

struct rnet_progress {
    bool terminal;
    bool shown, stale; /* a line stands on the terminal; it is not the newest */
    double last;       /* when a line was last written; negative: never */
    char newest[1000];
};

struct rnet_progress *rnet_progress_new(void)
{
    struct rnet_progress *progress = calloc(1, sizeof *progress);
    if (!progress)
        return NULL;
    const char *kind = getenv("TERM");
    progress->terminal = isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
    progress->last = -1;
    return progress;
}

/* Bytes of `line` that fit in the terminal's width: a line that wraps could not be redrawn. */
static int fitting_bytes(const char *line)
{
    struct winsize size;
    int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : 79;
    int bytes = 0;
    for (; line[bytes]; bytes++) {
        bool starts_character = ((unsigned char)line[bytes] & 0xC0) != 0x80;
        if (starts_character && columns-- == 0)
            break;
    }
    return bytes;
}

static void draw(struct rnet_progress *progress)
{
    fprintf(stderr, "\r%.*s\033[K", fitting_bytes(progress->newest), progress->newest);
    fflush(stderr);
    progress->shown = true;
    progress->stale = false;
}

void rnet_progress_show(struct rnet_progress *progress, const char *line)
{
    double now = rnet_seconds();
    double interval = progress->terminal ? terminal_interval : plain_interval;
    bool due = progress->last < 0 || now - progress->last >= interval;
    if (progress->terminal) {
        snprintf(progress->newest, sizeof progress->newest, "%s", line);
        progress->stale = true;
        if (due)
            draw(progress);
    } else if (due) {
        fprintf(stderr, "%s\n", line);
    }
    if (due)
        progress->last = now;
}

void rnet_progress_end(struct rnet_progress *progress)
{
    if (!progress->shown)
        return;
    if (progress->stale)
        draw(progress);
    fputc('\n', stderr);
    progress->shown = false;
}

void rnet_progress_free(struct rnet_progress *progress)
{
    if (!progress)
        return;
    rnet_progress_end(progress);
    free(progress);
}
