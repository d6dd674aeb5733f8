/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/names.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "wire/dnsaddr.h"

bool names_can_resolve(const struct multiaddr_target *target)
{
    return target->via == MULTIADDR_VIA_DNSADDR ||
           (target->host >= MULTIADDR_HOST_DNS && target->host <= MULTIADDR_HOST_DNS6 && endpoint_speaks(target->via));
}

static bool may_ask(struct names *names, const _Atomic bool *cancelled)
{
    if (names->dns == NULL || names->count == NAMES_FOUND_MAX || names->questions == NAMES_QUESTIONS_MAX ||
        atomic_load(cancelled))
        return false;
    names->questions++;
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
    char host[MULTIADDR_NAME_MAX + 1];
    struct net_addr addrs[DNS_RESULTS_MAX];
    const struct dns_question question = {.name = host, .deadline_ns = names->deadline_ns, .cancelled = cancelled};
    size_t n = 0;
    bool ip4 = target->host != MULTIADDR_HOST_DNS6;
    bool ip6 = target->host != MULTIADDR_HOST_DNS4;
    if (target->name.len == 0 || text_copy(target->name, host, sizeof(host)) != ERR_OK || !may_ask(names, cancelled) ||
        names->dns->resolve(names->dns->self, &question, target->port, ip4, ip6, addrs, &n) != ERR_OK)
        return;
    for (size_t i = 0; i < n; i++)
        add(names, &(struct endpoint){.addr = addrs[i], .websocket = target->via == MULTIADDR_VIA_WS});
}

/* An address that is no /dnsaddr. */
static void resolve_plain(struct names *names, const struct multiaddr *addr, const _Atomic bool *cancelled)
{
    struct multiaddr_target target;
    struct endpoint endpoint;
    if (multiaddr_target(multiaddr_span(addr), &target) != ERR_OK)
        return;
    bool named = !peer_id_is_empty(&names->peer) && !peer_id_is_empty(&target.peer);
    if (named && !peer_id_equal(&names->peer, &target.peer))
        return;
    if (names_can_resolve(&target))
        resolve_host(names, &target, cancelled);
    else if (endpoint_of_target(&target, &endpoint) == ERR_OK)
        add(names, &endpoint);
}

/* TXT, level by level. */
static void resolve_dnsaddr(struct names *names, struct dnsaddr *d, const _Atomic bool *cancelled)
{
    struct texts texts;
    const char *host;
    texts_init(&texts, DNS_TXTS_BYTES_MAX);
    while ((host = dnsaddr_next(d)) != NULL && may_ask(names, cancelled)) {
        const struct dns_question question = {.name = host, .deadline_ns = names->deadline_ns, .cancelled = cancelled};
        texts_clear(&texts);
        if (names->dns->txt(names->dns->self, &question, &texts) != ERR_OK)
            continue;
        for (size_t i = 0; i < texts.count; i++) {
            struct multiaddr addr;
            if (dnsaddr_take(d, texts_get(&texts, i), &addr) == ERR_OK)
                resolve_plain(names, &addr, cancelled);
        }
    }
    texts_release(&texts);
}

void names_resolve(struct names *names, const struct multiaddr *addr, const _Atomic bool *cancelled)
{
    struct dnsaddr *d = calloc(1, sizeof(*d));
    if (d != NULL && dnsaddr_init(d, addr) == ERR_OK)
        resolve_dnsaddr(names, d, cancelled);
    else
        resolve_plain(names, addr, cancelled);
    free(d);
}
