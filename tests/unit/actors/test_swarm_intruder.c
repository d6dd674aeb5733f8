/* SPDX-License-Identifier: MIT */
/*
 * Rows T2 to T12 of the attack list against a whole node: an intruder that has made a real connection, or tries to. Each test ends the
 * same way: an honest peer connects and pings within a second, the accounts stay under their bounds, and every byte comes back.
 * The engines' own tests look at the same rows from near; these show that nothing above them spoils the answer.
 */
#include "helper_intruder.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "wire/identify.h"
#include "wire/ping.h"
#include "wire/protobuf.h"
#include "wire/yamux.h"

#define BITSWAP "/ipfs/bitswap/1.2.0"

enum { HONEST = 1, PERSIST_MS = 1000, HELD_MAX = 2 << 20, GO_AWAY_PROTOCOL = 1 };

static struct intruder *intruder;
static uint64_t at_rest[ACCOUNT_COUNT];

static void begin(uint64_t seed)
{
    nodes_begin(2, SIM, seed, NULL);
    for (int a = 0; a < ACCOUNT_COUNT; a++)
        at_rest[a] = account_used(&nodes[0].budget.accounts[a]);
    intruder = intruder_new(18, 9, 1);
}

static void begin_secured(uint64_t seed)
{
    begin(seed);
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
    nodes_pass_ms(10);
}

static uint64_t used(enum budget_account account)
{
    return account_used(&nodes[0].budget.accounts[account]);
}

static void expect_bounded(void)
{
    assert_true(used(ACCOUNT_RECEIVE) - at_rest[ACCOUNT_RECEIVE] < HELD_MAX);
    assert_true(used(ACCOUNT_SEND) - at_rest[ACCOUNT_SEND] < HELD_MAX);
    assert_true(used(ACCOUNT_TABLES) - at_rest[ACCOUNT_TABLES] < HELD_MAX);
}

/* The last of the four: the honest peer is served while the intruder is still there, or after it was shut out. */
static void expect_served(void)
{
    uint64_t before = sim_now(nodes_sim);
    assert_int_equal(node_connect(HONEST, 0), ERR_OK);
    assert_int_equal(node_do(HONEST, (struct command){.kind = CMD_PING, .target = 0}), ERR_OK);
    assert_true(sim_now(nodes_sim) - before < SECOND_NS);
}

static void end(void)
{
    expect_bounded();
    expect_served();
    intruder_free(intruder);
    nodes_end();
}

static void expect_shut_out_by_go_away(void)
{
    uint32_t code = 0;
    assert_true(intruder_is_shut_out(intruder, PERSIST_MS));
    assert_int_equal(intruder_frames(intruder, FRAME_GO_AWAY, 0, 0, &code), 1);
    assert_int_equal(code, GO_AWAY_PROTOCOL);
}

/* A Yamux ping comes back: the session lives. */
static bool is_alive(uint32_t value)
{
    uint32_t heard = 0;
    intruder_frame(intruder, FRAME_PING, FLAG_SYN, 0, value, (struct span){0});
    nodes_pass_ms(20);
    (void)intruder_frames(intruder, FRAME_PING, FLAG_ACK, 0, &heard);
    return !intruder->closed && heard == value;
}

/* ---- identity ---- */

static void replace_proof(struct span key, struct span signature)
{
    struct buf *proof = &intruder->identity.proof;
    buf_release(proof);
    buf_init(proof, 16384, NULL);
    if (key.len > 0)
        assert_int_equal(protobuf_put_bytes(proof, 1, key), ERR_OK);
    assert_int_equal(protobuf_put_bytes(proof, 2, signature), ERR_OK);
}

/* Message 3 carries the proof, so the intruder is established and then hears nothing but the end. */
static void expect_refused_identity(void)
{
    assert_true(intruder_dial(intruder));
    (void)intruder_shake_hands(intruder);
    assert_true(intruder_is_shut_out(intruder, PERSIST_MS));
    assert_int_equal(nodes[0].ups, 0);
    assert_int_equal(intruder->heard.len, 0); /* not one Yamux byte */
}

/* A public key protobuf around an RSA modulus of so many bits, all of them ones. */
static size_t rsa_key(int bits, uint8_t *to, size_t max)
{
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_new();
    BIGNUM *e = BN_new();
    assert_true(BN_set_bit(n, bits) && BN_sub_word(n, 1) && BN_set_word(e, 65537));
    assert_true(OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) &&
                OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e));
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(builder);
    assert_int_equal(EVP_PKEY_fromdata_init(ctx), 1);
    assert_int_equal(EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(pkey, &der);
    struct buf key;
    buf_init(&key, max, NULL);
    assert_int_equal(protobuf_put_varint(&key, 1, KEY_RSA), ERR_OK);
    assert_int_equal(protobuf_put_bytes(&key, 2, span_of(der, (size_t)len)), ERR_OK);
    size_t bytes = key.len;
    memcpy(to, key.data, bytes);
    buf_release(&key);
    OPENSSL_free(der);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(ctx);
    return bytes;
}

static void T2_rsa_keys_out_of_bounds(void **state)
{
    (void)state;
    static const int bits[] = {1024, 8193, 65536};
    static const uint8_t signature[1024] = {1};
    static uint8_t key[12288];
    begin(102);
    for (size_t i = 0; i < ARRAY_LEN(bits); i++) {
        size_t len = rsa_key(bits[i], key, sizeof(key));
        replace_proof(span_of(key, len), span_of(signature, (size_t)MIN(bits[i] / 8, 1024)));
        expect_refused_identity();
    }
    end();
}

static void T9_signatures_that_prove_nothing(void **state)
{
    (void)state;
    begin(109);
    uint8_t good[ED25519_SIGNATURE_BYTES];
    uint8_t bad[ED25519_SIGNATURE_BYTES];
    uint8_t key[ED25519_PUBLIC_KEY_BYTES];
    uint8_t text[24 + NOISE_KEY_BYTES] = "noise-libp2p-static-key:";
    memcpy(text + 24, intruder->identity.s.public_key, NOISE_KEY_BYTES);
    memcpy(key, key_pair_public(intruder->key).data, sizeof(key));
    key_pair_sign(intruder->key, span_of(text, sizeof(text)), good);
    memcpy(bad, good, sizeof(bad));
    bad[40] ^= 1;
    struct span own = span_of(key, sizeof(key));
    replace_proof(own, (struct span){0}); /* empty */
    expect_refused_identity();
    replace_proof(own, span_of(bad, sizeof(bad))); /* tampered */
    expect_refused_identity();
    replace_proof(key_pair_public(nodes[HONEST].key), span_of(good, sizeof(good))); /* under another's key */
    expect_refused_identity();
    key_pair_sign(intruder->key, span_of(text, 24), bad); /* over something else */
    replace_proof(own, span_of(bad, sizeof(bad)));
    expect_refused_identity();
    replace_proof((struct span){0}, span_of(good, sizeof(good))); /* without a key */
    expect_refused_identity();
    replace_proof(own, span_of(good, sizeof(good))); /* and the true one passes */
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
    assert_true(is_alive(1));
    end();
}

/* ---- frames of the secure channel ---- */

static void T8_a_flipped_bit_ends_the_channel(void **state)
{
    (void)state;
    begin_secured(108);
    intruder_frame(intruder, FRAME_PING, FLAG_SYN, 0, 7, (struct span){0});
    nodes_pass_ms(20);
    size_t heard = intruder->heard.len;
    uint8_t frame[NOISE_LENGTH_BYTES + 12 + NOISE_TAG_BYTES] = {0, 12 + NOISE_TAG_BYTES, 1, 2, 3};
    intruder_say(intruder, span_of(frame, sizeof(frame)));
    intruder_frame(intruder, FRAME_PING, FLAG_SYN, 0, 8, (struct span){0}); /* with the nonce that would follow */
    assert_true(intruder_is_shut_out(intruder, PERSIST_MS));
    assert_true(intruder->heard.len - heard <= 2 * YAMUX_HEADER_BYTES); /* a go-away at most, never pong 8 */
    assert_int_equal(intruder_frames(intruder, FRAME_PING, FLAG_ACK, 0, NULL), 1);
    end();
}

static void T11_frame_lengths_that_cannot_be(void **state)
{
    (void)state;
    static const uint8_t zero[] = {0, 0};
    static const uint8_t short_tag[2 + 15] = {0, 15};
    static const uint8_t whole[] = {0xff, 0xff, 1, 2, 3};
    static const char hello[] = "\x13/multistream/1.0.0\n\x07/noise\n";
    const struct span frames[] = {span_of(zero, 2), span_of(short_tag, sizeof(short_tag)),
                                  span_of(whole, sizeof(whole))};
    begin(111);
    for (size_t i = 0; i < ARRAY_LEN(frames); i++) {
        assert_true(intruder_dial(intruder)); /* in the handshake: none of them begins a message */
        intruder_say(intruder, span_of(hello, sizeof(hello) - 1));
        intruder_say(intruder, frames[i]);
        assert_true(intruder_is_shut_out(intruder, PERSIST_MS));
        assert_true(intruder_dial(intruder)); /* and afterwards */
        assert_true(intruder_shake_hands(intruder));
        intruder_say(intruder, frames[i]);
        nodes_pass_ms(50);
        assert_int_equal(intruder->closed, i < 2); /* 65535 is a length: its bytes may come, but do not */
        size_t held = used(ACCOUNT_RECEIVE);
        if (i == 2)
            intruder->net->close(intruder->sock, false); /* early end */
        intruder->sock = i == 2 ? NULL : intruder->sock;
        nodes_pass_ms(50);
        assert_true(used(ACCOUNT_RECEIVE) <= held);
    }
    assert_int_equal(sim_host_sockets(nodes[0].host), 0);
    end();
}

/* ---- Yamux ---- */

static void T3_data_with_syn_beyond_the_window(void **state)
{
    (void)state;
    begin_secured(103);
    intruder_frame(intruder, FRAME_DATA, FLAG_SYN, 1, YAMUX_WINDOW_FIRST + 1, span_text("x"));
    expect_shut_out_by_go_away();
    assert_int_equal(intruder_frames(intruder, FRAME_DATA, 0, 1, NULL), 0); /* no half-made stream that greets */
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, 0, 1, NULL), 0);
    end();
}

static void T3_data_beyond_the_window_of_an_open_stream(void **state)
{
    (void)state;
    static uint8_t bytes[YAMUX_WINDOW_FIRST / 4];
    begin_secured(113);
    nodes[0].hold_credit = true;
    intruder_open(intruder, 1, BITSWAP, span_text("a"));
    nodes_pass_ms(20);
    assert_int_equal(nodes[0].opened_in, 1);
    uint32_t granted = 0;
    (void)intruder_frames(intruder, FRAME_WINDOW, 0, 1, &granted);
    uint64_t may = YAMUX_WINDOW_FIRST + (uint64_t)granted; /* and a little less: the negotiation was paid from it */
    for (uint64_t sent = 0; sent <= may && !intruder->closed; sent += sizeof(bytes)) {
        intruder_frame(intruder, FRAME_DATA, 0, 1, sizeof(bytes), span_of(bytes, sizeof(bytes)));
        nodes_pass_ms(20);
    }
    expect_shut_out_by_go_away();
    assert_int_equal(nodes[0].closed, 1);
    end();
}

/* The update that brings the credit to exactly 2^32: who counts in 32 bits has none left and cannot echo any more. */
static void T4_credit_that_overflows(void **state)
{
    (void)state;
    static const uint8_t bytes[PING_BYTES] = {1, 2, 3};
    enum { ANSWERED = 20 + 18 + PING_BYTES };
    uint32_t length = 0;
    begin_secured(104);
    intruder_open(intruder, 1, PING_PROTOCOL, span_of(bytes, sizeof(bytes)));
    nodes_pass_ms(20);
    (void)intruder_frames(intruder, FRAME_DATA, 0, 1, &length);
    assert_int_equal(length, ANSWERED);
    intruder_frame(intruder, FRAME_WINDOW, 0, 1, UINT32_MAX - YAMUX_WINDOW_FIRST + ANSWERED + 1, (struct span){0});
    for (int i = 0; i < 3; i++) {
        intruder_frame(intruder, FRAME_DATA, 0, 1, sizeof(bytes), span_of(bytes, sizeof(bytes)));
        nodes_pass_ms(20);
        (void)intruder_frames(intruder, FRAME_DATA, 0, 1, &length);
        assert_int_equal(length, PING_BYTES);
        assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 1, NULL), 0);
        intruder_frame(intruder, FRAME_WINDOW, 0, 1, UINT32_MAX, (struct span){0});
    }
    assert_true(is_alive(4));
    end();
}

static void T5_pings_and_opens_by_a_peer_that_never_reads(void **state)
{
    (void)state;
    begin_secured(105);
    sim_net_link(nodes_net, nodes[0].host, intruder->host)->buffer_bytes = 8 * KIB;
    enum { EACH = 1000, ROUNDS = 500 };
    struct buf many;
    buf_init(&many, EACH * YAMUX_HEADER_BYTES, NULL);
    for (int i = 0; i < EACH; i++)
        assert_int_equal(buf_append(&many, "\0\2\0\1\0\0\0\0\0\0\0\7", YAMUX_HEADER_BYTES), ERR_OK);
    intruder->deaf = true;
    for (int k = 0; k < ROUNDS && intruder->waits.len < 64 * KIB; k++) { /* until the victim reads no more */
        intruder_send(intruder, buf_span(&many));
        nodes_pass_ms(10);
        expect_bounded();
    }
    assert_true(intruder->waits.len >= 64 * KIB);
    uint64_t written = intruder->written;
    nodes_pass_ms(5000);
    assert_int_equal(intruder->written, written);
    assert_true(written <
                8 * MIB); /* both buffers of the link, and 32 pongs at a time that the victim could still write */
    buf_release(&many);
    for (uint32_t id = 1; id < 2000; id += 2)
        intruder_frame(intruder, FRAME_WINDOW, FLAG_SYN, id, 0, (struct span){0});
    nodes_pass_ms(1000);
    end();
}

/* It goes on sending, so that it seems alive, but takes nothing of what was queued for it. */
static void T5_a_peer_that_sends_and_never_reads_is_let_go(void **state)
{
    (void)state;
    begin_secured(117);
    sim_net_link(nodes_net, nodes[0].host, intruder->host)->buffer_bytes = 4 * KIB;
    intruder->deaf = true;
    for (uint32_t id = 1; id < 80; id += 2)
        intruder_open(intruder, id, IDENTIFY_PROTOCOL, (struct span){0});
    for (int s = 0; s < 8; s++) {
        intruder_frame(intruder, FRAME_WINDOW, 0, 1001, 1, (struct span){0});
        nodes_pass_ms(1000);
        assert_false(intruder->closed);
    }
    for (int s = 0; s < 5; s++) {
        intruder_frame(intruder, FRAME_WINDOW, 0, 1001, 1, (struct span){0});
        nodes_pass_ms(1000);
    }
    assert_true(intruder->closed);
    assert_int_equal(used(ACCOUNT_SEND), at_rest[ACCOUNT_SEND]);
    end();
}

static void T6_three_hundred_streams_that_agree_on_nothing(void **state)
{
    (void)state;
    begin_secured(106);
    for (uint32_t id = 1; id < 600; id += 2)
        intruder_frame(intruder, FRAME_WINDOW, FLAG_SYN, id, 0, (struct span){0});
    nodes_pass_ms(200);
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 0, NULL), 300 - YAMUX_UNACCEPTED_MAX);
    assert_true(is_alive(6));
    nodes_pass_ms(11000); /* then the rest is reset, too: nobody negotiated */
    unsigned asks = intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 2, NULL); /* of identify, unanswered */
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 0, NULL) - asks, 300);
    assert_int_equal(nodes[0].opened_in, 0);
    end();
}

static void T7_an_id_twice_or_of_the_wrong_parity(void **state)
{
    (void)state;
    begin_secured(107);
    intruder_frame(intruder, FRAME_WINDOW, FLAG_SYN, 1, 0, (struct span){0});
    intruder_frame(intruder, FRAME_WINDOW, FLAG_SYN, 1, 0, (struct span){0});
    expect_shut_out_by_go_away();
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
    intruder_frame(intruder, FRAME_WINDOW, FLAG_SYN, 200, 0, (struct span){0});
    expect_shut_out_by_go_away();
    end();
}

/* ---- multistream ---- */

static void T12_payload_like_a_proposal_is_payload(void **state)
{
    (void)state;
    static const char disguise[] = "\x13/multistream/1.0.0\n\x11" PING_PROTOCOL "\n";
    begin_secured(112);
    nodes[0].hold_credit = true;
    intruder_open(intruder, 1, BITSWAP, span_of(disguise, sizeof(disguise) - 1));
    nodes_pass_ms(50);
    assert_int_equal(nodes[0].opened_in, 1);
    assert_int_equal(nodes[0].received, sizeof(disguise) - 1); /* every byte of it reached Bitswap's owner */
    /* the header comes unasked, and a proposal in single bytes is answered as one in one piece */
    struct buf text;
    buf_init(&text, 64, NULL);
    assert_int_equal(buf_appendf(&text, "\x13/multistream/1.0.0\n\x11%s\n", PING_PROTOCOL), ERR_OK);
    intruder_frame(intruder, FRAME_WINDOW, FLAG_SYN, 3, 0, (struct span){0});
    nodes_pass_ms(20);
    uint32_t length = 0;
    assert_int_equal(intruder_frames(intruder, FRAME_DATA, 0, 3, &length), 1);
    assert_int_equal(length, 20);
    for (size_t i = 0; i < text.len; i++)
        intruder_frame(intruder, FRAME_DATA, 0, 3, 1, span_of(text.data + i, 1));
    nodes_pass_ms(20);
    assert_int_equal(intruder_frames(intruder, FRAME_DATA, 0, 3, &length), 2);
    assert_int_equal(length, 18);
    buf_release(&text);
    end();
}

/* ---- identify ---- */

/* Ten peers with ten pushes each of nearly 80 KiB that never end: more than the receive account has. */
static void P3_pushes_that_never_end(void **state)
{
    (void)state;
    enum { PEERS = 10, PUSHES = 10, FRAMES = 9 };
    static uint8_t frames[FRAMES * (2 + IDENTIFY_FRAME_MAX)];
    struct intruder *others[PEERS];
    for (size_t k = 0; k < FRAMES; k++) {
        frames[k * (2 + IDENTIFY_FRAME_MAX)] = 0x80;
        frames[k * (2 + IDENTIFY_FRAME_MAX) + 1] = 0x40;
    }
    begin(115);
    for (unsigned k = 0; k < PEERS; k++) {
        others[k] = intruder_new(18, 20, (uint8_t)k);
        assert_true(intruder_dial(others[k]));
        assert_true(intruder_shake_hands(others[k]));
        for (uint32_t id = 1; id < 2 * PUSHES; id += 2)
            intruder_open(others[k], id, IDENTIFY_PUSH_PROTOCOL, span_of(frames, sizeof(frames)));
    }
    nodes_pass_ms(500);
    expect_bounded();
    expect_served();
    nodes_pass_ms(6000); /* an exchange has five seconds */
    assert_int_equal(intruder_frames(others[0], FRAME_WINDOW, FLAG_RST, 2 * PUSHES - 1, NULL), 1);
    for (unsigned k = 0; k < PEERS; k++)
        intruder_free(others[k]);
    end();
}

/* Twenty peers with as many streams as one may have: the tables must keep room for who comes later. */
static void T1_streams_of_many_peers_leave_room(void **state)
{
    (void)state;
    enum { PEERS = 20, STREAMS = 500 };
    struct intruder *others[PEERS];
    const struct account *tables = &nodes[0].budget.accounts[ACCOUNT_TABLES];
    begin(101);
    for (unsigned k = 0; k < PEERS; k++) {
        others[k] = intruder_new(18, (uint8_t)(30 + k), 1);
        assert_true(intruder_dial(others[k]));
        assert_true(intruder_shake_hands(others[k]));
        for (uint32_t n = 0; n < STREAMS; n++) {
            intruder_open(others[k], 2 * n + 1, BITSWAP, span_text("x"));
            if (n % 100 == 99)
                nodes_pass_ms(20);
        }
    }
    nodes_pass_ms(200);
    assert_true(nodes[0].opened_in > PEERS * YAMUX_STREAMS_SHORT); /* nobody is short before the tables are */
    assert_true(account_free(tables) > tables->limit_bytes / 4);
    expect_served();
    for (unsigned k = 0; k < PEERS; k++)
        intruder_free(others[k]);
    nodes_pass_ms(100);
    end();
}

/* A thousand pushes one after the other, each whole: the burst is taken, the rest is not even listened to. */
static void P4_pushes_that_are_whole(void **state)
{
    (void)state;
    enum { PUSHES = 1000 };
    static const uint8_t said[] = {6, 0x1a, 4, '/', 'x', '/', 'y'};
    begin_secured(116);
    nodes_pass_ms(6000); /* its identify of us has failed, so it is up */
    uint64_t ups = nodes[0].ups;
    assert_true(ups > 0);
    for (uint32_t n = 0; n < PUSHES; n++) {
        intruder_open(intruder, 2 * n + 1, IDENTIFY_PUSH_PROTOCOL, span_of(said, sizeof(said)));
        intruder_frame(intruder, FRAME_DATA, FLAG_FIN, 2 * n + 1, 0, (struct span){0});
        if (n % 100 == 99)
            nodes_pass_ms(100);
    }
    nodes_pass_ms(100);
    assert_true(nodes[0].ups > ups && nodes[0].ups - ups <= 11);
    assert_true(is_alive(16));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(T1_streams_of_many_peers_leave_room),
        cmocka_unit_test(T2_rsa_keys_out_of_bounds),
        cmocka_unit_test(T3_data_with_syn_beyond_the_window),
        cmocka_unit_test(T3_data_beyond_the_window_of_an_open_stream),
        cmocka_unit_test(T4_credit_that_overflows),
        cmocka_unit_test(T5_pings_and_opens_by_a_peer_that_never_reads),
        cmocka_unit_test(T5_a_peer_that_sends_and_never_reads_is_let_go),
        cmocka_unit_test(T6_three_hundred_streams_that_agree_on_nothing),
        cmocka_unit_test(T7_an_id_twice_or_of_the_wrong_parity),
        cmocka_unit_test(T8_a_flipped_bit_ends_the_channel),
        cmocka_unit_test(T9_signatures_that_prove_nothing),
        cmocka_unit_test(T11_frame_lengths_that_cannot_be),
        cmocka_unit_test(T12_payload_like_a_proposal_is_payload),
        cmocka_unit_test(P3_pushes_that_never_end),
        cmocka_unit_test(P4_pushes_that_are_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
