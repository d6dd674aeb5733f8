/* SPDX-License-Identifier: MIT */
/*
 * The codecs against ipld/codec-fixtures: each value converts between all codecs in which the fixtures have it, byte for byte, and hashes to
 * the CID that the fixture is named by; the negative fixtures are refused. Then paths inside blocks.
 */
#include <dirent.h>
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
#include "wire/ipld_codec.h"

enum { OUT_MAX = 4 * 1024 * 1024, FORMS_MAX = 3 };

static enum err convert_at(uint32_t from, struct span block, const char *path, uint32_t to, struct buf *out,
                           struct ipld_find *ret_find)
{
    size_t read;
    buf_init(out, OUT_MAX, NULL);
    return ipld_convert(from, block, DAG_CBOR_CANONICAL, span_text(path), to, out, ret_find, &read);
}

static void assert_converts(uint32_t from, struct span block, uint32_t to, struct span expected)
{
    struct buf out;
    struct ipld_find find;
    assert_ok(convert_at(from, block, "", to, &out, &find));
    assert_int_equal(find.where, IPLD_HERE);
    assert_true(span_equal(buf_span(&out), expected));
    buf_release(&out);
}

static void assert_no_conversion(uint32_t from, struct span block, uint32_t to)
{
    struct buf out;
    struct ipld_find find;
    assert_int_not_equal(convert_at(from, block, "", to, &out, &find), ERR_OK);
    buf_release(&out);
}

/* ---- fixtures ---- */

struct form {
    uint32_t codec;
    char *bytes;
    size_t len;
};

static void read_form(const char *folder, const char *name, struct form *form)
{
    char path[1024];
    struct cid cid;
    const char *dot = strrchr(name, '.');
    assert_non_null(dot);
    assert_ok(ipld_codec_of(span_text(dot + 1), &form->codec));
    (void)snprintf(path, sizeof(path), "ipld-codec/fixtures/%s/%s", folder, name);
    form->bytes = vectors_read(path, &form->len);
    assert_non_null(form->bytes);
    assert_ok(cid_parse_text(span_of(name, (size_t)(dot - name)), &cid));
    assert_int_equal(cid.codec, form->codec);
    assert_ok(multihash_verify(&cid.hash, span_of(form->bytes, form->len)));
}

static void check_folder(const char *root, const char *name)
{
    char path[1024];
    struct form forms[FORMS_MAX];
    size_t count = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", root, name);
    DIR *files = opendir(path);
    assert_non_null(files);
    for (const struct dirent *file; (file = readdir(files)) != NULL;) {
        if (file->d_name[0] == '.')
            continue;
        assert_true(count < FORMS_MAX);
        read_form(name, file->d_name, &forms[count++]);
    }
    (void)closedir(files);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++)
            assert_converts(forms[i].codec, span_of(forms[i].bytes, forms[i].len), forms[j].codec,
                            span_of(forms[j].bytes, forms[j].len));
    }
    for (size_t i = 0; i < count; i++)
        free(forms[i].bytes);
}

static void fixtures_convert(void **state)
{
    (void)state;
    const char *found = vectors_path("ipld-codec/fixtures");
    if (found == NULL)
        skip();
    char root[512];
    (void)snprintf(root, sizeof(root), "%s", found);
    DIR *folders = opendir(root);
    assert_non_null(folders);
    unsigned seen = 0;
    for (const struct dirent *folder; (folder = readdir(folders)) != NULL;) {
        if (folder->d_name[0] == '.')
            continue;
        check_folder(root, folder->d_name);
        seen++;
    }
    (void)closedir(folders);
    assert_int_equal(seen, 128);
}

/* A few of them, for builds without the vectors. */
static void key_values_convert(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *cbor;
    } cases[] = {
        {"-11959030306112471732", "3ba5f702b3a5f702b3"},
        {"18446744073709551615", "1bffffffffffffffff"},
        {"-8.940696716308594e-8", "fbbe78000000000000"},
        {"1e-323", "fb0000000000000002"},
        {"{\"/\":{\"bytes\":\"oQ\"}}", "41a1"},
        {"{\"/\":\"bafkqabiaaebagba\"}", "d82a4a00015500050001020304"},
        {"{\"aaaaaa\":6,\"aaaaab\":7,\"aaaaac\":8,\"aaaabb\":9,\"bbbbb\":5,\"cccc\":4,\"ddd\":3,\"ee\":2,\"f\":1}",
         "a961660162656502636464640364636363630465626262626205666161616161610666616161616162076661616161616308666161616"
         "162"
         "6209"},
        {"{\"object\":{\"with\":{\"4\":\"nested\",\"objects\":{\"!\":\"!\"}}}}",
         "a1666f626a656374a16477697468a26134666e6573746564676f626a65637473a161216121"},
        {"\"\xe6\xb0\xb4\"", "63e6b0b4"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct span cbor = bytes_of_hex(cases[i].cbor);
        assert_converts(CODEC_DAG_JSON, span_text(cases[i].json), CODEC_DAG_CBOR, cbor);
        assert_converts(CODEC_DAG_CBOR, cbor, CODEC_DAG_JSON, span_text(cases[i].json));
    }
    /* dagpb_simple_forms_2 */
    assert_converts(
        CODEC_DAG_JSON,
        span_text("{\"Links\":[{\"Hash\":{\"/\":\"bafkqabiaaebagba\"}},{\"Hash\":{\"/\":\"bafkqabiaaebagba\"},"
                  "\"Name\":\"bar\"},{\"Hash\":{\"/\":\"bafkqabiaaebagba\"},\"Name\":\"foo\"}]}"),
        CODEC_DAG_PB,
        bytes_of_hex("120b0a09015500050001020304"
                     "12100a09015500050001020304120362617212100a090155000500010203041203666f6f"));
}

/* Lists and maps of each size of head. */
static void long_lists_have_long_heads(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 23, 24, 255, 256, 65535, 65536};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        struct buf json;
        struct buf cbor;
        struct buf back;
        struct ipld_find find;
        buf_init(&json, OUT_MAX, NULL);
        assert_ok(buf_append_text(&json, "[[{\"a\":["));
        for (size_t n = 0; n < counts[i]; n++)
            assert_ok(buf_append_text(&json, n == 0 ? "1" : ",1"));
        assert_ok(buf_append_text(&json, "],\"b\":[]}],2]"));
        assert_ok(convert_at(CODEC_DAG_JSON, buf_span(&json), "", CODEC_DAG_CBOR, &cbor, &find));
        assert_int_equal(cbor.len, 10 + dag_cbor_head_size(counts[i]) + counts[i] - 1);
        assert_ok(convert_at(CODEC_DAG_CBOR, buf_span(&cbor), "", CODEC_DAG_JSON, &back, &find));
        assert_true(span_equal(buf_span(&json), buf_span(&back)));
        buf_release(&json);
        buf_release(&cbor);
        buf_release(&back);
    }
}

/* Entries that come in any order are written in the codec's. */
static void maps_are_sorted(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 9);
    for (unsigned round = 0; round < 300; round++) {
        struct buf json;
        struct buf cbor;
        struct ipld_find find;
        size_t count = (size_t)prng_below(&prng, 60);
        size_t step = 1 + 2 * (size_t)prng_below(&prng, 20); /* 61 is a prime */
        buf_init(&json, OUT_MAX, NULL);
        assert_ok(buf_append_byte(&json, '{'));
        for (size_t i = 0; i < count; i++) {
            size_t key = i * step % 61;
            assert_ok(buf_appendf(&json, "%s\"%.*s%zu\":{\"y\":%zu,\"x\":{}}", i > 0 ? "," : "", (int)(key % 5),
                                  "kkkkk", key, i));
        }
        assert_ok(buf_append_byte(&json, '}'));
        assert_ok(convert_at(CODEC_DAG_JSON, buf_span(&json), "", CODEC_DAG_CBOR, &cbor, &find));
        assert_ok(dag_cbor_decode(buf_span(&cbor), DAG_CBOR_CANONICAL, NULL, NULL, NULL));
        struct buf sorted;
        struct buf again;
        assert_ok(convert_at(CODEC_DAG_CBOR, buf_span(&cbor), "", CODEC_DAG_JSON, &sorted, &find));
        assert_ok(convert_at(CODEC_DAG_JSON, buf_span(&json), "", CODEC_DAG_JSON, &again, &find));
        assert_true(span_equal(buf_span(&sorted), buf_span(&again)));
        buf_release(&json);
        buf_release(&cbor);
        buf_release(&sorted);
        buf_release(&again);
    }
}

/* ipld/codec-fixtures negative-fixtures: the forms that are no dag-pb, and keys that stand twice. */
static void foreign_forms_are_refused(void **state)
{
    (void)state;
    static const char *const forms[] = {
        "true",
        "false",
        "null",
        "0",
        "101",
        "-101",
        "1.1",
        "\"blip\"",
        "[]",
        "{\"/\":{\"bytes\":\"AQID\"}}",
        "{\"/\":\"QmNPWHBrVQiiV8FpyNuEPhB9E2rbvdy9Yx79EY1EJuyf9o\"}",
        "{}",
        "{\"Data\":null,\"Links\":null}",
        "{\"Data\":null,\"Links\":[]}",
        "{\"Links\":null}",
        "{\"Links\":[{}]}",
        "{\"Data\":{\"/\":{\"bytes\":\"AQID\"}},\"Links\":[{}]}",
        "{\"Data\":{\"/\":{\"bytes\":\"AQID\"}},\"extraneous\":true}",
        "{\"Data\":{\"/\":{\"bytes\":\"AQID\"}}}",
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"extraneous\":true}]}",
        "{\"Data\":true,\"Links\":[]}",
        "{\"Data\":0,\"Links\":[]}",
        "{\"Data\":[],\"Links\":[]}",
        "{\"Data\":{},\"Links\":[]}",
        "{\"Data\":\"x\",\"Links\":[]}",
        "{\"Links\":{}}",
        "{\"Links\":[1]}",
        "{\"Links\":[{\"Hash\":\"x\"}]}",
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"Name\":1}]}",
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"Tsize\":-1}]}",
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"Tsize\":\"1\"}]}",
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"Tsize\":9223372036854775808}]}",
        "{\"Links\":[],\"Links\":[]}",
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaaa\"},\"Hash\":{\"/\":\"bafkqaaa\"}}]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(forms); i++)
        assert_no_conversion(CODEC_DAG_JSON, span_text(forms[i]), CODEC_DAG_PB);
    assert_no_conversion(CODEC_DAG_JSON, span_text("{\"foo\":1,\"foo\":2,\"bar\":3}"), CODEC_DAG_CBOR);
    assert_no_conversion(CODEC_DAG_CBOR, bytes_of_hex("a3636261720363666f6f0163666f6f02"), CODEC_DAG_JSON);
    assert_no_conversion(CODEC_DAG_JSON, span_text("[1]"), CODEC_RAW);
    assert_no_conversion(CODEC_LIBP2P_KEY, span_text("1"), CODEC_DAG_JSON);
    /* what dag-json has no form for */
    struct buf out;
    struct ipld_find find;
    size_t read;
    buf_init(&out, OUT_MAX, NULL);
    assert_err(ipld_convert(CODEC_DAG_CBOR, bytes_of_hex("62c328"), DAG_CBOR_LOOSE, (struct span){0}, CODEC_DAG_JSON,
                            &out, &find, &read),
               ERR_UNSUPPORTED);
    buf_release(&out);
    assert_no_conversion(CODEC_DAG_CBOR, bytes_of_hex("a1612f6161"), CODEC_DAG_JSON);
    assert_converts(CODEC_RAW, span_text("\x01\x02\x03"), CODEC_DAG_JSON, span_text("{\"/\":{\"bytes\":\"AQID\"}}"));
    assert_converts(CODEC_DAG_CBOR, bytes_of_hex("43010203"), CODEC_RAW, bytes_of_hex("010203"));
}

/* Links are written sorted by name, those of one name as they came. */
static void dag_pb_links_are_sorted(void **state)
{
    (void)state;
    struct buf out;
    struct buf json;
    struct ipld_find find;
    static const char unsorted[] =
        "{\"Links\":[{\"Hash\":{\"/\":\"bafkqaalc\"},\"Name\":\"b\"},{\"Hash\":{\"/\":\"bafkqaald\"},\"Name\":\"a\"},"
        "{\"Hash\":{\"/\":\"bafkqaale\"},\"Name\":\"b\"},{\"Hash\":{\"/\":\"bafkqaalf\"}}],\"Data\":{\"/"
        "\":{\"bytes\":\"\"}}}";
    static const char sorted[] =
        "{\"Data\":{\"/\":{\"bytes\":\"\"}},\"Links\":[{\"Hash\":{\"/\":\"bafkqaalf\"}},{\"Hash\":{\"/"
        "\":\"bafkqaald\"},\"Name\":\"a\"},"
        "{\"Hash\":{\"/\":\"bafkqaalc\"},\"Name\":\"b\"},{\"Hash\":{\"/\":\"bafkqaale\"},\"Name\":\"b\"}]}";
    assert_ok(convert_at(CODEC_DAG_JSON, span_text(unsorted), "", CODEC_DAG_PB, &out, &find));
    assert_ok(convert_at(CODEC_DAG_PB, buf_span(&out), "", CODEC_DAG_JSON, &json, &find));
    assert_true(span_equal_text(buf_span(&json), sorted));
    buf_release(&out);
    buf_release(&json);
}

/* ---- paths ---- */

static void paths_lead_to_values(void **state)
{
    (void)state;
    static const char block[] =
        "{\"a\":[{\"b\":{\"/"
        "\":\"bafkqaaa\"}},2,[],{\"b\":{\"c\":[0,[1,2]]}}],\"b\":{\"a\":\"x\"},\"c\":[[[\"deep\"]]]}";
    static const struct {
        const char *path;
        enum ipld_where where;
        size_t used;
        const char *value;
    } cases[] = {
        {"", IPLD_HERE, 0, block},
        {"a/1", IPLD_HERE, 3, "2"},
        {"a/2", IPLD_HERE, 3, "[]"},
        {"a/3/b", IPLD_HERE, 5, "{\"c\":[0,[1,2]]}"},
        {"a/3/b/c/1/0", IPLD_HERE, 11, "1"},
        {"a/0/b", IPLD_LINKED, 5, ""},
        {"a/0/b/x/y", IPLD_LINKED, 6, ""},
        {"b/a", IPLD_HERE, 3, "\"x\""},
        {"c/0/0/0", IPLD_HERE, 7, "\"deep\""},
        {"c", IPLD_HERE, 1, "[[[\"deep\"]]]"},
        {"x", IPLD_NOWHERE, 0, ""},
        {"a/4", IPLD_NOWHERE, 0, ""},
        {"a/01", IPLD_NOWHERE, 0, ""},
        {"a/-1", IPLD_NOWHERE, 0, ""},
        {"a/1/x", IPLD_NOWHERE, 0, ""},
        {"a/2/0", IPLD_NOWHERE, 0, ""},
        {"b/a/x", IPLD_NOWHERE, 0, ""},
        {"a/b", IPLD_NOWHERE, 0, ""},
        {"0", IPLD_NOWHERE, 0, ""},
    };
    struct buf cbor;
    struct ipld_find find;
    assert_ok(convert_at(CODEC_DAG_JSON, span_text(block), "", CODEC_DAG_CBOR, &cbor, &find));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out;
        for (unsigned from = 0; from < 2; from++) {
            assert_ok(convert_at(from == 0 ? CODEC_DAG_JSON : CODEC_DAG_CBOR,
                                 from == 0 ? span_text(block) : buf_span(&cbor), cases[i].path, CODEC_DAG_JSON, &out,
                                 &find));
            assert_int_equal(find.where, cases[i].where);
            assert_true(span_equal_text(buf_span(&out), cases[i].value));
            if (find.where == IPLD_LINKED)
                assert_int_equal(find.used, cases[i].used);
            buf_release(&out);
        }
    }
    buf_release(&cbor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures_convert),           cmocka_unit_test(key_values_convert),
        cmocka_unit_test(long_lists_have_long_heads), cmocka_unit_test(maps_are_sorted),
        cmocka_unit_test(foreign_forms_are_refused),  cmocka_unit_test(dag_pb_links_are_sorted),
        cmocka_unit_test(paths_lead_to_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
