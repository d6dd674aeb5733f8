/* SPDX-License-Identifier: MIT */
/*
 * What another process writes to a lane: fragments in any order, of any length, torn and mixed. Whatever came, nothing of it is charged to
 * anybody once the link is released.
 *
 *      input    { length u16 | head: body_bytes u16, total_bytes u32 (kept within bounds), offset u32, flags | payload }...
 */
#include <stdlib.h>

#include "tests/fuzz/cap.h"
#include "tests/support/link_ends.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    FRAGMENTS_MAX = 32,
    HEAD_BYTES = 13,
    TOTAL_MASK = 0x1ffff,
    WRONG_MAGIC = 1,
    NO_HEAD = 2,
    LATE_READ = 4,
    NEW_LIFE = 8
};

/* What is announced is allocated before it comes: by each fragment a batch of 128 KiB and a tail as large. */
const size_t fuzz_free_bytes = FRAGMENTS_MAX * 1024 * 1024;

static uint64_t number(const uint8_t *at, size_t bytes)
{
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    return value;
}

static void write_one(struct link_ends *e, const uint8_t *head, struct span payload)
{
    uint8_t flags = head[12];
    if ((flags & NO_HEAD) != 0)
        (void)!send(e->peer, payload.data, payload.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        link_ends_write(e, (flags & WRONG_MAGIC) != 0 ? 7 : LINK_MAGIC, (uint32_t)number(head + 2, 2),
                        number(head + 4, 4) & TOTAL_MASK, number(head + 8, 4), payload);
    while ((flags & LATE_READ) == 0 && link_ends_read(e) != ERR_AGAIN) {
    }
    if ((flags & NEW_LIFE) != 0)
        link_release(e->self, &e->link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct link_ends e;
    link_ends_open(&e);
    for (int i = 0; i < FRAGMENTS_MAX && size >= HEAD_BYTES; i++) {
        size_t length = MIN(number(data, 2), size - HEAD_BYTES);
        write_one(&e, data, span_of(data + HEAD_BYTES, length));
        data += HEAD_BYTES + length;
        size -= HEAD_BYTES + length;
    }
    while (link_ends_read(&e) != ERR_AGAIN) {
    }
    link_ends_close(&e);
    for (size_t i = 0; i < ACCOUNT_COUNT; i++) {
        uint64_t hops = i == ACCOUNT_MAILBOX ? sizeof(struct hops) : 0;
        if (account_used(&link_budget.accounts[i]) > hops)
            abort();
    }
    return 0;
}
