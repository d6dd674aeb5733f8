/* SPDX-License-Identifier: MIT */
/*
 * CARs out of DAGs and back: random graphs of all codecs with shared parts, against a naive depth-first walk; blocks that come in any order;
 * what breaks off is named with its place.
 */
#include "tests/support/import_model.h"

#include "storage/car_exporter.h"
#include "storage/car_importer.h"
#include "storage/cid_set.h"
#include "wire/dag_cbor.h"
#include "wire/dag_links.h"
#include "wire/dag_pb.h"

enum { NODES_MAX = 120, PENDING_MAX = 256, CAR_MAX = 1 << 22 };

/* ---- graphs ---- */

struct graph {
    struct block_store store;
    struct cid nodes[NODES_MAX];
    size_t count;
};

static void add_block(struct graph *g, uint32_t codec, struct span bytes)
{
    struct multihash hash;
    assert_ok(multihash_sum(MULTIHASH_SHA2_256, 0, bytes, &hash));
    struct cid cid = cid_v1(codec, &hash);
    struct block_ref *block = block_ref_copy(bytes, NULL);
    assert_non_null(block);
    assert_ok(store_emit(&g->store, &cid, block));
    block_ref_unref(block);
    g->nodes[g->count++] = cid;
}

static void append_link(struct buf *bytes, uint32_t codec, const struct cid *child, bool first)
{
    uint8_t cid[CID_BYTES_MAX];
    char text[CID_TEXT_MAX];
    struct dag_pb_link link = {.cid = span_of(cid, cid_encode(child, cid))};
    cid_text(child, text);
    if (codec == CODEC_DAG_PB) {
        assert_ok(dag_pb_append(bytes, &link, 1, NULL));
    } else if (codec == CODEC_DAG_CBOR) {
        assert_ok(dag_cbor_append(bytes, &(struct ipld_event){.kind = IPLD_LINK, .link = *child}, 0));
    } else {
        assert_ok(buf_appendf(bytes, "%s{\"/\":\"%s\"}", first ? "[" : ",", text));
    }
}

/* A leaf, or a node with links to some of those before it, the same one twice now and then. */
static void add_node(struct graph *g, struct prng *prng)
{
    static const uint32_t codecs[] = {CODEC_DAG_PB, CODEC_DAG_CBOR, CODEC_DAG_JSON};
    struct buf bytes;
    size_t links = g->count == 0 ? 0 : (size_t)prng_below(prng, 5);
    uint32_t codec = links == 0 ? CODEC_RAW : codecs[prng_below(prng, ARRAY_LEN(codecs))];
    buf_init(&bytes, 1 << 16, NULL);
    if (codec == CODEC_RAW)
        assert_ok(buf_appendf(&bytes, "leaf %zu", g->count));
    if (codec == CODEC_DAG_CBOR)
        assert_ok(dag_cbor_append(&bytes, &(struct ipld_event){.kind = IPLD_LIST}, links));
    for (size_t i = 0; i < links; i++)
        append_link(&bytes, codec, &g->nodes[prng_below(prng, g->count)], i == 0);
    if (codec == CODEC_DAG_JSON)
        assert_ok(buf_append_byte(&bytes, ']'));
    add_block(g, codec, buf_span(&bytes));
    buf_release(&bytes);
}

static void make_graph(struct graph *g, struct prng *prng)
{
    size_t count = 1 + (size_t)prng_below(prng, NODES_MAX);
    *g = (struct graph){0};
    store_init(&g->store);
    while (g->count < count)
        add_node(g, prng);
}

/* The root of the last node. */
static struct cid root_of(const struct graph *g)
{
    return g->nodes[g->count - 1];
}

/* ---- the naive model ---- */

struct naive {
    const struct graph *graph;
    struct buf *car;
    struct cid_set seen;
};

static enum err visit(void *arg, const struct cid *cid, struct span name)
{
    struct naive *n = arg;
    uint8_t head[CAR_SECTION_HEAD_MAX];
    bool is_new;
    (void)name;
    assert_ok(cid_set_add(&n->seen, cid, &is_new));
    if (!is_new)
        return ERR_OK;
    struct span block = block_ref_span(store_get(&n->graph->store, cid));
    assert_ok(buf_append(n->car, head, car_section_head(cid, block.len, head)));
    assert_ok(buf_append_span(n->car, block));
    return dag_links_each(cid->codec, block, visit, n);
}

static void naive_car(const struct graph *g, struct buf *car)
{
    struct cid root = root_of(g);
    struct naive n = {.graph = g, .car = car};
    buf_init(car, CAR_MAX, NULL);
    cid_set_init(&n.seen, NODES_MAX + 1, NULL);
    assert_ok(car_append_header(car, &root, 1));
    assert_ok(visit(&n, &root, (struct span){0}));
    cid_set_release(&n.seen);
}

/* ---- the exporter ---- */

/* Reads all of it in pieces of any size, with blocks that come in any order and sometimes not at once. */
static void export_all(const struct graph *g, const struct car_exporter_options *options, struct prng *prng,
                       struct buf *car)
{
    struct car_exporter *e;
    struct cid root = root_of(g);
    struct cid pending[PENDING_MAX];
    size_t count = 0;
    enum err err = ERR_AGAIN;
    buf_init(car, CAR_MAX, NULL);
    assert_ok(car_exporter_new(&root, options, &e));
    for (;;) {
        while (car_exporter_next_want(e, &pending[count]) == ERR_OK)
            assert_true(++count < PENDING_MAX);
        size_t before = car->len;
        size_t asked = 1 + (size_t)prng_below(prng, 300);
        err = car_exporter_read(e, car, asked);
        assert_int_equal(car_exporter_position(e), MAX(options->skip, options->skip + car->len));
        if (err == ERR_OK && car->len < before + asked)
            break;
        assert_true(err == ERR_OK || err == ERR_AGAIN);
        if (count == 0)
            continue;
        size_t i = (size_t)prng_below(prng, count);
        struct cid cid = pending[i];
        pending[i] = pending[--count];
        if (prng_below(prng, 6) == 0)
            car_exporter_retry(e, &cid);
        else
            assert_ok(car_exporter_put(e, &cid, store_get(&g->store, &cid)));
    }
    assert_string_equal(car_exporter_why(e), "");
    car_exporter_free(e);
}

static void exports_are_depth_first_whatever_comes_when(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 31);
    for (unsigned round = 0; round < 300; round++) {
        struct graph g;
        struct buf expected;
        struct buf car;
        struct account account;
        account_init(&account, "test", 1 << 24);
        make_graph(&g, &prng);
        naive_car(&g, &expected);
        struct car_exporter_options options = {
            .window_blocks = 1 + (size_t)prng_below(&prng, 20), .window_bytes = 1 << 20, .account = &account};
        export_all(&g, &options, &prng, &car);
        assert_true(span_equal(buf_span(&car), buf_span(&expected)));
        buf_release(&car);
        options.skip = prng_below(&prng, expected.len);
        export_all(&g, &options, &prng, &car);
        assert_true(span_equal(buf_span(&car), span_skip(buf_span(&expected), (size_t)options.skip)));
        buf_release(&car);
        buf_release(&expected);
        store_release(&g.store);
        assert_int_equal(account_used(&account), 0);
    }
}

static void missing_links_end_an_export(void **state)
{
    (void)state;
    struct graph g = {0};
    struct car_exporter *e;
    struct cid cid;
    struct buf car;
    store_init(&g.store);
    buf_init(&car, 4096, NULL);
    add_block(&g, CODEC_DAG_CBOR, span_text("\x81\xd8\x2a\x40"));
    struct cid root = root_of(&g);
    struct car_exporter_options options = {.window_blocks = 4, .window_bytes = 4096};
    assert_ok(car_exporter_new(&root, &options, &e));
    assert_ok(car_exporter_next_want(e, &cid));
    assert_int_equal(car_exporter_put(e, &cid, store_get(&g.store, &cid)), ERR_CORRUPT);
    assert_int_equal(car_exporter_read(e, &car, 4096), ERR_CORRUPT);
    assert_string_not_equal(car_exporter_why(e), "");
    car_exporter_free(e);
    buf_release(&car);
    store_release(&g.store);
}

/* ---- the importer ---- */

static enum err import_all(struct span car, struct block_store *store, struct prng *prng, struct car_importer **ret)
{
    struct import_sink sink = store_sink(store);
    enum err err = ERR_OK;
    assert_ok(car_importer_new(&sink, NULL, ret));
    while (err == ERR_OK && car.len > 0) {
        struct span piece = span_first(car, 1 + (size_t)prng_below(prng, 200));
        car = span_skip(car, piece.len);
        while (err == ERR_OK && piece.len > 0)
            err = car_importer_write(*ret, &piece);
    }
    return err == ERR_OK ? car_importer_finish(*ret) : err;
}

static void what_is_exported_comes_back(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 32);
    for (unsigned round = 0; round < 100; round++) {
        struct graph g;
        struct buf car;
        struct block_store store;
        struct car_importer *importer;
        struct cid cid;
        struct cid root;
        store_init(&store);
        make_graph(&g, &prng);
        naive_car(&g, &car);
        root = root_of(&g);
        assert_ok(import_all(buf_span(&car), &store, &prng, &importer));
        assert_true(car_importer_root(importer, 0, &cid) && cid_equal(&cid, &root));
        assert_false(car_importer_root(importer, 1, &cid));
        assert_int_equal(car_importer_totals(importer).blocks, table_len(&store.blocks));
        assert_int_equal(car_importer_totals(importer).bytes, store.bytes);
        assert_string_equal(car_importer_why(importer), "");
        car_importer_free(importer);
        buf_release(&car);
        store_release(&store);
        store_release(&g.store);
    }
}

static void what_breaks_off_is_named_with_its_place(void **state)
{
    (void)state;
    struct graph g = {0};
    struct block_store store;
    struct buf car;
    struct car_importer *importer;
    struct prng prng;
    char why[64];
    prng_init(&prng, 33);
    store_init(&g.store);
    store_init(&store);
    add_block(&g, CODEC_RAW, span_text("a block"));
    naive_car(&g, &car);
    size_t section = car.len - 1 - 36 - strlen("a block");
    (void)snprintf(why, sizeof(why), "byte %zu of the CAR: ", section);
    assert_int_equal(import_all(span_first(buf_span(&car), car.len - 1), &store, &prng, &importer), ERR_TRUNCATED);
    assert_memory_equal(car_importer_why(importer), why, strlen(why));
    car_importer_free(importer);
    car.data[car.len - 1] ^= 1;
    assert_int_equal(import_all(buf_span(&car), &store, &prng, &importer), ERR_CORRUPT);
    assert_memory_equal(car_importer_why(importer), why, strlen(why));
    car_importer_free(importer);
    assert_int_equal(table_len(&store.blocks), 0);
    buf_release(&car);
    store_release(&store);
    store_release(&g.store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exports_are_depth_first_whatever_comes_when),
        cmocka_unit_test(missing_links_end_an_export),
        cmocka_unit_test(what_is_exported_comes_back),
        cmocka_unit_test(what_breaks_off_is_named_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
