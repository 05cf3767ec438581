/* store.c: values by name that outlive a train block: parameters and states of models, and notes (text). A block's memory is
   filled from it and given back to it; a checkpoint holds all of it. */
#include "driver.h"

#include <string.h>

struct store *store_new(struct arena *arena)
{
    struct store *store = NEW(arena, struct store);

    store->arena = arena;
    store->tensors_by_name = map_new(arena);
    store->notes_by_name = map_new(arena);
    return store;
}

static size_t tensor_bytes(const struct rnet_tensor *t)
{
    size_t bytes = rnet_type_size(t->type);

    for (int i = 0; i < t->rank; i++)
        bytes *= (size_t)t->shape[i];
    return bytes;
}

static bool same_form(const struct rnet_tensor *a, const struct rnet_tensor *b)
{
    return a->type == b->type && a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof *a->shape * (size_t)a->rank);
}

void store_put(struct store *store, const struct rnet_tensor *tensor)
{
    struct rnet_tensor *kept = map_get(store->tensors_by_name, tensor->name);
    const char *name;

    if (kept && same_form(kept, tensor)) {
        memcpy(kept->data, tensor->data, tensor_bytes(tensor));
        return;
    }
    if (!kept) {
        kept = NEW(store->arena, struct rnet_tensor);
        list_add(store->arena, store->tensors, kept);
        map_put(store->tensors_by_name, arena_string(store->arena, tensor->name), kept);
        name = arena_string(store->arena, tensor->name);
    } else {
        name = kept->name;
    }
    *kept = *tensor;
    kept->name = name;
    kept->data = arena_copy(store->arena, tensor->data, tensor_bytes(tensor));
}

const struct rnet_tensor *store_find(const struct store *store, const char *name)
{
    return map_get(store->tensors_by_name, name);
}

void store_note(struct store *store, const char *key, const char *value)
{
    struct rnet_pair *pair = map_get(store->notes_by_name, key);

    if (!pair) {
        pair = NEW(store->arena, struct rnet_pair);
        pair->key = arena_string(store->arena, key);
        list_add(store->arena, store->notes, pair);
        map_put(store->notes_by_name, pair->key, pair);
    }
    pair->value = arena_string(store->arena, value);
}

const char *store_noted(const struct store *store, const char *key)
{
    struct rnet_pair *pair = map_get(store->notes_by_name, key);

    return pair ? pair->value : NULL;
}

bool store_read(struct store *store, const char *path, struct rnet_error *error)
{
    struct rnet_safetensors file;

    if (!rnet_safetensors_read(path, &file, error))
        return false;
    for (int i = 0; i < file.count; i++)
        store_put(store, &file.tensors[i]);
    for (int i = 0; i < file.pairs; i++)
        store_note(store, file.metadata[i].key, file.metadata[i].value);
    rnet_safetensors_free(&file);
    return true;
}
