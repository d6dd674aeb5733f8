/* SPDX-License-Identifier: MIT */
/*
 * The data path of a connection without sockets: one thread writes a stream, seals, opens and reads it, for Noise and for TLS. Beside it
 * the floor: ChaCha20-Poly1305 over the same bytes once each way. usage: bench_connection [MiB]
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

#include "actors/connection_manager/connection.h"
#include "base/block_ref.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/random.h"
#include "wire/keys.h"
#include "wire/noise.h"

static const char *const protocol[] = {"/bench/1"};

struct end {
    struct connection *c;
    uint64_t bytes;
};

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    random_fill(to, len);
}

static int match(void *user, struct span name)
{
    (void)user;
    return span_equal_text(name, protocol[0]) ? 0 : -1;
}

static void on_data(void *user, struct connection_stream *s, struct span bytes)
{
    ((struct end *)user)->bytes += bytes.len;
    connection_stream_consume(s, bytes.len);
}

static const struct connection_events events = {.stream_data = on_data};

static void check(enum err err)
{
    if (err == ERR_OK)
        return;
    (void)fprintf(stderr, "%s\n", err_text(err));
    exit(1);
}

/* What a socket does: one copy into the reader's buffer. */
static void carry(struct end *from, struct end *to, uint8_t *buffer, size_t size)
{
    struct iovec iov;
    while (connection_output(from->c, &iov, 1) > 0) {
        size_t part = MIN(iov.iov_len, size);
        memcpy(buffer, iov.iov_base, part);
        connection_output_done(from->c, part, clock_mono_ns());
        connection_feed(to->c, buffer, part, clock_mono_ns());
    }
}

static void run(const struct connection_identity *identity, enum connection_security security, uint64_t total,
                size_t chunk)
{
    struct account receive;
    account_init(&receive, "receive", 10 * MIB);
    struct end ends[2] = {0};
    for (int i = 0; i < 2; i++) {
        struct connection_config config = {.role = i == 0 ? CONNECTION_DIALER : CONNECTION_LISTENER,
                                           .identity = identity,
                                           .security = {security},
                                           .security_count = 1,
                                           .optimistic = true,
                                           .receive = &receive,
                                           .random = fill_random,
                                           .match_protocol = match,
                                           .events = &events,
                                           .user = &ends[i]};
        check(connection_new(&config, clock_mono_ns(), &ends[i].c));
    }
    struct block_ref *block = block_ref_new(1 * MIB, NULL);
    uint8_t *buffer = malloc(chunk);
    struct connection_stream *s;
    if (block == NULL || buffer == NULL)
        check(ERR_NOMEM);
    memset(block->data, 1, block->len);
    check(connection_open_stream(ends[0].c, protocol, 1, true, NULL, clock_mono_ns(), &s));
    uint64_t began = clock_mono_ns();
    uint64_t sent = 0;
    while (ends[1].bytes < total && clock_mono_ns() - began < 60 * SECOND_NS) {
        size_t n = 0;
        size_t offset = sent % block->len;
        enum err err = connection_stream_write_ref(s, block, offset, MIN(block->len - offset, total - sent), &n);
        sent += err == ERR_OK ? n : 0;
        carry(&ends[0], &ends[1], buffer, chunk);
        carry(&ends[1], &ends[0], buffer, chunk);
    }
    double seconds = (double)(clock_mono_ns() - began) / 1e9;
    printf("%-6s feeds of %4zu KiB   %7.0f MB/s\n", security == CONNECTION_NOISE ? "noise" : "tls", chunk / KIB,
           (double)ends[1].bytes / 1e6 / seconds);
    free(buffer);
    for (int i = 0; i < 2; i++)
        connection_free(ends[i].c);
    block_ref_unref(block);
}

static void run_floor(uint64_t total)
{
    static uint8_t plain[NOISE_PLAIN_MAX];
    static uint8_t sealed[NOISE_MESSAGE_MAX];
    uint8_t key[32] = {1};
    EVP_CIPHER_CTX *ctx[2] = {EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_new()};
    for (int i = 0; i < 2; i++)
        (void)EVP_CipherInit_ex(ctx[i], EVP_chacha20_poly1305(), NULL, key, NULL, i == 0);
    struct noise_cipher seal = {.ctx = ctx[0]};
    struct noise_cipher open = {.ctx = ctx[1]};
    struct iovec iov = {.iov_base = plain, .iov_len = sizeof(plain)};
    uint64_t began = clock_mono_ns();
    for (uint64_t done = 0; done < total; done += sizeof(plain)) {
        check(noise_cipher_seal(&seal, &iov, 1, sealed));
        check(noise_cipher_open(&open, sealed, sizeof(sealed)));
    }
    printf("%-6s seal and open        %7.0f MB/s\n", "floor",
           (double)total / 1e3 / ((double)(clock_mono_ns() - began) / 1e6));
    noise_cipher_release(&seal);
    noise_cipher_release(&open);
}

int main(int argc, char **argv)
{
    uint64_t total = (argc > 1 ? strtoull(argv[1], NULL, 10) : 512) * MIB;
    struct key_pair *pair;
    struct connection_identity *identity;
    check(key_pair_generate(&pair));
    check(connection_identity_new(pair, fill_random, NULL, &identity));
    run_floor(total);
    static const size_t chunks[] = {64 * 1024, 256 * 1024};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        run(identity, CONNECTION_NOISE, total, chunks[i]);
        run(identity, CONNECTION_TLS, total, chunks[i]);
    }
    connection_identity_free(identity);
    key_pair_free(pair);
    return 0;
}
