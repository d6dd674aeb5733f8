/* SPDX-License-Identifier: MIT */
/* Text forms of swarm peering, as Kubo's. */
#include <string.h>

#include "cli/output.h"

static void print_done(const struct invocation *in, const char *what, const char *key)
{
    (void)fputs(what, stdout);
    print_escaped(stdout, last_part(value_text(buf_span(&in->args), key)));
    (void)puts(" success");
}

void print_peering_added(const struct invocation *in, struct span result)
{
    (void)result;
    print_done(in, "add ", "address");
}

void print_peering_removed(const struct invocation *in, struct span result)
{
    (void)result;
    print_done(in, "remove ", "peer");
}

/* The peer stands above its addresses. */
static struct span without_peer(struct span address)
{
    static const char p2p[] = "/p2p/";
    size_t before = address.len - last_part(address).len;
    bool named = before > strlen(p2p) && memcmp(address.data + before - strlen(p2p), p2p, strlen(p2p)) == 0;
    return named ? span_first(address, before - strlen(p2p)) : address;
}

void print_peerings(const struct invocation *in, struct span result)
{
    struct elements rows = value_elements(result, "peers");
    struct span row;
    (void)in;
    while (elements_next(&rows, &row)) {
        struct elements addrs = value_elements(row, "addrs");
        struct span addr;
        print_escaped(stdout, value_text(row, "peer"));
        (void)putchar('\n');
        while (elements_next(&addrs, &addr)) {
            (void)putchar('\t');
            print_escaped(stdout, without_peer(element_text(addr)));
            (void)putchar('\n');
        }
    }
}
