/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/keys.h"
#include "wire/noise_session.h"
#include "wire/protobuf.h"

static const char *const yamux[] = {"/yamux/1.0.0"};
static const char *const two[] = {"/mplex/6.7.0", "/yamux/1.0.0"};
static const char *const other[] = {"/mplex/6.7.0"};

static struct noise_identity identities[2];
static struct peer_id peers[2];

struct end {
    struct noise_session s;
    struct buf out;
    struct buf got;
    enum err err;
};

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        uint8_t seed[32] = {(uint8_t)(i + 1)};
        struct key_pair *pair;
        assert_ok(key_pair_of_seed(seed, &pair));
        peers[i] = key_pair_peer_id(pair);
        seed[1] = (uint8_t)(77 + i);
        assert_ok(noise_identity_init(&identities[i], pair, seed));
        key_pair_free(pair);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        noise_identity_release(&identities[i]);
    return 0;
}

static void end_init(struct end *e, bool initiator, const struct noise_identity *identity,
                     const struct peer_id *expected, const char *const *muxers, size_t count)
{
    struct noise_session_config config = {
        .identity = identity, .initiator = initiator, .expected = expected, .muxers = muxers, .muxer_count = count};
    random_fill(config.ephemeral, sizeof(config.ephemeral));
    noise_session_init(&e->s, &config);
    buf_init(&e->out, 4 * MIB, NULL);
    buf_init(&e->got, 4 * MIB, NULL);
    e->err = noise_session_start(&e->s, &e->out);
}

static void end_release(struct end *e)
{
    noise_session_release(&e->s);
    buf_release(&e->out);
    buf_release(&e->got);
}

static void feed(struct end *e, struct span in, size_t chunk)
{
    while (in.len > 0 && e->err == ERR_OK) {
        struct span piece = span_first(in, chunk);
        uint8_t *copy = malloc(piece.len);
        assert_non_null(copy);
        memcpy(copy, piece.data, piece.len);
        size_t used = 0;
        struct span plain;
        e->err = noise_session_feed(&e->s, copy, piece.len, &e->out, &used, &plain);
        assert_true(used > 0 || e->err != ERR_OK);
        if (e->err == ERR_OK)
            assert_ok(buf_append_span(&e->got, plain));
        in = span_skip(in, used);
        free(copy);
    }
}

static void pass(struct end *from, struct end *to, size_t chunk)
{
    feed(to, buf_span(&from->out), chunk);
    buf_clear(&from->out);
}

static void handshake(struct end *a, struct end *b, size_t chunk)
{
    for (int i = 0; i < 3; i++)
        pass(i % 2 == 0 ? a : b, i % 2 == 0 ? b : a, chunk);
}

static void seal(struct end *e, struct span plain)
{
    static uint8_t frame[NOISE_MESSAGE_MAX + 2];
    while (plain.len > 0) {
        struct iovec iov = {.iov_base = (void *)(uintptr_t)plain.data, .iov_len = plain.len};
        size_t taken = 0;
        size_t written = 0;
        assert_ok(noise_session_seal(&e->s, &iov, 1, frame, sizeof(frame), &taken, &written));
        assert_true(taken > 0 && written == taken + NOISE_FRAME_OVERHEAD);
        assert_ok(buf_append(&e->out, frame, written));
        plain = span_skip(plain, taken);
    }
}

static void both_sides_are_authenticated_in_any_chunking(void **state)
{
    (void)state;
    static uint8_t plain[200000];
    struct prng prng;
    prng_init(&prng, 1);
    prng_fill(&prng, plain, sizeof(plain));
    static const size_t chunks[] = {1, 2, 3, 17, 100, 4096, 70000, 300000};
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct end a;
        struct end b;
        end_init(&a, true, &identities[0], &peers[1], yamux, 1);
        end_init(&b, false, &identities[1], NULL, yamux, 1);
        handshake(&a, &b, chunks[i]);
        assert_ok(a.err);
        assert_ok(b.err);
        assert_true(noise_session_is_established(&a.s) && noise_session_is_established(&b.s));
        assert_true(peer_id_equal(&a.s.remote, &peers[1]) && peer_id_equal(&b.s.remote, &peers[0]));
        assert_int_equal(a.s.muxer, 0);
        assert_int_equal(b.s.muxer, 0);
        size_t len = chunks[i] < 100 ? 3000 : sizeof(plain);
        seal(&a, span_of(plain, len));
        pass(&a, &b, chunks[i]);
        seal(&b, span_of(plain, len));
        pass(&b, &a, chunks[i]);
        assert_true(span_equal(buf_span(&b.got), span_of(plain, len)));
        assert_true(span_equal(buf_span(&a.got), span_of(plain, len)));
        end_release(&a);
        end_release(&b);
    }
}

static void muxers(const char *const *dial, size_t dial_count, const char *const *listen, size_t listen_count,
                   int want_dial, int want_listen)
{
    struct end a;
    struct end b;
    end_init(&a, true, &identities[0], NULL, dial, dial_count);
    end_init(&b, false, &identities[1], NULL, listen, listen_count);
    handshake(&a, &b, SIZE_MAX);
    assert_true(noise_session_is_established(&a.s) && noise_session_is_established(&b.s));
    assert_int_equal(a.s.muxer, want_dial);
    assert_int_equal(b.s.muxer, want_listen);
    end_release(&a);
    end_release(&b);
}

static void the_initiators_first_common_muxer_is_chosen(void **state)
{
    (void)state;
    muxers(two, 2, yamux, 1, 1, 0);
    muxers(yamux, 1, two, 2, 0, 1);
    muxers(two, 2, two, 2, 0, 0);
    muxers(yamux, 0, yamux, 1, -1, -1);
    muxers(yamux, 1, yamux, 0, -1, -1);
    muxers(yamux, 1, other, 1, -1, -1);
}

static void t9_another_peer_than_the_dialled_one_fails(void **state)
{
    (void)state;
    struct end a;
    struct end b;
    end_init(&a, true, &identities[0], &peers[0], yamux, 1);
    end_init(&b, false, &identities[1], NULL, yamux, 1);
    handshake(&a, &b, SIZE_MAX);
    assert_err(a.err, ERR_MISMATCH);
    assert_int_equal(a.out.len, 0); /* message 3 is never written */
    assert_false(noise_session_is_established(&b.s));
    end_release(&a);
    end_release(&b);
}

/* A side whose proof was tampered with: the other must refuse it, whichever role it has. */
static void refused_proof(const struct noise_identity *bad)
{
    for (int initiator = 0; initiator < 2; initiator++) {
        struct end a;
        struct end b;
        end_init(&a, true, initiator ? bad : &identities[0], NULL, yamux, 1);
        end_init(&b, false, initiator ? &identities[1] : bad, NULL, yamux, 1);
        handshake(&a, &b, SIZE_MAX);
        assert_err(initiator ? b.err : a.err, ERR_AUTH);
        assert_false(noise_session_is_established(initiator ? &b.s : &a.s));
        end_release(&a);
        end_release(&b);
    }
}

static void t9_empty_tampered_and_swapped_signatures_fail(void **state)
{
    (void)state;
    /* The static key of one with the proof of the other. */
    struct noise_identity bad = {.s = identities[0].s, .proof = identities[1].proof};
    refused_proof(&bad);
    buf_init(&bad.proof, 256, NULL);
    refused_proof(&bad); /* nothing at all */
    struct span whole = buf_span(&identities[0].proof);
    for (size_t at = 2; at < whole.len; at += 5) {
        buf_clear(&bad.proof);
        assert_ok(buf_append_span(&bad.proof, whole));
        if (at == 37 || at == 38 || at == 39)
            continue; /* the key and length of the signature: another message, tested below */
        bad.proof.data[at] ^= 0x01;
        struct end a;
        struct end b;
        end_init(&a, true, &bad, NULL, yamux, 1);
        end_init(&b, false, &identities[1], NULL, yamux, 1);
        handshake(&a, &b, SIZE_MAX);
        assert_true(b.err == ERR_AUTH || b.err == ERR_PROTOCOL);
        end_release(&a);
        end_release(&b);
    }
    struct span fields = whole;
    struct protobuf_field key;
    assert_ok(protobuf_next(&fields, &key));
    buf_clear(&bad.proof);
    assert_ok(protobuf_put_bytes(&bad.proof, 1, key.bytes));
    refused_proof(&bad); /* no signature */
    assert_ok(protobuf_put_bytes(&bad.proof, 2, (struct span){0}));
    refused_proof(&bad); /* an empty one */
    buf_release(&bad.proof);
}

static void t10_static_keys_are_fresh(void **state)
{
    (void)state;
    assert_memory_not_equal(identities[0].s.public_key, identities[1].s.public_key, NOISE_KEY_BYTES);
}

static void t11_frames_that_cannot_be_end_the_session(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[20];
        size_t len;
    } bad[] = {{{0, 0}, 2}, {{0, 15, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 17}, {{0xff, 0xff}, 2}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        for (int established = 0; established < 2; established++) {
            struct end a;
            struct end b;
            end_init(&a, true, &identities[0], NULL, yamux, 1);
            end_init(&b, false, &identities[1], NULL, yamux, 1);
            if (established)
                handshake(&a, &b, SIZE_MAX);
            feed(&b, span_of(bad[i].bytes, bad[i].len), SIZE_MAX);
            if (i == 2 && established) {
                assert_ok(b.err); /* a frame that never ends: cut off by the caller, with 64 KiB held at most */
                assert_true(b.s.partial.cap <= 2 + NOISE_MESSAGE_MAX);
            } else {
                assert_err(b.err, ERR_PROTOCOL);
            }
            end_release(&a);
            end_release(&b);
        }
    }
}

static void t13_a_half_open_session_holds_little(void **state)
{
    (void)state;
    struct end b;
    end_init(&b, false, &identities[1], NULL, yamux, 1);
    uint8_t head[2] = {NOISE_HANDSHAKE_FRAME_MAX >> 8, NOISE_HANDSHAKE_FRAME_MAX & 0xff};
    uint8_t zeros[NOISE_HANDSHAKE_FRAME_MAX - 1] = {0};
    feed(&b, span_of(head, 2), 1);
    feed(&b, span_of(zeros, sizeof(zeros)), 100);
    assert_ok(b.err);
    assert_true(sizeof(b.s) + b.s.partial.cap + b.s.remote_key.cap < 6 * KIB);
    end_release(&b);
}

static void a_resting_session_holds_no_buffer(void **state)
{
    (void)state;
    struct end a;
    struct end b;
    end_init(&a, true, &identities[0], NULL, yamux, 1);
    end_init(&b, false, &identities[1], NULL, yamux, 1);
    handshake(&a, &b, 3);
    static uint8_t plain[60000];
    seal(&a, span_of(plain, sizeof(plain)));
    pass(&a, &b, 1000);
    seal(&a, span_of(plain, 10));
    pass(&a, &b, SIZE_MAX);
    assert_int_equal(b.s.partial.cap, 0);
    assert_int_equal(b.got.len, 60010);
    end_release(&a);
    end_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_sides_are_authenticated_in_any_chunking),
        cmocka_unit_test(the_initiators_first_common_muxer_is_chosen),
        cmocka_unit_test(t9_another_peer_than_the_dialled_one_fails),
        cmocka_unit_test(t9_empty_tampered_and_swapped_signatures_fail),
        cmocka_unit_test(t10_static_keys_are_fresh),
        cmocka_unit_test(t11_frames_that_cannot_be_end_the_session),
        cmocka_unit_test(t13_a_half_open_session_holds_little),
        cmocka_unit_test(a_resting_session_holds_no_buffer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
