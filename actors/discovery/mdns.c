/* SPDX-License-Identifier: MIT */
#include "actors/discovery/mdns.h"

#include <string.h>

#include "net/addr.h"
#include "wire/multiaddr.h"

void mdns_init(struct mdns *m, const struct peer_id *self, struct neighbours *neighbours, const uint8_t random[64])
{
    *m = (struct mdns){.self = *self, .neighbours = neighbours};
    mdns_names_init(&m->names, random);
}

static uint64_t soon(uint64_t now_ns, uint64_t jitter)
{
    return now_ns + (MDNS_DELAY_MIN_MS + jitter % (MDNS_DELAY_MAX_MS - MDNS_DELAY_MIN_MS + 1)) * MS_NS;
}

/* ---- which addresses belong to which link ---- */

static bool same_network(const struct net_addr *a, const struct net_addr *b, unsigned bits)
{
    unsigned whole = MIN(bits, b->family == NET_IP4 ? 32u : 128u) / 8;
    unsigned rest = whole == bits / 8 ? bits % 8 : 0;
    if (a->family != b->family || memcmp(a->ip, b->ip, whole) != 0)
        return false;
    return rest == 0 || (a->ip[whole] ^ b->ip[whole]) >> (8 - rest) == 0;
}

static bool is_on_link(const struct mdns *m, uint32_t link, const struct net_addr *addr)
{
    for (size_t i = 0; i < m->addr_count; i++)
        if (m->addrs[i].link == link && same_network(addr, &m->addrs[i].addr, m->addrs[i].prefix_bits))
            return true;
    return false;
}

/* TCP, plain or under WebSocket, on an IP literal that needs no zone. */
static bool is_for_neighbours(struct span addr, struct net_addr *ret_addr)
{
    struct multiaddr_target target;
    if (multiaddr_target(addr, &target) != ERR_OK || target.via > MULTIADDR_VIA_WS ||
        addr_of_target(&target, ret_addr) != ERR_OK)
        return false;
    enum multiaddr_scope scope = multiaddr_ip_scope(span_of(target.ip, ret_addr->family == NET_IP4 ? 4 : 16));
    return scope != MULTIADDR_SCOPE_UNSPECIFIED && scope != MULTIADDR_SCOPE_LOOPBACK &&
           !(scope == MULTIADDR_SCOPE_LINK && ret_addr->family == NET_IP6);
}

/* ---- links and own addresses ---- */

static bool same_addrs(const struct mdns *m, const struct multicast_addr *addrs, size_t count)
{
    bool same = m->addr_count == count;
    for (size_t i = 0; i < count && same; i++)
        same = m->addrs[i].link == addrs[i].link && m->addrs[i].prefix_bits == addrs[i].prefix_bits &&
               addr_equal(&m->addrs[i].addr, &addrs[i].addr);
    return same;
}

static struct mdns_link *find_link(struct mdns *m, uint32_t link, enum net_family family)
{
    for (size_t i = 0; i < m->link_count; i++)
        if (m->links[i].link == link && m->links[i].family == family)
            return &m->links[i];
    return NULL;
}

void mdns_set_links(struct mdns *m, const struct multicast_addr *addrs, size_t count, uint64_t now_ns, uint64_t jitter)
{
    count = MIN(count, (size_t)MULTICAST_ADDRS_MAX);
    if (same_addrs(m, addrs, count))
        return;
    for (size_t i = 0; i < count; i++)
        m->addrs[i] = addrs[i];
    m->addr_count = count;
    m->link_count = 0;
    for (size_t i = 0; i < count && m->link_count < MDNS_LINKS_MAX; i++)
        if (find_link(m, addrs[i].link, addrs[i].addr.family) == NULL)
            m->links[m->link_count++] = (struct mdns_link){.link = addrs[i].link,
                                                           .family = addrs[i].addr.family,
                                                           .ask_at_ns = soon(now_ns, jitter),
                                                           .ask_pause_ns = MDNS_ASK_FIRST_MS * MS_NS,
                                                           .answer_at_ns = UINT64_MAX};
}

void mdns_own_add(struct mdns_own *own, struct span addr)
{
    struct net_addr ignored;
    addr = multiaddr_without_peer(addr);
    if (own->count == MDNS_OWN_MAX || addr.len > NEIGHBOUR_ADDR_BYTES_MAX || !is_for_neighbours(addr, &ignored))
        return;
    struct neighbour_addr *to = &own->addrs[own->count++];
    *to = (struct neighbour_addr){.len = (uint8_t)addr.len};
    memcpy(to->bytes, addr.data, addr.len);
}

/* An answer to nobody: whoever listens hears it. */
static void announce(struct mdns_link *link, uint64_t at_ns)
{
    link->asked.peers = true;
    if (link->answered_ns != 0)
        at_ns = MAX(at_ns, link->answered_ns + MDNS_ANSWER_PAUSE_MS * MS_NS);
    link->answer_at_ns = MIN(link->answer_at_ns, at_ns);
}

void mdns_set_own(struct mdns *m, const struct mdns_own *own, uint64_t now_ns, uint64_t jitter)
{
    if (m->own_count == own->count && memcmp(m->own, own->addrs, own->count * sizeof(own->addrs[0])) == 0)
        return;
    memcpy(m->own, own->addrs, own->count * sizeof(own->addrs[0]));
    m->own_count = own->count;
    for (size_t i = 0; i < m->link_count; i++)
        announce(&m->links[i], soon(now_ns, jitter));
}

/* ---- what is heard ---- */

static void take_answer(struct mdns *m, const struct multicast_datagram *datagram, uint64_t now_ns)
{
    struct mdns_answer answer;
    struct multiaddr addr;
    struct peer_id peer;
    enum err err = mdns_answer_init(&answer, span_of(datagram->bytes, datagram->len));
    m->counters.answers_heard++;
    while (err == ERR_OK && (err = mdns_answer_next(&answer, &m->names, &addr, &peer)) == ERR_OK) {
        struct net_addr at;
        struct span plain = multiaddr_without_peer(multiaddr_span(&addr));
        if (peer_id_equal(&peer, &m->self))
            continue;
        if (is_for_neighbours(plain, &at) && is_on_link(m, datagram->link, &at))
            neighbours_note(m->neighbours, &peer, plain, &datagram->from, now_ns);
        else
            m->counters.foreign++;
    }
    if (err != ERR_NOT_FOUND)
        m->counters.unusable++;
}

static void take_question(struct mdns *m, const struct multicast_datagram *datagram, uint64_t now_ns, uint64_t jitter)
{
    struct mdns_asked asked;
    struct mdns_link *link = find_link(m, datagram->link, datagram->from.family);
    m->counters.questions_heard++;
    if (mdns_read_query(&m->names, span_of(datagram->bytes, datagram->len), &asked) != ERR_OK) {
        m->counters.unusable++;
        return;
    }
    if (link == NULL || !(asked.peers || asked.services || asked.records))
        return;
    announce(link, soon(now_ns, jitter));
    link->asked.services = link->asked.services || asked.services;
    link->asked.records = link->asked.records || asked.records;
}

void mdns_feed(struct mdns *m, const struct multicast_datagram *datagram, uint64_t now_ns, uint64_t jitter)
{
    bool is_answer;
    if (mdns_is_answer(span_of(datagram->bytes, datagram->len), &is_answer) != ERR_OK)
        m->counters.unusable++;
    else if (is_answer)
        take_answer(m, datagram, now_ns);
    else
        take_question(m, datagram, now_ns, jitter);
}

/* ---- what is said ---- */

static enum err write_answer(struct mdns *m, const struct mdns_link *link, struct buf *to)
{
    struct span addrs[MDNS_OWN_MAX];
    size_t count = 0;
    for (size_t i = 0; i < m->own_count; i++) {
        struct net_addr at;
        struct span addr = span_of(m->own[i].bytes, m->own[i].len);
        if (is_for_neighbours(addr, &at) && is_on_link(m, link->link, &at))
            addrs[count++] = addr;
    }
    return mdns_write_answer(&m->names, &link->asked, &m->self, addrs, count, to);
}

static bool answer_now(struct mdns *m, struct mdns_link *link, uint64_t now_ns, struct buf *to)
{
    enum err err = write_answer(m, link, to);
    link->answer_at_ns = UINT64_MAX;
    link->asked = (struct mdns_asked){0};
    if (err != ERR_OK)
        return false;
    link->answered_ns = now_ns;
    m->counters.answers_sent++;
    return true;
}

static bool ask_now(struct mdns *m, struct mdns_link *link, uint64_t now_ns, uint64_t jitter, struct buf *to)
{
    link->ask_at_ns = now_ns + link->ask_pause_ns + jitter % (link->ask_pause_ns / 8);
    link->ask_pause_ns = MIN(link->ask_pause_ns * 2, MDNS_ASK_MAX_MS * MS_NS);
    announce(link, soon(now_ns, jitter));
    if (mdns_write_query(&m->names, to) != ERR_OK)
        return false;
    m->counters.questions_sent++;
    return true;
}

bool mdns_next(struct mdns *m, uint64_t now_ns, uint64_t jitter, struct buf *to, struct mdns_send *ret_send)
{
    for (size_t i = 0; i < m->link_count; i++) {
        struct mdns_link *link = &m->links[i];
        *ret_send = (struct mdns_send){.link = link->link, .family = link->family};
        if (link->ask_at_ns <= now_ns && ask_now(m, link, now_ns, jitter, to))
            return true;
        if (link->answer_at_ns <= now_ns && answer_now(m, link, now_ns, to))
            return true;
        buf_clear(to);
    }
    return false;
}

uint64_t mdns_due(const struct mdns *m)
{
    uint64_t at = UINT64_MAX;
    for (size_t i = 0; i < m->link_count; i++)
        at = MIN(at, MIN(m->links[i].ask_at_ns, m->links[i].answer_at_ns));
    return at;
}
