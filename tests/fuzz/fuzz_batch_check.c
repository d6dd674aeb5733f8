/* SPDX-License-Identifier: MIT */
/*
 * A batch of another process: what is said to be one can be walked to its end, record by record, and none says more than its sender may.
 *
 *      input    { from u8 | to u8 | tail_bytes u32 | batch }
 */
#include <stdlib.h>

#include "mailbox/batch_check.h"
#include "tests/support/link_ends.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD_BYTES = 6 };

/* What the receiver does with it. */
static void walk(const uint8_t *body, size_t len, actor_id from, actor_id to, uint64_t tail_bytes)
{
    uint32_t count;
    size_t at = ENVELOPE_BATCH_BYTES;
    memcpy(&count, body + 4, sizeof(count));
    for (; count > 0; count--) {
        struct record r;
        if (len - at < ENVELOPE_RECORD_BYTES)
            abort();
        envelope_decode(body + at, &r);
        bool of_others = r.type == RECORD_DOWN || r.type == RECORD_UP;
        if (r.length > len - at || r.body_len > r.length - ENVELOPE_RECORD_BYTES || r.to != to ||
            (of_others ? from != ROOT_ID || r.from >= LINK_ACTORS : r.from != from))
            abort();
        struct tail_mark mark = envelope_mark(body + at);
        if (mark.there && mark.len > tail_bytes)
            abort();
        tail_bytes -= mark.there ? mark.len : 0;
        at += r.length;
    }
    if (at != len || tail_bytes != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t tail_bytes;
    if (size < HEAD_BYTES)
        return 0;
    actor_id from = data[0] % LINK_ACTORS;
    actor_id to = data[1] % LINK_ACTORS;
    memcpy(&tail_bytes, data + 2, sizeof(tail_bytes));
    size_t len = size - HEAD_BYTES;
    uint8_t *body = malloc(MAX(len, 1)); /* of its own, so that a byte beyond is noticed */
    if (body == NULL)
        abort();
    memcpy(body, data + HEAD_BYTES, len);
    if (batch_check(link_runtime(), from, to, body, len, tail_bytes) == ERR_OK)
        walk(body, len, from, to, tail_bytes);
    free(body);
    return 0;
}
