/* SPDX-License-Identifier: MIT */
/* What sim/bucket.c and sim/bucket_server.c share. */
#ifndef HEARTH_SIM_BUCKET_PRIVATE_H
#define HEARTH_SIM_BUCKET_PRIVATE_H

#include "sim/bucket.h"
#include "wire/s3.h"

enum { SIM_KEY_MAX = 256, SIM_NAME_MAX = 64, SIM_PARTS_MAX = 256, SIM_VALUE_MAX = 512, SIM_PARAMETERS_MAX = 8 };

struct sim_blob {
    uint8_t *data;
    size_t len;
};

struct sim_object {
    char key[SIM_KEY_MAX];
    struct sim_blob body;
    char tag[S3_ETAG_CHARS];
};

struct sim_upload {
    char key[SIM_KEY_MAX];
    uint64_t id;
    struct sim_blob parts[SIM_PARTS_MAX];
};

struct sim_bucket {
    struct http_port port;
    char name[SIM_NAME_MAX];
    uint64_t latency_ns;
    struct sim *sim; /* whose time it is; NULL: now_ns */
    uint64_t now_ns;
    uint64_t absent_until_ns;
    enum sim_bucket_fault fault;
    unsigned fault_status;
    unsigned fault_retry_after_s;
    uint64_t fault_skip;
    uint64_t fault_count;
    uint64_t requests;
    uint64_t next_id;
    struct sim_object *objects; /* in order of key */
    size_t object_count;
    struct sim_upload **uploads;
    size_t upload_count;
};

/* One request, taken apart. */
struct sim_asked {
    const struct http_request *http;
    char key[SIM_KEY_MAX]; /* "": the bucket */
    char parameters[SIM_PARAMETERS_MAX][2][SIM_VALUE_MAX];
    size_t parameter_count;
};

/* Takes a request apart; false when it is not for this bucket, or its query is not in the order in which it must be signed. */
bool sim_bucket_take_apart(const struct sim_bucket *b, const struct http_request *http, struct sim_asked *a);

/* The value of a header by "Name: ", or NULL. */
const char *sim_bucket_header(const struct sim_asked *a, const char *name);

/* Does what is asked for. ERR_TOO_LARGE: the answer does not fit. */
enum err sim_bucket_serve(struct sim_bucket *b, const struct sim_asked *a, struct http_response *r);

void sim_bucket_refuse(struct http_response *r, unsigned status, const char *code);

/* Forgets all objects and uploads. */
void sim_bucket_clear(struct sim_bucket *b);

struct sim_object *sim_bucket_find(const struct sim_bucket *b, const char *key);

#endif
