/* SPDX-License-Identifier: MIT */
/*
 * The DHT of whole discovery actors in one simulated network: who enters which table, what is provided is found, values, and peers that
 * do not keep to the rules (rows P11 to P13 of the attack list).
 */
#include "helper_intruder.h"

#include <stdlib.h>
#include <string.h>

#include "actors/discovery/dht.h"
#include "dht/kad_key.h"
#include "dht/provider_store.h"
#include "wire/addr_list.h"
#include "wire/kad.h"
#include "wire/multiaddr.h"
#include "wire/protobuf.h"

enum { MIDDLE = 0, SOURCE = 1, LATE = 2, HELD_MAX = 1 << 20 };

static const char content[] = "what is looked for";
static struct span block;

static void set(struct node *n, const char *key, const char *value)
{
    char why[CONFIG_WHY_BYTES];
    assert_int_equal(config_set(n->config, key, span_text(value), why), ERR_OK);
}

static void on_lan(struct node *n)
{
    n->discovers = true;
    set(n, "Discovery.MDNS.Enabled", "false");
    set(n, "Routing.Type", "auto");
}

/* Addresses of the world, each of another network. */
static void on_wan(struct node *n)
{
    on_lan(n);
    n->ip = (struct net_addr){.family = NET_IP4, .ip = {(uint8_t)(80 + n->index), 40, 1, 1}};
}

static void servers_on_wan(struct node *n)
{
    on_wan(n);
    set(n, "Routing.Type", "dhtserver");
}

static void one_is_on_wan(struct node *n)
{
    on_lan(n);
    if (n->index == MIDDLE)
        on_wan(n);
}

static void clients_late(struct node *n)
{
    on_lan(n);
    if (n->index == LATE)
        set(n, "Routing.Type", "dhtclient");
}

static void all_connect_to_the_middle(unsigned count)
{
    block = span_of(content, sizeof(content));
    for (unsigned i = 1; i < count; i++)
        assert_int_equal(node_connect(i, MIDDLE), ERR_OK);
    nodes_pass_ms(5000);
}

static uint64_t in_tables(unsigned n)
{
    assert_int_equal(node_do(n, (struct command){.kind = CMD_DHT}), ERR_OK);
    return nodes[n].rows;
}

static uint64_t providers(unsigned n)
{
    assert_int_equal(node_do(n, (struct command){.kind = CMD_PROVIDERS, .payload = block, .count = 5}), ERR_OK);
    return nodes[n].rows;
}

static void what_is_provided_is_found(void **state)
{
    (void)state;
    nodes_begin(6, SIM, 61, on_lan);
    all_connect_to_the_middle(6);
    assert_true(in_tables(MIDDLE) == 5);
    assert_int_equal(nodes[MIDDLE].server, 2);
    assert_int_equal(providers(LATE), 0);
    assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    assert_true(nodes[SOURCE].rows >= 1);
    nodes_pass_ms(1000);
    for (unsigned i = 2; i < 6; i++) {
        uint64_t began = sim_now(nodes_sim);
        assert_int_equal(providers(i), 1);
        assert_int_equal(nodes[i].found, 1U << SOURCE);
        assert_true(sim_now(nodes_sim) - began < 2 * SECOND_NS);
    }
    assert_int_equal(node_do(LATE, (struct command){.kind = CMD_FIND_PEER, .target = SOURCE}), ERR_OK);
    nodes_end();
}

/* connection_manager, which has no room for what lookups dial before a time. */
static uint64_t full_until_ns;

static enum err full_call(struct ctx *ctx, void *state, const struct msg *msg, struct reply_to call)
{
    const struct msg_peer_connect *fields = msg->fields;
    if (msg->kind == MSG_PEER_CONNECT && fields->needed && ctx_now(ctx) < full_until_ns)
        return ERR_BUSY;
    return connection_manager_class.handle_call(ctx, state, msg, call);
}

static void full_late(struct node *n)
{
    static struct actor_class manager;
    manager = connection_manager_class;
    manager.handle_call = full_call;
    n->manager = n->index == LATE ? &manager : NULL;
    clients_late(n); /* nobody dials a client */
}

/* How many are told when there is no room for dials for so long. */
static uint64_t told_without_room(uint64_t ms)
{
    full_until_ns = UINT64_MAX;
    nodes_begin(6, SIM, 63, full_late);
    all_connect_to_the_middle(6);
    full_until_ns = sim_now(nodes_sim) + ms * MS_NS;
    assert_int_equal(node_do(LATE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    uint64_t told = nodes[LATE].rows;
    nodes_end();
    return told;
}

static void a_dial_waits_for_room(void **state)
{
    (void)state;
    assert_int_equal(told_without_room(0), 5);
    assert_int_equal(told_without_room(DHT_DIAL_ROOM_MS - 1000), 5);
    assert_in_range(told_without_room(60000), 1, 4); /* not for ever */
}

static uint64_t asked;

static void take_asked(struct node *n, const struct msg *answer)
{
    const struct msg_providers *fields = answer->fields;
    atomic_store(&n->rows, fields->providers.count);
    asked = fields->asked;
}

static uint64_t some_providers(unsigned n, uint64_t count, uint64_t stream)
{
    const struct command find = {
        .kind = CMD_PROVIDERS, .payload = block, .count = count, .bytes = stream, .take = take_asked};
    assert_int_equal(node_do(n, find), ERR_OK);
    return nodes[n].rows;
}

/* As many as are wanted, and nobody is asked for what the own store has. The node itself is no answer to its own session. */
static void what_is_known_here_is_not_asked_for(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 76, on_lan);
    all_connect_to_the_middle(4);
    assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    nodes_pass_ms(1000);
    (void)some_providers(SOURCE, 1, 7);
    assert_true(asked > 0);
    assert_int_equal(node_do(LATE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    nodes_pass_ms(1000);
    assert_int_equal(some_providers(MIDDLE, 2, 0), 2);
    assert_int_equal(asked, 0);
    assert_int_equal(some_providers(MIDDLE, 1, 0), 1);
    assert_int_equal(asked, 0);
    assert_int_equal(some_providers(MIDDLE, 3, 0), 2);
    assert_true(asked > 0);
    nodes_end();
}

/* Until somebody has come to it from outside, a node with a public address does not know that it can be reached there. */
static void who_is_dialled_serves_the_public_dht(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 74, on_wan);
    nodes_pass_ms(30000);
    for (unsigned i = 0; i < 3; i++) {
        (void)in_tables(i);
        assert_int_equal(nodes[i].server, 2);
    }
    assert_int_equal(node_connect(SOURCE, MIDDLE), ERR_OK);
    nodes_pass_ms(15000);
    assert_int_equal(in_tables(SOURCE), 1);
    assert_int_equal(nodes[SOURCE].server, 2);
    assert_int_equal(in_tables(MIDDLE), 0);
    assert_int_equal(nodes[MIDDLE].server, 3);
    assert_int_equal(node_connect(LATE, SOURCE), ERR_OK);
    nodes_pass_ms(15000);
    assert_int_equal(in_tables(MIDDLE), 1);
    (void)in_tables(SOURCE);
    assert_int_equal(nodes[SOURCE].server, 3);
    nodes_end();
}

/* A public address behind which one from the local network calls. */
static void a_neighbour_proves_nothing(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 75, one_is_on_wan);
    assert_int_equal(node_connect(SOURCE, MIDDLE), ERR_OK);
    nodes_pass_ms(30000);
    (void)in_tables(MIDDLE);
    assert_int_equal(nodes[MIDDLE].server, 2);
    nodes_end();
}

static void tell_reachability(unsigned n, uint64_t status)
{
    struct msg_reachability fields = {.status = status};
    struct msg msg = {.kind = MSG_REACHABILITY, .fields = &fields};
    assert_int_equal(node_do(n, (struct command){.kind = CMD_TELL, .msg = &msg, .to = ACTOR_DISCOVERY}), ERR_OK);
    nodes_pass_ms(1000);
    (void)in_tables(n);
}

/* It outweighs visits, both ways, and needs an address that is public. */
static void who_autonat_found_reachable_serves_the_public_dht(void **state)
{
    (void)state;
    enum { NOT_KNOWN, YES, NO };
    nodes_begin(2, SIM, 77, on_wan);
    nodes_pass_ms(15000);
    tell_reachability(MIDDLE, NOT_KNOWN);
    assert_int_equal(nodes[MIDDLE].server, 2);
    tell_reachability(MIDDLE, YES);
    assert_int_equal(nodes[MIDDLE].server, 3);
    tell_reachability(MIDDLE, NO);
    assert_int_equal(nodes[MIDDLE].server, 2);
    assert_int_equal(node_connect(SOURCE, MIDDLE), ERR_OK);
    nodes_pass_ms(15000);
    (void)in_tables(MIDDLE);
    assert_int_equal(nodes[MIDDLE].server, 3);
    tell_reachability(MIDDLE, NO);
    assert_int_equal(nodes[MIDDLE].server, 2);
    nodes_end();
    nodes_begin(1, SIM, 78, on_lan);
    nodes_pass_ms(15000);
    tell_reachability(MIDDLE, YES);
    assert_int_equal(nodes[MIDDLE].server, 2);
    nodes_end();
}

static void the_public_dht_takes_public_peers(void **state)
{
    (void)state;
    nodes_begin(4, SIM, 62, servers_on_wan);
    all_connect_to_the_middle(4);
    nodes_pass_ms(30000);
    assert_true(in_tables(MIDDLE) >= 2);
    assert_int_equal(nodes[MIDDLE].server, 3);
    assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    nodes_pass_ms(1000);
    assert_int_equal(providers(LATE), 1);
    assert_int_equal(nodes[LATE].found, 1U << SOURCE);
    nodes_end();
}

/* A client asks, and is in nobody's table; nobody's stream is answered by it. */
static void clients_are_in_no_table(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 63, clients_late);
    all_connect_to_the_middle(3);
    assert_int_equal(in_tables(MIDDLE), 1);
    assert_true(in_tables(LATE) >= 1);
    assert_int_equal(nodes[LATE].server, 0);
    assert_int_equal(node_do(LATE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    nodes_pass_ms(1000);
    assert_int_equal(providers(SOURCE), 1);
    assert_int_equal(nodes[SOURCE].found, 1U << LATE);
    nodes_end();
}

static void values_follow_the_rules_of_their_namespace(void **state)
{
    (void)state;
    nodes_begin(3, SIM, 64, on_lan);
    all_connect_to_the_middle(3);
    struct command put = {.kind = CMD_ROUTE_PUT, .target = SOURCE, .payload = key_pair_public(nodes[SOURCE].key)};
    struct command get = put;
    struct command lie = {.kind = CMD_ROUTE_PUT, .target = SOURCE, .payload = key_pair_public(nodes[MIDDLE].key)};
    get.kind = CMD_ROUTE_GET;
    assert_int_equal(node_do(LATE, get), ERR_NOT_FOUND);
    assert_int_equal(node_do(SOURCE, lie), ERR_INVALID);
    assert_int_equal(node_do(SOURCE, put), ERR_OK);
    assert_true(nodes[SOURCE].rows >= 1);
    uint64_t began = sim_now(nodes_sim);
    assert_int_equal(node_do(LATE, get), ERR_OK);
    uint64_t all_asked = sim_now(nodes_sim) - began;
    get.count = 1; /* which LATE holds itself */
    began = sim_now(nodes_sim);
    assert_int_equal(node_do(LATE, get), ERR_OK);
    assert_true(sim_now(nodes_sim) - began < all_asked);
    nodes_end();
}

/* Nobody is known: the calls end at once, with a reason. */
static void alone_it_fails_at_once(void **state)
{
    (void)state;
    nodes_begin(2, SIM, 65, on_lan);
    uint64_t began = sim_now(nodes_sim);
    block = span_of(content, sizeof(content));
    assert_int_equal(providers(0), 0);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_FIND_PEER, .target = 1}), ERR_NOT_FOUND);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_UNREACHABLE);
    assert_true(sim_now(nodes_sim) - began < SECOND_NS);
    nodes_end();
}

/* ---- trimming ---- */

static void one_keeps_few(struct node *n)
{
    on_lan(n);
    if (n->index != MIDDLE)
        return;
    set(n, "Swarm.ConnMgr.LowWater", "3");
    set(n, "Swarm.ConnMgr.HighWater", "6");
    set(n, "Swarm.ConnMgr.GracePeriod", "25s");
}

static unsigned shared_bits(unsigned a, unsigned b)
{
    struct kad_key left = kad_key_of_peer(&nodes[a].id);
    struct kad_key right = kad_key_of_peer(&nodes[b].id);
    return kad_key_common_prefix(&left, &right);
}

/* Whoever is nearest to us in the key space is hardest to replace. */
static void the_nearest_of_the_table_are_kept(void **state)
{
    (void)state;
    enum { LAST = 7 };
    nodes_begin(LAST + 1, SIM, 76, one_keeps_few);
    block = span_of(content, sizeof(content));
    for (unsigned bits = 256;
         bits-- > 0;) /* the nearest first: they are silent longest, and would go without the tags */
        for (unsigned i = 1; i < LAST; i++)
            if (shared_bits(MIDDLE, i) == bits)
                assert_int_equal(node_connect(i, MIDDLE), ERR_OK);
    nodes_pass_ms(30000);
    assert_int_equal(nodes[MIDDLE].downs, 0);
    assert_int_equal(node_connect(LAST, MIDDLE), ERR_OK); /* one too many, when any of the others may go */
    for (int i = 0; i < 60 && nodes[MIDDLE].downs == 0; i++)
        nodes_pass_ms(500); /* before those who went come again, who are young then and not trimmed */
    unsigned least_kept = 256;
    unsigned most_gone = 0;
    unsigned gone = 0;
    for (unsigned i = 1; i < LAST; i++) {
        unsigned bits = shared_bits(MIDDLE, i);
        gone += nodes[i].downs > 0;
        if (nodes[i].downs > 0)
            most_gone = MAX(most_gone, bits);
        else
            least_kept = MIN(least_kept, bits);
    }
    assert_true(gone == 4);
    assert_true(least_kept > most_gone);
    nodes_end();
}

/* ---- peers that break the rules ---- */

static struct intruder *intruder;
static uint64_t tables_at_rest;

static void begin_with_intruder(uint64_t seed)
{
    nodes_begin(2, SIM, seed, on_lan);
    block = span_of(content, sizeof(content));
    nodes_pass_ms(2000);
    tables_at_rest = account_used(&nodes[0].budget.accounts[ACCOUNT_TABLES]);
    intruder = intruder_new(18, 9, 1);
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
}

static void end_with_intruder(void)
{
    uint64_t began = sim_now(nodes_sim);
    assert_true(account_used(&nodes[0].budget.accounts[ACCOUNT_TABLES]) < tables_at_rest + HELD_MAX);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    assert_int_equal(node_do(1, (struct command){.kind = CMD_PING, .target = 0, .count = 1}), ERR_OK);
    assert_true(sim_now(nodes_sim) - began < 2 * SECOND_NS);
    intruder_free(intruder);
    nodes_end();
}

static void add_provider(struct buf *out, struct span key, const struct peer_id *provider)
{
    struct kad_writer w;
    struct buf addrs;
    const uint8_t ip[4] = {10, 1, 2, 3};
    struct multiaddr addr = multiaddr_of_tcp(span_of(ip, 4), 4001);
    kad_writer_init(&w, NULL);
    buf_init(&addrs, 256, NULL);
    assert_int_equal(addr_list_add(&addrs, multiaddr_span(&addr)), ERR_OK);
    kad_writer_begin(&w, KAD_ADD_PROVIDER, key);
    assert_true(kad_writer_peer(&w, KAD_PROVIDERS, provider, buf_span(&addrs), KAD_CONNECTED, 0));
    assert_int_equal(kad_writer_finish(&w, out), ERR_OK);
    buf_release(&addrs);
    kad_writer_release(&w);
}

static struct span key_of_block(uint8_t to[MULTIHASH_BYTES_MAX])
{
    struct cid cid = nodes_cid_of(block);
    return span_of(to, multihash_encode(&cid.hash, to));
}

static struct peer_id id_of(const struct intruder *i)
{
    return key_pair_peer_id(i->key);
}

static void p11_a_foreign_provider_is_not_believed(void **state)
{
    (void)state;
    uint8_t hash[MULTIHASH_BYTES_MAX];
    struct buf out;
    begin_with_intruder(66);
    buf_init(&out, 64 * 1024, NULL);
    add_provider(&out, key_of_block(hash), &nodes[1].id);
    intruder_open(intruder, 1, KAD_LAN_PROTOCOL, buf_span(&out));
    nodes_pass_ms(500);
    assert_int_equal(providers(0), 0);
    struct peer_id own = id_of(intruder);
    buf_clear(&out);
    add_provider(&out, key_of_block(hash), &own);
    intruder_frame(intruder, FRAME_DATA, 0, 1, (uint32_t)out.len, buf_span(&out));
    nodes_pass_ms(500);
    assert_int_equal(providers(0), 1);
    buf_release(&out);
    end_with_intruder();
}

/* Its records eat each other, in memory that is there from the start. */
static void p11_keys_without_end_from_one_peer(void **state)
{
    (void)state;
    enum { KEYS = 20000, BATCH = 200 };
    struct buf out;
    begin_with_intruder(67);
    struct peer_id own = id_of(intruder);
    buf_init(&out, 1 << 20, NULL);
    for (uint32_t i = 0; i < KEYS; i++) {
        uint8_t key[34] = {0x12, 0x20};
        memcpy(key + 2, &i, sizeof(i));
        add_provider(&out, span_of(key, sizeof(key)), &own);
        if (i % BATCH != BATCH - 1)
            continue;
        if (i < BATCH)
            intruder_open(intruder, 1, KAD_LAN_PROTOCOL, buf_span(&out));
        else
            intruder_frame(intruder, FRAME_DATA, 0, 1, (uint32_t)out.len, buf_span(&out));
        buf_clear(&out);
        nodes_pass_ms(110); /* at the rate that one peer has */
    }
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 1, NULL), 0);
    buf_release(&out);
    end_with_intruder();
}

/* One that asks faster than its rate waits: nothing is lost, and nobody else waits. */
static void a_flood_of_requests_waits(void **state)
{
    (void)state;
    enum { REQUESTS = 6000 };
    struct kad_writer w;
    struct buf out;
    begin_with_intruder(68);
    buf_init(&out, 1 << 20, NULL);
    kad_writer_init(&w, NULL);
    for (int i = 0; i < REQUESTS; i++) {
        kad_writer_begin(&w, KAD_PING, (struct span){0});
        assert_int_equal(kad_writer_finish(&w, &out), ERR_OK);
    }
    intruder_open(intruder, 1, KAD_LAN_PROTOCOL, buf_span(&out));
    nodes_pass_ms(100);
    assert_int_equal(node_connect(1, 0), ERR_OK);
    nodes_pass_ms(5000);
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 1, NULL), 0);
    kad_writer_release(&w);
    buf_release(&out);
    end_with_intruder();
}

static void what_is_no_request_resets_the_stream(void **state)
{
    (void)state;
    static const uint8_t noise[] = {4, 0x08, 0x7f, 0x52, 0xff};
    static const uint8_t long_one[] = {0xff, 0xff, 0x7f};
    begin_with_intruder(69);
    intruder_open(intruder, 1, KAD_LAN_PROTOCOL, span_of(noise, sizeof(noise)));
    intruder_open(intruder, 3, KAD_LAN_PROTOCOL, span_of(long_one, sizeof(long_one)));
    intruder_open(intruder, 5, KAD_LAN_PROTOCOL, (struct span){0});
    nodes_pass_ms(1000);
    assert_true(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 1, NULL) > 0);
    assert_true(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 3, NULL) > 0);
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 5, NULL), 0);
    for (int i = 0; i < 13; i++) { /* the quiet one, on a connection that lives */
        uint32_t value = 0;
        nodes_pass_ms(5000);
        if (intruder_frames(intruder, FRAME_PING, FLAG_SYN, 0, &value) > 0)
            intruder_frame(intruder, FRAME_PING, FLAG_ACK, 0, value, (struct span){0});
    }
    assert_true(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 5, NULL) > 0);
    end_with_intruder();
}

static void streams_of_one_peer_are_bounded(void **state)
{
    (void)state;
    begin_with_intruder(70);
    for (uint32_t id = 1; id < 100; id += 2)
        intruder_open(intruder, id, KAD_LAN_PROTOCOL, (struct span){0});
    nodes_pass_ms(1000);
    unsigned reset = 0;
    for (uint32_t id = 1; id < 100; id += 2)
        reset += intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, id, NULL) > 0;
    assert_int_equal(reset, 50 - 16);
    end_with_intruder();
}

enum { SEEKER = 0, LIAR = 1, HONEST = 2, HOLDER = 3 };

static void one_is_a_probe(struct node *n)
{
    on_lan(n);
    n->discovers = n->index != LIAR;
}

static void make_long_answer(struct buf *framed)
{
    enum { PEERS = 50000 };
    struct buf body;
    uint8_t length[10];
    size_t len = 0;
    buf_init(&body, 4 << 20, NULL);
    assert_int_equal(protobuf_put_varint(&body, 1, KAD_GET_PROVIDERS), ERR_OK);
    for (uint32_t i = 0; i < PEERS; i++) {
        uint8_t peer[36] = {0x0a, 34, 0x12, 0x20};
        memcpy(peer + 4, &i, sizeof(i));
        assert_int_equal(protobuf_put_bytes(&body, KAD_CLOSER, span_of(peer, sizeof(peer))), ERR_OK);
    }
    for (size_t left = body.len; left > 0; left >>= 7)
        length[len++] = (uint8_t)(left & 0x7f) | (left > 0x7f ? 0x80 : 0);
    assert_int_equal(buf_append(framed, length, len), ERR_OK);
    assert_int_equal(buf_append_span(framed, buf_span(&body)), ERR_OK);
    buf_release(&body);
}

/* 50,000 closer peers in one answer: 40 are looked at, and the search goes on with those who are honest. */
static void p12_an_answer_of_fifty_thousand_peers(void **state)
{
    (void)state;
    struct buf answer;
    nodes_begin(4, SIM, 71, one_is_a_probe);
    block = span_of(content, sizeof(content));
    buf_init(&answer, (4 << 20) + 8, NULL);
    make_long_answer(&answer);
    nodes[LIAR].answer = buf_span(&answer);
    assert_int_equal(node_do(LIAR, (struct command){.kind = CMD_SERVE, .protocol = KAD_LAN_PROTOCOL}), ERR_OK);
    assert_int_equal(node_connect(HONEST, HOLDER), ERR_OK);
    nodes_pass_ms(5000);
    assert_int_equal(node_do(HONEST, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    assert_int_equal(node_connect(SEEKER, HOLDER), ERR_OK);
    assert_int_equal(node_connect(SEEKER, LIAR), ERR_OK);
    nodes_pass_ms(300);
    assert_int_equal(in_tables(SEEKER), 2);
    uint64_t at_rest = account_used(&nodes[SEEKER].budget.accounts[ACCOUNT_TABLES]);
    uint64_t began = sim_now(nodes_sim);
    assert_int_equal(node_do(SEEKER, (struct command){.kind = CMD_PROVIDERS, .payload = block, .count = 1}), ERR_OK);
    assert_int_equal(nodes[SEEKER].found, 1U << HONEST);
    assert_true(sim_now(nodes_sim) - began < SECOND_NS);
    nodes_pass_ms(3000);
    uint64_t peak = atomic_load(&nodes[SEEKER].budget.accounts[ACCOUNT_TABLES].peak_bytes);
    assert_true(peak < at_rest + HELD_MAX);
    assert_true(in_tables(SEEKER) <= 3); /* none of those that were named */
    nodes[LIAR].answer = (struct span){0};
    nodes_end();
    buf_release(&answer);
}

/* Who answers something else than what it was asked has not answered, whatever its message says. */
static void an_answer_of_another_type_is_none(void **state)
{
    (void)state;
    static const enum kad_type types[] = {KAD_GET_PROVIDERS, KAD_FIND_NODE, KAD_PING};
    struct kad_writer w;
    struct buf addrs;
    struct buf answer;
    const uint8_t ip[4] = {10, 1, 2, 3};
    struct multiaddr addr = multiaddr_of_tcp(span_of(ip, 4), 4001);
    kad_writer_init(&w, NULL);
    buf_init(&addrs, 256, NULL);
    buf_init(&answer, 4096, NULL);
    assert_int_equal(addr_list_add(&addrs, multiaddr_span(&addr)), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        nodes_begin(4, SIM, 77 + i, one_is_a_probe);
        block = span_of(content, sizeof(content));
        buf_clear(&answer);
        kad_writer_begin(&w, types[i], (struct span){0});
        assert_true(kad_writer_peer(&w, KAD_PROVIDERS, &nodes[LIAR].id, buf_span(&addrs), KAD_CONNECTED, 0));
        assert_int_equal(kad_writer_finish(&w, &answer), ERR_OK);
        nodes[LIAR].answer = buf_span(&answer);
        assert_int_equal(node_do(LIAR, (struct command){.kind = CMD_SERVE, .protocol = KAD_LAN_PROTOCOL}), ERR_OK);
        assert_int_equal(node_connect(SEEKER, LIAR), ERR_OK);
        nodes_pass_ms(300);
        assert_int_equal(providers(SEEKER), types[i] == KAD_GET_PROVIDERS ? 1 : 0);
        nodes[LIAR].answer = (struct span){0};
        nodes_end();
    }
    kad_writer_release(&w);
    buf_release(&addrs);
    buf_release(&answer);
}

/* Records older than 48 h are not served. */
static void p13_expired_records_are_not_served(void **state)
{
    (void)state;
    uint8_t hash[MULTIHASH_BYTES_MAX];
    struct buf out;
    begin_with_intruder(72);
    struct peer_id own = id_of(intruder);
    buf_init(&out, 4096, NULL);
    add_provider(&out, key_of_block(hash), &own);
    intruder_open(intruder, 1, KAD_LAN_PROTOCOL, buf_span(&out));
    nodes_pass_ms(500);
    assert_int_equal(providers(0), 1);
    nodes_pass_ms(UINT64_C(47) * 3600 * 1000);
    assert_int_equal(providers(0), 1);
    nodes_pass_ms(UINT64_C(2) * 3600 * 1000);
    assert_int_equal(providers(0), 0);
    buf_release(&out);
    end_with_intruder();
}

static uint64_t trace_of_run(uint64_t seed)
{
    nodes_begin(4, SIM, seed, on_lan);
    all_connect_to_the_middle(4);
    assert_int_equal(node_do(SOURCE, (struct command){.kind = CMD_PROVIDE, .payload = block}), ERR_OK);
    assert_int_equal(providers(LATE), 1);
    uint64_t trace = nodes_trace();
    nodes_end();
    return trace;
}

static void a_seed_repeats(void **state)
{
    (void)state;
    uint64_t first = trace_of_run(73);
    assert_int_equal(trace_of_run(73), first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_provided_is_found),
        cmocka_unit_test(a_dial_waits_for_room),
        cmocka_unit_test(what_is_known_here_is_not_asked_for),
        cmocka_unit_test(who_is_dialled_serves_the_public_dht),
        cmocka_unit_test(a_neighbour_proves_nothing),
        cmocka_unit_test(who_autonat_found_reachable_serves_the_public_dht),
        cmocka_unit_test(the_public_dht_takes_public_peers),
        cmocka_unit_test(clients_are_in_no_table),
        cmocka_unit_test(values_follow_the_rules_of_their_namespace),
        cmocka_unit_test(alone_it_fails_at_once),
        cmocka_unit_test(the_nearest_of_the_table_are_kept),
        cmocka_unit_test(p11_a_foreign_provider_is_not_believed),
        cmocka_unit_test(p11_keys_without_end_from_one_peer),
        cmocka_unit_test(a_flood_of_requests_waits),
        cmocka_unit_test(what_is_no_request_resets_the_stream),
        cmocka_unit_test(streams_of_one_peer_are_bounded),
        cmocka_unit_test(p12_an_answer_of_fifty_thousand_peers),
        cmocka_unit_test(an_answer_of_another_type_is_none),
        cmocka_unit_test(p13_expired_records_are_not_served),
        cmocka_unit_test(a_seed_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
