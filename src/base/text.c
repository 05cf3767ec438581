/* text.c: a growing string on the heap. */
#include "base.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void reserve(struct text *text, size_t more)
{
    size_t wanted = text->size + more + 1;

    if (wanted <= text->capacity)
        return;
    if (wanted < 2 * text->capacity)
        wanted = 2 * text->capacity;
    if (wanted < 64)
        wanted = 64;
    text->data = realloc(text->data, wanted);
    if (!text->data) {
        fprintf(stderr, "rnetc: out of memory (%zu bytes)\n", wanted);
        exit(1);
    }
    text->capacity = wanted;
}

void text_add_slice(struct text *text, const char *bytes, size_t count)
{
    reserve(text, count);
    if (count)
        memcpy(text->data + text->size, bytes, count);
    text->size += count;
    text->data[text->size] = 0;
}

void text_add(struct text *text, const char *string)
{
    text_add_slice(text, string, strlen(string));
}

void text_addf(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    int size;

    va_start(arguments, format);
    va_copy(again, arguments);
    reserve(text, 0);
    size = vsnprintf(text->data + text->size, text->capacity - text->size, format, arguments);
    if ((size_t)size >= text->capacity - text->size) {
        reserve(text, (size_t)size);
        vsnprintf(text->data + text->size, (size_t)size + 1, format, again);
    }
    text->size += (size_t)size;
    va_end(again);
    va_end(arguments);
}

void text_add_number(struct text *text, double value)
{
    char digits[40];

    if (isnan(value)) {
        text_add(text, "nan");
    } else if (isinf(value)) {
        text_add(text, value < 0 ? "-inf" : "inf");
    } else if (value == floor(value) && fabs(value) < 1e15) {
        text_addf(text, signbit(value) ? "-%.0f" : "%.0f", fabs(value));
    } else {
        for (int precision = 1; precision <= 17; precision++) {
            snprintf(digits, sizeof digits, "%.*g", precision, value);
            if (strtod(digits, NULL) == value)
                break;
        }
        text_add(text, digits);
    }
}

void text_free(struct text *text)
{
    free(text->data);
    *text = (struct text){0};
}
