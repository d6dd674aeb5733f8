/* SPDX-License-Identifier: MIT */
#include "net/http_client.h"

#include <ctype.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"
#include "net/curl_library.h"

enum { RECEIVE_BYTES = 64 * 1024 };

struct http_client {
    struct http_port port;
    struct http_client_options options;
    pthread_mutex_t lock;
    CURL *idle[HTTP_CLIENT_IDLE_MAX]; /* handles with the connections that they keep */
    size_t idle_count;
};

/* One request under way. */
struct exchange {
    const struct curl_library *curl;
    CURL *handle;
    const struct http_request *request;
    struct http_response *response;
    size_t header_len;
    size_t error_len;
    curl_off_t moved; /* bytes up and down so far */
    uint64_t moved_at_ns;
    uint64_t stall_ns;
    bool too_large;
    bool stalled;
};

static CURL *take_handle(struct http_client *c, const struct curl_library *curl)
{
    CURL *handle = NULL;
    (void)pthread_mutex_lock(&c->lock);
    if (c->idle_count > 0)
        handle = c->idle[--c->idle_count];
    (void)pthread_mutex_unlock(&c->lock);
    return handle != NULL ? handle : curl->easy_init();
}

static void give_handle(struct http_client *c, const struct curl_library *curl, CURL *handle)
{
    curl->easy_reset(handle); /* keeps the connections; forgets the secret */
    (void)pthread_mutex_lock(&c->lock);
    bool kept = c->idle_count < HTTP_CLIENT_IDLE_MAX;
    if (kept)
        c->idle[c->idle_count++] = handle;
    (void)pthread_mutex_unlock(&c->lock);
    if (!kept)
        curl->easy_cleanup(handle);
}

/* ---- what libcurl calls ---- */

static long status_of(struct exchange *x)
{
    long status = 0;
    (void)x->curl->easy_getinfo(x->handle, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static size_t on_body(char *bytes, size_t one, size_t len, void *arg)
{
    struct exchange *x = arg;
    struct http_response *r = x->response;
    (void)one;
    long status = status_of(x);
    if (status < 200 || status > 299) {
        size_t part = MIN(len, sizeof(r->error) - 1 - x->error_len);
        memcpy(r->error + x->error_len, bytes, part);
        x->error_len += part;
        r->error[x->error_len] = '\0';
        return len;
    }
    if (len > r->body_max - r->body_len) {
        x->too_large = true;
        return 0;
    }
    memcpy(r->body + r->body_len, bytes, len);
    r->body_len += len;
    return len;
}

static size_t on_header(char *bytes, size_t one, size_t len, void *arg)
{
    struct exchange *x = arg;
    struct http_response *r = x->response;
    (void)one;
    if (len >= 5 && strncasecmp(bytes, "HTTP/", 5) == 0) { /* a 100 Continue may have come before */
        x->header_len = 0;
        r->headers[0] = '\0';
        return len;
    }
    size_t end = len;
    while (end > 0 && (bytes[end - 1] == '\r' || bytes[end - 1] == '\n'))
        end--;
    const char *colon = memchr(bytes, ':', end);
    if (colon == NULL || memchr(bytes, '\0', end) != NULL || x->header_len + end + 2 > sizeof(r->headers))
        return len;
    for (size_t i = 0; i < end; i++)
        r->headers[x->header_len + i] = bytes + i < colon ? (char)tolower((unsigned char)bytes[i]) : bytes[i];
    x->header_len += end;
    r->headers[x->header_len++] = '\n';
    r->headers[x->header_len] = '\0';
    return len;
}

/* Called at least once a second. libcurl's own speed is the mean of six seconds, which notices a stall that much later. */
static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    struct exchange *x = arg;
    (void)total;
    (void)up_total;
    const _Atomic bool *cancelled = x->request->cancelled;
    if (cancelled != NULL && atomic_load_explicit(cancelled, memory_order_relaxed))
        return 1;
    uint64_t at_ns = clock_mono_ns();
    if (x->moved_at_ns == 0 || now + up_now != x->moved) {
        x->moved = now + up_now;
        x->moved_at_ns = at_ns;
    }
    x->stalled = at_ns - x->moved_at_ns > x->stall_ns;
    return x->stalled ? 1 : 0;
}

/* The body, read from memory, and from its begin again when a kept connection turned out to be dead. */
struct body {
    const uint8_t *bytes;
    size_t len;
    size_t at;
};

static size_t on_read(char *to, size_t one, size_t max, void *arg)
{
    struct body *b = arg;
    size_t len = MIN(one * max, b->len - b->at);
    if (len > 0)
        memcpy(to, b->bytes + b->at, len);
    b->at += len;
    return len;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct body *b = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > b->len)
        return CURL_SEEKFUNC_FAIL;
    b->at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* ---- a request ---- */

static enum err error_of(const struct exchange *x, CURLcode code)
{
    switch ((int)code) {
    case CURLE_OK:
        return ERR_OK;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return ERR_NOT_FOUND;
    case CURLE_COULDNT_CONNECT:
        return ERR_REFUSED;
    case CURLE_PARTIAL_FILE:
        return ERR_TRUNCATED;
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SSL_CONNECT_ERROR: /* a handshake that was cut; what is wrong with a certificate has codes of its own */
        return ERR_RESET;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return ERR_AUTH;
    case CURLE_ABORTED_BY_CALLBACK:
        return x->stalled ? ERR_TIMEOUT : ERR_CANCELLED;
    case CURLE_WRITE_ERROR:
        return x->too_large ? ERR_TOO_LARGE : ERR_IO;
    case CURLE_OUT_OF_MEMORY:
        return ERR_NOMEM;
    default:
        return ERR_PROTOCOL;
    }
}

/* Options are set in a row; one that fails is remembered. */
#define SET(x, option, value)                                                                                          \
    do {                                                                                                               \
        if (code == CURLE_OK)                                                                                          \
            code = (x)->curl->easy_setopt((x)->handle, (option), (value));                                             \
    } while (0)

static CURLcode set_method(struct exchange *x, struct body *body)
{
    CURLcode code = CURLE_OK;
    switch (x->request->method) {
    case HTTP_GET:
        SET(x, CURLOPT_HTTPGET, 1L);
        break;
    case HTTP_HEAD:
        SET(x, CURLOPT_NOBODY, 1L);
        break;
    case HTTP_DELETE:
        SET(x, CURLOPT_CUSTOMREQUEST, "DELETE");
        break;
    case HTTP_PUT:
        SET(x, CURLOPT_UPLOAD, 1L);
        SET(x, CURLOPT_READFUNCTION, on_read);
        SET(x, CURLOPT_READDATA, body);
        SET(x, CURLOPT_SEEKFUNCTION, on_seek);
        SET(x, CURLOPT_SEEKDATA, body);
        SET(x, CURLOPT_INFILESIZE_LARGE, (curl_off_t)body->len);
        break;
    case HTTP_POST:
        SET(x, CURLOPT_POST, 1L);
        SET(x, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
        SET(x, CURLOPT_POSTFIELDS, body->len == 0 ? "" : (const char *)body->bytes);
        break;
    }
    return code;
}

static CURLcode set_signer(struct exchange *x)
{
    const struct http_signer *signer = x->request->signer;
    char scheme[128];
    CURLcode code = CURLE_OK;
    if (signer == NULL)
        return code;
    int len = snprintf(scheme, sizeof(scheme), "aws:amz:%s:%s", signer->region, signer->service);
    if (len < 0 || (size_t)len >= sizeof(scheme))
        return CURLE_BAD_FUNCTION_ARGUMENT;
    SET(x, CURLOPT_AWS_SIGV4, scheme);
    SET(x, CURLOPT_USERNAME, signer->key_id);
    SET(x, CURLOPT_PASSWORD, signer->secret);
    return code;
}

static CURLcode set_limits(const struct http_client *c, struct exchange *x, uint64_t left_ns)
{
    CURLcode code = CURLE_OK;
    uint32_t stall_s = c->options.stall_s == 0 ? HTTP_STALL_S : c->options.stall_s;
    long connect_ms = c->options.connect_ms == 0 ? HTTP_CONNECT_MS : (long)c->options.connect_ms;
    x->stall_ns = stall_s * SECOND_NS;
    SET(x, CURLOPT_NOSIGNAL, 1L);
    SET(x, CURLOPT_TIMEOUT_MS, (long)MIN(left_ns / MS_NS + 1, UINT64_C(86400000)));
    SET(x, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    SET(x, CURLOPT_LOW_SPEED_LIMIT, (long)HTTP_STALL_BYTES);
    SET(x, CURLOPT_LOW_SPEED_TIME, (long)stall_s);
    SET(x, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(x, CURLOPT_FOLLOWLOCATION, 0L);
    SET(x, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    SET(x, CURLOPT_NOPROGRESS, 0L);
    SET(x, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(x, CURLOPT_XFERINFODATA, x);
    return code;
}

static CURLcode set_all(const struct http_client *c, struct exchange *x, struct body *body, struct curl_slist *headers,
                        uint64_t left_ns)
{
    CURLcode code = set_limits(c, x, left_ns);
    if (code == CURLE_OK)
        code = set_method(x, body);
    if (code == CURLE_OK)
        code = set_signer(x);
    SET(x, CURLOPT_URL, x->request->url);
    SET(x, CURLOPT_HTTPHEADER, headers);
    SET(x, CURLOPT_WRITEFUNCTION, on_body);
    SET(x, CURLOPT_WRITEDATA, x);
    SET(x, CURLOPT_HEADERFUNCTION, on_header);
    SET(x, CURLOPT_HEADERDATA, x);
    if (x->request->ca_file != NULL)
        SET(x, CURLOPT_CAINFO, x->request->ca_file);
    return code;
}

static enum err perform(struct http_client *c, struct exchange *x, struct curl_slist *headers)
{
    struct body body = {.bytes = x->request->body, .len = x->request->body_len};
    char detail[CURL_ERROR_SIZE] = "";
    uint64_t now = clock_mono_ns();
    if (now >= x->request->deadline_ns) {
        (void)snprintf(x->response->why, sizeof(x->response->why), "the deadline has passed");
        return ERR_TIMEOUT;
    }
    CURLcode code = set_all(c, x, &body, headers, x->request->deadline_ns - now);
    SET(x, CURLOPT_ERRORBUFFER, detail);
    if (code == CURLE_OK)
        code = x->curl->easy_perform(x->handle);
    if (code == CURLE_OK) {
        x->response->status = (unsigned)status_of(x);
        return ERR_OK;
    }
    (void)snprintf(x->response->why, sizeof(x->response->why), "%s",
                   x->too_large        ? "the server answers with more than was asked for"
                   : x->stalled        ? "the transfer has stalled"
                   : detail[0] != '\0' ? detail
                                       : x->curl->easy_strerror(code));
    return error_of(x, code);
}

static enum err client_request(void *self, const struct http_request *request, struct http_response *response)
{
    struct http_client *c = self;
    const struct curl_library *curl = curl_library();
    response->status = 0;
    response->body_len = 0;
    response->headers[0] = response->error[0] = response->why[0] = '\0';
    if (curl == NULL) {
        (void)snprintf(response->why, sizeof(response->why),
                       "libcurl.so.4, version 7.88 or later, cannot be loaded: install libcurl4");
        return ERR_UNSUPPORTED;
    }
    struct exchange x = {.curl = curl, .request = request, .response = response, .handle = take_handle(c, curl)};
    struct curl_slist *headers = NULL;
    enum err err = x.handle == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < request->header_count; i++) {
        struct curl_slist *longer = curl->slist_append(headers, request->headers[i]);
        err = longer == NULL ? ERR_NOMEM : ERR_OK;
        headers = longer == NULL ? headers : longer;
    }
    if (err == ERR_OK)
        err = perform(c, &x, headers);
    if (x.handle != NULL)
        give_handle(c, curl, x.handle);
    curl->slist_free_all(headers);
    return err;
}

static uint64_t client_now(void *self)
{
    (void)self;
    return clock_mono_ns();
}

static void client_pause(void *self, uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / SECOND_NS), .tv_nsec = (long)(ns % SECOND_NS)};
    (void)self;
    while (nanosleep(&left, &left) != 0)
        continue;
}

enum err http_client_new(const struct http_client_options *options, struct http_client **ret_client)
{
    struct http_client *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NOMEM;
    c->options = *options;
    c->port = (struct http_port){.self = c, .request = client_request, .now = client_now, .pause = client_pause};
    (void)pthread_mutex_init(&c->lock, NULL);
    *ret_client = c;
    return ERR_OK;
}

void http_client_free(struct http_client *client)
{
    if (client == NULL)
        return;
    while (client->idle_count > 0)
        curl_library()->easy_cleanup(client->idle[--client->idle_count]);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

const struct http_port *http_client_port(struct http_client *client)
{
    return &client->port;
}
