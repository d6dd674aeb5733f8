/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/bytes.h"
#include "wire/ipns_path.h"

#define K51 "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w"

static void names_are_read_in_every_form(void **state)
{
    (void)state;
    /* the same key: base36 CID, base32 CID, base58 of the multihash */
    static const char *const forms[] = {"/ipns/" K51, "ipns://" K51 "/a/b", "/ipns/" K51 "/"};
    static const char *const rests[] = {"", "/a/b", "/"};
    struct ipns_path path;
    char text[PEER_ID_TEXT_MAX];
    char other[128];
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        assert_ok(ipns_path_parse(span_text(forms[i]), &path));
        assert_false(path.is_domain);
        assert_true(span_equal_text(path.host, K51));
        assert_true(span_equal_text(path.rest, rests[i]));
        peer_id_text_cid(&path.name, text);
        assert_string_equal(text, K51);
    }
    peer_id_text(&path.name, text);
    (void)snprintf(other, sizeof(other), "/ipns/%s/x", text);
    struct peer_id name = path.name;
    assert_ok(ipns_path_parse(span_text(other), &path));
    assert_true(peer_id_equal(&path.name, &name));
    assert_ok(ipns_path_parse(span_text("/ipns/QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3"), &path));
    assert_false(path.is_domain);
}

static void domains_are_told_from_names(void **state)
{
    (void)state;
    struct ipns_path path;
    assert_ok(ipns_path_parse(span_text("/ipns/docs.ipfs.tech/a"), &path));
    assert_true(path.is_domain);
    assert_true(span_equal_text(path.host, "docs.ipfs.tech"));
    assert_ok(ipns_path_parse_name(span_text("_dnslink.example.com"), &path));
    assert_true(path.is_domain);
    static const char *const bad[] = {
        "/ipns/",       "/ipns//a",  "/ipns/word", "/ipns/.com", "/ipns/a..b",     "/ipns/a b.c", "/ipns/com.",
        "/ipns/../etc", "/ipfs/a.b", "ipns:/" K51, "",           "/ipns/bafkqaaa", "/ipns/\xff.a"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(ipns_path_parse(span_text(bad[i]), &path), ERR_INVALID);
    assert_err(ipns_path_parse_name(span_text(K51 "/a"), &path), ERR_INVALID);
    assert_ok(ipns_path_parse_name(span_text("/ipns/" K51), &path));
    assert_ok(ipns_path_parse_name(span_text(K51), &path));
    assert_false(ipns_path_is(span_text("/ipfs/x")));
    assert_true(ipns_path_is(span_text("ipns://x")));
}

static void expect_join(const char *value, const char *rest, const char *want)
{
    struct buf out;
    buf_init(&out, IPNS_PATH_MAX, NULL);
    assert_ok(ipns_path_join(span_text(value), span_text(rest), &out));
    assert_true(span_equal_text(buf_span(&out), want));
    buf_release(&out);
}

static void values_take_the_place_of_names(void **state)
{
    (void)state;
    struct buf out;
    char large[IPNS_PATH_MAX + 1] = "/ipfs/";
    buf_init(&out, IPNS_PATH_MAX, NULL);
    expect_join("/ipfs/x", "", "/ipfs/x");
    expect_join("/ipfs/x/y/", "/a/b", "/ipfs/x/y/a/b");
    expect_join("/ipns/example.com", "/", "/ipns/example.com/");
    static const char *const bad[] = {"", "/", "/ipfs/", "/ipfs//", "ipfs://x", "x", "/ipld/x", "/ipfsx"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(ipns_path_join(span_text(bad[i]), span_text("/a"), &out), ERR_INVALID);
    memset(large + 6, 'x', IPNS_PATH_MAX - 6);
    assert_ok(ipns_path_join(span_of(large, IPNS_PATH_MAX), span_text(""), &out));
    buf_clear(&out);
    assert_err(ipns_path_join(span_of(large, IPNS_PATH_MAX), span_text("/"), &out), ERR_TOO_LARGE);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_read_in_every_form),
        cmocka_unit_test(domains_are_told_from_names),
        cmocka_unit_test(values_take_the_place_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
