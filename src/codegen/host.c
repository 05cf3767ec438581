/* host.c: what the compiled code depends on besides the kernel itself: the processor, the LLVM that rnetc was built with,
   and rnetc's own code generator. All without LLVM, which takes longer to load than cached code takes to start. */
#include <cpuid.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

const char *llvm_module_path(struct arena *arena)
{
    const char *slash;
    Dl_info info;

    if (!dladdr((const void *)llvm_module_path, &info) || !info.dli_fname || !(slash = strrchr(info.dli_fname, '/')))
        return LLVM_MODULE;
    return arena_printf(arena, "%.*s/" LLVM_MODULE, (int)(slash - info.dli_fname), info.dli_fname);
}

/* All from which LLVM tells the processor and what it can do; bits that differ from core to core are left out. */
static void add_processor(struct text *out)
{
    static const struct {
        unsigned leaf, part;
    } leaves[] = {{0, 0}, {1, 0}, {7, 0}, {7, 1}, {0xD, 1}, {0x14, 0}, {0x19, 0}, {0x24, 0}, {0x80000001, 0}, {0x80000008, 0}};

    for (size_t i = 0; i < sizeof leaves / sizeof *leaves; i++) {
        unsigned r[4] = {0};

        if (!__get_cpuid_count(leaves[i].leaf, leaves[i].part, &r[0], &r[1], &r[2], &r[3]))
            continue;
        if (leaves[i].leaf == 1)
            r[1] = 0; /* which core, how many */
        if (leaves[i].leaf == 0x80000008)
            r[0] = r[2] = r[3] = 0; /* widths of addresses, how many cores */
        text_addf(out, " %x.%x:%x,%x,%x,%x", leaves[i].leaf, leaves[i].part, r[0], r[1], r[2], r[3]);
    }
    unsigned low = 0, high = 0, r[4];
    if (__get_cpuid(1, &r[0], &r[1], &r[2], &r[3]) && (r[2] & bit_OSXSAVE))
        __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    text_addf(out, " xcr0:%x", low);
}

/* The notes of an ELF file: the linker's hash of all that is in it. */
static bool add_build_id(struct text *out, const char *file, size_t bytes)
{
    const Elf64_Ehdr *head = (const void *)file;
    const Elf64_Phdr *parts = (const void *)(file + head->e_phoff);

    if (bytes < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) ||
        bytes < head->e_phoff + head->e_phnum * sizeof *parts)
        return false;
    for (int i = 0; i < head->e_phnum; i++) {
        size_t at = parts[i].p_offset, end = at + parts[i].p_filesz;

        while (parts[i].p_type == PT_NOTE && end <= bytes && at + sizeof(Elf64_Nhdr) <= end) {
            const Elf64_Nhdr *note = (const void *)(file + at);
            size_t name = at + sizeof *note, description = name + (note->n_namesz + 3u) / 4 * 4;

            at = description + (note->n_descsz + 3u) / 4 * 4;
            if (at > end)
                break;
            if (note->n_type != NT_GNU_BUILD_ID || note->n_namesz != 4 || memcmp(file + name, "GNU", 4))
                continue;
            for (size_t k = 0; k < note->n_descsz; k++)
                text_addf(out, "%02x", (unsigned char)file[description + k]);
            return true;
        }
    }
    return false;
}

static bool add_generator(struct text *out)
{
    struct arena *arena = arena_new();
    int file = open(llvm_module_path(arena), O_RDONLY | O_CLOEXEC);
    struct stat about;
    bool done = false;

    if (file >= 0 && !fstat(file, &about) && about.st_size > 0) {
        char *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);

        if (data != MAP_FAILED) {
            done = add_build_id(out, data, (size_t)about.st_size);
            munmap(data, (size_t)about.st_size);
        }
    }
    if (file >= 0)
        close(file);
    arena_free(arena);
    return done;
}

bool host_identity(struct text *out)
{
    add_processor(out);
    text_addf(out, " matrix unit:%d,%d", rnet_matrix_unit(), rnet_matrix_unit_for_all());
    text_add(out, " LLVM " RNET_LLVM_VERSION " ");
    return add_generator(out);
}
