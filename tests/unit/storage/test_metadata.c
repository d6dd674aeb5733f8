/* SPDX-License-Identifier: MIT */
/* Metadata in a database of its own, beside a model that is an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "schemas/blocks_sql.h"
#include "storage/metadata.h"

enum { CIDS = 6, KEYS = 5, ROUNDS = 3000, TEXT = 64 };

static sqlite3 *db;

static int begin(void **state)
{
    (void)state;
    struct sql_options options = {.path = ":memory:", .cache_kib = 256};
    return sql_open(&options, &db) == ERR_OK && sql_exec(db, BLOCKS_METADATA_SQL) == ERR_OK ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    sql_close(db);
    return 0;
}

/* A CID of version 1: raw, sha2-256. */
static struct span cid_of(unsigned n, uint8_t to[36])
{
    memset(to, 0, 36);
    memcpy(to, "\x01\x55\x12\x20", 4);
    to[35] = (uint8_t)n;
    return span_of(to, 36);
}

static void set(unsigned n, const char *key, const char *value, bool replace, enum err expected)
{
    uint8_t cid[36];
    enum err own = ERR_INTERNAL;
    struct metadata_change *change = metadata_change_new(replace);
    assert_non_null(change);
    if (key != NULL)
        assert_int_equal(metadata_change_add(change, span_text(key), span_text(value)), ERR_OK);
    assert_int_equal(metadata_apply(db, cid_of(n, cid), change, 7, &own), ERR_OK);
    assert_int_equal(own, expected);
    metadata_change_free(change);
}

/* Rows as one text: "<last byte of the CID>.<key>=<value> " each. */
static enum err append(void *arg, const struct metadata_row *row)
{
    return buf_appendf(arg, "%u.%.*s=%.*s ", row->cid.data[35], (int)row->key.len, (const char *)row->key.data,
                       (int)row->value.len, (const char *)row->value.data);
}

static void expect_all(unsigned n, const char *expected)
{
    uint8_t cid[36];
    struct buf text;
    buf_init(&text, 4096, NULL);
    enum err err = metadata_of(db, cid_of(n, cid), append, &text);
    assert_int_equal(err, expected[0] == '\0' ? ERR_NOT_FOUND : ERR_OK);
    if (!span_equal_text(buf_span(&text), expected))
        fail_msg("%.*s, not %s", (int)text.len, (const char *)text.data, expected);
    buf_release(&text);
}

static void changes_merge_remove_and_replace(void **state)
{
    (void)state;
    set(1, "name", "\"film\"", true, ERR_OK);
    set(1, "size", "3", false, ERR_OK);
    set(2, "name", "\"book\"", false, ERR_OK);
    expect_all(1, "1.name=\"film\" 1.size=3 ");
    set(1, "size", "4", false, ERR_OK);
    set(1, "name", "", false, ERR_OK);
    expect_all(1, "1.size=4 ");
    set(1, "kind", "null", true, ERR_OK);
    expect_all(1, "1.kind=null ");
    set(1, NULL, NULL, true, ERR_OK);
    expect_all(1, "");
    set(1, NULL, NULL, true, ERR_NOT_FOUND);
    expect_all(2, "2.name=\"book\" ");
}

/* What is over the limits of one CID changes nothing, also when a part of it would fit. */
static void limits_are_of_one_cid(void **state)
{
    (void)state;
    static char large[METADATA_BYTES_MAX];
    char key[16];
    uint8_t cid[36];
    enum err own = ERR_OK;
    memset(large, '1', sizeof(large) - 1);
    set(1, "a", "1", true, ERR_OK);
    set(1, "b", large, false, ERR_TOO_LARGE);
    expect_all(1, "1.a=1 ");
    large[METADATA_BYTES_MAX - 3] = '\0'; /* with its key, and the pair that is there, exactly the limit */
    set(1, "b", large, false, ERR_OK);
    for (unsigned i = 0; i < METADATA_KEYS_MAX; i++) {
        (void)snprintf(key, sizeof(key), "k%u", i);
        set(2, key, "1", false, ERR_OK);
    }
    set(2, "one more", "1", false, ERR_TOO_LARGE);
    struct metadata_change *change = metadata_change_new(false);
    assert_int_equal(metadata_change_add(change, span_of("", 0), span_text("1")), ERR_INVALID);
    for (unsigned i = 0; i < METADATA_KEYS_MAX; i++) {
        (void)snprintf(key, sizeof(key), "k%u", i);
        assert_int_equal(metadata_change_add(change, span_text(key), span_of("", 0)), ERR_OK);
    }
    assert_int_equal(metadata_change_add(change, span_text("k"), span_text("1")), ERR_TOO_LARGE);
    assert_int_equal(metadata_apply(db, cid_of(2, cid), change, 7, &own), ERR_OK);
    assert_int_equal(own, ERR_OK);
    metadata_change_free(change);
    expect_all(2, "");
}

static void expect_pages(struct metadata_query query, const char *expected)
{
    uint8_t cid[36];
    uint8_t last = 0;
    struct buf text;
    bool more = true;
    buf_init(&text, 65536, NULL);
    for (unsigned page = 0; more; page++) {
        size_t before = text.len;
        query.after = page == 0 ? (struct span){0} : cid_of(last, cid);
        assert_int_equal(metadata_find(db, &query, append, &text, &more), ERR_OK);
        assert_true(page < 100);
        if (text.len == before)
            break;
        size_t at = text.len - 1;
        while (at > 0 && text.data[at - 1] != ' ')
            at--;
        last = (uint8_t)strtoul((const char *)text.data + at, NULL, 10);
    }
    if (!span_equal_text(buf_span(&text), expected))
        fail_msg("%.*s, not %s", (int)text.len, (const char *)text.data, expected);
    buf_release(&text);
}

static void queries_page_by_key_value_and_prefix(void **state)
{
    (void)state;
    set(1, "n", "\"film\"", true, ERR_OK);
    set(2, "n", "\"fifo\"", true, ERR_OK);
    set(3, "n", "\"film\"", true, ERR_OK);
    set(4, "n", "\"book\"", true, ERR_OK);
    set(5, "m", "\"film\"", true, ERR_OK);
    set(4, "m", "1", false, ERR_OK);
    for (size_t limit = 1; limit < 4; limit++) {
        expect_pages((struct metadata_query){.limit = limit},
                     "1.n=\"film\" 2.n=\"fifo\" 3.n=\"film\" 4.m=1 4.n=\"book\" 5.m=\"film\" ");
        expect_pages((struct metadata_query){.limit = limit, .key = span_text("m")},
                     "5.m=\"film\" 4.m=1 4.n=\"book\" ");
        expect_pages((struct metadata_query){.limit = limit, .key = span_text("n"), .value = span_text("\"film\"")},
                     "1.n=\"film\" 3.n=\"film\" ");
        expect_pages(
            (struct metadata_query){
                .limit = limit, .key = span_text("n"), .value = span_text("\"fi"), .is_prefix = true},
            "2.n=\"fifo\" 1.n=\"film\" 3.n=\"film\" ");
        expect_pages((struct metadata_query){.limit = limit, .key = span_text("x")}, "");
        expect_pages(
            (struct metadata_query){
                .limit = limit, .key = span_text("n"), .value = span_text("\xff"), .is_prefix = true},
            "");
    }
}

static void a_page_ends_behind_many_bytes(void **state)
{
    (void)state;
    static char large[METADATA_BYTES_MAX - 10];
    struct buf text;
    bool more = false;
    memset(large, '2', sizeof(large) - 1);
    for (unsigned i = 0; i < 20; i++)
        set(i, "x", large, true, ERR_OK);
    buf_init(&text, 1 << 20, NULL);
    struct metadata_query query = {.limit = 64};
    assert_int_equal(metadata_find(db, &query, append, &text, &more), ERR_OK);
    assert_true(more);
    assert_in_range(text.len, METADATA_PAGE_BYTES - 1000, METADATA_PAGE_BYTES + 2 * METADATA_BYTES_MAX);
    buf_release(&text);
}

static void random_changes_agree_with_a_model(void **state)
{
    (void)state;
    static char model[CIDS][KEYS][TEXT];
    struct prng prng;
    prng_init(&prng, 42);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned n = (unsigned)prng_below(&prng, CIDS);
        unsigned pairs = (unsigned)prng_below(&prng, KEYS);
        uint8_t cid[36];
        char expected[CIDS * KEYS * TEXT] = "";
        enum err own;
        struct metadata_change *change = metadata_change_new(prng_below(&prng, 4) == 0);
        bool any = false;
        for (unsigned k = 0; k < KEYS; k++)
            any = any || model[n][k][0] != '\0';
        for (unsigned k = 0; k < KEYS && change->replace; k++)
            model[n][k][0] = '\0';
        for (unsigned i = 0; i < pairs; i++) {
            unsigned k = (unsigned)prng_below(&prng, KEYS);
            char key[2] = {(char)('a' + k), '\0'};
            char value[TEXT] = "";
            if (prng_below(&prng, 3) > 0)
                (void)snprintf(value, sizeof(value), "%u", (unsigned)prng_below(&prng, 1000));
            assert_int_equal(metadata_change_add(change, span_text(key), span_text(value)), ERR_OK);
            memcpy(model[n][k], value, sizeof(value));
        }
        assert_int_equal(metadata_apply(db, cid_of(n, cid), change, round, &own), ERR_OK);
        assert_int_equal(own, change->replace && !any && pairs == 0 ? ERR_NOT_FOUND : ERR_OK);
        metadata_change_free(change);
        size_t len = 0;
        for (unsigned k = 0; k < KEYS; k++) {
            if (model[n][k][0] != '\0')
                len += (size_t)snprintf(expected + len, sizeof(expected) - len, "%u.%c=%s ", n, 'a' + k, model[n][k]);
        }
        expect_all(n, expected);
    }
}

static void what_can_be_read_is_salvaged(void **state)
{
    (void)state;
    sqlite3 *other;
    struct sql_options options = {.path = ":memory:", .cache_kib = 256};
    assert_int_equal(sql_open(&options, &other), ERR_OK);
    assert_int_equal(metadata_salvage(db, other), ERR_OK); /* of an older version: no such table */
    assert_int_equal(sql_exec(other, BLOCKS_METADATA_SQL
                              "INSERT INTO metadata VALUES (x'01551220', 'k', '1', 5), (x'0155', 'l', '2', 6)"),
                     ERR_OK);
    assert_int_equal(metadata_salvage(db, other), ERR_OK);
    uint64_t rows = 0;
    assert_int_equal(sql_number(db, "SELECT count(*) FROM metadata WHERE updated_at IN (5, 6)", &rows), ERR_OK);
    assert_int_equal(rows, 2);
    sql_close(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(changes_merge_remove_and_replace, begin, end),
        cmocka_unit_test_setup_teardown(limits_are_of_one_cid, begin, end),
        cmocka_unit_test_setup_teardown(queries_page_by_key_value_and_prefix, begin, end),
        cmocka_unit_test_setup_teardown(a_page_ends_behind_many_bytes, begin, end),
        cmocka_unit_test_setup_teardown(random_changes_agree_with_a_model, begin, end),
        cmocka_unit_test_setup_teardown(what_can_be_read_is_salvaged, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
