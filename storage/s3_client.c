/* SPDX-License-Identifier: MIT */
#include "storage/s3_client.h"

#include <inttypes.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/text.h"
#include "storage/request_pace.h"
#include "wire/s3.h"

enum {
    ADDRESS_MAX = 8192,
    HEADERS_MAX = 4,
    HEADER_MAX = 256,
    TOKEN_HEADER_MAX = S3_TOKEN_MAX + 32,
    RETRY_AFTER_MAX_S = 3600,
};

/* What is made of a request before its first try. */
struct prepared {
    struct buf address;
    char hash[HEADER_MAX];
    char range[HEADER_MAX];
    char token[TOKEN_HEADER_MAX];
    const char *headers[HEADERS_MAX];
    size_t header_count;
};

struct s3_client {
    struct s3_options options;
    char endpoint[S3_TEXT_MAX];
    char region[S3_TEXT_MAX];
    char bucket[S3_TEXT_MAX];
    char prefix[S3_TEXT_MAX];
    char ca_file[S3_TEXT_MAX * 4];
    pthread_mutex_t lock; /* of what follows */
    struct request_pace pace;
    struct prng prng;
    struct s3_counters counters;
    char trouble[COLD_WHY_BYTES]; /* what the last try heard; "": an answer */
};

const char *s3_kind_name(enum s3_kind kind)
{
    static const char *const names[S3_KIND_COUNT] = {
        [S3_PUT] = "put",
        [S3_UPLOAD_CREATE] = "upload_create",
        [S3_UPLOAD_PART] = "upload_part",
        [S3_UPLOAD_COMPLETE] = "upload_complete",
        [S3_UPLOAD_ABORT] = "upload_abort",
        [S3_GET] = "get",
        [S3_HEAD] = "head",
        [S3_DELETE] = "delete",
        [S3_LIST] = "list",
    };
    return names[kind];
}

/* ---- life ---- */

static const char *what_is_wrong(const struct s3_options *o)
{
    bool http = strncmp(o->endpoint, "http://", 7) == 0 || strncmp(o->endpoint, "https://", 8) == 0;
    if (!http || strpbrk(o->endpoint, " ?#@") != NULL)
        return "the endpoint must be http:// or https://, a host, and nothing secret";
    if (o->bucket[0] == '\0' || strchr(o->bucket, '/') != NULL)
        return "a bucket must be named";
    if (o->region[0] == '\0' || strpbrk(o->region, ": /") != NULL)
        return "a region must be named";
    if (o->prefix[0] == '/' || (o->prefix[0] != '\0' && o->prefix[strlen(o->prefix) - 1] != '/'))
        return "a prefix must end with a slash and not begin with one";
    if (o->credentials.key_id[0] == '\0' || strchr(o->credentials.key_id, ':') != NULL)
        return "there are no credentials";
    return NULL;
}

enum err s3_client_new(const struct s3_options *options, struct s3_client **ret_client, char ret_why[COLD_WHY_BYTES])
{
    const char *wrong = what_is_wrong(options);
    struct s3_client *c = wrong != NULL ? NULL : calloc(1, sizeof(*c));
    if (c == NULL) {
        (void)snprintf(ret_why, COLD_WHY_BYTES, "S3: %s", wrong != NULL ? wrong : err_text(ERR_NOMEM));
        return wrong != NULL ? ERR_INVALID : ERR_NOMEM;
    }
    c->options = *options;
    if (text_copy(span_text(options->endpoint), c->endpoint, sizeof(c->endpoint)) != ERR_OK ||
        text_copy(span_text(options->region), c->region, sizeof(c->region)) != ERR_OK ||
        text_copy(span_text(options->bucket), c->bucket, sizeof(c->bucket)) != ERR_OK ||
        text_copy(span_text(options->prefix), c->prefix, sizeof(c->prefix)) != ERR_OK ||
        text_copy(span_text(options->ca_file == NULL ? "" : options->ca_file), c->ca_file, sizeof(c->ca_file)) !=
            ERR_OK) {
        (void)snprintf(ret_why, COLD_WHY_BYTES,
                       "S3: endpoint, region, bucket, prefix or the file of the CA is too long");
        s3_credentials_wipe(&c->options.credentials);
        free(c);
        return ERR_INVALID;
    }
    (void)pthread_mutex_init(&c->lock, NULL);
    request_pace_init(&c->pace, options->requests_per_s == 0 ? S3_REQUESTS_PER_S : options->requests_per_s,
                      options->burst == 0 ? S3_BURST : options->burst);
    prng_init(&c->prng, options->seed);
    *ret_client = c;
    return ERR_OK;
}

void s3_client_free(struct s3_client *client)
{
    if (client == NULL)
        return;
    s3_credentials_wipe(&client->options.credentials);
    (void)pthread_mutex_destroy(&client->lock);
    free(client);
}

const char *s3_client_prefix(const struct s3_client *client)
{
    return client->prefix;
}

struct account *s3_client_account(const struct s3_client *client)
{
    return client->options.account;
}

uint64_t s3_client_now(const struct s3_client *client)
{
    return client->options.http->now(client->options.http->self);
}

struct s3_counters s3_client_counters(struct s3_client *client)
{
    (void)pthread_mutex_lock(&client->lock);
    struct s3_counters counters = client->counters;
    (void)pthread_mutex_unlock(&client->lock);
    return counters;
}

void s3_client_trouble(struct s3_client *client, char ret_why[COLD_WHY_BYTES])
{
    (void)pthread_mutex_lock(&client->lock);
    memcpy(ret_why, client->trouble, COLD_WHY_BYTES);
    (void)pthread_mutex_unlock(&client->lock);
}

struct span s3_header(const struct http_response *response, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = response->headers; *line != '\0';) {
        const char *end = strchr(line, '\n');
        if (end == NULL)
            break;
        if (strncmp(line, name, len) == 0 && line[len] == ':')
            return span_trim(span_of(line + len + 1, (size_t)(end - line) - len - 1));
        line = end + 1;
    }
    return (struct span){0};
}

/* ---- a request ---- */

static enum err prepare(const struct s3_client *c, const struct s3_request *request, struct prepared *p)
{
    char key[S3_TEXT_MAX + COLD_NAME_MAX];
    char hash[S3_SHA256_CHARS];
    p->header_count = 0;
    buf_init(&p->address, ADDRESS_MAX, NULL);
    if (request->name != NULL)
        (void)snprintf(key, sizeof(key), "%s%s", c->prefix, request->name);
    enum err err = s3_address(&p->address, c->endpoint, c->bucket, request->name == NULL ? NULL : key);
    if (err == ERR_OK)
        err = buf_append(&p->address, request->query, strlen(request->query) + 1);
    if (err == ERR_OK)
        err = s3_body_hash(request->body, hash);
    if (err != ERR_OK)
        return err;
    (void)snprintf(p->hash, sizeof(p->hash), "x-amz-content-sha256: %s", hash);
    p->headers[p->header_count++] = p->hash;
    if (c->options.credentials.token[0] != '\0') {
        (void)snprintf(p->token, sizeof(p->token), "x-amz-security-token: %s", c->options.credentials.token);
        p->headers[p->header_count++] = p->token;
    }
    if (request->range != NULL) {
        (void)snprintf(p->range, sizeof(p->range), "Range: %s", request->range);
        p->headers[p->header_count++] = p->range;
    }
    if (request->body.len > 0)
        p->headers[p->header_count++] = "Content-Type: application/octet-stream";
    return ERR_OK;
}

static void release(struct prepared *p)
{
    buf_release(&p->address);
    sodium_memzero(p->token, sizeof(p->token));
}

/* ---- may it go out? ---- */

static uint64_t random_of(struct s3_client *c)
{
    (void)pthread_mutex_lock(&c->lock);
    uint64_t random = prng_next(&c->prng);
    (void)pthread_mutex_unlock(&c->lock);
    return random;
}

/* Waits; false: `until_ns` comes first, or it is cancelled. */
static bool wait_for(struct s3_client *c, const struct cold_call *call, uint64_t ns, uint64_t until_ns)
{
    const struct http_port *http = c->options.http;
    while (ns > 0 && !cold_cancelled(call)) {
        if (s3_client_now(c) + ns >= until_ns)
            return false;
        uint64_t step = MIN(ns, 100 * MS_NS); /* so long a cancel waits */
        http->pause(http->self, step);
        ns -= step;
    }
    return !cold_cancelled(call);
}

/* Waits for a token of the budget. */
static enum err enter(struct s3_client *c, struct cold_call *call, enum s3_kind kind, size_t body_len, bool again)
{
    for (bool held = false;; held = true) {
        uint64_t now = s3_client_now(c);
        (void)pthread_mutex_lock(&c->lock);
        uint64_t wait = request_pace_take(&c->pace, now);
        if (wait == 0) {
            c->counters.requests[kind]++;
            c->counters.again += again;
            c->counters.bytes_out += body_len;
        }
        c->counters.held += wait > 0 && !held;
        (void)pthread_mutex_unlock(&c->lock);
        if (wait == 0)
            return ERR_OK;
        if (!wait_for(c, call, wait, call->deadline_ns)) {
            if (cold_cancelled(call))
                return ERR_CANCELLED;
            call->retry_at_ns = now + wait;
            return cold_fail(call, ERR_UNAVAILABLE, "%s: the budget of requests is used up", c->bucket);
        }
    }
}

/* ---- what came of it ---- */

/* Of an answer that is no 2xx. ERR_AGAIN: it is worth another try. */
static enum err judge_status(const struct s3_client *c, struct cold_call *call, const struct s3_request *request,
                             const struct http_response *r)
{
    char code[S3_CODE_MAX];
    s3_read_error(span_text(r->error), code);
    const char *what = request->name == NULL ? "" : request->name;
    (void)cold_fail(call, ERR_OK, "%s/%s%s answers %u %s", c->bucket, c->prefix, what, r->status, code);
    if (r->status == 507 || strcmp(code, "QuotaExceeded") == 0 || strcmp(code, "XMinioStorageFull") == 0)
        return ERR_NO_SPACE;
    if (r->status == 408 || r->status == 409 || r->status == 429 || r->status >= 500 ||
        strcmp(code, "RequestTimeout") == 0 || strcmp(code, "SlowDown") == 0)
        return ERR_AGAIN;
    if (strcmp(code, "XAmzContentSHA256Mismatch") == 0 || strcmp(code, "BadDigest") == 0)
        return ERR_AGAIN; /* the body was altered on its way */
    if (r->status == 416)
        return ERR_CORRUPT; /* the object ends before the range */
    if (r->status == 404 && strcmp(code, "NoSuchBucket") != 0)
        return ERR_NOT_FOUND;
    return ERR_DENIED;
}

/* Of a request that got no answer. */
static enum err judge_error(const struct s3_client *c, struct cold_call *call, enum err err,
                            const struct http_response *r)
{
    switch ((int)err) {
    case ERR_NOMEM:
    case ERR_CANCELLED:
        return err;
    case ERR_UNSUPPORTED:
    case ERR_AUTH:
        return cold_fail(call, ERR_DENIED, "%s: %s", c->endpoint, r->why);
    case ERR_TOO_LARGE:
    case ERR_PROTOCOL:
        return cold_fail(call, ERR_CORRUPT, "%s: %s", c->endpoint, r->why);
    default:
        return cold_fail(call, ERR_AGAIN, "%s: %s", c->endpoint, r->why);
    }
}

static uint64_t asked_ns(const struct http_response *r)
{
    uint64_t seconds = 0; /* a date is not read: the own pause stands in */
    if (r->status == 0 || text_parse_u64(s3_header(r, "retry-after"), &seconds) != ERR_OK)
        return 0;
    return MIN(seconds, (uint64_t)RETRY_AFTER_MAX_S) * SECOND_NS;
}

static enum err try_once(struct s3_client *c, struct cold_call *call, const struct s3_request *request,
                         const struct prepared *p, struct http_response *response)
{
    struct http_signer signer = {.key_id = c->options.credentials.key_id,
                                 .secret = c->options.credentials.secret,
                                 .region = c->region,
                                 .service = "s3"};
    struct http_request http = {.method = request->method,
                                .url = (const char *)p->address.data,
                                .headers = p->headers,
                                .header_count = p->header_count,
                                .body = request->body.data,
                                .body_len = request->body.len,
                                .signer = &signer,
                                .ca_file = c->ca_file[0] == '\0' ? NULL : c->ca_file,
                                .deadline_ns = call->deadline_ns,
                                .cancelled = call->cancelled};
    response->body = request->to;
    response->body_max = request->to_max;
    enum err err = c->options.http->request(c->options.http->self, &http, response);
    if (err != ERR_OK)
        return judge_error(c, call, err, response);
    (void)pthread_mutex_lock(&c->lock);
    c->counters.bytes_in += response->body_len;
    (void)pthread_mutex_unlock(&c->lock);
    if (response->status < 200 || response->status > 299)
        return judge_status(c, call, request, response);
    err = request->check == NULL ? ERR_OK : request->check(request, response);
    if (err == ERR_OK)
        return ERR_OK;
    return cold_fail(call, err, "%s/%s%s: the server's answer is not what was asked for", c->bucket, c->prefix,
                     request->name == NULL ? "" : request->name);
}

/* The server has not answered in time. When that was not for want of time, nobody asks for a while. */
static enum err give_up(struct s3_client *c, struct cold_call *call, bool down)
{
    uint64_t now = s3_client_now(c);
    (void)pthread_mutex_lock(&c->lock);
    if (down)
        request_pace_failed(&c->pace, now, prng_next(&c->prng));
    c->counters.failed++;
    call->retry_at_ns = c->pace.down_until_ns;
    (void)pthread_mutex_unlock(&c->lock);
    return ERR_UNAVAILABLE; /* call->why has what was last heard */
}

static void note_try(struct s3_client *c, const struct cold_call *call, enum err err)
{
    if (err == ERR_NOMEM || err == ERR_CANCELLED)
        return;
    (void)pthread_mutex_lock(&c->lock);
    if (err != ERR_AGAIN)
        request_pace_answered(&c->pace);
    (void)snprintf(c->trouble, sizeof(c->trouble), "%s", err == ERR_AGAIN ? call->why : "");
    (void)pthread_mutex_unlock(&c->lock);
}

static enum err send_prepared(struct s3_client *c, struct cold_call *call, const struct s3_request *request,
                              const struct prepared *p, struct http_response *response)
{
    bool down = false;
    uint64_t until_ns = call->deadline_ns;
    for (unsigned tries = 0;; tries++) {
        enum err err = enter(c, call, request->kind, request->body.len, tries > 0);
        if (err != ERR_OK)
            return err;
        err = try_once(c, call, request, p, response);
        note_try(c, call, err);
        if (err != ERR_AGAIN)
            return err;
        down = down || s3_client_now(c) < call->deadline_ns;
        if (tries == 0)
            until_ns = MIN(until_ns, s3_client_now(c) + S3_PATIENCE_NS);
        if (!wait_for(c, call, request_pace_delay(tries, asked_ns(response), random_of(c)), until_ns))
            return cold_cancelled(call) ? ERR_CANCELLED : give_up(c, call, down);
    }
}

enum err s3_send(struct s3_client *client, struct cold_call *call, const struct s3_request *request,
                 struct http_response *response)
{
    uint64_t now = s3_client_now(client);
    (void)pthread_mutex_lock(&client->lock);
    uint64_t down_until = request_pace_down_until(&client->pace, now);
    (void)pthread_mutex_unlock(&client->lock);
    if (down_until != 0) {
        call->retry_at_ns = down_until;
        return cold_fail(call, ERR_UNAVAILABLE, "%s does not answer; it is asked again in %" PRIu64 " ms",
                         client->endpoint, (down_until - now) / MS_NS + 1);
    }
    struct prepared *p = calloc(1, sizeof(*p));
    if (p == NULL)
        return ERR_NOMEM;
    enum err err = prepare(client, request, p);
    if (err == ERR_OK)
        err = send_prepared(client, call, request, p, response);
    release(p);
    free(p);
    return err;
}
