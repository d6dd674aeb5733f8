/* SPDX-License-Identifier: MIT */
#include "tests/budget/load_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actors/connection_manager/connection.h"
#include "base/clock.h"
#include "base/random.h"
#include "wire/bitswap.h"
#include "wire/identify.h"
#include "wire/keys.h"

enum {
    WINDOW = 64,
    SCRATCH_BYTES = 128 * 1024,
    DIAL_AGAIN_MS = 1000,
};

enum { PROTOCOL_BITSWAP, PROTOCOL_IDENTIFY };

struct load_peer {
    struct load *load;
    uint64_t delay_ns; /* before the first round of a connection */
    struct key_pair *pair;
    struct connection_identity *identity;
    struct connection *c;
    int fd; /* -1: not connected */
    bool upgraded;
    struct connection_stream *out; /* the wants go here; NULL: none is open */
    bool over;                     /* reported closed: freed after the call into the engine */
    uint64_t dial_at;
    uint64_t round_at; /* when the next round begins; UINT64_MAX: one is under way */
    uint64_t round_began;
    bool stalled; /* this round was counted already */
    uint32_t rounds;
    size_t asked; /* blocks of this round that were asked for, */
    size_t came;  /* and that came */
    bool got[LOAD_BLOCKS_MAX];
};

struct inbound {
    struct load_peer *peer;
    struct bitswap_reader reader;
    struct bitswap_writer reply; /* to the message being read */
};

void load_check(enum err err, const char *what)
{
    if (err == ERR_OK)
        return;
    (void)fprintf(stderr, "budget_peers: %s: %s\n", what, err_text(err));
    exit(EXIT_FAILURE);
}

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    random_fill(to, len);
}

static int compare(const void *a, const void *b)
{
    uint8_t bytes[2][CID_BYTES_MAX] = {{0}};
    (void)cid_encode(a, bytes[0]);
    (void)cid_encode(b, bytes[1]);
    return memcmp(bytes[0], bytes[1], CID_BYTES_MAX);
}

/* ---- what comes in ---- */

static struct block_ref *acquire(void *arg, size_t size)
{
    (void)arg;
    return block_ref_new(size, NULL);
}

static void end_round(struct load_peer *peer)
{
    uint64_t now = clock_mono_ns();
    uint64_t took = now - peer->round_began;
    peer->load->slowest_round_ns = MAX(peer->load->slowest_round_ns, took);
    peer->rounds++;
    peer->round_at = now + peer->load->pause_ns;
}

static void ask_more(struct load_peer *peer);

static void on_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct load_peer *peer = ((struct inbound *)arg)->peer;
    struct load *load = peer->load;
    const struct cid *found = bsearch(cid, load->blocks, load->block_count, sizeof(*cid), compare);
    if (found == NULL || peer->round_at != UINT64_MAX || peer->got[found - load->blocks]) {
        load->unasked++;
        return;
    }
    peer->got[found - load->blocks] = true;
    load->received++;
    load->bytes += block->len;
    peer->came++;
    if (peer->came == load->block_count)
        end_round(peer);
    else if (peer->asked - peer->came <= WINDOW / 2)
        ask_more(peer);
}

static void on_presence(void *arg, const struct cid *cid, bool have)
{
    struct inbound *in = arg;
    (void)cid;
    in->peer->load->dont_haves += have ? 0 : 1;
}

static void on_rejected(void *arg, enum err why, size_t bytes)
{
    struct inbound *in = arg;
    (void)why;
    (void)bytes;
    in->peer->load->rejected++;
}

/* These peers have nothing, and say so where that is asked. */
static void on_want(void *arg, const struct bitswap_want *want)
{
    struct inbound *in = arg;
    if (!want->cancel && want->send_dont_have)
        load_check(bitswap_writer_presence(&in->reply, &want->cid, false), "an answer");
}

static void write_message(struct connection_stream *s, struct bitswap_writer *writer);

static void on_end(void *arg, const struct bitswap_end *end)
{
    struct inbound *in = arg;
    (void)end;
    if (!bitswap_writer_is_empty(&in->reply) && in->peer->out != NULL)
        write_message(in->peer->out, &in->reply);
    bitswap_writer_release(&in->reply);
    bitswap_writer_init(&in->reply, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
}

static int match(void *user, struct span name)
{
    (void)user;
    if (span_equal_text(name, bitswap_protocol(BITSWAP_1_2)))
        return PROTOCOL_BITSWAP;
    return span_equal_text(name, IDENTIFY_PROTOCOL) ? PROTOCOL_IDENTIFY : -1;
}

static void write_all(struct connection_stream *s, struct span bytes)
{
    size_t accepted = 0;
    load_check(connection_stream_write(s, bytes, &accepted), "a write");
    if (accepted != bytes.len)
        load_check(ERR_TOO_LARGE, "a write"); /* a few KiB: a stream that is read has room for 256 */
}

static void tell_identity(const struct load_peer *peer, struct connection_stream *s)
{
    const char *protocols[] = {bitswap_protocol(BITSWAP_1_2), IDENTIFY_PROTOCOL};
    const struct identify_own own = {.public_key = key_pair_public(peer->pair),
                                     .agent_version = "budget-peer",
                                     .protocols = protocols,
                                     .protocol_count = ARRAY_LEN(protocols)};
    struct buf out;
    buf_init(&out, IDENTIFY_SEND_MAX + 16, NULL);
    load_check(identify_encode(&own, &out), "identify");
    write_all(s, buf_span(&out));
    buf_release(&out);
    connection_stream_close(s);
}

static void on_opened(void *user, struct connection_stream *s)
{
    if (!connection_stream_is_inbound(s))
        return;
    if (connection_stream_protocol(s) == PROTOCOL_IDENTIFY) {
        tell_identity(user, s);
        return;
    }
    struct inbound *in = calloc(1, sizeof(*in));
    if (in == NULL)
        load_check(ERR_NOMEM, "a stream");
    in->peer = user;
    bitswap_reader_init(&in->reader);
    bitswap_writer_init(&in->reply, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    connection_stream_set_user(s, in);
}

static void free_inbound(struct connection_stream *s)
{
    struct inbound *in = connection_stream_is_inbound(s) ? connection_stream_user(s) : NULL;
    if (in == NULL)
        return;
    bitswap_reader_release(&in->reader);
    bitswap_writer_release(&in->reply);
    free(in);
}

static void on_data(void *user, struct connection_stream *s, struct span bytes)
{
    (void)user;
    size_t len = bytes.len;
    struct inbound *in = connection_stream_is_inbound(s) ? connection_stream_user(s) : NULL;
    if (in != NULL) {
        struct bitswap_sink sink = {.arg = in,
                                    .acquire = acquire,
                                    .want = on_want,
                                    .presence = on_presence,
                                    .block = on_block,
                                    .rejected = on_rejected,
                                    .end = on_end};
        load_check(bitswap_reader_feed(&in->reader, &bytes, &sink), "a message of the node");
    }
    connection_stream_consume(s, len);
}

static void on_fin(void *user, struct connection_stream *s)
{
    struct load_peer *peer = user;
    if (s == peer->out)
        peer->out = NULL;
    free_inbound(s);
    connection_stream_close(s);
}

static void on_stream_closed(void *user, struct connection_stream *s, enum err err, uint32_t code)
{
    struct load_peer *peer = user;
    (void)err;
    (void)code;
    if (s == peer->out)
        peer->out = NULL;
    free_inbound(s);
}

static void on_upgraded(void *user, struct connection *c, const struct connection_info *info)
{
    (void)c;
    (void)info;
    ((struct load_peer *)user)->upgraded = true;
}

static void on_closed(void *user, struct connection *c, enum err err)
{
    (void)c;
    (void)err;
    ((struct load_peer *)user)->over = true;
}

static const struct connection_events events = {
    .upgraded = on_upgraded,
    .stream_opened = on_opened,
    .stream_data = on_data,
    .stream_fin = on_fin,
    .stream_closed = on_stream_closed,
    .closed = on_closed,
};

/* ---- what goes out ---- */

static void write_message(struct connection_stream *s, struct bitswap_writer *writer)
{
    size_t position = 0;
    struct bitswap_piece piece;
    load_check(bitswap_writer_finish(writer), "a message");
    while (bitswap_writer_next(writer, &position, &piece))
        write_all(s, piece.bytes);
}

static void send_wants(const struct load *load, struct connection_stream *s, size_t from, size_t to)
{
    struct bitswap_writer writer;
    bitswap_writer_init(&writer, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    for (size_t i = from; i < to; i++) {
        struct bitswap_want want = {
            .cid = load->blocks[i], .priority = 1, .type = BITSWAP_WANT_BLOCK, .send_dont_have = true};
        load_check(bitswap_writer_want(&writer, &want), "a want");
    }
    write_message(s, &writer);
    bitswap_writer_release(&writer);
}

static void ask_more(struct load_peer *peer)
{
    size_t to = MIN(peer->came + WINDOW, peer->load->block_count);
    if (peer->out != NULL && peer->asked < to)
        send_wants(peer->load, peer->out, peer->asked, to);
    peer->asked = MAX(peer->asked, to);
}

static void begin_round(struct load_peer *peer, uint64_t now)
{
    static const char *protocol[1];
    protocol[0] = bitswap_protocol(BITSWAP_1_2);
    if (peer->out == NULL)
        load_check(connection_open_stream(peer->c, protocol, 1, true, NULL, now, &peer->out), "a stream to the node");
    memset(peer->got, 0, sizeof(peer->got));
    peer->asked = 0;
    peer->came = 0;
    peer->round_at = UINT64_MAX;
    peer->round_began = now;
    peer->stalled = false;
    ask_more(peer);
}

static void dial(struct load_peer *peer, uint64_t now)
{
    int one = 1;
    peer->dial_at = now + DIAL_AGAIN_MS * MS_NS;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        load_check(err_from_errno(errno), "a socket");
    if (connect(fd, (const struct sockaddr *)&peer->load->node, sizeof(peer->load->node)) != 0) {
        peer->load->refused++;
        (void)close(fd);
        return;
    }
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct connection_config config = {.role = CONNECTION_DIALER,
                                       .identity = peer->identity,
                                       .security = {CONNECTION_NOISE},
                                       .security_count = 1,
                                       .optimistic = true,
                                       .random = fill_random,
                                       .match_protocol = match,
                                       .events = &events,
                                       .user = peer};
    load_check(connection_new(&config, now, &peer->c), "a connection");
    peer->fd = fd;
    peer->upgraded = false;
    peer->over = false;
    peer->round_at = now + peer->delay_ns;
}

static void hang_up(struct load_peer *peer)
{
    connection_free(peer->c);
    (void)close(peer->fd);
    peer->c = NULL;
    peer->fd = -1;
    peer->out = NULL;
    peer->load->lost++;
}

static void flush(struct load_peer *peer)
{
    struct iovec iov[16];
    int count;
    while (!peer->over && (count = connection_output(peer->c, iov, 16)) > 0) {
        ssize_t wrote = writev(peer->fd, iov, count);
        if (wrote < 0 && errno == EAGAIN)
            return;
        if (wrote < 0)
            peer->over = true;
        else
            connection_output_done(peer->c, (size_t)wrote, clock_mono_ns());
    }
}

static void feed(struct load_peer *peer)
{
    static uint8_t scratch[SCRATCH_BYTES];
    ssize_t len = read(peer->fd, scratch, sizeof(scratch));
    if (len >= 0)
        connection_feed(peer->c, scratch, (size_t)len, clock_mono_ns());
    else if (errno != EAGAIN)
        peer->over = true;
}

void load_peer_turn(struct load_peer *peer, bool readable)
{
    uint64_t now = clock_mono_ns();
    if (peer->fd < 0 && now >= peer->dial_at)
        dial(peer, now);
    if (peer->fd < 0)
        return;
    if (readable)
        feed(peer);
    if (!peer->over)
        connection_tick(peer->c, now);
    if (!peer->over && peer->upgraded && now >= peer->round_at)
        begin_round(peer, now);
    if (peer->round_at == UINT64_MAX && !peer->stalled && now > peer->round_began + LOAD_STALL_S * SECOND_NS) {
        peer->stalled = true;
        peer->load->stalls++;
    }
    flush(peer);
    if (peer->over)
        hang_up(peer);
}

void load_sort(struct load *load)
{
    qsort(load->blocks, load->block_count, sizeof(load->blocks[0]), compare);
}

struct load_peer *load_peer_new(struct load *load, uint64_t delay_ns)
{
    struct load_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        load_check(ERR_NOMEM, "a peer");
    peer->load = load;
    peer->delay_ns = delay_ns;
    peer->fd = -1;
    load_check(key_pair_generate(&peer->pair), "a key");
    load_check(connection_identity_new(peer->pair, fill_random, NULL, &peer->identity), "an identity");
    return peer;
}

void load_peer_free(struct load_peer *peer)
{
    connection_free(peer->c);
    if (peer->fd >= 0)
        (void)close(peer->fd);
    connection_identity_free(peer->identity);
    key_pair_free(peer->pair);
    free(peer);
}

int load_peer_fd(const struct load_peer *peer)
{
    return peer->fd;
}

bool load_peer_writes(struct load_peer *peer)
{
    struct iovec iov;
    return peer->fd >= 0 && connection_output(peer->c, &iov, 1) > 0;
}

uint32_t load_peer_rounds(const struct load_peer *peer)
{
    return peer->rounds;
}

bool load_peer_is_up(const struct load_peer *peer)
{
    return peer->fd >= 0 && peer->upgraded;
}

uint64_t load_peer_round_ns(const struct load_peer *peer)
{
    return peer->round_at == UINT64_MAX ? clock_mono_ns() - peer->round_began : 0;
}
