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
        cmocka_unit_test(other_blocks_link_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
