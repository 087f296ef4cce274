#include "aws/libcurl.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>

/* The same in every distribution since 2006: https://curl.se/libcurl/abi.html */
#define SONAME "libcurl.so.4"

struct libcurl libcurl;

static bool find(void *library)
{
#define FIND(name)                                                                                 \
    if (!(*(void **)&libcurl.name = dlsym(library, "curl_" #name)))                                \
        return false;
    LIBCURL_FUNCTIONS(FIND)
#undef FIND
    return true;
}

int libcurl_load(struct err *err)
{
    static bool loaded;

    if (loaded)
        return 0;
    void *library = dlopen(SONAME, RTLD_NOW | RTLD_LOCAL);
    if (!library || !find(library))
        return err_set(err, -ENOENT, "libcurl cannot be loaded: %s", dlerror());
    if (libcurl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, -ENOMEM, "libcurl cannot be initialised");
    loaded = true;
    return 0;
}
