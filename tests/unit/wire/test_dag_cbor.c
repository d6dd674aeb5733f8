/* SPDX-License-Identifier: MIT */
/* dag-cbor: what is canonical, what is read all the same, what is refused; bombs cost nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/attr.h"
#include "base/random.h"
#include "tests/support/bytes.h"
#include "wire/dag_cbor.h"

static enum err decode(const char *hex, enum dag_cbor_form form)
{
    return dag_cbor_decode(bytes_of_hex(hex), form, NULL, NULL, NULL);
}

/* The spec's rules of strictness, each broken once: read by those who do not ask for the canonical form. */
static void loose_forms_are_told_apart(void **state)
{
    (void)state;
    static const char *const loose[] = {
        "a2616201616102",   /* keys out of order */
        "a262616101616202", /* a longer key before a shorter one */
        "a2616101616102",   /* a key twice */
        "f93c00",           /* half a float */
        "fa3fc00000",       /* a single one */
        "62c328",           /* text that is not UTF-8 */
        "a162c32801",       /* and as a key */
    };
    for (size_t i = 0; i < ARRAY_LEN(loose); i++) {
        assert_err(decode(loose[i], DAG_CBOR_CANONICAL), ERR_INVALID);
        assert_ok(decode(loose[i], DAG_CBOR_LOOSE));
    }
}

static void foreign_forms_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "1817",   /* 23 in two bytes */
        "190017", /* in three */
        "1a00000017",
        "1b0000000000000017", /* in five and nine */
        "1900ff",
        "1a0000ffff",
        "1b00000000ffffffff",
        "3817",
        "5800",
        "7800",
        "9800",
        "b800",             /* lengths likewise */
        "d9002a4500015500", /* and tags */
        "5f4100ff",
        "7f6161ff",
        "9f01ff",
        "bf616101ff",
        "ff",
        "a10101",
        "a14161f6",
        "a1f601", /* keys that are no text */
        "c001",
        "c11a514b67b0",
        "d82b4101", /* other tags */
        "d82a6161",
        "d82a01",
        "d82a40",             /* a link that is no byte string, or empty */
        "d82a4401550000",     /* no zero in front */
        "d82a46000155000000", /* a byte behind the CID */
        "f7",
        "e0",
        "f0",
        "f814",
        "f8ff", /* undefined, simple values */
        "f97c00",
        "f97e00",
        "f9fc00",
        "fa7f800000",
        "fa7fc00000",
        "fb7ff0000000000000",
        "fb7ff8000000000000",
        "0000",
        "a0a0",
        "f600", /* more than one value */
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        assert_int_not_equal(decode(refused[i], DAG_CBOR_LOOSE), ERR_OK);
        assert_int_not_equal(decode(refused[i], DAG_CBOR_CANONICAL), ERR_OK);
    }
    static const char *const cut[] = {"",   "18",     "1a000000", "41", "6261", "81",
                                      "a1", "a16161", "fb00",     "d8", "d82a", "d82a45"};
    for (size_t i = 0; i < ARRAY_LEN(cut); i++)
        assert_err(decode(cut[i], DAG_CBOR_LOOSE), ERR_TRUNCATED);
}

static enum err count(void *arg, const struct ipld_event *event)
{
    (void)event;
    ++*(size_t *)arg;
    return ERR_OK;
}

/* RELIABILITY D9-D11: claimed counts and depth cost nothing. */
static void bombs_are_refused(void **state)
{
    (void)state;
    size_t events = 0;
    assert_err(dag_cbor_decode(bytes_of_hex("ba40000000"
                                            "6161ba40000000"),
                               DAG_CBOR_LOOSE, count, &events, NULL),
               ERR_TRUNCATED);
    assert_int_equal(events, 0);
    assert_err(decode("9bffffffffffffffff", DAG_CBOR_LOOSE), ERR_TRUNCATED);
    assert_err(decode("bbffffffffffffffff", DAG_CBOR_LOOSE), ERR_TRUNCATED);
    assert_err(decode("5bffffffffffffffff", DAG_CBOR_LOOSE), ERR_TRUNCATED);
    size_t len = 1000000;
    uint8_t *nested = malloc(len);
    assert_non_null(nested);
    memset(nested, 0x81, len);
    size_t at = 0;
    assert_err(dag_cbor_decode(span_of(nested, len), DAG_CBOR_LOOSE, NULL, NULL, &at), ERR_TOO_LARGE);
    assert_int_equal(at, IPLD_DEPTH_MAX + 1);
    nested[IPLD_DEPTH_MAX] = 0xf6;
    assert_ok(dag_cbor_decode(span_of(nested, IPLD_DEPTH_MAX + 1), DAG_CBOR_LOOSE, NULL, NULL, NULL));
    free(nested);
}

static enum err stop(void *arg, const struct ipld_event *event)
{
    (void)arg;
    return event->kind == IPLD_INT && event->number == 2 ? ERR_CANCELLED : ERR_OK;
}

static void errors_have_a_place(void **state)
{
    (void)state;
    size_t at = 0;
    assert_err(dag_cbor_decode(bytes_of_hex("83010203"), DAG_CBOR_LOOSE, stop, NULL, &at), ERR_CANCELLED);
    assert_int_equal(at, 3);
    assert_err(dag_cbor_decode(bytes_of_hex("8301f703"), DAG_CBOR_LOOSE, NULL, NULL, &at), ERR_INVALID);
    assert_int_equal(at, 3);
}

struct real {
    double value;
};

static enum err keep_real(void *arg, const struct ipld_event *event)
{
    ((struct real *)arg)->value = event->real;
    return event->kind == IPLD_FLOAT ? ERR_OK : ERR_INTERNAL;
}

/* RFC 8949 appendix A. */
static void smaller_floats_are_widened(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        double value;
    } cases[] = {
        {"f90000", 0.0},
        {"f93c00", 1.0},
        {"f93e00", 1.5},
        {"f97bff", 65504.0},
        {"fa47c35000", 100000.0},
        {"f90001", 5.960464477539063e-8},
        {"f90400", 0.00006103515625},
        {"f9c400", -4.0},
        {"fb3ff199999999999a", 1.1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct real real = {0};
        assert_ok(dag_cbor_decode(bytes_of_hex(cases[i].hex), DAG_CBOR_LOOSE, keep_real, &real, NULL));
        assert_true(real.value == cases[i].value);
    }
}

/* Whatever is cut or changed in a block, nothing is read past its end. */
static void broken_blocks_end_in_time(void **state)
{
    (void)state;
    struct span block = bytes_of_hex("a4616184d82a4500015500004401020304"
                                     "63616263820120616261611a000100006162fb3ff199999999999a6163a0");
    struct prng prng;
    prng_init(&prng, 5);
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = (size_t)prng_below(&prng, block.len + 1);
        uint8_t *copy = malloc(len + 1);
        assert_non_null(copy);
        memcpy(copy, block.data, len);
        for (unsigned i = 0; len > 0 && i < round % 4; i++)
            copy[prng_below(&prng, len)] = (uint8_t)prng_next(&prng);
        struct cid cid;
        struct span rest = span_of(copy, len);
        if (dag_cbor_decode(rest, DAG_CBOR_LOOSE, NULL, NULL, NULL) == ERR_OK) {
            while (dag_cbor_next_link(&rest, &cid)) {
            }
        }
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loose_forms_are_told_apart), cmocka_unit_test(foreign_forms_are_refused),
        cmocka_unit_test(bombs_are_refused),          cmocka_unit_test(errors_have_a_place),
        cmocka_unit_test(smaller_floats_are_widened), cmocka_unit_test(broken_blocks_end_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
