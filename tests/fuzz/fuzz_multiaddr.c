/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "wire/multiaddr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Accepted bytes have one text, which gives the same bytes. */
static void check(const struct multiaddr *addr)
{
    static char text[MULTIADDR_TEXT_MAX];
    struct multiaddr back;
    struct multiaddr_target target;
    if (multiaddr_text(multiaddr_span(addr), text, sizeof(text)) != ERR_OK)
        abort();
    if (multiaddr_parse_text(span_text(text), &back) != ERR_OK || memcmp(addr, &back, sizeof(back)) != 0)
        abort();
    (void)multiaddr_target(multiaddr_span(addr), &target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct multiaddr addr;
    (void)multiaddr_scope(span_of(data, size));
    (void)multiaddr_without_peer(span_of(data, size));
    if (multiaddr_parse(span_of(data, size), &addr) == ERR_OK)
        check(&addr);
    if (multiaddr_parse_text(span_of(data, size), &addr) == ERR_OK)
        check(&addr);
    return 0;
}
