/* SPDX-License-Identifier: MIT */
/*
 * dag-pb against ipld/codec-fixtures: each decodes and encodes to the same bytes and CID; the negative ones are
 * refused.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "wire/cid.h"
#include "wire/dag_pb.h"

enum { LINKS_MAX = 64 };

/* sha2-256 CIDs for hand-made links. */
static const uint8_t some_cid[34] = {0x12, 0x20, 1, 2, 3};

static size_t from_hex(const char *hex, uint8_t *to, size_t cap)
{
    size_t len = strlen(hex) / 2;
    assert_true(len <= cap);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (uint8_t)byte;
    }
    return len;
}

static enum err decode_hex(const char *hex, struct dag_pb_node *ret_node)
{
    static uint8_t bytes[1024];
    return dag_pb_decode(span_of(bytes, from_hex(hex, bytes, sizeof(bytes))), ret_node);
}

static void assert_encodes_back(struct span block)
{
    struct dag_pb_node node;
    assert_int_equal(dag_pb_decode(block, &node), ERR_OK);
    struct dag_pb_link links[LINKS_MAX];
    size_t count = 0;
    size_t size = node.has_data ? dag_pb_data_size(node.data.len) : 0;
    struct span rest = node.links;
    while (dag_pb_next_link(&rest, &links[count])) {
        size += dag_pb_link_size(&links[count]);
        assert_true(++count < LINKS_MAX);
    }
    assert_int_equal(count, node.link_count);
    assert_int_equal(size, block.len);
    struct buf out;
    buf_init(&out, 1 << 20, NULL);
    assert_int_equal(dag_pb_append(&out, links, count, node.has_data ? &node.data : NULL), ERR_OK);
    assert_true(span_equal(buf_span(&out), block));
    buf_release(&out);
}

#ifdef HEARTH_VECTORS
static void check_fixture(const char *folder, const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t bytes[8192];
    size_t len = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    assert_encodes_back(span_of(bytes, len));
    struct cid cid;
    struct span text = span_first(span_text(name), strlen(name) - strlen(".dag-pb"));
    assert_int_equal(cid_parse_text(text, &cid), ERR_OK);
    assert_int_equal(multihash_verify(&cid.hash, span_of(bytes, len)), ERR_OK);
}

static void fixtures_encode_back(void **state)
{
    (void)state;
    static const char root[] = HEARTH_VECTORS "/ipld-codec/fixtures";
    DIR *folders = opendir(root);
    assert_non_null(folders);
    unsigned seen = 0;
    for (const struct dirent *folder; (folder = readdir(folders)) != NULL;) {
        if (strncmp(folder->d_name, "dagpb_", 6) != 0)
            continue;
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/%s", root, folder->d_name);
        DIR *files = opendir(path);
        assert_non_null(files);
        for (const struct dirent *file; (file = readdir(files)) != NULL;) {
            if (strstr(file->d_name, ".dag-pb") == NULL)
                continue;
            check_fixture(path, file->d_name);
            seen++;
        }
        (void)closedir(files);
    }
    (void)closedir(folders);
    assert_int_equal(seen, 17);
}
#else
static void fixtures_encode_back(void **state)
{
    (void)state;
    print_message("no HEARTH_VECTORS: fixtures skipped\n");
    skip();
}
#endif

/* ipld/codec-fixtures negative-fixtures/dag-pb/decode/edges.json, all nine; then our own. */
static void malformed_nodes_are_refused(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "1200",
        "12000a050001020304",
        "12020a00",
        "12021200",
        "120b1209736f6d65206e616d65",
        "12021800",
        "120318f207",
        "12240a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df650a0408021806"
        "12240a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65",
        "0a000a00",               /* data twice */
        "08ff",                   /* a varint field */
        "1a00",                   /* field 3 */
        "0a05aabb",               /* data ends too early */
        "0a8000",                 /* length not minimal */
        "0affffffffffffffffff01", /* length over 63 bits */
        "12",
        "12260a24",
        /* Name before Hash; Hash twice; a trailing byte after Tsize */
        "122612000a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65",
        "12480a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65"
        "0a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65",
        "12270a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65180000",
        /* a CID with a byte too many */
        "12250a231220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df6500",
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        struct dag_pb_node node;
        assert_int_not_equal(decode_hex(refused[i], &node), ERR_OK);
    }
}

static void data_may_come_first(void **state)
{
    (void)state;
    struct dag_pb_node node;
    assert_int_equal(decode_hex("0a0408021806"
                                "12240a221220cf92fdefcdc34cac009c8b05eb662be0618db9de55ecd42785e9ec6712f8df65",
                                &node),
                     ERR_OK);
    assert_int_equal(node.link_count, 1);
    assert_int_equal(node.data.len, 4);
    assert_int_equal(decode_hex("", &node), ERR_OK);
    assert_false(node.has_data);
}

/* A file link as Kubo writes it: an empty name that is present. */
static void empty_names_are_written_when_asked(void **state)
{
    (void)state;
    struct dag_pb_link link = {
        .cid = span_of(some_cid, sizeof(some_cid)), .has_name = true, .tsize = 5, .has_tsize = true};
    uint8_t bytes[64];
    size_t len = (size_t)(dag_pb_put_link(bytes, &link) - bytes);
    assert_int_equal(len, 2 + 36 + 2 + 2);
    assert_int_equal(dag_pb_link_size(&link), len);
    static const uint8_t tail[] = {0x12, 0x00, 0x18, 0x05};
    assert_memory_equal(bytes + len - 4, tail, 4);
    link.has_name = false;
    assert_int_equal(dag_pb_link_size(&link), len - 2);
}

static void random_nodes_encode_back(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 21);
    uint8_t noise[512];
    for (unsigned round = 0; round < 500; round++) {
        prng_fill(&prng, noise, sizeof(noise));
        struct dag_pb_link links[8] = {0};
        size_t count = (size_t)prng_below(&prng, ARRAY_LEN(links));
        for (size_t i = 0; i < count; i++) {
            links[i].cid = span_of(some_cid, sizeof(some_cid));
            links[i].has_name = prng_below(&prng, 2) == 0;
            links[i].name = links[i].has_name ? span_of(noise, (size_t)prng_below(&prng, 200)) : (struct span){0};
            links[i].has_tsize = prng_below(&prng, 2) == 0;
            links[i].tsize = links[i].has_tsize ? prng_next(&prng) >> (1 + prng_below(&prng, 63)) : 0;
        }
        struct span data = span_of(noise, (size_t)prng_below(&prng, sizeof(noise)));
        struct buf out;
        buf_init(&out, 1 << 16, NULL);
        assert_int_equal(dag_pb_append(&out, links, count, round % 3 == 0 ? NULL : &data), ERR_OK);
        assert_encodes_back(buf_span(&out));
        /* Every cut is an error or a smaller node, never a read past the end. */
        for (size_t cut = 0; cut < out.len; cut += 7) {
            struct dag_pb_node node;
            (void)!dag_pb_decode(span_first(buf_span(&out), cut), &node);
        }
        buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixtures_encode_back),     cmocka_unit_test(malformed_nodes_are_refused),
        cmocka_unit_test(data_may_come_first),      cmocka_unit_test(empty_names_are_written_when_asked),
        cmocka_unit_test(random_nodes_encode_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
