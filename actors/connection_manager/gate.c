/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "net/addr.h"

/* What is known of one address or one prefix. tokens are in units of GATE_RATE_PERIOD_MS nanoseconds, so no fractions are lost. */
struct gate_source {
    uint64_t credit_ns; /* burst x period when full; one connection costs one period */
    uint64_t updated_ns;
};

struct source_key {
    uint8_t bytes[18]; /* family, bits, address masked */
};

enum { IP4_BITS = 32, IP4_PREFIX_BITS = 24, IP6_BITS = 56, IP6_PREFIX_BITS = 48 };
enum {
    SOURCES_ROOM = 64
}; /* made at once when the table is full: a flood of addresses does not walk it at each of them */

static const uint64_t period_ns = GATE_RATE_PERIOD_MS * MS_NS;

static struct source_key key_of(const struct net_addr *addr, bool prefix)
{
    struct source_key key = {{0}};
    bool ip4 = addr->family == NET_IP4;
    uint8_t bits = ip4 ? (prefix ? IP4_PREFIX_BITS : IP4_BITS) : (prefix ? IP6_PREFIX_BITS : IP6_BITS);
    key.bytes[0] = (uint8_t)addr->family;
    key.bytes[1] = bits;
    memcpy(key.bytes + 2, addr->ip, ip4 ? 4 : 16);
    ip_mask(key.bytes + 2, bits);
    return key;
}

static struct gate_source *find(const struct gate *gate, const struct net_addr *addr, bool prefix)
{
    struct source_key key = key_of(addr, prefix);
    return table_get(&gate->sources, span_of(key.bytes, sizeof(key.bytes)));
}

bool gate_is_exempt(const struct gate *gate, const struct net_addr *addr)
{
    uint8_t ip[IP_BYTES];
    addr_map(addr, ip);
    for (size_t i = 0; i < gate->config.exempt_count; i++)
        if (ip_network_contains(&gate->config.exempt[i], ip))
            return true;
    return false;
}

void gate_init(struct gate *gate, const struct gate_config *config, struct account *account)
{
    *gate = (struct gate){.config = *config, .account = account};
    table_init(&gate->sources, GATE_SOURCES_MAX, account);
}

static void source_free(struct gate *gate, struct gate_source *source)
{
    if (gate->account != NULL)
        account_give(gate->account, sizeof(*source));
    free(source);
}

void gate_release(struct gate *gate)
{
    size_t position = 0;
    struct gate_source *source;
    while ((source = table_next(&gate->sources, &position, NULL)) != NULL)
        source_free(gate, source);
    table_release(&gate->sources);
}

static void refill(struct gate_source *source, uint64_t burst, uint64_t now_ns)
{
    uint64_t gained = now_ns > source->updated_ns ? now_ns - source->updated_ns : 0;
    uint64_t full = burst * period_ns;
    source->credit_ns = gained >= full - source->credit_ns ? full : source->credit_ns + gained;
    source->updated_ns = now_ns;
}

/* It has its whole burst again, so nothing is lost with it. */
static bool is_rested(const struct gate_source *source, struct span key, uint64_t now_ns)
{
    bool prefix = key.data[1] == IP4_PREFIX_BITS || key.data[1] == IP6_PREFIX_BITS;
    uint64_t full = (uint64_t)GATE_RATE_BURST * (prefix ? GATE_PREFIX_FACTOR : 1) * period_ns;
    return now_ns > source->updated_ns && now_ns - source->updated_ns >= full - source->credit_ns;
}

/* Forgets sources: the rested ones, then the ones seen first until there is room for some newcomers. */
static void make_room(struct gate *gate, uint64_t now_ns)
{
    for (int hard = 0; hard < 2; hard++) {
        size_t position = 0;
        struct span key;
        struct gate_source *source;
        while ((source = table_next(&gate->sources, &position, &key)) != NULL) {
            if (hard && table_len(&gate->sources) + SOURCES_ROOM <= GATE_SOURCES_MAX)
                return;
            if (hard || is_rested(source, key, now_ns))
                source_free(gate, table_remove(&gate->sources, key));
        }
    }
}

static struct gate_source *find_or_add(struct gate *gate, const struct net_addr *addr, bool prefix, uint64_t now_ns)
{
    struct gate_source *source = find(gate, addr, prefix);
    if (source != NULL)
        return source;
    if (gate->account != NULL && !account_take(gate->account, sizeof(*source)))
        return NULL;
    source = calloc(1, sizeof(*source));
    struct source_key key = key_of(addr, prefix);
    if (source != NULL && table_put(&gate->sources, span_of(key.bytes, sizeof(key.bytes)), source, NULL) == ERR_OK) {
        source->credit_ns = (uint64_t)GATE_RATE_BURST * (prefix ? GATE_PREFIX_FACTOR : 1) * period_ns;
        source->updated_ns = now_ns;
        return source;
    }
    if (gate->account != NULL)
        account_give(gate->account, sizeof(*source));
    free(source);
    return NULL;
}

enum err gate_enter(struct gate *gate, const struct net_addr *from, uint64_t now_ns)
{
    if (gate_is_exempt(gate, from))
        return ERR_OK;
    if (table_len(&gate->sources) + 2 > GATE_SOURCES_MAX)
        make_room(gate, now_ns);
    struct gate_source *ip = find_or_add(gate, from, false, now_ns);
    struct gate_source *prefix = find_or_add(gate, from, true, now_ns);
    bool may = ip != NULL && prefix != NULL;
    if (may) {
        refill(ip, GATE_RATE_BURST, now_ns);
        refill(prefix, (uint64_t)GATE_RATE_BURST * GATE_PREFIX_FACTOR, now_ns);
        may = ip->credit_ns >= period_ns && prefix->credit_ns >= period_ns;
    }
    gate->refused += !may;
    if (!may)
        return ERR_BUSY;
    ip->credit_ns -= period_ns;
    prefix->credit_ns -= period_ns;
    return ERR_OK;
}
