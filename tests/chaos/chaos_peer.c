/* SPDX-License-Identifier: MIT */
/*
 * The secure channel of a hostile peer: the node's own Noise engine for the handshake, and nothing of its own above it. Whoever starts it
 * holds the sockets and says each byte, so it can say what no engine would.
 *
 *      chaos_peer dial|listen SEED [PROOF-FILE|empty|tampered|foreign|nokey]       stdin: the TCP connection, stdout: a local stream socket
 *
 *          local -> here:  | type | length, 4 bytes | payload |      P: plaintext, sealed   R: raw bytes onto the connection
 *                                                                    D: 0 reads the connection, 1 does not
 *          here -> local:  a line "ok PEER-ID" or "failed WHY", then the plaintext that comes; the end means the end
 *
 *      chaos_peer static   the same sockets: a line "ok STATIC-KEY", the node's Noise key, and the end in mid-handshake
 *      chaos_peer keys     lines "SEED [MESSAGE]" -> "PEER-ID PUBLIC-KEY SIGNATURE NOISE-KEY"
 *
 * All in hex; a seed is 32 bytes, and where the proof is given the secret of the static Noise key, too. Both directions wait for each other: what the node does not read is not taken from the local side. The
 * last argument of the first form replaces the proof of identity: by a file's bytes, or by one of the named ways to be wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/attr.h"
#include "wire/keys.h"
#include "wire/noise_session.h"
#include "wire/protobuf.h"

enum {
    TCP = 0,
    LOCAL = 1,
    HELD_MAX = 1 << 20, /* a direction stops being read at a quarter of it */
    PIECE_BYTES = 64 * 1024,
    HEADER_BYTES = 5,
    LINE_BYTES = 65536,
    HANDSHAKE_MS = 30000,
};

static const char hello[] = "\x13/multistream/1.0.0\n\x07/noise\n";
static const char *const muxers[] = {"/yamux/1.0.0"};

static struct noise_session noise;
static struct buf to_tcp, to_local, commands;
static bool deaf;

__attribute__((noreturn)) static void fail(const char *what)
{
    (void)dprintf(LOCAL, "failed %s\n", what);
    exit(EXIT_FAILURE);
}

static void require(enum err err)
{
    if (err != ERR_OK)
        fail(err_text(err));
}

static void hex(struct span bytes, FILE *out)
{
    for (size_t i = 0; i < bytes.len; i++)
        (void)fprintf(out, "%02x", bytes.data[i]);
}

static struct key_pair *pair_of(const char *text, size_t len)
{
    uint8_t seed[ED25519_SEED_BYTES];
    size_t n = 0;
    struct key_pair *pair = NULL;
    if (sodium_hex2bin(seed, sizeof(seed), text, len, NULL, &n, NULL) != 0 || n != sizeof(seed))
        fail("no seed");
    require(key_pair_of_seed(seed, &pair));
    return pair;
}

/* ---- keys ---- */

static int answer_keys(void)
{
    static char line[LINE_BYTES];
    static uint8_t message[LINE_BYTES / 2];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        size_t seed_len = strcspn(line, " \n");
        const char *rest = line + seed_len + (line[seed_len] == ' ' ? 1 : 0);
        size_t len = 0;
        uint8_t signature[ED25519_SIGNATURE_BYTES];
        if (sodium_hex2bin(message, sizeof(message), rest, strcspn(rest, "\n"), NULL, &len, NULL) != 0)
            return EXIT_FAILURE;
        struct key_pair *pair = pair_of(line, seed_len);
        struct peer_id id = key_pair_peer_id(pair);
        key_pair_sign(pair, span_of(message, len), signature);
        hex(span_of(id.bytes, id.len), stdout);
        (void)fputc(' ', stdout);
        hex(key_pair_public(pair), stdout);
        (void)fputc(' ', stdout);
        hex(span_of(signature, sizeof(signature)), stdout);
        uint8_t secret[NOISE_KEY_BYTES];
        struct noise_keypair noise_pair;
        (void)sodium_hex2bin(secret, sizeof(secret), line, seed_len, NULL, &len, NULL);
        noise_keypair_from_secret(secret, &noise_pair);
        (void)fputc(' ', stdout);
        hex(span_of(noise_pair.public_key, NOISE_KEY_BYTES), stdout);
        (void)fputc('\n', stdout);
        (void)fflush(stdout);
        key_pair_free(pair);
    }
    return EXIT_SUCCESS;
}

/* ---- proofs that prove nothing ---- */

static void put_proof(struct buf *proof, struct span key, struct span signature)
{
    buf_release(proof);
    buf_init(proof, 16384, NULL);
    if (key.len > 0)
        require(protobuf_put_bytes(proof, 1, key));
    require(protobuf_put_bytes(proof, 2, signature));
}

static void spoil(struct noise_identity *identity, const struct key_pair *pair, const char *how)
{
    static uint8_t file[12288];
    static const uint8_t other[ED25519_SEED_BYTES] = {7, 7, 7};
    uint8_t text[24 + NOISE_KEY_BYTES] = "noise-libp2p-static-key:";
    uint8_t signature[ED25519_SIGNATURE_BYTES];
    uint8_t own[ED25519_PUBLIC_KEY_BYTES];
    memcpy(own, key_pair_public(pair).data, sizeof(own));
    memcpy(text + 24, identity->s.public_key, NOISE_KEY_BYTES);
    key_pair_sign(pair, span_of(text, sizeof(text)), signature);
    if (strcmp(how, "empty") == 0) {
        put_proof(&identity->proof, span_of(own, sizeof(own)), (struct span){0});
    } else if (strcmp(how, "tampered") == 0) {
        signature[40] ^= 1;
        put_proof(&identity->proof, span_of(own, sizeof(own)), span_of(signature, sizeof(signature)));
    } else if (strcmp(how, "nokey") == 0) {
        put_proof(&identity->proof, (struct span){0}, span_of(signature, sizeof(signature)));
    } else if (strcmp(how, "foreign") == 0) {
        struct key_pair *second = NULL;
        require(key_pair_of_seed(other, &second));
        put_proof(&identity->proof, key_pair_public(second), span_of(signature, sizeof(signature)));
        key_pair_free(second);
    } else {
        int fd = open(how, O_RDONLY | O_CLOEXEC);
        ssize_t len = fd < 0 ? -1 : read(fd, file, sizeof(file));
        if (len < 0)
            fail("no file with a proof");
        (void)close(fd);
        buf_release(&identity->proof);
        buf_init(&identity->proof, sizeof(file), NULL);
        require(buf_append(&identity->proof, file, (size_t)len));
    }
}

/* ---- the channel ---- */

static void write_out(int fd, struct buf *b)
{
    while (b->len > 0) {
        ssize_t n = send(fd, b->data, b->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            exit(EXIT_SUCCESS);
        buf_drop(b, (size_t)n);
    }
}

/* Exactly len bytes of the connection. */
static void read_exactly(char *to, size_t len)
{
    for (size_t n = 0; n < len;) {
        ssize_t got = read(TCP, to + n, len - n);
        if (got <= 0)
            fail("closed");
        n += (size_t)got;
    }
}

static void take_from_tcp(void)
{
    static uint8_t bytes[PIECE_BYTES];
    ssize_t got = recv(TCP, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        if (!noise_session_is_established(&noise))
            fail("closed");
        for (int i = 0; i < 100 && to_local.len > 0; i++) { /* what came before the end is still told */
            (void)poll(&(struct pollfd){.fd = LOCAL, .events = POLLOUT}, 1, 100);
            write_out(LOCAL, &to_local);
        }
        exit(EXIT_SUCCESS);
    }
    for (size_t at = 0; at < (size_t)got;) {
        size_t used = 0;
        struct span plain;
        require(noise_session_feed(&noise, bytes + at, (size_t)got - at, &to_tcp, &used, &plain));
        require(buf_append_span(&to_local, plain));
        at += used;
    }
}

static void seal(struct span plain)
{
    static uint8_t frame[NOISE_LENGTH_BYTES + NOISE_MESSAGE_MAX];
    while (plain.len > 0) {
        struct iovec iov = {.iov_len = plain.len};
        size_t taken = 0;
        size_t written = 0;
        memcpy(&iov.iov_base, &plain.data, sizeof(plain.data)); /* only read */
        require(noise_session_seal(&noise, &iov, 1, frame, sizeof(frame), &taken, &written));
        require(buf_append(&to_tcp, frame, written));
        plain = span_skip(plain, taken);
    }
}

static void take_commands(void)
{
    static uint8_t bytes[PIECE_BYTES];
    ssize_t got = recv(LOCAL, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        exit(EXIT_SUCCESS);
    require(buf_append(&commands, bytes, (size_t)got));
    while (commands.len >= HEADER_BYTES) {
        const uint8_t *h = commands.data;
        size_t len = (size_t)h[1] << 24 | (size_t)h[2] << 16 | (size_t)h[3] << 8 | h[4];
        if (len > HELD_MAX / 4)
            fail("a command of more than 256 KiB");
        if (commands.len < HEADER_BYTES + len)
            return;
        struct span payload = span_of(h + HEADER_BYTES, len);
        if (h[0] == 'P')
            seal(payload);
        else if (h[0] == 'R')
            require(buf_append_span(&to_tcp, payload));
        else if (h[0] == 'D')
            deaf = len == 1 && payload.data[0] == 1;
        buf_drop(&commands, HEADER_BYTES + len);
    }
}

static void turn(void)
{
    bool up = noise_session_is_established(&noise);
    struct pollfd fds[2] = {
        {.fd = TCP,
         .events = (short)((deaf || to_local.len > HELD_MAX / 4 ? 0 : POLLIN) | (to_tcp.len > 0 ? POLLOUT : 0))},
        {.fd = LOCAL,
         .events = (short)((up && to_tcp.len < HELD_MAX / 4 ? POLLIN : 0) | (up && to_local.len > 0 ? POLLOUT : 0))}};
    if (poll(fds, 2, HANDSHAKE_MS) == 0 && !up)
        fail("no handshake");
    if ((fds[0].revents & (POLLHUP | POLLERR)) != 0 && deaf)
        exit(EXIT_SUCCESS);
    if ((fds[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        take_from_tcp();
    if ((fds[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
        take_commands();
    write_out(TCP, &to_tcp);
    if (up)
        write_out(LOCAL, &to_local);
}

static void report(void)
{
    char id[2 * sizeof(noise.remote.bytes) + 1];
    (void)sodium_bin2hex(id, sizeof(id), noise.remote.bytes, noise.remote.len);
    (void)dprintf(LOCAL, "ok %s\n", id);
}

static void greet(void)
{
    char lines[sizeof(hello) - 1];
    if (send(TCP, hello, sizeof(hello) - 1, MSG_NOSIGNAL) < 0)
        fail("closed");
    read_exactly(lines, sizeof(lines));
    if (memcmp(lines, hello, sizeof(lines)) != 0)
        fail("no Noise");
}

/* Two messages of the handshake are enough to see the node's static key. */
static int show_static_key(void)
{
    struct noise_handshake hs;
    struct noise_keypair s, e;
    struct buf message, payload;
    char text[2 * NOISE_KEY_BYTES + 1];
    uint8_t secret[NOISE_KEY_BYTES];
    uint8_t frame[NOISE_LENGTH_BYTES + NOISE_HANDSHAKE_FRAME_MAX];
    buf_init(&message, sizeof(frame), NULL);
    buf_init(&payload, sizeof(frame), NULL);
    randombytes_buf(secret, sizeof(secret));
    noise_keypair_from_secret(secret, &s);
    randombytes_buf(secret, sizeof(secret));
    noise_keypair_from_secret(secret, &e);
    greet();
    noise_handshake_init(&hs, true, (struct span){0}, &s, &e);
    require(noise_handshake_write(&hs, (struct span){0}, &message)); /* e */
    frame[0] = 0;
    frame[1] = (uint8_t)message.len;
    memcpy(frame + NOISE_LENGTH_BYTES, message.data, message.len);
    if (send(TCP, frame, NOISE_LENGTH_BYTES + message.len, MSG_NOSIGNAL) < 0)
        fail("closed");
    read_exactly((char *)frame, NOISE_LENGTH_BYTES);
    size_t len = (size_t)frame[0] << 8 | frame[1];
    if (len > NOISE_HANDSHAKE_FRAME_MAX)
        fail("a message of more than 4 KiB");
    read_exactly((char *)frame, len);
    require(noise_handshake_read(&hs, span_of(frame, len), &payload)); /* e, ee, s, es */
    (void)sodium_bin2hex(text, sizeof(text), hs.rs, NOISE_KEY_BYTES);
    (void)dprintf(LOCAL, "ok %s\n", text);
    return EXIT_SUCCESS;
}

__attribute__((noreturn)) static void pipe_secured(bool initiator, const char *seed, const char *how)
{
    struct key_pair *pair = pair_of(seed, strlen(seed));
    struct noise_identity identity;
    uint8_t secret[NOISE_KEY_BYTES];
    size_t n = 0;
    if (how != NULL) /* so that a proof can be made beforehand */
        (void)sodium_hex2bin(secret, sizeof(secret), seed, strlen(seed), NULL, &n, NULL);
    else
        randombytes_buf(secret, sizeof(secret));
    require(noise_identity_init(&identity, pair, secret));
    if (how != NULL)
        spoil(&identity, pair, how);
    struct noise_session_config config = {
        .identity = &identity, .initiator = initiator, .muxers = muxers, .muxer_count = 1};
    randombytes_buf(config.ephemeral, sizeof(config.ephemeral));
    buf_init(&to_tcp, 2 * HELD_MAX, NULL);
    buf_init(&to_local, 2 * HELD_MAX, NULL);
    buf_init(&commands, 2 * HELD_MAX, NULL);
    greet();
    noise_session_init(&noise, &config);
    require(noise_session_start(&noise, &to_tcp));
    write_out(TCP, &to_tcp);
    while (!noise_session_is_established(&noise))
        turn();
    report();
    for (;;)
        turn();
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    if (sodium_init() < 0)
        return 2;
    if (argc == 2 && strcmp(argv[1], "keys") == 0)
        return answer_keys();
    if (argc == 2 && strcmp(argv[1], "static") == 0)
        return show_static_key();
    if (argc < 3 || (strcmp(argv[1], "dial") != 0 && strcmp(argv[1], "listen") != 0)) {
        (void)fputs("usage: chaos_peer dial|listen SEED [PROOF], chaos_peer static, chaos_peer keys\n", stderr);
        return 2;
    }
    pipe_secured(strcmp(argv[1], "dial") == 0, argv[2], argc > 3 ? argv[3] : NULL);
}
