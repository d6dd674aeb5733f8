/* SPDX-License-Identifier: MIT */
/* The upgrade against OpenSSL by itself, which can say what the engine of this project never does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/ssl.h>

#include "actors/connection_manager/upgrade.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/keys.h"
#include "wire/tls_certificate.h"

static unsigned upgrades;

static void fill_random(void *arg, void *to, size_t len)
{
    (void)arg;
    random_fill(to, len);
}

static void on_done(void *arg)
{
    const struct upgrade *u = arg;
    assert_true(u->early);
    upgrades++;
}

static enum err on_plain(void *arg, struct span bytes)
{
    (void)arg;
    assert_int_equal(bytes.len, 0);
    return ERR_OK;
}

static int accept_any(X509_STORE_CTX *store, void *arg)
{
    (void)store;
    (void)arg;
    return 1;
}

/* A dialer of /tls/1.0.0 that offers yamux. */
static SSL *client_new(const struct key_pair *pair)
{
    static const unsigned char alpn[] = "\x0c/yamux/1.0.0\x06libp2p";
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    assert_ok(tls_certificate_new(pair, &key, &certificate));
    SSL_CTX_set_cert_verify_callback(ctx, accept_any, NULL);
    assert_int_equal(SSL_CTX_use_certificate(ctx, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, key), 1);
    SSL *ssl = SSL_new(ctx);
    assert_int_equal(SSL_set_alpn_protos(ssl, alpn, sizeof(alpn) - 1), 0);
    SSL_set_connect_state(ssl);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_CTX_free(ctx);
    EVP_PKEY_free(key);
    X509_free(certificate);
    return ssl;
}

/* What the client has to say now, all of it in one piece. */
static enum err pass(SSL *client, struct upgrade *u, struct buf *out)
{
    static uint8_t bytes[16384];
    int n = BIO_read(SSL_get_wbio(client), bytes, sizeof(bytes));
    return upgrade_feed(u, bytes, n < 0 ? 0 : (size_t)n, out);
}

/* A peer that only wants to know whether it gets through says its last words of the handshake and good-bye at once. */
static void who_leaves_with_the_end_of_the_handshake_was_there(void **state)
{
    (void)state;
    static uint8_t proposal[] = "\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n";
    static const enum connection_security tls[] = {CONNECTION_TLS};
    uint8_t seed[ED25519_SEED_BYTES] = {7};
    struct key_pair *pair = NULL;
    struct connection_identity *identity = NULL;
    struct upgrade u = {0};
    struct buf out;
    buf_init(&out, 65536, NULL);
    assert_ok(key_pair_of_seed(seed, &pair));
    assert_ok(connection_identity_new(pair, fill_random, NULL, &identity));
    struct upgrade_config config = {.early_muxer = true,
                                    .security = tls,
                                    .security_count = 1,
                                    .secure = {.identity = identity},
                                    .random = fill_random,
                                    .done = on_done,
                                    .plain = on_plain,
                                    .arg = &u};
    assert_ok(upgrade_init(&u, &config));
    assert_ok(upgrade_start(&u, &out));
    assert_ok(upgrade_feed(&u, proposal, sizeof(proposal) - 1, &out));
    SSL *client = client_new(pair);
    assert_int_equal(SSL_do_handshake(client), -1);
    size_t negotiated = out.len;
    assert_ok(pass(client, &u, &out));
    assert_int_equal(BIO_write(SSL_get_rbio(client), out.data + negotiated, (int)(out.len - negotiated)),
                     out.len - negotiated);
    assert_int_equal(SSL_do_handshake(client), 1);
    (void)SSL_shutdown(client);
    assert_int_equal(upgrades, 0);
    assert_err(pass(client, &u, &out), ERR_CLOSED);
    assert_int_equal(upgrades, 1);
    struct peer_id peer = key_pair_peer_id(pair);
    assert_true(peer_id_equal(u.secure->remote(u.channel), &peer));
    SSL_free(client);
    upgrade_release(&u);
    connection_identity_free(identity);
    key_pair_free(pair);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_leaves_with_the_end_of_the_handshake_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
