/* SPDX-License-Identifier: MIT */
/*
 * A whole exchange over a pair of connections in which the n-th allocation fails, for each n until one run is clean. Each run must end
 * in order: an error or a closed connection, no crash, nothing kept.
 *
 * The allocator's entry points are replaced in this program, so OpenSSL and libsodium meet the failures too. Sanitizers replace them
 * themselves: there the test is skipped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <errno.h>
#include <malloc.h>

#include "actors/connection_manager/connection.h"
#include "base/limits.h"
#include "wire/keys.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { CAN_FAIL = 0 };
static unsigned long fail_at UNUSED;
static unsigned long allocations;
#else
enum { CAN_FAIL = 1 };
static unsigned long fail_at; /* 0: never */
static unsigned long allocations;

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static bool fails(void)
{
    if (fail_at == 0 || ++allocations != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}
#endif

static const char *const protocol[] = {"/hearth/echo/1"};
static struct connection_identity *identity;

struct end {
    struct connection *c;
    size_t got;
    bool closed;
};

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    memset(to, 0x33, len);
}

static int match(void *user, struct span name)
{
    (void)user;
    return span_equal_text(name, protocol[0]) ? 0 : -1;
}

static void on_data(void *user, struct connection_stream *s, struct span bytes)
{
    struct end *e = user;
    size_t n = 0;
    e->got += bytes.len;
    connection_stream_consume(s, bytes.len);
    enum err err = ERR_OK;
    if (connection_stream_is_inbound(s))
        err = connection_stream_write(s, bytes, &n);
    if (err != ERR_OK)
        connection_stream_reset(s, 1);
}

static void on_fin(void *user, struct connection_stream *s)
{
    (void)user;
    connection_stream_fin(s);
}

static void on_closed(void *user, struct connection *c, enum err err)
{
    (void)c;
    (void)err;
    assert_false(((struct end *)user)->closed);
    ((struct end *)user)->closed = true;
}

static const struct connection_events events = {.stream_data = on_data, .stream_fin = on_fin, .closed = on_closed};

static bool over_websocket;

static bool end_init(struct end *e, bool dialer, enum connection_security security, struct account *account)
{
    struct connection_config config = {.role = dialer ? CONNECTION_DIALER : CONNECTION_LISTENER,
                                       .identity = identity,
                                       .security = {security},
                                       .security_count = 1,
                                       .optimistic = true,
                                       .websocket = over_websocket,
                                       .websocket_host = "127.0.0.1:8081",
                                       .receive = account,
                                       .send = account,
                                       .random = fill_random,
                                       .match_protocol = match,
                                       .events = &events,
                                       .user = e};
    return connection_new(&config, 0, &e->c) == ERR_OK;
}

/* One turn of from; a connection without memory for its output is asked again by its tick. */
static void turn(struct end *from, struct end *to, uint64_t now)
{
    static uint8_t bytes[1 << 18];
    struct iovec iov;
    for (int i = 0; i < 100 && connection_output(from->c, &iov, 1) > 0; i++) {
        size_t len = MIN(iov.iov_len, sizeof(bytes));
        memcpy(bytes, iov.iov_base, len);
        connection_output_done(from->c, len, now);
        connection_feed(to->c, bytes, len, now);
    }
    connection_tick(from->c, now);
}

/* True when the answer came whole. */
static bool exchange(enum connection_security security)
{
    static uint8_t request[100000];
    struct account account;
    struct end ends[2] = {0};
    bool answered = false;
    account_init(&account, "all", 4 * MIB);
    if (end_init(&ends[0], true, security, &account) && end_init(&ends[1], false, security, &account)) {
        struct connection_stream *s;
        size_t n = 0;
        enum err err = connection_open_stream(ends[0].c, protocol, 1, true, NULL, 0, &s);
        if (err == ERR_OK) {
            connection_stream_want_window(s, 1 * MIB);
            err = connection_stream_write(s, span_of(request, sizeof(request)), &n);
            connection_stream_fin(s);
        }
        for (uint64_t i = 0; i < 40 && !ends[0].closed; i++)
            turn(&ends[i % 2], &ends[!(i % 2)], 1);
        answered = n > 0 && ends[0].got == n;
    }
    connection_free(ends[0].c);
    connection_free(ends[1].c);
    assert_int_equal(account_used(&account), 0);
    return answered;
}

static void fail_each_once(enum connection_security security, unsigned long step)
{
    unsigned long n = 0;
    do {
        allocations = 0;
        fail_at = n += step;
        bool answered = exchange(security);
        bool clean = allocations < fail_at;
        fail_at = 0;
        assert_true(answered || !clean);
        if (clean)
            break;
    } while (n < 20000);
    assert_in_range(n, 10, 19999);
    assert_true(exchange(security));
}

/* The first time warms the libraries' caches and the pool of large buffers, which failures fill in ways of their own. */
static void fail_each_allocation(enum connection_security security, size_t kept_max, unsigned long step)
{
    if (!CAN_FAIL)
        skip();
    for (int i = 0; i < 3; i++)
        assert_true(exchange(security));
    fail_each_once(security, step);
    size_t before = mallinfo2().uordblks;
    fail_each_once(security, step);
    size_t after = mallinfo2().uordblks;
    assert_true(after <= before + kept_max);
}

static void noise_survives_each_failed_allocation(void **state)
{
    (void)state;
    fail_each_allocation(CONNECTION_NOISE, 2048, 1); /* error strings and caches of the libraries */
}

static void websocket_survives_each_failed_allocation(void **state)
{
    (void)state;
    over_websocket = true;
    fail_each_allocation(CONNECTION_NOISE, 4096, 1); /* as above, and SHA-1's */
    over_websocket = false;
}

static void tls_survives_each_failed_allocation(void **state)
{
    (void)state;
    /* OpenSSL 3.0 itself loses up to 1 KiB of a handshake that an allocation failed in. Nearly all allocations are its own. */
    fail_each_allocation(CONNECTION_TLS, 512 * KIB, 7);
}

static int setup(void **state)
{
    (void)state;
    uint8_t seed[ED25519_SEED_BYTES] = {5};
    struct key_pair *pair;
    assert_int_equal(key_pair_of_seed(seed, &pair), ERR_OK);
    assert_int_equal(connection_identity_new(pair, fill_random, NULL, &identity), ERR_OK);
    key_pair_free(pair);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    connection_identity_free(identity);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_survives_each_failed_allocation),
        cmocka_unit_test(websocket_survives_each_failed_allocation),
        cmocka_unit_test(tls_survives_each_failed_allocation),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
