/* SPDX-License-Identifier: MIT */
/*
 * How the DHTs hear of a page of keys, one DHT after the other. From the first key on that a DHT has not heard of:
 *
 *      few keys in the region around it      a lookup of the key itself; its closest peers are told
 *      many                                  the region is explored; all keys of the page in it, each to its closest peers
 *
 * A region stays known for half an hour, for the next page. A peer is told of all its keys one after the other on the one stream that the
 * DHT has to it; so many peers at a time, so many messages to each on their way. What goes wrong in a DHT ends the page for it:
 * keys that nobody was told of are not marked as provided.
 */
#include "actors/discovery/provide.h"

static struct dht_net *net_of(const struct provide *p, unsigned net)
{
    return &p->dht->nets[net];
}

static bool is_usable(const struct provide *p, unsigned net)
{
    return routing_table_len(&net_of(p, net)->table) > 0;
}

bool provide_tell_can(const struct provide *p)
{
    bool usable = false;
    for (unsigned net = 0; net < DHT_NET_COUNT; net++)
        usable = usable || is_usable(p, net);
    return usable && p->dht->own_addrs.len > 0;
}

/* ---- peers ---- */

static bool send_key(struct provide *p, struct provide_told *told, struct span multihash)
{
    struct dht_net *net = net_of(p, p->tell.net);
    enum err err = dht_frame_provider(net, multihash);
    if (err == ERR_OK)
        err = dht_ask(net, &told->id, (struct span){0}, KAD_ADD_PROVIDER, buf_span(&p->dht->out), PROVIDE_SEARCH);
    if (err == ERR_OK)
        told->waiting++;
    else if (err != ERR_BUSY || told->waiting == 0)
        told->failed = true;
    return err == ERR_OK;
}

/* Returns whether the peer is done with. */
static bool tell_peer(struct provide *p, struct provide_told *told)
{
    struct provide_batch *batch = p->tell.batch;
    struct span multihash;
    bool more = true;
    while (!told->failed && told->waiting < PROVIDE_KEYS_AT_ONCE) {
        uint32_t position = told->position;
        more = provide_batch_next_key(batch, told->peer, &position, &multihash);
        if (!more || !send_key(p, told, multihash))
            break;
        told->position = position;
        p->sweep.messages++;
    }
    if (told->waiting > 0 || (more && !told->failed))
        return false;
    provide_batch_told(batch, told->peer, told->failed ? 0 : told->position, !told->failed);
    told->used = false;
    p->tell.telling--;
    return true;
}

void provide_heard(struct provide *p, struct dht_net *net, const struct peer_id *peer, enum err err)
{
    struct provide_tell *t = &p->tell;
    for (size_t i = 0; i < PROVIDE_PEERS_AT_ONCE; i++) {
        struct provide_told *told = &t->told[i];
        if (!told->used || net->number != t->net || !peer_id_equal(&told->id, peer))
            continue;
        told->waiting -= told->waiting > 0;
        told->failed = told->failed || err != ERR_OK;
    }
}

static void begin_peers(struct provide *p)
{
    struct provide_tell *t = &p->tell;
    for (size_t i = 0; i < PROVIDE_PEERS_AT_ONCE; i++) {
        struct provide_told *told = &t->told[i];
        size_t peer;
        struct peer_id id;
        if (told->used || !provide_batch_next_peer(t->batch, &peer, &id))
            continue;
        *told = (struct provide_told){.used = true, .peer = peer, .id = id};
        t->telling++;
        p->sweep.streams++;
    }
}

/* ---- batches ---- */

static void make_batch(struct provide *p, const struct region_peer *peers, size_t count)
{
    struct provide_tell *t = &p->tell;
    const struct provide_region *region = &t->nets[t->net].region;
    provide_batch_clear(t->batch);
    for (t->end = t->at; t->end < p->page.count; t->end++) {
        const struct provide_key *key = &p->page.keys[t->end];
        bool here = t->single ? t->end == t->at : provide_region_contains(region, &key->key);
        if (!here)
            break;
        if (!key->gone && provide_batch_add(t->batch, span_of(key->multihash, key->len)) != ERR_OK)
            break;
    }
    provide_batch_assign(t->batch, peers, count);
    t->batched = true;
}

static void end_batch(struct provide *p)
{
    struct provide_tell *t = &p->tell;
    uint32_t number = 0;
    for (size_t i = t->at; i < t->end; i++) {
        struct provide_key *key = &p->page.keys[i];
        if (!key->gone)
            key->provided = provide_batch_is_provided(t->batch, number++) || key->provided;
    }
    t->batched = t->single = false;
    t->at = t->end;
}

/* True when all peers of the batch have been told. */
static bool run_batch(struct provide *p)
{
    struct provide_tell *t = &p->tell;
    bool moved = true;
    while (moved) {
        moved = false;
        begin_peers(p);
        for (size_t i = 0; i < PROVIDE_PEERS_AT_ONCE; i++)
            moved = (t->told[i].used && tell_peer(p, &t->told[i])) || moved;
    }
    return t->telling == 0;
}

/* ---- lookups ---- */

static bool look_up(struct provide *p, struct span key)
{
    struct dht_search *s;
    if (dht_search_new(p->dht, DHT_EXPLORE, key, NULL, &s) != ERR_OK)
        return false;
    p->tell.search = s->id;
    p->sweep.lookups++;
    dht_search_begin(s, net_of(p, p->tell.net));
    return true;
}

/* This DHT hears no more of the page. */
static void give_up(struct provide *p)
{
    struct provide_tell *t = &p->tell;
    t->exploring = t->single = false;
    t->nets[t->net].explored_ns = 0;
    t->at = p->page.count;
}

static size_t keys_around(const struct provide *p, unsigned bits)
{
    const struct kad_key *first = &p->page.keys[p->tell.at].key;
    size_t count = 0;
    for (size_t i = p->tell.at; i < p->page.count; i++)
        count += kad_key_common_prefix(first, &p->page.keys[i].key) >= bits;
    return count;
}

static void choose_way(struct provide *p)
{
    struct provide_tell *t = &p->tell;
    struct provide_net *net = &t->nets[t->net];
    const struct provide_key *key = &p->page.keys[t->at];
    unsigned bits = provide_region_bits(net->network);
    bool few = p->page.count - t->at < PROVIDE_SINGLE_KEYS && !p->page.more;
    if (bits != PROVIDE_REGION_BITS_UNKNOWN)
        few = keys_around(p, bits) < PROVIDE_SINGLE_KEYS;
    if (few) {
        t->single = true;
        if (!look_up(p, span_of(key->multihash, key->len)))
            give_up(p);
        return;
    }
    uint64_t seed;
    ctx_random(p->ctx, &seed, sizeof(seed));
    provide_region_init(&net->region, &key->key, bits, seed);
    net->explored_ns = 0;
    t->exploring = true;
}

static void explore(struct provide *p)
{
    struct provide_net *net = &p->tell.nets[p->tell.net];
    struct span target;
    if (provide_region_target(&net->region, &target)) {
        if (!look_up(p, target))
            give_up(p);
        return;
    }
    if (net->region.state != REGION_DONE) {
        give_up(p);
        return;
    }
    net->explored_ns = ctx_now(p->ctx) + 1;
    net->network = provide_region_density(&net->region);
    p->sweep.regions++;
    p->tell.exploring = false;
}

/* Peers that answered, unless so many did not that it says little of who is closest. */
static size_t found_peers(const struct provide *p, const struct dht_search *s, struct peer_id to[KAD_K])
{
    const struct lookup *l = s->lookups[p->tell.net];
    struct lookup_peer closest[KAD_K];
    struct lookup_stats stats;
    if (l == NULL)
        return 0;
    lookup_stats(l, &stats);
    bool whole = lookup_state(l) == LOOKUP_DONE || (lookup_state(l) == LOOKUP_STARVED && stats.failed == 0);
    size_t count = whole ? lookup_closest(l, closest, KAD_K) : 0;
    for (size_t i = 0; i < count; i++)
        to[i] = closest[i].id;
    return count;
}

void provide_tell_found(struct provide *p, struct dht_search *s)
{
    struct provide_tell *t = &p->tell;
    struct peer_id found[KAD_K];
    size_t count = found_peers(p, s, found);
    t->search = 0;
    if (count == 0) {
        give_up(p);
    } else if (t->single) {
        for (size_t i = 0; i < count; i++)
            t->closest[i] = (struct region_peer){.key = kad_key_of_peer(&found[i]), .id = found[i]};
        make_batch(p, t->closest, count);
    } else {
        provide_region_found(&t->nets[t->net].region, found, count);
    }
}

/* ---- a page ---- */

/* A lookup that is still on its way is another DHT's, or another page's: what it finds is for nobody. */
static void begin_net(struct provide *p, unsigned net)
{
    p->tell.net = net;
    p->tell.at = 0;
    p->tell.search = 0;
    p->tell.exploring = p->tell.single = false;
}

void provide_tell_begin(struct provide *p)
{
    begin_net(p, 0);
    p->tell.batched = false;
}

static bool knows_region(const struct provide *p)
{
    const struct provide_net *net = &p->tell.nets[p->tell.net];
    uint64_t life_s = net->region.peer_count < KAD_K ? PROVIDE_SMALL_LIFE_S : PROVIDE_REGION_LIFE_S;
    return net->explored_ns != 0 && ctx_now(p->ctx) < net->explored_ns + life_s * SECOND_NS &&
           provide_region_contains(&net->region, &p->page.keys[p->tell.at].key);
}

/* False: nothing can be done before something is heard. */
static bool step(struct provide *p)
{
    struct provide_tell *t = &p->tell;
    if (t->batched) {
        if (!run_batch(p))
            return false;
        end_batch(p);
        return true;
    }
    while (t->at < p->page.count && p->page.keys[t->at].gone)
        t->at++;
    if (t->at == p->page.count || !is_usable(p, t->net)) {
        begin_net(p, t->net + 1);
        return true;
    }
    if (t->search != 0)
        return false;
    if (t->exploring)
        explore(p);
    else if (knows_region(p))
        make_batch(p, t->nets[t->net].region.peers, t->nets[t->net].region.peer_count);
    else
        choose_way(p);
    return t->search == 0;
}

void provide_tell_go_on(struct provide *p)
{
    while (p->page.state == PAGE_TELLING) {
        if (p->tell.net == DHT_NET_COUNT)
            provide_page_told(p);
        else if (!step(p))
            return;
    }
}
