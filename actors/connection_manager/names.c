/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/names.h"

#include <stdlib.h>
#include <string.h>

#define DNSADDR_HOST "_dnsaddr."
#define DNSADDR_TEXT "dnsaddr="

enum { HOST_MAX = MULTIADDR_NAME_MAX + sizeof(DNSADDR_HOST) };

bool names_can_resolve(const struct multiaddr_target *target)
{
    return target->via == MULTIADDR_VIA_DNSADDR ||
           (target->host >= MULTIADDR_HOST_DNS && target->host <= MULTIADDR_HOST_DNS6 && endpoint_speaks(target->via));
}

static bool may_ask(struct names *names, const _Atomic bool *cancelled)
{
    if (names->count == NAMES_FOUND_MAX || names->questions == NAMES_QUESTIONS_MAX || atomic_load(cancelled))
        return false;
    names->questions++;
    return true;
}

/* prefix and name as a C string; false: the name is none. */
static bool host_text(const char *prefix, struct span name, char to[HOST_MAX])
{
    size_t len = strlen(prefix);
    if (name.len == 0 || name.len > MULTIADDR_NAME_MAX || memchr(name.data, '\0', name.len) != NULL)
        return false;
    memcpy(to, prefix, len);
    memcpy(to + len, name.data, name.len);
    to[len + name.len] = '\0';
    return true;
}

static void add(struct names *names, const struct endpoint *endpoint)
{
    if (names->count < NAMES_FOUND_MAX)
        names->found[names->count++] = *endpoint;
}

/* A and AAAA. */
static void resolve_host(struct names *names, const struct multiaddr_target *target, const _Atomic bool *cancelled)
{
    char host[HOST_MAX];
    struct net_addr addrs[DNS_RESULTS_MAX];
    size_t n = 0;
    bool ip4 = target->host != MULTIADDR_HOST_DNS6;
    bool ip6 = target->host != MULTIADDR_HOST_DNS4;
    if (!host_text("", target->name, host) || !may_ask(names, cancelled) ||
        names->dns->resolve(names->dns->self, host, target->port, ip4, ip6, addrs, &n) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        add(names, &(struct endpoint){.addr = addrs[i], .websocket = target->via == MULTIADDR_VIA_WS});
}

static void resolve(struct names *names, const struct multiaddr *addr, unsigned depth, const _Atomic bool *cancelled);

/* TXT. */
static void resolve_dnsaddr(struct names *names, const struct multiaddr_target *target, unsigned depth,
                            const _Atomic bool *cancelled)
{
    char host[HOST_MAX];
    size_t n = 0;
    if (depth == NAMES_DEPTH_MAX || !host_text(DNSADDR_HOST, target->name, host) || !may_ask(names, cancelled))
        return;
    char(*texts)[256] = calloc(NAMES_RECORDS_MAX, sizeof(*texts));
    if (texts != NULL && names->dns->txt(names->dns->self, host, texts, NAMES_RECORDS_MAX, &n) != ERR_OK)
        n = 0;
    for (size_t i = 0; i < n; i++) {
        struct multiaddr addr;
        size_t key = sizeof(DNSADDR_TEXT) - 1;
        if (strncmp(texts[i], DNSADDR_TEXT, key) == 0 &&
            multiaddr_parse_text(span_text(texts[i] + key), &addr) == ERR_OK)
            resolve(names, &addr, depth + 1, cancelled);
    }
    free(texts);
}

static void resolve(struct names *names, const struct multiaddr *addr, unsigned depth, const _Atomic bool *cancelled)
{
    struct multiaddr_target target;
    struct endpoint endpoint;
    if (multiaddr_target(multiaddr_span(addr), &target) != ERR_OK)
        return;
    bool named = !peer_id_is_empty(&names->peer) && !peer_id_is_empty(&target.peer);
    if (named && !peer_id_equal(&names->peer, &target.peer))
        return;
    if (target.via == MULTIADDR_VIA_DNSADDR)
        resolve_dnsaddr(names, &target, depth, cancelled);
    else if (names_can_resolve(&target))
        resolve_host(names, &target, cancelled);
    else if (endpoint_of_target(&target, &endpoint) == ERR_OK)
        add(names, &endpoint);
}

void names_resolve(struct names *names, const struct multiaddr *addr, const _Atomic bool *cancelled)
{
    resolve(names, addr, 0, cancelled);
}
