/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/identify.h"
#include "wire/keys.h"
#include "wire/multiaddr.h"
#include "wire/peer_record.h"
#include "wire/ping.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

static const char *const protocols[] = {"/ipfs/bitswap/1.2.0", "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0"};

static struct key_pair *pair_of(uint8_t first)
{
    uint8_t seed[ED25519_SEED_BYTES] = {first};
    struct key_pair *pair = NULL;
    assert_ok(key_pair_of_seed(seed, &pair));
    return pair;
}

static void our_message_is_read_in_any_pieces(void **state)
{
    (void)state;
    struct key_pair *pair = pair_of(1);
    struct peer_id peer = key_pair_peer_id(pair);
    struct multiaddr addr;
    struct buf record;
    struct buf message;
    buf_init(&record, 4096, NULL);
    buf_init(&message, 8192, NULL);
    assert_ok(multiaddr_parse_text(span_text("/ip4/127.0.0.1/tcp/4001"), &addr));
    assert_ok(peer_record_seal(pair, 3, &addr, 1, &record));
    struct identify_own own = {.public_key = key_pair_public(pair),
                               .observed_addr = multiaddr_span(&addr),
                               .signed_record = buf_span(&record),
                               .agent_version = "hearth/0.1.0",
                               .listen_addrs = &addr,
                               .listen_count = 1,
                               .protocols = protocols,
                               .protocol_count = ARRAY_LEN(protocols)};
    assert_ok(identify_encode(&own, &message));
    assert_true(message.len < 4096);
    for (size_t piece = 1; piece <= message.len; piece++) {
        struct identify_reader reader;
        identify_reader_init(&reader, NULL);
        for (struct span rest = buf_span(&message); rest.len > 0; rest = span_skip(rest, piece))
            assert_ok(identify_reader_feed(&reader, span_first(rest, piece)));
        struct identify id;
        assert_ok(identify_reader_finish(&reader, &peer, &id));
        assert_true(span_equal_text(id.agent_version, "hearth/0.1.0"));
        assert_true(span_equal_text(id.protocol_version, "ipfs/0.1.0"));
        assert_true(span_equal(id.public_key, key_pair_public(pair)));
        assert_true(span_equal(id.observed_addr, multiaddr_span(&addr)));
        assert_true(identify_speaks(&id, "/ipfs/bitswap/1.2.0"));
        assert_false(identify_speaks(&id, "/ipfs/bitswap"));
        struct identify_iterator it = {0};
        struct span listen;
        assert_true(identify_next_addr(&id, &it, &listen));
        assert_true(span_equal(listen, multiaddr_span(&addr)));
        assert_false(identify_next_addr(&id, &it, &listen));
        struct peer_record opened;
        assert_ok(peer_record_open(id.signed_record, &peer, 0, &opened));
        identify_reader_release(&reader);
    }
    buf_release(&record);
    buf_release(&message);
    key_pair_free(pair);
}

static void another_peers_key_is_refused(void **state)
{
    (void)state;
    struct key_pair *a = pair_of(1);
    struct key_pair *b = pair_of(2);
    struct peer_id other = key_pair_peer_id(b);
    struct buf body;
    struct identify id;
    buf_init(&body, 100, NULL);
    assert_ok(protobuf_put_bytes(&body, 1, key_pair_public(a)));
    assert_err(identify_parse(buf_span(&body), &other, &id), ERR_MISMATCH);
    assert_ok(identify_parse(span_of(NULL, 0), &other, &id));
    assert_err(identify_parse(bytes_of_hex("0a05"), &other, &id), ERR_INVALID);
    buf_release(&body);
    key_pair_free(a);
    key_pair_free(b);
}

/* One frame that holds n bytes of an agent version. */
static void frame_of(struct buf *out, size_t n)
{
    static uint8_t text[IDENTIFY_FRAME_MAX + 10];
    memset(text, 'x', sizeof(text));
    size_t head = n > 127 + 2 ? 3 : 2;
    assert_ok(varint_append(out, n));
    assert_ok(protobuf_put_bytes(out, 6, span_of(text, n - head)));
}

static enum err feed_all(struct identify_reader *reader, const struct buf *bytes)
{
    return identify_reader_feed(reader, buf_span(bytes));
}

/* RELIABILITY row P3. */
static void frames_are_bounded(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "test", 256 * KIB);
    struct identify_reader reader;
    struct buf bytes;
    buf_init(&bytes, 256 * KIB, NULL);
    identify_reader_init(&reader, &account);
    for (int i = 0; i < IDENTIFY_FRAMES_MAX; i++)
        frame_of(&bytes, IDENTIFY_FRAME_MAX);
    assert_ok(feed_all(&reader, &bytes));
    assert_true(account_used(&account) <= 80 * KIB);
    struct peer_id peer = {0};
    struct identify id;
    assert_ok(identify_reader_finish(&reader, &peer, &id));
    assert_int_equal(id.agent_version.len, IDENTIFY_VERSION_BYTES_MAX);
    buf_clear(&bytes);
    frame_of(&bytes, 10);
    assert_err(feed_all(&reader, &bytes), ERR_TOO_LARGE);
    identify_reader_release(&reader);
    assert_int_equal(account_used(&account), 0);

    identify_reader_init(&reader, &account);
    buf_clear(&bytes);
    frame_of(&bytes, IDENTIFY_FRAME_MAX + 1);
    assert_err(feed_all(&reader, &bytes), ERR_TOO_LARGE);
    assert_int_equal(account_used(&account), 0);
    identify_reader_release(&reader);

    identify_reader_init(&reader, &account);
    assert_err(identify_reader_feed(&reader, bytes_of_hex("ffffff")), ERR_TOO_LARGE);
    identify_reader_release(&reader);
    identify_reader_init(&reader, &account);
    assert_err(identify_reader_feed(&reader, bytes_of_hex("8000")), ERR_INVALID);
    identify_reader_release(&reader);
    buf_release(&bytes);
}

static void a_cut_exchange_is_noticed(void **state)
{
    (void)state;
    struct identify_reader reader;
    struct identify id;
    struct peer_id peer = {0};
    static const char *cut[] = {"", "80", "05", "0532", "02320181"};
    for (size_t i = 0; i < ARRAY_LEN(cut); i++) {
        identify_reader_init(&reader, NULL);
        assert_ok(identify_reader_feed(&reader, bytes_of_hex(cut[i])));
        assert_err(identify_reader_finish(&reader, &peer, &id), ERR_TRUNCATED);
        identify_reader_release(&reader);
    }
}

/* Fields may be spread over the frames: later ones add to or replace earlier ones. */
static void frames_merge(void **state)
{
    (void)state;
    struct identify_reader reader;
    struct identify id;
    struct peer_id peer = {0};
    identify_reader_init(&reader, NULL);
    assert_ok(identify_reader_feed(&reader, bytes_of_hex("06"
                                                         "1a022f61"
                                                         "3200"
                                                         "00"
                                                         "07"
                                                         "1a022f62"
                                                         "320161")));
    assert_ok(identify_reader_finish(&reader, &peer, &id));
    assert_true(identify_speaks(&id, "/a") && identify_speaks(&id, "/b"));
    assert_true(span_equal_text(id.agent_version, "a"));
    identify_reader_release(&reader);
}

static void long_lists_are_cut(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, 1 * MIB, NULL);
    for (int i = 0; i < 5000; i++)
        assert_ok(protobuf_put_text(&body, 3, "/x"));
    for (int i = 0; i < 600; i++)
        assert_ok(protobuf_put_text(&body, 2, "a"));
    struct identify id;
    struct peer_id peer = {0};
    assert_ok(identify_parse(buf_span(&body), &peer, &id));
    struct identify_iterator it = {0};
    struct span item;
    size_t count = 0;
    while (identify_next_protocol(&id, &it, &item))
        count++;
    assert_int_equal(count, IDENTIFY_PROTOCOLS_MAX);
    it = (struct identify_iterator){0};
    count = 0;
    while (identify_next_addr(&id, &it, &item))
        count++;
    assert_int_equal(count, IDENTIFY_ADDRS_MAX);
    buf_release(&body);
}

static void we_never_say_too_much(void **state)
{
    (void)state;
    static const char *many[300];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = "/some/protocol/1.0.0";
    struct identify_own own = {.agent_version = "a", .protocols = many, .protocol_count = ARRAY_LEN(many)};
    struct buf out;
    buf_init(&out, 100000, NULL);
    assert_err(identify_encode(&own, &out), ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_release(&out);
}

static void random_bytes_never_break_it(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 21);
    for (int i = 0; i < 20000; i++) {
        uint8_t bytes[200];
        size_t len = prng_below(&prng, sizeof(bytes));
        prng_fill(&prng, bytes, len);
        struct identify_reader reader;
        struct identify id;
        struct peer_id peer = {0};
        identify_reader_init(&reader, NULL);
        if (identify_reader_feed(&reader, span_of(bytes, len)) == ERR_OK &&
            identify_reader_finish(&reader, &peer, &id) == ERR_OK)
            (void)identify_speaks(&id, "/x");
        identify_reader_release(&reader);
    }
}

static void ping_collects_32_bytes(void **state)
{
    (void)state;
    struct ping ping = {0};
    uint8_t bytes[100];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    size_t echoed = 0;
    for (size_t at = 0; at < sizeof(bytes); at += 7) {
        struct span in = span_first(span_skip(span_of(bytes, sizeof(bytes)), at), 7);
        while (in.len > 0) {
            if (!ping_feed(&ping, &in))
                continue;
            assert_memory_equal(ping.bytes, bytes + echoed, PING_BYTES);
            echoed += PING_BYTES;
        }
    }
    assert_int_equal(echoed, 96);
    assert_int_equal(ping.len, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_message_is_read_in_any_pieces),
        cmocka_unit_test(another_peers_key_is_refused),
        cmocka_unit_test(frames_are_bounded),
        cmocka_unit_test(a_cut_exchange_is_noticed),
        cmocka_unit_test(frames_merge),
        cmocka_unit_test(long_lists_are_cut),
        cmocka_unit_test(we_never_say_too_much),
        cmocka_unit_test(random_bytes_never_break_it),
        cmocka_unit_test(ping_collects_32_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
