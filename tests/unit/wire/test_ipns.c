/* SPDX-License-Identifier: MIT */
/* RELIABILITY row D18: records of 10 KiB + 1, negative TTLs and sequences that go back are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rfc3339.h"
#include "tests/support/bytes.h"
#include "wire/dag_cbor.h"
#include "wire/ipns.h"
#include "wire/protobuf.h"
#include "wire/signing_key.h"

/* Test vectors of the specification: records that are valid until 2123, and what becomes of them. */
static const struct {
    const char *name;
    enum err decode;
    enum err verify;
    const char *value;
    const char *record;
} published[] = {
    {"k51qzi5uqu5dm4tm0wt8srkg9h9suud4wuiwjimndrkydqm81cqtlb5ak6p7ku", ERR_INVALID, ERR_OK, NULL, /* V1 only */
     "0a242f697066732f6261666b7161647477676577773633746d70657168657a6c646e357a67691240479d7b28e45d004ab234a9047c81e1"
     "660f540d3cfd71e2174a2d33daa12ed8ac262c8c7c6ba089f3a4751fd3b06b7be7cb3a5418147ab4ee976aae06cceb58071800221b3231"
     "32332d30382d31345431323a31373a30332e3639343035325a28003080a0f1c2b134"},
    {"k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w", ERR_OK, ERR_OK,
     "/ipfs/bafkqaddwgevxmmraojswg33smq", /* V1 and V2 */
     "0a212f697066732f6261666b7161646477676576786d6d72616f6a7377673333736d711240a541216e40968b8cc13903938db6732e55ef"
     "6802cee665d645de06c454aaefcf0654750bc84e9b41250b35e4d41da539c5a5427fc30e08dc94a4bdca8003f80e1800221b323132332d"
     "30382d31345431323a31373a30332e3639343035325a28003080a0f1c2b13442404a51b86443894bebd3214602ec2c36270e4cd0508a66"
     "6dfa355660c4fa8ba290ae7de44d76ab52c4739f397e7141974e6a41a039801260cfd3c05b006a4a250d4a75a56354544c1b000001a318"
     "5c50006556616c756558212f697066732f6261666b7161646477676576786d6d72616f6a7377673333736d716853657175656e63650068"
     "56616c6964697479581b323132332d30382d31345431323a31373a30332e3639343035325a6c56616c69646974795479706500"},
    {"k51qzi5uqu5dlmit2tuwdvnx4sbnyqgmvbxftl0eo3f33wwtb9gr7yozae9kpw", ERR_MISMATCH, ERR_OK,
     NULL, /* another value beside data */
     "0a362f697066732f6261666b7161676c756d767a7869326c6f6d34716765796c65656275786133747465627a676b7933706f6a73686763"
     "7112404e6d6b3def154edc4dff610c0380a64332583738c359d27eb0b8a884e993db089da6076f310f899524701da859a34de4abf29576"
     "159b1242daf714432179660e1800221b323132332d30382d31345431323a31373a30332e3639343035325a28003080a0f1c2b13442404a"
     "9ecbb57f6640eeff81497cb1ad50d89f47e7e516025663bef604602f86b6e9bf3c2af8d43a4aba65ac1a1b26d60dc2f85163055e47f206"
     "d656067b7d1bb7044a9201a56354544c1b000001a3185c50006556616c7565583e2f697066732f6261666b7161687477676576786d6d72"
     "616f6a7377673333736d7171686f326c756e617167653474706e6e7377346964776d6677686b7a696853657175656e6365006856616c69"
     "64697479581b323132332d30382d31345431323a31373a30332e3639343035325a6c56616c69646974795479706500"},
    {"k51qzi5uqu5diamp7qnnvs1p1gzmku3eijkeijs3418j23j077zrkok63xdm8c", ERR_OK, ERR_AUTH,
     NULL, /* only signatureV1 is good */
     "0a3e2f697066732f6261666b7161687477676576786d6d72616f357578693262616d6a7a67363233666e79716867326c686e7a71786935"
     "6c736d7571686d6d7112408de2f89edb7429df57e417cc6fef99edb119f8bf23ed63896a3f90422a33385b98800ab3a82f70da704adaf6"
     "ea1e701f1fe34ff50fc895ea3a6475e21c419e011800221b323132332d30382d31345431323a31373a30332e3639343035325a28003080"
     "a0f1c2b134420d696e76616c69642073747566664a9201a56354544c1b000001a3185c50006556616c7565583e2f697066732f6261666b"
     "7161687477676576786d6d72616f357578693262616d6a7a67363233666e79716867326c686e7a717869356c736d7571686d6d71685365"
     "7175656e6365006856616c6964697479581b323132332d30382d31345431323a31373a30332e3639343035325a6c56616c696469747954"
     "79706500"},
    {"k51qzi5uqu5dilgf7gorsh9vcqqq4myo6jd4zmqkuy9pxyxi5fua3uf7axph4y", ERR_OK, ERR_OK,
     "/ipfs/bafkqahtwgevxmmrao5uxi2bamjzg623fnyqhg2lhnzqxi5lsmuqhmmi", /* only signatureV2 is good */
     "0a3e2f697066732f6261666b7161687477676576786d6d72616f357578693262616d6a7a67363233666e79716867326c686e7a71786935"
     "6c736d7571686d6d69120d696e76616c69642073747566661800221b323132332d30382d31345431323a31373a30332e3639343035325a"
     "28003080a0f1c2b134424032c58e6aae6e968e70d89f31a1a0b14e18e1323d9ed61ac89b5d944761780e77b48b6b09ab3eb1b4f614606b"
     "55537b58a5ac67432832d564998d847d071cb5074a9201a56354544c1b000001a3185c50006556616c7565583e2f697066732f6261666b"
     "7161687477676576786d6d72616f357578693262616d6a7a67363233666e79716867326c686e7a717869356c736d7571686d6d69685365"
     "7175656e6365006856616c6964697479581b323132332d30382d31345431323a31373a30332e3639343035325a6c56616c696469747954"
     "79706500"},
    {"k51qzi5uqu5dit2ku9mutlfgwyz8u730on38kd10m97m36bjt66my99hb6103f", ERR_OK, ERR_OK,
     "/ipfs/bafkqadtwgiww63tmpeqhezldn5zgi", /* V2 only */
     "42406a7698585e2b170709d4947e148b18b120d76db43515edacf290df96b71e29c0ca5a16510256814f8255532ec4549ade26f4ca8335"
     "f4c41e2cfffeb1ba0aa5014a78a56354544c1b000001a3185c50006556616c756558242f697066732f6261666b71616474776769777736"
     "33746d70657168657a6c646e357a67696853657175656e6365006856616c6964697479581b323132332d30382d31345431323a31373a30"
     "332e3639343035325a6c56616c69646974795479706500"},
};

static const uint64_t now = UINT64_C(1790000000000000000);

static struct peer_id name_of(const char *text)
{
    struct peer_id name;
    assert_ok(peer_id_parse_text(span_text(text), &name));
    return name;
}

static void published_records_are_judged_as_published(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(published); i++) {
        struct peer_id name = name_of(published[i].name);
        struct ipns_record record;
        assert_err(ipns_record_decode(bytes_of_hex(published[i].record), &record), published[i].decode);
        if (published[i].decode != ERR_OK)
            continue;
        assert_err(ipns_record_verify(&record, &name, now), published[i].verify);
        if (published[i].value == NULL)
            continue;
        assert_true(span_equal_text(record.value, published[i].value));
        assert_true(span_equal_text(record.validity, "2123-08-14T12:17:03.694052Z"));
        assert_int_equal(record.sequence, 0);
        assert_int_equal(record.ttl_ns, UINT64_C(1800000000000));
        assert_err(ipns_record_verify(&record, &name, record.eol_ns), ERR_OK);
        assert_err(ipns_record_verify(&record, &name, record.eol_ns + 1), ERR_TIMEOUT);
        struct peer_id other = name_of(published[0].name);
        assert_err(ipns_record_verify(&record, &other, now), ERR_AUTH);
    }
}

/* Records made by Kubo: one with a name that hashes an RSA key, so that the record brings it. */
static void files_of_records_are_valid(void **state)
{
    (void)state;
    static const char *const names[] = {"12D3KooWLQzUv2FHWGVPXTXSZpdHs7oHbXub2G5WC8Tx4NQhyd2d",
                                        "QmVujd5Vb7moysJj8itnGufN7MEtPRCNHkKpNuA4onsRa3"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char path[256];
        size_t len = 0;
        struct ipns_record record;
        struct peer_id name = name_of(names[i]);
        (void)snprintf(path, sizeof(path), "gateway-conformance/fixtures/subdomain_gateway/%s.ipns-record", names[i]);
        char *bytes = vectors_read(path, &len);
        if (bytes == NULL)
            skip();
        assert_ok(ipns_record_decode(span_of(bytes, len), &record));
        assert_ok(ipns_record_verify(&record, &name, now));
        assert_int_equal(record.public_key.len > 0, i == 1);
        if (i == 1) { /* without its key, and with another one's */
            record.public_key.len = 0;
            assert_err(ipns_record_verify(&record, &name, now), ERR_NOT_FOUND);
            record.public_key =
                bytes_of_hex("080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e");
            assert_err(ipns_record_verify(&record, &name, now), ERR_MISMATCH);
        }
        free(bytes);
    }
}

struct sealed {
    struct signing_key *key;
    struct peer_id name;
    struct buf bytes;
};

static struct sealed seal(enum key_type type, const struct ipns_claim *claim)
{
    struct sealed s = {0};
    assert_ok(signing_key_generate(type, 0, &s.key));
    s.name = signing_key_peer_id(s.key);
    buf_init(&s.bytes, IPNS_RECORD_BYTES_MAX, NULL);
    assert_ok(ipns_record_seal(s.key, claim, &s.bytes));
    return s;
}

static void unseal(struct sealed *s)
{
    signing_key_free(s->key);
    buf_release(&s->bytes);
}

static void made_records_are_valid(void **state)
{
    (void)state;
    static const enum key_type types[] = {KEY_ED25519, KEY_RSA, KEY_SECP256K1, KEY_ECDSA};
    for (size_t i = 0; i < 2 * ARRAY_LEN(types); i++) {
        struct ipns_claim claim = {
            .value = span_text("/ipfs/bafkqaddwgevxmmraojswg33smq"), .eol_ns = now + 7, .sequence = 5, .ttl_ns = 9};
        claim.v2_only = i % 2 == 1;
        struct sealed s = seal(types[i / 2], &claim);
        struct ipns_record record;
        uint8_t key[IPNS_KEY_BYTES_MAX];
        size_t key_len = ipns_key_of_name(&s.name, key);
        assert_ok(ipns_record_decode(buf_span(&s.bytes), &record));
        assert_ok(ipns_record_verify(&record, &s.name, now));
        assert_true(span_equal(record.value, claim.value));
        assert_int_equal(record.sequence, 5);
        assert_int_equal(record.ttl_ns, 9);
        assert_true(record.eol_ns == now + 7);
        assert_int_equal(record.signature_v1.len == 0, claim.v2_only);
        assert_ok(ipns_validate(span_of(key, key_len), buf_span(&s.bytes), now));
        assert_err(ipns_validate(span_of(key, key_len), buf_span(&s.bytes), now + 8), ERR_TIMEOUT);
        assert_err(ipns_validate(span_of("/pk/", 4), buf_span(&s.bytes), now), ERR_UNSUPPORTED);
        unseal(&s);
    }
}

/* The same claim gives the published record's data, byte for byte, and its fields in the same order. */
static void made_records_look_like_published_ones(void **state)
{
    (void)state;
    struct ipns_record record;
    struct ipns_record made;
    struct span whole = bytes_of_hex(published[1].record);
    assert_ok(ipns_record_decode(whole, &record));
    struct ipns_claim claim = {.value = record.value, .eol_ns = record.eol_ns, .ttl_ns = record.ttl_ns};
    struct sealed s = seal(KEY_ED25519, &claim);
    assert_ok(ipns_record_decode(buf_span(&s.bytes), &made));
    assert_true(span_equal(made.data, record.data));
    uint8_t expected[1024];
    memcpy(expected, whole.data, whole.len);
    memcpy(expected + (record.signature_v1.data - whole.data), made.signature_v1.data, 64);
    memcpy(expected + (record.signature_v2.data - whole.data), made.signature_v2.data, 64);
    assert_true(span_equal(buf_span(&s.bytes), span_of(expected, whole.len)));
    unseal(&s);
}

static void claims_out_of_range_are_refused(void **state)
{
    (void)state;
    struct ipns_claim good = {.value = span_text("/ipfs/x"), .eol_ns = now};
    struct sealed s = seal(KEY_ED25519, &good);
    struct ipns_claim bad[4] = {good, good, good, good};
    char large[IPNS_VALUE_BYTES_MAX + 1] = "";
    bad[0].value.len = 0;
    bad[1].value = span_of(large, sizeof(large));
    bad[2].sequence = (uint64_t)INT64_MAX + 1;
    bad[3].ttl_ns = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_err(ipns_record_seal(s.key, &bad[i], &s.bytes), ERR_INVALID);
    good.value = span_of(large, IPNS_VALUE_BYTES_MAX);
    buf_clear(&s.bytes);
    assert_ok(ipns_record_seal(s.key, &good, &s.bytes));
    unseal(&s);
}

/* ---- records by hand ---- */

static struct span record_of_data(struct buf *out, const char *data_hex)
{
    buf_clear(out);
    assert_ok(protobuf_put_bytes(out, 8, span_text("signature")));
    assert_ok(protobuf_put_bytes(out, 9, bytes_of_hex(data_hex)));
    return buf_span(out);
}

#define TTL_0      "6354544c00"
#define VALUE_X    "6556616c75654178"
#define SEQUENCE_0 "6853657175656e636500"
#define VALIDITY   "6856616c696469747954323032362d30312d30315430303a30303a30305a"
#define TYPE_0     "6c56616c69646974795479706500"

static void data_out_of_form_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        enum err err;
    } rows[] = {
        {"a5" TTL_0 VALUE_X SEQUENCE_0 VALIDITY TYPE_0, ERR_OK},
        {"a6" TTL_0 "645f657874820102" VALUE_X SEQUENCE_0 VALIDITY TYPE_0, ERR_OK},
        {"a6" TTL_0 "645f657874a163"
         "54544c20" VALUE_X SEQUENCE_0 VALIDITY TYPE_0,
         ERR_OK}, /* TTL of an extension */
        {"a5"
         "6354544c20" VALUE_X SEQUENCE_0 VALIDITY TYPE_0,
         ERR_INVALID}, /* TTL -1 */
        {"a5"
         "6354544c1b8000000000000000" VALUE_X SEQUENCE_0 VALIDITY TYPE_0,
         ERR_INVALID},
        {"a5" TTL_0 VALUE_X "6853657175656e636520" VALIDITY TYPE_0, ERR_INVALID}, /* sequence -1 */
        {"a5" TTL_0 VALUE_X "6853657175656e6365f6" VALIDITY TYPE_0, ERR_INVALID},
        {"a5" TTL_0 "6556616c75656178" SEQUENCE_0 VALIDITY TYPE_0, ERR_INVALID}, /* the value as text */
        {"a5" TTL_0 VALUE_X SEQUENCE_0 VALIDITY "6c56616c69646974795479706501", ERR_UNSUPPORTED},
        {"a4" VALUE_X SEQUENCE_0 VALIDITY TYPE_0, ERR_INVALID},
        {"a4" TTL_0 VALUE_X SEQUENCE_0 TYPE_0, ERR_INVALID},
        {"a5" VALUE_X TTL_0 SEQUENCE_0 VALIDITY TYPE_0, ERR_INVALID},       /* out of order */
        {"a6" TTL_0 TTL_0 VALUE_X SEQUENCE_0 VALIDITY TYPE_0, ERR_INVALID}, /* twice */
        {"a5"
         "6354544c1800" VALUE_X SEQUENCE_0 VALIDITY TYPE_0,
         ERR_INVALID},
        {"a5" TTL_0 VALUE_X SEQUENCE_0 VALIDITY TYPE_0 "00", ERR_INVALID},
        {"a5" TTL_0 VALUE_X SEQUENCE_0 "6856616c69646974794178" TYPE_0, ERR_INVALID},
        {"80", ERR_INVALID},
        {"00", ERR_INVALID},
        {"a0", ERR_INVALID},
    };
    CLEANUP(buf_release) struct buf bytes = {0};
    buf_init(&bytes, IPNS_RECORD_BYTES_MAX + 1, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ipns_record record;
        assert_err(ipns_record_decode(record_of_data(&bytes, rows[i].data), &record), rows[i].err);
    }
}

static void only_ten_kib_are_read(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf bytes = {0};
    struct ipns_record record;
    uint8_t filler[IPNS_RECORD_BYTES_MAX] = {0};
    buf_init(&bytes, IPNS_RECORD_BYTES_MAX + 1, NULL);
    (void)record_of_data(&bytes, "a5" TTL_0 VALUE_X SEQUENCE_0 VALIDITY TYPE_0);
    size_t room = IPNS_RECORD_BYTES_MAX - bytes.len - 3;
    assert_ok(protobuf_put_bytes(&bytes, 15, span_of(filler, room)));
    assert_int_equal(bytes.len, IPNS_RECORD_BYTES_MAX);
    assert_ok(ipns_record_decode(buf_span(&bytes), &record));
    assert_ok(buf_append_byte(&bytes, 0));
    assert_err(ipns_record_decode(buf_span(&bytes), &record), ERR_TOO_LARGE);
    assert_err(ipns_record_decode(span_of(NULL, 0), &record), ERR_INVALID);
}

/* Each of the copies beside data is changed in turn. */
static void copies_must_agree_with_data(void **state)
{
    (void)state;
    struct ipns_record record;
    for (uint32_t changed = 0; changed <= 6; changed++) {
        CLEANUP(buf_release) struct buf bytes = {0};
        buf_init(&bytes, IPNS_RECORD_BYTES_MAX, NULL);
        (void)record_of_data(&bytes, "a5" TTL_0 VALUE_X SEQUENCE_0 VALIDITY TYPE_0);
        assert_ok(protobuf_put_bytes(&bytes, 1, span_text(changed == 1 ? "y" : "x")));
        assert_ok(protobuf_put_bytes(&bytes, 2, span_text("anything")));
        assert_ok(protobuf_put_varint(&bytes, 3, changed == 3));
        assert_ok(protobuf_put_bytes(&bytes, 4, span_text(changed == 4 ? "2027" : "2026-01-01T00:00:00Z")));
        assert_ok(protobuf_put_varint(&bytes, 5, changed == 5));
        assert_ok(protobuf_put_varint(&bytes, 6, changed == 6));
        bool same = changed == 0 || changed == 2;
        assert_err(ipns_record_decode(buf_span(&bytes), &record), same ? ERR_OK : ERR_MISMATCH);
    }
}

static void the_newer_record_wins(void **state)
{
    (void)state;
    struct ipns_record a = {.sequence = 5, .eol_ns = 10};
    struct ipns_record b = {.sequence = 5, .eol_ns = 10};
    assert_int_equal(ipns_record_compare(&a, &b), 0);
    b.eol_ns = 11;
    assert_true(ipns_record_compare(&a, &b) < 0 && ipns_record_compare(&b, &a) > 0);
    a.sequence = 6; /* the sequence before the end of life */
    assert_true(ipns_record_compare(&a, &b) > 0 && ipns_record_compare(&b, &a) < 0);
}

static void names_and_keys_are_one_another(void **state)
{
    (void)state;
    struct peer_id name = name_of(published[1].name);
    struct peer_id again;
    uint8_t key[IPNS_KEY_BYTES_MAX];
    size_t len = ipns_key_of_name(&name, key);
    assert_memory_equal(key, "/ipns/", 6);
    assert_ok(ipns_name_of_key(span_of(key, len), &again));
    assert_true(peer_id_equal(&name, &again));
    assert_err(ipns_name_of_key(span_of(key, len - 1), &again), ERR_INVALID);
    assert_err(ipns_name_of_key(span_of(key, 6), &again), ERR_INVALID);
    assert_err(ipns_name_of_key(span_of("/ipns", 5), &again), ERR_INVALID);
    key[1] = 'I';
    assert_err(ipns_name_of_key(span_of(key, len), &again), ERR_INVALID);
}

/* Every bit of a record is signed, but those of what nobody reads. */
static void no_changed_bit_is_believed(void **state)
{
    (void)state;
    struct ipns_claim claim = {.value = span_text("/ipfs/bafkqaddwgevxmmraojswg33smq"), .eol_ns = now, .v2_only = true};
    struct sealed s = seal(KEY_ED25519, &claim);
    for (size_t bit = 0; bit < s.bytes.len * 8; bit++) {
        struct ipns_record record;
        s.bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        enum err err = ipns_record_decode(buf_span(&s.bytes), &record);
        if (err == ERR_OK)
            err = ipns_record_verify(&record, &s.name, now);
        assert_string_not_equal(err_name(err), "ok");
        s.bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    unseal(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_records_are_judged_as_published),
        cmocka_unit_test(files_of_records_are_valid),
        cmocka_unit_test(made_records_are_valid),
        cmocka_unit_test(made_records_look_like_published_ones),
        cmocka_unit_test(claims_out_of_range_are_refused),
        cmocka_unit_test(data_out_of_form_is_refused),
        cmocka_unit_test(only_ten_kib_are_read),
        cmocka_unit_test(copies_must_agree_with_data),
        cmocka_unit_test(the_newer_record_wins),
        cmocka_unit_test(names_and_keys_are_one_another),
        cmocka_unit_test(no_changed_bit_is_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
