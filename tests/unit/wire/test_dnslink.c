/* SPDX-License-Identifier: MIT */
/* DNSLink: which record counts, where it leads, and how far. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/dnslink.h"

#define CID_1 "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
#define CID_2 "QmaYRVyPKpN8FXy9HS1t9Zhtjo4RpYXgiuNj1ins9fiLuW"
#define KEY_1 "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8"
#define KEY_2 "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"

static struct dnslink l;

static void begin(const char *path, unsigned domains)
{
    assert_int_equal(dnslink_init(&l, span_text(path), domains), ERR_OK);
}

static void offer(const char *record)
{
    dnslink_offer(&l, span_text(record));
}

static void domains_are_told_from_keys(void **state)
{
    (void)state;
    static const char *const yes[] = {"a.org", "docs.ipfs.tech", "xn--bcher-kva.example.", "_x.a-b.org", "1.2"};
    static const char *const no[] = {
        "",     ".",       "org",    "a..org",
        ".org", "a b.org", "a.org/", "b\xc3\xbc.org",
        KEY_1,  KEY_2,     CID_2,    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.org"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++)
        if (!dnslink_is_domain(span_text(yes[i])))
            fail_msg("%s is a domain", yes[i]);
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (dnslink_is_domain(span_text(no[i])))
            fail_msg("%s is no domain", no[i]);
    assert_int_equal(dnslink_init(&l, span_text("/ipns/" KEY_1), 32), ERR_UNSUPPORTED);
    assert_int_equal(dnslink_init(&l, span_text("/ipfs/" CID_1), 32), ERR_UNSUPPORTED);
    assert_int_equal(dnslink_init(&l, span_text(""), 32), ERR_UNSUPPORTED);
}

static void what_is_behind_the_domain_is_kept(void **state)
{
    (void)state;
    begin("/ipns/a.org/docs/x y", 32);
    assert_string_equal(l.host, "_dnslink.a.org");
    offer("dnslink=/ipfs/" CID_1 "/site/");
    assert_int_equal(dnslink_answered(&l), ERR_OK);
    assert_string_equal(l.path, "/ipfs/" CID_1 "/site/docs/x y");
    begin("A.org.", 32);
    assert_string_equal(l.host, "_dnslink.A.org");
    offer("dnslink=/ipns/" KEY_1);
    assert_int_equal(dnslink_answered(&l), ERR_OK);
    assert_string_equal(l.path, "/ipns/" KEY_1);
}

static void the_first_valid_record_in_order_counts(void **state)
{
    (void)state;
    begin("/ipns/a.org", 32);
    offer("dnslink=/ipns/" KEY_2);
    offer("dnslink=/ipfs/" CID_1);
    offer("dnslink=/ipfs/" CID_2);
    offer("dnslink=/ipfs/AAAA");
    assert_int_equal(dnslink_answered(&l), ERR_OK);
    assert_string_equal(l.path, "/ipfs/" CID_2);
}

static void what_is_no_link_is_passed_over_and_the_domain_itself_asked(void **state)
{
    (void)state;
    begin("/ipns/a.org", 32);
    static const char *const bad[] = {"",
                                      "v=spf1",
                                      "dnslink=",
                                      "dnslink=/ipfs/",
                                      "dnslink=/ipfs/nonsense",
                                      "dnslink=" CID_1,
                                      "dnslink=/ipns/org",
                                      "dnslink=/https/a.org",
                                      "DNSLINK=/ipfs/" CID_1,
                                      "dnslink= /ipfs/" CID_1,
                                      "dnslink=/ipfs/" CID_1 "/\x1b[2J"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        offer(bad[i]);
    dnslink_offer(&l, span_of("dnslink=/ipfs/" CID_1 "\0", sizeof("dnslink=/ipfs/" CID_1)));
    assert_int_equal(dnslink_answered(&l), ERR_AGAIN);
    assert_string_equal(l.host, "a.org");
    assert_int_equal(dnslink_answered(&l), ERR_NOT_FOUND);
    begin("/ipns/a.org", 32);
    assert_int_equal(dnslink_answered(&l), ERR_AGAIN);
    offer("dnslink=/ipfs/" CID_1);
    assert_int_equal(dnslink_answered(&l), ERR_OK);
}

static void domains_are_followed_as_far_as_is_allowed(void **state)
{
    (void)state;
    begin("/ipns/a.org/x", 1);
    offer("dnslink=/ipns/b.org/y");
    assert_int_equal(dnslink_answered(&l), ERR_OK);
    assert_string_equal(l.path, "/ipns/b.org/y/x");
    unsigned asked = 1;
    enum err err;
    begin("/ipns/a.org", 1000);
    for (;; asked++) { /* in a circle */
        offer("dnslink=/ipns/a.org");
        if ((err = dnslink_answered(&l)) != ERR_AGAIN)
            break;
        assert_string_equal(l.host, "_dnslink.a.org");
    }
    assert_int_equal(err, ERR_TOO_LARGE);
    assert_int_equal(asked, DNSLINK_DOMAINS_MAX);
}

static void paths_are_bounded(void **state)
{
    (void)state;
    static char record[3000];
    unsigned grown = 0;
    enum err err;
    (void)snprintf(record, sizeof(record), "dnslink=/ipns/a.org/%02900d", 7);
    begin("/ipns/a.org", 32);
    do {
        offer(record);
        err = dnslink_answered(&l);
    } while (err == ERR_AGAIN && ++grown < 10);
    assert_int_equal(err, ERR_TOO_LARGE);
    assert_int_equal(grown, 1);
    static char path[2 * DNSLINK_PATH_MAX];
    (void)snprintf(path, sizeof(path), "/ipns/a.org/%04090d", 7);
    assert_int_equal(dnslink_init(&l, span_text(path), 32), ERR_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains_are_told_from_keys),
        cmocka_unit_test(what_is_behind_the_domain_is_kept),
        cmocka_unit_test(the_first_valid_record_in_order_counts),
        cmocka_unit_test(what_is_no_link_is_passed_over_and_the_domain_itself_asked),
        cmocka_unit_test(domains_are_followed_as_far_as_is_allowed),
        cmocka_unit_test(paths_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
