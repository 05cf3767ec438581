/* error.c: what failed, in words, and the exit status that it means. */
#include "rnet.h"

#include <stdarg.h>
#include <stdio.h>

bool rnet_fail(struct rnet_error *error, enum rnet_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->status = status;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}
