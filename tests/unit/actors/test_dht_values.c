/* SPDX-License-Identifier: MIT */
/* The rules for values of the routing system: public keys, IPNS records, and everything else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "actors/discovery/dht_values.h"
#include "wire/ipns.h"
#include "wire/keys.h"
#include "wire/signing_key.h"

static const uint64_t now = UINT64_C(1800000000) * SECOND_NS;

struct key {
    uint8_t bytes[64];
    size_t len;
};

static struct span key_of(struct key *key, const char *prefix, const struct peer_id *id)
{
    key->len = strlen(prefix) + id->len;
    memcpy(key->bytes, prefix, strlen(prefix));
    memcpy(key->bytes + strlen(prefix), id->bytes, id->len);
    return span_of(key->bytes, key->len);
}

static struct key_pair *pair_of(uint8_t number)
{
    uint8_t seed[ED25519_SEED_BYTES] = {number};
    struct key_pair *pair;
    assert_int_equal(key_pair_of_seed(seed, &pair), ERR_OK);
    return pair;
}

static void a_public_key_is_the_one_of_its_name(void **state)
{
    (void)state;
    struct key_pair *a = pair_of(1);
    struct key_pair *b = pair_of(2);
    struct peer_id id = key_pair_peer_id(a);
    struct key key;
    uint64_t expires = 0;
    struct span name = key_of(&key, "/pk/", &id);
    assert_int_equal(dht_value_check(name, key_pair_public(a), now, &expires), ERR_OK);
    assert_true(expires == UINT64_MAX);
    assert_int_equal(dht_value_check(name, key_pair_public(b), now, &expires), ERR_MISMATCH);
    assert_int_equal(dht_value_check(name, (struct span){0}, now, &expires), ERR_INVALID);
    assert_int_equal(dht_value_check(span_first(name, 20), key_pair_public(a), now, &expires), ERR_INVALID);
    assert_int_equal(dht_value_compare(name, key_pair_public(a), key_pair_public(a)), 0);
    key_pair_free(a);
    key_pair_free(b);
}

static void other_namespaces_are_refused(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "/", "pk", "/pk", "/v/abc", "/providers/x", "/PK/x"};
    uint64_t expires;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        assert_int_equal(dht_value_check(span_text(keys[i]), span_text("value"), now, &expires), ERR_UNSUPPORTED);
}

static void a_record_of_a_name_is_its_owners_and_not_over(void **state)
{
    (void)state;
    struct signing_key *signer;
    struct key_pair *other = pair_of(4);
    struct peer_id other_id = key_pair_peer_id(other);
    struct ipns_claim claim = {.value = span_text("/ipfs/bafkqaaa"), .eol_ns = now + 3600 * SECOND_NS, .sequence = 1};
    struct buf first;
    struct buf second;
    struct key key;
    uint64_t expires = 0;
    assert_int_equal(signing_key_generate(KEY_ED25519, 0, &signer), ERR_OK);
    struct peer_id id = signing_key_peer_id(signer);
    buf_init(&first, IPNS_RECORD_BYTES_MAX, NULL);
    buf_init(&second, IPNS_RECORD_BYTES_MAX, NULL);
    assert_int_equal(ipns_record_seal(signer, &claim, &first), ERR_OK);
    claim.sequence = 2;
    assert_int_equal(ipns_record_seal(signer, &claim, &second), ERR_OK);
    struct span name = key_of(&key, "/ipns/", &id);
    assert_int_equal(dht_value_check(name, buf_span(&first), now, &expires), ERR_OK);
    assert_true(expires == claim.eol_ns);
    assert_int_equal(dht_value_check(name, buf_span(&first), claim.eol_ns + SECOND_NS, &expires), ERR_TIMEOUT);
    assert_int_not_equal(dht_value_check(name, span_text("no record"), now, &expires), ERR_OK);
    assert_true(dht_value_compare(name, buf_span(&second), buf_span(&first)) > 0);
    assert_true(dht_value_compare(name, buf_span(&first), buf_span(&second)) < 0);
    second.data[second.len / 2] ^= 1;
    assert_int_not_equal(dht_value_check(name, buf_span(&second), now, &expires), ERR_OK);
    name = key_of(&key, "/ipns/", &other_id);
    assert_int_not_equal(dht_value_check(name, buf_span(&first), now, &expires), ERR_OK);
    buf_release(&first);
    buf_release(&second);
    signing_key_free(signer);
    key_pair_free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_public_key_is_the_one_of_its_name),
        cmocka_unit_test(other_namespaces_are_refused),
        cmocka_unit_test(a_record_of_a_name_is_its_owners_and_not_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
