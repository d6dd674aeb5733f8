/* SPDX-License-Identifier: MIT */
/*
 * Handshakes a second, both sides on the same cores: each thread makes two connection engines, carries their bytes until both are upgraded
 * (Noise with Ed25519 identities, early muxer, Yamux) and begins anew. Beside it the ceiling: the X25519 and Ed25519 operations of one
 * handshake and nothing else.
 *
 * usage: bench_handshake handshakes|ceiling [seconds [threads]]     one line of JSON
 */
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actors/connection_manager/connection.h"
#include "base/clock.h"
#include "base/random.h"
#include "wire/keys.h"

/* Of both sides: each makes an ephemeral key, computes ee, es and se, and verifies the other's signature. Signing is done once an identity. */
enum { X25519_EACH = 8, VERIFY_EACH = 2, THREADS_MAX = 64, CARRY_BYTES = 4096 };

static uint64_t run_ns = 2 * SECOND_NS;
static _Atomic uint64_t done;

static void check(enum err err, const char *what)
{
    if (err == ERR_OK)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, err_text(err));
    exit(1);
}

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    random_fill(to, len);
}

static int match(void *user, struct span name)
{
    (void)user;
    (void)name;
    return -1;
}

static void carry(struct connection *from, struct connection *to)
{
    uint8_t bytes[CARRY_BYTES];
    struct iovec iov;
    while (connection_output(from, &iov, 1) > 0) {
        size_t part = MIN(iov.iov_len, sizeof(bytes));
        memcpy(bytes, iov.iov_base, part);
        connection_output_done(from, part, clock_mono_ns());
        connection_feed(to, bytes, part, clock_mono_ns());
    }
}

static struct connection_identity *identity_new(void)
{
    struct key_pair *pair;
    struct connection_identity *identity;
    check(key_pair_generate(&pair), "key_pair_generate");
    check(connection_identity_new(pair, fill_random, NULL, &identity), "connection_identity_new");
    key_pair_free(pair);
    return identity;
}

static void shake(struct connection_identity *const identities[2])
{
    static const struct connection_events none = {0};
    struct connection *ends[2];
    for (int i = 0; i < 2; i++) {
        struct connection_config config = {.role = i == 0 ? CONNECTION_DIALER : CONNECTION_LISTENER,
                                           .identity = identities[i],
                                           .security = {CONNECTION_NOISE},
                                           .security_count = 1,
                                           .optimistic = true,
                                           .random = fill_random,
                                           .match_protocol = match,
                                           .events = &none};
        check(connection_new(&config, clock_mono_ns(), &ends[i]), "connection_new");
    }
    for (int flights = 0; flights < 8 && !(connection_is_upgraded(ends[0]) && connection_is_upgraded(ends[1]));
         flights++) {
        carry(ends[0], ends[1]);
        carry(ends[1], ends[0]);
    }
    check(connection_is_upgraded(ends[0]) && connection_is_upgraded(ends[1]) ? ERR_OK : ERR_PROTOCOL, "upgrade");
    connection_free(ends[0]);
    connection_free(ends[1]);
}

static void *run_handshakes(void *arg)
{
    struct connection_identity *identities[2] = {identity_new(), identity_new()};
    for (uint64_t began = clock_mono_ns(); clock_mono_ns() - began < run_ns;) {
        shake(identities);
        atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
    }
    connection_identity_free(identities[0]);
    connection_identity_free(identities[1]);
    return arg;
}

static void *run_ceiling(void *arg)
{
    uint8_t secret[32];
    uint8_t point[32];
    uint8_t shared[32];
    uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
    uint8_t signing[crypto_sign_SECRETKEYBYTES];
    uint8_t signature[crypto_sign_BYTES];
    random_fill(secret, sizeof(secret));
    (void)crypto_scalarmult_curve25519_base(point, secret);
    (void)crypto_sign_keypair(public_key, signing);
    (void)crypto_sign_detached(signature, NULL, point, sizeof(point), signing);
    for (uint64_t began = clock_mono_ns(); clock_mono_ns() - began < run_ns;) {
        int bad = 0;
        for (int i = 0; i < X25519_EACH; i++)
            bad += i % 4 == 0 ? crypto_scalarmult_curve25519_base(shared, secret)
                              : crypto_scalarmult_curve25519(shared, secret, point);
        for (int i = 0; i < VERIFY_EACH; i++)
            bad += crypto_sign_verify_detached(signature, point, sizeof(point), public_key);
        check(bad == 0 ? ERR_OK : ERR_AUTH, "crypto");
        atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
    }
    return arg;
}

int main(int argc, char **argv)
{
    bool ceiling = argc > 1 && strcmp(argv[1], "ceiling") == 0;
    size_t threads = argc > 3 ? (size_t)strtoul(argv[3], NULL, 10) : 2;
    pthread_t ids[THREADS_MAX];
    if (argc < 2 || (!ceiling && strcmp(argv[1], "handshakes") != 0) || threads == 0 || threads > THREADS_MAX ||
        sodium_init() < 0) {
        (void)fprintf(stderr, "usage: bench_handshake handshakes|ceiling [seconds [threads]]\n");
        return 2;
    }
    if (argc > 2)
        run_ns = (uint64_t)(strtod(argv[2], NULL) * 1e9);
    uint64_t began = clock_mono_ns();
    for (size_t i = 0; i < threads; i++)
        check(pthread_create(&ids[i], NULL, ceiling ? run_ceiling : run_handshakes, NULL) == 0 ? ERR_OK : ERR_NOMEM,
              "thread");
    for (size_t i = 0; i < threads; i++)
        (void)pthread_join(ids[i], NULL);
    double seconds = (double)(clock_mono_ns() - began) / 1e9;
    printf("{\"per_s\": %.1f, \"threads\": %zu}\n", (double)atomic_load(&done) / seconds, threads);
    return 0;
}
