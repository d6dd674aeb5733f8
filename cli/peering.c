/* SPDX-License-Identifier: MIT */
/* Text forms of swarm peering, as Kubo's. */
#include <string.h>

#include "cli/output.h"

/* What stands behind the last slash: of an address that was taken, its peer. */
static struct span peer_of(struct span address)
{
    for (size_t i = address.len; i > 0; i--)
        if (address.data[i - 1] == '/')
            return span_skip(address, i);
    return address;
}

static void print_done(const struct invocation *in, const char *what, const char *key)
{
    (void)fputs(what, stdout);
    print_escaped(stdout, peer_of(value_text(buf_span(&in->args), key)));
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
            print_escaped(stdout, element_text(addr));
            (void)putchar('\n');
        }
    }
}
