/* SPDX-License-Identifier: MIT */
/*
 * The Kademlia DHT of this node, two of them as Kubo has them: what its files share. Private to actors/discovery, one thread.
 *
 *      dht.c          settings, messages and timers to the files below; client or server; refresh
 *      dht_peers.c    who is connected, and which of the routing tables it enters
 *      dht_ask.c      our requests: one stream a peer and DHT, its queue, answers, deadlines
 *      dht_dial.c     the way to a peer: connections and streams
 *      dht_serve.c    requests of peers: streams, their rate, the stores, answers
 *      dht_keep.c     what is stored for others, kept over lives
 *      dht_calls.c    calls of other actors, which begin searches
 *      dht_search.c   lookups, and what is done with their results
 *      dht_answers.c  the results as messages: calls of other actors, rows of state
 *
 *                    wan                          lan
 *      protocol      /ipfs/kad/1.0.0              /ipfs/lan/kad/1.0.0
 *      peers         public addresses             connected from loopback or a private network
 *      serves        when peers reach us there    always, unless Routing.Type says client
 *
 * The engines (dht/, wire/kad) know neither messages nor time; here is what carries between them and connection_manager. Whatever an event
 * brings only marks searches; dht_run at the end of the handler lets them go on and frees them, so nothing is freed under a caller.
 */
#ifndef HEARTH_ACTORS_DISCOVERY_DHT_H
#define HEARTH_ACTORS_DISCOVERY_DHT_H

#include <sys/queue.h>

#include "actors/discovery/delegated.h"
#include "actors/discovery/dht_values.h"
#include "actors/stream_orders.h"
#include "actors/stream_pieces.h"
#include "base/limits.h"
#include "base/table.h"
#include "dht/lookup.h"
#include "dht/provider_store.h"
#include "dht/record_store.h"
#include "dht/responder.h"
#include "dht/routing_table.h"
#include "mailbox/actor.h"
#include "schemas/config.h"
#include "schemas/messages.h"
#include "wire/kad.h"

enum {
    DHT_PEERS_MAX = 20480,       /* connected ones, and those being asked */
    DHT_REQUESTS_MAX = 1024,     /* in all, waiting or under way */
    DHT_REQUESTS_PEER = 64,      /* of one peer and DHT */
    DHT_DIALS_MAX = 48,          /* at a time */
    DHT_DIAL_PAUSE_MS = 250,     /* once the node had no room for one */
    DHT_DIAL_ROOM_MS = 4000,     /* so long it is tried again: who has been quiet for 3 s gives way */
    DHT_REQUEST_MS = 10000,      /* dial, stream and answer */
    DHT_CHANNEL_IDLE_MS = 30000, /* then our stream is ended: servers reset theirs after a minute */
    DHT_INBOUND_MAX = 2048,      /* streams that peers ask on */
    DHT_INBOUND_PEER = 16,
    DHT_INBOUND_IDLE_MS = 60000, /* then it is reset */
    DHT_INBOUND_YOUNG_MS = 5000, /* quiet for less it does not give way to a newcomer */
    DHT_RATE = 2000,             /* requests a second of one peer that are answered at once, */
    DHT_BURST = 4000,            /* after a rest; the rest waits */
    DHT_UNSENT_MAX = 64 * 1024,  /* of answers to one stream: then its requests wait */
    DHT_SEARCHES_MAX = 64,
    DHT_SEARCH_MS = 60000, /* when the caller has no deadline */
    DHT_OPTIMISTIC_MS =
        500, /* a lookup that takes longer is provided to those that are closest by then, and to the closest when it ends */
    DHT_EARLY_MS = 300, /* before the caller's deadline, at most: partial results must get there */
    DHT_QUORUM = 16,    /* values of a key that are compared */
    DHT_REFRESH_MS = 600000,
    DHT_LOOK_MS = 10000, /* between looks at the tables */
    DHT_TAG_VALUE =
        5, /* of a peer in a table, and one more for each bit of its key that is ours: buckets near us have few to choose from */
    DHT_REPORT_MS = 30000, /* between rows of one in state */
    DHT_FEW_PEERS = 10,    /* a table that is looked after more often */
    DHT_FEW_REFRESH_MS = 60000,
    DHT_OWN_ADDRS_BYTES = 4096,
    DHT_ROWS_BYTES = 100 * 1024, /* of providers, until they are told */
    DHT_MESSAGES_SHARE = 1,      /* of 16 of the tables account: messages until they are whole */
    DHT_MESSAGE_BYTES = KAD_SEND_MAX + 8
};

/* Tags of timers and calls; discovery leaves them to the DHT. */
enum { TAG_DHT_TIMER = 5, TAG_DHT_OWN, TAG_DHT_PROVIDERS, TAG_DHT_VALUES, TAG_DHT_FIRST = 1 << 20 };

enum dht_net_number { DHT_WAN, DHT_LAN, DHT_NET_COUNT };

struct dht;
struct dht_peer;
struct dht_search;

struct dht_counters {
    uint64_t lookups;
    uint64_t requests_out;
    uint64_t told_out; /* of these ADD_PROVIDER, which has no answer */
    uint64_t requests_failed;
    uint64_t streams_out;
    uint64_t requests_in;
    uint64_t requests_refused;
};

struct dht_net {
    struct dht *dht;
    enum dht_net_number number;
    const char *name; /* "wan" */
    const char *protocol;
    enum addr_scope scope;
    bool server;
    struct routing_table table;
    uint64_t refreshed_real_ns; /* a lookup of ourselves has ended; 0: none yet */
    uint64_t self_due_ns;       /* the next one; 0: when the first peer enters */
    uint64_t look_at_ns;        /* the table is looked after */
    uint64_t refresh_search;    /* id of the one that runs; 0: none */
    uint64_t reported;          /* what its row says: a sum over the table */
    uint64_t report_at_ns;
    struct dht_counters counters;
};

/* ---- our requests ---- */

/* What becomes of a request: dht_search_heard(search, net, peer, ...) unless it is 0, which only the routing table hears of. */
struct dht_request {
    TAILQ_ENTRY(dht_request) queue;
    TAILQ_ENTRY(dht_request) by_due;
    struct dht_channel *channel;
    uint64_t search;
    struct block_ref *bytes; /* framed */
    enum kad_type type;
    bool again; /* its stream was lost under it once */
    uint64_t due_ns;
};
TAILQ_HEAD(dht_request_list, dht_request);

enum dht_channel_state { DHT_CHANNEL_CLOSED, DHT_CHANNEL_OPENING, DHT_CHANNEL_OPEN };

/* Our stream to one peer in one DHT: one request under way, the others wait. */
struct dht_channel {
    TAILQ_ENTRY(dht_channel) by_use; /* open ones, the longest unused first */
    TAILQ_ENTRY(dht_channel) ready;
    bool is_ready; /* has something to do, at the end of the handler */
    struct dht_peer *peer;
    struct dht_net *net;
    enum dht_channel_state state;
    uint64_t stream;
    bool answered; /* this stream has worked */
    bool awaiting; /* the first request of the queue was written */
    struct kad_reader reader;
    struct dht_request_list queue;
    size_t queued;
    uint64_t used_ns;
};
TAILQ_HEAD(dht_channel_list, dht_channel);

/* ---- their requests ---- */

struct dht_inbound {
    TAILQ_ENTRY(dht_inbound) by_use; /* the longest unused first */
    TAILQ_ENTRY(dht_inbound) waiting;
    struct dht_peer *peer;
    struct dht_net *net;
    uint64_t number;
    struct kad_reader reader;
    struct stream_pieces pieces;
    size_t unsent;
    bool waits; /* for its peer's rate */
    bool fin;
    uint64_t used_ns;
};
TAILQ_HEAD(dht_inbound_list, dht_inbound);

/* ---- peers ---- */

struct dht_peer {
    TAILQ_ENTRY(dht_peer) to_dial;
    struct dht *dht;
    struct peer_id id;
    bool up;
    bool local;
    bool speaks[DHT_NET_COUNT];
    int64_t tag; /* what connection_manager was told that it is worth */
    bool dialling;
    bool dial_waits;
    uint64_t dial_tag;      /* of the call, while it is dialled */
    uint64_t dial_until_ns; /* for want of room since the first time that there was none; 0: there was some */
    struct buf addrs;       /* addr_list: what it says of itself, or what others say as long as it is not connected */
    struct buf seen_at;     /* multiaddr of its connection */
    struct dht_channel *channels[DHT_NET_COUNT];
    size_t inbound;
    uint64_t credit_ns; /* of its rate, as time */
    uint64_t credited_ns;
};
TAILQ_HEAD(dht_peer_list, dht_peer);

/* ---- searches ---- */

enum dht_search_kind {
    DHT_FIND_PROVIDERS,
    DHT_FIND_PEER,
    DHT_GET_VALUE,
    DHT_PUT_VALUE,
    DHT_PROVIDE,
    DHT_EXPLORE,
    DHT_REFRESH
};

/* Who answered a GET_VALUE, and how good its value was: who has less than the best is told it. */
struct dht_answerer {
    struct peer_id id;
    enum dht_net_number net;
    bool best;
};

struct dht_search {
    struct dht *dht;
    uint64_t id;
    enum dht_search_kind kind;
    bool has_call;
    struct reply_to call;
    uint64_t stream;
    size_t wanted;
    uint8_t key[KAD_RECORD_KEY_MAX];
    size_t key_len;
    struct peer_id peer; /* FIND_PEER */
    struct lookup *lookups[DHT_NET_COUNT];
    bool stored[DHT_NET_COUNT]; /* the second half of PUT and PROVIDE has begun */
    bool early[DHT_NET_COUNT];  /* PROVIDE: those that were closest after DHT_OPTIMISTIC_MS were told */
    uint64_t began_ns;
    uint64_t deadline_ns;
    struct buf rows;    /* FIND_PROVIDERS: provider items */
    uint32_t row_count; /* those told to a stream are gone from rows */
    struct table told;  /* FIND_PROVIDERS: ids; PROVIDE: number of the net and id of who was told */
    struct buf value;   /* GET, PUT: the best so far */
    size_t values;      /* valid ones that came */
    struct dht_answerer answerers[KAD_K];
    size_t answerer_count;
    size_t storing; /* requests of the second half under way */
    bool delegated; /* routers have been asked, and not all of them have answered */
    uint32_t stored_count;
    bool over;
    bool timed;   /* the caller said how long it shall last: then it lacks nothing */
    bool partial; /* it was cut off by its deadline */
};

/* Of the rows of earlier lives: the next page is to be asked for, is asked for, there are no more. */
enum dht_keep_state { DHT_KEEP_BEHIND, DHT_KEEP_ASKED, DHT_KEEP_LOADED };

struct dht_keep {
    enum dht_keep_state providers, values;
    uint64_t after_at, after_slot, value_slot;
    uint64_t due_ns;
};

struct provide;

struct dht {
    struct ctx *ctx;
    struct provide *provide; /* who is told of searches without a caller; NULL: nothing is provided */
    struct delegated routers;
    bool enabled;
    bool server_always; /* Routing.Type = dhtserver */
    bool client_only;
    bool routers_only; /* Routing.Type = delegated: no peer enters a table, so searches have routers alone to ask */
    bool is_public;    /* an own address is */
    bool reached;      /* and a peer of the public network has dialled it */
    bool confirmed;    /* or AutoNAT has found that peers can */
    struct peer_id self;
    struct stream_orders orders;
    struct account *tables;
    struct account messages; /* a part of tables */
    struct dht_net nets[DHT_NET_COUNT];
    struct table peers;    /* id -> struct dht_peer */
    struct table outs;     /* stream -> struct dht_channel */
    struct table ins;      /* stream -> struct dht_inbound */
    struct table ops;      /* tag of a call -> struct dht_op */
    struct table searches; /* id -> struct dht_search */
    struct dht_request_list requests;
    size_t request_count;
    struct dht_channel_list channels;
    struct dht_channel_list ready;
    struct dht_inbound_list inbounds;
    struct dht_inbound_list waiting; /* for their peers' rate */
    struct dht_peer_list to_dial;
    size_t dials;
    uint64_t dial_at_ns; /* no dial before */
    uint64_t last_tag;
    uint64_t last_search;
    uint64_t timer;
    uint64_t timer_at_ns;
    uint64_t look_at_ns;
    uint64_t searches_due_ns;
    bool dirty;           /* searches have heard something */
    struct buf own_addrs; /* addr_list */
    struct provider_store *providers;
    struct record_store *records; /* NULL: client only, as providers */
    struct dht_keep keep;
    struct block_ref *denylist; /* what is denied (storage/denylist.h); NULL: nothing */
    struct kad_writer writer;
    struct buf out; /* one framed message */
};

/* ---- dht.c: what discovery calls ---- */
enum err dht_init(struct dht *d, struct ctx *ctx, const struct config *config) MUST_CHECK;
void dht_release(struct dht *d);
/* True when the message was the DHT's. */
bool dht_cast(struct dht *d, struct ctx *ctx, const struct msg *msg);
void dht_info(struct dht *d, struct ctx *ctx, const struct info *info);
/* Does what is due and sets the timer; at the end of each handler. */
void dht_run(struct dht *d, struct ctx *ctx);

/* ---- dht_peers.c ---- */
struct dht_peer *dht_peer_find(const struct dht *d, const struct peer_id *id);
/* Finds or makes; addresses (an addr_list) are taken if it is not connected. NULL: too many, or no memory. */
struct dht_peer *dht_peer_get(struct dht *d, const struct peer_id *id, struct span addrs);
void dht_peer_up(struct dht *d, const struct msg_peer_up *fields);
void dht_peer_down(struct dht *d, const struct msg_peer_down *fields);
/* Frees a peer that is neither connected nor asked, and asks nothing. */
void dht_peer_drop_if_idle(struct dht_peer *peer);
/* Connected servers that are not in their table try again to enter. */
void dht_peers_enter(struct dht *d, struct dht_net *net);
/* Tells connection_manager what those in the tables are worth, as far as it changed. */
void dht_peers_tag(struct dht *d);
void dht_peers_release(struct dht *d);

/* ---- dht_calls.c ---- */
/* ERR_UNSUPPORTED: not the DHT's, or it is switched off. */
enum err dht_call(struct dht *d, struct ctx *ctx, const struct msg *msg, struct reply_to call);

/* route_put; call is NULL when it came as a cast: then state is told how many peers took it. */
enum err dht_calls_put(struct dht *d, const struct msg_route_put *fields, const struct reply_to *call);

/* ---- dht_ask.c ---- */
/*
 * Sends a framed message to a peer, dialling it if need be, and waits for the answer; an ADD_PROVIDER has none and ends when it is written.
 * ERR_BUSY: too many requests; ERR_NOMEM. Only after ERR_OK the end is told, never from inside this call.
 */
enum err dht_ask(struct dht_net *net, const struct peer_id *id, struct span addrs, enum kad_type type,
                 struct span framed, uint64_t search) MUST_CHECK;
bool dht_ask_has_room(const struct dht *d);
/* A search has ended: its questions that were not sent are not asked any more, nor is anybody dialled for them. all: what it has to store neither. */
void dht_ask_forget(struct dht *d, uint64_t search, bool all);
/* The dial has ended. */
void dht_ask_connected(struct dht_peer *peer, enum err err);
void dht_ask_opened(struct dht *d, const struct peer_id *id, enum dht_net_number net, const struct info *info);
void dht_ask_data(struct dht_channel *c, const struct msg *msg);
void dht_ask_closed(struct dht_channel *c);
void dht_ask_tick(struct dht *d, uint64_t now_ns);
/* When a request or an idle stream is due; UINT64_MAX: none. */
uint64_t dht_ask_due(const struct dht *d);
/* Lets requests that were made since the last time go out. */
void dht_ask_run(struct dht *d);
void dht_ask_release(struct dht *d);

/* ---- dht_dial.c ---- */
/* Ends with dht_ask_connected, perhaps at once. */
void dht_dial(struct dht_peer *peer);
/* Nobody is to be asked there any more. */
void dht_dial_cancel(struct dht_peer *peer);
/* Asks for a stream. */
enum err dht_dial_stream(struct dht_channel *c) MUST_CHECK;
/* The end of a call of these two. */
void dht_dial_reply(struct dht *d, const struct info *info);
/* Dials who waits, as far as there is room for it. */
void dht_dial_next(struct dht *d);
/* When it should be called, or UINT64_MAX. */
uint64_t dht_dial_due(const struct dht *d);
void dht_dial_release(struct dht *d);

/* ---- dht_serve.c ---- */
void dht_serve_opened(struct dht *d, const struct msg_stream_opened *fields);
void dht_serve_data(struct dht_inbound *in, const struct msg *msg);
void dht_serve_written(struct dht_inbound *in, uint64_t bytes);
void dht_serve_closed(struct dht_inbound *in);
void dht_serve_tick(struct dht *d, uint64_t now_ns);
uint64_t dht_serve_due(const struct dht *d);
/* A net serves no more: its streams are reset. */
void dht_serve_stop(struct dht_net *net);
void dht_serve_release(struct dht *d);

/* ---- dht_denied.c ---- */
bool dht_denies_block(const struct dht *d, struct span multihash);
/* A key with its namespace. The store has none such. */
bool dht_denies_record(const struct dht *d, struct span key);
/* Refers to the image; NULL: nothing is denied from now on. */
void dht_denied_take(struct dht *d, struct block_ref *image);
/* Those of dht_values.h, for what is not denied. */
struct record_rules dht_denied_rules(struct dht *d);

/* ---- dht_keep.c ---- */
void dht_keep_reply(struct dht *d, const struct info *info);
void dht_keep_tick(struct dht *d, uint64_t now_ns);
uint64_t dht_keep_due(const struct dht *d);
void dht_keep_release(struct dht *d);

/* ---- dht_search.c ---- */
/* key and, for PUT_VALUE, value are copied. ERR_BUSY: too many; ERR_NOMEM. */
enum err dht_search_new(struct dht *d, enum dht_search_kind kind, struct span key, const struct reply_to *call,
                        struct dht_search **ret_search) MUST_CHECK;
/* Begins the lookups: in one DHT, or with NULL in all that have peers. */
void dht_search_begin(struct dht_search *s, struct dht_net *only);
/* Puts an ADD_PROVIDER of this node for a multihash into d->out. ERR_NOT_FOUND: no own address is of use in this DHT. */
enum err dht_frame_provider(struct dht_net *net, struct span multihash) MUST_CHECK;
/* A request of a search ended. answer: NULL unless err is ERR_OK and the type has answers. */
void dht_search_heard(struct dht *d, uint64_t search, struct dht_net *net, const struct peer_id *peer,
                      enum kad_type type, enum err err, const struct kad_message *answer);
/* A value from elsewhere: taken if it is valid and better. ERR_OK: it is valid. */
enum err dht_search_offer(struct dht_search *s, struct span value);
void dht_search_cancel(struct dht *d, const struct reply_to *call);
/* What is asked from here on is shown in the trace of the search's caller; in none when it has none, or has ended. */
void dht_search_caused(struct dht *d, uint64_t search);
/* Lets all searches go on, ends those that are over. */
void dht_searches_run(struct dht *d);
uint64_t dht_searches_due(const struct dht *d);
void dht_searches_release(struct dht *d);

/* ---- dht_delegated.c ---- */
enum err dht_delegated_init(struct dht *d, const struct config *config) MUST_CHECK;
/* Asks the routers what the search is about, if that is for them. */
void dht_delegated_ask(struct dht_search *s);

/* ---- dht_answers.c ---- */
/* Whether it has as many providers or values as are wanted; no other providers are told then. */
bool dht_answers_enough(const struct dht_search *s);
/* A provider was found: its row is kept until it is told. */
void dht_answers_provider(struct dht_search *s, const struct peer_id *id, struct span addrs);
/* Tells what was found since the last time to who asked with a stream. */
void dht_answers_stream(struct dht_search *s);
/* Answers the call, if there is one. */
void dht_answers_end(struct dht_search *s);
enum err dht_answers_stat(struct dht *d, struct reply_to call);
void dht_answers_report(struct dht_net *net);

static inline uint64_t dht_ms(const struct dht *d)
{
    return ctx_now(d->ctx) / MS_NS + 1; /* the engines take 0 for never */
}

#endif
