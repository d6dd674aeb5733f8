/* SPDX-License-Identifier: MIT */
/* The walk of `pin add` and `pin verify` over a store and a network that a table plays: what it asks, whom, and in how much memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "actors/control/pin_walk.h"
#include "base/limits.h"
#include "base/table.h"
#include "wire/dag_pb.h"

enum { BLOCKS_MAX = 300000, WINDOW = 4 };

/* Blocks by CID; the value's low bit: stored here, else only peers have it. */
struct world {
    struct table blocks;
    struct block_ref **refs;
    bool *here;
    size_t count;
    unsigned asked[3];
};

static struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    table_init(&w->blocks, BLOCKS_MAX, NULL);
    w->refs = calloc(BLOCKS_MAX, sizeof(*w->refs));
    w->here = calloc(BLOCKS_MAX, sizeof(*w->here));
    assert_true(w->refs != NULL && w->here != NULL);
    return w;
}

static void world_free(struct world *w)
{
    for (size_t i = 0; i < w->count; i++)
        block_ref_unref(w->refs[i]);
    table_release(&w->blocks);
    free(w->refs);
    free(w->here);
    free(w);
}

static struct cid keep(struct world *w, struct span bytes, uint32_t codec, bool here)
{
    struct multihash hash;
    uint8_t key[CID_BYTES_MAX];
    assert_int_equal(multihash_sum(MULTIHASH_SHA2_256, 0, bytes, &hash), ERR_OK);
    struct cid cid = cid_v1(codec, &hash);
    w->refs[w->count] = block_ref_copy(bytes, NULL);
    w->here[w->count] = here;
    assert_int_equal(table_put(&w->blocks, span_of(key, cid_encode(&cid, key)), &w->refs[w->count], NULL), ERR_OK);
    w->count++;
    return cid;
}

static struct cid leaf(struct world *w, uint64_t n, bool here)
{
    return keep(w, span_of(&n, sizeof(n)), CODEC_RAW, here);
}

static struct cid node(struct world *w, const struct cid *links, size_t count, uint64_t n, bool here)
{
    uint8_t *bytes = malloc(64 * count + 64);
    assert_non_null(bytes);
    uint8_t *end = bytes;
    for (size_t i = 0; i < count; i++) {
        uint8_t text[CID_BYTES_MAX];
        struct dag_pb_link link = {.cid = span_of(text, cid_encode(&links[i], text))};
        end = dag_pb_put_link(end, &link);
    }
    uint8_t *data = dag_pb_put_data_frame(end, sizeof(n));
    memcpy(data, &n, sizeof(n));
    struct cid cid = keep(w, span_of(bytes, (size_t)(data + sizeof(n) - bytes)), CODEC_DAG_PB, here);
    free(bytes);
    return cid;
}

/* Answers one question: the store has what is here, peers have all. */
static void answer(struct world *w, struct pin_walk *walk, unsigned slot)
{
    struct cid cid;
    uint8_t key[CID_BYTES_MAX];
    enum pin_ask ask = pin_walk_question(walk, slot, &cid);
    struct block_ref **at = table_get(&w->blocks, span_of(key, cid_encode(&cid, key)));
    bool found = at != NULL && (ask == PIN_ASK_FETCH || w->here[at - w->refs]);
    w->asked[ask]++;
    assert_true(w->asked[ask] < BLOCKS_MAX); /* else it is lost in repetitions */
    if (found && ask == PIN_ASK_FETCH)
        w->here[at - w->refs] = true;
    pin_walk_answer(walk, slot, found ? ERR_OK : ERR_NOT_FOUND, found && ask != PIN_ASK_HAS ? *at : NULL);
}

/* Several questions are out at once, and answered last first. */
static enum err run(struct world *w, struct pin_walk *walk)
{
    unsigned out[WINDOW];
    enum err err;
    while ((err = pin_walk_state(walk)) == ERR_AGAIN) {
        unsigned count = 0;
        while (count < WINDOW && pin_walk_next(walk, &out[count]) == ERR_OK)
            count++;
        assert_true(count > 0);
        while (count > 0)
            answer(w, walk, out[--count]);
    }
    return err;
}

static enum err walk_root(struct world *w, const struct cid *root, struct pin_walk_options options,
                          struct pin_walk **ret_walk)
{
    assert_int_equal(pin_walk_new(root, &options, ret_walk), ERR_OK);
    return run(w, *ret_walk);
}

/* leaf 0 stands below both nodes; leaf 1 and node b are at peers only. */
static struct cid small_graph(struct world *w)
{
    struct cid leaves[3] = {leaf(w, 0, true), leaf(w, 1, false), leaf(w, 2, true)};
    struct cid b = node(w, (struct cid[]){leaves[0], leaves[1]}, 2, 100, false);
    struct cid c = node(w, (struct cid[]){leaves[0], leaves[2], b}, 3, 101, true);
    return node(w, (struct cid[]){b, c}, 2, 102, true);
}

static void what_is_missing_is_fetched(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid root = small_graph(w);
    struct pin_walk *walk;
    assert_int_equal(walk_root(w, &root, (struct pin_walk_options){.recursive = true}, &walk), ERR_OK);
    for (size_t i = 0; i < w->count; i++)
        assert_true(w->here[i]);
    assert_int_equal(w->asked[PIN_ASK_GET], 3);   /* three nodes, each once */
    assert_int_equal(w->asked[PIN_ASK_FETCH], 2); /* b and leaf 1 */
    assert_int_equal(w->asked[PIN_ASK_HAS], 4);   /* leaf 0 wherever it stands; no leaf is read */
    assert_true(pin_walk_blocks(walk) >= w->count);
    pin_walk_free(walk);
    world_free(w);
}

static void a_direct_pin_looks_at_the_root_alone(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid root = small_graph(w);
    struct pin_walk *walk;
    assert_int_equal(walk_root(w, &root, (struct pin_walk_options){0}, &walk), ERR_OK);
    assert_int_equal(w->asked[PIN_ASK_HAS] + w->asked[PIN_ASK_GET] + w->asked[PIN_ASK_FETCH], 1);
    pin_walk_free(walk);
    world_free(w);
}

static void offline_it_ends_or_notes_what_is_missing(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid root = small_graph(w);
    const struct cid *missing;
    struct pin_walk *walk;
    struct pin_walk_options offline = {.recursive = true, .offline = true};
    assert_int_equal(walk_root(w, &root, offline, &walk), ERR_NOT_FOUND);
    assert_true(strlen(pin_walk_why(walk)) > 0);
    pin_walk_free(walk);
    offline.note_missing = true;
    assert_int_equal(walk_root(w, &root, offline, &walk), ERR_OK);
    assert_int_equal(pin_walk_missing(walk, &missing), 1); /* b; what lies below is not known */
    assert_int_equal(missing[0].codec, CODEC_DAG_PB);
    assert_int_equal(w->asked[PIN_ASK_FETCH], 0);
    pin_walk_free(walk);
    world_free(w);
}

static void identity_cids_carry_their_links(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid below = leaf(w, 7, false);
    uint8_t bytes[128];
    uint8_t text[CID_BYTES_MAX];
    struct multihash hash;
    struct dag_pb_link link = {.cid = span_of(text, cid_encode(&below, text))};
    uint8_t *end = dag_pb_put_link(bytes, &link);
    assert_int_equal(multihash_sum(MULTIHASH_IDENTITY, 0, span_of(bytes, (size_t)(end - bytes)), &hash), ERR_OK);
    struct cid root = cid_v1(CODEC_DAG_PB, &hash);
    struct pin_walk *walk;
    assert_int_equal(walk_root(w, &root, (struct pin_walk_options){.recursive = true}, &walk), ERR_OK);
    assert_true(w->here[0]);
    pin_walk_free(walk);
    /* and a leaf that is one is there without a question */
    unsigned asked = w->asked[PIN_ASK_HAS];
    root.codec = CODEC_RAW;
    assert_int_equal(walk_root(w, &root, (struct pin_walk_options){.recursive = true}, &walk), ERR_OK);
    assert_int_equal(w->asked[PIN_ASK_HAS], asked);
    assert_int_equal(pin_walk_blocks(walk), 1);
    pin_walk_free(walk);
    world_free(w);
}

/* A tower of nodes that link twice to the one below: 2^levels ways lead through it. */
static struct cid tower(struct world *w, unsigned levels)
{
    struct cid top = node(w, NULL, 0, 3000000, true);
    for (unsigned i = 0; i < levels; i++)
        top = node(w, (struct cid[]){top, node(w, &top, 1, 3000001 + i, true)}, 2, 4000000 + i, true);
    return top;
}

/* More nodes than are remembered, in a small account: it ends well, also where a few blocks repeat without end, and gives all memory back. */
static void a_large_graph_takes_bounded_memory(void **state)
{
    (void)state;
    enum { FOLDERS = 150, FILES = 1000 };
    struct world *w = world_new();
    struct account account;
    struct cid *files = calloc(FILES, sizeof(*files));
    struct cid *folders = calloc(FOLDERS + 1, sizeof(*folders));
    struct pin_walk *walk;
    account_init(&account, "tables", 4 * MIB);
    for (size_t i = 0; i < FOLDERS; i++) {
        for (size_t n = 0; n < FILES; n++)
            files[n] = node(w, NULL, 0, i * FILES + n, true);
        folders[i] = node(w, files, FILES, 1000000 + i, true);
    }
    folders[FOLDERS] = tower(w, 60);
    struct cid root = node(w, folders, FOLDERS + 1, 2000000, true);
    assert_true(w->count > PIN_WALK_SEEN);
    struct pin_walk_options options = {.recursive = true, .account = &account};
    assert_int_equal(walk_root(w, &root, options, &walk), ERR_OK);
    assert_int_equal(pin_walk_blocks(walk), w->count);
    pin_walk_free(walk);
    assert_int_equal(account_used(&account), 0);
    assert_true(atomic_load(&account.peak_bytes) > MIB);
    free(files);
    free(folders);
    world_free(w);
}

/* A folder of leaves, and then of nodes. */
static struct cid wide_folder(struct world *w, size_t leaves, size_t nodes, bool here)
{
    struct cid links[2 * PIN_WALK_SLOTS];
    for (size_t i = 0; i < leaves + nodes; i++)
        links[i] = i < leaves ? leaf(w, i, here) : node(w, NULL, 0, i, here);
    return node(w, links, leaves + nodes, 100, true);
}

/* Begins a walk and answers the question for its root. */
static struct pin_walk *walk_below(struct world *w, const struct cid *root, struct pin_walk_options options)
{
    struct pin_walk *walk;
    unsigned slot;
    assert_int_equal(pin_walk_new(root, &options, &walk), ERR_OK);
    assert_int_equal(pin_walk_next(walk, &slot), ERR_OK);
    answer(w, walk, slot);
    return walk;
}

static void fill_slots(size_t leaves, size_t nodes)
{
    struct world *w = world_new();
    struct cid root = wide_folder(w, leaves, nodes, true);
    struct pin_walk *walk = walk_below(w, &root, (struct pin_walk_options){.recursive = true});
    unsigned out[2 * PIN_WALK_SLOTS];
    unsigned count = 0;
    while (count < ARRAY_LEN(out) && pin_walk_next(walk, &out[count]) == ERR_OK)
        count++;
    assert_int_equal(count, PIN_WALK_SLOTS);
    while (count > 0)
        answer(w, walk, out[--count]);
    assert_int_equal(run(w, walk), ERR_OK);
    assert_int_equal(pin_walk_blocks(walk), w->count);
    pin_walk_free(walk);
    world_free(w);
}

static void as_many_questions_are_out_as_there_are_slots(void **state)
{
    (void)state;
    fill_slots(PIN_WALK_SLOTS - 12, 40);
    fill_slots(PIN_WALK_SLOTS + 12, 0);
}

static void all_that_is_missing_is_counted_and_some_of_it_named(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid root = wide_folder(w, PIN_WALK_MISSING + 3, 1, false);
    const struct cid *missing;
    struct pin_walk *walk;
    struct pin_walk_options options = {.recursive = true, .offline = true, .note_missing = true};
    assert_int_equal(walk_root(w, &root, options, &walk), ERR_OK);
    assert_int_equal(pin_walk_missing(walk, &missing), PIN_WALK_MISSING + 4);
    for (size_t i = 0; i < PIN_WALK_MISSING; i++)
        assert_true(missing[i].codec == CODEC_RAW || missing[i].codec == CODEC_DAG_PB);
    assert_int_equal(pin_walk_blocks(walk), 1);
    pin_walk_free(walk);
    world_free(w);
}

/* The first one does; questions that wait are not asked any more. */
static void an_error_ends_it(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid root = wide_folder(w, 3, 0, true);
    struct pin_walk *walk = walk_below(w, &root, (struct pin_walk_options){.recursive = true});
    unsigned first;
    unsigned second;
    assert_int_equal(pin_walk_next(walk, &first), ERR_OK);
    pin_walk_unasked(walk, first); /* no room: the same question comes again */
    assert_int_equal(pin_walk_next(walk, &first), ERR_OK);
    assert_int_equal(pin_walk_next(walk, &second), ERR_OK);
    pin_walk_answer(walk, first, ERR_IO, NULL);
    pin_walk_answer(walk, second, ERR_TIMEOUT, NULL);
    assert_int_equal(pin_walk_state(walk), ERR_IO);
    assert_int_equal(pin_walk_next(walk, &first), ERR_AGAIN);
    pin_walk_free(walk);
    world_free(w);
}

static void what_no_peer_has_ends_it(void **state)
{
    (void)state;
    struct world *w = world_new();
    struct cid root = leaf(w, 0, false);
    struct cid cid;
    struct pin_walk *walk = walk_below(w, &root, (struct pin_walk_options){.recursive = true});
    unsigned slot;
    assert_int_equal(pin_walk_next(walk, &slot), ERR_OK);
    assert_int_equal(pin_walk_question(walk, slot, &cid), PIN_ASK_FETCH);
    pin_walk_answer(walk, slot, ERR_NOT_FOUND, NULL);
    assert_int_equal(pin_walk_state(walk), ERR_NOT_FOUND);
    assert_string_equal(pin_walk_why(walk), ""); /* nothing about being offline */
    pin_walk_free(walk);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_fetched),
        cmocka_unit_test(a_direct_pin_looks_at_the_root_alone),
        cmocka_unit_test(offline_it_ends_or_notes_what_is_missing),
        cmocka_unit_test(identity_cids_carry_their_links),
        cmocka_unit_test(a_large_graph_takes_bounded_memory),
        cmocka_unit_test(as_many_questions_are_out_as_there_are_slots),
        cmocka_unit_test(all_that_is_missing_is_counted_and_some_of_it_named),
        cmocka_unit_test(an_error_ends_it),
        cmocka_unit_test(what_no_peer_has_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
