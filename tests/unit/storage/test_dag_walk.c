/* SPDX-License-Identifier: MIT */
/* Walks visit each block once in one order, within their window; what cannot be followed is said. */
#include "tests/support/import_model.h"

#include "storage/cid_set.h"
#include "storage/dag_walk.h"
#include "wire/dag_pb.h"

enum { PENDING_MAX = 256 };

/* Walks to the end; the visited CIDs go to order, as text. */
static enum err walk_all(const struct block_store *store, const struct cid *root,
                         const struct dag_walk_options *options, struct prng *prng, struct buf *order,
                         size_t *ret_asked)
{
    struct dag_walk *w;
    assert_ok(dag_walk_new(root, options, &w));
    struct cid pending[PENDING_MAX];
    size_t count = 0;
    size_t asked = 0;
    size_t visits = 0;
    struct cid_set seen;
    cid_set_init(&seen, 1 << 20, NULL);
    enum err err = ERR_AGAIN;
    while (err == ERR_OK || err == ERR_AGAIN) {
        struct dag_visit visit;
        err = dag_walk_next(w, &visit);
        for (; dag_walk_next_want(w, &pending[count]) == ERR_OK; asked++)
            assert_true(++count <= options->window_blocks + 1);
        if (err == ERR_OK) {
            uint8_t cid[CID_BYTES_MAX];
            assert_ok(buf_append(order, cid, cid_encode(&visit.cid, cid)));
            if (visit.block != NULL)
                assert_ok(multihash_verify(&visit.cid.hash, block_ref_span(visit.block)));
            block_ref_unref(visit.block);
            visits++;
            bool is_new;
            assert_ok(cid_set_add(&seen, &visit.cid, &is_new));
            assert_true(is_new);
        } else if (err == ERR_AGAIN) {
            assert_true(count > 0);
            size_t i = (size_t)prng_below(prng, count);
            struct cid cid = pending[i];
            pending[i] = pending[--count];
            (void)!dag_walk_put(w, &cid, store_get(store, &cid));
        }
    }
    if (err == ERR_CLOSED)
        assert_int_equal(visits, dag_walk_found(w));
    assert_int_equal(err == ERR_CLOSED, strlen(dag_walk_why(w)) == 0);
    cid_set_release(&seen);
    dag_walk_free(w);
    *ret_asked = asked;
    return err;
}

static void each_block_once(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 8);
    static uint8_t bytes[30000];
    prng_fill(&prng, bytes, sizeof(bytes));
    memset(bytes + 10000, 7, 10000);
    struct account account;
    account_init(&account, "test", 1 << 24);
    for (unsigned round = 0; round < 60; round++) {
        struct import_options options = import_options_of(round % 2 ? IMPORT_UNIXFS_V0_2015 : IMPORT_UNIXFS_V1_2025);
        options.chunk_bytes = 50 + (uint32_t)prng_below(&prng, 300);
        options.max_links = 2 + (uint32_t)prng_below(&prng, 9);
        struct block_store store;
        store_init(&store);
        struct span content = span_first(span_of(bytes, sizeof(bytes)), (size_t)prng_below(&prng, sizeof(bytes)));
        struct import_node root = import_bytes(&options, &store, content, NULL);
        struct buf first;
        struct buf order;
        buf_init(&first, 1 << 20, NULL);
        buf_init(&order, 1 << 20, NULL);
        struct dag_walk_options walk = {.window_blocks = 1, .window_bytes = 1, .account = &account};
        walk.depth_max = DAG_WALK_DEPTH_ALL;
        walk.fetch_leaves = true;
        size_t asked;
        assert_int_equal(walk_all(&store, &root.cid, &walk, &prng, &first, &asked), ERR_CLOSED);
        assert_int_equal(asked, table_len(&store.blocks));
        walk.window_blocks = 1 + (size_t)prng_below(&prng, 30);
        walk.window_bytes = 1 << 24;
        walk.fetch_leaves = round % 3 == 0;
        assert_int_equal(walk_all(&store, &root.cid, &walk, &prng, &order, &asked), ERR_CLOSED);
        assert_int_equal(first.len, order.len);
        if (content.len <= 10000) /* nothing repeated: one order whatever arrives when */
            assert_true(span_equal(buf_span(&first), buf_span(&order)));
        if (!walk.fetch_leaves && options.raw_leaves)
            assert_true(asked < table_len(&store.blocks));
        walk.depth_max = 1; /* the links of one block: refs */
        walk.fetch_leaves = false;
        buf_clear(&order);
        assert_int_equal(walk_all(&store, &root.cid, &walk, &prng, &order, &asked), ERR_CLOSED);
        assert_int_equal(asked, root.cid.codec == CODEC_RAW ? 0 : 1);
        buf_release(&first);
        buf_release(&order);
        store_release(&store);
        assert_int_equal(account_used(&account), 0);
    }
}

/* A tower of nodes that each link twice to the next: 2^60 paths, 61 blocks. */
static void shared_subtrees_are_walked_once(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(&store);
    struct import_node node = import_bytes(&options, &store, span_text("x"), NULL);
    for (unsigned i = 0; i < 3000; i++) {
        uint8_t cid[CID_BYTES_MAX];
        struct dag_pb_link link = {.cid = span_of(cid, cid_encode(&node.cid, cid))};
        struct dag_pb_link links[] = {link, link};
        struct buf bytes;
        buf_init(&bytes, 4096, NULL);
        assert_ok(dag_pb_append(&bytes, links, 2, NULL));
        struct block_ref *block = block_ref_copy(buf_span(&bytes), NULL);
        assert_ok(import_emit(&options, &sink, CODEC_DAG_PB, block, &node.cid));
        block_ref_unref(block);
        buf_release(&bytes);
    }
    struct prng prng;
    prng_init(&prng, 1);
    struct buf order;
    buf_init(&order, 1 << 20, NULL);
    struct dag_walk_options walk = {.window_blocks = 8, .window_bytes = 1 << 24, .depth_max = DAG_WALK_DEPTH_ALL};
    walk.fetch_leaves = true;
    size_t asked;
    assert_int_equal(walk_all(&store, &node.cid, &walk, &prng, &order, &asked), ERR_CLOSED);
    assert_int_equal(asked, 3001);
    walk.blocks_max = 100;
    assert_int_equal(walk_all(&store, &node.cid, &walk, &prng, &order, &asked), ERR_BUSY);
    buf_release(&order);
    store_release(&store);
}

/* 40 equal chunks under one node: forgotten leaves are visited each time, and take no memory. */
static void leaves_may_be_forgotten(void **state)
{
    (void)state;
    static uint8_t bytes[40 * 100];
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    options.chunk_bytes = 100;
    struct block_store store;
    store_init(&store);
    struct import_node root = import_bytes(&options, &store, span_of(bytes, sizeof(bytes)), NULL);
    for (unsigned forget = 0; forget < 2; forget++) {
        struct dag_walk_options how = {.window_blocks = 4, .window_bytes = 1 << 20, .depth_max = DAG_WALK_DEPTH_ALL};
        struct dag_walk *w;
        struct dag_visit visit;
        struct cid cid;
        size_t visits = 0;
        how.fetch_leaves = true;
        how.forget_leaves = forget != 0;
        assert_ok(dag_walk_new(&root.cid, &how, &w));
        for (enum err err = ERR_OK; err != ERR_CLOSED;) {
            while (dag_walk_next_want(w, &cid) == ERR_OK)
                assert_ok(dag_walk_put(w, &cid, store_get(&store, &cid)));
            err = dag_walk_next(w, &visit);
            assert_true(err == ERR_OK || err == ERR_CLOSED);
            if (err == ERR_OK)
                block_ref_unref(visit.block);
            visits += err == ERR_OK;
        }
        assert_int_equal(visits, forget != 0 ? 41 : 2);
        assert_int_equal(dag_walk_found(w), forget != 0 ? 1 : 2);
        dag_walk_free(w);
    }
    store_release(&store);
}

static void other_codecs_end_the_walk(void **state)
{
    (void)state;
    struct block_store store;
    store_init(&store);
    struct import_options options = import_options_of(IMPORT_UNIXFS_V1_2025);
    struct import_sink sink = store_sink(&store);
    struct block_ref *block = block_ref_copy(span_text("\xa0"), NULL);
    struct cid cid;
    assert_ok(import_emit(&options, &sink, CODEC_LIBP2P_KEY, block, &cid));
    block_ref_unref(block);
    struct prng prng;
    prng_init(&prng, 1);
    struct buf order;
    buf_init(&order, 1 << 12, NULL);
    struct dag_walk_options walk = {.window_blocks = 8, .window_bytes = 1 << 20, .depth_max = 9, .fetch_leaves = true};
    size_t asked;
    assert_int_equal(walk_all(&store, &cid, &walk, &prng, &order, &asked), ERR_UNSUPPORTED);
    cid.codec = CODEC_DAG_PB;
    assert_int_equal(walk_all(&store, &cid, &walk, &prng, &order, &asked), ERR_CORRUPT);
    buf_release(&order);
    store_release(&store);
}

static void sets_remember(void **state)
{
    (void)state;
    struct account account;
    account_init(&account, "test", 1 << 20);
    struct cid_set set;
    cid_set_init(&set, 5000, &account);
    bool is_new;
    for (unsigned pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < 5000; i++) {
            struct multihash hash;
            assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_of(&i, sizeof(i)), &hash));
            struct cid cid = cid_v1(CODEC_RAW, &hash);
            assert_int_equal(cid_set_has(&set, &cid), pass);
            assert_ok(cid_set_add(&set, &cid, &is_new));
            assert_int_equal(is_new, pass == 0);
            cid.codec = CODEC_DAG_PB;
            assert_false(cid_set_has(&set, &cid));
        }
    }
    struct multihash other;
    assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, span_text("other"), &other));
    struct cid cid = cid_v1(CODEC_RAW, &other);
    assert_int_equal(cid_set_add(&set, &cid, &is_new), ERR_BUSY);
    cid_set_release(&set);
    assert_int_equal(account_used(&account), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_block_once),         cmocka_unit_test(shared_subtrees_are_walked_once),
        cmocka_unit_test(leaves_may_be_forgotten), cmocka_unit_test(other_codecs_end_the_walk),
        cmocka_unit_test(sets_remember),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
