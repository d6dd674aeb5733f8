/* SPDX-License-Identifier: MIT */
/* Frames are those that go-libp2p v0.49 makes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/attr.h"
#include "tests/support/bytes.h"
#include "wire/autonat.h"
#include "wire/protobuf.h"
#include "wire/varint.h"

#define OK_FRAME      "1008011a0c08001a080401020304060fa1"
#define FAILED_FRAME  "1308011a0f0864120b6469616c206661696c6564"
#define REFUSED_FRAME "1608011a120865120e746f6f206d616e79206469616c73"

static const char dial_frame[] =
    "500800124c0a4a0a260024080112202ffa35a99d3a3cfbb17bb7c1dc5561b18a8dcca4df38dc613ea859c37eb1"
    "336b12080401020304060fa112162920010db8000000000000000000000001060fa2dd03";

static void the_question_is_that_of_go_libp2p(void **state)
{
    (void)state;
    struct multiaddr addrs[2];
    struct peer_id peer;
    struct buf out;
    buf_init(&out, AUTONAT_FRAME_MAX, NULL);
    assert_ok(peer_id_parse_text(span_text("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), &peer));
    assert_ok(multiaddr_parse_text(span_text("/ip4/1.2.3.4/tcp/4001"), &addrs[0]));
    assert_ok(multiaddr_parse_text(span_text("/ip6/2001:db8::1/tcp/4002/ws"), &addrs[1]));
    assert_ok(autonat_encode_dial(peer_id_span(&peer), addrs, 2, &out));
    assert_span(buf_span(&out), dial_frame);
    buf_release(&out);
}

static void a_question_is_bounded(void **state)
{
    (void)state;
    static struct multiaddr addrs[100];
    struct buf few;
    struct buf many;
    buf_init(&few, AUTONAT_FRAME_MAX, NULL);
    buf_init(&many, AUTONAT_FRAME_MAX, NULL);
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++)
        assert_ok(multiaddr_parse_text(span_text("/ip4/1.2.3.4/tcp/4001"), &addrs[i]));
    assert_ok(autonat_encode_dial(span_text("x"), addrs, AUTONAT_ADDRS_MAX, &few));
    assert_ok(autonat_encode_dial(span_text("x"), addrs, ARRAY_LEN(addrs), &many));
    assert_true(span_equal(buf_span(&few), buf_span(&many)));
    for (size_t i = 0; i < ARRAY_LEN(addrs); i++) {
        memset(addrs[i].bytes, 0x2a, MULTIADDR_BYTES_MAX);
        addrs[i].len = MULTIADDR_BYTES_MAX;
    }
    buf_clear(&many);
    assert_err(autonat_encode_dial(span_text("x"), addrs, ARRAY_LEN(addrs), &many), ERR_TOO_LARGE);
    assert_int_equal(many.len, 0);
    buf_release(&few);
    buf_release(&many);
}

static void answers_of_go_libp2p_are_read(void **state)
{
    (void)state;
    struct autonat_response response;
    char text[MULTIADDR_TEXT_MAX];
    assert_ok(autonat_decode_response(bytes_of_hex(OK_FRAME), &response));
    assert_int_equal(response.status, AUTONAT_OK);
    assert_ok(multiaddr_text(multiaddr_span(&response.addr), text, sizeof(text)));
    assert_string_equal(text, "/ip4/1.2.3.4/tcp/4001");
    assert_ok(autonat_decode_response(bytes_of_hex(FAILED_FRAME), &response));
    assert_int_equal(response.status, AUTONAT_DIAL_ERROR);
    assert_int_equal(response.addr.len, 0);
    assert_ok(autonat_decode_response(bytes_of_hex(REFUSED_FRAME), &response));
    assert_int_equal(response.status, AUTONAT_DIAL_REFUSED);
}

/* Byte by byte, nothing is read before the last one; what follows is not looked at. */
static void a_part_is_no_answer(void **state)
{
    (void)state;
    struct span whole = bytes_of_hex(FAILED_FRAME "ffff");
    struct autonat_response response;
    for (size_t len = 0; len < whole.len - 2; len++)
        assert_err(autonat_decode_response(span_first(whole, len), &response), ERR_TRUNCATED);
    assert_ok(autonat_decode_response(whole, &response));
}

/* One over the bound is refused at its length already, one below it is awaited. */
static void frames_are_bounded(void **state)
{
    (void)state;
    struct autonat_response response;
    assert_err(autonat_decode_response(bytes_of_hex("8120"), &response), ERR_TOO_LARGE);
    assert_err(autonat_decode_response(bytes_of_hex("8020"), &response), ERR_TRUNCATED);
    assert_err(autonat_decode_response(bytes_of_hex("ffffffffffffffff7f"), &response), ERR_TOO_LARGE);
    assert_err(autonat_decode_response(bytes_of_hex("ffffffffffffffffffff01"), &response), ERR_INVALID);
}

static void what_is_no_answer_is_refused(void **state)
{
    (void)state;
    static const char *const frames[] = {
        "00",                         /* nothing */
        dial_frame,                   /* a question */
        "020801",                     /* an answer without a body */
        "0408011a00",                 /* without a status */
        "0c08011a080a06646f6e65206f", /* the status is text */
        "041a020800",                 /* no type: a question by its default */
        "0408001a00",                 /* a question by its type */
        "0608011a020880",             /* cut off inside */
        "0508011a0208",               /* a body longer than its message */
        "0208ff",                     /* a type that does not end */
    };
    struct autonat_response response = {.status = 77};
    for (size_t i = 0; i < ARRAY_LEN(frames); i++)
        assert_err(autonat_decode_response(bytes_of_hex(frames[i]), &response), ERR_INVALID);
    assert_int_equal(response.status, 77);
}

/* An address of a kind that is not known here does not make the answer worthless; the last of two counts, as in protobuf. */
static void a_strange_address_is_left_out(void **state)
{
    (void)state;
    struct autonat_response response;
    assert_ok(autonat_decode_response(bytes_of_hex("0b08011a0708001a03ffff00"), &response));
    assert_int_equal(response.status, AUTONAT_OK);
    assert_int_equal(response.addr.len, 0);
    assert_ok(autonat_decode_response(bytes_of_hex("0808011a0408000865"), &response));
    assert_int_equal(response.status, AUTONAT_DIAL_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_question_is_that_of_go_libp2p),
        cmocka_unit_test(a_question_is_bounded),
        cmocka_unit_test(answers_of_go_libp2p_are_read),
        cmocka_unit_test(a_part_is_no_answer),
        cmocka_unit_test(frames_are_bounded),
        cmocka_unit_test(what_is_no_answer_is_refused),
        cmocka_unit_test(a_strange_address_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
