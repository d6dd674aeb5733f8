/* SPDX-License-Identifier: MIT */
#include "actors/connection_manager/connection.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>

#include "actors/connection_manager/connection_private.h"
#include "base/limits.h"
#include "wire/keys.h"

enum {
    OUT_MAX = CONNECTION_OUTPUT_BYTES + 32 * 1024, /* handshake messages and alerts beside sealed frames */
    OUT_LOW =
        4 * 1024, /* more is sealed only when less than this waits: the backlog belongs into Yamux's bounded queue */
    OUT_KEPT = 4 * 1024,          /* of an empty buffer */
    OUT_UNCHARGED = 16 * 1024,    /* sealed at once when the send account is exhausted */
    HANDSHAKE_BACKLOG = 8 * 1024, /* unread answers of an upgrade before reading pauses */
    SEAL_PIECES = 64
};

/* ---- identity ---- */

enum err connection_identity_new(const struct key_pair *pair, connection_random *random, void *random_arg,
                                 struct connection_identity **ret_identity)
{
    struct connection_identity *identity = calloc(1, sizeof(*identity));
    if (identity == NULL)
        return ERR_NOMEM;
    uint8_t secret[NOISE_KEY_BYTES];
    random(random_arg, secret, sizeof(secret));
    enum err err = noise_identity_init(&identity->noise, pair, secret);
    sodium_memzero(secret, sizeof(secret));
    if (err == ERR_OK)
        err = tls_identity_new(pair, &identity->tls);
    if (err != ERR_OK) {
        connection_identity_free(identity);
        return err;
    }
    *ret_identity = identity;
    return ERR_OK;
}

void connection_identity_free(struct connection_identity *identity)
{
    if (identity == NULL)
        return;
    noise_identity_release(&identity->noise);
    tls_identity_free(identity->tls);
    free(identity);
}

/* ---- the upgrade's reports ---- */

enum err connection_need_yamux(struct connection *c)
{
    if (c->yamux != NULL)
        return ERR_OK;
    return yamux_new(&c->yamux_config, c->now_ns, &c->yamux);
}

static void on_upgraded(void *arg)
{
    struct connection *c = arg;
    const struct upgrade *u = &c->upgrade;
    c->info = (struct connection_info){.peer = u->secure->remote(u->channel),
                                       .public_key = u->secure->remote_key(u->channel),
                                       .security = u->chosen,
                                       .early_muxer = u->early};
    if (connection_need_yamux(c) != ERR_OK)
        return; /* on_plain and connection_feed find no muxer and end the connection */
    yamux_ping(c->yamux, c->now_ns);
    if (c->events.upgraded != NULL)
        c->events.upgraded(c->user, c, &c->info);
}

static enum err on_plain(void *arg, struct span bytes)
{
    struct connection *c = arg;
    if (c->closed)
        return ERR_CLOSED;
    return c->yamux == NULL ? ERR_NOMEM : yamux_feed(c->yamux, bytes, c->now_ns);
}

/* ---- the transport: what lies between socket and upgrade, nothing or WebSocket ---- */

/* What was appended to out from here on becomes a frame. */
static enum err frame(struct connection *c, size_t from)
{
    return c->websocket == NULL ? ERR_OK : websocket_wrap(c->websocket, &c->out, from);
}

static enum err on_open(void *arg)
{
    struct connection *c = arg;
    size_t from = c->out.len;
    enum err err = upgrade_start(&c->upgrade, &c->out);
    return err == ERR_OK ? frame(c, from) : err;
}

/* Bytes for the upgrade. Its last words are framed in any case. */
static enum err on_bytes(void *arg, uint8_t *data, size_t len)
{
    struct connection *c = arg;
    size_t from = c->out.len;
    enum err err = upgrade_feed(&c->upgrade, data, len, &c->out);
    enum err framed = frame(c, from);
    return err == ERR_OK ? framed : err;
}

/* ---- pnet: below all else. What lies in out is masked just before it is shown, so that whoever appends need not know ---- */

static enum err open_pnet(struct connection *c, const struct connection_config *config)
{
    uint8_t nonce[PNET_NONCE_BYTES];
    c->pnet = malloc(sizeof(*c->pnet));
    if (c->pnet == NULL)
        return ERR_NOMEM;
    config->random(config->random_arg, nonce, sizeof(nonce));
    pnet_init(c->pnet, config->swarm_key, nonce);
    c->out_masked = sizeof(nonce);
    return buf_append(&c->out, nonce, sizeof(nonce));
}

static void close_pnet(struct connection *c)
{
    if (c->pnet != NULL)
        pnet_release(c->pnet);
    free(c->pnet);
}

static void mask(struct connection *c)
{
    if (c->pnet == NULL)
        return;
    pnet_seal(c->pnet, c->out.data + c->out_masked, c->out.len - c->out_masked);
    c->out_masked = c->out.len;
}

static enum err open_websocket(struct connection *c, const struct connection_config *config)
{
    struct websocket_config websocket = {.client = config->role == CONNECTION_DIALER,
                                         .host = config->websocket_host,
                                         .random = config->random,
                                         .random_arg = config->random_arg,
                                         .opened = on_open,
                                         .payload = on_bytes,
                                         .arg = c};
    enum err err = websocket_new(&websocket, &c->websocket);
    return err == ERR_OK ? websocket_start(c->websocket, &c->out) : err;
}

/* ---- life cycle ---- */

static enum err init(struct connection *c, const struct connection_config *config)
{
    struct upgrade_config upgrade = {
        .dialer = config->role == CONNECTION_DIALER,
        .optimistic = config->optimistic,
        .early_muxer = !config->no_early_muxer,
        .security = config->security,
        .security_count = config->security_count,
        .secure = {.identity = config->identity,
                   .dialer = config->role == CONNECTION_DIALER,
                   .expected = config->expected == NULL ? NULL : &c->expected,
                   .wall_clock_s = config->wall_clock_s},
        .random = config->random,
        .random_arg = config->random_arg,
        .done = on_upgraded,
        .plain = on_plain,
        .arg = c,
    };
    enum err err = upgrade_init(&c->upgrade, &upgrade);
    if (err == ERR_OK && config->swarm_key != NULL)
        err = open_pnet(c, config);
    if (err == ERR_OK)
        err = config->websocket ? open_websocket(c, config) : on_open(c);
    return err;
}

enum err connection_new(const struct connection_config *config, uint64_t now_ns, struct connection **ret_connection)
{
    assert(config->random != NULL && config->match_protocol != NULL && config->events != NULL &&
           config->identity != NULL);
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NOMEM;
    c->events = *config->events;
    c->user = config->user;
    c->match_protocol = config->match_protocol;
    c->send = config->send;
    c->tables = config->tables;
    c->now_ns = now_ns;
    c->upgrade_deadline = now_ns + CONNECTION_UPGRADE_TIMEOUT_S * SECOND_NS;
    c->security_deadline = now_ns + CONNECTION_NEGOTIATE_TIMEOUT_S * SECOND_NS;
    if (config->expected != NULL)
        c->expected = *config->expected;
    c->yamux_config = (struct yamux_config){
        .dialer = config->role == CONNECTION_DIALER,
        .receive = config->receive,
        .send = config->send,
        .tables = config->tables,
        .streams_in_max = config->streams_in_max == 0 ? CONNECTION_STREAMS_IN_MAX : config->streams_in_max,
        .streams_out_max = config->streams_out_max == 0 ? CONNECTION_STREAMS_OUT_MAX : config->streams_out_max,
        .events = &connection_yamux_events,
        .user = c};
    TAILQ_INIT(&c->negotiating);
    buf_init(&c->out, OUT_MAX, NULL);
    enum err err = init(c, config);
    if (err != ERR_OK) {
        connection_free(c);
        return err;
    }
    *ret_connection = c;
    return ERR_OK;
}

static void uncharge_out(struct connection *c)
{
    if (c->out_charged > 0)
        account_give(c->send, c->out_charged);
    c->out_charged = 0;
}

/* Streams that live end silently: their memory hangs on Yamux's events, which only an abort reports. */
void connection_free(struct connection *c)
{
    if (c == NULL)
        return;
    c->events = (struct connection_events){0};
    if (c->yamux != NULL)
        yamux_abort(c->yamux, ERR_CLOSED, YAMUX_NORMAL);
    yamux_free(c->yamux);
    upgrade_release(&c->upgrade);
    websocket_free(c->websocket);
    close_pnet(c);
    uncharge_out(c);
    buf_release(&c->out);
    free(c);
}

static void fail(struct connection *c, enum err err)
{
    if (c->closed)
        return;
    c->closed = true;
    if (c->yamux != NULL)
        yamux_abort(c->yamux, err, err == ERR_PROTOCOL ? YAMUX_PROTOCOL_ERROR : YAMUX_NORMAL);
    if (c->websocket != NULL)
        websocket_close(c->websocket);
    if (c->events.closed != NULL)
        c->events.closed(c->user, c, err);
}

void connection_close(struct connection *c)
{
    fail(c, ERR_CLOSED);
}

/* ---- input ---- */

void connection_feed(struct connection *c, uint8_t *data, size_t len, uint64_t now_ns)
{
    c->now_ns = now_ns;
    if (c->closed)
        return;
    if (len == 0) {
        fail(c, ERR_CLOSED);
        return;
    }
    c->in_bytes += len;
    size_t nonce = c->pnet == NULL ? 0 : pnet_open(c->pnet, data, len);
    data += nonce;
    len -= nonce;
    if (len == 0)
        return;
    enum err err = c->websocket == NULL ? on_bytes(c, data, len) : websocket_feed(c->websocket, data, len, &c->out);
    if (err == ERR_OK && c->upgrade.stage == UPGRADE_DONE && c->yamux == NULL)
        err = ERR_NOMEM;
    if (err != ERR_OK)
        fail(c, err);
}

bool connection_wants_read(const struct connection *c)
{
    if (c->closed)
        return false;
    if (c->upgrade.stage != UPGRADE_DONE)
        return c->out.len - c->out_head <= HANDSHAKE_BACKLOG;
    return yamux_wants_read(c->yamux);
}

/* ---- output ---- */

/* Room in out for sealing plain bytes; 0 without memory. The account pays for all but a little. */
static size_t out_room(struct connection *c, size_t plain)
{
    size_t held = c->out.len;
    size_t most = CONNECTION_OUTPUT_BYTES > held ? CONNECTION_OUTPUT_BYTES - held : 0;
    size_t want = MIN(plain + c->upgrade.secure->overhead(plain), most);
    if (c->send != NULL && held + want > OUT_UNCHARGED + c->out_charged) {
        size_t more = held + want - OUT_UNCHARGED - c->out_charged;
        if (account_take(c->send, more))
            c->out_charged += more;
        else
            want = held < OUT_UNCHARGED ? MIN(want, OUT_UNCHARGED - held) : 0;
    }
    return want == 0 || buf_reserve(&c->out, want + WEBSOCKET_HEADER_MAX) == NULL ? 0 : want;
}

/* Seals pieces until they or the room end. Returns the plaintext bytes that were taken. */
static size_t seal_pieces(struct connection *c, struct iovec *iov, int count, size_t *room)
{
    size_t total = 0;
    while (count > 0) {
        size_t taken = 0;
        size_t written = 0;
        uint8_t *to = c->out.data + c->out.len;
        enum err err = c->upgrade.secure->seal(c->upgrade.channel, iov, count, to, *room, &taken, &written);
        if (err != ERR_OK)
            c->broken = err;
        if (err != ERR_OK || taken == 0)
            break;
        buf_commit(&c->out, written);
        *room -= written;
        total += taken;
        while (count > 0 && taken >= iov->iov_len) {
            taken -= iov->iov_len;
            iov++;
            count--;
        }
        if (count > 0) {
            iov->iov_base = (uint8_t *)iov->iov_base + taken;
            iov->iov_len -= taken;
        }
    }
    return total;
}

static void seal_inner(struct connection *c)
{
    struct buf *inner = &c->upgrade.inner;
    size_t room = inner->len == 0 ? 0 : out_room(c, inner->len);
    if (room == 0)
        return;
    struct iovec iov = {.iov_base = inner->data, .iov_len = inner->len};
    buf_drop(inner, seal_pieces(c, &iov, 1, &room));
    if (inner->len == 0)
        buf_release(inner);
}

static void seal_yamux(struct connection *c)
{
    size_t queued = yamux_queued(c->yamux);
    size_t room = queued == 0 ? 0 : out_room(c, queued);
    while (room > 0) {
        struct iovec iov[SEAL_PIECES];
        int count = yamux_output(c->yamux, iov, SEAL_PIECES);
        size_t taken = count == 0 ? 0 : seal_pieces(c, iov, count, &room);
        if (taken == 0)
            return;
        yamux_output_drop(c->yamux, taken);
    }
}

static void seal(struct connection *c)
{
    size_t from = c->out.len;
    seal_inner(c);
    if (c->upgrade.inner.len == 0 && c->yamux != NULL && upgrade_may_send(&c->upgrade))
        seal_yamux(c);
    enum err err = frame(c, from);
    if (err != ERR_OK)
        c->broken = err;
}

/* Moves what waits above into out, unless enough is there already. */
static void fill(struct connection *c)
{
    if (c->out.len - c->out_head >= OUT_LOW)
        return;
    buf_drop(&c->out, c->out_head);
    c->out_masked -= MIN(c->out_masked, c->out_head);
    c->out_head = 0;
    if (upgrade_is_secure(&c->upgrade))
        seal(c);
    enum err err = c->websocket == NULL ? ERR_OK : websocket_answer(c->websocket, &c->out);
    if (err != ERR_OK)
        c->broken = err;
}

int connection_output(struct connection *c, struct iovec *iov, int max)
{
    fill(c);
    size_t len = c->out.len - c->out_head;
    if (len == 0 || max < 1)
        return 0;
    mask(c);
    iov[0] = (struct iovec){.iov_base = c->out.data + c->out_head, .iov_len = len};
    return 1;
}

void connection_output_done(struct connection *c, size_t n, uint64_t now_ns)
{
    assert(n <= c->out.len - c->out_head);
    c->now_ns = now_ns;
    c->out_bytes += n;
    c->out_head += n;
    if (c->out_head == c->out.len) {
        c->out_head = 0;
        c->out_masked = 0;
        buf_clear(&c->out);
        uncharge_out(c);
        if (c->out.cap > OUT_KEPT)
            buf_release(&c->out);
    }
    if (c->yamux != NULL)
        yamux_serve(c->yamux, now_ns);
}

/* ---- time ---- */

uint64_t connection_deadline(const struct connection *c)
{
    if (c->closed)
        return UINT64_MAX;
    if (c->broken != ERR_OK)
        return 0;
    uint64_t streams = connection_stream_deadline(c);
    if (c->upgrade.stage == UPGRADE_DONE)
        return MIN(streams, yamux_deadline(c->yamux));
    uint64_t stage = c->upgrade.stage == UPGRADE_SECURITY ? c->security_deadline : c->upgrade_deadline;
    return MIN(stage, c->upgrade_deadline);
}

void connection_tick(struct connection *c, uint64_t now_ns)
{
    c->now_ns = now_ns;
    if (c->closed || now_ns < connection_deadline(c))
        return;
    if (c->broken != ERR_OK || c->upgrade.stage != UPGRADE_DONE) {
        fail(c, c->broken != ERR_OK ? c->broken : ERR_TIMEOUT);
        return;
    }
    connection_expire_streams(c);
    if (c->closed)
        return;
    enum err err = yamux_tick(c->yamux, now_ns);
    if (err != ERR_OK)
        fail(c, err);
}

/* ---- queries ---- */

bool connection_is_open(const struct connection *c)
{
    return c->websocket == NULL || websocket_is_open(c->websocket);
}

bool connection_is_upgraded(const struct connection *c)
{
    return c->upgrade.stage == UPGRADE_DONE;
}

bool connection_is_closed(const struct connection *c)
{
    return c->closed;
}

const struct connection_info *connection_info(const struct connection *c)
{
    return &c->info;
}

uint64_t connection_rtt_ns(const struct connection *c)
{
    return c->yamux == NULL ? 0 : yamux_rtt_ns(c->yamux);
}

uint32_t connection_streams(const struct connection *c)
{
    return c->yamux == NULL ? 0 : yamux_streams(c->yamux);
}

void connection_traffic(const struct connection *c, uint64_t *ret_in_bytes, uint64_t *ret_out_bytes)
{
    *ret_in_bytes = c->in_bytes;
    *ret_out_bytes = c->out_bytes;
}
