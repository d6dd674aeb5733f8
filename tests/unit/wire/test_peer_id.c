/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/bytes.h"
#include "wire/peer_id.h"

/* The id that libp2p/specs peer-ids prints, in its text forms; the CID text is the one of the same spec. */
#define RSA_58 "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
#define RSA_32 "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
#define ED_58  "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

static struct peer_id of_text(const char *text)
{
    struct peer_id id;
    assert_ok(peer_id_parse_text(span_text(text), &id));
    return id;
}

static void both_texts_name_one_peer(void **state)
{
    (void)state;
    char text[PEER_ID_TEXT_MAX];
    struct peer_id a = of_text(RSA_58);
    peer_id_text(&a, text);
    assert_string_equal(text, RSA_58);
    struct peer_id base32 = of_text(RSA_32);
    assert_true(peer_id_equal(&a, &base32));
    peer_id_text_cid(&a, text);
    assert_int_equal(text[0], 'k');
    struct peer_id b = of_text(text);
    assert_true(peer_id_equal(&a, &b));
    assert_memory_equal(&a, &b, sizeof(a));
    struct span key;
    assert_err(peer_id_key(&a, &key), ERR_NOT_FOUND);
}

static void small_keys_are_inline(void **state)
{
    (void)state;
    struct peer_id id = of_text(ED_58);
    struct span key;
    assert_ok(peer_id_key(&id, &key));
    assert_int_equal(key.len, 36);
    assert_span(span_first(key, 4), "08011220");
    struct peer_id again = peer_id_of_key(key);
    assert_true(peer_id_equal(&id, &again));
    char text[PEER_ID_TEXT_MAX];
    peer_id_text(&again, text);
    assert_string_equal(text, ED_58);
}

static void the_limit_of_inline_keys_is_42(void **state)
{
    (void)state;
    uint8_t key[43] = {1, 2, 3};
    struct peer_id inside = peer_id_of_key(span_of(key, 42));
    struct peer_id outside = peer_id_of_key(span_of(key, 43));
    assert_int_equal(inside.len, 44);
    assert_int_equal(inside.bytes[0], 0);
    assert_int_equal(outside.len, 34);
    assert_int_equal(outside.bytes[0], 0x12);
    char text[PEER_ID_TEXT_MAX];
    uint8_t big[42];
    memset(big, 0xff, sizeof(big));
    struct peer_id largest = peer_id_of_key(span_of(big, sizeof(big)));
    peer_id_text_cid(&largest, text);
    struct peer_id back = of_text(text);
    assert_true(peer_id_equal(&back, &largest));
}

static void other_values_are_refused(void **state)
{
    (void)state;
    static const char *texts[] = {"",
                                  "1",
                                  "Qm",
                                  "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5S0",
                                  ED_58 "1",
                                  "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
                                  "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5"};
    struct peer_id id;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        assert_err(peer_id_parse_text(span_text(texts[i]), &id), ERR_INVALID);
    assert_err(peer_id_parse(bytes_of_hex(""), &id), ERR_INVALID);
    assert_err(peer_id_parse(bytes_of_hex("0000"), &id), ERR_INVALID);
    assert_err(peer_id_parse(bytes_of_hex("1114a9993e364706816aba3e25717850c26c9cd0d89d"), &id), ERR_INVALID);
    assert_err(peer_id_parse(bytes_of_hex("1210a9993e364706816aba3e25717850c26c"), &id), ERR_INVALID);
    uint8_t inlined[45] = {0, 43};
    assert_err(peer_id_parse(span_of(inlined, sizeof(inlined)), &id), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_texts_name_one_peer),
        cmocka_unit_test(small_keys_are_inline),
        cmocka_unit_test(the_limit_of_inline_keys_is_42),
        cmocka_unit_test(other_values_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
