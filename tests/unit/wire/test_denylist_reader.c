/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/cid.h"
#include "wire/denylist_header.h"
#include "wire/denylist_reader.h"

#define CID_TEXT "bafybeihvvulpp4evxj7x7armbqcyg6uezzuig6jp3lktpbovlqfkuqeuoq"
#define HEX      "d9d295bde21f422d471a90f2a37ec53049fdf3e5fa3ee2e8f20e10003da429e7"

enum { SEEN_MAX = 16 };

struct seen {
    struct denylist_rule rules[SEEN_MAX];
    char paths[SEEN_MAX][64];
    char names[SEEN_MAX][64];
    size_t count;
};

static void see(void *arg, const struct denylist_rule *rule)
{
    struct seen *s = arg;
    assert_true(s->count < SEEN_MAX);
    s->rules[s->count] = *rule;
    (void)snprintf(s->paths[s->count], 64, "%.*s", (int)rule->path.len, (const char *)rule->path.data);
    (void)snprintf(s->names[s->count], 64, "%.*s", (int)rule->name.len, (const char *)rule->name.data);
    s->count++;
}

static struct denylist_reader reader;

/* Reads in pieces of step bytes. */
static enum err read_all(struct seen *s, const char *text, size_t step)
{
    struct span in = span_text(text);
    memset(s, 0, sizeof(*s));
    denylist_reader_init(&reader, 0);
    while (in.len > 0) {
        enum err err = denylist_reader_feed(&reader, span_first(in, step), see, s);
        if (err != ERR_OK)
            return err;
        in = span_skip(in, step);
    }
    denylist_reader_end(&reader, see, s);
    return ERR_OK;
}

static const char *const all_kinds = "# comment\n"
                                     "\n"
                                     "/ipfs/" CID_TEXT "\n"
                                     "  /ipfs/" CID_TEXT "/*  reason=copyright status=451\r\n"
                                     "!/ipfs/" CID_TEXT "/a%20b/c*\n"
                                     "+/ipld/" CID_TEXT "/dir/%2A/\n"
                                     "-/ipns/Domain.Example/path\n"
                                     "/ipns/12D3KooWDkNqEJNmreF3NYYFK1ws7Ra2fuW6cHBTu567SPV3LdYA\n"
                                     "//" HEX "\n"
                                     "!//QmX9dhRcQcKUw3Ws8485T5a9dtjrSCQaUAHnG4iK9i4ceM";

static void check_all_kinds(const struct seen *s)
{
    struct cid cid;
    assert_int_equal(cid_parse_text(span_text(CID_TEXT), &cid), ERR_OK);
    assert_int_equal(s->count, 8);
    assert_int_equal(reader.rules, 8);
    assert_int_equal(reader.invalid, 0);
    assert_int_equal(reader.line, 10);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(s->rules[i].kind, DENYLIST_IPFS);
        assert_true(multihash_equal(&s->rules[i].hash, &cid.hash));
        assert_int_equal(s->rules[i].line, i + 3);
        assert_int_equal(s->rules[i].allow, i >= 2);
        assert_int_equal(s->rules[i].prefix, i == 1 || i == 2);
    }
    assert_string_equal(s->paths[1], "");
    assert_string_equal(s->paths[2], "a b/c");
    assert_string_equal(s->paths[3], "dir/*"); /* an escaped asterisk is a name */
    assert_int_equal(s->rules[4].kind, DENYLIST_IPNS);
    assert_string_equal(s->names[4], "domain.example");
    assert_string_equal(s->paths[4], "path");
    assert_true(s->rules[4].allow);
    assert_string_equal(s->names[5], "");
    assert_int_equal(s->rules[5].hash.code, MULTIHASH_IDENTITY);
    assert_int_equal(s->rules[6].kind, DENYLIST_DOUBLE);
    assert_int_equal(s->rules[6].hash.digest[0], 0xd9);
    assert_int_equal(s->rules[6].hash.digest[31], 0xe7);
    assert_int_equal(s->rules[7].hash.code, MULTIHASH_SHA2_256);
    assert_true(s->rules[7].allow);
}

static void every_kind_of_rule_is_read_however_the_bytes_come(void **state)
{
    (void)state;
    static struct seen s;
    static const size_t steps[] = {1, 2, 7, 64, 4096};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(read_all(&s, all_kinds, steps[i]), ERR_OK);
        check_all_kinds(&s);
    }
}

static void a_rule_that_is_none_is_counted_and_the_next_one_counts(void **state)
{
    (void)state;
    static struct seen s;
    assert_int_equal(read_all(&s,
                              "nonsense\n/ipfs/\n/ipfs/xyz\n/ipns/\n//zz\n!\n/my/path\n/ipfs/" CID_TEXT
                              "/%4\n/ipfs/" CID_TEXT
                              "/%zz\n//gW813G35CnLsy7gRYYHuf63hrz71U1xoLFDVeV7actx6oX\n/ipfs/" CID_TEXT "\n",
                              9),
                     ERR_OK);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.rules[0].line, 11);
    assert_int_equal(reader.invalid, 10); /* blake3, too: it is not known here */
    assert_int_equal(reader.invalid_line, 1);
    assert_non_null(strstr(reader.invalid_why, "not a rule"));
}

static void long_lines_are_bounded(void **state)
{
    (void)state;
    static struct seen s;
    static char text[DENYLIST_LINE_MAX + 16];
    (void)snprintf(text, sizeof(text), "/ipfs/" CID_TEXT " ");
    memset(text + strlen(text), 'x', DENYLIST_LINE_MAX - 2 - strlen(text));
    text[DENYLIST_LINE_MAX - 1] = '\n';
    text[DENYLIST_LINE_MAX - 2] = '\n';
    text[DENYLIST_LINE_MAX] = '\0';
    assert_int_equal(read_all(&s, text, 65536), ERR_OK); /* a rule with long hints */
    assert_int_equal(s.count, 1);
    text[strlen("/ipfs/" CID_TEXT)] = '/'; /* now it is a long path */
    assert_int_equal(read_all(&s, text, 65536), ERR_OK);
    assert_int_equal(s.count, 0);
    assert_int_equal(reader.invalid, 1);
    memset(text, 'x', DENYLIST_LINE_MAX);
    assert_int_equal(read_all(&s, text, 65536), ERR_TOO_LARGE);
}

static struct denylist_header_end find_end(const char *text, size_t step)
{
    struct denylist_header_end end = {0};
    struct span in = span_text(text);
    while (in.len > 0 && denylist_header_end_feed(&end, span_first(in, step)))
        in = span_skip(in, step);
    return end;
}

static void the_header_ends_with_a_line_of_three_dashes(void **state)
{
    (void)state;
    for (size_t step = 1; step < 30; step++) {
        struct denylist_header_end end = find_end("version: 1\nname: a---\n----\n---\nrest\n---\n", step);
        assert_true(end.found);
        assert_int_equal(end.at, 31);
        assert_int_equal(end.lines, 4);
    }
    assert_int_equal(find_end("---\n/ipfs/x", 64).at, 4);
    assert_true(find_end("a: b\r\n---\r\n", 64).found);
    assert_false(find_end("/ipfs/x\n--\n --- \n", 64).found);
    static char large[DENYLIST_HEADER_MAX + 16];
    memset(large, 'a', DENYLIST_HEADER_MAX);
    memcpy(large + DENYLIST_HEADER_MAX, "\n---\n", 6);
    assert_false(find_end(large, 65536).found);
}

static enum err header(const char *yaml, struct denylist_header *h)
{
    return denylist_header_parse(span_text(yaml), h);
}

static void headers_are_yaml_maps(void **state)
{
    (void)state;
    struct denylist_header h;
    assert_int_equal(header("version: 1\nname: IPFSCorp list\ndescription: 'Bad: things'\nauthor: a@example.com\n"
                            "extra: {name: [other, {name: x}]}\nhints:\n  hint: value\n  hint2: {a: b}\n  three: 3\n",
                            &h),
                     ERR_OK);
    assert_int_equal(h.version, 1);
    assert_string_equal(h.name, "IPFSCorp list");
    assert_string_equal(h.description, "Bad: things");
    assert_string_equal(h.author, "a@example.com");
    assert_int_equal(h.hints, 3);
    assert_int_equal(header("", &h), ERR_OK);
    assert_string_equal(h.name, "");
    assert_int_equal(header("name: \"a\\e[31mb\"\n", &h), ERR_OK);
    assert_null(strchr(h.name, 0x1b));
}

static void other_headers_are_refused(void **state)
{
    (void)state;
    struct denylist_header h;
    assert_int_equal(header("version: 2\n", &h), ERR_UNSUPPORTED);
    assert_int_equal(header("version: one\n", &h), ERR_INVALID);
    assert_int_equal(header("- a\n- b\n", &h), ERR_INVALID);
    assert_int_equal(header("just text\n", &h), ERR_INVALID);
    assert_int_equal(header("a: [\n", &h), ERR_INVALID);
    assert_int_equal(header("a: &a [x]\nb: *a\n", &h), ERR_OK);
    char deep[256] = "a: ";
    memset(deep + 3, '[', 100);
    assert_int_equal(header(deep, &h), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_rule_is_read_however_the_bytes_come),
        cmocka_unit_test(a_rule_that_is_none_is_counted_and_the_next_one_counts),
        cmocka_unit_test(long_lines_are_bounded),
        cmocka_unit_test(the_header_ends_with_a_line_of_three_dashes),
        cmocka_unit_test(headers_are_yaml_maps),
        cmocka_unit_test(other_headers_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
