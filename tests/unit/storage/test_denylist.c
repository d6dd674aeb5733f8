/* SPDX-License-Identifier: MIT */
/* The rules and the answers are those of the reference validator's test.deny and of the specification's examples. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "storage/denylist_builder.h"

static const uint8_t key[DENYLIST_KEY_BYTES] = {1, 2, 3};

static const char reference[] = "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq\n"
                                "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/*\n"
                                "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test*\n"
                                "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test/*\n"
                                "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked*\n"
                                "!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot\n"
                                "!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not\n"
                                "!/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions*\n"
                                "/ipns/domain.example\n"
                                "/ipns/domain2.example/path\n"
                                "/ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf\n"
                                "//d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7\n"
                                "//3f8b9febd851873b3774b937cce126910699ceac56e72e64b866f8e258d09572\n"
                                "//c555c4de78827ba42527dd3dc5398db38d6c0a8c345a88e0158b2d100f317e50\n"
                                "//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM\n"
                                "//QmbK7LDv5NNBvYQzNfm2eED17SNLt1yNMapcUhSuNLgkqz\n";

static void add(void *arg, const struct denylist_rule *rule)
{
    denylist_builder_add(arg, rule);
}

static struct account account;

static enum err try_build(const char *text, uint64_t guess, struct block_ref **ret_image)
{
    static struct denylist_reader reader;
    struct denylist_builder b;
    *ret_image = NULL;
    enum err err = denylist_builder_init(&b, &account, guess, key);
    for (int round = 0; round < 2 && err == ERR_OK; round++) {
        denylist_reader_init(&reader, 0);
        err = denylist_reader_feed(&reader, span_text(text), add, &b);
        denylist_reader_end(&reader, add, &b);
        if (err == ERR_OK)
            err = round == 0 ? denylist_builder_turn(&b) : denylist_builder_take(&b, ret_image);
    }
    denylist_builder_release(&b);
    return err;
}

static struct block_ref *build(const char *text)
{
    struct block_ref *image = NULL;
    account_init(&account, "test", 64 * MIB);
    assert_int_equal(try_build(text, 100, &image), ERR_OK);
    return image;
}

static void expect(const struct block_ref *image, const char *text, enum denylist_answer wanted)
{
    enum denylist_answer got = denylist_ask_text(denylist_of(image), span_text(text));
    if (got != wanted)
        fail_msg("%s: %d, not %d", text, (int)got, (int)wanted);
}

static void expect_all(const struct block_ref *image, const char *const *texts, size_t count, bool denied)
{
    for (size_t i = 0; i < count; i++) {
        enum denylist_answer got = denylist_ask_text(denylist_of(image), span_text(texts[i]));
        if ((got == DENYLIST_DENIED) != denied)
            fail_msg("%s: %s", texts[i], denied ? "is not denied" : "is denied");
    }
}

static void the_reference_list_denies_what_it_should(void **state)
{
    (void)state;
    static const char *const denied[] = {
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "bafkreihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq",
        "ipfs://QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/a/b",
        "/ipfs/QmdWFA9FL52hx3j9EJZPQP1ZUH8Ygi5tLCX2cRDs6knSf8/z/",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/test/one",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test2",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC/test/one",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked2",
        "/ipns/domain.example",
        "/ipns/DOMAIN.example",
        "/ipns/domain-example",
        "/ipns/domain2.example/path",
        "/ipns/k51qzi5uqu5dhmzyv3zac033i7rl9hkgczxyl81lwoukda2htteop7d3x0y1mf",
        "/ipns/bafzaajaiaejcaotjfs57kieazxny5japcmy5p2pgv2cic77tu6ogghttvurnrufx",
        "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path",
        "/ipns/bad-domain-name.tld",
        "/ipfs/bafybeidjwik6im54nrpfg7osdvmx7zojl5oaxqel5cmsz46iuelwf5acja",
        "/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path",
        "/ipfs/f01701e20903cf61d46521b05f926ba1634628d0bba8a7ffb5b6d5a3ca310682ca63b5ef0/path",
        /* as the resolver walks them */
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/x/..//./test",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/../blocked",
    };
    struct block_ref *image = build(reference);
    expect_all(image, denied, ARRAY_LEN(denied), true);
    block_ref_unref(image);
}

static void the_reference_list_denies_nothing_else(void **state)
{
    (void)state;
    static const char *const others[] = {
        "/ipfs/QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",
        "bafyaabakaieac",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "bafkqaaa",
        "bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua",
        "baguqeeraiqjw7i2vwntyuekgvulpp2det2kpwt6cd7tx5ayqybqpmhfk76fa",
        "/ipfs/bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq/sub2",
        "/ipfs/QmesfgDQ3q6prBy2Kg2gKbW4MAGuWiRP2DVuGA5MZSERLo/sub4",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/tes",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2",
        "/ipfs/Qmah2YDTfrox4watLCr3YgKyBwvjq8FJZEFdWY6WtJ3Xt2/one/test",
        "/ipfs/QmTuvSQbEDR3sarFAN9kAeXBpiBCyYYNxdxciazBba11eC",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/not",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions2",
        "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked/exceptions/one",
        "/ipns/domainaefa.example",
        "/ipns/domain.example/path",
        "/ipns/domain--example",
        "/ipns/domain2.example",
        "/ipns/domain2.example/path2",
        "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA/path",
        "/ipfs/bafybeiefwqslmf6zyyrxodaxx4vwqircuxpza5ri45ws3y5a62ypxti42e/path2",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/",
        "/ipfs/bafyb4ieqht3b2rssdmc7sjv2cy2gfdilxkfh7623nvndziyqnawkmo266a/path2",
        "/ipfs/not a CID/path",
        "/other/thing",
        "",
    };
    struct block_ref *image = build(reference);
    expect_all(image, others, ARRAY_LEN(others), false);
    expect(image, "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blockednot", DENYLIST_ALLOWED);
    expect(NULL, "/ipfs/QmUboz9UsQBDeS6Tug1U8jgoFkgYxyYood9NDyVURAY9pK/blocked", DENYLIST_UNKNOWN);
    block_ref_unref(image);
    assert_int_equal(account_used(&account), 0);
}

#define CID_A "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq"

static void the_last_rule_that_matches_wins(void **state)
{
    (void)state;
    struct block_ref *image = build("!/ipns/my.domain\n/ipns/my.domain\n"
                                    "/ipfs/" CID_A "/photo*\n!/ipfs/" CID_A "/photo123.jpg\n"
                                    "//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM\n"
                                    "!/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR\n");
    expect(image, "/ipns/my.domain", DENYLIST_DENIED);
    expect(image, "/ipfs/" CID_A "/photo123.jpg", DENYLIST_ALLOWED);
    expect(image, "/ipfs/" CID_A "/photo12.jpg", DENYLIST_DENIED);
    /* a double hash is undone by a rule in clear text, and the other way round */
    expect(image, "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR", DENYLIST_ALLOWED);
    block_ref_unref(image);
    image = build("!/ipfs/QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR\n"
                  "//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM\n");
    expect(image, "QmVTF1yEejXd9iMgoRTFDxBv7HAz9kuZcQNBzHrceuK9HR", DENYLIST_DENIED);
    block_ref_unref(image);
}

static void many_lengths_of_prefixes_are_found_all_the_same(void **state)
{
    (void)state;
    struct buf text;
    char path[256];
    buf_init(&text, MIB, NULL);
    for (int i = 1; i < 60; i++)
        assert_int_equal(buf_appendf(&text, "/ipfs/" CID_A "/%.*s*\n", i,
                                     "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst" + i),
                         ERR_OK);
    assert_int_equal(buf_append_byte(&text, 0), ERR_OK);
    struct block_ref *image = build((const char *)text.data);
    assert_true(denylist_of(image)->all_prefixes);
    for (int i = 1; i < 12; i++) {
        (void)snprintf(path, sizeof(path), "/ipfs/" CID_A "/%.*s!", i,
                       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst" + i);
        expect(image, path, DENYLIST_DENIED);
    }
    expect(image, "/ipfs/" CID_A "/a", DENYLIST_UNKNOWN);
    block_ref_unref(image);
    buf_release(&text);
}

enum { MANY = 200000 };

static struct denylist_rule numbered(uint32_t n)
{
    struct denylist_rule rule = {.kind = DENYLIST_IPFS};
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&n, sizeof(n)), &rule.hash), ERR_OK);
    return rule;
}

static void a_rule_costs_eight_bytes_and_a_little(void **state)
{
    (void)state;
    struct denylist_builder b;
    struct block_ref *image = NULL;
    account_init(&account, "test", 64 * MIB);
    assert_int_equal(denylist_builder_init(&b, &account, MANY, key), ERR_OK);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            struct denylist_rule rule = numbered(i);
            denylist_builder_add(&b, &rule);
        }
        assert_int_equal(round == 0 ? denylist_builder_turn(&b) : denylist_builder_take(&b, &image), ERR_OK);
    }
    denylist_builder_release(&b);
    assert_true(image->len < MANY * 17 / 2);
    for (uint32_t i = 0; i < 2 * MANY; i += 7) {
        struct denylist_rule rule = numbered(i);
        struct cid cid = cid_v1(CODEC_RAW, &rule.hash);
        assert_int_equal(denylist_ask_cid(denylist_of(image), &cid), i < MANY ? DENYLIST_DENIED : DENYLIST_UNKNOWN);
    }
    block_ref_unref(image);
}

static void bounds_are_errors(void **state)
{
    (void)state;
    struct denylist_builder b;
    struct block_ref *image = NULL;
    account_init(&account, "test", 200);
    assert_int_equal(try_build(reference, 1000, &image), ERR_NOMEM);
    assert_int_equal(account_used(&account), 0);
    account_init(&account, "test", 64 * MIB);
    assert_int_equal(denylist_builder_init(&b, &account, 1, key), ERR_OK);
    for (uint32_t i = 0; i < DENYLIST_RUNS_MAX + 2; i++) {
        struct denylist_rule rule = numbered(i);
        rule.allow = i % 2 == 1;
        denylist_builder_add(&b, &rule);
    }
    assert_int_equal(denylist_builder_turn(&b), ERR_TOO_LARGE);
    denylist_builder_release(&b);
    /* a file that changes between the rounds */
    for (uint32_t second = 1; second < 4; second += 2) {
        assert_int_equal(denylist_builder_init(&b, &account, 1, key), ERR_OK);
        for (uint32_t i = 0; i < 2; i++) {
            struct denylist_rule rule = numbered(i);
            denylist_builder_add(&b, &rule);
        }
        assert_int_equal(denylist_builder_turn(&b), ERR_OK);
        for (uint32_t i = 0; i < second; i++) {
            struct denylist_rule rule = numbered(i);
            denylist_builder_add(&b, &rule);
        }
        assert_int_equal(denylist_builder_take(&b, &image), ERR_AGAIN);
        denylist_builder_release(&b);
    }
    assert_int_equal(account_used(&account), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_list_denies_what_it_should),
        cmocka_unit_test(the_reference_list_denies_nothing_else),
        cmocka_unit_test(the_last_rule_that_matches_wins),
        cmocka_unit_test(many_lengths_of_prefixes_are_found_all_the_same),
        cmocka_unit_test(a_rule_costs_eight_bytes_and_a_little),
        cmocka_unit_test(bounds_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
