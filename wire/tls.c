/* SPDX-License-Identifier: MIT */
#include "wire/tls.h"

#include <assert.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

#include "wire/keys.h"
#include "wire/tls_certificate.h"

static const char alpn_libp2p[] = "libp2p";

enum { ALPN_MAX = 256, SEAL_SLACK = 128 /* room for a key update that OpenSSL may put in front */ };

struct tls_identity {
    SSL_CTX *client;
    SSL_CTX *server;
    BIO_METHOD *bio;
};

struct tls_session {
    struct tls_session_config config;
    struct peer_id expected;
    SSL *ssl;
    bool established;
    enum err verdict; /* of the certificate check */
    int muxer;
    struct buf remote_key;
    struct peer_id remote;
    /* what the BIO reads and writes during a call */
    struct span in;
    struct buf *out; /* handshake, alerts */
    uint8_t *to;     /* or a sealed record */
    size_t room;
};

/* ---- BIO ---- */

static int bio_read(BIO *bio, char *to, size_t len, size_t *ret_len)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    struct span part = span_first(s->in, len);
    if (part.len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(to, part.data, part.len);
    s->in = span_skip(s->in, part.len);
    *ret_len = part.len;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
    struct tls_session *s = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (s->to != NULL) {
        if (len > s->room)
            return 0;
        memcpy(s->to, data, len);
        s->to += len;
        s->room -= len;
    } else if (s->out == NULL || buf_append(s->out, data, len) != ERR_OK) {
        return 0;
    }
    *ret_len = len;
    return 1;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "hearth");
    if (method != NULL && (BIO_meth_set_read_ex(method, bio_read) != 1 ||
                           BIO_meth_set_write_ex(method, bio_write) != 1 || BIO_meth_set_ctrl(method, bio_ctrl) != 1)) {
        BIO_meth_free(method);
        return NULL;
    }
    return method;
}

/* ---- identity ---- */

/* Replaces OpenSSL's chain building: there is no authority, the certificate proves itself. */
static int on_certificate(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *s = SSL_get_app_data(ssl);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
    s->verdict = ERR_AUTH;
    buf_clear(&s->remote_key);
    if (chain != NULL && sk_X509_num(chain) == 1)
        s->verdict =
            tls_certificate_check_x509(X509_STORE_CTX_get0_cert(store), s->config.wall_clock_s, &s->remote_key);
    if (s->verdict == ERR_OK) {
        s->remote = peer_id_of_key(buf_span(&s->remote_key));
        if (!peer_id_is_empty(&s->expected) && !peer_id_equal(&s->remote, &s->expected))
            s->verdict = ERR_MISMATCH;
    }
    X509_STORE_CTX_set_error(store, s->verdict == ERR_OK ? X509_V_OK : X509_V_ERR_CERT_REJECTED);
    return s->verdict == ERR_OK;
}

static int muxer_of(const struct tls_session *s, struct span name)
{
    for (size_t i = 0; i < s->config.muxer_count; i++) {
        if (span_equal_text(name, s->config.muxers[i]))
            return (int)i;
    }
    return -1;
}

/* The server takes the first of the client's names that it has. */
static int on_alpn(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_len, const unsigned char *names,
                   unsigned len, void *arg)
{
    (void)arg;
    const struct tls_session *s = SSL_get_app_data(ssl);
    for (unsigned i = 0; i < len; i += 1U + names[i]) {
        if (names[i] > len - i - 1)
            break;
        struct span name = span_of(names + i + 1, names[i]);
        if (muxer_of(s, name) >= 0 || span_equal_text(name, alpn_libp2p)) {
            *ret_name = name.data;
            *ret_len = names[i];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *context(const SSL_METHOD *method, EVP_PKEY *key, X509 *certificate)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (ctx == NULL)
        return NULL;
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_max_cert_list(ctx, TLS_CERTIFICATE_MAX);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_certificate, NULL);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384") !=
            1 ||
        SSL_CTX_set_num_tickets(ctx, 0) != 1 || SSL_CTX_use_certificate(ctx, certificate) != 1 ||
        SSL_CTX_use_PrivateKey(ctx, key) != 1) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

enum err tls_identity_new(const struct key_pair *pair, struct tls_identity **ret_identity)
{
    struct tls_identity *identity = calloc(1, sizeof(*identity));
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    enum err err = identity == NULL ? ERR_NOMEM : tls_certificate_new(pair, &key, &certificate);
    if (err == ERR_OK) {
        identity->client = context(TLS_client_method(), key, certificate);
        identity->server = context(TLS_server_method(), key, certificate);
        identity->bio = bio_method();
        if (identity->client == NULL || identity->server == NULL || identity->bio == NULL)
            err = ERR_INTERNAL;
    }
    EVP_PKEY_free(key);
    X509_free(certificate);
    ERR_clear_error();
    if (err != ERR_OK) {
        tls_identity_free(identity);
        return err;
    }
    *ret_identity = identity;
    return ERR_OK;
}

void tls_identity_free(struct tls_identity *identity)
{
    if (identity == NULL)
        return;
    SSL_CTX_free(identity->client);
    SSL_CTX_free(identity->server);
    BIO_meth_free(identity->bio);
    free(identity);
}

/* ---- session ---- */

static bool offer_alpn(struct tls_session *s)
{
    uint8_t names[ALPN_MAX];
    size_t len = 0;
    for (size_t i = 0; i <= s->config.muxer_count; i++) {
        struct span name = span_text(i < s->config.muxer_count ? s->config.muxers[i] : alpn_libp2p);
        if (name.len == 0 || name.len > UINT8_MAX || name.len + 1 > sizeof(names) - len)
            return false;
        names[len] = (uint8_t)name.len;
        memcpy(names + len + 1, name.data, name.len);
        len += name.len + 1;
    }
    return SSL_set_alpn_protos(s->ssl, names, (unsigned)len) == 0; /* 0 is success here */
}

static bool prepare(struct tls_session *s)
{
    const struct tls_identity *identity = s->config.identity;
    BIO *bio = BIO_new(identity->bio);
    s->ssl = SSL_new(s->config.client ? identity->client : identity->server);
    if (s->ssl == NULL || bio == NULL) {
        (void)BIO_free(bio);
        return false;
    }
    BIO_set_data(bio, s);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->ssl, bio, bio);
    if (SSL_set_app_data(s->ssl, s) != 1) /* allocates */
        return false;
    if (!s->config.client) {
        SSL_set_accept_state(s->ssl);
        return true;
    }
    SSL_set_connect_state(s->ssl);
    return offer_alpn(s);
}

enum err tls_session_new(const struct tls_session_config *config, struct tls_session **ret_session)
{
    struct tls_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NOMEM;
    s->config = *config;
    if (config->expected != NULL)
        s->expected = *config->expected;
    s->config.expected = NULL;
    s->muxer = -1;
    buf_init(&s->remote_key, PUBLIC_KEY_BYTES_MAX, NULL);
    if (!prepare(s)) {
        ERR_clear_error();
        tls_session_free(s);
        return ERR_NOMEM;
    }
    *ret_session = s;
    return ERR_OK;
}

void tls_session_free(struct tls_session *s)
{
    if (s == NULL)
        return;
    SSL_free(s->ssl);
    buf_release(&s->remote_key);
    free(s);
}

static enum err failure(struct tls_session *s, int result)
{
    int why = SSL_get_error(s->ssl, result);
    ERR_clear_error();
    if (why == SSL_ERROR_WANT_READ)
        return ERR_AGAIN;
    if (why == SSL_ERROR_ZERO_RETURN)
        return ERR_CLOSED;
    return s->verdict != ERR_OK ? s->verdict : ERR_PROTOCOL;
}

static enum err handshake(struct tls_session *s)
{
    ERR_clear_error();
    int result = SSL_do_handshake(s->ssl);
    if (result != 1)
        return failure(s, result);
    const unsigned char *name = NULL;
    unsigned len = 0;
    SSL_get0_alpn_selected(s->ssl, &name, &len);
    if (len > 0)
        s->muxer = muxer_of(s, span_of(name, len));
    s->established = true;
    return ERR_OK;
}

enum err tls_session_start(struct tls_session *s, struct buf *out)
{
    if (!s->config.client)
        return ERR_OK;
    s->out = out;
    enum err err = handshake(s);
    s->out = NULL;
    return err == ERR_AGAIN ? ERR_OK : err;
}

static enum err read_records(struct tls_session *s, tls_sink *sink, void *arg)
{
    uint8_t plain[TLS_PLAIN_MAX];
    for (;;) {
        size_t len = 0;
        ERR_clear_error();
        int result = SSL_read_ex(s->ssl, plain, sizeof(plain), &len);
        if (result != 1)
            return failure(s, result);
        enum err err = sink(arg, span_of(plain, len));
        if (err != ERR_OK)
            return err;
    }
}

enum err tls_session_feed(struct tls_session *s, struct span data, struct buf *out, tls_sink *sink, void *arg)
{
    s->in = data;
    s->out = out;
    enum err err = s->established ? ERR_OK : handshake(s);
    if (err == ERR_OK)
        err = read_records(s, sink, arg);
    s->in = (struct span){0};
    s->out = NULL;
    return err == ERR_AGAIN ? ERR_OK : err;
}

enum err tls_session_seal(struct tls_session *s, const struct iovec *plain, int count, uint8_t *to, size_t room,
                          size_t *ret_taken, size_t *ret_written)
{
    assert(s->established);
    *ret_taken = *ret_written = 0;
    if (room <= TLS_RECORD_OVERHEAD + SEAL_SLACK || count == 0)
        return ERR_OK;
    uint8_t gathered[TLS_PLAIN_MAX];
    const uint8_t *from = plain[0].iov_base;
    size_t most = MIN(room - TLS_RECORD_OVERHEAD - SEAL_SLACK, sizeof(gathered));
    size_t len = MIN(plain[0].iov_len, most);
    if (len < most && count > 1) {
        len = 0;
        for (int i = 0; i < count && len < most; i++) {
            size_t part = MIN(plain[i].iov_len, most - len);
            memcpy(gathered + len, plain[i].iov_base, part);
            len += part;
        }
        from = gathered;
    }
    if (len == 0)
        return ERR_OK;
    s->to = to;
    s->room = room;
    size_t written = 0;
    ERR_clear_error();
    int result = SSL_write_ex(s->ssl, from, len, &written);
    *ret_taken = written;
    *ret_written = room - s->room;
    s->to = NULL;
    s->room = 0;
    ERR_clear_error();
    return result == 1 ? ERR_OK : ERR_INTERNAL;
}

bool tls_session_is_established(const struct tls_session *s)
{
    return s->established;
}

int tls_session_muxer(const struct tls_session *s)
{
    return s->muxer;
}

struct span tls_session_remote_key(const struct tls_session *s)
{
    return buf_span(&s->remote_key);
}

const struct peer_id *tls_session_remote(const struct tls_session *s)
{
    return &s->remote;
}
