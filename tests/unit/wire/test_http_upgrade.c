/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/bytes.h"
#include "wire/http_upgrade.h"

/* RFC 6455, 1.3 and 4.2.2. */
#define KEY    "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define ASK_REST                                                                                                       \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n\r\n"
#define GRANT_REST "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n"

static void the_published_key_and_answer(void **state)
{
    (void)state;
    char key[HTTP_UPGRADE_KEY_CHARS];
    char accept[HTTP_UPGRADE_ACCEPT_CHARS];
    http_upgrade_key((const uint8_t *)"the sample nonce", key);
    assert_memory_equal(key, KEY, sizeof(key));
    assert_ok(http_upgrade_accept(key, accept));
    assert_memory_equal(accept, ACCEPT, sizeof(accept));
}

static void each_side_takes_what_the_other_says(void **state)
{
    (void)state;
    char accept[HTTP_UPGRADE_ACCEPT_CHARS];
    struct buf out;
    buf_init(&out, HTTP_UPGRADE_HEAD_MAX, NULL);
    assert_ok(http_upgrade_ask("[::1]:8081", KEY, &out));
    assert_int_equal(http_upgrade_head(buf_span(&out), 0), out.len);
    assert_ok(http_upgrade_read_ask(buf_span(&out), accept));
    assert_memory_equal(accept, ACCEPT, sizeof(accept));
    buf_clear(&out);
    assert_ok(http_upgrade_grant(accept, &out));
    assert_int_equal(http_upgrade_head(buf_span(&out), 0), out.len);
    assert_ok(http_upgrade_read_grant(buf_span(&out), ACCEPT));
    buf_release(&out);
}

static void requests_are_read_as_the_rfc_says(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n" ASK_REST, ERR_OK},
        /* names and words in any case, lists, white space, fields that do not matter */
        {"GET /x?y HTTP/1.1\r\nhost:a\r\nUPGRADE: h2c, WebSocket \r\nconnection:keep-alive,\tUpgrade\r\nOrigin: "
         "http://b\r\n"
         "sec-websocket-key:  " KEY
         "\t\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
         ERR_OK},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ERR_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n", ERR_UNSUPPORTED},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " KEY
         "\r\nSec-WebSocket-Version: 8\r\n\r\n",
         ERR_UNSUPPORTED},
        {"GET / HTTP/1.1\r\n" ASK_REST, ERR_PROTOCOL},
        {"POST / HTTP/1.1\r\nHost: a\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET / HTTP/1.0\r\nHost: a\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET  HTTP/1.1\r\nHost: a\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: " KEY "\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET / HTTP/1.1\r\nHost : a\r\n" ASK_REST, ERR_PROTOCOL},
        {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: c2hvcnQ=\r\n"
         "Sec-WebSocket-Version: 13\r\n\r\n",
         ERR_PROTOCOL},
        {"\r\n\r\n", ERR_PROTOCOL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char accept[HTTP_UPGRADE_ACCEPT_CHARS];
        assert_err(http_upgrade_read_ask(span_text(rows[i].text), accept), rows[i].err);
    }
}

static void responses_must_prove_themselves(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"HTTP/1.1 101 Switching Protocols\r\n" GRANT_REST, ERR_OK},
        {"HTTP/1.1 101\r\nDate: now\r\n" GRANT_REST, ERR_OK},
        {"HTTP/1.1 404 Not Found\r\n\r\n", ERR_UNSUPPORTED},
        {"HTTP/1.1 200 OK\r\n" GRANT_REST, ERR_UNSUPPORTED},
        {"HTTP/1.1 1010 no\r\n" GRANT_REST, ERR_PROTOCOL},
        {"HTTP/1.1 \r\n" GRANT_REST, ERR_PROTOCOL},
        {"HTTP/1.0 101 Switching Protocols\r\n" GRANT_REST, ERR_PROTOCOL},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", ERR_PROTOCOL},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n\r\n",
         ERR_PROTOCOL},
        {"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", ERR_PROTOCOL},
        {"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", ERR_PROTOCOL},
        {"HTTP/1.1 101 x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n" GRANT_REST, ERR_PROTOCOL},
        {"HTTP/1.1 101 x\r\nSec-WebSocket-Protocol: chat\r\n" GRANT_REST, ERR_PROTOCOL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_err(http_upgrade_read_grant(span_text(rows[i].text), ACCEPT), rows[i].err);
}

static void too_many_fields_are_refused(void **state)
{
    (void)state;
    struct buf out;
    char accept[HTTP_UPGRADE_ACCEPT_CHARS];
    buf_init(&out, HTTP_UPGRADE_HEAD_MAX, NULL);
    assert_ok(buf_append_text(&out, "GET / HTTP/1.1\r\nHost: a\r\n"));
    for (int i = 0; i < HTTP_UPGRADE_FIELDS_MAX; i++)
        assert_ok(buf_append_text(&out, "a:b\r\n"));
    assert_ok(buf_append_text(&out, ASK_REST));
    assert_err(http_upgrade_read_ask(buf_span(&out), accept), ERR_PROTOCOL);
    buf_release(&out);
}

static void the_end_of_a_head_is_found_across_pieces(void **state)
{
    (void)state;
    struct span in = span_text("GET / HTTP/1.1\r\n\r\nbehind");
    for (size_t cut = 0; cut < in.len; cut++) {
        size_t first = http_upgrade_head(span_first(in, cut), 0);
        assert_int_equal(first, cut >= 18 ? 18 : 0);
        if (first == 0)
            assert_int_equal(http_upgrade_head(in, cut), 18);
    }
}

static void another_protocol_is_known_by_its_first_byte(void **state)
{
    (void)state;
    assert_true(http_upgrade_may_be_request(span_text("G")));
    assert_true(http_upgrade_may_be_request(span_text("GET /")));
    assert_false(http_upgrade_may_be_request(span_text("\x13")));
    assert_false(http_upgrade_may_be_request(span_text("GEX")));
    assert_true(http_upgrade_may_be_response(span_text("HTTP/1.1 1")));
    assert_false(http_upgrade_may_be_response(span_text("HTTP/2")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_key_and_answer),
        cmocka_unit_test(each_side_takes_what_the_other_says),
        cmocka_unit_test(requests_are_read_as_the_rfc_says),
        cmocka_unit_test(responses_must_prove_themselves),
        cmocka_unit_test(too_many_fields_are_refused),
        cmocka_unit_test(the_end_of_a_head_is_found_across_pieces),
        cmocka_unit_test(another_protocol_is_known_by_its_first_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
