/* SPDX-License-Identifier: MIT */
#include "tests/unit/actors/helper_wants.h"

#include "tests/support/bytes.h"

enum { MESSAGE_BYTES = 4096 };

struct listener {
    wants_heard_fn *heard;
    void *arg;
    struct bitswap_session_peer *to;
    size_t wants;
    size_t cancels;
};

static struct block_ref *no_block(void *arg, size_t size)
{
    (void)arg;
    (void)size;
    return NULL;
}

static void hear_want(void *arg, const struct bitswap_want *want)
{
    struct listener *l = arg;
    *(want->cancel ? &l->cancels : &l->wants) += 1;
    l->heard(l->arg, l->to, want);
}

static void hear_presence(void *arg, const struct cid *cid, bool have)
{
    (void)arg;
    (void)cid;
    (void)have;
    fail();
}

static void hear_block(void *arg, const struct cid *cid, struct block_ref *block)
{
    (void)block;
    hear_presence(arg, cid, false);
}

static void hear_rejected(void *arg, enum err why, size_t bytes)
{
    (void)arg;
    (void)why;
    (void)bytes;
    fail();
}

static void hear_end(void *arg, const struct bitswap_end *end)
{
    struct listener *l = arg;
    assert_int_equal(end->ignored, 0);
    assert_true(l->wants == 0 || l->cancels == 0);
}

void wants_carry(struct bitswap_session *s, uint64_t now_ns, wants_heard_fn *heard, void *arg)
{
    struct bitswap_session_peer *peer;
    while ((peer = bitswap_session_next_dirty(s)) != NULL) {
        struct listener l = {.heard = heard, .arg = arg, .to = peer};
        struct bitswap_sink sink = {&l, no_block, hear_want, hear_presence, hear_block, hear_rejected, hear_end};
        struct bitswap_writer writer;
        bitswap_writer_init(&writer, BITSWAP_1_2, MESSAGE_BYTES, NULL);
        if (bitswap_session_fill(s, peer, &writer, now_ns)) {
            struct bitswap_reader reader;
            struct bitswap_piece piece;
            size_t position = 0;
            assert_ok(bitswap_writer_finish(&writer));
            bitswap_reader_init(&reader);
            while (bitswap_writer_next(&writer, &position, &piece))
                assert_ok(bitswap_reader_feed(&reader, &piece.bytes, &sink));
            assert_true(bitswap_reader_at_boundary(&reader));
        }
        bitswap_writer_release(&writer);
    }
}
