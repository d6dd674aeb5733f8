/* SPDX-License-Identifier: MIT */
/*
 * A simulated S3 server of one bucket behind http_port: objects, uploads in parts, ranges, listings, and its failures, in virtual time.
 *
 *      request --> is it absent? --> does the next fault fit? --> done --> is the answer lost? --> answer
 *
 * Each request takes the latency, a pause the time that it asks for. It checks what S3 checks: that a request is signed, that its body has the
 * hash that was signed with it, that the query is in canonical order, that all parts but the last have 5 MiB. tests/cold proves the same client
 * against a server that somebody else wrote.
 *
 * Its time is its own, or that of a simulator. Deterministic; one thread.
 */
#ifndef HEARTH_SIM_BUCKET_H
#define HEARTH_SIM_BUCKET_H

#include "base/attr.h"
#include "mailbox/ports.h"

struct sim;
struct sim_bucket;

enum { SIM_BUCKET_PAGE = 1000 };

/* Answers as http://<any host>/<name>/... NULL without memory. */
struct sim_bucket *sim_bucket_new(const char *name, uint64_t latency_ns) MUST_CHECK;
/* NULL-safe. */
void sim_bucket_free(struct sim_bucket *bucket);

const struct http_port *sim_bucket_port(struct sim_bucket *bucket);

/* From here on its time is that of the simulator, and what it takes is waited for by the job that asks. */
void sim_bucket_follow(struct sim_bucket *bucket, struct sim *sim);

uint64_t sim_bucket_now(const struct sim_bucket *bucket);
void sim_bucket_advance(struct sim_bucket *bucket, uint64_t ns);

/* Nobody answers until then: a request takes until its deadline, 5 s at most, and is ERR_TIMEOUT. */
void sim_bucket_absent_until(struct sim_bucket *bucket, uint64_t until_ns);

enum sim_bucket_fault {
    SIM_BUCKET_STATUS, /* answers with status, and does nothing */
    SIM_BUCKET_RESET,  /* the connection is reset before anything is done */
    SIM_BUCKET_LOSE    /* it is done, and the answer is lost */
};

/* After so many requests the next count ones fail. Replaces what was planned. retry_after_s: told with the status; 0 = not. */
void sim_bucket_fail(struct sim_bucket *bucket, enum sim_bucket_fault fault, unsigned status, unsigned retry_after_s,
                     uint64_t skip, uint64_t count);

/* Flips bits of an object. ERR_NOT_FOUND. */
enum err sim_bucket_damage(struct sim_bucket *bucket, const char *key, uint64_t offset, uint8_t mask) MUST_CHECK;

uint64_t sim_bucket_requests(const struct sim_bucket *bucket); /* all that came, those into an absence too */
size_t sim_bucket_objects(const struct sim_bucket *bucket);
size_t sim_bucket_uploads(const struct sim_bucket *bucket);

#endif
