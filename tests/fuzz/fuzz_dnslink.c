/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "wire/dnslink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct span next_line(struct span *rest)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, '\n', rest->len);
    struct span line = span_first(*rest, end == NULL ? rest->len : (size_t)(end - rest->data));
    *rest = span_skip(*rest, line.len + 1);
    return line;
}

/* The first line is a path, the others are records; an empty one ends those of a name. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dnslink l;
    struct span rest = span_of(data, size);
    if (dnslink_init(&l, next_line(&rest), DNSLINK_DOMAINS_MAX) != ERR_OK)
        return 0;
    unsigned asked = 0;
    enum err err = ERR_AGAIN;
    for (; err == ERR_AGAIN; asked++) {
        struct span record;
        while ((record = next_line(&rest)).len > 0)
            dnslink_offer(&l, record);
        err = dnslink_answered(&l);
        if (strlen(l.path) > DNSLINK_PATH_MAX || strlen(l.host) >= DNSLINK_HOST_BYTES)
            abort();
    }
    if (asked > 2 * DNSLINK_DOMAINS_MAX)
        abort();
    return 0;
}
