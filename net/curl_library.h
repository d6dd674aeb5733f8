/* SPDX-License-Identifier: MIT */
/*
 * libcurl, loaded when it is first needed: it pulls about 30 libraries and 6 MiB, and most nodes never speak HTTP as a client. Not linked; its
 * header is needed to build.
 */
#ifndef HEARTH_NET_CURL_LIBRARY_H
#define HEARTH_NET_CURL_LIBRARY_H

#include <curl/curl.h>
#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

/* What is called of it, by the names without curl_. */
#define CURL_FUNCTIONS(X)                                                                                              \
    X(global_init)                                                                                                     \
    X(easy_init)                                                                                                       \
    X(easy_setopt)                                                                                                     \
    X(easy_perform)                                                                                                    \
    X(easy_getinfo)                                                                                                    \
    X(easy_reset)                                                                                                      \
    X(easy_cleanup)                                                                                                    \
    X(easy_strerror)                                                                                                   \
    X(slist_append)                                                                                                    \
    X(slist_free_all)

struct curl_library {
#define MEMBER(name) __typeof__(curl_##name) *(name);
    CURL_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Loads it once per process; any thread. NULL: it is not there, or too old to sign for S3 (7.88 is wanted). */
const struct curl_library *curl_library(void);

/* Whether it was loaded; loads nothing. */
bool curl_library_is_loaded(void);

#endif
