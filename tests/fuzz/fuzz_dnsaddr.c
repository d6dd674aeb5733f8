/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "wire/dnsaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Lines are records; an empty one ends those of a name. Whatever they say, the bounds hold. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct dnsaddr d;
    struct span rest = span_of(data, size);
    struct multiaddr addr;
    unsigned names = 0;
    unsigned addrs = 0;
    if (multiaddr_parse_text(span_text("/dnsaddr/a.org"), &addr) != ERR_OK || dnsaddr_init(&d, &addr) != ERR_OK)
        abort();
    for (const char *name; (name = dnsaddr_next(&d)) != NULL; names++) {
        if (strlen(name) >= DNSADDR_HOST_BYTES)
            abort();
        while (rest.len > 0) {
            const uint8_t *end = memchr(rest.data, '\n', rest.len);
            size_t len = end == NULL ? rest.len : (size_t)(end - rest.data);
            struct span record = span_first(rest, len);
            rest = span_skip(rest, len + 1);
            if (record.len == 0)
                break;
            if (dnsaddr_take(&d, record, &addr) == ERR_OK)
                addrs++;
        }
    }
    if (names > DNSADDR_QUESTIONS_MAX || addrs > DNSADDR_ADDRS_MAX)
        abort();
    return 0;
}
