/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <msgpack.h>

#include "base/random.h"
#include "schemas/messages.h"
#include "schemas/walk.h"

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

static void kinds_ascend_and_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_messages.count; i++) {
        const struct schema *s = &schema_messages.schemas[i];
        assert_true(i == 0 || schema_messages.schemas[i - 1].kind < s->kind);
        assert_ptr_equal(schema_find(&schema_messages, s->kind), s);
        assert_true(s->field_count <= 24);
    }
    assert_null(schema_find(&schema_messages, 0));
    assert_null(schema_find(&schema_messages, 0xffff));
}

/* Facts of the msgpack specification: 93 = array of 3, c4 = bin 8, cd = uint 16, c0 = nil. */
static void the_array_form_is_as_specified(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1024, NULL);
    struct msg_fetch fetch = {.cid = span_of("\x01\x55", 2), .session = 0x1234};
    const struct schema *s = schema_find(&schema_messages, MSG_FETCH);
    assert_ok(schema_pack(s, SCHEMA_ARRAY, &fetch, &b));
    assert_true(span_equal(buf_span(&b), span_of("\x92\xc4\x02\x01\x55\xcd\x12\x34", 8)));
    fetch.session = 0;
    buf_clear(&b);
    assert_ok(schema_pack(s, SCHEMA_ARRAY, &fetch, &b));
    assert_true(span_equal(buf_span(&b), span_of("\x92\xc4\x02\x01\x55\xc0", 6)));
    buf_clear(&b);
    assert_ok(schema_pack(s, SCHEMA_MAP, &fetch, &b));
    assert_true(span_equal(buf_span(&b), span_of("\x81\xa3"
                                                 "cid\xc4\x02\x01\x55",
                                                 9)));
    buf_release(&b);
}

static void expect_refusal(const struct schema *s, enum schema_form form, const char *bytes, size_t len, enum err want,
                           const char *why_part)
{
    uint64_t fields[64];
    char why[128] = "";
    assert_true(s->struct_bytes <= sizeof(fields));
    assert_int_equal(schema_unpack(s, form, span_of(bytes, len), fields, why, sizeof(why)), want);
    if (strstr(why, why_part) == NULL)
        fail_msg("\"%s\" does not name %s", why, why_part);
}

static void refusals_name_the_field(void **state)
{
    (void)state;
    const struct schema *s = schema_find(&schema_messages, MSG_FETCH);
    expect_refusal(s, SCHEMA_ARRAY, "", 0, ERR_TRUNCATED, "fetch");
    expect_refusal(s, SCHEMA_ARRAY, "\x80", 1, ERR_INVALID, "array");
    expect_refusal(s, SCHEMA_ARRAY, "\x91\xc0", 2, ERR_INVALID, "fields");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xc0\xc0", 3, ERR_INVALID, "cid: is missing");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xc4\x00\xc0", 4, ERR_TOO_LARGE, "cid: 1 to 168");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xa1x\xc0", 4, ERR_INVALID, "cid: must be bytes");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xc4\x05\x01", 4, ERR_TRUNCATED, "cid");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xc4\x01\x01\xff", 5, ERR_INVALID, "session: must be");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xc4\x01\x01\xc1", 5, ERR_INVALID, "session");
    expect_refusal(s, SCHEMA_ARRAY, "\x92\xc4\x01\x01\xc0\xc0", 6, ERR_INVALID, "too many");
    expect_refusal(s, SCHEMA_MAP, "\x80", 1, ERR_INVALID, "cid: is missing");
    expect_refusal(s, SCHEMA_MAP, "\x81\xa1x\x01", 4, ERR_INVALID, "no field is named x");
    expect_refusal(s, SCHEMA_MAP, "\x81\x01\x01", 3, ERR_INVALID, "not text");
    expect_refusal(s, SCHEMA_MAP,
                   "\x82\xa3"
                   "cid\xc4\x01\x01\xa3"
                   "cid\xc4\x01\x01",
                   15, ERR_INVALID, "twice");
}

/* A claim of 2^32-1 items in a few bytes must end at once, and lists must hold their limits. */
static void claims_are_not_believed(void **state)
{
    (void)state;
    const struct schema *has = schema_find(&schema_messages, MSG_BLOCK_HAS);
    expect_refusal(has, SCHEMA_ARRAY, "\x93\xdd\xff\xff\xff\xff", 6, ERR_TRUNCATED, "cids");
    expect_refusal(has, SCHEMA_ARRAY, "\xdd\xff\xff\xff\xff", 5, ERR_TRUNCATED, "block_has");
    expect_refusal(has, SCHEMA_MAP, "\xdf\xff\xff\xff\xff", 5, ERR_TRUNCATED, "block_has");
    expect_refusal(has, SCHEMA_ARRAY, "\x93\x91\x01\xc0\xc0", 5, ERR_INVALID, "cids: an item is not bytes");
    struct buf b;
    buf_init(&b, 1 << 20, NULL);
    assert_ok(buf_append(&b, "\x93\xdc\x04\x01", 4)); /* 1,025 items */
    for (int i = 0; i < 1025; i++)
        assert_ok(schema_list_add_bytes(&b, span_text("c")));
    assert_ok(buf_append(&b, "\xc0\xc0", 2));
    expect_refusal(has, SCHEMA_ARRAY, (const char *)b.data, b.len, ERR_TOO_LARGE, "cids: has 1025 items");
    buf_clear(&b);
    static const char large[MSG_CID_MAX + 1];
    assert_ok(buf_append(&b, "\x93\x91", 2));
    assert_ok(schema_list_add_bytes(&b, span_of(large, sizeof(large))));
    assert_ok(buf_append(&b, "\xc0\xc0", 2));
    expect_refusal(has, SCHEMA_ARRAY, (const char *)b.data, b.len, ERR_TOO_LARGE, "cids: an item is over");
    buf_release(&b);
}

static void packing_refuses_what_breaks_the_declaration(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 16, NULL);
    const struct schema *s = schema_find(&schema_messages, MSG_EVENT);
    struct msg_event event = {.actor = span_text("a"), .event = span_text("")};
    assert_int_equal(schema_pack(s, SCHEMA_ARRAY, &event, &b), ERR_INVALID);
    event.event = span_text("\xff");
    assert_int_equal(schema_pack(s, SCHEMA_ARRAY, &event, &b), ERR_INVALID);
    event.event = span_text("longer than the sixteen bytes");
    assert_int_equal(schema_pack(s, SCHEMA_ARRAY, &event, &b), ERR_TOO_LARGE);
    assert_int_equal(b.len, 0);
    buf_release(&b);
}

static void text_is_utf8(void **state)
{
    (void)state;
    assert_true(utf8_valid(span_text("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x94\xa5")));
    const char *bad[] = {
        "\x80", "\xc0\x80", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(utf8_valid(span_text(bad[i])));
}

static void depth_is_bounded(void **state)
{
    (void)state;
    uint8_t nested[1000];
    memset(nested, 0x91, sizeof(nested));
    struct walk walk = {.left = span_of(nested, sizeof(nested))};
    assert_int_equal(walk_skip(&walk, NULL), ERR_TOO_LARGE);
    nested[WALK_DEPTH_MAX] = 0xc0;
    walk = (struct walk){.left = span_of(nested, sizeof(nested))};
    struct span raw;
    assert_ok(walk_skip(&walk, &raw));
    assert_int_equal(raw.len, WALK_DEPTH_MAX + 1);
}

/* ---- a random message of every kind, both forms ---- */

static struct span random_bytes(struct prng *prng, struct buf *arena, size_t min, size_t max)
{
    size_t len = min + (size_t)prng_below(prng, MIN(max - min, (size_t)40) + 1);
    uint8_t *at = buf_reserve(arena, len);
    assert_non_null(at);
    for (size_t i = 0; i < len; i++)
        at[i] = (uint8_t)('a' + prng_below(prng, 26));
    buf_commit(arena, len);
    return span_of(at, len);
}

static void fill_random(struct prng *prng, const struct schema *s, void *fields, struct buf *arena);

static struct schema_list random_list(struct prng *prng, const struct field *f, struct buf *arena)
{
    struct buf items;
    buf_init(&items, 1 << 16, NULL);
    uint32_t count = (uint32_t)prng_below(prng, MIN(f->max, 5u) + 1);
    for (uint32_t i = 0; i < count; i++) {
        if (f->item == FIELD_U64) {
            assert_ok(schema_list_add_u64(&items, prng_next(prng)));
        } else if (f->item == FIELD_MAP) {
            uint64_t item[64] = {0};
            fill_random(prng, f->nested, item, arena);
            assert_ok(schema_list_add_map(&items, f->nested, item));
        } else {
            struct span bytes = random_bytes(prng, arena, 0, f->item_max);
            assert_ok(f->item == FIELD_TEXT ? schema_list_add_text(&items, bytes)
                                            : schema_list_add_bytes(&items, bytes));
        }
    }
    uint8_t *at = buf_reserve(arena, items.len);
    assert_non_null(at);
    if (items.len > 0)
        memcpy(at, items.data, items.len);
    buf_commit(arena, items.len);
    struct schema_list list = {.raw = span_of(at, items.len), .count = count};
    buf_release(&items);
    return list;
}

static void fill_random(struct prng *prng, const struct schema *s, void *fields, struct buf *arena)
{
    for (size_t i = 0; i < s->field_count; i++) {
        const struct field *f = &s->fields[i];
        void *at = (uint8_t *)fields + f->offset;
        if (!f->required && prng_below(prng, 3) == 0)
            continue;
        uint64_t wide = prng_next(prng) >> prng_below(prng, 64);
        if (f->type == FIELD_BOOL)
            *(bool *)at = prng_below(prng, 2) == 1;
        else if (f->type == FIELD_U64)
            *(uint64_t *)at = f->max - f->min == UINT64_MAX ? wide : f->min + wide % (f->max - f->min + 1);
        else if (f->type == FIELD_I64)
            *(int64_t *)at = (int64_t)(f->min + wide % (f->max - f->min + 1));
        else if (f->type == FIELD_F64)
            *(double *)at = (double)wide / 3;
        else if (f->type == FIELD_LIST)
            *(struct schema_list *)at = random_list(prng, f, arena);
        else
            *(struct span *)at = random_bytes(prng, arena, (size_t)f->min, (size_t)f->max);
    }
}

static void random_messages_survive_both_forms(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 7);
    struct buf arena, first, second;
    buf_init(&arena, 1 << 20, NULL);
    buf_init(&first, 1 << 20, NULL);
    buf_init(&second, 1 << 20, NULL);
    assert_non_null(buf_reserve(&arena, 1 << 20)); /* spans into it stay valid */
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < schema_messages.count; i++) {
            const struct schema *s = &schema_messages.schemas[i];
            for (int form = SCHEMA_ARRAY; form <= SCHEMA_MAP; form++) {
                uint64_t in[64] = {0}, out[64];
                char why[128] = "";
                buf_clear(&arena);
                buf_clear(&first);
                buf_clear(&second);
                fill_random(&prng, s, in, &arena);
                assert_ok(schema_pack(s, (enum schema_form)form, in, &first));
                if (schema_unpack(s, (enum schema_form)form, buf_span(&first), out, why, sizeof(why)) != ERR_OK)
                    fail_msg("%s: %s", s->name, why);
                assert_ok(schema_pack(s, (enum schema_form)form, out, &second));
                assert_true(span_equal(buf_span(&first), buf_span(&second)));
                /* Every prefix is refused, never read past. */
                size_t cut = first.len == 0 ? 0 : (size_t)prng_below(&prng, first.len);
                assert_int_not_equal(
                    schema_unpack(s, (enum schema_form)form, span_of(first.data, cut), out, why, sizeof(why)), ERR_OK);
            }
        }
    }
    buf_release(&arena);
    buf_release(&first);
    buf_release(&second);
}

static void lists_read_back(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096, NULL);
    struct item_pin pins[2] = {{.cid = span_text("c1"), .recursive = true},
                               {.cid = span_text("c2"), .name = span_text("n")}};
    assert_ok(schema_list_add_map(&b, &schema_item_pin, &pins[0]));
    assert_ok(schema_list_add_map(&b, &schema_item_pin, &pins[1]));
    struct schema_list list = schema_list_of(&b, 2);
    size_t position = 0;
    struct item_pin pin;
    assert_true(schema_list_next_map(&list, &schema_item_pin, &position, &pin));
    assert_true(pin.recursive && span_equal_text(pin.cid, "c1"));
    assert_true(schema_list_next_map(&list, &schema_item_pin, &position, &pin));
    assert_true(!pin.recursive && span_equal_text(pin.name, "n"));
    assert_false(schema_list_next_map(&list, &schema_item_pin, &position, &pin));
    buf_release(&b);
}

/* msgpack-c as the independent witness: what it packs, the walk reads. */
static void the_walk_agrees_with_the_library(void **state)
{
    (void)state;
    int64_t numbers[] = {0,         1,  127, 128, 255,  256,  65535,  65536,     INT32_MAX,
                         INT64_MAX, -1, -32, -33, -128, -129, -32769, INT32_MIN, INT64_MIN};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        msgpack_sbuffer packed;
        msgpack_sbuffer_init(&packed);
        msgpack_packer packer;
        msgpack_packer_init(&packer, &packed, msgpack_sbuffer_write);
        msgpack_pack_int64(&packer, numbers[i]);
        struct walk walk = {.left = span_of(packed.data, packed.size)};
        struct walk_token token;
        assert_ok(walk_next(&walk, &token));
        assert_int_equal(walk.left.len, 0);
        int64_t got = token.type == WALK_U64 ? (int64_t)token.u64 : token.i64;
        assert_true(got == numbers[i]);
        msgpack_sbuffer_destroy(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_ascend_and_are_found),
        cmocka_unit_test(the_array_form_is_as_specified),
        cmocka_unit_test(refusals_name_the_field),
        cmocka_unit_test(claims_are_not_believed),
        cmocka_unit_test(packing_refuses_what_breaks_the_declaration),
        cmocka_unit_test(text_is_utf8),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(random_messages_survive_both_forms),
        cmocka_unit_test(lists_read_back),
        cmocka_unit_test(the_walk_agrees_with_the_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
