/* SPDX-License-Identifier: MIT */
/*
 * Many peers in one thread, each with an identity and a connection of its own, that ask one node for the same blocks over and over: the
 * load of `make budget`. They are made of the node's own engines (connection, Bitswap codec), so that 93 of them cost little.
 *
 * A round of a peer: it wants all blocks in order, WINDOW of them at a time as Kubo's sessions do, counts them as they come, and begins
 * the next round a pause after the last one. What goes wrong is counted and told: connections lost, blocks that nobody asked for, blocks
 * said to be absent, rounds that took longer than STALL_S.
 *
 * usage: budget_peers PORT PEERS SECONDS PAUSE_MS < CIDs, one a line. Prints one JSON object at the end, or on SIGTERM.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
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
    PEERS_MAX = 128,
    BLOCKS_MAX = 1024, /* what a node remembers of one peer's wants */
    WINDOW = 64,
    SCRATCH_BYTES = 128 * 1024,
    POLL_MS = 50,
    DIAL_AGAIN_MS = 1000,
    STALL_S = 60,
};

enum { PROTOCOL_BITSWAP, PROTOCOL_IDENTIFY };

struct peer {
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
    bool got[BLOCKS_MAX];
};

struct inbound {
    struct peer *peer;
    struct bitswap_reader reader;
    struct bitswap_writer reply; /* to the message being read */
};

static struct {
    struct cid blocks[BLOCKS_MAX]; /* in order of bytes */
    size_t block_count;
    uint64_t pause_ns;
    struct peer peers[PEERS_MAX];
    size_t peer_count;
    struct sockaddr_in node;
    uint64_t received, bytes, unasked, rejected, lost, refused, stalls, dont_haves;
    uint64_t slowest_round_ns;
} load;

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void check(enum err err, const char *what)
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

static void end_round(struct peer *peer)
{
    uint64_t now = clock_mono_ns();
    uint64_t took = now - peer->round_began;
    load.slowest_round_ns = MAX(load.slowest_round_ns, took);
    peer->rounds++;
    peer->round_at = now + load.pause_ns;
}

static void ask_more(struct peer *peer);

static void on_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    struct peer *peer = ((struct inbound *)arg)->peer;
    const struct cid *found = bsearch(cid, load.blocks, load.block_count, sizeof(*cid), compare);
    if (found == NULL || peer->round_at != UINT64_MAX || peer->got[found - load.blocks]) {
        load.unasked++;
        return;
    }
    peer->got[found - load.blocks] = true;
    load.received++;
    load.bytes += block->len;
    peer->came++;
    if (peer->came == load.block_count)
        end_round(peer);
    else if (peer->asked - peer->came <= WINDOW / 2)
        ask_more(peer);
}

static void on_presence(void *arg, const struct cid *cid, bool have)
{
    (void)arg;
    (void)cid;
    load.dont_haves += have ? 0 : 1;
}

static void on_rejected(void *arg, enum err why, size_t bytes)
{
    (void)arg;
    (void)why;
    (void)bytes;
    load.rejected++;
}

/* These peers have nothing, and say so where that is asked. */
static void on_want(void *arg, const struct bitswap_want *want)
{
    struct inbound *in = arg;
    if (!want->cancel && want->send_dont_have)
        check(bitswap_writer_presence(&in->reply, &want->cid, false), "an answer");
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
    check(connection_stream_write(s, bytes, &accepted), "a write");
    if (accepted != bytes.len)
        check(ERR_TOO_LARGE, "a write"); /* a few KiB: a stream that is read has room for 256 */
}

static void tell_identity(const struct peer *peer, struct connection_stream *s)
{
    const char *protocols[] = {bitswap_protocol(BITSWAP_1_2), IDENTIFY_PROTOCOL};
    const struct identify_own own = {.public_key = key_pair_public(peer->pair),
                                     .agent_version = "budget-peer",
                                     .protocols = protocols,
                                     .protocol_count = ARRAY_LEN(protocols)};
    struct buf out;
    buf_init(&out, IDENTIFY_SEND_MAX + 16, NULL);
    check(identify_encode(&own, &out), "identify");
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
        check(ERR_NOMEM, "a stream");
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
        check(bitswap_reader_feed(&in->reader, &bytes, &sink), "a message of the node");
    }
    connection_stream_consume(s, len);
}

static void on_fin(void *user, struct connection_stream *s)
{
    struct peer *peer = user;
    if (s == peer->out)
        peer->out = NULL;
    free_inbound(s);
    connection_stream_close(s);
}

static void on_stream_closed(void *user, struct connection_stream *s, enum err err, uint32_t code)
{
    struct peer *peer = user;
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
    ((struct peer *)user)->upgraded = true;
}

static void on_closed(void *user, struct connection *c, enum err err)
{
    (void)c;
    (void)err;
    ((struct peer *)user)->over = true;
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
    check(bitswap_writer_finish(writer), "a message");
    while (bitswap_writer_next(writer, &position, &piece))
        write_all(s, piece.bytes);
}

static void send_wants(struct connection_stream *s, size_t from, size_t to)
{
    struct bitswap_writer writer;
    bitswap_writer_init(&writer, BITSWAP_1_2, BITSWAP_MESSAGE_MAX, NULL);
    for (size_t i = from; i < to; i++) {
        struct bitswap_want want = {
            .cid = load.blocks[i], .priority = 1, .type = BITSWAP_WANT_BLOCK, .send_dont_have = true};
        check(bitswap_writer_want(&writer, &want), "a want");
    }
    write_message(s, &writer);
    bitswap_writer_release(&writer);
}

static void ask_more(struct peer *peer)
{
    size_t to = MIN(peer->came + WINDOW, load.block_count);
    if (peer->out != NULL && peer->asked < to)
        send_wants(peer->out, peer->asked, to);
    peer->asked = MAX(peer->asked, to);
}

static void begin_round(struct peer *peer, uint64_t now)
{
    static const char *protocol[1];
    protocol[0] = bitswap_protocol(BITSWAP_1_2);
    if (peer->out == NULL)
        check(connection_open_stream(peer->c, protocol, 1, true, NULL, now, &peer->out), "a stream to the node");
    memset(peer->got, 0, sizeof(peer->got));
    peer->asked = 0;
    peer->came = 0;
    peer->round_at = UINT64_MAX;
    peer->round_began = now;
    peer->stalled = false;
    ask_more(peer);
}

static void dial(struct peer *peer, uint64_t now)
{
    int one = 1;
    peer->dial_at = now + DIAL_AGAIN_MS * MS_NS;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        check(err_from_errno(errno), "a socket");
    if (connect(fd, (const struct sockaddr *)&load.node, sizeof(load.node)) != 0) {
        load.refused++;
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
    check(connection_new(&config, now, &peer->c), "a connection");
    peer->fd = fd;
    peer->upgraded = false;
    peer->over = false;
    peer->round_at = now + (uint64_t)(peer - load.peers) * load.pause_ns / load.peer_count; /* not all at once */
}

static void hang_up(struct peer *peer)
{
    connection_free(peer->c);
    (void)close(peer->fd);
    peer->c = NULL;
    peer->fd = -1;
    peer->out = NULL;
    load.lost++;
}

static void flush(struct peer *peer)
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

static void feed(struct peer *peer)
{
    static uint8_t scratch[SCRATCH_BYTES];
    ssize_t len = read(peer->fd, scratch, sizeof(scratch));
    if (len >= 0)
        connection_feed(peer->c, scratch, (size_t)len, clock_mono_ns());
    else if (errno != EAGAIN)
        peer->over = true;
}

/* ---- all of them ---- */

static void turn(struct peer *peer, short ready)
{
    uint64_t now = clock_mono_ns();
    if (peer->fd < 0 && now >= peer->dial_at)
        dial(peer, now);
    if (peer->fd < 0)
        return;
    if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0)
        feed(peer);
    if (!peer->over)
        connection_tick(peer->c, now);
    if (!peer->over && peer->upgraded && now >= peer->round_at)
        begin_round(peer, now);
    if (peer->round_at == UINT64_MAX && !peer->stalled && now > peer->round_began + STALL_S * SECOND_NS) {
        peer->stalled = true;
        load.stalls++;
    }
    flush(peer);
    if (peer->over)
        hang_up(peer);
}

static void run(uint64_t until)
{
    struct pollfd fds[PEERS_MAX];
    while (!stop && clock_mono_ns() < until) {
        for (size_t i = 0; i < load.peer_count; i++) {
            struct iovec iov;
            struct peer *peer = &load.peers[i];
            bool writing = peer->fd >= 0 && connection_output(peer->c, &iov, 1) > 0;
            fds[i] = (struct pollfd){.fd = peer->fd, .events = (short)(POLLIN | (writing ? POLLOUT : 0))};
        }
        (void)poll(fds, load.peer_count, POLL_MS);
        for (size_t i = 0; i < load.peer_count && !stop; i++)
            turn(&load.peers[i], load.peers[i].fd < 0 ? 0 : fds[i].revents);
    }
}

static void report(void)
{
    uint32_t fewest = UINT32_MAX;
    uint64_t rounds = 0;
    size_t connected = 0;
    uint64_t slowest = load.slowest_round_ns;
    for (size_t i = 0; i < load.peer_count; i++) {
        const struct peer *peer = &load.peers[i];
        fewest = MIN(fewest, peer->rounds);
        rounds += peer->rounds;
        connected += peer->fd >= 0 && peer->upgraded ? 1 : 0;
        if (peer->round_at == UINT64_MAX)
            slowest = MAX(slowest, clock_mono_ns() - peer->round_began);
    }
    printf("{\"peers\": %zu, \"connected\": %zu, \"rounds\": %" PRIu64 ", \"fewest_rounds\": %u, \"blocks\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"unasked\": %" PRIu64 ", \"rejected\": %" PRIu64 ", \"dont_haves\": %" PRIu64
           ", \"lost\": %" PRIu64 ", \"refused\": %" PRIu64 ", \"stalls\": %" PRIu64 ", \"slowest_round_s\": %.1f}\n",
           load.peer_count, connected, rounds, fewest, load.received, load.bytes, load.unasked, load.rejected,
           load.dont_haves, load.lost, load.refused, load.stalls, (double)slowest / 1e9);
}

static void read_blocks(void)
{
    char line[256];
    while (load.block_count < BLOCKS_MAX && fgets(line, sizeof(line), stdin) != NULL) {
        size_t len = strcspn(line, "\n");
        check(cid_parse_text(span_of(line, len), &load.blocks[load.block_count]), "a CID");
        load.block_count++;
    }
    if (load.block_count == 0)
        check(ERR_INVALID, "no CIDs");
    qsort(load.blocks, load.block_count, sizeof(load.blocks[0]), compare);
}

static unsigned long number(const char *text, unsigned long max)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value > max)
        check(ERR_INVALID, text);
    return value;
}

int main(int argc, char **argv)
{
    if (argc != 5 || sodium_init() < 0) {
        (void)fputs("usage: budget_peers PORT PEERS SECONDS PAUSE_MS < CIDs\n", stderr);
        return 2;
    }
    load.node = (struct sockaddr_in){.sin_family = AF_INET,
                                     .sin_port = htons((uint16_t)number(argv[1], 65535)),
                                     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    load.peer_count = number(argv[2], PEERS_MAX);
    load.pause_ns = number(argv[4], 3600000) * MS_NS;
    read_blocks();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTERM, on_signal);
    for (size_t i = 0; i < load.peer_count; i++) {
        struct peer *peer = &load.peers[i];
        peer->fd = -1;
        check(key_pair_generate(&peer->pair), "a key");
        check(connection_identity_new(peer->pair, fill_random, NULL, &peer->identity), "an identity");
    }
    run(clock_mono_ns() + number(argv[3], 86400) * SECOND_NS);
    report();
    for (size_t i = 0; i < load.peer_count; i++) {
        connection_free(load.peers[i].c);
        connection_identity_free(load.peers[i].identity);
        key_pair_free(load.peers[i].pair);
    }
    return EXIT_SUCCESS;
}
