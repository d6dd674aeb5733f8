/* SPDX-License-Identifier: MIT */
#include "sim/bucket.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/bucket_private.h"
#include "sim/sim.h"

enum { ABSENCE_S_MAX = 5 };

/* What S3 refuses before it looks at anything. */
static bool is_welcome(const struct sim_bucket *b, const struct http_request *http, struct sim_asked *a,
                       struct http_response *r)
{
    char hash[S3_SHA256_CHARS];
    if (!sim_bucket_take_apart(b, http, a)) {
        sim_bucket_refuse(r, 404, "NoSuchBucket");
        return false;
    }
    const char *claimed = sim_bucket_header(a, "x-amz-content-sha256: ");
    if (http->signer == NULL || claimed == NULL) {
        sim_bucket_refuse(r, 403, "AccessDenied");
        return false;
    }
    if (s3_body_hash(span_of(http->body, http->body_len), hash) != ERR_OK || strcmp(hash, claimed) != 0) {
        sim_bucket_refuse(r, 400, "XAmzContentSHA256Mismatch");
        return false;
    }
    return true;
}

static enum err fail_with(struct sim_bucket *b, struct http_response *r)
{
    char headers[64] = "";
    (void)snprintf(r->why, sizeof(r->why), "the connection is reset");
    if (b->fault != SIM_BUCKET_STATUS)
        return ERR_RESET;
    if (b->fault_retry_after_s > 0)
        (void)snprintf(headers, sizeof(headers), "retry-after: %u\n", b->fault_retry_after_s);
    sim_bucket_refuse(r, b->fault_status, b->fault_status == 503 ? "SlowDown" : "InternalError");
    (void)snprintf(r->headers, sizeof(r->headers), "%s", headers);
    return ERR_OK;
}

static uint64_t now_of(const struct sim_bucket *b)
{
    return b->sim == NULL ? b->now_ns : sim_now(b->sim) + sim_job_waited(b->sim);
}

static void wait_for(struct sim_bucket *b, uint64_t ns)
{
    if (b->sim == NULL)
        b->now_ns += ns;
    else
        sim_job_wait(b->sim, ns);
}

static enum err bucket_request(void *self, const struct http_request *http, struct http_response *r)
{
    struct sim_bucket *b = self;
    r->status = 0;
    r->body_len = 0;
    r->headers[0] = r->error[0] = r->why[0] = '\0';
    b->requests++;
    uint64_t now = now_of(b);
    uint64_t left = http->deadline_ns > now ? http->deadline_ns - now : 0;
    if (now < b->absent_until_ns) {
        wait_for(b, MIN(ABSENCE_S_MAX * SECOND_NS, left));
        (void)snprintf(r->why, sizeof(r->why), "nobody answers");
        return ERR_TIMEOUT;
    }
    if (b->latency_ns > left) {
        wait_for(b, left);
        return ERR_TIMEOUT;
    }
    wait_for(b, b->latency_ns);
    bool fails = b->fault_count > 0 && b->fault_skip == 0;
    b->fault_count -= fails;
    b->fault_skip -= b->fault_skip > 0;
    if (fails && b->fault != SIM_BUCKET_LOSE)
        return fail_with(b, r);
    struct sim_asked *a = malloc(sizeof(*a));
    if (a == NULL)
        return ERR_NOMEM;
    enum err err = is_welcome(b, http, a, r) ? sim_bucket_serve(b, a, r) : ERR_OK;
    free(a);
    return fails ? fail_with(b, r) : err;
}

static uint64_t bucket_now(void *self)
{
    return now_of(self);
}

static void bucket_pause(void *self, uint64_t ns)
{
    wait_for(self, ns);
}

/* ---- the test's side ---- */

struct sim_bucket *sim_bucket_new(const char *name, uint64_t latency_ns)
{
    struct sim_bucket *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return NULL;
    (void)snprintf(b->name, sizeof(b->name), "%s", name);
    b->latency_ns = latency_ns;
    b->now_ns = SECOND_NS;
    b->port = (struct http_port){.self = b, .request = bucket_request, .now = bucket_now, .pause = bucket_pause};
    return b;
}

void sim_bucket_free(struct sim_bucket *bucket)
{
    if (bucket == NULL)
        return;
    sim_bucket_clear(bucket);
    free(bucket);
}

const struct http_port *sim_bucket_port(struct sim_bucket *bucket)
{
    return &bucket->port;
}

void sim_bucket_follow(struct sim_bucket *bucket, struct sim *sim)
{
    bucket->sim = sim;
}

uint64_t sim_bucket_now(const struct sim_bucket *bucket)
{
    return now_of(bucket);
}

void sim_bucket_advance(struct sim_bucket *bucket, uint64_t ns)
{
    wait_for(bucket, ns);
}

void sim_bucket_absent_until(struct sim_bucket *bucket, uint64_t until_ns)
{
    bucket->absent_until_ns = until_ns;
}

void sim_bucket_fail(struct sim_bucket *bucket, enum sim_bucket_fault fault, unsigned status, unsigned retry_after_s,
                     uint64_t skip, uint64_t count)
{
    bucket->fault = fault;
    bucket->fault_status = status;
    bucket->fault_retry_after_s = retry_after_s;
    bucket->fault_skip = skip;
    bucket->fault_count = count;
}

enum err sim_bucket_damage(struct sim_bucket *bucket, const char *key, uint64_t offset, uint8_t mask)
{
    struct sim_object *o = sim_bucket_find(bucket, key);
    if (o == NULL || offset >= o->body.len)
        return ERR_NOT_FOUND;
    o->body.data[offset] ^= mask;
    return ERR_OK;
}

uint64_t sim_bucket_requests(const struct sim_bucket *bucket)
{
    return bucket->requests;
}

size_t sim_bucket_objects(const struct sim_bucket *bucket)
{
    return bucket->object_count;
}

size_t sim_bucket_uploads(const struct sim_bucket *bucket)
{
    return bucket->upload_count;
}
