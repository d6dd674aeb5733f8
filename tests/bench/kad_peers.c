/* SPDX-License-Identifier: MIT */
#include "tests/bench/kad_peers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "actors/connection_manager/connection.h"
#include "base/clock.h"
#include "base/random.h"
#include "wire/bitswap.h"
#include "wire/identify.h"
#include "wire/kad.h"
#include "wire/keys.h"
#include "wire/multiaddr.h"
#include "wire/ping.h"

enum {
    UPGRADES_MAX = 32, /* under way at once: a node has room for 128 */
    UPGRADE_S = 20,    /* then it is lost */
    READ_BYTES = 128 * 1024,
    EVENTS_MAX = 256,
    REQUEST_BYTES = 39, /* of one request with its length */
    ANNOUNCED = 2
};

static const char *const kind_names[KAD_PEERS_KINDS] = {"kad", "identify", "push", "ping", "bitswap", "muxer"};

struct peer {
    unsigned number;
    int fd;
    struct key_pair *pair;
    struct connection_identity *identity; /* until the upgrade: a certificate for each of thousands is much */
    struct connection *c;
    struct connection_stream *ask;
    struct kad_reader answers;
    uint64_t dialled_ns;
    unsigned flight; /* requests that were not answered */
    bool upgraded;
    bool over;
    bool waits; /* for the socket to take more */
};

/* Requests of the node. */
struct inbound {
    struct kad_reader reader;
};

static struct peer *peers;
static size_t peer_count;
static const char *kad_protocol;
static struct sockaddr_in node;
static int epoll_fd;
static unsigned flight_wanted;
static struct kad_peers_count count;
static enum kad_peers_kind moved_by; /* whose event the turn of a connection has brought */

void kad_peers_check(enum err err, const char *what)
{
    if (err == ERR_OK)
        return;
    (void)fprintf(stderr, "kad_peers: %s: %s\n", what, err_text(err));
    exit(EXIT_FAILURE);
}

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    random_fill(to, len);
}

static uint64_t random_word(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static struct in_addr address_of(unsigned number)
{
    return (struct in_addr){.s_addr = htonl(0x7f010000U + number / 250 * 256 + number % 250 + 1)};
}

/* ---- what the node asks ---- */

static void write_all(struct connection_stream *s, struct span bytes)
{
    size_t accepted = 0;
    enum err err = connection_stream_write(s, bytes, &accepted);
    kad_peers_check(err == ERR_OK && accepted != bytes.len ? ERR_TOO_LARGE : err,
                    "a write"); /* a stream has room for 256 KiB */
}

static void tell_identity(struct peer *peer, struct connection_stream *s)
{
    const char *protocols[] = {kad_protocol, IDENTIFY_PROTOCOL, IDENTIFY_PUSH_PROTOCOL, PING_PROTOCOL,
                               bitswap_protocol(BITSWAP_1_2)};
    struct multiaddr addrs[ANNOUNCED];
    char ip[INET_ADDRSTRLEN];
    struct in_addr at = address_of(peer->number);
    (void)inet_ntop(AF_INET, &at, ip, sizeof(ip));
    for (unsigned i = 0; i < ANNOUNCED; i++) {
        char text[64];
        int len = snprintf(text, sizeof(text), "/ip4/%s/tcp/%u", ip, 9 + i); /* where nobody listens */
        kad_peers_check(multiaddr_parse_text(span_of(text, (size_t)len), &addrs[i]), "an address");
    }
    const struct identify_own own = {.public_key = key_pair_public(peer->pair),
                                     .agent_version = "bench-peer",
                                     .listen_addrs = addrs,
                                     .listen_count = ANNOUNCED,
                                     .protocols = protocols,
                                     .protocol_count = ARRAY_LEN(protocols)};
    struct buf out;
    buf_init(&out, IDENTIFY_SEND_MAX + 16, NULL);
    kad_peers_check(identify_encode(&own, &out), "identify");
    write_all(s, buf_span(&out));
    buf_release(&out);
    connection_stream_close(s);
}

/* Nobody is known here: an answer is the type, and the key where it belongs. */
static void answer(struct connection_stream *s, struct span body)
{
    struct kad_message message;
    struct kad_writer w;
    struct buf out;
    kad_peers_check(kad_parse(body, false, &message), "a request of the node");
    if ((unsigned)message.type < KAD_PEERS_TYPES)
        count.asked_by_node[message.type]++;
    if (message.type == KAD_ADD_PROVIDER)
        return;
    kad_writer_init(&w, NULL);
    buf_init(&out, KAD_SEND_MAX + 8, NULL);
    kad_writer_begin(&w, message.type, message.type == KAD_FIND_NODE ? span_of(NULL, 0) : message.key);
    kad_peers_check(kad_writer_finish(&w, &out), "an answer");
    write_all(s, buf_span(&out));
    buf_release(&out);
    kad_writer_release(&w);
}

static void free_inbound(struct connection_stream *s)
{
    struct inbound *in = connection_stream_is_inbound(s) ? connection_stream_user(s) : NULL;
    if (in == NULL)
        return;
    kad_reader_release(&in->reader);
    free(in);
}

static void serve(struct connection_stream *s, struct inbound *in, struct span bytes)
{
    struct span body;
    enum err err;
    while ((err = kad_reader_feed(&in->reader, &bytes, &body)) == ERR_OK) {
        answer(s, body);
        kad_reader_next(&in->reader);
    }
    kad_peers_check(err == ERR_AGAIN ? ERR_OK : err, "the node's requests");
}

/* ---- what the node is asked ---- */

static void ask_more(struct peer *peer)
{
    uint8_t bytes[KAD_PEERS_FLIGHT_MAX * REQUEST_BYTES];
    size_t len = 0;
    while (peer->flight < flight_wanted) {
        const uint8_t head[] = {
            REQUEST_BYTES - 1, 0x08, peer->flight % 2 == 0 ? KAD_FIND_NODE : KAD_GET_PROVIDERS, 0x12, 34, 0x12, 32};
        memcpy(bytes + len, head, sizeof(head));
        for (size_t i = 0; i < 4; i++) {
            uint64_t word = random_word();
            memcpy(bytes + len + sizeof(head) + 8 * i, &word, sizeof(word));
        }
        len += REQUEST_BYTES;
        peer->flight++;
    }
    if (len > 0)
        write_all(peer->ask, span_of(bytes, len));
}

static void take_answers(struct peer *peer, struct span bytes)
{
    struct span body;
    enum err err;
    count.answer_bytes += bytes.len;
    while ((err = kad_reader_feed(&peer->answers, &bytes, &body)) == ERR_OK) {
        struct kad_message message;
        struct kad_iterator it = {0};
        struct kad_peer told;
        kad_peers_check(kad_parse(body, false, &message), "an answer of the node");
        kad_peers_check(message.type == KAD_FIND_NODE || message.type == KAD_GET_PROVIDERS ? ERR_OK : ERR_PROTOCOL,
                        "an answer's type");
        count.answers[message.type == KAD_GET_PROVIDERS]++;
        if ((count.answers[0] + count.answers[1]) % 64 == 0) { /* a sample: the asker's work is not what is measured */
            count.sampled++;
            while (kad_next_peer(&message, KAD_CLOSER, &it, &told))
                count.closer++;
        }
        peer->flight--;
        kad_reader_next(&peer->answers);
    }
    kad_peers_check(err == ERR_AGAIN ? ERR_OK : err, "the node's answers");
    if (peer->flight <= flight_wanted / 2)
        ask_more(peer);
}

/* ---- events ---- */

static int match(void *user, struct span name)
{
    (void)user;
    if (span_equal_text(name, kad_protocol))
        return KAD_PEERS_KAD;
    if (span_equal_text(name, IDENTIFY_PROTOCOL))
        return KAD_PEERS_IDENTIFY;
    if (span_equal_text(name, IDENTIFY_PUSH_PROTOCOL))
        return KAD_PEERS_PUSH;
    if (span_equal_text(name, PING_PROTOCOL))
        return KAD_PEERS_PING;
    return span_equal_text(name, bitswap_protocol(BITSWAP_1_2)) ? KAD_PEERS_BITSWAP : -1;
}

static void note_event(const struct connection_stream *s)
{
    int protocol = connection_stream_is_inbound(s) ? connection_stream_protocol(s) : KAD_PEERS_KAD;
    moved_by = protocol < 0 ? KAD_PEERS_MUXER : (enum kad_peers_kind)protocol;
}

static void on_opened(void *user, struct connection_stream *s)
{
    note_event(s);
    if (!connection_stream_is_inbound(s))
        return;
    count.moved[connection_stream_protocol(s)].streams++;
    if (connection_stream_protocol(s) == KAD_PEERS_IDENTIFY) {
        tell_identity(user, s);
    } else if (connection_stream_protocol(s) == KAD_PEERS_KAD) {
        struct inbound *in = calloc(1, sizeof(*in));
        kad_peers_check(in == NULL ? ERR_NOMEM : ERR_OK, "a stream");
        kad_reader_init(&in->reader, KAD_REQUEST_MAX, KAD_REQUEST_MAX, NULL);
        connection_stream_set_user(s, in);
    }
}

static void on_data(void *user, struct connection_stream *s, struct span bytes)
{
    struct peer *peer = user;
    size_t len = bytes.len;
    note_event(s);
    if (s == peer->ask)
        take_answers(peer, bytes);
    else if (connection_stream_protocol(s) == KAD_PEERS_PING)
        write_all(s, bytes);
    else if (connection_stream_is_inbound(s) && connection_stream_user(s) != NULL)
        serve(s, connection_stream_user(s), bytes);
    connection_stream_consume(s, len);
}

static void on_fin(void *user, struct connection_stream *s)
{
    struct peer *peer = user;
    note_event(s);
    if (s == peer->ask)
        kad_peers_check(ERR_CLOSED, "the stream that is asked on");
    free_inbound(s);
    connection_stream_close(s);
}

static void on_stream_closed(void *user, struct connection_stream *s, enum err err, uint32_t code)
{
    struct peer *peer = user;
    (void)code;
    note_event(s);
    if (s == peer->ask)
        kad_peers_check(err == ERR_OK ? ERR_CLOSED : err, "the stream that is asked on");
    free_inbound(s);
}

static void on_upgraded(void *user, struct connection *c, const struct connection_info *info)
{
    (void)c;
    (void)info;
    ((struct peer *)user)->upgraded = true;
    count.up++;
}

static void on_closed(void *user, struct connection *c, enum err err)
{
    (void)c;
    (void)err;
    ((struct peer *)user)->over = true;
}

static const struct connection_events events = {.upgraded = on_upgraded,
                                                .stream_opened = on_opened,
                                                .stream_data = on_data,
                                                .stream_fin = on_fin,
                                                .stream_closed = on_stream_closed,
                                                .closed = on_closed};

/* ---- sockets ---- */

static void watch(struct peer *peer, bool waits, int operation)
{
    struct epoll_event event = {.events = EPOLLIN | (waits ? (uint32_t)EPOLLOUT : 0), .data.ptr = peer};
    peer->waits = waits;
    kad_peers_check(epoll_ctl(epoll_fd, operation, peer->fd, &event) == 0 ? ERR_OK : err_from_errno(errno), "epoll");
}

static void dial(struct peer *peer)
{
    int one = 1;
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr = address_of(peer->number)};
    uint64_t now = clock_mono_ns();
    kad_peers_check(key_pair_generate(&peer->pair), "a key");
    kad_peers_check(connection_identity_new(peer->pair, fill_random, NULL, &peer->identity), "an identity");
    kad_reader_init(&peer->answers, KAD_ANSWER_MAX, KAD_ANSWER_KEPT, NULL);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (peer->fd < 0 || bind(peer->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        (connect(peer->fd, (struct sockaddr *)&node, sizeof(node)) != 0 && errno != EINPROGRESS))
        kad_peers_check(err_from_errno(errno), "a socket");
    (void)setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct connection_config config = {.role = CONNECTION_DIALER,
                                       .identity = peer->identity,
                                       .security = {CONNECTION_NOISE},
                                       .security_count = 1,
                                       .optimistic = true,
                                       .random = fill_random,
                                       .match_protocol = match,
                                       .events = &events,
                                       .user = peer};
    kad_peers_check(connection_new(&config, now, &peer->c), "a connection");
    peer->dialled_ns = now;
    watch(peer, true, EPOLL_CTL_ADD);
}

static void hang_up(struct peer *peer)
{
    connection_free(peer->c);
    connection_identity_free(peer->identity);
    (void)close(peer->fd);
    count.up -= peer->upgraded ? 1 : 0;
    count.lost++;
    peer->c = NULL;
    peer->identity = NULL;
    peer->fd = -1;
}

static void flush(struct peer *peer)
{
    struct iovec iov[16];
    int pieces;
    bool waits = false;
    while (!peer->over && !waits && (pieces = connection_output(peer->c, iov, 16)) > 0) {
        ssize_t wrote = writev(peer->fd, iov, pieces);
        if (wrote >= 0)
            connection_output_done(peer->c, (size_t)wrote, clock_mono_ns());
        else if (errno == EAGAIN)
            waits = true;
        else
            peer->over = true;
    }
    if (waits != peer->waits && !peer->over)
        watch(peer, waits, EPOLL_CTL_MOD);
}

static void turn(struct peer *peer, uint32_t what)
{
    static uint8_t scratch[READ_BYTES];
    uint64_t in[2] = {0};
    uint64_t out[2] = {0};
    connection_traffic(peer->c, &in[0], &out[0]);
    moved_by = KAD_PEERS_MUXER;
    if ((what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t len = read(peer->fd, scratch, sizeof(scratch));
        if (len >= 0)
            connection_feed(peer->c, scratch, (size_t)len, clock_mono_ns());
        else if (errno != EAGAIN)
            peer->over = true;
    }
    flush(peer);
    connection_traffic(peer->c, &in[1], &out[1]);
    struct kad_peers_moved *moved = &count.moved[moved_by];
    moved->turns++;
    moved->in_bytes += in[1] - in[0];
    moved->out_bytes += out[1] - out[0];
    if (peer->upgraded && peer->identity != NULL) {
        connection_identity_free(peer->identity);
        peer->identity = NULL;
    }
    if (peer->over)
        hang_up(peer);
}

bool kad_peers_run(int timeout_ms)
{
    struct epoll_event ready[EVENTS_MAX];
    bool asked = false;
    int found = epoll_wait(epoll_fd, ready, EVENTS_MAX, timeout_ms);
    for (int i = 0; i < found; i++) {
        struct peer *peer = ready[i].data.ptr;
        if (peer == NULL)
            asked = true;
        else if (peer->fd >= 0)
            turn(peer, ready[i].events);
    }
    return asked;
}

void kad_peers_connect(void)
{
    size_t begun = 0;
    size_t oldest = 0;
    while (count.up + count.lost < peer_count) {
        while (begun < peer_count && begun - count.up - count.lost < UPGRADES_MAX)
            dial(&peers[begun++]);
        (void)kad_peers_run(100);
        for (; oldest < begun && (peers[oldest].upgraded || peers[oldest].fd < 0); oldest++) {
        }
        if (oldest < begun && clock_mono_ns() > peers[oldest].dialled_ns + UPGRADE_S * SECOND_NS)
            hang_up(&peers[oldest]);
    }
}

void kad_peers_init(uint16_t port, size_t number, const char *protocol)
{
    node =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    kad_protocol = protocol;
    peer_count = number;
    peers = calloc(number, sizeof(*peers));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    kad_peers_check(peers == NULL || epoll_fd < 0 ? ERR_NOMEM : ERR_OK, "peers");
    for (size_t i = 0; i < number; i++)
        peers[i] = (struct peer){.number = (unsigned)i, .fd = -1};
}

void kad_peers_watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    kad_peers_check(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ERR_OK : err_from_errno(errno), "a file");
}

void kad_peers_ask(unsigned flight)
{
    flight_wanted = flight;
    for (size_t i = 0; i < peer_count; i++) {
        struct peer *peer = &peers[i];
        kad_peers_check(peer->fd < 0 ? ERR_CLOSED : ERR_OK, "a peer");
        kad_peers_check(connection_open_stream(peer->c, &kad_protocol, 1, true, NULL, clock_mono_ns(), &peer->ask),
                        "a stream");
        ask_more(peer);
        flush(peer);
    }
}

const char *kad_peers_kind_name(enum kad_peers_kind kind)
{
    return kind_names[kind];
}

struct kad_peers_count kad_peers_count(void)
{
    struct kad_peers_count now = count;
    for (size_t i = 0; i < peer_count; i++) {
        uint64_t in = 0;
        uint64_t out = 0;
        if (peers[i].c != NULL)
            connection_traffic(peers[i].c, &in, &out);
        now.in_bytes += in;
        now.out_bytes += out;
    }
    return now;
}
