/* SPDX-License-Identifier: MIT */
/*
 * Searches: one lookup in each DHT that has peers, side by side, and what follows.
 *
 *      FIND_PROVIDERS   GET_PROVIDERS lookups; each provider is told as it comes; ends with enough of them
 *      FIND_PEER        FIND_NODE lookups, until somebody names an address of the peer
 *      GET_VALUE        GET_VALUE lookups; the best of up to DHT_QUORUM valid values; who had a worse one is sent it
 *      PUT_VALUE        FIND_NODE lookups, then PUT_VALUE to the closest
 *      PROVIDE          FIND_NODE lookups, then ADD_PROVIDER to the closest; optimistic: those of a slow lookup so far are told early
 *      EXPLORE          a FIND_NODE lookup in one DHT, for who provides regions
 *      REFRESH          a FIND_NODE lookup for what it brings to know
 *
 * A search ends a little before its caller's deadline with what there is by then.
 */
#include <stdlib.h>
#include <string.h>

#include "actors/discovery/provide.h"

enum { QUERY_TIMEOUT_MS = DHT_REQUEST_MS + 1000 }; /* the request's own deadline comes first */

static struct span key_of(const struct dht_search *s)
{
    return span_of(s->key, s->key_len);
}

static bool stores(const struct dht_search *s)
{
    return s->kind == DHT_PUT_VALUE || s->kind == DHT_PROVIDE;
}

/* ---- begin ---- */

static uint64_t deadline_of(const struct dht *d, const struct reply_to *call)
{
    uint64_t now = ctx_now(d->ctx);
    if (call == NULL || call->deadline_ns == UINT64_MAX)
        return now + DHT_SEARCH_MS * MS_NS;
    uint64_t left = ctx_left(d->ctx, call->deadline_ns);
    return now + left - MIN(left / 8, DHT_EARLY_MS * MS_NS);
}

enum err dht_search_new(struct dht *d, enum dht_search_kind kind, struct span key, const struct reply_to *call,
                        struct dht_search **ret_search)
{
    if (key.len == 0 || key.len > KAD_RECORD_KEY_MAX)
        return ERR_INVALID;
    if (table_len(&d->searches) >= DHT_SEARCHES_MAX)
        return ERR_BUSY;
    if (!account_take(d->tables, sizeof(struct dht_search)))
        return ERR_NOMEM;
    struct dht_search *s = calloc(1, sizeof(*s));
    uint64_t id = d->last_search + 1;
    if (s == NULL || table_put(&d->searches, table_key_u64(&id), s, NULL) != ERR_OK) {
        account_give(d->tables, sizeof(*s));
        free(s);
        return ERR_NOMEM;
    }
    d->last_search = s->id = id;
    s->dht = d;
    s->kind = kind;
    s->deadline_ns = deadline_of(d, call);
    s->began_ns = ctx_now(d->ctx);
    s->has_call = call != NULL;
    if (call != NULL)
        s->call = *call;
    memcpy(s->key, key.data, key.len);
    s->key_len = key.len;
    buf_init(&s->rows, DHT_ROWS_BYTES, d->tables);
    buf_init(&s->value, KAD_RECORD_MAX, d->tables);
    table_init(&s->told, LOOKUP_PROVIDERS_MAX, d->tables);
    *ret_search = s;
    return ERR_OK;
}

static enum kad_type type_of(const struct dht_search *s)
{
    if (s->kind == DHT_FIND_PROVIDERS)
        return KAD_GET_PROVIDERS;
    return s->kind == DHT_GET_VALUE ? KAD_GET_VALUE : KAD_FIND_NODE;
}

static void begin_in(struct dht_search *s, struct dht_net *net)
{
    struct dht *d = s->dht;
    const struct routing_peer *seeds[KAD_K];
    uint64_t left = ctx_left(d->ctx, s->deadline_ns);
    struct lookup_params params = {.key = key_of(s),
                                   .type = type_of(s),
                                   .scope = net->scope,
                                   .diverse = net->number == DHT_WAN,
                                   .follow_up = true,
                                   .providers = s->kind == DHT_FIND_PROVIDERS ? s->wanted : 0,
                                   .deadline_ms = dht_ms(d) + (stores(s) ? left / 4 * 3 : left) / MS_NS,
                                   .query_timeout_ms = QUERY_TIMEOUT_MS,
                                   .own = d->self};
    struct kad_key target = kad_key_of(key_of(s));
    size_t count = routing_table_closest(&net->table, &target, seeds, KAD_K);
    if (count == 0 || lookup_new(&params, d->tables, &s->lookups[net->number]) != ERR_OK)
        return;
    net->counters.lookups++;
    for (size_t i = 0; i < count; i++)
        lookup_seed(s->lookups[net->number], &seeds[i]->id, routing_peer_addrs(seeds[i]));
}

void dht_search_begin(struct dht_search *s, struct dht_net *only)
{
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        if (only == NULL || only == &s->dht->nets[n])
            begin_in(s, &s->dht->nets[n]);
    dht_delegated_ask(s);
    s->dht->dirty = true;
}

/* ---- what peers say ---- */

/* Positive: the best so far; 0: as good as it; negative: worse, or not valid. */
static int offer(struct dht_search *s, struct span value, bool *ret_good)
{
    uint64_t expires_ns;
    bool good = value.len <= KAD_RECORD_MAX &&
                dht_value_check(key_of(s), value, ctx_real_now(s->dht->ctx), &expires_ns) == ERR_OK;
    int order = good && s->values > 0 ? dht_value_compare(key_of(s), value, buf_span(&s->value)) : good ? 1 : -1;
    *ret_good = good;
    if (order > 0) {
        buf_clear(&s->value);
        if (buf_append_span(&s->value, value) != ERR_OK) {
            *ret_good = false;
            return -1;
        }
        for (size_t i = 0; i < s->answerer_count; i++)
            s->answerers[i].best = false;
    }
    s->values += good;
    return order;
}

enum err dht_search_offer(struct dht_search *s, struct span value)
{
    bool good;
    (void)offer(s, value, &good);
    return good ? ERR_OK : ERR_INVALID;
}

static void take_value(struct dht_search *s, struct dht_net *net, const struct peer_id *peer,
                       const struct kad_message *answer)
{
    bool good = false;
    int order = -1;
    if (answer->has_record && span_equal(answer->record.key, key_of(s)))
        order = offer(s, answer->record.value, &good);
    if (s->answerer_count < ARRAY_LEN(s->answerers))
        s->answerers[s->answerer_count++] = (struct dht_answerer){.id = *peer, .net = net->number, .best = order >= 0};
    if (s->values >= DHT_QUORUM)
        s->over = true;
}

static void take_answer(struct dht_search *s, struct dht_net *net, const struct peer_id *peer,
                        const struct kad_message *answer)
{
    struct lookup *l = s->lookups[net->number];
    struct lookup_peer found;
    const struct dht_peer *known = dht_peer_find(s->dht, peer);
    if (known != NULL && known->seen_at.len > 0)
        lookup_seen_at(l, peer, buf_span(&known->seen_at));
    bool useful = lookup_answered(l, peer, answer, dht_ms(s->dht));
    routing_table_answered(&net->table, peer, useful, dht_ms(s->dht));
    if (s->kind == DHT_GET_VALUE)
        take_value(s, net, peer, answer);
    if (s->kind == DHT_FIND_PEER && lookup_find(l, &s->peer, &found)) {
        dht_answers_provider(s, &s->peer, found.addrs);
        s->over = s->row_count > 0;
    }
}

static struct span told_key(const struct dht_net *net, const struct peer_id *id, uint8_t to[1 + PEER_ID_BYTES_MAX])
{
    to[0] = (uint8_t)net->number;
    memcpy(to + 1, id->bytes, id->len);
    return span_of(to, 1 + (size_t)id->len);
}

void dht_search_heard(struct dht *d, uint64_t search, struct dht_net *net, const struct peer_id *peer,
                      enum kad_type type, enum err err, const struct kad_message *answer)
{
    struct dht_search *s = search == 0 ? NULL : table_get(&d->searches, table_key_u64(&search));
    uint8_t bytes[1 + PEER_ID_BYTES_MAX];
    d->dirty = true;
    if (search == PROVIDE_SEARCH && d->provide != NULL)
        provide_heard(d->provide, net, peer, err);
    if (s == NULL || s->over) {
        if (err == ERR_OK && answer != NULL)
            routing_table_answered(&net->table, peer, false, dht_ms(d));
        return;
    }
    if (type == KAD_PUT_VALUE || type == KAD_ADD_PROVIDER) {
        bool echoed = answer == NULL || span_equal(answer->key, key_of(s));
        s->storing--;
        s->stored_count += err == ERR_OK && echoed;
        if (type == KAD_ADD_PROVIDER && err != ERR_OK)
            (void)table_remove(&s->told, told_key(net, peer, bytes));
        return;
    }
    if (s->lookups[net->number] == NULL)
        return;
    if (err == ERR_OK)
        take_answer(s, net, peer, answer);
    else
        lookup_failed(s->lookups[net->number], peer, dht_ms(d));
}

/* ---- questions ---- */

enum err dht_frame_provider(struct dht_net *net, struct span multihash)
{
    struct dht *d = net->dht;
    struct kad_writer *w = &d->writer;
    struct buf addrs;
    kad_writer_begin(w, KAD_ADD_PROVIDER, multihash);
    buf_init(&addrs, DHT_OWN_ADDRS_BYTES, NULL);
    enum err err = addr_scope_filter(net->scope, buf_span(&d->own_addrs), RESPONDER_ADDRS_MAX, &addrs);
    bool told = err == ERR_OK && addrs.len > 0 &&
                kad_writer_peer(w, KAD_PROVIDERS, &d->self, buf_span(&addrs), KAD_CONNECTED, 0);
    buf_release(&addrs);
    if (!told)
        return ERR_NOT_FOUND; /* without an address nobody keeps it */
    buf_clear(&d->out);
    return kad_writer_finish(w, &d->out);
}

static enum err frame(struct dht_search *s, struct dht_net *net, enum kad_type type)
{
    struct dht *d = s->dht;
    struct kad_writer *w = &d->writer;
    if (type == KAD_ADD_PROVIDER)
        return dht_frame_provider(net, key_of(s));
    kad_writer_begin(w, type, key_of(s));
    if (type == KAD_PUT_VALUE)
        kad_writer_record(w, &(struct kad_record){.key = key_of(s), .value = buf_span(&s->value)});
    buf_clear(&d->out);
    return kad_writer_finish(w, &d->out);
}

static void ask(struct dht_search *s, struct dht_net *net)
{
    struct dht *d = s->dht;
    struct lookup *l = s->lookups[net->number];
    struct lookup_query query;
    while (dht_ask_has_room(d) && lookup_next(l, dht_ms(d), &query)) {
        enum err err = frame(s, net, type_of(s));
        if (err == ERR_OK)
            err = dht_ask(net, &query.id, query.addrs, type_of(s), buf_span(&d->out), s->id);
        if (err != ERR_OK)
            lookup_failed(l, &query.id, dht_ms(d));
    }
}

/* ---- the second half ---- */

/* Each peer is told once of a provider, early or in the end. */
static void store(struct dht_search *s, struct dht_net *net)
{
    struct dht *d = s->dht;
    struct lookup_peer closest[KAD_K];
    enum kad_type type = s->kind == DHT_PROVIDE ? KAD_ADD_PROVIDER : KAD_PUT_VALUE;
    s->stored[net->number] = true;
    size_t count = lookup_closest(s->lookups[net->number], closest, KAD_K);
    if (count == 0 || frame(s, net, type) != ERR_OK)
        return;
    for (size_t i = 0; i < count; i++) {
        uint8_t bytes[1 + PEER_ID_BYTES_MAX];
        struct span key = told_key(net, &closest[i].id, bytes);
        if ((type == KAD_ADD_PROVIDER && table_get(&s->told, key) != NULL) ||
            dht_ask(net, &closest[i].id, closest[i].addrs, type, buf_span(&d->out), s->id) != ERR_OK)
            continue;
        s->storing++;
        if (type == KAD_ADD_PROVIDER)
            (void)!table_put(&s->told, key, s, NULL); /* without room it is told twice */
    }
}

/* Whoever answered with less than the best is told it; nobody waits for that. */
static void correct(struct dht_search *s)
{
    struct dht *d = s->dht;
    for (size_t i = 0; i < s->answerer_count && s->values > 0; i++) {
        const struct dht_answerer *a = &s->answerers[i];
        struct dht_net *net = &d->nets[a->net];
        if (!a->best && frame(s, net, KAD_PUT_VALUE) == ERR_OK)
            (void)!dht_ask(net, &a->id, (struct span){0}, KAD_PUT_VALUE, buf_span(&d->out), 0);
    }
}

/* ---- life ---- */

static void take_providers(struct dht_search *s, struct lookup *l)
{
    struct lookup_peer found;
    while (lookup_next_provider(l, &found))
        dht_answers_provider(s, &found.id, found.addrs);
}

static void run_in(struct dht_search *s, struct dht_net *net, bool *running)
{
    struct lookup *l = s->lookups[net->number];
    struct peer_id late;
    lookup_tick(l, dht_ms(s->dht));
    while (lookup_next_timeout(l, &late))
        ; /* its request ends by itself */
    ask(s, net);
    if (s->kind == DHT_FIND_PROVIDERS)
        take_providers(s, l);
    bool slow = ctx_now(s->dht->ctx) >= s->began_ns + DHT_OPTIMISTIC_MS * MS_NS;
    if (lookup_state(l) == LOOKUP_RUNNING) {
        *running = true;
        if (s->kind == DHT_PROVIDE && slow && !s->early[net->number]) {
            s->early[net->number] = true;
            store(s, net);
            s->stored[net->number] = false;
        }
    } else if (stores(s) && !s->stored[net->number])
        store(s, net);
}

/* A lookup's time is over a little before that of its search. */
static bool was_cut_off(const struct dht_search *s)
{
    bool cut = false;
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        cut = cut || (s->lookups[n] != NULL && lookup_state(s->lookups[n]) == LOOKUP_DEADLINE);
    return cut;
}

static void search_run(struct dht_search *s)
{
    struct dht *d = s->dht;
    bool running = false;
    for (unsigned n = 0; n < DHT_NET_COUNT && !s->over; n++)
        if (s->lookups[n] != NULL)
            run_in(s, &d->nets[n], &running);
    bool late = ctx_now(d->ctx) >= s->deadline_ns;
    s->partial = !s->timed && !s->over && !dht_answers_enough(s) && (late || was_cut_off(s));
    s->over = s->over || late || dht_answers_enough(s) || (!running && s->storing == 0 && !s->delegated);
    if (s->kind == DHT_FIND_PROVIDERS && s->stream != 0)
        dht_answers_stream(s);
}

static void refreshed(struct dht_search *s)
{
    struct dht *d = s->dht;
    for (unsigned n = 0; n < DHT_NET_COUNT; n++) {
        struct dht_net *net = &d->nets[n];
        if (net->refresh_search != s->id)
            continue;
        net->refresh_search = 0;
        net->look_at_ns = ctx_now(d->ctx) + SECOND_NS; /* for the next part */
        struct kad_key target = kad_key_of(key_of(s));
        routing_table_refreshed(&net->table, &target, dht_ms(d));
        if (span_equal(key_of(s), peer_id_span(&d->self)))
            net->refreshed_real_ns = ctx_real_now(d->ctx);
    }
}

void dht_search_caused(struct dht *d, uint64_t search)
{
    const struct dht_search *s = search == 0 ? NULL : table_get(&d->searches, table_key_u64(&search));
    ctx_caused_by(d->ctx, s != NULL && s->has_call ? &s->call : NULL);
}

/* all: what is to be stored is given up, too. */
static void search_free(struct dht_search *s, bool all)
{
    struct dht *d = s->dht;
    dht_ask_forget(d, s->id, all);
    for (unsigned n = 0; n < DHT_NET_COUNT; n++)
        lookup_free(s->lookups[n]);
    delegated_cancel(&d->routers, s->id);
    buf_release(&s->rows);
    buf_release(&s->value);
    table_release(&s->told);
    (void)table_remove(&d->searches, table_key_u64(&s->id));
    account_give(d->tables, sizeof(*s));
    free(s);
}

void dht_searches_run(struct dht *d)
{
    size_t position = 0;
    struct dht_search *s;
    d->dirty = false;
    while ((s = table_next(&d->searches, &position, NULL)) != NULL) {
        dht_search_caused(d, s->id);
        search_run(s);
        if (!s->over)
            continue;
        if (s->kind == DHT_GET_VALUE)
            correct(s);
        if (s->kind == DHT_REFRESH)
            refreshed(s);
        if (!s->has_call && d->provide != NULL)
            provide_search_ended(d->provide, s);
        dht_answers_end(s);
        search_free(s, false);
    }
    ctx_caused_by(d->ctx, NULL);
}

uint64_t dht_searches_due(const struct dht *d)
{
    uint64_t due = UINT64_MAX;
    size_t position = 0;
    const struct dht_search *s;
    while ((s = table_next(&d->searches, &position, NULL)) != NULL) {
        due = MIN(due, s->deadline_ns);
        for (unsigned n = 0; n < DHT_NET_COUNT; n++)
            if (s->lookups[n] != NULL && lookup_state(s->lookups[n]) == LOOKUP_RUNNING) {
                due = MIN(due, lookup_next_tick(s->lookups[n]) * MS_NS);
                if (s->kind == DHT_PROVIDE && !s->early[n])
                    due = MIN(due, s->began_ns + DHT_OPTIMISTIC_MS * MS_NS);
            }
    }
    return due;
}

/* Nobody waits for it any more, nor for what it asked; what was found for a stream was told. */
void dht_search_cancel(struct dht *d, const struct reply_to *call)
{
    size_t position = 0;
    struct dht_search *s;
    while ((s = table_next(&d->searches, &position, NULL)) != NULL)
        if (s->has_call && reply_same(&s->call, call))
            search_free(s, true);
}

void dht_searches_release(struct dht *d)
{
    size_t position = 0;
    struct dht_search *s;
    while ((s = table_next(&d->searches, &position, NULL)) != NULL)
        search_free(s, true);
    table_release(&d->searches);
}
