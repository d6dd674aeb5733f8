/* SPDX-License-Identifier: MIT */
/*
 * Rows D1 to D6 of the attack list against a whole node, storage and all: an intruder speaks Bitswap by hand. Each test ends with an
 * honest peer that connects and fetches a block within a second, and with every account back where it was.
 */
#include "helper_intruder.h"

#include <stdlib.h>
#include <string.h>

#include "wire/protobuf.h"
#include "wire/varint.h"
#include "wire/yamux.h"

#define BITSWAP "/ipfs/bitswap/1.2.0"

enum { HONEST = 1, HELD_MAX = 2 << 20, CID_V1_BYTES = 36 };

static struct intruder *intruder;
static uint64_t at_rest[ACCOUNT_COUNT];
static uint32_t next_id;

static const char stored_text[] = "a block that the victim has";
static const char other_text[] = "a block that nobody asked for";
#define STORED   span_of(stored_text, sizeof(stored_text) - 1)
#define UNWANTED span_of(other_text, sizeof(other_text) - 1)

static uint64_t used(enum budget_account account)
{
    return account_used(&nodes[0].budget.accounts[account]);
}

static void dial(void)
{
    assert_true(intruder_dial(intruder));
    assert_true(intruder_shake_hands(intruder));
    next_id = 1;
    nodes_pass_ms(20);
}

static void begin(uint64_t seed)
{
    nodes_whole = true;
    nodes_begin(2, SIM, seed, NULL);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_PUT, .payload = STORED}), ERR_OK);
    for (int a = 0; a < ACCOUNT_COUNT; a++)
        at_rest[a] = used((enum budget_account)a);
    intruder = intruder_new(18, 9, 2);
    dial();
}

static void expect_bounded(void)
{
    assert_true(used(ACCOUNT_RECEIVE) - at_rest[ACCOUNT_RECEIVE] < HELD_MAX);
    assert_true(used(ACCOUNT_SEND) - at_rest[ACCOUNT_SEND] < HELD_MAX);
    assert_true(used(ACCOUNT_TABLES) - at_rest[ACCOUNT_TABLES] < HELD_MAX);
}

static void expect_service(void)
{
    uint64_t before = sim_now(nodes_sim);
    assert_int_equal(node_connect(HONEST, 0), ERR_OK);
    assert_int_equal(node_do(HONEST, (struct command){.kind = CMD_FETCH, .payload = STORED}), ERR_OK);
    assert_true(sim_now(nodes_sim) - before < SECOND_NS);
}

static void end(void)
{
    expect_bounded();
    expect_service();
    intruder_free(intruder);
    nodes_end();
}

/* ---- Bitswap by hand ---- */

/* Appends an entry of a wantlist. */
static void put_entry(struct buf *list, struct span cid, uint64_t priority, bool have, bool dont_have)
{
    struct buf entry;
    buf_init(&entry, 1024, NULL);
    assert_int_equal(protobuf_put_bytes(&entry, 1, cid), ERR_OK);
    assert_int_equal(protobuf_put_varint(&entry, 2, priority), ERR_OK);
    assert_int_equal(protobuf_put_varint(&entry, 4, have), ERR_OK);
    assert_int_equal(protobuf_put_varint(&entry, 5, dont_have), ERR_OK);
    assert_int_equal(protobuf_put_bytes(list, 1, buf_span(&entry)), ERR_OK);
    buf_release(&entry);
}

static void put_cid(struct buf *list, struct cid cid, uint64_t priority)
{
    uint8_t bytes[CID_BYTES_MAX];
    put_entry(list, span_of(bytes, cid_encode(&cid, bytes)), priority, false, false);
}

/* The CID of nothing that anybody has. */
static struct cid absent(uint64_t number)
{
    struct cid cid = nodes_cid_of(STORED);
    memcpy(cid.hash.digest, &number, sizeof(number));
    return cid;
}

/* Frames a message and sends it on a stream of its own, which stays open. Returns the stream. */
static uint32_t say(struct span message)
{
    struct buf framed;
    uint32_t id = next_id;
    next_id += 2;
    buf_init(&framed, message.len + 10, NULL);
    assert_int_equal(varint_append(&framed, message.len), ERR_OK);
    assert_int_equal(buf_append_span(&framed, message), ERR_OK);
    intruder_open(intruder, id, BITSWAP, buf_span(&framed));
    buf_release(&framed);
    return id;
}

static uint32_t say_wantlist(const struct buf *list)
{
    struct buf message;
    buf_init(&message, list->len + 10, NULL);
    assert_int_equal(protobuf_put_bytes(&message, 1, buf_span(list)), ERR_OK);
    uint32_t id = say(buf_span(&message));
    buf_release(&message);
    return id;
}

static bool heard(struct span bytes)
{
    return memmem(intruder->heard.data, intruder->heard.len, bytes.data, bytes.len) != NULL;
}

/* Agrees to every stream on which the victim proposes Bitswap, as often as it does. */
static void agree(void)
{
    static const char echo[] = "\x13/multistream/1.0.0\n\x14" BITSWAP "\n";
    for (uint32_t id = 2; id < 40; id += 2) {
        uint32_t length = 0;
        if (intruder_frames(intruder, FRAME_DATA, 0, id, &length) == 0)
            continue;
        intruder_frame(intruder, FRAME_DATA, FLAG_ACK, id, sizeof(echo) - 1, span_of(echo, sizeof(echo) - 1));
    }
}

/* ---- the rows ---- */

static void D1_wants_without_end_and_reconnects(void **state)
{
    (void)state;
    enum { MESSAGE = 5000, MESSAGES = 4, RECONNECTS = 12 };
    begin(201);
    struct buf list;
    uint64_t first_peak = 0;
    uint64_t first_rest = 0;
    for (uint64_t k = 0; k < RECONNECTS; k++) {
        if (k > 0)
            dial();
        uint64_t peak = 0;
        for (uint64_t m = 0; m < MESSAGES; m++) {
            buf_init(&list, 1 << 20, NULL);
            for (uint64_t w = 0; w < MESSAGE; w++)
                put_cid(&list, absent((k * MESSAGES + m) * MESSAGE + w), 1);
            (void)say_wantlist(&list);
            buf_release(&list);
            nodes_pass_ms(300);
            peak = MAX(peak, used(ACCOUNT_TABLES));
            expect_bounded();
        }
        first_peak = k == 0 ? peak : first_peak;
        assert_true(peak <= first_peak + 64 * KIB);
        intruder->net->close(intruder->sock, true);
        intruder->sock = NULL;
        nodes_pass_ms(6000); /* an address may come back each 5 s */
        uint64_t rest = used(ACCOUNT_TABLES);
        first_rest = k == 0 ? rest : first_rest;
        assert_true(rest <= first_rest + 4 * KIB); /* the ledger went with the peer, the tables' capacity stays */
    }
    dial();
    end();
}

static void D2_a_list_of_absent_blocks_then_a_present_one(void **state)
{
    (void)state;
    begin(202);
    struct buf list;
    buf_init(&list, 1 << 20, NULL);
    for (uint64_t w = 0; w < 3000; w++)
        put_cid(&list, absent(w), 10);
    (void)say_wantlist(&list);
    nodes_pass_ms(300);
    buf_clear(&list);
    put_cid(&list, nodes_cid_of(STORED), 1);
    (void)say_wantlist(&list);
    buf_release(&list);
    nodes_pass_ms(100);
    agree();
    nodes_pass_ms(100);
    assert_true(heard(STORED));
    end();
}

static void put_payload(struct buf *message, const uint8_t *prefix, size_t prefix_len, struct span block)
{
    struct buf payload;
    buf_init(&payload, block.len + 64, NULL);
    if (prefix != NULL)
        assert_int_equal(protobuf_put_bytes(&payload, 1, span_of(prefix, prefix_len)), ERR_OK);
    assert_int_equal(protobuf_put_bytes(&payload, 2, block), ERR_OK);
    assert_int_equal(protobuf_put_bytes(message, 3, buf_span(&payload)), ERR_OK);
    buf_release(&payload);
}

/* What belongs together is asked for in the same message as what does not, and is answered. */
static void D3_D4_D6_useless_parts_cost_nothing(void **state)
{
    (void)state;
    static const uint8_t raw[] = {1, 0x55, 0x12, 32};
    static const uint8_t md5[] = {1, 0x55, 0xd5, 1, 16};
    static const uint8_t short_digest[] = {1, 0x55, 0x12, 19};
    static const uint8_t half[] = {1, 0x55, 0x12, 32, 1, 2};
    static const uint8_t inlined[] = {1, 0x55, 0, 8, 'i', 'n', 'l', 'i', 'n', 'e', 'd', '!'};
    uint8_t identity[3 + 1 + 200] = {1, 0x55, 0, 0xc8, 1};
    begin(203);
    struct buf message;
    struct buf list;
    buf_init(&message, 65536, NULL);
    buf_init(&list, 65536, NULL);
    put_entry(&list, (struct span){0}, 1, false, true);                   /* D3: of nothing */
    put_entry(&list, span_of(half, sizeof(half)), 1, false, true);        /* of half a CID */
    put_entry(&list, span_of(inlined, sizeof(inlined)), 1, true, true);   /* D4 */
    put_entry(&list, span_of(identity, sizeof(identity)), 1, true, true); /* over 128 bytes */
    put_cid(&list, nodes_cid_of(STORED), 1);
    assert_int_equal(protobuf_put_bytes(&message, 1, buf_span(&list)), ERR_OK);
    put_payload(&message, raw, sizeof(raw), UNWANTED);                   /* D6: nobody asked for it */
    put_payload(&message, md5, sizeof(md5), UNWANTED);                   /* a hash that nobody should use */
    put_payload(&message, short_digest, sizeof(short_digest), UNWANTED); /* a digest cut short */
    put_payload(&message, NULL, 0, UNWANTED);                            /* D3: without a prefix */
    uint32_t id = say(buf_span(&message));
    buf_release(&message);
    buf_release(&list);
    nodes_pass_ms(100);
    agree();
    nodes_pass_ms(100);
    assert_true(heard(STORED));
    assert_false(heard(span_text("inlined!"))); /* neither sent nor had nor not had */
    assert_false(intruder->closed);
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, id, NULL), 0);
    assert_int_equal(node_do(0, (struct command){.kind = CMD_HAS, .payload = UNWANTED}), ERR_NOT_FOUND);
    end();
}

static void D5_a_message_of_4_mib_and_one(void **state)
{
    (void)state;
    begin(205);
    uint64_t peak = nodes[0].budget.accounts[ACCOUNT_RECEIVE].peak_bytes;
    for (uint32_t id = 1; id < 100; id += 2)
        intruder_open(intruder, id, BITSWAP, span_of("\x81\x80\x80\x02", 4));
    nodes_pass_ms(100);
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 0, NULL), 50);
    assert_true(nodes[0].budget.accounts[ACCOUNT_RECEIVE].peak_bytes - peak < 64 * KIB);
    assert_false(intruder->closed);
    end();
}

/* A stream whose message announces a block of size bytes and brings as many as are given. */
static void announce(struct intruder *i, uint32_t id, uint64_t size, struct span given)
{
    static const uint8_t prefix[] = {1, 0x55, 0x12, 32};
    struct buf payload;
    struct buf framed;
    buf_init(&payload, 64, NULL);
    buf_init(&framed, 128 + given.len, NULL);
    assert_int_equal(protobuf_put_bytes(&payload, 1, span_of(prefix, sizeof(prefix))), ERR_OK);
    assert_int_equal(protobuf_put_header(&payload, 2, size), ERR_OK);
    assert_int_equal(varint_append(&framed, protobuf_size_bytes(3, payload.len + size)), ERR_OK);
    assert_int_equal(protobuf_put_header(&framed, 3, payload.len + size), ERR_OK);
    assert_int_equal(buf_append_span(&framed, buf_span(&payload)), ERR_OK);
    assert_int_equal(buf_append_span(&framed, given), ERR_OK);
    intruder_open(i, id, BITSWAP, buf_span(&framed));
    buf_release(&framed);
    buf_release(&payload);
}

/* Blocks that never come whole, of all sizes, until hardly one more would fit into the receive account. */
static void D5_blocks_that_are_announced_and_never_come(void **state)
{
    (void)state;
    begin(206);
    uint32_t id = 1;
    for (uint64_t size = 2 * MIB; size >= 32 * KIB; size /= 2) {
        for (int k = 0; k < 3; k++, id += 2) {
            announce(intruder, id, size, span_text("a"));
            nodes_pass_ms(10);
        }
    }
    expect_service();
    struct block_ref *large = block_ref_new(MIB, NULL);
    for (size_t k = 0; k < large->len; k++)
        large->data[k] = (uint8_t)(k * 7 + (k >> 9));
    struct command put = {.kind = CMD_PUT, .payload = block_ref_span(large)};
    struct command fetch = {.kind = CMD_FETCH, .payload = block_ref_span(large)};
    assert_int_equal(node_do(HONEST, put), ERR_OK);
    assert_int_equal(node_do(0, fetch), ERR_OK); /* what hoards memory loses it to who needs it */
    assert_false(intruder->closed);
    block_ref_unref(large);
    intruder_free(intruder);
    nodes_end();
}

/*
 * Many peers at once are in the middle of large blocks, more than there is memory for: nobody is kept waiting by them, and they go on
 * in turns. Each peer sends what its window allows; who is told to stop (a reset) has lost one block, not its connection.
 */
static void blocks_of_many_peers_go_on_in_turns(void **state)
{
    (void)state;
    enum { PEERS = 10, SIZE = 1 << 20, FIRST = 150 * 1024, STEP = 32 * 1024, HEAD = 100 };
    static uint8_t bytes[SIZE];
    struct intruder *others[PEERS];
    size_t sent[PEERS];
    unsigned whole = 0;
    begin(207);
    for (unsigned k = 0; k < PEERS; k++) {
        others[k] = intruder_new(18, (uint8_t)(40 + k), 1);
        assert_true(intruder_dial(others[k]));
        assert_true(intruder_shake_hands(others[k]));
    }
    for (unsigned k = 0; k < PEERS; k++) {
        sent[k] = FIRST;
        announce(others[k], 1, SIZE, span_of(bytes, FIRST));
    }
    nodes_pass_ms(100);
    expect_service();
    for (int round = 0; round < 100; round++) {
        for (unsigned k = 0; k < PEERS; k++) {
            uint64_t may = intruder_window(others[k], 1) - HEAD - sent[k];
            struct span part = span_first(span_of(bytes + sent[k], SIZE - sent[k]), (size_t)MIN(may, (uint64_t)STEP));
            if (part.len > 0)
                intruder_frame(others[k], FRAME_DATA, 0, 1, (uint32_t)part.len, part);
            sent[k] += part.len;
        }
        nodes_pass_ms(20);
    }
    for (unsigned k = 0; k < PEERS; k++) {
        whole += sent[k] == SIZE && intruder_frames(others[k], FRAME_WINDOW, FLAG_RST, 1, NULL) == 0;
        assert_false(others[k]->closed);
        intruder_free(others[k]);
    }
    assert_true(whole >= PEERS / 2);
    nodes_pass_ms(100);
    end();
}

/*
 * No memory for blocks is left, and streams of a peer are filled to the last byte of their windows: what is promised finds room, so that who
 * keeps to its windows is not told to stop, and nobody else has to wait.
 */
static void what_windows_promise_finds_room(void **state)
{
    (void)state;
    enum { STREAMS = 18, SIZE = 2 << 20, HEAD = 100 };
    static uint8_t bytes[SIZE];
    begin(208);
    struct intruder *hoarder = intruder_new(18, 50, 1);
    assert_true(intruder_dial(hoarder));
    assert_true(intruder_shake_hands(hoarder));
    announce(hoarder, 1, SIZE, span_of(bytes, 1));
    announce(hoarder, 3, SIZE, span_of(bytes, 1));
    nodes_pass_ms(100);
    for (uint32_t id = 1; id < 2 * STREAMS; id += 2)
        announce(intruder, id, SIZE, span_of(bytes, 1));
    nodes_pass_ms(100);
    uint64_t sent = 0;
    for (uint32_t id = 1; id < 2 * STREAMS; id += 2) {
        uint64_t may = intruder_window(intruder, id) - HEAD;
        intruder_frame(intruder, FRAME_DATA, 0, id, (uint32_t)may, span_of(bytes, (size_t)may));
        nodes_pass_ms(50);
        sent += may;
    }
    assert_true(sent > 7 * MIB);
    assert_true(used(ACCOUNT_RECEIVE) - at_rest[ACCOUNT_RECEIVE] >= sent);
    assert_int_equal(intruder_frames(intruder, FRAME_WINDOW, FLAG_RST, 0, NULL), 0);
    expect_service();
    intruder_free(hoarder);
    intruder_free(intruder);
    nodes_end();
}

/* Windows are for those who bring blocks: were they for all who ask, a crowd of askers would leave none. */
static void only_who_brings_blocks_gets_a_larger_window(void **state)
{
    (void)state;
    begin(209);
    struct buf list;
    buf_init(&list, 1 << 16, NULL);
    put_cid(&list, absent(1), 1);
    uint32_t asking = say_wantlist(&list);
    buf_release(&list);
    uint32_t bringing = next_id;
    next_id += 2;
    announce(intruder, bringing, 64 * KIB, span_text("a"));
    nodes_pass_ms(100);
    assert_int_equal(intruder_window(intruder, asking), YAMUX_WINDOW_FIRST);
    assert_true(intruder_window(intruder, bringing) > 4 * YAMUX_WINDOW_FIRST);
    end();
}

/* Memory that others give back is heard of by nobody: it is looked for, and long before the next tick. */
static void who_waits_for_memory_is_served_when_there_is_some(void **state)
{
    (void)state;
    begin(210);
    struct account *send = &nodes[0].budget.accounts[ACCOUNT_SEND];
    uint64_t taken = account_free(send);
    struct buf list;
    buf_init(&list, 1 << 16, NULL);
    put_cid(&list, nodes_cid_of(STORED), 1);
    assert_true(account_take(send, taken));
    (void)say_wantlist(&list);
    buf_release(&list);
    nodes_pass_ms(50);
    agree();
    nodes_pass_ms(20);
    assert_false(heard(STORED));
    account_give(send, taken);
    nodes_pass_ms(30);
    agree();
    nodes_pass_ms(30);
    assert_true(heard(STORED));
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(D1_wants_without_end_and_reconnects),
        cmocka_unit_test(D2_a_list_of_absent_blocks_then_a_present_one),
        cmocka_unit_test(D3_D4_D6_useless_parts_cost_nothing),
        cmocka_unit_test(D5_a_message_of_4_mib_and_one),
        cmocka_unit_test(blocks_of_many_peers_go_on_in_turns),
        cmocka_unit_test(D5_blocks_that_are_announced_and_never_come),
        cmocka_unit_test(what_windows_promise_finds_room),
        cmocka_unit_test(only_who_brings_blocks_gets_a_larger_window),
        cmocka_unit_test(who_waits_for_memory_is_served_when_there_is_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
