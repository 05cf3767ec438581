/* object.c: relocatable objects (ELF, x86-64) to code in memory: sections laid side by side in one mapping, relocations
   worked out, then made executable and read-only. Objects are position independent and have no data of their own that is
   written; what they call outside is reached through a table of addresses and jumps behind them, since it may be further
   away than a jump reaches. */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "unit.h"

struct object {
    const char *data;
    size_t bytes;
    const Elf64_Ehdr *head;
    const Elf64_Shdr *sections;
    const Elf64_Sym *symbols;
    int symbol_count;
    const char *names;
    int64_t *places; /* of sections in the image; -1: not loaded */
};
struct image {
    char *memory;
    size_t bytes;
    struct arena *arena;
    struct map *symbols; /* name -> address */
};

/* ---- reading ---- */

static bool inside(const struct object *o, uint64_t offset, uint64_t bytes)
{
    return offset <= o->bytes && bytes <= o->bytes - offset;
}

/* Only what this compiler wrote comes here, or what has its check sum: a glance suffices. */
static bool object_open(struct object *o, const struct unit *unit)
{
    *o = (struct object){.data = unit->object, .bytes = unit->bytes, .head = (const void *)unit->object};
    if (o->bytes < sizeof *o->head || memcmp(o->head->e_ident, ELFMAG, SELFMAG) || o->head->e_type != ET_REL ||
        o->head->e_machine != EM_X86_64 ||
        !inside(o, o->head->e_shoff, (uint64_t)o->head->e_shnum * sizeof *o->sections))
        return false;
    o->sections = (const void *)(o->data + o->head->e_shoff);
    for (int i = 0; i < o->head->e_shnum; i++) {
        const Elf64_Shdr *section = &o->sections[i];

        if (section->sh_type != SHT_NOBITS && !inside(o, section->sh_offset, section->sh_size))
            return false;
        if (section->sh_type != SHT_SYMTAB)
            continue;
        o->symbols = (const void *)(o->data + section->sh_offset);
        o->symbol_count = (int)(section->sh_size / sizeof *o->symbols);
        o->names = o->data + o->sections[section->sh_link].sh_offset;
    }
    return o->symbols != NULL;
}

const char *object_needs(struct arena *arena, const struct unit *unit, name_list *names)
{
    struct object o;

    if (!object_open(&o, unit))
        return arena_printf(arena, "unit %s: not a relocatable object for x86-64", unit->symbol);
    for (int i = 1; i < o.symbol_count; i++)
        if (o.symbols[i].st_shndx == SHN_UNDEF && o.names[o.symbols[i].st_name] &&
            strcmp(o.names + o.symbols[i].st_name, "_GLOBAL_OFFSET_TABLE_"))
            list_add(arena, *names, arena_string(arena, o.names + o.symbols[i].st_name));
    return NULL;
}

/* ---- laying out ---- */

/* Tables for unwinding are left away: nothing unwinds through compiled code. */
static bool is_loaded(const struct object *o, const Elf64_Shdr *section)
{
    const char *names = o->data + o->sections[o->head->e_shstrndx].sh_offset;

    return (section->sh_flags & SHF_ALLOC) && section->sh_size && strcmp(names + section->sh_name, ".eh_frame");
}

static int64_t round_up(int64_t value, int64_t by)
{
    return by > 1 ? (value + by - 1) / by * by : value;
}

static int64_t lay_out(struct arena *arena, struct object *o, int64_t at)
{
    o->places = NEW_ARRAY(arena, int64_t, o->head->e_shnum);
    for (int i = 0; i < o->head->e_shnum; i++) {
        o->places[i] = -1;
        if (!is_loaded(o, &o->sections[i]))
            continue;
        at = round_up(at, (int64_t)o->sections[i].sh_addralign);
        o->places[i] = at;
        at += (int64_t)o->sections[i].sh_size;
    }
    return at;
}

/* ---- what is outside: jumps and addresses ---- */

enum { JUMP_BYTES = 16 }; /* endbr64-free: jmp *8-byte address behind it */
struct outside {
    struct arena *arena;
    struct map *numbers; /* name -> number + 1 */
    LIST(void *) addresses;
    int64_t at; /* in the image: an address and a jump for each */
};

static int outside_number(struct outside *out, const char *name, void *address)
{
    intptr_t number = (intptr_t)map_get(out->numbers, name);

    if (!number) {
        list_add(out->arena, out->addresses, address);
        number = out->addresses.count;
        map_put(out->numbers, name, (void *)number);
    }
    return (int)number - 1;
}

static int64_t address_place(const struct outside *out, int number)
{
    return out->at + (int64_t)number * (8 + JUMP_BYTES);
}

static int64_t jump_place(const struct outside *out, int number)
{
    return address_place(out, number) + 8;
}

static void write_outside(struct image *image, const struct outside *out)
{
    static const unsigned char jump[] = {0xFF, 0x25}; /* jmp *displacement(%rip) */

    for (int i = 0; i < out->addresses.count; i++) {
        char *at = image->memory + jump_place(out, i);
        int32_t back = (int32_t)(-8 - (int)sizeof jump - 4);

        memcpy(image->memory + address_place(out, i), &out->addresses.at[i], 8);
        memcpy(at, jump, sizeof jump);
        memcpy(at + sizeof jump, &back, sizeof back);
    }
}

/* ---- relocations ---- */

struct linking {
    struct arena *arena;
    struct image *image;
    const struct image_symbol *given;
    int given_count;
    struct outside outside;
};

static void *given_address(const struct linking *l, const char *name)
{
    for (int i = 0; i < l->given_count; i++)
        if (!strcmp(l->given[i].name, name))
            return l->given[i].address;
    return NULL;
}

/* The symbol's address if it is in the image, else NULL and its number among what is outside, or -1. */
static char *resolve(struct linking *l, const struct object *o, const Elf64_Sym *symbol, int *number)
{
    const char *name = o->names + symbol->st_name;
    void *address;

    *number = -1;
    if (symbol->st_shndx != SHN_UNDEF)
        return symbol->st_shndx < o->head->e_shnum && o->places[symbol->st_shndx] >= 0
                   ? l->image->memory + o->places[symbol->st_shndx] + symbol->st_value
                   : NULL;
    if ((address = map_get(l->image->symbols, name)))
        return address;
    if ((address = given_address(l, name)))
        *number = outside_number(&l->outside, name, address);
    return NULL;
}

static const char *relocate(struct linking *l, const struct object *o, const Elf64_Shdr *section, bool measure)
{
    const Elf64_Rela *entries = (const void *)(o->data + section->sh_offset);
    int64_t base = o->places[section->sh_info];

    for (size_t i = 0; i < section->sh_size / sizeof *entries; i++) {
        const Elf64_Rela *r = &entries[i];
        const Elf64_Sym *symbol = &o->symbols[ELF64_R_SYM(r->r_info)];
        char *at = l->image->memory + base + r->r_offset, *address;
        int number, type = (int)ELF64_R_TYPE(r->r_info);
        bool through_table = type == R_X86_64_GOTPCREL || type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX;

        address = resolve(l, o, symbol, &number);
        if (!address && number < 0)
            return arena_printf(l->arena, "the symbol %s is not defined", o->names + symbol->st_name);
        if (through_table && address) /* a function of the image whose address is wanted has a place in the table too */
            number = outside_number(&l->outside, o->names + symbol->st_name, address);
        if (measure)
            continue;
        if (through_table)
            address = l->image->memory + address_place(&l->outside, number);
        else if (!address)
            address = l->image->memory + jump_place(&l->outside, number);
        if (type == R_X86_64_64) {
            uint64_t value = (uint64_t)(uintptr_t)address + (uint64_t)r->r_addend;
            memcpy(at, &value, sizeof value);
        } else if (type == R_X86_64_PC64) {
            uint64_t value = (uint64_t)(uintptr_t)address + (uint64_t)r->r_addend - (uint64_t)(uintptr_t)at;
            memcpy(at, &value, sizeof value);
        } else if (through_table || type == R_X86_64_PC32 || type == R_X86_64_PLT32) {
            int64_t value = (address + r->r_addend) - at;
            int32_t narrow = (int32_t)value;
            if (value != narrow)
                return arena_printf(l->arena, "%s is further away than a relocation reaches",
                                    o->names + symbol->st_name);
            memcpy(at, &narrow, sizeof narrow);
        } else {
            return arena_printf(l->arena, "a relocation of type %d, expected one of position independent code", type);
        }
    }
    return NULL;
}

static const char *relocate_all(struct linking *l, const struct object *objects, int count, bool measure)
{
    const char *error;

    for (int i = 0; i < count; i++)
        for (int k = 0; k < objects[i].head->e_shnum; k++) {
            const Elf64_Shdr *section = &objects[i].sections[k];

            if (section->sh_type == SHT_RELA && objects[i].places[section->sh_info] >= 0 &&
                (error = relocate(l, &objects[i], section, measure)))
                return error;
        }
    return NULL;
}

/* ---- images ---- */

static void define_symbols(struct image *image, const struct object *o)
{
    for (int i = 1; i < o->symbol_count; i++) {
        const Elf64_Sym *symbol = &o->symbols[i];

        if (ELF64_ST_BIND(symbol->st_info) != STB_LOCAL && symbol->st_shndx != SHN_UNDEF &&
            symbol->st_shndx < o->head->e_shnum && o->places[symbol->st_shndx] >= 0)
            map_put(image->symbols, arena_string(image->arena, o->names + symbol->st_name),
                    image->memory + o->places[symbol->st_shndx] + symbol->st_value);
    }
}

/* Symbols first need addresses, and those that are outside places: hence the mapping is made with room for as many as
   there are undefined names, and relocations are gone through twice. */
static const char *link_objects(struct image *image, struct arena *arena, const struct unit *const *units, int count,
                                const struct image_symbol *given, int given_count)
{
    struct object *objects = NEW_ARRAY(arena, struct object, count + 1);
    int object_count = 0;
    struct linking l = {.arena = arena, .image = image, .given = given, .given_count = given_count};
    int64_t at = 0, symbols = 0, page = sysconf(_SC_PAGESIZE);
    const char *error;

    for (int i = 0; i < count; i++) {
        struct object *o = &objects[object_count];
        int same = 0;

        while (same < object_count && objects[same].data != units[i]->object)
            same++;
        if (same < object_count)
            continue;
        if (!object_open(o, units[i]))
            return arena_printf(arena, "unit %s: not a relocatable object for x86-64", units[i]->symbol);
        at = lay_out(arena, o, at);
        symbols += o->symbol_count;
        object_count++;
    }
    count = object_count;
    l.outside = (struct outside){.arena = arena, .numbers = map_new(arena), .at = round_up(at, 64)};
    image->bytes = (size_t)round_up(address_place(&l.outside, (int)symbols) + 64, page);
    image->memory = mmap(NULL, image->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (image->memory == MAP_FAILED) {
        image->memory = NULL;
        return arena_printf(arena, "no memory for %zu bytes of code", image->bytes);
    }
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < objects[i].head->e_shnum; k++)
            if (objects[i].places[k] >= 0 && objects[i].sections[k].sh_type != SHT_NOBITS)
                memcpy(image->memory + objects[i].places[k], objects[i].data + objects[i].sections[k].sh_offset,
                       objects[i].sections[k].sh_size);
        define_symbols(image, &objects[i]);
    }
    if ((error = relocate_all(&l, objects, count, true)) || (error = relocate_all(&l, objects, count, false)))
        return error;
    write_outside(image, &l.outside);
    if (mprotect(image->memory, image->bytes, PROT_READ | PROT_EXEC))
        return arena_printf(arena, "the system allows no generated code to run");
    return NULL;
}

struct image *image_new(struct arena *arena, const struct unit *const *units, int count, const struct image_symbol *given,
                        int given_count, const char **error)
{
    struct arena *own = arena_new();
    struct image *image = NEW(own, struct image);

    image->arena = own;
    image->symbols = map_new(own);
    *error = link_objects(image, arena, units, count, given, given_count);
    if (!*error)
        return image;
    image_free(image);
    return NULL;
}

void *image_find(const struct image *image, const char *name)
{
    return map_get(image->symbols, name);
}

void image_free(struct image *image)
{
    struct arena *arena = image->arena;

    if (image->memory)
        munmap(image->memory, image->bytes);
    arena_free(arena);
}
