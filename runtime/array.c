/* array.c: what a type and a shape amount to. */
#include "rnet.h"

#include <stdlib.h>

size_t rnet_type_size(enum rnet_type type)
{
    switch (type) {
    case RNET_U8:
        return 1;
    case RNET_I32:
    case RNET_F32:
        return 4;
    case RNET_I64:
    case RNET_F64:
        return 8;
    }
    abort();
}

void rnet_array_free(struct rnet_array *array)
{
    if (!array->lent)
        free(array->data);
    *array = (struct rnet_array){0};
}

int64_t rnet_array_elements(const struct rnet_array *array)
{
    int64_t elements = 1;
    for (int i = 0; i < array->rank; i++)
        elements *= array->shape[i];
    return elements;
}
