/* SPDX-License-Identifier: MIT */
/* DNS messages: RFC 1035's own example of compressed names, what the writer makes, and bytes that mean harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/dns.h"

static struct dns_name name_of(const char *text)
{
    struct dns_name name;
    assert_ok(dns_name_parse_text(text, &name));
    return name;
}

/* A message of `size` zero bytes with a response header of these counts. */
static void header(uint8_t *message, size_t size, uint16_t questions, uint16_t answers)
{
    memset(message, 0, size);
    message[2] = 0x84;
    message[4] = (uint8_t)(questions >> 8);
    message[5] = (uint8_t)questions;
    message[6] = (uint8_t)(answers >> 8);
    message[7] = (uint8_t)answers;
}

static enum err read_all(struct span message, size_t *ret_items)
{
    struct dns_reader reader;
    struct dns_item item;
    *ret_items = 0;
    enum err err = dns_read(message, &reader);
    while (err == ERR_OK && (err = dns_next(&reader, &item)) == ERR_OK) {
        struct dns_name name;
        struct span string;
        struct span data = item.data;
        if (dns_data_name(&reader, &item, 0, &name) == ERR_OK)
            assert_true(name.len > 0);
        while (dns_next_string(&data, &string) == ERR_OK)
            ;
        ++*ret_items;
    }
    return err;
}

static void names_are_labels(void **state)
{
    (void)state;
    struct dns_name service = name_of("_p2p._udp.local");
    assert_span(dns_name_span(&service), "045f703270045f756470056c6f63616c00");
    struct dns_name same = name_of("_P2P._udp.LOCAL");
    struct dns_name other = name_of("_p2q._udp.local");
    assert_true(dns_name_equal(&service, &same));
    assert_false(dns_name_equal(&service, &other));
    struct dns_name below;
    assert_ok(dns_name_below(span_text("a.b"), &service, &below)); /* the dot belongs to the label */
    assert_true(dns_name_is_below(&below, &same));
    assert_false(dns_name_is_below(&service, &same));
    assert_false(dns_name_is_below(&other, &same));
    struct dns_name ends_alike = name_of("x_p2p._udp.local");
    assert_false(dns_name_is_below(&ends_alike, &service));

    char label[65] = {0};
    memset(label, 'a', 64);
    assert_err(dns_name_parse_text(label, &below), ERR_INVALID);
    label[63] = '\0';
    assert_ok(dns_name_parse_text(label, &below));
    assert_err(dns_name_parse_text("a..b", &below), ERR_INVALID);
    struct dns_name longest = name_of("");
    for (int i = 0; i < 127; i++)
        assert_ok(dns_name_below(span_text("x"), &longest, &longest));
    assert_int_equal(longest.len, DNS_NAME_BYTES_MAX);
    assert_err(dns_name_below(span_text("x"), &longest, &longest), ERR_INVALID);
}

/* RFC 1035 section 4.1.4: F.ISI.ARPA at 20, FOO.F.ISI.ARPA at 40, ARPA at 64, the root at 92. */
static void compressed_names_are_followed(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *hex;
        const char *name;
    } rows[] = {{20,
                 "0146034953490441525041"
                 "00",
                 "f.isi.arpa"},
                {40, "03464f4fc014", "foo.f.isi.arpa"},
                {64, "c01a", "arpa"},
                {92, "00", ""}};
    for (size_t i = 1; i < ARRAY_LEN(rows); i++) {
        uint8_t message[128];
        header(message, sizeof(message), 0, 1);
        for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
            struct span bytes = bytes_of_hex(rows[k].hex);
            memcpy(message + rows[k].at, bytes.data, bytes.len);
        }
        /* One record without a name of its own whose data is the row. */
        struct dns_reader reader;
        struct dns_item item = {.section = DNS_ANSWER, .type = DNS_PTR};
        assert_ok(dns_read(span_of(message, sizeof(message)), &reader));
        item.data = span_of(message + rows[i].at, bytes_of_hex(rows[i].hex).len);
        struct dns_name name;
        struct dns_name expected = name_of(rows[i].name);
        assert_ok(dns_data_name(&reader, &item, 0, &name));
        assert_true(dns_name_equal(&name, &expected));
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    struct buf message;
    struct dns_writer writer;
    struct dns_name service = name_of("_p2p._udp.local");
    struct dns_name instance = name_of("abc._p2p._udp.local");
    buf_init(&message, 512, NULL);
    dns_write_begin(&writer, &message, DNS_FLAG_RESPONSE | DNS_FLAG_AUTHORITATIVE);
    dns_write_question(&writer, &service, DNS_PTR, DNS_CLASS_IN);
    dns_write_record(&writer, DNS_ANSWER, &service, DNS_PTR, DNS_CLASS_IN, 120, dns_name_span(&instance));
    dns_write_record(&writer, DNS_ADDITIONAL, &instance, DNS_TXT, 0x8001, 4500, span_text("\003abc\001x"));
    assert_ok(dns_write_end(&writer));
    assert_span(span_first(buf_span(&message), 12), "000084000001000100000001");

    struct dns_reader reader;
    struct dns_item item;
    struct dns_name pointed;
    assert_ok(dns_read(buf_span(&message), &reader));
    assert_ok(dns_next(&reader, &item));
    assert_int_equal(item.section, DNS_QUESTION);
    assert_true(dns_name_equal(&item.name, &service) && item.type == DNS_PTR && item.class == 1 && item.data.len == 0);
    assert_ok(dns_next(&reader, &item));
    assert_int_equal(item.ttl, 120);
    assert_ok(dns_data_name(&reader, &item, 0, &pointed));
    assert_true(dns_name_equal(&pointed, &instance));
    assert_ok(dns_next(&reader, &item));
    assert_true(item.section == DNS_ADDITIONAL && item.type == DNS_TXT && item.class == 0x8001 && item.ttl == 4500);
    struct span string;
    assert_ok(dns_next_string(&item.data, &string));
    assert_true(span_equal_text(string, "abc"));
    assert_ok(dns_next_string(&item.data, &string));
    assert_true(span_equal_text(string, "x"));
    assert_err(dns_next_string(&item.data, &string), ERR_NOT_FOUND);
    assert_err(dns_next(&reader, &item), ERR_NOT_FOUND);

    for (size_t len = 0; len < message.len; len++) { /* each shorter message is an error, never a different one */
        size_t items;
        assert_err(read_all(span_first(buf_span(&message), len), &items), ERR_TRUNCATED);
    }
    buf_release(&message);
}

static void a_message_past_its_bound_is_an_error(void **state)
{
    (void)state;
    struct buf message;
    struct dns_writer writer;
    struct dns_name name = name_of("_p2p._udp.local");
    static uint8_t data[70000];
    buf_init(&message, 100, NULL);
    dns_write_begin(&writer, &message, 0);
    dns_write_record(&writer, DNS_ANSWER, &name, DNS_TXT, 1, 1, span_of(data, 100));
    assert_err(dns_write_end(&writer), ERR_TOO_LARGE);
    buf_release(&message);
    buf_init(&message, 100000, NULL);
    dns_write_begin(&writer, &message, 0);
    dns_write_record(&writer, DNS_ANSWER, &name, DNS_TXT, 1, 1, span_of(data, sizeof(data)));
    assert_err(dns_write_end(&writer), ERR_TOO_LARGE);
    buf_release(&message);
}

static void pointers_that_mean_harm_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = {
        "c00c",     /* to itself */
        "c00e",     /* forward */
        "c0ff",     /* forward, past the end */
        "0161c00c", /* a label, then back to it: for ever */
        "8061",     /* the reserved kinds */
        "4061",     /* of label */
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        uint8_t message[64];
        size_t items;
        header(message, sizeof(message), 1, 0);
        struct span bytes = bytes_of_hex(names[i]);
        memcpy(message + DNS_HEADER_BYTES, bytes.data, bytes.len);
        assert_err(read_all(span_of(message, sizeof(message)), &items), ERR_INVALID);
        assert_int_equal(items, 0);
    }
    /* A chain of pointers, each to the one before: more than DNS_POINTERS_MAX is too many, whatever it ends in. */
    uint8_t chain[DNS_HEADER_BYTES + 2 * 40 + 4];
    header(chain, sizeof(chain), 0, 0);
    for (size_t at = DNS_HEADER_BYTES + 2; at < DNS_HEADER_BYTES + 2 * 40; at += 2) {
        chain[at] = 0xc0;
        chain[at + 1] = (uint8_t)(at - 2);
    }
    struct dns_reader reader;
    struct dns_name name;
    assert_ok(dns_read(span_of(chain, sizeof(chain)), &reader));
    struct dns_item item = {.data = span_of(chain + DNS_HEADER_BYTES + 2 * DNS_POINTERS_MAX, 2)};
    assert_ok(dns_data_name(&reader, &item, 0, &name));
    item.data = span_of(chain + DNS_HEADER_BYTES + 2 * DNS_POINTERS_MAX + 2, 2);
    assert_err(dns_data_name(&reader, &item, 0, &name), ERR_INVALID);
}

static void counts_are_claims(void **state)
{
    (void)state;
    size_t items;
    uint8_t message[DNS_HEADER_BYTES + 5];
    header(message, sizeof(message), 0xffff, 0xffff);
    assert_err(read_all(span_of(message, sizeof(message)), &items), ERR_TRUNCATED);
    assert_int_equal(items, 1);

    /* 64 KiB of the smallest records: the root without data. */
    static uint8_t large[65535];
    header(large, sizeof(large), 0, 0xffff);
    assert_err(read_all(span_of(large, sizeof(large)), &items), ERR_TRUNCATED);
    assert_int_equal(items, (sizeof(large) - DNS_HEADER_BYTES) / 11);

    /* Data that claims more than there is, and a string that claims more than its data. */
    header(message, sizeof(message), 0, 1);
    static uint8_t record[DNS_HEADER_BYTES + 11 + 3];
    header(record, sizeof(record), 0, 1);
    record[DNS_HEADER_BYTES + 10] = 4;
    assert_err(read_all(span_of(record, sizeof(record)), &items), ERR_TRUNCATED);
    struct span data = span_text("\005abc");
    struct span string;
    assert_err(dns_next_string(&data, &string), ERR_TRUNCATED);
}

static void noise_never_reads_outside(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)prng_below(&prng, 200);
        uint8_t *message = malloc(len == 0 ? 1 : len); /* exact, so that a sanitizer sees each byte past it */
        size_t items;
        assert_non_null(message);
        prng_fill(&prng, message, len);
        if (len >= DNS_HEADER_BYTES) {
            memset(message + 4, 0, 8);
            message[5] = 2;
            message[7] = 3;
        }
        (void)read_all(span_of(message, len), &items);
        assert_true(items <= 5);
        free(message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_labels),
        cmocka_unit_test(compressed_names_are_followed),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_message_past_its_bound_is_an_error),
        cmocka_unit_test(pointers_that_mean_harm_are_refused),
        cmocka_unit_test(counts_are_claims),
        cmocka_unit_test(noise_never_reads_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
