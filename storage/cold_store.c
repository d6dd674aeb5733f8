/* SPDX-License-Identifier: MIT */
#include "storage/cold_store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool cold_name_is_good(const char *name)
{
    size_t len = strlen(name);
    bool letter_first = strchr(".-", name[0]) == NULL; /* "" too: its NUL is found */
    return letter_first && len < COLD_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == len;
}

enum err cold_fail(struct cold_call *call, enum err err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(call->why, sizeof(call->why), fmt, args);
    va_end(args);
    return err;
}
