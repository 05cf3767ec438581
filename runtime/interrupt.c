/* interrupt.c: SIGINT and SIGTERM. The first asks for an end after the step, the second ends the process at once. */
#include "rnet.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t asked;

static void on_signal(int number)
{
    if (asked)
        _exit(RNET_INTERRUPTED);
    asked = 1;
}

void rnet_interrupt_install(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    /* Each blocks the other, so that two at once are still first and second. */
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool rnet_interrupt_asked(void)
{
    return asked != 0;
}
