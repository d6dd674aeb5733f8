/* SPDX-License-Identifier: MIT */
#include "base/group.h"

#include <grp.h>
#include <stdint.h>

#include "base/text.h"

enum { ENTRY_BYTES = 4096 };

enum err group_find(const char *name, gid_t *ret_gid)
{
    struct group entry;
    struct group *found = NULL;
    char text[ENTRY_BYTES];
    uint64_t number = 0;
    if (getgrnam_r(name, &entry, text, sizeof(text), &found) == 0 && found != NULL) {
        *ret_gid = found->gr_gid;
        return ERR_OK;
    }
    if (text_parse_u64(span_text(name), &number) != ERR_OK || number >= UINT32_MAX)
        return ERR_NOT_FOUND;
    *ret_gid = (gid_t)number;
    return ERR_OK;
}
