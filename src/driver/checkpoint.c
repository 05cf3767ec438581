/* checkpoint.c: parameters, state and position of a run as safetensors. Parameters and states are named by their dotted
   paths; the stream of draws and samples is a function of seed and step, so those two numbers are its whole position.
 */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STEP STORED_STEP

static enum rnet_type type_of(enum ir_storage storage)
{
    switch (storage) {
    case IR_F32:
        return RNET_F32;
    case IR_F64:
        return RNET_F64;
    case IR_I32:
        return RNET_I32;
    case IR_U8:
        return RNET_U8;
    }
    bug("storage %d", (int)storage);
}

static const char *type_name(enum rnet_type type)
{
    static const char *const names[] = {"U8", "I32", "I64", "F32", "F64"};

    return names[type];
}

/* The tensor as the file holds it, its data pointing into memory; false for what is no parameter or state. */
static bool stored_leaf(const struct ir_tensor *t, const struct memory *memory, struct rnet_tensor *out)
{
    enum ir_region region;
    enum ir_storage storage;
    int64_t offset;

    if ((t->kind != IR_PARAMETER && t->kind != IR_STATE) ||
        !layout_find(memory->layout, t->name, &region, &offset, &storage))
        return false;
    if (t->rank > RNET_MAX_RANK)
        bug("%s has %d axes; safetensors are written with at most %d", t->name, t->rank, RNET_MAX_RANK);
    *out = (struct rnet_tensor){.name = t->name, .type = type_of(storage), .rank = t->rank};
    for (int i = 0; i < t->rank; i++)
        out->shape[i] = t->axes[i]->extent;
    out->data = (region == IR_IN_PARAMETERS ? memory->parameters : memory->state) + offset;
    return true;
}

typedef LIST(struct rnet_tensor) tensor_list;

/* Every parameter and state of the programs once, in order of first occurrence. */
static tensor_list stored_leaves(struct arena *arena, const struct ir_program *const *programs, int count,
                                 const struct memory *memory, bool with_state)
{
    struct map *seen = map_new(arena);
    struct rnet_tensor stored;
    tensor_list list = {0};

    for (int i = 0; i < count; i++) {
        for (int k = 0; k < programs[i]->tensors.count; k++) {
            struct ir_tensor *t = programs[i]->tensors.at[k];

            if ((t->kind == IR_STATE && !with_state) || map_get(seen, t->name) || !stored_leaf(t, memory, &stored))
                continue;
            map_put(seen, t->name, t);
            list_add(arena, list, stored);
        }
    }
    return list;
}

bool checkpoint_write(const struct checkpoint *checkpoint, const struct ir_program *const *programs, int program_count,
                      const struct memory *memory, const struct store *store, const struct setting *lets, int let_count,
                      struct rnet_error *error)
{
    struct arena *arena = arena_new();
    tensor_list list = stored_leaves(arena, programs, program_count, memory, true);
    LIST(struct rnet_pair) pairs = {0};
    struct map *current = map_new(arena), *written = map_new(arena);
    int64_t step = (int64_t)checkpoint->step;
    bool done;

    list_add(arena, list, (struct rnet_tensor){.name = STEP, .type = RNET_I64, .rank = 0, .data = &step});
    for (int i = 0; i < list.count; i++)
        map_put(current, list.at[i].name, &list.at[i]);
    for (int i = 0; store && i < store->tensors.count; i++)
        if (!map_get(current, store->tensors.at[i]->name))
            list_add(arena, list, *store->tensors.at[i]);
    list_add(arena, pairs, (struct rnet_pair){"rnet.version", "1"});
    list_add(arena, pairs, (struct rnet_pair){"rnet.source", checkpoint->source_hash});
    list_add(arena, pairs, (struct rnet_pair){"rnet.program", checkpoint->program_hash});
    list_add(arena, pairs, (struct rnet_pair){"rnet.seed", arena_printf(arena, "%" PRIu64, checkpoint->seed)});
    list_add(arena, pairs, (struct rnet_pair){"rnet.train_block", arena_printf(arena, "%d", checkpoint->block)});
    for (int i = 0; i < let_count; i++)
        list_add(arena, pairs, (struct rnet_pair){arena_printf(arena, "let.%s", lets[i].name), lets[i].value});
    for (int i = 0; i < pairs.count; i++)
        map_put(written, pairs.at[i].key, &pairs.at[i]);
    for (int i = 0; store && i < store->notes.count; i++)
        if (!map_get(written, store->notes.at[i]->key))
            list_add(arena, pairs, *store->notes.at[i]);
    done = rnet_safetensors_write(checkpoint->path, list.at, list.count, pairs.at, pairs.count, error);
    arena_free(arena);
    return done;
}

static bool real(enum rnet_type type)
{
    return type == RNET_F32 || type == RNET_F64;
}

/* convert: real numbers of the other width will do. */
static bool fits(const struct rnet_tensor *found, const struct rnet_tensor *wanted, bool convert)
{
    bool type = found->type == wanted->type || (convert && real(found->type) && real(wanted->type));

    return type && found->rank == wanted->rank &&
           !memcmp(found->shape, wanted->shape, sizeof *found->shape * (size_t)found->rank);
}

static int64_t tensor_elements(const struct rnet_tensor *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++)
        count *= t->shape[i];
    return count;
}

static void copy_elements(const struct rnet_tensor *to, const struct rnet_tensor *from)
{
    int64_t count = tensor_elements(to);

    if (to->type == from->type)
        memcpy(to->data, from->data, (size_t)count * rnet_type_size(to->type));
    else if (to->type == RNET_F32)
        for (int64_t i = 0; i < count; i++)
            ((float *)to->data)[i] = (float)((const double *)from->data)[i];
    else
        for (int64_t i = 0; i < count; i++)
            ((double *)to->data)[i] = ((const float *)from->data)[i];
}

static const char *shape_text(struct arena *arena, const struct rnet_tensor *t)
{
    struct text text = {0};
    const char *copy;

    text_addf(&text, "%s[", type_name(t->type));
    for (int i = 0; i < t->rank; i++)
        text_addf(&text, "%s%" PRId64, i ? ", " : "", t->shape[i]);
    text_add(&text, "]");
    copy = arena_string(arena, text.data);
    text_free(&text);
    return copy;
}

/* Nothing is copied unless everything fits, so that a refusal leaves memory as it was. */
static bool fill(const char *path, const struct rnet_safetensors *file, const tensor_list *list, struct arena *arena,
                 bool convert, struct rnet_error *error)
{
    for (int i = 0; i < list->count; i++) {
        const struct rnet_tensor *wanted = &list->at[i], *found = rnet_safetensors_find(file, wanted->name);

        if (!found)
            return rnet_fail(error, RNET_DATA, "%s: there is no %s (%s), which the program needs", path, wanted->name,
                             shape_text(arena, wanted));
        if (!fits(found, wanted, convert))
            return rnet_fail(error, RNET_DATA, "%s: %s is %s, expected %s", path, wanted->name,
                             shape_text(arena, found), shape_text(arena, wanted));
    }
    for (int i = 0; i < list->count; i++)
        copy_elements(&list->at[i], rnet_safetensors_find(file, list->at[i].name));
    return true;
}

static bool check_written_by(const struct checkpoint *checkpoint, const struct rnet_safetensors *file,
                             struct rnet_error *error)
{
    const char *program = rnet_safetensors_value(file, "rnet.program"),
               *seed = rnet_safetensors_value(file, "rnet.seed");

    if (!program || !seed || !rnet_safetensors_find(file, STEP))
        return rnet_fail(error, RNET_DATA, "%s: not a checkpoint of rnetc (no rnet.program, rnet.seed and " STEP ")",
                         checkpoint->path);
    if (strcmp(program, checkpoint->program_hash))
        return rnet_fail(error, RNET_DATA,
                         "%s: written by another program (its equations hash to %s, this program's to %s); "
                         "--init takes its parameters alone",
                         checkpoint->path, program, checkpoint->program_hash);
    if (strtoull(seed, NULL, 10) != checkpoint->seed)
        return rnet_fail(error, RNET_DATA, "%s: trained with seed %s, not %" PRIu64, checkpoint->path, seed,
                         checkpoint->seed);
    return true;
}

bool checkpoint_resume(struct checkpoint *checkpoint, const struct ir_program *const *programs, int program_count,
                       struct memory *memory, struct rnet_error *error)
{
    struct rnet_safetensors file;
    struct arena *arena;
    tensor_list list;
    bool done;

    if (!rnet_safetensors_read(checkpoint->path, &file, error))
        return false;
    arena = arena_new();
    list = stored_leaves(arena, programs, program_count, memory, true);
    done = check_written_by(checkpoint, &file, error) && fill(checkpoint->path, &file, &list, arena, false, error);
    if (done) {
        const struct rnet_tensor *step = rnet_safetensors_find(&file, STEP);

        if (step->type != RNET_I64 || step->rank)
            done = rnet_fail(error, RNET_DATA, "%s: " STEP " is %s, expected I64[]", checkpoint->path,
                             shape_text(arena, step));
        else
            checkpoint->step = (uint64_t)(*(const int64_t *)step->data);
    }
    arena_free(arena);
    rnet_safetensors_free(&file);
    return done;
}

bool checkpoint_parameters(const char *path, const struct rnet_safetensors *file,
                           const struct ir_program *const *programs, int program_count, struct memory *memory,
                           const struct store *store, int *found, struct text *others, struct rnet_error *error)
{
    struct arena *arena = arena_new();
    tensor_list all = stored_leaves(arena, programs, program_count, memory, false), there = {0};
    bool done;

    for (int i = 0; i < all.count; i++)
        if (rnet_safetensors_find(file, all.at[i].name))
            list_add(arena, there, all.at[i]);
        else if (!store_find(store, all.at[i].name))
            text_addf(others, "%s%s", others->size ? ", " : "", all.at[i].name);
    *found = there.count;
    done = fill(path, file, &there, arena, true, error);
    arena_free(arena);
    return done;
}

bool checkpoint_load(const char *path, const struct ir_program *const *programs, int program_count,
                     struct memory *memory, bool with_state, struct rnet_error *error)
{
    struct rnet_safetensors file;
    struct arena *arena;
    tensor_list list;
    bool done;

    if (!rnet_safetensors_read(path, &file, error))
        return false;
    arena = arena_new();
    list = stored_leaves(arena, programs, program_count, memory, with_state);
    done = fill(path, &file, &list, arena, true, error);
    arena_free(arena);
    rnet_safetensors_free(&file);
    return done;
}

bool memory_from_store(struct memory *memory, const struct ir_program *const *programs, int program_count,
                       const struct store *store, const char *const *without, int without_count, const char *prefix,
                       struct rnet_error *error)
{
    struct arena *arena = arena_new();
    tensor_list list = stored_leaves(arena, programs, program_count, memory, true);
    bool fine = true;

    for (int i = 0; i < list.count && fine; i++) {
        const struct rnet_tensor *kept = store_find(store, arena_printf(arena, "%s%s", prefix, list.at[i].name));
        bool left_out = false;

        for (int k = 0; k < without_count; k++)
            left_out |= !strcmp(without[k], list.at[i].name);
        if (!kept || left_out)
            continue;
        if (fits(kept, &list.at[i], true))
            copy_elements(&list.at[i], kept);
        else
            fine = rnet_fail(error, RNET_DATA, "%s is %s where it was trained, %s here", kept->name,
                             shape_text(arena, kept), shape_text(arena, &list.at[i]));
    }
    arena_free(arena);
    return fine;
}

void memory_to_store(const struct memory *memory, const struct ir_program *const *programs, int program_count,
                     struct store *store, const char *prefix)
{
    struct arena *arena = arena_new();
    tensor_list list = stored_leaves(arena, programs, program_count, memory, true);

    for (int i = 0; i < list.count; i++) {
        list.at[i].name = arena_printf(arena, "%s%s", prefix, list.at[i].name);
        store_put(store, &list.at[i]);
    }
    arena_free(arena);
}
