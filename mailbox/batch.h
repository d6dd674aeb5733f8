/* SPDX-License-Identifier: MIT */
/*
 * A batch: one growing message that carries many records, `{n, records...}` (envelope.h).
 *
 * It is an nng_msg all along, so that sending moves a pointer. Room is doubled here, since nng_msg_append grows by the exact
 * size, which is quadratic. The bytes of its capacity are charged to the mailbox account until it is freed.
 */
#ifndef HEARTH_MAILBOX_BATCH_H
#define HEARTH_MAILBOX_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/limits.h"

enum {
    BATCH_FIRST_BYTES = 1024,
    BATCH_FLUSH_BYTES = 64 * 1024, /* a batch this large leaves before the turn ends */
    BATCH_BYTES_MAX = 8 * 1024 * 1024,
};

struct batch; /* an nng_msg */

/* NULL without memory. force: also when the account is empty (replies have their room reserved). account may be NULL. */
struct batch *batch_new(uint16_t from, uint16_t to, struct account *account, bool force) MUST_CHECK;

/* Gives the charge back. Tails of unread records are the caller's business (batch_discard of delivery). NULL-safe. */
void batch_free(struct batch *batch, struct account *account);

/* Room for len bytes more after used; NULL when memory, the account or BATCH_BYTES_MAX ends. May move the bytes. */
uint8_t *batch_reserve(struct batch *batch, size_t used, size_t len, struct account *account, bool force) MUST_CHECK;

uint8_t *batch_body(struct batch *batch);
size_t batch_capacity(struct batch *batch);
uint32_t batch_count(struct batch *batch);
/* Sets the number of records: it is ready to be sent. It may still grow when it could not be sent. */
void batch_seal(struct batch *batch, uint32_t count);

#endif
