/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/kubo_pin.h"

/* A dag-pb node in version 1. */
#define CID                                                                                                            \
    "\x01\x70\x12\x20\x2d\x71\x16\x42\xb7\x26\xb0\x44\x01\x62\x7c\xa9\xfb\xac\x32\xf5\xc8\x53\x0f\xb1\x90\x3c\xc4\xdb" \
    "\x02\x25\x87\x17\x92\x1a\x48\x81"
#define TEXT "bafybeibnoelefnzgwbcacyt4vh52ymxvzbjq7mmqhtcnwarfq4lzegsiqe"

static void decodes(const char *bytes, size_t len, bool recursive, const char *name)
{
    struct kubo_pin pin;
    char text[CID_TEXT_MAX];
    assert_int_equal(kubo_pin_decode(span_of(bytes, len), &pin), ERR_OK);
    assert_int_equal(pin.recursive, recursive);
    assert_string_equal(pin.name, name);
    cid_text(&pin.cid, text);
    assert_string_equal(text, TEXT);
    for (size_t i = 0; i < len; i++)
        assert_int_not_equal(kubo_pin_decode(span_of(bytes, i), &pin), ERR_OK);
}
#define DECODES(bytes, recursive, name) decodes(bytes, sizeof(bytes) - 1, recursive, name)

static void values_are_maps_of_cid_mode_and_name(void **state)
{
    (void)state;
    DECODES("\xa2\x63"
            "cid\x58\x24" CID "\x64mode\x00",
            true, "");
    DECODES("\xa3\x63"
            "cid\x58\x24" CID "\x64mode\x00\x64name\x68the tree",
            true, "the tree");
    /* what else there is, is passed over: a map of an array and a tag */
    DECODES("\xa3\x63"
            "cid\x58\x24" CID "\x68metadata\xa1\x61x\x82\x01\xc1\xf5\x64mode\x01",
            false, "");
}

static void refuses(const char *bytes, size_t len, enum err expected)
{
    struct kubo_pin pin;
    assert_int_equal(kubo_pin_decode(span_of(bytes, len), &pin), expected);
}
#define REFUSES(bytes, expected) refuses(bytes, sizeof(bytes) - 1, expected)

static void other_values_are_refused(void **state)
{
    (void)state;
    REFUSES("", ERR_TRUNCATED);
    REFUSES("\x80", ERR_INVALID);             /* a list */
    REFUSES("\xa0", ERR_INVALID);             /* no CID */
    REFUSES("\xa1\x64mode\x00", ERR_INVALID); /* no CID */
    REFUSES("\xa1\x63"
            "cid\x41\x07",
            ERR_INVALID); /* a CID that is none */
    REFUSES("\xa1\x63"
            "cid\x61x",
            ERR_INVALID); /* text */
    REFUSES("\xa2\x63"
            "cid\x58\x24" CID "\x64mode\x02",
            ERR_UNSUPPORTED); /* indirect */
    REFUSES("\xa2\x63"
            "cid\x58\x24" CID "\x64mode\x18",
            ERR_TRUNCATED); /* a number that would be the byte behind the end */
    REFUSES("\xa1\x63"
            "cid\x58\x24" CID "\x00",
            ERR_INVALID); /* more than a map */
    REFUSES("\xbf\x63"
            "cid",
            ERR_INVALID);                                           /* no definite length */
    REFUSES("\xbb\xff\xff\xff\xff\xff\xff\xff\xff", ERR_TRUNCATED); /* 2^64 pairs */
    REFUSES("\xa1\x61x\x9b\xff\xff\xff\xff\xff\xff\xff\xff", ERR_TRUNCATED);
    REFUSES("\xa1\x61x\x5b\xff\xff\xff\xff\xff\xff\xff\xff", ERR_TRUNCATED);
    REFUSES("\xa2\x63"
            "cid\x58\x24" CID "\x61x\xbb\x80\x00\x00\x00\x00\x00\x00\x00",
            ERR_TRUNCATED); /* 2^63 pairs, whose twice as many values are none in 64 bits */
}

/* Lists in a list in a list, a million deep, take a million steps and no stack. */
static void depth_takes_no_stack(void **state)
{
    (void)state;
    static char deep[1000003] = "\xa1\x61x";
    memset(deep + 3, 0x81, sizeof(deep) - 3);
    struct kubo_pin pin;
    assert_int_equal(kubo_pin_decode(span_of(deep, sizeof(deep)), &pin), ERR_TRUNCATED);
}

static void lines_are_those_of_pin_ls(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        enum err err;
        bool recursive;
        const char *name;
    } cases[] = {
        {TEXT " recursive\n", ERR_OK, true, ""},        {TEXT " recursive the tree \r\n", ERR_OK, true, "the tree"},
        {TEXT " direct x", ERR_OK, false, "x"},         {TEXT, ERR_OK, true, ""},
        {TEXT " indirect\n", ERR_NOT_FOUND, false, ""}, {"\n", ERR_NOT_FOUND, false, ""},
        {TEXT " sideways", ERR_INVALID, false, ""},     {"bafyb recursive", ERR_INVALID, false, ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct kubo_pin pin;
        assert_int_equal(kubo_pin_parse(span_text(cases[i].line), &pin), cases[i].err);
        if (cases[i].err != ERR_OK)
            continue;
        assert_int_equal(pin.recursive, cases[i].recursive);
        assert_string_equal(pin.name, cases[i].name);
    }
}

static void a_long_name_is_cut_between_characters(void **state)
{
    (void)state;
    char line[1000];
    int len = snprintf(line, sizeof(line), TEXT " recursive ");
    for (size_t i = 0; i < 200; i++)
        len += snprintf(line + len, sizeof(line) - (size_t)len, "\xc3\xa9"); /* é, two bytes: the 128th does not fit */
    struct kubo_pin pin;
    assert_int_equal(kubo_pin_parse(span_text(line), &pin), ERR_OK);
    assert_int_equal(strlen(pin.name), 254);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_maps_of_cid_mode_and_name),
        cmocka_unit_test(other_values_are_refused),
        cmocka_unit_test(depth_takes_no_stack),
        cmocka_unit_test(lines_are_those_of_pin_ls),
        cmocka_unit_test(a_long_name_is_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
