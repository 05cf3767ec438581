/* load.c: opens the code generator, which alone links LLVM. */
#include "driver.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "librnet_codegen.so"

static void *open_beside_executable(void)
{
    static const char *const places[] = {"", "../codegen/", "../lib/rnet/", "../" RNET_LIBRARY_FOLDER "/rnet/"};
    char folder[PATH_MAX], path[PATH_MAX + 64];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);

    if (size <= 0)
        return NULL;
    folder[size] = 0;
    *(strrchr(folder, '/') + 1) = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, sizeof path, "%s%s" MODULE, folder, places[i]);
        if (!access(path, R_OK))
            return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return NULL;
}

const struct code_api *codegen_open(struct rnet_error *error)
{
    const char *named = getenv("RNET_CODEGEN_MODULE"), *why;
    void *module = named && *named ? dlopen(named, RTLD_NOW | RTLD_LOCAL) : open_beside_executable();
    const struct code_api *(*api)(void);

    if (module && (api = (const struct code_api *(*)(void))dlsym(module, "rnet_code_api")))
        return api();
    why = dlerror();
    rnet_fail(error, RNET_FAILED, "the code generator " MODULE " cannot be opened: %s",
              why ? why : "it is neither beside rnetc nor in ../lib/rnet");
    return NULL;
}
