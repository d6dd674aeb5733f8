/* SPDX-License-Identifier: MIT */
/*
 * One end of a lane between the processes of two actors: batches and the bytes of their tails, over a Unix socket that keeps messages apart.
 *
 *      fragment   0       4            8             16        24
 *                 | magic | body_bytes | total_bytes | offset  | up to 64 KiB of: batch (body_bytes), tails one behind the other
 *
 * A pair of such sockets (SOCK_SEQPACKET) is made for each two actors before the first process starts, and lives as long as the runtime:
 * there is no address that others could dial, nothing to reconnect, no thread to do it, and a process in a sandbox needs no call that opens
 * a socket. nng's ipc:// was the alternative; a round trip over it takes 179 us, and each process would have its 13 threads.
 * A process that dies in the middle of a batch leaves a beginning without an end: whoever reads takes up again at the next fragment with
 * offset 0, on both sides. So nothing that a life left behind can be taken for what the next one says.
 *
 * Sending never blocks. A batch that was taken may be written in parts; only then is the next one taken. What is received is checked
 * (batch_check.h) when the batch is there and before its tails are read. Its tails are charged to the account of the same name, whatever its
 * limit, since their bytes are there; what was charged to none of the budget, to the receive account.
 *
 * One thread at a time. Owned by the backend of one process.
 */
#ifndef HEARTH_MAILBOX_IPC_LINK_H
#define HEARTH_MAILBOX_IPC_LINK_H

#include "mailbox/ctx.h"

enum {
    LINK_HEAD_BYTES = 24,
    LINK_FRAGMENT_BYTES = 64 * 1024,
    LINK_MAGIC = 0x314c4d48,  /* "HML1" */
    LINK_TURN_FRAGMENTS = 64, /* that one receive reads at most */
};

struct ipc_link {
    int fd; /* borrowed; -1 = no such actor */
    actor_id peer;
    enum lane lane;

    /* what is being sent; out NULL = nothing */
    struct batch *out;
    struct block_ref **out_tails;
    size_t out_tail_count;
    size_t out_body_bytes;
    uint64_t out_total;
    uint64_t out_at;  /* of out_total */
    size_t out_piece; /* 0 = the batch, n = tail n - 1 */
    uint64_t out_in_piece;

    /* what is being received; in NULL = nothing, or the rest of something is passed over */
    struct batch *in;
    size_t in_body_bytes;
    uint64_t in_total;
    uint64_t in_at;
    bool in_checked;        /* its records are there and are what they say */
    size_t in_record;       /* offset of the record whose tail is being read, or of the next to be looked at */
    uint32_t in_left;       /* records from there on */
    struct block_ref *tail; /* owned by its record */
    size_t in_tail;
};

/* True while a batch is on its way: call link_push when the descriptor is writable. */
static inline bool link_is_sending(const struct ipc_link *link)
{
    return link->out != NULL;
}

/* Takes the batch and nulls it, or ERR_AGAIN while another is on its way. */
enum err link_send(struct ctx *self, struct ipc_link *link, struct batch **batch) MUST_CHECK;
/* Writes what fits. */
void link_push(struct ctx *self, struct ipc_link *link);

/*
 * The next batch that is there as a whole. scratch: of LINK_HEAD_BYTES + LINK_FRAGMENT_BYTES. ERR_AGAIN: none yet (*ret_more: but more could be
 * read at once); ERR_PROTOCOL: the peer's process sent what is no batch; the link can be used on.
 */
enum err link_receive(struct ctx *self, struct ipc_link *link, uint8_t *scratch, struct batch **ret_batch,
                      bool *ret_more) MUST_CHECK;

/* Drops what is half sent and half received. The descriptor stays. */
void link_release(struct ctx *self, struct ipc_link *link);

#endif
