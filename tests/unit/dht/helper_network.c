/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dht/responder.h"
#include "tests/support/bytes.h"
#include "tests/unit/dht/helper_network.h"
#include "wire/addr_list.h"
#include "wire/multiaddr.h"
#include "wire/varint.h"

enum { SYBIL_PROVIDERS = 40, DIAL_TIMEOUT_MS = 5000, DEADLINE_MS = 60000 };

static struct peer_id random_id(struct prng *prng)
{
    uint8_t bytes[34] = {0x12, 0x20};
    struct peer_id id;
    for (size_t i = 2; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)prng_next(prng);
    assert_ok(peer_id_parse(span_of(bytes, sizeof(bytes)), &id));
    return id;
}

static void add_ip(struct buf *list, unsigned a, unsigned b, unsigned c, unsigned d)
{
    uint8_t ip[4] = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d};
    struct multiaddr addr = multiaddr_of_tcp(span_of(ip, sizeof(ip)), 4001);
    assert_ok(addr_list_add(list, multiaddr_span(&addr)));
}

/* 60.0.0.0 to 65.255.255.255: 1,536 networks that are neither private nor one owner's whole /8. */
static void add_random_ip(struct buf *list, struct prng *prng)
{
    add_ip(list, 60 + (unsigned)prng_below(prng, 6), (unsigned)prng_below(prng, 256), (unsigned)prng_below(prng, 256),
           1);
}

void network_init(struct network *n, size_t count, unsigned dead_percent, unsigned silent_percent, uint64_t seed)
{
    *n = (struct network){.count = count};
    prng_init(&n->prng, seed);
    n->nodes = calloc(count, sizeof(*n->nodes));
    assert_non_null(n->nodes);
    table_init(&n->by_id, count, NULL);
    for (size_t i = 0; i < count; i++) {
        struct node *node = &n->nodes[i];
        unsigned dice = (unsigned)prng_below(&n->prng, 100);
        node->kind = dice < dead_percent ? NODE_DEAD : dice < dead_percent + silent_percent ? NODE_SILENT : NODE_GOOD;
        node->id = random_id(&n->prng);
        node->key = kad_key_of_peer(&node->id);
        buf_init(&node->addrs, 1024, NULL);
        add_random_ip(&node->addrs, &n->prng);
    }
}

void network_release(struct network *n)
{
    for (size_t i = 0; i < n->count; i++) {
        routing_table_release(&n->nodes[i].table);
        buf_release(&n->nodes[i].addrs);
    }
    table_release(&n->by_id);
    free(n->nodes);
}

void network_plant(struct network *n, size_t count, const struct kad_key *target, unsigned bits)
{
    for (size_t i = 0; i < count; i++) {
        struct node *node = &n->nodes[n->count - 1 - i];
        node->kind = NODE_SYBIL;
        do {
            node->id = random_id(&n->prng);
            node->key = kad_key_of_peer(&node->id);
        } while (kad_key_common_prefix(&node->key, target) < bits);
        buf_clear(&node->addrs);
        add_ip(&node->addrs, 66, 7, 8, (unsigned)i);
        if (n->lies == SYBIL_SCATTERED)
            add_random_ip(&node->addrs, &n->prng);
    }
}

static struct span seen_at(const struct node *node)
{
    struct span rest = buf_span(&node->addrs), addr;
    assert_true(addr_list_next(&rest, &addr));
    return addr;
}

void network_meet(struct network *n)
{
    size_t *order = calloc(n->count, sizeof(*order));
    assert_non_null(order);
    for (size_t i = 0; i < n->count; i++) {
        order[i] = i;
        void *old = NULL;
        assert_ok(table_put(&n->by_id, peer_id_span(&n->nodes[i].id), &n->nodes[i], &old));
    }
    for (size_t i = 0; i < n->count; i++) {
        struct node *node = &n->nodes[i];
        routing_table_init(&node->table, &node->id, true, ROUTING_GRACE_MS, NULL);
        for (size_t left = n->count; left > 0; left--) {
            size_t at = (size_t)prng_below(&n->prng, left);
            struct node *other = &n->nodes[order[at]];
            size_t swapped = order[at];
            order[at] = order[left - 1];
            order[left - 1] = swapped;
            if (routing_table_add(&node->table, &other->id, seen_at(other), buf_span(&other->addrs), true, 1) ==
                ERR_NOMEM)
                fail();
        }
    }
    free(order);
}

size_t network_closest(struct network *n, const struct kad_key *target, struct node **ret_nodes, size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < n->count; i++) {
        struct node *node = &n->nodes[i];
        if (node->kind != NODE_GOOD)
            continue;
        size_t at = count;
        while (at > 0 && kad_key_closer(target, &node->key, &ret_nodes[at - 1]->key) < 0)
            at--;
        if (at >= max)
            continue;
        count = MIN(count + 1, max);
        memmove(ret_nodes + at + 1, ret_nodes + at, (count - 1 - at) * sizeof(*ret_nodes));
        ret_nodes[at] = node;
    }
    return count;
}

struct node *network_find(const struct network *n, const struct peer_id *id)
{
    return table_get(&n->by_id, peer_id_span(id));
}

struct node *network_pick(struct network *n)
{
    for (;;) {
        struct node *node = &n->nodes[prng_below(&n->prng, n->count)];
        if (node->kind == NODE_GOOD)
            return node;
    }
}

struct lookup *network_lookup(struct network *n, const struct node *node, enum kad_type type, struct span key,
                              size_t providers)
{
    (void)n;
    struct lookup_params params = {.key = key,
                                   .type = type,
                                   .scope = ADDR_SCOPE_WAN,
                                   .diverse = true,
                                   .follow_up = true,
                                   .providers = providers,
                                   .deadline_ms = DEADLINE_MS,
                                   .own = node->id};
    struct lookup *lookup = NULL;
    const struct routing_peer *seeds[KAD_K];
    assert_ok(lookup_new(&params, NULL, &lookup));
    size_t count = routing_table_closest(&node->table, lookup_target(lookup), seeds, KAD_K);
    for (size_t i = 0; i < count; i++)
        lookup_seed(lookup, &seeds[i]->id, routing_peer_addrs(seeds[i]));
    return lookup;
}

/* ---- answers ---- */

static void answer_as_sybil(struct network *n, enum kad_type type, struct span key, struct kad_writer *w)
{
    struct buf slander;
    buf_init(&slander, 64, NULL);
    add_ip(&slander, 66, 7, 8, 200);
    kad_writer_begin(w, type, key);
    for (size_t i = 0; n->lies == SYBIL_DEFAMING && i < KAD_K; i++)
        (void)kad_writer_peer(w, KAD_CLOSER, &n->closest[i]->id, buf_span(&slander), KAD_NOT_CONNECTED, 0);
    for (size_t i = 0; i < n->count; i++) {
        if (n->nodes[i].kind == NODE_SYBIL)
            (void)kad_writer_peer(w, KAD_CLOSER, &n->nodes[i].id, buf_span(&n->nodes[i].addrs), KAD_NOT_CONNECTED, 0);
    }
    for (size_t i = 0; type == KAD_GET_PROVIDERS && i < SYBIL_PROVIDERS; i++) {
        struct peer_id invented = random_id(&n->prng);
        (void)kad_writer_peer(w, KAD_PROVIDERS, &invented, buf_span(&slander), KAD_NOT_CONNECTED, 0);
    }
    buf_release(&slander);
}

/* Appends the framed answer of a node. */
static void answer_of(struct network *n, const struct node *node, const struct node *asker, enum kad_type type,
                      struct span key, struct buf *out)
{
    struct kad_writer w;
    kad_writer_init(&w, NULL);
    if (node->kind == NODE_SYBIL) {
        answer_as_sybil(n, type, key, &w);
        assert_ok(kad_writer_finish(&w, out));
    } else {
        struct responder_request request = {.type = type, .key = key, .sender = asker->id};
        struct responder_peer provider = {0};
        struct responder_results results = {0};
        if (node->provider != NULL) {
            provider = (struct responder_peer){.id = &node->provider->id, .addrs = buf_span(&node->provider->addrs)};
            results = (struct responder_results){.providers = &provider, .provider_count = 1};
        }
        assert_ok(responder_answer(&node->table, &request, ADDR_SCOPE_WAN, &results, &w, out));
    }
    kad_writer_release(&w);
}

static void deliver(struct network *n, const struct node *node, const struct node *asker, struct lookup *lookup,
                    uint64_t now)
{
    struct buf out;
    struct kad_message message;
    uint64_t len = 0;
    buf_init(&out, 32 * KIB, NULL);
    answer_of(n, node, asker, lookup_type(lookup), lookup_key(lookup), &out);
    struct span body = buf_span(&out);
    assert_ok(varint_decode(&body, &len));
    assert_ok(kad_parse(body, false, &message));
    lookup_seen_at(lookup, &node->id, seen_at(node));
    (void)lookup_answered(lookup, &node->id, &message, now);
    buf_release(&out);
}

/* ---- time ---- */

struct flight {
    struct peer_id id;
    const struct node *node; /* NULL: fails */
    uint64_t due;
};

struct flights {
    struct flight items[4 * LOOKUP_IN_FLIGHT_MAX];
    size_t count;
};

/* What becomes of a query: a dial to a wrong address fails, three round trips for a new connection and its request succeed. */
static void send_query(struct network *n, const struct lookup_query *query, struct flights *flights, uint64_t now)
{
    const struct node *node = network_find(n, &query->id);
    bool right = node != NULL && addr_list_has(query->addrs, seen_at(node));
    if (right && node->kind == NODE_SILENT)
        return;
    struct flight flight = {.id = query->id, .node = node, .due = now + 3 * (20 + prng_below(&n->prng, 130))};
    if (!right || node->kind == NODE_DEAD) {
        flight.node = NULL;
        if (prng_below(&n->prng, 2) == 0)
            flight.due = now + DIAL_TIMEOUT_MS;
    }
    assert_true(flights->count < ARRAY_LEN(flights->items));
    flights->items[flights->count++] = flight;
}

static size_t earliest(const struct flights *flights)
{
    size_t first = 0;
    for (size_t i = 1; i < flights->count; i++) {
        if (flights->items[i].due < flights->items[first].due)
            first = i;
    }
    return first;
}

uint64_t network_play(struct network *n, const struct node *node, struct lookup *lookup)
{
    struct flights flights = {.count = 0};
    struct lookup_query query;
    uint64_t now = 0;
    for (size_t steps = 0; steps < 100000; steps++) {
        while (lookup_next(lookup, now, &query))
            send_query(n, &query, &flights, now);
        if (lookup_state(lookup) != LOOKUP_RUNNING)
            return now;
        uint64_t tick = MAX(lookup_next_tick(lookup), now);
        size_t first = earliest(&flights);
        if (flights.count == 0 || tick < flights.items[first].due) {
            now = tick;
            lookup_tick(lookup, now);
            continue;
        }
        struct flight flight = flights.items[first];
        flights.items[first] = flights.items[--flights.count];
        now = flight.due;
        if (flight.node == NULL)
            lookup_failed(lookup, &flight.id, now);
        else
            deliver(n, flight.node, node, lookup, now);
    }
    fail_msg("the lookup does not end");
    return 0;
}
