/* SPDX-License-Identifier: MIT */
/*
 * Blocks on their way into the daemon: gathered into requests of many, a few of them in flight. Those that are stored there are not sent.
 */
#ifndef HEARTH_CLI_BLOCK_SENDER_H
#define HEARTH_CLI_BLOCK_SENDER_H

#include "cli/client.h"
#include "wire/cid.h"

enum { SENDER_BYTES = 768 * 1024, SENDER_IN_FLIGHT = 4 };

/* Blocks of one request, as items of a schema_list. */
struct sender_batch {
    struct buf blocks;
    struct buf cids;
    uint32_t count;
    struct call *call;
};

struct block_sender {
    struct client *client;
    void (*taken)(void *arg, uint64_t bytes); /* so much more was stored; may be NULL */
    void *arg;
    struct sender_batch batches[SENDER_IN_FLIGHT];
    size_t head;  /* the oldest in flight */
    size_t count; /* in flight; the one after them is being gathered */
    uint64_t stored;
    uint64_t stored_bytes;
    uint64_t failed; /* each was told on stderr */
};

void block_sender_init(struct block_sender *s, struct client *client);
void block_sender_release(struct block_sender *s);

/*
 * Takes a copy of a block that shall hash to its CID, which the daemon checks. An exit status other than EXIT_OK, with its error printed, means
 * that it makes no sense to go on.
 */
int block_sender_add(struct block_sender *s, const struct cid *cid, struct span block);

/* Sends what was gathered and waits for all. */
int block_sender_finish(struct block_sender *s);

/* Which of count CIDs (at most BATCH_BLOCKS_MAX) are not stored in the daemon. An exit status. */
int block_sender_absent(struct client *client, const struct cid *cids, size_t count, bool *ret_absent);

#endif
