/* SPDX-License-Identifier: MIT */
#include "net/curl_library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

enum { VERSION_MIN = 0x075800 }; /* 7.88.0 signs x-amz-content-sha256 as the caller gives it */

static struct curl_library functions;
static _Atomic bool loaded; /* release pairs with the acquire of curl_library */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* curl_easy_setopt and curl_easy_getinfo are macros that check types; the functions have the same names. */
static void load(void)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    bool whole = library != NULL;
#define LOOK_UP(name)                                                                                                  \
    if (whole) {                                                                                                       \
        void *at = dlsym(library, "curl_" #name);                                                                      \
        memcpy(&functions.name, &at, sizeof(at)); /* ISO C has no cast from an object to a function */                 \
        whole = at != NULL;                                                                                            \
    }
    CURL_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    curl_version_info_data *(*version)(CURLversion) = NULL;
    if (whole) {
        void *at = dlsym(library, "curl_version_info");
        memcpy(&version, &at, sizeof(at));
    }
    whole = version != NULL && version(CURLVERSION_NOW)->version_num >= VERSION_MIN &&
            functions.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    atomic_store_explicit(&loaded, whole, memory_order_release);
    if (!whole && library != NULL)
        (void)dlclose(library);
}

const struct curl_library *curl_library(void)
{
    (void)pthread_once(&once, load);
    return curl_library_is_loaded() ? &functions : NULL;
}

bool curl_library_is_loaded(void)
{
    return atomic_load_explicit(&loaded, memory_order_acquire);
}
