/* SPDX-License-Identifier: MIT */
/* The records of libp2p: what others send is understood, what is sent is what they look for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/mdns_message.h"

#define PEER_1 "12D3KooWC29Yo8tMd9DTJLYtEJAt2BCef4FHfzfviixApuQxekna"
#define PEER_2 "12D3KooWPbZpXYPm9Y1dWXZqakccg4NUTA221BxhYA7nCz3QtvH9"

static struct mdns_names names;

static int setup(void **state)
{
    (void)state;
    uint8_t random[64];
    for (size_t i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)(i * 37 + 5);
    mdns_names_init(&names, random);
    return 0;
}

static struct dns_name below(const char *label, const char *parent)
{
    struct dns_name up;
    struct dns_name name;
    assert_ok(dns_name_parse_text(parent, &up));
    assert_ok(dns_name_below(span_text(label), &up, &name));
    return name;
}

static void append_string(struct buf *to, const char *text)
{
    assert_ok(buf_append_byte(to, (uint8_t)strlen(text)));
    assert_ok(buf_append_text(to, text));
}

static void names_are_random_labels(void **state)
{
    (void)state;
    uint8_t random[64] = {0};
    for (unsigned first = 0; first < 256; first++) {
        struct mdns_names some;
        random[0] = (uint8_t)first;
        mdns_names_init(&some, random);
        assert_true(some.instance.bytes[0] >= MDNS_NAME_BYTES_MIN && some.instance.bytes[0] <= MDNS_NAME_BYTES_MAX);
        assert_true(dns_name_is_below(&some.instance, &some.service));
    }
    for (size_t i = 1; i <= names.instance.bytes[0]; i++)
        assert_non_null(strchr("abcdefghijklmnopqrstuvwxyz0123456789", names.instance.bytes[i]));
}

static void the_question_is_the_one_of_the_spec(void **state)
{
    (void)state;
    struct buf query;
    struct mdns_asked asked;
    bool answer;
    buf_init(&query, MDNS_MESSAGE_BYTES_MAX, NULL);
    assert_ok(mdns_write_query(&names, &query));
    assert_span(buf_span(&query), "000000000001000000000000"
                                  "045f703270045f756470056c6f63616c00"
                                  "000c0001");
    assert_ok(mdns_is_answer(buf_span(&query), &answer));
    assert_false(answer);
    assert_ok(mdns_read_query(&names, buf_span(&query), &asked));
    assert_true(asked.peers && !asked.records && !asked.services);
    buf_release(&query);
}

static struct mdns_asked asked_by(const struct dns_name *name, uint16_t type, uint16_t class, uint32_t known_ttl)
{
    struct buf query;
    struct dns_writer writer;
    struct mdns_asked asked;
    buf_init(&query, MDNS_MESSAGE_BYTES_MAX, NULL);
    dns_write_begin(&writer, &query, 0);
    dns_write_question(&writer, name, type, class);
    if (known_ttl > 0)
        dns_write_record(&writer, DNS_ANSWER, &names.service, DNS_PTR, DNS_CLASS_IN, known_ttl,
                         dns_name_span(&names.instance));
    assert_ok(dns_write_end(&writer));
    assert_ok(mdns_read_query(&names, buf_span(&query), &asked));
    buf_release(&query);
    return asked;
}

static void questions_ask_for_what_they_name(void **state)
{
    (void)state;
    struct dns_name upper;
    struct dns_name other = below("abc", "_http._tcp.local");
    assert_ok(dns_name_parse_text("_P2P._UDP.local", &upper));
    assert_true(asked_by(&upper, DNS_PTR, DNS_CLASS_IN, 0).peers);
    assert_true(asked_by(&names.service, DNS_ANY, DNS_CLASS_IN | DNS_CLASS_TOP, 0).peers); /* unicast wished for */
    assert_false(asked_by(&names.service, DNS_TXT, DNS_CLASS_IN, 0).peers);
    assert_false(asked_by(&names.service, DNS_PTR, 3, 0).peers); /* CHAOS */
    assert_true(asked_by(&names.services, DNS_PTR, DNS_CLASS_IN, 0).services);
    assert_true(asked_by(&names.instance, DNS_TXT, DNS_CLASS_IN, 0).records);
    assert_true(asked_by(&names.host, DNS_A, DNS_CLASS_IN, 0).records);
    struct mdns_asked none = asked_by(&other, DNS_ANY, DNS_CLASS_IN, 0);
    assert_false(none.peers || none.records || none.services);
    /* RFC 6762 section 7.1: known with half of its life left is known. */
    assert_false(asked_by(&names.service, DNS_PTR, DNS_CLASS_IN, MDNS_TTL_SECONDS / 2).peers);
    assert_true(asked_by(&names.service, DNS_PTR, DNS_CLASS_IN, MDNS_TTL_SECONDS / 2 - 1).peers);
}

static struct multiaddr addr_of(const char *text)
{
    struct multiaddr addr;
    assert_ok(multiaddr_parse_text(span_text(text), &addr));
    return addr;
}

/* Writes the answer of PEER_1 with these addresses. */
static enum err answer_with(const char *const *texts, size_t count, bool records, struct buf *to)
{
    static struct multiaddr addrs[64];
    struct span spans[64];
    struct peer_id self;
    assert_ok(peer_id_parse_text(span_text(PEER_1), &self));
    for (size_t i = 0; i < count; i++) {
        addrs[i] = addr_of(texts[i]);
        spans[i] = multiaddr_span(&addrs[i]);
    }
    struct mdns_asked asked = {.peers = true, .records = records};
    buf_init(to, MDNS_MESSAGE_BYTES_MAX, NULL);
    return mdns_write_answer(&names, &asked, &self, spans, count, to);
}

/* What go-libp2p and js-libp2p look for. */
static void the_answer_has_what_others_look_for(void **state)
{
    (void)state;
    static const char *const texts[] = {"/ip4/192.168.1.7/tcp/4001", "/ip6/fd00::7/tcp/4002",
                                        "/ip4/192.168.1.7/tcp/4003/ws"};
    static const struct {
        enum dns_section section;
        enum dns_type type;
    } order[] = {{DNS_ANSWER, DNS_PTR},
                 {DNS_ADDITIONAL, DNS_SRV},
                 {DNS_ADDITIONAL, DNS_TXT},
                 {DNS_ADDITIONAL, DNS_A},
                 {DNS_ADDITIONAL, DNS_AAAA}};
    struct buf message;
    struct dns_reader reader;
    struct dns_item item;
    struct dns_name name;
    assert_ok(answer_with(texts, 3, false, &message));
    assert_ok(dns_read(buf_span(&message), &reader));
    assert_int_equal(reader.flags, 0x8400);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        assert_ok(dns_next(&reader, &item));
        assert_int_equal(item.section, order[i].section);
        assert_int_equal(item.type, order[i].type);
        assert_int_equal(item.ttl, 120);
        if (item.type == DNS_PTR) {
            assert_int_equal(item.class, 1); /* shared: others' pointers stay */
            assert_ok(dns_data_name(&reader, &item, 0, &name));
            assert_true(dns_name_equal(&item.name, &names.service) && dns_name_equal(&name, &names.instance));
        } else if (item.type == DNS_SRV) {
            assert_true(item.class == 0x8001 && dns_name_equal(&item.name, &names.instance));
            assert_span(span_first(item.data, 6), "000000000fa1");
            assert_ok(dns_data_name(&reader, &item, 6, &name));
            assert_true(dns_name_equal(&name, &names.host));
        } else if (item.type == DNS_TXT) {
            struct span string;
            assert_true(dns_name_equal(&item.name, &names.instance));
            for (size_t k = 0; k < 3; k++) {
                char expected[256];
                (void)snprintf(expected, sizeof(expected), "dnsaddr=%s/p2p/" PEER_1, texts[k]);
                assert_ok(dns_next_string(&item.data, &string));
                assert_true(span_equal_text(string, expected));
            }
            assert_err(dns_next_string(&item.data, &string), ERR_NOT_FOUND);
        } else {
            assert_true(dns_name_equal(&item.name, &names.host));
            assert_span(item.data, item.type == DNS_A ? "c0a80107" : "fd000000000000000000000000000007");
        }
    }
    assert_err(dns_next(&reader, &item), ERR_NOT_FOUND);
    buf_release(&message);

    assert_ok(answer_with(texts, 3, true, &message)); /* who asks for the records by name gets them as answers */
    assert_span(span_of(message.data + 4, 8), "0000000500000000");
    buf_release(&message);
}

static void an_answer_fits_a_packet(void **state)
{
    (void)state;
    char texts[60][64];
    const char *pointers[60];
    for (unsigned i = 0; i < 60; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "/ip6/fd00:1111:2222:3333:4444:5555:6666:%x/tcp/40001", i + 0x1000);
        pointers[i] = texts[i];
    }
    struct buf message;
    assert_ok(answer_with(pointers, 60, false, &message));
    assert_true(message.len <= MDNS_MESSAGE_BYTES_MAX && message.len > 700);
    buf_release(&message);
    assert_err(answer_with(NULL, 0, false, &message), ERR_NOT_FOUND);
    buf_release(&message);
}

/* As js-libp2p sends it: several TXT, all in the answer section, no SRV; and in one packet what must be passed over. */
static void addresses_are_read_from_either_section(void **state)
{
    (void)state;
    struct dns_name instance = below("theirs", "_p2p._udp.local");
    struct dns_name foreign = below("theirs", "_http._tcp.local");
    struct buf message;
    struct buf texts;
    struct dns_writer writer;
    buf_init(&message, 9000, NULL);
    buf_init(&texts, 1000, NULL);
    append_string(&texts, "txtvers=1");
    append_string(&texts, "dnsaddr=/ip4/10.0.0.9/tcp/4001");
    append_string(&texts, "dnsaddr=nonsense/p2p/" PEER_2);
    append_string(&texts, "dnsaddr=/ip4/10.0.0.9/tcp/4001/p2p/" PEER_2);
    struct span data = buf_span(&texts);
    dns_write_begin(&writer, &message, DNS_FLAG_RESPONSE);
    dns_write_record(&writer, DNS_ANSWER, &names.service, DNS_PTR, 1, 120, dns_name_span(&instance));
    dns_write_record(&writer, DNS_ANSWER, &instance, DNS_TXT, 1, 120, data);
    dns_write_record(&writer, DNS_ANSWER, &instance, DNS_TXT, 1, 0, data);         /* goodbye */
    dns_write_record(&writer, DNS_ANSWER, &names.instance, DNS_TXT, 1, 120, data); /* our own name */
    dns_write_record(&writer, DNS_ANSWER, &foreign, DNS_TXT, 1, 120, data);
    dns_write_record(&writer, DNS_AUTHORITY, &instance, DNS_TXT, 1, 120, data);
    dns_write_record(&writer, DNS_ADDITIONAL, &instance, DNS_TXT, 0x8001, 120, data);
    assert_ok(dns_write_end(&writer));

    struct mdns_answer answer;
    struct multiaddr addr;
    struct peer_id peer;
    bool is_answer;
    assert_ok(mdns_is_answer(buf_span(&message), &is_answer));
    assert_true(is_answer);
    assert_ok(mdns_answer_init(&answer, buf_span(&message)));
    for (int i = 0; i < 2; i++) {
        char text[PEER_ID_TEXT_MAX];
        assert_ok(mdns_answer_next(&answer, &names, &addr, &peer));
        peer_id_text(&peer, text);
        assert_string_equal(text, PEER_2);
    }
    assert_err(mdns_answer_next(&answer, &names, &addr, &peer), ERR_NOT_FOUND);
    buf_release(&texts);
    buf_release(&message);
}

static void other_kinds_of_messages_are_refused(void **state)
{
    (void)state;
    bool answer;
    assert_err(mdns_is_answer(span_text("short"), &answer), ERR_TRUNCATED);
    assert_err(mdns_is_answer(bytes_of_hex("000028000000000000000000"), &answer), ERR_INVALID); /* an update */
    assert_err(mdns_is_answer(bytes_of_hex("000084030000000000000000"), &answer), ERR_INVALID); /* no such name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_random_labels),
        cmocka_unit_test(the_question_is_the_one_of_the_spec),
        cmocka_unit_test(questions_ask_for_what_they_name),
        cmocka_unit_test(the_answer_has_what_others_look_for),
        cmocka_unit_test(an_answer_fits_a_packet),
        cmocka_unit_test(addresses_are_read_from_either_section),
        cmocka_unit_test(other_kinds_of_messages_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
