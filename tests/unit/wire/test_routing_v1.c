/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/routing_v1.h"

#define ID_A "12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA"
#define ID_B "QmQCU2EcMqAqQPR2i9bChDtGNJchTbq5TbXJJ16u19uLTa"
#define PEER_A                                                                                                         \
    "{\"Schema\":\"peer\",\"ID\":\"" ID_A                                                                              \
    "\",\"Addrs\":[\"/ip4/192.0.2.1/tcp/4001\",\"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/" ID_A                            \
    "\"],\"Protocols\":[\"transport-bitswap\",\"x\"],\"x\":{\"a\":[1,{\"b\":\"}]\\\"\"}]}}"
#define PEER_B "{ \"ID\" : \"" ID_B "\" , \"Schema\":\"peer\", \"Addrs\":null }"

enum { SEEN_MAX = 300 };
static struct {
    char ids[SEEN_MAX][PEER_ID_TEXT_MAX];
    size_t addrs[SEEN_MAX];
    bool bitswap[SEEN_MAX];
    size_t count;
} seen;
static struct routing_v1_reader reader;

static void see(void *arg, const struct routing_v1_peer *peer)
{
    (void)arg;
    assert_true(seen.count < SEEN_MAX);
    peer_id_text(&peer->id, seen.ids[seen.count]);
    seen.addrs[seen.count] = peer->addr_count;
    seen.bitswap[seen.count++] = peer->bitswap;
}

static enum err read_all(const char *type, struct span in, size_t step)
{
    enum err err = ERR_OK;
    seen.count = 0;
    routing_v1_reader_init(&reader, span_text(type));
    for (; in.len > 0 && err == ERR_OK; in = span_skip(in, step))
        err = routing_v1_reader_feed(&reader, span_first(in, step), see, NULL);
    return err;
}

static void both(const char *type, const char *text)
{
    static const size_t steps[] = {1, 3, 17, 4096};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_all(type, span_text(text), steps[i]), ERR_OK);
        assert_int_equal(seen.count, 2);
        assert_string_equal(seen.ids[0], ID_A);
        assert_string_equal(seen.ids[1], ID_B);
        assert_int_equal(seen.addrs[0], 2);
        assert_int_equal(seen.addrs[1], 0);
        assert_true(seen.bitswap[0]);
        assert_false(seen.bitswap[1]);
    }
}

static void peers_are_read_from_both_forms_however_they_come(void **state)
{
    (void)state;
    both("application/json", "{\"Providers\":[" PEER_A ", " PEER_B "]}");
    both("application/json; charset=utf-8",
         " {\"x\":[{\"ID\":1}],\"Peers\":\n[" PEER_A "," PEER_B "],\"y\":[{}]} trailing");
    both("application/x-ndjson", PEER_A "\n" PEER_B "\n");
    both("Application/X-NDJSON; q=1", PEER_A "\n\n" PEER_B);
    both("", "{\"Providers\":[" PEER_A "," PEER_B "]}");
}

static void what_came_before_the_cut_counts(void **state)
{
    (void)state;
    const char *text = "{\"Providers\":[" PEER_A "," PEER_B "]}";
    for (size_t len = 0; len < strlen(text); len++)
        assert_int_equal(read_all("", span_of(text, len), 50), ERR_OK);
    assert_int_equal(read_all("", span_of(text, strlen(text) - 10), 50), ERR_OK);
    assert_int_equal(seen.count, 1);
    assert_int_equal(read_all("", span_text("{\"Providers\":[" PEER_A "]]"), 50), ERR_OK); /* behind the list */
    assert_int_equal(seen.count, 1);
}

static void one(const char *json, enum err wanted)
{
    static struct routing_v1_peer peer;
    enum err err = routing_v1_peer_parse(span_text(json), &peer);
    if (err != wanted)
        fail_msg("%s: %s", json, err_name(err));
}

static void other_objects_are_told_apart(void **state)
{
    (void)state;
    static struct routing_v1_peer peer;
    one(PEER_A, ERR_OK);
    one("{\"Schema\":\"bitswap\",\"Protocol\":\"transport-bitswap\",\"ID\":\"" ID_A "\"}", ERR_OK);
    one("{\"Schema\":\"other\",\"ID\":\"" ID_A "\"}", ERR_UNSUPPORTED);
    one("{}", ERR_UNSUPPORTED);
    one("{\"Schema\":\"peer\"}", ERR_INVALID);
    one("{\"Schema\":\"peer\",\"ID\":\"no peer\"}", ERR_INVALID);
    one("{\"Schema\":\"peer\",\"ID\":7}", ERR_INVALID);
    one("{\"Schema\":\"peer\",\"ID\":\"" ID_A "\",}", ERR_INVALID);
    one("{\"Schema\":\"peer\" \"ID\":\"" ID_A "\"}", ERR_INVALID);
    one("{\"Schema\":\"peer\",\"ID\":\"" ID_A "\"}x", ERR_INVALID);
    one("[]", ERR_INVALID);
    one("", ERR_INVALID);
    /* an address that leads to somebody else, one that is none, and no text */
    assert_int_equal(routing_v1_peer_parse(span_text("{\"Schema\":\"peer\",\"ID\":\"" ID_A
                                                     "\",\"Addrs\":[\"/ip4/192.0.2.1/tcp/1/p2p/" ID_B
                                                     "\",\"x\",5,\"/ip4/192.0.2.2/tcp/1/p2p/" ID_A "\"]}"),
                                           &peer),
                     ERR_OK);
    assert_int_equal(peer.addr_count, 1);
    assert_false(multiaddr_has(multiaddr_span(&peer.addrs[0]), MULTIADDR_P2P));
}

static void hostile_answers_are_bounded(void **state)
{
    (void)state;
    struct buf text;
    buf_init(&text, 64 * MIB, NULL);
    assert_int_equal(buf_append_text(&text, "{\"Providers\":[{\"x\":\""), ERR_OK);
    for (int i = 0; i < 100000; i++)
        assert_int_equal(buf_append_text(&text, "aaaaaaaaaa"), ERR_OK);
    assert_int_equal(buf_append_text(&text, "\"}," PEER_A "]}"), ERR_OK);
    assert_int_equal(read_all("", buf_span(&text), 4000), ERR_OK); /* one is too large, the next one is not */
    assert_int_equal(seen.count, 1);
    assert_int_equal(reader.unusable, 1);
    buf_clear(&text);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_append_text(&text, PEER_B "\n"), ERR_OK);
    assert_int_equal(read_all(ROUTING_V1_NDJSON, buf_span(&text), 4000), ERR_OK);
    assert_int_equal(seen.count, ROUTING_V1_RECORDS_MAX);
    assert_true(reader.done);
    buf_clear(&text);
    for (int i = 0; i < 100; i++)
        assert_int_equal(buf_append_text(&text, "{\"a\":["), ERR_OK);
    assert_int_equal(read_all("", buf_span(&text), 4000), ERR_INVALID);
    assert_int_equal(read_all(ROUTING_V1_NDJSON, buf_span(&text), 7), ERR_INVALID);
    assert_int_equal(read_all("", span_text("[1]"), 7), ERR_INVALID);
    assert_int_equal(read_all("", span_text("}"), 7), ERR_INVALID);
    buf_release(&text);
}

static void expect_router(const char *text, const char *base, int kinds)
{
    struct routing_v1_router router;
    const char *why;
    enum err err = routing_v1_router_parse(span_text(text), &router, &why);
    if (base == NULL) {
        assert_int_equal(err, ERR_INVALID);
        assert_non_null(why);
        return;
    }
    assert_int_equal(err, ERR_OK);
    assert_string_equal(router.base, base);
    assert_int_equal(router.kinds[0] | router.kinds[1] << 1 | router.kinds[2] << 2, kinds);
}

static void routers_are_addresses(void **state)
{
    (void)state;
    char url[ROUTING_V1_URL_MAX];
    struct routing_v1_router router;
    const char *why;
    struct cid cid;
    expect_router("https://delegated-ipfs.dev", "https://delegated-ipfs.dev", 7);
    expect_router("http://127.0.0.1:8190//", "http://127.0.0.1:8190", 7);
    expect_router("https://x.y/sub/routing/v1/", "https://x.y/sub", 7);
    expect_router("https://x.y/routing/v1/providers", "https://x.y", 1);
    expect_router("https://x.y/routing/v1/ipns/", "https://x.y", 4);
    expect_router("ftp://x.y", NULL, 0);
    expect_router("https://", NULL, 0);
    expect_router("https://x.y/?a", NULL, 0);
    expect_router("https://x.y/a b", NULL, 0);
    expect_router("auto", NULL, 0);
    assert_int_equal(routing_v1_router_parse(span_text("http://h/routing/v1/providers"), &router, &why), ERR_OK);
    assert_int_equal(cid_parse_text(span_text("QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo"), &cid), ERR_OK);
    assert_int_equal(routing_v1_url(&router, ROUTING_V1_PROVIDERS, &cid, url), ERR_OK);
    assert_string_equal(url,
                        "http://h/routing/v1/providers/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq");
    assert_int_equal(routing_v1_url(&router, ROUTING_V1_NAMES, &cid, url), ERR_UNSUPPORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_are_read_from_both_forms_however_they_come),
        cmocka_unit_test(what_came_before_the_cut_counts),
        cmocka_unit_test(other_objects_are_told_apart),
        cmocka_unit_test(hostile_answers_are_bounded),
        cmocka_unit_test(routers_are_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
