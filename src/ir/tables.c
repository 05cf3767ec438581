/* tables.c: hash-consing of atoms, forms and expressions, and the order of atoms.

   Hashes are of structure: numbers of indices, names of tensors, never addresses, so that they are the same in every
   run. A table is open addressing with linear probing, at most half full. */
#include "internal.h"

#include <string.h>

uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static uint64_t number_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

uint64_t atom_hash(const struct ir_atom *atom)
{
    uint64_t hash = mix(1, atom->kind);

    switch (atom->kind) {
    case IR_ATOM_INDEX:
        return mix(hash, (uint64_t)atom->index->number);
    case IR_ATOM_QUOTIENT:
    case IR_ATOM_REMAINDER:
        return mix(mix(hash, atom->form->hash), (uint64_t)atom->divisor);
    case IR_ATOM_VALUE:
        return mix(hash, atom->value->hash);
    }
    bug("an atom of kind %d", (int)atom->kind);
}

static uint64_t form_hash(const struct ir_form *form)
{
    uint64_t hash = mix(2, (uint64_t)form->constant);

    for (int i = 0; i < form->count; i++)
        hash = mix(mix(hash, (uint64_t)form->terms[i].coefficient), atom_hash(form->terms[i].atom));
    return hash;
}

static uint64_t expr_hash(const struct ir_expr *e)
{
    uint64_t hash = mix(3, e->kind);

    switch (e->kind) {
    case IR_CONSTANT:
        return mix(mix(hash, e->whole), number_bits(e->number));
    case IR_FORM:
        return mix(hash, e->form->hash);
    case IR_READ:
        hash = hash_bytes(e->tensor->name, strlen(e->tensor->name), hash);
        for (int i = 0; i < e->tensor->rank; i++)
            hash = mix(hash, e->subscripts[i]->hash);
        return e->otherwise ? mix(hash, e->otherwise->hash) : hash;
    case IR_APPLY:
        hash = mix(hash, e->op);
        for (int i = 0; i < 3 && e->arguments[i]; i++)
            hash = mix(hash, e->arguments[i]->hash);
        return hash;
    }
    bug("an expression of kind %d", (int)e->kind);
}

/* ---- equality of nodes whose parts are consed ---- */

static bool same_atom(const void *left, const void *right)
{
    const struct ir_atom *a = left, *b = right;

    return a->kind == b->kind && a->index == b->index && a->form == b->form && a->divisor == b->divisor &&
           a->value == b->value;
}

static bool same_form(const void *left, const void *right)
{
    const struct ir_form *a = left, *b = right;

    if (a->constant != b->constant || a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++)
        if (a->terms[i].coefficient != b->terms[i].coefficient || a->terms[i].atom != b->terms[i].atom)
            return false;
    return true;
}

static bool same_expr(const void *left, const void *right)
{
    const struct ir_expr *a = left, *b = right;

    if (a->kind != b->kind)
        return false;
    switch (a->kind) {
    case IR_CONSTANT:
        return a->whole == b->whole && number_bits(a->number) == number_bits(b->number);
    case IR_FORM:
        return a->form == b->form;
    case IR_READ:
        if (a->tensor != b->tensor || a->otherwise != b->otherwise)
            return false;
        for (int i = 0; i < a->tensor->rank; i++)
            if (a->subscripts[i] != b->subscripts[i])
                return false;
        return true;
    case IR_APPLY:
        return a->op == b->op && a->arguments[0] == b->arguments[0] && a->arguments[1] == b->arguments[1] &&
               a->arguments[2] == b->arguments[2];
    }
    return false;
}

/* ---- the tables ---- */

static size_t find_slot(const struct consed *table, uint64_t hash, const void *item,
                        bool (*same)(const void *, const void *))
{
    size_t slot = hash & (table->slots - 1);

    while (table->at[slot].item && !(table->at[slot].hash == hash && same(table->at[slot].item, item)))
        slot = (slot + 1) & (table->slots - 1);
    return slot;
}

static void grow(struct arena *arena, struct consed *table)
{
    struct consed larger = {.slots = table->slots ? 2 * table->slots : 64, .used = table->used};

    larger.at = arena_alloc(arena, larger.slots * sizeof *larger.at);
    for (size_t i = 0; i < table->slots; i++) {
        size_t slot = table->at[i].hash & (larger.slots - 1);

        if (!table->at[i].item)
            continue;
        while (larger.at[slot].item)
            slot = (slot + 1) & (larger.slots - 1);
        larger.at[slot] = table->at[i];
    }
    *table = larger;
}

static const void *intern(struct arena *arena, struct consed *table, uint64_t hash, const void *prototype, size_t bytes,
                          bool (*same)(const void *, const void *))
{
    size_t slot;

    if (2 * (table->used + 1) > table->slots)
        grow(arena, table);
    slot = find_slot(table, hash, prototype, same);
    if (!table->at[slot].item) {
        table->at[slot].item = arena_copy(arena, prototype, bytes);
        table->at[slot].hash = hash;
        table->used++;
    }
    return table->at[slot].item;
}

const struct ir_atom *intern_atom(struct ir_tables *tables, const struct ir_atom *prototype)
{
    return intern(tables->arena, &tables->atoms, atom_hash(prototype), prototype, sizeof *prototype, same_atom);
}

const struct ir_form *intern_form(struct ir_tables *tables, const struct ir_form *prototype)
{
    struct ir_form form = *prototype;

    form.hash = form_hash(prototype);
    return intern(tables->arena, &tables->forms, form.hash, &form, sizeof form, same_form);
}

const struct ir_expr *intern_expr(struct ir_tables *tables, const struct ir_expr *prototype)
{
    struct ir_expr e = *prototype;

    e.hash = expr_hash(prototype);
    return intern(tables->arena, &tables->exprs, e.hash, &e, sizeof e, same_expr);
}

static bool same_division(const void *left, const void *right)
{
    const struct divided *a = left, *b = right;

    return a->form == b->form && a->divisor == b->divisor;
}

struct divided *find_divided(struct ir_tables *tables, const struct ir_form *form, int64_t divisor)
{
    struct divided division = {.form = form, .divisor = divisor};

    return (struct divided *)intern(tables->arena, &tables->divisions, mix(form->hash, (uint64_t)divisor), &division,
                                    sizeof division, same_division);
}

/* ---- order ---- */

static int compare_whole(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_forms(const struct ir_form *a, const struct ir_form *b)
{
    int order = a == b ? 0 : compare_whole(a->count, b->count);

    if (a == b)
        return 0;
    for (int i = 0; !order && i < a->count; i++) {
        order = compare_atoms(a->terms[i].atom, b->terms[i].atom);
        if (!order)
            order = compare_whole(a->terms[i].coefficient, b->terms[i].coefficient);
    }
    return order ? order : compare_whole(a->constant, b->constant);
}

/* Equal parts are one node, so a comparison descends along one path only, to the first difference. */
static int compare_exprs(const struct ir_expr *a, const struct ir_expr *b)
{
    int order = 0;

    if (a == b)
        return 0;
    if (!a || !b)
        return a ? 1 : -1;
    if (a->kind != b->kind)
        return compare_whole(a->kind, b->kind);
    switch (a->kind) {
    case IR_CONSTANT:
        order = (a->number > b->number) - (a->number < b->number);
        if (!order)
            order = compare_whole(a->whole, b->whole);
        return order ? order : number_bits(a->number) < number_bits(b->number) ? -1 : 1;
    case IR_FORM:
        return compare_forms(a->form, b->form);
    case IR_READ:
        order = strcmp(a->tensor->name, b->tensor->name);
        if (!order)
            order = compare_whole(a->tensor->number, b->tensor->number);
        if (!order)
            order = compare_whole(a->tensor->rank, b->tensor->rank);
        for (int i = 0; !order && i < a->tensor->rank; i++)
            order = compare_forms(a->subscripts[i], b->subscripts[i]);
        return order ? order : compare_exprs(a->otherwise, b->otherwise);
    case IR_APPLY:
        order = compare_whole(a->op, b->op);
        for (int i = 0; !order && i < 3; i++)
            order = compare_exprs(a->arguments[i], b->arguments[i]);
        return order;
    }
    return 0;
}

int compare_atoms(const struct ir_atom *a, const struct ir_atom *b)
{
    int order;

    if (a == b)
        return 0;
    if (a->kind != b->kind)
        return compare_whole(a->kind, b->kind);
    switch (a->kind) {
    case IR_ATOM_INDEX:
        order = strcmp(a->index->name, b->index->name);
        if (!order)
            order = compare_whole(a->index->extent, b->index->extent);
        return order ? order : compare_whole(a->index->number, b->index->number);
    case IR_ATOM_QUOTIENT:
    case IR_ATOM_REMAINDER:
        order = compare_forms(a->form, b->form);
        return order ? order : compare_whole(a->divisor, b->divisor);
    case IR_ATOM_VALUE:
        return compare_exprs(a->value, b->value);
    }
    return 0;
}
