/* SPDX-License-Identifier: MIT */
/* Links of blocks of each codec come in the block's order; a block that is not what its codec says has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/attr.h"
#include "tests/support/bytes.h"
#include "wire/dag_links.h"

struct seen {
    char text[4096];
    unsigned count;
    unsigned stop_at; /* 0: never */
};

static enum err note(void *arg, const struct cid *cid, struct span name)
{
    struct seen *seen = arg;
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    size_t used = strlen(seen->text);
    (void)snprintf(seen->text + used, sizeof(seen->text) - used, "%s%.*s=%s", seen->count > 0 ? " " : "", (int)name.len,
                   (const char *)name.data, text);
    seen->count++;
    return seen->count == seen->stop_at ? ERR_CANCELLED : ERR_OK;
}

static void assert_links(uint32_t codec, struct span block, const char *expected)
{
    struct seen seen = {0};
    assert_ok(dag_links_each(codec, block, note, &seen));
    assert_string_equal(seen.text, expected);
}

static void dag_pb_links(void **state)
{
    (void)state;
    struct span cid = bytes_of_hex("1220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65");
    uint8_t block[256];
    size_t len = 0;
    static const char *const names[] = {"b", "a", "b"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct span name = span_text(names[i]);
        block[len++] = 0x12;
        block[len++] = (uint8_t)(2 + cid.len + 2 + name.len);
        block[len++] = 0x0a;
        block[len++] = (uint8_t)cid.len;
        memcpy(block + len, cid.data, cid.len);
        len += cid.len;
        block[len++] = 0x12;
        block[len++] = (uint8_t)name.len;
        memcpy(block + len, name.data, name.len);
        len += name.len;
    }
    assert_links(CODEC_DAG_PB, span_of(block, len),
                 "b=QmcJw6x4bQr7oFnVnF6i8SLcJvhXjaxWvj54FYXmZ4Ct6p "
                 "a=QmcJw6x4bQr7oFnVnF6i8SLcJvhXjaxWvj54FYXmZ4Ct6p b=QmcJw6x4bQr7oFnVnF6i8SLcJvhXjaxWvj54FYXmZ4Ct6p");
    struct seen seen = {.stop_at = 2};
    assert_err(dag_links_each(CODEC_DAG_PB, span_of(block, len), note, &seen), ERR_CANCELLED);
    assert_int_equal(seen.count, 2);
    seen = (struct seen){0};
    assert_err(dag_links_each(CODEC_DAG_PB, span_of(block, len - 1), note, &seen), ERR_TRUNCATED);
    assert_int_equal(seen.count, 0);
}

/* In dag-cbor and dag-json links stand anywhere: in lists, in maps, several times, beside strings that look like them. */
static void links_of_the_data_model(void **state)
{
    (void)state;
    static const char json[] =
        "{\"a\":[{\"/\":\"bafkqaaa\"},\"{\\\"/\\\":\\\"bafkqabc\\\"}\",[{\"/\": \"bafkqabiaaebagba\" }]],"
        "\"b\":{\"/\":{\"bytes\":\"oQ\"}},\"c\":{\"\\u002f\":\"\\u0062afkqaaa\"},\"d\":{\"/\":[1]}}";
    assert_links(CODEC_DAG_JSON, span_text(json), "=bafkqaaa =bafkqabiaaebagba =bafkqaaa");
    /* {"a": [link, h'd82a', "d82a", [link]], "b": -1} */
    assert_links(CODEC_DAG_CBOR,
                 bytes_of_hex("a2616184d82a45000155000042d82a6464383261"
                              "81d82a49000155000400010203616220"
                              ""),
                 "=bafkqaaa =bafkqabaaaebag");
    struct seen seen = {0};
    assert_err(dag_links_each(CODEC_DAG_CBOR, bytes_of_hex("82d82a450001550000"), note, &seen), ERR_TRUNCATED);
    assert_err(dag_links_each(CODEC_DAG_JSON, span_text("[{\"/\":\"bafkqaaa\"}"), note, &seen), ERR_TRUNCATED);
    assert_int_equal(seen.count, 0);
    /* not canonical: a map out of order, a single float */
    assert_links(CODEC_DAG_CBOR, bytes_of_hex("a26162d82a4500015500006161fa3f800000"), "=bafkqaaa");
}

static void other_blocks_link_to_nothing(void **state)
{
    (void)state;
    assert_links(CODEC_RAW, span_text("\x12\x00"), "");
    assert_links(CODEC_LIBP2P_KEY, span_text("\x12\x00"), "");
    assert_true(dag_links_known(CODEC_RAW));
    assert_true(dag_links_known(CODEC_DAG_PB));
    assert_false(dag_links_known(CODEC_LIBP2P_KEY));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dag_pb_links),
        cmocka_unit_test(links_of_the_data_model),
        cmocka_unit_test(other_blocks_link_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
