/* SPDX-License-Identifier: MIT */
/*
 * Requests to one bucket: signed, paced, tried again, counted, and judged.
 *
 *      s3_send --> outage? budget? --> http_port --> judge --+--> answer
 *                        ^------------- pause <-- again -----+
 *
 * What is tried again: no connection, a cut or stalled one, 408, 429, 5xx; for S3_PATIENCE_NS after the first of them, within the call's
 * deadline, so that an outage is told in a time that people wait for while an upload may take its own. Everything else is an answer: 2xx is ERR_OK, a key
 * that is not there ERR_NOT_FOUND, refused ERR_DENIED with the server's code in call->why.
 *
 * Threads: any number at once. Blocks; from jobs only.
 */
#ifndef HEARTH_STORAGE_S3_CLIENT_H
#define HEARTH_STORAGE_S3_CLIENT_H

#include "base/limits.h"
#include "mailbox/ports.h"
#include "storage/cold_store.h"
#include "storage/s3_credentials.h"

enum { S3_TEXT_MAX = 256, S3_REQUESTS_PER_S = 50, S3_BURST = 100 };

#define S3_PATIENCE_NS (UINT64_C(30) * 1000000000)

/* Kinds of requests, as they are paid for. */
enum s3_kind {
    S3_PUT,
    S3_UPLOAD_CREATE,
    S3_UPLOAD_PART,
    S3_UPLOAD_COMPLETE,
    S3_UPLOAD_ABORT,
    S3_GET,
    S3_HEAD,
    S3_DELETE,
    S3_LIST, /* of objects and of uploads */
    S3_KIND_COUNT
};

/* "put", "upload_create", ... a static string. */
const char *s3_kind_name(enum s3_kind kind);

struct s3_counters {
    uint64_t requests[S3_KIND_COUNT]; /* all that went out, those tried again too */
    uint64_t again;                   /* of these */
    uint64_t failed;                  /* operations that ended in ERR_UNAVAILABLE */
    uint64_t held;                    /* operations that had to wait for the budget */
    uint64_t bytes_out;               /* of bodies */
    uint64_t bytes_in;
};

struct s3_options {
    const struct http_port *http; /* borrowed */
    const char *endpoint;         /* "https://s3.eu-central-1.amazonaws.com" */
    const char *region;
    const char *bucket;
    const char *prefix;  /* of all keys: "" or "a/b/" */
    const char *ca_file; /* NULL: what the system trusts */
    struct s3_credentials credentials;
    uint64_t requests_per_s; /* 0 = S3_REQUESTS_PER_S */
    uint64_t burst;          /* 0 = S3_BURST */
    uint64_t seed;           /* of the jitter */
    struct account *account; /* for parts and listings; NULL = not charged */
};

struct s3_client;

/* ERR_INVALID (ret_why says what), ERR_NOMEM. */
enum err s3_client_new(const struct s3_options *options, struct s3_client **ret_client,
                       char ret_why[COLD_WHY_BYTES]) MUST_CHECK;
/* Wipes the credentials. NULL-safe. */
void s3_client_free(struct s3_client *client);

struct s3_request {
    enum s3_kind kind;
    enum http_method method;
    const char *name;  /* of the object, without the prefix; NULL: the bucket itself */
    const char *query; /* "" or "?a=b&c=", in order */
    const char *range; /* "bytes=0-99", or NULL */
    struct span body;
    uint8_t *to; /* where the body of the answer goes */
    size_t to_max;
    /* Looks at a 2xx: ERR_OK; ERR_AGAIN: try again; another error is the result. NULL: every 2xx is good. */
    enum err (*check)(const struct s3_request *request, const struct http_response *response);
};

enum err s3_send(struct s3_client *client, struct cold_call *call, const struct s3_request *request,
                 struct http_response *response) MUST_CHECK;

/* A header of an answer by its lower-case name; empty when there is none. */
struct span s3_header(const struct http_response *response, const char *name);

const char *s3_client_prefix(const struct s3_client *client);
struct account *s3_client_account(const struct s3_client *client);
uint64_t s3_client_now(const struct s3_client *client);
struct s3_counters s3_client_counters(struct s3_client *client);
/* Why the last request is being tried again, or was given up; "" when it was answered. */
void s3_client_trouble(struct s3_client *client, char ret_why[COLD_WHY_BYTES]);

#endif
