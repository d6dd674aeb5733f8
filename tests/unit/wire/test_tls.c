/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "tests/support/bytes.h"
#include "wire/keys.h"
#include "wire/tls.h"
#include "wire/tls_certificate.h"

enum { NOW = 1800000000 };

static const char *const yamux[] = {"/yamux/1.0.0"};
static const char *const other[] = {"/mplex/6.7.0"};

static struct key_pair *pairs[2];
static struct tls_identity *identities[2];
static struct peer_id peers[2];

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        assert_ok(key_pair_of_seed(seed, &pairs[i]));
        peers[i] = key_pair_peer_id(pairs[i]);
        assert_ok(tls_identity_new(pairs[i], &identities[i]));
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tls_identity_free(identities[i]);
        key_pair_free(pairs[i]);
    }
    return 0;
}

/* ---- certificates ---- */

static void check_certificate(const char *hex, const char *peer, bool good)
{
    struct buf key;
    char text[PEER_ID_TEXT_MAX];
    buf_init(&key, PUBLIC_KEY_BYTES_MAX, NULL);
    enum err err = tls_certificate_check(bytes_of_hex(hex), NOW, &key);
    assert_err(err, good ? ERR_OK : ERR_AUTH);
    if (good) {
        struct peer_id id = peer_id_of_key(buf_span(&key));
        peer_id_text(&id, text);
        assert_string_equal(text, peer);
    }
    buf_release(&key);
}

/* libp2p/specs tls/tls.md, test vector 1 and, with its last byte changed, a forgery of it. */
static const char ed25519_certificate[] = "308201ae30820156a0030201020204499602d2300a06082a8648ce3d04030230203112301006"
                                          "0355040a13096c69627032702e696f310a3008060355"
                                          "04051301313020170d3735303130313133303030305a180f3430393630313031313330303030"
                                          "5a302031123010060355040a13096c69627032702e69"
                                          "6f310a300806035504051301313059301306072a8648ce3d020106082a8648ce3d0301070342"
                                          "00040c901d423c831ca85e27c73c263ba132721bb9d7"
                                          "a84c4f0380b2a6756fd601331c8870234dec878504c174144fa4b14b66a651691606d8173e55"
                                          "bd37e381569ea37c307a3078060a2b0601040183a25a"
                                          "0101046a3068042408011220a77f1d92fedb59dddaea5a1c4abd1ac2fbde7d7b879ed3645018"
                                          "09923d7c11b90440d90d2769db992d5e6195dbb08e70"
                                          "6b6651e024fda6cfb8846694a435519941cac215a8207792e42849cccc6cd8136c6e4bde92a5"
                                          "8c5e08cfd4206eb5fe0bf909300a06082a8648ce3d04"
                                          "03020346003043021f50f6b6c52711a881778718238f650c9fb48943ae6ee6d28427dc6071ae"
                                          "55e702203625f116a7a454db9c56986c82a25682f724"
                                          "8ea1cb764d322ea983ed36a31b77";

static void the_specifications_certificate_passes_and_no_flipped_byte_does(void **state)
{
    (void)state;
    check_certificate(ed25519_certificate, "12D3KooWM6CgA9iBFZmcYAHA6A2qvbAxqfkmrYiRQuz3XEsk4Ksv", true);
    struct span der = bytes_of_hex(ed25519_certificate);
    struct buf copy;
    struct buf key;
    buf_init(&copy, 4096, NULL);
    buf_init(&key, PUBLIC_KEY_BYTES_MAX, NULL);
    for (size_t at = 0; at < der.len; at++) {
        buf_clear(&copy);
        assert_ok(buf_append_span(&copy, der));
        copy.data[at] ^= 0x01;
        assert_err(tls_certificate_check(buf_span(&copy), NOW, &key), ERR_AUTH);
        assert_err(tls_certificate_check(span_first(der, at), NOW, &key), ERR_AUTH);
    }
    assert_int_equal(key.len, 0);
    assert_err(tls_certificate_check(der, 100000, &key), ERR_AUTH); /* in 1970 it was not valid yet */
    buf_release(&copy);
    buf_release(&key);
}

/* The string after "name": in the object at *at, which moves behind it. */
static bool next_value(const char **at, const char *name, char *to, size_t max)
{
    char quoted[32];
    (void)snprintf(quoted, sizeof(quoted), "\"%s\": \"", name);
    const char *found = strstr(*at, quoted);
    if (found == NULL)
        return false;
    found += strlen(quoted);
    size_t len = strcspn(found, "\"");
    assert_true(len < max);
    memcpy(to, found, len);
    to[len] = '\0';
    *at = found + len;
    return true;
}

static void published_certificates_name_their_peers(void **state)
{
    (void)state;
    size_t len = 0;
    char *text = vectors_read("libp2p-keys/tls-cert-vectors.json", &len);
    if (text == NULL)
        skip();
    static char hex[8192];
    char peer[128];
    unsigned count = 0;
    const char *at = text;
    while (next_value(&at, "cert_hex", hex, sizeof(hex)) && next_value(&at, "peer_id", peer, sizeof(peer))) {
        check_certificate(hex, peer, peer[0] != '\0');
        count++;
    }
    assert_int_equal(count, 4);
    free(text);
}

static void own_certificates_pass_their_own_check(void **state)
{
    (void)state;
    EVP_PKEY *pkey;
    X509 *certificate;
    struct buf key;
    buf_init(&key, PUBLIC_KEY_BYTES_MAX, NULL);
    assert_ok(tls_certificate_new(pairs[0], &pkey, &certificate));
    assert_ok(tls_certificate_check_x509(certificate, NOW, &key));
    struct peer_id id = peer_id_of_key(buf_span(&key));
    assert_true(peer_id_equal(&id, &peers[0]));
    EVP_PKEY_free(pkey);
    X509_free(certificate);
    buf_release(&key);
}

/* ---- sessions ---- */

struct end {
    struct tls_session *s;
    struct buf out;
    struct buf got;
    enum err err;
};

static enum err sink(void *arg, struct span plain)
{
    return buf_append_span(arg, plain);
}

static void end_init(struct end *e, bool client, const struct peer_id *expected, const char *const *muxers,
                     size_t count, uint64_t wall_clock_s)
{
    struct tls_session_config config = {.identity = identities[client ? 0 : 1],
                                        .client = client,
                                        .expected = expected,
                                        .muxers = muxers,
                                        .muxer_count = count,
                                        .wall_clock_s = wall_clock_s};
    assert_ok(tls_session_new(&config, &e->s));
    buf_init(&e->out, 1 * MIB, NULL);
    buf_init(&e->got, 1 * MIB, NULL);
    e->err = tls_session_start(e->s, &e->out);
}

static void end_release(struct end *e)
{
    tls_session_free(e->s);
    buf_release(&e->out);
    buf_release(&e->got);
}

static void pass(struct end *from, struct end *to, size_t chunk)
{
    struct span in = buf_span(&from->out);
    while (in.len > 0 && to->err == ERR_OK) {
        to->err = tls_session_feed(to->s, span_first(in, chunk), &to->out, sink, &to->got);
        in = span_skip(in, chunk);
    }
    buf_clear(&from->out);
}

static void handshake(struct end *a, struct end *b, size_t chunk)
{
    for (int i = 0; i < 4; i++)
        pass(i % 2 == 0 ? a : b, i % 2 == 0 ? b : a, chunk);
}

static void seal(struct end *e, struct iovec *iov, int count)
{
    static uint8_t record[20000];
    size_t taken = 0;
    size_t written = 0;
    assert_ok(tls_session_seal(e->s, iov, count, record, sizeof(record), &taken, &written));
    assert_true(taken > 0 && taken <= TLS_PLAIN_MAX);
    assert_int_equal(written, taken + TLS_RECORD_OVERHEAD);
    assert_ok(buf_append(&e->out, record, written));
}

static void sessions_carry_bytes_in_any_chunking(void **state)
{
    (void)state;
    static const size_t chunks[] = {1, 5, 100, 4096, 1 << 20};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct end a;
        struct end b;
        end_init(&a, true, &peers[1], yamux, 1, NOW);
        end_init(&b, false, &peers[0], yamux, 1, NOW);
        handshake(&a, &b, chunks[i]);
        assert_ok(a.err);
        assert_ok(b.err);
        assert_true(tls_session_is_established(a.s) && tls_session_is_established(b.s));
        assert_int_equal(tls_session_muxer(a.s), 0);
        assert_int_equal(tls_session_muxer(b.s), 0);
        assert_true(peer_id_equal(tls_session_remote(a.s), &peers[1]));
        assert_true(peer_id_equal(tls_session_remote(b.s), &peers[0]));
        char hello[] = "hello";
        static uint8_t bulk[20000] = {1, 2, 3};
        struct iovec iov[2] = {{.iov_base = hello, .iov_len = 5}, {.iov_base = bulk, .iov_len = sizeof(bulk)}};
        seal(&a, iov, 2);
        seal(&b, iov, 1);
        pass(&a, &b, chunks[i]);
        pass(&b, &a, chunks[i]);
        assert_int_equal(b.got.len, TLS_PLAIN_MAX);
        assert_memory_equal(b.got.data, "hello\1\2\3", 8);
        assert_true(span_equal_text(buf_span(&a.got), "hello"));
        end_release(&a);
        end_release(&b);
    }
}

static void the_muxer_is_chosen_by_alpn_or_left_open(void **state)
{
    (void)state;
    static const struct {
        const char *const *dial;
        size_t dial_count;
        const char *const *listen;
        size_t listen_count;
        int want;
    } cases[] = {{yamux, 1, yamux, 1, 0}, {yamux, 0, yamux, 1, -1}, {yamux, 1, yamux, 0, -1}, {other, 1, yamux, 1, -1}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct end a;
        struct end b;
        end_init(&a, true, NULL, cases[i].dial, cases[i].dial_count, NOW);
        end_init(&b, false, NULL, cases[i].listen, cases[i].listen_count, NOW);
        handshake(&a, &b, SIZE_MAX);
        assert_true(tls_session_is_established(a.s) && tls_session_is_established(b.s));
        assert_int_equal(tls_session_muxer(a.s), cases[i].want);
        assert_int_equal(tls_session_muxer(b.s), cases[i].want);
        end_release(&a);
        end_release(&b);
    }
}

static void t9_another_peer_or_an_invalid_time_fails(void **state)
{
    (void)state;
    struct end a;
    struct end b;
    end_init(&a, true, &peers[0], yamux, 1, NOW);
    end_init(&b, false, NULL, yamux, 1, NOW);
    handshake(&a, &b, SIZE_MAX);
    assert_err(a.err, ERR_MISMATCH);
    assert_err(b.err, ERR_PROTOCOL); /* told by an alert */
    assert_false(tls_session_is_established(b.s));
    end_release(&a);
    end_release(&b);
    end_init(&a, true, NULL, yamux, 1, NOW);
    end_init(&b, false, NULL, yamux, 1, 1000);
    handshake(&a, &b, SIZE_MAX);
    assert_err(b.err, ERR_AUTH);
    assert_err(a.err, ERR_PROTOCOL);
    end_release(&a);
    end_release(&b);
}

static void tampered_and_foreign_bytes_end_the_session(void **state)
{
    (void)state;
    for (size_t at = 0; at < 60; at += 3) {
        struct end a;
        struct end b;
        end_init(&a, true, NULL, yamux, 1, NOW);
        end_init(&b, false, NULL, yamux, 1, NOW);
        handshake(&a, &b, SIZE_MAX);
        char hello[] = "some plaintext that is long enough";
        struct iovec iov = {.iov_base = hello, .iov_len = sizeof(hello)};
        seal(&a, &iov, 1);
        if (at < a.out.len) {
            a.out.data[at] ^= 0x10;
            pass(&a, &b, SIZE_MAX);
            assert_int_equal(b.got.len, 0);
            assert_true(b.err == ERR_PROTOCOL || at == 3 || at == 4); /* a longer record waits for more */
        }
        end_release(&a);
        end_release(&b);
    }
    struct end b;
    end_init(&b, false, NULL, yamux, 1, NOW);
    b.err = tls_session_feed(b.s, span_text("GET / HTTP/1.1\r\n\r\n"), &b.out, sink, &b.got);
    assert_err(b.err, ERR_PROTOCOL);
    end_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_specifications_certificate_passes_and_no_flipped_byte_does),
        cmocka_unit_test(published_certificates_name_their_peers),
        cmocka_unit_test(own_certificates_pass_their_own_check),
        cmocka_unit_test(sessions_carry_bytes_in_any_chunking),
        cmocka_unit_test(the_muxer_is_chosen_by_alpn_or_left_open),
        cmocka_unit_test(t9_another_peer_or_an_invalid_time_fails),
        cmocka_unit_test(tampered_and_foreign_bytes_end_the_session),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
