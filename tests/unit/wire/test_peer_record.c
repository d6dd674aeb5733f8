/* SPDX-License-Identifier: MIT */
/* RELIABILITY row P2: whatever does not belong together is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/envelope.h"
#include "wire/multiaddr.h"
#include "wire/peer_record.h"
#include "wire/protobuf.h"

static const uint8_t record_type[] = {0x03, 0x01};
#define RECORD_TYPE   span_of(record_type, sizeof(record_type))
#define RECORD_DOMAIN "libp2p-peer-record"

struct fixture {
    struct key_pair *a;
    struct key_pair *b;
    struct multiaddr addrs[2];
    struct buf sealed; /* a's record, seq 7 */
};

static int setup(void **state)
{
    static struct fixture f;
    uint8_t seed[ED25519_SEED_BYTES] = {1};
    if (key_pair_of_seed(seed, &f.a) != ERR_OK)
        return -1;
    seed[0] = 2;
    if (key_pair_of_seed(seed, &f.b) != ERR_OK)
        return -1;
    if (multiaddr_parse_text(span_text("/ip4/1.2.3.4/tcp/4001"), &f.addrs[0]) != ERR_OK ||
        multiaddr_parse_text(span_text("/ip6/::1/tcp/4001"), &f.addrs[1]) != ERR_OK)
        return -1;
    buf_init(&f.sealed, 4096, NULL);
    if (peer_record_seal(f.a, 7, f.addrs, 2, &f.sealed) != ERR_OK)
        return -1;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    key_pair_free(f->a);
    key_pair_free(f->b);
    buf_release(&f->sealed);
    return 0;
}

static void a_record_opens(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = key_pair_peer_id(f->a);
    struct peer_record record;
    assert_ok(peer_record_open(buf_span(&f->sealed), &peer, 0, &record));
    assert_true(peer_id_equal(&record.peer, &peer));
    assert_int_equal(record.seq, 7);
    struct span addr;
    for (size_t i = 0; i < 2; i++) {
        assert_true(peer_record_next_addr(&record, &addr));
        assert_true(span_equal(addr, multiaddr_span(&f->addrs[i])));
    }
    assert_false(peer_record_next_addr(&record, &addr));
    assert_ok(peer_record_open(buf_span(&f->sealed), NULL, 6, &record));
}

static void replays_are_refused(void **state)
{
    struct fixture *f = *state;
    struct peer_record record;
    assert_err(peer_record_open(buf_span(&f->sealed), NULL, 7, &record), ERR_EXISTS);
    assert_err(peer_record_open(buf_span(&f->sealed), NULL, 8, &record), ERR_EXISTS);
    assert_err(peer_record_open(buf_span(&f->sealed), NULL, UINT64_MAX, &record), ERR_EXISTS);
}

static void another_peer_is_refused(void **state)
{
    struct fixture *f = *state;
    struct peer_id other = key_pair_peer_id(f->b);
    struct peer_record record;
    assert_err(peer_record_open(buf_span(&f->sealed), &other, 0, &record), ERR_MISMATCH);
}

/* b signs, in good order, a record that names a. */
static void a_record_of_someone_else_is_refused(void **state)
{
    struct fixture *f = *state;
    struct envelope e;
    struct buf forged;
    struct peer_record record;
    buf_init(&forged, 4096, NULL);
    assert_ok(envelope_parse(buf_span(&f->sealed), &e));
    assert_ok(envelope_seal(f->b, RECORD_DOMAIN, RECORD_TYPE, e.payload, &forged));
    assert_err(peer_record_open(buf_span(&forged), NULL, 0, &record), ERR_MISMATCH);
    buf_release(&forged);
}

/* a's signature beside b's key. */
static void a_swapped_key_is_refused(void **state)
{
    struct fixture *f = *state;
    struct envelope e;
    struct buf forged;
    struct peer_record record;
    buf_init(&forged, 4096, NULL);
    assert_ok(envelope_parse(buf_span(&f->sealed), &e));
    assert_ok(protobuf_put_bytes(&forged, 1, key_pair_public(f->b)));
    assert_ok(protobuf_put_bytes(&forged, 2, e.payload_type));
    assert_ok(protobuf_put_bytes(&forged, 3, e.payload));
    assert_ok(protobuf_put_bytes(&forged, 5, e.signature));
    assert_err(peer_record_open(buf_span(&forged), NULL, 0, &record), ERR_AUTH);
    buf_release(&forged);
}

static void other_domains_and_types_are_refused(void **state)
{
    struct fixture *f = *state;
    struct envelope e;
    struct buf sealed;
    struct peer_record record;
    buf_init(&sealed, 4096, NULL);
    assert_ok(envelope_parse(buf_span(&f->sealed), &e));
    assert_ok(envelope_seal(f->a, "libp2p-relay-rsvp", RECORD_TYPE, e.payload, &sealed));
    assert_err(peer_record_open(buf_span(&sealed), NULL, 0, &record), ERR_AUTH);
    buf_clear(&sealed);
    assert_ok(envelope_seal(f->a, RECORD_DOMAIN, bytes_of_hex("0302"), e.payload, &sealed));
    assert_err(peer_record_open(buf_span(&sealed), NULL, 0, &record), ERR_MISMATCH);
    buf_release(&sealed);
}

static void what_is_signed_is_prefixed_by_lengths(void **state)
{
    struct fixture *f = *state;
    struct envelope e;
    assert_ok(envelope_parse(buf_span(&f->sealed), &e));
    struct buf message;
    buf_init(&message, 4096, NULL);
    assert_ok(buf_append_text(&message, "\x12libp2p-peer-record\x02\x03\x01"));
    assert_true(e.payload.len < 128);
    assert_ok(buf_append_byte(&message, (uint8_t)e.payload.len));
    assert_ok(buf_append_span(&message, e.payload));
    assert_ok(public_key_verify(e.public_key, buf_span(&message), e.signature));
    buf_release(&message);
}

static void every_broken_byte_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct peer_id peer = key_pair_peer_id(f->a);
    uint8_t copy[1024];
    size_t len = f->sealed.len;
    struct peer_record record;
    assert_true(len < sizeof(copy));
    for (size_t i = 0; i < len; i++) {
        memcpy(copy, f->sealed.data, len);
        copy[i] ^= 0x41;
        assert_int_not_equal(peer_record_open(span_of(copy, len), &peer, 0, &record), ERR_OK);
        assert_int_not_equal(peer_record_open(span_of(f->sealed.data, i), &peer, 0, &record), ERR_OK);
    }
}

static void missing_fields_are_refused(void **state)
{
    struct fixture *f = *state;
    struct envelope e;
    struct buf out;
    struct peer_record record;
    assert_err(envelope_parse(span_of(NULL, 0), &e), ERR_INVALID);
    assert_err(envelope_parse(bytes_of_hex("0a0101120102"), &e), ERR_INVALID);
    buf_init(&out, 4096, NULL);
    assert_ok(envelope_seal(f->a, RECORD_DOMAIN, RECORD_TYPE, bytes_of_hex("1001"), &out));
    assert_err(peer_record_open(buf_span(&out), NULL, 0, &record), ERR_INVALID);
    buf_release(&out);
}

static void addresses_are_capped(void **state)
{
    struct fixture *f = *state;
    static struct multiaddr many[PEER_RECORD_ADDRS_MAX + 20];
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = f->addrs[0];
    struct buf out;
    struct peer_record record;
    buf_init(&out, 60000, NULL);
    assert_ok(peer_record_seal(f->a, 1, many, ARRAY_LEN(many), &out));
    assert_ok(peer_record_open(buf_span(&out), NULL, 0, &record));
    size_t count = 0;
    struct span addr;
    while (peer_record_next_addr(&record, &addr))
        count++;
    assert_int_equal(count, PEER_RECORD_ADDRS_MAX);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_opens),
        cmocka_unit_test(replays_are_refused),
        cmocka_unit_test(another_peer_is_refused),
        cmocka_unit_test(a_record_of_someone_else_is_refused),
        cmocka_unit_test(a_swapped_key_is_refused),
        cmocka_unit_test(other_domains_and_types_are_refused),
        cmocka_unit_test(what_is_signed_is_prefixed_by_lengths),
        cmocka_unit_test(every_broken_byte_is_noticed),
        cmocka_unit_test(missing_fields_are_refused),
        cmocka_unit_test(addresses_are_capped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
