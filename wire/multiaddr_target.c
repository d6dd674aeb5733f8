/* SPDX-License-Identifier: MIT */
/*
 * What an address says to a dialler, and how far it reaches. The scopes follow the IANA special-purpose registries.
 */
#include "wire/multiaddr.h"

#include <string.h>

struct range {
    uint8_t ip[16];
    uint8_t bits;
    enum multiaddr_scope scope;
};

/* First match wins. */
static const struct range ranges4[] = {
    {{0, 0, 0, 0}, 32, MULTIADDR_SCOPE_UNSPECIFIED},
    {{0}, 8, MULTIADDR_SCOPE_RESERVED},
    {{127}, 8, MULTIADDR_SCOPE_LOOPBACK},
    {{169, 254}, 16, MULTIADDR_SCOPE_LINK},
    {{10}, 8, MULTIADDR_SCOPE_PRIVATE},
    {{172, 16}, 12, MULTIADDR_SCOPE_PRIVATE},
    {{192, 168}, 16, MULTIADDR_SCOPE_PRIVATE},
    {{100, 64}, 10, MULTIADDR_SCOPE_PRIVATE},
    {{192, 0, 0}, 24, MULTIADDR_SCOPE_RESERVED},
    {{192, 0, 2}, 24, MULTIADDR_SCOPE_RESERVED},
    {{198, 51, 100}, 24, MULTIADDR_SCOPE_RESERVED},
    {{203, 0, 113}, 24, MULTIADDR_SCOPE_RESERVED},
    {{198, 18}, 15, MULTIADDR_SCOPE_RESERVED},
    {{224}, 3, MULTIADDR_SCOPE_RESERVED}, /* multicast and class E */
};

static const struct range ranges6[] = {
    {{0}, 128, MULTIADDR_SCOPE_UNSPECIFIED},
    {{[15] = 1}, 128, MULTIADDR_SCOPE_LOOPBACK},
    {{0xfe, 0x80}, 10, MULTIADDR_SCOPE_LINK},
    {{0xfc}, 7, MULTIADDR_SCOPE_PRIVATE},
    {{0x20, 0x01, 0x0d, 0xb8}, 32, MULTIADDR_SCOPE_RESERVED},
    {{0x01}, 64, MULTIADDR_SCOPE_RESERVED}, /* 100::/64, discard */
    {{0xff}, 8, MULTIADDR_SCOPE_RESERVED},
    {{0}, 8, MULTIADDR_SCOPE_RESERVED},
};

static bool in_range(const uint8_t *ip, const struct range *range)
{
    size_t whole = range->bits / 8;
    unsigned rest = range->bits % 8;
    if (memcmp(ip, range->ip, whole) != 0)
        return false;
    return rest == 0 || (ip[whole] ^ range->ip[whole]) >> (8 - rest) == 0;
}

static enum multiaddr_scope scope_in(const uint8_t *ip, const struct range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (in_range(ip, &ranges[i]))
            return ranges[i].scope;
    return MULTIADDR_SCOPE_PUBLIC;
}

enum multiaddr_scope multiaddr_ip_scope(struct span ip)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (ip.len == 4)
        return scope_in(ip.data, ranges4, ARRAY_LEN(ranges4));
    if (ip.len != 16)
        return MULTIADDR_SCOPE_RESERVED;
    if (memcmp(ip.data, mapped, sizeof(mapped)) == 0)
        return scope_in(ip.data + sizeof(mapped), ranges4, ARRAY_LEN(ranges4));
    return scope_in(ip.data, ranges6, ARRAY_LEN(ranges6));
}

static bool ends_with(struct span name, const char *tail)
{
    struct span end = span_text(tail);
    return name.len >= end.len && span_equal(span_skip(name, name.len - end.len), end);
}

static enum multiaddr_scope name_scope(struct span name)
{
    if (span_equal_text(name, "localhost") || ends_with(name, ".localhost"))
        return MULTIADDR_SCOPE_LOOPBACK;
    return ends_with(name, ".local") ? MULTIADDR_SCOPE_PRIVATE : MULTIADDR_SCOPE_PUBLIC;
}

enum multiaddr_scope multiaddr_scope(struct span bytes)
{
    struct multiaddr_target target;
    if (multiaddr_target(bytes, &target) != ERR_OK)
        return MULTIADDR_SCOPE_RESERVED;
    switch (target.host) {
    case MULTIADDR_HOST_IP4:
        return multiaddr_ip_scope(span_of(target.ip, 4));
    case MULTIADDR_HOST_IP6:
        return multiaddr_ip_scope(span_of(target.ip, 16));
    case MULTIADDR_HOST_DNS:
    case MULTIADDR_HOST_DNS4:
    case MULTIADDR_HOST_DNS6:
    case MULTIADDR_HOST_DNSADDR:
        return name_scope(target.name);
    }
    return MULTIADDR_SCOPE_RESERVED;
}

/* Takes the components that name the host. */
static enum err take_host(struct span *bytes, struct multiaddr_target *t)
{
    struct multiaddr_part part;
    enum err err = multiaddr_next(bytes, &part);
    if (err != ERR_OK)
        return err;
    if (part.code == MULTIADDR_IP6ZONE && bytes->len > 0) {
        t->zone = part.value;
        err = multiaddr_next(bytes, &part);
        if (err != ERR_OK)
            return err;
        if (part.code != MULTIADDR_IP6)
            return ERR_INVALID;
    }
    t->name = part.value;
    if (part.code == MULTIADDR_IP4 || part.code == MULTIADDR_IP6) {
        t->host = part.code == MULTIADDR_IP4 ? MULTIADDR_HOST_IP4 : MULTIADDR_HOST_IP6;
        memcpy(t->ip, part.value.data, part.value.len);
        t->name = (struct span){0};
    } else if (part.code == MULTIADDR_DNS) {
        t->host = MULTIADDR_HOST_DNS;
    } else if (part.code == MULTIADDR_DNS4) {
        t->host = MULTIADDR_HOST_DNS4;
    } else if (part.code == MULTIADDR_DNS6) {
        t->host = MULTIADDR_HOST_DNS6;
    } else if (part.code == MULTIADDR_DNSADDR) {
        t->host = MULTIADDR_HOST_DNSADDR;
        t->via = MULTIADDR_VIA_DNSADDR;
    } else {
        return ERR_UNSUPPORTED;
    }
    return ERR_OK;
}

/* What has been seen of the transport so far; /tls before /ws is the same as /wss. */
struct walk {
    bool tcp;
    bool tls;
    bool ws;
    bool other;
};

static void take_port(struct multiaddr_target *t, struct span value)
{
    t->port = (uint16_t)(value.data[0] << 8 | value.data[1]);
}

/* Before /p2p-circuit every component belongs to the relay, after it to the peer behind. */
static void take_transport(const struct multiaddr_part *part, struct walk *w, struct multiaddr_target *t)
{
    if (part->code == MULTIADDR_TCP && !w->tcp) {
        w->tcp = true;
        take_port(t, part->value);
    } else if (part->code == MULTIADDR_UDP && !w->other) {
        w->other = true;
        take_port(t, part->value);
    } else if (part->code == MULTIADDR_TLS && !w->ws) {
        w->tls = true;
    } else if (part->code == MULTIADDR_SNI && w->tls) {
        t->sni = part->value;
    } else if (part->code == MULTIADDR_WS) {
        w->ws = true;
    } else if (part->code == MULTIADDR_WSS) {
        w->ws = true;
        w->tls = true;
    } else if (part->code != MULTIADDR_P2P) {
        w->other = true;
    }
}

static enum multiaddr_transport transport_of(const struct walk *w)
{
    if (!w->tcp || w->other || (w->tls && !w->ws))
        return MULTIADDR_VIA_OTHER;
    if (!w->ws)
        return MULTIADDR_VIA_TCP;
    return w->tls ? MULTIADDR_VIA_WSS : MULTIADDR_VIA_WS;
}

enum err multiaddr_target(struct span bytes, struct multiaddr_target *ret_target)
{
    struct multiaddr_target t = {.via = MULTIADDR_VIA_OTHER};
    struct walk walk = {0};
    bool circuit = false;
    if (bytes.len == 0)
        return ERR_INVALID;
    struct span rest = bytes;
    enum err err = take_host(&rest, &t);
    if (err != ERR_OK)
        return err;
    while (rest.len > 0) {
        struct multiaddr_part part;
        err = multiaddr_next(&rest, &part);
        if (err != ERR_OK)
            return err;
        circuit = circuit || part.code == MULTIADDR_P2P_CIRCUIT;
        if (!circuit)
            take_transport(&part, &walk, &t);
    }
    if (multiaddr_peer(bytes, &t.peer) != ERR_OK)
        t.peer = (struct peer_id){0};
    if (t.host != MULTIADDR_HOST_DNSADDR || walk.tcp || walk.other)
        t.via = transport_of(&walk);
    if (circuit)
        t.via = MULTIADDR_VIA_CIRCUIT;
    *ret_target = t;
    return ERR_OK;
}
