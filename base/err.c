/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <errno.h>

#include "base/attr.h"

static const char *const names[] = {
#define ERR_UPPER(name, text) #name,
    ERR_LIST(ERR_UPPER)
#undef ERR_UPPER
};

static const char *const texts[] = {
#define ERR_SENTENCE(name, text) text,
    ERR_LIST(ERR_SENTENCE)
#undef ERR_SENTENCE
};

static char lowered[ERR_COUNT][16];

/* Lower-case copies are made before main, so that no thread ever races on them. */
__attribute__((constructor)) static void lower_names(void)
{
    for (size_t i = 0; i < ERR_COUNT; i++) {
        for (size_t j = 0; names[i][j] != '\0' && j + 1 < sizeof(lowered[i]); j++) {
            char c = names[i][j];
            lowered[i][j] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
        }
    }
}

const char *err_name(enum err err)
{
    return (unsigned)err < ERR_COUNT ? lowered[err] : "unknown";
}

const char *err_text(enum err err)
{
    return (unsigned)err < ERR_COUNT ? texts[err] : "unknown error";
}

enum err err_from_errno(int error_number)
{
    static const struct {
        int number;
        enum err err;
    } map[] = {
        {0, ERR_OK},
        {EAGAIN, ERR_AGAIN},
        {EINPROGRESS, ERR_AGAIN},
        {ENOMEM, ERR_NOMEM},
        {EINVAL, ERR_INVALID},
        {ENAMETOOLONG, ERR_TOO_LARGE},
        {EFBIG, ERR_TOO_LARGE},
        {ENOENT, ERR_NOT_FOUND},
        {EEXIST, ERR_EXISTS},
        {ETIMEDOUT, ERR_TIMEOUT},
        {ECANCELED, ERR_CANCELLED},
        {EBUSY, ERR_BUSY},
        {EMFILE, ERR_BUSY},
        {ENFILE, ERR_BUSY},
        {EACCES, ERR_DENIED},
        {EPERM, ERR_DENIED},
        {ENOSPC, ERR_NO_SPACE},
        {EDQUOT, ERR_NO_SPACE},
        {EROFS, ERR_READ_ONLY},
        {EPIPE, ERR_CLOSED},
        {ECONNRESET, ERR_RESET},
        {ECONNREFUSED, ERR_REFUSED},
        {EHOSTUNREACH, ERR_UNREACHABLE},
        {ENETUNREACH, ERR_UNREACHABLE},
        {EADDRNOTAVAIL, ERR_UNREACHABLE},
        {EAFNOSUPPORT, ERR_UNSUPPORTED},
        {EADDRINUSE, ERR_EXISTS},
    };
    for (size_t i = 0; i < ARRAY_LEN(map); i++) {
        if (map[i].number == error_number)
            return map[i].err;
    }
    return ERR_IO;
}
